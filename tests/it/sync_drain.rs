//! What an emit starts by itself, so that nobody has to think of `sync now`.

use crate::support::team::{SOON, Team};
use crate::support::{TestProject, wait_until};
use serde_json::json;

#[test]
fn events_reach_the_server_by_themselves() {
    let team = Team::new().ready();
    let first = team.event();
    assert!(team.server.wait_for_events(1, SOON));
    let drain = team.background();
    assert_eq!(drain.len(), 1, "{drain:?}");
    // The same process takes what is made while it may stay; no other one is started.
    let second = team.event();
    assert!(team.server.wait_for_events(2, SOON));
    wait_until("that nothing is queued", || team.queued().is_empty());
    assert_eq!((team.server.ids(), team.background().len()), (vec![first, second], 1));
}

#[test]
fn a_drain_is_started_once_a_minute() {
    let team = Team::new().ready();
    let first = team.event();
    assert!(team.server.wait_for_events(1, SOON));
    wait_until("that nothing is queued", || team.queued().is_empty());
    team.end_background();
    wait_until("the end of the drain", || team.background().is_empty());
    let requests = team.server.requests().len();
    let second = team.event();
    assert!(team.background().is_empty(), "not again within the minute");
    assert_eq!((team.server.requests().len(), team.queued()), (requests, vec![second.clone()]));
    assert_eq!(team.status()["queued"], json!(1));
    team.send();
    assert_eq!(team.server.ids(), [first, second]);
}

#[test]
fn all_that_one_command_makes_goes_with_its_first_event() {
    let team = Team::kitty(TestProject::new()).ready();
    team.ok(&["kitty", "finalize-tasks"]);
    assert!(team.server.wait_for_events(8, SOON), "{:?}", team.told());
    assert_eq!(team.server.doubles(), 0);
}

#[test]
fn nobody_waits_for_a_server_that_is_not_there() {
    let team = Team::new().ready();
    team.server.go_offline();
    let id = team.event();
    wait_until("that it gives up", || team.background().is_empty());
    assert_eq!((team.queued(), team.status()["dead_letters"].clone()), (vec![id], json!(0)));
    assert!(team.status()["last_error"].is_string());
}
