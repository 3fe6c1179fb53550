//! Pipes that never block their holder.

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What fits into a new pipe at least, in bytes (pipe(7): 16 pages since Linux 2.6.11).
pub const PIPE_CAPACITY: usize = 64 * 1024;

/// Which end of a pipe stays with us and must not block; the other end goes to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Read,
    Write,
}

/// How a read or write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// So many bytes moved.
    Moved(usize),
    /// Nothing can move now.
    Later,
    /// The other side has closed, or the pipe is broken: nothing will ever move.
    Closed,
}

/// A pipe we read from: our end first, the program's end second.
///
/// # Errors
/// Out of descriptors.
pub fn reading_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    new(Ours::Read)
}

/// A pipe we write to: our end first, the program's end second.
///
/// # Errors
/// Out of descriptors.
pub fn writing_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    new(Ours::Write)
}

fn new(ours: Ours) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ours, theirs) = match ours {
        Ours::Read => (read, write),
        Ours::Write => (write, read),
    };
    // Only our end: the flag belongs to the open file, and a hook expects a blocking stdin.
    fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    Ok((ours, theirs))
}

/// Reads what is there into `buffer`.
pub fn read_some(fd: &impl AsFd, buffer: &mut [u8]) -> Transfer {
    outcome(|| rustix::io::read(fd, &mut *buffer))
}

/// Writes as much of `bytes` as fits.
pub fn write_some(fd: &impl AsFd, bytes: &[u8]) -> Transfer {
    outcome(|| rustix::io::write(fd, bytes))
}

fn outcome(mut call: impl FnMut() -> Result<usize, Errno>) -> Transfer {
    loop {
        return match call() {
            Ok(0) => Transfer::Closed,
            Ok(count) => Transfer::Moved(count),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Transfer::Later,
            // EPIPE: a hook need not read its stdin.
            Err(_) => Transfer::Closed,
        };
    }
}
