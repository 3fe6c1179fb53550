//! The configuration that was understood before: used when nothing changed, harmless in every other case.

use crate::support::TestProject;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const HOOKS: &str = "version: '1.1'\ninclude: [team.yaml]\ndefaults: {shell: /bin/sh}\nhooks:\n\
    - {name: own, events: [{type: 'spec.*', filter: {n: {numeric: ['>', 1]}}}], command: 'echo own >> ran'}\n\
    - {name: script, events: [{type: '*'}], script: s.sh}\n\
    - {name: other, events: [{type: task.completed, filter: {task_id: t-1}}], command: 'echo other >> ran'}\n";
const TEAM: &str =
    "version: '1.1'\nhooks:\n- {name: team, events: [{type: spec.created}], command: 'echo team >> ran'}\n";

fn project() -> TestProject {
    let project = TestProject::new();
    project.config(HOOKS);
    project.file(".knockon/team.yaml", TEAM);
    project.script("s.sh", "#!/bin/sh\necho script >> ran\n");
    project.trust();
    let _ = fs::remove_dir_all(folder(&project));
    project
}

fn folder(project: &TestProject) -> PathBuf {
    project.home().join(".cache/knockon")
}

/// The one file of the cache; nothing without one.
fn kept(project: &TestProject) -> Option<PathBuf> {
    let files: Vec<PathBuf> = fs::read_dir(folder(project)).ok()?.map(|file| file.unwrap().path()).collect();
    assert!(files.len() <= 1, "{files:?}");
    files.into_iter().next()
}

/// Emits, and says which hooks ran, in order.
fn ran(project: &TestProject) -> String {
    let _ = fs::remove_file(project.root().join("ran"));
    let document = project.json(&["emit", "spec.created", "--context", "n:=2", "--json"]);
    let names = document["results"].as_array().unwrap().iter();
    let names = names.filter(|hook| hook["status"] != "disabled").map(|hook| hook["hook"].as_str().unwrap());
    let names = names.collect::<Vec<_>>().join(" ");
    let wrote = if project.exists("ran") { project.read("ran").replace('\n', " ") } else { String::new() };
    assert_eq!(wrote.trim_end(), names, "{document}");
    names
}

#[test]
fn a_configuration_is_understood_once_and_used_until_it_changes() {
    let project = project();
    assert_eq!((kept(&project), ran(&project).as_str()), (None, "team own script"));
    let file = kept(&project).unwrap();
    let modes = [&folder(&project), &file].map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o600]);
    let bytes = fs::read(&file).unwrap();
    let modified = || fs::metadata(&file).unwrap().modified().unwrap();
    let before = modified();
    assert_eq!(ran(&project), "team own script");
    assert_eq!((fs::read(&file).unwrap() == bytes, modified()), (true, before), "it was not written again");
    let document = project.json(&["emit", "task.completed", "--task-id", "t-1", "--json"]);
    assert_eq!(document["hooks_executed"], 2, "{document}");
    assert_eq!(project.json(&["list", "--json"])["hooks"].as_array().unwrap().len(), 4, "whoever wants all gets all");

    // Whatever changes is noticed: a file beside it that appears, what it includes, the file itself.
    project.file(".knockon/hooks.local.yaml", "version: '1.1'\nhooks:\n- {name: own, enabled: false}\n");
    project.trust();
    assert_eq!(ran(&project), "team script");
    assert_eq!(ran(&project), "team script");
    fs::remove_file(project.hooks_folder().join("hooks.local.yaml")).unwrap();
    project.file(".knockon/team.yaml", TEAM.replace("spec.created", "spec.updated"));
    project.trust();
    assert_eq!(ran(&project), "own script");
    project.config(HOOKS.replace("name: own", "name: changed").replace("echo own", "echo changed"));
    project.trust();
    assert_eq!(ran(&project), "changed script");
    // And still nothing runs that was not trusted.
    project.script("s.sh", "#!/bin/sh\ntouch evil\n");
    let ran = project.run(&["emit", "spec.created", "--strict"]);
    assert!(ran.code == 3 && ran.stderr.contains("changed since it was trusted: s.sh"), "{ran:?}");
    assert!(!project.exists("evil"));
}

#[test]
fn a_file_of_the_cache_that_is_broken_counts_as_none() {
    let project = project();
    ran(&project);
    let file = kept(&project).unwrap();
    let whole = fs::read(&file).unwrap();
    let cuts = (0..whole.len()).step_by(whole.len() / 12).chain([1, 51, 52, whole.len() - 1]);
    for cut in cuts {
        fs::write(&file, &whole[..cut]).unwrap();
        assert_eq!(ran(&project), "team own script", "cut to {cut} of {} bytes", whole.len());
        fs::write(&file, &whole).unwrap();
    }
    // One bit anywhere, and what somebody put there who knows the format: the hooks of the files run.
    for at in (0..whole.len()).step_by(whole.len() / 24) {
        let mut broken = whole.clone();
        broken[at] ^= 4;
        fs::write(&file, &broken).unwrap();
        assert_eq!(ran(&project), "team own script", "bit 2 of byte {at}");
        fs::write(&file, &whole).unwrap();
    }
    let planted = String::from_utf8_lossy(&whole).contains("echo own").then(|| {
        let at = whole.windows(8).position(|window| window == b"echo own").unwrap();
        [&whole[..at], b"echo bad", &whole[at + 8..]].concat()
    });
    fs::write(&file, planted.unwrap()).unwrap();
    assert_eq!(ran(&project), "team own script");
    fs::remove_file(project.home().join(".local/state/knockon/secret.key")).unwrap();
    assert_eq!(ran(&project), "team own script");
    let whole = fs::read(&file).unwrap();
    let other = fs::read(&file).unwrap().iter().map(|byte| !byte).collect::<Vec<u8>>();
    fs::write(&file, other).unwrap();
    assert_eq!(ran(&project), "team own script");
    assert_eq!(fs::read(&file).unwrap(), whole, "it was made anew");
}

#[test]
fn a_folder_that_others_can_use_is_not_used() {
    let project = project();
    ran(&project);
    let file = kept(&project).unwrap();
    fs::write(&file, b"not looked at").unwrap();
    fs::set_permissions(folder(&project), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran(&project), "team own script");
    assert_eq!(fs::read(&file).unwrap(), b"not looked at", "and nothing is put there");
    fs::remove_dir_all(folder(&project)).unwrap();
    fs::write(folder(&project), b"a file").unwrap();
    assert_eq!(ran(&project), "team own script");
}

#[test]
fn what_has_an_error_is_not_kept() {
    let project = project();
    project.config(format!("{HOOKS}- {{name: own}}\n"));
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stderr.contains("hooks.yaml:8:3"), "{ran:?}");
    assert_eq!(kept(&project), None);
}

#[test]
fn many_processes_at_once_leave_one_whole_file() {
    let project = project();
    let commands: Vec<_> = (0..12).map(|_| project.command(&["emit", "spec.created", "--json"])).collect();
    let children: Vec<_> =
        commands.into_iter().map(|mut command| command.stdout(std::process::Stdio::piped()).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["results"][1]["hook"], "script", "{document}");
    }
    assert!(kept(&project).is_some());
    assert_eq!(ran(&project), "team own script");
}
