//! The repositories of a project, which no sandboxed hook may change: the user's next `git status` runs what they name
//! (`core.fsmonitor`, hooks, filters). Its own, those of submodules, and those that lie in its folders.

use crate::project::{linked_repository, small_file};
use crate::sys;
use std::fs;
use std::path::{Path, PathBuf};

/// How many folders below the project are looked into for repositories of their own.
const MOST_FOLDERS: usize = 500;
/// How many submodules are looked for.
const MOST_MODULES: usize = 200;
/// The longest configuration of a submodule that is read, in bytes.
const LONGEST_CONFIG: usize = 64 * 1024;
/// Folders with thousands of others in them, none of which is the user's repository.
const PASSED_OVER: [&str; 4] = ["node_modules", "target", ".venv", ".git"];

/// The project's repository as a sandbox sees it.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// What stays as it is: `.git`, and where it leads; links followed.
    pub(super) kept: Vec<PathBuf>,
    /// What the right to write `.git` means; nothing where git itself did not make what is there.
    pub(super) writable: Vec<PathBuf>,
}

impl Repository {
    /// That of the project at this root.
    pub(super) fn of(project: &Path) -> Self {
        let git = project.join(".git");
        let Ok(found) = git.symlink_metadata() else { return Repository::default() };
        let mut kept: Vec<PathBuf> = git.canonicalize().into_iter().collect();
        if found.is_dir() {
            return Repository { kept, writable: vec![git] };
        }
        // In a worktree and in a submodule it is a file that names the folder.
        let named = small_file(&git).and_then(|text| project.join(text.strip_prefix("gitdir: ")?).canonicalize().ok());
        kept.extend(named.clone());
        let writable = match (linked_repository(&git), named) {
            (Some(both), _) => both.into(),
            (None, Some(named)) if is_submodule(&named, project) => vec![named],
            _ => Vec::new(),
        };
        Repository { kept, writable }
    }
}

/// The `.git` of submodules at any depth, and of repositories that lie up to two folders deep in the project.
pub(super) fn inner(project: &Path) -> Vec<PathBuf> {
    let mut found = submodules(&project.join(".git"), MOST_MODULES);
    let mut left = MOST_FOLDERS;
    let mut look = |folder: &Path| {
        let git = folder.join(".git");
        if git.symlink_metadata().is_ok() && !found.contains(&git) {
            found.push(git);
        }
    };
    for folder in folders(project, &mut left) {
        look(&folder);
        folders(&folder, &mut left).iter().for_each(|folder| look(folder));
    }
    found
}

/// The folders in a folder, no links; at most `left` of them.
fn folders(folder: &Path, left: &mut usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_one = |entry: &fs::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && !PASSED_OVER.iter().any(|name| entry.file_name() == *name)
    };
    let found: Vec<PathBuf> = entries.filter(is_one).take(*left).map(|entry| entry.path()).collect();
    *left -= found.len();
    found
}

/// The `.git` files of the submodules of a repository, by what it keeps of each (gitrepository-layout(5), `modules`).
fn submodules(git: &Path, most: usize) -> Vec<PathBuf> {
    let modules = git.join("modules");
    let (mut waiting, mut found, mut left) = (vec![modules], Vec::new(), most);
    // The name of a submodule may have several parts: a folder of modules, or one of them.
    while let Some(folder) = waiting.pop() {
        for module in folders(&folder, &mut left) {
            match worktree_of(&module) {
                Some(worktree) => {
                    found.push(worktree.join(".git"));
                    waiting.push(module.join("modules"));
                }
                None => waiting.push(module),
            }
        }
    }
    found
}

/// Whether the folder `git` is that of a submodule which lies in `project`.
fn is_submodule(git: &Path, project: &Path) -> bool {
    worktree_of(git).is_some_and(|worktree| project.canonicalize().is_ok_and(|project| project == worktree))
}

/// Where the files of a submodule are, as its configuration says (`core.worktree`, git-config(1)).
fn worktree_of(git: &Path) -> Option<PathBuf> {
    let bytes = sys::read_regular(&git.join("config"), LONGEST_CONFIG).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix("worktree")?.trim_start().strip_prefix('='))?;
    git.join(value.trim().trim_matches('"')).canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_each_other_is_the_repository_of_a_file() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let write = |path: &str, text: &str| {
            let path = base.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("main/.git/worktrees/w/gitdir", &format!("{}\n", base.join("w/.git").display()));
        write("main/.git/worktrees/w/commondir", "../..\n");
        write("w/.git", &format!("gitdir: {}\n", base.join("main/.git/worktrees/w").display()));
        write("main/.git/modules/libs/sub/config", "[core]\n\tbare = false\n\tworktree = ../../../../libs/sub\n");
        write("main/libs/sub/.git", "gitdir: ../../.git/modules/libs/sub\n");
        write("main/vendor/own/.git/HEAD", "x");
        write("secret/x", "");
        write("evil/.git", &format!("gitdir: {}\n", base.join("secret").display()));
        write("copy/.git", &format!("gitdir: {}\n", base.join("main/.git/worktrees/w").display()));
        let writable = |project: &str| Repository::of(&base.join(project)).writable;
        assert_eq!(writable("main"), [base.join("main/.git")]);
        assert_eq!(writable("w"), [base.join("main/.git/worktrees/w"), base.join("main/.git")]);
        assert_eq!(writable("main/libs/sub"), [base.join("main/.git/modules/libs/sub")]);
        assert!(writable("evil").is_empty() && writable("copy").is_empty() && writable("secret").is_empty());
        assert_eq!(Repository::of(&base.join("evil")).kept, [base.join("evil/.git"), base.join("secret")]);
        let mut inner = inner(&base.join("main"));
        inner.sort();
        assert_eq!(inner, [base.join("main/libs/sub/.git"), base.join("main/vendor/own/.git")]);
    }

    #[test]
    fn a_pipe_or_a_device_in_place_of_a_repository_blocks_no_emit() {
        let base = tempfile::tempdir().unwrap();
        let git = base.path().join(".git");
        assert!(std::process::Command::new("mkfifo").arg(&git).status().unwrap().success());
        assert!(Repository::of(base.path()).writable.is_empty());
        fs::remove_file(&git).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &git).unwrap();
        assert!(Repository::of(base.path()).writable.is_empty());
    }
}
