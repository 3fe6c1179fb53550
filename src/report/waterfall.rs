//! Where the attempts of an event stand in time. Decides; draws nothing.

use super::mark::Mark;
use super::markup::sane;
use crate::audit::{AttemptStory, Story};

/// A pause this long, and this many times as long as all that came before it, begins a sitting of its own:
/// a `retry` a day later would else press everything into one line.
const PAUSE_MS: f64 = 60_000.0;
const PAUSE_SHARE: f64 = 4.0;

/// What was done in one go, on one axis. Times are milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Sitting<'a> {
    pub(super) from: f64,
    pub(super) to: f64,
    /// How long after the end of the one before it began.
    pub(super) pause: Option<f64>,
    pub(super) bars: Vec<Bar<'a>>,
}

/// An attempt in time.
#[derive(Debug)]
pub(super) struct Bar<'a> {
    pub(super) hook: &'a str,
    pub(super) attempt: &'a AttemptStory,
    pub(super) mark: Mark,
    /// Whether the hook was tried more than once.
    pub(super) one_of_several: bool,
    /// From when it waited for its turn.
    waits: f64,
    starts: f64,
    /// Nothing while its ending is not on record.
    ends: Option<f64>,
}

impl Bar<'_> {
    fn last(&self) -> f64 {
        self.ends.unwrap_or(self.starts)
    }
}

impl Sitting<'_> {
    /// From where to where a bar goes on the axis, in percent: its waiting, and its running.
    pub(super) fn places(&self, bar: &Bar<'_>) -> [(f64, f64); 2] {
        let whole = (self.to - self.from).max(0.001);
        let place = |at: f64| ((at - self.from) / whole * 100.0).clamp(0.0, 100.0);
        let (waits, starts, ends) = (place(bar.waits), place(bar.starts), place(bar.ends.unwrap_or(self.to)));
        // A run too short to be seen is shown all the same.
        let width = (ends - starts).max(0.6);
        let starts = starts.min(100.0 - width);
        [(waits.min(starts), starts), (starts, starts + width)]
    }
}

/// The sittings of an event, first to last; none when nothing was tried.
pub(super) fn sittings(story: &Story) -> Vec<Sitting<'_>> {
    let emitted = story.at.map(|at| at.as_millis() as f64);
    let mut bars: Vec<Bar<'_>> = Vec::new();
    for hook in &story.hooks {
        for attempt in &hook.attempts {
            bars.push(bar(&hook.name, attempt, hook.attempts.len() > 1, emitted));
        }
    }
    // Stable: what began in the same millisecond stays in the order of the log.
    bars.sort_by(|a, b| a.starts.total_cmp(&b.starts));
    let mut sittings: Vec<Sitting<'_>> = Vec::new();
    for bar in bars {
        if let Some(current) = sittings.last_mut() {
            let pause = bar.waits - current.to;
            if pause <= PAUSE_MS || pause <= PAUSE_SHARE * (current.to - current.from) {
                current.to = current.to.max(bar.last());
                current.from = current.from.min(bar.waits);
                current.bars.push(bar);
                continue;
            }
            let (from, to) = (bar.waits, bar.last());
            sittings.push(Sitting { from, to, pause: Some(pause), bars: vec![bar] });
            continue;
        }
        let from = emitted.map_or(bar.waits, |emitted| emitted.min(bar.waits));
        // A first run long after the event is told by its pause, not by an empty axis.
        let late = bar.waits - from > PAUSE_MS;
        let (from, pause) = if late { (bar.waits, Some(bar.waits - from)) } else { (from, None) };
        sittings.push(Sitting { from, to: bar.last(), pause, bars: vec![bar] });
    }
    sittings
}

fn bar<'a>(hook: &'a str, attempt: &'a AttemptStory, one_of_several: bool, emitted: Option<f64>) -> Bar<'a> {
    let millis = |time: Option<crate::time::Timestamp>| time.map(|time| time.as_millis() as f64);
    let (started, ended, took) = (millis(attempt.started), millis(attempt.ended), sane(attempt.duration_ms));
    let starts = started.or_else(|| Some(ended? - took.unwrap_or(0.0))).or(emitted).unwrap_or(0.0);
    let ends = took.map(|took| starts + took).or_else(|| ended.map(|ended| ended.max(starts)));
    let waits = starts - sane(attempt.waited_ms).unwrap_or(0.0);
    Bar { hook, attempt, mark: Mark::of(attempt), one_of_several, waits, starts, ends }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::HookStory;
    use crate::time::Timestamp;

    const DAY: u64 = 24 * 3_600_000;

    fn story(attempts: &[(u64, f64, f64)]) -> Story {
        let attempt = |&(started, duration, waited): &(u64, f64, f64)| AttemptStory {
            started: Some(Timestamp::from_millis(DAY + started)),
            duration_ms: Some(duration),
            waited_ms: Some(waited),
            status: "success".into(),
            ..AttemptStory::default()
        };
        let hook = HookStory { name: "h".into(), attempts: attempts.iter().map(attempt).collect() };
        Story { at: Some(Timestamp::from_millis(DAY)), hooks: vec![hook], ..Story::default() }
    }

    #[test]
    fn bars_stand_where_their_time_is() {
        let story = story(&[(100, 100.0, 50.0), (200, 200.0, 0.0)]);
        let sittings = sittings(&story);
        assert_eq!(sittings.len(), 1);
        let places: Vec<_> = sittings[0].bars.iter().map(|bar| sittings[0].places(bar)).collect();
        assert_eq!(places, [[(12.5, 25.0), (25.0, 50.0)], [(50.0, 50.0), (50.0, 100.0)]]);
    }

    #[test]
    fn what_is_done_much_later_has_an_axis_of_its_own() {
        let told = |attempts: &[(u64, f64, f64)]| -> Vec<(usize, Option<f64>)> {
            sittings(&story(attempts)).iter().map(|sitting| (sitting.bars.len(), sitting.pause)).collect()
        };
        assert_eq!(told(&[(0, 100.0, 0.0), (30_000, 5.0, 0.0)]), [(2, None)]);
        assert_eq!(told(&[(0, 100.0, 0.0), (DAY, 5.0, 0.0)]), [(1, None), (1, Some(DAY as f64 - 100.0))]);
        assert_eq!(told(&[(0, 100_000.0, 0.0), (200_000, 5.0, 0.0)]), [(2, None)]);
        assert_eq!(told(&[(DAY, 5.0, 0.0)]), [(1, Some(DAY as f64))]);
        assert_eq!(told(&[(DAY, 5.0, DAY as f64)]), [(1, None)], "it waited all the time");
    }

    #[test]
    fn no_record_is_too_strange_to_be_drawn() {
        let time = |millis| Some(Timestamp::from_millis(millis));
        let strange = [
            AttemptStory::default(),
            AttemptStory {
                ended: time(5),
                duration_ms: Some(f64::NAN),
                waited_ms: Some(-1.0),
                ..AttemptStory::default()
            },
            AttemptStory { started: time(DAY * 9), ended: time(1), waited_ms: Some(1e11), ..AttemptStory::default() },
            AttemptStory { started: time(DAY), duration_ms: Some(1e300), ..AttemptStory::default() },
        ];
        let hook = HookStory { name: "h".into(), attempts: strange.into() };
        for at in [None, time(DAY)] {
            let story = Story { at, hooks: vec![hook.clone()], ..Story::default() };
            for sitting in sittings(&story) {
                for (from, to) in sitting.bars.iter().flat_map(|bar| sitting.places(bar)) {
                    assert!((0.0..=100.0).contains(&from) && from <= to && to <= 100.001, "{from} {to}");
                }
            }
        }
    }
}
