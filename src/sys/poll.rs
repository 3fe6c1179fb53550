//! Waiting for descriptors or a deadline, whichever is first, at a cost that does not grow with how many there are.

use super::platform::Poller;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
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

/// Linux's own set of descriptors: it tells of those that are ready, however many there are.
pub(super) struct Epoll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Epoll").field(&self.epoll).finish()
    }
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Epoll { epoll, events: Vec::with_capacity(EVENTS) })
    }
}

impl Poller for Epoll {
    fn add(&mut self, fd: BorrowedFd<'_>, number: u64, interest: Interest) -> io::Result<()> {
        let flags = match interest {
            Interest::Readable => epoll::EventFlags::IN,
            Interest::Writable => epoll::EventFlags::OUT,
        };
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(number), flags)?)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _number: u64) {
        // It is there: it was added.
        let _ = epoll::delete(&self.epoll, fd);
    }

    fn wait(&mut self, limit: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        let limit = limit.map(timespec);
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

/// The same with poll(2), which every Unix has: its cost grows with how many descriptors there are.
#[derive(Debug, Default)]
pub(super) struct Poll {
    watched: Vec<(OwnedFd, u64, Interest)>,
}

impl Poller for Poll {
    fn add(&mut self, fd: BorrowedFd<'_>, number: u64, interest: Interest) -> io::Result<()> {
        // One of our own, so that none is closed, and taken by something else, while it is waited for.
        self.watched.push((fd.try_clone_to_owned()?, number, interest));
        Ok(())
    }

    fn remove(&mut self, _fd: BorrowedFd<'_>, number: u64) {
        self.watched.retain(|(_, watched, _)| *watched != number);
    }

    fn wait(&mut self, limit: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let polled = self.watched.iter().map(|(fd, _, interest)| {
            let flags = if *interest == Interest::Readable { PollFlags::IN } else { PollFlags::OUT };
            PollFd::from_borrowed_fd(fd.as_fd(), flags)
        });
        let mut descriptors: Vec<PollFd<'_>> = polled.collect();
        match poll(&mut descriptors, limit.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let numbers = self.watched.iter().map(|(_, number, _)| *number);
        ready.extend(
            numbers.zip(&descriptors).filter(|(_, polled)| !polled.revents().is_empty()).map(|(number, _)| number),
        );
        Ok(())
    }
}

fn timespec(span: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: span.subsec_nanos().into() }
}
