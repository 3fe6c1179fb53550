//! `knockon sync` and `knockon clock`, command by command.

use crate::support::sync_server::{Endpoint, Fault, SyncServer};
use crate::support::team::{Team, no_token};
use crate::support::{TestProject, wait_until, write};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const KEEP: &str = "- {name: keep, events: [{type: '*'}], command: 'cat > got.json'}\n";

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn login_keeps_tokens_for_the_user_alone() {
    let team = Team::new();
    let (url, tokens) = (team.server.url(), team.token_file());
    let login = ["sync", "login", "--server", &url, "--team", "demo"];
    let ran = team.ok(&[&login[..], &["--token-file", &tokens]].concat());
    assert_eq!(ran.stdout, format!("signed in to {url} as team demo\n"));
    assert!(ran.stderr.contains("no project takes part yet: run `knockon sync enable`"), "{ran:?}");
    let kept = team.state().join("sync/credentials.json");
    assert_eq!((mode(&kept), mode(kept.parent().unwrap())), (0o600, 0o700));
    let first = fs::read(&kept).unwrap();

    team.new_tokens();
    let input = fs::read(team.token_file()).unwrap();
    let ran = team.heard(team.project.run_with_input(&login, &input));
    assert_eq!(ran.code, 0, "{ran:?}");
    let second = fs::read(&kept).unwrap();
    assert_ne!(first, second);
    assert_eq!(mode(&kept), 0o600);

    let open = team.project.home().join("open.json");
    write(&open, &input, 0o644);
    let open = open.to_str().unwrap().to_owned();
    let garbage = team.project.home().join("garbage.json");
    write(&garbage, format!("{{\"access\": \"{}", team.server.tokens().0), 0o600);
    let garbage = garbage.to_str().unwrap().to_owned();
    for (arguments, told) in [
        (&["--server", &url, "--token-file", &open][..], "chmod 600"),
        (&["--server", &url, "--token-file", &garbage], "the tokens are no JSON object"),
        (&["--server", &url, "--token-file", "/nowhere/tokens.json"], "/nowhere/tokens.json cannot be read"),
        (&["--server", "http://team.example", "--token-file", &tokens], "in the clear"),
        (&["--server", "ftp://team.example", "--token-file", &tokens], "--server: "),
        (&["--server", &url, "--team", "a team", "--token-file", &tokens], "`a team` is no team's short name"),
        (&["--server", &url, "--token", "secret"], "unexpected argument"),
        (&["--server", &url, "--wire", "9"], "invalid value '9'"),
    ] {
        let ran = team.run(&[&["sync", "login"], arguments].concat());
        assert!(ran.code == 2 && ran.stderr.contains(told), "{arguments:?}: {ran:?}");
        assert_eq!(fs::read(&kept).unwrap(), second, "{arguments:?}: nothing is changed");
    }
    for path in [open, garbage] {
        fs::remove_file(path).unwrap();
    }
    let ran = Team::new().run(&["sync", "login", "--token-file", &tokens]);
    assert!(ran.code == 2 && ran.stderr.contains("a server is missing"), "{ran:?}");
}

#[test]
fn the_team_may_be_named_later() {
    let team = Team::new();
    let (url, tokens) = (team.server.url(), team.token_file());
    let ran = team.ok(&["sync", "login", "--server", &url, "--token-file", &tokens]);
    assert!(ran.stderr.contains("nothing is sent until the team is known"), "{ran:?}");
    team.enable();
    let ran = team.ok(&["wp", "status-changed", "--wp-id", "WP01", "--from", "planned", "--to", "doing"]);
    assert!(ran.stderr.contains("warning: the event is queued, and not sent until the team is known"), "{ran:?}");
    assert!(team.background().is_empty());
    let ran = team.ends(&["sync", "now"], 4);
    assert!(ran.stderr.contains("`knockon sync login --team SLUG`"), "{ran:?}");
    assert_eq!((team.server.requests().len(), team.queued().len()), (0, 1));
    assert_eq!(team.ok(&["sync", "login", "--team", "late"]).stdout, format!("signed in to {url} as team late\n"));
    team.send();
    assert_eq!(team.server.events()[0].event["team_slug"], "late");
}

#[test]
fn the_server_may_speak_the_later_wire() {
    let team = Team::new();
    team.event();
    let team = team.ready();
    assert!(team.ok(&["sync", "login", "--wire", "3.0"]).stdout.ends_with(" as team demo\n"));
    team.send();
    let event = &team.server.events()[0].event;
    assert_eq!((&event["schema_version"], &event["payload"]["from_lane"]), (&json!("3.0.0"), &json!("planned")));
}

#[test]
fn logout_removes_the_tokens_and_keeps_the_events() {
    let team = Team::new().ready();
    let ran = team.ok(&["sync", "logout"]);
    assert_eq!(ran.stdout, "signed out; queued events stay, and are sent when you sign in again\n");
    for path in fs::read_dir(team.state().join("sync")).unwrap() {
        no_token("the folder", &fs::read(path.unwrap().path()).unwrap());
    }
    assert!(!team.state().join("sync/credentials.json").exists());
    let id = team.event();
    assert!(team.background().is_empty());
    let ran = team.ends(&["sync", "now"], 4);
    assert!(ran.stderr.contains("nobody is signed in; run `knockon sync login`"), "{ran:?}");
    assert_eq!(team.ok(&["sync", "logout"]).stdout, "nobody was signed in\n");
    team.login();
    team.send();
    assert_eq!(team.server.ids(), [id]);
}

#[test]
fn now_says_what_it_did() {
    let team = Team::new();
    team.events(2);
    let team = team.ready();
    let ran = team.ok(&["sync", "now"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("2 synced, 0 duplicate, 0 failed\n", ""));
    assert_eq!(team.ok(&["sync", "now"]).stdout, "nothing to do\n");
    let nothing =
        json!({ "synced": 0, "duplicate": 0, "failed": 0, "pending": 0, "dead": 0, "left": 0, "error": null });
    assert_eq!(team.now(0), nothing);
    team.ok(&["sync", "logout"]);
    let ids = team.events(2);
    team.login();
    team.server.answer(&ids[0], "rejected", 1);
    let summary = team.now(1);
    assert_eq!([&summary["synced"], &summary["failed"], &summary["left"]], [1, 1, 0], "{summary}");
    let ran = team.ok(&["sync", "now", "--quiet"]);
    assert_eq!((ran.stdout, ran.stderr), (String::new(), String::new()));
    assert_eq!(team.server.events().len(), 4);
    assert_eq!(team.server.batches().iter().map(|batch| batch.ids.len()).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let sent = |arguments: &str| {
        let team = Team::new();
        team.events(2);
        let team = team.ready();
        let (code, shown) = team.project.on_a_terminal(arguments, "");
        assert_eq!((code, team.server.events().len()), (0, 2), "{shown}");
        shown
    };
    let shown = sent("sync now");
    assert!(shown.contains("█ 2/2") && shown.contains("2 synced, 0 duplicate, 0 failed"), "{shown:?}");
    assert_eq!(sent("sync now --quiet"), "");
    let shown = sent("sync now 2>bar");
    assert!(!shown.contains('█'), "{shown:?}");
}

#[test]
fn status_tells_how_everything_stands() {
    let team = Team::new();
    let root = json!(team.project.root());
    let node = team.json(&["clock", "show", "--json"])["node_id"].clone();
    let expected = json!({
        "connection": "offline", "service": false, "server": null, "team": null, "queued": 0, "held_back": 0,
        "for_another_server": 0, "oldest": null, "dead_letters": 0, "refused_because_full": 0, "quarantined": 0, "last_sync": null,
        "last_try": null, "last_error": null, "clock": 0, "node_id": node,
        "project": { "root": root, "sync": "undecided", "refused_by": null }, "projects": [],
    });
    assert_eq!(team.status(), expected);
    let ran = team.ok(&["sync", "status"]);
    assert!(ran.stdout.contains("signed in     nobody; `knockon sync login` signs in\n"), "{ran:?}");
    assert!(ran.stdout.contains(", not enabled: events are queued, and not sent; `knockon sync enable`\n"), "{ran:?}");

    let ids = team.events(3);
    team.settings("interval: 0s, max_events: 3");
    let ran = team.ok(&["wp", "status-changed", "--wp-id", "WP01", "--from", "planned", "--to", "doing"]);
    assert!(ran.stderr.contains("the queue has 3 events, as many as `sync.max_events`"), "{ran:?}");
    let team = team.ready();
    team.server.answer(&ids[0], "rejected", 1);
    team.server.poison(&ids[1]);
    team.now(1);
    let mut status = team.status();
    for name in ["oldest", "last_sync", "last_try"] {
        assert!(status[name].is_string(), "{name}: {status}");
        status[name] = Value::Null;
    }
    let expected = json!({
        "connection": "offline_batch_mode", "service": false, "server": team.server.url(), "team": "demo", "queued": 1,
        "held_back": 0, "for_another_server": 0, "oldest": null, "dead_letters": 1, "refused_because_full": 1, "quarantined": 0,
        "last_sync": null, "last_try": null, "last_error": null, "clock": 4, "node_id": node,
        "project": { "root": root, "sync": "enabled", "refused_by": null },
        "projects": [{ "project": root, "queued": 1 }],
    });
    assert_eq!(status, expected);
    team.server.fault_always(Endpoint::Batch, Some(Fault::status(404)));
    team.now(1);
    let ran = team.ok(&["sync", "status"]);
    for line in [
        "connection    [Offline - Batch Mode]\n".to_owned(),
        format!("signed in     {}, team demo\n", team.server.url()),
        format!("project       {}, enabled\n", team.project.root().display()),
        "queue         1 event, the oldest ".to_owned(),
        "limit         3 events (`sync.max_events`); 1 were refused for it\n".to_owned(),
        "dead letters  1; `knockon sync dead list` shows them\n".to_owned(),
        "last error    it answered 404: ".to_owned(),
        format!("clock         4, node {}\n", node.as_str().unwrap()),
    ] {
        assert!(ran.stdout.contains(&line), "{line} in {}", ran.stdout);
    }
    assert!(ran.stdout.lines().any(|line| line.starts_with("last sync     2") && line.ends_with(" ago")), "{ran:?}");
}

#[test]
fn dead_letters_are_listed_tried_again_dropped_and_exported() {
    let team = Team::new();
    let ids = team.events(3);
    let team = team.ready();
    ids.iter().for_each(|id| team.server.poison(id));
    let ran = team.ends(&["sync", "now"], 1);
    assert!(ran.stdout.contains("3 dead letters"), "{ran:?}");
    assert_eq!(team.dead().iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), ids, "the oldest first");
    let list = team.ok(&["sync", "dead", "list"]).stdout;
    let first = list.lines().next().unwrap();
    assert!(first.starts_with(&format!("evt_{}  wp.status_changed  project  ", ids[0])), "{first}");
    assert!(first.ends_with("  it answered 400: the batch is not valid"), "{first}");

    let unknown = "01HZ0000000000000000000000";
    for (arguments, told) in [
        (&["retry", &ids[0], unknown][..], "there is no dead letter evt_01HZ0000000000000000000000"),
        (&["drop", unknown], "nothing was changed"),
        (&["retry"], "required"),
        (&["drop", "--all", &ids[0]], "cannot be used with"),
        (&["retry", "x"], "is no event id"),
    ] {
        let ran = team.run(&[&["sync", "dead"], arguments].concat());
        assert!(ran.code == 2 && ran.stderr.contains(told), "{arguments:?}: {ran:?}");
    }
    assert_eq!(team.dead().len(), 3);

    let path = team.project.root().join("dead.jsonl");
    let output = path.to_str().unwrap();
    assert!(team.ok(&["sync", "dead", "export", "--output", output]).stdout.starts_with("3 written to "));
    let text = team.project.read("dead.jsonl");
    assert_eq!(text, team.ok(&["sync", "dead", "export"]).stdout);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1]["event"]["event_id"], format!("evt_{}", ids[1]));
    assert_eq!(lines[1]["reason"], "it answered 400: the batch is not valid");
    assert_eq!(team.ends(&["sync", "dead", "export", "--output", output], 74).stdout, "", "it is not written over");

    assert_eq!(team.ok(&["sync", "dead", "retry", &ids[0]]).stdout, "1 back in the queue\n");
    assert_eq!(team.ok(&["sync", "dead", "drop", &format!("evt_{}", ids[1])]).stdout, "1 dropped\n");
    assert_eq!((team.queued(), team.dead().len()), (vec![ids[0].clone()], 1));
    assert_eq!(team.ok(&["sync", "dead", "retry", "--all"]).stdout, "1 back in the queue\n");
    assert_eq!(team.ok(&["sync", "dead", "list"]).stdout, "there are no dead letters\n");
    assert_eq!(team.queued(), [ids[0].clone(), ids[2].clone()], "in their old order");
    assert_eq!(team.status()["queued"], 2);
    assert_eq!(team.now(1)["dead"], 2);
    assert_eq!(team.ok(&["sync", "dead", "drop", "--all"]).stdout, "2 dropped\n");
}

#[test]
fn the_clock_is_exchanged_and_never_runs_backwards() {
    let team = Team::new();
    team.event();
    let exported = team.json(&["clock", "export"]);
    let node = exported["node_id"].as_str().unwrap().to_owned();
    assert_eq!((&exported["value"], node.len()), (&json!(1), 12));
    assert!(exported["updated_at"].is_string() && exported.as_object().unwrap().len() == 3, "{exported}");
    let shown = team.ok(&["clock"]).stdout;
    assert!(shown.starts_with(&format!("1  node {node}  since 2")), "{shown}");
    for (text, told) in [
        ("garbage", "it is no clock"),
        ("", "it is no clock"),
        ("[]", "it is no clock"),
        (r#"{"value": -1, "node_id": "0123456789ab"}"#, "it is no clock"),
        (r#"{"value": 5}"#, "it is no clock"),
        (r#"{"value": 5, "node_id": "nobody"}"#, "it is no clock"),
        (r#"{"value": 9007199254740992, "node_id": "0123456789ab"}"#, "more than a clock can have"),
        (r#"{"value": 0, "node_id": "0123456789ab"}"#, "it never runs backwards"),
    ] {
        let file = team.project.file("clock.json", text);
        for (name, input) in [(file.to_str().unwrap(), ""), ("-", text)] {
            let ran = team.heard(team.project.run_with_input(&["clock", "import", name], input.as_bytes()));
            assert!(ran.code == 2 && ran.stderr.contains(told), "{text}: {ran:?}");
            assert!(ran.stderr.contains("nothing was changed"), "{ran:?}");
        }
        assert_eq!(team.json(&["clock", "export"]), exported, "{text}");
    }
    team.project
        .file("clock.json", r#"{"value": 41, "node_id": "0123456789ab", "updated_at": "2026-01-01T00:00:00Z"}"#);
    let ran = team.ok(&["clock", "import", "clock.json"]);
    assert!(ran.stdout.starts_with("41  node 0123456789ab  since "), "{ran:?}");
    let event = team.json(&["wp", "assigned", "--wp-id", "WP01", "--agent-id", "a", "--phase", "review", "--json"]);
    assert_eq!((&event["event"]["lamport_clock"], &event["event"]["node_id"]), (&json!(42), &json!("0123456789ab")));
}

#[test]
fn settings_that_are_not_understood_are_told_and_defaults_hold() {
    let team = Team::new();
    team.settings("interval: soon");
    team.event();
    let team = team.ready();
    for command in ["now", "status"] {
        let ran = team.ok(&["sync", command]);
        assert!(ran.stderr.contains("settings.yaml:2:18: `soon` is no span of 0s to 1h"), "{command}: {ran:?}");
    }
    assert_eq!(team.server.events().len(), 1);
}

#[test]
fn a_payload_that_breaks_its_rules_is_told_and_not_queued() {
    let team = Team::of(TestProject::trusted(KEEP)).ready();
    let ran = team.ok(&["wp", "status-changed", "--wp-id", "X", "--from", "planned", "--to", "doing"]);
    let told = "WPStatusChanged is not queued for the team, its payload is wrong: /payload/wp_id: wanted is `WP` and two digits";
    assert!(ran.stderr.contains(told), "{ran:?}");
    let got: Value = serde_json::from_str(&team.project.read("got.json")).unwrap();
    assert_eq!(got["context"]["wp_id"], "X", "hooks see it all the same");
    assert!(got.get("lamport_clock").is_none(), "{got}");
    for (line, pointer) in [
        ("wp created --wp-id WP01 --title= --feature-slug x", "/payload/title"),
        ("wp assigned --wp-id WP01 --agent-id a --phase dreaming", "/payload/phase"),
        ("wp history-added --wp-id WP01 --entry-type poem --entry-content x", "/payload/entry_type"),
        (
            "wp dependency-resolved --wp-id WP01 --dependency-wp-id 1 --resolution-type merged",
            "/payload/dependency_wp_id",
        ),
        ("feature created --feature-slug x --feature-number 1 --target-branch b --wp-count 1", "/payload/feature_slug"),
        ("error logged --error-type x --error-message y", "/payload/error_type"),
        ("emit WPStatusChanged --context wp_id=WP01", "/payload: the required member `previous_status` is missing"),
    ] {
        let ran = team.ok(&line.split(' ').collect::<Vec<_>>());
        assert!(ran.stderr.contains("is not queued for the team") && ran.stderr.contains(pointer), "{line}: {ran:?}");
    }
    assert!(team.queued().is_empty() && team.background().is_empty());
    assert_eq!((team.status()["clock"].clone(), team.server.requests().len()), (json!(0), 0));

    let envelope = json!({
        "event_id": "01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "event_type": "WPStatusChanged", "aggregate_id": "WP01",
        "aggregate_type": "WorkPackage", "payload": { "wp_id": "WP01", "previous_status": "planned", "new_status": "flying" },
        "node_id": "0123456789ab", "lamport_clock": 7, "timestamp": "2025-12-02T15:30:45Z", "team_slug": "demo",
        "causation_id": null,
    });
    let ran = team.ends(&["run", "--payload", &envelope.to_string()], 2);
    assert!(ran.stderr.contains("/payload/new_status"), "{ran:?}");
}

#[test]
fn what_is_queued_for_another_server_waits_for_it_or_is_taken_along() {
    let team = Team::new().ready();
    team.server.go_offline();
    let id = team.event();
    wait_until("that the drain gives up", || team.background().is_empty());
    let other = SyncServer::start();
    let tokens = team.project.home().join("tokens.json");
    other.write_token_file(&tokens).unwrap();
    let login = |more: &[&str]| {
        let url = other.url();
        let path = tokens.to_string_lossy().into_owned();
        let login = ["sync", "login", "--server", &url, "--team", "others", "--token-file", &path];
        team.ok(&[&login[..], more].concat())
    };
    assert!(login(&[]).stderr.contains("1 event in the queue for another server"), "told at once");
    assert_eq!(team.now(0)["synced"], 0);
    assert_eq!((other.ids().len(), team.status()["for_another_server"].clone()), (0, json!(1)));
    login(&["--take-queued"]);
    assert_eq!(team.now(0)["synced"], 1);
    assert_eq!((other.ids(), other.events()[0].event["team_slug"].clone()), (vec![id], json!("others")));
}

#[test]
fn an_event_that_no_server_would_take_is_not_queued_and_no_time_is_given_twice() {
    let team = Team::new();
    let run = |members: &str| {
        let context = r#""context":{"wp_id":"WP01","title":"x","feature_slug":"001-a"}"#;
        let event = format!(r#"{{"event_type":"wp.created",{members}{context}}}"#);
        let ran = team.ok(&["run", "--json", "--payload", &event]);
        (serde_json::from_str::<Value>(&ran.stdout).unwrap(), ran.stderr)
    };
    for (members, told) in [
        (r#""causation_id":"no","#, "/causation_id"),
        (r#""team_slug":"","#, "/team_slug"),
        (r#""node_id":"aaaaaaaaaaaa","lamport_clock":999999999999999,"#, "/lamport_clock: no clock is that far ahead"),
    ] {
        let (document, stderr) = run(members);
        assert_eq!(document["sync"]["queued"], json!(false), "{members}");
        assert!(stderr.contains("is not queued for the team") && stderr.contains(told), "{members}: {stderr}");
    }
    let times = [r#""lamport_clock":1,"#, r#""lamport_clock":1,"#, ""].map(|members| {
        let event = &run(members).0["event"];
        assert_eq!(event["node_id"], team.json(&["clock", "show", "--json"])["node_id"]);
        event["lamport_clock"].as_u64().unwrap()
    });
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(team.status()["queued"], json!(3));
}
