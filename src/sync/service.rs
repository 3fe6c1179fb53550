//! The service that stays: events go out as they are made while the server listens, and in batches otherwise.
//!
//! One loop that never waits longer than a moment. Connecting and passes over the queue are done in threads beside it,
//! so that it hears the server, and whoever wants it to stop, at any time.

use super::live::{Live, LiveError};
use super::pass::Passed;
use super::reconnect::Reconnect;
use super::session::{Patience, Why};
use super::way::{self, Sending, Way, WayError};
use crate::event::NodeId;
use crate::project::UserFolders;
use crate::store::{Link, SyncQueue, service_lock};
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

/// How long the loop waits at most.
pub(super) const MOMENT: Duration = Duration::from_millis(100);
/// How often it looks at what changes rarely: who is signed in.
const NOW_AND_THEN: Duration = Duration::from_secs(2);
/// How often the queue is emptied when nothing asks for it.
pub(super) const EVERY: Duration = Duration::from_secs(5 * 60);
/// How long after a failure it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// How long after an event was made a batch waits for more of them, where there is no live connection.
const GATHER: Duration = Duration::from_secs(1);
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
            return Ok(Some(lock.into_file()));
        }
        if !std::mem::replace(&mut waits, true) {
            told("another `knockon sync run` is there; standing by");
        }
        thread::sleep(MOMENT);
    }
    Ok(None)
}

pub(super) struct Service<'a> {
    pub(super) user: UserFolders,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) told: &'a mut dyn FnMut(&str),
    pub(super) queue: SyncQueue,
    /// What the store's version was when the queue was looked at last.
    pub(super) version: Option<i64>,
    /// The projects that agreed then, and how many dead letters there were.
    pub(super) agreed: Vec<PathBuf>,
    pub(super) dead: u64,
    pub(super) way: Option<Way>,
    pub(super) looked: Option<Instant>,
    pub(super) link: Option<Link>,
    /// What was told last of why nothing goes.
    pub(super) silent: Option<String>,
    pub(super) passing: Option<JoinHandle<Result<Passed, WayError>>>,
    pub(super) next_pass: Instant,
    pub(super) reconnect: Reconnect,
    pub(super) next_attempt: Instant,
    pub(super) connecting: Option<JoinHandle<Result<Live, LiveError>>>,
    pub(super) live: Option<Live>,
    /// This machine's user.
    pub(super) node: NodeId,
    /// The last row that went out live.
    pub(super) sent: i64,
    /// Whether there may be rows behind that one.
    pub(super) look: bool,
    /// When the server was heard last.
    pub(super) heard: Instant,
    /// Rows that went out live, by event id, and when.
    pub(super) unconfirmed: BTreeMap<String, (i64, Instant)>,
    /// How many events with an impossible time came since the last was reported, and when that was.
    pub(super) impossible: usize,
    pub(super) told_impossible: Option<Instant>,
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
            look: true,
            heard: now,
            unconfirmed: BTreeMap::new(),
            impossible: 0,
            told_impossible: None,
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
    pub(super) fn tell_once(&mut self, text: String) {
        if self.silent.as_ref() != Some(&text) {
            (self.told)(&text);
            self.silent = Some(text);
        }
    }

    pub(super) fn note(&mut self, link: Link) {
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
            self.look = true;
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
            // All is well: there is more than fits one pass.
            Why::TimeUp if passed.trouble.is_none() && summary.synced + summary.duplicate > 0 => {
                self.next_pass = now;
                return;
            }
            Why::TimeUp => passed.trouble.unwrap_or_else(|| "the server was too slow".into()),
            Why::SignIn(words) => {
                // Whoever signs in again is noticed; asking the same again and again helps nobody.
                self.next_pass = now + EVERY;
                self.note(Link::Offline);
                return self.tell_once(format!("sign in again with `knockon sync login`: {words}"));
            }
            Why::Refused(words) | Why::Unreachable(words) | Why::NoProgress(words) => words,
        };
        self.next_pass = now + AFTER_FAILURE;
        if self.live.is_none() {
            self.note(Link::Offline);
        }
        self.tell_once(trouble);
    }
}
