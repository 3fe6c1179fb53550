//! Whether output is meant as an answer, found out while it comes: it may be longer than what is kept of it.

/// Keys of which one alone makes output an answer that is meant.
const DECIDING_KEYS: [&str; 3] = ["decision", "permissionDecision", "hookSpecificOutput"];
/// How far a key may be from its colon, and both from the value, in bytes.
const LONGEST_KEY: usize = 96;

/// Finds out whether output is meant as an answer, piece by piece: whether it holds a deciding key, or
/// `"continue": false`, wherever it stands.
#[derive(Clone, Debug, Default)]
pub struct MeantScan {
    found: bool,
    /// The end of what came before, for a key that is cut in two.
    carry: Vec<u8>,
}

impl MeantScan {
    /// Looks at the next bytes of the output.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.found {
            return;
        }
        let (border, before) = (bytes.len().min(LONGEST_KEY), self.carry.len());
        self.carry.extend_from_slice(&bytes[..border]);
        self.found = (before > 0 && holds_deciding_key(&self.carry)) || holds_deciding_key(bytes);
        if bytes.len() >= LONGEST_KEY {
            self.carry.clear();
            self.carry.extend_from_slice(&bytes[bytes.len() - LONGEST_KEY..]);
        } else {
            let surplus = self.carry.len().saturating_sub(LONGEST_KEY);
            self.carry.drain(..surplus);
        }
    }

    /// Whether what was seen so far holds a deciding key.
    pub fn is_meant(&self) -> bool {
        self.found
    }
}

/// Whether the text has a deciding key in it, in double quotes or, as Python prints it, in single ones.
fn holds_deciding_key(text: &[u8]) -> bool {
    let is_key = |name: &str, value: &[u8]| {
        memchr::memmem::find_iter(text, name).any(|at| {
            let quote = at.checked_sub(1).map(|before| text[before]).filter(|quote| matches!(quote, b'"' | b'\''));
            let behind = &text[at + name.len()..];
            let Some(behind) = quote.and_then(|quote| behind.strip_prefix(&[quote])) else { return false };
            let value_text = behind.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
            value_text
                .is_some_and(|found| found.get(..value.len()).is_some_and(|found| found.eq_ignore_ascii_case(value)))
        })
    };
    DECIDING_KEYS.iter().any(|key| is_key(key, b"")) || is_key("continue", b"false")
}
