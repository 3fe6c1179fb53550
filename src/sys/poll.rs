//! Waiting for descriptors or a deadline, whichever is first, at a cost that does not grow with how many there are.

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What to wait for on a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the end of the stream.
    Readable,
    /// Room to write, or nobody left to read.
    Writable,
}

/// How many descriptors are told of in one turn.
const EVENTS: usize = 64;

/// A set of descriptors that are waited for, each with a number of the caller's choice.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Poller").field(&self.epoll).finish()
    }
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poller { epoll, events: Vec::with_capacity(EVENTS) })
    }

    /// Adds a descriptor. It stays until it is removed or closed.
    ///
    /// # Errors
    /// Out of memory.
    pub fn add(&self, fd: BorrowedFd<'_>, number: u64, interest: Interest) -> io::Result<()> {
        let flags = match interest {
            Interest::Readable => epoll::EventFlags::IN,
            Interest::Writable => epoll::EventFlags::OUT,
        };
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(number), flags)?)
    }

    /// Removes a descriptor that stays open.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // It is there: it was added, and closing would have removed it.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits until a descriptor is ready or `limit` has passed, without a limit as long as it takes, and puts the
    /// numbers of those that are ready into `ready`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn wait(&mut self, limit: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        ready.clear();
        self.events.clear();
        match epoll::wait(self.epoll.as_fd(), rustix::buffer::spare_capacity(&mut self.events), limit.as_ref()) {
            // A signal: nothing is ready, and the caller looks at the clock again.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| event.data.u64()));
        Ok(())
    }
}
