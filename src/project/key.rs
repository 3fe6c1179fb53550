//! The user's secret key: a keyed hash by it says that this user's knockon wrote something, and not someone else who may write
//! to the file that it is in.

use super::UserFolders;
use crate::sys;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Its length in bytes: what keyed BLAKE3 takes.
pub const KEY_BYTES: usize = 32;
/// Where it is, below the user's state folder: with what the user trusted, where no project reaches.
const FILE: &str = "secret.key";

/// The user's secret key, read at most once by all who share it.
#[derive(Clone, Default)]
pub struct UserKey {
    path: Option<PathBuf>,
    known: Arc<OnceLock<[u8; KEY_BYTES]>>,
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserKey").field("path", &self.path).finish_non_exhaustive()
    }
}

impl UserKey {
    /// That of a user. Nothing is read yet.
    pub fn of(user: &UserFolders) -> Self {
        UserKey { path: user.state.as_ref().map(|state| state.join(FILE)), known: Arc::default() }
    }

    /// Where it is; nothing for a user without a state folder.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The key, when there is one that is the user's alone.
    pub fn read(&self) -> Option<&[u8; KEY_BYTES]> {
        if self.known.get().is_none() {
            let file = sys::open_private(self.path()?).ok()??;
            let key = file.read_capped(KEY_BYTES).ok()?.try_into().ok()?;
            let _ = self.known.set(key);
        }
        self.known.get()
    }

    /// The key, a new one when there is none. Processes that make one at the same moment agree on the first.
    ///
    /// # Errors
    /// Why there is none and none can be made.
    pub fn read_or_make(&self) -> Result<&[u8; KEY_BYTES], String> {
        if let Some(key) = self.read() {
            return Ok(key);
        }
        let Some(path) = self.path() else { return Err("HOME and XDG_STATE_HOME are not set".into()) };
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| error.to_string())?;
        sys::make_private_folder(path.parent().unwrap_or(path)).map_err(failed)?;
        if !sys::create_whole(path, &key).map_err(failed)? && self.read().is_none() {
            // One that others can read stays for its user to decide about: without it, older records are those of someone else.
            if let Some(why) = sys::not_private(sys::owner(path).map_err(failed)?) {
                return Err(format!("{} {why}; run `chmod 600` on it, or remove it to get a new key", path.display()));
            }
            // What lies there is no key.
            sys::replace_private(path, &key).map_err(failed)?;
        }
        self.read().ok_or_else(|| format!("{} is not yours alone", path.display()))
    }
}
