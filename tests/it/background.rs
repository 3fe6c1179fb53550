//! What nobody waits for, what is kept apart, and what is run again: `detach`, `coalesce`, groups, `drain`, `retry`,
//! `replay`.

use crate::support::{TestProject, wait_until};
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn trusted(config: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\ndefaults: {{shell: /bin/sh}}\n{config}"));
    project.trust();
    project
}

fn emit(project: &TestProject, more: &[&str]) -> Value {
    project.json(&[&["emit", "a.b", "--json"], more].concat())
}

fn statuses(document: &Value) -> Vec<String> {
    let results = document["results"].as_array().unwrap().iter();
    results.map(|hook| format!("{} {}", hook["hook"].as_str().unwrap(), hook["status"].as_str().unwrap())).collect()
}

#[test]
fn the_emitter_does_not_wait_for_a_detached_hook() {
    let project = trusted(
        "hooks:\n\
         - {name: slow, events: [{type: '*'}], mode: detach, command: 'cat > got; echo $HOOK_SOURCE $HOOK_REPLAY > how; while ! test -e go; do sleep 0.02; done; touch done'}\n\
         - {name: quick, events: [{type: '*'}], command: touch quick}\n",
    );
    let document = emit(&project, &[]);
    assert_eq!(statuses(&document), ["slow detached", "quick success"]);
    assert!(project.exists("quick") && !project.exists("done"));
    wait_until("the start", || project.exists("how") && project.read("how") == "emit 0\n");
    assert!(project.ok(&["drain"]).stdout.contains("1 delivery under way in the background"));
    project.file("go", "");
    wait_until("the record", || project.audit_story().contains(&"slow success".to_owned()));
    assert!(project.exists("done"));
    assert_eq!(project.read("got"), document["event"].to_string(), "the very event");
    let story = project.audit_story();
    let place = |step: &str| story.iter().position(|told| told == step).unwrap();
    assert!(place("slow detached") < place("slow started").min(place("quick started")), "{story:?}");
    wait_until("the end", || project.ok(&["drain"]).stdout == "nothing was left behind\n");
}

#[test]
fn detached_hooks_keep_to_trust_stop_and_their_timeout() {
    let config = "hooks:\n\
         - {name: guard, events: [{type: '*'}], fail_mode: stop, command: exit 1}\n\
         - {name: after, events: [{type: '*'}], mode: detach, command: touch after}\n";
    let project = trusted(config);
    let ran = project.run(&["emit", "a.b", "--json"]);
    assert_eq!(statuses(&serde_json::from_str(&ran.stdout).unwrap()), ["guard failed", "after skipped"]);

    let project = trusted(
        "hooks:\n- {name: late, events: [{type: '*'}], mode: detach, timeout: 200ms, command: 'exec sleep 60'}\n",
    );
    emit(&project, &[]);
    wait_until("the timeout", || project.audit_story().contains(&"late timeout".to_owned()));

    let project = TestProject::new();
    project.hooks("- {name: shy, events: [{type: '*'}], mode: detach, command: touch shy}\n");
    assert_eq!(statuses(&emit(&project, &[])), ["shy blocked_untrusted"]);
    let hash = project.ok(&["trust", "--print-hash"]).stdout;
    assert_eq!(statuses(&emit(&project, &["--trust-hash", hash.trim()])), ["shy detached"], "the consent goes along");
    wait_until("the run", || project.exists("shy"));
}

/// Kills the processes that carry out what nobody waits for, as the end of the machine would.
fn kill_background(project: &TestProject) {
    let state = project.home();
    wait_until("the process", || !background(&state).is_empty());
    for pid in background(&state) {
        let line = format!("kill -9 {pid}");
        assert!(std::process::Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success());
    }
    wait_until("its end", || background(&state).is_empty());
}

/// The processes that were started to drain, by the home folder in their environment.
fn background(home: &std::path::Path) -> Vec<u32> {
    let mark = format!("HOME={}", home.display());
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let fits = |pid: &u32| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        has(&read("cmdline"), "drain\0--owner") && has(&read("environ"), &mark)
    };
    processes.filter(fits).collect()
}

#[test]
fn what_a_dead_machine_left_behind_is_found_and_finished() {
    let project = trusted(
        "hooks:\n- {name: slow, events: [{type: '*'}], mode: detach, command: 'echo $HOOK_ATTEMPT $HOOK_REPLAY >> tries; while ! test -e go; do sleep 0.02; done; touch done'}\n",
    );
    emit(&project, &[]);
    wait_until("the start", || project.exists("tries"));
    kill_background(&project);
    project.file("go", "");
    let drained = project.ok(&["drain"]);
    assert!(drained.stdout.contains("✓ slow"), "{drained:?}");
    assert!(project.exists("done"));
    assert_eq!(project.read("tries"), "1 0\n2 1\n");
    assert_eq!(project.ok(&["drain"]).stdout, "nothing was left behind\n");
    assert_eq!(project.audit_story(), ["emitted", "slow detached", "slow started", "slow started", "slow success"]);
}

#[test]
fn what_is_cut_short_each_time_is_given_up_and_told() {
    let project = trusted(
        "hooks:\n- {name: deadly, events: [{type: '*'}], mode: detach, command: 'echo >> tries; exec sleep 60'}\n",
    );
    emit(&project, &[]);
    for tries in 1..=3 {
        wait_until("the start", || project.exists("tries") && project.read("tries").lines().count() == tries);
        if tries == 1 {
            kill_background(&project);
        }
        if tries < 3 {
            let mut child = drain_in_background(&project);
            wait_until("the next start", || project.read("tries").lines().count() > tries);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    let ran = project.ok(&["drain", "--json"]);
    let told: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(told["given_up"][0]["hook"], "deadly", "{ran:?}");
    assert!(ran.stderr.contains("given up: it was begun 3 times"), "{ran:?}");
    assert_eq!(project.audit().last().unwrap()["status"], "error");
    assert_eq!(project.ok(&["drain"]).stdout, "nothing was left behind\n");
}

fn drain_in_background(project: &TestProject) -> Child {
    project.command(&["drain"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_hook_that_is_gone_and_a_store_that_cannot_be_used_are_told() {
    let project =
        trusted("hooks:\n- {name: slow, events: [{type: '*'}], mode: detach, command: 'touch up; exec sleep 60'}\n");
    emit(&project, &[]);
    wait_until("the start", || project.exists("up"));
    kill_background(&project);
    project.config("version: '1.1'\nhooks: []\n");
    let ran = project.ok(&["drain"]);
    assert!(ran.stderr.contains("`slow`: the hook is no longer in"), "{ran:?}");

    let project = trusted("hooks:\n- {name: h, events: [{type: '*'}], mode: detach, command: touch ran}\n");
    let state = project.home().join(".local/state/knockon");
    std::fs::create_dir_all(state.join("knockon.db")).unwrap();
    let ran = project.run(&["emit", "a.b", "--json"]);
    assert_eq!(statuses(&serde_json::from_str(&ran.stdout).unwrap()), ["h success"], "waited for instead: {ran:?}");
    assert!(ran.stderr.contains("`h` is waited for: the store") && project.exists("ran"), "{ran:?}");
}

#[test]
fn events_of_one_value_within_the_window_become_one_run() {
    let project = trusted(
        "hooks:\n- {name: once, events: [{type: '*'}], coalesce: {key: context.task_id, within: 1500ms}, command: 'event=$(cat); echo $HOOK_COALESCED >> counts; echo \"$event\" >> events'}\n",
    );
    // Both runs may come at the same moment: each line is one write.
    for (task, n) in [("t-1", 1), ("t-1", 2), ("t-2", 3), ("t-1", 4)] {
        let document = emit(&project, &["--task-id", task, "--context", &format!("n:={n}")]);
        assert_eq!(statuses(&document), ["once detached"]);
    }
    let told: Vec<String> = project
        .audit()
        .iter()
        .filter(|record| record["hook"] == "once")
        .map(|record| record["error"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        told[..2],
        ["runs in 1500 ms, with the last event until then", "joined the run that waits for more events, 2 so far"]
    );
    wait_until("both runs", || project.exists("counts") && project.read("counts").lines().count() == 2);
    wait_until("both events", || project.read("events").lines().count() == 2);
    let mut counts: Vec<String> = project.read("counts").lines().map(str::to_owned).collect();
    counts.sort();
    assert_eq!(counts, ["1", "3"]);
    let mut last: Vec<u64> = project
        .read("events")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["context"]["n"].as_u64().unwrap())
        .collect();
    last.sort_unstable();
    assert_eq!(last, [3, 4], "the last event of each");
}

#[test]
fn one_run_of_a_group_goes_at_a_time_across_processes() {
    let project = trusted(
        "concurrency: 4\nhooks:\n\
         - {name: a, events: [{type: a.b}], concurrency_group: g, command: 'echo + >> log; sleep 0.05; echo - >> log'}\n\
         - {name: b, events: [{type: a.b}], concurrency_group: g, command: 'echo + >> log; sleep 0.05; echo - >> log'}\n",
    );
    let children: Vec<Child> = (0..4)
        .map(|_| project.command(&["emit", "a.b"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(project.read("log"), "+\n-\n".repeat(8), "nothing is dropped, and none runs beside another");
}

#[test]
fn who_does_not_want_to_wait_for_its_group_says_so() {
    let hook = |name: &str, on_busy: &str| {
        format!(
            "- {{name: {name}, events: [{{type: {name}.x}}], concurrency_group: g, {on_busy} command: 'echo {name} >> log; touch up; while ! test -e go; do sleep 0.01; done'}}\n"
        )
    };
    let project = trusted(&format!(
        "hooks:\n{}{}{}",
        hook("long", ""),
        hook("drop", "on_busy: drop,"),
        hook("newest", "on_busy: replace,")
    ));
    let spawn = |kind: &str| {
        project.command(&["emit", kind, "--json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let long = spawn("long.x");
    wait_until("the first", || project.exists("up"));
    let dropped = project.json(&["emit", "drop.x", "--json"]);
    assert_eq!(dropped["results"][0]["error"], "another run of the group `g` goes on");
    let first = spawn("newest.x");
    let waiting = |count: usize| {
        let folder = project.home().join(".local/state/knockon/groups");
        let tokens = std::fs::read_dir(folder).into_iter().flatten().flatten();
        tokens.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "waiting")).count() == count
    };
    wait_until("the second to wait", || waiting(1));
    std::thread::sleep(Duration::from_millis(100));
    let second = spawn("newest.x");
    let result = |child: Child| {
        let output = child.wait_with_output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["results"][0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(result(first), "skipped");
    project.file("go", "");
    assert_eq!((result(long).as_str(), result(second).as_str()), ("success", "success"));
    assert_eq!(project.read("log"), "long\nnewest\n");
}

#[test]
fn what_did_not_end_well_is_tried_again_by_hand() {
    let project = trusted(
        "hooks:\n\
         - {name: good, events: [{type: '*'}], command: 'echo good >> log'}\n\
         - {name: bad, events: [{type: '*'}], retry: {attempts: 2, backoff: 1ms}, command: 'echo bad $HOOK_ATTEMPT $HOOK_REPLAY $HOOK_SOURCE >> log; cat > got; test -e mended'}\n",
    );
    let document = emit(&project, &[]);
    let id = document["event"]["event_id"].as_str().unwrap();
    project.file("mended", "");
    let again = project.json(&["retry", id, "--json"]);
    assert_eq!(statuses(&again), ["bad success"]);
    assert_eq!(project.read("log"), "good\nbad 1 0 emit\nbad 2 0 emit\nbad 3 1 retry\n");
    assert_eq!(project.read("got"), document["event"].to_string());
    let last = project.audit().pop().unwrap();
    assert_eq!((&last["attempt"], &last["replay"], &last["event_id"]), (&json!(3), &json!(true), &json!(id)));
    assert_eq!(project.ok(&["retry", id]).stdout, "nothing to try again: every hook of this event ended well\n");
    assert_eq!(statuses(&project.json(&["retry", id, "good", "--json"])), ["good success"]);
    let ran = project.run(&["retry", "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A"]);
    assert!(ran.code == 2 && ran.stderr.contains("the audit log has no event"), "{ran:?}");
    assert!(project.run(&["retry", id, "god"]).stderr.contains("did you mean `good`?"));
    assert_eq!(project.audit_story().iter().filter(|story| *story == "emitted").count(), 1, "the event was made once");
}

#[test]
fn events_of_the_past_are_delivered_again() {
    let project = trusted(
        "hooks:\n- {name: h, events: [{type: 'a.*'}], command: 'echo $HOOK_EVENT_TYPE $HOOK_REPLAY >> log'}\n- {name: other, events: [{type: '*'}], command: 'true'}\n",
    );
    for kind in ["a.one", "b.two", "a.three"] {
        project.ok(&["emit", kind]);
    }
    let dry = project.ok(&["replay", "--since", "1h", "--type", "a.*", "--dry-run"]).stdout;
    assert_eq!(dry.lines().count(), 2);
    assert!(dry.lines().all(|line| line.starts_with("a.") && line.ends_with("  h, other")), "{dry}");
    project.ok(&["replay", "--since", "1h", "--type", "a.*", "--hook", "h"]);
    assert_eq!(project.read("log"), "a.one 0\na.three 0\na.one 1\na.three 1\n");
    for since in ["2020-01-01", "2020-01-01T00:00:00Z", "30d"] {
        assert_eq!(project.ok(&["replay", "--since", since, "--dry-run"]).stdout.lines().count(), 3, "{since}");
    }
    let none = project.ok(&["replay", "--since", "2020-01-01", "--until", "2020-01-02"]);
    assert_eq!(none.stdout, "the audit log has no such event since 2020-01-01T00:00:00.000Z\n");
    let ran = project.run(&["replay", "--since", "yesterday"]);
    assert!(ran.code == 2 && ran.stderr.contains("how long ago"), "{ran:?}");
}

#[test]
fn a_pause_for_a_group_ends_with_knockon() {
    let project = trusted(
        "hooks:\n- {name: h, events: [{type: '*'}], concurrency_group: g, command: 'echo >> log; while ! test -e go; do sleep 0.01; done'}\n",
    );
    let first = project.command(&["emit", "a.b"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the first", || project.exists("log"));
    let start = "import os, signal, sys\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_DFL)\nos.execv(os.environ['KNOCKON_BINARY'], ['knockon', 'emit', 'a.b'])";
    let mut second =
        project.program("python3", &["-c", start]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the second", || project.audit_story().iter().filter(|story| *story == "emitted").count() == 2);
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    assert!(
        std::process::Command::new("/bin/sh")
            .args(["-c", &format!("kill -TERM {}", second.id())])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(second.wait().unwrap().code(), Some(143));
    assert!(began.elapsed() < Duration::from_secs(5));
    project.file("go", "");
    assert!(first.wait_with_output().unwrap().status.success());
    assert_eq!(project.read("log").lines().count(), 1);
}

#[test]
fn what_was_kept_from_running_is_tried_again_by_hand() {
    let project = trusted(
        "hooks:\n- {name: a, events: [{type: '*'}], fail_mode: stop, command: 'test -e ok'}\n- {name: b, events: [{type: '*'}], command: 'echo >> ran'}\n",
    );
    let ran = project.run(&["emit", "a.b", "--json"]);
    let id = serde_json::from_str::<Value>(&ran.stdout).unwrap()["event"]["event_id"].as_str().unwrap().to_owned();
    project.file("ok", "");
    assert_eq!(statuses(&project.json(&["retry", &id, "--json"])), ["a success", "b success"]);
    assert_eq!(project.read("ran"), "\n");
    assert!(project.ok(&["retry", &id]).stdout.starts_with("nothing to try again"));
}

#[test]
fn a_hook_that_runs_itself_again_cannot_do_so_for_ever() {
    let project = TestProject::new();
    project.hooks("- {name: a, events: [{type: '*'}], timeout: 60, command: 'echo $KNOCKON_CHAIN >> chain; exec \"$EMITTER\" retry $HOOK_EVENT_ID a', env_from: [EMITTER]}\n");
    project.trust();
    let binary = env!("CARGO_BIN_EXE_knockon");
    assert!(project.command(&["emit", "a.b", "--quiet"]).env("EMITTER", binary).output().unwrap().status.success());
    assert_eq!(project.read("chain").lines().last(), Some("16"));
    for odd in ["4294967295", "x", "-1"] {
        let output = project.command(&["emit", "a.b"]).env("KNOCKON_CHAIN", odd).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8(output.stdout).unwrap().contains("caused each other"),
            "{odd}"
        );
    }
}

#[test]
fn any_event_that_was_recorded_can_be_delivered_again() {
    let deep = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    for context in ["{\"x\":1e400}".to_owned(), deep(100), deep(125)] {
        let project = trusted("hooks:\n- {name: a, events: [{type: '*'}], command: 'cat >> got; exit 1'}\n");
        let payload = format!("{{\"event_type\":\"a.b\",\"context\":{context}}}");
        project.ok(&["run", "--payload", &payload]);
        let text = project.read(".knockon/audit.log");
        let id = &text[text.find("evt_").unwrap()..][..30];
        let ran = project.run(&["retry", id]);
        assert!(ran.stdout.contains("✗ a"), "{context}: {ran:?}");
        let got = project.read("got");
        assert_eq!(got.len() % 2, 0);
        assert_eq!(got[..got.len() / 2], got[got.len() / 2..], "byte for byte");
        assert!(project.ok(&["audit"]).stderr.is_empty());
    }
}

#[test]
fn events_at_the_same_moment_become_one_run_too() {
    let project = trusted(
        "hooks:\n- {name: once, events: [{type: '*'}], coalesce: {key: event_type, within: 2s}, command: 'echo $HOOK_COALESCED >> counts'}\n",
    );
    let children: Vec<Child> = (0..20)
        .map(|_| project.command(&["emit", "a.b"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let sum = || {
        project
            .exists("counts")
            .then(|| project.read("counts").lines().map(|line| line.parse::<u32>().unwrap()).sum::<u32>())
    };
    wait_until("all of them", || sum() >= Some(20));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sum(), Some(20), "each event in one run: {}", project.read("counts"));
    let runs = project.audit_story().iter().filter(|story| *story == "once started").count();
    assert_eq!(runs, project.read("counts").lines().count());
}

#[test]
fn a_damaged_store_is_moved_aside_and_a_store_that_fails_costs_no_run() {
    let project = trusted("hooks:\n- {name: h, events: [{type: '*'}], mode: detach, command: 'echo >> ran'}\n");
    emit(&project, &[]);
    let runs = |count: usize| project.exists("ran") && project.read("ran").lines().count() == count;
    wait_until("the run", || runs(1) && project.ok(&["drain"]).stdout == "nothing was left behind\n");
    let state = project.home().join(".local/state/knockon");
    let store = state.join("knockon.db");
    let mut bytes = std::fs::read(&store).unwrap();
    let half = bytes.len().min(4096);
    bytes[half..].fill(0xff);
    bytes[100..half].fill(0xff);
    std::fs::write(&store, bytes).unwrap();
    let _ = std::fs::remove_file(state.join("knockon.db-wal"));
    assert_eq!(statuses(&emit(&project, &[])), ["h detached"]);
    wait_until("the next run", || runs(2));
    assert!(
        std::fs::read_dir(&state)
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("damaged"))
    );
    std::fs::remove_dir_all(state.join("owners")).unwrap();
    std::fs::write(state.join("owners"), "").unwrap();
    let ran = project.run(&["emit", "a.b", "--json"]);
    assert_eq!(statuses(&serde_json::from_str(&ran.stdout).unwrap()), ["h success"], "waited for: {ran:?}");
    assert!(ran.stderr.contains("waited for") && runs(3), "{ran:?}");
}
