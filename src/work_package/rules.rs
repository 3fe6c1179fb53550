//! What a payload and an envelope must keep, as typed code; a test holds it against the published JSON Schemas.

use super::date_time::is_date_time;
use super::words::is_lane;
use super::{EntryType, ErrorType, Kind, Phase, Resolution, Status, Violation, WireVersion};
use crate::json::{self, Json};

/// What the value of a member must be.
#[derive(Clone, Copy)]
enum Rule {
    Text,
    /// With at least one character.
    NonEmpty,
    NullableText,
    OneOf(&'static [&'static str]),
    /// `WP` and two digits.
    WpId,
    WpIds,
    /// A whole number from 0 on, also written as `1.0`.
    Count,
    NullableCount,
    DateTime,
    FeatureSlug,
    FeatureNumber,
    /// As a feature's, or words and eight characters of a ULID.
    MissionSlug,
    /// A lane a move can begin in.
    FromLane,
    /// A lane a move can end in: all but `genesis`.
    ToLane,
    Object,
    NullableObject,
    Ulid,
    NullableUlid,
    /// A version with this major.
    Version(&'static str),
    EventName(WireVersion),
    /// Must not be there.
    Never,
}

use Rule::{
    Count, DateTime, EventName, FeatureNumber, FeatureSlug, FromLane, MissionSlug, Never, NonEmpty, NullableCount,
    NullableObject, NullableText, NullableUlid, Object, OneOf, Text, ToLane, Ulid, Version, WpId, WpIds,
};

/// A member, its rule, and whether it has to be there.
struct Member {
    name: &'static str,
    rule: Rule,
    required: bool,
}

const fn must(name: &'static str, rule: Rule) -> Member {
    Member { name, rule, required: true }
}

const fn may(name: &'static str, rule: Rule) -> Member {
    Member { name, rule, required: false }
}

/// The members of the payload of a kind that have rules.
fn payload(kind: Kind, version: WireVersion) -> &'static [Member] {
    match (kind, version) {
        (Kind::StatusChanged, WireVersion::V1) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("previous_status", OneOf(Status::WORDS)),
                    must("new_status", OneOf(Status::WORDS)),
                    may("changed_by", Text),
                    may("feature_slug", NullableText),
                ]
            }
        }
        (Kind::StatusChanged, WireVersion::V3) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("from_lane", FromLane),
                    must("to_lane", ToLane),
                    may("actor", NullableText),
                    may("mission_slug", NullableText),
                    may("policy_metadata", NullableObject),
                ]
            }
        }
        (Kind::Created, WireVersion::V1) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("title", NonEmpty),
                    must("feature_slug", NonEmpty),
                    may("dependencies", WpIds),
                ]
            }
        }
        (Kind::Created, WireVersion::V3) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("title", NonEmpty),
                    must("mission_slug", NonEmpty),
                    may("dependencies", WpIds),
                ]
            }
        }
        (Kind::Assigned, _) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("agent_id", NonEmpty),
                    must("phase", OneOf(Phase::WORDS)),
                    may("retry_count", Count),
                ]
            }
        }
        (Kind::HistoryAdded, WireVersion::V1) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("entry_type", OneOf(EntryType::WORDS)),
                    must("entry_content", NonEmpty),
                    may("author", Text),
                ]
            }
        }
        (Kind::HistoryAdded, WireVersion::V3) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("entry_type", OneOf(EntryType::WORDS)),
                    must("entry_content", NonEmpty),
                    may("author", NullableText),
                ]
            }
        }
        (Kind::DependencyResolved, _) => {
            const {
                &[
                    must("wp_id", WpId),
                    must("dependency_wp_id", WpId),
                    must("resolution_type", OneOf(Resolution::WORDS)),
                ]
            }
        }
        (Kind::FeatureCreated, WireVersion::V1) => {
            const {
                &[
                    must("feature_slug", FeatureSlug),
                    must("feature_number", FeatureNumber),
                    must("target_branch", Text),
                    must("wp_count", Count),
                    may("created_at", DateTime),
                ]
            }
        }
        (Kind::FeatureCreated, WireVersion::V3) => {
            const {
                &[
                    must("mission_slug", MissionSlug),
                    must("mission_number", NullableCount),
                    must("mission_type", NonEmpty),
                    must("target_branch", NonEmpty),
                    must("wp_count", Count),
                    must("friendly_name", NonEmpty),
                    must("purpose_tldr", NonEmpty),
                    must("purpose_context", NonEmpty),
                    may("mission_id", NullableText),
                    may("created_at", DateTime),
                    may("feature_slug", Never),
                    may("feature_number", Never),
                ]
            }
        }
        (Kind::FeatureCompleted, WireVersion::V1) => {
            const {
                &[
                    must("feature_slug", NonEmpty),
                    must("total_wps", Count),
                    may("completed_at", DateTime),
                    may("total_duration", NullableText),
                ]
            }
        }
        (Kind::FeatureCompleted, WireVersion::V3) => {
            const {
                &[
                    must("mission_slug", NonEmpty),
                    must("total_wps", Count),
                    may("mission_number", NullableCount),
                    may("mission_type", NonEmpty),
                    may("completed_at", DateTime),
                    may("total_duration", NullableText),
                    may("mission_id", NullableText),
                    may("feature_slug", Never),
                    may("feature_number", Never),
                ]
            }
        }
        (Kind::ErrorLogged, _) => {
            const {
                &[
                    must("error_type", OneOf(ErrorType::WORDS)),
                    must("error_message", NonEmpty),
                    may("wp_id", NullableText),
                    may("stack_trace", NullableText),
                    may("agent_id", NullableText),
                ]
            }
        }
    }
}

/// The members of the envelope that have rules.
fn envelope(version: WireVersion) -> &'static [Member] {
    match version {
        WireVersion::V1 => {
            const {
                &[
                    must("event_id", Ulid),
                    must("event_type", EventName(WireVersion::V1)),
                    must("aggregate_id", NonEmpty),
                    must("aggregate_type", OneOf(&["WorkPackage", "Feature"])),
                    must("payload", Object),
                    must("node_id", NonEmpty),
                    must("lamport_clock", Count),
                    must("timestamp", DateTime),
                    must("team_slug", NonEmpty),
                    may("causation_id", NullableUlid),
                    may("schema_version", Version("1")),
                    may("project_uuid", NullableText),
                    may("project_slug", NullableText),
                ]
            }
        }
        WireVersion::V3 => {
            const {
                &[
                    must("event_id", Ulid),
                    must("event_type", EventName(WireVersion::V3)),
                    must("aggregate_id", NonEmpty),
                    must("aggregate_type", OneOf(&["WorkPackage", "Mission", "Build", "MissionDossier"])),
                    must("schema_version", Version("3")),
                    must("build_id", Text),
                    must("payload", Object),
                    must("node_id", NonEmpty),
                    must("lamport_clock", Count),
                    must("timestamp", DateTime),
                    must("team_slug", NonEmpty),
                    may("causation_id", NullableUlid),
                    may("correlation_id", NullableUlid),
                    may("project_uuid", NullableText),
                    may("project_slug", NullableText),
                    may("repo_slug", NullableText),
                    may("git_branch", NullableText),
                    may("head_commit_sha", NullableText),
                ]
            }
        }
    }
}

/// Checks the context of an event of ours against the rules of its payload (version 1 of the wire, whose names are
/// ours); nothing is wrong when the list is empty. Pointers are those of the payload: `/payload/wp_id`.
///
/// ```
/// use knockon::json::Json;
/// use knockon::work_package::{Kind, check};
///
/// let context = Json::parse(br#"{"wp_id": "WP1", "dependency_wp_id": "WP02"}"#)?;
/// let problems: Vec<String> = check(Kind::DependencyResolved, context).iter().map(ToString::to_string).collect();
/// assert_eq!(problems, [
///     "/payload/wp_id: wanted is `WP` and two digits, such as WP01",
///     "/payload: the required member `resolution_type` is missing",
/// ]);
/// # Ok::<(), knockon::json::JsonError>(())
/// ```
pub fn check(kind: Kind, context: Json<'_>) -> Vec<Violation> {
    let mut broken = Vec::new();
    check_object(payload(kind, WireVersion::V1), context, "/payload", &mut broken);
    broken
}

/// Checks a whole envelope, its payload included.
pub(super) fn check_envelope(version: WireVersion, json: Json<'_>) -> Vec<Violation> {
    let mut broken = Vec::new();
    check_object(envelope(version), json, "", &mut broken);
    let name = json.get("event_type").and_then(Json::as_str);
    let kind = name.and_then(|name| Kind::named(&name, version));
    if let (Some(kind), Some(given)) = (kind, json.get("payload"))
        && given.kind() == json::Kind::Object
    {
        check_object(payload(kind, version), given, "/payload", &mut broken);
    }
    broken
}

fn check_object(members: &[Member], object: Json<'_>, at: &str, broken: &mut Vec<Violation>) {
    if object.kind() != json::Kind::Object {
        broken.push(Violation::new(at, format!("an object is wanted, this is {}", object.kind())));
        return;
    }
    // A table has far fewer members than the mask has bits.
    let mut seen = 0u32;
    for (name, value) in object.entries() {
        let Some(index) = members.iter().position(|member| member.name == name) else { continue };
        seen |= 1 << index;
        check_member(&members[index], value, at, broken);
    }
    for (index, member) in members.iter().enumerate() {
        if member.required && seen & (1 << index) == 0 {
            broken.push(Violation::new(at, format!("the required member `{}` is missing", member.name)));
        }
    }
}

fn check_member(member: &Member, value: Json<'_>, at: &str, broken: &mut Vec<Violation>) {
    if let (WpIds, json::Kind::Array) = (member.rule, value.kind()) {
        for (index, item) in value.items().enumerate().filter(|(_, item)| !WpId.holds(*item)) {
            let pointer = format!("{at}/{}/{index}", member.name);
            broken.push(Violation::new(pointer, format!("{}{}", WpId.wanted(), but(item))));
        }
    } else if !member.rule.holds(value) {
        let pointer = format!("{at}/{}", member.name);
        broken.push(Violation::new(pointer, format!("{}{}", member.rule.wanted(), but(value))));
    }
}

/// What a value is, where that is what is wrong with it.
fn but(value: Json<'_>) -> String {
    match value.kind() {
        json::Kind::String => String::new(),
        kind => format!("; this is {kind}"),
    }
}

impl Rule {
    fn holds(self, value: Json<'_>) -> bool {
        let text = |holds: &dyn Fn(&str) -> bool| value.as_str().is_some_and(|text| holds(&text));
        let is_null = value.kind() == json::Kind::Null;
        match self {
            Text => value.kind() == json::Kind::String,
            NonEmpty => text(&|text| !text.is_empty()),
            NullableText => is_null || value.kind() == json::Kind::String,
            OneOf(words) => text(&|text| words.contains(&text)),
            WpId => text(&is_wp_id),
            // Its items have been looked at one by one.
            WpIds => value.kind() == json::Kind::Array,
            Count => is_count(value),
            NullableCount => is_null || is_count(value),
            DateTime => text(&is_date_time),
            FeatureSlug => text(&is_feature_slug),
            FeatureNumber => text(&|text| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit())),
            MissionSlug => text(&|text| is_feature_slug(text) || is_mission_slug(text)),
            FromLane => text(&is_lane),
            ToLane => text(&|text| is_lane(text) && text != "genesis"),
            Object => value.kind() == json::Kind::Object,
            NullableObject => is_null || value.kind() == json::Kind::Object,
            Ulid => text(&is_ulid),
            NullableUlid => is_null || text(&is_ulid),
            Version(major) => text(&|text| is_version(text, major)),
            EventName(version) => text(&|text| Kind::named(text, version).is_some()),
            Never => false,
        }
    }

    fn wanted(self) -> String {
        match self {
            Text => "a text is wanted".into(),
            NonEmpty => "a text that is not empty is wanted".into(),
            NullableText => "a text or null is wanted".into(),
            OneOf(words) => format!("wanted is one of {}", words.join(", ")),
            WpId => "wanted is `WP` and two digits, such as WP01".into(),
            WpIds => "a list of work packages is wanted".into(),
            Count => "a whole number from 0 on is wanted".into(),
            NullableCount => "a whole number from 0 on, or null, is wanted".into(),
            DateTime => "a time of RFC 3339 is wanted, such as 2025-12-02T15:30:45.123Z".into(),
            FeatureSlug => "wanted are three digits, `-`, and a name of a-z, 0-9 and `-`, such as 001-user-auth".into(),
            FeatureNumber => "wanted are three digits, such as 001".into(),
            MissionSlug => "wanted is a mission's name, such as 001-user-auth or user-auth-01JDPY4W".into(),
            FromLane | ToLane => "a lane is wanted, such as planned, in_progress, for_review or done".into(),
            Object => "an object is wanted".into(),
            NullableObject => "an object or null is wanted".into(),
            Ulid => "a ULID is wanted: 26 characters of 0-9 and A-Z without I, L, O and U".into(),
            NullableUlid => "a ULID or null is wanted: 26 characters of 0-9 and A-Z without I, L, O and U".into(),
            Version(major) => format!("a version {major}.x.y is wanted"),
            EventName(version) => {
                let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.wire_name(version)).collect();
                format!("wanted is one of {}", names.join(", "))
            }
            Never => "wire 3.0 has missions in place of features: this member must not be there".into(),
        }
    }
}

fn is_wp_id(text: &str) -> bool {
    matches!(text.as_bytes(), [b'W', b'P', ten, one] if ten.is_ascii_digit() && one.is_ascii_digit())
}

/// As JSON Schema counts integers: no fraction, or one of zeros.
fn is_count(value: Json<'_>) -> bool {
    value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

pub(super) fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(is_crockford)
}

fn is_crockford(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z')
}

fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// `^\d{3}-[a-z0-9-]+$`
fn is_feature_slug(text: &str) -> bool {
    let Some((number, name)) = text.split_at_checked(3) else { return false };
    number.bytes().all(|byte| byte.is_ascii_digit()) && name.strip_prefix('-').is_some_and(is_slug)
}

/// Words and eight characters of a ULID, all joined by `-`.
fn is_mission_slug(text: &str) -> bool {
    let Some((words, id)) = text.rsplit_once('-') else { return false };
    id.len() == 8 && id.bytes().all(is_crockford) && words.split('-').all(|word| !word.is_empty() && is_slug(word))
}

/// `<major>.<minor>.<patch>`
fn is_version(text: &str, major: &str) -> bool {
    let mut parts = text.split('.');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next() == Some(major)
        && parts.next().is_some_and(digits)
        && parts.next().is_some_and(digits)
        && parts.next().is_none()
}
