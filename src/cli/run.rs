//! `knockon run`: an event that somebody else wrote.

use super::emit::{EmitOptions, refused};
use super::error::{CliError, Exit};
use super::options::read_event;
use super::quick::{Argument, Quick};
use super::terminal::Terminal;
use crate::emitter::Emitter;
use crate::event::{Event, EventDraft, EventType};
use crate::json::Json;
use crate::work_package::{from_wire, is_wire};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// Emit an event given as JSON. A complete event reaches the hooks byte for byte; fields that the
/// emitter owns (event_id, schema_version, timestamp, project_root) are added where they are missing.
/// A work-package event as the sync wire has it becomes the event of ours that says the same.
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
        let open = || self.how.open();
        let draft =
            |bytes| EventDraft::from_json(bytes, self.event_type.clone()).map_err(|error| refused(&origin, &error));
        let (emitter, draft) = match envelope(&bytes) {
            Some(envelope) => {
                let emitter = open()?;
                let event = event_of(envelope, &emitter, &origin)?;
                (emitter, draft(event.bytes().to_vec())?)
            }
            None => {
                let draft = draft(bytes)?;
                (open()?, draft)
            }
        };
        self.how.emit(&emitter, draft, "run", &origin, terminal)
    }
}

/// The document, when it is an envelope of the sync wire.
fn envelope(bytes: &[u8]) -> Option<Json<'_>> {
    // An event of ours is not read twice.
    memchr::memmem::find(bytes, b"\"aggregate_id\"")?;
    Json::parse(bytes).ok().filter(|json| is_wire(*json))
}

/// The event of ours that an envelope says.
fn event_of(envelope: Json<'_>, emitter: &Emitter, origin: &str) -> Result<Event, CliError> {
    from_wire(envelope.text(), &emitter.project().root_text()).map_err(|broken| {
        let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
        CliError::usage(format!("{origin}: {}", broken.join("; ")))
            .hint("`knockon schema wp-envelope` prints the rules of an envelope")
    })
}
