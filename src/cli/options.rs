//! Options that several commands share, and what they open.

use super::error::{CliError, Exit};
use super::terminal::Terminal;
use crate::config::{Diagnostic, Severity};
use crate::emitter::{Emitter, EmitterOptions};
use crate::project::{Project, UserFolders};
use crate::sys::Interrupts;
use crate::trust::ContentHash;
use clap::Args;
use std::path::PathBuf;

/// The variable that takes the place of `--trust-hash`, for CI.
const TRUST_VARIABLE: &str = "KNOCKON_TRUST";

/// Which project, and which configuration.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ProjectOptions {
    /// The project's folder [default: the nearest one upward with .flowspec, .knockon or .git]
    #[arg(long, value_name = "FOLDER")]
    pub(super) project_root: Option<PathBuf>,
    /// Use this configuration instead of the project's; its scripts are in the same folder
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Consent given on the command line.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TrustOptions {
    /// Run exactly the content with this hash, as `knockon trust --print-hash` prints it [env: KNOCKON_TRUST]
    #[arg(long, value_name = "HASH")]
    pub(super) trust_hash: Option<ContentHash>,
}

impl ProjectOptions {
    pub(super) fn project(&self, user: &UserFolders) -> Result<Project, CliError> {
        match &self.project_root {
            Some(root) => Project::at(root)
                .map_err(|error| CliError::usage(format!("the project folder {}: {error}", root.display()))),
            None => std::env::current_dir()
                .and_then(|here| Project::discover(&here, user.home.as_deref()))
                .map_err(|error| CliError::io("the current folder", &error)),
        }
    }

    /// Opens the emitter for commands that run hooks.
    pub(super) fn emitter(&self, trust: &TrustOptions) -> Result<Emitter, CliError> {
        let options = EmitterOptions {
            config: self.config.clone(),
            trust_hash: trust.hash()?,
            // Without it, a signal ends knockon at once and the hook is left alone: still better than
            // not running the hook at all.
            interrupts: Interrupts::open().ok(),
        };
        self.open(options)
    }

    /// Opens the emitter for commands that only look.
    pub(super) fn reader(&self) -> Result<Emitter, CliError> {
        self.open(EmitterOptions { config: self.config.clone(), ..EmitterOptions::default() })
    }

    fn open(&self, options: EmitterOptions) -> Result<Emitter, CliError> {
        let user = UserFolders::of_this_process();
        Ok(Emitter::open(self.project(&user)?, &user, options))
    }
}

impl TrustOptions {
    fn hash(&self) -> Result<Option<ContentHash>, CliError> {
        if self.trust_hash.is_some() {
            return Ok(self.trust_hash.clone());
        }
        match std::env::var(TRUST_VARIABLE) {
            Ok(text) if !text.is_empty() => {
                text.parse().map(Some).map_err(|error| CliError::usage(format!("{TRUST_VARIABLE}: {error}")))
            }
            _ => Ok(None),
        }
    }
}

/// Shows all problems; with an error among them the command that asked ends here.
pub(super) fn require_sound(problems: &[Diagnostic], terminal: &mut Terminal) -> Result<(), CliError> {
    for problem in problems {
        terminal.problem(problem);
    }
    match problems.iter().filter(|problem| problem.severity == Severity::Error).count() {
        0 => Ok(()),
        _ => Err(CliError::new(Exit::Usage, "the configuration has errors; its hooks are off")
            .hint("`knockon validate` checks it again")),
    }
}
