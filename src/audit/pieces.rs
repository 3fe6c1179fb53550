//! Reading a file of the log in pieces, each line checked against the one before.
//!
//! A line's hash needs nothing but the line, so that a large file is read by several threads at a time; the pieces
//! are put together at the end.

use super::authors::Authors;
use super::lines::{LONGEST, each_line, whole_end};
use super::link::{Hash, Link, Point, hash};
use super::mac::{Author, Signer, judge};
use super::place::Segment;
use memchr::memchr;
use serde::de::IgnoredAny;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much one thread reads at a time.
const PIECE: u64 = 4 * 1024 * 1024;
/// The most threads.
const MOST_THREADS: usize = 8;

/// A line that is not as it should be: where it begins in its file, and what is wrong.
#[derive(Clone, Debug)]
pub(super) enum Break {
    /// No JSON object with a place in the chain.
    NoRecord(u64),
    /// Its number does not follow: where it is, what it is, and what it should be.
    Number(u64, u64, u64),
    /// The line before it hashes to something else: where that one is, and its number.
    Changed(u64, u64),
    /// It says that this user wrote it, and that is not true: where it begins, and its number.
    Forged(u64, u64),
    /// The first of a file does not follow the last of the file before: its number.
    File(u64),
}

/// A line that was read: where it begins, and its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) offset: u64,
    pub(super) link: Link,
}

/// A part of a file, read.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) first: Option<Seen>,
    pub(super) last: Option<(u64, Point)>,
    /// The hashes of records that were sealed.
    pub(super) marked: Vec<Point>,
    pub(super) broken: Option<Break>,
    pub(super) authors: Authors,
    /// The hash of the last line before the first record, where another program wrote that.
    pub(super) lead: Option<Hash>,
}

/// What is looked for in a log.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'w> {
    /// The numbers of records whose hashes are wanted.
    pub(super) marks: &'w BTreeSet<u64>,
    /// Tells which records this user wrote.
    pub(super) signer: Option<&'w Signer>,
}

impl Piece {
    /// Takes the next line. Behind a break nothing is looked at any more.
    fn line(&mut self, offset: u64, line: &[u8], wanted: Wanted<'_>) {
        if self.broken.is_some() {
            return;
        }
        self.records += 1;
        self.bytes += line.len() as u64 + 1;
        let is_object = line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(line).is_ok();
        if !is_object {
            self.broken = Some(Break::NoRecord(offset));
            return;
        }
        let Some(link) = Link::of(line) else {
            // Another program's: the next record stands on it, and it has no number.
            match &mut self.last {
                Some((_, point)) => point.hash = hash(line),
                None => self.lead = Some(hash(line)),
            }
            self.records -= 1;
            return self.authors.add_line(self.last.map_or(0, |(_, last)| last.seq));
        };
        match self.last {
            None => self.first = Some(Seen { offset, link }),
            Some(last) => self.broken = follows(last, Seen { offset, link }),
        }
        let (hash, author) = judge(line, wanted.signer);
        if author == Author::Forged {
            self.broken = self.broken.take().or(Some(Break::Forged(offset, link.seq)));
        }
        self.authors.add(link.seq, author);
        let point = Point { seq: link.seq, hash };
        if wanted.marks.contains(&link.seq) {
            self.marked.push(point);
        }
        self.last = Some((offset, point));
    }

    /// Puts the piece behind this one to it.
    pub(super) fn join(&mut self, next: Piece) {
        if self.broken.is_some() {
            return;
        }
        self.records += next.records;
        self.bytes += next.bytes;
        self.marked.extend(next.marked);
        let before = self.last.map_or(0, |(_, last)| last.seq);
        match (&mut self.last, next.lead) {
            (Some((_, last)), Some(lead)) => last.hash = lead,
            (None, Some(lead)) => self.lead = Some(lead),
            _ => {}
        }
        self.authors.join(next.authors, before);
        self.broken = match (self.last, next.first) {
            (Some(last), Some(first)) => follows(last, first).or(next.broken),
            _ => next.broken,
        };
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
    }
}

/// What is wrong with a line behind another, if something is.
fn follows(last: (u64, Point), next: Seen) -> Option<Break> {
    let (offset, last) = last;
    let wanted = last.seq.checked_add(1).unwrap_or(1);
    if next.link.seq != wanted {
        return Some(Break::Number(next.offset, next.link.seq, wanted));
    }
    (next.link.prev != last.hash).then_some(Break::Changed(offset, last.seq))
}

/// Reads one file.
pub(super) fn read(segment: &Segment, wanted: Wanted<'_>) -> io::Result<Piece> {
    if segment.compressed {
        let (mut piece, mut offset) = (Piece::default(), 0);
        each_line(segment, &mut |line| {
            piece.line(offset, line, wanted);
            offset += line.len() as u64 + 1;
            Ok(())
        })?;
        return Ok(piece);
    }
    let end = whole_end(&segment.file, segment.size)?;
    let bounds = bounds(&segment.file, end)?;
    let pieces: Mutex<Vec<Option<io::Result<Piece>>>> = Mutex::new(bounds.iter().map(|_| None).collect());
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(bounds.len());
    let work = || {
        let mut buffer = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(from, to)) = bounds.get(index) else { return };
            let piece = read_piece(&segment.file, from, to, wanted, &mut buffer);
            let mut pieces = pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            pieces[index] = Some(piece);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without them it takes longer.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let mut whole = Piece::default();
    for piece in pieces.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().flatten() {
        whole.join(piece?);
    }
    Ok(whole)
}

/// Where pieces begin and end: behind line feeds.
fn bounds(file: &File, end: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut bounds = Vec::new();
    let (mut from, mut block) = (0, vec![0; 64 * 1024]);
    while from < end {
        let mut to = (from + PIECE).min(end);
        while to < end {
            let length = block.len().min(usize::try_from(end - to).unwrap_or(block.len()));
            file.read_exact_at(&mut block[..length], to)?;
            match memchr(b'\n', &block[..length]) {
                Some(at) => {
                    to += at as u64 + 1;
                    break;
                }
                None => to += length as u64,
            }
        }
        bounds.push((from, to));
        from = to;
    }
    Ok(bounds)
}

fn read_piece(file: &File, from: u64, to: u64, wanted: Wanted<'_>, buffer: &mut Vec<u8>) -> io::Result<Piece> {
    if to - from > PIECE + LONGEST as u64 {
        return Ok(Piece { broken: Some(Break::NoRecord(from)), ..Piece::default() });
    }
    buffer.resize(usize::try_from(to - from).map_err(io::Error::other)?, 0);
    file.read_exact_at(buffer, from)?;
    let mut piece = Piece::default();
    let mut at = 0;
    while let Some(length) = memchr(b'\n', &buffer[at..]) {
        piece.line(from + at as u64, &buffer[at..at + length], wanted);
        at += length + 1;
    }
    Ok(piece)
}
