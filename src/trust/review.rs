//! What a person is shown before trusting: what would run, and what changed since the last time.

use super::Trusted;
use super::manifest::Manifest;
use crate::config::{Action, ConfigFile, Hook, Loaded, ScriptFile, dangers};
use crate::matcher::Rule;
use crate::text::{one_line, terminal_safe};
use crate::time::exact;
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeMap;

/// The most lines of one file that are shown.
const MAX_LINES: usize = 400;

/// What a line of a review is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Anything else.
    Plain,
    /// What the following lines are about.
    Title,
    /// Of a hook that is disabled.
    Dim,
    /// A line of a file that was not there.
    Added,
    /// A line of a file that is no longer there.
    Removed,
    /// What deserves a second look.
    Warning,
}

/// A line for the terminal, all control characters made visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewLine {
    /// What it is.
    pub tone: Tone,
    /// Its text.
    pub text: String,
}

/// What there is to review.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// Every hook and what it runs, the enabled ones first, and how many there are.
    pub overview: Vec<ReviewLine>,
    /// Each file as a difference to what was trusted last time.
    pub differences: Vec<ReviewLine>,
    /// Whether it is about a change of what was trusted before.
    pub is_change: bool,
}

impl Review {
    /// The review of `file`; `before` is what was trusted last time, with its texts.
    pub fn of(
        loaded: &Loaded,
        file: &ConfigFile,
        manifest: &Manifest,
        before: Option<&Trusted>,
        texts_before: &BTreeMap<String, String>,
    ) -> Self {
        let texts = manifest.texts(file);
        let mut review = Review { is_change: before.is_some(), ..Review::default() };
        review.hooks(loaded, file, &texts);
        for entry in manifest.entries() {
            let trusted = before.and_then(|before| before.files.iter().find(|file| file.path == entry.path));
            if trusted == Some(entry) {
                continue;
            }
            let word = if trusted.is_some() { "changed" } else { "new" };
            let mode = if entry.executable { ", executable" } else { "" };
            review.differ(Tone::Plain, String::new());
            review.differ(Tone::Title, format!("{word}: {}{mode}", one_line(&entry.path)));
            match texts.get(&entry.path) {
                None if entry.sha256.is_empty() => review.differ(Tone::Warning, "  (does not exist)".into()),
                None => {
                    let why = "  … too large to show, or changed just now: read the file itself before you trust it";
                    review.differ(Tone::Warning, why.into());
                }
                Some(new) => review.difference(texts_before.get(&entry.path).map_or("", String::as_str), new),
            }
        }
        review
    }

    fn hooks(&mut self, loaded: &Loaded, file: &ConfigFile, texts: &BTreeMap<String, String>) {
        let of_file = loaded.hooks.iter().filter(|hook| std::ptr::eq(loaded.file_of(hook), file));
        let (enabled, disabled): (Vec<&Hook>, Vec<&Hook>) =
            of_file.map(|hook| &hook.hook).partition(|hook| hook.enabled);
        let count = |count: usize| if count == 1 { "1 hook".to_owned() } else { format!("{count} hooks") };
        let mut summary = format!("{} enabled", count(enabled.len()));
        if !disabled.is_empty() {
            summary.push_str(&format!(", {} disabled", disabled.len()));
        }
        let path = one_line(&file.path.to_string_lossy());
        self.tell(Tone::Title, format!("Hooks of {path} ({summary}):"));
        for hook in enabled.into_iter().chain(disabled) {
            self.hook(file, hook, texts);
        }
    }

    fn hook(&mut self, file: &ConfigFile, hook: &Hook, texts: &BTreeMap<String, String>) {
        let events: Vec<&str> = hook.events.iter().map(|matcher| matcher.pattern.name.as_str()).collect();
        let (state, tone) = if hook.enabled { ("", Tone::Plain) } else { (" (disabled)", Tone::Dim) };
        self.tell(tone, format!("  {}{state} on {}", hook.name, one_line(&events.join(", "))));
        let summary = || one_line(&hook.action.summary());
        let line = match &hook.action {
            Action::Script { .. } => format!("runs the script {}", summary()),
            Action::Command(line) => {
                format!("runs in {}: {}", one_line(&hook.shell.to_string_lossy()), one_line(line.trim_end()))
            }
            Action::Program(arguments) => format!("runs {}", one_line(&arguments.join(" "))),
            Action::Webhook(_) | Action::Notify(_) | Action::Email(_) | Action::Transition(_) => {
                format!("names the {} {} (not carried out)", hook.action.key(), summary())
            }
        };
        self.tell(tone, format!("    {line}"));
        if hook.events.iter().any(|matcher| !matcher.filter.is_empty() || !matcher.files.is_empty()) {
            let rules = hook.events.iter().filter_map(|matcher| Rule::compile(file, matcher, &mut Vec::new()));
            for rule in rules {
                self.tell(tone, format!("    when {}", one_line(&rule.to_string())));
            }
        }
        let (timeout, fail_mode) = (exact(hook.timeout), hook.fail_mode.as_str());
        self.tell(tone, format!("    timeout {timeout}, fail_mode {fail_mode}"));
        if let Some(rights) = hook.sandbox.declared() {
            self.tell(Tone::Warning, format!("    declares rights beyond its sandbox: {}", one_line(&rights)));
        }
        if !hook.env_from.is_empty() {
            let names = one_line(&hook.env_from.join(", "));
            self.tell(tone, format!("    gets from your environment: {names}"));
        }
        for (name, value) in &hook.env {
            self.tell(tone, format!("    sets {name}={}", one_line(value)));
        }
        let (text, script) = match &hook.action {
            Action::Command(line) => (line.clone(), None),
            Action::Program(arguments) => (arguments.join(" "), None),
            Action::Script { path, .. } => (texts.get(path.as_str()).cloned().unwrap_or_default(), Some(path)),
            _ => return,
        };
        for danger in dangers(&text) {
            let place = script.map(|path| format!("{}:{} ", one_line(path.as_str()), danger.line)).unwrap_or_default();
            self.tell(Tone::Warning, format!("    warning: {place}{}", danger.what));
        }
        match script.map(|path| ScriptFile::open(&file.hooks_folder, path)) {
            Some(Err(_)) => self.tell(Tone::Warning, "    warning: the script does not exist".into()),
            Some(Ok(script)) => {
                let search = std::env::var_os("PATH").unwrap_or_default();
                let fault = script.diagnose(&search).map(|fault| one_line(&fault.to_string()));
                fault
                    .into_iter()
                    .for_each(|fault| self.tell(Tone::Warning, format!("    warning: it cannot run: {fault}")));
            }
            None => {}
        }
    }

    fn difference(&mut self, old: &str, new: &str) {
        let difference = TextDiff::from_lines(old, new);
        let mut shown = 0;
        for hunk in difference.unified_diff().context_radius(3).iter_hunks() {
            self.differ(Tone::Dim, format!("  {}", hunk.header()));
            for change in hunk.iter_changes() {
                shown += 1;
                if shown > MAX_LINES {
                    let more = "  … more lines: read the file itself before you trust it";
                    return self.differ(Tone::Warning, more.into());
                }
                let tone = match change.tag() {
                    ChangeTag::Insert => Tone::Added,
                    ChangeTag::Delete => Tone::Removed,
                    ChangeTag::Equal => Tone::Plain,
                };
                let line = change.value();
                // A carriage return would let the rest of the line overwrite its beginning.
                let line = terminal_safe(line.strip_suffix('\n').unwrap_or(line));
                self.differ(tone, format!("  {}{line}", change.tag()));
            }
        }
    }

    fn tell(&mut self, tone: Tone, text: String) {
        self.overview.push(ReviewLine { tone, text });
    }

    fn differ(&mut self, tone: Tone, text: String) {
        self.differences.push(ReviewLine { tone, text });
    }
}
