//! Which rights a hook keeps: its level, what it declares and what the policy allows, as paths and switches.
//!
//! `base` takes nothing but new privileges and core dumps, which no program here gets anyway. `guard` leaves the
//! whole machine readable but for the usual places of keys, and only the project writable, without `.git` and the
//! hooks folder. `strict` shows the hook nothing but the system, the project and the bytes that were trusted.

use super::event_loop::Surroundings;
use super::program::{Program, ProgramFault};
use super::scratch::ScratchFolder;
use crate::config::{Action, Sandbox, SandboxRules, find_in_path};
use crate::delivery::{Delivery, Enforced};
use crate::sys::{self, Confinement, Spawning};
use std::ffi::{CString, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Where keys usually are, below the home folder.
const KEYS_AT_HOME: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".git-credentials",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".password-store",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".gem/credentials",
    ".m2/settings.xml",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/op",
    ".config/rclone",
    ".config/sops",
    ".local/share/keyrings",
    ".local/state/knockon",
    ".mozilla",
    ".config/chromium",
    ".config/google-chrome",
    ".bash_history",
    ".zsh_history",
];
/// And below the root.
const KEYS_OF_MACHINE: &[&str] = &["/etc/shadow", "/etc/gshadow", "/etc/ssl/private", "/etc/sudoers", "/etc/sudoers.d"];
/// Devices that a program may write to.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
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

/// What a sandbox makes of a program.
#[derive(Debug, Default)]
pub(super) struct Boxed {
    pub(super) confinement: Option<Confinement>,
    pub(super) further: Vec<OwnedFd>,
    pub(super) enforced: Enforced,
    /// A folder for temporary files that nobody else sees.
    pub(super) temporary: Option<ScratchFolder>,
}

/// Where things are that a sandbox is about.
struct Places<'a> {
    project: &'a Path,
    home: Option<PathBuf>,
    /// What stays read-only in the project.
    kept: Vec<PathBuf>,
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    temporary: PathBuf,
}

/// The sandbox for `delivery`; `strict` changes the program, whose script has the bytes `trusted`.
///
/// # Errors
/// The sandbox cannot be had, and the hook does not run without.
pub(super) fn sandbox(
    delivery: &Delivery<'_>,
    surroundings: Surroundings<'_>,
    program: &mut Program,
    trusted: Option<Vec<u8>>,
) -> Result<Boxed, ProgramFault> {
    let rules = surroundings.limits.rules(delivery.hook);
    let lacks = surroundings.platform.lacks();
    if rules.level == Sandbox::Base || !lacks.is_empty() {
        return without(&rules, lacks);
    }
    let base = surroundings.caller.temporary_folder();
    let temporary = surroundings.scratch.sub_folder(&base).map_err(|error| ProgramFault::EventFile(base, error))?;
    let places = Places::of(delivery, surroundings, &rules, temporary.path());
    let mut boxed = match rules.level {
        Sandbox::Base | Sandbox::Guard => guard(&rules, &places),
        Sandbox::Strict => strict(&rules, &places, delivery, program, trusted),
    }?;
    if rules.require && !boxed.enforced.missing.is_empty() {
        let missing = boxed.enforced.missing.join(" and ");
        return Err(ProgramFault::Sandbox(format!("this system cannot keep a hook from: {missing}")));
    }
    boxed.temporary = Some(temporary);
    Ok(boxed)
}

/// No sandbox: because none is wanted, or because this platform has none.
fn without(rules: &SandboxRules, lacks: &[&'static str]) -> Result<Boxed, ProgramFault> {
    let mut missing = lacks.to_vec();
    match rules.level {
        Sandbox::Base => {}
        Sandbox::Guard => missing.extend(["files", "network"]),
        Sandbox::Strict => return Err(ProgramFault::Sandbox("`sandbox: strict` needs Linux".into())),
    }
    if rules.require && !missing.is_empty() {
        return Err(ProgramFault::Sandbox(format!("this system cannot keep a hook from: {}", missing.join(" and "))));
    }
    Ok(Boxed { enforced: Enforced { level: rules.level, held: Vec::new(), missing }, ..Boxed::default() })
}

impl<'a> Places<'a> {
    fn of(delivery: &Delivery<'a>, surroundings: Surroundings<'a>, rules: &SandboxRules, temporary: &Path) -> Self {
        let project = surroundings.project.root();
        let home = surroundings.caller.home();
        let resolve = |paths: &[String]| -> Vec<PathBuf> {
            let resolve = |path: &String| match (path.strip_prefix("~/"), &home) {
                (Some(below), Some(home)) => home.join(below),
                _ => project.join(path),
            };
            paths.iter().map(resolve).collect()
        };
        let (readable, writable) = (resolve(&rules.read), resolve(&rules.write));
        let kept = [project.join(".git"), delivery.file.hooks_folder.clone()];
        let is_kept = |path: &PathBuf| path.starts_with(project) && path != project && !writable.contains(path);
        Places {
            kept: kept.into_iter().filter(is_kept).collect(),
            temporary: temporary.to_owned(),
            project,
            home,
            readable,
            writable,
        }
    }

    /// Everything that may be read under `guard`.
    fn readable(&self) -> Vec<PathBuf> {
        let at_home = self.home.iter().flat_map(|home| KEYS_AT_HOME.iter().map(move |path| home.join(path)));
        let keys = at_home.chain(KEYS_OF_MACHINE.iter().map(PathBuf::from)).chain(self.state());
        let keys = keys.filter(|path| path.symlink_metadata().is_ok());
        // A link counts, and what it leads to.
        let keys: Vec<PathBuf> = keys.flat_map(|path| [path.canonicalize().ok(), Some(path)]).flatten().collect();
        let mut readable = self.readable.clone();
        all_but(Path::new("/"), &keys, &mut readable);
        readable
    }

    /// Our own state: the store of trust, and the key of the cache.
    fn state(&self) -> Option<PathBuf> {
        std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .map(|path| path.join("knockon"))
    }
}

/// Adds everything beneath `folder` but `excluded`, by as few paths as possible.
fn all_but(folder: &Path, excluded: &[PathBuf], all: &mut Vec<PathBuf>) {
    if excluded.iter().any(|path| path == folder) {
        return;
    }
    if !excluded.iter().any(|path| path.starts_with(folder)) {
        return all.push(folder.to_owned());
    }
    // What cannot be listed cannot be used either.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        all_but(&entry.path(), excluded, all);
    }
}

fn guard(rules: &SandboxRules, places: &Places<'_>) -> Result<Boxed, ProgramFault> {
    let mut confinement = Confinement::default();
    let kept = confinement.keep(places.kept.iter());
    let mut writable: Vec<PathBuf> = places.writable.clone();
    match kept {
        true => writable.push(places.project.to_owned()),
        // Without mounts of its own the hook cannot make new entries right in the project's folder: Landlock
        // knows no exceptions beneath what it allows.
        false => all_but(places.project, &places.kept, &mut writable),
    }
    writable.push(places.temporary.clone());
    writable.extend(DEVICES.iter().map(PathBuf::from));
    let readable = places.readable();
    let files = confinement.files(readable.iter().map(PathBuf::as_path), writable.iter().map(PathBuf::as_path));
    let files = files.map_err(ProgramFault::System)?;
    let network = rules.network || confinement.no_network();
    let mut enforced = Enforced { level: Sandbox::Guard, ..Enforced::default() };
    for (word, holds) in [("files", files), ("network", network)] {
        match holds {
            false => enforced.missing.push(word),
            true if word == "network" && rules.network => {}
            true => enforced.held.push(word),
        }
    }
    if files && !kept {
        enforced.held.push("new entries in the project's folder");
    }
    Ok(Boxed { confinement: Some(confinement), enforced, ..Boxed::default() })
}

fn strict(
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
    if rules.network {
        add(&[word("--share-net")]);
    }
    for path in SYSTEM {
        add(&[word("--ro-bind-try"), word(path), word(path)]);
    }
    for path in KEYS_OF_MACHINE.iter().filter(|path| Path::new(path).is_file()) {
        add(&[word("--ro-bind"), word("/dev/null"), word(path)]);
    }
    for path in KEYS_OF_MACHINE.iter().filter(|path| Path::new(path).is_dir()) {
        add(&[word("--tmpfs"), word(path)]);
    }
    add(&[word("--proc"), word("/proc"), word("--dev"), word("/dev"), word("--tmpfs"), word("/tmp")]);
    if let Some(home) = &places.home {
        add(&[word("--dir"), word(home)]);
    }
    add(&[word("--bind"), word(places.project), word(places.project)]);
    let hooks_folder = delivery.file.hooks_folder.as_path();
    for path in places.kept.iter().filter(|path| path.as_path() != hooks_folder) {
        add(&[word("--ro-bind-try"), word(path), word(path)]);
    }
    for path in &places.readable {
        add(&[word("--ro-bind-try"), word(path), word(path)]);
    }
    for path in &places.writable {
        add(&[word("--bind-try"), word(path), word(path)]);
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
    let filter = sys::network_filter_bytes();
    let network = rules.network || !filter.is_empty();
    if !rules.network && network {
        let at = number(further.len());
        add(&[word("--seccomp"), word(&at)]);
        further.push(sys::memory_file(&filter).map_err(ProgramFault::System)?);
    }
    add(&[word("--chdir"), word(std::ffi::OsStr::new(&program.folder.to_string_lossy().into_owned())), word("--")]);
    let to_c = |text: OsString| CString::new(text.into_vec()).map_err(|error| ProgramFault::System(error.into()));
    let mut arguments = line.into_iter().map(to_c).collect::<Result<Vec<_>, _>>()?;
    arguments.append(&mut program.arguments);
    program.arguments = arguments;
    let mut enforced = Enforced { level: Sandbox::Strict, held: vec!["files", "processes"], missing: Vec::new() };
    if !rules.network {
        enforced.held.push("network");
    }
    if matches!(delivery.hook.action, Action::Script { .. }) {
        enforced.held.push("trusted bytes");
    }
    Ok(Boxed { further, enforced, ..Boxed::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_some_takes_few_paths() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        for path in ["a/x", "a/y", "b/z", "c"] {
            fs::create_dir_all(base.join(path)).unwrap();
        }
        let paths = |excluded: &[&str]| {
            let mut all = Vec::new();
            all_but(base, &excluded.iter().map(|path| base.join(path)).collect::<Vec<_>>(), &mut all);
            let mut all: Vec<String> =
                all.iter().map(|path| path.strip_prefix(base).unwrap().display().to_string()).collect();
            all.sort();
            all
        };
        assert_eq!(paths(&[]), [""]);
        assert_eq!(paths(&["b"]), ["a", "c"]);
        assert_eq!(paths(&["a/y", "c"]), ["a/x", "b"]);
    }
}
