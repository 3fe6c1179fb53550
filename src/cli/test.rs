//! `knockon test`: hooks tried, with the events their author wrote down or with one made up now.

use super::emit::refused;
use super::ending::{self, Show};
use super::error::{CliError, Exit};
use super::live::Live;
use super::options::{ProjectOptions, TrustOptions, find_hook, read_event, require_sound};
use super::terminal::{Paint, Terminal};
use crate::config::{Diagnostic, Severity};
use crate::dispatch::Watcher;
use crate::emitter::{Emission, Emitter};
use crate::event::{EventDraft, EventId, EventType};
use crate::fixtures::{self, Trial, Tried};
use crate::text::{count, one_line};
use crate::trust::Verdict;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Run the fixtures under `tests:` and in hooks.tests.yaml: all of them, or those of one hook. With a TYPE,
/// run one hook with a made-up event, whether it is enabled and matches or not. Hooks have to be trusted.
#[derive(Args, Debug)]
pub(super) struct Test {
    /// The hook's name
    hook: Option<String>,
    /// The type of an event to make up
    #[arg(value_name = "TYPE")]
    kind: Option<EventType>,
    /// Write a fixture from this event of the audit log into hooks.tests.yaml
    #[arg(long, value_name = "EVENT_ID", requires = "hook", conflicts_with = "kind")]
    record: Option<EventId>,
    /// Run the hook with the event in this file, `-` for standard input
    #[arg(long, value_name = "FILE", requires = "hook", conflicts_with_all = ["kind", "record"])]
    event_file: Option<PathBuf>,
    /// Show what would run; run nothing
    #[arg(long, conflicts_with = "record")]
    dry_run: bool,
    /// The spec or feature of the made-up event
    #[arg(long, value_name = "ID", default_value = "test-spec")]
    spec_id: String,
    /// The task of the made-up event
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

impl super::Command for Test {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let emitter = self.project.tester(&self.trust)?;
        require_sound(&emitter, terminal)?;
        let hook = self.hook.as_deref().map(|name| find_hook(emitter.loaded(), name)).transpose()?;
        if let Some((path, hook)) = self.event_file.clone().zip(hook) {
            let (origin, bytes) = read_event(&path)?;
            let draft = EventDraft::from_json(bytes, None).map_err(|error| refused(&origin, &error))?;
            return self.try_once(&emitter, hook, draft, terminal);
        }
        match (hook, self.record, self.kind.clone()) {
            (Some(hook), Some(id), _) => record(&emitter, hook, id, self.json, terminal),
            (Some(hook), None, Some(kind)) => self.once(&emitter, hook, kind, terminal),
            (hook, _, _) => run_fixtures(&emitter, hook, (self.json, self.dry_run), terminal),
        }
    }
}

impl Test {
    /// One hook with a made-up event.
    fn once(self, emitter: &Emitter, hook: usize, kind: EventType, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let mut draft = EventDraft::new(kind).feature(self.spec_id.as_str()).context("test", true);
        draft = draft.context("feature", self.spec_id.as_str());
        if let Some(task) = self.task_id.clone() {
            draft = draft.context("task_id", task);
        }
        self.try_once(emitter, hook, draft, terminal)
    }

    /// What would run, without running it.
    fn show_only(
        &self,
        emitter: &Emitter,
        hook: usize,
        draft: EventDraft,
        terminal: &mut Terminal,
    ) -> Result<Exit, CliError> {
        let event = emitter.preview(draft).map_err(|error| refused("the event", &error))?.event;
        let verdict = emitter.guard().verdict(hook);
        let matches = emitter.matches(&event).iter().any(|matched| matched.hook == hook);
        let loaded_hook = &emitter.loaded().hooks[hook];
        let (name, action) = (loaded_hook.hook.name.as_str(), loaded_hook.hook.action.summary());
        let would_run = verdict == Verdict::Trusted;
        if self.json {
            terminal.json(&json!({
                "dry_run": true,
                "hook_name": name,
                "event_type": event.kind().as_str(),
                "matches": matches,
                "would_run": would_run,
                "trust": verdict.to_string(),
                "runs": action,
            }));
        } else {
            let what = if would_run { "would run".to_owned() } else { format!("would not run: {verdict}") };
            terminal.line(&one_line(&format!("{name} {what} with {}: {action}", event.kind())));
            if !matches {
                terminal.line("  (the event does not match; `knockon test` runs the hook all the same)");
            }
        }
        Ok(if would_run { Exit::Fine } else { Exit::Untrusted })
    }

    fn try_once(
        self,
        emitter: &Emitter,
        hook: usize,
        draft: EventDraft,
        terminal: &mut Terminal,
    ) -> Result<Exit, CliError> {
        if self.dry_run {
            return self.show_only(emitter, hook, draft, terminal);
        }
        let show = Show { json: self.json, verbose: true, ..Show::default() };
        let report = {
            let live = Live::new(show, terminal);
            let watcher: Option<&dyn Watcher> = if self.json { None } else { Some(&live) };
            emitter.emit_to_hook(draft, hook, Emission { source: "test", watcher, ..Emission::default() })
        };
        emitter.release_signals();
        terminal.end_live();
        match ending::show(&report, show, None, true, terminal) {
            Exit::Fine if report.hooks().iter().any(|hook| hook.outcome.status.is_failure()) => Ok(Exit::Stopped),
            exit => Ok(exit),
        }
    }
}

/// The fixtures of all hooks, or of one; `dry_run`: which there are.
fn run_fixtures(
    emitter: &Emitter,
    hook: Option<usize>,
    (json, dry_run): (bool, bool),
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let (trials, problems) = fixtures::trials(emitter, hook);
    require_readable(&problems, terminal)?;
    if dry_run {
        let name = |trial: &Trial| emitter.loaded().hooks[trial.hook].hook.name.to_string();
        if json {
            let tests: Vec<Value> =
                trials.iter().map(|trial| json!({ "hook_name": name(trial), "test": trial.fixture.name })).collect();
            terminal.json(&json!({ "dry_run": true, "tests": tests }));
        } else {
            for trial in &trials {
                terminal.line(&format!("  {} {}", name(trial), one_line(&trial.fixture.name)));
            }
            terminal.line(&format!("{}, none was run", count(trials.len(), "test")));
        }
        return Ok(Exit::Fine);
    }
    let (mut documents, mut failed, mut blocked): (Vec<Value>, usize, Option<Verdict>) = (Vec::new(), 0, None);
    for trial in &trials {
        let tried = fixtures::try_out(emitter, trial).unwrap_or_else(|error| Tried {
            differences: vec![format!("its event cannot be emitted: {error}")],
            ..Tried::default()
        });
        failed += usize::from(!tried.differences.is_empty());
        if json {
            documents.push(document(emitter, trial, &tried));
        } else {
            show(emitter, trial, &tried, terminal);
        }
        blocked = blocked.or(tried.blocked);
    }
    if json {
        terminal.json(
            &json!({ "tests": documents, "failed": failed, "blocked": blocked.as_ref().map(Verdict::to_string) }),
        );
    } else if trials.is_empty() {
        terminal
            .line("there are no tests; write `tests:` for a hook, or record one: knockon test --record EVENT_ID HOOK");
    } else {
        terminal.line(&format!("{}, {failed} failed", count(trials.len(), "test")));
    }
    if let Some(verdict) = &blocked {
        terminal.note(&format!("hooks were not run, {}: review with `knockon trust`", one_line(&verdict.to_string())));
    }
    Ok(match (failed, blocked) {
        // A hook that is off for an error has no tests that could fail.
        (0, None) if hook.is_none() && !emitter.loaded().invalid.is_empty() => Exit::Usage,
        (0, None) => Exit::Fine,
        (0, Some(_)) => Exit::Untrusted,
        _ => Exit::Stopped,
    })
}

/// Shows what is wrong with recorded fixtures; with an error among them nothing is tried.
fn require_readable(problems: &[Diagnostic], terminal: &mut Terminal) -> Result<(), CliError> {
    problems.iter().for_each(|problem| terminal.problem(problem));
    match problems.iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => {
            let name = one_line(&problem.path.to_string_lossy());
            Err(CliError::usage(format!("the recorded tests in {name} have errors; no test was run")))
        }
        None => Ok(()),
    }
}

/// What a person calls a fixture: its name, else its event.
fn title(trial: &Trial) -> String {
    let kind = trial.fixture.event.iter().find(|(key, _)| key.name == "type" || key.name == "event_type");
    match (trial.fixture.name.as_str(), kind.map(|(_, node)| &node.value)) {
        ("", Some(crate::config::Value::Text(kind))) => one_line(kind),
        (name, _) => one_line(name),
    }
}

fn show(emitter: &Emitter, trial: &Trial, tried: &Tried, terminal: &mut Terminal) {
    let hook = &emitter.loaded().hooks[trial.hook].hook.name;
    let (mark, paint) = match (tried.differences.is_empty(), &tried.blocked) {
        (true, None) => ("✓", Paint::Good),
        (true, Some(_)) => ("-", Paint::Warn),
        (false, _) => ("✗", Paint::Bad),
    };
    let mark = terminal.paint(paint, mark);
    let how = if tried.ran { "" } else { "  (matched only)" };
    terminal.line(&format!("{mark} {hook}: {}{how}", title(trial)));
    for difference in &tried.differences {
        terminal.line(&format!("    {}", one_line(difference)));
    }
}

fn document(emitter: &Emitter, trial: &Trial, tried: &Tried) -> Value {
    json!({
        "hook": emitter.loaded().hooks[trial.hook].hook.name.as_str(),
        "name": trial.fixture.name,
        "passed": tried.differences.is_empty() && tried.blocked.is_none(),
        "ran": tried.ran,
        "differences": tried.differences,
    })
}

fn record(emitter: &Emitter, hook: usize, id: EventId, json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let records = emitter.audit().of_event(id).map_err(|error| CliError::new(Exit::Io, error.to_string()))?;
    let loaded = emitter.loaded();
    let name = loaded.hooks[hook].hook.name.as_str();
    let Some(fixture) = fixtures::fixture_of(&records, name) else {
        let error = CliError::usage(format!("the audit log has no event {id}"));
        return Err(error.hint("`knockon audit` shows the last ones"));
    };
    let folder = &loaded.file_of(&loaded.hooks[hook]).hooks_folder;
    let path = fixtures::append(folder, &fixture).map_err(|error| CliError::io(folder.display(), &error))?;
    if json {
        terminal.json(&json!({ "path": path, "fixture": fixture }));
        return Ok(Exit::Fine);
    }
    for line in fixture.lines() {
        terminal.line(&crate::text::terminal_safe(line));
    }
    terminal.line(&format!("added to {}; `knockon test {name}` runs it", one_line(&path.to_string_lossy())));
    Ok(Exit::Fine)
}
