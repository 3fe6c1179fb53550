//! What a hook can answer, in the words that coding agents use (Claude Code's hook output) and in ours.
//!
//! An answer is what a hook printed when it printed one JSON object, or what it wrote into the file that
//! `HOOK_RESPONSE` names. Output that holds a deciding key is *meant* as an answer: when it cannot be read, the answer
//! is [`Answer::unreadable`] and the hook's `on_unreadable` says what that means. Everything else that a program may
//! print as JSON (a health check, a test report) is no answer and no error.

use super::meant::MeantScan;
use crate::event::{EventDraft, EventError, EventId, EventType};
use crate::json::Json;
use crate::json::Kind;
use crate::time::parse_duration;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 1024 * 1024;
/// The most follow-up events and annotations of one answer.
const MAX_ITEMS: usize = 1000;
/// The longest remark, in characters.
const LONGEST_REMARK: usize = 10_000;
/// The longest pause that a hook can ask for before it is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What may be done, from the mildest word to the strictest: of several hooks the strictest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// It may go on.
    Allow,
    /// A person is to be asked.
    Ask,
    /// It is left to whoever comes next.
    Defer,
    /// It must not go on.
    Deny,
}

impl Decision {
    fn of(word: &str) -> Option<Self> {
        match word {
            "allow" | "approve" => Some(Decision::Allow),
            "ask" => Some(Decision::Ask),
            "defer" => Some(Decision::Defer),
            "deny" | "block" => Some(Decision::Deny),
            _ => None,
        }
    }

    /// The word of `permissionDecision`.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::Ask => "ask",
            Decision::Defer => "defer",
            Decision::Deny => "deny",
        }
    }
}

/// What a hook wants to be recorded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// There was nothing to do.
    Skip,
    /// It failed for now.
    Retry,
}

/// An event that a hook wants to be emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowUp {
    /// Its type.
    pub kind: EventType,
    /// Its context, a JSON object as it was written.
    pub context: String,
}

impl FollowUp {
    /// The event that `cause` led to.
    ///
    /// # Errors
    /// Its context makes no event.
    pub fn draft(&self, cause: EventId) -> Result<EventDraft, EventError> {
        let (kind, version) = (&self.kind, env!("CARGO_PKG_VERSION"));
        let document = format!(
            "{{\"event_type\":\"{kind}\",\"schema_version\":\"1.1\",\"causation_id\":\"{}\",\"context\":{},\"metadata\":{{\"cli_version\":\"{version}\"}}}}",
            cause.ulid(),
            self.context
        );
        EventDraft::from_json(document.into_bytes(), None)
    }
}

/// A remark about a place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// The file, below the project's root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// `notice`, `warning` or `error`.
    pub level: &'static str,
    /// The remark.
    pub message: String,
}

/// What one hook answered.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Whether it said `continue: false`, and why.
    pub stop: Option<Option<String>>,
    /// What may be done.
    pub decision: Option<Decision>,
    /// Why.
    pub reason: Option<String>,
    /// What the user is to be told.
    pub system_message: Option<String>,
    /// Whether its output is not to be shown.
    pub suppress_output: bool,
    /// The agent's event that it answers.
    pub hook_event_name: Option<String>,
    /// What the agent is to use instead of its input.
    pub updated_input: Option<Box<RawValue>>,
    /// What the agent is to know.
    pub additional_context: Option<String>,
    /// What it wants to be recorded as.
    pub wish: Option<Wish>,
    /// How long to wait before it is tried again.
    pub retry_after: Option<Duration>,
    /// The events it wants to be emitted.
    pub follow_ups: Vec<FollowUp>,
    /// Its remarks.
    pub annotations: Vec<Annotation>,
    /// What in it was not understood.
    pub problems: Vec<String>,
    /// Whether it was meant as an answer and could not be read: not at all, or not what it decides.
    pub unreadable: bool,
    /// Whether it has a key that makes output an answer.
    pub has_decision_key: bool,
}

/// The keys of an answer, and of what is in it.
const ANSWER_KEYS: &[&str] = &[
    "continue",
    "stopReason",
    "decision",
    "reason",
    "systemMessage",
    "suppressOutput",
    "hookSpecificOutput",
    "status",
    "retry_after",
    "emit",
    "annotations",
];
const SPECIFIC_KEYS: &[&str] =
    &["hookEventName", "permissionDecision", "permissionDecisionReason", "updatedInput", "additionalContext"];
const EMIT_KEYS: &[&str] = &["type", "context"];
const ANNOTATION_KEYS: &[&str] = &["file", "line", "level", "message"];

/// What other tools call our keys.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("path", "file"),
    ("filename", "file"),
    ("lineno", "line"),
    ("row", "line"),
    ("start_line", "line"),
    ("severity", "level"),
    ("msg", "message"),
    ("text", "message"),
    ("event_type", "type"),
    ("kind", "type"),
    ("data", "context"),
    ("payload", "context"),
    ("events", "emit"),
    ("permission", "permissionDecision"),
    ("stop_reason", "stopReason"),
    ("system_message", "systemMessage"),
    ("retryAfter", "retry_after"),
];

/// The known key that `key` was probably meant to be.
fn meant_key<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let other = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == key).map(|(_, ours)| *ours);
    let other = other.and_then(|ours| known.iter().copied().find(|known| *known == ours));
    other.or_else(|| crate::text::nearest(key, known.iter().copied()))
}

/// Reads an answer. Two readers must not disagree on it, so what an event may not have, an answer may not either
/// (keys that come twice, halves of surrogate pairs, RFC 7493).
fn read(bytes: &[u8], is_output: bool) -> Result<Answer, String> {
    let json = Json::parse(bytes).map_err(|error| error.to_string())?;
    let object: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut reading = Reading { is_output, ..Reading::default() };
    for (key, value) in &object {
        reading.member(key, value);
    }
    let accepted = std::mem::take(&mut reading.accepted);
    let mut answer = reading.finish();
    // Byte for byte: a number must stay the number it is.
    if answer.updated_input.is_some() {
        let input = json.get("hookSpecificOutput").and_then(|specific| specific.get("updatedInput"));
        answer.updated_input = input.and_then(|input| RawValue::from_string(input.text().to_owned()).ok());
    }
    let asked: Vec<Json<'_>> = json.get("emit").map(|list| list.items().collect()).unwrap_or_default();
    for (follow_up, at) in answer.follow_ups.iter_mut().zip(accepted) {
        let context = asked.get(at).and_then(|asked| asked.get("context"));
        if let Some(context) = context.filter(|context| context.kind() == Kind::Object) {
            context.text().clone_into(&mut follow_up.context);
        }
    }
    Ok(answer)
}

/// What to do about an answer that cannot be read.
pub const UNREADABLE_HELP: &str = "write answers to the file named by $HOOK_RESPONSE, and print anything else";

impl Answer {
    /// The answer in what a hook printed, all of it; nothing when it printed something else than an answer.
    pub fn in_output(printed: &[u8]) -> Option<Self> {
        let mut meant = MeantScan::default();
        meant.push(printed);
        Self::in_scanned_output(Some(printed), &meant)
    }

    /// As [`Answer::in_output`], for output that was scanned as it came. `printed` is all of it, unless it does not
    /// begin like an object or is longer than [`MAX_ANSWER`].
    pub fn in_scanned_output(printed: Option<&[u8]>, meant: &MeantScan) -> Option<Self> {
        let unreadable = |why: String| meant.is_meant().then(|| Answer::unreadable(why));
        let Some(printed) = printed else {
            return unreadable(format!(
                "its output holds an answer, but is not one JSON object of at most {} KiB and nothing else",
                MAX_ANSWER / 1024
            ));
        };
        let looks_like_one = printed.trim_ascii_start().starts_with(b"{") && printed.len() <= MAX_ANSWER;
        match Some(printed).filter(|_| looks_like_one).map(|printed| read(printed, true)) {
            Some(Ok(answer)) => Some(answer)
                .filter(|answer| answer.has_decision_key || answer.unreadable || answer.asks_for_something()),
            Some(Err(error)) => unreadable(format!("its output holds an answer, but is not one JSON object: {error}")),
            None if printed.len() > MAX_ANSWER => {
                unreadable(format!("its output holds an answer, but has more than {} KiB", MAX_ANSWER / 1024))
            }
            None => unreadable("its output holds an answer, but there is text before the JSON object".into()),
        }
    }

    /// The answer in a file that was made for nothing else: what is no JSON object is told.
    pub fn in_file(bytes: &[u8]) -> Option<Self> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        if bytes.len() > MAX_ANSWER {
            return Some(Self::unreadable(format!("HOOK_RESPONSE holds more than {} KiB", MAX_ANSWER / 1024)));
        }
        let read = read(bytes, false);
        Some(
            read.unwrap_or_else(|error| {
                Self::unreadable(format!("HOOK_RESPONSE does not hold one JSON object: {error}"))
            }),
        )
    }

    /// No answer, but why there is none.
    pub fn unreadable(problem: String) -> Self {
        Answer { problems: vec![problem], unreadable: true, ..Answer::default() }
    }

    /// Whether it asks for something that a program does not print for reasons of its own.
    fn asks_for_something(&self) -> bool {
        self.stop.is_some()
            || self.wish.is_some()
            || !self.follow_ups.is_empty()
            || !self.annotations.is_empty()
            || self.system_message.is_some()
            || self.suppress_output
    }

    /// Whether it gives leave for something.
    pub fn allows_something(&self) -> bool {
        self.decision == Some(Decision::Allow) || self.updated_input.is_some()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        let has_decision_key = self.has_decision_key;
        format!("{self:?}") == format!("{:?}", Answer { has_decision_key, ..Answer::default() })
    }

    /// Whether it says that what happens must not go on.
    pub fn blocks(&self) -> bool {
        self.stop.is_some() || self.decision == Some(Decision::Deny)
    }

    /// The first reason it gives.
    pub fn why(&self) -> Option<&str> {
        let stop = self.stop.as_ref().and_then(Option::as_deref);
        match self.decision {
            Some(Decision::Deny) => self.reason.as_deref().or(stop),
            _ => stop.or(self.reason.as_deref()),
        }
    }
}

/// An answer that is being read.
#[derive(Default)]
struct Reading {
    answer: Answer,
    stop_reason: Option<String>,
    /// The two places of a decision, and their reasons: the tool's own, and that of the agent's event.
    decisions: [Option<Decision>; 2],
    reasons: [Option<String>; 2],
    /// Which entries of `emit` were accepted.
    accepted: Vec<usize>,
    /// Whether it is output, which may have keys of ours for reasons of its own.
    is_output: bool,
}

impl Reading {
    fn finish(self) -> Answer {
        let Reading {
            mut answer, stop_reason, decisions: [own, specific], reasons: [own_reason, specific_reason], ..
        } = self;
        // Two words of one hook: the stricter counts, with its reason.
        answer.decision = own.max(specific);
        answer.reason = if specific > own { specific_reason.or(own_reason) } else { own_reason.or(specific_reason) };
        // It means something beside `continue: false` only, which may stand before or after it.
        if let Some(stop) = &mut answer.stop {
            *stop = stop_reason;
        }
        answer
    }

    fn member(&mut self, key: &str, value: &Value) {
        match key {
            // As good as absent.
            _ if value.is_null() => {}
            "continue" => {
                self.answer.stop = (self.flag(key, value) == Some(false)).then_some(None);
                self.answer.has_decision_key |= self.answer.stop.is_some();
                self.answer.unreadable |= !value.is_boolean();
            }
            "stopReason" => self.stop_reason = self.text(key, value),
            "decision" => self.decisions[0] = self.decide(key, value),
            "reason" => self.reasons[0] = self.text(key, value),
            "systemMessage" => self.answer.system_message = self.text(key, value),
            "suppressOutput" => self.answer.suppress_output = self.flag(key, value).unwrap_or(false),
            "hookSpecificOutput" => {
                self.answer.has_decision_key = true;
                match value {
                    Value::Object(members) => members.iter().for_each(|(key, value)| self.specific(key, value)),
                    other => {
                        self.answer.unreadable = true;
                        self.wrong(key, "an object", other);
                    }
                }
            }
            "status" => {
                self.answer.wish = match value.as_str() {
                    Some("skip") => Some(Wish::Skip),
                    Some("retry") => Some(Wish::Retry),
                    // Health checks print one.
                    _ if self.is_output => return,
                    _ => return self.wrong(key, "`skip` or `retry`", value),
                }
            }
            "retry_after" => self.answer.retry_after = self.pause(key, value),
            "emit" => self.list(key, value, Self::follow_up),
            "annotations" => self.list(key, value, Self::annotation),
            _ => self.unknown(key, ANSWER_KEYS, "its answer"),
        }
    }

    /// Reports a key that looks like a known one. Other keys are those of another tool, or of one to come.
    fn unknown(&mut self, key: &str, known: &[&str], of: &str) {
        if let Some(meant) = meant_key(key, known) {
            let key = crate::text::one_line(&crate::text::shorten(key, 60));
            self.answer.problems.push(format!("`{key}` is not a key of {of}; did you mean `{meant}`?"));
        }
    }

    fn specific(&mut self, key: &str, value: &Value) {
        match key {
            _ if value.is_null() => {}
            "hookEventName" => self.answer.hook_event_name = self.text(key, value),
            "permissionDecision" => self.decisions[1] = self.decide(key, value),
            "permissionDecisionReason" => self.reasons[1] = self.text(key, value),
            "updatedInput" => self.answer.updated_input = RawValue::from_string(value.to_string()).ok(),
            "additionalContext" => self.answer.additional_context = self.text(key, value),
            _ => self.unknown(key, SPECIFIC_KEYS, "`hookSpecificOutput`"),
        }
    }

    fn decide(&mut self, key: &str, value: &Value) -> Option<Decision> {
        let decision = value.as_str().and_then(Decision::of);
        self.answer.has_decision_key = true;
        if decision.is_none() {
            self.answer.unreadable = true;
            self.wrong(key, "one of deny, block, defer, ask, allow, approve", value);
        }
        decision
    }

    fn wrong(&mut self, key: &str, wanted: &str, found: &Value) {
        let shown = found.to_string();
        let shown = crate::text::shorten(&shown, 60);
        self.answer.problems.push(format!("`{key}` in its answer: expected {wanted}, found {shown}"));
    }

    fn text(&mut self, key: &str, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => {
                self.wrong(key, "a string", other);
                None
            }
        }
    }

    fn flag(&mut self, key: &str, value: &Value) -> Option<bool> {
        if !value.is_boolean() {
            self.wrong(key, "true or false", value);
        }
        value.as_bool()
    }

    /// Seconds as a number, or a duration such as `500ms`.
    fn pause(&mut self, key: &str, value: &Value) -> Option<Duration> {
        let pause = match value {
            Value::String(text) => parse_duration(text),
            other => other.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        if pause.is_none() {
            self.wrong(key, "a number of seconds, or a duration such as `500ms`", value);
        }
        pause.map(|pause| pause.min(LONGEST_PAUSE))
    }

    fn list(&mut self, key: &str, value: &Value, item: fn(&mut Self, usize, &Value)) {
        let Value::Array(items) = value else { return self.wrong(key, "a list", value) };
        items.iter().take(MAX_ITEMS).enumerate().for_each(|(at, value)| item(self, at, value));
        if items.len() > MAX_ITEMS {
            self.answer.problems.push(format!("`{key}` in its answer has more than {MAX_ITEMS} entries"));
        }
    }

    fn unknown_members(&mut self, value: &Value, known: &[&str], of: &str) {
        for key in value.as_object().into_iter().flat_map(Map::keys).filter(|key| !known.contains(&key.as_str())) {
            self.unknown(key, known, of);
        }
    }

    fn follow_up(&mut self, at: usize, value: &Value) {
        let kind = value.get("type").and_then(Value::as_str).map(str::parse::<EventType>);
        let context = match value.get("context") {
            None | Some(Value::Null) => Some("{}".to_owned()),
            Some(Value::Object(_)) => Some(value["context"].to_string()),
            Some(_) => None,
        };
        match (kind, context) {
            (Some(Ok(kind)), Some(context)) => {
                self.unknown_members(value, EMIT_KEYS, "an entry of `emit`");
                self.answer.follow_ups.push(FollowUp { kind, context });
                self.accepted.push(at);
            }
            (Some(Err(error)), _) => self.answer.problems.push(format!("`emit` in its answer: {error}")),
            _ => self.wrong("emit", "{\"type\": …, \"context\": {…}}", value),
        }
    }

    fn annotation(&mut self, _at: usize, value: &Value) {
        let Some(message) = value.get("message").and_then(Value::as_str) else {
            return self.wrong("annotations", "{\"message\": …, \"file\": …, \"line\": …, \"level\": …}", value);
        };
        let level = match value.get("level").and_then(Value::as_str) {
            None => "warning",
            Some(level) => match ["notice", "warning", "error"].into_iter().find(|known| *known == level) {
                Some(level) => level,
                None => return self.wrong("level", "notice, warning or error", &value["level"]),
            },
        };
        self.unknown_members(value, ANNOTATION_KEYS, "an annotation");
        self.answer.annotations.push(Annotation {
            file: value.get("file").and_then(Value::as_str).map(str::to_owned),
            line: value.get("line").and_then(Value::as_u64).filter(|line| *line > 0),
            level,
            message: crate::text::shorten(message, LONGEST_REMARK).into_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(value: Value) -> Answer {
        Answer::in_file(value.to_string().as_bytes()).unwrap_or_default()
    }

    #[test]
    fn plain_text_is_no_answer() {
        for text in [
            "",
            "  ",
            "done",
            "[1]",
            "{not json}",
            "{\"continue\": true} and more",
            "{\"result\": 1}",
            "{}",
            // What health checks, test runners and compilers print.
            "{\"status\": \"ok\"}",
            "{\"status\": \"UP\", \"reason\": 1}",
            "{\"reason\": \"compiler-artifact\"}\n{\"reason\": \"build-finished\"}",
            "{\"annotations\": [1], \"emit\": false}",
            "the decision: block",
            "{\"results\": [{\"decision\": \"x\"}]}",
        ] {
            assert!(Answer::in_output(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Answer::in_output(b"\n {\"continue\": false}\n").unwrap().blocks());
    }

    #[test]
    fn a_meant_answer_that_cannot_be_read_is_reported_wherever_it_is_cut() {
        let long = format!("{{\"pad\": \"{}\", \"decision\": \"block\"}}", "x".repeat(MAX_ANSWER));
        for text in [
            "checking\n{\"decision\": \"block\"}",
            "{\"decision\": \"block\"} done",
            "{\"decision\": \"block\"",
            "{\"decision\": \"block\"}\n{\"decision\": \"allow\"}",
            "{'decision': 'block'}",
            "{\"decision\": block}",
            "{\"decision\" :\"maybe\"}",
            "{\"decision\": 7}",
            "\u{1b}[0m{\"decision\": \"block\"}",
            "\u{feff}{\"decision\": \"block\"}",
            "[{\"decision\": \"block\"}]",
            "no {\"hookSpecificOutput\": {\"permissionDecision\": \"deny\"}}",
            "so {\"continue\" : False}",
            &long,
        ] {
            let found = Answer::in_output(text.as_bytes()).unwrap_or_else(|| panic!("{}", &text[..40]));
            assert!(found.unreadable && !found.problems.is_empty() && !found.allows_something(), "{found:?}");
            for at in (0..text.len().min(300)).chain(text.len().saturating_sub(60)..text.len()) {
                let mut scan = MeantScan::default();
                [&text.as_bytes()[..at], &text.as_bytes()[at..]].iter().for_each(|piece| scan.push(piece));
                assert!(scan.is_meant(), "cut at {at}");
            }
            let mut scan = MeantScan::default();
            text.as_bytes().chunks(1).take(400).for_each(|piece| scan.push(piece));
            assert!(scan.is_meant() || text.len() > 400);
        }
    }

    #[test]
    fn a_file_made_for_an_answer_is_told_when_it_has_none() {
        assert!(Answer::in_file(b" \n").is_none());
        let problems = |bytes: &[u8]| Answer::in_file(bytes).unwrap().problems.join(" ");
        assert!(problems(b"oops").starts_with("HOOK_RESPONSE does not hold one JSON object"));
        assert!(problems(&vec![b'x'; MAX_ANSWER + 1]).contains("more than 1024 KiB"));
        assert_eq!(Answer::in_file(br#"{"reason": "r"}"#).unwrap().reason.as_deref(), Some("r"));
    }

    #[test]
    fn every_word_is_understood() {
        let found = answer(json!({
            "continue": false, "stopReason": "enough", "decision": "approve", "reason": "fine",
            "systemMessage": "hello", "suppressOutput": true, "status": "retry", "retry_after": 1.5,
            "hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "ask",
                "permissionDecisionReason": "late", "updatedInput": {"a": 1}, "additionalContext": "c"},
            "emit": [{"type": "task.updated", "context": {"task_id": "t"}}, {"type": "plan.created"}],
            "annotations": [{"file": "a.rs", "line": 3, "level": "error", "message": "m"}, {"message": "n"}],
        }));
        assert_eq!(found.problems, [""; 0]);
        assert_eq!((found.stop.clone(), found.decision), (Some(Some("enough".into())), Some(Decision::Ask)));
        assert_eq!((found.why(), found.wish), (Some("enough"), Some(Wish::Retry)));
        assert_eq!(found.retry_after, Some(Duration::from_millis(1500)));
        let kinds: Vec<&str> = found.follow_ups.iter().map(|follow_up| follow_up.kind.as_str()).collect();
        assert_eq!(kinds, ["task.updated", "plan.created"]);
        assert_eq!(found.annotations[1].level, "warning");
        assert_eq!(answer(json!({"retry_after": "2m", "status": "skip"})).retry_after, Some(Duration::from_secs(120)));
        assert_eq!(answer(json!({"retry_after": 1e9})).retry_after, Some(LONGEST_PAUSE));
    }

    #[test]
    fn what_is_wrong_is_told_and_passed_over() {
        for (wrong, told) in [
            (json!({"decision": "maybe"}), "one of deny"),
            (json!({"continue": "no"}), "true or false"),
            (json!({"reason": 1}), "expected a string, found 1"),
            (json!({"status": "done"}), "`skip` or `retry`"),
            (json!({"retry_after": -1}), "a number of seconds"),
            (json!({"emit": {}}), "a list"),
            (json!({"emit": [{"type": "no type"}]}), "`emit` in its answer"),
            (json!({"emit": [{"type": "a.b", "context": 1}]}), "\"type\""),
            (json!({"annotations": [{"file": "a"}]}), "\"message\""),
            (json!({"annotations": [{"message": "m", "level": "fatal"}]}), "notice, warning or error"),
            (json!({"hookSpecificOutput": []}), "an object"),
            (json!({"desicion": "block"}), "did you mean `decision`?"),
            (json!({"annotations": [{"message": "m", "path": "a.rs"}]}), "did you mean `file`?"),
            (json!({"emit": [{"type": "a.b", "payload": {}}]}), "did you mean `context`?"),
        ] {
            let found = Answer::in_file(wrong.to_string().as_bytes()).unwrap();
            assert_eq!(found.problems.len(), 1, "{wrong}");
            assert!(found.problems[0].contains(told), "{wrong}: {:?}", found.problems);
            assert!(!found.blocks());
        }
    }
}
