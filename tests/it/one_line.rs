//! `on`: a hook in one line.

use crate::support::TestProject;

#[test]
fn writes_a_hook_that_runs_at_once() {
    let project = TestProject::bare();
    let ran = project.ok(&["on", "task.completed", "echo \"it's $HOOK_EVENT_TYPE: ä\" > said"]);
    assert!(
        ran.stdout.starts_with("- {name: \"on-task-completed\", events: [{type: \"task.completed\"}], command: "),
        "{}",
        ran.stdout
    );
    project.ok(&["emit", "task.completed"]);
    assert_eq!(project.read("said"), "it's task.completed: ä\n");
    project.ok(&["on", "task.completed", "false", "--stop"]);
    assert_eq!(project.read(".knockon/hooks.on.yaml").lines().count(), 5);
    let ran = project.run(&["emit", "task.completed"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("`on-task-completed-2` stops this"), "{}", ran.stderr);
}

#[test]
fn the_users_file_is_never_rewritten() {
    let project = TestProject::trusted("- {name: a, events: [{type: '*'}], command: 'true'} # mine\n");
    let before = project.read(".knockon/hooks.yaml");
    let ran = project.json(&["on", "deploy.*", "true", "--name", "ship", "--json"]);
    assert_eq!((ran["hook"].as_str(), ran["trusted"].as_bool()), (Some("ship"), Some(true)));
    assert_eq!(project.read(".knockon/hooks.yaml"), before);
    assert_eq!(project.json(&["list", "--json"])["hooks"].as_array().unwrap().len(), 2);
    let again = project.run(&["on", "deploy.*", "true", "--name", "ship"]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("there is a hook `ship` already"), "{}", again.stderr);
}

#[test]
fn what_nobody_trusted_stays_untrusted() {
    let project = TestProject::new();
    project.hooks("- {name: theirs, events: [{type: '*'}], command: 'touch evil'}\n");
    let ran = project.ok(&["on", "spec.created", "true"]);
    assert!(ran.stdout.contains("Next: review and allow it with `knockon trust`"), "{}", ran.stdout);
    project.ok(&["emit", "spec.created"]);
    assert!(!project.exists("evil"));
}

#[test]
fn what_would_not_work_is_refused_and_leaves_nothing() {
    let project = TestProject::new();
    for arguments in [&["on", "task.[", "x"][..], &["on", "task.*", "  "]] {
        assert_eq!(project.run(arguments).code, 2);
    }
    assert!(project.ok(&["on", "task.completed", "x", "--dry-run"]).stdout.contains("on-task-completed"));
    assert!(!project.hooks_folder().join("hooks.on.yaml").exists());
    assert!(project.ok(&["on", "task.complet", "x", "--dry-run"]).stderr.contains("did you mean `task.completed`?"));
    project.file(".knockon/hooks.on.yaml", "version: '1.1'\nhooks: [{name: x, events: [{type: '*'}], command: x}]\n");
    project.config("version: '1.1'\nhooks: []\n");
    let before = project.read(".knockon/hooks.on.yaml");
    assert_eq!(project.run(&["on", "task.completed", "x"]).code, 2, "a line does not fit into this file");
    assert_eq!(project.read(".knockon/hooks.on.yaml"), before);
}

#[test]
fn any_type_and_any_name_make_a_line_that_is_read_back() {
    let project = TestProject::bare();
    for (arguments, name) in [
        (&["on", "*", "true"][..], "on"),
        (&["on", "*.*", "true"], "on-2"),
        (&["on", "a.b", "true", "--name", "yes"], "yes"),
        (&["on", "a.b", "true", "--name", "123"], "123"),
        (&["on", "a.b", "true", "--name", "null"], "null"),
    ] {
        project.ok(arguments);
        let hooks = project.json(&["list", "--json"]);
        assert_eq!(hooks["hooks"].as_array().unwrap().last().unwrap()["name"], name);
    }
    // The last hook may be taken away again.
    project.file(".knockon/hooks.on.yaml", "version: '1.1'\nhooks:\n");
    assert_eq!(project.ok(&["validate"]).stdout, "✓ 0 hooks in 2 files, no problems\n");
    project.ok(&["on", "*", "true"]);
    project.file(".knockon/hooks.on.yaml", "version: '1.1'\nhooks: []\n");
    let ran = project.run(&["on", "*", "true"]);
    assert!(ran.code == 2 && ran.stderr.contains("write `hooks:` instead of `hooks: []`"), "{ran:?}");
}
