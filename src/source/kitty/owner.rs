//! Who works on a feature, and who still has events of it to emit: locks that end with their process.

use super::KittyError;
use crate::event::EventId;
use crate::sys;
use crate::time::Timestamp;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for another command, which has the feature while it changes files.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the locks of a feature are; nowhere when the user has no folder for them.
#[derive(Debug)]
pub(super) struct Desk(Option<PathBuf>);

/// A process that emits events of a feature: alive as long as its lock is held.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) name: String,
    lock: Option<(PathBuf, File)>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The name of somebody who is gone says nothing to anybody.
        if let Some((path, _)) = &self.lock {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Desk {
    /// That of the feature in `folder`; `state` is the folder of the user's state.
    pub(super) fn of(folder: &Path, state: Option<&Path>) -> Result<Self, KittyError> {
        let Some(state) = state else { return Ok(Desk(None)) };
        let real = folder.canonicalize().map_err(|error| KittyError::Io(folder.to_owned(), error))?;
        let key = crate::text::hex(&blake3::hash(real.as_os_str().as_encoded_bytes()).as_bytes()[..16]);
        let path = state.join("kitty").join(key);
        sys::make_private_folder(&path).map_err(|error| KittyError::Io(path.clone(), error))?;
        Ok(Desk(Some(path)))
    }

    /// Takes the feature's lock, which ends with the file.
    pub(super) fn lock(&self) -> Result<Option<File>, KittyError> {
        let Some(folder) = &self.0 else { return Ok(None) };
        let path = folder.join("lock");
        let file = sys::open_or_create_private(&path).map_err(|error| KittyError::Io(path, error))?;
        sys::lock_exclusive(&file, PATIENCE).map_err(KittyError::Busy)?;
        Ok(Some(file))
    }

    /// A new owner. Whoever asks has the feature's lock.
    pub(super) fn new_owner(&self) -> Result<Owner, KittyError> {
        let name = EventId::generate(Timestamp::now()).ulid().to_owned();
        let Some(folder) = &self.0 else { return Ok(Owner { name, lock: None }) };
        let path = folder.join(&name);
        let made = sys::create_private(&path)
            .and_then(|lock| sys::try_lock(&lock)?.then_some(lock).ok_or(io::ErrorKind::WouldBlock.into()));
        let lock = made.map_err(|error| KittyError::Io(path.clone(), error))?;
        Ok(Owner { name, lock: Some((path, lock)) })
    }

    /// Whether an owner is alive.
    pub(super) fn is_alive(&self, owner: &str) -> bool {
        let Some(folder) = &self.0 else { return false };
        match sys::open_private(&folder.join(owner)) {
            Ok(Some(lock)) => !sys::try_lock(&lock).unwrap_or(true),
            _ => false,
        }
    }

    /// Removes what owners left behind that were killed. Whoever asks has the feature's lock, so that nobody is making
    /// a new one.
    pub(super) fn tidy(&self) {
        for entry in self.0.iter().flat_map(std::fs::read_dir).flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name != "lock" && !self.is_alive(name)) {
                // Gone already is as good.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}
