//! What many writers, kills, full disks and power cuts do to the audit log; `knockon doctor` is the judge.

use super::power::Place;
use super::support::TestProject;
use super::sync::Random;
use super::{count, figure};
use knockon::{Emitter, EmitterOptions, Project, UserFolders, drafts};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// What a writer of this file is told: how it writes, and how often.
const WRITER: &str = "KNOCKON_FAULTS_WRITER";

/// Not a test of its own: a process that writes records and says of each that it is written.
#[test]
fn writer() {
    let Some(word) = std::env::var(WRITER).ok() else { return };
    let (way, times) = word.split_once(' ').unwrap();
    let times: usize = times.parse().unwrap();
    let root = std::env::current_dir().unwrap();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\nready").unwrap();
    match way {
        "knockon" => {
            let emitter =
                Emitter::open(Project::at(&root).unwrap(), &UserFolders::of_this_process(), EmitterOptions::default());
            for _ in 0..times {
                let report = emitter.emit(drafts::task_completed("task-123"));
                assert!(report.dispatched.unrecorded.is_empty(), "{report:?}");
                writeln!(stdout, "{}", report.event.unwrap().id()).unwrap();
            }
        }
        // What everybody writes first.
        "naive" => {
            let log = root.join(".knockon/naive.log");
            for number in 0..times {
                let id = format!("{}-{number}", std::process::id());
                let mut file = File::options().create(true).append(true).open(&log).unwrap();
                writeln!(file, "{{\"id\":\"{id}\",\"filling\":\"{}\"}}", "x".repeat(250)).unwrap();
                if file.metadata().unwrap().len() > 100_000 {
                    let older = (1..).map(|n| root.join(format!(".knockon/naive.log.{n}"))).find(|path| !path.exists());
                    let _ = fs::rename(&log, older.unwrap());
                }
                writeln!(stdout, "{id}").unwrap();
            }
        }
        other => panic!("{other}"),
    }
}

fn start(project: &TestProject, way: &str, times: usize) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = project.program(program.to_str().unwrap(), &["--exact", "log::writer", "--nocapture"]);
    command.env(WRITER, format!("{way} {times}")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What a writer said was written; a line that was cut off says nothing.
fn said(child: &mut Child) -> Vec<String> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    whole
        .lines()
        .skip_while(|line| *line != "ready")
        .skip(1)
        .filter(|line| line.len() > 4 && !line.contains(' '))
        .map(str::to_owned)
        .collect()
}

fn project(audit: &str) -> TestProject {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    settings(&project.home(), audit);
    project
}

fn settings(home: &Path, audit: &str) {
    fs::create_dir_all(home.join(".config/knockon")).unwrap();
    fs::write(home.join(".config/knockon/settings.yaml"), format!("version: '1.0'\naudit: {audit}\n")).unwrap();
}

/// The events on record, each as often as it stands there.
fn recorded(project: &TestProject) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let output = project.command(&["audit", "--since", "1h", "--status", "emitted", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("cannot be read"), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    for entry in document["entries"].as_array().unwrap() {
        *all.entry(entry["event_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    all
}

/// The judge: nothing is wrong with what is left behind.
#[track_caller]
fn healthy(project: &TestProject, what: &str) {
    let ran = project.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 0, "{what}: {ran:?}");
}

#[test]
fn many_writers_and_many_files_lose_tear_and_double_nothing() {
    let (writers, records) = (32, count(1000, 100));
    let project = project("{max_size: 100kB, keep: 10000}");
    let mut children: Vec<Child> = (0..writers).map(|_| start(&project, "knockon", records)).collect();
    let mut alarms = 0;
    for _ in 0..5 {
        alarms += usize::from(project.run(&["audit", "verify"]).code != 0);
    }
    let acknowledged: BTreeSet<String> = children.iter_mut().flat_map(said).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let all = recorded(&project);
    let (lost, doubled) = (
        acknowledged.iter().filter(|id| !all.contains_key(*id)).count(),
        all.values().filter(|times| **times > 1).count(),
    );
    assert_eq!((acknowledged.len(), all.len(), lost, doubled, alarms), (writers * records, writers * records, 0, 0, 0));
    let verified = project.json(&["audit", "verify", "--json"]);
    assert_eq!((&verified["valid"], &verified["records"]), (&true.into(), &(writers * records).into()));
    healthy(&project, "many writers");
    let files = fs::read_dir(project.hooks_folder()).unwrap().flatten();
    let files = files.filter(|entry| entry.file_name().to_string_lossy().starts_with("audit.log")).count();
    figure(
        "32 processes × records each, a new file every 100 kB",
        format!("{} valid in {files} files, 0 lost, 0 doubled, 0 false alarms", all.len()),
    );

    let mut children: Vec<Child> = (0..writers).map(|_| start(&project, "naive", records)).collect();
    let acknowledged: BTreeSet<String> = children.iter_mut().flat_map(said).collect();
    for child in &mut children {
        let _ = child.wait();
    }
    let text = naive_text(&project);
    let there: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("{\"id\":\"")?.split('"').next()).collect();
    let lost = acknowledged.iter().filter(|id| !there.contains(id.as_str())).count();
    let torn = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
    assert!(lost + torn > 0, "the naive way loses something");
    figure("  control, append and rename: lost, torn", format!("{lost}, {torn} of {}", acknowledged.len()));
}

fn naive_text(project: &TestProject) -> String {
    let entries = fs::read_dir(project.hooks_folder()).unwrap().flatten().map(|entry| entry.path());
    let logs = entries.filter(|path| path.to_string_lossy().contains("naive.log"));
    logs.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

/// Starts writers and kills each at another moment. Returns what they said was written.
fn kill_writers(project: &TestProject, way: &str, kills: usize) -> Vec<String> {
    let (mut seed, mut all) = (0x2545_f491_4f6c_dd1d_u64, Vec::new());
    let mut at_once: Vec<Child> = Vec::new();
    for _ in 0..kills {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        at_once.push(start(project, way, usize::MAX >> 1));
        if at_once.len() == 4 {
            // Long enough for most of them to be in the middle of it.
            std::thread::sleep(Duration::from_micros(15_000 + seed % 30_000));
            at_once.iter_mut().for_each(|child| child.kill().unwrap());
            for mut child in at_once.drain(..) {
                all.extend(said(&mut child));
                child.wait().unwrap();
            }
        }
    }
    at_once.into_iter().for_each(|mut child| {
        child.kill().unwrap();
        child.wait().unwrap();
    });
    all
}

#[test]
fn killed_writers_lose_nothing_they_said_was_written() {
    let kills = count(2500, 100);
    let project = project("{max_size: 200kB, keep: 10000}");
    let acknowledged = kill_writers(&project, "knockon", kills);
    project.ok(&["emit", "spec.created"]);
    let all = recorded(&project);
    let lost = acknowledged.iter().filter(|id| !all.contains_key(*id)).count();
    let doubled = all.values().filter(|times| **times > 1).count();
    assert_eq!((lost, doubled), (0, 0));
    assert!(acknowledged.len() > kills, "most wrote something: {}", acknowledged.len());
    let verified = project.json(&["audit", "verify", "--json"]);
    assert_eq!(verified["valid"], true, "{verified}");
    healthy(&project, "kills");
    figure(
        "kill -9 of writers",
        format!("{kills} kills, {} acknowledged, 0 lost, 0 doubled, 0 invalid lines", acknowledged.len()),
    );
    kill_writers(&project, "naive", count(2500, 200));
    let text = naive_text(&project);
    let torn = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
    assert!(torn > 0, "the naive way tears lines");
    figure("  control, writeln to a file opened for appending: torn lines", torn);
}

/// How often each system call is made.
pub fn calls(project: &TestProject, arguments: &[&str]) -> Vec<(String, usize)> {
    let counts = project.home().join("counts");
    let mut strace =
        project.program("strace", &["-f", "-c", "-o", counts.to_str().unwrap(), env!("CARGO_BIN_EXE_knockon")]);
    assert!(strace.args(arguments).stdout(Stdio::null()).status().unwrap().success());
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(((*words.last()?).to_owned(), words.get(3)?.parse::<usize>().ok()?))
    };
    fs::read_to_string(counts).unwrap().lines().filter_map(row).filter(|(name, _)| name != "total").collect()
}

#[test]
fn killed_or_refused_at_any_system_call_an_append_breaks_nothing() {
    // Small files, so that rotations and compressions happen all the time.
    refuse_and_kill("{max_size: 10kB, keep: 10000, compress: true}", true, count(1, 15));
}

#[test]
fn killed_or_refused_at_any_system_call_a_removal_breaks_nothing() {
    refuse_and_kill("{max_size: 10kB, keep: 1}", false, count(2, 20));
}

/// Kills and refuses at every so many of the system calls of an emit; `all_kept` when no file is ever removed.
fn refuse_and_kill(audit: &str, all_kept: bool, step: usize) {
    let project = project(audit);
    let filling = format!("filling={}", "x".repeat(3000));
    let emit = ["emit", "task.completed", "--context", &filling, "--durable", "--json"];
    for _ in 0..8 {
        project.ok(&emit);
    }
    let mut moments: Vec<(String, String)> = Vec::new();
    for (call, times) in calls(&project, &emit) {
        for n in 1..=times + 2 {
            moments.push((format!("{call}:signal=KILL:when={n}"), "SIGKILL".into()));
            let fails = [
                "write",
                "pwrite64",
                "pread64",
                "read",
                "openat",
                "openat2",
                "ftruncate",
                "fdatasync",
                "fsync",
                "rename",
                "renameat",
                "unlink",
                "unlinkat",
                "mkdir",
                "mkdirat",
                "flock",
                "newfstatat",
                "fstat",
                "statx",
                "getdents64",
            ];
            if fails.contains(&call.as_str()) {
                for error in ["ENOSPC", "EIO"] {
                    moments.push((format!("{call}:error={error}:when={n}"), error.into()));
                }
            }
        }
    }
    let (mut by_kind, mut acknowledged) = (BTreeMap::<String, usize>::new(), 0);
    for (number, (inject, kind)) in moments.iter().step_by(step).enumerate() {
        // Now and then something waits beside the log.
        if number % 5 == 0 {
            let side = project.hooks_folder().join("audit.log.side");
            let _ = fs::create_dir(&side);
            let record = "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"event_id\":\"evt_01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"event_type\":\"a.b\",\"hook\":\"h\",\"status\":\"skipped\"}\n";
            fs::write(side.join(format!("{number}-{:016x}.jsonl", number)), record).unwrap();
        }
        let inject = format!("inject={inject}");
        let mut strace =
            project.program("strace", &["-f", "-o", "/dev/null", "-e", &inject, env!("CARGO_BIN_EXE_knockon")]);
        let output = strace.args(emit).output().unwrap();
        *by_kind.entry(kind.clone()).or_default() += 1;
        if output.status.code() == Some(0) {
            let document: Value =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{inject}: {error}: {output:?}"));
            let id = document["event"]["event_id"].as_str().unwrap();
            let found = project.json(&["audit", "--event", id, "--status", "emitted", "--json"]);
            assert_eq!(found["count"], 1, "{inject}: acknowledged, and on record once");
            acknowledged += 1;
        }
        // The next one mends what is to be mended.
        project.ok(&emit);
        healthy(&project, &inject);
    }
    let side = project.hooks_folder().join("audit.log.side");
    assert!(!side.exists(), "what waited was merged");
    if all_kept {
        let merged = project.json(&["audit", "--status", "skipped", "--tail", "100000", "--json"]);
        let marks: Vec<&str> =
            merged["entries"].as_array().unwrap().iter().map(|entry| entry["merged"].as_str().unwrap()).collect();
        let distinct: BTreeSet<&str> = marks.iter().copied().collect();
        assert_eq!(marks.len(), distinct.len(), "each once");
        assert_eq!(marks.len(), moments.iter().step_by(step).count().div_ceil(5), "and all of them");
    }
    figure(
        "SIGKILL, ENOSPC, EIO at system calls of one emit",
        format!("{by_kind:?}, {acknowledged} acknowledged, 0 violations"),
    );
}

/// Writes until the power goes. Returns how many records were acknowledged before, and how many of those are gone.
fn power_cut(durability: &str, seed: u64) -> Option<(usize, usize)> {
    let place = Place::new()?;
    // A file that is full is waited for in any case: without that, the control would show nothing else.
    let size = if durability == "fsync" { "20kB" } else { "10MB" };
    settings(&place.home, &format!("{{durability: {durability}, max_size: {size}, keep: 1000}}"));
    let start = || {
        let mut writer = place.writer("log::writer");
        writer.env(WRITER, "knockon 1000000").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let id = |line: &str| line.starts_with("evt_").then(|| line.to_owned());
    let acknowledged = place.cut_under(Duration::from_millis(100 + seed % 400), start, id);
    // The first to write takes away what was half written.
    assert!(place.run(&["emit", "spec.created"]).status.success());
    let output = place.run(&["audit", "--since", "1h", "--status", "emitted", "--json"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("cannot be read"), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let there: BTreeSet<&str> =
        document["entries"].as_array().unwrap().iter().filter_map(|entry| entry["event_id"].as_str()).collect();
    let lost = acknowledged.iter().filter(|id| !there.contains(id.as_str())).count();
    if durability == "fsync" {
        let doctor = place.run(&["doctor", "--json"]);
        assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    }
    Some((acknowledged.len(), lost))
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let cuts = count(40, 3);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut acknowledged, mut lost) = (0, 0);
    for number in 0..cuts {
        let Some((said, gone)) = power_cut("fsync", random.next()) else {
            println!("SKIPPED, number {number}: power cuts need root, mkfs.ext4 and loop devices");
            return;
        };
        acknowledged += said;
        lost += gone;
    }
    assert_eq!(lost, 0);
    figure("simulated power cuts", format!("{cuts}, {acknowledged} acknowledged before, 0 lost"));
    let relaxed: Vec<(usize, usize)> =
        (0..count(10, 3)).filter_map(|seed| power_cut("relaxed", seed as u64 * 37)).collect();
    let (said, gone) = relaxed.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert!(gone > 0, "without waiting for the disk something is lost");
    figure("  control, relaxed: lost", format!("{gone} of {said} in {} cuts", relaxed.len()));
}
