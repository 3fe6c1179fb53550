//! `tests:`, the events a hook is tried with and what is expected of it.

use super::diagnostic::Diagnostic;
use super::layers::Source;
use super::model::{Expectation, FileExpectation, Fixture};
use super::reader::Reader;
use super::tree::{Node, Value};
use crate::text::one_line;
use std::path::Path;

/// The file beside `hooks.yaml` that `test --record` adds fixtures to.
pub const RECORDED_FILE: &str = "hooks.tests.yaml";

/// Reads recorded fixtures: a list in which each names its hook. Problems are added to `problems`.
pub fn recorded(path: &Path, bytes: &[u8], problems: &mut Vec<Diagnostic>) -> Vec<(String, Fixture)> {
    let name = RECORDED_FILE.to_owned();
    let sources = [Source { path: path.to_owned(), name, bytes: Vec::new() }];
    let (mut reader, tree) = Reader::of(path, bytes, &sources);
    let mut fixtures = Vec::new();
    match tree.as_ref().map(|tree| (&tree.value, tree)) {
        None | Some((Value::Null, _)) => {}
        Some((Value::List(items), _)) => {
            for item in items {
                match item.get("hook") {
                    Some(hook) => {
                        let hook = reader.text(hook, "a hook's name");
                        fixtures.extend(hook.zip(reader.fixture(item, &RECORDED_KEYS)));
                    }
                    None => reader.missing(item, "this test names no `hook`", "write `hook: NAME`"),
                }
            }
        }
        Some((_, tree)) => {
            reader.wrong_type(tree, "a list of tests");
        }
    }
    problems.append(&mut reader.found);
    fixtures
}

/// The keys of an entry under `tests`.
pub const FIXTURE_KEYS: &[&str] = &["name", "event", "expect"];

const RECORDED_KEYS: [&str; 4] = ["hook", "name", "event", "expect"];

/// The keys under `expect`.
pub const EXPECT_KEYS: &[&str] = &["matched", "exit_code", "status", "stdout", "stderr", "files"];

/// The words of the audit log that `expect.status` can name.
const STATUSES: &[&str] = &["success", "failed", "timeout", "error", "skipped"];

impl Reader<'_> {
    /// The fixtures of one hook, those that can be read.
    pub(super) fn fixtures(&mut self, node: &Node) -> Vec<Fixture> {
        let Value::List(items) = &node.value else {
            let help = "write `tests: [{event: {type: task.completed}, expect: {matched: true}}]`";
            self.wrong_type(node, "a list of fixtures").help = Some(help.into());
            return Vec::new();
        };
        items.iter().filter_map(|item| self.fixture(item, FIXTURE_KEYS)).collect()
    }

    fn fixture(&mut self, node: &Node, known: &[&str]) -> Option<Fixture> {
        let entries = self.map(node, "a mapping with `event` and `expect`")?;
        self.known_keys(entries, known, "a test");
        let name = node.get("name").and_then(|node| self.text(node, "a string")).unwrap_or_default();
        let Some(event) = node.get("event") else {
            self.missing(node, "this test has no `event`", "write `event: {type: task.completed}`");
            return None;
        };
        let members = self.map(event, "the members of an event")?;
        let kind = event.get("type").or_else(|| event.get("event_type"));
        match kind.map(|kind| &kind.value) {
            Some(Value::Text(text)) if text.parse::<crate::event::EventType>().is_ok() => {}
            Some(_) => {
                let span = kind.map_or(event.span, |kind| kind.span);
                self.error(span, "bad-value", "an event type is wanted, such as `task.completed`");
            }
            None => self.missing(event, "this event has no `type`", "write `type: task.completed`"),
        }
        let expect = match node.get("expect") {
            Some(expect) => self.expectation(expect)?,
            None => Expectation { matched: true, ..Expectation::default() },
        };
        Some(Fixture { name, span: node.span, event: members.to_vec(), expect })
    }

    fn expectation(&mut self, node: &Node) -> Option<Expectation> {
        let entries = self.map(node, "a mapping such as `{matched: true, exit_code: 0}`")?;
        self.known_keys(entries, EXPECT_KEYS, "`expect`");
        let mut expect = Expectation { matched: true, ..Expectation::default() };
        for (key, value) in entries {
            match key.name.as_str() {
                "matched" => expect.matched = self.boolean(value).unwrap_or(true),
                "exit_code" => {
                    let code = self.whole(value, 0, 255, "an exit code");
                    expect.exit_code = code.and_then(|code| i32::try_from(code).ok());
                }
                "status" => match self.text(value, "a status") {
                    Some(status) if !STATUSES.contains(&status.as_str()) => {
                        let message = format!("`{}` is no status", one_line(&status));
                        let help = format!("there are {}", STATUSES.join(", "));
                        self.error(value.span, "bad-value", message).help = Some(help);
                    }
                    status => expect.status = status,
                },
                "stdout" => expect.stdout = self.text(value, "a text"),
                "stderr" => expect.stderr = self.text(value, "a text"),
                "files" => expect.files = self.file_expectations(value),
                _ => {}
            }
        }
        Some(expect)
    }

    fn file_expectations(&mut self, node: &Node) -> Vec<(String, FileExpectation)> {
        let entries = self.map(node, "a mapping of paths to true, false or a text").unwrap_or_default();
        let read = entries.iter().filter_map(|(key, value)| {
            let inside: Result<super::WorkingDirectory, String> = key.name.parse();
            if let Err(why) = inside {
                self.error(key.span, "bad-value", format!("`{}`: {why}", one_line(&key.name)));
                return None;
            }
            let expectation = match &value.value {
                Value::Boolean(exists) => FileExpectation::Exists(*exists),
                Value::Text(text) => FileExpectation::Contains(text.clone()),
                _ => {
                    self.wrong_type(value, "true, false or a text that is in the file");
                    return None;
                }
            };
            Some((key.name.clone(), expectation))
        });
        read.collect()
    }
}
