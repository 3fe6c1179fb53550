//! A feature folder of any content: reading it ends, a command changes what it says it changes and no other line, and
//! what cannot be changed stays byte for byte.
//!
//! The input is the file of a work package, a NUL, tasks.md, a NUL, status.events.jsonl, a NUL, meta.json; the last ones
//! may be missing. The length of the input chooses the lane.

#![no_main]

use knockon::source::kitty::{Asked, Feature, Forgetful, Lane, Plan, Planner, Session, scan};
use knockon::time::Timestamp;
use knockon::work_package::EntryType;
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// In memory where there is such a place: every change is synced.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let outer = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = outer.join(format!("knockon-fuzz-{}", std::process::id())).join("001-a");
    fs::create_dir_all(folder.join("tasks")).expect("a folder to work in");
    folder
});
const FILES: [&str; 4] = ["tasks/WP01.md", "tasks.md", "status.events.jsonl", "meta.json"];

fn read(name: &str) -> String {
    fs::read_to_string(FOLDER.join(name)).unwrap_or_default()
}

/// Carries out what `make` plans; whether nothing went wrong.
fn carry_out(make: impl FnOnce(&mut Planner<'_>) -> bool) -> Option<Plan> {
    let mut memory = Forgetful::default();
    let session = Session::open(&FOLDER, None, &mut memory).expect("it can be read");
    let mut planner = session.planner(Timestamp::now(), None);
    if !make(&mut planner) {
        return None;
    }
    let plan = planner.finish();
    let (done, outstanding) = session.carry_out(&plan, &mut |draft| draft).expect("it can be read");
    let fine = done.errors.is_empty();
    assert!(!fine || done.untold == 0, "{done:?}");
    outstanding.emit(&mut |_| ControlFlow::Continue(())).expect("it is kept");
    fine.then_some(plan)
}

/// How many lines of `old` are not in `new`.
fn missing(old: &str, new: &str) -> usize {
    let mut lines: HashMap<&str, isize> = HashMap::new();
    old.lines().for_each(|line| *lines.entry(line).or_default() += 1);
    new.lines().for_each(|line| *lines.entry(line).or_default() -= 1);
    lines.values().filter(|&&more| more > 0).count()
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = std::str::from_utf8(bytes) else { return };
    let parts: Vec<&str> = input.splitn(FILES.len(), '\0').collect();
    for (at, name) in FILES.iter().enumerate() {
        match parts.get(at) {
            Some(text) => fs::write(FOLDER.join(name), text).expect("a file"),
            None => drop(fs::remove_file(FOLDER.join(name))),
        }
    }
    let feature = Feature::read(&FOLDER).expect("what is odd is told, and no more");
    let before = FILES.map(read);
    carry_out(|planner| {
        // A scan writes nothing.
        planner.finalize();
        false
    });
    let mut memory = Forgetful::default();
    let session = Session::open(&FOLDER, None, &mut memory).expect("it can be read");
    drop(scan(session.planner(Timestamp::now(), None)));
    drop(session);
    assert_eq!(FILES.map(read), before);

    let to = Lane::ALL[bytes.len() % 4];
    let asked = Asked { agent: Some("a \"b\" # c: d".into()), assignee: None, note: None };
    let plan = carry_out(|planner| planner.move_to("WP01", to, &asked).is_ok());
    let after = FILES.map(read);
    match plan {
        Some(plan) => {
            let now = Feature::read(&FOLDER).expect("it can be read");
            assert_eq!(now.packages["WP01"].lane, to);
            assert!(plan.events().iter().any(|event| event.kind() == "wp.status_changed") || after == before);
            // The lane, the agent, and the head of a history that was empty.
            assert!(missing(&before[0], &after[0]) <= 3, "{}\n---\n{}", before[0], after[0]);
            assert!(after[2].starts_with(&before[2]));
        }
        // What cannot be edited is refused before the log is written.
        None => assert_eq!(after, before),
    }
    assert_eq!(after[1], before[1]);
    let _ = carry_out(|planner| planner.add_history("WP01", EntryType::Note, "a \"note\":\n- x", &asked).is_ok());
    let noted = FILES.map(read);
    assert!(missing(&after[0], &noted[0]) <= 1 && noted[1..] == after[1..]);
    if carry_out(|planner| planner.mark_subtasks(&["T001".into()], true, &asked).is_ok()).is_some() {
        let ticked = read(FILES[1]);
        let differ = ticked.bytes().zip(noted[1].bytes()).filter(|(new, old)| new != old);
        assert!(ticked.len() == noted[1].len() && differ.count() <= 1);
        assert!(carry_out(|planner| planner.mark_subtasks(&["T001".into()], false, &asked).is_ok()).is_some());
    }
    let _ = feature;
});
