//! `knockon audit`: what happened lately.

use super::error::{CliError, Exit};
use super::options::ProjectOptions;
use super::terminal::{Paint, Terminal, columns};
use crate::audit::{AuditLog, Entry};
use crate::project::UserFolders;
use crate::text::{count, one_line, shorten};
use crate::time::human;
use clap::Args;
use serde_json::value::RawValue;
use std::time::Duration;

/// Show the last records of the audit log, oldest first.
#[derive(Args, Debug)]
pub(super) struct Audit {
    /// How many records
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    tail: usize,
    /// Print the records as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for Audit {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let log = AuditLog::of(&self.project.project(&user)?, &user);
        let tail = log.tail(self.tail).map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        if self.json {
            #[derive(serde::Serialize)]
            struct Document {
                entries: Vec<Box<RawValue>>,
                count: usize,
            }
            let entries = tail.entries.into_iter().filter_map(|entry| RawValue::from_string(entry.line).ok());
            let entries: Vec<_> = entries.collect();
            terminal.json(&Document { count: entries.len(), entries });
        } else if tail.entries.is_empty() {
            let path = one_line(&log.path().to_string_lossy());
            terminal.line(&match tail.exists {
                true if self.tail == 0 => "no record was asked for".to_owned(),
                true => format!("no record in the last {} of {path}", count(self.tail, "line")),
                false => format!("nothing is recorded in {path}"),
            });
        } else {
            let rows: Vec<Vec<String>> = tail.entries.iter().map(cells).collect();
            for (entry, line) in tail.entries.iter().zip(columns(&rows)) {
                let line = match entry.text("status") {
                    "emitted" | "started" | "skipped" => terminal.paint(Paint::Dim, &line),
                    "success" => line,
                    _ => terminal.paint(Paint::Bad, &line),
                };
                terminal.line(&line);
            }
        }
        if tail.unreadable > 0 {
            terminal.warning(&format!("{} of the log cannot be read", count(tail.unreadable, "line")));
        }
        Ok(Exit::Fine)
    }
}

fn cells(entry: &Entry) -> Vec<String> {
    let duration = entry.number("duration_ms").filter(|millis| (0.0..1e12).contains(millis));
    let duration = duration.map(|millis| human(Duration::from_secs_f64(millis / 1e3)));
    // Seconds are enough for people: 2025-12-02T15:30:45.123Z → 2025-12-02 15:30:45
    let time = entry.text("timestamp").get(..19).unwrap_or_default().replace('T', " ");
    let field = |name: &str, width: usize| one_line(&shorten(entry.text(name), width));
    vec![
        one_line(&time),
        field("event_type", 32),
        field("hook", 32),
        field("status", 20),
        duration.unwrap_or_default(),
        field("error", 80),
    ]
}
