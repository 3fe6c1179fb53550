//! The append-only record of what happened: one JSON object a line, each linked to the one before.
//!
//! `record` is one line's content, `append` writes it whole among any number of writers, `read` reads
//! from the end, `story` puts together what became of one event. The file is `.flowspec/hooks/audit.log` or `.knockon/audit.log`; a project with
//! neither folder has its log in the user's state folder.

mod append;
mod read;
mod record;
mod story;

pub use append::{AuditError, AuditLog};
pub use read::{Entry, Tail};
pub use record::AuditRecord;
pub use story::{AttemptStory, HookStory, Story};
