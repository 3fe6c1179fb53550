//! Globs over event types: `*`, `?`, `[...]`, case-sensitive, over the whole type. A backslash takes the meaning from the
//! character after it (POSIX, 2.13.1).

use std::fmt;

/// A compiled glob over an event type, such as `task.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeGlob {
    /// As it is written, when it is no literal.
    text: Box<str>,
    pattern: Pattern,
}

/// A glob over a text without parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Nothing but plain characters: the common case is one comparison.
    Literal(Box<str>),
    /// Plain characters and one star behind them.
    Prefix(Box<str>),
    /// Anything else.
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Character(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// `[a-z]`, `[!abc]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Why a glob is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidGlob {
    /// How many characters into the glob.
    pub at: usize,
    /// What is wrong.
    pub problem: &'static str,
}

impl fmt::Display for InvalidGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problem)
    }
}

impl std::error::Error for InvalidGlob {}

impl TypeGlob {
    /// Reads a glob.
    ///
    /// # Errors
    /// It is empty, or has a `[` that is never closed, closed at once, or holds a range that runs backwards.
    pub fn parse(text: &str) -> Result<Self, InvalidGlob> {
        if text.is_empty() {
            let problem = "an event type or a glob such as `task.*` is wanted, this is empty";
            return Err(InvalidGlob { at: 0, problem });
        }
        let pattern = Pattern::parse(text)?;
        let text = if matches!(pattern, Pattern::Literal(_)) { "" } else { text };
        Ok(TypeGlob { text: text.into(), pattern })
    }

    /// Whether the whole of `kind` fits.
    ///
    /// Takes at most length × length steps whatever the glob: after a mismatch only the last star moves.
    pub fn matches(&self, kind: &str) -> bool {
        self.pattern.fits(kind)
    }

    /// The one type it fits, when it has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        match &self.pattern {
            Pattern::Literal(text) => Some(text),
            Pattern::Prefix(_) | Pattern::Tokens(_) => None,
        }
    }

    /// The plain characters before its first wildcard, and those behind its last.
    pub(super) fn ends(&self) -> (String, String) {
        let plain = |token: &Token| match token {
            Token::Character(character) => Some(*character),
            Token::One | Token::Any | Token::Class { .. } => None,
        };
        match &self.pattern {
            Pattern::Literal(text) => (text.to_string(), text.to_string()),
            Pattern::Prefix(prefix) => (prefix.to_string(), String::new()),
            Pattern::Tokens(tokens) => {
                let prefix = tokens.iter().map_while(plain).collect();
                let suffix: Vec<char> = tokens.iter().rev().map_while(plain).collect();
                (prefix, suffix.into_iter().rev().collect())
            }
        }
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidGlob> {
        match text.find(['*', '?', '[', '\\']) {
            None => return Ok(Pattern::Literal(text.into())),
            Some(at) if &text[at..] == "*" => return Ok(Pattern::Prefix(text[..at].into())),
            Some(_) => {}
        }
        let characters: Vec<char> = text.chars().collect();
        let mut tokens = Vec::with_capacity(characters.len());
        let mut at = 0;
        while let Some(&character) = characters.get(at) {
            at += 1;
            match character {
                // Two stars say what one says.
                '*' if tokens.last() == Some(&Token::Any) => {}
                '*' => tokens.push(Token::Any),
                '?' => tokens.push(Token::One),
                '[' => {
                    let (class, after) = class(&characters, at)?;
                    tokens.push(class);
                    at = after;
                }
                '\\' => {
                    let problem = "this backslash escapes nothing";
                    let plain = characters.get(at).ok_or(InvalidGlob { at: at - 1, problem })?;
                    tokens.push(Token::Character(*plain));
                    at += 1;
                }
                plain => tokens.push(Token::Character(plain)),
            }
        }
        Ok(Pattern::Tokens(tokens))
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        let tokens = match self {
            Pattern::Literal(literal) => return **literal == *text,
            Pattern::Prefix(prefix) => return text.starts_with(&**prefix),
            Pattern::Tokens(tokens) => tokens,
        };
        let (mut token, mut rest) = (0, text);
        let mut star: Option<(usize, &str)> = None;
        loop {
            let next = rest.chars().next();
            match (tokens.get(token), next) {
                (None, None) => return true,
                (Some(Token::Any), _) => {
                    star = Some((token, rest));
                    token += 1;
                    continue;
                }
                (Some(wanted), Some(character)) if wanted.takes(character) => {
                    token += 1;
                    rest = &rest[character.len_utf8()..];
                    continue;
                }
                _ => {}
            }
            // Let the last star take one character more.
            let Some((at, from)) = star else { return false };
            let mut characters = from.chars();
            if characters.next().is_none() {
                return false;
            }
            rest = characters.as_str();
            star = Some((at, rest));
            token = at + 1;
        }
    }
}

impl Token {
    fn takes(&self, character: char) -> bool {
        match self {
            Token::Character(wanted) => *wanted == character,
            Token::One => true,
            Token::Any => false,
            Token::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *negated
            }
        }
    }
}

/// Reads a class whose `[` is just before `start`; returns where it ends.
fn class(characters: &[char], start: usize) -> Result<(Token, usize), InvalidGlob> {
    let invalid = |problem| InvalidGlob { at: start - 1, problem };
    let negated = matches!(characters.get(start), Some('!' | '^'));
    let mut at = start + usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    loop {
        match characters.get(at) {
            None => return Err(invalid("this `[` is never closed")),
            // A `]` in first place stands for itself (POSIX, 2.13.1).
            Some(']') if at > first => return Ok((Token::Class { negated, ranges }, at + 1)),
            Some(&low) => match (characters.get(at + 1), characters.get(at + 2)) {
                (Some('-'), Some(&high)) if high != ']' => {
                    if high < low {
                        return Err(invalid("a range in this `[...]` runs backwards"));
                    }
                    ranges.push((low, high));
                    at += 3;
                }
                _ => {
                    ranges.push((low, low));
                    at += 1;
                }
            },
        }
    }
}

impl fmt::Display for TypeGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.literal().unwrap_or(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(glob: &str, kind: &str) -> bool {
        TypeGlob::parse(glob).unwrap().matches(kind)
    }

    #[test]
    fn fits_the_whole_type() {
        for (glob, kind, fits) in [
            ("task.completed", "task.completed", true),
            ("task.completed", "task.complete", false),
            ("task.*", "task.completed", true),
            ("task.*", "tasks.completed", false),
            ("*.completed", "plan.completed", true),
            ("*", "a.b", true),
            ("*.*_*", "task.ac_checked", true),
            ("t?sk.created", "task.created", true),
            ("[pt]*.created", "plan.created", true),
            ("[!p]*.created", "plan.created", false),
            ("[a-t]ask.*", "task.x", true),
            ("[]x].a", "x.a", true),
            ("Task.*", "task.created", false),
            ("*d", "task.completed_d", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
        ] {
            assert_eq!(holds(glob, kind), fits, "{glob} {kind}");
        }
    }

    #[test]
    fn says_where_a_glob_is_wrong() {
        for (glob, at) in [("", 0), ("task.[", 5), ("task.[]", 5), ("a[z-a]", 1)] {
            assert_eq!(TypeGlob::parse(glob).unwrap_err().at, at, "{glob}");
        }
    }

    #[test]
    fn stays_quick_on_hostile_globs() {
        let glob = TypeGlob::parse(&"*a".repeat(40)).unwrap();
        let started = std::time::Instant::now();
        assert!(!glob.matches(&"a".repeat(4_000).replace("aa", "ab")) || glob.matches("a"));
        assert!(!glob.matches(&format!("{}b", "a".repeat(4_000))));
        assert!(started.elapsed().as_secs() < 5);
    }

    proptest::proptest! {
        /// The plain definition: a star takes nothing, or one character and stays.
        #[test]
        fn agrees_with_the_definition(glob in "[a*?.]{1,8}", kind in "[a.b]{0,10}") {
            fn plain(glob: &[u8], kind: &[u8]) -> bool {
                match (glob.first(), kind.first()) {
                    (None, None) => true,
                    (Some(b'*'), _) => plain(&glob[1..], kind) || (!kind.is_empty() && plain(glob, &kind[1..])),
                    (Some(b'?'), Some(_)) => plain(&glob[1..], &kind[1..]),
                    (Some(a), Some(b)) if a == b => plain(&glob[1..], &kind[1..]),
                    _ => false,
                }
            }
            proptest::prop_assert_eq!(holds(&glob, &kind), plain(glob.as_bytes(), kind.as_bytes()));
        }
    }
}
