//! Sockets through which a program outside does what is asked: the user's session, containers, the display, agents for keys;
//! and the user's terminals. Landlock does not speak of connecting to a socket, so a sandbox puts something empty over them.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders and sockets of the machine: of each user's session (systemd, D-Bus, gpg-agent, Wayland), of the system, of
/// containers, of X11.
const OF_MACHINE: &[&str] = &[
    "/run/user",
    "/run/dbus",
    "/run/systemd/private",
    "/run/docker.sock",
    "/run/docker",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/libvirt",
    "/run/snapd.socket",
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/tmp/.X11-unix",
    "/tmp/.ICE-unix",
    "/dev/pts",
];
/// Below the home folder: agents for keys, and containers of a user.
const AT_HOME: &[&str] = &[".gnupg", ".ssh/agent", ".docker/run", ".docker/desktop", ".colima", ".lima", ".dbus"];
/// How many entries of the folder for temporary files are looked at for agents of ssh.
const MOST_ENTRIES: usize = 4096;

/// What to put something empty over, as far as it is there: folders, and sockets by themselves. Nothing that holds or lies in
/// what the hook may use (`declared`).
pub(super) fn to_cover(home: Option<&Path>, agent: Option<PathBuf>, declared: &[&Path]) -> Vec<PathBuf> {
    let of_machine = OF_MACHINE.iter().map(PathBuf::from);
    let at_home = home.into_iter().flat_map(|home| AT_HOME.iter().map(|name| home.join(name)));
    // ssh-agent(1) makes them there, one a session.
    let temporary = fs::read_dir("/tmp").into_iter().flatten().flatten().take(MOST_ENTRIES);
    let agents = temporary.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"ssh-"));
    let all = of_machine.chain(at_home).chain(agent).chain(agents.map(|entry| entry.path()));
    let there = all.filter(|path| path.symlink_metadata().is_ok());
    let mut found: Vec<PathBuf> = there.filter_map(|path| path.canonicalize().ok()).collect();
    found.retain(|path| !declared.iter().any(|declared| declared.starts_with(path) || path.starts_with(declared)));
    found.sort();
    found.dedup();
    // What lies in a covered folder is gone with it.
    let folders = found.clone();
    found.retain(|path| !folders.iter().any(|folder| path != folder && path.starts_with(folder)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_left_and_what_is_in_another_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for made in [".gnupg", ".ssh/agent", ".docker/run", "agents"] {
            fs::create_dir_all(home.join(made)).unwrap();
        }
        let agent = home.join(".gnupg/S.ssh");
        fs::write(&agent, "").unwrap();
        let covered = |declared: &[&Path]| {
            let all = to_cover(Some(&home), Some(agent.clone()), declared);
            let below = all.iter().filter_map(|path| path.strip_prefix(&home).ok());
            below.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(covered(&[]), [".docker/run", ".gnupg", ".ssh/agent"]);
        assert_eq!(covered(&[&home.join(".gnupg"), &home.join(".docker")]), [".ssh/agent"]);
        assert_eq!(covered(&[&home.join(".ssh/agent/s")]), [".docker/run", ".gnupg"]);
        assert_eq!(covered(&[&home]), [""; 0]);
    }
}
