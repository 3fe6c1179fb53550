//! Opening files without being led astray: no link out of a folder, no device or pipe in place of a
//! file, no more bytes than asked for; and whose a file is.

use super::users::{is_private_group, user_id};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, openat, openat2, statat};
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

/// What an opened thing has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// A regular file, for reading.
    File,
    /// A folder.
    Folder,
}

/// An open file or folder, with what the system said of it when it was opened: asking once is enough.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    owner: Owner,
}

impl OpenFile {
    /// Whose it is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Reads a file of at most `cap` bytes; a longer one gives its first `cap + 1` bytes.
    ///
    /// # Errors
    /// The system's reason.
    pub fn read_capped(&self, cap: usize) -> io::Result<Vec<u8>> {
        read_sized(&self.file, self.owner.size, cap)
    }

    /// The file alone.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl std::ops::Deref for OpenFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Why a path was not opened.
#[derive(Debug)]
pub enum OpenFault {
    /// Nothing there.
    Missing,
    /// A symbolic link or `..` leads out of the folder.
    Outside,
    /// It is something else: the word says what it is.
    Wrong(&'static str),
    /// The system refused.
    Io(io::Error),
}

impl fmt::Display for OpenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenFault::Missing => f.write_str("there is no such file"),
            OpenFault::Outside => f.write_str("a symbolic link or `..` leads out of the folder"),
            OpenFault::Wrong(what) => write!(f, "it is {what}"),
            OpenFault::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenFault {}

/// Opens `path` for `mode`, following links only as long as they stay beneath `folder`.
///
/// Uses `openat2` with `RESOLVE_BENEATH` (Linux 5.6), else the path must have no link in it at all.
///
/// # Errors
/// See [`OpenFault`]; never blocks on a pipe or device that has the name.
pub fn open_beneath(folder: &impl AsFd, path: &Path, mode: OpenMode) -> Result<OpenFile, OpenFault> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    beneath(folder, path, flags).and_then(|fd| checked(fd, mode))
}

/// Opens `path` for appending beneath `folder`, making it (0600) when it is absent; never through a
/// symbolic link as the last part.
///
/// # Errors
/// See [`OpenFault`].
pub fn append_beneath(folder: &impl AsFd, path: &Path) -> Result<OpenFile, OpenFault> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    beneath(folder, path, flags).and_then(|fd| checked(fd, OpenMode::File))
}

/// Adds `text` to the end of a file (0644) of at most `cap` bytes, on a line of its own and behind `heading`
/// when the file is new; never through a symbolic link. Returns how long the file was.
///
/// # Errors
/// The file is a link or too long, or cannot be written.
pub fn append_text(path: &Path, heading: &str, text: &str, cap: usize) -> io::Result<u64> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let mut options = File::options();
    let mut file = options.read(true).append(true).create(true).mode(0o644).custom_flags(flags).open(path)?;
    let bytes = read_capped(&file, cap)?;
    let start = match bytes.as_slice() {
        [] => heading,
        [.., b'\n'] => "",
        _ => "\n",
    };
    file.write_all(format!("{start}{text}").as_bytes())?;
    Ok(bytes.len() as u64)
}

/// Makes the folder `name` in `parent` beneath `folder`, unless it is there already.
///
/// # Errors
/// See [`OpenFault`].
pub fn make_folder_beneath(folder: &impl AsFd, parent: &Path, name: &Path) -> Result<(), OpenFault> {
    let parent = open_beneath(folder, parent, OpenMode::Folder)?;
    match mkdirat(&parent, name, Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(fault(error)),
    }
}

/// Opens a folder by its path, following links.
///
/// # Errors
/// See [`OpenFault`].
pub fn open_folder(path: &Path) -> Result<File, OpenFault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map(File::from).map_err(fault)
}

/// Opens a file by a path that no link is part of.
///
/// # Errors
/// See [`OpenFault`]; [`OpenFault::Outside`] also where the system cannot tell whether there is a link.
pub fn open_straight(path: &Path) -> Result<OpenFile, OpenFault> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if super::platform::is_portable() {
        return Err(OpenFault::Outside);
    }
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS) {
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::INTR) => Err(OpenFault::Outside),
        opened => checked(opened.map_err(fault)?, OpenMode::File),
    }
}

/// A descriptor for a place, with no right to read it; nothing when a link is part of the path.
pub(super) fn place_without_links(path: &Path) -> Option<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        // A container that forbids what it does not know.
        Err(Errno::NOSYS | Errno::PERM) => openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok(),
        opened => opened.ok(),
    }
}

fn beneath(folder: &impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, OpenFault> {
    let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    if super::platform::is_portable() {
        return walk(folder, path, flags, mode);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match openat2(folder, path, flags, mode, resolve) {
            // A kernel without it, or a container that forbids what it does not know.
            Err(Errno::NOSYS | Errno::PERM) => return walk(folder, path, flags, mode),
            // A rename raced with the lookup (openat2(2)); bounded, so that nobody can hold us here.
            Err(Errno::AGAIN | Errno::INTR) if tries < 64 => tries += 1,
            result => return result.map_err(fault),
        }
    }
}

/// The same for kernels without `openat2`: one part at a time, no links at all.
fn walk(folder: &impl AsFd, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, OpenFault> {
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let name = match part {
            Component::Normal(name) => name,
            Component::CurDir => std::ffi::OsStr::new("."),
            _ => return Err(OpenFault::Outside),
        };
        let step = if parts.peek().is_some() { OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC } else { flags };
        let base = at.as_ref().map_or(folder.as_fd(), AsFd::as_fd);
        at = Some(openat(base, name, step | OFlags::NOFOLLOW, mode).map_err(fault)?);
    }
    at.ok_or(OpenFault::Missing)
}

pub(super) fn fault(error: Errno) -> OpenFault {
    match error {
        Errno::NOENT | Errno::NOTDIR => OpenFault::Missing,
        Errno::XDEV | Errno::LOOP => OpenFault::Outside,
        // What opening a pipe without a reader, or a socket, answers.
        Errno::NXIO => OpenFault::Wrong("a pipe or socket"),
        Errno::ISDIR => OpenFault::Wrong("a folder"),
        error => OpenFault::Io(error.into()),
    }
}

pub(super) fn checked(fd: OwnedFd, mode: OpenMode) -> Result<OpenFile, OpenFault> {
    use rustix::fs::FileType;
    let stat = fstat(&fd).map_err(fault)?;
    let opened = |fd| Ok(OpenFile { file: File::from(fd), owner: Owner::of(&stat) });
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if mode == OpenMode::File => return opened(fd),
        FileType::Directory if mode == OpenMode::Folder => return opened(fd),
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Fifo | FileType::Socket => "a pipe or socket",
        _ => "a device",
    };
    Err(OpenFault::Wrong(found))
}

/// Reads a file of at most `cap` bytes; a longer one gives its first `cap + 1` bytes.
///
/// # Errors
/// The system's reason.
pub fn read_capped(file: &File, cap: usize) -> io::Result<Vec<u8>> {
    read_sized(file, file.metadata().map_or(0, |metadata| metadata.len()), cap)
}

fn read_sized(file: &File, size: u64, cap: usize) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).unwrap_or(cap);
    let limit = cap.saturating_add(1);
    let mut bytes = Vec::with_capacity(size.min(cap) + 1);
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.capacity().max(1024));
        }
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) if bytes.len() >= limit => break,
            // All that a regular file is long, and less than was asked for: what follows is its end.
            Ok(_) if size > 0 && bytes.len() == size => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// Reads the first bytes of a file whose place somebody else may have chosen, at most `cap` + 1 of them. A pipe or a device is an
/// error, and does not block.
///
/// # Errors
/// It is no regular file, or the system's reason.
pub fn read_regular(path: &Path, cap: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = checked(openat(CWD, path, flags, Mode::empty())?, OpenMode::File);
    file.map_err(|fault| io::Error::other(fault.to_string()))?.read_capped(cap)
}

/// Creates `path` for writing with mode 0600; an existing file is an error.
///
/// # Errors
/// The system's reason.
pub fn create_private(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).map(File::from)?)
}

/// Whose a file is and who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The owner's user id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The permission bits, `0o644` and the like.
    pub mode: u32,
    /// Device and inode, which together name the file.
    pub identity: (u64, u64),
    /// Size in bytes.
    pub size: u64,
    /// How many names it has (hard links).
    pub names: u64,
    /// When its content, its owner or its mode was last changed (`st_ctim` of POSIX): seconds since 1970, and
    /// nanoseconds. Nobody but the system can set it.
    pub changed: (i64, u32),
}

impl Owner {
    pub(super) fn of(stat: &Stat) -> Self {
        Owner {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            identity: (stat.st_dev, stat.st_ino),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            names: stat.st_nlink as _,
            changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
        }
    }

    /// The owner of an open file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn of_open(file: &impl AsFd) -> io::Result<Self> {
        Ok(Self::of(&fstat(file)?))
    }

    /// Whether someone other than the user could have changed this, and how; git's `safe.directory`
    /// rule, with the permission bits added.
    pub fn distrust(self) -> Option<String> {
        if self.uid != user_id() {
            return Some(format!("belongs to user {}, not to you (user {})", self.uid, user_id()));
        }
        // Where each user has a group of their own (umask 002 of Ubuntu and Fedora), that group is the user.
        let group = if self.mode & 0o020 != 0 && is_private_group(self.gid) { 0 } else { 0o020 };
        match self.mode & (0o002 | group) {
            0 => None,
            0o002 => Some("can be written by everyone".into()),
            0o020 => Some("can be written by its group".into()),
            _ => Some("can be written by its group and everyone".into()),
        }
    }
}

/// File systems whose files all have the same owner and mode, whatever was asked for (statfs(2)): FAT, exFAT, NTFS, CIFS,
/// SMB, 9P (the disks of Windows under WSL) and those of FUSE.
const FIXED_MODES: [u64; 8] =
    [0x4d44, 0x2011_bab0, 0x5346_544e, 0x7366_746e, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546];

/// What to add to why a path is distrusted, where its file system keeps no other mode; else nothing.
pub fn fixed_modes(path: &Path) -> &'static str {
    let kind = rustix::fs::statfs(path).map(|of| of.f_type as u64 & 0xffff_ffff);
    match kind {
        Ok(kind) if FIXED_MODES.contains(&kind) => {
            " (its file system has fixed modes: name the folder under `safe_directories` in settings.yaml)"
        }
        _ => "",
    }
}

/// Whose the file at `path` is; links are not followed.
///
/// # Errors
/// The system's reason.
pub fn owner(path: &Path) -> io::Result<Owner> {
    Ok(Owner::of(&statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// Whose that is which the path leads to, links followed.
///
/// # Errors
/// The system's reason.
pub fn owner_of_target(path: &Path) -> io::Result<Owner> {
    Ok(Owner::of(&statat(CWD, path, AtFlags::empty())?))
}

/// Whether nothing may be executed from the file system that a file lies on.
pub fn is_noexec(file: &impl AsFd) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|of| of.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out_of_a_folder_with_or_without_openat2() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        std::fs::create_dir_all(inner.join("sub")).unwrap();
        for path in [outer.path().join("secret"), inner.join("file"), inner.join("sub/file")] {
            std::fs::write(path, "x").unwrap();
        }
        symlink("../secret", inner.join("out")).unwrap();
        symlink("..", inner.join("up")).unwrap();
        symlink("file", inner.join("link")).unwrap();
        let folder = open_folder(&inner).unwrap();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        for (path, with, without) in [
            ("file", true, true),
            ("sub/file", true, true),
            ("./sub/./file", true, true),
            // A link that stays inside is followed by openat2; the walk follows none.
            ("link", true, false),
            ("out", false, false),
            ("up/secret", false, false),
            ("../secret", false, false),
            ("sub/../../secret", false, false),
            ("/etc/passwd", false, false),
            ("missing", false, false),
            ("file/deeper", false, false),
        ] {
            let path = Path::new(path);
            assert_eq!(open_beneath(&folder, path, OpenMode::File).is_ok(), with, "{path:?}");
            assert_eq!(walk(&folder, path, flags, Mode::empty()).is_ok(), without, "{path:?} by the walk");
        }
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let open = open_folder(folder.path()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        for (name, wanted) in [("pipe", "it is a pipe or socket"), ("folder", "it is a folder")] {
            let fault = open_beneath(&open, Path::new(name), OpenMode::File).unwrap_err();
            assert_eq!(fault.to_string(), wanted);
        }
    }
}
