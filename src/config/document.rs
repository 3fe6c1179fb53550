//! YAML text → a tree in which every key and value knows where it stands.
//!
//! `serde-saphyr` parses, within budgets for depth, nodes, anchors and aliases, and refuses duplicate
//! keys. Nothing here knows what a hook is.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Location, Spanned};
use std::fmt;

/// The largest configuration file, in bytes; a larger one is refused before any parsing.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// Length in characters; 0 for a block that has no end on this line.
    pub length: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
}

/// A key and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// What YAML can say.
#[derive(Clone, Debug, PartialEq)]
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
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }
}

/// Why a text is not YAML that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) span: Option<Span>,
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

/// Reads one YAML document.
pub(super) fn read(bytes: &[u8]) -> Result<Node, Fault> {
    let fault = |code, message: String, help| Fault { code, span: None, message, help: Some(help) };
    if bytes.len() > MAX_CONFIG_BYTES {
        let message = format!("the file is larger than {} KiB", MAX_CONFIG_BYTES / 1024);
        return Err(fault("too-large", message, "keep long scripts in files of their own"));
    }
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if utf16 || bytes.iter().take(64).filter(|&&byte| byte == 0).count() > 8 {
        return Err(fault("not-utf8", "the file is UTF-16".into(), "save it as UTF-8"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let (line, column) = (before.matches('\n').count() + 1, line.chars().count() + 1);
        let span = Some(Span { line, column, length: 1 });
        let help = Some("save the file as UTF-8");
        Fault { code: "not-utf8", span, message: "this byte is not UTF-8".into(), help }
    })?;
    let options = serde_saphyr::options! {
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000 },
        budget: serde_saphyr::budget! {
            max_depth: 48,
            flow_nesting_limit: 48,
            max_nodes: 250_000,
            max_anchors: 64,
            max_aliases: 256,
            max_merge_keys: 64,
        },
    };
    serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, options).map(Node::from).map_err(|error| explain(&error))
}

fn explain(error: &Error) -> Fault {
    let error = error.without_snippet();
    let span = error.location().map(span_of);
    let fault = |code, message: String, help| Fault { code, span, message, help };
    match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            let message = format!("the key `{}` is given twice", crate::text::one_line(key));
            fault("duplicate-key", message, Some("keep one of the two"))
        }
        Error::MultipleDocuments { .. } => {
            fault("yaml", "a second document begins here".into(), Some("keep one document: remove the `---`"))
        }
        // Our tree takes any type, so that an alias can only fail by what it expands to.
        Error::Budget { .. }
        | Error::AliasError { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            let message = "the file is nested too deeply or has too many nodes or anchors".into();
            fault(
                "budget",
                message,
                Some("at most 48 levels, 250,000 nodes, 64 anchors, and 256 aliases that expand to 20,000 nodes"),
            )
        }
        other => {
            // "error: line 2 column 1: what" → "what"; the place is told apart.
            let text = other.to_string();
            let text = text.lines().next().unwrap_or_default();
            let what = text.split_once(": ").map_or(text, |(head, rest)| if head == "error" { rest } else { text });
            let what = match what.split_once(": ") {
                Some((place, rest)) if place.starts_with("line ") => rest,
                _ => what,
            };
            let tabs = what.contains("tab").then_some("indent with spaces; YAML does not allow tabs there");
            fault("yaml", crate::text::one_line(what), tabs)
        }
    }
}

fn span_of(location: Location) -> Span {
    let number = |value: u64| usize::try_from(value).unwrap_or(0).max(1);
    let length = usize::try_from(location.span().len()).unwrap_or(0);
    Span { line: number(location.line()), column: number(location.column()), length }
}

/// The tree as the parser hands it over, one level at a time.
enum Tree {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

impl From<Spanned<Tree>> for Node {
    fn from(tree: Spanned<Tree>) -> Self {
        let value = match tree.value {
            Tree::Null => Value::Null,
            Tree::Boolean(value) => Value::Boolean(value),
            Tree::Integer(value) => Value::Integer(value),
            Tree::Float(value) => Value::Float(value),
            Tree::Text(text) => Value::Text(text),
            Tree::List(items) => Value::List(items.into_iter().map(Node::from).collect()),
            Tree::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Key { name: key.value, span: span_of(key.referenced) }, value.into()))
                    .collect(),
            ),
        };
        Node { value, span: span_of(tree.referenced) }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_place() {
        let tree = read(b"a: 1\nb:\n  - x\n  - {k: 'v'}\n").unwrap();
        let b = tree.get("b").unwrap();
        let Value::List(items) = &b.value else { panic!("{b:?}") };
        assert_eq!(items[0].span, Span { line: 3, column: 5, length: 1 });
        assert_eq!(items[1].get("k").unwrap().span, Span { line: 4, column: 9, length: 3 });
    }

    #[test]
    fn hostile_documents_get_an_error_with_a_place() {
        let deep = "[".repeat(500);
        let blocks: String = (0..60).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        let bomb = (1..30).fold("a0: &a0 [x,x]\n".to_owned(), |text, n| {
            format!("{text}a{n}: &a{n} [*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0}]\n", n - 1)
        });
        for (text, code) in [
            ("a: 1\na: 2\n", "duplicate-key"),
            ("a:\n\t- b\n", "yaml"),
            ("a: [", "yaml"),
            ("a: 1\n---\nb: 2\n", "yaml"),
            ("a: *nowhere", "yaml"),
            (deep.as_str(), "yaml"),
            (blocks.as_str(), "budget"),
        ] {
            let fault = read(text.as_bytes()).unwrap_err();
            assert_eq!(fault.code, code, "{text}: {fault:?}");
            assert!(fault.span.is_some(), "{fault:?}");
        }
        assert_eq!(read(bomb.as_bytes()).unwrap_err().code, "budget");
        assert_eq!(read(b"\xff\xfea\0:\0").unwrap_err().message, "the file is UTF-16");
        assert_eq!(read(b"a: 1\nb: \xff").unwrap_err().span, Some(Span { line: 2, column: 4, length: 1 }));
        assert_eq!(read(&vec![b' '; MAX_CONFIG_BYTES + 1]).unwrap_err().code, "too-large");
    }
}
