//! Events on their way to the team through kills, bad networks, many processes, full disks and damage: none is lost or
//! doubled, and no time is given twice. `scripts/faults sync` does the same at length.

use crate::support::TestProject;
use crate::support::crowd::{self, Crowd, of_document, repeated, said, sound, survive_damage};
use crate::support::sync_server::{Endpoint, Fault};
use knockon::work_package::Created;
use knockon::{Emitter, EmitterOptions, Project, UserFolders};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Not a test of its own: a process that makes events.
#[test]
fn emitter() {
    crowd::be_an_emitter();
}

#[test]
fn killed_between_the_server_and_the_queue_sync_now_goes_on_without_a_double() {
    let crowd = Crowd::new("16KiB");
    let made: Vec<String> = crowd.emit(300).into_iter().map(|event| event.id).collect();
    crowd.sign_in();
    // The server has the batch, and its answer takes forever: the queue does not know.
    for round in 0..4 {
        crowd.server.fault_next(Endpoint::Batch, Fault::Drip { bytes: 1000, pause: Duration::from_secs(60) }, 1);
        let mut command = crowd.project.command(&["sync", "now"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = crowd.server.batches().len();
        crate::support::wait_until("the batch", || crowd.server.batches().len() > before);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(crowd.queued(), made, "round {round}: nothing was settled");
    }
    let doubles = crowd.server.doubles();
    assert!(doubles > 0, "brought again, and known");
    crowd.project.ok(&["sync", "now"]);
    assert_eq!(crowd.server.ids(), made, "in order, each once");
    assert_eq!((crowd.queued().len(), crowd.dead()), (0, 0));
}

#[test]
fn a_bad_network_loses_and_doubles_nothing() {
    let crowd = Crowd::new("16KiB");
    let made = crowd.emit(200);
    crowd.sign_in();
    let drip = Fault::Drip { bytes: 50, pause: Duration::from_millis(1) };
    for fault in [Fault::DropBeforeReply, Fault::HalfJson, Fault::CutReply(200), Fault::status(401), drip, Fault::Html]
    {
        crowd.server.fault_next(Endpoint::Batch, fault, 1);
    }
    crowd.sync_until_empty(10);
    assert_eq!((crowd.lost_and_doubled(&made), crowd.dead()), ((0, 0), 0));
    assert!(crowd.server.doubles() > 0, "some had to be brought again");
}

#[test]
fn many_processes_at_one_clock_never_get_the_same_time() {
    let crowd = Crowd::new("512KiB");
    let start = |way: &str, number: usize, events: usize| -> Vec<_> {
        (0..number).map(|_| crowd.start_emitter("sync_faults::emitter", way, events)).collect()
    };
    let children: Vec<_> = start("library", 12, 10).into_iter().chain(start("commands", 4, 3)).collect();
    let mut made = Vec::new();
    for mut child in children {
        let said = said(&mut child);
        assert!(child.wait().unwrap().success(), "none was refused its place");
        assert!(said.windows(2).all(|pair| pair[0].lamport < pair[1].lamport));
        made.extend(said);
    }
    assert_eq!((made.len(), repeated(&made)), (132, 0));
    made.sort_by_key(|event| event.lamport);
    assert_eq!(crowd.queued(), made.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
    let naive: Vec<_> = start("naive", 12, 200).iter_mut().flat_map(said).collect();
    assert!(repeated(&naive) > 0, "control: a bare JSON file repeats times");
}

#[test]
fn an_emit_without_its_store_goes_on_and_the_next_one_with_it_too() {
    let crowd = Crowd::new("512KiB");
    let hook = "- {name: h, events: [{type: '*'}], command: touch ran}\n";
    crowd.project.config(format!("version: '1.0'\ndefaults: {{shell: /bin/sh}}\nhooks:\n{hook}"));
    crowd.project.trust();
    let mut made = crowd.emit(3);
    let (state, hidden) = (crowd.state(), crowd.project.home().join("hidden"));
    for number in 0..2 {
        fs::rename(&state, &hidden).unwrap();
        // What was a folder is a file, or a folder that is not the user's alone.
        if number == 0 {
            fs::write(&state, "").unwrap();
        } else {
            fs::create_dir(&state).unwrap();
            fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let _ = fs::remove_file(crowd.project.root().join("ran"));
        let (code, document, stderr) = crowd.create();
        assert_eq!(code, 0, "{stderr}");
        assert!(document["event"]["clock_error"].is_string(), "{document}");
        assert!(stderr.contains("has no place in order, and is not queued"), "{stderr}");
        let _ = fs::remove_file(&state).or_else(|_| fs::remove_dir_all(&state));
        fs::rename(&hidden, &state).unwrap();
        made.push(of_document(&crowd.create().1).expect("all is well again"));
        assert!(crowd.project.exists("ran"), "and hooks run");
    }
    assert_eq!(repeated(&made), 0);
    assert_eq!(crowd.queued(), made.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
    sound(&state, "afterwards");
}

#[test]
fn a_damaged_store_never_repeats_a_time_and_brings_what_can_be_read() {
    let mut seed = 7_u64;
    let mut random = move || {
        // xorshift: the same in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed >> 8
    };
    let all: Vec<_> = (0..4).map(|_| survive_damage(40, &mut random)).collect();
    assert!(all.iter().all(|damaged| damaged.lost_since <= 1), "{all:?}");
    assert!(all.iter().any(|damaged| damaged.seen && (1..=damaged.before).contains(&damaged.arrived)), "{all:?}");
}

#[test]
fn a_store_that_somebody_keeps_costs_many_events_one_wait() {
    let project = TestProject::new();
    let user = UserFolders { state: Some(project.home().join("state")), ..UserFolders::default() };
    let emitter = Emitter::open(Project::at(&project.root()).unwrap(), &user, EmitterOptions::default());
    let emit = || {
        let (wp_id, title, feature_slug) = ("WP01".into(), "x".into(), "001-a".into());
        let report = emitter.emit(Created { wp_id, title, feature_slug, dependencies: vec![] }.draft());
        let clocked = report.event.unwrap().json().get("lamport_clock").is_some();
        (clocked, report.warnings)
    };
    assert!(emit().0);
    let keeper = rusqlite::Connection::open(project.home().join("state/knockon.db")).unwrap();
    keeper.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        let (clocked, warnings) = emit();
        assert!(!clocked && warnings[0].contains("is not queued for the team"), "{warnings:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "each of them waited: {:?}", begun.elapsed());
}

#[test]
fn a_doctor_judges_the_way_to_the_team() {
    let crowd = Crowd::new("512KiB");
    let ill = |check: &str, level: &str, message: &str, help: &str| {
        let ran = crowd.project.run(&["doctor", "--json"]);
        assert_eq!(ran.code, i32::from(level == "error"), "{ran:?}");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let found = document["findings"].as_array().unwrap().iter().any(|finding| {
            let says = |field: &str, part: &str| finding[field].as_str().unwrap_or_default().contains(part);
            finding["check"] == check && finding["level"] == level && says("message", message) && says("help", help)
        });
        assert!(found, "{check} {level} {message}: {document:#}");
    };
    ill("sync queue", "ok", "nothing waits", "");
    crowd.emit(3);
    ill("sync queue", "ok", "3 events wait", "");
    ill("sync clock", "ok", "at 3, node ", "");
    crowd.sign_in();
    ill("sync", "ok", "as team demo", "");
    crowd.server.go_offline();
    assert_eq!(crowd.project.run(&["sync", "now"]).code, 69);
    ill("sync queue", "warning", "3 events wait: ", "sync now");
    crowd.server.come_back();
    let ids = crowd.queued();
    crowd.server.poison(&ids[1]);
    assert_eq!(crowd.project.run(&["sync", "now"]).code, 1);
    ill("sync queue", "warning", "1 event will not be taken by the server", "sync dead list");

    let state = crowd.state();
    let credentials = state.join("sync/credentials.json");
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o644)).unwrap();
    ill("sync", "error", "chmod 600", "revoke");
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
    let reserve = state.join("clock.reserve");
    let kept = fs::read_to_string(&reserve).unwrap();
    let node = serde_json::from_str::<Value>(&kept).unwrap()["node_id"].clone();
    fs::write(&reserve, json!({ "value": 2, "node_id": node }).to_string()).unwrap();
    ill("sync clock", "error", "it is an older one", "remove the file");
    fs::remove_file(&reserve).unwrap();
    ill("sync clock", "warning", "is not there", "");
    fs::write(&reserve, kept).unwrap();
    fs::set_permissions(&reserve, fs::Permissions::from_mode(0o600)).unwrap();

    // What is in the log as well would not be missed.
    crowd::open(&state).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    fs::write(state.join("knockon.db"), "this is no database").unwrap();
    ill("background", "error", "cannot be used", "moves it aside");
    let told = crowd.create().2;
    assert!(told.contains("the store was damaged and begins anew"), "{told}");
    ill("state folder", "warning", "was damaged and moved aside", "keep it");
}
