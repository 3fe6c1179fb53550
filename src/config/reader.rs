//! Reading a tree: what is wrong is collected with its place, and reading goes on.

use super::diagnostic::Diagnostic;
use super::document::{Key, Node, Span, Value};
use crate::text::{nearest, one_line};
use std::path::Path;
use std::str::FromStr;

/// What other tools call our keys.
const FOREIGN_KEYS: &[(&str, &str)] = &[
    ("run", "command"),
    ("cmd", "command"),
    ("exec", "command"),
    ("on", "events"),
    ("event", "events"),
    ("triggers", "events"),
    ("cwd", "working_directory"),
    ("workdir", "working_directory"),
    ("if", "filter"),
    ("when", "filter"),
    ("id", "name"),
    ("fail_fast", "fail_mode"),
    ("environment", "env"),
    ("disabled", "enabled"),
];

/// The problems of one file, as they are found.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) found: Vec<Diagnostic>,
}

/// The entries of a mapping.
pub(super) type Entries = [(Key, Node)];

impl Reader<'_> {
    pub(super) fn known_keys(&mut self, entries: &Entries, known: &[&str], of: &str) {
        for (key, _) in entries {
            if known.contains(&key.name.as_str()) || key.name.starts_with("x-") {
                continue;
            }
            let foreign = FOREIGN_KEYS.iter().find(|(theirs, _)| *theirs == key.name).map(|(_, ours)| *ours);
            let meant =
                foreign.filter(|ours| known.contains(ours)).or_else(|| nearest(&key.name, known.iter().copied()));
            let message = format!("`{}` is no key of {of}", one_line(&key.name));
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known are {}; keys that begin with `x-` are yours", known.join(", ")),
            };
            self.error(key.span, "unknown-key", message).help = Some(help);
        }
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n Entries> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong_type(node, wanted);
                None
            }
        }
    }

    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, node: &Node, wanted: &str) -> Option<T> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, wanted);
            return None;
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.error(node.span, "bad-value", format!("`{}`: {why}", one_line(text)));
                None
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str) -> &mut Diagnostic {
        self.error(node.span, "wrong-type", format!("{wanted} is wanted, this is {}", node.value.describe()))
    }

    pub(super) fn error(&mut self, span: Span, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.found.len();
        self.found.push(Diagnostic::error(self.path, Some(span), code, message));
        &mut self.found[at]
    }
}
