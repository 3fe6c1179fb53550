//! Feature folders as spec-kitty keeps them (`kitty-specs/<NNN-slug>/`): read, edited where that tool edits them, and
//! what happened in them as events.
//!
//! `find` says which folder is meant, `feature_folder` reads one: `front_matter` and `yaml` a work package's file, `tasks`
//! the list of them, `status_log` the newer log of lanes, `lane` the names of lanes. `edit` changes the front matter
//! byte-exactly, `write` puts it on the disk. `derive` is pure: what was asked for, and what is on the disk → changes and
//! events; `scan` the same from what was seen last. `memory` is what is remembered between two commands,
//! `owner` who works on it, and `session` carries a plan out so that a crash anywhere loses and doubles nothing. No event is emitted here: the caller is
//! handed drafts.

mod derive;
mod edit;
mod feature_folder;
mod find;
mod front_matter;
mod lane;
mod memory;
mod owner;
mod scan;
mod session;
mod status_log;
mod tasks;
mod write;
mod yaml;

pub use derive::{Asked, Plan, Planner, error_logged};
pub use feature_folder::{Feature, Meta, Package};
pub use find::{find, work_package_id};
pub use lane::Lane;
pub use memory::{Forgetful, Memory, Planned, Rewrite};
pub use scan::scan;
pub use session::{Done, Outstanding, Session};

use crate::sys::LockError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why something cannot be done with a feature folder.
#[derive(Debug)]
pub enum KittyError {
    /// What was named is not there, or it is not clear what is meant; with what there is.
    NotFound {
        /// What was looked for.
        what: String,
        /// What there is instead.
        choices: Vec<String>,
    },
    /// A file is not as it should be.
    Format {
        /// The file.
        path: PathBuf,
        /// Its line, from 1; 0 when no line is to blame.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// What was asked for makes no sense here.
    Refused(String),
    /// The system refused.
    Io(PathBuf, io::Error),
    /// Another command works on the feature.
    Busy(LockError),
    /// What is remembered of the feature cannot be read or kept.
    Memory(String),
}

impl KittyError {
    /// Whether the input is to blame, and not the machine.
    pub fn is_validation(&self) -> bool {
        matches!(self, KittyError::NotFound { .. } | KittyError::Format { .. } | KittyError::Refused(_))
    }

    fn format(path: impl Into<PathBuf>, line: usize, problem: impl Into<String>) -> Self {
        KittyError::Format { path: path.into(), line, problem: problem.into() }
    }
}

impl fmt::Display for KittyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KittyError::NotFound { what, choices } if choices.is_empty() => f.write_str(what),
            KittyError::NotFound { what, choices } => write!(f, "{what}; there is {}", choices.join(", ")),
            KittyError::Format { path, line: 0, problem } => write!(f, "{}: {problem}", path.display()),
            KittyError::Format { path, line, problem } => write!(f, "{}:{line}: {problem}", path.display()),
            KittyError::Refused(why) => f.write_str(why),
            KittyError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            KittyError::Busy(error) => write!(f, "the feature is being changed: {error}; try again"),
            KittyError::Memory(error) => write!(f, "what is remembered of the feature: {error}"),
        }
    }
}

impl std::error::Error for KittyError {}
