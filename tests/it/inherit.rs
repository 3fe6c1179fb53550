//! `inherit: true`: a nested project runs the hooks of the project around it first.

use crate::support::{Ran, TestProject, write};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

const OUTER: &str = "version: '1.1'\ndefaults: {shell: /bin/sh}\nhooks:\n\
    - name: outer-guard\n  events: [{type: task.completed}]\n  script: guard.sh\n  fail_mode: stop\n\
    - name: outer-files\n  events: [{type: 'task.*', files: ['packages/api/src/**']}]\n  command: echo outer-files >> ran\n\
    - name: outer-other\n  events: [{type: 'task.*', files: ['src/**']}]\n  command: echo outer-other >> ran\n";
const INNER: &str = "version: '1.1'\ninherit: true\ndefaults: {shell: /bin/sh}\nhooks:\n\
    - name: inner\n  events: [{type: 'task.*'}]\n  command: echo \"inner $PWD $HOOK_WORKSPACE\" >> ../../ran\n";

fn inner(project: &TestProject) -> PathBuf {
    project.root().join("packages/api")
}

fn in_inner(project: &TestProject, arguments: &[&str]) -> Ran {
    let output = project.command(arguments).current_dir(inner(project)).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What ran, in order, since the last time.
fn ran(project: &TestProject) -> Vec<String> {
    let file = project.root().join("ran");
    let lines = fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
    let _ = fs::remove_file(&file);
    lines
}

/// A project with another in `packages/api`, both trusted from there, and the hash that stands for both.
fn nested() -> (TestProject, String) {
    let project = TestProject::new();
    project.config(OUTER);
    project.script("guard.sh", "#!/bin/sh\necho \"outer-guard $PWD $HOOK_WORKSPACE\" >> ran\n");
    project.config_in("packages/api/.knockon", INNER);
    let hash = in_inner(&project, &["trust", "--print-hash"]).stdout.trim().to_owned();
    let trusted = in_inner(&project, &["trust", "--hash", &hash]);
    assert_eq!(trusted.code, 0, "{}", trusted.stderr);
    (project, hash)
}

#[test]
fn outer_hooks_run_first_and_in_their_own_folder() {
    let (project, hash) = nested();
    let (root, api) = (project.root().display().to_string(), inner(&project).display().to_string());
    let expected = [format!("outer-guard {root} {root}"), format!("inner {api} {api}")];
    for (time, arguments) in [("first", &[][..]), ("kept", &[]), ("hash", &["--strict", "--trust-hash", &hash])] {
        let emitted = in_inner(&project, &[&["emit", "task.completed", "--json"], arguments].concat());
        assert_eq!((emitted.code, ran(&project)), (0, expected.to_vec()), "{time}: {}", emitted.stderr);
        let report: serde_json::Value = serde_json::from_str(&emitted.stdout).unwrap();
        assert_eq!(report["event"]["project_root"], json!(api), "the event is of the nested project");
    }
    assert!(inner(&project).join(".knockon/audit.log").exists());
    assert!(!project.exists(".knockon/audit.log"), "nothing happened in the outer project");
    let list = in_inner(&project, &["list"]);
    let at = |name: &str| list.stdout.find(name).unwrap_or_else(|| panic!("{name}: {}", list.stdout));
    assert!(at("outer-guard") < at("outer-files") && at("outer-other") < at("inner "), "{}", list.stdout);
    assert!(!list.stderr.contains("do not run here"), "{}", list.stderr);
    let checked = in_inner(&project, &["validate"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    assert!(in_inner(&project, &["doctor"]).stdout.contains("4 hooks in 2 files"));
}

#[test]
fn file_globs_of_outer_hooks_are_of_the_outer_project() {
    let (project, _) = nested();
    let emitted = in_inner(&project, &["emit", "task.created", "-f", "src/x.rs"]);
    assert_eq!(emitted.code, 0, "{}", emitted.stderr);
    assert_eq!(ran(&project)[..1], ["outer-files"], "src/x.rs of packages/api");
    let elsewhere = project.root().join("src/y.rs").display().to_string();
    in_inner(&project, &["emit", "task.created", "-f", &elsewhere]);
    assert_eq!(ran(&project)[..1], ["outer-other"]);
    in_inner(&project, &["emit", "task.created", "-f", "../../src/y.rs"]);
    assert_eq!(ran(&project)[..1], ["outer-other"]);
}

#[test]
fn three_levels_are_inherited_the_outermost_first() {
    let project = TestProject::new();
    for (folder, up, inherit) in [("", "", false), ("a/", "../", true), ("a/b/", "../../", true)] {
        let depth = folder.len() / 2;
        let inherit = if inherit { "inherit: true # the hooks above\n" } else { "" };
        let hooks = format!(
            "version: '1.1'\n{inherit}defaults: {{shell: /bin/sh}}\nhooks:\n\
             - name: level-{depth}\n  events: [{{type: task.completed}}]\n  command: echo {depth} >> {up}ran\n"
        );
        project.config_in(&format!("{folder}.knockon"), &hooks);
    }
    let deepest = project.root().join("a/b");
    let run = |arguments: &[&str]| project.command(arguments).current_dir(&deepest).output().unwrap();
    let hash = String::from_utf8(run(&["trust", "--print-hash"]).stdout).unwrap();
    assert!(run(&["trust", "--hash", hash.trim()]).status.success());
    assert!(run(&["emit", "task.completed"]).status.success());
    assert_eq!(ran(&project), ["0", "1", "2"]);
}

#[test]
fn each_configuration_is_reviewed_by_itself() {
    let (project, _) = nested();
    in_inner(&project, &["untrust"]);
    in_inner(&project, &["emit", "task.completed"]);
    assert_eq!(ran(&project).len(), 1, "the outer project is still trusted");
    project.ok(&["untrust"]);
    let none = in_inner(&project, &["emit", "task.completed"]);
    assert!(ran(&project).is_empty() && none.stderr.contains("2 hooks did not run"), "{}", none.stderr);
    let review = in_inner(&project, &["trust"]);
    for shown in ["outer-guard", "inner on task.*", "inherit: true"] {
        assert!(review.stdout.contains(shown), "{shown}: {}{}", review.stdout, review.stderr);
    }
    let hint = review.stderr.split("--hash ").nth(1).unwrap().trim().to_owned();
    assert_eq!(in_inner(&project, &["trust", "--hash", &hint]).code, 0);
    in_inner(&project, &["emit", "task.completed"]);
    assert_eq!(ran(&project).len(), 2);
}

/// Ways to make an inherited guard vanish, and the exit code with `--strict`; with the hash it is 3 for all.
#[test]
fn an_inherited_guard_cannot_vanish_in_silence() {
    type Edit = fn(&TestProject);
    let replaced_by_link = |project: &TestProject| {
        fs::remove_file(project.root().join(".knockon/hooks.yaml")).unwrap();
        symlink("../packages/api/.knockon/hooks.yaml", project.root().join(".knockon/hooks.yaml")).unwrap();
    };
    let ways: [(&str, Edit, i32); 12] = [
        ("outer file is a link to the inner", replaced_by_link, 2),
        (
            "outer folder is a link to the inner",
            |project| {
                fs::remove_dir_all(project.root().join(".knockon")).unwrap();
                symlink("packages/api/.knockon", project.root().join(".knockon")).unwrap();
            },
            2,
        ),
        ("a project in between", |project| project.config_in("packages/.knockon", "version: '1.1'\nhooks: []\n"), 3),
        (
            "another hook of its name",
            |project| project.config_in("packages/.knockon", &OUTER.replace("task.completed", "spec.created")),
            3,
        ),
        ("outer file removed", |project| fs::remove_file(project.root().join(".knockon/hooks.yaml")).unwrap(), 2),
        ("outer folder removed", |project| fs::remove_dir_all(project.root().join(".knockon")).unwrap(), 2),
        ("outer file broken", |project| project.config("version: '1.1'\nhooks: [}\n"), 2),
        ("outer file emptied", |project| project.config("version: '1.1'\nhooks: []\n"), 3),
        ("outer script changed", |project| project.script("guard.sh", "#!/bin/sh\n"), 3),
        (
            "no longer inherited",
            |project| project.config_in("packages/api/.knockon", &INNER.replace("inherit: true\n", "")),
            3,
        ),
        (
            "inherited quietly",
            |project| {
                project.config_in("packages/api/.knockon", &INNER.replace("inherit: true", "\"inherit\": true"));
            },
            2,
        ),
        (
            "written by others",
            |project| {
                fs::set_permissions(project.root().join(".knockon"), fs::Permissions::from_mode(0o777)).unwrap();
            },
            2,
        ),
    ];
    for (name, edit, strict) in ways {
        let (project, hash) = nested();
        edit(&project);
        let plain = in_inner(&project, &["emit", "task.completed", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&plain.stdout).unwrap();
        assert_eq!(report["all_successful"], json!(false), "{name}: {}", plain.stdout);
        assert!(plain.stderr.contains("the guard `outer-guard` did not run"), "{name}: {}", plain.stderr);
        let strictly = in_inner(&project, &["emit", "task.completed", "--strict"]);
        assert_eq!(strictly.code, strict, "{name}: {}", strictly.stderr);
        let hashed = in_inner(&project, &["emit", "task.completed", "--strict", "--trust-hash", &hash]);
        assert_eq!(hashed.code, 3, "{name}: {}", hashed.stderr);
        assert!(!ran(&project).iter().any(|line| line.starts_with("outer-guard")), "{name}");
    }
}

/// The file's own hooks run all the same, its guards among them: nothing else is said to be missing.
#[test]
fn own_hooks_run_where_the_outer_ones_are_missing() {
    let (project, _) = nested();
    project.config_in("packages/api/.knockon", &format!("{INNER}  fail_mode: stop\n"));
    let hash = in_inner(&project, &["trust", "--print-hash"]).stdout.trim().to_owned();
    assert_eq!(in_inner(&project, &["trust", "--hash", &hash]).code, 0);
    fs::remove_file(project.root().join(".knockon/hooks.yaml")).unwrap();
    let emitted = in_inner(&project, &["emit", "task.completed"]);
    assert!(ran(&project)[0].starts_with("inner "), "{}", emitted.stderr);
    assert!(emitted.stderr.contains("the guard `outer-guard` did not run"), "{}", emitted.stderr);
    assert!(!emitted.stderr.contains("the guard `inner`"), "{}", emitted.stderr);
    assert!(!emitted.stderr.contains("the hooks of that file did not run"), "{}", emitted.stderr);
}

#[test]
fn inherit_where_it_has_no_effect_is_an_error() {
    let (project, _) = nested();
    let checks = [
        ("alone", "version: '1.1'\ninherit: true\nhooks: []\n", "no folder above"),
        ("word", "version: '1.1'\ninherit: yes please\nhooks: []\n", "true or false"),
        ("quoted", "version: '1.1'\n'inherit': true\nhooks: []\n", "write `inherit: true` on a line of its own"),
        ("below", "version: '1.1'\nhooks: []\ninherit: true\n", "write `inherit: true` on a line of its own"),
        ("flow", "{version: '1.1', inherit: true, hooks: []}\n", "write `inherit: true` on a line of its own"),
    ];
    for (name, text, says) in checks {
        let alone = TestProject::new();
        alone.config(text);
        let checked = alone.run(&["validate"]);
        assert!(checked.code == 2 && checked.stdout.contains(says), "{name}: {}{}", checked.stdout, checked.stderr);
    }
    let named = project.file("other.yaml", INNER).display().to_string();
    let checked = project.run(&["validate", "--config", &named]);
    assert!(checked.code == 2 && checked.stdout.contains("`inherit` has no effect here"), "{}", checked.stdout);
    fs::create_dir_all(project.home().join(".config/knockon")).unwrap();
    write(&project.home().join(".config/knockon/hooks.yaml"), INNER, 0o644);
    let checked = project.run(&["validate"]);
    assert!(checked.code == 2 && checked.stdout.contains("`inherit` has no effect here"), "{}", checked.stdout);
    let quiet = TestProject::new();
    quiet.config("version: '1.1'\ninherit: false\nhooks: []\n");
    assert_eq!(quiet.run(&["validate"]).code, 0);
}

#[test]
fn list_says_what_is_inherited_and_the_hash_where_the_project_lies() {
    let (project, hash) = nested();
    let outer = project.root().display().to_string();
    let listed = in_inner(&project, &["list"]).stdout;
    let at = |text: &str| listed.find(text).unwrap_or_else(|| panic!("{text}: {listed}"));
    assert!(at(&format!("inherited from {outer}:")) < at("outer-guard"), "{listed}");
    assert!(at("outer-other") < at("of this project:") && at("of this project:") < at("on   inner"), "{listed}");
    let document: serde_json::Value = serde_json::from_str(&in_inner(&project, &["list", "--json"]).stdout).unwrap();
    let from: Vec<&serde_json::Value> =
        document["hooks"].as_array().unwrap().iter().map(|hook| &hook["inherited_from"]).collect();
    assert_eq!(from, [&json!(outer), &json!(outer), &json!(outer), &json!(null)]);
    // The same two configurations with the inner one elsewhere: the globs of the outer one mean other files.
    fs::rename(project.root().join("packages/api"), project.root().join("packages/moved")).unwrap();
    let arguments = ["emit", "task.completed", "--strict", "--trust-hash", &hash];
    let output = project.command(&arguments).current_dir(project.root().join("packages/moved")).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_reason_of_a_missing_outer_guard_is_what_is_wrong_with_the_outer_file() {
    let (project, _) = nested();
    project.config("version: '1.1'\nhooks: [\n");
    let ran = in_inner(&project, &["emit", "task.completed"]);
    let told: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("the guard `outer-guard`")).collect();
    assert!(told.len() == 1 && !told[0].contains("any more"), "{}", ran.stderr);
    assert!(told[0].contains(".knockon/hooks.yaml"), "{told:?}");
}
