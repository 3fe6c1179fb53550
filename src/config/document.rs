//! YAML text → a tree in which every key and value knows where it stands.
//!
//! `granit-parser` splits the text into events; the tree is built from them within budgets for depth,
//! nodes, anchors and aliases. What is wrong but does not end the reading, such as a key given twice, is
//! collected. Nothing here knows what a hook is.

use super::budget::{Budget, MAX_NODES};
use super::scalar;
use super::tree::{Key, Node, Span, Value};
use granit_parser::{Event, Parser, ScanError, Span as Range, StrInput, StructureStyle, Tag};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// The largest configuration file, in bytes; a larger one is refused before any parsing.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// The deepest nesting.
const MAX_DEPTH: usize = 48;
/// The most anchors.
const MAX_ANCHORS: usize = 64;
/// The most aliases, and merge keys among them.
const MAX_ALIASES: usize = 256;
/// The most keys and values that all aliases together expand to.
const MAX_EXPANDED: usize = 20_000;

/// What is wrong with a text as YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) span: Option<Span>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Another place that belongs to it, and what is there.
    pub(super) related: Option<(Span, &'static str)>,
}

impl Fault {
    fn new(code: &'static str, span: Option<Span>, message: impl Into<String>) -> Box<Self> {
        Box::new(Fault { code, span, message: message.into(), help: None, related: None })
    }

    fn help(mut self: Box<Self>, help: impl Into<String>) -> Box<Self> {
        self.help = Some(help.into());
        self
    }
}

/// Reads one YAML document, the `source`th file of its configuration, with the nodes that `budget` has left before
/// aliases are expanded. Without a tree the last fault says why.
pub(super) fn read(bytes: &[u8], source: u16, budget: &mut Budget) -> (Option<Node>, Vec<Fault>) {
    let text = match text_of(bytes, source) {
        Ok(text) => text,
        Err(fault) => return (None, vec![*fault]),
    };
    // A byte order mark is no content.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut options = granit_parser::Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        text,
        source,
        anchors: HashMap::new(),
        nodes_left: budget.nodes,
        weight: 0,
        aliases: 0,
        expanded: 0,
        faults: Vec::new(),
    };
    let document = builder.document();
    budget.nodes = builder.nodes_left;
    match document {
        Ok(tree) => (Some(tree), builder.faults),
        Err(fault) => {
            builder.faults.push(*fault);
            (None, builder.faults)
        }
    }
}

fn text_of(bytes: &[u8], source: u16) -> Result<&str, Box<Fault>> {
    if bytes.len() > MAX_CONFIG_BYTES {
        let message = format!("the file is larger than {} KiB", MAX_CONFIG_BYTES / 1024);
        let help = "keep long scripts in files of their own, or split it with `include`";
        return Err(Fault::new("too-large", None, message).help(help));
    }
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if utf16 || bytes.iter().take(64).filter(|&&byte| byte == 0).count() > 8 {
        return Err(Fault::new("not-utf8", None, "the file is UTF-16").help("save it as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let (line, column) = (before.matches('\n').count() + 1, line.chars().count() + 1);
        let span = Span { source, line, column, length: 1 };
        Fault::new("not-utf8", Some(span), "this byte is not UTF-8").help("save the file as UTF-8")
    })
}

/// The tree under construction.
struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    source: u16,
    /// Each anchored value, and how many keys and values it has.
    anchors: HashMap<usize, (Node, usize)>,
    /// How many more keys and values the text may have.
    nodes_left: usize,
    /// Those that it had, with what aliases stand for.
    weight: usize,
    aliases: usize,
    expanded: usize,
    faults: Vec<Fault>,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Range), Box<Fault>> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::StreamStart, _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(self.explain(&error)),
                None => return Ok((Event::StreamEnd, Range::default())),
            }
        }
    }

    fn span(&self, range: Range) -> Span {
        let (start, end) = (range.start, range.end);
        let length = if start.line() == end.line() { end.index().saturating_sub(start.index()) } else { 0 };
        Span { source: self.source, line: start.line().max(1), column: start.col() + 1, length }
    }

    fn document(&mut self) -> Result<Node, Box<Fault>> {
        let tree = match self.next()? {
            (Event::DocumentStart(..), _) => {
                let (event, range) = self.next()?;
                self.node(event, range, 0)?
            }
            (_, range) => return Ok(Node { value: Value::Null, span: self.span(range) }),
        };
        self.next()?;
        match self.next()? {
            (Event::StreamEnd, _) => Ok(tree),
            (_, range) => {
                let fault = Fault::new("yaml", Some(self.span(range)), "a second document begins here");
                Err(fault.help("keep one document: remove the `---`"))
            }
        }
    }

    fn node(&mut self, event: Event<'t>, range: Range, depth: usize) -> Result<Node, Box<Fault>> {
        let span = self.span(range);
        self.nodes_left = match self.nodes_left.checked_sub(1) {
            Some(left) if depth <= MAX_DEPTH => left,
            _ => return Err(over_budget(span)),
        };
        let before = self.weight;
        self.weight += 1;
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar::resolve(text, style, tag.as_deref()).map_err(|why| {
                    let span = range.tag_span().map_or(span, |tag| self.span(tag));
                    Fault::new("yaml", Some(span), why).help("put a value that begins with `!` in quotes")
                })?;
                (anchor, Node { value, span })
            }
            Event::SequenceStart(style, anchor, tag) => {
                untagged(tag.as_deref(), "seq", range.tag_span().map_or(span, |tag| self.span(tag)))?;
                (anchor, self.list(span, style, depth)?)
            }
            Event::MappingStart(style, anchor, tag) => {
                untagged(tag.as_deref(), "map", range.tag_span().map_or(span, |tag| self.span(tag)))?;
                (anchor, self.map(span, style, depth)?)
            }
            Event::Alias(id) => return self.alias(id, span),
            _ => return Err(Fault::new("yaml", Some(span), "a value is missing here")),
        };
        if anchor != 0 {
            if self.anchors.len() >= MAX_ANCHORS {
                return Err(over_budget(span));
            }
            self.anchors.insert(anchor, (node.clone(), self.weight - before));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Box<Fault>> {
        let Some((node, size)) = self.anchors.get(&id) else {
            return Err(Fault::new("yaml", Some(span), "this alias stands inside of what it names"));
        };
        self.aliases += 1;
        self.expanded += size;
        self.weight += size;
        if self.aliases > MAX_ALIASES || self.expanded > MAX_EXPANDED {
            return Err(over_budget(span));
        }
        // A problem inside is told where the text stands; one of the whole, where it is used.
        Ok(Node { value: node.value.clone(), span })
    }

    fn list(&mut self, start: Span, style: StructureStyle, depth: usize) -> Result<Node, Box<Fault>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, range) => {
                    return Ok(Node { value: Value::List(items), span: self.closed(start, style, range) });
                }
                (event, range) => items.push(self.node(event, range, depth + 1)?),
            }
        }
    }

    fn map(&mut self, start: Span, style: StructureStyle, depth: usize) -> Result<Node, Box<Fault>> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        // Looking through a few keys is quicker than hashing them; a file of thousands must stay linear.
        let mut seen: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, range) = self.next()?;
            let span = self.span(range);
            let name = match event {
                Event::MappingEnd => {
                    merge(&mut entries, merged);
                    return Ok(Node { value: Value::Map(entries), span: self.closed(start, style, range) });
                }
                Event::Scalar(text, ..) => text.into_owned(),
                Event::Alias(id) => match self.alias(id, span)?.value {
                    Value::Text(text) => text,
                    _ => return Err(Fault::new("yaml", Some(span), "a key must be a string")),
                },
                _ => {
                    let fault = Fault::new("yaml", Some(span), "a key must be a string");
                    return Err(fault.help("write `key: value`"));
                }
            };
            self.nodes_left = self.nodes_left.saturating_sub(1);
            let (event, range) = self.next()?;
            let value = self.node(event, range, depth + 1)?;
            if name == "<<" {
                merged.extend(mergeable(value)?);
                continue;
            }
            let first = if entries.len() < 16 {
                entries.iter().position(|(key, _)| key.name == name)
            } else {
                if seen.is_empty() {
                    seen.extend(entries.iter().enumerate().map(|(at, (key, _))| (key.name.clone(), at)));
                }
                match seen.entry(name.clone()) {
                    Entry::Occupied(first) => Some(*first.get()),
                    Entry::Vacant(place) => {
                        place.insert(entries.len());
                        None
                    }
                }
            };
            match first {
                None => entries.push((Key { name, span }, value)),
                Some(first) => {
                    let shown = crate::text::one_line(&crate::text::shorten(&name, 60));
                    let fault = Fault::new("duplicate-key", Some(span), format!("the key `{shown}` is given twice"));
                    let related = Some((entries[first].0.span, "it is given first here"));
                    self.faults.push(Fault { related, ..*fault.help("keep one of the two") });
                }
            }
        }
    }

    /// The span of a list or mapping: a flow one reaches to its bracket, a block one has no end.
    fn closed(&self, start: Span, style: StructureStyle, end: Range) -> Span {
        let end_column = end.end.col() + 1;
        let length = match style {
            StructureStyle::Flow if end.end.line() == start.line => end_column.saturating_sub(start.column),
            _ => 0,
        };
        Span { length, ..start }
    }

    /// The word at a place, with a space before it.
    fn word_at(&self, span: Span) -> String {
        let line = self.text.lines().nth(span.line - 1).unwrap_or_default();
        let word = line.chars().skip(span.column - 1).take_while(|c| !c.is_whitespace() && !",]}".contains(*c));
        format!(" {}", word.take(60).collect::<String>())
    }

    fn explain(&self, error: &ScanError) -> Box<Fault> {
        let mark = error.marker();
        let span = Span { source: self.source, line: mark.line().max(1), column: mark.col() + 1, length: 1 };
        let what = error.info();
        if what.contains("nesting") || what.contains("recursion") {
            return over_budget(span);
        }
        // The parser stops behind a tab.
        let span = if what.contains("tabs") { Span { column: mark.col().max(1), ..span } } else { span };
        let alias = if what.contains("unknown anchor") { self.word_at(span) } else { Default::default() };
        let fault = Fault::new("yaml", Some(span), crate::text::one_line(&format!("{what}{alias}")));
        let help = [
            ("tab", "indent with spaces; YAML does not allow tabs there"),
            ("anchor", "put a value that begins with `*` in quotes: \"*.completed\""),
            ("mapping values", "put a value that has `: ` in it in quotes"),
            (
                "simple key",
                "write `key: value`, with a space behind the colon, and quotes around a value with `: ` in it",
            ),
            ("quoted scalar", "close the quotes"),
            ("flow", "close the bracket, and put a comma between two values"),
            ("did not find expected", "check the indentation: what belongs together begins in the same column"),
            ("tag", "put a value that begins with `!` in quotes"),
        ];
        match help.iter().find(|(words, _)| what.contains(words)) {
            Some((_, help)) => fault.help(*help),
            None => fault,
        }
    }
}

fn over_budget(span: Span) -> Box<Fault> {
    let fault = Fault::new("budget", Some(span), "the file is nested too deeply or has too many nodes or anchors");
    fault.help(format!(
        "at most {MAX_DEPTH} levels, {MAX_NODES} nodes in all files, {MAX_ANCHORS} anchors, and {MAX_ALIASES} aliases that expand to {MAX_EXPANDED} nodes"
    ))
}

/// A list or mapping needs no tag; another than its own would change what it is.
fn untagged(tag: Option<&Tag>, own: &str, span: Span) -> Result<(), Box<Fault>> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(own) => {
            let message = format!("the tag {} is not understood", crate::text::one_line(&tag.original()));
            Err(Fault::new("yaml", Some(span), message).help("remove it"))
        }
        _ => Ok(()),
    }
}

/// What `<<` can take: a mapping, or a list of mappings.
fn mergeable(value: Node) -> Result<Vec<Node>, Box<Fault>> {
    let span = value.span;
    let maps = match value.value {
        Value::List(items) => items,
        _ => vec![value],
    };
    if maps.iter().all(|map| matches!(map.value, Value::Map(_))) {
        Ok(maps)
    } else {
        let fault = Fault::new("yaml", Some(span), "`<<` takes a mapping or a list of mappings");
        Err(fault.help("write `<<: *anchor`"))
    }
}

/// Adds what `<<` names; a key of the mapping itself wins, then the first of the merged.
fn merge(entries: &mut Vec<(Key, Node)>, merged: Vec<Node>) {
    let mut names: HashSet<String> = entries.iter().map(|(key, _)| key.name.clone()).collect();
    for map in merged {
        let Value::Map(theirs) = map.value else { continue };
        for (key, value) in theirs {
            if names.insert(key.name.clone()) {
                entries.push((key, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        let (tree, faults) = read(text.as_bytes(), 0, &mut Budget::whole());
        assert!(faults.is_empty(), "{faults:?}");
        tree.unwrap()
    }

    fn fault(bytes: &[u8]) -> Fault {
        read(bytes, 0, &mut Budget::whole()).1.pop().unwrap()
    }

    #[test]
    fn values_know_their_place() {
        let tree = tree("a: 1\nb:\n  - x\n  - {k: 'v'}\nc: [1, 2]\n");
        let Value::List(items) = &tree.get("b").unwrap().value else { panic!("{tree:?}") };
        let at = |line, column, length| Span { source: 0, line, column, length };
        assert_eq!(items[0].span, at(3, 5, 1));
        assert_eq!(items[1].span, at(4, 5, 8));
        assert_eq!(items[1].get("k").unwrap().span, at(4, 9, 3));
        assert_eq!(tree.get("c").unwrap().span, at(5, 4, 6));
        assert_eq!(at(1, 5, 6).inside("task.[", 5), at(1, 10, 1));
        assert_eq!(at(1, 5, 8).inside("task.[", 5), at(1, 11, 1), "quoted");
        assert_eq!(at(1, 5, 9).inside("task.[", 5), at(1, 5, 9), "escaped");
    }

    #[test]
    fn anchors_aliases_and_merge_keys() {
        let tree = tree("x: &a {k: 1, l: 2}\ny: *a\nz: {<<: *a, k: 3}\nw: {<<: [*a, {m: 4}]}\n");
        assert_eq!(tree.get("y").unwrap().get("l").unwrap().value, Value::Integer(2));
        assert_eq!(tree.get("z").unwrap().get("k").unwrap().value, Value::Integer(3));
        assert_eq!(tree.get("z").unwrap().get("l").unwrap().value, Value::Integer(2));
        assert_eq!(tree.get("w").unwrap().get("m").unwrap().value, Value::Integer(4));
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
            ("a: &a [*a]", "yaml"),
            ("[1, 2]: x", "yaml"),
            ("<<: 3", "yaml"),
            ("a: !!python/object x", "yaml"),
            ("a: !!int x", "yaml"),
            (deep.as_str(), "budget"),
            (blocks.as_str(), "budget"),
        ] {
            let fault = fault(text.as_bytes());
            assert_eq!(fault.code, code, "{text}: {fault:?}");
            assert!(fault.span.is_some(), "{fault:?}");
        }
        assert_eq!(fault(bomb.as_bytes()).code, "budget");
        assert_eq!(fault(b"\xff\xfea\0:\0").message, "the file is UTF-16");
        assert_eq!(fault(b"a: 1\nb: \xff").span, Some(Span { source: 0, line: 2, column: 4, length: 1 }));
        assert_eq!(fault(&vec![b' '; MAX_CONFIG_BYTES + 1]).code, "too-large");
    }

    #[test]
    fn a_key_given_twice_does_not_end_the_reading() {
        let (tree, faults) = read(b"a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n", 0, &mut Budget::whole());
        assert_eq!(faults.len(), 2);
        assert_eq!(faults[0].related.unwrap().0.line, 1);
        assert_eq!(tree.unwrap().get("a").unwrap().value, Value::Integer(1));
    }
}
