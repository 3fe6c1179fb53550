//! The small process that starts programs for us, one after the other, and lets nothing of them survive.
//!
//! It shares our memory (`CLONE_VM`), which makes it cheap, and binds it to system calls by hand: nothing here
//! allocates, panics or touches what belongs to a thread. It knows no clock and no policy.

use super::end_tree::{end_all, only_child, signal_below};
use super::execute::{DESCRIPTORS, Orders, Step, become_program, failure, note_failure};
use super::inherit::{close_on_execute, keep_only, set_up, take_lowest};
use super::mounts::{Identity, stay_who_you_are};
use super::process::usage_of;
use super::raw::{clone_onto, system_call};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

/// Tells it to start the program of the orders; the descriptors come along.
pub(super) const START: u8 = 255;
/// Tells it to end the program and whatever it started. A smaller number than [`START`] is a signal to pass on.
pub(super) const END_ALL: u8 = 0;
/// Together with a signal: it is for what is below the program, and not for the program itself.
pub(super) const BELOW: u8 = 128;
/// It says that the program could not be started; the orders say why.
pub(super) const FAILED: u8 = 1;
/// It says that the program has ended, and has left something behind.
pub(super) const ENDED: u8 = 2;
/// It says that nothing of the program is left.
pub(super) const GONE: u8 = 3;

/// Where its end of the socket is once it is set up.
const CONTROL: c_int = 0;

/// How often it looks for adopted processes that have ended by themselves.
const LOOK_EVERY_MS: i64 = 500;

/// What the two processes share. Each field is written by one side only.
#[derive(Debug)]
pub(super) struct Shared {
    /// The small process's end of the socket, in its own table.
    pub(super) control: c_int,
    /// What becomes descriptors 0, 1 and 2 of a program that is to be started at once, in its own table: none of those.
    pub(super) first: Option<[c_int; 3]>,
    /// What to start; set before [`START`] is sent.
    pub(super) orders: AtomicPtr<Orders>,
    /// The program's process, once it was made.
    pub(super) pid: AtomicI32,
    /// Its end as `wait4` tells it, valid once `ended` is 1.
    pub(super) status: AtomicI32,
    pub(super) cpu_us: AtomicU64,
    pub(super) peak_kib: AtomicU64,
    pub(super) ended: AtomicI32,
    /// 1 when something of the program is left that cannot be seen, and so not be ended.
    pub(super) survivors: AtomicI32,
    /// Grows while the small process is ending a program.
    pub(super) beats: AtomicU64,
    /// 0 once the small process is gone.
    pub(super) alive: AtomicI32,
    /// Where the stack of the process that becomes the program ends.
    pub(super) program_stack: *mut c_void,
    /// Whether the small process is the first of a PID namespace: what it starts cannot leave that, and ends with it.
    pub(super) isolated: bool,
    /// What leaves it the user who it was, when it is in a user namespace.
    pub(super) identity: Option<Identity>,
}

/// What came over the socket.
enum Heard {
    Message(u8),
    Nothing,
    Nobody,
}

/// The small process.
pub(super) extern "C" fn supervise(shared: *mut c_void) -> c_int {
    // SAFETY: the parent passes a valid `Shared` that outlives this process.
    unsafe {
        let shared = &*shared.cast::<Shared>();
        set_up();
        take_lowest(shared.control);
        if let Some(identity) = &shared.identity {
            let done = stay_who_you_are(identity);
            if done < 0 {
                let orders = shared.orders.load(Ordering::Acquire);
                if !orders.is_null() {
                    note_failure(orders, Step::Confine, (-done) as c_int);
                    say(CONTROL, FAILED);
                }
                return 0;
            }
        }
        let mut descriptors = [-1; DESCRIPTORS];
        if let Some(first) = shared.first {
            close_on_execute();
            for (place, descriptor) in descriptors.iter_mut().zip(first) {
                *place = descriptor;
            }
            let mut pidfd: c_int = -1;
            let pid = start_ordered(shared, &descriptors, &mut pidfd);
            pidfd = keep_only(pidfd);
            descriptors = [-1; DESCRIPTORS];
            if !see_through(shared, pid, pidfd) {
                return 0;
            }
        } else {
            keep_only(-1);
        }
        loop {
            let message = match hear(CONTROL, &mut descriptors) {
                Heard::Message(message) => message,
                Heard::Nothing => continue,
                Heard::Nobody => break,
            };
            // What is meant for a program that is gone comes too late.
            if message == START && !start_and_watch(shared, &descriptors) {
                break;
            }
            descriptors = [-1; DESCRIPTORS];
        }
    }
    0
}

/// Waits for the next message; descriptors that come with it are put into `descriptors`.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn hear(control: c_int, descriptors: &mut [c_int; DESCRIPTORS]) -> Heard {
    let mut byte = 0_u8;
    // Room for a header of 16 bytes and the numbers, aligned as the kernel wants.
    let mut ancillary = [0_u64; 2 + DESCRIPTORS.div_ceil(2)];
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: msghdr is plain data, and all zeroes is a valid value of it; every pointer is to a live value.
    let count = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&ancillary) as _;
        let flags = libc::MSG_CMSG_CLOEXEC as usize;
        let count = system_call(libc::SYS_recvmsg, [control as usize, &raw mut message as usize, flags, 0, 0]);
        // A header is its length (a word), level and type; the numbers follow.
        let length = ancillary[0] as usize;
        let rights = ancillary[1] == (libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32);
        if count > 0 && message.msg_controllen as usize >= 16 && rights {
            let numbers = ancillary.as_ptr().cast::<c_int>().add(4);
            let received = (length.saturating_sub(16) / size_of::<c_int>()).min(DESCRIPTORS);
            for (at, descriptor) in descriptors.iter_mut().enumerate().take(received) {
                *descriptor = ptr::read(numbers.wrapping_add(at));
            }
        }
        count
    };
    if count > 0 { Heard::Message(byte) } else { Heard::Nobody }
}

/// The next message; without waiting for one when `looking`.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn hear_now(control: c_int, looking: bool) -> Heard {
    let mut byte = 0_u8;
    let flags = if looking { libc::MSG_DONTWAIT as usize } else { 0 };
    // SAFETY: a pointer to a live byte; without an address to be filled in.
    let count = unsafe { system_call(libc::SYS_recvfrom, [control as usize, &raw mut byte as usize, 1, flags, 0]) };
    match count {
        1.. => Heard::Message(byte),
        nothing if nothing == -(libc::EAGAIN as isize) || nothing == -(libc::EINTR as isize) => Heard::Nothing,
        _ => Heard::Nobody,
    }
}

/// Whether the program has ended, without removing it.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn has_ended(pid: c_int) -> bool {
    // SAFETY: siginfo_t is plain data, and all zeroes is a valid value of it; the pointer is to a live one.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let (one, info_at) = (libc::P_PID as usize, &raw mut info as usize);
        let result = system_call(libc::SYS_waitid, [one, pid as usize, info_at, options as usize, 0]);
        result < 0 || info.si_pid() == pid
    }
}

// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn say(control: c_int, message: u8) {
    let flags = (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize;
    // SAFETY: a pointer to a live byte. When nobody listens, the next look at the socket tells.
    unsafe { system_call(libc::SYS_sendto, [control as usize, &raw const message as usize, 1, flags, 0]) };
}

/// Starts the program whose descriptors came over the socket, and stays until nothing of it is left. Returns whether
/// the parent is still there.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn start_and_watch(shared: &Shared, descriptors: &[c_int; DESCRIPTORS]) -> bool {
    let mut pidfd: c_int = -1;
    // SAFETY: as for this function.
    unsafe {
        let pid = start_ordered(shared, descriptors, &mut pidfd);
        for descriptor in descriptors.iter().filter(|descriptor| **descriptor >= 0) {
            system_call(libc::SYS_close, [*descriptor as usize, 0, 0, 0, 0]);
        }
        see_through(shared, pid, pidfd)
    }
}

/// Starts the program of the orders. Returns its process id, or 0.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn start_ordered(shared: &Shared, descriptors: &[c_int; DESCRIPTORS], pidfd: &mut c_int) -> c_int {
    let orders = shared.orders.load(Ordering::Acquire);
    // SAFETY: the orders are valid until we say that the program has ended or failed.
    unsafe {
        (*orders).descriptors = *descriptors;
        (*orders).stack = shared.program_stack;
        start(orders, pidfd)
    }
}

/// Stays until nothing of a program is left. Returns whether the parent is still there.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn see_through(shared: &Shared, pid: c_int, pidfd: c_int) -> bool {
    // SAFETY: as for this function.
    unsafe {
        if pid <= 0 {
            say(CONTROL, FAILED);
            return true;
        }
        // Others know it by another number than this namespace.
        let number = if shared.isolated { only_child().unwrap_or(pid) } else { pid };
        shared.pid.store(number, Ordering::Release);
        let present = watch(shared, CONTROL, pid, pidfd);
        system_call(libc::SYS_close, [pidfd as usize, 0, 0, 0, 0]);
        present
    }
}

/// Starts the program. Returns its process id, or 0 when the orders say why it could not be started.
// SAFETY: to be called in the small process only, which makes system calls by hand, with valid orders.
unsafe fn start(orders: *mut Orders, pidfd: &mut c_int) -> c_int {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the stack is the new process's own; CLONE_VFORK keeps this one still until it has executed or exited.
    unsafe {
        note_failure(orders, Step::Clone, 0);
        let pid = clone_onto(flags, (*orders).stack, pidfd, ptr::null_mut(), become_program, orders.cast());
        if pid < 0 {
            note_failure(orders, Step::Clone, (-pid) as c_int);
            return 0;
        }
        if failure(orders).1 == 0 {
            return pid as c_int;
        }
        system_call(libc::SYS_wait4, [pid as usize, 0, libc::__WALL as usize, 0, 0]);
        system_call(libc::SYS_close, [*pidfd as usize, 0, 0, 0, 0]);
        0
    }
}

/// Passes signals on and reports the program's end, until nothing of it is left or the parent lets go, by
/// intent or by dying. Returns whether the parent is still there.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn watch(shared: &Shared, control: c_int, pid: c_int, pidfd: c_int) -> bool {
    let readable = |fd: c_int| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polled = [readable(control), readable(pidfd)];
    loop {
        let (tv_sec, tv_nsec) = (LOOK_EVERY_MS / 1000, (LOOK_EVERY_MS % 1000) * 1_000_000);
        let mut limit = libc::timespec { tv_sec, tv_nsec };
        // SAFETY: both pointers are to live values of the right type.
        let ready = unsafe {
            let (polled, limit) = (polled.as_mut_ptr() as usize, &raw mut limit as usize);
            system_call(libc::SYS_ppoll, [polled, 2, limit, 0, 8])
        };
        let [from_parent, of_program] = &mut polled;
        // SAFETY: as for this function.
        unsafe {
            if ready == 0 {
                if of_program.fd >= 0 {
                    reap_strays(pid);
                } else if reap_all(shared, pid) {
                    say(control, GONE);
                    return true;
                }
                continue;
            }
            if ready < 0 {
                // A program can take our descriptors' limit from us (prlimit(2)); both are looked at without poll.
                let pause = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
                system_call(libc::SYS_nanosleep, [&raw const pause as usize, 0, 0, 0, 0]);
                from_parent.revents = libc::POLLIN;
                of_program.revents = if has_ended(pid) { libc::POLLIN } else { 0 };
            }
            if from_parent.revents != 0 {
                match hear_now(control, ready < 0) {
                    Heard::Nothing => {}
                    Heard::Message(END_ALL) => {
                        end_all(shared, pid);
                        say(control, GONE);
                        return true;
                    }
                    Heard::Message(signal) if of_program.fd >= 0 && signal & BELOW != 0 => {
                        signal_below(pid, c_int::from(signal & !BELOW));
                    }
                    // The group is the program's as long as it was not removed.
                    Heard::Message(signal) if of_program.fd >= 0 => {
                        system_call(libc::SYS_kill, [(-(pid as isize)) as usize, signal as usize, 0, 0, 0]);
                    }
                    Heard::Message(_) => {}
                    Heard::Nobody => {
                        end_all(shared, pid);
                        return false;
                    }
                }
            }
            if of_program.fd >= 0 && of_program.revents != 0 {
                if reap_all(shared, pid) {
                    say(control, GONE);
                    return true;
                }
                // What it left behind may still write: the parent says how long.
                of_program.fd = -1;
                say(control, ENDED);
            }
        }
    }
}

/// Removes what has ended and is not the program itself, whose id must stay taken as long as it may get a signal.
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

/// Removes everything that has ended; returns whether nothing is left.
// SAFETY: to be called in the small process only, which makes system calls by hand.
pub(super) unsafe fn reap_all(shared: &Shared, pid: c_int) -> bool {
    loop {
        // SAFETY: as for this function.
        match unsafe { reap_one(shared, pid, libc::WNOHANG) } {
            0 => return false,
            ended if ended < 0 => return true,
            _ => {}
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
