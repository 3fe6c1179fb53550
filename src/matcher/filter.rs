//! A filter: conditions on fields, all of which must hold.

use super::field::FieldPath;
use super::operator::Operator;
use crate::config::{Diagnostic, Key, Node};
use crate::json::Json;
use crate::text::one_line;
use std::fmt;
use std::path::Path;

/// The conditions of one event matcher.
#[derive(Debug)]
pub(super) struct Filter {
    conditions: Vec<(FieldPath, Operator)>,
}

impl Filter {
    /// Reads the entries of `filter:`; what cannot be understood is told in `problems`.
    pub(super) fn compile(path: &Path, entries: &[(Key, Node)], problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = problems.len();
        let mut conditions = Vec::with_capacity(entries.len());
        for (key, wanted) in entries {
            let mut fault = |span, message: String| {
                let message = format!("filter `{}`: {message}", one_line(&key.name));
                problems.push(Diagnostic::error(path, Some(span), "bad-filter", message));
            };
            match Operator::parse(&key.name, wanted) {
                Ok((field, operator)) => match FieldPath::parse(field) {
                    Ok(field) => conditions.push((field, operator)),
                    Err(message) => fault(key.span, message.to_owned()),
                },
                Err((at, message)) => fault(at.span, message),
            }
        }
        (problems.len() == before).then_some(Filter { conditions })
    }

    /// Whether every condition holds for the event.
    pub(super) fn holds(&self, event: Json<'_>, context: Option<Json<'_>>) -> bool {
        self.conditions
            .iter()
            .all(|(field, operator)| field.look_up(event, context).is_some_and(|value| operator.holds(value)))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, operator)) in self.conditions.iter().enumerate() {
            write!(f, "{} {field} {operator}", if index == 0 { " with" } else { " and" })?;
        }
        Ok(())
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
        let context = r#"{"s":"Done","n":1.0,"i":1,"t":true,"z":null,"l":["a","b",3],"pr":{"number":7},"e":[]}"#;
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
            ("{l_any: [x, a]}", true),
            ("{l_any: ['3']}", false),
            ("{l_any: [3]}", true),
            ("{l_all: [a, b]}", true),
            ("{l_all: [a, c]}", false),
            ("{s_any: [Done]}", false),
            ("{s_all: [Done]}", false),
            ("{e_any: [a]}", false),
            ("{pr.number: 7}", true),
            ("{pr.title: x}", false),
            ("{s.deeper: x}", false),
            ("{$.feature: auth}", true),
            ("{$.context.s: Done}", true),
            ("{s: Done, i: 2}", false),
            ("{s: Done, i: 1, l_any: [b]}", true),
        ] {
            let compiled = compile(filter).unwrap();
            assert_eq!(compiled.holds(json, json.get("context")), holds, "{filter}");
        }
    }

    #[test]
    fn says_what_it_cannot_understand_and_where() {
        assert_eq!(
            compile("{s: {prefix: D}}").unwrap_err(),
            "h.yaml:7:17: filter `s`: a string, number, boolean or list of them is wanted, this is a mapping"
        );
        assert_eq!(
            compile("{l_any: a}").unwrap_err(),
            "h.yaml:7:21: filter `l_any`: a list is wanted after `_any`, this is the string \"a\""
        );
        assert!(compile("{a..b: 1}").unwrap_err().contains("no empty part"));
        assert!(compile("{a: []}").unwrap_err().contains("matches nothing"));
    }
}
