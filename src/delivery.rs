//! One event for one hook, and how carrying it out ended: the words the rooms above share.

use crate::config::{ConfigFile, Hook};
use crate::event::Event;
use crate::sys::{Signal, Usage};
use std::fmt;
use std::time::Duration;

/// An event that is to be handed to a hook.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// What happened.
    pub event: &'a Event,
    /// The hook it triggered.
    pub hook: &'a Hook,
    /// The file the hook came from.
    pub file: &'a ConfigFile,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// How a hook's run ended, or why it did not begin; the word in the audit log (ADR-006).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with 0.
    Success,
    /// It exited with something else, or a signal ended it.
    Failed,
    /// It was ended because its time was up.
    Timeout,
    /// It could not be started.
    Error,
    /// It did not run, or said that there was nothing to do (exit 77).
    Skipped,
    /// It did not run because its content was not trusted.
    BlockedUntrusted,
    /// It was ended because knockon was told to end.
    Interrupted,
}

impl Status {
    /// The word in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Timeout => "timeout",
            Status::Error => "error",
            Status::Skipped => "skipped",
            Status::BlockedUntrusted => "blocked_untrusted",
            Status::Interrupted => "interrupted",
        }
    }

    /// Whether this counts as a failure of the hook, which `fail_mode` is about.
    pub fn is_failure(self) -> bool {
        match self {
            Status::Failed | Status::Timeout | Status::Error | Status::Interrupted => true,
            Status::Success | Status::Skipped | Status::BlockedUntrusted => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of the two streams a hook writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both, in the order of their descriptors.
    pub const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    /// The name in a machine-readable report.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What a hook wrote to one stream: its beginning, its end, and how much there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes, when there were more than `head` holds.
    pub tail: Vec<u8>,
    /// How many bytes lie between the two and were not kept.
    pub omitted: u64,
    /// All bytes.
    pub bytes: u64,
    /// All lines; a last one without a line feed counts.
    pub lines: u64,
}

impl Captured {
    /// What was kept as text, with a line that tells what is left out; bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.omitted > 0 {
            text.push_str(&format!("\n… {} bytes left out …\n", self.omitted));
        }
        text.push_str(&String::from_utf8_lossy(&self.tail));
        text
    }

    /// The last `count` lines that say something.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The word for it.
    pub status: Status,
    /// The exit code; 124 after a timeout.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the hook said no, or was kept from saying so, or cannot run with this build at all: it is
    /// never tried again.
    pub blocked: bool,
    /// Why, in words, unless all went well.
    pub reason: Option<String>,
    /// What to do about it, where there is something to do.
    pub help: Option<String>,
    /// From the start of the program to its end.
    pub duration: Duration,
    /// The process id, when there was a process.
    pub pid: Option<i32>,
    /// Whether something it started kept its output open after it had ended.
    pub leaky: bool,
    /// Processor time and memory.
    pub usage: Usage,
    /// What it wrote to standard output.
    pub stdout: Captured,
    /// What it wrote to standard error.
    pub stderr: Captured,
}

impl Outcome {
    /// The outcome of a delivery that started no process.
    pub fn without_process(status: Status, reason: impl Into<String>) -> Self {
        Outcome {
            status,
            exit_code: None,
            signal: None,
            blocked: false,
            reason: Some(reason.into()),
            help: None,
            duration: Duration::ZERO,
            pid: None,
            leaky: false,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
        }
    }

    /// The reason in a few words: the reason, or the signal, or the exit code.
    pub fn summary(&self) -> String {
        match (&self.reason, self.signal, self.exit_code) {
            (Some(reason), _, _) => reason.clone(),
            (None, Some(signal), _) => format!("ended by {}", Signal::name_of(signal)),
            (None, None, Some(code)) => format!("exit {code}"),
            (None, None, None) => self.status.to_string(),
        }
    }
}
