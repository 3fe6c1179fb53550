//! Hooks of a commit: `--config-from-ref`, for pull requests that must not change what runs.

use crate::support::TestProject;
use serde_json::{Value, json};

fn git(project: &TestProject, arguments: &[&str]) -> String {
    let mut command = project.program("git", arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository whose branch `main` has a hook with a script that reads a file beside it.
fn repository(folder: &str) -> TestProject {
    let project = if folder == ".knockon" { TestProject::new() } else { TestProject::flowspec() };
    project.hooks("- {name: h, events: [{type: '*'}], script: sub/h.sh}\n");
    std::fs::create_dir_all(project.hooks_folder().join("sub")).unwrap();
    project.script("sub/h.sh", "#!/bin/sh\n. \"$(dirname \"$0\")/../lib.sh\"\necho $HOOK_WORKSPACE\n");
    project.script("lib.sh", "echo from main\n");
    git(&project, &["init", "-q", "-b", "main"]);
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-q", "-m", "hooks"]);
    project
}

fn emit(project: &TestProject, arguments: &[&str]) -> Value {
    let folder = project.home().join("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = project.command(&[&["emit", "a.b", "--json", "--config-from-ref"], arguments].concat());
    let output = command.env("TMPDIR", &folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "tidied up");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_a_branch_has_runs_and_not_what_lies_there() {
    for folder in [".knockon", ".flowspec/hooks"] {
        let project = repository(folder);
        let commit = git(&project, &["rev-parse", "main"]);
        // What a pull request could bring.
        project.hooks("- {name: evil, events: [{type: '*'}], command: touch evil}\n");
        project.script("sub/h.sh", "#!/bin/sh\ntouch evil\n");
        project.script("lib.sh", "touch evil\n");
        for name in ["main", "HEAD", commit.as_str(), "refs/heads/main"] {
            let document = emit(&project, &[name]);
            let wanted = format!("from main\n{}\n", project.root().display());
            assert_eq!(document["results"][0]["stdout"], wanted, "{name}: {document}");
        }
        assert!(!project.exists("evil"));
        let emitted = project.audit().into_iter().find(|record| record["status"] == "emitted").unwrap();
        assert_eq!(emitted["config_commit"], json!(commit));
    }
}

#[test]
fn a_repository_cannot_make_git_run_anything() {
    let project = repository(".knockon");
    let touch = project.file("touch.sh", "#!/bin/sh\ntouch \"$(dirname \"$0\")/ran-by-git\"\n");
    std::fs::set_permissions(&touch, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let touch = touch.to_str().unwrap();
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "diff.external",
        "credential.helper",
    ] {
        git(&project, &["config", key, touch]);
    }
    git(&project, &["config", "extensions.partialClone", "origin"]);
    git(&project, &["config", "remote.origin.url", &format!("ext::{touch}")]);
    git(&project, &["config", "remote.origin.promisor", "true"]);
    git(&project, &["config", "protocol.ext.allow", "always"]);
    git(
        &project,
        &[
            "replace",
            "-f",
            &git(&project, &["rev-parse", "main:.knockon/lib.sh"]),
            &git(&project, &["hash-object", "-w", touch]),
        ],
    );
    let document = emit(&project, &["main"]);
    assert!(document["results"][0]["stdout"].as_str().unwrap().starts_with("from main\n"), "{document}");
    let object = git(&project, &["rev-parse", "main:.knockon/lib.sh"]);
    git(&project, &["replace", "-d", &object]);
    std::fs::remove_file(project.root().join(format!(".git/objects/{}/{}", &object[..2], &object[2..]))).unwrap();
    let ran = project.run(&["emit", "a.b", "--config-from-ref", "main"]);
    assert!(ran.code == 2 && ran.stderr.contains("--config-from-ref: "), "{ran:?}");
    assert!(!project.exists("ran-by-git"));
}

#[test]
fn what_cannot_be_read_from_a_commit_is_told() {
    let project = repository(".knockon");
    for (name, told) in
        [("nowhere", "`nowhere` is no commit"), ("--help", "`--help` is no commit"), ("main:.knockon", "is no commit")]
    {
        let ran = project.run(&["emit", "a.b", &format!("--config-from-ref={name}")]);
        assert!(ran.code == 2 && ran.stderr.contains(told), "{ran:?}");
    }
    git(&project, &["rm", "-rq", "--cached", ".knockon"]);
    git(&project, &["commit", "-q", "-m", "none"]);
    let ran = project.run(&["emit", "a.b", "--config-from-ref", "main"]);
    assert!(ran.code == 2 && ran.stderr.contains("`main` has no .flowspec/hooks/hooks.yaml"), "{ran:?}");
    let ran = project.run(&["emit", "a.b", "--config-from-ref", "main", "--config", "x.yaml"]);
    assert!(ran.code == 2 && ran.stderr.contains("cannot be used with"), "{ran:?}");
    let bare = TestProject::new();
    assert_eq!(bare.run(&["emit", "a.b", "--config-from-ref", "main"]).code, 2);
}

#[test]
fn a_project_that_is_a_part_of_a_repository_has_its_own_hooks() {
    let project = repository(".knockon");
    let part = project.root().join("part");
    std::fs::create_dir_all(part.join(".knockon")).unwrap();
    crate::support::write(
        &part.join(".knockon/hooks.yaml"),
        "version: '1.0'\nhooks:\n- {name: part, events: [{type: '*'}], command: echo part}\n",
        0o644,
    );
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-q", "-m", "part"]);
    let output =
        project.command(&["emit", "a.b", "--json", "--config-from-ref", "main"]).current_dir(&part).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["results"][0]["stdout"], "part\n", "{document}");
}

#[test]
fn nothing_that_is_not_in_the_commit_is_read_or_written() {
    let project = repository(".knockon");
    let outside = project.home().join("hooks.yaml");
    std::fs::write(&outside, "version: '1.0'\nhooks:\n- {name: evil, events: [{type: '*'}], command: echo evil}\n")
        .unwrap();
    std::fs::remove_file(project.hooks_folder().join("hooks.yaml")).unwrap();
    std::os::unix::fs::symlink(&outside, project.hooks_folder().join("hooks.yaml")).unwrap();
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-q", "-m", "link"]);
    let ran = project.run(&["emit", "a.b", "--config-from-ref", "main"]);
    assert!(ran.code == 2 && ran.stderr.contains("has no .flowspec"), "{ran:?}");

    // A tree that no git command makes: a link and a folder of one name.
    let victim = project.home().join("victim");
    std::fs::create_dir(&victim).unwrap();
    let make = format!(
        r##"import subprocess, sys
def put(kind, data):
    p = subprocess.run(["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"], input=data, capture_output=True, check=True)
    return bytes.fromhex(p.stdout.strip().decode())
def entry(mode, name, object): return mode + b" " + name + b"\0" + object
link = put("blob", b"{}")
file = put("blob", b"#!/bin/sh\n")
config = put("blob", b"version: '1.0'\nhooks: []\n")
folder = put("tree", entry(b"100755", b"dropped", file))
hooks = put("tree", entry(b"120000", b"d", link) + entry(b"40000", b"d", folder) + entry(b"100644", b"hooks.yaml", config))
root = put("tree", entry(b"40000", b".knockon", hooks))
commit = subprocess.run(["git", "commit-tree", root.hex(), "-m", "x"], capture_output=True, check=True, env={{"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "PATH": "/usr/bin:/bin:/usr/local/bin"}}).stdout.decode().strip()
print(commit)"##,
        victim.display()
    );
    let output = project.program("python3", &["-c", &make]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let commit = String::from_utf8(output.stdout).unwrap();
    let ran = project.run(&["emit", "a.b", "--config-from-ref", commit.trim()]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0, "nothing was written through the link");
}

#[test]
fn the_reference_that_is_taken_is_named_and_never_guessed() {
    let project = repository(".knockon");
    let commit = git(&project, &["rev-parse", "main"]);
    git(&project, &["update-ref", "refs/remotes/origin/main", &commit]);
    let taken = |name: &str| {
        let ran = project.run(&["emit", "a.b", "--json", "--config-from-ref", name]);
        let records = project.audit();
        let record = records.iter().rev().find(|record| record["status"] == "emitted");
        (ran.code, ran.stderr, record.map(|record| record["config_ref"].clone()).unwrap_or_default())
    };
    for (name, full) in [
        ("origin/main", "refs/remotes/origin/main"),
        ("main", "refs/heads/main"),
        ("heads/main", "refs/heads/main"),
        ("refs/heads/main", "refs/heads/main"),
        ("main~0", "refs/heads/main~0"),
        ("HEAD", "HEAD"),
        (commit.as_str(), commit.as_str()),
        (&commit[..10], &commit[..10]),
    ] {
        let (code, stderr, recorded) = taken(name);
        assert_eq!((code, recorded), (0, json!(full)), "{name}: {stderr}");
        let id = &commit[..12];
        assert!(stderr.contains(&format!("these are the hooks of {full}, commit {id}")), "{name}: {stderr}");
    }
    // What somebody pushes: a tag, a branch or a remote of the same name.
    project.hooks("- {name: evil, events: [{type: '*'}], command: touch evil}\n");
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-q", "-m", "evil"]);
    let evil = git(&project, &["rev-parse", "HEAD"]);
    git(&project, &["update-ref", "refs/heads/main", &commit]);
    for (planted, name) in [
        ("refs/tags/main", "main"),
        ("refs/tags/origin/main", "origin/main"),
        ("refs/heads/origin/main", "origin/main"),
        ("refs/remotes/main/HEAD", "main"),
        ("refs/main", "main"),
        ("refs/tags/main", "main^{commit}"),
        ("refs/tags/HEAD", "HEAD"),
    ] {
        git(&project, &["update-ref", planted, &evil]);
        let (code, stderr, _) = taken(name);
        assert!(code == 2 && stderr.contains("is ambiguous") && stderr.contains(planted), "{planted} {name}: {stderr}");
        git(&project, &["update-ref", "-d", planted]);
        assert!(!project.exists("evil"), "{planted}");
    }
}
