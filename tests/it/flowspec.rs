//! The flows of flowspec's hooks quick-start guide, as written there, with `knockon` for `flowspec hooks`.

use crate::support::{TestProject, write};

#[test]
fn the_quick_start_guide_works_as_written() {
    let project = TestProject::bare();
    std::fs::create_dir(project.root().join(".flowspec")).unwrap();
    project.ok(&["init"]);
    let config = project.root().join(".flowspec/hooks/hooks.yaml");
    let off = "  - name: run-tests\n    enabled: false\n";
    let on = "  - name: run-tests\n    enabled: true\n";
    let text = project.read(".flowspec/hooks/hooks.yaml").replacen(off, on, 1);
    write(&config, text, 0o644);
    write(
        &project.root().join(".flowspec/hooks/run-tests.sh"),
        "#!/bin/bash\nset -e\necho \"Running test suite...\"\necho \"Tests completed successfully\"\n",
        0o755,
    );
    project.ok(&["validate"]);
    project.trust();

    let tested = project.ok(&["test", "run-tests", "implement.completed"]);
    assert!(tested.stdout.contains("Tests completed successfully"), "{}", tested.stdout);
    project.ok(&["emit", "spec.created", "--spec-id", "my-feature"]);
    project.ok(&["emit", "task.completed", "--task-id", "task-123", "--spec-id", "my-feature"]);
    let dry = project.ok(&["emit", "implement.completed", "--spec-id", "auth", "--dry-run"]);
    assert!(dry.stdout.contains("run-tests would run"), "{}", dry.stdout);
    let document = project.json(&["emit", "spec.created", "--spec-id", "test", "--json"]);
    assert_eq!(document["event"]["feature"], "test");
    assert_eq!(document["all_successful"], true);
    let log = project.ok(&["audit", "--tail", "100"]).stdout;
    assert!(log.lines().any(|line| line.contains("run-tests") && line.contains("success")), "{log}");
    project.ok(&["audit", "--json"]);
    project.ok(&["list"]);
    project.ok(&["test", "coverage-gate", "spec.created", "--spec-id", "my-feature"]);
    project.ok(&["validate", "-f", ".flowspec/hooks/hooks.yaml"]);
}

#[test]
fn a_script_of_the_guide_reads_hook_event() {
    let project = TestProject::flowspec();
    project.config(
        "version: '1.0'\nhooks:\n  - name: aggregate-progress\n    events:\n      - pattern: \"agent.*\"  # Match all agent events\n    script: aggregate-progress.sh\n    enabled: true\n",
    );
    project.script(
        "aggregate-progress.sh",
        "#!/bin/bash\nset -e\nfield() { echo \"$HOOK_EVENT\" | python3 -c \"import json,sys; print(json.load(sys.stdin)['context'].get('$1', 'unknown'))\"; }\n\
         echo \"$(field agent_id) $(field task_id) $(field progress_percent)% $(field status_message)\" >> .flowspec/hooks/progress-summary.log\n",
    );
    project.trust();
    project.ok(&["emit", "agent.started", "--task-id", "task-229", "--spec-id", "agent-hooks"]);
    project.ok(&[
        "emit",
        "agent.progress",
        "--task-id",
        "task-229",
        "--progress",
        "50",
        "--message",
        "Implementing hooks",
    ]);
    project.ok(&["emit", "agent.handoff", "--task-id", "task-229", "--agent-id", "claude-code@muckross"]);
    let host = knockon::sys::host_name();
    assert_eq!(
        project.read(".flowspec/hooks/progress-summary.log"),
        format!(
            "cli@{host} task-229 unknown% unknown\ncli@{host} task-229 50% Implementing hooks\nclaude-code@muckross task-229 unknown% unknown\n"
        )
    );
}

#[test]
fn the_other_spellings_of_the_file_are_read() {
    let project = TestProject::flowspec();
    let text = "version: '1.0'\nhooks: [{name: yml, events: [{type: '*'}], command: 'true', shell: /bin/sh}]\n";
    write(&project.root().join(".flowspec/hooks/hooks.yml"), text, 0o644);
    assert!(project.ok(&["list"]).stdout.contains("yml"));
    project.hooks("- {name: yaml, events: [{type: '*'}], command: 'true'}\n");
    let listed = project.ok(&["list"]).stdout;
    assert!(listed.contains("yaml") && !listed.contains("yml "), "hooks.yaml comes first: {listed}");
}

/// The six shapes of events that flowspec's program writes: with and without its optional ULID library, with microseconds,
/// without a fraction, with an offset, with null for what is absent, and with artifacts as it lists them.
const REAL: [&str; 6] = [
    r#"{"event_type": "spec.created", "event_id": "evt_3f9a1c0be7d24a56", "schema_version": "1.0", "timestamp": "2026-01-15T09:30:00.123456Z", "project_root": "/p", "feature": "user-auth", "context": {"agent": "pm"}, "artifacts": [{"type": "prd", "path": "docs/prd/user-auth.md"}], "metadata": {"cli_version": "0.4.1", "python_version": "3.12.1"}}"#,
    r#"{"event_type": "task.completed", "event_id": "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "schema_version": "1.0", "timestamp": "2026-01-15T09:30:00Z", "project_root": "/p", "feature": null, "context": {"task_id": "task-7"}, "artifacts": null, "metadata": null}"#,
    r#"{"event_type": "task.status_changed", "event_id": "evt_0123456789abcdef", "schema_version": "1.0", "timestamp": "2026-01-15T10:30:00.5+01:00", "project_root": "/p", "context": {"status_from": "To Do", "status_to": "In Progress"}}"#,
    r#"{"event_type": "implement.completed", "event_id": "evt_ffffffffffffffff", "schema_version": "1.0", "timestamp": "2026-01-15T09:30:00.000001Z", "project_root": "/p", "artifacts": ["src/a.py", {"type": "source_code", "path": "src/b.py", "files_changed": 2}]}"#,
    r#"{"version": "1.1.0", "event_type": "task.created", "event_id": "550e8400-e29b-41d4-a716-446655440000", "schema_version": "1.1", "timestamp": "2025-12-13T10:00:00.000Z", "project_root": "/p", "agent_id": "backend", "context": {"task_id": "task-1", "branch_name": "main"}}"#,
    "\u{feff}{\"event_type\": \"agent.progress\", \"event_id\": \"evt_a-b_C\", \"schema_version\": \"1.0\", \"timestamp\": \"2026-01-15 09:30:00-08:00\", \"project_root\": \"/p\", \"context\": {\"progress_percent\": 50}}",
];

#[test]
fn the_six_real_shapes_of_events_go_in_byte_for_byte() {
    let project = TestProject::trusted("- {name: all, events: [{type: '*'}], command: 'cat > got'}\n");
    let mut warned = 0;
    for event in REAL {
        let ran = project.run_with_input(&["run", "--strict"], event.as_bytes());
        assert_eq!(ran.code, 0, "{event}: {ran:?}");
        assert_eq!(project.read("got"), event.trim_start_matches('\u{feff}'));
        warned += ran.stderr.matches("is no ULID").count();
    }
    assert_eq!(warned, 1, "once");
    let ids: Vec<String> =
        project.audit().iter().map(|record| record["event_id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.contains(&"550e8400-e29b-41d4-a716-446655440000".to_owned()));
    project.ok(&["audit", "show", "evt_0123456789abcdef"]);
    project.ok(&["audit", "verify"]);
    let replayed = project.ok(&["replay", "evt_3f9a1c0be7d24a56"]);
    assert!(replayed.stdout.contains("spec.created  evt_3f9a1c0be7d24a56"), "{replayed:?}");
}

#[test]
fn the_commands_and_options_of_flowspec_work_as_they_are_called() {
    let project = TestProject::trusted("- {name: all, events: [{type: '*'}], command: 'cat > got'}\n");
    let event = |project: &TestProject| -> serde_json::Value { serde_json::from_str(&project.read("got")).unwrap() };
    project.ok(&[
        "hooks",
        "emit",
        "agent.progress",
        "-p",
        "50",
        "-m",
        "- half way",
        "--task-id",
        "",
        "--feature",
        "auth",
    ]);
    let got = event(&project);
    let context = &got["context"];
    assert_eq!((&got["feature"], &context["progress_percent"]), (&"auth".into(), &50.into()));
    assert_eq!((&context["status_message"], context.get("task_id")), (&"- half way".into(), None));
    assert!(context["agent_id"].as_str().unwrap().starts_with("cli@"), "{context}");
    project.ok(&["emit", "agent.started", "--context", "agent=claude"]);
    assert!(event(&project)["context"]["agent_id"].as_str().unwrap().starts_with("claude@"));
    // JSON keeps its digits, and a dotted name is a field in a field.
    project.ok(&[
        "emit",
        "task.updated",
        "--context",
        "n:=123456789012345678901234567890",
        "--context",
        "a.b:=1",
        "--context",
        "a.c=x",
    ]);
    assert!(project.read("got").contains(r#""context":{"n":123456789012345678901234567890,"a":{"b":1,"c":"x"}}"#));
    for (wrong, told) in
        [("n:={\"a\":1,\"a\":2}", "line 1, column 11"), ("n:=1x", "line 1, column 5"), (".b=1", "expected NAME=TEXT")]
    {
        let ran = project.run(&["emit", "task.updated", "--context", wrong]);
        assert!(ran.code == 2 && ran.stderr.contains(told), "{wrong}: {ran:?}");
    }
    let ran = project.run(&["emit", "task.updated", "--context", "a=1", "--context", "a.b=2"]);
    assert!(ran.code == 2 && ran.stderr.contains("cannot have the field `b`"), "{ran:?}");
    assert!(project.ok(&["list", "--event-type", "spec.created"]).stdout.contains("all"));
    let document = project.json(&["emit", "spec.created", "--json"]);
    let dry = project.json(&["emit", "spec.created", "--dry-run", "--json"]);
    for key in document.as_object().unwrap().keys() {
        assert!(dry.get(key).is_some(), "--dry-run --json has no `{key}`: {dry}");
    }
    let hook = &document["results"][0];
    assert!(hook["duration_ms"].is_u64() && hook["hook_name"] == "all", "{hook}");
}

#[test]
fn an_older_spelling_of_retry_is_read_with_a_warning() {
    for (retry, warning) in [
        ("{max_attempts: 2, backoff: exponential}", "older spelling of `attempts`"),
        ("{attempts: 2, backoff: linear}", "`backoff: linear` is an older spelling"),
        ("{max_attempts: 2, backoff: fixed}", "`backoff: fixed` is an older spelling"),
    ] {
        let project = TestProject::new();
        project.hooks(&format!("- {{name: r, events: [{{type: task.completed}}], command: 'true', retry: {retry}}}\n"));
        let ran = project.ok(&["validate"]);
        assert!(ran.stdout.contains(warning), "{retry}: {ran:?}");
    }
}

#[test]
fn a_test_is_marked_never_replayed_and_left_out_of_the_numbers() {
    let project = TestProject::trusted("- {name: h, events: [{type: '*'}], command: 'cat > got'}\n");
    let event = project.file("event.json", r#"{"event_type":"spec.created","context":{"from":"file"}}"#);
    project.ok(&["test", "h", "--event-file", event.to_str().unwrap()]);
    assert!(project.read("got").contains("\"from\":\"file\""));
    assert!(project.audit().iter().all(|record| record["source"] == "test"));
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    assert_eq!(project.run(&["replay", &id]).code, 2);
    assert!(project.ok(&["replay", "--since", "1h"]).stdout.contains("no such event"));
    assert!(project.ok(&["stats"]).stdout.contains("nothing is recorded"));
    assert!(project.ok(&["stats", "--include-tests"]).stdout.contains('h'));
    std::fs::remove_file(project.root().join("got")).unwrap();
    let dry = project.ok(&["test", "h", "spec.created", "--dry-run"]);
    assert!(dry.stdout.starts_with("h would run with spec.created") && !project.exists("got"), "{dry:?}");
}

#[test]
fn a_log_that_flowspec_wrote_is_moved_aside_once_and_stays_readable() {
    let project = TestProject::flowspec();
    project.hooks("- {name: h, events: [{type: '*'}], command: 'true'}\n");
    project.trust();
    let lines = "{\"timestamp\": \"2026-01-15T09:30:00.123456+00:00\", \"event_id\": \"evt_3f9a1c0be7d24a56\", \"event_type\": \"spec.created\", \"hook_name\": \"old-hook\", \"success\": true, \"exit_code\": 0, \"duration_ms\": 12, \"error\": null}\n";
    let log = project.hooks_folder().join("audit.log");
    write(&log, lines, 0o600);
    project.ok(&["emit", "spec.created"]);
    project.ok(&["emit", "spec.created"]);
    assert_eq!(std::fs::read_to_string(project.hooks_folder().join("audit.log.flowspec")).unwrap(), lines);
    assert_eq!(project.audit()[0]["seq"], 1);
    project.ok(&["audit", "verify"]);
    let shown = project.ok(&["audit", "--tail", "50"]).stdout;
    let first = shown.lines().find(|line| line.contains("old-hook")).unwrap_or_else(|| panic!("{shown}"));
    assert!(first.contains("success") && shown.contains("h "), "{shown}");
    let ended: Vec<_> = project.audit().into_iter().filter(|record| record["hook"] == "h").collect();
    assert!(ended.iter().any(|record| record["hook_name"] == "h" && record["success"] == true));
}

#[test]
fn several_events_on_lines_of_their_own_are_all_checked_before_the_first_is_emitted() {
    let project = TestProject::trusted("- {name: h, events: [{type: '*'}], command: 'cat >> got; echo >> got'}\n");
    let lines = "{\"event_type\":\"spec.created\",\"context\":{\"n\":1}}\r\n\n{\"event_type\":\"task.created\",\"context\":{\"n\":2}}\n";
    let ran = project.run_with_input(&["run"], lines.as_bytes());
    assert_eq!((ran.code, project.read("got").lines().count()), (0, 2), "{ran:?}");
    std::fs::remove_file(project.root().join("got")).unwrap();
    let wrong = format!("{lines}{{\"event_type\":\"Task\"}}\n");
    let ran = project.run_with_input(&["run", "--event-file", "-"], wrong.as_bytes());
    assert!(ran.code == 2 && ran.stderr.contains("standard input:4:15: /event_type"), "{ran:?}");
    assert!(!project.exists("got"), "none was emitted");
}

#[test]
fn the_place_of_an_error_is_that_of_what_was_given() {
    let project = TestProject::new();
    for (event, place) in [
        (r#"{"event_type":"spec.created","feature":7}"#, "1:40: /feature"),
        ("{\n  \"event_type\": \"spec.created\",\n  \"timestamp\": \"soon\"\n}", "3:16: /timestamp"),
        (r#"{"event_type":"spec.created","artifacts":[{"type":"x"}]}"#, "1:43: /artifacts/0"),
    ] {
        let ran = project.run(&["run", "--payload", event]);
        assert!(ran.code == 2 && ran.stderr.contains(&format!("--payload:{place}")), "{event}: {ran:?}");
    }
}
