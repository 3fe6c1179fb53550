//! The one walk over a JSON text that decides whether it is acceptable; no recursion, no tree.

use super::{Json, JsonError, MAX_DEPTH, Members, hex4, plain_run, skip_space, unescape};
use std::borrow::Cow;

/// Checks `bytes` as one JSON document and returns its value, and its members when it is an object;
/// [`Json::parse`] has the rules.
pub(super) fn check(bytes: &[u8]) -> Result<(Json<'_>, Members<'_>), JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| error_at(bytes, error.valid_up_to(), not_utf8(bytes)))?;
    // Room for what most documents have; growing costs more than reading.
    let (open, keys) = (Vec::with_capacity(8), Vec::with_capacity(24));
    let mut scanner = Scanner { text, bytes, at: 0, open, keys, members: Vec::with_capacity(12) };
    match scanner.document() {
        Ok((start, end)) => Ok((Json { text: &text[start..end] }, scanner.members)),
        Err(Fault { at, problem }) => Err(error_at(bytes, at, problem)),
    }
}

fn not_utf8(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this is UTF-16; JSON must be UTF-8 (RFC 8259)".into(),
        _ => "this byte is not UTF-8; JSON must be UTF-8 (RFC 8259)".into(),
    }
}

fn error_at(bytes: &[u8], at: usize, problem: String) -> JsonError {
    let (line, column) = position(bytes, at);
    JsonError { line, column, problem }
}

/// Line and column, 1-based and in characters, of the byte `at`.
pub(super) fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at.min(bytes.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

struct Fault {
    at: usize,
    problem: String,
}

/// An object's or array's place on the stack of open containers.
#[derive(Clone, Copy)]
struct Open {
    object: bool,
    /// Where it begins.
    start: usize,
    /// Where this object's keys begin in [`Scanner::keys`].
    first_key: usize,
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    open: Vec<Open>,
    /// The keys of all open objects: where each begins, and its characters.
    keys: Vec<(usize, Cow<'a, str>)>,
    /// The members of the outermost object so far.
    members: Members<'a>,
}

impl<'a> Scanner<'a> {
    fn document(&mut self) -> Result<(usize, usize), Fault> {
        if self.bytes.starts_with(b"\xef\xbb\xbf") {
            return self.fault("a byte order mark; JSON must not begin with one (RFC 8259, 8.1)");
        }
        self.space();
        let start = self.at;
        if start == self.bytes.len() {
            return self.fault("nothing here; one JSON value is needed");
        }
        loop {
            let complete = self.value_or_opening()?;
            if complete && !self.after_value()? {
                break;
            }
        }
        let end = self.at;
        self.space();
        if self.at < self.bytes.len() {
            return self.fault("something follows the JSON value; one value is wanted");
        }
        Ok((start, end))
    }

    /// Reads a scalar or an empty container (true), or goes into a container (false).
    fn value_or_opening(&mut self) -> Result<bool, Fault> {
        self.space();
        match self.peek() {
            Some(b'{') => self.enter(true),
            Some(b'[') => self.enter(false),
            Some(first) => {
                let start = self.at;
                match first {
                    b'"' => self.string().map(drop),
                    b'-' | b'0'..=b'9' => self.number(),
                    b't' => self.word("true"),
                    b'f' => self.word("false"),
                    b'n' => self.word("null"),
                    _ => self.fault("no JSON value begins with this character"),
                }?;
                self.member(start);
                Ok(true)
            }
            None => self.fault("the text ends where a value is needed"),
        }
    }

    /// Keeps the value that begins at `start` and ends here, when it is a member of the outermost object.
    fn member(&mut self, start: usize) {
        if let ([Open { object: true, .. }], Some((_, key))) = (&*self.open, self.keys.last()) {
            self.members.push((key.clone(), Json { text: &self.text[start..self.at] }));
        }
    }

    fn enter(&mut self, object: bool) -> Result<bool, Fault> {
        if self.open.len() == MAX_DEPTH {
            return self.fault(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let start = self.at;
        self.at += 1;
        self.space();
        if self.peek() == Some(if object { b'}' } else { b']' }) {
            self.at += 1;
            self.member(start);
            return Ok(true);
        }
        self.open.push(Open { object, start, first_key: self.keys.len() });
        if object {
            self.key()?;
        }
        Ok(false)
    }

    /// After a value: closes containers and stops before the next value (true), or ends (false).
    fn after_value(&mut self) -> Result<bool, Fault> {
        while let Some(open) = self.open.last() {
            let Open { object, start, first_key } = *open;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.space();
                        self.key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if object => self.unique_keys(first_key)?,
                Some(b']') if !object => {}
                Some(_) if object => return self.fault("`,` or `}` is needed here"),
                Some(_) => return self.fault("`,` or `]` is needed here"),
                None => return self.fault("the text ends inside an array or object"),
            }
            self.at += 1;
            self.open.pop();
            self.member(start);
        }
        Ok(false)
    }

    fn key(&mut self) -> Result<(), Fault> {
        let at = self.at;
        if self.peek() != Some(b'"') {
            return self.fault("a key in double quotes is needed here");
        }
        let key = self.string()?;
        self.keys.push((at, key));
        self.space();
        if self.peek() != Some(b':') {
            return self.fault("`:` is needed here");
        }
        self.at += 1;
        Ok(())
    }

    fn unique_keys(&mut self, first_key: usize) -> Result<(), Fault> {
        let keys = &mut self.keys[first_key..];
        let mut repeated: Option<usize> = None;
        if keys.len() <= 12 {
            for (index, (at, key)) in keys.iter().enumerate() {
                if keys[..index].iter().any(|(_, earlier)| earlier == key) {
                    repeated = Some(*at);
                    break;
                }
            }
        } else {
            keys.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.cmp(&b.0)));
            repeated = keys.windows(2).filter(|pair| pair[0].1 == pair[1].1).map(|pair| pair[1].0).min();
        }
        if let Some(at) = repeated {
            self.at = at;
            return self.fault("this key was given before in the same object; readers would disagree on its value");
        }
        self.keys.truncate(first_key);
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.at;
        self.at = plain_run(self.bytes, start + 1);
        if self.peek() == Some(b'"') {
            // Most strings: nothing in them but plain characters.
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start + 1..self.at - 1]));
        }
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..=0x1f) => return self.fault("a control character in a string must be escaped"),
                Some(_) => self.at = plain_run(self.bytes, self.at),
                None => return self.fault("the text ends inside a string"),
            }
        }
        self.at += 1;
        let literal = &self.text[start..self.at];
        Ok(if escaped { unescape(literal) } else { Cow::Borrowed(&literal[1..literal.len() - 1]) })
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match hex4(self.bytes, self.at + 2) {
                Some(0xd800..=0xdbff) => {
                    let low = (self.bytes.get(self.at + 6..self.at + 8) == Some(b"\\u"))
                        .then(|| hex4(self.bytes, self.at + 8))
                        .flatten();
                    if !matches!(low, Some(0xdc00..=0xdfff)) {
                        return self.fault("half a surrogate pair; it stands for no character");
                    }
                    self.at += 12;
                    Ok(())
                }
                Some(0xdc00..=0xdfff) => self.fault("half a surrogate pair; it stands for no character"),
                Some(_) => {
                    self.at += 6;
                    Ok(())
                }
                None => self.fault("`\\u` needs four hexadecimal digits"),
            },
            _ => self.fault("no such escape in a JSON string"),
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.peek(), Some(b'0'..=b'9')) {
                    return self.fault("a number must not begin with 0");
                }
            }
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.fault("a digit is needed here"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fault("a digit is needed here");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fault("no JSON value begins like this; strings need double quotes");
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        self.at = skip_space(self.bytes, self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault<T>(&self, problem: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { at: self.at, problem: problem.into() })
    }
}
