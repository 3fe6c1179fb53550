//! How hooks and events fared over some time: counts, durations, what they cost, and what knockon itself took.

use super::read::Entry;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};

/// How many of the last runs are kept one by one, for a sparkline.
const RECENT: usize = 40;

/// How many hooks and event types are told apart; what is beyond is counted together.
const MOST_NAMES: usize = 1000;
/// What is beyond.
const OTHERS: &str = "(others)";

/// Spans of time, of which percentiles can be asked: to one percent.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// In microseconds; made with the first.
    histogram: Option<Histogram<u64>>,
    sum_ms: f64,
}

impl Spans {
    /// Adds one, in milliseconds; what is none is left out.
    pub fn add(&mut self, millis: f64) {
        if (0.0..1e12).contains(&millis) {
            // Two digits are among those the library knows, and it grows to any span that is let in here.
            if self.histogram.is_none() {
                self.histogram = Histogram::new(2).ok();
            }
            let _ = self.histogram.as_mut().map(|histogram| histogram.record((millis * 1e3).round() as u64));
            self.sum_ms += millis;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The span that this part of them (0 to 1) does not pass, in milliseconds; nothing without any.
    pub fn percentile(&self, part: f64) -> Option<f64> {
        self.histogram.as_ref().map(|histogram| histogram.value_at_quantile(part) as f64 / 1e3)
    }

    /// The longest, in milliseconds.
    pub fn longest(&self) -> Option<f64> {
        self.histogram.as_ref().map(|histogram| histogram.max() as f64 / 1e3)
    }

    /// All of them together, in milliseconds.
    pub fn sum(&self) -> f64 {
        self.sum_ms
    }
}

/// How the runs of one hook, or of all hooks of one event type, fared.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Endings by their word in the log, those included that started no process.
    pub endings: BTreeMap<String, u64>,
    /// How long they ran.
    pub durations: Spans,
    /// How long they waited in the queue of what nobody waits for, or for their group.
    pub waited: Spans,
    /// What knockon itself took.
    pub overhead: Spans,
    /// Processor time in milliseconds.
    pub cpu_ms: f64,
    /// The largest resident set, in KiB.
    pub peak_kib: u64,
    /// How often an event ended well where the one before had not, or the other way round.
    pub flips: u64,
    /// Events whose ending is known.
    events: u64,
    /// The event that was last: its id, how it ended so far, and how the one before it ended in the end.
    last: Option<(String, bool, Option<bool>)>,
    /// Attempts after the first.
    pub retries: u64,
    /// The last runs: milliseconds, and whether it went well.
    pub recent: VecDeque<(f64, bool)>,
}

impl Tally {
    /// Runs that went well.
    pub fn succeeded(&self) -> u64 {
        self.endings.get("success").copied().unwrap_or(0)
    }

    /// Runs that did not.
    pub fn failed(&self) -> u64 {
        ["failed", "timeout", "error", "interrupted"].iter().filter_map(|word| self.endings.get(*word)).sum()
    }

    /// Runs, whatever became of them.
    pub fn runs(&self) -> u64 {
        self.succeeded() + self.failed()
    }

    /// The part of runs that went well, 0 to 1; nothing without a run.
    pub fn success_rate(&self) -> Option<f64> {
        (self.runs() > 0).then(|| self.succeeded() as f64 / self.runs() as f64)
    }

    /// How often the ending changed from event to event, 0 to 1: 0 is a hook that always does the same.
    pub fn flakiness(&self) -> f64 {
        self.flips as f64 / self.events.saturating_sub(1).max(1) as f64
    }

    /// What a retry makes good was no change from event to event.
    fn note_ending(&mut self, event: &str, well: bool) {
        let changed = |before: Option<bool>, well: bool| u64::from(before.is_some_and(|before| before != well));
        match &mut self.last {
            Some((last, so_far, before)) if last == event => {
                self.flips = self.flips - changed(*before, *so_far) + changed(*before, well);
                *so_far = well;
            }
            last => {
                let before = last.as_ref().map(|(_, well, _)| *well);
                self.flips += changed(before, well);
                self.events += 1;
                *last = Some((event.to_owned(), well, before));
            }
        }
    }

    fn add(&mut self, entry: &Entry, status: &str) {
        *self.endings.entry(status.to_owned()).or_default() += 1;
        let well = match status {
            "success" => true,
            "failed" | "timeout" | "error" | "interrupted" => false,
            _ => return,
        };
        let millis = entry.number("duration_ms");
        if let Some(millis) = millis {
            self.durations.add(millis);
        }
        self.note_ending(entry.text("event_id"), well);
        self.recent.push_back((millis.unwrap_or(0.0), well));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.retries += u64::from(entry.number("attempt").is_some_and(|attempt| attempt > 1.0));
        if let Some(waited) = entry.number("waited_ms") {
            self.waited.add(waited);
        }
        if let Some(overhead) = entry.number("overhead_ms") {
            self.overhead.add(overhead);
        }
        self.cpu_ms += entry.number("cpu_ms").filter(|cpu| (0.0..1e12).contains(cpu)).unwrap_or(0.0);
        let peak = entry.number("peak_kib").filter(|peak| (0.0..1e15).contains(peak)).unwrap_or(0.0);
        self.peak_kib = self.peak_kib.max(peak as u64);
    }
}

/// How all of it fared.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By hook.
    pub hooks: BTreeMap<String, Tally>,
    /// By event type: what its hooks made of it.
    pub kinds: BTreeMap<String, Tally>,
    /// How many events there were of each type.
    pub events: BTreeMap<String, u64>,
    /// Of all hooks.
    pub all: Tally,
    /// What it took knockon to make and record an event.
    pub making: Spans,
    /// The times of the first and the last record.
    pub range: Option<(String, String)>,
}

/// What is kept under a name, or under what is left of names.
fn of_name<'a, T: Default>(all: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let name = if all.len() < MOST_NAMES || all.contains_key(name) { name } else { OTHERS };
    all.entry(name.to_owned()).or_default()
}

impl Stats {
    /// Adds a record.
    pub fn add(&mut self, entry: &Entry) {
        let time = entry.text("timestamp").to_owned();
        match &mut self.range {
            Some((_, last)) => *last = time,
            None => self.range = Some((time.clone(), time)),
        }
        let (hook, kind, status) = (entry.text("hook"), entry.text("event_type"), entry.text("status"));
        match (hook, status) {
            ("", "emitted") => {
                *of_name(&mut self.events, kind) += 1;
                if let Some(overhead) = entry.number("overhead_ms") {
                    self.making.add(overhead);
                }
            }
            ("", _) | (_, "started") => {}
            (hook, status) => {
                of_name(&mut self.hooks, hook).add(entry, status);
                of_name(&mut self.kinds, kind).add(entry, status);
                self.all.add(entry, status);
            }
        }
    }

    /// The hooks that take the longest in the middle, longest first.
    pub fn slowest(&self) -> Vec<(&str, f64)> {
        let middle = |tally: &Tally| tally.durations.percentile(0.5);
        let hooks = self.hooks.iter();
        let mut slowest: Vec<(&str, f64)> =
            hooks.filter_map(|(name, tally)| Some((name.as_str(), middle(tally)?))).collect();
        slowest.sort_by(|a, b| b.1.total_cmp(&a.1));
        slowest
    }

    /// The hooks whose endings change most from run to run, flakiest first; those that always do the same are left out.
    pub fn flakiest(&self) -> Vec<(&str, f64)> {
        let flaky = self.hooks.iter().filter(|(_, tally)| tally.flips > 0);
        let mut flakiest: Vec<(&str, f64)> = flaky.map(|(name, tally)| (name.as_str(), tally.flakiness())).collect();
        flakiest.sort_by(|a, b| b.1.total_cmp(&a.1));
        flakiest
    }
}
