//! The Lamport clock of a user on this machine, and the node it belongs to.
//!
//! It lives in the store and ticks inside the transaction that stores the event. A store that is lost must not make it
//! begin again: a file beside the store says up to which value the clock may have run, and is written before the clock
//! runs on. When that is lost as well, the node is another one, so that no two events ever have the same place.
//!
//! SQLite takes a damaged end of its log for one that was never written, and goes back in silence. So a second file has
//! the value that was given out last. Nobody waits until that is on the disk: a power cut may take it back, and leaves
//! what the store has acknowledged.

use super::StoreError;
use super::queue::SyncQueue;
use crate::event::NodeId;
use crate::sys;
use crate::time::Timestamp;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The name of the file beside the store.
const RESERVE: &str = "clock.reserve";
/// The name of the file with the last value.
const MARK: &str = "clock.last";
/// How many digits it has, with a line's end: it is written over in its place.
const MARK_DIGITS: usize = 19;
/// How far ahead of the clock the reserve is.
const BLOCK: i64 = 4096;
/// The furthest jump that a peer may cause.
const MOST_AHEAD: u64 = 1 << 48;
/// The largest value a clock may have: what every reader of JSON keeps exactly (RFC 8259, 6).
const MOST: u64 = 1 << 53;

/// The clock as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Its time: that of the last event.
    pub value: u64,
    /// Whose clock it is.
    pub node: NodeId,
    /// When it ticked last.
    pub updated: Timestamp,
}

/// What became of a time that a peer told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The clock is now that.
    Now(u64),
    /// The peer is so far ahead that something is wrong with it: the clock stays as it is.
    Quarantined,
}

/// The file that spec-kitty keeps its clock in (`clock.json`).
#[derive(Deserialize, Serialize)]
struct Exported {
    value: u64,
    node_id: String,
    updated_at: String,
}

/// The file beside the store.
#[derive(Deserialize, Serialize)]
struct Reserve {
    value: i64,
    node_id: String,
}

/// Why a clock cannot be taken over.
#[derive(Debug)]
pub enum ImportError {
    /// The text is no such clock; says why.
    Unreadable(String),
    /// Its value is none that a clock can have.
    TooLarge(u64),
    /// The clock here is further already, and an event may have that time.
    Behind {
        /// The clock that is to be taken over.
        theirs: u64,
        /// The clock that is here.
        ours: u64,
    },
    /// The store failed.
    Store(StoreError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Unreadable(why) => {
                write!(f, "it is no clock: {why}; wanted is {{\"value\": 42, \"node_id\": \"0123456789ab\"}}")
            }
            ImportError::TooLarge(value) => write!(f, "{value} is more than a clock can have (2^53)"),
            ImportError::Behind { theirs, ours } => {
                write!(f, "it says {theirs}, and the clock here is {ours} already: it never runs backwards")
            }
            ImportError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImportError {}

/// Makes the row of the clock where the store is new: after what the file beside it says.
pub(super) fn begin(connection: &Connection, store: &Path) -> rusqlite::Result<()> {
    if connection.query_row("SELECT count(*) FROM sync", [], |row| row.get::<_, i64>(0))? > 0 {
        return Ok(());
    }
    let reserve = read_reserve(&reserve_of(store));
    let (mut value, node) = reserve.unwrap_or_else(|| (0, NodeId::random()));
    if let Some(last) = Mark::open(store).and_then(|mark| mark.last) {
        value = value.max(last);
    }
    // Rows are numbered from the time on, in microseconds: whoever still holds numbers of a store that was lost must not
    // mean events of this one.
    let rows = (Timestamp::now().as_millis() as i64).saturating_mul(1000);
    let insert = "INSERT INTO sync (id, lamport, reserved, node, clock_ms, rows) VALUES (1, ?1, ?1, ?2, 0, ?3)";
    connection.execute(insert, params![value, node.as_str(), rows]).map(drop)
}

/// The file with the last value, open.
pub(super) struct Mark {
    file: File,
    /// What it says, when that can be.
    last: Option<i64>,
}

impl Mark {
    /// Opens it. Without it all goes on: it is needed only once something else is damaged.
    pub(super) fn open(store: &Path) -> Option<Self> {
        let file = sys::update_private(&store.with_file_name(MARK)).ok()?.into_file();
        let mut text = [0; MARK_DIGITS];
        let last = file.read_exact_at(&mut text, 0).ok().and_then(|()| str::from_utf8(&text).ok()?.parse().ok());
        Some(Mark { file, last: last.filter(|last| (0..=MOST as i64).contains(last)) })
    }
}

/// Keeps the value that is given out, before it is.
pub(super) fn note(mark: Option<Mark>, value: i64) {
    // What cannot be kept is missed only once something else is damaged.
    let _ = mark.map(|mark| mark.file.write_all_at(format!("{value:0MARK_DIGITS$}\n").as_bytes(), 0));
}

/// The value of the clock by all that is known.
///
/// # Errors
/// The store's own cannot be what was written.
pub(super) fn checked(value: i64, reserved: i64, mark: Option<&Mark>) -> rusqlite::Result<u64> {
    if !(0..=reserved).contains(&value) || reserved > (MOST as i64).saturating_add(BLOCK) {
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, value));
    }
    // Only what was reserved can have been given out.
    let last = mark.and_then(|mark| mark.last).filter(|last| *last <= reserved);
    Ok(u64::try_from(value.max(last.unwrap_or(0))).unwrap_or(0))
}

fn reserve_of(store: &Path) -> PathBuf {
    store.with_file_name(RESERVE)
}

/// The file beside the store that says up to which value the clock may run; what it says.
pub(super) fn reserve_beside(store: &Path) -> (PathBuf, Option<(u64, NodeId)>) {
    let path = reserve_of(store);
    let reserve = read_reserve(&path).map(|(value, node)| (value.unsigned_abs(), node));
    (path, reserve)
}

fn read_reserve(path: &Path) -> Option<(i64, NodeId)> {
    let bytes = sys::open_private(path).ok()??.read_capped(4096).ok()?;
    let reserve: Reserve = serde_json::from_slice(&bytes).ok()?;
    Some((reserve.value, reserve.node_id.parse().ok()?)).filter(|(value, _)| (0..=MOST as i64).contains(value))
}

/// Says on the disk that the clock may run up to some value, before it does.
fn write_reserve(store: &Path, value: i64, node: &str) -> io::Result<()> {
    let path = reserve_of(store);
    let reserve = Reserve { value, node_id: node.to_owned() };
    let text = serde_json::to_string(&reserve).map_err(io::Error::other)?;
    sys::replace_private(&path, text.as_bytes())
}

/// Up to which value the clock may run, before it runs to `value`: says so on the disk when that is further than before.
pub(super) fn reserve(store: &Path, value: i64, reserved: i64, node: &str) -> rusqlite::Result<i64> {
    if value <= reserved {
        return Ok(reserved);
    }
    let ahead = value.saturating_add(BLOCK);
    let failed = |error| rusqlite::Error::ToSqlConversionFailure(format!("{RESERVE}: {error}").into());
    write_reserve(store, ahead, node).map_err(failed)?;
    Ok(ahead)
}

/// Sets the clock.
fn set(connection: &Connection, store: &Path, value: u64, now: Timestamp) -> rusqlite::Result<()> {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (reserved, node): (i64, String) = connection.query_row("SELECT reserved, node FROM sync", [], row)?;
    let reserved = reserve(store, value, reserved, &node)?;
    note(Mark::open(store), value);
    let update = "UPDATE sync SET lamport = ?1, reserved = ?2, clock_ms = ?3";
    connection.execute(update, params![value, reserved, now.as_millis() as i64]).map(drop)
}

/// The value of the clock, and whose it is.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Clock> {
    let row = connection
        .prepare_cached("SELECT lamport, node, clock_ms FROM sync")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
    let (value, node, updated) = row;
    let node = node
        .parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error)))?;
    let updated = Timestamp::from_millis(u64::try_from(updated).unwrap_or(0));
    Ok(Clock { value: u64::try_from(value).unwrap_or(0), node, updated })
}

/// The value of the clock by all that is known.
fn value(connection: &Connection, store: &Path) -> rusqlite::Result<u64> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (value, reserved) = connection.query_row("SELECT lamport, reserved FROM sync", [], row)?;
    checked(value, reserved, Mark::open(store).as_ref())
}

/// The value after `value`, for an event of this machine; and after what its producer told, when that can be.
pub(super) fn next(value: u64, told: Option<u64>) -> u64 {
    after(value, told.filter(|told| is_plausible(value, *told)).unwrap_or(0))
}

fn after(value: u64, told: u64) -> u64 {
    value.max(told).saturating_add(1)
}

/// Whether a peer's time may move this clock.
pub(super) fn is_plausible(value: u64, told: u64) -> bool {
    // Far below what a clock can have: many jumps, each small enough, must not lead there either.
    told < MOST / 2 && told.saturating_sub(value) <= MOST_AHEAD
}

impl SyncQueue {
    /// The clock.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn clock(&self) -> Result<Clock, StoreError> {
        self.store.read(read)
    }

    /// Takes the time of a peer's event into account: the clock is later than both from now on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn receive(&mut self, told: u64) -> Result<Received, StoreError> {
        let path = self.store.path();
        self.store.write(|connection| {
            let ours = value(connection, &path)?;
            if !is_plausible(ours, told) {
                connection.execute("UPDATE sync SET quarantined = quarantined + 1", [])?;
                return Ok(Received::Quarantined);
            }
            let value = after(ours, told);
            set(connection, &path, value, Timestamp::now())?;
            Ok(Received::Now(value))
        })
    }

    /// The clock as spec-kitty keeps it in `clock.json`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn export_clock(&self) -> Result<String, StoreError> {
        let Clock { value, node, updated } = self.clock()?;
        let exported = Exported { value, node_id: node.to_string(), updated_at: updated.to_string() };
        // Texts and a number: it cannot fail.
        Ok(serde_json::to_string(&exported).unwrap_or_default())
    }

    /// Takes over the clock of spec-kitty's `clock.json`, node and all.
    ///
    /// # Errors
    /// It is none, or would make the clock run backwards; nothing changed.
    pub fn import_clock(&mut self, text: &[u8]) -> Result<Clock, ImportError> {
        #[derive(Deserialize)]
        struct Imported {
            value: u64,
            node_id: String,
        }
        let unreadable = |why: &dyn fmt::Display| ImportError::Unreadable(why.to_string());
        let imported: Imported = serde_json::from_slice(text).map_err(|error| unreadable(&error))?;
        let node: NodeId = imported.node_id.parse().map_err(|error| unreadable(&error))?;
        if imported.value >= MOST {
            return Err(ImportError::TooLarge(imported.value));
        }
        let ours = self.clock().map_err(ImportError::Store)?;
        // Of another node no event here has a time yet.
        if imported.value < ours.value {
            return Err(ImportError::Behind { theirs: imported.value, ours: ours.value });
        }
        self.become_node(&node, imported.value).map_err(ImportError::Store)?;
        self.clock().map_err(ImportError::Store)
    }

    /// Makes this machine's user another node, its clock at least at `value`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn become_node(&mut self, node: &NodeId, value: u64) -> Result<(), StoreError> {
        let path = self.store.path();
        self.store.write(|connection| {
            let value = self::value(connection, &path)?.max(value);
            // Less than any value: what is reserved is for the other node.
            connection.execute("UPDATE sync SET node = ?1, reserved = -1", [node.as_str()])?;
            set(connection, &path, value, Timestamp::now())
        })
    }
}
