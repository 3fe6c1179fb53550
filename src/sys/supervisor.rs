//! The small process between this one and a program, as its parent holds it.
//!
//! It adopts what the program leaves behind (`PR_SET_CHILD_SUBREAPER`), so that it can end all of it: when it is
//! told to, and when this process lets go of it, by intent or by dying. It starts programs one after the other,
//! so that a runner of many hooks makes few of them.

use super::execute::{DESCRIPTORS, Orders};
use super::mounts::{identity, isolation};
use super::process::{Ending, Usage, ending_of};
use super::raw::{clone_onto, system_call};
use super::stack::Stacks;
use super::supervise::{BELOW, END_ALL, ENDED, FAILED, GONE, START, Shared, supervise};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
    send, sendmsg, socketpair,
};
use std::ffi::c_int;
use std::io::{self, IoSlice};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long it takes at most to be gone once it was killed.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What the small process has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The program could not be started; the orders say why.
    Failed,
    /// The program has ended, and has left something behind.
    Ended,
    /// Nothing of the program is left.
    Gone,
    /// The small process itself is gone.
    Lost,
}

/// The small process, as its parent holds it.
#[derive(Debug)]
pub(super) struct Supervisor {
    pid: c_int,
    /// As long as this is open, it stays.
    control: Option<OwnedFd>,
    shared: *mut Shared,
    /// Kept where the process is not gone: it still uses them.
    stacks: ManuallyDrop<Stacks>,
}

// SAFETY: all pointers are to memory that this value owns, and nothing in it belongs to a thread.
unsafe impl Send for Supervisor {}

impl Supervisor {
    /// Makes the process, in a PID namespace of its own when `isolated`, which starts the program of `orders` at once; else it waits for orders. It tells when that
    /// could not be done, and else how the program ended.
    ///
    /// # Errors
    /// The system makes no process or socket.
    ///
    /// # Safety
    /// `orders` stays valid until the program has failed to start or nothing of it is left.
    pub(super) unsafe fn new(first: Option<(*mut Orders, [BorrowedFd<'_>; 3])>, isolated: bool) -> io::Result<Self> {
        let (control, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let stacks = Stacks::new()?;
        // Finding that out takes a process of its own.
        let isolation = if isolated { isolation() } else { None }.unwrap_or(0);
        let shared = Box::into_raw(Box::new(Shared {
            control: theirs.as_raw_fd(),
            first: first.map(|(_, descriptors)| descriptors.map(|descriptor| descriptor.as_raw_fd())),
            orders: AtomicPtr::new(first.map_or(ptr::null_mut(), |(orders, _)| orders)),
            pid: AtomicI32::new(0),
            status: AtomicI32::new(0),
            cpu_us: AtomicU64::new(0),
            peak_kib: AtomicU64::new(0),
            ended: AtomicI32::new(0),
            survivors: AtomicI32::new(0),
            beats: AtomicU64::new(0),
            alive: AtomicI32::new(1),
            program_stack: stacks.of_program(),
            isolated,
            identity: (isolation & libc::CLONE_NEWUSER != 0).then(identity),
        }));
        let flags = libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | isolation;
        let pid = with_signals_blocked(|| {
            // SAFETY: the stack is its own; `shared` and the stacks are freed only when the process is gone.
            unsafe {
                let alive = (*shared).alive.as_ptr();
                clone_onto(flags, stacks.of_supervisor(), ptr::null_mut(), alive, supervise, shared.cast())
            }
        });
        if pid < 0 {
            // SAFETY: it came from a Box, and no process knows of it.
            drop(unsafe { Box::from_raw(shared) });
            return Err(io::Error::from_raw_os_error((-pid) as i32));
        }
        Ok(Supervisor { pid: pid as c_int, control: Some(control), shared, stacks: ManuallyDrop::new(stacks) })
    }

    fn shared(&self) -> &Shared {
        // SAFETY: it lives as long as this value, and is shared as atomics only.
        unsafe { &*self.shared }
    }

    /// Whether it is in a PID namespace of its own.
    pub(super) fn is_isolated(&self) -> bool {
        self.shared().isolated
    }

    /// Lets it start a program. It tells when that could not be done, and else how the program ended.
    ///
    /// # Errors
    /// It is gone.
    ///
    /// # Safety
    /// `orders` stays valid until the program has failed to start or nothing of it is left.
    pub(super) unsafe fn order(&self, orders: *mut Orders, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let shared = self.shared();
        shared.pid.store(0, Ordering::Relaxed);
        shared.ended.store(0, Ordering::Relaxed);
        shared.survivors.store(0, Ordering::Relaxed);
        shared.orders.store(orders, Ordering::Release);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        let Some(control) = &self.control else { return Err(io::ErrorKind::BrokenPipe.into()) };
        sendmsg(control, &[IoSlice::new(&[START])], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn tell(&self, message: u8) {
        if let Some(control) = &self.control {
            // One that is gone needs to be told nothing; a full socket holds hundreds of signals already.
            let _ = send(control, &[message], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }

    /// Lets it send a signal to the program's group, or with `only_below` to everything that the program started. It alone knows whether the program's id is still the
    /// program's.
    pub(super) fn signal(&self, signal: u8, only_below: bool) {
        self.tell(if only_below { signal | BELOW } else { signal });
    }

    /// Lets it end the program and everything below.
    pub(super) fn end_all(&self) {
        self.tell(END_ALL);
    }

    /// The program's process id, once it was made.
    pub(super) fn program(&self) -> Option<i32> {
        Some(self.shared().pid.load(Ordering::Acquire)).filter(|pid| *pid > 0)
    }

    /// Becomes readable when it has something to say.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.control.as_ref().map(AsFd::as_fd)
    }

    /// What it has to say, if anything.
    pub(super) fn hear(&self) -> Option<Word> {
        let Some(control) = &self.control else { return Some(Word::Lost) };
        let mut byte = [0_u8];
        match recv(control, &mut byte, RecvFlags::DONTWAIT) {
            Ok((1.., _)) => match byte[0] {
                FAILED => Some(Word::Failed),
                ENDED => Some(Word::Ended),
                GONE => Some(Word::Gone),
                _ => None,
            },
            Err(Errno::AGAIN | Errno::INTR) => None,
            Ok(_) | Err(_) => Some(Word::Lost),
        }
    }

    /// How the program ended, once that is known.
    pub(super) fn ending(&self) -> Option<(Ending, Usage)> {
        let shared = self.shared();
        (shared.ended.load(Ordering::Acquire) == 1).then(|| {
            let usage = Usage {
                cpu: Duration::from_micros(shared.cpu_us.load(Ordering::Relaxed)),
                peak_kib: shared.peak_kib.load(Ordering::Relaxed),
            };
            (ending_of(shared.status.load(Ordering::Relaxed)), usage)
        })
    }

    /// Whether something of the program is left that it cannot see, and so not end.
    pub(super) fn has_survivors(&self) -> bool {
        self.shared().survivors.load(Ordering::Acquire) != 0
    }

    /// Lets go of it without waiting: it ends the program and everything below, and then itself.
    pub(super) fn release(&mut self) {
        self.control = None;
    }

    /// Lets go of it, waits until it is gone, at most for `limit`, and gives its memory back. Returns whether
    /// it is gone.
    pub(super) fn end(&mut self, limit: Duration) -> bool {
        self.release();
        if self.shared.is_null() {
            return true;
        }
        if !self.wait_until_gone(limit) {
            let beats = self.shared().beats.load(Ordering::Relaxed);
            // A program can stop it.
            // SAFETY: no memory is involved; it is our child, and was not removed.
            unsafe { libc::kill(self.pid, libc::SIGCONT) };
            if !self.wait_until_gone(LAST_WAIT) {
                if self.shared().beats.load(Ordering::Relaxed) != beats {
                    // It is still ending what the program started, and goes on alone until that is done.
                    return false;
                }
                // What it started goes with it (PR_SET_PDEATHSIG).
                // SAFETY: as above.
                unsafe { libc::kill(self.pid, libc::SIGKILL) };
                if !self.wait_until_gone(LAST_WAIT) {
                    return false;
                }
            }
        }
        // No signal is sent for it (its exit signal is 0), so only this call removes it (`__WALL`).
        // SAFETY: no memory is involved.
        unsafe { libc::wait4(self.pid, ptr::null_mut(), libc::__WALL, ptr::null_mut()) };
        // SAFETY: it came from a Box, the process that used it and the stacks is gone, and a null pointer says so from now on.
        unsafe {
            drop(Box::from_raw(self.shared));
            ManuallyDrop::drop(&mut self.stacks);
        }
        self.shared = ptr::null_mut();
        true
    }

    fn wait_until_gone(&self, limit: Duration) -> bool {
        let (alive, until) = (&self.shared().alive, Instant::now() + limit);
        while alive.load(Ordering::Acquire) != 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let left = libc::timespec {
                // No caller waits for longer than that many seconds.
                tv_sec: left.as_secs().try_into().unwrap_or(60),
                tv_nsec: left.subsec_nanos().into(),
            };
            // SAFETY: a word that lives as long as this call, and a time on our stack. The kernel wakes us when
            // the process ends (CLONE_CHILD_CLEARTID).
            unsafe {
                let word = alive.as_ptr() as usize;
                system_call(libc::SYS_futex, [word, libc::FUTEX_WAIT as usize, 1, &raw const left as usize, 0]);
            }
        }
        true
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // What does not end in time keeps its memory: the process still uses it.
        self.end(Duration::from_secs(2));
    }
}

/// Runs `during` with every signal blocked: a handler that ran in the small process would change our memory.
fn with_signals_blocked<T>(during: impl FnOnce() -> T) -> T {
    // All 64, by hand: libc leaves out those that it keeps for itself (pthread_sigmask(3), signal(7)).
    let (all, mut before) = (u64::MAX, 0_u64);
    let set = |new: *const u64, old: *mut u64| {
        let arguments = [libc::SIG_SETMASK as usize, new as usize, old as usize, size_of::<u64>(), 0];
        // SAFETY: pointers to live sets of the 8 bytes the kernel asks for, or none.
        unsafe { system_call(libc::SYS_rt_sigprocmask, arguments) };
    };
    set(&raw const all, &raw mut before);
    let result = during();
    set(&raw const before, ptr::null_mut());
    result
}
