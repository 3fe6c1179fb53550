//! What to start next: the order of one event's hooks as data. No clock, no I/O, no process.
//!
//! Hooks of one file run at most `limit` at a time, the first in file order that is ready first; a file
//! begins when the one before it is done. A hook waits for those it comes after, whatever becomes of them.

use crate::config::{FailMode, HookName, Retry, Span, StopMode};
use crate::delivery::{Outcome, Status};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

/// One hook of the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    /// The number of its file; files go one after the other.
    pub(super) file: usize,
    /// How many hooks of its file may run at a time.
    pub(super) limit: usize,
    /// The names of the hooks of its file that it comes after.
    pub(super) after: &'a [(HookName, Span)],
    pub(super) retry: Option<&'a Retry>,
    pub(super) fail_mode: FailMode,
    pub(super) stop: StopMode,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start this item, as this attempt.
    Start(usize, u32),
    /// Wait for one that runs, at most until then.
    Wait(Option<Instant>),
    /// All are done.
    Done,
}

/// What an outcome means for the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It stands.
    Final,
    /// It stands, and nothing is to be started any more.
    Stop,
    /// It stands, and what runs is to be ended, too.
    StopNow,
    /// It is tried again after this pause.
    Again(Duration),
}

/// The hooks of one event on their way.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    items: Vec<Item<'a>>,
    attempts: Vec<u32>,
    /// How many hooks each still waits for, and which wait for it.
    waits_for: Vec<usize>,
    awaited_by: Vec<Vec<usize>>,
    /// The items of the file that is under way, and how many of them are not done.
    file: Range<usize>,
    open: usize,
    /// Those that nothing keeps from starting but the limit.
    ready: BTreeSet<usize>,
    /// How many run; those that are to be tried again keep their place.
    running: usize,
    pausing: BTreeSet<(Instant, usize)>,
    /// No pause is kept any more.
    ending: bool,
}

impl<'a> Plan<'a> {
    /// A plan for items in file order.
    pub(super) fn new(items: Vec<Item<'a>>) -> Self {
        let by_name: HashMap<(usize, &str), usize> =
            items.iter().enumerate().map(|(index, item)| ((item.file, item.name), index)).collect();
        let mut awaited_by = vec![Vec::new(); items.len()];
        let mut waits_for = vec![0; items.len()];
        for (index, item) in items.iter().enumerate() {
            // One that this event does not trigger is not waited for.
            for before in item.after.iter().filter_map(|(name, _)| by_name.get(&(item.file, name.as_str()))) {
                awaited_by[*before].push(index);
                waits_for[index] += 1;
            }
        }
        let attempts = vec![0; items.len()];
        let (ready, pausing) = (BTreeSet::new(), BTreeSet::new());
        let mut plan = Plan {
            items,
            attempts,
            waits_for,
            awaited_by,
            file: 0..0,
            open: 0,
            ready,
            running: 0,
            pausing,
            ending: false,
        };
        plan.begin_file(0);
        plan
    }

    /// Lets the items of the file begin whose first item is `start`.
    fn begin_file(&mut self, start: usize) {
        let Some(first) = self.items.get(start) else { return };
        let length = self.items[start..].iter().take_while(|item| item.file == first.file).count();
        self.file = start..start + length;
        self.open = length;
        self.ready.extend(self.file.clone().filter(|index| self.waits_for[*index] == 0));
    }

    /// What to do at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some(due) = self.pausing.first().copied().filter(|(until, _)| *until <= now || self.ending) {
            self.pausing.remove(&due);
            return self.start(due.1);
        }
        let limit = self.items.get(self.file.start).map_or(1, |item| item.limit.max(1));
        if let Some(index) = self.ready.first().copied().filter(|_| self.running < limit) {
            self.ready.remove(&index);
            self.running += 1;
            return self.start(index);
        }
        match self.open {
            // A circle is refused where the file is read; what got here all the same waits for nothing.
            _ if self.running == 0 => Next::Done,
            _ => Next::Wait(self.pausing.first().map(|(until, _)| *until)),
        }
    }

    /// Takes a start back: the item keeps its place, and is to be started then.
    pub(super) fn defer(&mut self, index: usize, until: Instant) {
        self.attempts[index] -= 1;
        self.pausing.insert((until, index));
    }

    fn start(&mut self, index: usize) -> Next {
        self.attempts[index] += 1;
        Next::Start(index, self.attempts[index])
    }

    /// Makes way for those that waited for an item.
    fn done(&mut self, index: usize) {
        self.running -= 1;
        self.open -= 1;
        for waiting in std::mem::take(&mut self.awaited_by[index]) {
            self.waits_for[waiting] -= 1;
            if self.waits_for[waiting] == 0 {
                self.ready.insert(waiting);
            }
        }
        if self.open == 0 {
            self.begin_file(self.file.end);
        }
    }

    /// Whether nothing is left to be started when an item that runs does not have to be tried again.
    pub(super) fn ends_with(&self, index: usize) -> bool {
        self.running == 1
            && self.open == 1
            && self.pausing.is_empty()
            && self.file.end == self.items.len()
            && self.file.contains(&index)
    }

    /// Takes note of how an attempt ended. `random` gives a duration from zero up to the one it is given.
    pub(super) fn settle(
        &mut self,
        index: usize,
        outcome: &Outcome,
        now: Instant,
        random: impl FnOnce(Duration) -> Duration,
    ) -> Settled {
        let item = &self.items[index];
        if let Some(retry) = item.retry.filter(|retry| !self.ending && again(retry, self.attempts[index], outcome)) {
            // Full jitter: whoever failed together does not come back together.
            let asked = outcome.answer.as_ref().and_then(|answer| answer.retry_after).unwrap_or_default();
            let pause = random(longest_pause(retry, self.attempts[index])).max(asked);
            self.pausing.insert((now + pause, index));
            return Settled::Again(pause);
        }
        let stops = (outcome.status.is_failure() && item.fail_mode == FailMode::Stop, item.stop);
        self.done(index);
        match stops {
            (false, _) => Settled::Final,
            (true, StopMode::Next) => Settled::Stop,
            (true, StopMode::Now) => Settled::StopNow,
        }
    }

    /// From now on nothing is tried again.
    pub(super) fn end(&mut self) {
        self.ending = true;
    }
}

/// Whether a run is tried again: as often as wanted, for the endings that are named, and never when the hook
/// blocked (ADR-006: exit 2) or knockon itself was told to end.
fn again(retry: &Retry, attempts: u32, outcome: &Outcome) -> bool {
    let named = |ending: &str| retry.on.is_empty() || retry.on.iter().any(|name| name == ending);
    let wanted = match outcome.status {
        Status::Failed if outcome.temporary => named("tempfail") || named("failed"),
        Status::Failed => named("failed"),
        Status::Timeout => named("timeout"),
        Status::Error => named("error"),
        Status::Success
        | Status::Skipped
        | Status::BlockedUntrusted
        | Status::Disabled
        | Status::Invalid
        | Status::Interrupted
        | Status::Detached => false,
    };
    attempts < retry.attempts && !outcome.blocked && wanted
}

/// The longest pause after the `attempts`th attempt: `backoff`, doubled each time, at most `max_backoff`.
fn longest_pause(retry: &Retry, attempts: u32) -> Duration {
    let doubled = 2_u32.checked_pow(attempts.saturating_sub(1)).and_then(|factor| retry.backoff.checked_mul(factor));
    doubled.map_or(retry.max_backoff, |pause| pause.min(retry.max_backoff))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item<'a>(name: &'a str, after: &'a [(HookName, Span)]) -> Item<'a> {
        let (fail_mode, stop) = (FailMode::Continue, StopMode::Next);
        Item { name, file: 0, limit: 1, after, retry: None, fail_mode, stop }
    }

    fn ended(status: Status, code: i32) -> Outcome {
        Outcome {
            exit_code: Some(code),
            blocked: code == 2,
            temporary: code == 75,
            ..Outcome::without_process(status, "")
        }
    }

    /// Runs a plan in which every hook succeeds at once; the order they were started in.
    fn order(mut plan: Plan<'_>) -> Vec<Vec<usize>> {
        let now = Instant::now();
        let (mut turns, mut running) = (Vec::new(), Vec::new());
        loop {
            match plan.next(now) {
                Next::Start(index, attempt) => {
                    assert_eq!(attempt, 1);
                    running.push(index);
                }
                Next::Wait(until) => {
                    assert_eq!(until, None);
                    assert!(!running.is_empty(), "waiting for nothing");
                    turns.push(running.clone());
                    for index in running.drain(..) {
                        assert_eq!(
                            plan.settle(index, &ended(Status::Success, 0), now, |_| unreachable!()),
                            Settled::Final
                        );
                    }
                }
                Next::Done => return turns,
            }
        }
    }

    #[test]
    fn file_order_holds_unless_a_hook_comes_after_another() {
        let to = |name: &str| [(name.parse().unwrap(), Span::default())];
        let (to_c, to_gone) = (to("c"), to("gone"));
        let items = || vec![item("a", &to_c), item("b", &to_gone), item("c", &[])];
        assert_eq!(order(Plan::new(items())), [[1], [2], [0]]);
        let wide = items().into_iter().map(|item| Item { limit: 8, ..item }).collect();
        assert_eq!(order(Plan::new(wide)), [vec![1, 2], vec![0]]);
        assert!(order(Plan::new(Vec::new())).is_empty());
        let (to_a, to_b) = (to("a"), to("b"));
        let circle = vec![item("a", &to_b), item("b", &to_a), item("c", &[])];
        assert_eq!(order(Plan::new(circle)), [[2]], "a circle hangs nobody");
    }

    #[test]
    fn a_file_begins_when_the_one_before_is_done_and_no_more_run_than_may() {
        let items = (0..7).map(|n| Item { file: n / 4, limit: 3, ..item("x", &[]) }).collect();
        assert_eq!(order(Plan::new(items)), [vec![0, 1, 2], vec![3], vec![4, 5, 6]]);
    }

    #[test]
    fn what_failed_is_tried_again_with_growing_pauses() {
        let retry = Retry {
            attempts: 4,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_millis(2500),
            on: vec!["failed".into(), "timeout".into()],
        };
        let mut plan = Plan::new(vec![Item { retry: Some(&retry), ..item("a", &[]) }, item("b", &[])]);
        let mut now = Instant::now();
        for (attempt, longest) in [(1, 1000), (2, 2000), (3, 2500)] {
            assert_eq!(plan.next(now), Next::Start(0, attempt));
            let settled = plan.settle(0, &ended(Status::Failed, 1), now, |pause| {
                assert_eq!(pause, Duration::from_millis(longest));
                pause / 2
            });
            assert_eq!(settled, Settled::Again(Duration::from_millis(longest / 2)));
            assert_eq!(
                plan.next(now),
                Next::Wait(Some(now + Duration::from_millis(longest / 2))),
                "it keeps its place"
            );
            now += Duration::from_millis(longest / 2);
        }
        assert_eq!(plan.next(now), Next::Start(0, 4));
        assert_eq!(plan.settle(0, &ended(Status::Failed, 1), now, |_| unreachable!()), Settled::Final);
        assert_eq!(plan.next(now), Next::Start(1, 1));
    }

    #[test]
    fn what_blocked_or_is_not_named_is_not_tried_again() {
        let retry = |on: &[&str]| Retry {
            attempts: 2,
            backoff: Duration::ZERO,
            max_backoff: Duration::ZERO,
            on: on.iter().map(|ending| (*ending).to_owned()).collect(),
        };
        for (on, outcome, tried_again) in [
            (&[][..], ended(Status::Failed, 1), true),
            (&[], ended(Status::Failed, 2), false),
            (&[], ended(Status::Failed, 75), true),
            (&[], ended(Status::Success, 0), false),
            (&[], ended(Status::Skipped, 77), false),
            (&[], ended(Status::Interrupted, 130), false),
            (&["tempfail"], ended(Status::Failed, 75), true),
            (&["tempfail"], ended(Status::Failed, 1), false),
            (&["timeout"], ended(Status::Timeout, 124), true),
            (&["timeout"], ended(Status::Error, 0), false),
        ] {
            let retry = retry(on);
            assert_eq!(again(&retry, 1, &outcome), tried_again, "{on:?} {outcome:?}");
            assert!(!again(&retry, 2, &outcome));
        }
    }

    #[test]
    fn a_stop_is_told_and_a_pause_ends_when_all_ends() {
        let retry =
            Retry { attempts: 3, backoff: Duration::from_secs(9), max_backoff: Duration::from_secs(9), on: Vec::new() };
        let stop = |stop| Item { fail_mode: FailMode::Stop, stop, limit: 2, ..item("a", &[]) };
        let now = Instant::now();
        let mut plan = Plan::new(vec![stop(StopMode::Now), Item { retry: Some(&retry), ..stop(StopMode::Next) }]);
        assert_eq!((plan.next(now), plan.next(now)), (Next::Start(0, 1), Next::Start(1, 1)));
        assert!(matches!(plan.settle(1, &ended(Status::Failed, 1), now, |pause| pause), Settled::Again(_)));
        assert_eq!(plan.settle(0, &ended(Status::Failed, 1), now, |pause| pause), Settled::StopNow);
        plan.end();
        assert_eq!(plan.next(now), Next::Start(1, 2), "at once, to be told that it does not run");
        assert_eq!(plan.settle(1, &ended(Status::Failed, 1), now, |pause| pause), Settled::Stop);
        assert_eq!(plan.next(now), Next::Done);
    }
}
