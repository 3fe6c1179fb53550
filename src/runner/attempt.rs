//! The life of one run as data: what happened goes in, what to do comes out. No clock, no I/O.
//!
//! ```text
//! Running ──deadline/interrupt──▶ Terminating ──grace over──▶ Killed ──nobody answers──▶ Done
//!    │ exit                          │ exit                      │ exit
//!    ▼                               ▼                           ▼
//! Draining ──output closed, or its time is up──▶ Done
//! ```

use crate::delivery::Status;
use crate::sys::{Ending, Signal};
use std::time::{Duration, Instant};

/// Between SIGTERM and SIGKILL (ADR-006).
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How long the output of a hook that has ended may stay open.
pub(super) const DRAIN: Duration = Duration::from_millis(200);

/// How long one that was killed may take to be seen as ended.
const LAST: Duration = Duration::from_millis(500);

/// Why a run was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its time was up.
    Timeout,
    /// knockon received this signal.
    Interrupted(Signal),
    /// Another hook failed, and nothing is to go on.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running { deadline: Instant },
    Terminating { kill_at: Instant },
    Killed { until: Instant },
    Draining { until: Instant },
    Done,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The hook's process has ended and waits to be reaped.
    Exited,
    /// Both output streams are at their end.
    OutputClosed,
    /// knockon received a signal.
    Interrupt(Signal),
    /// Another hook failed, and nothing is to go on.
    Cancel,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Wait,
    /// Send SIGTERM to the group.
    Terminate,
    /// Send SIGKILL to the group.
    Kill,
    /// Send SIGKILL to what is left of the group, reap the process, report.
    Finish,
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    state: State,
    output_closed: bool,
    /// Why it was ended from outside, if it was.
    pub(super) cause: Option<Cause>,
    /// Whether its output was still open when the draining time was up.
    pub(super) leaky: bool,
}

impl Attempt {
    pub(super) fn started(now: Instant, timeout: Duration) -> Self {
        let state = State::Running { deadline: now + timeout };
        Attempt { state, output_closed: false, cause: None, leaky: false }
    }

    /// When to give it a [`Input::Tick`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.state {
            State::Running { deadline: at }
            | State::Terminating { kill_at: at }
            | State::Killed { until: at }
            | State::Draining { until: at } => Some(at),
            State::Done => None,
        }
    }

    /// Takes what happened at `now` and says what to do.
    pub(super) fn step(&mut self, input: Input, now: Instant) -> Effect {
        if input == Input::OutputClosed {
            self.output_closed = true;
        }
        match (self.state, input) {
            (State::Done, _) => Effect::Wait,
            (State::Draining { .. }, Input::OutputClosed) => self.finish(),
            (State::Draining { until }, Input::Tick) if now >= until => {
                self.leaky = true;
                self.finish()
            }
            (State::Draining { .. }, _) => Effect::Wait,
            (_, Input::Exited) if self.output_closed => self.finish(),
            (_, Input::Exited) => {
                self.state = State::Draining { until: now + DRAIN };
                Effect::Wait
            }
            (State::Running { deadline }, Input::Tick) if now >= deadline => self.terminate(Cause::Timeout, now),
            (State::Running { .. }, Input::Interrupt(signal)) => self.terminate(Cause::Interrupted(signal), now),
            (State::Running { .. }, Input::Cancel) => self.terminate(Cause::Cancelled, now),
            (State::Terminating { kill_at }, Input::Tick) if now >= kill_at => self.kill(now),
            // Nobody answers: whoever watches over it may have been stopped.
            (State::Killed { until }, Input::Tick) if now >= until => self.finish(),
            // The second Ctrl-C: no more patience.
            (State::Terminating { .. }, Input::Interrupt(_)) => self.kill(now),
            _ => Effect::Wait,
        }
    }

    fn terminate(&mut self, cause: Cause, now: Instant) -> Effect {
        self.cause = Some(cause);
        self.state = State::Terminating { kill_at: now + GRACE };
        Effect::Terminate
    }

    fn kill(&mut self, now: Instant) -> Effect {
        self.state = State::Killed { until: now + LAST };
        Effect::Kill
    }

    fn finish(&mut self) -> Effect {
        self.state = State::Done;
        Effect::Finish
    }
}

/// What an ending means: status, exit code, signal and the reason in words.
pub(super) fn verdict(
    cause: Option<Cause>,
    ending: Ending,
    timeout: Duration,
) -> (Status, Option<i32>, Option<i32>, Option<String>) {
    let signal = match ending {
        Ending::Killed(signal) => Some(signal),
        Ending::Exited(_) => None,
    };
    let failed = |code: i32, reason: &str| (Status::Failed, Some(code), None, Some(reason.to_owned()));
    match (cause, ending) {
        (Some(Cause::Timeout), _) => {
            let reason = format!("took longer than its timeout of {}", crate::time::human(timeout));
            (Status::Timeout, Some(124), signal, Some(reason))
        }
        (Some(Cause::Interrupted(by)), _) => {
            let reason = format!("knockon was told to end by {}", Signal::name_of(by.number()));
            (Status::Interrupted, Some(128 + by.number()), signal, Some(reason))
        }
        (Some(Cause::Cancelled), _) => {
            let reason = "ended because another hook failed with `stop: now`";
            (Status::Interrupted, Some(143), signal, Some(reason.to_owned()))
        }
        (None, Ending::Exited(0)) => (Status::Success, Some(0), None, None),
        (None, Ending::Exited(75)) => failed(75, "exit 75: temporary failure"),
        (None, Ending::Exited(77)) => (Status::Skipped, Some(77), None, Some("skipped: exit 77".into())),
        (None, Ending::Exited(126)) => failed(126, "exit 126: a command was found but is not executable"),
        (None, Ending::Exited(127)) => failed(127, "exit 127: a command was not found"),
        (None, Ending::Exited(code)) => failed(code, &format!("exit {code}")),
        (None, Ending::Killed(signal)) => {
            let reason = format!("ended by {}", Signal::name_of(signal));
            (Status::Failed, None, Some(signal), Some(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Finish, Kill, Terminate, Wait};
    use Input::{Exited, Interrupt, OutputClosed, Tick};

    /// Plays `script` (milliseconds since the start, input, wanted effect) for a timeout of one second.
    fn play(script: &[(u64, Input, Effect)]) -> Attempt {
        let start = Instant::now();
        let mut attempt = Attempt::started(start, Duration::from_secs(1));
        for (at, input, wanted) in script {
            assert_eq!(attempt.step(*input, start + Duration::from_millis(*at)), *wanted, "{at} {input:?}");
        }
        attempt
    }

    #[test]
    fn a_quick_hook_just_ends() {
        let attempt = play(&[(5, OutputClosed, Wait), (6, Exited, Finish), (7, Tick, Wait)]);
        assert_eq!((attempt.cause, attempt.leaky, attempt.wake_at()), (None, false, None));
        play(&[(5, Exited, Wait), (6, OutputClosed, Finish)]);
    }

    #[test]
    fn output_held_open_is_given_200_ms() {
        let attempt = play(&[(5, Exited, Wait), (204, Tick, Wait), (205, Tick, Finish)]);
        assert!(attempt.leaky);
    }

    #[test]
    fn a_timeout_asks_first_and_kills_after_the_grace_period() {
        let attempt = play(&[
            (999, Tick, Wait),
            (1000, Tick, Terminate),
            (5999, Tick, Wait),
            (6000, Tick, Kill),
            (6001, OutputClosed, Wait),
            (6002, Exited, Finish),
        ]);
        assert_eq!(attempt.cause, Some(Cause::Timeout));
    }

    #[test]
    fn the_second_interrupt_kills_at_once() {
        let attempt = play(&[
            (10, Interrupt(Signal::Interrupt), Terminate),
            (20, Interrupt(Signal::Interrupt), Kill),
            (30, Exited, Wait),
            (31, OutputClosed, Finish),
        ]);
        assert_eq!(attempt.cause, Some(Cause::Interrupted(Signal::Interrupt)));
    }

    #[test]
    fn an_ending_means_what_the_contract_says() {
        let second = Duration::from_secs(1);
        for (cause, ending, status, code, signal) in [
            (None, Ending::Exited(0), Status::Success, Some(0), None),
            (None, Ending::Exited(1), Status::Failed, Some(1), None),
            (None, Ending::Exited(2), Status::Failed, Some(2), None),
            (None, Ending::Exited(77), Status::Skipped, Some(77), None),
            (None, Ending::Killed(9), Status::Failed, None, Some(9)),
            (Some(Cause::Timeout), Ending::Killed(15), Status::Timeout, Some(124), Some(15)),
            (Some(Cause::Timeout), Ending::Exited(0), Status::Timeout, Some(124), None),
            (Some(Cause::Interrupted(Signal::Interrupt)), Ending::Killed(15), Status::Interrupted, Some(130), Some(15)),
        ] {
            let found = verdict(cause, ending, second);
            assert_eq!((found.0, found.1, found.2), (status, code, signal), "{cause:?} {ending:?}");
        }
    }
}
