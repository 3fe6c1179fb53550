//! Which configuration files there are: the user's, the project's, and those of the projects around it.

use super::diagnostic::Diagnostic;
use super::document::MAX_CONFIG_BYTES;
use super::inherited::Inherited;
use super::layers;
use super::load::{Found, Origin};
use super::safe::SafeDirectories;
use crate::project::{Project, UserFolders};
use crate::sys::{self, OpenFault, OpenFile, OpenMode};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files that there are, and those that cannot be read.
pub fn find(project: &Project, user: &UserFolders, explicit: Option<(&Path, Origin)>) -> Located {
    let mut search = Search { safe: SafeDirectories::of(user), ..Search::default() };
    let own = [
        user.config.as_ref().map(|folder| folder.join("hooks.yaml")),
        user.home.as_ref().map(|home| home.join(".flowspec/hooks/hooks.yaml")),
    ];
    for path in own.into_iter().flatten() {
        let opened = open_anywhere(&path);
        search.add((Origin::User, &[], None), path, opened);
    }
    match explicit {
        Some((path, origin)) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            match open_anywhere(&path) {
                Err(OpenFault::Missing) => {
                    let missing = Diagnostic::error(&path, None, "missing-file", "there is no such file");
                    search.located.problems.push(missing.help("give the path of a hooks.yaml"));
                }
                // A file named on the command line is read as it stands.
                opened => search.add((origin, &[], None), path, opened),
            }
        }
        None => search.add_projects(project, user),
    }
    search.located
}

/// A file of a project without a configuration that looks like one and lies where none is read, and the path that it
/// should have below the project root.
pub fn misplaced(project: &Project) -> Option<(PathBuf, &'static str)> {
    const PLACES: [&str; 7] = [
        "hooks.yaml",
        "hooks.yml",
        ".flowspec/hooks.yaml",
        ".flowspec/hooks.yml",
        ".knockon/Hooks.yaml",
        ".knockon/hook.yaml",
        ".knockon/hooks/hooks.yaml",
    ];
    if project.has_hooks_file() {
        return None;
    }
    let place = PLACES.iter().find(|place| project.root().join(place).is_file())?;
    let right = if place.starts_with(".flowspec") { ".flowspec/hooks/hooks.yaml" } else { ".knockon/hooks.yaml" };
    Some((project.root().join(place), right))
}

/// Where the configuration is.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// The files that there are, the user's before the project's.
    pub found: Vec<Found>,
    /// What is wrong with files that cannot be read.
    pub problems: Vec<Diagnostic>,
    /// A second configuration of the project, which is not read because the first is.
    pub ignored: Option<Found>,
}

/// Whose a file is, what is laid over it, and the outer project it is inherited from.
type Whose = (Origin, &'static [&'static str], Option<Arc<Inherited>>);

/// The files found so far.
#[derive(Default)]
struct Search {
    located: Located,
    safe: SafeDirectories,
    /// Their inodes.
    seen: Vec<(u64, u64)>,
}

impl Search {
    /// The project's configuration, and before it those that it inherits.
    fn add_projects(&mut self, project: &Project, user: &UserFolders) {
        let first = self.located.found.len();
        self.add_project(project, None);
        let mut inner = project.clone();
        while self.located.found.get(first).is_some_and(|found| layers::inherits(&found.bytes)) {
            let outer = match Inherited::around(&inner, project, user) {
                Ok(outer) => Arc::new(outer),
                Err(why) => {
                    let path = &self.located.found[first].path;
                    let missing = Diagnostic::error(path, None, Diagnostic::NOTHING_TO_INHERIT, why);
                    return self.located.problems.push(missing.help("remove `inherit`, or set the outer project up"));
                }
            };
            let (before, ignored) = (self.located.found.len(), self.located.ignored.take());
            let problems = self.located.problems.len();
            self.add_project(&outer.project, Some(&outer));
            self.located.ignored = ignored;
            if self.located.found.len() == before {
                if self.located.problems.len() == problems {
                    let path = &self.located.found[first].path;
                    let outer = outer.project.root().display();
                    let message =
                        format!("`inherit: true`, but what {outer} has is a link to hooks that are read already");
                    let missing = Diagnostic::error(path, None, Diagnostic::NOTHING_TO_INHERIT, message);
                    self.located.problems.push(missing.help("make it a file of its own, or remove `inherit`"));
                }
                return;
            }
            self.located.found[first..].rotate_right(1);
            inner = outer.project.clone();
        }
    }

    fn add_project(&mut self, project: &Project, inherited: Option<&Arc<Inherited>>) {
        let mut folders = project.config_files().peekable();
        if folders.peek().is_none_or(|names| names.is_empty()) {
            return;
        }
        let root = match sys::open_folder(project.root()) {
            Ok(root) => root,
            Err(fault) => {
                let message = format!("the folder cannot be read: {fault}");
                let problem = Diagnostic::error(project.root(), None, "unreadable", message);
                return self.located.problems.push(problem.help("give yourself the right to read it"));
            }
        };
        let mut is_read = false;
        for names in folders {
            for name in names {
                let path = project.root().join(name);
                match sys::open_beneath(&root, Path::new(name), OpenMode::File) {
                    Err(OpenFault::Missing) if !is_read && path.symlink_metadata().is_ok() => {
                        let message = "the file is a link to a file that does not exist";
                        let problem = Diagnostic::error(&path, None, "dangling-link", message);
                        self.located.problems.push(problem.help("make it a file, or remove it"));
                        is_read = true;
                        break;
                    }
                    Err(OpenFault::Missing) => {}
                    Ok(file) if is_read => {
                        // What it says is looked at only to say that it is ignored.
                        let bytes = file.read_capped(MAX_CONFIG_BYTES).unwrap_or_default();
                        self.located.ignored = Some(Found {
                            origin: Origin::Project,
                            path,
                            bytes,
                            beside: &Found::BESIDE,
                            withholds: true,
                            distrust: None,
                            safe: self.safe.clone(),
                            inherited: None,
                        });
                        return;
                    }
                    Err(_) if is_read => return,
                    opened => {
                        self.add((Origin::Project, &Found::BESIDE, inherited.cloned()), path, opened);
                        is_read = true;
                        break;
                    }
                }
            }
        }
    }

    fn add(&mut self, (origin, beside, inherited): Whose, path: PathBuf, opened: Result<OpenFile, OpenFault>) {
        let read = |file: OpenFile| Ok((file.owner(), file.read_capped(MAX_CONFIG_BYTES)?));
        let (owner, bytes) = match opened.and_then(|file| read(file).map_err(OpenFault::Io)) {
            Ok(read) => read,
            Err(OpenFault::Missing) => return,
            Err(fault) => {
                let message = format!("the file cannot be read: {fault}");
                return self.located.problems.push(Diagnostic::error(&path, None, "unreadable", message));
            }
        };
        // The home folder's hooks are the user's, also when the home folder is itself the project.
        if self.seen.contains(&owner.identity) {
            return;
        }
        self.seen.push(owner.identity);
        if beside.is_empty() && layers::inherits(&bytes) {
            let message = "`inherit` has no effect here: it is for the hooks.yaml of a project inside another";
            let (message, help) = match origin {
                Origin::Commit => (
                    "`inherit` has no effect with --config-from-ref: the outer hooks are not read from the commit",
                    "use --trust-hash, which covers both, or emit in the outer project",
                ),
                Origin::User | Origin::Project => (message, "remove it; what it would add does not run"),
            };
            let problem = Diagnostic::error(&path, None, Diagnostic::NOTHING_TO_INHERIT, message);
            self.located.problems.push(problem.help(help));
        }
        let (safe, distrust, withholds) = (self.safe.clone(), None, false);
        let mut found = Found { origin, path, bytes, beside, withholds, distrust, safe, inherited };
        found.distrust = found.distrust_of(&found.path, owner);
        self.located.found.push(found);
    }
}

fn open_anywhere(path: &Path) -> Result<OpenFile, OpenFault> {
    match sys::open_straight(path) {
        Err(OpenFault::Outside) => {}
        opened => return opened,
    }
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return Err(OpenFault::Missing) };
    // A user may keep the file elsewhere and link to it; what it may not be is a device or a pipe.
    let target = path.canonicalize().unwrap_or_else(|_| folder.join(name));
    let Some((folder, name)) = target.parent().zip(target.file_name()) else {
        return Err(OpenFault::Wrong("a folder"));
    };
    sys::open_beneath(&sys::open_folder(folder)?, Path::new(name), OpenMode::File)
}
