//! The published rules of Amazon EventBridge's event patterns, as cases: a pattern, an event, and whether
//! they match. Each case names the public page or file that states its rule.

use knockon::Event;
use knockon::config::{Loaded, parse};
use knockon::json::{Json, Kind};
use knockon::matcher::{Matcher, Rule, explain, export};
use std::path::Path;

const CASES: &[u8] = include_bytes!("fixtures/eventbridge/cases.json");
const REFUSED: &[u8] = include_bytes!("fixtures/eventbridge/refused.json");

/// A pattern as a filter in YAML: fields by their path from the event. A second choice goes into each
/// branch of the first, as a filter has one.
fn filter(pattern: Json<'_>, above: &str) -> String {
    let (mut fields, mut choices) = (Vec::new(), Vec::new());
    collect(pattern, above, &mut fields, &mut choices);
    let choice = choices.into_iter().rev().fold(String::new(), |inner: String, branches: Vec<String>| {
        let with_inner = |branch: &String| match inner.as_str() {
            "" => format!("{{{branch}}}"),
            inner => format!("{{{branch}, {inner}}}"),
        };
        format!("$or: [{}]", branches.iter().map(with_inner).collect::<Vec<_>>().join(", "))
    });
    fields.extend(Some(choice).filter(|choice| !choice.is_empty()));
    fields.join(", ")
}

fn collect(pattern: Json<'_>, above: &str, fields: &mut Vec<String>, choices: &mut Vec<Vec<String>>) {
    for (name, value) in pattern.entries() {
        let path = format!("{above}{name}");
        match value.kind() {
            Kind::Array if name == "$or" => {
                choices.push(value.items().map(|branch| filter(branch, above)).collect());
            }
            Kind::Object => collect(value, &format!("{path}."), fields, choices),
            _ => fields.push(format!("{}: {}", serde_json::to_string(&path).unwrap(), value.text())),
        }
    }
}

fn load(pattern: Json<'_>) -> Result<Loaded, String> {
    let yaml = format!(
        "version: '1.1'\nhooks:\n- name: h\n  command: x\n  events:\n  - type: '*'\n    filter: {{{}}}\n",
        filter(pattern, "$.")
    );
    let mut problems = Vec::new();
    let config = parse(Path::new("hooks.yaml"), yaml.as_bytes(), &mut problems);
    let hooks = config.ok_or_else(|| format!("{yaml}{problems:?}"))?.hooks;
    Ok(Loaded::without_file(hooks))
}

/// An event with the members of the case.
fn event(members: Json<'_>) -> Event {
    let inner = members.text().trim().trim_start_matches('{').trim_end().strip_suffix('}').unwrap();
    let comma = if members.entries().next().is_some() { "," } else { "" };
    let text = format!(
        r#"{{"event_type":"a.b","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"1.0","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p"{comma}{inner}}}"#
    );
    Event::parse(text.into_bytes()).unwrap()
}

#[test]
fn the_published_rules_hold() {
    let cases = Json::parse(CASES).unwrap();
    let mut wrong = Vec::new();
    for (number, case) in cases.items().enumerate() {
        let (pattern, wanted) = (case.get("pattern").unwrap(), case.get("matches").unwrap().as_bool().unwrap());
        let rule_name = case.get("rule").unwrap().as_str().unwrap().into_owned();
        let loaded = match load(pattern) {
            Ok(loaded) => loaded,
            Err(error) => {
                wrong.push(format!("{number} {rule_name}: {error}"));
                continue;
            }
        };
        let event = event(case.get("event").unwrap());
        let (matcher, problems) = Matcher::compile(&loaded);
        if !problems.is_empty() {
            wrong.push(format!("{number} {rule_name}: {}", problems[0]));
            continue;
        }
        let rule = Rule::compile(&loaded.files[0], &loaded.hooks[0].hook.events[0], &mut Vec::new()).unwrap();
        let by_index = !matcher.matches(&event).is_empty();
        let explained = explain(&rule, &event).matched;
        if (by_index, rule.holds(&event), explained) != (wanted, wanted, wanted) {
            wrong.push(format!(
                "{number} {rule_name}: wanted {wanted}, index {by_index}, rule {}, explained {explained}\n  {}\n  {}",
                rule.holds(&event),
                pattern.text(),
                case.get("event").unwrap().text()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_the_service_refuses_is_refused_here() {
    let mut accepted = Vec::new();
    for case in Json::parse(REFUSED).unwrap().items() {
        let pattern = case.get("pattern").unwrap();
        let refused = match load(pattern) {
            Err(_) => true,
            Ok(loaded) => !Matcher::compile(&loaded).1.is_empty(),
        };
        if !refused {
            accepted.push(format!("{}: {}", case.get("rule").unwrap().text(), pattern.text()));
        }
    }
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
}

#[test]
fn a_filter_leaves_as_the_pattern_it_came_from() {
    for pattern in [
        r#"{"context":{"priority":["high",3,null,true],"title":[{"prefix":"a"}],"pr":{"number":[{"numeric":[">=",1,"<",9]}]}}}"#,
        r#"{"feature":[{"anything-but":["a","b"]}],"$or":[{"context":{"a":[{"exists":false}]}},{"context":{"b":[{"cidr":"10.0.0.0/8"}]}}]}"#,
        r#"{"context":{"a":[{"suffix":{"equals-ignore-case":"x"}}],"b":[{"anything-but":{"prefix":["p","q"]}}],"c":[{"wildcard":"a*\\*b"}]}}"#,
    ] {
        let loaded = load(Json::parse(pattern.as_bytes()).unwrap()).unwrap();
        let rule = Rule::compile(&loaded.files[0], &loaded.hooks[0].hook.events[0], &mut Vec::new()).unwrap();
        let exported = export(std::slice::from_ref(&rule));
        let mut wanted: serde_json::Value = serde_json::from_str(pattern).unwrap();
        wanted["event_type"] = serde_json::json!([{"exists": true}]);
        assert_eq!(exported.pattern, wanted);
        assert!(exported.differences.is_empty());
    }
}
