//! What a hook may touch: `sandbox`, the rights it declares, and the policy that can only take away.

use crate::support::{TestProject, write};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;

fn project(hooks: &str) -> TestProject {
    let project = TestProject::new();
    project.config(format!("version: '1.1'\ndefaults: {{shell: /bin/bash}}\nhooks:\n{hooks}"));
    fs::create_dir_all(project.root().join(".git/hooks")).unwrap();
    for (path, text) in [
        (".ssh/id", "key"),
        (".gitconfig", "[user]\n"),
        (".aws/credentials", "key"),
        (".config/gh/hosts.yml", "key"),
        (".config/other", "fine"),
    ] {
        let path = project.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, text, 0o600);
    }
    project.trust();
    project
}

/// Runs one hook with this command and this sandbox; its standard output and its record.
fn tried(sandbox: &str, command: &str) -> (Value, Value, TestProject) {
    let project =
        project(&format!("- {{name: h, events: [{{type: '*'}}], sandbox: {sandbox}, command: {}}}\n", json!(command)));
    let document = project.json(&["emit", "a.b", "--json"]);
    let record = project.audit().pop().unwrap();
    (document["results"][0].clone(), record, project)
}

/// Whether this machine can do all of it; told where it cannot.
fn is_able() -> bool {
    let (_, record, _) = tried("guard", "true");
    let boxed = std::process::Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]).status();
    let able = record["unenforced"] == Value::Null && boxed.is_ok_and(|status| status.success());
    if !able {
        println!("skipped: this machine has not all of Landlock, seccomp, user namespaces and bubblewrap: {record}");
    }
    able
}

/// A line for each thing that is tried: whether it worked.
const ATTEMPTS: &str = r#"
try() { if "${@:2}" >/dev/null 2>&1; then echo "$1: yes"; else echo "$1: no"; fi; }
try project touch made
try move bash -c 'mkdir x y; touch x/a; mv x/a y/b; ln y/b x/c'
try deeper bash -c 'mkdir -p a/b && echo x > a/b/c'
try git touch .git/hooks/post-checkout
try hooks touch .knockon/evil.sh
try config sed -i s/a/b/ .knockon/hooks.yaml
try home touch "$HOME/made"
try tmp touch /tmp/made-by-$$
try own-tmp mktemp
try key cat "$HOME/.ssh/id"
try cloud cat "$HOME/.aws/credentials"
try token cat "$HOME/.config/gh/hosts.yml"
try settings cat "$HOME/.config/other"
try dotfile cat "$HOME/.gitconfig"
try list ls "$HOME" /
try system cat /etc/passwd
try null bash -c 'echo > /dev/null'
try answer bash -c 'echo {} > "$HOOK_RESPONSE"'
try udp python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)'
try local python3 -c 'import socket; socket.socket(socket.AF_UNIX)'
try mount mount -t tmpfs none .git
try rename mv .git .gone
try signal kill -0 "$PPID"
"#;

fn answers(result: &Value) -> Vec<(String, bool)> {
    let text = result["stdout"].as_str().unwrap();
    text.lines().filter_map(|line| line.split_once(": ")).map(|(what, did)| (what.to_owned(), did == "yes")).collect()
}

fn allowed(result: &Value) -> Vec<String> {
    answers(result).into_iter().filter(|(_, did)| *did).map(|(what, _)| what).collect()
}

#[test]
fn guard_leaves_the_project_and_takes_the_keys_and_the_network() {
    if !is_able() {
        return;
    }
    let (result, record, project) = tried("guard", ATTEMPTS);
    assert_eq!(answers(&result).len(), 23, "{result}");
    let wanted = ["project", "move", "deeper", "own-tmp", "dotfile", "list", "system", "null", "answer", "local"];
    assert_eq!(allowed(&result), wanted, "{result}");
    assert_eq!(
        (&record["sandbox"], &record["enforced"]),
        (&json!("guard"), &json!(["files", "metadata", "network", "signals", "abstract sockets", "processes"])),
        "{record}"
    );
    assert_eq!(record["unenforced"], Value::Null);
    assert!(project.exists("made") && project.exists("a/b/c"));
    assert!(
        !project.root().join(".git/hooks/post-checkout").exists() && !project.hooks_folder().join("evil.sh").exists()
    );
    fs::write(project.root().join(".git/mine"), "").unwrap();
}

#[test]
fn base_takes_new_privileges_and_core_dumps_and_nothing_else() {
    let (result, record, project) =
        tried("base", "touch \"$HOME/made\"; grep NoNewPrivs /proc/self/status; ulimit -c; cat \"$HOME/.ssh/id\"");
    assert_eq!(result["stdout"], "NoNewPrivs:\t1\n0\nkey", "{result}");
    assert_eq!((&record["sandbox"], &record["enforced"]), (&json!("base"), &Value::Null));
    assert!(project.home().join("made").exists());
}

#[test]
fn declared_rights_are_given_and_shown_when_trust_is_asked_for() {
    if !is_able() {
        return;
    }
    let rights = "{level: guard, network: true, read: [~/.ssh], write: [.git, ~/shared]}";
    let (result, record, project) = tried(rights, ATTEMPTS);
    let allowed = allowed(&result);
    for what in ["git", "key", "udp"] {
        assert!(allowed.contains(&what.to_owned()), "{what}: {result}");
    }
    assert!(!allowed.contains(&"hooks".to_owned()) && !allowed.contains(&"cloud".to_owned()), "{result}");
    assert_eq!(record["enforced"], json!(["files", "metadata", "signals", "abstract sockets", "processes"]));
    project.ok(&["untrust"]);
    let shown = project.run(&["trust"]);
    assert!(
        shown.stdout.contains("declares rights beyond its sandbox: the network; reads ~/.ssh; writes .git, ~/shared"),
        "{shown:?}"
    );
}

#[test]
fn a_server_on_this_machine_is_out_of_reach_without_the_right() {
    if !is_able() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("if (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; then echo in; else echo out; fi");
    for (sandbox, wanted) in [
        ("base", "in\n"),
        ("guard", "out\n"),
        ("{level: guard, network: true}", "in\n"),
        ("strict", "out\n"),
        ("{level: strict, network: true}", "in\n"),
    ] {
        assert_eq!(tried(sandbox, &connect).0["stdout"], wanted, "{sandbox}");
    }
}

#[test]
fn strict_shows_the_system_and_the_project_and_nothing_else() {
    if !is_able() {
        return;
    }
    let (result, record, project) = tried("strict", ATTEMPTS);
    let wanted = ["project", "move", "deeper", "tmp", "own-tmp", "list", "system", "null", "answer", "local"];
    let mut allowed = allowed(&result);
    // A folder of its own, which goes with it.
    allowed.retain(|what| !["home", "hooks", "signal"].contains(&what.as_str()));
    assert_eq!(allowed, wanted, "{result}");
    assert_eq!(record["enforced"], json!(["files", "processes", "network"]), "{record}");
    assert!(!project.hooks_folder().join("evil.sh").exists() && !project.home().join("made").exists());
    assert!(
        !tried("strict", "ls /proc").0["stdout"]
            .as_str()
            .unwrap()
            .lines()
            .any(|line| line == std::process::id().to_string())
    );
}

#[test]
fn strict_runs_the_trusted_bytes_at_their_real_path() {
    if !is_able() {
        return;
    }
    let project = project("- {name: h, events: [{type: '*'}], sandbox: strict, script: s.sh, args: [a, b]}\n");
    project.script("s.sh", "#!/bin/bash\necho $0 $@; pwd; cat; exit 3\n");
    project.script("other.sh", "#!/bin/bash\n");
    project.trust();
    let document = project.json(&["emit", "a.b", "--json"]);
    let result = &document["results"][0];
    let script = project.hooks_folder().join("s.sh");
    let wanted = format!("{} a b\n{}\n{}", script.display(), project.root().display(), document["event"]);
    assert_eq!((result["stdout"].as_str().unwrap(), &result["exit_code"]), (wanted.as_str(), &json!(3)), "{result}");
    assert_eq!(project.audit().last().unwrap()["enforced"], json!(["files", "processes", "network", "trusted bytes"]));
}

#[test]
fn what_a_sandboxed_hook_starts_ends_with_it() {
    if !is_able() {
        return;
    }
    for sandbox in ["guard", "strict"] {
        let project = project(&format!(
            "- {{name: h, events: [{{type: '*'}}], sandbox: {sandbox}, timeout: 500ms, command: '(setsid bash -c \"while :; do touch beat; sleep 0.02; done\" &); exec sleep 60'}}\n"
        ));
        let document = project.json(&["emit", "a.b", "--json"]);
        assert_eq!(document["results"][0]["status"], "timeout", "{document}");
        let _ = fs::remove_file(project.root().join("beat"));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!project.exists("beat"), "{sandbox}");
    }
}

#[test]
fn a_policy_can_only_take_away() {
    if !is_able() {
        return;
    }
    let project = project(
        "- {name: mild, events: [{type: '*'}], timeout: 60, command: 'touch \"$HOME/made\"'}\n\
         - {name: online, events: [{type: '*'}], sandbox: {level: guard, network: true}, command: 'python3 -c \"import socket; socket.socket()\"'}\n\
         - {name: slow, events: [{type: '*'}], timeout: 60, command: 'exec sleep 50'}\n",
    );
    let folder = project.home().join(".config/knockon");
    fs::create_dir_all(&folder).unwrap();
    let policy = |text: &str| write(&folder.join("policy.yaml"), text, 0o600);
    policy("version: '1.0'\nsandbox: guard\nnetwork: false\ntimeout: 1\n");
    let document = project.json(&["emit", "a.b", "--json"]);
    let statuses: Vec<&str> =
        document["results"].as_array().unwrap().iter().map(|hook| hook["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["failed", "failed", "timeout"], "{document}");
    assert_eq!(document["results"][2]["error"], "took longer than its timeout of 1.0 s");
    assert!(
        project
            .audit()
            .iter()
            .filter(|record| record["exit_code"] != Value::Null)
            .all(|record| record["sandbox"] == "guard")
    );

    for (text, told) in [
        ("version: '1.0'\nsandbox: none\n", "policy.yaml:2:10"),
        ("allow: everything\n", "no key of a policy"),
        ("{", "policy.yaml"),
    ] {
        policy(text);
        let document = project.json(&["emit", "a.b", "--json"]);
        assert_eq!(document["hooks_executed"], 0, "{document}");
        let error = document["results"][0]["error"].as_str().unwrap();
        assert!(error.contains("the policy ") && error.contains(told), "{error}");
    }
    let checked = project.run(&["validate"]);
    assert!(checked.code == 2 && checked.stdout.contains("policy.yaml:"), "{checked:?}");
    write(&folder.join("policy.yaml"), "version: '1.0'\n", 0o666);
    let document = project.json(&["emit", "a.b", "--json"]);
    assert!(document["results"][0]["error"].as_str().unwrap().contains("can be written by"), "{document}");
}

#[test]
fn what_is_wrong_with_a_sandbox_is_told_with_its_place() {
    let project = TestProject::new();
    project.config(
        "version: '1.1'\nhooks:\n\
         - {name: a, events: [{type: x.y}], command: x, sandbox: {network: true}}\n\
         - {name: b, events: [{type: x.y}], command: x, sandbox: {level: guard, write: [../up, /]}}\n\
         - {name: c, events: [{type: x.y}], command: x, sandbox: {level: guard, nework: true}}\n",
    );
    let ran = project.run(&["validate"]);
    for told in
        ["`sandbox` has no `level`", "`../up` goes up with `..`", "`/` is everything", "did you mean `network`?"]
    {
        assert!(ran.stdout.contains(told), "{told}: {ran:?}");
    }
}

#[test]
fn what_belongs_to_a_name_outside_stays_and_processes_outside_go_on() {
    if !is_able() {
        return;
    }
    let command = "chmod 777 \"$HOME/.ssh/id\" && echo chmod; touch -d 2000-01-01 \"$HOME/.ssh/id\" && echo touch; chmod 700 .git && echo git; \
        prlimit --pid $PPID --nofile=0:0 && echo prlimit; mknod dev b 7 0 && echo mknod; \
        python3 -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1]))'";
    let (result, _, project) = tried("guard", command);
    assert_eq!(result["stdout"], "[1]\n", "{result}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(project.home().join(".ssh/id")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_project_that_is_the_home_folder_keeps_its_keys() {
    if !is_able() {
        return;
    }
    for sandbox in ["guard", "strict"] {
        let project = TestProject::new();
        let home = project.root();
        project.config(format!(
            "version: '1.1'\nhooks:\n- {{name: h, events: [{{type: '*'}}], sandbox: {sandbox}, shell: /bin/bash, command: {}}}\n",
            json!("cat .ssh/id; echo x >> .ssh/authorized_keys; rm .config/knockon/policy.yaml; touch .local/state/knockon/x; echo x > work/made; true")
        ));
        for (path, text) in [
            (".ssh/id", "key"),
            (".ssh/authorized_keys", ""),
            (".config/knockon/policy.yaml", "version: '1.0'\n"),
            (".local/state/knockon/y", ""),
            ("work/x", ""),
        ] {
            fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
            write(&home.join(path), text, 0o600);
        }
        let own = |arguments: &[&str]| {
            project.command(arguments).env("HOME", &home).env_remove("XDG_STATE_HOME").output().unwrap()
        };
        fs::set_permissions(home.join(".local/state/knockon"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        let hash = String::from_utf8(own(&["trust", "--print-hash"]).stdout).unwrap();
        assert!(own(&["trust", "--hash", hash.trim()]).status.success());
        let document: Value = serde_json::from_slice(&own(&["emit", "a.b", "--json"]).stdout).unwrap();
        assert_eq!(document["results"][0]["stdout"], "", "{sandbox}: {document}");
        assert!(
            home.join(".config/knockon/policy.yaml").exists() && home.join("work/made").exists(),
            "{sandbox}: {document}"
        );
        assert!(!home.join(".local/state/knockon/x").exists());
        assert_eq!(fs::read_to_string(home.join(".ssh/authorized_keys")).unwrap(), "");
    }
}

#[test]
fn rights_declared_for_a_milder_level_say_nothing_under_a_policy() {
    if !is_able() {
        return;
    }
    let project = project(
        "- {name: h, events: [{type: '*'}], sandbox: {level: base, read: [~/.ssh], network: true}, command: 'cat \"$HOME/.ssh/id\"'}\n",
    );
    project.ok(&["untrust"]);
    assert!(project.run(&["trust"]).stdout.contains("declares rights beyond its sandbox: the network; reads ~/.ssh"));
    project.trust();
    assert_eq!(project.json(&["emit", "a.b", "--json"])["results"][0]["stdout"], "key");
    fs::create_dir_all(project.home().join(".config/knockon")).unwrap();
    write(&project.home().join(".config/knockon/policy.yaml"), "version: '1.0'\nsandbox: guard\n", 0o600);
    assert_eq!(project.json(&["emit", "a.b", "--json"])["results"][0]["stdout"], "");
}

#[test]
fn a_right_that_leads_elsewhere_is_none() {
    if !is_able() {
        return;
    }
    let project = project(
        "- {name: h, events: [{type: '*'}], sandbox: {level: guard, write: [.git]}, command: 'echo x > \"$HOME/out\"; [ -L .git ] || { mv .git .git2 && ln -s / .git; }'}\n",
    );
    project.ok(&["emit", "a.b"]);
    let document = project.json(&["emit", "a.b", "--json"]);
    assert!(!project.home().join("out").exists(), "{document}");
    // What it did to its own right it may do; it gains nothing by it.
    let linked =
        self::project("- {name: h, events: [{type: '*'}], sandbox: guard, command: 'touch made; touch .git/evil'}\n");
    fs::rename(linked.root().join(".git"), linked.root().join("repository")).unwrap();
    std::os::unix::fs::symlink("repository", linked.root().join(".git")).unwrap();
    let document = linked.json(&["emit", "a.b", "--json"]);
    assert!(linked.exists("made") && !linked.exists("repository/evil"), "{document}");
    std::os::unix::fs::symlink(linked.home(), linked.home().join("me")).unwrap();
    assert_ne!(linked.json(&["emit", "a.b", "--json"])["results"][0]["stdout"], "key");
}

#[test]
fn another_user_is_guarded_as_well() {
    if !is_able() {
        return;
    }
    // Root alone can become somebody else.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    if !own.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        println!("skipped: only root can start a program as another user");
        return;
    }
    let project = TestProject::new();
    project.config("version: '1.1'\nhooks:\n- {name: h, events: [{type: '*'}], sandbox: guard, shell: /bin/bash, command: 'id -u; touch made; touch .git/evil; cat \"$HOME/.ssh/id\"; touch \"$HOME/x\"; git --version >/dev/null && echo git; true'}\n");
    fs::create_dir_all(project.root().join(".git")).unwrap();
    fs::create_dir_all(project.home().join(".ssh")).unwrap();
    fs::write(project.home().join(".ssh/id"), "key").unwrap();
    let base = project.root().parent().unwrap().to_owned();
    let binary = base.join("knockon");
    fs::copy(env!("CARGO_BIN_EXE_knockon"), &binary).unwrap();
    assert!(std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(&base).status().unwrap().success());
    let run = |arguments: &[&str]| {
        let mut command = project.program("setpriv", &["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(&binary).args(arguments).output().unwrap()
    };
    let hash = String::from_utf8(run(&["trust", "--print-hash"]).stdout).unwrap();
    assert!(run(&["trust", "--hash", hash.trim()]).status.success());
    let output = run(&["emit", "a.b", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(document["results"][0]["stdout"], "65534\ngit\n", "{document}");
    assert!(project.exists("made") && !project.exists(".git/evil") && !project.home().join("x").exists());
}

#[test]
fn a_right_gives_what_it_names_and_no_keys_in_it() {
    if !is_able() {
        return;
    }
    let rights = "{level: guard, require: true, read: [~/.ssh/id, nowhere], write: [~/.config, ~/.aws/none, made/up]}";
    let (result, record, project) = tried(
        rights,
        "cat \"$HOME/.ssh/id\"; echo; cat \"$HOME/.config/gh/hosts.yml\"; echo x > \"$HOME/.config/gh/hosts.yml\"; echo x > \"$HOME/.config/other\" && echo other; \
         mkdir -p \"$HOME/.config/knockon\"; echo x > \"$HOME/.config/knockon/hooks.yaml\" && echo own; true",
    );
    assert_eq!(result["stdout"], "key\nother\n", "{result} {record}");
    assert!(!project.home().join(".config/knockon/hooks.yaml").exists());
    let (own, ..) = tried("{level: guard, write: [~/.config/knockon]}", "true");
    assert!(own["error"].as_str().unwrap().contains("is knockon's own"), "{own}");
}

#[test]
fn a_folder_above_what_is_kept_cannot_be_renamed() {
    if !is_able() {
        return;
    }
    for sandbox in ["guard", "strict"] {
        let project = TestProject::flowspec();
        project.config(format!("version: '1.1'\nhooks:\n- {{name: h, events: [{{type: '*'}}], sandbox: {sandbox}, shell: /bin/bash, command: 'mv .flowspec .fs; mkdir -p .flowspec/hooks; echo x > .flowspec/new && echo new; echo x > .flowspec/hooks/evil; true'}}\n"));
        project.trust();
        let document = project.json(&["emit", "a.b", "--json"]);
        assert_eq!(document["results"][0]["stdout"], "new\n", "{sandbox}: {document}");
        assert!(!project.exists(".fs") && !project.exists(".flowspec/hooks/evil"));
    }
}

#[test]
fn what_lies_in_shared_memory_is_not_hidden() {
    if !is_able() {
        return;
    }
    let project = project(
        "- {name: h, events: [{type: '*'}], sandbox: guard, fail_mode: stop, command: 'echo \"{\\\"decision\\\": \\\"deny\\\"}\" > \"$HOOK_RESPONSE\"'}\n",
    );
    let output = project.command(&["emit", "a.b"]).env("TMPDIR", "/dev/shm").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_strict_hook_may_tidy_up_when_its_time_is_up() {
    if !is_able() {
        return;
    }
    let project = project(
        "- {name: h, events: [{type: '*'}], sandbox: strict, timeout: 1, shell: /bin/bash, \
         command: 'trap \"echo tidy > tidied; exit 3\" TERM; touch up; while :; do sleep 0.05; done'}\n",
    );
    let begun = std::time::Instant::now();
    let document = project.json(&["emit", "a.b", "--json"]);
    assert_eq!(document["results"][0]["status"], "timeout", "{document}");
    assert_eq!(project.read("tidied"), "tidy\n");
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(4),
        "it ends when it has tidied up: {:?}",
        begun.elapsed()
    );
}

#[test]
fn a_temporary_folder_goes_however_deep_a_hook_makes_it() {
    if !is_able() {
        return;
    }
    let project = project(
        "- {name: h, events: [{type: '*'}], sandbox: guard, command: [python3, -c, \"import os\\nos.chdir(os.environ['TMPDIR'])\\n\
         for i in range(3000): os.mkdir('d'); os.chdir('d')\\nos.chmod('.', 0)\"]}\n",
    );
    let base = project.home().join("tmp");
    fs::create_dir(&base).unwrap();
    let output = project.command(&["emit", "a.b", "--json"]).env("TMPDIR", &base).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["results"][0]["status"], "success", "{document}");
    assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
}
