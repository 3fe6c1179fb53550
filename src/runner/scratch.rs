//! A folder of the user's alone for files that hooks get by name, made when it is needed first.

use crate::sys;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The folder; removed with this value.
#[derive(Debug, Default)]
pub struct Scratch {
    folder: Mutex<Option<PathBuf>>,
    number: AtomicU64,
}

/// A folder in it (0700); removed with this value, and everything in it.
#[derive(Debug)]
pub(super) struct ScratchFolder(PathBuf);

impl ScratchFolder {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What another user made in it cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file in it; removed with this value.
#[derive(Debug)]
pub(super) struct ScratchFile(PathBuf);

impl Scratch {
    /// The folder, made in `base` (0700) when this is called first.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn folder(&self, base: &Path) -> io::Result<PathBuf> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*folder {
            return Ok(folder.clone());
        }
        // Nobody can know the name before it is made, and making it fails where something has it.
        let name = format!("knockon-{:016x}", getrandom::u64().map_err(io::Error::other)?);
        // Where one cannot be written, the next may be.
        let mut made = Err(io::ErrorKind::NotFound.into());
        for base in [base, Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm")] {
            let path = base.join(&name);
            made = DirBuilder::new().mode(0o700).create(&path).map(|()| path);
            if made.is_ok() {
                break;
            }
        }
        Ok(folder.insert(made?).clone())
    }

    /// A new folder in it.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn sub_folder(&self, base: &Path) -> io::Result<ScratchFolder> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path = self.folder(base)?.join(format!("{number}.tmp"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(ScratchFolder(path))
    }

    /// The name of a file that is not there yet, in `folder` or else in the folder itself.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(super) fn file(&self, base: &Path, folder: Option<&Path>, ending: &str) -> io::Result<ScratchFile> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let folder = folder.map_or_else(|| self.folder(base), |folder| Ok(folder.to_owned()))?;
        Ok(ScratchFile(folder.join(format!("{number}{ending}"))))
    }
}

impl ScratchFile {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// At most `cap` bytes and one more of what somebody wrote there; nothing when nobody did.
    ///
    /// # Errors
    /// It is no file, or cannot be read.
    pub(super) fn read(&self, cap: usize) -> io::Result<Option<Vec<u8>>> {
        match sys::open_private_named(&self.0)? {
            Some(file) => sys::read_capped(&file, cap).map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // Most hooks write no file; nothing to do about one that cannot be removed.
        let _ = fs::remove_file(&self.0);
    }
}

impl Scratch {
    /// Removes the folder; one that is needed later is made anew.
    pub fn clear(&self) {
        if let Some(folder) = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A hook may have put something there.
            let _ = fs::remove_dir(&folder).or_else(|_| fs::remove_dir_all(&folder));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clear();
    }
}
