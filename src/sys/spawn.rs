//! Starting programs with the fastest call that can do all of what a hook needs (own session, descriptors, folder,
//! clean signals): `clone` with `CLONE_VM | CLONE_VFORK`, made by a supervisor that lets nothing of it survive.
//!
//! std's `Command` is not used: with a `pre_exec` it loses its fast path (185 µs against 64), and it
//! runs a file without `#!` through /bin/sh where we owe the user a clear error.

use super::Signal;
use super::confine::Confinement;
use super::execute::{DESCRIPTORS, FIRST_FURTHER, FURTHER, Orders, Step};
use super::process::{Ending, Usage};
use super::supervisor::{Supervisor, Word};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many supervisors without work are kept for the next programs.
const MOST_IDLE: usize = 32;

/// What to start.
#[derive(Debug)]
pub struct Spawning {
    /// The file to execute; no search in `PATH`.
    pub program: CString,
    /// All arguments, the program's name first.
    pub arguments: Vec<CString>,
    /// The whole environment, as `NAME=value`.
    pub environment: Vec<CString>,
    /// The folder to start in.
    pub folder: CString,
    /// What is taken from it.
    pub confinement: Option<Confinement>,
    /// What it gets besides its standard streams, as descriptors [`Spawning::FIRST_FURTHER`] and following; at
    /// most two.
    pub further: Vec<OwnedFd>,
}

impl Spawning {
    /// The number of the first descriptor that a program gets besides its standard streams.
    pub const FIRST_FURTHER: i32 = FIRST_FURTHER;
}

/// Starts programs, and keeps what it takes to start the next one faster.
#[derive(Debug, Default)]
pub struct Spawner {
    idle: Mutex<Vec<Supervisor>>,
}

/// Why a program did not start.
#[derive(Debug)]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// The system's reason.
    pub source: io::Error,
}

/// What became of a program.
#[derive(Debug)]
pub enum News {
    /// It could not be started.
    Failed(SpawnError),
    /// It has ended; what it started has not.
    Ended,
    /// Nothing of it is left.
    Gone,
}

/// A program on its way, the leader of its own session and process group.
///
/// Dropping it ends it and everything it started.
#[derive(Debug)]
pub struct Child {
    supervisor: Supervisor,
    /// Used by the process that starts the program: given back when that is done with it.
    orders: *mut Orders,
    /// Whether the supervisor is done with the program, and can start the next.
    done: bool,
    /// Whether the supervisor is gone.
    lost: bool,
}

impl Spawner {
    /// Starts a program in a session of its own, with default signal handling, an empty signal mask, a
    /// umask that gives others no right to write, no descriptor above 2, no way to new privileges and no core
    /// dumps. `stdio` becomes its descriptors 0, 1 and 2.
    ///
    /// Returns at once; [`Child::news`] tells when it could not be started.
    ///
    /// # Errors
    /// There is no process to be had.
    pub fn start(&self, spawning: Spawning, stdio: [BorrowedFd<'_>; 3]) -> Result<Child, SpawnError> {
        let failed = |source| SpawnError { step: Step::Clone, source };
        let Spawning { program, arguments, environment, folder, confinement, further } = spawning;
        let ruleset = confinement.as_ref().and_then(Confinement::ruleset).map(|fd| fd.try_clone_to_owned());
        let ruleset = ruleset.transpose().map_err(failed)?;
        // Places are told by order: what is not there is stood in for by standard input, and passed over.
        let mut descriptors: Vec<BorrowedFd<'_>> = stdio.to_vec();
        if ruleset.is_some() || !further.is_empty() {
            descriptors.push(ruleset.as_ref().map_or(stdio[0], AsFd::as_fd));
        }
        descriptors.extend(further.iter().take(FURTHER).map(AsFd::as_fd));
        debug_assert!(descriptors.len() <= DESCRIPTORS);
        let orders = Orders::new(program, arguments, environment, folder, confinement);
        let orders = Box::into_raw(Box::new(orders));
        loop {
            let (supervisor, fresh) = match self.take() {
                Some(supervisor) => (Ok(supervisor), false),
                None => (Supervisor::new(), true),
            };
            // SAFETY: `Child` keeps the orders as long as they are used.
            let ordered = supervisor
                .and_then(|supervisor| unsafe { supervisor.order(orders, &descriptors).map(|()| supervisor) });
            match ordered {
                Ok(supervisor) => return Ok(Child { supervisor, orders, done: false, lost: false }),
                // Somebody killed it while it had nothing to do.
                Err(_) if !fresh => {}
                Err(error) => {
                    // SAFETY: it came from a Box, and no process uses it.
                    drop(unsafe { Box::from_raw(orders) });
                    return Err(failed(error));
                }
            }
        }
    }

    fn take(&self) -> Option<Supervisor> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Takes a program back of which nothing is left, so that the next one starts faster.
    pub fn finish(&self, child: Child) {
        if let Some(supervisor) = child.into_idle() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MOST_IDLE {
                idle.push(supervisor);
            }
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        // All at once; each is waited for as it is dropped.
        idle.iter_mut().for_each(Supervisor::release);
    }
}

impl Child {
    /// Its process id, and that of its group and session, once it has one.
    pub fn pid(&self) -> Option<i32> {
        self.supervisor.program()
    }

    /// Sends a signal to its group.
    pub fn signal(&self, signal: Signal) {
        self.supervisor.signal(u8::try_from(signal.number()).unwrap_or_default());
    }

    /// Ends it and everything it started, at once, however far that has gone.
    pub fn end_all(&self) {
        self.supervisor.end_all();
    }

    /// Becomes readable when there is news; nothing once all is told.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.supervisor.as_fd().filter(|_| !self.done && !self.lost)
    }

    /// The descriptor of [`Child::as_fd`], also when all is told.
    pub fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.supervisor.as_fd()
    }

    /// What became of it, if anything did.
    pub fn news(&mut self) -> Option<News> {
        if self.done || self.lost {
            return None;
        }
        match self.supervisor.hear()? {
            Word::Ended => Some(News::Ended),
            Word::Failed => {
                self.done = true;
                // SAFETY: the supervisor is done with them.
                let (step, source) = unsafe { (*self.orders).error() };
                Some(News::Failed(SpawnError { step, source }))
            }
            Word::Gone => {
                self.done = true;
                Some(News::Gone)
            }
            Word::Lost => {
                // Whoever killed it killed the program with it (PR_SET_PDEATHSIG); nobody else knows more.
                self.lost = true;
                Some(News::Gone)
            }
        }
    }

    /// How it ended and what it used; nothing as long as that is not known, or when what watched over it was
    /// killed.
    pub fn ending(&self) -> Option<(Ending, Usage)> {
        self.supervisor.ending()
    }

    /// The supervisor, when it can start another program.
    fn into_idle(self) -> Option<Supervisor> {
        if !self.done {
            return None;
        }
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: the orders came from a Box and the supervisor is done with them; `this` is not dropped, so that
        // each of its parts has one owner.
        unsafe {
            drop(Box::from_raw(this.orders));
            Some(std::ptr::read(&raw const this.supervisor))
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.done || self.supervisor.end(Duration::from_secs(2)) {
            // SAFETY: they came from a Box, and no process uses them any more.
            drop(unsafe { Box::from_raw(self.orders) });
        }
        // What does not end in time keeps them.
    }
}
