//! What a hook does: exactly one of six keys, and what belongs to it.

use super::model::{Action, Texts, Webhook};
use super::reader::{Entries, Reader};
use super::tree::{Key, Node, Value};
use crate::text::one_line;

/// The keys of which a hook has exactly one.
pub const ACTION_KEYS: &[&str] = &["script", "command", "webhook", "notify", "email", "transition"];

/// The keys under `webhook`.
pub const WEBHOOK_KEYS: &[&str] = &["url", "method", "headers", "secret_env", "timeout", "payload", "retry"];

/// The keys of the actions that are texts: which there are, and which of them are needed.
pub const TEXT_ACTIONS: &[(&str, &[&str], &[&str])] = &[
    ("notify", &["title", "body", "priority"], &["title"]),
    ("email", &["to", "subject", "body"], &["to"]),
    ("transition", &["workflow", "item", "to"], &["to"]),
];

/// What a notification's `priority` can be.
const PRIORITIES: &[&str] = &["low", "normal", "high", "critical"];

impl Reader<'_> {
    pub(super) fn action(&mut self, hook: &Node, entries: &Entries) -> Option<Action> {
        let given: Vec<&(Key, Node)> =
            entries.iter().filter(|(key, _)| ACTION_KEYS.contains(&key.name.as_str())).collect();
        let (key, node) = match given[..] {
            [] => {
                let help = "give it one of `script`, `command`, `webhook`, `notify`, `email` and `transition`";
                self.missing_key(hook, ACTION_KEYS, "this hook does nothing", help);
                return None;
            }
            [one] => one,
            [first, second, ..] => {
                let message = format!("this hook has both `{}` and `{}`", first.0.name, second.0.name);
                let related = self.related(first.0.span, "the first stands here");
                let problem = self.error(second.0.span, "conflict", message);
                problem.help = Some("keep exactly one".into());
                problem.related.push(related);
                return None;
            }
        };
        let args = self.args(hook, &key.name);
        match key.name.as_str() {
            "script" => Some(Action::Script { path: self.parsed(node, "a path")?, span: node.span, args }),
            "command" => self.command(node),
            "webhook" => self.webhook(node).map(Action::Webhook),
            "notify" => self.action_texts(node, "notify").map(Action::Notify),
            "email" => self.action_texts(node, "email").map(Action::Email),
            _ => self.action_texts(node, "transition").map(Action::Transition),
        }
    }

    fn args(&mut self, hook: &Node, action: &str) -> Vec<String> {
        let Some((key, node)) = hook.entries().iter().find(|(key, _)| key.name == "args") else { return Vec::new() };
        if action != "script" {
            let problem =
                self.error(key.span, "conflict", format!("`args` are for a `script`; this hook has a `{action}`"));
            problem.help = (action == "command").then(|| "write the command as a list: `command: [make, test]`".into());
        }
        self.texts(node, "a list of arguments").unwrap_or_default().into_iter().map(|(text, _)| text).collect()
    }

    fn command(&mut self, node: &Node) -> Option<Action> {
        match &node.value {
            Value::List(_) => {
                self.list(node, "a program and its arguments")?;
                let arguments = self.texts(node, "a program and its arguments")?;
                if arguments.first().is_none_or(|(program, _)| program.is_empty()) {
                    self.error(node.span, "bad-value", "the program to run is empty");
                    return None;
                }
                Some(Action::Program(arguments.into_iter().map(|(text, _)| text).collect()))
            }
            Value::Text(line) if line.trim().is_empty() => {
                self.error(node.span, "bad-value", "a command line is wanted, this is empty");
                None
            }
            _ => self.text(node, "a command line, or a list with a program and its arguments,").map(Action::Command),
        }
    }

    fn webhook(&mut self, node: &Node) -> Option<Webhook> {
        let entries = self.map(node, "a mapping with `url`")?;
        self.known_keys(entries, WEBHOOK_KEYS, "a webhook");
        let Some(url_node) = node.get("url") else {
            self.missing(node, "a webhook needs a `url`", "write `url: https://…`");
            return None;
        };
        let url = self.text(url_node, "an address")?;
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        if host.is_empty() || host.starts_with('/') || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let message = format!("`{}` is no address to post to", one_line(&url));
            self.error(url_node.span, "bad-value", message).help = Some("one begins with https:// or http://".into());
            return None;
        }
        let method = match node.get("method") {
            None => "POST".to_owned(),
            Some(Node { value: Value::Text(method), .. }) if method == "POST" || method == "PUT" => method.clone(),
            Some(other) => {
                let message = format!("`POST` or `PUT` is wanted, this is {}", other.value.describe());
                self.error(other.span, "bad-value", message);
                return None;
            }
        };
        let headers = node.get("headers").map(|node| self.text_map(node, "a mapping of headers")).unwrap_or_default();
        if let Some(timeout) = node.get("timeout") {
            self.timeout(timeout)?;
        }
        let secret_env = match node.get("secret_env") {
            Some(node) => {
                let name = self.text(node, "the name of a variable")?;
                let fits = |(at, byte): (usize, u8)| {
                    byte.is_ascii_alphabetic() || byte == b'_' || (at > 0 && byte.is_ascii_digit())
                };
                if name.is_empty() || !name.bytes().enumerate().all(fits) {
                    let message = format!("`{}` is no name of a variable", one_line(&name));
                    let help = "write the name without `$`; the value stays out of the file";
                    self.error(node.span, "bad-value", message).help = Some(help.into());
                }
                Some(name)
            }
            None => None,
        };
        let headers = headers.into_iter().map(|(key, value)| (key.name, value)).collect();
        Some(Webhook { url, method, headers, secret_env })
    }

    fn action_texts(&mut self, node: &Node, action: &str) -> Option<Texts> {
        let (_, known, needed) = TEXT_ACTIONS.iter().find(|(name, ..)| *name == action)?;
        let entries = self.map(node, &format!("a mapping with `{}`", needed.join("`, `")))?;
        self.known_keys(entries, known, &format!("`{action}`"));
        let mut texts = Vec::new();
        for (key, value) in entries.iter().filter(|(key, _)| known.contains(&key.name.as_str())) {
            // Several recipients are written as a list.
            let text = match (&value.value, key.name.as_str()) {
                (Value::List(_), "to") if action == "email" => {
                    self.list(value, "at least one address")?;
                    let all = self.texts(value, "a list of addresses")?;
                    all.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(", ")
                }
                _ => self.text(value, "a string")?,
            };
            if key.name == "priority" && !PRIORITIES.contains(&text.as_str()) {
                let message = format!("`{}` is no priority", one_line(&text));
                self.error(value.span, "bad-value", message).help =
                    Some(format!("there are {}", PRIORITIES.join(", ")));
            }
            texts.push((key.name.clone(), text));
        }
        match needed.iter().find(|needed| texts.iter().all(|(key, _)| key != *needed)) {
            Some(needed) => {
                self.missing(node, &format!("`{action}` needs `{needed}`"), &format!("write `{needed}: …`"));
                None
            }
            None => Some(Texts(texts)),
        }
    }
}
