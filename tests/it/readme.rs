//! The first ten minutes of the README, command by command as it stands there, in a fresh clone with umask 002.

use crate::support::TestProject;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

const README: &str = include_str!("../../README.md");

/// The text of the README's block that has this line.
fn block(line: &str) -> &'static str {
    let blocks = README.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1);
    { blocks }.find(|block| block.lines().any(|of| of.starts_with(line))).unwrap_or_else(|| panic!("{line}"))
}

/// The commands of a block, without prompts and remarks.
fn commands(line: &str) -> Vec<&'static str> {
    let lines = block(line).lines().map(|line| line.strip_prefix("$ ").unwrap_or(line));
    lines.map(|line| line.split("  #").next().unwrap().trim_end()).filter(|line| line.starts_with("knockon ")).collect()
}

/// A fresh clone, and a shell in it that has `knockon` on its path.
struct Clone {
    project: TestProject,
    folder: PathBuf,
}

impl Clone {
    fn new() -> Self {
        let project = TestProject::bare();
        let bin = project.home().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_knockon"), bin.join("knockon")).unwrap();
        let folder = project.root().join("clone");
        let clone = Clone { project, folder };
        let identity = "-c user.name=a -c user.email=a@b.c";
        clone.shell_in(
            clone.project.root(),
            &format!("git init -q -b main origin && cd origin && git {identity} commit -q --allow-empty -m one && cd .. && git clone -q origin clone"),
            0,
        );
        clone
    }

    fn shell_in(&self, folder: PathBuf, line: &str, code: i32) -> String {
        let path = format!("{}:{}", self.project.home().join("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = self.project.program("/bin/sh", &["-c", &format!("umask 002; {line}")]);
        let output = shell.current_dir(folder).env("PATH", path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        text
    }

    fn shell(&self, line: &str) -> String {
        self.shell_in(self.folder.clone(), line, 0)
    }
}

#[test]
fn the_first_ten_minutes_do_what_the_readme_says() {
    let clone = Clone::new();
    let [init, test] = commands("knockon init")[..] else { panic!("the README has other commands now") };
    assert!(clone.shell(init).contains("hooks.yaml"));
    assert!(clone.shell(test).contains("show-event received task.completed"));

    // "Switch a hook on".
    let hooks = clone.folder.join(".knockon/hooks.yaml");
    let text = fs::read_to_string(&hooks).unwrap();
    fs::write(&hooks, text.replacen("enabled: false", "enabled: true", 1)).unwrap();
    let [trust, emit, audit, doctor] = commands("knockon trust")[..] else { panic!("the README has other commands") };
    // "shows what would run, asks": nobody can be asked here.
    let review = clone.shell_in(clone.folder.clone(), trust, 2);
    assert!(review.contains("1 hook enabled") && review.contains("there is no terminal to ask on"), "{review}");
    clone.shell("knockon trust --hash \"$(knockon trust --print-hash)\"");
    let ran = clone.shell(emit);
    assert!(ran.contains("✓ show-event"), "{ran}");
    assert!(clone.shell(audit).contains("show-event"));
    let state = clone.shell(doctor);
    assert!(!state.contains('✗'), "{state}");
    let pipe = block("echo '{").lines().next().unwrap();
    assert!(clone.shell(pipe).contains("deploy.completed"));
    // Nothing of ours is in the way of git.
    assert!(!clone.shell("git status --porcelain --untracked-files=all").contains("audit.log"));
}

#[test]
fn the_file_of_the_readme_is_explained_as_it_says() {
    let clone = Clone::new();
    clone.shell("mkdir .knockon && printf '#!/bin/sh\\n' > .knockon/run-tests.sh && chmod +x .knockon/run-tests.sh");
    fs::write(clone.folder.join(".knockon/hooks.yaml"), block("version: \"1.0\"")).unwrap();
    clone.shell("knockon validate");
    clone.shell("knockon trust --hash \"$(knockon trust --print-hash)\"");
    let console = block("$ knockon explain task.completed --context");
    let (command, rest) = console.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
    let shown = rest.split("$ ").next().unwrap();
    assert_eq!(clone.shell(command), shown);
    let ran = clone.shell(
        "knockon emit task.completed --strict --context status_to=Done --context priority=high --context 'labels:=[\"backend\"]'",
    );
    assert!(ran.contains("✓ note-important-work"), "{ran}");
    assert_eq!(fs::read_to_string(clone.folder.join("notes.txt")).unwrap(), "task.completed\n");
    let event = ran.split_whitespace().find(|word| word.starts_with("evt_")).unwrap();
    for command in commands("$ knockon explain task.completed --context").into_iter().skip(1) {
        let command = command.replace("evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", event);
        clone.shell(&command);
    }
    assert!(fs::read_to_string(clone.folder.join("hooks.svg")).unwrap().contains("<svg"));
}
