//! What a user or the administrator of a machine allows hooks at most: `policy.yaml`. It can only take away.

use super::diagnostic::{Diagnostic, Severity};
use super::document::MAX_CONFIG_BYTES;
use super::layers::Source;
use super::model::Hook;
use super::reader::Reader;
use super::sandbox::SandboxRules;
use super::tree::Node;
use super::words::Sandbox;
use crate::project::UserFolders;
use crate::sys::{self, OpenFault, OpenMode, Owner};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The keys of a policy.
pub const POLICY_KEYS: &[&str] = &["version", "sandbox", "require", "network", "timeout"];

/// The policy of the machine.
const MACHINE: &str = "/etc/knockon/policy.yaml";

/// What hooks are allowed at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The mildest sandbox.
    pub sandbox: Sandbox,
    /// Whether a hook is refused where its sandbox cannot be had.
    pub require: bool,
    /// Whether a hook in a sandbox may be given the network.
    pub network: bool,
    /// The longest timeout.
    pub timeout: Option<Duration>,
    /// Our own folders: no hook in a sandbox reads or writes them.
    pub own: Vec<PathBuf>,
    /// Why no hook may run at all: a policy that cannot be read allows nothing.
    pub broken: Option<Diagnostic>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { sandbox: Sandbox::Base, require: false, network: true, timeout: None, own: Vec::new(), broken: None }
    }
}

impl Limits {
    /// The policies of the machine and of the user, the stricter word of each.
    pub fn load(user: &UserFolders) -> Self {
        let own = user.config.as_ref().map(|folder| folder.join("policy.yaml"));
        let paths = [Some((PathBuf::from(MACHINE), true)), own.map(|path| (path, false))];
        let own_folders = [&user.config, &user.state, &user.cache];
        let own_folders = own_folders.into_iter().flatten().cloned().collect();
        let mut limits = Limits { own: own_folders, ..Limits::default() };
        for (path, of_machine) in paths.into_iter().flatten() {
            match read(&path, of_machine) {
                Ok(Some(policy)) => limits.tighten(policy),
                Ok(None) => {}
                Err(why) => limits.broken = limits.broken.take().or(Some(*why)),
            }
        }
        limits
    }

    fn tighten(&mut self, other: Limits) {
        self.sandbox = self.sandbox.max(other.sandbox);
        self.require |= other.require;
        self.network &= other.network;
        self.timeout = self.timeout.into_iter().chain(other.timeout).min();
    }

    /// What a hook may touch under this policy.
    pub fn rules(&self, hook: &Hook) -> SandboxRules {
        let mut rules = hook.sandbox.clone();
        if rules.level < self.sandbox {
            // Rights beyond a level that its author did not ask for say nothing.
            rules = SandboxRules { level: self.sandbox, require: rules.require, ..SandboxRules::default() };
        }
        rules.require |= self.require;
        rules.network &= self.network;
        rules
    }

    /// How long a hook may take under this policy.
    pub fn timeout(&self, hook: &Hook) -> Duration {
        self.timeout.map_or(hook.timeout, |longest| longest.min(hook.timeout))
    }
}

/// A policy; nothing when there is none.
///
/// # Errors
/// It cannot be read, someone else could have written it, or it is not understood.
fn read(path: &Path, of_machine: bool) -> Result<Option<Limits>, Box<Diagnostic>> {
    let failed = |why: &dyn std::fmt::Display| {
        let message = format!("the policy cannot be used, and no hook runs until it can: {why}");
        Box::new(Diagnostic::error(path, None, "policy", message))
    };
    let Some(bytes) = own_file(path, of_machine).map_err(|why| failed(&why))? else { return Ok(None) };
    let mut problems = Vec::new();
    let limits = parse(path, &bytes, &mut problems);
    match problems.into_iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(problem.into()),
        None => Ok(limits),
    }
}

/// The bytes of a file that only the user, or the administrator, can have written; nothing when there is none.
///
/// # Errors
/// It cannot be read, or someone else could have written it.
pub(super) fn own_file(path: &Path, of_machine: bool) -> Result<Option<Vec<u8>>, String> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let opened =
        sys::open_folder(folder).and_then(|folder| sys::open_beneath(&folder, Path::new(name), OpenMode::File));
    let file = match opened {
        Ok(file) => file,
        Err(OpenFault::Missing) => return Ok(None),
        Err(fault) => return Err(fault.to_string()),
    };
    let owner = file.owner();
    // Root's word counts for everyone.
    let owner = if of_machine && owner.uid == 0 { Owner { uid: sys::user_id(), ..owner } } else { owner };
    if let Some(why) = owner.distrust() {
        return Err(format!("it {why}"));
    }
    file.read_capped(MAX_CONFIG_BYTES).map(Some).map_err(|error| error.to_string())
}

fn parse(path: &Path, bytes: &[u8], problems: &mut Vec<Diagnostic>) -> Option<Limits> {
    parse_own(path, bytes, problems, |reader, tree| reader.policy_file(tree))
}

/// Reads a file of a form of its own; `part` is what it holds.
pub(super) fn parse_own<T>(
    path: &Path,
    bytes: &[u8],
    problems: &mut Vec<Diagnostic>,
    part: impl FnOnce(&mut Reader<'_>, &Node) -> Option<T>,
) -> Option<T> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sources = [Source { path: path.to_owned(), name, bytes: Vec::new() }];
    let (mut reader, tree) = Reader::of(path, bytes, &sources);
    let found = tree.as_ref().and_then(|tree| part(&mut reader, tree));
    problems.append(&mut reader.found);
    found
}

impl Reader<'_> {
    fn policy_file(&mut self, tree: &Node) -> Option<Limits> {
        let entries = self.map(tree, "a mapping with `version`")?;
        self.known_keys(entries, POLICY_KEYS, "a policy");
        self.version(tree);
        let none = Limits::default();
        Some(Limits {
            sandbox: tree.get("sandbox").and_then(|node| self.word(node)).unwrap_or(none.sandbox),
            require: tree.get("require").and_then(|node| self.boolean(node)).unwrap_or(none.require),
            network: tree.get("network").and_then(|node| self.boolean(node)).unwrap_or(none.network),
            timeout: tree.get("timeout").and_then(|node| self.timeout(node)),
            own: Vec::new(),
            broken: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_word_counts() {
        let policy = |text: &str| {
            let mut problems = Vec::new();
            let limits = parse(Path::new("policy.yaml"), text.as_bytes(), &mut problems);
            (limits.unwrap_or_default(), problems.len())
        };
        let (mut machine, problems) = policy("version: '1.0'\nsandbox: guard\ntimeout: 60\n");
        assert_eq!(problems, 0);
        let (own, _) = policy("version: '1.0'\nsandbox: base\nrequire: true\nnetwork: false\ntimeout: 2m\n");
        machine.tighten(own);
        let wanted = Limits {
            sandbox: Sandbox::Guard,
            require: true,
            network: false,
            timeout: Some(Duration::from_secs(60)),
            own: Vec::new(),
            broken: None,
        };
        assert_eq!(machine, wanted);
        for (wrong, count) in
            [("version: '1.0'\nsandbox: none\n", 1), ("sandbox: guard\n", 1), ("version: '1.0'\nallow: all\n", 1)]
        {
            assert_eq!(policy(wrong).1, count, "{wrong}");
        }
    }
}
