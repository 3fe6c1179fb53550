//! Whose a project is: what another user owns is neither read, nor written, nor logged to. With real users, as root.

use crate::support::{Ran, TestProject, finish, write};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

/// A user and a group that nobody has.
const OTHER: u32 = 61_234;

/// Whether there can be other users; says when not.
fn is_root() -> bool {
    let is_root = knockon::sys::user_id() == 0;
    if !is_root {
        eprintln!("SKIPPED: only root can be several users");
    }
    is_root
}

/// Gives everything below a folder to a user.
fn give(path: &Path, uid: u32, gid: u32) {
    chown(path, Some(uid), Some(gid)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), uid, gid));
    }
}

/// Runs knockon as another user, with that user's own folders, in a folder of the project.
fn run_as(project: &TestProject, uid: u32, folder: &Path, arguments: &[&str]) -> Ran {
    let program = project.command(&[]).get_program().to_owned();
    let program = program.to_str().unwrap();
    let id = uid.to_string();
    let all = ["--reuid", &id, "--regid", &id, "--clear-groups", program];
    let mut command = project.program("setpriv", &[&all[..], arguments].concat());
    let home = project.home().join(format!("home-{uid}"));
    fs::create_dir_all(&home).unwrap();
    give(&home, uid, uid);
    for path in [project.home(), project.home().parent().unwrap().to_owned()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    command.env("HOME", home).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

const HOOK: &str = "- {name: h, events: [{type: '*'}], command: 'echo ran'}\n";

#[test]
fn a_folder_of_hooks_that_another_user_made_is_not_discovered() {
    if !is_root() {
        return;
    }
    // As /tmp/.knockon would be: everybody may write there, and one did.
    let project = TestProject::new();
    project.hooks(HOOK);
    give(&project.root(), OTHER, OTHER);
    chown(project.root(), Some(0), Some(0)).unwrap();
    fs::set_permissions(project.root(), fs::Permissions::from_mode(0o1777)).unwrap();
    let below = project.root().join("work");
    fs::create_dir(&below).unwrap();
    let mut command = project.command(&["emit", "task.completed", "--json"]);
    let output = command.current_dir(&below).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains(".knockon belongs to user 61234, not to you"), "{stderr}");
    assert!(stderr.contains("--project-root") && stderr.contains("safe_directories"), "{stderr}");
    assert!(!project.hooks_folder().join("audit.log").exists(), "it is not logged to");
    let strict = project.command(&["emit", "task.completed", "--strict"]).current_dir(&below).output().unwrap();
    assert_eq!(strict.status.code(), Some(3));
    assert_eq!(project.command(&["doctor"]).current_dir(&below).output().unwrap().status.code(), Some(1));
    // Saying yes: by the option, which then refuses to run what others can change; or by the settings.
    let named = project.run(&["emit", "task.completed", "--project-root", project.root().to_str().unwrap()]);
    assert!(named.stderr.contains("1 hook did not run"), "{named:?}");
    let settings = project.home().join(".config/knockon");
    fs::create_dir_all(&settings).unwrap();
    let text = format!("version: '1.0'\nsafe_directories: [{}]\n", project.root().display());
    write(&settings.join("settings.yaml"), text, 0o600);
    project.trust();
    let safe = project.command(&["emit", "task.completed", "--strict"]).current_dir(&below).output().unwrap();
    assert!(String::from_utf8(safe.stdout).unwrap().contains("✓ h"));
}

#[test]
fn a_plain_user_is_as_safe_from_others_as_root() {
    if !is_root() {
        return;
    }
    let project = TestProject::new();
    project.hooks(HOOK);
    let ran = run_as(&project, OTHER, &project.root(), &["emit", "task.completed"]);
    assert!(ran.code == 0 && ran.stderr.contains("belongs to user 0, not to you (user 61234)"), "{ran:?}");
    assert!(!project.hooks_folder().join("audit.log").exists());
    give(&project.root(), OTHER, OTHER);
    let hash = run_as(&project, OTHER, &project.root(), &["trust", "--print-hash"]).stdout;
    let trusted = run_as(&project, OTHER, &project.root(), &["trust", "--hash", hash.trim()]);
    assert_eq!(trusted.code, 0, "{trusted:?}");
    let ran = run_as(&project, OTHER, &project.root(), &["emit", "task.completed", "--strict"]);
    assert!(ran.code == 0 && ran.stdout.contains("✓ h"), "{ran:?}");
    // A container that runs as root, with a checkout of somebody else: reported, and git's own word counts.
    let report = project.run(&["emit", "task.completed"]);
    assert!(report.stderr.contains("belongs to user 61234"), "{report:?}");
    assert_eq!(project.run(&["emit", "task.completed", "--strict"]).code, 3);
    let config = format!("[safe]\n\tdirectory = {}\n", project.root().display());
    fs::write(project.home().join(".gitconfig"), config).unwrap();
    project.trust();
    assert_eq!(project.run(&["emit", "task.completed", "--strict"]).code, 0);
}

#[test]
fn a_group_that_is_the_users_own_counts_as_the_user() {
    let project = TestProject::new();
    // umask 002, the default of accounts on Ubuntu and Fedora.
    let shell = |line: &str| {
        let line = format!("umask 002; {line}");
        let output = project.program("/bin/sh", &["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let gid = knockon::sys::owner(&project.root()).unwrap().gid;
    if !knockon::sys::is_private_group(gid) {
        eprintln!("SKIPPED: this user has no group of their own");
        return;
    }
    shell("mkdir fresh && cd fresh && mkdir .git && \"$KNOCKON_BINARY\" init");
    shell("cd fresh && \"$KNOCKON_BINARY\" on task.completed 'touch ran'");
    shell(
        "cd fresh && chmod -R g+w . && \"$KNOCKON_BINARY\" trust --hash \"$(\"$KNOCKON_BINARY\" trust --print-hash)\"",
    );
    let printed = shell("cd fresh && \"$KNOCKON_BINARY\" emit task.completed --strict -v 2>&1");
    assert!(project.exists("fresh/ran"), "{printed}");
    if is_root() {
        // A group that others are in.
        let hooks = project.root().join("fresh/.knockon/hooks.yaml");
        chown(&hooks, None, Some(OTHER)).unwrap();
        let ran =
            project.command(&["emit", "task.completed", "--strict"]).current_dir(project.root().join("fresh")).output();
        let ran = ran.unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(3) && stderr.contains("can be written by its group"), "{stderr}");
    }
}

#[test]
fn init_sets_up_the_repository_it_is_called_in() {
    // A project further up, with and without hooks.
    let project = TestProject::new();
    fs::create_dir_all(project.root().join("clone/.git")).unwrap();
    fs::create_dir_all(project.root().join("clone/src")).unwrap();
    let init = |folder: &str| {
        let output = project.command(&["init"]).current_dir(project.root().join(folder)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    init("clone/src");
    assert!(project.exists("clone/.knockon/hooks.yaml") && !project.exists(".knockon/hooks.yaml"));
    project.hooks(HOOK);
    let before = fs::read(project.hooks_folder().join("hooks.yaml")).unwrap();
    fs::create_dir_all(project.root().join("second/.git")).unwrap();
    init("second");
    assert!(project.exists("second/.knockon/hooks.yaml"));
    assert_eq!(fs::read(project.hooks_folder().join("hooks.yaml")).unwrap(), before);
}

#[test]
fn root_makes_nothing_in_the_home_folder_of_another_user() {
    if !is_root() {
        return;
    }
    let project = TestProject::bare();
    let theirs = project.home().join("ada");
    fs::create_dir(&theirs).unwrap();
    give(&theirs, OTHER, OTHER);
    let root_home = tempfile::tempdir().unwrap();
    // Root's own home folder is that of the system: keep it out of the test.
    let inside = format!(
        "mount --bind {} /root && cd {} && HOME={} \"$KNOCKON_BINARY\" emit task.completed",
        root_home.path().display(),
        project.root().display(),
        theirs.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", &inside]).env("KNOCKON_BINARY", env!("CARGO_BIN_EXE_knockon"));
    let output = command.output().unwrap();
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("unshare") {
        eprintln!("SKIPPED: no mount namespaces here");
        return;
    }
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0, "nothing is left there");
    assert!(root_home.path().join(".local/state/knockon").exists());
}

#[test]
fn an_event_in_a_folder_that_was_deleted_is_not_lost() {
    let project = TestProject::new();
    let own = project.home().join(".config/knockon");
    fs::create_dir_all(&own).unwrap();
    let text = format!(
        "version: '1.0'\nhooks: [{{name: own, events: [{{type: '*'}}], command: 'touch {}/ran', shell: /bin/sh}}]\n",
        project.home().display()
    );
    write(&own.join("hooks.yaml"), text, 0o600);
    let line = "mkdir gone && cd gone && rmdir ../gone && \"$KNOCKON_BINARY\" emit task.completed";
    let output = project.program("/bin/sh", &["-c", line]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("gone was deleted: only your own hooks run"), "{stderr}");
    assert!(project.home().join("ran").exists());
}

#[test]
fn the_nearest_project_wins_and_says_so_and_a_folder_without_hooks_is_none() {
    let project = TestProject::new();
    project.hooks("- {name: outer, events: [{type: '*'}], command: 'true'}\n");
    project.trust();
    let inner = project.root().join("packages/api");
    fs::create_dir_all(inner.join(".knockon")).unwrap();
    let run = |arguments: &[&str]| {
        let output = project.command(arguments).current_dir(&inner).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, stdout, _) = run(&["emit", "task.completed"]);
    assert!(stdout.contains("✓ outer"), "a folder without hooks.yaml is not a project: {stdout}");
    project.config_in(
        "packages/api/.knockon",
        "version: '1.0'\nhooks: [{name: inner, events: [{type: '*'}], command: [true]}]\n",
    );
    for arguments in [&["list"][..], &["emit", "task.completed", "--verbose"], &["doctor"]] {
        let (_, stdout, stderr) = run(arguments);
        let said = format!("{stdout}{stderr}");
        assert!(said.contains("packages/api lies in the project"), "{arguments:?}: {said}");
    }
    // Once it was trusted, its guard is missed when it is gone.
    project.config_in(
        "packages/api/.knockon",
        "version: '1.0'\nhooks: [{name: inner, events: [{type: '*'}], command: ['true'], fail_mode: stop}]\n",
    );
    let (_, hash, _) = run(&["trust", "--print-hash"]);
    assert_eq!(run(&["trust", "--hash", hash.trim()]).0, Some(0));
    fs::remove_dir_all(inner.join(".knockon")).unwrap();
    for _ in 0..2 {
        let (code, _, stderr) = run(&["emit", "task.completed"]);
        assert!(code == Some(0) && stderr.contains("the guard `inner` did not run"), "{stderr}");
    }
    assert_eq!(run(&["emit", "task.completed", "--strict"]).0, Some(3));
}

#[test]
fn worktrees_of_one_repository_are_one_project_for_consent() {
    let project = TestProject::bare();
    let git = |line: &str| {
        let line = format!("git -c user.name=a -c user.email=a@b.c {line}");
        let output = project.program("/bin/sh", &["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git(
        "init -q . && git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m x && git worktree add -q ../linked",
    );
    let linked = project.root().with_file_name("linked").canonicalize().unwrap();
    let at = |path: &Path| knockon::Project::at(path).unwrap();
    assert_eq!(at(&linked).identity(), project.root());
    assert_eq!(at(&project.root()).identity(), project.root());
    project.ok(&["sync", "enable"]);
    let status = project.command(&["sync", "status", "--json"]).current_dir(&linked).output().unwrap();
    assert!(String::from_utf8(status.stdout).unwrap().contains("enabled"));
    // A file that only claims to belong to another repository does not.
    let liar = project.root().with_file_name("liar");
    fs::create_dir(&liar).unwrap();
    fs::write(liar.join(".git"), format!("gitdir: {}/.git/worktrees/linked\n", project.root().display())).unwrap();
    assert_eq!(at(&liar).identity(), liar.canonicalize().unwrap());
}

#[test]
fn doctor_repairs_modes_after_asking() {
    let project = TestProject::new();
    project.hooks("- {name: h, events: [{type: '*'}], script: sub/h.sh}\n");
    fs::create_dir(project.hooks_folder().join("sub")).unwrap();
    project.script("sub/h.sh", "#!/bin/sh\ntouch ran\n");
    project.trust();
    project.ok(&["emit", "a.b"]);
    fs::remove_file(project.root().join("ran")).unwrap();
    let hooks = project.hooks_folder();
    let log = hooks.join("audit.log");
    let state = project.home().join(".local/state/knockon");
    let open = || {
        for (path, mode) in [
            (hooks.clone(), 0o757),
            (hooks.join("hooks.yaml"), 0o646),
            (hooks.join("sub"), 0o757),
            (hooks.join("sub/h.sh"), 0o757),
            (log.clone(), 0o646),
            (state.clone(), 0o755),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    open();
    let strict = || project.run(&["emit", "a.b", "--strict"]).code;
    assert_eq!(strict(), 3);
    let ran = project.run(&["doctor", "--fix"]);
    assert!(ran.code == 2 && ran.stderr.contains("knockon doctor --fix --yes"), "{ran:?}");
    let (_, shown) = project.on_a_terminal("doctor --fix", "n\n");
    assert!(shown.contains("nothing was changed") && strict() == 3, "{shown}");
    let (code, shown) = project.on_a_terminal("doctor --fix", "y\n");
    assert_eq!(strict(), 0, "{shown}");
    assert!(
        project.exists("ran") && code == 0 && shown.contains(&format!("chmod go-w {}", hooks.display())),
        "{shown}"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&hooks), mode(&log), mode(&state)), (0o755, 0o600, 0o700));
    assert!(project.ok(&["doctor", "--fix"]).stderr.contains("no file or folder needs its mode repaired"));
    open();
    let document = project.json(&["doctor", "--fix", "--yes", "--json"]);
    assert_eq!(document["fixed"].as_array().unwrap().len(), 6, "{document}");
    assert_eq!((document["errors"].clone(), strict()), (0.into(), 0));
    // A hard link has the same mode elsewhere.
    let elsewhere = project.home().join("elsewhere");
    fs::write(&elsewhere, "version: '1.0'\nhooks: []\n").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o666)).unwrap();
    fs::hard_link(&elsewhere, hooks.join("hooks.local.yaml")).unwrap();
    let ran = project.run(&["doctor", "--fix", "--yes"]);
    assert!(mode(&elsewhere) == 0o666 && ran.stderr.contains("a hard link"), "{ran:?}");
    fs::remove_file(hooks.join("hooks.local.yaml")).unwrap();
    if is_root() {
        // What belongs to somebody else is left alone.
        give(&hooks.join("sub/h.sh"), OTHER, OTHER);
        fs::set_permissions(hooks.join("sub/h.sh"), fs::Permissions::from_mode(0o777)).unwrap();
        project.run(&["doctor", "--fix", "--yes"]);
        assert_eq!((mode(&hooks.join("sub/h.sh")), strict()), (0o777, 3));
    }
}

#[test]
fn a_project_that_is_ignored_is_so_for_every_command_and_says_why() {
    let project = TestProject::new();
    project.hooks(HOOK);
    fs::set_permissions(project.hooks_folder(), fs::Permissions::from_mode(0o777)).unwrap();
    let before = fs::read_dir(project.hooks_folder()).unwrap().count();
    for (command, code) in [
        ("init", 3),
        ("on task.completed true", 3),
        ("trust", 3),
        ("validate", 2),
        ("emit a.b --strict", 3),
        ("doctor", 1),
        ("list", 0),
        ("explain task.completed", 0),
        ("graph", 0),
        ("config show", 0),
        ("test", 0),
        ("emit a.b", 0),
    ] {
        let ran = project.run(&command.split(' ').collect::<Vec<_>>());
        let said = format!("{}{}", ran.stdout, ran.stderr);
        let why = format!("{} can be written by everyone", project.hooks_folder().display());
        assert!(ran.code == code && said.contains(&why) && said.contains("doctor --fix"), "{command}: {ran:?}");
    }
    assert_eq!(fs::read_dir(project.hooks_folder()).unwrap().count(), before, "nothing was written");
}

#[test]
fn a_guard_that_others_can_change_is_missed_as_one_that_changed() {
    let project = TestProject::new();
    project.hooks("- {name: g, events: [{type: '*'}], command: 'true', fail_mode: stop}\n");
    project.trust();
    let settings = project.home().join(".config/knockon");
    fs::create_dir_all(&settings).unwrap();
    write(&settings.join("settings.yaml"), "version: '1.0'\nguards: enforce\n", 0o600);
    assert_eq!(project.run(&["emit", "a.b"]).code, 0);
    let hooks = project.hooks_folder().join("hooks.yaml");
    for (path, mode) in [(&hooks, 0o646), (&project.hooks_folder(), 0o757), (&project.root(), 0o777)] {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let ran = project.run(&["emit", "a.b"]);
        assert!(ran.code == 1 && ran.stderr.contains("the guard `g` did not run"), "{}: {ran:?}", path.display());
        let strict = project.run(&["emit", "a.b", "--strict"]);
        assert!(strict.code == 3 && !strict.stderr.contains(" is /"), "{strict:?}");
        fs::set_permissions(path, before).unwrap();
    }
    assert_eq!(project.run(&["emit", "a.b"]).code, 0);
}

#[test]
fn init_leaves_the_mode_of_a_folder_that_was_there() {
    let project = TestProject::bare();
    fs::create_dir(project.root().join(".flowspec")).unwrap();
    let mode = |name: &str| fs::metadata(project.root().join(name)).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(project.root().join(".flowspec"), fs::Permissions::from_mode(0o775)).unwrap();
    project.ok(&["init"]);
    assert_eq!((mode(".flowspec"), mode(".flowspec/hooks")), (0o775, 0o755));
}

#[test]
fn a_guard_that_its_user_cannot_read_any_more_is_named() {
    if !is_root() {
        return;
    }
    let guard = |name: &str| {
        format!("- {{name: {name}, events: [{{type: a.b}}], command: [sh, -c, 'exit 0'], fail_mode: stop}}\n")
    };
    let project = TestProject::new();
    project.hooks(&guard("outer"));
    let inner = format!("version: '1.1'\ninherit: true\nhooks:\n{}", guard("inner"));
    project.config_in("packages/api/.knockon", &inner);
    give(&project.root(), OTHER, OTHER);
    let folder = project.root().join("packages/api");
    let run = |arguments: &[&str]| run_as(&project, OTHER, &folder, arguments);
    let hash = run(&["trust", "--print-hash"]).stdout.trim().to_owned();
    assert_eq!(run(&["trust", "--hash", &hash]).code, 0);
    let settings = project.home().join(format!("home-{OTHER}/.config/knockon"));
    fs::create_dir_all(&settings).unwrap();
    write(&settings.join("settings.yaml"), "version: '1.0'\nguards: enforce\n", 0o644);
    assert_eq!(run(&["emit", "a.b"]).code, 0);
    for (place, missing) in
        [(".knockon", "outer"), ("packages/api/.knockon", "inner"), ("", "outer"), ("packages/api", "inner")]
    {
        for mode in [0o311, 0o000] {
            let path = project.root().join(place);
            let before = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let (plain, strict) = (run(&["emit", "a.b"]), run(&["emit", "a.b", "--strict"]));
            fs::set_permissions(&path, before).unwrap();
            let context = format!("{place:?} {mode:o}: {plain:?}");
            assert!(plain.stderr.contains(&format!("the guard `{missing}` did not run")), "{context}");
            assert_eq!(plain.code, 1, "{context}");
            assert!([2, 3].contains(&strict.code), "{context} {strict:?}");
        }
    }
}
