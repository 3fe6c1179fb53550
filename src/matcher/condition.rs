//! A condition: a field of an event, and what is asked of it.

use super::field::FieldPath;
use super::filter::all_hold;
use super::operator::{Fault, Operator, listed, scalar};
use super::value::{Leaf, Scalar};
use crate::config::{Key, Node, Span, Value};
use crate::json::{Json, Kind};
use std::fmt;

/// One entry of a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Where to look.
    pub field: FieldPath,
    /// What is asked.
    pub test: Test,
    /// Where it stands in the file.
    pub span: Span,
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// This holds for the value, or for one element of a list.
    Is(Operator),
    /// One of these does.
    OneOf(Vec<Operator>),
    /// The value is a list that shares at least one element with these (`<field>_any`).
    SharesAny(Vec<Scalar>),
    /// The value is a list that has all of these (`<field>_all`).
    HasAll(Vec<Scalar>),
}

impl Condition {
    /// Reads an entry of a filter.
    ///
    /// # Errors
    /// The field or the wanted value is none; the fault says what is wanted.
    pub fn parse(key: &Key, wanted: &Node) -> Result<Self, Fault> {
        if key.name.starts_with('$') && !key.name.starts_with("$.") {
            let fault = Fault::new(key.span, "this is neither a field nor `$or`");
            return Err(
                fault.help("all conditions of a filter have to hold; a field of the event itself begins with `$.`")
            );
        }
        let (name, test) = Test::parse(&key.name, wanted)?;
        let field = FieldPath::parse(name).map_err(|why| Fault::new(key.span, why))?;
        Ok(Condition { field, test, span: key.span })
    }

    /// Whether it holds for an event on its own. Conditions on fields of objects in one list have to hold
    /// within the same object besides: see [`Filter::holds`](super::Filter::holds).
    pub fn holds(&self, event: Json<'_>) -> bool {
        all_hold(event, [(&self.field, &self.test)])
    }
}

impl Test {
    /// Reads a wanted value; the name comes back without a suffix that names an operator.
    fn parse<'k>(key: &'k str, wanted: &Node) -> Result<(&'k str, Self), Fault> {
        type Build = fn(Vec<Scalar>) -> Test;
        let suffixes: [(&str, Build); 2] = [("_any", Test::SharesAny), ("_all", Test::HasAll)];
        for (suffix, build) in suffixes {
            let Some(field) = key.strip_suffix(suffix).filter(|field| !field.is_empty() && !field.ends_with('.'))
            else {
                continue;
            };
            match &wanted.value {
                // The operator form reaches a field that really has such a name.
                Value::Map(_) => {}
                Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {}
                Value::List(_) => return Ok((field, build(list(wanted, scalar)?))),
                other => {
                    let message = format!("a list is wanted after `{suffix}`, this is {}", other.describe());
                    return Err(Fault::new(wanted.span, message).help(format!("write `{key}: [a, b]`")));
                }
            }
        }
        match &wanted.value {
            Value::List(_) => Ok((key, Test::OneOf(list(wanted, Operator::parse)?))),
            _ => Ok((key, Test::Is(Operator::parse(wanted)?))),
        }
    }

    /// Whether it can hold where there is no value.
    pub fn takes_absence(&self) -> bool {
        self.operators().contains(&Operator::Exists(false))
    }

    /// The operators of which one must hold; none for a test of a whole list.
    pub(super) fn operators(&self) -> &[Operator] {
        match self {
            Test::Is(operator) => std::slice::from_ref(operator),
            Test::OneOf(operators) => operators,
            Test::SharesAny(_) | Test::HasAll(_) => &[],
        }
    }

    /// Whether it holds for the value of the field.
    pub fn holds(&self, value: Json<'_>) -> bool {
        match self {
            Test::Is(_) | Test::OneOf(_) => Leaf::all_of(value).iter().any(|leaf| holds_for(self.operators(), leaf)),
            Test::SharesAny(wanted) => elements(value).any(|leaf| wanted.iter().any(|wanted| wanted.equals(&leaf))),
            Test::HasAll(wanted) => {
                value.kind() == Kind::Array
                    && wanted.iter().all(|wanted| elements(value).any(|leaf| wanted.equals(&leaf)))
            }
        }
    }

    /// What testing it costs, in the unit of [`Operator::cost`].
    pub fn cost(&self) -> u32 {
        match self {
            Test::Is(_) | Test::OneOf(_) => self.operators().iter().map(Operator::cost).fold(0, u32::saturating_add),
            Test::SharesAny(wanted) | Test::HasAll(wanted) => {
                u32::try_from(wanted.len()).unwrap_or(u32::MAX).saturating_mul(2)
            }
        }
    }
}

/// Whether one of the operators holds for a value that is there.
pub(super) fn holds_for(operators: &[Operator], leaf: &Leaf<'_>) -> bool {
    operators.iter().any(|operator| *operator != Operator::Exists(false) && operator.holds(leaf))
}

fn elements(value: Json<'_>) -> impl Iterator<Item = Leaf<'_>> {
    value.items().filter_map(Leaf::of)
}

fn list<T>(node: &Node, read: impl Fn(&Node) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    match &node.value {
        Value::List(items) if items.is_empty() => {
            Err(Fault::new(node.span, "an empty list matches nothing; name at least one value"))
        }
        Value::List(items) => items.iter().map(read).collect(),
        _ => read(node).map(|one| vec![one]),
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.test)
    }
}

impl fmt::Display for Test {
    /// Reads after the field: `is "high"`, `has any of "a", "b"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Is(operator) => write!(f, "is {operator}"),
            Test::OneOf(operators) => write!(f, "is one of {}", listed(operators)),
            Test::SharesAny(wanted) => write!(f, "has any of {}", listed(wanted)),
            Test::HasAll(wanted) => write!(f, "has all of {}", listed(wanted)),
        }
    }
}
