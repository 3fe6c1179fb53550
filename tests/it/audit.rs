//! The audit log: what it holds, and that it holds whatever many processes do.

use crate::support::TestProject;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn every_step_is_on_record_with_the_fields_of_the_contract() {
    let project = TestProject::trusted(
        "- {name: good, events: [{type: '*'}], command: 'echo 1; echo 2'}\n\
         - {name: bad, events: [{type: '*'}], command: 'echo why >&2; exit 9'}\n",
    );
    project.ok(&["emit", "spec.created", "--spec-id", "s"]);
    let records = project.audit();
    assert_eq!(project.audit_story(), ["emitted", "good started", "good success", "bad started", "bad failed"]);
    let id = records[0]["event"]["event_id"].clone();
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], index + 1);
        assert_eq!((&record["event_id"], &record["event_type"]), (&id, &json!("spec.created")));
        assert!(record["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(record.as_object().unwrap().values().all(|value| !value.is_null()), "absent, not null: {record}");
    }
    let good = &records[2];
    assert_eq!((&good["exit_code"], &good["stdout_lines"], &good["stderr_lines"]), (&json!(0), &json!(2), &json!(0)));
    assert!(good["pid"].as_i64().unwrap() > 1 && good["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(good.get("stdout_tail").is_none(), "only a failure's output is kept");
    let bad = &records[4];
    assert_eq!((&bad["error"], &bad["stderr_tail"], &bad["attempt"]), (&json!("exit 9"), &json!("why\n"), &json!(1)));
}

#[test]
fn each_line_links_to_the_one_before() {
    let project = TestProject::trusted("- {name: a, events: [{type: '*'}], command: 'true'}\n");
    for _ in 0..3 {
        project.ok(&["emit", "spec.created"]);
    }
    let log = project.read(".knockon/audit.log");
    let mut before = "0".repeat(64);
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["prev"], before, "{line}");
        before = blake3::hash(line.as_bytes()).to_hex().to_string();
    }
    assert_eq!(log.lines().count(), 9);
}

#[test]
fn processes_side_by_side_lose_and_tear_nothing() {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    let script = "i=0; while [ $i -lt 100 ]; do \"$KNOCKON_BINARY\" emit task.completed --task-id t-$0-$i --quiet || exit 1; i=$((i+1)); done";
    let children: Vec<_> = (0..32)
        .map(|n| project.program("/bin/sh", &["-c", script, &n.to_string()]).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let records = project.audit();
    let ids: HashSet<&str> = records.iter().map(|record| record["event_id"].as_str().unwrap()).collect();
    assert_eq!((records.len(), ids.len()), (3200, 3200));
    assert!(records.iter().all(|record| record["status"] == "emitted"));
    let tasks: HashSet<&str> =
        records.iter().map(|record| record["event"]["context"]["task_id"].as_str().unwrap()).collect();
    assert_eq!(tasks.len(), 3200);
    assert!(records.iter().enumerate().all(|(index, record)| record["seq"] == index + 1));
}

#[test]
fn a_torn_last_line_is_taken_away_and_the_log_goes_on() {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    project.ok(&["emit", "spec.created"]);
    let path = project.hooks_folder().join("audit.log");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"seq\":2,\"prev\":\"ab").unwrap();
    project.ok(&["emit", "spec.updated"]);
    let records = project.audit();
    assert_eq!(records.len(), 2);
    assert_eq!((&records[1]["seq"], &records[1]["event_type"]), (&json!(2), &json!("spec.updated")));
}

#[test]
fn a_log_that_cannot_be_written_breaks_no_caller_and_is_told() {
    let project = TestProject::trusted("- {name: a, events: [{type: '*'}], command: touch ran}\n");
    for make in ["ln -s /etc/passwd", "mkdir", "mkfifo"] {
        let path = project.hooks_folder().join("audit.log");
        let script = format!("rm -rf '{0}' ran; {make} '{0}'", path.display());
        let made = std::process::Command::new("/bin/sh").args(["-c", &script]).current_dir(project.root()).status();
        assert!(made.unwrap().success());
        let ran = project.ok(&["emit", "spec.created"]);
        assert!(project.exists("ran"), "{make}");
        assert!(ran.stderr.contains("warning: the audit log"), "{make}: {ran:?}");
    }
    assert!(!fs::read_to_string("/etc/passwd").unwrap().contains("spec.created"));
}

#[test]
fn audit_shows_the_last_records() {
    let project = TestProject::trusted("- {name: a, events: [{type: '*'}], command: 'true'}\n");
    assert!(project.ok(&["audit"]).stdout.starts_with("nothing is recorded in"));
    for _ in 0..7 {
        project.ok(&["emit", "spec.created"]);
    }
    assert_eq!(project.ok(&["audit"]).stdout.lines().count(), 10);
    let shown = project.ok(&["audit", "--tail", "3"]).stdout;
    let columns: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().skip(2).take(3).collect()).collect();
    let records = project.audit();
    let id = records[18]["event_id"].as_str().unwrap();
    assert!(shown.lines().all(|line| line.split_whitespace().nth(1).unwrap().ends_with('Z')), "times are UTC: {shown}");
    assert_eq!(
        columns,
        [
            vec!["spec.created", "emitted", id],
            vec!["spec.created", "a", "started"],
            vec!["spec.created", "a", "success"]
        ]
    );
    assert_eq!(project.ok(&["audit", "-n", "0"]).stdout, "no record was asked for\n");
    let document = project.json(&["audit", "--tail", "100", "--json"]);
    assert_eq!(document["count"], 21);
    assert_eq!(document["entries"][20], project.audit()[20]);
    fs::write(project.hooks_folder().join("audit.log"), "{}\nnonsense\n").unwrap();
    let ran = project.ok(&["audit", "-n", "1"]);
    assert!(ran.stdout.starts_with("no record in the last 1 line of /"), "{ran:?}");
    assert!(ran.stderr.contains("1 line of the log cannot be read"), "{ran:?}");
}

#[test]
fn a_hostile_last_line_ends_nothing() {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    let path = project.hooks_folder().join("audit.log");
    for (last, seq) in [("{\"seq\":18446744073709551615}", 1), ("{\"seq\":-1}", 1), ("\u{0}", 1), ("{\"seq\":7}", 8)] {
        fs::write(&path, format!("{last}\n")).unwrap();
        assert_eq!(project.ok(&["emit", "spec.created"]).stderr, "", "{last}");
        let log = fs::read_to_string(&path).unwrap();
        let record: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!((&record["seq"], &record["event_type"]), (&json!(seq), &json!("spec.created")), "{last}");
    }
}

#[test]
fn a_lock_that_somebody_holds_costs_an_emit_two_seconds_in_all() {
    let project = TestProject::trusted(
        "- {name: a, events: [{type: '*'}], command: echo >> ran}\n- {name: b, events: [{type: '*'}], command: echo >> ran}\n",
    );
    project.ok(&["emit", "spec.created"]);
    let held = fs::File::open(project.hooks_folder().join("audit.log")).unwrap();
    held.lock().unwrap();
    let started = Instant::now();
    let ran = project.ok(&["emit", "spec.created"]);
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(ran.stderr.matches("another process held the lock of the audit log").count(), 1, "{ran:?}");
    assert_eq!(project.read("ran").lines().count(), 4, "the hooks ran");
    let findings = project.run(&["doctor"]);
    let own = std::process::id();
    assert!(findings.stdout.contains(&format!("! lock: process {own} (")), "who has it is named: {findings:?}");
    assert!(findings.stdout.contains("1 file beside the log"), "{findings:?}");
    drop(held);
    assert_eq!(project.audit().len(), 5, "the log is as it was");
    project.ok(&["emit", "spec.created"]);
    let records = project.audit();
    assert_eq!(records.len(), 15, "what was kept beside it is in it, and the next emit asks again");
    let merged = |record: &Value| record.get("merged").is_some();
    assert_eq!(records.iter().map(merged).collect::<Vec<_>>(), [[false; 5], [true; 5], [false; 5]].concat());
    assert!(!project.hooks_folder().join("audit.log.side").exists());
    assert!(project.ok(&["audit", "verify"]).stdout.starts_with("valid: 15 records"));
}

#[test]
fn reading_a_log_follows_no_link_out_of_the_project_and_waits_for_no_pipe() {
    let project = TestProject::new();
    let secret = project.home().join("secret");
    fs::write(&secret, "{\"timestamp\":\"secret\"}\n").unwrap();
    let log = project.hooks_folder().join("audit.log");
    let audit = || {
        let mut command = project.program("timeout", &["10", env!("CARGO_BIN_EXE_knockon"), "audit", "--json"]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    std::os::unix::fs::symlink(&secret, &log).unwrap();
    let (code, said) = audit();
    assert!(
        code == Some(74) && said.contains("leads out of the folder") && !said.contains("secret"),
        "{code:?} {said}"
    );
    fs::remove_file(&log).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&log).status().unwrap().success());
    let (code, said) = audit();
    assert!(code == Some(74) && said.contains("it is a pipe or socket"), "{code:?} {said}");
}

#[test]
fn a_cell_of_csv_is_no_formula() {
    let project = TestProject::trusted(
        "- {name: h, events: [{type: a.b}], command: 'echo \"=1+1\" >&2; exit 2', fail_mode: stop}\n",
    );
    project.run(&["emit", "a.b"]);
    let log = project.hooks_folder().join("audit.log");
    let mut text = std::fs::read_to_string(&log).unwrap();
    for forged in ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\\t=1"] {
        text.push_str(&format!(
            "{{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"event_type\":\"{forged}\",\"status\":\"{forged}\"}}\n"
        ));
    }
    std::fs::write(&log, text).unwrap();
    let csv = project.ok(&["audit", "--csv"]).stdout;
    for cell in csv.lines().flat_map(|line| line.split(',')) {
        assert!(!cell.trim_start_matches('"').starts_with(['=', '+', '-', '@', '\t']), "{cell}: {csv}");
    }
    assert!(csv.contains("'=HYPERLINK(1)") && csv.contains("'@SUM(1)"), "{csv}");
}
