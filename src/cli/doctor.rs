//! `knockon doctor`: is everything as it should be?

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, TrustOptions};
use super::terminal::{Paint, Terminal};
use crate::doctor::{Finding, Level, examine, repairs as repairs_of};
use crate::project::UserFolders;
use crate::sys::is_interactive;
use crate::text::{count, one_line};
use clap::Args;
use serde_json::json;
use std::collections::HashSet;

/// Check configuration, trust, permissions, the audit log and its chain, stored hooks, the clock, and what this system's
/// sandboxes can do; say what to do about each finding. Ends with 1 when something is wrong.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Print the findings as one JSON document
    #[arg(long)]
    json: bool,
    /// Repair modes that let others write: what would be changed is shown, and you are asked
    #[arg(long)]
    fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    yes: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl Doctor {
    /// Repairs what the user says yes to. Returns the paths that were changed.
    fn repair(&self, user: &UserFolders, terminal: &mut Terminal) -> Result<Vec<String>, CliError> {
        let emitter = self.project.reader()?;
        let mut repairs = repairs_of(&emitter, user);
        // Where the folders are the user's own, what keeps the project from being found is only a part of what is wrong.
        let refused = emitter.project().refused().map(|refused| refused.root.clone());
        if let Some(root) = refused.filter(|_| !repairs.is_empty()) {
            let project = ProjectOptions { project_root: Some(root), config: None };
            let further = repairs_of(&project.reader()?, user);
            repairs.extend(further);
            let mut known = HashSet::new();
            repairs.retain(|repair| known.insert(repair.path.clone()));
        }
        if repairs.is_empty() {
            terminal.note("no file or folder needs its mode repaired");
            return Ok(Vec::new());
        }
        for repair in &repairs {
            terminal.note(&one_line(&repair.to_string()));
        }
        if !self.yes {
            if !is_interactive() {
                let error = CliError::usage("there is no terminal to ask on");
                return Err(error.hint("to change these modes without being asked: knockon doctor --fix --yes"));
            }
            if !terminal.confirm(&format!("Change {}?", count(repairs.len(), "mode"))) {
                terminal.note("nothing was changed");
                return Ok(Vec::new());
            }
        }
        let mut fixed = Vec::new();
        for repair in repairs {
            match repair.carry_out() {
                Ok(()) => fixed.push(repair.path.to_string_lossy().into_owned()),
                Err(error) => terminal.warning(&format!("{}: {error}", repair.path.display())),
            }
        }
        Ok(fixed)
    }
}

impl super::Command for Doctor {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let fixed = if self.fix { self.repair(&user, terminal)? } else { Vec::new() };
        let findings = examine(&self.project.emitter(&TrustOptions::default(), true)?, &user);
        let of = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
        let (errors, warnings) = (of(Level::Error), of(Level::Warning));
        if self.json {
            let documents = findings.iter().map(|finding| {
                let Finding { check, level, message, help } = finding;
                json!({ "check": check, "level": level.as_str(), "message": message, "help": help })
            });
            let documents: Vec<_> = documents.collect();
            terminal.json(
                &json!({ "healthy": errors == 0, "errors": errors, "warnings": warnings, "findings": documents, "fixed": fixed }),
            );
        } else {
            for finding in &findings {
                let (mark, paint) = match finding.level {
                    Level::Fine => ("✓", Paint::Good),
                    Level::Warning => ("!", Paint::Warn),
                    Level::Error => ("✗", Paint::Bad),
                };
                let mark = terminal.paint(paint, mark);
                terminal.line(&format!("{mark} {}: {}", finding.check, one_line(&finding.message)));
                if let Some(help) = &finding.help {
                    let help = terminal.paint(Paint::Dim, &one_line(help));
                    terminal.line(&format!("    {help}"));
                }
            }
            terminal.line(&match (errors, warnings) {
                (0, 0) => "all is well".to_owned(),
                (0, warnings) => count(warnings, "warning"),
                (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
            });
        }
        Ok(if errors > 0 { Exit::Stopped } else { Exit::Fine })
    }
}
