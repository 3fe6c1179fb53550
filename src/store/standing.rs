//! How the way to the team server stands: who is signed in, what is waiting, what happened last.

use super::queue::{SyncQueue, millis, path_of};
use super::{StoreError, clock};
use crate::project::UserFolders;
use crate::sys::{self, LockError};
use crate::time::Timestamp;
use rusqlite::{Connection, params};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Who is signed in, as far as an event has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The server, when somebody is signed in.
    pub server: Option<String>,
    /// The team, when it is known.
    pub team: Option<String>,
}

impl Account {
    /// Whether events can be sent: the server and the team are known.
    pub fn is_complete(&self) -> bool {
        self.server.is_some() && self.team.is_some()
    }
}

/// The connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Events go out as they are made.
    Connected,
    /// It was lost, and is being made again.
    Reconnecting,
    /// There is none.
    Offline,
    /// There is none, and events go out in batches.
    BatchMode,
}

impl Link {
    /// The word that is stored, and that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Link::Connected => "connected",
            Link::Reconnecting => "reconnecting",
            Link::Offline => "offline",
            Link::BatchMode => "offline_batch_mode",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Link::Connected, Link::Reconnecting, Link::Offline, Link::BatchMode]
            .into_iter()
            .find(|connection| connection.as_str() == text)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Link::Connected => "Connected",
            Link::Reconnecting => "Reconnecting",
            Link::Offline => "Offline",
            Link::BatchMode => "Offline - Batch Mode",
        })
    }
}

/// The lock of the process that brings events to the server as they are made, for as long as it lives.
pub fn service_lock(user: &UserFolders) -> Option<PathBuf> {
    Some(user.state.as_ref()?.join("sync/service.lock"))
}

/// Whether such a process is there.
pub fn service_is_running(user: &UserFolders) -> bool {
    let lock = service_lock(user).and_then(|path| sys::open_private(&path).ok()?);
    // A look takes no lock that another look would take for a process.
    lock.is_some_and(|lock| matches!(sys::lock_shared(&lock, Duration::ZERO), Err(LockError::Busy(_))))
}

impl Link {
    /// How the connection is, by what was noted last and whether whoever noted it is still there.
    pub fn now(noted: Option<Link>, account: &Account, service: bool) -> Link {
        match noted {
            _ if account.server.is_none() => Link::Offline,
            noted if service => noted.unwrap_or(Link::Reconnecting),
            Some(Link::Offline) => Link::Offline,
            _ => Link::BatchMode,
        }
    }
}

/// Everything `sync status` tells.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who is signed in.
    pub account: Account,
    /// How the connection was last, as whoever sends noted it.
    pub link: Option<Link>,
    /// How many events are queued.
    pub depth: u64,
    /// How many of them belong to projects that did not agree.
    pub held_back: u64,
    /// When the oldest was queued.
    pub oldest: Option<Timestamp>,
    /// How many dead letters there are.
    pub dead: u64,
    /// How many events were refused because the queue was full.
    pub refused: u64,
    /// How many times peers told a time that cannot be.
    pub quarantined: u64,
    /// When sending was tried last.
    pub tried: Option<Timestamp>,
    /// What went wrong then.
    pub trouble: Option<String>,
    /// When the server really took a batch last.
    pub taken: Option<Timestamp>,
    /// Until when the server wants to be left alone.
    pub not_before: Option<Timestamp>,
    /// How many queued events are for other servers than the one that is signed in to.
    pub elsewhere: u64,
    /// The clock.
    pub clock: clock::Clock,
    /// The projects with queued events, and how many each has.
    pub projects: Vec<(PathBuf, u64)>,
}

fn time(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(|millis| Timestamp::from_millis(u64::try_from(millis).unwrap_or(0)))
}

fn count(connection: &Connection, query: &str) -> rusqlite::Result<u64> {
    connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(|number| u64::try_from(number).unwrap_or(0))
}

pub(super) fn standing(connection: &Connection) -> rusqlite::Result<Standing> {
    let query = "SELECT server, team, connection, refused, quarantined, tried_ms, trouble, taken_ms,
        not_before_ms FROM sync";
    let agreed = "(SELECT project FROM consent WHERE agreed = 1)";
    let projects = "SELECT project, count(*) FROM sync_event GROUP BY project ORDER BY project";
    let project = |row: &rusqlite::Row<'_>| Ok((path_of(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs()));
    connection.query_row(query, [], |row| {
        Ok(Standing {
            account: Account { server: row.get(0)?, team: row.get(1)? },
            link: row.get::<_, Option<String>>(2)?.as_deref().and_then(Link::parse),
            refused: row.get::<_, i64>(3)?.unsigned_abs(),
            quarantined: row.get::<_, i64>(4)?.unsigned_abs(),
            tried: time(row.get(5)?),
            trouble: row.get(6)?,
            taken: time(row.get(7)?),
            not_before: time(row.get(8)?),
            elsewhere: count(connection, "SELECT count(*) FROM sync_event WHERE server <> (SELECT server FROM sync)")?,
            depth: count(connection, "SELECT count(*) FROM sync_event")?,
            held_back: count(connection, &format!("SELECT count(*) FROM sync_event WHERE project NOT IN {agreed}"))?,
            oldest: time(connection.query_row("SELECT min(queued_ms) FROM sync_event", [], |row| row.get(0))?),
            dead: count(connection, "SELECT count(*) FROM dead_letter")?,
            clock: clock::read(connection)?,
            projects: connection.prepare(projects)?.query_map([], project)?.collect::<rusqlite::Result<_>>()?,
        })
    })
}

impl SyncQueue {
    /// How everything stands.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn standing(&self) -> Result<Standing, StoreError> {
        self.store.read(standing)
    }

    /// Notes who is signed in, for the events that are made from now on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn sign_in(&mut self, account: &Account) -> Result<(), StoreError> {
        let update = "UPDATE sync SET server = ?1, team = ?2, trouble = NULL, connection = NULL, drain_ms = 0,
            not_before_ms = NULL";
        self.store.write(|connection| connection.execute(update, params![account.server, account.team]).map(drop))
    }

    /// Makes the queued events of other servers and teams those of the server and the team that is signed in to; returns
    /// how many are queued.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn take_queued(&mut self) -> Result<usize, StoreError> {
        self.store.write(|connection| connection.execute("UPDATE sync_event SET server = NULL, moved = 1", []))
    }

    /// Notes that the server wants to be left alone for so long.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn note_not_before(&mut self, now: Timestamp, time: Duration) -> Result<(), StoreError> {
        let until = millis(now).saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        self.store.write(|connection| connection.execute("UPDATE sync SET not_before_ms = ?1", [until]).map(drop))
    }

    /// Notes how the connection is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn note_connection(&mut self, state: Link) -> Result<(), StoreError> {
        let update = "UPDATE sync SET connection = ?1 WHERE connection IS NOT ?1";
        self.store.write(|connection| connection.execute(update, [state.as_str()]).map(drop))
    }

    /// Notes that sending was tried, and what went wrong, if anything did.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn note_try(&mut self, at: Timestamp, trouble: Option<&str>) -> Result<(), StoreError> {
        // A server that answered is no server that is out of reach.
        let update = "UPDATE sync SET tried_ms = ?1, trouble = ?2,
            connection = CASE WHEN ?2 IS NULL AND connection = 'offline' THEN 'offline_batch_mode' ELSE connection END";
        self.store.write(|connection| connection.execute(update, params![millis(at), trouble]).map(drop))
    }

    /// A number that changes when another process writes to the store.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn version(&self) -> Result<i64, StoreError> {
        self.store.read(|connection| connection.pragma_query_value(None, "data_version", |row| row.get(0)))
    }
}
