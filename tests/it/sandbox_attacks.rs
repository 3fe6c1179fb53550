//! Attacks on the sandbox, each tried in `guard` and in `strict`, by root and by a plain user.

use crate::support::TestProject;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const ATTACKS: &str = include_str!("../fixtures/sandbox_attacks.py");
/// A user id that no account has.
const PLAIN: u32 = 61_235;

/// What gets through, and is meant to: a process may change itself.
const MEANT: [&str; 2] = ["own affinity", "own priority"];

/// Runs all attacks in a hook of `sandbox`; each with whether it got through.
fn attacked(sandbox: &str, as_user: Option<u32>, own_file: bool) -> BTreeMap<String, bool> {
    let project = TestProject::new();
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("knockon-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    // As gpg-agent, ssh-agent, Docker and systemd have them.
    let session = project.home().join(".gnupg/S.gpg-agent");
    fs::create_dir_all(session.parent().unwrap()).unwrap();
    let _session = UnixListener::bind(&session).unwrap();
    let queue = Command::new("ipcmk").args(["-Q", "-p", "0666"]).output().unwrap();
    let queue = String::from_utf8(queue.stdout).unwrap().split_whitespace().last().unwrap().to_owned();
    let mut target = Command::new("sleep").arg("60").spawn().unwrap();
    // A terminal of the user, as a terminal emulator has it.
    let pseudo = "import os,time\nm,s=os.openpty()\nprint(os.ttyname(s),flush=True)\ntime.sleep(60)";
    let mut emulator = Command::new("python3").args(["-c", pseudo]).stdout(Stdio::piped()).spawn().unwrap();
    let mut terminal = String::new();
    BufReader::new(emulator.stdout.take().unwrap()).read_line(&mut terminal).unwrap();
    let terminal = terminal.trim();
    if let Some(user) = as_user {
        assert!(Command::new("chown").args([&user.to_string(), terminal]).status().unwrap().success());
    }
    let hooks = format!(
        "version: '1.1'\nhooks:\n- name: h\n  events: [{{type: '*'}}]\n  sandbox: {sandbox}\n  output: always\n  \
         script: attacks.py\n  env: {{TARGET: '{}', ABSTRACT: '{name}', QUEUE: '{queue}', SESSION: '{}', TERMINAL: '{terminal}'}}\n",
        target.id(),
        session.display()
    );
    // The user's own hooks are not in the project: what is protected there does not depend on it.
    let folder = if own_file { project.home().join(".config/knockon") } else { project.hooks_folder() };
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("hooks.yaml"), hooks).unwrap();
    crate::support::write(&folder.join("attacks.py"), format!("#!/usr/bin/env python3\n{ATTACKS}"), 0o755);
    for made in [".flowspec/hooks", ".git/hooks", "vendor/lib/.git", "vendor/sub", ".git/modules/sub"] {
        fs::create_dir_all(project.root().join(made)).unwrap();
    }
    fs::create_dir_all(project.hooks_folder()).unwrap();
    fs::write(project.root().join("vendor/lib/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(project.root().join("vendor/sub/.git"), "gitdir: ../../.git/modules/sub\n").unwrap();
    let base = project.root().parent().unwrap().to_owned();
    let binary = base.join("knockon");
    fs::copy(env!("CARGO_BIN_EXE_knockon"), &binary).unwrap();
    let run = |arguments: &[&str]| match as_user {
        None => project.command(arguments).output().unwrap(),
        Some(user) => {
            let id = user.to_string();
            let mut command = project.program("setpriv", &["--reuid", &id, "--regid", &id, "--clear-groups"]);
            command.arg(&binary).args(arguments).output().unwrap()
        }
    };
    if let Some(user) = as_user {
        // With umask 002 the group may write, and this user's group is in no table.
        assert!(Command::new("chmod").args(["-R", "go-w"]).arg(&base).status().unwrap().success());
        let owner = format!("{user}:{user}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(&base).status().unwrap().success());
    }
    if !own_file {
        let hash = String::from_utf8(run(&["trust", "--print-hash"]).stdout).unwrap();
        assert!(run(&["trust", "--hash", hash.trim()]).status.success());
    }
    let output = run(&["emit", "a.b", "--json"]);
    assert!(Command::new("ipcrm").args(["-q", &queue]).status().unwrap().success());
    emulator.kill().unwrap();
    emulator.wait().unwrap();
    target.kill().unwrap();
    target.wait().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(document["results"][0]["status"], "success", "{sandbox} {as_user:?}: {document}");
    let said = document["results"][0]["stdout"].as_str().unwrap();
    said.lines().filter_map(|line| line.rsplit_once(": ")).map(|(what, did)| (what.to_owned(), did == "yes")).collect()
}

/// Whether this machine has what it takes; says what is missing.
fn is_able(sandbox: &str, as_user: Option<u32>) -> bool {
    let is_root = knockon::sys::user_id() == 0;
    if as_user.is_some() && !is_root {
        eprintln!("SKIPPED: only root can start a program as another user");
        return false;
    }
    let project =
        TestProject::trusted(&format!("- {{name: h, events: [{{type: '*'}}], sandbox: {sandbox}, command: 'true'}}\n"));
    let document = project.json(&["emit", "a.b", "--json"]);
    let record = project.audit().pop().unwrap();
    let able = document["results"][0]["status"] == "success" && record["unenforced"] == Value::Null;
    if !able {
        eprintln!("SKIPPED: this machine cannot do all of `{sandbox}`: {record}");
    }
    able
}

#[test]
fn no_attack_gets_through() {
    for sandbox in ["guard", "strict", "{level: guard, network: true}", "{level: strict, network: true}"] {
        for as_user in [None, Some(PLAIN)].into_iter().filter(|as_user| is_able(sandbox, *as_user)) {
            for own_file in [false, true] {
                let tried = attacked(sandbox, as_user, own_file);
                assert!(tried.len() >= 30, "{sandbox}: {tried:?}");
                let mut through: Vec<&str> =
                    tried.iter().filter(|(_, did)| **did).map(|(what, _)| what.as_str()).collect();
                through.retain(|what| !MEANT.contains(what));
                // Root may become another user, which gives it no right that it did not have.
                through.retain(|what| !(*what == "setuid" && sandbox.contains("guard") && as_user.is_none()));
                assert_eq!(through, Vec::<&str>::new(), "{sandbox} as {as_user:?}, own file {own_file}");
                assert!(MEANT.iter().all(|what| tried[*what]), "{sandbox} as {as_user:?}: {tried:?}");
            }
        }
    }
}

/// The attacks are none: without a sandbox most of them work.
#[test]
fn without_a_sandbox_the_attacks_work() {
    if knockon::sys::user_id() != 0 {
        eprintln!("SKIPPED: only root can do all of it");
        return;
    }
    let tried = attacked("base", None, false);
    let wanted = [
        "signal",
        "audit log",
        "repository",
        "nested repository",
        "set-uid file",
        "keyctl",
        "abstract socket",
        "message queue",
        "socket of a session",
        "terminal of the user",
    ];
    assert!(wanted.iter().all(|what| tried[*what]), "{}", json!(tried));
}

/// An older kernel: the answer to the question for its version of Landlock is another one (strace injects it).
#[test]
fn what_an_older_landlock_lacks_is_not_claimed() {
    if !is_able("guard", None) {
        return;
    }
    let traced = Command::new("strace").args(["-e", "trace=none", "true"]).status();
    if !traced.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: strace cannot trace here");
        return;
    }
    for (version, missing) in [("5", json!(["abstract sockets"])), ("0", json!(["files", "abstract sockets"]))] {
        for require in [false, true] {
            let project = TestProject::trusted(&format!(
                "- {{name: h, events: [{{type: '*'}}], sandbox: {{level: guard, require: {require}}}, command: 'true'}}\n"
            ));
            let inject = format!("inject=landlock_create_ruleset:retval={version}:when=1");
            let knockon = env!("CARGO_BIN_EXE_knockon");
            let traced = ["-f", "-o", "/dev/null", "-e", &inject, knockon];
            let doctor = project.program("strace", &[&traced[..], &["doctor"]].concat()).output().unwrap();
            let doctor = String::from_utf8(doctor.stdout).unwrap();
            assert!(
                doctor.contains("cannot keep hooks from everything here") && doctor.contains("abstract sockets"),
                "{doctor}"
            );
            let emit = [&traced[..], &["emit", "a.b", "--json"]].concat();
            let output = project.program("strace", &emit).output().unwrap();
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            let record = project.audit().pop().unwrap();
            if require {
                assert_eq!(document["results"][0]["status"], "error", "{version}: {document}");
                assert!(document["results"][0]["error"].as_str().unwrap().contains("abstract sockets"), "{document}");
            } else {
                assert_eq!(record["unenforced"], missing, "{version}: {record}");
            }
        }
    }
}

/// Signals and survivors do not depend on Landlock: a PID namespace keeps them (strace takes Landlock away).
#[test]
fn no_signal_leaves_guard_where_the_kernel_has_no_landlock() {
    if !is_able("guard", None) {
        return;
    }
    let mut target = Command::new("sleep").arg("60").spawn().unwrap();
    let project = TestProject::trusted(&format!(
        "- {{name: h, events: [{{type: '*'}}], sandbox: guard, output: always, command: [sh, -c, 'kill -0 {}; echo killed $?; \
         setsid sleep 47.11 >/dev/null 2>&1 & echo started']}}\n",
        target.id()
    ));
    let inject = ["-f", "-o", "/dev/null", "-e", "inject=landlock_create_ruleset:error=EOPNOTSUPP"];
    let emit = [&inject[..], &[env!("CARGO_BIN_EXE_knockon"), "emit", "a.b", "--json"]].concat();
    let output = project.program("strace", &emit).output().unwrap();
    target.kill().unwrap();
    target.wait().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(document["results"][0]["stdout"], "killed 1\nstarted\n", "{document}");
    let record = project.audit().pop().unwrap();
    let held: Vec<&str> = record["enforced"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert!(held.contains(&"signals") && held.contains(&"processes") && !held.contains(&"files"), "{record}");
    let left = Command::new("pgrep").args(["-f", "sleep 47.11"]).output().unwrap();
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "");
}

/// A hook that runs beside it puts a link in the place of a folder that another one may write to, between the moment that is
/// looked at and the moment it is mounted (strace makes that long).
#[test]
fn a_link_in_place_of_a_declared_folder_gives_no_right_elsewhere() {
    if !is_able("guard", None) {
        return;
    }
    let project = TestProject::trusted(
        "- {name: h, events: [{type: '*'}], sandbox: {level: guard, write: [a/out]}, command: [sh, -c, 'echo x > a/out/written']}\n",
    );
    let outside = project.root().parent().unwrap().join("outside");
    let (out, kept) = (project.root().join("a"), project.root().join("kept"));
    fs::create_dir_all(outside.join("out")).unwrap();
    fs::create_dir_all(out.join("out")).unwrap();
    let (stop, mut statuses) = (std::sync::atomic::AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&out, &kept).unwrap();
                std::os::unix::fs::symlink(&outside, &out).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(60));
                fs::remove_file(&out).unwrap();
                fs::rename(&kept, &out).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(15));
            }
        });
        for _ in 0..24 {
            let slow = ["-f", "-o", "/dev/null", "-e", "inject=landlock_create_ruleset,unshare:delay_enter=20ms"];
            let emit = [&slow[..], &[env!("CARGO_BIN_EXE_knockon"), "emit", "a.b", "--json"]].concat();
            let output = project.program("strace", &emit).output().unwrap();
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            statuses.push(document["results"][0]["status"].as_str().unwrap().to_owned());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!outside.join("out/written").exists(), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "error"), "the link was met: {statuses:?}");
}
