//! `knockon schema`: the published JSON Schemas.

use super::error::{CliError, Exit};
use super::terminal::{Terminal, columns};
use crate::event::SCHEMAS;
use crate::text::nearest;
use clap::Args;
use serde_json::json;

/// Print a JSON Schema, or list them.
#[derive(Args, Debug)]
pub(super) struct Schema {
    /// The schema, such as event, config, wp-envelope or wp-status-changed [default: list them]
    name: Option<String>,
    /// Print the list as one JSON document
    #[arg(long)]
    json: bool,
}

impl super::Command for Schema {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        if let Some(name) = &self.name {
            let found = SCHEMAS.iter().find(|schema| schema.name == name || schema.file == name);
            let Some(schema) = found else {
                let error = CliError::usage(format!("there is no schema `{name}`"));
                return Err(match nearest(name, SCHEMAS.iter().map(|schema| schema.name)) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("`knockon schema` lists them"),
                });
            };
            terminal.line(schema.text.trim_end());
        } else if self.json {
            let schemas =
                SCHEMAS.iter().map(|schema| json!({ "name": schema.name, "about": schema.about, "file": schema.file }));
            terminal.json(&json!({ "schemas": schemas.collect::<Vec<_>>() }));
        } else {
            let row = |schema: &crate::event::Schema| vec![schema.name.to_owned(), schema.about.to_owned()];
            for line in columns(&SCHEMAS.iter().map(row).collect::<Vec<_>>()) {
                terminal.line(&line);
            }
        }
        Ok(Exit::Fine)
    }
}
