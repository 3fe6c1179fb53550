//! Results while hooks run, and for other tools: live output, JSON Lines, JUnit, SARIF, GitHub.

use crate::support::{TestProject, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn trusted(config: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\ndefaults: {{shell: /bin/sh}}\nconcurrency: 2\nhooks:\n{config}"));
    project.trust();
    project
}

#[test]
fn output_is_shown_while_it_comes_with_the_name_before_each_line() {
    let waiting = "- {name: slow, events: [{type: '*'}], MODE command: 'echo one; printf two >&2; while ! test -e go; do sleep 0.01; done; echo; printf \"\\033[2Jthree\"'}\n";
    for (mode, flag) in [("", "--verbose"), ("output: live,", "")] {
        let project = trusted(&waiting.replace("MODE", mode));
        let arguments: &[&str] = if mode.is_empty() { &["emit", "a.b", flag] } else { &["emit", "a.b"] };
        let mut child = project.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "slow | one", "before the hook has ended");
        project.file("go", "");
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(rest.contains(&"slow | two".into()), "a line without an end: {rest:?}");
        assert!(rest.contains(&"slow | \u{241b}[2Jthree".into()), "harmless on a terminal: {rest:?}");
        assert_eq!(rest.iter().filter(|line| line.contains("three")).count(), 1, "told once: {rest:?}");
        assert!(child.wait().unwrap().success());
    }
    let never = trusted("- {name: quiet, events: [{type: '*'}], output: never, command: 'echo secret; exit 1'}\n");
    assert!(!never.ok(&["emit", "a.b", "--verbose"]).stdout.contains("secret"));
}

#[test]
fn each_step_is_a_line_of_json_as_soon_as_it_is_known() {
    let project = trusted(
        "- {name: slow, events: [{type: '*'}], command: 'echo hi; while ! test -e go; do sleep 0.01; done; exit 3'}\n",
    );
    let mut child = project.command(&["emit", "a.b", "--jsonl"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let mut id = String::new();
    let mut without_event = |mut record: Value| {
        let record_map = record.as_object_mut().unwrap();
        id = record_map.remove("event_id").unwrap().as_str().unwrap().to_owned();
        assert!(id.starts_with("evt_") && record_map.remove("time").unwrap().as_str().unwrap().ends_with('Z'));
        record
    };
    let started = json!({"kind": "started", "hook": "slow", "hook_name": "slow", "attempt": 1});
    assert_eq!(without_event(next()), started);
    let output = json!({"kind": "output", "hook": "slow", "hook_name": "slow", "stream": "stdout", "text": "hi\n"});
    assert_eq!(without_event(next()), output);
    project.file("go", "");
    let ended = next();
    assert_eq!((&ended["kind"], &ended["status"], &ended["exit_code"]), (&json!("ended"), &json!("failed"), &json!(3)));
    assert!(ended["cpu_ms"].as_f64().is_some() && ended["peak_kib"].as_u64().unwrap() > 100, "{ended}");
    let report = next();
    assert_eq!((report["event"]["event_id"].as_str().unwrap(), &ended["event_id"]), (id.as_str(), &json!(id)));
    assert_eq!((&report["kind"], &report["hooks_executed"]), (&json!("report"), &json!(1)));
    assert!(child.wait().unwrap().success());
    let refused = project.run(&["emit", "a.b", "--json", "--jsonl"]);
    assert_eq!(refused.code, 2);
}

#[test]
fn processor_time_and_memory_are_on_record() {
    let project =
        trusted("- {name: busy, events: [{type: '*'}], command: 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'}\n");
    let document = project.json(&["emit", "a.b", "--json"]);
    let cpu = document["results"][0]["cpu_ms"].as_f64().unwrap();
    assert!(cpu > 1.0, "{document}");
    let record = project.audit().pop().unwrap();
    assert_eq!(record["cpu_ms"].as_f64(), Some(cpu));
    assert_eq!(record["peak_kib"], document["results"][0]["peak_kib"]);
}

#[test]
fn results_for_other_tools_are_written_where_they_are_wanted() {
    let remark = json!({"annotations": [{"file": "src/a b.rs", "line": 7, "level": "error", "message": "too long, really"}, {"message": "fine"}]});
    let project = trusted(&format!(
        "- {{name: lint, events: [{{type: '*'}}], command: {}}}\n\
         - {{name: broken, events: [{{type: '*'}}], command: 'echo \"<&]]>\" >&2; printf \"\\001\"; exit 4'}}\n\
         - {{name: nothing, events: [{{type: '*'}}], command: exit 77}}\n",
        json!(format!("printf %s '{remark}'"))
    ));
    let ran = project.ok(&[
        "emit",
        "a.b",
        "--report",
        "junit=out.xml",
        "--report",
        "sarif=out.sarif",
        "--report",
        "github",
        "--report",
        "summary=out.md",
    ]);
    assert!(ran.stdout.contains("      src/a b.rs:7: error: too long, really\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("::error file=src/a b.rs,line=7,title=lint::too long, really\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("::warning title=lint::fine\n::error title=broken::exit 4\n"), "{}", ran.stdout);

    let xml = "import xml.etree.ElementTree as e\nr = e.parse('out.xml').getroot()\nprint([(c.get('name'), c.get('classname'), [x.tag for x in c]) for c in r.iter('testcase')])\nprint(r.get('failures'), r.get('errors'))";
    let parsed = project.program("python3", &["-c", xml]).output().unwrap();
    let parsed = String::from_utf8(parsed.stdout).unwrap();
    assert!(parsed.starts_with("[('lint', 'a.b', ['system-out']), ('broken', 'a.b', ['failure', 'system-out', 'system-err']), ('nothing', 'a.b', ['skipped'])]\n"), "{parsed}{}", project.read("out.xml"));

    let sarif: Value = serde_json::from_str(&project.read("out.sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!((&place["artifactLocation"]["uri"], &place["region"]["startLine"]), (&json!("src/a%20b.rs"), &json!(7)));
    assert_eq!(results[2]["message"]["text"], "the hook `broken` failed: exit 4");

    let summary = project.read("out.md");
    assert!(summary.contains("| broken | failed |") && summary.contains("| lint | success |"), "{summary}");
    let output = project
        .command(&["emit", "a.b", "--json", "--report", "github", "--report", "summary"])
        .env("GITHUB_STEP_SUMMARY", "out.md")
        .output()
        .unwrap();
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok(), "the document stays whole");
    assert!(String::from_utf8(output.stderr).unwrap().contains("::error file=src/a b.rs,line=7"));
    assert!(project.read("out.md").len() > summary.len(), "added to");
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_and_costs_no_hook() {
    let project = trusted("- {name: good, events: [{type: '*'}], command: touch ran}\n");
    project.file("nowhere", "a file where a folder would have to be");
    let ran = project.run(&["emit", "a.b", "--report", "junit=nowhere/out.xml"]);
    assert_eq!(ran.code, 74, "{ran:?}");
    assert!(ran.stderr.contains("the report nowhere/out.xml: "), "{ran:?}");
    wait_until("the hook", || project.exists("ran"));
    let ran = project.run(&["emit", "a.b", "--report", "summary"]);
    assert!(ran.code == 2 && ran.stderr.contains("GITHUB_STEP_SUMMARY is not set"), "{ran:?}");
    let ran = project.run(&["emit", "a.b", "--report", "html"]);
    assert!(ran.code == 2 && ran.stderr.contains("junit=FILE"), "{ran:?}");
}

#[test]
fn a_reader_who_stalls_stalls_no_deadline() {
    let project = trusted(
        "- {name: busy, events: [{type: '*'}], timeout: 1, command: 'head -c 300000 /dev/zero | tr \"\\0\" x; echo; while :; do sleep 0.1; date >> alive; done'}\n",
    );
    let mut child =
        project.command(&["emit", "a.b", "--verbose"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the end of the hook", || project.audit_story().contains(&"busy timeout".to_owned()));
    let took = project.audit().last().unwrap()["duration_ms"].as_f64().unwrap();
    assert!(took < 3000.0, "{took}");
    let output = child.stdout.take().unwrap();
    let lines = BufReader::new(output).lines().count();
    assert!(lines > 10 && child.wait().unwrap().success());

    let project =
        trusted("- {name: much, events: [{type: '*'}], command: 'head -c 100000 /dev/zero | tr \"\\0\" x'}\n");
    let mut child = crate::support::with_default_signals(&project, &["emit", "a.b", "--json", "--verbose"]);
    assert!(child.wait().unwrap().success());
    let start = "import os, signal, sys\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_DFL)\nos.execv(os.environ['KNOCKON_BINARY'], ['knockon', 'emit', 'a.b', '--json'])";
    let mut stuck = project.program("python3", &["-c", start]).stdout(Stdio::piped()).spawn().unwrap();
    wait_until("the end of the hook", || {
        project.audit_story().iter().filter(|story| *story == "much success").count() == 2
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    crate::support::kill("TERM", &stuck);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&stuck.wait().unwrap()),
        Some(15),
        "what is left to say holds nobody"
    );
}

#[test]
fn characters_stay_whole_however_they_come() {
    let project = trusted(
        "- {name: slow, events: [{type: '*'}], command: 'printf \"\\303\"; sleep 0.1; printf \"\\251\\n\"; python3 -c \"print(\\\"x\\\" + chr(233) * 6000)\"; printf \"\\377\\303\"'}\n",
    );
    let ran = project.ok(&["emit", "a.b", "--jsonl"]);
    let texts = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["kind"] == "output");
    let text: String = texts.map(|record| record["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(text, format!("é\nx{}\n\u{fffd}\u{fffd}", "é".repeat(6000)));
    let shown = project.ok(&["emit", "a.b", "--verbose"]).stdout;
    assert_eq!(shown.matches('\u{fffd}').count(), 2);
}

#[test]
fn what_hooks_said_weighs_more_than_a_report_that_cannot_be_written() {
    let project = trusted("- {name: guard, events: [{type: '*'}], fail_mode: stop, command: exit 2}\n");
    assert_eq!(project.run(&["emit", "a.b", "--report", "junit=/nonexistent/x"]).code, 1);
    let odd = trusted(&format!(
        "- {{name: odd, events: [{{type: '*'}}], command: {}}}\n",
        json!(
            r#"printf 'x\357\277\276 y' >&2; printf %s '{"annotations": [{"file": "f\u001b]0;pwned\u0007.rs", "message": "m"}], "systemMessage": "one\n::error::two"}'; exit 3"#
        )
    ));
    let ran = odd.ok(&["emit", "a.b", "--report", "junit=out.xml", "--report", "github"]);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains('\u{7}'), "{ran:?}");
    assert!(ran.stderr.contains("\nknockon: ::error::two\n"), "each line with our name: {ran:?}");
    let parse = "import xml.etree.ElementTree as e\ne.parse('out.xml')";
    assert!(odd.program("python3", &["-c", parse]).status().unwrap().success());
}

#[test]
fn nothing_is_lost_on_the_way_to_a_reader_who_reads() {
    let project = trusted("- {name: n, events: [{type: '*'}], output: live, command: 'seq 1 60000'}\n");
    let ran = project.ok(&["emit", "a.b"]);
    let numbers: Vec<&str> = ran.stdout.lines().filter_map(|line| line.strip_prefix("n | ")).collect();
    assert_eq!(
        (numbers.len(), numbers.first(), numbers.last()),
        (60_000, Some(&"1"), Some(&"60000")),
        "{}",
        ran.stderr
    );
}

#[test]
fn results_are_written_over_no_file_of_knockon_and_through_no_link() {
    let project = TestProject::trusted("- name: a\n  events: [{type: a.b}]\n  command: echo >> ran\n");
    let before = project.read(".knockon/hooks.yaml");
    std::os::unix::fs::symlink("../elsewhere", project.root().join("link.xml")).unwrap();
    project.script("guard.sh", "#!/bin/sh\n");
    project.file(".knockon/sub/more.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink(".knockon", project.root().join("linked")).unwrap();
    let state = project.home().join(".local/state/knockon/secret.key").display().to_string();
    let targets = [
        ".knockon/hooks.yaml",
        ".knockon/audit.log",
        ".knockon/audit.log.1",
        ".knockon/hooks.local.yaml",
        ".knockon/hooks.tests.yaml",
        ".knockon/guard.sh",
        ".knockon/sub/more.sh",
        ".knockon/new.html",
        "linked/new.html",
        "link.xml",
        &state,
    ];
    for (target, form) in
        targets.into_iter().flat_map(|target| ["junit", "sarif", "summary"].map(|form| (target, form)))
    {
        let ran = project.run(&["emit", "a.b", "--report", &format!("{form}={target}")]);
        assert!(ran.code == 2 && ran.stderr.contains(target), "{form}={target}: {ran:?}");
        let drawn = project.run(&["graph", "-o", target]);
        assert!(drawn.code == 2 && drawn.stderr.contains(target), "{target}: {drawn:?}");
        let page = project.run(&["report", "--force", "--out", target]);
        assert!(page.code == 2 && page.stderr.contains(target), "{target}: {page:?}");
    }
    assert!(!project.exists("ran"), "found before a hook runs");
    assert_eq!(project.read(".knockon/hooks.yaml"), before);
    assert!(!project.home().join("elsewhere").exists() && !project.exists("../elsewhere"));
    project.ok(&["emit", "a.b", "--report", "junit=/dev/null"]);
}

#[test]
fn a_report_follows_no_link_that_a_hook_puts_in_its_place() {
    let project = TestProject::trusted("- name: a\n  events: [{type: a.b}]\n  command: ln -sf ../elsewhere out.xml\n");
    let elsewhere = project.root().parent().unwrap().join("elsewhere");
    std::fs::write(&elsewhere, "mine").unwrap();
    for form in ["junit", "summary"] {
        let ran = project.run(&["emit", "a.b", "--report", &format!("{form}=out.xml")]);
        assert_eq!(ran.code, 74, "{form}: {ran:?}");
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine", "{form}");
        std::fs::remove_file(project.root().join("out.xml")).unwrap();
    }
    // A folder of the repository that is a link, and a pipe without a reader.
    std::fs::create_dir(project.root().parent().unwrap().join("outside")).unwrap();
    std::os::unix::fs::symlink("../outside", project.root().join("reports")).unwrap();
    assert!(project.program("mkfifo", &["pipe"]).status().unwrap().success());
    let absolute = project.root().join("reports/a.xml").display().to_string();
    for (target, code) in [("reports/a.xml", 2), (absolute.as_str(), 2), ("pipe", 74)] {
        let ran = project.run(&["emit", "a.b", "--report", &format!("junit={target}")]);
        assert_eq!(ran.code, code, "{target}: {ran:?}");
        assert_ne!(project.run(&["graph", "-o", target]).code, 0, "{target}");
    }
    assert!(!project.root().parent().unwrap().join("outside/a.xml").exists());
}

#[test]
fn a_command_that_fails_before_it_has_a_result_leaves_no_report_of_an_earlier_one() {
    let project = TestProject::trusted("- {name: a, events: [{type: task.completed}], command: 'true'}\n");
    let reports = ["--report", "junit=out/a.xml", "--report", "sarif=out/a.sarif", "--report", "summary=out/a.md"];
    let emit = |kind: &str, variable: Option<&str>, more: &[&str]| {
        let mut command = project.command(&[&["emit", kind], more, &reports[..], &["--report", "github"]].concat());
        command.envs(variable.map(|value| ("KNOCKON_TRUST", value)));
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let ways: [(&str, Option<&str>, &[&str], &str); 4] = [
        ("task.completed", Some("not a hash"), &[], "KNOCKON_TRUST"),
        ("task.completed", Some(""), &["--strict"], "KNOCKON_TRUST is set but empty"),
        ("task.completed", None, &["--project-root", "gone"], "gone"),
        ("task.complete", None, &["--strict"], "did you mean `task.completed`?"),
    ];
    for (kind, variable, more, said) in ways {
        let (code, _) = emit("task.completed", None, &[]);
        assert!(code == 0 && project.read("out/a.xml").contains("errors=\"0\""));
        let (code, commands) = emit(kind, variable, more);
        assert_eq!(code, 2, "{kind} {variable:?} {more:?}");
        assert!(commands.contains("::error") && commands.contains(said), "{commands}");
        let (junit, sarif) = (project.read("out/a.xml"), project.read("out/a.sarif"));
        assert!(junit.contains("errors=\"1\"") && !junit.contains("errors=\"0\""), "{kind} {more:?}: {junit}");
        assert!(sarif.contains(said) && sarif.contains("\"level\": \"error\""), "{sarif}");
        let summary = project.read("out/a.md");
        let last = summary.trim_end().lines().last().unwrap_or_default();
        assert!(
            ["**knockon failed**", "**reviewed content**", "No hook"].iter().any(|text| last.contains(text)),
            "{last}"
        );
    }
    // What cannot be read as an event, too.
    for bad in ["nonsense", "{\"event_type\": \"task.completed\"}\n{\"event_type\": 1}\n"] {
        emit("task.completed", None, &[]);
        let ran = project.run_with_input(&[&["run"], &reports[..]].concat(), bad.as_bytes());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(project.read("out/a.xml").contains("errors=\"1\""), "{bad}");
    }
}

#[test]
fn the_summary_of_github_is_written_over_no_file_of_knockon() {
    let project = TestProject::trusted("- {name: a, events: [{type: a.b}], command: 'echo > ran'}\n");
    let before = project.read(".knockon/hooks.yaml");
    let target = project.root().join(".knockon/hooks.yaml");
    let mut command = project.command(&["emit", "a.b", "--report", "summary"]);
    let output = command.env("GITHUB_STEP_SUMMARY", &target).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(project.read(".knockon/hooks.yaml"), before);
    assert!(!project.exists("ran"), "found before a hook runs");
}

#[test]
fn github_takes_no_output_of_a_hook_for_a_workflow_command() {
    let project = trusted(
        "- {name: a, events: [{type: a.b}], output: always, command: 'echo ::error::forged; echo \"  ::add-mask::x\" >&2'}\n\
         - {name: b, events: [{type: a.b}], output: live, command: 'echo ::warning::forged; exit 1'}\n",
    );
    for (arguments, is_json) in [(&["emit", "a.b"][..], false), (&["emit", "a.b", "--json"], true)] {
        let ran = project.run(&[arguments, &["--report", "github"]].concat());
        let mut stopped: Option<&str> = None;
        let mut commands = Vec::new();
        // As the runner of GitHub Actions reads: the beginning of a line, without the space before it.
        for line in ran.stdout.lines().map(str::trim_start).filter(|line| line.starts_with("::")) {
            match (stopped, line.strip_prefix("::stop-commands::")) {
                (None, Some(token)) => stopped = Some(token),
                (None, None) => commands.push(line),
                (Some(token), _) if line == format!("::{token}::") => stopped = None,
                (Some(_), _) => {}
            }
        }
        assert_eq!(stopped, None, "commands are read again: {}", ran.stdout);
        assert!(commands.iter().all(|line| !line.contains("forged")), "{commands:?}");
        assert_eq!(commands.len(), usize::from(!is_json), "the failure of `b`: {}", ran.stdout);
    }
    // Also when the command fails before it has a result.
    let ran = project.run(&["emit", "a.b", "--report", "github", "--project-root", "gone"]);
    assert!(ran.stdout.starts_with("::error "), "{ran:?}");
}

#[test]
fn a_report_is_not_written_over_a_file_with_another_name() {
    let project = trusted("- {name: h, events: [{type: '*'}], command: 'true'}\n");
    let other = project.file("other", "mine\n");
    for (number, report) in ["junit", "sarif", "summary"].iter().enumerate() {
        let name = format!("out{number}");
        std::fs::hard_link(&other, project.root().join(&name)).unwrap();
        let ran = project.run(&["emit", "a.b", "--report", &format!("{report}={name}")]);
        assert!(ran.code == 74 && ran.stderr.contains("hard link"), "{report}: {ran:?}");
    }
    assert_eq!(project.read("other"), "mine\n");
}
