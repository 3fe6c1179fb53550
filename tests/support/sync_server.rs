//! A team server on loopback: it speaks the protocol for real, remembers everything, and does wrong what it is told to.
//!
//! `line` is its connections, `faults` what it can do wrong, `envelope` what it accepts, `state` what it remembers.
//!
//! A WebSocket wants a token of its own from `POST /api/v1/ws-token/`, good for one connection. An envelope that comes by
//! it is confirmed with `{"type": "ack", "event_id", "status"}`, the status as in a batch's results, and refused with
//! `{"type": "error", "event_id", "error_message"}`.

#[path = "sync_envelope.rs"]
mod envelope;
#[path = "sync_faults.rs"]
mod faults;
#[path = "sync_line.rs"]
mod line;
#[path = "sync_state.rs"]
mod state;

pub use faults::{Chaos, Endpoint, Fault, LiveAnswer};
pub use state::{Batch, Request, Taken, Way};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State as Shares};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use line::{Door, Via, Wire};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use state::{Push, State};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// The most events of a batch.
pub const MOST_EVENTS: usize = 1000;
/// The most bytes of a batch's JSON.
pub const MOST_BYTES: usize = 512 * 1024;
/// How often a WebSocket is pinged.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A running server; it ends when this is dropped.
pub struct SyncServer {
    port: u16,
    shared: Arc<Shared>,
    door: mpsc::UnboundedSender<line::Command>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The connections of WebSockets, to write past their protocol.
    wires: Mutex<HashMap<u64, Arc<Wire>>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl SyncServer {
    /// Starts at any port; returns when it listens.
    pub fn start() -> Self {
        Self::start_at(0).unwrap()
    }

    /// Starts at a port of 127.0.0.1.
    pub fn start_at(port: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
            wires: Mutex::new(HashMap::new()),
        });
        let (door, commands) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std_mpsc::channel();
        let shares = shared.clone();
        let thread = std::thread::Builder::new().name("sync-server".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let door = match Door::open(port, commands) {
                    Ok(door) => door,
                    Err(error) => return drop(tell.send(Err(error))),
                };
                tell.send(Ok(door.port())).unwrap();
                let service = router(shares).into_make_service_with_connect_info::<Via>();
                tokio::select! {
                    _ = axum::serve(door, service) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let port = told.recv().map_err(io::Error::other)??;
        Ok(SyncServer { port, shared, door, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The newest tokens for access and refresh.
    pub fn tokens(&self) -> (String, String) {
        self.shared.state().tokens.newest()
    }

    /// Writes the newest tokens (0600), ready for `sync login`.
    pub fn write_token_file(&self, path: &Path) -> io::Result<()> {
        let (access, refresh) = self.tokens();
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", json!({ "access": access, "refresh": refresh }))
    }

    // What goes wrong.

    /// For the next `times` requests there.
    pub fn fault_next(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        self.shared.state().plan.next(endpoint, fault, times);
    }

    /// For every request there that nothing else waits for.
    pub fn fault_always(&self, endpoint: Endpoint, fault: Option<Fault>) {
        self.shared.state().plan.always(endpoint, fault);
    }

    /// For so many percent of the requests and live envelopes, a mixture that the seed decides.
    pub fn chaos(&self, percent: u32, seed: u64) {
        self.shared.state().plan.chaos = Some(Chaos::new(percent, seed));
    }

    /// No faults and no chaos any more; single events and tokens stay as they are.
    pub fn behave(&self) {
        let mut state = self.shared.state();
        state.plan.clear();
        state.live_answer = LiveAnswer::Ack;
    }

    /// Answers an event with this status instead of taking it, `times` times; `usize::MAX` for always.
    pub fn answer(&self, id: &str, status: &str, times: usize) {
        self.shared.state().verdicts.insert(id.to_owned(), (status.to_owned(), times));
    }

    /// Refuses every batch with this event as a whole: 400.
    pub fn poison(&self, id: &str) {
        self.shared.state().poison.insert(id.to_owned());
    }

    /// How envelopes that come by WebSocket are treated.
    pub fn live_answer(&self, answer: LiveAnswer) {
        self.shared.state().live_answer = answer;
    }

    /// No access token that was given out is good any more.
    pub fn expire_access(&self) {
        self.shared.state().tokens.expire();
    }

    /// Access tokens are good for so many requests, or so long, from the next one on that is given out.
    pub fn limit_access(&self, uses: Option<u32>, lifetime: Option<Duration>) {
        let mut state = self.shared.state();
        (state.tokens.uses, state.tokens.lifetime) = (uses, lifetime);
    }

    /// Whether a refresh token is good for one refresh only, as it is unless this says otherwise.
    pub fn rotate(&self, rotates: bool) {
        self.shared.state().tokens.rotates = rotates;
    }

    /// No token is good any more, and none can be refreshed.
    pub fn revoke(&self) {
        let mut state = self.shared.state();
        state.tokens.expire();
        state.tokens.revoked = true;
    }

    /// Refuses connections, and cuts those there are.
    pub fn go_offline(&self) {
        self.door(false);
    }

    /// Listens again, at the same port.
    pub fn come_back(&self) {
        self.door(true);
    }

    fn door(&self, open: bool) {
        let (tell, told) = std_mpsc::channel();
        self.door.send((open, tell)).unwrap();
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    // What it saw.

    /// The events it has, in order of arrival.
    pub fn events(&self) -> Vec<Taken> {
        self.shared.state().taken.clone()
    }

    /// The events it has behind the first `after`.
    pub fn events_after(&self, after: usize) -> Vec<Taken> {
        self.shared.state().taken.get(after..).unwrap_or_default().to_vec()
    }

    /// The ids of the events it has, in order of arrival.
    pub fn ids(&self) -> Vec<String> {
        self.shared.state().taken.iter().map(|taken| taken.id.clone()).collect()
    }

    /// How often an event was brought; it is kept once.
    pub fn count_of(&self, id: &str) -> usize {
        self.shared.state().arrivals.get(id).copied().unwrap_or_default()
    }

    /// How many times an event was brought that it had already.
    pub fn doubles(&self) -> usize {
        let state = self.shared.state();
        state.arrivals.values().sum::<usize>() - state.taken.len()
    }

    /// The batches that were looked at.
    pub fn batches(&self) -> Vec<Batch> {
        self.shared.state().batches.clone()
    }

    /// Every request, to whatever path.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The requests to a path.
    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.path == path);
        requests
    }

    /// The timestamps of the pongs.
    pub fn pongs(&self) -> Vec<Value> {
        self.shared.state().pongs.clone()
    }

    /// How many WebSockets are open.
    pub fn sockets(&self) -> usize {
        self.shared.state().sockets.len()
    }

    /// Waits until it has so many events; returns whether it does.
    pub fn wait_for_events(&self, count: usize, most: Duration) -> bool {
        self.wait(most, |state| state.taken.len() >= count)
    }

    /// Waits until so many WebSockets are open; returns whether they are.
    pub fn wait_for_sockets(&self, count: usize, most: Duration) -> bool {
        self.wait(most, |state| state.sockets.len() == count)
    }

    /// Waits for so many pongs; returns whether they came.
    pub fn wait_for_pongs(&self, count: usize, most: Duration) -> bool {
        self.wait(most, |state| state.pongs.len() >= count)
    }

    fn wait(&self, most: Duration, fact: impl Fn(&State) -> bool) -> bool {
        let state = self.shared.state();
        let (state, _) = self.shared.changed.wait_timeout_while(state, most, |state| !fact(state)).unwrap();
        fact(&state)
    }

    // What it says of its own accord.

    /// Sends a text frame to every WebSocket.
    pub fn push(&self, text: &str) {
        for socket in self.shared.state().sockets.values() {
            let _ = socket.send(Push::Text(text.to_owned()));
        }
    }

    /// Tells every WebSocket about an event of somebody else.
    pub fn push_event(&self, event: &Value) {
        self.push(&state::event_frame(event));
    }

    /// Pings every WebSocket.
    pub fn ping(&self, timestamp: &Value) {
        self.push(&json!({ "type": "ping", "timestamp": timestamp }).to_string());
    }

    /// Says goodbye to every WebSocket.
    pub fn close_sockets(&self) {
        for socket in self.shared.state().sockets.values() {
            let _ = socket.send(Push::Close);
        }
    }

    /// Cuts every WebSocket without a word.
    pub fn cut_sockets(&self) {
        self.shared.wires.lock().unwrap().values().for_each(|wire| wire.cut());
    }

    /// Writes bytes to every WebSocket that are none of its protocol's.
    pub fn push_raw(&self, bytes: &[u8]) {
        self.shared.wires.lock().unwrap().values().for_each(|wire| wire.write_raw(bytes));
    }
}

impl Drop for SyncServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/events/batch/", post(batch))
        .route("/api/v1/token/refresh/", post(refresh))
        .route("/api/v1/ws-token/", post(ws_token))
        .route("/ws/v1/events/", any(socket))
        .fallback(elsewhere)
        .with_state(shared)
}

/// A request on its way through a handler.
struct Visit {
    shared: Arc<Shared>,
    wire: Arc<Wire>,
    /// Its place among the requests.
    number: usize,
    fault: Option<Fault>,
}

impl Visit {
    /// Writes the request down, and finds out what has to go wrong.
    fn begin(
        shared: Arc<Shared>,
        wire: Arc<Wire>,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
        at: Option<Endpoint>,
    ) -> Self {
        let value = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers.iter().map(|(name, text)| (name.to_string(), value(text))).collect();
        let mut state = shared.state();
        state.requests.push(Request {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers,
            status: None,
            at: Instant::now(),
        });
        let number = state.requests.len() - 1;
        let fault = at.and_then(|endpoint| state.plan.take(endpoint));
        drop(state);
        Visit { shared, wire, number, fault }
    }

    fn bearer(&self) -> Option<String> {
        let state = self.shared.state();
        let header = state.requests[self.number].header("authorization")?;
        header.strip_prefix("Bearer ").map(str::to_owned)
    }

    /// What goes wrong before the request is carried out.
    async fn before(&self) -> Option<Response> {
        match self.fault.as_ref()? {
            Fault::DropBeforeReading => {
                self.wire.cut();
                Some(().into_response())
            }
            Fault::Silence => {
                self.wire.silence().await;
                Some(().into_response())
            }
            Fault::Status { code, retry_after } => {
                let reason = json!({ "error": format!("the test says {code}") });
                let mut response = answer(StatusCode::from_u16(*code).unwrap(), &reason);
                if let Some(when) = retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, when.parse().unwrap());
                }
                Some(self.end(response))
            }
            Fault::Html => {
                let page = "<!DOCTYPE html><title>Welcome</title><p>Please sign in to the network.";
                Some(self.end(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()))
            }
            Fault::WrongIds => {
                let results = (0..3).map(
                    |number| json!({ "event_id": format!("01HZZZZZZZZZZZZZZZZZZZZZZ{number}"), "status": "success" }),
                );
                Some(self.end(answer(StatusCode::OK, &json!({ "results": results.collect::<Vec<_>>() }))))
            }
            Fault::Huge => {
                let zeros = Body::from(Bytes::from(vec![0; 1 << 30]));
                Some(self.end(([(header::CONTENT_TYPE, "application/json")], zeros).into_response()))
            }
            Fault::Redirect => {
                let to = [(header::LOCATION, "/elsewhere/")];
                Some(self.end((StatusCode::TEMPORARY_REDIRECT, to).into_response()))
            }
            Fault::DropBeforeReply | Fault::CutReply(_) | Fault::Drip { .. } | Fault::HalfJson => None,
        }
    }

    /// The reply, with what goes wrong after the request was carried out.
    fn reply(&self, status: StatusCode, body: &Value) -> Response {
        match &self.fault {
            Some(Fault::DropBeforeReply) => {
                self.wire.cut();
                return ().into_response();
            }
            Some(Fault::CutReply(bytes)) => self.wire.cut_after(*bytes),
            Some(Fault::Drip { bytes, pause }) => self.wire.drip(*bytes, *pause),
            Some(Fault::HalfJson) => {
                let text = body.to_string();
                let half = text[..text.len() / 2].to_owned();
                return self.end((status, [(header::CONTENT_TYPE, "application/json")], half).into_response());
            }
            _ => {}
        }
        self.end(answer(status, body))
    }

    fn end(&self, response: Response) -> Response {
        self.shared.state().requests[self.number].status = Some(response.status().as_u16());
        self.shared.changed.notify_all();
        response
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn refusal(status: StatusCode, why: &str) -> (StatusCode, Value) {
    (status, json!({ "error": why }))
}

type Parts = (Method, Uri, HeaderMap);

async fn batch(shared: Shares<Arc<Shared>>, via: ConnectInfo<Via>, parts: Parts, body: Body) -> Response {
    let (method, uri, headers) = &parts;
    let visit = Visit::begin(shared.0, via.0.0, (method, uri, headers), Some(Endpoint::Batch));
    if let Some(response) = visit.before().await {
        return response;
    }
    // What comes gzipped is no longer than what it holds, but for a few bytes.
    let Ok(body) = to_bytes(body, 2 * MOST_BYTES).await else {
        let (status, body) = refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        return visit.reply(status, &body);
    };
    let (status, body) = match carry_out(&visit, headers, &body) {
        Ok(results) => (StatusCode::OK, json!({ "results": results })),
        Err(refusal) => refusal,
    };
    visit.shared.changed.notify_all();
    visit.reply(status, &body)
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Box<RawValue>>,
}

fn carry_out(visit: &Visit, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Value>, (StatusCode, Value)> {
    let bearer = visit.bearer();
    if !visit.shared.state().tokens.admits(bearer.as_deref()) {
        return Err(refusal(StatusCode::UNAUTHORIZED, "the token is not valid, or not any more"));
    }
    let is = |name, value: &str| headers.get(name).is_some_and(|given| given.as_bytes().starts_with(value.as_bytes()));
    if !is(header::CONTENT_TYPE, "application/json") || !is(header::CONTENT_ENCODING, "gzip") {
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "it has to be application/json with gzip"));
    }
    let mut text = Vec::new();
    let decoder = flate2::read::GzDecoder::new(body);
    if decoder.take(MOST_BYTES as u64 + 1).read_to_end(&mut text).is_err() {
        return Err(refusal(StatusCode::BAD_REQUEST, "it is no gzip"));
    }
    if text.len() > MOST_BYTES {
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "at most 512 KiB"));
    }
    let Ok(Events { events }) = serde_json::from_slice(&text) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "it is no JSON with `events`"));
    };
    if events.len() > MOST_EVENTS {
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "at most 1000 events"));
    }
    let mut state = visit.shared.state();
    let ids: Vec<String> = events.iter().map(|event| id_of(event.get())).collect();
    let poisoned = ids.iter().any(|id| state.poison.contains(id));
    state.batches.push(Batch { ids, bytes: text.len(), at: Instant::now() });
    if poisoned {
        return Err(refusal(StatusCode::BAD_REQUEST, "the batch is not valid"));
    }
    Ok(events.iter().map(|event| state.take(event.get(), Way::Batch, None)).collect())
}

fn id_of(event: &str) -> String {
    #[derive(Deserialize)]
    struct Named {
        event_id: String,
    }
    serde_json::from_str(event).map(|named: Named| named.event_id).unwrap_or_default()
}

async fn refresh(shared: Shares<Arc<Shared>>, via: ConnectInfo<Via>, parts: Parts, body: Body) -> Response {
    let (method, uri, headers) = &parts;
    let visit = Visit::begin(shared.0, via.0.0, (method, uri, headers), Some(Endpoint::Refresh));
    if let Some(response) = visit.before().await {
        return response;
    }
    let body = to_bytes(body, 64 * 1024).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let bought = visit.shared.state().tokens.refresh(body["refresh"].as_str());
    let (status, body) = match bought {
        Some(tokens) => (StatusCode::OK, tokens),
        None => refusal(StatusCode::UNAUTHORIZED, "the token is not valid, or not any more"),
    };
    visit.reply(status, &body)
}

async fn ws_token(shared: Shares<Arc<Shared>>, via: ConnectInfo<Via>, parts: Parts) -> Response {
    let (method, uri, headers) = &parts;
    let visit = Visit::begin(shared.0, via.0.0, (method, uri, headers), Some(Endpoint::WsToken));
    if let Some(response) = visit.before().await {
        return response;
    }
    let bearer = visit.bearer();
    let mut state = visit.shared.state();
    let (status, body) = if state.tokens.admits(bearer.as_deref()) {
        (StatusCode::OK, json!({ "ws_token": state.tokens.issue_live(), "expires_in": 60 }))
    } else {
        refusal(StatusCode::UNAUTHORIZED, "the token is not valid, or not any more")
    };
    drop(state);
    visit.reply(status, &body)
}

/// Nothing of ours is here: whoever follows a redirect is seen.
async fn elsewhere(shared: Shares<Arc<Shared>>, via: ConnectInfo<Via>, parts: Parts) -> Response {
    let (method, uri, headers) = &parts;
    let visit = Visit::begin(shared.0, via.0.0, (method, uri, headers), None);
    visit.reply(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing here" }))
}

async fn socket(
    shared: Shares<Arc<Shared>>,
    via: ConnectInfo<Via>,
    parts: Parts,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (method, uri, headers) = &parts;
    let visit = Visit::begin(shared.0, via.0.0, (method, uri, headers), Some(Endpoint::Socket));
    if let Some(response) = visit.before().await {
        return response;
    }
    let asked = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("token="));
    let token = visit.bearer().or_else(|| asked.map(str::to_owned));
    if !visit.shared.state().tokens.admits_live(token.as_deref()) {
        let (status, body) = refusal(StatusCode::UNAUTHORIZED, "the token is not valid, or not any more");
        return visit.reply(status, &body);
    }
    let Ok(upgrade) = upgrade else {
        let (status, body) = refusal(StatusCode::UPGRADE_REQUIRED, "it has to be a WebSocket");
        return visit.reply(status, &body);
    };
    let (shared, wire) = (visit.shared.clone(), visit.wire.clone());
    visit.end(upgrade.on_upgrade(move |socket| serve(shared, wire, socket)))
}

/// One WebSocket, from its snapshot to its end.
async fn serve(shared: Arc<Shared>, wire: Arc<Wire>, mut socket: WebSocket) {
    let (sender, mut pushes) = mpsc::unbounded_channel();
    let (number, snapshot) = {
        let mut state = shared.state();
        state.sockets_ever += 1;
        let number = state.sockets_ever;
        // Under one lock: no event is in the snapshot and told again, and none is in neither.
        state.sockets.insert(number, sender);
        (number, state.snapshot())
    };
    shared.wires.lock().unwrap().insert(number, wire.clone());
    let mut alive = socket.send(Message::text(snapshot.to_string())).await.is_ok();
    shared.changed.notify_all();
    let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    while alive {
        alive = tokio::select! {
            push = pushes.recv() => match push {
                Some(Push::Text(text)) => socket.send(Message::text(text)).await.is_ok(),
                Some(Push::Close) | None => {
                    let _ = socket.send(Message::Close(None)).await;
                    false
                }
            },
            _ = heartbeat.tick() => {
                let ping = json!({ "type": "ping", "timestamp": jiff::Timestamp::now().to_string() });
                socket.send(Message::text(ping.to_string())).await.is_ok()
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => match heard(&shared, number, &text) {
                    Reply::Say(text) => socket.send(Message::text(text)).await.is_ok(),
                    Reply::Nothing => true,
                    Reply::Cut => {
                        wire.cut();
                        false
                    }
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => false,
                Some(Ok(_)) => true,
            },
        };
    }
    shared.state().sockets.remove(&number);
    shared.wires.lock().unwrap().remove(&number);
    shared.changed.notify_all();
}

enum Reply {
    Say(String),
    Nothing,
    Cut,
}

/// A text frame of a client: a pong, or an envelope.
fn heard(shared: &Shared, number: u64, text: &str) -> Reply {
    let frame: Value = serde_json::from_str(text).unwrap_or_default();
    let mut state = shared.state();
    if frame["type"] == "pong" {
        state.pongs.push(frame["timestamp"].clone());
        shared.changed.notify_all();
        return Reply::Nothing;
    }
    let chaos = state.plan.chaos.as_mut().and_then(Chaos::live_answer);
    let answer = chaos.unwrap_or(state.live_answer);
    if answer == LiveAnswer::DropBefore {
        return Reply::Cut;
    }
    let mut result = state.take(text, Way::Live, Some(number));
    drop(state);
    shared.changed.notify_all();
    let refused = result["status"] == "rejected" || result["status"] == "error";
    match answer {
        LiveAnswer::DropBefore | LiveAnswer::DropAfter => Reply::Cut,
        LiveAnswer::Nothing => Reply::Nothing,
        LiveAnswer::Echo if !refused => Reply::Say(state::event_frame(&frame)),
        LiveAnswer::Echo | LiveAnswer::Ack => {
            result["type"] = if refused { "error" } else { "ack" }.into();
            Reply::Say(result.to_string())
        }
    }
}
