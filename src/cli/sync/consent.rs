//! Which projects take part.

use super::super::error::{CliError, Exit};
use super::super::terminal::Terminal;
use super::{failed, open};
use crate::project::{Project, UserFolders};
use crate::store::Consent;
use crate::text::count;
use clap::Args;
use std::path::PathBuf;

/// Agree that the work-package events of this project are sent. It is kept in your own folder, not in the project.
#[derive(Args, Debug)]
pub(super) struct Enable {
    /// The project's folder [default: the nearest one upward with .flowspec, .knockon or .git]
    #[arg(long, value_name = "FOLDER")]
    project_root: Option<PathBuf>,
}

/// Take the agreement back: nothing of this project is sent any more, and no more events of it are queued.
#[derive(Args, Debug)]
pub(super) struct Disable {
    /// The project's folder [default: the nearest one upward with .flowspec, .knockon or .git]
    #[arg(long, value_name = "FOLDER")]
    project_root: Option<PathBuf>,
}

fn project(root: Option<PathBuf>, user: &UserFolders) -> Result<Project, CliError> {
    super::super::options::ProjectOptions { project_root: root, config: None }.project(user)
}

impl Enable {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (user, mut queue) = open()?;
        let project = project(self.project_root, &user)?;
        queue.decide(&project, true).map_err(failed)?;
        terminal.line(&format!(
            "the events of {} are sent from now on, with those that are queued",
            project.root().display()
        ));
        if let Consent::TakenBack(by) = queue.consent(&project.identity()).map_err(failed)? {
            terminal.warning(&format!("{by} says no: nothing is sent or queued as long as it does"));
        }
        if queue.standing().map_err(failed)?.account.server.is_none() {
            terminal.note("nobody is signed in yet: `knockon sync login --server URL --team SLUG --token-file FILE`");
        }
        Ok(Exit::Fine)
    }
}

impl Disable {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let (user, mut queue) = open()?;
        let project = project(self.project_root, &user)?;
        queue.decide(&project, false).map_err(failed)?;
        terminal.line(&format!("nothing of {} is sent or queued any more", project.root().display()));
        let projects = queue.standing().map_err(failed)?.projects;
        if let Some((_, waiting)) = projects.iter().find(|(root, _)| *root == project.identity()) {
            let events = count(usize::try_from(*waiting).unwrap_or(usize::MAX), "queued event");
            terminal.note(&format!("{events} stay here, to be sent when you enable it again"));
        }
        Ok(Exit::Fine)
    }
}
