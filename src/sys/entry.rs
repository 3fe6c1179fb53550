//! Where the program begins: what the standard library does before `main`, without what a process that lives for a
//! moment does not need.
//!
//! Left out is the handler that tells a stack overflow from another fault: finding the guard page and giving the
//! handler a stack of its own takes a fifth of the time of an empty program (docs/performance.md). The guard page
//! itself is there all the same.

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStringExt;

/// Defines the function that the C runtime calls, which hands the arguments to `$main` and ends with the code that
/// it returns. `$memory` is the [`Arena`](crate::sys::Arena) of the program.
#[macro_export]
macro_rules! entry {
    ($memory:path, $main:path) => {
        // SAFETY: no other function of this name is linked: the crate has `#![no_main]`.
        #[unsafe(no_mangle)]
        extern "C" fn main(count: core::ffi::c_int, arguments: *const *const core::ffi::c_char) -> core::ffi::c_int {
            $memory.warm();
            // SAFETY: these are the arguments that the C runtime was given.
            let arguments = unsafe { $crate::sys::begin(count, arguments) };
            core::ffi::c_int::from($main(&arguments))
        }
    };
}

/// Sets this process up as the standard library does, and returns its arguments, the program's name first.
///
/// # Safety
/// `arguments` points to `count` strings of C that live as long as the process (C11 5.1.2.2.1).
pub unsafe fn begin(count: c_int, arguments: *const *const c_char) -> Vec<OsString> {
    take_standard_descriptors();
    // SAFETY: SIGPIPE is a valid signal, and ignoring it runs no code of ours. A write to a reader that is gone is to
    // fail (EPIPE), not to end this process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let count = usize::try_from(count).unwrap_or(0);
    (0..count)
        .map(|at| {
            // SAFETY: the caller promises as many strings as it counts.
            let argument = unsafe { CStr::from_ptr(*arguments.add(at)) };
            OsString::from_vec(argument.to_bytes().to_vec())
        })
        .collect()
}

/// Opens `/dev/null` for each of the first three descriptors that is closed: what is opened next would have its
/// number, and be taken for the caller's terminal.
fn take_standard_descriptors() {
    let one = |fd| libc::pollfd { fd, events: 0, revents: 0 };
    let mut three = [one(0), one(1), one(2)];
    // SAFETY: three live values, as many as are told.
    let polled = unsafe { libc::poll(three.as_mut_ptr(), 3, 0) };
    for fd in three.iter().filter(|fd| polled < 0 || fd.revents & libc::POLLNVAL != 0) {
        // The lowest one that is free, which is this one.
        // SAFETY: a string of C; no memory is written.
        unsafe {
            if libc::fcntl(fd.fd, libc::F_GETFD) < 0 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
}
