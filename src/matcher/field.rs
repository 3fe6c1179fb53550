//! Where a filter looks: a path of names below the event's context, or below the event itself.

use crate::json::{Json, Kind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A field of an event, such as `task_id`, `pr.number` or `$.feature`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldPath {
    /// The path without `$.`.
    text: Box<str>,
    /// Whether it begins at the event rather than at its context.
    from_event: bool,
}

/// The member of an event that paths begin in, unless they begin with `$.`.
pub(super) const CONTEXT: &str = "context";

impl FieldPath {
    /// Reads a path; names are split at dots, `$.` begins at the event.
    ///
    /// # Errors
    /// A part of it is empty.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (from_event, rest) = match text.strip_prefix("$.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.split('.').any(str::is_empty) {
            return Err("a field's name has no empty part; names are joined with one `.`");
        }
        Ok(FieldPath { text: rest.into(), from_event })
    }

    /// The names from the event down.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let context = (!self.from_event).then_some(CONTEXT);
        context.into_iter().chain(self.text.split('.'))
    }

    /// The path from the event, as a person is shown it: `context.priority`, `feature`.
    pub fn of_event(&self) -> String {
        self.names().collect::<Vec<_>>().join(".")
    }

    /// Every value at the path, in order; a list on the way stands for each of its elements.
    pub fn values<'e>(&self, event: Json<'e>) -> Vec<Json<'e>> {
        let mut found = Vec::new();
        collect(event, self.names(), &mut found);
        found
    }
}

fn collect<'e, 'p>(value: Json<'e>, mut names: impl Iterator<Item = &'p str> + Clone, found: &mut Vec<Json<'e>>) {
    let behind = names.clone();
    match names.next() {
        None => found.push(value),
        Some(name) => match value.kind() {
            Kind::Object => {
                if let Some(value) = value.get(name) {
                    collect(value, names, found);
                }
            }
            Kind::Array => value.items().for_each(|item| collect(item, behind.clone(), found)),
            Kind::Null | Kind::Boolean | Kind::Number | Kind::String => {}
        },
    }
}

impl fmt::Display for FieldPath {
    /// As it is written in a filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.from_event { "$." } else { "" }, self.text)
    }
}
