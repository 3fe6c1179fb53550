//! Taking rights from a program before it runs: files by Landlock, system calls by seccomp, and folders made
//! read-only in a mount namespace of its own.
//!
//! What the kernel cannot do is told, not hidden: the caller decides whether it goes on without.

use super::calls;
use super::execute::Step;
use super::raw::{clone_onto, system_call};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use seccompiler::BpfProgram;
use std::ffi::{CString, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, OnceLock};

/// The newest Landlock that is asked for; what an older kernel lacks is left out. What is done to devices beyond
/// reading and writing is left alone.
const NEWEST: ABI = ABI::V6;
const LANDLOCK: ABI = ABI::V3;
/// Not in libc for all targets: mount_setattr(2), open_tree(2), move_mount(2).
const MOUNT_ATTR_RDONLY: u64 = 1;
const OPEN_TREE_CLONE: usize = 1;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;

/// What is taken from a program.
#[derive(Debug, Default)]
pub struct Confinement {
    /// Two Landlock rulesets: what is done has to be allowed by both.
    readable: Option<Arc<ReadRules>>,
    writable: Option<OwnedFd>,
    filter: BpfProgram,
    /// Whether root keeps what it can do.
    keeps_capabilities: bool,
    /// What stays writable of all mounts, and then what of that is read-only again, and then what is put
    /// somewhere else: each with where it is mounted.
    mounts: Vec<Mount>,
    /// Lines for the maps of a user namespace, for a user who may not make a mount namespace otherwise.
    identity: [CString; 2],
}

/// What a program may read. Made once for many programs: there is much that may be read.
#[derive(Debug)]
pub struct ReadRules(OwnedFd);

impl ReadRules {
    /// Rules that let a program read what is beneath `readable`. Paths that do not exist are passed over. Nothing
    /// when the kernel cannot do that.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn new<'p>(readable: impl Iterator<Item = &'p Path>) -> io::Result<Option<Self>> {
        let read = AccessFs::from_read(LANDLOCK);
        // Names alone are no secret: without them no folder above could be listed. And rules that do not speak of
        // moving a file to another folder forbid it; what gains no right by it may be moved.
        let anywhere = std::iter::once((Path::new("/"), AccessFs::ReadDir | AccessFs::Refer));
        let rights = anywhere.chain(readable.map(|path| (path, read)));
        Ok(ruleset(read | AccessFs::Refer, BitFlags::EMPTY, rights)?.map(ReadRules))
    }
}

/// A Landlock ruleset; nothing when the kernel has none.
fn ruleset<'p>(
    handled: BitFlags<AccessFs>,
    scopes: BitFlags<Scope>,
    rights: impl Iterator<Item = (&'p Path, BitFlags<AccessFs>)>,
) -> io::Result<Option<OwnedFd>> {
    let wanted = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(handled);
    let wanted = wanted.and_then(|wanted| if scopes.is_empty() { Ok(wanted) } else { wanted.scope(scopes) });
    let created = wanted.and_then(Ruleset::create).map_err(io::Error::other)?;
    let mut ruleset = created.set_compatibility(CompatLevel::BestEffort);
    for (path, mut access) in rights {
        let Ok(fd) = PathFd::new(path) else { continue };
        let is_folder = rustix::fs::fstat(&fd)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory);
        if !is_folder {
            access &= AccessFs::from_file(LANDLOCK);
        }
        ruleset = ruleset.add_rule(PathBeneath::new(fd, access)).map_err(io::Error::other)?;
    }
    Ok(ruleset.into())
}

/// One mount of the program's own.
#[derive(Debug)]
struct Mount {
    source: CString,
    target: CString,
    read_only: bool,
}

/// The most mounts of one program.
const MOST_MOUNTS: usize = 128;
/// Capabilities that root keeps, by number: those about files of other users, and those that programs ask for which give up
/// being root (capabilities(7): CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID). Not DAC_READ_SEARCH: it opens files
/// by handle, past every mount.
const KEPT_CAPABILITIES: [usize; 7] = [0, 1, 3, 4, 5, 6, 7];
const LAST_CAPABILITY: usize = 63;

impl Confinement {
    /// One that keeps the program from signals to and abstract sockets of processes that are not confined with it, and takes nothing
    /// else: a program that makes a sandbox itself needs its rights. Nothing where the kernel cannot do that.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn scopes_alone() -> io::Result<Option<Self>> {
        let scopes = Scope::from_all(NEWEST);
        let created =
            Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(scopes).and_then(Ruleset::create);
        let ruleset: Option<OwnedFd> = created.map_err(io::Error::other)?.into();
        let scoped =
            |ruleset| Confinement { writable: Some(ruleset), keeps_capabilities: true, ..Confinement::default() };
        Ok(ruleset.map(scoped))
    }

    /// Lets the program read what `rules` say, and nothing else.
    pub fn read(&mut self, rules: Arc<ReadRules>) {
        self.readable = Some(rules);
    }

    /// Lets the program change what is beneath `writable`, nothing else; and keeps it from signalling whoever is not
    /// confined with it. Paths that do not exist are passed over. Returns whether the kernel can do that.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn write<'p>(&mut self, writable: impl Iterator<Item = &'p Path>) -> io::Result<bool> {
        let handled = AccessFs::from_write(LANDLOCK);
        // No devices: what is on a disk is not the project.
        let all = handled & !(AccessFs::MakeBlock | AccessFs::MakeChar);
        self.writable = ruleset(handled, Scope::from_all(NEWEST), writable.map(|path| (path, all)))?;
        Ok(self.writable.is_some())
    }

    /// Keeps the program from system calls that reach beyond it: the limits and the priority of other processes, key rings,
    /// files by handle, set-uid files; and without `network` from the network: it can make no socket but those of its machine's
    /// file system, by whichever door. Returns whether the system can do that.
    pub fn calls(&mut self, network: bool) -> bool {
        self.filter = filter(network).clone();
        !self.filter.is_empty()
    }

    /// Makes everything read-only for the program but `writable`, and of that again `kept`; puts what is at a place
    /// somewhere else, as `moved` says. Not even what belongs to a file's name can be changed elsewhere. Returns whether
    /// the system can do that.
    pub fn keep<'p>(
        &mut self,
        writable: impl Iterator<Item = &'p Path>,
        kept: impl Iterator<Item = &'p Path>,
        declared: impl Iterator<Item = &'p Path>,
        moved: impl Iterator<Item = (&'p Path, &'p Path)>,
    ) -> bool {
        let mount = |source: &Path, target: &Path, read_only: bool| {
            let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).ok();
            Some(Mount { source: text(source)?, target: text(target)?, read_only })
        };
        let writable = writable.map(|path| mount(path, path, false));
        let kept = kept.map(|path| mount(path, path, true));
        let declared = declared.map(|path| mount(path, path, false));
        let moved = moved.map(|(source, target)| mount(source, target, false));
        let mounts: Vec<Mount> = writable.chain(kept).chain(declared).chain(moved).flatten().collect();
        if mounts.len() > MOST_MOUNTS || !can_keep() {
            return false;
        }
        (self.mounts, self.identity) = (mounts, identity());
        true
    }

    /// The rulesets, for the process that gives its rights up.
    pub(super) fn rulesets(&self) -> [Option<BorrowedFd<'_>>; 2] {
        [self.readable.as_ref().map(|rules| rules.0.as_fd()), self.writable.as_ref().map(AsFd::as_fd)]
    }
}

/// The version of Landlock that the kernel has; 0 where it has none. Asked once, and by hand: what is missing is left out by the
/// library in silence.
pub fn landlock_version() -> u32 {
    static VERSION: OnceLock<u32> = OnceLock::new();
    *VERSION.get_or_init(|| {
        // LANDLOCK_CREATE_RULESET_VERSION is 1.
        // SAFETY: no memory is involved.
        let version = unsafe { system_call(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0]) };
        u32::try_from(version).unwrap_or(0)
    })
}

/// Since when Landlock speaks of truncating (Linux 6.2), and of signals and abstract sockets (Linux 6.12).
const TRUNCATING_SINCE: u32 = 3;
const SCOPES_SINCE: u32 = 6;

/// What this system can keep a program from, by the words of [`crate::delivery::Enforced`].
pub fn abilities() -> [(&'static str, bool); 4] {
    let (version, metadata) = (landlock_version(), can_keep());
    // Without Landlock's word on it, a file elsewhere is kept from being cut by its mount alone.
    let files = version >= TRUNCATING_SINCE || (version > 0 && metadata);
    let (network, signals) = (!filter(false).is_empty(), version >= SCOPES_SINCE);
    [("files", files), ("network", network), ("metadata", metadata), ("signals", signals)]
}

/// The filter of [`Confinement::calls`], as bytes for whoever installs it by itself; empty where there is none.
pub fn call_filter_bytes(network: bool) -> Vec<u8> {
    let instructions = filter(network).iter();
    let bytes = instructions.flat_map(|line| {
        let [a, b] = line.code.to_ne_bytes();
        let [c, d, e, f] = line.k.to_ne_bytes();
        [a, b, line.jt, line.jf, c, d, e, f]
    });
    bytes.collect()
}

fn filter(network: bool) -> &'static BpfProgram {
    static WITHOUT: OnceLock<BpfProgram> = OnceLock::new();
    static WITH: OnceLock<BpfProgram> = OnceLock::new();
    // A processor that the library does not know has none.
    if network { &WITH } else { &WITHOUT }.get_or_init(|| calls::filter(network).unwrap_or_default())
}

/// What a user namespace needs to leave the user who they are.
fn identity() -> [CString; 2] {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    [user, group].map(|id| CString::new(format!("{id} {id} 1")).unwrap_or_default())
}

/// Whether this process may make mount namespaces: tried once.
fn can_keep() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let sample = c"/proc".to_owned();
        let mounts = vec![Mount { source: sample.clone(), target: sample, read_only: true }];
        let confinement = Confinement { identity: identity(), mounts, ..Confinement::default() };
        let mut stack = vec![0_u64; 2048];
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let mut status: c_int = -1;
        // SAFETY: a stack of its own, 16 bytes aligned at its end, and CLONE_VFORK keeps us still until the process
        // has exited; it makes system calls by hand on values that live as long.
        unsafe {
            let top = stack.as_mut_ptr().add(stack.len()).map_addr(|address| address & !15);
            let argument = (&raw const confinement).cast_mut().cast();
            let pid = clone_onto(flags, top.cast(), ptr::null_mut(), ptr::null_mut(), try_to_keep, argument);
            if pid > 0 {
                libc::waitpid(pid as c_int, &raw mut status, 0);
            }
        }
        status == 0
    })
}

extern "C" fn try_to_keep(confinement: *mut c_void) -> c_int {
    // SAFETY: whoever made this process passes one that lives as long.
    unsafe {
        let confinement = &*confinement.cast::<Confinement>();
        c_int::from(own_mounts(confinement) < 0 || mount_all(&confinement.mounts) < 0)
    }
}

/// Gives up the rights, in the process that becomes the program.
///
/// # Safety
/// To be called in that process only, which makes system calls by hand.
pub(super) unsafe fn give_up(confinement: &Confinement, rulesets: [c_int; 2]) -> Result<(), (Step, isize)> {
    let confine = |result: isize| if result < 0 { Err((Step::Confine, result)) } else { Ok(()) };
    // SAFETY: plain system calls on values that live as long.
    unsafe {
        if !confinement.mounts.is_empty() {
            confine(own_mounts(confinement))?;
            confine(mount_all(&confinement.mounts))?;
        }
        // What a hook of root could do beyond files of others: it is gone once the program is executed. Nobody
        // else has any to lose.
        let taken = (0..=LAST_CAPABILITY).filter(|capability| !KEPT_CAPABILITIES.contains(capability));
        for capability in taken.filter(|_| !confinement.keeps_capabilities) {
            system_call(libc::SYS_prctl, [libc::PR_CAPBSET_DROP as usize, capability, 0, 0, 0]);
        }
        for (ruleset, wanted) in rulesets.into_iter().zip(confinement.rulesets()) {
            if wanted.is_some() {
                confine(system_call(libc::SYS_landlock_restrict_self, [ruleset as usize, 0, 0, 0, 0]))?;
            }
        }
        if !confinement.filter.is_empty() {
            let program = libc::sock_fprog {
                len: confinement.filter.len() as u16,
                filter: confinement.filter.as_ptr().cast_mut().cast(),
            };
            let (mode, program) = (libc::SECCOMP_MODE_FILTER as usize, &raw const program as usize);
            confine(system_call(libc::SYS_prctl, [libc::PR_SET_SECCOMP as usize, mode, program, 0, 0]))?;
        }
    }
    Ok(())
}

/// Leaves the mounts of others behind: what is mounted from now on, nobody else sees.
// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn own_mounts(confinement: &Confinement) -> isize {
    // SAFETY: pointers to texts that end with NUL.
    unsafe {
        let mounts = libc::CLONE_NEWNS as usize;
        if system_call(libc::SYS_unshare, [mounts, 0, 0, 0, 0]) < 0 {
            let done = system_call(libc::SYS_unshare, [mounts | libc::CLONE_NEWUSER as usize, 0, 0, 0, 0]);
            if done < 0 {
                return done;
            }
            let [user, group] = &confinement.identity;
            // The kernel asks for it before a group is mapped by someone without privileges.
            write_whole(c"/proc/self/setgroups", c"deny");
            let done = write_whole(c"/proc/self/uid_map", user).min(write_whole(c"/proc/self/gid_map", group));
            if done < 0 {
                return done;
            }
        }
        let flags = (libc::MS_REC | libc::MS_SLAVE) as usize;
        system_call(libc::SYS_mount, [0, c"/".as_ptr() as usize, 0, flags, 0])
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

/// Takes hold of all places as they are, makes everything read-only, and puts them where they belong.
// SAFETY: to be called in a process of its own only, which makes system calls by hand.
unsafe fn mount_all(mounts: &[Mount]) -> isize {
    let mut trees = [-1_isize; MOST_MOUNTS];
    let (here, empty) = (libc::AT_FDCWD as usize, c"".as_ptr() as usize);
    let read_only = |fd: usize, path: usize, flags: c_int| {
        let attributes = Attributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
        let (at, size) = (&raw const attributes as usize, size_of::<Attributes>());
        // SAFETY: pointers to live values; the size is that of the structure.
        unsafe { system_call(libc::SYS_mount_setattr, [fd, path, flags as usize, at, size]) }
    };
    // SAFETY: pointers to texts that end with NUL.
    unsafe {
        for (mount, tree) in mounts.iter().zip(&mut trees) {
            let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as usize | libc::AT_RECURSIVE as usize;
            *tree = system_call(libc::SYS_open_tree, [here, mount.source.as_ptr() as usize, flags, 0, 0]);
        }
        let done = read_only(here, c"/".as_ptr() as usize, libc::AT_RECURSIVE);
        if done < 0 {
            return done;
        }
        for (mount, tree) in mounts.iter().zip(&trees) {
            // What is not there needs no protection.
            if *tree == -(libc::ENOENT as isize) {
                continue;
            }
            if *tree < 0 {
                return *tree;
            }
            if mount.read_only {
                let done = read_only(*tree as usize, empty, libc::AT_EMPTY_PATH | libc::AT_RECURSIVE);
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
