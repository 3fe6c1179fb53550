//! Starting a program: `clone` with `CLONE_VM | CLONE_VFORK`, the fastest call that can do all of what
//! a hook needs (own session, descriptors, folder, clean signals), below a supervisor that lets nothing of it
//! survive.
//!
//! std's `Command` is not used: with a `pre_exec` it loses its fast path (185 µs against 64), and it
//! runs a file without `#!` through /bin/sh where we owe the user a clear error.

use super::Signal;
use super::process::{Ending, Usage};
use super::supervisor::Supervisor;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// What to start.
pub struct Spawning<'a> {
    /// The file to execute; no search in `PATH`.
    pub program: &'a CStr,
    /// All arguments, the program's name first.
    pub arguments: &'a [CString],
    /// The whole environment, as `NAME=value`.
    pub environment: &'a [CString],
    /// The folder to start in.
    pub folder: &'a CStr,
    /// What becomes descriptors 0, 1 and 2. None of them may itself be 0, 1 or 2.
    pub stdio: [BorrowedFd<'a>; 3],
}

/// A running program, the leader of its own session and process group.
///
/// Dropping it ends it and everything it started.
#[derive(Debug)]
pub struct Child {
    /// Its process id, and that of its group and session.
    pub pid: i32,
    /// Nothing when it had ended, and everything with it, before anyone could look.
    pidfd: Option<OwnedFd>,
    supervisor: Supervisor,
}

impl Child {
    /// Sends a signal to its group.
    pub fn signal(&self, signal: Signal) {
        self.supervisor.signal(u8::try_from(signal.number()).unwrap_or_default());
    }

    /// Ends the program itself when what watches over it is gone before it.
    pub fn end_unwatched(&self) {
        if let Some(pidfd) = self.pidfd.as_ref().filter(|_| !self.supervisor.knows_the_end()) {
            // ESRCH: it has ended.
            let _ = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
        }
    }

    /// Becomes readable when it has ended; without one, when [`Child::all_ended`] does.
    pub fn ended(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Ends it and everything it started, at once, however far that has gone.
    pub fn end_all(&mut self) {
        self.supervisor.release();
    }

    /// Becomes readable when nothing of it is left: when it has ended and left nothing behind, or after
    /// [`Child::end_all`].
    pub fn all_ended(&self) -> BorrowedFd<'_> {
        self.supervisor.as_fd()
    }

    /// Ends what is left of it and tells how it ended; nothing when that is not known within `limit`.
    pub fn reap(self, limit: Duration) -> Option<(Ending, Usage)> {
        self.supervisor.finish(limit)
    }
}

/// The step at which a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the process.
    Clone,
    /// Changing to the folder.
    Folder,
    /// Setting up session or descriptors.
    SetUp,
    /// Executing the file.
    Execute,
}

/// Why a program did not start.
#[derive(Debug)]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// The system's reason.
    pub source: io::Error,
}

/// Everything the child reads; it lives on the parent's stack, which `CLONE_VFORK` keeps still.
struct Orders {
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    folder: *const c_char,
    stdio: [c_int; 3],
    /// Where the stack of the child ends.
    stack: *mut c_void,
    /// What the child reports when it could not execute: the step and errno.
    failed: (Step, c_int),
}

/// Enough for a function that makes system calls only, with every signal blocked.
const CHILD_STACK: usize = 16 * 1024;

/// Starts a program in a session of its own, with default signal handling, an empty signal mask, a
/// umask that gives others no right to write, and no descriptor above 2.
///
/// The caller's thread sleeps until the program runs or has failed to.
///
/// # Errors
/// The step that failed, with the system's reason. Nothing is left behind then.
pub fn spawn(spawning: &Spawning<'_>) -> Result<Child, SpawnError> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(spawning.arguments), pointers(spawning.environment));
    let mut stack: Vec<u8> = Vec::with_capacity(CHILD_STACK);
    // SAFETY: one past the end of the allocation, rounded down to the 16 bytes the ABI asks for.
    let top = unsafe { stack.as_mut_ptr().add(CHILD_STACK) }.map_addr(|address| address & !15);
    let mut orders = Orders {
        program: spawning.program.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        folder: spawning.folder.as_ptr(),
        stdio: spawning.stdio.map(|fd| fd.as_raw_fd()),
        stack: top.cast(),
        failed: (Step::Clone, 0),
    };
    let began = with_signals_blocked(|| {
        // SAFETY: `orders` and what it points to outlive the call, which returns when the program has been
        // executed or could not be; signals are blocked.
        unsafe { Supervisor::begin(start, (&raw mut orders).cast()) }
    });
    let (supervisor, pid) = began.map_err(|source| SpawnError { step: Step::Clone, source })?;
    // SAFETY: the child wrote here through a pointer the compiler does not follow.
    let (step, errno) = unsafe { ptr::read_volatile(&raw const orders.failed) };
    let Some(pid) = pid.filter(|_| errno == 0) else {
        let source = match errno {
            0 => io::Error::other("the process that watches over it was killed"),
            errno => io::Error::from_raw_os_error(errno),
        };
        return Err(SpawnError { step, source });
    };
    let opened = rustix::process::Pid::from_raw(pid).ok_or(io::Error::from_raw_os_error(libc::ESRCH));
    let opened = opened.and_then(|pid| Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?));
    let pidfd = match opened {
        Ok(pidfd) => Some(pidfd),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => None,
        // Dropping the supervisor ends the program.
        Err(source) => return Err(SpawnError { step: Step::Clone, source }),
    };
    Ok(Child { pid, pidfd, supervisor })
}

/// The supervisor's part: starts the child and sleeps until it has executed or exited.
extern "C" fn start(orders: *mut c_void) -> c_int {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let orders: *mut Orders = orders.cast();
    // SAFETY: `stack` ends a stack of the child's own; `orders` is valid until this returns, and
    // CLONE_VFORK keeps this process still until the child has executed or exited.
    unsafe {
        let pid = libc::clone(in_child, (*orders).stack, flags, orders.cast());
        if pid < 0 {
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            ptr::write_volatile(&raw mut (*orders).failed, (Step::Clone, errno));
        }
        pid
    }
}

/// Runs `during` with every signal blocked: a handler that ran in the child would change our memory.
fn with_signals_blocked<T>(during: impl FnOnce() -> T) -> T {
    // SAFETY: sigset_t is plain data; both sets are initialised by the calls before they are read, and
    // pthread_sigmask fails only for a bad first argument.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let result = during();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        result
    }
}

/// The child's side. It shares our memory: no allocation, no panic, no lock, system calls only.
extern "C" fn in_child(orders: *mut c_void) -> c_int {
    let orders: *mut Orders = orders.cast();
    // SAFETY: the parent passes a valid `Orders` and sleeps while this runs, so access is exclusive;
    // every pointer in it stays valid until then; only async-signal-safe calls are made.
    unsafe {
        let failed = match set_up_and_execute(&*orders) {
            Ok(never) => match never {},
            Err(step) => (step, io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
        };
        ptr::write_volatile(&raw mut (*orders).failed, failed);
        libc::_exit(127)
    }
}

/// # Safety
/// To be called in the child only, with orders whose pointers are valid.
unsafe fn set_up_and_execute(orders: &Orders) -> Result<std::convert::Infallible, Step> {
    let done = |result: c_int, step: Step| if result < 0 { Err(step) } else { Ok(()) };
    // SAFETY: plain system calls on values that the caller vouches for.
    unsafe {
        // An ignored signal survives exec, so each is put back; KILL and STOP refuse, which is fine.
        // By the bare system call: libc keeps 32 and 33 to itself, and an all-zero action is the default.
        let default = [0u64; 4];
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<u64>(), 8usize);
        }
        done(libc::setsid(), Step::SetUp)?;
        for (target, &source) in orders.stdio.iter().enumerate() {
            done(libc::dup2(source, target as c_int), Step::SetUp)?;
        }
        // What the caller left open by accident ends at exec. Before Linux 5.11: only what is marked.
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        let before = libc::umask(0o022);
        libc::umask(before | 0o022);
        done(libc::chdir(orders.folder), Step::Folder)?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(orders.program, orders.arguments, orders.environment);
    }
    Err(Step::Execute)
}
