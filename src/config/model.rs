//! The configuration as types that cannot be wrong: what was parsed needs no second check.

use super::sandbox::SandboxRules;
use super::tree::{Key, Node, Span};
use super::words::{FailMode, Mode, OnBusy, OnTimeout, OnUnreadable, OutputMode, StopMode};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The shortest timeout.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// The longest timeout of a hook that the emitter waits for.
pub const MAX_WAIT: Duration = Duration::from_secs(3600);
/// The longest timeout of all: of a hook that it does not wait for.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// One configuration with all its layers, checked (ADR-007).
#[derive(Clone, Debug, PartialEq)]
pub struct HooksConfig {
    /// The format version as written, such as `1.0`.
    pub version: String,
    /// Whether the hooks of the project around this one run first.
    pub inherit: bool,
    /// How many independent hooks may run side by side.
    pub concurrency: Concurrency,
    /// The hooks in the order they run, defaults merged into them.
    pub hooks: Vec<Hook>,
}

/// What to do when an event matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, unique in the configuration.
    pub name: HookName,
    /// Where the name stands.
    pub span: Span,
    /// What it is for.
    pub description: Option<String>,
    /// The major version it wants events in; as emitted without it.
    pub schema_version: Option<u32>,
    /// The events it is for: one of them must match.
    pub events: Vec<EventMatcher>,
    /// What it does.
    pub action: Action,
    /// How long a run may take.
    pub timeout: Duration,
    /// The folder it runs in, below the project root.
    pub working_directory: WorkingDirectory,
    /// The shell for a `command`: an absolute path.
    pub shell: PathBuf,
    /// Variables added to the clean environment, in file order.
    pub env: Vec<(String, String)>,
    /// Variables passed on from the caller's environment.
    pub env_from: Vec<String>,
    /// What a failure means.
    pub fail_mode: FailMode,
    /// What becomes of hooks that run when its failure stops the rest.
    pub stop: StopMode,
    /// Whether it takes part at all.
    pub enabled: bool,
    /// Where `enabled` is set, in the hook, an override or `defaults`.
    pub enabled_at: Option<Span>,
    /// What of its output the terminal shows.
    pub output: OutputMode,
    /// What it means that its time was up.
    pub on_timeout: OnTimeout,
    /// What it means that its answer cannot be read; see [`Hook::on_unreadable`].
    pub on_unreadable: Option<OnUnreadable>,
    /// The hooks that must have finished before, and where each is named.
    pub after: Vec<(HookName, Span)>,
    /// Whether and when a failed run is tried again.
    pub retry: Option<Retry>,
    /// Whether the emitter waits for it.
    pub mode: Mode,
    /// What it may touch.
    pub sandbox: SandboxRules,
    /// The group of which one run goes at a time, and what happens to the others.
    pub group: Option<(String, OnBusy)>,
    /// Which events become one run.
    pub coalesce: Option<Coalesce>,
    /// What `test` tries it with.
    pub tests: Vec<Fixture>,
    /// Its keys that a local override set, and where.
    pub overridden: Vec<(String, Span)>,
    /// Its action, when a later version carries that out.
    pub upcoming: Option<Upcoming>,
}

impl Hook {
    /// Stands where an entry under `hooks` is no mapping, in a configuration that has an error.
    pub(super) fn unreadable(span: Span) -> Self {
        Hook {
            name: HookName::none(),
            span,
            description: None,
            schema_version: None,
            events: Vec::new(),
            action: Action::Command(String::new()),
            timeout: MAX_WAIT,
            working_directory: WorkingDirectory::root(),
            shell: PathBuf::from("/bin/sh"),
            env: Vec::new(),
            env_from: Vec::new(),
            fail_mode: FailMode::default(),
            stop: StopMode::default(),
            enabled: true,
            enabled_at: None,
            output: OutputMode::default(),
            on_timeout: OnTimeout::default(),
            on_unreadable: None,
            after: Vec::new(),
            retry: None,
            mode: Mode::default(),
            sandbox: SandboxRules::default(),
            group: None,
            coalesce: None,
            tests: Vec::new(),
            overridden: Vec::new(),
            upcoming: None,
        }
    }

    /// What it means that its answer cannot be read: where a failure stops the caller, the answer may have been a no.
    pub fn on_unreadable(&self) -> OnUnreadable {
        self.on_unreadable.unwrap_or(match self.fail_mode {
            FailMode::Stop => OnUnreadable::Fail,
            FailMode::Continue => OnUnreadable::Warn,
        })
    }
}

/// One entry under `events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventMatcher {
    /// The glob over the event's type, as written.
    pub pattern: Key,
    /// The filter's fields and wanted values, as written.
    pub filter: Vec<(Key, Node)>,
    /// Globs over the paths of the event's artifacts, as written; `!` excludes.
    pub files: Vec<Key>,
}

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Runs a file of the hooks folder.
    Script {
        /// The file.
        path: ScriptPath,
        /// Where it stands.
        span: Span,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Runs a line in the hook's shell.
    Command(String),
    /// Runs a program with these arguments, without a shell. There is at least one.
    Program(Vec<String>),
    /// Posts the event to an address.
    Webhook(Webhook),
    /// Shows a notification.
    Notify(Texts),
    /// Sends a mail.
    Email(Texts),
    /// Moves a workflow on.
    Transition(Texts),
}

impl Action {
    /// The key that names it.
    pub fn key(&self) -> &'static str {
        match self {
            Action::Script { .. } => "script",
            Action::Command(_) | Action::Program(_) => "command",
            Action::Webhook(_) => "webhook",
            Action::Notify(_) => "notify",
            Action::Email(_) => "email",
            Action::Transition(_) => "transition",
        }
    }

    /// The file of the hooks folder that it runs.
    pub fn script(&self) -> Option<&ScriptPath> {
        match self {
            Action::Script { path, .. } => Some(path),
            Action::Command(_)
            | Action::Program(_)
            | Action::Webhook(_)
            | Action::Notify(_)
            | Action::Email(_)
            | Action::Transition(_) => None,
        }
    }

    /// What it does, in a few words: a path, a command line, an address.
    pub fn summary(&self) -> String {
        match self {
            Action::Script { path, args, .. } if args.is_empty() => path.as_str().to_owned(),
            Action::Script { path, args, .. } => format!("{} {}", path.as_str(), args.join(" ")),
            Action::Command(line) => line.trim().to_owned(),
            Action::Program(arguments) => arguments.join(" "),
            Action::Webhook(webhook) => webhook.url.clone(),
            Action::Notify(texts) | Action::Email(texts) | Action::Transition(texts) => {
                texts.0.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// An address to post events to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// `POST` or `PUT`.
    pub method: String,
    /// Headers to add.
    pub headers: Vec<(String, String)>,
    /// The variable that holds the key for the signature.
    pub secret_env: Option<String>,
}

/// The texts of an action, by key, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts(pub Vec<(String, String)>);

/// An action that this version reads and checks, and a later one carries out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upcoming {
    /// The key.
    pub key: Cow<'static, str>,
    /// Where it stands.
    pub span: Span,
    /// The version that carries it out.
    pub version: Cow<'static, str>,
}

impl fmt::Display for Upcoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` comes with knockon {}; until then the hook is skipped", self.key, self.version)
    }
}

/// An event to try a hook with, and what is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fixture {
    /// Its name; empty without one.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// The members of the event, as written; `type` is its type.
    pub event: Vec<(Key, Node)>,
    /// What is expected.
    pub expect: Expectation,
}

/// What a fixture expects. What is not named is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Whether the hook is triggered; true unless the file says otherwise.
    pub matched: bool,
    /// How it exits.
    pub exit_code: Option<i32>,
    /// The status in the audit log.
    pub status: Option<String>,
    /// A text in its standard output.
    pub stdout: Option<String>,
    /// A text in its standard error.
    pub stderr: Option<String>,
    /// Files below the project root: whether each is there, or a text in it.
    pub files: Vec<(String, FileExpectation)>,
}

/// What a fixture expects of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileExpectation {
    /// It is there, or is not.
    Exists(bool),
    /// It is there and has this text in it.
    Contains(String),
}

/// Whether and when a failed run is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often it is tried at most, the first time included.
    pub attempts: u32,
    /// The longest pause before the second try; it doubles for each that follows.
    pub backoff: Duration,
    /// The longest pause of all.
    pub max_backoff: Duration,
    /// The endings that are tried again.
    pub on: Vec<String>,
}

/// Which events become one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coalesce {
    /// The field whose value they share.
    pub key: String,
    /// How long to wait for more of them.
    pub within: Duration,
}

/// How many independent hooks run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Concurrency {
    /// At most this many.
    Limit(u32),
    /// As many as the machine has processors.
    Auto,
}

impl Default for Concurrency {
    fn default() -> Self {
        Concurrency::Limit(1)
    }
}

impl Concurrency {
    /// How many hooks may run at a time.
    pub fn limit(self) -> usize {
        match self {
            Concurrency::Limit(limit) => limit as usize,
            Concurrency::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// A hook's name: `^[a-z0-9-]+$`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HookName(String);

impl HookName {
    /// Stands where a hook has no name, in a configuration that has an error.
    pub(super) fn none() -> Self {
        HookName(String::new())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HookName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.is_empty() && text.bytes().all(fits) {
            Ok(HookName(text.to_owned()))
        } else {
            Err("a hook's name has only lower-case letters, digits and `-`")
        }
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A script's path: relative to the hooks folder, and without a way out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptPath(String);

impl ScriptPath {
    /// The path as written.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScriptPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        stays_inside(text, "the hooks folder")?;
        if !Path::new(text).components().any(|part| matches!(part, Component::Normal(_))) {
            return Err("this names the hooks folder itself, not a script in it".into());
        }
        Ok(ScriptPath(text.to_owned()))
    }
}

/// A working directory: relative to the project root, and without a way out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingDirectory(String);

impl WorkingDirectory {
    /// The project root.
    pub fn root() -> Self {
        WorkingDirectory(".".into())
    }

    /// The path as written.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for WorkingDirectory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        stays_inside(text, "the project").map(|()| WorkingDirectory(text.to_owned()))
    }
}

fn stays_inside(text: &str, folder: &str) -> Result<(), String> {
    let path = Path::new(text);
    if text.is_empty() {
        return Err("a path is wanted, this is empty".into());
    }
    if text.contains('\0') {
        return Err("a path cannot contain a NUL character".into());
    }
    if path.is_absolute() {
        return Err(format!("the path must be relative to {folder}, this is absolute"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("the path must stay inside {folder}; `..` leads out of it"));
    }
    Ok(())
}
