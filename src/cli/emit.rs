//! `knockon emit`: an event from flags.

use super::artifact;
use super::ending::{self, Show};
use super::error::{CliError, Exit};
use super::explain;
use super::live::Live;
use super::options::{ProjectOptions, TrustOptions};
use super::preview;
use super::quick::{Argument, Quick};
use super::results::{self, Wanted};
use super::standing;
use super::terminal::Terminal;
use crate::dispatch::Watcher;
use crate::emitter::{Emission, EmitReport, Emitter};
use crate::event::{Event, EventDraft, EventError, EventType, InvalidEventType};
use crate::explanation::explain_all;
use crate::json::Json;
use crate::project::UserFolders;
use crate::text::one_line;
use crate::work_package::Kind;
use clap::Args;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    #[arg(long, value_name = "ID", visible_alias = "feature")]
    spec_id: Option<String>,
    /// The task: `context.task_id`
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    /// A file that took part; repeat for more: `artifacts`
    #[arg(long = "file", short = 'f', value_name = "PATH")]
    files: Vec<PathBuf>,
    /// How far an agent is, in percent: `context.progress_percent`
    #[arg(long, short = 'p', value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    progress: Option<u8>,
    /// What an agent reports: `context.status_message`
    #[arg(long, short = 'm', value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
    /// The agent: `context.agent_id` (for agent.*, by default the agent or `cli`, then `@` and the host)
    #[arg(long, value_name = "ID")]
    agent_id: Option<String>,
    /// A field of the context: NAME=TEXT, or NAME:=JSON for any other value, kept byte for byte; A.B=TEXT is the field B in
    /// A; repeat for more
    #[arg(long = "context", value_name = "FIELD", value_parser = context_field)]
    context: Vec<ContextField>,
}

impl EventFields {
    /// Takes an option that is one of the fields; nothing when it is none, or is not plainly right.
    fn take<'a>(&mut self, quick: &mut Quick<'a>, name: &str, attached: Option<&'a str>) -> Option<()> {
        match name {
            "--spec-id" | "--feature" => quick.set(&mut self.spec_id, attached),
            "--task-id" => quick.set(&mut self.task_id, attached),
            "--file" | "-f" => {
                self.files.push(quick.value(attached)?.into());
                Some(())
            }
            "--progress" | "-p" => {
                quick.set(&mut self.progress, attached)?;
                self.progress.filter(|percent| *percent <= 100).map(drop)
            }
            "--message" | "-m" => quick.set(&mut self.message, attached),
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
    /// summary in Markdown); `-` is standard output; repeat for more
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

/// A field of the context, as it was given.
#[derive(Clone, Debug)]
pub(super) struct ContextField {
    path: Vec<String>,
    /// As JSON.
    value: String,
}

fn context_field(text: &str) -> Result<ContextField, String> {
    let wanted = || "expected NAME=TEXT or NAME:=JSON".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(wanted)?;
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => {
            // Counted from the beginning of the argument.
            let before = name.chars().count() + ":=".len();
            Json::parse(value.as_bytes()).map_err(|error| {
                let column = if error.line == 1 { error.column + before } else { error.column };
                format!("line {}, column {column}: {}", error.line, error.problem)
            })?;
            (name, value.to_owned())
        }
        None => (name, json!(value).to_string()),
    };
    let path: Vec<String> = name.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(wanted());
    }
    Ok(ContextField { path, value })
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
        how.reported(terminal, |terminal| {
            let emitter = how.open()?;
            let draft = fields.draft(kind, emitter.project().root(), terminal)?;
            let exit = how.emit(&emitter, draft, "emit", "the event", terminal);
            emitter.end_with_process();
            exit
        })
    }
}

impl EventFields {
    /// An event of type `kind` with these fields, in the project at `root`. An empty value counts as absent.
    ///
    /// # Errors
    /// A field of the context is given a value and fields of its own.
    pub(super) fn draft(self, kind: EventType, root: &Path, terminal: &mut Terminal) -> Result<EventDraft, CliError> {
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        let is_agent = kind.domain() == "agent";
        let spec = given(self.spec_id);
        let agent_id = given(self.agent_id).or_else(|| is_agent.then(|| default_agent(&self.context)));
        // Agents report from several machines; flowspec's progress hook reads this field.
        let machine = is_agent.then(crate::sys::host_name);
        let fields: [(&str, Option<Value>); 6] = [
            ("task_id", given(self.task_id).map(Value::from)),
            ("feature", spec.clone().map(Value::from)),
            ("agent_id", agent_id.map(Value::from)),
            ("machine", machine.map(Value::from)),
            ("progress_percent", self.progress.map(Value::from)),
            ("status_message", given(self.message).map(Value::from)),
        ];
        let mut draft = EventDraft::new(kind);
        if let Some(feature) = spec {
            draft = draft.feature(feature);
        }
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            draft = draft.context(name, value);
        }
        for ContextField { path, value } in self.context {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let added = draft.context_json(&path, &value);
            draft = added.map_err(|why| {
                CliError::usage(format!("--context {}: {}", one_line(&path.join(".")), one_line(&why)))
            })?;
        }
        for file in self.files {
            let warnings;
            (draft, warnings) = artifact::add(draft, &file, root);
            warnings.iter().for_each(|warning| terminal.warning(warning));
        }
        Ok(draft)
    }
}

/// The id of an agent that names none: `claude@laptop` where `context.agent` names it, else `cli@laptop`.
fn default_agent(context: &[ContextField]) -> String {
    let named = context.iter().find(|field| field.path == ["agent"]);
    let named = named.and_then(|field| serde_json::from_str::<String>(&field.value).ok());
    format!("{}@{}", named.as_deref().filter(|name| !name.is_empty()).unwrap_or("cli"), crate::sys::host_name())
}

impl EmitOptions {
    /// Opens the emitter.
    pub(super) fn open(&self) -> Result<Emitter, CliError> {
        self.project.emitter_as(&self.trust, self.dry_run, self.strict)
    }

    /// Does the work of a command. When it fails, the reports that were asked for say so.
    pub(super) fn reported<T>(
        &self,
        terminal: &mut Terminal,
        work: impl FnOnce(&mut Terminal) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let aside = self.json || self.jsonl;
        let wanted = |error: &CliError| !self.dry_run && error.exit != Exit::Io;
        work(terminal).inspect_err(|error| {
            if wanted(error) && results::check(&self.report, aside).is_ok() {
                results::write_failure(&self.report, error, aside, terminal);
            }
        })
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
        self.place_reports(terminal)?;
        if self.dry_run {
            let preview = emitter.preview(draft).map_err(|error| refused(origin, &error))?;
            preview::show(emitter, &preview, (self.json || self.jsonl, self.explain), terminal);
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
        Show {
            json: self.json,
            lines: self.jsonl,
            verbose: self.verbose,
            quiet: self.quiet,
            elsewhere: self.project.is_named(),
        }
    }

    /// Shows what became of one event; how the command ends by it.
    pub(super) fn show(&self, emitter: &Emitter, report: &EmitReport, terminal: &mut Terminal) -> Exit {
        let explained = report.event.as_ref().filter(|_| self.explain).map(|event| explain_all(emitter, event));
        let explained = explained.as_deref().map(|all| (emitter.loaded(), all));
        if self.verbose
            && let Some(outer) = emitter.outer_project()
        {
            let (root, outer) = (emitter.project().root().display().to_string(), outer.display().to_string());
            terminal.note(&one_line(&format!("{root} lies in the project {outer}, whose hooks do not run here")));
        }
        if let Some(commit) = emitter.commit().filter(|_| !self.quiet) {
            let (reference, id) = (one_line(&commit.reference), commit.commit.get(..12).unwrap_or(&commit.commit));
            terminal.note(&format!("these are the hooks of {reference}, commit {id}"));
        }
        let exit = ending::show(report, self.shown(), explained, self.strict, terminal);
        if let Some(event) = &report.event {
            self.explain(emitter, event, terminal);
        }
        exit
    }

    /// Finds a place for every report that is asked for. One on standard output sends the result to standard error.
    ///
    /// # Errors
    /// One has none.
    pub(super) fn place_reports(&self, terminal: &mut Terminal) -> Result<(), CliError> {
        results::check(&self.report, self.json || self.jsonl)?;
        if !self.dry_run && self.report.iter().any(Wanted::is_on_stdout) {
            terminal.divert();
        }
        // JSON has what hooks print in quotes.
        if self.report.contains(&Wanted::Github) && !(self.dry_run || self.json || self.jsonl) {
            terminal.stop_commands();
        }
        Ok(())
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
        let project = emitter.project();
        let written = results::write(&self.report, reports, project, self.json || self.jsonl, terminal);
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
}

/// An event of JSON Lines that cannot be accepted: `origin:line:column: what`.
pub(super) fn refused_line(origin: &str, line: usize, error: &EventError) -> CliError {
    let column = error.place().map(|(_, column)| format!(":{column}")).unwrap_or_default();
    CliError::usage(format!("{origin}:{line}{column}: {}; no event was emitted", error.problem()))
        .hint("`knockon schema event` prints the rules of an event")
}

/// An event that cannot be accepted: `origin:line:column: what`.
pub(super) fn refused(origin: &str, error: &EventError) -> CliError {
    let place = error.place().map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
    CliError::usage(format!("{origin}{place}: {}", error.problem()))
        .hint("`knockon schema event` prints the rules of an event")
}
