//! The success criteria of the sync, SC-001 to SC-012, each against a real server.

use crate::support::team::{SOON, Team};
use crate::support::{TestProject, wait_until};
use serde_json::{Value, json};
use std::fs;

const KEEP: &str = "- {name: keep, events: [{type: '*'}], command: 'cat >> seen; echo >> seen'}\n";
const FLAT: &str = "kitty-specs/028-event-sync";

fn kitty() -> Team {
    Team::kitty(TestProject::new())
}

/// Its events with their payloads, as the server has them.
fn payloads(team: &Team, kind: &str) -> Vec<Value> {
    let events = team.server.events().into_iter().map(|taken| taken.event);
    events.filter(|event| event["event_type"] == kind).map(|event| event["payload"].clone()).collect()
}

/// A move as it is told.
fn moved(id: &str, from: &str, to: &str) -> Value {
    json!({ "wp_id": id, "previous_status": from, "new_status": to, "changed_by": "user",
            "feature_slug": "028-event-sync" })
}

#[test]
fn sc_001_implement_reaches_the_server() {
    let team = kitty().ready();
    team.ok(&["kitty", "implement", "WP01"]);
    assert!(team.server.wait_for_events(1, SOON), "by itself, without another command");
    assert_eq!(payloads(&team, "WPStatusChanged"), [moved("WP01", "planned", "doing")]);
    let event = &team.server.events()[0].event;
    assert_eq!((&event["aggregate_type"], &event["aggregate_id"]), (&json!("WorkPackage"), &json!("WP01")));
    assert_eq!(event["node_id"], team.status()["node_id"]);
    wait_until("the empty queue", || team.queued().is_empty());
}

#[test]
fn sc_002_merge_hands_over_for_review() {
    let team = kitty().ready();
    team.ok(&["kitty", "merge"]);
    team.send();
    assert_eq!(payloads(&team, "WPStatusChanged"), [moved("WP02", "doing", "for_review")]);
}

#[test]
fn sc_003_accept_finishes() {
    let team = kitty().ready();
    team.ok(&["kitty", "accept"]);
    team.send();
    assert_eq!(payloads(&team, "WPStatusChanged"), [moved("WP03", "for_review", "done")]);
}

#[test]
fn sc_004_finalize_tells_of_one_feature_and_seven_work_packages_with_one_cause() {
    let team = kitty().ready();
    team.ok(&["kitty", "finalize-tasks"]);
    team.send();
    let mut expected = vec!["FeatureCreated 028-event-sync".to_owned()];
    expected.extend((1..=7).map(|number| format!("WPCreated WP0{number}")));
    assert_eq!(team.told(), expected);
    let events = team.server.events();
    let cause = events[0].event["causation_id"].as_str().unwrap();
    assert_eq!(cause.len(), 26);
    assert!(events.iter().all(|taken| taken.event["causation_id"] == cause));
    assert_eq!(events[7].event["payload"]["dependencies"], json!(["WP06", "WP02"]));
    assert_eq!(team.server.doubles(), 0);
}

#[test]
fn sc_005_orchestrate_tells_of_each_assignment() {
    let team = kitty().ready();
    for happened in [
        &["assigned", "WP02", "--agent", "claude"][..],
        &["fallback", "WP02", "--agent", "codex"],
        &["implemented", "WP02"],
        &["review-started", "WP02", "--agent", "opus"],
    ] {
        team.ok(&[&["kitty", "orchestrate-event"], happened].concat());
    }
    team.send();
    let assigned =
        |payload: &Value| (payload["agent_id"].clone(), payload["phase"].clone(), payload["retry_count"].clone());
    assert_eq!(
        payloads(&team, "WPAssigned").iter().map(assigned).collect::<Vec<_>>(),
        [
            (json!("claude"), json!("implementation"), json!(0)),
            (json!("codex"), json!("implementation"), json!(1)),
            (json!("opus"), json!("review"), json!(1)),
        ]
    );
}

#[test]
fn sc_006_without_a_connection_events_are_in_the_file_of_the_queue() {
    let team = kitty();
    team.ok(&["kitty", "implement", "WP01"]);
    assert_eq!(team.queued().len(), 1, "nobody is signed in");
    team.server.go_offline();
    let team = team.ready();
    team.ok(&["kitty", "merge", "WP02"]);
    team.ok(&["kitty", "accept", "WP03"]);
    let status = team.status();
    assert_eq!((team.queued().len(), &status["queued"]), (3, &json!(3)));
    assert!(status["oldest"].is_string() && status["last_sync"].is_null(), "{status}");
    assert_ne!(status["connection"], "connected");
    assert!(team.server.events().is_empty());
}

#[test]
fn sc_007_what_was_queued_goes_when_the_connection_is_back() {
    let team = Team::new();
    let ids = team.events(3);
    team.server.go_offline();
    let team = team.ready();
    assert_eq!(team.queued(), ids);
    team.server.come_back();
    assert_eq!(team.now(0)["synced"], 3);
    assert_eq!((team.server.ids(), team.queued()), (ids, vec![]));
    let status = team.status();
    assert!(status["last_sync"].is_string() && status["last_error"].is_null(), "{status}");
}

#[test]
fn sc_008_commands_succeed_when_emission_fails() {
    let team = Team::kitty(TestProject::trusted(KEEP));
    let store = team.state().join("knockon.db");
    for part in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(store.with_file_name(format!("knockon.db{part}")));
    }
    fs::create_dir_all(&store).unwrap();
    let ran = team.ok(&["kitty", "implement", "WP01"]);
    assert!(ran.stdout.contains("WP01: planned → doing"), "{ran:?}");
    assert!(ran.stderr.contains("warning: the event has no place in order, and is not queued"), "{ran:?}");
    assert!(team.project.read(&format!("{FLAT}/tasks/WP01-event-factory.md")).contains("lane: \"doing\""));
    let seen: Value = serde_json::from_str(team.project.read("seen").lines().next().unwrap()).unwrap();
    assert!(seen["clock_error"].as_str().unwrap().contains("cannot be used"), "{seen}");
    assert!(seen.get("lamport_clock").is_none(), "{seen}");

    // The whole folder is gone, and a file in its place.
    fs::remove_dir_all(team.state()).unwrap();
    fs::write(team.state(), "").unwrap();
    let line = ["wp", "status-changed", "--wp-id", "WP01", "--from", "planned", "--to", "doing", "--json"];
    let ran = team.ok(&line);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(document["event"]["clock_error"].is_string(), "{document}");
}

#[test]
fn sc_009_the_clock_counts_across_commands() {
    let team = kitty();
    let clock = || team.json(&["clock", "show", "--json"])["value"].as_u64().unwrap();
    assert_eq!(clock(), 0);
    team.ok(&["kitty", "implement", "WP01"]);
    assert_eq!(clock(), 1);
    team.ok(&["kitty", "finalize-tasks"]);
    assert_eq!(clock(), 9);
    team.event();
    assert_eq!(clock(), 10);
    team.login();
    team.enable();
    team.send();
    let times = team.server.events().into_iter().map(|taken| taken.event["lamport_clock"].as_u64().unwrap());
    assert_eq!(times.collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
}

#[test]
fn sc_010_every_event_names_its_team() {
    let team = Team::new();
    team.event();
    let team = team.ready();
    team.event();
    team.send();
    let slugs = team.server.events().into_iter().map(|taken| taken.event["team_slug"].clone());
    assert_eq!(slugs.collect::<Vec<_>>(), ["demo", "demo"], "made before and after signing in");
}

#[test]
fn sc_011_what_fails_is_logged() {
    let team = kitty().ready();
    let ran = team.ends(&["kitty", "implement", "WP09", "--agent", "claude"], 2);
    assert!(ran.stderr.contains("has no work package WP09"), "{ran:?}");
    team.send();
    assert_eq!(team.told(), ["ErrorLogged WP09"]);
    let payload = &payloads(&team, "ErrorLogged")[0];
    assert_eq!((&payload["error_type"], &payload["agent_id"]), (&json!("validation"), &json!("claude")));
    let message = payload["error_message"].as_str().unwrap();
    assert!(message.contains("WP09") && !message.contains(team.project.root().to_str().unwrap()), "{message}");
}

#[test]
fn sc_012_a_dependency_that_is_done_is_told_to_those_who_wait_for_it() {
    let team = kitty().ready();
    team.ok(&["kitty", "accept", "WP01"]);
    team.send();
    let mut expected = vec!["WPStatusChanged WP01".to_owned()];
    expected.extend([2, 3, 4, 5].map(|number| format!("DependencyResolved WP0{number}")));
    assert_eq!(team.told(), expected);
    for payload in payloads(&team, "DependencyResolved") {
        assert_eq!((&payload["dependency_wp_id"], &payload["resolution_type"]), (&json!("WP01"), &json!("completed")));
    }
    let events = team.server.events();
    assert!(events.iter().all(|taken| taken.event["causation_id"] == events[0].event["causation_id"]));
}
