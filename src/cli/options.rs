//! Options that several commands share, and what they open.

use super::error::{CliError, Exit};
use super::terminal::Terminal;
use crate::config::{ConfigFile, Loaded, Origin, accept_safe, misplaced};
use crate::dispatch::{Program, Skip};
use crate::emitter::{Emitter, EmitterOptions};
use crate::event::MAX_BYTES;
use crate::git::{self, Exported};
use crate::project::{Project, Refused, UserFolders};
use crate::sys::{Interrupts, StandardStream};
use crate::text::{nearest, one_line};
use crate::time::{Timestamp, read_since};
use crate::trust::ContentHash;
use clap::Args;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The variable that takes the place of `--trust-hash`, for CI.
const TRUST_VARIABLE: &str = "KNOCKON_TRUST";
/// The variable that takes the place of `--config`.
const CONFIG_VARIABLE: &str = "KNOCKON_CONFIG";

/// Which project, and which configuration.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ProjectOptions {
    /// The project's folder [default: the nearest one upward with a hooks.yaml, else with .flowspec, .knockon or .git]
    #[arg(long, value_name = "FOLDER")]
    pub(super) project_root: Option<PathBuf>,
    /// Use this configuration instead of the project's; its scripts are in the same folder [env: KNOCKON_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Consent given on the command line.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TrustOptions {
    /// Run exactly the content with this hash, as `knockon trust --print-hash` prints it [env: KNOCKON_TRUST]
    #[arg(long, value_name = "HASH")]
    pub(super) trust_hash: Option<ContentHash>,
    /// Read the configuration and its scripts out of git objects of this branch, tag or commit, not from the files
    /// that lie there; naming it is the consent
    #[arg(long, value_name = "REF", conflicts_with_all = ["config", "trust_hash"])]
    pub(super) config_from_ref: Option<String>,
}

impl ProjectOptions {
    pub(super) fn project(&self, user: &UserFolders) -> Result<Project, CliError> {
        match &self.project_root {
            Some(root) => Project::at(root)
                .map_err(|error| CliError::usage(format!("the project folder {}: {error}", root.display()))),
            None => {
                let found = Project::discover_here(user.home.as_deref());
                let project = found.map_err(|error| CliError::io("the current folder", &error))?;
                Ok(accept_safe(project, user))
            }
        }
    }

    /// The configuration that was named; a variable without a value names none.
    pub(super) fn config(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(variable)
    }

    /// Whether a variable names the configuration.
    fn is_of_environment(&self) -> bool {
        self.config.is_none() && self.config().is_some()
    }

    /// Whether one of both was named.
    pub(super) fn is_named(&self) -> bool {
        self.project_root.is_some() || self.config().is_some()
    }

    /// Opens the emitter for commands that try hooks: what is included is shown, and has to be trusted to run.
    pub(super) fn tester(&self, trust: &TrustOptions) -> Result<Emitter, CliError> {
        self.open(trust, (false, false, true))
    }

    /// Opens the emitter for commands that run hooks.
    /// `look_only`: nothing is going to be run, and a signal ends knockon as usual.
    pub(super) fn emitter(&self, trust: &TrustOptions, look_only: bool) -> Result<Emitter, CliError> {
        self.emitter_as(trust, look_only, false)
    }

    /// As [`ProjectOptions::emitter`]; `strict`: exactly the content that was reviewed has to decide.
    ///
    /// # Errors
    /// With `strict`, also a trust variable that is set but empty: a hash was meant to be there.
    pub(super) fn emitter_as(&self, trust: &TrustOptions, look_only: bool, strict: bool) -> Result<Emitter, CliError> {
        self.open(trust, (look_only, strict, look_only))
    }

    fn open(
        &self,
        trust: &TrustOptions,
        (look_only, strict, reviews): (bool, bool, bool),
    ) -> Result<Emitter, CliError> {
        if strict && trust.trust_hash.is_none() && std::env::var_os(TRUST_VARIABLE).is_some_and(|text| text.is_empty())
        {
            let error = CliError::usage(format!(
                "{TRUST_VARIABLE} is set but empty, and --strict needs the hash it stands for"
            ));
            return Err(
                error.hint(format!("set {TRUST_VARIABLE} to the output of `knockon trust --print-hash`, or unset it"))
            );
        }
        let user = UserFolders::of_this_process();
        let commit = trust.config_from_ref.as_ref().map(|name| self.export(name)).transpose()?;
        let project = match &commit {
            Some(commit) => Project::at(&commit.root)
                .map_err(|error| CliError::usage(format!("the project folder {}: {error}", commit.root.display())))?,
            None => self.project(&user)?,
        };
        let options = EmitterOptions {
            config: if trust.config_from_ref.is_some() { None } else { self.config() },
            config_of_environment: self.is_of_environment() && trust.config_from_ref.is_none(),
            commit,
            trust_hash: trust.hash()?,
            strict,
            reviews,
            // Where they cannot be listened to, a signal ends knockon at once and the hook is left alone: still
            // better than not running the hook at all.
            interrupts: if look_only { None } else { Some(Interrupts::default()) },
            versions: None,
            skip: skipped(),
            program: Program::ThisOne,
            once: true,
        };
        Ok(Emitter::open(project, &user, options))
    }

    /// The hooks of a commit: those of the project that is named, else of the one that this folder is in there.
    fn export(&self, name: &str) -> Result<Exported, CliError> {
        let here = || std::env::current_dir().map_err(|error| CliError::io("the current folder", &error));
        let start = self.project_root.clone().map_or_else(here, Ok)?;
        let exported = git::export(&start, self.project_root.is_some(), name, &std::env::temp_dir());
        exported.map_err(|error| CliError::usage(format!("--config-from-ref: {error}")))
    }

    /// Opens the emitter for commands that only look.
    pub(super) fn reader(&self) -> Result<Emitter, CliError> {
        let user = UserFolders::of_this_process();
        let options = EmitterOptions {
            config: self.config(),
            config_of_environment: self.is_of_environment(),
            reviews: true,
            ..EmitterOptions::default()
        };
        Ok(Emitter::open(self.project(&user)?, &user, options))
    }
}

/// What the caller's environment leaves out. Anything but `0`, `false`, `off` and `no` in `KNOCKON` leaves hooks on.
fn skipped() -> Skip {
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let off = |value: String| ["0", "false", "off", "no"].iter().any(|word| value.eq_ignore_ascii_case(word));
    if variable("KNOCKON").is_some_and(off) {
        return Skip::All;
    }
    let names = variable("KNOCKON_SKIP").unwrap_or_default();
    let names: Vec<String> = names.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() { Skip::Nothing } else { Skip::Named(names) }
}

impl TrustOptions {
    fn hash(&self) -> Result<Option<ContentHash>, CliError> {
        if self.trust_hash.is_some() {
            return Ok(self.trust_hash.clone());
        }
        match std::env::var_os(TRUST_VARIABLE) {
            // CI systems set a variable without a value where there is none.
            None => Ok(None),
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => {
                let hash = text.to_string_lossy().parse();
                hash.map(Some).map_err(|error| CliError::usage(format!("{TRUST_VARIABLE}: {error}")))
            }
        }
    }
}

/// How long ago, or when: the value of `--since` and `--until`.
pub(super) fn point_in_time(text: &str) -> Result<Timestamp, String> {
    read_since(text, Timestamp::now())
        .ok_or_else(|| "write how long ago, such as 30m, 2h, 7d or 2w, or a time in UTC, such as 2026-11-21 or 2026-11-21T10:00:00Z".into())
}

/// The hook with this name, or an error that names the nearest.
pub(super) fn find_hook(loaded: &Loaded, name: &str) -> Result<usize, CliError> {
    loaded.find(name).ok_or_else(|| {
        if let Some(invalid) = loaded.invalid.iter().find(|invalid| invalid.name == name) {
            return CliError::usage(format!("the hook `{name}` does not run: {}", one_line(&invalid.problem)));
        }
        let names: Vec<&str> = loaded.hooks.iter().map(|hook| hook.hook.name.as_str()).collect();
        let error = CliError::usage(format!("there is no hook `{name}`"));
        match nearest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if names.is_empty() => error.hint("there are no hooks here; `knockon init` writes examples"),
            None => error.hint(format!("there are {}", names.join(", "))),
        }
    })
}

/// The bytes of an event file, `-` for standard input, and what to call it in an error.
pub(super) fn read_event(path: &Path) -> Result<(String, Vec<u8>), CliError> {
    // At most one byte more than an event may have, so that an endless input ends.
    let capped = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    if path == Path::new("-") {
        let origin = "standard input".to_owned();
        let bytes = capped(&mut StandardStream::input()).map_err(|error| CliError::io(&origin, &error))?;
        return Ok((origin, bytes));
    }
    let origin = path.display().to_string();
    let read = File::open(path).and_then(|mut file| capped(&mut file));
    read.map(|bytes| (origin.clone(), bytes)).map_err(|error| CliError::usage(format!("{origin}: {error}")))
}

/// That a command may write into a project.
///
/// # Errors
/// It is one that is ignored: what is written there would never be read.
pub(super) fn require_own(project: &Project) -> Result<(), CliError> {
    let error = |refused: &Refused| Err(CliError::new(Exit::Untrusted, one_line(&refused.to_string())));
    project.refused_here().map_or(Ok(()), error)
}

/// That a project has no hooks, and what to do: a file that lies in the wrong place is named.
pub(super) fn no_hooks(project: &Project) -> CliError {
    match misplaced(project) {
        Some((path, right)) => {
            let error = CliError::usage(format!("{} is not read where it lies", path.display()));
            error.hint(format!("move it to {right}"))
        }
        None => CliError::usage("this project has no hooks.yaml").hint("`knockon init` writes one"),
    }
}

/// What a command says that has no hooks to show.
///
/// # Errors
/// There is a file that looks as if it should have some, where it is not read.
pub(super) fn tell_no_hooks(project: &Project, terminal: &mut Terminal) -> Result<(), CliError> {
    if misplaced(project).is_some() {
        return Err(no_hooks(project));
    }
    terminal.line("there are no hooks here; `knockon init` writes examples");
    Ok(())
}

/// Shows all problems; with an error that disables all hooks of the project's configuration the command that asked ends
/// here. An error in one hook disables that one, and an error in the user's own takes nothing from the project.
pub(super) fn require_sound(emitter: &Emitter, terminal: &mut Terminal) -> Result<(), CliError> {
    let own = |path: &Path| {
        let of_user = |file: &&ConfigFile| file.origin == Origin::User;
        let is_of = |file: &ConfigFile| file.path == path || file.layers.iter().any(|layer| layer.path == path);
        emitter.loaded().files.iter().filter(of_user).any(is_of)
    };
    if let Some(refused) = emitter.project().refused() {
        terminal.warning(&refused.to_string());
    }
    for problem in emitter.problems() {
        terminal.problem(problem);
    }
    let mut errors = emitter.problems().iter().filter(|problem| problem.is_of_whole_file());
    match errors.any(|problem| !own(&problem.path)) {
        false => Ok(()),
        true => Err(CliError::new(Exit::Usage, "the configuration has errors; no hook of a file with an error runs")
            .hint("`knockon validate` checks it again")),
    }
}
