//! `emit` and `run`: the event, the hooks that get it, and what is shown.

use crate::support::{TestProject, stable, write};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_script_receives_the_event_on_its_standard_input_and_in_its_environment() {
    let project = TestProject::new();
    project.hooks("- {name: keep, events: [{type: task.completed}], script: keep.sh, env: {MINE: \"a; $b\"}}\n");
    project.script("keep.sh", "#!/bin/sh\ncat > stdin.json\nenv > env.txt\npwd > pwd.txt\necho $0 > zero.txt\n");
    project.trust();

    let mut command = project.command(&["emit", "task.completed", "--task-id", "task-1", "--spec-id", "auth"]);
    let output = command.env("SECRET", "x").env("USER", "me").env("LD_LIBRARY_PATH", "/evil").output().unwrap();
    assert_eq!(output.status.code(), Some(0));

    let event: Value = serde_json::from_str(&project.read("stdin.json")).unwrap();
    assert_eq!(event["event_type"], "task.completed");
    assert_eq!(event["schema_version"], "1.0");
    assert_eq!(event["feature"], "auth");
    assert_eq!(event["context"], json!({"task_id": "task-1", "feature": "auth"}));
    assert_eq!(event["project_root"], json!(project.root()));
    assert!(event.get("artifacts").is_none(), "absent, not null");

    let environment = project.read("env.txt");
    let mut names: Vec<&str> = environment.lines().filter_map(|line| line.split_once('=')).map(|pair| pair.0).collect();
    names.sort_unstable();
    let wanted = [
        "HOME",
        "HOOK_ATTEMPT",
        "HOOK_EVENT",
        "HOOK_EVENT_ID",
        "HOOK_EVENT_TYPE",
        "HOOK_INTERACTIVE",
        "HOOK_NAME",
        "HOOK_REPLAY",
        "HOOK_RESPONSE",
        "HOOK_SOURCE",
        "HOOK_WORKSPACE",
        "KNOCKON_CHAIN",
        "LANG",
        "MINE",
        "PATH",
        "PWD",
        "PYTHONSAFEPATH",
        "TRACEPARENT",
        "USER",
    ];
    assert_eq!(names, wanted, "PWD is the shell's own");
    assert!(environment.contains("MINE=a; $b\n"), "a value is data");
    assert!(environment.contains(&format!("HOOK_EVENT={}\n", project.read("stdin.json"))));
    assert_eq!(project.read("pwd.txt").trim(), project.root().to_string_lossy());
    assert_eq!(project.read("zero.txt").trim(), project.hooks_folder().join("keep.sh").to_string_lossy());
}

#[test]
fn the_bytes_of_an_event_arrive_unchanged_small_and_large() {
    let project = TestProject::trusted("- {name: keep, events: [{type: '*'}], command: cat > got}\n");
    let head = r#"{ "event_type":"spec.created","event_id":"evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "schema_version":"1.0",
 "timestamp":"2025-12-02T15:30:45.123Z","project_root":"/p","n":123456789012345678901234567890.50,"#;
    for padding in [1, 70_000, 5 << 20] {
        let event = format!("{head}\"pad\":\"{}\"}}\n", "ä".repeat(padding / 2));
        let path = project.file("event.json", &event);
        project.ok(&["run", "--event-file", path.to_str().unwrap()]);
        assert_eq!(fs::read(project.root().join("got")).unwrap(), event.as_bytes(), "{padding}");
        let ran = project.run_with_input(&["run", "--event-file", "-"], event.as_bytes());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(fs::read(project.root().join("got")).unwrap(), event.as_bytes(), "{padding} from stdin");
    }
    let recorded = project.audit();
    let texts = recorded.iter().filter(|record| record["status"] == "emitted");
    assert!(texts.clone().all(|record| record["event_text"].as_str().is_some_and(|text| text.starts_with(head))));
    assert_eq!(texts.count(), 6);
}

#[test]
fn a_large_event_comes_in_a_private_file_that_is_gone_afterwards() {
    let project = TestProject::trusted(
        "- {name: keep, events: [{type: '*'}], command: 'cp \"$HOOK_EVENT_FILE\" got; stat -c %a \"$HOOK_EVENT_FILE\" > mode; echo \"$HOOK_EVENT_FILE|$HOOK_EVENT\" > name'}\n",
    );
    let payload = format!(r#"{{"pad":"{}"}}"#, "x".repeat(100 * 1024));
    let path = project.file("event.json", payload);
    project.ok(&["run", "--event-type", "spec.created", "--event-file", path.to_str().unwrap()]);
    let got: Value = serde_json::from_str(&project.read("got")).unwrap();
    assert_eq!(got["event_type"], "spec.created");
    assert_eq!(project.read("mode"), "600\n");
    let name = project.read("name");
    let (file, variable) = name.trim().split_once('|').unwrap();
    assert!(!fs::exists(file).unwrap(), "{file}");
    assert_eq!(variable, "", "HOOK_EVENT is left out");

    let mut command = project.command(&["run", "--event-type", "spec.created", "--json", "--event-file"]);
    let output = command.arg(&path).env("TMPDIR", "/nowhere").output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["results"][0]["status"], "success", "another folder does as well: {document}");
}

#[test]
fn run_adds_what_a_payload_lacks_and_keeps_the_rest() {
    let project = TestProject::trusted("- {name: keep, events: [{type: '*'}], command: cat > got}\n");
    project.ok(&["run", "--event-type", "implement.completed", "--payload", r#"{"feature": "auth", "task_id": 1e2}"#]);
    let got = project.read("got");
    assert!(got.ends_with(r#""feature": "auth", "task_id": 1e2}"#), "{got}");
    let event: Value = serde_json::from_str(&got).unwrap();
    assert_eq!(event["event_type"], "implement.completed");
    project.ok(&["run", "--event-type", "spec.created"]);
    assert!(project.read("got").contains(r#""event_type":"spec.created""#));
}

#[test]
fn flags_become_fields() {
    let project = TestProject::trusted("- {name: keep, events: [{type: '*'}], command: cat > got}\n");
    let flags = [
        "emit",
        "agent.progress",
        "--task-id",
        "t",
        "--spec-id",
        "s",
        "-f",
        "a b.rs",
        "--file",
        "c.rs",
        "--progress",
        "50",
        "--message",
        "half \"way\"",
        "--agent-id",
        "me@here",
        "--context",
        "priority=high",
        "--context",
        "n:=[1,{}]",
    ];
    project.ok(&flags);
    let event: Value = serde_json::from_str(&project.read("got")).unwrap();
    assert_eq!(event["feature"], "s");
    assert_eq!(event["artifacts"], json!([{"type": "file", "path": "a b.rs"}, {"type": "file", "path": "c.rs"}]));
    let context = event["context"].as_object().unwrap();
    assert_eq!(context["progress_percent"], 50);
    assert_eq!(context["status_message"], "half \"way\"");
    assert_eq!(context["agent_id"], "me@here");
    assert_eq!(context["n"], json!([1, {}]));
    assert_eq!(context["priority"], "high");
    assert!(context["machine"].as_str().is_some_and(|name| !name.is_empty()));
}

#[test]
fn results_are_calm_and_aligned() {
    let project = TestProject::trusted(
        "- {name: good, events: [{type: '*'}], command: 'echo fine'}\n\
         - {name: much-longer, events: [{type: '*'}], command: 'echo a; echo b >&2; exit 3'}\n\
         - {name: nothing, events: [{type: '*'}], command: exit 77}\n\
         - {name: gone, events: [{type: '*'}], command: nosuchcommand}\n",
    );
    let ran = project.run(&["emit", "spec.created"]);
    assert_eq!(ran.code, 0, "a failure with fail_mode continue is fine: {ran:?}");
    let lines: Vec<String> = stable(&ran.stdout, &project)
        .lines()
        .map(|line| line.split("  ").filter(|part| !part.trim().ends_with("ms")).collect::<Vec<_>>().join("  "))
        .collect();
    assert_eq!(lines[0], "spec.created  evt_ID");
    assert!(lines[1].starts_with("  ✓ good "), "{lines:?}");
    assert!(lines[2].starts_with("  ✗ much-longer") && lines[2].ends_with("exit 3"), "{lines:?}");
    assert_eq!((lines[3].as_str(), lines[4].as_str()), ("      a", "      b"));
    assert!(lines[5].starts_with("  - nothing") && lines[5].ends_with("skipped: exit 77"));
    assert!(lines[6].ends_with("exit 127: a command was not found"), "{lines:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "no colour outside a terminal");
    assert_eq!(ran.stderr, "");

    let quiet = project.run(&["emit", "spec.created", "--quiet"]).stdout;
    assert!(!quiet.contains("good") && quiet.contains("much-longer"), "{quiet}");
    let verbose = project.run(&["emit", "spec.created", "-v"]).stdout;
    assert!(verbose.starts_with("good | fine\n"), "{verbose}");
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let project = TestProject::trusted("- {name: good, events: [{type: '*'}], command: 'true'}\n");
    let (code, shown) = project.on_a_terminal("emit spec.created", "");
    assert_eq!(code, 0);
    assert!(shown.contains("\u{1b}[32m✓\u{1b}[0m good"), "{shown:?}");
    let (_, plain) = project.on_a_terminal("list; export NO_COLOR=1; \"$KNOCKON_BINARY\" emit spec.created", "");
    assert!(plain.contains("✓ good") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn json_has_the_whole_result() {
    let project = TestProject::trusted(
        "- {name: good, events: [{type: '*'}], command: 'echo out; echo err >&2'}\n\
         - {name: bad, events: [{type: '*'}], command: 'kill -9 $$'}\n",
    );
    let document = project.json(&["emit", "spec.created", "--spec-id", "s", "--json"]);
    assert_eq!(document["event"]["feature"], "s");
    assert_eq!(document["hooks_executed"], 2);
    assert_eq!(document["all_successful"], false);
    let [good, bad] = document["results"].as_array().unwrap().as_slice() else { panic!("{document}") };
    assert_eq!((&good["status"], &good["exit_code"], &good["success"]), (&json!("success"), &json!(0), &json!(true)));
    assert_eq!((&good["stdout"], &good["stderr"]), (&json!("out\n"), &json!("err\n")));
    assert_eq!((&bad["status"], &bad["signal"], &bad["exit_code"]), (&json!("failed"), &json!(9), &Value::Null));
    assert_eq!(bad["error"], "ended by SIGKILL");
}

#[test]
fn json_on_a_terminal_is_the_same_json_and_harmless() {
    let project = TestProject::trusted(
        "- {name: a, events: [{type: '*'}], command: 'printf \"\\\\302\\\\233\\\\342\\\\200\\\\256\"'}\n",
    );
    let unsafe_text = "\u{9b}2J \u{7f} \u{202e} \u{61c} \u{ad} \u{e0041} ä \u{1f600}";
    let event = project.file("event.json", format!("{{\r\"context\":{{\"text\":\"{unsafe_text}\"}}}}"));
    let arguments = format!("run --event-type spec.created --json --event-file {}", event.display());
    let (code, shown) = project.on_a_terminal(&arguments, "");
    let shown = shown.trim_end_matches("\r\n");
    assert_eq!(
        (code, shown.contains(|c: char| c.is_control() || "\u{202e}\u{61c}\u{ad}\u{e0041}".contains(c))),
        (0, false)
    );
    assert!(shown.contains("\\u009b2J \\u007f \\u202e \\u061c \\u00ad \\udb40\\udc41 ä \u{1f600}"), "{shown}");
    let document: Value = serde_json::from_str(shown).unwrap();
    assert_eq!(document["event"]["context"]["text"], unsafe_text);
    assert_eq!(document["results"][0]["stdout"], "\u{9b}\u{202e}");
    let piped = project.ok(&arguments.split(' ').collect::<Vec<_>>()).stdout;
    assert!(piped.contains(unsafe_text) && piped.contains('\r'), "nothing is changed for a program: {piped}");
}

#[test]
fn fail_mode_stop_skips_the_rest_and_exits_with_1() {
    let project = TestProject::trusted(
        "- {name: first, events: [{type: '*'}], command: 'true'}\n\
         - {name: gate, events: [{type: '*'}], command: 'echo too low >&2; exit 2', fail_mode: stop}\n\
         - {name: last, events: [{type: '*'}], command: touch ran}\n",
    );
    let ran = project.run(&["emit", "validate.started"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stderr, "knockon: `gate` stops this: too low\n");
    assert!(ran.stdout.contains("`gate` failed with fail_mode: stop"), "{}", ran.stdout);
    assert!(!project.exists("ran"));
    let story = ["emitted", "first started", "first success", "gate started", "gate failed", "last skipped"];
    assert_eq!(project.audit_story(), story);
}

#[test]
fn a_dry_run_shows_and_does_nothing() {
    let project = TestProject::trusted(
        "- {name: a, events: [{type: spec.*, filter: {n: [1, 2]}}], command: touch ran}\n- {name: b, events: [{type: x.y}], command: 'true'}\n",
    );
    let ran = project.ok(&["emit", "spec.created", "--context", "n:=2", "--dry-run"]);
    assert_eq!(
        ran.stdout,
        "spec.created  (dry run, nothing is run or recorded)\n  a would run (spec.* with n is one of 1, 2)\n"
    );
    assert!(!project.exists("ran"));
    assert_eq!(project.audit().len(), 0);
    let document = project.json(&["run", "--event-type", "plan.created", "--dry-run", "--json"]);
    assert_eq!(document["hooks"], json!([]));
}

#[test]
fn a_type_nobody_declared_is_emitted_with_a_warning() {
    let project = TestProject::trusted("- {name: any, events: [{type: '*'}], command: 'true'}\n");
    for arguments in [&["emit", "task.complete"][..], &["emit", "task.complete", "--dry-run"][..]] {
        let ran = project.ok(arguments);
        assert_eq!(
            ran.stderr,
            "knockon: warning: nobody declared the event type `task.complete`; did you mean `task.completed`?\n"
        );
    }
    assert!(project.ok(&["emit", "zebra.crossed"]).stderr.contains("`knockon events` lists the known ones"));
}

#[test]
fn user_hooks_run_before_the_projects() {
    let project = TestProject::trusted("- {name: mine, events: [{type: '*'}], command: echo project >> order}\n");
    for (folder, word) in [(".config/knockon", "xdg"), (".flowspec/hooks", "home")] {
        let folder = project.home().join(folder);
        fs::create_dir_all(&folder).unwrap();
        write(&folder.join("say.sh"), format!("#!/bin/sh\necho {word} >> order\n"), 0o755);
        let yaml = format!("version: '1.0'\nhooks:\n- {{name: {word}, events: [{{type: '*'}}], script: say.sh}}\n");
        write(&folder.join("hooks.yaml"), yaml, 0o644);
    }
    project.ok(&["emit", "spec.created"]);
    assert_eq!(project.read("order"), "xdg\nhome\nproject\n");
}

#[test]
fn the_project_is_found_by_walking_up() {
    let project =
        TestProject::trusted("- {name: here, events: [{type: '*'}], command: pwd > where, working_directory: sub}\n");
    fs::create_dir_all(project.root().join("sub/deep")).unwrap();
    let mut command = project.command(&["emit", "spec.created"]);
    assert!(command.current_dir(project.root().join("sub/deep")).status().unwrap().success());
    assert_eq!(project.read("sub/where").trim(), project.root().join("sub").to_string_lossy());
}

#[test]
fn a_project_without_hooks_gets_no_folder_of_ours() {
    let project = TestProject::bare();
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stdout.contains("no hook matched"), "{}", ran.stdout);
    assert_eq!(fs::read_dir(project.root()).unwrap().count(), 0);
    let entries = project.json(&["audit", "--json"]);
    assert_eq!(entries["entries"][0]["status"], "emitted", "it is recorded in the user's state folder");
}
