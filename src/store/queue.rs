//! Work-package events on their way to a team server: kept until it has them.
//!
//! An event gets its time of the clock in the transaction that stores it, so that the order of the queue is that of
//! the clock. It leaves the queue when the server has it, or becomes a dead letter.

use super::consent::Consent;
use super::sound::Sound;
use super::standing::{Account, Link};
use super::{StoreError, clock, letters};
use crate::event::{Causality, Event, EventError, EventId};
use crate::project::UserFolders;
use crate::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// From how many events on a user is warned.
pub const WARN_FROM: u64 = 10_000;
/// How often, in milliseconds.
const WARN_EVERY: i64 = 24 * 3600 * 1000;
/// How often a queue is drained after an event at most, in milliseconds.
const DRAIN_EVERY: i64 = 60 * 1000;
/// How often a server may refuse an event before it is a dead letter.
pub(super) const MOST_RETRIES: u32 = 5;
/// How many bytes of events are read at once: they may have 8 MiB each.
const READ_AT_ONCE: usize = 4 * 1024 * 1024;
/// How long an event that was refused waits for its next attempt, in milliseconds: this, doubled each time.
const FIRST_PAUSE: i64 = 30 * 1000;

pub(super) const TABLES: &str = "
CREATE TABLE sync (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    lamport INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    node TEXT NOT NULL,
    clock_ms INTEGER NOT NULL,
    quarantined INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0,
    depth INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    warned_ms INTEGER NOT NULL DEFAULT 0,
    drain_ms INTEGER NOT NULL DEFAULT 0,
    server TEXT,
    team TEXT,
    connection TEXT,
    tried_ms INTEGER,
    trouble TEXT,
    taken_ms INTEGER,
    not_before_ms INTEGER
) STRICT;
CREATE TABLE sync_event (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    project BLOB NOT NULL,
    event_type TEXT NOT NULL,
    server TEXT,
    moved INTEGER NOT NULL DEFAULT 0,
    queued_ms INTEGER NOT NULL,
    retry_count INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    next_ms INTEGER NOT NULL DEFAULT 0,
    event TEXT NOT NULL
) STRICT;
";

/// What an event to be queued goes with.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The real path of the project.
    pub project: &'a Path,
    /// The time that its producer gave it already.
    pub told: Option<u64>,
    /// How many events are kept at most, when its user set a limit.
    pub most: Option<u64>,
}

/// An event that was made to be queued.
#[derive(Clone, Debug)]
pub struct Made {
    /// The event.
    pub event: Event,
    /// Why no server would take it, if none would.
    pub unsound: Option<String>,
}

impl From<Event> for Made {
    fn from(event: Event) -> Self {
        Made { event, unsound: None }
    }
}

/// Whether an event stays in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stay {
    /// It is there, on the disk.
    Queued,
    /// It was there already, or is a dead letter.
    Known,
    /// The queue is as full as its user lets it be.
    Full(u64),
    /// No server would take it; says why.
    Unsound(String),
    /// Its project's events are not kept.
    NotKept(Consent),
}

/// What became of an event that was to be queued.
#[derive(Debug)]
pub struct Enqueued {
    /// The event, with its place among those of other machines.
    pub event: Event,
    /// Whether it stays in the queue.
    pub stay: Stay,
    /// How many events are in the queue.
    pub depth: u64,
    /// Whether its user is to be warned that these are many.
    pub warn: bool,
    /// Whether it is time to bring them to the server; nobody else is told so for a minute.
    pub drain: bool,
    /// Who is signed in.
    pub account: Account,
    /// How the way to the server was last.
    pub link: Option<Link>,
    /// Whether its project agreed.
    pub consent: Consent,
}

/// An event of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedEvent {
    /// Its number: the later, the larger.
    pub row: i64,
    /// Its id.
    pub event_id: EventId,
    /// The real path of its project.
    pub project: PathBuf,
    /// Its bytes.
    pub event: Vec<u8>,
    /// How often the server refused it.
    pub retry_count: u32,
    /// Whether it goes to the team that is signed in to, whatever it says itself.
    pub moved: bool,
}

/// Queued events, in the order they were queued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The events.
    pub events: Vec<QueuedEvent>,
    /// Whether there may be more behind them.
    pub more: bool,
}

/// What the server makes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has it: the event leaves the queue.
    Taken,
    /// It refused it, and says why: the event stays, until it was refused too often.
    Failed(String),
    /// It will never take it: a dead letter.
    Dead(String),
}

/// The queue of a user's events.
#[derive(Debug)]
pub struct SyncQueue {
    pub(super) store: Sound,
}

impl SyncQueue {
    /// Opens the queue of a user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(user: &UserFolders) -> Result<Self, StoreError> {
        Ok(SyncQueue { store: Sound::open_with_clock(user)? })
    }

    /// Where a damaged store was moved, when one was since this was asked last.
    pub fn take_moved_aside(&mut self) -> Option<PathBuf> {
        self.store.take_aside()
    }

    /// Gives an event its time and stores it, durable when this returns. `make` makes the event of what it is told; it
    /// may be asked twice.
    ///
    /// # Errors
    /// See [`StoreError`]; inside: `make` failed, and nothing is stored.
    pub fn enqueue(
        &mut self,
        place: Place<'_>,
        make: impl Fn(Causality) -> Result<Made, EventError>,
    ) -> Result<Result<Enqueued, EventError>, StoreError> {
        let taken_back = Consent::taken_back(place.project);
        let path = self.store.path();
        self.store.write(|connection| self::enqueue(connection, &path, place, taken_back.as_ref(), &make))
    }

    /// Queued events behind row `after`, of projects that agreed, for the server that is signed in to; those whose next attempt is due at `now`, or all.
    /// At most `most`, and fewer when they are large: events of 4 MiB, and the one that makes them more.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn due(&self, after: i64, now: Option<Timestamp>, most: usize) -> Result<Due, StoreError> {
        let now = now.map_or(i64::MAX, millis);
        let query = "SELECT id, event_id, project, event, retry_count, moved FROM sync_event
            WHERE id > ?1 AND next_ms <= ?2 AND project IN (SELECT project FROM consent WHERE agreed = 1)
            AND (server IS NULL OR server = (SELECT server FROM sync)) ORDER BY id LIMIT ?3";
        self.store.read(|connection| {
            let mut query = connection.prepare_cached(query)?;
            let mut rows = query.query(params![after, now, i64::try_from(most).unwrap_or(i64::MAX)])?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let event = queued(row)?;
                bytes += event.event.len();
                events.push(event);
                if bytes >= READ_AT_ONCE {
                    return Ok(Due { events, more: true });
                }
            }
            let more = events.len() >= most;
            Ok(Due { events, more })
        })
    }

    /// Notes what the server made of events, all or none; and, when it took one, that it did so `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn settle(&mut self, fates: &[(i64, Fate)], now: Timestamp) -> Result<(), StoreError> {
        self.store.write(|connection| {
            let mut gone: i64 = 0;
            for (row, fate) in fates {
                gone += i64::from(settle(connection, *row, fate, now)?);
            }
            let taken = fates.iter().any(|(_, fate)| *fate == Fate::Taken).then_some(millis(now));
            let update = "UPDATE sync SET depth = max(0, depth - ?1), taken_ms = coalesce(max(coalesce(taken_ms, 0), ?2), taken_ms)";
            connection.prepare_cached(update)?.execute(params![gone, taken])?;
            Ok(())
        })
    }
}

pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// An event id as it is stored: with `evt_` it is a fifth longer, and not what a server calls it.
pub(super) fn event_id(row: &Row<'_>, column: usize) -> rusqlite::Result<EventId> {
    let ulid: String = row.get(column)?;
    format!("evt_{ulid}").parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn queued(row: &Row<'_>) -> rusqlite::Result<QueuedEvent> {
    Ok(QueuedEvent {
        row: row.get(0)?,
        event_id: event_id(row, 1)?,
        project: path_of(row.get(2)?),
        event: row.get::<_, String>(3)?.into_bytes(),
        retry_count: row.get(4)?,
        moved: row.get(5)?,
    })
}

/// The row of the sync as one event needs it.
struct Head {
    lamport: i64,
    reserved: i64,
    node: String,
    rows: i64,
    depth: i64,
    warned: i64,
    drained: i64,
    account: Account,
    link: Option<Link>,
    agreed: Option<bool>,
}

fn head(connection: &Connection, project: &Path) -> rusqlite::Result<Head> {
    let query = "SELECT lamport, reserved, node, rows, depth, warned_ms, drain_ms, server, team, connection,
        (SELECT agreed FROM consent WHERE project = ?1) FROM sync";
    connection.prepare_cached(query)?.query_row([project.as_os_str().as_bytes()], |row| {
        Ok(Head {
            lamport: row.get(0)?,
            reserved: row.get(1)?,
            node: row.get(2)?,
            rows: row.get(3)?,
            depth: row.get(4)?,
            warned: row.get(5)?,
            drained: row.get(6)?,
            account: Account { server: row.get(7)?, team: row.get(8)? },
            link: row.get::<_, Option<String>>(9)?.as_deref().and_then(Link::parse),
            agreed: row.get(10)?,
        })
    })
}

fn enqueue(
    connection: &Connection,
    store: &Path,
    place: Place<'_>,
    taken_back: Option<&Consent>,
    make: &impl Fn(Causality) -> Result<Made, EventError>,
) -> rusqlite::Result<Result<Enqueued, EventError>> {
    let head = head(connection, place.project)?;
    let now = millis(Timestamp::now());
    let mark = clock::Mark::open(store);
    let value = clock::checked(head.lamport, head.reserved, mark.as_ref())?;
    let lamport = clock::next(value, place.told);
    let absurd = place.told.is_some_and(|told| !clock::is_plausible(value, told));
    let node = head
        .node
        .parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error)))?;
    let team = head.account.team.clone();
    let Made { event, unsound } = match make(Causality::Clocked { node, lamport, team }) {
        Ok(made) => made,
        Err(refused) => return Ok(Err(refused)),
    };
    let consent = match head.agreed {
        Some(false) => Consent::Refused,
        agreed => taken_back.cloned().unwrap_or(agreed.map_or(Consent::Undecided, |_| Consent::Agreed)),
    };
    let depth = u64::try_from(head.depth).unwrap_or(0);
    let stay = if !consent.keeps() {
        Stay::NotKept(consent.clone())
    } else if absurd {
        Stay::Unsound("/lamport_clock: no clock is that far ahead".to_owned())
    } else if let Some(why) = unsound {
        Stay::Unsound(why)
    } else if let Some(most) = place.most.filter(|most| depth >= *most) {
        Stay::Full(most)
    } else if insert(connection, &head, place.project, &event, now)? {
        Stay::Queued
    } else {
        Stay::Known
    };
    let is_new = stay == Stay::Queued;
    let depth = depth + u64::from(is_new);
    let warn = is_new && depth >= WARN_FROM && now - head.warned >= WARN_EVERY;
    let sends = is_new && consent == Consent::Agreed && head.account.is_complete();
    // A clock that was set back must not keep it from being drained.
    let drain = sends && !(0..DRAIN_EVERY).contains(&(now - head.drained));
    let lamport = i64::try_from(lamport).unwrap_or(i64::MAX);
    let reserved = clock::reserve(store, lamport, head.reserved, &head.node)?;
    clock::note(mark, lamport);
    let update = "UPDATE sync SET lamport = ?1, reserved = ?2, clock_ms = ?3, rows = rows + ?4, depth = depth + ?4,
        refused = refused + ?5, quarantined = quarantined + ?8, warned_ms = iif(?6, ?3, warned_ms), drain_ms = iif(?7, ?3, drain_ms)";
    let full = matches!(stay, Stay::Full(_));
    connection.prepare_cached(update)?.execute(params![lamport, reserved, now, is_new, full, warn, drain, absurd])?;
    let Head { account, link, .. } = head;
    Ok(Ok(Enqueued { event, stay, depth, warn, drain, account, link, consent }))
}

/// Stores an event unless it is there; returns whether it did.
fn insert(connection: &Connection, head: &Head, project: &Path, event: &Event, now: i64) -> rusqlite::Result<bool> {
    let insert = "INSERT INTO sync_event (id, event_id, project, event_type, event, queued_ms, server)
        SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM dead_letter WHERE event_id = ?2)
        ON CONFLICT (event_id) DO NOTHING";
    let id = event.id();
    let text = event.json().text();
    let project = project.as_os_str().as_bytes();
    let row = params![head.rows + 1, id.ulid(), project, event.kind().as_str(), text, now, head.account.server];
    Ok(connection.prepare_cached(insert)?.execute(row)? > 0)
}

/// Returns whether the event left the queue.
fn settle(connection: &Connection, row: i64, fate: &Fate, now: Timestamp) -> rusqlite::Result<bool> {
    let reason = match fate {
        Fate::Taken => {
            return Ok(connection.prepare_cached("DELETE FROM sync_event WHERE id = ?1")?.execute([row])? > 0);
        }
        Fate::Failed(reason) => {
            let now = millis(now);
            let update = "UPDATE sync_event SET retry_count = retry_count + 1, last_error = ?2,
                next_ms = ?3 + (?4 << min(retry_count, 7)) WHERE id = ?1 RETURNING retry_count";
            let row = params![row, reason, now, FIRST_PAUSE];
            let retries: Option<u32> =
                connection.prepare_cached(update)?.query_row(row, |row| row.get(0)).optional()?;
            if retries.is_none_or(|retries| retries < MOST_RETRIES) {
                return Ok(false);
            }
            reason
        }
        Fate::Dead(reason) => reason,
    };
    letters::bury(connection, row, reason, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventDraft;
    use crate::project::Project;
    use crate::store::Received;

    fn user(folder: &Path) -> UserFolders {
        UserFolders { state: Some(folder.join("state")), ..UserFolders::default() }
    }

    fn draft() -> EventDraft {
        EventDraft::new("wp.created".parse().unwrap()).context("wp_id", "WP01")
    }

    fn add_as(queue: &mut SyncQueue, project: &Path, id: EventId) -> Enqueued {
        let place = Place { project, told: None, most: None };
        let make = |causality| draft().with_id(id).placed(causality).stamp(id, Timestamp::now(), "/p").map(Made::from);
        queue.enqueue(place, make).unwrap().unwrap()
    }

    fn add(queue: &mut SyncQueue, project: &Path) -> Enqueued {
        add_as(queue, project, EventId::generate(Timestamp::now()))
    }

    fn lamport(event: &Event) -> f64 {
        event.json().get("lamport_clock").unwrap().as_f64().unwrap()
    }

    fn ids(queue: &SyncQueue) -> Vec<EventId> {
        queue.due(0, None, 10_000).unwrap().events.into_iter().map(|queued| queued.event_id).collect()
    }

    /// A queue, and a project that agreed.
    fn agreed(folder: &Path) -> (SyncQueue, Project) {
        let root = folder.join("project");
        std::fs::create_dir_all(&root).unwrap();
        let project = Project::at(&root).unwrap();
        let mut queue = SyncQueue::open(&user(folder)).unwrap();
        queue.decide(&project, true).unwrap();
        (queue, project)
    }

    #[test]
    fn events_come_out_in_the_order_of_the_clock_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let made: Vec<Enqueued> = (0..5).map(|_| add(&mut queue, project.root())).collect();
        assert_eq!(made.iter().map(|made| lamport(&made.event)).collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(ids(&queue), made.iter().map(|made| made.event.id()).collect::<Vec<_>>());
        assert_eq!(made[4].depth, 5);
        let again = add_as(&mut queue, project.root(), made[0].event.id());
        assert_eq!((again.stay, again.depth), (Stay::Known, 5));
        let rows: Vec<i64> = queue.due(0, None, 10).unwrap().events.iter().map(|queued| queued.row).collect();
        queue.settle(&rows.iter().map(|row| (*row, Fate::Taken)).collect::<Vec<_>>(), Timestamp::now()).unwrap();
        assert!(ids(&queue).is_empty());
        let next = add(&mut queue, project.root());
        assert!(queue.due(*rows.last().unwrap(), None, 10).unwrap().events.len() == 1, "a number is never used again");
        assert_eq!((lamport(&next.event), next.depth), (7.0, 1));
    }

    #[test]
    fn nothing_of_a_project_that_did_not_agree_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let other = folder.path().join("other");
        std::fs::create_dir_all(other.join(".knockon")).unwrap();
        let other = Project::at(&other).unwrap();
        let undecided = add(&mut queue, other.root());
        assert_eq!((undecided.stay, undecided.consent), (Stay::Queued, Consent::Undecided));
        let mine = add(&mut queue, project.root());
        assert_eq!(ids(&queue), [mine.event.id()]);
        assert_eq!(queue.standing().unwrap().held_back, 1);
        queue.decide(&other, false).unwrap();
        assert_eq!(add(&mut queue, other.root()).stay, Stay::NotKept(Consent::Refused));
        queue.decide(&other, true).unwrap();
        assert_eq!(ids(&queue).len(), 2);
        let refusing = other.root().join(".knockon/no-sync");
        std::fs::write(&refusing, "").unwrap();
        let taken_back = Consent::TakenBack(refusing.display().to_string());
        assert_eq!(queue.consent(other.root()).unwrap(), taken_back);
        assert_eq!(add(&mut queue, other.root()).stay, Stay::NotKept(taken_back));
    }

    #[test]
    fn the_log_stays_short_when_every_process_writes_once() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, project) = agreed(folder.path());
        drop(queue);
        let log = folder.path().join("state/knockon.db-wal");
        for _ in 0..200 {
            add(&mut SyncQueue::open(&user(folder.path())).unwrap(), project.root());
        }
        let length = std::fs::metadata(log).unwrap().len();
        assert!(length < 100 * 4096, "{length}");
        assert_eq!(ids(&SyncQueue::open(&user(folder.path())).unwrap()).len(), 200);
    }

    #[test]
    fn large_events_are_read_a_few_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let place = Place { project: project.root(), told: None, most: None };
        let id = || EventId::generate(Timestamp::now());
        for megabytes in [1, 2, 2, 7, 1] {
            let title = "x".repeat(megabytes << 20);
            let make = |causality| {
                draft().context("title", &*title).placed(causality).stamp(id(), Timestamp::now(), "/p").map(Made::from)
            };
            queue.enqueue(place, make).unwrap().unwrap();
        }
        let (mut after, mut read) = (0, Vec::new());
        loop {
            let Due { events, more } = queue.due(after, None, 1000).unwrap();
            read.push(events.len());
            after = events.last().unwrap().row;
            if !more {
                break;
            }
        }
        assert_eq!(read, [3, 1, 1]);
        assert_eq!(queue.due(0, None, 2).unwrap().events.len(), 2);
        assert!(queue.due(0, None, 2).unwrap().more && !queue.due(after, None, 2).unwrap().more);
    }

    #[test]
    fn settling_what_was_taken_says_when() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        add(&mut queue, project.root());
        add(&mut queue, project.root());
        let (first, now) = (queue.due(0, None, 1).unwrap().events[0].row, Timestamp::now());
        let second = first + 1;
        queue.settle(&[(first, Fate::Failed("no".into()))], now).unwrap();
        assert_eq!(queue.standing().unwrap().taken, None);
        queue.settle(&[(first, Fate::Failed("no".into())), (second, Fate::Taken)], now).unwrap();
        queue.settle(&[(first, Fate::Dead("never".into()))], Timestamp::from_millis(1)).unwrap();
        let standing = queue.standing().unwrap();
        assert_eq!((standing.taken, standing.depth), (Some(now), 0));
    }

    #[test]
    fn an_event_that_is_refused_too_often_becomes_a_dead_letter_and_can_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let id = add(&mut queue, project.root()).event.id();
        let row = queue.due(0, None, 1).unwrap().events[0].row;
        let now = Timestamp::now();
        for retries in 1..MOST_RETRIES {
            queue.settle(&[(row, Fate::Failed("no".into()))], now).unwrap();
            assert_eq!(queue.due(0, None, 1).unwrap().events[0].retry_count, retries);
            assert!(queue.due(0, Some(now), 1).unwrap().events.is_empty(), "it waits");
        }
        queue.settle(&[(row, Fate::Failed("never".into()))], now).unwrap();
        assert!(ids(&queue).is_empty());
        let letters = queue.dead_letters().unwrap();
        assert_eq!((letters[0].event_id, letters[0].reason.as_str(), letters[0].retry_count), (id, "never", 5));
        assert_eq!(add_as(&mut queue, project.root(), id).stay, Stay::Known, "it does not come in by the front door");
        assert_eq!(queue.retry_dead(Some(&[id])).unwrap(), 1);
        assert_eq!(queue.due(0, Some(now), 1).unwrap().events[0].retry_count, 0);
        assert_eq!(queue.standing().unwrap().depth, 1);
        queue.settle(&[(row, Fate::Dead("poison".into()))], now).unwrap();
        assert_eq!((queue.drop_dead(None).unwrap(), queue.dead_letters().unwrap().len()), (1, 0));
    }

    #[test]
    fn a_home_folder_may_be_reached_by_a_link() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        let (mut queue, project) = agreed(&folder.path().join("link"));
        assert_eq!(add(&mut queue, project.root()).stay, Stay::Queued);
        drop(queue);
        assert_eq!(ids(&SyncQueue::open(&user(&folder.path().join("real"))).unwrap()).len(), 1);
    }

    #[test]
    fn a_full_queue_refuses_and_counts_and_many_are_warned_of_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let id = || EventId::generate(Timestamp::now());
        let make = |causality| draft().placed(causality).stamp(id(), Timestamp::now(), "/p").map(Made::from);
        let mut add = |most| {
            let place = Place { project: project.root(), told: None, most };
            queue.enqueue(place, make).unwrap().unwrap()
        };
        assert_eq!(add(Some(1)).stay, Stay::Queued);
        assert_eq!(add(Some(1)).stay, Stay::Full(1));
        assert!(!add(None).warn);
        queue.store.connection().execute("UPDATE sync SET depth = ?1", [WARN_FROM as i64]).unwrap();
        let place = Place { project: project.root(), told: None, most: None };
        assert!(queue.enqueue(place, make).unwrap().unwrap().warn);
        assert!(!queue.enqueue(place, make).unwrap().unwrap().warn, "told today");
        assert_eq!(queue.standing().unwrap().refused, 1);
    }

    #[test]
    fn a_drain_is_due_once_a_minute_when_there_is_somewhere_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        assert!(!add(&mut queue, project.root()).drain, "signed out");
        let account = Account { server: Some("https://x".into()), team: None };
        queue.sign_in(&account).unwrap();
        assert!(!add(&mut queue, project.root()).drain, "no team");
        queue.sign_in(&Account { team: Some("t".into()), ..account }).unwrap();
        let first = add(&mut queue, project.root());
        assert!(first.drain);
        assert_eq!(first.event.json().get("team_slug").unwrap().text(), "\"t\"");
        assert!(!add(&mut queue, project.root()).drain, "one was due a moment ago");
    }

    #[test]
    fn the_clock_runs_on_when_the_store_is_lost_and_begins_as_another_node_when_all_is() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let last = (0..3).map(|_| add(&mut queue, project.root()).event).last().unwrap();
        let node = queue.clock().unwrap().node;
        drop(queue);
        let state = folder.path().join("state");
        let damage = || {
            std::fs::write(state.join("knockon.db"), vec![b'x'; 8192]).unwrap();
            let _ = std::fs::remove_file(state.join("knockon.db-wal"));
        };
        damage();
        let mut queue = SyncQueue::open(&user(folder.path())).unwrap();
        assert!(queue.take_moved_aside().unwrap().display().to_string().contains("damaged"));
        let next = add(&mut queue, project.root()).event;
        assert!(lamport(&next) > lamport(&last));
        assert_eq!(queue.clock().unwrap().node, node);
        drop(queue);
        damage();
        std::fs::write(state.join("clock.reserve"), "{").unwrap();
        let queue = SyncQueue::open(&user(folder.path())).unwrap();
        assert_ne!(queue.clock().unwrap().node, node, "no two events have the same place");
    }

    #[test]
    fn what_can_be_read_of_a_damaged_store_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let made: Vec<EventId> = (0..200).map(|_| add(&mut queue, project.root()).event.id()).collect();
        queue.store.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let page: i64 = queue
            .store
            .connection()
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'sync'", [], |row| row.get(0))
            .unwrap();
        drop(queue);
        let path = folder.path().join("state/knockon.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = usize::try_from(page - 1).unwrap() * 4096;
        bytes[at..at + 4096].fill(b'x');
        std::fs::write(&path, bytes).unwrap();
        let mut queue = SyncQueue::open(&user(folder.path())).unwrap();
        let next = add(&mut queue, project.root());
        assert_eq!(ids(&queue), [made, vec![next.event.id()]].concat());
        assert_eq!((next.depth, lamport(&next.event) > 200.0), (201, true));
    }

    #[test]
    fn damage_that_shows_while_reading_stops_nobody_and_costs_one_page() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let made: Vec<EventId> = (0..200).map(|_| add(&mut queue, project.root()).event.id()).collect();
        queue.store.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(queue);
        let path = folder.path().join("state/knockon.db");
        let mut bytes = std::fs::read(&path).unwrap();
        // As it is in the event itself, and not in the index.
        let middle = made[100].to_string();
        let at = bytes.windows(middle.len()).position(|window| window == middle.as_bytes()).unwrap() / 4096 * 4096;
        bytes[at..at + 4096].fill(b'x');
        std::fs::write(&path, bytes).unwrap();
        let mut queue = SyncQueue::open(&user(folder.path())).unwrap();
        let there = ids(&queue);
        assert!(queue.take_moved_aside().is_some(), "found while it was read");
        assert!((180..200).contains(&there.len()), "{} are left", there.len());
        assert!(there.contains(&made[199]) && there.contains(&made[0]));
        assert_eq!(ids(&SyncQueue::open(&user(folder.path())).unwrap()), there);
        assert!(lamport(&add(&mut queue, project.root()).event) > 200.0);
    }

    #[test]
    fn a_row_that_is_no_event_any_more_does_not_stop_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        let made: Vec<EventId> = (0..5).map(|_| add(&mut queue, project.root()).event.id()).collect();
        for change in ["event_id = 'no id'", "event = CAST(x'ff' AS TEXT)"] {
            queue
                .store
                .connection()
                .execute(&format!("UPDATE sync_event SET {change} WHERE id = (SELECT min(id) + 1 FROM sync_event)"), [])
                .unwrap();
            assert_eq!(ids(&queue), [vec![made[0]], made[2..].to_vec()].concat(), "{change}");
        }
        queue.store.connection().execute("UPDATE sync SET rows = (SELECT min(id) FROM sync_event)", []).unwrap();
        let next = add(&mut queue, project.root());
        assert_eq!((ids(&queue).len(), next.stay), (5, Stay::Queued), "a number of a row is not given twice");
    }

    #[test]
    fn a_log_that_is_lost_does_not_turn_the_clock_back() {
        for damage in ["gone", "cut off", "first byte", "last frame"] {
            let folder = tempfile::tempdir().unwrap();
            let (mut queue, project) = agreed(folder.path());
            let last = (0..5).map(|_| add(&mut queue, project.root()).event).last().unwrap();
            drop(queue);
            let path = folder.path().join("state/knockon.db-wal");
            let mut log = std::fs::read(&path).unwrap();
            let length = log.len();
            match damage {
                "gone" => std::fs::remove_file(&path).unwrap(),
                "cut off" => std::fs::write(&path, &log[..length - 1]).unwrap(),
                "first byte" => {
                    log[0] ^= 1;
                    std::fs::write(&path, log).unwrap();
                }
                _ => {
                    log[length - 7] ^= 1;
                    std::fs::write(&path, log).unwrap();
                }
            }
            let mut queue = SyncQueue::open(&user(folder.path())).unwrap();
            assert!(lamport(&add(&mut queue, project.root()).event) > lamport(&last), "{damage}");
        }
    }

    #[test]
    fn a_recovery_that_ended_in_the_middle_is_gone_on_with() {
        let state = |folder: &Path| folder.join("state");
        for moved in [&[][..], &["knockon.db"], &["knockon.db", "knockon.db-wal"]] {
            let folder = tempfile::tempdir().unwrap();
            let (mut queue, project) = agreed(folder.path());
            let made: Vec<EventId> = (0..5).map(|_| add(&mut queue, project.root()).event.id()).collect();
            drop(queue);
            let path = state(folder.path()).join("knockon.db");
            drop(crate::store::salvage::rebuild(&path).unwrap());
            for name in moved {
                let aside = name.replace("knockon.db", "knockon.db.damaged-1700000000000");
                std::fs::rename(path.with_file_name(name), path.with_file_name(aside)).unwrap();
            }
            let mut queue = SyncQueue::open(&user(folder.path())).unwrap();
            assert_eq!(ids(&queue), made, "{moved:?}");
            let next = add(&mut queue, project.root());
            assert!(lamport(&next.event) > 5.0, "{moved:?}");
            let aside = crate::store::damaged(&user(folder.path()));
            assert_eq!(aside.len(), usize::from(!moved.is_empty()), "{moved:?}");
            assert_eq!(path.with_file_name("knockon.db.damaged-1700000000000-wal").exists(), !moved.is_empty());
        }
    }

    #[test]
    fn what_is_written_to_a_store_while_it_is_moved_aside_is_in_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, project) = agreed(folder.path());
        add(&mut queue, project.root());
        let path = folder.path().join("state/knockon.db");
        let place = Place { project: project.root(), told: None, most: None };
        let moved = std::cell::Cell::new(false);
        let id = EventId::generate(Timestamp::now());
        // Another process moves it aside in the middle of the transaction.
        let make = |causality| {
            if !moved.replace(true) {
                let aside = path.with_file_name("knockon.db.damaged-1700000000000");
                std::fs::rename(&path, &aside).unwrap();
                std::fs::rename(path.with_file_name("knockon.db-wal"), format!("{}-wal", aside.display())).unwrap();
                std::fs::rename(path.with_file_name("knockon.db-shm"), format!("{}-shm", aside.display())).unwrap();
            }
            draft().placed(causality).stamp(id, Timestamp::now(), "/p").map(Made::from)
        };
        let made = queue.enqueue(place, make).unwrap().unwrap();
        assert_eq!((made.stay, made.event.id()), (Stay::Queued, id));
        let queue = SyncQueue::open(&user(folder.path())).unwrap();
        assert!(
            queue
                .store
                .connection()
                .prepare("SELECT 1 FROM sync_event WHERE event_id = ?1")
                .unwrap()
                .exists([id.ulid()])
                .unwrap()
        );
    }

    #[test]
    fn a_peers_time_moves_the_clock_unless_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, _) = agreed(folder.path());
        assert_eq!(queue.receive(41).unwrap(), Received::Now(42));
        assert_eq!(queue.receive(7).unwrap(), Received::Now(43));
        assert_eq!(queue.receive((1 << 48) + 44).unwrap(), Received::Quarantined);
        assert_eq!((queue.clock().unwrap().value, queue.standing().unwrap().quarantined), (43, 1));
        assert_eq!(queue.receive(1 << 48).unwrap(), Received::Now((1 << 48) + 1));
    }

    #[test]
    fn a_clock_of_spec_kitty_is_taken_over_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, _) = agreed(folder.path());
        queue.receive(9).unwrap();
        let text = queue.export_clock().unwrap();
        assert!(text.starts_with("{\"value\":10,\"node_id\":\""), "{text}");
        let theirs = br#"{"value": 42, "node_id": "0123456789ab", "updated_at": "2026-02-03T12:00:00Z"}"#;
        let clock = queue.import_clock(theirs).unwrap();
        assert_eq!((clock.value, clock.node.as_str()), (42, "0123456789ab"));
        for (text, why) in [
            ("{", "EOF while parsing"),
            (r#"{"value": -1, "node_id": "0123456789ab"}"#, "invalid value"),
            (r#"{"value": 50, "node_id": "alice-laptop"}"#, "`alice-laptop` is no node id"),
            (r#"{"value": 41, "node_id": "0123456789ab"}"#, "it says 41, and the clock here is 42 already"),
            (r#"{"value": 9007199254740992, "node_id": "0123456789ab"}"#, "more than a clock can have"),
        ] {
            let refused = queue.import_clock(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        assert_eq!(queue.clock().unwrap().value, 42);
    }
}
