//! The library, as an application uses it.

use crate::support::TestProject;
use knockon::event::{Conversion, Deprecated, Step, Versions};
use knockon::{Emitter, EmitterOptions, EventDraft, Project, Status, UserFolders, drafts};
use std::collections::HashSet;

fn emitter(project: &TestProject) -> Emitter {
    emitter_with(project, EmitterOptions::default())
}

fn emitter_with(project: &TestProject, options: EmitterOptions) -> Emitter {
    let user = UserFolders {
        home: Some(project.home()),
        config: None,
        state: Some(project.home().join(".local/state/knockon")),
        cache: None,
        ..UserFolders::default()
    };
    Emitter::open(Project::at(&project.root()).unwrap(), &user, options)
}

#[test]
fn an_application_emits_and_gets_a_report() {
    let project = TestProject::trusted(
        "- {name: keep, events: [{type: task.status_changed, filter: {status_to: Done}}], command: cat > got}\n",
    );
    let emitter = emitter(&project);
    let report = emitter.emit(drafts::task_status_changed("t-1", "To Do", "Done").feature("auth"));
    assert_eq!(report.hooks().len(), 1);
    assert_eq!(report.hooks()[0].outcome.status, Status::Success);
    assert!(report.stopped_by().is_none() && report.warnings.is_empty() && report.problems.is_empty());
    assert_eq!(project.read("got").as_bytes(), report.event.unwrap().bytes());
    assert!(emitter.emit(drafts::task_status_changed("t-1", "Done", "To Do")).hooks().is_empty());
}

#[test]
fn whatever_is_emitted_comes_back_as_a_report() {
    let project = TestProject::new();
    project.config("broken: [");
    let emitter = emitter(&project);
    let report = emitter.emit(drafts::spec_created("x"));
    assert_eq!((report.hooks().len(), report.problems.len()), (0, 1));
    let mut deep = serde_json::json!(1);
    for _ in 0..5_000 {
        deep = serde_json::Value::Array(vec![deep]);
    }
    let report = emitter.emit(drafts::spec_created("x").context("deep", deep));
    assert!(report.refused.unwrap().to_string().contains("nested deeper than 128"));
    let huge = EventDraft::new("a.b".parse().unwrap()).context("huge", "x".repeat(9 << 20));
    assert!(emitter.emit(huge).refused.unwrap().to_string().contains("8 MiB"));
}

#[test]
fn events_in_a_row_are_all_recorded_and_let_hooks_and_others_in() {
    let project = TestProject::trusted(
        "- {name: every, events: [{type: spec.created}], command: \"exec knockon-under-test emit plan.created\"}\n"
            .replace("knockon-under-test", env!("CARGO_BIN_EXE_knockon"))
            .as_str(),
    );
    // As another program would: with an emitter of its own, and so with a lock of its own.
    let row = || {
        let emitter = emitter(&project);
        let drafts =
            (0..400).map(|n| if n % 200 == 100 { drafts::spec_created("x") } else { drafts::task_completed("t-1") });
        let mut reports = 0;
        emitter.emit_all(drafts, |report| {
            assert!(report.dispatched.unrecorded.is_empty() && report.warnings.is_empty(), "{report:?}");
            assert!(report.hooks().iter().all(|hook| hook.outcome.status == Status::Success), "{report:?}");
            reports += 1;
        });
        reports
    };
    std::thread::scope(|scope| {
        let rows = [scope.spawn(row), scope.spawn(row), scope.spawn(row)];
        assert!(rows.into_iter().all(|row| row.join().unwrap() == 400));
    });
    // 1,200 events; six of them had a hook, with two records and an event of its own.
    assert_eq!(project.read(".knockon/audit.log").lines().count(), 1200 + 6 * 3);
    project.ok(&["audit", "verify"]);
}

#[test]
fn threads_share_an_emitter() {
    let project = TestProject::trusted("- {name: a, events: [{type: '*'}], command: 'true'}\n");
    let emitter = emitter(&project);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let report = emitter.emit(drafts::spec_created("x"));
                    assert_eq!(report.hooks()[0].outcome.status, Status::Success, "{:?}", report.dispatched);
                }
            });
        }
    });
    let records = project.audit();
    let ids: HashSet<&str> = records.iter().map(|record| record["event_id"].as_str().unwrap()).collect();
    assert_eq!((records.len(), ids.len()), (480, 160));
}

/// A version that does not exist: the context's `task_id` is called `task`, `priority` is gone, and `feature`
/// is on its way out.
const MADE_UP: &Versions = &Versions {
    plain: "2.0",
    conversion: Some(Conversion {
        previous: "1.0",
        up: &[
            Step::Rename { object: "context", from: "task_id", to: "task" },
            Step::Remove { object: "context", field: "priority" },
        ],
        down: &[Step::Rename { object: "context", from: "task", to: "task_id" }],
    }),
    deprecated: &[Deprecated { field: "assignee", replacement: "owner", removed_in: "3.0" }],
};

#[test]
fn a_hook_gets_events_of_the_version_it_asks_for() {
    let hook = |name: &str, version: &str| {
        format!("- {{name: {name}, events: [{{type: task.*}}], command: cat > {name}{version}}}\n")
    };
    let project = TestProject::trusted(
        &[
            hook("as-emitted", ""),
            hook("old", "").replace("command:", "schema_version: '1', command:"),
            hook("new", "").replace("command:", "schema_version: '2', command:"),
            hook("future", "").replace("command:", "schema_version: '3', command:"),
        ]
        .concat(),
    );
    let options = || EmitterOptions { versions: Some(MADE_UP), ..EmitterOptions::default() };
    let emitter = emitter_with(&project, options());
    let statuses = |report: &knockon::EmitReport| -> Vec<Status> {
        report.hooks().iter().map(|hook| hook.outcome.status).collect()
    };
    let got = |name: &str| serde_json::from_str::<serde_json::Value>(&project.read(name)).unwrap();

    let draft = EventDraft::new("task.completed".parse().unwrap()).context("task", "t-1").context("assignee", "x");
    let report = emitter.emit(draft);
    assert_eq!(statuses(&report), [Status::Success, Status::Success, Status::Success, Status::Error]);
    let error = report.hooks()[3].outcome.reason.clone().unwrap();
    assert!(error.contains("no conversion to events of version 3"), "{error}");
    assert_eq!(project.read("as-emitted").as_bytes(), report.event.unwrap().bytes(), "byte for byte");
    assert_eq!(project.read("new"), project.read("as-emitted"));
    assert_eq!((&got("new")["schema_version"], &got("new")["context"]["task"]), (&"2.0".into(), &"t-1".into()));
    assert_eq!((&got("old")["schema_version"], &got("old")["context"]["task_id"]), (&"1.0".into(), &"t-1".into()));
    assert_eq!(got("old")["event_id"], got("new")["event_id"]);
    assert_eq!(got("new")["context"]["deprecated_fields"], serde_json::json!(["assignee"]));
    let notice = "`assignee` of task.completed is replaced by `owner` and removed in version 3.0";
    assert_eq!(got("new")["context"]["deprecation_notice"], notice);

    // An event of the previous major, as an older producer still makes them.
    let old = r#"{"event_type":"task.completed","schema_version":"1.0","context":{"task_id":"t-2","priority":12345678901234567890123}}"#;
    let draft = EventDraft::from_json(old.as_bytes().to_vec(), None).unwrap();
    let report = emitter.emit(draft);
    assert_eq!(statuses(&report), [Status::Success, Status::Success, Status::Success, Status::Error]);
    assert_eq!(got("old")["context"]["task_id"], "t-2");
    assert!(project.read("old").contains("12345678901234567890123"));
    assert_eq!(got("new")["context"], serde_json::json!({"task": "t-2"}));
    assert_eq!(got("new")["schema_version"], "2.0");
    let newer = EventDraft::from_json(br#"{"event_type":"a.b","schema_version":"3.0"}"#.to_vec(), None).unwrap();
    let refused = emitter.emit(newer).refused.unwrap().to_string();
    assert!(refused.contains("this build understands 1.x and 2.x"), "{refused}");

    // This build has one major version, and `validate` knows.
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.contains("`new` wants events of version 2, which this build cannot make"), "{ran:?}");
}
