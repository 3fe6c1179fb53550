//! One line of the audit log (ADR-006, and ours).

use crate::delivery::{Captured, Decision, Delivery, Outcome, SkippedBy, Status};
use crate::event::{Event, EventId};
use crate::text::hook_line;
use crate::time::{Timestamp, millis};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::time::Duration;

/// Every status that a record can have.
pub const STATUSES: [&str; 15] = [
    "emitted",
    "started",
    "success",
    "failed",
    "timeout",
    "error",
    "skipped",
    "blocked_untrusted",
    "disabled",
    "invalid",
    "interrupted",
    "detached",
    "trusted",
    "untrusted",
    "sealed",
];

/// The most characters kept of a failed hook's output.
const TAIL_CHARACTERS: usize = 2000;

/// What is recorded. Absent fields are left out; `seq` and `prev` are added when the line is written.
#[derive(Clone, Debug)]
pub struct AuditRecord<'a> {
    timestamp: Timestamp,
    /// Absent in a record that is about no event.
    event_id: Option<EventId>,
    event_type: Option<&'a str>,
    /// Who made the event, or did what the record is about, and on which machine.
    user: Option<&'a str>,
    host: Option<&'a str>,
    /// The hashes of the content that was trusted, and of the hook's script.
    config_hash: Option<String>,
    script_hash: Option<String>,
    hook: Option<&'a str>,
    status: &'static str,
    exit_code: Option<i32>,
    signal: Option<i32>,
    duration_ms: Option<f64>,
    waited_ms: Option<f64>,
    overhead_ms: Option<f64>,
    pid: Option<i32>,
    attempt: Option<u32>,
    stdout_lines: Option<u64>,
    stderr_lines: Option<u64>,
    cpu_ms: Option<f64>,
    peak_kib: Option<u64>,
    leaky: bool,
    /// Whether something that the hook started may still run.
    survivors: bool,
    skipped_by: Option<&'static str>,
    /// The level of its sandbox, what that keeps it from, and what it should and cannot.
    sandbox: Option<&'static str>,
    enforced: Vec<&'static str>,
    unenforced: Vec<&'static str>,
    replay: bool,
    /// `test` for an event of `knockon test`.
    source: Option<&'static str>,
    decision: Option<&'static str>,
    error: Option<String>,
    stdout_tail: Option<String>,
    stderr_tail: Option<String>,
    /// The same bytes in base 64 (RFC 4648), where they are no UTF-8.
    stdout_tail_base64: Option<String>,
    stderr_tail_base64: Option<String>,
    config_commit: Option<&'a str>,
    config_ref: Option<&'a str>,
    /// The event's exact bytes, when they are one line.
    event: Option<&'a str>,
    /// The event's exact bytes as a string, when a line could not hold them as they are.
    event_text: Option<&'a str>,
}

impl<'a> AuditRecord<'a> {
    fn new(event: &'a Event, status: &'static str, now: Timestamp) -> Self {
        AuditRecord {
            event_id: Some(event.id()),
            event_type: Some(event.kind().as_str()),
            ..Self::about_no_event(status, now)
        }
    }

    fn about_no_event(status: &'static str, now: Timestamp) -> Self {
        AuditRecord {
            timestamp: now,
            event_id: None,
            event_type: None,
            user: None,
            host: None,
            config_hash: None,
            script_hash: None,
            hook: None,
            status,
            exit_code: None,
            signal: None,
            duration_ms: None,
            waited_ms: None,
            overhead_ms: None,
            pid: None,
            attempt: None,
            stdout_lines: None,
            stderr_lines: None,
            cpu_ms: None,
            peak_kib: None,
            leaky: false,
            survivors: false,
            skipped_by: None,
            sandbox: None,
            enforced: Vec::new(),
            unenforced: Vec::new(),
            replay: false,
            source: None,
            decision: None,
            error: None,
            stdout_tail: None,
            stderr_tail: None,
            stdout_tail_base64: None,
            stderr_tail_base64: None,
            config_commit: None,
            config_ref: None,
            event: None,
            event_text: None,
        }
    }

    /// That an event was made, with its exact bytes: enough to run its hooks again later.
    /// `commit`: where the hooks were read from, and the reference that led there, when they are not those of the project as it
    /// lies there.
    /// `overhead`: what it took to make it.
    pub fn emitted(event: &'a Event, commit: Option<(&'a str, &'a str)>, overhead: Duration, now: Timestamp) -> Self {
        let text = event.json().text();
        // All of it, without stopping at the first: that is done sixteen at a time.
        let lines = text.bytes().fold(false, |lines, byte| lines | (byte == b'\n') | (byte == b'\r'));
        let as_it_is = text.len() == event.bytes().len() && !lines;
        let event_text = if as_it_is { None } else { std::str::from_utf8(event.bytes()).ok() };
        let overhead_ms = Some(millis(overhead));
        AuditRecord {
            event: as_it_is.then_some(text),
            event_text,
            config_commit: commit.map(|(commit, _)| commit),
            config_ref: commit.map(|(_, reference)| reference),
            overhead_ms,
            ..Self::new(event, "emitted", now)
        }
    }

    /// That the user decided something: `trusted`, `untrusted`, `sealed`. `hash` is that of the content it is about.
    pub fn decided(status: &'static str, hash: Option<String>, now: Timestamp) -> Self {
        AuditRecord { config_hash: hash, ..Self::about_no_event(status, now) }
    }

    /// The same with who did it, and on which machine.
    #[must_use]
    pub fn by(self, user: &'a str, host: &'a str) -> Self {
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        AuditRecord { user: some(user), host: some(host), ..self }
    }

    /// The same with the hashes of the content that was trusted and of the hook's script.
    #[must_use]
    pub fn of_content(self, hashes: Option<(String, Option<String>)>) -> Self {
        let (config_hash, script_hash) = hashes.map_or((None, None), |(config, script)| (Some(config), script));
        AuditRecord { config_hash, script_hash, ..self }
    }

    /// The same of an event that `source` made: one of `knockon test` is marked in each of its records.
    #[must_use]
    pub fn made_by(self, source: &str) -> Self {
        AuditRecord { source: marked(source), ..self }
    }

    /// That a hook is about to be started.
    pub fn started(delivery: &Delivery<'a>, now: Timestamp) -> Self {
        AuditRecord {
            hook: Some(delivery.hook.name.as_str()),
            attempt: Some(delivery.attempt),
            replay: delivery.occasion.replay,
            source: marked(delivery.occasion.source),
            ..Self::new(delivery.event, "started", now)
        }
    }

    /// How a delivery ended, or why it did not begin.
    pub fn finished(delivery: &Delivery<'a>, outcome: &Outcome, now: Timestamp) -> Self {
        let ran = outcome.pid.is_some();
        let failed = outcome.status.is_failure();
        AuditRecord {
            hook: Some(delivery.hook.name.as_str()),
            attempt: Some(delivery.attempt),
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            duration_ms: ran.then(|| millis(outcome.duration)),
            waited_ms: Some(millis(outcome.waited)).filter(|waited| *waited > 0.0),
            overhead_ms: ran.then(|| millis(outcome.overhead)),
            pid: outcome.pid,
            stdout_lines: ran.then_some(outcome.stdout.lines),
            stderr_lines: ran.then_some(outcome.stderr.lines),
            cpu_ms: ran.then(|| millis(outcome.usage.cpu)),
            peak_kib: ran.then_some(outcome.usage.peak_kib),
            leaky: outcome.leaky,
            survivors: outcome.survivors,
            skipped_by: outcome.skipped_by.map(SkippedBy::as_str),
            sandbox: ran.then(|| outcome.enforced.level.as_str()),
            enforced: outcome.enforced.held.clone(),
            unenforced: outcome.enforced.missing.clone(),
            replay: delivery.occasion.replay,
            source: marked(delivery.occasion.source),
            decision: outcome.answer().and_then(|answer| answer.decision).map(Decision::as_str),
            error: outcome.reason.clone(),
            stdout_tail: failed.then(|| tail(&outcome.stdout)).flatten(),
            stderr_tail: failed.then(|| tail(&outcome.stderr)).flatten(),
            stdout_tail_base64: failed.then(|| binary_tail(&outcome.stdout)).flatten(),
            stderr_tail_base64: failed.then(|| binary_tail(&outcome.stderr)).flatten(),
            ..Self::new(delivery.event, outcome.status.as_str(), now)
        }
    }

    /// That a delivery will not be carried out any more.
    pub fn given_up(event: &'a Event, hook: &'a str, error: &str, now: Timestamp) -> Self {
        AuditRecord { hook: Some(hook), error: Some(error.to_owned()), ..Self::new(event, "error", now) }
    }

    /// That a hook did not run because its part of the configuration has an error.
    pub fn invalid(event: &'a Event, hook: &'a str, error: &str, now: Timestamp) -> Self {
        let status = Status::Invalid.as_str();
        AuditRecord { hook: Some(hook), error: Some(error.to_owned()), ..Self::new(event, status, now) }
    }

    /// That something other than a hook went wrong while an event was handled, such as a configuration
    /// that cannot be read.
    pub fn problem(event: &'a Event, error: String, now: Timestamp) -> Self {
        AuditRecord { error: Some(error), ..Self::new(event, "error", now) }
    }
}

impl AuditRecord<'_> {
    /// Whether a run that ended was a success.
    fn success(&self) -> Option<bool> {
        match self.status {
            "success" => Some(true),
            "failed" | "timeout" | "error" | "interrupted" => self.hook.map(|_| false),
            _ => None,
        }
    }

    /// Writes the record as a JSON object (RFC 8259). By hand: this is on the way of every record, and a general serializer
    /// takes three times as long.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.text(b"{\"timestamp\":\"", Some(self.timestamp.written().as_str()));
        fields.text(b",\"event_id\":\"", self.event_id.as_ref().map(EventId::as_str));
        fields.text(b",\"event_type\":\"", self.event_type);
        fields.text(b",\"hook\":\"", self.hook);
        // The names that readers of flowspec's log know.
        fields.text(b",\"hook_name\":\"", self.hook);
        fields.value(b",\"success\":", self.success());
        fields.text(b",\"status\":\"", Some(self.status));
        fields.text(b",\"user\":\"", self.user);
        fields.text(b",\"host\":\"", self.host);
        fields.text(b",\"config_hash\":\"", self.config_hash.as_deref());
        fields.text(b",\"script_hash\":\"", self.script_hash.as_deref());
        fields.value(b",\"exit_code\":", self.exit_code);
        fields.value(b",\"signal\":", self.signal);
        fields.value(b",\"duration_ms\":", self.duration_ms);
        fields.value(b",\"waited_ms\":", self.waited_ms);
        fields.value(b",\"overhead_ms\":", self.overhead_ms);
        fields.value(b",\"pid\":", self.pid);
        fields.value(b",\"attempt\":", self.attempt);
        fields.value(b",\"stdout_lines\":", self.stdout_lines);
        fields.value(b",\"stderr_lines\":", self.stderr_lines);
        fields.value(b",\"cpu_ms\":", self.cpu_ms);
        fields.value(b",\"peak_kib\":", self.peak_kib);
        fields.value(b",\"leaky\":", self.leaky.then_some(true));
        fields.value(b",\"survivors\":", self.survivors.then_some(true));
        fields.text(b",\"skipped_by\":\"", self.skipped_by);
        fields.text(b",\"sandbox\":\"", self.sandbox);
        fields.value(b",\"enforced\":", Some(&self.enforced).filter(|enforced| !enforced.is_empty()));
        fields.value(b",\"unenforced\":", Some(&self.unenforced).filter(|unenforced| !unenforced.is_empty()));
        fields.value(b",\"replay\":", self.replay.then_some(true));
        fields.text(b",\"source\":\"", self.source);
        fields.text(b",\"decision\":\"", self.decision);
        fields.text(b",\"error\":\"", self.error.as_deref());
        fields.text(b",\"stdout_tail\":\"", self.stdout_tail.as_deref());
        fields.text(b",\"stderr_tail\":\"", self.stderr_tail.as_deref());
        fields.text(b",\"stdout_tail_base64\":\"", self.stdout_tail_base64.as_deref());
        fields.text(b",\"stderr_tail_base64\":\"", self.stderr_tail_base64.as_deref());
        fields.text(b",\"config_commit\":\"", self.config_commit);
        fields.text(b",\"config_ref\":\"", self.config_ref);
        fields.json(b",\"event\":", self.event);
        fields.text(b",\"event_text\":\"", self.event_text);
        fields.0.push(b'}');
    }
}

/// What made an event, where its records have to be distinguishable.
fn marked(source: &str) -> Option<&'static str> {
    (source == "test").then_some("test")
}

/// The fields of an object; names come with their comma, quotes and colon, and those of texts with the next quote.
struct Fields<'o>(&'o mut Vec<u8>);

impl Fields<'_> {
    fn text(&mut self, name: &[u8], text: Option<&str>) {
        let Some(text) = text else { return };
        // All of it, without stopping at the first: that is done sixteen at a time.
        if text.bytes().fold(false, |special, byte| special | (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
            self.0.extend_from_slice(&name[..name.len() - 1]);
            // Neither a string nor writing to a vector can fail.
            let _ = serde_json::to_writer(&mut *self.0, text);
            return;
        }
        self.0.reserve(name.len() + text.len() + 1);
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    /// A value that is JSON already.
    fn json(&mut self, name: &[u8], value: Option<&str>) {
        if let Some(value) = value {
            self.0.extend_from_slice(name);
            self.0.extend_from_slice(value.as_bytes());
        }
    }

    fn value(&mut self, name: &[u8], value: Option<impl serde::Serialize>) {
        if let Some(value) = value {
            self.0.extend_from_slice(name);
            // Numbers, lists of words and checked JSON cannot fail, nor can writing to a vector.
            let _ = serde_json::to_writer(&mut *self.0, &value);
        }
    }
}

/// The end of what a hook wrote, byte for byte, when it is no text.
fn binary_tail(captured: &Captured) -> Option<String> {
    let end = if captured.tail.is_empty() { &captured.head } else { &captured.tail };
    let end = &end[end.len().saturating_sub(TAIL_CHARACTERS)..];
    captured.is_binary().then(|| BASE64_STANDARD.encode(end))
}

/// The end of what a hook wrote, without its colours and safe to print.
fn tail(captured: &Captured) -> Option<String> {
    let text = captured.text();
    let text = hook_line(&text, false);
    let skip = text.chars().count().saturating_sub(TAIL_CHARACTERS);
    let tail: String = text.chars().skip(skip).collect();
    (!tail.trim().is_empty()).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventDraft, EventId};
    use serde_json::Value;

    #[test]
    fn a_record_is_json_whatever_it_says() {
        let now = Timestamp::from_millis(0);
        let draft = EventDraft::new("spec.created".parse().unwrap()).context("k", "\u{1}\"\\ü\n");
        let event = draft.stamp(EventId::generate(now), now, "/p").unwrap();
        let read = |record: &AuditRecord<'_>| {
            let mut out = Vec::new();
            record.write(&mut out);
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        for text in ["", "plain", "\"", "\\", "\n\r\t\0\u{1f}", "ü\u{2028}\u{7f}"] {
            let record = read(&AuditRecord::given_up(&event, "h", text, now));
            assert_eq!((&record["error"], &record["status"]), (&Value::from(text), &Value::from("error")));
        }
        let record =
            read(&AuditRecord::emitted(&event, Some(("abc", "refs/heads/main")), Duration::from_micros(1500), now));
        assert_eq!((&record["overhead_ms"], &record["config_commit"]), (&1.5.into(), &"abc".into()));
        assert_eq!(record["event"], serde_json::from_slice::<Value>(event.bytes()).unwrap());
        assert!(record.get("hook").is_none() && record.get("leaky").is_none(), "absent, not null: {record}");
    }
}
