//! `knockon kitty`: real feature folders before and after, and the events that hooks saw.

use crate::support::{TestProject, finish, wait_until};
use knockon::json::Json;
use knockon::work_package::{Kind, check};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const HOOK: &str = "- {name: seen, events: [{type: '*'}], command: 'cat >> seen; echo >> seen'}\n";
const FLAT: &str = "kitty-specs/028-event-sync";

/// A trusted project with a copy of `tests/fixtures/kitty/<layout>`, and a hook that writes down every event.
fn project(layout: &str) -> TestProject {
    let project = TestProject::trusted(HOOK);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kitty").join(layout);
    for (name, bytes) in files(&fixtures) {
        project.file(&format!("kitty-specs/{name}"), bytes);
    }
    project
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The events that the hook saw, each with a valid payload; they are forgotten then.
fn seen(project: &TestProject) -> Vec<Value> {
    let path = project.root().join("seen");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    // Hooks of several commands may write at once, and the line feeds be elsewhere.
    let events: Vec<Value> = serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
    for event in &events {
        let kind = Kind::of(&event["event_type"].as_str().unwrap().parse().unwrap()).unwrap();
        let context = event["context"].to_string();
        assert_eq!(check(kind, Json::parse(context.as_bytes()).unwrap()), [], "{event}");
    }
    events
}

/// `type id what` of each event.
fn told(events: &[Value]) -> Vec<String> {
    let word = |event: &Value, name: &str| event["context"][name].as_str().unwrap_or_default().to_owned();
    let line = |event: &Value| {
        let names = ["wp_id", "previous_status", "new_status", "dependency_wp_id", "phase", "entry_type", "error_type"];
        let words = names.map(|name| word(event, name));
        let kind = event["event_type"].as_str().unwrap();
        [kind.to_owned()].into_iter().chain(words).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    events.iter().map(line).collect()
}

fn specs(project: &TestProject) -> BTreeMap<String, Vec<u8>> {
    files(&project.root().join("kitty-specs"))
}

/// The names of the files that differ, and the lines that are new in them.
fn difference(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<String>> {
    let text = |bytes: Option<&Vec<u8>>| String::from_utf8(bytes.cloned().unwrap_or_default()).unwrap();
    let changed = after.iter().filter(|(name, bytes)| before.get(*name) != Some(bytes));
    let fresh = |name: &String| {
        let (old, new) = (text(before.get(name)), text(after.get(name)));
        let diff = similar::TextDiff::from_lines(&old, &new);
        let added = diff.iter_all_changes().filter(|change| change.tag() == similar::ChangeTag::Insert);
        added.map(|change| change.value().to_owned()).collect()
    };
    changed.map(|(name, _)| (name.clone(), fresh(name))).collect()
}

#[test]
fn sc_001_implement_moves_to_doing_and_tells_once() {
    let project = project("flat");
    let before = specs(&project);
    let ran = project.ok(&["kitty", "implement", "WP01", "--agent", "claude"]);
    assert!(ran.stdout.starts_with("WP01: planned → doing\n"), "{ran:?}");
    let events = seen(&project);
    assert_eq!(told(&events), ["wp.status_changed WP01 planned doing"]);
    let event = &events[0];
    assert_eq!(event["context"]["changed_by"], "claude");
    assert_eq!(event["context"]["feature_slug"], "028-event-sync");
    assert_eq!(event["feature"], "028-event-sync");
    assert_eq!(event["causation_id"].as_str().unwrap().len(), 26);

    let path = "028-event-sync/tasks/WP01-event-factory.md";
    let after = specs(&project);
    assert_eq!(before.len(), after.len(), "no file is left behind");
    assert_eq!(after.iter().filter(|(name, bytes)| before[*name] != **bytes).count(), 1);
    let text = String::from_utf8(after[path].clone()).unwrap();
    let time = text
        .lines()
        .find_map(|line| line.strip_suffix("Z – claude – shell_pid=64523 – lane=doing – Started implementation"));
    let time = time.unwrap().trim_start_matches("- ");
    let entry = format!(
        "  - timestamp: \"{time}Z\"\n    lane: \"doing\"\n    agent: \"claude\"\n    shell_pid: \"64523\"\n    action: \"Started implementation\"\n"
    );
    let expected = String::from_utf8(before[path].clone()).unwrap();
    let expected = expected.replacen("lane: \"planned\"  #", "lane: \"doing\"  #", 1);
    let expected = expected.replace("agent: \"claude-opus\"", "agent: \"claude\"");
    let expected = expected.replace("/spec-kitty.tasks\"\n", &format!("/spec-kitty.tasks\"\n{entry}"));
    let log = format!("\n- {time}Z – claude – shell_pid=64523 – lane=doing – Started implementation");
    assert_eq!(text, expected + &log, "and still no final newline");

    let again = project.ok(&["kitty", "implement", "WP01"]);
    assert!(again.stderr.contains("WP01 is doing already"), "{again:?}");
    assert_eq!((seen(&project), specs(&project)), (vec![], after));
}

#[test]
fn sc_002_merge_hands_all_in_doing_over_and_keeps_crlf() {
    let project = project("flat");
    let before = specs(&project);
    project.ok(&["kitty", "merge"]);
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP02 doing for_review"]);
    let changed = difference(&before, &specs(&project));
    let lines = &changed["028-event-sync/tasks/WP02-workflow-commands.md"];
    assert_eq!((changed.len(), lines[0].as_str(), lines.len()), (1, "lane: for_review\r\n", 6), "{lines:?}");
    assert!(specs(&project).values().filter(|bytes| bytes.contains(&b'\r')).all(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.matches('\n').count() == text.matches("\r\n").count()
    }));
    let text = project.read(&format!("{FLAT}/tasks/WP02-workflow-commands.md"));
    assert!(text.contains("/spec-kitty.tasks\r\n- timestamp: \"") && text.contains("\r\n# kept by hand\r\n"), "{text}");
    let ran = project.ok(&["kitty", "merge", "--feature", "028"]);
    assert!(ran.stderr.contains("no work package is doing") && seen(&project).is_empty());
}

#[test]
fn sc_003_accept_finishes_and_sc_012_tells_every_direct_dependent() {
    let project = project("flat");
    project.ok(&["kitty", "accept", "WP03"]);
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP03 for_review done"]);
    let text = project.read(&format!("{FLAT}/tasks/WP03-task-commands.md"));
    assert!(text.contains("lane:   'done'\n") && text.contains("history:\n  - timestamp: \""), "{text}");

    let ran = project.ok(&["kitty", "accept", "WP01"]);
    assert!(ran.stderr.contains("WP01 goes from planned to done, which is unusual"), "{ran:?}");
    let events = seen(&project);
    let mut expected = vec!["wp.status_changed WP01 planned done".to_owned()];
    expected.extend(["WP02", "WP03", "WP04", "WP05"].map(|id| format!("wp.dependency_resolved {id} WP01")));
    assert_eq!(told(&events), expected);
    assert!(events.iter().all(|event| event["causation_id"] == events[0]["causation_id"]));
    assert_eq!(events[1]["context"]["resolution_type"], "completed");
}

#[test]
fn sc_004_finalize_tells_of_the_feature_and_seven_packages_with_one_cause() {
    let project = project("flat");
    let before = specs(&project);
    let correlation = "01KJ5V38TW7ZGZPF8CMJ081YFZ";
    project.ok(&["kitty", "finalize-tasks", "--correlation-id", correlation]);
    let events = seen(&project);
    let mut expected = vec!["feature.created".to_owned()];
    expected.extend((1..=7).map(|number| format!("wp.created WP{number:02}")));
    assert_eq!(told(&events), expected);
    assert!(events.iter().all(|event| event["causation_id"] == events[0]["causation_id"]));
    assert!(events.iter().all(|event| event["correlation_id"] == correlation));
    assert_eq!(
        events[0]["context"],
        json!({ "feature_slug": "028-event-sync", "feature_number": "028", "target_branch": "2.x", "wp_count": 7,
                "created_at": "2026-02-03T12:00:00.000Z" })
    );
    assert_eq!(events[3]["context"]["title"], "Task: Commands");
    assert_eq!(events[3]["context"]["dependencies"], json!(["WP01"]), "as tasks.md has it");
    assert_eq!(events[7]["context"]["dependencies"], json!(["WP06", "WP02"]));
    let changed = difference(&before, &specs(&project));
    let name = "028-event-sync/tasks/WP03-task-commands.md".to_owned();
    assert_eq!(changed, BTreeMap::from([(name, vec!["dependencies: [\"WP01\"]\n".to_owned()])]));

    fs::remove_file(project.root().join(FLAT).join("meta.json")).unwrap();
    let ran = project.ok(&["kitty", "finalize-tasks"]);
    assert!(ran.stderr.contains("FeatureCreated is left out"), "{ran:?}");
    assert_eq!(told(&seen(&project)), expected[1..]);
}

#[test]
fn sc_005_an_orchestrator_tells_assignments_and_retries() {
    let project = project("flat");
    let tell = |arguments: &[&str]| {
        project.ok(&[&["kitty", "orchestrate-event"], arguments].concat());
        let events = seen(&project);
        let count = events.last().map(|event| event["context"]["retry_count"].clone()).unwrap_or_default();
        (told(&events), count)
    };
    let one = |line: &str| vec![line.to_owned()];
    assert_eq!(tell(&["assigned", "WP02", "--agent", "a"]), (one("wp.assigned WP02 implementation"), json!(0)));
    assert_eq!(tell(&["failed", "WP02", "--agent", "a", "--message", "no"]).0, ["error.logged WP02 runtime"]);
    assert_eq!(tell(&["fallback", "WP02", "--agent", "b"]), (one("wp.assigned WP02 implementation"), json!(1)));
    assert_eq!(tell(&["implemented", "WP02", "--agent", "b"]).0, ["wp.status_changed WP02 doing for_review"]);
    assert_eq!(tell(&["review-started", "WP02", "--agent", "c"]), (one("wp.assigned WP02 review"), json!(1)));
    assert_eq!(
        tell(&["rejected", "WP02", "--agent", "c", "--message", "more tests"]).0,
        ["wp.status_changed WP02 for_review doing", "wp.history_added WP02 review"]
    );
    assert_eq!(tell(&["assigned", "WP02", "--agent", "b"]), (one("wp.assigned WP02 implementation"), json!(2)));
    tell(&["implemented", "WP02"]);
    let accepted = tell(&["accepted", "WP02"]).0;
    assert_eq!(accepted, ["wp.status_changed WP02 for_review done", "wp.dependency_resolved WP07 WP02"]);
    assert_eq!(project.run(&["kitty", "orchestrate-event", "assigned", "WP02"]).code, 2, "no agent");
}

#[test]
fn a_feature_is_completed_once_whoever_finishes_it() {
    let project = project("folders");
    project.ok(&["kitty", "implement", "WP02"]);
    project.ok(&["kitty", "merge"]);
    seen(&project);
    project.ok(&["kitty", "accept"]);
    let events = seen(&project);
    assert_eq!(
        told(&events),
        [
            "wp.status_changed WP01 for_review done",
            "wp.dependency_resolved WP02 WP01",
            "wp.status_changed WP02 for_review done",
            "feature.completed"
        ]
    );
    let context = &events[3]["context"];
    assert_eq!((&context["total_wps"], &context["feature_slug"]), (&json!(2), &json!("005-old-layout")));
    assert!(context["total_duration"].as_str().unwrap().starts_with("PT"), "{context}");
    project.ok(&["kitty", "move-task", "WP02", "--to", "doing"]);
    project.ok(&["kitty", "move-task", "WP02", "--to", "done"]);
    let moves = ["wp.status_changed WP02 done doing", "wp.status_changed WP02 doing done"];
    assert_eq!(told(&seen(&project)), moves, "not completed again");
}

#[test]
fn lane_folders_move_the_file() {
    let project = project("folders");
    let before = project.read("kitty-specs/005-old-layout/tasks/planned/WP02-second.md");
    project.ok(&["kitty", "implement", "WP02", "--agent", "claude"]);
    assert!(!project.exists("kitty-specs/005-old-layout/tasks/planned/WP02-second.md"));
    let after = project.read("kitty-specs/005-old-layout/tasks/doing/WP02-second.md");
    let entry = after.lines().find(|line| line.ends_with("Z – claude – lane=doing – Started implementation")).unwrap();
    let expected = before.replace("lane: \"planned\"\n", "lane: \"doing\"\nagent: \"claude\"\n");
    assert_eq!(after, expected.replace("created\n", &format!("created\n{entry}\n")));
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP02 planned doing"]);
}

#[test]
fn the_newest_layout_gets_one_line_in_its_log() {
    let project = project("log");
    let before = specs(&project);
    project.ok(&["kitty", "move-task", "WP01", "--to", "for_review", "--agent", "claude", "--note", "Ready"]);
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP01 doing for_review"]);
    let changed = difference(&before, &specs(&project));
    let line: Value = serde_json::from_str(&changed["040-new-layout/status.events.jsonl"][0]).unwrap();
    assert_eq!([&line["from_lane"], &line["to_lane"], &line["actor"]], ["in_progress", "for_review", "claude"]);
    assert_eq!([&line["mission_slug"], &line["reason"]], ["040-new-layout", "Ready"]);
    let path = "040-new-layout/tasks/WP01-first.md";
    assert_eq!(changed[path], ["agent: \"claude\"\n"], "neither lane nor history begins here");
    project.ok(&["kitty", "add-history", "WP01", "--note", "Half done"]);
    assert_eq!(told(&seen(&project)), ["wp.history_added WP01 note"]);
    assert!(
        project.read("kitty-specs/040-new-layout/tasks/WP01-first.md").contains("history:\n  - timestamp: "),
        "but for a note"
    );
}

#[test]
fn marks_subtasks_and_packages() {
    let project = project("flat");
    let before = specs(&project);
    let ran = project.ok(&["kitty", "mark-status", "T001", "T004", "T999", "--status", "done", "--agent", "claude"]);
    assert!(ran.stderr.contains("tasks.md has no box for T999"), "{ran:?}");
    let events = seen(&project);
    assert_eq!(told(&events), ["wp.history_added WP01 note", "wp.history_added WP02 note"]);
    assert_eq!(events[0]["context"]["entry_content"], "T001 marked done");
    assert_eq!(events[0]["context"]["author"], "claude");
    let changed = difference(&before, &specs(&project));
    let ticked = ["- [x] T001 Step 1\n", "- [x] T004 [P] Step 4\n"].map(str::to_owned).to_vec();
    assert_eq!(changed, BTreeMap::from([("028-event-sync/tasks.md".to_owned(), ticked)]));
    project.ok(&["kitty", "mark-status", "T001", "--status", "done"]);
    assert!(seen(&project).is_empty(), "it is done already");
    project.ok(&["kitty", "mark-status", "T001", "T004", "--status", "pending"]);
    assert_eq!(specs(&project), before);
    seen(&project);
    project.ok(&["kitty", "mark-status", "WP02", "--status", "for_review"]);
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP02 doing for_review"]);
}

#[test]
fn adds_a_note_to_the_history() {
    let project = project("flat");
    let note = "Two lines:\n- \"quoted\" # not a comment";
    project.ok(&["kitty", "add-history", "WP02", "--note", note, "--type", "review", "--agent", "codex"]);
    let events = seen(&project);
    assert_eq!(told(&events), ["wp.history_added WP02 review"]);
    assert_eq!(events[0]["context"]["entry_content"], note);
    let text = project.read(&format!("{FLAT}/tasks/WP02-workflow-commands.md"));
    assert!(text.contains("  action: \"Two lines:\\n- \\\"quoted\\\" # not a comment\"\r\n"), "{text}");
}

#[test]
fn sc_011_what_fails_is_logged_and_ends_as_usual() {
    let project = project("flat");
    let before = specs(&project);
    for (arguments, code, line, message) in [
        (&["implement", "WP09", "--agent", "a"][..], 2, "error.logged WP09 validation", "has no work package WP09"),
        (&["mark-status", "T999", "--status", "done"], 2, "error.logged validation", "no box for T999"),
        (
            &["mark-status", "WP01", "--status", "nowhere"],
            2,
            "error.logged WP01 validation",
            "--status: one of planned",
        ),
        (&["merge", "--feature", "nothing"], 2, "error.logged validation", "there is 028-event-sync"),
        (&["add-history", "WP01", "--note", " "], 2, "error.logged WP01 validation", "the note is empty"),
    ] {
        let ran = project.run(&[&["kitty"], arguments].concat());
        assert!(ran.code == code && ran.stderr.contains(message), "{arguments:?}: {ran:?}");
        let events = seen(&project);
        assert_eq!(told(&events), [line], "{arguments:?}");
        let said = events[0]["context"]["error_message"].as_str().unwrap();
        assert!(said.contains(message) && !said.contains(&*project.root().to_string_lossy()), "{said}");
    }
    assert_eq!(specs(&project), before, "nothing is written");

    project.file(&format!("{FLAT}/tasks/WP04-x.md"), "---\nlane: |\n  planned\n---\n");
    let before = specs(&project);
    let ran = project.run(&["kitty", "implement", "WP04", "--agent", "a"]);
    assert!(ran.code == 2 && ran.stderr.contains("tasks/WP04-x.md:2: `lane` is written in a way"), "{ran:?}");
    let events = seen(&project);
    assert_eq!(
        (told(&events), &events[0]["context"]["agent_id"]),
        (vec!["error.logged WP04 validation".into()], &json!("a"))
    );
    assert_eq!(specs(&project), before, "and nothing is written");
}

#[test]
fn a_scan_tells_each_change_once() {
    let project = project("flat");
    project.ok(&["kitty", "scan", FLAT]);
    let mut expected = vec!["feature.created".to_owned()];
    expected.extend((1..=7).map(|number| format!("wp.created WP{number:02}")));
    expected.push("wp.status_changed WP02 planned doing".into());
    expected.push("wp.status_changed WP03 planned for_review".into());
    assert_eq!(told(&seen(&project)), expected);
    let unchanged = specs(&project);
    project.ok(&["kitty", "scan"]);
    assert_eq!((told(&seen(&project)), specs(&project)), (vec![], unchanged), "a scan writes nothing");

    // What a command tells, a scan does not tell again.
    project.ok(&["kitty", "implement", "WP01"]);
    seen(&project);
    let path = project.root().join(FLAT).join("tasks/WP02-workflow-commands.md");
    let text = fs::read_to_string(&path).unwrap().replace("lane: doing", "lane: done");
    fs::write(&path, text).unwrap();
    project.file(&format!("{FLAT}/tasks/WP08-new.md"), "---\ntitle: New\n---\n");
    project.ok(&["kitty", "scan"]);
    assert_eq!(
        told(&seen(&project)),
        ["wp.created WP08", "wp.status_changed WP02 doing done", "wp.dependency_resolved WP07 WP02"]
    );
}

#[test]
fn a_scan_reads_the_other_layouts_and_reports_what_is_blocked() {
    let log = project("log");
    let ran = log.ok(&["kitty", "scan"]);
    assert!(ran.stderr.contains("WP02 is blocked"), "{ran:?}");
    let expected = ["feature.created", "wp.created WP01", "wp.created WP02", "wp.status_changed WP01 planned doing"];
    assert_eq!(told(&seen(&log)), expected);
    let folders = project("folders");
    folders.ok(&["kitty", "scan"]);
    let expected = ["wp.created WP01", "wp.created WP02", "wp.status_changed WP01 planned doing"];
    assert_eq!(told(&seen(&folders)), expected, "without meta.json nothing is told of the feature");
}

#[test]
fn a_dry_run_shows_and_writes_nothing() {
    let project = project("flat");
    let before = files(&project.root());
    for arguments in [&["accept"][..], &["scan"], &["finalize-tasks"], &["mark-status", "T001", "--status", "done"]] {
        let ran = project.ok(&[&["kitty"], arguments, &["--dry-run"]].concat());
        assert!(ran.stdout.contains("dry run") && ran.stdout.contains("seen would run"), "{ran:?}");
    }
    assert_eq!(files(&project.root()), before);
    assert!(files(&project.home()).keys().all(|name| !name.contains("knockon.db")), "and remembers nothing");
}

#[test]
fn json_is_one_document_an_event() {
    let project = project("flat");
    let ran = project.ok(&["kitty", "accept", "WP01", "--json"]);
    let kinds = ran.stdout.lines().map(|line| {
        let document: Value = serde_json::from_str(line).unwrap();
        document["event"]["event_type"].as_str().unwrap().to_owned()
    });
    assert_eq!(kinds.filter(|kind| kind == "wp.dependency_resolved").count(), 4);
    assert_eq!(ran.stdout.lines().count(), 5);
}

#[test]
fn a_crash_loses_no_event_and_changes_no_id() {
    let project = project("flat");
    // The hook of the first event ends knockon itself: what is pending then is finished by the next command.
    project.hooks(
        "- {name: seen, events: [{type: '*'}], command: 'cat >> seen; echo >> seen; test -e calm || { touch calm; kill -9 $(cat pid); sleep 5; }'}\n",
    );
    project.trust();
    let mut command = project.program("sh", &["-c", "echo $$ > pid; exec \"$KNOCKON_BINARY\" kitty accept WP01"]);
    let status = command.status().unwrap();
    assert!(!status.success());
    let first = seen(&project);
    assert_eq!(told(&first), ["wp.status_changed WP01 planned done"]);
    let ran = project.ok(&["kitty", "scan"]);
    assert!(ran.stderr.contains("finishing what was begun before: 5 events"), "{ran:?}");
    let rest = seen(&project);
    assert_eq!(told(&rest)[..5].iter().filter(|line| line.starts_with("wp.dependency_resolved")).count(), 4);
    assert_eq!(rest[0]["event_id"], first[0]["event_id"], "the one that was under way has the same id");
    assert!(rest[..5].iter().all(|event| event["causation_id"] == first[0]["causation_id"]));
    let moves = told(&rest).into_iter().filter(|line| line.contains("WP01 planned done")).count();
    assert_eq!(moves, 1, "the scan does not tell it once more");
    assert_eq!(queued(&project), rest.len(), "each is in the queue once");
    project.ok(&["kitty", "scan"]);
    assert!(seen(&project).is_empty());
}

#[test]
fn never_follows_a_link_out_of_the_feature() {
    let project = project("flat");
    let outside: PathBuf = project.root().join("outside.md");
    fs::write(&outside, "---\nlane: planned\n---\n").unwrap();
    let inside = project.root().join(FLAT).join("tasks/WP04-x.md");
    fs::remove_file(&inside).unwrap();
    std::os::unix::fs::symlink(&outside, &inside).unwrap();
    let ran = project.run(&["kitty", "implement", "WP04"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(fs::read_to_string(outside).unwrap(), "---\nlane: planned\n---\n");
}

#[test]
fn never_follows_a_link_out_of_the_project_to_a_feature() {
    for (link, named) in [(FLAT, None), (FLAT, Some(FLAT)), (FLAT, Some("028")), ("kitty-specs", None)] {
        let project = project("flat");
        let outside = project.root().parent().unwrap().join("elsewhere").join(link);
        fs::create_dir_all(outside.parent().unwrap()).unwrap();
        fs::rename(project.root().join(link), &outside).unwrap();
        std::os::unix::fs::symlink(&outside, project.root().join(link)).unwrap();
        let before = files(&outside);
        let feature: Vec<&str> = named.iter().flat_map(|named| ["--feature", named]).collect();
        let ran = project.run(&[&["kitty", "implement", "WP04"], &feature[..]].concat());
        assert!(ran.code != 0 && ran.stderr.contains("leads out of the project"), "{link} {named:?}: {ran:?}");
        assert_eq!(files(&outside), before, "{link} {named:?}");
        // Inside of the project a link is fine.
        fs::remove_file(project.root().join(link)).unwrap();
        fs::rename(&outside, project.root().join("moved")).unwrap();
        std::os::unix::fs::symlink(project.root().join("moved"), project.root().join(link)).unwrap();
        project.ok(&[&["kitty", "implement", "WP04"], &feature[..]].concat());
    }
}

/// How many events wait for the team.
fn queued(project: &TestProject) -> usize {
    project.json(&["sync", "status", "--json"])["queued"].as_u64().unwrap().try_into().unwrap()
}

/// A hook that writes every event down, and holds the first one until there is a file `go`.
const HOLD: &str = "- {name: seen, events: [{type: '*'}], command: 'cat >> seen; echo >> seen; mkdir held 2>/dev/null || exit 0; while ! test -e go; do sleep 0.01; done'}\n";

fn start(project: &TestProject, arguments: &[&str]) -> Child {
    project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The events in the order of the clock.
fn by_clock(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| event["lamport_clock"].as_u64().unwrap());
    events
}

#[test]
fn a_command_does_not_wait_for_the_hooks_of_another() {
    let project = project("flat");
    project.hooks(HOLD);
    project.trust();
    let first = start(&project, &["kitty", "accept", "WP03", "WP01"]);
    wait_until("the first hook", || project.exists("held"));
    let begun = Instant::now();
    // Another package, and one whose events are still to come; a scan has nothing to add to those.
    project.ok(&["kitty", "implement", "WP04"]);
    let ran = project.ok(&["kitty", "move-task", "WP01", "--to", "doing"]);
    assert!(ran.stdout.starts_with("WP01: done → doing\n") && !ran.stderr.contains("finishing"), "{ran:?}");
    project.ok(&["kitty", "implement", "WP01"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    project.file("go", "");
    let first = finish(first);
    assert_eq!(first.code, 0, "{first:?}");
    let events = seen(&project);
    let hooks = told(&events);
    assert_eq!(
        hooks[..3],
        ["WP03 for_review done", "WP04 planned doing", "WP01 done doing"]
            .map(|move_| format!("wp.status_changed {move_}"))
    );
    let mut expected =
        ["WP03 for_review done", "WP01 planned done"].map(|move_| format!("wp.status_changed {move_}")).to_vec();
    expected.extend(["WP02", "WP03", "WP04", "WP05"].map(|id| format!("wp.dependency_resolved {id} WP01")));
    expected.extend(["WP04 planned doing", "WP01 done doing"].map(|move_| format!("wp.status_changed {move_}")));
    assert_eq!(told(&by_clock(events)), expected, "the clock has the order in which the files were changed");
    assert_eq!(queued(&project), expected.len());
}

#[test]
fn a_hook_may_work_on_its_own_feature() {
    let project = project("flat");
    let note = "command: '\"$BINARY\" kitty add-history WP01 --note begun --agent hook'";
    let note = note.replace("$BINARY", env!("CARGO_BIN_EXE_knockon"));
    project.hooks(&format!("{HOOK}- {{name: note, events: [{{type: wp.status_changed}}], {note}}}\n"));
    project.trust();
    let begun = Instant::now();
    let ran = project.ok(&["kitty", "implement", "WP01"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}: {ran:?}", begun.elapsed());
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP01 planned doing", "wp.history_added WP01 note"]);
    assert!(project.read(&format!("{FLAT}/tasks/WP01-event-factory.md")).contains("action: \"begun\""));
    assert_eq!(queued(&project), 2);
}

#[test]
fn eight_at_once_tell_each_move_once() {
    let project = project("flat");
    // Hooks of several processes write at once: each line is one write.
    let note = "command: 'line=$(cat); printf \"%s\\n\" \"$line\" >> seen'";
    project.hooks(&format!("- {{name: seen, events: [{{type: '*'}}], {note}}}\n"));
    project.trust();
    let ids: Vec<String> = (1..=8).map(|number| format!("WP{number:02}")).collect();
    for id in &ids {
        project.file(&format!("kitty-specs/001-eight/tasks/{id}.md"), "---\nlane: planned\n---\n");
    }
    for lane in ["doing", "for_review"] {
        let move_ = |id: &String| start(&project, &["kitty", "move-task", id, "--to", lane, "--feature", "001"]);
        let running: Vec<Child> = ids.iter().map(move_).collect();
        for ran in running.into_iter().map(finish) {
            assert_eq!(ran.code, 0, "{ran:?}");
        }
    }
    let events = by_clock(seen(&project));
    let mut lines = told(&events);
    assert_eq!(lines.len(), 16);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 16, "{lines:?}");
    let clock: Vec<u64> = events.iter().map(|event| event["lamport_clock"].as_u64().unwrap()).collect();
    assert!(clock.windows(2).all(|pair| pair[0] < pair[1]), "{clock:?}");
    assert_eq!(queued(&project), 16);
    project.ok(&["kitty", "scan", "--feature", "001"]);
    assert!(told(&seen(&project)).iter().all(|line| line.starts_with("wp.created")));
}

#[test]
fn the_same_package_at_once_is_moved_once() {
    let project = project("flat");
    let running: Vec<Child> = (0..4).map(|_| start(&project, &["kitty", "implement", "WP01"])).collect();
    for ran in running.into_iter().map(finish) {
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP01 planned doing"]);
    assert_eq!(queued(&project), 1);
}

#[test]
fn an_interrupted_command_leaves_the_rest_to_the_next() {
    let project = project("flat");
    project.hooks(
        "- {name: seen, events: [{type: '*'}], command: 'cat >> seen; echo >> seen; test -e calm || { touch calm; kill -INT $(cat pid); sleep 60; }'}\n",
    );
    project.trust();
    let mut command = project.program("sh", &["-c", "echo $$ > pid; exec \"$KNOCKON_BINARY\" kitty accept WP01"]);
    let ran = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(ran.code == 130 && ran.stderr.contains("4 events not emitted yet"), "{ran:?}");
    assert_eq!(told(&seen(&project)), ["wp.status_changed WP01 planned done"]);
    let ran = project.ok(&["kitty", "move-task", "WP01", "--to", "done"]);
    assert!(ran.stderr.contains("finishing what was begun before: 4 events"), "{ran:?}");
    let rest = ["WP02", "WP03", "WP04", "WP05"].map(|id| format!("wp.dependency_resolved {id} WP01"));
    assert_eq!(told(&seen(&project)), rest);
    assert_eq!(queued(&project), 5);
}

#[test]
fn reports_have_the_hooks_of_all_events() {
    let project = project("flat");
    project.hooks("- {name: seen, events: [{type: wp.dependency_resolved}], command: exit 3}\n");
    project.trust();
    let ran = project.ok(&["kitty", "accept", "WP01", "--report", "junit=a.xml", "--report", "summary=a.md"]);
    let (junit, summary) = (project.read("a.xml"), project.read("a.md"));
    assert_eq!(junit.matches("<testsuite ").count(), 5, "{junit}");
    assert_eq!(junit.matches("<failure ").count(), 4, "{ran:?}");
    assert_eq!(summary.matches("### `wp.").count(), 5, "{summary}");
}

#[test]
fn a_mission_without_a_number_is_told_and_its_feature_event_is_for_hooks_alone() {
    let project = project("flat");
    let slug = "user-auth-01JDPY4W";
    project.file(&format!("kitty-specs/{slug}/meta.json"), "{\"mission_id\": \"01JDPY4W3ZK8Q0RV5T6X7Y8Z9A\"}");
    project.file(&format!("kitty-specs/{slug}/tasks/WP01.md"), "---\nlane: planned\n---\n");
    let ran = project.ok(&["kitty", "finalize-tasks", "--feature", slug]);
    let told = format!("warning: `{slug}` is not named and numbered as the team's server wants it");
    assert!(ran.stderr.contains(&told), "{ran:?}");
    assert!(ran.stderr.contains("FeatureCreated is not queued for the team"), "{ran:?}");
    assert!(ran.stdout.contains("feature.created") && project.read("seen").lines().count() == 2, "{ran:?}");
    assert_eq!(queued(&project), 1, "the work package");
    for lane in ["doing", "for_review", "done"] {
        let ran = project.ok(&["kitty", "move-task", "WP01", "--to", lane, "--feature", slug]);
        assert!(!ran.stderr.contains("not queued"), "{ran:?}");
    }
    assert_eq!(queued(&project), 5, "its moves, and its end");
}
