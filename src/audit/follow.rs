//! Following the log: every record once, across rotations, and never half a line.

use super::append::{AuditError, AuditLog};
use super::end::{last_point, point_of};
use super::lines::{each_line_with, first_link, whole_end};
use super::link::Point;
use super::place::{CURRENT, ELSEWHERE_NUMBER, Place, Segment};
use super::read::Entry;
use crate::sys::{Folder, Owner};
use std::ffi::OsStr;
use std::io;

/// The files of a log at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Newest first.
    pub(super) segments: Vec<Segment>,
}

/// What happened to a log, apart from the records that were added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// How many records were removed before they could be read.
    pub missed: u64,
    /// Whether it was begun anew.
    pub is_new: bool,
}

/// Reads what is added to a log.
#[derive(Debug)]
pub struct Follower<'a> {
    place: &'a Place,
    folder: Option<Folder>,
    /// The file that is read, and how far.
    reading: Option<(Segment, u64)>,
    /// The last line that was read.
    last: Option<Point>,
}

impl Snapshot {
    /// Those that are part of the chain.
    pub(super) fn own(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.number < ELSEWHERE_NUMBER)
    }
}

impl AuditLog {
    /// The files of the log as they are now.
    ///
    /// # Errors
    /// They cannot be opened.
    pub fn snapshot(&self) -> Result<Snapshot, AuditError> {
        Ok(Snapshot { segments: self.readable()? })
    }

    /// Reads what is added after a snapshot was made.
    ///
    /// # Errors
    /// The log has no place, or cannot be read.
    pub fn follow(&self, snapshot: Snapshot) -> Result<Follower<'_>, AuditError> {
        let place = self.place()?;
        let failed = |error| AuditError::Io(place.path(), error);
        let last = last_point(snapshot.own()).map_err(failed)?.map(|(_, point)| point);
        let current = snapshot.segments.into_iter().find(|segment| segment.number == 0);
        let reading = match current {
            Some(segment) => {
                let end = whole_end(&segment.file, segment.size).map_err(failed)?;
                Some((segment, end))
            }
            None => None,
        };
        Ok(Follower { place, folder: place.folder()?, reading, last })
    }
}

impl Follower<'_> {
    /// Hands on what was added since the last call, and says what else happened to the log.
    ///
    /// # Errors
    /// The log cannot be read, or `each` fails.
    pub fn poll(&mut self, each: &mut dyn FnMut(Entry) -> io::Result<()>) -> Result<Happened, AuditError> {
        if self.folder.is_none() {
            self.folder = self.place.folder()?;
        }
        let Some(folder) = &self.folder else { return Ok(Happened::default()) };
        let failed = |error| AuditError::Io(self.place.path(), error);
        // Whether the file was replaced is asked first: nothing is added to one that was.
        let there = folder.owner(OsStr::new(CURRENT)).ok().map(|owner| owner.identity);
        if let Some((segment, offset)) = &mut self.reading {
            let is_new = read_on(segment, offset, &mut self.last, each).map_err(failed)?;
            if there == Some(segment.identity) || there.is_none() {
                return Ok(Happened { is_new, ..Happened::default() });
            }
        }
        let mut newer = self.place.segments(folder)?;
        let (mut happened, mut known) = (Happened::default(), false);
        if let Some((reading, _)) = &self.reading {
            match newer.iter().position(|segment| segment.identity == reading.identity) {
                Some(place) => {
                    newer.truncate(place);
                    known = true;
                }
                None => {
                    let all = newer.len();
                    newer = self.behind(newer).map_err(failed)?;
                    if newer.is_empty() && all > 0 {
                        // The file that grows does not go on from what was read.
                        newer = self.place.segments(folder)?;
                        newer.truncate(1);
                        known = true;
                    }
                }
            }
        }
        for segment in newer.into_iter().rev() {
            let first = first_link(&segment).map_err(failed)?;
            if let (Some(first), Some(last), false) = (first, self.last, known) {
                happened.missed += first.seq.saturating_sub(last.seq.saturating_add(1));
                known = true;
            }
            let mut offset = 0;
            happened.is_new |= read_on(&segment, &mut offset, &mut self.last, each).map_err(failed)?;
            if segment.number == 0 {
                self.reading = Some((segment, offset));
            }
        }
        Ok(happened)
    }

    /// The files with records that come after the last one that was read, when its own file is gone or compressed.
    fn behind(&self, segments: Vec<Segment>) -> io::Result<Vec<Segment>> {
        let Some(last) = self.last else { return Ok(segments) };
        let mut newer = Vec::new();
        for segment in segments {
            let follows = match first_link(&segment)? {
                Some(first) => first.seq > last.seq,
                // Nothing in it yet.
                None => segment.number == 0,
            };
            if !follows {
                break;
            }
            newer.push(segment);
        }
        Ok(newer)
    }
}

/// Hands on what a file has from `offset` on, and moves that. Returns whether numbers were given anew.
fn read_on(
    segment: &Segment,
    offset: &mut u64,
    last: &mut Option<Point>,
    each: &mut dyn FnMut(Entry) -> io::Result<()>,
) -> io::Result<bool> {
    let size = if segment.compressed { segment.size } else { Owner::of_open(&segment.file)?.size };
    if size < *offset {
        // Somebody emptied it.
        *offset = 0;
    }
    let mut is_new = false;
    if size == *offset {
        return Ok(is_new);
    }
    let segment = Segment { size, file: segment.file.try_clone()?, ..*segment };
    each_line_with(&segment, None, *offset, &mut |line| {
        *offset += line.len() as u64 + 1;
        let mut point = point_of(line);
        is_new |= point.seq > 0 && last.is_some_and(|last| point.seq <= last.seq);
        if point.seq == 0 {
            // Of another program: the number of the record before it counts on.
            point.seq = last.map_or(0, |last| last.seq);
        }
        *last = Some(point);
        Entry::read(line).map_or(Ok(()), &mut *each)
    })?;
    Ok(is_new)
}
