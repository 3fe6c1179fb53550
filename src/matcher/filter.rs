//! A filter: conditions that must all hold, and choices of which one must.

use super::condition::{Condition, Test};
use super::field::FieldPath;
use super::operator::Fault;
use super::value::Leaf;
use crate::config::{Diagnostic, Key, Node, Value};
use crate::json::{Json, Kind};
use crate::text::one_line;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The key of a choice.
pub const OR: &str = "$or";

/// The most combinations that the choices of one filter may multiply to.
const MAX_COMBINATIONS: usize = 256;

/// The conditions of one event matcher.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// All of these must hold,
    pub conditions: Vec<Condition>,
    /// and of each of these, one.
    pub choices: Vec<Vec<Filter>>,
}

impl Filter {
    /// Reads the entries of `filter:`; what cannot be understood is told in `problems`.
    pub fn compile(path: &Path, entries: &[(Key, Node)], problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = problems.len();
        let mut told = |key: &Key, fault: Fault| {
            let message = format!("filter `{}`: {}", one_line(&key.name), fault.message);
            let mut problem = Diagnostic::error(path, Some(fault.span), fault.code, message);
            problem.help = fault.help;
            problems.push(problem);
        };
        let filter = Filter::read(entries, &mut told);
        if let (Some((key, node)), true) =
            (entries.iter().find(|(key, _)| key.name == OR), filter.combinations() > MAX_COMBINATIONS)
        {
            let message = format!("the choices multiply to more than {MAX_COMBINATIONS} combinations");
            told(key, Fault::new(node.span, message).help("split it into several entries under `events`"));
        }
        (problems.len() == before).then_some(filter)
    }

    fn read(entries: &[(Key, Node)], told: &mut dyn FnMut(&Key, Fault)) -> Self {
        let mut filter = Filter::default();
        for (key, wanted) in entries {
            if key.name == OR {
                match branches(wanted) {
                    Ok(maps) => filter.choices.push(maps.into_iter().map(|map| Filter::read(map, told)).collect()),
                    Err(fault) => told(key, fault),
                }
                continue;
            }
            match Condition::parse(key, wanted) {
                Ok(condition) => filter.conditions.push(condition),
                Err(fault) => told(key, fault),
            }
        }
        filter
    }

    /// How many ways there are to choose.
    fn combinations(&self) -> usize {
        let ways = |branches: &Vec<Filter>| branches.iter().map(Filter::combinations).fold(0, usize::saturating_add);
        self.choices.iter().map(ways).fold(1, usize::saturating_mul)
    }

    /// Every way to choose, as the conditions that must all hold then.
    pub fn alternatives(&self) -> Vec<Vec<&Condition>> {
        let mut ways: Vec<Vec<&Condition>> = vec![self.conditions.iter().collect()];
        for choice in &self.choices {
            let branches: Vec<Vec<&Condition>> = choice.iter().flat_map(Filter::alternatives).collect();
            ways = ways
                .iter()
                .flat_map(|way| branches.iter().map(move |branch| way.iter().chain(branch).copied().collect()))
                .collect();
        }
        ways
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.choices.is_empty()
    }

    /// Whether an event fulfils it.
    pub fn holds(&self, event: Json<'_>) -> bool {
        self.alternatives()
            .iter()
            .any(|conditions| all_hold(event, conditions.iter().map(|condition| (&condition.field, &condition.test))))
    }
}

/// The mappings of a choice, of which there are at least two.
fn branches(node: &Node) -> Result<Vec<&[(Key, Node)]>, Fault> {
    let help = "write `$or: [{status: Done}, {priority: high}]`";
    let items = match &node.value {
        Value::List(items) if items.len() >= 2 => items,
        Value::List(items) => {
            let message = format!("a choice needs at least two filters, this has {}", items.len());
            return Err(Fault::new(node.span, message).help(help));
        }
        other => {
            let message = format!("a list of filters is wanted, this is {}", other.describe());
            return Err(Fault::new(node.span, message).help(help));
        }
    };
    let maps = items.iter().map(|item| match &item.value {
        Value::Map(entries) if !entries.is_empty() => Ok(entries.as_slice()),
        other => {
            let message = format!("a filter with at least one field is wanted, this is {}", other.describe());
            Err(Fault::new(item.span, message).help(help))
        }
    });
    maps.collect()
}

/// Whether all conditions hold, those on fields of objects in one list within the same object.
///
/// Follows the structure of the event rather than trying combinations of values, so that it takes time in
/// proportion to the event and the conditions.
pub(super) fn all_hold<'c>(event: Json<'_>, conditions: impl IntoIterator<Item = (&'c FieldPath, &'c Test)>) -> bool {
    let mut rest = Branch::default();
    for (field, test) in conditions {
        rest.add(test, field.names());
    }
    rest.holds(event)
}

/// Conditions by the names they have still to go down.
#[derive(Default)]
struct Branch<'c> {
    here: Vec<&'c Test>,
    below: BTreeMap<&'c str, Branch<'c>>,
}

impl<'c> Branch<'c> {
    fn add(&mut self, test: &'c Test, names: impl Iterator<Item = &'c str>) {
        let end = names.fold(self, |branch, name| branch.below.entry(name).or_default());
        end.here.push(test);
    }

    fn holds(&self, value: Json<'_>) -> bool {
        let holds = |test: &&Test| test.holds(value) || (test.takes_absence() && Leaf::all_of(value).is_empty());
        self.here.iter().all(holds) && self.holds_below(value)
    }

    /// Whether it holds where there is nothing.
    fn holds_for_nothing(&self) -> bool {
        self.here.iter().all(|test| test.takes_absence()) && self.below.values().all(Branch::holds_for_nothing)
    }

    fn holds_below(&self, value: Json<'_>) -> bool {
        if self.below.is_empty() {
            return true;
        }
        match value.kind() {
            Kind::Object => self.below.iter().all(|(name, branch)| match value.get(name) {
                Some(value) => branch.holds(value),
                None => branch.holds_for_nothing(),
            }),
            Kind::Array => {
                let mut parts =
                    value.items().filter(|item| matches!(item.kind(), Kind::Object | Kind::Array)).peekable();
                match parts.peek() {
                    Some(_) => parts.any(|item| self.holds_below(item)),
                    None => self.below.values().all(Branch::holds_for_nothing),
                }
            }
            Kind::Null | Kind::Boolean | Kind::Number | Kind::String => {
                self.below.values().all(Branch::holds_for_nothing)
            }
        }
    }
}

impl fmt::Display for Filter {
    /// Reads after "with": `a is 1 and b is 2 and (c is 3 or d is 4)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = self.conditions.iter().map(Condition::to_string);
        let choices = self.choices.iter().map(|choice| {
            let branches: Vec<String> = choice.iter().map(Filter::to_string).collect();
            format!("({})", branches.join(" or "))
        });
        f.write_str(&conditions.chain(choices).collect::<Vec<_>>().join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn compile(filter: &str) -> Result<Filter, String> {
        let yaml = format!(
            "version: '1.0'\nhooks:\n- name: h\n  command: x\n  events:\n  - type: a.b\n    filter: {filter}\n"
        );
        let mut problems = Vec::new();
        let config = parse(Path::new("h.yaml"), yaml.as_bytes(), &mut problems).unwrap();
        let filter = Filter::compile(Path::new("h.yaml"), &config.hooks[0].events[0].filter, &mut problems);
        filter.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn means_what_the_contract_says() {
        let context = r#"{"s":"Done","n":1.0,"i":1,"t":true,"z":null,"l":["a","b",3],"pr":{"number":7},"e":[],
            "x_any":"u","people":[{"first":"Anna","last":"Smith"},{"first":"Bob","last":"Jones","age":7}],"ip":"10.0.0.9"}"#;
        let event = format!(r#"{{"feature":"auth","context":{context}}}"#);
        let json = Json::parse(event.as_bytes()).unwrap();
        for (filter, holds) in [
            ("{}", true),
            ("{s: Done}", true),
            ("{s: done}", false),
            ("{i: 1}", true),
            ("{i: 1.0}", true),
            ("{n: 1}", true),
            ("{i: '1'}", false),
            ("{t: true}", true),
            ("{t: 'true'}", false),
            ("{z: null}", true),
            ("{missing: null}", false),
            ("{missing: x}", false),
            ("{s: [To Do, Done]}", true),
            ("{s: [To Do]}", false),
            ("{i: ['1', 1]}", true),
            ("{l: a}", true),
            ("{l: c}", false),
            ("{l_any: [x, a]}", true),
            ("{l_any: ['3']}", false),
            ("{l_any: [3]}", true),
            ("{l_all: [a, b]}", true),
            ("{l_all: [a, c]}", false),
            ("{s_any: [Done]}", false),
            ("{s_all: [Done]}", false),
            ("{e_any: [a]}", false),
            ("{x_any: {prefix: u}}", true),
            ("{x_any: [{prefix: u}]}", true),
            ("{x_any: [u]}", false),
            ("{pr.number: 7}", true),
            ("{pr.title: x}", false),
            ("{s.deeper: x}", false),
            ("{$.feature: auth}", true),
            ("{$.context.s: Done}", true),
            ("{s: Done, i: 2}", false),
            ("{s: Done, i: 1, l_any: [b]}", true),
            ("{s: {prefix: Do}}", true),
            ("{s: {prefix: {equals-ignore-case: dO}}}", true),
            ("{s: {suffix: ne}}", true),
            ("{s: {suffix: {equals-ignore-case: NE}}}", true),
            ("{s: {equals-ignore-case: dONE}}", true),
            ("{s: {wildcard: 'D*e'}}", true),
            ("{s: {anything-but: Done}}", false),
            ("{s: {anything-but: [x, y]}}", true),
            ("{i: {anything-but: 2}}", true),
            ("{s: {anything-but: {prefix: [X, Do]}}}", false),
            ("{i: {anything-but: {prefix: '1'}}}", true),
            ("{missing: {anything-but: x}}", false),
            ("{l: {anything-but: [a, b]}}", true),
            ("{i: {numeric: ['>=', 1, '<', 2]}}", true),
            ("{i: {numeric: ['>', 1]}}", false),
            ("{s: {numeric: ['>', 1]}}", false),
            ("{s: {exists: true}}", true),
            ("{pr: {exists: true}}", false),
            ("{missing: {exists: false}}", true),
            ("{z: {exists: true}}", true),
            ("{e: {exists: false}}", true),
            ("{missing: [{exists: false}, x]}", true),
            ("{s: [{exists: false}, Done]}", true),
            ("{ip: {cidr: 10.0.0.0/24}}", true),
            ("{s: {cidr: 10.0.0.0/24}}", false),
            ("{i: [{numeric: ['<', 0]}, 1]}", true),
            ("{people.first: Anna, people.middle: {exists: false}}", true),
            ("{people.first: Anna, people.age: {exists: false}}", true),
            ("{people.first: Bob, people.age: {exists: false}}", false),
            ("{people.first: Anna, people.last: Smith}", true),
            ("{people.first: Anna, people.last: Jones}", false),
            ("{people.first: {prefix: A}, people.last: {prefix: J}}", false),
            ("{$or: [{s: x}, {i: 1}]}", true),
            ("{$or: [{s: x}, {i: 2}]}", false),
            ("{s: Done, $or: [{i: 2}, {l_any: [a], t: true}]}", true),
            ("{people.first: Anna, $or: [{people.last: Jones}, {i: 2}]}", false),
            ("{$or: [{s: x}, {$or: [{i: 2}, {t: true}]}]}", true),
        ] {
            let compiled = compile(filter).unwrap();
            assert_eq!(compiled.holds(json), holds, "{filter}");
        }
    }

    #[test]
    fn says_what_it_cannot_understand_and_where() {
        for (filter, wanted) in [
            ("{s: {prefx: D}}", "h.yaml:7:18: filter `s`: `prefx` is no operator; did you mean `prefix`?"),
            (
                "{l_any: a}",
                "h.yaml:7:21: filter `l_any`: a list is wanted after `_any`, this is the string \"a\"; write `l_any: [a, b]`",
            ),
            ("{a..b: 1}", "no empty part"),
            ("{a: []}", "matches nothing"),
            ("{a: {numeric: ['>']}}", "a list of 1"),
            ("{a: {numeric: ['<', 1, '>', 2]}}", "lower bound first"),
            ("{a: {numeric: ['>', 2, '<', 1]}}", "no number is between"),
            ("{a: {exists: 'yes'}}", "true or false is wanted"),
            ("{a: {wildcard: 'x**'}}", "h.yaml:7:31: filter `a`: two stars"),
            ("{a: {cidr: 10.0.0.0/99}}", "0 to 32"),
            ("{a: {anything-but: []}}", "this list is empty"),
            ("{a: {anything-but: {suffx: a}}}", "`anything-but` takes"),
            ("{a: {prefix: a, suffix: b}}", "one operator is wanted"),
            ("{a: [[1]]}", "a list within a list"),
            ("{$or: [{a: 1}]}", "at least two"),
            ("{$or: [{a: 1}, {}]}", "at least one field"),
            ("{pr: {number: 7}}", "`number` is no operator"),
        ] {
            let error = compile(filter).unwrap_err();
            assert!(error.contains(wanted), "{filter}: {error}");
        }
    }
}
