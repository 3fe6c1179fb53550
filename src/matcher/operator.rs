//! What a filter can ask of one value: one enum, with reading, testing, cost and words beside each other.
//!
//! Names and meaning are those of Amazon EventBridge's content filters.

use super::cidr::Cidr;
use super::value::{Leaf, Scalar};
use super::wildcard::Wildcard;
use crate::config::{Node, Span, Value};
use crate::text::nearest;
use std::fmt;

/// The names of the operators.
pub const OPERATORS: &[&str] =
    &["prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr"];

/// A condition on one value of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// The value is equal and of the same type.
    Equals(Scalar),
    /// A condition on a string.
    Text(TextTest),
    /// The value is none of these.
    AnythingBut(Vec<Scalar>),
    /// The value is no string that fulfils one of these.
    AnythingButText(Vec<TextTest>),
    /// The value is a number within these bounds.
    Numeric(Vec<(Comparison, f64)>),
    /// The field has a value, or has none.
    Exists(bool),
    /// The value is an IP address in this network.
    Cidr(Cidr),
}

/// A condition on a string.
#[derive(Clone, Debug, PartialEq)]
pub enum TextTest {
    /// It begins like this.
    Prefix(String),
    /// It begins like this, whatever the case. Kept in lower case.
    PrefixIgnoreCase(String),
    /// It ends like this.
    Suffix(String),
    /// It ends like this, whatever the case. Kept in lower case.
    SuffixIgnoreCase(String),
    /// It is this, whatever the case. Kept in lower case.
    EqualsIgnoreCase(String),
    /// It fits the wildcard.
    Wildcard(Wildcard),
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=`
    Equal,
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "<" => Some(Comparison::Less),
            "<=" => Some(Comparison::LessOrEqual),
            ">" => Some(Comparison::Greater),
            ">=" => Some(Comparison::GreaterOrEqual),
            "=" => Some(Comparison::Equal),
            _ => None,
        }
    }

    /// The sign in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Equal => "=",
        }
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Comparison::Less => value < bound,
            Comparison::LessOrEqual => value <= bound,
            Comparison::Greater => value > bound,
            Comparison::GreaterOrEqual => value >= bound,
            Comparison::Equal => value == bound,
        }
    }
}

/// Why a wanted value is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// A stable name for the kind of fault.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Fault { span, code: "bad-filter", message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Operator {
    /// Reads a scalar, or a mapping with one operator.
    ///
    /// # Errors
    /// It is neither; the fault says what is wanted.
    pub fn parse(node: &Node) -> Result<Self, Fault> {
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::List(_) => return Err(Fault::new(node.span, "a list within a list is wanted by no operator")),
            _ => return scalar(node).map(Operator::Equals),
        };
        let [(key, wanted)] = entries.as_slice() else {
            let fault = Fault::new(node.span, format!("one operator is wanted here, these are {}", entries.len()));
            return Err(fault.help("write several as a list, of which one must hold: `[{prefix: a}, {suffix: b}]`"));
        };
        match key.name.as_str() {
            "anything-but" => anything_but(wanted),
            "numeric" => numeric(wanted),
            "exists" => match wanted.value {
                Value::Boolean(exists) => Ok(Operator::Exists(exists)),
                _ => Err(Fault::new(
                    wanted.span,
                    format!("true or false is wanted, this is {}", wanted.value.describe()),
                )),
            },
            "cidr" => {
                let text = text(wanted)?;
                let cidr =
                    Cidr::parse(&text).map_err(|why| Fault::new(wanted.span, format!("`{}`: {why}", shown(&text))))?;
                Ok(Operator::Cidr(cidr))
            }
            name => match TextTest::parse(name, wanted) {
                Some(test) => test.map(Operator::Text),
                None => {
                    let fault = Fault {
                        code: "unknown-operator",
                        ..Fault::new(key.span, format!("`{}` is no operator", shown(name)))
                    };
                    Err(fault.help(match nearest(name, OPERATORS.iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!(
                            "there are {}; a field deeper down is written with dots: `pr.number`",
                            OPERATORS.join(", ")
                        ),
                    }))
                }
            },
        }
    }

    /// Whether a value fulfils the condition.
    pub fn holds(&self, value: &Leaf<'_>) -> bool {
        match self {
            Operator::Equals(wanted) => wanted.equals(value),
            Operator::Text(test) => value.text().is_some_and(|text| test.holds(text)),
            Operator::AnythingBut(unwanted) => !unwanted.iter().any(|unwanted| unwanted.equals(value)),
            Operator::AnythingButText(tests) => {
                !value.text().is_some_and(|text| tests.iter().any(|test| test.holds(text)))
            }
            Operator::Numeric(bounds) => match value {
                Leaf::Number(value) => bounds.iter().all(|(comparison, bound)| comparison.holds(*value, *bound)),
                _ => false,
            },
            Operator::Exists(exists) => *exists,
            Operator::Cidr(network) => value.text().is_some_and(|text| network.contains(text)),
        }
    }

    /// What testing a value costs, roughly, in comparisons of two short strings.
    pub fn cost(&self) -> u32 {
        let len = |tests: usize| u32::try_from(tests).unwrap_or(u32::MAX);
        match self {
            Operator::Exists(_) => 0,
            Operator::Equals(_) | Operator::Numeric(_) => 1,
            Operator::Text(test) => test.cost(),
            Operator::AnythingBut(unwanted) => len(unwanted.len()),
            Operator::AnythingButText(tests) => tests.iter().map(TextTest::cost).fold(0, u32::saturating_add),
            Operator::Cidr(_) => 10,
        }
    }
}

impl TextTest {
    /// Reads a test by its name; nothing when there is none of that name.
    fn parse(name: &str, wanted: &Node) -> Option<Result<Self, Fault>> {
        type Build = fn(String) -> TextTest;
        let (exact, ignoring_case): (Build, Build) = match name {
            "prefix" => (TextTest::Prefix, TextTest::PrefixIgnoreCase),
            "suffix" => (TextTest::Suffix, TextTest::SuffixIgnoreCase),
            "equals-ignore-case" => return Some(text(wanted).map(|text| TextTest::EqualsIgnoreCase(fold(&text)))),
            "wildcard" => return Some(wildcard(wanted)),
            _ => return None,
        };
        if let Value::Map(entries) = &wanted.value {
            return Some(match entries.as_slice() {
                [(key, inner)] if key.name == "equals-ignore-case" => {
                    text(inner).map(|text| ignoring_case(fold(&text)))
                }
                _ => Err(Fault::new(wanted.span, format!("`{name}` takes a string or `{{equals-ignore-case: …}}`"))),
            });
        }
        Some(text(wanted).map(exact))
    }

    /// Whether a string fulfils the condition.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            TextTest::Prefix(wanted) => text.starts_with(wanted.as_str()),
            TextTest::PrefixIgnoreCase(wanted) => folded(text).take(wanted.chars().count()).eq(wanted.chars()),
            TextTest::Suffix(wanted) => text.ends_with(wanted.as_str()),
            TextTest::SuffixIgnoreCase(wanted) => fold(text).ends_with(wanted.as_str()),
            TextTest::EqualsIgnoreCase(wanted) => folded(text).eq(wanted.chars()),
            TextTest::Wildcard(wildcard) => wildcard.fits(text),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            TextTest::Prefix(_) | TextTest::Suffix(_) => 1,
            TextTest::PrefixIgnoreCase(_) | TextTest::SuffixIgnoreCase(_) | TextTest::EqualsIgnoreCase(_) => 4,
            TextTest::Wildcard(_) => 8,
        }
    }
}

/// The characters of a text in lower case.
fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// A text in lower case, character by character.
pub(super) fn fold(text: &str) -> String {
    folded(text).collect()
}

fn shown(text: &str) -> String {
    crate::text::one_line(&crate::text::shorten(text, 40))
}

/// A value to compare with.
pub(super) fn scalar(node: &Node) -> Result<Scalar, Fault> {
    match &node.value {
        Value::Null => Ok(Scalar::Null),
        Value::Boolean(value) => Ok(Scalar::Boolean(*value)),
        // Numbers are compared as binary64, as EventBridge does.
        Value::Integer(value) => Ok(Scalar::Number(*value as f64)),
        Value::Float(value) => Ok(Scalar::Number(*value)),
        Value::Text(text) => Ok(Scalar::Text(text.clone())),
        Value::List(_) | Value::Map(_) => {
            let message = format!("a string, number, boolean or null is wanted, this is {}", node.value.describe());
            Err(Fault::new(node.span, message))
        }
    }
}

fn text(node: &Node) -> Result<String, Fault> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        other => Err(Fault::new(node.span, format!("a string is wanted, this is {}", other.describe()))),
    }
}

fn wildcard(node: &Node) -> Result<TextTest, Fault> {
    let text = text(node)?;
    Wildcard::parse(&text)
        .map(TextTest::Wildcard)
        .map_err(|invalid| Fault::new(node.span.inside(&text, invalid.at), invalid.problem).help(invalid.help))
}

/// One item, or each item of a list that is not empty.
fn each<T>(node: &Node, read: impl Fn(&Node) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    match &node.value {
        Value::List(items) if items.is_empty() => {
            Err(Fault::new(node.span, "this list is empty; name at least one value"))
        }
        Value::List(items) => items.iter().map(read).collect(),
        _ => read(node).map(|one| vec![one]),
    }
}

fn anything_but(node: &Node) -> Result<Operator, Fault> {
    let Value::Map(entries) = &node.value else { return each(node, scalar).map(Operator::AnythingBut) };
    let known = ["prefix", "suffix", "equals-ignore-case", "wildcard"];
    let wrong =
        |span: Span| Fault::new(span, format!("`anything-but` takes a value, a list, or one of {}", known.join(", ")));
    match entries.as_slice() {
        [(key, wanted)] if known.contains(&key.name.as_str()) => {
            let test = |node: &Node| match &node.value {
                Value::Text(text) if text.is_empty() && ["prefix", "suffix"].contains(&key.name.as_str()) => {
                    Err(Fault::new(node.span, "every string begins and ends with nothing, so that no string would do"))
                }
                Value::Text(_) => TextTest::parse(&key.name, node).unwrap_or_else(|| Err(wrong(key.span))),
                _ => Err(Fault::new(
                    node.span,
                    format!("a string or a list of strings is wanted, this is {}", node.value.describe()),
                )),
            };
            each(wanted, test).map(Operator::AnythingButText)
        }
        [(key, _)] => Err(wrong(key.span)),
        _ => Err(wrong(node.span)),
    }
}

/// `[">=", 10]`, or a lower and an upper bound: `[">=", 10, "<", 20]`.
fn numeric(node: &Node) -> Result<Operator, Fault> {
    let wanted = |span: Span, message: String| {
        Fault::new(span, message).help("write `numeric: [\">=\", 10]`, or with both bounds `[\">=\", 10, \"<\", 20]`")
    };
    let items = match &node.value {
        Value::List(items) if items.len() == 2 || items.len() == 4 => items,
        other => {
            return Err(wanted(
                node.span,
                format!(
                    "a comparison and a number are wanted, this is {}",
                    match other {
                        Value::List(items) => format!("a list of {}", items.len()),
                        other => other.describe(),
                    }
                ),
            ));
        }
    };
    let mut bounds = Vec::with_capacity(2);
    for pair in items.chunks(2) {
        let [sign, bound] = pair else { continue };
        let comparison = match &sign.value {
            Value::Text(text) => Comparison::parse(text),
            _ => None,
        };
        let Some(comparison) = comparison else {
            return Err(wanted(
                sign.span,
                format!("one of <, <=, >, >=, = is wanted, this is {}", sign.value.describe()),
            ));
        };
        match scalar(bound)? {
            Scalar::Number(number) => bounds.push((comparison, number)),
            _ => return Err(wanted(bound.span, format!("a number is wanted, this is {}", bound.value.describe()))),
        }
    }
    if let [(lower, least), (upper, most)] = bounds[..] {
        let lower_first = matches!(lower, Comparison::Greater | Comparison::GreaterOrEqual);
        let upper_second = matches!(upper, Comparison::Less | Comparison::LessOrEqual);
        if !lower_first || !upper_second {
            return Err(wanted(node.span, "a range has its lower bound first: > or >=, then < or <=".into()));
        }
        if least >= most {
            return Err(wanted(node.span, format!("no number is between {least} and {most}")));
        }
    }
    Ok(Operator::Numeric(bounds))
}

/// Several things as `a, b, c`.
pub(super) fn listed<T: fmt::Display>(things: &[T]) -> String {
    things.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Operator {
    /// Reads after "wanted": `"high"`, `a string that begins with "a"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operator::Equals(wanted) => wanted.fmt(f),
            Operator::Text(test) => write!(f, "a string that {test}"),
            Operator::AnythingBut(unwanted) if unwanted.len() == 1 => write!(f, "anything but {}", listed(unwanted)),
            Operator::AnythingBut(unwanted) => write!(f, "anything but one of {}", listed(unwanted)),
            Operator::AnythingButText(tests) => {
                let tests: Vec<_> = tests.iter().map(TextTest::to_string).collect();
                write!(f, "anything but a string that {}", tests.join(" or "))
            }
            Operator::Numeric(bounds) => {
                let bounds: Vec<_> = bounds.iter().map(|(sign, bound)| format!("{} {bound}", sign.as_str())).collect();
                write!(f, "a number {}", bounds.join(" and "))
            }
            Operator::Exists(true) => f.write_str("any value"),
            Operator::Exists(false) => f.write_str("no value"),
            Operator::Cidr(network) => write!(f, "an address in {network}"),
        }
    }
}

impl fmt::Display for TextTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| Scalar::Text(text.to_owned()).to_string();
        match self {
            TextTest::Prefix(text) => write!(f, "begins with {}", quoted(text)),
            TextTest::PrefixIgnoreCase(text) => write!(f, "begins with {} in any case", quoted(text)),
            TextTest::Suffix(text) => write!(f, "ends with {}", quoted(text)),
            TextTest::SuffixIgnoreCase(text) => write!(f, "ends with {} in any case", quoted(text)),
            TextTest::EqualsIgnoreCase(text) => write!(f, "is {} in any case", quoted(text)),
            TextTest::Wildcard(wildcard) => write!(f, "fits {}", quoted(&wildcard.to_string())),
        }
    }
}
