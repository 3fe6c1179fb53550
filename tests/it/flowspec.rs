//! The flows of flowspec's hooks quick-start guide, as written there, with `knockon` for `flowspec hooks`.

use crate::support::{TestProject, write};

#[test]
fn the_quick_start_guide_works_as_written() {
    let project = TestProject::bare();
    std::fs::create_dir(project.root().join(".flowspec")).unwrap();
    project.ok(&["init"]);
    let config = project.root().join(".flowspec/hooks/hooks.yaml");
    let off = "    script: run-tests.sh\n";
    let on = "    script: run-tests.sh\n    enabled: true\n";
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
    assert_eq!(
        project.read(".flowspec/hooks/progress-summary.log"),
        "unknown task-229 unknown% unknown\nunknown task-229 50% Implementing hooks\nclaude-code@muckross task-229 unknown% unknown\n"
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
