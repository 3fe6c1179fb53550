//! Who else could change what runs: the owners of every folder that a hook is found through.

use crate::config::{ConfigFile, Origin, ScriptFile, ScriptPath};
use crate::project::Project;
use crate::sys::{self, Owner};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Why someone else could exchange the configuration or its scripts: the project's folder, those down
/// to the hooks folder, those on the way to what it includes, and the files themselves. Of a configuration outside of the project, and of the
/// user's own, the folder it is in.
pub(super) fn distrust_of_file(project: &Project, file: &ConfigFile) -> Option<String> {
    let folders = match folders_of(project, file) {
        Ok(folders) => folders,
        Err(why) => return Some(why),
    };
    file.distrust.clone().or_else(|| folders.iter().find_map(|folder| distrust(file, folder)))
}

/// The files and folders of a configuration that are the user's own, and that somebody else can write to.
pub fn open_to_others(project: &Project, file: &ConfigFile) -> Vec<PathBuf> {
    let mut paths = folders_of(project, file).unwrap_or_default();
    paths.push(file.path.clone());
    let scripts = file.scripts.iter().map(ScriptPath::as_path);
    let inside = file.layers.iter().map(|layer| Path::new(&layer.name)).chain(scripts);
    paths.extend(inside.filter_map(|path| way(&file.hooks_folder, path)).flatten());
    let is_open = |path: &PathBuf| {
        let owner = sys::owner(path).ok().filter(|owner| owner.uid == sys::user_id());
        owner.is_some_and(|owner| owner.distrust().is_some()) && !file.safe.cover(path)
    };
    paths.retain(is_open);
    paths.sort();
    paths.dedup();
    paths
}

/// Every folder that the configuration and what it includes are found through.
fn folders_of(project: &Project, file: &ConfigFile) -> Result<Vec<PathBuf>, String> {
    let root = (file.origin == Origin::Project).then_some(project.root());
    let below = root.and_then(|root| Some((root, file.hooks_folder.strip_prefix(root).ok()?)));
    let mut folders: Vec<PathBuf> = root.map(Path::to_owned).into_iter().collect();
    match below.and_then(|(root, below)| way(root, below)) {
        Some(way) => folders.extend(way),
        None => match file.hooks_folder.canonicalize() {
            Ok(folder) => folders.push(folder),
            Err(error) => return Err(format!("{} cannot be checked: {error}", file.hooks_folder.display())),
        },
    }
    let layers = file.layers.iter().filter_map(|layer| way(&file.hooks_folder, Path::new(&layer.name)));
    folders.extend(layers.flatten().filter(|step| step.is_dir()));
    Ok(folders)
}

/// Why someone else could exchange an open script: the hooks folder, the folders from there down to it, and
/// the script itself.
pub(super) fn distrust_of_script(file: &ConfigFile, path: &ScriptPath, script: &ScriptFile) -> Option<String> {
    if let Some(why) = script.owner.distrust().filter(|_| !file.safe.cover(&script.path)) {
        return Some(format!("the script {} {why}{}", path.as_str(), sys::fixed_modes(&script.path)));
    }
    // Most scripts lie right in the hooks folder, and are no links: there is nothing on the way to them.
    if is_right_in_it(path) && sys::owner(&script.path).is_ok_and(|there| there.identity == script.owner.identity) {
        return distrust_of_folder(file);
    }
    match way(&file.hooks_folder, path.as_path()) {
        Some(way) => {
            let folders = way.iter().filter(|step| step.is_dir()).map(PathBuf::as_path);
            distrust_of_folder(file).or_else(|| { folders }.find_map(|folder| distrust(file, folder)))
        }
        None => Some(format!("the script {} is a link that leads out of the hooks folder", path.as_str())),
    }
}

/// Whether a script that lies right in the hooks folder is still the very file that was found trustworthy, unchanged.
pub(super) fn is_unchanged(file: &ConfigFile, path: &ScriptPath, then: Owner) -> bool {
    let now = || sys::owner(&file.hooks_folder.join(path.as_path()));
    is_right_in_it(path) && now().is_ok_and(|now| now == then) && distrust_of_folder(file).is_none()
}

fn is_right_in_it(path: &ScriptPath) -> bool {
    path.as_path().components().count() == 1
}

/// A link has no mode of its own; what it leads to has.
fn distrust_of_folder(file: &ConfigFile) -> Option<String> {
    reason(file, &file.hooks_folder, sys::owner_of_target(&file.hooks_folder))
}

fn distrust(file: &ConfigFile, folder: &Path) -> Option<String> {
    reason(file, folder, sys::owner(folder))
}

fn reason(file: &ConfigFile, folder: &Path, owner: io::Result<Owner>) -> Option<String> {
    match owner {
        Ok(owner) => {
            let why = owner.distrust().filter(|_| !file.safe.cover(folder))?;
            Some(format!("{} {why}{}", folder.display(), sys::fixed_modes(folder)))
        }
        Err(error) => Some(format!("{} cannot be checked: {error}", folder.display())),
    }
}

/// Everything that looking up `path` in `base` comes through, links followed: a link does not count, its
/// target and the folders on the way to that do. Nothing when a link is absolute, or there are too many.
fn way(base: &Path, path: &Path) -> Option<Vec<PathBuf>> {
    let parts = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    let (mut at, mut way, mut links) = (base.to_owned(), Vec::new(), 0);
    let mut rest: VecDeque<OsString> = parts(path).into();
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => at.push(name),
            Some(Component::CurDir) => continue,
            // `at` has no link below `base`, so that this is the folder it is in.
            Some(Component::ParentDir) if at.pop() => continue,
            _ => return None,
        }
        match fs::read_link(&at) {
            Ok(target) => {
                links += 1;
                if links > 40 {
                    return None;
                }
                at.pop();
                parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
            }
            Err(_) => way.push(at.clone()),
        }
    }
    Some(way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_lookup_comes_through_every_folder_that_a_link_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        fs::create_dir_all(base.join("a/b")).unwrap();
        fs::create_dir_all(base.join("c")).unwrap();
        fs::write(base.join("c/real"), "").unwrap();
        symlink("../../c/real", base.join("a/b/second")).unwrap();
        symlink("./a/b/second", base.join("first")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        symlink("/etc", base.join("out")).unwrap();
        let found = |path: &str| {
            let way = way(base, Path::new(path))?;
            Some(way.iter().map(|step| step.strip_prefix(base).unwrap().display().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(found("first").unwrap(), ["a", "a/b", "c", "c/real"]);
        assert_eq!(found("c/./real").unwrap(), ["c", "c/real"]);
        assert_eq!((found("loop"), found("out/passwd")), (None, None));
    }
}
