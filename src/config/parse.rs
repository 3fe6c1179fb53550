//! Tree → model, with every problem of the file in one run (ADR-007, configuration 1.0).

use super::diagnostic::Diagnostic;
use super::document::{self, Key, Node, Value};
use super::model::{Action, EventMatcher, Hook, HookName, HooksConfig, Webhook};
use super::reader::{Entries, Reader};
use super::settings::Defaults;
use crate::text::one_line;
use std::collections::HashMap;
use std::path::Path;

/// The keys of the file itself.
pub const TOP_KEYS: &[&str] = &["version", "defaults", "hooks"];
/// The keys of a hook.
pub const HOOK_KEYS: &[&str] = &[
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
/// The keys of an entry under `events`.
pub const MATCHER_KEYS: &[&str] = &["type", "pattern", "filter"];

/// Reads a configuration. Problems are added to `problems`; with an error among them there is no result.
pub fn parse(path: &Path, bytes: &[u8], problems: &mut Vec<Diagnostic>) -> Option<HooksConfig> {
    let mut reader = Reader { path, found: Vec::new() };
    let config = match document::read(bytes) {
        Ok(tree) => reader.file(&tree),
        Err(fault) => {
            let mut problem = Diagnostic::error(path, fault.span, fault.code, fault.message);
            problem.help = fault.help.map(str::to_owned);
            reader.found.push(problem);
            None
        }
    };
    let failed = reader.found.iter().any(|problem| problem.severity == super::Severity::Error);
    reader.found.sort_by_key(|problem| (problem.severity, problem.span));
    problems.append(&mut reader.found);
    config.filter(|_| !failed)
}

impl Reader<'_> {
    fn file(&mut self, tree: &Node) -> Option<HooksConfig> {
        let entries = match &tree.value {
            Value::Map(entries) => entries,
            Value::Null => {
                self.error(tree.span, "empty", "the file is empty").help =
                    Some("a file without hooks reads `version: \"1.0\"` and `hooks: []`".into());
                return None;
            }
            other => {
                let message = format!("the file is a mapping with `version` and `hooks`; this is {}", other.describe());
                self.error(tree.span, "wrong-type", message);
                return None;
            }
        };
        self.known_keys(entries, TOP_KEYS, "the file");
        let version = self.version(tree);
        let defaults = self.defaults(tree.get("defaults"));
        let hooks = match tree.get("hooks") {
            None => {
                self.error(tree.span, "missing-key", "the required key `hooks` is missing");
                return None;
            }
            Some(Node { value: Value::List(hooks), .. }) => hooks,
            Some(other) => {
                self.wrong_type(other, "a list of hooks");
                return None;
            }
        };
        let hooks: Vec<Hook> = hooks.iter().filter_map(|hook| self.hook(hook, &defaults)).collect();
        self.unique_names(&hooks);
        Some(HooksConfig { version: version?, hooks })
    }

    fn version(&mut self, tree: &Node) -> Option<String> {
        let Some(node) = tree.get("version") else {
            self.error(tree.span, "missing-key", "the required key `version` is missing").help =
                Some("write `version: \"1.0\"`".into());
            return None;
        };
        let Value::Text(version) = &node.value else {
            self.wrong_type(node, "a string").help = Some("put it in quotes: `version: \"1.0\"`".into());
            return None;
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match version.split_once('.') {
            Some(("1", minor)) if digits(minor) => Some(version.clone()),
            Some((major, minor)) if digits(major) && digits(minor) => {
                let message = format!("version {version} is not known; this build knows 1.x");
                self.error(node.span, "unknown-version", message).help =
                    Some("write `version: \"1.0\"`, or update knockon".into());
                None
            }
            _ => {
                let message = format!("`{}` is no version; wanted is `<major>.<minor>`", one_line(version));
                self.error(node.span, "bad-value", message);
                None
            }
        }
    }

    fn hook(&mut self, node: &Node, defaults: &Defaults) -> Option<Hook> {
        let entries = self.map(node, "a hook: a mapping with `name`, `events` and one of `script`, `command`")?;
        self.known_keys(entries, HOOK_KEYS, "a hook");
        let name = match node.get("name") {
            Some(name) => self.parsed::<HookName>(name, "a string"),
            None => {
                self.error(node.span, "missing-key", "this hook has no `name`");
                None
            }
        };
        let description = node.get("description").and_then(|node| self.description(node));
        let events = self.events(node);
        let action = self.action(node, entries);
        let settings = self.settings(node, defaults);
        Some(Hook {
            span: node.get("name").map_or(node.span, |name| name.span),
            name: name?,
            description,
            events: events?,
            action: action?,
            timeout: settings.timeout,
            working_directory: settings.working_directory,
            shell: settings.shell,
            env: settings.env,
            fail_mode: settings.fail_mode,
            enabled: settings.enabled,
        })
    }

    fn events(&mut self, hook: &Node) -> Option<Vec<EventMatcher>> {
        let Some(node) = hook.get("events") else {
            self.error(hook.span, "missing-key", "this hook has no `events`").help =
                Some("name at least one: `events: [{type: task.completed}]`".into());
            return None;
        };
        match &node.value {
            Value::List(matchers) if !matchers.is_empty() => {
                let read: Vec<_> = matchers.iter().map(|matcher| self.matcher(matcher)).collect();
                read.into_iter().collect()
            }
            Value::List(_) => {
                self.error(node.span, "bad-value", "`events` needs at least one entry");
                None
            }
            _ => {
                self.wrong_type(node, "a list of event matchers").help =
                    Some("write `events: [{type: task.completed}]`".into());
                None
            }
        }
    }

    fn matcher(&mut self, node: &Node) -> Option<EventMatcher> {
        if let Value::Text(name) = &node.value {
            let help = format!("write `- type: {}`", one_line(name));
            self.wrong_type(node, "a mapping with `type`").help = Some(help);
            return None;
        }
        let entries = self.map(node, "a mapping with `type`")?;
        self.known_keys(entries, MATCHER_KEYS, "an event matcher");
        let pattern = match (node.get("type"), node.get("pattern")) {
            (Some(pattern), None) => pattern,
            (None, Some(pattern)) => {
                let message = "`pattern` is an older spelling of `type`";
                self.found
                    .push(Diagnostic::warning(self.path, Some(pattern.span), "old-key", message).help("write `type`"));
                pattern
            }
            (Some(_), Some(pattern)) => {
                self.error(pattern.span, "conflict", "`type` and `pattern` mean the same; keep `type`");
                return None;
            }
            (None, None) => {
                self.error(node.span, "missing-key", "this event matcher has no `type`");
                return None;
            }
        };
        let Value::Text(name) = &pattern.value else {
            self.wrong_type(pattern, "a string");
            return None;
        };
        let filter = match node.get("filter") {
            None => Vec::new(),
            Some(filter) => self.map(filter, "a mapping of fields to wanted values")?.to_vec(),
        };
        Some(EventMatcher { pattern: Key { name: name.clone(), span: pattern.span }, filter })
    }

    fn action(&mut self, hook: &Node, entries: &Entries) -> Option<Action> {
        let given: Vec<&(Key, Node)> =
            entries.iter().filter(|(key, _)| ["script", "command", "webhook"].contains(&key.name.as_str())).collect();
        let (key, node) = match given[..] {
            [] => {
                self.error(hook.span, "missing-key", "this hook does nothing").help =
                    Some("give it one of `script`, `command` and `webhook`".into());
                return None;
            }
            [one] => one,
            [first, second, ..] => {
                let message = format!("this hook has both `{}` and `{}`", first.0.name, second.0.name);
                self.error(second.0.span, "conflict", message).help = Some("keep exactly one".into());
                return None;
            }
        };
        match (key.name.as_str(), &node.value) {
            ("script", _) => Some(Action::Script { path: self.parsed(node, "a path")?, span: node.span }),
            ("command", Value::Text(line)) if line.contains('\0') => {
                self.error(node.span, "bad-value", "a command cannot contain a NUL character");
                None
            }
            ("command", Value::Text(line)) if !line.trim().is_empty() => Some(Action::Command(line.clone())),
            ("webhook", Value::Map(_)) => match node.get("url").map(|url| &url.value) {
                Some(Value::Text(url)) => Some(Action::Webhook(Webhook { url: url.clone() })),
                _ => {
                    self.error(node.span, "missing-key", "a webhook needs a `url`, a string");
                    None
                }
            },
            ("webhook", _) => {
                self.wrong_type(node, "a mapping with `url`");
                None
            }
            _ => {
                self.wrong_type(node, "a string with a command line");
                None
            }
        }
    }

    fn description(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if text.chars().count() <= 500 => Some(text.clone()),
            Value::Text(text) => {
                let message = format!("the description has {} characters; at most 500", text.chars().count());
                self.error(node.span, "out-of-range", message);
                None
            }
            _ => {
                self.wrong_type(node, "a string");
                None
            }
        }
    }

    fn unique_names(&mut self, hooks: &[Hook]) {
        let mut named: HashMap<&HookName, &Hook> = HashMap::with_capacity(hooks.len());
        for hook in hooks {
            if let Some(first) = named.get(&hook.name) {
                let message = format!(
                    "the hook name `{}` is taken: line {}, column {} has it already",
                    hook.name, first.span.line, first.span.column
                );
                self.error(hook.span, "duplicate-name", message).help = Some("give one of the two another name".into());
            } else {
                named.insert(&hook.name, hook);
            }
        }
    }
}
