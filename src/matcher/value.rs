//! Values as a filter sees them: what an event has at a field, and what a filter compares it with.

use crate::json::{Json, Kind, push_string};
use std::borrow::Cow;
use std::fmt;

/// A value that can be compared. `1` equals `1.0`; `"1"` equals neither.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// `null`
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number, as binary64.
    Number(f64),
    /// A string.
    Text(String),
}

/// A value of an event that has no parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaf<'e> {
    /// `null`
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number, as binary64.
    Number(f64),
    /// A string.
    Text(Cow<'e, str>),
}

impl<'e> Leaf<'e> {
    /// The value, unless it is a list or an object.
    pub fn of(value: Json<'e>) -> Option<Self> {
        match value.kind() {
            Kind::Null => Some(Leaf::Null),
            Kind::Boolean => value.as_bool().map(Leaf::Boolean),
            Kind::Number => value.as_f64().map(Leaf::Number),
            Kind::String => value.as_str().map(Leaf::Text),
            Kind::Array | Kind::Object => None,
        }
    }

    /// The leaves of a value: itself, or those of a list and of the lists in it.
    pub fn all_of(value: Json<'e>) -> Vec<Self> {
        let mut leaves = Vec::new();
        each_leaf(value, &mut |leaf| leaves.push(leaf));
        leaves
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Leaf::Text(text) => Some(text),
            Leaf::Null | Leaf::Boolean(_) | Leaf::Number(_) => None,
        }
    }
}

fn each_leaf<'e>(value: Json<'e>, take: &mut impl FnMut(Leaf<'e>)) {
    match value.kind() {
        Kind::Array => value.items().for_each(|item| each_leaf(item, take)),
        _ => Leaf::of(value).into_iter().for_each(take),
    }
}

impl Scalar {
    /// Whether the two are equal and of the same type.
    pub fn equals(&self, leaf: &Leaf<'_>) -> bool {
        match (self, leaf) {
            (Scalar::Null, Leaf::Null) => true,
            (Scalar::Boolean(wanted), Leaf::Boolean(value)) => wanted == value,
            (Scalar::Number(wanted), Leaf::Number(value)) => wanted == value,
            (Scalar::Text(wanted), Leaf::Text(value)) => wanted == value,
            _ => false,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null => f.write_str("null"),
            Scalar::Boolean(value) => write!(f, "{value}"),
            Scalar::Number(value) => write!(f, "{value}"),
            Scalar::Text(text) => {
                let mut literal = String::new();
                push_string(&mut literal, text);
                f.write_str(&literal)
            }
        }
    }
}
