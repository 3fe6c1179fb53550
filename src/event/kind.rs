//! Event types: `<domain>.<action>`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The type of an event, `<domain>.<action>`: `^[a-z]+\.[a-z_]+$` (ADR-005).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Cow<'static, str>);

/// A text that is not an event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEventType(String);

impl fmt::Display for InvalidEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = crate::text::one_line(&crate::text::shorten(&self.0, 80));
        write!(f, "`{shown}` is no event type; one is `<domain>.<action>` in lower-case letters, ")?;
        write!(f, "with `_` allowed in the action, such as `task.status_changed`")
    }
}

impl std::error::Error for InvalidEventType {}

impl EventType {
    /// A type known when knockon was built.
    pub(crate) const fn canonical(name: &'static str) -> Self {
        EventType(Cow::Borrowed(name))
    }

    /// The type as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the dot.
    pub fn domain(&self) -> &str {
        self.0.split_once('.').map_or("", |(domain, _)| domain)
    }

    fn is_valid(text: &str) -> bool {
        text.split_once('.').is_some_and(|(domain, action)| {
            !domain.is_empty()
                && !action.is_empty()
                && domain.bytes().all(|byte| byte.is_ascii_lowercase())
                && action.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
    }
}

impl FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(text: &str) -> Result<Self, InvalidEventType> {
        if Self::is_valid(text) {
            Ok(EventType(Cow::Owned(text.to_owned())))
        } else {
            Err(InvalidEventType(text.to_owned()))
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_pattern_of_the_contract_and_nothing_else() {
        for text in ["task.completed", "wp.history_added", "a._"] {
            assert_eq!(text.parse::<EventType>().unwrap().as_str(), text);
        }
        for text in
            ["", "task", "task.", ".done", "Task.done", "task.done.x", "task.d-x", "t1.x", "task done", "täsk.x"]
        {
            assert!(text.parse::<EventType>().is_err(), "{text}");
        }
    }
}
