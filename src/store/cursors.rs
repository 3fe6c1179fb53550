//! What sources saw last, and what they have begun: a text under the source, the project and a name.

use super::StoreError;
use super::sound::Sound;
use crate::project::UserFolders;
use rusqlite::{Connection, OptionalExtension, params};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(super) const TABLES: &str = "
CREATE TABLE cursor (
    source TEXT NOT NULL,
    project BLOB NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (source, project, name)
) STRICT, WITHOUT ROWID;
";

/// The memory of the sources.
#[derive(Debug)]
pub struct Cursors {
    store: Sound,
}

impl Cursors {
    /// Opens it, for a user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(user: &UserFolders) -> Result<Self, StoreError> {
        Ok(Cursors { store: Sound::open(user)? })
    }

    /// What is kept under a name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn get(&self, source: &str, project: &Path, name: &str) -> Result<Option<String>, StoreError> {
        self.store.read(|connection| get(connection, source, project, name))
    }

    /// Keeps a value under a name, durable when this returns.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set(&mut self, source: &str, project: &Path, name: &str, value: &str) -> Result<(), StoreError> {
        self.change(source, project, name, |_| (Some(value.to_owned()), ()))
    }

    /// Changes what is kept under a name, with nobody else in between; `None` removes it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn change<T>(
        &mut self,
        source: &str,
        project: &Path,
        name: &str,
        change: impl Fn(Option<String>) -> (Option<String>, T),
    ) -> Result<T, StoreError> {
        self.store.write(|connection| {
            let (value, result) = change(get(connection, source, project, name)?);
            let key = params![source, project.as_os_str().as_bytes(), name];
            let Some(value) = value else {
                let delete = "DELETE FROM cursor WHERE source = ?1 AND project = ?2 AND name = ?3";
                return connection.execute(delete, key).map(|_| result);
            };
            let upsert = "INSERT INTO cursor (source, project, name, value) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (source, project, name) DO UPDATE SET value = excluded.value";
            let row = params![source, project.as_os_str().as_bytes(), name, value];
            connection.execute(upsert, row).map(|_| result)
        })
    }
}

fn get(connection: &Connection, source: &str, project: &Path, name: &str) -> rusqlite::Result<Option<String>> {
    let query = "SELECT value FROM cursor WHERE source = ?1 AND project = ?2 AND name = ?3";
    connection.query_row(query, params![source, project.as_os_str().as_bytes(), name], |row| row.get(0)).optional()
}
