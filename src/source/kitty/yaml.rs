//! The YAML of a front matter as plain values: every scalar a text, in bounds that no file can break.

use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput};
use std::collections::HashSet;

/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// The most values.
const MAX_NODES: usize = 20_000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Yaml {
    /// A scalar; empty for `null`.
    Text(String),
    /// A sequence.
    List(Vec<Yaml>),
    /// A mapping, in its order.
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    /// The text of a scalar that is not empty.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Yaml::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// What is wrong with a text as YAML: its line, from 1, and why.
pub(super) type Fault = (usize, String);

/// Reads a mapping; an empty text is an empty one.
pub(super) fn read(text: &str) -> Result<Vec<(String, Yaml)>, Fault> {
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut reader = Reader { parser: Parser::new_from_str_with_options(text, options), nodes: 0, line: 1 };
    match reader.next()? {
        Event::DocumentStart(..) => {}
        _ => return Ok(Vec::new()),
    }
    let event = reader.next()?;
    match reader.node(event, 0)? {
        Yaml::Map(entries) => Ok(entries),
        Yaml::Text(text) if text.is_empty() => Ok(Vec::new()),
        _ => Err((1, "the front matter is no list of `key: value`".into())),
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    nodes: usize,
    line: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, Fault> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::StreamStart, _))) => {}
                Some(Ok((event, range))) => {
                    self.line = range.start.line().max(1);
                    return Ok(event);
                }
                Some(Err(error)) => return Err((error.marker().line().max(1), error.info().to_owned())),
                None => return Ok(Event::StreamEnd),
            }
        }
    }

    fn fault<T>(&self, problem: &str) -> Result<T, Fault> {
        Err((self.line, problem.into()))
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Yaml, Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return self.fault("there is more in it than a front matter may have");
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(&*text, "null" | "~") => {
                Ok(Yaml::Text(String::new()))
            }
            Event::Scalar(text, ..) => Ok(Yaml::Text(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Yaml::List(items)),
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let (mut entries, mut names) = (Vec::new(), HashSet::new());
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Ok(Yaml::Map(entries)),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return self.fault("a key must be a plain word"),
                    };
                    if !names.insert(key.clone()) {
                        let key = crate::text::one_line(&crate::text::shorten(&key, 60));
                        return self.fault(&format!("the key `{key}` is given twice"));
                    }
                    let event = self.next()?;
                    entries.push((key, self.node(event, depth + 1)?));
                }
            }
            Event::Alias(_) => self.fault("aliases (`*name`) are not understood here"),
            _ => self.fault("a value is missing here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_front_matter_has() {
        let entries =
            read("lane: \"doing\" # now\nnone: ~\nlist: [WP01, 'WP02']\nhistory:\n- at: 1\n  what: |\n    x\n")
                .unwrap();
        let get = |name: &str| entries.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
        assert_eq!(get("lane").text(), Some("doing"));
        assert_eq!(get("none").text(), None);
        assert_eq!(get("list"), Yaml::List(vec![Yaml::Text("WP01".into()), Yaml::Text("WP02".into())]));
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn refuses_what_is_hostile_with_its_line() {
        let deep = format!("a:\n  {}", "[".repeat(10_000));
        for (text, line) in [("a: 1\nb: *x\n", 2), ("a: 1\na: 2\n", 2), ("- a\n", 1), ("a: &x [*x]\n", 1), (&deep, 2)] {
            assert_eq!(read(text).unwrap_err().0, line, "{}", &text[..text.len().min(30)]);
        }
    }
}
