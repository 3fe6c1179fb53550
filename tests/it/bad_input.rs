//! Bad input gets a clear error with its place and exit 2; a caller that only emits is never broken.

use crate::support::{TestProject, stable, write};
use std::fs;

/// Runs `run --event-file -` on `input` and returns the first line of the error.
fn refused(project: &TestProject, input: &[u8]) -> String {
    let ran = project.run_with_input(&["run", "--event-file", "-"], input);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert_eq!(project.audit().len(), 0, "nothing was made of it");
    ran.stderr.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn events_that_cannot_be_kept_are_refused_with_their_place() {
    let project = TestProject::trusted("- {name: any, events: [{type: '*'}], command: touch ran}\n");
    let mut too_large = b"{\"event_type\":\"a.b\",\"pad\":\"".to_vec();
    too_large.resize(9 << 20, b'x');
    let deep = format!("{{\"event_type\":\"a.b\",\"context\":{}{}}}", "{\"a\":".repeat(128), "}".repeat(128));
    let cases: &[(&[u8], &str)] = &[
        (b"nonsense", "standard input:1:1: no JSON value begins like this"),
        (b"", "standard input:1:1: nothing here; one JSON value is needed"),
        (b"[]", "standard input:1:1: an event is a JSON object; this is an array"),
        (b"{}", "standard input:1:1: the required field `event_type` is missing"),
        (b"{\"event_type\":\"a.b\",}", "standard input:1:21: a key in double quotes is needed here"),
        (
            b"{\"event_type\":\"a.b\",\n \"x\":1,\"x\":2}",
            "standard input:2:8: this key was given before in the same object",
        ),
        (b"{\"event_type\":\"A.b\"}", "standard input:1:15: /event_type: `A.b` is no event type"),
        (
            b"{\"event_type\":\"a.b\",\"feature\":7}",
            "standard input:1:31: /feature: a string is wanted, this is a number",
        ),
        (b"{\"event_type\":\"a.b\",\"context\":[]}", "/context: an object is wanted, this is an array"),
        (
            b"{\"event_type\":\"a.b\",\"schema_version\":\"3.0\"}",
            "version 3.0 is not understood; this build understands 1.x",
        ),
        (b"\xff\xfe{\0}\0", "standard input:1:1: this is UTF-16"),
        (b"{\"event_type\":\"a.b\",\"s\":\"\xff\"}", "standard input:1:26: this byte is not UTF-8"),
        (deep.as_bytes(), "nested deeper than 128 levels"),
        (&too_large, "at most 8388608 (8 MiB) are accepted"),
    ];
    for (input, wanted) in cases {
        let error = refused(&project, input);
        let shown = String::from_utf8_lossy(&input[..input.len().min(60)]);
        assert!(error.starts_with("knockon: error: ") && error.contains(wanted), "{shown}: {error}");
    }
    assert!(!project.exists("ran"));
}

#[test]
fn usage_errors_exit_with_2_and_say_what_is_wanted() {
    let project = TestProject::new();
    project.hooks("- {name: run-tests, events: [{type: '*'}], command: 'true'}\n");
    project.trust();
    for (arguments, wanted) in [
        (&["emit"][..], "<TYPE>"),
        (&["emit", "Task.done"], "is no event type"),
        (&["emit", "a.b", "--progress", "101"], "101 is not in 0..=100"),
        (&["emit", "a.b", "--context", "x"], "expected NAME=TEXT or NAME:=JSON"),
        (&["emit", "a.b", "--context", "x:={"], "line 1, column 5: a key in double quotes is needed"),
        (&["emit", "a.b", "--project-root", "/no/such/folder"], "the project folder /no/such/folder"),
        (&["run"], "standard input:1:1: nothing here"),
        (&["run", "--event-file", "/no/such/file"], "/no/such/file: No such file"),
        (&["run", "--event-type", "a.b", "--payload", "{\"event_type\":\"a.c\"}"], "the command says `a.b`"),
        (&["run", "--payload", "[1"], "--payload:1:3: the text ends inside an array"),
        (&["test", "run-test", "a.b"], "did you mean `run-tests`?"),
        (&["schema", "nope"], "`knockon schema` lists them"),
        (&["schema", "wp-status-change"], "did you mean `wp-status-changed`?"),
        (&["trust", "--hash", "abc"], "a trust hash is `sha256:`"),
        (&["emti", "a.b"], "'emit'"),
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(wanted), "{arguments:?}: {}", ran.stderr);
    }
}

/// What is wrong with a hooks.yaml, by what it holds.
const BAD_CONFIGS: &[(&[u8], &str)] = &[
    (b"- a\n- b\n", "hooks.yaml:1:1: error: the file is a mapping with `version` and `hooks`; this is a list"),
    (b"", "hooks.yaml:1:1: error: the file is empty"),
    (b"\xff\xfev\0e\0r\0", "hooks.yaml: error: the file is UTF-16"),
    (b"version: '1.0'\nhooks:\n\t- name: a\n", "hooks.yaml:3:1: error: tab"),
    (b"version: '1.0'\nversion: '1.0'\nhooks: []\n", "hooks.yaml:2:1: error: the key `version` is given twice"),
    (b"version: '1.0'\nhooks: {}\n", "hooks.yaml:2:8: error: a list of hooks is wanted, this is a mapping"),
    (b"version: 1.0\nhooks: []\n", "hooks.yaml:1:10: error: a string is wanted, this is the number 1.0"),
    (b"version: '2.0'\nhooks: []\n", "hooks.yaml:1:10: error: version 2.0 is not known; this build knows 1.x"),
    (b"hooks: []\n", "hooks.yaml:1:1: error: the required key `version` is missing"),
];

#[test]
fn a_bad_hooks_yaml_breaks_validate_and_never_the_caller() {
    let mut large = b"version: '1.0'\nhooks: []\n#".to_vec();
    large.resize(300 * 1024, b'x');
    let cases = BAD_CONFIGS.iter().copied().chain([(&large[..], "hooks.yaml: error: the file is larger than 256 KiB")]);
    for (text, wanted) in cases {
        let project = TestProject::new();
        project.config(text);
        let validated = project.run(&["validate"]);
        assert_eq!(validated.code, 2, "{wanted}: {validated:?}");
        let shown = stable(&validated.stdout, &project);
        assert!(shown.contains(&format!("/project/.knockon/{wanted}")), "{wanted}: {shown}");
        for asked in [&["list"][..], &["test", "a", "a.b"], &["trust", "--print-hash"]] {
            assert_eq!(project.run(asked).code, 2, "{asked:?} {wanted}");
        }
        let emitted = project.run(&["emit", "spec.created"]);
        assert_eq!(emitted.code, 0, "{wanted}: {emitted:?}");
        assert!(emitted.stderr.contains("hooks.yaml:"), "{wanted}: {emitted:?}");
        assert_eq!(project.audit_story(), ["emitted", "error"], "{wanted}");
        assert!(project.audit()[1]["error"].as_str().unwrap().contains("hooks.yaml"), "{wanted}");
    }
}

#[test]
fn bad_hooks_are_all_told_at_once_with_their_places() {
    let project = TestProject::new();
    project.script("ok.sh", "#!/bin/sh\n");
    write(&project.hooks_folder().join("plain.txt"), "text\n", 0o644);
    write(&project.root().join("outside.sh"), "#!/bin/sh\n", 0o755);
    fs::create_dir(project.hooks_folder().join("folder")).unwrap();
    std::os::unix::fs::symlink("../outside.sh", project.hooks_folder().join("link.sh")).unwrap();
    let shape = "version: '1.0'\nhooks:\n\
        - {name: twice, events: [{type: a.b}], script: ok.sh}\n\
        - {name: twice, events: [{type: a.b}], script: ok.sh}\n\
        - {name: both, events: [{type: a.b}], script: ok.sh, command: x}\n\
        - {name: up, events: [{type: a.b}], script: ../outside.sh}\n\
        - {name: absolute, events: [{type: a.b}], script: /bin/sh}\n\
        - {name: Bad Name, events: [{type: a.b}], script: ok.sh}\n\
        - {name: slow, events: [{type: a.b}], script: ok.sh, timeout: 90001}\n\
        - {name: typo, evnts: [{type: a.b}], run: x}\n\
        - {name: loader, events: [{type: a.b}], script: ok.sh, env: {LD_PRELOAD: x, OK: 1}}\n\
        - {name: modes, events: [], command: x, fail_mode: sotp, enabled: 'yes', shell: sh}\n";
    project.config(shape);
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, 2);
    let shown = stable(&ran.stdout, &project);
    for wanted in [
        "hooks.yaml:4:10: error: the hook name `twice` is taken: line 3, column 10 has it already",
        "hooks.yaml:5:54: error: this hook has both `script` and `command`",
        "hooks.yaml:6:45: error: `../outside.sh`: the path must stay inside the hooks folder; `..` leads out of it",
        "hooks.yaml:7:51: error: `/bin/sh`: the path must be relative to the hooks folder, this is absolute",
        "hooks.yaml:8:10: error: `Bad Name`: a hook's name has only lower-case letters, digits and `-`",
        "hooks.yaml:9:63: error: the timeout is 90001 s; wanted is 1 to 86400 s",
        "hooks.yaml:10:16: error: `evnts` is no key of a hook\n  10 | - {name: typo, evnts: [{type: a.b}], run: x}\n     |                ^^^^^ unknown key\n  help: did you mean `events`?",
        "hooks.yaml:10:38: error: `run` is no key of a hook",
        "  help: did you mean `command`?",
        "hooks.yaml:11:62: error: the variable `LD_PRELOAD` cannot be set",
        "hooks.yaml:11:81: error: a string is wanted, this is the number 1",
        "hooks.yaml:12:25: error: `events` needs at least one entry",
        "`continue` or `stop` is wanted, this is the string \"sotp\"",
        "true or false is wanted, this is the string \"yes\"",
        "the shell must be an absolute path",
    ] {
        assert!(shown.contains(wanted), "{wanted}\n---\n{shown}");
    }

    project.hooks(
        "- {name: missing, events: [{type: a.b}], script: nowhere.sh}\n\
         - {name: folder, events: [{type: a.b}], script: folder}\n\
         - {name: plain, events: [{type: a.b}], script: plain.txt}\n\
         - {name: link, events: [{type: a.b}], script: link.sh}\n\
         - {name: shell, events: [{type: a.b}], command: x, shell: /no/shell}\n\
         - {name: glob, events: [{type: 'a.['}], command: x}\n\
         - {name: filter, events: [{type: a.b, filter: {x: {prefx: y}}}], command: x}\n",
    );
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, 2);
    let shown = stable(&ran.stdout, &project);
    for wanted in [
        "hooks.yaml:4:50: error: the script /project/.knockon/nowhere.sh does not exist",
        "hooks.yaml:5:49: error: the script /project/.knockon/folder is a folder",
        "hooks.yaml:6:48: error: the script /project/.knockon/plain.txt is not executable\n",
        "\n  help: run: chmod +x",
        "hooks.yaml:7:47: error: the script /project/.knockon/link.sh is a link that leads out of the hooks folder",
        "warning: the shell /no/shell of `shell` does not exist",
        "hooks.yaml:9:35: error: this `[` is never closed",
        "hooks.yaml:10:52: error: filter `x`: `prefx` is no operator",
        "  help: did you mean `prefix`?",
    ] {
        assert!(shown.contains(wanted), "{wanted}\n---\n{shown}");
    }
}

#[test]
fn a_config_that_is_no_file_never_hangs_anyone() {
    let project = TestProject::new();
    let path = project.hooks_folder().join("hooks.yaml");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let ran = project.run(&["emit", "spec.created"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("it is a pipe or socket"), "{ran:?}");
    assert_eq!(project.run(&["validate"]).code, 2);
}

#[test]
fn a_result_that_cannot_be_written_is_told() {
    let project = TestProject::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = project.command(&["events"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the result could not be written"));
}

#[test]
fn an_error_is_one_line_whatever_it_names() {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    for arguments in [
        &["list", "--project-root", "no\nknockon: forged"][..],
        &["test", "no\nknockon: forged", "a.b"],
        &["run", "--event-file", "no\nknockon: forged"],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("no␊knockon: forged") && !ran.stderr.contains("\nknockon"), "{ran:?}");
    }
}
