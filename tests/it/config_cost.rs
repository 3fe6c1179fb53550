//! What a hostile configuration costs before anyone trusted it, and what is not read of it until then.

use crate::support::{TestProject, write};
use serde_json::json;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Far more than is needed in a debug build on a busy machine, and far less than what each of these took without limits.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest file.
const MAX_BYTES: usize = 255 * 1024;
const ONE: &str = "version: '1.1'\nhooks:\n  - name: a\n    events: [{type: task.completed}]\n    command: echo\n";
const HEAD: &str = "version: '1.1'\nhooks:\n";

/// A file as large as one may be: `head`, then a line for each number.
fn full(head: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for number in 0.. {
        let line = line(number);
        if text.len() + line.len() > MAX_BYTES {
            break;
        }
        text.push_str(&line);
    }
    text
}

fn hostile() -> Vec<(&'static str, Vec<(String, String)>)> {
    let of = |text: String| vec![("hooks.yaml".to_owned(), text)];
    let with = |text: String, name: &str, second: String| vec![("hooks.yaml".into(), text), (name.into(), second)];
    let mut includes = of("version: '1.1'\ninclude:\n".to_owned());
    for file in 0..63 {
        let _ = writeln!(includes[0].1, "  - i{file}.yaml");
        let hook = |number| format!("- {{name: n{file}x{number}, events: [{{type: task.completed}}], command: e}}\n");
        includes.push((format!("i{file}.yaml"), full(HEAD, hook)));
    }
    includes[0].1.push_str("hooks: []\n");
    let many = |text: &'static str| full(HEAD, move |number| text.replace('#', &number.to_string()));
    vec![
        ("unknown keys of a hook", of(full(ONE, |number| format!("    k{number}:\n")))),
        ("unknown keys of the file", of(full(ONE, |number| format!("k{number}:\n")))),
        ("keys given twice", of(full("version: '1.1'\nhooks: []\n", |number| format!("k{}:\n", number % 14_000)))),
        ("entries that are no hooks", of(many("- a\n"))),
        ("hooks of one name", of(many("- {name: a, events: [{type: a.b}], command: e}\n"))),
        (
            "hooks that wait in a circle",
            of(full(HEAD, |number| {
                format!(
                    "- {{name: n{number}, events: [{{type: a.b}}], command: e, after: [n{}]}}\n",
                    (number + 1) % 2_000
                )
            })),
        ),
        (
            "hooks that wait for many",
            of(full(HEAD, |number| {
                format!(
                    "- {{name: n{number}, events: [{{type: a.b}}], command: e, after: [{}]}}\n",
                    (number.saturating_sub(40)..number).map(|other| format!("n{other}")).collect::<Vec<_>>().join(", ")
                )
            })),
        ),
        (
            "hooks that wait for none that is there",
            of(many("- {name: n#, events: [{type: a.b}], command: e, after: [n1#]}\n")),
        ),
        (
            "event types",
            of(full(ONE, |number| format!("      - type: tsk{number}.*\n"))
                .replace("events: [{type: task.completed}]\n    command: echo\n", "command: echo\n    events:\n")),
        ),
        ("overrides", with(ONE.into(), "hooks.local.yaml", many("- {name: h#, x: 1}\n"))),
        (
            "overrides of many hooks",
            with(
                many("- {name: n#, events: [{type: a.b}], command: e}\n"),
                "hooks.local.yaml",
                many("- {name: m#, x: 1}\n"),
            ),
        ),
        ("included files", includes),
    ]
}

#[test]
fn a_hostile_configuration_costs_little_before_and_after_it_is_shown() {
    for (what, files) in hostile() {
        let project = TestProject::new();
        for (name, text) in &files {
            write(&project.hooks_folder().join(name), text, 0o644);
        }
        for arguments in [&["emit", "task.completed"][..], &["validate"], &["list"], &["trust", "--print-hash"]] {
            let begun = Instant::now();
            let ran = project.run(arguments);
            assert!(begun.elapsed() < PATIENCE, "{what}: {arguments:?} took {:?}", begun.elapsed());
            if arguments[0] == "emit" {
                assert_eq!(ran.code, 0, "{what}: what is not trusted stops nobody: {}", ran.stderr);
                assert!(ran.stderr.lines().count() < 40, "{what}: {} lines", ran.stderr.lines().count());
            }
            let size = ran.stdout.len() + ran.stderr.len();
            assert!(size < 2_000_000, "{what}: {arguments:?} printed {size} bytes");
        }
    }
}

#[test]
fn further_problems_are_counted() {
    let project = TestProject::new();
    project.config(full(ONE, |number| format!("    k{number}:\n")));
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.contains("`k98` is no key of a hook"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("`k101`"), "{}", ran.stdout);
    assert!(ran.stdout.contains("more problems are not shown"), "{}", ran.stdout);
    let emitted = project.run(&["emit", "task.completed"]);
    assert!(emitted.stderr.contains("further problems are not shown: see `knockon validate`"), "{}", emitted.stderr);
}

#[test]
fn all_files_of_a_configuration_have_one_budget() {
    let project = TestProject::new();
    for (name, text) in &hostile().pop().unwrap().1 {
        write(&project.hooks_folder().join(name), text, 0o644);
    }
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.contains("are larger than 1024 KiB together"), "{}", ran.stdout);
}

#[test]
fn included_files_are_not_read_before_the_configuration_is_trusted() {
    let project = TestProject::new();
    project.config("version: '1.1'\ninclude: [more.yaml]\nhooks: []\n");
    write(
        &project.hooks_folder().join("more.yaml"),
        "version: '1.1'\nhooks:\n  - {name: inner, events: [{type: task.completed}], command: echo ran >> ran, shell: /bin/sh}\n",
        0o644,
    );
    let report = project.json(&["emit", "task.completed", "--json"]);
    assert_eq!((&report["outcome"], &report["all_successful"]), (&json!("not_run"), &json!(false)), "{report}");
    let ran = project.run(&["emit", "task.completed"]);
    let warning = "`more.yaml` and whatever else is included is not read before you trust this configuration; review it with `knockon trust`";
    assert!(ran.code == 0 && ran.stderr.contains(warning), "{}", ran.stderr);
    assert_eq!(project.run(&["emit", "task.completed", "--strict"]).code, 3);
    let junit = project.run(&["emit", "task.completed", "--report", "junit=-"]);
    assert!(junit.stdout.contains("type=\"untrusted\""), "{}", junit.stdout);
    // What shows it, reads it.
    for arguments in [&["list"][..], &["explain", "task.completed"]] {
        assert!(project.ok(arguments).stdout.contains("inner"), "{arguments:?}");
    }
    let hash = project.ok(&["trust", "--print-hash"]).stdout.trim().to_owned();
    let given = project.run(&["emit", "task.completed", "--strict", "--trust-hash", &hash]);
    assert!(given.code == 0 && project.read("ran") == "ran\n", "{}", given.stderr);
    project.trust();
    for _ in 0..2 {
        assert_eq!(project.json(&["emit", "task.completed", "--json"])["outcome"], json!("ran"));
    }
    assert_eq!(project.read("ran"), "ran\nran\nran\n");
}
