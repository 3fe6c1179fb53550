//! Brings queued events to a team server and takes its own: over HTTP in batches, and live over a WebSocket.
//!
//! `server_url` is where a token may be sent, `token` what is never printed, `credentials` what signing in leaves behind.
//! `session` decides, without I/O, what a pass over the queue does next, in the words of `steps`; `batch` says which events go together; `wire` has
//! the bodies of requests and replies; `http` sends them; `pass` carries one pass out.
//! `way` is what a user's pass needs: the queue, the tokens, the envelopes with what `origin` says of their project.
//! `live` is the WebSocket; what its frames say is in `frame`, and when it is tried again in `reconnect`. `service` stays
//! and uses all of them; `talk` is its live half.
//!
//! The room can be taken away: what makes and queues events does not know it.

mod batch;
mod credentials;
mod frame;
mod http;
mod live;
mod origin;
mod pass;
mod reconnect;
mod server_url;
mod service;
mod session;
#[cfg(test)]
mod simulation;
mod steps;
mod talk;
mod token;
mod way;
mod wire;

pub use credentials::{CredentialError, CredentialStore, Credentials, WIRE_VERSIONS};
pub use frame::{Frame, MAX_FRAME_BYTES, Ping, RemoteEvent};
pub use live::{CONNECT_LIMIT, EVENTS_PATH, Live, LiveError};
pub use pass::Passed;
pub use reconnect::{LiveState, MOST_ATTEMPTS, Reconnect};
pub use server_url::{InvalidServerUrl, ServerUrl};
pub use service::serve;
pub use session::{Patience, Summary, Why};
pub use token::{Token, TokenFile, TokenFileError};
pub use way::{Sending, WayError, send};
