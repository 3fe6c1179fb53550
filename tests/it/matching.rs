//! Which hooks run: globs, filters, order, once each.

use crate::support::TestProject;

fn ran(hooks: &str, arguments: &[&str]) -> Vec<String> {
    let project = TestProject::trusted(hooks);
    let document = project.json(&[&["emit"], arguments, &["--json"]].concat());
    let names = document["results"].as_array().unwrap().iter().map(|hook| hook["hook"].as_str().unwrap().to_owned());
    names.collect()
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
