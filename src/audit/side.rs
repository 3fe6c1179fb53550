//! Records beside the log: what a process writes while another one is stuck with the lock, and how the next
//! writer who has it puts them where they belong, each exactly once.
//!
//! Each process has a file of its own in `audit.log.side/`, locked as long as it writes. Whoever merges one renames
//! it first; one that was renamed and is still there was merged in part, and the log says how far.

use super::append::AuditError;
use super::lines::{LONGEST, merged_of};
use super::mac::Signer;
use super::place::Place;
use crate::json::{Json, Kind};
use crate::sys::{self, Folder, OpenFault};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

/// The folder beside the log.
pub(super) const FOLDER: &str = "audit.log.side";
/// What a file is called as long as records are added to it.
const GROWING: &str = ".jsonl";
/// And once it is being merged.
const MERGING: &str = ".merging";
/// And when something in it was no record: it is kept for a person to look at.
const UNREADABLE: &str = ".unreadable";
/// How long a process is waited for that makes such a file at the same moment.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// A file of this process's own.
#[derive(Debug)]
pub(super) struct Side {
    folder: Folder,
    file: File,
    dirty: bool,
}

impl Side {
    /// Makes one in the folder of the log.
    pub(super) fn new(log: &Folder, place: &Place) -> Result<Self, AuditError> {
        let failed = |error| AuditError::Io(place.path(), error);
        let opened = |fault| AuditError::Open(place.path_of(FOLDER), fault);
        let random = getrandom::u64().unwrap_or_else(|_| crate::time::Timestamp::now().as_millis());
        let name = format!("{}-{random:016x}", std::process::id());
        // Whoever merges the last file removes the folder, maybe between our making it and opening it.
        for _ in 0..100 {
            log.make(OsStr::new(FOLDER), true).map_err(failed)?;
            let folder = match log.beneath(FOLDER.as_ref()) {
                Err(OpenFault::Missing) => continue,
                folder => folder.map_err(opened)?,
            };
            let file = match folder.create(OsStr::new(&format!("{name}{GROWING}"))) {
                Err(OpenFault::Missing) => continue,
                file => file.map_err(opened)?,
            };
            sys::lock_exclusive(&file, LOCK_WAIT).map_err(|error| AuditError::Lock(place.path_of(FOLDER), error))?;
            // Whoever merges may have taken it away between its making and its locking.
            let ours = file.owner().identity;
            let there = folder.owner(OsStr::new(&format!("{name}{GROWING}")));
            if there.is_ok_and(|there| there.identity == ours) {
                return Ok(Side { folder, file: file.into_file(), dirty: false });
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, "its side folder is removed again and again")))
    }

    /// Adds a record, with one write.
    pub(super) fn append(&mut self, body: &[u8], durable: bool) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        match self.file.write(&[body, b"\n"].concat()) {
            Ok(written) if written == body.len() + 1 => {}
            written => {
                self.file.set_len(before)?;
                return Err(written.err().unwrap_or_else(|| io::ErrorKind::StorageFull.into()));
            }
        }
        self.dirty = true;
        if durable { self.sync() } else { Ok(()) }
    }

    /// Waits until what was added is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync_data()?;
            self.folder.sync()?;
        }
        Ok(())
    }
}

/// How many files are beside the log.
pub(super) fn count(log: &Folder) -> usize {
    let names = log.beneath(FOLDER.as_ref()).ok().and_then(|folder| folder.names().ok());
    let ours = |name: &&String| name.ends_with(GROWING) || name.ends_with(MERGING);
    names.map_or(0, |names| names.iter().filter(ours).count())
}

/// How many files beside the log had something in them that was no record.
pub(super) fn count_unreadable(log: &Folder) -> usize {
    let names = log.beneath(FOLDER.as_ref()).ok().and_then(|folder| folder.names().ok());
    names.map_or(0, |names| names.iter().filter(|name| name.ends_with(UNREADABLE)).count())
}

/// Records that wait to be put into the log, file after file.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    place: &'a Place,
    log: Folder,
    folder: Folder,
    /// Files to come: the name without its ending, the file, and whether its merging had begun.
    files: Vec<(String, File, bool)>,
    current: Option<Current>,
}

/// The file that is being merged.
#[derive(Debug)]
struct Current {
    name: String,
    lines: BufReader<File>,
    /// The number of the next record in it, from 1.
    number: u64,
    /// How many are in the log already.
    merged: u64,
    /// Whether something in it was no record.
    unreadable: bool,
}

impl<'a> Waiting<'a> {
    /// Whether something waits.
    pub(super) fn is_there(log: &Folder) -> bool {
        log.owner(OsStr::new(FOLDER)).is_ok()
    }

    /// What waits and is not being written: of processes that have ended, and `own`.
    pub(super) fn find(place: &'a Place, log: &Folder, own: Option<Side>) -> Result<Option<Self>, AuditError> {
        if own.is_none() && !Self::is_there(log) {
            return Ok(None);
        }
        let failed = |error| AuditError::Io(place.path_of(FOLDER), error);
        let folder = match log.beneath(FOLDER.as_ref()) {
            Err(OpenFault::Missing) => return Ok(None),
            folder => folder.map_err(|fault| AuditError::Open(place.path_of(FOLDER), fault))?,
        };
        // Letting it go lets us have it below, in its turn.
        drop(own);
        let mut names = folder.names().map_err(failed)?;
        names.sort();
        let mut files = Vec::new();
        for name in names {
            let (stem, begun) = match (name.strip_suffix(GROWING), name.strip_suffix(MERGING)) {
                (Some(stem), _) => (stem, false),
                (_, Some(stem)) => (stem, true),
                // None of ours.
                (None, None) => continue,
            };
            // What is no file of ours stays where it is; `doctor` tells.
            let Ok(file) = folder.read(OsStr::new(&name)) else { continue };
            if sys::try_lock(&file).unwrap_or(false) {
                files.push((stem.to_owned(), file.into_file(), begun));
            }
        }
        files.reverse();
        let log = place.folder()?.ok_or(AuditError::NoPlace)?;
        Ok(Some(Waiting { place, log, folder, files, current: None }))
    }

    /// Writes the next record that is not in the log yet to the end of `out`, with a mark that tells which it is, and says whether
    /// the user of `signer` wrote it; then its end is left out, and is to be made anew. The one before must have been written.
    pub(super) fn next(&mut self, signer: Option<&Signer>, out: &mut Vec<u8>) -> Result<Option<bool>, AuditError> {
        let failed = |error| AuditError::Io(self.place.path_of(FOLDER), error);
        loop {
            let Some(current) = &mut self.current else {
                if self.files.is_empty() {
                    // Not empty as long as another process writes to it.
                    let _ = self.log.remove_folder(OsStr::new(FOLDER));
                    return Ok(None);
                }
                self.current = self.begin().map_err(failed)?;
                continue;
            };
            let mut line = Vec::new();
            let read = (&mut current.lines).take(LONGEST as u64 / 2).read_until(b'\n', &mut line).map_err(failed)?;
            // What has no end was never acknowledged; what is longer than any record is none.
            let Some(body) = line.strip_suffix(b"\n") else {
                let unreadable = current.unreadable || read > LONGEST / 4;
                self.finish(unreadable).map_err(failed)?;
                continue;
            };
            let number = current.number;
            current.number += 1;
            // As we write it, and nothing that could be mistaken for it.
            let is_record = body.starts_with(b"{\"") && Json::parse(body).is_ok_and(|json| json.kind() == Kind::Object);
            let own = signer.and_then(|signer| signer.own_record(body));
            let is_forged = own.is_none() && signer.is_some_and(|signer| signer.is_named(body));
            if !is_record || is_forged {
                current.unreadable = true;
            } else if number > current.merged {
                out.extend_from_slice(format!("{{\"merged\":\"{}:{number}\",", current.name).as_bytes());
                out.extend_from_slice(&own.unwrap_or(body)[1..]);
                out.extend_from_slice(if own.is_some() { b"}" } else { b"" });
                return Ok(Some(own.is_some()));
            }
        }
    }

    /// Removes the file that is merged, or puts it away.
    fn finish(&mut self, unreadable: bool) -> io::Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let (merging, aside) = (format!("{}{MERGING}", current.name), format!("{}{UNREADABLE}", current.name));
        if unreadable {
            return self.folder.rename(OsStr::new(&merging), OsStr::new(&aside));
        }
        self.folder.remove(OsStr::new(&merging))
    }

    fn begin(&mut self) -> io::Result<Option<Current>> {
        let Some((name, file, begun)) = self.files.pop() else { return Ok(None) };
        let (growing, merging) = (format!("{name}{GROWING}"), format!("{name}{MERGING}"));
        let merged = if begun {
            let segments = self.place.segments(&self.log).map_err(|error| io::Error::other(error.to_string()))?;
            merged_of(&segments, &name)?
        } else {
            self.folder.rename(OsStr::new(&growing), OsStr::new(&merging))?;
            0
        };
        Ok(Some(Current { name, lines: BufReader::new(file), number: 1, merged, unreadable: false }))
    }
}
