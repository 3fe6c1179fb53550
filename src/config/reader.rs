//! Reading a tree: what is wrong is collected with its place, and reading goes on.

use super::budget::{Budget, MAX_PROBLEMS};
use super::diagnostic::{Diagnostic, Related, Severity};
use super::document;
use super::layers::Source;
use super::tree::{Key, Node, Span, Value};
use super::words::Word;
use crate::text::{nearest, one_line, shorten};
use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// What other tools call our keys, and what to write instead.
const FOREIGN_KEYS: &[(&str, &str, &str)] = &[
    ("run", "command", "command"),
    ("cmd", "command", "command"),
    ("exec", "command", "command"),
    ("entry", "command", "command"),
    ("on", "events", "events"),
    ("event", "events", "events"),
    ("triggers", "events", "events"),
    ("needs", "after", "after"),
    ("depends_on", "after", "after"),
    ("cwd", "working_directory", "working_directory"),
    ("workdir", "working_directory", "working_directory"),
    ("if", "filter", "filter"),
    ("when", "filter", "filter"),
    ("paths", "files", "files"),
    ("glob", "files", "files"),
    ("id", "name", "name"),
    ("fail_fast", "fail_mode", "fail_mode: stop"),
    ("async", "mode", "mode: detach"),
    ("background", "mode", "mode: detach"),
    ("environment", "env", "env"),
    ("disabled", "enabled", "enabled: false"),
    ("retries", "retry", "retry"),
    ("parallel", "concurrency", "concurrency"),
];

/// The problems of one configuration, as they are found.
#[derive(Default)]
pub(super) struct Reader<'a> {
    /// Its texts; a [`Span`] says which of them it is in.
    pub(super) sources: &'a [Source],
    pub(super) found: Vec<Diagnostic>,
    /// The hook that is being read: its number and its name. An error disables this one alone.
    pub(super) hook: Option<(usize, String)>,
    /// The numbers of the hooks that an error disables.
    pub(super) broken: BTreeSet<usize>,
}

/// Keys that would give what only the user gives: whoever writes them is told so, and not what is near.
const FORBIDDEN_KEYS: &[&str] = &[
    "trust",
    "trusted",
    "trust_hash",
    "allow_untrusted",
    "secret",
    "secrets",
    "unsandboxed",
    "no_sandbox",
    "privileged",
    "sudo",
    "run_as",
    "policy",
    "limits",
];

/// The entries of a mapping.
pub(super) type Entries = [(Key, Node)];

impl<'a> Reader<'a> {
    /// A reader for a text of its own, with what is wrong with it as YAML; and the text as a tree.
    pub(super) fn of(path: &Path, bytes: &[u8], sources: &'a [Source]) -> (Self, Option<Node>) {
        let (tree, faults) = document::read(bytes, 0, &mut Budget::whole());
        let found = faults.into_iter().map(|fault| {
            let mut problem = Diagnostic::error(path, fault.span, fault.code, fault.message);
            problem.help = fault.help;
            problem
        });
        (Reader { sources, found: found.collect(), ..Reader::default() }, tree)
    }
}

impl Reader<'_> {
    pub(super) fn known_keys(&mut self, entries: &Entries, known: &[&str], of: &str) {
        for (key, _) in entries {
            if known.contains(&key.name.as_str()) || key.name.starts_with("x-") {
                continue;
            }
            if FORBIDDEN_KEYS.contains(&key.name.as_str()) {
                let message = format!("`{}` cannot be given by a configuration", key.name);
                let help =
                    "trust, secrets and exemptions come from the user: `knockon trust`, `env_from`, `policy.yaml`";
                self.error(key.span, "forbidden-key", message).help = Some(help.into());
                continue;
            }
            if self.found.len() >= MAX_PROBLEMS {
                // Only counted; to look for what was meant takes longer than to read the file.
                self.error(key.span, "unknown-key", String::new());
                continue;
            }
            let foreign = FOREIGN_KEYS.iter().find(|(theirs, ..)| *theirs == key.name);
            let meant = foreign
                .filter(|(_, ours, _)| known.contains(ours))
                .map(|(_, _, write)| *write)
                .or_else(|| nearest(&key.name, known.iter().copied()));
            let message = format!("`{}` is no key of {of}", one_line(&shorten(&key.name, 60)));
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if foreign.is_some_and(|(_, ours, _)| super::MATCHER_KEYS.contains(ours)) => {
                    let write = foreign.map_or("", |(_, _, write)| write);
                    format!("did you mean `{write}`, under `events`?")
                }
                None => format!("known are {}; keys that begin with `x-` are yours", known.join(", ")),
            };
            let problem = self.error(key.span, "unknown-key", message);
            (problem.label, problem.help) = (Some("unknown key".into()), Some(help));
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

    /// A list with at least one item.
    pub(super) fn list<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.error(node.span, "bad-value", format!("{wanted} is wanted, this is an empty list"));
                None
            }
            Value::List(items) => Some(items),
            _ => {
                self.wrong_type(node, wanted);
                None
            }
        }
    }

    pub(super) fn text(&mut self, node: &Node, wanted: &str) -> Option<String> {
        match &node.value {
            Value::Text(text) if text.contains('\0') => {
                self.error(node.span, "bad-value", format!("{wanted} is wanted; it cannot contain a NUL character"));
                None
            }
            Value::Text(text) => Some(text.clone()),
            _ => {
                let quotable = !matches!(node.value, Value::List(_) | Value::Map(_) | Value::Null);
                let problem = self.wrong_type(node, wanted);
                problem.help = quotable.then(|| "put the value in quotes".into());
                None
            }
        }
    }

    /// A list of strings, which may be empty; what is no string is told and left out.
    pub(super) fn texts(&mut self, node: &Node, wanted: &str) -> Option<Vec<(String, Span)>> {
        let items = match &node.value {
            Value::List(items) => items,
            _ => {
                self.wrong_type(node, wanted);
                return None;
            }
        };
        Some(items.iter().filter_map(|item| Some((self.text(item, "a string")?, item.span))).collect())
    }

    /// A mapping of names to strings.
    pub(super) fn text_map(&mut self, node: &Node, wanted: &str) -> Vec<(Key, String)> {
        let Some(entries) = self.map(node, wanted) else { return Vec::new() };
        entries.iter().filter_map(|(key, value)| Some((key.clone(), self.text(value, "a string")?))).collect()
    }

    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, node: &Node, wanted: &str) -> Option<T> {
        let Value::Text(text) = &node.value else {
            // `text` tells what a value without quotes has become.
            self.text(node, wanted);
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

    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match node.value {
            Value::Boolean(value) => Some(value),
            _ => {
                self.wrong_type(node, "true or false");
                None
            }
        }
    }

    /// A whole number from `least` to `most`. 30.0 is one to JSON Schema, too.
    pub(super) fn whole(&mut self, node: &Node, least: i128, most: i128, wanted: &str) -> Option<i128> {
        let number = match node.value {
            Value::Integer(number) => Some(number),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e9 => Some(number as i128),
            _ => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                self.error(
                    node.span,
                    "out-of-range",
                    format!("{wanted} is wanted, {least} to {most}; this is {number}"),
                );
                None
            }
            None => {
                self.wrong_type(node, &format!("{wanted}, {least} to {most},"));
                None
            }
        }
    }

    /// One of the words of a choice.
    pub(super) fn word<T: Word>(&mut self, node: &Node) -> Option<T> {
        let wanted = || T::WORDS.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, &wanted());
            return None;
        };
        let read = T::from_word(text);
        if read.is_none() {
            let message = format!("{} is wanted, this is {}", wanted(), node.value.describe());
            let near = nearest(text, T::WORDS.iter().copied());
            self.error(node.span, "bad-value", message).help = near.map(|near| format!("did you mean `{near}`?"));
        }
        read
    }

    /// A duration such as `500ms`, at most `most`.
    pub(super) fn duration(&mut self, node: &Node, most: Duration) -> Option<Duration> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, "a duration such as `500ms`, `30s` or `5m`");
            return None;
        };
        match crate::time::parse_duration(text) {
            Some(span) if !span.is_zero() && span <= most => Some(span),
            Some(_) => {
                let message = format!("`{text}` is out of range; wanted is 1 ms to {}", crate::time::exact(most));
                self.error(node.span, "out-of-range", message);
                None
            }
            None => {
                let digits = text.chars().take_while(char::is_ascii_digit).count();
                let unit = digits > 0 && digits < text.chars().count();
                if digits > 0 && matches!(text.get(digits..), Some("ms" | "s" | "m" | "h")) {
                    let message = format!("`{}` is out of range", one_line(&shorten(text, 40)));
                    let help = format!("wanted is 1 ms to {}", crate::time::exact(most));
                    self.error(node.span, "out-of-range", message).help = Some(help);
                    return None;
                }
                let at = if unit { node.span.inside(text, digits) } else { node.span };
                let problem =
                    self.error(at, "bad-duration", format!("`{}` is no duration", one_line(&shorten(text, 40))));
                problem.label = Some(if unit { "unknown unit" } else { "a number and a unit are wanted" }.into());
                problem.help = Some("write a whole number and ms, s, m or h, such as `500ms`, `30s` or `5m`".into());
                None
            }
        }
    }

    /// Tells that `of` has none of the keys `names`, unless one is there misspelt or under the name that
    /// another tool gives it: that is told already.
    pub(super) fn missing_key(&mut self, of: &Node, names: &[&str], message: &str, help: &str) {
        let foreign =
            |key: &Key| FOREIGN_KEYS.iter().any(|(theirs, ours, _)| *theirs == key.name && names.contains(ours));
        let misspelt = |key: &Key| nearest(&key.name, names.iter().copied()).is_some();
        if !of.entries().iter().any(|(key, _)| foreign(key) || misspelt(key)) {
            self.missing(of, message, help);
        }
    }

    pub(super) fn missing(&mut self, of: &Node, message: &str, help: &str) {
        let problem = self.error(of.span, "missing-key", message);
        problem.help = Some(help.to_owned());
    }

    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str) -> &mut Diagnostic {
        let found = node.value.describe();
        let problem = self.error(node.span, "wrong-type", format!("{wanted} is wanted, this is {found}"));
        problem.label = Some(found);
        problem
    }

    pub(super) fn error(&mut self, span: Span, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        let problem = Diagnostic::error(self.path(span), Some(span), code, message);
        self.push(problem)
    }

    pub(super) fn warning(&mut self, span: Span, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        let problem = Diagnostic::warning(self.path(span), Some(span), code, message);
        self.push(problem)
    }

    /// Another place that belongs to a problem.
    pub(super) fn related(&self, span: Span, message: &str) -> Related {
        Related { path: self.path(span).to_owned(), span, message: message.to_owned() }
    }

    fn push(&mut self, mut problem: Diagnostic) -> &mut Diagnostic {
        let at = self.found.len();
        if let Some((number, name)) = &self.hook {
            problem.hook = Some(name.clone());
            if problem.severity == Severity::Error {
                self.broken.insert(*number);
            }
        }
        self.found.push(problem);
        &mut self.found[at]
    }

    /// The file that a place is in.
    pub(super) fn path(&self, span: Span) -> &Path {
        self.sources.get(usize::from(span.source)).map_or(Path::new(""), |source| source.path.as_path())
    }
}
