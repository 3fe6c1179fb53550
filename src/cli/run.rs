//! `knockon run`: an event that somebody else wrote.

use super::emit::{EmitOptions, refused, refused_line};
use super::error::{CliError, Exit};
use super::options::read_event;
use super::quick::{Argument, Quick};
use super::series::Series;
use super::terminal::Terminal;
use crate::emitter::Emitter;
use crate::event::{Event, EventDraft, EventType};
use crate::json::Json;
use crate::work_package::{from_wire, is_wire};
use clap::Args;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// Emit an event given as JSON. A complete event reaches the hooks byte for byte; fields that the
/// emitter owns (event_id, schema_version, timestamp, project_root) are added where they are missing.
/// A work-package event as the sync wire has it becomes the event of ours that says the same.
#[derive(Args, Debug)]
pub(super) struct Run {
    /// The event's type, when the JSON does not name one
    #[arg(long, value_name = "TYPE")]
    event_type: Option<EventType>,
    /// The event as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "event_file")]
    payload: Option<String>,
    /// A file that holds the event as JSON, or one event a line; `-` is standard input, which is read when it is piped and
    /// nothing else is given
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
        let one = payload.is_none() || event_file.is_none();
        (one && how.agree()).then_some(Run { event_type, payload, event_file, how })
    }

    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        self.how.reported(terminal, |terminal| self.emit(terminal))
    }
}

impl Run {
    fn emit(&self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (origin, bytes) = match (&self.payload, &self.event_file) {
            (Some(payload), _) => ("--payload".to_owned(), payload.clone().into_bytes()),
            (None, Some(path)) => read_event(path)?,
            (None, None) if self.event_type.is_some() => ("the event".to_owned(), b"{}".to_vec()),
            (None, None) if io::stdin().is_terminal() => {
                return Err(CliError::usage("the event is missing").hint(
                    "pipe it into `knockon run`, or give --event-file FILE, --payload JSON or --event-type TYPE",
                ));
            }
            (None, None) => read_event(Path::new("-"))?,
        };
        if let Some(lines) = json_lines(&bytes) {
            return self.run_lines(&origin, lines, terminal);
        }
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

    /// Emits each line as an event. All of them are read before the first is emitted: bad input loses nothing.
    fn run_lines(&self, origin: &str, lines: Vec<(usize, &[u8])>, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let emitter = self.how.open()?;
        let mut drafts = Vec::with_capacity(lines.len());
        for (number, line) in lines {
            let place = format!("{origin}:{number}");
            let bytes = match envelope(line) {
                Some(envelope) => event_of(envelope, &emitter, &place)?.bytes().to_vec(),
                None => line.to_vec(),
            };
            let draft = EventDraft::from_json(bytes, self.event_type.clone());
            drafts.push(draft.map_err(|error| refused_line(origin, number, &error))?);
        }
        let mut series = Series::new(&self.how, &emitter, "run", terminal)?;
        for draft in drafts {
            if self.how.dry_run {
                series.preview(draft, terminal);
            } else if series.emit(draft, terminal).is_break() {
                break;
            }
        }
        Ok(series.finish(terminal))
    }
}

/// The lines of JSON Lines, each with its number: more than one document, each an object on a line of its own.
fn json_lines(bytes: &[u8]) -> Option<Vec<(usize, &[u8])>> {
    // One document is the rule, and is not read twice: its first line is all of it, or does not end it.
    let (first, rest) = bytes.split_at(memchr::memchr(b'\n', bytes.trim_ascii_end())?);
    let ends = first.trim_ascii().ends_with(b"}") && rest.trim_ascii().starts_with(b"{");
    if !ends || Json::parse(bytes).is_ok() {
        return None;
    }
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.map(|(at, line)| (at + 1, line.trim_ascii())).filter(|(_, line)| !line.is_empty());
    let lines: Vec<(usize, &[u8])> = lines.collect();
    (lines.len() > 1 && lines.iter().all(|(_, line)| line.starts_with(b"{"))).then_some(lines)
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
