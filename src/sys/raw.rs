//! System calls by hand, for code that shares its memory, and so libc's `errno`, with another process.

use std::ffi::{c_int, c_long, c_void};

/// What a process that shares our memory runs.
pub(super) type Entry = extern "C" fn(*mut c_void) -> c_int;

/// A system call that touches nothing but what it is given; negative numbers are errors.
///
/// # Safety
/// That of the call.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn system_call(number: c_long, arguments: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention (syscall(2)); it changes rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") 0,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// Makes a process that shares our memory, runs `entry` with `argument` on the stack that ends at `top`, and
/// exits with what that returns. The kernel writes its pidfd to `pidfd` (CLONE_PIDFD) and zero to `alive` when
/// it has ended (CLONE_CHILD_CLEARTID), as `flags` say. Returns its process id, or a negative number.
///
/// libc's `clone` would write `errno` into the storage of a thread that may be gone.
///
/// # Safety
/// `top` ends a stack that nothing else uses, 16 bytes aligned; `entry` takes `argument` and makes system
/// calls by hand only; every signal is blocked.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone_onto(
    flags: c_int,
    top: *mut c_void,
    pidfd: *mut c_int,
    alive: *mut c_int,
    entry: Entry,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: both words lie at the end of the stack that the caller vouches for. The kernel's convention for
    // clone(2) on this processor; in the new process the block never ends, so that what it changes there
    // (the stack's pointer among it) is nobody's.
    unsafe {
        let words = top.cast::<usize>().sub(2);
        words.write(entry as usize);
        words.add(1).write(argument as usize);
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "pop rax",
            "pop rdi",
            "call rax",
            "mov edi, eax",
            "mov eax, 231",
            "syscall",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone as isize => result,
            in("rdi") flags as isize,
            in("rsi") words,
            in("rdx") pidfd,
            in("r10") alive,
            in("r8") 0,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// As above.
///
/// # Safety
/// That of the call.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn system_call(number: c_long, arguments: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention (syscall(2)).
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] as isize => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") 0,
            options(nostack)
        );
    }
    result
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn clone_onto(
    flags: c_int,
    top: *mut c_void,
    pidfd: *mut c_int,
    alive: *mut c_int,
    entry: Entry,
    argument: *mut c_void,
) -> isize {
    let result: isize;
    // SAFETY: as above.
    unsafe {
        let words = top.cast::<usize>().sub(2);
        words.write(entry as usize);
        words.add(1).write(argument as usize);
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "ldp x9, x0, [sp], #16",
            "blr x9",
            "mov x8, #94",
            "svc 0",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone,
            inlateout("x0") flags as isize => result,
            in("x1") words,
            in("x2") pidfd,
            in("x3") 0,
            in("x4") alive,
        );
    }
    result
}

/// As above, by way of libc where the convention is not spelled out: `errno` of the thread that started the
/// program may change under it then.
///
/// # Safety
/// That of the call.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn system_call(number: c_long, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    // SAFETY: that of the call.
    match unsafe { libc::syscall(number, a, b, c, d, e, 0) as isize } {
        failed if failed < 0 => -(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) as isize),
        result => result,
    }
}

/// Whether processes that share our memory can be made on this processor; elsewhere the portable platform is used.
pub(super) const CAN_SHARE_MEMORY: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Not to be had: the new process would run code of libc on memory that it shares with this one.
///
/// # Safety
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn clone_onto(
    _flags: c_int,
    _top: *mut c_void,
    _pidfd: *mut c_int,
    _alive: *mut c_int,
    _entry: Entry,
    _argument: *mut c_void,
) -> isize {
    -(libc::ENOSYS as isize)
}
