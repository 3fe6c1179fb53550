//! What a hook sees of the home folder: the project, tool chains and their caches, what it declares, and nothing else.
//!
//! An empty folder is put over the home folder, and what stays visible is mounted in it: what that costs does not depend on
//! how many files there are, and a place of keys that nobody has heard of is not seen.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Tool chains, their caches and settings without secrets, below the home folder.
const SHOWN: &[&str] = &[
    ".asdf",
    ".bun",
    ".cabal",
    ".cache",
    ".cargo",
    ".conda",
    ".config/git/attributes",
    ".config/git/config",
    ".config/git/ignore",
    ".config/mise",
    ".deno",
    ".dotnet",
    ".editorconfig",
    ".elan",
    ".gem",
    ".ghcup",
    ".gitattributes",
    ".gitconfig",
    ".gitignore",
    ".gitignore_global",
    ".go",
    ".goenv",
    ".gradle/caches",
    ".gradle/wrapper",
    ".hex",
    ".inputrc",
    ".ivy2/cache",
    ".jenv",
    ".julia",
    ".linuxbrew",
    ".local/bin",
    ".local/lib",
    ".local/pipx",
    ".local/share/fnm",
    ".local/share/mise",
    ".local/share/pipx",
    ".local/share/pnpm",
    ".local/share/pypoetry",
    ".local/share/rtx",
    ".local/share/uv",
    ".local/share/virtualenv",
    ".local/share/virtualenvs",
    ".m2/repository",
    ".m2/wrapper",
    ".mix",
    ".mypy_cache",
    ".n",
    ".node-gyp",
    ".nodenv",
    ".npm",
    ".nuget/packages",
    ".nvm",
    ".nvmrc",
    ".opam",
    ".phpenv",
    ".pixi",
    ".pnpm-store",
    ".pub-cache",
    ".pyenv",
    ".python-version",
    ".rbenv",
    ".ruby-version",
    ".rustup",
    ".rvm",
    ".rye",
    ".sbt",
    ".sdkman",
    ".stack",
    ".swiftpm",
    ".terminfo",
    ".tool-versions",
    ".virtualenvs",
    ".volta",
    ".yarn",
    "go",
    "miniconda3",
    "anaconda3",
    "miniforge3",
];
/// The most folders of `PATH` that are looked at.
const MOST_FOLDERS: usize = 64;

/// What is visible of a home folder.
#[derive(Debug)]
pub(super) struct View {
    /// The home folder, links followed.
    pub(super) home: PathBuf,
    /// What stays visible of it, to be read: each once, none below another; and whether it is a folder.
    pub(super) shown: Vec<(PathBuf, bool)>,
}

impl View {
    /// The view of `home` with `used`, and with the folders of programs that `search` names (`PATH`); `keys` are not shown
    /// by themselves. Nothing where the home folder cannot be hidden: where there is none, or where it is no more than a part
    /// of what is used.
    pub(super) fn of(home: &Path, used: &[&Path], keys: &[PathBuf], search: &OsStr) -> Option<Self> {
        let home = home.canonicalize().ok()?;
        if home.parent().is_none() || used.iter().any(|path| home.starts_with(path)) {
            return None;
        }
        let usual = SHOWN.iter().map(|name| home.join(name));
        let folders =
            std::env::split_paths(search).take(MOST_FOLDERS).filter(|path| path.starts_with(&home) && path.is_dir());
        let programs = folders.filter_map(|path| tool_chain(&path, &home));
        let mut shown: Vec<PathBuf> = Vec::new();
        for path in usual.chain(programs) {
            // By the name that programs use, and where it lies.
            if path.symlink_metadata().is_err() {
                continue;
            }
            let Ok(real) = path.canonicalize() else { continue };
            if !keys.iter().any(|key| real.starts_with(key)) && !home.starts_with(&real) {
                let is_link = real != path;
                shown.push(path);
                shown.extend(Some(real).filter(|real| is_link && real.starts_with(&home)));
            }
        }
        shown.extend(used.iter().map(|path| path.to_path_buf()).filter(|path| path.starts_with(&home)));
        shown.sort();
        shown.dedup();
        let all = shown.clone();
        shown.retain(|path| !all.iter().any(|other| other != path && path.starts_with(other)));
        let shown = shown.into_iter().map(|path| {
            let is_folder = path.is_dir();
            (path, is_folder)
        });
        Some(View { shown: shown.collect(), home })
    }

    /// Whether there is a place for a mount at `path`: outside of the home folder, or in what is shown of it.
    pub(super) fn has(&self, path: &Path) -> bool {
        !path.starts_with(&self.home) || self.shown.iter().any(|(shown, _)| path.starts_with(shown))
    }
}

/// The tool chain whose programs are in `folder`: the folder above a `bin`, unless all kinds of things are in that.
fn tool_chain(folder: &Path, home: &Path) -> Option<PathBuf> {
    let folder = folder.strip_prefix(home).ok().filter(|below| !below.as_os_str().is_empty()).map(|_| folder)?;
    let above = folder.parent().filter(|_| folder.ends_with("bin"));
    let above = above.filter(|above| *above != home && !above.ends_with(".local") && !above.ends_with(".config"));
    Some(above.unwrap_or(folder).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn tool_chains_and_what_is_used_are_shown_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let home = base.join("home");
        for made in [
            ".cargo/bin",
            ".ssh",
            ".secret",
            "src/project",
            "venv/bin",
            "venv/lib",
            "bin",
            ".local/bin",
            ".local/share/keyrings",
        ] {
            fs::create_dir_all(home.join(made)).unwrap();
        }
        fs::write(home.join(".gitconfig"), "").unwrap();
        let view = |used: &[&Path]| {
            let search = ["venv/bin", "bin", ".local/bin", ".secret/bin"].map(|name| home.join(name));
            let search = std::env::join_paths(search).unwrap();
            View::of(&home, used, &[home.join(".ssh")], &search)
        };
        let found = view(&[&home.join("src/project")]).unwrap();
        let names: Vec<_> =
            found.shown.iter().map(|(path, _)| path.strip_prefix(&home).unwrap().display().to_string()).collect();
        assert_eq!(names, [".cargo", ".gitconfig", ".local/bin", "bin", "src/project", "venv"]);
        assert_eq!(found.shown.iter().filter(|(_, is_folder)| !is_folder).count(), 1);
        assert!(found.has(&home.join("venv/lib")) && found.has(Path::new("/etc")) && !found.has(&home.join(".ssh")));
        assert!(view(&[&home]).is_none() && view(&[&base]).is_none());
    }
}
