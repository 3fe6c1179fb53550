//! The worktrees of a git repository, read from git's own files (gitrepository-layout(5)).

use crate::sys;
use std::path::{Path, PathBuf};

/// The longest file that git writes in place of a `.git` folder, in bytes.
const LONGEST_GIT_FILE: usize = 8 * 1024;

/// The worktree that a path lies in, and the path below it.
fn of_path(path: &Path) -> Option<(&Path, &Path)> {
    let top = path.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok())?;
    Some((top, path.strip_prefix(top).ok()?))
}

/// The place of a path of a linked worktree in the main one; nothing when it lies in no linked worktree.
pub(super) fn in_main(path: &Path) -> Option<PathBuf> {
    let (top, below) = of_path(path)?;
    let common = common_folder(&top.join(".git"))?;
    Some(inside(main_of(&common).unwrap_or(&common), below))
}

/// The place of a path in each other worktree of its repository, the main one first.
pub(super) fn in_others(path: &Path) -> Vec<PathBuf> {
    let Some((top, below)) = of_path(path) else { return Vec::new() };
    let git = top.join(".git");
    // Of itself only: a link to the repository of another folder makes this one no worktree of it.
    let is_folder = git.symlink_metadata().is_ok_and(|git| git.is_dir());
    let common = if is_folder { git.canonicalize().ok() } else { common_folder(&git) };
    let Some(common) = common else { return Vec::new() };
    let linked = std::fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten();
    let linked =
        linked.filter_map(|entry| PathBuf::from(small_file(&entry.path().join("gitdir"))?).canonicalize().ok());
    let linked = linked.filter(|git| common_folder(git).as_ref() == Some(&common));
    let linked: Vec<PathBuf> = linked.filter_map(|git| git.parent().map(Path::to_owned)).collect();
    let all = main_of(&common).map(Path::to_owned).into_iter().chain(linked);
    all.filter(|worktree| worktree != top).map(|worktree| inside(&worktree, below)).collect()
}

/// The folder that all worktrees of a repository share, as the `.git` file of a linked one leads to it. Both sides have to
/// name each other, so that a file alone claims nothing.
fn common_folder(git: &Path) -> Option<PathBuf> {
    let worktree = git.parent()?;
    let own = worktree.join(small_file(git)?.strip_prefix("gitdir: ")?).canonicalize().ok()?;
    let back = PathBuf::from(small_file(&own.join("gitdir"))?).canonicalize().ok()?;
    let common = own.join(small_file(&own.join("commondir"))?).canonicalize().ok()?;
    (back == git.canonicalize().ok()? && own.starts_with(&common)).then_some(common)
}

/// The main worktree; a bare repository has none.
fn main_of(common: &Path) -> Option<&Path> {
    if common.ends_with(".git") { common.parent() } else { None }
}

/// What a small file of git's says, without the end of its line; nothing where something else is there.
pub fn small_file(path: &Path) -> Option<String> {
    // A link to what another worktree has makes this one none.
    path.symlink_metadata().is_ok_and(|of| of.is_file()).then_some(())?;
    let bytes = sys::read_regular(path, LONGEST_GIT_FILE).ok()?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_GIT_FILE)?;
    Some(text.trim_end().to_owned())
}

/// Where the `.git` file of a linked worktree leads: its own folder, and the one that all worktrees of the repository share.
pub fn linked_repository(git: &Path) -> Option<[PathBuf; 2]> {
    let common = common_folder(git)?;
    let own = git.parent()?.join(small_file(git)?.strip_prefix("gitdir: ")?).canonicalize().ok()?;
    Some([own, common])
}

fn inside(worktree: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { worktree.to_owned() } else { worktree.join(below) }
}
