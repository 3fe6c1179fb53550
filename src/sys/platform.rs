//! What only Linux can do, behind one small trait; and the choice between that and what every Unix can.

use super::Signal;
use super::confine::Confinement;
use super::execute::{FIRST_FURTHER, Step};
use super::linux::Linux;
use super::poll::Interest;
use super::portable::Portable;
use super::process::{Ending, Usage};
use super::raw::CAN_SHARE_MEMORY;
use super::supervisor::Supervisor;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

/// The variable that forces the fallback: `portable`.
const VARIABLE: &str = "KNOCKON_PLATFORM";

/// What to start.
#[derive(Debug)]
pub struct Spawning {
    /// The file to execute; no search in `PATH`.
    pub program: CString,
    /// All arguments, the program's name first.
    pub arguments: Vec<CString>,
    /// The whole environment, as `NAME=value`.
    pub environment: Vec<CString>,
    /// The folder to start in.
    pub folder: CString,
    /// What is taken from it.
    pub confinement: Option<Confinement>,
    /// What it gets besides its standard streams, as descriptors [`Spawning::FIRST_FURTHER`] and following; at
    /// most two.
    pub further: Vec<OwnedFd>,
    /// Whether it only makes a sandbox and starts the real program in it: signals are for what it started.
    pub wraps: bool,
}

impl Spawning {
    /// The number of the first descriptor that a program gets besides its standard streams.
    pub const FIRST_FURTHER: i32 = FIRST_FURTHER;
}

/// Why a program did not start.
#[derive(Debug)]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// The system's reason.
    pub source: io::Error,
}

/// What became of a program.
#[derive(Debug)]
pub enum News {
    /// It could not be started.
    Failed(SpawnError),
    /// It has ended; what it started has not.
    Ended,
    /// Nothing of it is left.
    Gone,
}

/// A program on its way, the leader of its own session and process group. Dropping it ends it and everything it
/// started that can be reached.
pub trait Child: fmt::Debug {
    /// Its process id, and that of its group and session, once it has one.
    fn pid(&self) -> Option<i32>;
    /// Sends a signal to its group.
    fn signal(&self, signal: Signal);
    /// Ends it and everything it started, at once, as far as that can be reached.
    fn end_all(&self);
    /// Becomes readable when there is news; without one, news have to be asked for.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
    /// What became of it, if anything did.
    fn news(&mut self) -> Option<News>;
    /// How it ended and what it used; nothing as long as that is not known, or when what watched over it was
    /// killed.
    fn ending(&self) -> Option<(Ending, Usage)>;
    /// Whether something that it started may be left: it cannot be seen, is still being ended, or what watched over it was
    /// killed.
    fn has_survivors(&self) -> bool;
    /// What can start the next program, when this one is done with it.
    fn into_idle(self: Box<Self>) -> Option<Idle>;
}

/// What starts programs faster when it has started one already.
#[derive(Debug)]
pub struct Idle(pub(super) Supervisor);

/// A set of descriptors that are waited for, each with a number of the caller's choice.
pub trait Poller: fmt::Debug {
    /// Adds a descriptor.
    ///
    /// # Errors
    /// Out of memory.
    fn add(&mut self, fd: BorrowedFd<'_>, number: u64, interest: Interest) -> io::Result<()>;
    /// Removes a descriptor; to be called before it is closed, too. Another process may have what it stands for open
    /// for a moment longer, and it would be told of all that time (epoll(7), "Will closing a file descriptor cause it
    /// to be removed").
    fn remove(&mut self, fd: BorrowedFd<'_>, number: u64);
    /// Waits until a descriptor is ready or `limit` has passed, without a limit as long as it takes, and puts the
    /// numbers of those that are ready into `ready`.
    ///
    /// # Errors
    /// Out of memory.
    fn wait(&mut self, limit: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()>;
}

/// What differs from system to system.
pub trait Platform: fmt::Debug + Send + Sync {
    /// Starts a program in a session of its own, with default signal handling, an empty signal mask, a
    /// umask that gives others no right to write, no descriptor above 2 and no core dumps. `stdio` becomes its
    /// descriptors 0, 1 and 2. [`Child::news`] may tell later that it could not be started.
    ///
    /// # Errors
    /// There is no process to be had, or it is known at once that the program cannot be started.
    fn start(&self, spawning: Spawning, stdio: [BorrowedFd<'_>; 3]) -> Result<Box<dyn Child>, SpawnError>;
    /// Takes a program back of which nothing is left, so that the next one starts faster.
    fn finish(&self, child: Box<dyn Child>);
    /// Lets go of what is kept to start the next program faster, without waiting for it to be gone.
    fn rest(&self);
    /// An empty set of descriptors.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    fn poller(&self) -> io::Result<Box<dyn Poller>>;
    /// What a hook cannot be kept from here, in words for the audit log.
    fn lacks(&self) -> &'static [&'static str];
}

/// The platform this process runs on.
pub fn platform() -> Box<dyn Platform> {
    if is_portable() { Box::new(Portable) } else { Box::new(Linux::default()) }
}

/// Whether only what every Unix can do is used.
pub(super) fn is_portable() -> bool {
    static PORTABLE: OnceLock<bool> = OnceLock::new();
    *PORTABLE.get_or_init(|| !CAN_SHARE_MEMORY || std::env::var_os(VARIABLE).is_some_and(|value| value == "portable"))
}
