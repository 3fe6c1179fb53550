//! The rules and events that the matcher is measured with.

use knockon::config::{self, Loaded};
use std::fmt::Write as _;
use std::path::Path;

/// What the rules ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    LiteralTypes,
    TypeGlobs,
    EqualityFilters,
    Mix,
}

/// Pattern and filter of rule `n`, whose condition has the number `value`.
pub fn condition(kind: Kind, n: usize, value: usize) -> (String, String) {
    match kind {
        Kind::LiteralTypes => (format!("x{}.completed", letters(value)), "{}".into()),
        Kind::TypeGlobs => (format!("x{}.*", letters(value)), "{}".into()),
        Kind::EqualityFilters => ("task.completed".into(), format!("{{task_id: task-{value}}}")),
        Kind::Mix => match n % 20 {
            0..=10 => (TYPES[n % TYPES.len()].into(), format!("{{task_id: task-{n}}}")),
            11..=14 => (TYPES[n % TYPES.len()].into(), format!("{{feature: feature-{}, step: {}}}", n / 7, n % 7)),
            15..=17 => (format!("x{}.*", letters(n)), "{}".into()),
            18 => (TYPES[n % TYPES.len()].into(), format!("{{labels_any: [label-{n}]}}")),
            _ => (TYPES[n % TYPES.len()].into(), format!("{{path: {{prefix: src/module-{n}/}}}}")),
        },
    }
}

const TYPES: [&str; 7] = [
    "task.completed",
    "task.created",
    "spec.created",
    "plan.created",
    "implement.completed",
    "agent.progress",
    "wp.status_changed",
];

/// An event that fulfils rule `n`.
pub fn event(kind: Kind, n: usize, value: usize) -> String {
    let mut event_type = "task.completed".to_owned();
    let (mut task, mut feature, mut step) = ("none".to_owned(), "none".to_owned(), 9);
    let (mut label, mut path) = ("backend".to_owned(), "docs/readme.md".to_owned());
    match kind {
        Kind::LiteralTypes | Kind::TypeGlobs => event_type = format!("x{}.completed", letters(value)),
        Kind::EqualityFilters => task = format!("task-{value}"),
        Kind::Mix => {
            event_type = TYPES[n % TYPES.len()].into();
            match n % 20 {
                0..=10 => task = format!("task-{n}"),
                11..=14 => (feature, step) = (format!("feature-{}", n / 7), n % 7),
                15..=17 => event_type = format!("x{}.completed", letters(n)),
                18 => label = format!("label-{n}"),
                _ => path = format!("src/module-{n}/lib.rs"),
            }
        }
    }
    format!(
        r#"{{"event_type":"{event_type}","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"1.0","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/home/user/project","context":{{"task_id":"{task}","feature":"{feature}","step":{step},"labels":["{label}","review"],"path":"{path}","agent":"backend-engineer"}},"metadata":{{"cli_version":"0.0.179"}}}}"#
    )
}

/// A number in letters, as event types have no digits.
fn letters(mut number: usize) -> String {
    let mut text = String::new();
    for _ in 0..4 {
        text.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
    }
    text
}

/// Hooks with these patterns and filters, without a file behind them.
pub fn loaded(conditions: &[(String, String)]) -> Loaded {
    let mut hooks = Vec::with_capacity(conditions.len());
    for chunk in conditions.chunks(1_000) {
        let mut text = String::from("version: '1.1'\nhooks:\n");
        for (n, (pattern, filter)) in chunk.iter().enumerate() {
            let _ = writeln!(text, "- {{name: h-{n}, command: x, events: [{{type: '{pattern}', filter: {filter}}}]}}");
        }
        let config = config::parse(Path::new("hooks.yaml"), text.as_bytes(), &mut Vec::new())
            .expect("the bench writes valid files");
        hooks.extend(config.hooks);
    }
    Loaded::without_file(hooks)
}
