//! Texts of others as markup: no character of theirs is one of ours.

use crate::text::{one_line, shorten, terminal_safe, terminal_safe_json};
use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

/// A text that stays a text: in an element, or between double quotes as the value of an attribute.
#[derive(Clone, Debug)]
pub(super) struct Text(String);

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                // The short ones: an event has many.
                b'"' => "&#34;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// A name or a reason: one line, at most `limit` characters.
pub(super) fn line(text: &str, limit: usize) -> Text {
    Text(one_line(&shorten(text, limit)))
}

/// A text of several lines.
pub(super) fn block(text: &str) -> Text {
    Text(terminal_safe(text).into_owned())
}

/// A JSON text, indented: nothing but blanks between its tokens is changed, so that a number stays as it is
/// written.
pub(super) fn json(text: &str) -> Text {
    Text(indented(&terminal_safe_json(text)))
}

/// JSON with a line for each member and element; of what is no JSON, something.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 3 / 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut characters = json.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n('\t', depth.min(20)));
    };
    while let Some(character) = characters.next() {
        if in_string {
            out.push(character);
            (in_string, escaped) = (escaped || character != '"', character == '\\' && !escaped);
            continue;
        }
        match character {
            ' ' | '\t' | '\n' | '\r' => {}
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = character == '"';
                out.push(character);
            }
        }
    }
    out
}

/// A whole number with commas: `12,345`.
pub(super) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in percent, never rounded up to all or down to nothing.
pub(super) fn percent(part: usize, whole: usize) -> String {
    if part == whole {
        return "100 %".to_owned();
    }
    let share = (part as f64 / whole.max(1) as f64 * 1000.0).round();
    let share = if part == 0 { 0.0 } else { share.clamp(1.0, 999.0) };
    format!("{:.1} %", share / 10.0)
}

/// Milliseconds for people.
pub(super) fn span(millis: f64) -> String {
    let seconds = (millis / 1e3) as u64;
    match seconds {
        0..3600 => crate::time::human(Duration::from_secs_f64(millis.max(0.0) / 1e3)),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Milliseconds of a record that may say anything: nothing for what is no span of time.
pub(super) fn sane(millis: Option<f64>) -> Option<f64> {
    millis.filter(|millis| (0.0..1e12).contains(millis))
}

/// Bytes for people.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Appends what a `format!` would make. Writing to a `String` cannot fail.
pub(super) fn put(out: &mut String, arguments: fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

/// How much of long texts still goes into the page.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    /// The most of one text, in bytes.
    each: usize,
    /// What each gets when nothing is left, in bytes.
    least: usize,
}

impl Budget {
    pub(super) fn new(left: usize, each: usize, least: usize) -> Self {
        Budget { left, each, least }
    }

    fn grant(&mut self, length: usize) -> usize {
        let granted = length.min(self.each).min(self.left.max(self.least));
        self.left = self.left.saturating_sub(granted);
        granted
    }

    /// The end of a text, and how many bytes before it are left out.
    pub(super) fn end<'a>(&mut self, text: &'a str) -> (&'a str, usize) {
        let from = text.len() - self.grant(text.len());
        let from = (from..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
        (&text[from..], from)
    }

    /// The beginning of a text, and how many bytes after it are left out.
    pub(super) fn beginning<'a>(&mut self, text: &'a str) -> (&'a str, usize) {
        let to = self.grant(text.len());
        let to = (0..=to).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        (&text[..to], text.len() - to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_text_is_markup() {
        assert_eq!(line("<a b='c' d=\"e\">&\n", 99).to_string(), "&lt;a b=&#39;c&#39; d=&#34;e&#34;&gt;&amp;␊");
        assert_eq!(block("\u{1b}[2J\n\u{202e}<").to_string(), "␛[2J\n\\u{202e}&lt;");
        assert_eq!(line("</script>", 5).to_string(), "&lt;/sc…");
    }

    #[test]
    fn json_is_indented_and_its_tokens_stay() {
        let text = r#"{"a":[1e999,-0.10,{}, [ ]],"b":"x\\\"y: {,}","c":{"d":null}}"#;
        let wanted = "{\n\t\"a\": [\n\t\t1e999,\n\t\t-0.10,\n\t\t{},\n\t\t[]\n\t],\n\t\"b\": \"x\\\\\\\"y: {,}\",\n\t\"c\": {\n\t\t\"d\": null\n\t}\n}";
        assert_eq!(indented(text), wanted);
        for broken in ["", "}", "]]]", "\"", "{\"", "[", "{,", "\"\\"] {
            indented(broken);
        }
    }

    #[test]
    fn numbers_are_for_people() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
        for (part, whole, text) in
            [(0, 0, "100 %"), (0, 9, "0.0 %"), (1, 9999, "0.1 %"), (9998, 9999, "99.9 %"), (1, 3, "33.3 %")]
        {
            assert_eq!(percent(part, whole), text);
        }
        assert_eq!(
            [span(0.42), span(65_000.0), span(7_260_000.0), span(9e7)],
            ["0.4 ms", "1 min 5 s", "2 h 1 min", "1 d 1 h"]
        );
        assert_eq!(
            [sane(Some(-1.0)), sane(Some(f64::NAN)), sane(Some(1e300)), sane(Some(2.0))],
            [None, None, None, Some(2.0)]
        );
    }

    #[test]
    fn a_budget_cuts_at_characters_and_says_what_is_left_out() {
        let mut budget = Budget::new(9, 5, 2);
        assert_eq!(budget.end("abc"), ("abc", 0));
        assert_eq!(budget.end("aäbcde"), ("bcde", 3));
        assert_eq!(budget.beginning("äää"), ("ä", 4));
        assert_eq!(budget.beginning("äää"), ("ä", 4));
        assert_eq!(budget.end(""), ("", 0));
    }
}
