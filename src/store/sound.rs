//! The store as those use it who must not be stopped by damage: where it shows, the file is moved aside, and what can be
//! read of it goes on in a new one.

use super::{Store, StoreError, clock};
use crate::project::UserFolders;
use rusqlite::{Connection, Error, ErrorCode};
use std::cell::RefCell;
use std::path::PathBuf;

/// How often in a row it may turn out to be damaged.
const MOST: usize = 3;

/// The store, begun anew whenever it turns out to be damaged.
#[derive(Debug)]
pub(super) struct Sound {
    store: RefCell<Store>,
    /// Whether it has the row of the clock.
    clocked: bool,
}

impl Sound {
    /// Opens it, for a user.
    pub(super) fn open(user: &UserFolders) -> Result<Self, StoreError> {
        Ok(Sound { store: RefCell::new(Store::open(user)?), clocked: false })
    }

    /// Opens it, for a user, with the row of the clock.
    pub(super) fn open_with_clock(user: &UserFolders) -> Result<Self, StoreError> {
        let sound = Sound { clocked: true, ..Self::open(user)? };
        sound.mending(|store| sound.begin(store))?;
        Ok(sound)
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.store.borrow().path.clone()
    }

    /// Where a damaged one was moved, when one was since this was asked last.
    pub(super) fn take_aside(&mut self) -> Option<PathBuf> {
        self.store.get_mut().aside.take()
    }

    /// Makes the row of the clock where there is to be one, and the store is new.
    fn begin(&self, store: &mut Store) -> Result<(), StoreError> {
        if self.clocked { begin_clock(store) } else { Ok(()) }
    }

    /// Reads in one transaction.
    pub(super) fn read<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.mending(|store| store.read(&work))
    }

    /// Carries out `work` in one transaction, durable when this returns. It is carried out again when another process
    /// moves the file aside at that moment.
    pub(super) fn write<T>(&mut self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.mending(|store| {
            loop {
                if !store.stays() {
                    store.follow()?;
                    self.begin(store)?;
                }
                let done = store.write(&work)?;
                // Committed, but maybe to a file that somebody had read before to begin a new one.
                if store.stays() {
                    return Ok(done);
                }
            }
        })
    }

    fn mending<T>(&self, work: impl Fn(&mut Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let store = &mut *self.store.borrow_mut();
        let mut done = work(store);
        for time in 1..=MOST {
            let Err(error) = done else { return done };
            if !shows_damage(&error) {
                return Err(error);
            }
            // A page that could not be read (EIO) counts as damage as well, and may be read the next time.
            let again = if time == 1 { store.reopen() } else { Err(error) };
            match again {
                Err(error) if shows_damage(&error) => store.renew()?,
                opened => opened?,
            }
            done = self.begin(store).and_then(|()| work(store));
        }
        done
    }

    /// The open connection.
    #[cfg(test)]
    pub(super) fn connection(&self) -> std::cell::Ref<'_, Connection> {
        std::cell::Ref::map(self.store.borrow(), |store| &store.connection)
    }
}

fn begin_clock(store: &mut Store) -> Result<(), StoreError> {
    let is_new = "SELECT count(*) = 0 FROM sync";
    if !store.read(|connection| connection.prepare_cached(is_new)?.query_row([], |row| row.get(0)))? {
        return Ok(());
    }
    let path = store.path.clone();
    store.write(|connection| clock::begin(connection, &path))
}

/// Whether an error can only come of damage: what is in the store is not what was ever written there.
fn shows_damage(error: &StoreError) -> bool {
    let StoreError::Sqlite(_, sqlite) = error else { return error.is_damage() };
    let changed = matches!(
        sqlite,
        Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::QueryReturnedNoRows
    );
    // Numbers of rows and ids are never given twice.
    changed || sqlite.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) || error.is_damage()
}
