//! The end of the log: the last whole line, what it hashes to, and the write that adds the next.

use super::lines::{LONGEST, each_line, each_line_backward, find_point, first_link, whole_end_within};
use super::link::{Line, Link, Point, hash};
use super::mac::Signer;
use super::place::{CURRENT, FOREIGN, Place, Segment};
use super::seal::{Before, Head, Seal};
use crate::sys::{self, Folder};
use crate::time::Timestamp;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// How much of the first line of a log that another program wrote is looked at, in bytes.
const LONGEST_FOREIGN: u64 = 64 * 1024;

/// The file, and what we know of its end.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) folder: Folder,
    pub(super) file: File,
    pub(super) identity: (u64, u64),
    pub(super) end: Option<End>,
    /// The end of the last line that this process wrote and signed: only that is sealed.
    pub(super) signed: Option<End>,
    /// Whether we have its lock.
    pub(super) is_held: bool,
    /// How many more bytes may be written under it.
    pub(super) lease: u64,
    /// Whether lines were written that may not be on the disk.
    pub(super) dirty: bool,
    /// Whether the file was made by us and its name may not be on the disk.
    pub(super) fresh: bool,
}

/// The end of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) size: u64,
    pub(super) point: Point,
}

impl Open {
    /// The line that the oldest one that is left goes on from; nothing when that is the first of all.
    pub(super) fn before_the_first(&self, place: &Place) -> Option<(u64, String)> {
        let segments = place.segments(&self.folder).ok()?;
        let first = segments.iter().rev().find_map(|segment| first_link(segment).ok().flatten())?;
        (first.seq > 1).then(|| (first.seq - 1, first.prev.to_hex().to_string()))
    }

    /// Whether the file is a log that flowspec wrote: its lines have no link, neither the first nor the last.
    pub(super) fn is_foreign(&self) -> bool {
        // A log of ours ends in a line with a number.
        let Some(End { size, point }) = self.end.filter(|end| end.size > 0 && end.point.seq == 0) else { return false };
        debug_assert_eq!(point.seq, 0);
        let mut head = vec![0; usize::try_from(size.min(LONGEST_FOREIGN)).unwrap_or(0)];
        let read = self.file.read_at(&mut head, 0).unwrap_or(0);
        let line = head[..read].split(|byte| *byte == b'\n').next().unwrap_or_default();
        Link::of(line).is_none() && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line).is_ok()
    }

    /// Moves such a file out of the way, once: its lines stay readable.
    ///
    /// # Errors
    /// There is one already, or the folder cannot be written.
    pub(super) fn move_aside(&self) -> io::Result<()> {
        if self.folder.owner(OsStr::new(FOREIGN)).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.folder.rename(OsStr::new(CURRENT), OsStr::new(FOREIGN))
    }

    /// The end of the chain, to be sealed. The start of the machine is found out when it is.
    pub(super) fn head(&self, now: Timestamp) -> Option<Head> {
        let End { size, point } = self.signed?;
        let hash = point.hash.to_hex().to_string();
        let (file, at, boot) = (self.identity, now.as_millis(), String::new());
        Some(Head { seq: point.seq, hash, file, size, at, started: sys::started_ms(), boot })
    }

    /// Links a line to the last one and writes it behind that; with a signer, as this user's.
    pub(super) fn append(&mut self, line: &mut Line, signer: Option<&Signer>) -> io::Result<()> {
        let Some(end) = self.end else { return Err(io::Error::other("its end is not known")) };
        let point = line.link(end.point, signer);
        let text = line.text();
        match self.file.write(text) {
            Ok(written) if written == text.len() => {
                self.end = Some(End { size: end.size + written as u64, point });
                self.signed = if signer.is_some() { self.end } else { self.signed };
                self.dirty = true;
                Ok(())
            }
            written => {
                // A full disk took a part of the line: take it back, so that no reader meets half a line.
                self.file.set_len(end.size)?;
                Err(written.err().unwrap_or_else(|| io::ErrorKind::StorageFull.into()))
            }
        }
    }

    /// Reads the last whole line. What follows it was never acknowledged (its writer died while
    /// writing) and is taken away.
    pub(super) fn find_end(&self, place: &Place, seal: Option<&Seal>, size: u64) -> io::Result<End> {
        let (end, line) = last_line(&self.file, size)?;
        if end < size {
            self.file.set_len(end)?;
        }
        let point = match line {
            Some(line) => match point_of(&line) {
                Point { seq: 0, .. } => {
                    let (file, identity) = (self.file.try_clone()?, self.identity);
                    end_of(&Segment { number: 0, compressed: false, file, identity, size: end })?
                }
                point => point,
            },
            // The chain goes on from the file before, or from what was removed because it was old.
            None => {
                let segments = place.segments(&self.folder).map_err(|error| io::Error::other(error.to_string()))?;
                match segments.iter().find(|segment| segment.number > 0) {
                    Some(before) => end_of(before)?,
                    None if self.fresh => seal.and_then(Seal::begin_anew).unwrap_or(Point::START),
                    None => seal.and_then(|seal| seal.read().ok()??.base_point()).unwrap_or(Point::START),
                }
            }
        };
        Ok(End { size: end, point })
    }

    /// Whether the log has a head that was sealed before.
    pub(super) fn has(&self, head: &Head, found: Point, end: End, place: &Place) -> Before {
        let Some(point) = head.point() else { return Before::Gone };
        let is_next = || head.file == self.identity && head.size < end.size && next_is(&self.file, head.size, point);
        let is_somewhere = || find_point(&place.segments(&self.folder).unwrap_or_default(), point).unwrap_or(false);
        let there = point == found || point == end.point || is_next() || is_somewhere();
        if there { Before::There } else { Before::Gone }
    }
}

/// Whether the line that begins at `offset` follows `point`.
fn next_is(file: &File, offset: u64, point: Point) -> bool {
    let mut beginning = [0; 128];
    let read = file.read_at(&mut beginning, offset).unwrap_or(0);
    let link = Link::at_the_beginning(&beginning[..read]);
    link.is_some_and(|link| link.prev == point.hash && Some(link.seq) == point.seq.checked_add(1))
}

/// The place of a line in the chain.
pub(super) fn point_of(line: &[u8]) -> Point {
    Point { seq: Link::of(line).map_or(0, |link| link.seq), hash: hash(line) }
}

/// Where the chain stands at the end of a file. A line of another program has no number: that of the record before it
/// counts on.
pub(super) fn end_of(segment: &Segment) -> io::Result<Point> {
    let last = if segment.compressed {
        let mut last = None;
        each_line(segment, &mut |line| {
            last = Some(point_of(line));
            Ok(())
        })?;
        last
    } else {
        last_line_of(segment)?.map(|line| point_of(&line))
    };
    match last {
        None => Ok(Point::START),
        Some(Point { seq: 0, hash }) => {
            let seq = last_record(segment, &|_| true)?.map_or(0, |(record, _)| record.seq);
            Ok(Point { seq, hash })
        }
        Some(point) => Ok(point),
    }
}

/// The last record of a file that `wanted` says yes to, and where its line ends.
pub(super) fn last_record(segment: &Segment, wanted: &dyn Fn(&[u8]) -> bool) -> io::Result<Option<(Point, u64)>> {
    let mut found = None;
    if segment.compressed {
        let mut end = 0;
        each_line(segment, &mut |line| {
            end += line.len() as u64 + 1;
            let point = point_of(line);
            found = if point.seq > 0 && wanted(line) { Some((point, end)) } else { found };
            Ok(())
        })?;
    } else {
        each_line_backward(segment, &mut |offset, line| {
            let point = point_of(line);
            found = (point.seq > 0 && wanted(line)).then_some((point, offset + line.len() as u64 + 1));
            Ok(found.is_none())
        })?;
    }
    Ok(found)
}

/// The last whole line of a plain file.
pub(super) fn last_line_of(segment: &Segment) -> io::Result<Option<Vec<u8>>> {
    Ok(last_line(&segment.file, segment.size)?.1)
}

/// The end of the chain in the newest of the files, newest first, that has a record.
pub(super) fn last_point<'s>(segments: impl Iterator<Item = &'s Segment>) -> io::Result<Option<(&'s Segment, Point)>> {
    for segment in segments.filter(|segment| segment.size > 0) {
        let point = end_of(segment)?;
        if point != Point::START {
            return Ok(Some((segment, point)));
        }
    }
    Ok(None)
}

/// Where the last whole line of `file` ends, and the line itself.
fn last_line(file: &File, size: u64) -> io::Result<(u64, Option<Vec<u8>>)> {
    let mut window: u64 = 4 * 1024;
    loop {
        let from = size.saturating_sub(window);
        let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(0)];
        file.read_exact_at(&mut bytes, from)?;
        if let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') {
            let start = bytes[..end].iter().rposition(|&byte| byte == b'\n');
            if start.is_some() || from == 0 {
                let line = bytes[start.map_or(0, |at| at + 1)..end].to_vec();
                return Ok((from + end as u64 + 1, Some(line)));
            }
        } else if from == 0 {
            return Ok((0, None));
        }
        if window >= LONGEST as u64 {
            // Much more than what a writer that died leaves; a repository may bring a file of any size.
            return match whole_end_within(file, size, 10 * LONGEST as u64)? {
                // Nothing but what nobody acknowledged, however much of it, behind whole lines.
                end if end > 0 && end <= from => last_line(file, end),
                _ => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "its last line is longer than any record; move the file away",
                )),
            };
        }
        window = (window * 8).min(LONGEST as u64);
    }
}
