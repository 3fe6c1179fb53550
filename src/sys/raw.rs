//! System calls by hand, for code that shares its memory, and so libc's `errno`, with another process.

use std::ffi::c_long;

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

/// As above, by way of libc where the convention is not spelled out: `errno` of the thread that started the
/// program may change under it then.
///
/// # Safety
/// That of the call.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) unsafe fn system_call(number: c_long, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    // SAFETY: that of the call.
    unsafe { libc::syscall(number, a, b, c, d, e, 0) as isize }
}
