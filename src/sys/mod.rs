//! The operating system: the only room with `unsafe`, each block with its reason.
//!
//! `entry` is where the program begins, `arena` the memory of a process that lives for a moment, which `sqlite` lends. `platform` is what differs from system to system: `linux` starts programs with vfork semantics below a
//! `supervisor` that ends all of them, `portable` in a process group, as every Unix can; `supervise` is what
//! that process does, `inherit` what programs get from it, `execute` the last steps before a program runs, `raw` the system calls by hand that both
//! are bound to, `confine` takes rights away before. `process` tells endings, `pipe` makes pipes and reads and writes them without blocking, `poll`
//! waits, `signal` turns signals into readable events, `path` opens files without following links out of a
//! folder, `folder` works in one that is held open, `private` keeps files that are the user's alone, `lock` takes file locks with a bound. Nothing here
//! knows what a hook is.

mod arena;
mod calls;
mod confine;
mod end_tree;
mod entry;
mod execute;
mod folder;
mod inherit;
mod linux;
mod lock;
mod mounts;
mod path;
mod pipe;
mod platform;
mod poll;
mod portable;
mod private;
mod process;
mod raw;
mod remove;
mod resolve;
mod signal;
mod sqlite;
mod stack;
mod stdio;
mod supervise;
mod supervisor;
mod users;

pub use arena::Arena;
pub use confine::{Confinement, ReadRules, abilities, call_filter_bytes};
pub use entry::begin;
pub use execute::Step;
pub use folder::Folder;
pub use lock::{Holder, LockError, lock_exclusive, lock_holder, lock_shared, try_lock, unlock};
pub use mounts::Mounts;
pub use path::{
    OpenFault, OpenFile, OpenMode, Owner, append_beneath, append_text, create_private, fixed_modes, is_noexec,
    make_folder_beneath, open_beneath, open_folder, open_straight, owner, owner_of_target, read_capped, read_regular,
};
pub use pipe::{PIPE_CAPACITY, Transfer, read_some, reading_pipe, write_some, writing_pipe};
pub use platform::{Child, Idle, News, Platform, Poller, SpawnError, Spawning, platform};
pub use poll::Interest;
pub use private::{
    can_write, create_whole, is_private_folder, make_private_folder, memory_file, not_private, open_or_create_private,
    open_private, open_private_named, replace_private, take_rights, update_private,
};
pub use process::{Ending, Usage};
pub use remove::remove_tree;
pub use resolve::{name_of_deleted_folder, resolve};
pub use signal::{Interrupts, Signal, ignore_file_size_signal};
pub use sqlite::lend_memory_to_sqlite;
pub use stdio::StandardStream;
pub use users::{has_user_namespaces, home_of_root, is_private_group, user_id};

/// The name of this machine, as `hostname` prints it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The release of the system, as `uname -r` prints it.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// A name for this start of the machine, another one after the next; empty where there is none.
pub fn boot_id() -> String {
    use std::io::Read;
    // 36 characters and a newline (random(4)), read at once.
    let mut id = [0; 64];
    let file = std::fs::File::open("/proc/sys/kernel/random/boot_id");
    let read = file.and_then(|mut file| file.read(&mut id)).unwrap_or(0);
    String::from_utf8_lossy(&id[..read]).trim().to_owned()
}

/// When this machine was started, in milliseconds since 1970, by its clock: as exact as that is set.
pub fn started_ms() -> u64 {
    let millis = |clock| {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a pointer to a live value; with a clock that does not exist it stays as it is. Not by rustix, which
        // would look for the kernel's own functions in this process once more, as the C library has already.
        unsafe { libc::clock_gettime(clock, &raw mut time) };
        time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
    };
    u64::try_from(millis(libc::CLOCK_REALTIME).saturating_sub(millis(libc::CLOCK_BOOTTIME))).unwrap_or(0)
}

/// How many more descriptors this process may open, with some left for files.
pub fn descriptor_room() -> usize {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(64)
}

/// Whether a person can be asked: standard input and standard error are terminals.
pub fn is_interactive() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Leaves the terminal and the group of whoever started this process, so that a Ctrl-C there does not end it.
pub fn leave_terminal() {
    // It fails for the leader of a group only, which has left already.
    let _ = rustix::process::setsid();
}

/// Whether standard output and standard error are terminals.
pub fn terminals() -> (bool, bool) {
    use std::io::IsTerminal;
    (std::io::stdout().is_terminal(), std::io::stderr().is_terminal())
}
