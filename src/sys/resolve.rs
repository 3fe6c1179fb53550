//! Where a path leads, also one to something that does not exist.

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
