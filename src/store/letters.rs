//! Dead letters: events that a server will not take, with its reason, until somebody looks at them.

use super::StoreError;
use super::queue::{SyncQueue, event_id, millis, path_of};
use crate::event::EventId;
use crate::time::Timestamp;
use rusqlite::{Connection, Row, params};
use std::path::PathBuf;

pub(super) const TABLES: &str = "
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    project BLOB NOT NULL,
    event_type TEXT NOT NULL,
    server TEXT,
    queued_ms INTEGER NOT NULL,
    retry_count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    died_ms INTEGER NOT NULL,
    event TEXT NOT NULL
) STRICT;
";

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id.
    pub event_id: EventId,
    /// The real path of its project.
    pub project: PathBuf,
    /// Its type.
    pub event_type: String,
    /// Its bytes.
    pub event: String,
    /// When it was queued.
    pub queued: Timestamp,
    /// How often the server refused it.
    pub retry_count: u32,
    /// Why it was given up.
    pub reason: String,
    /// When.
    pub died: Timestamp,
}

/// Makes a queued event a dead letter; returns whether there was one.
pub(super) fn bury(connection: &Connection, row: i64, reason: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let insert = "INSERT OR REPLACE INTO dead_letter
        (id, event_id, project, event_type, event, queued_ms, retry_count, server, reason, died_ms)
        SELECT id, event_id, project, event_type, event, queued_ms, retry_count, server, ?2, ?3 FROM sync_event WHERE id = ?1";
    connection.prepare_cached(insert)?.execute(params![row, reason, millis(now)])?;
    Ok(connection.prepare_cached("DELETE FROM sync_event WHERE id = ?1")?.execute([row])? > 0)
}

impl SyncQueue {
    /// The dead letters, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let query = "SELECT event_id, project, event_type, event, queued_ms, retry_count, reason, died_ms
            FROM dead_letter ORDER BY id";
        self.store.read(|connection| connection.prepare(query)?.query_map([], letter)?.collect())
    }

    /// Puts dead letters back into the queue, as events that were never refused, at their old place; all without `only`.
    /// Returns how many.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn retry_dead(&mut self, only: Option<&[EventId]>) -> Result<usize, StoreError> {
        self.store.write(|connection| {
            let insert = "INSERT OR IGNORE INTO sync_event (id, event_id, project, event_type, event, queued_ms, server)
                SELECT id, event_id, project, event_type, event, queued_ms, server FROM dead_letter WHERE event_id = ?1";
            let mut back = 0;
            for id in named(connection, only)? {
                back += connection.prepare_cached(insert)?.execute([&id])?;
                connection.prepare_cached("DELETE FROM dead_letter WHERE event_id = ?1")?.execute([&id])?;
            }
            connection.execute("UPDATE sync SET depth = depth + ?1", [i64::try_from(back).unwrap_or(i64::MAX)])?;
            Ok(back)
        })
    }

    /// Forgets dead letters; all without `only`. Returns how many.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn drop_dead(&mut self, only: Option<&[EventId]>) -> Result<usize, StoreError> {
        self.store.write(|connection| {
            let mut gone = 0;
            for id in named(connection, only)? {
                gone += connection.prepare_cached("DELETE FROM dead_letter WHERE event_id = ?1")?.execute([&id])?;
            }
            Ok(gone)
        })
    }
}

/// The ids of the dead letters that are meant.
fn named(connection: &Connection, only: Option<&[EventId]>) -> rusqlite::Result<Vec<String>> {
    match only {
        Some(ids) => Ok(ids.iter().map(|id| id.ulid().to_owned()).collect()),
        None => connection
            .prepare("SELECT event_id FROM dead_letter ORDER BY id")?
            .query_map([], |row| row.get(0))?
            .collect(),
    }
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let time = |column| row.get::<_, i64>(column).map(|at| Timestamp::from_millis(u64::try_from(at).unwrap_or(0)));
    Ok(DeadLetter {
        event_id: event_id(row, 0)?,
        project: path_of(row.get(1)?),
        event_type: row.get(2)?,
        event: row.get(3)?,
        queued: time(4)?,
        retry_count: row.get(5)?,
        reason: row.get(6)?,
        died: time(7)?,
    })
}
