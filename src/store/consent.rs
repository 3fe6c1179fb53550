//! Which projects agreed that their events leave this machine.
//!
//! It is the user's word alone, and kept in their own store: nothing in a project can give it. A project and the
//! environment can only take it back.

use super::StoreError;
use super::queue::SyncQueue;
use crate::project::Project;
use crate::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub(super) const TABLES: &str = "
CREATE TABLE consent (
    project BLOB PRIMARY KEY,
    agreed INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// The variable that takes consent back for one command: `KNOCKON_SYNC=0`, `off`, `no` or `false`.
pub const VARIABLE: &str = "KNOCKON_SYNC";
/// The file that takes it back for everybody who works in a project, beside its hooks folder's name.
const REFUSING_FILE: &str = "no-sync";

/// Whether the events of a project may leave this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Its user said yes.
    Agreed,
    /// Its user said nothing yet: events are kept, and not sent.
    Undecided,
    /// Its user said no: events are not kept for sending either.
    Refused,
    /// A file of the project, or the environment, says no.
    TakenBack(String),
}

impl Consent {
    /// Whether events are kept for sending.
    pub fn keeps(&self) -> bool {
        matches!(self, Consent::Agreed | Consent::Undecided)
    }

    /// The word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Consent::Agreed => "enabled",
            Consent::Undecided => "undecided",
            Consent::Refused => "disabled",
            Consent::TakenBack(_) => "refused",
        }
    }

    /// What a project's files and the environment say against it, if they do.
    pub fn taken_back(root: &Path) -> Option<Consent> {
        let said = std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().to_ascii_lowercase());
        if let Some(said) = said.filter(|said| ["0", "false", "off", "no"].contains(&said.as_str())) {
            return Some(Consent::TakenBack(format!("{VARIABLE}={said}")));
        }
        let named = [".flowspec", ".knockon"].map(|folder| root.join(folder).join(REFUSING_FILE));
        // What cannot be looked at may say no.
        let refuses = |path: &&PathBuf| !matches!(path.try_exists(), Ok(false));
        named.iter().find(refuses).map(|path| Consent::TakenBack(path.display().to_string()))
    }
}

/// What the user said of a project.
pub(super) fn said(connection: &Connection, project: &Path) -> rusqlite::Result<Consent> {
    let mut query = connection.prepare_cached("SELECT agreed FROM consent WHERE project = ?1")?;
    let agreed: Option<bool> = query.query_row([project.as_os_str().as_bytes()], |row| row.get(0)).optional()?;
    Ok(match agreed {
        Some(true) => Consent::Agreed,
        Some(false) => Consent::Refused,
        None => Consent::Undecided,
    })
}

impl SyncQueue {
    /// Whether the events of a project may leave this machine.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn consent(&self, project: &Path) -> Result<Consent, StoreError> {
        let said = self.store.read(|connection| said(connection, project))?;
        Ok(if said == Consent::Refused { said } else { Consent::taken_back(project).unwrap_or(said) })
    }

    /// Notes what the user says of a project.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn decide(&mut self, project: &Project, agreed: bool) -> Result<(), StoreError> {
        let identity = project.identity();
        let root = identity.as_os_str().as_bytes();
        let upsert = "INSERT INTO consent (project, agreed, at_ms) VALUES (?1, ?2, ?3)
            ON CONFLICT (project) DO UPDATE SET agreed = excluded.agreed, at_ms = excluded.at_ms";
        let now = Timestamp::now().as_millis() as i64;
        self.store.write(|connection| connection.execute(upsert, params![root, agreed, now]).map(drop))
    }

    /// The projects that agreed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn agreed(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.store.read(|connection| {
            let mut query = connection.prepare("SELECT project FROM consent WHERE agreed = 1 ORDER BY project")?;
            let path = |bytes: Vec<u8>| PathBuf::from(std::ffi::OsString::from_vec(bytes));
            query.query_map([], |row| row.get(0).map(path))?.collect()
        })
    }
}
