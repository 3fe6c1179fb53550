//! Waiting for descriptors or a deadline, whichever is first.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What to wait for on a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, the end of the stream, or the end of the process behind a pidfd.
    Readable,
    /// Room to write, or nobody left to read.
    Writable,
}

/// Whether a descriptor is ready, in the order the descriptors were given.
pub type Readiness = Vec<bool>;

/// Waits until one of `descriptors` is ready or `limit` has passed; without a limit as long as it takes.
///
/// # Errors
/// Out of memory, or more descriptors than the process may have.
pub fn wait(descriptors: &[(BorrowedFd<'_>, Interest)], limit: Option<Duration>) -> io::Result<Readiness> {
    let mut polled: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|(fd, interest)| {
            let flags = match interest {
                Interest::Readable => PollFlags::IN,
                Interest::Writable => PollFlags::OUT,
            };
            PollFd::from_borrowed_fd(*fd, flags)
        })
        .collect();
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match poll(&mut polled, limit.as_ref()) {
        // A signal: nothing is ready, and the caller looks at the clock again.
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}
