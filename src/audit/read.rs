//! One record as it stands in the log, and the records of one event or from some time on.

use super::append::{AuditError, AuditLog};
use super::lines::{each_line_with, find_offset};
use super::place::Segment;
use super::rotate::time_in;
use crate::event::EventId;
use crate::json::Json;
use crate::time::Timestamp;
use memchr::memmem::Finder;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io;

/// Files up to this size are read whole, whatever their records say of time.
const SEARCHED_WHOLE: u64 = 64 * 1024 * 1024;
/// How far clocks may disagree, or be set back, and a record still be found by its time.
const SLACK: u64 = 5 * 60 * 1000;

/// One record as it stands in the log, with every field, known to this version or not.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The line.
    pub line: String,
    fields: Map<String, Value>,
    /// The event it keeps, as it was written.
    event: Option<String>,
}

impl Entry {
    /// Reads a line. An event may have in it what a tree of values cannot hold: it stays as it is written.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(line).into_owned();
        let raw: BTreeMap<String, &RawValue> = serde_json::from_str(&line).ok()?;
        let event = raw.get("event").map(|event| event.get().to_owned());
        let field = |(name, value): (String, &RawValue)| Some((name, serde_json::from_str(value.get()).ok()?));
        let fields = raw.into_iter().filter(|(name, _)| name != "event").filter_map(field).collect();
        Some(Entry { line, fields, event })
    }

    /// A text field; empty when absent. Of a record that flowspec wrote, `hook` and `status` are those that it means.
    pub fn text(&self, field: &str) -> &str {
        let text = |field: &str| self.fields.get(field).and_then(Value::as_str);
        let of_flowspec = || match (field, self.fields.get("success").and_then(Value::as_bool)) {
            ("hook", _) => text("hook_name"),
            ("status", Some(true)) => Some("success"),
            ("status", Some(false)) => Some("failed"),
            _ => None,
        };
        text(field).or_else(of_flowspec).unwrap_or_default()
    }

    /// A text field that is there and says something.
    pub fn filled(&self, field: &str) -> Option<&str> {
        Some(self.text(field)).filter(|text| !text.is_empty())
    }

    /// A field.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// The fields that are not among `known`, such as those of a later version; never the event.
    pub fn further<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let known = |name: &str| known.contains(&name) || name == "event_text";
        self.fields.iter().map(|(name, value)| (name.as_str(), value)).filter(move |(name, _)| !known(name))
    }

    /// A number field.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field).and_then(Value::as_f64)
    }

    /// Whether it is about an event of `knockon test`.
    pub fn is_of_test(&self) -> bool {
        self.text("source") == "test"
    }

    /// When it was written.
    pub fn time(&self) -> Option<Timestamp> {
        let text = self.text("timestamp");
        Timestamp::parse(text).or_else(|| Timestamp::read(text))
    }

    /// The event that a record of an event keeps, byte for byte.
    pub fn event(&self) -> Option<Vec<u8>> {
        if let Some(text) = self.fields.get("event_text").and_then(Value::as_str) {
            return Some(text.as_bytes().to_vec());
        }
        self.event.as_ref().map(|event| event.as_bytes().to_vec())
    }
}

impl AuditLog {
    /// Every record of one event, oldest first; the first is the event's own.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn of_event(&self, id: EventId) -> Result<Vec<Entry>, AuditError> {
        let wanted = id.to_string();
        let mut entries: Vec<Entry> = Vec::new();
        // Most lines are about other events; looking for the id is quicker than reading JSON.
        self.scan(Some(&wanted), None, |entry| {
            if entry.text("event_id") == wanted {
                entries.push(entry);
            }
        })?;
        Ok(entries)
    }

    /// Every record of one event, and the records of the events that it caused, oldest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn about_event(&self, id: EventId) -> Result<Vec<Entry>, AuditError> {
        let wanted = id.to_string();
        let mut entries: Vec<Entry> = Vec::new();
        // A cause is told without the prefix.
        self.scan(Some(id.ulid()), None, |entry| {
            let caused = || {
                let event = entry.event()?;
                let cause = Json::parse(&event).ok()?.get("causation_id")?.as_str()?.into_owned();
                Some(cause == id.ulid() || cause == wanted)
            };
            if entry.text("event_id") == wanted || (entry.text("status") == "emitted" && caused() == Some(true)) {
                entries.push(entry);
            }
        })?;
        Ok(entries)
    }

    /// The records of events themselves from `since` on, oldest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn events_since(&self, since: Timestamp, mut each: impl FnMut(Entry)) -> Result<(), AuditError> {
        self.scan(Some("\"emitted\""), Some(since), |entry| {
            if entry.text("status") == "emitted" {
                each(entry);
            }
        })
        .map(|_| ())
    }

    /// Every record from `since` on, oldest first. Returns how many lines are no records.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn since(&self, since: Option<Timestamp>, each: impl FnMut(Entry)) -> Result<usize, AuditError> {
        self.scan(None, since, each)
    }

    /// Every record from `since` on with `part` in its line, oldest first. Returns how many of the lines are no records.
    fn scan(
        &self,
        part: Option<&str>,
        since: Option<Timestamp>,
        mut each: impl FnMut(Entry),
    ) -> Result<usize, AuditError> {
        let mut unreadable = 0;
        let part = part.map(|part| Finder::new(part.as_bytes()));
        for segment in self.readable()?.iter().rev() {
            let failed = |error| AuditError::Io(self.path(), error);
            let offset = beginning(segment, since).map_err(failed)?;
            each_line_with(segment, part.as_ref(), offset, &mut |line| {
                if is_of(line, since) {
                    match Entry::read(line) {
                        Some(entry) => each(entry),
                        None => unreadable += 1,
                    }
                }
                Ok(())
            })
            .map_err(failed)?;
        }
        Ok(unreadable)
    }

    /// The files that have records in them, newest first: those of the log, those in the user's state folder, and what flowspec
    /// wrote before.
    pub(super) fn readable(&self) -> Result<Vec<Segment>, AuditError> {
        let own = || {
            let place = self.place()?;
            let Some(folder) = place.folder()? else { return Ok(Vec::new()) };
            let mut segments = place.segments(&folder)?;
            segments.extend(place.foreign(&folder));
            Ok(segments)
        };
        self.with_elsewhere(own())
    }

    /// The files of the log, newest first.
    pub(super) fn segments(&self) -> Result<Vec<Segment>, AuditError> {
        let place = self.place()?;
        match place.folder()? {
            Some(folder) => place.segments(&folder),
            None => Ok(Vec::new()),
        }
    }
}

/// Whether a line is of this time or later; one that says no time is of any.
pub(super) fn is_of(line: &[u8], since: Option<Timestamp>) -> bool {
    since.is_none_or(|since| time_in(line).is_none_or(|time| time >= since))
}

/// Where to begin to read a file for records from `since` on.
pub(super) fn beginning(segment: &Segment, since: Option<Timestamp>) -> io::Result<u64> {
    let Some(since) = since.map(|since| since.as_millis().saturating_sub(SLACK)) else { return Ok(0) };
    // A clock that was set back is no reason to miss a record; only a search of a very large file goes by the order of times.
    if segment.compressed || segment.size <= SEARCHED_WHOLE {
        return Ok(0);
    }
    let is_late = |line: &[u8]| {
        // A record that was kept beside the log stands later than its time.
        let merged = memchr::memmem::find(&line[..line.len().min(200)], b"\"merged\"").is_some();
        time_in(line).filter(|_| !merged).map(|time| time.as_millis() >= since)
    };
    find_offset(segment, is_late)
}
