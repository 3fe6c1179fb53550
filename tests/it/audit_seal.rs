//! What was changed in a log is found: by its chain, by its seal, and by a line that was kept elsewhere.

use crate::support::{Ran, TestProject};
use knockon::audit::AuditLog;
use knockon::{Emitter, EmitterOptions, Project, UserFolders, drafts};
use std::fs;
use std::path::{Path, PathBuf};

fn project(records: usize) -> TestProject {
    let project = TestProject::new();
    project.config("version: '1.0'\nhooks: []\n");
    for _ in 0..records {
        project.ok(&["emit", "task.completed", "--quiet"]);
    }
    project
}

fn log(project: &TestProject) -> PathBuf {
    project.hooks_folder().join("audit.log")
}

fn edit(project: &TestProject, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(log(project)).unwrap();
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    change(&mut lines);
    fs::write(log(project), lines.concat()).unwrap();
}

fn verify(project: &TestProject) -> Ran {
    project.run(&["audit", "verify"])
}

#[track_caller]
fn found(project: &TestProject, what: &str) {
    let ran = verify(project);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains(what), "{what}: {ran:?}");
}

#[test]
fn the_first_bad_record_is_named() {
    let project = project(5);
    let ran = verify(&project);
    assert!(ran.code == 0 && ran.stdout.starts_with("valid: 5 records (1 to 5) in /"), "{ran:?}");
    assert!(ran.stdout.contains("sealed up to 5 at 20") && ran.stderr.is_empty(), "{ran:?}");
    let id = project.audit()[2]["event_id"].as_str().unwrap().to_owned();
    edit(&project, |lines| lines[2] = lines[2].replace("task.completed", "task.archived"));
    found(
        &project,
        &format!("audit.log:3: record 3 says that you wrote it, and was changed, or made by someone else ({id})"),
    );
    let document = project.run(&["audit", "verify", "--json"]).stdout;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["valid"], &document["faults"][0]["line"]), (&false.into(), &3.into()));
    assert_eq!(document["faults"][0]["event_id"], id);
}

#[test]
fn what_was_taken_out_put_in_moved_or_broken_is_told_apart() {
    type Change = fn(&mut Vec<String>);
    let cases: [(Change, &str); 7] = [
        (|lines| drop(lines.remove(2)), ":3: record 4 stands where 3 should be: what was between is missing"),
        (
            |lines| lines.insert(3, lines[1].clone()),
            ":4: record 2 stands where 4 should be: it was moved, doubled or put in",
        ),
        (|lines| lines.swap(1, 2), ":2: record 3 stands where 2 should be"),
        (|lines| lines.insert(1, "\n".into()), ":2: this line is no record"),
        (
            |lines| lines[4] = lines[4].replace("emitted", "omitted"),
            "record 5 is not the one that knockon sealed at 20",
        ),
        (|lines| lines.truncate(3), "the records after 3 are missing: knockon sealed record 5 at 20"),
        (|lines| drop(lines.drain(..2)), "the records from 1 to 2 are missing"),
    ];
    for (change, what) in cases {
        let project = project(5);
        edit(&project, change);
        found(&project, what);
    }
}

#[test]
fn what_is_written_afterwards_covers_nothing() {
    for cut in [0, 3] {
        let project = project(5);
        edit(&project, |lines| lines.truncate(cut));
        for _ in 0..8 {
            project.ok(&["emit", "task.completed", "--quiet"]);
        }
        found(&project, "was no longer there when the next one was sealed: the log was cut, emptied or changed");
        let ran = project.run(&["doctor"]);
        assert!(ran.code == 1 && ran.stdout.contains("✗ chain: record 5, that knockon sealed"), "{ran:?}");
        let accepted = project.ok(&["audit", "seal", "--accept"]);
        assert!(accepted.stdout.starts_with("accepted: record 5, that knockon sealed"), "{accepted:?}");
        assert_eq!(verify(&project).code, 0);
        project.ok(&["emit", "task.completed", "--quiet"]);
        assert_eq!(verify(&project).code, 0);
    }
}

#[test]
fn a_log_that_is_gone_as_a_whole_is_a_reset_and_is_noted() {
    let project = project(4);
    let line = project.ok(&["audit", "seal", "--print"]).stdout.trim().to_owned();
    let noted = |records: &str| {
        let ran = verify(&project);
        assert!(ran.code == 0 && ran.stdout.contains(records), "{ran:?}");
        let note = "the log was reset: all of its files were removed, as `git clean` does, with the records up to 4, sealed at 20";
        assert_eq!(ran.stderr.matches(note).count(), 1, "{ran:?}");
        let doctor = project.run(&["doctor"]);
        assert!(doctor.stdout.contains(note) && !doctor.stdout.contains("all is well"), "{doctor:?}");
        let kept = project.run(&["audit", "verify", "--seal", &line]);
        assert_eq!(kept.code, 1, "a line kept elsewhere shows it: {kept:?}");
    };
    fs::remove_file(log(&project)).unwrap();
    noted("0 records");
    project.ok(&["emit", "task.completed", "--quiet"]);
    noted("1 record");
    project.ok(&["emit", "task.completed", "--quiet"]);
    noted("2 records (1 to 2)");
    project.ok(&["audit", "seal", "--accept"]);
    assert!(verify(&project).stderr.is_empty());
}

#[test]
fn a_reset_makes_no_cut_undone() {
    let project = project(5);
    edit(&project, |lines| lines.truncate(2));
    project.ok(&["emit", "task.completed", "--quiet"]);
    fs::remove_file(log(&project)).unwrap();
    found(&project, "knockon sealed record 5 at 20");
    project.ok(&["emit", "task.completed", "--quiet"]);
    found(&project, "record 5, that knockon sealed at 20");
}

#[test]
fn a_line_kept_elsewhere_proves_what_the_seal_no_longer_can() {
    let project = project(4);
    let line = project.ok(&["audit", "seal", "--print"]).stdout.trim().to_owned();
    assert!(line.starts_with("knockon-seal-1 seq=4 blake3="), "{line}");
    project.ok(&["emit", "task.completed", "--quiet"]);
    project.ok(&["audit", "verify", "--seal", &line]);
    // Whoever has the user's rights can write all of it anew, the seal too.
    edit(&project, |lines| lines.truncate(2));
    fs::remove_dir_all(project.home().join(".local/state/knockon/seals")).unwrap();
    let ran = verify(&project);
    assert!(ran.code == 0 && ran.stderr.contains("nothing is sealed"), "{ran:?}");
    let ran = project.run(&["audit", "verify", "--seal", &line]);
    assert!(ran.code == 1 && ran.stdout.contains("the line you gave sealed record 4"), "{ran:?}");
    let ran = project.run(&["audit", "verify", "--seal", "knockon-seal-1 seq=x"]);
    assert!(ran.code == 2 && ran.stderr.contains("this is no line of `audit seal --print`"), "{ran:?}");
    let ran = project.run(&["audit", "seal"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn a_seal_that_was_damaged_is_told_and_begun_anew() {
    let project = project(3);
    let folder = project.home().join(".local/state/knockon/seals");
    let seal = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&seal).unwrap();
    fs::write(&seal, text.replace("\"seq\":3", "\"seq\":2")).unwrap();
    found(&project, "cannot be used: it is damaged");
    project.ok(&["emit", "task.completed", "--quiet"]);
    let ran = verify(&project);
    assert!(ran.code == 0 && ran.stderr.contains("the seal was damaged, and begun anew at"), "{ran:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "what was there is kept");
}

/// The log and the seal of a small project, made in this process.
struct Small {
    folder: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        fs::create_dir_all(root.join(".knockon")).unwrap();
        let settings = folder.path().join("config/knockon");
        fs::create_dir_all(&settings).unwrap();
        fs::write(settings.join("settings.yaml"), "version: '1.0'\naudit: {max_size: 10kB, keep: 9}\n").unwrap();
        let mut small = Small { folder, files: Vec::new() };
        // A long line in the first file, and few in the second.
        let emitter = small.emitter();
        let mut draft = drafts::task_completed("t");
        for number in 0..90 {
            draft = draft.context(format!("filling_{number}"), "x".repeat(100));
        }
        emitter.emit(draft);
        for _ in 0..3 {
            emitter.emit(drafts::task_completed("t"));
        }
        drop(emitter);
        let mut names: Vec<PathBuf> =
            fs::read_dir(root.join(".knockon")).unwrap().flatten().map(|e| e.path()).collect();
        names.sort();
        assert_eq!(names.len(), 2, "{names:?}");
        small.files = names.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        small
    }

    fn project(&self) -> Project {
        Project::at(&self.folder.path().join("project")).unwrap()
    }

    fn user(&self) -> UserFolders {
        let folder = |name: &str| Some(self.folder.path().join(name).join("knockon"));
        UserFolders {
            home: None,
            config: folder("config"),
            state: folder("state"),
            cache: None,
            ..UserFolders::default()
        }
    }

    fn emitter(&self) -> Emitter {
        Emitter::open(self.project(), &self.user(), EmitterOptions::default())
    }

    fn is_valid(&self) -> bool {
        AuditLog::of(&self.project(), &self.user()).verify(&[]).is_ok_and(|found| found.faults.is_empty())
    }

    /// Whether a change is found; what was there is put back.
    fn finds(&self, file: usize, bytes: &[u8]) -> bool {
        let (path, original) = &self.files[file];
        fs::write(path, bytes).unwrap();
        let found = !self.is_valid();
        fs::write(path, original).unwrap();
        found
    }

    fn lines(&self, file: usize) -> Vec<Vec<u8>> {
        self.files[file].1.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }
}

/// Numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[test]
fn every_edit_deletion_swap_insertion_and_truncation_before_the_seal_is_found() {
    let small = Small::new();
    assert!(small.is_valid());
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut tried = 0;
    let mut hold = |found: bool, what: &dyn Fn() -> String| {
        tried += 1;
        assert!(found, "{}", what());
    };
    for file in 0..small.files.len() {
        let bytes = small.files[file].1.clone();
        // Every byte of the short file, and some of the long one: another byte, none, one more.
        let step = if bytes.len() > 5_000 { 37 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            let mut edited = bytes.clone();
            edited[at] ^= 1 << random.below(8);
            hold(small.finds(file, &edited), &|| format!("a bit of byte {at} of file {file}"));
            let mut shorter = bytes.clone();
            shorter.remove(at);
            hold(small.finds(file, &shorter), &|| format!("byte {at} of file {file} removed"));
            let mut longer = bytes.clone();
            longer.insert(at, *b" \n0}x".get(random.below(5)).unwrap());
            hold(small.finds(file, &longer), &|| format!("a byte put in at {at} of file {file}"));
            hold(small.finds(file, &bytes[..at]), &|| format!("file {file} cut to {at} bytes"));
        }
        let lines = small.lines(file);
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            hold(small.finds(file, &without.concat()), &|| format!("line {at} of file {file} removed"));
            for other in 0..lines.len() {
                let mut doubled = lines.clone();
                doubled.insert(other, lines[at].clone());
                hold(small.finds(file, &doubled.concat()), &|| format!("line {at} put in at {other}"));
                if other > at {
                    let mut swapped = lines.clone();
                    swapped.swap(at, other);
                    hold(small.finds(file, &swapped.concat()), &|| format!("lines {at} and {other} swapped"));
                }
            }
        }
    }
    // Whole files: exchanged, or gone.
    let [(first, first_bytes), (second, second_bytes)] = &small.files[..] else { panic!("two files") };
    for (path, other) in [(first, second_bytes), (second, first_bytes)] {
        let file = small.files.iter().position(|(known, _)| known == path).unwrap();
        hold(small.finds(file, other), &|| format!("{} has the other's records", path.display()));
        remove_and_restore(path, || hold(!small.is_valid(), &|| format!("{} is gone", path.display())));
    }
    assert!(small.is_valid(), "all is as it was");
    assert!(tried > 6_000, "{tried}");
}

fn remove_and_restore(path: &Path, meanwhile: impl FnOnce()) {
    let aside = path.with_extension("aside");
    fs::rename(path, &aside).unwrap();
    meanwhile();
    fs::rename(&aside, path).unwrap();
}
