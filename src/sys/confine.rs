//! Taking rights from a program before it runs: files by Landlock, system calls by seccomp, and folders made
//! read-only in a mount namespace of its own.
//!
//! What the kernel cannot do is told, not hidden: the caller decides whether it goes on without.

use super::calls;
use super::execute::Step;
use super::mounts::{Mounts, can_mount, isolation, mount_all};
use super::path::place_without_links;
use super::raw::system_call;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use seccompiler::BpfProgram;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The newest Landlock that is asked for; what an older kernel lacks is left out. What is done to devices beyond
/// reading and writing is left alone.
const NEWEST: ABI = ABI::V6;
const LANDLOCK: ABI = ABI::V3;

/// What is taken from a program.
#[derive(Debug, Default)]
pub struct Confinement {
    /// Two Landlock rulesets: what is done has to be allowed by both.
    readable: Option<Arc<ReadRules>>,
    writable: Option<OwnedFd>,
    filter: BpfProgram,
    /// Whether root keeps what it can do.
    keeps_capabilities: bool,
    /// What it sees of the files of its machine.
    mounts: Mounts,
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
        let open = |path: &Path| PathFd::new(path).ok();
        Ok(ruleset(read | AccessFs::Refer, BitFlags::EMPTY, rights, open)?.map(ReadRules))
    }
}

/// A Landlock ruleset; nothing when the kernel has none.
fn ruleset<'p, F: AsFd>(
    handled: BitFlags<AccessFs>,
    scopes: BitFlags<Scope>,
    rights: impl Iterator<Item = (&'p Path, BitFlags<AccessFs>)>,
    open: impl Fn(&Path) -> Option<F>,
) -> io::Result<Option<OwnedFd>> {
    let wanted = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(handled);
    let wanted = wanted.and_then(|wanted| if scopes.is_empty() { Ok(wanted) } else { wanted.scope(scopes) });
    let created = wanted.and_then(Ruleset::create).map_err(io::Error::other)?;
    let mut ruleset = created.set_compatibility(CompatLevel::BestEffort);
    for (path, mut access) in rights {
        let Some(fd) = open(path) else { continue };
        let is_folder = rustix::fs::fstat(&fd)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory);
        if !is_folder {
            access &= AccessFs::from_file(LANDLOCK);
        }
        ruleset = ruleset.add_rule(PathBeneath::new(fd, access)).map_err(io::Error::other)?;
    }
    Ok(ruleset.into())
}

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
    /// confined with it. Paths that do not exist, or that a link is part of by now, are passed over. Returns whether the kernel can do that.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn write<'p>(&mut self, writable: impl Iterator<Item = &'p Path>) -> io::Result<bool> {
        let handled = AccessFs::from_write(LANDLOCK);
        // No devices: what is on a disk is not the project.
        let all = handled & !(AccessFs::MakeBlock | AccessFs::MakeChar);
        self.writable =
            ruleset(handled, Scope::from_all(NEWEST), writable.map(|path| (path, all)), place_without_links)?;
        Ok(self.writable.is_some())
    }

    /// Keeps the program from system calls that reach beyond it: the limits and the priority of other processes, key rings,
    /// files by handle, set-uid files; and without `network` from the network: it can make no socket but those of its machine's
    /// file system, by whichever door. Returns whether the system can do that.
    pub fn calls(&mut self, network: bool) -> bool {
        self.filter = filter(network).clone();
        !self.filter.is_empty()
    }

    /// Makes everything read-only for the program, and shows it what `mounts` say. Not even what belongs to a file's name can
    /// be changed elsewhere. Returns whether the system can do that.
    pub fn keep(&mut self, mut mounts: Mounts) -> bool {
        let can = mounts.prepare();
        if can {
            self.mounts = mounts;
        }
        can
    }

    /// Whether the program has to be started in a PID namespace: it sees and reaches no process but those that it starts.
    pub fn isolates(&self) -> bool {
        self.mounts.are_isolated()
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
pub fn abilities() -> [(&'static str, bool); 6] {
    let (version, metadata) = (landlock_version(), can_mount());
    // Without Landlock's word on it, a file elsewhere is kept from being cut by its mount alone.
    let files = version >= TRUNCATING_SINCE || (version > 0 && metadata);
    let (network, scopes, processes) = (!filter(false).is_empty(), version >= SCOPES_SINCE, isolation().is_some());
    [
        ("files", files),
        ("network", network),
        ("metadata", metadata),
        ("signals", scopes || processes),
        ("abstract sockets", scopes),
        ("processes", processes),
    ]
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

/// Gives up the rights, in the process that becomes the program.
///
/// # Safety
/// To be called in that process only, which makes system calls by hand.
pub(super) unsafe fn give_up(confinement: &Confinement, rulesets: [c_int; 2]) -> Result<(), (Step, isize)> {
    let confine = |result: isize| if result < 0 { Err((Step::Confine, result)) } else { Ok(()) };
    // SAFETY: plain system calls on values that live as long.
    unsafe {
        if !confinement.mounts.is_empty() {
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
