//! The smaller commands: `list`, `init`, `schema`, `events`, `completions`, help and version.

use crate::support::{TestProject, stable, write};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn list_shows_hooks_in_the_order_they_run() {
    let project = TestProject::new();
    assert!(project.ok(&["list"]).stdout.contains("`knockon init` writes examples"));
    project.config(
        "version: '1.0'\ndefaults: {timeout: 60, env: {A: base, B: base}}\nhooks:\n\
         - {name: one, description: first, events: [{type: task.*, filter: {n: 1}}], command: echo hi, env: {B: own}}\n\
         - {name: two, events: [{type: a.b}, {type: c.d}], script: x.sh, enabled: false, fail_mode: stop, timeout: 5}\n",
    );
    assert_eq!(
        project.ok(&["list"]).stdout,
        "on   one  task.*    command echo hi  60 s  continue\noff  two  a.b, c.d  script x.sh      5 s   stop\n\
         1 hook disabled (hooks.yaml:5)\n"
    );
    let verbose = stable(&project.ok(&["list", "--verbose"]).stdout, &project);
    for wanted in [
        "about: first",
        "when: task.* with n is 1",
        "gets: task.created, task.updated,",
        "env: A=base",
        "env: B=own",
        "file: /project/.knockon/hooks.yaml:4",
    ] {
        assert!(verbose.contains(wanted), "{wanted}: {verbose}");
    }
    let document = project.json(&["list", "--json"]);
    assert_eq!(document["hooks"][0]["env"], json!({"A": "base", "B": "own"}));
    assert_eq!((&document["hooks"][1]["script"], &document["hooks"][1]["timeout"]), (&json!("x.sh"), &json!(5)));
}

#[test]
fn init_writes_examples_that_are_sound_trusted_and_off() {
    let project = TestProject::bare();
    let ran = project.ok(&["init"]);
    assert!(ran.stdout.contains("written  ") && ran.stdout.contains(".knockon/hooks.yaml"), "{}", ran.stdout);
    assert_eq!(project.ok(&["validate"]).stdout, "✓ 14 hooks in 1 file, no problems\n");
    let hooks = project.json(&["list", "--json"]);
    assert!(hooks["hooks"].as_array().unwrap().iter().all(|hook| hook["enabled"] == false));
    let scripts = fs::read_dir(project.hooks_folder()).unwrap().map(|entry| entry.unwrap().path());
    let scripts =
        scripts.filter(|path| path.extension().is_some_and(|extension| extension == "sh" || extension == "py"));
    assert!(scripts.filter(|path| path.metadata().unwrap().permissions().mode() & 0o777 == 0o755).count() >= 10);

    // An editor finds the schema without asking anyone.
    let first = project.read(".knockon/hooks.yaml").lines().next().unwrap().to_owned();
    assert_eq!(first, "# yaml-language-server: $schema=hooks.schema.json");
    assert_eq!(project.read(".knockon/hooks.schema.json"), project.ok(&["schema", "config"]).stdout);

    let tried = project.ok(&["test", "show-event", "task.completed"]);
    assert!(tried.stdout.contains("show-event received task.completed"), "{}", tried.stdout);
    let emitted = project.ok(&["emit", "task.completed"]);
    assert!(emitted.stderr.contains("hooks match but are disabled (hooks.yaml:"), "{emitted:?}");
    assert_eq!(project.json(&["emit", "task.completed", "--json"])["outcome"], "not_run");

    let again = project.ok(&["init"]).stdout;
    assert!(again.contains("present  ") && !again.contains("written  "), "{again}");
}

#[test]
fn init_leaves_what_is_there_alone_and_does_not_trust_it() {
    let project = TestProject::flowspec();
    project.hooks("- {name: mine, events: [{type: '*'}], script: run-tests.sh}\n");
    project.script("run-tests.sh", "#!/bin/sh\ntouch ran\n");
    let before = project.read(".flowspec/hooks/hooks.yaml");
    let document = project.json(&["init", "--json"]);
    let kept: Vec<&Value> =
        document["files"].as_array().unwrap().iter().filter(|file| file["result"] == "kept").collect();
    assert_eq!((kept.len(), &document["trusted"]), (2, &json!(false)));
    assert_eq!(project.read(".flowspec/hooks/hooks.yaml"), before);
    assert!(project.exists(".flowspec/hooks/coverage-gate.py"));
    project.ok(&["emit", "spec.created"]);
    assert!(!project.exists("ran"));
}

#[test]
fn init_of_a_foreign_script_in_a_clone_is_not_trusted_either() {
    let project = TestProject::new();
    write(&project.hooks_folder().join("show-event.sh"), "#!/bin/sh\ntouch pwned\n", 0o755);
    assert_eq!(project.json(&["init", "--json"])["trusted"], false);
    assert_eq!(project.run(&["test", "show-event", "a.b"]).code, 3);
    assert!(!project.exists("pwned"));
}

#[test]
fn schemas_and_events_can_be_asked_for() {
    let project = TestProject::bare();
    let list = project.ok(&["schema"]).stdout;
    let names: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let known: Vec<&str> = knockon::event::SCHEMAS.iter().map(|schema| schema.name).collect();
    assert_eq!(names, known);
    assert!(list.starts_with("event                       a base event, version 1.0\nevent-1.1 "), "{list}");
    for (name, id) in
        [("event", "urn:knockon:schema:base-event:1.0"), ("config", "urn:knockon:schema:hooks-config:1.1")]
    {
        assert_eq!(project.json(&["schema", name])["$id"], id);
    }
    let events = project.ok(&["events"]).stdout;
    assert!(events.starts_with("workflow\n  workflow.assessed"), "{events}");
    assert!(
        events.contains("  task.completed           a task is done\n") || events.contains("  task.completed "),
        "{events}"
    );
    assert_eq!(project.json(&["events", "--json"])["events"].as_array().unwrap().len(), 38);
}

#[test]
fn completions_name_every_command() {
    let project = TestProject::bare();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = project.ok(&["completions", shell]).stdout;
        for command in knockon::cli::command_names() {
            assert!(script.contains(command), "{shell} {command}");
        }
        assert!(script.contains("trust-hash"), "{shell}: options of deferred commands are there too");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let project = TestProject::bare();
    assert_eq!(project.ok(&["--version"]).stdout, format!("knockon {}\n", env!("CARGO_PKG_VERSION")));
    let help = project.ok(&["--help"]).stdout;
    assert!(help.contains("Exit codes:") && help.contains("hooks were") | help.contains("trust"), "{help}");
    assert_eq!(project.run(&[]).code, 2);
}

#[test]
fn test_runs_a_hook_that_is_off_and_reports_its_end() {
    let project = TestProject::trusted(
        "- {name: unused, events: [{type: x.y}], enabled: false, command: 'cat; exit 4'}\n- {name: fine, events: [{type: x.y}], command: 'true'}\n",
    );
    let ran = project.run(&["test", "unused", "implement.completed", "--spec-id", "mine", "--task-id", "t"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout.contains(r#""feature":"mine","context":{"test":true,"feature":"mine","task_id":"t"}"#),
        "{}",
        ran.stdout
    );
    assert_eq!(project.run(&["test", "fine", "implement.completed"]).code, 0);
    assert_eq!(project.json(&["test", "fine", "a.b", "--json"])["results"][0]["status"], "success");
}

#[test]
fn init_keeps_what_is_no_file_and_reads_nothing_endless() {
    let project = TestProject::new();
    let folder = project.hooks_folder();
    std::os::unix::fs::symlink("/dev/zero", folder.join("README.md")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(folder.join("show-event.sh")).status().unwrap().success());
    fs::write(folder.join("tag-release.sh"), vec![b'x'; 1 << 20]).unwrap();
    let line = "ulimit -v 400000; exec timeout 10 \"$KNOCKON_BINARY\" init --json";
    let output = project.program("/bin/sh", &["-c", line]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    for name in ["README.md", "show-event.sh", "tag-release.sh"] {
        let files = document["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["path"].as_str().unwrap().ends_with(name)).unwrap();
        assert_eq!(file["result"], "kept", "{name}");
    }
    assert_eq!(document["trusted"], false);
}

#[test]
fn variables_name_the_configuration_and_the_colours() {
    let project = TestProject::new();
    project.hooks("- {name: own, events: [{type: '*'}], command: 'true'}\n");
    let other = project
        .file("other/hooks.yaml", "version: '1.1'\nhooks:\n- {name: other, events: [{type: '*'}], command: 'true'}\n");
    let explain = |config: &str, colour: &str| {
        let mut command = project.command(&["explain", "a.b"]);
        let output = command.env("KNOCKON_CONFIG", config).env("KNOCKON_COLOR", colour).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(explain("", "").contains(" own ") && explain(other.to_str().unwrap(), "").contains(" other "));
    assert!(explain("", "always").contains('\u{1b}') && !explain("", "never").contains('\u{1b}'));
    let missing = project.command(&["validate"]).env("KNOCKON_CONFIG", "missing.yaml").output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}
