//! Signals to this process, as something that can be polled; and signals to others, by name.

use rustix::process::Signal as SystemSignal;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The signals knockon sends or reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A polite request to end.
    Terminate,
    /// The terminal went away.
    HangUp,
    /// The end, without a say in it.
    Kill,
}

impl Signal {
    pub(super) fn for_the_system(self) -> SystemSignal {
        match self {
            Signal::Interrupt => SystemSignal::INT,
            Signal::Terminate => SystemSignal::TERM,
            Signal::HangUp => SystemSignal::HUP,
            Signal::Kill => SystemSignal::KILL,
        }
    }

    /// The number POSIX gives it.
    pub fn number(self) -> i32 {
        self.for_the_system().as_raw()
    }

    /// The name people know, such as `SIGTERM`; a number for the rare ones.
    pub fn name_of(number: i32) -> String {
        let name = match number {
            libc::SIGHUP => "SIGHUP",
            libc::SIGINT => "SIGINT",
            libc::SIGQUIT => "SIGQUIT",
            libc::SIGILL => "SIGILL",
            libc::SIGABRT => "SIGABRT",
            libc::SIGBUS => "SIGBUS",
            libc::SIGFPE => "SIGFPE",
            libc::SIGKILL => "SIGKILL",
            libc::SIGSEGV => "SIGSEGV",
            libc::SIGPIPE => "SIGPIPE",
            libc::SIGALRM => "SIGALRM",
            libc::SIGTERM => "SIGTERM",
            libc::SIGXCPU => "SIGXCPU",
            libc::SIGSYS => "SIGSYS",
            other => return format!("signal {other}"),
        };
        name.to_owned()
    }
}

/// Lets a write beyond the limit on file sizes fail (EFBIG) rather than end this process (setrlimit(2)).
/// Hooks get the default back.
pub fn ignore_file_size_signal() {
    // SAFETY: SIGXFSZ is a valid signal, and ignoring it runs no code of ours.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// SIGINT, SIGTERM and SIGHUP of this process, readable instead of deadly from when they are first listened to for as
/// long as this lives.
#[derive(Debug, Default)]
pub struct Interrupts {
    taken: OnceLock<Option<Taken>>,
}

/// The signals that were taken.
#[derive(Debug)]
struct Taken {
    fd: OwnedFd,
    /// Those that were not blocked before.
    ours: Vec<i32>,
}

/// Whether signals were ever taken here, and when this process was first asked to end by one of them.
static TAKEN: AtomicBool = AtomicBool::new(false);
static ASKED: OnceLock<Instant> = OnceLock::new();

/// Whether the signals that end a process may be taken here instead.
pub(super) fn are_taken() -> bool {
    TAKEN.load(Ordering::Relaxed)
}

/// Since when this process is known to be asked to end, if it is: by a signal that was taken, or one that waits to be.
pub(super) fn asked_to_end() -> Option<Instant> {
    let mut pending = set_of(&[]);
    // SAFETY: both read an initialised set; the first call writes it.
    let waits = unsafe {
        libc::sigpending(&raw mut pending) == 0
            && DEADLY.iter().any(|signal| libc::sigismember(&raw const pending, *signal) == 1)
    };
    if waits {
        ASKED.get_or_init(Instant::now);
    }
    ASKED.get().copied()
}

/// The signals that end a process which does not take them.
const DEADLY: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: the set is plain data that sigemptyset initialises before any other use.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.release();
    }
}

impl Interrupts {
    /// Listens to the three signals from now on.
    ///
    /// # Errors
    /// See [`Interrupts::listen`].
    pub fn open() -> io::Result<Self> {
        let interrupts = Interrupts::default();
        match interrupts.listen() {
            Some(_) => Ok(interrupts),
            None => Err(io::Error::other("signals cannot be listened to")),
        }
    }

    /// Blocks the three signals in the calling thread and opens a descriptor that tells of them; does nothing when
    /// that was done before. Nothing when the system is out of descriptors or memory: a signal then ends this process
    /// as usual.
    ///
    /// Call it before other threads start: they inherit the mask. A signal that is ignored (as under
    /// `nohup`) stays ignored.
    pub fn listen(&self) -> Option<BorrowedFd<'_>> {
        let taken = self.taken.get_or_init(|| Taken::take().ok());
        taken.as_ref().map(|taken| taken.fd.as_fd())
    }

    /// Lets the signals be deadly again that were before, in the calling thread: nobody takes them any more.
    pub fn release(&self) {
        let Some(Some(taken)) = self.taken.get() else { return };
        let set = set_of(&taken.ours);
        // SAFETY: an initialised set; the second one is not asked for.
        unsafe {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        }
    }

    /// The next signal that has arrived, if one has.
    pub fn take(&self) -> Option<Signal> {
        let fd = self.taken.get()?.as_ref()?.fd.as_raw_fd();
        // SAFETY: signalfd_siginfo is plain data, valid when all zeroes.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        let asked = |signal| {
            ASKED.get_or_init(Instant::now);
            Some(signal)
        };
        // SAFETY: the buffer is as large as the length given, and lives through the call.
        let read = unsafe { libc::read(fd, (&raw mut info).cast(), size) };
        if read != size as isize {
            return None;
        }
        match info.ssi_signo as i32 {
            libc::SIGINT => asked(Signal::Interrupt),
            libc::SIGTERM => asked(Signal::Terminate),
            libc::SIGHUP => asked(Signal::HangUp),
            _ => None,
        }
    }
}

/// Whether this process ignores a signal. One that is blocked arrives at a signalfd all the same (Linux), so that it must
/// not be asked for.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: the structure is plain data, valid when all zeroes; the call changes no handler and writes the one there is.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

impl Taken {
    fn take() -> io::Result<Self> {
        let wanted: Vec<i32> = DEADLY.into_iter().filter(|signal| !is_ignored(*signal)).collect();
        let set = set_of(&wanted);
        TAKEN.store(true, Ordering::Relaxed);
        // SAFETY: both sets are initialised; the call writes the second before it is read.
        let (fd, ours) = unsafe {
            let mut before = set_of(&[]);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
            let ours = wanted.into_iter().filter(|signal| libc::sigismember(&raw const before, *signal) == 0);
            (libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC), ours.collect())
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else knows.
        Ok(Taken { fd: unsafe { OwnedFd::from_raw_fd(fd) }, ours })
    }
}
