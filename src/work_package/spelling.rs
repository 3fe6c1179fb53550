//! The payloads of version 3 in our words, and ours in theirs. Version 1 has our words.

use super::words::is_lane;
use super::{Kind, Status};
use crate::json::{self, Json, ObjectText};
use std::borrow::Cow;

/// A member that version 3 calls otherwise.
struct Renamed {
    ours: &'static str,
    theirs: &'static str,
    value: Value,
}

/// What becomes of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Same,
    /// A status here, a lane there. The lane stays beside the status where it says more.
    Lane,
    /// Three digits here, a number there.
    Number,
}

const fn renamed(ours: &'static str, theirs: &'static str, value: Value) -> Renamed {
    Renamed { ours, theirs, value }
}

fn table(kind: Kind) -> &'static [Renamed] {
    match kind {
        Kind::StatusChanged => {
            const {
                &[
                    renamed("previous_status", "from_lane", Value::Lane),
                    renamed("new_status", "to_lane", Value::Lane),
                    renamed("changed_by", "actor", Value::Same),
                    renamed("feature_slug", "mission_slug", Value::Same),
                ]
            }
        }
        Kind::FeatureCreated | Kind::FeatureCompleted => {
            const {
                &[
                    renamed("feature_slug", "mission_slug", Value::Same),
                    renamed("feature_number", "mission_number", Value::Number),
                ]
            }
        }
        _ => const { &[renamed("feature_slug", "mission_slug", Value::Same)] },
    }
}

/// What version 3 wants of every mission when nothing else is said.
const MISSION_TYPE: &str = "software-dev";

type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

fn find<'a>(members: &Members<'a>, name: &str) -> Option<Json<'a>> {
    members.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
}

/// The payload of version 3 that says what a context says.
pub(super) fn to_mission(kind: Kind, context: Json<'_>) -> String {
    let table = table(kind);
    let members: Members<'_> = context.entries().collect();
    let mut out = ObjectText::new(context.text().len() + 160);
    for (name, value) in &members {
        if let Some(row) = table.iter().find(|row| row.ours == name) {
            match (row.value, value.as_str()) {
                (Value::Lane, Some(status)) => {
                    out.string(row.theirs, lane_of(&status, find(&members, row.theirs)).as_ref());
                }
                (Value::Number, Some(digits)) => match number_of(&digits) {
                    Some(number) => out.raw(row.theirs, &number.to_string()),
                    None => out.raw(row.theirs, value.text()),
                },
                _ => out.raw(row.theirs, value.text()),
            }
        } else if !table.iter().any(|row| row.theirs == name && find(&members, row.ours).is_some()) {
            out.raw(name, value.text());
        }
    }
    if kind.is_of_feature() {
        complete(kind, &members, &mut out);
    }
    out.end()
}

/// Adds what version 3 wants of a mission and we do not ask for, as its own emitter does.
fn complete(kind: Kind, members: &Members<'_>, out: &mut ObjectText) {
    let text = |name: &str| find(members, name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let lacks = |name: &str| find(members, name).is_none();
    let slug = text("feature_slug").or_else(|| text("mission_slug")).unwrap_or_default();
    if lacks("feature_number") && lacks("mission_number") {
        match slug.split_once('-').and_then(|(digits, _)| number_of(digits)) {
            Some(number) => out.raw("mission_number", &number.to_string()),
            None => out.raw("mission_number", "null"),
        }
    }
    if lacks("mission_type") {
        out.string("mission_type", MISSION_TYPE);
    }
    if kind == Kind::FeatureCompleted {
        return;
    }
    let words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    let name = text("friendly_name").unwrap_or_else(|| match words.is_empty() {
        true => "Mission".into(),
        false => words.join(" ").into(),
    });
    let branch = text("target_branch").unwrap_or_default();
    for (member, value) in [
        ("friendly_name", name.clone()),
        ("purpose_tldr", name.clone()),
        ("purpose_context", format!("{name}, on {branch}").into()),
    ] {
        if lacks(member) {
            out.string(member, &value);
        }
    }
}

/// Three digits as a number.
fn number_of(digits: &str) -> Option<u16> {
    (digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// The lane for a status: the one that was given beside it where it says the same, or says that work has stopped.
fn lane_of<'a>(status: &'a str, given: Option<Json<'a>>) -> Cow<'a, str> {
    let known = status.parse::<Status>().ok();
    let fits = |lane: &Cow<'_, str>| is_lane(lane) && Status::of_lane(lane).is_none_or(|of| Some(of) == known);
    match (given.and_then(Json::as_str).filter(fits), known) {
        (Some(lane), _) => lane,
        (None, Some(status)) => status.lane().into(),
        // The rules of the payload say what is wrong with it.
        (None, None) => status.into(),
    }
}

/// The context that says what a checked payload of version 3 says.
pub(super) fn from_mission(kind: Kind, payload: Json<'_>) -> String {
    let table = table(kind);
    let members: Members<'_> = payload.entries().collect();
    let lane = |name: &str| find(&members, name).and_then(Json::as_str);
    let status = |name: &str| lane(name).and_then(|lane| Status::of_lane(&lane));
    let mut out = ObjectText::new(payload.text().len() + 64);
    for (name, value) in &members {
        let is_null = value.kind() == json::Kind::Null;
        if let Some(row) = table.iter().find(|row| row.theirs == name) {
            let number = value.text().parse::<u16>().ok().filter(|number| *number < 1000);
            match (row.value, value.as_str(), number) {
                (Value::Lane, Some(lane), _) => {
                    // Where work has stopped, the other side of the move says where it stood.
                    let other = if row.ours == "new_status" { "from_lane" } else { "to_lane" };
                    let of = Status::of_lane(&lane).or_else(|| status(other)).unwrap_or(Status::Planned);
                    out.string(row.ours, of.as_str());
                    if lane != of.lane() {
                        out.raw(row.theirs, value.text());
                    }
                }
                (Value::Number, _, Some(number)) => out.string(row.ours, &format!("{number:03}")),
                (Value::Number, _, None) => out.raw(row.theirs, value.text()),
                // Nobody in particular: ours leaves that out.
                _ if row.ours == "changed_by" && is_null => {}
                _ => out.raw(row.ours, value.text()),
            }
            continue;
        }
        let is_nobody = name == "author" && is_null;
        let is_renamed = table.iter().any(|row| row.ours == name && find(&members, row.theirs).is_some());
        if !is_nobody && !is_renamed {
            out.raw(name, value.text());
        }
    }
    out.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(kind: Kind, theirs: &str) -> String {
        let json = Json::parse(theirs.as_bytes()).unwrap();
        let ours = from_mission(kind, json);
        assert_eq!(to_mission(kind, Json::parse(ours.as_bytes()).unwrap()), theirs);
        ours
    }

    #[test]
    fn a_move_keeps_its_lanes() {
        assert_eq!(
            both(Kind::StatusChanged, r#"{"wp_id":"WP01","from_lane":"planned","to_lane":"in_progress","actor":"a"}"#),
            r#"{"wp_id":"WP01","previous_status":"planned","new_status":"doing","changed_by":"a"}"#
        );
        assert_eq!(
            both(Kind::StatusChanged, r#"{"from_lane":"claimed","to_lane":"approved"}"#),
            r#"{"previous_status":"doing","from_lane":"claimed","new_status":"for_review","to_lane":"approved"}"#
        );
        assert_eq!(
            both(Kind::StatusChanged, r#"{"from_lane":"blocked","to_lane":"done"}"#),
            r#"{"previous_status":"done","from_lane":"blocked","new_status":"done"}"#
        );
        assert_eq!(
            both(Kind::StatusChanged, r#"{"from_lane":"blocked","to_lane":"canceled"}"#),
            r#"{"previous_status":"planned","from_lane":"blocked","new_status":"planned","to_lane":"canceled"}"#
        );
    }

    #[test]
    fn every_status_has_its_lane() {
        for status in Status::WORDS {
            let ours = format!(r#"{{"previous_status":"{status}","new_status":"done","from_lane":"nonsense"}}"#);
            let lane = status.parse::<Status>().unwrap().lane();
            let theirs = to_mission(Kind::StatusChanged, Json::parse(ours.as_bytes()).unwrap());
            assert_eq!(theirs, format!(r#"{{"from_lane":"{lane}","to_lane":"done"}}"#));
        }
    }

    #[test]
    fn a_feature_is_a_mission_with_what_missions_need() {
        let ours = r#"{"feature_slug":"001-user-auth","feature_number":"001","target_branch":"main","wp_count":7}"#;
        let theirs = to_mission(Kind::FeatureCreated, Json::parse(ours.as_bytes()).unwrap());
        assert_eq!(
            theirs,
            r#"{"mission_slug":"001-user-auth","mission_number":1,"target_branch":"main","wp_count":7,"mission_type":"software-dev","friendly_name":"001 user auth","purpose_tldr":"001 user auth","purpose_context":"001 user auth, on main"}"#
        );
        assert_eq!(
            both(Kind::FeatureCreated, &theirs),
            ours.replace('}', &theirs[theirs.find(",\"mission_type").unwrap()..])
        );
        let done = r#"{"feature_slug":"user-auth","total_wps":7}"#;
        assert_eq!(
            to_mission(Kind::FeatureCompleted, Json::parse(done.as_bytes()).unwrap()),
            r#"{"mission_slug":"user-auth","total_wps":7,"mission_number":null,"mission_type":"software-dev"}"#
        );
    }
}
