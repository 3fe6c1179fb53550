//! Work-package events: their payloads, and the two spellings each has, ours and the sync wire's.
//!
//! Inside knockon a work-package event is a base event 1.1: its type is ours (`wp.status_changed`), the members of its
//! payload are those of `context`. On the sync wire it has the envelope of spec-kitty. `kind` has the names in every
//! version, `words` the enumerations, `rules` what a payload and an envelope must keep, `builders` a typed draft for each
//! kind, `spelling` the payloads of version 3, `to_wire` and `from_wire` the two ways.
//!
//! # What the tables follow
//!
//! - Version 1: spec-kitty's feature 028 "CLI event emission + sync" (its event types, payloads and moves), and the two
//!   members that feature 032 added to the envelope (`project_uuid`, `project_slug`).
//! - Version 3: spec-kitty's `sync/emitter.py` and `core/upstream_contract.json` where they write `schema_version`
//!   "3.0.0", and the ten lanes of spec-kitty-events 6.0.0, which kept that version. `build_id` may be empty and
//!   `project_uuid` null, because the emitter writes them so. Members it forbids (`feature_slug` and `feature_number` of
//!   a mission) are refused.
//!
//! A payload may have more members than its table in either version: later versions add, and what is added is kept.
//!
//! # What our event has no place for
//!
//! [`from_wire()`] keeps it under `metadata.wire`: `version` ("1" or "3") and `envelope`, the members of the envelope, as
//! they were written, that the event does not say itself. [`to_wire()`] in the same version puts them back, so that an
//! envelope that came in goes out as the same JSON value.

mod builders;
mod date_time;
mod from_wire;
mod kind;
mod rules;
mod spelling;
mod to_wire;
mod words;

pub(crate) use builders::draft_of;
pub use builders::{
    Assigned, Created, DependencyResolved, ErrorLogged, FeatureCompleted, FeatureCreated, HistoryAdded, StatusChanged,
};
pub use from_wire::{from_wire, is_wire};
pub use kind::{Kind, WireVersion};
pub use rules::check;
pub use to_wire::to_wire;
pub use words::{EntryType, ErrorType, Phase, Resolution, Status, UnknownWord, unusual_move};

use std::fmt;

/// The member of a context that names the feature.
const FEATURE: &str = "feature_slug";
/// The member of an event's metadata that keeps what the event has no place for.
const METADATA: &str = "wire";

/// What an envelope says of the project and team it comes from, beside the event itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The team, where the event names none.
    pub team_slug: String,
    /// Whether that is the team even where the event names another: who signed in anew wants it so.
    pub replaces_team: bool,
    /// The project's UUID.
    pub project_uuid: Option<String>,
    /// The project's name for people.
    pub project_slug: Option<String>,
    /// The checkout (version 3); an empty text on the wire where there is none.
    pub build_id: Option<String>,
    /// `owner/name` of the repository (version 3).
    pub repo_slug: Option<String>,
}

/// A rule that a payload or an envelope breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, as a JSON pointer into the envelope (RFC 6901); of a missing member, the object that lacks it.
    pub pointer: String,
    /// What is wanted there. Never what is there: that may be a secret.
    pub problem: String,
}

impl Violation {
    fn new(pointer: impl Into<String>, problem: impl Into<String>) -> Self {
        Violation { pointer: pointer.into(), problem: problem.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.is_empty() {
            true => f.write_str(&self.problem),
            false => write!(f, "{}: {}", self.pointer, self.problem),
        }
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Causality, Event, EventId, SCHEMAS};
    use crate::json::{self, Json};
    use crate::time::Timestamp;
    use jsonschema::Validator;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Map, Value};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::LazyLock;

    /// The published schemas by version, the envelope's under no kind.
    static PUBLISHED: LazyLock<BTreeMap<(&str, &str), Validator>> = LazyLock::new(|| {
        let mut all = BTreeMap::new();
        for schema in SCHEMAS.iter().filter(|schema| schema.file.starts_with("work-package/")) {
            let value: Value = serde_json::from_str(schema.text).unwrap();
            jsonschema::meta::validate(&value).unwrap();
            let version = if schema.file.contains("/3.0/") { "3" } else { "1" };
            let name = schema.about.split(' ').nth(3).unwrap().trim_end_matches(',');
            let name = if schema.name.starts_with("wp-envelope") { "" } else { name };
            let validator = jsonschema::options().should_validate_formats(true).build(&value).unwrap();
            assert!(all.insert((version, name), validator).is_none(), "{}", schema.name);
        }
        all
    });

    /// The pointers of what the published schemas of a version have against an envelope.
    fn pointers(version: WireVersion, envelope: &Value) -> BTreeSet<String> {
        let schema = &PUBLISHED[&(version.as_str(), "")];
        let mut all: BTreeSet<String> =
            schema.iter_errors(envelope).map(|error| error.instance_path().to_string()).collect();
        let kind = envelope["event_type"].as_str().and_then(|name| Kind::named(name, version));
        if let (Some(kind), Some(payload)) = (kind, envelope.get("payload").filter(|payload| payload.is_object())) {
            let schema = &PUBLISHED[&(version.as_str(), kind.wire_name(version))];
            all.extend(schema.iter_errors(payload).map(|error| format!("/payload{}", error.instance_path())));
        }
        all
    }

    const ULIDS: [&str; 3] = ["01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "00000000000000000000000000"];
    const TIMES: [&str; 7] = [
        "2025-12-02T15:30:45.123Z",
        "2025-12-02T15:30:45Z",
        "2025-12-02T15:30:45.123456+00:00",
        "2025-12-02T00:30:45.1-11:59",
        "1816-02-29t00:00:00z",
        "2016-12-31T23:59:60Z",
        "9999-12-31T23:59:59-12:00",
    ];
    /// Members that no table has; numbers and names that a reader could change.
    const ODD: [(&str, &str); 8] = [
        ("\"big\"", "123456789012345678901234567890.10"),
        ("\"e\"", "1E+2"),
        ("\"\"", "[ ]"),
        ("\"a\\u00e4/~\"", "{\"x\" : [1, {\"y\":null}]}"),
        ("\"from_lane\"", "\"x\""),
        ("\"mission_number\"", "5"),
        ("\"version\"", "\"\\ud83d\\ude00\""),
        ("\"envelope\"", "-0"),
    ];
    /// Members of payloads, each with what is right in one of them.
    const WORDS: &[(&str, &[&str])] = &[
        ("wp_id", &["\"WP01\"", "\"WP99\"", "\"W\\u005000\""]),
        ("dependency_wp_id", &["\"WP02\""]),
        ("previous_status", &["\"planned\"", "\"doing\"", "\"for_review\"", "\"done\""]),
        ("new_status", &["\"planned\"", "\"doing\"", "\"for_review\"", "\"done\""]),
        ("from_lane", &["\"genesis\"", "\"planned\"", "\"claimed\"", "\"blocked\"", "\"done\""]),
        ("to_lane", &["\"in_progress\"", "\"in_review\"", "\"approved\"", "\"canceled\"", "\"done\""]),
        ("changed_by", &["\"user\"", "\"\""]),
        ("actor", &["\"user\"", "null"]),
        ("author", &["\"user\""]),
        ("policy_metadata", &["null", "{}"]),
        ("title", &["\"Log in\""]),
        ("dependencies", &["[]", "[\"WP01\", \"WP02\"]"]),
        ("agent_id", &["\"claude\""]),
        ("phase", &["\"implementation\"", "\"review\""]),
        ("retry_count", &["0", "3", "1.0", "12345678901234567890123456789012"]),
        ("entry_type", &["\"note\"", "\"comment\""]),
        ("entry_content", &["\"x\\ny\""]),
        ("resolution_type", &["\"completed\"", "\"merged\""]),
        ("error_type", &["\"network\"", "\"unknown\""]),
        ("error_message", &["\"no route\""]),
        ("stack_trace", &["null", "\"at x\""]),
        ("feature_slug", &["\"001-user-auth\"", "\"028-x\""]),
        ("mission_slug", &["\"001-user-auth\"", "\"user-auth-01JDPY4W\""]),
        ("feature_number", &["\"001\"", "\"000\""]),
        ("mission_number", &["1", "null", "1000", "0", "7.0"]),
        ("mission_type", &["\"software-dev\""]),
        ("mission_id", &["\"01JDPY4W3ZK8Q0RV5T6X7Y8Z9A\"", "null"]),
        ("friendly_name", &["\"User auth\""]),
        ("purpose_tldr", &["\"Log in\""]),
        ("purpose_context", &["\"Log in\""]),
        ("target_branch", &["\"main\""]),
        ("wp_count", &["7", "0.0"]),
        ("total_wps", &["7", "1e2"]),
        ("created_at", &["\"2025-12-02T15:30:45+01:00\""]),
        ("completed_at", &["\"2025-12-02T15:30:45Z\""]),
        ("total_duration", &["\"3 days\"", "null"]),
    ];

    /// What a kind's payload has to have, and what it may have.
    fn members(kind: Kind, version: WireVersion) -> (Vec<&'static str>, Vec<&'static str>) {
        let three = version == WireVersion::V3;
        let (must, may): (&[&str], &[&str]) = match kind {
            Kind::StatusChanged if three => (&["wp_id", "from_lane", "to_lane"], &["actor", "policy_metadata"]),
            Kind::StatusChanged => (&["wp_id", "previous_status", "new_status"], &["changed_by"]),
            Kind::Created if three => (&["wp_id", "title", "mission_slug"], &["dependencies"]),
            Kind::Created => (&["wp_id", "title", "feature_slug"], &["dependencies"]),
            Kind::Assigned => (&["wp_id", "agent_id", "phase"], &["retry_count"]),
            Kind::HistoryAdded => (&["wp_id", "entry_type", "entry_content"], &["author"]),
            Kind::DependencyResolved => (&["wp_id", "dependency_wp_id", "resolution_type"], &[]),
            Kind::FeatureCreated if three => (
                &[
                    "mission_slug",
                    "mission_number",
                    "mission_type",
                    "target_branch",
                    "wp_count",
                    "friendly_name",
                    "purpose_tldr",
                    "purpose_context",
                ],
                &["created_at", "mission_id"],
            ),
            Kind::FeatureCreated => (&["feature_slug", "feature_number", "target_branch", "wp_count"], &["created_at"]),
            Kind::FeatureCompleted if three => {
                (&["mission_slug", "total_wps"], &["mission_number", "mission_id", "completed_at"])
            }
            Kind::FeatureCompleted => (&["feature_slug", "total_wps"], &["completed_at", "total_duration"]),
            Kind::ErrorLogged => (&["error_type", "error_message"], &["wp_id", "stack_trace", "agent_id"]),
        };
        let mut may = may.to_vec();
        may.push(if three { "mission_slug" } else { "feature_slug" });
        (must.to_vec(), may)
    }

    /// A choice for everything that is left open.
    #[derive(Clone, Debug)]
    struct Choices(Vec<usize>);

    impl Choices {
        fn any() -> impl Strategy<Value = Choices> {
            proptest::collection::vec(any::<usize>(), 48).prop_map(Choices)
        }

        fn of<T: Copy>(&mut self, all: &[T]) -> T {
            let choice = self.0.pop().unwrap_or_default();
            all[choice % all.len()]
        }

        fn yes(&mut self) -> bool {
            self.of(&[true, false])
        }

        fn value(&mut self, name: &str) -> &'static str {
            let (_, values) = WORDS.iter().find(|(own, _)| *own == name).unwrap();
            self.of(values)
        }

        /// An object with these members, odd ones among them, in one of the ways to write it.
        fn object(&mut self, mut members: Vec<(String, String)>) -> String {
            for _ in 0..self.of(&[0, 0, 1, 2]) {
                let (name, value) = self.of(&ODD);
                if !members.iter().any(|(own, _)| own == name) {
                    let at = self.of(&[0, 1, members.len()]);
                    members.insert(at.min(members.len()), (name.to_owned(), value.to_owned()));
                }
            }
            let (comma, colon) = self.of(&[(",", ":"), (", ", ": "), ("\n,\t", " :")]);
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}{colon}{value}")).collect();
            format!("{{{}}}", members.join(comma))
        }

        fn payload(&mut self, kind: Kind, version: WireVersion) -> String {
            let (must, may) = members(kind, version);
            let mut names = must.clone();
            names.extend(may.iter().filter(|name| !must.contains(name) && self.yes()));
            let members = names.iter().map(|name| (format!("\"{name}\""), self.value(name).to_owned())).collect();
            self.object(members)
        }

        fn envelope(&mut self, version: WireVersion) -> String {
            let kind = self.of(&Kind::ALL);
            let payload = self.payload(kind, version);
            let quoted = |text: &str| format!("\"{text}\"");
            let (aggregate_type, aggregate_id) =
                super::to_wire::aggregate(kind, version, Json::parse(payload.as_bytes()).unwrap());
            let (mut aggregate_type, mut aggregate_id) = (aggregate_type, aggregate_id.into_owned());
            if self.of(&[false, false, false, true]) {
                let other = if version == WireVersion::V1 { "Feature" } else { "Build" };
                (aggregate_type, aggregate_id) = (other, "something else".to_owned());
            }
            let mut members = vec![
                ("event_id", quoted(self.of(&ULIDS))),
                ("event_type", quoted(kind.wire_name(version))),
                ("aggregate_id", quoted(&aggregate_id)),
                ("aggregate_type", quoted(aggregate_type)),
                ("payload", payload),
                ("node_id", quoted(self.of(&["0123456789ab", "alice-laptop"]))),
                ("lamport_clock", (self.of(&["0", "42", "7.0", "1e3", "18446744073709551616"])).to_owned()),
                ("timestamp", quoted(self.of(&TIMES))),
                ("team_slug", quoted(self.of(&["team", "t\\u00e4m"]))),
            ];
            let ulid = |choices: &mut Choices| match choices.yes() {
                true => quoted(choices.of(&ULIDS)),
                false => "null".to_owned(),
            };
            let nullable = |choices: &mut Choices| (choices.of(&["null", "\"x\""])).to_owned();
            let mut optional = vec![("causation_id", ulid(self)), ("project_uuid", nullable(self))];
            optional.push(("project_slug", nullable(self)));
            match version {
                WireVersion::V1 => optional.push(("schema_version", quoted("1.0.0"))),
                WireVersion::V3 => {
                    members.push(("schema_version", quoted(self.of(&["3.0.0", "3.1.0"]))));
                    members.push(("build_id", quoted(self.of(&["", "b-1"]))));
                    optional.push(("correlation_id", ulid(self)));
                    optional.push(("git_branch", nullable(self)));
                }
            }
            members.extend(optional.into_iter().filter(|_| self.yes()));
            self.object(members.into_iter().map(|(name, value)| (format!("\"{name}\""), value)).collect())
        }
    }

    /// A value with its members in order, its numbers as they are written, and its texts as they are read.
    fn canonical(json: Json<'_>) -> String {
        match json.kind() {
            json::Kind::Object => {
                let members: BTreeMap<String, String> =
                    json.entries().map(|(name, value)| (name.into_owned(), canonical(value))).collect();
                format!("{members:?}")
            }
            json::Kind::Array => format!("{:?}", json.items().map(canonical).collect::<Vec<_>>()),
            json::Kind::String => format!("{:?}", json.as_str()),
            _ => json.text().to_owned(),
        }
    }

    fn canonical_text(text: &str) -> String {
        canonical(Json::parse(text.as_bytes()).unwrap())
    }

    fn origin() -> Origin {
        let some = |text: &str| Some(text.to_owned());
        let (project_uuid, project_slug) = (some("0f"), some("shop"));
        Origin {
            team_slug: "ours".into(),
            replaces_team: false,
            project_uuid,
            project_slug,
            build_id: some("b"),
            repo_slug: None,
        }
    }

    /// A value that is right for some member and wrong for others.
    fn any_value() -> impl Strategy<Value = Value> {
        let texts: Vec<&str> = vec![
            "",
            "x",
            "WP01",
            "WP1",
            "WP012",
            "wp01",
            "WP\u{660}\u{661}",
            "WP01\n",
            "planned",
            "doing",
            "genesis",
            "blocked",
            "claimed",
            "Planned",
            "review",
            "note",
            "merged",
            "network",
            "completed",
            "01JDPY4W3ZK8Q0RV5T6X7Y8Z9A",
            "01jdpy4w3zk8q0rv5t6x7y8z9a",
            "01JDPY4W3ZK8Q0RV5T6X7Y8Z9I",
            "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A",
            "1.0.0",
            "3.0.0",
            "1.0",
            "3",
            "3.0.0.0",
            "2.0.0",
            "1..0",
            "01.0.0",
            "001-user-auth",
            "001-",
            "0010-x",
            "001-User",
            "user-auth-01JDPY4W",
            "-01JDPY4W",
            "a--b-01JDPY4W",
            "a-01JDPY4",
            "001",
            "01",
            "0\u{661}1",
            "WPCreated",
            "MissionCreated",
            "FeatureCreated",
            "MissionClosed",
            "wp.created",
            "Feature",
            "Mission",
            "WorkPackage",
            "Build",
            "2025-12-02 15:30:45Z",
            "2025-02-29T15:30:45Z",
            "2025-12-02T24:00:00Z",
            "2025-12-02T15:30:60Z",
            "1990-12-31T15:59:60-08:00",
            "2025-12-02T15:30:45.Z",
            "2025-12-02T15:30:45+0100",
            "2025-12-02T15:30:45+23:59",
            "2025-12-02T15:30:45+24:00",
            "2025-12-02T15:30:45",
            "20\u{e9}5-12-02T15:30:45Z",
            "0000-01-01T00:00:00Z",
        ];
        prop_oneof![
            8 => select(texts).prop_map(Value::from),
            2 => select(&TIMES[..]).prop_map(Value::from),
            1 => "[0-9]{4}-[0-3][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,3})?([Zz]|[+-][0-2][0-9]:[0-9]{2})?"
                .prop_map(Value::from),
            1 => "\\PC{0,6}".prop_map(Value::from),
            3 => select(vec![0.0, -0.0, 1.0, 1.5, -1.0, 1e300, 1e-9]).prop_map(Value::from),
            2 => select(vec![0i64, 1, -1, i64::MAX]).prop_map(Value::from),
            2 => Just(Value::Null),
            1 => any::<bool>().prop_map(Value::from),
            2 => select(vec!["[]", "[\"WP01\"]", "[\"WP01\",\"x\",1,null]", "{}", "{\"a\":1}", "[[]]"])
                .prop_map(|text| serde_json::from_str(text).unwrap()),
        ]
    }

    /// Something else in one place: a member set or taken out, of the envelope or of its payload.
    fn mutation() -> impl Strategy<Value = (bool, &'static str, Option<Value>)> {
        let envelope = vec![
            "event_id",
            "event_type",
            "aggregate_id",
            "aggregate_type",
            "payload",
            "node_id",
            "lamport_clock",
            "timestamp",
            "team_slug",
            "causation_id",
            "schema_version",
            "project_uuid",
            "project_slug",
            "build_id",
            "repo_slug",
            "correlation_id",
            "git_branch",
            "head_commit_sha",
            "odd",
        ];
        let payload: Vec<&'static str> = WORDS.iter().map(|(name, _)| *name).collect();
        let place = prop_oneof![
            2 => select(envelope).prop_map(|name| (false, name)),
            3 => select(payload).prop_map(|name| (true, name)),
        ];
        (place, proptest::option::weighted(0.8, any_value())).prop_map(|((inside, name), value)| (inside, name, value))
    }

    fn mutated(envelope: &str, mutations: &[(bool, &'static str, Option<Value>)]) -> Value {
        let mut value: Value = serde_json::from_str(envelope).unwrap();
        for (inside, name, new) in mutations {
            let mut other = Map::new();
            let object = match inside {
                true => value.get_mut("payload").and_then(Value::as_object_mut).unwrap_or(&mut other),
                false => value.as_object_mut().unwrap(),
            };
            match new {
                Some(new) => drop(object.insert((*name).to_owned(), new.clone())),
                None => drop(object.remove(*name)),
            }
        }
        value
    }

    fn config() -> ProptestConfig {
        ProptestConfig::with_cases(1024)
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn an_envelope_comes_back_as_it_was(mut choices in Choices::any(), three: bool) {
            let version = if three { WireVersion::V3 } else { WireVersion::V1 };
            let text = choices.envelope(version);
            let event = match from_wire(&text, "/p") {
                Ok(event) => event,
                Err(broken) => panic!("{broken:?}: {text}"),
            };
            let back = to_wire(&event, &origin(), version).unwrap();
            prop_assert_eq!(canonical_text(&back), canonical_text(&text), "{}", event.json().text());
            // And what is read again is the same event.
            prop_assert_eq!(canonical(from_wire(&back, "/p").unwrap().json()), canonical(event.json()));
        }

        #[test]
        fn an_event_comes_back_with_all_that_the_wire_can_say(
            mut choices in Choices::any(),
            three: bool,
            lamport: u64,
            team in proptest::option::of("[a-z]{1,4}"),
            cause in proptest::option::of(select(&ULIDS[..])),
        ) {
            let version = if three { WireVersion::V3 } else { WireVersion::V1 };
            let kind = choices.of(&Kind::ALL);
            let context = choices.payload(kind, WireVersion::V1);
            let fields: Map<String, Value> = serde_json::from_str(&context).unwrap();
            let mut draft = draft_of(kind, []);
            for (name, value) in &fields {
                draft = draft.context(name, value.clone());
            }
            if let Some(feature) = fields.get(FEATURE).and_then(Value::as_str) {
                draft = draft.feature(feature);
            }
            if let Some(cause) = cause {
                draft = draft.caused_by(format!("evt_{cause}").parse().unwrap());
            }
            let node = "0123456789ab".parse().unwrap();
            let draft = draft.placed(Causality::Clocked { node, lamport, team: team.clone() });
            let now = Timestamp::from_millis(1_764_689_445_123);
            let event = draft.stamp(EventId::generate(now), now, "/p").unwrap();
            let wire = match to_wire(&event, &origin(), version) {
                Ok(wire) => wire,
                Err(broken) => panic!("{broken:?}: {}", event.json().text()),
            };
            let back = from_wire(&wire, "/p").unwrap();
            prop_assert_eq!(back.id(), event.id());
            prop_assert_eq!(back.kind(), event.kind());
            for name in ["timestamp", "node_id", "lamport_clock", "causation_id", "feature", "project_root"] {
                let (back, own) = (back.json().get(name), event.json().get(name));
                prop_assert_eq!(back.map(canonical), own.map(canonical), "{}", name);
            }
            let sent_to = back.json().get("team_slug").and_then(Json::as_str).map(|team| team.into_owned());
            prop_assert_eq!(sent_to, Some(team.unwrap_or_else(|| "ours".into())));
            if version == WireVersion::V1 {
                prop_assert_eq!(back.context().map(Json::text), event.context().map(Json::text));
            }
            for (name, value) in event.context().unwrap().entries() {
                // A name of version 3 that means something else there cannot be said in it.
                if !["from_lane", "mission_number"].contains(&&*name) {
                    let back = back.context().unwrap().get(&name);
                    prop_assert_eq!(back.map(canonical), Some(canonical(value)), "{}", name);
                }
            }
        }

        #[test]
        fn code_and_schemas_say_the_same(
            mut choices in Choices::any(),
            three: bool,
            mutations in proptest::collection::vec(mutation(), 0..4),
        ) {
            let version = if three { WireVersion::V3 } else { WireVersion::V1 };
            let value = mutated(&choices.envelope(version), &mutations);
            let by_code = from_wire(&value.to_string(), "/p");
            let by_schema = WireVersion::ALL.iter().any(|version| pointers(*version, &value).is_empty());
            prop_assert_eq!(by_code.is_ok(), by_schema, "{}: {:?}", value, by_code);
            if let Err(broken) = by_code {
                let is_three = value["schema_version"].as_str().is_some_and(|own| own.split('.').next() == Some("3"));
                let theirs = pointers(if is_three { WireVersion::V3 } else { WireVersion::V1 }, &value);
                let ours: BTreeSet<String> = broken.iter().map(|violation| violation.pointer.clone()).collect();
                prop_assert!(ours.is_subset(&theirs), "{}: {:?} {:?}", value, ours, theirs);
                let one_version = !ours.contains("/schema_version");
                prop_assert!(!one_version || ours == theirs, "{}: {:?} {:?}", value, ours, theirs);
            }
        }

        #[test]
        fn any_text_is_an_event_or_is_refused(text in "[\\PC]{0,60}") {
            prop_assert!(from_wire(&text, "/p").is_err());
        }
    }

    #[test]
    fn what_no_event_can_hold_is_refused_with_its_place() {
        let told = |text: &str, root: &str| match from_wire(text, root) {
            Ok(event) => event.json().text().to_owned(),
            Err(broken) => broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        let mut choices = Choices(Vec::new());
        let good = choices.envelope(WireVersion::V1);
        assert_eq!(told(&good, "p"), "/project_root: wanted is an absolute path");
        assert_eq!(told("[]", "/p"), "an envelope is a JSON object; this is an array");
        assert!(told("{", "/p").starts_with("line 1, column 2"), "{}", told("{", "/p"));
        assert!(told(r#"{"schema_version":"2.0.0"}"#, "/p").starts_with("/schema_version: a version of the sync wire"));
        let deep = format!(r#"{{"x":{}1{},{}"#, "[".repeat(126), "]".repeat(126), &good[1..]);
        assert!(told(&deep, "/p").contains("nested deeper than 128 levels"));
        let deep = format!(r#"{{"x":{}1{},{}"#, "[".repeat(124), "]".repeat(124), &good[1..]);
        assert!(from_wire(&deep, "/p").is_ok());
    }

    #[test]
    fn what_is_an_envelope_is_told_from_an_event() {
        let is = |text: &str| is_wire(Json::parse(text.as_bytes()).unwrap());
        assert!(is(r#"{"event_type":"MissionClosed","payload":1,"aggregate_id":null}"#));
        assert!(!is(r#"{"event_type":"MissionClosed","payload":{}}"#));
        assert!(!is(r#"{"event_type":"wp.created","payload":{},"aggregate_id":"WP01"}"#));
        assert!(!is("[]"));
    }

    #[test]
    fn an_event_with_metadata_of_its_own_is_checked_all_the_same() {
        let event = |wire: &str| {
            let text = format!(
                r#"{{"event_type":"wp.dependency_resolved","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"1.1","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p","node_id":"n","lamport_clock":1,"context":{{"wp_id":"WP01","dependency_wp_id":"WP02","resolution_type":"merged"}},"metadata":{{"wire":{wire}}}}}"#
            );
            Event::parse(text.into_bytes()).unwrap()
        };
        for wire in ["1", "{}", r#"{"version":"3","envelope":{"team_slug":7}}"#, r#"{"version":"1","envelope":[]}"#] {
            assert!(to_wire(&event(wire), &origin(), WireVersion::V1).is_ok(), "{wire}");
        }
        // What it says of itself twice is said once.
        let twice = event(r#"{"version":"1","envelope":{"event_id":"x","node_id":"x","payload":{},"more":1}}"#);
        let text = to_wire(&twice, &origin(), WireVersion::V1).unwrap();
        assert!(text.contains(r#""node_id":"n""#) && text.ends_with(r#","more":1}"#), "{text}");
        let wrong = event(r#"{"version":"1","envelope":{"aggregate_type":"Galaxy"}}"#);
        assert_eq!(to_wire(&wrong, &origin(), WireVersion::V1).unwrap_err()[0].pointer, "/aggregate_type");
    }
}
