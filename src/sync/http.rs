//! Sends batches and asks for tokens, each in bounded time and memory.

use super::server_url::ServerUrl;
use super::token::Token;
use super::wire::{self, Refreshed, Reply};
use crate::outbound;
use crate::text::{one_line, shorten};
use crate::time::{Timestamp, human};
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// How much of a response is read.
const MAX_RESPONSE: u64 = 8 * 1024 * 1024;
/// How long looking up a name and connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);
/// The most characters that are told of an error.
const LONGEST_MESSAGE: usize = 300;

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoReply {
    /// What went wrong, in words, without a token.
    pub why: String,
    /// Whether the server may have seen the request.
    pub reached: bool,
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<String> for NoReply {
    fn from(why: String) -> Self {
        NoReply { why, reached: false }
    }
}

/// What came of asking for another access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// There is one.
    Renewed(Refreshed),
    /// There will be none, in the server's words: sign in again.
    Refused(String),
    /// Nobody answered, or with nothing that can be read.
    NoReply(NoReply),
}

/// An answer, whatever is in it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The body: at most 8 MiB; an error says why it is not there.
    pub body: Result<Vec<u8>, String>,
}

/// A server, and the connection to it, which is kept from one request to the next.
#[derive(Clone)]
pub struct Http {
    agent: Agent,
    server: ServerUrl,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(&self.server).finish()
    }
}

impl Http {
    /// Nothing is sent yet. `certificates`: a file with those that the server is checked with, instead of the
    /// well-known ones.
    ///
    /// # Errors
    /// In words: that file has no certificates.
    pub fn new(server: ServerUrl, certificates: Option<&Path>) -> Result<Self, String> {
        // A token goes where the user said and nowhere else: no redirects, no proxy from the environment.
        let config = Agent::config_builder()
            .tls_config(outbound::checked_with(certificates)?)
            .timeout_resolve(Some(CONNECTING))
            .timeout_connect(Some(CONNECTING))
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .user_agent(concat!("knockon/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Http { agent: config.new_agent(), server })
    }

    /// Sends a batch, `body` as [`wire::gzip`] made it, within this time for all of it.
    ///
    /// # Errors
    /// There is no answer.
    pub fn batch(&self, token: &Token, body: &[u8], within: Duration) -> Result<Reply, NoReply> {
        let answered = self.post(wire::BATCH, Some(token), &[(CONTENT_ENCODING, "gzip")], body, within)?;
        let Answered { status, retry_after, body } = answered;
        let body = match body {
            Ok(body) => wire::read_reply(status, &body, &[token]),
            Err(why) => wire::Body::Words(why),
        };
        Ok(Reply { status, retry_after, body })
    }

    /// Asks for another access token, within this time.
    pub fn renew(&self, refresh: &Token, within: Duration) -> Renewal {
        let Answered { status, body, .. } = match self.post(wire::REFRESH, None, &[], &wire::refresh(refresh), within) {
            Ok(answered) => answered,
            Err(no_reply) => return Renewal::NoReply(no_reply),
        };
        let no_reply = |why: String| Renewal::NoReply(NoReply { why: format!("no other token: {why}"), reached: true });
        match (status, body) {
            (200..300, Ok(body)) => wire::read_refresh(&body).map_or_else(no_reply, Renewal::Renewed),
            (200..300, Err(why)) => no_reply(why),
            // Not the token's fault.
            (..400 | 408 | 425 | 429 | 500.., body) => {
                no_reply(wire::words(status, &body.unwrap_or_default(), &[refresh]))
            }
            (400..500, body) => Renewal::Refused(wire::words(status, &body.unwrap_or_default(), &[refresh])),
        }
    }

    /// Sends one JSON body to a path of the server.
    ///
    /// # Errors
    /// There is no answer.
    pub fn post(
        &self,
        path: &str,
        token: Option<&Token>,
        headers: &[(HeaderName, &str)],
        body: &[u8],
        within: Duration,
    ) -> Result<Answered, NoReply> {
        outbound::guarded(|| {
            let mut request = self.agent.post(self.server.endpoint(path)).header(CONTENT_TYPE, "application/json");
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
            }
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let request = request.config().timeout_global(Some(within)).build();
            let sent = request.send(body);
            let mut response = sent.map_err(|error| no_reply(error, within, token))?;
            let status = response.status().as_u16();
            let retry_after = retry_after(response.headers());
            let read = response.body_mut().with_config().limit(MAX_RESPONSE).read_to_vec();
            let body = match read {
                Ok(body) => Ok(body),
                Err(ureq::Error::BodyExceedsLimit(_)) => {
                    Err(format!("it answered {status} with more than {} MiB", MAX_RESPONSE / 1024 / 1024))
                }
                // A success that is cut off may have named every event.
                Err(error) if (200..300).contains(&status) => return Err(no_reply(error, within, token)),
                Err(_) => Err(format!("it answered {status}")),
            };
            Ok(Answered { status, retry_after, body })
        })
    }

    /// Ends whatever is under way, in every thread; nothing can be sent any more.
    pub fn hang_up(self) {
        self.agent.shutdown();
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    wire::retry_after(text(RETRY_AFTER)?, text(DATE), Timestamp::now())
}

fn no_reply(error: ureq::Error, within: Duration, token: Option<&Token>) -> NoReply {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    use ureq::Timeout;
    let reached = match &error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        ureq::Error::Io(error) => {
            !matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable)
        }
        _ => true,
    };
    let mut why = match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("no connection within {}", human(CONNECTING.min(within)))
        }
        ureq::Error::Timeout(_) => format!("it took longer than {}", human(within)),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    if let Some(token) = token {
        why = why.replace(token.expose(), "***");
    }
    NoReply { why: one_line(&shorten(&why, LONGEST_MESSAGE)), reached }
}
