//! `validate`: what is right, what is merely unwise, and as data.

use crate::support::{TestProject, stable};
use serde_json::json;

#[test]
fn a_sound_file_passes() {
    let project = TestProject::new();
    project.hooks("- {name: a, events: [{type: task.completed}], command: 'true', x-mine: 1}\n");
    assert_eq!(project.ok(&["validate"]).stdout, "✓ 1 hook in 1 file, no problems\n");
    project.config("version: '1.0'\nhooks: []\n");
    assert_eq!(project.ok(&["validate"]).stdout, "✓ 0 hooks in 1 file, no problems\n");
    let bare = TestProject::bare();
    assert!(bare.ok(&["validate"]).stdout.contains("`knockon init` writes one"));
}

#[test]
fn what_is_unwise_is_a_warning_and_exits_with_0() {
    let project = TestProject::new();
    project.hooks(
        "- {name: long, events: [{type: task.completd}], command: 'true', timeout: 301}\n\
         - {name: hook, events: [{type: a.b}], webhook: {url: 'https://example.com'}}\n",
    );
    let ran = project.ok(&["validate"]);
    let shown = stable(&ran.stdout, &project);
    assert_eq!(
        shown,
        "/project/.knockon/hooks.yaml:4:10: warning: the timeout of `long` is 301 s; more than 300 s keeps the caller waiting for long\n  4 | - {name: long, events: [{type: task.completd}], command: 'true', timeout: 301}\n    |          ^^^^\n\
         /project/.knockon/hooks.yaml:4:32: warning: `task.completd` is no known event type\n  4 | - {name: long, events: [{type: task.completd}], command: 'true', timeout: 301}\n    |                                ^^^^^^^^^^^^^\n  help: did you mean `task.completed`?\n\
         /project/.knockon/hooks.yaml:5:32: warning: `a.b` is no known event type\n  5 | - {name: hook, events: [{type: a.b}], webhook: {url: 'https://example.com'}}\n    |                                ^^^\n  help: `knockon events` lists the known ones\n\
         /project/.knockon/hooks.yaml:5:39: warning: `hook`: `webhook` comes with knockon 0.3; until then the hook is skipped\n  5 | - {name: hook, events: [{type: a.b}], webhook: {url: 'https://example.com'}}\n    |                                       ^^^^^^^\n\
         ✓ 2 hooks in 1 file, 4 warnings\n"
    );
}

#[test]
fn one_file_can_be_checked_alone_and_as_data() {
    let project = TestProject::new();
    project.config("not: right\n");
    let file = project.file(
        "elsewhere/custom.yaml",
        "version: '1.0'\nhooks: [{name: a, events: [{type: '*'}], command: x, timout: 3}]\n",
    );
    let ran = project.run(&["validate", "-f", file.to_str().unwrap(), "--json"]);
    assert_eq!(ran.code, 2);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        document,
        json!({
            "valid": false,
            "files": [file],
            "hooks": 0,
            "problems": [{
                "severity": "error", "code": "unknown-key", "path": file, "line": 2, "column": 54,
                "length": 6, "message": "`timout` is no key of a hook", "label": "unknown key",
                "help": "did you mean `timeout`?", "related": [],
                "source": "hooks: [{name: a, events: [{type: '*'}], command: x, timout: 3}]",
            }],
        })
    );
    assert_eq!(project.run(&["validate", "-f", "nowhere.yaml"]).code, 2);
}

#[test]
fn problems_are_told_for_code_scanning_and_for_github() {
    let project = TestProject::new();
    project.hooks("- {name: a, events: [{type: 'task.['}], comand: x}\n- {name: a, events: [{type: '*'}], command: x}\n- {name: a, events: [{type: '*'}], command: x}\n");
    let ran = project.run(&["validate", "--format", "github"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.starts_with("::error file=.knockon/hooks.yaml,line=4,col=35,endColumn=35,title=bad-glob::this `[` is never closed\n::error file=.knockon/hooks.yaml,line=4,col=41,endColumn=46,title=unknown-key::`comand` is no key of a hook; did you mean `command`?\n"), "{}", ran.stdout);
    let ran = project.run(&["validate", "--format", "sarif"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let results = document["runs"][0]["results"].as_array().unwrap();
    assert_eq!(
        results[1]["locations"][0]["physicalLocation"],
        json!({"artifactLocation": {"uri": ".knockon/hooks.yaml"}, "region": {"startLine": 4, "startColumn": 41, "endColumn": 47}})
    );
    let twice = results.iter().find(|result| result["ruleId"] == "duplicate-name").unwrap();
    assert_eq!(twice["relatedLocations"][0]["physicalLocation"]["region"]["startLine"], 4);
}

/// Code scanning and GitHub name files by their place in the repository, wherever the project is in it.
#[test]
fn paths_for_other_tools_are_those_of_the_repository() {
    let top = TestProject::bare();
    std::fs::create_dir_all(top.root().join(".git")).unwrap();
    let answer = json!({"annotations": [{"file": "src/a.py", "line": 3, "message": "too long"}]});
    let hooks = format!(
        "version: \"1.0\"\nhooks:\n- {{name: a, events: [{{type: a.b}}], comand: x}}\n- {{name: b, events: [{{type: a.b}}], command: {}}}\n",
        json!(format!("printf %s '{answer}'"))
    );
    top.config_in("packages/api/.knockon", &hooks);
    let root = ["--project-root", "packages/api"];
    let ran = top.run(&[&["validate", "--format", "github"], &root[..]].concat());
    assert!(ran.stdout.starts_with("::error file=packages/api/.knockon/hooks.yaml,line=3,"), "{ran:?}");
    let ran = top.run(&[&["validate", "--format", "sarif"], &root[..]].concat());
    assert!(ran.stdout.contains("\"uri\":\"packages/api/.knockon/hooks.yaml\""), "{ran:?}");
    top.config_in("packages/api/.knockon", &hooks.replace("comand: x", "command: 'true'"));
    let hash = top.ok(&[&["trust", "--print-hash"], &root[..]].concat()).stdout;
    top.ok(&[&["trust", "--hash", hash.trim()], &root[..]].concat());
    let ran = top.ok(&[&["emit", "a.b", "--report", "github", "--report", "sarif=out.sarif"], &root[..]].concat());
    assert!(ran.stdout.contains("file=packages/api/src/a.py,line=3"), "{ran:?}");
    assert!(top.read("out.sarif").contains("packages/api/src/a.py"));
}

#[test]
fn what_flowspec_would_refuse_is_told_when_asked() {
    let project = TestProject::new();
    project.hooks(
        "- {name: a, events: [{type: '*', filter: {p: {prefix: x}}}], command: [x], env: {A: 'a;b'}, output: never}\n",
    );
    assert!(!project.run(&["validate"]).stdout.contains("flowspec"));
    let shown = project.run(&["validate", "--flowspec"]).stdout;
    for words in [
        "flowspec does not know `output`",
        "takes a command as a string only",
        "refuses the value of `A`",
        "compares `p` as it stands",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn every_problem_of_a_file_is_told_in_one_run() {
    let project = TestProject::new();
    project.config(
        "version: '1.1'\ndefaults: {timeout: 0}\nhooks:\n\
         - {name: a, events: [{type: 'x.[y'}, 7, {type: x.y, filter: {t: {wildcard: 'a**'}}, files: ['src/{a']}], command: x}\n\
         - {name: b, events: [{type: x.y}], script: nowhere.sh, env_from: [LD_PRELOAD, 3, 'A=B']}\n\
         - {name: a, events: [{type: x.y}], if: {a: 1}}\n\
         - {events: [{type: x.y}], comand: x}\n",
    );
    let document = project.run(&["validate", "--json"]).stdout;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let errors = document["problems"].as_array().unwrap().iter().filter(|problem| problem["severity"] == "error");
    let told: Vec<String> =
        errors.map(|problem| format!("{} {}", problem["line"], problem["code"].as_str().unwrap())).collect();
    for wanted in [
        "2 out-of-range",
        "4 bad-glob",
        "4 wrong-type",
        "4 bad-filter",
        "5 refused-variable",
        "5 wrong-type",
        "6 duplicate-name",
        "6 unknown-key",
        "6 missing-key",
        "7 missing-key",
        "7 unknown-key",
    ] {
        assert!(told.contains(&wanted.to_owned()), "{wanted}: {told:#?}");
    }
    assert_eq!(told.iter().filter(|told| *told == "4 bad-glob").count(), 2, "the type's and the file's");
    assert_eq!(told.iter().filter(|told| *told == "5 refused-variable").count(), 2);
    assert_eq!(told.last().unwrap(), "5 script-missing", "what is missing on disk comes behind");
    let hint = document["problems"]
        .as_array()
        .unwrap()
        .iter()
        .find(|problem| problem["line"] == 6 && problem["code"] == "unknown-key");
    assert_eq!(hint.unwrap()["help"], "did you mean `filter`, under `events`?");
}

#[test]
fn a_warning_about_a_layer_stands_in_that_layer() {
    let project = TestProject::new();
    project.config("version: '1.1'\ninclude: [x.yaml]\nhooks: []\n");
    project.file(
        ".knockon/x.yaml",
        "version: '1.1'\n#\n#\nhooks:\n- {name: s, events: [{type: task.bompleted}], command: x, timeout: 5}\n",
    );
    project.file(".knockon/hooks.local.yaml", "version: '1.1'\nhooks:\n- {name: s, timeout: 400}\n");
    let shown = project.ok(&["validate"]).stdout;
    assert!(shown.contains("x.yaml:5:29: warning: `task.bompleted` is no known event type"), "{shown}");
    assert!(shown.contains("hooks.local.yaml:3:13: warning: the timeout of `s` is 400 s"), "{shown}");
    assert!(shown.contains("3 | - {name: s, timeout: 400}"), "{shown}");
    project.config("version: '1.1'\ninclude: [hooks.local.yaml, hooks.on.yaml]\nhooks: []\n");
    let shown = project.run(&["validate"]).stdout;
    assert_eq!(shown.matches("is read anyway").count(), 2, "{shown}");
}

#[test]
fn keys_that_cannot_work_together_are_errors_found_in_one_run() {
    let project = TestProject::new();
    project.hooks(
        "- {name: alone, events: [{type: a.b}], command: 'true', mode: detach}\n\
         - {name: many, events: [{type: a.b}], command: 'true', coalesce: {key: x, within: 1s}}\n\
         - {name: detached-guard, events: [{type: a.b}], command: 'true', mode: detach, fail_mode: stop}\n\
         - {name: merged-guard, events: [{type: a.b}], command: 'true', coalesce: {key: x, within: 1s}, fail_mode: stop}\n\
         - {name: after-detached, events: [{type: a.b}], command: 'true', after: [alone]}\n\
         - {name: after-merged, events: [{type: a.b}], command: 'true', after: [many]}\n\
         - {name: after-never, events: [{type: c.d}], command: 'true', after: [fine]}\n\
         - {name: ends-others, events: [{type: a.b}], command: 'true', stop: now}\n\
         - {name: stalls, events: [{type: a.b}], command: 'true', on_timeout: block}\n\
         - {name: upper, events: [{type: 'Task.*'}], command: 'true'}\n\
         - {name: anchored, events: [{type: '^task'}], command: 'true'}\n\
         - {name: excluded, events: [{type: '!task.*'}], command: 'true'}\n\
         - {name: no-dot, events: [{type: task}], command: 'true'}\n\
         - {name: near, events: [{type: 'taks.*'}], command: 'true'}\n\
         - {name: fine, events: [{type: a.b}], command: 'true'}\n\
         - {name: waits, events: [{type: '*.b'}], command: 'true', after: [fine], fail_mode: stop, stop: now, on_timeout: block}\n",
    );
    project.file(".knockon/hooks.local.yaml", "version: '1.0'\nhooks: [{name: stals, enabled: false}]\n");
    let document: serde_json::Value = serde_json::from_str(&project.run(&["validate", "--json"]).stdout).unwrap();
    let problems = document["problems"].as_array().unwrap();
    let told = |severity: &str| -> Vec<String> {
        let of = problems.iter().filter(|problem| problem["severity"] == severity);
        of.map(|problem| {
            format!("{} | {}", problem["message"].as_str().unwrap(), problem["help"].as_str().unwrap_or(""))
        })
        .collect()
    };
    let errors = told("error");
    for (message, help) in [
        ("`fail_mode: stop` has no effect with `mode: detach`", "remove `fail_mode: stop`, or `mode: detach`"),
        ("`fail_mode: stop` has no effect with `coalesce`", "remove `fail_mode: stop`, or `coalesce`"),
        ("`after-detached` cannot wait for `alone`: it has `mode: detach`", "let the emitter wait for `alone`"),
        ("`after-merged` cannot wait for `many`: it has `coalesce`", "let the emitter wait for `many`"),
        ("`after-never` waits for `fine`, which never gets the same event", "match the same event types"),
        ("`stop: now` has no effect without `fail_mode: stop`", "add `fail_mode: stop`"),
        ("`on_timeout: block` has no effect without `fail_mode: stop`", "add `fail_mode: stop`"),
        ("`Task.*` matches no event type", "write `task.*`"),
        ("`^task` matches no event type", "write `task.*`"),
        ("`!task.*` matches no event type", "write `task.*`"),
        ("`task` matches no event type", "write `task.*`"),
        ("there is no hook `stals` to override", "did you mean `stalls`?"),
    ] {
        let found = errors.iter().find(|error| error.starts_with(message) && error.contains(help));
        assert!(found.is_some(), "{message} | {help}: {errors:#?}");
    }
    assert_eq!(errors.len(), 12, "{errors:#?}");
    let warnings = told("warning");
    let near = warnings.iter().find(|warning| warning.starts_with("`taks.*` matches no known event type"));
    assert!(near.is_some_and(|near| near.ends_with("did you mean `task.*`?")), "{warnings:#?}");
    for kind in ["Task.*", "^task", "!task.*", "task"] {
        let ran = project.run(&["on", kind, "true"]);
        assert!(ran.code == 2 && ran.stderr.contains("write `task.*`"), "{kind}: {ran:?}");
    }
}

#[test]
fn a_default_of_stop_is_for_hooks_that_wait() {
    let project = TestProject::new();
    project.config(
        "version: '1.0'\ndefaults: {fail_mode: stop, shell: /bin/sh}\nhooks:\n\
         - {name: alone, events: [{type: a.b}], command: 'true', mode: detach}\n\
         - {name: waits, events: [{type: a.b}], command: 'true'}\n",
    );
    project.ok(&["validate"]);
    let hooks = project.json(&["list", "--json"]);
    assert_eq!(
        (&hooks["hooks"][0]["fail_mode"], &hooks["hooks"][1]["fail_mode"]),
        (&"continue".into(), &"stop".into())
    );
}

#[test]
fn a_program_that_is_missing_is_a_matter_of_the_machine() {
    let project = TestProject::new();
    project.script("other.sh", "#!/nowhere/interpreter\n");
    project.hooks(
        "- {name: program, events: [{type: a.b}], command: [no-such-program]}\n\
         - {name: shell, events: [{type: a.b}], command: x, shell: /no/shell}\n\
         - {name: script, events: [{type: a.b}], script: other.sh}\n",
    );
    let ran = project.ok(&["validate"]);
    assert_eq!(ran.stdout.matches(": warning: the ").count(), 3, "{}", ran.stdout);
    assert_eq!(project.run(&["validate", "--strict"]).code, 2);
}

#[test]
fn explain_speaks_of_no_wait_that_will_not_happen() {
    let project = TestProject::trusted(
        "- {name: first, events: [{type: a.b, filter: {x: 1}}], command: 'true'}\n\
         - {name: idle, events: [{type: a.b}], command: 'true', enabled: false}\n\
         - {name: second, events: [{type: a.b}], command: 'true', after: [first, idle]}\n",
    );
    assert!(!project.ok(&["explain", "a.b"]).stdout.contains("it waits for"));
    assert!(project.ok(&["explain", "a.b", "--context", "x:=1"]).stdout.contains("it waits for `first`\n"));
}
