//! Where a project begins, and where knockon keeps things: in the project, and in the user's folders.
//!
//! Reads folder names only; what is in the files is for other rooms.

mod key;
mod worktree;

pub use key::{KEY_BYTES, UserKey};
pub use worktree::{linked_repository, small_file};

use crate::sys;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, why) = (self.root.display(), &self.why);
        write!(
            f,
            "the hooks in {root} are ignored: {why}; if the files are yours, `knockon doctor --fix` repairs their modes; if the \
             hooks are meant all the same, name the folder under `safe_directories` in your settings.yaml (`--project-root {root}` \
             looks at it once)"
        )
    }
}

/// The user's own folders, after the XDG base directory specification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFolders {
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME/knockon`, else `~/.config/knockon`.
    pub config: Option<PathBuf>,
    /// `$XDG_STATE_HOME/knockon`, else `~/.local/state/knockon`.
    pub state: Option<PathBuf>,
    /// `$XDG_CACHE_HOME/knockon`, else `~/.cache/knockon`.
    pub cache: Option<PathBuf>,
    /// Variables of these that lead into the project, and count as unset: a project could bring its own trust with it.
    pub ignored: Vec<&'static str>,
}

const HOME: &str = "HOME";
/// The variables of the XDG base directory specification that are read.
const CONFIG: &str = "XDG_CONFIG_HOME";
const STATE: &str = "XDG_STATE_HOME";
const CACHE: &str = "XDG_CACHE_HOME";

impl UserFolders {
    /// Reads the folders from environment variables. A relative path counts as unset, as the
    /// specification asks.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder(HOME);
        let under = |name: &str, fallback: &str| {
            let base = folder(name).or_else(|| Some(home.as_ref()?.join(fallback)))?;
            Some(base.join("knockon"))
        };
        UserFolders {
            config: under(CONFIG, ".config"),
            state: under(STATE, ".local/state"),
            cache: under(CACHE, ".cache"),
            ignored: Vec::new(),
            home,
        }
    }

    /// The folders of the user who runs this process. A variable of XDG that leads into the project of the current folder counts
    /// as unset, unless the home folder lies there, too: a project's `.envrc` could set it. For root with the home folder of another user, as under `sudo`, they
    /// are root's own: what root made there, that user could not use.
    pub fn of_this_process() -> Self {
        // Each is looked for once: that is a walk over all of the environment.
        let values = [HOME, CONFIG, STATE, CACHE].map(|name| (name, std::env::var_os(name)));
        let variable = |name: &str| values.iter().find(|(known, _)| *known == name)?.1.clone();
        let root = sys::user_id() == 0;
        let home = root.then(|| variable(HOME).map(PathBuf::from)).flatten();
        let of_other =
            home.filter(|home| home.is_absolute()).filter(|home| home.metadata().is_ok_and(|of| of.uid() != 0));
        let set = values.iter().skip(1).filter(|(_, value)| value.is_some());
        let mut ignored: Vec<&'static str> = set.map(|(name, _)| *name).collect();
        if !ignored.is_empty() {
            let home = variable(HOME).map(PathBuf::from).and_then(|home| home.canonicalize().ok());
            let projects = projects_of_here(home.as_deref());
            ignored.retain(|name| {
                let path = PathBuf::from(variable(name).unwrap_or_default());
                let place = path.canonicalize().ok().or_else(|| sys::resolve(&path));
                place.is_some_and(|path| projects.iter().any(|project| path.starts_with(project)))
            });
        }
        let variable = |name: &str| if ignored.contains(&name) { None } else { variable(name) };
        let folders = match of_other {
            None => Self::from_environment(variable),
            Some(theirs) => Self::from_environment(|name| match name {
                HOME => Some(sys::home_of_root().into()),
                _ => variable(name).filter(|value| !Path::new(value).starts_with(&theirs)),
            }),
        };
        UserFolders { ignored, ..folders }
    }

    /// What to report of variables that lead into the project.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.ignored.iter().map(|name| {
            format!("{name} leads into the project and is ignored: what a project brings with it says nothing about trust; unset it")
        })
    }
}

/// The folders from the current one upward that are a project or a repository, and that the home folder does not lie in.
fn projects_of_here(home: Option<&Path>) -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let is_project = |folder: &&Path| {
        [".git", ".knockon", ".flowspec"].iter().any(|name| folder.join(name).symlink_metadata().is_ok())
            && home.is_none_or(|home| !home.starts_with(folder))
    };
    here.ancestors().filter(is_project).map(Path::to_owned).collect()
}

/// Where the tokens for the team server are, below the user's state folder.
pub const CREDENTIALS: &str = "sync/credentials.json";

/// Which tool's folder a project has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `.flowspec/`, with hooks in `.flowspec/hooks/`.
    Flowspec,
    /// `.knockon/`, with hooks right in it.
    Knockon,
    /// Neither: there are no project hooks, and the audit log is kept in the user's state folder.
    Bare,
}

impl Layout {
    /// The hooks folder below the project root.
    pub fn hooks_folder(self) -> Option<&'static str> {
        match self {
            Layout::Flowspec => Some(".flowspec/hooks"),
            Layout::Knockon => Some(".knockon"),
            Layout::Bare => None,
        }
    }

    /// The hooks folders there may be, below a project's root.
    pub const HOOKS_FOLDERS: &[&str] = &[".flowspec/hooks", ".knockon"];

    /// Every name that a project's configuration may have.
    pub const CONFIG_FILES: &[&str] =
        &[".flowspec/hooks/hooks.yaml", ".flowspec/hooks/hooks.yml", ".knockon/hooks.yaml", ".knockon/hooks.yml"];

    /// The names a project's configuration may have, in the order they are tried.
    pub fn config_files(self) -> &'static [&'static str] {
        match self {
            Layout::Flowspec => &[".flowspec/hooks/hooks.yaml", ".flowspec/hooks/hooks.yml"],
            Layout::Knockon => &[".knockon/hooks.yaml", ".knockon/hooks.yml"],
            Layout::Bare => &[],
        }
    }
}

/// A project: a folder, and where its hooks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
    layout: Layout,
    /// Whether there is a `.knockon/` beside a `.flowspec/`.
    has_second: bool,
    /// Where it was looked for.
    start: PathBuf,
    /// The working folder, where that was deleted; empty when its name is not known.
    deleted: Option<PathBuf>,
    /// The nearest folder of hooks upward, where that is not this user's: it is neither read nor written.
    refused: Option<Refused>,
}

/// A folder of hooks that is not this user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The project's folder.
    pub root: PathBuf,
    /// Why: whose it, or a folder on the way, is, or who may write to it.
    pub why: String,
}

impl Project {
    /// Finds the project that `start` is in: the nearest folder upward that has hooks in `.flowspec/`
    /// or `.knockon/`, else the nearest that has one of these folders, else the nearest with `.git`, else `start` itself.
    ///
    /// The home folder's own `.flowspec/` holds the user's hooks and makes no project of everything
    /// below it.
    ///
    /// # Errors
    /// `start` does not exist or cannot be read.
    pub fn discover(start: &Path, home: Option<&Path>) -> io::Result<Self> {
        Self::upward(&start.canonicalize()?, home)
    }

    /// [`Project::discover`] for the current folder.
    ///
    /// # Errors
    /// There is none any more, or it cannot be read.
    pub fn discover_here(home: Option<&Path>) -> io::Result<Self> {
        let here = match std::env::current_dir() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::of_deleted_folder()),
            here => here?,
        };
        // The system tells it without links (getcwd(2)), unless it lies outside of what this process can see.
        if here.is_absolute() { Self::upward(&here, home) } else { Self::discover(&here, home) }
    }

    /// Stands for the project of a folder that was deleted: none, in the nearest folder above that is left. An event is made
    /// there all the same, and the user's own hooks run.
    fn of_deleted_folder() -> Self {
        let named = sys::name_of_deleted_folder().or_else(|| std::env::var_os("PWD").map(PathBuf::from));
        let named = named.filter(|path| path.is_absolute());
        let left = named.iter().flat_map(|path| path.ancestors()).find_map(|path| path.canonicalize().ok());
        let root = left.unwrap_or_else(|| PathBuf::from("/"));
        let deleted = Some(named.unwrap_or_default());
        Project { start: root.clone(), root, layout: Layout::Bare, has_second: false, refused: None, deleted }
    }

    fn upward(start: &Path, home: Option<&Path>) -> io::Result<Self> {
        // By what the paths lead to: a home folder may be reached by a link.
        let identity = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let is_home =
            |folder: &Path| home.is_some_and(|home| identity(home).is_some_and(|of| identity(folder) == Some(of)));
        // The nearest with hooks; else the nearest with a folder for them, such as one that has nothing but a log.
        let mut without_hooks: Option<(&Path, Layout)> = None;
        let mut refused = None;
        for folder in start.ancestors() {
            let (layout, marker) = layout_of(folder)?;
            let Some(marker) = marker.filter(|_| folder == start || !is_home(folder)) else { continue };
            if let Some(why) = Self::distrust(start, folder, (layout, &marker)) {
                refused = Some(Refused { root: folder.to_owned(), why });
                break;
            }
            let project = Self::with_layout(folder, layout, start)?;
            if project.has_hooks_file() {
                return Ok(project);
            }
            without_hooks.get_or_insert((folder, layout));
        }
        let project = match without_hooks {
            Some((folder, layout)) => Self::with_layout(folder, layout, start)?,
            None => {
                let below = |folder: &&Path| refused.as_ref().is_none_or(|refused: &Refused| **folder != *refused.root);
                let mut folders = start.ancestors().take_while(below);
                let root = folders.find(|folder| folder.join(".git").exists()).unwrap_or(start);
                let layout = if refused.is_some() { Layout::Bare } else { layout_of(root)?.0 };
                Self::with_layout(root, layout, start)?
            }
        };
        Ok(Project { refused, ..project })
    }

    /// Why a project's folder, or one from `start` up to it, is not this user's (git's rule of `safe.directory`).
    fn distrust(start: &Path, root: &Path, (layout, marker): (Layout, &Metadata)) -> Option<String> {
        let own = sys::user_id();
        let judge = |folder: &Path, of: &Metadata| {
            let shown = folder.display();
            if of.uid() != own {
                return Some(format!("{shown} belongs to user {}, not to you (user {own})", of.uid()));
            }
            // In a folder with the sticky bit only owners rename and remove.
            (of.mode() & 0o1002 == 0o002).then(|| format!("{shown} can be written by everyone"))
        };
        let mut way = start.ancestors().take_while(|folder| *folder != root).chain([root]);
        let on_the_way = way.find_map(|folder| judge(folder, &folder.metadata().ok()?));
        let name = if layout == Layout::Flowspec { ".flowspec" } else { ".knockon" };
        on_the_way.or_else(|| judge(&root.join(name), marker))
    }

    fn with_layout(root: &Path, layout: Layout, start: &Path) -> io::Result<Self> {
        let has_second = layout == Layout::Flowspec && folder(&root.join(".knockon"))?.is_some();
        Ok(Project { root: root.to_owned(), layout, has_second, start: start.to_owned(), refused: None, deleted: None })
    }

    /// The same project as if it had the folder of this layout.
    #[must_use]
    pub fn with_folder(&self, layout: Layout) -> Self {
        Project { layout, ..self.clone() }
    }

    /// Whether one of the files is there that may be its configuration, whatever it is.
    pub fn has_hooks_file(&self) -> bool {
        let mut names = self.config_files().flatten();
        names.any(|name| self.root.join(name).symlink_metadata().is_ok())
    }

    /// Why nothing may be written here: this very folder has hooks that are not this user's.
    pub fn refused_here(&self) -> Option<&Refused> {
        self.refused().filter(|refused| refused.root == self.root)
    }

    /// The folders upward from here as the caller's shell names them (`PWD`), where a link leads here by another way: a folder that was
    /// exchanged for a link lies in no project any more.
    pub fn named_ancestors(&self) -> Vec<PathBuf> {
        let named = std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
        let leads_here =
            |path: &PathBuf| *path != self.start && path.canonicalize().is_ok_and(|real| real == self.start);
        let named = named.filter(leads_here);
        named.iter().flat_map(|path| path.ancestors().skip(1).map(Path::to_owned)).collect()
    }

    /// The folder of hooks that was refused on the way to this project.
    pub fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    /// The working folder, where that was deleted; empty when its name is not known.
    pub fn deleted(&self) -> Option<&Path> {
        self.deleted.as_deref()
    }

    /// Where the project was looked for: its root, or a folder below.
    pub fn start(&self) -> &Path {
        &self.start
    }

    /// The folders from where the project was looked for up to its root, which is left out.
    pub fn below_root(&self) -> impl Iterator<Item = &Path> + Clone {
        self.start.ancestors().take_while(|folder| *folder != self.root)
    }

    /// The project that this one lies in: the next folder upward with hooks, if there is one.
    pub fn outer(&self, home: Option<&Path>) -> Option<Project> {
        self.around(home).filter(Self::has_hooks_file)
    }

    /// What the folder above the root is in: the next project upward, or a folder without hooks.
    pub fn around(&self, home: Option<&Path>) -> Option<Project> {
        Self::upward(self.root.parent()?, home).ok()
    }

    /// The project to set up from here: the nearest folder upward with `.flowspec/`, `.knockon/` or `.git`, though hooks be
    /// found only further up.
    ///
    /// # Errors
    /// A folder on the way cannot be read.
    pub fn for_setup(self) -> io::Result<Self> {
        for folder in self.below_root() {
            if folder.join(".git").exists() || layout_of(folder)?.1.is_some() {
                return Self::at(folder);
            }
        }
        Ok(self)
    }

    /// Takes `root` as the project, as `--project-root` asks.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn at(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        let (layout, _) = layout_of(&root)?;
        Self::with_layout(&root, layout, &root)
    }

    /// The real path of the project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The root as text, for an event; bytes that are not UTF-8 are replaced.
    pub fn root_text(&self) -> String {
        self.root.to_string_lossy().into_owned()
    }

    /// Where it lies in its git repository: `packages/api`; empty at the top of it, and where there is none.
    pub fn place_in_repository(&self) -> String {
        let below = self.root.strip_prefix(self.top_of_repository());
        below.unwrap_or(Path::new("")).to_string_lossy().into_owned()
    }

    /// A path, absolute or of the project, as other tools of the git repository name it: below the top of that. One outside stays
    /// absolute.
    pub fn path_in_repository(&self, path: &Path) -> PathBuf {
        let path = self.root.join(path);
        path.strip_prefix(self.top_of_repository()).map(Path::to_owned).unwrap_or(path)
    }

    /// The top of the git repository that it lies in; its root where there is none.
    fn top_of_repository(&self) -> &Path {
        let is_top = |folder: &&Path| folder.join(".git").symlink_metadata().is_ok();
        self.root.ancestors().find(is_top).unwrap_or(&self.root)
    }

    /// Which tool's folder it has; `.flowspec/` where it has both.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The names its configuration may have, folder by folder in the order they are tried: the first that exists is
    /// read. One in a further folder is ignored then, and reported.
    pub fn config_files(&self) -> impl Iterator<Item = &'static [&'static str]> {
        let second = self.has_second.then_some(Layout::Knockon);
        std::iter::once(self.layout).chain(second).map(Layout::config_files)
    }

    /// What consent, queue and cursors go by: the worktrees of one git repository are one project. Of a project in a
    /// repository it is its place in the main worktree, of any other the real path. Links are followed.
    pub fn identity(&self) -> PathBuf {
        worktree::in_main(&self.root).unwrap_or_else(|| self.root.clone())
    }

    /// The same project in each other worktree of its git repository.
    pub fn in_other_worktrees(&self) -> Vec<PathBuf> {
        worktree::in_others(&self.root)
    }

    /// A name for this project's files in the user's state folder.
    pub fn key(&self) -> String {
        crate::text::hex(&blake3::hash(self.root.as_os_str().as_encoded_bytes()).as_bytes()[..16])
    }
}

/// # Errors
/// It cannot be known: a project whose disk fails must not pass for one without hooks.
fn layout_of(root: &Path) -> io::Result<(Layout, Option<Metadata>)> {
    if let Some(folder) = folder(&root.join(".flowspec"))? {
        return Ok((Layout::Flowspec, Some(folder)));
    }
    Ok(match folder(&root.join(".knockon"))? {
        Some(folder) => (Layout::Knockon, Some(folder)),
        None => (Layout::Bare, None),
    })
}

/// What there is to know of a folder; nothing where there is none.
fn folder(path: &Path) -> io::Result<Option<Metadata>> {
    match path.metadata() {
        Ok(metadata) => Ok(Some(metadata).filter(Metadata::is_dir)),
        Err(error) => match Errno::from_io_error(&error) {
            // A link that leads to itself, and a name that is too long, lead nowhere.
            Some(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NAMETOOLONG) => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_nearest_marker_upward() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let deep = root.join("outer/inner/src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        let found = |home: Option<&Path>| {
            let project = Project::discover(&deep, home).unwrap();
            (project.root().strip_prefix(&root).unwrap().to_owned(), project.layout())
        };
        assert_eq!(found(None), ("outer/inner/src/deep".into(), Layout::Bare));
        std::fs::create_dir_all(root.join("outer/.git")).unwrap();
        assert_eq!(found(None), ("outer".into(), Layout::Bare));
        std::fs::create_dir_all(root.join("outer/.flowspec")).unwrap();
        assert_eq!(found(None), ("outer".into(), Layout::Flowspec));
        assert_eq!(found(Some(&root.join("outer"))), ("outer".into(), Layout::Flowspec), "by its .git");
        std::fs::create_dir_all(root.join("outer/inner/.knockon")).unwrap();
        assert_eq!(found(None), ("outer/inner".into(), Layout::Knockon));
    }

    #[test]
    fn relative_xdg_folders_count_as_unset() {
        let folders = UserFolders::from_environment(|name| match name {
            "HOME" => Some("/home/me".into()),
            "XDG_STATE_HOME" => Some("state".into()),
            "XDG_CONFIG_HOME" => Some("/etc/me".into()),
            _ => None,
        });
        assert_eq!(folders.state, Some("/home/me/.local/state/knockon".into()));
        assert_eq!(folders.config, Some("/etc/me/knockon".into()));
    }
}
