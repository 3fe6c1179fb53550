//! What a hook can answer, and what becomes of it: decisions, wishes, follow-up events, remarks.

use crate::support::TestProject;
use serde_json::{Value, json};

fn trusted(config: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\ndefaults: {{shell: /bin/sh}}\nhooks:\n{config}"));
    project.trust();
    project
}

/// A hook that prints `answer`.
fn printing(name: &str, answer: &Value, more: &str) -> String {
    let line = format!("printf %s {}", shell_quoted(&answer.to_string()));
    format!("- {{name: {name}, events: [{{type: '*'}}], command: {}{more}}}\n", json!(line))
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn the_strictest_decision_reaches_the_caller() {
    let specific = |decision: &str| {
        json!({"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": decision,
            "permissionDecisionReason": format!("{decision} it"), "additionalContext": format!("about {decision}")}})
    };
    let project = trusted(
        &[
            printing("first", &specific("allow"), ""),
            printing("second", &specific("deny"), ""),
            printing("third", &specific("ask"), ""),
        ]
        .concat(),
    );
    let document = project.json(&["emit", "a.b", "--json"]);
    let answer = &document["answer"];
    assert_eq!(
        (&answer["decision"], &answer["reason"], &answer["decidedBy"]),
        (&json!("block"), &json!("deny it"), &json!("second"))
    );
    assert_eq!(answer["hookSpecificOutput"]["permissionDecision"], "deny");
    assert_eq!(answer["hookSpecificOutput"]["additionalContext"], "about allow\nabout deny\nabout ask");
    let second = &document["results"][1];
    assert_eq!(
        (&second["status"], &second["error"]),
        (&json!("failed"), &json!("would block; fail_mode is continue: deny it"))
    );
    let recorded =
        project.audit().into_iter().find(|record| record["hook"] == "second" && record["status"] == "failed");
    assert_eq!(recorded.unwrap()["decision"], "deny");
}

#[test]
fn a_block_stops_the_caller_with_its_own_words() {
    for (command, said) in [
        (
            format!("printf %s {}", shell_quoted(r#"{"decision": "block", "reason": "not on a Friday"}"#)),
            "not on a Friday",
        ),
        (format!("printf %s {}", shell_quoted(r#"{"continue": false, "stopReason": "frozen"}"#)), "frozen"),
        ("echo the budget is gone >&2; exit 2".into(), "the budget is gone"),
    ] {
        let project = trusted(&format!(
            "- {{name: guard, events: [{{type: '*'}}], fail_mode: stop, retry: {{attempts: 3, backoff: 1ms}}, command: {}}}\n\
             - {{name: next, events: [{{type: '*'}}], command: touch next}}\n",
            json!(command)
        ));
        let ran = project.run(&["emit", "a.b", "--json"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(&format!("`guard` stops this: {said}")), "{ran:?}");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(document["answer"]["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap_or(said), said);
        assert_eq!(document["results"][0]["attempts"], 1, "a block is never tried again");
        assert!(!project.exists("next"));
    }
}

#[test]
fn the_file_wins_over_the_output_and_plain_text_is_plain_text() {
    let project = trusted(
        "- {name: file, events: [{type: '*'}], command: 'echo {\\\"decision\\\": \\\"block\\\"}; echo {\\\"systemMessage\\\": \\\"by file\\\"} > $HOOK_RESPONSE'}\n\
         - {name: text, events: [{type: '*'}], command: 'echo {\\\"decision\\\": \\\"block\\\"} and more'}\n\
         - {name: broken, events: [{type: '*'}], command: 'echo oops > $HOOK_RESPONSE'}\n\
         - {name: odd, events: [{type: '*'}], command: 'echo {\\\"decision\\\": 7}'}\n"
            .replace("\\\\\\\"", "\\\"")
            .as_str(),
    );
    let ran = project.ok(&["emit", "a.b", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["all_successful"], true, "{document}");
    assert!(ran.stderr.contains("knockon: by file\n"), "{ran:?}");
    assert!(ran.stderr.contains("`broken`: HOOK_RESPONSE does not hold one JSON object"), "{ran:?}");
    for hook in ["text", "broken", "odd"] {
        let warning = ran.stderr.lines().find(|line| line.contains(&format!("warning: `{hook}`: "))).unwrap();
        assert!(warning.ends_with("; write answers to the file named by $HOOK_RESPONSE, and print anything else"));
    }
}

#[test]
fn a_hook_can_ask_to_be_skipped_or_tried_again() {
    let again = json!({"status": "retry", "retry_after": "50ms", "reason": "the server is busy"});
    let project = trusted(
        &[
            printing("again", &again, ", retry: {attempts: 2, backoff: 1ms}"),
            printing("skip", &json!({"status": "skip", "reason": "nothing changed"}), ""),
        ]
        .concat(),
    );
    let began = std::time::Instant::now();
    let document = project.json(&["emit", "a.b", "--json"]);
    assert!(began.elapsed().as_millis() >= 50);
    let told: Vec<_> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hook| (&hook["status"], &hook["attempts"], &hook["error"]))
        .collect();
    assert_eq!(told[0], (&json!("failed"), &json!(2), &json!("temporary failure: the server is busy")));
    assert_eq!(told[1], (&json!("skipped"), &json!(1), &json!("skipped: nothing changed")));
}

#[test]
fn a_hook_can_cause_events_and_a_chain_of_them_ends() {
    let project = trusted(
        &[
            printing("first", &json!({"emit": [{"type": "task.updated", "context": {"task_id": "t-1"}}]}), "")
                .replace("type: '*'", "type: spec.created"),
            "- {name: second, events: [{type: task.updated}], command: 'cat > caused; echo $HOOK_SOURCE $KNOCKON_CHAIN > how'}\n".into(),
        ]
        .concat(),
    );
    let document = project.json(&["emit", "spec.created", "--json"]);
    let caused: Value = serde_json::from_str(&project.read("caused")).unwrap();
    let cause = document["event"]["event_id"].as_str().unwrap();
    assert_eq!(caused["causation_id"], cause.strip_prefix("evt_").unwrap());
    assert_eq!((&caused["schema_version"], &caused["context"]["task_id"]), (&json!("1.1"), &json!("t-1")));
    assert_eq!(project.read("how"), "hook 2\n");
    assert_eq!(document["followed"][0]["results"][0]["status"], "success");
    assert!(project.ok(&["emit", "spec.created"]).stdout.contains("task.updated"));

    let endless = trusted(&printing("echo", &json!({"emit": [{"type": "a.b"}]}), ""));
    let ran = endless.ok(&["emit", "a.b"]);
    assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("a.b  ")).count(), 17, "{}", ran.stdout);
    assert!(ran.stdout.contains("16 events caused each other already"), "{}", ran.stdout);

    let wide = trusted(&printing("echo", &json!({"emit": vec![json!({"type": "a.b"}); 40]}), ""));
    let began = std::time::Instant::now();
    let ran = wide.ok(&["emit", "a.b", "--quiet"]);
    assert!(ran.stderr.contains("more than 1000 further events"), "{ran:?}");
    assert!(began.elapsed().as_secs() < 60);
}

#[test]
fn a_hook_that_calls_the_emitter_itself_cannot_do_so_for_ever() {
    let project = TestProject::new();
    project.hooks("- {name: again, events: [{type: '*'}], timeout: 60, command: 'exec \"$EMITTER\" emit a.b --quiet', env_from: [EMITTER, XDG_STATE_HOME]}\n");
    project.trust();
    let binary = env!("CARGO_BIN_EXE_knockon");
    let output = project.command(&["emit", "a.b", "--quiet"]).env("EMITTER", binary).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let emitted = project.audit_story().iter().filter(|record| *record == "emitted").count();
    assert_eq!(emitted, 17);
}

#[test]
fn a_text_too_long_for_a_reader_goes_to_a_file() {
    let text = "long ".repeat(3000);
    let project = trusted(&printing("talk", &json!({"hookSpecificOutput": {"additionalContext": text}}), ""));
    let document = project.json(&["emit", "a.b", "--json"]);
    let context = document["answer"]["hookSpecificOutput"]["additionalContext"].as_str().unwrap();
    assert!(context.len() < 2500 && context.starts_with("long long"), "{context}");
    let path = context.rsplit(' ').next().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_hook_is_told_how_it_came_about_and_gets_a_span_of_its_own() {
    let project = trusted(
        "- {name: a, events: [{type: '*'}], command: 'env > a.env'}\n- {name: b, events: [{type: '*'}], command: 'env > b.env'}\n",
    );
    let value = |file: &str, name: &str| {
        let text = project.read(file);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.map(str::to_owned)
    };
    project.ok(&["emit", "a.b"]);
    for (name, wanted) in
        [("HOOK_SOURCE", "emit"), ("HOOK_REPLAY", "0"), ("HOOK_INTERACTIVE", "0"), ("HOOK_ATTEMPT", "1")]
    {
        assert_eq!(value("a.env", name).as_deref(), Some(wanted), "{name}");
    }
    assert!(!std::fs::exists(value("a.env", "HOOK_RESPONSE").unwrap()).unwrap(), "tidied up");
    let (a, b) = (value("a.env", "TRACEPARENT").unwrap(), value("b.env", "TRACEPARENT").unwrap());
    assert_eq!((&a[..36], a.len()), (&b[..36], 55), "one trace");
    assert_ne!(a[36..52], b[36..52], "two spans");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let mut command = project.command(&["emit", "a.b"]);
    assert!(command.env("TRACEPARENT", parent).env("TRACESTATE", "x=1").output().unwrap().status.success());
    let child = value("a.env", "TRACEPARENT").unwrap();
    assert!(child.starts_with(&parent[..36]) && child.ends_with("-00") && child[36..52] != parent[36..52], "{child}");
    assert_eq!(value("a.env", "TRACESTATE").as_deref(), Some("x=1"));
    project.ok(&["run", "--event-type", "a.b", "--payload", &format!(r#"{{"traceparent":"{parent}"}}"#)]);
    assert!(value("a.env", "TRACEPARENT").unwrap().starts_with(&parent[..36]));
    assert_eq!(value("a.env", "HOOK_SOURCE").as_deref(), Some("run"));
}

/// What became of one hook that stops the caller: the exit code, and the whole document.
fn guarded(command: &str) -> (i32, Value) {
    let project =
        trusted(&format!("- {{name: guard, events: [{{type: '*'}}], fail_mode: stop, command: {}}}\n", json!(command)));
    let ran = project.run(&["emit", "a.b", "--json"]);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap())
}

#[test]
fn a_no_does_not_get_lost() {
    for command in [
        "python3 -c 'import json; print(json.dumps(dict(decision=\"deny\", reason=\"r\" * 140000)))'",
        "printf '{\"decision\": \"den' > $HOOK_RESPONSE; echo '{\"decision\": \"deny\"}'",
        "ln -s /dev/null $HOOK_RESPONSE; echo '{\"decision\": \"deny\"}'",
        "echo '{\"decision\": \"deny\", \"reason\": \"no\"}'; exit 77",
    ] {
        let (code, document) = guarded(command);
        assert_eq!((code, document["answer"]["decision"].as_str()), (1, Some("block")), "{command}: {document}");
        assert!(document["results"][0]["error"].as_str().unwrap().len() < 2100);
    }
    for unreadable in [
        "echo '{\"decision\": \"deny\", \"decision\": \"allow\"}'",
        "printf '{\"decision\": \"deny\", \"reason\": \"\\355\\240\\275\"}'",
        "printf '\\357\\273\\277{\"decision\": \"deny\"}'",
    ] {
        let (code, document) = guarded(unreadable);
        let error = document["results"][0]["error"].as_str().unwrap();
        assert!(error.starts_with("unreadable answer: its output holds an answer, but"), "{unreadable}: {document}");
        assert_eq!((code, &document["outcome"]), (1, &json!("stopped")), "it may have been a no");
    }
}

#[test]
fn a_reason_belongs_to_its_decision_and_a_failure_allows_nothing() {
    let reason = |answer: &str| guarded(&format!("echo '{answer}'")).1["answer"]["reason"].clone();
    let deny = r#"{"decision": "approve", "reason": "fine", "hookSpecificOutput": {"permissionDecision": "deny", "permissionDecisionReason": "rm -rf"}}"#;
    assert_eq!(reason(deny), "rm -rf");
    let (_, stopped) =
        guarded(r#"echo '{"continue": false, "stopReason": "budget gone", "decision": "approve", "reason": "fine"}'"#);
    assert_eq!(stopped["results"][0]["error"], "blocked: budget gone");
    let (_, failed) =
        guarded(r#"echo '{"decision": "allow", "hookSpecificOutput": {"updatedInput": {"n": 1}}}'; exit 1"#);
    assert_eq!(
        (&failed["answer"]["decision"], &failed["answer"]["hookSpecificOutput"]),
        (&Value::Null, &Value::Null),
        "{failed}"
    );
}

#[test]
fn numbers_stay_the_numbers_they_are() {
    let big = "123456789012345678901234567890";
    let answer = format!(
        r#"{{"hookSpecificOutput": {{"updatedInput": {{"n": {big}}}}}, "emit": [{{"type": "x.y", "context": {{"n": {big}}}}}]}}"#
    );
    let project = trusted(&format!(
        "- {{name: a, events: [{{type: a.b}}], command: {}}}\n- {{name: x, events: [{{type: x.y}}], command: cat > got}}\n",
        json!(format!("echo '{answer}'"))
    ));
    let ran = project.ok(&["emit", "a.b", "--json"]);
    assert!(ran.stdout.contains(&format!(r#""updatedInput":{{"n": {big}}}"#)), "{}", ran.stdout);
    assert!(project.read("got").contains(&format!(r#""context":{{"n": {big}}}"#)), "{}", project.read("got"));
}

#[test]
fn what_would_follow_ends_with_what_goes_on() {
    let three = r#"{"emit": [{"type": "x.one"}, {"type": "x.two"}, {"type": "x.three"}]}"#;
    let project = trusted(&format!(
        "- {{name: a, events: [{{type: a.b}}], command: {}}}\n- {{name: s, events: [{{type: 'x.*'}}], command: 'echo >> log; exec sleep 20'}}\n",
        json!(format!("echo '{three}'"))
    ));
    let mut child = crate::support::with_default_signals(&project, &["emit", "a.b"]);
    crate::support::wait_until("the first", || project.exists("log"));
    crate::support::kill("TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(project.read("log").lines().count(), 1);
}

#[test]
fn a_temporary_folder_that_cannot_be_used_costs_no_answer() {
    let project = trusted(
        "- {name: a, events: [{type: '*'}], working_directory: sub, fail_mode: stop, command: 'echo \"{\\\"decision\\\": \\\"deny\\\"}\" > $HOOK_RESPONSE'}\n",
    );
    project.file("sub/x", "");
    for folder in ["", "relative", "/proc"] {
        let output = project.command(&["emit", "a.b"]).env("TMPDIR", folder).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{folder:?}: {output:?}");
    }
}
