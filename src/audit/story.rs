//! What became of one event, put together from its records.

use super::read::Entry;
use crate::json::Json;
use crate::time::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// One event and everything that was done with it.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// `evt_…`
    pub event_id: String,
    /// `task.completed` and the like.
    pub event_type: String,
    /// When the first of its records was written.
    pub at: Option<Timestamp>,
    /// The feature it is about.
    pub feature: Option<String>,
    /// The event or action that caused it.
    pub caused_by: Option<String>,
    /// The event, byte for byte; nothing when its own record is no longer in the log.
    pub event: Option<String>,
    /// What knockon itself took before it was recorded, in milliseconds.
    pub overhead_ms: Option<f64>,
    /// What went wrong apart from hooks, such as a configuration that could not be read.
    pub problems: Vec<String>,
    /// The hooks it was meant for, in the order in which they came up.
    pub hooks: Vec<HookStory>,
}

/// What became of an event at one hook.
#[derive(Clone, Debug)]
pub struct HookStory {
    /// The hook's name.
    pub name: String,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptStory>,
}

/// One attempt, or why there was none.
#[derive(Clone, Debug, Default)]
pub struct AttemptStory {
    /// From 1.
    pub attempt: u64,
    /// Whether the event was delivered before.
    pub replay: bool,
    /// When it began; nothing when it did not.
    pub started: Option<Timestamp>,
    /// When its end was recorded; nothing while it goes on, or when knockon was killed.
    pub ended: Option<Timestamp>,
    /// The word of the log; `started` as long as there is no ending.
    pub status: String,
    /// From the start of the program to its end, in milliseconds.
    pub duration_ms: Option<f64>,
    /// How long it waited in the queue of hooks that nobody waits for, or for its group, in milliseconds.
    pub waited_ms: Option<f64>,
    /// What knockon itself took to start it and to see its end, in milliseconds.
    pub overhead_ms: Option<f64>,
    /// The exit code.
    pub exit_code: Option<i64>,
    /// The signal that ended it.
    pub signal: Option<i64>,
    /// Processor time in milliseconds.
    pub cpu_ms: Option<f64>,
    /// The largest resident set in KiB.
    pub peak_kib: Option<u64>,
    /// What skipped it, if something did.
    pub skipped_by: Option<String>,
    /// Why, unless all went well.
    pub error: Option<String>,
    /// The end of what it wrote to standard output, of a failure.
    pub stdout: Option<String>,
    /// The end of what it wrote to standard error, of a failure.
    pub stderr: Option<String>,
    /// Fields that this version does not know, or has no other place for.
    pub further: Vec<(String, Value)>,
}

/// The fields that a story tells in its own words, or that are about the log and not about the hook.
const TOLD: &[&str] = &[
    "seq",
    "prev",
    "mac",
    "timestamp",
    "event_id",
    "event_type",
    "hook",
    "hook_name",
    "success",
    "status",
    "exit_code",
    "signal",
    "duration_ms",
    "waited_ms",
    "overhead_ms",
    "attempt",
    "cpu_ms",
    "peak_kib",
    "replay",
    "error",
    "stdout_tail",
    "stderr_tail",
];

impl Story {
    /// Stories out of records in the order of the log, in the order in which the events came up.
    pub fn all_of(entries: impl IntoIterator<Item = Entry>) -> Vec<Story> {
        let mut stories: Vec<Story> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries {
            let id = entry.text("event_id");
            if id.is_empty() {
                continue;
            }
            let place = *places.entry(id.to_owned()).or_insert_with(|| {
                let kind = entry.text("event_type").to_owned();
                stories.push(Story { event_id: id.to_owned(), event_type: kind, ..Story::default() });
                stories.len() - 1
            });
            stories[place].add(&entry);
        }
        stories
    }

    fn add(&mut self, entry: &Entry) {
        let at = Timestamp::parse(entry.text("timestamp"));
        self.at = self.at.or(at);
        let (hook, status) = (entry.text("hook"), entry.text("status"));
        match (hook, status) {
            ("", "emitted") => {
                let event = entry.event().and_then(|bytes| String::from_utf8(bytes).ok());
                self.overhead_ms = entry.number("overhead_ms");
                if let Some(json) = event.as_ref().and_then(|event| Json::parse(event.as_bytes()).ok()) {
                    let member = |name: &str| json.get(name).and_then(Json::as_str).map(|text| text.into_owned());
                    (self.feature, self.caused_by) = (member("feature"), member("causation_id"));
                }
                self.event = event;
            }
            ("", _) => self.problems.extend(entry.filled("error").map(str::to_owned)),
            (hook, status) => {
                let place = self.hooks.iter().position(|known| known.name == hook).unwrap_or_else(|| {
                    self.hooks.push(HookStory { name: hook.to_owned(), attempts: Vec::new() });
                    self.hooks.len() - 1
                });
                let attempts = &mut self.hooks[place].attempts;
                if status == "started" {
                    attempts.push(AttemptStory { started: at, ..AttemptStory::of(entry) });
                    return;
                }
                let attempt = AttemptStory::of(entry);
                let open = attempts.iter().rposition(|known| known.ended.is_none() && known.attempt == attempt.attempt);
                let ended = AttemptStory { ended: at, ..attempt };
                match open.filter(|_| entry.number("duration_ms").is_some() || !is_no_run(status)) {
                    Some(open) => attempts[open] = AttemptStory { started: attempts[open].started, ..ended },
                    None => attempts.push(ended),
                }
            }
        }
    }
}

/// Whether a status tells that no process ran.
fn is_no_run(status: &str) -> bool {
    ["skipped", "blocked_untrusted", "disabled", "invalid", "detached"].contains(&status)
}

impl AttemptStory {
    fn of(entry: &Entry) -> Self {
        let whole = |name: &str| entry.value(name).and_then(Value::as_i64);
        let text = |name: &str| entry.filled(name).map(str::to_owned);
        AttemptStory {
            attempt: whole("attempt").and_then(|attempt| u64::try_from(attempt).ok()).unwrap_or(1),
            replay: entry.value("replay").and_then(Value::as_bool).unwrap_or(false),
            started: None,
            ended: None,
            status: entry.text("status").to_owned(),
            duration_ms: entry.number("duration_ms"),
            waited_ms: entry.number("waited_ms"),
            overhead_ms: entry.number("overhead_ms"),
            exit_code: whole("exit_code"),
            signal: whole("signal"),
            cpu_ms: entry.number("cpu_ms"),
            peak_kib: whole("peak_kib").and_then(|size| u64::try_from(size).ok()),
            skipped_by: text("skipped_by"),
            error: text("error"),
            stdout: text("stdout_tail"),
            stderr: text("stderr_tail"),
            further: entry.further(TOLD).map(|(name, value)| (name.to_owned(), value.clone())).collect(),
        }
    }

    /// Whether it ended in a way that a person should look at.
    pub fn is_bad(&self) -> bool {
        let bad = ["failed", "timeout", "error", "interrupted", "blocked_untrusted", "invalid"];
        bad.contains(&self.status.as_str()) || self.is_missed()
    }

    /// Whether it was skipped although it should have run.
    pub fn is_missed(&self) -> bool {
        let missed = ["environment", "chain", "unsupported"];
        self.status == "skipped" && self.skipped_by.as_ref().is_some_and(|by| missed.contains(&by.as_str()))
    }
}
