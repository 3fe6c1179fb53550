//! Nothing of a project runs until the user trusted exactly this content.

use crate::support::{TestProject, write};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The user's own configuration folder, with a folder `sub` in it; nobody else can write to them.
fn own_folder(project: &TestProject) -> PathBuf {
    let own = project.home().join(".config/knockon");
    fs::create_dir_all(own.join("sub")).unwrap();
    mode(&own, 0o755);
    mode(&own.join("sub"), 0o755);
    own
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) const HOOK: &str = "- {name: touch, events: [{type: '*'}], script: touch.sh}\n";

/// A project with a script that makes the file `ran`.
pub(crate) fn project() -> TestProject {
    let project = TestProject::new();
    project.hooks(HOOK);
    project.script("touch.sh", "#!/bin/sh\ntouch ran\n");
    project
}

fn hash(project: &TestProject) -> String {
    project.ok(&["trust", "--print-hash"]).stdout.trim().to_owned()
}

fn runs(project: &TestProject) -> bool {
    let _ = fs::remove_file(project.root().join("ran"));
    project.ok(&["emit", "spec.created"]);
    project.exists("ran")
}

#[test]
fn an_untrusted_project_runs_nothing_says_so_in_one_line_and_exits_0() {
    let project = project();
    let ran = project.run(&["emit", "spec.created"]);
    assert_eq!((ran.code, project.exists("ran")), (0, false));
    assert_eq!(ran.stderr, "knockon: 1 hook did not run (`touch`), not trusted yet; review with `knockon trust`\n");
    assert_eq!(project.run(&["emit", "spec.created", "--strict"]).code, 3);
    assert_eq!(project.run(&["run", "--event-type", "spec.created", "--strict"]).code, 3);
    assert_eq!(project.run(&["test", "touch", "spec.created"]).code, 3);
    assert!(!project.exists("ran"));
    assert_eq!(project.audit_story()[..2], ["emitted", "touch blocked_untrusted"]);
    assert_eq!(project.audit()[1]["error"], "not trusted yet");
}

#[test]
fn trust_ends_with_any_change_and_names_it() {
    let project = project();
    project.trust();
    assert!(runs(&project));

    project.script("touch.sh", "#!/bin/sh\ntouch ran # changed\n");
    let ran = project.ok(&["emit", "spec.created", "--quiet"]);
    assert!(ran.stderr.contains("changed since it was trusted: touch.sh;"), "{ran:?}");
    project.script("touch.sh", "#!/bin/sh\ntouch ran\n");
    assert!(runs(&project), "the very same content again");

    project.hooks(&format!("{HOOK}# a comment\n"));
    assert!(project.ok(&["emit", "spec.created"]).stderr.contains("trusted: hooks.yaml;"));
    project.hooks(HOOK);
    fs::set_permissions(project.hooks_folder().join("touch.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!runs(&project), "a mode is content");
}

#[test]
fn a_script_of_a_hook_that_does_not_match_counts_too() {
    let project = project();
    project.hooks(&format!("{HOOK}- {{name: other, events: [{{type: x.y}}], script: other.sh, enabled: false}}\n"));
    project.script("other.sh", "#!/bin/sh\n");
    project.trust();
    assert!(runs(&project));
    project.script("other.sh", "#!/bin/sh\nevil\n");
    assert!(!runs(&project));
}

#[test]
fn trust_is_bound_to_the_project_but_the_hash_is_not() {
    let (one, other) = (project(), project());
    assert_eq!(hash(&one), hash(&other), "the same content in another checkout has the same hash");
    one.trust();
    let records = one.home().join(".local/state/knockon/trust");
    let copy = other.home().join(".local/state/knockon/trust");
    fs::create_dir_all(&copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(records).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    assert!(runs(&one) && !runs(&other));
}

#[test]
fn a_given_hash_runs_exactly_that_content() {
    let project = project();
    let good = hash(&project);
    let run = |arguments: &[&str], variable: Option<&str>| {
        let _ = fs::remove_file(project.root().join("ran"));
        let mut command = project.command(arguments);
        if let Some(variable) = variable {
            command.env("KNOCKON_TRUST", variable);
        }
        (command.output().unwrap().status.code(), project.exists("ran"))
    };
    let emit = ["emit", "spec.created", "--strict"];
    assert_eq!(run(&emit, None), (Some(3), false));
    assert_eq!(run(&emit, Some(&good)), (Some(0), true));
    assert_eq!(run(&[&emit[..], &["--trust-hash", &good]].concat(), None), (Some(0), true));
    assert_eq!(run(&emit, None), (Some(3), false), "it is for one run");
    assert_eq!(run(&emit, Some("nonsense")).0, Some(2));
    assert_eq!(run(&emit, Some("")), (Some(2), false), "empty is not given, and --strict says so");
    assert_eq!(run(&["emit", "spec.created"], Some("")), (Some(0), false));
    let mut command = project.command(&emit);
    let output = command.env("KNOCKON_TRUST", std::ffi::OsStr::from_bytes(b"sha256:\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(run(&emit, Some(&other)), (Some(3), false));
    project.trust();
    assert_eq!(run(&emit, Some(&other)), (Some(3), false), "a given hash takes the place of the store");
}

#[test]
fn trust_wants_a_terminal_or_the_hash_and_shows_what_would_run() {
    let project = project();
    project.hooks(&format!("{HOOK}- {{name: evil, events: [{{type: '*'}}], command: \"echo \\e[2J\\u202e\"}}\n"));
    let ran = project.run(&["trust"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no terminal to ask on") && ran.stderr.contains("--hash sha256:"), "{ran:?}");
    assert!(ran.stdout.contains("touch on *\n    runs the script touch.sh\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("echo ␛[2J\\u{202e}"), "control characters are made visible: {}", ran.stdout);
    assert!(ran.stdout.contains("new: touch.sh, executable\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(['\u{1b}', '\u{202e}']));
    assert_eq!(project.run(&["trust", "--hash", &format!("sha256:{}", "0".repeat(64))]).code, 3);
    assert!(!runs(&project));

    project.trust();
    project.script("touch.sh", "#!/bin/sh\ntouch ran\nrm -r /\r:\n");
    let difference = project.run(&["trust"]).stdout;
    assert!(difference.contains("changed: touch.sh") && difference.contains("+rm -r /␍\n"), "{difference}");
    assert!(!difference.contains("new: hooks.yaml"), "only what changed: {difference}");
}

#[test]
fn a_yes_on_a_terminal_trusts() {
    let project = project();
    for (answer, code, trusted) in [("n\n", 3, false), ("\n", 3, false), ("y\n", 0, true)] {
        let (found, shown) = project.on_a_terminal("trust", answer);
        assert!(shown.contains("Trust exactly this content? [y/N/d]"), "{shown}");
        assert_eq!((found, runs(&project)), (code, trusted), "{answer:?} {shown}");
    }
}

#[test]
fn untrust_and_list() {
    let project = project();
    assert_eq!(project.ok(&["trust", "--list"]).stdout, "nothing is trusted\n");
    project.trust();
    let listed = project.json(&["trust", "--list", "--json"]);
    assert_eq!(listed["trusted"][0]["hash"], hash(&project));
    assert_eq!(listed["trusted"][0]["project"], project.root().to_string_lossy().as_ref());
    assert!(project.ok(&["trust", "--list"]).stdout.contains(".knockon/hooks.yaml"));
    assert_eq!(project.ok(&["untrust"]).stdout, format!("no longer trusted: {}\n", project.root().display()));
    assert_eq!(project.ok(&["untrust"]).stdout, format!("it was not trusted: {}\n", project.root().display()));
    assert!(!runs(&project));
}

#[test]
fn what_others_could_have_changed_is_refused() {
    let project = TestProject::flowspec();
    project.hooks(&format!("{HOOK}- {{name: deep, events: [{{type: x.y}}], script: link.sh}}\n"));
    project.script("touch.sh", "#!/bin/sh\ntouch ran\n");
    project.file(".flowspec/hooks/sub/deep.sh", "#!/bin/sh\n");
    symlink("sub/deep.sh", project.hooks_folder().join("link.sh")).unwrap();
    project.trust();
    assert!(runs(&project));
    fs::remove_file(project.root().join("ran")).unwrap();
    let folder = project.hooks_folder();
    for (path, mode, back) in [
        (folder.join("touch.sh"), 0o777, 0o755),
        (folder.join("hooks.yaml"), 0o666, 0o644),
        (folder.clone(), 0o777, 0o755),
        (folder.join("sub"), 0o777, 0o755),
        (project.root().join(".flowspec"), 0o777, 0o755),
        (project.root(), 0o777, 0o755),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let ran = project.run(&["emit", "spec.created", "--strict"]);
        assert_eq!((ran.code, project.exists("ran")), (3, false), "{}: {ran:?}", path.display());
        assert!(ran.stderr.contains("can be written by"), "{ran:?}");
        assert_eq!(project.run(&["trust"]).code, 3);
        fs::set_permissions(&path, fs::Permissions::from_mode(back)).unwrap();
    }
    assert!(runs(&project));
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    use std::os::unix::fs::{MetadataExt, chown};
    let project = TestProject::flowspec();
    project.hooks(&HOOK.replace("touch.sh", "sub/touch.sh"));
    project.file(".flowspec/hooks/sub/touch.sh", "");
    project.script("sub/touch.sh", "#!/bin/sh\ntouch ran\n");
    project.trust();
    if fs::metadata(project.root()).unwrap().uid() != 0 {
        eprintln!("SKIPPED: giving a file away takes root");
        return;
    }
    for path in [
        project.root(),
        project.hooks_folder(),
        project.hooks_folder().join("hooks.yaml"),
        project.root().join(".flowspec"),
        project.hooks_folder().join("sub"),
        project.hooks_folder().join("sub/touch.sh"),
    ] {
        chown(&path, Some(65534), None).unwrap();
        let ran = project.run(&["emit", "spec.created", "--strict"]);
        assert_eq!((ran.code, project.exists("ran")), (3, false), "{}: {ran:?}", path.display());
        assert!(ran.stderr.contains("belongs to user 65534, not to you"), "{ran:?}");
        chown(&path, Some(0), None).unwrap();
    }
    assert!(runs(&project));
}

#[test]
fn a_trust_store_others_could_have_written_counts_as_empty() {
    let project = project();
    project.trust();
    let store = project.home().join(".local/state/knockon/trust");
    assert_eq!(fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&store).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    fs::set_permissions(&store, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(!runs(&project));
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(runs(&project));
    let record = fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().unwrap() == "json");
    fs::set_permissions(record.unwrap(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!runs(&project));
}

#[test]
fn a_script_that_is_a_link_out_of_the_hooks_folder_never_runs() {
    let project = project();
    let outside = project.root().join("outside.sh");
    write(&outside, "#!/bin/sh\ntouch ran\n", 0o755);
    fs::remove_file(project.hooks_folder().join("touch.sh")).unwrap();
    symlink("../outside.sh", project.hooks_folder().join("touch.sh")).unwrap();
    project.trust();
    let document = project.json(&["emit", "spec.created", "--json"]);
    assert_eq!(document["results"][0]["status"], "error");
    assert!(document["results"][0]["error"].as_str().unwrap().contains("leads out of the hooks folder"));
    assert!(!project.exists("ran"));
}

#[test]
fn a_hooks_folder_that_is_a_link_out_of_the_project_is_not_read() {
    let elsewhere = project();
    let project = TestProject::bare();
    symlink(elsewhere.hooks_folder(), project.root().join(".knockon")).unwrap();
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stderr.contains("leads out of the folder"), "{ran:?}");
    assert!(!elsewhere.root().join(".knockon/audit.log").exists());
    assert_eq!(project.run(&["init"]).code, 74);
    assert_eq!(fs::read_dir(elsewhere.hooks_folder()).unwrap().count(), 2);
}

#[test]
fn a_config_named_on_the_command_line_needs_trust_too() {
    let project = project();
    let config = project.file("other/hooks.yaml", format!("version: '1.0'\nhooks:\n{HOOK}"));
    write(&project.root().join("other/touch.sh"), "#!/bin/sh\ntouch ran\n", 0o755);
    let arguments = ["emit", "spec.created", "--strict", "--config", config.to_str().unwrap()];
    assert_eq!(project.run(&arguments).code, 3);
    let hash = project.ok(&["trust", "--print-hash", "--config", config.to_str().unwrap()]).stdout;
    project.ok(&["trust", "--hash", hash.trim(), "--config", config.to_str().unwrap()]);
    assert_eq!((project.run(&arguments).code, project.exists("ran")), (0, true));
    assert!(!runs(&project), "the project's own hooks.yaml was not trusted with it");
}

#[test]
fn what_an_earlier_hook_of_the_same_event_changed_does_not_run() {
    let first = |change: &str| format!("- {{name: first, events: [{{type: '*'}}], command: \"{change}\"}}\n{HOOK}");
    for (change, why) in [
        ("printf '#!/bin/sh\\ntouch RAN\\n' > .knockon/touch.sh", "changed since it was trusted: touch.sh"),
        ("rm .knockon/touch.sh", "changed since it was trusted: touch.sh"),
        ("chmod -x .knockon/touch.sh", "changed since it was trusted: touch.sh"),
        ("chmod 777 .knockon/touch.sh", "everyone"),
        ("chmod 777 .knockon", "everyone"),
    ] {
        let project = project();
        project.hooks(&first(&change.replace('\\', "\\\\")));
        project.trust();
        let document = project.json(&["emit", "spec.created", "--json"]);
        let results = &document["results"];
        assert_eq!((&results[0]["status"], &results[1]["status"]), (&"success".into(), &"blocked_untrusted".into()));
        assert!(results[1]["error"].as_str().unwrap().ends_with(why), "{change}: {results}");
        assert!(document["blocked"].as_str().unwrap().ends_with(why), "{change}: {document}");
        assert!(!project.exists("ran") && !project.exists("RAN"), "{change}");
        let story = project.audit_story();
        assert_eq!(story, ["emitted", "first started", "first success", "touch blocked_untrusted"], "{change}");
    }
}

#[test]
fn an_untrusted_project_is_not_even_read() {
    let project = project();
    let script = fs::File::options().write(true).open(project.hooks_folder().join("touch.sh")).unwrap();
    script.set_len(1 << 30).unwrap();
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(ran.stderr.contains("1 hook did not run (`touch`), not trusted yet;"), "{ran:?}");
    let refused = project.run(&["trust"]);
    assert_eq!(refused.code, 3);
    assert!(
        refused
            .stderr
            .contains("it cannot be trusted: the script touch.sh: more than 256 MiB of scripts cannot be trusted"),
        "{refused:?}"
    );
}

#[test]
fn large_scripts_are_hashed_in_little_memory_and_each_file_once() {
    let project = TestProject::new();
    let hooks = |number: usize| format!("- {{name: h{number}, events: [{{type: '*'}}], script: s{number}.sh}}\n");
    project.hooks(&(0..30).map(hooks).collect::<String>());
    project.script("s0.sh", "#!/bin/sh\ntouch ran\nexit\n");
    let first = project.hooks_folder().join("s0.sh");
    fs::File::options().write(true).open(&first).unwrap().set_len(20 << 20).unwrap();
    for number in 1..30 {
        fs::hard_link(&first, project.hooks_folder().join(format!("s{number}.sh"))).unwrap();
    }
    // 30 times 20 MiB would not fit, neither into the memory nor below the limit of 256 MiB for all.
    let limited = |arguments: &str| {
        let line = format!("ulimit -v 150000; exec \"$KNOCKON_BINARY\" {arguments}");
        project.program("/bin/sh", &["-c", &line]).output().unwrap()
    };
    let hash = limited("trust --print-hash");
    assert!(hash.status.success(), "{hash:?}");
    let hash = String::from_utf8(hash.stdout).unwrap();
    let trusted = limited(&format!("trust --hash {}", hash.trim()));
    assert!(trusted.status.success(), "{trusted:?}");
    project.script("other.sh", "#!/bin/sh\n");
    project.hooks(&((0..30).map(hooks).collect::<String>() + "- {name: o, events: [{type: x.y}], script: other.sh}\n"));
    let review = project.run(&["trust"]).stdout;
    assert!(review.contains("\nchanged: hooks.yaml\n") && review.contains("\nnew: other.sh, executable\n"), "{review}");
    assert!(!review.contains("s7.sh, executable"), "what is as it was trusted is not shown: {review}");
    fs::File::options().append(true).open(&first).unwrap().write_all(b"x").unwrap();
    let review = project.run(&["trust"]).stdout;
    assert!(review.contains("changed: s7.sh, executable\n  … too large to show"), "{review}");
}

#[test]
fn a_script_of_the_users_own_that_others_could_have_changed_is_refused() {
    let project = TestProject::bare();
    let own = own_folder(&project);
    write(&own.join("hooks.yaml"), format!("version: '1.0'\nhooks:\n{}", HOOK.replace("touch.sh", "sub/t.sh")), 0o644);
    write(&own.join("sub/t.sh"), "#!/bin/sh\ntouch ran\n", 0o755);
    assert!(runs(&project));
    for (path, back) in [(own.join("sub/t.sh"), 0o755), (own.join("sub"), 0o755), (own.clone(), 0o755)] {
        mode(&path, 0o777);
        let _ = fs::remove_file(project.root().join("ran"));
        let ran = project.run(&["emit", "spec.created", "--strict"]);
        assert_eq!((ran.code, project.exists("ran")), (3, false), "{}: {ran:?}", path.display());
        assert!(ran.stderr.contains("everyone"), "{ran:?}");
        mode(&path, back);
    }
    assert!(runs(&project));
}

#[test]
fn a_store_that_cannot_be_read_is_told_and_does_not_count_as_empty() {
    let project = project();
    project.trust();
    let state = project.home().join(".local/state/knockon");
    fs::remove_dir_all(&state).unwrap();
    symlink("knockon", &state).unwrap();
    let ran = project.ok(&["emit", "spec.created"]);
    assert!(!project.exists("ran"), "{ran:?}");
    assert!(
        ran.stderr.contains("1 hook did not run (`touch`), the trust store") && ran.stderr.contains("cannot be used"),
        "{ran:?}"
    );
}

#[test]
fn nothing_that_was_there_before_is_trusted_by_writing_something_beside_it() {
    let evil = "version: '1.1'\nhooks:\n  - {name: evil, events: [{type: '*'}], command: touch evil, enabled: true}\n";
    for planted in ["hooks.local.yaml", "hooks.on.yaml"] {
        for write in [&["init"][..], &["on", "pr.merged", "true"], &["on", "*", "true", "--name", "yes"]] {
            let project = TestProject::new();
            project.file(&format!(".knockon/{planted}"), evil);
            project.ok(write);
            let ran = project.run(&["emit", "task.completed", "--strict"]);
            assert_eq!((ran.code, project.exists("evil")), (3, false), "{planted} {write:?}: {ran:?}");
        }
    }
    let project = TestProject::bare();
    project.ok(&["on", "*", "touch mine"]);
    project.ok(&["emit", "a.b"]);
    assert!(project.exists("mine"), "what it wrote itself runs at once");
}

#[test]
fn what_the_users_own_file_includes_has_to_be_the_users_alone() {
    let project = TestProject::bare();
    let own = own_folder(&project);
    write(&own.join("hooks.yaml"), "version: '1.1'\ninclude: [sub/i.yaml]\nhooks: []\n", 0o644);
    let included = "version: '1.1'\nhooks:\n- {name: i, events: [{type: '*'}], command: touch ran}\n";
    write(&own.join("sub/i.yaml"), included, 0o644);
    assert!(runs(&project));
    fs::remove_file(project.root().join("ran")).unwrap();
    mode(&own.join("sub"), 0o777);
    let ran = project.run(&["emit", "spec.created", "--strict"]);
    assert_eq!((ran.code, project.exists("ran")), (3, false), "{ran:?}");
    let explained = project.ok(&["explain", "spec.created"]).stdout;
    assert!(explained.contains("it is refused: ") && explained.contains("can be written by"), "{explained}");
}

/// What has a script open when it is hashed could change it right before it is started.
#[test]
fn a_script_that_changes_while_it_is_waited_for_does_not_run() {
    use std::io::Write;
    let project = TestProject::new();
    project.hooks("- {name: fresh, events: [{type: '*'}], script: fresh.sh}\n");
    project.script("fresh.sh", "#!/bin/sh\necho fine\n");
    project.trust();
    let path = project.hooks_folder().join("fresh.sh");
    for (changes, wanted) in [(false, "success"), (true, "blocked_untrusted")] {
        let mut open = std::fs::File::options().append(true).open(&path).unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(60));
            if changes {
                open.write_all(b"touch evil\n").unwrap();
            }
        });
        let document = project.json(&["emit", "a.b", "--json"]);
        closing.join().unwrap();
        assert_eq!(document["results"][0]["status"], wanted, "{document}");
        let attempts = document["results"][0]["attempts"].clone();
        assert!(attempts.is_null() || attempts == 1, "{document}");
    }
    assert!(!project.exists("evil"));
    let story = project.audit_story();
    assert_eq!(story.iter().filter(|line| line.contains("started")).count(), 2, "{story:?}");
}

/// A change through a mapping shows in a file's time when it is written back, which may be minutes later.
#[test]
fn a_script_that_changed_through_a_mapping_does_not_run() {
    let project = TestProject::new();
    project.hooks(
        "- {name: first, events: [{type: '*'}], script: first.py, timeout: 20}\n\
         - {name: second, events: [{type: '*'}], script: second.sh}\n",
    );
    project.script(
        "first.py",
        "#!/usr/bin/env python3\nimport mmap, os\nfile = os.open('.knockon/second.sh', os.O_RDWR)\n\
         before = os.stat(file).st_ctime_ns\nview = mmap.mmap(file, 0)\nview[10:15] = b'touch'\n\
         print('unseen' if os.stat(file).st_ctime_ns == before else 'seen')\n",
    );
    project.script("second.sh", "#!/bin/sh\n: ran  evil\n");
    project.trust();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let document = project.json(&["emit", "a.b", "--json"]);
    assert_eq!(document["results"][0]["status"], "success", "{document}");
    assert_eq!(document["results"][1]["status"], "blocked_untrusted", "{document}");
    assert!(!project.exists("evil"));
}

/// A project's `.envrc` or a CI file of it can set variables; a record of trust that it brings says nothing.
#[test]
fn a_project_cannot_bring_its_own_trust() {
    let project = TestProject::new();
    project.hooks("- {name: evil, events: [{type: '*'}], command: touch evil}\n");
    project.trust();
    let (state, brought) = (project.home().join(".local/state"), project.root().join(".state"));
    std::fs::rename(&state, &brought).unwrap();
    std::fs::create_dir_all(project.root().join("src")).unwrap();
    std::os::unix::fs::symlink(&brought, project.home().join("link")).unwrap();
    let link = project.home().join("link");
    let run = |folder: &str, value: &std::path::Path, home: &std::path::Path| {
        let mut command = project.command(&["emit", "a.b", "--json"]);
        command.current_dir(project.root().join(folder)).env("XDG_STATE_HOME", value).env("HOME", home);
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let dots = project.root().join("src/../.state");
    for (folder, value) in [("", &brought), ("src", &brought), ("", &dots), ("", &link)] {
        let (stdout, stderr) = run(folder, value, &project.home());
        assert!(stdout.contains("\"blocked_untrusted\""), "{stdout}");
        assert!(stderr.contains("XDG_STATE_HOME leads into the project and is ignored"), "{stderr}");
    }
    assert!(!project.exists("evil"));
    let mut doctor = project.command(&["doctor"]);
    let doctor = doctor.env("XDG_STATE_HOME", &brought).output().unwrap();
    assert!(String::from_utf8(doctor.stdout).unwrap().contains("XDG_STATE_HOME leads into the project"));
    // Elsewhere it is the user's word.
    std::fs::rename(&brought, project.home().join("mine")).unwrap();
    let (stdout, stderr) = run("", &project.home().join("mine"), &project.home());
    assert!(stdout.contains("\"success\"") && !stderr.contains("ignored"), "{stdout}{stderr}");
}

/// Who keeps the home folder in git has it all in one project.
#[test]
fn the_default_folders_count_where_the_home_folder_is_a_repository() {
    let project = TestProject::new();
    let home = project.home();
    std::fs::create_dir_all(home.join(".git")).unwrap();
    std::fs::create_dir_all(home.join("work/.knockon")).unwrap();
    std::fs::write(
        home.join("work/.knockon/hooks.yaml"),
        "version: '1.0'\nhooks:\n- {name: h, events: [{type: '*'}], shell: /bin/sh, command: 'true'}\n",
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.current_dir(home.join("work")).env("XDG_STATE_HOME", home.join(".local/state"));
        command.output().unwrap()
    };
    let hash = String::from_utf8(run(&["trust", "--print-hash"]).stdout).unwrap();
    assert!(run(&["trust", "--hash", hash.trim()]).status.success());
    let emitted = String::from_utf8(run(&["emit", "a.b", "--json"]).stdout).unwrap();
    assert!(emitted.contains("\"success\"") && !emitted.contains("ignored"), "{emitted}");
}

#[test]
fn a_hash_stands_for_content_at_one_place_of_a_repository() {
    let project = TestProject::new();
    project.hooks(
        "- {name: guard, events: [{type: task.completed, files: ['src/**']}], script: guard.sh, fail_mode: stop}\n",
    );
    project.script("guard.sh", "#!/bin/sh\nexit 1\n");
    std::fs::create_dir(project.root().join(".git")).unwrap();
    let hash_in = |folder: &str| {
        let root = project.root().join(folder).display().to_string();
        project.ok(&["trust", "--print-hash", "--project-root", &root]).stdout.trim().to_owned()
    };
    let emit_in = |folder: &str, hash: &str| {
        let emitted = ["emit", "task.completed", "-f", "src/a", "--strict", "--trust-hash", hash];
        let output = project.command(&emitted).current_dir(project.root().join(folder)).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let hash = hash_in("");
    assert_eq!(emit_in("", &hash).0, Some(1), "the guard runs and stops");
    // The same content one folder deeper is about other files.
    std::fs::create_dir_all(project.root().join("deeper/.knockon")).unwrap();
    for name in ["hooks.yaml", "guard.sh"] {
        let from = project.hooks_folder().join(name);
        std::fs::copy(from, project.root().join("deeper/.knockon").join(name)).unwrap();
    }
    let (code, errors) = emit_in("deeper", &hash);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("deeper/.knockon/hooks.yaml has the hash sha256:"), "{errors}");
    let deeper = hash_in("deeper");
    assert_ne!(deeper, hash);
    assert_eq!(emit_in("deeper", &deeper).0, Some(1));
    assert_eq!(emit_in("", &deeper).0, Some(3));
    // Another checkout of the repository has the same hash.
    std::fs::rename(project.root().join("deeper"), project.root().join("other")).unwrap();
    assert_eq!(emit_in("other", &deeper).0, Some(3));
    std::fs::rename(project.root().join(".git"), project.root().join("other/.git")).unwrap();
    assert_eq!(emit_in("other", &hash).0, Some(1), "at the top of a repository again");
}

/// Python looks for modules beside its script: what a repository puts there is not reviewed.
#[test]
fn a_module_beside_a_trusted_python_script_does_not_run() {
    let recent = "import sys; sys.exit(sys.version_info < (3, 11))";
    let version = std::process::Command::new("python3").args(["-c", recent]).status();
    if !version.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: Python before 3.11 has no PYTHONSAFEPATH");
    }
    for (name, first) in [("g.py", ""), ("g", "#!/usr/bin/env python3\n")] {
        let project = TestProject::new();
        let text = format!("{first}import json, sys\nprint(json.dumps(1))\nsys.exit(1)\n");
        crate::support::write(&project.hooks_folder().join(name), text, if first.is_empty() { 0o644 } else { 0o755 });
        project.hooks(&format!("- {{name: guard, events: [{{type: a.b}}], fail_mode: stop, script: {name}}}\n"));
        project.trust();
        let shadow = "import os\nopen('evil', 'w').close()\nos._exit(0)\n";
        std::fs::write(project.hooks_folder().join("json.py"), shadow).unwrap();
        let ran = project.run(&["emit", "a.b", "--strict"]);
        assert!(ran.code == 1 && !project.exists("evil") && !project.exists(".knockon/evil"), "{name}: {ran:?}");
        // Who has modules there says so, where it is reviewed.
        project.hooks(&format!(
            "- {{name: guard, events: [{{type: a.b}}], fail_mode: stop, script: {name}, env: {{PYTHONSAFEPATH: ''}}}}\n"
        ));
        project.trust();
        let ran = project.run(&["emit", "a.b", "--strict", "-v"]);
        assert_eq!(ran.code, 0, "{name}: the module beside it is used: {ran:?}");
    }
}
