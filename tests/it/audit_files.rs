//! The files of a log: begun anew at a size, kept for some time, compressed, followed, and merged from beside it.

use crate::support::{TestProject, wait_until};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

fn settings(project: &TestProject, audit: &str) {
    let folder = project.home().join(".config/knockon");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("settings.yaml"), format!("version: '1.0'\naudit: {audit}\n")).unwrap();
}

/// A project without hooks: one record an emit.
fn quiet(audit: &str) -> TestProject {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    settings(&project, audit);
    project
}

fn emit(project: &TestProject, times: usize) {
    for _ in 0..times {
        project.ok(&["emit", "task.completed", "--quiet"]);
    }
}

fn names(project: &TestProject) -> Vec<String> {
    let entries = fs::read_dir(project.hooks_folder()).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("audit.log"));
    names.sort();
    names
}

fn seqs(project: &TestProject) -> Vec<u64> {
    let document = project.json(&["audit", "--json", "--tail", "100000"]);
    document["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
}

#[test]
fn a_full_file_is_followed_by_the_next_and_the_oldest_goes() {
    let project = quiet("{max_size: 11kB, keep: 2}");
    emit(&project, 20);
    assert_eq!(names(&project), ["audit.log"]);
    emit(&project, 60);
    assert_eq!(names(&project), ["audit.log", "audit.log.1", "audit.log.2"]);
    for name in ["audit.log.1", "audit.log.2"] {
        let size = fs::metadata(project.hooks_folder().join(name)).unwrap().len();
        assert!((9_000..=11_000).contains(&size), "{name}: {size}");
    }
    let seqs = seqs(&project);
    assert_eq!(*seqs.last().unwrap(), 80);
    assert!(seqs[0] > 1 && seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    let verified = project.json(&["audit", "verify", "--json"]);
    assert_eq!(
        (&verified["valid"], &verified["last_seq"], &verified["notes"]),
        (&true.into(), &80.into(), &Value::Array(vec![]))
    );
}

#[test]
fn nothing_is_kept_where_nothing_is_to_be_kept() {
    let project = quiet("{max_size: 11kB, keep: 0}");
    emit(&project, 60);
    assert_eq!(names(&project), ["audit.log"]);
    let verified = project.json(&["audit", "verify", "--json"]);
    assert_eq!((&verified["valid"], &verified["last_seq"]), (&true.into(), &60.into()));
}

#[test]
fn compressed_files_are_searched_like_others() {
    let project = quiet("{max_size: 11kB, keep: 9, compress: true}");
    let first = project.json(&["emit", "spec.created", "--json"])["event"]["event_id"].as_str().unwrap().to_owned();
    emit(&project, 80);
    let names = names(&project);
    assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.2.zst", "audit.log.3.zst"], "{names:?}");
    assert_eq!(seqs(&project), (1..=81).collect::<Vec<u64>>());
    let found = project.json(&["audit", "--event", &first, "--json"]);
    assert_eq!((&found["count"], &found["entries"][0]["seq"]), (&1.into(), &1.into()));
    assert!(project.ok(&["audit", "show", &first]).stdout.starts_with("spec.created"));
    assert!(project.ok(&["explain", &first]).stdout.contains("spec.created"));
    assert_eq!(project.json(&["audit", "verify", "--json"])["records"], 81);
    let document = project.json(&["audit", "--type", "spec.*", "--tail", "3", "--json"]);
    assert_eq!(document["count"], 1);
}

/// Makes all records so many days older, linked as they were, and takes the result for what it should be.
fn age(project: &TestProject, days: u32) {
    let mut before = "0".repeat(64);
    let mut names = names(project);
    names.sort_by_key(|name| std::cmp::Reverse(name.clone()));
    for name in names {
        let path = project.hooks_folder().join(name);
        let mut lines = String::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record["prev"] = before.into();
            // A line that is written anew has no author.
            record.as_object_mut().unwrap().remove("mac");
            record["timestamp"] = format!("2026-01-{:02}T00:00:00.000Z", 31 - days).into();
            let line = record.to_string();
            before = blake3::hash(line.as_bytes()).to_hex().to_string();
            lines.push_str(&format!("{line}\n"));
        }
        fs::write(path, lines).unwrap();
    }
    project.ok(&["audit", "seal", "--accept"]);
}

/// Lets a day pass, as far as looking for old files goes.
fn next_day(project: &TestProject) {
    for entry in fs::read_dir(project.home().join(".local/state/knockon/seals")).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        let (_, json) = text.trim_end().split_once(' ').unwrap();
        let mut seals: Value = serde_json::from_str(json).unwrap();
        seals["swept"] = 0.into();
        let json = seals.to_string();
        let mix = |sum: u64, part: &[u8]| {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        };
        let sum = json.as_bytes().chunks(8).fold(json.len() as u64, mix);
        fs::write(entry.path(), format!("{sum:016x} {json}\n")).unwrap();
    }
}

#[test]
fn files_are_removed_when_their_last_record_is_old() {
    let project = quiet("{max_size: 11kB, keep: 5, retention: 2d}");
    emit(&project, 40);
    assert_eq!(names(&project), ["audit.log", "audit.log.1"]);
    age(&project, 3);
    // Looked for once a day.
    emit(&project, 1);
    // Accepting the log is a record, too.
    assert_eq!(seqs(&project), (1..=42).collect::<Vec<u64>>());
    next_day(&project);
    emit(&project, 1);
    let left = seqs(&project);
    assert!(left[0] > 1 && *left.last().unwrap() == 43, "{left:?}");
    // A file that begins with an old record is followed by the next one, and goes in its turn.
    assert_eq!(names(&project), ["audit.log", "audit.log.1"]);
    let verified = project.json(&["audit", "verify", "--json"]);
    assert_eq!((&verified["valid"], &verified["last_seq"]), (&true.into(), &43.into()), "{verified}");
}

#[test]
fn times_of_files_remove_nothing() {
    let project = quiet("{max_size: 11kB, keep: 5, retention: 2d}");
    emit(&project, 60);
    for name in names(&project) {
        let file = fs::File::options().append(true).open(project.hooks_folder().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(300 * 24 * 3600)).unwrap();
    }
    assert_eq!(project.json(&["audit", "--since", "1h", "--json"])["count"], 60, "nor do they hide anything");
    next_day(&project);
    emit(&project, 1);
    assert_eq!(seqs(&project), (1..=61).collect::<Vec<u64>>());
}

#[test]
fn settings_that_cannot_be_used_are_told_and_lose_nothing() {
    let project = quiet("{max_size: tiny}");
    let ran = project.ok(&["audit"]);
    assert!(ran.stderr.contains("settings.yaml:2:"), "{ran:?}");
    assert!(ran.stderr.contains("a size is wanted, 10kB to 1000GB"), "{ran:?}");
    emit(&project, 1);
    assert_eq!(project.audit().len(), 1);
    let ran = project.run(&["doctor"]);
    assert!(ran.code == 1 && ran.stdout.contains("✗ settings:"), "{ran:?}");
    let ran = project.ok(&["emit", "task.completed"]);
    assert!(ran.stderr.contains("defaults hold, and no old record is removed"), "{ran:?}");

    // A slip in a file that kept much must not remove it.
    let project = quiet("{max_size: 11kB, keep: 100}");
    emit(&project, 150);
    let before = names(&project).len();
    assert!(before > 6);
    settings(&project, "{max_size: 11kB, kep: 100}");
    let filling = format!("filling={}", "x".repeat(100_000));
    for _ in 0..120 {
        project.ok(&["emit", "task.completed", "--quiet", "--context", &filling]);
    }
    assert!(names(&project).len() > before, "rotated, and nothing removed");
    assert_eq!(seqs(&project).len(), 270);
}

#[test]
fn many_processes_and_many_files_lose_and_double_nothing() {
    let project = quiet("{max_size: 11kB, keep: 1000}");
    let script =
        "i=0; while [ $i -lt 40 ]; do \"$KNOCKON_BINARY\" emit task.completed --quiet || exit 1; i=$((i+1)); done";
    let children: Vec<_> = (0..16).map(|_| project.program("/bin/sh", &["-c", script]).spawn().unwrap()).collect();
    // Whoever checks meanwhile sees no fault.
    for _ in 0..20 {
        let verified = project.run(&["audit", "verify"]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(seqs(&project), (1..=640).collect::<Vec<u64>>());
    let verified = project.json(&["audit", "verify", "--json"]);
    assert_eq!((&verified["valid"], &verified["sealed_seq"]), (&true.into(), &640.into()), "{verified}");
}

#[test]
fn whoever_follows_sees_every_record_once_across_files() {
    let project = quiet("{max_size: 11kB, keep: 100}");
    emit(&project, 3);
    let mut child =
        project.command(&["audit", "--follow", "--tail", "2", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let (send, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader =
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| send.send(line).unwrap()));
    let next = || {
        let line = lines.recv_timeout(Duration::from_secs(10)).expect("a record in time");
        serde_json::from_str::<Value>(&line).unwrap()["seq"].as_u64().unwrap()
    };
    assert_eq!([next(), next()], [2, 3]);
    // What is half written is none yet.
    let path = project.hooks_folder().join("audit.log");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"seq\":4,\"prev\":\"ab").unwrap();
    std::thread::sleep(Duration::from_millis(250));
    assert!(lines.try_recv().is_err());
    let emitters: Vec<_> = (0..4)
        .map(|_| {
            let script = "i=0; while [ $i -lt 50 ]; do \"$KNOCKON_BINARY\" emit task.completed --quiet || exit 1; i=$((i+1)); done";
            project.program("/bin/sh", &["-c", script]).spawn().unwrap()
        })
        .collect();
    for mut emitter in emitters {
        assert!(emitter.wait().unwrap().success());
    }
    assert!(names(&project).len() > 5);
    assert_eq!((0..200).map(|_| next()).collect::<Vec<u64>>(), (4..204).collect::<Vec<u64>>());
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}

#[test]
fn following_ends_when_nobody_reads_any_more() {
    let project = quiet("{}");
    emit(&project, 1);
    let mut child = project.command(&["audit", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("task.completed"), "{line}");
    // The pipe is closed by now; the next record meets it.
    emit(&project, 1);
    let mut child = Some(child);
    let mut ended = false;
    for _ in 0..100 {
        emit(&project, 1);
        if child.as_mut().unwrap().try_wait().unwrap().is_some() {
            ended = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    if !ended {
        child.take().unwrap().kill().unwrap();
    }
    assert!(ended);
}

fn side(project: &TestProject) -> PathBuf {
    project.hooks_folder().join("audit.log.side")
}

/// Emits while another process has the lock, and returns the file beside the log.
fn emit_beside(project: &TestProject, times: usize) -> PathBuf {
    emit(project, 1);
    let held = fs::File::open(project.hooks_folder().join("audit.log")).unwrap();
    held.lock().unwrap();
    for _ in 0..times {
        let ran = project.ok(&["emit", "spec.created"]);
        assert!(ran.stderr.contains("records are kept beside it"), "{ran:?}");
    }
    let mut files: Vec<PathBuf> = fs::read_dir(side(project)).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert_eq!(files.len(), times);
    files.swap_remove(0)
}

#[test]
fn a_merge_that_was_cut_short_goes_on_where_it_was() {
    let project = TestProject::trusted("- {name: a, events: [{type: 'spec.*'}], command: 'true'}\n");
    let file = emit_beside(&project, 1);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 3, "emitted, started, success");
    // What a process leaves that was killed after it had merged two of three.
    let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let copy = text.clone();
    project.ok(&["emit", "task.completed"]);
    assert_eq!(project.audit_story()[1..4], ["emitted", "a started", "a success"]);
    let log = project.hooks_folder().join("audit.log");
    let lines: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    fs::write(&log, format!("{}\n", lines[..3].join("\n"))).unwrap();
    fs::create_dir(side(&project)).unwrap();
    fs::write(side(&project).join(format!("{stem}.merging")), format!("{copy}{{\"half\":")).unwrap();
    project.ok(&["emit", "task.completed"]);
    let records = project.audit();
    let marks: Vec<&str> = records.iter().filter_map(|record| record["merged"].as_str()).collect();
    assert_eq!(marks, [format!("{stem}:1"), format!("{stem}:2"), format!("{stem}:3")]);
    assert_eq!(project.audit_story(), ["emitted", "emitted", "a started", "a success", "emitted"]);
    assert!(!side(&project).exists());
}

#[test]
fn records_of_several_processes_beside_the_log_are_all_merged_by_whoever_looks() {
    let project = quiet("{}");
    emit_beside(&project, 2);
    let shown = project.ok(&["audit"]).stdout;
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(!side(&project).exists());
    assert_eq!(project.json(&["audit", "verify", "--json"])["records"], 3);
}

#[test]
fn what_is_beside_the_log_is_not_read_through_a_link() {
    let project = quiet("{}");
    emit(&project, 1);
    let elsewhere = project.home().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("1-00.jsonl"), "{\"timestamp\":\"x\",\"status\":\"forged\"}\n").unwrap();
    std::os::unix::fs::symlink(&elsewhere, side(&project)).unwrap();
    emit(&project, 1);
    assert_eq!(project.audit_story(), ["emitted", "emitted"]);
    assert!(elsewhere.join("1-00.jsonl").exists());
    fs::remove_file(side(&project)).unwrap();
    fs::create_dir(side(&project)).unwrap();
    fs::write(side(&project).join("1-00.jsonl"), "nonsense\n{\"status\":\"kept\",\"event_id\":\"e\"}\n[]\n").unwrap();
    fs::write(side(&project).join("not ours"), "x").unwrap();
    emit(&project, 1);
    assert_eq!(project.audit_story(), ["emitted", "emitted", "kept", "emitted"], "only whole records are taken");
    assert!(side(&project).join("not ours").exists());
}

#[test]
fn an_event_that_asks_for_it_is_on_the_disk_or_says_that_it_is_not() {
    let project = TestProject::trusted("- {name: a, events: [{type: '*'}], command: touch ran}\n");
    project.ok(&["emit", "spec.created", "--durable"]);
    project.ok(&["run", "--event-type", "spec.created", "--payload", "{}", "--durable"]);
    let log = project.hooks_folder().join("audit.log");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    let state = project.home().join(".local/state/knockon");
    let ran = project.ok(&["emit", "spec.created", "--durable"]);
    assert!(ran.stderr.contains("records go to"), "it is on the disk in the state folder: {ran:?}");
    fs::remove_dir_all(state.join("projects")).unwrap();
    fs::write(state.join("projects"), "").unwrap();
    let ran = project.run(&["emit", "spec.created", "--durable"]);
    assert!(ran.code == 74 && ran.stderr.contains("the event is not stored: the audit log"), "{ran:?}");
    let ran = project.run(&["emit", "spec.created", "--durable", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(ran.code == 74 && document["not_stored"].as_str().unwrap().contains("audit.log"), "{ran:?}");
    assert_eq!(project.run(&["emit", "spec.created"]).code, 0, "who did not ask is not broken");
    wait_until("the hook", || project.exists("ran"));
}

#[test]
fn durable_settings_wait_for_the_disk() {
    let project = quiet("{durability: fsync}");
    let trace = project.home().join("trace");
    let strace = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !strace.is_ok_and(|ran| ran.status.success()) {
        eprintln!("SKIPPED: strace is not installed, or may not trace here");
        return;
    }
    let mut command = project.program("strace", &["-f", "-s", "4096", "-e", "trace=write,fdatasync,fsync", "-o"]);
    let traced =
        command.arg(&trace).arg(env!("CARGO_BIN_EXE_knockon")).args(["emit", "spec.created"]).output().unwrap();
    assert!(traced.status.success(), "{traced:?}");
    let text = fs::read_to_string(&trace).unwrap();
    let (write, sync) = (text.find("emitted").unwrap(), text.find("fdatasync(").unwrap());
    assert!(write < sync, "{text}");
    assert!(text.contains("fsync("), "the name of a new file too: {text}");
    assert!(text.rfind("spec.created  evt_").is_some_and(|said| sync < said), "before anybody is told: {text}");
}
