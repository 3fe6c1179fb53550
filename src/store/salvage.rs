//! What can still be read of a damaged store, brought into a new one.
//!
//! The new one is built beside it and takes its place when it is whole: a kill in the middle, or a disk without space,
//! leaves the damaged one where it was.

use super::{Store, StoreError, part_of};
use crate::event::EventId;
use rusqlite::{Connection, ErrorCode, OpenFlags, types::Value};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Its name while it is built, behind that of the store.
const FRESH: &str = ".fresh";
/// How many numbers of rows in a row may lead to nothing that can be read.
const WIDEST_GAP: usize = 20_000;
/// How often it is gone on behind something that cannot be read.
const MOST_GAPS: usize = 100_000;

/// A table that is worth it: its rows behind one number, the number last, and where the columns go.
struct Numbered(&'static str, &'static str);

/// What nobody else has.
const EVENTS: [Numbered; 3] = [
    Numbered(
        "SELECT event_id, project, event_type, event, queued_ms, retry_count, server, moved, id FROM sync_event
            WHERE id > ?1 ORDER BY id",
        "INSERT OR IGNORE INTO sync_event (event_id, project, event_type, event, queued_ms, retry_count, server, moved, id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    ),
    Numbered(
        "SELECT event_id, project, event_type, event, queued_ms, retry_count, reason, died_ms, server, id FROM dead_letter
            WHERE id > ?1 ORDER BY id",
        "INSERT OR IGNORE INTO dead_letter
            (event_id, project, event_type, event, queued_ms, retry_count, reason, died_ms, server, id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    ),
    // Deliveries that nobody waits for.
    Numbered(
        "SELECT project, config, trust_hash, hook, file, event, event_id, source, chain, owner, begun, due_ms,
            coalesce_key, events, id FROM delivery WHERE id > ?1 ORDER BY id",
        "INSERT OR IGNORE INTO delivery (project, config, trust_hash, hook, file, event, event_id, source, chain, owner,
            begun, due_ms, coalesce_key, events, id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    ),
];

/// Who agreed, and what sources saw.
const FEW: [(&str, &str); 2] = [
    (
        "SELECT project, agreed, at_ms FROM consent",
        "INSERT OR IGNORE INTO consent (project, agreed, at_ms) VALUES (?1, ?2, ?3)",
    ),
    (
        "SELECT source, project, name, value FROM cursor",
        "INSERT OR IGNORE INTO cursor (source, project, name, value) VALUES (?1, ?2, ?3, ?4)",
    ),
];

/// Whether a new store waits to take the place of one that is gone.
pub(super) fn is_unfinished(path: &Path) -> bool {
    fresh_of(path).exists()
}

/// Gives the new store its name.
pub(super) fn put_in_place(path: &Path) -> io::Result<()> {
    fs::rename(fresh_of(path), path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

fn fresh_of(path: &Path) -> PathBuf {
    part_of(path, FRESH)
}

/// Builds a new store with what can be read of the damaged one at `path`. Nobody else writes to that one as long as
/// what is returned is kept, unless it is too damaged for a lock.
///
/// # Errors
/// It cannot be written; nothing changed.
pub(super) fn rebuild(path: &Path) -> Result<Option<Connection>, StoreError> {
    let fresh = fresh_of(path);
    for part in ["", "-wal", "-shm"] {
        // Most often there is none.
        let _ = fs::remove_file(part_of(&fresh, part));
    }
    let mut store = Store::open_unlocked(&fresh)?;
    let damaged = open_damaged(path);
    if let Some(damaged) = &damaged {
        store.write(|connection| bring_in(connection, damaged, path))?;
    }
    // One file without a log: it gets its name in one step.
    let failed = |error| StoreError::Sqlite(fresh.clone(), error);
    store.connection.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    Ok(damaged)
}

fn open_damaged(path: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let mut damaged = Connection::open_with_flags(path, flags).ok()?;
    super::wait_when_busy(&mut damaged).ok()?;
    // What is in its log stays there: it goes aside as it is.
    damaged.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
    // Whoever has it open must not write what nobody reads any more; some can still be read, and not be locked.
    let _ = damaged.execute_batch("BEGIN IMMEDIATE");
    Some(damaged)
}

fn bring_in(connection: &Connection, damaged: &Connection, path: &Path) -> rusqlite::Result<()> {
    super::clock::begin(connection, path)?;
    for Numbered(query, insert) in EVENTS {
        each_row(damaged, query, |row| keep(connection, insert, row))?;
    }
    for (query, insert) in FEW {
        for row in rows_of(damaged, query) {
            keep(connection, insert, &row)?;
        }
    }
    if let Some(row) = row_of(damaged, "SELECT server, team, taken_ms FROM sync") {
        keep(connection, "UPDATE sync SET server = ?1, team = ?2, taken_ms = ?3", &row)?;
    }
    let count = "UPDATE sync SET depth = (SELECT count(*) FROM sync_event),
        rows = max(rows, (SELECT coalesce(max(id), 0) FROM sync_event), (SELECT coalesce(max(id), 0) FROM dead_letter))";
    connection.execute(count, []).map(drop)
}

/// Keeps a row, if it can be one.
fn keep(connection: &Connection, insert: &str, row: &[Value]) -> rusqlite::Result<()> {
    match connection.prepare_cached(insert)?.execute(rusqlite::params_from_iter(row)) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(()),
        kept => kept.map(drop),
    }
}

/// Every row of events that can be read, also behind those that cannot.
fn each_row(
    damaged: &Connection,
    query: &str,
    mut keep: impl FnMut(&[Value]) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let Ok(mut statement) = damaged.prepare(query) else { return Ok(()) };
    let columns = statement.column_count();
    let (mut after, mut gap) = (0_i64, 0);
    for _ in 0..MOST_GAPS {
        let Ok(mut rows) = statement.query([after]) else { return Ok(()) };
        let whole = loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let Ok(values) = (0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()
                    else {
                        continue;
                    };
                    if let Some(number) = number_of(&values).filter(|number| *number > after) {
                        keep(&values)?;
                        (after, gap) = (number, 0);
                    }
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        if whole || gap >= WIDEST_GAP {
            break;
        }
        // The next number that leads around it.
        (after, gap) = (after + 1, gap + 1);
    }
    Ok(())
}

/// The number of a row, if it can be one of an event or of a delivery.
fn number_of(row: &[Value]) -> Option<i64> {
    let (Some(first), Some(Value::Integer(number))) = (row.first(), row.last()) else { return None };
    match first {
        Value::Text(id) => drop(format!("evt_{id}").parse::<EventId>().ok()?),
        // The project of a delivery.
        Value::Blob(_) => {}
        _ => return None,
    }
    (1..1 << 53).contains(number).then_some(*number)
}

/// Rows up to the first that cannot be read.
fn rows_of(damaged: &Connection, query: &str) -> Vec<Vec<Value>> {
    let Ok(mut statement) = damaged.prepare(query) else { return Vec::new() };
    let columns = statement.column_count();
    let Ok(rows) = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()) else {
        return Vec::new();
    };
    rows.map_while(Result::ok).collect()
}

fn row_of(damaged: &Connection, query: &str) -> Option<Vec<Value>> {
    let mut statement = damaged.prepare(query).ok()?;
    let columns = statement.column_count();
    statement.query_row([], |row| (0..columns).map(|column| row.get(column)).collect()).ok()
}
