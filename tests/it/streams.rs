//! What a caller does to the standard streams and to signals: non-blocking pipes, ignored signals, reports on standard output.

use crate::support::{TestProject, finish};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::Stdio;
use std::time::Duration;

/// A pipe as Node makes one: neither end blocks. More than one is full long before a large result is.
fn non_blocking() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    (reader, writer)
}

/// Runs knockon with non-blocking pipes that are read late, and returns what came out of both.
fn read_late(project: &TestProject, arguments: &[&str]) -> (i32, Vec<u8>, Vec<u8>) {
    let (mut out, out_writer) = non_blocking();
    let (mut err, err_writer) = non_blocking();
    let mut command = project.command(arguments);
    let mut child = command.stdout(out_writer).stderr(err_writer).spawn().unwrap();
    drop(command);
    let read = |reader: &mut PipeReader| {
        std::thread::sleep(Duration::from_millis(300));
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    };
    std::thread::scope(|scope| {
        let err = scope.spawn(|| read(&mut err));
        let out = read(&mut out);
        (child.wait().unwrap().code().unwrap(), out, err.join().unwrap())
    })
}

#[test]
fn a_non_blocking_pipe_cuts_no_result_and_no_message() {
    let project = TestProject::new();
    let hook = |number: u32| {
        format!(
            "- {{name: h{number}, events: [{{type: '*'}}], output: always, command: 'yes 0123456789 | head -c 60000'}}\n"
        )
    };
    project.hooks(&(0..8).map(hook).collect::<String>());
    project.trust();
    for arguments in [&["emit", "a.b", "--json"][..], &["emit", "a.b"], &["emit", "a.b", "--jsonl"]] {
        let (code, out, err) = read_late(&project, arguments);
        let text = String::from_utf8(out).unwrap();
        let lines = text.matches("0123456789").count();
        // The last line of each is cut by `head`.
        let err = String::from_utf8(err).unwrap();
        assert!(code == 0 && lines >= 8 * (60_000 / 11), "{arguments:?}: {code} {lines} {err}");
    }
    // Standard error: ten problems an event.
    let wrong =
        |number: u32| format!("- {{name: h{number}, events: [{{type: '*'}}], command: 'true', unknown_key: 1}}\n");
    project.hooks(&(0..20).map(wrong).collect::<String>());
    let events = "{\"event_type\": \"a.b\"}\n".repeat(100);
    let events = project.file("events.jsonl", events).display().to_string();
    let arguments = ["run", "--event-file", events.as_str()];
    let blocking = project.run(&arguments);
    let (code, _, err) = read_late(&project, &arguments);
    let without_ids = |text: &str| text.lines().filter(|line| !line.contains("evt_")).count();
    assert_eq!((code, without_ids(&String::from_utf8(err).unwrap())), (0, without_ids(&blocking.stderr)));
    assert!(blocking.stderr.len() > 64 * 1024, "more than a pipe holds: {}", blocking.stderr.len());
}

#[test]
fn an_event_is_waited_for_on_a_non_blocking_pipe() {
    let project = TestProject::new();
    project.hooks("- {name: h, events: [{type: a.b}], command: 'touch ran'}\n");
    project.trust();
    for arguments in [&["run"][..], &["run", "--event-file", "-"]] {
        let (reader, mut writer) = pipe().unwrap();
        fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
        let mut command = project.command(arguments);
        let child = command.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        for part in ["{\"event_type\":", "\"a.b\"}"] {
            std::thread::sleep(Duration::from_millis(100));
            writer.write_all(part.as_bytes()).unwrap();
        }
        drop(writer);
        let ran = finish(child);
        assert!(ran.code == 0 && project.exists("ran"), "{arguments:?}: {ran:?}");
        fs::remove_file(project.root().join("ran")).unwrap();
    }
}

#[test]
fn signals_that_the_caller_ignores_stay_ignored() {
    let project = TestProject::new();
    project.hooks("- {name: slow, events: [{type: '*'}], command: 'touch began; sleep 0.6; touch ran'}\n");
    project.trust();
    let signals = [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM)];
    for (arguments, (name, signal)) in ["emit a.b", "run --event-type a.b", "test slow a.b"]
        .into_iter()
        .flat_map(|line| signals.map(|one| (line, one)))
    {
        for (line, survives) in [(format!("trap '' {name}; "), true), (String::new(), false)] {
            let _ = (fs::remove_file(project.root().join("began")), fs::remove_file(project.root().join("ran")));
            let line = format!("{line}exec \"$KNOCKON_BINARY\" {arguments}");
            let mut command = project.program("/bin/sh", &["-c", &line]);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let pid = Pid::from_child(&child);
            while !project.exists("began") {
                std::thread::sleep(Duration::from_millis(5));
            }
            kill_process(pid, signal).unwrap();
            let ran = finish(child);
            assert_eq!((ran.code == 0, project.exists("ran")), (survives, survives), "{line} {name}: {ran:?}");
        }
    }
}

#[test]
fn reports_make_their_folders_and_go_to_standard_output() {
    let project = TestProject::new();
    project.hooks("- {name: h, events: [{type: '*'}], command: 'true'}\n");
    project.trust();
    let ran = project.ok(&["emit", "a.b", "--report", "junit=out/deep/junit.xml", "--report", "sarif=out/s/x.sarif"]);
    assert!(ran.stdout.contains("✓ h"), "{ran:?}");
    assert!(project.exists("out/deep/junit.xml") && project.exists("out/s/x.sarif"));
    project.ok(&["emit", "a.b", "--report", "summary=out/new/summary.md"]);
    assert!(project.exists("out/new/summary.md"));
    for (form, start) in [("junit=-", "<?xml"), ("sarif=-", "{"), ("summary=-", "#")] {
        let ran = project.ok(&["emit", "a.b", "--report", form]);
        assert!(ran.stdout.starts_with(start) && !ran.stdout.contains("✓ h "), "{form}: {}", ran.stdout);
        assert!(ran.stderr.contains("✓ h"), "what is for people goes to standard error: {form} {}", ran.stderr);
    }
    for arguments in [&["--json", "--report", "junit=-"][..], &["--report", "junit=-", "--report", "sarif=-"]] {
        let ran = project.run(&[&["emit", "a.b"], arguments].concat());
        assert!(ran.code == 2 && ran.stderr.contains("standard output holds one document"), "{ran:?}");
    }
    // A folder that cannot be made: the hooks ran and are reported, then it is an error.
    fs::write(project.root().join("file"), "").unwrap();
    let ran = project.run(&["emit", "a.b", "--report", "junit=file/x.xml"]);
    assert!(ran.code == 74 && ran.stdout.contains("✓ h") && ran.stderr.contains("the report file/x.xml"), "{ran:?}");
}

#[test]
fn colours_of_a_hook_are_shown_on_a_terminal_and_stripped_elsewhere() {
    let project = TestProject::new();
    let line = r"printf '\033[31mred\033[0m \033[2Jx\n'";
    project.hooks(&format!(
        "- {{name: h, events: [{{type: '*'}}], output: always, command: \"{}\"}}\n",
        line.replace('\\', "\\\\")
    ));
    project.trust();
    for arguments in ["emit a.b", "emit a.b --verbose"] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let plain = project.ok(&words).stdout;
        assert!(plain.contains("red ␛[2Jx") && !plain.contains('\u{1b}'), "{plain:?}");
        let (_, shown) = project.on_a_terminal(arguments, "");
        assert!(shown.contains("\u{1b}[31mred\u{1b}[0m ␛[2Jx"), "{shown:?}");
    }
    // What the log kept of a failure, in every form.
    project.hooks(&format!(
        "- {{name: h, events: [{{type: '*'}}], command: \"{}; exit 3\"}}\n",
        line.replace('\\', "\\\\")
    ));
    project.trust();
    let document = project.json(&["emit", "a.b", "--json"]);
    let id = document["event"]["event_id"].as_str().unwrap();
    project.ok(&["report", "-o", "page.html"]);
    for shown in [project.ok(&["audit", "show", id]).stdout, project.read("page.html")] {
        assert!(shown.contains("red ␛[2Jx") && !shown.contains("␛[31m"), "{shown}");
    }
}

/// Signals are taken while hooks run. Nothing that may wait for ever is done meanwhile, such as writing to a reader who does not
/// read: SIGTERM ends knockon and its hooks all the same.
#[test]
fn a_signal_ends_an_emit_whose_output_nobody_reads() {
    let project = TestProject::trusted(
        "- {name: loud, events: [{type: '*'}], output: always, command: 'touch started; seq 1 100000'}\n\
         - {name: long, events: [{type: '*'}], output: always, command: 'touch started; sleep 61.7; seq 1 100000'}\n",
    );
    for arguments in [&["emit", "a.b"][..], &["emit", "a.b", "--jsonl"], &["emit", "a.b", "-v", "--report", "junit=-"]]
    {
        for is_error in [false, true] {
            let _ = fs::remove_file(project.root().join("started"));
            let (_reader, writer) = non_blocking();
            while (&writer).write(&[b'x'; 4096]).is_ok() {}
            // As most pipes are.
            fcntl_setfl(&writer, OFlags::empty()).unwrap();
            let mut command = project.command(arguments);
            let (out, err) = if is_error { (Stdio::null(), writer.into()) } else { (writer.into(), Stdio::null()) };
            let child = command.stdout(out).stderr(err).spawn().unwrap();
            drop(command);
            crate::support::wait_until("a hook runs", || project.exists("started"));
            let pid = Pid::from_child(&child);
            kill_process(pid, Signal::TERM).unwrap();
            let began = std::time::Instant::now();
            let status = finish(child).code;
            assert!(began.elapsed() < Duration::from_secs(8), "{arguments:?}: {:?}", began.elapsed());
            assert!([-1, 143].contains(&status), "{arguments:?}: it ends by the signal: {status}");
        }
    }
}
