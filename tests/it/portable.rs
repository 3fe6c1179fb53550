//! What every Unix can do: the fallback, forced on Linux, keeps what it can and says what it cannot.

use crate::support::TestProject;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn emit(project: &TestProject, arguments: &[&str]) -> Value {
    let mut command = project.command(&[&["emit", "a.b", "--json"], arguments].concat());
    let output = command.env("KNOCKON_PLATFORM", "portable").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn trusted(hooks: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\nconcurrency: 8\ndefaults: {{shell: /bin/sh}}\nhooks:\n{hooks}"));
    project
}

#[test]
fn a_hook_runs_with_the_same_protocol_and_the_record_says_what_is_missing() {
    let project = trusted(
        "- {name: h, events: [{type: '*'}], command: 'cat > got; echo out; echo err >&2; umask; ulimit -c; ps -o sid= -p $$ | tr -d \" \"; echo $$; exit 3'}\n",
    );
    project.trust();
    let document = emit(&project, &[]);
    let result = &document["results"][0];
    assert_eq!((&result["exit_code"], &result["stderr"]), (&json!(3), &json!("err\n")), "{document}");
    let lines: Vec<&str> = result["stdout"].as_str().unwrap().lines().collect();
    assert_eq!(lines[..3], ["out", "0022", "0"]);
    assert_eq!(lines[3], lines[4], "a session of its own");
    assert_eq!(project.read("got"), document["event"].to_string());
    let record = project.audit().pop().unwrap();
    let missing = json!(["processes that leave its group", "outliving a killed knockon"]);
    assert_eq!((&record["sandbox"], &record["unenforced"]), (&json!("base"), &missing));
}

#[test]
fn time_limits_and_groups_hold_and_large_data_passes() {
    let project = trusted(
        "- {name: late, events: [{type: '*'}], timeout: 300ms, command: '(while :; do touch beat; sleep 0.02; done) & sleep 60'}\n\
         - {name: deaf, events: [{type: '*'}], timeout: 300ms, command: 'trap \"\" TERM; while :; do sleep 0.1; done'}\n\
         - {name: flood, events: [{type: '*'}], command: 'yes | head -c 3000000'}\n\
         - {name: leaky, events: [{type: '*'}], command: 'sleep 47 & echo done'}\n\
         - {name: quick, events: [{type: '*'}], command: 'true'}\n",
    );
    project.trust();
    let began = Instant::now();
    let document = emit(&project, &["--context", &format!("pad={}", "x".repeat(90_000))]);
    let took = began.elapsed();
    let told: Vec<(&str, &Value)> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hook| (hook["status"].as_str().unwrap(), &hook["leaky"]))
        .collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(
        told,
        [("timeout", &no), ("timeout", &no), ("success", &no), ("success", &yes), ("success", &no)],
        "{document}"
    );
    assert!(took > Duration::from_millis(5200) && took < Duration::from_millis(8000), "{took:?}");
    assert_eq!(document["results"][2]["stdout_bytes"], 3_000_000);
    let _ = std::fs::remove_file(project.root().join("beat"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!project.exists("beat"), "a child of the hook still runs");
}

#[test]
fn what_cannot_start_says_why() {
    let project = trusted(
        "- {name: no-shebang, events: [{type: '*'}], script: no-shebang}\n\
         - {name: no-interpreter, events: [{type: '*'}], script: no-interpreter}\n\
         - {name: no-program, events: [{type: '*'}], command: [/no/program]}\n\
         - {name: no-folder, events: [{type: '*'}], command: 'true', working_directory: nowhere}\n\
         - {name: fine, events: [{type: '*'}], script: sub/fine.sh}\n\
         - {name: link, events: [{type: '*'}], script: link.sh}\n",
    );
    project.script("no-shebang", "echo hi\n");
    project.script("no-interpreter", "#!/no/interpreter\n");
    std::fs::create_dir(project.hooks_folder().join("sub")).unwrap();
    project.script("sub/fine.sh", "#!/bin/sh\necho $0\n");
    std::os::unix::fs::symlink("sub/fine.sh", project.hooks_folder().join("link.sh")).unwrap();
    project.trust();
    let hash = project.command(&["trust", "--print-hash"]).env("KNOCKON_PLATFORM", "portable").output().unwrap();
    let document = emit(&project, &["--trust-hash", String::from_utf8(hash.stdout).unwrap().trim()]);
    let errors: Vec<&str> =
        document["results"].as_array().unwrap().iter().map(|hook| hook["error"].as_str().unwrap_or("")).collect();
    for (error, told) in errors.iter().zip([
        "does not say what runs it",
        "/no/interpreter, which is not installed",
        "`/no/program` cannot be executed",
        "the working directory nowhere",
        "",
    ]) {
        assert!(error.contains(told), "{told}: {document}");
    }
    assert_eq!(document["results"][4]["status"], "success", "{document}");
    assert!(errors[5].contains("link"), "the checked walk follows none: {document}");
}

#[test]
fn a_sandbox_that_cannot_be_had_is_refused_or_told() {
    let project = trusted(
        "- {name: guard, events: [{type: '*'}], sandbox: guard, command: 'true'}\n\
         - {name: must, events: [{type: '*'}], sandbox: {level: guard, require: true}, command: touch must}\n\
         - {name: strict, events: [{type: '*'}], sandbox: strict, command: touch strict}\n",
    );
    project.trust();
    let document = emit(&project, &[]);
    let statuses: Vec<&str> =
        document["results"].as_array().unwrap().iter().map(|hook| hook["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["success", "error", "error"], "{document}");
    assert!(!project.exists("must") && !project.exists("strict"));
    let record =
        project.audit().into_iter().find(|record| record["hook"] == "guard" && record["status"] == "success").unwrap();
    assert_eq!(record["sandbox"], "guard");
    assert!(record["unenforced"].as_array().unwrap().contains(&json!("files")), "{record}");
}
