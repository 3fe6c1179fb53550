//! Included files, the local override, the order of layers, versions.

use crate::support::TestProject;

#[test]
fn included_hooks_come_first_and_bring_their_own_defaults() {
    let project = TestProject::new();
    project.config(
        "version: '1.1'\ninclude: [team/back.yaml]\ndefaults: {shell: /bin/sh, env: {A: main, B: main}}\nhooks:\n- {name: own, events: [{type: '*'}], command: 'echo $A$B >> order'}\n",
    );
    project.file(".knockon/team/back.yaml", "version: '1.0'\ninclude: [team/deep.yaml]\ndefaults: {env: {B: team}}\nhooks:\n- {name: back, events: [{type: '*'}], command: 'echo $A$B >> order'}\n");
    project.file(
        ".knockon/team/deep.yaml",
        "version: '1.0'\nhooks:\n- {name: deep, events: [{type: '*'}], command: 'echo $A$B >> order'}\n",
    );
    project.trust();
    project.ok(&["emit", "spec.created"]);
    assert_eq!(project.read("order"), "mainteam\nmainteam\nmainmain\n");
    assert_eq!(project.ok(&["validate"]).stdout, "✓ 3 hooks in 3 files, no problems\n");
    // What is included is trusted with the rest, and no longer when it changes.
    project.file(
        ".knockon/team/deep.yaml",
        "version: '1.0'\nhooks:\n- {name: deep, events: [{type: '*'}], command: 'touch evil'}\n",
    );
    let ran = project.run(&["emit", "spec.created", "--strict"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.stderr.contains("changed since it was trusted: team/deep.yaml") && !project.exists("evil"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_local_file_overrides_key_by_key_and_adds_hooks() {
    let project = TestProject::new();
    project.config(
        "version: '1.1'\ndefaults: {shell: /bin/sh}\nhooks:\n- {name: a, events: [{type: '*'}], script: gone.sh, env: {X: '1', Y: '1'}}\n- {name: b, events: [{type: '*'}], command: 'echo b >> order'}\n",
    );
    project.file(".knockon/hooks.local.yaml", "version: '1.1'\ndefaults: {timeout: 7}\nhooks:\n- {name: a, command: 'echo $X$Y >> order', env: {Y: '2'}}\n- {name: b, enabled: false}\n- {name: c, events: [{type: '*'}], command: 'echo c >> order'}\n");
    project.trust();
    project.ok(&["emit", "spec.created"]);
    assert_eq!(project.read("order"), "12\nc\n");
    let listed = project.json(&["list", "--json"]);
    assert_eq!(listed["hooks"][0]["timeout"], 7);
    let explained = project.ok(&["explain", "spec.created"]).stdout;
    assert!(explained.contains("it is switched off by hooks.local.yaml:5"), "{explained}");
    assert!(explained.contains("its `command` comes from hooks.local.yaml:4"), "{explained}");
    // A file named on the command line is read as it stands.
    assert_eq!(
        project.json(&["list", "--json", "--config", ".knockon/hooks.yaml"])["hooks"].as_array().unwrap().len(),
        2
    );
    assert!(project.ok(&["init"]).code == 0 && project.read(".knockon/.gitignore").contains("hooks.local.yaml"));
}

#[test]
fn a_fault_in_a_layer_is_told_in_that_layer() {
    let project = TestProject::new();
    project.config("version: '1.1'\ninclude: [a.yaml, missing.yaml, ../out.yaml]\nhooks: []\n");
    project.file(
        ".knockon/a.yaml",
        "version: '1.1'\ninclude: [hooks.yaml]\nhooks:\n- {name: x, events: [{type: 'task.['}], comand: x}\n",
    );
    project.file(".knockon/hooks.local.yaml", "version: '1.1'\nhooks: [{name: y, events: [{type: a.b}], command: x, timeout: 5x}, {name: z, enabled: false}]\n");
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, 2);
    for words in [
        "a.yaml:2:11: error: these files include each other: hooks.yaml → a.yaml → hooks.yaml",
        "a.yaml:4:41: error: `comand` is no key of a hook",
        "missing.yaml does not exist",
        "`../out.yaml` leads out of the hooks folder",
        "hooks.local.yaml:2:64: error: `5x` is no duration",
        "hooks.local.yaml:2:75: error: there is no hook `z` to override",
    ] {
        assert!(ran.stdout.contains(words), "{words}:\n{}", ran.stdout);
    }
}

#[test]
fn two_hooks_of_one_name_are_shown_both() {
    let project = TestProject::new();
    project.config("version: '1.1'\ninclude: [a.yaml]\nhooks:\n- {name: x, events: [{type: '*'}], command: x}\n");
    project.file(".knockon/a.yaml", "version: '1.1'\nhooks:\n- {name: x, events: [{type: '*'}], command: x}\n");
    let shown = project.run(&["validate"]).stdout;
    assert!(shown.contains("hooks.yaml:4:10: error: the hook name `x` is taken"), "{shown}");
    assert!(shown.contains("a.yaml:3:10: the first one with this name\n  3 | - {name: x,"), "{shown}");
}

#[test]
fn newer_minor_versions_warn_and_other_majors_are_refused() {
    let project = TestProject::new();
    project.config("version: '1.7'\nhooks: []\n");
    let ran = project.ok(&["validate"]);
    assert!(ran.stdout.contains("version 1.7 is newer than 1.1, the newest this build knows"), "{}", ran.stdout);
    project.config("version: '2.0'\nhooks: []\n");
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stdout.contains("version 2.0 is not known; this build knows 1.x")
            && ran.stdout.contains("or update knockon"),
        "{}",
        ran.stdout
    );
}
