//! A user's way to the team server: their queue, their tokens, and one pass at a time.

use super::credentials::{CredentialError, CredentialStore, Credentials};
use super::http::{Http, NoReply, Renewal};
use super::origin::origin;
use super::pass::{self, PassError, Passed, Queue, SignedIn, Tokens};
use super::session::{Patience, Policy, Summary};
use super::token::Token;
use crate::config::UserSettings;
use crate::event::Event;
use crate::outbound;
use crate::project::UserFolders;
use crate::store::{Consent, Due, Fate, QueuedEvent, StoreError, SyncQueue};
use crate::sys::{self, LockError};
use crate::time::Timestamp;
use crate::work_package::{self, Origin, WireVersion};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long another process may take to refresh the token, and one that saves the new one.
const REFRESHING: Duration = Duration::from_secs(65);

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
        self.held = self.store.read().map_err(|error| error.to_string())?;
        Ok(self.held.access.clone())
    }

    fn renew(&mut self, refused: &Token, ask: &mut dyn FnMut(&Token) -> Renewal) -> Renewal {
        let held = Credentials { access: refused.clone(), ..self.held.clone() };
        let mut answered = None;
        let renewed = self.store.refresh(&held, REFRESHING, |held| match ask(&held.refresh) {
            Renewal::Renewed(refreshed) => {
                answered = Some(refreshed.clone());
                Ok((refreshed.access, refreshed.refresh))
            }
            other => Err(NoToken::Server(other)),
        });
        match renewed {
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

    fn still_agrees(&mut self, project: &Path) -> bool {
        matches!(self.queue.consent(project), Ok(Consent::Agreed))
    }

    fn to_wire(&mut self, queued: &QueuedEvent) -> Result<String, String> {
        let event = Event::parse(queued.event.clone()).map_err(|error| error.to_string())?;
        if event.id() != queued.event_id {
            // No answer would ever name it.
            return Err(format!("it was damaged: it was {}, and says {}", queued.event_id, event.id()));
        }
        let origin = match self.origins.get(&queued.project) {
            Some(origin) => origin,
            None => {
                let origin = origin(&queued.project, &self.team);
                self.origins.entry(queued.project.clone()).or_insert(origin)
            }
        };
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
    let way = Way::of(user)?;
    let _alone = alone(user, sending.wait)?;
    let queue = SyncQueue::open(user)?;
    let standing = queue.standing()?;
    let total = standing.depth.saturating_sub(standing.held_back);
    let settings = UserSettings::load(user).0.sync;
    let since = standing.taken.map(|taken| Timestamp::now().as_millis().saturating_sub(taken.as_millis()));
    let policy = Policy {
        budget: usize::try_from(settings.batch_size).unwrap_or(usize::MAX),
        interval: settings.interval,
        first_after: since
            .map_or(Duration::ZERO, |since| settings.interval.saturating_sub(Duration::from_millis(since))),
        patience: sending.patience,
        ..Policy::default()
    };
    let line = SignedIn::new(way.http()?, way.tokens());
    let mut outgoing = way.outgoing(queue, (!sending.all).then(Timestamp::now));
    let passed = pass::pass(&mut outgoing, line, policy, stop, &mut |summary| progress(summary, total));
    let passed = passed.map_err(|error| match error {
        PassError::Queue(error) => WayError::Store(error),
        PassError::Thread(error) => WayError::System(format!("no thread can be started: {error}")),
        PassError::Broken => WayError::System(PassError::<StoreError>::Broken.to_string()),
    })?;
    outgoing.queue.note_try(Timestamp::now(), passed.trouble.as_deref())?;
    Ok(passed)
}

/// One sender at a time, by a lock that ends with the file.
fn alone(user: &UserFolders, wait: Duration) -> Result<File, WayError> {
    let folder = user.state.as_ref().ok_or(WayError::Store(StoreError::NoPlace))?.join("sync");
    let failed = |error| WayError::Io(folder.clone(), error);
    sys::make_private_folder(&folder).map_err(failed)?;
    let lock = sys::update_private(&folder.join("pass.lock")).map_err(failed)?;
    match sys::lock_exclusive(&lock, wait) {
        Ok(()) => Ok(lock),
        Err(LockError::Busy(_)) => Err(WayError::Busy),
        Err(LockError::Io(error)) => Err(failed(error)),
    }
}
