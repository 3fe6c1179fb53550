//! Where a project begins, and where knockon keeps things: in the project, and in the user's folders.
//!
//! Reads folder names only; what is in the files is for other rooms.

use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
}

impl UserFolders {
    /// Reads the folders from environment variables. A relative path counts as unset, as the
    /// specification asks.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME");
        let under = |name: &str, fallback: &str| {
            let base = folder(name).or_else(|| Some(home.as_ref()?.join(fallback)))?;
            Some(base.join("knockon"))
        };
        UserFolders {
            config: under("XDG_CONFIG_HOME", ".config"),
            state: under("XDG_STATE_HOME", ".local/state"),
            cache: under("XDG_CACHE_HOME", ".cache"),
            home,
        }
    }

    /// The folders of the user who runs this process.
    pub fn of_this_process() -> Self {
        Self::from_environment(|name| std::env::var_os(name))
    }
}

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
}

impl Project {
    /// Finds the project that `start` is in: the nearest folder upward that has `.flowspec/` or
    /// `.knockon/`, else the nearest with `.git`, else `start` itself.
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
        let here = std::env::current_dir()?;
        // The system tells it without links (getcwd(2)), unless it lies outside of what this process can see.
        if here.is_absolute() { Self::upward(&here, home) } else { Self::discover(&here, home) }
    }

    fn upward(start: &Path, home: Option<&Path>) -> io::Result<Self> {
        // By what the paths lead to: a home folder may be reached by a link.
        let identity = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let is_home =
            |folder: &Path| home.is_some_and(|home| identity(home).is_some_and(|of| identity(folder) == Some(of)));
        for folder in start.ancestors() {
            let layout = layout_of(folder)?;
            if layout != Layout::Bare && (folder == start || !is_home(folder)) {
                return Self::with_layout(folder.to_owned(), layout);
            }
        }
        let root = start.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(start).to_owned();
        let layout = layout_of(&root)?;
        Self::with_layout(root, layout)
    }

    fn with_layout(root: PathBuf, layout: Layout) -> io::Result<Self> {
        let has_second = layout == Layout::Flowspec && is_folder(&root.join(".knockon"))?;
        Ok(Project { root, layout, has_second })
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
        let layout = layout_of(&root)?;
        Self::with_layout(root, layout)
    }

    /// The real path of the project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The root as text, for an event; bytes that are not UTF-8 are replaced.
    pub fn root_text(&self) -> String {
        self.root.to_string_lossy().into_owned()
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

    /// A name for this project's files in the user's state folder.
    pub fn key(&self) -> String {
        crate::text::hex(&blake3::hash(self.root.as_os_str().as_encoded_bytes()).as_bytes()[..16])
    }
}

/// # Errors
/// It cannot be known: a project whose disk fails must not pass for one without hooks.
fn layout_of(root: &Path) -> io::Result<Layout> {
    Ok(if is_folder(&root.join(".flowspec"))? {
        Layout::Flowspec
    } else if is_folder(&root.join(".knockon"))? {
        Layout::Knockon
    } else {
        Layout::Bare
    })
}

fn is_folder(path: &Path) -> io::Result<bool> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) => match Errno::from_io_error(&error) {
            // A link that leads to itself, and a name that is too long, lead nowhere.
            Some(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NAMETOOLONG) => {
                Ok(false)
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
