//! The stacks of the processes that share our memory, each with a page below it that cannot be touched: one that overflows
//! ends its process, and writes over nothing of ours.

use std::ffi::c_void;
use std::io;
use std::ptr;

/// Enough for functions that make system calls only, with every signal blocked: that of the small process, and
/// that of the process that becomes the program. In bytes.
const SIZES: [usize; 2] = [32 * 1024, 16 * 1024];

/// Both stacks, each with its guard page below it.
#[derive(Debug)]
pub(super) struct Stacks {
    start: *mut c_void,
    length: usize,
    /// Where each begins: stacks grow downward.
    tops: [*mut c_void; 2],
}

impl Stacks {
    /// # Errors
    /// Out of memory.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let sizes = SIZES.map(|size| size.next_multiple_of(page));
        let length = sizes.iter().sum::<usize>() + sizes.len() * page;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: fresh memory at a place that the kernel chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_NONE, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut stacks = Stacks { start, length, tops: [start; 2] };
        let mut at = 0;
        for (top, size) in stacks.tops.iter_mut().zip(sizes) {
            at += page;
            // SAFETY: within the memory that was mapped above.
            unsafe {
                if libc::mprotect(start.byte_add(at), size, libc::PROT_READ | libc::PROT_WRITE) != 0 {
                    return Err(io::Error::last_os_error());
                }
                at += size;
                *top = start.byte_add(at);
            }
        }
        Ok(stacks)
    }

    /// Where the stack of the small process begins.
    pub(super) fn of_supervisor(&self) -> *mut c_void {
        self.tops[0]
    }

    /// Where the stack of the process that becomes the program begins.
    pub(super) fn of_program(&self) -> *mut c_void {
        self.tops[1]
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and whoever drops it knows that no process uses it.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_each_stack_is_a_page_that_cannot_be_touched() {
        let stacks = Stacks::new().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let rights_at = |address: usize| {
            let line = maps.lines().find(|line| {
                let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
                let number = |text| usize::from_str_radix(text, 16).unwrap();
                (number(from)..number(to)).contains(&address)
            });
            line.map_or("none", |line| &line.split_once(' ').unwrap().1[..4]).to_owned()
        };
        for (top, size) in [stacks.of_supervisor(), stacks.of_program()].into_iter().zip(SIZES) {
            assert_eq!(top.addr() % 16, 0);
            assert_eq!([rights_at(top.addr() - 1), rights_at(top.addr() - size)], ["rw-p", "rw-p"]);
            assert_eq!(rights_at(top.addr() - size - 1), "---p");
        }
    }
}
