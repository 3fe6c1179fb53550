//! Whatever a server does: no event is lost, none is there twice, and who has to act is told how.

use crate::support::sync_server::{Endpoint, Fault};
use crate::support::team::{SOON, Team};
use crate::support::{kill, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

const BATCH: &str = "/api/v1/events/batch/";
const REFRESH: &str = "/api/v1/token/refresh/";

/// With so many events in the queue, and nobody who sends them by themselves.
fn queued(count: usize) -> (Team, Vec<String>) {
    let team = Team::new();
    let ids = team.events(count);
    (team.ready(), ids)
}

fn credentials(team: &Team) -> Value {
    serde_json::from_slice(&fs::read(team.state().join("sync/credentials.json")).unwrap()).unwrap()
}

fn count(team: &Team, path: &str, status: u16) -> usize {
    team.server.requests_to(path).iter().filter(|request| request.status == Some(status)).count()
}

#[test]
fn a_token_that_ended_is_refreshed_and_the_new_ones_are_kept() {
    let (team, ids) = queued(3);
    team.server.expire_access();
    assert_eq!(team.now(0)["synced"], 3);
    assert_eq!(team.server.ids(), ids);
    let (access, refresh) = team.server.tokens();
    let kept = credentials(&team);
    assert!(kept["access"] == access && kept["refresh"] == refresh, "not the newest tokens");
    assert_eq!((count(&team, BATCH, 401), count(&team, REFRESH, 200)), (1, 1));
    team.ok(&["sync", "logout"]);
    team.event();
    team.login();
    assert_eq!(team.now(0)["synced"], 1);
    assert_eq!((count(&team, BATCH, 401), count(&team, REFRESH, 200)), (1, 1), "it is as good as new");
}

#[test]
fn two_processes_refresh_a_token_once() {
    let (team, ids) = queued(1);
    team.server.expire_access();
    let mut service = team.project.command(&["sync", "run"]).stdout(Stdio::null()).spawn().unwrap();
    team.run(&["sync", "now"]);
    assert!(team.server.wait_for_sockets(1, SOON) && team.server.wait_for_events(1, SOON));
    kill("TERM", &service);
    assert!(service.wait().unwrap().success());
    assert_eq!(team.server.ids(), ids);
    assert_eq!((count(&team, REFRESH, 200), count(&team, REFRESH, 401)), (1, 0), "a refresh token is good for one");
}

#[test]
fn who_has_to_sign_in_again_is_told_and_nothing_is_lost() {
    let (team, ids) = queued(2);
    team.server.expire_access();
    team.server.fault_always(Endpoint::Refresh, Some(Fault::status(401)));
    let ran = team.ends(&["sync", "now"], 4);
    assert!(ran.stderr.contains("sign in again with `knockon sync login`"), "{ran:?}");
    assert_eq!(team.queued(), ids);
    assert!(team.status()["last_error"].as_str().unwrap().contains("401"));
    team.server.behave();
    team.new_tokens();
    team.login();
    assert_eq!((team.now(0)["synced"].clone(), team.server.ids()), (json!(2), ids));
}

#[test]
fn a_server_that_wants_a_rest_gets_it() {
    let (team, ids) = queued(1);
    team.server.fault_next(Endpoint::Batch, Fault::retry_after(429, "1"), 1);
    assert_eq!(team.now(0)["synced"], 1);
    let requests = team.server.requests_to(BATCH);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));
    assert_eq!(team.server.ids(), ids);
    // Nobody waits an hour for it.
    let (team, ids) = queued(1);
    team.server.fault_always(Endpoint::Batch, Some(Fault::retry_after(503, "3600")));
    let ran = team.ends(&["sync", "now"], 69);
    assert!(ran.stderr.contains("it wants to be left alone for"), "{ran:?}");
    assert_eq!((team.server.requests().len(), team.queued()), (1, ids));
}

#[test]
fn answers_that_say_nothing_are_asked_for_again() {
    for (fault, done) in [
        (Fault::Html, "synced"),
        (Fault::HalfJson, "duplicate"),
        (Fault::DropBeforeReply, "duplicate"),
        (Fault::Huge, "synced"),
        (Fault::status(500), "synced"),
    ] {
        let (team, ids) = queued(2);
        team.server.fault_next(Endpoint::Batch, fault.clone(), 1);
        let summary = team.now(0);
        assert_eq!(summary[done], 2, "{fault:?}: {summary}");
        assert_eq!((team.server.ids(), team.queued()), (ids, vec![]), "{fault:?}");
    }
}

#[test]
fn a_server_that_makes_no_sense_or_is_not_there_loses_nothing() {
    for (fault, code, told) in [
        (Some(Fault::WrongIds), 1, "its reply names none of the events that were sent"),
        (Some(Fault::Redirect), 1, "it answered 307"),
        (Some(Fault::status(404)), 1, "it answered 404"),
        (None, 69, "nothing gets through to the server: "),
    ] {
        let (team, ids) = queued(1);
        match &fault {
            Some(fault) => team.server.fault_always(Endpoint::Batch, Some(fault.clone())),
            None => team.server.go_offline(),
        }
        let ran = team.ends(&["sync", "now"], code);
        assert!(ran.stderr.contains(told) && ran.stdout.contains("1 left in the queue"), "{fault:?}: {ran:?}");
        assert_eq!((team.queued(), team.server.events().len()), (ids, 0), "{fault:?}");
        assert_eq!(team.server.requests_to("/elsewhere/").len(), 0, "a token goes where the user said");
        let status = team.status();
        assert!(status["last_try"].is_string() && status["last_error"].is_string(), "{status}");
        assert!(status["last_sync"].is_null() && status["dead_letters"] == 0, "{status}");
    }
}

#[test]
fn one_poisonous_event_is_put_aside_and_the_others_arrive_in_order() {
    let (team, mut ids) = queued(6);
    team.server.poison(&ids[2]);
    let summary = team.now(1);
    assert_eq!(
        (&summary["synced"], &summary["dead"], &summary["left"]),
        (&json!(5), &json!(1), &json!(0)),
        "{summary}"
    );
    let poison = ids.remove(2);
    assert_eq!((team.server.ids(), team.queued()), (ids, vec![]));
    assert_eq!(team.dead(), [(poison, "it answered 400: the batch is not valid".to_owned())]);
    let ran = team.ok(&["sync", "now"]);
    assert_eq!(ran.stdout, "nothing to do\n");
}

#[test]
fn an_event_that_is_too_large_is_put_aside() {
    let team = Team::new();
    team.settings("interval: 0s, batch_size: 16KiB");
    let note = "x".repeat(17_000);
    team.ok(&["wp", "history-added", "--wp-id", "WP01", "--entry-type", "note", "--entry-content", &note]);
    let id = team.event();
    let team = team.ready();
    let ran = team.ends(&["sync", "now"], 1);
    assert!(ran.stdout.starts_with("1 synced, 0 duplicate, 0 failed, 1 dead letters"), "{ran:?}");
    assert!(ran.stderr.contains("`knockon sync dead list`"), "{ran:?}");
    assert_eq!(team.server.ids(), [id]);
    assert!(team.dead()[0].1.contains("bytes, and a batch has 16384 at most"), "{:?}", team.dead());

    // The server takes less than was thought.
    let (team, ids) = queued(1);
    team.server.fault_always(Endpoint::Batch, Some(Fault::status(413)));
    assert_eq!(team.now(1)["dead"], 1);
    let (dead, reason) = &team.dead()[0];
    assert!(*dead == ids[0] && reason.contains("too many for the server (413)"), "{reason}");
}

#[test]
fn an_event_that_is_rejected_five_times_is_put_aside() {
    let (team, ids) = queued(2);
    team.server.answer(&ids[0], "rejected", usize::MAX);
    for round in 1..=4 {
        let summary = team.now(1);
        assert_eq!((&summary["failed"], &summary["dead"]), (&json!(1), &json!(0)), "{round}: {summary}");
        assert_eq!((team.queued(), team.dead()), (vec![ids[0].clone()], vec![]), "{round}");
    }
    team.now(1);
    assert_eq!(
        (team.queued(), team.dead()),
        (vec![], vec![(ids[0].clone(), "rejected: the test says rejected".to_owned())])
    );
    assert_eq!((team.server.ids(), team.server.count_of(&ids[0])), (vec![ids[1].clone()], 0));
}

#[test]
fn what_is_pending_is_no_error_and_stays() {
    for word in ["pending", "queued"] {
        let (team, ids) = queued(2);
        team.server.answer(&ids[0], word, 1);
        let ran = team.ok(&["sync", "now"]);
        assert_eq!(ran.stdout, "1 synced, 0 duplicate, 0 failed, 1 pending\n");
        assert_eq!(team.queued(), [ids[0].clone()]);
        assert_eq!(team.now(0)["synced"], 1);
        assert_eq!((team.server.ids(), team.queued()), (vec![ids[1].clone(), ids[0].clone()], vec![]));
    }
}

#[test]
fn what_the_server_has_already_counts_as_duplicate() {
    let (team, ids) = queued(2);
    team.server.fault_next(Endpoint::Batch, Fault::DropBeforeReply, 1);
    let ran = team.ok(&["sync", "now"]);
    assert_eq!(ran.stdout, "0 synced, 2 duplicate, 0 failed\n");
    assert_eq!((team.server.ids(), team.server.doubles()), (ids, 2));
}

#[test]
fn a_server_that_repeats_the_token_does_not_make_it_seen() {
    let (team, ids) = queued(1);
    let word = format!("no, {} is not good", team.server.tokens().0);
    team.server.answer(&ids[0], &word, usize::MAX);
    for _ in 0..5 {
        team.ends(&["sync", "now"], 1);
    }
    let (_, reason) = &team.dead()[0];
    assert!(reason.contains("no, *** is not good"), "{reason}");
    team.ok(&["sync", "dead", "export"]);
    team.ok(&["sync", "status"]);
}

#[test]
fn a_signal_ends_a_pass_and_nothing_is_lost() {
    let (team, ids) = queued(1);
    team.server.fault_always(Endpoint::Batch, Some(Fault::retry_after(503, "30")));
    let mut command = team.project.command(&["sync", "now"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the first batch", || !team.server.requests().is_empty());
    kill("TERM", &child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(said.contains("stopped; what is left stays in the queue"), "{said}");
    assert_eq!(team.queued(), ids);
}
