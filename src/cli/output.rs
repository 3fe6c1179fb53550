//! Files that the user names for a result: what may not be written over.

use super::error::CliError;
use crate::project::{Layout, UserFolders};
use crate::text::one_line;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// Files of knockon's own, by name.
const OWN: &[&str] =
    &["hooks.yaml", "hooks.yml", "hooks.local.yaml", "hooks.on.yaml", "policy.yaml", "settings.yaml", "audit.log"];

/// The folder of hooks, or of the user's own files, that a path lies in: all in them is read, run, or kept by knockon.
fn own_folder(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.parent().and_then(|folder| folder.canonicalize().ok()).map(|folder| folder.join("file"));
    let user = UserFolders::of_this_process();
    let of_user: Vec<PathBuf> = [user.config, user.state, user.cache].into_iter().flatten().collect();
    let is_own = |folder: &&Path| {
        Layout::HOOKS_FOLDERS.iter().any(|name| folder.ends_with(name)) || of_user.iter().any(|own| own == folder)
    };
    let paths = std::iter::once(&path).chain(&real);
    paths.into_iter().find_map(|path| path.ancestors().skip(1).find(is_own)).map(Path::to_owned)
}

/// Whether a result may be written to `path`: to no file of knockon's own, and through no link, which a repository could lead
/// anywhere.
///
/// # Errors
/// It may not.
pub(super) fn check(path: &Path) -> Result<(), CliError> {
    let shown = one_line(&path.to_string_lossy());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if OWN.contains(&&*name) {
        return Err(
            CliError::usage(format!("{shown} has the name of a file that knockon reads")).hint("name another file")
        );
    }
    if is_of_system(path) {
        return Ok(());
    }
    if let Some(folder) = own_folder(path) {
        let folder = one_line(&folder.to_string_lossy());
        let error = CliError::usage(format!("{shown} is in {folder}, which holds knockon's own files"));
        return Err(error.hint("name a file in another folder"));
    }
    // Folders below the current one are the repository's, however the path is written; those elsewhere the user's word.
    let here = if path.is_relative() { PathBuf::new() } else { std::env::current_dir().unwrap_or_default() };
    let folders = path.ancestors().skip(1).filter(|folder| folder.starts_with(&here) && **folder != *here);
    for step in std::iter::once(path).chain(folders) {
        if step.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
            let step = one_line(&step.to_string_lossy());
            let of = if step == shown { String::new() } else { format!("{shown}: ") };
            let error = CliError::usage(format!("{of}{step} is a link, and is not written through"));
            return Err(error.hint("name the file that it leads to, if that is what you mean"));
        }
    }
    Ok(())
}

/// Those of the system are links and devices by themselves: /dev/stdout.
fn is_of_system(path: &Path) -> bool {
    let goes_back = path.components().any(|part| part == Component::ParentDir);
    !goes_back && ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder))
}

/// Opens such a file, anew or to add to it. A hook that ran meanwhile may have put something else in its place.
///
/// # Errors
/// It is a link, a pipe or a folder, or the system's reason.
pub(super) fn open(path: &Path, append: bool) -> io::Result<File> {
    if is_of_system(path) {
        return OpenOptions::new().write(true).append(append).open(path);
    }
    check(path).map_err(|_| io::Error::other("it is a link, or of knockon's own"))?;
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut how = OpenOptions::new();
    how.create(true).append(append).write(true).custom_flags(flags as i32);
    let file = how.open(path)?;
    let of = file.metadata()?;
    if !of.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if of.nlink() > 1 {
        return Err(io::Error::other("it has another name elsewhere (a hard link), which would be written over, too"));
    }
    if !append {
        file.set_len(0)?;
    }
    Ok(file)
}
