//! What a program sees of the files of its machine: mounts in a namespace of its own.
//!
//! Everything is read-only but what is said to be writable. Something empty is put over what is not to be seen; it is made in
//! memory that only the program's namespace knows, so that nothing of it is left on a disk.

use super::raw::{clone_onto, system_call};
use std::ffi::{CStr, CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

/// Not in libc for all targets: mount_setattr(2), open_tree(2), move_mount(2).
const MOUNT_ATTR_RDONLY: u64 = 1;
const OPEN_TREE_CLONE: usize = 1;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;
/// The most mounts of one program.
const MOST_MOUNTS: usize = 128;
/// Where the memory is mounted while what is empty is made in it. Each machine has the folder, and it has its own contents
/// again before the program runs.
const WORKSHOP: &CStr = c"/proc";
const EMPTY_FOLDER: &CStr = c"/proc/empty";
const EMPTY_FILE: &CStr = c"/proc/nothing";
const HOME: &CStr = c"/proc/home";

/// The mounts of one program, in the order in which they are made.
#[derive(Debug, Default)]
pub struct Mounts {
    list: Vec<Mount>,
    /// What is made in the folder that is put over the home folder, so that something can be mounted there.
    made: Vec<Place>,
    /// Lines for the maps of a user namespace, for a user who may not make a mount namespace otherwise.
    identity: Identity,
    /// Whether the program is in a PID namespace, and `/proc` is to show it no other processes.
    own_processes: bool,
}

/// What a user namespace needs to leave the user who they are: lines for its two maps.
pub(super) type Identity = [CString; 2];

/// One mount.
#[derive(Debug)]
struct Mount {
    /// What is made, or what is there as long as nothing was mounted.
    source: Source,
    target: CString,
    read_only: bool,
}

#[derive(Debug)]
enum Source {
    Made(&'static CStr),
    There(CString),
    /// The same, when no link is part of its path: one may be put there after it was looked at.
    Real(CString),
}

#[derive(Debug)]
struct Place {
    path: CString,
    is_folder: bool,
}

fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

impl Mounts {
    fn add(&mut self, source: Option<Source>, target: &Path, read_only: bool) {
        let target = c_path(target);
        self.list.extend(source.zip(target).map(|(source, target)| Mount { source, target, read_only }));
    }

    /// Hides everything at `home` but `shown`: paths below it, each a folder or not. To be called first.
    pub fn hide_home<'p>(&mut self, home: &Path, shown: impl Iterator<Item = (&'p Path, bool)>) {
        self.add(Some(Source::Made(HOME)), home, true);
        for (path, is_folder) in shown {
            let Ok(below) = path.strip_prefix(home) else { continue };
            let mut place = Path::new("/proc/home").to_owned();
            let mut parts = below.components().peekable();
            while let Some(part) = parts.next() {
                place.push(part);
                let is_folder = is_folder || parts.peek().is_some();
                // One that is there already is refused, which is fine.
                self.made.extend(c_path(&place).map(|path| Place { path, is_folder }));
            }
            self.add(c_path(path).map(Source::There), path, true);
        }
    }

    /// Leaves a place writable. A link that is part of its path when the program starts is an error.
    pub fn writable(&mut self, path: &Path) {
        self.add(c_path(path).map(Source::Real), path, false);
    }

    /// Makes a place in a writable one read-only again.
    pub fn read_only(&mut self, path: &Path) {
        self.add(c_path(path).map(Source::There), path, true);
    }

    /// Puts something empty over a folder, or over something else.
    pub fn cover(&mut self, path: &Path, is_folder: bool) {
        let empty = if is_folder { EMPTY_FOLDER } else { EMPTY_FILE };
        self.add(Some(Source::Made(empty)), path, true);
    }

    /// Puts what is at `source` at `target`, too.
    pub fn put(&mut self, source: &Path, target: &Path) {
        self.add(c_path(source).map(Source::There), target, false);
    }

    /// Whether this process may have them made; then they are ready.
    pub(super) fn prepare(&mut self) -> bool {
        self.identity = identity();
        self.own_processes = isolation().is_some();
        self.list.len() <= MOST_MOUNTS && can_mount()
    }

    /// Whether the program has to be started in a PID namespace.
    pub(super) fn are_isolated(&self) -> bool {
        self.own_processes && !self.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

pub(super) fn identity() -> Identity {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    [user, group].map(|id| CString::new(format!("{id} {id} 1")).unwrap_or_default())
}

/// Whether this process may make mount namespaces, and what is made in one here.
pub(super) fn can_mount() -> bool {
    tried().is_some()
}

/// The flags of clone(2) for a PID namespace in which [`mount_all`] works, where this process may make one: with a user namespace,
/// unless it is privileged.
pub(super) fn isolation() -> Option<c_int> {
    tried().filter(|flags| *flags != 0)
}

/// Flags for a process in which [`mount_all`] works; nothing when it works in none. Tried once.
fn tried() -> Option<c_int> {
    static FLAGS: OnceLock<Option<c_int>> = OnceLock::new();
    *FLAGS.get_or_init(|| {
        let pid = libc::CLONE_NEWPID;
        [pid, pid | libc::CLONE_NEWUSER, 0].into_iter().find(|flags| works_with(*flags))
    })
}

/// What is tried in a process of its own.
struct Trial {
    mounts: Mounts,
    /// Whether it is in a user namespace from the beginning.
    in_user_namespace: bool,
}

fn works_with(flags: c_int) -> bool {
    let mounts = Mounts { identity: identity(), own_processes: flags != 0, ..Mounts::default() };
    let mut trial = Trial { mounts, in_user_namespace: flags & libc::CLONE_NEWUSER != 0 };
    trial.mounts.read_only(Path::new("/proc"));
    trial.mounts.cover(Path::new("/proc"), true);
    let mut stack = vec![0_u64; 4096];
    let mut status: c_int = -1;
    // SAFETY: a stack of its own, 16 bytes aligned at its end, and CLONE_VFORK keeps us still until the process
    // has exited; it makes system calls by hand on values that live as long.
    unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).map_addr(|address| address & !15);
        let argument = (&raw const trial).cast_mut().cast();
        let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let pid = clone_onto(flags, top.cast(), ptr::null_mut(), ptr::null_mut(), try_to_mount, argument);
        if pid > 0 {
            libc::waitpid(pid as c_int, &raw mut status, 0);
        }
    }
    status == 0
}

extern "C" fn try_to_mount(trial: *mut c_void) -> c_int {
    // SAFETY: the caller of clone passes a trial that lives as long.
    unsafe {
        let Trial { mounts, in_user_namespace } = &*trial.cast::<Trial>();
        let ready = if *in_user_namespace { stay_who_you_are(&mounts.identity) } else { 0 };
        c_int::from(ready < 0 || mount_all(mounts) < 0)
    }
}

/// Leaves the mounts of others behind, takes hold of all places as they are, makes everything read-only, and puts the places
/// where they belong. Returns a negative number where that cannot be done.
///
/// # Safety
/// To be called in a process of its own only, which makes system calls by hand.
pub(super) unsafe fn mount_all(mounts: &Mounts) -> isize {
    let mut trees = [-(libc::ENOENT as isize); MOST_MOUNTS];
    let (here, empty) = (libc::AT_FDCWD as usize, c"".as_ptr() as usize);
    // SAFETY: pointers to texts that end with NUL.
    unsafe {
        let done = own_mounts(mounts);
        if done < 0 {
            return done;
        }
        let open = |path: &CStr| {
            let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as usize | libc::AT_RECURSIVE as usize;
            system_call(libc::SYS_open_tree, [here, path.as_ptr() as usize, flags, 0, 0])
        };
        for (mount, tree) in mounts.list.iter().zip(&mut trees) {
            match &mount.source {
                Source::There(path) => *tree = open(path),
                Source::Real(path) => *tree = open_real(path),
                Source::Made(_) => {}
            }
        }
        let done = make_read_only(here, c"/".as_ptr() as usize, libc::AT_RECURSIVE);
        if done < 0 {
            return done;
        }
        let done = open_workshop(&mounts.made);
        if done < 0 {
            return done;
        }
        for (mount, tree) in mounts.list.iter().zip(&mut trees) {
            if let Source::Made(path) = &mount.source {
                *tree = open(path);
            }
        }
        let workshop = [WORKSHOP.as_ptr() as usize, libc::MNT_DETACH as usize, 0, 0, 0];
        let done = system_call(libc::SYS_umount2, workshop);
        if done < 0 {
            return done;
        }
        if mounts.own_processes {
            // By the numbers of the namespace, and of its processes only; read-only as all there was.
            let kind = c"proc".as_ptr() as usize;
            let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            let done = system_call(libc::SYS_mount, [kind, WORKSHOP.as_ptr() as usize, kind, flags as usize, 0]);
            if done < 0 {
                return done;
            }
        }
        for (mount, tree) in mounts.list.iter().zip(&trees) {
            // What is not there needs no protection.
            if *tree == -(libc::ENOENT as isize) {
                continue;
            }
            if *tree < 0 {
                return *tree;
            }
            if mount.read_only {
                let done = make_read_only(*tree as usize, empty, libc::AT_EMPTY_PATH | libc::AT_RECURSIVE);
                if done < 0 {
                    return done;
                }
            }
            let target = mount.target.as_ptr() as usize;
            let done =
                system_call(libc::SYS_move_mount, [*tree as usize, empty, here, target, MOVE_MOUNT_F_EMPTY_PATH]);
            if done < 0 {
                return done;
            }
        }
    }
    0
}

/// As it is, a tree of mounts that is reached without a link.
// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn open_real(path: &CStr) -> isize {
    /// `struct open_how` (openat2(2)).
    #[repr(C)]
    struct How {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let here = libc::AT_FDCWD as usize;
    let how = How {
        flags: (libc::O_PATH | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS,
    };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as usize | libc::AT_RECURSIVE as usize;
    // SAFETY: pointers to texts that end with NUL, and to a live structure of that size.
    unsafe {
        let (text, at) = (path.as_ptr() as usize, &raw const how as usize);
        let place = system_call(libc::SYS_openat2, [here, text, at, size_of::<How>(), 0]);
        if place == -(libc::ENOSYS as isize) || place == -(libc::EPERM as isize) {
            return system_call(libc::SYS_open_tree, [here, text, flags, 0, 0]);
        }
        if place < 0 {
            return place;
        }
        let empty = c"".as_ptr() as usize;
        let tree =
            system_call(libc::SYS_open_tree, [place as usize, empty, flags | libc::AT_EMPTY_PATH as usize, 0, 0]);
        system_call(libc::SYS_close, [place as usize, 0, 0, 0, 0]);
        tree
    }
}

/// Mounts memory and makes in it what is empty, and `made`.
// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn open_workshop(made: &[Place]) -> isize {
    // SAFETY: pointers to texts that end with NUL.
    unsafe {
        let (kind, options) = (c"tmpfs".as_ptr() as usize, c"mode=0755".as_ptr() as usize);
        let flags = (libc::MS_NOSUID | libc::MS_NODEV) as usize;
        let done = system_call(libc::SYS_mount, [kind, WORKSHOP.as_ptr() as usize, kind, flags, options]);
        if done < 0 {
            return done;
        }
        make_folder(HOME);
        make_folder(EMPTY_FOLDER);
        make_file(EMPTY_FILE);
        for place in made {
            if place.is_folder { make_folder(&place.path) } else { make_file(&place.path) }
        }
        0
    }
}

// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn make_folder(path: &CStr) {
    // SAFETY: a pointer to a text that ends with NUL.
    unsafe { system_call(libc::SYS_mkdirat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, 0o755, 0, 0]) };
}

// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn make_file(path: &CStr) {
    let flags = (libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC) as usize;
    // SAFETY: a pointer to a text that ends with NUL.
    unsafe {
        let file = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0o444, 0];
        let file = system_call(libc::SYS_openat, file);
        if file >= 0 {
            system_call(libc::SYS_close, [file as usize, 0, 0, 0, 0]);
        }
    }
}

/// Leaves the mounts of others behind: what is mounted from now on, nobody else sees.
// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn own_mounts(mounts: &Mounts) -> isize {
    // SAFETY: pointers to texts that end with NUL.
    unsafe {
        // Shared memory, semaphores and message queues by number come along: they have no place among the files.
        let namespaces = (libc::CLONE_NEWNS | libc::CLONE_NEWIPC) as usize;
        if system_call(libc::SYS_unshare, [namespaces, 0, 0, 0, 0]) < 0 {
            let done = system_call(libc::SYS_unshare, [namespaces | libc::CLONE_NEWUSER as usize, 0, 0, 0, 0]);
            if done < 0 {
                return done;
            }
            let done = stay_who_you_are(&mounts.identity);
            if done < 0 {
                return done;
            }
        }
        let flags = (libc::MS_REC | libc::MS_SLAVE) as usize;
        system_call(libc::SYS_mount, [0, c"/".as_ptr() as usize, 0, flags, 0])
    }
}

/// Leaves a process that is in a user namespace the user who it was.
///
/// # Safety
/// To be called in a process of its own only, which makes system calls by hand.
pub(super) unsafe fn stay_who_you_are([user, group]: &Identity) -> isize {
    // SAFETY: as for this function.
    unsafe {
        // The kernel asks for it before a group is mapped by someone without privileges.
        write_whole(c"/proc/self/setgroups", c"deny");
        write_whole(c"/proc/self/uid_map", user).min(write_whole(c"/proc/self/gid_map", group))
    }
}

// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn write_whole(path: &std::ffi::CStr, text: &std::ffi::CStr) -> isize {
    let text = text.to_bytes();
    // SAFETY: pointers to live texts, with their lengths.
    unsafe {
        let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
        let file = system_call(libc::SYS_openat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0, 0]);
        if file < 0 {
            return file;
        }
        let written = system_call(libc::SYS_write, [file as usize, text.as_ptr() as usize, text.len(), 0, 0]);
        system_call(libc::SYS_close, [file as usize, 0, 0, 0, 0]);
        written
    }
}

/// mount_setattr(2).
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn make_read_only(fd: usize, path: usize, flags: c_int) -> isize {
    let attributes = Attributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
    let (at, size) = (&raw const attributes as usize, size_of::<Attributes>());
    // SAFETY: pointers to live values; the size is that of the structure.
    unsafe { system_call(libc::SYS_mount_setattr, [fd, path, flags as usize, at, size]) }
}
