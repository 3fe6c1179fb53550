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
    assert!(ran.stdout.starts_with("::error file=.knockon/hooks.yaml,line=4,col=41,endColumn=46,title=unknown-key::`comand` is no key of a hook; did you mean `command`?\n"), "{}", ran.stdout);
    let ran = project.run(&["validate", "--format", "sarif"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let results = document["runs"][0]["results"].as_array().unwrap();
    assert_eq!(
        results[0]["locations"][0]["physicalLocation"],
        json!({"artifactLocation": {"uri": ".knockon/hooks.yaml"}, "region": {"startLine": 4, "startColumn": 41, "endColumn": 47}})
    );
    let twice = results.iter().find(|result| result["ruleId"] == "duplicate-name").unwrap();
    assert_eq!(twice["relatedLocations"][0]["physicalLocation"]["region"]["startLine"], 5);
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
