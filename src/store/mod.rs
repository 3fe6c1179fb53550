//! What has to survive a crash, in one SQLite file of the user's own.
//!
//! `outbox` keeps the deliveries that nobody waits for. Opened only by those that need it: an emit that runs
//! its hooks itself never touches it.

mod outbox;

pub use outbox::{Key, NewDelivery, Outbox, Owner, Queued, Stored};

use crate::project::UserFolders;
use crate::sys;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of the file in the user's state folder.
const FILE: &str = "knockon.db";
/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// The version of the tables (`user_version`).
const VERSION: i64 = 1;

/// Why the store cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// The user has no place for it.
    NoPlace,
    /// Its folder is not the user's alone.
    Exposed(PathBuf),
    /// A newer knockon has written it.
    Newer(PathBuf, i64),
    /// The system refused.
    Io(PathBuf, io::Error),
    /// SQLite refused.
    Sqlite(PathBuf, rusqlite::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NoPlace => f.write_str("there is no place for the store: set HOME or XDG_STATE_HOME"),
            StoreError::Exposed(folder) => {
                write!(f, "the folder {} can be used by others; run: chmod 700 {0}", folder.display())
            }
            StoreError::Newer(path, version) => {
                write!(
                    f,
                    "the store {} has version {version}, this build knows {VERSION}: update knockon",
                    path.display()
                )
            }
            StoreError::Io(path, error) => write!(f, "the store {} cannot be used: {error}", path.display()),
            StoreError::Sqlite(path, error) => write!(f, "the store {} cannot be used: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

/// The open file.
#[derive(Debug)]
struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the store of a user, making it when it is not there. One that is damaged is moved aside, never
    /// thrown away.
    fn open(user: &UserFolders) -> Result<Self, StoreError> {
        let folder = user.state.as_ref().ok_or(StoreError::NoPlace)?;
        let path = folder.join(FILE);
        let failed = |error| StoreError::Io(path.clone(), error);
        sys::make_private_folder(folder).map_err(failed)?;
        if !sys::is_private_folder(folder).map_err(failed)? {
            return Err(StoreError::Exposed(folder.clone()));
        }
        match Self::open_patiently(&path) {
            Err(StoreError::Sqlite(_, error)) if is_damaged(&error) => {
                // One at a time: whoever comes second must not move the fresh one away.
                let lock = sys::open_or_create_private(&folder.join("recovery.lock")).map_err(failed)?;
                sys::lock_exclusive(&lock, BUSY).map_err(|error| failed(io::Error::other(error.to_string())))?;
                match Self::open_patiently(&path) {
                    Err(StoreError::Sqlite(_, error)) if is_damaged(&error) => {
                        move_aside(&path).map_err(failed)?;
                        Self::open_patiently(&path)
                    }
                    opened => opened,
                }
            }
            opened => opened,
        }
    }

    /// Opens it, waiting for others who make it at the same moment: changing to WAL does not wait by itself.
    fn open_patiently(path: &Path) -> Result<Self, StoreError> {
        let until = Instant::now() + BUSY;
        loop {
            match Self::open_at(path) {
                Err(StoreError::Sqlite(_, error))
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => return opened,
            }
        }
    }

    fn open_at(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Sqlite(path.to_owned(), error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let mut store = Store { connection, path: path.to_owned() };
        // What is acknowledged is on the disk: WAL alone would lose the last transactions in a power cut.
        store.connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        store.connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let version = store.version().map_err(failed)?;
        if version > VERSION {
            return Err(StoreError::Newer(path.to_owned(), version));
        }
        if version < VERSION {
            store.migrate().map_err(failed)?;
        }
        // That it can be read at all.
        store.connection.query_row("SELECT count(*) FROM delivery", [], |_| Ok(())).map_err(failed)?;
        Ok(store)
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "user_version", |row| row.get(0))
    }

    fn migrate(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // Another process may have been quicker.
        if version == 0 {
            transaction.execute_batch(outbox::TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()
    }

    /// Carries out `work` in one transaction, durable when this returns.
    fn write<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let path = &self.path;
        let failed = |error| StoreError::Sqlite(path.clone(), error);
        // Immediate: a deferred transaction that turns into a writer fails where another writes (SQLITE_BUSY).
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let result = work(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(result)
    }

    /// Reads in one transaction.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        work(&self.connection).map_err(|error| StoreError::Sqlite(self.path.clone(), error))
    }
}

/// What the store of a user holds, looked at without changing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Deliveries that are stored.
    pub stored: usize,
    /// Those of them whose process is gone.
    pub left_behind: usize,
}

/// Looks at the store of a user; nothing when there is none.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn inspect(user: &UserFolders) -> Result<Option<Inspected>, StoreError> {
    let Some(path) = user.state.as_ref().map(|folder| folder.join(FILE)) else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    let failed = |error| StoreError::Sqlite(path.clone(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let store = Store { connection, path: path.clone() };
    let version = store.version().map_err(failed)?;
    if version > VERSION {
        return Err(StoreError::Newer(path, version));
    }
    let sound: String = store.read(|connection| connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
    if sound != "ok" {
        return Err(StoreError::Io(path, io::Error::new(io::ErrorKind::InvalidData, sound)));
    }
    outbox::inspect(&store).map(Some)
}

/// The version of SQLite that is compiled in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let torn = matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    torn || error.to_string().contains("no such table")
}

/// Moves a store away, with what belongs to it.
fn move_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension(format!("db.damaged-{}", crate::time::Timestamp::now().as_millis()));
    fs::rename(path, &aside)?;
    for part in ["-wal", "-shm"] {
        let of = |path: &Path| PathBuf::from(format!("{}{part}", path.display()));
        // Most often there is none.
        let _ = fs::rename(of(path), of(&aside));
    }
    Ok(())
}
