//! Brings queued events to a team server and takes its own: over HTTP in batches, and live over a WebSocket.
//!
//! `server_url` is where a token may be sent, `token` what is never printed.
//! `session` decides what a pass over the queue does next, without I/O; `batch` which events go together; `wire` has the
//! bodies of requests and replies, `http` sends them, `pass` carries one pass out. `simulation` tries the session.

mod batch;
mod http;
mod pass;
mod server_url;
mod session;
mod simulation;
mod token;
mod wire;

pub use http::{Answered, Http, NoReply, Renewal};
pub use pass::{Line, PassError, Passed, Queue, Queued, SignedIn, Tokens, Unsent, pass};
pub use server_url::{InvalidServerUrl, ServerUrl};
pub use session::{
    DEFAULT_BUDGET, DEFAULT_INTERVAL, Fact, Fate, Input, LARGEST_BUDGET, MOST_EVENTS, Next, Offer, Patience, Policy,
    Session, Step, Summary, Why,
};
pub use token::{Token, TokenFile, TokenFileError};
pub use wire::{Answer, BATCH, Body, REFRESH, Refreshed, Reply, Said};
