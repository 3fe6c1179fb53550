//! Power cuts: a user with a project on a disk of their own, and processes that write to it until nothing reaches it any more.

use super::support;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A file system of its own in a file, which can be cut off like a disk without power.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    fn new(folder: &Path) -> Option<Self> {
        let disk = Disk { image: folder.join("disk.img"), mounted: folder.join("disk") };
        fs::create_dir_all(&disk.mounted).unwrap();
        File::create(&disk.image).unwrap().set_len(96 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image).status();
        (made.is_ok_and(|status| status.success()) && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        let mount = Command::new("mount")
            .args(["-o", "loop"])
            .args([&self.image, &self.mounted])
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success())
    }

    /// A process that cuts the power once its standard input ends: from then on nothing reaches the disk any more, not even
    /// what is in the journal's buffers (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH).
    fn switch(&self) -> Child {
        let script = "import fcntl, os, struct, sys\nfolder = os.open(sys.argv[1], os.O_RDONLY)\nprint(flush=True)\n\
            sys.stdin.read()\nfcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(&self.mounted).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut switch = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(switch.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "\n", "it is ready");
        switch
    }

    fn unmount(&self) -> bool {
        (0..100).any(|_| {
            let ended = Command::new("umount").arg(&self.mounted).stderr(Stdio::null()).status().unwrap();
            // Somebody may just be closing the last file.
            ended.success() || {
                std::thread::sleep(Duration::from_millis(20));
                false
            }
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// A user with a project on a disk of their own.
pub struct Place {
    disk: Disk,
    pub home: PathBuf,
    pub root: PathBuf,
    _folder: tempfile::TempDir,
}

impl Place {
    /// Nothing where this machine has no such disks: they need root, mkfs.ext4 and loop devices.
    pub fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path())?;
        let (home, root) = (disk.mounted.join("home"), disk.mounted.join("project"));
        for path in [&home, &root.join(".knockon")] {
            fs::create_dir_all(path).unwrap();
        }
        support::write(&root.join(".knockon/hooks.yaml"), "version: '1.0'\nhooks: []\n", 0o644);
        Some(Place { disk, home, root, _folder: folder })
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
        command.args(arguments).current_dir(&self.root).env_clear().env("HOME", &self.home);
        command.env("PATH", "/usr/bin:/bin").output().unwrap()
    }

    /// A process of these tests that is `test`, in the project.
    pub fn writer(&self, test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).current_dir(&self.root).env("HOME", &self.home);
        command.env_remove("XDG_STATE_HOME").env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        command
    }

    /// Cuts the power `after` three writers began, or once one of them has acknowledged something, and mounts what is on
    /// the disk then. Returns what they had acknowledged by that moment, each a line that `said` knows.
    pub fn cut_under<T: Send + 'static>(
        &self,
        after: Duration,
        start: impl Fn() -> Child,
        said: fn(&str) -> Option<T>,
    ) -> Vec<T> {
        assert!(Command::new("sync").arg("-f").arg(&self.disk.mounted).status().unwrap().success());
        let mut switch = self.disk.switch();
        let mut children: Vec<Child> = (0..3).map(|_| start()).collect();
        let (send, lines) = std::sync::mpsc::channel();
        let readers: Vec<_> = children
            .iter_mut()
            .map(|child| {
                let (stdout, send) = (BufReader::new(child.stdout.take().unwrap()), send.clone());
                std::thread::spawn(move || {
                    let acknowledged = stdout.lines().map_while(Result::ok).filter_map(|line| said(&line));
                    acknowledged.map_while(|one| send.send(one).ok()).for_each(drop);
                })
            })
            .collect();
        drop(send);
        let began = Instant::now();
        let mut acknowledged = Vec::new();
        while began.elapsed() < after || acknowledged.is_empty() {
            acknowledged.extend(lines.recv_timeout(Duration::from_millis(5)));
            assert!(began.elapsed() < Duration::from_secs(30), "nobody writes");
        }
        drop(switch.stdin.take());
        assert!(switch.wait().unwrap().success());
        children.iter_mut().for_each(|child| child.kill().unwrap());
        for child in &mut children {
            child.wait().unwrap();
        }
        drop(lines);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(self.disk.unmount(), "nobody has a file open");
        assert!(self.disk.mount(), "it comes up again");
        acknowledged
    }
}
