//! The three standard streams. A caller may have made one non-blocking (Node does that with its pipes, and the flag belongs to
//! the open file, not to a process): each read and write waits then instead of failing halfway.

use super::signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// As much as a pipe takes without blocking once it takes anything (PIPE_BUF of Linux, pipe(7)).
const PIECE: usize = 4096;
/// How often a stream that takes nothing is left for a look at the signals.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How long a reader has to go on reading after this process was asked to end.
const READER_WAIT: Duration = Duration::from_secs(2);

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

impl StandardStream {
    /// Writes a piece. Signals that are taken end nothing by themselves: a reader who does not read must not keep this process
    /// once it was asked to end.
    fn write_unless_asked_to_end(self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        loop {
            let mut polled = [PollFd::from_borrowed_fd(self.fd(), PollFlags::OUT)];
            match poll(&mut polled, Some(&LOOK_EVERY)) {
                Ok(0) if signal::asked_to_end().is_some_and(|asked| asked.elapsed() >= READER_WAIT) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the reader stopped reading, and a signal asked to end",
                    ));
                }
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => match rustix::io::write(self.fd(), piece) {
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    done => return Ok(done?),
                },
                Err(error) => return Err(error.into()),
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
        if signal::are_taken() {
            return self.write_unless_asked_to_end(bytes);
        }
        self.patiently(PollFlags::OUT, || rustix::io::write(self.fd(), bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
