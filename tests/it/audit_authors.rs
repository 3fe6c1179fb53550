//! Who wrote a record: what others put into the log or beside it is never taken for this user's, and nothing is lost when the
//! log or the state folder cannot be written.

use crate::support::{Ran, TestProject, finish};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn project() -> TestProject {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    project
}

fn log(project: &TestProject) -> PathBuf {
    project.hooks_folder().join("audit.log")
}

fn add(path: &Path, line: &str) {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, format!("{before}{line}\n")).unwrap();
}

fn last_line(project: &TestProject) -> String {
    fs::read_to_string(log(project)).unwrap().lines().last().unwrap().to_owned()
}

/// A record as anyone could write it who can write to the log: linked to the last one.
fn forge(project: &TestProject) -> String {
    let last = last_line(project);
    let seq = serde_json::from_str::<Value>(&last).unwrap()["seq"].as_u64().unwrap();
    let hash = blake3::hash(last.as_bytes()).to_hex();
    format!(
        "{{\"seq\":{},\"prev\":\"{hash}\",\"timestamp\":\"2026-12-01T10:00:00.000Z\",\
         \"event_id\":\"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A\",\"event_type\":\"spec.created\",\"hook\":\"guard\",\
         \"status\":\"success\",\"attempt\":1,\"duration_ms\":1.0}}",
        seq + 1
    )
}

/// `audit verify --json` with its exit code.
fn verify(project: &TestProject) -> (i32, Value) {
    let ran = project.run(&["audit", "verify", "--json"]);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}")))
}

fn notes(found: &Value) -> String {
    found["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Runs knockon as another user of the same project would: with a home folder of their own.
fn as_another(project: &TestProject, home: &Path, arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    command.env("HOME", home).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn what_this_user_wrote_is_told_from_what_was_put_behind_it() {
    let project = project();
    for _ in 0..3 {
        project.ok(&["emit", "spec.created"]);
    }
    let (code, found) = verify(&project);
    assert_eq!((code, &found["records"], &found["written_by_you"]), (0, &json!(3), &json!(3)));
    assert_eq!(found["not_written_by_you"], json!([]));
    assert!(project.ok(&["audit", "verify"]).stdout.contains("all written by you"));
    let forged = forge(&project);
    add(&log(&project), &forged);
    let check = |own: u64, sealed: u64| {
        let (code, found) = verify(&project);
        assert_eq!((code, &found["valid"], &found["written_by_you"]), (0, &json!(true), &json!(own)), "{found}");
        assert_eq!(found["not_written_by_you"], json!([[4, 4]]), "{found}");
        assert_eq!(found["sealed_seq"], sealed, "{found}");
        assert!(notes(&found).contains("not written by you, as far as knockon can tell: record 4"), "{found}");
    };
    check(3, 3);
    // The next emit goes on from it, and makes it no truer.
    project.ok(&["emit", "spec.created"]);
    check(4, 5);
    let doctor = project.run(&["doctor"]);
    assert!(doctor.stdout.contains("record 4") && doctor.stdout.contains("not written by you"), "{doctor:?}");
    // The line to keep elsewhere is of this user's last record.
    add(&log(&project), &forge(&project));
    assert!(project.ok(&["audit", "seal", "--print"]).stdout.contains(" seq=5 "));
    // Once the user took the log as it is, the same is not named again.
    project.ok(&["audit", "seal", "--accept"]);
    let (code, found) = verify(&project);
    assert_eq!((code, &found["not_written_by_you"]), (0, &json!([])), "{found}");
    add(&log(&project), &forge(&project));
    assert_eq!(verify(&project).1["not_written_by_you"], json!([[8, 8]]));
}

/// Also where nothing is sealed, and with links that fit.
#[test]
fn a_record_that_says_it_is_this_users_and_is_not_is_an_alarm() {
    let project = project();
    project.ok(&["emit", "spec.created"]);
    project.ok(&["emit", "task.completed"]);
    let text = fs::read_to_string(log(&project)).unwrap();
    let (first, last) = text.trim_end().split_once('\n').unwrap();
    let mac = |line: &str| line[line.find(",\"mac\"").unwrap()..].to_owned();
    let forged = forge(&project);
    let other_mac = format!("{}{}", forged.strip_suffix('}').unwrap(), mac(last));
    let again = last.replacen("\"seq\":2", "\"seq\":3", 1);
    for (what, changed) in [
        ("edited", format!("{first}\n{}\n", last.replace("task.completed", "task.abandoned"))),
        ("with the mark of another", format!("{text}{other_mac}\n")),
        ("written a second time", format!("{text}{again}\n")),
    ] {
        fs::write(log(&project), &changed).unwrap();
        fs::remove_dir_all(project.home().join(".local/state/knockon/seals")).unwrap_or_default();
        let (code, found) = verify(&project);
        assert_eq!((code, &found["valid"]), (1, &json!(false)), "{what}: {found}");
        let problem = found["faults"][0]["problem"].as_str().unwrap();
        let is_told =
            problem.contains("says that you wrote it, and was changed") || problem.contains("is not what it was");
        assert!(is_told, "{what}: {problem}");
        assert_eq!(project.run(&["doctor"]).code, 1, "{what}");
    }
}

#[test]
fn files_beside_the_log_that_a_repository_brings_are_not_this_users() {
    let project = project();
    project.ok(&["emit", "spec.created"]);
    let side = project.hooks_folder().join("audit.log.side");
    fs::create_dir(&side).unwrap();
    let record = "{\"timestamp\":\"2026-12-01T10:00:00.000Z\",\"event_id\":\"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A\",\
                  \"event_type\":\"spec.created\",\"hook\":\"guard\",\"status\":\"success\",\"attempt\":1,\"duration_ms\":1.0}";
    // A line of the log itself, put there once more, is no record: it stays there for a person to look at.
    fs::write(side.join("7-ab.jsonl"), format!("{record}\n{}\n", last_line(&project))).unwrap();
    project.ok(&["emit", "task.completed"]);
    let (code, found) = verify(&project);
    assert_eq!((code, &found["records"], &found["written_by_you"]), (0, &json!(3), &json!(2)), "{found}");
    assert_eq!(found["not_written_by_you"], json!([[2, 2]]), "{found}");
    assert!(side.join("7-ab.unreadable").exists());
}

#[test]
fn two_users_of_one_folder_know_their_own_records() {
    let project = project();
    let other = tempfile::tempdir().unwrap();
    project.ok(&["emit", "spec.created"]);
    assert_eq!(as_another(&project, other.path(), &["emit", "task.completed"]).code, 0);
    project.ok(&["emit", "spec.created"]);
    let (code, mine) = verify(&project);
    assert_eq!(
        (code, &mine["written_by_you"], &mine["not_written_by_you"]),
        (0, &json!(2), &json!([[2, 2]])),
        "{mine}"
    );
    assert!(notes(&mine).contains("signed with the key of another user or installation"), "{mine}");
    let theirs = as_another(&project, other.path(), &["audit", "verify", "--json"]);
    let found: Value = serde_json::from_str(&theirs.stdout).unwrap();
    assert_eq!((theirs.code, &found["written_by_you"]), (0, &json!(1)), "{found}");
    assert_eq!(found["not_written_by_you"], json!([[1, 1], [3, 3]]), "{found}");
}

#[test]
fn a_log_that_is_copied_to_ci_says_what_cannot_be_checked_there() {
    let project = project();
    for _ in 0..2 {
        project.ok(&["emit", "spec.created"]);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let ran = as_another(&project, elsewhere.path(), &["audit", "verify", "--json"]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &found["valid"], &found["written_by_you"]), (0, &json!(true), &Value::Null), "{found}");
    assert!(notes(&found).contains("is not here: that they are linked was checked, who wrote them was not"), "{found}");
    assert!(!elsewhere.path().join(".local/state/knockon/secret.key").exists(), "looking makes no key");
    // The links are checked there as well.
    let text = fs::read_to_string(log(&project)).unwrap();
    fs::write(log(&project), text.replacen("spec.created", "spec.changed", 1)).unwrap();
    assert_eq!(as_another(&project, elsewhere.path(), &["audit", "verify"]).code, 1);
}

#[test]
fn lines_of_another_program_are_named_and_break_no_chain() {
    let project = project();
    let line = "{\"timestamp\":\"2026-12-01T10:00:00.000000\",\"event_id\":\"evt_a\",\"event_type\":\"spec.created\",\
                \"hook_name\":\"lint\",\"success\":true,\"exit_code\":0,\"duration_ms\":3}";
    project.ok(&["emit", "spec.created"]);
    add(&log(&project), line);
    add(&log(&project), line);
    project.ok(&["emit", "spec.created"]);
    add(&log(&project), line);
    let check = |records: u64| {
        let (code, found) = verify(&project);
        assert_eq!((code, &found["valid"]), (0, &json!(true)), "{found}");
        assert_eq!((&found["records"], &found["written_by_you"]), (&json!(records), &json!(records)), "{found}");
        assert_eq!(found["lines_of_other_programs"], 3, "{found}");
        let told = "a line of another program after record 1 and a line of another program after record 2";
        assert!(notes(&found).contains(told), "{found}");
    };
    check(2);
    project.ok(&["emit", "spec.created"]);
    check(3);
    let shown = project.ok(&["audit", "--hook", "lint"]);
    assert_eq!(shown.stdout.lines().filter(|line| line.contains("lint")).count(), 3, "{shown:?}");
    // Records of ours that are gone are missed as ever.
    let text = fs::read_to_string(log(&project)).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"seq\":2,")).collect();
    fs::write(log(&project), kept.join("\n") + "\n").unwrap();
    assert_eq!(verify(&project).0, 1);
}

#[test]
fn records_go_to_the_state_folder_while_the_log_cannot_be_opened() {
    let project = TestProject::trusted("- {name: h, events: [{type: task.completed}], command: 'true'}\n");
    project.ok(&["emit", "task.completed"]);
    let aside = project.root().join("kept");
    for durable in [false, true] {
        fs::rename(log(&project), &aside).unwrap();
        fs::create_dir(log(&project)).unwrap();
        let arguments: &[&str] =
            if durable { &["emit", "task.completed", "--durable"] } else { &["emit", "task.completed"] };
        let ran = project.ok(arguments);
        let state = project.home().join(".local/state/knockon/projects");
        assert!(ran.stderr.contains("audit.log cannot be opened: it is a folder; records go to"), "{ran:?}");
        assert!(ran.stderr.contains(state.to_str().unwrap()), "{ran:?}");
        let shown = project.ok(&["audit", "--json"]);
        assert!(shown.stdout.contains("\"success\""), "{shown:?}");
        assert_eq!(project.run(&["doctor"]).code, 1);
        fs::remove_dir(log(&project)).unwrap();
        fs::rename(&aside, log(&project)).unwrap();
    }
    // When it is back, both are read: three events with two hook records each.
    let shown = project.json(&["audit", "-n", "100", "--json"]);
    let statuses: Vec<&str> =
        shown["entries"].as_array().unwrap().iter().map(|entry| entry["status"].as_str().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "emitted").count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == "success").count(), 3, "{statuses:?}");
    let (code, found) = verify(&project);
    assert_eq!(code, 0, "{found}");
    assert!(notes(&found).contains("further records are in "), "{found}");
    let ran = project.ok(&["emit", "task.completed"]);
    assert_eq!(ran.stderr, "", "it is written again");
}

#[test]
fn an_emit_says_when_the_state_folder_cannot_be_written() {
    let project = project();
    let file = project.home().join("no-folder");
    fs::write(&file, "").unwrap();
    let emit = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("XDG_STATE_HOME", &file).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    };
    let ran = emit(&["emit", "spec.created"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("records are not signed") && ran.stderr.contains("no-folder"), "{ran:?}");
    assert_eq!(project.audit().len(), 1, "the record is there all the same");
    assert_eq!(project.audit()[0].get("mac"), None);
    let doctor = emit(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("state folder") && doctor.stdout.contains("cannot be written"), "{doctor:?}");
}

#[test]
fn the_key_is_this_users_alone_and_made_once() {
    let project = project();
    let key = project.home().join(".local/state/knockon/secret.key");
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = project.command(&["emit", "spec.created"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        assert_eq!(finish(child).code, 0);
    }
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, found) = verify(&project);
    assert_eq!((code, &found["written_by_you"]), (0, &json!(8)), "{found}");
    // One that others can read is not replaced: that would make this user's records those of someone else.
    let before = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stderr.contains("secret.key can be read by others; run `chmod 600`"), "{ran:?}");
    assert_eq!(fs::read(&key).unwrap(), before);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // A damaged one is replaced, and what was signed with the old one is not this user's any more.
    fs::write(&key, "short").unwrap();
    project.ok(&["emit", "spec.created"]);
    let (code, found) = verify(&project);
    assert_eq!(
        (code, &found["written_by_you"], &found["not_written_by_you"]),
        (0, &json!(1), &json!([[1, 9]])),
        "{found}"
    );
}

/// Another folder of ours gives the project another log: what becomes of the one before is seen all the same.
#[test]
fn a_log_that_is_left_behind_is_still_checked() {
    let emptied = project();
    for _ in 0..3 {
        emptied.ok(&["emit", "spec.created"]);
    }
    fs::create_dir_all(emptied.root().join(".flowspec/hooks")).unwrap();
    fs::copy(emptied.hooks_folder().join("hooks.yaml"), emptied.root().join(".flowspec/hooks/hooks.yaml")).unwrap();
    let (code, found) = verify(&emptied);
    assert_eq!(code, 0, "nothing is missing yet: {found}");
    fs::write(emptied.root().join(".knockon/audit.log"), "").unwrap();
    let (code, found) = verify(&emptied);
    assert!(code == 1 && found["faults"][0]["problem"].as_str().unwrap().contains("audit.log"), "{found}");
    emptied.ok(&["audit", "seal", "--accept"]);
    assert_eq!(verify(&emptied).0, 0);
    // All of it removed with its folder: a reset, and noted.
    let removed = project();
    removed.ok(&["emit", "spec.created"]);
    fs::remove_dir_all(removed.hooks_folder()).unwrap();
    for _ in 0..2 {
        let (code, found) = verify(&removed);
        assert!(code == 0 && notes(&found).contains("the log was reset"), "{found}");
        removed.ok(&["emit", "spec.created"]);
    }
}

#[test]
fn a_log_with_another_name_elsewhere_is_not_written() {
    let project = project();
    project.ok(&["emit", "spec.created"]);
    let other = project.root().join("other");
    fs::write(&other, "# mine\n").unwrap();
    fs::remove_file(log(&project)).unwrap();
    fs::hard_link(&other, log(&project)).unwrap();
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stderr.contains("hard link") && ran.stderr.contains("records go to"), "{ran:?}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "# mine\n");
}

/// A repository brings a file of any size as its log.
#[test]
fn a_huge_log_without_lines_costs_an_emit_little() {
    let project = project();
    fs::File::create(log(&project)).unwrap().set_len(20_000_000_000).unwrap();
    let began = std::time::Instant::now();
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stderr.contains("its last line is longer than any record"), "{ran:?}");
    // All of it takes minutes in a debug build.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}
