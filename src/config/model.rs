//! The configuration as types that cannot be wrong: what was parsed needs no second check.

use super::document::{Key, Node, Span};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The shortest timeout.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest timeout.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// One `hooks.yaml`, checked (ADR-007).
#[derive(Clone, Debug, PartialEq)]
pub struct HooksConfig {
    /// The format version as written, such as `1.0`.
    pub version: String,
    /// The hooks in file order, defaults merged into them.
    pub hooks: Vec<Hook>,
}

/// What to do when an event matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Its name, unique in the file.
    pub name: HookName,
    /// Where the name stands.
    pub span: Span,
    /// What it is for.
    pub description: Option<String>,
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
    /// What a failure means.
    pub fail_mode: FailMode,
    /// Whether it takes part at all.
    pub enabled: bool,
}

/// One entry under `events`.
#[derive(Clone, Debug, PartialEq)]
pub struct EventMatcher {
    /// The glob over the event's type, as written.
    pub pattern: Key,
    /// The filter's fields and wanted values, as written.
    pub filter: Vec<(Key, Node)>,
}

/// What a hook does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Runs a file of the hooks folder.
    Script {
        /// The file.
        path: ScriptPath,
        /// Where it stands.
        span: Span,
    },
    /// Runs a line in the hook's shell.
    Command(String),
    /// Posts the event to an address (ADR-007, version 2). This build reads it and does not send it.
    Webhook(Webhook),
}

/// An address to post events to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The address.
    pub url: String,
}

/// What a failure of a hook means for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// It is recorded, and the next hook runs.
    Continue,
    /// The hooks not yet started are skipped and the emitter exits with 1.
    Stop,
}

impl FailMode {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            FailMode::Continue => "continue",
            FailMode::Stop => "stop",
        }
    }
}

/// A hook's name: `^[a-z0-9-]+$`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HookName(String);

impl HookName {
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
