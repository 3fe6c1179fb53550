//! Brings queued events to a team server and takes its own: over HTTP in batches, and live over a WebSocket.
//!
//! `session` decides, without I/O, what a pass over the queue does next; `batch` says which events go together; `wire` has
//! the bodies of requests and replies; `http` sends them; `pass` carries one pass out.

mod batch;
pub mod http;
pub mod pass;
pub mod server_url;
pub mod session;
mod simulation;
pub mod token;
pub mod wire;
