//! The keys that `defaults` and a hook share: timeout, folder, shell, environment, fail mode, enabled.

use super::document::{Node, Value};
use super::model::{FailMode, MAX_TIMEOUT, MIN_TIMEOUT, WorkingDirectory};
use super::reader::Reader;
use crate::text::one_line;
use std::path::PathBuf;
use std::time::Duration;

/// The keys under `defaults`.
pub const DEFAULTS_KEYS: &[&str] = &["timeout", "working_directory", "shell", "fail_mode", "enabled", "env"];

/// Variables that would change how a program is loaded or run (ADR-006).
const REFUSED_VARIABLES: &[&str] = &[
    "BASH_ENV",
    "ENV",
    "IFS",
    "PROMPT_COMMAND",
    "PYTHONSTARTUP",
    "NODE_OPTIONS",
    "GIT_SSH_COMMAND",
    "PERL5OPT",
    "RUBYOPT",
];

/// What `defaults` sets, before a hook's own keys.
pub(super) struct Defaults {
    pub(super) timeout: Duration,
    pub(super) working_directory: WorkingDirectory,
    pub(super) shell: PathBuf,
    pub(super) fail_mode: FailMode,
    pub(super) enabled: bool,
    pub(super) env: Vec<(String, String)>,
}

impl Reader<'_> {
    /// Reads `defaults`; what it does not set has its built-in value.
    pub(super) fn defaults(&mut self, node: Option<&Node>) -> Defaults {
        let built_in = Defaults {
            timeout: Duration::from_secs(30),
            working_directory: WorkingDirectory::root(),
            shell: PathBuf::from("/bin/bash"),
            fail_mode: FailMode::Continue,
            enabled: true,
            env: Vec::new(),
        };
        let Some(node) = node else { return built_in };
        let Some(entries) = self.map(node, "a mapping of defaults") else { return built_in };
        self.known_keys(entries, DEFAULTS_KEYS, "`defaults`");
        self.settings(node, &built_in)
    }

    /// The keys that `defaults` and a hook share, `base` where `node` has none.
    pub(super) fn settings(&mut self, node: &Node, base: &Defaults) -> Defaults {
        let timeout = node.get("timeout").and_then(|node| self.timeout(node));
        let folder = node.get("working_directory").and_then(|node| self.parsed(node, "a path"));
        let shell = node.get("shell").and_then(|node| self.shell(node));
        let fail_mode = node.get("fail_mode").and_then(|node| self.fail_mode(node));
        let enabled = node.get("enabled").and_then(|node| match node.value {
            Value::Boolean(value) => Some(value),
            _ => {
                self.wrong_type(node, "true or false");
                None
            }
        });
        let mut env = base.env.clone();
        for (name, value) in node.get("env").map(|node| self.env(node)).unwrap_or_default() {
            match env.iter_mut().find(|(known, _)| *known == name) {
                Some(entry) => entry.1 = value,
                None => env.push((name, value)),
            }
        }
        Defaults {
            timeout: timeout.unwrap_or(base.timeout),
            working_directory: folder.unwrap_or_else(|| base.working_directory.clone()),
            shell: shell.unwrap_or_else(|| base.shell.clone()),
            fail_mode: fail_mode.unwrap_or(base.fail_mode),
            enabled: enabled.unwrap_or(base.enabled),
            env,
        }
    }

    fn timeout(&mut self, node: &Node) -> Option<Duration> {
        let (least, most) = (MIN_TIMEOUT.as_secs(), MAX_TIMEOUT.as_secs());
        let whole = match node.value {
            Value::Integer(seconds) => Some(seconds),
            // 30.0 is an integer to JSON Schema, too.
            Value::Float(seconds) if seconds.fract() == 0.0 && seconds.abs() < 1e9 => Some(seconds as i128),
            _ => None,
        };
        match whole {
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) if (least..=most).contains(&seconds) => Some(Duration::from_secs(seconds)),
                _ => {
                    let message = format!("the timeout is {seconds} s; wanted is {least} to {most} s");
                    self.error(node.span, "out-of-range", message);
                    None
                }
            },
            None => {
                self.wrong_type(node, &format!("a whole number of seconds, {least} to {most}"));
                None
            }
        }
    }

    fn shell(&mut self, node: &Node) -> Option<PathBuf> {
        match &node.value {
            Value::Text(path) if path.starts_with('/') && !path.contains('\0') => Some(PathBuf::from(path)),
            Value::Text(_) => {
                self.error(node.span, "bad-value", "the shell must be an absolute path, such as /bin/bash");
                None
            }
            _ => {
                self.wrong_type(node, "an absolute path");
                None
            }
        }
    }

    fn fail_mode(&mut self, node: &Node) -> Option<FailMode> {
        match &node.value {
            Value::Text(word) if word == "continue" => Some(FailMode::Continue),
            Value::Text(word) if word == "stop" => Some(FailMode::Stop),
            other => {
                let message = format!("`continue` or `stop` is wanted, this is {}", other.describe());
                self.error(node.span, "bad-value", message);
                None
            }
        }
    }

    fn env(&mut self, node: &Node) -> Vec<(String, String)> {
        let Some(entries) = self.map(node, "a mapping of names to strings") else { return Vec::new() };
        let mut variables = Vec::new();
        for (key, value) in entries {
            let text = match &value.value {
                Value::Text(text) if !text.contains('\0') => text.clone(),
                Value::Text(_) => {
                    self.error(value.span, "bad-value", "a variable cannot contain a NUL character");
                    continue;
                }
                _ => {
                    self.wrong_type(value, "a string").help = Some("put the value in quotes".into());
                    continue;
                }
            };
            match refusal(&key.name) {
                Some(why) => {
                    let message = format!("the variable `{}` cannot be set: {why}", one_line(&key.name));
                    self.error(key.span, "refused-variable", message);
                }
                None => variables.push((key.name.clone(), text)),
            }
        }
        variables
    }
}

/// Why a variable may not be set, or nothing.
fn refusal(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains(['=', '\0']) {
        Some("a name is not empty and has no `=` and no NUL")
    } else if name.starts_with("LD_") || name.starts_with("DYLD_") || REFUSED_VARIABLES.contains(&name) {
        Some("it changes how programs are loaded or run (ADR-006)")
    } else {
        None
    }
}
