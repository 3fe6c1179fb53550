//! `knockon validate`: every problem of the configuration at once.

use super::error::{CliError, Exit};
use super::options::ProjectOptions;
use super::report::Problem;
use super::terminal::{Paint, Terminal};
use crate::config::{Diagnostic, Severity, lint, load};
use crate::matcher::Matcher;
use crate::project::{Project, UserFolders};
use crate::registry;
use crate::runner::CallerEnvironment;
use crate::text::{count, one_line};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Check hooks.yaml and everything it names.
#[derive(Args, Debug)]
pub(super) struct Validate {
    /// Check this file alone [default: the user's and the project's files]
    #[arg(long, short, value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for Validate {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let project = self.project.project(&user)?;
        let found = match &self.file {
            Some(file) => check(&project, &UserFolders::default(), Some(file)),
            None => check(&project, &user, self.project.config.as_ref()),
        };
        let errors = found.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        if self.json {
            let problems: Vec<Problem<'_>> = found.problems.iter().map(Problem::of).collect();
            terminal.json(
                &json!({ "valid": errors == 0, "files": found.files, "hooks": found.hooks, "problems": problems }),
            );
        } else {
            found.show(errors, terminal);
        }
        Ok(if errors == 0 { Exit::Fine } else { Exit::Usage })
    }
}

/// What was checked, and what is wrong with it.
struct Found {
    files: Vec<PathBuf>,
    hooks: usize,
    problems: Vec<Diagnostic>,
}

fn check(project: &Project, user: &UserFolders, file: Option<&PathBuf>) -> Found {
    let mut loaded = load(project, user, file.map(PathBuf::as_path));
    let mut problems = std::mem::take(&mut loaded.problems);
    problems.extend(Matcher::compile(&loaded).1);
    problems.extend(lint(&loaded, project, CallerEnvironment::of_this_process().search_path()));
    problems.extend(registry::unknown_types(&loaded));
    // Most important first; a file's problems in the order they stand in it.
    problems.sort_by(|a, b| (a.severity, &a.path, a.span).cmp(&(b.severity, &b.path, b.span)));
    let files = loaded.files.into_iter().map(|file| file.path).collect();
    Found { files, hooks: loaded.hooks.len(), problems }
}

impl Found {
    fn show(&self, errors: usize, terminal: &mut Terminal) {
        for problem in &self.problems {
            let (word, paint) = match problem.severity {
                Severity::Error => ("error", Paint::Bad),
                Severity::Warning => ("warning", Paint::Warn),
            };
            let place = problem.span.map(|span| format!(":{}:{}", span.line, span.column)).unwrap_or_default();
            let place = terminal.paint(Paint::Bold, &format!("{}{place}", one_line(&problem.path.to_string_lossy())));
            let word = terminal.paint(paint, word);
            terminal.line(&format!("{place}: {word}: {}", one_line(&problem.message)));
            if let Some(help) = &problem.help {
                terminal.line(&format!("  help: {}", one_line(help)));
            }
        }
        let warnings = self.problems.len() - errors;
        if self.files.is_empty() && self.problems.is_empty() {
            terminal.line("there is no hooks.yaml here; `knockon init` writes one");
        } else if errors > 0 {
            let mark = terminal.paint(Paint::Bad, "✗");
            terminal.line(&format!("{mark} {}, {}", count(errors, "error"), count(warnings, "warning")));
        } else {
            let mark = terminal.paint(Paint::Good, "✓");
            let files = count(self.files.len(), "file");
            let rest = if warnings == 0 { "no problems".into() } else { count(warnings, "warning") };
            terminal.line(&format!("{mark} {} in {files}, {rest}", count(self.hooks, "hook")));
        }
    }
}
