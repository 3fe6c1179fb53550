//! What flowspec itself would refuse or not know: for files that both read.

use super::diagnostic::Diagnostic;
use super::load::ConfigFile;
use super::tree::{Key, Node, Span, Value};

/// The keys that flowspec knows (ADR-007), by where they stand.
const DEFAULTS: &[&str] = &["timeout", "working_directory", "shell", "fail_mode", "enabled", "env"];
const HOOK: &[&str] = &[
    "name",
    "description",
    "events",
    "script",
    "command",
    "webhook",
    "timeout",
    "working_directory",
    "shell",
    "env",
    "fail_mode",
    "enabled",
];
const MATCHER: &[&str] = &["type", "filter"];

/// Characters that flowspec takes for an attempt to reach a shell. To us a value is data.
const SHELL_CHARACTERS: &[char] = &[';', '|', '&', '$', '`', '<', '>', '\n'];

/// Warnings for everything in `file` and its layers that flowspec would not read the same.
pub fn flowspec_refusals(file: &ConfigFile) -> Vec<Diagnostic> {
    let Some(composed) = file.composed() else { return Vec::new() };
    let mut found = Found { file, problems: Vec::new() };
    for layer in &file.layers {
        let message = "flowspec reads hooks.yaml alone";
        found.problems.push(Diagnostic::warning(&layer.path, None, "flowspec", message));
    }
    if composed.version.as_deref() != Some("1.0") {
        let message = "flowspec knows version 1.0 only";
        found.problems.push(Diagnostic::warning(&file.path, None, "flowspec", message));
    }
    if let Some(node) = &composed.concurrency {
        found.add(node.span, "flowspec does not know `concurrency`".into());
    }
    for defaults in composed.scopes.iter().filter_map(|scope| scope.defaults.as_ref()) {
        found.keys(defaults.entries(), DEFAULTS);
        found.settings(defaults);
    }
    for hook in composed.hooks.iter().map(|hook| &hook.node) {
        found.keys(hook.entries(), HOOK);
        found.settings(hook);
        if let Some(Node { value: Value::List(_), span }) = hook.get("command") {
            found.add(*span, "flowspec takes a command as a string only".into());
        }
        let Some(Value::List(matchers)) = hook.get("events").map(|events| &events.value) else { continue };
        for matcher in matchers {
            found.keys(matcher.entries(), MATCHER);
            for (key, value) in matcher.get("filter").map(Node::entries).unwrap_or_default() {
                let operators = matches!(value.value, Value::Map(_))
                    || matches!(&value.value, Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))));
                if operators || key.name.starts_with('$') {
                    found.add(
                        key.span,
                        format!("flowspec compares `{}` as it stands", crate::text::one_line(&key.name)),
                    );
                }
            }
        }
    }
    found.problems
}

struct Found<'f> {
    file: &'f ConfigFile,
    problems: Vec<Diagnostic>,
}

impl Found<'_> {
    fn add(&mut self, span: Span, message: String) {
        self.problems.push(Diagnostic::warning(self.file.path_of(span), Some(span), "flowspec", message));
    }

    fn keys(&mut self, entries: &[(Key, Node)], known: &[&str]) {
        for (key, _) in entries {
            let ours = !known.contains(&key.name.as_str()) && !key.name.starts_with("x-");
            if ours {
                self.add(key.span, format!("flowspec does not know `{}`", crate::text::one_line(&key.name)));
            }
        }
    }

    fn settings(&mut self, node: &Node) {
        if let Some(Node { value: Value::Text(_), span }) = node.get("timeout") {
            self.add(*span, "flowspec takes a timeout in whole seconds only".into());
        }
        for (key, value) in node.get("env").map(Node::entries).unwrap_or_default() {
            if matches!(&value.value, Value::Text(text) if text.contains(SHELL_CHARACTERS)) {
                let name = crate::text::one_line(&key.name);
                self.add(value.span, format!("flowspec refuses the value of `{name}` for its shell characters"));
            }
        }
    }
}
