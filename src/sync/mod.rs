//! Brings queued events to a team server and takes its own: over HTTP in batches, and live over a WebSocket.
//!
//! `server_url` is where a token may be sent, `token` what is never printed, `credentials` what signing in leaves behind.

mod credentials;
mod server_url;
mod token;

pub use credentials::{CredentialError, CredentialStore, Credentials, WIRE_VERSIONS};
pub use server_url::{InvalidServerUrl, ServerUrl};
pub use token::{Token, TokenFile, TokenFileError};
