//! The sync test server itself, by clients that know nothing of ours: what the tests of sync lean on.

use crate::support::sync_server::{Endpoint, Fault, LiveAnswer, SyncServer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};
use ureq::Agent;

const SOON: Duration = Duration::from_secs(10);

/// A valid event; each number is another one.
pub fn envelope(number: u32) -> Value {
    json!({
        "event_id": id(number), "event_type": "WPStatusChanged", "aggregate_id": "WP01", "aggregate_type": "WorkPackage",
        "payload": { "wp_id": "WP01", "previous_status": "planned", "new_status": "doing" },
        "node_id": "0123456789ab", "lamport_clock": number, "timestamp": "2025-12-02T15:30:45.123Z",
        "team_slug": "demo", "causation_id": null,
    })
}

pub fn id(number: u32) -> String {
    format!("01HZ{number:022}")
}

fn agent() -> Agent {
    let config =
        Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).timeout_global(Some(SOON));
    config.build().new_agent()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Status and body of a batch, or how it failed.
fn send(server: &SyncServer, token: &str, body: &Value) -> Result<(u16, Value), String> {
    let request = agent().post(format!("{}/api/v1/events/batch/", server.url()));
    let request = request.header("Authorization", format!("Bearer {token}"));
    let request = request.header("Content-Type", "application/json").header("Content-Encoding", "gzip");
    let mut response = request.send(&gzip(body.to_string().as_bytes())).map_err(|error| error.to_string())?;
    let text = response.body_mut().with_config().limit(1024 * 1024).read_to_string();
    let text = text.map_err(|error| error.to_string())?;
    Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

fn batch(server: &SyncServer, numbers: impl IntoIterator<Item = u32>) -> Result<(u16, Value), String> {
    let events: Vec<Value> = numbers.into_iter().map(envelope).collect();
    send(server, &server.tokens().0, &json!({ "events": events }))
}

fn statuses(reply: Result<(u16, Value), String>) -> Vec<String> {
    let (status, body) = reply.unwrap();
    assert_eq!(status, 200, "{body}");
    let results = body["results"].as_array().unwrap_or_else(|| panic!("{body}"));
    results.iter().map(|result| result["status"].as_str().unwrap().to_owned()).collect()
}

fn post(server: &SyncServer, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let request = agent().post(format!("{}{path}", server.url())).header("Authorization", format!("Bearer {token}"));
    let mut response = request.send(body.to_string()).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap())
}

#[test]
fn takes_each_event_once_and_tells_what_is_wrong_with_others() {
    let server = SyncServer::start();
    assert_eq!(statuses(batch(&server, [2, 1])), ["success", "success"]);
    assert_eq!(statuses(batch(&server, [1, 3])), ["duplicate", "success"]);
    assert_eq!(server.ids(), [id(2), id(1), id(3)]);
    assert_eq!((server.count_of(&id(1)), server.count_of(&id(3)), server.doubles()), (2, 1, 1));
    assert_eq!(server.batches()[1].ids, [id(1), id(3)]);

    for (pointer, value) in [
        ("/event_id", json!("evt_1")),
        ("/event_type", json!("Other")),
        ("/node_id", json!("0123")),
        ("/lamport_clock", json!(-1)),
        ("/timestamp", json!("yesterday")),
        ("/team_slug", json!("")),
        ("/causation_id", json!("x")),
        ("/payload/wp_id", json!("WP1")),
        ("/payload/new_status", json!("flying")),
    ] {
        let mut event = envelope(9);
        *event.pointer_mut(pointer).unwrap() = value;
        let (status, body) = send(&server, &server.tokens().0, &json!({ "events": [event] })).unwrap();
        let result = &body["results"][0];
        assert_eq!((status, &result["status"]), (200, &json!("rejected")), "{body}");
        assert!(result["error_message"].as_str().unwrap().starts_with(pointer), "{body}");
    }
    assert_eq!(server.count_of(&id(9)), 0);
}

#[test]
fn keeps_to_the_limits_of_the_protocol() {
    let server = SyncServer::start();
    let token = server.tokens().0;
    assert_eq!(send(&server, "wrong", &json!({ "events": [] })).unwrap().0, 401);
    assert_eq!(statuses(batch(&server, 0..1000)).len(), 1000);
    assert_eq!(batch(&server, 2000..3001).unwrap().0, 413);
    let mut large = envelope(5000);
    large["payload"]["note"] = "x".repeat(512 * 1024).into();
    assert_eq!(send(&server, &token, &json!({ "events": [large] })).unwrap().0, 413);
    assert_eq!(send(&server, &token, &json!([])).unwrap().0, 400);
    let plain = agent().post(format!("{}/api/v1/events/batch/", server.url()));
    let plain = plain.header("Authorization", format!("Bearer {token}")).header("Content-Type", "application/json");
    assert_eq!(plain.send("{\"events\": []}").unwrap().status().as_u16(), 415);
    assert_eq!(server.events().len(), 1000);
    let request = &server.requests()[0];
    assert_eq!((request.status, request.header("authorization")), (Some(401), Some("Bearer wrong")));
}

#[test]
fn tokens_end_rotate_and_are_for_one_connection() {
    let server = SyncServer::start();
    let (access, refresh) = server.tokens();
    server.expire_access();
    assert_eq!(batch(&server, [1]).unwrap().0, 401);
    let (status, bought) = post(&server, "/api/v1/token/refresh/", "", &json!({ "refresh": refresh }));
    assert_eq!(status, 200);
    assert_ne!((&bought["access"], &bought["refresh"]), (&json!(access), &json!(refresh)));
    assert_eq!(post(&server, "/api/v1/token/refresh/", "", &json!({ "refresh": refresh })).0, 401, "used");
    assert_eq!(statuses(batch(&server, [1])), ["success"]);

    server.limit_access(Some(1), None);
    server.rotate(false);
    let (_, kept) = post(&server, "/api/v1/token/refresh/", "", &json!({ "refresh": bought["refresh"] }));
    assert_eq!(kept.get("refresh"), None);
    assert_eq!((batch(&server, [2]).unwrap().0, batch(&server, [2]).unwrap().0), (200, 401));
    server.revoke();
    assert_eq!(post(&server, "/api/v1/token/refresh/", "", &json!({ "refresh": bought["refresh"] })).0, 401);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    server.write_token_file(&path).unwrap();
    assert_eq!(knockon::sync::TokenFile::read(&path).unwrap().access.expose(), server.tokens().0);
}

#[test]
fn does_wrong_what_it_is_told_to() {
    let server = SyncServer::start();
    for (number, fault, taken, status) in [
        (1, Fault::DropBeforeReading, false, None),
        (2, Fault::DropBeforeReply, true, None),
        (3, Fault::CutReply(30), true, None),
        (4, Fault::CutReply(150), true, None),
        (5, Fault::retry_after(503, "7"), false, Some(503)),
        (6, Fault::Html, false, Some(200)),
        (7, Fault::HalfJson, true, Some(200)),
        (8, Fault::WrongIds, false, Some(200)),
        (9, Fault::Redirect, false, Some(307)),
        (10, Fault::Drip { bytes: 20, pause: Duration::from_millis(1) }, true, Some(200)),
        (11, Fault::Huge, false, None),
    ] {
        server.fault_next(Endpoint::Batch, fault.clone(), 1);
        let reply = batch(&server, [number]);
        assert_eq!(reply.as_ref().ok().map(|(status, _)| *status), status, "{fault:?}: {reply:?}");
        assert_eq!(server.count_of(&id(number)), usize::from(taken), "{fault:?}");
    }
    assert_eq!(server.requests_to("/elsewhere/").len(), 0);
    server.fault_always(Endpoint::Batch, Some(Fault::Silence));
    let mut silent = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    silent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    write!(silent, "POST /api/v1/events/batch/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
    let heard = silent.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(heard, Err(std::io::ErrorKind::WouldBlock), "not even an end");
    server.behave();
    assert_eq!(statuses(batch(&server, [2, 20])), ["duplicate", "success"]);

    server.answer(&id(30), "queued", 1);
    server.answer(&id(31), "strange", usize::MAX);
    server.poison(&id(32));
    assert_eq!(statuses(batch(&server, [30, 31])), ["queued", "strange"]);
    assert_eq!(statuses(batch(&server, [30, 31])), ["success", "strange"]);
    assert_eq!(batch(&server, [33, 32]).unwrap().0, 400);
    assert_eq!((server.count_of(&id(31)), server.count_of(&id(33))), (0, 0));
}

#[test]
fn chaos_is_the_same_for_the_same_seed() {
    let story = |seed| -> Vec<Option<u16>> {
        let server = SyncServer::start();
        server.chaos(50, seed);
        (0..40).map(|number| batch(&server, [number]).ok().map(|(status, _)| status)).collect()
    };
    let first = story(1);
    assert_eq!(first, story(1));
    assert_ne!(first, story(2));
    assert!(first.contains(&Some(200)) && first.contains(&None), "{first:?}");
}

#[test]
fn goes_offline_and_comes_back_at_the_same_port() {
    let server = SyncServer::start();
    let idle = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    for round in 0..3 {
        assert_eq!(statuses(batch(&server, [round])), ["success"]);
        server.go_offline();
        assert!(batch(&server, [round]).is_err());
        server.come_back();
    }
    idle.set_read_timeout(Some(SOON)).unwrap();
    let ended = (&idle).read(&mut [0; 1]);
    assert!(!ended.as_ref().is_ok_and(|&bytes| bytes > 0), "{ended:?}");
    assert_eq!(server.events().len(), 3);
}

fn open(server: &SyncServer, as_query: bool) -> WebSocket<MaybeTlsStream<TcpStream>> {
    let (_, bought) = post(server, "/api/v1/ws-token/", &server.tokens().0, &Value::Null);
    let token = bought["ws_token"].as_str().unwrap();
    let address = format!("{}/ws/v1/events/", server.url().replace("http://", "ws://"));
    let address = if as_query { format!("{address}?token={token}") } else { address };
    let mut request = address.into_client_request().unwrap();
    if !as_query {
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
    }
    let (socket, _) = tungstenite::connect(request.clone()).unwrap();
    assert!(tungstenite::connect(request).is_err(), "a token is for one connection");
    socket
}

fn hear(socket: &mut WebSocket<MaybeTlsStream<TcpStream>>) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline);
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[test]
fn speaks_live_with_several_clients() {
    let server = SyncServer::start();
    assert_eq!(statuses(batch(&server, [1])), ["success"]);
    let (mut one, mut two) = (open(&server, false), open(&server, true));
    for socket in [&mut one, &mut two] {
        let snapshot = hear(socket);
        assert_eq!((&snapshot["type"], &snapshot["work_packages"][0]["status"]), (&json!("snapshot"), &json!("doing")));
    }
    assert!(server.wait_for_sockets(2, SOON));
    let mut say = |event: Value| one.send(Message::text(event.to_string())).map(|()| hear(&mut one)).unwrap();
    assert_eq!(say(envelope(2)), json!({ "type": "ack", "event_id": id(2), "status": "success" }));
    assert_eq!(say(envelope(2))["status"], "duplicate");
    assert_eq!(say(json!({ "event_id": id(3) }))["type"], "error");
    server.live_answer(LiveAnswer::Echo);
    assert_eq!(say(envelope(4))["type"], "event");
    assert_eq!(hear(&mut two)["event_id"], json!(id(2)), "others hear of it");
    assert_eq!(hear(&mut two)["lamport_clock"], json!(4));

    server.ping(&json!(17));
    assert_eq!(hear(&mut two), json!({ "type": "ping", "timestamp": 17 }));
    two.send(Message::text(r#"{"type":"pong","timestamp":17}"#)).unwrap();
    assert!(server.wait_for_pongs(1, SOON));
    assert_eq!(server.pongs(), [json!(17)]);

    server.live_answer(LiveAnswer::DropAfter);
    two.send(Message::text(envelope(5).to_string())).unwrap();
    assert!(server.wait_for_events(4, SOON));
    assert!(server.wait_for_sockets(1, SOON));
}
