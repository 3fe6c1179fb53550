//! Hooks tried with the events their author wrote down, and events of the past written down for that.

use crate::audit::Entry;
use crate::config::{
    Diagnostic, FileExpectation, Fixture, Key, MAX_CONFIG_BYTES, Node, RECORDED_FILE, Value, recorded,
};
use crate::emitter::{Emission, Emitter};
use crate::event::{EventDraft, EventError};
use crate::json::{Json, push_string};
use crate::matcher::Rule;
use crate::sys::{self, OpenFault, OpenMode};
use crate::text::{one_line, terminal_safe_json};
use crate::trust::Verdict;
use std::io;
use std::path::{Path, PathBuf};

/// A fixture and its hook.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Index into [`crate::config::Loaded::hooks`].
    pub hook: usize,
    /// The fixture.
    pub fixture: Fixture,
}

/// How a trial ended.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// What was not as expected; empty for a success.
    pub differences: Vec<String>,
    /// Why nothing could be found out, if so.
    pub blocked: Option<Verdict>,
    /// Whether the hook was run, or only matched.
    pub ran: bool,
}

/// The fixtures of every hook, or of one: those in the configuration, then the recorded ones.
pub fn trials(emitter: &Emitter, only: Option<usize>) -> (Vec<Trial>, Vec<Diagnostic>) {
    let loaded = emitter.loaded();
    let mut problems = Vec::new();
    let mut trials: Vec<Trial> = Vec::new();
    for (hook, loaded_hook) in loaded.hooks.iter().enumerate() {
        trials.extend(loaded_hook.hook.tests.iter().map(|fixture| Trial { hook, fixture: fixture.clone() }));
    }
    for file in &loaded.files {
        let path = file.hooks_folder.join(RECORDED_FILE);
        let opened = sys::open_folder(&file.hooks_folder)
            .and_then(|folder| sys::open_beneath(&folder, Path::new(RECORDED_FILE), OpenMode::File))
            .and_then(|file| sys::read_capped(&file, MAX_CONFIG_BYTES).map_err(OpenFault::Io));
        let bytes = match opened {
            Ok(bytes) => bytes,
            Err(OpenFault::Missing) => continue,
            Err(fault) => {
                let message = format!("the file cannot be read: {fault}");
                problems.push(Diagnostic::error(&path, None, "unreadable", message));
                continue;
            }
        };
        for (name, fixture) in recorded(&path, &bytes, &mut problems) {
            match loaded.find(&name) {
                Some(hook) => trials.push(Trial { hook, fixture }),
                None => {
                    let message = format!("there is no hook `{}`", one_line(&name));
                    problems.push(Diagnostic::error(&path, Some(fixture.span), "unknown-hook", message));
                }
            }
        }
    }
    trials.retain(|trial| only.is_none_or(|only| trial.hook == only));
    (trials, problems)
}

/// Tries one hook. It is run only when something about a run is expected.
///
/// # Errors
/// The fixture's event is none.
pub fn try_out(emitter: &Emitter, trial: &Trial) -> Result<Tried, EventError> {
    let expect = &trial.fixture.expect;
    let draft = EventDraft::from_json(event_of(&trial.fixture).into_bytes(), None)?;
    let event = emitter.preview(draft.clone())?.event;
    let loaded_hook = &emitter.loaded().hooks[trial.hook];
    let file = emitter.loaded().file_of(loaded_hook);
    let mut rules = loaded_hook.hook.events.iter().filter_map(|entry| Rule::compile(file, entry, &mut Vec::new()));
    let matched = rules.any(|rule| rule.holds(&event));
    let mut tried = Tried::default();
    if matched != expect.matched {
        let words = |matched: bool| if matched { "the event matches" } else { "the event does not match" };
        tried.differences.push(format!("{}, expected: {}", words(matched), words(expect.matched)));
    }
    let about_a_run = expect.exit_code.is_some()
        || expect.status.is_some()
        || expect.stdout.is_some()
        || expect.stderr.is_some()
        || !expect.files.is_empty();
    if !matched || !about_a_run {
        return Ok(tried);
    }
    let report = emitter.emit_to_hook(draft, trial.hook, Emission { source: "test", ..Emission::default() });
    tried.blocked = report.dispatched.blocked.clone();
    let Some(hook) = report.hooks().first().filter(|_| tried.blocked.is_none()) else { return Ok(tried) };
    tried.ran = true;
    let outcome = &hook.outcome;
    let mut differs = |what: &str, wanted: String, found: String| {
        tried.differences.push(format!("{what} {found}, expected: {wanted}"));
    };
    if let Some(wanted) = expect.exit_code.filter(|wanted| outcome.exit_code != Some(*wanted)) {
        let found = outcome.exit_code.map_or_else(|| outcome.summary(), |code| format!("is {code}"));
        differs("the exit code", wanted.to_string(), found);
    }
    if let Some(wanted) = expect.status.as_ref().filter(|wanted| outcome.status.as_str() != wanted.as_str()) {
        differs("the status", wanted.clone(), format!("is {}", outcome.status));
    }
    for (name, wanted, captured) in
        [("the output", &expect.stdout, &outcome.stdout), ("the error output", &expect.stderr, &outcome.stderr)]
    {
        let text = captured.text();
        if let Some(wanted) = wanted.as_ref().filter(|wanted| !text.contains(wanted.as_str())) {
            let shown = one_line(&crate::text::shorten(text.trim(), 60));
            differs(name, format!("{wanted:?} in it"), format!("is {shown:?}"));
        }
    }
    for (path, wanted) in &expect.files {
        let found = read_file(emitter.project().root(), path);
        match (wanted, found) {
            (FileExpectation::Exists(wanted), found) if found.is_some() != *wanted => {
                let words = |exists: bool| if exists { "exists" } else { "does not exist" };
                differs(&format!("the file {path}"), words(*wanted).into(), words(found.is_some()).into());
            }
            (FileExpectation::Contains(wanted), None) => {
                differs(&format!("the file {path}"), format!("{wanted:?} in it"), "does not exist".into());
            }
            (FileExpectation::Contains(wanted), Some(text)) if !text.contains(wanted) => {
                differs(&format!("the file {path}"), format!("{wanted:?} in it"), "has another text".into());
            }
            _ => {}
        }
    }
    Ok(tried)
}

fn read_file(root: &Path, path: &str) -> Option<String> {
    let folder = sys::open_folder(root).ok()?;
    let file = sys::open_beneath(&folder, Path::new(path), OpenMode::File).ok()?;
    Some(String::from_utf8_lossy(&sys::read_capped(&file, MAX_CONFIG_BYTES).ok()?).into_owned())
}

/// The event of a fixture as JSON; `type` is written for `event_type`.
fn event_of(fixture: &Fixture) -> String {
    let name = |key: &Key| if key.name == "type" { "event_type".to_owned() } else { key.name.clone() };
    let mut out = String::new();
    push_object(&mut out, fixture.event.iter().map(|(key, node)| (name(key), node)));
    out
}

fn push_object<'n>(out: &mut String, members: impl Iterator<Item = (String, &'n Node)>) {
    out.push('{');
    for (at, (name, node)) in members.enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_string(out, &name);
        out.push(':');
        push_json(out, node);
    }
    out.push('}');
}

/// A value as JSON; a whole number keeps all of its digits.
fn push_json(out: &mut String, node: &Node) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Boolean(value) => out.push_str(&value.to_string()),
        Value::Integer(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&serde_json::Value::from(*value).to_string()),
        Value::Text(text) => push_string(out, text),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => push_object(out, entries.iter().map(|(key, value)| (key.name.clone(), value))),
    }
}

/// Writes an event of the past and how `hook` ended then as a fixture; nothing when the records do not
/// have the event.
pub fn fixture_of(records: &[Entry], hook: &str) -> Option<String> {
    let event = records.iter().find_map(Entry::event)?;
    let json = Json::parse(&event).ok()?;
    // What the emitter gives each event anew is left out.
    let fresh = ["event_id", "schema_version", "timestamp", "project_root"];
    let members = json.entries().filter(|(name, _)| !fresh.contains(&name.as_ref()));
    // As they are written: a number must stay the number it is. JSON is YAML, once it is one line.
    let members = members.map(|(name, value)| {
        let mut member = String::new();
        push_string(&mut member, &name);
        member.push(':');
        member.push_str(value.text());
        member
    });
    let event = format!("{{{}}}", members.collect::<Vec<_>>().join(",")).replace(['\n', '\r', '\t'], " ");
    let id = records.first().map_or("", |record| record.text("event_id"));
    let ended = records.iter().rfind(|record| record.text("hook") == hook && record.text("status") != "started");
    let mut expect = vec![format!("matched: {}", ended.is_some())];
    if let Some(code) = ended.and_then(|record| record.number("exit_code")) {
        expect.push(format!("exit_code: {code}"));
    }
    Some(format!(
        "- hook: {hook}\n  name: {id}\n  event: {}\n  expect: {{{}}}\n",
        terminal_safe_json(&event),
        expect.join(", ")
    ))
}

/// Adds a fixture to the recorded ones of a hooks folder. Returns the file's path.
///
/// # Errors
/// The file is a link, or cannot be written.
pub fn append(folder: &Path, fixture: &str) -> io::Result<PathBuf> {
    let path = folder.join(RECORDED_FILE);
    let heading = "# Recorded by `knockon test --record`; yours to edit. `knockon test` runs them.\n";
    sys::append_text(&path, heading, fixture, MAX_CONFIG_BYTES)?;
    Ok(path)
}
