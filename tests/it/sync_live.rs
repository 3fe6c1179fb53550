//! The live connection against the sync test server: what it hears, what it says, and how it ends.

use crate::support::sync_server::{Endpoint, Fault, LiveAnswer, SyncServer};
use crate::sync_server::{envelope, id};
use knockon::sync::{Frame, Live, LiveError, ServerUrl, Token};
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

fn token(server: &SyncServer) -> Token {
    let request = ureq::post(format!("{}/api/v1/ws-token/", server.url()));
    let mut response = request.header("Authorization", format!("Bearer {}", server.tokens().0)).send_empty().unwrap();
    let reply: serde_json::Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
    Token::new(reply["ws_token"].as_str().unwrap()).unwrap()
}

fn url(server: &SyncServer) -> ServerUrl {
    ServerUrl::parse(&server.url()).unwrap()
}

/// Connected, and behind the snapshot.
fn connected(server: &SyncServer) -> Live {
    let mut live = Live::connect(&url(server), &token(server), None, SOON).unwrap();
    assert!(matches!(hear(&mut live), Frame::Snapshot { .. }));
    assert!(server.wait_for_sockets(1, SOON));
    live
}

fn hear(live: &mut Live) -> Frame {
    live.next(SOON).unwrap().expect("the server says something")
}

/// How it ends, whatever else is said before.
fn end(live: &mut Live) -> LiveError {
    let deadline = Instant::now() + SOON;
    loop {
        match live.next(SHORT) {
            Err(error) => return error,
            Ok(_) => assert!(Instant::now() < deadline, "it does not end"),
        }
    }
}

#[test]
fn hears_of_events_answers_pings_and_gets_its_own_confirmed() {
    let server = SyncServer::start();
    let mut live = connected(&server);
    live.send(&envelope(1).to_string()).unwrap();
    assert_eq!(hear(&mut live), Frame::Confirmed { event_id: id(1) });
    live.send(&envelope(1).to_string()).unwrap();
    assert_eq!(hear(&mut live).confirms(), Some(id(1).as_str()), "it has it already");
    server.live_answer(LiveAnswer::Echo);
    live.send(&envelope(2).to_string()).unwrap();
    assert_eq!(hear(&mut live).confirms(), Some(id(2).as_str()), "an echo confirms, too");
    live.send("{}").unwrap();
    assert!(matches!(hear(&mut live), Frame::Refused { event_id: None, .. }));

    server.push_event(&envelope(3));
    let Frame::Event(event) = hear(&mut live) else { panic!() };
    assert_eq!((event.lamport_clock, event.node_id.as_deref()), (Some(3), Some("0123456789ab")));

    for timestamp in [json!(1_732_190_400.5), json!("2025-12-02T15:30:45Z")] {
        server.ping(&timestamp);
        let Frame::Ping(ping) = hear(&mut live) else { panic!() };
        live.pong(&ping).unwrap();
    }
    assert!(server.wait_for_pongs(2, SOON));
    assert_eq!(server.pongs(), [json!(1_732_190_400.5), json!("2025-12-02T15:30:45Z")]);

    let began = Instant::now();
    assert_eq!(live.next(Duration::from_millis(50)).unwrap(), None, "nothing to hear is no error");
    assert!(began.elapsed() < SHORT);
    live.close();
    assert!(server.wait_for_sockets(0, SOON));
    assert_eq!(server.ids(), [id(1), id(2)]);
}

#[test]
fn what_means_nothing_is_passed_over() {
    let server = SyncServer::start();
    let mut live = connected(&server);
    for text in ["", "<html>", "{", "[1]", r#"{"type":"party"}"#, r#"{"type":["event"]}"#, "\u{0}", "null"] {
        server.push(text);
    }
    server.push(&"[".repeat(500_000));
    server.ping(&json!(1));
    assert!(matches!(hear(&mut live), Frame::Ping(_)));
}

#[test]
fn each_end_has_its_reason() {
    let server = SyncServer::start();
    let mut live = connected(&server);
    server.close_sockets();
    assert!(matches!(end(&mut live), LiveError::Closed));
    assert!(live.next(SHORT).is_err() && live.send("{}").is_err(), "it stays over");

    let mut live = connected(&server);
    server.cut_sockets();
    assert!(matches!(end(&mut live), LiveError::Closed));
    assert!(server.wait_for_sockets(0, SOON));

    let mut live = connected(&server);
    server.live_answer(LiveAnswer::DropAfter);
    live.send(&envelope(1).to_string()).unwrap();
    assert!(matches!(end(&mut live), LiveError::Closed));
    assert_eq!(server.count_of(&id(1)), 1);
    assert!(server.wait_for_sockets(0, SOON));

    let mut live = connected(&server);
    server.push(&"x".repeat(1024 * 1024 + 1));
    assert!(matches!(end(&mut live), LiveError::TooLarge));
    drop(live);
    assert!(server.wait_for_sockets(0, SOON));

    let mut live = connected(&server);
    // A text frame that says it is 2^62 bytes long; then bits that nobody has agreed on.
    server.push_raw(&[0x81, 127, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    assert!(matches!(end(&mut live), LiveError::TooLarge));
    drop(live);
    assert!(server.wait_for_sockets(0, SOON));
    let mut live = connected(&server);
    server.push_raw(&[0xff; 64]);
    assert!(matches!(end(&mut live), LiveError::Protocol(_)));
    drop(live);
    assert!(server.wait_for_sockets(0, SOON));

    let mut live = connected(&server);
    server.go_offline();
    assert!(matches!(end(&mut live), LiveError::Closed));
    let gone = Live::connect(&url(&server), &Token::new("x").unwrap(), None, SOON);
    assert!(matches!(gone, Err(LiveError::Unreachable(_))), "{gone:?}");
    server.come_back();
    assert!(server.wait_for_sockets(0, SOON));
    connected(&server);
}

#[test]
fn a_handshake_that_fails_tells_why_and_not_the_token() {
    let server = SyncServer::start();
    let secret = Token::new("very-secret").unwrap();
    let try_to = |fault: Option<Fault>| {
        fault.into_iter().for_each(|fault| server.fault_next(Endpoint::Socket, fault, 1));
        let began = Instant::now();
        let error = Live::connect(&url(&server), &secret, None, SHORT).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(3), "{error}");
        assert!(!format!("{error} {error:?}").contains("very-secret"), "{error:?}");
        error
    };
    assert!(matches!(try_to(None), LiveError::Unauthorized));
    assert!(matches!(try_to(Some(Fault::status(403))), LiveError::Unauthorized));
    assert!(matches!(try_to(Some(Fault::status(502))), LiveError::Status(502)));
    assert!(matches!(try_to(Some(Fault::Html)), LiveError::Status(200)));
    assert!(matches!(try_to(Some(Fault::Redirect)), LiveError::Status(307)));
    assert!(matches!(try_to(Some(Fault::DropBeforeReading)), LiveError::Closed));
    assert!(matches!(try_to(Some(Fault::Silence)), LiveError::TimedOut(_)));
    assert_eq!(server.requests_to("/elsewhere/").len(), 0, "nobody is followed with a token");
    let request = &server.requests_to("/ws/v1/events/")[0];
    assert_eq!((request.header("authorization"), request.query.as_str()), (Some("Bearer very-secret"), ""));
}

#[test]
fn a_server_that_is_none_takes_no_longer_than_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let secret = Token::new("very-secret").unwrap();
    // One byte of a head at a time, and never an end.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
                while std::io::Write::write_all(&mut &stream, &[*head.next().unwrap()]).is_ok() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
    });
    for address in [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")] {
        let began = Instant::now();
        let error = Live::connect(&ServerUrl::parse(&address).unwrap(), &secret, None, SHORT).unwrap_err();
        assert!(matches!(error, LiveError::TimedOut(_)), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    // It speaks no TLS: found out, and no reason to panic.
    let error = Live::connect(&ServerUrl::parse(&format!("https://127.0.0.1:{port}")).unwrap(), &secret, None, SOON);
    assert!(matches!(error, Err(LiveError::Unreachable(_))), "{error:?}");
}

/// A certificate for `localhost` by an authority of its own: the authority's, the server's and the server's key, as PEM.
fn certificates() -> Option<[String; 3]> {
    let folder = tempfile::tempdir().unwrap();
    let line = "set -e; new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2'; \
        openssl req -x509 $new -subj /CN=authority -keyout ca.key -out ca.pem; \
        openssl req $new -subj /CN=localhost -keyout key.pem -out request.pem; \
        printf 'subjectAltName=DNS:localhost\n' > names; \
        openssl x509 -req -days 2 -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out cert.pem";
    let made = Command::new("/bin/sh").args(["-c", line]).current_dir(&folder).stderr(Stdio::null()).status();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    made.is_ok_and(|status| status.success()).then(|| ["ca.pem", "cert.pem", "key.pem"].map(read))
}

#[test]
fn a_server_of_the_users_own_authority_is_believed_and_no_other() {
    let Some([authority, certificate, key]) = certificates() else {
        eprintln!("SKIPPED: there is no openssl to make certificates with");
        return;
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = rustls::ServerConnection::new(config.clone()).unwrap();
            // Whoever does not believe us is gone in the middle of it.
            let Ok(mut socket) = tungstenite::accept(rustls::StreamOwned::new(tls, stream)) else { continue };
            let _ = socket.send(r#"{"type":"snapshot","work_packages":[]}"#.into());
            let _ = socket.read();
        }
    });
    let authority: Vec<_> = ureq::tls::parse_pem(authority.as_bytes())
        .map(|item| match item.unwrap() {
            ureq::tls::PemItem::Certificate(certificate) => certificate,
            _ => panic!("it is no certificate"),
        })
        .collect();
    let connect = |host: &str, certificates| {
        let url = ServerUrl::parse(&format!("https://{host}:{port}")).unwrap();
        Live::connect(&url, &Token::new("x").unwrap(), certificates, SOON)
    };
    let mut live = connect("localhost", Some(authority.as_slice())).unwrap();
    assert_eq!(hear(&mut live), Frame::Snapshot { work_packages: 0 });
    assert_eq!(live.next(SHORT).unwrap(), None, "waiting in the middle of TLS does no harm");
    live.send("{}").unwrap();
    for (host, certificates) in [("localhost", None), ("127.0.0.1", Some(authority.as_slice()))] {
        let error = connect(host, certificates).unwrap_err();
        assert!(matches!(error, LiveError::Unreachable(_)) && error.to_string().contains("certificate"), "{error}");
    }
}
