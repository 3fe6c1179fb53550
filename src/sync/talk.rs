//! The live half of the service: connects, sends what is new, hears the server, and gives up on one that fell silent.

use super::frame::Frame;
use super::http::{Http, Renewal};
use super::live::{CONNECT_LIMIT, Live, LiveError};
use super::pass::{Queue, Tokens};
use super::reconnect::LiveState;
use super::service::{EVERY, MOMENT, Service};
use super::token::Token;
use super::way::{self, WayError};
use crate::outbound;
use crate::store::{Fate, Link, Received, SyncQueue};
use crate::text::count;
use crate::time::Timestamp;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How often impossible times of a server are reported: it may send thousands in a second.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Where a token for one live connection comes from.
const LIVE_TOKEN: &str = "/api/v1/ws-token/";
/// How long getting it may take.
const TOKEN_LIMIT: Duration = Duration::from_secs(10);
/// How long the server may take to confirm an event; then a batch asks for it.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);
/// The most events that wait for a confirmation.
const MOST_UNCONFIRMED: usize = 100;

impl Service<'_> {
    pub(super) fn keep_connected(&mut self) {
        if let Some(connecting) = self.connecting.take_if(|connecting| connecting.is_finished()) {
            match connecting.join() {
                Ok(Ok(live)) => self.connected(live),
                Ok(Err(LiveError::Unauthorized)) => {
                    self.reconnect.give_up();
                    self.lost(Duration::ZERO, "the server takes no token: sign in again with `knockon sync login`");
                }
                Ok(Err(error)) => self.lost(Duration::ZERO, &error.to_string()),
                Err(_) => self.lost(Duration::ZERO, "connecting failed"),
            }
        }
        let idle = self.live.is_none() && self.connecting.is_none();
        if !idle || Instant::now() < self.next_attempt {
            return;
        }
        let Some(way) = &self.way else { return };
        let (http, mut tokens, server) = (way.http(), way.tokens(), way.credentials.server.clone());
        let certificates = way::certificates();
        let connect = move || {
            let unusable = |why: String| LiveError::Unreachable(why);
            let http = http.map_err(|error| unusable(error.to_string()))?;
            let token = live_token(&http, &mut tokens)?;
            let certificates = certificates.as_deref().map(outbound::certificates).transpose().map_err(unusable)?;
            Live::connect(&server, &token, certificates.as_deref(), CONNECT_LIMIT)
        };
        match thread::Builder::new().name("connect".into()).spawn(connect) {
            Ok(thread) => self.connecting = Some(thread),
            Err(error) => self.lost(Duration::ZERO, &error.to_string()),
        }
    }

    fn connected(&mut self, live: Live) {
        self.reconnect.connected();
        self.live = Some(live);
        (self.sent, self.silent, self.look, self.heard) = (0, None, true, Instant::now());
        self.note(Link::Connected);
        (self.told)("connected: events go out as they are made");
    }

    fn lost(&mut self, lasted: Duration, why: &str) {
        self.live = None;
        let waiting = !std::mem::take(&mut self.unconfirmed).is_empty();
        let now = Instant::now();
        if waiting {
            // Whether the server has them, a batch finds out.
            self.next_pass = now;
        }
        let random = getrandom::u64().unwrap_or(0);
        match self.reconnect.lost(lasted, random) {
            LiveState::Reconnecting { after, .. } => {
                self.next_attempt = now + after;
                self.note(Link::Reconnecting);
            }
            LiveState::BatchMode | LiveState::Connected => {
                self.reconnect.again();
                self.next_attempt = now + EVERY;
                self.note(Link::BatchMode);
                return self.tell_once(format!("{why}; events go out in batches, and live is tried again later"));
            }
        }
        self.tell_once(why.to_owned());
    }

    /// Sends what is new, and hears what the server says.
    pub(super) fn talk(&mut self) -> Result<(), WayError> {
        self.send_new()?;
        let Some(live) = &mut self.live else { return Ok(()) };
        match live.next(MOMENT) {
            Ok(Some(frame)) => {
                self.heard = Instant::now();
                self.hear(frame)?;
            }
            Ok(None) => {}
            Err(error) => {
                let lasted = live.lasted();
                self.lost(lasted, &error.to_string());
            }
        }
        let late = |(_, sent): &(i64, Instant)| sent.elapsed() >= CONFIRM_LIMIT;
        if self.unconfirmed.values().any(late) {
            // A connection that was cut without a word looks like this for hours.
            let silent = self.unconfirmed.values().any(|waiting| late(waiting) && self.heard < waiting.1);
            self.unconfirmed.retain(|_, waiting| !late(waiting));
            self.next_pass = Instant::now();
            if let Some(live) = self.live.as_ref().filter(|_| silent) {
                let lasted = live.lasted();
                self.lost(lasted, "the server fell silent");
            }
        }
        Ok(())
    }

    fn send_new(&mut self) -> Result<(), WayError> {
        // What a pass is sending at the moment need not go out twice.
        let (Some(way), None, true) = (&self.way, &self.passing, self.look) else { return Ok(()) };
        let room = MOST_UNCONFIRMED.saturating_sub(self.unconfirmed.len());
        if room == 0 {
            return Ok(());
        }
        let due = self.queue.due(self.sent, Some(Timestamp::now()), room)?;
        self.look = due.more;
        if due.events.is_empty() {
            return Ok(());
        }
        let mut outgoing = way.outgoing(SyncQueue::open(&self.user)?, None);
        for queued in due.events {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            self.sent = queued.row;
            if !outgoing.still_agrees(&queued.project) {
                continue;
            }
            let Ok(text) = outgoing.to_wire(&queued) else {
                // A batch makes a dead letter of it.
                self.next_pass = Instant::now();
                continue;
            };
            let Some(live) = &mut self.live else { break };
            if let Err(error) = live.send(&text) {
                let lasted = live.lasted();
                self.next_pass = Instant::now();
                self.lost(lasted, &error.to_string());
                break;
            }
            self.unconfirmed.insert(queued.event_id.ulid().to_owned(), (queued.row, Instant::now()));
        }
        Ok(())
    }

    fn hear(&mut self, frame: Frame) -> Result<(), WayError> {
        let confirmed = frame.confirms().and_then(|id| self.unconfirmed.remove(id));
        if let Some((row, _)) = confirmed {
            let now = Timestamp::now();
            self.queue.settle(&[(row, Fate::Taken)], now)?;
            return Ok(());
        }
        match frame {
            Frame::Event(event) => {
                // Our own come back as well.
                if event.node_id.as_deref() != Some(self.node.as_str())
                    && let Some(lamport) = event.lamport_clock
                    && self.queue.receive(lamport)? == Received::Quarantined
                {
                    self.impossible += 1;
                    if self.told_impossible.is_none_or(|told| told.elapsed() >= REPORT_EVERY) {
                        let events = count(std::mem::take(&mut self.impossible), "event");
                        let verb = if events.starts_with("1 ") { "has" } else { "have" };
                        (self.told)(&format!(
                            "{events} from the server {verb} an impossible time ({lamport}) and {verb} no effect on the clock"
                        ));
                        self.told_impossible = Some(Instant::now());
                    }
                }
            }
            Frame::Ping(ping) => {
                if let Some(live) = &mut self.live
                    && let Err(error) = live.pong(&ping)
                {
                    let lasted = live.lasted();
                    self.lost(lasted, &error.to_string());
                }
            }
            Frame::Refused { event_id, .. } => {
                // A batch hears the reason, and counts it.
                event_id.and_then(|id| self.unconfirmed.remove(&id));
                self.next_pass = Instant::now();
            }
            Frame::Snapshot { .. } | Frame::Confirmed { .. } | Frame::Unknown => {}
        }
        Ok(())
    }
}

/// A token for one live connection, with a renewed access token when that is what it takes.
fn live_token(http: &Http, tokens: &mut impl Tokens) -> Result<Token, LiveError> {
    let mut access = tokens.access().map_err(LiveError::Unreachable)?;
    for renewed in [false, true] {
        let answered = http.post(LIVE_TOKEN, Some(&access), &[], b"{}", TOKEN_LIMIT);
        let answered = answered.map_err(|error| LiveError::Unreachable(error.to_string()))?;
        match answered.status {
            200..300 => return read_live_token(&answered.body.unwrap_or_default()),
            401 if !renewed => {
                access = match tokens.renew(&access, &mut |refresh| http.renew(refresh, TOKEN_LIMIT)) {
                    Renewal::Renewed(refreshed) => refreshed.access,
                    Renewal::Refused(_) => return Err(LiveError::Unauthorized),
                    Renewal::NoReply(no_reply) => return Err(LiveError::Unreachable(no_reply.to_string())),
                };
            }
            401 | 403 => break,
            status => return Err(LiveError::Status(status)),
        }
    }
    Err(LiveError::Unauthorized)
}

fn read_live_token(body: &[u8]) -> Result<Token, LiveError> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let token = ["ws_token", "token"].iter().find_map(|name| Token::new(body.get(name)?.as_str()?));
    token.ok_or_else(|| LiveError::Protocol("it gave no token for the live connection".into()))
}
