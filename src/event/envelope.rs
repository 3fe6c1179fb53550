//! An event together with the exact bytes it was emitted as.

use super::{EventId, EventType, Versions};
use crate::json::{self, Json, JsonError, Kind};
use crate::time::Timestamp;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The largest event, in bytes.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What happened: immutable, complete, and byte for byte what its producer sent.
///
/// A value of this type keeps the rules of the base event 1.0 (ADR-005): see [`Event::parse`].
#[derive(Clone)]
pub struct Event {
    text: String,
    value: Range<usize>,
    /// Where the context is in the text; empty without one.
    context: Range<usize>,
    id: EventId,
    kind: EventType,
}

/// Why a text is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventError {
    /// Not JSON, or not JSON that can be kept.
    Json(JsonError),
    /// Larger than [`MAX_BYTES`]; holds the size in bytes.
    TooLarge(usize),
    /// A member that breaks a rule of the base event.
    Member {
        /// Where it is, as a JSON pointer (RFC 6901).
        pointer: String,
        /// Line and column of the member, or of the object that lacks it.
        place: (usize, usize),
        /// What is wrong and what is wanted.
        problem: String,
    },
}

impl EventError {
    /// Line and column of the fault, where it has one.
    pub fn place(&self) -> Option<(usize, usize)> {
        match self {
            EventError::Json(error) => Some((error.line, error.column)),
            EventError::Member { place, .. } => Some(*place),
            EventError::TooLarge(_) => None,
        }
    }

    /// What is wrong, without the place.
    pub fn problem(&self) -> String {
        match self {
            EventError::Json(error) => error.problem.clone(),
            EventError::TooLarge(bytes) => {
                format!("the event has {bytes} bytes; at most {MAX_BYTES} (8 MiB) are accepted")
            }
            EventError::Member { pointer, problem, .. } if pointer.is_empty() => problem.clone(),
            EventError::Member { pointer, problem, .. } => format!("{pointer}: {problem}"),
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place() {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.problem())
    }
}

impl std::error::Error for EventError {}

impl Event {
    /// Takes a complete event as its producer wrote it, white space around it included.
    ///
    /// # Errors
    /// Whatever breaks the contract of the base event, with its place: see [`EventError`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, EventError> {
        Self::parse_as(bytes, Versions::PUBLISHED)
    }

    /// As [`Event::parse`], with other versions understood.
    ///
    /// # Errors
    /// As [`Event::parse`].
    pub fn parse_as(bytes: Vec<u8>, versions: &Versions) -> Result<Self, EventError> {
        let text = into_text(bytes)?;
        let (json, members) = Json::parse_members(text.as_bytes()).map_err(EventError::Json)?;
        let members = Members::of(members);
        let rules = Rules { whole: &text };
        let (id, kind) = rules.check(json, &members, versions)?;
        let context = members.context.filter(|context| context.kind() != Kind::Null);
        let context = context.map_or(0..0, |context| rules.place(context));
        Ok(Event { value: rules.place(json), context, id, kind, text })
    }

    /// An event that was written here, of typed fields: it keeps the rules by the way it was made. `context` is where
    /// its context is.
    pub(super) fn made(text: String, id: EventId, kind: EventType, context: Range<usize>, versions: &Versions) -> Self {
        debug_assert!(
            Event::parse_as(text.clone().into_bytes(), versions).is_ok_and(|event| (
                event.id,
                &event.kind,
                &event.context
            ) == (id, &kind, &context)),
            "{text}"
        );
        Event { value: 0..text.len(), context, id, kind, text }
    }

    /// The id.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// The type.
    pub fn kind(&self) -> &EventType {
        &self.kind
    }

    /// The exact bytes, as a hook gets them on standard input.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The event as JSON, without the white space around it.
    pub fn json(&self) -> Json<'_> {
        Json::already_checked(&self.text[self.value.clone()])
    }

    /// The context: what the event is about.
    pub fn context(&self) -> Option<Json<'_>> {
        (!self.context.is_empty()).then(|| Json::already_checked(&self.text[self.context.clone()]))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The bytes as text, when there are not too many of them.
pub(super) fn into_text(bytes: Vec<u8>) -> Result<String, EventError> {
    if bytes.len() > MAX_BYTES {
        return Err(EventError::TooLarge(bytes.len()));
    }
    String::from_utf8(bytes).map_err(|error| {
        // `Json::parse` finds the same fault and knows its place.
        match Json::parse(error.as_bytes()) {
            Err(error) => EventError::Json(error),
            Ok(_) => EventError::Json(JsonError { line: 1, column: 1, problem: "not UTF-8".into() }),
        }
    })
}

/// The members that have rules.
#[derive(Default)]
struct Members<'a> {
    event_type: Option<Json<'a>>,
    event_id: Option<Json<'a>>,
    schema_version: Option<Json<'a>>,
    timestamp: Option<Json<'a>>,
    project_root: Option<Json<'a>>,
    feature: Option<Json<'a>>,
    context: Option<Json<'a>>,
    metadata: Option<Json<'a>>,
    artifacts: Option<Json<'a>>,
}

impl<'a> Members<'a> {
    fn of(all: json::Members<'a>) -> Self {
        let mut members = Members::default();
        for (name, value) in all {
            let member = match &*name {
                "event_type" => &mut members.event_type,
                "event_id" => &mut members.event_id,
                "schema_version" => &mut members.schema_version,
                "timestamp" => &mut members.timestamp,
                "project_root" => &mut members.project_root,
                "feature" => &mut members.feature,
                "context" => &mut members.context,
                "metadata" => &mut members.metadata,
                "artifacts" => &mut members.artifacts,
                _ => continue,
            };
            *member = Some(value);
        }
        members
    }
}

/// The rules of the base event 1.0, as typed code; `tests/contracts.rs` holds them against the schema.
pub(super) struct Rules<'a> {
    pub(super) whole: &'a str,
}

impl<'a> Rules<'a> {
    fn check(
        &self,
        event: Json<'a>,
        members: &Members<'a>,
        versions: &Versions,
    ) -> Result<(EventId, EventType), EventError> {
        self.object(event)?;
        let kind = self.kind(event, members.event_type)?;
        let id = self.text(event, "event_id", members.event_id)?;
        let id = id.parse().map_err(|error| self.broken(event, "event_id", &error))?;
        let version = self.text(event, "schema_version", members.schema_version)?;
        versions.accept(&version).map_err(|error| self.broken(event, "schema_version", &error))?;
        let timestamp = self.text(event, "timestamp", members.timestamp)?;
        // The form that knockon makes is looked at first.
        if Timestamp::parse(&timestamp).is_none() && !Timestamp::is_rfc3339(&timestamp) {
            let wanted = "expected a date-time of RFC 3339, such as 2025-12-02T15:30:45.123Z";
            return Err(self.broken(event, "timestamp", &wanted));
        }
        if !self.text(event, "project_root", members.project_root)?.starts_with('/') {
            return Err(self.broken(event, "project_root", &"wanted is an absolute path"));
        }
        self.optional(members)?;
        Ok((id, kind))
    }

    /// Where a value is in the whole text.
    fn place(&self, value: Json<'a>) -> Range<usize> {
        let start = (value.text().as_ptr() as usize).saturating_sub(self.whole.as_ptr() as usize);
        start..start + value.text().len()
    }

    /// That the document is an object.
    pub(super) fn object(&self, event: Json<'a>) -> Result<(), EventError> {
        if event.kind() == Kind::Object {
            return Ok(());
        }
        let problem = format!("an event is a JSON object; this is {}", event.kind());
        Err(EventError::Member { pointer: String::new(), place: json::position(self.whole, event), problem })
    }

    /// The type of the event.
    pub(super) fn kind(&self, event: Json<'a>, member: Option<Json<'a>>) -> Result<EventType, EventError> {
        let kind = self.text(event, "event_type", member)?;
        kind.parse().map_err(|error| self.broken(event, "event_type", &error))
    }

    fn optional(&self, members: &Members<'a>) -> Result<(), EventError> {
        for (member, value, kind) in [
            ("/feature", members.feature, Kind::String),
            ("/context", members.context, Kind::Object),
            ("/metadata", members.metadata, Kind::Object),
        ] {
            if let Some(value) = value.filter(|value| value.kind() != Kind::Null) {
                self.is(value, kind, &member)?;
            }
        }
        let Some(artifacts) = members.artifacts.filter(|value| value.kind() != Kind::Null) else { return Ok(()) };
        self.is(artifacts, Kind::Array, &"/artifacts")?;
        for (index, artifact) in artifacts.items().enumerate() {
            let pointer = format!("/artifacts/{index}");
            // A path alone is a file.
            if artifact.kind() == Kind::String {
                continue;
            }
            self.is(artifact, Kind::Object, &pointer)?;
            for member in ["type", "path"] {
                let Some(value) = artifact.get(member) else {
                    return Err(self.error(artifact, pointer, format!("`{member}` is missing")));
                };
                self.is(value, Kind::String, &format_args!("{pointer}/{member}"))?;
            }
            if let Some(value) = artifact.get("files_changed")
                && !is_integer(value)
            {
                let problem = format!("an integer is wanted, this is {}", value.kind());
                return Err(self.error(value, format!("{pointer}/files_changed"), problem));
            }
        }
        Ok(())
    }

    fn is(&self, value: Json<'a>, wanted: Kind, pointer: &dyn fmt::Display) -> Result<(), EventError> {
        let problem = match value.kind() {
            kind if kind == wanted => return Ok(()),
            kind => format!("{wanted} is wanted, this is {kind}"),
        };
        Err(self.error(value, pointer.to_string(), problem))
    }

    fn text(
        &self,
        event: Json<'a>,
        member: &str,
        value: Option<Json<'a>>,
    ) -> Result<std::borrow::Cow<'a, str>, EventError> {
        let Some(value) = value else {
            return Err(self.error(event, String::new(), format!("the required field `{member}` is missing")));
        };
        self.is(value, Kind::String, &format_args!("/{member}"))?;
        Ok(value.as_str().unwrap_or_default())
    }

    fn broken(&self, event: Json<'a>, member: &str, problem: &dyn fmt::Display) -> EventError {
        self.error(event.get(member).unwrap_or(event), format!("/{member}"), problem.to_string())
    }

    fn error(&self, value: Json<'a>, pointer: String, problem: String) -> EventError {
        EventError::Member { pointer, place: json::position(self.whole, value), problem }
    }
}

/// The path of an artifact: its `path`, or all of it where it is a path alone.
pub fn artifact_path(artifact: Json<'_>) -> Option<Cow<'_, str>> {
    artifact.as_str().or_else(|| artifact.get("path")?.as_str())
}

/// The normal form of an artifact's path in a project at `root`: relative to it where it lies in it, with single slashes
/// and without `.` and `..`. Looks at the text alone.
pub fn normal_path<'p>(path: &'p str, root: &str) -> Cow<'p, str> {
    let is_absolute = path.starts_with('/');
    if !is_absolute && path.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        return Cow::Borrowed(path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            // Above the root there is nothing.
            ("..", None) if is_absolute => {}
            (part, _) => parts.push(part),
        }
    }
    let plain = parts.join("/");
    if !is_absolute {
        return Cow::Owned(plain);
    }
    let root = root.trim_matches('/');
    let inside =
        plain.strip_prefix(root).and_then(|rest| if root.is_empty() { Some(rest) } else { rest.strip_prefix('/') });
    Cow::Owned(inside.map_or_else(|| format!("/{plain}"), str::to_owned))
}

/// Whether JSON Schema calls this number an integer: no fraction, or one of zeros.
fn is_integer(value: Json<'_>) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = r#"{"event_type":"task.completed","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"1.0","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p","big":123456789012345678901234567890}"#;

    #[test]
    fn keeps_the_bytes_with_the_white_space_around_them() {
        let text = format!("\n {COMPLETE} \n");
        let event = Event::parse(text.clone().into_bytes()).unwrap();
        assert_eq!(event.bytes(), text.as_bytes());
        assert_eq!(event.json().text(), COMPLETE);
        assert_eq!(event.kind().as_str(), "task.completed");
    }

    #[test]
    fn a_path_has_one_normal_form() {
        for (path, normal) in [
            ("src/a.rs", "src/a.rs"),
            ("./src//a.rs", "src/a.rs"),
            ("src/../src/./a.rs", "src/a.rs"),
            ("/p/src/a.rs", "src/a.rs"),
            ("/p//src/../src/a.rs", "src/a.rs"),
            ("/q/../p/src/a.rs", "src/a.rs"),
            ("/px/src/a.rs", "/px/src/a.rs"),
            ("../other/a", "../other/a"),
            ("/../a", "/a"),
        ] {
            assert_eq!(normal_path(path, "/p"), normal, "{path}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let broken = |from: &str, to: &str| {
            assert!(COMPLETE.contains(from));
            Event::parse(COMPLETE.replace(from, to).into_bytes()).unwrap_err().to_string()
        };
        assert_eq!(
            broken(r#""project_root":"/p","#, r#""project_root":"p","#),
            "line 1, column 153: /project_root: wanted is an absolute path"
        );
        assert_eq!(
            broken(r#""schema_version":"1.0","#, ""),
            "line 1, column 1: the required field `schema_version` is missing"
        );
        assert!(broken(r#""1.0""#, r#""2.0""#).ends_with("version 2.0 is not understood; this build understands 1.x"));
        assert!(Event::parse(COMPLETE.replace(r#""1.0""#, r#""1.7""#).into_bytes()).is_ok());
        assert!(
            broken(r#""big":"#, r#""artifacts":[{"type":"x"}],"big":"#).contains("/artifacts/0: `path` is missing")
        );
        assert!(broken(".123Z", "").contains("a date-time of RFC 3339"));
        for (from, to) in [
            (".123Z", "Z"),
            (".123Z", ".123456+02:00"),
            ("evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "evt_0123456789abcdef"),
            (r#""big":"#, r#""feature":null,"context":null,"artifacts":null,"metadata":null,"big":"#),
            (r#""big":"#, r#""artifacts":["a.py",{"type":"x","path":"y"}],"big":"#),
        ] {
            let text = COMPLETE.replace(from, to);
            let event = Event::parse(text.clone().into_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((event.bytes(), event.context().is_none()), (text.as_bytes(), true), "byte for byte");
        }
        assert_eq!(
            Event::parse(b"[1]".to_vec()).unwrap_err().to_string(),
            "line 1, column 1: an event is a JSON object; this is an array"
        );
        assert_eq!(Event::parse(vec![b' '; MAX_BYTES + 1]).unwrap_err(), EventError::TooLarge(MAX_BYTES + 1));
    }
}
