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
    for (character, harmful) in judged(text) {
        match character {
            _ if !harmful => out.push(character),
            '\u{7f}' => out.push('\u{2421}'),
            '\0'..='\u{1f}' => out.extend(char::from_u32(0x2400 + u32::from(character))),
            _ => out.extend(character.escape_unicode()),
        }
    }
    Cow::Owned(out)
}

/// A line of a hook's output, as [`terminal_safe`], but for its colours (SGR, ECMA-48 8.3.117): with `colours` they stay, and
/// end with the line; without, they are left out.
pub fn hook_line(line: &str, colours: bool) -> Cow<'_, str> {
    if !line.contains("\u{1b}[") {
        return terminal_safe(line);
    }
    let mut out = String::with_capacity(line.len() + 8);
    let (mut rest, mut painted) = (line, false);
    while let Some(start) = rest.find("\u{1b}[") {
        let after = &rest[start + 2..];
        let parameters =
            after.find(|character: char| !matches!(character, '0'..='9' | ';' | ':')).unwrap_or(after.len());
        let (shown, end) = if after[parameters..].starts_with('m') {
            (start, start + 2 + parameters + 1)
        } else {
            (start + 2, start + 2)
        };
        out.push_str(&terminal_safe(&rest[..shown]));
        if colours {
            out.push_str(&rest[shown..end]);
            painted |= shown < end;
        }
        rest = &rest[end..];
    }
    out.push_str(&terminal_safe(rest));
    if painted {
        out.push_str("\u{1b}[0m");
    }
    Cow::Owned(out)
}

/// Every character, and whether a terminal or a reader could be misled by it where it stands. A joiner between letters, or
/// between the parts of an emoji, is text (Unicode UAX #31, UTS #51); next to ASCII nothing needs one.
fn judged(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut before = None;
    let mut characters = text.chars().peekable();
    std::iter::from_fn(move || {
        let character = characters.next()?;
        let is_text = |neighbour: Option<char>| neighbour.is_some_and(|of| !of.is_ascii() && !is_unsafe(of));
        let joins =
            matches!(character, '\u{200c}' | '\u{200d}') && is_text(before) && is_text(characters.peek().copied());
        before = Some(character);
        Some((character, is_unsafe(character) && !joins))
    })
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
    for (character, harmful) in judged(text) {
        if character == '\r' {
            out.push(' ');
        } else if harmful {
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
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]));
    let mut out = String::with_capacity(bytes.len() * 2);
    out.extend(bytes.iter().flat_map(digits));
    out
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
    fn joiners_in_words_and_emoji_are_text_and_elsewhere_they_are_shown() {
        for text in ["می\u{200c}خواهم", "क्\u{200d}ष", "👩\u{200d}👩\u{200d}👧", "🏳\u{fe0f}\u{200d}🌈"]
        {
            assert_eq!(terminal_safe(text), text);
            assert_eq!(terminal_safe_json(text), text);
        }
        assert_eq!(terminal_safe("ad\u{200d}min"), "ad\\u{200d}min");
        assert_eq!(terminal_safe("\u{200c}می"), "\\u{200c}می");
        assert_eq!(terminal_safe("م\u{200d}\u{200d}ی"), "م\\u{200d}\\u{200d}ی");
        assert_eq!(terminal_safe_json("\"a\u{200d}b\""), "\"a\\u200db\"");
    }

    #[test]
    fn colours_of_a_hook_stay_on_a_terminal_and_nothing_else_does() {
        let line = "\u{1b}[1;31mred\u{1b}[0m \u{1b}[2Jx \u{1b}[38:2:1:2:3mdeep";
        assert_eq!(hook_line(line, true), "\u{1b}[1;31mred\u{1b}[0m ␛[2Jx \u{1b}[38:2:1:2:3mdeep\u{1b}[0m");
        assert_eq!(hook_line(line, false), "red ␛[2Jx deep");
        for (line, shown) in
            [("\u{1b}[", "␛["), ("\u{1b}[31", "␛[31"), ("\u{1b}[?25l", "␛[?25l"), ("\u{1b}]0;x\u{7}", "␛]0;x␇")]
        {
            assert_eq!((hook_line(line, true), hook_line(line, false)), (shown.into(), shown.into()));
        }
        assert_eq!(hook_line("a\u{1b}[mb", false), "ab");
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
        assert_eq!(hex(&[0, 0x0f, 0xa5, 0xff]), "000fa5ff");
    }
}
