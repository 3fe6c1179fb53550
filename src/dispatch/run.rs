//! One dispatch on its way: what the plan says, carried out, each step on record.

use super::groups::{Entered, Groups, Kept};
use super::plan::{Next, Plan, Settled};
use super::{Dispatched, Dispatcher, HookReport, note};
use crate::audit::AuditRecord;
use crate::config::{Mode, Sandbox};
use crate::delivery::{Delivery, MAX_CHAIN, NotRun, Outcome, SkippedBy, Status};
use crate::event::{ConversionError, Event};
use crate::matcher::Match;
use crate::runner::Runner;
use crate::sys::Signal;
use crate::text::one_line;
use crate::time::Timestamp;
use crate::trust::{Guard, Verdict};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a script that is open for writing is waited for: first so long, then twice that, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(128);

/// Whether a hook may start now, as far as its group goes.
enum Entry {
    /// It may.
    Entered,
    /// Another run is in the group; ask again then.
    Busy(Instant),
    /// It does not run.
    Refused(Box<Outcome>),
}

/// One dispatch on its way.
pub(super) struct Run<'r, 'a> {
    pub(super) dispatcher: Dispatcher<'a>,
    pub(super) plan: Plan<'r>,
    pub(super) runner: Runner<'r>,
    pub(super) guard: Guard<'a>,
    pub(super) groups: Groups,
    /// The groups that hooks have entered.
    pub(super) entered: Vec<Option<Entered>>,
    /// Those that go on without us, and are not handed over yet.
    pub(super) handed: Vec<usize>,
    /// By match.
    pub(super) reports: Vec<Option<HookReport>>,
    pub(super) attempts: Vec<u32>,
    /// Since when each waits for its group.
    pub(super) asked: Vec<Option<Instant>>,
    /// When the attempt that is under way was begun, and how long it had waited.
    pub(super) begun: Vec<Option<(Instant, Duration)>>,
    /// How the last attempt ended of those that are to be tried again.
    pub(super) last: Vec<Option<Outcome>>,
    /// The next pause of those whose script is still open for writing.
    pub(super) busy: Vec<Option<Duration>>,
    /// The hook whose failure ended it.
    pub(super) stopped: Option<usize>,
    pub(super) dispatched: &'r mut Dispatched,
    pub(super) converted: &'r BTreeMap<u32, Result<Event, ConversionError>>,
    pub(super) matches: &'r [Match],
    pub(super) deliveries: &'r [Delivery<'r>],
}

impl<'r> Run<'r, '_> {
    pub(super) fn carry_out(&mut self) {
        loop {
            let next = self.plan.next(Instant::now());
            if !self.handed.is_empty() && !matches!(next, Next::Start(..)) {
                self.hand_over();
                continue;
            }
            match next {
                Next::Start(index, attempt) => self.start(index, attempt),
                Next::Wait(until) => match self.runner.wait_any(until) {
                    Some((index, outcome)) => self.finish(index, outcome),
                    // A pause is over, or there is no reason to keep it.
                    None => {
                        if self.runner.interrupted().is_some() {
                            self.plan.end();
                        }
                    }
                },
                Next::Done => break,
            }
        }
    }

    fn start(&mut self, index: usize, attempt: u32) {
        self.attempts[index] = attempt;
        if let Some(outcome) = self.obstacle(index) {
            // One that waited for another attempt keeps the ending it had.
            return match self.last[index].take().filter(|_| outcome.skipped_by.is_some()) {
                Some(last) => {
                    self.attempts[index] -= 1;
                    self.conclude(index, last);
                }
                None => self.finish(index, outcome),
            };
        }
        if self.goes_on_alone(index) {
            return self.handed.push(index);
        }
        self.begin(index);
    }

    /// Starts a hook that is waited for.
    fn begin(&mut self, index: usize) {
        match self.enter_group(index) {
            Entry::Entered => {}
            Entry::Busy(until) => {
                self.asked[index].get_or_insert_with(Instant::now);
                return self.plan.defer(index, until);
            }
            Entry::Refused(outcome) => return self.finish(index, *outcome),
        }
        let delivery = self.delivery(index);
        if self.busy[index].is_some() {
            // It is on record that it starts.
            return self.launch(index, delivery);
        }
        let for_group = self.asked[index].take().map_or(Duration::ZERO, |asked| asked.elapsed());
        let first = self.attempts[index] == 1;
        let waited = self.in_queue().filter(|_| first).unwrap_or(for_group);
        self.begun[index] = Some((Instant::now(), waited));
        let hashes = self.guard.hashes(self.matches[index].hook);
        self.record(&AuditRecord::started(&delivery, Timestamp::now()).of_content(hashes));
        if let Some(watcher) = self.dispatcher.watcher {
            watcher.started(delivery.hook, delivery.attempt);
        }
        self.launch(index, delivery);
    }

    fn launch(&mut self, index: usize, delivery: Delivery<'r>) {
        let limits = self.dispatcher.surroundings.limits;
        let strict = limits.rules(delivery.hook).level == Sandbox::Strict;
        let trusted = if strict { self.guard.trusted_bytes(self.matches[index].hook) } else { None };
        self.runner.start(index, delivery, trusted);
    }

    /// The delivery of the attempt that is under way.
    fn delivery(&self, index: usize) -> Delivery<'r> {
        let delivery = self.deliveries[index];
        let attempt = delivery.attempt.saturating_add(self.attempts[index]).saturating_sub(1);
        Delivery { attempt, ..delivery }
    }

    /// Whether nobody waits for a hook.
    fn goes_on_alone(&mut self, index: usize) -> bool {
        let hook = self.deliveries[index].hook;
        let wanted = hook.mode == Mode::Detach || hook.coalesce.is_some();
        let Some(background) = self.dispatcher.background.filter(|_| wanted) else { return false };
        match background.ready() {
            Ok(()) => true,
            Err(why) => {
                let warning = format!("`{}` is waited for: {why}", hook.name);
                self.dispatched.unrecorded.push(warning);
                false
            }
        }
    }

    /// Hands over those that go on without us, all at once: storing them takes a wait for the disk.
    fn hand_over(&mut self) {
        let handed = std::mem::take(&mut self.handed);
        let Some(background) = self.dispatcher.background.filter(|_| !handed.is_empty()) else { return };
        let deliveries: Vec<Delivery<'r>> = handed.iter().map(|index| self.delivery(*index)).collect();
        let (outcomes, carrier) = match background.store(&deliveries) {
            Ok(stored) => stored,
            Err(why) => {
                self.dispatched.unrecorded.push(format!("hooks are waited for: {why}"));
                return handed.into_iter().for_each(|index| self.begin(index));
            }
        };
        for (index, outcome) in handed.into_iter().zip(outcomes) {
            self.finish(index, outcome);
        }
        // After the word that they go on: theirs comes later.
        if let Err(why) = background.start(carrier, self.dispatcher.occasion.trace) {
            self.dispatched.unrecorded.push(why);
        }
    }

    /// Lets a hook into its group, which one run of it is in at a time.
    fn enter_group(&mut self, index: usize) -> Entry {
        let Some((group, on_busy)) = &self.deliveries[index].hook.group else { return Entry::Entered };
        if self.entered[index].as_ref().is_some_and(Entered::is_inside) {
            return Entry::Entered;
        }
        match self.groups.enter(group, *on_busy, self.entered[index].take(), Instant::now()) {
            Ok(entered) => {
                let wait = entered.again_at();
                self.entered[index] = Some(entered);
                wait.map_or(Entry::Entered, Entry::Busy)
            }
            Err(Kept::Out(why)) => Entry::Refused(Outcome::skipped(SkippedBy::Group, why).into()),
            Err(Kept::TooLong(why)) => Entry::Refused(Outcome::without_process(Status::Error, why).into()),
            Err(Kept::Unknown(why)) => {
                // Running it twice at a time is what its author did not want.
                let mut outcome = Outcome::without_process(Status::Error, why);
                outcome.help = Some("set HOME or XDG_STATE_HOME to a folder that can be written".into());
                Entry::Refused(outcome.into())
            }
        }
    }

    /// What keeps a hook from being started.
    fn obstacle(&mut self, index: usize) -> Option<Outcome> {
        if let Some(disabled) = self.disabled(index) {
            return Some(disabled);
        }
        if let Some(why) = self.dispatcher.skip.why(self.deliveries[index].hook.name.as_str()) {
            return Some(Outcome::skipped(SkippedBy::Environment, why));
        }
        if let Some(signal) = self.runner.interrupted() {
            let why = format!("knockon was told to end by {}", Signal::name_of(signal.number()));
            return Some(Outcome::skipped(SkippedBy::Interrupt, why));
        }
        if let Some(by) = self.stopped.map(|index| &self.deliveries[index].hook.name) {
            return Some(Outcome::skipped(SkippedBy::Stop, format!("`{by}` failed with fail_mode: stop")));
        }
        if self.dispatcher.occasion.chain >= MAX_CHAIN {
            let why = format!("{MAX_CHAIN} events caused each other already; no hook runs at the end of such a chain");
            return Some(Outcome::skipped(SkippedBy::Chain, why));
        }
        // Before anything else that the content decides: nothing in it counts until it is trusted.
        let verdict = self.guard.may_start(self.matches[index].hook);
        if verdict != Verdict::Trusted {
            let why = if let Verdict::Refused(_) = verdict { NotRun::Refused } else { NotRun::Untrusted };
            let outcome = Outcome::not_run(why, verdict.to_string());
            self.dispatched.blocked.get_or_insert(verdict);
            return Some(outcome);
        }
        if let Some(why) = &self.dispatcher.surroundings.limits.broken {
            let outcome = Outcome::without_process(Status::Error, format!("the policy {why}"));
            let help = Some("correct the errors in the policy; until then no hook runs".into());
            return Some(Outcome { blocked: true, not_run: Some(NotRun::Refused), help, ..outcome });
        }
        let own_version = self.deliveries[index].hook.schema_version.and_then(|major| self.converted.get(&major));
        let error = own_version.and_then(|event| event.as_ref().err())?;
        Some(Outcome { blocked: true, ..Outcome::without_process(Status::Error, error.to_string()) })
    }

    /// That a hook is disabled. Content that was trusted and changed since may not say so.
    fn disabled(&mut self, index: usize) -> Option<Outcome> {
        let delivery = &self.deliveries[index];
        let asked_by_name = self.matches[index].entry.is_none();
        if delivery.hook.enabled || asked_by_name {
            return None;
        }
        let verdict = self.guard.verdict(self.matches[index].hook);
        matches!(verdict, Verdict::Trusted | Verdict::Untrusted).then(|| {
            let place = one_line(&delivery.file.place_of_disabling(delivery.hook));
            Outcome::not_run(NotRun::Disabled, format!("disabled ({place})"))
        })
    }

    fn finish(&mut self, index: usize, mut outcome: Outcome) {
        if outcome.busy && self.waits_for_writer(index) {
            return;
        }
        self.busy[index] = None;
        if self.dispatcher.once && self.plan.ends_with(index) {
            // It ends while the rest is written down.
            self.dispatcher.surroundings.platform.rest();
        }
        if let Some((begun, waited)) = self.begun[index].take() {
            outcome.overhead = begun.elapsed().saturating_sub(outcome.duration);
            outcome.waited = waited;
        }
        self.record(&AuditRecord::finished(&self.delivery(index), &outcome, Timestamp::now()));
        self.tell_end(index, &outcome);
        self.conclude(index, outcome);
    }

    /// A script that was written a moment ago is often closed a moment later. It is looked at again then: who has it open may
    /// change it.
    fn waits_for_writer(&mut self, index: usize) -> bool {
        let pause = self.busy[index].unwrap_or(FIRST_PAUSE);
        if pause > LONGEST_PAUSE || self.runner.interrupted().is_some() {
            return false;
        }
        self.busy[index] = Some(pause * 2);
        self.plan.defer(index, Instant::now() + pause);
        true
    }

    /// What an ending means for the rest.
    fn conclude(&mut self, index: usize, outcome: Outcome) {
        match self.plan.settle(index, &outcome, Instant::now(), random_up_to) {
            Settled::Again(_) => {
                self.last[index] = Some(outcome);
                return;
            }
            Settled::Final => {}
            Settled::Stop => self.stop(index, false),
            Settled::StopNow => self.stop(index, true),
        }
        self.entered[index] = None;
        self.report(index, outcome);
    }

    /// How long ago the delivery was due, when it comes out of the queue of what nobody waits for.
    fn in_queue(&self) -> Option<Duration> {
        let due = self.dispatcher.occasion.due?.as_millis();
        Some(Duration::from_millis(Timestamp::now().as_millis().saturating_sub(due)))
    }

    fn tell_end(&self, index: usize, outcome: &Outcome) {
        let delivery = self.delivery(index);
        if let Some(watcher) = self.dispatcher.watcher {
            watcher.ended(delivery.hook, delivery.attempt, outcome);
        }
        #[cfg(feature = "otel")]
        if let Some(span) = self.dispatcher.span {
            span.attempt(&delivery, outcome);
        }
    }

    fn report(&mut self, index: usize, outcome: Outcome) {
        let hook = self.deliveries[index].hook;
        let report = HookReport {
            name: hook.name.to_string(),
            enabled: hook.enabled,
            fail_mode: hook.fail_mode,
            output: hook.output,
            reason: self.matches[index].reason(self.dispatcher.loaded),
            attempts: self.attempts[index],
            outcome,
        };
        if let Some(watcher) = self.dispatcher.watcher {
            watcher.settled(&report);
        }
        self.reports[index] = Some(report);
    }

    /// Lets nothing begin any more, and with `now` ends what runs.
    fn stop(&mut self, index: usize, now: bool) {
        self.stopped.get_or_insert(index);
        self.plan.end();
        if now {
            self.runner.cancel();
        }
    }

    fn record(&mut self, record: &AuditRecord<'_>) {
        if let Err(error) = self.dispatcher.audit.append(record) {
            note(&mut self.dispatched.unrecorded, &error);
        }
    }
}

/// A duration from zero to `longest`, all of them as likely.
fn random_up_to(longest: Duration) -> Duration {
    // Without randomness from the system the pause is the longest there is.
    getrandom::u64().map_or(longest, |random| longest.mul_f64(random as f64 / u64::MAX as f64))
}
