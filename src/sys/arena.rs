//! The allocator of a process that lives for a moment: one piece of memory that is handed out from front to back.
//!
//! A cold emit asks for some hundred small pieces and ends. musl's own allocator takes and returns whole pages for
//! them, which is most of what such a process would ask of the system; here the pages are part of the program, and
//! are touched when they are used. What does not fit, and all of a command that goes on for longer, is the system
//! allocator's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// How much there is to hand out, in bytes. It costs nothing until it is touched.
const SIZE: usize = 1024 * 1024;
/// What is larger goes to the system at once: it would be the end of the arena soon, and is seldom short-lived.
const LARGEST: usize = 256 * 1024;
/// How much of it a cold emit touches.
const USUAL: usize = 48 * 1024;
/// From this size on, the pages of a piece are asked for at once: one by one each costs a page fault. A smaller one may
/// be a stack, of which little is touched.
const MANY_PAGES: usize = 64 * 1024;

/// The least alignment of a piece, as malloc(3) has it: code that the compiler does not see, such as what unwinds a panic,
/// relies on it.
const LEAST_ALIGNMENT: usize = 16;

/// The one of this program: set once, at its beginning.
static OF_THE_PROGRAM: AtomicPtr<Arena> = AtomicPtr::new(ptr::null_mut());

/// An allocator that hands out its own memory first. Only the piece that was handed out last can be taken back.
#[repr(align(4096))]
pub struct Arena {
    memory: UnsafeCell<[MaybeUninit<u8>; SIZE]>,
    /// How much of it is handed out.
    used: AtomicUsize,
}

// SAFETY: no two pieces that are handed out overlap, because `used` is only changed atomically, from the value
// that the change was computed from.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena of which nothing is handed out.
    #[expect(clippy::new_without_default, reason = "it is made where a constant is wanted")]
    pub const fn new() -> Self {
        Arena { memory: UnsafeCell::new([MaybeUninit::uninit(); SIZE]), used: AtomicUsize::new(0) }
    }

    /// Asks for the pages that a short life touches, all at once: a page fault for each costs four times as much. To be
    /// called by the program whose allocator this is.
    pub fn warm(&'static self) {
        self.populate(0, USUAL);
        OF_THE_PROGRAM.store(ptr::from_ref(self).cast_mut(), Ordering::Release);
    }

    /// The one that the memory of this program comes from, if it comes from one.
    pub(super) fn of_the_program() -> Option<&'static Arena> {
        // SAFETY: nothing but `warm` stores there, a reference that lives on.
        unsafe { OF_THE_PROGRAM.load(Ordering::Acquire).as_ref() }
    }

    /// Asks for the pages of what is handed out next.
    pub(super) fn expect(&self, length: usize) {
        let used = self.used.load(Ordering::Relaxed);
        self.populate(used, length.min(SIZE - used));
    }

    /// Asks for pages; a kernel that cannot do that (before Linux 5.14) gives them one by one.
    fn populate(&self, start: usize, length: usize) {
        let page = start & !4095;
        let length = length.saturating_add(start - page);
        // SAFETY: the range is within the memory, which stays as it is.
        unsafe { libc::madvise(self.memory.get().cast::<u8>().add(page).cast(), length, libc::MADV_POPULATE_WRITE) };
    }

    /// Where in the arena a piece begins; nothing when it is none of the arena's.
    fn offset(&self, piece: *mut u8) -> Option<usize> {
        let offset = piece.addr().wrapping_sub(self.memory.get().addr());
        (offset < SIZE).then_some(offset)
    }

    /// Changes how much is handed out, unless somebody else has changed that meanwhile.
    fn change(&self, from: usize, to: usize) -> bool {
        // Who takes a piece sees all that was done to it before it was given back.
        self.used.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        if layout.size() > LARGEST {
            return None;
        }
        loop {
            let used = self.used.load(Ordering::Relaxed);
            // The arena begins on a page: an offset is as aligned as the address, up to that.
            let alignment = layout.align().max(LEAST_ALIGNMENT);
            let start = used.checked_next_multiple_of(alignment).filter(|_| alignment <= 4096)?;
            let end = start.checked_add(layout.size()).filter(|end| *end <= SIZE)?;
            if self.change(used, end) {
                if layout.size() >= MANY_PAGES {
                    self.populate(start, layout.size());
                }
                // SAFETY: `start` is within the memory.
                return Some(unsafe { self.memory.get().cast::<u8>().add(start) });
            }
        }
    }
}

// SAFETY: a piece is of the size and alignment that was asked for, is no part of another one, and stays where it is
// until it is given back; what is not the arena's is passed to the system allocator, which keeps the same contract.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout is passed on.
        self.take(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(piece) => {
                // It may have been used before.
                // SAFETY: a piece of that size, which nobody else has.
                unsafe { ptr::write_bytes(piece, 0, layout.size()) };
                piece
            }
            // SAFETY: the caller's promise about the layout is passed on.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(start) => {
                let _ = self.change(start + layout.size(), start);
            }
            // SAFETY: it came from the system allocator, with this layout.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(start) = self.offset(piece) else {
            // SAFETY: it came from the system allocator, with this layout; the rest is the caller's promise.
            return unsafe { System.realloc(piece, layout, size) };
        };
        let grown = start.checked_add(size).filter(|end| *end <= SIZE && size <= LARGEST);
        if grown.is_some_and(|end| self.change(start + layout.size(), end)) || size <= layout.size() {
            return piece;
        }
        // SAFETY: the caller promises a size that is a valid one with this alignment; both pieces are at least as
        // long as what is copied, and do not overlap.
        unsafe {
            let fresh = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !fresh.is_null() {
                ptr::copy_nonoverlapping(piece, fresh, layout.size().min(size));
                self.dealloc(piece, layout);
            }
            fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn the_last_piece_grows_in_place_and_is_taken_back() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        // SAFETY: each piece is used within its size and given back with its layout.
        unsafe {
            let first = arena.alloc(layout(10, 1));
            let second = arena.alloc(layout(8, 8));
            assert_eq!((second.addr() - first.addr(), first.addr() % 16), (16, 0));
            assert_eq!(arena.realloc(second, layout(8, 8), 800), second);
            ptr::write_bytes(second, 7, 800);
            arena.dealloc(second, layout(800, 8));
            let third = arena.alloc_zeroed(layout(800, 8));
            assert_eq!((third, *third.add(799)), (second, 0));
            let moved = arena.realloc(first, layout(10, 1), 20);
            assert_ne!(moved, first);
            arena.dealloc(third, layout(800, 8));
            arena.dealloc(moved, layout(20, 1));
        }
    }

    #[test]
    fn what_does_not_fit_is_the_system_allocators() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        // SAFETY: each piece is used within its size and given back with its layout.
        unsafe {
            let large = arena.alloc(layout(LARGEST + 1, 1));
            assert_eq!(arena.offset(large), None);
            arena.dealloc(large, layout(LARGEST + 1, 1));
            let pieces: Vec<*mut u8> = (0..40).map(|_| arena.alloc(layout(60_000, 64))).collect();
            assert!(pieces.iter().all(|piece| piece.addr() % 64 == 0));
            assert_eq!(pieces.iter().filter(|piece| arena.offset(**piece).is_some()).count(), SIZE / 60_032);
            let last = arena.realloc(pieces[39], layout(60_000, 64), 100);
            *last = 1;
            arena.dealloc(last, layout(100, 64));
            for piece in &pieces[..39] {
                arena.dealloc(*piece, layout(60_000, 64));
            }
        }
    }

    #[test]
    fn pieces_of_several_threads_do_not_overlap() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                scope.spawn(move || {
                    let pieces: Vec<*mut u8> = (0..500)
                        .map(|_| {
                            // SAFETY: the piece is filled within its size.
                            unsafe {
                                let piece = arena.alloc(layout(100, 4));
                                ptr::write_bytes(piece, thread, 100);
                                piece
                            }
                        })
                        .collect();
                    for piece in pieces {
                        // SAFETY: it was filled above, and is given back with its layout.
                        unsafe {
                            assert!((0..100).all(|at| *piece.add(at) == thread));
                            arena.dealloc(piece, layout(100, 4));
                        }
                    }
                });
            }
        });
    }
}
