//! What configuration files hold.

use super::budget::{self, Budget};
use super::diagnostic::{Diagnostic, Severity};
use super::document::MAX_CONFIG_BYTES;
use super::inherited::Inherited;
use super::layers::{self, Composed, LOCAL_FILE, ONE_LINE_FILE, Opened, Source};
use super::locate::find;
use super::model::{Concurrency, Hook, ScriptPath};
use super::parse::{Read, read_layers};
use super::safe::SafeDirectories;
use super::tree::Span;
use super::words::FailMode;
use crate::project::{Project, UserFolders};
use crate::sys::{self, OpenFault, OpenMode, Owner};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose a configuration file is, which decides what it takes to run its hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the user's own folders: what the user put there, the user wants.
    User,
    /// In a commit that was named (`--config-from-ref`): naming it is the consent.
    Commit,
    /// In the project, or named with `--config`: runs only once the user trusted its content.
    Project,
}

/// A configuration file that was found, before it is understood.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whose it is.
    pub origin: Origin,
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The files beside it that are laid over it when they are there.
    pub(super) beside: &'static [&'static str],
    /// Whether what it includes is not read.
    pub(super) withholds: bool,
    pub(super) distrust: Option<String>,
    /// What the user says yes to.
    pub(super) safe: SafeDirectories,
    /// The outer project that it is of, where the project's own configuration inherits it.
    pub(crate) inherited: Option<Arc<Inherited>>,
}

/// What a configuration file turned out to hold, apart from its hooks.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// See [`ConfigFile::layers`].
    pub layers: Vec<Source>,
    /// See [`ConfigFile::scripts`].
    pub scripts: Vec<ScriptPath>,
    /// See [`ConfigFile::concurrency`].
    pub concurrency: Concurrency,
    /// Why its layers cannot be relied on.
    pub distrust: Option<String>,
}

/// One configuration file that was found and read.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Whose it is.
    pub origin: Origin,
    /// Its path.
    pub path: PathBuf,
    /// The folder its scripts are in.
    pub hooks_folder: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// What it includes, and the local override, in the order they were read.
    pub layers: Vec<Source>,
    /// The scripts that its hooks name, disabled ones included, each once, in file order.
    pub scripts: Vec<ScriptPath>,
    /// How many of its hooks run side by side.
    pub concurrency: Concurrency,
    /// Why it cannot be relied on, whatever it holds: another owner, or others may write to it.
    pub distrust: Option<String>,
    /// What the user says yes to all the same.
    pub safe: SafeDirectories,
    /// The outer project that it is of, where the project's own configuration inherits it.
    pub inherited: Option<Arc<Inherited>>,
}

/// A hook and the file it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadedHook {
    /// Index into [`Loaded::files`].
    pub file: usize,
    /// The hook.
    pub hook: Hook,
}

/// A hook that an error disables; the other hooks of its file run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHook {
    /// Index into [`Loaded::files`].
    pub file: usize,
    /// Its name, or `hooks[N]` where it has none.
    pub name: String,
    /// What a failure of it would mean, as far as that can be read.
    pub fail_mode: FailMode,
    /// The first error: `path:line:column: message; help`.
    pub problem: String,
}

/// Every hook there is, in the order they run.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The files, the user's before the project's.
    pub files: Vec<ConfigFile>,
    /// Their hooks, in file order.
    pub hooks: Vec<LoadedHook>,
    /// The hooks that an error disables.
    pub invalid: Vec<InvalidHook>,
    /// What can be read of hooks that an error disables: to look for further errors, not to run.
    pub unsound: Vec<LoadedHook>,
    /// What is wrong with the files.
    pub problems: Vec<Diagnostic>,
    /// A second configuration of the project, which is not read because the first is.
    pub ignored: Option<Found>,
}

impl Loaded {
    /// The hooks of a configuration that no file is behind.
    pub fn without_file(hooks: impl IntoIterator<Item = Hook>) -> Self {
        let hooks = hooks.into_iter().map(|hook| LoadedHook { file: 0, hook }).collect();
        Loaded { files: vec![ConfigFile::without_content(Origin::Project)], hooks, ..Loaded::default() }
    }

    /// The file a hook came from.
    pub fn file_of(&self, hook: &LoadedHook) -> &ConfigFile {
        &self.files[hook.file]
    }

    /// The configuration of the project, or the one named with `--config`.
    pub fn project_file(&self) -> Option<&ConfigFile> {
        self.project_files().find(|file| file.inherited.is_none())
    }

    /// The same with what it inherits, the outermost first.
    pub fn project_files(&self) -> impl Iterator<Item = &ConfigFile> {
        self.files.iter().filter(|file| file.origin != Origin::User)
    }

    /// The path of the file that a place of `file` is in.
    pub fn path_of(&self, file: usize, span: Span) -> &Path {
        self.files[file].path_of(span)
    }

    /// Where a hook is disabled: `hooks.yaml:15`.
    pub fn place_of_disabling(&self, hook: &LoadedHook) -> String {
        self.file_of(hook).place_of_disabling(&hook.hook)
    }

    /// The text of a file that was read.
    pub fn text_of(&self, path: &Path) -> Option<&[u8]> {
        self.files.iter().find_map(|file| {
            let layer = file.layers.iter().find(|layer| layer.path == path);
            layer.map(|layer| layer.bytes.as_slice()).or_else(|| (file.path == path).then_some(file.bytes.as_slice()))
        })
    }

    /// The hook with this name; the project's when the user has one of the same name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.hooks.iter().rposition(|loaded| loaded.hook.name.as_str() == name)
    }
}

impl ConfigFile {
    /// A file that stands for rules that are not in one.
    pub fn without_content(origin: Origin) -> Self {
        let (path, bytes) = ("hooks.yaml".into(), Vec::new());
        let (distrust, safe, inherited, withholds) = (None, SafeDirectories::default(), None, false);
        Found { origin, path, bytes, beside: &[], withholds, distrust, safe, inherited }.into_file(Parts::default())
    }

    /// Where a hook of this file is disabled: `hooks.yaml:15`.
    pub fn place_of_disabling(&self, hook: &Hook) -> String {
        let span = hook.enabled_at.unwrap_or(hook.span);
        let name = self.path_of(span).file_name().unwrap_or_default().to_string_lossy();
        format!("{name}:{}", span.line)
    }

    /// The project that its paths are of: `here`, unless it is inherited.
    pub fn project<'p>(&'p self, here: &'p Project) -> &'p Project {
        self.inherited.as_ref().map_or(here, |inherited| &inherited.project)
    }

    /// The path of the file that a place is in: this one, or one of its layers.
    pub fn path_of(&self, span: Span) -> &Path {
        let layer = usize::from(span.source).checked_sub(1).and_then(|at| self.layers.get(at));
        layer.map_or(self.path.as_path(), |layer| layer.path.as_path())
    }

    /// Its layers as trees laid over each other; nothing when it cannot be read.
    pub fn composed(&self) -> Option<Composed> {
        let mut open = |name: &Path| match self.layers.iter().find(|layer| Path::new(&layer.name) == name) {
            Some(layer) => Opened::Found(layer.bytes.clone()),
            None => Opened::Missing,
        };
        layers::compose(&self.path, &self.bytes, &mut open, &mut Budget::whole(), &mut Vec::new())
    }
}

/// Finds and reads the configuration: the user's files, then `explicit` (`--config`) or the project's.
///
/// A file that is absent is no problem, unless it was named explicitly.
pub fn load(project: &Project, user: &UserFolders, explicit: Option<&Path>) -> Loaded {
    let located = find(project, user, explicit.map(|path| (path, Origin::Project)));
    let mut loaded = read(&located.found, located.problems);
    loaded.ignored = located.ignored;
    loaded
}

/// Understands what was found.
pub fn read(found: &[Found], problems: Vec<Diagnostic>) -> Loaded {
    let mut loaded = Loaded { problems, ..Loaded::default() };
    let mut budget = Budget::whole();
    for found in found {
        let index = loaded.files.len();
        let mut distrust = None;
        let mut open = |name: &Path| {
            let (opened, why) = found.open_layer(name);
            distrust = distrust.take().or(why);
            opened
        };
        let first_problem = loaded.problems.len();
        let Read { config, sound: _, readable, broken, mut sources } =
            read_layers(&found.path, &found.bytes, &mut open, &mut budget, &mut loaded.problems);
        let concurrency = config.as_ref().map_or_else(Concurrency::default, |config| config.concurrency);
        let hooks = config.map(|config| config.hooks).unwrap_or_default();
        let mut seen: HashSet<&str> = HashSet::new();
        let scripts = hooks.iter().filter_map(|hook| hook.action.script());
        let scripts = scripts.filter(|path| seen.insert(path.as_str())).cloned().collect();
        let layers = if sources.is_empty() { sources } else { sources.split_off(1) };
        let parts = Parts { layers, scripts, concurrency, distrust };
        loaded.files.push(found.clone().into_file(parts));
        let problems = &loaded.problems[first_problem..];
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        // The first of each hook.
        let mut first: HashMap<&str, &Diagnostic> = HashMap::new();
        for problem in errors {
            problem.hook.as_deref().map(|hook| first.entry(hook).or_insert(problem));
        }
        for (number, hook) in hooks.into_iter().enumerate() {
            let is_broken = broken.contains(&number);
            if is_broken && readable {
                loaded.invalid.push(InvalidHook::with(index, number, &hook, |name| first.get(name).copied()));
            }
            let list = if is_broken || !readable { &mut loaded.unsound } else { &mut loaded.hooks };
            list.push(LoadedHook { file: index, hook });
        }
        budget::shorten(&mut loaded.problems, first_problem, &found.path);
    }
    loaded
}

impl InvalidHook {
    /// The hook of this number in `file`, with the first of `problems` that is about it.
    pub(crate) fn of(file: usize, number: usize, hook: &Hook, problems: &[Diagnostic]) -> Self {
        let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        Self::with(file, number, hook, |name| errors.find(|problem| problem.hook.as_deref() == Some(name)))
    }

    /// The same with a search for the first error of a hook.
    fn with<'d>(
        file: usize,
        number: usize,
        hook: &Hook,
        first_error: impl FnOnce(&str) -> Option<&'d Diagnostic>,
    ) -> Self {
        let name = match hook.name.as_str() {
            "" => format!("hooks[{number}]"),
            name => name.to_owned(),
        };
        let problem =
            first_error(&name).map(ToString::to_string).unwrap_or_else(|| "its configuration has an error".into());
        InvalidHook { file, name, fail_mode: hook.fail_mode, problem }
    }
}

impl Found {
    /// The files beside it that are laid over it when they are there.
    pub const BESIDE: [&str; 2] = [LOCAL_FILE, ONE_LINE_FILE];

    /// Leaves out what this machine alone lays over it: the local file.
    pub fn without_local(mut self) -> Self {
        self.beside = if self.beside.is_empty() { &[] } else { &[ONE_LINE_FILE] };
        self
    }

    /// Does not read what it includes: nothing was trusted here so far.
    pub(crate) fn withhold_includes(&mut self) {
        self.withholds = true;
    }

    /// The folder its scripts are in.
    pub fn hooks_folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Opens a file of the hooks folder without following a link out of it; with it, why its content cannot be
    /// relied on.
    pub fn open_layer(&self, name: &Path) -> (Opened, Option<String>) {
        self.open_layer_in(&mut None, name)
    }

    /// The same for several files: `folder` is the hooks folder, opened for the first of them.
    pub fn open_layer_in(&self, folder: &mut Option<File>, name: &Path) -> (Opened, Option<String>) {
        let name_of = name.to_str().unwrap_or_default();
        if Self::BESIDE.contains(&name_of) && !self.beside.contains(&name_of) {
            return (Opened::Missing, None);
        }
        if self.withholds && !Self::BESIDE.contains(&name_of) {
            return (Opened::Withheld, None);
        }
        let mut read = || {
            let folder = match folder {
                Some(folder) => folder,
                None => folder.insert(sys::open_folder(self.hooks_folder())?),
            };
            let file = sys::open_beneath(folder, name, OpenMode::File)?;
            Ok((file.owner(), file.read_capped(MAX_CONFIG_BYTES).map_err(OpenFault::Io)?))
        };
        match read() {
            Ok((owner, bytes)) => {
                let path = self.hooks_folder().join(name);
                (Opened::Found(bytes), self.distrust_of(&path, owner))
            }
            Err(OpenFault::Missing) => (Opened::Missing, None),
            Err(fault) => (Opened::Refused(fault.to_string()), None),
        }
    }

    /// Why a file of the configuration cannot be relied on.
    pub(super) fn distrust_of(&self, path: &Path, owner: Owner) -> Option<String> {
        let why = owner.distrust().filter(|_| !self.safe.cover(path))?;
        Some(format!("{} {why}{}", path.display(), sys::fixed_modes(path)))
    }

    /// The file with what belongs to it.
    pub fn into_file(self, parts: Parts) -> ConfigFile {
        ConfigFile {
            origin: self.origin,
            hooks_folder: self.hooks_folder().to_owned(),
            path: self.path,
            bytes: self.bytes,
            layers: parts.layers,
            scripts: parts.scripts,
            concurrency: parts.concurrency,
            distrust: self.distrust.or(parts.distrust),
            safe: self.safe,
            inherited: self.inherited,
        }
    }
}
