//! How an attempt ended, and what the hook's answer and exit code make of it.

use super::{Answer, Captured, Decision, Enforced, NotRun, SkippedBy, Span, Status, UNREADABLE_HELP, Wish};
use crate::config::{FailMode, Hook, OnUnreadable};
use crate::sys::{Signal, Usage};
use std::borrow::Cow;
use std::time::Duration;

/// How much of the output is kept where there is too much of it.
const SHORT_OUTPUT: usize = 2048;

/// The most characters of a reason that are shown and recorded.
const LONGEST_REASON: usize = 2000;

/// The exit code of a hook that blocks, as coding agents have it.
const BLOCKED: i32 = 2;

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
    /// Whether nothing was started because its script is open for writing (`ETXTBSY`).
    pub busy: bool,
    /// Whether it failed for now only (exit 75, or an answer that says so).
    pub temporary: bool,
    /// Why it did not run, if it did not.
    pub not_run: Option<NotRun>,
    /// What skipped it, if something did.
    pub skipped_by: Option<SkippedBy>,
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
    /// How long it waited in the background queue, and for its group.
    pub waited: Duration,
    /// What knockon itself took to start it and to see its end.
    pub overhead: Duration,
    /// The process id, when there was a process.
    pub pid: Option<i32>,
    /// The span of the program, where spans are exported.
    pub span: Option<Span>,
    /// Whether something it started kept its output open after it had ended.
    pub leaky: bool,
    /// Whether something it started may still run: it could not be seen, or not be ended in time.
    pub survivors: bool,
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
            busy: false,
            temporary: false,
            not_run: None,
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
            survivors: false,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured::default(),
        }
    }

    /// The outcome of a hook that did not run.
    pub fn not_run(why: NotRun, reason: impl Into<String>) -> Self {
        let status = match why {
            NotRun::Disabled => Status::Disabled,
            NotRun::Untrusted | NotRun::Refused => Status::BlockedUntrusted,
            NotRun::InvalidConfig => Status::Invalid,
            NotRun::Skipped => Status::Skipped,
            NotRun::Deferred => Status::Detached,
        };
        Outcome { not_run: Some(why), ..Self::without_process(status, reason) }
    }

    /// The outcome of a hook that was skipped.
    pub fn skipped(by: SkippedBy, reason: impl Into<String>) -> Self {
        Outcome { skipped_by: Some(by), ..Self::not_run(NotRun::Skipped, reason) }
    }

    /// Whether the hook should have run and did not: nothing that was reviewed says that it was not needed.
    pub fn is_missed(&self) -> bool {
        match self.not_run {
            Some(NotRun::Untrusted | NotRun::Refused | NotRun::InvalidConfig) => true,
            Some(NotRun::Skipped) => self.skipped_by.is_none_or(|by| !by.is_intended()),
            Some(NotRun::Disabled | NotRun::Deferred) | None => false,
        }
    }

    /// Whether the hook's program could not be started: it is missing, or not executable.
    pub fn could_not_start(&self) -> bool {
        self.not_run.is_none() && self.status == Status::Error && self.pid.is_none()
    }

    /// Takes what the hook answered into account, in words or by its exit code. What knockon did to it weighs more than
    /// what it said.
    #[must_use]
    pub fn judged(mut self, answer: Option<Answer>, hook: &Hook) -> Self {
        // By itself, exit 77 among it: whatever it says of itself, a no is a no.
        let by_itself = matches!(self.status, Status::Success | Status::Failed | Status::Skipped);
        if !by_itself {
            self.answer = answer.map(Box::new);
            return self;
        }
        let readable = answer.as_ref().filter(|answer| !answer.unreadable);
        let why = readable.and_then(Answer::why).map(|why| crate::text::shorten(why, LONGEST_REASON).into_owned());
        let stops = hook.fail_mode == FailMode::Stop;
        // Exit 2 blocks by convention of coding agents; many other programs end with 2 for reasons of their own.
        let exits_with_a_no = self.exit_code == Some(BLOCKED) && (stops || readable.is_some());
        if answer.as_ref().is_some_and(Answer::blocks) || exits_with_a_no {
            let said = why.or_else(|| self.said_on_stderr().filter(|_| exits_with_a_no));
            let what = if stops { "blocked" } else { "would block; fail_mode is continue" };
            let said = said.unwrap_or_else(|| if exits_with_a_no { "exit 2" } else { "so the hook answered" }.into());
            (self.status, self.blocked, self.reason) = (Status::Failed, true, Some(format!("{what}: {said}")));
        } else if let Some(answer) = answer.as_ref().filter(|answer| answer.unreadable) {
            self.judge_unreadable(answer, hook);
        } else {
            match readable.and_then(|answer| answer.wish) {
                Some(Wish::Retry) => {
                    let reason = format!("temporary failure: {}", why.as_deref().unwrap_or("so the hook answered"));
                    (self.status, self.temporary, self.reason) = (Status::Failed, true, Some(reason));
                }
                Some(Wish::Skip) if self.status == Status::Success => {
                    let reason = format!("skipped: {}", why.as_deref().unwrap_or("so the hook answered"));
                    (self.status, self.reason) = (Status::Skipped, Some(reason));
                }
                Some(Wish::Skip) | None if self.status == Status::Skipped => {
                    let said = why.or_else(|| self.last_line()).unwrap_or_else(|| "exit 77".into());
                    self.reason = Some(format!("skipped: {said}"));
                }
                Some(Wish::Skip) | None => {}
            }
        }
        if self.status == Status::Skipped {
            (self.not_run, self.skipped_by) = (Some(NotRun::Skipped), Some(SkippedBy::Hook));
        }
        self.answer = answer.map(Box::new);
        self
    }

    /// What an answer that was meant and cannot be read means: it may have been a no.
    fn judge_unreadable(&mut self, answer: &Answer, hook: &Hook) {
        if hook.on_unreadable() == OnUnreadable::Fail && self.status != Status::Failed {
            let problem = answer.problems.first().map_or("", String::as_str);
            self.status = Status::Failed;
            self.reason = Some(format!("unreadable answer: {}", crate::text::shorten(problem, LONGEST_REASON)));
            self.help = Some(UNREADABLE_HELP.into());
        }
    }

    /// The end of what it wrote to standard error, if it wrote something.
    fn said_on_stderr(&self) -> Option<String> {
        let said = self.stderr.last_lines(SAID_LINES).join("\n");
        Some(crate::text::shorten(&said, LONGEST_REASON).into_owned()).filter(|said| !said.is_empty())
    }

    /// The last line it wrote, on standard error if there is one.
    fn last_line(&self) -> Option<String> {
        let mut lines = [&self.stderr, &self.stdout].into_iter().flat_map(|stream| stream.last_lines(1));
        lines.next().map(|line| crate::text::shorten(line.trim(), LONGEST_REASON).into_owned())
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
        let why = self.answer.as_ref().and_then(|answer| answer.why()).map(str::to_owned);
        let said = || self.said_on_stderr().filter(|_| self.exit_code == Some(BLOCKED));
        why.or_else(said).unwrap_or_else(|| self.summary())
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
