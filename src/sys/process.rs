//! Signalling and reaping what was started.

use super::Signal;
use rustix::process::{Pid, kill_process_group};
use std::time::Duration;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
}

/// What a process and the children it waited for used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, in user and system mode together.
    pub cpu: Duration,
    /// The largest resident set of one process, in KiB.
    pub peak_kib: u64,
}

/// Sends `signal` to every process of the group `pid` leads. A group without members is no error.
pub fn signal_group(pid: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(pid) {
        // ESRCH: nobody is left. EPERM: what is left belongs to another user and is not ours to end.
        let _ = kill_process_group(group, signal.for_the_system());
    }
}

/// Waits for the child `pid` and removes it from the process table. Blocks until it has ended.
///
/// A child that someone else reaped counts as exited with 0 and no usage.
pub fn reap(pid: i32) -> (Ending, Usage) {
    let mut status = 0;
    // SAFETY: rusage is plain data, and all zeroes is a valid value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live values of the right type.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        let again = reaped < 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted;
        if !again {
            break;
        }
    }
    let ending = if libc::WIFSIGNALED(status) {
        Ending::Killed(libc::WTERMSIG(status))
    } else {
        Ending::Exited(libc::WEXITSTATUS(status))
    };
    let part = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    let cpu = part(usage.ru_utime) + part(usage.ru_stime);
    (ending, Usage { cpu, peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0) })
}
