//! What an `Emitter` does that lives on: events a second, and whether its memory stays what it is.
//!
//! `cargo bench --bench sustained` emits a million events that no hook waits for and keeps its tables in
//! `target/bench/sustained.md`; `-- 5000000` asks for so many. Every log is verified at the end: nothing is lost.

mod support;

use knockon::audit::AuditLog;
use knockon::time::Timestamp;
use knockon::{Emitter, EmitterOptions, EventId, Project, UserFolders, drafts};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Goal, Hooks, Summary};

/// How many events there are, and after how many the memory is looked at.
const EVENTS: usize = 1_000_000;
const STRETCH: usize = 100_000;
/// As many with each on the disk before the next one.
const DURABLE_EVENTS: usize = 5_000;
/// No record is removed, so that all can be counted. The other settings are the usual ones.
const SETTINGS: &str = "max_size: 10MB, keep: 10000";
/// What the goal says.
const WANTED: f64 = 300_000.0;
/// By how much memory may differ and still be flat: more than the kernel's own inaccuracy (128 KiB), a third of a byte an
/// event.
const FLAT_KIB: f64 = 256.0;

fn main() {
    if !support::is_asked() {
        return;
    }
    let events = support::number_given(EVENTS).max(2 * STRETCH);
    // On the disk that the build is on: a temporary folder may be in memory, where nothing is durable.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let how = format!("one thread, 10 hooks of which none matches, `audit: {{{SETTINGS}}}`");
    let mut summary = Summary::new("sustained", &how);
    let (rate, growth) = relaxed(folder.path(), events, &mut summary);
    durable(folder.path(), &mut summary);
    let rate = Goal { wanted: "≥ 300,000 events/s".into(), measured: format!("{rate:.0}"), is_met: rate >= WANTED };
    let flat = format!("memory is flat: ≤ {FLAT_KIB} KiB more at the end than after half of the events");
    summary.goals(&[rate, Goal::at_most(&flat, growth, FLAT_KIB, "KiB")]);
    summary.keep();
}

/// Events a second with usual settings, and by how much memory grew, in KiB.
fn relaxed(root: &Path, events: usize, summary: &mut Summary) -> (f64, f64) {
    let root = root.join("relaxed");
    let emitter = open(&root, "relaxed");
    let mut stretches: Vec<(Duration, u64)> = Vec::new();
    for _ in 0..events / STRETCH {
        stretches.push((emit(&emitter, STRETCH), resident_kib()));
    }
    summary.table(&["events so far, `durability: relaxed`", "events/s", "resident KiB"]);
    for (number, (took, kib)) in stretches.iter().enumerate() {
        summary.row(&[&((number + 1) * STRETCH), &format!("{:.0}", rate(STRETCH, *took)), kib]);
    }
    let all = stretches.len() * STRETCH;
    let rate = rate(all, stretches.iter().map(|(took, _)| *took).sum());
    drop(emitter);
    let bytes = verify(&root, all, summary);
    yardsticks(&root, bytes as usize / all, summary);
    // The allocator takes what it keeps in the first half.
    let (first, last) = (stretches[stretches.len().div_ceil(2) - 1].1, stretches[stretches.len() - 1].1);
    (rate, last as f64 - first as f64)
}

fn durable(root: &Path, summary: &mut Summary) {
    let root = root.join("fsync");
    let emitter = open(&root, "fsync");
    let took = emit(&emitter, DURABLE_EVENTS);
    summary.table(&["events, `durability: fsync`", "events/s", "µs an event"]);
    let micros = took.as_secs_f64() * 1e6 / DURABLE_EVENTS as f64;
    summary.row(&[&DURABLE_EVENTS, &format!("{:.0}", rate(DURABLE_EVENTS, took)), &format!("{micros:.0}")]);
    drop(emitter);
    verify(&root, DURABLE_EVENTS, summary);
}

/// An emitter for a new project with 10 hooks that wait for something else.
fn open(root: &Path, durability: &str) -> Emitter {
    let config = root.join("config");
    fs::create_dir_all(&config).expect("the folder can be written");
    let settings = format!("version: '1.0'\naudit: {{durability: {durability}, {SETTINGS}}}\n");
    fs::write(config.join("settings.yaml"), settings).expect("the folder can be written");
    Hooks::idle(10).make_project(&root.join("project"), &std::env::current_exe().expect("it is this program"));
    let emitter = Emitter::open(project(root), &user(root), EmitterOptions::default());
    assert_eq!((emitter.loaded().hooks.len(), emitter.problems(), emitter.audit().problems()), (10, &[][..], &[][..]));
    emitter
}

fn project(root: &Path) -> Project {
    Project::at(&root.join("project")).expect("it was made before")
}

fn user(root: &Path) -> UserFolders {
    let of = |name: &str| Some(root.join(name));
    UserFolders { home: None, config: of("config"), state: of("state"), cache: of("cache"), ..UserFolders::default() }
}

/// How long it takes to emit so many events, each made as a program would.
fn emit(emitter: &Emitter, count: usize) -> Duration {
    let began = Instant::now();
    let drafts = (0..count).map(|_| drafts::task_completed("task-123").feature("user-auth"));
    emitter.emit_all(drafts, |report| {
        let is_sound = report.refused.is_none() && report.dispatched.unrecorded.is_empty();
        assert!(is_sound && report.hooks().is_empty(), "{report:?}");
    });
    began.elapsed()
}

/// That all events are in the log of the emitter that was at `root`, and the log is sound.
fn verify(root: &Path, events: usize, summary: &mut Summary) -> u64 {
    let began = Instant::now();
    let verified = AuditLog::of(&project(root), &user(root)).verify(&[]).expect("it can be read");
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
    assert_eq!(verified.records, events as u64, "nothing is lost");
    let (records, megabytes, took) = (verified.records, verified.bytes / 1_000_000, began.elapsed());
    summary.line(&format!("\nVerified: {records} records, {megabytes} MB, no fault, in {:.1} s.", took.as_secs_f64()));
    verified.bytes
}

/// What the machine does at most in the same run: writes as long as a record, and trees of such an event.
fn yardsticks(root: &Path, length: usize, summary: &mut Summary) {
    let line = vec![b'x'; length];
    let mut file =
        File::options().create(true).append(true).open(root.join("bare")).expect("the folder can be written");
    let writes = rate_of(|| file.write_all(&line).expect("the disk has room"));
    let now = Timestamp::now();
    let draft = drafts::task_completed("task-123").feature("user-auth");
    let event = draft.stamp(EventId::generate(now), now, "/home/you/shop").expect("a sound draft");
    let trees = rate_of(|| drop(serde_json::from_slice::<serde_json::Value>(black_box(event.bytes()))));
    summary
        .line(&format!("Beside it: {writes:.0} bare writes/s of {length} bytes, {trees:.0} trees of `serde_json`/s."));
}

fn rate_of(mut run: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..STRETCH).for_each(|_| run());
    rate(STRETCH, began.elapsed())
}

fn rate(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).expect("Linux tells (proc(5))")
}
