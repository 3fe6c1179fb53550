//! From one file to the next: names moved on, old files removed or compressed.

use super::append::{AuditError, AuditLog, Inner};
use super::end::end_of;
use super::lines::{each_line, find_point, first_link};
use super::link::Point;
use super::place::{CURRENT, Place, Segment, name_of, rotated};
use super::seal::Head;
use crate::sys::{self, Folder, OpenFault};
use crate::time::Timestamp;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How often old files are looked for.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The compression level: what the reference implementation takes, quick and small enough.
const LEVEL: i32 = 3;
/// What a file is called while it is being compressed.
const COMPRESSING: &str = "audit.log.compressing";

/// Gives every file the next number, and the one that is full the first. Whoever is killed in the middle leaves a gap
/// that the next rotation closes. To be called under the lock of the one that is full.
pub(super) fn shift(log: &AuditLog, place: &Place, folder: &Folder) -> Result<(), AuditError> {
    let failed = |error| AuditError::Io(place.path(), error);
    put_aside(folder).map_err(failed)?;
    let there = rotated(folder).map_err(failed)?;
    let keep = log.settings().keep;
    // Up to the first number that is free.
    let moving: Vec<(u32, bool)> =
        there.iter().zip(1..).take_while(|((number, _), wanted)| number == wanted).map(|(found, _)| *found).collect();
    // After the shift, those above `keep` are too many; the one that is full among them when nothing is kept.
    let surplus = |(number, _): &&(u32, bool)| {
        let after = if moving.iter().any(|(moved, _)| moved == number) { number + 1 } else { *number };
        after > keep
    };
    for (number, _) in there.iter().rev().filter(surplus) {
        remove(log, place, folder, *number)?;
    }
    for (number, compressed) in moving.iter().rev().filter(|(number, _)| *number < keep) {
        let (from, to) = (name_of(*number, *compressed), name_of(number + 1, *compressed));
        folder.rename(OsStr::new(&from), OsStr::new(&to)).map_err(failed)?;
        if !compressed {
            let _ = folder.remove(OsStr::new(&name_of(*number, true)));
        }
    }
    if keep == 0 {
        return remove(log, place, folder, 0);
    }
    folder.rename(OsStr::new(CURRENT), OsStr::new(&name_of(1, false))).map_err(failed)
}

/// Gives what has the name of an older file and is none (a folder, a link) another name: names have to be free.
fn put_aside(folder: &Folder) -> io::Result<()> {
    for (number, compressed) in rotated(folder)? {
        let name = name_of(number, compressed);
        // Only what it is for certain: a file that cannot be looked at now is one of ours all the same.
        if let Err(OpenFault::Wrong(_) | OpenFault::Outside) = folder.read(OsStr::new(&name)) {
            let aside = format!("{name}.aside-{}", Timestamp::now().as_millis());
            folder.rename(OsStr::new(&name), OsStr::new(&aside))?;
        }
    }
    Ok(())
}

/// Removes a file. Its last line is sealed as the base that the rest stands on, if the file is what it should be: it goes on
/// from the base before, what is newer goes on from it, and it has what was sealed in it. Otherwise what it was is missed.
fn remove(log: &AuditLog, place: &Place, folder: &Folder, number: u32) -> Result<(), AuditError> {
    let segments = place.segments(folder)?;
    let at = segments.iter().position(|segment| segment.number == number);
    let Some((at, segment)) = at.and_then(|at| Some((at, segments.get(at)?))) else { return Ok(()) };
    // The line that what is newer stands on: said by that, or, when nothing is, the end of the file itself.
    let newer = at.checked_sub(1).and_then(|newer| segments.get(newer));
    let failed = |error| AuditError::Io(place.path_of(&segment.name()), error);
    // What cannot be read for now is removed another time; a compressed file that is damaged never can be.
    let link = |segment: &Segment| match first_link(segment) {
        Err(_) if segment.compressed => Ok(None),
        link => link.map_err(failed),
    };
    let first = link(segment)?;
    let follows = match newer {
        Some(newer) => link(newer)?.map(|link| Point { seq: link.seq.saturating_sub(1), hash: link.prev }),
        None => Some(end_of(segment).map_err(failed)?),
    };
    let end = match end_of(segment) {
        Err(_) if segment.compressed => None,
        end => Some(end.map_err(failed)?),
    };
    if let (Some(first), Some(base), true) = (first, follows.filter(|base| base.seq > 0), end == follows) {
        let mut trouble = None;
        let sealed = log.change_seal(|seals| {
            let before = seals.base_point().unwrap_or(Point::START);
            let goes_on = Some(first.seq) == before.seq.checked_add(1) && first.prev == before.hash;
            let inside = |head: &&Head| (first.seq..base.seq).contains(&head.seq);
            // What was sealed is nearly always in a newer file.
            let mut has = |head: &Head| {
                let there = head.point().map_or(Ok(false), |point| find_point(&segments[at..=at], point));
                there.unwrap_or_else(|error| {
                    trouble = Some(error);
                    false
                })
            };
            let is_at_the_end = |head: &&Head| head.seq == base.seq && head.point() != Some(base);
            let sealed_is_there = seals.heads.last().iter().filter(|head| inside(head)).all(|head| has(head));
            if goes_on && sealed_is_there && !seals.heads.last().iter().any(is_at_the_end) {
                seals.base = Some((base.seq, base.hash.to_hex().to_string()));
            }
        });
        if let Some(trouble) = trouble {
            return Err(failed(trouble));
        }
        // Where there is no seal, nothing is missed; where there is one, it must know before the file goes.
        if log.seal.as_ref().is_some_and(|seal| matches!(seal.read(), Ok(Some(_)))) {
            sealed?;
        }
    }
    let name = segment.name();
    folder.remove(OsStr::new(&name)).map_err(|error| AuditError::Io(place.path_of(&name), error))?;
    // What was compressed a moment before its writer was killed is there in both forms.
    let _ = folder.remove(OsStr::new(&name_of(number, true)));
    Ok(())
}

/// Removes files whose last record is older than the retention, oldest first, and begins the next file when the first
/// record of the current one is. To be called under the lock.
pub(super) fn sweep(log: &AuditLog, inner: &mut Inner, place: &Place, now: Timestamp) {
    let Some(open) = inner.open() else { return };
    let retention = u64::try_from(log.settings().retention.as_millis()).unwrap_or(u64::MAX);
    let oldest = now.as_millis().saturating_sub(retention);
    // By what the records say, which the chain holds: times of files are anybody's to set.
    for segment in place.segments(&open.folder).unwrap_or_default().iter().rev().filter(|segment| segment.number > 0) {
        let mut last = None;
        let read = each_line(segment, &mut |line| {
            last = time_in(line).or(last);
            Ok(())
        });
        if read.is_err() || last.is_none_or(|time| time.as_millis() >= oldest) {
            break;
        }
        // What cannot be removed today is tried again tomorrow.
        if remove(log, place, &open.folder, segment.number).is_err() {
            break;
        }
    }
    let mut beginning = [0; 512];
    let read = open.file.read_at(&mut beginning, 0).unwrap_or(0);
    // Where nothing is kept, beginning the next file would remove young records with old ones.
    if log.settings().keep > 0 && time_in(&beginning[..read]).is_some_and(|time| time.as_millis() < oldest) {
        let _ = log.rotate(inner, place);
    }
}

/// The time that a line says, read off its beginning.
pub(super) fn time_in(line: &[u8]) -> Option<Timestamp> {
    const FIELD: &[u8] = b"\"timestamp\":\"";
    let at = memchr::memmem::find(&line[..line.len().min(400)], FIELD)? + FIELD.len();
    Timestamp::parse(std::str::from_utf8(line.get(at..at + 24)?).ok()?)
}

/// Compresses every older file but the newest. One process at a time; nobody waits for it, and the lock is held for
/// the change of names only.
///
/// # Errors
/// A file cannot be read or written; all that was there is still there.
pub(super) fn compress(log: &AuditLog, inner: &mut Inner, place: &Place) -> Result<(), AuditError> {
    let failed = |error| AuditError::Io(place.path_of(COMPRESSING), error);
    let opened = |fault| AuditError::Open(place.path_of(COMPRESSING), fault);
    loop {
        let Some(open) = inner.open() else { return Ok(()) };
        let plain =
            place.segments(&open.folder)?.into_iter().rfind(|segment| segment.number > 1 && !segment.compressed);
        let Some(segment) = plain else { return Ok(()) };
        let fresh = open.folder.append(OsStr::new(COMPRESSING)).map_err(opened)?;
        let ours = sys::Owner::of_open(&fresh).map_err(failed)?.identity;
        let is_ours = |folder: &Folder| folder.owner(OsStr::new(COMPRESSING)).is_ok_and(|owner| owner.identity == ours);
        if !sys::try_lock(&fresh).map_err(failed)? || !is_ours(&open.folder) {
            // Another process does it.
            return Ok(());
        }
        write_compressed(&segment, &fresh).map_err(failed)?;
        log.hold(inner)?;
        let Some(open) = inner.open() else { return Ok(()) };
        // It may have another number by now, or be gone.
        let now = place.segments(&open.folder)?;
        let now = now.iter().find(|other| other.identity == segment.identity && other.number > 1);
        let replaced = match now {
            Some(now) => open
                .folder
                .rename(OsStr::new(COMPRESSING), OsStr::new(&name_of(now.number, true)))
                .and_then(|()| open.folder.remove(OsStr::new(&now.name()))),
            None => open.folder.remove(OsStr::new(COMPRESSING)),
        };
        log.unlock(inner)?;
        replaced.map_err(failed)?;
    }
}

fn write_compressed(segment: &Segment, fresh: &File) -> io::Result<()> {
    fresh.set_len(0)?;
    let mut encoder = zstd::Encoder::new(fresh, LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(&mut (&segment.file).take(segment.size), &mut encoder)?;
    encoder.finish()?;
    fresh.sync_data()?;
    // The retention goes by the time of the last record.
    fresh.set_modified(segment.file.metadata()?.modified()?)
}
