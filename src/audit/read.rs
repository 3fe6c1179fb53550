//! Reading the log from its end.

use super::append::{AuditError, AuditLog};
use serde_json::{Map, Value};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at a time, at first.
const BLOCK: u64 = 64 * 1024;
/// How much of a log is read at most, whatever was asked for.
const MOST: u64 = 256 * 1024 * 1024;

/// The last records of a log.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// The records, oldest first.
    pub entries: Vec<Entry>,
    /// Lines among them that are no JSON object.
    pub unreadable: usize,
}

/// One record as it stands in the log, with every field, known to this version or not.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The line.
    pub line: String,
    fields: Map<String, Value>,
}

impl Entry {
    /// A text field; empty when absent.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
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
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tail::default()),
            Err(error) => return Err(failed(error)),
        };
        let mut tail = Tail::default();
        for line in last_lines(&file, count).map_err(failed)? {
            match serde_json::from_str(&line) {
                Ok(fields) => tail.entries.push(Entry { line, fields }),
                Err(_) => tail.unreadable += 1,
            }
        }
        Ok(tail)
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
