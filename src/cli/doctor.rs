//! `knockon doctor`: is everything as it should be?

use super::error::{CliError, Exit};
use super::options::ProjectOptions;
use super::terminal::{Paint, Terminal};
use crate::doctor::{Finding, Level, examine};
use crate::project::UserFolders;
use crate::text::{count, one_line};
use clap::Args;
use serde_json::json;

/// Check configuration, trust, permissions, the audit log and its chain, stored hooks, the clock, and what this system's
/// sandboxes can do; say what to do about each finding. Ends with 1 when something is wrong.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Print the findings as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for Doctor {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let findings = examine(&self.project.reader()?, &UserFolders::of_this_process());
        let of = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
        let (errors, warnings) = (of(Level::Error), of(Level::Warning));
        if self.json {
            let documents = findings.iter().map(|finding| {
                let Finding { check, level, message, help } = finding;
                json!({ "check": check, "level": level.as_str(), "message": message, "help": help })
            });
            let documents: Vec<_> = documents.collect();
            terminal.json(
                &json!({ "healthy": errors == 0, "errors": errors, "warnings": warnings, "findings": documents }),
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
