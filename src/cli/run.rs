//! `knockon run`: an event that somebody else wrote.

use super::emit::{EmitOptions, refused};
use super::error::{CliError, Exit};
use super::options::read_event;
use super::quick::{Argument, Quick};
use super::terminal::Terminal;
use crate::event::{EventDraft, EventType};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

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
    fn quick(arguments: &[OsString]) -> Option<Self> {
        let mut quick = Quick::new(arguments);
        let (mut event_type, mut payload, mut event_file) = (None, None, None);
        let mut how = EmitOptions::default();
        while let Some(argument) = quick.next()? {
            let Argument::Option(name, attached) = argument else { return None };
            match name {
                "--event-type" => quick.set(&mut event_type, attached)?,
                "--payload" => quick.set(&mut payload, attached)?,
                "--event-file" => quick.set(&mut event_file, attached)?,
                _ => how.take(&mut quick, name, attached)?,
            }
        }
        let one = match (&payload, &event_file) {
            (None, None) => event_type.is_some(),
            (payload, file) => payload.is_none() || file.is_none(),
        };
        (one && how.agree()).then_some(Run { event_type, payload, event_file, how })
    }

    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (origin, bytes) = match (&self.payload, &self.event_file) {
            (Some(payload), _) => ("--payload".to_owned(), payload.clone().into_bytes()),
            (None, Some(path)) => read_event(path)?,
            (None, None) => ("the event".to_owned(), b"{}".to_vec()),
        };
        let draft = EventDraft::from_json(bytes, self.event_type).map_err(|error| refused(&origin, &error))?;
        let emitter = self.how.project.emitter(&self.how.trust, self.how.dry_run)?;
        self.how.emit(&emitter, draft, "run", &origin, terminal)
    }
}
