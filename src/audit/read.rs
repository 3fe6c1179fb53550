//! Reading the log from its end.

use super::append::{AuditError, AuditLog};
use crate::event::EventId;
use crate::time::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

/// How much is read at a time, at first.
const BLOCK: u64 = 64 * 1024;
/// How much of a log is read at most, whatever was asked for.
const MOST: u64 = 256 * 1024 * 1024;
/// Longer than any record: an event of 8 MiB as an escaped string.
const MOST_OF_A_LINE: u64 = 64 * 1024 * 1024;

/// The last records of a log.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// The records, oldest first.
    pub entries: Vec<Entry>,
    /// Lines among them that are no JSON object.
    pub unreadable: usize,
    /// Whether there is a log with something in it.
    pub exists: bool,
}

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
    fn read(line: String) -> Option<Self> {
        let raw: BTreeMap<String, &RawValue> = serde_json::from_str(&line).ok()?;
        let event = raw.get("event").map(|event| event.get().to_owned());
        let field = |(name, value): (String, &RawValue)| Some((name, serde_json::from_str(value.get()).ok()?));
        let fields = raw.into_iter().filter(|(name, _)| name != "event").filter_map(field).collect();
        Some(Entry { line, fields, event })
    }

    /// A text field; empty when absent.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
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
}

impl AuditLog {
    /// The last `count` records; none when there is no log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn tail(&self, count: usize) -> Result<Tail, AuditError> {
        let failed = |error| AuditError::Io(self.path(), error);
        let Some(file) = self.open_to_read()? else { return Ok(Tail::default()) };
        let exists = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        let mut tail = Tail { exists, ..Tail::default() };
        for line in last_lines(&file, count).map_err(failed)? {
            match Entry::read(line) {
                Some(entry) => tail.entries.push(entry),
                None => tail.unreadable += 1,
            }
        }
        Ok(tail)
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
        self.scan(&wanted, |entry| {
            if entry.text("event_id") == wanted {
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
        let since = since.to_string();
        self.scan("\"emitted\"", |entry| {
            // One form, so that the order of the texts is that of the times.
            if entry.text("status") == "emitted" && entry.text("timestamp") >= since.as_str() {
                each(entry);
            }
        })
    }

    /// Every record from `since` on, or every one, oldest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn since(&self, since: Option<Timestamp>, mut each: impl FnMut(Entry)) -> Result<(), AuditError> {
        let since = since.map(|since| since.to_string()).unwrap_or_default();
        self.scan("", |entry| {
            // One form, so that the order of the texts is that of the times.
            if entry.text("timestamp") >= since.as_str() {
                each(entry);
            }
        })
    }

    /// Reads the log line by line; gives each record with `part` in its line.
    fn scan(&self, part: &str, mut each: impl FnMut(Entry)) -> Result<(), AuditError> {
        let failed = |error| AuditError::Io(self.path(), error);
        let Some(file) = self.open_to_read()? else { return Ok(()) };
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(MOST_OF_A_LINE).read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            if text.contains(part)
                && let Some(entry) = Entry::read(text.trim_end().to_owned())
            {
                each(entry);
            }
        }
    }
}

impl Entry {
    /// The event that a record of an event keeps, byte for byte.
    pub fn event(&self) -> Option<Vec<u8>> {
        if let Some(text) = self.fields.get("event_text").and_then(Value::as_str) {
            return Some(text.as_bytes().to_vec());
        }
        self.event.as_ref().map(|event| event.as_bytes().to_vec())
    }
}

/// The last `count` whole lines, oldest first, read block by block from the end.
fn last_lines(file: &File, count: usize) -> io::Result<Vec<String>> {
    let mut from = file.metadata()?.len();
    let mut bytes: Vec<u8> = Vec::new();
    // One line feed more than lines: the one before the first of them.
    while from > 0 && (bytes.len() as u64) < MOST && bytes.iter().filter(|&&byte| byte == b'\n').count() <= count {
        let start = from.saturating_sub(BLOCK.max(bytes.len() as u64));
        let mut block = vec![0; usize::try_from(from - start).unwrap_or(0)];
        file.read_exact_at(&mut block, start)?;
        block.append(&mut bytes);
        bytes = block;
        from = start;
    }
    // A line that is still being written has no end yet.
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let lines: Vec<&[u8]> = bytes[..whole].split_inclusive(|&byte| byte == b'\n').collect();
    let wanted = &lines[lines.len().saturating_sub(count)..];
    Ok(wanted.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect())
}
