//! Asking the log: records by what they are about, one event's story, numbers, counters, and what is wrong.

use crate::support::{TestProject, stable};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A project in which something went well, something failed, and something did not run.
fn eventful() -> TestProject {
    let project = TestProject::trusted(
        "- {name: good, events: [{type: '*'}], command: 'echo fine'}\n\
         - {name: bad, events: [{type: 'task.*'}], command: 'echo first; echo why >&2; exit 3', retry: {attempts: 2, backoff: 1ms}}\n\
         - {name: guard, events: [{type: 'task.*'}], command: 'exit 4', fail_mode: stop}\n\
         - {name: never, events: [{type: 'task.*'}], command: 'true'}\n",
    );
    assert_eq!(project.run(&["emit", "task.completed", "--spec-id", "auth"]).code, 1);
    project.ok(&["emit", "spec.created"]);
    project
}

fn lines(project: &TestProject, arguments: &[&str]) -> Vec<String> {
    let shown = project.ok(&[&["audit"], arguments].concat()).stdout;
    // Without the time.
    let words = |line: &str| {
        let words = line.split_whitespace().skip(2).filter(|word| !word.starts_with("evt_"));
        words.collect::<Vec<_>>().join(" ")
    };
    shown.lines().map(words).collect()
}

#[test]
fn records_are_found_by_what_they_are_about() {
    let project = eventful();
    assert_eq!(lines(&project, &["--status", "emitted"]), ["task.completed emitted", "spec.created emitted"]);
    assert_eq!(
        lines(&project, &["--hook", "never"]),
        ["task.completed never skipped `guard` failed with fail_mode: stop"]
    );
    assert_eq!(lines(&project, &["--hook", "bad", "--status", "started,success"]).len(), 2);
    assert_eq!(lines(&project, &["--type", "spec.*"]).len(), 3);
    assert_eq!(lines(&project, &["--type", "spec.*", "--tail", "1"])[0].split(' ').next(), Some("spec.created"));
    assert_eq!(lines(&project, &["--since", "1h"]).len(), 13, "all of them");
    assert_eq!(lines(&project, &["--since", "1h", "--tail", "2"]).len(), 2);
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    assert_eq!(lines(&project, &["--event", &id]).len(), 10);
    let none = project.ok(&["audit", "--hook", "nobody"]).stdout;
    assert!(none.starts_with("no record in /") && none.ends_with("is as you asked for\n"), "{none}");
    let none = project.ok(&["audit", "--since", "2999-01-01"]).stdout;
    assert!(none.ends_with("is as you asked for\n"), "{none}");
    assert_eq!(lines(&project, &["--type", "spec.*,task.*", "--since", "1h"]).len(), 13);
    for wrong in [
        ["--type", "[z-a]"],
        ["--since", "yesterday"],
        ["--status", "bogus"],
        ["--status", "failed,FAILED"],
        ["--event", "bogus"],
    ] {
        assert_eq!(project.run(&["audit", wrong[0], wrong[1]]).code, 2, "{wrong:?}");
    }
}

#[test]
fn times_are_found_in_files_old_and_new() {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    project.ok(&["emit", "spec.created"]);
    let line = project.read(".knockon/audit.log");
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    let made = project.audit()[0]["timestamp"].as_str().unwrap().to_owned();
    // A record a minute, over two days, in more than one block of the file.
    let mut text = String::new();
    for minute in 0..2880 {
        let time = format!("2026-01-{:02}T{:02}:{:02}:00.000Z", 1 + minute / 1440, minute / 60 % 24, minute % 60);
        text.push_str(&line.replace(&made, &time).replace(&id, &format!("evt_{minute:026}")));
    }
    fs::write(project.hooks_folder().join("audit.log"), &text).unwrap();
    let count = |since: &str| project.json(&["audit", "--since", since, "--json"])["count"].as_u64().unwrap();
    for (since, wanted) in [
        ("2025-12-31", 2880),
        ("2026-01-02", 1440),
        ("2026-01-02T23:00:00Z", 60),
        ("2026-01-02T23:59:00Z", 1),
        ("2026-01-02T23:59:00.001Z", 0),
        ("2026-01-03", 0),
    ] {
        assert_eq!(count(since), wanted, "{since}");
    }
    let last = project.json(&["audit", "--since", "2026-01-02T12:00:00Z", "--tail", "3", "--json"]);
    assert_eq!(last["entries"][0]["timestamp"], "2026-01-02T23:57:00.000Z");
}

#[test]
fn records_can_be_had_as_csv() {
    let project = eventful();
    let csv = project.ok(&["audit", "--csv", "--hook", "never"]).stdout;
    let mut rows = csv.lines();
    assert_eq!(
        rows.next(),
        Some("timestamp,event_id,event_type,hook,status,exit_code,signal,duration_ms,attempt,pid,error")
    );
    let row = rows.next().unwrap();
    assert!(row.ends_with(",task.completed,never,skipped,,,,1,,`guard` failed with fail_mode: stop"), "{row}");
    assert_eq!(project.run(&["audit", "--csv", "--json"]).code, 2);
}

#[test]
fn the_story_of_an_event_is_a_tree() {
    let project = eventful();
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    let shown = stable(&project.ok(&["audit", "show", &id]).stdout, &project);
    let shape: Vec<String> = shown
        .lines()
        .filter(|line| !line.contains("knockon itself"))
        .map(|line| {
            let words = line
                .split_whitespace()
                .filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()) || word.len() == 1);
            words.filter(|word| *word != "ms").collect::<Vec<_>>().join(" ")
        })
        .collect();
    let wanted = [
        "task.completed evt_ID",
        "feature auth · made in",
        "├─ ✓ good success",
        "├─ ✗ bad 2 attempts",
        "│ ├─ ✗ attempt 1 failed exit 3",
        "│ │ stdout:",
        "│ │ first",
        "│ │ stderr:",
        "│ │ why",
        "│ └─ ✗ attempt 2 failed exit 3",
        "│ stdout:",
        "│ first",
        "│ stderr:",
        "│ why",
        "├─ ✗ guard failed exit 4",
        "└─ – never skipped `guard` failed with fail_mode: stop",
        "skipped_by stop",
        "`knockon explain evt_ID` says why other hooks did not match",
    ];
    assert_eq!(shape, wanted, "{shown}");
    let document = project.json(&["audit", "show", &id, "--json"]);
    assert_eq!(document["event"], project.audit()[0]["event"]);
    assert_eq!(document["hooks"][1]["attempts"][1]["exit_code"], 3);
    let ran = project.run(&["audit", "show", "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    assert!(ran.code == 2 && ran.stderr.contains("the audit log has no event evt_"), "{ran:?}");
}

#[test]
fn a_story_tells_what_followed_and_what_never_ended() {
    let project = TestProject::trusted(
        "- {name: ask, events: [{type: spec.created}], command: 'echo ''{\"emit\":[{\"type\":\"task.created\"}]}'''}\n",
    );
    project.ok(&["emit", "spec.created"]);
    let records = project.audit();
    let (first, second) = (&records[0]["event_id"], &records[3]["event_id"]);
    let shown = project.ok(&["audit", "show", first.as_str().unwrap()]).stdout;
    assert!(shown.contains(&format!("└─ → task.created  {}", second.as_str().unwrap())), "{shown}");
    let shown = project.ok(&["audit", "show", second.as_str().unwrap()]).stdout;
    assert!(shown.contains(&format!("caused by {}", &first.as_str().unwrap()[4..])), "{shown}");
    // A hook whose knockon was killed.
    let log = project.hooks_folder().join("audit.log");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.lines().take(2).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let shown = project.ok(&["audit", "show", first.as_str().unwrap()]).stdout;
    assert!(shown.contains("└─ … ask  started, and no ending is on record"), "{shown}");
}

#[test]
fn fields_of_a_later_version_are_kept_and_shown() {
    let project = TestProject::new();
    let id = "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let record = json!({ "seq": 1, "prev": "0".repeat(64), "timestamp": "2026-01-01T00:00:00.000Z", "event_id": id,
        "event_type": "a.b", "hook": "h", "status": "teleported", "mood": {"of": ["the", "hook"]}, "level": "high" });
    fs::write(project.hooks_folder().join("audit.log"), format!("{record}\n")).unwrap();
    assert_eq!(project.json(&["audit", "--json"])["entries"][0], record);
    let shown = project.ok(&["audit", "show", id]).stdout;
    assert!(
        shown.contains("✗ h  teleported") && shown.contains("level high · mood {\"of\":[\"the\",\"hook\"]}"),
        "{shown}"
    );
    let document = project.json(&["audit", "show", id, "--json"]);
    assert_eq!(document["hooks"][0]["attempts"][0]["further"]["level"], "high");
}

#[test]
fn numbers_say_how_hooks_fared() {
    let project = eventful();
    let numbers = project.json(&["stats", "--json"]);
    assert_eq!(numbers["events"], json!({ "task.completed": 1, "spec.created": 1 }));
    let bad = &numbers["hooks"]["bad"];
    assert_eq!(
        (&bad["runs"], &bad["failed"], &bad["retries"], &bad["success_rate"]),
        (&2.into(), &2.into(), &1.into(), &0.0.into())
    );
    assert_eq!(
        (&numbers["hooks"]["good"]["success_rate"], &numbers["hooks"]["never"]["runs"]),
        (&1.0.into(), &0.into())
    );
    assert_eq!(numbers["hooks"]["never"]["endings"]["skipped"], 1);
    for field in ["p50_ms", "p95_ms", "p99_ms", "max_ms"] {
        assert!(numbers["hooks"]["good"]["duration"][field].as_f64().unwrap() > 0.0, "{field}");
    }
    assert!(
        numbers["making"]["p50_ms"].as_f64().unwrap() > 0.0
            && numbers["all"]["overhead"]["sum_ms"].as_f64().unwrap() > 0.0
    );
    assert!(numbers["all"]["peak_kib"].as_u64().unwrap() > 0 && numbers["event_types"]["spec.created"]["runs"] == 1);
    let shown = project.ok(&["stats"]).stdout;
    assert!(shown.starts_with("2 events, 5 hook runs, 40 % went well\n"), "{shown}");
    assert!(!shown.contains('█'), "no pictures but on a terminal: {shown}");
    let (code, shown) = project.on_a_terminal("stats", "");
    assert!(code == 0 && shown.contains("████████") && shown.contains("××"), "{shown}");
    assert_eq!(project.ok(&["stats", "--since", "2999-01-01"]).stdout.lines().count(), 1);
}

#[test]
fn what_a_retry_makes_good_is_not_flaky_and_going_on_alone_is_no_attempt() {
    let project = TestProject::trusted(
        "- {name: again, events: [{type: '*'}], retry: {attempts: 3, backoff: 1ms}, command: 'if [ $HOOK_ATTEMPT = 1 ]; then exit 75; fi'}\n\
         - {name: alone, events: [{type: '*'}], mode: detach, command: 'true'}\n",
    );
    for _ in 0..3 {
        project.ok(&["emit", "spec.created", "--quiet"]);
    }
    crate::support::wait_until("the last", || {
        project.audit().iter().filter(|record| record["hook"] == "alone" && record["status"] == "success").count() == 3
    });
    let numbers = project.json(&["stats", "--json"]);
    assert_eq!((&numbers["hooks"]["again"]["runs"], &numbers["hooks"]["again"]["retries"]), (&6.into(), &3.into()));
    assert_eq!((&numbers["hooks"]["again"]["flakiness"], &numbers["flakiest"]), (&0.0.into(), &json!([])));
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    let shown = project.ok(&["audit", "show", &id]).stdout;
    assert!(shown.contains("✓ again  2 attempts") && shown.contains("✓ alone\n"), "{shown}");
    assert!(shown.contains("no attempt  detached") && shown.contains("attempt 1  failed"), "{shown}");
    assert_eq!(shown.matches("exit 75").count(), 1, "said once: {shown}");
}

#[test]
fn the_flakiest_and_the_time_in_queues_are_named() {
    let project = TestProject::trusted(
        "- {name: flaky, events: [{type: '*'}], command: 'if [ -e flag ]; then rm flag; else touch flag; exit 1; fi'}\n\
         - {name: later, events: [{type: '*'}], mode: detach, command: 'sleep 0.3', concurrency_group: one}\n",
    );
    for _ in 0..4 {
        project.ok(&["emit", "spec.created"]);
    }
    crate::support::wait_until("the last of the queue", || {
        project.audit().iter().filter(|record| record["hook"] == "later" && record["status"] == "success").count() == 4
    });
    let numbers = project.json(&["stats", "--json"]);
    assert_eq!(numbers["flakiest"], json!(["flaky"]));
    assert_eq!(numbers["hooks"]["flaky"]["flakiness"], 1.0);
    assert_eq!(numbers["slowest"][0], "later", "{numbers:#}");
    assert!(numbers["hooks"]["later"]["waited"]["max_ms"].as_f64().unwrap() > 250.0, "{numbers}");
    let shown = project.ok(&["stats"]).stdout;
    assert!(
        shown.contains("flakiest") && shown.contains("flaky (changes 100 %)") && shown.contains("in queues and groups"),
        "{shown}"
    );
}

#[test]
fn lines_that_cannot_be_read_are_told() {
    let project = eventful();
    let log = project.hooks_folder().join("audit.log");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen('\n', "\ngarbage\n", 1)).unwrap();
    for command in [&["audit", "--tail", "100"][..], &["stats"], &["report"]] {
        let ran = project.ok(command);
        assert!(ran.stderr.contains("1 line of the log cannot be read"), "{command:?}: {ran:?}");
    }
}

fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn counters_only_grow_whatever_becomes_of_the_log() {
    let project = eventful();
    let path = project.home().join("knockon.prom");
    let update = || {
        project.ok(&["stats", "--metrics-file", path.to_str().unwrap()]);
        fs::read_to_string(&path).unwrap()
    };
    let text = update();
    let of = |hook: &str, status: &str| {
        format!(
            "knockon_hook_runs_total{{project=\"{}\",hook=\"{hook}\",status=\"{status}\"}}",
            project.root().display()
        )
    };
    assert_eq!(metric(&text, &of("bad", "failed")), Some(2.0), "{text}");
    assert_eq!(metric(&text, &of("good", "success")), Some(2.0), "{text}");
    let bucket = format!(
        "knockon_hook_duration_seconds_bucket{{project=\"{}\",hook=\"good\",le=\"+Inf\"}}",
        project.root().display()
    );
    assert_eq!(metric(&text, &bucket), Some(2.0));
    assert_eq!(update(), text, "nothing is counted twice");
    project.ok(&["emit", "spec.created"]);
    assert_eq!(metric(&update(), &of("good", "success")), Some(3.0));
    // What is old goes from the log, not from the counters.
    let folder = project.home().join(".config/knockon");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("settings.yaml"), "version: '1.0'\naudit: {max_size: 10kB, keep: 0}\n").unwrap();
    for _ in 0..12 {
        project.ok(&["emit", "spec.created"]);
        update();
    }
    assert_eq!(metric(&update(), &of("good", "success")), Some(15.0));
    // Every line is one of the format: a comment, or a name with labels and a number.
    for line in update().lines() {
        let sample =
            line.rsplit_once(' ').is_some_and(|(series, value)| series.ends_with('}') && value.parse::<f64>().is_ok());
        assert!(line.starts_with("# ") || sample, "{line}");
    }
    let printed = project.ok(&["stats", "--metrics-file", "-"]).stdout;
    assert!(printed.contains("# TYPE knockon_hook_duration_seconds histogram"), "{printed}");
}

#[test]
fn a_metrics_file_of_something_else_is_left_alone() {
    let (project, other) = (eventful(), TestProject::bare());
    let path = project.home().join("node.prom");
    fs::write(&path, "node_load1 0.5\n").unwrap();
    let ran = project.run(&["stats", "--metrics-file", path.to_str().unwrap()]);
    assert!(ran.code == 74 && ran.stderr.contains("is no metrics file of knockon"), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "node_load1 0.5\n");
    fs::remove_file(&path).unwrap();
    project.ok(&["stats", "--metrics-file", path.to_str().unwrap()]);
    let ran = other.run(&["stats", "--metrics-file", path.to_str().unwrap()]);
    assert!(ran.code == 74 && ran.stderr.contains("counts for the project /"), "{ran:?}");
}

fn finding<'a>(document: &'a Value, check: &str) -> &'a Value {
    document["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap()
}

#[test]
fn a_doctor_finds_nothing_where_all_is_well() {
    let project = eventful();
    let ran = project.ok(&["doctor"]);
    assert!(ran.stdout.ends_with("all is well\n") || ran.stdout.contains("! sandbox"), "{ran:?}");
    let document = project.json(&["doctor", "--json"]);
    assert_eq!((&document["healthy"], &document["errors"]), (&true.into(), &0.into()));
    assert!(finding(&document, "chain")["message"].as_str().unwrap().starts_with("13 records"), "{document}");
    let bare = TestProject::bare();
    assert!(bare.ok(&["doctor"]).stdout.contains("nothing is recorded in"), "also without a project");
}

#[test]
fn a_doctor_says_of_each_trouble_what_to_do() {
    let project = eventful();
    let ill = |check: &str, level: &str, message: &str, help: &str| {
        let ran = project.run(&["doctor", "--json"]);
        assert_eq!(ran.code, i32::from(level == "error"), "{ran:?}");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let all = document["findings"].as_array().unwrap();
        let found = all.iter().any(|finding| {
            let says = |field: &str, part: &str| finding[field].as_str().unwrap_or_default().contains(part);
            finding["check"] == check && finding["level"] == level && says("message", message) && says("help", help)
        });
        assert!(found, "{check} {level} {message}: {document:#}");
    };
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(project.root().join(path), fs::Permissions::from_mode(mode)).unwrap()
    };
    mode(".knockon/audit.log", 0o666);
    ill("audit log", "warning", "everyone", "chmod");
    mode(".knockon/audit.log", 0o600);
    let log = project.hooks_folder().join("audit.log");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, [&whole[..], b"{\"seq\":14,\"pr"].concat()).unwrap();
    ill("torn line", "warning", "ends in the middle of a line", "never acknowledged");
    fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    ill("chain", "error", "are missing: knockon sealed record 13", "seal --accept");
    fs::write(&log, &whole).unwrap();
    let state = project.home().join(".local/state/knockon");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    ill("state folder", "error", "can be read by others", "chmod 700 ");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(state.join("knockon.db"), "this is no database, whatever its name says").unwrap();
    ill("background", "error", "cannot be used", "moves it aside");
    fs::remove_file(state.join("knockon.db")).unwrap();
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let project = TestProject::new();
    let record = json!({ "seq": 1, "prev": "0".repeat(64), "timestamp": "2999-01-01T00:00:00.000Z",
        "event_id": "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "event_type": "a.b", "status": "emitted", "event": {} });
    fs::write(project.hooks_folder().join("audit.log"), format!("{record}\n")).unwrap();
    let document = project.json(&["doctor", "--json"]);
    assert_eq!(finding(&document, "clock")["level"], "warning", "{document:#}");
}
