//! Which configuration files there are, and what they hold.

use super::diagnostic::Diagnostic;
use super::document::{MAX_CONFIG_BYTES, Span};
use super::layers::{self, Composed, LOCAL_FILE, ONE_LINE_FILE, Opened, Source};
use super::model::Hook;
use super::parse::parse_layers;
use crate::project::{Project, UserFolders};
use crate::sys::{self, OpenFault, OpenMode, Owner};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Whose a configuration file is, which decides what it takes to run its hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the user's own folders: what the user put there, the user wants.
    User,
    /// In the project, or named with `--config`: runs only once the user trusted its content.
    Project,
}

/// One configuration file that was found.
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
    /// Why it cannot be relied on, whatever it holds: another owner, or others may write to it.
    pub distrust: Option<String>,
}

/// A hook and the file it came from.
#[derive(Clone, Debug)]
pub struct LoadedHook {
    /// Index into [`Loaded::files`].
    pub file: usize,
    /// The hook.
    pub hook: Hook,
}

/// Every hook there is, in the order they run.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The files, the user's before the project's.
    pub files: Vec<ConfigFile>,
    /// Their hooks, in file order.
    pub hooks: Vec<LoadedHook>,
    /// What is wrong with the files. A file with an error has no hooks here.
    pub problems: Vec<Diagnostic>,
}

impl Loaded {
    /// The file a hook came from.
    pub fn file_of(&self, hook: &LoadedHook) -> &ConfigFile {
        &self.files[hook.file]
    }

    /// The configuration of the project, or the one named with `--config`.
    pub fn project_file(&self) -> Option<&ConfigFile> {
        self.files.iter().find(|file| file.origin == Origin::Project)
    }

    /// The path of the file that a place of `file` is in.
    pub fn path_of(&self, file: usize, span: Span) -> &Path {
        self.files[file].path_of(span)
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
        layers::compose(&self.path, &self.bytes, &mut open, &mut Vec::new())
    }
}

/// Finds and reads the configuration: the user's files, then `explicit` (`--config`) or the project's.
///
/// A file that is absent is no problem, unless it was named explicitly.
pub fn load(project: &Project, user: &UserFolders, explicit: Option<&Path>) -> Loaded {
    let mut loaded = Loaded::default();
    let mut seen = Vec::new();
    let own = [
        user.config.as_ref().map(|folder| folder.join("hooks.yaml")),
        user.home.as_ref().map(|home| home.join(".flowspec/hooks/hooks.yaml")),
    ];
    for path in own.into_iter().flatten() {
        let opened = open_anywhere(&path);
        add(&mut loaded, &mut seen, (Origin::User, false), path, opened);
    }
    match explicit {
        Some(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            match open_anywhere(&path) {
                Err(OpenFault::Missing) => {
                    let missing = Diagnostic::error(&path, None, "missing-file", "there is no such file");
                    loaded.problems.push(missing.help("give the path of a hooks.yaml"));
                }
                opened => add(&mut loaded, &mut seen, (Origin::Project, true), path, opened),
            }
        }
        None => add_project(&mut loaded, &mut seen, project),
    }
    loaded
}

fn add_project(loaded: &mut Loaded, seen: &mut Vec<(u64, u64)>, project: &Project) {
    let names = project.layout().config_files();
    if names.is_empty() {
        return;
    }
    let Ok(root) = sys::open_folder(project.root()) else { return };
    for name in names {
        match sys::open_beneath(&root, Path::new(name), OpenMode::File) {
            Err(OpenFault::Missing) => {}
            opened => {
                add(loaded, seen, (Origin::Project, false), project.root().join(name), opened);
                return;
            }
        }
    }
}

fn open_anywhere(path: &Path) -> Result<File, OpenFault> {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return Err(OpenFault::Missing) };
    // A user may keep the file elsewhere and link to it; what it may not be is a device or a pipe.
    let target = path.canonicalize().unwrap_or_else(|_| folder.join(name));
    let Some((folder, name)) = target.parent().zip(target.file_name()) else {
        return Err(OpenFault::Wrong("a folder"));
    };
    sys::open_beneath(&sys::open_folder(folder)?, Path::new(name), OpenMode::File)
}

fn add(
    loaded: &mut Loaded,
    seen: &mut Vec<(u64, u64)>,
    (origin, named): (Origin, bool),
    path: PathBuf,
    opened: Result<File, OpenFault>,
) {
    let unreadable =
        |why: String| Diagnostic::error(&path, None, "unreadable", format!("the file cannot be read: {why}"));
    let file = match opened {
        Ok(file) => file,
        Err(OpenFault::Missing) => return,
        Err(fault) => return loaded.problems.push(unreadable(fault.to_string())),
    };
    let (owner, bytes) =
        match Owner::of_open(&file).and_then(|owner| Ok((owner, sys::read_capped(&file, MAX_CONFIG_BYTES)?))) {
            Ok(read) => read,
            Err(error) => return loaded.problems.push(unreadable(error.to_string())),
        };
    // A file named on the command line is read as it stands.
    let local = origin == Origin::Project && !named;
    // The home folder's hooks are the user's, also when the home folder is itself the project.
    if seen.contains(&owner.identity) {
        return;
    }
    seen.push(owner.identity);
    let index = loaded.files.len();
    let hooks_folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut distrust = owner.distrust().map(|why| format!("{} {why}", path.display()));
    let mut open = |name: &Path| {
        if [LOCAL_FILE, ONE_LINE_FILE].contains(&name.to_str().unwrap_or_default()) && !local {
            return Opened::Missing;
        }
        match open_layer(&hooks_folder, name) {
            Ok((owner, bytes)) => {
                let why = owner.distrust().map(|why| format!("{} {why}", hooks_folder.join(name).display()));
                distrust = distrust.take().or(why);
                Opened::Found(bytes)
            }
            Err(OpenFault::Missing) => Opened::Missing,
            Err(fault) => Opened::Refused(fault.to_string()),
        }
    };
    let (config, mut sources) = parse_layers(&path, &bytes, &mut open, &mut loaded.problems);
    if let Some(config) = config {
        loaded.hooks.extend(config.hooks.into_iter().map(|hook| LoadedHook { file: index, hook }));
    }
    let layers = if sources.is_empty() { sources } else { sources.split_off(1) };
    loaded.files.push(ConfigFile { origin, path, hooks_folder, bytes, layers, distrust });
}

/// Opens a file of the hooks folder without following a link out of it.
fn open_layer(folder: &Path, name: &Path) -> Result<(Owner, Vec<u8>), OpenFault> {
    let file = sys::open_beneath(&sys::open_folder(folder)?, name, OpenMode::File)?;
    let owner = Owner::of_open(&file).map_err(OpenFault::Io)?;
    Ok((owner, sys::read_capped(&file, MAX_CONFIG_BYTES).map_err(OpenFault::Io)?))
}
