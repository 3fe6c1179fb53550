//! The only place that prints: results to standard output, everything else to standard error; colour
//! on a terminal only, and nothing that a terminal would act on but our own colours.

use super::error::{CliError, Exit};
use crate::config::{Diagnostic, Severity};
use crate::sys::StandardStream;
use crate::text::{hex, hook_line, one_line, terminal_safe, terminal_safe_json};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A colour of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Good,
    Bad,
    Warn,
    Dim,
    Bold,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Warn => "33",
            Paint::Dim => "2",
            Paint::Bold => "1",
        }
    }
}

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Terminal {
    out: String,
    /// Colour on standard output, and on standard error.
    colour: (bool, bool),
    /// Whether standard output is a terminal.
    is_terminal: bool,
    /// Whether standard error is, and a bar can be drawn on it.
    is_watched: bool,
    has_bar: bool,
    failed: Option<io::Error>,
    /// Whether the reader has seen enough.
    closed: bool,
    /// Where the result goes.
    stream: StandardStream,
    live: Option<LiveWriter>,
    /// What makes GitHub read workflow commands again, while it does not.
    bracket: Option<String>,
}

/// How much output may wait to be written while hooks run, in bytes.
const MOST_WAITING: usize = 6 * 1024 * 1024;

/// The longest answer to a question that is read, in bytes.
const MOST_TYPED: usize = 4096;

/// Writes to standard output beside the hooks that run, so that a reader who stalls stalls no deadline.
#[derive(Debug)]
struct LiveWriter {
    waiting: Arc<(Mutex<Waiting>, Condvar)>,
    thread: JoinHandle<Option<io::Error>>,
    /// Bytes for which there was no room.
    lost: usize,
}

/// What is to be written.
#[derive(Debug, Default)]
struct Waiting {
    text: String,
    done: bool,
}

impl LiveWriter {
    /// # Errors
    /// The system makes no thread.
    fn start(mut stream: StandardStream) -> io::Result<Self> {
        let waiting: Arc<(Mutex<Waiting>, Condvar)> = Arc::default();
        let theirs = waiting.clone();
        let write = move || {
            while let Some(text) = next_text(&theirs) {
                if let Err(error) = stream.write_all(text.as_bytes()) {
                    return Some(error);
                }
            }
            None
        };
        let thread = std::thread::Builder::new().name("live output".into()).spawn(write)?;
        Ok(LiveWriter { waiting, thread, lost: 0 })
    }

    fn send(&mut self, text: &str) {
        let mut waiting = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.text.len() + text.len() > MOST_WAITING {
            self.lost += text.len();
        } else {
            waiting.text.push_str(text);
            self.waiting.1.notify_one();
        }
    }

    fn finish(self) -> (usize, Option<io::Error>) {
        self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner).done = true;
        self.waiting.1.notify_one();
        (self.lost, self.thread.join().ok().flatten())
    }
}

/// Writes to standard error. A failure has no place to be reported.
fn to_stderr(text: &str) {
    let _ = StandardStream::error().write_all(text.as_bytes());
}

/// Hands a text to the user's pager. Returns whether there was one.
fn page(text: &str) -> bool {
    let named = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let pager = named.unwrap_or_else(|| "less".into());
    let mut command = std::process::Command::new("/bin/sh");
    command.arg("-c").arg(pager).stdin(std::process::Stdio::piped());
    // Colours as they are, and nothing is asked of who sees it all at once; the values git gives less.
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        // Who has seen enough leaves the pager early.
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().is_ok_and(|status| status.code().is_some_and(|code| code != 127 && code != 126))
}

/// All that waits to be written; nothing when there will be no more.
fn next_text((waiting, changed): &(Mutex<Waiting>, Condvar)) -> Option<String> {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    while waiting.text.is_empty() && !waiting.done {
        waiting = changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
    Some(std::mem::take(&mut waiting.text)).filter(|text| !text.is_empty())
}

impl Terminal {
    pub(super) fn of_this_process() -> Self {
        // https://no-color.org: any non-empty value switches colour off.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && wanted_bar();
        let (out, err) = crate::sys::terminals();
        let colour = match std::env::var("KNOCKON_COLOR").as_deref() {
            Ok("always") => (true, true),
            Ok("never") => (false, false),
            _ => (out && wanted, err && wanted),
        };
        Terminal {
            out: String::new(),
            colour,
            is_terminal: out,
            is_watched: err && wanted_bar(),
            has_bar: false,
            failed: None,
            closed: false,
            stream: StandardStream::output(),
            live: None,
            bracket: None,
        }
    }

    /// A text in a colour, for standard output.
    pub(super) fn paint(&self, paint: Paint, text: &str) -> String {
        coloured(self.colour.0, paint, text)
    }

    /// Sends the result to standard error from now on: standard output is for a document.
    pub(super) fn divert(&mut self) {
        self.stream = StandardStream::error();
        (self.colour.0, self.is_terminal) = (self.colour.1, false);
    }

    /// Writes a document to standard output, whatever the result goes to.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn document(&mut self, text: &str) -> io::Result<()> {
        self.end_live();
        self.flush();
        StandardStream::output().write_all(text.as_bytes())
    }

    /// From here on GitHub Actions takes no line for a workflow command: what hooks print is not ours.
    pub(super) fn stop_commands(&mut self) {
        let mut token = [0; 16];
        if self.bracket.is_none() && getrandom::fill(&mut token).is_ok() {
            let token = hex(&token);
            self.line(&format!("::stop-commands::{token}"));
            self.flush();
            self.bracket = Some(token);
        }
    }

    /// From here on it reads them again.
    pub(super) fn resume_commands(&mut self) {
        if let Some(token) = self.bracket.take() {
            self.line(&format!("::{token}::"));
        }
    }

    /// A line that a hook printed, for standard output: its colours stay where ours do.
    pub(super) fn of_hook<'l>(&self, line: &'l str) -> Cow<'l, str> {
        hook_line(line, self.colour.0)
    }

    /// A line of the result. The text must be harmless: see [`crate::text`].
    pub(super) fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
        if self.out.len() > 64 * 1024 {
            self.flush();
        }
    }

    /// A JSON document as the result.
    pub(super) fn json(&mut self, document: &impl Serialize) {
        match serde_json::to_string(document) {
            // A program gets the bytes as they are; a person's terminal must not act on them.
            Ok(text) if self.is_terminal => self.line(&terminal_safe_json(&text)),
            Ok(text) => self.line(&text),
            Err(error) => self.failed = Some(error.into()),
        }
    }

    /// A line of the result while hooks run: nobody waits for a reader that does not read.
    pub(super) fn line_now(&mut self, line: &str) {
        self.line(line);
        self.send();
    }

    /// A JSON document of a stream of them.
    pub(super) fn json_now(&mut self, document: &impl Serialize) {
        self.json(document);
        self.send();
    }

    fn send(&mut self) {
        if self.live.is_none() {
            self.live = LiveWriter::start(self.stream).ok();
        }
        // Without a thread it is written here, and who reads slowly delays the hooks.
        self.flush();
    }

    /// How far something long has come, on a terminal: a bar that is drawn over itself on standard error.
    pub(super) fn progress(&mut self, done: u64, total: u64) {
        const WIDTH: u64 = 30;
        if !self.is_watched {
            return;
        }
        let total = total.max(done).max(1);
        let full = usize::try_from(done * WIDTH / total).unwrap_or(0);
        let empty = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(full);
        // Nobody is left to tell when standard error is gone.
        to_stderr(&format!("\r{}{} {done}/{total}", "█".repeat(full), "░".repeat(empty)));
        self.has_bar = true;
    }

    /// Takes the bar away.
    pub(super) fn end_progress(&mut self) {
        if std::mem::take(&mut self.has_bar) {
            to_stderr("\r\u{1b}[K");
        }
    }

    /// Waits until all that was told while hooks ran is written.
    pub(super) fn end_live(&mut self) {
        if let Some(live) = self.live.take() {
            match live.finish() {
                (_, Some(error)) if error.kind() != io::ErrorKind::BrokenPipe => self.failed = Some(error),
                (0, _) => {}
                (lost, _) => {
                    self.warning(&format!("{lost} bytes of output were not shown: whoever reads it was too slow"))
                }
            }
        }
    }

    /// A line for programs beside the result, on standard error.
    pub(super) fn aside(&mut self, line: &str) {
        self.flush();
        to_stderr(&format!("{line}\n"));
    }

    /// A line for people, on standard error.
    pub(super) fn note(&mut self, line: &str) {
        self.flush();
        // Each line with our name: what a hook says must not pass for anything else.
        let name = coloured(self.colour.1, Paint::Dim, "knockon:");
        for line in line.split('\n') {
            // Nobody is left to tell when standard error is gone.
            to_stderr(&format!("{name} {line}\n"));
        }
    }

    /// A warning, on standard error.
    pub(super) fn warning(&mut self, text: &str) {
        let word = coloured(self.colour.1, Paint::Warn, "warning:");
        self.note(&format!("{word} {}", one_line(text)));
    }

    /// A problem of a configuration, on standard error.
    pub(super) fn problem(&mut self, problem: &Diagnostic) {
        let (word, paint) = match problem.severity {
            Severity::Error => ("error:", Paint::Bad),
            Severity::Warning => ("warning:", Paint::Warn),
        };
        let word = coloured(self.colour.1, paint, word);
        self.note(&format!("{word} {}", one_line(&problem.to_string())));
    }

    /// Why the command failed.
    pub(super) fn error(&mut self, error: &CliError) {
        if let Some(clap) = &error.clap {
            to_stderr(&terminal_safe(&clap.to_string()));
            return;
        }
        let word = coloured(self.colour.1, Paint::Bad, "error:");
        self.note(&format!("{word} {}", one_line(&error.message)));
        for hint in &error.hints {
            let word = coloured(self.colour.1, Paint::Dim, "  hint:");
            to_stderr(&format!("{word} {}\n", one_line(hint)));
        }
    }

    /// What clap answers by itself: help and version as a result, a usage error as an error.
    pub(super) fn clap(&mut self, error: &clap::Error) -> Result<Exit, CliError> {
        self.flush();
        let text = error.render().to_string();
        if error.use_stderr() {
            to_stderr(&terminal_safe(&text));
            return Ok(Exit::Usage);
        }
        self.out.push_str(&text);
        Ok(Exit::Fine)
    }

    /// Asks a question on standard error; only `y` and `yes` are a yes.
    pub(super) fn confirm(&mut self, question: &str) -> bool {
        self.ask(&format!("{question} [y/N]")).is_some_and(|answer| matches!(&*answer, "y" | "yes"))
    }

    /// Asks a question on standard error. Returns the line that was typed, in lower case and without space around it; nothing
    /// at the end of the input.
    pub(super) fn ask(&mut self, question: &str) -> Option<String> {
        self.flush();
        to_stderr(&format!("{question} "));
        // Byte by byte: what follows the line is for the next question, or for a pager.
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while answer.len() < MOST_TYPED && answer.last() != Some(&b'\n') {
            match StandardStream::input().read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                _ => break,
            }
        }
        (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).trim().to_lowercase())
    }

    /// Shows lines in the user's pager (`$PAGER`, else `less`), where there is one. They must be harmless: see
    /// [`crate::text`].
    pub(super) fn page(&mut self, lines: &[String]) {
        self.flush();
        let text = lines.join("\n") + "\n";
        if !(self.is_terminal && page(&text)) {
            self.text(&text);
            self.flush();
        }
    }

    /// Whether nobody reads the result any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether standard output is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A part of the result that is no line. The text must be harmless: see [`crate::text`].
    pub(super) fn text(&mut self, text: &str) {
        self.out.push_str(text);
        if self.out.len() > 64 * 1024 {
            self.flush();
        }
    }

    /// Hands what was told so far to its reader.
    pub(super) fn flush(&mut self) {
        if let Some(live) = &mut self.live {
            // In its turn.
            return live.send(&std::mem::take(&mut self.out));
        }
        let written = self.stream.write_all(self.out.as_bytes());
        self.out.clear();
        match written {
            // The reader has seen enough, as `| head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => self.failed = Some(error),
            Ok(()) => {}
        }
    }

    /// Writes what is left; a result that could not be written is a failure.
    pub(super) fn finish(&mut self, exit: Exit) -> Exit {
        self.end_live();
        self.resume_commands();
        self.flush();
        match (self.failed.take(), exit) {
            (Some(error), Exit::Fine) => {
                self.note(&format!("the result could not be written: {error}"));
                Exit::Io
            }
            (_, exit) => exit,
        }
    }
}

/// Whether a terminal can draw over what it shows.
fn wanted_bar() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn coloured(colour: bool, paint: Paint, text: &str) -> String {
    if colour { format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()) } else { text.to_owned() }
}

/// Rows as aligned columns, two spaces between them. Cells must not contain colour.
pub(super) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}
