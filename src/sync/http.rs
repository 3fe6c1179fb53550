//! Sends batches and asks for tokens, each in bounded time and memory.

use super::server_url::ServerUrl;
use super::token::Token;
use super::wire::{self, Refreshed, Reply};
use crate::outbound;
use crate::text::{one_line, shorten};
use crate::time::{Timestamp, human};
use std::fmt;
use std::io::{self, Read};
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
            let zipped = response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
            let read = response.body_mut().with_config().limit(MAX_RESPONSE).read_to_vec();
            let body = match read {
                Ok(body) if zipped => {
                    unzip(&body).ok_or_else(|| format!("it answered {status}, in gzip that cannot be read"))
                }
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

/// What a body in gzip (RFC 1952) holds, as far as an answer may be long; nothing for one that is longer, or broken.
fn unzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(body).take(MAX_RESPONSE + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= MAX_RESPONSE).then_some(plain)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    wire::retry_after(text(RETRY_AFTER)?, text(DATE), Timestamp::now())
}

fn no_reply(error: ureq::Error, within: Duration, token: Option<&Token>) -> NoReply {
    use io::ErrorKind;
    use ureq::Timeout;
    let reached = match &error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        // What can befall a connection that stands. A name that is not found has a kind without a name.
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::NotConnected
                | ErrorKind::TimedOut
                | ErrorKind::WriteZero
                | ErrorKind::Interrupted
                | ErrorKind::InvalidData
                | ErrorKind::Other
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::wire::{Answer, Body, Said};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_secs(10);

    fn token() -> Token {
        Token::new("tok.SECRET").unwrap()
    }

    /// A request as it came: its head, and its body.
    struct Seen {
        head: String,
        body: Vec<u8>,
        connection: usize,
    }

    /// A server that answers the n-th request with `answer(n, stream)`; one that returns false hangs up.
    fn serve(answer: impl Fn(usize, &mut TcpStream) -> bool + Send + 'static) -> (Http, Receiver<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/team/", listener.local_addr().unwrap());
        let (sender, seen) = channel();
        thread::spawn(move || {
            let mut number = 0;
            for (connection, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                while let Some((head, body)) = read_request(&mut stream) {
                    let _ = sender.send(Seen { head, body, connection });
                    let goes_on = answer(number, &mut stream);
                    number += 1;
                    if !goes_on {
                        break;
                    }
                }
            }
        });
        (Http::new(ServerUrl::parse(&url).unwrap(), None).unwrap(), seen)
    }

    fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        Some((head, body))
    }

    fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> bool {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
    }

    #[test]
    fn a_batch_goes_out_as_the_contract_has_it_over_a_connection_that_is_kept() {
        let reply = r#"{"results":[{"event_id":"A","status":"success"}]}"#;
        let (http, seen) = serve(move |_, stream| write(stream, "200 OK", "", reply));
        for _ in 0..3 {
            let answered = http.batch(&token(), b"zipped", SHORT).unwrap();
            let body = Body::Answers(vec![Answer { event_id: "A".to_owned(), said: Said::Taken }]);
            assert_eq!(answered, Reply { status: 200, retry_after: None, body });
        }
        for Seen { head, body, connection } in seen.try_iter() {
            assert!(head.starts_with("post /team/api/v1/events/batch/ http/1.1\r\n"), "{head}");
            for header in [
                "authorization: bearer tok.secret",
                "content-type: application/json",
                "content-encoding: gzip",
                concat!("user-agent: knockon/", env!("CARGO_PKG_VERSION")),
            ] {
                assert!(head.lines().any(|line| line == header), "{header} in {head}");
            }
            assert_eq!((body, connection), (b"zipped".to_vec(), 0));
        }
    }

    #[test]
    fn an_answer_in_gzip_is_read_as_far_as_it_may_be_long() {
        let zip = |text: &[u8]| {
            let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            zipped.write_all(text).unwrap();
            zipped.finish().unwrap()
        };
        let bomb = zip(&vec![b' '; MAX_RESPONSE as usize + 1]);
        let bodies = [zip(br#"{"results":[{"event_id":"A","status":"success"}]}"#), bomb, b"not gzip".to_vec()];
        let (http, _seen) = serve(move |number, stream| {
            let length = bodies[number].len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bodies[number])).is_ok()
        });
        let send = || http.batch(&token(), b"", SHORT).unwrap().body;
        assert_eq!(send(), Body::Answers(vec![Answer { event_id: "A".to_owned(), said: Said::Taken }]));
        for _ in 0..2 {
            assert_eq!(send(), Body::Words("it answered 200, in gzip that cannot be read".to_owned()));
        }
    }

    #[test]
    fn a_refusal_is_read_with_its_words_and_no_redirect_is_followed() {
        let (http, seen) = serve(|number, stream| match number {
            0 => write(stream, "429 Slow Down", "Retry-After: 7\r\n", "tok.SECRET is tired"),
            1 => {
                let when = "Date: Thu, 06 Nov 2025 08:50:00 GMT\r\nRetry-After: Thu, 06 Nov 2025 08:50:09 GMT\r\n";
                write(stream, "503 Busy", when, "")
            }
            _ => write(stream, "307 Elsewhere", "Location: http://127.0.0.1:1/\r\n", ""),
        });
        let send = || http.batch(&token(), b"", SHORT).unwrap();
        let reply = |status, asked: Option<u64>, words: &str| Reply {
            status,
            retry_after: asked.map(Duration::from_secs),
            body: Body::Words(words.to_owned()),
        };
        assert_eq!(send(), reply(429, Some(7), "it answered 429: *** is tired"));
        assert_eq!(send(), reply(503, Some(9), "it answered 503"));
        assert_eq!(send(), reply(307, None, "it answered 307"));
        assert_eq!(seen.try_iter().count(), 3);
    }

    /// 1 GiB, nothing, half of what was promised, no HTTP, a header without end, one byte at a time.
    #[test]
    fn a_server_that_means_no_good_costs_neither_memory_nor_time() {
        type Answer = fn(&mut TcpStream) -> bool;
        let endless: Answer = |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
            while stream.write_all(&[b'['; 64 * 1024]).is_ok() {}
            false
        };
        let answers: [(Answer, &str); 7] = [
            (endless, "it answered 200 with more than 8 MiB"),
            (|_| false, ""),
            (|stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"results\":").is_err(), ""),
            (|stream| stream.write_all(b"220 mail.example ESMTP\r\n").is_err(), ""),
            (
                |stream| {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
                    while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
                    false
                },
                "",
            ),
            (
                |stream| {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
                    while stream.write_all(b" ").is_ok() {
                        thread::sleep(Duration::from_millis(20));
                    }
                    false
                },
                "it took longer than 700 ms",
            ),
            (
                |stream| {
                    // Until the other side hangs up.
                    let _ = stream.read(&mut [0]);
                    false
                },
                "it took longer than 700 ms",
            ),
        ];
        for (number, (answer, told)) in answers.into_iter().enumerate() {
            let (http, _seen) = serve(move |_, stream| answer(stream));
            let began = Instant::now();
            let why = match http.batch(&token(), b"x", Duration::from_millis(700)) {
                Ok(Reply { status: 200, body: Body::Words(words), .. }) => words,
                Ok(reply) => panic!("{number}: {reply:?}"),
                Err(NoReply { why, reached }) => {
                    assert!(reached, "{number}: {why}");
                    why
                }
            };
            assert!(why.contains(told) && !why.is_empty() && !why.contains("SECRET"), "{number}: {why}");
            assert!(began.elapsed() < Duration::from_secs(5), "{number}: {:?}", began.elapsed());
        }
    }

    #[test]
    fn one_that_nobody_listens_for_was_not_reached() {
        // Taken and let go of: nobody listens there.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for url in [format!("http://{address}"), "https://knockon.invalid".to_owned()] {
            let http = Http::new(ServerUrl::parse(&url).unwrap(), None).unwrap();
            let NoReply { why, reached } = http.batch(&token(), b"x", SHORT).unwrap_err();
            assert!(!reached && !why.is_empty() && !why.contains("SECRET"), "{url}: {why}");
        }
    }

    #[test]
    fn one_that_speaks_no_tls_was_not_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let http = Http::new(ServerUrl::parse(&url).unwrap(), None).unwrap();
        let NoReply { why, .. } = http.batch(&token(), b"x", SHORT).unwrap_err();
        assert!(!why.contains("SECRET"), "{why}");
    }

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "none").unwrap();
        let new = |path: &Path| Http::new(ServerUrl::parse("https://team.example").unwrap(), Some(path));
        assert!(new(&path).unwrap_err().ends_with("ca.pem: there are none"));
        assert!(new(folder.path()).unwrap_err().ends_with("it is no file"));
    }

    #[test]
    fn another_token_is_asked_for() {
        let fresh = Refreshed { access: Token::new("a2").unwrap(), refresh: Token::new("r2") };
        for (status, body, renewal) in [
            ("200 OK", r#"{"access":"a2","refresh":"r2"}"#, Renewal::Renewed(fresh)),
            ("401 No", r#"{"detail":"tok.SECRET is old"}"#, Renewal::Refused("it answered 401: *** is old".to_owned())),
            ("400 No", "", Renewal::Refused("it answered 400".to_owned())),
            ("200 OK", "<p>", no_token("it sent a web page, no token")),
            ("500 Oh", "", no_token("it answered 500")),
            ("429 Oh", "", no_token("it answered 429")),
            ("302 Oh", "", no_token("it answered 302")),
        ] {
            let (http, seen) = serve(move |_, stream| write(stream, status, "", body));
            assert_eq!(http.renew(&token(), SHORT), renewal);
            let Seen { head, body, .. } = seen.recv().unwrap();
            assert!(head.starts_with("post /team/api/v1/token/refresh/ http/1.1\r\n"), "{head}");
            assert!(!head.contains("authorization") && !head.contains("content-encoding"), "{head}");
            assert_eq!(body, br#"{"refresh":"tok.SECRET"}"#);
        }
    }

    fn no_token(why: &str) -> Renewal {
        Renewal::NoReply(NoReply { why: format!("no other token: {why}"), reached: true })
    }

    #[test]
    fn hanging_up_ends_what_is_under_way() {
        let (http, seen) = serve(|_, stream| stream.read(&mut [0]).is_err());
        let sending = thread::spawn({
            let http = http.clone();
            move || http.batch(&token(), b"x", Duration::from_secs(60))
        });
        seen.recv().unwrap();
        let began = Instant::now();
        http.hang_up();
        assert!(sending.join().unwrap().is_err());
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
