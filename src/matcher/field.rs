//! Where a filter looks: a path of names below the event's context, or below the event itself.

use crate::json::Json;
use std::fmt;

/// A field of an event, such as `task_id`, `pr.number` or `$.feature`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath {
    from_event: bool,
    names: Vec<String>,
}

impl FieldPath {
    /// Reads a path; names are split at dots, `$.` begins at the event.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (from_event, rest) = match text.strip_prefix("$.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let names: Vec<String> = rest.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            return Err("a field's name has no empty part; names are joined with one `.`");
        }
        Ok(FieldPath { from_event, names })
    }

    /// The value there, if the event has one.
    pub(super) fn look_up<'e>(&self, event: Json<'e>, context: Option<Json<'e>>) -> Option<Json<'e>> {
        let start = if self.from_event { event } else { context? };
        self.names.iter().try_fold(start, |value, name| value.get(name))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.from_event { "$." } else { "" }, self.names.join("."))
    }
}
