//! Which hooks run: globs, filters, order, once each.

use crate::support::TestProject;
use serde_json::json;
use std::time::{Duration, Instant};

fn ran(hooks: &str, arguments: &[&str]) -> Vec<String> {
    let project = TestProject::trusted(hooks);
    let document = project.json(&[&["emit"], arguments, &["--json"]].concat());
    let ran = document["results"].as_array().unwrap().iter().filter(|hook| hook["status"] != "disabled");
    ran.map(|hook| hook["hook"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn globs_select_and_file_order_holds() {
    let hooks = "- {name: z, events: [{type: task.*}], command: 'true'}\n\
                 - {name: a, events: [{type: task.completed}, {type: '*.completed'}, {type: '*'}], command: 'true'}\n\
                 - {name: unused, events: [{type: '*'}], command: 'true', enabled: false}\n\
                 - {name: other, events: [{type: 'spec.*'}], command: 'true'}\n\
                 - {name: m, events: [{type: 't?sk.[a-d]*'}], command: 'true'}\n";
    assert_eq!(ran(hooks, &["task.completed"]), ["z", "a", "m"], "each once, in file order");
    assert_eq!(ran(hooks, &["spec.created"]), ["a", "other"]);
}

#[test]
fn filters_of_the_contract_select() {
    let hooks = "- {name: scalar, events: [{type: '*', filter: {status_to: Done}}], command: 'true'}\n\
                 - {name: text-is-no-number, events: [{type: '*', filter: {n: '1'}}], command: 'true'}\n\
                 - {name: number, events: [{type: '*', filter: {n: 1.0}}], command: 'true'}\n\
                 - {name: one-of, events: [{type: '*', filter: {priority: [high, critical]}}], command: 'true'}\n\
                 - {name: any, events: [{type: '*', filter: {labels_any: [backend, x]}}], command: 'true'}\n\
                 - {name: all, events: [{type: '*', filter: {labels_all: [backend, x]}}], command: 'true'}\n\
                 - {name: dotted, events: [{type: '*', filter: {pr.number: 7}}], command: 'true'}\n\
                 - {name: missing, events: [{type: '*', filter: {nope: null}}], command: 'true'}\n";
    let context = [
        "task.status_changed",
        "--context",
        "status_to=Done",
        "--context",
        "n:=1",
        "--context",
        "priority=high",
        "--context",
        r#"labels:=["backend","db"]"#,
        "--context",
        r#"pr:={"number":7}"#,
    ];
    assert_eq!(ran(hooks, &context), ["scalar", "number", "one-of", "any", "dotted"]);
}

#[test]
fn the_older_spelling_pattern_works_and_is_told() {
    let project = TestProject::trusted("- {name: a, events: [{pattern: 'agent.*'}], command: 'true'}\n");
    let validated = project.ok(&["validate"]);
    assert!(validated.stdout.contains("warning: `pattern` is an older spelling of `type`"), "{}", validated.stdout);
    let document = project.json(&["emit", "agent.started", "--json"]);
    assert_eq!(document["results"][0]["hook"], "a");
}

#[test]
fn hostile_patterns_cost_steps_and_not_time() {
    let project = TestProject::new();
    let stars = "*a".repeat(40);
    let file = |part: usize| {
        let patterns = (0..2_000).map(|n| format!("{{wildcard: '{part}{n}*a*a*a'}}")).collect::<Vec<_>>().join(", ");
        format!(
            "version: '1.1'\nhooks:\n- {{name: part-{part}, events: [{{type: '*', filter: {{text: [{{wildcard: '{stars}x'}}, {patterns}]}}}}], command: 'true'}}\n"
        )
    };
    let parts: Vec<String> = (0..5)
        .map(|part| {
            project.file(&format!(".knockon/part-{part}.yaml"), file(part));
            format!("part-{part}.yaml")
        })
        .collect();
    project.config(format!(
        "version: '1.1'\ninclude: [{}]\nhooks:\n- {{name: stars, events: [{{type: '{stars}', filter: {{text: {{wildcard: '{stars}*'}}}}, files: ['{stars}/**/{stars}']}}], command: 'true'}}\n- {{name: fits, events: [{{type: '*', filter: {{text: {{wildcard: '{stars}*b'}}}}}}], command: 'true'}}\n",
        parts.join(", ")
    ));
    project.trust();
    let text = "a".repeat(4_000);
    let path = format!("{text}/{text}b");
    let event = format!(
        r#"{{"event_type":"a.b","context":{{"text":"{text}b"}},"artifacts":[{{"type":"file","path":"{path}"}}]}}"#
    );
    let started = Instant::now();
    let ran = project.run_with_input(&["run", "--json", "--event-file", "-"], event.as_bytes());
    // Whoever tries all ways needs longer than the universe is old.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let names: Vec<&str> =
        document["results"].as_array().unwrap().iter().map(|hook| hook["hook"].as_str().unwrap()).collect();
    assert_eq!(names, ["fits"]);
}

#[test]
fn deep_events_cost_steps_and_not_time() {
    // Two ways at each of 60 levels; only the whole way down through the first of them ends in both values.
    let mut deep = r#"{"x":1,"y":2}"#.to_owned();
    for _ in 0..60 {
        deep = format!(r#"{{"a":[{deep},{{"a":[{{"x":1}},{{"y":2}}]}}]}}"#);
    }
    let path = vec!["a"; 60].join(".");
    let hooks = format!(
        "- {{name: both, events: [{{type: '*', filter: {{{path}.x: 1, {path}.y: 2, {path}.z: {{exists: false}}}}}}], command: 'true'}}\n\
         - {{name: neither, events: [{{type: '*', filter: {{{path}.x: 2, {path}.y: 1}}}}], command: 'true'}}\n"
    );
    let project = TestProject::trusted(&hooks);
    let event = format!(r#"{{"event_type":"a.b","context":{deep}}}"#);
    let started = Instant::now();
    let ran = project.run_with_input(&["run", "--json", "--event-file", "-"], event.as_bytes());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(document["results"].as_array().unwrap().len(), 1, "{}", ran.stderr);
    assert_eq!(document["results"][0]["hook"], "both");
}

#[test]
fn a_value_that_a_list_holds_many_times_is_looked_up_once() {
    let hooks: String = (0..400)
        .map(|n| format!("- {{name: h{n}, events: [{{type: '*', filter: {{labels: a, z: 1}}}}], command: 'true', enabled: {}}}\n", n == 0))
        .collect();
    let project = TestProject::trusted(&hooks.replace("enabled: false", "fail_mode: continue"));
    let seconds = |count: usize| {
        let labels = vec!["\"a\""; count].join(",");
        let event = format!(r#"{{"event_type":"a.b","context":{{"labels":[{labels}],"people":[],"z":2}}}}"#);
        let started = Instant::now();
        let ran = project.run_with_input(&["run", "--json", "--dry-run", "--event-file", "-"], event.as_bytes());
        assert_eq!(ran.code, 0, "{ran:?}");
        started.elapsed()
    };
    // With a look for each it is 400 times 20,000 candidates.
    assert!(seconds(20_000) < Duration::from_secs(10));
}

#[test]
fn files_of_an_event_that_arrives_whole_are_found_by_where_they_are() {
    let project = TestProject::trusted(
        "- name: sources\n  events: [{type: task.completed, files: ['src/**']}]\n  command: echo >> ran\n",
    );
    let root = project.root().display().to_string();
    let link = project.home().join("link");
    std::os::unix::fs::symlink(&root, &link).unwrap();
    std::fs::create_dir_all(project.root().join("src/deep")).unwrap();
    let link = link.display();
    let forms = [
        ("src/a.rs".to_owned(), true),
        (format!("{root}/src/a.rs"), true),
        (format!("{root}//src/../src/./a.rs"), true),
        (format!("{link}/src/a.rs"), true),
        (format!("{link}/src/new/not-there.rs"), true),
        (format!("{link}/docs/a.rs"), false),
        ("../src/a.rs".to_owned(), false),
        ("/src/a.rs".to_owned(), false),
    ];
    for (path, fits) in forms {
        let _ = std::fs::remove_file(project.root().join("ran"));
        let given = json!({ "event_type": "task.completed", "artifacts": [{ "type": "file", "path": path }] });
        let ran = project.ok(&["run", "--payload", &given.to_string(), "--json"]);
        assert_eq!(project.exists("ran"), fits, "{path}");
        assert!(ran.stdout.contains(&format!("\"path\":\"{path}\"")), "its bytes are kept: {}", ran.stdout);
        let is_outside = path.starts_with("../") || path.starts_with("/src");
        assert_eq!(ran.stderr.contains("is outside of the project"), is_outside, "{path}: {}", ran.stderr);
    }
}
