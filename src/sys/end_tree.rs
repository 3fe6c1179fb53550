//! Ends a program and everything that it started, however quickly that goes on forking.
//!
//! Part of the small process that `supervise` is: it shares the memory of its parent, so it makes system calls by hand,
//! and nothing here allocates, panics or touches what belongs to a thread.

use super::raw::system_call;
use super::supervise::{Shared, reap_all};
use std::ffi::c_int;
use std::sync::atomic::Ordering;

/// So many rounds of killing what is directly below this process are tried before all of it is stopped first.
const SIMPLE_ROUNDS: u32 = 4;
/// How many processes can be stopped at once.
const MOST_PROCESSES: usize = 32 * 1024;
/// How often the tree is walked until nothing new is found in it.
const MOST_WALKS: u32 = 200;
/// How long nothing is to be seen until it is certain that `/proc` does not show what is left, in rounds of a millisecond.
const BLIND_ROUNDS: u32 = 1000;
/// The shortest and the longest pause, in nanoseconds.
const PAUSES: [i64; 2] = [50_000, 20_000_000];

/// Ends the program, its group, and whatever was adopted, until there is no process below this one. What cannot be seen is
/// noted in [`Shared::survivors`].
// SAFETY: to be called in the small process only, which makes system calls by hand.
pub(super) unsafe fn end_all(shared: &Shared, pid: c_int) {
    // SAFETY: no memory is involved. The group is the program's: it was not removed so far.
    unsafe {
        if shared.isolated {
            return end_namespace(shared, pid);
        }
        if shared.ended.load(Ordering::Relaxed) == 0 {
            // At once for all in it: no fork of theirs gets between (kill(2), fork(2)).
            kill(-(pid as isize), libc::SIGKILL);
        }
        // Refused to all but root: among hundreds that fork, one needs its turn.
        let before = system_call(libc::SYS_getpriority, [libc::PRIO_PROCESS as usize, 0, 0, 0, 0]);
        set_niceness(-20);
        let (mut rounds, mut blind, mut pause) = (0_u32, 0_u32, PAUSES[0]);
        loop {
            shared.beats.fetch_add(1, Ordering::Relaxed);
            if reap_all(shared, pid) {
                break;
            }
            rounds = rounds.saturating_add(1);
            let found = if rounds <= SIMPLE_ROUNDS { kill_children() } else { stop_and_kill() };
            if found == 0 {
                // It is about to end, or cannot be seen; then it cannot be ended either.
                blind = blind.saturating_add(1);
                if blind > BLIND_ROUNDS {
                    shared.survivors.store(1, Ordering::Release);
                    break;
                }
                sleep(1_000_000);
                continue;
            }
            sleep(pause);
            pause = pause.saturating_mul(2).min(PAUSES[1]);
        }
        // The call gives 20 minus the niceness.
        set_niceness(20_isize.wrapping_sub(before));
    }
}

/// Ends everything in the namespace that this process is the first of.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn end_namespace(shared: &Shared, pid: c_int) {
    // SAFETY: no memory is involved. Everything but this process, at once: no fork gets between (kill(2)).
    unsafe {
        let mut pause = PAUSES[0];
        loop {
            shared.beats.fetch_add(1, Ordering::Relaxed);
            kill(-1, libc::SIGKILL);
            if reap_all(shared, pid) {
                return;
            }
            sleep(pause);
            pause = pause.saturating_mul(2).min(PAUSES[1]);
        }
    }
}

/// The only child of this process, by the number that it has in `/proc`.
// SAFETY: to be called in the small process only, which makes system calls by hand.
pub(super) unsafe fn only_child() -> Option<c_int> {
    let mut children = [0_usize; 2];
    let mut count = 0_usize;
    // SAFETY: as for this function.
    unsafe {
        each_number(c"/proc/thread-self/children".to_bytes_with_nul(), &mut |child| {
            if let Some(place) = children.get_mut(count) {
                *place = child;
            }
            count = count.wrapping_add(1);
        });
    }
    if count == 1 { c_int::try_from(children[0]).ok() } else { None }
}

// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn set_niceness(niceness: isize) {
    // SAFETY: no memory is involved.
    unsafe { system_call(libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, 0, niceness as usize, 0, 0]) };
}

// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn sleep(nanoseconds: i64) {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
    // SAFETY: a pointer to a live value.
    unsafe { system_call(libc::SYS_nanosleep, [&raw const pause as usize, 0, 0, 0, 0]) };
}

// SAFETY: to be called in the small process only, which makes system calls by hand; what is signalled is below it.
unsafe fn kill(whom: isize, signal: c_int) {
    // SAFETY: no memory is involved.
    unsafe { system_call(libc::SYS_kill, [whom as usize, signal as usize, 0, 0, 0]) };
}

/// Sends SIGKILL to every child and to its group; returns how many children there were.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn kill_children() -> usize {
    // SAFETY: no memory is involved. A child keeps its id until it is removed, which only we do. A program begins a session
    // of its own, so every group of what it started is of processes that it started (setpgid(2)).
    unsafe {
        let own = system_call(libc::SYS_getpid, [0; 5]);
        let mut count = 0_usize;
        each_child_of_thread(own as usize, own as usize, &mut |child| {
            let group = system_call(libc::SYS_getpgid, [child, 0, 0, 0, 0]);
            if group > 1 && group != own {
                kill(-group, libc::SIGKILL);
            }
            kill(child as isize, libc::SIGKILL);
            count = count.wrapping_add(1);
        });
        count
    }
}

/// Sends a signal to everything below a process, and not to that one.
// SAFETY: to be called in the small process only, which makes system calls by hand, of a program that was not removed.
pub(super) unsafe fn signal_below(pid: c_int, signal: c_int) {
    // SAFETY: as for this function.
    unsafe {
        with_list(&mut |list| {
            signal_all(pid as usize, signal, list);
        });
    }
}

/// Memory for the numbers of processes, as long as `work` has it. Returns whether there was some.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn with_list(work: &mut impl FnMut(&mut [u32])) -> bool {
    let length = MOST_PROCESSES * size_of::<u32>();
    // SAFETY: fresh memory of our own, zeroed, which is given back.
    unsafe {
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        let kind = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
        let Ok(address) = usize::try_from(map(length, protection, kind)) else { return false };
        work(std::slice::from_raw_parts_mut(address as *mut u32, MOST_PROCESSES));
        system_call(libc::SYS_munmap, [address, length, 0, 0, 0]);
    }
    true
}

/// Stops everything below this process until nothing new appears, and then kills it: what forks in many groups is quicker
/// than one who kills one after the other. Returns how many there were.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn stop_and_kill() -> usize {
    let mut total = 0;
    // SAFETY: the number of a process further below could be another's by now only if its parent was stopped too late to
    // remove it and every number there is was taken since.
    let has_memory = unsafe {
        let own = system_call(libc::SYS_getpid, [0; 5]) as usize;
        with_list(&mut |list| {
            let (mut known, mut count) = (0, 0);
            for _ in 0..MOST_WALKS {
                let sum;
                (count, sum) = signal_all(own, libc::SIGSTOP, list);
                if sum == known {
                    break;
                }
                known = sum;
            }
            for number in list.iter().take(count) {
                kill(*number as isize, libc::SIGKILL);
            }
            total = count;
        })
    };
    // SAFETY: as for this function.
    if has_memory { total } else { unsafe { kill_children() } }
}

/// Walks the tree below a process and sends a signal to what is in it; returns how many that are, and a number that stands
/// for them.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn signal_all(top: usize, signal: c_int, list: &mut [u32]) -> (usize, u64) {
    // SAFETY: as for this function.
    unsafe {
        let (mut at, mut count, mut sum) = (0_usize, 0_usize, 0_u64);
        let mut parent = top;
        loop {
            each_child(parent, &mut |child| {
                kill(child as isize, signal);
                if let Some(place) = list.get_mut(count) {
                    *place = child as u32;
                    count = count.wrapping_add(1);
                    let mixed = (child as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    sum = sum.wrapping_add(mixed ^ mixed >> 29);
                }
            });
            match list.get(at).filter(|_| at < count) {
                Some(next) => parent = *next as usize,
                None => return (count, sum),
            }
            at = at.wrapping_add(1);
        }
    }
}

/// Finds the children of all threads of a process.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn each_child(pid: usize, found: &mut impl FnMut(usize)) {
    // The fields that are read of `struct linux_dirent64` (getdents64(2)): its length at 16, its name from 19 on.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut path = [0_u8; 64];
    let mut entries = [0_u8; 2048];
    let at = push(&mut path, 0, b"/proc/");
    let mut digits = [0_u8; 20];
    let at = push(&mut path, at, decimal(pid as u64, &mut digits));
    push(&mut path, at, b"/task");
    // SAFETY: pointers to live buffers with their lengths; `path` ends with a NUL.
    unsafe {
        let folder = open(&path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        if folder < 0 {
            return;
        }
        loop {
            let read = [folder as usize, entries.as_mut_ptr() as usize, entries.len(), 0, 0];
            let Ok(end @ 1..) = usize::try_from(system_call(libc::SYS_getdents64, read)) else { break };
            let mut start = 0_usize;
            while let Some(entry) = entries.get(start..end).filter(|entry| entry.len() > NAME) {
                let length = match (entry.get(LENGTH), entry.get(LENGTH + 1)) {
                    (Some(low), Some(high)) => usize::from(*low) | usize::from(*high) << 8,
                    _ => 0,
                };
                let name = entry.get(NAME..).unwrap_or_default();
                let thread = number(name);
                if thread > 0 {
                    each_child_of_thread(pid, thread, found);
                }
                if length == 0 {
                    break;
                }
                start = start.wrapping_add(length);
            }
        }
        system_call(libc::SYS_close, [folder as usize, 0, 0, 0, 0]);
    }
}

/// Finds the children of one thread (`/proc/PID/task/TID/children`, proc(5)).
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn each_child_of_thread(pid: usize, thread: usize, found: &mut impl FnMut(usize)) {
    let mut path = [0_u8; 64];
    let mut digits = [0_u8; 20];
    let at = push(&mut path, 0, b"/proc/");
    let at = push(&mut path, at, decimal(pid as u64, &mut digits));
    let at = push(&mut path, at, b"/task/");
    let at = push(&mut path, at, decimal(thread as u64, &mut digits));
    push(&mut path, at, b"/children");
    // SAFETY: as for this function; the path ends with a NUL.
    unsafe { each_number(&path, found) }
}

/// Finds the numbers in a file.
// SAFETY: to be called in the small process only, which makes system calls by hand; `path` ends with a NUL.
unsafe fn each_number(path: &[u8], found: &mut impl FnMut(usize)) {
    let mut numbers = [0_u8; 2048];
    // SAFETY: pointers to live buffers with their lengths; `path` ends with a NUL.
    unsafe {
        let file = open(path, libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let mut child = 0_usize;
        loop {
            let read = [file as usize, numbers.as_mut_ptr() as usize, numbers.len(), 0, 0];
            let Ok(count @ 1..) = usize::try_from(system_call(libc::SYS_read, read)) else { break };
            for byte in numbers.iter().take(count) {
                if byte.is_ascii_digit() {
                    child = child.wrapping_mul(10).wrapping_add(usize::from(byte.wrapping_sub(b'0')));
                } else if child > 0 {
                    found(child);
                    child = 0;
                }
            }
        }
        system_call(libc::SYS_close, [file as usize, 0, 0, 0, 0]);
    }
}

// SAFETY: to be called in the small process only, with a path that ends with a NUL.
unsafe fn open(path: &[u8], flags: c_int) -> isize {
    let arguments = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, 0, 0];
    // SAFETY: the caller vouches for the path.
    unsafe { system_call(libc::SYS_openat, arguments) }
}

/// Fresh memory; a negative number when there is none.
// SAFETY: to be called in the small process only, which makes system calls by hand.
unsafe fn map(length: usize, protection: usize, kind: usize) -> isize {
    // The sixth argument, the offset, is 0; the fifth is no descriptor.
    // SAFETY: the kernel chooses the place.
    unsafe { system_call(libc::SYS_mmap, [0, length, protection, kind, usize::MAX]) }
}

/// The number that a name is, up to its NUL; 0 for any other name.
fn number(name: &[u8]) -> usize {
    let mut number = 0_usize;
    for byte in name.iter().take_while(|byte| **byte != 0) {
        if !byte.is_ascii_digit() {
            return 0;
        }
        number = number.wrapping_mul(10).wrapping_add(usize::from(byte.wrapping_sub(b'0')));
    }
    number
}

/// Copies as much of `text` as fits into `buffer` from `at` on, leaving a NUL; returns where it ends.
fn push(buffer: &mut [u8], at: usize, text: &[u8]) -> usize {
    let room = buffer.len().saturating_sub(1);
    let mut end = at;
    for byte in text {
        match buffer.get_mut(end) {
            Some(place) if end < room => *place = *byte,
            _ => break,
        }
        end = end.wrapping_add(1);
    }
    end
}

/// A number in decimal digits.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at = at.wrapping_sub(1);
        if let Some(place) = digits.get_mut(at) {
            *place = b'0' + (number % 10) as u8;
        }
        number /= 10;
        if number == 0 || at == 0 {
            return digits.get(at..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_paths_are_written_without_an_allocation() {
        let mut digits = [0; 20];
        assert_eq!(decimal(0, &mut digits), b"0");
        assert_eq!(decimal(40_921, &mut digits), b"40921");
        assert_eq!(decimal(u64::MAX, &mut digits), b"18446744073709551615");
        let mut path = [7; 8];
        assert_eq!(push(&mut path, 2, b"abcdefgh"), 7);
        assert_eq!(&path, b"\x07\x07abcde\x07");
        assert_eq!([number(b"123\x00456"), number(b"..\0"), number(b"\0"), number(b"7")], [123, 0, 0, 7]);
    }
}
