//! A rule as an event pattern of Amazon EventBridge, and what of it has no equivalent there.

use super::condition::Test;
use super::filter::{Filter, OR};
use super::operator::{Operator, TextTest};
use super::rule::Rule;
use super::value::Scalar;
use serde_json::{Map, Value, json};

/// A pattern, and where it says something else than the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The pattern.
    pub pattern: Value,
    /// What it says otherwise or not at all, one sentence each.
    pub differences: Vec<String>,
}

/// Writes the rules of one hook, of which one must hold, as one pattern.
pub fn export(rules: &[Rule]) -> Exported {
    let mut differences = Vec::new();
    let mut patterns: Vec<Value> = rules.iter().map(|rule| Value::Object(pattern(rule, &mut differences))).collect();
    let pattern = match patterns.len() {
        1 => patterns.remove(0),
        _ => json!({ OR: patterns }),
    };
    differences.dedup();
    Exported { pattern, differences }
}

fn pattern(rule: &Rule, differences: &mut Vec<String>) -> Map<String, Value> {
    let mut pattern = Map::new();
    let kind = rule.kind.to_string();
    let kind = match (rule.kind.literal(), kind.strip_suffix('*')) {
        (Some(literal), _) => json!([literal]),
        (None, _) if kind.contains(['?', '[']) => {
            differences
                .push(format!("the type `{kind}` has `?` or `[...]`, which no pattern can say; it takes every type"));
            json!([{"exists": true}])
        }
        (None, Some("")) => json!([{"exists": true}]),
        (None, Some(prefix)) if !prefix.contains('*') => json!([{"prefix": prefix}]),
        (None, _) => json!([{"wildcard": kind}]),
    };
    pattern.insert("event_type".into(), kind);
    add_filter(&rule.filter, &mut pattern, differences);
    if let Some(files) = &rule.files {
        differences
            .push(format!("`files` ({files}) has no equivalent: `*` crosses folders there; it takes every file"));
    }
    pattern
}

fn add_filter(filter: &Filter, pattern: &mut Map<String, Value>, differences: &mut Vec<String>) {
    for condition in &filter.conditions {
        let field = condition.field.of_event();
        let Some(wanted) = wanted(&field, &condition.test, differences) else { continue };
        if !insert(pattern, &condition.field.names().collect::<Vec<_>>(), wanted) {
            differences.push(format!("a second condition on `{field}` is left out: a pattern has one for each field"));
        }
    }
    for choice in &filter.choices {
        let branches: Vec<Value> = choice
            .iter()
            .map(|branch| {
                let mut inner = Map::new();
                add_filter(branch, &mut inner, differences);
                Value::Object(inner)
            })
            .collect();
        if pattern.contains_key(OR) {
            differences.push("a second `$or` is left out: a pattern has one at each level".into());
        } else {
            pattern.insert(OR.into(), Value::Array(branches));
        }
    }
}

/// Puts a condition at its path. Returns false when another is there or on the way.
fn insert(pattern: &mut Map<String, Value>, names: &[&str], wanted: Value) -> bool {
    match names {
        [] => false,
        [last] if pattern.contains_key(*last) => false,
        [last] => pattern.insert((*last).to_owned(), wanted).is_none(),
        [first, rest @ ..] => match pattern.entry((*first).to_owned()).or_insert_with(|| json!({})) {
            Value::Object(inner) => insert(inner, rest, wanted),
            _ => false,
        },
    }
}

fn wanted(field: &str, test: &Test, differences: &mut Vec<String>) -> Option<Value> {
    let values = |wanted: &[Scalar]| Value::Array(wanted.iter().map(value).collect());
    match test {
        Test::Is(_) | Test::OneOf(_) => {
            let written: Vec<Value> =
                test.operators().iter().filter_map(|operator| written(field, operator, differences)).collect();
            (!written.is_empty()).then_some(Value::Array(written))
        }
        Test::SharesAny(wanted) => {
            differences.push(format!("`{field}` may be a single value there; `_any` wants a list"));
            Some(values(wanted))
        }
        Test::HasAll(wanted) if wanted.len() == 1 => {
            differences.push(format!("`{field}` may be a single value there; `_all` wants a list"));
            Some(values(wanted))
        }
        Test::HasAll(wanted) => {
            differences.push(format!("`_all` on `{field}` has no equivalent: the pattern asks for one of the values"));
            Some(values(wanted))
        }
    }
}

fn written(field: &str, operator: &Operator, differences: &mut Vec<String>) -> Option<Value> {
    Some(match operator {
        Operator::Equals(scalar) => value(scalar),
        Operator::Text(test) => {
            let (name, wanted) = text_test(test);
            json!({ name: wanted })
        }
        Operator::AnythingBut(unwanted) => {
            let texts = unwanted.iter().filter(|scalar| matches!(scalar, Scalar::Text(_))).count();
            let numbers = unwanted.iter().filter(|scalar| matches!(scalar, Scalar::Number(_))).count();
            if texts != unwanted.len() && numbers != unwanted.len() {
                differences
                    .push(format!("`anything-but` on `{field}` is left out: it takes either strings or numbers there"));
                return None;
            }
            json!({"anything-but": unwanted.iter().map(value).collect::<Vec<_>>()})
        }
        Operator::AnythingButText(tests) => {
            let written: Vec<(&str, Value)> = tests.iter().map(text_test).collect();
            let (name, _) = written.first()?;
            let wanted: Vec<&Value> = written.iter().map(|(_, wanted)| wanted).collect();
            let wanted = if let [one] = wanted[..] { one.clone() } else { json!(wanted) };
            json!({"anything-but": { *name: wanted }})
        }
        Operator::Numeric(bounds) => {
            let flat = bounds.iter().flat_map(|(sign, bound)| [json!(sign.as_str()), number(*bound)]);
            json!({"numeric": flat.collect::<Vec<_>>()})
        }
        Operator::Exists(exists) => json!({"exists": exists}),
        Operator::Cidr(network) => json!({"cidr": network.to_string()}),
    })
}

fn text_test(test: &TextTest) -> (&'static str, Value) {
    match test {
        TextTest::Prefix(text) => ("prefix", json!(text)),
        TextTest::PrefixIgnoreCase(text) => ("prefix", json!({"equals-ignore-case": text})),
        TextTest::Suffix(text) => ("suffix", json!(text)),
        TextTest::SuffixIgnoreCase(text) => ("suffix", json!({"equals-ignore-case": text})),
        TextTest::EqualsIgnoreCase(text) => ("equals-ignore-case", json!(text)),
        TextTest::Wildcard(wildcard) => ("wildcard", json!(wildcard.to_string())),
    }
}

fn value(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => json!(value),
        Scalar::Number(value) => number(*value),
        Scalar::Text(text) => json!(text),
    }
}

/// Whole numbers are written without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}
