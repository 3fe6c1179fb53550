//! Removing a folder with everything in it, however deep that goes: a hook can make folders in folders until neither a path
//! nor the descriptors of a process suffice to reach the last one.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, chmodat, fchmod, openat, renameat, unlinkat};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Removes a folder of the user's own and all that is in it, through no link.
///
/// # Errors
/// Something in it cannot be removed, such as what another user owns; the rest is removed all the same.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let top = open(rustix::fs::CWD, path)?;
    let mut number = 0_u64;
    let mut first = Ok(());
    // Folders in folders are moved up to the top, so that only two are open at a time.
    loop {
        let mut again = false;
        for name in names(&top)? {
            let emptied = match unlinkat(&top, &*name, AtFlags::empty()) {
                Ok(()) => continue,
                Err(_) => empty(&top, &name, &mut number, &mut again),
            };
            let removed = emptied.and_then(|()| Ok(unlinkat(&top, &*name, AtFlags::REMOVEDIR)?));
            first = first.and(removed);
        }
        if !again || first.is_err() {
            break;
        }
    }
    first.and(std::fs::remove_dir(path))
}

/// Removes what is in the folder `name` of `top`; folders in it are moved to `top`.
fn empty(top: &OwnedFd, name: &CStr, number: &mut u64, moved: &mut bool) -> io::Result<()> {
    let folder = match open(top, name) {
        Ok(folder) => folder,
        Err(_) => {
            // Its owner may have taken the right to read it.
            chmodat(top, name, Mode::RWXU, AtFlags::empty())?;
            open(top, name)?
        }
    };
    // Without the right to write, nothing in it can be removed.
    let _ = fchmod(&folder, Mode::RWXU);
    for inner in names(&folder)? {
        if unlinkat(&folder, &*inner, AtFlags::empty()).is_ok() {
            continue;
        }
        if unlinkat(&folder, &*inner, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        // To be moved, a folder has to be writable: its `..` changes.
        let _ = chmodat(&folder, &*inner, Mode::RWXU, AtFlags::empty());
        loop {
            *number += 1;
            match renameat(&folder, &*inner, top, format!(".{number}")) {
                Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOTDIR) => {}
                done => break done?,
            }
        }
        *moved = true;
    }
    Ok(())
}

fn open(at: impl AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}

/// The names in a folder, itself and the one above left out.
fn names(folder: &OwnedFd) -> io::Result<Vec<std::ffi::CString>> {
    let entries = Dir::read_from(folder)?;
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_owned());
    Ok(names.filter(|name| !matches!(name.to_bytes(), b"." | b"..")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn removes_what_is_deeper_than_any_path_and_follows_no_link() {
        let base = tempfile::tempdir().unwrap();
        let outside = base.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("mine"), "").unwrap();
        let top = base.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::write(top.join(".1"), "a name that it would take").unwrap();
        let mut folder = open(rustix::fs::CWD, &top).unwrap();
        for number in 0..6000 {
            rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
            if number % 1000 == 0 {
                rustix::fs::mkdirat(&folder, "e", Mode::RWXU).unwrap();
                rustix::fs::symlinkat(outside.as_path(), &folder, "link").unwrap();
            }
            folder = open(&folder, "d").unwrap();
        }
        symlink(&outside, top.join("out")).unwrap();
        fs::create_dir_all(top.join("locked/inner/more")).unwrap();
        for name in ["locked/inner/more", "locked/inner", "locked"] {
            fs::set_permissions(top.join(name), fs::Permissions::from_mode(0o0)).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists() && outside.join("mine").exists());
        assert!(remove_tree(&top).is_err(), "it is gone");
    }
}
