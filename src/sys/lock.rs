//! File locks with a bound on the waiting.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Someone else held it all the time; holds how long we waited.
    Busy(Duration),
    /// The file cannot be locked.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Busy(waited) => {
                write!(f, "another process held the lock for {}", crate::time::human(*waited))
            }
            LockError::Io(error) => write!(f, "the file cannot be locked: {error}"),
        }
    }
}

impl std::error::Error for LockError {}

/// How often somebody else is let run before sleeping begins: who holds a lock does so for microseconds, and no
/// sleep is that short.
const YIELDS: u32 = 8;

/// Takes an exclusive `flock` on `file`, waiting at most `limit`; it ends with the open file.
///
/// # Errors
/// Someone held it for longer than `limit`, or the file system has no locks.
pub fn lock_exclusive(file: &impl AsFd, limit: Duration) -> Result<(), LockError> {
    wait_for(file, FlockOperation::NonBlockingLockExclusive, limit)
}

/// Takes a shared `flock` on `file`, waiting at most `limit`; it ends with the open file.
///
/// # Errors
/// Someone held it alone for longer than `limit`, or the file system has no locks.
pub fn lock_shared(file: &impl AsFd, limit: Duration) -> Result<(), LockError> {
    wait_for(file, FlockOperation::NonBlockingLockShared, limit)
}

fn wait_for(file: &impl AsFd, operation: FlockOperation, limit: Duration) -> Result<(), LockError> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(20);
    let mut tries: u32 = 0;
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN) if started.elapsed() >= limit => return Err(LockError::Busy(started.elapsed())),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(LockError::Io(error.into())),
        }
        tries += 1;
        if tries <= YIELDS {
            std::thread::yield_now();
            continue;
        }
        std::thread::sleep(pause);
        // Short enough that 32 writers pass each other in milliseconds, long enough to leave them the processor.
        pause = (pause * 2).min(Duration::from_millis(2));
    }
}

/// Takes an exclusive `flock` on `file` when nobody has it; returns whether it did.
///
/// # Errors
/// The file system has no locks.
pub fn try_lock(file: &impl AsFd) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The name of its program.
    pub name: String,
    /// Whether it is stopped, and will not let go by itself.
    pub stopped: bool,
}

/// Who holds the lock on a file, as far as this system tells (`/proc/locks`, proc(5)).
pub fn lock_holder(file: &impl AsFd) -> Option<Holder> {
    let inode = rustix::fs::fstat(file).ok()?.st_ino.to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 708 08:03:1234 0 EOF; whoever waits has `->` behind the number.
    let held = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words[..] else { return None };
        // Some file systems tell another device here than stat does: the inode has to do.
        (file.rsplit(':').next() == Some(inode.as_str())).then(|| pid.parse().ok()).flatten()
    });
    let pid: u32 = held?;
    let of = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let stopped = of("status").lines().any(|line| line.starts_with("State:") && line.contains("stopped"));
    Some(Holder { pid, name: of("comm").trim().to_owned(), stopped })
}

/// Gives a lock back.
///
/// # Errors
/// The file system has no locks.
pub fn unlock(file: &impl AsFd) -> io::Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}
