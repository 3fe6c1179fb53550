//! What every Unix can do: a process group, and asking from time to time whether a process has ended.
//!
//! A process that leaves its group is out of reach, and nobody ends what runs when knockon itself is killed. The
//! audit log says so.

use super::execute::Step;
use super::platform::{Child, Idle, News, Platform, Poller, SpawnError, Spawning};
use super::poll::Poll;
use super::process::{Ending, Usage, ending_of, usage_of};
use super::signal::Signal;
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program is given to be removed once it was killed.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The fallback.
#[derive(Debug)]
pub(super) struct Portable;

/// A program in a group of its own.
#[derive(Debug)]
struct Grouped {
    pid: i32,
    ended: Option<(Ending, Usage)>,
    /// Whether it was said that all is gone.
    told: bool,
    /// Whether what is left of its group was ended.
    ending_all: std::cell::Cell<bool>,
}

impl Platform for Portable {
    fn start(&self, spawning: Spawning, stdio: [BorrowedFd<'_>; 3]) -> Result<Box<dyn Child>, SpawnError> {
        let failed = |step: Step| move |source: io::Error| SpawnError { step, source };
        if spawning.confinement.is_some() || !spawning.further.is_empty() {
            return Err(failed(Step::Confine)(io::ErrorKind::Unsupported.into()));
        }
        let text = |bytes: &std::ffi::CString| OsStr::from_bytes(bytes.as_bytes()).to_owned();
        let mut command = Command::new(text(&spawning.program));
        if let Some((name, rest)) = spawning.arguments.split_first() {
            command.arg0(text(name)).args(rest.iter().map(text));
        }
        command.env_clear();
        for variable in &spawning.environment {
            let bytes = variable.as_bytes();
            if let Some(at) = bytes.iter().position(|&byte| byte == b'=') {
                command.env(OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..]));
            }
        }
        let folder = text(&spawning.folder);
        if let Err(error) = std::fs::metadata(&folder)
            .and_then(|found| if found.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) })
        {
            return Err(failed(Step::Folder)(error));
        }
        command.current_dir(folder);
        let owned = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(Stdio::from);
        let [stdin, stdout, stderr] = stdio.map(owned);
        let set_up = failed(Step::SetUp);
        command.stdin(stdin.map_err(set_up)?).stdout(stdout.map_err(set_up)?).stderr(stderr.map_err(set_up)?);
        // SAFETY: only calls that are safe between fork and exec (signal-safety(7)): no allocation, no lock.
        unsafe {
            command.pre_exec(set_up_child);
        }
        let child = command.spawn().map_err(failed(Step::Execute))?;
        let pid = i32::try_from(child.id()).map_err(|error| failed(Step::Clone)(io::Error::other(error)))?;
        // Waiting is ours: std's handle would not tell what it used.
        drop(child);
        let ending_all = std::cell::Cell::new(false);
        Ok(Box::new(Grouped { pid, ended: None, told: false, ending_all }))
    }

    fn finish(&self, child: Box<dyn Child>) {
        drop(child);
    }

    fn rest(&self) {}

    fn poller(&self) -> io::Result<Box<dyn Poller>> {
        Ok(Box::new(Poll::default()))
    }

    fn lacks(&self) -> &'static [&'static str] {
        &["processes that leave its group", "outliving a killed knockon"]
    }
}

/// Between fork and exec.
fn set_up_child() -> io::Result<()> {
    // SAFETY: system calls on values on our stack; the set is initialised before it is read.
    unsafe {
        for signal in 1..32 {
            // KILL and STOP refuse, which is fine.
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        if libc::setsid() < 0 {
            return Err(io::Error::last_os_error());
        }
        let before = libc::umask(0o022);
        libc::umask(before | 0o022);
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
    }
    Ok(())
}

impl Grouped {
    /// Removes the program when it has ended.
    fn reap(&mut self, options: i32) -> bool {
        if self.ended.is_some() {
            return true;
        }
        let mut status = 0;
        // SAFETY: rusage is plain data, and all zeroes is a valid value of it; both pointers are to live values.
        let (reaped, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(self.pid, &raw mut status, options, &raw mut usage), usage)
        };
        if reaped == self.pid {
            self.ended = Some((ending_of(status), usage_of(&usage)));
        }
        self.ended.is_some()
    }

    fn kill_group(&self, signal: i32) {
        // SAFETY: no memory is involved. A group without members is no error that matters.
        unsafe {
            libc::kill(-self.pid, signal);
        }
    }
}

impl Child for Grouped {
    fn pid(&self) -> Option<i32> {
        Some(self.pid)
    }

    fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            self.kill_group(signal.number());
        }
    }

    fn end_all(&self) {
        self.kill_group(libc::SIGKILL);
        self.ending_all.set(true);
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn news(&mut self) -> Option<News> {
        if self.told {
            return None;
        }
        let knew = self.ended.is_some();
        let ended = self.reap(libc::WNOHANG);
        match (knew, ended) {
            (false, true) => Some(News::Ended),
            (true, _) if self.ending_all.get() => {
                self.told = true;
                Some(News::Gone)
            }
            _ => None,
        }
    }

    fn ending(&self) -> Option<(Ending, Usage)> {
        self.ended
    }

    fn has_survivors(&self) -> bool {
        false
    }

    fn into_idle(self: Box<Self>) -> Option<Idle> {
        None
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        self.kill_group(libc::SIGKILL);
        let until = Instant::now() + LAST_WAIT;
        while !self.reap(libc::WNOHANG) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
