//! What is counted: over all, by hook, and by the reason of failures.

use super::mark::Mark;
use super::markup::sane;
use crate::audit::{AttemptStory, Story};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// How many columns a decade has in a distribution.
const COLUMNS_A_DECADE: f64 = 5.0;

/// What is counted over all events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) events: usize,
    /// Attempts that ran, or should have and could not be started.
    pub(super) runs: usize,
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    pub(super) unfinished: usize,
    pub(super) blocked: usize,
    pub(super) skipped: usize,
    /// Runs after an earlier run of the same event at the same hook.
    pub(super) retries: usize,
    /// Hooks that failed at an event and came to a good end in the end.
    pub(super) recovered: usize,
}

/// What is counted of one hook.
#[derive(Debug, Default, PartialEq)]
pub(super) struct HookFigures {
    pub(super) name: String,
    pub(super) runs: usize,
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    pub(super) blocked: usize,
    pub(super) skipped: usize,
    pub(super) retries: usize,
    /// How long its runs took in milliseconds, shortest first.
    pub(super) durations: Vec<f64>,
}

/// Failures of one hook for one reason.
#[derive(Debug)]
pub(super) struct Failures<'a> {
    /// Nothing when it was no hook that failed.
    pub(super) hook: Option<&'a str>,
    pub(super) mark: Mark,
    pub(super) reason: &'a str,
    pub(super) count: usize,
    /// The events in which it happened, oldest first.
    pub(super) events: Vec<&'a Story>,
    /// The newest of them.
    pub(super) newest: Option<&'a AttemptStory>,
    pub(super) at: Option<Timestamp>,
}

/// Over all events, and of each hook; hooks with most runs first.
pub(super) fn count(stories: &[Story]) -> (Totals, Vec<HookFigures>) {
    let mut totals = Totals { events: stories.len(), ..Totals::default() };
    let mut hooks: BTreeMap<&str, HookFigures> = BTreeMap::new();
    for hook in stories.iter().flat_map(|story| &story.hooks) {
        let figures = hooks.entry(&hook.name).or_default();
        let mut earlier_runs = 0;
        for attempt in &hook.attempts {
            let mark = Mark::of(attempt);
            match mark {
                Mark::Blocked => figures.blocked += 1,
                Mark::Skipped => figures.skipped += 1,
                Mark::Success => figures.succeeded += 1,
                Mark::Unfinished => totals.unfinished += 1,
                _ if mark.is_bad() => figures.failed += 1,
                _ => {}
            }
            if mark.is_run(attempt) {
                figures.runs += 1;
                figures.retries += usize::from(earlier_runs > 0);
                earlier_runs += 1;
                figures.durations.extend(sane(attempt.duration_ms));
            }
        }
        let failed_before = hook.attempts.iter().map(Mark::of).any(|mark| mark.is_bad() && mark != Mark::Blocked);
        totals.recovered += usize::from(failed_before && Mark::of_hook(hook) == Mark::Success);
    }
    let mut hooks: Vec<HookFigures> =
        hooks.into_iter().map(|(name, figures)| HookFigures { name: name.to_owned(), ..figures }).collect();
    for hook in &mut hooks {
        hook.durations.sort_by(f64::total_cmp);
        totals.runs += hook.runs;
        totals.succeeded += hook.succeeded;
        totals.failed += hook.failed;
        totals.blocked += hook.blocked;
        totals.skipped += hook.skipped;
        totals.retries += hook.retries;
    }
    hooks.sort_by_key(|hook| std::cmp::Reverse(hook.runs));
    (totals, hooks)
}

impl HookFigures {
    /// The duration that this share of its runs did not exceed (nearest rank).
    pub(super) fn percentile(&self, share: f64) -> Option<f64> {
        let rank = (share * self.durations.len() as f64).ceil() as usize;
        self.durations.get(rank.max(1) - 1).copied()
    }

    /// How many of its runs fell into each column of a scale.
    pub(super) fn distribution(&self, scale: Scale) -> Vec<usize> {
        let mut columns = vec![0; scale.columns];
        for duration in &self.durations {
            columns[scale.column(*duration)] += 1;
        }
        columns
    }
}

/// A logarithmic scale of durations, the same for all hooks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// Where it begins and ends, in milliseconds: powers of ten.
    pub(super) from: f64,
    pub(super) to: f64,
    columns: usize,
}

impl Scale {
    /// The scale that has every duration; nothing when there is none.
    pub(super) fn of(hooks: &[HookFigures]) -> Option<Self> {
        let all = || hooks.iter().flat_map(|hook| &hook.durations).map(|duration| duration.max(0.1));
        let (least, most) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
        let low = least.log10().floor();
        let high = most.log10().ceil().max(low + 1.0);
        let columns = ((high - low) * COLUMNS_A_DECADE).round() as usize;
        Some(Scale { from: 10_f64.powf(low), to: 10_f64.powf(high), columns })
    }

    /// How far a duration is along the scale, from 0 to 1.
    pub(super) fn place(self, duration: f64) -> f64 {
        ((duration.max(0.1) / self.from).log10() / (self.to / self.from).log10()).clamp(0.0, 1.0)
    }

    fn column(self, duration: f64) -> usize {
        ((self.place(duration) * self.columns as f64) as usize).min(self.columns - 1)
    }
}

/// Failures by hook and reason; what happened last first.
pub(super) fn failures<'a>(stories: &'a [Story]) -> Vec<Failures<'a>> {
    let mut groups: BTreeMap<(Option<&str>, Mark, &str), Failures<'_>> = BTreeMap::new();
    let mut add = |story: &'a Story, hook, mark, reason, attempt: Option<&'a AttemptStory>, at| {
        let new = Failures { hook, mark, reason, count: 0, events: Vec::new(), newest: None, at: None };
        let group = groups.entry((hook, mark, reason)).or_insert(new);
        group.count += 1;
        (group.newest, group.at) = (attempt, at);
        if !group.events.last().is_some_and(|last| std::ptr::eq(*last, story)) {
            group.events.push(story);
        }
    };
    for story in stories {
        for problem in &story.problems {
            add(story, None, Mark::Error, problem, None, story.at);
        }
        for hook in &story.hooks {
            for attempt in hook.attempts.iter().filter(|attempt| Mark::of(attempt).is_bad()) {
                let reason = attempt.error.as_deref().unwrap_or_default();
                let at = attempt.ended.or(attempt.started).or(story.at);
                add(story, Some(hook.name.as_str()), Mark::of(attempt), reason, Some(attempt), at);
            }
        }
    }
    let mut groups: Vec<Failures<'_>> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.at));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::HookStory;

    fn attempt(status: &str, duration_ms: Option<f64>) -> AttemptStory {
        AttemptStory { status: status.to_owned(), duration_ms, ..AttemptStory::default() }
    }

    fn story(hooks: Vec<(&str, Vec<AttemptStory>)>) -> Story {
        let hooks = hooks.into_iter().map(|(name, attempts)| HookStory { name: name.to_owned(), attempts });
        Story { hooks: hooks.collect(), ..Story::default() }
    }

    #[test]
    fn counts_runs_and_what_became_of_them() {
        let failed = |error: &str| AttemptStory { error: Some(error.into()), ..attempt("failed", Some(3.0)) };
        let stories = [
            story(vec![
                ("a", vec![failed("exit 1"), attempt("success", Some(1.0))]),
                ("b", vec![attempt("skipped", None)]),
            ]),
            story(vec![("a", vec![failed("exit 1")]), ("b", vec![attempt("blocked_untrusted", None)])]),
            story(vec![
                ("a", vec![attempt("started", None)]),
                ("b", vec![attempt("detached", None), failed("exit 2")]),
            ]),
        ];
        let (totals, hooks) = count(&stories);
        let wanted = Totals {
            events: 3,
            runs: 5,
            succeeded: 1,
            failed: 3,
            unfinished: 1,
            blocked: 1,
            skipped: 1,
            retries: 1,
            recovered: 1,
        };
        assert_eq!(totals, wanted);
        assert_eq!((hooks[0].name.as_str(), hooks[0].runs, hooks[0].durations.clone()), ("a", 4, vec![1.0, 3.0, 3.0]));
        let groups: Vec<_> = failures(&stories).iter().map(|group| (group.hook, group.reason, group.count)).collect();
        assert_eq!(groups, [(Some("a"), "exit 1", 2), (Some("b"), "exit 2", 1), (Some("b"), "", 1)]);
    }

    #[test]
    fn percentiles_are_durations_that_were_there() {
        let hook = |durations: Vec<f64>| HookFigures { durations, ..HookFigures::default() };
        let hundred = hook((1..=100).map(f64::from).collect());
        assert_eq!(
            [hundred.percentile(0.5), hundred.percentile(0.95), hundred.percentile(1.0)],
            [Some(50.0), Some(95.0), Some(100.0)]
        );
        assert_eq!(hook(vec![7.0]).percentile(0.95), Some(7.0));
        assert_eq!(hook(vec![]).percentile(0.5), None);
    }

    #[test]
    fn a_scale_has_every_duration() {
        let hook = |durations: &[f64]| HookFigures { durations: durations.to_vec(), ..HookFigures::default() };
        for durations in [&[0.0][..], &[1.0], &[10.0, 10.0], &[0.3, 99_999.0], &[9.99e11]] {
            let hooks = [hook(durations), hook(&[])];
            let scale = Scale::of(&hooks).unwrap();
            assert_eq!(hooks[0].distribution(scale).iter().sum::<usize>(), durations.len(), "{scale:?}");
            assert!(scale.columns >= 5 && scale.from < scale.to, "{scale:?}");
        }
        assert_eq!(Scale::of(&[hook(&[])]), None);
    }
}
