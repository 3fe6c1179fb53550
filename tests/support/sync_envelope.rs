//! What the sync test server accepts as an event: the rules of the contract by hand, and not by the code under test.

use serde_json::Value;

const STATUSES: &[&str] = &["planned", "doing", "for_review", "done"];

/// What is wrong with an envelope, if anything.
pub fn problem(envelope: &Value) -> Option<String> {
    let checks = [
        ("event_id", ulid as fn(&Value) -> bool),
        ("event_type", text),
        ("aggregate_id", text),
        ("aggregate_type", |value| one_of(value, &["WorkPackage", "Feature", "Mission"])),
        ("payload", Value::is_object),
        ("node_id", |value| is(value, |text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))),
        ("lamport_clock", Value::is_u64),
        ("timestamp", date_time),
        ("team_slug", text),
    ];
    for (name, fits) in checks {
        if !fits(&envelope[name]) {
            return Some(format!("/{name}: {}", told(&envelope[name])));
        }
    }
    let causation = &envelope["causation_id"];
    if !causation.is_null() && !ulid(causation) {
        return Some(format!("/causation_id: {}", told(causation)));
    }
    // The later wire has other names, and more lanes; its envelope is all that is looked at.
    if envelope["schema_version"].as_str().is_some_and(|version| version.starts_with("3.")) {
        return None;
    }
    let payload = &envelope["payload"];
    let rules = rules(envelope["event_type"].as_str().unwrap_or_default());
    let Some(rules) = rules else { return Some("/event_type: unknown".into()) };
    let broken = rules.iter().find(|(name, fits)| !fits(&payload[name]));
    broken.map(|(name, _)| format!("/payload/{name}: {}", told(&payload[name])))
}

type Rule = (&'static str, fn(&Value) -> bool);

/// The required fields of a payload.
fn rules(kind: &str) -> Option<&'static [Rule]> {
    Some(match kind {
        "WPStatusChanged" => &[
            ("wp_id", work_package),
            ("previous_status", |value| one_of(value, STATUSES)),
            ("new_status", |value| one_of(value, STATUSES)),
        ],
        "WPCreated" => &[("wp_id", work_package), ("title", text), ("feature_slug", text)],
        "WPAssigned" => &[
            ("wp_id", work_package),
            ("agent_id", text),
            ("phase", |value| one_of(value, &["implementation", "review"])),
        ],
        "FeatureCreated" => &[
            ("feature_slug", text),
            ("feature_number", |value| is(value, |text| text.len() == 3 && text.parse::<u16>().is_ok())),
            ("target_branch", Value::is_string),
            ("wp_count", Value::is_u64),
        ],
        "FeatureCompleted" => &[("feature_slug", text), ("total_wps", Value::is_u64)],
        "HistoryAdded" => &[
            ("wp_id", work_package),
            ("entry_type", |value| one_of(value, &["note", "review", "error", "comment"])),
            ("entry_content", text),
        ],
        "ErrorLogged" => &[
            ("error_type", |value| one_of(value, &["validation", "runtime", "network", "auth", "unknown"])),
            ("error_message", text),
        ],
        "DependencyResolved" => &[
            ("wp_id", work_package),
            ("dependency_wp_id", work_package),
            ("resolution_type", |value| one_of(value, &["completed", "skipped", "merged"])),
        ],
        _ => return None,
    })
}

fn told(value: &Value) -> String {
    if value.is_null() { "missing".into() } else { format!("not allowed: {value}") }
}

fn is(value: &Value, fits: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(fits)
}

fn text(value: &Value) -> bool {
    is(value, |text| !text.is_empty())
}

fn one_of(value: &Value, allowed: &[&str]) -> bool {
    is(value, |text| allowed.contains(&text))
}

fn work_package(value: &Value) -> bool {
    is(value, |text| text.len() == 4 && text.starts_with("WP") && text[2..].bytes().all(|byte| byte.is_ascii_digit()))
}

fn date_time(value: &Value) -> bool {
    is(value, |text| text.parse::<jiff::Timestamp>().is_ok())
}

fn ulid(value: &Value) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    is(value, |text| text.len() == 26 && text.as_bytes()[0] <= b'7' && text.bytes().all(digit))
}
