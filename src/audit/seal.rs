//! The seal: the head of the chain as it was last seen, kept in the user's state folder, where nothing that writes to
//! the project reaches it.
//!
//! A log that was cut, emptied or written anew no longer has the line that was sealed. Then the old head stays
//! beside the new one, so that what follows cannot cover it.

use super::link::{Hash, Point};
use crate::project::{Layout, Project, UserFolders};
use crate::sys::{self, OpenFile};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another process is waited for that seals as well.
const LOCK_WAIT: Duration = Duration::from_millis(200);
/// As long as most seals are at most.
const USUAL: usize = 4096;
/// More than any seal is long.
const LONGEST: usize = 64 * 1024;
/// The most heads that are kept when the log does not have them any more.
const MOST_HEADS: usize = 16;
/// By how much two starts of the machine differ at least, in milliseconds; the clock of one start does not, unless it
/// is set.
const ONE_START_MS: u64 = 50;
/// The characters of the checksum before the text.
const SUM: usize = 16;

/// The end of the chain at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last line.
    pub seq: u64,
    /// BLAKE3 of it, in hexadecimal digits.
    pub hash: String,
    /// The file it was in: device and inode.
    pub(super) file: (u64, u64),
    /// Where it ended there.
    pub(super) size: u64,
    /// When it was sealed, in milliseconds since 1970.
    pub(super) at: u64,
    /// When the machine was started, by its clock, in milliseconds since 1970.
    #[serde(default)]
    pub(super) started: u64,
    /// The start of the machine it was sealed in: its name.
    pub(super) boot: String,
}

impl Head {
    /// When it was sealed.
    pub fn sealed_at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }

    /// Its place in the chain; nothing when the hash is none.
    pub(super) fn point(&self) -> Option<Point> {
        Some(Point { seq: self.seq, hash: Hash::from_hex(&self.hash).ok()? })
    }
}

/// Records that were sealed, were not on the disk, and were gone when the machine came up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// When they were sealed, in milliseconds since 1970.
    pub(super) at: u64,
}

/// All files of the log were gone at once, as `git clean` leaves it, and it began anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The last record that was sealed before.
    pub to: u64,
    /// When that was sealed, in milliseconds since 1970.
    pub(super) at: u64,
    /// When the files were missed, in milliseconds since 1970.
    pub(super) missed: u64,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seals {
    /// The project's path, for people.
    pub(super) project: String,
    /// Heads, the last one sealed last. All but that one were not in the log any more when they should have been.
    pub(super) heads: Vec<Head>,
    /// The last head that is known to be on the disk.
    pub(super) synced: Option<Head>,
    /// The last line that was removed because it was old: its number and hash.
    pub(super) base: Option<(u64, String)>,
    /// What was lost when the machine went down.
    pub(super) lost: Vec<Lost>,
    /// How often the whole log was gone.
    #[serde(default)]
    pub(super) resets: Vec<Reset>,
    /// The last record when the user took the log as it was: up to there, records of others are no longer named.
    #[serde(default)]
    pub(super) accepted: u64,
    /// When old files were last looked for, in milliseconds since 1970.
    pub(super) swept: u64,
    /// When a seal was found that could not be read, in milliseconds since 1970.
    pub(super) damaged: Option<u64>,
}

/// How the head that was sealed before relates to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// The log has it.
    There,
    /// The log does not have it.
    Gone,
}

impl Seals {
    /// Whether a line was removed because it was old.
    pub(super) fn covers(&self, seq: u64) -> bool {
        self.base.as_ref().is_some_and(|(base, _)| seq <= *base)
    }

    /// The last line that was removed because it was old.
    pub(super) fn base_point(&self) -> Option<Point> {
        let (seq, hash) = self.base.as_ref()?;
        Some(Point { seq: *seq, hash: Hash::from_hex(hash).ok()? })
    }

    /// Takes note that no file of the log is there. What was missed before stays on record: removing all of a log makes no
    /// cut undone.
    pub(super) fn reset(&mut self, now: Timestamp) {
        let Some(last) = self.heads.last().filter(|last| !self.covers(last.seq)) else { return };
        let reset = Reset { to: last.seq, at: last.at, missed: now.as_millis() };
        self.heads.pop();
        (self.synced, self.base) = (None, None);
        self.resets.push(reset);
        let surplus = self.resets.len().saturating_sub(MOST_HEADS);
        self.resets.drain(..surplus);
    }

    /// The name of the start of the machine in which `head` was made. That of the last head, when the clock says that
    /// it is the same start: asking the system takes longer than the rest of a seal.
    fn boot_of(&self, head: &Head) -> String {
        let same = |last: &&Head| {
            last.started > 0 && last.started.abs_diff(head.started) <= ONE_START_MS && last.at <= head.at
        };
        self.heads.last().filter(same).map_or_else(sys::boot_id, |last| last.boot.clone())
    }

    /// Seals `head`; `synced` is the last that is known to be on the disk. `found` is the number of the last line when
    /// this process first looked; `before` looks for the head that was sealed last in the log.
    pub(super) fn add(
        &mut self,
        (mut head, synced): (Head, Option<Head>),
        found: u64,
        before: impl FnOnce(&Head) -> Before,
    ) {
        if head.boot.is_empty() {
            head.boot = self.boot_of(&head);
        }
        let on_disk = self.synced.as_ref().map(|synced| synced.seq);
        if let Some(synced) = synced.filter(|synced| on_disk.is_none_or(|seq| seq < synced.seq)) {
            self.synced = Some(synced);
        }
        let Some(last) = self.heads.last() else { return self.heads.push(head) };
        let synced = on_disk.is_some_and(|synced| synced >= last.seq);
        let was_removed = self.covers(last.seq);
        match if was_removed { Before::There } else { before(last) } {
            // The log was begun anew after what was removed, and its numbers are those that were removed.
            Before::There if was_removed && last.seq >= head.seq => self.heads.push(head),
            // Another process was quicker, and has seen more.
            Before::There if last.seq >= head.seq => {}
            Before::There => {
                self.heads.pop();
                self.heads.push(head);
            }
            // Nobody promised that it would survive this.
            Before::Gone if last.boot != head.boot && !synced && last.seq > found => {
                let lost = Lost { from: found + 1, to: last.seq, at: last.at };
                self.lost.push(lost);
                self.heads.pop();
                self.heads.push(head);
            }
            Before::Gone => {
                if self.heads.len() >= MOST_HEADS {
                    self.heads.pop();
                }
                self.heads.push(head);
            }
        }
        let surplus = self.lost.len().saturating_sub(MOST_HEADS);
        self.lost.drain(..surplus);
    }
}

/// The file of one project's seal.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    path: PathBuf,
    project: String,
}

impl Seal {
    /// That of a project; nothing when the user has no place for it.
    pub(super) fn of(project: &Project, user: &UserFolders) -> Option<Self> {
        // A project that changes its layout begins another log.
        let layout = match project.layout() {
            Layout::Flowspec => "-flowspec",
            Layout::Knockon => "-knockon",
            Layout::Bare => "-bare",
        };
        let name = project.key() + layout;
        let path = user.state.as_ref()?.join("seals").join(name);
        Some(Seal { path, project: project.root_text() })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is sealed; nothing when nothing is.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(super) fn read(&self) -> io::Result<Option<Seals>> {
        let Some(file) = sys::open_private_named(&self.path)? else { return Ok(None) };
        if let Some(why) = sys::not_private(sys::Owner::of_open(&file)?) {
            return Err(io::Error::new(ErrorKind::PermissionDenied, format!("it {why}")));
        }
        // Whoever writes it holds the lock; a reader that cannot have it reads all the same, and sees a bad sum at worst.
        let _ = sys::lock_exclusive(&file, LOCK_WAIT);
        let bytes = sys::read_capped(&file, LONGEST)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        parse(&bytes).map(Some).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is damaged"))
    }

    /// The line that a log without any file goes on from: the last that was removed because it was old. Where records are
    /// missing that were not, there is none, and that is kept.
    pub(super) fn begin_anew(&self) -> Option<Point> {
        let seals = self.read().ok()??;
        let is_reset = seals.heads.last().is_some_and(|last| !seals.covers(last.seq));
        if is_reset && self.change(|seals| seals.reset(Timestamp::now())).is_ok() {
            return None;
        }
        seals.base_point()
    }

    /// Changes what is sealed, one process at a time.
    ///
    /// # Errors
    /// It cannot be read or written; it is as it was then.
    pub(super) fn change(&self, change: impl FnOnce(&mut Seals)) -> io::Result<()> {
        let file = self.open()?;
        sys::lock_exclusive(&file, LOCK_WAIT).map_err(|error| io::Error::other(error.to_string()))?;
        let mut bytes = vec![0; USUAL];
        let mut length = file.read_at(&mut bytes, 0)?;
        if length == USUAL {
            bytes.resize(LONGEST, 0);
            length += file.read_at(&mut bytes[USUAL..], USUAL as u64)?;
        }
        bytes.truncate(length);
        let before = if bytes.is_empty() { Some(Seals::default()) } else { parse(&bytes) };
        let mut seals = match before {
            Some(seals) => seals,
            None => {
                let now = Timestamp::now().as_millis();
                sys::replace_private(&self.path.with_extension(format!("damaged-{now}")), &bytes)?;
                Seals { damaged: Some(now), ..Seals::default() }
            }
        };
        change(&mut seals);
        seals.project.clone_from(&self.project);
        let text = serde_json::to_string(&seals)?;
        let written = format!("{} {text}\n", sum(text.as_bytes()));
        if bytes.starts_with(written.as_bytes()) {
            return Ok(());
        }
        let bytes = written;
        // One write of less than a page: whoever is killed here has written all of it or nothing.
        file.write_all_at(bytes.as_bytes(), 0)?;
        if bytes.len() < length {
            file.set_len(bytes.len() as u64)?;
        }
        Ok(())
    }

    fn open(&self) -> io::Result<OpenFile> {
        let file = match sys::update_private(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                sys::make_private_folder(self.path.parent().unwrap_or(Path::new("")))?;
                sys::update_private(&self.path)
            }
            opened => opened,
        }?;
        match sys::not_private(file.owner()) {
            Some(why) => Err(io::Error::new(ErrorKind::PermissionDenied, format!("it {why}"))),
            None => Ok(file),
        }
    }
}

/// A checksum against a write that was cut short, and against nothing else: only the user can write there, and an emit computes it
/// twice.
fn sum(text: &[u8]) -> String {
    let mix = |sum: u64, part: &[u8]| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        // An odd number with bits everywhere, that of SplitMix64.
        (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    };
    format!("{:016x}", text.chunks(8).fold(text.len() as u64, mix))
}

fn parse(bytes: &[u8]) -> Option<Seals> {
    let (said, text) = bytes.split_at_checked(SUM)?;
    // What is behind the first line is left of a longer one.
    let text = text.strip_prefix(b" ")?.split(|byte| *byte == b'\n').next()?;
    // Before, it was the beginning of the text's BLAKE3.
    let is_whole = sum(text).as_bytes() == said || blake3::hash(text).to_hex().as_bytes()[..SUM] == *said;
    is_whole.then(|| serde_json::from_slice(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64, at: u64) -> Head {
        Head {
            seq,
            hash: blake3::hash(&seq.to_le_bytes()).to_hex().to_string(),
            file: (1, 2),
            size: seq * 100,
            at,
            started: 0,
            boot: "one".into(),
        }
    }

    #[test]
    fn a_head_that_is_gone_stays_on_record() {
        let mut seals = Seals::default();
        seals.add((head(5, 10), None), 3, |_| unreachable!());
        seals.add((head(9, 20), None), 3, |_| Before::There);
        assert_eq!(seals.heads, [head(9, 20)]);
        seals.add((head(7, 30), None), 3, |_| Before::There);
        assert_eq!(seals.heads, [head(9, 20)], "another process has seen more");
        seals.add((head(3, 40), None), 3, |_| Before::Gone);
        seals.add((head(12, 50), None), 3, |_| Before::There);
        assert_eq!(seals.heads, [head(9, 20), head(12, 50)]);
        for seq in 20..60 {
            seals.add((head(seq, 60), None), 3, |_| Before::Gone);
        }
        assert_eq!((seals.heads.len(), &seals.heads[0], seals.heads[15].seq), (MOST_HEADS, &head(9, 20), 59));
    }

    #[test]
    fn what_was_not_on_the_disk_may_be_gone_after_a_start_of_the_machine() {
        let gone = |synced: bool, boot: &str| {
            let mut seals = Seals::default();
            seals.add((head(9, 20), synced.then(|| head(9, 20))), 3, |_| unreachable!());
            let later = Head { boot: boot.into(), ..head(8, 40) };
            seals.add((later, None), 3, |_| Before::Gone);
            (seals.heads.len(), seals.lost.len())
        };
        assert_eq!(gone(false, "two"), (1, 1));
        assert_eq!(gone(false, "one"), (2, 0), "the machine was up all the time");
        assert_eq!(gone(true, "two"), (2, 0), "it was on the disk");
    }

    #[test]
    fn the_start_of_the_machine_is_asked_for_where_the_clock_does_not_tell() {
        let sealed = Head { started: 5_000, ..head(9, 20_000) };
        let seals = Seals { heads: vec![sealed.clone()], ..Seals::default() };
        let boot = |started: u64, at: u64| seals.boot_of(&Head { started, at, ..head(10, at) });
        assert_eq!(boot(5_010, 20_001), "one");
        for (started, at) in [(5_100, 20_001), (4_000, 20_001), (5_000, 19_999)] {
            assert_eq!(boot(started, at), sys::boot_id());
        }
        let old = Seals { heads: vec![Head { started: 0, ..sealed }], ..Seals::default() };
        assert_eq!(old.boot_of(&head(10, 20_001)), sys::boot_id(), "a seal from before");
    }

    #[test]
    fn a_seal_that_was_changed_is_none() {
        let text = serde_json::to_string(&Seals { heads: vec![head(1, 2)], ..Seals::default() }).unwrap();
        let bytes = format!("{} {text}\n", sum(text.as_bytes()));
        assert_eq!(parse(bytes.as_bytes()).unwrap().heads, [head(1, 2)]);
        assert_eq!(parse(format!("{bytes}left of a longer one\n").as_bytes()).unwrap().heads, [head(1, 2)]);
        assert_eq!(parse(bytes.replace("\"seq\":1", "\"seq\":2").as_bytes()), None);
        let before = format!("{} {text}\n", &blake3::hash(text.as_bytes()).to_hex()[..SUM]);
        assert_eq!(parse(before.as_bytes()).unwrap().heads, [head(1, 2)], "a seal of an earlier version");
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"0123456789abcdef"), None);
    }
}
