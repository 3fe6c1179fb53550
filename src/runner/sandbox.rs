//! Which rights a hook keeps: its level, what it declares and what the policy allows, as paths and switches.
//!
//! `base` takes nothing but new privileges and core dumps, which no program here gets anyway. `guard` leaves the
//! whole machine readable but for the usual places of keys, and only the project writable, without `.git` and the
//! hooks folder. `strict` shows the hook nothing but the system, the project and the bytes that were trusted.

use super::event_loop::Surroundings;
use super::home::View;
use super::keys::usual_places;
use super::program::{Program, ProgramFault};
use super::repository::{Repository, inner};
use super::scratch::ScratchFolder;
use super::sockets::to_cover;
use super::strict::strict;
use crate::config::{Sandbox, SandboxRules};
use crate::delivery::{Delivery, Enforced};
use crate::project::Layout;
use crate::sys::{self, Confinement, Mounts, ReadRules};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Devices that a program may write to. No terminals: they are those of its user, and what is written there is taken for
/// something that the user's own programs say.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// What a sandbox makes of a program.
#[derive(Debug, Default)]
pub(super) struct Boxed {
    pub(super) confinement: Option<Confinement>,
    pub(super) further: Vec<OwnedFd>,
    pub(super) enforced: Enforced,
    /// Whether the program is one that makes the sandbox.
    pub(super) wraps: bool,
    /// A folder for temporary files that nobody else sees.
    pub(super) temporary: Option<ScratchFolder>,
}

/// What sandboxes have in common: what may be read, which is much, and changes little.
#[derive(Debug, Default)]
pub struct Sandboxes {
    keys: Mutex<Option<(Instant, Vec<PathBuf>)>>,
    rules: Mutex<Option<KnownRules>>,
}

/// Rules, since when they are known, and what for: what is left out, and what is let in.
type KnownRules = (Instant, [Vec<PathBuf>; 2], Arc<ReadRules>);

/// For how long what may be read is taken as known. A file that appears right in a folder that has keys in it can be
/// read then at the latest.
const KNOWN_FOR: Duration = Duration::from_secs(1);

impl Sandboxes {
    /// What nobody in a sandbox reads, as far as it is there; links, and what they lead to.
    fn keys(&self, home: Option<&Path>, own: &[PathBuf]) -> Vec<PathBuf> {
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = known.as_ref().filter(|(since, _)| since.elapsed() < KNOWN_FOR) {
            return keys.clone();
        }
        let mut keys = usual_places(home);
        keys.extend(own.iter().cloned());
        let keys = keys.into_iter().filter(|path| path.symlink_metadata().is_ok());
        let keys: Vec<PathBuf> = keys.flat_map(|path| [path.canonicalize().ok(), Some(path)]).flatten().collect();
        known.insert((Instant::now(), keys)).1.clone()
    }

    /// Rules for everything but keys, and for what a hook declares.
    fn rules(&self, places: &Places<'_>) -> io::Result<Option<Arc<ReadRules>>> {
        let mut known = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let mut readable = [places.readable.as_slice(), &places.writable].concat();
        // They may lie right in a folder that has keys in it, and be newer than the rules.
        readable.push(places.project.to_owned());
        readable.extend(places.temporary.parent().map(Path::to_owned));
        readable.extend(places.script.clone());
        let for_what = [places.keys.clone(), readable.clone()];
        if let Some((.., rules)) =
            known.as_ref().filter(|(since, what, _)| since.elapsed() < KNOWN_FOR && *what == for_what)
        {
            return Ok(Some(rules.clone()));
        }
        let let_in = std::mem::take(&mut readable);
        for folder in let_in.iter().map(PathBuf::as_path).chain([Path::new("/")]) {
            allow(folder, &places.keys, &mut readable);
        }
        readable.extend(places.script.clone());
        let Some(rules) = ReadRules::new(paths(&readable))? else { return Ok(None) };
        Ok(Some(known.insert((Instant::now(), for_what, Arc::new(rules))).2.clone()))
    }
}

/// Where things are that a sandbox is about.
pub(super) struct Places<'a> {
    pub(super) project: &'a Path,
    pub(super) home: Option<PathBuf>,
    /// What stays read-only in the project.
    pub(super) kept: Vec<PathBuf>,
    /// What is neither read nor written.
    pub(super) keys: Vec<PathBuf>,
    /// Whether the hooks folder or the repository is found by a link.
    pub(super) linked: bool,
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
    pub(super) temporary: PathBuf,
    /// The socket of the agent that has the user's keys for ssh.
    agent: Option<PathBuf>,
    /// What git needs of the project's repository outside of it.
    repository: Vec<PathBuf>,
    /// Where its script is, outside of the places of keys.
    hooks_folder: Option<PathBuf>,
    /// Its script, where that lies in what is not read otherwise, as the user's own do.
    script: Option<PathBuf>,
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
    // A right has no link in its path.
    let place = temporary.path().canonicalize().map_err(ProgramFault::System)?;
    let places = Places::of(delivery, surroundings, &rules, &place)?;
    let mut boxed = match rules.level {
        Sandbox::Base | Sandbox::Guard => guard(&rules, &places, surroundings),
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
    fn of(
        delivery: &Delivery<'a>,
        surroundings: Surroundings<'a>,
        rules: &SandboxRules,
        temporary: &Path,
    ) -> Result<Self, ProgramFault> {
        let project = surroundings.project.root();
        let home = surroundings.caller.home();
        let own = &surroundings.limits.own;
        let resolve = |paths: &[String]| -> Result<Vec<PathBuf>, ProgramFault> {
            let rights = paths.iter().map(|path| right(path, project, home.as_deref(), own));
            // What is not there is passed over.
            let rights = rights.filter(|path| path.as_ref().map_or(true, |path| path.symlink_metadata().is_ok()));
            rights.collect()
        };
        let (readable, mut writable) = (resolve(&rules.read)?, resolve(&rules.write)?);
        let repository = Repository::of(project);
        let git_folders = repository.writable.clone();
        let git = project.join(".git");
        if writable.contains(&git) && repository.writable != [git.as_path()] {
            // Where it is a file, it stands for what it names, and stays as it is.
            if repository.writable.is_empty() {
                let why = format!(
                    "the right to `.git` is refused: {} does not lead to a repository of this project",
                    git.display()
                );
                return Err(ProgramFault::Sandbox(why));
            }
            writable.retain(|path| *path != git);
            writable.extend(repository.writable);
        }
        let mut keys = surroundings.sandboxes.keys(home.as_deref(), own);
        keys.retain(|key| own.contains(key) || !readable.contains(key) && !writable.contains(key));
        let hooks_folder = &delivery.file.hooks_folder;
        // Links can be exchanged for something else; what they lead to cannot.
        let linked = [&project.join(".git"), hooks_folder]
            .into_iter()
            .any(|path| path.starts_with(project) && path.canonicalize().is_ok_and(|real| real != **path));
        let both = repository.kept.iter().chain(&git_folders);
        let elsewhere = both.filter(|path| !path.starts_with(project)).cloned().collect();
        let mut kept = repository.kept;
        kept.extend(inner(project));
        kept.extend(hooks_folder.canonicalize());
        // Whatever file the hook is from: the hooks and the log of the project, and of the one that inherits them.
        let layouts = [Layout::Flowspec, Layout::Knockon].into_iter().filter_map(Layout::hooks_folder);
        let roots = [project, surroundings.here.root()];
        kept.extend(
            layouts.flat_map(|folder| roots.map(|root| root.join(folder))).filter_map(|path| path.canonicalize().ok()),
        );
        kept.sort();
        kept.dedup();
        kept.retain(|path| path.starts_with(project) && path != project && !writable.contains(path));
        let script = delivery.hook.action.script().map(|script| hooks_folder.join(script.as_path()));
        let script = script.and_then(|script| script.canonicalize().ok());
        let script = script.filter(|script| keys.iter().any(|key| script.starts_with(key)));
        let outside = |folder: &PathBuf| !keys.iter().any(|key| folder.starts_with(key));
        let hooks_folder = hooks_folder.canonicalize().ok().filter(outside);
        let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
        Ok(Places {
            agent,
            repository: elsewhere,
            hooks_folder,
            script,
            kept,
            keys,
            linked,
            temporary: temporary.to_owned(),
            project,
            home,
            readable,
            writable,
        })
    }

    /// What the hook sees of the home folder, where that can be hidden.
    fn view(&self, surroundings: Surroundings<'_>, has_mounts: bool) -> Option<View> {
        let home = self.home.as_deref().filter(|_| has_mounts)?;
        let mut used = vec![self.project, surroundings.here.root(), self.temporary.as_path()];
        used.extend(paths(&self.readable).chain(paths(&self.writable)).chain(paths(&self.repository)));
        used.extend(self.script.as_deref());
        used.extend(self.hooks_folder.as_deref());
        let of_keys = |path: &Path| self.keys.iter().any(|key| path.starts_with(key) && !path.starts_with(home));
        if self.script.as_deref().is_some_and(of_keys) {
            // It lies in what would be covered.
            return None;
        }
        View::of(home, &used, &self.keys, surroundings.caller.search_path())
    }

    /// The folders between the project and what stays read-only in it: mounted themselves, so that none can be renamed.
    pub(super) fn between(&self) -> Vec<PathBuf> {
        let mut between: Vec<PathBuf> = Vec::new();
        for kept in &self.kept {
            let above = kept.ancestors().skip(1).take_while(|folder| *folder != self.project);
            between.extend(above.filter(|folder| folder.starts_with(self.project)).map(Path::to_owned));
        }
        between.sort();
        between.dedup();
        between
    }
}

/// Adds a right: all of it, but for the keys in it.
fn allow(path: &Path, excluded: &[PathBuf], all: &mut Vec<PathBuf>) {
    let below: Vec<PathBuf> = excluded.iter().filter(|key| key.starts_with(path)).cloned().collect();
    all_but(path, &below, all);
}

fn paths(paths: &[PathBuf]) -> impl Iterator<Item = &Path> {
    paths.iter().map(PathBuf::as_path)
}

/// A path that a hook declares, as it is on the disk.
///
/// # Errors
/// It is a link, which a hook could lead elsewhere, or everything.
fn right(path: &str, project: &Path, home: Option<&Path>, own: &[PathBuf]) -> Result<PathBuf, ProgramFault> {
    let refused = |why: &str| ProgramFault::Sandbox(format!("the right to `{}` {why}", crate::text::one_line(path)));
    let (base, below) = match (path.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => (home, below),
        (Some(_), None) => return Err(refused("needs a home folder")),
        (None, _) => (project, path),
    };
    let base = base.canonicalize().unwrap_or_else(|_| base.to_owned());
    let wanted: PathBuf = base.join(below).components().collect();
    if own.iter().any(|own| wanted.starts_with(own)) {
        return Err(refused("is knockon's own"));
    }
    match wanted.canonicalize() {
        Ok(real) if real != wanted => {
            Err(refused(&format!("leads over a link to {}; write where it leads", real.display())))
        }
        Ok(real) if project.starts_with(&real) || home.is_some_and(|home| home.starts_with(&real)) => {
            Err(refused("is more than the project or the home folder"))
        }
        _ => Ok(wanted),
    }
}

/// Adds everything beneath `folder` but `excluded`, by as few paths as possible.
fn all_but(folder: &Path, excluded: &[PathBuf], all: &mut Vec<PathBuf>) {
    if excluded.iter().any(|path| folder.starts_with(path)) {
        return;
    }
    if !excluded.iter().any(|path| path.starts_with(folder)) {
        return all.push(folder.to_owned());
    }
    // What cannot be listed cannot be used either. A link is left out: what it leads to has a path of its own.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            all_but(&entry.path(), excluded, all);
        }
    }
}

fn guard(wanted: &SandboxRules, places: &Places<'_>, surroundings: Surroundings<'_>) -> Result<Boxed, ProgramFault> {
    let mut confinement = Confinement::default();
    let abilities = sys::abilities();
    let can = |word: &str| abilities.contains(&(word, true));
    let shared_memory = places.temporary.join("shm");
    fs::create_dir(&shared_memory).map_err(ProgramFault::System)?;
    let mut own = vec![places.project.to_owned(), places.temporary.clone()];
    own.extend(places.between());
    let everybodys = Path::new("/dev/shm");
    // What lies there would be hidden.
    let used = own.iter().chain(&places.kept).chain(&places.writable).chain(&places.readable);
    let in_use = used.into_iter().any(|path| path.starts_with(everybodys)) || !everybodys.is_dir();
    let view = places.view(surroundings, can("metadata"));
    let declared: Vec<&Path> = paths(&own).chain(paths(&places.writable)).chain(paths(&places.readable)).collect();
    let mut covered = to_cover(places.home.as_deref(), places.agent.clone(), &declared);
    if let Some(view) = &view {
        // Where the home folder is hidden, the other places of keys are covered; Landlock keeps them otherwise.
        let is_own = |path: &&PathBuf| path.symlink_metadata().is_ok_and(|of| !of.is_symlink());
        covered.extend(places.keys.iter().filter(is_own).cloned());
        covered.retain(|path| view.has(path));
        covered.sort();
        covered.dedup();
    }
    let mut mounts = Mounts::default();
    if let Some(view) = &view {
        mounts.hide_home(&view.home, view.shown.iter().map(|(path, is_folder)| (path.as_path(), *is_folder)));
    }
    own.iter().for_each(|path| mounts.writable(path));
    places.kept.iter().for_each(|path| mounts.read_only(path));
    places.writable.iter().for_each(|path| mounts.writable(path));
    covered.iter().for_each(|path| mounts.cover(path, path.is_dir()));
    if !in_use {
        mounts.put(&shared_memory, everybodys);
    }
    let kept = confinement.keep(mounts);
    // Landlock knows no exceptions beneath what it allows. Without mounts of its own, and where there are keys, the hook
    // cannot make new entries right in the folders above them.
    let mut excluded = places.keys.clone();
    if !kept {
        excluded.extend(places.kept.iter().cloned());
    }
    let mut writable: Vec<PathBuf> = Vec::new();
    for path in std::iter::once(places.project).chain(paths(&places.writable)) {
        allow(path, &excluded, &mut writable);
    }
    let whole = writable.iter().any(|path| path == places.project);
    writable.extend([places.temporary.clone(), shared_memory.clone()]);
    writable.extend(DEVICES.iter().map(PathBuf::from));
    let written = confinement.write(paths(&writable)).map_err(ProgramFault::System)?;
    // What is not there needs no rule that forbids to read it.
    let read = (kept && view.is_some()) || {
        let rules = surroundings.sandboxes.rules(places).map_err(ProgramFault::System)?;
        let has_rules = rules.is_some();
        rules.into_iter().for_each(|rules| confinement.read(rules));
        has_rules
    };
    let files = read && written && can("files");
    let calls = confinement.calls(wanted.network);
    let mut enforced = Enforced { level: Sandbox::Guard, ..Enforced::default() };
    for (word, asked, holds) in [
        ("files", true, files),
        ("metadata", true, kept),
        ("network", !wanted.network, calls),
        ("signals", true, can("signals")),
        ("abstract sockets", true, can("abstract sockets")),
        ("limits of others", wanted.network, calls),
    ] {
        match holds {
            _ if !asked => {}
            true if word != "limits of others" => enforced.held.push(word),
            true => {}
            false => enforced.missing.push(word),
        }
    }
    if confinement.isolates() {
        enforced.held.push("processes");
    }
    if files && !whole {
        enforced.held.push("new entries in the project's folder");
    }
    if places.linked {
        enforced.missing.push("exchanging the link to its hooks folder or repository");
    }
    Ok(Boxed { confinement: Some(confinement), enforced, ..Boxed::default() })
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
