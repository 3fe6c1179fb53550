//! What became of an event, for people and for programs.

use super::diagnostics;
use super::error::Exit;
use super::explain;
use super::terminal::{Paint, Terminal};
use crate::config::{Diagnostic, Loaded, OutputMode};
use crate::delivery::{Captured, Decision, Merged, NotRun, Outcome, SkippedBy, Status};
use crate::dispatch::HookReport;
use crate::emitter::{EmitReport, MissingGuard, Sync, Unreviewed};
use crate::explanation::HookExplanation;
use crate::store::Stay;
use crate::text::{count, one_line, terminal_safe};
use crate::time::{human, millis};
use crate::trust::Verdict;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Serialize;
use serde_json::value::RawValue;

/// How many lines of a failed hook's output are shown.
const SHOWN_LINES: usize = 10;

/// How many places are named of hooks that are disabled.
const SHOWN_PLACES: usize = 3;
/// How many problems of the configuration are shown.
const SHOWN_PROBLEMS: usize = 10;

/// How a report is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Show {
    /// As one JSON document.
    pub(super) json: bool,
    /// As one JSON document a line, each as soon as it is known.
    pub(super) lines: bool,
    /// The output of every hook, not only of those that failed.
    pub(super) verbose: bool,
    /// Nothing about hooks that succeeded.
    pub(super) quiet: bool,
    /// Whether the project or its configuration was named: it may not be that of the current folder.
    pub(super) elsewhere: bool,
}

impl Show {
    /// Whether a person is to see what there is to see.
    pub(super) fn is_for_people(self) -> bool {
        !(self.json || self.lines || self.quiet)
    }
}

/// Shows a report and says how the command ends. `strict`: hooks that should have run and did not are an error.
/// `explained`: every hook with why it did or did not match, for the document.
pub(super) fn show(
    report: &EmitReport,
    show: Show,
    explained: Option<(&Loaded, &[HookExplanation])>,
    strict: bool,
    terminal: &mut Terminal,
) -> Exit {
    if show.json || show.lines {
        let explained =
            explained.map(|(loaded, all)| all.iter().map(|one| explain::document(loaded, one, &[])).collect());
        let kind = show.lines.then_some("report");
        terminal.json(&Document { explained, kind, ..Document::of(report) });
    } else {
        for_people(report, show, terminal);
    }
    notes(report, show, strict, terminal);
    exit(report, strict, terminal)
}

/// How a strict command ends when it was not the reviewed content that decided.
pub(super) fn strict_exit(why: &Unreviewed, terminal: &mut Terminal) -> Exit {
    terminal.note(&format!("--strict: {}", terminal_safe(&why.to_string())));
    match why {
        Unreviewed::Invalid(_) => Exit::Usage,
        Unreviewed::Untrusted(_) => Exit::Untrusted,
    }
}

/// What is told on standard error, whatever the form of the result.
fn notes(report: &EmitReport, show: Show, strict: bool, terminal: &mut Terminal) {
    if let Some(why) = &report.not_stored {
        terminal.note(&format!("the event is not stored: {}", terminal_safe(why)));
    }
    for warning in report.warnings.iter().chain(&report.dispatched.unrecorded) {
        terminal.warning(warning);
    }
    for problem in report.problems.iter().take(SHOWN_PROBLEMS) {
        terminal.problem(problem);
    }
    if report.problems.len() > SHOWN_PROBLEMS {
        terminal.note("further problems are not shown: see `knockon validate`");
    }
    if let Some(message) = report.answer.as_ref().and_then(|answer| answer.system_message.as_ref()) {
        terminal.note(&terminal_safe(message));
    }
    if let Some(verdict) = &report.dispatched.blocked {
        let blocked = report.hooks().iter().filter(|hook| hook.outcome.status == Status::BlockedUntrusted);
        let (enabled, disabled): (Vec<_>, Vec<_>) = blocked.partition(|hook| hook.enabled);
        let names = names_of(&enabled);
        let hooks = match (enabled.len(), disabled.len()) {
            (0, disabled) => format!("{} did not run (now disabled)", count(disabled, "hook")),
            (enabled, 0) => format!("{} did not run ({names})", count(enabled, "hook")),
            (enabled, disabled) => {
                format!("{} did not run ({names}; {disabled} more are disabled)", count(enabled, "hook"))
            }
        };
        let advice = match verdict {
            Verdict::Refused(_) => "correct that first",
            _ if show.elsewhere => "review with `knockon trust` and the same --project-root or --config",
            _ => "review with `knockon trust`",
        };
        let why = match verdict {
            Verdict::Changed(_) => format!(": the content {verdict}"),
            _ => format!(", {verdict}"),
        };
        terminal.note(&format!("{hooks}{}; {advice}", one_line(&why)));
    }
    not_run_notes(report, show, terminal);
    for guard in &report.guards {
        let why = one_line(&guard.why);
        let message = format!("the guard `{}` did not run: {why}; {}", one_line(&guard.name), guard.help);
        terminal.warning(&message);
    }
    // With `--strict` it ends the command, and is said then.
    if let Some(why) = report.unreviewed.as_ref().filter(|_| !strict) {
        terminal.warning(&one_line(&why.to_string()));
    }
    for followed in &report.followed {
        if let Some(refused) = &followed.refused {
            terminal.warning(&format!("an event that a hook asked for was not emitted: {refused}"));
        }
        notes(followed, show, strict, terminal);
    }
}

/// The names of the first hooks, for a note.
fn names_of(hooks: &[&HookReport]) -> String {
    let names: Vec<String> = hooks.iter().take(SHOWN_PLACES).map(|hook| format!("`{}`", hook.name)).collect();
    names.join(", ") + if hooks.len() > SHOWN_PLACES { ", …" } else { "" }
}

/// Why hooks that matched did not run, apart from trust: one line a reason.
fn not_run_notes(report: &EmitReport, show: Show, terminal: &mut Terminal) {
    let mut reasons: Vec<(String, Vec<&HookReport>)> = Vec::new();
    let disabled = report.hooks().iter().map(|hook| &hook.outcome);
    let disabled = disabled.filter(|outcome| outcome.not_run == Some(NotRun::Disabled) && !show.quiet);
    let places: Vec<String> = disabled.map(|outcome| outcome.summary()).collect();
    if let Some(first) = places.first() {
        let number = count(places.len(), "hook");
        let (match_, are) = if places.len() == 1 { ("matches", "is") } else { ("match", "are") };
        let shown =
            places.iter().take(SHOWN_PLACES).map(|place| place.trim_start_matches("disabled (").trim_end_matches(')'));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let rest = if places.len() > SHOWN_PLACES { ", …" } else { "" };
        let text = if places.len() == 1 { first.clone() } else { format!("disabled ({shown}{rest})") };
        terminal.note(&one_line(&format!("{number} {match_} but {are} {text}")));
    }
    for hook in report.hooks() {
        let outcome = &hook.outcome;
        let text = match (outcome.not_run, outcome.skipped_by) {
            (Some(NotRun::InvalidConfig), _) => format!("did not run: {}", hook.reason),
            (Some(NotRun::Skipped), Some(SkippedBy::Environment | SkippedBy::Chain | SkippedBy::Unsupported)) => {
                format!("did not run: {}", outcome.summary())
            }
            _ => continue,
        };
        match reasons.iter_mut().find(|(known, _)| *known == text) {
            Some((_, hooks)) => hooks.push(hook),
            None => reasons.push((text, vec![hook])),
        }
    }
    for (text, hooks) in reasons {
        let text = if hooks.len() > 1 { text.replace(": its ", ": their ") } else { text };
        terminal.note(&one_line(&format!("{} ({}) {text}", count(hooks.len(), "hook"), names_of(&hooks))));
    }
    if report.problems.iter().any(Diagnostic::disables_file) {
        terminal.note("the hooks of that file did not run: `knockon validate` shows what to correct");
    }
}

/// How the command ends, by an event and those that followed from it.
fn exit(report: &EmitReport, strict: bool, terminal: &mut Terminal) -> Exit {
    // Of all of them: whoever ends knockon wants to see that it ended for that.
    if let Some(signal) = report.interrupted() {
        return Exit::Interrupted(signal);
    }
    if let Some(why) = report.unreviewed.as_ref().filter(|_| strict) {
        return strict_exit(why, terminal);
    }
    if let Some(hook) = report.stopped_by() {
        let message = if hook.outcome.blocked { hook.outcome.blocked_because() } else { hook.outcome.summary() };
        terminal.note(&format!("`{}` stops this: {}", hook.name, terminal_safe(&message)));
        return Exit::Stopped;
    }
    if report.guards_enforced {
        terminal.note("`guards: enforce` of the settings stops this");
        return Exit::Stopped;
    }
    if report.not_stored.is_some() {
        return Exit::Io;
    }
    let own = if strict { strict_exit_of_hooks(report, terminal) } else { Exit::Fine };
    report.followed.iter().map(|followed| exit(followed, strict, terminal)).fold(own, |exit, followed| match exit {
        Exit::Fine => followed,
        worse => worse,
    })
}

/// How a strict command ends by the hooks of an event that should have run and did not.
fn strict_exit_of_hooks(report: &EmitReport, terminal: &mut Terminal) -> Exit {
    let did_not_run = |outcome: &Outcome| outcome.is_missed() || outcome.could_not_start();
    let missed = report.hooks().iter().filter(|hook| did_not_run(&hook.outcome));
    let missed: Vec<String> = missed.map(|hook| format!("`{}`", hook.name)).collect();
    if missed.is_empty() {
        return Exit::Fine;
    }
    terminal.note(&format!("{} should have run and did not", one_line(&missed.join(", "))));
    Exit::Untrusted
}

fn for_people(report: &EmitReport, show: Show, terminal: &mut Terminal) {
    let Some(event) = &report.event else { return };
    if !show.quiet {
        let header = format!("{}  {}", event.kind(), event.id());
        let header = terminal.paint(Paint::Dim, &header);
        terminal.line(&header);
        if report.hooks().is_empty() && report.problems.is_empty() {
            let none = terminal.paint(Paint::Dim, "  no hook matched");
            terminal.line(&none);
        }
    }
    let width = report.hooks().iter().map(|hook| hook.name.len()).max().unwrap_or(0);
    for hook in report.hooks() {
        let uneventful = matches!(hook.outcome.status, Status::Success | Status::Skipped | Status::Detached);
        // One line about all of them goes to standard error.
        let told_elsewhere =
            matches!(hook.outcome.status, Status::BlockedUntrusted | Status::Disabled | Status::Invalid);
        if !(told_elsewhere || show.quiet && uneventful) {
            hook_lines(hook, width, show, terminal);
        }
    }
    for followed in &report.followed {
        for_people(followed, show, terminal);
    }
}

fn hook_lines(hook: &HookReport, width: usize, show: Show, terminal: &mut Terminal) {
    let outcome = &hook.outcome;
    let (mark, paint) = match outcome.status {
        Status::Success => ("✓", Paint::Good),
        _ if outcome.is_missed() => ("✗", Paint::Bad),
        Status::Skipped | Status::Detached | Status::Disabled => ("-", Paint::Dim),
        Status::Failed
        | Status::Timeout
        | Status::Error
        | Status::Interrupted
        | Status::BlockedUntrusted
        | Status::Invalid => ("✗", Paint::Bad),
    };
    let mark = terminal.paint(paint, mark);
    let time = if outcome.pid.is_some() { human(outcome.duration) } else { String::new() };
    let why = if outcome.status == Status::Success { String::new() } else { one_line(&outcome.summary()) };
    let tries = if hook.attempts > 1 { format!("  (attempt {})", hook.attempts) } else { String::new() };
    let leaky = match (outcome.survivors, outcome.leaky) {
        (true, _) => "  (processes that it started may still run)",
        (false, true) => "  (left a process with its output open)",
        (false, false) => "",
    };
    terminal.line(format!("  {mark} {:<width$}  {time:>9}  {why}{tries}{leaky}", hook.name).trim_end());
    if let Some(help) = &outcome.help {
        terminal.line(&format!("      {}", one_line(help)));
    }
    let answer = outcome.answer.as_ref();
    for annotation in answer.iter().flat_map(|answer| &answer.annotations) {
        let line = annotation.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place = annotation.file.as_ref().map(|file| format!("{file}{line}: ")).unwrap_or_default();
        terminal.line(&format!("      {}", one_line(&format!("{place}{}: {}", annotation.level, annotation.message))));
    }
    let wanted = match hook.output {
        // It was shown while it came.
        output if show.is_live(output) => false,
        OutputMode::OnFailure | OutputMode::Live => outcome.status.is_failure(),
        OutputMode::Always => true,
        OutputMode::Never => false,
    };
    if wanted {
        let limit = if hook.output == OutputMode::Always { usize::MAX } else { SHOWN_LINES };
        // What it printed is its answer, and told as such.
        let printed = answer.is_none_or(|answer| answer.unreadable || !answer.suppress_output && !answer.blocks());
        for stream in [Some(&outcome.stdout).filter(|_| printed), Some(&outcome.stderr)].into_iter().flatten() {
            for line in stream.last_lines(limit) {
                let line = format!("      {}", terminal.of_hook(&line));
                terminal.line(&line);
            }
        }
    }
}

/// The report as one JSON document; `hooks_executed`, `all_successful` and `results` are what flowspec
/// calls them.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    event: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_stored: Option<&'a str>,
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<SyncDocument>,
    outcome: &'static str,
    hooks_executed: usize,
    all_successful: bool,
    blocked: Option<String>,
    stopped_by: Option<&'a str>,
    results: Vec<ResultDocument<'a>>,
    /// Trusted guards that did not run because their content is another one now, or gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guards: Vec<GuardDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreviewed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a Merged>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    followed: Vec<Document<'a>>,
    warnings: Vec<&'a str>,
    problems: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<Vec<serde_json::Value>>,
}

/// A trusted guard that did not run.
#[derive(Serialize)]
pub(super) struct GuardDocument<'a> {
    hook_name: &'a str,
    reason: &'a str,
}

impl<'a> GuardDocument<'a> {
    pub(super) fn of(guard: &'a MissingGuard) -> Self {
        GuardDocument { hook_name: &guard.name, reason: &guard.why }
    }
}

/// What became of an event on its way to the team.
#[derive(Serialize)]
struct SyncDocument {
    queued: bool,
    project: &'static str,
    depth: u64,
}

impl SyncDocument {
    fn of(sync: &Sync) -> Self {
        let queued = matches!(sync.stay, Stay::Queued | Stay::Known);
        SyncDocument { queued, project: sync.consent.as_str(), depth: sync.depth }
    }
}

#[derive(Serialize)]
struct ResultDocument<'a> {
    hook: &'a str,
    hook_name: &'a str,
    fail_mode: &'static str,
    matched: &'a str,
    attempts: u32,
    #[serde(flatten)]
    outcome: OutcomeDocument<'a>,
}

/// How an attempt ended, as one line of a stream.
#[derive(Serialize)]
pub(super) struct EndedDocument<'a> {
    kind: &'static str,
    hook: &'a str,
    hook_name: &'a str,
    attempt: u32,
    #[serde(flatten)]
    outcome: OutcomeDocument<'a>,
}

#[derive(Serialize)]
struct OutcomeDocument<'a> {
    status: &'static str,
    success: bool,
    /// Why it did not run: `disabled`, `untrusted`, `refused`, `invalid_config`, `skipped`, `deferred`.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<&'static str>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    /// Whole milliseconds, as flowspec has it, and whole microseconds.
    duration_ms: u64,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    error: Option<&'a str>,
    help: Option<&'a str>,
    leaky: bool,
    survivors: bool,
    stdout: String,
    stderr: String,
    /// Every byte that was kept in base 64 (RFC 4648), where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    stdout_bytes: u64,
    stderr_bytes: u64,
}

impl<'a> Document<'a> {
    fn of(report: &'a EmitReport) -> Self {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        let warnings = report.warnings.iter().chain(&report.dispatched.unrecorded);
        Document {
            kind: None,
            answer: report.answer.as_ref(),
            followed: report.followed.iter().map(Document::of).collect(),
            event: report.event.as_ref().and_then(|event| raw(event.json().text())),
            not_stored: report.not_stored.as_deref(),
            error: report.refused.as_ref().map(ToString::to_string),
            sync: report.sync.as_ref().map(SyncDocument::of),
            outcome: report.outcome().as_str(),
            guards: report.guards.iter().map(GuardDocument::of).collect(),
            unreviewed: report.unreviewed.as_ref().map(ToString::to_string),
            hooks_executed: report.hooks().iter().filter(|hook| hook.outcome.pid.is_some()).count(),
            all_successful: report.all_successful(),
            blocked: report.dispatched.blocked.as_ref().map(ToString::to_string),
            stopped_by: report.stopped_by().map(|hook| hook.name.as_str()),
            results: report.hooks().iter().map(ResultDocument::of).collect(),
            warnings: warnings.map(String::as_str).collect(),
            problems: report.problems.iter().map(|problem| diagnostics::document(problem, None)).collect(),
            explained: None,
        }
    }
}

impl<'a> ResultDocument<'a> {
    fn of(hook: &'a HookReport) -> Self {
        ResultDocument {
            hook: &hook.name,
            hook_name: &hook.name,
            fail_mode: hook.fail_mode.as_str(),
            matched: &hook.reason,
            attempts: hook.attempts,
            outcome: OutcomeDocument::of(&hook.outcome),
        }
    }
}

impl<'a> EndedDocument<'a> {
    pub(super) fn of(hook: &'a str, attempt: u32, outcome: &'a Outcome) -> Self {
        EndedDocument { kind: "ended", hook, hook_name: hook, attempt, outcome: OutcomeDocument::of(outcome) }
    }
}

impl<'a> OutcomeDocument<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let ran = outcome.pid.is_some();
        OutcomeDocument {
            status: outcome.status.as_str(),
            success: outcome.status == Status::Success,
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            not_run: outcome.not_run.map(NotRun::as_str),
            duration_ms: whole(outcome.duration.as_millis()),
            duration_us: whole(outcome.duration.as_micros()),
            cpu_ms: ran.then(|| millis(outcome.usage.cpu)),
            peak_kib: ran.then_some(outcome.usage.peak_kib),
            decision: outcome.answer().and_then(|answer| answer.decision).map(Decision::as_str),
            error: outcome.reason.as_deref(),
            help: outcome.help.as_deref(),
            leaky: outcome.leaky,
            survivors: outcome.survivors,
            stdout: outcome.stdout.text(),
            stderr: outcome.stderr.text(),
            stdout_base64: binary(&outcome.stdout),
            stderr_base64: binary(&outcome.stderr),
            stdout_bytes: outcome.stdout.bytes,
            stderr_bytes: outcome.stderr.bytes,
        }
    }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn binary(captured: &Captured) -> Option<String> {
    captured.is_binary().then(|| BASE64_STANDARD.encode(captured.bytes_kept()))
}
