//! `wildcard`: a text in which `*` stands for any characters, `\*` for a star and `\\` for a backslash.

use std::fmt;

/// A compiled wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard {
    /// The plain texts between the stars: one more than there are stars.
    pieces: Vec<String>,
}

/// Why a text is no wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidWildcard {
    /// How many characters into the text.
    pub at: usize,
    /// What is wrong.
    pub problem: &'static str,
    /// What to do about it.
    pub help: &'static str,
}

impl Wildcard {
    /// Reads a wildcard.
    ///
    /// # Errors
    /// Two stars stand side by side, or a backslash escapes anything but a star or a backslash.
    pub fn parse(text: &str) -> Result<Self, InvalidWildcard> {
        let mut pieces = vec![String::new()];
        let mut last_was_star = false;
        let mut characters = text.chars().enumerate();
        while let Some((at, character)) = characters.next() {
            let plain = match character {
                '*' if last_was_star => {
                    let (problem, help) =
                        ("two stars stand side by side", "one `*` stands for any number of characters");
                    return Err(InvalidWildcard { at, problem, help });
                }
                '*' => {
                    pieces.push(String::new());
                    last_was_star = true;
                    continue;
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('*' | '\\'))) => escaped,
                    _ => {
                        let (problem, help) =
                            ("this backslash escapes nothing", "write `\\*` for a star, `\\\\` for a backslash");
                        return Err(InvalidWildcard { at, problem, help });
                    }
                },
                plain => plain,
            };
            last_was_star = false;
            if let Some(piece) = pieces.last_mut() {
                piece.push(plain);
            }
        }
        Ok(Wildcard { pieces })
    }

    /// The plain text it begins with.
    pub fn prefix(&self) -> &str {
        self.pieces.first().map_or("", String::as_str)
    }

    /// Whether the whole text fits. Takes time in proportion to the text, whatever the wildcard: each
    /// piece takes the first place where it fits, which leaves the most to those behind it.
    pub fn fits(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.prefix() == text;
        };
        let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
        middle.iter().all(|piece| match rest.find(piece.as_str()) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, piece) in self.pieces.iter().enumerate() {
            let star = if at == 0 { "" } else { "*" };
            write!(f, "{star}{}", piece.replace('\\', "\\\\").replace('*', "\\*"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_whole_texts() {
        for (wildcard, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("*", "", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("*.rs", "main.rs", true),
            ("s*/m*.rs", "src/main.rs", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*bc*c", "abc", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "aXb", false),
            (r"a\\*", r"a\b", true),
        ] {
            let parsed = Wildcard::parse(wildcard).unwrap();
            assert_eq!(parsed.fits(text), fits, "{wildcard} {text}");
            assert_eq!(parsed.to_string(), wildcard);
        }
        assert_eq!(Wildcard::parse("ab**").unwrap_err().at, 3);
        assert_eq!(Wildcard::parse(r"a\b").unwrap_err().at, 1);
        assert_eq!(Wildcard::parse("a\\").unwrap_err().at, 1);
    }
}
