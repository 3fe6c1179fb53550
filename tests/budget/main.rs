//! What an emit may cost: instructions, system calls and page faults, counted, and time as a ratio to the floor.
//!
//! Counts repeat where times do not: they are held to what `baseline.json` has, and whoever makes an emit heavier by
//! more than a few percent is told which functions grew. Needs the binary of `scripts/build-release` with its symbols,
//! valgrind and strace, so a target that `cargo test` leaves out unless it is named: `scripts/budget` runs it, and
//! `scripts/budget --update` writes the baseline anew.

mod callgrind;
mod floor;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod support;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What is counted may grow by this much before the budget is exceeded: it does not repeat to the last digit (the time
/// has more or fewer digits, an event loop one turn more).
const TOLERANCE: f64 = 0.05;
/// How many of the functions that grew are named.
const NAMED: usize = 12;

/// What one command costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cost {
    instructions: u64,
    system_calls: u64,
    page_faults: u64,
    /// Instructions by function, without those that it calls.
    functions: BTreeMap<String, u64>,
}

/// An event that no store is opened for.
const PLAIN: &[&str] = &["emit", "task.completed", "--task-id", "task-1"];
/// An event of a work package: it is queued for the team.
const QUEUED: &[&str] = &["wp", "created", "--wp-id", "WP01", "--title", "Login", "--feature-slug", "001-user-auth"];

/// What is measured: a name, the command, how many hooks there are, and how many of them are triggered.
const SCENARIOS: &[(&str, &[&str], usize, usize)] = &[
    ("10 hooks, none matches", PLAIN, 10, 0),
    ("1,000 hooks, none matches", PLAIN, 1000, 0),
    ("1 hook", PLAIN, 1, 1),
    ("10 hooks, none matches, queued", QUEUED, 10, 0),
];

fn main() {
    let binary = PathBuf::from(std::env::var_os("KNOCKON_BINARY").expect("scripts/budget says which binary"));
    let baseline = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/budget/baseline.json");
    let measured: BTreeMap<String, Cost> = SCENARIOS
        .iter()
        .map(|(name, command, hooks, matching)| ((*name).to_owned(), cost(&binary, command, *hooks, *matching)))
        .collect();
    for (name, cost) in &measured {
        let Cost { instructions, system_calls, page_faults, .. } = cost;
        println!("{name}: {instructions} instructions, {system_calls} system calls, {page_faults} page faults");
    }
    if std::env::var_os("KNOCKON_BUDGET_UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&measured).expect("plain data");
        fs::write(&baseline, text + "\n").expect("the checkout can be written");
        println!("the baseline is what was measured now: {}", baseline.display());
        return;
    }
    let text = fs::read_to_string(&baseline).expect("the baseline is in the repository");
    let wanted: BTreeMap<String, Cost> = serde_json::from_str(&text).expect("`scripts/budget --update` writes it");
    let mut exceeded = Vec::new();
    for (name, cost) in &measured {
        match wanted.get(name) {
            Some(wanted) => exceeded.extend(compare(name, wanted, cost)),
            None => exceeded.push(format!("{name}: it has no baseline")),
        }
    }
    exceeded.extend(floor::exceeded(&binary, &prepare(&binary, PLAIN, 10, 0), &prepare(&binary, PLAIN, 1, 1)));
    if exceeded.is_empty() {
        println!("test result: ok. {} passed; 0 failed; the budget is kept", measured.len() + 1);
        return;
    }
    for line in &exceeded {
        eprintln!("{line}");
    }
    eprintln!(
        "\nemit has become heavier. Make it lighter again; if it is worth its price, say so in the commit and write the \
         baseline anew: scripts/budget --update"
    );
    std::process::exit(1);
}

/// What exceeds the budget, each with what grew.
fn compare(name: &str, wanted: &Cost, measured: &Cost) -> Vec<String> {
    let percent = |now: u64, then: u64| (now as f64 / then.max(1) as f64 - 1.0) * 100.0;
    let mut exceeded = Vec::new();
    let mut check = |what: &str, then: u64, now: u64, slack: u64| {
        let most = (then as f64 * (1.0 + TOLERANCE)).round() as u64;
        if now > most.max(then + slack) {
            exceeded.push(format!("{name}: {now} {what} instead of {then}: {:+.1} %", percent(now, then)));
        } else if (now as f64) < then as f64 * (1.0 - 2.0 * TOLERANCE) {
            println!("{name}: {now} {what} instead of {then}: lower the baseline, scripts/budget --update");
        }
    };
    check("instructions", wanted.instructions, measured.instructions, 0);
    check("system calls", wanted.system_calls, measured.system_calls, 1);
    check("page faults", wanted.page_faults, measured.page_faults, 6);
    if measured.instructions as f64 > wanted.instructions as f64 * (1.0 + TOLERANCE) {
        let then = |function: &str| wanted.functions.get(function).copied().unwrap_or(0);
        let mut grown: Vec<(u64, &String)> = measured
            .functions
            .iter()
            .map(|(function, now)| (now.saturating_sub(then(function)), function))
            .filter(|(more, _)| *more > 0)
            .collect();
        grown.sort_unstable_by(|a, b| b.cmp(a));
        for (more, function) in grown.into_iter().take(NAMED) {
            exceeded.push(format!("    {more:+8} {function} ({} before)", then(function)));
        }
    }
    exceeded
}

/// A project that an emit was made in before: the cache is filled, the log and its seal are there.
struct Prepared {
    project: support::TestProject,
    command: &'static [&'static str],
}

impl Prepared {
    /// An emit in the project.
    fn emit(&self, program: &str, arguments: &[&str], binary: &Path) -> Command {
        let mut command = self.project.program(program, arguments);
        command.arg(binary).args(self.command);
        command
    }
}

fn prepare(binary: &Path, command: &'static [&'static str], hooks: usize, matching: usize) -> Prepared {
    let project = support::TestProject::new();
    let mut config = String::from("version: \"1.0\"\nhooks:\n");
    for number in 0..hooks {
        let kind = if number < matching { "task.completed" } else { "plan.created" };
        config.push_str(&format!("  - name: hook-{number}\n    events:\n      - type: {kind}\n    script: no-op\n"));
    }
    project.config(config);
    let no_op = floor::no_op(&project.root());
    fs::rename(no_op, project.root().join(".knockon/no-op")).expect("both are in the project");
    project.trust();
    let prepared = Prepared { project, command };
    // What was changed a moment ago is looked at twice.
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..3 {
        let mut command = prepared.project.program(binary.to_str().expect("a plain path"), &[]);
        let status = command.args(prepared.command).arg("--strict").output().expect("it was built").status;
        assert!(status.success(), "{:?} fails: {status}", prepared.command);
    }
    prepared
}

fn cost(binary: &Path, command: &'static [&'static str], hooks: usize, matching: usize) -> Cost {
    let prepared = prepare(binary, command, hooks, matching);
    let root = prepared.project.root();
    let counts = root.join("callgrind.out");
    let output = format!("--callgrind-out-file={}", counts.display());
    let valgrind = ["-q", "--tool=callgrind", "--dump-line=no", &output];
    let mut counted = prepared.emit("valgrind", &valgrind, binary);
    // valgrind does not survive a process that shares its memory with another one, as those do that start hooks on
    // Linux; what is counted without them is all but the start itself.
    counted.env("KNOCKON_PLATFORM", "portable");
    let ran = counted.output().expect("scripts/budget installs valgrind");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let (instructions, functions) = callgrind::read(&fs::read_to_string(&counts).expect("valgrind wrote it"));
    let calls = root.join("strace.out");
    let strace = ["-qq", "-o", calls.to_str().expect("a plain path")];
    let ran = prepared.emit("strace", &strace, binary).output().expect("scripts/budget installs strace");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let system_calls = fs::read_to_string(&calls).expect("strace wrote it").lines().count() as u64;
    // The least of some: the kernel maps what lies around a page when that is at hand.
    let faults = || floor::page_faults(&mut prepared.emit("env", &[], binary));
    let page_faults = (0..10).map(|_| faults()).min().unwrap_or(0);
    Cost { instructions, system_calls, page_faults, functions }
}
