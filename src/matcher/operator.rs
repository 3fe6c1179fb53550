//! What a filter can ask of a value: one enum, with reading, testing and showing beside each other.

use crate::config::{Node, Value};
use crate::json::{Json, Kind};
use std::fmt;

/// A condition on one field of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// The value is equal and of the same type.
    Equals(Scalar),
    /// The value is one of these.
    OneOf(Vec<Scalar>),
    /// The value is a list that shares at least one element with these (`<field>_any`).
    SharesAny(Vec<Scalar>),
    /// The value is a list that has all of these (`<field>_all`).
    HasAll(Vec<Scalar>),
}

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

impl Operator {
    /// Reads a filter entry: the field's name without a suffix that names an operator, and the operator.
    ///
    /// # Errors
    /// The wanted value fits no operator; the message says what does.
    pub fn parse<'k>(key: &'k str, wanted: &Node) -> Result<(&'k str, Self), (Node, String)> {
        type Build = fn(Vec<Scalar>) -> Operator;
        let suffixes: [(&str, Build); 2] = [("_any", Operator::SharesAny), ("_all", Operator::HasAll)];
        for (suffix, build) in suffixes {
            if let Some(field) = key.strip_suffix(suffix).filter(|field| !field.is_empty()) {
                let Value::List(_) = &wanted.value else {
                    let message = format!("a list is wanted after `{suffix}`, this is {}", wanted.value.describe());
                    return Err((wanted.clone(), message));
                };
                return Ok((field, build(scalars(wanted)?)));
            }
        }
        match &wanted.value {
            Value::List(_) => Ok((key, Operator::OneOf(scalars(wanted)?))),
            _ => Ok((key, Operator::Equals(scalar(wanted)?))),
        }
    }

    /// Whether `value` fulfils the condition. An absent value fulfils none.
    pub fn holds(&self, value: Json<'_>) -> bool {
        match self {
            Operator::Equals(wanted) => wanted.equals(value),
            Operator::OneOf(wanted) => wanted.iter().any(|wanted| wanted.equals(value)),
            Operator::SharesAny(wanted) => value.items().any(|item| wanted.iter().any(|wanted| wanted.equals(item))),
            Operator::HasAll(wanted) => {
                value.kind() == Kind::Array && wanted.iter().all(|wanted| value.items().any(|item| wanted.equals(item)))
            }
        }
    }
}

impl Scalar {
    fn equals(&self, value: Json<'_>) -> bool {
        match self {
            Scalar::Null => value.kind() == Kind::Null,
            Scalar::Boolean(wanted) => value.as_bool() == Some(*wanted),
            Scalar::Number(wanted) => value.as_f64() == Some(*wanted),
            Scalar::Text(wanted) => value.as_str().is_some_and(|text| text == *wanted),
        }
    }
}

fn scalars(list: &Node) -> Result<Vec<Scalar>, (Node, String)> {
    match &list.value {
        Value::List(items) if items.is_empty() => {
            Err((list.clone(), "an empty list matches nothing; name at least one value".into()))
        }
        Value::List(items) => items.iter().map(scalar).collect(),
        _ => scalar(list).map(|one| vec![one]),
    }
}

fn scalar(node: &Node) -> Result<Scalar, (Node, String)> {
    match &node.value {
        Value::Null => Ok(Scalar::Null),
        Value::Boolean(value) => Ok(Scalar::Boolean(*value)),
        // Numbers are compared as binary64, as EventBridge does.
        Value::Integer(value) => Ok(Scalar::Number(*value as f64)),
        Value::Float(value) => Ok(Scalar::Number(*value)),
        Value::Text(text) => Ok(Scalar::Text(text.clone())),
        other => {
            let message = format!("a string, number, boolean or list of them is wanted, this is {}", other.describe());
            Err((node.clone(), message))
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |wanted: &[Scalar]| wanted.iter().map(Scalar::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Operator::Equals(wanted) => write!(f, "is {wanted}"),
            Operator::OneOf(wanted) => write!(f, "is one of {}", list(wanted)),
            Operator::SharesAny(wanted) => write!(f, "has any of {}", list(wanted)),
            Operator::HasAll(wanted) => write!(f, "has all of {}", list(wanted)),
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
                crate::json::push_string(&mut literal, text);
                f.write_str(&literal)
            }
        }
    }
}
