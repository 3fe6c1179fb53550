//! Files of the user's own that nobody else may read or write: where decisions and derived data are kept.

use super::path::{checked, fault};
use super::{OpenFault, OpenFile, OpenMode, Owner, create_private, owner};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Why a file or folder is not the user's alone.
pub fn not_private(owner: Owner) -> Option<String> {
    owner.distrust().or_else(|| (owner.mode & 0o077 != 0).then(|| "can be read by others".into()))
}

/// Makes a folder (0700) unless it is there.
///
/// # Errors
/// It cannot be made.
pub fn make_private_folder(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // The umask may have taken from the mode; it cannot have added.
        _ => fs::set_permissions(folder, Permissions::from_mode(0o700)),
    }
}

/// Opens a file that is the user's alone; nothing when there is none, or it is not.
///
/// # Errors
/// There may be one, and it cannot be opened.
pub fn open_private(path: &Path) -> io::Result<Option<OpenFile>> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat(CWD, path, flags, Mode::empty()).map_err(fault).and_then(|fd| checked(fd, OpenMode::File));
    match opened {
        Ok(file) => Ok(not_private(file.owner()).is_none().then_some(file)),
        Err(OpenFault::Io(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Opens the file at `path` itself, in a folder of the user's alone; nothing when there is none.
///
/// # Errors
/// It is a link or no file, or cannot be opened.
pub fn open_private_named(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match openat(CWD, path, flags, Mode::empty()).map(File::from) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Err(io::Error::other("it is no file")),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the file at `path` itself for reading and writing, making it (0600) when it is absent.
///
/// # Errors
/// It is a link or no file, or cannot be opened; or its folder is not there.
pub fn update_private(path: &Path) -> io::Result<OpenFile> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?;
    checked(fd, OpenMode::File).map_err(|fault| match fault {
        OpenFault::Io(error) => error,
        fault => io::Error::other(fault.to_string()),
    })
}

/// A file in memory with these bytes, read from its beginning.
///
/// # Errors
/// Out of memory or descriptors.
pub fn memory_file(bytes: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("knockon", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// Opens a file that is the user's alone, making it (0600) when it is not there.
///
/// # Errors
/// It cannot be made or opened, or is not the user's alone.
pub fn open_or_create_private(path: &Path) -> io::Result<File> {
    match create_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open_private(path)?.map(OpenFile::into_file).ok_or_else(|| io::Error::other("it is not yours alone"))
        }
        made => made,
    }
}

/// Whether a folder is there and is the user's alone.
///
/// # Errors
/// It cannot be looked at.
pub fn is_private_folder(folder: &Path) -> io::Result<bool> {
    match owner(folder) {
        Ok(owner) => Ok(not_private(owner).is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes bits out of the mode of a file or folder of the user. A link is not followed.
///
/// # Errors
/// It is a link, has further hard links, is not the user's, cannot be opened, or its file system keeps the mode that it has.
pub fn take_rights(path: &Path, bits: u32) -> io::Result<()> {
    use rustix::fs::{CWD, Mode, OFlags, fchmod, fstat, openat};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = openat(CWD, path, flags, Mode::empty())?;
    let of = fstat(&fd)?;
    if of.st_uid != super::user_id() {
        return Err(io::Error::other("it belongs to somebody else"));
    }
    let is_folder = rustix::fs::FileType::from_raw_mode(of.st_mode).is_dir();
    if of.st_nlink > 1 && !is_folder {
        return Err(io::Error::other("it has another name elsewhere (a hard link), whose mode would change with it"));
    }
    fchmod(&fd, Mode::from_raw_mode(of.st_mode & 0o7777 & !bits))?;
    match fstat(&fd)?.st_mode & bits {
        0 => Ok(()),
        _ => Err(io::Error::other("its file system does not keep modes; name the folder under `safe_directories`")),
    }
}

/// Whether this process may write to a folder, by its rights and by those of the file system.
pub fn can_write(folder: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    accessat(CWD, folder, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// The folder that a path is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts `bytes` at `path` (0600), whole, durable when it returns, unless something is there. Returns whether they were put there.
///
/// # Errors
/// It cannot be written.
pub fn create_whole(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    let fresh = path.with_extension(format!("new-{random:016x}"));
    let linked = create_private(&fresh)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&fresh, path));
    let _ = fs::remove_file(&fresh);
    match linked {
        Ok(()) => File::open(folder_of(path))?.sync_all().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A file system without hard links (link(2): EPERM).
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => replace_private(path, bytes).map(|()| true),
        Err(error) => Err(error),
    }
}

/// Puts `bytes` at `path`, whole or not at all, durable when it returns.
///
/// # Errors
/// It cannot be written; what was there is still there.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let created = create_private(&fresh).or_else(|error| match error.kind() {
        // Left behind by one of this number that was killed.
        io::ErrorKind::AlreadyExists => fs::remove_file(&fresh).and_then(|()| create_private(&fresh)),
        _ => Err(error),
    });
    let written = created
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path))
        // The name has to be on the disk as well.
        .and_then(|()| File::open(folder_of(path))?.sync_all());
    written.inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(path.with_extension(format!("new-{}", std::process::id())), "torn").unwrap();
        replace_private(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
