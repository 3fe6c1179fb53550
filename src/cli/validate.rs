//! `knockon validate`: every problem of the configuration at once.

use super::diagnostics::{self, Format};
use super::error::{CliError, Exit};
use super::options::ProjectOptions;
use super::terminal::{Paint, Terminal};
use crate::config::{Diagnostic, Limits, Loaded, Severity, flowspec_refusals, lint, load, misplaced, shorten_problems};
use crate::matcher::Matcher;
use crate::project::{Project, UserFolders};
use crate::registry;
use crate::runner::CallerEnvironment;
use crate::text::count;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Check hooks.yaml and everything it names.
#[derive(Args, Debug)]
pub(super) struct Validate {
    /// Check this file alone [default: the user's and the project's files]
    #[arg(long, short, value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// How problems are told
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    format: Format,
    /// Print the result as one JSON document; the same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Warn of what flowspec itself would refuse
    #[arg(long)]
    flowspec: bool,
    /// Treat what this machine lacks (a program, a shell, an interpreter) as an error
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for Validate {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let project = self.project.project(&user)?;
        let found = match &self.file {
            Some(file) => check(&project, &UserFolders::default(), Some(file), (self.flowspec, self.strict)),
            None => check(&project, &user, self.project.config().as_ref(), (self.flowspec, self.strict)),
        };
        let errors = found.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        match if self.json { Format::Json } else { self.format } {
            Format::Human => found.show(errors, terminal),
            Format::Json => {
                let texts = |path: &Path| found.loaded.text_of(path);
                let problems = found.problems.iter().map(|problem| diagnostics::document(problem, Some(&texts)));
                let problems: Vec<_> = problems.collect();
                let files: Vec<_> = found.files();
                let hooks = found.loaded.hooks.len();
                terminal.json(&json!({ "valid": errors == 0, "files": files, "hooks": hooks, "problems": problems }));
            }
            Format::Sarif => terminal.json(&diagnostics::sarif(&found.problems, &project)),
            Format::Github => {
                for problem in &found.problems {
                    terminal.line(&diagnostics::github(problem, &project));
                }
            }
        }
        Ok(if errors == 0 { Exit::Fine } else { Exit::Usage })
    }
}

/// What was checked, and what is wrong with it.
struct Found {
    loaded: Loaded,
    problems: Vec<Diagnostic>,
}

fn check(project: &Project, user: &UserFolders, file: Option<&PathBuf>, (flowspec, strict): (bool, bool)) -> Found {
    let mut loaded = load(project, user, file.map(PathBuf::as_path));
    let mut problems = std::mem::take(&mut loaded.problems);
    // Hooks that are off for an error may have further ones.
    let all = Loaded { hooks: [&*loaded.hooks, &*loaded.unsound].concat(), ..loaded.clone() };
    problems.extend(Matcher::compile(&all).1);
    problems.extend(registry::unknown_types(&all));
    problems.extend(Limits::load(user).broken);
    problems.extend(project.refused_here().map(|refused| {
        Diagnostic::error(&refused.root, None, "not-yours", refused.to_string()).help("until then its hooks do not run")
    }));
    problems.extend(loaded.ignored.as_ref().map(|ignored| {
        let read = loaded.project_file().map(|file| file.path.display().to_string()).unwrap_or_default();
        let message = format!("this file is not read, because {read} is");
        let help = "move its hooks into the file that is read, and remove it";
        Diagnostic::error(&ignored.path, None, "two-configurations", message).help(help)
    }));
    problems.extend(misplaced(project).filter(|_| file.is_none()).map(|(path, right)| {
        let message = "this file is not read where it lies".to_owned();
        Diagnostic::error(&path, None, "misplaced", message).help(format!("move it to {right}"))
    }));
    if flowspec {
        problems.extend(loaded.files.iter().flat_map(flowspec_refusals));
    }
    // Most important first: errors in what a file says, errors on disk, warnings; each in the order they
    // stand in the file.
    let found = lint(&all, project, CallerEnvironment::of_this_process().search_path(), strict);
    let (mut missing, unwise): (Vec<Diagnostic>, Vec<Diagnostic>) =
        found.into_iter().partition(|problem| problem.severity == Severity::Error);
    problems.extend(unwise);
    problems.sort_by(|a, b| a.rank().cmp(&b.rank()));
    missing.sort_by(|a, b| a.rank().cmp(&b.rank()));
    problems.extend(missing);
    problems.sort_by_key(|problem| problem.severity);
    let path = loaded.project_file().or(loaded.files.first()).map(|file| file.path.clone()).unwrap_or_default();
    shorten_problems(&mut problems, 0, &path);
    Found { loaded, problems }
}

impl Found {
    fn files(&self) -> Vec<&Path> {
        self.loaded
            .files
            .iter()
            .flat_map(|file| {
                std::iter::once(file.path.as_path()).chain(file.layers.iter().map(|layer| layer.path.as_path()))
            })
            .collect()
    }

    fn show(&self, errors: usize, terminal: &mut Terminal) {
        let texts = |path: &Path| self.loaded.text_of(path);
        for problem in &self.problems {
            diagnostics::show(problem, &texts, terminal);
        }
        let files = self.files().len();
        let warnings = self.problems.len() - errors;
        if files == 0 && self.problems.is_empty() {
            terminal.line("there is no hooks.yaml here; `knockon init` writes one");
        } else if errors > 0 {
            let mark = terminal.paint(Paint::Bad, "✗");
            terminal.line(&format!("{mark} {}, {}", count(errors, "error"), count(warnings, "warning")));
        } else {
            let mark = terminal.paint(Paint::Good, "✓");
            let rest = if warnings == 0 { "no problems".into() } else { count(warnings, "warning") };
            let hooks = count(self.loaded.hooks.len(), "hook");
            terminal.line(&format!("{mark} {hooks} in {}, {rest}", count(files, "file")));
        }
    }
}
