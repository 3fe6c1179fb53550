//! Faults of everyday use that looked like success.

use crate::support::TestProject;
use serde_json::json;
use std::fs;

#[test]
fn a_hook_written_with_on_runs_also_after_init() {
    let project = TestProject::bare();
    project.ok(&["init"]);
    assert!(!project.read(".knockon/hooks.yaml").contains("  enabled: false       #"), "no default switches hooks off");
    project.ok(&["on", "task.completed", "touch ran"]);
    project.trust();
    project.ok(&["emit", "task.completed"]);
    assert!(project.exists("ran"));
    let project = TestProject::bare();
    project.config_in(".knockon", "version: '1.0'\ndefaults: {enabled: false}\nhooks: []\n");
    project.ok(&["on", "task.completed", "touch ran"]);
    project.trust();
    project.ok(&["emit", "task.completed"]);
    assert!(project.exists("ran"), "whatever the defaults say");
}

#[test]
fn the_folder_that_knockon_makes_keeps_its_log_out_of_git() {
    let project = TestProject::bare();
    project.ok(&["on", "task.completed", "true"]);
    assert!(project.read(".knockon/.gitignore").contains("audit.log*\n"));
}

#[test]
fn a_retry_that_fails_again_is_a_failure() {
    let project = TestProject::trusted("- {name: h, events: [{type: '*'}], command: 'test -e good'}\n");
    let event = project.json(&["emit", "a.b", "--json"]);
    let id = event["event"]["event_id"].as_str().unwrap().to_owned();
    assert_eq!(project.run(&["retry", &id]).code, 1);
    project.file("good", "");
    assert_eq!(project.run(&["retry", &id]).code, 0);
    assert!(project.ok(&["retry", &id]).stdout.contains("nothing to try again"));
    // On a terminal it asks first.
    fs::remove_file(project.root().join("good")).unwrap();
    let (_, shown) = project.on_a_terminal(&format!("replay {id}"), "n\n");
    assert!(shown.contains("Run hooks again: 1 run for 1 event?"), "{shown}");
    let before = project.audit().len();
    project.on_a_terminal(&format!("retry {id} h --yes"), "");
    assert!(project.audit().len() > before);
}

#[test]
fn records_say_who_did_it_where_and_with_which_content() {
    let project = TestProject::trusted("- {name: h, events: [{type: '*'}], script: h.sh}\n");
    project.script("h.sh", "#!/bin/sh\ntrue\n");
    let hash = project.ok(&["trust", "--print-hash"]).stdout.trim().to_owned();
    project.ok(&["trust", "--hash", &hash]);
    let output = project.command(&["emit", "a.b"]).env("USER", "ada").output().unwrap();
    assert!(output.status.success());
    project.ok(&["untrust"]);
    project.ok(&["audit", "seal", "--accept"]);
    let records = project.audit_whole();
    let of = |status: &str| records.iter().rfind(|record| record["status"] == status).unwrap();
    assert_eq!(of("trusted")["config_hash"], json!(hash));
    assert_eq!((&of("emitted")["user"], of("emitted")["host"].is_string()), (&json!("ada"), true));
    assert_eq!(of("started")["config_hash"], json!(hash));
    assert!(of("started")["script_hash"].as_str().unwrap().starts_with("sha256:"));
    assert!(of("untrusted")["host"].is_string() && of("sealed")["host"].is_string());
    project.ok(&["audit", "verify"]);
    assert!(project.ok(&["audit"]).stdout.contains("untrusted"));
    project.ok(&["stats"]);
    project.ok(&["report", "--out", "report.html"]);
}

#[test]
fn a_hook_that_nobody_waits_for_may_take_a_day() {
    let project = TestProject::new();
    project.hooks(
        "- {name: long, events: [{type: task.completed}], command: 'true', mode: detach, timeout: 24h}\n\
         - {name: hour, events: [{type: task.completed}], command: 'true', timeout: 1h}\n",
    );
    let document: serde_json::Value = serde_json::from_str(&project.ok(&["validate", "--json"]).stdout).unwrap();
    assert_eq!(document["valid"], true, "{document}");
}

#[test]
fn a_hook_that_calls_knockon_has_the_same_folders() {
    let project =
        TestProject::trusted("- {name: h, events: [{type: '*'}], command: 'env | grep ^XDG_ | sort > got'}\n");
    let names = ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"];
    let mut command = project.command(&["emit", "a.b"]);
    for name in names {
        // The trust is where it was given.
        let folder = if name == "XDG_STATE_HOME" { ".local/state" } else { name };
        command.env(name, project.home().join(folder));
    }
    assert!(command.output().unwrap().status.success());
    let got = project.read("got");
    assert!(names.iter().all(|name| got.contains(&format!("{name}="))), "{got}");
}

#[test]
fn a_failure_that_looks_like_the_sandbox_says_what_to_declare() {
    let project = TestProject::new();
    std::fs::create_dir(project.root().join(".git")).unwrap();
    let hooks = [
        ("git", "touch .git/x", Some("sandbox: {level: guard, write: [PATH]}")),
        ("home", "touch \"$HOME/x\"", Some("sandbox: {level: guard, write: [PATH]}")),
        ("net", "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 9))'", Some("network: true")),
        ("dns", "echo \"curl: (6) Could not resolve host: example.org\" >&2; exit 6", Some("network: true")),
        ("own", "echo nothing found; exit 3", None),
        ("fine", "echo Permission denied", None),
    ];
    let text = |level: &str| -> String {
        let hook = |(name, command, _): &(&str, &str, _)| {
            json!({"name": name, "events": [{"type": "*"}], "command": command, "sandbox": level}).to_string()
        };
        hooks.iter().map(|of| format!("- {}\n", hook(of))).collect()
    };
    project.hooks(&text("guard"));
    project.trust();
    let document = project.json(&["emit", "a.b", "--json"]);
    for (result, (name, _, wanted)) in document["results"].as_array().unwrap().iter().zip(hooks) {
        let help = result["help"].as_str();
        match wanted {
            Some(wanted) => assert!(help.is_some_and(|help| help.contains(wanted)), "{name}: {result}"),
            None => assert_eq!(help, None, "{name}: {result}"),
        }
    }
    // What has no sandbox failed for another reason.
    project.hooks(&text("base"));
    project.trust();
    let document = project.json(&["emit", "a.b", "--json"]);
    assert!(document["results"].as_array().unwrap().iter().all(|result| result["help"].is_null()), "{document}");
}

#[test]
fn free_text_may_begin_with_a_dash_in_every_command() {
    let project = TestProject::new();
    let texts = [
        ("emit agent.progress --message", "status_message"),
        ("wp created --wp-id WP01 --feature-slug 001-a --title", "title"),
        ("wp history-added --wp-id WP01 --entry-type note --entry-content", "entry_content"),
        ("error logged --error-type validation --error-message", "error_message"),
        ("error logged --error-type validation --error-message x --stack-trace", "stack_trace"),
    ];
    for (arguments, field) in texts {
        for text in ["- fixed it", "--fixed it", "-x"] {
            let words: Vec<&str> = arguments.split(' ').chain([text, "--json"]).collect();
            let document = project.json(&words);
            assert_eq!(document["event"]["context"][field], text, "{arguments}: {document}");
        }
    }
}

/// One that is gone for good is not well, also when it had no guard.
#[test]
fn a_trusted_configuration_that_is_gone_is_not_well() {
    let project = TestProject::trusted("- {name: h, events: [{type: task.completed}], command: 'true'}\n");
    project.ok(&["doctor"]);
    std::fs::remove_file(project.hooks_folder().join("hooks.yaml")).unwrap();
    let ran = project.run(&["doctor"]);
    assert!(ran.code == 1 && ran.stdout.contains("there is no hooks.yaml, but this project was trusted"), "{ran:?}");
}

#[test]
fn a_hook_whose_matcher_has_an_error_is_listed_once_and_a_type_that_is_unknown_is_shown_before_trust() {
    let project = TestProject::new();
    project.hooks(
        "- {name: bad, events: [{type: Task.Completed}], command: 'true'}\n\
         - {name: near, events: [{type: task.complete}], command: 'true'}\n",
    );
    let listed = project.run(&["list"]).stdout;
    assert_eq!(listed.lines().filter(|line| line.contains("bad")).count(), 1, "{listed}");
    assert!(listed.contains("err bad") && listed.contains("on   near"), "{listed}");
    project.hooks("- {name: near, events: [{type: task.complete}], command: 'true'}\n");
    let review = project.run(&["trust"]);
    assert!(review.stderr.contains("task.complete"), "{review:?}");
}

/// A configuration in the wrong place is named by every command that is asked about hooks, with the right place.
#[test]
fn a_configuration_in_the_wrong_place_is_named() {
    const HOOKS: &str = "version: \"1.0\"\nhooks:\n- {name: h, events: [{type: task.completed}], command: 'true'}\n";
    for (wrong, right) in [
        ("hooks.yaml", ".knockon/hooks.yaml"),
        (".knockon/hook.yaml", ".knockon/hooks.yaml"),
        (".knockon/hooks/hooks.yaml", ".knockon/hooks.yaml"),
        (".flowspec/hooks.yaml", ".flowspec/hooks/hooks.yaml"),
    ] {
        let project = TestProject::bare();
        let wrong_path = project.root().join(wrong);
        std::fs::create_dir_all(wrong_path.parent().unwrap()).unwrap();
        std::fs::write(&wrong_path, HOOKS).unwrap();
        for (arguments, code) in [
            (&["list"][..], 2),
            (&["validate"], 2),
            (&["trust"], 2),
            (&["explain", "task.completed"], 2),
            (&["doctor"], 1),
        ] {
            let ran = project.run(arguments);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(ran.code == code, "{wrong}: {arguments:?}: {ran:?}");
            assert!(said.contains("is not read where it lies"), "{wrong}: {ran:?}");
            assert!(said.contains(&format!("move it to {right}")), "{wrong}: {arguments:?}: {ran:?}");
        }
        std::fs::create_dir_all(project.root().join(right).parent().unwrap()).unwrap();
        std::fs::rename(&wrong_path, project.root().join(right)).unwrap();
        let listed = project.run(&["list"]);
        assert!(listed.code == 0 && listed.stdout.contains("task.completed"), "{wrong}: {listed:?}");
    }
}

/// A slip in an event type keeps a hook from ever running.
#[test]
fn the_doctor_names_an_event_type_that_is_nearly_a_known_one() {
    let project = TestProject::trusted(
        "- {name: near, events: [{type: task.complete}], command: 'true'}\n\
         - {name: own, events: [{type: my.thing}], command: 'true'}\n",
    );
    let said = project.run(&["doctor"]).stdout;
    assert!(said.contains("`task.complete` is no known event type"), "{said}");
    assert!(said.contains("did you mean `task.completed`?") && !said.contains("my.thing"), "{said}");
}

/// A hook that is off for an error is never green in CI.
#[test]
fn what_checks_hooks_fails_when_one_has_an_error() {
    let project = TestProject::new();
    project.hooks(
        "- {name: bad, events: [{type: task.completed}], comand: 'true'}\n\
         - {name: good, events: [{type: task.completed}], command: 'true'}\n",
    );
    for arguments in [&["validate"][..], &["list"], &["list", "--json"], &["test"]] {
        let ran = project.run(arguments);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(ran.code == 2 && said.contains("did you mean `command`?"), "{arguments:?}: {ran:?}");
    }
    assert!(project.run(&["list"]).stdout.contains("good"), "what is right is shown all the same");
    let ran = project.run(&["test", "bad", "task.completed"]);
    assert!(ran.code == 2 && ran.stderr.contains("the hook `bad` does not run: "), "{ran:?}");
}
