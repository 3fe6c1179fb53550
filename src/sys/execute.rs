//! The last steps before a program runs, in the process that becomes it.
//!
//! That process shares our memory until it executes: system calls by hand, no allocation, no panic, no lock.

use super::confine::{Confinement, give_up};
use super::raw::system_call;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::io;
use std::ptr;

/// The step at which a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Making the process.
    Clone,
    /// Changing to the folder.
    Folder,
    /// Setting up session or descriptors.
    SetUp,
    /// Giving up rights, as the sandbox wants.
    Confine,
    /// Executing the file.
    Execute,
}

/// How many descriptors go with an order at most: the three standard streams, two Landlock rulesets, and those that the
/// program gets besides.
pub(super) const DESCRIPTORS: usize = 5 + FURTHER;
/// How many the program can get besides, and the number of the first of them.
pub(super) const FURTHER: usize = 2;
pub(super) const FIRST_FURTHER: c_int = 30;

/// Everything the new process reads; it lives until the program has ended or could not be started.
pub(super) struct Orders {
    program: CString,
    _arguments: Vec<CString>,
    _environment: Vec<CString>,
    folder: CString,
    argument_pointers: Vec<*const c_char>,
    environment_pointers: Vec<*const c_char>,
    /// What is taken from it.
    confinement: Option<Confinement>,
    /// What becomes descriptors 0, 1 and 2, then the rulesets, then what the program gets besides; -1 for none.
    /// Numbers of the process that starts the program.
    pub(super) descriptors: [c_int; DESCRIPTORS],
    /// Where the stack of the new process ends.
    pub(super) stack: *mut c_void,
    /// What it reports when it could not execute.
    failed: (Step, c_int),
}

impl Orders {
    pub(super) fn new(
        program: CString,
        arguments: Vec<CString>,
        environment: Vec<CString>,
        folder: CString,
        confinement: Option<Confinement>,
    ) -> Self {
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
        };
        Orders {
            argument_pointers: pointers(&arguments),
            environment_pointers: pointers(&environment),
            program,
            _arguments: arguments,
            _environment: environment,
            folder,
            confinement,
            descriptors: [-1; DESCRIPTORS],
            stack: ptr::null_mut(),
            failed: (Step::Clone, 0),
        }
    }

    /// Why the program could not be started.
    pub(super) fn error(&self) -> (Step, io::Error) {
        (self.failed.0, io::Error::from_raw_os_error(self.failed.1))
    }
}

/// Notes that a start failed, or with 0 that none has.
///
/// # Safety
/// `orders` is valid, and nobody else uses it meanwhile.
pub(super) unsafe fn note_failure(orders: *mut Orders, step: Step, errno: c_int) {
    // SAFETY: the caller vouches for it. Volatile: the reader is a process the compiler does not know of.
    unsafe { ptr::write_volatile(&raw mut (*orders).failed, (step, errno)) }
}

/// What was noted.
///
/// # Safety
/// As above.
pub(super) unsafe fn failure(orders: *const Orders) -> (Step, c_int) {
    // SAFETY: as above.
    unsafe { ptr::read_volatile(&raw const (*orders).failed) }
}

/// The new process: becomes the program, or notes why it could not.
pub(super) extern "C" fn become_program(orders: *mut c_void) -> c_int {
    let orders: *mut Orders = orders.cast();
    // SAFETY: whoever made this process passes valid orders and stands still until it has executed or exited
    // (CLONE_VFORK).
    unsafe {
        let (step, error) = set_up_and_execute(&*orders);
        note_failure(orders, step, (-error) as c_int);
    }
    127
}

/// Returns only what went wrong.
///
/// # Safety
/// To be called in the new process only, with orders whose pointers are valid.
unsafe fn set_up_and_execute(orders: &Orders) -> (Step, isize) {
    // SAFETY: plain system calls on values that the caller vouches for.
    let call = |number: c_long, a: usize, b: usize, c: usize| unsafe { system_call(number, [a, b, c, 0, 0]) };
    let session = call(libc::SYS_setsid, 0, 0, 0);
    if session < 0 {
        return (Step::SetUp, session);
    }
    let [stdin, stdout, stderr, readable, writable, further @ ..] = orders.descriptors;
    for (source, target) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
        let done = call(libc::SYS_dup3, source as usize, target, 0);
        if done < 0 {
            return (Step::SetUp, done);
        }
    }
    for (target, source) in (FIRST_FURTHER as usize..).zip(further) {
        if source >= 0 {
            let done = call(libc::SYS_dup3, source as usize, target, 0);
            if done < 0 {
                return (Step::SetUp, done);
            }
        }
    }
    // Before the folder: it is looked up among the mounts that the program sees.
    if let Some(confinement) = &orders.confinement {
        // SAFETY: this is the process that becomes the program.
        if let Err(failed) = unsafe { give_up(confinement, [readable, writable]) } {
            return failed;
        }
    }
    let entered = call(libc::SYS_chdir, orders.folder.as_ptr() as usize, 0, 0);
    if entered < 0 {
        return (Step::Folder, entered);
    }
    // When the process above it is killed, it goes with it. A user namespace takes that back, so it comes late.
    call(libc::SYS_prctl, libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0);
    let none = 0_u64;
    // SAFETY: a pointer to a live set of the 8 bytes the kernel asks for.
    unsafe {
        let (how, set) = (libc::SIG_SETMASK as usize, &raw const none as usize);
        system_call(libc::SYS_rt_sigprocmask, [how, set, 0, 8, 0]);
    }
    let (arguments, environment) = (orders.argument_pointers.as_ptr(), orders.environment_pointers.as_ptr());
    (Step::Execute, call(libc::SYS_execve, orders.program.as_ptr() as usize, arguments as usize, environment as usize))
}
