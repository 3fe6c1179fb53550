//! A folder that is held open: what is done in it is done in this folder, wherever its path leads by now, and never
//! through a symbolic link.

use super::path::{OpenFault, OpenFile, OpenMode, Owner, checked, fault, open_beneath, open_folder};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, fsync, mkdirat, openat, renameat, statat, unlinkat};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Less space on a disk than this is none.
const LITTLE_SPACE: u64 = 256 * 1024;

/// An open folder.
#[derive(Debug)]
pub struct Folder(File);

impl Folder {
    /// Opens a folder by its path, following links.
    ///
    /// # Errors
    /// See [`OpenFault`].
    pub fn open(path: &Path) -> Result<Self, OpenFault> {
        open_folder(path).map(Folder)
    }

    /// Opens a folder beneath this one, following links only as long as they stay beneath.
    ///
    /// # Errors
    /// See [`OpenFault`].
    pub fn beneath(&self, path: &Path) -> Result<Self, OpenFault> {
        open_beneath(&self.0, path, OpenMode::Folder).map(|folder| Folder(folder.into_file()))
    }

    /// Makes the folder `name`, unless it is there, with the usual rights or for the user alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self, name: &OsStr, private: bool) -> io::Result<()> {
        let others = Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        match mkdirat(&self.0, name, if private { Mode::RWXU } else { Mode::RWXU | others }) {
            Err(error) if error != rustix::io::Errno::EXIST => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Opens a file in it for reading.
    ///
    /// # Errors
    /// See [`OpenFault`]; never blocks on a pipe or device that has the name.
    pub fn read(&self, name: &OsStr) -> Result<OpenFile, OpenFault> {
        self.file(name, OFlags::RDONLY)
    }

    /// Opens a file in it for reading and appending, making it (0600) when it is absent.
    ///
    /// # Errors
    /// See [`OpenFault`].
    pub fn append(&self, name: &OsStr) -> Result<OpenFile, OpenFault> {
        self.file(name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)
    }

    /// Opens a file in it for reading and appending.
    ///
    /// # Errors
    /// See [`OpenFault`].
    pub fn append_existing(&self, name: &OsStr) -> Result<OpenFile, OpenFault> {
        self.file(name, OFlags::RDWR | OFlags::APPEND)
    }

    /// Opens a file in it for reading and writing, making it (0600) when it is absent.
    ///
    /// # Errors
    /// See [`OpenFault`].
    pub fn update(&self, name: &OsStr) -> Result<OpenFile, OpenFault> {
        self.file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Makes a file (0600) for reading and appending; one that is there is an error.
    ///
    /// # Errors
    /// See [`OpenFault`].
    pub fn create(&self, name: &OsStr) -> Result<OpenFile, OpenFault> {
        self.file(name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL)
    }

    fn file(&self, name: &OsStr, flags: OFlags) -> Result<OpenFile, OpenFault> {
        let always = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let fd = openat(&self.0, name, flags | always, Mode::RUSR | Mode::WUSR).map_err(fault)?;
        checked(fd, OpenMode::File)
    }

    /// Whose a name in it is; links are not followed.
    ///
    /// # Errors
    /// The system's reason.
    pub fn owner(&self, name: &OsStr) -> io::Result<Owner> {
        Ok(Owner::of(&statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Why nothing can be added to a file in it, or a file to it: no right, or no space. Nothing is tried.
    pub fn is_closed(&self, name: &OsStr) -> Option<String> {
        use rustix::fs::{Access, accessat, fstatvfs};
        let can = |name: &OsStr| accessat(&self.0, name, Access::WRITE_OK, AtFlags::EACCESS);
        let file = match can(name) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            can => can,
        };
        if let Err(error) = can(OsStr::new(".")).and(file) {
            return Some(io::Error::from(error).to_string());
        }
        let space = fstatvfs(&self.0).map_or(u64::MAX, |of| of.f_bavail.saturating_mul(of.f_frsize));
        (space < LITTLE_SPACE).then(|| format!("only {space} bytes are left on its disk"))
    }

    /// Gives a name in it another one; what had that is replaced.
    ///
    /// # Errors
    /// The system's reason.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// The system's reason; there is something in it, for one.
    pub fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// The names in it that are text, in no order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            names.extend(name.to_str().filter(|name| ![".", ".."].contains(name)).map(str::to_owned));
        }
        Ok(names)
    }

    /// Waits until the names in it are on the disk.
    ///
    /// # Errors
    /// The system's reason.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }
}
