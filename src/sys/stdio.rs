//! The three standard streams. A caller may have made one non-blocking (Node does that with its pipes, and the flag belongs to
//! the open file, not to a process): each read and write waits then instead of failing halfway.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};

/// A standard stream of this process, without a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardStream(RawFd);

impl StandardStream {
    /// Standard input.
    pub fn input() -> Self {
        StandardStream(0)
    }

    /// Standard output.
    pub fn output() -> Self {
        StandardStream(1)
    }

    /// Standard error.
    pub fn error() -> Self {
        StandardStream(2)
    }

    fn fd(self) -> BorrowedFd<'static> {
        // SAFETY: nothing of ours closes one of the three; one that the caller closed is /dev/null since the start.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }

    /// Tries until the stream neither blocks nor is interrupted.
    fn patiently(self, ready: PollFlags, mut step: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
        loop {
            match step() {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match poll(&mut [PollFd::from_borrowed_fd(self.fd(), ready)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                },
                done => return Ok(done?),
            }
        }
    }
}

impl Read for StandardStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(PollFlags::IN, || rustix::io::read(self.fd(), &mut *buffer))
    }
}

impl Write for StandardStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(PollFlags::OUT, || rustix::io::write(self.fd(), bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
