//! Nothing leaves the machine for a project that did not agree.

use crate::support::team::Team;
use serde_json::{Value, json};
use std::fs;

/// Another project of the same user.
fn other(team: &Team) -> String {
    let root = team.project.root().with_file_name("other");
    fs::create_dir_all(root.join(".knockon")).unwrap();
    root.to_str().unwrap().to_owned()
}

fn sync_of(team: &Team) -> Value {
    team.status()["project"]["sync"].clone()
}

#[test]
fn a_project_that_did_not_agree_never_reaches_the_server() {
    let team = Team::new();
    team.login();
    let ids = team.events(2);
    assert_eq!(team.now(4), json!({ "error": "no project takes part, so nothing is sent" }));
    assert!(team.background().is_empty(), "nothing is tried by itself");
    assert_eq!((team.server.requests().len(), team.queued()), (0, ids.clone()));
    let status = team.status();
    assert_eq!(
        (&status["queued"], &status["held_back"], &status["project"]["sync"]),
        (&json!(2), &json!(2), &json!("undecided"))
    );

    let ran = team.ok(&["sync", "enable"]);
    assert!(ran.stdout.ends_with(" are sent from now on, with those that are queued\n"), "{ran:?}");
    assert_eq!(team.now(0)["synced"], 2, "what was queued before goes now");
    assert_eq!(team.server.ids(), ids);
}

#[test]
fn what_was_queued_before_a_project_was_disabled_stays() {
    let team = Team::new();
    team.enable();
    let ids = team.events(2);
    let ran = team.ok(&["sync", "disable"]);
    assert!(ran.stderr.contains("2 queued events stay here, to be sent when you enable it again"), "{ran:?}");
    team.login();
    let unwanted = team.event();
    let ran = team.ends(&["sync", "now"], 4);
    assert!(ran.stderr.contains("2 events of ") && ran.stderr.contains(" stay here: it is disabled"), "{ran:?}");
    assert_eq!((team.server.requests().len(), sync_of(&team)), (0, json!("disabled")));
    team.enable();
    assert_eq!(team.now(0)["synced"], 2);
    assert_eq!(team.server.ids(), ids);
    assert_eq!(team.server.count_of(&unwanted), 0, "what was made meanwhile was not even queued");
}

#[test]
fn of_two_projects_only_the_one_that_agreed_is_sent() {
    let team = Team::new();
    let other = other(&team);
    let theirs = team.event_of(&["--project-root", &other]);
    let ours = team.event();
    let more = team.event_of(&["--project-root", &other]);
    let team = team.ready();
    let ran = team.ok(&["sync", "now"]);
    assert!(ran.stdout.starts_with("1 synced, 0 duplicate, 0 failed\n"), "{ran:?}");
    assert!(ran.stderr.contains(&format!("2 events of {other} stay here: it is not enabled")), "{ran:?}");
    assert_eq!(team.server.batches().into_iter().flat_map(|batch| batch.ids).collect::<Vec<_>>(), [ours]);
    assert_eq!(team.queued(), [theirs, more]);
}

#[test]
fn the_environment_can_take_it_back_and_not_give_it() {
    let team = Team::new().ready();
    let no = ("KNOCKON_SYNC", "0");
    let line = ["wp", "status-changed", "--wp-id", "WP01", "--from", "planned", "--to", "doing"];
    assert_eq!(team.run_with(no, &line).code, 0);
    assert!(team.queued().is_empty() && team.background().is_empty());
    assert_eq!(team.status()["clock"], 1, "the clock counts all the same");
    team.ok(&["sync", "logout"]);
    let id = team.event();
    team.login();
    let ran = team.run_with(no, &["sync", "now"]);
    assert_eq!((ran.code, team.server.requests().len()), (4, 0), "{ran:?}");
    assert!(ran.stderr.contains("stay here: refused by KNOCKON_SYNC=0"), "{ran:?}");

    team.ok(&["sync", "disable"]);
    assert_eq!(team.run_with(("KNOCKON_SYNC", "1"), &["sync", "now"]).code, 4);
    assert_eq!((team.server.requests().len(), team.queued()), (0, vec![id]));
}

#[test]
fn a_file_of_the_project_can_take_it_back() {
    for folder in [".knockon", ".flowspec"] {
        let team = Team::new();
        let other = other(&team);
        let id = team.event();
        let theirs = team.event_of(&["--project-root", &other]);
        let team = team.ready();
        let file = team.project.file(&format!("{folder}/no-sync"), "");
        team.event();
        assert_eq!((team.queued(), sync_of(&team)), (vec![id.clone(), theirs.clone()], json!("refused")));
        let ran = team.ends(&["sync", "now"], 4);
        assert!(ran.stderr.contains(&format!("stay here: refused by {}", file.display())), "{ran:?}");
        assert_eq!(team.server.requests().len(), 0);

        team.ok(&["sync", "enable", "--project-root", &other]);
        let summary = team.now(0);
        assert_eq!((&summary["synced"], &summary["left"]), (&json!(1), &json!(0)), "{summary}");
        assert_eq!((team.server.ids(), team.queued()), (vec![theirs.clone()], vec![id.clone()]));

        let ran = team.ok(&["sync", "enable"]);
        assert!(ran.stderr.contains("no-sync says no: nothing is sent or queued as long as it does"), "{ran:?}");
        fs::remove_file(file).unwrap();
        team.send();
        assert_eq!(team.server.ids(), [theirs, id]);
    }
}
