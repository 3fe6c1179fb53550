//! Why a rule holds for an event or does not: each thing it asks for, what the event has, and what was
//! nearly right.

use super::condition::{Condition, Test};
use super::field::FieldPath;
use super::files::place_in;
use super::filter::Filter;
use super::operator::{Operator, TextTest, fold, listed};
use super::rule::Rule;
use super::value::{Leaf, Scalar};
use crate::event::{Event, artifact_path};
use crate::json::{Json, Kind};
use crate::text::{nearest, one_line, shorten};

/// One thing a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is looked at: `the type`, `context.priority`, `the files`.
    pub subject: String,
    /// What the rule wants there.
    pub wanted: String,
    /// What the event has there.
    pub actual: String,
    /// Whether the two agree.
    pub holds: bool,
    /// What may have been meant.
    pub hint: Option<String>,
}

/// Everything one rule asks for, in the order it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the rule holds.
    pub matched: bool,
    /// What it asks for. Behind a type that does not fit nothing more is looked at.
    pub checks: Vec<Check>,
}

impl Explanation {
    /// The first thing that is not as wanted.
    pub fn failed(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.holds)
    }

    /// How far the event came: how many checks held before the first that did not.
    pub fn progress(&self) -> usize {
        self.checks.iter().take_while(|check| check.holds).count()
    }
}

impl std::fmt::Display for Check {
    /// `context.priority is "medium", wanted one of "high", "critical"`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}, wanted {}", self.subject, self.actual, self.wanted)
    }
}

/// Looks at each thing that `rule` asks for.
pub fn explain(rule: &Rule, event: &Event) -> Explanation {
    let kind = event.kind().as_str();
    let fits = rule.kind.matches(kind);
    let near = rule.kind.literal().filter(|_| !fits).and_then(|wanted| nearest(kind, [wanted]));
    let mut checks = vec![Check {
        subject: "the type".into(),
        wanted: format!("`{}`", rule.kind),
        actual: format!("is `{kind}`"),
        holds: fits,
        hint: near.map(|near| format!("`{near}` is near, and it is another type")),
    }];
    if fits {
        explain_filter(&rule.filter, event.json(), &mut checks);
        if checks.iter().all(|check| check.holds) && !rule.filter.holds(event.json()) {
            checks.push(Check {
                subject: "each condition".into(),
                wanted: "that they hold for the same object of a list".into(),
                actual: "holds on its own".into(),
                holds: false,
                hint: Some("conditions on several fields of objects in a list must hold within one of them".into()),
            });
        }
        checks.extend(rule.files.as_ref().map(|files| {
            let artifacts = event.json().get("artifacts").map(|artifacts| artifacts.items().collect::<Vec<_>>());
            let paths = artifacts.unwrap_or_default().into_iter().filter_map(artifact_path);
            let root = event.json().get("project_root").and_then(Json::as_str).unwrap_or_default();
            let paths: Vec<String> = paths.map(|path| place_in(&path, &root).into_owned()).collect();
            Check {
                subject: "the files".into(),
                wanted: format!("one that fits {files}"),
                actual: match paths.as_slice() {
                    [] => "are missing: the event has no artifacts".into(),
                    paths => format!("are {}", shorten(&one_line(&paths.join(", ")), 80)),
                },
                holds: files.hold(event.json()),
                hint: paths.is_empty().then(|| "give them with `--file PATH`".to_owned()),
            }
        }));
    }
    Explanation { matched: checks.iter().all(|check| check.holds), checks }
}

fn explain_filter(filter: &Filter, event: Json<'_>, checks: &mut Vec<Check>) {
    checks.extend(filter.conditions.iter().map(|condition| explain_condition(condition, event)));
    for choice in &filter.choices {
        let branches = choice.iter().map(|branch| {
            let mut checks = Vec::new();
            explain_filter(branch, event, &mut checks);
            checks
        });
        let branches: Vec<Vec<Check>> = branches.collect();
        let holds = branches.iter().any(|checks| checks.iter().all(|check| check.holds));
        let missed: Vec<String> = branches
            .iter()
            .filter_map(|checks| checks.iter().find(|check| !check.holds))
            .map(Check::to_string)
            .collect();
        checks.push(Check {
            subject: "the choice".into(),
            wanted: choice.iter().map(|branch| format!("({branch})")).collect::<Vec<_>>().join(" or "),
            actual: if holds { "holds".into() } else { format!("fails in each branch: {}", missed.join("; ")) },
            holds,
            hint: None,
        });
    }
}

fn explain_condition(condition: &Condition, event: Json<'_>) -> Check {
    let values = condition.field.values(event);
    let holds = condition.holds(event);
    Check {
        subject: format!("`{}`", condition.field.of_event()),
        wanted: wanted(&condition.test),
        actual: actual(&values),
        hint: if holds { None } else { hint(condition, &values, event) },
        holds,
    }
}

fn wanted(test: &Test) -> String {
    match test {
        Test::Is(operator) => operator.to_string(),
        Test::OneOf(operators) => format!("one of {}", listed(operators)),
        Test::SharesAny(wanted) => format!("a list with any of {}", listed(wanted)),
        Test::HasAll(wanted) => format!("a list with all of {}", listed(wanted)),
    }
}

fn actual(values: &[Json<'_>]) -> String {
    let texts: Vec<String> = values.iter().map(|value| one_line(&shorten(value.text(), 60))).collect();
    match texts.as_slice() {
        [] => "is missing".into(),
        [one] => format!("is {one}"),
        several => format!("has {}", shorten(&several.join(", "), 80)),
    }
}

fn hint(condition: &Condition, values: &[Json<'_>], event: Json<'_>) -> Option<String> {
    if values.is_empty() {
        return missing(&condition.field, event);
    }
    let leaves: Vec<Leaf<'_>> = values.iter().flat_map(|value| Leaf::all_of(*value)).collect();
    let is = |kind: Kind| values.iter().all(|value| value.kind() == kind);
    match &condition.test {
        Test::SharesAny(_) | Test::HasAll(_) if !values.iter().any(|value| value.kind() == Kind::Array) => {
            Some(format!("this is no list; for a single value write `{}: [..]`", condition.field))
        }
        Test::SharesAny(_) | Test::HasAll(_) => None,
        Test::Is(_) | Test::OneOf(_) if is(Kind::Object) => {
            Some("this is an object; a condition is on one of its fields, written with dots".into())
        }
        Test::Is(_) | Test::OneOf(_) => {
            let operators = condition.test.operators().iter();
            operators.flat_map(|operator| leaves.iter().filter_map(|leaf| near_miss(operator, leaf))).next()
        }
    }
}

/// The parent's nearest field, or the same name at the event itself.
fn missing(path: &FieldPath, event: Json<'_>) -> Option<String> {
    let names: Vec<&str> = path.names().collect();
    let (last, parents) = names.split_last()?;
    let parent = parents.iter().try_fold(event, |value, name| value.get(name))?;
    let names: Vec<String> = parent.entries().map(|(name, _)| name.into_owned()).collect();
    if let Some(near) = nearest(last, names.iter().map(String::as_str)) {
        let full: Vec<&str> = parents.iter().copied().chain([near]).collect();
        return Some(format!("the event has `{}`", one_line(&full.join("."))));
    }
    let at_root = parents == ["context"] && event.get(last).is_some();
    at_root.then(|| format!("the event itself has `{last}`: write `$.{last}`"))
}

fn near_miss(operator: &Operator, leaf: &Leaf<'_>) -> Option<String> {
    match (operator, leaf) {
        (Operator::Equals(Scalar::Text(wanted)), Leaf::Text(value)) if fold(wanted) == fold(value) => {
            Some("they differ in case alone; `equals-ignore-case` does not mind".into())
        }
        (Operator::Equals(Scalar::Text(wanted)), Leaf::Text(value)) if wanted.trim() == value.trim() => {
            Some("they differ in white space alone".into())
        }
        (Operator::Equals(Scalar::Text(wanted)), Leaf::Number(value)) if wanted.parse() == Ok(*value) => {
            Some("a string is never equal to a number; write it without quotes".into())
        }
        (Operator::Equals(Scalar::Text(wanted)), Leaf::Boolean(value)) if *wanted == value.to_string() => {
            Some("a string is never equal to a boolean; write it without quotes".into())
        }
        (Operator::Equals(Scalar::Number(wanted)), Leaf::Text(value)) if value.parse() == Ok(*wanted) => {
            Some("a number is never equal to a string; write it in quotes".into())
        }
        (Operator::Equals(Scalar::Boolean(wanted)), Leaf::Text(value)) if *value == wanted.to_string() => {
            Some("a boolean is never equal to a string; write it in quotes".into())
        }
        (Operator::Numeric(_), Leaf::Text(_)) => Some("`numeric` sees numbers only, and this is a string".into()),
        (Operator::Text(TextTest::Prefix(wanted)), Leaf::Text(value)) if fold(value).starts_with(&fold(wanted)) => {
            Some("it does in another case: `prefix: {equals-ignore-case: …}`".into())
        }
        (Operator::Text(TextTest::Suffix(wanted)), Leaf::Text(value)) if fold(value).ends_with(&fold(wanted)) => {
            Some("it does in another case: `suffix: {equals-ignore-case: …}`".into())
        }
        (Operator::Text(_) | Operator::Cidr(_), Leaf::Number(_) | Leaf::Boolean(_) | Leaf::Null) => {
            Some("this operator sees strings only".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::TypeGlob;

    fn sentence(context: &str, filter: &str) -> String {
        let event = format!(
            r#"{{"event_type":"task.completed","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"1.0","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p","feature":"auth","context":{context}}}"#
        );
        let event = Event::parse(event.into_bytes()).unwrap();
        let yaml =
            format!("version: '1.0'\nhooks: [{{name: h, command: x, events: [{{type: a.b, filter: {filter}}}]}}]");
        let path = std::path::Path::new("h.yaml");
        let config = crate::config::parse(path, yaml.as_bytes(), &mut Vec::new()).unwrap();
        let filter = Filter::compile(path, &config.hooks[0].events[0].filter, &mut Vec::new()).unwrap();
        let rule = Rule { kind: TypeGlob::parse("task.*").unwrap(), filter, files: None };
        let explanation = explain(&rule, &event);
        assert_eq!(explanation.matched, rule.holds(&event));
        let failed = explanation.failed().unwrap();
        format!("{failed}; {}", failed.hint.clone().unwrap_or_default())
    }

    #[test]
    fn names_the_near_miss() {
        for (context, filter, wanted) in [
            (
                r#"{"priority":"medium"}"#,
                "{priority: [high, critical]}",
                "`context.priority` is \"medium\", wanted one of \"high\", \"critical\"; ",
            ),
            (
                r#"{"priorty":1}"#,
                "{priority: 1}",
                "`context.priority` is missing, wanted 1; the event has `context.priorty`",
            ),
            (
                "{}",
                "{feature: auth}",
                "`context.feature` is missing, wanted \"auth\"; the event itself has `feature`: write `$.feature`",
            ),
            (r#"{"s":"done"}"#, "{s: Done}", "they differ in case alone"),
            (r#"{"n":"1"}"#, "{n: 1}", "write it in quotes"),
            (r#"{"n":1}"#, "{n: '1'}", "write it without quotes"),
            (r#"{"l":"a"}"#, "{l_any: [a]}", "this is no list"),
            (r#"{"o":{"a":1}}"#, "{o: 1}", "this is an object"),
            (r#"{"n":"7"}"#, "{n: {numeric: ['>', 1]}}", "`numeric` sees numbers only"),
            (
                r#"{"p":[{"f":"Anna","l":"Smith"},{"f":"Bob","l":"Jones"}]}"#,
                "{p.f: Anna, p.l: Jones}",
                "the same object of a list",
            ),
            (
                r#"{"a":1}"#,
                "{$or: [{a: 2}, {b: 1}]}",
                "fails in each branch: `context.a` is 1, wanted 2; `context.b` is missing",
            ),
        ] {
            let sentence = sentence(context, filter);
            assert!(sentence.contains(wanted), "{filter}: {sentence}");
        }
    }
}
