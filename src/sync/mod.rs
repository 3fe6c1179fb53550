//! Brings queued events to a team server and takes its own: over HTTP in batches, and live over a WebSocket.
//!
//! `server_url` is where a token may be sent, `token` what is never printed, `credentials` what signing in leaves behind.
//! `live` is the WebSocket; what its frames say is in `frame`, and when it is tried again in `reconnect`.

mod credentials;
mod frame;
mod live;
mod reconnect;
mod server_url;
mod token;

pub use credentials::{CredentialError, CredentialStore, Credentials, WIRE_VERSIONS};
pub use frame::{Frame, MAX_FRAME_BYTES, Ping, RemoteEvent};
pub use live::{CONNECT_LIMIT, EVENTS_PATH, Live, LiveError};
pub use reconnect::{LiveState, MOST_ATTEMPTS, Reconnect};
pub use server_url::{InvalidServerUrl, ServerUrl};
pub use token::{Token, TokenFile, TokenFileError};
