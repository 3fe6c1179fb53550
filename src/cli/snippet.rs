//! A place in a file, shown: the line, and what is meant underlined.

use crate::config::Span;
use crate::text::one_line;
use unicode_width::UnicodeWidthChar;

/// How much of a long line is shown.
const WIDTH: usize = 100;

/// A line of a file with an underline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    /// `  7 | text`
    pub(super) line: String,
    /// `    | ` and the underline below the place.
    pub(super) underline: String,
}

/// The line of `text` that `span` is in; nothing when there is none.
pub(super) fn snippet(text: &[u8], span: Span, label: &str) -> Option<Snippet> {
    let line = String::from_utf8_lossy(lines(text).nth(span.line.checked_sub(1)?)?).into_owned();
    let characters: Vec<char> = line.strip_prefix('\u{feff}').unwrap_or(&line).chars().collect();
    let column = span.column.saturating_sub(1).min(characters.len());
    // Of a long line the part around the place.
    let start = if column > WIDTH * 3 / 4 { column - WIDTH / 2 } else { 0 };
    let end = characters.len().min(start + WIDTH);
    // One character stays one column: what a terminal would act on becomes a picture or a question mark.
    let shown: String = characters[start..end].iter().map(|&character| visible(character)).collect();
    let length = if span.length == 0 { characters.len() - column } else { span.length };
    let length = length.clamp(1, (end - column.min(end)).max(1));
    let number = span.line.to_string();
    let dots = if start > 0 { "…" } else { "" };
    let columns = |characters: &[char]| -> usize {
        characters.iter().map(|&character| visible(character).width().unwrap_or(1)).sum()
    };
    let at = column.min(end);
    let pad = " ".repeat(columns(&characters[start..at]) + column - at + dots.chars().count());
    let length = columns(&characters[at..end.min(at + length)]).max(length.min(1)).max(1);
    let label = if label.is_empty() { String::new() } else { format!(" {}", one_line(label)) };
    Some(Snippet {
        line: format!("  {number} | {dots}{}", shown.trim_end()),
        underline: format!("  {} | {pad}{}{label}", " ".repeat(number.len()), "^".repeat(length)),
    })
}

/// The lines of a text as YAML counts them: a carriage return ends one, too.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.iter().position(|byte| b"\r\n".contains(byte));
        let Some(end) = end else { return rest.take() };
        let next = if text[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[next..]);
        Some(&text[..end])
    })
}

fn visible(character: char) -> char {
    let shown = if character == '\t' { " ".to_owned() } else { one_line(&character.to_string()) };
    let mut characters = shown.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) => one,
        _ => '\u{fffd}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underlines_the_place_whatever_is_on_the_line() {
        let at = |line, column, length| Span { source: 0, line, column, length };
        let show = |text: &str, span| {
            let snippet = snippet(text.as_bytes(), span, "here").unwrap();
            format!("{}\n{}", snippet.line, snippet.underline)
        };
        assert_eq!(show("a: 1\nb: wörd\n", at(2, 4, 4)), "  2 | b: wörd\n    |    ^^^^ here");
        assert_eq!(show("key:\n", at(1, 1, 0)), "  1 | key:\n    | ^^^^ here");
        assert_eq!(show("a\t\u{1b}[2Jb", at(1, 6, 1)), "  1 | a ␛[2Jb\n    |      ^ here");
        assert_eq!(show("a", at(1, 9, 3)), "  1 | a\n    |  ^ here");
        let long = show(&"x".repeat(500), at(1, 400, 3));
        assert!(long.lines().all(|line| line.chars().count() < 120), "{long}");
        assert!(snippet(b"a", at(7, 1, 1), "").is_none());
        assert_eq!(show("a: 日本 x\n", at(1, 7, 1)), "  1 | a: 日本 x\n    |         ^ here", "wide characters");
        assert_eq!(show("日本: x\n", at(1, 1, 2)), "  1 | 日本: x\n    | ^^^^ here");
        assert_eq!(show("a\rb\r\nc\n", at(3, 1, 1)), "  3 | c\n    | ^ here", "every way to end a line");
    }
}
