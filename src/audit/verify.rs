//! Whether the log is what was written: every record linked to the one before, and every sealed head in its place.

use super::append::{AuditError, AuditLog};
use super::end::{last_point, last_record};
use super::lines::each_line;
use super::link::{Hash, Link, Point};
use super::mac::{Author, judge};
use super::pieces::{Break, Piece, Seen, Wanted, read};
use super::place::Segment;
use super::seal::{Head, Lost, Reset, Seals};
use crate::sys;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What a check found.
#[derive(Debug, Default)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The numbers of the first and the last.
    pub range: Option<(u64, u64)>,
    /// The head that was sealed last.
    pub sealed: Option<Head>,
    /// Whether records are not linked to each other, or cannot be read: no seal can mend that.
    pub is_broken: bool,
    /// How many of them this user wrote; nothing where the key is missing that could tell.
    pub own: Option<u64>,
    /// Which of them others wrote, or say nothing of it: the first and the last number of each row. Empty without a key.
    pub others: Vec<(u64, u64)>,
    /// How many lines are another program's, and no records of ours.
    pub unnumbered: u64,
    /// What is wrong, the first bad record first. Nothing, when all is well.
    pub faults: Vec<Fault>,
    /// What a person should know all the same.
    pub notes: Vec<String>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file it is in, and the line there; nothing when what is wrong is that something is missing.
    pub place: Option<(PathBuf, u64)>,
    /// The number of the record.
    pub seq: Option<u64>,
    /// The event it is about.
    pub event_id: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((path, line)) = &self.place {
            write!(f, "{}:{line}: ", path.display())?;
        }
        f.write_str(&self.problem)?;
        match &self.event_id {
            Some(id) => write!(f, " ({id})"),
            None => Ok(()),
        }
    }
}

/// Something that was sealed and has to be there.
#[derive(Clone, Debug)]
struct Mark {
    hash: Option<Hash>,
    at: Timestamp,
    kind: MarkKind,
    /// Whose word it is.
    whose: &'static str,
}

/// What kind of a seal it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MarkKind {
    /// A person kept it elsewhere.
    Kept,
    /// Nothing but a person can have taken it away.
    Durable,
    /// It may not have been on the disk when the machine went down.
    Relaxed,
    /// It was missed already, when the next one was sealed.
    Gone,
}

/// A line that was kept elsewhere, as [`AuditLog::seal_line`] made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealLine {
    seq: u64,
    hash: Hash,
    at: Timestamp,
}

/// How such a line begins.
const SEAL_WORD: &str = "knockon-seal-1";

impl std::str::FromStr for SealLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let part = |word: &str, name: &str| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let read = || {
            let [SEAL_WORD, seq, hash, at, ..] = words[..] else { return None };
            Some(SealLine {
                seq: part(seq, "seq")?.parse().ok().filter(|seq| *seq > 0)?,
                hash: Hash::from_hex(part(hash, "blake3")?).ok()?,
                at: Timestamp::parse(&part(at, "at")?)?,
            })
        };
        read().ok_or_else(|| format!("this is no line of `audit seal --print`: {SEAL_WORD} seq=… blake3=… at=…"))
    }
}

impl AuditLog {
    /// Checks the whole log. `kept` are lines that were kept elsewhere.
    ///
    /// # Errors
    /// The log or its seal cannot be read.
    pub fn verify(&self, kept: &[SealLine]) -> Result<Verified, AuditError> {
        let mut found = self.verify_own(kept)?;
        found.notes.extend(self.elsewhere().map(|path| {
            format!("further records are in {}: they were written while the log could not be", path.display())
        }));
        for other in self.of_other_layouts() {
            // A project that changed its folder left that log behind; one that was given another folder lost it.
            match other.verify_own(&[]) {
                Ok(theirs) => {
                    let path = other.path().display().to_string();
                    let at = |text: String| format!("{path}: {text}");
                    found.notes.extend(theirs.notes.into_iter().map(at));
                    let fault = |fault: Fault| match fault.place {
                        Some(_) => fault,
                        None => Fault { problem: at(fault.problem), ..fault },
                    };
                    found.faults.extend(theirs.faults.into_iter().map(fault));
                }
                Err(error) => {
                    found.faults.push(Fault { place: None, seq: None, event_id: None, problem: error.to_string() });
                }
            }
        }
        Ok(found)
    }

    fn verify_own(&self, kept: &[SealLine]) -> Result<Verified, AuditError> {
        let mut found = Verified::default();
        // The seal first: what is sealed from now on is in the log already.
        let before = self.sealed(&mut found)?;
        let segments = self.segments()?;
        let after = self.sealed(&mut Verified::default())?;
        found.sealed = before.as_ref().and_then(|seals| seals.heads.last().cloned());
        let before = before.map(|mut seals| {
            if segments.is_empty() {
                seals.reset(Timestamp::now());
            }
            seals
        });
        let marks = marks(before.as_ref(), kept);
        let marked: BTreeSet<u64> = marks.keys().copied().collect();
        let mut whole = Piece::default();
        let signer = self.checker();
        let wanted = Wanted { marks: &marked, signer: signer.as_ref() };
        for segment in segments.iter().rev() {
            match read(segment, wanted) {
                Ok(piece) => self.join(&mut whole, piece, segment, &mut found),
                Err(error) => {
                    let problem = format!("{} cannot be read: {error}", self.file(segment).display());
                    found.faults.push(Fault { place: None, seq: None, event_id: None, problem });
                    found.is_broken = true;
                }
            }
        }
        (found.records, found.bytes) = (whole.records, whole.bytes);
        found.range = whole.first.zip(whole.last).map(|(first, (_, last))| (first.link.seq, last.seq));
        found.own = signer.as_ref().map(|_| whole.authors.own);
        whole.authors.accept(before.as_ref().map_or(0, |seals| seals.accepted));
        found.others = if signer.is_some() { whole.authors.others.clone() } else { Vec::new() };
        found.unnumbered = whole.authors.lines;
        let who = if signer.is_some() { whole.authors.note() } else { whole.authors.note_without_key() };
        found.notes.extend(who);
        let oldest = segments.last();
        if !found.is_broken && whole.lead.is_none() {
            let base = after.as_ref().and_then(Seals::base_point);
            let missing = beginning(whole.first.map(|first| first.link), base, before.is_some(), &mut found.notes);
            if let (Some(problem), Some(oldest)) = (missing, oldest) {
                let place = Some((self.file(oldest), 1));
                found.faults.push(Fault { place, seq: None, event_id: None, problem });
            }
        }
        self.check_marks(&marks, &whole, after.as_ref(), &mut found);
        if let Some(seals) = &before {
            found.notes.extend(seals.lost.iter().map(lost));
            found.notes.extend(seals.resets.iter().map(reset));
        }
        Ok(found)
    }

    /// What is sealed; a seal that cannot be believed is told.
    fn sealed(&self, found: &mut Verified) -> Result<Option<Seals>, AuditError> {
        let Some(seal) = &self.seal else {
            found.notes.push("there is no place for a seal: set HOME or XDG_STATE_HOME".into());
            return Ok(None);
        };
        match seal.read() {
            Ok(Some(seals)) => {
                if let Some(at) = seals.damaged {
                    let at = Timestamp::from_millis(at);
                    found
                        .notes
                        .push(format!("the seal was damaged, and begun anew at {at}; what was there is beside it"));
                }
                Ok(Some(seals))
            }
            Ok(None) => {
                let path = seal.path().display();
                found
                    .notes
                    .push(format!("nothing is sealed in {path}: only the links between the records were checked"));
                Ok(None)
            }
            Err(error) => {
                let problem = format!("the seal {} cannot be used: {error}", seal.path().display());
                found.faults.push(Fault { place: None, seq: None, event_id: None, problem });
                Ok(None)
            }
        }
    }

    fn file(&self, segment: &Segment) -> PathBuf {
        self.path().with_file_name(segment.name())
    }

    /// Puts a file's records behind those of the older files.
    fn join(&self, whole: &mut Piece, mut piece: Piece, segment: &Segment, found: &mut Verified) {
        // Offsets are those of one file each.
        let before = whole.last;
        let broken = match (before, piece.first) {
            (Some((_, last)), Some(first)) => {
                let wanted = last.seq.checked_add(1);
                let fits = Some(first.link.seq) == wanted && first.link.prev == piece.lead.unwrap_or(last.hash);
                (!fits).then_some(Break::File(last.seq)).or_else(|| piece.broken.take())
            }
            _ => piece.broken.take(),
        };
        whole.join(Piece { first: None, broken: None, ..piece });
        whole.first = whole.first.or(piece.first);
        if let (Some(broken), false) = (broken, found.is_broken) {
            found.faults.push(self.fault(segment, piece.first, &broken));
            found.is_broken = true;
        }
    }

    fn fault(&self, segment: &Segment, first: Option<Seen>, broken: &Break) -> Fault {
        let (offset, seq, problem) = match *broken {
            Break::NoRecord(offset) => (offset, None, "this line is no record".to_owned()),
            Break::Number(offset, seq, wanted) => {
                let problem = if seq > wanted {
                    format!("record {seq} stands where {wanted} should be: what was between is missing")
                } else {
                    format!("record {seq} stands where {wanted} should be: it was moved, doubled or put in")
                };
                (offset, Some(seq), problem)
            }
            Break::Changed(offset, seq) => {
                (offset, Some(seq), format!("record {seq} is not what it was when the next one was written"))
            }
            Break::Forged(offset, seq) => {
                let problem = format!("record {seq} says that you wrote it, and was changed, or made by someone else");
                (offset, Some(seq), problem)
            }
            Break::File(seq) => {
                let first = first.map_or(0, |first| first.link.seq);
                let problem = format!(
                    "record {first} does not follow record {seq}, the last of the file before: one of the files was changed, or is missing"
                );
                (0, Some(first), problem)
            }
        };
        let (mut line, mut event_id) = (1, None);
        let mut at = 0;
        // Only for a log with a fault: what stands there, and on which line.
        let looked = each_line(segment, &mut |text| {
            if at == offset {
                event_id = super::Entry::read(text).and_then(|entry| entry.filled("event_id").map(str::to_owned));
                return Err(io::ErrorKind::Interrupted.into());
            }
            at += text.len() as u64 + 1;
            line += 1;
            Ok(())
        });
        let place = looked.is_err().then(|| (self.file(segment), line));
        Fault { place: place.or_else(|| Some((self.file(segment), line))), seq, event_id, problem }
    }

    /// Whether what was sealed is there.
    fn check_marks(
        &self,
        marks: &BTreeMap<u64, Vec<Mark>>,
        whole: &Piece,
        seals: Option<&Seals>,
        found: &mut Verified,
    ) {
        let last = whole.last.map_or(0, |(_, last)| last.seq);
        for (seq, mark) in marks.iter().flat_map(|(seq, marks)| marks.iter().map(move |mark| (*seq, mark))) {
            let mut there = whole.marked.iter().filter(|point| point.seq == seq).peekable();
            let Mark { at, whose, .. } = mark;
            let is_somewhere = there.peek().is_some();
            // Behind a break nothing was looked at.
            if there.any(|point| Some(point.hash) == mark.hash) || (found.is_broken && !is_somewhere) {
                continue;
            }
            // What was removed because it was old is sealed as what the rest stands on.
            let removed = !is_somewhere && seals.is_some_and(|seals| seals.covers(seq));
            let problem = match mark.kind {
                MarkKind::Gone => format!(
                    "record {seq}, that {whose} sealed at {at}, was no longer there when the next one was sealed: the log was cut, emptied or changed"
                ),
                _ if is_somewhere => format!(
                    "record {seq} is not the one that {whose} sealed at {at}: the log was changed, or cut and continued"
                ),
                MarkKind::Kept if removed => {
                    found
                        .notes
                        .push(format!("record {seq}, that {whose} sealed at {at}, is so old that it was removed"));
                    continue;
                }
                _ if removed => continue,
                MarkKind::Kept | MarkKind::Durable => match last {
                    0 => format!("all records are missing: {whose} sealed record {seq} at {at}"),
                    last => format!("the records after {last} are missing: {whose} sealed record {seq} at {at}"),
                },
                MarkKind::Relaxed => {
                    let text = "were not on the disk when this machine went down, or were taken away since";
                    found.notes.push(format!("records {} to {seq}, sealed at {at}, {text}", last + 1));
                    continue;
                }
            };
            found.faults.push(Fault { place: None, seq: Some(seq), event_id: None, problem });
        }
    }

    /// A line to keep elsewhere: what the log ends with now.
    ///
    /// # Errors
    /// The log cannot be read, or has no record.
    pub fn seal_line(&self) -> Result<String, AuditError> {
        let none = || AuditError::Io(self.path(), io::Error::new(io::ErrorKind::NotFound, "there is no record yet"));
        let segments = self.segments()?;
        let (_, Point { seq, hash }, _) = self.last_own(&segments)?.ok_or_else(none)?;
        Ok(format!("{SEAL_WORD} seq={seq} blake3={} at={}", hash.to_hex(), Timestamp::now()))
    }

    /// The last record that this user wrote, and where its line ends; without a key, the last of all.
    fn last_own<'s>(&self, segments: &'s [Segment]) -> Result<Option<(&'s Segment, Point, u64)>, AuditError> {
        let signer = self.checker();
        let is_own = |line: &[u8]| signer.is_none() || judge(line, signer.as_ref()).1 == Author::Own;
        for segment in segments {
            let last = last_record(segment, &is_own).map_err(|error| AuditError::Io(self.path(), error))?;
            if let Some((point, end)) = last {
                return Ok(Some((segment, point, end)));
            }
        }
        Ok(None)
    }

    /// Takes the log as it is for what it should be: what is there now is sealed, and what was sealed before is
    /// forgotten. Returns what was; when records are not linked to each other, nothing is changed.
    ///
    /// # Errors
    /// The log or its seal cannot be read or written.
    pub fn accept(&self) -> Result<Verified, AuditError> {
        let mut found = self.accept_own()?;
        for other in self.of_other_layouts() {
            let theirs = other.accept_own()?;
            found.faults.extend(theirs.faults);
            found.is_broken |= theirs.is_broken;
        }
        Ok(found)
    }

    fn accept_own(&self) -> Result<Verified, AuditError> {
        let found = self.verify_own(&[])?;
        if found.is_broken {
            return Ok(found);
        }
        let segments = self.segments()?;
        let failed = |error| AuditError::Io(self.path(), error);
        let end = self.last_own(&segments)?;
        let last = last_point(segments.iter()).map_err(failed)?;
        let first = segments.iter().rev().find_map(|segment| super::lines::first_link(segment).ok().flatten());
        self.change_seal(|seals| {
            *seals = Seals { swept: seals.swept, ..Seals::default() };
            seals.base = first.filter(|link| link.seq > 1).map(|link| (link.seq - 1, link.prev.to_hex().to_string()));
            seals.accepted = last.map_or(0, |(_, last)| last.seq);
            if let Some((segment, point, size)) = end {
                seals.heads.push(Head {
                    seq: point.seq,
                    hash: point.hash.to_hex().to_string(),
                    file: segment.identity,
                    size,
                    at: Timestamp::now().as_millis(),
                    started: sys::started_ms(),
                    boot: sys::boot_id(),
                });
            }
        })?;
        Ok(found)
    }
}

/// What has to be there.
fn marks(seals: Option<&Seals>, kept: &[SealLine]) -> BTreeMap<u64, Vec<Mark>> {
    let mut marks: BTreeMap<u64, Vec<Mark>> = BTreeMap::new();
    let boot = sys::boot_id();
    if let Some(seals) = seals {
        let synced = seals.synced.as_ref();
        let newest = seals.heads.len().saturating_sub(1);
        let heads = seals.heads.iter().enumerate().map(|(index, head)| (head, index < newest));
        for (head, gone) in heads.chain(synced.map(|synced| (synced, false))) {
            let durable = head.boot == boot || synced.is_some_and(|synced| synced.seq >= head.seq);
            let kind = match (gone, durable) {
                (true, _) => MarkKind::Gone,
                (false, true) => MarkKind::Durable,
                (false, false) => MarkKind::Relaxed,
            };
            let (hash, at) = (head.point().map(|point| point.hash), head.sealed_at());
            let all = marks.entry(head.seq).or_default();
            if all.iter().all(|mark| mark.hash != hash) {
                all.push(Mark { hash, at, kind, whose: "knockon" });
            }
        }
    }
    for line in kept {
        let mark = Mark { hash: Some(line.hash), at: line.at, kind: MarkKind::Kept, whose: "the line you gave" };
        marks.entry(line.seq).or_default().push(mark);
    }
    marks
}

/// What is wrong with the first record that is left, if something is. `base` is the last that was removed, if any.
fn beginning(first: Option<Link>, base: Option<Point>, sealed: bool, notes: &mut Vec<String>) -> Option<String> {
    let first = first?;
    let Point { seq, hash } = base.unwrap_or(Point::START);
    match first.seq.checked_sub(1) {
        // What is older than what was removed was about to be removed.
        Some(before) if before < seq => None,
        Some(before) if before == seq => (first.prev != hash)
            .then(|| format!("record {} does not follow what was removed before it because it was old", first.seq)),
        _ if !sealed => {
            notes.push(format!("the log begins with record {}; what was before it is not known here", first.seq));
            None
        }
        _ => Some(format!("the records from {} to {} are missing", seq + 1, first.seq.saturating_sub(1))),
    }
}

fn lost(lost: &Lost) -> String {
    let at = Timestamp::from_millis(lost.at);
    format!(
        "records {} to {}, sealed at {at}, were gone when this machine came up again; their numbers were given anew",
        lost.from, lost.to
    )
}

fn reset(reset: &Reset) -> String {
    let (at, missed) = (Timestamp::from_millis(reset.at), Timestamp::from_millis(reset.missed));
    format!(
        "the log was reset: all of its files were removed, as `git clean` does, with the records up to {}, sealed at {at}; missed \
         at {missed}",
        reset.to
    )
}
