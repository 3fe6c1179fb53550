//! `knockon explain`: why each hook did or did not run.

use super::emit::{EventFields, refused};
use super::ending::GuardDocument;
use super::error::{CliError, Exit};
use super::options::{ProjectOptions, TrustOptions, find_hook, read_event, require_sound, tell_no_hooks};
use super::terminal::{Paint, Terminal};
use crate::audit::Entry;
use crate::config::{InvalidHook, Loaded};
use crate::event::{Event, EventDraft, EventId};
use crate::explanation::{HookExplanation, explain_all, remark};
use crate::matcher::Check;
use crate::text::one_line;
use crate::time::human;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Say of every hook, or of one, why it matches an event or does not: the first condition that failed,
/// with the expected and the actual value. Nothing is run or recorded.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The event's type, or the id of an event of the past (evt_…); with --event-file, the hook
    #[arg(value_name = "TYPE|EVENT_ID", required_unless_present = "event_file")]
    subject: Option<String>,
    /// Only this hook, with everything it asks for
    #[arg(value_name = "HOOK")]
    hook: Option<String>,
    /// A file that holds the event as JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    event_file: Option<PathBuf>,
    #[command(flatten)]
    fields: EventFields,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

impl super::Command for Explain {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let emitter = self.project.emitter(&self.trust, true)?;
        require_sound(&emitter, terminal)?;
        let whole = self.event_file.is_some() || self.subject.as_ref().is_some_and(|id| id.parse::<EventId>().is_ok());
        if whole && !self.fields.is_empty() {
            let error = CliError::usage("the event is given whole; options for its fields would change nothing");
            return Err(error.hint("leave them out, or name a type: knockon explain task.completed --context …"));
        }
        let mut records = Vec::new();
        let (event, hook) = match (&self.event_file, self.subject) {
            (Some(_), Some(hook)) if self.hook.is_some() => {
                return Err(CliError::usage(format!("`{}` and --event-file both name the event", one_line(&hook))));
            }
            (Some(path), hook) => {
                let (origin, bytes) = read_event(path)?;
                let draft = EventDraft::from_json(bytes, None).map_err(|error| refused(&origin, &error))?;
                (emitter.preview(draft).map_err(|error| refused(&origin, &error))?.event, hook)
            }
            (None, Some(subject)) => match subject.parse::<EventId>() {
                Ok(id) => {
                    let found = emitter.audit().of_event(id);
                    records = found.map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
                    let event = records.iter().find_map(Entry::event).and_then(|bytes| Event::parse(bytes).ok());
                    let missing = || {
                        CliError::usage(format!("the audit log has no event {id}"))
                            .hint("`knockon audit` shows the last ones")
                    };
                    (event.ok_or_else(missing)?, self.hook)
                }
                Err(_) => {
                    let kind = subject.parse().map_err(|error| CliError::usage(format!("{error}")))?;
                    let draft = self.fields.draft(kind, emitter.project().root(), terminal)?;
                    (emitter.preview(draft).map_err(|error| refused("the event", &error))?.event, self.hook)
                }
            },
            (None, None) => return Err(CliError::usage("an event is missing")),
        };
        let only = hook.as_deref().map(|name| find_hook(emitter.loaded(), name)).transpose()?;
        let mut all = explain_all(&emitter, &event);
        all.retain(|explained| only.is_none_or(|only| explained.hook == only));
        let loaded = emitter.loaded();
        let invalid: Vec<&InvalidHook> = loaded.invalid.iter().filter(|_| only.is_none()).collect();
        let mut guards = emitter.guards_missed_by(&event);
        guards.retain(|_| only.is_none());
        if self.json {
            let hooks: Vec<Value> = all.iter().map(|explained| document(loaded, explained, &records)).collect();
            let gone: Vec<Value> = gone(loaded, &records)
                .into_iter()
                .map(|name| json!({ "hook": name, "runs": runs(&records, name).into_iter().map(run_document).collect::<Vec<_>>() }))
                .collect();
            terminal.json(&json!({
                "event_id": event.id().to_string(),
                "event_type": event.kind().as_str(),
                "recorded": !records.is_empty(),
                "hooks": hooks,
                "gone": gone,
                "guards": guards.iter().map(GuardDocument::of).collect::<Vec<_>>(),
                "invalid": invalid.iter().map(|hook| json!({ "hook": hook.name, "problem": hook.problem })).collect::<Vec<_>>(),
            }));
            return Ok(Exit::Fine);
        }
        let header = match records.is_empty() {
            true => event.kind().to_string(),
            false => format!("{}  {}", event.kind(), event.id()),
        };
        let header = terminal.paint(Paint::Dim, &header);
        terminal.line(&header);
        for explained in &all {
            show(loaded, explained, only.is_some(), &records, terminal);
        }
        for hook in &invalid {
            let mark = terminal.paint(Paint::Bad, "!");
            let line = format!("{}  does not run: {}", one_line(&hook.name), one_line(&hook.problem));
            terminal.line(&format!("  {mark} {line}"));
        }
        for guard in &guards {
            let mark = terminal.paint(Paint::Bad, "!");
            let line = format!("{}  does not run: {}; {}", one_line(&guard.name), one_line(&guard.why), guard.help);
            terminal.line(&format!("  {mark} {line}"));
        }
        for name in gone(loaded, &records).into_iter().filter(|_| only.is_none()) {
            terminal.line(&format!("  ? {}  is not in the configuration any more", one_line(name)));
            for run in runs(&records, name) {
                terminal.line(&format!("      {}", one_line(&then(run))));
            }
        }
        if all.is_empty() && records.is_empty() && invalid.is_empty() && guards.is_empty() {
            tell_no_hooks(emitter.project(), terminal)?;
        }
        Ok(Exit::Fine)
    }
}

/// The hooks that ran then and are not there now.
fn gone<'r>(loaded: &Loaded, records: &'r [Entry]) -> Vec<&'r str> {
    let mut seen = std::collections::HashSet::new();
    let names = records.iter().map(|record| record.text("hook")).filter(|name| !name.is_empty());
    names.filter(|name| loaded.find(name).is_none() && seen.insert(*name)).collect()
}

/// How a run of the past ended, in words.
fn then(run: &Entry) -> String {
    let code = run.number("exit_code").map(|code| format!(", exit code {code}")).unwrap_or_default();
    let time = run.number("duration_ms").filter(|millis| (0.0..1e12).contains(millis));
    let time = time.map(|millis| format!(", {}", human(Duration::from_secs_f64(millis / 1e3)))).unwrap_or_default();
    let why = Some(run.text("error")).filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
    format!("then: {}{code}{time}{why}", run.text("status"))
}

fn run_document(run: &Entry) -> Value {
    json!({
        "status": run.text("status"),
        "exit_code": run.number("exit_code").map(|code| code as i64),
        "duration_ms": run.number("duration_ms"),
        "error": run.text("error"),
        "remark": remark(run),
    })
}

/// The records of the hook's runs, without their beginnings.
fn runs<'r>(records: &'r [Entry], name: &str) -> Vec<&'r Entry> {
    records.iter().filter(|record| record.text("hook") == name && record.text("status") != "started").collect()
}

/// Shows what there is to say about a hook; `whole`: everything it asks for.
pub(super) fn show(
    loaded: &Loaded,
    explained: &HookExplanation,
    whole: bool,
    records: &[Entry],
    terminal: &mut Terminal,
) {
    let name = loaded.hooks[explained.hook].hook.name.as_str();
    let width = loaded.hooks.iter().map(|hook| hook.hook.name.as_str().len()).max().unwrap_or(0).min(32);
    let (mark, paint, sentence) = match (explained.matched(), explained.obstacles.is_empty()) {
        (true, true) => ("✓", Paint::Good, format!("matches {}", explained.rule)),
        (true, false) => ("-", Paint::Warn, format!("matches, and does not run: {}", explained.obstacles.join("; "))),
        (false, _) => {
            let failed = explained.explanation.failed().map(Check::to_string).unwrap_or_default();
            ("✗", Paint::Dim, failed)
        }
    };
    let mark = terminal.paint(paint, mark);
    terminal.line(&format!("  {mark} {name:<width$}  {}", one_line(&sentence)));
    let indent = " ".repeat(width + 6);
    let mut note = |text: &str| terminal.line(&format!("{indent}{}", one_line(text)));
    if whole {
        for check in &explained.explanation.checks {
            let (mark, actual) = (if check.holds { "✓" } else { "✗" }, &check.actual);
            note(&format!("{mark} {} {actual}, wanted {}", check.subject, check.wanted));
        }
    }
    if let Some(hint) = explained.explanation.failed().and_then(|check| check.hint.as_deref()) {
        note(&format!("hint: {hint}"));
    }
    if !explained.matched() {
        for obstacle in &explained.obstacles {
            note(&format!("besides, {obstacle}"));
        }
    }
    for text in &explained.notes {
        note(text);
    }
    for run in runs(records, name) {
        note(&then(run));
        remark(run).into_iter().for_each(&mut note);
    }
    let ran = !runs(records, name).is_empty();
    if !records.is_empty() && explained.would_run() && !ran {
        note("then: it did not run; the hooks or their trust have changed since");
    } else if ran && !explained.matched() {
        note("the hooks have changed since: it matched then");
    }
}

/// The same as data.
pub(super) fn document(loaded: &Loaded, explained: &HookExplanation, records: &[Entry]) -> Value {
    let loaded_hook = &loaded.hooks[explained.hook];
    let hook = &loaded_hook.hook;
    let check = |check: &Check| {
        json!({
            "subject": check.subject,
            "wanted": check.wanted,
            "actual": check.actual,
            "holds": check.holds,
            "hint": check.hint,
        })
    };
    let runs = runs(records, hook.name.as_str()).into_iter().map(run_document);
    json!({
        "hook": hook.name.as_str(),
        "matched": explained.matched(),
        "would_run": explained.would_run(),
        "entry": explained.entry,
        "rule": explained.rule,
        "failed": explained.explanation.failed().map(check),
        "checks": explained.explanation.checks.iter().map(check).collect::<Vec<_>>(),
        "obstacles": explained.obstacles,
        "notes": explained.notes,
        "after": hook.after.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        "path": loaded.path_of(loaded_hook.file, hook.span),
        "line": hook.span.line,
        "runs": runs.collect::<Vec<_>>(),
    })
}
