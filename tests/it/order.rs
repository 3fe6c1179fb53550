//! In which order hooks run, how many at a time, and how often: `concurrency`, `after`, `stop`, `retry`.

use crate::support::TestProject;
use serde_json::Value;
use std::time::{Duration, Instant};

fn trusted(config: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\ndefaults: {{shell: /bin/sh}}\n{config}"));
    project.trust();
    project
}

/// `hook status` of every result, in the order of the report.
fn results(document: &Value) -> Vec<String> {
    let results = document["results"].as_array().unwrap().iter();
    results.map(|hook| format!("{} {}", hook["hook"].as_str().unwrap(), hook["status"].as_str().unwrap())).collect()
}

#[test]
fn hooks_run_side_by_side_and_are_told_in_file_order() {
    // Each waits for the next one to be there: they end only side by side.
    let hook = |n: usize| {
        format!(
            "- {{name: h{n}, events: [{{type: '*'}}], command: 'touch up{n}; while ! test -e up{}; do sleep 0.01; done; echo {n}'}}\n",
            (n + 1) % 4
        )
    };
    let project = trusted(&format!("concurrency: 4\nhooks:\n{}", (0..4).map(hook).collect::<String>()));
    let document = project.json(&["emit", "a.b", "--json"]);
    assert_eq!(results(&document), ["h0 success", "h1 success", "h2 success", "h3 success"]);
    let printed = document["results"].as_array().unwrap().iter().map(|hook| hook["stdout"].as_str().unwrap());
    assert_eq!(printed.collect::<String>(), "0\n1\n2\n3\n");
    let story = project.audit_story();
    assert_eq!(&story[..5], ["emitted", "h0 started", "h1 started", "h2 started", "h3 started"]);
}

#[test]
fn no_more_run_at_a_time_than_may() {
    let hook = |n: usize| {
        format!("- {{name: h{n}, events: [{{type: '*'}}], command: 'echo + >> log; sleep 0.05; echo - >> log'}}\n")
    };
    for (concurrency, most) in [("1", 1), ("2", 2)] {
        let project = trusted(&format!("concurrency: {concurrency}\nhooks:\n{}", (0..6).map(hook).collect::<String>()));
        project.ok(&["emit", "a.b"]);
        let (mut now, mut seen) = (0, 0);
        for line in project.read("log").lines() {
            now += if line == "+" { 1 } else { -1 };
            seen = seen.max(now);
        }
        assert_eq!(seen, most, "{concurrency}");
    }
    assert_eq!(
        trusted("concurrency: auto\nhooks: []\n").ok(&["validate"]).stdout,
        "✓ 0 hooks in 1 file, no problems\n"
    );
}

#[test]
fn a_hundred_hooks_fit_into_few_descriptors() {
    let hook = |n: usize| format!("- {{name: h{n}, events: [{{type: '*'}}], command: 'echo >> log; sleep 0.01'}}\n");
    let project = trusted(&format!("concurrency: 1000\nhooks:\n{}", (0..100).map(hook).collect::<String>()));
    let line = "ulimit -n 128; exec \"$KNOCKON_BINARY\" emit a.b --json";
    let output = project.program("/bin/sh", &["-c", line]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["all_successful"], true, "{document}");
    assert_eq!(project.read("log").lines().count(), 100);
}

#[test]
fn a_hook_runs_after_those_it_names_whatever_becomes_of_them() {
    let project = trusted(
        "concurrency: 4\nhooks:\n\
         - {name: report, events: [{type: '*'}], after: [test, lint, other-event], command: 'cat log > seen'}\n\
         - {name: test, events: [{type: '*'}], command: 'sleep 0.1; echo test >> log; exit 1'}\n\
         - {name: lint, events: [{type: '*'}], command: 'echo lint >> log'}\n\
         - {name: other-event, events: [{type: x.y}], command: 'exit 1'}\n",
    );
    let document = project.json(&["emit", "a.b", "--json"]);
    assert_eq!(results(&document), ["report success", "test failed", "lint success"]);
    assert_eq!(project.read("seen"), "lint\ntest\n");
    let explained = project.ok(&["explain", "a.b", "report"]).stdout;
    assert!(explained.contains("it waits for `test`, `lint`"), "{explained}");
}

#[test]
fn a_stop_keeps_the_rest_from_starting_and_now_ends_what_runs() {
    let config = |stop: &str| {
        format!(
            "concurrency: 2\nhooks:\n\
             - {{name: long, events: [{{type: '*'}}], command: 'trap \"exit 0\" TERM; touch up; i=0; while [ $i -lt 60 ]; do sleep 0.02; i=$((i+1)); done; touch whole'}}\n\
             - {{name: guard, events: [{{type: '*'}}], fail_mode: stop, stop: {stop}, command: 'while ! test -e up; do sleep 0.01; done; echo no >&2; exit 2'}}\n\
             - {{name: next, events: [{{type: '*'}}], command: touch next}}\n"
        )
    };
    for (stop, long, whole) in [("next", "long success", true), ("now", "long interrupted", false)] {
        let project = trusted(&config(stop));
        let ran = project.run(&["emit", "a.b", "--json"]);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, document["stopped_by"].as_str()), (1, Some("guard")), "{document}");
        assert_eq!(results(&document), [long, "guard failed", "next skipped"]);
        assert_eq!((project.exists("whole"), project.exists("next")), (whole, false));
    }
}

#[test]
fn what_failed_is_tried_again_as_often_as_wanted() {
    let project = trusted(
        "hooks:\n\
         - {name: third, events: [{type: '*'}], retry: {attempts: 5, backoff: 20ms}, command: 'echo $HOOK_ATTEMPT >> tries; test $HOOK_ATTEMPT = 3'}\n\
         - {name: never, events: [{type: '*'}], retry: {attempts: 2, backoff: 1ms, on: [failed]}, command: 'exit 9'}\n\
         - {name: blocks, events: [{type: '*'}], retry: {attempts: 5, backoff: 1ms}, command: \"printf '{\\\"decision\\\": \\\"block\\\"}'\"}\n\
         - {name: late, events: [{type: '*'}], retry: {attempts: 5, backoff: 1ms, on: [failed]}, timeout: 100ms, command: 'exec sleep 9'}\n\
         - {name: later, events: [{type: '*'}], retry: {attempts: 2, backoff: 1ms, on: [tempfail]}, command: 'exit 75'}\n",
    );
    let document = project.json(&["emit", "a.b", "--json"]);
    assert_eq!(results(&document), ["third success", "never failed", "blocks failed", "late timeout", "later failed"]);
    let attempts: Vec<u64> =
        document["results"].as_array().unwrap().iter().map(|hook| hook["attempts"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [3, 2, 1, 1, 2]);
    assert_eq!(project.read("tries"), "1\n2\n3\n");
    let records = project.audit();
    let of_third = records.iter().filter(|record| record["hook"] == "third");
    let told: Vec<String> =
        of_third.map(|record| format!("{} {}", record["attempt"], record["status"].as_str().unwrap())).collect();
    assert_eq!(told, ["1 started", "1 failed", "2 started", "2 failed", "3 started", "3 success"]);
    assert!(project.ok(&["emit", "a.b"]).stdout.contains("(attempt 3)"));
}

#[test]
fn a_pause_between_attempts_ends_with_knockon() {
    let project = trusted(
        "hooks:\n- {name: again, events: [{type: '*'}], retry: {attempts: 2, backoff: 60m, max_backoff: 60m}, command: 'touch tried; exit 1'}\n",
    );
    let start = "import os, signal, sys\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_DFL)\nos.execv(os.environ['KNOCKON_BINARY'], ['knockon', 'emit', 'a.b'])";
    let mut child = project.program("python3", &["-c", start]).stdout(std::process::Stdio::null()).spawn().unwrap();
    crate::support::wait_until("the first attempt", || {
        project.exists("tried") && project.audit_story().contains(&"again failed".to_owned())
    });
    let began = Instant::now();
    assert!(
        std::process::Command::new("/bin/sh")
            .args(["-c", &format!("kill -INT {}", child.id())])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(project.audit_story(), ["emitted", "again started", "again failed"]);
}

#[test]
fn a_guard_is_not_passed_by_stalling() {
    let project = trusted(
        "hooks:\n- {name: guard, events: [{type: '*'}], timeout: 100ms, on_timeout: block, retry: {attempts: 3, backoff: 1ms}, fail_mode: stop, command: 'exec sleep 9'}\n",
    );
    let ran = project.run(&["emit", "a.b", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let result = &document["results"][0];
    assert_eq!((ran.code, &result["status"], &result["attempts"]), (1, &"timeout".into(), &1.into()));
    assert!(result["error"].as_str().unwrap().ends_with("100 ms, which counts as blocked"), "{result}");
}

#[test]
fn the_caller_switches_hooks_off_and_the_log_says_so() {
    let project = trusted(
        "hooks:\n\
         - {name: a, events: [{type: '*'}], command: touch a}\n\
         - {name: b, events: [{type: '*'}], fail_mode: stop, command: touch b}\n\
         - {name: c, events: [{type: '*'}], command: touch c}\n",
    );
    let emit = |variable: &str, value: &str| {
        let output = project.command(&["emit", "a.b", "--json"]).env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        results(&serde_json::from_slice(&output.stdout).unwrap())
    };
    assert_eq!(emit("KNOCKON", "0"), ["a skipped", "b skipped", "c skipped"]);
    assert_eq!(emit("KNOCKON_SKIP", "a, c"), ["a skipped", "b success", "c skipped"]);
    assert!(project.exists("b") && !project.exists("a") && !project.exists("c"));
    let told: Vec<Value> = project.audit().iter().map(|record| record["error"].clone()).collect();
    assert_eq!((&told[1], &told[5]), (&"KNOCKON switches all hooks off".into(), &"KNOCKON_SKIP names it".into()));
    for off in ["false", "OFF", "no"] {
        assert_eq!(emit("KNOCKON", off), ["a skipped", "b skipped", "c skipped"], "{off}");
    }
    let output = project.command(&["emit", "a.b"]).env("KNOCKON_SKIP", "bb").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("KNOCKON_SKIP names `bb`, and there is no such hook"));
    assert_eq!(emit("KNOCKON", "1"), ["a success", "b success", "c success"]);
}

#[test]
fn what_this_build_cannot_run_is_not_tried_again() {
    let project = trusted(
        "hooks:\n\
         - {name: told, events: [{type: '*'}], retry: {attempts: 3, backoff: 60m, max_backoff: 60m}, notify: {title: x}}\n\
         - {name: version, events: [{type: '*'}], retry: {attempts: 3, backoff: 60m, max_backoff: 60m}, schema_version: '7', command: 'true'}\n",
    );
    let document = project.json(&["emit", "a.b", "--json"]);
    assert_eq!(results(&document), ["told skipped", "version error"]);
    assert!(document["results"].as_array().unwrap().iter().all(|hook| hook["attempts"] == 1), "{document}");
}
