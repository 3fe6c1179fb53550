//! An envelope of the sync wire as an event.

use super::date_time;
use super::rules::{check_envelope, is_ulid};
use super::spelling::{from_mission, to_mission};
use super::to_wire::{SCHEMA_VERSION_3, aggregate, is_own};
use super::{FEATURE, Kind, METADATA, Violation, WireVersion};
use crate::event::{Event, EventError};
use crate::json::{self, Json, push_string};
use std::borrow::Cow;

/// Whether a JSON document has the shape of an envelope: what tells it from an event of ours.
pub fn is_wire(json: Json<'_>) -> bool {
    let name = json.get("event_type").and_then(Json::as_str);
    name.is_some_and(|name| Kind::from_wire_name(&name).is_some())
        && json.get("payload").is_some()
        && json.get("aggregate_id").is_some()
}

/// The event that an envelope of any version says, of a project at `project_root`.
///
/// The payload's members become those of `context`: in version 1 byte for byte, in version 3 in our words. Its time
/// becomes one of ours, in UTC. What the event has no place for is kept under `metadata.wire`. Of version 3, what our
/// payload cannot say (a mission without a number, or with a name that begins with none) is not made up: the event is
/// complete, but [`super::check`] misses that in its context.
///
/// # Errors
/// All rules that it breaks, each with its place; an envelope is also refused when it nests so deep (125 levels) that
/// an event could not hold it.
pub fn from_wire(text: &str, project_root: &str) -> Result<Event, Vec<Violation>> {
    let alone = |violation: Violation| vec![violation];
    let json = Json::parse(text.as_bytes()).map_err(|error| alone(Violation::new("", error.to_string())))?;
    if json.kind() != json::Kind::Object {
        let problem = format!("an envelope is a JSON object; this is {}", json.kind());
        return Err(alone(Violation::new("", problem)));
    }
    let version = version_of(json).map_err(alone)?;
    let broken = check_envelope(version, json);
    if !broken.is_empty() {
        return Err(broken);
    }
    let event = write(version, json, project_root);
    Event::parse(event.into_bytes()).map_err(|error| match error {
        EventError::Member { pointer, problem, .. } => alone(Violation::new(pointer, problem)),
        other => alone(Violation::new("", other.problem())),
    })
}

/// The version an envelope has.
fn version_of(json: Json<'_>) -> Result<WireVersion, Violation> {
    let Some(given) = json.get("schema_version") else { return Ok(WireVersion::V1) };
    match given.as_str().as_deref().and_then(|text| text.split('.').next()) {
        Some("1") => Ok(WireVersion::V1),
        Some("3") => Ok(WireVersion::V3),
        _ => {
            let problem = "a version of the sync wire is wanted: 1.x.y (or none) or 3.x.y";
            Err(Violation::new("/schema_version", problem))
        }
    }
}

/// The text of the event for a checked envelope.
fn write(version: WireVersion, json: Json<'_>, project_root: &str) -> String {
    let members: Vec<(Cow<'_, str>, Json<'_>)> = json.entries().collect();
    let member = |name: &str| members.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
    let text = |name: &str| member(name).and_then(Json::as_str).unwrap_or_default();
    let kind = Kind::named(&text("event_type"), version).unwrap_or(Kind::ErrorLogged);
    let payload = member("payload").unwrap_or(Json::already_checked("{}"));
    let context: Cow<'_, str> = match version {
        WireVersion::V1 => payload.text().into(),
        WireVersion::V3 => from_mission(kind, payload).into(),
    };
    let context = Json::already_checked(&context);
    let given_time = text("timestamp");
    let time = date_time::timestamp(&given_time).map(|time| time.to_string()).unwrap_or_default();

    let mut out = String::with_capacity(json.text().len() * 2 + 256);
    out.push('{');
    string(&mut out, "event_type", kind.event_type().as_str());
    string(&mut out, "event_id", &format!("evt_{}", text("event_id")));
    string(&mut out, "schema_version", "1.1");
    string(&mut out, "timestamp", &time);
    string(&mut out, "project_root", project_root);
    if let Some(feature) = context.get(FEATURE).and_then(Json::as_str) {
        string(&mut out, "feature", &feature);
    }
    let correlation = member("correlation_id").filter(|_| version == WireVersion::V3);
    for (name, id) in [("causation_id", member("causation_id")), ("correlation_id", correlation)] {
        if let Some(id) = id.and_then(Json::as_str).filter(|id| is_ulid(id)) {
            string(&mut out, name, &id);
        }
    }
    for name in ["node_id", "lamport_clock", "team_slug"] {
        if let Some(value) = member(name) {
            raw(&mut out, name, value.text());
        }
    }
    raw(&mut out, "context", context.text());

    // What `to_wire` would make of the event says the rest; only what differs from that is kept.
    let (aggregate_type, aggregate_id) = aggregate(kind, version, payload);
    let is_said = |name: &str, value: Json<'_>| match name {
        "aggregate_id" => value.as_str().is_some_and(|own| own == aggregate_id),
        "aggregate_type" => value.as_str().is_some_and(|own| own == aggregate_type),
        "timestamp" => given_time == time,
        "schema_version" => version == WireVersion::V3 && value.as_str().is_some_and(|own| own == SCHEMA_VERSION_3),
        "payload" => version == WireVersion::V1 || to_mission(kind, context) == payload.text(),
        "causation_id" | "correlation_id" => is_own(name, version) && value.kind() == json::Kind::String,
        _ => is_own(name, version),
    };
    out.push_str(",\"metadata\":{\"");
    out.push_str(METADATA);
    out.push_str("\":{\"version\":\"");
    out.push_str(version.as_str());
    out.push_str("\",\"envelope\":{");
    for (name, value) in &members {
        if !is_said(name, *value) {
            raw(&mut out, name, value.text());
        }
    }
    out.push_str("}}}}");
    out
}

/// Appends a member to an object that is being written.
fn raw(out: &mut String, name: &str, value: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    push_string(out, name);
    out.push(':');
    out.push_str(value);
}

fn string(out: &mut String, name: &str, value: &str) {
    let mut text = String::with_capacity(value.len() + 2);
    push_string(&mut text, value);
    raw(out, name, &text);
}
