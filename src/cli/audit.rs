//! `knockon audit`: what happened, record by record; whether the log is what was written; and its seal.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, point_in_time};
use super::story::Show;
use super::terminal::{Paint, Terminal, columns};
use crate::audit::{AuditError, AuditLog, AuditRecord, Entry, Found, Query, STATUSES, SealLine, Verified};
use crate::event::EventId;
use crate::matcher::TypeGlob;
use crate::project::UserFolders;
use crate::text::{count, one_line, shorten, terminal_safe, terminal_safe_json};
use crate::time::{Timestamp, human};
use clap::{Args, Subcommand};
use serde_json::json;
use std::borrow::Cow;
use std::io;
use std::time::Duration;

/// How many records are shown when nobody said how many.
const FEW: usize = 10;
/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Show what happened: the last records of the audit log, oldest first.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: Option<Action>,
    /// How many of the last records [default: 10; all with --since or --event]; without a number, go on with every record
    /// that is written, as --follow does
    #[arg(long, short = 'n', value_name = "N", num_args = 0..=1)]
    tail: Option<Option<usize>>,
    /// After those, go on with every record that is written, until Ctrl-C
    #[arg(long, short = 'f')]
    follow: bool,
    /// From when on: how long ago (30m, 2h, 7d, 2w), or a time in UTC (2026-11-21, 2026-11-21T10:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    since: Option<Timestamp>,
    /// Until when, in the same form [default: now]
    #[arg(long, value_name = "TIME", value_parser = point_in_time, conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// Only of the event with this id
    #[arg(long, value_name = "ID")]
    event: Option<EventId>,
    /// Only of this hook
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// Only of events of this type, or of these: task.*,spec.created
    #[arg(long = "type", value_name = "GLOB", value_delimiter = ',')]
    kind: Vec<String>,
    /// Only with this status, or with one of these: failed,timeout
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(STATUSES))]
    status: Vec<String>,
    #[command(flatten)]
    form: FormOptions,
    #[command(flatten)]
    project: ProjectOptions,
}

/// What else can be done with the log.
#[derive(Subcommand, Debug)]
enum Action {
    /// Show what became of one event, as a tree
    Show(Show),
    /// Check that the log is what was written: every link, every seal
    Verify(Verify),
    /// Print a line to keep elsewhere, which proves later what the log was; or accept the log as it is
    Seal(Seal),
}

/// How records are shown.
#[derive(Args, Clone, Copy, Debug)]
struct FormOptions {
    /// Print the records as one JSON document; with --follow, one JSON object a line
    #[arg(long, group = "form")]
    json: bool,
    /// Print the records as comma-separated values with a head line
    #[arg(long, group = "form")]
    csv: bool,
    /// Print the records as a table, as it is without this
    #[arg(long, group = "form")]
    table: bool,
}

/// Check that the log is what was written: that every record is linked to the one before, and that what was sealed is there.
/// Ends with 1 when it is not, and names the first bad record.
#[derive(Args, Debug)]
struct Verify {
    /// A line that `audit seal --print` printed; again for more
    #[arg(long, value_name = "LINE")]
    seal: Vec<SealLine>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

/// Print a line to keep elsewhere, or accept the log as it is.
#[derive(Args, Debug)]
struct Seal {
    /// Print a line that stands for all records up to now, for a git note or the log of a CI system; `audit verify --seal` checks it
    #[arg(long, required_unless_present = "accept")]
    print: bool,
    /// Take the log as it is for what it should be: seal it, and forget what was sealed before
    #[arg(long, conflicts_with = "print")]
    accept: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

/// Records that the user decided something. That it cannot be recorded is a warning: it was decided all the same.
pub(super) fn record_decision(log: &AuditLog, status: &'static str, hash: Option<String>, terminal: &mut Terminal) {
    let user = std::env::var("USER").unwrap_or_default();
    let host = crate::sys::host_name();
    let record = AuditRecord::decided(status, hash, Timestamp::now()).by(&user, &host);
    if let Err(error) = log.append(&record) {
        terminal.warning(&error.to_string());
    }
}

/// The log of the project that is asked about.
pub(super) fn log_of(project: &ProjectOptions) -> Result<AuditLog, CliError> {
    let user = UserFolders::of_this_process();
    let log = AuditLog::of(&project.project(&user)?, &user);
    log.merge_what_waits();
    Ok(log)
}

pub(super) fn failed(error: &AuditError) -> CliError {
    CliError::new(Exit::Io, error.to_string())
}

impl super::Command for Audit {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        match self.action {
            Some(Action::Show(show)) => show.run(terminal),
            Some(Action::Verify(verify)) => verify.run(terminal),
            Some(Action::Seal(seal)) => seal.run(terminal),
            None => self.ask(terminal),
        }
    }
}

impl Audit {
    fn ask(mut self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        // `--tail` alone follows, as `tail -f` does.
        self.follow |= self.tail == Some(None);
        let kinds: Result<Vec<TypeGlob>, _> = self.kind.iter().map(|kind| TypeGlob::parse(kind)).collect();
        let query = Query {
            since: self.since,
            until: self.until,
            event: self.event.map(|event| event.to_string()),
            hook: self.hook.clone(),
            kinds: kinds.map_err(|error| CliError::usage(format!("--type: {error}")))?,
            statuses: self.status.clone(),
        };
        let whole = self.since.is_some() || self.until.is_some() || self.event.is_some();
        let last = self.tail.flatten().or(if whole { None } else { Some(FEW) });
        let log = log_of(&self.project)?;
        let snapshot = log.snapshot().map_err(|error| failed(&error))?;
        let mut form = Form::new(self.form, self.follow, terminal);
        let found = log.select(&snapshot, &query, last, |entry| {
            form.show(&entry, terminal);
            Ok(())
        });
        let found = found.map_err(|error| failed(&error))?;
        form.end(terminal);
        if !self.form.json && !self.form.csv && found.records == 0 && !self.follow {
            self.say_nothing(&log, &query, found, terminal);
        }
        if found.unreadable > 0 {
            terminal.warning(&format!("{} of the log cannot be read", count(found.unreadable, "line")));
        }
        for problem in log.problems() {
            terminal.warning(&format!("{problem}; defaults hold, and no old record is removed"));
        }
        if self.follow {
            let follower = log.follow(snapshot).map_err(|error| failed(&error))?;
            follow(follower, &query, &mut form, terminal)?;
        }
        Ok(Exit::Fine)
    }

    fn say_nothing(&self, log: &AuditLog, query: &Query, found: Found, terminal: &mut Terminal) {
        let path = one_line(&log.path().to_string_lossy());
        terminal.line(&match (found.exists, self.tail.flatten()) {
            (false, _) => format!("nothing is recorded in {path}"),
            (true, Some(0)) => "no record was asked for".to_owned(),
            (true, _) if query.is_picky() => format!("no record in {path} is as you asked for"),
            (true, last) => format!("no record in the last {} of {path}", count(last.unwrap_or(FEW), "line")),
        });
    }
}

/// Shows what is added, until nobody reads it any more.
fn follow(
    mut follower: crate::audit::Follower<'_>,
    query: &Query,
    form: &mut Form,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    while !terminal.is_closed() {
        terminal.flush();
        let happened = follower.poll(&mut |entry| {
            if query.wants(&entry) {
                form.show(&entry, terminal);
            }
            Ok::<(), io::Error>(())
        });
        let happened = happened.map_err(|error| failed(&error))?;
        if happened.missed > 0 {
            terminal.warning(&format!("{} records were removed before they could be read", happened.missed));
        }
        if happened.is_new {
            terminal.warning("the log was begun anew; `knockon audit verify` says more");
        }
        terminal.flush();
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Records on their way to whoever reads them.
struct Form {
    options: FormOptions,
    follow: bool,
    shown: usize,
    /// A table is drawn when all of it is known, so that its columns fit.
    rows: Vec<(Vec<String>, Option<Paint>)>,
    widths: Vec<usize>,
}

/// The least widths of columns while a log is followed: time, type, hook, status, duration.
const FOLLOWED: &[usize] = &[20, 22, 20, 11, 7];

/// The columns of `--csv`.
const CSV: &[&str] = &[
    "timestamp",
    "event_id",
    "event_type",
    "hook",
    "status",
    "exit_code",
    "signal",
    "duration_ms",
    "attempt",
    "pid",
    "error",
];

impl Form {
    fn new(options: FormOptions, follow: bool, terminal: &mut Terminal) -> Self {
        if options.csv {
            terminal.text(&csv_line(CSV.iter().map(|name| (*name).to_owned()).collect()));
        } else if options.json && !follow {
            terminal.text("{\"entries\":[");
        }
        Form { options, follow, shown: 0, rows: Vec::new(), widths: Vec::new() }
    }

    fn show(&mut self, entry: &Entry, terminal: &mut Terminal) {
        if self.options.json {
            let comma = if self.follow || self.shown == 0 { "" } else { "," };
            let line = if terminal.is_terminal() { terminal_safe_json(&entry.line) } else { Cow::from(&entry.line) };
            terminal.text(comma);
            terminal.text(&line);
            if self.follow {
                terminal.text("\n");
            }
        } else if self.options.csv {
            let cell = |name: &&str| match entry.value(name) {
                None => String::new(),
                Some(serde_json::Value::String(text)) => spreadsheet_safe(&terminal_safe(text)),
                Some(other) => other.to_string(),
            };
            terminal.text(&csv_line(CSV.iter().map(cell).collect()));
        } else {
            let paint = match entry.text("status") {
                "emitted" | "started" | "skipped" | "disabled" | "detached" => Some(Paint::Dim),
                "success" => None,
                _ => Some(Paint::Bad),
            };
            self.rows.push((cells(entry, terminal.is_terminal()), paint));
            // Rows that come one by one keep the widths of those before.
            if self.follow && !self.widths.is_empty() {
                self.draw(terminal);
            }
        }
        self.shown += 1;
    }

    /// All that is there already was shown.
    fn end(&mut self, terminal: &mut Terminal) {
        if self.options.json && !self.follow {
            terminal.line(&format!("],\"count\":{}}}", self.shown));
        } else if !self.options.json && !self.options.csv {
            self.draw(terminal);
            if self.follow {
                // What comes later is to stand below what was before.
                self.widths.resize(FOLLOWED.len().max(self.widths.len()), 0);
                self.widths.iter_mut().zip(FOLLOWED).for_each(|(width, least)| *width = (*width).max(*least));
            }
        }
    }

    fn draw(&mut self, terminal: &mut Terminal) {
        let rows = std::mem::take(&mut self.rows);
        for (cells, _) in &rows {
            self.widths.resize(self.widths.len().max(cells.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (cells, paint) in rows {
            let padded: Vec<String> =
                cells.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let line = columns(&[padded]).concat();
            let line = paint.map_or_else(|| line.clone(), |paint| terminal.paint(paint, &line));
            terminal.line(&line);
        }
    }
}

/// A cell that a spreadsheet takes for text, whoever wrote the record: one that begins like a formula would be computed
/// (OWASP, CSV injection).
fn spreadsheet_safe(text: &str) -> String {
    let prefix = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("{prefix}{text}")
}

fn csv_line(cells: Vec<String>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Neither writing to a vector nor flushing it fails.
    let _ = writer.write_record(cells);
    writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn cells(entry: &Entry, on_terminal: bool) -> Vec<String> {
    let duration = entry.number("duration_ms").filter(|millis| (0.0..1e12).contains(millis));
    let duration = duration.map(|millis| human(Duration::from_secs_f64(millis / 1e3)));
    // Seconds are enough for people: 2025-12-02T15:30:45.123Z → 2025-12-02 15:30:45Z
    let time = entry.text("timestamp").get(..19).unwrap_or_default().replace('T', " ");
    let time = if time.is_empty() { time } else { format!("{time}Z") };
    let field = |name: &str, width: usize| one_line(&shorten(entry.text(name), width));
    // A program behind a pipe gets all of it.
    let width = if on_terminal { 80 } else { 4000 };
    let last = if entry.text("status") == "emitted" { field("event_id", 40) } else { field("error", width) };
    vec![
        one_line(&time),
        field("event_type", 32),
        field("hook", 32),
        field("status", 20),
        duration.unwrap_or_default(),
        last,
    ]
}

impl Verify {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let log = log_of(&self.project)?;
        let found = log.verify(&self.seal).map_err(|error| failed(&error))?;
        if self.json {
            terminal.json(&document(&log, &found));
        } else {
            tell(&log, &found, terminal);
        }
        Ok(if found.faults.is_empty() { Exit::Fine } else { Exit::Stopped })
    }
}

fn document(log: &AuditLog, found: &Verified) -> serde_json::Value {
    let faults = found.faults.iter().map(|fault| {
        let (file, line) = fault.place.as_ref().map(|(file, line)| (file.to_string_lossy(), *line)).unzip();
        json!({ "file": file, "line": line, "seq": fault.seq, "event_id": fault.event_id, "problem": fault.problem })
    });
    json!({
        "valid": found.faults.is_empty(),
        "file": log.path().to_string_lossy(),
        "records": found.records,
        "written_by_you": found.own,
        "not_written_by_you": found.others,
        "lines_of_other_programs": found.unnumbered,
        "bytes": found.bytes,
        "first_seq": found.range.map(|(first, _)| first),
        "last_seq": found.range.map(|(_, last)| last),
        "sealed_seq": found.sealed.as_ref().map(|head| head.seq),
        "sealed_at": found.sealed.as_ref().map(|head| head.sealed_at().to_string()),
        "faults": faults.collect::<Vec<_>>(),
        "notes": found.notes,
    })
}

fn tell(log: &AuditLog, found: &Verified, terminal: &mut Terminal) {
    for note in &found.notes {
        terminal.warning(note);
    }
    let path = one_line(&log.path().to_string_lossy());
    let records = count(usize::try_from(found.records).unwrap_or(usize::MAX), "record");
    if let Some(first) = found.faults.first() {
        let word = terminal.paint(Paint::Bad, "the log is not what was written:");
        terminal.line(&format!("{word} {}", one_line(&first.to_string())));
        for fault in &found.faults[1..] {
            terminal.line(&format!("  and {}", one_line(&fault.to_string())));
        }
        terminal.note(
            "keep the files if you want to find out who changed them; once they are moved away, or when only records are missing, \
             `knockon audit seal --accept` takes the log for what it should be",
        );
        return;
    }
    let range = found.range.map(|(first, last)| format!(" ({first} to {last})")).unwrap_or_default();
    let sealed = match &found.sealed {
        Some(head) => format!("; sealed up to {} at {}", head.seq, head.sealed_at()),
        None => String::new(),
    };
    let word = terminal.paint(Paint::Good, "valid:");
    let own = found.own.map(|own| {
        if own == found.records { ", all written by you".into() } else { format!(", {own} written by you") }
    });
    let own = own.filter(|_| found.records > 0).unwrap_or_default();
    terminal.line(&format!("{word} {records}{range} in {path}, each linked to the one before{own}{sealed}"));
}

impl Seal {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let log = log_of(&self.project)?;
        if !self.accept {
            let line = log.seal_line().map_err(|error| failed(&error))?;
            terminal.line(&line);
            return Ok(Exit::Fine);
        }
        let found = log.accept().map_err(|error| failed(&error))?;
        if found.is_broken {
            tell(&log, &found, terminal);
            return Err(CliError::new(Exit::Stopped, "a log whose records are not linked cannot be accepted").hint(
                "move its files away, where they are kept as they are; the next emit begins a new log, which can be",
            ));
        }
        for fault in &found.faults {
            terminal.line(&format!("accepted: {}", one_line(&fault.to_string())));
        }
        record_decision(&log, "sealed", None, terminal);
        let again = log.verify(&[]).map_err(|error| failed(&error))?;
        tell(&log, &again, terminal);
        Ok(if again.faults.is_empty() { Exit::Fine } else { Exit::Stopped })
    }
}
