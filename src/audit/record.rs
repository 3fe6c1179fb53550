//! One line of the audit log (ADR-006, and ours).

use crate::delivery::{Captured, Decision, Delivery, Outcome};
use crate::event::Event;
use crate::text::terminal_safe;
use crate::time::{Timestamp, millis};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The most characters kept of a failed hook's output.
const TAIL_CHARACTERS: usize = 2000;

/// What is recorded. Absent fields are left out; `seq` and `prev` are added when the line is written.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord<'a> {
    timestamp: String,
    event_id: String,
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_kib: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    leaky: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_by: Option<&'static str>,
    /// The level of its sandbox, what that keeps it from, and what it should and cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enforced: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unenforced: Vec<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replay: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_tail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_tail: Option<String>,
    /// The same bytes in base 64 (RFC 4648), where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_tail_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_tail_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_commit: Option<&'a str>,
    /// The event's exact bytes, when they are one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    /// The event's exact bytes as a string, when a line could not hold them as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_text: Option<&'a str>,
}

impl<'a> AuditRecord<'a> {
    fn new(event: &'a Event, status: &'static str, now: Timestamp) -> Self {
        AuditRecord {
            timestamp: now.to_string(),
            event_id: event.id().to_string(),
            event_type: event.kind().as_str(),
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
            skipped_by: None,
            sandbox: None,
            enforced: Vec::new(),
            unenforced: Vec::new(),
            replay: false,
            decision: None,
            error: None,
            stdout_tail: None,
            stderr_tail: None,
            stdout_tail_base64: None,
            stderr_tail_base64: None,
            config_commit: None,
            event: None,
            event_text: None,
        }
    }

    /// That an event was made, with its exact bytes: enough to run its hooks again later.
    /// `commit`: where the hooks were read from, when they are not those of the project as it lies there.
    /// `overhead`: what it took to make it.
    pub fn emitted(event: &'a Event, commit: Option<&'a str>, overhead: Duration, now: Timestamp) -> Self {
        let text = event.json().text();
        let as_it_is = text.len() == event.bytes().len() && !text.contains(['\n', '\r']);
        let raw = as_it_is.then(|| RawValue::from_string(text.to_owned()).ok()).flatten();
        let event_text = if raw.is_some() { None } else { std::str::from_utf8(event.bytes()).ok() };
        let overhead_ms = Some(millis(overhead));
        AuditRecord { event: raw, event_text, config_commit: commit, overhead_ms, ..Self::new(event, "emitted", now) }
    }

    /// That a hook is about to be started.
    pub fn started(delivery: &Delivery<'a>, now: Timestamp) -> Self {
        AuditRecord {
            hook: Some(delivery.hook.name.as_str()),
            attempt: Some(delivery.attempt),
            replay: delivery.occasion.replay,
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
            skipped_by: outcome.skipped_by,
            sandbox: ran.then(|| outcome.enforced.level.as_str()),
            enforced: outcome.enforced.held.clone(),
            unenforced: outcome.enforced.missing.clone(),
            replay: delivery.occasion.replay,
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

    /// That something other than a hook went wrong while an event was handled, such as a configuration
    /// that cannot be read.
    pub fn problem(event: &'a Event, error: String, now: Timestamp) -> Self {
        AuditRecord { error: Some(error), ..Self::new(event, "error", now) }
    }
}

/// The end of what a hook wrote, byte for byte, when it is no text.
fn binary_tail(captured: &Captured) -> Option<String> {
    let end = if captured.tail.is_empty() { &captured.head } else { &captured.tail };
    let end = &end[end.len().saturating_sub(TAIL_CHARACTERS)..];
    captured.is_binary().then(|| BASE64_STANDARD.encode(end))
}

/// The end of what a hook wrote, harmless for whoever prints it later.
fn tail(captured: &Captured) -> Option<String> {
    let text = captured.text();
    let skip = text.chars().count().saturating_sub(TAIL_CHARACTERS);
    let tail: String = text.chars().skip(skip).collect();
    (!tail.trim().is_empty()).then(|| terminal_safe(&tail).into_owned())
}
