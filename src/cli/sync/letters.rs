//! Dead letters: what the server will not take.

use super::super::error::{CliError, Exit};
use super::super::terminal::{Terminal, columns};
use super::{failed, open};
use crate::event::EventId;
use crate::store::DeadLetter;
use crate::sys::create_private;
use crate::text::one_line;
use clap::{Args, Subcommand};
use serde_json::{json, value::RawValue};
use std::io::Write;
use std::path::PathBuf;

/// Events that the server will not take, with its reasons.
#[derive(Args, Debug)]
pub(super) struct Dead {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List them
    List {
        /// Print the list as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Put them back into the queue
    Retry(Named),
    /// Forget them
    Drop(Named),
    /// Write them with their reasons, one JSON document a line
    Export {
        /// The file; it must not be there yet [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which of them.
#[derive(Args, Debug)]
struct Named {
    /// Their ids
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all", value_parser = id)]
    ids: Vec<EventId>,
    /// All of them
    #[arg(long)]
    all: bool,
}

/// An id as we write it, or as the server does: without `evt_`.
fn id(text: &str) -> Result<EventId, String> {
    let whole = if text.starts_with("evt_") { text.to_owned() } else { format!("evt_{text}") };
    let id: EventId = whole.parse().map_err(|error: crate::event::InvalidEventId| error.to_string())?;
    if id.is_ulid() { Ok(id) } else { Err(format!("`{}` is no event id of the queue, which are ULIDs", id.ulid())) }
}

impl Dead {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (_, mut queue) = open()?;
        match self.what {
            What::List { json } => {
                let letters = queue.dead_letters().map_err(failed)?;
                list(&letters, json, terminal);
            }
            What::Retry(Named { ids, all }) => {
                known(&queue.dead_letters().map_err(failed)?, &ids)?;
                let back = queue.retry_dead((!all).then_some(&ids)).map_err(failed)?;
                terminal.line(&format!("{back} back in the queue"));
            }
            What::Drop(Named { ids, all }) => {
                known(&queue.dead_letters().map_err(failed)?, &ids)?;
                let gone = queue.drop_dead((!all).then_some(&ids)).map_err(failed)?;
                terminal.line(&format!("{gone} dropped"));
            }
            What::Export { output } => export(&queue.dead_letters().map_err(failed)?, output, terminal)?,
        }
        Ok(Exit::Fine)
    }
}

/// That every id is one of a dead letter.
fn known(letters: &[DeadLetter], ids: &[EventId]) -> Result<(), CliError> {
    match ids.iter().find(|id| letters.iter().all(|letter| letter.event_id != **id)) {
        Some(unknown) => Err(CliError::usage(format!("there is no dead letter {unknown}"))
            .hint("`knockon sync dead list` shows them; nothing was changed")),
        None => Ok(()),
    }
}

fn list(letters: &[DeadLetter], json: bool, terminal: &mut Terminal) {
    if json {
        let letters: Vec<_> = letters.iter().map(document).collect();
        return terminal.json(&json!({ "dead_letters": letters }));
    }
    if letters.is_empty() {
        return terminal.line("there are no dead letters");
    }
    let row = |letter: &DeadLetter| {
        let project = letter.project.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reason = one_line(&letter.reason);
        vec![
            letter.event_id.to_string(),
            letter.event_type.clone(),
            one_line(&project),
            letter.died.to_string(),
            reason,
        ]
    };
    for line in columns(&letters.iter().map(row).collect::<Vec<_>>()) {
        terminal.line(&line);
    }
}

fn document(letter: &DeadLetter) -> serde_json::Value {
    json!({
        "event_id": letter.event_id.to_string(),
        "event_type": letter.event_type,
        "project": letter.project.to_string_lossy(),
        "queued_at": letter.queued.to_string(),
        "died_at": letter.died.to_string(),
        "retry_count": letter.retry_count,
        "reason": letter.reason,
    })
}

/// A dead letter with its event, byte for byte.
#[derive(serde::Serialize)]
struct Exported {
    #[serde(flatten)]
    letter: serde_json::Value,
    event: Option<Box<RawValue>>,
}

fn export(letters: &[DeadLetter], output: Option<PathBuf>, terminal: &mut Terminal) -> Result<(), CliError> {
    let exported = letters
        .iter()
        .map(|letter| Exported { letter: document(letter), event: RawValue::from_string(letter.event.clone()).ok() });
    let Some(path) = output else {
        exported.for_each(|letter| terminal.json(&letter));
        return Ok(());
    };
    let failed = |error| CliError::io(path.display(), &error);
    let mut file = create_private(&path).map_err(failed)?;
    for letter in exported {
        let line = serde_json::to_string(&letter).map_err(|error| failed(error.into()))?;
        writeln!(file, "{line}").map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    terminal.line(&format!("{} written to {}", letters.len(), path.display()));
    Ok(())
}
