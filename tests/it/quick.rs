//! What a quick start leaves out, and must not be missed: descriptors that are closed, a script that changes on the way,
//! files that others left behind.

use crate::support::{TestProject, wait_until};
use std::fs;
use std::process::Command;

#[test]
fn closed_standard_descriptors_are_nobodys_files() {
    let project = TestProject::trusted("- {name: one, events: [{type: '*'}], command: echo out; echo err >&2}\n");
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let line = format!("exec {} emit spec.created --verbose {closed}", env!("CARGO_BIN_EXE_knockon"));
        let output = project.program("/bin/sh", &["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{closed}: {output:?}");
    }
    // Whatever was printed went nowhere, and not into the log that was opened next.
    let log = project.read(".knockon/audit.log");
    assert_eq!(log.lines().count(), 4 * 3);
    assert!(log.lines().all(|line| line.starts_with("{\"seq\":") && line.ends_with('}')), "{log}");
    project.ok(&["audit", "verify"]);
}

#[test]
fn a_reader_who_is_gone_ends_no_hook() {
    let project = TestProject::trusted("- {name: one, events: [{type: '*'}], command: touch ran}\n");
    let line = format!("{} emit spec.created | true", env!("CARGO_BIN_EXE_knockon"));
    assert!(project.program("/bin/sh", &["-c", &line]).status().unwrap().success());
    wait_until("the hook", || project.exists("ran"));
}

#[test]
fn arguments_that_are_no_text_are_refused_and_not_lost() {
    let project = TestProject::trusted("- {name: one, events: [{type: '*'}], command: touch ran}\n");
    let line = format!("exec {} emit spec.created --message $(printf 'a\\377b')", env!("CARGO_BIN_EXE_knockon"));
    let output = project.program("/bin/bash", &["-c", &line]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("UTF-8"), "{output:?}");
}

#[test]
fn a_script_that_an_earlier_hook_changed_does_not_run_however_old_it_is() {
    for change in [
        "echo 'touch evil' >> .knockon/second.sh",
        "sed -i s/ran/evil/ .knockon/second.sh",
        "mv evil.sh .knockon/second.sh",
    ] {
        let project = TestProject::new();
        project.hooks(
            "- {name: first, events: [{type: '*'}], script: first.sh}\n\
             - {name: second, events: [{type: '*'}], script: second.sh}\n",
        );
        project.script("first.sh", &format!("#!/bin/sh\n{change}\n"));
        project.script("second.sh", "#!/bin/sh\ntouch ran\n");
        let evil = project.file("evil.sh", "#!/bin/sh\ntouch evil\n");
        fs::set_permissions(evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        project.trust();
        // Long enough for the time of its last change to tell that it was not changed.
        std::thread::sleep(std::time::Duration::from_millis(250));
        let ran = project.run(&["emit", "spec.created", "--strict"]);
        assert_eq!(ran.code, 3, "{change}: {ran:?}");
        assert!(ran.stderr.contains("second.sh"), "{ran:?}");
        assert!(!project.exists("ran") && !project.exists("evil"), "{change}");
    }
}

#[test]
fn answers_that_a_killed_process_left_behind_are_removed_after_a_day() {
    let project = TestProject::trusted("- {name: one, events: [{type: '*'}], command: 'echo {} > $HOOK_RESPONSE'}\n");
    project.ok(&["emit", "spec.created"]);
    let folder = project.home().join(".local/state/knockon/scratch");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "tidied up");
    for (name, age) in [("old.answer", "2 days ago"), ("new.answer", "1 hour ago")] {
        let touched = Command::new("touch").args(["-d", age]).arg(folder.join(name)).status().unwrap();
        assert!(touched.success());
    }
    project.ok(&["emit", "spec.created"]);
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["new.answer"]);
}

#[test]
fn an_answer_by_file_needs_no_folder_of_the_users_own() {
    let hook = "- {name: one, events: [{type: '*'}], fail_mode: stop, command: 'echo \"{\\\"decision\\\": \\\"deny\\\"}\" > $HOOK_RESPONSE'}\n";
    let project = TestProject::trusted(hook);
    let hash = project.ok(&["trust", "--print-hash"]).stdout;
    for state in ["/proc", "/dev/null/none"] {
        let mut command = project.command(&["emit", "spec.created", "--trust-hash", hash.trim()]);
        let output = command.env("XDG_STATE_HOME", state).env("TMPDIR", project.root()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{state}: {output:?}");
    }
    let left: Vec<_> = fs::read_dir(project.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("knockon-")), "tidied up: {left:?}");
}
