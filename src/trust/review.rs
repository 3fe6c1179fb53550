//! What a person is shown before trusting: what would run, and what changed since the last time.

use super::manifest::Manifest;
use crate::config::{Action, ConfigFile, Loaded};
use crate::text::{one_line, terminal_safe};
use similar::TextDiff;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The most lines of one file that are shown.
const MAX_LINES: usize = 400;

/// A text for the terminal, all control characters made visible: every action of `file`, then each
/// file of the manifest as a difference to `before`, the texts trusted last time.
pub fn review(loaded: &Loaded, file: &ConfigFile, manifest: &Manifest, before: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "Hooks of {}:", one_line(&file.path.to_string_lossy()));
    for loaded_hook in loaded.hooks.iter().filter(|hook| std::ptr::eq(loaded.file_of(hook), file)) {
        let hook = &loaded_hook.hook;
        let events: Vec<&str> = hook.events.iter().map(|matcher| matcher.pattern.name.as_str()).collect();
        let state = if hook.enabled { "" } else { " (disabled)" };
        let _ = writeln!(out, "  {}{state} on {}", hook.name, one_line(&events.join(", ")));
        let _ = match &hook.action {
            Action::Script { path, .. } => writeln!(out, "    runs the script {}", one_line(path.as_str())),
            Action::Command(line) => {
                writeln!(out, "    runs in {}: {}", one_line(&hook.shell.to_string_lossy()), one_line(line.trim_end()))
            }
            Action::Webhook(webhook) => writeln!(out, "    names the webhook {} (not sent)", one_line(&webhook.url)),
        };
        for (name, value) in &hook.env {
            let _ = writeln!(out, "    sets {name}={}", one_line(value));
        }
    }
    for (entry, bytes) in manifest.files() {
        let new = String::from_utf8_lossy(bytes);
        let old = before.get(&entry.path);
        if old.is_some_and(|old| *old == new) {
            continue;
        }
        let word = if old.is_some() { "changed" } else { "new" };
        let mode = if entry.executable { ", executable" } else { "" };
        let _ = writeln!(out, "\n{word}: {}{mode}", one_line(&entry.path));
        if entry.sha256.is_empty() {
            let _ = writeln!(out, "  (does not exist)");
            continue;
        }
        show_difference(&mut out, old.map_or("", String::as_str), &new);
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
