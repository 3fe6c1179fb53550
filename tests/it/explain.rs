//! `explain`, `emit --explain`, `graph`, `config`: why a hook did or did not run, and what holds.

use crate::support::{TestProject, stable};
use serde_json::json;

fn project() -> TestProject {
    TestProject::trusted(
        "- {name: urgent, events: [{type: task.*, filter: {priority: [high, critical]}}], command: 'exit 2'}\n\
         - {name: quiet, enabled: false, events: [{type: '*'}], command: 'true'}\n\
         - {name: specs, events: [{type: spec.created}], command: 'true'}\n",
    )
}

#[test]
fn names_the_first_condition_that_failed_with_both_values() {
    let project = project();
    let ran = project.ok(&["explain", "task.completed", "--context", "priority=medium"]);
    assert_eq!(
        ran.stdout,
        "task.completed\n  ✗ urgent  `context.priority` is \"medium\", wanted one of \"high\", \"critical\"\n  \
         - quiet   matches, and does not run: it is switched off: `enabled: false`\n  \
         ✗ specs   the type is `task.completed`, wanted `spec.created`\n"
    );
    assert!(!project.hooks_folder().join("audit.log").exists(), "nothing is run or recorded");
    let near = project.ok(&["explain", "task.completed", "--context", "priorty=high", "urgent"]).stdout;
    assert!(near.contains("`context.priority` is missing"), "{near}");
    assert!(near.contains("hint: the event has `context.priorty`"), "{near}");
    assert!(near.contains("✓ the type is `task.completed`, wanted `task.*`"), "{near}");
}

#[test]
fn says_what_stands_in_the_way_of_a_hook_that_matches() {
    let project = project();
    project.ok(&["untrust"]);
    let shown = project.ok(&["explain", "spec.created", "specs"]).stdout;
    assert!(shown.contains("- specs   matches, and does not run: its content is not trusted yet"), "{shown}");
    project.hooks("- {name: waits, events: [{type: '*'}], command: 'true', after: [first]}\n- {name: first, events: [{type: '*'}], webhook: {url: 'https://example.com'}}\n");
    project.trust();
    let shown = project.ok(&["explain", "spec.created"]).stdout;
    assert!(shown.contains("it waits for `first`"), "{shown}");
    assert!(shown.contains("`webhook` comes with knockon 0.3; until then the hook is skipped"), "{shown}");
}

#[test]
fn answers_as_data() {
    let project = project();
    let event = project.file("event.json", r#"{"event_type":"task.created","context":{"priority":"low"}}"#);
    let document = project.json(&["explain", "--event-file", event.to_str().unwrap(), "--json", "urgent"]);
    assert_eq!(document["hooks"].as_array().unwrap().len(), 1);
    let hook = &document["hooks"][0];
    assert_eq!((hook["matched"].as_bool(), hook["would_run"].as_bool()), (Some(false), Some(false)));
    assert_eq!(
        hook["failed"],
        json!({"subject": "`context.priority`", "wanted": "one of \"high\", \"critical\"", "actual": "is \"low\"", "holds": false, "hint": null})
    );
    assert_eq!(project.run(&["explain"]).code, 2);
    let unknown = project.run(&["explain", "task.created", "urgnt"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("did you mean `urgent`?"), "{}", unknown.stderr);
}

#[test]
fn an_event_of_the_past_is_explained_with_what_became_of_it() {
    let project = project();
    let emitted = project.json(&["emit", "task.completed", "--context", "priority=high", "--json"]);
    let id = emitted["event"]["event_id"].as_str().unwrap();
    let shown = project.ok(&["explain", id, "urgent"]).stdout;
    assert!(shown.contains("✓ urgent  matches task.* with priority is one of \"high\", \"critical\""), "{shown}");
    assert!(shown.contains("then: failed, exit code 2"), "{shown}");
    assert!(
        shown.contains("a syntax error in bash and a usage error of Python's argparse exit with 2 as well"),
        "{shown}"
    );
    let document = project.json(&["explain", id, "--json"]);
    assert_eq!(document["hooks"][0]["runs"][0]["exit_code"], 2.0);
    let missing = project.run(&["explain", "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("the audit log has no event"), "{}", missing.stderr);
}

#[test]
fn emit_explains_while_it_runs() {
    let project = project();
    let ran = project.ok(&["emit", "spec.created", "--explain"]);
    assert!(
        ran.stdout.contains("✓ specs") && ran.stdout.contains("✗ urgent  the type is `spec.created`"),
        "{}",
        ran.stdout
    );
    let document = project.json(&["emit", "spec.created", "--explain", "--json"]);
    assert_eq!(document["explained"].as_array().unwrap().len(), 3);
    let dry = project.json(&["emit", "spec.created", "--explain", "--json", "--dry-run"]);
    assert_eq!(dry["explained"][2]["matched"], true);
}

#[test]
fn list_shows_which_canonical_events_a_hook_would_get() {
    let project = project();
    let shown = project.ok(&["list", "--verbose"]).stdout;
    assert!(shown.contains("gets: every canonical event\n"), "{shown}");
    assert!(shown.contains("gets: spec.created\n"), "{shown}");
    assert!(shown.contains("task.archived, where the filter holds\n"), "{shown}");
    assert_eq!(project.json(&["list", "--json"])["hooks"][2]["canonical_events"], json!(["spec.created"]));
}

#[test]
fn what_comes_later_is_told_when_the_hook_runs() {
    let project = TestProject::trusted("- {name: told, events: [{type: '*'}], notify: {title: hello}}\n");
    let ran = project.run(&["emit", "spec.created"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("`notify` comes with knockon 0.3; until then the hook is skipped"), "{}", ran.stdout);
    assert_eq!(project.audit_story(), ["emitted", "told started", "told skipped"]);
}

#[test]
fn config_show_prints_the_merged_result_and_where_it_came_from() {
    let project = TestProject::new();
    project.config("version: '1.1'\ndefaults: {timeout: 9, env: {A: '1'}}\nhooks:\n- {name: a, events: [{type: '*'}], command: x, env: {B: '2'}}\n");
    project.file(".knockon/hooks.local.yaml", "version: '1.1'\nhooks: [{name: a, enabled: false}]\n");
    let shown = stable(&project.ok(&["config", "show", "--origin"]).stdout, &project);
    assert_eq!(
        shown,
        "# /project/.knockon/hooks.yaml\n# /project/.knockon/hooks.local.yaml\n- name: a  # hooks.yaml:4\n  \
         events: [{type: \"*\"}]  # hooks.yaml:4\n  command: x  # hooks.yaml:4\n  timeout: 9  # hooks.yaml:2, defaults\n  \
         working_directory: .  # built in\n  shell: /bin/bash  # built in\n  env.B: \"2\"  # hooks.yaml:4\n  \
         env.A: \"1\"  # hooks.yaml:2, defaults\n  fail_mode: continue  # built in\n  \
         enabled: false  # hooks.local.yaml:2\n  sandbox: base  # built in\n"
    );
    let document = project.json(&["config", "show", "--json"]);
    assert_eq!(document["hooks"][0]["timeout"]["value"], "9");
    assert_eq!(document["hooks"][0]["timeout"]["origin"]["line"], 2);
    assert_eq!(document["hooks"][0]["shell"]["origin"], json!(null));
}

#[test]
fn config_export_writes_a_pattern_and_says_what_has_no_equivalent() {
    let project = TestProject::trusted(
        "- {name: a, events: [{type: task.completed, filter: {priority: [high], labels_all: [x, w]}}, {type: 't?sk.*', files: ['src/**']}], command: x}\n",
    );
    let ran = project.ok(&["config", "export", "--eventbridge", "a"]);
    let pattern: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        pattern,
        json!({"$or": [
            {"event_type": ["task.completed"], "context": {"priority": ["high"], "labels": ["x", "w"]}},
            {"event_type": [{"exists": true}]},
        ]})
    );
    for words in
        ["`_all` on `context.labels` has no equivalent", "`t?sk.*` has `?`", "`files` (src/**) has no equivalent"]
    {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn graph_draws_text_and_a_picture() {
    let project = project();
    let mermaid = project.ok(&["graph"]).stdout;
    assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains("e0 -. filter .-> h0"), "{mermaid}");
    project.ok(&["graph", "-o", "hooks.svg"]);
    let svg = project.read("hooks.svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.contains(">urgent</text>"), "{svg}");
    let checked =
        project.program("python3", &["-c", "import xml.dom.minidom as m; m.parse('hooks.svg')"]).status().unwrap();
    assert!(checked.success());
}

#[test]
fn a_past_event_tells_of_hooks_that_are_gone_and_takes_no_fields() {
    let project = TestProject::trusted(
        "- {name: stays, events: [{type: '*'}], command: 'true'}\n- {name: gone, events: [{type: '*'}], command: 'exit 9'}\n",
    );
    project.ok(&["emit", "spec.created"]);
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    project.hooks("- {name: stays, events: [{type: 'pr.*'}], command: 'true'}\n");
    let shown = project.ok(&["explain", &id]).stdout;
    assert!(shown.contains("? gone  is not in the configuration any more\n      then: failed, exit code 9"), "{shown}");
    assert!(shown.contains("the hooks have changed since: it matched then"), "{shown}");
    let document = project.json(&["explain", &id, "--json"]);
    assert_eq!(
        (&document["gone"][0]["hook"], &document["gone"][0]["runs"][0]["exit_code"]),
        (&json!("gone"), &json!(9))
    );
    let event = project.file("event.json", "{\"event_type\":\"a.b\"}");
    for arguments in [
        &["explain", &id, "--context", "a=1"][..],
        &["explain", "--event-file", event.to_str().unwrap(), "--spec-id", "x"],
    ] {
        let ran = project.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains("would change nothing"), "{ran:?}");
    }
}

#[test]
fn an_error_in_the_users_own_file_takes_nothing_from_the_project() {
    let project = TestProject::trusted("- {name: fine, events: [{type: '*'}], command: 'true'}\n");
    let own = project.home().join(".config/knockon");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("hooks.yaml"), "version: '1.1'\nhoks: []\n").unwrap();
    for arguments in [&["explain", "a.b"][..], &["list"], &["test"], &["graph"]] {
        let ran = project.ok(arguments);
        assert!(ran.stderr.contains("`hoks` is no key of the file"), "{arguments:?}: {ran:?}");
    }
    assert!(project.ok(&["explain", "a.b"]).stdout.contains("✓ fine"));
    project.config("version: '1.1'\nhoks: []\n");
    assert_eq!(project.run(&["explain", "a.b"]).code, 2);
}

#[test]
fn a_hook_that_an_error_disables_is_not_left_out() {
    let project = TestProject::new();
    project.hooks("- {name: good, events: [{type: a.b}], command: 'true'}\n- {name: bad, events: [{type: a.b}], comand: 'true'}\n");
    project.trust();
    let ran = project.ok(&["explain", "a.b"]);
    assert!(ran.stdout.contains("! bad  does not run: ") && ran.stdout.contains("`comand`"), "{}", ran.stdout);
    assert_eq!(project.json(&["explain", "a.b", "--json"])["invalid"][0]["hook"], "bad");
}
