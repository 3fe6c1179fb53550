//! Folders that the user says yes to although somebody else owns them or may write to them: `safe_directories` of the
//! settings, and git's `safe.directory`.

use super::user::UserSettings;
use crate::git;
use crate::project::{Project, UserFolders};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The project that was found; the one that was refused instead, where the user says yes to its folder.
pub fn accept_safe(project: Project, user: &UserFolders) -> Project {
    let refused = project.refused().filter(|refused| SafeDirectories::of(user).cover(&refused.root));
    refused.and_then(|refused| Project::at(&refused.root).ok()).unwrap_or(project)
}

/// The folders, read only when something would be refused otherwise.
#[derive(Clone, Debug, Default)]
pub struct SafeDirectories {
    user: Option<Arc<UserFolders>>,
    list: Arc<OnceLock<Vec<PathBuf>>>,
}

impl SafeDirectories {
    /// Those of a user. Nothing is read yet.
    pub fn of(user: &UserFolders) -> Self {
        SafeDirectories { user: Some(Arc::new(user.clone())), list: Arc::default() }
    }

    /// Whether a path is one of the folders, or lies in one.
    pub fn cover(&self, path: &Path) -> bool {
        let Some(user) = &self.user else { return false };
        let list = self.list.get_or_init(|| {
            let own = UserSettings::load(user).0.safe_directories;
            // By what they lead to: a path that is checked has no links.
            let own = own.into_iter().flat_map(|folder| [folder.canonicalize().ok(), Some(folder)]).flatten();
            own.collect()
        });
        list.iter().any(|folder| path.starts_with(folder)) || git::calls_safe(path)
    }
}
