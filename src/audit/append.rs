//! Appending a line so that no other writer, kill or full disk can tear, lose or double one.
//!
//! Under an exclusive `flock`: is this still the file at that path, does it end in a whole line, what
//! was the last line; then one `write`. The lock may be kept for the records that come right after.

use super::elsewhere::Elsewhere;
use super::end::Open;
use super::link::{Line, Point};
use super::mac::Signer;
use super::place::{CURRENT, Place};
use super::record::AuditRecord;
use super::rotate;
use super::seal::{Head, Seal, Seals};
use super::side::Side;
use crate::config::{AuditSettings, Diagnostic, Durability, UserSettings};
use crate::project::{Project, UserFolders, UserKey};
use crate::sys::{self, LockError, OpenFault, Owner};
use crate::time::Timestamp;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait for another writer. One holds the lock for microseconds; who holds it for longer
/// is stopped or stuck, and the caller must not hang with it.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// How many bytes are written under one lock, before others are let in: the time of some hundred records.
pub(super) const LEASE: u64 = 128 * 1024;
/// After how many leases in a row a process that met nobody leaves the lock for a moment all the same.
const LEASES_ALONE: u32 = 16;
/// That moment.
const PAUSE: Duration = Duration::from_micros(60);
/// How often a process that lives on seals what it wrote, and looks for what others wrote beside the log.
const EVERY: Duration = Duration::from_secs(1);

/// A project's audit log.
#[derive(Debug)]
pub struct AuditLog {
    pub(super) place: Option<Place>,
    pub(super) seal: Option<Seal>,
    pub(super) project: Project,
    pub(super) user: UserFolders,
    pub(super) key: UserKey,
    /// Once a record was signed, or could not be.
    pub(super) signer: OnceLock<Result<Signer, String>>,
    /// Once the log could not be written.
    pub(super) elsewhere: OnceLock<Option<Box<Elsewhere>>>,
    settings: OnceLock<(AuditSettings, Vec<Diagnostic>)>,
    inner: Mutex<Inner>,
    /// How long the lock was waited for in vain. It is not waited for again: a caller waits at most once.
    pub(super) gave_up: OnceLock<Duration>,
}

/// What one process knows of the log.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) open: Option<Open>,
    /// Where its records go while the lock is not to be had.
    pub(super) side: Option<Side>,
    /// The end of the log when we first saw it.
    found: Option<Point>,
    /// Whether lines were written since the last seal.
    unsealed: bool,
    sealed: Option<Instant>,
    /// The last line that is known to be on the disk.
    synced: Option<Head>,
    /// When somebody was last looked for who could not have the lock.
    looked: Option<Instant>,
    /// Whether older files are to be compressed.
    to_compress: bool,
    /// Leases in a row without a pause, and whether the last one had to be waited for.
    leases: (u32, bool),
    /// The line that is being written. One buffer for all of them.
    pub(super) line: Line,
}

/// Why a record was not written.
#[derive(Debug)]
pub enum AuditError {
    /// Neither the project nor the user has a place for it.
    NoPlace,
    /// The file or its folder cannot be opened.
    Open(PathBuf, OpenFault),
    /// Its lock was not to be had, and neither could the record be kept beside it.
    Lock(PathBuf, LockError),
    /// It cannot be read or written.
    Io(PathBuf, io::Error),
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditError::NoPlace => f.write_str("there is no place for the audit log: set HOME or XDG_STATE_HOME"),
            AuditError::Open(path, fault) => write!(f, "the audit log {} cannot be opened: {fault}", path.display()),
            AuditError::Lock(path, error) => write!(f, "the audit log {} was not written: {error}", path.display()),
            AuditError::Io(path, error) => write!(f, "the audit log {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for AuditError {}

impl AuditLog {
    /// The log of a project. Nothing is opened or made yet.
    pub fn of(project: &Project, user: &UserFolders) -> Self {
        Self::with_key(project, user, UserKey::of(user))
    }

    /// The same with the user's key, for others to share: it is read once.
    pub(crate) fn with_key(project: &Project, user: &UserFolders, key: UserKey) -> Self {
        AuditLog {
            place: Place::of(project, user),
            seal: Seal::of(project, user),
            project: project.clone(),
            user: user.clone(),
            key,
            signer: OnceLock::new(),
            elsewhere: OnceLock::new(),
            settings: OnceLock::new(),
            inner: Mutex::default(),
            gave_up: OnceLock::new(),
        }
    }

    /// The path of the project it is about.
    pub fn project(&self) -> String {
        self.project.root_text()
    }

    /// Where the log is.
    pub fn path(&self) -> PathBuf {
        self.place.as_ref().map(Place::path).unwrap_or_default()
    }

    /// How it is kept.
    pub fn settings(&self) -> &AuditSettings {
        &self.all_settings().0
    }

    /// What is wrong with the user's settings.
    pub fn problems(&self) -> &[Diagnostic] {
        &self.all_settings().1
    }

    fn all_settings(&self) -> &(AuditSettings, Vec<Diagnostic>) {
        self.settings.get_or_init(|| {
            let (settings, problems) = UserSettings::load(&self.user);
            let mut audit = settings.audit;
            if !problems.is_empty() {
                // Somebody wanted to say something about it: until that is understood, nothing is removed.
                (audit.keep, audit.retention) = (u32::MAX - 1, Duration::MAX);
            }
            (audit, problems)
        })
    }

    /// Writes one record as the last line. It is handed to the system when this returns, and survives
    /// the end of this process; a power cut may take the last seconds, unless the user's settings ask for
    /// `durability: fsync`. While another process is stuck with the lock, the record is kept in a file beside the
    /// log, and put into it by the next writer who has the lock. When the log cannot be written, it is written to one in the user's
    /// state folder, and [`AuditLog::warnings`] says so.
    ///
    /// # Errors
    /// See [`AuditError`]; the log is as it was then.
    pub fn append(&self, record: &AuditRecord<'_>) -> Result<(), AuditError> {
        let written = self.append_and_hold(record);
        written.and(self.release())
    }

    /// As [`AuditLog::append`], and keeps the lock for what is written right after: until
    /// [`AuditLog::release`].
    ///
    /// # Errors
    /// See [`AuditError`]; the log is as it was then.
    pub fn append_and_hold(&self, record: &AuditRecord<'_>) -> Result<(), AuditError> {
        let place = self.place()?;
        let mut inner = self.inner();
        record.write(inner.line.begin());
        let written = match self.hold(&mut inner) {
            Ok(()) => self.write(&mut inner, place, self.signer()),
            Err(AuditError::Lock(path, busy @ LockError::Busy(_))) => {
                let kept = self.keep_beside(&mut inner, place);
                kept.map_err(|_| AuditError::Lock(path, busy))
            }
            Err(error) => Err(error),
        };
        written.or_else(|error| self.append_elsewhere(record, error))
    }

    /// Lets others write: to be called before anything that takes time.
    ///
    /// # Errors
    /// The disk did not take what was written (`durability: fsync`).
    pub fn release(&self) -> Result<(), AuditError> {
        if self.is_durable() {
            return self.sync();
        }
        let mut inner = self.inner();
        self.unlock(&mut inner)?;
        self.compress(&mut inner);
        if inner.sealed.get_or_insert_with(Instant::now).elapsed() >= EVERY {
            self.seal(&mut inner);
        }
        Ok(())
    }

    /// Lets others write, and waits until what was written is on the disk.
    ///
    /// # Errors
    /// It is not.
    pub fn sync(&self) -> Result<(), AuditError> {
        let mut inner = self.inner();
        self.unlock(&mut inner)?;
        let failed = |error| AuditError::Io(self.path(), error);
        let Inner { open, synced, .. } = &mut *inner;
        if let Some(open) = open.as_mut().filter(|open| open.dirty) {
            open.file.sync_data().map_err(failed)?;
            if std::mem::take(&mut open.fresh) {
                open.folder.sync().map_err(failed)?;
            }
            open.dirty = false;
            *synced = open.head(Timestamp::now());
        }
        inner.side.as_mut().map_or(Ok(()), Side::sync).map_err(failed)?;
        self.used_elsewhere().map_or(Ok(()), AuditLog::sync)
    }

    /// What to tell whoever waited in vain for the lock, if somebody did.
    pub fn stuck(&self) -> Option<String> {
        let waited = self.gave_up.get().filter(|waited| !waited.is_zero())?;
        let (path, waited) = (self.path(), crate::time::human(*waited));
        Some(format!(
            "another process held the lock of the audit log {} for {waited}; records are kept beside it until it lets \
             go (`knockon doctor` names that process)",
            path.display()
        ))
    }

    pub(super) fn is_durable(&self) -> bool {
        self.settings().durability == Durability::Fsync
    }

    pub(super) fn place(&self) -> Result<&Place, AuditError> {
        self.place.as_ref().ok_or(AuditError::NoPlace)
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock unless it is held, and finds the end of the log.
    pub(super) fn hold(&self, inner: &mut Inner) -> Result<(), AuditError> {
        if let Some(open) = &mut inner.open
            && open.is_held
        {
            if open.lease > 0 {
                return Ok(());
            }
            self.unlock(inner)?;
            inner.leases.0 += 1;
            if inner.leases.1 || inner.leases.0.is_multiple_of(LEASES_ALONE) {
                std::thread::sleep(PAUSE);
            }
        }
        let result = self.take(inner);
        if result.is_err() {
            inner.open = None;
        }
        result?;
        if inner.looked.is_none_or(|looked| looked.elapsed() >= EVERY) || inner.side.is_some() {
            inner.looked = Some(Instant::now());
            // What cannot be merged now is merged later; the lock may be gone, though.
            if self.merge(inner).is_err() && inner.open.as_ref().is_none_or(|open| !open.is_held) {
                return self.take(inner);
            }
        }
        Ok(())
    }

    /// The file at our path, locked: a rotation between opening and locking is noticed.
    fn take(&self, inner: &mut Inner) -> Result<(), AuditError> {
        let place = self.place()?;
        let failed = |error| AuditError::Io(self.path(), error);
        for _ in 0..100 {
            if inner.open.is_none() {
                inner.open = Some(self.open_file(place)?);
            }
            let Some(open) = &mut inner.open else { continue };
            let at_once = sys::try_lock(&open.file).map_err(failed)?;
            inner.leases.1 = !at_once;
            if !at_once {
                let wait = if self.gave_up.get().is_some() { Duration::ZERO } else { LOCK_WAIT };
                sys::lock_exclusive(&open.file, wait).map_err(|error| {
                    let error = match error {
                        LockError::Busy(waited) => LockError::Busy(*self.gave_up.get_or_init(|| waited)),
                        error => error,
                    };
                    AuditError::Lock(self.path(), error)
                })?;
            }
            match open.folder.owner(OsStr::new(CURRENT)) {
                Ok(there) if there.identity == open.identity => {
                    (open.is_held, open.lease) = (true, LEASE);
                    if open.end.is_none_or(|end| end.size != there.size) {
                        open.end = None;
                        let end = open.find_end(place, self.seal.as_ref(), there.size).map_err(failed)?;
                        open.end = Some(end);
                    }
                    if open.is_foreign() && open.move_aside().is_ok() {
                        // The lock is on what was moved: once more, with a file of ours.
                        inner.open = None;
                        continue;
                    }
                    if let (None, Some(end)) = (inner.found, open.end) {
                        inner.found = Some(end.point);
                    }
                    return Ok(());
                }
                // It was replaced.
                _ => inner.open = None,
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, "it is replaced again and again")))
    }

    fn open_file(&self, place: &Place) -> Result<Open, AuditError> {
        let folder = place.make_folder()?;
        let opened = |fault| AuditError::Open(self.path(), fault);
        let (file, fresh) = match folder.append_existing(OsStr::new(CURRENT)) {
            Err(OpenFault::Missing) => (folder.append(OsStr::new(CURRENT)).map_err(opened)?, true),
            found => (found.map_err(opened)?, false),
        };
        let Owner { identity, names, .. } = file.owner();
        if names > 1 {
            return Err(opened(OpenFault::Wrong("a file with another name elsewhere (a hard link)")));
        }
        let file = file.into_file();
        Ok(Open { folder, file, identity, end: None, signed: None, is_held: false, lease: 0, dirty: false, fresh })
    }

    /// Writes the line that was begun, under the lock; into the next file when this one is full. With a signer, as this user's.
    pub(super) fn write(&self, inner: &mut Inner, place: &Place, signer: Option<&Signer>) -> Result<(), AuditError> {
        let failed = |error| AuditError::Io(self.path(), error);
        let most = self.settings().max_size;
        let length = inner.line.body().len() as u64 + 150;
        let full = |open: &Open| open.end.is_some_and(|end| end.size > 0 && end.size + length > most);
        if inner.open.as_ref().is_some_and(full) {
            // A log that cannot be rotated grows on: a record is worth more than a size.
            if self.rotate(inner, place).is_err() && inner.open.as_ref().is_none_or(|open| !open.is_held) {
                self.take(inner)?;
            }
        }
        let Inner { open: Some(open), line, .. } = inner else { return Err(AuditError::NoPlace) };
        let written = open.append(line, signer).map_err(failed);
        open.lease = open.lease.saturating_sub(length);
        if written.is_err() {
            // What we know of its end may be wrong by now.
            open.end = None;
            let _ = self.unlock(inner);
            inner.open = None;
        } else {
            inner.unsealed |= signer.is_some();
        }
        written
    }

    /// Begins the next file, under the lock of the one that is full.
    pub(super) fn rotate(&self, inner: &mut Inner, place: &Place) -> Result<(), AuditError> {
        let failed = |error| AuditError::Io(self.path(), error);
        let durable = self.is_durable();
        let Some(open) = &inner.open else { return Ok(()) };
        if durable || open.dirty {
            open.file.sync_data().map_err(failed)?;
        }
        rotate::shift(self, place, &open.folder)?;
        inner.to_compress = self.settings().compress;
        // The old file is let go when the new one is locked.
        let _old = inner.open.take();
        self.take(inner)
    }

    /// Compresses what was rotated, while nobody waits for it.
    fn compress(&self, inner: &mut Inner) {
        if std::mem::take(&mut inner.to_compress)
            && let Some(place) = &self.place
        {
            // What fails now is done after the next rotation.
            let _ = rotate::compress(self, inner, place);
        }
    }

    pub(super) fn unlock(&self, inner: &mut Inner) -> Result<(), AuditError> {
        let Some(open) = inner.open.as_mut().filter(|open| open.is_held) else { return Ok(()) };
        open.is_held = false;
        // Closing would give the lock back as well; so does this, and the file stays open.
        let unlocked = sys::unlock(&open.file).map_err(|error| AuditError::Io(self.path(), error));
        if unlocked.is_err() {
            inner.open = None;
        }
        unlocked
    }

    /// Seals the end of the chain as we know it. A seal that cannot be written costs nobody anything but its proof:
    /// `audit verify` and `doctor` tell.
    fn seal(&self, inner: &mut Inner) {
        let Inner { open: Some(open), found: Some(found), synced, .. } = inner else { return };
        let now = Timestamp::now();
        let (Some(seal), Some(end), Some(head), Ok(place)) = (&self.seal, open.end, open.head(now), self.place())
        else {
            return;
        };
        let mut sweep = false;
        let sealed = seal.change(|seals| {
            if seals.heads.is_empty() && seals.base.is_none() {
                // What was before is not known here.
                seals.base = open.before_the_first(place);
            }
            seals.add((head, synced.take()), found.seq, |before| open.has(before, *found, end, place));
            sweep = now.as_millis().saturating_sub(seals.swept) > rotate::SWEEP_EVERY.as_millis() as u64;
            if sweep {
                seals.swept = now.as_millis();
            }
        });
        inner.unsealed = sealed.is_err();
        inner.sealed = Some(Instant::now());
        if sweep && self.hold(inner).is_ok() {
            rotate::sweep(self, inner, place, now);
            let _ = self.unlock(inner);
        }
    }

    /// Changes what is sealed.
    pub(super) fn change_seal(&self, change: impl FnOnce(&mut Seals)) -> Result<(), AuditError> {
        let Some(seal) = &self.seal else { return Ok(()) };
        seal.change(change).map_err(|error| AuditError::Io(seal.path().to_owned(), error))
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        let mut inner = std::mem::take(&mut *self.inner());
        let _ = self.unlock(&mut inner);
        self.compress(&mut inner);
        if inner.unsealed {
            self.seal(&mut inner);
        }
    }
}

impl Inner {
    pub(super) fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }
}
