//! Versions of the event format: which are understood, and how an event of one becomes one of another.
//!
//! A minor version only adds. A major one removes or retypes; events of the current and of the previous
//! major are understood, and a hook gets those it asks for by a conversion that is a list of steps.

use super::envelope::{Event, EventError};
use crate::json::{Json, Kind, push_string};
use std::fmt;

/// The versions a build understands.
#[derive(Clone, Copy, Debug)]
pub struct Versions {
    /// The lowest version that describes a plain event, such as `1.0`; its major is the current one.
    pub plain: &'static str,
    /// How events of the previous major become events of the current one, and back.
    pub conversion: Option<Conversion>,
    /// Fields of a context that a later version removes.
    pub deprecated: &'static [Deprecated],
}

/// The two ways between the previous major version and the current one.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// The version that a converted event of the previous major has, such as `1.0`.
    pub previous: &'static str,
    /// From the previous major to the current.
    pub up: &'static [Step],
    /// From the current major to the previous.
    pub down: &'static [Step],
}

/// One step of a conversion. `object` names a member of the event that holds the field; empty for the
/// event itself.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Gives a field another name.
    Rename {
        /// Where the field is.
        object: &'static str,
        /// Its name before.
        from: &'static str,
        /// Its name after.
        to: &'static str,
    },
    /// Leaves a field out.
    Remove {
        /// Where the field is.
        object: &'static str,
        /// Its name.
        field: &'static str,
    },
}

/// A field that a later version removes.
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    /// Its name in the context.
    pub field: &'static str,
    /// What takes its place.
    pub replacement: &'static str,
    /// The version that removes it.
    pub removed_in: &'static str,
}

/// Why an event has no form in another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversionError {
    /// No event of this major is understood.
    UnknownMajor(u32),
    /// What came out is no event.
    Invalid(EventError),
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConversionError::UnknownMajor(major) => write!(f, "there is no conversion to events of version {major}"),
            ConversionError::Invalid(error) => write!(f, "the converted event is none: {error}"),
        }
    }
}

impl std::error::Error for ConversionError {}

impl Versions {
    /// The versions of this build.
    pub const PUBLISHED: &'static Versions = &Versions { plain: "1.0", conversion: None, deprecated: &[] };

    /// The current major version.
    pub fn current(&self) -> u32 {
        major(self.plain).unwrap_or(1)
    }

    /// Whether events of a major version are understood.
    pub fn understands(&self, major: u32) -> bool {
        let previous = self.conversion.and_then(|conversion| self::major(conversion.previous));
        major == self.current() || previous == Some(major)
    }

    /// What is understood, in words: `1.x`, `1.x and 2.x`.
    pub fn understood(&self) -> String {
        match self.conversion.and_then(|conversion| major(conversion.previous)) {
            Some(previous) => format!("{previous}.x and {}.x", self.current()),
            None => format!("{}.x", self.current()),
        }
    }

    /// The major version of `text`, which must be understood.
    ///
    /// # Errors
    /// It is no version or not understood; the text says what is.
    pub fn accept(&self, text: &str) -> Result<u32, String> {
        let Some(major) = major(text) else { return Err("wanted is `<major>.<minor>`, such as \"1.0\"".into()) };
        match self.understands(major) {
            true => Ok(major),
            false => Err(format!("version {text} is not understood; this build understands {}", self.understood())),
        }
    }

    /// `event` in a major version; the event itself when it has that version.
    ///
    /// # Errors
    /// See [`ConversionError`].
    pub fn convert(&self, event: &Event, wanted: u32) -> Result<Event, ConversionError> {
        let has = event.json().get("schema_version").and_then(Json::as_str).and_then(|text| major(&text));
        if has == Some(wanted) {
            return Ok(event.clone());
        }
        let conversion = self.conversion.filter(|_| self.understands(wanted));
        let conversion = conversion.ok_or(ConversionError::UnknownMajor(wanted))?;
        let (steps, version) =
            if wanted == self.current() { (conversion.up, self.plain) } else { (conversion.down, conversion.previous) };
        let mut text = event.json().text().to_owned();
        for step in steps {
            text = step.apply(Json::already_checked(&text));
        }
        text = edit(Json::already_checked(&text), "", &|name, value| {
            let version = format!("\"{version}\"");
            Some((name.to_owned(), if name == "schema_version" { version } else { value.to_owned() }))
        });
        Event::parse_as(text.into_bytes(), self).map_err(ConversionError::Invalid)
    }

    /// What a context with deprecated fields is to say about them: `deprecated_fields` and
    /// `deprecation_notice`; nothing when it has none.
    pub fn notice(&self, mut has: impl FnMut(&str) -> bool, kind: &str) -> Option<(Vec<&'static str>, String)> {
        let found: Vec<&Deprecated> = self.deprecated.iter().filter(|deprecated| has(deprecated.field)).collect();
        let sentences = found.iter().map(|Deprecated { field, replacement, removed_in }| {
            format!("`{field}` of {kind} is replaced by `{replacement}` and removed in version {removed_in}")
        });
        let notice = sentences.collect::<Vec<_>>().join("; ");
        (!found.is_empty()).then(|| (found.iter().map(|deprecated| deprecated.field).collect(), notice))
    }
}

/// The major part of `<major>.<minor>`.
fn major(version: &str) -> Option<u32> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (major, minor) = version.split_once('.')?;
    (digits(major) && digits(minor)).then(|| major.parse().ok()).flatten()
}

impl Step {
    fn apply(self, event: Json<'_>) -> String {
        match self {
            Step::Rename { object, from, to } => edit(event, object, &|name, value| {
                Some((if name == from { to } else { name }.to_owned(), value.to_owned()))
            }),
            Step::Remove { object, field } => {
                edit(event, object, &|name, value| (name != field).then(|| (name.to_owned(), value.to_owned())))
            }
        }
    }
}

/// What becomes of a member, by its name and JSON text; nothing where it is left out.
type Change<'c> = &'c dyn Fn(&str, &str) -> Option<(String, String)>;

/// The object with its members changed, or those of one of its members; every other value as it stands.
fn edit(object: Json<'_>, inside: &str, change: Change<'_>) -> String {
    let mut out = String::from("{");
    for (name, value) in object.entries() {
        let changed = match (inside, value.kind()) {
            ("", _) => change(&name, value.text()),
            (inside, Kind::Object) if inside == name => Some((name.into_owned(), edit(value, "", change))),
            _ => Some((name.into_owned(), value.text().to_owned())),
        };
        if let Some((name, value)) = changed {
            if out.len() > 1 {
                out.push(',');
            }
            push_string(&mut out, &name);
            out.push(':');
            out.push_str(&value);
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventDraft, EventId};
    use crate::time::Timestamp;

    /// A made-up next version: `task_id` is called `task` there, and `machine` is gone.
    const NEXT: Versions = Versions {
        plain: "2.0",
        conversion: Some(Conversion {
            previous: "1.0",
            up: &[
                Step::Rename { object: "context", from: "task_id", to: "task" },
                Step::Remove { object: "context", field: "machine" },
                Step::Rename { object: "", from: "feature", to: "spec" },
            ],
            down: &[
                Step::Rename { object: "context", from: "task", to: "task_id" },
                Step::Rename { object: "", from: "spec", to: "feature" },
            ],
        }),
        deprecated: &[Deprecated { field: "agent", replacement: "agent_id", removed_in: "3.0" }],
    };

    fn event(version: &str, rest: &str) -> Vec<u8> {
        format!(
            r#"{{"event_type":"task.completed","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"{version}","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p",{rest}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn the_current_and_the_previous_major_are_understood() {
        for (version, by_next, by_this) in [
            ("1.0", true, true),
            ("1.9", true, true),
            ("2.0", true, false),
            ("3.0", false, false),
            ("0.9", false, false),
        ] {
            assert_eq!(Event::parse_as(event(version, r#""a":1"#), &NEXT).is_ok(), by_next, "{version}");
            assert_eq!(Event::parse(event(version, r#""a":1"#)).is_ok(), by_this, "{version}");
        }
        let error = Event::parse_as(event("3.0", r#""a":1"#), &NEXT).unwrap_err().to_string();
        assert!(error.ends_with("version 3.0 is not understood; this build understands 1.x and 2.x"), "{error}");
    }

    #[test]
    fn converts_up_and_down_and_keeps_every_other_byte() {
        let old = Event::parse(event(
            "1.0",
            r#""feature":"f","big":123456789012345678901234567890,"context":{"task_id":"t","machine":"m","n":1.50}"#,
        ))
        .unwrap();
        let new = NEXT.convert(&old, 2).unwrap();
        assert!(new.json().text().ends_with(
            r#""schema_version":"2.0","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p","spec":"f","big":123456789012345678901234567890,"context":{"task":"t","n":1.50}}"#
        ), "{new:?}");
        let back = NEXT.convert(&new, 1).unwrap();
        assert!(
            back.json()
                .text()
                .contains(r#""feature":"f","big":123456789012345678901234567890,"context":{"task_id":"t","n":1.50}"#)
        );
        assert_eq!(NEXT.convert(&back, 1).unwrap().bytes(), back.bytes());
        assert_eq!(NEXT.convert(&old, 7).unwrap_err(), ConversionError::UnknownMajor(7));
        assert_eq!(Versions::PUBLISHED.convert(&old, 2).unwrap_err(), ConversionError::UnknownMajor(2));
    }

    #[test]
    fn a_deprecated_field_says_what_takes_its_place() {
        let stamp = |draft: EventDraft| {
            let now = Timestamp::now();
            draft.stamp_as(EventId::generate(now), now, "/p", &NEXT).unwrap()
        };
        let draft = || EventDraft::new("task.completed".parse().unwrap());
        let event = stamp(draft().context("agent", "a"));
        let context = event.json().get("context").unwrap();
        assert_eq!(context.get("deprecated_fields").unwrap().text(), r#"["agent"]"#);
        assert_eq!(
            context.get("deprecation_notice").unwrap().as_str().unwrap(),
            "`agent` of task.completed is replaced by `agent_id` and removed in version 3.0"
        );
        assert_eq!(event.json().get("schema_version").unwrap().text(), "\"2.0\"");
        assert!(
            stamp(draft().context("agent_id", "a")).json().get("context").unwrap().get("deprecated_fields").is_none()
        );
    }
}
