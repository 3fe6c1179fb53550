//! Reading the lines of a log's files: forward, backward, and from a place in them, a block at a time.

use super::link::{Link, Point, hash};
use super::place::Segment;
use memchr::{memchr, memmem, memrchr};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// How much is read at a time, at first.
const BLOCK: usize = 256 * 1024;
/// Longer than any record: an event of 8 MiB as an escaped string. What is longer is no line of ours.
pub(super) const LONGEST: usize = 32 * 1024 * 1024;

/// What somebody who reads lines says to the next one.
pub(super) type Each<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it has lines longer than any record, or more of them than it can have")
}

/// Where the last whole line of a file ends: what is before that does not change any more.
pub(super) fn whole_end(file: &File, size: u64) -> io::Result<u64> {
    whole_end_within(file, size, size)
}

/// The same among the last `most` bytes; 0 when no line ends there.
pub(super) fn whole_end_within(file: &File, size: u64, most: u64) -> io::Result<u64> {
    let mut end = size;
    let mut block = vec![0; BLOCK];
    while end > size.saturating_sub(most) {
        let start = end.saturating_sub(BLOCK as u64);
        let part = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        // A writer may take a torn end away at this moment.
        let read = file.read_at(part, start)?;
        if let Some(at) = memrchr(b'\n', &part[..read]) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The bytes of a plain file between two offsets.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Hands every whole line of a file on, without its line feed, oldest first.
pub(super) fn each_line(segment: &Segment, each: Each<'_>) -> io::Result<()> {
    each_line_with(segment, None, 0, each)
}

/// Hands on the lines that have `part` in them, from `offset` on, which must be the beginning of a line.
pub(super) fn each_line_with(
    segment: &Segment,
    part: Option<&memmem::Finder<'_>>,
    offset: u64,
    each: Each<'_>,
) -> io::Result<()> {
    if segment.compressed {
        let source = Part { file: &segment.file, at: 0, end: segment.size };
        // Hashes do not compress: a file of records becomes a tenth of its size at best.
        let most = segment.size.saturating_mul(100).saturating_add(LONGEST as u64);
        let mut text = zstd::Decoder::new(source)?.take(most);
        walk(&mut text, part, each)?;
        return if text.limit() == 0 { Err(too_long()) } else { Ok(()) };
    }
    let end = whole_end(&segment.file, segment.size)?;
    walk(&mut Part { file: &segment.file, at: offset, end }, part, each)
}

fn walk(source: &mut dyn Read, part: Option<&memmem::Finder<'_>>, each: Each<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            if buffer.len() >= LONGEST {
                return Err(too_long());
            }
            buffer.resize(buffer.len() * 2, 0);
        }
        let read = source.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        let end = match memrchr(b'\n', &buffer[filled..filled + read]) {
            Some(at) => filled + at + 1,
            None => {
                filled += read;
                continue;
            }
        };
        filled += read;
        match part {
            Some(part) => each_with(&buffer[..end], part, each)?,
            None => {
                let mut lines = &buffer[..end];
                while let Some(at) = memchr(b'\n', lines) {
                    each(&lines[..at])?;
                    lines = &lines[at + 1..];
                }
            }
        }
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
}

/// Looks for `part` first and for line feeds only around it: most lines are about something else.
fn each_with(lines: &[u8], part: &memmem::Finder<'_>, each: Each<'_>) -> io::Result<()> {
    let mut from = 0;
    while let Some(at) = part.find(&lines[from..]) {
        let at = from + at;
        let start = memrchr(b'\n', &lines[..at]).map_or(0, |feed| feed + 1);
        let end = memchr(b'\n', &lines[at..]).map_or(lines.len(), |feed| at + feed);
        each(&lines[start..end])?;
        from = (end + 1).min(lines.len());
    }
    Ok(())
}

/// Hands the whole lines of a plain file on, newest first, with the offset each begins at, until `each` says that it
/// is enough.
pub(super) fn each_line_backward(
    segment: &Segment,
    each: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    let mut start = whole_end(&segment.file, segment.size)?;
    // From `start` to the end of a line.
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let text = bytes.len().saturating_sub(1);
        match memrchr(b'\n', &bytes[..text]) {
            Some(at) => {
                if !each(start + at as u64 + 1, &bytes[at + 1..text])? {
                    return Ok(());
                }
                bytes.truncate(at + 1);
            }
            None if start == 0 => {
                if !bytes.is_empty() {
                    each(0, &bytes[..text])?;
                }
                return Ok(());
            }
            None => {
                if bytes.len() >= LONGEST {
                    return Err(too_long());
                }
                let length = start.min(bytes.len().max(BLOCK) as u64);
                let mut block = vec![0; usize::try_from(length).unwrap_or(BLOCK)];
                segment.file.read_exact_at(&mut block, start - length)?;
                block.append(&mut bytes);
                bytes = block;
                start -= length;
            }
        }
    }
}

/// The line that begins at `offset` of a plain file.
pub(super) fn line_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut line = vec![0; length];
    file.read_exact_at(&mut line, offset)?;
    Ok(line)
}

/// Where the first line begins that `is_late` says yes to, or somewhat before; lines must be in order for the most
/// part. A line that says nothing is passed over.
pub(super) fn find_offset(segment: &Segment, is_late: impl Fn(&[u8]) -> Option<bool>) -> io::Result<u64> {
    let (mut early, mut late) = (0, whole_end(&segment.file, segment.size)?);
    // Reading on from here is cheaper than looking closer.
    while late - early > BLOCK as u64 {
        let middle = early + (late - early) / 2;
        let mut found = None;
        let mut first = true;
        let mut part = Part { file: &segment.file, at: middle, end: late };
        let mut at = middle;
        // Ends the walk; no error of anything.
        let enough = || io::Error::from(io::ErrorKind::Interrupted);
        let walked = walk(&mut part, None, &mut |line| {
            let begins = at;
            at += line.len() as u64 + 1;
            // The first one is the end of a line.
            if std::mem::take(&mut first) {
                return Ok(());
            }
            match is_late(line) {
                Some(answer) => {
                    found = Some((begins, answer));
                    Err(enough())
                }
                None => Ok(()),
            }
        });
        match (found, walked) {
            (Some((begins, false)), _) if begins > early => early = begins,
            (Some(_), _) | (None, Ok(())) => late = middle,
            (None, Err(error)) => return Err(error),
        }
    }
    Ok(early)
}

/// Whether one of the files, newest first, has a line that follows `point`, or ends with it.
pub(super) fn find_point<'s>(segments: impl IntoIterator<Item = &'s Segment>, point: Point) -> io::Result<bool> {
    let Some(next) = point.seq.checked_add(1) else { return Ok(false) };
    for segment in segments {
        let Some(first) = first_link(segment)? else { continue };
        if first.seq > next {
            continue;
        }
        if first.seq == next {
            return Ok(first.prev == point.hash);
        }
        let mut found = false;
        let text = format!("{{\"seq\":{next},\"prev\":\"{}\"", point.hash.to_hex());
        each_line_with(segment, Some(&memmem::Finder::new(text.as_bytes())), 0, &mut |line| {
            found |= line.starts_with(text.as_bytes());
            Ok(())
        })?;
        if !found {
            // It may be the last of its kind.
            let text = format!("{{\"seq\":{},", point.seq);
            each_line_with(segment, Some(&memmem::Finder::new(text.as_bytes())), 0, &mut |line| {
                found |= line.starts_with(text.as_bytes()) && hash(line) == point.hash;
                Ok(())
            })?;
        }
        return Ok(found);
    }
    Ok(false)
}

/// The link of a file's first record.
pub(super) fn first_link(segment: &Segment) -> io::Result<Option<Link>> {
    let mut beginning = [0; 128];
    let read = if segment.compressed {
        let mut decoder = zstd::Decoder::new(Part { file: &segment.file, at: 0, end: segment.size })?;
        let mut filled = 0;
        while filled < beginning.len() {
            match decoder.read(&mut beginning[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        filled
    } else {
        segment.file.read_at(&mut beginning, 0)?
    };
    if let Some(link) = Link::at_the_beginning(&beginning[..read]) {
        return Ok(Some(link));
    }
    // Another program wrote the first line; nothing like that happens to the others.
    let mut found = None;
    let walked = each_line(segment, &mut |line| {
        found = Link::at_the_beginning(line);
        if found.is_some() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    });
    if found.is_none() { walked.map(|()| None) } else { Ok(found) }
}

/// How many records of a side file are in the log.
pub(super) fn merged_of(segments: &[Segment], name: &str) -> io::Result<u64> {
    let mut most = 0;
    let text = format!("\"merged\":\"{name}:");
    for segment in segments {
        each_line_with(segment, Some(&memmem::Finder::new(text.as_bytes())), 0, &mut |line| {
            let after = memmem::find(line, text.as_bytes()).map_or(&line[..0], |at| &line[at + text.len()..]);
            let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = std::str::from_utf8(&after[..digits]).ok().and_then(|digits| digits.parse().ok());
            most = most.max(number.unwrap_or(0));
            Ok(())
        })?;
    }
    Ok(most)
}
