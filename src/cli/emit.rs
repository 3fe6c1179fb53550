//! `knockon emit`: an event from flags.

use super::ending::{self, Show};
use super::error::{CliError, Exit};
use super::explain;
use super::live::Live;
use super::options::{ProjectOptions, TrustOptions};
use super::quick::{Argument, Quick};
use super::results::{self, Wanted};
use super::standing;
use super::terminal::{Paint, Terminal};
use crate::dispatch::Watcher;
use crate::emitter::{Emission, EmitReport, Emitter, Preview};
use crate::event::{Event, EventDraft, EventError, EventType, InvalidEventType};
use crate::explanation::explain_all;
use crate::project::UserFolders;
use crate::text::one_line;
use crate::trust::Verdict;
use crate::work_package::Kind;
use clap::Args;
use serde_json::{Value, json, value::RawValue};
use std::ffi::OsString;

/// Emit an event and run the hooks it matches.
#[derive(Args, Debug)]
pub(super) struct Emit {
    /// The event's type, such as task.completed; `knockon events` lists the known ones. Those of work packages are
    /// also known by their names on the sync wire, such as WPStatusChanged
    #[arg(value_name = "TYPE", value_parser = event_type)]
    kind: EventType,
    #[command(flatten)]
    fields: EventFields,
    #[command(flatten)]
    how: EmitOptions,
}

/// The fields of an event made from flags.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct EventFields {
    /// The spec or feature: the event's `feature`, and `context.feature`
    #[arg(long, value_name = "ID")]
    spec_id: Option<String>,
    /// The task: `context.task_id`
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    /// A file that took part; repeat for more: `artifacts`
    #[arg(long = "file", short = 'f', value_name = "PATH")]
    files: Vec<String>,
    /// How far an agent is, in percent: `context.progress_percent`
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    progress: Option<u8>,
    /// What an agent has to say: `context.status_message`
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// The agent, such as claude-code@laptop: `context.agent_id`
    #[arg(long, value_name = "ID")]
    agent_id: Option<String>,
    /// A field of the context: NAME=TEXT, or NAME:=JSON for any other value; repeat for more
    #[arg(long = "context", value_name = "FIELD", value_parser = context_field)]
    context: Vec<(String, Value)>,
}

impl EventFields {
    /// Takes an option that is one of the fields; nothing when it is none, or is not plainly right.
    fn take<'a>(&mut self, quick: &mut Quick<'a>, name: &str, attached: Option<&'a str>) -> Option<()> {
        match name {
            "--spec-id" => quick.set(&mut self.spec_id, attached),
            "--task-id" => quick.set(&mut self.task_id, attached),
            "--file" | "-f" => {
                self.files.push(quick.value(attached)?.to_owned());
                Some(())
            }
            "--progress" => {
                quick.set(&mut self.progress, attached)?;
                self.progress.filter(|percent| *percent <= 100).map(drop)
            }
            "--message" => quick.set(&mut self.message, attached),
            "--agent-id" => quick.set(&mut self.agent_id, attached),
            "--context" => {
                self.context.push(context_field(quick.value(attached)?).ok()?);
                Some(())
            }
            _ => None,
        }
    }

    /// Whether none is given.
    pub(super) fn is_empty(&self) -> bool {
        let EventFields { spec_id, task_id, files, progress, message, agent_id, context } = self;
        spec_id.is_none()
            && task_id.is_none()
            && files.is_empty()
            && progress.is_none()
            && message.is_none()
            && agent_id.is_none()
            && context.is_empty()
    }
}

/// How an event is emitted, whatever it is made from.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct EmitOptions {
    /// Show which hooks would run; run and record nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Say of every hook why it did or did not match
    #[arg(long)]
    pub(super) explain: bool,
    /// Print the result as one JSON document
    #[arg(long, conflicts_with = "jsonl")]
    pub(super) json: bool,
    /// Print one JSON document a line while hooks run: started, output, ended, and the report
    #[arg(long)]
    pub(super) jsonl: bool,
    /// Write the result for other tools: junit=FILE, sarif=FILE, github (annotations), summary[=FILE] (a step
    /// summary in Markdown); repeat for more
    #[arg(long, value_name = "FORM", conflicts_with = "dry_run")]
    pub(super) report: Vec<Wanted>,
    /// Return only when the event is on the disk; exit with 74 when it cannot be stored
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) durable: bool,
    /// Exit with 3 unless exactly the reviewed content decided: it is untrusted, changed or absent, or a hook that should
    /// have run did not; with 2 when it has an error
    #[arg(long)]
    pub(super) strict: bool,
    /// Show the output of every hook while it runs, its name before each line
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// Say nothing about hooks that succeeded
    #[arg(long, short)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) project: ProjectOptions,
    #[command(flatten)]
    pub(super) trust: TrustOptions,
}

/// A type of ours, by its own name or by one that any version of the sync wire has for it.
fn event_type(text: &str) -> Result<EventType, InvalidEventType> {
    // A name of the wire has capital letters, so that it is never a type of ours.
    text.parse().or_else(|error| Kind::from_wire_name(text).map(Kind::event_type).ok_or(error))
}

fn context_field(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && name != ":" => match name.strip_suffix(':') {
            Some(name) => match serde_json::from_str(value) {
                Ok(value) => Ok((name.to_owned(), value)),
                Err(error) => Err(format!("after `{name}:=` JSON is wanted: {error}")),
            },
            None => Ok((name.to_owned(), value.into())),
        },
        _ => Err("NAME=TEXT or NAME:=JSON is wanted".into()),
    }
}

impl super::Command for Emit {
    fn quick(arguments: &[OsString]) -> Option<Self> {
        let mut quick = Quick::new(arguments);
        let (mut kind, mut fields, mut how) = (None, EventFields::default(), EmitOptions::default());
        while let Some(argument) = quick.next()? {
            match argument {
                Argument::Plain(text) if kind.is_none() => kind = Some(event_type(text).ok()?),
                Argument::Plain(_) => return None,
                Argument::Option(name, attached) => {
                    fields.take(&mut quick, name, attached).or_else(|| how.take(&mut quick, name, attached))?;
                }
            }
        }
        let kind = kind.filter(|_| how.agree())?;
        Some(Emit { kind, fields, how })
    }

    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let Emit { kind, fields, how } = self;
        let draft = fields.draft(kind);
        let emitter = how.open()?;
        let exit = how.emit(&emitter, draft, "emit", "the event", terminal);
        emitter.end_with_process();
        exit
    }
}

impl EventFields {
    /// An event of type `kind` with these fields.
    pub(super) fn draft(self, kind: EventType) -> EventDraft {
        // Agents report from several machines; flowspec's progress hook reads this field.
        let machine = (kind.domain() == "agent").then(crate::sys::host_name);
        let fields: [(&str, Option<Value>); 6] = [
            ("task_id", self.task_id.map(Value::from)),
            ("feature", self.spec_id.clone().map(Value::from)),
            ("agent_id", self.agent_id.map(Value::from)),
            ("machine", machine.map(Value::from)),
            ("progress_percent", self.progress.map(Value::from)),
            ("status_message", self.message.map(Value::from)),
        ];
        let mut draft = EventDraft::new(kind);
        if let Some(feature) = self.spec_id {
            draft = draft.feature(feature);
        }
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        for (name, value) in given.chain(self.context) {
            draft = draft.context(name, value);
        }
        for file in self.files {
            draft = draft.artifact("file", file);
        }
        draft
    }
}

impl EmitOptions {
    /// Opens the emitter.
    pub(super) fn open(&self) -> Result<Emitter, CliError> {
        self.project.emitter_as(&self.trust, self.dry_run, self.strict)
    }

    /// Emits `draft`, or shows what would happen. `origin` names where it came from, for an error.
    pub(super) fn emit(
        &self,
        emitter: &Emitter,
        draft: EventDraft,
        source: &'static str,
        origin: &str,
        terminal: &mut Terminal,
    ) -> Result<Exit, CliError> {
        results::check(&self.report)?;
        if self.dry_run {
            let preview = emitter.preview(draft).map_err(|error| refused(origin, &error))?;
            self.show_preview(emitter, &preview, terminal);
            self.explain(emitter, &preview.event, terminal);
            let unreviewed = emitter.unreviewed().filter(|_| self.strict);
            return Ok(unreviewed.map_or(Exit::Fine, |why| ending::strict_exit(why, terminal)));
        }
        let report = self.watched(source, terminal, |emission| emitter.emit_as(draft, emission));
        emitter.release_signals();
        terminal.end_live();
        if let Some(error) = &report.refused {
            return Err(refused(origin, error));
        }
        let exit = self.show(emitter, &report, terminal);
        Ok(self.conclude(emitter, &[report], exit, terminal))
    }

    /// What `emit` does, seen by whoever wants to see hooks while they run.
    pub(super) fn watched(
        &self,
        source: &'static str,
        terminal: &mut Terminal,
        emit: impl FnOnce(Emission<'_>) -> EmitReport,
    ) -> EmitReport {
        let live = Live::new(self.shown(), terminal);
        let watcher: Option<&dyn Watcher> = if self.json { None } else { Some(&live) };
        emit(Emission { source, watcher, durable: self.durable })
    }

    fn shown(&self) -> Show {
        Show { json: self.json, lines: self.jsonl, verbose: self.verbose, quiet: self.quiet }
    }

    /// Shows what became of one event; how the command ends by it.
    pub(super) fn show(&self, emitter: &Emitter, report: &EmitReport, terminal: &mut Terminal) -> Exit {
        let explained = report.event.as_ref().filter(|_| self.explain).map(|event| explain_all(emitter, event));
        let explained = explained.as_deref().map(|all| (emitter.loaded(), all));
        let exit = ending::show(report, self.shown(), explained, self.strict, terminal);
        if let Some(event) = &report.event {
            self.explain(emitter, event, terminal);
        }
        exit
    }

    /// Tells once what is told of all events together, and writes the reports that were asked for. `exit` is how the
    /// command ends otherwise.
    pub(super) fn conclude(
        &self,
        emitter: &Emitter,
        reports: &[EmitReport],
        exit: Exit,
        terminal: &mut Terminal,
    ) -> Exit {
        let sync = reports.iter().rev().find_map(|report| report.sync.as_ref());
        if let Some(sync) = sync.filter(|_| terminal.is_terminal() && self.shown().is_for_people()) {
            standing::inline(sync, &UserFolders::of_this_process(), terminal);
        }
        let root = emitter.project().root();
        let written = results::write(&self.report, reports, root, self.json || self.jsonl, terminal);
        written.err().map_or(exit, |error| {
            terminal.error(&error);
            // What the hooks said weighs more.
            if exit == Exit::Fine { error.exit } else { exit }
        })
    }

    /// Says of every hook why it did or did not match; in JSON that is a part of the document.
    fn explain(&self, emitter: &Emitter, event: &Event, terminal: &mut Terminal) {
        if self.explain && !self.json && !self.jsonl {
            terminal.line("");
            for explained in explain_all(emitter, event) {
                explain::show(emitter.loaded(), &explained, false, &[], terminal);
            }
        }
    }

    fn show_preview(&self, emitter: &Emitter, preview: &Preview, terminal: &mut Terminal) {
        let name = |index: usize| emitter.loaded().hooks[index].hook.name.as_str();
        if self.json || self.jsonl {
            let hooks = preview.hooks.iter().map(|(matched, verdict)| {
                let hook = &emitter.loaded().hooks[matched.hook].hook;
                json!({
                    "hook": name(matched.hook),
                    "hook_name": name(matched.hook),
                    "matched": matched.reason(emitter.loaded()),
                    "would_run": *verdict == Verdict::Trusted && hook.enabled,
                    "enabled": hook.enabled,
                    "trust": verdict.to_string(),
                })
            });
            let hooks: Vec<Value> = hooks.collect();
            #[derive(serde::Serialize)]
            struct Document {
                dry_run: bool,
                event: Option<Box<RawValue>>,
                hooks: Vec<Value>,
                #[serde(skip_serializing_if = "Option::is_none")]
                explained: Option<Vec<Value>>,
            }
            let event = RawValue::from_string(preview.event.json().text().to_owned()).ok();
            let explained = self.explain.then(|| {
                let all = explain_all(emitter, &preview.event);
                all.iter().map(|explained| explain::document(emitter.loaded(), explained, &[])).collect()
            });
            terminal.json(&Document { dry_run: true, event, hooks, explained });
        } else {
            terminal.line(&format!("{}  (dry run, nothing is run or recorded)", preview.event.kind()));
            for (matched, verdict) in &preview.hooks {
                let loaded_hook = &emitter.loaded().hooks[matched.hook];
                let (what, trust) = match verdict {
                    Verdict::Trusted if loaded_hook.hook.enabled => ("would run", String::new()),
                    Verdict::Trusted => {
                        let place = emitter.loaded().place_of_disabling(loaded_hook);
                        ("would not run", format!(": disabled ({place})"))
                    }
                    _ => ("would not run", format!(": {verdict}")),
                };
                let hook = terminal.paint(Paint::Bold, name(matched.hook));
                terminal.line(&format!(
                    "  {hook} {what}{} ({})",
                    one_line(&trust),
                    one_line(&matched.reason(emitter.loaded()))
                ));
            }
            if preview.hooks.is_empty() {
                terminal.line("  no hook matches");
            }
        }
        for warning in &preview.warnings {
            terminal.warning(warning);
        }
        for problem in emitter.problems() {
            terminal.problem(problem);
        }
    }
}

/// An event that cannot be accepted: `origin:line:column: what`.
pub(super) fn refused(origin: &str, error: &EventError) -> CliError {
    let place = error.place().map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
    CliError::usage(format!("{origin}{place}: {}", error.problem()))
        .hint("`knockon schema event` prints the rules of an event")
}
