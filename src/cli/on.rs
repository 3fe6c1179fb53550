//! `knockon on`: a hook in one line, for those who want just that.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, require_own};
use super::terminal::Terminal;
use crate::config::HookName;
use crate::matcher::{TypeGlob, why_impossible};
use crate::project::UserFolders;
use crate::scaffold::{self, OneLine, ScaffoldError};
use crate::text::one_line;
use clap::Args;
use serde_json::json;

/// Write a hook that runs COMMAND when an event of TYPE happens. It goes into hooks.on.yaml beside
/// hooks.yaml, which is read with it; hooks.yaml itself is never rewritten. Where the project's hooks were
/// trusted before, what you typed is trusted too.
#[derive(Args, Debug)]
pub(super) struct On {
    /// The event's type, or a glob such as task.*
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The command line for the shell, in quotes
    #[arg(value_name = "COMMAND")]
    command: String,
    /// The hook's name [default: made from TYPE]
    #[arg(long, value_name = "NAME")]
    name: Option<HookName>,
    /// Let a failure of the command stop the caller
    #[arg(long)]
    stop: bool,
    /// Show the line; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    /// The project's folder [default: the nearest one upward with a hooks.yaml, else with .flowspec, .knockon or .git]
    #[arg(long, value_name = "FOLDER")]
    project_root: Option<std::path::PathBuf>,
}

impl super::Command for On {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        TypeGlob::parse(&self.kind)
            .map_err(|invalid| CliError::usage(format!("`{}`: {invalid}", one_line(&self.kind))))?;
        if let Some((why, write)) = why_impossible(&self.kind) {
            let error = CliError::usage(why);
            return Err(match write {
                Some(write) => error.hint(format!("write `{write}`")),
                None => error,
            });
        }
        if self.command.trim().is_empty() || self.command.contains('\0') {
            return Err(CliError::usage("the command is empty")
                .hint("give it in quotes: knockon on task.completed 'make test'"));
        }
        let literal = !self.kind.contains(['*', '?', '[']);
        if let Some(warning) = self.kind.parse().ok().filter(|_| literal).and_then(|kind| crate::registry::admit(&kind))
        {
            terminal.warning(&warning);
        }
        let user = UserFolders::of_this_process();
        let options = ProjectOptions { project_root: self.project_root, config: None };
        let project = options.project(&user)?;
        require_own(&project)?;
        let wanted = OneLine { kind: self.kind, command: self.command, name: self.name, stop: self.stop };
        let written = scaffold::add_one_line(&project, &user, &wanted, self.dry_run);
        let written = written.map_err(|error| match error {
            ScaffoldError::Configuration(problem) => CliError::usage(problem),
            error => CliError::new(Exit::Io, error.to_string()),
        })?;
        if self.json {
            terminal.json(&json!({
                "hook": written.name,
                "line": written.line.trim(),
                "path": written.path,
                "written": !self.dry_run,
                "trusted": written.trusted,
            }));
            return Ok(Exit::Fine);
        }
        terminal.line(&one_line(written.line.trim()));
        if !self.dry_run {
            terminal.line(&format!("added to {}", one_line(&written.path.to_string_lossy())));
            if !written.trusted {
                terminal.line("Next: review and allow it with `knockon trust`.");
            }
        }
        Ok(Exit::Fine)
    }
}
