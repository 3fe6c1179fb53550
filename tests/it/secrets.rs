//! Secrets that a hook was given stand in nothing that is shown, recorded or passed on.

use crate::support::{TestProject, write};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SECRET: &str = "hunter2-\"quoted\"-and-long";
const KEY: &str = "first line of a key\nsecond line of it";

/// All bytes of all files below a folder, as text.
fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            text.push_str(&all_text(&entry.path()));
        } else if kind.is_file() {
            text.push_str(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap()));
        }
    }
    text
}

fn assert_hidden(what: &str, text: &str) {
    for part in ["hunter2", "quoted", "line of a key", "line of it", "access-token", "refresh-token"] {
        assert!(!text.contains(part), "{what} has {part:?}: {text}");
    }
}

#[test]
fn values_of_env_from_and_tokens_are_masked_everywhere() {
    let project = TestProject::new();
    project.hooks(
        "- {name: prints, events: [{type: a.b}], env_from: [SECRET, KEY], output: always, script: prints.sh}\n\
         - {name: live, events: [{type: a.b}], env_from: [SECRET, KEY], output: live, script: prints.sh}\n\
         - {name: blocks, events: [{type: a.b}], env_from: [SECRET], script: blocks.sh}\n\
         - {name: answers, events: [{type: a.b}], env_from: [SECRET], script: answers.sh}\n\
         - {name: printed, events: [{type: a.b}], env_from: [SECRET], script: printed.sh}\n\
         - {name: emits, events: [{type: a.b}], env_from: [SECRET], script: emits.sh}\n\
         - {name: later, events: [{type: a.b}], env_from: [SECRET], script: later.sh, mode: detach}\n\
         - {name: tokens, events: [{type: a.b}], output: always, command: 'cat ~/.local/state/knockon/sync/credentials.json'}\n",
    );
    let python = "#!/usr/bin/env python3\nimport json, os, sys, time\nsecret = os.environ['SECRET']\n";
    let script = |name: &str, text: &str| project.script(name, &format!("{python}{text}"));
    script(
        "prints.sh",
        "for part in (secret[:9], secret[9:]):\n  for stream in (sys.stdout, sys.stderr):\n    stream.write(part); stream.flush()\n  \
         time.sleep(0.05)\nprint(); print(os.environ['KEY'], file=sys.stderr); print('the end')\n",
    );
    script("blocks.sh", "print('no:', secret, file=sys.stderr); sys.exit(2)\n");
    script(
        "answers.sh",
        "json.dump({'decision': 'deny', 'reason': 'no: ' + secret, 'message': secret}, open(os.environ['HOOK_RESPONSE'], 'w'))\n",
    );
    script("printed.sh", "print(json.dumps({'knockon': 1, 'decision': 'deny', 'reason': 'no: ' + secret}))\n");
    script(
        "emits.sh",
        "json.dump({'emit': [{'type': 'c.d', 'context': {'x': secret}}]}, open(os.environ['HOOK_RESPONSE'], 'w'))\n",
    );
    script("later.sh", "print(secret); sys.exit(1)\n");
    project.trust();
    let sync = project.home().join(".local/state/knockon/sync");
    fs::create_dir_all(&sync).unwrap();
    fs::set_permissions(&sync, fs::Permissions::from_mode(0o700)).unwrap();
    let tokens =
        "{\"server\": \"https://team.example\", \"access\": \"access-token-1\", \"refresh\": \"refresh-token-2\"}";
    write(&sync.join("credentials.json"), tokens, 0o600);
    let run = |arguments: &[&str]| {
        let output = project.command(arguments).env("SECRET", SECRET).env("KEY", KEY).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    };
    let plain = run(&["emit", "a.b", "--verbose"]);
    assert_hidden("the output", &plain);
    assert!(plain.contains("***") && plain.contains("the end"), "{plain}");
    for form in ["--json", "--jsonl"] {
        let shown = run(&["emit", "a.b", form]);
        assert_hidden(form, &shown);
        assert!(shown.contains("no: ***"), "{shown}");
    }
    let reports = ["junit=out/a.xml", "sarif=out/a.sarif", "summary=out/a.md", "github"];
    let reports: Vec<&str> = reports.iter().flat_map(|report| ["--report", report]).collect();
    assert_hidden("workflow commands", &run(&[&["emit", "a.b"], &reports[..]].concat()));
    assert_hidden("results", &all_text(&project.root().join("out")));
    run(&["drain"]);
    assert_hidden("stats", &run(&["stats"]));
    run(&["report", "--out", "out/page.html"]);
    assert_hidden("the page", &project.read("out/page.html"));
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    assert_hidden("audit show", &run(&["audit", "show", &id]));
    let log = project.read(".knockon/audit.log");
    assert_hidden("the audit log", &log);
    assert!(log.contains("c.d") && log.matches("later").count() > 1, "the hooks ran: {log}");
    fs::remove_file(sync.join("credentials.json")).unwrap();
    assert_hidden("the state folder", &all_text(&project.home()));
}

#[test]
fn a_short_value_is_no_secret() {
    let project = TestProject::trusted(
        "- {name: h, events: [{type: a.b}], env_from: [MODE], output: always, command: 'echo is $MODE'}\n",
    );
    let output = project.command(&["emit", "a.b"]).env("MODE", "release").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("is release"), "{output:?}");
}
