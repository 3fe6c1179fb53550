//! What can still be read of a damaged store, brought into the new one.

use super::{Store, StoreError};
use rusqlite::{Connection, OpenFlags, params, types::Value};
use std::path::Path;

/// What is worth it, and where the columns go: events that no server has yet, who agreed, and who is signed in.
const WORTH: [(&str, &str); 3] = [
    (
        "SELECT event_id, project, event_type, event, queued_ms, retry_count, id FROM sync_event ORDER BY id",
        "INSERT OR IGNORE INTO sync_event (event_id, project, event_type, event, queued_ms, retry_count, id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    ),
    (
        "SELECT project, agreed, at_ms FROM consent",
        "INSERT OR IGNORE INTO consent (project, agreed, at_ms) VALUES (?1, ?2, ?3)",
    ),
    (
        "SELECT event_id, project, event_type, event, queued_ms, retry_count, reason, died_ms, id FROM dead_letter",
        "INSERT OR IGNORE INTO dead_letter
            (event_id, project, event_type, event, queued_ms, retry_count, reason, died_ms, id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    ),
];

impl Store {
    /// Brings in what can be read of the file at `aside`. What cannot stays there.
    ///
    /// # Errors
    /// The new store cannot be written.
    pub(super) fn salvage(&mut self, aside: &Path) -> Result<(), StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let Ok(damaged) = Connection::open_with_flags(aside, flags) else { return Ok(()) };
        let path = self.path.clone();
        self.write(|connection| {
            super::clock::begin(connection, &path)?;
            for (query, insert) in WORTH {
                for row in rows(&damaged, query) {
                    connection.prepare_cached(insert)?.execute(rusqlite::params_from_iter(row))?;
                }
            }
            if let Some(row) = rows(&damaged, "SELECT server, team, taken_ms FROM sync").first() {
                let update = "UPDATE sync SET server = ?1, team = ?2, taken_ms = ?3";
                connection.execute(update, rusqlite::params_from_iter(row))?;
            }
            let count = "UPDATE sync SET depth = (SELECT count(*) FROM sync_event),
                rows = max((SELECT coalesce(max(id), 0) FROM sync_event), (SELECT coalesce(max(id), 0) FROM dead_letter))";
            connection.execute(count, params![]).map(drop)
        })
    }
}

/// Rows up to the first that cannot be read.
fn rows(damaged: &Connection, query: &str) -> Vec<Vec<Value>> {
    let Ok(mut statement) = damaged.prepare(query) else { return Vec::new() };
    let columns = statement.column_count();
    let Ok(rows) = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()) else {
        return Vec::new();
    };
    rows.map_while(Result::ok).collect()
}
