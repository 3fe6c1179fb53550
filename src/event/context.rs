//! The context of an event that is being made: values, JSON kept byte for byte, and fields within fields.

use crate::json::{Json, MAX_DEPTH, push_string};
use serde_json::Value;

/// A field of a context.
#[derive(Clone, Debug)]
enum Field {
    /// A value.
    Value(Value),
    /// JSON as it was written: a number keeps all of its digits.
    Raw(String),
    /// Further fields.
    Fields(Context),
}

/// The fields of a context, in the order they were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Context(Vec<(String, Field)>);

impl Context {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Sets a field.
    pub(super) fn set(&mut self, name: String, value: Value) {
        self.put(name, Field::Value(value));
    }

    fn put(&mut self, name: String, field: Field) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = field,
            None => self.0.push((name, field)),
        }
    }

    /// Sets a field within fields to JSON that is kept as it is written.
    ///
    /// # Errors
    /// A field on the way there is no object; or the text is no JSON. Says so.
    pub(super) fn set_json(&mut self, path: &[&str], json: &str) -> Result<(), String> {
        Json::parse(json.as_bytes()).map_err(|error| error.to_string())?;
        let Some((name, rest)) = path.split_first() else { return Err("the name of the field is empty".into()) };
        if rest.is_empty() {
            self.put((*name).to_owned(), Field::Raw(json.to_owned()));
            return Ok(());
        }
        if !self.contains(name) {
            self.0.push(((*name).to_owned(), Field::Fields(Context::default())));
        }
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, Field::Fields(fields))) => fields.set_json(rest, json),
            _ => Err(format!("`{name}` has a value of its own and cannot have the field `{}`", rest.join("."))),
        }
    }

    /// Whether everything in it is nested no deeper than an event may be, and needs no second look: `depth` is that of
    /// the context itself.
    pub(super) fn is_shallow(&self, depth: usize) -> bool {
        self.0.iter().all(|(_, field)| match field {
            Field::Value(value) => is_shallow(value, depth),
            Field::Fields(fields) => depth < MAX_DEPTH && fields.is_shallow(depth + 1),
            Field::Raw(_) => true,
        })
    }

    /// Whether some of it is text that has to be checked where it stands in the event.
    pub(super) fn has_raw(&self) -> bool {
        self.0.iter().any(|(_, field)| match field {
            Field::Value(_) => false,
            Field::Raw(_) => true,
            Field::Fields(fields) => fields.has_raw(),
        })
    }

    /// It as a JSON object.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        out.push('{');
        for (at, (name, field)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_string(out, name);
            out.push(':');
            match field {
                // A value without maps of other keys than texts cannot fail to be written.
                Field::Value(value) => out.push_str(&serde_json::to_string(value).unwrap_or_default()),
                Field::Raw(text) => out.push_str(text.trim()),
                Field::Fields(fields) => fields.write(out),
            }
        }
        out.push('}');
    }
}

/// Whether a value is nested no deeper than an event may be; without recursion, which could exhaust the stack.
pub(super) fn is_shallow(value: &Value, depth: usize) -> bool {
    let mut open: Vec<(&Value, usize)> = vec![(value, depth)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::Array(_) | Value::Object(_) if depth > MAX_DEPTH => return false,
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => open.extend(members.values().map(|member| (member, depth + 1))),
            _ => {}
        }
    }
    true
}
