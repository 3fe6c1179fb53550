//! Event ids: `evt_` and a ULID, which sort by the time they were made.

use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use ulid::Ulid;

/// The longest id, in bytes: `evt_` and 64 characters.
const LONGEST: usize = 68;

/// The identity of an event: `evt_` + 26 characters of Crockford base 32 (ADR-005). Ids that other producers made are
/// kept as they are: `evt_` and up to 64 letters, digits, `_` and `-`, or a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The characters, zeros behind them.
    text: [u8; LONGEST],
    length: u8,
}

/// A text that is not an event id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEventId(String);

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no event id; one is `evt_` and up to 64 letters, digits, `_` and `-` (knockon makes a ULID), or a UUID",
            crate::text::one_line(&crate::text::shorten(&self.0, 60))
        )
    }
}

impl std::error::Error for InvalidEventId {}

/// The last id this process made; the next one is greater, also within one millisecond and when the
/// clock steps back.
static LAST: Mutex<Last> = Mutex::new(Last { ulid: 0, process: 0 });

struct Last {
    ulid: u128,
    /// The process that made it. A fork begins anew: it must not go on where its parent does.
    process: u32,
}

/// The length of an id that knockon makes.
const ULID_ID: usize = 4 + ulid::ULID_LEN;
/// How many bits of a ULID are random.
const RANDOM_BITS: u32 = 80;

impl EventId {
    /// A new id for an event made at `now`, greater than every id this process made before.
    pub fn generate(now: Timestamp) -> Self {
        let process = std::process::id();
        let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let same = last.process == process && last.ulid >> RANDOM_BITS == u128::from(now.as_millis());
        // The next number within one millisecond, as the specification of ULIDs has it: no new randomness is needed.
        let fresh = if same { 0 } else { Ulid::from_parts(now.as_millis(), random_80_bits()).0 };
        *last = Last { ulid: fresh.max(last.ulid.saturating_add(1)), process };
        let mut digits = [0; ulid::ULID_LEN];
        Ulid(last.ulid).array_to_str(&mut digits);
        let mut text = [0; LONGEST];
        text[..4].copy_from_slice(b"evt_");
        text[4..ULID_ID].copy_from_slice(&digits);
        EventId { text, length: ULID_ID as u8 }
    }
}

impl EventId {
    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }

    /// The id without `evt_`: the ULID, unless another producer made it.
    pub fn ulid(&self) -> &str {
        self.as_str().strip_prefix("evt_").unwrap_or(self.as_str())
    }

    /// Whether it is `evt_` and a ULID: it sorts by the time it was made, and is unique.
    pub fn is_ulid(&self) -> bool {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z');
        let digits = self.as_str().strip_prefix("evt_");
        digits.is_some_and(|digits| digits.len() == ulid::ULID_LEN && digits.bytes().all(digit))
    }

    /// The ULID as a number of 128 bits; 0 for an id of another form.
    pub fn number(self) -> u128 {
        Ulid::from_string(self.ulid()).ok().filter(|_| self.is_ulid()).map_or(0, |ulid| ulid.0)
    }
}

/// 80 random bits; when the kernel has none to give, bits that still differ between processes.
fn random_80_bits() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes[..10]).is_err() {
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
        bytes[4..8].copy_from_slice(&nanos.to_le_bytes());
    }
    u128::from_le_bytes(bytes)
}

/// The identity of a machine's user among those that exchange events: 12 hexadecimal characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// A new one, of random bits: an identity that is derived from names is shared by cloned machines.
    pub fn random() -> Self {
        NodeId(crate::text::hex(&random_80_bits().to_le_bytes()[..6]))
    }

    /// The one that spec-kitty derives, for whoever has to match an existing fleet: of `host:user`.
    pub fn derived(host: &str, user: &str) -> Self {
        use sha2::Digest;
        NodeId(crate::text::hex(&sha2::Sha256::digest(format!("{host}:{user}"))[..6]))
    }

    /// The identity as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is not a node id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidNodeId(String);

impl fmt::Display for InvalidNodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = crate::text::one_line(&crate::text::shorten(&self.0, 60));
        write!(f, "`{shown}` is no node id; one is 12 characters of 0-9 and a-f")
    }
}

impl std::error::Error for InvalidNodeId {}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        let holds = text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if holds { Ok(NodeId(text.to_owned())) } else { Err(InvalidNodeId(text.to_owned())) }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a UUID in its usual form (RFC 9562).
fn is_uuid(text: &str) -> bool {
    let form = "00000000-0000-0000-0000-000000000000";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_hexdigit(),
            _ => byte == form,
        })
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let rest = text.strip_prefix("evt_").filter(|rest| !rest.is_empty());
        let holds = text.len() <= LONGEST && (rest.is_some_and(|rest| rest.bytes().all(fits)) || is_uuid(text));
        if !holds {
            return Err(InvalidEventId(text.to_owned()));
        }
        let mut id = EventId { text: [0; LONGEST], length: text.len() as u8 };
        id.text[..text.len()].copy_from_slice(text.as_bytes());
        Ok(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_within_one_millisecond_and_when_the_clock_steps_back() {
        let now = Timestamp::from_millis(1_764_689_445_123);
        let ids: Vec<String> = (0..10_000u64)
            .map(|n| EventId::generate(Timestamp::from_millis(now.as_millis() - n % 3)).to_string())
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.len() == 30));
    }

    #[test]
    fn reads_only_the_forms_of_the_contract() {
        assert!("evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A".parse::<EventId>().unwrap().is_ulid());
        let longest = format!("evt_{}", "x".repeat(64));
        for text in [
            "evt_01jdpy4w3zk8q0rv5t6x7y8z9a",
            "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9U",
            "evt_0123456789abcdef",
            "evt_a-b_C",
            "550e8400-e29b-41d4-a716-446655440000",
            &longest,
        ] {
            let id: EventId = text.parse().unwrap();
            assert_eq!((id.to_string().as_str(), id.is_ulid(), id.number()), (text, false, 0), "{text}");
        }
        let too_long = format!("{longest}x");
        for text in [
            "01JDPY4W3ZK8Q0RV5T6X7Y8Z9A",
            "evt_",
            "",
            "evt_a b",
            "evt_\u{e4}",
            "evt_a.b",
            "550e8400e29b41d4a716446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
            &too_long,
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
