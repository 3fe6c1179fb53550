//! Asking the log: which records, and how many of the last.

use super::append::{AuditError, AuditLog};
use super::end::last_point;
use super::follow::Snapshot;
use super::lines::{each_line_backward, each_line_with, find_point, first_link, line_at};
use super::link::{Hash, Point};
use super::place::Segment;
use super::read::{Entry, beginning, is_of};
use crate::matcher::TypeGlob;
use crate::time::Timestamp;
use memchr::memmem::Finder;
use std::collections::VecDeque;
use std::io;

/// Which records are wanted; without a word, all.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of this time or later.
    pub since: Option<Timestamp>,
    /// Of a time before that.
    pub until: Option<Timestamp>,
    /// Of the event with this id.
    pub event: Option<String>,
    /// Of this hook.
    pub hook: Option<String>,
    /// Of events whose type matches one of these; none means any.
    pub kinds: Vec<TypeGlob>,
    /// With one of these statuses; none means any.
    pub statuses: Vec<String>,
}

/// What was found, apart from the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many records were handed on.
    pub records: usize,
    /// Lines among them that are no JSON object.
    pub unreadable: usize,
    /// Whether there is a log with something in it.
    pub exists: bool,
}

/// Where a line is that is wanted.
#[derive(Clone, Copy, Debug)]
enum Spot {
    /// Its offset and length.
    At(u64, usize),
    /// Its number in a compressed file.
    Number(u64),
}

impl Query {
    /// Whether a record is wanted.
    pub fn wants(&self, entry: &Entry) -> bool {
        let is = |field: &str, wanted: &Option<String>| wanted.as_ref().is_none_or(|text| entry.text(field) == text);
        is("event_id", &self.event)
            && is("hook", &self.hook)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.matches(entry.text("event_type"))))
            && (self.statuses.is_empty() || self.statuses.iter().any(|status| entry.text("status") == status))
            && self.since.is_none_or(|since| entry.time().is_none_or(|time| time >= since))
            && self.until.is_none_or(|until| entry.time().is_none_or(|time| time < until))
    }

    /// What every wanted line has in it: looking for that is quicker than reading JSON.
    fn part(&self) -> Option<String> {
        let hook = || Some(format!("\"{}\"", self.hook.as_ref()?));
        let status = || match self.statuses.as_slice() {
            [status] => Some(format!("\"{status}\"")),
            _ => None,
        };
        self.event.clone().or_else(hook).or_else(status)
    }

    /// Whether it is about lines at all, and not only about how many.
    pub fn is_picky(&self) -> bool {
        self.event.is_some()
            || self.hook.is_some()
            || !self.kinds.is_empty()
            || self.since.is_some()
            || self.until.is_some()
            || !self.statuses.is_empty()
    }
}

impl AuditLog {
    /// The number and the hash of the last record; nothing when there is none, or the last line is no record.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn last_point(&self, snapshot: &Snapshot) -> Result<Option<(u64, String)>, AuditError> {
        let last = last_point(snapshot.own()).map_err(|error| AuditError::Io(self.path(), error))?;
        Ok(last.filter(|(_, point)| point.seq > 0).map(|(_, point)| (point.seq, point.hash.to_hex().to_string())))
    }

    /// Whether the log goes on from a record with this number and hash, or has removed it since.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn still_has(&self, snapshot: &Snapshot, seq: u64, hash: Option<&str>) -> Result<bool, AuditError> {
        let Some(hash) = hash.and_then(|hash| Hash::from_hex(hash).ok()) else { return Ok(seq == 0) };
        let failed = |error| AuditError::Io(self.path(), error);
        let ours = snapshot.own().last();
        let oldest = ours.map(first_link).transpose().map_err(failed)?.flatten();
        if oldest.is_some_and(|first| first.seq > seq.saturating_add(1)) {
            return Ok(true);
        }
        find_point(snapshot.own(), Point { seq, hash }).map_err(failed)
    }

    /// Hands on the records that are wanted, oldest first; with `last`, only so many of the last.
    ///
    /// Reads from the end, and holds no more than one record at a time.
    ///
    /// # Errors
    /// The log cannot be read, or `each` fails.
    pub fn select(
        &self,
        snapshot: &Snapshot,
        query: &Query,
        last: Option<usize>,
        mut each: impl FnMut(Entry) -> io::Result<()>,
    ) -> Result<Found, AuditError> {
        let segments = &snapshot.segments;
        let failed = |error| AuditError::Io(self.path(), error);
        let mut found = Found { exists: segments.iter().any(|segment| segment.size > 0), ..Found::default() };
        let mut hand_on = |line: &[u8]| match Entry::read(line) {
            Some(entry) if query.wants(&entry) => {
                found.records += 1;
                each(entry)
            }
            Some(_) => Ok(()),
            None => {
                found.unreadable += 1;
                Ok(())
            }
        };
        let part = query.part();
        let part = part.as_ref().map(|part| Finder::new(part.as_bytes()));
        match last {
            None => {
                for segment in segments.iter().rev() {
                    let offset = beginning(segment, query.since).map_err(failed)?;
                    each_line_with(segment, part.as_ref(), offset, &mut hand_on).map_err(failed)?;
                }
            }
            Some(last) => {
                for (segment, spots) in spots(segments, query, part.as_ref(), last).map_err(failed)?.iter().rev() {
                    hand_on_spots(segment, spots, &mut hand_on).map_err(failed)?;
                }
            }
        }
        Ok(found)
    }
}

/// Where the last lines are that are wanted, by file, newest first.
fn spots<'a>(
    segments: &'a [Segment],
    query: &Query,
    part: Option<&Finder<'_>>,
    last: usize,
) -> io::Result<Vec<(&'a Segment, Vec<Spot>)>> {
    let mut left = last;
    let mut all = Vec::new();
    for segment in segments {
        if left == 0 {
            break;
        }
        let mut spots: VecDeque<Spot> = VecDeque::new();
        let wanted = |line: &[u8]| match query.is_picky() {
            false => true,
            true => {
                is_of(line, query.since)
                    && part.is_none_or(|part| part.find(line).is_some())
                    && Entry::read(line).is_some_and(|entry| query.wants(&entry))
            }
        };
        if segment.compressed {
            let mut number = 0;
            each_line_with(segment, None, 0, &mut |line| {
                if wanted(line) {
                    spots.push_back(Spot::Number(number));
                    if spots.len() > left {
                        spots.pop_front();
                    }
                }
                number += 1;
                Ok(())
            })?;
        } else {
            let from = beginning(segment, query.since)?;
            each_line_backward(segment, &mut |offset, line| {
                if offset >= from && wanted(line) {
                    spots.push_front(Spot::At(offset, line.len()));
                }
                Ok(spots.len() < left && offset > from)
            })?;
        }
        left -= spots.len();
        all.push((segment, spots.into()));
    }
    Ok(all)
}

fn hand_on_spots(
    segment: &Segment,
    spots: &[Spot],
    hand_on: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut numbers =
        spots.iter().filter_map(|spot| if let Spot::Number(number) = spot { Some(*number) } else { None });
    let mut next = numbers.next();
    if next.is_some() {
        let mut number = 0;
        each_line_with(segment, None, 0, &mut |line| {
            if next == Some(number) {
                hand_on(line)?;
                next = numbers.next();
            }
            number += 1;
            Ok(())
        })?;
    }
    for spot in spots {
        if let Spot::At(offset, length) = *spot {
            hand_on(&line_at(&segment.file, offset, length)?)?;
        }
    }
    Ok(())
}
