//! The service that stays: events go out as they are made while the server listens, and in batches otherwise.
//!
//! One loop that never waits longer than a moment. Connecting and passes over the queue are done in threads beside it,
//! so that it hears the server, and whoever wants it to stop, at any time.

use super::frame::Frame;
use super::http::{Http, Renewal};
use super::live::{CONNECT_LIMIT, Live, LiveError};
use super::pass::{Passed, Queue, Tokens};
use super::reconnect::{LiveState, Reconnect};
use super::session::{Patience, Why};
use super::token::Token;
use super::way::{self, Sending, Way, WayError};
use crate::event::NodeId;
use crate::outbound;
use crate::project::UserFolders;
use crate::store::{Fate, Link, Received, SyncQueue, service_lock};
use crate::sys;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where a token for one live connection comes from.
const LIVE_TOKEN: &str = "/api/v1/ws-token/";
/// How long getting it may take.
const TOKEN_LIMIT: Duration = Duration::from_secs(10);
/// How long the loop waits at most.
const MOMENT: Duration = Duration::from_millis(100);
/// How often it looks at what changes rarely: who is signed in.
const NOW_AND_THEN: Duration = Duration::from_secs(2);
/// How often the queue is emptied when nothing asks for it.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// How long after a failure it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// How long after an event was made a batch waits for more of them, where there is no live connection.
const GATHER: Duration = Duration::from_secs(1);
/// How long the server may take to confirm an event; then a batch asks for it.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);
/// The most events that wait for a confirmation.
const MOST_UNCONFIRMED: usize = 100;
/// How long a pass may keep trying.
const PASS_LIMIT: Duration = Duration::from_secs(60);

/// Stays until `stop`, and sends what is queued. `told` hears what happens, in words.
///
/// # Errors
/// See [`WayError`]; nobody being signed in is waited for.
pub fn serve(user: &UserFolders, stop: &Arc<AtomicBool>, told: &mut dyn FnMut(&str)) -> Result<(), WayError> {
    let Some(_lock) = become_the_one(user, stop, told)? else { return Ok(()) };
    let queue = SyncQueue::open(user)?;
    let node = queue.clock()?.node;
    let mut service = Service::new(user.clone(), stop.clone(), (queue, node), told);
    let ended = service.run();
    if let Some(live) = service.live.take() {
        live.close();
    }
    if let Some(passing) = service.passing.take() {
        // It was told to stop as well, and does within five seconds.
        let _ = passing.join();
    }
    service.note(Link::BatchMode);
    ended
}

/// Waits until this process is the only one of its user that stays; nothing when it is to stop before.
fn become_the_one(user: &UserFolders, stop: &AtomicBool, told: &mut dyn FnMut(&str)) -> Result<Option<File>, WayError> {
    let path = service_lock(user).ok_or(WayError::Store(crate::store::StoreError::NoPlace))?;
    let failed = |error: io::Error| WayError::Io(path.clone(), error);
    if let Some(folder) = path.parent() {
        sys::make_private_folder(folder).map_err(failed)?;
    }
    let lock = sys::update_private(&path).map_err(failed)?;
    let mut waits = false;
    while !stop.load(Ordering::Relaxed) {
        if sys::try_lock(&lock).map_err(failed)? {
            return Ok(Some(lock));
        }
        if !std::mem::replace(&mut waits, true) {
            told("another `knockon sync run` is there; standing by");
        }
        thread::sleep(MOMENT);
    }
    Ok(None)
}

struct Service<'a> {
    user: UserFolders,
    stop: Arc<AtomicBool>,
    told: &'a mut dyn FnMut(&str),
    queue: SyncQueue,
    /// What the store's version was when the queue was looked at last.
    version: Option<i64>,
    /// The projects that agreed then, and how many dead letters there were.
    agreed: Vec<PathBuf>,
    dead: u64,
    way: Option<Way>,
    looked: Option<Instant>,
    link: Option<Link>,
    /// What was told last of why nothing goes.
    silent: Option<String>,
    passing: Option<JoinHandle<Result<Passed, WayError>>>,
    next_pass: Instant,
    reconnect: Reconnect,
    next_attempt: Instant,
    connecting: Option<JoinHandle<Result<Live, LiveError>>>,
    live: Option<Live>,
    /// This machine's user.
    node: NodeId,
    /// The last row that went out live.
    sent: i64,
    /// Rows that went out live, by event id, and when.
    unconfirmed: BTreeMap<String, (i64, Instant)>,
}

impl<'a> Service<'a> {
    fn new(
        user: UserFolders,
        stop: Arc<AtomicBool>,
        (queue, node): (SyncQueue, NodeId),
        told: &'a mut dyn FnMut(&str),
    ) -> Self {
        let now = Instant::now();
        Service {
            user,
            stop,
            told,
            queue,
            version: None,
            agreed: Vec::new(),
            dead: 0,
            way: None,
            looked: None,
            link: None,
            silent: None,
            passing: None,
            next_pass: now,
            reconnect: Reconnect::new(),
            next_attempt: now,
            connecting: None,
            live: None,
            node,
            sent: 0,
            unconfirmed: BTreeMap::new(),
        }
    }

    fn run(&mut self) -> Result<(), WayError> {
        while !self.stop.load(Ordering::Relaxed) {
            self.look_who_is_signed_in()?;
            if self.way.is_none() {
                thread::sleep(MOMENT);
                continue;
            }
            let news = self.has_news()?;
            self.keep_passing(news)?;
            self.keep_connected();
            if self.live.is_some() {
                self.talk()?;
            } else {
                thread::sleep(MOMENT);
            }
        }
        Ok(())
    }

    /// Tells something once, until something else is told.
    fn tell_once(&mut self, text: String) {
        if self.silent.as_ref() != Some(&text) {
            (self.told)(&text);
            self.silent = Some(text);
        }
    }

    fn note(&mut self, link: Link) {
        if self.link.replace(link) != Some(link) {
            // Whoever asks how it is gets an older answer; nothing else depends on it.
            let _ = self.queue.note_connection(link);
        }
    }

    fn look_who_is_signed_in(&mut self) -> Result<(), WayError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < NOW_AND_THEN) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        match Way::of(&self.user) {
            Ok(way) => {
                let same = |known: &Way| {
                    let (known, way) = (&known.credentials, &way.credentials);
                    // Whoever signed in anew need not wait for what failed before.
                    (&known.server, &known.team, known.signed_in_at) == (&way.server, &way.team, way.signed_in_at)
                };
                if !self.way.as_ref().is_some_and(same) {
                    self.hang_up();
                    self.reconnect = Reconnect::new();
                    let now = Instant::now();
                    (self.next_attempt, self.next_pass, self.silent) = (now, now, None);
                }
                self.way = Some(way);
            }
            Err(WayError::NoTeam) => self.wait_for_sign_in(WayError::NoTeam.to_string()),
            Err(WayError::Credentials(error)) if error.is_signed_out() => self.wait_for_sign_in(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn wait_for_sign_in(&mut self, why: String) {
        self.hang_up();
        self.way = None;
        self.note(Link::Offline);
        self.tell_once(why);
    }

    fn hang_up(&mut self) {
        self.connecting = None;
        if let Some(live) = self.live.take() {
            live.close();
        }
        self.unconfirmed.clear();
    }

    /// Whether somebody wrote to the store.
    fn has_news(&mut self) -> Result<bool, WayError> {
        let version = self.queue.version()?;
        let is_new = self.version.replace(version) != Some(version);
        if is_new {
            self.look_for_older()?;
        }
        Ok(is_new)
    }

    /// Live, only what is new goes out: events whose project agreed later, and dead letters that are tried again, go in
    /// a batch.
    fn look_for_older(&mut self) -> Result<(), WayError> {
        let (agreed, dead) = (self.queue.agreed()?, self.queue.standing()?.dead);
        if agreed != self.agreed || dead < self.dead {
            self.next_pass = Instant::now();
        }
        (self.agreed, self.dead) = (agreed, dead);
        Ok(())
    }

    fn keep_passing(&mut self, news: bool) -> Result<(), WayError> {
        if let Some(passing) = self.passing.take_if(|passing| passing.is_finished()) {
            self.passed(passing.join());
        }
        let now = Instant::now();
        // Live, what is new goes out by itself.
        if news && self.live.is_none() && self.link != Some(Link::Offline) {
            self.next_pass = self.next_pass.min(now + GATHER);
        }
        if self.passing.is_some() || now < self.next_pass {
            return Ok(());
        }
        self.next_pass = now + EVERY;
        if self.queue.due(0, Some(Timestamp::now()), 1)?.events.is_empty() {
            return Ok(());
        }
        let (user, stop) = (self.user.clone(), self.stop.clone());
        let sending = Sending { patience: Patience::For(PASS_LIMIT), all: false, wait: PASS_LIMIT };
        let pass = move || way::send(&user, sending, &stop, &mut |_, _| {});
        match thread::Builder::new().name("pass".into()).spawn(pass) {
            Ok(thread) => self.passing = Some(thread),
            Err(error) => {
                self.next_pass = now + AFTER_FAILURE;
                self.tell_once(format!("no thread can be started: {error}"));
            }
        }
        Ok(())
    }

    fn passed(&mut self, ended: thread::Result<Result<Passed, WayError>>) {
        let now = Instant::now();
        let passed = match ended {
            Ok(Ok(passed)) => passed,
            Ok(Err(error)) => {
                self.next_pass = now + AFTER_FAILURE;
                return self.tell_once(error.to_string());
            }
            Err(_) => {
                self.next_pass = now + AFTER_FAILURE;
                return self.tell_once("sending failed".into());
            }
        };
        let summary = passed.summary;
        if summary.synced + summary.duplicate + summary.failed + summary.dead > 0 {
            let (synced, had) = (summary.synced, summary.duplicate);
            let (failed, dead) = (summary.failed, summary.dead);
            (self.told)(&format!("{synced} synced, {had} known already, {failed} failed, {dead} dead letters"));
        }
        let trouble = match passed.why {
            Why::Done => {
                self.silent = None;
                if self.live.is_none() && self.link == Some(Link::Offline) {
                    // The server is there again: the live connection is tried as well.
                    self.reconnect.again();
                    self.next_attempt = now;
                    self.note(Link::Reconnecting);
                }
                return;
            }
            Why::Stopped => return,
            Why::TimeUp => passed.trouble.unwrap_or_else(|| "the server was too slow".into()),
            Why::SignIn(words) => format!("sign in again with `knockon sync login`: {words}"),
            Why::Refused(words) | Why::Unreachable(words) | Why::NoProgress(words) => words,
        };
        self.next_pass = now + AFTER_FAILURE;
        if self.live.is_none() {
            self.note(Link::Offline);
        }
        self.tell_once(trouble);
    }

    fn keep_connected(&mut self) {
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
        (self.sent, self.silent) = (0, None);
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
    fn talk(&mut self) -> Result<(), WayError> {
        self.send_new()?;
        let Some(live) = &mut self.live else { return Ok(()) };
        match live.next(MOMENT) {
            Ok(Some(frame)) => self.hear(frame)?,
            Ok(None) => {}
            Err(error) => {
                let lasted = live.lasted();
                self.lost(lasted, &error.to_string());
            }
        }
        let late = |(_, sent): &(i64, Instant)| sent.elapsed() >= CONFIRM_LIMIT;
        if self.unconfirmed.values().any(late) {
            self.unconfirmed.retain(|_, waiting| !late(waiting));
            self.next_pass = Instant::now();
        }
        Ok(())
    }

    fn send_new(&mut self) -> Result<(), WayError> {
        // What a pass is sending at the moment need not go out twice.
        let (Some(way), None) = (&self.way, &self.passing) else { return Ok(()) };
        let room = MOST_UNCONFIRMED.saturating_sub(self.unconfirmed.len());
        let due = self.queue.due(self.sent, Some(Timestamp::now()), room)?.events;
        if due.is_empty() {
            return Ok(());
        }
        let mut outgoing = way.outgoing(SyncQueue::open(&self.user)?, None);
        for queued in due {
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
                    (self.told)(&format!("an event tells the time {lamport}, which cannot be; it is left alone"));
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
