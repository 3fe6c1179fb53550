//! Files of a feature put on the disk: whole or not at all, with the rights they had, and only when nobody changed them
//! since they were read.

use super::KittyError;
use super::feature_folder::text_of;
use crate::sys::{Folder, OpenFile};
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file below a feature's folder, open in the folder it is in.
pub(super) struct Place {
    folder: Folder,
    name: String,
    path: PathBuf,
}

impl Place {
    /// The file `inside` of `feature`.
    pub(super) fn of(feature: &Path, inside: &str) -> Result<Self, KittyError> {
        let path = feature.join(inside);
        let failed = |why: String| KittyError::Io(path.clone(), io::Error::other(why));
        let opened = Folder::open(feature).map_err(|fault| failed(fault.to_string()))?;
        let (folder, name) = match inside.rsplit_once('/') {
            Some((parent, name)) => {
                (opened.beneath(Path::new(parent)).map_err(|fault| failed(fault.to_string()))?, name)
            }
            None => (opened, inside),
        };
        Ok(Place { folder, name: name.to_owned(), path })
    }

    /// Its text; nothing when there is no such file.
    pub(super) fn text(&self) -> Result<String, KittyError> {
        text_of(&self.open()?, &self.path)
    }

    /// Where it is told to be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `new` where `old` is.
    pub(super) fn replace(&self, old: &str, new: &str) -> Result<(), KittyError> {
        if old == new {
            return Ok(());
        }
        let io = |error| KittyError::Io(self.path.clone(), error);
        let mode = self.folder.owner(OsStr::new(&self.name)).map_err(io)?.mode;
        // Of the same length whatever the name's, and no work package's.
        let fresh = format!(
            ".knockon-{}-{}",
            std::process::id(),
            &crate::text::hex(blake3::hash(new.as_bytes()).as_bytes())[..12]
        );
        let fresh = OsStr::new(&fresh);
        // Left behind by a process that was killed and had our number.
        let _ = self.folder.remove(fresh);
        let file = self.folder.create(fresh).map_err(|fault| io(io::Error::other(fault.to_string())))?;
        let mut file = file.into_file();
        let written = (|| {
            file.write_all(new.as_bytes()).map_err(io)?;
            file.set_permissions(Permissions::from_mode(mode)).map_err(io)?;
            file.sync_all().map_err(io)?;
            if self.text()? != old {
                return Err(changed_meanwhile(&self.path));
            }
            self.folder.rename(fresh, OsStr::new(&self.name)).map_err(io)
        })();
        if written.is_err() {
            let _ = self.folder.remove(fresh);
        }
        written?;
        self.folder.sync().map_err(io)
    }

    /// Adds to the end of the file, in one piece.
    pub(super) fn append(&self, text: &str) -> Result<(), KittyError> {
        let opened = self.folder.append_existing(OsStr::new(&self.name));
        let opened = opened.map_err(|fault| io::Error::other(fault.to_string()));
        let written = opened
            .map(OpenFile::into_file)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|error| KittyError::Io(self.path.clone(), error))
    }

    fn open(&self) -> Result<File, KittyError> {
        let opened = self.folder.read(OsStr::new(&self.name));
        opened
            .map(OpenFile::into_file)
            .map_err(|fault| KittyError::Io(self.path.clone(), io::Error::other(fault.to_string())))
    }
}

/// That somebody else changed a file since it was read.
pub(super) fn changed_meanwhile(path: &Path) -> KittyError {
    KittyError::format(path, 0, "the file was changed meanwhile; try again")
}

/// Moves a file from the folder of one lane to that of another, below `tasks`.
pub(super) fn change_folder(feature: &Path, from: &str, to: &str, name: &str) -> Result<(), KittyError> {
    let path = feature.join("tasks").join(to).join(name);
    let io = |error| KittyError::Io(path.clone(), error);
    let tasks = Folder::open(feature).and_then(|folder| folder.beneath(Path::new("tasks")));
    let tasks = tasks.map_err(|fault| io(io::Error::other(fault.to_string())))?;
    tasks.make(OsStr::new(to), false).map_err(io)?;
    let target = tasks.beneath(Path::new(to)).map_err(|fault| io(io::Error::other(fault.to_string())))?;
    if target.owner(OsStr::new(name)).is_ok() {
        return Err(KittyError::format(path, 0, "a file is there already; remove one of the two"));
    }
    tasks.rename(OsStr::new(&format!("{from}/{name}")), OsStr::new(&format!("{to}/{name}"))).map_err(io)?;
    target.sync().map_err(io)?;
    tasks.sync().map_err(io)
}
