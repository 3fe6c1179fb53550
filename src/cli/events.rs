//! `knockon events`: the registry.

use super::error::{CliError, Exit};
use super::terminal::{Paint, Terminal, columns};
use crate::registry::{CANONICAL, CanonicalEvent};
use clap::Args;
use serde_json::json;

/// List the known event types and when they happen.
#[derive(Args, Debug)]
pub(super) struct Events {
    /// Print the list as one JSON document
    #[arg(long)]
    json: bool,
}

impl super::Command for Events {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        if self.json {
            let events =
                CANONICAL.iter().map(|event| json!({ "type": event.name, "group": event.group, "about": event.about }));
            terminal.json(&json!({ "events": events.collect::<Vec<_>>() }));
            return Ok(Exit::Fine);
        }
        let row = |event: &CanonicalEvent| vec![format!("  {}", event.name), event.about.to_owned()];
        let lines = columns(&CANONICAL.iter().map(row).collect::<Vec<_>>());
        let mut group = "";
        for (event, line) in CANONICAL.iter().zip(lines) {
            if event.group != group {
                group = event.group;
                let heading = terminal.paint(Paint::Bold, group);
                terminal.line(&heading);
            }
            terminal.line(&line);
        }
        Ok(Exit::Fine)
    }
}
