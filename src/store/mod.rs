//! What has to survive a crash, in one SQLite file of the user's own.
//!
//! `outbox` keeps the deliveries that nobody waits for. `queue` keeps work-package events until a team server has
//! them, with the `clock` that puts them in order, the `consent` they need to leave the machine, the `letters` that
//! were refused, and how the way out stands (`standing`). `cursors` remembers what sources saw. A store that turns out
//! to be damaged is moved aside; what can be read of it (`salvage`) goes on in a new one (`sound`). One writes after the
//! other (`turn`). Opened only by those that need it: an emit of another event that runs its hooks itself never touches
//! it.

mod clock;
mod consent;
mod cursors;
mod letters;
mod outbox;
mod queue;
mod salvage;
mod sound;
mod standing;
mod turn;

pub use clock::{Clock, ImportError, Received};
pub use consent::Consent;
pub use cursors::Cursors;
pub use letters::DeadLetter;
pub use outbox::{Key, NewDelivery, Outbox, Owner, Queued, Stored};
pub use queue::{Due, Enqueued, Fate, Made, Place, QueuedEvent, Stay, SyncQueue, WARN_FROM};
pub use standing::{Account, Link, Standing, service_is_running, service_lock};

use crate::event::NodeId;
use crate::project::UserFolders;
use crate::sys;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use turn::{BUSY, wait_when_busy};

/// The name of the file in the user's state folder.
const FILE: &str = "knockon.db";
/// What a damaged one is called, after the name, with when it was moved aside.
const DAMAGED: &str = "damaged-";
/// The version of the tables (`user_version`).
const VERSION: i64 = 2;
/// A version that no knockon will ever have is damage.
const FURTHEST_VERSION: i64 = 1000;
/// What each version added to the one before.
const MIGRATIONS: [&[&str]; VERSION as usize] =
    [&[outbox::TABLES], &[queue::TABLES, consent::TABLES, letters::TABLES, cursors::TABLES]];
/// From how many changed pages on the log is written back to the file: whoever opens the store first after all others
/// are gone reads what is in the log, so that it must not grow long; and writing it back takes three syncs more, so that
/// it must not be too short (docs/performance.md).
const CHECKPOINT_PAGES: i64 = 80;

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
    /// Another process kept it to itself a moment ago.
    Busy,
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
            StoreError::Busy => f.write_str("another process keeps the store to itself"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Whether another process keeps it to itself.
    pub fn is_busy(&self) -> bool {
        match self {
            StoreError::Sqlite(_, error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy),
            StoreError::Busy => true,
            _ => false,
        }
    }

    /// Whether the file is damaged.
    fn is_damage(&self) -> bool {
        match self {
            StoreError::Sqlite(_, error) => is_damaged(error),
            StoreError::Newer(_, version) => *version > FURTHEST_VERSION,
            _ => false,
        }
    }
}

/// The open file.
#[derive(Debug)]
struct Store {
    connection: Connection,
    path: PathBuf,
    /// The file that is open, by its identity.
    inode: u64,
    /// Where a damaged one was moved, by this process.
    aside: Option<PathBuf>,
    /// Whether a file may be new, so that its name has to be brought to the disk with what is written first.
    unnamed: bool,
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
            Err(error) if error.is_damage() => Self::recover(&path, || match Self::open_unlocked(&path) {
                Err(error) if error.is_damage() => Ok(None),
                opened => opened.map(Some),
            }),
            opened => opened,
        }
    }

    /// Puts a new store in the place of a damaged one, with what can be read of that, unless `sound` has one by then:
    /// one at a time, because whoever comes second must not move the fresh one away. Where it ends in the middle, the
    /// next one goes on.
    fn recover(path: &Path, sound: impl FnOnce() -> Result<Option<Self>, StoreError>) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Io(path.to_owned(), error);
        let lock = recovery_lock(path).map_err(failed)?;
        sys::lock_exclusive(&lock, BUSY).map_err(|error| failed(io::Error::other(error.to_string())))?;
        if let Some(store) = sound()? {
            return Ok(store);
        }
        let read = salvage::rebuild(path)?;
        let aside = move_aside(path).map_err(failed)?;
        drop(read);
        let mut store = Self::open_unlocked(path)?;
        store.aside = Some(aside);
        Ok(store)
    }

    /// Begins a new store in the place of one that turned out to be damaged.
    fn renew(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let stays = || inode_of(&path).is_ok_and(|inode| inode == self.inode);
        *self = Self::recover(&path, || if stays() { Ok(None) } else { Self::open_unlocked(&path).map(Some) })?;
        Ok(())
    }

    /// Opens it while nobody puts another in its place: a log must not be taken for that of another file.
    fn open_patiently(path: &Path) -> Result<Self, StoreError> {
        // Where there can be no lock, there is none to put another in its place.
        let lock = recovery_lock(path).ok().filter(|lock| sys::lock_shared(lock, BUSY).is_ok());
        if !path.exists() && salvage::is_unfinished(path) {
            drop(lock);
            return Self::recover(path, || {
                if !path.exists() {
                    finish_moving(path).map_err(|error| StoreError::Io(path.to_owned(), error))?;
                }
                Self::open_unlocked(path).map(Some)
            });
        }
        Self::open_unlocked(path)
    }

    /// Opens it, waiting for others who make it at the same moment: changing to WAL does not wait by itself.
    fn open_unlocked(path: &Path) -> Result<Self, StoreError> {
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
        // Links are followed: a home folder may be one, and the folder of the file is its user's alone.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        // The log is there whenever the file is, unless another program has opened it.
        let unnamed = !part_of(path, "-wal").exists();
        if unnamed && !path.exists() {
            // Made by the user's rules and not by the umask; another process may be quicker.
            let _ = sys::create_private(path);
        }
        sys::lend_memory_to_sqlite();
        let mut connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
        wait_when_busy(&mut connection).map_err(failed)?;
        // Each of many short-lived processes would be the last one, and write the log back to the file at its end.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        let inode = inode_of(path).map_err(|error| StoreError::Io(path.to_owned(), error))?;
        let mut store = Store { connection, path: path.to_owned(), inode, aside: None, unnamed };
        // The file says so itself from then on.
        if unnamed {
            store.connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        }
        // What is acknowledged is on the disk: WAL alone would lose the last transactions in a power cut.
        store.connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        // See `shorten_log`.
        store.connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
        // It also shows whether it can be read at all.
        let version = store.version().map_err(failed)?;
        if !(0..=VERSION).contains(&version) {
            return Err(StoreError::Newer(path.to_owned(), version & i64::from(u32::MAX)));
        }
        if version < VERSION {
            store.migrate().map_err(failed)?;
        }
        Ok(store)
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "user_version", |row| row.get(0))
    }

    fn migrate(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // Another process may have been quicker.
        let missing = MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0));
        for tables in missing.copied().flatten() {
            transaction.execute_batch(tables)?;
        }
        transaction.pragma_update(None, "user_version", version.max(VERSION))?;
        transaction.commit()
    }

    /// Whether the open file is still the one of that name.
    fn stays(&self) -> bool {
        inode_of(&self.path).is_ok_and(|inode| inode == self.inode)
    }

    /// Opens the file again when another process has moved it aside meanwhile: what is written to that one is lost.
    fn follow(&mut self) -> Result<(), StoreError> {
        if self.stays() { Ok(()) } else { self.reopen() }
    }

    /// Opens the file of that name again.
    fn reopen(&mut self) -> Result<(), StoreError> {
        let store = Self::open_patiently(&self.path)?;
        *self = Store { aside: self.aside.take(), ..store };
        Ok(())
    }

    /// Carries out `work` in one transaction, durable when this returns.
    fn write<T>(&mut self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        // Where that fails, the log is longer for now, and what is written still says whether the store can be used.
        let _ = self.shorten_log();
        let path = &self.path;
        let failed = |error| StoreError::Sqlite(path.clone(), error);
        let transaction = self.take_turn().map_err(failed)?;
        let result = work(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        if std::mem::take(&mut self.unnamed) {
            // SQLite is compiled not to do that itself: once in each process would be once too often.
            let named = self.path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all());
            named.map_err(|error| StoreError::Io(self.path.clone(), error))?;
        }
        Ok(result)
    }

    /// Writes the log back to the file when it is long; the transaction that follows begins it anew.
    ///
    /// SQLite would do so behind a transaction. That a log is written back is known to those only who have the store
    /// open at the same time: short-lived processes, one after the other, would each go on behind what is there, and
    /// write all of it back again.
    fn shorten_log(&self) -> rusqlite::Result<()> {
        let pages = |query| self.connection.prepare_cached(query)?.query_row([], |row| row.get::<_, i64>(1));
        if pages("PRAGMA wal_checkpoint(NOOP)")? >= CHECKPOINT_PAGES {
            // Nobody is waited for: one who is reading keeps it from beginning anew, and the next one tries again.
            pages("PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        Ok(())
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
    let Some(store) = open_to_look(user)? else { return Ok(None) };
    let sound: String = store.read(|connection| connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
    if sound != "ok" {
        return Err(StoreError::Io(store.path, io::Error::new(io::ErrorKind::InvalidData, sound)));
    }
    outbox::inspect(&store).map(Some)
}

/// How the events for the team and their clock stand, looked at without changing anything.
#[derive(Clone, Debug)]
pub struct InspectedQueue {
    /// What the store says.
    pub standing: Standing,
    /// The file beside it that says up to which value the clock may run.
    pub reserve_file: PathBuf,
    /// That value, and whose clock it is; nothing when the file says nothing.
    pub reserve: Option<(u64, NodeId)>,
}

/// Looks at the queue of a user; nothing when there is none.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn inspect_queue(user: &UserFolders) -> Result<Option<InspectedQueue>, StoreError> {
    let Some(store) = open_to_look(user)? else { return Ok(None) };
    let has_queue = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'sync'";
    let is_begun = "SELECT count(*) > 0 FROM sync";
    let asked = |query: &str| store.read(|connection| connection.query_row(query, [], |row| row.get::<_, bool>(0)));
    if !asked(has_queue)? || !asked(is_begun)? {
        return Ok(None);
    }
    let (reserve_file, reserve) = clock::reserve_beside(&store.path);
    Ok(Some(InspectedQueue { standing: store.read(standing::standing)?, reserve_file, reserve }))
}

/// Opens the store of a user without changing anything; nothing when there is none.
fn open_to_look(user: &UserFolders) -> Result<Option<Store>, StoreError> {
    let Some(path) = user.state.as_ref().map(|folder| folder.join(FILE)) else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    let failed = |error| StoreError::Sqlite(path.clone(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let store = Store { connection, path: path.clone(), inode: 0, aside: None, unnamed: false };
    let version = store.version().map_err(failed)?;
    if version > VERSION {
        return Err(StoreError::Newer(path, version));
    }
    Ok(Some(store))
}

/// The version of SQLite that is compiled in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

fn inode_of(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(path)?.ino())
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let torn = matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    // What is asked is always the same: if it is not understood, the tables are not those that were made.
    torn || matches!(error, rusqlite::Error::SqlInputError { .. })
        || ["no such table", "already exists"].iter().any(|sign| error.to_string().contains(sign))
}

/// The lock of whoever opens a store (shared) or puts another in its place.
fn recovery_lock(path: &Path) -> io::Result<fs::File> {
    sys::update_private(&path.with_file_name("recovery.lock")).map(sys::OpenFile::into_file)
}

/// Moves a store away, with what belongs to it, puts the one that was built in its place, and says where the first went.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_extension(format!("db.{DAMAGED}{}", crate::time::Timestamp::now().as_millis()));
    fs::rename(path, &aside)?;
    finish_moving_to(path, &aside)?;
    Ok(aside)
}

/// Goes on with what somebody began who did not come to its end.
fn finish_moving(path: &Path) -> io::Result<()> {
    match damaged_in(path.parent().unwrap_or(path)).pop() {
        Some(aside) => finish_moving_to(path, &aside),
        None => salvage::put_in_place(path),
    }
}

fn finish_moving_to(path: &Path, aside: &Path) -> io::Result<()> {
    for part in ["-wal", "-shm"] {
        match fs::rename(part_of(path, part), part_of(aside, part)) {
            // Most often there is none.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    salvage::put_in_place(path)
}

/// The damaged stores in a folder, the oldest first.
fn damaged_in(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_damaged = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let time = name.strip_prefix(FILE).and_then(|rest| rest.strip_prefix('.')?.strip_prefix(DAMAGED));
        time.is_some_and(|time| time.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut damaged: Vec<PathBuf> = paths.filter(is_damaged).collect();
    damaged.sort();
    damaged
}

/// The damaged stores of a user that lie aside, the oldest first.
pub fn damaged(user: &UserFolders) -> Vec<PathBuf> {
    user.state.as_deref().map(damaged_in).unwrap_or_default()
}

/// A file that SQLite keeps beside another.
fn part_of(path: &Path, part: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(part);
    name.into()
}
