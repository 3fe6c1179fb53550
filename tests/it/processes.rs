//! Whatever a hook does with its time, its pipes and its children, the caller gets its answer.

use crate::support::{self, HIDING, TestProject, kill, marked, wait_until, with_default_signals};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_hook_that_takes_too_long_is_ended_with_everything_in_its_group() {
    let project = TestProject::trusted(
        "- {name: slow, events: [{type: '*'}], timeout: 1, command: '(while :; do touch beat; sleep 0.02; done) & sleep 60'}\n",
    );
    let started = Instant::now();
    let document = project.json(&["emit", "spec.created", "--json"]);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let hook = &document["results"][0];
    assert_eq!((&hook["status"], &hook["exit_code"]), (&json!("timeout"), &json!(124)));
    assert_eq!(hook["error"], "took longer than its timeout of 1.0 s");
    fs::remove_file(project.root().join("beat")).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(!project.exists("beat"), "a child of the hook still runs");
}

#[test]
fn a_hook_that_ignores_sigterm_is_killed_five_seconds_later() {
    let project = TestProject::trusted(
        "- {name: deaf, events: [{type: '*'}], timeout: 1, command: 'trap \"\" TERM; while :; do sleep 0.1; done'}\n",
    );
    let started = Instant::now();
    let document = project.json(&["emit", "spec.created", "--json"]);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(5900) && took < Duration::from_millis(8000), "{took:?}");
    assert_eq!(document["results"][0]["signal"], 9);
}

#[test]
fn a_hook_may_tidy_up_when_its_time_is_up() {
    let project = TestProject::trusted(
        "- {name: tidy, events: [{type: '*'}], timeout: 1, command: 'trap \"touch tidied; exit 0\" TERM; while :; do sleep 0.05; done'}\n",
    );
    let document = project.json(&["emit", "spec.created", "--json"]);
    assert_eq!(document["results"][0]["status"], "timeout");
    assert!(project.exists("tidied"));
}

#[test]
fn no_pipe_can_hang_the_caller() {
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(2 << 20));
    for (what, command) in [
        ("never reads", "true"),
        ("closes its input", "exec <&-; sleep 0.1"),
        ("writes before it reads", "head -c 300000 /dev/zero; cat >/dev/null; head -c 300000 /dev/zero >&2"),
        ("closes its output", "exec >&- 2>&-; cat > /dev/null"),
        ("reads a little", "head -c 10 >/dev/null"),
    ] {
        let project = TestProject::new();
        project.hooks(&format!("- {{name: h, events: [{{type: '*'}}], timeout: 10, command: '{command}'}}\n"));
        project.trust();
        let path = project.file("event.json", &large);
        let started = Instant::now();
        let arguments = ["run", "--event-type", "spec.created", "--json", "--event-file", path.to_str().unwrap()];
        let document = project.json(&arguments);
        assert_eq!(document["results"][0]["status"], "success", "{what}: {}", document["results"][0]);
        assert!(started.elapsed() < Duration::from_secs(5), "{what}: {:?}", started.elapsed());
    }
}

#[test]
fn a_child_that_keeps_the_output_open_delays_nothing_and_ends() {
    let project = TestProject::trusted(
        "- {name: leaky, events: [{type: '*'}], command: 'sleep 47 & echo $! > pid; echo done'}\n",
    );
    let started = Instant::now();
    let document = project.json(&["emit", "spec.created", "--json"]);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let hook = &document["results"][0];
    assert_eq!((&hook["status"], &hook["leaky"], &hook["stdout"]), (&json!("success"), &json!(true), &json!("done\n")));
    let process = format!("/proc/{}", project.read("pid").trim());
    wait_until("the end of the child", || {
        let stat = fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}

#[test]
fn endless_output_is_bounded_and_counted() {
    let project =
        TestProject::trusted("- {name: flood, events: [{type: '*'}], command: 'yes | head -c 30000000; echo end'}\n");
    let document = project.json(&["emit", "spec.created", "--json"]);
    let hook = &document["results"][0];
    assert_eq!(hook["stdout_bytes"], 30_000_004);
    let kept = hook["stdout"].as_str().unwrap();
    assert!(kept.len() < 140_000 && kept.starts_with("y\ny\n") && kept.ends_with("y\nend\n"), "{}", kept.len());
    assert!(kept.contains("bytes left out"));
    assert_eq!(project.audit().last().unwrap()["stdout_lines"], 15_000_001);
}

#[test]
fn output_of_any_bytes_is_shown_harmlessly() {
    let project = TestProject::trusted(
        "- {name: nasty, events: [{type: '*'}], command: 'printf \"\\033[2J\\377\\rx\\n\"; exit 1'}\n",
    );
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stdout.contains("      ␛[2J\u{fffd}␍x\n"), "{:?}", ran.stdout);
}

#[test]
fn what_cannot_start_says_why_and_what_to_do() {
    let project = TestProject::new();
    let hook = |name: &str, action: &str| format!("- {{name: {name}, events: [{{type: '*'}}], {action}}}\n");
    project.hooks(
        &[
            hook("no-shebang", "script: no-shebang"),
            hook("carriage-return", "script: carriage-return"),
            hook("no-interpreter", "script: no-interpreter"),
            hook("empty", "script: empty"),
            hook("not-executable", "script: not-executable"),
            hook("missing", "script: missing"),
            hook("folder", "script: folder"),
            hook("no-shell", "command: 'true', shell: /no/shell"),
            hook("no-folder", "command: 'true', working_directory: nowhere"),
            hook("python", "script: plain.py"),
        ]
        .concat(),
    );
    project.script("no-shebang", "echo hi\n");
    project.script("carriage-return", "#!/bin/sh\r\necho hi\r\n");
    project.script("no-interpreter", "#!/no/interpreter\n");
    project.script("empty", "");
    crate::support::write(&project.hooks_folder().join("not-executable"), "#!/bin/sh\n", 0o644);
    crate::support::write(&project.hooks_folder().join("plain.py"), "print('by python')\n", 0o644);
    fs::create_dir(project.hooks_folder().join("folder")).unwrap();
    project.trust();
    let document = project.json(&["emit", "spec.created", "--json"]);
    let wanted = [
        ("no-shebang", "does not say what runs it", "#!/bin/sh"),
        ("carriage-return", "CR LF", "sed -i"),
        ("no-interpreter", "/no/interpreter, which is not installed", "install /no/interpreter"),
        ("empty", "is empty", "write the script"),
        ("not-executable", "is not executable", "chmod +x"),
        ("missing", "does not exist", "create "),
        ("folder", "is a folder", "name a file"),
        ("no-shell", "the shell /no/shell cannot be executed", "name another with `shell`"),
        ("no-folder", "the working directory nowhere cannot be used", "working_directory"),
    ];
    let results = document["results"].as_array().unwrap();
    for (hook, (name, error, help)) in results.iter().zip(wanted) {
        assert_eq!((&hook["hook"], &hook["status"]), (&json!(name), &json!("error")), "{hook}");
        assert!(hook["error"].as_str().unwrap().contains(error), "{hook}");
        assert!(hook["help"].as_str().unwrap().contains(help), "{hook}");
    }
    assert_eq!(results[9]["stdout"], "by python\n", "an extension that names its interpreter is enough");
}

#[test]
fn a_hook_inherits_nothing_by_accident() {
    let project = TestProject::trusted(
        "- {name: look, events: [{type: '*'}], command: 'ls /proc/$$/fd | tr \"\\n\" \" \"; grep -E \"^Sig(Blk|Ign)\" /proc/self/status; umask; ps -o sid= -p $$ | tr -d \" \"; echo $$'}\n",
    );
    let script = "trap '' PIPE HUP; umask 0; exec 7</dev/null; exec \"$KNOCKON_BINARY\" emit spec.created --json";
    let output = project.program("/bin/sh", &["-c", script]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let stdout = document["results"][0]["stdout"].as_str().unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("0 1 2 ") && !lines[0].contains('7'), "{stdout}");
    assert!(
        stdout.contains("SigBlk:\t0000000000000000\n") && stdout.contains("SigIgn:\t0000000000000000\n"),
        "{stdout}"
    );
    assert!(stdout.contains("\n0022\n"), "{stdout}");
    assert_eq!(lines[lines.len() - 2], lines[lines.len() - 1], "a session of its own: {stdout}");
}

#[test]
fn an_interrupt_reaches_the_hook_and_the_log() {
    for (signal, code, word) in [("INT", 130, "SIGINT"), ("TERM", 143, "SIGTERM"), ("HUP", 129, "SIGHUP")] {
        let project = TestProject::trusted(
            "- {name: long, events: [{type: '*'}], command: 'trap \"touch told; exit 1\" TERM; touch up; while :; do sleep 0.02; done'}\n\
             - {name: next, events: [{type: '*'}], command: touch next}\n",
        );
        let mut child = with_default_signals(&project, &["emit", "spec.created"]);
        wait_until("the start of the hook", || project.exists("up"));
        kill(signal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
        assert!(project.exists("told") && !project.exists("next"));
        assert_eq!(project.audit_story(), ["emitted", "long started", "long interrupted", "next skipped"]);
        assert!(project.audit()[2]["error"].as_str().unwrap().contains(word));
    }
}

#[test]
fn a_limit_on_file_sizes_costs_the_record_and_not_the_hook() {
    let project = TestProject::trusted(
        "- {name: look, events: [{type: '*'}], command: 'grep SigIgn /proc/self/status; touch ran'}\n",
    );
    let line = "ulimit -f 0; exec \"$KNOCKON_BINARY\" emit spec.created --json";
    let output = project.program("/bin/sh", &["-c", line]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["results"][0]["stdout"], "SigIgn:\t0000000000000000\n", "nothing is ignored in a hook");
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(warned.contains("warning: the audit log") && warned.contains("audit.log: "), "{warned}");
    assert!(project.exists("ran") && project.read(".knockon/audit.log").is_empty());
}

#[test]
fn a_dry_run_can_be_ended_at_any_time() {
    let project = TestProject::new();
    let hook = |n: usize| format!("- {{name: h{n}, events: [{{type: '*'}}], script: s{n}.sh}}\n");
    project.hooks(&(0..4).map(hook).collect::<String>());
    for n in 0..4 {
        project.script(&format!("s{n}.sh"), "");
        let script = fs::File::options().write(true).open(project.hooks_folder().join(format!("s{n}.sh"))).unwrap();
        script.set_len(60 << 20).unwrap();
    }
    let hash = format!("sha256:{}", "0".repeat(64));
    let mut child = with_default_signals(&project, &["emit", "spec.created", "--dry-run", "--trust-hash", &hash]);
    let files = format!("/proc/{}/fd", child.id());
    wait_until("hashing", || {
        let open = fs::read_dir(&files).into_iter().flatten().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        open.into_iter().any(|file| file.starts_with(project.hooks_folder()))
    });
    kill("TERM", &child);
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

#[test]
fn a_dry_run_hashes_each_file_once_however_many_hooks_match() {
    let took = |hooks: usize| {
        let project = TestProject::new();
        let hook = |n: usize| format!("- {{name: h{n}, events: [{{type: '*'}}], script: s.sh}}\n");
        project.hooks(&(0..hooks).map(hook).collect::<String>());
        project.script("s.sh", "");
        fs::File::options().write(true).open(project.hooks_folder().join("s.sh")).unwrap().set_len(8 << 20).unwrap();
        project.trust();
        let started = Instant::now();
        let document = project.json(&["emit", "spec.created", "--dry-run", "--json"]);
        let would_run = document["hooks"].as_array().unwrap().iter().filter(|hook| hook["would_run"] == true);
        assert_eq!(would_run.count(), hooks);
        started.elapsed()
    };
    let (one, many) = (took(1), took(40));
    assert!(many < one * 8, "{many:?} for 40 hooks, {one:?} for one");
}

#[test]
fn when_a_hook_ends_everything_it_started_has_ended() {
    for (end, status) in [("exit 0", "success"), ("while :; do sleep 0.1; done", "timeout")] {
        let project = TestProject::new();
        let mark = format!("MARK=hiding-{}-{status}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        project.hooks(&format!(
            "- {{name: hide, events: [{{type: '*'}}], script: hide.sh, timeout: 500ms, env: {{{name}: {value}}}}}\n"
        ));
        project.script("hide.sh", &format!("{HIDING}sleep 0.1\n{end}\n"));
        project.trust();
        let document = project.json(&["emit", "spec.created", "--json"]);
        assert!(project.exists("up"));
        assert_eq!(document["results"][0]["status"], status, "{document}");
        assert_eq!(marked(&mark), [""; 0], "{status}");
    }
}

#[test]
fn a_killed_knockon_leaves_nothing_behind() {
    for group in [false, true] {
        let project = TestProject::new();
        let mark = format!("MARK=killed-{}-{group}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let hook = |n: usize| {
            format!("- {{name: h{n}, events: [{{type: '*'}}], script: hide.sh, env: {{{name}: {value}}}}}\n")
        };
        project.config(format!("version: '1.1'\nconcurrency: 3\nhooks:\n{}{}{}", hook(1), hook(2), hook(3)));
        project.script("hide.sh", &HIDING.replace("touch up", "echo >> up; while :; do sleep 0.1; done"));
        project.trust();
        let start = "import os\nos.setpgid(0, 0)\nos.execv(os.environ['KNOCKON_BINARY'], ['knockon', 'emit', 'a.b'])";
        let mut child = project.program("python3", &["-c", start]).stdout(Stdio::null()).spawn().unwrap();
        wait_until("the hooks", || project.exists("up") && project.read("up").lines().count() == 3);
        assert!(marked(&mark).len() > 6, "{:?}", marked(&mark));
        let target = if group { format!("-{}", child.id()) } else { child.id().to_string() };
        let line = format!("kill -9 {target}");
        assert!(std::process::Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success());
        child.wait().unwrap();
        let killed = Instant::now();
        wait_until("the end of all", || marked(&mark).is_empty());
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    }
}

#[test]
fn a_hook_that_ends_the_process_that_watches_it_ends_nothing_else() {
    let project = TestProject::trusted(
        "- {name: patricide, events: [{type: '*'}], command: 'kill -9 $PPID; sleep 0.2; touch after'}\n\
         - {name: next, events: [{type: '*'}], command: touch next}\n",
    );
    let document = project.json(&["emit", "a.b", "--json"]);
    // It may be quicker than the word that it was started.
    let status = document["results"][0]["status"].as_str().unwrap();
    assert!(["failed", "error"].contains(&status), "{document}");
    assert_eq!(document["results"][1]["status"], "success", "{document}");
    assert!(project.exists("next"));
}

#[test]
fn a_hook_that_stops_or_starves_what_watches_it_still_ends() {
    for command in [
        "kill -STOP $PPID; sleep 30",
        "prlimit --pid $PPID --nofile=0:0; sleep 30",
        "prlimit --pid $PPID --nofile=0:0; echo done",
    ] {
        let project = TestProject::new();
        project.hooks(&format!(
            "- {{name: hostile, events: [{{type: '*'}}], timeout: 500ms, command: {}}}\n",
            json!(command)
        ));
        project.trust();
        let ends = command.ends_with("done");
        // A quick one meets what watches it while that has only begun.
        for _ in 0..if ends { 30 } else { 1 } {
            let started = Instant::now();
            let document = project.json(&["emit", "a.b", "--json"]);
            assert!(started.elapsed() < Duration::from_secs(10), "{command}: {:?}", started.elapsed());
            let wanted = if ends { "success" } else { "timeout" };
            assert_eq!(document["results"][0]["status"], wanted, "{command}: {document}");
        }
    }
}

#[test]
fn a_script_that_lies_where_nothing_may_be_executed_says_so() {
    let project = TestProject::trusted("- {name: h, events: [{type: '*'}], script: sub/h.sh}\n");
    let sub = project.hooks_folder().join("sub");
    fs::create_dir(&sub).unwrap();
    let line = format!(
        "mount -t tmpfs -o noexec,mode=755 none {0} && printf '#!/bin/sh\\n' > {0}/h.sh && chmod 755 {0}/h.sh && \"$KNOCKON_BINARY\" emit a.b --json --trust-hash $(\"$KNOCKON_BINARY\" trust --print-hash)",
        sub.display()
    );
    let output =
        project.program("unshare", &["--user", "--map-root-user", "--mount", "sh", "-c", &line]).output().unwrap();
    if !output.status.success() {
        println!("skipped: this machine lets nobody mount: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let result = &document["results"][0];
    assert!(result["error"].as_str().unwrap().ends_with("lies on a file system that is mounted noexec"), "{document}");
    assert!(result["help"].as_str().unwrap().contains("another file system"));
}

#[test]
fn a_fork_bomb_ends_with_its_hook() {
    for how in ["together", "apart"] {
        support::fork_bomb(how, 10);
    }
}

#[test]
fn a_runner_that_was_stopped_records_how_a_hook_ended() {
    let project = TestProject::trusted(
        "- {name: h, events: [{type: a.b}], command: 'touch up; sleep 0.3; exit 3', timeout: 1}\n",
    );
    let child = project.command(&["emit", "a.b", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let signal = |name: &str| {
        let line = format!("kill -{name} {}", child.id());
        assert!(std::process::Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success());
    };
    wait_until("the hook", || project.exists("up"));
    signal("STOP");
    std::thread::sleep(Duration::from_millis(1500));
    signal("CONT");
    let output = child.wait_with_output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["results"][0]["status"], &document["results"][0]["exit_code"]),
        (&json!("failed"), &json!(3))
    );
}

#[test]
fn who_kills_every_knockon_by_name_leaves_nothing_behind() {
    let project = TestProject::new();
    let mark = format!("MARK=by-name-{}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    project.hooks(&format!("- {{name: h, events: [{{type: a.b}}], script: hide.sh, env: {{{name}: {value}}}}}\n"));
    project.script("hide.sh", &HIDING.replace("touch up", "touch up; while :; do sleep 0.1; done"));
    project.trust();
    // Under a name of its own: other tests run knockon at the same time.
    let program = format!("kn{}", std::process::id());
    let path = project.file(&program, fs::read(env!("CARGO_BIN_EXE_knockon")).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = project.program(path.to_str().unwrap(), &["emit", "a.b"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the hook", || project.exists("up") && marked(&mark).len() > 2);
    assert!(project.program("pkill", &["-9", "-x", &program]).status().unwrap().success());
    child.wait().unwrap();
    wait_until("the end of all", || marked(&mark).is_empty());
}

#[test]
fn without_proc_the_record_says_what_may_be_left() {
    let project = TestProject::new();
    let mark = format!("MARK=no-proc-{}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    project.hooks(&format!(
        "- {{name: h, events: [{{type: a.b}}], command: 'setsid sleep 5 > /dev/null 2>&1 & sleep 0.2', env: {{{name}: {value}}}}}\n"
    ));
    project.trust();
    let line = "umount -l /proc && exec \"$KNOCKON_BINARY\" emit a.b --json";
    let output = project.program("unshare", &["--mount", "/bin/sh", "-c", line]).output().unwrap();
    if !output.status.success() && output.stdout.is_empty() {
        return eprintln!("SKIPPED: no mount namespace to be had: {}", String::from_utf8_lossy(&output.stderr));
    }
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["results"][0]["survivors"], json!(true), "{document}");
    let record = project.audit().pop().unwrap();
    assert_eq!(record["survivors"], json!(true), "{record}");
    wait_until("the end of what was left", || marked(&mark).is_empty());
}

/// What no supervisor outlives: it shares knockon's memory, so that the system may end both at once. In `guard` the hook's
/// namespace ends with it, and everything in that.
#[test]
fn nothing_of_a_guard_hook_survives_the_end_of_knockon_and_its_supervisor() {
    if !knockon::sys::abilities().contains(&("processes", true)) {
        return eprintln!("SKIPPED: no PID namespace can be made here");
    }
    let project = TestProject::new();
    let mark = format!("MARK=both-{}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    project.script("hide.sh", &format!("{HIDING}\nsleep 300\n"));
    project.hooks(&format!(
        "- {{name: h, events: [{{type: a.b}}], sandbox: guard, script: hide.sh, env: {{{name}: {value}}}}}\n"
    ));
    project.trust();
    let mut child = project.command(&["emit", "a.b"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the hook", || project.exists("up") && marked(&mark).len() > 2);
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let supervisor = fs::read_to_string(children).unwrap().trim().to_owned();
    // Stopped first, so that neither can do anything about the end of the other.
    for signal in ["-STOP", "-KILL"] {
        let both = [signal, supervisor.as_str(), &child.id().to_string()].map(str::to_owned);
        assert!(project.program("kill", &both.each_ref().map(String::as_str)).status().unwrap().success());
    }
    child.wait().unwrap();
    wait_until("the end of all", || marked(&mark).is_empty());
}
