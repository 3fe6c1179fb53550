//! Who wrote the records of a log, as far as their keyed hashes tell.

use super::mac::{Author, KeyId};
use std::collections::BTreeSet;

/// The most keys and places that are listed; further ones are only counted.
const MOST: usize = 1000;

/// Who wrote the records of a log.
#[derive(Debug, Default)]
pub(super) struct Authors {
    /// How many this user wrote.
    pub(super) own: u64,
    /// Which of them others wrote, or say nothing of it: the first and the last number of each row.
    pub(super) others: Vec<(u64, u64)>,
    /// Lines of other programs, which have no number: that of the record before each.
    pub(super) unnumbered: Vec<u64>,
    /// How many such lines there are.
    pub(super) lines: u64,
    /// The keys of others.
    keys: BTreeSet<KeyId>,
}

impl Authors {
    pub(super) fn add(&mut self, seq: u64, author: Author) {
        match author {
            Author::Own | Author::Forged => self.own += 1,
            Author::Unknown => self.other(seq, seq),
            Author::Other(key) => {
                self.other(seq, seq);
                if self.keys.len() < MOST {
                    self.keys.insert(key);
                }
            }
        }
    }

    /// A line of another program.
    pub(super) fn add_line(&mut self, before: u64) {
        self.lines += 1;
        if self.unnumbered.len() < MOST && self.unnumbered.last() != Some(&before) {
            self.unnumbered.push(before);
        }
    }

    fn other(&mut self, first: u64, last: u64) {
        match self.others.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => self.others.push((first, last)),
        }
    }

    /// Adds those of what follows. `before` is the number of the last record so far.
    pub(super) fn join(&mut self, next: Authors, before: u64) {
        self.own += next.own;
        self.lines += next.lines;
        next.others.into_iter().for_each(|(first, last)| self.other(first, last));
        // Where a part begins with such lines, it does not know what is before them.
        let known = next.unnumbered.into_iter().map(|seq| seq.max(before));
        self.unnumbered.extend(known);
        self.unnumbered.dedup();
        self.unnumbered.truncate(MOST);
        self.keys.extend(next.keys);
    }

    /// Leaves out the records up to `accepted`: their user took them as they were.
    pub(super) fn accept(&mut self, accepted: u64) {
        self.others.retain_mut(|(first, last)| {
            *first = (*first).max(accepted.saturating_add(1));
            first <= last
        });
        self.unnumbered.retain(|before| *before >= accepted);
    }

    /// What to tell when this user's key is here, if there is something.
    pub(super) fn note(&self) -> Option<String> {
        const SHOWN: usize = 10;
        let rows = self.others.iter().map(|(first, last)| match last - first {
            0 => format!("record {first}"),
            _ => format!("records {first} to {last}"),
        });
        let lines = self.unnumbered.iter().map(|before| match before {
            0 => "a line of another program before the first record".to_owned(),
            _ => format!("a line of another program after record {before}"),
        });
        let mut places: Vec<String> = rows.chain(lines).take(SHOWN + 1).collect();
        let more = (self.others.len() + self.unnumbered.len()).saturating_sub(SHOWN);
        if more > 0 {
            places.truncate(SHOWN);
            places.push(format!("{more} further places"));
        }
        let places = match places.as_slice() {
            [] => return None,
            [one] => one.clone(),
            [all @ .., last] => format!("{} and {last}", all.join(", ")),
        };
        let keys = match self.keys.len() {
            0 => "",
            _ => "; some are signed with the key of another user or installation",
        };
        Some(format!("not written by you, as far as knockon can tell: {places}{keys}"))
    }

    /// What to tell where this user's key is not.
    pub(super) fn note_without_key(&self) -> Option<String> {
        if self.keys.is_empty() {
            return (!self.others.is_empty()).then(|| "no record says who wrote it".to_owned());
        }
        let keys: Vec<&str> =
            self.keys.iter().take(3).map(|key| std::str::from_utf8(key).unwrap_or_default()).collect();
        Some(format!(
            "the key that signed these records ({}) is not here: that they are linked was checked, who wrote them was not",
            keys.join(", ")
        ))
    }
}
