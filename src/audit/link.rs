//! How a line is linked to the one before: `{"seq":7,"prev":"<BLAKE3 of the line before>",…}`.

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

/// Puts a record and its link into `line`, with a line feed at its end. `body` is a JSON object that is not empty.
pub(super) fn compose(line: &mut Vec<u8>, before: Point, body: &str) -> Point {
    use std::io::Write;
    // A line that someone else wrote can have any number in it; one without a next counts as none.
    let seq = before.seq.checked_add(1).unwrap_or(1);
    line.clear();
    // Writing to a vector cannot fail.
    let _ = write!(line, "{{\"seq\":{seq},\"prev\":\"{}\",", before.hash.to_hex());
    line.extend_from_slice(&body.as_bytes()[1..]);
    let point = Point { seq, hash: hash(line) };
    line.push(b'\n');
    point
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

    #[test]
    fn a_link_is_read_as_it_was_written() {
        let mut line = Vec::new();
        let first = compose(&mut line, Point::START, "{\"a\":1}");
        let link = Link::of(line.trim_ascii_end()).unwrap();
        assert_eq!(link, Link { seq: 1, prev: NO_HASH });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap()["a"], 1);
        compose(&mut line, first, "{\"a\":2}");
        assert_eq!(Link::of(line.trim_ascii_end()).unwrap(), Link { seq: 2, prev: first.hash });
        assert_eq!(Link::of(b"{ \"seq\": 4 }"), Some(Link { seq: 4, prev: NO_HASH }));
        for none in ["", "{}", "{\"seq\":-1}", "{\"seq\":01,\"prev\":\"", "nonsense", "{\"seq\":1.5}"] {
            assert_eq!(Link::of(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_number_without_a_next_begins_anew() {
        let mut line = Vec::new();
        assert_eq!(compose(&mut line, Point { seq: u64::MAX, hash: NO_HASH }, "{\"a\":1}").seq, 1);
    }
}
