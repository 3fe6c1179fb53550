//! `knockon audit show`: what became of one event, as a tree.

use super::audit::{failed, log_of};
use super::error::{CliError, Exit};
use super::options::ProjectOptions;
use super::terminal::{Paint, Terminal};
use crate::audit::{AttemptStory, HookStory, Story};
use crate::event::EventId;
use crate::text::{one_line, shorten, terminal_safe};
use crate::time::{Timestamp, human};
use clap::Args;
use serde_json::{Value, json, value::RawValue};
use std::time::Duration;

/// How many lines of a hook's output are shown.
const LINES: usize = 12;

/// Show what became of one event: the hooks it was meant for, their attempts, and what followed.
#[derive(Args, Debug)]
pub(super) struct Show {
    /// The event's id, as `knockon audit --json` and `emit --json` show it
    #[arg(value_name = "EVENT_ID")]
    event: EventId,
    /// Print all of it as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl Show {
    pub(super) fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let log = log_of(&self.project)?;
        let id = self.event.to_string();
        let mut entries = log.about_event(self.event).map_err(|error| failed(&error))?;
        let followed: Vec<(String, String)> = entries
            .extract_if(.., |entry| entry.text("event_id") != id)
            .map(|entry| (entry.text("event_id").to_owned(), entry.text("event_type").to_owned()))
            .collect();
        let story = Story::all_of(entries).into_iter().next();
        let Some(story) = story else {
            return Err(CliError::usage(format!("the audit log has no event {id}")).hint(
                "`knockon audit --status emitted` lists the last events with their ids; older ones are removed after some time",
            ));
        };
        if self.json {
            // Byte for byte: a tree of values would round its numbers.
            let mut text = document(&story, &followed).to_string();
            text.truncate(text.len().saturating_sub(1));
            let event = story.event.as_deref().unwrap_or("null");
            terminal.json(&RawValue::from_string(format!("{text},\"event\":{event}}}")).ok());
        } else {
            Tree { terminal }.draw(&story, &followed);
        }
        Ok(Exit::Fine)
    }
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

fn document(story: &Story, followed: &[(String, String)]) -> Value {
    let attempt = |attempt: &AttemptStory| {
        let further: serde_json::Map<String, Value> = attempt.further.iter().cloned().collect();
        json!({
            "attempt": attempt.attempt, "replay": attempt.replay, "started": time(attempt.started),
            "ended": time(attempt.ended), "status": attempt.status, "duration_ms": attempt.duration_ms,
            "waited_ms": attempt.waited_ms, "overhead_ms": attempt.overhead_ms, "exit_code": attempt.exit_code,
            "signal": attempt.signal, "cpu_ms": attempt.cpu_ms, "peak_kib": attempt.peak_kib,
            "error": attempt.error, "stdout_tail": attempt.stdout, "stderr_tail": attempt.stderr, "further": further,
        })
    };
    let hook = |hook: &HookStory| json!({ "name": hook.name, "attempts": hook.attempts.iter().map(attempt).collect::<Vec<_>>() });
    json!({
        "event_id": story.event_id, "event_type": story.event_type, "at": time(story.at), "feature": story.feature,
        "caused_by": story.caused_by, "overhead_ms": story.overhead_ms, "problems": story.problems,
        "hooks": story.hooks.iter().map(hook).collect::<Vec<_>>(),
        "followed": followed.iter().map(|(id, kind)| json!({ "event_id": id, "event_type": kind })).collect::<Vec<_>>(),
    })
}

/// Draws a story.
struct Tree<'a> {
    terminal: &'a mut Terminal,
}

impl Tree<'_> {
    fn draw(&mut self, story: &Story, followed: &[(String, String)]) {
        let kind = self.terminal.paint(Paint::Bold, &one_line(&story.event_type));
        let at = story.at.map(|at| format!("  {at}")).unwrap_or_default();
        self.terminal.line(&format!("{kind}  {}{at}", one_line(&story.event_id)));
        let mut facts = Vec::new();
        facts.extend(story.feature.as_ref().map(|feature| format!("feature {feature}")));
        facts.extend(story.caused_by.as_ref().map(|cause| format!("caused by {cause}")));
        facts.extend(story.overhead_ms.map(|millis| format!("made in {}", span(millis))));
        if !facts.is_empty() {
            self.terminal.line(&one_line(&facts.join(" · ")));
        }
        for problem in &story.problems {
            let problem = self.terminal.paint(Paint::Bad, &one_line(problem));
            self.terminal.line(&format!("! {problem}"));
        }
        let all = story.hooks.len() + followed.len();
        for (index, hook) in story.hooks.iter().enumerate() {
            self.hook(hook, index + 1 == all);
        }
        for (index, (id, kind)) in followed.iter().enumerate() {
            let branch = branch(story.hooks.len() + index + 1 == all).0;
            self.terminal.line(&format!("{branch}→ {}  {}", one_line(kind), one_line(id)));
        }
        if all == 0 {
            let told = if story.problems.is_empty() { "no hook matched" } else { "no hook ran" };
            self.terminal.line(told);
        }
        let other = if story.hooks.is_empty() { "hooks" } else { "other hooks" };
        let hint = format!("`knockon explain {}` says why {other} did not match", one_line(&story.event_id));
        let hint = self.terminal.paint(Paint::Dim, &hint);
        self.terminal.line(&hint);
    }

    fn hook(&mut self, hook: &HookStory, last: bool) {
        let (branch, below) = branch(last);
        match hook.attempts.as_slice() {
            [only] => {
                self.attempt(branch, &hook.name, only);
                self.details(below, only);
            }
            attempts => {
                let end = attempts.last().map_or("", |attempt| attempt.status.as_str());
                let mark = self.mark(end);
                let times = attempts.iter().filter(|attempt| ran(attempt)).count();
                let times = if times > 1 { format!("  {times} attempts") } else { String::new() };
                self.terminal.line(&format!("{branch}{mark} {}{times}", one_line(&hook.name)));
                for (index, attempt) in attempts.iter().enumerate() {
                    let (inner, deeper) = self::branch(index + 1 == attempts.len());
                    let replay = if attempt.replay { " (again)" } else { "" };
                    let name =
                        if ran(attempt) { format!("attempt {}{replay}", attempt.attempt) } else { "no attempt".into() };
                    self.attempt(&format!("{below}{inner}"), &name, attempt);
                    self.details(&format!("{below}{deeper}"), attempt);
                }
            }
        }
    }

    fn mark(&self, status: &str) -> String {
        match status {
            "success" => self.terminal.paint(Paint::Good, "✓"),
            "started" => self.terminal.paint(Paint::Warn, "…"),
            "skipped" | "disabled" | "detached" => self.terminal.paint(Paint::Dim, "–"),
            _ => self.terminal.paint(Paint::Bad, "✗"),
        }
    }

    fn attempt(&mut self, branch: &str, name: &str, attempt: &AttemptStory) {
        let status = match attempt.status.as_str() {
            "started" => "started, and no ending is on record",
            status => status,
        };
        let mut facts = vec![one_line(status)];
        facts.extend(attempt.duration_ms.map(span));
        match &attempt.error {
            // It has the exit code in it, or the signal.
            Some(error) => facts.push(one_line(&shorten(error, 300))),
            None => {
                facts.extend(attempt.exit_code.filter(|code| *code != 0).map(|code| format!("exit {code}")));
                facts.extend(attempt.signal.map(|signal| format!("signal {signal}")));
            }
        }
        let mark = self.mark(&attempt.status);
        self.terminal.line(&format!("{branch}{mark} {}  {}", one_line(name), facts.join("  ")));
    }

    fn details(&mut self, below: &str, attempt: &AttemptStory) {
        let mut facts = Vec::new();
        facts.extend(attempt.started.map(|at| format!("from {}", &at.to_string()[11..23])));
        facts.extend(attempt.waited_ms.map(|millis| format!("waited {}", span(millis))));
        facts.extend(attempt.overhead_ms.map(|millis| format!("knockon itself {}", span(millis))));
        facts.extend(attempt.cpu_ms.map(|millis| format!("processor {}", span(millis))));
        facts.extend(attempt.peak_kib.map(|size| format!("memory {:.1} MiB", size as f64 / 1024.0)));
        let dull = ["pid", "stdout_lines", "stderr_lines"];
        for (name, value) in attempt.further.iter().filter(|(name, _)| !dull.contains(&name.as_str())) {
            facts.push(format!("{name} {}", shorten(&plain(value), 120)));
        }
        if !facts.is_empty() {
            let facts = self.terminal.paint(Paint::Dim, &one_line(&facts.join(" · ")));
            self.terminal.line(&format!("{below}  {facts}"));
        }
        for (name, text) in [("stdout", &attempt.stdout), ("stderr", &attempt.stderr)] {
            let Some(text) = text else { continue };
            let lines: Vec<&str> = text.lines().collect();
            let left_out = lines.len().saturating_sub(LINES);
            let more =
                if left_out > 0 { format!(" (the last {LINES} of {} lines)", lines.len()) } else { String::new() };
            self.terminal.line(&format!("{below}  {name}{more}:"));
            for line in &lines[left_out..] {
                self.terminal.line(&format!("{below}    {}", terminal_safe(line)));
            }
        }
    }
}

/// Whether a process was started.
fn ran(attempt: &AttemptStory) -> bool {
    attempt.started.is_some() || attempt.duration_ms.is_some()
}

/// What stands before a branch, and before what is below it.
fn branch(last: bool) -> (&'static str, &'static str) {
    if last { ("└─ ", "   ") } else { ("├─ ", "│  ") }
}

fn span(millis: f64) -> String {
    human(Duration::from_secs_f64(millis.clamp(0.0, 1e12) / 1e3))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
