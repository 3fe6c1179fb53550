//! How what was started ended, and what it used.

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

/// What a status of `wait4` means.
pub(super) fn ending_of(status: i32) -> Ending {
    if libc::WIFSIGNALED(status) {
        Ending::Killed(libc::WTERMSIG(status))
    } else {
        Ending::Exited(libc::WEXITSTATUS(status))
    }
}

pub(super) fn usage_of(usage: &libc::rusage) -> Usage {
    let part = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds).saturating_add(Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0)))
    };
    let cpu = part(usage.ru_utime).saturating_add(part(usage.ru_stime));
    Usage { cpu, peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0) }
}
