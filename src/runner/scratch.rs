//! Folders of the user's alone for files that hooks get by name: one that stays, because making and removing a folder
//! costs as much as starting a program, and one that is made when it is needed first and removed in the end, for
//! hooks in a sandbox and for users without a place of their own.

use crate::sys;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The folders; the one that does not stay is removed with this value.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The one that stays, where the user has a place for it; found out when it is needed first.
    kept: OnceLock<Option<PathBuf>>,
    /// The user's state folder, which that one is in.
    state: Option<PathBuf>,
    folder: Mutex<Option<PathBuf>>,
    number: AtomicU64,
}

/// What is left behind by a process that was killed is removed when it is older than this.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// One of so many processes that make a folder looks for what others left behind.
const SWEEP_ONE_IN: u64 = 32;

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
        let _ = sys::remove_tree(&self.0);
    }
}

/// A file in one of them; removed with this value.
#[derive(Debug)]
pub(super) struct ScratchFile {
    path: PathBuf,
    /// Whether it is in the folder that stays.
    kept: bool,
}

impl Scratch {
    /// That of a user whose state folder is `state`. Nothing is made yet.
    pub fn of(state: Option<&Path>) -> Self {
        let mut scratch = Scratch::default();
        scratch.state = state.map(Path::to_owned);
        scratch
    }

    /// The folder that stays.
    fn kept(&self) -> Option<&Path> {
        let kept = self.kept.get_or_init(|| {
            let folder = self.state.as_ref()?.join("scratch");
            if !sys::is_private_folder(&folder).ok()? {
                sys::make_private_folder(&folder).ok()?;
                sys::is_private_folder(&folder).ok().filter(|private| *private)?;
            }
            // A home folder may be read-only.
            sys::can_write(&folder).then_some(folder)
        });
        kept.as_deref()
    }

    /// The folder that is removed, made in `base` (0700) when this is called first.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn folder(&self, base: &Path) -> io::Result<PathBuf> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*folder {
            return Ok(folder.clone());
        }
        // Nobody can know the name before it is made, and making it fails where something has it.
        let random = getrandom::u64().map_err(io::Error::other)?;
        let name = format!("knockon-{random:016x}");
        if random.is_multiple_of(SWEEP_ONE_IN) {
            sweep_folders(base);
        }
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
        let make = || {
            let path = self.folder(base)?.join(format!("{number}.tmp"));
            DirBuilder::new().mode(0o700).create(&path).map(|()| ScratchFolder(path))
        };
        make().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                // It was swept away: this process did nothing for a day.
                self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
                make()
            }
            _ => Err(error),
        })
    }

    /// The name of a file that is not there yet: in `folder`, else in the folder that stays, else in one that is
    /// made in `base`.
    ///
    /// # Errors
    /// There is none of them.
    pub(super) fn file(&self, base: &Path, folder: Option<&Path>, ending: &str) -> io::Result<ScratchFile> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        if let (None, Some(kept)) = (folder, self.kept()) {
            // Other processes have their files there, too.
            let unique = getrandom::u64().map_err(io::Error::other)?;
            let path = kept.join(format!("{unique:016x}{ending}"));
            return Ok(ScratchFile { path, kept: true });
        }
        let folder = folder.map_or_else(|| self.folder(base), |folder| Ok(folder.to_owned()))?;
        Ok(ScratchFile { path: folder.join(format!("{number}{ending}")), kept: false })
    }
}

/// Removes folders that processes of this user left in `base` when they were killed.
fn sweep_folders(base: &Path) {
    let is_name = |name: &str| {
        let random = name.strip_prefix("knockon-").filter(|random| random.len() == 16);
        random.is_some_and(|random| random.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let is_old = entry.metadata().is_ok_and(|metadata| {
            let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
            metadata.is_dir() && metadata.uid() == sys::user_id() && age.is_some_and(|age| age > LEFT_BEHIND)
        });
        if is_old && entry.file_name().to_str().is_some_and(is_name) {
            let _ = sys::remove_tree(&entry.path());
        }
    }
}

/// Removes what processes that were killed left in the folder that stays.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > LEFT_BEHIND)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl ScratchFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// At most `cap` bytes and one more of what somebody wrote there; nothing when nobody did.
    ///
    /// # Errors
    /// It is no file, or cannot be read.
    pub(super) fn read(&self, cap: usize) -> io::Result<Option<Vec<u8>>> {
        match sys::open_private_named(&self.path)? {
            Some(file) => sys::read_capped(&file, cap).map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // Most hooks write no file; nothing to do about one that cannot be removed.
        let removed = fs::remove_file(&self.path).is_ok();
        // Where hooks write files, one may have been left behind before.
        if let Some(folder) = self.path.parent().filter(|_| removed && self.kept) {
            sweep(folder);
        }
    }
}

impl Scratch {
    /// Removes the folder that does not stay; one that is needed later is made anew.
    pub fn clear(&self) {
        if let Some(folder) = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A hook may have put something there.
            let _ = fs::remove_dir(&folder).or_else(|_| sys::remove_tree(&folder));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_killed_processes_left_is_swept_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let names = ["knockon-0123456789abcdef", "knockon-0123456789abcdee", "knockon-mine", "other"];
        for name in names {
            fs::create_dir_all(base.path().join(name).join("0.tmp/home")).unwrap();
            if name != names[1] {
                let folder = fs::File::open(base.path().join(name)).unwrap();
                folder.set_modified(SystemTime::now() - LEFT_BEHIND - Duration::from_secs(60)).unwrap();
            }
        }
        sweep_folders(base.path());
        let left = names.map(|name| base.path().join(name).exists());
        assert_eq!(left, [false, true, true, true]);
    }
}
