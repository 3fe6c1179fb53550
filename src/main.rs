//! The `knockon` command.
#![no_main]

use knockon::sys::Arena;

#[global_allocator]
static MEMORY: Arena = Arena::new();

knockon::entry!(MEMORY, knockon::cli::main);
