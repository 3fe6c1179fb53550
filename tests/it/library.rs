//! The library, as an application uses it.

use crate::support::TestProject;
use knockon::{Emitter, EmitterOptions, EventDraft, Project, Status, UserFolders, drafts};
use std::collections::HashSet;

fn emitter(project: &TestProject) -> Emitter {
    let user = UserFolders {
        home: Some(project.home()),
        config: None,
        state: Some(project.home().join(".local/state/knockon")),
        cache: None,
    };
    Emitter::open(Project::at(&project.root()).unwrap(), &user, EmitterOptions::default())
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
