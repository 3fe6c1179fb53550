//! The keys that `defaults` and a hook share: timeout, folder, shell, environment, fail mode, enabled,
//! retry, sandbox.

use super::model::{MAX_TIMEOUT, Retry, WorkingDirectory};
use super::reader::Reader;
use super::sandbox::SandboxRules;
use super::tree::{Node, Span, Value};
use super::words::FailMode;
use crate::text::one_line;
use std::path::PathBuf;
use std::time::Duration;

/// The keys under `defaults`.
pub const DEFAULTS_KEYS: &[&str] =
    &["timeout", "working_directory", "shell", "fail_mode", "enabled", "env", "retry", "sandbox"];

/// The keys under `retry`.
pub const RETRY_KEYS: &[&str] = &["attempts", "backoff", "max_backoff", "on", "max_attempts"];

/// What `retry.on` can name.
const RETRY_ENDINGS: &[&str] = &["failed", "timeout", "error", "tempfail"];

/// What a key is without a word about it anywhere, as `config show` prints it.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("timeout", "30"),
    ("working_directory", "."),
    ("shell", "/bin/bash"),
    ("fail_mode", "continue"),
    ("enabled", "true"),
    ("sandbox", "base"),
];

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
#[derive(Clone)]
pub(super) struct Defaults {
    pub(super) timeout: Duration,
    pub(super) working_directory: WorkingDirectory,
    pub(super) shell: PathBuf,
    pub(super) fail_mode: FailMode,
    pub(super) enabled: bool,
    /// Where `enabled` is set.
    pub(super) enabled_at: Option<Span>,
    pub(super) env: Vec<(String, String)>,
    pub(super) retry: Option<(Retry, Span)>,
    pub(super) sandbox: SandboxRules,
}

impl Defaults {
    /// What holds where nothing is written.
    pub(super) fn built_in() -> Self {
        Defaults {
            timeout: Duration::from_secs(30),
            working_directory: WorkingDirectory::root(),
            shell: PathBuf::from("/bin/bash"),
            fail_mode: FailMode::Continue,
            enabled: true,
            enabled_at: None,
            env: Vec::new(),
            retry: None,
            sandbox: SandboxRules::default(),
        }
    }
}

impl Reader<'_> {
    /// Reads `defaults`, `base` where it has nothing.
    pub(super) fn defaults(&mut self, node: &Node, base: &Defaults) -> Defaults {
        let Some(entries) = self.map(node, "a mapping of defaults") else { return base.clone() };
        self.known_keys(entries, DEFAULTS_KEYS, "`defaults`");
        self.settings(node, base)
    }

    /// The keys that `defaults` and a hook share, `base` where `node` has none.
    pub(super) fn settings(&mut self, node: &Node, base: &Defaults) -> Defaults {
        let mut settings = base.clone();
        for (key, value) in node.entries() {
            match key.name.as_str() {
                "timeout" => settings.timeout = self.timeout(value).unwrap_or(base.timeout),
                "working_directory" => {
                    if let Some(folder) = self.parsed(value, "a path") {
                        settings.working_directory = folder;
                    }
                }
                "shell" => settings.shell = self.shell(value).unwrap_or_else(|| base.shell.clone()),
                "fail_mode" => settings.fail_mode = self.word(value).unwrap_or(base.fail_mode),
                "enabled" => {
                    settings.enabled = self.boolean(value).unwrap_or(base.enabled);
                    settings.enabled_at = Some(key.span);
                }
                "env" => {
                    for (name, text) in self.env(value) {
                        match settings.env.iter_mut().find(|(known, _)| *known == name) {
                            Some(entry) => entry.1 = text,
                            None => settings.env.push((name, text)),
                        }
                    }
                }
                "retry" => settings.retry = self.retry(value).map(|retry| (retry, key.span)),
                "sandbox" => settings.sandbox = self.sandbox(value).unwrap_or_default(),
                _ => {}
            }
        }
        settings
    }

    /// Whole seconds, or a duration, of up to 24 hours.
    pub(super) fn timeout(&mut self, node: &Node) -> Option<Duration> {
        if let Value::Text(_) = node.value {
            return self.duration(node, MAX_TIMEOUT);
        }
        let seconds = match node.value {
            Value::Integer(seconds) => seconds,
            // 30.0 is an integer to JSON Schema, too.
            Value::Float(seconds) if seconds.fract() == 0.0 && seconds.abs() < 1e9 => seconds as i128,
            _ => {
                let help = "write seconds, such as `30`, or a duration, such as `500ms`, `5m` or `2h`";
                self.wrong_type(node, "a whole number of seconds or a duration, up to 24 h,").help = Some(help.into());
                return None;
            }
        };
        let timeout = u64::try_from(seconds).ok().map(Duration::from_secs);
        let timeout = timeout.filter(|timeout| !timeout.is_zero() && *timeout <= MAX_TIMEOUT);
        if timeout.is_none() {
            let message = format!("the timeout is {seconds} s; wanted is 1 to {} s", MAX_TIMEOUT.as_secs());
            self.error(node.span, "out-of-range", message);
        }
        timeout
    }

    fn shell(&mut self, node: &Node) -> Option<PathBuf> {
        let path = self.text(node, "an absolute path")?;
        if path.starts_with('/') {
            return Some(PathBuf::from(path));
        }
        self.error(node.span, "bad-value", "the shell must be an absolute path, such as /bin/bash");
        None
    }

    fn env(&mut self, node: &Node) -> Vec<(String, String)> {
        let variables = self.text_map(node, "a mapping of names to strings");
        let allowed = variables.into_iter().filter(|(key, _)| self.variable(&key.name, key.span));
        allowed.map(|(key, text)| (key.name, text)).collect()
    }

    /// Whether a variable may be set; if not, it is told.
    pub(super) fn variable(&mut self, name: &str, span: Span) -> bool {
        let why = if name.is_empty() || name.contains(['=', '\0']) {
            "a name is not empty and has no `=` and no NUL"
        } else if name.starts_with("LD_") || name.starts_with("DYLD_") || REFUSED_VARIABLES.contains(&name) {
            "it changes how programs are loaded or run (ADR-006)"
        } else {
            return true;
        };
        let message = format!("the variable `{}` cannot be set: {why}", one_line(name));
        self.error(span, "refused-variable", message);
        false
    }

    /// The kind of pause that flowspec's documents name, where `backoff` has one.
    fn older_backoff(&mut self, node: &Node) -> Option<&'static str> {
        let backoff = node.get("backoff")?;
        let Value::Text(text) = &backoff.value else { return None };
        let word = ["exponential", "linear", "fixed"].into_iter().find(|word| word == text)?;
        let (message, help) = match word {
            "fixed" => ("`backoff: fixed` is an older spelling", "write `backoff: 1s, max_backoff: 1s`"),
            "linear" => ("`backoff: linear` is an older spelling; the pause doubles each time", "write `backoff: 1s`"),
            _ => ("`backoff: exponential` is an older spelling", "write `backoff: 1s`; it doubles each time"),
        };
        self.warning(backoff.span, "old-value", message).help = Some(help.into());
        Some(word)
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let entries = self.map(node, "a mapping with `attempts`")?;
        self.known_keys(entries, RETRY_KEYS, "`retry`");
        let older = node.entries().iter().find(|(key, _)| key.name == "max_attempts");
        if let Some((key, _)) = older {
            let message = "`max_attempts` is an older spelling of `attempts`";
            self.warning(key.span, "old-key", message).help = Some("write `attempts`".into());
        }
        let attempts = match node.get("attempts").or(older.map(|(_, attempts)| attempts)) {
            Some(attempts) => self.whole(attempts, 1, 10, "a number of attempts")?,
            None => {
                self.missing(node, "`retry` has no `attempts`", "say how often to try in all: `attempts: 3`");
                return None;
            }
        };
        let longest = Duration::from_secs(3600);
        let pause = |reader: &mut Self, key: &str| node.get(key).and_then(|node| reader.duration(node, longest));
        let word = self.older_backoff(node);
        let backoff = if word.is_some() { None } else { pause(self, "backoff") };
        let backoff = backoff.unwrap_or(Duration::from_secs(1));
        // One of a fixed length does not grow.
        let longest_pause = if word == Some("fixed") { backoff } else { Duration::from_secs(30) };
        let max_backoff = pause(self, "max_backoff").unwrap_or(longest_pause);
        let mut on = Vec::new();
        for (ending, span) in node.get("on").and_then(|node| self.texts(node, "a list of endings")).unwrap_or_default()
        {
            if RETRY_ENDINGS.contains(&ending.as_str()) {
                on.push(ending);
            } else {
                let message = format!("`{}` is no ending that can be tried again", one_line(&ending));
                let help = format!("there are {}", RETRY_ENDINGS.join(", "));
                self.error(span, "bad-value", message).help = Some(help);
            }
        }
        Some(Retry { attempts: u32::try_from(attempts).ok()?, backoff, max_backoff, on })
    }
}
