//! `knockon init`: a place to begin.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, require_own};
use super::terminal::{Paint, Terminal};
use crate::config::load;
use crate::project::{Project, UserFolders};
use crate::scaffold::{self, Written};
use crate::text::one_line;
use crate::time::Timestamp;
use crate::trust::{Manifest, TrustStore};
use clap::Args;
use serde_json::json;

/// Write a commented hooks.yaml with its schema for editors, a README and example scripts, all switched off,
/// into .flowspec/hooks where there is a .flowspec, else into .knockon. What exists is left alone. What was written here is
/// trusted as it stands.
#[derive(Args, Debug)]
pub(super) struct Init {
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    /// The project's folder [default: the nearest one upward with .flowspec, .knockon or .git]
    #[arg(long, value_name = "FOLDER")]
    project_root: Option<std::path::PathBuf>,
}

impl super::Command for Init {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let user = UserFolders::of_this_process();
        let options = ProjectOptions { project_root: self.project_root, config: None };
        let project = options.project(&user)?;
        require_own(&project)?;
        let project = project.for_setup();
        let project = project.map_err(|error| CliError::io("the project folder", &error))?;
        let files = scaffold::init(&project).map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        // The folder may be new, and with it where the project keeps its hooks.
        let project = Project::at(project.root()).map_err(|error| CliError::io("the project folder", &error))?;
        let all_ours = files.iter().all(|file| file.written != Written::Foreign);
        let trusted = all_ours && trust(&project, &user, terminal);
        if self.json {
            let files = files.iter().map(|file| json!({ "path": file.path, "result": file.written.as_str() }));
            terminal.json(&json!({ "files": files.collect::<Vec<_>>(), "trusted": trusted }));
            return Ok(Exit::Fine);
        }
        for file in &files {
            let word = match file.written {
                Written::New => terminal.paint(Paint::Good, "written "),
                Written::Same => terminal.paint(Paint::Dim, "present "),
                Written::Foreign => terminal.paint(Paint::Warn, "kept    "),
            };
            terminal.line(&format!("  {word} {}", one_line(&file.path.to_string_lossy())));
        }
        terminal.line("");
        terminal.line("Next: set `enabled: true` for a hook in hooks.yaml, then `knockon trust`.");
        if trusted {
            terminal.line("Try one now: knockon test show-event task.completed");
        }
        Ok(Exit::Fine)
    }
}

/// Trusts what this very command wrote, and nothing else.
fn trust(project: &Project, user: &UserFolders, terminal: &mut Terminal) -> bool {
    let only_project = UserFolders { state: user.state.clone(), ..UserFolders::default() };
    let loaded = load(project, &only_project, None);
    let Some(file) = loaded.project_file() else { return false };
    // What lies over hooks.yaml was there before: somebody else's.
    if !file.layers.is_empty() {
        return false;
    }
    let manifest = Manifest::of(file);
    match TrustStore::of(user).trust(project, &loaded, file, &manifest, Timestamp::now()) {
        Ok(()) => true,
        Err(error) => {
            terminal.warning(&error.to_string());
            false
        }
    }
}
