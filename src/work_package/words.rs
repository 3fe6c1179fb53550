//! The words a payload chooses from, and the lanes that version 3 has in place of statuses.

use std::fmt;
use std::str::FromStr;

/// A text that is none of the words of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    text: String,
    wanted: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = crate::text::one_line(&crate::text::shorten(&self.text, 60));
        write!(f, "`{shown}` is none of {}", self.wanted.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

/// An enumeration of a payload: its variants and their words.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            /// The words, as they are written.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(UnknownWord { text: text.to_owned(), wanted: Self::WORDS }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Where a work package stands: `previous_status`, `new_status`.
    Status {
        /// Nobody works on it yet.
        Planned = "planned",
        /// Somebody does.
        Doing = "doing",
        /// It waits for its review.
        ForReview = "for_review",
        /// It is accepted.
        Done = "done",
    }
}

words! {
    /// What an agent is to do: `phase`.
    Phase {
        /// Write it.
        Implementation = "implementation",
        /// Review it.
        Review = "review",
    }
}

words! {
    /// What a note is: `entry_type`.
    EntryType {
        /// A plain note.
        Note = "note",
        /// Of a review.
        Review = "review",
        /// Of an error.
        Error = "error",
        /// What somebody says about it.
        Comment = "comment",
    }
}

words! {
    /// What kind of error it was: `error_type`.
    ErrorType {
        /// Something was not as its rules want it.
        Validation = "validation",
        /// The command failed while it ran.
        Runtime = "runtime",
        /// The network failed.
        Network = "network",
        /// Signing in, or a right, failed.
        Auth = "auth",
        /// None of these.
        Unknown = "unknown",
    }
}

words! {
    /// How a dependency came to its end: `resolution_type`.
    Resolution {
        /// The other work package is done.
        Completed = "completed",
        /// It is not going to be done.
        Skipped = "skipped",
        /// It is merged.
        Merged = "merged",
    }
}

/// The lanes of version 3 that a move can begin in, and the status of each; none where work has stopped.
const LANES: [(&str, Option<Status>); 10] = [
    ("genesis", Some(Status::Planned)),
    ("planned", Some(Status::Planned)),
    ("claimed", Some(Status::Doing)),
    ("in_progress", Some(Status::Doing)),
    ("for_review", Some(Status::ForReview)),
    ("in_review", Some(Status::ForReview)),
    ("approved", Some(Status::ForReview)),
    ("done", Some(Status::Done)),
    ("blocked", None),
    ("canceled", None),
];

impl Status {
    /// The status of a lane of version 3; nothing for `blocked` and `canceled`, which keep the last one, and for what
    /// is no lane.
    pub fn of_lane(lane: &str) -> Option<Status> {
        LANES.iter().find(|(name, _)| *name == lane).and_then(|(_, status)| *status)
    }

    /// The lane of version 3 that says the same.
    pub fn lane(self) -> &'static str {
        match self {
            Status::Planned => "planned",
            Status::Doing => "in_progress",
            Status::ForReview => "for_review",
            Status::Done => "done",
        }
    }
}

/// Whether `lane` is one of version 3.
pub(super) fn is_lane(lane: &str) -> bool {
    LANES.iter().any(|(name, _)| *name == lane)
}

/// Whether a move is none of those that the commands of spec-kitty make.
pub fn unusual_move(previous: &str, new: &str) -> bool {
    !matches!(
        (previous, new),
        ("planned", "doing") | ("doing", "for_review") | ("for_review", "done") | ("for_review", "doing")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_moves_are_usual() {
        let usual: Vec<_> = Status::WORDS
            .iter()
            .flat_map(|from| Status::WORDS.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| !unusual_move(from, to))
            .collect();
        let wanted = [("planned", "doing"), ("doing", "for_review"), ("for_review", "doing"), ("for_review", "done")];
        assert_eq!(usual, wanted);
        assert!(unusual_move("done", "anything"));
    }

    #[test]
    fn words_read_as_they_are_written() {
        for word in Status::WORDS {
            let status: Status = word.parse().unwrap();
            assert_eq!(status.to_string(), *word);
            assert_eq!(Status::of_lane(status.lane()), Some(status));
        }
        let error = "Done".parse::<Status>().unwrap_err().to_string();
        assert_eq!(error, "`Done` is none of planned, doing, for_review, done");
        assert_eq!(Status::of_lane("blocked"), None);
        assert_eq!(Status::of_lane("approved"), Some(Status::ForReview));
    }
}
