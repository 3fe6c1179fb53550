//! Starting programs with the fastest call that can do all of what a hook needs (own session, descriptors, folder,
//! clean signals): `clone` with `CLONE_VM | CLONE_VFORK`, made by a supervisor that lets nothing of it survive.
//!
//! std's `Command` is not used: with a `pre_exec` it loses its fast path (185 µs against 64), and it
//! runs a file without `#!` through /bin/sh where we owe the user a clear error.

use super::confine::Confinement;
use super::execute::{DESCRIPTORS, FURTHER, Orders, Step};
use super::platform::{Child, Idle, News, Platform, Poller, SpawnError, Spawning};
use super::poll::Epoll;
use super::process::{Ending, Usage};
use super::signal::Signal;
use super::supervisor::{Supervisor, Word};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many supervisors without work are kept for the next programs.
const MOST_IDLE: usize = 32;

/// Starts programs, and keeps what it takes to start the next one faster.
#[derive(Debug, Default)]
pub(super) struct Linux {
    idle: Mutex<Vec<Supervisor>>,
}

/// A program below its supervisor.
#[derive(Debug)]
struct Supervised {
    supervisor: Supervisor,
    /// Used by the process that starts the program: given back when that is done with it.
    orders: *mut Orders,
    /// Whether the supervisor is done with the program, and can start the next.
    done: bool,
    /// Whether the program only makes a sandbox for the real one.
    wraps: bool,
    /// Whether the supervisor is gone.
    lost: bool,
}

impl Platform for Linux {
    fn start(&self, spawning: Spawning, stdio: [BorrowedFd<'_>; 3]) -> Result<Box<dyn Child>, SpawnError> {
        let failed = |source| SpawnError { step: Step::Clone, source };
        let Spawning { program, arguments, environment, folder, confinement, further, wraps } = spawning;
        let rulesets = confinement.as_ref().map_or([None, None], Confinement::rulesets);
        let owned = |fd: Option<BorrowedFd<'_>>| fd.map(|fd| fd.try_clone_to_owned()).transpose();
        let rulesets = [owned(rulesets[0]).map_err(failed)?, owned(rulesets[1]).map_err(failed)?];
        // Places are told by order: what is not there is stood in for by standard input, and passed over.
        let mut descriptors: Vec<BorrowedFd<'_>> = stdio.to_vec();
        if rulesets.iter().any(Option::is_some) || !further.is_empty() {
            descriptors.extend(rulesets.iter().map(|ruleset| ruleset.as_ref().map_or(stdio[0], AsFd::as_fd)));
        }
        descriptors.extend(further.iter().take(FURTHER).map(AsFd::as_fd));
        debug_assert!(descriptors.len() <= DESCRIPTORS);
        let isolated = confinement.as_ref().is_some_and(Confinement::isolates);
        let orders = Orders::new(program, arguments, environment, folder, confinement);
        let orders = Box::into_raw(Box::new(orders));
        // A new one has what is ours already; that is not true of places which the program's own would take.
        let first = <[BorrowedFd<'_>; 3]>::try_from(descriptors.as_slice()).ok();
        let first = first.filter(|first| first.iter().all(|fd| fd.as_raw_fd() > 2)).map(|first| (orders, first));
        loop {
            let (supervisor, fresh) = match self.take(isolated) {
                Some(supervisor) => (Ok(supervisor), false),
                // SAFETY: `Supervised` keeps the orders as long as they are used.
                None => (unsafe { Supervisor::new(first, isolated) }, true),
            };
            let ordered = supervisor.and_then(|supervisor| {
                if !fresh || first.is_none() {
                    // SAFETY: as above.
                    unsafe { supervisor.order(orders, &descriptors) }?;
                }
                Ok(supervisor)
            });
            match ordered {
                Ok(supervisor) => {
                    return Ok(Box::new(Supervised { supervisor, orders, wraps, done: false, lost: false }));
                }
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

    fn finish(&self, child: Box<dyn Child>) {
        if let Some(Idle(supervisor)) = child.into_idle() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MOST_IDLE {
                idle.push(supervisor);
            }
        }
    }

    fn rest(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.iter_mut().for_each(Supervisor::release);
    }

    fn poller(&self) -> io::Result<Box<dyn Poller>> {
        Ok(Box::new(Epoll::new()?))
    }

    fn lacks(&self) -> &'static [&'static str] {
        &[]
    }
}

impl Linux {
    fn take(&self, isolated: bool) -> Option<Supervisor> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().rposition(|supervisor| supervisor.is_isolated() == isolated)?;
        Some(idle.swap_remove(at))
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        // All at once; each is waited for as it is dropped.
        idle.iter_mut().for_each(Supervisor::release);
    }
}

impl Child for Supervised {
    fn pid(&self) -> Option<i32> {
        self.supervisor.program()
    }

    fn signal(&self, signal: Signal) {
        self.supervisor.signal(u8::try_from(signal.number()).unwrap_or_default(), self.wraps);
    }

    fn end_all(&self) {
        self.supervisor.end_all();
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.supervisor.as_fd()
    }

    fn news(&mut self) -> Option<News> {
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

    fn ending(&self) -> Option<(Ending, Usage)> {
        self.supervisor.ending()
    }

    fn has_survivors(&self) -> bool {
        !self.done || self.supervisor.has_survivors()
    }

    fn into_idle(self: Box<Self>) -> Option<Idle> {
        if !self.done {
            return None;
        }
        let this = std::mem::ManuallyDrop::new(*self);
        // SAFETY: the orders came from a Box and the supervisor is done with them; `this` is not dropped, so that
        // each of its parts has one owner.
        unsafe {
            drop(Box::from_raw(this.orders));
            Some(Idle(std::ptr::read(&raw const this.supervisor)))
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if self.done || self.supervisor.end(Duration::from_millis(500)) {
            // SAFETY: they came from a Box, and no process uses them any more.
            drop(unsafe { Box::from_raw(self.orders) });
        }
        // What does not end in time keeps them.
    }
}
