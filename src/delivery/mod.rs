//! One event for one hook, and how carrying it out ended: the words the rooms above share.

mod answer;
mod merged;
mod trace;

pub use answer::{Annotation, Answer, Decision, FollowUp, MAX_ANSWER, Wish};
pub use merged::{Merged, Specific};
pub use trace::{Span, TraceParent};

use crate::config::{ConfigFile, Hook, Sandbox};
use crate::event::Event;
use crate::sys::{Signal, Usage};
use crate::time::Timestamp;
use std::borrow::Cow;
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
    /// What brought it about.
    pub occasion: Occasion,
}

/// How deep events may cause events.
pub const MAX_CHAIN: u32 = 16;

/// What brought a delivery about, apart from its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// What emitted the event, or emits it again: `emit`, `run`, `replay` and so on.
    pub source: &'static str,
    /// Whether the event was recorded before, and is delivered again.
    pub replay: bool,
    /// How many events led to this one: an answer's follow-up, or a hook that calls the emitter itself.
    pub chain: u32,
    /// How many events this delivery stands for, when they were coalesced.
    pub coalesced: Option<u32>,
    /// Whether hooks that could go on alone are waited for all the same.
    pub attended: bool,
    /// When it was to be carried out, when it came out of the queue of what nobody waits for.
    pub due: Option<Timestamp>,
    /// The span that caused it, or that it is carried out in, where spans are exported.
    pub trace: Option<TraceParent>,
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
    /// It goes on without the emitter.
    Detached,
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
            Status::Detached => "detached",
        }
    }

    /// Whether this counts as a failure of the hook, which `fail_mode` is about.
    pub fn is_failure(self) -> bool {
        match self {
            Status::Failed | Status::Timeout | Status::Error | Status::Interrupted => true,
            Status::Success | Status::Skipped | Status::BlockedUntrusted | Status::Detached => false,
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

    /// Whether what was kept is no text.
    pub fn is_binary(&self) -> bool {
        // A character cut in two where bytes are left out does not count.
        let broken = |bytes: &[u8]| bytes.utf8_chunks().any(|chunk| !chunk.invalid().is_empty());
        match self.omitted {
            0 => broken(&self.bytes_kept()),
            _ => {
                broken(&self.head[..self.head.len().saturating_sub(4)])
                    || broken(self.tail.get(4..).unwrap_or_default())
            }
        }
    }

    /// Keeps the last `most` bytes only.
    fn shorten(&mut self, most: usize) {
        let all = self.bytes_kept();
        if all.len() > most {
            self.tail = all[all.len() - most..].to_vec();
            self.head = Vec::new();
            self.omitted = self.bytes.saturating_sub(most as u64);
        }
    }

    /// All bytes that were kept.
    pub fn bytes_kept(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.tail].concat()
    }

    /// The last `count` lines that say something.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

/// What a sandbox really took from a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforced {
    /// The level that was wanted, by its author or by a policy.
    pub level: Sandbox,
    /// What it is kept from.
    pub held: Vec<&'static str>,
    /// What it should be kept from, and this system cannot.
    pub missing: Vec<&'static str>,
}

/// How much of the output is kept where there is too much of it.
const SHORT_OUTPUT: usize = 2048;

/// The most characters of a reason that are told and recorded.
const LONGEST_REASON: usize = 2000;

/// How many lines of standard error say why a hook blocked.
const SAID_LINES: usize = 10;

/// How an attempt ended.
#[derive(Clone, Debug)]
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
    /// Whether it failed for now only (exit 75, or an answer that says so).
    pub temporary: bool,
    /// Why it did not run, in a word for programs: `stop`, `interrupt`, `joined`.
    pub skipped_by: Option<&'static str>,
    /// What was taken from it.
    pub enforced: Enforced,
    /// What it answered.
    pub answer: Option<Box<Answer>>,
    /// Why, in words, unless all went well.
    pub reason: Option<String>,
    /// What to do about it, where there is something to do.
    pub help: Option<String>,
    /// From the start of the program to its end.
    pub duration: Duration,
    /// How long it waited in the queue of what nobody waits for, and for its group.
    pub waited: Duration,
    /// What knockon itself took to start it and to see its end.
    pub overhead: Duration,
    /// The process id, when there was a process.
    pub pid: Option<i32>,
    /// The span of the program, where spans are exported.
    pub span: Option<Span>,
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
            temporary: false,
            skipped_by: None,
            enforced: Enforced::default(),
            answer: None,
            reason: Some(reason.into()),
            help: None,
            duration: Duration::ZERO,
            waited: Duration::ZERO,
            overhead: Duration::ZERO,
            pid: None,
            span: None,
            leaky: false,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
        }
    }

    /// Takes what the hook answered into account. What knockon did to it weighs more than what it said.
    #[must_use]
    pub fn answered(mut self, answer: Answer) -> Self {
        // By itself, exit 77 among it: whatever it says of itself, a no is a no.
        let by_itself = matches!(self.status, Status::Success | Status::Failed | Status::Skipped);
        let said = |what: &str| match answer.why() {
            Some(why) => Some(format!("{what}: {}", crate::text::shorten(why, LONGEST_REASON))),
            None => Some(format!("the hook answered: {what}")),
        };
        match answer.wish {
            _ if !by_itself => {}
            _ if answer.blocks() => {
                (self.status, self.blocked, self.reason) = (Status::Failed, true, said("blocked"));
            }
            Some(Wish::Retry) => (self.status, self.temporary, self.reason) = (Status::Failed, true, said("retry")),
            Some(Wish::Skip) if self.status == Status::Success => {
                (self.status, self.reason) = (Status::Skipped, said("skip"));
            }
            Some(Wish::Skip) | None => {}
        }
        self.answer = Some(Box::new(answer));
        self
    }

    /// What it answered, in words or by its exit code.
    pub fn answer(&self) -> Option<Cow<'_, Answer>> {
        let denied = self.blocked && self.pid.is_some();
        match &self.answer {
            Some(answer) if denied && answer.decision != Some(Decision::Deny) => {
                let mut answer = answer.clone();
                answer.decision = Some(Decision::Deny);
                answer.reason = Some(answer.why().map_or_else(|| self.blocked_because(), str::to_owned));
                Some(Cow::Owned(*answer))
            }
            // A yes of one that failed is none.
            Some(answer) if self.status.is_failure() && answer.allows_something() => {
                let (decision, updated_input) = (answer.decision.filter(|decision| *decision != Decision::Allow), None);
                Some(Cow::Owned(Answer { decision, updated_input, ..(**answer).clone() }))
            }
            Some(answer) => Some(Cow::Borrowed(answer)),
            None if denied => {
                let (decision, reason) = (Some(Decision::Deny), Some(self.blocked_because()));
                Some(Cow::Owned(Answer { decision, reason, ..Answer::default() }))
            }
            None => None,
        }
    }

    /// Why it blocked: its answer, else its standard error (exit 2, as agents' hooks do), else in our words.
    pub fn blocked_because(&self) -> String {
        let said = || self.stderr.last_lines(SAID_LINES).join("\n");
        match self.answer.as_ref().and_then(|answer| answer.why()) {
            Some(why) => why.to_owned(),
            None if self.exit_code == Some(2) => Some(said()).filter(|said| !said.is_empty()).unwrap_or(self.summary()),
            None => self.summary(),
        }
    }

    /// Keeps only the end of what it wrote.
    pub fn shorten_output(&mut self) {
        self.stdout.shorten(SHORT_OUTPUT);
        self.stderr.shorten(SHORT_OUTPUT);
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
