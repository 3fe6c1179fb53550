//! What should have run and did not is never green: the report, the exit code with `--strict`, JUnit and the warnings
//! say it, and why.

use crate::support::{Ran, TestProject, write};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const GUARD: &str = "version: '1.0'\ndefaults: {shell: /bin/sh}\nhooks:\n\
    - name: guard\n  events: [{type: task.completed}]\n  script: guard.sh\n  fail_mode: stop\n\
    - name: note\n  events: [{type: 'task.*'}]\n  command: echo note >> ran\n";

/// A project that was reviewed: a guard that stops, and a hook that does not.
fn reviewed() -> (TestProject, String) {
    let project = TestProject::new();
    project.config(GUARD);
    project.script("guard.sh", "#!/bin/sh\necho guard >> ran\n");
    let hash = project.ok(&["trust", "--print-hash"]).stdout.trim().to_owned();
    (project, hash)
}

/// Runs an emit in a folder of the project with variables set; what ran is read afterwards.
fn emit_in(
    project: &TestProject,
    folder: &Path,
    variables: &[(&str, String)],
    arguments: &[&str],
) -> (Ran, BTreeSet<String>) {
    let file = project.root().join("ran");
    let _ = fs::remove_file(&file);
    let mut command = project.command(&[&["emit", "task.completed", "--json"], arguments].concat());
    command.current_dir(folder).envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran =
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) };
    let names = fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
    (ran, names)
}

/// One way to make the guard vanish: what is done, the variables it sets, and where the command runs.
struct Vanishing {
    name: &'static str,
    edit: fn(&TestProject),
    variables: fn(&TestProject) -> Vec<(&'static str, String)>,
    folder: &'static str,
    /// The exit code with `--strict` in the project that was trusted, and with `--strict` and the hash.
    strict: i32,
    with_hash: i32,
}

fn no_variables(_: &TestProject) -> Vec<(&'static str, String)> {
    Vec::new()
}

/// A way that edits files.
const fn edit(name: &'static str, edit: fn(&TestProject), strict: i32, with_hash: i32) -> Vanishing {
    Vanishing { name, edit, variables: no_variables, folder: "", strict, with_hash }
}

fn rewrite(project: &TestProject, from: &str, to: &str) {
    assert!(GUARD.contains(from));
    project.config(GUARD.replacen(from, to, 1));
}

fn other_config(project: &TestProject) -> PathBuf {
    let path = project.root().join("other.yaml");
    write(&path, "version: '1.0'\nhooks: []\n", 0o644);
    path
}

/// Every way, as docs/security.md lists them.
fn ways() -> Vec<Vanishing> {
    vec![
        edit("hooks.yaml is deleted", |p| fs::remove_file(p.hooks_folder().join("hooks.yaml")).unwrap(), 3, 3),
        edit("its folder is deleted", |p| fs::remove_dir_all(p.hooks_folder()).unwrap(), 3, 3),
        edit(
            "hooks.yaml is renamed",
            |p| fs::rename(p.hooks_folder().join("hooks.yaml"), p.hooks_folder().join("hooks.yaml.bak")).unwrap(),
            3,
            3,
        ),
        edit(
            "hooks.yaml is a dangling link",
            |p| {
                fs::remove_file(p.hooks_folder().join("hooks.yaml")).unwrap();
                symlink("nowhere.yaml", p.hooks_folder().join("hooks.yaml")).unwrap();
            },
            2,
            3,
        ),
        edit(
            "hooks.yaml is a folder",
            |p| {
                fs::remove_file(p.hooks_folder().join("hooks.yaml")).unwrap();
                fs::create_dir(p.hooks_folder().join("hooks.yaml")).unwrap();
            },
            2,
            3,
        ),
        edit("hooks.yaml is empty", |p| p.config(""), 2, 3),
        edit("hooks.yaml has a syntax error", |p| p.config(format!("{GUARD}\n]:")), 2, 3),
        edit(
            "the guard has an unknown key",
            |p| rewrite(p, "  fail_mode: stop", "  fail_mode: stop\n  colour: red"),
            2,
            3,
        ),
        edit("the guard's matcher has an error", |p| rewrite(p, "task.completed", "task.[completed"), 2, 3),
        edit("another hook has an error", |p| rewrite(p, "command:", "comand:"), 2, 3),
        edit("the guard is removed", |p| p.config("version: '1.0'\nhooks: []\n"), 3, 3),
        edit("the guard is disabled", |p| rewrite(p, "  fail_mode: stop", "  fail_mode: stop\n  enabled: false"), 3, 3),
        edit("the guard does not stop any more", |p| rewrite(p, "fail_mode: stop", "fail_mode: continue"), 3, 3),
        edit(
            "its matcher is narrowed",
            |p| rewrite(p, "{type: task.completed}", "{type: task.completed, filter: {a: 1}}"),
            3,
            3,
        ),
        edit("its event is renamed", |p| rewrite(p, "task.completed", "task.complete"), 3, 3),
        edit("a comment is added", |p| p.config(format!("{GUARD}# harmless\n")), 3, 3),
        edit("its script is deleted", |p| fs::remove_file(p.hooks_folder().join("guard.sh")).unwrap(), 3, 3),
        edit("its script is changed", |p| p.script("guard.sh", "#!/bin/sh\nexit 0\n"), 3, 3),
        edit(
            "its script is not executable",
            |p| write(&p.hooks_folder().join("guard.sh"), "#!/bin/sh\necho guard >> ran\n", 0o644),
            3,
            3,
        ),
        edit(
            "its script is a link elsewhere",
            |p| {
                fs::remove_file(p.hooks_folder().join("guard.sh")).unwrap();
                symlink("/bin/true", p.hooks_folder().join("guard.sh")).unwrap();
            },
            3,
            3,
        ),
        edit("everyone can write hooks.yaml", |p| write(&p.hooks_folder().join("hooks.yaml"), GUARD, 0o666), 3, 3),
        edit(
            "hooks.local.yaml is added",
            |p| {
                write(
                    &p.hooks_folder().join("hooks.local.yaml"),
                    "hooks: [{name: guard, enabled: false}]\nversion: '1.0'\n",
                    0o644,
                )
            },
            3,
            3,
        ),
        edit(
            "a .flowspec with other hooks is added",
            |p| {
                fs::create_dir_all(p.root().join(".flowspec/hooks")).unwrap();
                write(&p.root().join(".flowspec/hooks/hooks.yaml"), "version: '1.0'\nhooks: []\n", 0o644);
            },
            2,
            3,
        ),
        edit(
            "the policy has an error",
            |p| {
                fs::create_dir_all(p.home().join(".config/knockon")).unwrap();
                write(&p.home().join(".config/knockon/policy.yaml"), "sandbox: none\n", 0o600);
            },
            2,
            2,
        ),
        Vanishing {
            name: "a nested folder with other hooks",
            edit: |p| {
                fs::create_dir_all(p.root().join("packages/api/.knockon")).unwrap();
                write(&p.root().join("packages/api/.knockon/hooks.yaml"), "version: '1.0'\nhooks: []\n", 0o644);
            },
            variables: no_variables,
            folder: "packages/api",
            strict: 3,
            with_hash: 3,
        },
        Vanishing {
            name: "KNOCKON=0",
            edit: |_| {},
            variables: |_| vec![("KNOCKON", "0".into())],
            folder: "",
            strict: 3,
            with_hash: 3,
        },
        Vanishing {
            name: "KNOCKON_SKIP names it",
            edit: |_| {},
            variables: |_| vec![("KNOCKON_SKIP", "guard".into())],
            folder: "",
            strict: 3,
            with_hash: 3,
        },
        Vanishing {
            name: "KNOCKON_CONFIG names another file",
            edit: |_| {},
            variables: |p| vec![("KNOCKON_CONFIG", other_config(p).to_str().unwrap().into())],
            folder: "",
            strict: 3,
            with_hash: 3,
        },
        Vanishing {
            name: "KNOCKON_CONFIG names no file",
            edit: |_| {},
            variables: |_| vec![("KNOCKON_CONFIG", "/nowhere/hooks.yaml".into())],
            folder: "",
            strict: 2,
            with_hash: 3,
        },
        Vanishing {
            name: "XDG_STATE_HOME is another",
            edit: |_| {},
            variables: |p| vec![("XDG_STATE_HOME", p.home().join("elsewhere").to_str().unwrap().into())],
            folder: "",
            strict: 3,
            // The hash is the consent: the guard runs.
            with_hash: 0,
        },
    ]
}

#[test]
fn no_way_to_make_a_guard_vanish_is_green() {
    for way in ways() {
        let (project, hash) = reviewed();
        project.ok(&["trust", "--hash", &hash]);
        let (before, names) = emit_in(&project, &project.root(), &[], &["--strict"]);
        assert_eq!((before.code, names.len()), (0, 2), "{before:?}");
        (way.edit)(&project);
        let variables = (way.variables)(&project);
        let folder = project.root().join(way.folder);
        let emit = |arguments: &[&str]| emit_in(&project, &folder, &variables, arguments);
        let report = project.root().join("out.xml");
        let junit = format!("junit={}", report.display());

        let (plain, names) = emit(&["--report", &junit]);
        let document: Value = serde_json::from_str(&plain.stdout).unwrap_or_else(|_| panic!("{}: {plain:?}", way.name));
        let guard_ran = names.contains("guard");
        let nested = !way.folder.is_empty() || way.name.contains("KNOCKON_CONFIG names another");
        if !guard_ran && !nested {
            assert_ne!(document["outcome"], "none", "{}: {document}", way.name);
            assert_ne!(document["outcome"], "ran", "{}: {document}", way.name);
            assert_eq!(document["all_successful"], false, "{}: {document}", way.name);
            assert!(!plain.stderr.is_empty(), "{}: a line says so", way.name);
            let xml = fs::read_to_string(&report).unwrap();
            assert!(xml.contains("<error ") || xml.contains("<failure "), "{}: {xml}", way.name);
        }

        let (strict, names) = emit(&["--strict"]);
        assert_eq!(strict.code, way.strict, "{} with --strict: {strict:?}", way.name);
        assert!(strict.code != 0 || names.contains("guard"), "{}: {strict:?}", way.name);
        let (strict, names) = emit(&["--strict", "--trust-hash", &hash, "--report", &junit]);
        assert_eq!(strict.code, way.with_hash, "{} with the hash: {strict:?}", way.name);
        assert!(strict.code != 0 || names.contains("guard"), "{}: {strict:?}", way.name);
        let xml = fs::read_to_string(&report).unwrap();
        assert!(strict.code == 0 || xml.contains("<error ") || xml.contains("<failure "), "{}: {xml}", way.name);
    }
}

#[test]
fn the_page_on_security_lists_every_way() {
    let page = include_str!("../../docs/security.md");
    for way in ways() {
        let row = page.lines().find(|line| line.starts_with(&format!("| {} |", way.name)));
        let row = row.unwrap_or_else(|| panic!("docs/security.md has no row `{}`", way.name));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let code = |code: i32| if code == 0 { "0, it runs".to_owned() } else { code.to_string() };
        assert_eq!((cells[3], cells[4]), (code(way.strict).as_str(), code(way.with_hash).as_str()), "{row}");
    }
}

#[test]
fn a_trust_variable_without_a_value_is_an_error_with_strict() {
    let (project, hash) = reviewed();
    project.ok(&["trust", "--hash", &hash]);
    let empty = [("KNOCKON_TRUST", String::new())];
    let (ran, names) = emit_in(&project, &project.root(), &empty, &["--strict"]);
    assert_eq!((ran.code, names.len()), (2, 0));
    assert!(ran.stderr.contains("KNOCKON_TRUST is set but empty"), "{ran:?}");
    assert_eq!(emit_in(&project, &project.root(), &empty, &[]).0.code, 0);
}

#[test]
fn what_the_reviewed_content_itself_leaves_out_is_fine_and_reported_as_such() {
    for (key, status, not_run) in [("enabled: false", "disabled", "disabled"), ("mode: detach", "detached", "deferred")]
    {
        let project =
            TestProject::trusted(&format!("- {{name: quiet, events: [{{type: '*'}}], command: 'true', {key}}}\n"));
        let (ran, _) = emit_in(&project, &project.root(), &[], &["--strict"]);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let hook = &document["results"][0];
        assert_eq!((ran.code, &hook["status"], &hook["not_run"]), (0, &json!(status), &json!(not_run)), "{ran:?}");
        assert_eq!(document["all_successful"], true);
    }
    let skips = [
        "echo NOTIFY_URL is not set >&2; exit 77",
        "printf %s \"{\\\"status\\\": \\\"skip\\\", \\\"reason\\\": \\\"NOTIFY_URL is not set\\\"}\"",
    ];
    for command in skips {
        let project =
            TestProject::trusted(&format!("- {{name: quiet, events: [{{type: '*'}}], command: {}}}\n", json!(command)));
        let (ran, _) = emit_in(&project, &project.root(), &[], &["--strict"]);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let hook = &document["results"][0];
        assert_eq!((ran.code, &hook["error"]), (0, &json!("skipped: NOTIFY_URL is not set")), "{ran:?}");
        assert_eq!((&document["outcome"], &hook["not_run"]), (&json!("ran"), &json!("skipped")));
    }
    let never = TestProject::new();
    let (ran, _) = emit_in(&never, &never.root(), &[], &["--strict"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &document["outcome"]), (0, &json!("none")), "nothing was ever reviewed here");
}

#[test]
fn an_error_in_one_hook_disables_that_hook_alone() {
    for (broken, name) in [
        ("- {name: bad, events: [{type: a.b}], comand: 'true'}\n", "bad"),
        ("- {name: bad, events: [{type: 'a.['}], command: 'true'}\n", "bad"),
        ("- {name: bad, events: [{type: a.b, filter: {x: {prefx: y}}}], command: 'true'}\n", "bad"),
        ("- {name: bad, events: [{type: a.b}], command: 'true', timeout: 0}\n", "bad"),
        ("- {name: bad, name: bad, events: [{type: a.b}], command: 'true'}\n", "bad"),
        ("- {name: bad, events: [{type: a.b}], command: 'true', after: [nobody]}\n", "bad"),
        ("- {name: good, events: [{type: a.b}], command: touch second}\n", "good"),
        ("- {events: [{type: a.b}], command: 'true'}\n", "hooks[1]"),
        ("- just a string\n", "hooks[1]"),
    ] {
        let project = TestProject::new();
        project.hooks(&format!("- {{name: good, events: [{{type: a.b}}], command: touch ran}}\n{broken}"));
        project.trust();
        let ran = project.run(&["emit", "a.b", "--json"]);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, project.exists("ran"), project.exists("second")), (0, true, false), "{broken}: {ran:?}");
        assert_eq!((&document["outcome"], &document["all_successful"]), (&json!("not_run"), &json!(false)), "{broken}");
        let results = document["results"].as_array().unwrap();
        let invalid =
            results.iter().find(|hook| hook["status"] == "invalid").unwrap_or_else(|| panic!("{broken}: {ran:?}"));
        assert_eq!((&invalid["hook_name"], &invalid["not_run"]), (&json!(name), &json!("invalid_config")), "{broken}");
        assert!(invalid["error"].as_str().unwrap().contains("hooks.yaml:"), "{broken}: {invalid}");
        assert!(project.audit_story().contains(&format!("{name} invalid")), "{broken}: {:?}", project.audit_story());
        assert_eq!(project.run(&["emit", "a.b", "--strict"]).code, 2, "{broken}");
        assert_eq!(project.run(&["validate"]).code, 2, "{broken}");
    }
}

#[test]
fn an_error_of_the_whole_file_disables_all_of_it() {
    for broken in [
        "version: '2.0'\nhooks:\n",
        "version: '1.0'\ncolour: red\nhooks:\n",
        "version: '1.0'\ndefaults: {timeout: 0}\nhooks:\n",
    ] {
        let project = TestProject::new();
        project
            .config(format!("{broken}- {{name: good, events: [{{type: a.b}}], command: touch ran, shell: /bin/sh}}\n"));
        let ran = project.run(&["emit", "a.b", "--json"]);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, project.exists("ran"), &document["outcome"]), (0, false, &json!("not_run")), "{ran:?}");
        assert_eq!(project.run(&["trust", "--print-hash"]).code, 2, "it cannot be trusted either");
    }
}

#[test]
fn a_guard_that_was_trusted_is_missed_until_the_user_says_otherwise() {
    let (project, hash) = reviewed();
    project.ok(&["trust", "--hash", &hash]);
    fs::remove_file(project.hooks_folder().join("hooks.yaml")).unwrap();
    let warning = |ran: &Ran| ran.stderr.contains("warning: the guard `guard` did not run: ");
    for _ in 0..2 {
        let ran = project.run(&["emit", "task.completed"]);
        assert!(ran.code == 0 && warning(&ran), "each time: {ran:?}");
    }
    let other = project.run(&["emit", "spec.created"]);
    assert!(!warning(&other), "an event that the guard is not for: {other:?}");

    let settings = project.home().join(".config/knockon");
    fs::create_dir_all(&settings).unwrap();
    write(&settings.join("settings.yaml"), "version: '1.0'\nguards: enforce\n", 0o600);
    let ran = project.run(&["emit", "task.completed", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &document["outcome"]), (1, &json!("stopped")), "{ran:?}");
    assert_eq!(document["guards"][0]["hook_name"], "guard");
    assert_eq!(project.run(&["emit", "spec.created"]).code, 0);

    // What is there now and was never trusted stops nobody.
    let content = "version: '1.0'\nhooks: [{name: liar, events: [{type: '*'}], command: 'exit 1', fail_mode: stop}]\n";
    project.config(content);
    assert_eq!(project.run(&["emit", "spec.created"]).code, 0);
    project.trust();
    assert_eq!(project.run(&["emit", "task.completed"]).code, 1, "the new one is a guard now");
    project.ok(&["untrust"]);
    fs::remove_file(project.hooks_folder().join("hooks.yaml")).unwrap();
    assert_eq!(project.run(&["emit", "task.completed"]).code, 0);
}

#[test]
fn content_that_nobody_trusted_stops_nobody_valid_or_not() {
    let settings = "version: '1.0'\nguards: enforce\n";
    for text in
        [GUARD.to_owned(), GUARD.replace("fail_mode: stop", "fail_mode: stop\n  nonsense: 1"), format!("{GUARD}]:")]
    {
        let project = TestProject::new();
        fs::create_dir_all(project.home().join(".config/knockon")).unwrap();
        write(&project.home().join(".config/knockon/settings.yaml"), settings, 0o600);
        write(&project.home().join(".config/knockon/policy.yaml"), "sandbox: none\n", 0o600);
        project.config(text);
        let ran = project.run(&["emit", "task.completed", "--json"]);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, &document["outcome"]), (0, &json!("not_run")), "{ran:?}");
    }
}

/// A generator of edits that needs no more than to be the same each time (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % most as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// One seeded edit of the reviewed project: what was done, variables, and the folder to emit in.
fn seeded(project: &TestProject, random: &mut Random) -> (String, Vec<(&'static str, String)>, PathBuf) {
    let (root, hooks) = (project.root(), project.hooks_folder());
    let target = random.pick(&[".knockon/hooks.yaml", ".knockon/guard.sh", ".knockon"]);
    let path = root.join(target);
    let plain = |what: String| (what, Vec::new(), root.clone());
    let text = |name: &str| fs::read_to_string(hooks.join(name)).unwrap();
    match random.below(12) {
        0 => {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            plain(format!("delete {target}"))
        }
        1 => {
            fs::rename(&path, path.with_extension("away")).unwrap();
            plain(format!("rename {target}"))
        }
        2 => {
            let mode = random.pick(&[0o000, 0o400, 0o644, 0o666, 0o755, 0o777]);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            plain(format!("chmod {mode:o} {target}"))
        }
        3 => {
            let to = random.pick(&["nowhere", "/dev/null", "/dev/zero", "/etc", "../other", "hooks.yaml"]);
            fs::rename(&path, root.join("other")).unwrap();
            symlink(to, &path).unwrap();
            plain(format!("link {target} to {to}"))
        }
        4 => {
            let name = random.pick(&[
                ".flowspec/hooks/hooks.yaml",
                ".flowspec/hooks/hooks.yml",
                ".knockon/hooks.yml",
                ".knockon/hooks.local.yaml",
                ".knockon/hooks.on.yaml",
            ]);
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            let text = random.pick(&[
                "",
                "version: '1.0'\nhooks: []\n",
                "version: '1.0'\nhooks: [{name: guard, enabled: false}]\n",
                "]",
            ]);
            write(&root.join(name), text, 0o644);
            plain(format!("add {name} with {text:?}"))
        }
        5 => {
            let folder = root.join("packages/api");
            let marker = random.pick(&[".knockon", ".flowspec", ".git", ".flowspec/hooks"]);
            fs::create_dir_all(folder.join(marker)).unwrap();
            let with_file = random.below(2) == 0;
            if with_file {
                write(&folder.join(marker).join("hooks.yaml"), "version: '1.0'\nhooks: []\n", 0o644);
            }
            (format!("nested {marker}, file: {with_file}"), Vec::new(), folder)
        }
        6 => {
            let (from, to) = random.pick(&[
                ("task.completed", "task.complete"),
                ("task.completed", "Task.Completed"),
                ("{type: task.completed}", "{type: task.completed, filter: {x: 1}}"),
                ("{type: task.completed}", "{type: task.completed, files: ['*.none']}"),
                ("fail_mode: stop", "fail_mode: continue"),
                ("fail_mode: stop", "enabled: false"),
                ("fail_mode: stop", "fail_mode: stop\n  mode: detach"),
                ("script: guard.sh", "command: 'true'"),
                ("name: guard", "name: gard"),
                ("hooks:", "hooks: []\nx-hooks:"),
                ("version: '1.0'", "version: '3.0'"),
                ("defaults: {", "defaults: {enabled: false, "),
            ]);
            rewrite(project, from, to);
            plain(format!("{from} becomes {to}"))
        }
        7 => {
            let mut lines: Vec<String> = text("hooks.yaml").lines().map(str::to_owned).collect();
            let at = random.below(lines.len());
            let gone = lines.remove(at);
            project.config(lines.join("\n"));
            plain(format!("delete the line {gone:?}"))
        }
        8 => {
            let name = random.pick(&["hooks.yaml", "guard.sh"]);
            let mut bytes = text(name).into_bytes();
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(7),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"x# \n:\xff"[random.below(6)]),
            }
            fs::write(hooks.join(name), bytes).unwrap();
            plain(format!("a byte of {name} at {at}"))
        }
        9 => {
            let name = random.pick(&["hooks.yaml", "guard.sh"]);
            fs::write(hooks.join(name), "").unwrap();
            plain(format!("empty {name}"))
        }
        10 => {
            let elsewhere = project.home().join("elsewhere");
            fs::create_dir_all(&elsewhere).unwrap();
            let elsewhere = elsewhere.to_str().unwrap().to_owned();
            let (name, value) = match random.below(12) {
                0 => ("KNOCKON", random.pick(&["0", "false", "off", "no", "1", ""]).to_owned()),
                1 => ("KNOCKON_SKIP", random.pick(&["guard", "note", "guard,note", "gard", ""]).to_owned()),
                2 => ("KNOCKON_CONFIG", other_config(project).to_str().unwrap().to_owned()),
                3 => ("KNOCKON_CONFIG", random.pick(&["/nowhere", "", "/dev/null", "."]).to_owned()),
                4 => ("KNOCKON_TRUST", random.pick(&["", "nonsense"]).to_owned()),
                5 => ("KNOCKON_CHAIN", random.pick(&["16", "x", "3"]).to_owned()),
                6 => ("HOME", random.pick(&["", "/nowhere", &elsewhere, root.to_str().unwrap()]).to_owned()),
                7 => ("XDG_STATE_HOME", random.pick(&["", "/nowhere", &elsewhere]).to_owned()),
                8 => ("XDG_CONFIG_HOME", random.pick(&["", "/nowhere", &elsewhere]).to_owned()),
                9 => ("XDG_CACHE_HOME", random.pick(&["", "/nowhere", &elsewhere]).to_owned()),
                10 => ("TMPDIR", random.pick(&["", "/nowhere", &elsewhere]).to_owned()),
                _ => ("PATH", "/nowhere".to_owned()),
            };
            (format!("{name}={value:?}"), vec![(name, value)], root)
        }
        _ => {
            let name = random.pick(&["policy.yaml", "hooks.yaml"]);
            let folder = project.home().join(".config/knockon");
            fs::create_dir_all(&folder).unwrap();
            let text = random.pick(&["]", "", "version: '1.0'\nnonsense: 1\n"]);
            write(&folder.join(name), text, 0o600);
            plain(format!("the user's {name} is {text:?}"))
        }
    }
}

#[test]
fn five_hundred_seeded_edits_never_pass_for_the_reviewed_content() {
    let both: BTreeSet<String> = ["guard".to_owned(), "note".to_owned()].into();
    let (mut lost_by_the_control, mut refused) = (0, 0);
    for seed in 0..500 {
        let (project, hash) = reviewed();
        project.ok(&["trust", "--hash", &hash]);
        let (what, variables, folder) = seeded(&project, &mut Random(seed * 7919 + 1));
        let (strict, names) = emit_in(&project, &folder, &variables, &["--strict", "--trust-hash", &hash]);
        let (is_refused, ran_all) = ([2, 3].contains(&strict.code), names == both);
        assert!(is_refused || (strict.code == 0 && ran_all), "seed {seed}, {what}: {names:?} {strict:?}");
        refused += usize::from(is_refused);
        // The same without the comparison: a caller that looks at the exit code alone.
        let (plain, names) = emit_in(&project, &folder, &variables, &[]);
        lost_by_the_control += usize::from(plain.code == 0 && !names.contains("guard"));
    }
    assert!(refused > 200, "{refused} of 500 edits were refused");
    assert!(lost_by_the_control > 100, "the control lost only {lost_by_the_control}");
}

/// What a guard that did not run is to be helped with depends on why.
#[test]
fn a_missing_guard_says_what_helps() {
    type Edit = fn(&TestProject);
    let ways: [(&str, Edit, &str); 5] = [
        (
            "typo",
            |project| project.config(GUARD.replace("fail_mode: stop", "fail_mod: stop")),
            "`knockon validate` shows what to correct",
        ),
        (
            "broken file",
            |project| project.config("version: '1.0'\nhooks: [}\n"),
            "`knockon validate` shows what to correct",
        ),
        (
            "removed",
            |project| fs::remove_dir_all(project.hooks_folder()).unwrap(),
            "bring it back, or give the guard up with `knockon untrust`",
        ),
        ("changed", |project| project.config(GUARD.replace("echo note", "echo other")), "review with `knockon trust`"),
        (
            "open to others",
            |project| {
                fs::set_permissions(project.hooks_folder().join("guard.sh"), fs::Permissions::from_mode(0o777))
                    .unwrap();
            },
            "correct that first",
        ),
    ];
    for (name, edit, help) in ways {
        let (project, _) = reviewed();
        project.trust();
        edit(&project);
        let ran = project.run(&["emit", "task.completed"]);
        let line = ran.stderr.lines().find(|line| line.contains("the guard `guard` did not run")).unwrap_or_default();
        assert!(line.ends_with(help), "{name}: {}", ran.stderr);
    }
}

/// Reviewed as it is, and it cannot run: that is no success under `--strict`.
#[test]
fn a_script_that_cannot_be_started_is_no_success_under_strict() {
    for (script, says) in [("#!/bin/sh\n", "not executable"), ("#!/no/such/shell\n", "/no/such/shell")] {
        let (project, _) = reviewed();
        let path = project.hooks_folder().join("guard.sh");
        write(&path, script, if says == "not executable" { 0o644 } else { 0o755 });
        project.config(GUARD.replace("  fail_mode: stop\n", ""));
        let review = project.run(&["trust"]);
        assert!(review.stdout.contains("warning: it cannot run") && review.stdout.contains(says), "{}", review.stdout);
        project.trust();
        let plain = project.run(&["emit", "task.completed"]);
        assert_eq!(plain.code, 0, "{}", plain.stderr);
        let strict = project.run(&["emit", "task.completed", "--strict"]);
        assert!(strict.code == 3 && strict.stderr.contains("`guard` should have run and did not"), "{}", strict.stderr);
    }
}

#[test]
fn what_only_shows_tells_of_hooks_that_the_environment_leaves_out() {
    let project = TestProject::trusted(
        "- {name: a, events: [{type: a.b}], command: 'true'}\n- {name: b, events: [{type: a.b}], command: 'true'}\n",
    );
    for (variable, value, left_out) in [("KNOCKON", "0", 2), ("KNOCKON_SKIP", "a", 1)] {
        let run = |arguments: &[&str]| {
            let output = project.command(arguments).env(variable, value).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let dry = run(&["emit", "a.b", "--dry-run"]);
        assert_eq!(dry.matches(&format!("would not run: {variable}")).count(), left_out, "{dry}");
        let document: Value = serde_json::from_str(&run(&["emit", "a.b", "--dry-run", "--json"])).unwrap();
        let would = document["results"].as_array().unwrap().iter().filter(|hook| hook["would_run"] == json!(true));
        assert_eq!(would.count(), 2 - left_out, "{document}");
        let explained = run(&["explain", "a.b"]);
        assert_eq!(explained.matches(&format!("does not run: {variable}")).count(), left_out, "{explained}");
    }
}

#[test]
fn the_record_of_an_event_says_what_was_not_read() {
    let project = TestProject::new();
    project.config("version: '1.1'\ninclude: [one.yaml, two.yaml]\nhooks: []\n");
    for name in ["one", "two"] {
        project.file(
            &format!(".knockon/{name}.yaml"),
            format!("version: '1.1'\nhooks:\n  - {{name: {name}, events: [{{type: a.b}}], command: [echo]}}\n"),
        );
    }
    let ran = project.ok(&["emit", "a.b"]);
    assert_eq!(ran.stderr.matches("before you trust").count(), 1, "{}", ran.stderr);
    let id = project.audit()[0]["event_id"].as_str().unwrap().to_owned();
    let story = project.ok(&["audit", "show", &id]).stdout;
    assert!(story.contains("is not read before you trust") && story.contains("no hook ran"), "{story}");
    // It is known, and has to be trusted.
    let tried = project.run(&["test", "two", "a.b"]);
    assert!(tried.code == 3 && tried.stderr.contains("not trusted"), "{tried:?}");
}

#[test]
fn doctor_finds_what_keeps_hooks_from_starting() {
    let project = TestProject::trusted("- {name: a, events: [{type: a.b}], script: gone.sh}\n");
    let ran = project.run(&["doctor"]);
    assert!(ran.code == 1 && ran.stdout.contains("gone.sh"), "{ran:?}");
}

/// A project with a trusted guard for `task.completed`; and the hash that was reviewed.
fn guarded() -> (TestProject, String) {
    let project = TestProject::trusted(
        "- {name: guard, events: [{type: task.completed}], fail_mode: stop, command: echo ran >> ran}\n",
    );
    let hash = project.ok(&["trust", "--print-hash"]).stdout.trim().to_owned();
    (project, hash)
}

/// That the guard is missed by an emit, on standard error and in the result.
#[track_caller]
fn is_missed(command: std::process::Command, what: &str) {
    let mut command = command;
    let output = command.args(["emit", "task.completed", "--json"]).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{what}: {out} {err}"));
    assert_eq!(document["outcome"], "not_run", "{what}: {document}");
    assert!(err.contains("the guard `guard` did not run"), "{what}: {err}");
}

/// What one command learned of a configuration is kept for the next: never that nothing is missing.
#[test]
fn a_guard_is_missed_whatever_ran_before() {
    let runs: [&[&str]; 11] = [
        &["emit", "task.completed", "--strict", "--trust-hash", "HASH"],
        &["emit", "plan.created", "--trust-hash", "HASH"],
        &["emit", "task.completed"],
        &["emit", "task.completed", "--dry-run"],
        &["list"],
        &["explain", "task.completed"],
        &["test", "guard"],
        &["doctor"],
        &["trust", "--print-hash"],
        &["graph"],
        &["run", "--event-type", "task.completed", "--payload", "{}", "--trust-hash", "HASH"],
    ];
    for before in runs {
        for (from, to) in [("task.completed", "task.archived"), ("name: guard", "name: other"), ("stop", "continue")] {
            let (project, hash) = guarded();
            let text = project.read(".knockon/hooks.yaml");
            project.config(text.replace(from, to));
            let other = project.ok(&["trust", "--print-hash"]).stdout.trim().to_owned();
            for given in [&hash, &other] {
                let before: Vec<&str> = before.iter().map(|word| if *word == "HASH" { given } else { *word }).collect();
                for _ in 0..2 {
                    project.run(&before);
                }
                is_missed(project.command(&[]), &format!("{before:?} {to}"));
            }
        }
    }
}

#[test]
fn a_guard_is_missed_where_a_variable_names_another_configuration() {
    let (project, _) = guarded();
    let other = project.file("other.yaml", "version: \"1.0\"\nhooks: []\n");
    for named in ["other.yaml", other.to_str().unwrap()] {
        let mut command = project.command(&[]);
        command.env("KNOCKON_CONFIG", named);
        is_missed(command, named);
        let mut doctor = project.command(&["doctor"]);
        let output = doctor.env("KNOCKON_CONFIG", named).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("KNOCKON_CONFIG names"), "{said}");
    }
    // The user's own word, and the project's own configuration.
    assert_eq!(project.ok(&["emit", "task.completed", "--config", "other.yaml"]).stderr, "");
    let mut command = project.command(&["emit", "task.completed"]);
    let output = command.env("KNOCKON_CONFIG", ".knockon/hooks.yaml").output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(project.exists("ran"));
}

#[test]
fn a_guard_is_missed_in_a_folder_that_was_deleted() {
    let (project, _) = guarded();
    let gone = project.root().join("gone");
    for variable in [None, Some("/"), Some(gone.to_str().unwrap())] {
        for (arguments, code) in [(&["emit", "task.completed"][..], 0), (&["emit", "task.completed", "--strict"], 3)] {
            fs::create_dir(&gone).unwrap();
            let line = "rmdir \"$1\" && shift && if [ -n \"$SET\" ]; then PWD=$SET; export PWD; else unset PWD; fi; exec \"$KNOCKON_BINARY\" \"$@\"";
            let mut command = project.program("/bin/sh", &["-c", line, "sh", gone.to_str().unwrap()]);
            let output =
                command.args(arguments).current_dir(&gone).env("SET", variable.unwrap_or("")).output().unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{variable:?} {arguments:?}: {err}");
            assert!(
                err.contains("the guard `guard` did not run: the working folder was deleted"),
                "{variable:?}: {err}"
            );
        }
    }
}

/// Commands that only show say so, too.
#[test]
fn what_only_shows_names_a_guard_that_is_gone() {
    let (project, _) = guarded();
    fs::remove_file(project.hooks_folder().join("hooks.yaml")).unwrap();
    let ran = project.ok(&["emit", "task.completed", "--dry-run"]);
    assert!(ran.stdout.contains("guard would not run: ") && !ran.stdout.contains("no hook matches"), "{ran:?}");
    let document = project.json(&["emit", "task.completed", "--dry-run", "--json"]);
    assert_eq!((&document["all_successful"], &document["guards"][0]["hook_name"]), (&json!(false), &json!("guard")));
    let ran = project.ok(&["explain", "task.completed"]);
    assert!(
        ran.stdout.contains("! guard  does not run: ") && ran.stdout.contains("does not exist any more"),
        "{ran:?}"
    );
    let document = project.json(&["explain", "task.completed", "--json"]);
    assert_eq!(document["guards"][0]["hook_name"], "guard");
    let other = project.ok(&["emit", "plan.created", "--dry-run"]);
    assert!(other.stdout.contains("no hook matches"), "{other:?}");
}

/// What is compared with what was reviewed is what is matched, however quickly the file is exchanged.
#[test]
fn a_configuration_that_is_exchanged_all_the_time_is_never_green_without_its_guard() {
    let (project, hash) = guarded();
    let path = project.hooks_folder().join("hooks.yaml");
    let good = fs::read_to_string(&path).unwrap();
    let bad = good.replace("task.completed", "task.archived");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = project.root().join("other");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for text in [&bad, &good] {
                    fs::write(&other, text).unwrap();
                    fs::rename(&other, &path).unwrap();
                }
            }
        });
        for number in 0..150 {
            let _ = fs::remove_file(project.root().join("ran"));
            let ran = project.run(&["emit", "task.completed", "-q", "--strict", "--trust-hash", &hash]);
            let is_silent = ran.code == 0 && !project.exists("ran");
            if is_silent {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(!is_silent, "{number}: {ran:?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// The working folder was exchanged for a link: it lies in no project any more, and its name still says where it was.
#[test]
fn a_guard_is_missed_in_a_folder_that_became_a_link() {
    let (project, _) = guarded();
    let outside = project.root().parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, project.root().join("src")).unwrap();
    let run = |arguments: &[&str]| {
        let line = "cd src && exec \"$KNOCKON_BINARY\" \"$@\"";
        let output = project.program("/bin/sh", &[&["-c", line, "sh"], arguments].concat()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = run(&["emit", "task.completed"]);
    assert!(code == 0 && err.contains("the guard `guard` did not run"), "{err}");
    let (code, err) = run(&["emit", "task.completed", "--strict"]);
    assert_eq!(code, 3, "{err}");
}

#[test]
fn settings_that_cannot_be_read_enforce_guards() {
    let (project, _) = guarded();
    let folder = project.home().join(".config/knockon");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("settings.yaml"), "guards: [").unwrap();
    project.ok(&["emit", "task.completed"]);
    let text = project.read(".knockon/hooks.yaml");
    project.config(text.replace("task.completed", "task.archived"));
    let ran = project.run(&["emit", "task.completed"]);
    assert!(ran.code == 1 && ran.stderr.contains("the guard `guard` did not run"), "{ran:?}");
}

/// Trusting a guard with an error does not make it forgotten.
#[test]
fn a_guard_that_was_trusted_with_an_error_is_still_missed() {
    let (project, _) = guarded();
    let folder = project.home().join(".config/knockon");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("settings.yaml"), "version: \"1.0\"\nguards: enforce\n").unwrap();
    let good = project.read(".knockon/hooks.yaml");
    project.config(good.replace("fail_mode: stop", "fail_mode: stop, timeot: 1"));
    project.trust();
    for _ in 0..2 {
        let ran = project.run(&["emit", "task.completed"]);
        assert!(ran.code == 1 && ran.stderr.contains("the guard `guard` did not run"), "{ran:?}");
    }
    project.config(&good);
    project.trust();
    assert_eq!(project.ok(&["emit", "task.completed"]).stderr, "");
}

/// A glob with an error matches no files, and not any.
#[test]
fn a_hook_whose_files_have_an_error_does_not_run() {
    for glob in ["/abs/**/*.rs", "[a", "{a,b", ""] {
        for files in [format!("[{}]", json!(glob)), format!("['src/*.rs', {}]", json!(glob))] {
            let project = TestProject::new();
            project.hooks(&format!(
                "- {{name: h, events: [{{type: task.completed, files: {files}}}], command: echo ran >> ran}}\n"
            ));
            project.trust();
            for arguments in [&["emit", "task.completed", "-f", "README.md"][..], &["emit", "task.completed"]] {
                let ran = project.run(arguments);
                assert!(!project.exists("ran"), "{files}: {ran:?}");
                assert!(
                    ran.stderr.contains("1 hook (`h`) did not run: its configuration has an error"),
                    "{files}: {ran:?}"
                );
            }
            assert_eq!(project.run(&["emit", "task.completed", "--strict"]).code, 2, "{files}");
            assert!(project.run(&["list"]).stdout.contains("err h"), "{files}");
        }
    }
}

/// What was understood of a configuration before another one was trusted says nothing about the guards of that one.
#[test]
fn a_guard_is_missed_when_an_older_configuration_comes_back() {
    const OLD: &str = "- {name: first, events: [{type: plan.created}], fail_mode: stop, command: 'true'}\n";
    const NEW: &str = "- {name: guard, events: [{type: task.completed}], fail_mode: stop, command: 'true'}\n";
    let project = TestProject::trusted(OLD);
    project.ok(&["emit", "plan.created"]);
    let old = project.read(".knockon/hooks.yaml");
    project.hooks(&format!("{OLD}{NEW}"));
    project.trust();
    project.config(old);
    is_missed(project.command(&[]), "the older one");
}
