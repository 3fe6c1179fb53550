//! What a person is shown before trusting: what would run, and what changed since the last time.

use super::Trusted;
use super::manifest::Manifest;
use crate::config::{Action, ConfigFile, Loaded};
use crate::text::{one_line, terminal_safe};
use similar::TextDiff;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The most lines of one file that are shown.
const MAX_LINES: usize = 400;

/// A text for the terminal, all control characters made visible: every action of `file`, then each
/// file of the manifest as a difference to what was trusted last time, `before` with its texts.
pub fn review(
    loaded: &Loaded,
    file: &ConfigFile,
    manifest: &Manifest,
    before: Option<&Trusted>,
    texts_before: &BTreeMap<String, String>,
) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "Hooks of {}:", one_line(&file.path.to_string_lossy()));
    for loaded_hook in loaded.hooks.iter().filter(|hook| std::ptr::eq(loaded.file_of(hook), file)) {
        let hook = &loaded_hook.hook;
        let events: Vec<&str> = hook.events.iter().map(|matcher| matcher.pattern.name.as_str()).collect();
        let state = if hook.enabled { "" } else { " (disabled)" };
        let _ = writeln!(out, "  {}{state} on {}", hook.name, one_line(&events.join(", ")));
        let _ = match &hook.action {
            Action::Script { .. } => writeln!(out, "    runs the script {}", one_line(&hook.action.summary())),
            Action::Command(line) => {
                writeln!(out, "    runs in {}: {}", one_line(&hook.shell.to_string_lossy()), one_line(line.trim_end()))
            }
            Action::Program(arguments) => writeln!(out, "    runs {}", one_line(&arguments.join(" "))),
            Action::Webhook(_) | Action::Notify(_) | Action::Email(_) | Action::Transition(_) => {
                writeln!(
                    out,
                    "    names the {} {} (not carried out)",
                    hook.action.key(),
                    one_line(&hook.action.summary())
                )
            }
        };
        if let Some(rights) = hook.sandbox.declared() {
            let _ = writeln!(out, "    declares rights beyond its sandbox: {}", one_line(&rights));
        }
        if !hook.env_from.is_empty() {
            let _ = writeln!(out, "    gets from your environment: {}", one_line(&hook.env_from.join(", ")));
        }
        for (name, value) in &hook.env {
            let _ = writeln!(out, "    sets {name}={}", one_line(value));
        }
    }
    let texts = manifest.texts(file);
    for entry in manifest.entries() {
        let trusted = before.and_then(|before| before.files.iter().find(|file| file.path == entry.path));
        if trusted == Some(entry) {
            continue;
        }
        let (new, old) = (texts.get(&entry.path), texts_before.get(&entry.path));
        let word = if trusted.is_some() { "changed" } else { "new" };
        let mode = if entry.executable { ", executable" } else { "" };
        let _ = writeln!(out, "\n{word}: {}{mode}", one_line(&entry.path));
        match new {
            None if entry.sha256.is_empty() => out.push_str("  (does not exist)\n"),
            None => {
                out.push_str("  … too large to show, or changed just now: read the file itself before you trust it\n")
            }
            Some(new) => show_difference(&mut out, old.map_or("", String::as_str), new),
        }
    }
    out
}

fn show_difference(out: &mut String, old: &str, new: &str) {
    let difference = TextDiff::from_lines(old, new);
    let mut shown = 0;
    for hunk in difference.unified_diff().context_radius(3).iter_hunks() {
        let _ = writeln!(out, "  {}", hunk.header());
        for change in hunk.iter_changes() {
            shown += 1;
            if shown > MAX_LINES {
                let _ = writeln!(out, "  … more lines: read the file itself before you trust it");
                return;
            }
            let line = change.value();
            // A carriage return would let the rest of the line overwrite its beginning.
            let _ = writeln!(out, "  {}{}", change.tag(), terminal_safe(line.strip_suffix('\n').unwrap_or(line)));
        }
    }
}
