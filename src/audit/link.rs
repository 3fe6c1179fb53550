//! How a line is linked to the one before: `{"seq":7,"prev":"<BLAKE3 of the line before>",…}`.

use super::mac::{Covers, Signer};
pub(super) use blake3::Hash;

/// `prev` of the first line.
pub(super) const NO_HASH: Hash = Hash::from_bytes([0; 32]);

/// A place in the chain: a line, and what it hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Its number.
    pub(super) seq: u64,
    /// BLAKE3 of its bytes, without the line feed.
    pub(super) hash: Hash,
}

impl Point {
    /// What is before the first line.
    pub(super) const START: Point = Point { seq: 0, hash: NO_HASH };
}

/// What a line says of its place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) prev: Hash,
}

/// The hash of a line, without its line feed.
pub(super) fn hash(line: &[u8]) -> Hash {
    blake3::hash(line)
}

/// Room for the longest link: `{"seq":` 20 digits `,"prev":"` 64 digits `"`.
const ROOM: usize = 101;

/// A line that is being made. What it says is written first, and its link before it once that is known: nothing is
/// copied on the way of a record.
#[derive(Debug, Default)]
pub(super) struct Line {
    bytes: Vec<u8>,
    start: usize,
}

impl Line {
    /// Begins a line; what it says, a JSON object that is not empty, is to be written to the end of what is returned.
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        self.bytes.resize(ROOM, b' ');
        self.start = ROOM;
        &mut self.bytes
    }

    /// What it says; to be asked before it is linked.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(ROOM..).unwrap_or_default()
    }

    /// The line with its link and its line feed.
    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Links it to the line before; with a signer, it says who wrote it.
    pub(super) fn link(&mut self, before: Point, signer: Option<&Signer>) -> Point {
        // A line that someone else wrote can have any number in it; one without a next counts as none.
        let seq = before.seq.checked_add(1).unwrap_or(1);
        let mut at = ROOM;
        let mut put = |part: &[u8]| {
            at -= part.len();
            self.bytes[at..at + part.len()].copy_from_slice(part);
        };
        // From its end to its beginning.
        put(b"\"");
        put(&hex(before.hash.as_bytes()));
        put(b",\"prev\":\"");
        let mut number = seq;
        loop {
            put(&[b'0' + (number % 10) as u8]);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        put(b"{\"seq\":");
        self.start = at;
        if let Some(brace) = self.bytes.get_mut(ROOM) {
            *brace = b',';
        }
        let hash = match signer {
            None => hash(self.text()),
            Some(signer) => {
                // The closing brace comes behind the author.
                self.bytes.pop();
                let mut hasher = blake3::Hasher::new();
                let tail = signer.tail(hasher.update(self.text()).finalize(), Covers::Line);
                self.bytes.extend_from_slice(&tail);
                hasher.update(&tail).finalize()
            }
        };
        self.bytes.push(b'\n');
        Point { seq, hash }
    }
}

/// Hexadecimal digits of at most 32 bytes, without the machinery of formatting.
pub(super) fn hex(bytes: &[u8]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    digits
}

impl Link {
    /// Reads the link off a line, without its line feed.
    pub(super) fn of(line: &[u8]) -> Option<Link> {
        Self::at_the_beginning(line).or_else(|| Self::anywhere(line))
    }

    /// As we write it: needs the first bytes of the line only.
    pub(super) fn at_the_beginning(line: &[u8]) -> Option<Link> {
        let rest = line.strip_prefix(b"{\"seq\":")?;
        let digits = rest.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at(digits);
        let number = std::str::from_utf8(digits).ok()?;
        let seq = if number.len() > 1 && number.starts_with('0') { return None } else { number.parse().ok()? };
        let rest = rest.strip_prefix(b",\"prev\":\"")?;
        let (hash, rest) = rest.split_at_checked(64)?;
        let lower = hash.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        let prev = if lower { Hash::from_hex(hash).ok()? } else { return None };
        rest.starts_with(b"\"").then_some(Link { seq, prev })
    }

    /// As another tool may have written it.
    fn anywhere(line: &[u8]) -> Option<Link> {
        #[derive(serde::Deserialize)]
        struct Linked {
            seq: u64,
            prev: Option<String>,
        }
        let Linked { seq, prev } = serde_json::from_slice(line).ok()?;
        let prev = prev.and_then(|prev| Hash::from_hex(prev).ok()).unwrap_or(NO_HASH);
        Some(Link { seq, prev })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(before: Point, body: &str) -> (Vec<u8>, Point) {
        let mut line = Line::default();
        line.begin().extend_from_slice(body.as_bytes());
        assert_eq!(line.body(), body.as_bytes());
        let point = line.link(before, None);
        (line.text().to_vec(), point)
    }

    #[test]
    fn a_link_is_read_as_it_was_written() {
        let (text, first) = line(Point::START, "{\"a\":1}");
        assert_eq!(text, format!("{{\"seq\":1,\"prev\":\"{}\",\"a\":1}}\n", "0".repeat(64)).as_bytes());
        assert_eq!(Link::of(text.trim_ascii_end()).unwrap(), Link { seq: 1, prev: NO_HASH });
        let (text, _) = line(first, "{\"a\":2}");
        assert_eq!(Link::of(text.trim_ascii_end()).unwrap(), Link { seq: 2, prev: first.hash });
        assert_eq!(String::from_utf8(text).unwrap()[17..81], *first.hash.to_hex());
        assert_eq!(Link::of(b"{ \"seq\": 4 }"), Some(Link { seq: 4, prev: NO_HASH }));
        for none in ["", "{}", "{\"seq\":-1}", "{\"seq\":01,\"prev\":\"", "nonsense", "{\"seq\":1.5}"] {
            assert_eq!(Link::of(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn numbers_are_written_in_full_and_one_without_a_next_begins_anew() {
        for number in [0, 8, 9, 98, 99, 12_345, u64::MAX - 1, u64::MAX] {
            let (text, point) = line(Point { seq: number, hash: NO_HASH }, "{\"a\":1}");
            let wanted = number.checked_add(1).unwrap_or(1);
            assert_eq!((Link::of(text.trim_ascii_end()).unwrap().seq, point.seq), (wanted, wanted));
        }
    }
}
