//! The tree of a configuration: every key and value knows where it stands.

use serde::{Deserialize, Serialize};

/// A place in a file of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// Which of the configuration's files, in the order they were read.
    pub source: u16,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// Length in characters; 0 for a block that has no end on this line.
    pub length: usize,
}

impl Span {
    /// The place `at` characters into the text of a value, one character long. `text` is the value: a
    /// quoted one without escapes begins one character behind its quote.
    #[must_use]
    pub fn inside(self, text: &str, at: usize) -> Span {
        let characters = text.chars().count();
        match self.length.checked_sub(characters) {
            Some(0) => Span { column: self.column + at, length: 1, ..self },
            Some(2) => Span { column: self.column + at + 1, length: 1, ..self },
            // With escapes or over several lines, only the whole is certain.
            _ => self,
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
}

/// A key and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// What YAML can say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `false`, and YAML 1.1's `yes`, `no`, `on`, `off`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in file order.
    Map(Vec<(Key, Node)>),
}

impl Value {
    /// What the value is, for a message.
    pub fn describe(&self) -> String {
        match self {
            Value::Null => "nothing".into(),
            Value::Boolean(value) => format!("the boolean {value}"),
            Value::Integer(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value:?}"),
            Value::Text(text) => format!("the string \"{}\"", crate::text::one_line(&crate::text::shorten(text, 40))),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }
}

impl Node {
    /// The value of a key of a mapping.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The entries of a mapping; none for another kind.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
}
