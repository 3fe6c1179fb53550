//! What hooks, users and machines do to a runner, for real, each beside what a naive runner makes of it.
//!
//! Slow, so a target that `cargo test` leaves out unless it is named: `scripts/faults` runs it, with the counts that `docs/reliability.md` tells;
//! `scripts/faults --short` with fewer. A test prints its figures.

mod log;
mod power;
mod store;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod support;
mod sync;

use knockon::{Emitter, EmitterOptions, EventDraft, Project, Status, UserFolders};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{HIDING, TestProject, kill, marked, wait_until, with_default_signals};

/// `whole`, or fewer where time is short.
fn count(whole: usize, short: usize) -> usize {
    if std::env::var_os("KNOCKON_FAULTS_SHORT").is_some() { short } else { whole }
}

fn figure(what: &str, value: impl std::fmt::Display) {
    println!("figure: {what}: {value}");
}

fn trusted(hooks: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\nconcurrency: 8\ndefaults: {{shell: /bin/bash}}\nhooks:\n{hooks}"));
    project.trust();
    project
}

/// A mark that is in the environment of everything one test starts.
fn mark(name: &str) -> String {
    format!("MARK=faults-{name}-{}", std::process::id())
}

/// A runner that does the obvious: a process group, SIGKILL to it, pipes read to their end.
fn naive(script: &str, mark: &str) -> Child {
    let (name, value) = mark.split_once('=').unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", script]).env(name, value).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Ends what a control left behind.
fn tidy(mark: &str) {
    for _ in 0..200 {
        let alive = pids(mark);
        if alive.is_empty() {
            return;
        }
        for pid in alive {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
    panic!("a control cannot be ended");
}

fn pids(mark: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark.as_bytes())
    })
    .collect()
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    support::write(&path, text, 0o755);
    path
}

#[test]
fn what_a_hook_hides_is_ended_with_it() {
    let mark = mark("hide");
    let (name, value) = mark.split_once('=').unwrap();
    let rounds = count(50, 5);
    for _ in 0..rounds {
        let project =
            trusted(&format!("- {{name: hide, events: [{{type: '*'}}], script: hide.sh, env: {{{name}: {value}}}}}\n"));
        project.script("hide.sh", &format!("{HIDING}sleep 0.05\n"));
        project.trust();
        project.ok(&["emit", "a.b"]);
        assert_eq!(marked(&mark), [""; 0]);
    }
    figure("hooks that hid processes in five ways, survivors", format!("0 of {rounds}"));

    let folder = tempfile::tempdir().unwrap();
    let hide = script(folder.path(), "hide.sh", &format!("{HIDING}sleep 0.2\n"));
    let runner = format!(
        "import os, signal, subprocess\np = subprocess.Popen(['{}'], cwd='{}', start_new_session=True)\np.wait()\ntry: os.killpg(p.pid, signal.SIGKILL)\nexcept ProcessLookupError: pass",
        hide.display(),
        folder.path().display()
    );
    naive(&runner, &mark).wait().unwrap();
    let left = marked(&mark).len();
    tidy(&mark);
    assert!(left > 0, "killing the group alone leaves something");
    figure("  control, the process group killed: survivors", left);
}

#[test]
fn a_killed_knockon_leaves_nothing_whenever_it_is_killed() {
    let mark = mark("kill");
    let (name, value) = mark.split_once('=').unwrap();
    let hook =
        |n: usize| format!("- {{name: h{n}, events: [{{type: '*'}}], script: hide.sh, env: {{{name}: {value}}}}}\n");
    let project = trusted(&(0..3).map(hook).collect::<String>());
    project.script("hide.sh", &HIDING.replace("touch up", "while :; do sleep 0.1; done"));
    project.trust();
    let rounds = count(500, 25);
    let (mut survivors, mut slowest, mut seed) = (0, Duration::ZERO, 0x2545_f491_4f6c_dd1d_u64);
    for _ in 0..rounds {
        // xorshift: another moment each time, the same in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let mut child = project.command(&["emit", "a.b"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(seed % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let killed = Instant::now();
        let mut ended = Duration::from_secs(1);
        // What was about to be started may appear for a moment: nothing for 20 ms counts as nothing.
        while killed.elapsed() < Duration::from_secs(1) && killed.elapsed() < ended + Duration::from_millis(20) {
            let none = pids(&mark).is_empty();
            ended = if none { ended.min(killed.elapsed()) } else { Duration::from_secs(1) };
            std::thread::sleep(Duration::from_millis(1));
        }
        slowest = slowest.max(ended);
        survivors += pids(&mark).len();
        tidy(&mark);
    }
    figure("kill -9 of knockon at random moments, survivors after 1 s", format!("{survivors} of {rounds}"));
    figure("  the slowest end", format!("{:.0} ms", slowest.as_secs_f64() * 1e3));
    assert_eq!(survivors, 0);

    let folder = tempfile::tempdir().unwrap();
    let hide = script(
        folder.path(),
        "hide.sh",
        &HIDING.replace("touch up", "cd \"${0%/*}\"; touch up; while :; do sleep 0.1; done"),
    );
    let mut runner = naive(&format!("import subprocess\nsubprocess.run(['{}'])", hide.display()), &mark);
    wait_until("the hook", || folder.path().join("up").exists());
    runner.kill().unwrap();
    runner.wait().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let left = marked(&mark).len();
    tidy(&mark);
    assert!(left > 0);
    figure("  control, a runner without a supervisor: survivors", left);
}

#[test]
fn output_that_stays_open_delays_nothing() {
    let project = trusted("- {name: leaky, events: [{type: '*'}], command: 'sleep 3 & echo done'}\n");
    let began = Instant::now();
    let document = project.json(&["emit", "a.b", "--json"]);
    let took = began.elapsed();
    assert_eq!((&document["results"][0]["leaky"], &document["results"][0]["stdout"]), (&json!(true), &json!("done\n")));
    assert!(took < Duration::from_millis(1500), "{took:?}");
    let began = Instant::now();
    naive(
        "import subprocess\nsubprocess.run(['bash', '-c', 'sleep 3 & echo done'], capture_output=True)",
        &mark("open"),
    )
    .wait()
    .unwrap();
    let naive = began.elapsed();
    assert!(naive > Duration::from_millis(2900));
    figure(
        "a child that keeps the output open: delay",
        format!("{:.0} ms; control, reading to the end: {:.0} ms", took.as_secs_f64() * 1e3, naive.as_secs_f64() * 1e3),
    );
}

#[test]
fn a_large_event_nobody_reads_hangs_nobody() {
    let project = trusted("- {name: deaf, events: [{type: '*'}], command: 'head -c 200000 /dev/zero; true'}\n");
    let path = project.file("event.json", format!(r#"{{"pad":"{}"}}"#, "x".repeat(8_000_000)));
    let began = Instant::now();
    let document = project.json(&["run", "--event-type", "a.b", "--json", "--event-file", path.to_str().unwrap()]);
    assert_eq!(document["results"][0]["status"], "success", "{document}");
    figure("8 MB of event to a hook that reads nothing", format!("{:.0} ms", began.elapsed().as_secs_f64() * 1e3));
    let runner = "import subprocess\np = subprocess.Popen(['bash', '-c', 'head -c 200000 /dev/zero; sleep 60'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\np.stdin.write(b'x' * 8000000)";
    let mark = mark("deaf");
    let mut control = naive(runner, &mark);
    std::thread::sleep(Duration::from_secs(2));
    assert!(control.try_wait().unwrap().is_none(), "writing before reading hangs");
    tidy(&mark);
    control.wait().unwrap();
    figure("  control, writing before reading", "still hanging after 2 s");
}

/// Hooks that do their worst until they are killed.
const HOSTILE: [&str; 20] = [
    "trap '' TERM; while :; do sleep 0.1; done",
    "trap '' TERM INT HUP QUIT; while :; do :; done",
    "trap 'trap \"\" TERM; while :; do sleep 1; done' TERM; while :; do sleep 0.1; done",
    "kill -STOP $$",
    "trap '' TERM; exec <&- >&- 2>&-; while :; do sleep 0.1; done",
    "trap '' TERM; yes",
    "trap '' TERM; yes >&2",
    "trap '' TERM; cat /dev/zero",
    "trap '' TERM; for i in $(seq 50); do (trap '' TERM; while :; do sleep 1; done) & done; wait",
    "trap '' TERM; setsid bash -c 'trap \"\" TERM; while :; do sleep 0.1; done' & wait",
    "trap '' TERM; (setsid bash -c 'trap \"\" TERM; (setsid sleep 300 &)' &); while :; do sleep 0.1; done",
    "hop() { trap '' TERM; sleep 0.02; exec setsid -f bash -c \"$(declare -f hop); hop\"; }; hop & while :; do sleep 0.1; done",
    "trap '' TERM; ulimit -t unlimited; while :; do :; done & while :; do :; done",
    "trap '' TERM; python3 -c 'import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(300)'",
    "trap '' TERM; mkfifo f.$$; cat f.$$",
    "trap '' TERM; exec tail -f /dev/null",
    "trap '' TERM; while :; do (sleep 0.01 &); done",
    "trap '' TERM; coproc cat; while :; do sleep 0.1; done",
    "trap 'exec sleep 300' TERM; while :; do sleep 0.1; done",
    "trap '' TERM; bash -i -c 'sleep 300'",
];

#[test]
fn hostile_hooks_end_when_their_time_is_up() {
    let limit = Duration::from_millis(500 + 5000 + 250);
    let mark = mark("hostile");
    let (name, value) = mark.split_once('=').unwrap();
    let hostile = &HOSTILE[..count(20, 5)];
    let mut slowest = Duration::ZERO;
    for command in hostile {
        let project = trusted(&format!(
            "- {{name: hostile, events: [{{type: '*'}}], timeout: 500ms, env: {{{name}: {value}}}, command: {}}}\n",
            json!(command)
        ));
        let document = project.json(&["emit", "a.b", "--json"]);
        let result = &document["results"][0];
        assert_eq!(result["status"], "timeout", "{command}: {result}");
        let took = Duration::from_secs_f64(result["duration_ms"].as_f64().unwrap() / 1e3);
        assert!(took < limit, "{command}: {took:?}");
        assert_eq!(marked(&mark), [""; 0], "{command}");
        slowest = slowest.max(took);
    }
    let over = slowest.saturating_sub(limit - Duration::from_millis(250));
    figure(
        "hostile hooks ended within timeout + 5 s + 250 ms",
        format!("{0} of {0}, {1:.0} ms over at most", hostile.len(), over.as_secs_f64() * 1e3),
    );
    let mut control = naive(
        &format!(
            "import os, subprocess, time\np = subprocess.Popen(['bash', '-c', {:?}])\ntime.sleep(0.5)\np.terminate()\np.wait()",
            HOSTILE[0]
        ),
        &mark,
    );
    std::thread::sleep(Duration::from_secs(2));
    assert!(control.try_wait().unwrap().is_none());
    tidy(&mark);
    control.wait().unwrap();
    figure("  control, SIGTERM alone", "still running after 2 s");
}

/// The most memory this process had, in KiB, since it was asked the last time.
fn peak_of(run: impl FnOnce() -> Child) -> (u64, std::process::ExitStatus) {
    let mut child = run();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            return (peak, ended);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn endless_output_takes_no_memory_and_is_counted() {
    let bytes = count(10_000_000_000, 300_000_000);
    let config = |bytes: usize| {
        format!("- {{name: flood, events: [{{type: '*'}}], timeout: 600, command: 'yes | head -c {bytes}'}}\n")
    };
    let peak = |bytes: usize| {
        let project = trusted(&config(bytes));
        let output = fs::File::create(project.root().join("out.json")).unwrap();
        let (peak, ended) = peak_of(|| {
            project.command(&["emit", "a.b", "--json"]).stdout(output).stderr(Stdio::null()).spawn().unwrap()
        });
        assert!(ended.success());
        let document: Value = serde_json::from_str(&project.read("out.json")).unwrap();
        assert_eq!(document["results"][0]["stdout_bytes"], bytes);
        assert_eq!(project.audit().last().unwrap()["stdout_lines"], bytes / 2);
        peak
    };
    let (little, much) = (peak(2), peak(bytes));
    let growth = much.saturating_sub(little);
    figure("output of one hook, growth of memory", format!("{} MB, {growth} KiB", bytes / 1_000_000));
    assert!(growth < 8 * 1024, "{growth} KiB");
    let (naive_peak, _) = peak_of(|| {
        naive(
            "import subprocess\nsubprocess.run('yes | head -c 100000000', shell=True, capture_output=True)",
            &mark("flood"),
        )
    });
    assert!(naive_peak > 60_000, "{naive_peak}");
    figure("  control, all of 100 MB kept", format!("{naive_peak} KiB"));
}

#[test]
fn bytes_stay_bytes() {
    let project = trusted("- {name: binary, events: [{type: '*'}], command: 'printf \"\\377\\000\\n\"; exit 1'}\n");
    let document = project.json(&["emit", "a.b", "--json"]);
    assert_eq!(document["results"][0]["stdout_base64"], "/wAK");
    assert_eq!(project.audit().last().unwrap()["stdout_tail_base64"], "/wAK");
    let text = trusted("- {name: text, events: [{type: '*'}], command: 'echo ä; exit 1'}\n");
    assert_eq!(text.json(&["emit", "a.b", "--json"])["results"][0]["stdout_base64"], Value::Null);

    let odd = project.root().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    for folder in [odd.clone(), odd.join(".knockon")] {
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    support::write(
        &odd.join(".knockon/hooks.yaml"),
        "version: '1.0'\nhooks:\n- {name: h, events: [{type: '*'}], script: h.sh}\n",
        0o644,
    );
    support::write(&odd.join(".knockon/h.sh"), "#!/bin/sh\npwd > here\n", 0o755);
    let run = |arguments: &[&str]| project.command(arguments).current_dir(&odd).output().unwrap();
    let hash = String::from_utf8(run(&["trust", "--print-hash"]).stdout).unwrap();
    assert!(run(&["trust", "--hash", hash.trim()]).status.success());
    assert!(run(&["emit", "a.b"]).status.success());
    assert_eq!(fs::read(odd.join("here")).unwrap(), [odd.as_os_str().as_bytes(), b"\n"].concat());
    figure("output and paths that are no UTF-8", "kept byte for byte");
}

#[test]
fn a_script_that_is_still_being_written_is_waited_for() {
    let project = trusted("- {name: fresh, events: [{type: '*'}], script: fresh.sh}\n");
    project.script("fresh.sh", "#!/bin/sh\necho ran\n");
    project.trust();
    let path = project.hooks_folder().join("fresh.sh");
    let open = fs::File::options().append(true).open(&path).unwrap();
    let busy = Command::new(&path).status().unwrap_err();
    assert_eq!(busy.raw_os_error(), Some(26), "control: ETXTBSY");
    let closing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(60));
        drop(open);
    });
    let document = project.json(&["emit", "a.b", "--json"]);
    closing.join().unwrap();
    assert_eq!(document["results"][0]["stdout"], "ran\n", "{document}");
    let open = fs::File::options().append(true).open(&path).unwrap();
    let document = project.json(&["emit", "a.b", "--json"]);
    drop(open);
    assert_eq!(document["results"][0]["status"], "error", "{document}");
    assert!(document["results"][0]["error"].as_str().unwrap().contains("busy"), "{document}");
    figure("a script open for writing", "waited for 60 ms; told after 255 ms; control: ETXTBSY");
}

#[test]
fn the_second_interrupt_ends_at_once() {
    let project = trusted(
        "- {name: deaf, events: [{type: '*'}], timeout: 60, command: 'trap \"\" TERM; touch up; while :; do sleep 0.05; done'}\n",
    );
    for (first, second, code) in [("INT", "INT", 130), ("TERM", "INT", 143), ("HUP", "HUP", 129)] {
        let _ = fs::remove_file(project.root().join("up"));
        let mut child = with_default_signals(&project, &["emit", "a.b"]);
        wait_until("the hook", || project.exists("up"));
        kill(first, &child);
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "it is given time");
        let again = Instant::now();
        kill(second, &child);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(again.elapsed() < Duration::from_millis(500), "{:?}", again.elapsed());
        assert_eq!(project.audit().last().unwrap()["status"], "interrupted");
    }
    figure("two signals to knockon, INT, TERM or HUP", "the second ends the hook at once; recorded as interrupted");
}

fn status_of_self(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Children of this process that have ended and were not removed.
fn zombies() -> usize {
    let own = std::process::id();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(&format!("Z {own} ")))).count()
}

/// An emitter in this process, for a project and its own user.
fn emitter(project: &TestProject) -> Emitter {
    let home = project.home();
    let user = UserFolders::from_environment(|name| (name == "HOME").then(|| home.clone().into()));
    Emitter::open(Project::at(&project.root()).unwrap(), &user, EmitterOptions::default())
}

#[test]
fn ten_thousand_hooks_in_a_row_leave_no_trace() {
    let project = trusted("- {name: h, events: [{type: '*'}], command: [/bin/true]}\n");
    let emitter = emitter(&project);
    let emit = || {
        let report = emitter.emit(EventDraft::new("a.b".parse().unwrap()));
        assert_eq!(report.hooks()[0].outcome.status, Status::Success, "{:?}", report.hooks());
    };
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    (0..200).for_each(|_| emit());
    let (descriptors, memory) = (open(), status_of_self("VmRSS:"));
    let hooks = count(10_000, 500);
    (0..hooks).for_each(|_| emit());
    let (more, grown) = (open(), status_of_self("VmRSS:"));
    figure(
        "hooks in a row in one process",
        format!("{hooks}: {} zombies, {descriptors} to {more} descriptors, {memory} to {grown} KiB", zombies()),
    );
    assert_eq!((zombies(), more), (0, descriptors));
    assert!(grown * 100 <= memory * 105, "{memory} to {grown} KiB");
    let mut left: Vec<Child> = (0..10).map(|_| Command::new("true").spawn().unwrap()).collect();
    wait_until("the control's zombies", || zombies() == 10);
    left.iter_mut().for_each(|child| drop(child.wait()));
    figure("  control, ten children nobody waits for", "10 zombies");
}

#[test]
fn out_of_descriptors_or_processes_is_an_error_and_no_more() {
    let project = trusted(
        "- {name: h, events: [{type: '*'}], command: touch ran}\n- {name: i, events: [{type: '*'}], command: touch ran}\n",
    );
    for limit in [6, 8, 10, 12, 14, 16, 20] {
        let line = format!("ulimit -n {limit}; exec \"$KNOCKON_BINARY\" emit a.b --json");
        let output = project.program("/bin/sh", &["-c", &line]).output().unwrap();
        let code = output.status.code();
        assert!([Some(0), Some(2), Some(74)].contains(&code), "{limit}: {output:?}");
    }
    for call in ["clone", "socketpair", "epoll_create1", "pipe2"] {
        for when in 1..=2 {
            let inject = format!("inject={call}:error=EAGAIN:when={when}");
            let output = project
                .program(
                    "strace",
                    &["-o", "/dev/null", "-e", &inject, env!("CARGO_BIN_EXE_knockon"), "emit", "a.b", "--json"],
                )
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(0), "{inject}: {output:?}");
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            for hook in document["results"].as_array().unwrap() {
                let fine = hook["status"] == "success"
                    || hook["error"].as_str().is_some_and(|error| error.contains("no process could be started"));
                assert!(fine, "{inject}: {hook}");
            }
        }
    }
    figure(
        "out of descriptors (7 limits) or processes (8 failures injected)",
        "a clear error each time, exit 0, 2 or 74",
    );
}

#[test]
fn killed_at_any_system_call_the_log_stays_whole() {
    let mark = mark("sweep");
    let (name, value) = mark.split_once('=').unwrap();
    let project =
        trusted(&format!("- {{name: h, events: [{{type: '*'}}], env: {{{name}: {value}}}, command: 'sleep 0.01'}}\n"));
    let binary = env!("CARGO_BIN_EXE_knockon");
    let counted = project
        .program("strace", &["-c", "-o", "counts", binary, "emit", "a.b"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(counted.success());
    // Each row: its share, seconds, microseconds a call, calls, errors where there are any, and the name.
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(((*words.last()?).to_owned(), words.get(3)?.parse::<usize>().ok()?))
    };
    let calls: Vec<(String, usize)> =
        project.read("counts").lines().filter_map(row).filter(|(name, _)| name != "total").collect();
    let moments: Vec<(&str, usize)> =
        calls.iter().flat_map(|(name, count)| (1..=*count).map(|n| (name.as_str(), n))).collect();
    let step = count(1, 12);
    let mut killed = 0;
    for (call, n) in moments.iter().step_by(step) {
        let inject = format!("inject={call}:signal=KILL:when={n}");
        let ended = project
            .program("strace", &["-o", "/dev/null", "-e", &inject, binary, "emit", "a.b"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        killed += usize::from(!ended.success());
        wait_until("the end of the hook", || pids(&mark).is_empty());
    }
    // The next writer takes away what a writer who was killed left half; every line is whole, and the chain holds.
    project.ok(&["emit", "a.b"]);
    let records = project.audit();
    let text = project.read(".knockon/audit.log");
    let mut before = "0".repeat(64);
    for (line, record) in text.lines().zip(&records) {
        assert_eq!(record["prev"], json!(before));
        before = blake3::hash(line.as_bytes()).to_hex().to_string();
    }
    assert!(killed > moments.len() / step / 2, "{killed} of {}", moments.len());
    figure(
        "SIGKILL at system calls of one emit",
        format!("{killed} kills: every line whole, the chain of {} records holds, 0 survivors", records.len()),
    );
}

/// Exchanges the script for a foreign one, and back, as fast as it can.
fn swap(folder: &Path, stop: &AtomicBool) {
    let (good, evil, link) = (folder.join("good"), folder.join("evil"), folder.join("link"));
    let script = folder.join("s.sh");
    let put = |from: &Path| {
        let fresh = folder.join("fresh");
        let _ = fs::remove_file(&fresh);
        if fs::hard_link(from, &fresh).is_ok() {
            let _ = fs::rename(&fresh, &script);
        }
    };
    while !stop.load(Ordering::Relaxed) {
        put(&good);
        put(&evil);
        put(&good);
        let _ = fs::remove_file(&link);
        let _ = std::os::unix::fs::symlink("evil", &link);
        let _ = fs::rename(&link, &script);
    }
}

#[test]
fn a_script_that_is_swapped_under_us_does_not_run_in_strict() {
    let tries = count(3000, 150);
    let mut foreign = Vec::new();
    for sandbox in ["base", "strict"] {
        let project = trusted(&format!("- {{name: h, events: [{{type: '*'}}], sandbox: {sandbox}, script: s.sh}}\n"));
        project.script("s.sh", "#!/bin/sh\necho good\n");
        project.script("good", "#!/bin/sh\necho good\n");
        project.script("evil", "#!/bin/sh\necho evil\n");
        project.trust();
        let emitter = emitter(&project);
        let stop = AtomicBool::new(false);
        let (mut evil, mut good) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| swap(&project.hooks_folder(), &stop));
            for _ in 0..tries {
                let report = emitter.emit(EventDraft::new("a.b".parse().unwrap()));
                let printed = report.hooks()[0].outcome.stdout.text();
                evil += usize::from(printed.contains("evil"));
                good += usize::from(printed.contains("good"));
            }
            stop.store(true, Ordering::Relaxed);
        });
        figure(
            &format!("a script swapped all the time, {sandbox}: foreign runs"),
            format!("{evil} of {tries} ({good} ran the trusted bytes, the rest was refused)"),
        );
        assert!(good > 0, "{sandbox}");
        foreign.push(evil);
    }
    assert_eq!(foreign[1], 0);

    let project = trusted("- {name: h, events: [{type: '*'}], script: s.sh}\n");
    for (name, word) in [("s.sh", "good"), ("good", "good"), ("evil", "evil")] {
        project.script(name, &format!("#!/bin/sh\necho {word}\n"));
    }
    let (folder, stop) = (project.hooks_folder(), AtomicBool::new(false));
    let (mut evil, mut tried) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&folder, &stop));
        while tried < tries || (evil == 0 && tried < 20 * tries) {
            tried += 1;
            // Looked at, and run by its name a moment later.
            let path = folder.join("s.sh").canonicalize().unwrap_or_default();
            if fs::read_to_string(&path).is_ok_and(|text| text.contains("good"))
                && let Ok(output) = Command::new(folder.join("s.sh")).output()
            {
                evil += usize::from(output.stdout.starts_with(b"evil"));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    figure("  control, checked by name and run by name", format!("{evil} of {tried}"));
    assert!(evil > 0);
}

/// Everyday work that a hook does.
const EVERYDAY: [(&str, &str); 20] = [
    ("git status", "git status --short"),
    ("git diff", "git diff HEAD --stat"),
    ("git log into a file", "git log --oneline > CHANGES"),
    ("git archive", "git archive HEAD -o snapshot.tar"),
    ("cargo build", "cd crate && cargo build --offline --quiet"),
    ("cargo test", "cd crate && cargo test --offline --quiet"),
    ("cargo fmt", "cd crate && cargo fmt"),
    ("make", "make all"),
    ("cc", "cc -o hello hello.c && ./hello"),
    ("node", "node -e 'require(\"fs\").writeFileSync(\"node.out\", process.version)'"),
    ("npm test", "cd package && npm test --silent"),
    ("npm pack", "cd package && npm pack --silent"),
    ("python3", "python3 -c 'import json, tempfile; json.dump({}, open(\"py.out\", \"w\")); tempfile.TemporaryFile()'"),
    ("pytest", "cd py && python3 -m pytest -q"),
    ("python3 -m venv", "python3 -m venv --without-pip env"),
    ("jq", "jq -r .event_type > type.txt"),
    ("bash with temporary files", "t=$(mktemp) && echo x > $t && sort $t && rm $t"),
    ("tar and gzip", "tar czf src.tgz hello.c && tar tzf src.tgz"),
    ("find and sed", "find . -maxdepth 1 -name '*.c' -exec sed -i s/Hello/Hi/ {} +"),
    ("a local socket", "python3 -c 'import socket; a, b = socket.socketpair(); a.send(b\"x\"); b.recv(1)'"),
];

#[test]
fn everyday_hooks_run_unchanged_under_guard() {
    let hook = |(n, (_, command)): (usize, &(&str, &str))| {
        format!(
            "- {{name: h{n}, events: [{{type: '*'}}], sandbox: guard, timeout: 300, env_from: [CARGO_HOME, RUSTUP_HOME, PYENV_ROOT], command: {}}}\n",
            json!(command)
        )
    };
    let project = trusted(&EVERYDAY.iter().enumerate().map(hook).collect::<String>().replace("concurrency: 8", ""));
    project.file("hello.c", "#include <stdio.h>\nint main(void) { puts(\"Hello\"); }\n");
    project.file("Makefile", "all: built\nbuilt: hello.c\n\tcp hello.c built\n");
    project.file("crate/Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    project.file("crate/src/lib.rs", "#[test]\nfn works() {}\n");
    project.file("package/package.json", r#"{"name": "tiny", "version": "1.0.0", "scripts": {"test": "node -e 0"}}"#);
    project.file("py/test_it.py", "def test_it(tmp_path):\n    (tmp_path / 'x').write_text('x')\n");
    for arguments in [
        &["init", "-q"][..],
        &["add", "-A"],
        &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "all"],
    ] {
        assert!(project.program("git", arguments).status().unwrap().success());
    }
    project.trust();
    let mut command = project.command(&["emit", "a.b", "--json"]);
    for (name, below) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("PYENV_ROOT", ".pyenv")] {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        command.env(name, std::env::var_os(name).map_or_else(|| home.join(below), PathBuf::from));
    }
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let document: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let failed: Vec<String> = (document["results"].as_array().unwrap().iter().zip(&EVERYDAY))
        .filter(|(result, _)| result["status"] != "success")
        .map(|(result, (name, _))| format!("{name}: {} {}", result["error"], result["stderr"]))
        .collect();
    figure(
        "everyday hooks that run unchanged under guard",
        format!("{} of {}", EVERYDAY.len() - failed.len(), EVERYDAY.len()),
    );
    for failed in &failed {
        figure("  not", failed.lines().next().unwrap_or_default());
    }
    assert!(failed.len() <= 1, "{failed:#?}");
}

#[test]
fn what_cannot_be_executed_is_told_and_not_guessed() {
    let hook = |name: &str| format!("- {{name: {name}, events: [{{type: '*'}}], script: {name}}}\n");
    let project = trusted(&["none", "carriage", "missing", "empty"].map(hook).concat());
    project.script("none", "echo ran by whatever\n");
    project.script("carriage", "#!/bin/sh\r\necho hi\r\n");
    project.script("missing", "#!/no/interpreter\n");
    project.script("empty", "");
    project.trust();
    let document = project.json(&["emit", "a.b", "--json"]);
    let told = ["does not say what runs it", "CR LF", "/no/interpreter, which is not installed", "is empty"];
    for (result, told) in document["results"].as_array().unwrap().iter().zip(told) {
        assert_eq!((&result["status"], &result["stdout"]), (&json!("error"), &json!("")), "{result}");
        assert!(result["error"].as_str().unwrap().contains(told) && result["help"].is_string(), "{result}");
    }
    let guessed = project.program("/bin/sh", &["-c", ".knockon/none"]).output().unwrap();
    assert_eq!(guessed.stdout, b"ran by whatever\n");
    figure("no shebang, CR LF, no interpreter, empty", "an error of its own each; control: run by /bin/sh in silence");
}

#[test]
fn nothing_is_inherited_by_accident() {
    let look = "ls /proc/$$/fd | tr '\\n' ' '; grep -E '^Sig(Blk|Ign)' /proc/self/status | tr '\\n' ' '; umask";
    let project = trusted(&format!("- {{name: look, events: [{{type: '*'}}], command: {}}}\n", json!(look)));
    let spoilt = |line: &str| {
        let script = format!("trap '' PIPE HUP; umask 0; exec 7</dev/null; {line}");
        String::from_utf8(project.program("/bin/bash", &["-c", &script]).output().unwrap().stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&spoilt("exec \"$KNOCKON_BINARY\" emit a.b --json")).unwrap();
    let clean = document["results"][0]["stdout"].as_str().unwrap();
    let is_clean =
        |text: &str| !text.contains(" 7 ") && text.contains("SigIgn:\t0000000000000000") && text.ends_with("0022\n");
    assert!(is_clean(clean), "{clean}");
    let naive = spoilt(&format!("bash -c {}", shell_quoted(look)));
    assert!(!is_clean(&naive) && naive.contains(" 7 ") && naive.ends_with("0000\n"), "{naive}");
    figure("descriptors, ignored signals, umask of the caller", "none reaches the hook; control: all of them do");
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn fork_bombs_end_with_their_hook() {
    let root = knockon::sys::user_id() == 0;
    for how in ["together", "apart", "tree"] {
        // The limit on processes does not bind root: its tree would grow until the machine is full.
        if how == "tree" && root {
            eprintln!("SKIPPED: a growing tree, for root");
            continue;
        }
        for number in [10, 60, 200] {
            for _ in 0..count(5, 1) {
                let begun = Instant::now();
                support::fork_bomb(how, number);
                figure(&format!("a fork bomb of {number}, {how}: ended after"), format!("{:?}", begun.elapsed()));
            }
        }
    }
}

#[test]
fn a_guard_costs_the_same_however_many_files_the_home_folder_has() {
    let project = trusted("- {name: h, events: [{type: a.b}], command: ['true'], sandbox: guard}\n");
    let fastest = || {
        let emit = |_| {
            let begun = Instant::now();
            project.ok(&["emit", "a.b"]);
            begun.elapsed()
        };
        (0..count(40, 20)).map(emit).min().unwrap()
    };
    let before = fastest();
    let files = count(100_000, 20_000);
    for number in 0..files {
        fs::write(project.home().join(format!("file-{number}")), "").unwrap();
    }
    let after = fastest();
    let ratio = after.as_secs_f64() / before.as_secs_f64();
    figure(&format!("an emit with a guard and {files} files in HOME, to one with none"), format!("{ratio:.2}"));
    assert!(ratio < 1.5, "{before:?} {after:?}");
}
