//! What the sync test server remembers: tokens, events in order of arrival, requests, and what it was told to do wrong.

use super::envelope;
use super::faults::{LiveAnswer, Plan};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// The way an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Batch,
    Live,
}

/// An event that the server has, as it came first.
#[derive(Clone, Debug)]
pub struct Taken {
    pub id: String,
    pub event: Value,
    pub way: Way,
    pub at: Instant,
}

/// A batch whose events were looked at.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The ids in order, whatever became of them.
    pub ids: Vec<String>,
    /// Bytes of JSON, without gzip.
    pub bytes: usize,
    pub at: Instant,
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What was answered; nothing when the connection was cut or nothing was said.
    pub status: Option<u16>,
    pub at: Instant,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What is written to one WebSocket from outside of its task.
pub enum Push {
    Text(String),
    Close,
}

struct Access {
    uses: Option<u32>,
    until: Option<Instant>,
}

/// Who may come in.
pub struct Tokens {
    access: HashMap<String, Access>,
    newest_access: String,
    refresh: String,
    /// Each is good for one connection.
    live: HashSet<String>,
    /// What new access tokens are good for.
    pub uses: Option<u32>,
    pub lifetime: Option<Duration>,
    /// Whether a refresh token is good for one refresh only.
    pub rotates: bool,
    /// Whether anything but a new sign-in helps.
    pub revoked: bool,
}

impl Tokens {
    fn new() -> Self {
        let mut tokens = Tokens {
            access: HashMap::new(),
            newest_access: String::new(),
            refresh: secret("refresh"),
            live: HashSet::new(),
            uses: None,
            lifetime: None,
            rotates: true,
            revoked: false,
        };
        tokens.issue();
        tokens
    }

    fn issue(&mut self) {
        let until = self.lifetime.map(|lifetime| Instant::now() + lifetime);
        self.newest_access = secret("access");
        self.access.insert(self.newest_access.clone(), Access { uses: self.uses, until });
    }

    /// The newest tokens for access and refresh.
    pub fn newest(&self) -> (String, String) {
        (self.newest_access.clone(), self.refresh.clone())
    }

    /// No access token that was ever given out is good any more.
    pub fn expire(&mut self) {
        self.access.clear();
    }

    pub fn admits(&mut self, bearer: Option<&str>) -> bool {
        let Some(access) = bearer.and_then(|bearer| self.access.get_mut(bearer)) else { return false };
        if access.until.is_some_and(|until| Instant::now() >= until) || access.uses == Some(0) {
            return false;
        }
        access.uses = access.uses.map(|uses| uses - 1);
        true
    }

    /// What a refresh token buys.
    pub fn refresh(&mut self, token: Option<&str>) -> Option<Value> {
        if self.revoked || token != Some(self.refresh.as_str()) {
            return None;
        }
        self.issue();
        if !self.rotates {
            return Some(json!({ "access": self.newest_access }));
        }
        self.refresh = secret("refresh");
        Some(json!({ "access": self.newest_access, "refresh": self.refresh }))
    }

    pub fn issue_live(&mut self) -> String {
        let token = secret("live");
        self.live.insert(token.clone());
        token
    }

    pub fn admits_live(&mut self, token: Option<&str>) -> bool {
        token.is_some_and(|token| self.live.remove(token))
    }
}

fn secret(kind: &str) -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().fold(format!("{kind}-"), |text, byte| format!("{text}{byte:02x}"))
}

/// Everything, under one lock.
pub struct State {
    pub tokens: Tokens,
    pub plan: Plan,
    pub live_answer: LiveAnswer,
    /// What single events are answered, and how often.
    pub verdicts: HashMap<String, (String, usize)>,
    /// A batch with one of these is refused as a whole.
    pub poison: HashSet<String>,
    pub taken: Vec<Taken>,
    /// How often each event was brought, to no avail or not.
    pub arrivals: HashMap<String, usize>,
    pub batches: Vec<Batch>,
    pub requests: Vec<Request>,
    pub pongs: Vec<Value>,
    pub sockets: BTreeMap<u64, UnboundedSender<Push>>,
    pub sockets_ever: u64,
}

impl State {
    pub fn new() -> Self {
        State {
            tokens: Tokens::new(),
            plan: Plan::default(),
            live_answer: LiveAnswer::Ack,
            verdicts: HashMap::new(),
            poison: HashSet::new(),
            taken: Vec::new(),
            arrivals: HashMap::new(),
            batches: Vec::new(),
            requests: Vec::new(),
            pongs: Vec::new(),
            sockets: BTreeMap::new(),
            sockets_ever: 0,
        }
    }

    /// Looks at one event and keeps it unless something is wrong; the result is as a batch's reply has it.
    pub fn take(&mut self, text: &str, way: Way, from: Option<u64>) -> Value {
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        let id = event["event_id"].as_str().unwrap_or_default().to_owned();
        if let Some((status, left)) = self.verdicts.get_mut(&id).filter(|(_, left)| *left > 0) {
            *left = left.saturating_sub(usize::from(*left != usize::MAX));
            let reason = format!("the test says {status}");
            return json!({ "event_id": id, "status": status, "error_message": reason });
        }
        if let Some(problem) = envelope::problem(&event) {
            return json!({ "event_id": event["event_id"], "status": "rejected", "error_message": problem });
        }
        let times = self.arrivals.entry(id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            return json!({ "event_id": id, "status": "duplicate" });
        }
        self.tell_others(&event, from);
        self.taken.push(Taken { id: id.clone(), event, way, at: Instant::now() });
        json!({ "event_id": id, "status": "success" })
    }

    /// To every WebSocket but the one that it came from.
    fn tell_others(&self, event: &Value, from: Option<u64>) {
        if self.sockets.is_empty() {
            return;
        }
        let text = event_frame(event);
        for (_, socket) in self.sockets.iter().filter(|(number, _)| Some(**number) != from) {
            let _ = socket.send(Push::Text(text.clone()));
        }
    }

    /// The first frame: where each work package stands.
    pub fn snapshot(&self) -> Value {
        let mut standing: BTreeMap<(String, String), Value> = BTreeMap::new();
        for Taken { event, .. } in &self.taken {
            let payload = &event["payload"];
            let slug = payload["feature_slug"].as_str().unwrap_or_default();
            if let (Some(wp_id), Some(status)) = (payload["wp_id"].as_str(), payload["new_status"].as_str()) {
                let row = json!({ "wp_id": wp_id, "feature_slug": slug, "status": status });
                standing.insert((slug.to_owned(), wp_id.to_owned()), row);
            }
        }
        json!({ "type": "snapshot", "work_packages": standing.into_values().collect::<Vec<_>>() })
    }
}

/// The frame by which others hear of an event: its envelope, and the type of the frame.
pub fn event_frame(event: &Value) -> String {
    let mut frame = event.clone();
    frame["type"] = "event".into();
    frame.to_string()
}
