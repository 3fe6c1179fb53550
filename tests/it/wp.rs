//! Work-package events: `wp`, `feature`, `error`, the names of the sync wire as aliases, and its envelopes as input.

use crate::support::TestProject;
use serde_json::{Value, json};

const KEEP: &str = "- {name: keep, events: [{type: '*'}], command: 'cat > got.json'}\n";
const CAUSE: &str = "01JDPY4W3ZK8Q0RV5T6X7Y8Z9B";

/// The event that a hook got on its standard input.
fn emitted(project: &TestProject, arguments: &[&str]) -> Value {
    project.ok(arguments);
    serde_json::from_str(&project.read("got.json")).unwrap()
}

#[test]
fn every_command_has_a_flag_for_each_field() {
    let project = TestProject::trusted(KEEP);
    for (arguments, kind, context) in [
        (
            "wp status-changed --wp-id WP01 --from planned --to doing --feature-slug 001-auth",
            "wp.status_changed",
            json!({"wp_id": "WP01", "previous_status": "planned", "new_status": "doing", "changed_by": "user", "feature_slug": "001-auth"}),
        ),
        (
            "wp status-changed --wp-id WP01 --previous-status doing --new-status for_review --changed-by me",
            "wp.status_changed",
            json!({"wp_id": "WP01", "previous_status": "doing", "new_status": "for_review", "changed_by": "me"}),
        ),
        (
            "wp created --wp-id WP03 --title Login --feature-slug 001-auth --dependencies WP01,WP02",
            "wp.created",
            json!({"wp_id": "WP03", "title": "Login", "dependencies": ["WP01", "WP02"], "feature_slug": "001-auth"}),
        ),
        (
            "wp assigned --wp-id WP01 --agent-id claude --phase review --retry-count 2",
            "wp.assigned",
            json!({"wp_id": "WP01", "agent_id": "claude", "phase": "review", "retry_count": 2}),
        ),
        (
            "wp history-added --wp-id WP01 --entry-type note --entry-content moved",
            "wp.history_added",
            json!({"wp_id": "WP01", "entry_type": "note", "entry_content": "moved", "author": "user"}),
        ),
        (
            "wp dependency-resolved --wp-id WP02 --dependency-wp-id WP01 --resolution-type merged",
            "wp.dependency_resolved",
            json!({"wp_id": "WP02", "dependency_wp_id": "WP01", "resolution_type": "merged"}),
        ),
        (
            "feature created --feature-slug 001-auth --feature-number 001 --target-branch main --wp-count 3 --created-at 2025-12-02T15:30:45Z",
            "feature.created",
            json!({"feature_slug": "001-auth", "feature_number": "001", "target_branch": "main", "wp_count": 3, "created_at": "2025-12-02T15:30:45Z"}),
        ),
        (
            "feature completed --feature-slug 001-auth --total-wps 3 --completed-at 2025-12-02T15:30:45Z --total-duration 3d",
            "feature.completed",
            json!({"feature_slug": "001-auth", "total_wps": 3, "completed_at": "2025-12-02T15:30:45Z", "total_duration": "3d"}),
        ),
        (
            "error logged --error-type network --error-message unreachable --wp-id WP01 --agent-id claude --stack-trace at:1",
            "error.logged",
            json!({"error_type": "network", "error_message": "unreachable", "wp_id": "WP01", "stack_trace": "at:1", "agent_id": "claude"}),
        ),
        (
            "emit WPStatusChanged --context wp_id=WP01 --context previous_status=planned --context new_status=doing",
            "wp.status_changed",
            json!({"wp_id": "WP01", "previous_status": "planned", "new_status": "doing"}),
        ),
        (
            "emit MissionClosed --context feature_slug=x --context total_wps:=1",
            "feature.completed",
            json!({"feature_slug": "x", "total_wps": 1}),
        ),
    ] {
        let event = emitted(&project, &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(event["event_type"], kind, "{arguments}");
        assert_eq!(event["context"], context, "{arguments}");
        let is_command = !arguments.starts_with("emit");
        assert_eq!(event.get("feature"), context.get("feature_slug").filter(|_| is_command), "{arguments}");
    }
}

#[test]
fn causes_and_times_are_added() {
    let project = TestProject::trusted(KEEP);
    let line = ["feature", "completed", "--feature-slug", "001-auth", "--total-wps", "1"];
    let event = emitted(
        &project,
        &[&line[..], &["--causation-id", CAUSE, "--correlation-id", &format!("evt_{CAUSE}")]].concat(),
    );
    assert_eq!((&event["causation_id"], &event["correlation_id"]), (&json!(CAUSE), &json!(CAUSE)));
    assert_eq!(event["schema_version"], "1.1");
    let at = event["context"]["completed_at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");

    let document = project.json(&[&line[..], &["--json", "--dry-run"]].concat());
    assert_eq!(document["event"]["event_type"], "feature.completed");
    let refused = project.run(&[&line[..], &["--causation-id", "x"]].concat());
    assert_eq!(refused.code, 2, "{refused:?}");
    assert_eq!(project.run(&["wp", "assigned", "--wp-id", "WP01", "--retry-count", "-1"]).code, 2);
}

#[test]
fn values_go_as_they_are_given() {
    let project = TestProject::trusted(KEEP);
    let arguments = ["wp", "assigned", "--wp-id", "no id", "--agent-id", "a", "--phase", "dreaming"];
    assert_eq!(emitted(&project, &arguments)["context"]["wp_id"], "no id");
}

#[test]
fn an_envelope_of_the_sync_wire_can_be_piped_in() {
    let project = TestProject::trusted(KEEP);
    let envelope = r#"{"event_id": "01JDPY4W3ZK8Q0RV5T6X7Y8Z9A", "event_type": "WPStatusChanged", "aggregate_id": "WP01",
        "aggregate_type": "WorkPackage", "payload": {"wp_id": "WP01", "from_lane": "claimed", "to_lane": "in_progress",
        "mission_slug": "001-auth", "big": 123456789012345678901234567890}, "schema_version": "3.0.0", "build_id": "b",
        "node_id": "alice", "lamport_clock": 7, "timestamp": "2025-12-02T16:30:45.5+01:00", "team_slug": "team",
        "causation_id": null, "project_uuid": null}"#;
    let ran = project.run_with_input(&["run", "--event-file", "-"], envelope.as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = project.read("got.json");
    assert!(text.contains(r#""big":123456789012345678901234567890"#), "{text}");
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event["event_type"], "wp.status_changed");
    assert_eq!(event["event_id"], "evt_01JDPY4W3ZK8Q0RV5T6X7Y8Z9A");
    assert_eq!(event["timestamp"], "2025-12-02T15:30:45.500Z");
    assert_eq!((&event["node_id"], &event["lamport_clock"]), (&json!("alice"), &json!(7)));
    assert_eq!((&event["feature"], &event["project_root"]), (&json!("001-auth"), &json!(project.root())));
    assert_eq!(event["context"]["previous_status"], "doing");
    assert_eq!(event["context"]["from_lane"], "claimed");
    assert_eq!(event["metadata"]["wire"]["version"], "3");

    let broken = project.run(&["run", "--payload", &envelope.replace("\"WP01\", \"from", "\"WP1\", \"from")]);
    assert_eq!(broken.code, 2, "{broken:?}");
    assert!(broken.stderr.contains("--payload: /payload/wp_id: wanted is `WP` and two digits"), "{broken:?}");
}

#[test]
fn every_schema_is_printed() {
    let project = TestProject::new();
    for schema in knockon::event::SCHEMAS {
        assert_eq!(project.ok(&["schema", schema.name]).stdout.trim_end(), schema.text.trim_end());
    }
}
