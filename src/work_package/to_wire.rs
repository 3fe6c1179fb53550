//! An event as the sync wire has it.

use super::rules::check_envelope;
use super::spelling::to_mission;
use super::{FEATURE, Kind, Origin, Violation, WireVersion};
use crate::event::Event;
use crate::json::{self, Json, ObjectText};
use std::borrow::Cow;

/// The members of an event that its envelope is made of.
#[derive(Default)]
struct Said<'a> {
    timestamp: Option<Json<'a>>,
    node_id: Option<Json<'a>>,
    lamport_clock: Option<Json<'a>>,
    team_slug: Option<Json<'a>>,
    causation_id: Option<Json<'a>>,
    correlation_id: Option<Json<'a>>,
    metadata: Option<Json<'a>>,
}

impl<'a> Said<'a> {
    fn by(event: &'a Event) -> Self {
        let mut said = Said::default();
        for (name, value) in event.json().entries() {
            let member = match &*name {
                "timestamp" => &mut said.timestamp,
                "node_id" => &mut said.node_id,
                "lamport_clock" => &mut said.lamport_clock,
                "team_slug" => &mut said.team_slug,
                "causation_id" => &mut said.causation_id,
                "correlation_id" => &mut said.correlation_id,
                "metadata" => &mut said.metadata,
                _ => continue,
            };
            *member = Some(value);
        }
        said
    }

    /// What an envelope of this version said that the event does not, when it came from one.
    fn kept(&self, version: WireVersion) -> Option<Kept<'a>> {
        let wire = self.metadata?.get(super::METADATA)?;
        let same = wire.get("version").and_then(Json::as_str).is_some_and(|own| own == version.as_str());
        let envelope = wire.get("envelope").filter(|envelope| same && envelope.kind() == json::Kind::Object)?;
        Some(Kept { members: envelope.entries().collect() })
    }
}

/// The members kept from an envelope.
struct Kept<'a> {
    members: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Kept<'a> {
    fn get(&self, name: &str) -> Option<Json<'a>> {
        self.members.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

/// The members of an envelope that come from the event; what else was kept follows them.
const OWN: &[&str] = &[
    "event_id",
    "event_type",
    "aggregate_id",
    "aggregate_type",
    "schema_version",
    "payload",
    "node_id",
    "lamport_clock",
    "timestamp",
    "team_slug",
    "causation_id",
];

/// Whether [`Said`] has the member for this version.
pub(super) fn is_own(name: &str, version: WireVersion) -> bool {
    OWN.contains(&name) || (version == WireVersion::V3 && name == "correlation_id")
}

/// What an event of this kind is about, by its payload: the type and the id of the aggregate.
pub(super) fn aggregate<'a>(kind: Kind, version: WireVersion, payload: Json<'a>) -> (&'static str, Cow<'a, str>) {
    let text = |name: &str| payload.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let (feature, slug) = match version {
        WireVersion::V1 => ("Feature", FEATURE),
        WireVersion::V3 => ("Mission", "mission_slug"),
    };
    match kind {
        _ if kind.is_of_feature() => {
            let mission = if version == WireVersion::V3 { text("mission_id") } else { None };
            (feature, mission.or_else(|| text(slug)).unwrap_or_default())
        }
        Kind::ErrorLogged => match text("wp_id") {
            Some(wp_id) => ("WorkPackage", wp_id),
            None => (feature, "error".into()),
        },
        _ => ("WorkPackage", text("wp_id").unwrap_or_default()),
    }
}

/// The envelope of an event, one JSON object as text, complete and checked: payload numbers, odd names and spaces are
/// those of the event, byte for byte. An event that [`super::from_wire()`] read has its envelope back.
///
/// What the event says of its team stands before what `origin` says.
///
/// # Errors
/// Everything that breaks the rules of the envelope or of the payload; an event that has no place in the order of
/// others (no `lamport_clock`) is one of that.
pub fn to_wire(event: &Event, origin: &Origin, version: WireVersion) -> Result<String, Vec<Violation>> {
    let Some(kind) = Kind::of(event.kind()) else {
        return Err(vec![Violation::new("/event_type", format!("`{}` has no name on the sync wire", event.kind()))]);
    };
    let said = Said::by(event);
    let kept = said.kept(version);
    let kept_member = |name: &str| kept.as_ref().and_then(|kept| kept.get(name));
    let context = event.context().map_or("{}", Json::text);
    let payload: Cow<'_, str> = match (version, kept_member("payload")) {
        (WireVersion::V1, _) => context.into(),
        (WireVersion::V3, Some(payload)) => payload.text().into(),
        (WireVersion::V3, None) => to_mission(kind, Json::already_checked(context)).into(),
    };
    let (aggregate_type, aggregate_id) = aggregate(kind, version, Json::already_checked(&payload));

    let mut out = Envelope(ObjectText::new(payload.len() + 512));
    out.0.string("event_id", event.id().ulid());
    out.0.string("event_type", kind.wire_name(version));
    out.kept_or("aggregate_id", kept_member("aggregate_id"), &aggregate_id);
    out.kept_or("aggregate_type", kept_member("aggregate_type"), aggregate_type);
    match (version, kept_member("schema_version")) {
        (_, Some(kept)) => out.0.raw("schema_version", kept.text()),
        (WireVersion::V1, None) => {}
        (WireVersion::V3, None) => out.0.string("schema_version", SCHEMA_VERSION_3),
    }
    out.0.raw("payload", &payload);
    out.member("node_id", said.node_id);
    out.member("lamport_clock", said.lamport_clock);
    out.member("timestamp", kept_member("timestamp").or(said.timestamp));
    match said.team_slug {
        Some(team) if !origin.replaces_team => out.0.raw("team_slug", team.text()),
        _ => out.0.string("team_slug", &origin.team_slug),
    }
    match (said.causation_id.and_then(Json::as_str), &kept) {
        // An id of an event of ours is meant as well.
        (Some(cause), _) => out.0.string("causation_id", cause.strip_prefix("evt_").unwrap_or(&cause)),
        (None, Some(kept)) => out.member("causation_id", kept.get("causation_id")),
        (None, None) => out.0.raw("causation_id", "null"),
    }
    if version == WireVersion::V3 {
        out.member("correlation_id", said.correlation_id.or_else(|| kept_member("correlation_id")));
    }
    match &kept {
        Some(kept) => {
            let others = kept.members.iter().filter(|(name, _)| !is_own(name, version));
            others.for_each(|(name, value)| out.0.raw(name, value.text()));
        }
        None => out.origin(origin, version),
    }
    let text = out.0.end();
    let broken = match Json::parse(text.as_bytes()) {
        Ok(json) => check_envelope(version, json),
        Err(error) => vec![Violation::new("", error.to_string())],
    };
    if broken.is_empty() { Ok(text) } else { Err(broken) }
}

/// The version an envelope of version 3 has.
pub(super) const SCHEMA_VERSION_3: &str = "3.0.0";

/// An envelope that is being written.
struct Envelope(ObjectText);

impl Envelope {
    fn member(&mut self, name: &str, value: Option<Json<'_>>) {
        if let Some(value) = value {
            self.0.raw(name, value.text());
        }
    }

    fn kept_or(&mut self, name: &str, kept: Option<Json<'_>>, value: &str) {
        match kept {
            Some(kept) => self.0.raw(name, kept.text()),
            None => self.0.string(name, value),
        }
    }

    /// What an event of ours says of where it comes from.
    fn origin(&mut self, origin: &Origin, version: WireVersion) {
        let project = [("project_uuid", &origin.project_uuid), ("project_slug", &origin.project_slug)];
        match version {
            WireVersion::V1 => {
                for (name, value) in project {
                    if let Some(value) = value {
                        self.0.string(name, value);
                    }
                }
            }
            WireVersion::V3 => {
                self.0.string("build_id", origin.build_id.as_deref().unwrap_or_default());
                for (name, value) in project.into_iter().chain([("repo_slug", &origin.repo_slug)]) {
                    match value {
                        Some(value) => self.0.string(name, value),
                        None => self.0.raw(name, "null"),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Status, StatusChanged};
    use super::*;
    use crate::event::{Causality, EventDraft};
    use crate::time::Timestamp;

    fn stamped(draft: EventDraft) -> Event {
        let id = "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A".parse().unwrap();
        draft.stamp(id, Timestamp::from_millis(1_764_689_445_123), "/p").unwrap()
    }

    fn moved() -> EventDraft {
        let (previous_status, new_status) = (Status::Planned, Status::Doing);
        StatusChanged { wp_id: "WP01".into(), previous_status, new_status, changed_by: None, feature_slug: None }
            .draft()
    }

    fn clocked(draft: EventDraft) -> Event {
        let node = "0123456789ab".parse().unwrap();
        stamped(draft.placed(Causality::Clocked { node, lamport: 42, team: None }))
    }

    fn origin() -> Origin {
        Origin { team_slug: "team".into(), project_slug: Some("shop".into()), ..Origin::default() }
    }

    #[test]
    fn the_team_of_an_event_is_its_own_until_it_is_replaced() {
        let (node, team) = ("0123456789ab".parse().unwrap(), Some("theirs".to_owned()));
        let event = stamped(moved().placed(Causality::Clocked { node, lamport: 42, team }));
        let team = |origin: &Origin| {
            let text = to_wire(&event, origin, WireVersion::V1).unwrap();
            Json::parse(text.as_bytes()).unwrap().get("team_slug").unwrap().text().to_owned()
        };
        assert_eq!(team(&origin()), "\"theirs\"");
        assert_eq!(team(&Origin { replaces_team: true, ..origin() }), "\"team\"");
    }

    #[test]
    fn an_event_of_ours_in_both_versions() {
        let event = clocked(moved().caused_by("evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9B".parse().unwrap()));
        assert_eq!(
            to_wire(&event, &origin(), WireVersion::V1).unwrap(),
            r#"{"event_id":"01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","event_type":"WPStatusChanged","aggregate_id":"WP01","aggregate_type":"WorkPackage","payload":{"wp_id":"WP01","previous_status":"planned","new_status":"doing","changed_by":"user"},"node_id":"0123456789ab","lamport_clock":42,"timestamp":"2025-12-02T15:30:45.123Z","team_slug":"team","causation_id":"01JDPY4W3ZK8Q0RV5T6X7Y8Z9B","project_slug":"shop"}"#
        );
        assert_eq!(
            to_wire(&clocked(moved()), &origin(), WireVersion::V3).unwrap(),
            r#"{"event_id":"01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","event_type":"WPStatusChanged","aggregate_id":"WP01","aggregate_type":"WorkPackage","schema_version":"3.0.0","payload":{"wp_id":"WP01","from_lane":"planned","to_lane":"in_progress","actor":"user"},"node_id":"0123456789ab","lamport_clock":42,"timestamp":"2025-12-02T15:30:45.123Z","team_slug":"team","causation_id":null,"build_id":"","project_uuid":null,"project_slug":"shop","repo_slug":null}"#
        );
    }

    #[test]
    fn what_is_not_whole_is_not_sent() {
        let told = |event: &Event, origin: &Origin| {
            let broken = to_wire(event, origin, WireVersion::V1).unwrap_err();
            broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(
            told(&stamped(moved()), &origin()),
            "the required member `node_id` is missing; the required member `lamport_clock` is missing"
        );
        assert_eq!(told(&clocked(moved()), &Origin::default()), "/team_slug: a text that is not empty is wanted");
        let other = clocked(EventDraft::new("task.created".parse().unwrap()));
        assert_eq!(told(&other, &origin()), "/event_type: `task.created` has no name on the sync wire");
        let bare = clocked(EventDraft::new(Kind::DependencyResolved.event_type()).context("wp_id", "WP1"));
        assert!(told(&bare, &origin()).contains("/payload/wp_id: wanted is `WP` and two digits"));
    }

    #[test]
    fn an_error_without_a_work_package_is_of_the_feature() {
        for (context, wanted) in [
            (r#"{"wp_id":"WP01"}"#, ("WorkPackage", "WP01")),
            (r#"{"wp_id":null}"#, ("Feature", "error")),
            (r#"{"wp_id":""}"#, ("Feature", "error")),
            ("{}", ("Feature", "error")),
        ] {
            let (of, id) = aggregate(Kind::ErrorLogged, WireVersion::V1, Json::already_checked(context));
            assert_eq!((of, &*id), wanted);
        }
        assert_eq!(aggregate(Kind::ErrorLogged, WireVersion::V3, Json::already_checked("{}")).0, "Mission");
    }
}
