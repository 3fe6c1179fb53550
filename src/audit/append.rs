//! Appending a line so that no other writer, kill or full disk can tear, lose or double one.
//!
//! Under an exclusive `flock`: is this still the file at that path, does it end in a whole line, what
//! was the last line; then one `write`.

use super::record::AuditRecord;
use crate::project::{Layout, Project, UserFolders};
use crate::sys::{self, LockError, OpenFault, Owner};
use crate::text::hex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How long to wait for another writer. One holds the lock for microseconds; who holds it for longer
/// is stopped or stuck, and the caller must not hang with it.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Longer than any line we write: an event of 8 MiB as an escaped string. A file that does not end in a
/// line within this is none of ours, and is not read into memory.
const LONGEST_LINE: u64 = 32 * 1024 * 1024;
/// `prev` of the first line.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A project's audit log.
#[derive(Debug)]
pub struct AuditLog {
    /// The folder that nothing may lead out of, and the file below it.
    folder: PathBuf,
    name: PathBuf,
    open: Mutex<Option<Open>>,
    /// How long the lock was waited for in vain. It is not waited for again: a caller waits at most once.
    gave_up: OnceLock<Duration>,
}

/// The file, and what we knew of its end after our last line.
#[derive(Debug)]
struct Open {
    file: File,
    end: Option<End>,
}

/// The end of the log.
#[derive(Clone, Debug)]
struct End {
    size: u64,
    seq: u64,
    /// SHA-256 of the last line, without its line feed.
    hash: String,
}

/// Why a record was not written.
#[derive(Debug)]
pub enum AuditError {
    /// Neither the project nor the user has a place for it.
    NoPlace,
    /// The file or its folder cannot be opened.
    Open(PathBuf, OpenFault),
    /// Its lock was not to be had.
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
            AuditError::Io(path, error) => write!(f, "the audit log {} was not written: {error}", path.display()),
        }
    }
}

impl std::error::Error for AuditError {}

impl AuditLog {
    /// The log of a project. Nothing is opened or made yet.
    pub fn of(project: &Project, user: &UserFolders) -> Self {
        let (folder, name) = match project.layout() {
            Layout::Flowspec => (project.root().to_owned(), PathBuf::from(".flowspec/hooks/audit.log")),
            Layout::Knockon => (project.root().to_owned(), PathBuf::from(".knockon/audit.log")),
            Layout::Bare => match &user.state {
                Some(state) => (state.join("projects").join(project.key()), PathBuf::from("audit.log")),
                None => (PathBuf::new(), PathBuf::new()),
            },
        };
        AuditLog { folder, name, open: Mutex::new(None), gave_up: OnceLock::new() }
    }

    /// Opens the log for reading, without following a link out of its folder; nothing when there is none.
    pub(super) fn open_to_read(&self) -> Result<Option<File>, AuditError> {
        let opened = sys::open_folder(&self.folder)
            .and_then(|folder| sys::open_beneath(&folder, &self.name, sys::OpenMode::File));
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(OpenFault::Missing) => Ok(None),
            Err(fault) => Err(AuditError::Open(self.path(), fault)),
        }
    }

    /// Where the log is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Writes one record as the last line. It is handed to the system when this returns, and survives
    /// the end of this process; a power cut may take the last seconds.
    ///
    /// # Errors
    /// See [`AuditError`]; the log is as it was then.
    pub fn append(&self, record: &AuditRecord<'_>) -> Result<(), AuditError> {
        if self.name.as_os_str().is_empty() {
            return Err(AuditError::NoPlace);
        }
        let body = serde_json::to_string(record).map_err(|error| AuditError::Io(self.path(), error.into()))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = self.locked(open.take())?;
        let appended = current.append(&body).map_err(|error| AuditError::Io(self.path(), error));
        // Closing would give the lock back as well; so does this, and the file stays open.
        let unlocked = sys::unlock(&current.file).map_err(|error| AuditError::Io(self.path(), error));
        if appended.is_ok() && unlocked.is_ok() {
            *open = Some(current);
        }
        appended.and(unlocked)
    }

    /// The file at our path, locked: a rotation between opening and locking is noticed.
    fn locked(&self, mut open: Option<Open>) -> Result<Open, AuditError> {
        for _ in 0..100 {
            let current = match open.take() {
                Some(open) => open,
                None => Open { file: self.open_file()?, end: None },
            };
            let wait = if self.gave_up.get().is_some() { Duration::ZERO } else { LOCK_WAIT };
            sys::lock_exclusive(&current.file, wait).map_err(|error| {
                let error = match error {
                    LockError::Busy(waited) => LockError::Busy(*self.gave_up.get_or_init(|| waited)),
                    error => error,
                };
                AuditError::Lock(self.path(), error)
            })?;
            let ours = Owner::of_open(&current.file).map(|owner| owner.identity);
            if let (Ok(ours), Ok(there)) = (ours, sys::owner(&self.path()))
                && ours == there.identity
            {
                return Ok(current);
            }
        }
        let moved = io::Error::new(io::ErrorKind::ResourceBusy, "it is replaced again and again");
        Err(AuditError::Io(self.path(), moved))
    }

    fn open_file(&self) -> Result<File, AuditError> {
        let failed = |fault| AuditError::Open(self.path(), fault);
        if !self.folder.is_dir() {
            // The user's state folder, private as the specification asks.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
            made.map_err(|error| AuditError::Io(self.path(), error))?;
        }
        let root = sys::open_folder(&self.folder).map_err(failed)?;
        match sys::append_beneath(&root, &self.name) {
            Err(OpenFault::Missing) => {
                let hooks = self.name.parent().unwrap_or(Path::new("."));
                let (parent, name) = (hooks.parent(), hooks.file_name());
                if let (Some(parent), Some(name)) = (parent, name) {
                    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                    sys::make_folder_beneath(&root, parent, Path::new(name)).map_err(failed)?;
                }
                sys::append_beneath(&root, &self.name).map_err(failed)
            }
            opened => opened.map_err(failed),
        }
    }
}

impl Open {
    fn append(&mut self, body: &str) -> io::Result<()> {
        let size = Owner::of_open(&self.file)?.size;
        let end = match self.end.take().filter(|end| end.size == size) {
            Some(end) => end,
            None => self.find_end(size)?,
        };
        // A line that someone else wrote can have any number in it; one without a next counts as none.
        let seq = end.seq.checked_add(1).unwrap_or(1);
        let mut line = format!("{{\"seq\":{seq},\"prev\":\"{}\",{}", end.hash, &body[1..]);
        let hash = hex(&Sha256::digest(line.as_bytes()));
        line.push('\n');
        match self.file.write(line.as_bytes()) {
            Ok(written) if written == line.len() => {
                self.end = Some(End { size: end.size + written as u64, seq, hash });
                Ok(())
            }
            written => {
                // A full disk took a part of the line: take it back, so that no reader meets half a line.
                self.file.set_len(end.size)?;
                Err(written.err().unwrap_or_else(|| io::ErrorKind::StorageFull.into()))
            }
        }
    }

    /// Reads the last whole line. What follows it was never acknowledged (its writer died while
    /// writing) and is taken away.
    fn find_end(&self, size: u64) -> io::Result<End> {
        let (end, line) = last_line(&self.file, size)?;
        if end < size {
            self.file.set_len(end)?;
        }
        let Some(line) = line else { return Ok(End { size: 0, seq: 0, hash: NO_HASH.into() }) };
        #[derive(serde::Deserialize)]
        struct Numbered {
            seq: u64,
        }
        let seq = serde_json::from_slice(&line).map_or(0, |Numbered { seq }| seq);
        Ok(End { size: end, seq, hash: hex(&Sha256::digest(&line)) })
    }
}

/// Where the last whole line of `file` ends, and the line itself.
fn last_line(file: &File, size: u64) -> io::Result<(u64, Option<Vec<u8>>)> {
    let mut window: u64 = 8 * 1024;
    loop {
        let from = size.saturating_sub(window);
        let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(0)];
        file.read_exact_at(&mut bytes, from)?;
        if let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') {
            let start = bytes[..end].iter().rposition(|&byte| byte == b'\n');
            if start.is_some() || from == 0 {
                let line = bytes[start.map_or(0, |at| at + 1)..end].to_vec();
                return Ok((from + end as u64 + 1, Some(line)));
            }
        } else if from == 0 {
            return Ok((0, None));
        }
        if window >= LONGEST_LINE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its last line is longer than any record; move it away",
            ));
        }
        window *= 8;
    }
}
