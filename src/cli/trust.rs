//! `knockon trust` and `knockon untrust`: the user's consent, given and taken back.

use super::audit::record_decision;
use super::error::{CliError, Exit};
use super::options::{ProjectOptions, no_hooks, require_sound};
use super::terminal::{Paint, Terminal, columns};
use crate::config::{self, ConfigFile, LOCAL_FILE, Origin};
use crate::emitter::Emitter;
use crate::project::{Project, UserFolders};
use crate::registry;
use crate::text::one_line;
use crate::time::Timestamp;
use crate::trust::{
    ContentHash, Manifest, Review, ReviewLine, Tone, TrustStore, Trusted, Verdict, hash_of_all, verdict,
};
use clap::Args;
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// The most lines of a change that are shown without being asked for.
const SHORT_CHANGE: usize = 40;

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
    /// Leave hooks.local.yaml out of the hash: that of a checkout that has none, such as in CI
    #[arg(long, requires = "print_hash")]
    without_local: bool,
    /// List what is trusted, in all projects
    #[arg(long)]
    list: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

/// Take the trust in the project's hooks back. They do not run until they are trusted again. Works from any folder with
/// `--project-root`, also for a project that is gone.
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
        let hash = hash_of_all(emitter.project(), loaded).ok_or_else(|| no_hooks(emitter.project()))?;
        let all: Vec<(&ConfigFile, Manifest)> = loaded.project_files().map(|file| (file, Manifest::of(file))).collect();
        let entries = || all.iter().flat_map(|(_, manifest)| manifest.entries());
        if self.print_hash {
            let hash = if self.without_local { self.hash_without_local(&emitter)? } else { hash };
            let has_local = entries().any(|entry| entry.path == LOCAL_FILE);
            if has_local && !self.without_local {
                let note = format!("this hash includes {LOCAL_FILE}; for a checkout without it, use `--without-local`");
                terminal.warning(&note);
            }
            if self.json {
                // Of several configurations, each with files of the same names.
                let files = all.iter().flat_map(|(file, manifest)| {
                    let place = |path: &str| file.hooks_folder.join(path).to_string_lossy().into_owned();
                    manifest.entries().iter().map(move |entry| {
                        let mut document = json!(entry);
                        document["file"] = json!(place(&entry.path));
                        document
                    })
                });
                terminal.json(&json!({ "hash": hash, "files": files.collect::<Vec<_>>() }));
            } else {
                terminal.line(&hash.to_string());
            }
            return Ok(Exit::Fine);
        }
        if let Some(given) = self.hash.as_ref().filter(|given| **given != hash) {
            let error = format!("the content here has the hash {hash}, not {given}");
            let hint = "review it with `knockon trust` on a terminal";
            return Err(CliError::new(Exit::Untrusted, error).hint(hint));
        }
        // Without a terminal to ask on, all of it is shown: the hash to give stands for all.
        let goes_on = self.hash.is_none() && !std::io::stdin().is_terminal();
        let mut refused = None;
        for problem in registry::unknown_types(loaded) {
            terminal.problem(&problem);
        }
        if let Some(outer) = emitter.outer_project() {
            let outer = one_line(&outer.display().to_string());
            terminal.warning(&format!(
                "the hooks of the project {outer} do not run here; `inherit: true` in this hooks.yaml adds them"
            ));
        }
        for (file, manifest) in &all {
            match self.trust(&emitter, file, manifest, terminal) {
                Err(error) if goes_on => refused = Some(error),
                trusted => trusted?,
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        if self.json {
            terminal.json(&json!({ "trusted": true, "hash": hash, "project": emitter.project().root() }));
        } else {
            terminal.line(&format!("trusted {hash}"));
        }
        Ok(Exit::Fine)
    }
}

impl Trust {
    /// Trusts one configuration: the project's own, or one that it inherits.
    fn trust(
        &self,
        emitter: &Emitter,
        file: &ConfigFile,
        manifest: &Manifest,
        terminal: &mut Terminal,
    ) -> Result<(), CliError> {
        let (project, store) = (file.project(emitter.project()), emitter.store());
        let (before, _) = verdict(project, file, None, store);
        if let Verdict::Refused(why) = &before {
            let error = CliError::new(Exit::Untrusted, format!("it cannot be trusted: {}", one_line(why)));
            return Err(error.hint("take ownership of it, and run `chmod go-w` on it"));
        }
        if let Some(why) = manifest.refusal() {
            return Err(CliError::new(Exit::Untrusted, format!("it cannot be trusted: {}", one_line(why))));
        }
        self.consent(emitter, (file, manifest), &before, terminal)?;
        let stored = store.trust(project, emitter.loaded(), file, manifest, Timestamp::now());
        stored.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        record_decision(emitter.audit(), "trusted", Some(manifest.hash().to_string()), terminal);
        Ok(())
    }

    /// The given hash, or a yes on the terminal.
    fn consent(
        &self,
        emitter: &Emitter,
        (file, manifest): (&ConfigFile, &Manifest),
        before: &Verdict,
        terminal: &mut Terminal,
    ) -> Result<(), CliError> {
        if self.hash.is_some() || *before == Verdict::Trusted {
            return Ok(());
        }
        let (project, loaded) = (file.project(emitter.project()), emitter.loaded());
        let trusted = emitter.store().find(project, &file.path);
        let trusted = trusted.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        let texts = emitter.store().texts(project, &file.path);
        let review = Review::of(loaded, file, manifest, trusted.as_ref(), &texts);
        show(&review.overview, terminal);
        let asks = std::io::stdin().is_terminal();
        let all_shown = !asks || (review.is_change && review.differences.len() <= SHORT_CHANGE);
        if all_shown {
            show(&review.differences, terminal);
        }
        terminal.line("");
        terminal.line("A command or script can call other files of this project; those are not covered.");
        if !asks {
            let error = CliError::usage("there is no terminal to ask on");
            let hash = hash_of_all(emitter.project(), loaded).ok_or_else(|| no_hooks(emitter.project()))?;
            return Err(error.hint(format!("if you reviewed this content: knockon trust --hash {hash}")));
        }
        if is_yes(emitter.store(), project, (&review, &manifest.hash()), terminal) {
            Ok(())
        } else {
            Err(CliError::new(Exit::Untrusted, "not trusted; nothing was changed"))
        }
    }

    /// The hash of the project without its local file.
    fn hash_without_local(&self, emitter: &Emitter) -> Result<ContentHash, CliError> {
        let config = self.project.config();
        let named = config.as_deref().map(|path| (path, Origin::Project));
        let located = config::find(emitter.project(), &UserFolders::of_this_process(), named);
        let found: Vec<_> = located.found.into_iter().map(config::Found::without_local).collect();
        let loaded = config::read(&found, located.problems);
        hash_of_all(emitter.project(), &loaded).ok_or_else(|| no_hooks(emitter.project()))
    }
}

/// Asks; the files are shown when the answer is `d`. Content that this user trusted elsewhere was reviewed before: there,
/// yes is the default.
fn is_yes(
    store: &TrustStore,
    project: &Project,
    (review, hash): (&Review, &ContentHash),
    terminal: &mut Terminal,
) -> bool {
    let here = project.root_text();
    let same = store.list().into_iter().find(|trusted| trusted.hash == *hash && trusted.project != here);
    let (question, default) = match same {
        Some(same) => {
            (format!("You trust the same content in {}. Trust it here? [Y/n/d]", one_line(&same.project)), "y")
        }
        None => ("Trust exactly this content? [y/N/d] (d: show the files)".into(), "n"),
    };
    while let Some(answer) = terminal.ask(&question) {
        match if answer.is_empty() { default } else { &*answer } {
            "y" | "yes" => return true,
            "d" => {
                let lines: Vec<String> = review.differences.iter().map(|line| painted(line, terminal)).collect();
                terminal.page(&lines);
            }
            _ => return false,
        }
    }
    false
}

fn show(lines: &[ReviewLine], terminal: &mut Terminal) {
    for line in lines {
        let line = painted(line, terminal);
        terminal.line(&line);
    }
}

fn painted(line: &ReviewLine, terminal: &Terminal) -> String {
    let paint = match line.tone {
        Tone::Plain => return line.text.clone(),
        Tone::Title => Paint::Bold,
        Tone::Dim => Paint::Dim,
        Tone::Added => Paint::Good,
        Tone::Removed => Paint::Bad,
        Tone::Warning => Paint::Warn,
    };
    terminal.paint(paint, &line.text)
}

impl super::Command for Untrust {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let store = TrustStore::of(&UserFolders::of_this_process());
        let root = self.root(&store)?;
        let config = self.project.config().map(|config| config.canonicalize().unwrap_or(config));
        let is_meant = |trusted: &Trusted| {
            trusted.project == root.to_string_lossy()
                && config.as_ref().is_none_or(|config| trusted.config == config.to_string_lossy())
        };
        let mut removed = false;
        for trusted in store.list().iter().filter(|trusted| is_meant(trusted)) {
            let gone = store.untrust(&root, Path::new(&trusted.config));
            removed |= gone.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
        }
        let mut shared = None;
        if root.is_dir() {
            let project = ProjectOptions { project_root: Some(root.clone()), config: self.project.config.clone() };
            let emitter = project.reader()?;
            if removed {
                record_decision(emitter.audit(), "untrusted", None, terminal);
            }
            shared = emitter.loaded().project_file().and_then(|file| still_shared(&emitter, file));
        }
        if self.json {
            terminal.json(&json!({ "untrusted": removed, "project": root, "still_trusted_in": shared }));
            return Ok(Exit::Fine);
        }
        let what = if removed { "no longer trusted" } else { "it was not trusted" };
        terminal.line(&format!("{what}: {}", one_line(&root.to_string_lossy())));
        if let Some(other) = shared {
            let other = one_line(&other);
            terminal.warning(&format!(
                "the same content is still trusted here through the worktree {other}: `knockon untrust --project-root {other}`"
            ));
        }
        Ok(Exit::Fine)
    }
}

impl Untrust {
    /// The project that is meant: the one that is named, else the nearest upward that is trusted or has hooks. Neither has to
    /// be there any more.
    fn root(&self, store: &TrustStore) -> Result<PathBuf, CliError> {
        if let Some(named) = &self.project.project_root {
            let absolute = named.canonicalize().or_else(|_| std::path::absolute(named));
            return absolute.map_err(|error| CliError::io("the project folder", &error));
        }
        let project: Project = self.project.project(&UserFolders::of_this_process())?;
        let trusted = store.list();
        let is_trusted = |folder: &Path| trusted.iter().any(|trusted| trusted.project == folder.to_string_lossy());
        let mut way = project.start().ancestors();
        let nearest = way.find(|folder| *folder == project.root() || is_trusted(folder));
        Ok(nearest.unwrap_or(project.root()).to_owned())
    }
}

/// The worktree of the same repository through which the content is trusted still.
fn still_shared(emitter: &Emitter, file: &ConfigFile) -> Option<String> {
    let (now, manifest) = verdict(emitter.project(), file, None, emitter.store());
    let hash = manifest.filter(|_| now == Verdict::Trusted)?.hash();
    let others = emitter.store().of_other_worktrees(emitter.project(), &file.path);
    others.into_iter().find(|other| other.hash == hash).map(|other| other.project)
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
