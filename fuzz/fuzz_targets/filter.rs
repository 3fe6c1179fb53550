//! A filter and a context: the index finds what the rule by itself holds for, and explaining says the same.
//!
//! The input is the filter as YAML, a NUL, and the context as JSON.

#![no_main]

use knockon::config::{Loaded, parse};
use knockon::matcher::{Matcher, Rule, explain, export};
use knockon::Event;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((filter, context)) = text.split_once('\0') else { return };
    let head = "version: '1.1'\nhooks:\n- name: h\n  command: x\n  events:\n  - type: task.*\n    filter:\n";
    let mut config = head.to_owned();
    for line in filter.lines() {
        config.push_str("      ");
        config.push_str(line);
        config.push('\n');
    }
    let mut problems = Vec::new();
    let Some(config) = parse(Path::new("hooks.yaml"), config.as_bytes(), &mut problems) else { return };
    let loaded = Loaded::without_file(config.hooks);
    let (matcher, problems) = Matcher::compile(&loaded);
    for problem in &problems {
        assert!(!problem.to_string().contains('\n'));
    }
    let event = format!(
        r#"{{"event_type":"task.completed","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A","schema_version":"1.0","timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p","context":{context}}}"#
    );
    let Ok(event) = Event::parse(event.into_bytes()) else { return };
    let found = !matcher.matches(&event).is_empty();
    for entry in loaded.hooks.iter().flat_map(|hook| &hook.hook.events) {
        let Some(rule) = Rule::compile(&loaded.files[0], entry, &mut Vec::new()) else { continue };
        let holds = rule.holds(&event);
        assert_eq!(explain(&rule, &event).matched, holds);
        assert!(found || !holds, "the index misses {rule}");
        assert!(!found || holds || loaded.hooks.len() > 1, "the index finds too much for {rule}");
        let _ = export(std::slice::from_ref(&rule));
    }
});
