//! An event before it has an id and a time.

use super::context::{Context, is_shallow};
use super::envelope::{MAX_BYTES, Rules, into_text};
use super::{Event, EventError, EventId, EventType, NodeId, Versions};
use crate::json::{Json, JsonError, Kind, MAX_DEPTH, push_string};
use crate::time::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

/// The lowest version that describes an event with a cause.
const CAUSAL: &str = "1.1";

/// What a producer says about an event; the emitter adds id, time, version and project.
///
/// ```
/// use knockon::EventDraft;
///
/// let draft = EventDraft::new("task.completed".parse()?)
///     .feature("user-auth")
///     .context("task_id", "task-123")
///     .context("labels", vec!["backend"])
///     .artifact("source_code", "src/auth.rs");
/// # Ok::<(), knockon::InvalidEventType>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventDraft {
    body: Body,
    causality: Option<Box<Causality>>,
}

/// Where an event stands among those of other machines (version 1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Causality {
    /// It has a time of the Lamport clock.
    Clocked {
        /// Whose clock it is (`node_id`).
        node: NodeId,
        /// Its time (`lamport_clock`).
        lamport: u64,
        /// The team it goes to (`team_slug`), once that is known.
        team: Option<String>,
    },
    /// There was no clock to ask: the event says so (`clock_error`), because it cannot be put in order.
    Unclocked(String),
}

#[derive(Clone, Debug)]
enum Body {
    Fields(Box<Fields>),
    /// A JSON object as its producer wrote it, and the type to add when it names none.
    Document(String, EventType),
}

#[derive(Clone, Debug)]
struct Fields {
    kind: EventType,
    feature: Option<String>,
    caused_by: Option<EventId>,
    correlation: Option<EventId>,
    id: Option<EventId>,
    context: Context,
    artifacts: Vec<Value>,
    metadata: Map<String, Value>,
}

impl EventDraft {
    /// A draft of an event of type `kind` with nothing else in it.
    pub fn new(kind: EventType) -> Self {
        let (context, artifacts) = (Context::default(), Vec::new());
        let mut metadata = Map::new();
        metadata.insert("cli_version".into(), env!("CARGO_PKG_VERSION").into());
        let (feature, caused_by, correlation, id) = (None, None, None, None);
        let fields = Fields { kind, feature, caused_by, correlation, id, context, artifacts, metadata };
        EventDraft { body: Body::Fields(Box::new(fields)), causality: None }
    }

    /// Whether it is a JSON object that its producer wrote.
    pub fn is_document(&self) -> bool {
        matches!(self.body, Body::Document(..))
    }

    /// A draft from a JSON object that may lack the fields the emitter adds; everything in it stays
    /// byte for byte. `kind` is the type when the object names none.
    ///
    /// # Errors
    /// Not JSON, not an object, too large, no type at all, or two types that differ.
    pub fn from_json(bytes: Vec<u8>, kind: Option<EventType>) -> Result<Self, EventError> {
        let mut text = into_text(bytes)?;
        // Editors of another system put one there; it is no part of JSON (RFC 8259, 8.1).
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let json = Json::parse(text.as_bytes()).map_err(EventError::Json)?;
        let rules = Rules { whole: &text };
        rules.object(json)?;
        let own = match json.get("event_type") {
            None if kind.is_some() => None,
            own => Some(rules.kind(json, own)?),
        };
        if let (Some(own), Some(kind)) = (&own, &kind)
            && own != kind
        {
            let problem = format!("the event says `{own}`, the command says `{kind}`");
            return Err(EventError::Member { pointer: "/event_type".into(), place: (1, 1), problem });
        }
        let kind = own.or(kind).map_or_else(|| rules.kind(json, None), Ok)?;
        Ok(EventDraft { body: Body::Document(text, kind), causality: None })
    }

    /// The type of the event.
    pub fn kind(&self) -> &EventType {
        match &self.body {
            Body::Fields(fields) => &fields.kind,
            Body::Document(_, kind) => kind,
        }
    }

    /// Whose clock its producer says the event's time is of, and the time, when it says both.
    pub fn told(&self) -> Option<(String, u64)> {
        match &self.body {
            Body::Fields(_) => None,
            Body::Document(text, _) => {
                foreign_place(Json::already_checked(text.trim())).map(|(node, time)| (node.into_owned(), time))
            }
        }
    }

    /// The context as JSON text; nothing without one.
    pub fn context_text(&self) -> Option<Cow<'_, str>> {
        match &self.body {
            Body::Fields(fields) => {
                // What is nested too deep makes no event.
                fields.check_depth().ok()?;
                Some(Cow::Owned(fields.context.text()))
            }
            Body::Document(text, _) => {
                let context = Json::already_checked(text.trim()).get("context");
                context.filter(|context| context.kind() != Kind::Null).map(|context| Cow::Borrowed(context.text()))
            }
        }
    }

    /// Says where the event stands among those of other machines. What a document says of that itself stays when it is the
    /// whole place of another machine.
    #[must_use]
    pub fn placed(mut self, causality: Causality) -> Self {
        self.causality = Some(Box::new(causality));
        self
    }

    /// Names the feature. No effect on a draft made from JSON, as for the other setters.
    #[must_use]
    pub fn feature(self, feature: impl Into<String>) -> Self {
        let feature = feature.into();
        self.with(|fields| fields.feature = Some(feature))
    }

    /// Names the event that caused this one (`causation_id`, version 1.1).
    #[must_use]
    pub fn caused_by(self, cause: EventId) -> Self {
        self.with(|fields| fields.caused_by = Some(cause))
    }

    /// Names what this event and others belong to that reaches over several actions (`correlation_id`, version 1.1).
    #[must_use]
    pub fn correlated(self, with: EventId) -> Self {
        self.with(|fields| fields.correlation = Some(with))
    }

    /// Gives the event its id instead of the emitter: for whoever may have to emit it again, and wants it to be
    /// one event all the same.
    #[must_use]
    pub fn with_id(self, id: EventId) -> Self {
        self.with(|fields| fields.id = Some(id))
    }

    /// Adds a field of the event's context.
    #[must_use]
    pub fn context(self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        let (field, value) = (field.into(), value.into());
        self.with(|fields| {
            fields.context.set(field, value);
        })
    }

    /// Adds a field of the event's context whose value is JSON, kept byte for byte; `path` leads to it through fields in
    /// fields. No effect on a draft made from JSON.
    ///
    /// # Errors
    /// The text is no JSON, or a field on the way has a value of its own. Says so.
    pub fn context_json(mut self, path: &[&str], json: &str) -> Result<Self, String> {
        if let Body::Fields(fields) = &mut self.body {
            fields.context.set_json(path, json)?;
        }
        Ok(self)
    }

    /// Adds an artifact: what kind of thing it is, and its path.
    #[must_use]
    pub fn artifact(self, kind: impl Into<String>, path: impl Into<String>) -> Self {
        let mut artifact = Map::new();
        artifact.insert("type".into(), Value::String(kind.into()));
        artifact.insert("path".into(), Value::String(path.into()));
        self.with(|fields| fields.artifacts.push(Value::Object(artifact)))
    }

    /// Adds an artifact by its path relative to the project, and as its producer gave it.
    #[must_use]
    pub fn artifact_given_as(
        self,
        kind: impl Into<String>,
        path: impl Into<String>,
        original: impl Into<String>,
    ) -> Self {
        let mut artifact = Map::new();
        artifact.insert("type".into(), Value::String(kind.into()));
        artifact.insert("path".into(), Value::String(path.into()));
        artifact.insert("original".into(), Value::String(original.into()));
        self.with(|fields| fields.artifacts.push(Value::Object(artifact)))
    }

    /// Adds a runtime fact.
    #[must_use]
    pub fn metadata(self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        let (field, value) = (field.into(), value.into());
        self.with(|fields| {
            fields.metadata.insert(field, value);
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Fields)) -> Self {
        if let Body::Fields(fields) = &mut self.body {
            change(fields);
        }
        self
    }

    /// Makes the event: gives it the id and the time, and the project where it names none.
    ///
    /// # Errors
    /// The result would break the rules of an event: a bad member of the document, too much depth or size.
    pub fn stamp(self, id: EventId, now: Timestamp, project_root: &str) -> Result<Event, EventError> {
        self.stamp_as(id, now, project_root, Versions::PUBLISHED)
    }

    /// As [`EventDraft::stamp`], with other versions. An event made here has the lowest version that
    /// describes it, and says of its deprecated fields what takes their place.
    ///
    /// # Errors
    /// As [`EventDraft::stamp`].
    pub fn stamp_as(
        self,
        id: EventId,
        now: Timestamp,
        project_root: &str,
        versions: &Versions,
    ) -> Result<Event, EventError> {
        let id = match &self.body {
            Body::Fields(fields) => fields.id.unwrap_or(id),
            Body::Document(..) => id,
        };
        let (written, now) = (id.as_str(), now.written());
        let now = now.as_str();
        let causality = self.causality;
        let bytes = match self.body {
            Body::Fields(mut fields) => {
                fields.check_depth()?;
                let causal = fields.caused_by.is_some() || fields.correlation.is_some() || causality.is_some();
                let version = if causal { CAUSAL } else { versions.plain };
                let context = &fields.context;
                let notice = versions.notice(|field| context.contains(field), fields.kind.as_str());
                if let Some((names, notice)) = notice {
                    fields.context.set("deprecated_fields".into(), names.into());
                    fields.context.set("deprecation_notice".into(), notice.into());
                }
                let required = required(&fields.kind, written, version, now, project_root);
                let (text, context) = fields.write(required, causality.as_deref());
                // What is made of typed fields keeps the rules that a text has to be checked for; these are left.
                let holds = !fields.context.has_raw()
                    && text.len() <= MAX_BYTES
                    && project_root.starts_with('/')
                    && versions.accept(version).is_ok();
                if holds {
                    return Ok(Event::made(text, id, fields.kind, context, versions));
                }
                text
            }
            Body::Document(text, kind) => {
                let version = if causality.is_some() { CAUSAL } else { versions.plain };
                let required = required(&kind, written, version, now, project_root);
                let (text, inserted) = complete(text, required, causality.as_deref());
                return Event::parse_as(text.into_bytes(), versions).map_err(|error| inserted.unshift(error));
            }
        };
        Event::parse_as(bytes.into_bytes(), versions)
    }
}

impl Fields {
    /// That nothing is nested so deep that writing it, which recurses, could exhaust the stack.
    fn check_depth(&self) -> Result<(), EventError> {
        // Below the event, and the context in it.
        if self.context.is_shallow(3) && self.metadata.values().all(|value| is_shallow(value, 3)) {
            return Ok(());
        }
        let problem = format!("nested deeper than {MAX_DEPTH} levels");
        Err(EventError::Member { pointer: "/context".into(), place: (1, 1), problem })
    }

    /// The event as text, and where its context is.
    fn write(&self, required: Required<'_>, causality: Option<&Causality>) -> (String, Range<usize>) {
        let mut out = String::with_capacity(512);
        for (name, value) in required {
            push_member(&mut out, name, value);
        }
        if let Some(feature) = &self.feature {
            push_member(&mut out, "feature", feature);
        }
        if let Some(cause) = &self.caused_by {
            push_member(&mut out, "causation_id", cause.ulid());
        }
        if let Some(correlation) = &self.correlation {
            push_member(&mut out, "correlation_id", correlation.ulid());
        }
        if let Some(causality) = causality {
            causality.write(&mut out, |_| true);
        }
        // An absent optional field is left out.
        let mut push = |name: &str, value: Option<String>| match value {
            Some(value) => {
                out.push_str(name);
                out.push_str(&value);
                out.len() - value.len()..out.len()
            }
            None => 0..0,
        };
        // A map with texts for names and a list cannot fail to be written.
        let object = |of: &Map<String, Value>| (!of.is_empty()).then(|| serde_json::to_string(of).ok()).flatten();
        let context = (!self.context.is_empty()).then(|| self.context.text());
        let context = push(",\"context\":", context);
        push(
            ",\"artifacts\":",
            (!self.artifacts.is_empty()).then(|| serde_json::to_string(&self.artifacts).ok()).flatten(),
        );
        push(",\"metadata\":", object(&self.metadata));
        out.replace_range(..1, "{");
        out.push('}');
        (out, context)
    }
}

impl Causality {
    /// Writes its members, those that are `wanted`.
    fn write(&self, out: &mut String, wanted: impl Fn(&str) -> bool) {
        match self {
            Causality::Clocked { node, lamport, team } => {
                if wanted("node_id") {
                    push_member(out, "node_id", node.as_str());
                }
                if wanted("lamport_clock") {
                    // Digits only: writing to a text cannot fail.
                    let _ = write!(out, ",\"lamport_clock\":{lamport}");
                }
                if let Some(team) = team.as_ref().filter(|_| wanted("team_slug")) {
                    push_member(out, "team_slug", team);
                }
            }
            Causality::Unclocked(why) => {
                if wanted("clock_error") {
                    push_member(out, "clock_error", why);
                }
            }
        }
    }
}

/// `document` with the members it lacks put before its own, which stay as they are; but for a place of its own among the
/// events of other machines that is not whole, or is that of this machine: another event may have it.
fn complete(mut document: String, required: Required<'_>, causality: Option<&Causality>) -> (String, Inserted) {
    let mut inserted = Inserted::default();
    let json = Json::already_checked(document.trim());
    let mut missing = String::new();
    for (name, value) in required {
        if json.get(name).is_none() {
            push_member(&mut missing, name, value);
        }
    }
    let mut replaced = Vec::new();
    if let Some(causality) = causality {
        let stays = match causality {
            Causality::Clocked { node, .. } => foreign_place(json).is_some_and(|(of, _)| of != node.as_str()),
            Causality::Unclocked(_) => true,
        };
        causality.write(&mut missing, |name| json.get(name).is_none());
        if let Causality::Clocked { node, lamport, .. } = causality
            && !stays
        {
            for (name, value) in [("node_id", format!("\"{node}\"")), ("lamport_clock", lamport.to_string())] {
                let start = json.get(name).map(|member| (member.text().as_ptr() as usize, member.text().len()));
                let place = start.map(|(start, length)| (start - document.as_ptr() as usize, length));
                replaced.extend(place.map(|(start, length)| (start..start + length, value)));
            }
        }
    }
    let has_members = json.entries().next().is_some();
    // From the end on, so that places stay what they are.
    replaced.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, value) in replaced {
        document.replace_range(place, &value);
    }
    if let Some(brace) = document.find('{').filter(|_| !missing.is_empty()) {
        missing.push_str(if has_members { "," } else { "" });
        let before = &document[..=brace];
        inserted = Inserted {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count(),
            characters: missing.chars().count() - 1,
        };
        document.insert_str(brace + 1, &missing[1..]);
    }
    (document, inserted)
}

/// What was put into a document: behind which place, and how many characters, all in one line.
#[derive(Clone, Copy, Debug, Default)]
struct Inserted {
    line: usize,
    column: usize,
    characters: usize,
}

impl Inserted {
    /// The error with its place in the document as it was given.
    fn unshift(self, mut error: EventError) -> EventError {
        let place = match &mut error {
            EventError::Json(JsonError { line, column, .. }) => Some((line, column)),
            EventError::Member { place: (line, column), .. } => Some((line, column)),
            EventError::TooLarge(_) => None,
        };
        if let Some((line, column)) = place
            && *line == self.line
            && *column > self.column + self.characters
        {
            *column -= self.characters;
        }
        error
    }
}

/// Whose clock a document says its time is of, and the time, when it says both.
fn foreign_place(document: Json<'_>) -> Option<(Cow<'_, str>, u64)> {
    let node = document.get("node_id")?.as_str()?;
    Some((node, document.get("lamport_clock")?.text().parse().ok()?))
}

/// The members that every event has.
type Required<'a> = [(&'static str, &'a str); 5];

fn required<'a>(kind: &'a EventType, id: &'a str, version: &'a str, now: &'a str, root: &'a str) -> Required<'a> {
    [
        ("event_type", kind.as_str()),
        ("event_id", id),
        ("schema_version", version),
        ("timestamp", now),
        ("project_root", root),
    ]
}

fn push_member(out: &mut String, name: &str, value: &str) {
    out.push(',');
    push_string(out, name);
    out.push(':');
    push_string(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(draft: EventDraft) -> Result<String, String> {
        let id = "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A".parse().unwrap();
        let event = draft.stamp(id, Timestamp::from_millis(1_764_689_445_123), "/p");
        event.map(|event| String::from_utf8(event.bytes().to_vec()).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn leaves_absent_fields_out() {
        let kind: EventType = "spec.created".parse().unwrap();
        let plain = stamp(EventDraft::new(kind.clone())).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            plain,
            format!(
                r#"{{"event_type":"spec.created","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"1.0","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p","metadata":{{"cli_version":"{version}"}}}}"#
            )
        );
        let full = EventDraft::new(kind).feature("f\"x").context("n", 1).artifact("file", "a.rs");
        assert!(
            stamp(full).unwrap().contains(
                r#""feature":"f\"x","context":{"n":1},"artifacts":[{"type":"file","path":"a.rs"}],"metadata""#
            )
        );
    }

    #[test]
    fn depth_is_limited_as_in_a_text() {
        let nested = |levels: usize| (0..levels).fold(Value::from(1), |value, _| Value::Array(vec![value]));
        let kind: EventType = "spec.created".parse().unwrap();
        // The event and its context are two levels.
        let made = |levels: usize| stamp(EventDraft::new(kind.clone()).context("deep", nested(levels)));
        assert!(made(MAX_DEPTH - 2).is_ok());
        assert!(made(MAX_DEPTH - 1).unwrap_err().contains("nested deeper than 128 levels"));
    }

    #[test]
    fn keeps_a_document_byte_for_byte_and_adds_what_it_lacks() {
        let own = r#" {  "feature" : "x", "n":1e400, "deep":{"a":[ ]} }"#;
        let draft = EventDraft::from_json(own.into(), Some("spec.created".parse().unwrap())).unwrap();
        let text = stamp(draft).unwrap();
        assert!(text.starts_with(r#" {"event_type":"spec.created","event_id":"evt_"#), "{text}");
        assert!(text.ends_with(r#","project_root":"/p",  "feature" : "x", "n":1e400, "deep":{"a":[ ]} }"#), "{text}");
        let empty = EventDraft::from_json(b"{}".to_vec(), Some("spec.created".parse().unwrap())).unwrap();
        assert!(stamp(empty).unwrap().ends_with(r#""project_root":"/p"}"#));
    }

    #[test]
    fn a_place_of_another_machine_stays_and_no_other_does() {
        let placed = |members: &str| {
            let text = format!(r#"{{"event_type":"wp.created",{members}"n":1}}"#);
            let draft = EventDraft::from_json(text.into(), None).unwrap();
            let clocked = Causality::Clocked { node: "0123456789ab".parse().unwrap(), lamport: 7, team: None };
            let text = stamp(draft.placed(clocked)).unwrap();
            let json = Json::parse(text.as_bytes()).unwrap();
            ["node_id", "lamport_clock"].map(|name| json.get(name).unwrap().text().to_owned())
        };
        let ours = ["\"0123456789ab\"", "7"].map(str::to_owned);
        assert_eq!(placed(""), ours);
        assert_eq!(placed(r#""lamport_clock":1,"#), ours);
        assert_eq!(placed(r#""node_id":"aaaaaaaaaaaa","#), ours);
        assert_eq!(placed(r#""lamport_clock" : "x", "node_id":"aaaaaaaaaaaa","#), ours);
        assert_eq!(placed(r#""lamport_clock":1,"node_id":"0123456789ab","#), ours);
        let theirs = ["\"aaaaaaaaaaaa\"", "1"].map(str::to_owned);
        assert_eq!(placed(r#""node_id":"aaaaaaaaaaaa","lamport_clock":1,"#), theirs);
    }

    #[test]
    fn refuses_a_document_without_one_type() {
        let error = |text: &str, kind: Option<&str>| {
            let kind = kind.map(|kind| kind.parse().unwrap());
            EventDraft::from_json(text.into(), kind).unwrap_err().to_string()
        };
        assert!(error("{}", None).contains("`event_type` is missing"));
        assert!(error(r#"{"event_type":"a.b"}"#, Some("a.c")).contains("the command says `a.c`"));
        assert!(error(r#"{"event_type":5}"#, Some("a.c")).contains("a string is wanted, this is a number"));
        assert!(error("[]", Some("a.c")).contains("an event is a JSON object"));
    }
}
