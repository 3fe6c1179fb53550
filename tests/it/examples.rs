//! Every example hook, run as `init` wrote it, with a real event.

use crate::support::TestProject;
use knockon::scaffold::SCRIPTS;
use serde_json::Value;
use std::io::{Read, Write};
use std::process::Command;

/// A git project with one commit, and the examples of `init`.
fn project() -> TestProject {
    let project = TestProject::bare();
    let git = "git init -q -b main . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m 'first commit'";
    assert!(Command::new("/bin/sh").args(["-c", git]).current_dir(project.root()).status().unwrap().success());
    project.ok(&["init"]);
    project
}

/// Runs one example with a rich event and returns its result.
fn run(project: &TestProject, hook: &str, kind: &str, env: &str) -> Value {
    let config = project.read(".knockon/hooks.yaml");
    let script = SCRIPTS.iter().find(|(name, _)| name.split('.').next() == Some(hook)).unwrap().0;
    project.config(format!(
        "version: '1.0'\nhooks:\n- {{name: {hook}, events: [{{type: '*'}}], script: {script}, env: {{{env}}}}}\n"
    ));
    project.trust();
    let arguments = [
        "emit",
        kind,
        "--spec-id",
        "user-auth",
        "--task-id",
        "task-123",
        "--agent-id",
        "me@laptop",
        "--progress",
        "50",
        "--message",
        "half | way",
        "-f",
        "src/auth.rs",
        "--context",
        "status_from=To Do",
        "--context",
        "status_to=Done",
        "--json",
    ];
    let document = project.json(&arguments);
    project.config(config);
    document["results"][0].clone()
}

#[test]
fn every_script_runs_as_it_is() {
    let project = project();
    for (name, _) in SCRIPTS {
        let hook = name.split('.').next().unwrap();
        let result = run(&project, hook, "task.completed", "");
        let status = result["status"].as_str().unwrap();
        assert!(["success", "skipped"].contains(&status), "{name}: {result}");
    }
    let skipped = ["run-tests", "coverage-gate", "notify-webhook"];
    for hook in skipped {
        assert_eq!(run(&project, hook, "task.completed", "")["exit_code"], 77, "{hook} has nothing to do here");
    }
}

#[test]
fn every_example_runs_under_guard_as_init_declares_it() {
    let project = project();
    project.file("src/auth.rs", "fn main() {}\n");
    let config = project.read(".knockon/hooks.yaml").replace("enabled: false", "enabled: true");
    let under_guard = config.replace("\ndefaults:\n", "\ndefaults:\n  sandbox: guard\n");
    assert!(under_guard != config && !under_guard.contains("enabled: false"));
    project.config(under_guard);
    project.trust();
    let mut seen = std::collections::BTreeSet::new();
    for kind in [
        "spec.created",
        "implement.completed",
        "validate.started",
        "agent.progress",
        "deploy.completed",
        "task.completed",
    ] {
        let context = ["--context", "priority=high", "--agent-id", "me@x", "--task-id", "task-1", "-f", "src/auth.rs"];
        let document = project.json(&[&["emit", kind, "--spec-id", "user-auth", "--json"], &context[..]].concat());
        for result in document["results"].as_array().unwrap() {
            let status = result["status"].as_str().unwrap();
            assert!(["success", "skipped"].contains(&status), "{kind}: {result}");
            seen.insert(result["hook"].as_str().unwrap().to_owned());
        }
    }
    let all = SCRIPTS.iter().map(|(name, _)| name.split('.').next().unwrap());
    assert_eq!(all.filter(|name| !seen.contains(*name)).collect::<Vec<_>>(), [] as [&str; 0]);
}

#[test]
fn the_scripts_do_what_they_say() {
    let project = project();
    let stdout = |result: &Value| result["stdout"].as_str().unwrap().to_owned();

    assert!(stdout(&run(&project, "show-event", "spec.created", "")).contains("\"feature\":\"user-auth\""));
    assert!(stdout(&run(&project, "run-tests", "implement.completed", "TEST_COMMAND: echo tested")).contains("tested"));
    assert_eq!(run(&project, "run-tests", "implement.completed", "TEST_COMMAND: exit 3")["exit_code"], 3);
    assert_eq!(run(&project, "lint-code", "task.completed", "LINT_COMMAND: exit 4")["exit_code"], 4);

    run(&project, "update-changelog", "spec.created", "");
    run(&project, "update-changelog", "spec.created", "");
    assert_eq!(project.read("CHANGELOG.md"), "# Changelog\n\n## Unreleased\n\n- Specified user-auth\n");

    project.file("lcov.info", "LF:10\nLH:7\n");
    let gate = run(&project, "coverage-gate", "validate.started", "COVERAGE_MINIMUM: '80'");
    assert_eq!(
        (&gate["exit_code"], gate["stderr"].as_str()),
        (&2.into(), Some("coverage is 70.0 %, below the minimum of 80 %\n"))
    );
    assert_eq!(run(&project, "coverage-gate", "validate.started", "COVERAGE_MINIMUM: '70'")["exit_code"], 0);

    run(&project, "draft-pull-request", "implement.completed", "");
    let draft = project.read("hook-output/pull-request.md");
    assert!(
        draft.starts_with(
            "# user-auth\n\nTask: task-123\n\n## Commits\n\n- first commit\n\n## Files\n\n- src/auth.rs\n"
        ),
        "{draft}"
    );

    run(&project, "aggregate-progress", "agent.progress", "");
    run(&project, "aggregate-progress", "agent.completed", "");
    let table = project.read("hook-output/progress.md");
    assert_eq!(table.lines().count(), 3, "one row an agent and task: {table}");
    assert!(
        table.contains("| me@laptop | task-123 |") && table.contains("| completed | 50 | half \\| way |"),
        "{table}"
    );

    run(&project, "record-metrics", "spec.created", "");
    run(&project, "record-metrics", "spec.updated", "");
    assert_eq!(project.read("hook-output/events.csv").lines().count(), 3, "a heading and two events");

    run(&project, "task-summary", "task.status_changed", "");
    assert!(project.read("hook-output/tasks.md").ends_with(" task-123: To Do → Done (user-auth)\n"));

    project.file("src/auth.rs", format!("let key = \"AKIA{}\";\n", "A".repeat(16)));
    let secrets = run(&project, "check-secrets", "task.completed", "");
    assert_eq!(
        (&secrets["exit_code"], secrets["stderr"].as_str()),
        (&2.into(), Some("src/auth.rs:1: AWS access key\n"))
    );

    assert!(stdout(&run(&project, "tag-release", "deploy.completed", "")).contains("tagged deploy/"));
    let tags = Command::new("git").args(["tag", "--list"]).current_dir(project.root()).output().unwrap();
    assert!(String::from_utf8(tags.stdout).unwrap().contains("-user-auth"));

    let shown = stdout(&run(&project, "notify-desktop", "task.completed", ""));
    assert!(shown.is_empty() || shown == "task.completed: task-123 user-auth\n", "{shown}");
}

#[test]
fn notify_webhook_posts_to_the_channel() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let channel = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0; 1024];
        while !String::from_utf8_lossy(&request).contains("}") {
            let count = stream.read(&mut byte).unwrap();
            request.extend_from_slice(&byte[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    let project = project();
    let result = run(&project, "notify-webhook", "deploy.completed", &format!("NOTIFY_URL: 'http://{address}/x'"));
    assert_eq!(result["status"], "success", "{result}");
    assert!(channel.join().unwrap().ends_with(r#"{"text": "deploy.completed: user-auth"}"#));
    assert_eq!(run(&project, "notify-webhook", "deploy.completed", "NOTIFY_URL: 'http://example.com'")["exit_code"], 1);
}
