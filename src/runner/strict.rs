//! `sandbox: strict`: a hook sees the system, the project and the bytes that were trusted, in a sandbox that bubblewrap makes.

use super::program::{Program, ProgramFault};
use super::sandbox::{Boxed, Places};
use crate::config::{Action, Sandbox, SandboxRules, find_in_path};
use crate::delivery::{Delivery, Enforced};
use crate::sys::{self, Confinement, Spawning};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What `strict` shows of the machine.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/run/current-system",
];
/// Where the program that makes a `strict` sandbox is looked for.
const BUBBLEWRAP_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The sandbox, which takes the place of the program: it starts what that was, with the bytes `trusted` as its script.
///
/// # Errors
/// There is no bubblewrap, or the script could not be read.
pub(super) fn strict(
    rules: &SandboxRules,
    places: &Places<'_>,
    delivery: &Delivery<'_>,
    program: &mut Program,
    trusted: Option<Vec<u8>>,
) -> Result<Boxed, ProgramFault> {
    let Some(bubblewrap) = find_in_path("bwrap".as_ref(), BUBBLEWRAP_PATH.as_ref()) else {
        return Err(ProgramFault::Sandbox("`sandbox: strict` needs bubblewrap, and there is no `bwrap`".into()));
    };
    let mut further = Vec::new();
    let mut line: Vec<OsString> = vec![bubblewrap.into_os_string()];
    let mut add = |words: &[&std::ffi::OsStr]| line.extend(words.iter().map(|word| (*word).to_owned()));
    fn word(text: &(impl AsRef<std::ffi::OsStr> + ?Sized)) -> &std::ffi::OsStr {
        text.as_ref()
    }
    add(&[word("--unshare-all"), word("--die-with-parent"), word("--cap-drop"), word("ALL")]);
    if sys::user_id() == 0 && sys::has_user_namespaces() {
        // Inside, the hook is not root even by name: programs treat it as an ordinary user.
        add(&[word("--unshare-user"), word("--uid"), word("65534"), word("--gid"), word("65534")]);
    }
    if rules.network {
        add(&[word("--share-net")]);
    }
    for path in SYSTEM {
        add(&[word("--ro-bind-try"), word(path), word(path)]);
    }
    add(&[word("--proc"), word("/proc"), word("--dev"), word("/dev"), word("--tmpfs"), word("/tmp")]);
    // Settings of the whole machine, which root could change.
    for path in ["/proc/sys", "/proc/irq", "/proc/fs", "/proc/bus", "/proc/sysrq-trigger"] {
        add(&[word("--ro-bind-try"), word(path), word(path)]);
    }
    if let Some(home) = &places.home {
        add(&[word("--dir"), word(home)]);
    }
    add(&[word("--bind"), word(places.project), word(places.project)]);
    let hooks_folder = delivery.file.hooks_folder.as_path();
    for path in &places.between() {
        add(&[word("--bind"), word(path), word(path)]);
    }
    for path in places.kept.iter().filter(|path| path.as_path() != hooks_folder) {
        add(&[word("--ro-bind-try"), word(path), word(path)]);
    }
    for path in &places.readable {
        add(&[word("--ro-bind-try"), word(path), word(path)]);
    }
    for path in &places.writable {
        add(&[word("--bind-try"), word(path), word(path)]);
    }
    // Of what is shown, what is not to be seen.
    for path in &places.keys {
        let shown = SYSTEM.iter().map(Path::new).chain([places.project]);
        let shown = shown.chain(places.readable.iter().chain(&places.writable).map(PathBuf::as_path));
        if shown.into_iter().any(|folder| path.starts_with(folder))
            && path.symlink_metadata().is_ok_and(|of| !of.is_symlink())
        {
            match path.is_dir() {
                true => add(&[word("--tmpfs"), word(path)]),
                false => add(&[word("--ro-bind"), word("/dev/null"), word(path)]),
            }
        }
    }
    add(&[word("--bind"), word(&places.temporary), word(&places.temporary)]);
    let script = delivery.hook.action.script().map(|script| hooks_folder.join(script.as_path()));
    let number = |at: usize| (Spawning::FIRST_FURTHER + at as i32).to_string();
    match (script, trusted) {
        (Some(script), Some(trusted)) => {
            // A folder of its own with nothing in it but these bytes: what anybody does to the real one is not
            // seen, and the script has its real path all the same.
            add(&[word("--tmpfs"), word(hooks_folder), word("--perms"), word("0555")]);
            let at = number(further.len());
            add(&[word("--ro-bind-data"), word(&at), word(&script), word("--remount-ro"), word(hooks_folder)]);
            further.push(sys::memory_file(&trusted).map_err(ProgramFault::System)?);
        }
        (Some(_), None) => return Err(ProgramFault::Sandbox("the script could not be read again".into())),
        (None, _) => add(&[word("--tmpfs"), word(hooks_folder)]),
    }
    let filter = sys::call_filter_bytes(rules.network);
    if !filter.is_empty() {
        let at = number(further.len());
        add(&[word("--seccomp"), word(&at)]);
        further.push(sys::memory_file(&filter).map_err(ProgramFault::System)?);
    }
    add(&[word("--chdir"), word(std::ffi::OsStr::new(&program.folder.to_string_lossy().into_owned())), word("--")]);
    let to_c = |text: OsString| CString::new(text.into_vec()).map_err(|error| ProgramFault::System(error.into()));
    let mut arguments = line.into_iter().map(to_c).collect::<Result<Vec<_>, _>>()?;
    arguments.append(&mut program.arguments);
    program.arguments = arguments;
    // Sockets without a place in the file system are those of the network that is shared.
    let has_scopes = sys::abilities().contains(&("abstract sockets", true));
    let scoped = Confinement::scopes_alone().map_err(ProgramFault::System)?;
    let mut enforced = Enforced { level: Sandbox::Strict, held: vec!["files", "processes"], missing: Vec::new() };
    if places.linked {
        enforced.missing.push("exchanging the link to its hooks folder or repository");
    }
    if !rules.network {
        enforced.held.push("network");
    }
    if matches!(delivery.hook.action, Action::Script { .. }) {
        enforced.held.push("trusted bytes");
    }
    if !has_scopes && rules.network {
        enforced.missing.push("abstract sockets");
    }
    Ok(Boxed { confinement: scoped, further, enforced, wraps: true, ..Boxed::default() })
}
