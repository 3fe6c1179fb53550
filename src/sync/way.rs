//! A user's way to the team server: their queue, their tokens, and one pass at a time.

use super::credentials::{CredentialError, CredentialStore, Credentials};
use super::http::{Http, NoReply, Renewal};
use super::origin::origin;
use super::pass::{self, PassError, Passed, Queue, SignedIn, Tokens};
use super::session::{Patience, Policy, Summary, Why};
use super::token::Token;
use crate::config::UserSettings;
use crate::event::Event;
use crate::outbound;
use crate::project::UserFolders;
use crate::store::{Account, Consent, Due, Fate, QueuedEvent, Standing, StoreError, SyncQueue};
use crate::sys;
use crate::time::{Timestamp, human};
use crate::work_package::{self, Origin, WireVersion};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long another process may take to refresh the token, and one that saves the new one.
const REFRESHING: Duration = Duration::from_secs(65);

/// How often it is looked whether another process is done.
const LOOK: Duration = Duration::from_millis(50);
/// The longest that a pass which has an end stays silent because the server wanted so earlier.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);
/// The longest that any pass does.
const LONGEST_REFUSAL: Duration = Duration::from_secs(3600);

/// Why nothing can be sent.
#[derive(Debug)]
pub enum WayError {
    /// Nobody is signed in.
    Credentials(CredentialError),
    /// It is not known for which team.
    NoTeam,
    /// Another process is sending, for so long.
    Busy,
    /// The store cannot be used.
    Store(StoreError),
    /// In words: the certificates cannot be used, or a thread.
    System(String),
    /// A file cannot be used.
    Io(PathBuf, io::Error),
}

impl fmt::Display for WayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WayError::Credentials(error) => error.fmt(f),
            WayError::NoTeam => f.write_str("the team is not known; run `knockon sync login --team SLUG`"),
            WayError::Busy => f.write_str("another process is sending what is queued; try again in a moment"),
            WayError::Store(error) => error.fmt(f),
            WayError::System(why) => f.write_str(why),
            WayError::Io(path, error) => write!(f, "{} cannot be used: {error}", path.display()),
        }
    }
}

impl std::error::Error for WayError {}

impl From<StoreError> for WayError {
    fn from(error: StoreError) -> Self {
        WayError::Store(error)
    }
}

/// What a pass says whose server is not the one any more that its user is signed in to.
const ELSEWHERE: &str = "somebody signed in to another server meanwhile";

/// Everything that is needed to send.
pub(super) struct Way {
    pub(super) store: CredentialStore,
    pub(super) credentials: Credentials,
    pub(super) team: String,
}

impl Way {
    /// The way of a user as it is now.
    pub(super) fn of(user: &UserFolders) -> Result<Self, WayError> {
        let store = CredentialStore::of(user).map_err(WayError::Credentials)?;
        let credentials = store.read().map_err(WayError::Credentials)?;
        let team = credentials.team.clone().ok_or(WayError::NoTeam)?;
        Ok(Way { store, credentials, team })
    }

    /// A connection to the server; nothing is sent yet.
    pub(super) fn http(&self) -> Result<Http, WayError> {
        Http::new(self.credentials.server.clone(), certificates().as_deref()).map_err(WayError::System)
    }

    /// The tokens, refreshed by one process for all.
    pub(super) fn tokens(&self) -> KeptTokens {
        KeptTokens { store: self.store.clone(), held: self.credentials.clone() }
    }

    /// What comes out of the queue, each event in its wire form.
    pub(super) fn outgoing(&self, queue: SyncQueue, now: Option<Timestamp>) -> Outgoing {
        let version = if self.credentials.wire_version == "3.0" { WireVersion::V3 } else { WireVersion::V1 };
        Outgoing { queue, version, team: self.team.clone(), origins: BTreeMap::new(), now }
    }
}

/// A file with the certificates that servers are checked with, where the environment names one.
pub(super) fn certificates() -> Option<PathBuf> {
    std::env::var_os(outbound::CERTIFICATES).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The tokens as they are kept.
#[derive(Debug)]
pub(super) struct KeptTokens {
    store: CredentialStore,
    held: Credentials,
}

/// Why there is no other token.
enum NoToken {
    Kept(CredentialError),
    Server(Renewal),
}

impl From<CredentialError> for NoToken {
    fn from(error: CredentialError) -> Self {
        NoToken::Kept(error)
    }
}

impl Tokens for KeptTokens {
    fn access(&mut self) -> Result<Token, String> {
        let stored = self.store.read().map_err(|error| error.to_string())?;
        if stored.server != self.held.server {
            return Err(ELSEWHERE.to_owned());
        }
        self.held = stored;
        Ok(self.held.access.clone())
    }

    fn renew(&mut self, refused: &Token, ask: &mut dyn FnMut(&Token) -> Renewal) -> Renewal {
        let held = Credentials { access: refused.clone(), ..self.held.clone() };
        let mut answered = None;
        // Neither token goes to another server than the one it is for.
        let renewed = self.store.refresh(&held, REFRESHING, |held| match ask(&held.refresh) {
            Renewal::Renewed(refreshed) => {
                answered = Some(refreshed.clone());
                Ok((refreshed.access, refreshed.refresh))
            }
            other => Err(NoToken::Server(other)),
        });
        match renewed {
            Ok(stored) if stored.server != self.held.server => Renewal::Refused(ELSEWHERE.to_owned()),
            Ok(stored) => {
                let access = stored.access.clone();
                self.held = stored;
                Renewal::Renewed(super::wire::Refreshed { access, refresh: answered.and_then(|new| new.refresh) })
            }
            Err(NoToken::Server(other)) => other,
            Err(NoToken::Kept(error)) if error.is_signed_out() => Renewal::Refused(error.to_string()),
            Err(NoToken::Kept(error)) => Renewal::NoReply(NoReply { why: error.to_string(), reached: false }),
        }
    }
}

/// The queue, seen from the server.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) queue: SyncQueue,
    version: WireVersion,
    team: String,
    origins: BTreeMap<PathBuf, Origin>,
    /// Of events that were refused, those whose next attempt is due by then; without it all.
    now: Option<Timestamp>,
}

impl Queue for Outgoing {
    type Error = StoreError;

    fn due(&mut self, mut after: i64, most: usize) -> Result<Due, StoreError> {
        // What a file of the project or the environment takes back stays, as what nobody agreed to.
        let mut agrees: BTreeMap<PathBuf, bool> = BTreeMap::new();
        loop {
            let mut due = self.queue.due(after, self.now, most)?;
            after = due.events.last().map_or(after, |queued| queued.row);
            due.events.retain(|queued| match agrees.get(&queued.project) {
                Some(agreed) => *agreed,
                None => *agrees.entry(queued.project.clone()).or_insert_with(|| self.still_agrees(&queued.project)),
            });
            if !due.events.is_empty() || !due.more {
                return Ok(due);
            }
        }
    }

    fn settle(&mut self, fates: &[(i64, Fate)]) -> Result<(), StoreError> {
        self.queue.settle(fates, Timestamp::now())
    }

    fn trouble(&mut self, words: &str) -> Result<(), StoreError> {
        self.queue.note_try(Timestamp::now(), Some(words))
    }

    fn leave_alone(&mut self, time: Duration) -> Result<(), StoreError> {
        self.queue.note_not_before(Timestamp::now(), time)
    }

    fn still_agrees(&mut self, project: &Path) -> bool {
        matches!(self.queue.consent(project), Ok(Consent::Agreed))
    }

    fn to_wire(&mut self, queued: &QueuedEvent) -> Result<String, String> {
        let event = Event::parse(queued.event.clone()).map_err(|error| error.to_string())?;
        if event.id() != queued.event_id {
            // No answer would ever name it.
            return Err(format!("it was damaged: it was {}, and says {}", queued.event_id, event.id()));
        }
        let origin = match self.origins.get_mut(&queued.project) {
            Some(origin) => origin,
            None => {
                let origin = origin(&queued.project, &self.team);
                self.origins.entry(queued.project.clone()).or_insert(origin)
            }
        };
        origin.replaces_team = queued.moved;
        work_package::to_wire(&event, origin, self.version)
            .map_err(|broken| broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// How a pass is made.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// How long it keeps trying.
    pub patience: Patience,
    /// Whether events that were refused are sent before their next attempt is due.
    pub all: bool,
    /// How long to wait for another process that sends.
    pub wait: Duration,
}

/// Sends what is queued. `progress` is told what became of events, and how many there were in the beginning.
///
/// # Errors
/// See [`WayError`]. What a server or a network does is no error: see [`Passed::why`].
pub fn send(
    user: &UserFolders,
    sending: Sending,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Summary, u64),
) -> Result<Passed, WayError> {
    // Whoever is signed in when it is this one's turn.
    let _alone = alone(user, sending.wait, stop)?;
    let way = Way::of(user)?;
    let mut queue = SyncQueue::open(user)?;
    let mut standing = queue.standing()?;
    let account = Account { server: Some(way.credentials.server.to_string()), team: Some(way.team.clone()) };
    if standing.account != account {
        // The store was lost meanwhile, and with it who is signed in.
        queue.sign_in(&account)?;
        standing = queue.standing()?;
    }
    let total = standing.depth.saturating_sub(standing.held_back);
    let settings = UserSettings::load(user).0.sync;
    let now = Timestamp::now();
    let first_after = first_after(&standing, settings.interval, now);
    if let Patience::Failures(_) | Patience::For(_) = sending.patience
        && first_after > LONGEST_SILENCE
    {
        let words = format!("the server wants to be left alone for another {}", human(first_after));
        let summary = Summary { left: usize::try_from(total).unwrap_or(usize::MAX), ..Summary::default() };
        return Ok(Passed { why: Why::Refused(words.clone()), summary, trouble: Some(words) });
    }
    let policy = Policy {
        budget: usize::try_from(settings.batch_size).unwrap_or(usize::MAX),
        interval: settings.interval,
        first_after,
        patience: sending.patience,
        ..Policy::default()
    };
    let line = SignedIn::new(way.http()?, way.tokens());
    let mut outgoing = way.outgoing(queue, (!sending.all).then_some(now));
    let passed = pass::pass(&mut outgoing, line, policy, stop, &mut |summary| progress(summary, total));
    let mut passed = passed.map_err(|error| match error {
        PassError::Queue(error) => WayError::Store(error),
        PassError::Thread(error) => WayError::System(format!("no thread can be started: {error}")),
        PassError::Broken => WayError::System(PassError::<StoreError>::Broken.to_string()),
    })?;
    if let Why::SignIn(words) = &passed.why {
        passed.trouble = Some(format!("sign in again with `knockon sync login`: {words}"));
    }
    // An empty queue was no try.
    if passed.trouble.is_some() || passed.summary != Summary::default() {
        outgoing.queue.note_try(Timestamp::now(), passed.trouble.as_deref())?;
    }
    Ok(passed)
}

/// How long a first batch has to wait: for the interval since the last one, of whichever process, and for as long as the
/// server wants to be left alone.
fn first_after(standing: &Standing, interval: Duration, now: Timestamp) -> Duration {
    let since = |then: Timestamp| Duration::from_millis(now.as_millis().saturating_sub(then.as_millis()));
    let last = standing.taken.max(standing.tried);
    let pause = last.map_or(Duration::ZERO, |last| interval.saturating_sub(since(last)));
    let asked = standing.not_before.map(|then| then.as_millis().saturating_sub(now.as_millis()));
    pause.max(Duration::from_millis(asked.unwrap_or(0)).min(LONGEST_REFUSAL))
}

/// One sender at a time, by a lock that ends with the file.
fn alone(user: &UserFolders, wait: Duration, stop: &AtomicBool) -> Result<File, WayError> {
    let folder = user.state.as_ref().ok_or(WayError::Store(StoreError::NoPlace))?.join("sync");
    let failed = |error| WayError::Io(folder.clone(), error);
    sys::make_private_folder(&folder).map_err(failed)?;
    let lock = sys::update_private(&folder.join("pass.lock")).map_err(failed)?;
    let until = Instant::now() + wait;
    loop {
        if sys::try_lock(&lock).map_err(failed)? {
            return Ok(lock.into_file());
        }
        if Instant::now() >= until || stop.load(Ordering::Relaxed) {
            return Err(WayError::Busy);
        }
        std::thread::sleep(LOOK);
    }
}
