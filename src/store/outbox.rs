//! Deliveries that nobody waits for: stored before the emitter goes on, gone when they are settled.
//!
//! Each belongs to the process that carries it out. That one holds a lock as long as it lives, so that others
//! see when it is gone, whatever became of it; what it had not settled is then anybody's.

use super::sound::Sound;
use super::{Inspected, Store, StoreError};
use crate::event::EventId;
use crate::project::UserFolders;
use crate::sys;
use crate::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// How often a delivery is begun at most, when each time the process that carried it out came to an end.
const MOST_BEGINNINGS: u32 = 3;

pub(super) const TABLES: &str = "
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project BLOB NOT NULL,
    config BLOB,
    trust_hash TEXT,
    hook TEXT NOT NULL,
    file BLOB NOT NULL,
    event BLOB NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    chain INTEGER NOT NULL,
    owner TEXT NOT NULL,
    begun INTEGER NOT NULL DEFAULT 0,
    due_ms INTEGER NOT NULL,
    coalesce_key TEXT,
    events INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX delivery_coalesced ON delivery (project, hook, coalesce_key)
    WHERE coalesce_key IS NOT NULL AND begun = 0;
CREATE INDEX delivery_owner ON delivery (owner);
";

/// Which deliveries go with each other, apart from the hook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The real path of the project.
    pub project: PathBuf,
    /// The configuration that was named (`--config`).
    pub config: Option<PathBuf>,
    /// The consent that was given for this run alone.
    pub trust_hash: Option<String>,
}

/// A delivery to be stored.
#[derive(Clone, Debug)]
pub struct NewDelivery<'a> {
    /// The hook's name.
    pub hook: &'a str,
    /// The configuration that the hook is in.
    pub file: &'a Path,
    /// The event.
    pub event: &'a [u8],
    /// Its id.
    pub event_id: EventId,
    /// What emitted it.
    pub source: &'a str,
    /// How many events led to it.
    pub chain: u32,
    /// The value that events share which become one run, and when that run is due.
    pub coalesce: Option<(String, Timestamp)>,
}

/// A stored delivery.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Its number.
    pub id: i64,
    /// What it goes with.
    pub key: Key,
    /// The hook's name.
    pub hook: String,
    /// The configuration that the hook was in.
    pub file: PathBuf,
    /// The event.
    pub event: Vec<u8>,
    /// Its id.
    pub event_id: String,
    /// What emitted it.
    pub source: String,
    /// How many events led to it.
    pub chain: u32,
    /// Who carries it out.
    pub owner: String,
    /// How often it was begun already.
    pub begun: u32,
    /// When it is due.
    pub due: Timestamp,
    /// How many events it stands for, when it may stand for several.
    pub events: Option<u32>,
}

impl Queued {
    /// Whether it was begun as often as it may, and cut short each time.
    pub fn is_spent(&self) -> bool {
        self.begun >= MOST_BEGINNINGS
    }
}

/// What became of a delivery that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The owner carries it out.
    New,
    /// It became part of a run that was waiting already, of so many events now.
    Joined(u32),
}

/// The process that carries deliveries out: alive as long as its lock is held.
#[derive(Debug)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// The lock. Whoever inherits the descriptor holds it as well.
    pub lock: File,
}

/// The stored deliveries.
#[derive(Debug)]
pub struct Outbox {
    store: Sound,
    owners: PathBuf,
}

impl Outbox {
    /// Opens the outbox of a user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(user: &UserFolders) -> Result<Self, StoreError> {
        let store = Sound::open(user)?;
        let owners = store.path().with_file_name("owners");
        sys::make_private_folder(&owners).map_err(|error| StoreError::Io(owners.clone(), error))?;
        Ok(Outbox { store, owners })
    }

    /// A new owner, alive until its lock is let go of.
    ///
    /// # Errors
    /// Its lock cannot be made.
    pub fn new_owner(&self) -> Result<Owner, StoreError> {
        let name = EventId::generate(Timestamp::now()).ulid().to_owned();
        let path = self.lock_of(&name);
        let made = sys::create_private(&path)
            .and_then(|lock| sys::try_lock(&lock)?.then_some(lock).ok_or(io::ErrorKind::WouldBlock.into()));
        made.map(|lock| Owner { name, lock }).map_err(|error| StoreError::Io(path, error))
    }

    /// Removes what an owner leaves behind that has nothing to do any more.
    pub fn retire(&self, owner: &str) {
        // Gone already is as good.
        let _ = std::fs::remove_file(self.lock_of(owner));
    }

    fn lock_of(&self, owner: &str) -> PathBuf {
        lock_of(&self.owners, owner)
    }

    fn is_alive(&self, owner: &str) -> bool {
        is_alive(&self.owners, owner)
    }

    /// Stores deliveries, durable when this returns, all or none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn store(
        &mut self,
        key: &Key,
        owner: &Owner,
        deliveries: &[NewDelivery<'_>],
    ) -> Result<Vec<Stored>, StoreError> {
        let owners = self.owners.clone();
        self.store.write(|connection| {
            let alive = |name: &str| is_alive(&owners, name);
            deliveries.iter().map(|delivery| store_one(connection, key, &owner.name, delivery, &alive)).collect()
        })
    }

    /// What an owner has to carry out, the first due first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn of_owner(&self, owner: &str) -> Result<Vec<Queued>, StoreError> {
        self.store.read(|connection| {
            let mut query = connection.prepare(&format!("{COLUMNS} WHERE owner = ?1 ORDER BY due_ms, id"))?;
            query.query_map([owner], queued)?.collect()
        })
    }

    /// Takes over what belongs to owners that are gone: of one project, or of all.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn take_over(&mut self, project: Option<&Path>, owner: &Owner) -> Result<Vec<Queued>, StoreError> {
        let owners: Vec<String> = self.store.read(|connection| {
            let mut query = connection.prepare("SELECT DISTINCT owner FROM delivery")?;
            query.query_map([], |row| row.get(0))?.collect()
        })?;
        let gone: Vec<&String> = owners.iter().filter(|name| !self.is_alive(name)).collect();
        self.store.write(|connection| {
            for name in &gone {
                let project = project.map(|project| project.as_os_str().as_bytes());
                let update = "UPDATE delivery SET owner = ?1 WHERE owner = ?2 AND (?3 IS NULL OR project = ?3)";
                connection.execute(update, params![owner.name, name, project])?;
            }
            Ok(())
        })?;
        // Of all projects they have nothing left, unless another project's is.
        for name in gone.iter().filter(|_| project.is_none()) {
            self.retire(name);
        }
        self.of_owner(&owner.name)
    }

    /// How many deliveries belong to owners that are alive.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn under_way(&self, project: Option<&Path>) -> Result<usize, StoreError> {
        let owners: Vec<String> = self.store.read(|connection| {
            let query = "SELECT owner FROM delivery WHERE ?1 IS NULL OR project = ?1";
            let mut query = connection.prepare(query)?;
            query.query_map([project.map(|project| project.as_os_str().as_bytes())], |row| row.get(0))?.collect()
        })?;
        Ok(owners.iter().filter(|owner| self.is_alive(owner)).count())
    }

    /// Notes that a delivery is begun, and gives it as it is now: of coalesced events, the last one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn begin(&mut self, queued_as: &Queued) -> Result<Option<Queued>, StoreError> {
        let Queued { id, owner, begun, .. } = queued_as;
        self.store.write(|connection| {
            let update = "UPDATE delivery SET begun = begun + 1 WHERE id = ?1 AND owner = ?2 AND begun = ?3";
            if connection.execute(update, params![id, owner, begun])? == 0 {
                // Somebody else has it by now.
                return Ok(None);
            }
            connection.query_row(&format!("{COLUMNS} WHERE id = ?1"), [id], queued).optional()
        })
    }

    /// Removes a delivery that is done.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn settle(&mut self, id: i64) -> Result<(), StoreError> {
        self.store.write(|connection| connection.execute("DELETE FROM delivery WHERE id = ?1", [id]).map(drop))
    }
}

fn lock_of(owners: &Path, owner: &str) -> PathBuf {
    owners.join(format!("{owner}.lock"))
}

/// Whether an owner is alive.
fn is_alive(owners: &Path, owner: &str) -> bool {
    match sys::open_private(&lock_of(owners, owner)) {
        Ok(Some(lock)) => !sys::try_lock(&lock).unwrap_or(true),
        _ => false,
    }
}

const COLUMNS: &str = "SELECT id, project, config, trust_hash, hook, event, event_id, source, chain, begun, due_ms, \
                       coalesce_key, events, file, owner FROM delivery";

fn queued(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let path = |bytes: Vec<u8>| PathBuf::from(std::ffi::OsString::from_vec(bytes));
    let coalesced: Option<String> = row.get(11)?;
    Ok(Queued {
        id: row.get(0)?,
        key: Key {
            project: path(row.get(1)?),
            config: row.get::<_, Option<Vec<u8>>>(2)?.map(path),
            trust_hash: row.get(3)?,
        },
        hook: row.get(4)?,
        file: path(row.get(13)?),
        event: row.get(5)?,
        event_id: row.get(6)?,
        source: row.get(7)?,
        chain: row.get(8)?,
        owner: row.get(14)?,
        begun: row.get(9)?,
        due: Timestamp::from_millis(row.get::<_, i64>(10)?.try_into().unwrap_or(0)),
        events: coalesced.map(|_| row.get(12)).transpose()?,
    })
}

fn store_one(
    connection: &Connection,
    key: &Key,
    owner: &str,
    delivery: &NewDelivery<'_>,
    alive: &dyn Fn(&str) -> bool,
) -> rusqlite::Result<Stored> {
    let id = delivery.event_id.to_string();
    let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
    if let Some((value, _)) = &delivery.coalesce {
        // In this transaction: nobody begins it, or stores another, meanwhile.
        let query =
            "SELECT id, owner FROM delivery WHERE project = ?1 AND hook = ?2 AND coalesce_key = ?3 AND begun = 0";
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let waiting = connection.query_row(query, params![path(&key.project), delivery.hook, value], row).optional()?;
        if let Some((run, of)) = waiting {
            let (run, of): (i64, String) = (run, of);
            // One whose owner is gone is taken over.
            let (carrier, stays) = if alive(&of) { (of.as_str(), true) } else { (owner, false) };
            let update = "UPDATE delivery SET event = ?1, event_id = ?2, events = events + 1, owner = ?3 WHERE id = ?4 RETURNING events";
            let events = connection.query_row(update, params![delivery.event, id, carrier, run], |row| row.get(0))?;
            return Ok(if stays { Stored::Joined(events) } else { Stored::New });
        }
    }
    let millis = |at: Timestamp| i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let due = delivery.coalesce.as_ref().map_or_else(Timestamp::now, |(_, due)| *due);
    let insert = "INSERT INTO delivery (project, config, trust_hash, hook, event, event_id, source, chain, owner, due_ms, coalesce_key, file)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    connection.execute(
        insert,
        params![
            path(&key.project),
            key.config.as_deref().map(path),
            key.trust_hash,
            delivery.hook,
            delivery.event,
            id,
            delivery.source,
            delivery.chain,
            owner,
            millis(due),
            delivery.coalesce.as_ref().map(|(value, _)| value),
            path(delivery.file),
        ],
    )?;
    Ok(Stored::New)
}

/// How many deliveries are stored, and how many of those belong to nobody any more.
pub(super) fn inspect(store: &Store) -> Result<Inspected, StoreError> {
    let folder = store.path.with_file_name("owners");
    let owners: Vec<String> = store.read(|connection| {
        let mut query = connection.prepare("SELECT owner FROM delivery")?;
        query.query_map([], |row| row.get(0))?.collect()
    })?;
    let left_behind = owners.iter().filter(|owner| !is_alive(&folder, owner)).count();
    Ok(Inspected { stored: owners.len(), left_behind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(folder: &Path) -> UserFolders {
        UserFolders { state: Some(folder.join("state")), ..UserFolders::default() }
    }

    fn delivery<'a>(hook: &'a str, event: &'a [u8], coalesce: Option<&str>) -> NewDelivery<'a> {
        let coalesce = coalesce.map(|value| (value.to_owned(), Timestamp::now()));
        let event_id = EventId::generate(Timestamp::now());
        NewDelivery { hook, file: Path::new("/p/hooks.yaml"), event, event_id, source: "emit", chain: 0, coalesce }
    }

    fn key() -> Key {
        Key { project: "/p".into(), config: None, trust_hash: None }
    }

    #[test]
    fn what_a_dead_owner_leaves_is_taken_over_once() {
        let folder = tempfile::tempdir().unwrap();
        let user = folders(folder.path());
        let mut outbox = Outbox::open(&user).unwrap();
        let owner = outbox.new_owner().unwrap();
        let stored = outbox.store(&key(), &owner, &[delivery("a", b"1", None), delivery("b", b"2", None)]).unwrap();
        assert_eq!(stored, [Stored::New, Stored::New]);
        let mut other = Outbox::open(&user).unwrap();
        let heir = other.new_owner().unwrap();
        assert!(other.take_over(None, &heir).unwrap().is_empty(), "it is alive");
        assert_eq!(other.under_way(Some(Path::new("/p"))).unwrap(), 2);
        drop(owner);
        assert!(other.take_over(Some(Path::new("/other")), &heir).unwrap().is_empty());
        let taken = other.take_over(Some(Path::new("/p")), &heir).unwrap();
        assert_eq!(taken.iter().map(|queued| queued.hook.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let late = outbox.new_owner().unwrap();
        assert!(outbox.take_over(None, &late).unwrap().is_empty(), "taken once");
        assert_eq!(other.begin(&taken[0]).unwrap().unwrap().begun, 1);
        assert!(outbox.begin(&taken[0]).unwrap().is_none(), "begun once");
        other.settle(taken[0].id).unwrap();
        assert!(other.begin(&taken[1]).unwrap().is_some());
    }

    #[test]
    fn events_of_one_value_become_one_run_until_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(&folders(folder.path())).unwrap();
        let owner = outbox.new_owner().unwrap();
        let mut store = |owner: &Owner, event: &[u8], value| {
            outbox.store(&key(), owner, &[delivery("a", event, Some(value))]).unwrap()[0]
        };
        assert_eq!(store(&owner, b"1", "x"), Stored::New);
        assert_eq!(store(&owner, b"2", "x"), Stored::Joined(2));
        assert_eq!(store(&owner, b"3", "y"), Stored::New);
        let heir = Owner { name: "heir".into(), lock: tempfile::tempfile().unwrap() };
        drop(owner);
        assert_eq!(store(&heir, b"4", "x"), Stored::New, "nobody would carry it out");
        let run = outbox.of_owner("heir").unwrap().remove(0);
        assert_eq!((run.event.as_slice(), run.events), (&b"4"[..], Some(3)));
        outbox.begin(&run).unwrap().unwrap();
        let next = outbox.store(&key(), &heir, &[delivery("a", b"5", Some("x"))]).unwrap();
        assert_eq!(next, [Stored::New], "what has begun is not changed any more");
    }

    #[test]
    fn damage_that_shows_late_stops_nothing_either() {
        let folder = tempfile::tempdir().unwrap();
        let user = folders(folder.path());
        let mut outbox = Outbox::open(&user).unwrap();
        let owner = outbox.new_owner().unwrap();
        outbox.store(&key(), &owner, &[delivery("a", &[b'1'; 40_000], None)]).unwrap();
        outbox.store.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let mut living = Outbox::open(&user).unwrap();
        let path = outbox.store.path();
        drop(outbox);
        // All but the first page, with which a store is opened.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4096..].fill(b'x');
        std::fs::write(&path, bytes).unwrap();
        let mut next = Outbox::open(&user).unwrap();
        assert_eq!(next.store(&key(), &owner, &[delivery("b", b"2", None)]).unwrap(), [Stored::New]);
        living.store(&key(), &owner, &[delivery("c", b"3", None)]).unwrap();
        let hooks = |outbox: &Outbox| -> Vec<String> {
            outbox.of_owner(&owner.name).unwrap().into_iter().map(|queued| queued.hook).collect()
        };
        assert_eq!(hooks(&next), ["b", "c"], "and who had it open writes to the new one");
    }

    #[test]
    fn a_damaged_store_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let user = folders(folder.path());
        drop(Outbox::open(&user).unwrap());
        let state = folder.path().join("state");
        std::fs::write(state.join("knockon.db"), vec![b'x'; 8192]).unwrap();
        let _ = std::fs::remove_file(state.join("knockon.db-wal"));
        let outbox = Outbox::open(&user).unwrap();
        assert!(outbox.of_owner("nobody").unwrap().is_empty());
        let names: Vec<String> =
            std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().any(|name| name.starts_with("knockon.db.damaged-")), "{names:?}");
    }
}
