//! `knockon run`: an event that somebody else wrote.

use super::emit::{EmitOptions, refused};
use super::error::{CliError, Exit};
use super::terminal::Terminal;
use crate::event::{EventDraft, EventType, MAX_BYTES};
use clap::Args;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Emit an event given as JSON. A complete event reaches the hooks byte for byte; fields that the
/// emitter owns (event_id, schema_version, timestamp, project_root) are added where they are missing.
#[derive(Args, Debug)]
pub(super) struct Run {
    /// The event's type, when the JSON does not name one
    #[arg(long, value_name = "TYPE", required_unless_present_any = ["event_file", "payload"])]
    event_type: Option<EventType>,
    /// The event as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "event_file")]
    payload: Option<String>,
    /// A file that holds the event as JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    event_file: Option<PathBuf>,
    #[command(flatten)]
    how: EmitOptions,
}

impl super::Command for Run {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (origin, bytes) = match (&self.payload, &self.event_file) {
            (Some(payload), _) => ("--payload".to_owned(), payload.clone().into_bytes()),
            (None, Some(path)) if path == Path::new("-") => {
                let read = read_capped(io::stdin().lock());
                ("standard input".to_owned(), read.map_err(|error| CliError::io("standard input", &error))?)
            }
            (None, Some(path)) => {
                let origin = path.display().to_string();
                let read = File::open(path).and_then(read_capped);
                let bytes = read.map_err(|error| CliError::usage(format!("{origin}: {error}")))?;
                (origin, bytes)
            }
            (None, None) => ("the event".to_owned(), b"{}".to_vec()),
        };
        let draft = EventDraft::from_json(bytes, self.event_type).map_err(|error| refused(&origin, &error))?;
        let emitter = self.how.project.emitter(&self.how.trust)?;
        self.how.emit(&emitter, draft, &origin, terminal)
    }
}

/// Reads at most one byte more than an event may have, so that an endless input ends.
fn read_capped(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
