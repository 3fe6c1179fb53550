//! Whoever can write to a project tries to make its log lie, stop, or fall over. Each was found by an attack.

use crate::support::TestProject;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::PathBuf;

fn quiet(audit: &str) -> TestProject {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    let folder = project.home().join(".config/knockon");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("settings.yaml"), format!("version: '1.0'\naudit: {audit}\n")).unwrap();
    project
}

fn emit(project: &TestProject, times: usize) {
    for _ in 0..times {
        project.ok(&["emit", "task.completed", "--quiet"]);
    }
}

fn log(project: &TestProject, end: &str) -> PathBuf {
    project.hooks_folder().join(format!("audit.log{end}"))
}

#[track_caller]
fn is_found(project: &TestProject) {
    let ran = project.run(&["audit", "verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn a_planted_file_that_is_removed_covers_no_tracks() {
    let project = quiet("{max_size: 10kB, keep: 2}");
    emit(&project, 8);
    let line = project.ok(&["audit", "seal", "--print"]).stdout;
    fs::write(log(&project, ".6"), format!("{{\"seq\":9000,\"prev\":\"{}\"}}\n", "f".repeat(64))).unwrap();
    fs::write(log(&project, ""), format!("{{\"seq\":1,\"x\":\"{}\"}}\n", "y".repeat(12_000))).unwrap();
    emit(&project, 1);
    assert!(!log(&project, ".6").exists(), "it was more than is kept");
    fs::remove_file(log(&project, "")).unwrap();
    fs::remove_file(log(&project, ".1")).unwrap();
    emit(&project, 1);
    let ran = project.run(&["audit", "verify"]);
    assert!(ran.code == 1 || ran.stderr.contains("the log was reset"), "{ran:?}");
    assert_eq!(project.run(&["audit", "verify", "--seal", line.trim()]).code, 1);
}

#[test]
fn enough_further_records_cover_no_cut() {
    let project = quiet("{max_size: 10kB, keep: 1}");
    emit(&project, 15);
    fs::write(log(&project, ""), "").unwrap();
    emit(&project, 5);
    is_found(&project);
    emit(&project, 60);
    is_found(&project);
}

#[test]
fn enough_further_records_cover_no_reset() {
    let project = quiet("{max_size: 10kB, keep: 1}");
    emit(&project, 15);
    fs::remove_file(log(&project, "")).unwrap();
    emit(&project, 65);
    let ran = project.run(&["audit", "verify"]);
    assert!(ran.code == 0 && ran.stderr.contains("the log was reset"), "{ran:?}");
}

#[test]
fn another_layout_is_another_log_and_no_alarm() {
    let project = TestProject::bare();
    fs::create_dir(project.root().join(".git")).unwrap();
    emit(&project, 2);
    project.ok(&["init"]);
    emit(&project, 1);
    project.ok(&["audit", "verify"]);
    project.ok(&["doctor"]);
}

#[test]
fn an_empty_file_after_a_rotation_is_no_alarm() {
    let project = quiet("{max_size: 10kB, keep: 0}");
    emit(&project, 30);
    // A writer that was killed right after it had removed the file that was full.
    let lines = fs::read_to_string(log(&project, "")).unwrap();
    assert!(lines.lines().count() < 30);
    emit(&project, 60);
    project.ok(&["audit", "verify"]);
}

#[test]
fn what_is_put_beside_the_log_neither_breaks_nor_stops_it() {
    let project = quiet("{}");
    emit(&project, 1);
    let side = log(&project, ".side");
    fs::create_dir(&side).unwrap();
    fs::write(side.join("9-0000000000000000.jsonl"), format!("{{\"a\":\"{}\"}}\n", "x".repeat(40_000_000))).unwrap();
    fs::write(side.join("9-0000000000000001.jsonl"), "{ }\n {\"a\":1}\n{\"status\":\"kept\"}\n").unwrap();
    fs::write(side.join("9-0000000000000002.jsonl"), b"{\"a\":\"\xff\"}\n{\"status\":\"also\"}\n").unwrap();
    emit(&project, 2);
    let statuses: Vec<Value> = project.audit().iter().map(|record| record["status"].clone()).collect();
    assert_eq!(statuses, ["emitted", "kept", "also", "emitted", "emitted"]);
    project.ok(&["audit", "verify"]);
    let ran = project.ok(&["doctor"]);
    assert!(ran.stdout.contains("3 files beside the log had lines that are no records"), "{ran:?}");
}

#[test]
fn names_of_older_files_that_are_something_else_stop_no_rotation() {
    let project = quiet("{max_size: 10kB, keep: 2}");
    emit(&project, 25);
    fs::create_dir(log(&project, ".2")).unwrap();
    symlink("/etc/passwd", log(&project, ".7")).unwrap();
    project.ok(&["audit", "--tail", "1"]);
    emit(&project, 60);
    assert!(fs::metadata(log(&project, "")).unwrap().len() <= 10_000);
    project.ok(&["audit", "verify"]);
    assert_eq!(
        fs::read_link(
            fs::read_dir(project.hooks_folder())
                .unwrap()
                .flatten()
                .map(|entry| entry.path())
                .find(|path| path.is_symlink())
                .unwrap()
        )
        .unwrap(),
        PathBuf::from("/etc/passwd")
    );

    let project = quiet("{max_size: 10kB, keep: 2, compress: true}");
    emit(&project, 75);
    fs::write(log(&project, ".2.zst"), "garbage").unwrap();
    let ran = project.run(&["audit", "verify"]);
    assert!(ran.code == 1 && ran.stdout.contains("audit.log.2.zst cannot be read"), "{ran:?}");
    emit(&project, 60);
    assert!(fs::metadata(log(&project, "")).unwrap().len() <= 10_000, "what cannot be read stops no rotation");
}

#[test]
fn a_doctor_sees_that_nothing_can_be_recorded() {
    let project = quiet("{}");
    emit(&project, 1);
    fs::write(log(&project, ""), format!("{{\"a\":\"{}\"}}\n", "x".repeat(40_000_000))).unwrap();
    let ran = project.run(&["doctor"]);
    assert!(ran.code == 1 && ran.stdout.contains("nothing can be recorded in /"), "{ran:?}");
    // What nobody acknowledged is taken away, however much it is.
    let project = quiet("{}");
    emit(&project, 1);
    fs::File::options().append(true).open(log(&project, "")).unwrap().set_len(300_000_000).unwrap();
    emit(&project, 1);
    assert_eq!(project.audit().len(), 2);
}

#[test]
fn records_are_found_by_time_whatever_the_clock_did() {
    let project = quiet("{}");
    emit(&project, 1);
    let (line, made) =
        (project.read(".knockon/audit.log"), project.audit()[0]["timestamp"].as_str().unwrap().to_owned());
    let at = |time: String| line.replace(&made, &time);
    let noon = (0..3000).map(|n| at(format!("2026-01-01T12:{:02}:{:02}.000Z", n / 60, n % 60)));
    let before = (0..3000).map(|n| at(format!("2026-01-01T10:{:02}:{:02}.000Z", n / 60, n % 60)));
    fs::write(log(&project, ""), noon.chain(before).collect::<String>()).unwrap();
    let count = |since: &str| project.json(&["audit", "--since", since, "--json"])["count"].as_u64().unwrap();
    assert_eq!(count("2026-01-01T11:00:00Z"), 3000);
    assert_eq!(count("2026-01-01T12:20:00Z"), 1800);
    assert_eq!(count("2026-01-01T10:20:00Z"), 4800);
}

#[test]
fn whoever_follows_is_told_that_the_log_was_begun_anew() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let project = quiet("{}");
    emit(&project, 5);
    let mut command = project.command(&["audit", "--follow", "--json", "--tail", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()["seq"].clone();
    assert_eq!(next(), 5);
    fs::remove_file(log(&project, "")).unwrap();
    emit(&project, 3);
    assert_eq!([next(), next(), next()], [1, 2, 3]);
    let said = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(said.contains("the log was begun anew"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn counters_survive_a_log_that_is_begun_anew() {
    let project = quiet("{}");
    let path = project.home().join("k.prom");
    let counted = || {
        project.ok(&["stats", "--metrics-file", path.to_str().unwrap()]);
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().find(|line| line.starts_with("knockon_events_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    emit(&project, 5);
    assert_eq!(counted(), 5.0);
    fs::remove_file(log(&project, "")).unwrap();
    emit(&project, 9);
    assert_eq!(counted(), 14.0);
    fs::remove_file(log(&project, "")).unwrap();
    emit(&project, 1);
    assert_eq!(counted(), 15.0);
    fs::OpenOptions::new().append(true).open(log(&project, "")).unwrap().write_all(b"garbage\n").unwrap();
    assert_eq!(counted(), 15.0);
}

#[test]
fn a_metrics_file_is_a_plain_file() {
    let project = quiet("{}");
    emit(&project, 1);
    let (fifo, link) = (project.home().join("fifo"), project.home().join("link.prom"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    symlink("elsewhere", &link).unwrap();
    for path in [&fifo, &link] {
        let ran = project.run(&["stats", "--metrics-file", path.to_str().unwrap()]);
        assert!(ran.code == 74 && ran.stderr.contains("is no plain file"), "{ran:?}");
    }
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo() && link.is_symlink());
}

#[test]
fn an_edited_log_is_not_accepted_until_it_is_moved_away() {
    let project = quiet("{}");
    emit(&project, 5);
    let line = project.ok(&["audit", "seal", "--print"]).stdout;
    let text = project.read(".knockon/audit.log");
    fs::write(log(&project, ""), text.replacen("task.completed", "task.archived", 1)).unwrap();
    let ran = project.run(&["audit", "seal", "--accept"]);
    assert!(ran.code == 1 && ran.stderr.contains("move its files away"), "{ran:?}");
    is_found(&project);
    // Also when the seal is of no use any more.
    for entry in fs::read_dir(project.home().join(".local/state/knockon/seals")).unwrap().flatten() {
        fs::write(entry.path(), "x").unwrap();
    }
    let ran = project.run(&["audit", "verify", "--seal", line.trim()]);
    assert!(
        ran.stdout.contains("record 1 says that you wrote it, and was changed") && ran.stdout.contains("it is damaged"),
        "{ran:?}"
    );
    fs::rename(log(&project, ""), log(&project, ".evidence")).unwrap();
    emit(&project, 1);
    project.ok(&["audit", "seal", "--accept"]);
    project.ok(&["audit", "verify"]);
    assert_eq!(project.run(&["audit", "verify", "--seal", &line.replace("seq=5", "seq=0")]).code, 2);
}

#[test]
fn a_story_has_the_event_as_it_was() {
    let project = quiet("{}");
    let payload = "{\"event_type\":\"spec.created\",\"context\":{\"n\":12345678901234567890123,\"e\":1e999}}";
    let ran = project.ok(&["run", "--payload", payload, "--json"]).stdout;
    let id = ran.split("\"event_id\":\"").nth(1).unwrap()[..30].to_owned();
    let shown = project.ok(&["audit", "show", &id, "--json"]).stdout;
    assert!(shown.contains("12345678901234567890123") && shown.contains("1e999"), "{shown}");
}

#[test]
fn very_many_names_are_counted_together() {
    let project = quiet("{}");
    let record = |n: usize| {
        json!({ "seq": n + 1, "prev": "0".repeat(64), "timestamp": "2026-01-01T00:00:00.000Z", "event_id": "e",
            "event_type": format!("t{n}.\u{202e}"), "hook": format!("h{n}"), "status": "success", "duration_ms": -1e300, "waited_ms": 5 })
    };
    let text: String = (0..5000).map(|n| format!("{}\n", record(n))).collect();
    fs::write(log(&project, ""), text).unwrap();
    let numbers = project.json(&["stats", "--json"]);
    assert_eq!(numbers["hooks"].as_object().unwrap().len(), 1001);
    assert_eq!(numbers["hooks"]["(others)"]["runs"], 4000);
    let printed = project.ok(&["stats", "--metrics-file", "-"]).stdout;
    assert!(printed.contains("(others)") && !printed.contains('\u{202e}'));
}
