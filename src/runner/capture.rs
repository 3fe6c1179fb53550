//! Keeps the first and the last 64 KiB of a stream and counts the rest.

use crate::delivery::{Captured, MAX_ANSWER, MeantScan};
use std::collections::VecDeque;

/// How much is kept at each end.
pub(super) const KEPT: usize = 64 * 1024;

/// A stream as it comes in.
#[derive(Debug, Default)]
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    bytes: u64,
    line_feeds: u64,
    ends_open: bool,
    /// All of it, as long as it may be a JSON object that is not too long for an answer.
    object: Object,
    /// Whether it is meant as an answer; nothing for a stream that is none.
    meant: Option<MeantScan>,
}

/// What may be a JSON object.
#[derive(Debug, Default)]
enum Object {
    /// Nothing but white space so far.
    #[default]
    Unknown,
    /// It begins like one.
    Begun(Vec<u8>),
    /// It is none.
    No,
}

impl Object {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Object::Unknown => match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => {}
                Some(b'{') => *self = Object::Begun(bytes.to_vec()),
                Some(_) => *self = Object::No,
            },
            Object::Begun(all) if all.len() + bytes.len() <= MAX_ANSWER => all.extend_from_slice(bytes),
            Object::Begun(_) => *self = Object::No,
            Object::No => {}
        }
    }
}

impl Capture {
    /// Takes the next bytes; memory stays within two times [`KEPT`], and [`MAX_ANSWER`] of what may be an answer.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(meant) = &mut self.meant {
            meant.push(bytes);
            self.object.push(bytes);
        }
        self.line_feeds += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if let Some(last) = bytes.last() {
            self.ends_open = *last != b'\n';
        }
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(KEPT)..];
        let too_many = (self.tail.len() + rest.len()).saturating_sub(KEPT);
        self.tail.drain(..too_many);
        self.tail.extend(rest);
    }

    /// A stream that may be an answer.
    pub(super) fn of_answers() -> Self {
        Capture { meant: Some(MeantScan::default()), ..Capture::default() }
    }

    /// All of it, when it begins like a JSON object and is not too long for an answer; and whether it is meant as one.
    pub(super) fn take_answer(&mut self) -> (Option<Vec<u8>>, MeantScan) {
        let printed = match std::mem::take(&mut self.object) {
            Object::Begun(all) => Some(all),
            Object::Unknown | Object::No => None,
        };
        (printed, self.meant.take().unwrap_or_default())
    }

    /// What was kept.
    pub(super) fn finish(self) -> Captured {
        let kept = (self.head.len() + self.tail.len()) as u64;
        Captured {
            omitted: self.bytes - kept,
            bytes: self.bytes,
            lines: self.line_feeds + u64::from(self.ends_open),
            head: self.head,
            tail: self.tail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_ends_and_counts_everything() {
        for size in [0, 1, KEPT - 1, KEPT, KEPT + 1, 2 * KEPT, 2 * KEPT + 1, 5 * KEPT + 17] {
            for step in [1000, KEPT, 3 * KEPT] {
                let all: Vec<u8> = (0..size).map(|n| if n % 80 == 79 { b'\n' } else { (n % 251) as u8 }).collect();
                let mut capture = Capture::default();
                all.chunks(step).for_each(|chunk| capture.push(chunk));
                let captured = capture.finish();
                let tail = size.saturating_sub(KEPT).min(KEPT);
                assert_eq!(captured.head, all[..size.min(KEPT)]);
                assert_eq!(captured.tail, all[size - tail..]);
                assert_eq!(captured.omitted as usize, size.saturating_sub(2 * KEPT));
                let lines = all.split_inclusive(|&byte| byte == b'\n').count() as u64;
                assert_eq!((captured.bytes as usize, captured.lines), (size, lines));
            }
        }
    }
}
