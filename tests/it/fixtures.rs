//! `test`: fixtures that the author of a hook wrote, and those recorded from real events.

use crate::support::TestProject;

const HOOKS: &str = "- name: greet
  events: [{type: task.completed, filter: {priority: high}}]
  command: cat > got; echo hello; echo oops >&2; exit 3
  tests:
    - name: runs
      event: {type: task.completed, context: {priority: high, n: 7}}
      expect: {exit_code: 3, status: failed, stdout: hello, stderr: oops, files: {got: '\"n\":7', missing: false}}
    - {name: not low, event: {type: task.completed, context: {priority: low}}, expect: {matched: false}}
    - {event: {event_type: task.completed, context: {priority: high}}}
- name: other
  events: [{type: '*'}]
  command: 'true'
";

#[test]
fn fixtures_run_for_real_and_say_what_differs() {
    let project = TestProject::trusted(HOOKS);
    let ran = project.ok(&["test"]);
    assert_eq!(
        ran.stdout,
        "✓ greet: runs\n✓ greet: not low  (matched only)\n✓ greet: task.completed  (matched only)\n3 tests, 0 failed\n"
    );
    assert!(project.read("got").contains("\"n\":7"));
    project.hooks(
        &HOOKS
            .replace("exit_code: 3", "exit_code: 0")
            .replace("stdout: hello", "stdout: bye")
            .replace("missing: false", "missing: true")
            .replace("matched: false", "matched: true"),
    );
    project.trust();
    let ran = project.run(&["test", "greet"]);
    assert_eq!(ran.code, 1);
    for words in [
        "✗ greet: runs",
        "the exit code is 3, expected: 0",
        "the output is \"hello\", expected: \"bye\" in it",
        "the file missing does not exist, expected: exists",
        "the event does not match, expected: the event matches",
        "3 tests, 2 failed",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let document: serde_json::Value = serde_json::from_str(&project.run(&["test", "--json"]).stdout).unwrap();
    assert_eq!((document["failed"].as_u64(), document["tests"][0]["ran"].as_bool()), (Some(2), Some(true)));
}

#[test]
fn untrusted_hooks_are_matched_and_not_run() {
    let project = TestProject::new();
    project.hooks(HOOKS);
    let ran = project.run(&["test"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("- greet: runs") && ran.stderr.contains("review with `knockon trust`"), "{ran:?}");
    assert!(!project.exists("got"));
}

#[test]
fn a_real_event_becomes_a_fixture_in_a_file_of_its_own() {
    let project = TestProject::trusted(HOOKS);
    let emitted = project.json(&[
        "emit",
        "task.completed",
        "--context",
        "priority=high",
        "--context",
        "text=ä \u{7f}: #x",
        "--json",
    ]);
    let id = emitted["event"]["event_id"].as_str().unwrap().to_owned();
    let before = project.read(".knockon/hooks.yaml");
    let shown = project.ok(&["test", "greet", "--record", &id]).stdout;
    assert!(shown.contains("expect: {matched: true, exit_code: 3}") && shown.contains("added to "), "{shown}");
    project.ok(&["test", "other", "--record", &id]);
    assert_eq!(project.read(".knockon/hooks.yaml"), before, "the user's file is theirs");
    assert!(project.read(".knockon/hooks.tests.yaml").contains("- hook: greet\n"));
    let ran = project.ok(&["test", "greet"]);
    assert!(ran.stdout.contains(&format!("✓ greet: {id}\n4 tests, 0 failed")), "{}", ran.stdout);
    assert!(project.ok(&["test", "other"]).stdout.contains("1 test, 0 failed"));
    project.file(".knockon/hooks.tests.yaml", "- {hook: nobody, event: {type: a.b}}\n- {hook: greet}\n");
    let ran = project.run(&["test"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("there is no hook `nobody`") && ran.stderr.contains("this test has no `event`"),
        "{}",
        ran.stderr
    );
    assert_eq!(project.run(&["test", "greet", "--record", "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A"]).code, 2);
}

#[test]
fn without_fixtures_it_says_how_to_get_some() {
    let project = TestProject::trusted("- {name: a, events: [{type: '*'}], command: 'true'}\n");
    assert!(project.ok(&["test"]).stdout.contains("knockon test --record EVENT_ID HOOK"));
}

#[test]
fn a_recorded_test_keeps_its_numbers_and_its_neighbours() {
    let project = TestProject::trusted("- {name: keep, events: [{type: '*'}], command: cat > got}\n");
    let event = "{\"event_type\": \"a.b\",\n\"context\": {\"big\": 123456789012345678901234567890,\t\"text\": \"two\\nlines: #\"}}";
    project.run_with_input(&["run", "--event-file", "-"], event.as_bytes());
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    project.ok(&["test", "--record", &id, "keep"]);
    let without_end = project.read(".knockon/hooks.tests.yaml").trim_end().to_owned();
    project.file(".knockon/hooks.tests.yaml", without_end);
    project.ok(&["test", "--record", &id, "keep"]);
    assert!(project.ok(&["test"]).stdout.contains("2 tests, 0 failed"));
    assert!(project.read("got").contains("\"big\":123456789012345678901234567890"), "{}", project.read("got"));
    project.file(".knockon/hooks.tests.yaml", "- hook: nope\n");
    let ran = project.run(&["test"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("the recorded tests in ") && !ran.stderr.contains("hooks are off"),
        "{ran:?}"
    );
}
