//! What the programs that the small process starts inherit from it: a session, signals, limits, descriptors.
//!
//! It shares the memory of its parent, as `supervise` says: system calls by hand, nothing else.

use super::raw::system_call;
use std::ffi::c_int;

/// The name of the small process, as `ps` and `killall` know it; at most 15 characters.
const NAME: &std::ffi::CStr = c"hook-supervisor";

/// Everything that all programs inherit, done once.
// SAFETY: to be called in the small process only, which makes system calls by hand.
pub(super) unsafe fn set_up() {
    // SAFETY: pointers to live values only.
    unsafe {
        system_call(libc::SYS_setsid, [0; 5]);
        // `killall knockon` is for the runner: this one ends the programs then.
        system_call(libc::SYS_prctl, [libc::PR_SET_NAME as usize, NAME.as_ptr() as usize, 0, 0, 0]);
        system_call(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as usize, 1, 0, 0, 0]);
        system_call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0]);
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        system_call(libc::SYS_prlimit64, [0, libc::RLIMIT_CORE as usize, &raw const no_core as usize, 0, 0]);
        // An ignored signal survives exec, so each is put back; KILL and STOP refuse, which is fine. An
        // all-zero action is the default.
        let default = [0_u64; 4];
        for signal in 1..=64 {
            system_call(libc::SYS_rt_sigaction, [signal, default.as_ptr() as usize, 0, 8, 0]);
        }
        let before = system_call(libc::SYS_umask, [0o022, 0, 0, 0, 0]);
        system_call(libc::SYS_umask, [before as usize | 0o022, 0, 0, 0, 0]);
    }
}

/// Closes everything above the lowest three in whatever is executed.
// SAFETY: to be called in the small process only, which makes system calls by hand.
pub(super) unsafe fn close_on_execute() {
    let flags = libc::CLOSE_RANGE_CLOEXEC as usize;
    // SAFETY: no memory is involved.
    unsafe {
        if system_call(libc::SYS_close_range, [3, u32::MAX as usize, flags, 0, 0]) < 0 {
            // Before Linux 5.11.
            for fd in 3..4096 {
                system_call(libc::SYS_fcntl, [fd, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0, 0]);
            }
        }
    }
}

/// Makes the socket the lowest three descriptors, so that none of what comes over it is one of them. To be called before
/// any program runs: one could take the right to that away (prlimit(2)).
// SAFETY: to be called in the small process only, which makes system calls by hand.
pub(super) unsafe fn take_lowest(control: c_int) {
    for target in 0..3 {
        // One that is there already is refused, which is fine.
        // SAFETY: no memory is involved.
        unsafe { system_call(libc::SYS_dup3, [control as usize, target, libc::O_CLOEXEC as usize, 0, 0]) };
    }
}

/// Closes everything but the lowest three and `pidfd`: the parent's pipes must not stay open because of us. Returns where
/// `pidfd` is now.
// SAFETY: to be called in the small process only, which makes system calls by hand.
pub(super) unsafe fn keep_only(pidfd: c_int) -> c_int {
    // SAFETY: no memory is involved.
    unsafe {
        if pidfd < 0 {
            close_range(3, u32::MAX as usize);
            return pidfd;
        }
        // Refused where it is that one, or where a program was quick to take the right to it.
        let moved = system_call(libc::SYS_dup3, [pidfd as usize, 3, libc::O_CLOEXEC as usize, 0, 0]) >= 0;
        let place = if moved { 3 } else { pidfd };
        if place > 3 {
            close_range(3, place as usize - 1);
        }
        close_range(place as usize + 1, u32::MAX as usize);
        place
    }
}

// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn close_range(from: usize, to: usize) {
    // SAFETY: no memory is involved.
    unsafe {
        if system_call(libc::SYS_close_range, [from, to, 0, 0, 0]) < 0 {
            // Before Linux 5.9.
            for fd in from..=to.min(4095) {
                system_call(libc::SYS_close, [fd, 0, 0, 0, 0]);
            }
        }
    }
}
