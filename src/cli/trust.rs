//! `knockon trust` and `knockon untrust`: the user's consent, given and taken back.

use super::audit::record_decision;
use super::error::{CliError, Exit};
use super::options::{ProjectOptions, require_sound};
use super::terminal::{Terminal, columns};
use crate::emitter::Emitter;
use crate::project::UserFolders;
use crate::text::one_line;
use crate::time::Timestamp;
use crate::trust::{ContentHash, Manifest, TrustStore, Verdict, review, verdict};
use clap::Args;
use serde_json::json;
use std::io::IsTerminal;

/// Show what the project's hooks would run, as a difference to what was trusted before, and ask. Without
/// a terminal the consent is the hash: `knockon trust --hash "$(knockon trust --print-hash)"` trusts
/// whatever is there, so give a hash that was reviewed.
#[derive(Args, Debug)]
pub(super) struct Trust {
    /// Trust the content with this hash, without asking
    #[arg(long, value_name = "HASH", conflicts_with_all = ["print_hash", "list"])]
    hash: Option<ContentHash>,
    /// Print the hash of the content as it is, and trust nothing
    #[arg(long, conflicts_with = "list")]
    print_hash: bool,
    /// List what is trusted, in all projects
    #[arg(long)]
    list: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

/// Take the trust in the project's hooks back. They do not run until they are trusted again.
#[derive(Args, Debug)]
pub(super) struct Untrust {
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for Trust {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        if self.list {
            return list(self.json, terminal);
        }
        let emitter = self.project.reader()?;
        if let Some(refused) = emitter.project().refused() {
            return Err(CliError::new(Exit::Untrusted, one_line(&refused.to_string())));
        }
        require_sound(&emitter, terminal)?;
        let loaded = emitter.loaded();
        let file = loaded.project_file().ok_or_else(no_hooks)?;
        let manifest = Manifest::of(file);
        let hash = manifest.hash();
        if self.print_hash {
            if self.json {
                terminal.json(&json!({ "hash": hash, "files": manifest.entries() }));
            } else {
                terminal.line(&hash.to_string());
            }
            return Ok(Exit::Fine);
        }
        let (before, _) = verdict(emitter.project(), file, None, emitter.store());
        if let Verdict::Refused(why) = &before {
            let error = CliError::new(Exit::Untrusted, format!("it cannot be trusted: {}", one_line(why)));
            return Err(error.hint("take ownership of it, and run `chmod go-w` on it"));
        }
        if let Some(why) = manifest.refusal() {
            return Err(CliError::new(Exit::Untrusted, format!("it cannot be trusted: {}", one_line(why))));
        }
        self.consent(&emitter, &manifest, &before, terminal)?;
        let stored = emitter.store().trust(emitter.project(), loaded, file, &manifest, Timestamp::now());
        stored.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        record_decision(emitter.audit(), "trusted", Some(hash.to_string()), terminal);
        if self.json {
            terminal.json(&json!({ "trusted": true, "hash": hash, "project": emitter.project().root() }));
        } else {
            terminal.line(&format!("trusted {hash}"));
        }
        Ok(Exit::Fine)
    }
}

impl Trust {
    /// The given hash, or a yes on the terminal.
    fn consent(
        &self,
        emitter: &Emitter,
        manifest: &Manifest,
        before: &Verdict,
        terminal: &mut Terminal,
    ) -> Result<(), CliError> {
        let hash = manifest.hash();
        if let Some(given) = &self.hash {
            return if *given == hash {
                Ok(())
            } else {
                let error = CliError::new(Exit::Untrusted, format!("the content here has another hash: {hash}"));
                Err(error.hint("review it with `knockon trust` on a terminal"))
            };
        }
        if *before == Verdict::Trusted {
            return Ok(());
        }
        let loaded = emitter.loaded();
        let file = loaded.project_file().ok_or_else(no_hooks)?;
        let trusted = emitter.store().find(emitter.project(), &file.path);
        let trusted = trusted.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        let texts = emitter.store().texts(emitter.project(), &file.path);
        for line in review(loaded, file, manifest, trusted.as_ref(), &texts).lines() {
            terminal.line(line);
        }
        terminal.line("");
        terminal.line("A command or script can call other files of this project; those are not covered.");
        if !std::io::stdin().is_terminal() {
            let error = CliError::usage("there is no terminal to ask on");
            return Err(error.hint(format!("if you reviewed this content: knockon trust --hash {hash}")));
        }
        if terminal.confirm("Trust exactly this content?") {
            Ok(())
        } else {
            Err(CliError::new(Exit::Untrusted, "not trusted; nothing was changed"))
        }
    }
}

impl super::Command for Untrust {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let emitter = self.project.reader()?;
        let file = emitter.loaded().project_file().ok_or_else(no_hooks)?;
        let removed = emitter.store().untrust(emitter.project(), &file.path);
        let removed = removed.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        if removed {
            record_decision(emitter.audit(), "untrusted", None, terminal);
        }
        if self.json {
            terminal.json(&json!({ "untrusted": removed, "project": emitter.project().root() }));
        } else {
            terminal.line(if removed { "no longer trusted" } else { "it was not trusted" });
        }
        Ok(Exit::Fine)
    }
}

fn list(json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let trusted = TrustStore::of(&UserFolders::of_this_process()).list();
    if json {
        terminal.json(&json!({ "trusted": trusted }));
    } else if trusted.is_empty() {
        terminal.line("nothing is trusted");
    } else {
        let row = |record: &crate::trust::Trusted| {
            vec![one_line(&record.config), record.trusted_at.clone(), record.hash.to_string()]
        };
        for line in columns(&trusted.iter().map(row).collect::<Vec<_>>()) {
            terminal.line(&line);
        }
    }
    Ok(Exit::Fine)
}

fn no_hooks() -> CliError {
    CliError::usage("this project has no hooks.yaml").hint("`knockon init` writes one")
}
