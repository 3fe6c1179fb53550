//! Lanes: the four that events know, and the nine that newer folders have.

use crate::work_package::Status;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a work package stands, as events say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Not begun.
    Planned,
    /// Being worked on.
    Doing,
    /// Waits for a review, or is in one.
    ForReview,
    /// Accepted.
    Done,
}

/// What a word in a file says about the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It stands there.
    In(Lane),
    /// It stays where it was: it is canceled or blocked.
    Stays,
}

/// Every name a lane has in a file, with what it is to events.
const WORDS: &[(&str, Word)] = &[
    ("planned", Word::In(Lane::Planned)),
    ("doing", Word::In(Lane::Doing)),
    ("claimed", Word::In(Lane::Doing)),
    ("in_progress", Word::In(Lane::Doing)),
    ("for_review", Word::In(Lane::ForReview)),
    ("in_review", Word::In(Lane::ForReview)),
    ("approved", Word::In(Lane::ForReview)),
    ("done", Word::In(Lane::Done)),
    ("canceled", Word::Stays),
    ("cancelled", Word::Stays),
    ("blocked", Word::Stays),
];

/// What a word means; nothing when it is no lane.
pub(super) fn word(text: &str) -> Option<Word> {
    let text = text.trim();
    WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, word)| *word)
}

impl Lane {
    /// The lanes, in the order a work package goes through them.
    pub const ALL: [Lane; 4] = [Lane::Planned, Lane::Doing, Lane::ForReview, Lane::Done];

    /// Its name in events, in front matters and as a folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Planned => "planned",
            Lane::Doing => "doing",
            Lane::ForReview => "for_review",
            Lane::Done => "done",
        }
    }

    /// Its name in `status.events.jsonl`, which has no `doing`.
    pub(super) fn in_log(self) -> &'static str {
        if self == Lane::Doing { "in_progress" } else { self.as_str() }
    }
}

impl From<Lane> for Status {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Planned => Status::Planned,
            Lane::Doing => Status::Doing,
            Lane::ForReview => Status::ForReview,
            Lane::Done => Status::Done,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Lane {
    type Err = String;

    /// Reads the lane that somebody wants, by any name but those that are no place to be.
    fn from_str(text: &str) -> Result<Self, String> {
        match word(text) {
            Some(Word::In(lane)) => Ok(lane),
            Some(Word::Stays) => Err(format!("`{text}` is no lane that events know")),
            None => Err("one of planned, doing, for_review, done is wanted".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_lanes_become_four() {
        for (text, lane) in [("claimed", Lane::Doing), ("In_Review ", Lane::ForReview), ("approved", Lane::ForReview)] {
            assert_eq!(text.parse(), Ok(lane), "{text}");
        }
        assert_eq!(word("blocked"), Some(Word::Stays));
        assert!("canceled".parse::<Lane>().is_err() && "somewhere".parse::<Lane>().is_err());
    }
}
