//! The append-only record of what happened: one JSON object a line, each linked to the one before.
//!
//! `record` is one line's content, `link` its place in the chain, `place` the files of a log; `append` writes a line whole (`end`) among any
//! number of writers, `mac` says who wrote it (`authors` of all records), `side` keeps it beside the log while the lock is stuck (`merge` puts it into the log later), `elsewhere`
//! in the user's state folder while the log cannot be written, `rotate` begins the next file, `seal` keeps the head of the
//! chain where the project cannot reach it. `lines` reads files, `read` records, `query` those that are asked for, `follow` those that are added, `verify` whether they
//! are what was written (`pieces` by piece), `state` what state its files are in, `stats` how hooks fared over some time, `story` puts together what became of one event. The file is `.flowspec/hooks/audit.log` or
//! `.knockon/audit.log`; a project with neither folder has its log in the user's state folder.

mod append;
mod authors;
mod elsewhere;
mod end;
mod follow;
mod lines;
mod link;
mod mac;
mod merge;
mod pieces;
mod place;
mod query;
mod read;
mod record;
mod rotate;
mod seal;
mod side;
mod state;
mod stats;
mod story;
mod verify;

pub use append::{AuditError, AuditLog};
pub use follow::{Follower, Happened, Snapshot};
pub use query::{Found, Query};
pub use read::Entry;
pub use record::{AuditRecord, STATUSES};
pub use seal::Head;
pub use state::State;
pub use stats::{Spans, Stats, Tally};
pub use story::{AttemptStory, HookStory, Story};
pub use verify::{Fault, SealLine, Verified};
