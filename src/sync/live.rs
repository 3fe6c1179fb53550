//! The live connection: a WebSocket, spoken in turns. Everything ends in bounded time; what to do next is for others.
//!
//! A server is checked with the well-known certificates of the web, or with those of the user and no others.

use super::frame::{Frame, MAX_FRAME_BYTES, Ping};
use super::server_url::ServerUrl;
use super::token::Token;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{HeaderValue, StatusCode, header};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Connector, Error, Message, WebSocket};
use ureq::tls::Certificate;

/// Where the events of a team come and go.
pub const EVENTS_PATH: &str = "/ws/v1/events/";
/// How long looking up the name, connecting and both handshakes may take together.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a frame may take to leave.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// How long a goodbye may take to leave.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// The shortest wait for a frame: what is there already is read.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Why there is no live connection, or none any more. No token is in it.
#[derive(Debug)]
pub enum LiveError {
    /// The server cannot be found, reached, or believed (TLS).
    Unreachable(String),
    /// It did not answer, or took nothing, for so long.
    TimedOut(Duration),
    /// It wants another token (401, 403).
    Unauthorized,
    /// It answered with this status, and speaks no WebSocket here.
    Status(u16),
    /// It closed the connection, or it was cut.
    Closed,
    /// It sent more than [`MAX_FRAME_BYTES`] at once.
    TooLarge,
    /// It does not keep to the protocol.
    Protocol(String),
}

impl fmt::Display for LiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LiveError::Unreachable(why) => write!(f, "the server cannot be reached: {why}"),
            LiveError::TimedOut(limit) => {
                write!(f, "the server did not answer within {}", crate::time::human(*limit))
            }
            LiveError::Unauthorized => f.write_str("the server does not take the token for the live connection"),
            LiveError::Status(status) => write!(f, "the server answered {status} and not with a WebSocket"),
            LiveError::Closed => f.write_str("the server closed the live connection"),
            LiveError::TooLarge => write!(f, "the server sent a frame of more than {} KiB", MAX_FRAME_BYTES / 1024),
            LiveError::Protocol(why) => write!(f, "the server speaks no WebSocket as it should: {why}"),
        }
    }
}

impl std::error::Error for LiveError {}

/// A live connection to a team server. After an error it is over.
pub struct Live {
    socket: WebSocket<MaybeTlsStream<Line>>,
    deadline: Deadline,
    since: Instant,
}

impl Live {
    /// Connects with a token for this one connection, within `most`. `certificates`: what the server is checked with,
    /// instead of the well-known ones.
    ///
    /// # Errors
    /// There is no connection by then.
    pub fn connect(
        server: &ServerUrl,
        token: &Token,
        certificates: Option<&[Certificate<'_>]>,
        most: Duration,
    ) -> Result<Self, LiveError> {
        let since = Instant::now();
        let connector = certificates.map(checked_with).transpose()?;
        let deadline = Deadline::default();
        deadline.set(since + most);
        let stream = reach(server, since + most).map_err(|error| refused(error, most))?;
        let request = request(server, token)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .max_message_size(Some(MAX_FRAME_BYTES));
        let line = Line { stream, deadline: deadline.clone() };
        match tungstenite::client_tls_with_config(request, line, Some(config), connector) {
            Ok((socket, _)) => Ok(Live { socket, deadline, since: Instant::now() }),
            Err(HandshakeError::Interrupted(_)) => Err(LiveError::TimedOut(most)),
            Err(HandshakeError::Failure(error)) => Err(ended(error, most)),
        }
    }

    /// The next frame that means something, or nothing when none came within `timeout`.
    ///
    /// # Errors
    /// The connection is over.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Frame>, LiveError> {
        let until = Instant::now() + timeout.max(SHORTEST_WAIT);
        self.deadline.set(until);
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => match Frame::parse(&text) {
                    Frame::Unknown => {}
                    frame => return Ok(Some(frame)),
                },
                // Pings of the WebSocket itself are answered below.
                Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) => return Err(LiveError::Closed),
                Err(Error::Io(error)) if is_timeout(&error) => return Ok(None),
                Err(error) => return Err(ended(error, timeout)),
            }
            // A server that never stops with frames that mean nothing must not hold us here.
            if Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// Sends an envelope as one text frame. That it left says nothing about the server: see [`Frame::confirms`].
    ///
    /// # Errors
    /// The connection is over.
    pub fn send(&mut self, envelope: &str) -> Result<(), LiveError> {
        self.deadline.set(Instant::now() + SEND_LIMIT);
        self.socket.send(Message::text(envelope)).map_err(|error| ended(error, SEND_LIMIT))
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// The connection is over.
    pub fn pong(&mut self, ping: &Ping) -> Result<(), LiveError> {
        self.send(&ping.pong())
    }

    /// For how long it has been up: what [`super::Reconnect::lost`] asks for.
    pub fn lasted(&self) -> Duration {
        self.since.elapsed()
    }

    /// Says goodbye, without waiting for an answer.
    pub fn close(mut self) {
        self.deadline.set(Instant::now() + CLOSE_LIMIT);
        // Whoever is gone needs no goodbye.
        let _ = self.socket.close(None).and_then(|()| self.socket.flush());
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("lasted", &self.lasted()).finish_non_exhaustive()
    }
}

fn request(server: &ServerUrl, token: &Token) -> Result<tungstenite::handshake::client::Request, LiveError> {
    let request = server.websocket(EVENTS_PATH).into_client_request();
    let mut request = request.map_err(|error| LiveError::Protocol(error.to_string()))?;
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut bearer = bearer.expect("a token is made of visible ASCII characters");
    bearer.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let agent = HeaderValue::from_static(concat!("knockon/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(header::USER_AGENT, agent);
    Ok(request)
}

/// # Errors
/// One of them is no certificate that can be checked with.
fn checked_with(certificates: &[Certificate<'_>]) -> Result<Connector, LiveError> {
    let wrong = |error: rustls::Error| LiveError::Unreachable(format!("a certificate to check it with: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(CertificateDer::from(certificate.der()).into_owned()).map_err(wrong)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(wrong)?;
    Ok(Connector::Rustls(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

/// Connects to the first address of the server that takes us.
fn reach(server: &ServerUrl, until: Instant) -> io::Result<TcpStream> {
    let (host, port) = server.host_and_port();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses(host, port, until)? {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Looked up in a thread: the system's resolver knows no deadline.
fn addresses(host: &str, port: u16, until: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (send, receive) = mpsc::channel();
    let name = (host.to_owned(), port);
    std::thread::Builder::new().name("lookup".into()).spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = send.send(name.to_socket_addrs().map(Iterator::collect));
    })?;
    let left = until.saturating_duration_since(Instant::now());
    receive.recv_timeout(left).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn refused(error: io::Error, most: Duration) -> LiveError {
    if is_timeout(&error) { LiveError::TimedOut(most) } else { LiveError::Unreachable(error.to_string()) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What an error of the connection means; `limit` is how long was waited.
fn ended(error: Error, limit: Duration) -> LiveError {
    use tungstenite::error::ProtocolError;
    match error {
        Error::Http(response) => match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LiveError::Unauthorized,
            status => LiveError::Status(status.as_u16()),
        },
        Error::Io(error) if is_timeout(&error) => LiveError::TimedOut(limit),
        Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => LiveError::Closed,
            _ => LiveError::Unreachable(error.to_string()),
        },
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            LiveError::Closed
        }
        Error::Capacity(_) => LiveError::TooLarge,
        Error::Tls(error) => LiveError::Unreachable(error.to_string()),
        // The header of a server may be in the text of others.
        error => LiveError::Protocol(crate::text::one_line(&crate::text::shorten(&error.to_string(), 200))),
    }
}

/// Until when reading and writing may take, for a stream that is buried in others.
#[derive(Clone, Debug)]
struct Deadline(Arc<Mutex<Instant>>);

impl Default for Deadline {
    fn default() -> Self {
        Deadline(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Deadline {
    fn set(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// # Errors
    /// It is over, in the words of a socket.
    fn left(&self) -> io::Result<Duration> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(left) }
    }
}

/// A connection whose every turn ends with the deadline: a timeout of the socket alone begins anew with each byte.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    deadline: Deadline,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
