//! Where a path leads, also one to something that does not exist.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The absolute path, links on the way to the file followed, as far as there is something; nothing where a relative path
/// has no working folder to start in.
pub fn resolve(given: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(given).ok()?;
    let name = match absolute.components().next_back() {
        Some(Component::Normal(name)) => Some(name.to_owned()),
        _ => None,
    };
    let folder = if name.is_some() { absolute.parent().unwrap_or(&absolute) } else { &absolute };
    // What does not exist has no links: the nearest folder that does is resolved, the rest is taken as it is written.
    let mut resolved = folder.ancestors().find_map(|there| {
        let rest = folder.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    })?;
    resolved.extend(name);
    Some(without_dots(&resolved))
}

/// The path that the current folder had before it was deleted, where the system still knows it (proc(5)).
pub fn name_of_deleted_folder() -> Option<PathBuf> {
    let link = std::fs::read_link("/proc/self/cwd").ok()?.into_os_string();
    let name = link.as_bytes().strip_suffix(b" (deleted)")?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}

/// The path without `.` and `..`.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}
