//! Which feature is meant.

use super::KittyError;
use super::tasks::leading_id;
use crate::sys::{Folder, read_capped};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where features are, below the project.
const FEATURES: &str = "kitty-specs";
/// Where the worktrees of work packages are, below the project.
const WORKTREES: &str = ".worktrees";

/// Reads the id of a work package.
///
/// # Errors
/// It is none.
pub fn work_package_id(text: &str) -> Result<String, String> {
    match leading_id(text) {
        Some(id) if id.len() == text.len() => Ok(text.to_owned()),
        _ => Err("an id is WP and two digits, such as WP01".into()),
    }
}

/// The folder of a feature: the one that is named (by its name, its folder, or the number it begins with), else the one
/// that `here` is in or that its worktree or branch is made for, else the only one.
///
/// # Errors
/// There is none, or several; the error lists them.
pub fn find(root: &Path, here: &Path, named: Option<&str>) -> Result<PathBuf, KittyError> {
    if let Some(named) = named.filter(|named| named.contains('/') || here.join(named).join("tasks").is_dir()) {
        let folder = here.join(named);
        let missing = || KittyError::NotFound { what: format!("there is no folder {named}"), choices: Vec::new() };
        return if folder.is_dir() { inside(main_of(root), folder) } else { Err(missing()) };
    }
    let main = main_of(root);
    let features = main.join(FEATURES);
    let mut names: Vec<String> = fs::read_dir(&features)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir())?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort_unstable();
    let missing = |what: String| KittyError::NotFound { what, choices: names.clone() };
    if let Some(named) = named {
        let mut fit = names.iter().filter(|name| *name == named || name.split('-').next() == Some(named));
        return match (fit.next(), fit.next()) {
            (Some(name), None) => inside(main, features.join(name)),
            _ => Err(missing(format!("there is no feature {named}"))),
        };
    }
    let known = |name: &str| names.iter().find(|known| *known == name || package_of(name) == Some(known));
    let below =
        |folder: &Path| Some(here.strip_prefix(folder).ok()?.components().next()?.as_os_str().to_str()?.to_owned());
    let branch = || {
        let branch = branch(root)?;
        Some(branch.rsplit('/').next()?.to_owned())
    };
    let clues = [below(&features), below(&main.join(WORKTREES)), branch()];
    if let Some(name) = clues.iter().flatten().find_map(|clue| known(clue)) {
        return inside(main, features.join(name));
    }
    match &names[..] {
        [only] => inside(main, features.join(only)),
        [] => Err(missing(format!("there is no feature in {}", features.display()))),
        _ => Err(missing("which feature? name it with --feature".into())),
    }
}

/// The main checkout: a worktree has a copy that nobody keeps up to date.
fn main_of(root: &Path) -> &Path {
    let main = root.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == WORKTREES));
    main.and_then(Path::parent).unwrap_or(root)
}

/// The folder, unless a link in the project leads out of it: what a repository brings may not have other files of the user
/// read and changed.
fn inside(main: &Path, folder: PathBuf) -> Result<PathBuf, KittyError> {
    let is_named_in_it = std::path::absolute(&folder).is_ok_and(|folder| folder.starts_with(main));
    let real = |path: &Path| path.canonicalize().map_err(|error| KittyError::Io(path.to_owned(), error));
    if is_named_in_it && !real(&folder)?.starts_with(real(main)?) {
        let error = io::Error::other("a link leads out of the project, and is not followed");
        return Err(KittyError::Io(folder, error));
    }
    Ok(folder)
}

/// The feature of a name such as `028-events-WP01`.
fn package_of(name: &str) -> Option<&str> {
    let (feature, package) = name.rsplit_once('-')?;
    work_package_id(package).is_ok().then_some(feature)
}

/// The branch that is checked out, as far as two small files tell.
fn branch(root: &Path) -> Option<String> {
    let small = |folder: &Path, name: &str| {
        let file = Folder::open(folder).ok()?.read(OsStr::new(name)).ok()?;
        String::from_utf8(read_capped(&file, 4096).ok()?).ok()
    };
    let folder = match small(root, ".git") {
        Some(link) => root.join(link.strip_prefix("gitdir:")?.trim()),
        None => root.join(".git"),
    };
    let head = small(&folder, "HEAD")?;
    Some(head.strip_prefix("ref: refs/heads/")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_one_that_is_meant() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path();
        let found = |here: &str, named: Option<&str>| {
            let found = find(root, &root.join(here), named);
            found.map(|path| path.strip_prefix(root).unwrap().display().to_string()).map_err(|error| error.to_string())
        };
        assert!(found("", None).unwrap_err().starts_with("there is no feature in "));
        fs::create_dir_all(root.join("kitty-specs/001-a/tasks")).unwrap();
        assert_eq!(found("", None).unwrap(), "kitty-specs/001-a");
        fs::create_dir_all(root.join("kitty-specs/002-b")).unwrap();
        assert_eq!(found("", None).unwrap_err(), "which feature? name it with --feature; there is 001-a, 002-b");
        for (here, named, expected) in [
            ("", Some("002-b"), "kitty-specs/002-b"),
            ("", Some("001"), "kitty-specs/001-a"),
            ("", Some("kitty-specs/001-a"), "kitty-specs/001-a"),
            ("kitty-specs/002-b/tasks", None, "kitty-specs/002-b"),
            (".worktrees/001-a-WP01/src", None, "kitty-specs/001-a"),
        ] {
            assert_eq!(found(here, named).as_deref(), Ok(expected), "{here} {named:?}");
        }
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::write(root.join(".git/HEAD"), "ref: refs/heads/002-b-WP03\n").unwrap();
        assert_eq!(found("", None).unwrap(), "kitty-specs/002-b");
        assert!(found("", Some("x")).is_err() && found("", Some("./x")).is_err());
        let worktree = root.join(".worktrees/001-a-WP02");
        assert_eq!(find(&worktree, &worktree, None).unwrap(), root.join("kitty-specs/001-a"));
    }
}
