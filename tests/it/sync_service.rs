//! `sync run`: events go out as they are made, whatever becomes of the connection.

use crate::support::sync_server::{Endpoint, Fault, LiveAnswer, SyncServer, Way};
use crate::support::team::{SOON, Team, no_token};
use crate::support::{kill, wait_until};
use serde_json::json;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// A `sync run`, ended with its test.
struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Not waited for.
    fn start(team: &Team, name: &str) -> Self {
        let log = team.project.home().join(name);
        let (out, err) = (File::create(&log).unwrap(), File::create(log.with_extension("err")).unwrap());
        let child = team.project.command(&["sync", "run"]).stdout(out).stderr(err).spawn().unwrap();
        Service { child, log }
    }

    fn connected(team: &Team) -> Self {
        let service = Self::start(team, "run.log");
        service.says("connected: events go out as they are made");
        assert!(team.server.wait_for_sockets(1, SOON));
        service
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn says(&self, text: &str) {
        wait_until(&format!("«{text}»"), || self.said().contains(text));
    }

    /// Ends it as a service manager does; it has five seconds.
    fn end(mut self) {
        kill("TERM", &self.child);
        let begun = Instant::now();
        let status = self.child.wait().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(status.success(), "{status}: {}", fs::read_to_string(self.log.with_extension("err")).unwrap());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Most often it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            no_token("what the service said", self.said().as_bytes());
        }
    }
}

fn connection(team: &Team) -> String {
    team.status()["connection"].as_str().unwrap().to_owned()
}

fn holds_once(server: &SyncServer, ids: &[String]) {
    assert_eq!(server.ids(), ids);
}

#[test]
fn an_event_is_there_within_half_a_second() {
    let team = Team::new().ready();
    let service = Service::connected(&team);
    let status = team.status();
    assert_eq!((&status["connection"], &status["service"]), (&json!("connected"), &json!(true)));
    let mut ids = Vec::new();
    let took: Vec<Duration> = (0..3)
        .map(|number| {
            ids.push(team.event());
            let begun = Instant::now();
            assert!(team.server.wait_for_events(number + 1, SOON));
            begun.elapsed()
        })
        .collect();
    assert!(took.iter().min().unwrap() < &Duration::from_millis(500), "{took:?}");
    assert!(team.server.events().iter().all(|taken| taken.way == Way::Live));
    wait_until("the confirmation", || team.queued().is_empty());
    holds_once(&team.server, &ids);
    assert_eq!(team.server.doubles(), 0, "the emit starts nothing else");
    assert!(team.status()["last_sync"].is_string());
    service.end();
    assert_eq!(connection(&team), "offline_batch_mode");
}

#[test]
fn an_event_stays_until_the_server_confirms_it() {
    let team = Team::new().ready();
    let service = Service::connected(&team);
    team.server.live_answer(LiveAnswer::Nothing);
    let id = team.event();
    assert!(team.server.wait_for_events(1, SOON));
    assert_eq!(team.queued(), [id.as_str()], "the server has it, and did not say so");
    // A batch asks for it after five seconds.
    wait_until("the confirmation", || team.queued().is_empty());
    assert_eq!((team.server.count_of(&id), team.server.batches().len()), (2, 1));
    service.says("0 synced, 1 known already");
    service.end();
}

#[test]
fn events_wait_for_a_server_that_is_away() {
    let team = Team::new().ready();
    let service = Service::connected(&team);
    team.server.go_offline();
    wait_until("that it is noticed", || connection(&team) == "reconnecting");
    let ids = team.events(2);
    assert_eq!(team.queued(), ids);
    team.server.come_back();
    assert!(team.server.wait_for_events(2, SOON));
    holds_once(&team.server, &ids);
    assert!(team.server.wait_for_sockets(1, SOON));
    wait_until("the connection", || connection(&team) == "connected" && team.queued().is_empty());
    service.end();
}

#[test]
fn who_has_to_sign_in_again_is_told_and_it_goes_on_afterwards() {
    let team = Team::new().ready();
    let service = Service::connected(&team);
    team.server.expire_access();
    team.server.fault_always(Endpoint::Refresh, Some(Fault::status(401)));
    team.server.close_sockets();
    service.says("sign in again with `knockon sync login`");
    assert_ne!(connection(&team), "connected");
    let id = team.event();
    assert_eq!(team.queued(), [id.as_str()]);
    team.server.behave();
    team.new_tokens();
    team.login();
    assert!(team.server.wait_for_sockets(1, SOON) && team.server.wait_for_events(1, SOON));
    holds_once(&team.server, &[id]);
    service.end();
}

#[test]
fn the_time_of_others_moves_the_clock_unless_it_cannot_be() {
    let team = Team::new().ready();
    let service = Service::connected(&team);
    let clock = || team.json(&["clock", "show", "--json"])["value"].as_u64().unwrap();
    let event = |lamport: u64| {
        let mut event = crate::sync_server::envelope(1);
        (event["lamport_clock"], event["node_id"]) = (json!(lamport), json!("ba9876543210"));
        event
    };
    team.server.push_event(&event(1000));
    wait_until("the clock", || clock() == 1001);
    for later in 0..5 {
        team.server.push_event(&event((1 << 50) + later));
    }
    service.says("1 event from the server has an impossible time (1125899906842624) and has no effect on the clock");
    wait_until("all of them", || team.status()["quarantined"] == json!(5));
    assert_eq!(clock(), 1001);
    assert_eq!(service.said().matches("impossible time").count(), 1, "once a minute: {}", service.said());
    assert!(team.ok(&["sync", "status"]).stdout.contains("quarantined   5 times"));
    team.event();
    assert!(team.server.wait_for_events(1, SOON));
    assert_eq!(team.server.events()[0].event["lamport_clock"], 1002);
    service.end();
}

#[test]
fn a_second_one_stands_by_and_takes_over() {
    let team = Team::new().ready();
    let first = Service::connected(&team);
    let second = Service::start(&team, "second.log");
    second.says("another `knockon sync run` is there; standing by");
    assert_eq!(team.server.sockets(), 1);
    first.end();
    second.says("connected: events go out as they are made");
    let id = team.event();
    assert!(team.server.wait_for_events(1, SOON));
    holds_once(&team.server, &[id]);
    second.end();
    let third = Service::start(&team, "third.log");
    let fourth = Service::start(&team, "fourth.log");
    wait_until("one of them", || [&third, &fourth].iter().any(|one| one.said().contains("standing by")));
    // Also one that stands by ends when it is asked to.
    third.end();
    fourth.end();
}

#[test]
fn it_ends_in_time_with_a_batch_under_way_and_nothing_is_lost() {
    let team = Team::new();
    let ids = team.events(1);
    team.server.fault_always(Endpoint::Batch, Some(Fault::Silence));
    team.server.fault_always(Endpoint::WsToken, Some(Fault::status(404)));
    let team = team.ready();
    let service = Service::start(&team, "run.log");
    wait_until("the batch", || !team.server.requests_to("/api/v1/events/batch/").is_empty());
    service.end();
    assert_eq!(team.queued(), ids);
}

#[test]
fn a_project_that_agrees_meanwhile_need_not_wait() {
    let team = Team::new().ready();
    let other = team.project.root().with_file_name("other");
    fs::create_dir_all(other.join(".knockon")).unwrap();
    let other = other.to_str().unwrap();
    let service = Service::connected(&team);
    let theirs = team.event_of(&["--project-root", other]);
    let ours = team.event();
    assert!(team.server.wait_for_events(1, SOON));
    // By now the service is behind what was held back.
    wait_until("the confirmation", || team.queued() == [theirs.as_str()]);
    team.ok(&["sync", "enable", "--project-root", other]);
    assert!(team.server.wait_for_events(2, SOON));
    holds_once(&team.server, &[ours, theirs]);
    wait_until("the empty queue", || team.queued().is_empty());
    service.end();
}

#[test]
fn a_dead_letter_that_is_tried_again_need_not_wait() {
    let team = Team::new();
    let ids = team.events(1);
    team.server.answer(&ids[0], "rejected", 5);
    let team = team.ready();
    for _ in 0..5 {
        team.ends(&["sync", "now"], 1);
    }
    let service = Service::connected(&team);
    // What came later went out already.
    let later = team.event();
    assert!(team.server.wait_for_events(1, SOON));
    team.ok(&["sync", "dead", "retry", "--all"]);
    assert!(team.server.wait_for_events(2, SOON));
    holds_once(&team.server, &[later, ids[0].clone()]);
    service.end();
}

#[test]
fn a_terminal_shows_how_it_stands_and_nothing_else_does() {
    let team = Team::new();
    let line = "wp status-changed --wp-id WP01 --from planned --to doing";
    let shown = |more: &str| team.project.on_a_terminal(&format!("{line}{more}"), "").1;
    let first = shown("");
    assert!(!first.contains("queued") && !first.contains("[Offline"), "no server is configured: {first:?}");
    team.login();
    team.enable();
    let service = Service::connected(&team);
    wait_until("the empty queue", || team.queued().is_empty());
    let text = shown("");
    assert!(text.contains("[Connected]") && !text.contains("queued"), "{text:?}");
    for more in [" --quiet", " --json", " | cat"] {
        assert!(!shown(more).contains("[Connected]"), "{more}");
    }
    assert!(!team.ok(&line.split(' ').collect::<Vec<_>>()).stdout.contains('['));
    service.end();
    let last = shown("");
    assert!(last.contains("[Offline - Batch Mode] "), "{last:?}");
}
