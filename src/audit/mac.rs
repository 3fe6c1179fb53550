//! Who wrote a record: a keyed hash at the end of its line, `…,"mac":"<key>:<hash>"}`.
//!
//! The key lies with what the user trusted. Someone who can write to the log and not there can add lines, and link them, but
//! not say that this user's knockon wrote them.

use super::link::{Hash, hash, hex};
use crate::project::KEY_BYTES;

/// How many digits name the key.
const ID: usize = 8;
/// How many digits of the keyed hash are kept: 128 bits.
const DIGITS: usize = 32;
const NAME: &[u8] = b",\"mac\":\"";
/// How long the end of a line is that says who wrote it.
const TAIL: usize = NAME.len() + ID + 1 + DIGITS + 2;

/// What a keyed hash is of, so that none can be used as the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Covers {
    /// A line of the log, with its link.
    Line = 0,
    /// A record beside the log, which has no place in it yet.
    Record = 1,
}

/// The name of a key, in hexadecimal digits.
pub(super) type KeyId = [u8; ID];

/// Writes and checks keyed hashes with one user's key.
#[derive(Clone)]
pub(super) struct Signer {
    key: [u8; KEY_BYTES],
    id: KeyId,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.id))
    }
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// The user whose key it is.
    Own,
    /// It says so, and it is not true: it was changed, or made by someone else.
    Forged,
    /// Someone with another key.
    Other(KeyId),
    /// It does not say.
    Unknown,
}

impl Signer {
    pub(super) fn of(key: &[u8; KEY_BYTES]) -> Self {
        // The key itself is used for other purposes, too.
        let mut derived = [0; KEY_BYTES + ID / 2];
        blake3::Hasher::new_keyed(key).update(b"knockon audit record").finalize_xof().fill(&mut derived);
        let mut signer = Signer { key: [0; KEY_BYTES], id: [0; ID] };
        signer.key.copy_from_slice(&derived[..KEY_BYTES]);
        signer.id.copy_from_slice(&hex(&derived[KEY_BYTES..])[..ID]);
        signer
    }

    /// The end of a line whose beginning, without the closing brace, has this hash.
    pub(super) fn tail(&self, beginning: Hash, covers: Covers) -> [u8; TAIL] {
        let mac = blake3::Hasher::new_keyed(&self.key).update(beginning.as_bytes()).update(&[covers as u8]).finalize();
        let mut tail = [0; TAIL];
        let mut at = 0;
        for part in [NAME, &self.id, b":", &hex(&mac.as_bytes()[..DIGITS / 2])[..DIGITS], b"\"}"] {
            tail[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        tail
    }

    /// Adds to a record that is a JSON object who wrote it.
    pub(super) fn sign_record(&self, record: &[u8]) -> Vec<u8> {
        let beginning = record.strip_suffix(b"}").unwrap_or(record);
        [beginning, &self.tail(hash(beginning), Covers::Record)].concat()
    }

    /// A record beside the log without its end, when this user wrote it.
    pub(super) fn own_record<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        let (beginning, tail) = split(record)?;
        (tail == self.tail(hash(beginning), Covers::Record)).then_some(beginning)
    }

    /// Whether a record beside the log says that this user wrote it, rightly or not.
    pub(super) fn is_named(&self, record: &[u8]) -> bool {
        split(record).is_some_and(|(_, tail)| tail[NAME.len()..].starts_with(&self.id))
    }
}

/// The beginning of a line and the end that says who wrote it.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (beginning, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let is_one = tail.starts_with(NAME) && tail.ends_with(b"\"}") && tail.get(NAME.len() + ID) == Some(&b':');
    is_one.then_some((beginning, tail))
}

/// The hash of a line, without its line feed, and who wrote it.
pub(super) fn judge(line: &[u8], signer: Option<&Signer>) -> (Hash, Author) {
    let Some((beginning, tail)) = split(line) else { return (hash(line), Author::Unknown) };
    let mut id = [0; ID];
    id.copy_from_slice(&tail[NAME.len()..NAME.len() + ID]);
    let Some(signer) = signer.filter(|signer| signer.id == id) else { return (hash(line), Author::Other(id)) };
    let mut hasher = blake3::Hasher::new();
    let is_own = tail == signer.tail(hasher.update(beginning).finalize(), Covers::Line)
        || merged_record(line).is_some_and(|record| signer.own_record(&record).is_some());
    (hasher.update(tail).finalize(), if is_own { Author::Own } else { Author::Forged })
}

/// The record as it lay beside the log, of a line that someone without its key put into the log.
fn merged_record(line: &[u8]) -> Option<Vec<u8>> {
    const MARK: &[u8] = b"\"merged\":\"";
    let at = memchr::memmem::find(&line[..line.len().min(200)], MARK)? + MARK.len();
    let end = at + memchr::memchr(b'"', &line[at..])?;
    Some([b"{", line.get(end + 1..)?.strip_prefix(b",")?].concat())
}

#[cfg(test)]
mod tests {
    use super::super::link::{Line, Point};
    use super::*;

    fn line(body: &[u8], signer: Option<&Signer>) -> (Vec<u8>, Point) {
        let mut line = Line::default();
        line.begin().extend_from_slice(body);
        let point = line.link(Point::START, signer);
        (line.text().trim_ascii_end().to_vec(), point)
    }

    #[test]
    fn a_line_is_its_writers_and_nobody_elses() {
        let (mine, other) = (Signer::of(&[1; 32]), Signer::of(&[2; 32]));
        let (text, point) = line(b"{\"a\":1}", Some(&mine));
        assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|line| line["mac"].is_string()));
        assert_eq!(judge(&text, Some(&mine)), (point.hash, Author::Own));
        assert_eq!(judge(&text, Some(&other)), (hash(&text), Author::Other(mine.id)));
        assert_eq!(judge(&text, None).1, Author::Other(mine.id));
        for at in 0..text.len() - TAIL {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert_eq!(judge(&changed, Some(&mine)).1, Author::Forged, "{at}");
        }
        assert_eq!(judge(&line(b"{\"a\":1}", None).0, Some(&mine)).1, Author::Unknown);
    }

    #[test]
    fn a_record_beside_the_log_is_no_line_and_a_line_is_no_record() {
        let signer = Signer::of(&[1; 32]);
        let record = signer.sign_record(b"{\"a\":1}");
        assert_eq!(signer.own_record(&record), Some(&b"{\"a\":1"[..]));
        assert_eq!(signer.own_record(&line(b"{\"a\":1}", Some(&signer)).0), None);
        // Put into the log by someone without the key.
        let merged = [b"{\"merged\":\"7-ab:1\",", &record[1..]].concat();
        assert_eq!(judge(&line(&merged, None).0, Some(&signer)).1, Author::Own);
        // As it is, it has no place in a chain.
        assert_eq!(judge(&record, Some(&signer)).1, Author::Forged);
    }
}
