//! The memory that SQLite works with, in a process that lives for a moment: the program's own.
//!
//! Opening a store, one event takes and returns some hundred pieces. The C library would ask the system for pages and give
//! them back for many of them.

use super::arena::Arena;
use rusqlite::ffi;
use std::alloc::{self, Layout};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Once;

/// How much of the arena one event touches in a store.
const USUAL: usize = 192 * 1024;
/// In front of each piece is its size: SQLite does not say it when it gives one back. It wants 8 bytes of alignment.
const HEADER: usize = 8;

/// Has SQLite take its memory from the program's allocator, where the program has an [`Arena`]; to be called before
/// SQLite is used first. Elsewhere SQLite may be the caller's as well, and stays as it is.
pub fn lend_memory_to_sqlite() {
    static ONCE: Once = Once::new();
    let Some(arena) = Arena::of_the_program() else { return };
    ONCE.call_once(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(take),
            xFree: Some(give_back),
            xRealloc: Some(resize),
            xSize: Some(size),
            xRoundup: Some(round_up),
            xInit: Some(begin),
            xShutdown: Some(end),
            pAppData: ptr::null_mut(),
        };
        // SAFETY: SQLite copies the methods, which keep its contract (https://sqlite.org/c3ref/mem_methods.html). Where it is
        // in use already it refuses, and goes on with its own.
        unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) };
        arena.expect(USUAL);
    });
}

/// What a piece of `size` bytes takes, if there can be one.
fn layout(size: c_int) -> Option<Layout> {
    Layout::from_size_align(usize::try_from(size).ok()?.checked_add(HEADER)?, HEADER).ok()
}

/// Notes the size of a piece in its header, and returns what is behind that.
///
/// # Safety
/// `piece` is null, or as long as [`layout`] says.
unsafe fn with_header(piece: *mut u8, size: c_int) -> *mut c_void {
    if piece.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: it is aligned for it, and longer than its header.
    unsafe {
        piece.cast::<c_int>().write(size);
        piece.add(HEADER).cast()
    }
}

extern "C" fn take(size: c_int) -> *mut c_void {
    let Some(layout) = layout(size) else { return ptr::null_mut() };
    // SAFETY: with its header it is not empty.
    unsafe { with_header(alloc::alloc(layout), size) }
}

/// # Safety
/// `piece` is null, or one of SQLite's that was not given back.
unsafe extern "C" fn give_back(piece: *mut c_void) {
    if piece.is_null() {
        return;
    }
    // SAFETY: a piece that came from here, which is given back once.
    if let Some(layout) = layout(unsafe { size(piece) }) {
        // SAFETY: as above; this is its layout.
        unsafe { alloc::dealloc(piece.cast::<u8>().sub(HEADER), layout) };
    }
}

/// # Safety
/// `piece` is one of SQLite's that was not given back.
unsafe extern "C" fn resize(piece: *mut c_void, larger: c_int) -> *mut c_void {
    // SAFETY: a piece that came from here.
    let (Some(old), Some(new)) = (layout(unsafe { size(piece) }), layout(larger)) else { return ptr::null_mut() };
    // SAFETY: as above; the new size is one of a valid layout, and not empty.
    unsafe { with_header(alloc::realloc(piece.cast::<u8>().sub(HEADER), old, new.size()), larger) }
}

/// # Safety
/// `piece` is null, or one of SQLite's that was not given back.
unsafe extern "C" fn size(piece: *mut c_void) -> c_int {
    if piece.is_null() {
        return 0;
    }
    // SAFETY: a piece that came from here has a header in front of it.
    unsafe { piece.cast::<u8>().sub(HEADER).cast::<c_int>().read() }
}

extern "C" fn round_up(size: c_int) -> c_int {
    size.saturating_add(7) & !7
}

extern "C" fn begin(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

extern "C" fn end(_: *mut c_void) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_keeps_its_size_and_what_is_in_it() {
        // SAFETY: each piece is used within its size and given back once.
        unsafe {
            let piece = take(24);
            assert_eq!((piece.addr() % 8, size(piece)), (0, 24));
            ptr::write_bytes(piece.cast::<u8>(), 7, 24);
            let piece = resize(piece, 4000);
            assert_eq!((piece.addr() % 8, size(piece)), (0, 4000));
            assert!((0..24).all(|at| *piece.cast::<u8>().add(at) == 7));
            let piece = resize(piece, 8);
            assert_eq!((size(piece), *piece.cast::<u8>().add(7)), (8, 7));
            give_back(piece);
            give_back(ptr::null_mut());
            assert!(take(-1).is_null());
            assert_eq!((size(ptr::null_mut()), round_up(9), round_up(16)), (0, 16, 16));
        }
    }
}
