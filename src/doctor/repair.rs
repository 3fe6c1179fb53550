//! `knockon doctor --fix`: takes from others the right to write to what is the user's own.

use super::exposed;
use crate::emitter::Emitter;
use crate::project::{Layout, UserFolders};
use crate::sys;
use crate::trust;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What others may not have: to write, and in the user's own folders anything.
const WRITING: u32 = 0o022;
const EVERYTHING: u32 = 0o077;

/// A mode that is too open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The file or folder.
    pub path: PathBuf,
    /// The bits of its mode to take away.
    pub take: u32,
}

impl Repair {
    /// Takes the bits away. A link is not followed, and what belongs to somebody else by now is left alone.
    ///
    /// # Errors
    /// It cannot be opened, is not the user's, or the file system keeps its modes.
    pub fn carry_out(&self) -> io::Result<()> {
        sys::take_rights(&self.path, self.take)
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights = if self.take == EVERYTHING { "go-rwx" } else { "go-w" };
        write!(f, "chmod {rights} {}", self.path.display())
    }
}

/// Every mode that keeps hooks from running or the log from being trusted, and that the user may change.
pub fn repairs(emitter: &Emitter, user: &UserFolders) -> Vec<Repair> {
    let project = emitter.project();
    let mut found: Vec<Repair> = Vec::new();
    let mut add = |path: PathBuf, take: u32| {
        let is_own = sys::owner(&path).is_ok_and(|owner| owner.uid == sys::user_id());
        if is_own && found.iter().all(|known| known.path != path) {
            found.push(Repair { path, take });
        }
    };
    if let Some(refused) = project.refused() {
        let way = project.start().ancestors().take_while(|folder| folder.starts_with(&refused.root));
        let markers = [Layout::Flowspec, Layout::Knockon].iter().filter_map(|layout| layout.hooks_folder());
        let markers = markers.filter_map(|name| Some(refused.root.join(name.split('/').next()?)));
        for folder in way.map(ToOwned::to_owned).chain(markers) {
            if sys::owner(&folder).is_ok_and(|owner| owner.mode & 0o1002 == 0o002) {
                add(folder, WRITING);
            }
        }
    }
    for file in &emitter.loaded().files {
        trust::open_to_others(file.project(project), file).into_iter().for_each(|path| add(path, WRITING));
    }
    if let Ok(Some(state)) = emitter.audit().state() {
        for (path, _) in state.distrust {
            let take = if path.is_dir() { WRITING } else { EVERYTHING };
            add(path, take);
        }
    }
    let own = [user.state.as_ref(), user.cache.as_ref()].into_iter().flatten();
    for folder in own.flat_map(|folder| [folder.clone(), folder.join("trust"), folder.join("seals")]) {
        if folder.is_dir() && exposed(&folder).is_some() {
            add(folder, EVERYTHING);
        }
    }
    found
}
