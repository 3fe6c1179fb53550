//! What kills, refusals, full disks, damage and power cuts do to the store of work-package events and to their clock.

use super::log::calls;
use super::power::Place;
use super::support::crowd::{self, Acknowledged, CREATE, Crowd, of_document, of_line, repeated, sound};
use super::sync::Random;
use super::{count, figure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Not a test of its own: a process that makes events.
#[test]
fn emitter() {
    crowd::be_an_emitter();
}

/// One `wp created` under strace, which does to it what `inject` says: its exit code, and the event that it printed.
fn injected(crowd: &Crowd, inject: &str) -> (Option<i32>, Value, String) {
    let inject = format!("inject={inject}");
    let mut strace = crowd.project.program("strace", &["-f", "-o", "/dev/null", "-e", &inject]);
    let output = strace.arg(env!("CARGO_BIN_EXE_knockon")).args(CREATE).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), stderr)
}

#[test]
fn killed_or_refused_at_any_system_call_of_an_emit_the_clock_and_the_queue_hold() {
    let crowd = Crowd::new("512KiB");
    crowd.emit(30);
    const FAILING: [&str; 13] = [
        "write",
        "pwrite64",
        "pread64",
        "read",
        "openat",
        "ftruncate",
        "fdatasync",
        "fsync",
        "fcntl",
        "mmap",
        "rename",
        "unlink",
        "newfstatat",
    ];
    let mut moments: Vec<(String, &str)> = Vec::new();
    for (call, times) in calls(&crowd.project, &CREATE) {
        for n in 1..=times + 2 {
            moments.push((format!("{call}:signal=KILL:when={n}"), "SIGKILL"));
            if FAILING.contains(&call.as_str()) {
                moments.push((format!("{call}:error=ENOSPC:when={n}"), "ENOSPC"));
                moments.push((format!("{call}:error=EIO:when={n}"), "EIO"));
            }
        }
    }
    let mut made: Vec<Acknowledged> = Vec::new();
    let (mut by_kind, mut unclocked, mut failed) = (BTreeMap::<&str, usize>::new(), 0, Vec::new());
    for (inject, kind) in moments.iter().step_by(count(1, 12)) {
        *by_kind.entry(kind).or_default() += 1;
        let (code, document, stderr) = injected(&crowd, inject);
        assert!(!stderr.contains("panicked"), "{inject}: {stderr}");
        match of_document(&document) {
            Some(event) if code == Some(0) => made.push(event),
            None if code == Some(0) => {
                let event = &document["event"];
                assert!(event["clock_error"].is_string() && !stderr.is_empty(), "{inject}: {document} {stderr}");
                unclocked += 1;
            }
            _ if *kind == "SIGKILL" => {}
            _ => failed.push((inject, code, stderr)),
        }
        // The next one is as if nothing had been.
        let (code, document, stderr) = crowd.create();
        assert_eq!(code, 0, "after {inject}: {stderr}");
        let next = of_document(&document).unwrap_or_else(|| panic!("after {inject}: {stderr}"));
        assert!(
            made.iter().all(|event| event.lamport < next.lamport),
            "{inject}: {next:?} comes after {:?}",
            made.last()
        );
        made.push(next);
        if made.len().is_multiple_of(25) {
            sound(&crowd.state(), inject);
        }
    }
    sound(&crowd.state(), "all");
    assert_eq!(crowd::aside(&crowd.state()), [""; 0], "a refusal is no damage");
    let queued: BTreeSet<String> = crowd.queued().into_iter().collect();
    let lost: Vec<&Acknowledged> = made.iter().filter(|event| !queued.contains(&event.id)).collect();
    assert_eq!((lost, repeated(&made)), (Vec::new(), 0));
    figure(
        "SIGKILL, ENOSPC, EIO at system calls of one `wp created`",
        format!(
            "{by_kind:?}: {} acknowledged, 0 lost, 0 times repeated, {unclocked} without a time and told so, {} that could not start or print",
            made.len(),
            failed.len()
        ),
    );
    // Libraries that cannot be loaded, and an output that cannot be written: nothing else fails the caller.
    let told =
        |stderr: &str| ["loading shared libraries", "could not be written"].iter().any(|why| stderr.contains(why));
    let others = failed.iter().filter(|(_, code, stderr)| code.is_some() && !told(stderr));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&(&String, Option<i32>, String)>::new());
}

/// Copies the files of a folder over those of another.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let made = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(made.success());
}

#[test]
fn killed_or_refused_at_any_system_call_of_a_recovery_nothing_more_is_lost() {
    let crowd = Crowd::new("512KiB");
    let before = crowd.emit(60);
    let (state, damaged) = (crowd.state(), crowd.project.home().join("damaged"));
    // The page of the clock: whoever emits finds it.
    let (page, size): (i64, i64) = {
        let store = crowd::open(&state);
        store.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let query = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = 'sync'";
        store.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let path = state.join("knockon.db");
    let mut bytes = fs::read(&path).unwrap();
    let [page, size] = [page, size].map(|number| usize::try_from(number).unwrap());
    bytes[(page - 1) * size..page * size].fill(b'x');
    fs::write(&path, bytes).unwrap();
    copy(&state, &damaged);
    let mut moments: Vec<(String, &str)> = Vec::new();
    for (call, times) in calls(&crowd.project, &CREATE) {
        for n in 1..=times {
            moments.push((format!("{call}:signal=KILL:when={n}"), "SIGKILL"));
            if ["pwrite64", "openat", "fdatasync", "fsync", "rename", "unlink"].contains(&call.as_str()) {
                moments.push((format!("{call}:error=ENOSPC:when={n}"), "ENOSPC"));
            }
        }
    }
    let (mut by_kind, mut acknowledged) = (BTreeMap::<&str, usize>::new(), 0);
    for (inject, kind) in moments.iter().step_by(count(1, 25)) {
        *by_kind.entry(kind).or_default() += 1;
        copy(&damaged, &state);
        let (code, document, stderr) = injected(&crowd, inject);
        assert!(!stderr.contains("panicked"), "{inject}: {stderr}");
        let mut made = before.clone();
        if code == Some(0) {
            made.extend(of_document(&document));
            acknowledged += usize::from(made.len() > before.len());
        }
        let (code, document, stderr) = crowd.create();
        assert_eq!(code, 0, "after {inject}: {stderr}");
        made.push(of_document(&document).unwrap_or_else(|| panic!("after {inject}: {stderr}")));
        assert_eq!(repeated(&made), 0, "after {inject}");
        let queued: BTreeSet<String> = crowd.queued().into_iter().collect();
        let lost: Vec<&Acknowledged> = made.iter().filter(|event| !queued.contains(&event.id)).collect();
        assert!(lost.is_empty(), "after {inject}: {} are lost, {:?}", lost.len(), crowd::aside(&state));
        assert!(!crowd::aside(&state).is_empty(), "after {inject}: the damaged file is kept");
        sound(&state, inject);
    }
    figure(
        "SIGKILL, ENOSPC at system calls of an emit that finds its store damaged",
        format!(
            "{by_kind:?}: {acknowledged} acknowledged, 0 events lost of those that could be read, 0 times repeated"
        ),
    );
}

/// A file system of so many KiB in memory, where the store is kept.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, options: &str) -> bool {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status();
        mount.is_ok_and(|status| status.success())
    }

    fn new(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        Self::mount(&at, &format!("size={size},mode=0700")).then_some(Small(at))
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }

    /// Leaves no byte free.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filling");
        let mut file = File::create(&path).unwrap();
        for size in [4096, 256, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// An event while the store cannot be written: it is made, says so, and its hook runs.
#[track_caller]
fn goes_on(crowd: &Crowd, what: &str) {
    let _ = fs::remove_file(crowd.project.root().join("ran"));
    let (code, document, stderr) = crowd.create();
    assert_eq!(code, 0, "{what}: {stderr}");
    assert!(document["event"]["clock_error"].is_string(), "{what}: {document}");
    assert!(stderr.contains("not queued"), "{what}: {stderr}");
    assert!(crowd.project.exists("ran"), "{what}: the hook runs");
}

#[test]
fn a_full_or_read_only_disk_stops_no_emit_and_all_is_well_again_with_space() {
    let rounds = count(20, 3);
    let crowd = Crowd::new("512KiB");
    let (kept, mut made) = (crowd.state(), Vec::new());
    fs::remove_dir_all(&kept).unwrap();
    let Some(disk) = Small::new(kept, "4m") else {
        println!("SKIPPED: full disks need root");
        return;
    };
    crowd.project.config(
        "version: '1.0'\ndefaults: {shell: /bin/sh}\nhooks:\n- {name: h, events: [{type: '*'}], command: touch ran}\n",
    );
    crowd.project.trust();
    crowd.project.ok(&["sync", "enable"]);
    let (mut without, mut refused) = (0, 0);
    for round in 0..rounds {
        made.extend(crowd.emit(1 + round % 3));
        let filling = disk.fill();
        // What the store has allocated already may do for a while.
        let mut full = 0;
        while full < 3 {
            let (code, document, stderr) = crowd.create();
            assert_eq!(code, 0, "{stderr}");
            match of_document(&document) {
                Some(event) => made.push(event),
                None => {
                    goes_on(&crowd, "full");
                    full += 1;
                    without += 1;
                }
            }
        }
        fs::remove_file(filling).unwrap();
        made.extend(of_document(&crowd.create().1));
        disk.remount("ro");
        goes_on(&crowd, "read-only");
        refused += 1;
        disk.remount("rw");
        let (_, document, stderr) = crowd.create();
        made.push(of_document(&document).unwrap_or_else(|| panic!("all is well again: {stderr}")));
        if made.len() > 300 {
            break;
        }
    }
    sound(&crowd.state(), "after full disks");
    assert_eq!(crowd.queued(), made.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
    assert_eq!((repeated(&made), crowd::aside(&crowd.state()).len()), (0, 0));
    crowd.sign_in();
    crowd.project.ok(&["sync", "now"]);
    assert_eq!(crowd.lost_and_doubled(&made), (0, 0));
    figure(
        "emits with a full disk, and a read-only one",
        format!(
            "{without}, {refused}: each made, told and its hook run; {} acknowledged around them, 0 lost",
            made.len()
        ),
    );
}

#[test]
fn a_damaged_store_never_repeats_a_time_and_what_can_be_read_arrives_once() {
    let seeds = count(50, 8);
    let (mut before, mut arrived, mut since, mut seen) = (0, 0, 0, 0);
    for seed in 1..=seeds {
        let mut random = Random((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..10).for_each(|_| _ = random.next());
        let damaged = crowd::survive_damage(200, || random.next() >> 8);
        before += damaged.before;
        arrived += damaged.arrived;
        since += damaged.lost_since;
        seen += usize::from(damaged.seen);
    }
    figure(
        "damaged stores (random bytes, pages and ends)",
        format!(
            "{seeds}, {seen} seen and moved aside: 0 panics, 0 times repeated, {arrived} of {before} events arrived once, {} of {} made since",
            3 * seeds - since,
            3 * seeds
        ),
    );
    assert!(arrived * 10 > before * 7, "most can be read: {arrived} of {before}");
}

/// Emits until the power goes. Returns how many events were acknowledged before, and how many of those are gone.
fn power_cut(way: &str, seed: u64) -> Option<(usize, usize)> {
    let place = Place::new()?;
    let start = || {
        let mut emitter = place.writer("store::emitter");
        emitter.env("KNOCKON_BINARY", env!("CARGO_BIN_EXE_knockon"));
        crowd::emitter(&mut emitter, way, 1_000_000)
    };
    let acknowledged: Vec<Acknowledged> = place.cut_under(Duration::from_millis(50 + seed % 400), start, of_line);
    let next = place.run(&CREATE);
    assert!(next.status.success(), "{next:?}");
    let document: Value = serde_json::from_slice(&next.stdout).unwrap();
    let next = of_document(&document).unwrap_or_else(|| panic!("{document}"));
    let state = place.home.join(".local/state/knockon");
    sound(&state, "after a power cut");
    let store = crowd::open(&state);
    let mut query = store.prepare("SELECT event_id FROM sync_event").unwrap();
    let there: BTreeSet<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(query);
    drop(store);
    let lost = acknowledged.iter().filter(|event| !there.contains(&event.id)).count();
    if way == "relaxed" {
        return Some((acknowledged.len(), lost));
    }
    assert!(acknowledged.iter().all(|event| event.lamport < next.lamport), "the clock goes on behind all of them");
    assert_eq!(repeated(&acknowledged), 0);
    Some((acknowledged.len(), lost))
}

#[test]
fn an_acknowledged_event_is_in_the_queue_after_a_power_cut() {
    let cuts = count(40, 4);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut acknowledged, mut lost) = (0, 0);
    for number in 0..cuts {
        let way = if number % 2 == 0 { "library" } else { "commands" };
        let Some((said, gone)) = power_cut(way, random.next()) else {
            println!("SKIPPED, number {number}: power cuts need root, mkfs.ext4 and loop devices");
            return;
        };
        acknowledged += said;
        lost += gone;
    }
    assert_eq!(lost, 0);
    figure(
        "simulated power cuts while events are queued",
        format!("{cuts}, {acknowledged} acknowledged before, 0 lost"),
    );
    let (mut said, mut gone) = (0, 0);
    for seed in 0..count(10, 3) {
        let Some((more, lost)) = power_cut("relaxed", 200 + seed as u64 * 37) else { return };
        said += more;
        gone += lost;
    }
    assert!(gone > 0, "of {said}: a store that does not wait for the disk loses something");
    figure("  control, `synchronous=NORMAL`: lost", format!("{gone} of {said}"));
}
