//! Text on its way to a person: made harmless for a terminal, cut to size, compared for typing errors.

use std::borrow::Cow;

/// A short text of ASCII characters that is nobody's memory but its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Written<N> {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// `text` with everything a terminal would act on made visible: control characters as `␛`-like
/// pictures, bidirectional overrides (CVE-2021-42574) and invisible characters as `\u{…}`.
///
/// Line feeds and tabs stay; give one line at a time where a line feed would mislead.
pub fn terminal_safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\u{7f}' => out.push('\u{2421}'),
            '\0'..='\u{1f}' if is_unsafe(character) => {
                out.extend(char::from_u32(0x2400 + u32::from(character)));
            }
            _ if is_unsafe(character) => out.extend(character.escape_unicode()),
            _ => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// As [`terminal_safe`], with line feeds and tabs made visible too.
pub fn one_line(text: &str) -> String {
    terminal_safe(text).replace('\n', "\u{240a}").replace('\t', "\u{2409}")
}

fn is_unsafe(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        '\u{ad}' | '\u{61c}' => true,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => true,
        '\u{feff}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// JSON text with every character that [`terminal_safe`] would change written as a `\u` escape. Such
/// characters stand in strings only, so that the value stays the same; a carriage return stands between tokens only, and
/// becomes a space.
pub fn terminal_safe_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character == '\r' {
            out.push(' ');
        } else if is_unsafe(character) {
            let mut units = [0; 2];
            out.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// The candidate nearest to `name`, when it is near enough to be a slip of the keys.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let allowed = 1 + name.chars().count() / 4;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// At most `limit` characters of `text`; a cut is shown as `…`.
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let end = text.char_indices().nth(limit.saturating_sub(1)).map_or(0, |(at, _)| at);
            Cow::Owned(format!("{}…", &text[..end]))
        }
    }
}

/// `1 hook`, `3 hooks`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(terminal_safe("plain äö\n\tx"), "plain äö\n\tx");
        assert_eq!(terminal_safe("\u{1b}[2J\r\u{7f}\u{9b}1m"), "␛[2J␍␡\\u{9b}1m");
        assert_eq!(terminal_safe("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(one_line("a\nb\tc"), "a␊b␉c");
    }

    #[test]
    fn names_only_what_is_near() {
        let known = ["task.completed", "spec.created", "plan.created"];
        assert_eq!(nearest("task.complete", known), Some("task.completed"));
        assert_eq!(nearest("Spec.Craeted", known), Some("spec.created"));
        assert_eq!(nearest("deploy.finished", known), None);
    }

    #[test]
    fn cuts_at_characters() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }
}
