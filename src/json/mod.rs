//! Exact JSON: checks a text once, then hands out slices of it that are never re-encoded.
//!
//! An event must leave as the bytes it came in as (a 30-digit integer stays one), so nothing here
//! builds a tree or prints a value back. [`Json::parse`] walks the text once, without recursion, and
//! refuses what two readers could read differently: duplicate keys, lone surrogates, too much depth.
//! After that a [`Json`] is a `&str` known to hold exactly one value, and lookups skip over the rest.
//!
//! Grammar: RFC 8259; duplicate names and lone surrogates refused as in I-JSON (RFC 7493, 2.1 and 2.3).

mod check;
mod object;

pub use object::ObjectText;

use std::borrow::Cow;
use std::fmt;

/// Deepest nesting of arrays and objects that is accepted.
pub const MAX_DEPTH: usize = 128;

/// One JSON value inside a text that was checked by [`Json::parse`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Json<'a> {
    text: &'a str,
}

/// Names and values of an object.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// What a value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number, kept as written.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Boolean => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        })
    }
}

/// Why a text is not acceptable JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.problem)
    }
}

impl std::error::Error for JsonError {}

impl<'a> Json<'a> {
    /// Checks `bytes` as one JSON document and returns its value.
    ///
    /// # Errors
    /// The first place where it is not UTF-8, breaks the grammar, repeats a key of the same object,
    /// holds half a surrogate pair, or nests deeper than [`MAX_DEPTH`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JsonError> {
        check::check(bytes).map(|(value, _)| value)
    }

    /// As [`Json::parse`], with the members of an object, in order: they were met on the way.
    pub(crate) fn parse_members(bytes: &'a [u8]) -> Result<(Self, Members<'a>), JsonError> {
        check::check(bytes)
    }

    /// Takes a text that [`Json::parse`] returned before, without checking it again.
    pub(crate) fn already_checked(text: &'a str) -> Self {
        Json { text }
    }

    /// The value exactly as written.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        match self.text.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The member `key` of an object; `None` for another kind or a missing member.
    pub fn get(self, key: &str) -> Option<Json<'a>> {
        self.entries().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The members of an object in order; empty for another kind.
    pub fn entries(self) -> impl Iterator<Item = (Cow<'a, str>, Json<'a>)> {
        let mut walk = Walk::into(self, Kind::Object);
        std::iter::from_fn(move || Some((walk.next_key()?, walk.next_value()?)))
    }

    /// The elements of an array in order; empty for another kind.
    pub fn items(self) -> impl Iterator<Item = Json<'a>> {
        let mut walk = Walk::into(self, Kind::Array);
        std::iter::from_fn(move || walk.next_value())
    }

    /// The characters of a string.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| unescape(self.text))
    }

    /// A number as binary64, as EventBridge compares them.
    pub fn as_f64(self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| self.text.parse().ok()).flatten()
    }

    /// A boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self.text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Line and column, 1-based and in characters, of the value `part` within the text it was read from.
pub fn position(whole: &str, part: Json<'_>) -> (usize, usize) {
    let at = (part.text.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    check::position(whole.as_bytes(), at)
}

/// Appends `value` to `out` as a JSON string literal.
pub fn push_string(out: &mut String, value: &str) {
    out.push('"');
    // All of it, without stopping at the first that needs an escape: that is done sixteen at a time.
    let is_special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == 0x7f);
    if !value.bytes().fold(false, |special, byte| special | is_special(byte)) {
        out.push_str(value);
        out.push('"');
        return;
    }
    let mut start = 0;
    for (at, byte) in value.bytes().enumerate() {
        let escape: &str = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f | 0x7f => {
                out.push_str(&value[start..at]);
                out.push_str(&format!("\\u{byte:04x}"));
                start = at + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&value[start..at]);
        out.push_str(escape);
        start = at + 1;
    }
    out.push_str(&value[start..]);
    out.push('"');
}

/// Walks the values of a checked container; keys and values of an object alternate.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn into(json: Json<'a>, wanted: Kind) -> Self {
        let text = if json.kind() == wanted { json.text } else { "" };
        Walk { text, at: 1 }
    }

    fn next_value(&mut self) -> Option<Json<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') {
            self.at += 1;
        }
        let start = self.at;
        if matches!(bytes[start], b'}' | b']') {
            return None;
        }
        self.at = skip_value(bytes, start);
        Some(Json { text: &self.text[start..self.at] })
    }

    fn next_key(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r' | b',') {
            self.at += 1;
        }
        if bytes[self.at] != b'"' {
            return None;
        }
        let start = self.at;
        let end = plain_run(bytes, start + 1);
        if bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Some(Cow::Borrowed(&self.text[start + 1..end]));
        }
        self.at = skip_string(bytes, start);
        Some(unescape(&self.text[start..self.at]))
    }
}

/// The first place from `at` on that is a quote, a backslash or a control character: where a string ends or
/// needs a closer look. Looks at eight bytes at a time (Mycroft's test for a zero byte).
fn plain_run(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = zero(word ^ (ONES * b'"' as u64));
        let backslash = zero(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        // The lowest mark is exact; those above it may be carried over from it.
        let marks = quote | backslash | control;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
        at += 1;
    }
    at
}

/// The end of the checked value that begins at `at`.
fn skip_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = skip_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => at += 1,
            _ => {
                while matches!(bytes.get(at), Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E')) {
                    at += 1;
                }
            }
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn skip_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        at = plain_run(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return at,
        }
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
}

/// The characters of a checked string literal, quotes included in `literal`.
fn unescape(literal: &str) -> Cow<'_, str> {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let bytes = rest.as_bytes();
        let mut used = 2;
        match bytes.get(at + 1) {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                used = 6;
                let mut code = hex4(bytes, at + 2).unwrap_or(0xfffd);
                if (0xd800..0xdc00).contains(&code) {
                    let low = hex4(bytes, at + 8).unwrap_or(0xdc00);
                    code = 0x10000 + ((code - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                    used = 12;
                }
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            Some(&other) => out.push(char::from(other)),
            None => {}
        }
        rest = rest.get(at + used..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Json::parse(text.as_bytes()).map(|json| json.text().to_owned()).unwrap_err().to_string()
    }

    #[test]
    fn keeps_every_value_as_written() {
        let text = r#" {"n":123456789012345678901234567890.10, "s":"\u00e4\n", "a":[1,{"b":[]},"x"], "e":{}} "#;
        let json = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(json.text(), text.trim());
        assert_eq!(json.get("n").unwrap().text(), "123456789012345678901234567890.10");
        assert_eq!(json.get("s").unwrap().as_str().unwrap(), "ä\n");
        let items: Vec<_> = json.get("a").unwrap().items().map(Json::text).collect();
        assert_eq!(items, ["1", r#"{"b":[]}"#, r#""x""#]);
        assert_eq!(json.get("e").unwrap().entries().count(), 0);
        assert!(json.get("missing").is_none());
    }

    #[test]
    fn refuses_what_readers_could_read_differently() {
        for (text, wanted) in [
            ("", "line 1, column 1: nothing here; one JSON value is needed"),
            (
                "{\"a\":1,\n \"a\":2}",
                "line 2, column 2: this key was given before in the same object; readers would disagree on its value",
            ),
            (
                r#"{"a":1,"\u0061":2}"#,
                "line 1, column 8: this key was given before in the same object; readers would disagree on its value",
            ),
            (r#"["\ud800"]"#, "line 1, column 3: half a surrogate pair; it stands for no character"),
            ("[1,]", "line 1, column 4: no JSON value begins with this character"),
            ("{\"a\" 1}", "line 1, column 6: `:` is needed here"),
            ("[01]", "line 1, column 3: a number must not begin with 0"),
            ("[1 2]", "line 1, column 4: `,` or `]` is needed here"),
            ("{} {}", "line 1, column 4: something follows the JSON value; one value is wanted"),
            ("{\"a\":\"ä", "line 1, column 8: the text ends inside a string"),
            ("tru", "line 1, column 1: no JSON value begins like this; strings need double quotes"),
        ] {
            assert_eq!(problem(text), wanted, "{text}");
        }
        assert!(Json::parse(b"\xff\xfe{\0}\0").unwrap_err().problem.contains("UTF-16"));
    }

    #[test]
    fn finds_a_repeated_key_among_many() {
        let mut members: Vec<String> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert!(Json::parse(text.as_bytes()).is_ok());
        members.push("\"k7\":0".into());
        assert!(problem(&format!("{{{}}}", members.join(","))).contains("given before"));
    }

    #[test]
    fn takes_128_levels_and_refuses_129() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(nested(128).as_bytes()).is_ok());
        assert!(problem(&nested(129)).contains("nested deeper than 128 levels"));
        assert!(Json::parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn a_plain_run_ends_where_it_must() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for length in 0..40 {
                let mut bytes = vec![0xc3; length];
                bytes.push(special);
                bytes.extend(b"aaaaaaaaaaaa\"");
                assert_eq!(plain_run(&bytes, 0), length, "{special} {length}");
            }
        }
        assert_eq!(plain_run(b"! #\x7f\x80\xff[]^_\x21\x23", 0), 12);
    }

    #[test]
    fn written_strings_read_back_the_same() {
        for value in ["", "plain", "q\"b\\s/", "\u{0}\u{1f}\u{7f}\n\r\t", "äöü 🦀", "\u{2028}"] {
            let mut literal = String::new();
            push_string(&mut literal, value);
            assert_eq!(Json::parse(literal.as_bytes()).unwrap().as_str().unwrap(), value);
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}",:0-9a-z\\eE.+\- truefalsn]{0,40}"#) {
            let ours = Json::parse(text.as_bytes());
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match (ours, theirs) {
                (Ok(json), Ok(value)) => {
                    let again: serde_json::Value = serde_json::from_str(json.text()).unwrap();
                    proptest::prop_assert_eq!(again, value);
                }
                (Err(error), Ok(_)) => proptest::prop_assert!(error.problem.contains("given before")),
                (Ok(json), Err(error)) => proptest::prop_assert!(
                    error.to_string().contains("number out of range"), "{} {}", json.text(), error),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
