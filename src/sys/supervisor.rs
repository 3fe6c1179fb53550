//! A small process between this one and a program, so that nothing the program starts outlives its run.
//!
//! It adopts what the program leaves behind (`PR_SET_CHILD_SUBREAPER`). When the program ends and leaves
//! nothing behind, it is done; else it waits until this process lets go of it, by intent or by dying, and then
//! ends every process below it until none is left. It knows no clock and no policy. It shares our memory (`CLONE_VM`): that makes it cheap, and bound to system calls made by hand,
//! because libc's would write `errno` into the thread that started it.

use super::process::{Ending, Usage, ending_of, usage_of};
use super::raw::system_call;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Enough for functions that make system calls only, with every signal blocked.
const STACK: usize = 32 * 1024;
/// How often it looks for adopted processes that have ended by themselves.
const LOOK_EVERY_MS: i64 = 500;

const STARTING: u32 = 0;
const RUNNING: u32 = 1;
const FAILED: u32 = 2;

/// What the two processes tell each other. Each field is written by one side only.
#[derive(Debug)]
struct Shared {
    state: AtomicU32,
    /// The program's process, once it runs.
    pid: AtomicI32,
    /// Its end as `wait4` tells it, valid once `ended` is 1.
    status: AtomicI32,
    cpu_us: AtomicU64,
    peak_kib: AtomicU64,
    ended: AtomicU32,
    /// The reading end of the pipe whose writing end this process keeps, and that writing end.
    control: c_int,
    keep: c_int,
    /// Starts the program; returns its process id or a negative number.
    start: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
}

/// The small process, as its parent holds it.
#[derive(Debug)]
pub(super) struct Supervisor {
    pid: c_int,
    pidfd: OwnedFd,
    /// As long as this is open, it waits.
    control: Option<OwnedFd>,
    shared: *mut Shared,
    stack: *mut [MaybeUninit<u8>],
}

impl Supervisor {
    /// Makes the process and lets it call `start` with `argument`; returns when that has returned. `start`
    /// runs in memory shared with this process while the calling thread sleeps, and must make system calls
    /// only. With it comes the id of the process that it started, unless it started none.
    ///
    /// # Errors
    /// The system makes no process or pipe.
    ///
    /// # Safety
    /// `argument` is what `start` takes, and valid until this returns. Every signal is blocked.
    pub(super) unsafe fn begin(
        start: extern "C" fn(*mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> io::Result<(Self, Option<i32>)> {
        let (control, keep) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let shared = Box::into_raw(Box::new(Shared {
            state: AtomicU32::new(STARTING),
            pid: AtomicI32::new(0),
            status: AtomicI32::new(0),
            cpu_us: AtomicU64::new(0),
            peak_kib: AtomicU64::new(0),
            ended: AtomicU32::new(0),
            control: control.as_raw_fd(),
            keep: keep.as_raw_fd(),
            start,
            argument,
        }));
        let stack = Box::into_raw(Box::<[u8]>::new_uninit_slice(STACK));
        let mut pidfd: c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_PIDFD;
        // SAFETY: one past the end of the allocation, rounded down to the 16 bytes the ABI asks for.
        let top = unsafe { stack.cast::<u8>().add(STACK) }.map_addr(|address| address & !15);
        // SAFETY: `top` ends a stack of its own, `shared` and the stack are freed only when the process is
        // gone; `pidfd` takes the descriptor (CLONE_PIDFD writes to the parent_tid argument).
        let pid = unsafe { libc::clone(supervise, top.cast(), flags, shared.cast(), &raw mut pidfd) };
        if pid < 0 {
            let error = io::Error::last_os_error();
            // SAFETY: both came from a Box, and no process knows of them.
            drop(unsafe { (Box::from_raw(shared), Box::from_raw(stack)) });
            return Err(error);
        }
        // SAFETY: the kernel made this descriptor for us and nobody else knows it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        let supervisor = Supervisor { pid, pidfd, control: Some(keep), shared, stack };
        let state = supervisor.wait_for_start();
        let started = supervisor.shared().pid.load(Ordering::Acquire);
        Ok((supervisor, (state == RUNNING).then_some(started)))
    }

    fn shared(&self) -> &Shared {
        // SAFETY: it lives as long as this value, and is shared as atomics only.
        unsafe { &*self.shared }
    }

    fn wait_for_start(&self) -> u32 {
        let state = &self.shared().state;
        loop {
            let now = state.load(Ordering::Acquire);
            if now != STARTING {
                return now;
            }
            let limit = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            // SAFETY: a word that lives as long as this call, and a time on our stack.
            let woken = unsafe {
                system_call(
                    libc::SYS_futex,
                    [
                        state.as_ptr() as usize,
                        (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize,
                        STARTING as usize,
                        &raw const limit as usize,
                        0,
                    ],
                )
            };
            // Somebody may have killed it: so a look from time to time.
            if woken < 0 && self.is_gone(Duration::ZERO) {
                return state.load(Ordering::Acquire);
            }
        }
    }

    /// Lets go of it: it ends the program and everything below, and then itself.
    pub(super) fn release(&mut self) {
        self.control = None;
    }

    /// Lets it send a signal to the program's group. It alone knows whether the program's id is still the
    /// program's.
    pub(super) fn signal(&self, signal: u8) {
        if let Some(control) = &self.control {
            // A full pipe holds thousands of signals already; one that is gone needs none.
            let _ = rustix::io::write(control, &[signal]);
        }
    }

    /// Whether it saw the program end.
    pub(super) fn knows_the_end(&self) -> bool {
        self.shared().ended.load(Ordering::Acquire) == 1
    }

    /// Becomes readable when it is gone.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn is_gone(&self, limit: Duration) -> bool {
        let ready = super::wait(&[(self.pidfd.as_fd(), super::Interest::Readable)], Some(limit));
        ready.is_ok_and(|ready| ready == [true])
    }

    /// Lets go of it, waits until it is gone, at most for `limit`, and tells how the program ended; nothing
    /// when that is not known.
    pub(super) fn finish(mut self, limit: Duration) -> Option<(Ending, Usage)> {
        self.release();
        self.end_of_program(limit)
    }

    fn end_of_program(&mut self, limit: Duration) -> Option<(Ending, Usage)> {
        let gone = self.is_gone(limit);
        let shared = self.shared();
        let ended = (shared.ended.load(Ordering::Acquire) == 1).then(|| {
            let usage = Usage {
                cpu: Duration::from_micros(shared.cpu_us.load(Ordering::Relaxed)),
                peak_kib: shared.peak_kib.load(Ordering::Relaxed),
            };
            (ending_of(shared.status.load(Ordering::Relaxed)), usage)
        });
        if gone && !self.shared.is_null() {
            // No signal is sent for it (its exit signal is 0), so only this call removes it (`__WALL`).
            // SAFETY: no memory is involved.
            unsafe { libc::wait4(self.pid, ptr::null_mut(), libc::__WALL, ptr::null_mut()) };
            // SAFETY: both came from a Box, and the process that used them is gone.
            drop(unsafe { (Box::from_raw(self.shared), Box::from_raw(self.stack)) });
            self.shared = ptr::null_mut();
        }
        ended
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.release();
        if !self.shared.is_null() {
            // What does not end in time keeps its memory: the process still uses it.
            self.end_of_program(Duration::from_secs(2));
        }
    }
}

/// The small process.
extern "C" fn supervise(shared: *mut c_void) -> c_int {
    // SAFETY: the parent passes a valid `Shared` that outlives this process. Until the state is set the
    // parent sleeps, so that `start` and libc's calls in it have its memory for themselves; afterwards only
    // `system_call` is used, nothing is allocated and nothing can panic.
    unsafe {
        let shared = &*shared.cast::<Shared>();
        system_call(libc::SYS_setsid, [0; 5]);
        system_call(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as usize, 1, 0, 0, 0]);
        system_call(libc::SYS_close, [shared.keep as usize, 0, 0, 0, 0]);
        let pid = (shared.start)(shared.argument);
        close_all_but(shared.control);
        shared.pid.store(pid, Ordering::Relaxed);
        shared.state.store(if pid > 0 { RUNNING } else { FAILED }, Ordering::Release);
        let wake = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
        system_call(libc::SYS_futex, [shared.state.as_ptr() as usize, wake, 1, 0, 0]);
        if pid > 0 {
            wait_until_released(shared, pid);
        }
        end_all(shared, pid);
    }
    0
}

/// Closes every descriptor but one: the parent's pipes must not stay open because of us.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn close_all_but(keep: c_int) {
    // SAFETY: no memory is involved.
    unsafe {
        let below = (keep as usize).wrapping_sub(1);
        let first = if keep > 0 { system_call(libc::SYS_close_range, [0, below, 0, 0, 0]) } else { 0 };
        let second = system_call(libc::SYS_close_range, [keep as usize + 1, u32::MAX as usize, 0, 0, 0]);
        if first < 0 || second < 0 {
            // Before Linux 5.9.
            for fd in (0..1024).filter(|fd| *fd != keep as usize) {
                system_call(libc::SYS_close, [fd, 0, 0, 0, 0]);
            }
        }
    }
}

/// Sleeps until the program has ended and left nothing behind, or the parent closes its end of the pipe or
/// dies. Passes signals on, and removes adopted processes that have ended.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn wait_until_released(shared: &Shared, pid: c_int) {
    let readable = |fd: c_int| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: no memory is involved.
    let pidfd = unsafe { system_call(libc::SYS_pidfd_open, [pid as usize, 0, 0, 0, 0]) };
    // A negative descriptor is passed over.
    let mut polled = [readable(shared.control), readable(pidfd as c_int)];
    loop {
        let (tv_sec, tv_nsec) = (LOOK_EVERY_MS / 1000, (LOOK_EVERY_MS % 1000) * 1_000_000);
        let mut limit = libc::timespec { tv_sec, tv_nsec };
        // SAFETY: both pointers are to live values of the right type.
        let ready = unsafe {
            let (polled, limit) = (polled.as_mut_ptr() as usize, &raw mut limit as usize);
            system_call(libc::SYS_ppoll, [polled, 2, limit, 0, 8])
        };
        if ready <= 0 {
            // SAFETY: as for this function.
            unsafe { reap_strays(pid) };
            continue;
        }
        let [control, program] = &mut polled;
        // SAFETY: as for this function.
        if control.revents != 0 && !unsafe { pass_signals_on(shared.control, pid) } {
            return;
        }
        if program.revents != 0 {
            // SAFETY: as for this function.
            if unsafe { each_child(|child| child == pid as usize) } == Some(true) {
                return;
            }
            // What it left behind may still write: the parent says how long.
            program.fd = -1;
        }
    }
}

/// Sends the signals that the parent asks for; false when it let go.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn pass_signals_on(control: c_int, pid: c_int) -> bool {
    let mut signals = [0_u8; 16];
    // SAFETY: a pointer to a live buffer with its length. The group is the program's: it was not removed.
    unsafe {
        let count = system_call(libc::SYS_read, [control as usize, signals.as_mut_ptr() as usize, signals.len(), 0, 0]);
        for signal in signals.iter().take(usize::try_from(count).unwrap_or(0)) {
            system_call(libc::SYS_kill, [(-(pid as isize)) as usize, *signal as usize, 0, 0, 0]);
        }
        count > 0
    }
}

/// Removes what has ended and is not the program itself, whose id must stay taken until its group is ended.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn reap_strays(pid: c_int) {
    loop {
        // SAFETY: siginfo_t is plain data, and all zeroes is a valid value of it; the pointer is to a live one.
        let found = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
            let (all, info_at) = (libc::P_ALL as usize, &raw mut info as usize);
            let result = system_call(libc::SYS_waitid, [all, 0, info_at, options as usize, 0]);
            if result < 0 { 0 } else { info.si_pid() }
        };
        if found <= 0 || found == pid {
            return;
        }
        // SAFETY: no memory is involved.
        unsafe { system_call(libc::SYS_wait4, [found as usize, 0, libc::__WALL as usize, 0, 0]) };
    }
}

/// Ends the program, its group, and whatever was adopted, until there is no process below this one.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn end_all(shared: &Shared, pid: c_int) {
    // SAFETY: no memory is involved. The group is the program's: it was not removed so far.
    unsafe {
        if pid > 0 {
            system_call(libc::SYS_kill, [(-(pid as isize)) as usize, libc::SIGKILL as usize, 0, 0, 0]);
        }
    }
    let mut idle = 0;
    loop {
        // SAFETY: as for this function.
        match unsafe { reap_one(shared, pid, libc::WNOHANG) } {
            ended if ended > 0 => continue,
            ended if ended < 0 => return,
            _ => {}
        }
        // SAFETY: as for this function.
        match unsafe { kill_children() } {
            0 if idle > 1000 => return,
            0 => {
                // It is about to end, or cannot be seen; then it cannot be ended either.
                idle += 1;
                let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                // SAFETY: a pointer to a live value.
                unsafe { system_call(libc::SYS_nanosleep, [&raw const pause as usize, 0, 0, 0, 0]) };
            }
            // SAFETY: as for this function.
            _ => unsafe {
                reap_one(shared, pid, 0);
            },
        }
    }
}

/// Removes one process that has ended, and notes how when it is the program. Returns its id, 0 when none has,
/// and a negative number when there is none at all.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn reap_one(shared: &Shared, pid: c_int, options: c_int) -> isize {
    let mut status: c_int = 0;
    // SAFETY: rusage is plain data, and all zeroes is a valid value of it; both pointers are to live values.
    let (ended, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let options = (options | libc::__WALL) as usize;
        let (status, usage_at) = (&raw mut status as usize, &raw mut usage as usize);
        (system_call(libc::SYS_wait4, [usize::MAX, status, options, usage_at, 0]), usage)
    };
    if ended > 0 && ended == pid as isize {
        let usage = usage_of(&usage);
        shared.status.store(status, Ordering::Relaxed);
        shared.cpu_us.store(usage.cpu.as_micros() as u64, Ordering::Relaxed);
        shared.peak_kib.store(usage.peak_kib, Ordering::Relaxed);
        shared.ended.store(1, Ordering::Release);
    }
    ended
}

/// Sends SIGKILL to every child; returns how many there were.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn kill_children() -> usize {
    let mut count = 0_usize;
    let kill = |child: usize| {
        // SAFETY: no memory is involved.
        unsafe { system_call(libc::SYS_kill, [child, libc::SIGKILL as usize, 0, 0, 0]) };
        count = count.wrapping_add(1);
        true
    };
    // SAFETY: as for this function.
    unsafe { each_child(kill) };
    count
}

/// Calls `each` with the id of every child, as many as fit into a buffer, as long as it returns true. Returns
/// whether it always did; nothing when the children are not to be seen.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn each_child(mut each: impl FnMut(usize) -> bool) -> Option<bool> {
    let mut path = [0_u8; 64];
    let mut numbers = [0_u8; 4096];
    // SAFETY: pointers to live buffers with their lengths; `path` ends with a NUL.
    let read = unsafe {
        let own = system_call(libc::SYS_getpid, [0; 5]) as u64;
        let mut at = push(&mut path, 0, b"/proc/self/task/");
        let mut digits = [0_u8; 20];
        at = push(&mut path, at, decimal(own, &mut digits));
        push(&mut path, at, b"/children");
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
        let file = system_call(libc::SYS_openat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0, 0]);
        if file < 0 {
            return None;
        }
        let read = system_call(libc::SYS_read, [file as usize, numbers.as_mut_ptr() as usize, numbers.len(), 0, 0]);
        system_call(libc::SYS_close, [file as usize, 0, 0, 0, 0]);
        read
    };
    let mut pid = 0_usize;
    for byte in numbers.iter().take(usize::try_from(read).ok()?) {
        if byte.is_ascii_digit() {
            pid = pid.wrapping_mul(10).wrapping_add((byte - b'0') as usize);
        } else if pid > 0 {
            if !each(pid) {
                return Some(false);
            }
            pid = 0;
        }
    }
    Some(true)
}

/// Copies as much of `text` as fits into `buffer` from `at` on, leaving a NUL; returns where it ends.
fn push(buffer: &mut [u8], at: usize, text: &[u8]) -> usize {
    let room = buffer.len().saturating_sub(1);
    let mut end = at;
    for byte in text {
        match buffer.get_mut(end) {
            Some(place) if end < room => *place = *byte,
            _ => break,
        }
        end = end.wrapping_add(1);
    }
    end
}

/// A number in decimal digits.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at = at.wrapping_sub(1);
        if let Some(place) = digits.get_mut(at) {
            *place = b'0' + (number % 10) as u8;
        }
        number /= 10;
        if number == 0 || at == 0 {
            return digits.get(at..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_paths_are_written_without_an_allocation() {
        let mut digits = [0; 20];
        assert_eq!(decimal(0, &mut digits), b"0");
        assert_eq!(decimal(40_921, &mut digits), b"40921");
        assert_eq!(decimal(u64::MAX, &mut digits), b"18446744073709551615");
        let mut path = [7; 8];
        assert_eq!(push(&mut path, 2, b"abcdefgh"), 7);
        assert_eq!(&path, b"\x07\x07abcde\x07");
    }
}
