//! The published JSON Schemas, compiled in so that any tool can ask for them.
//!
//! They are not used on the way of an event: typed code checks the same rules in a fraction of the
//! time, and `tests/contracts.rs` holds the two against each other.

/// One published schema.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The short name that `knockon schema` takes.
    pub name: &'static str,
    /// What it describes.
    pub about: &'static str,
    /// The file under `schemas/`.
    pub file: &'static str,
    /// The JSON text.
    pub text: &'static str,
}

/// A row of the table: name, what it describes, and the file.
macro_rules! schema {
    ($name:literal, $about:literal, $file:literal) => {
        Schema { name: $name, about: $about, file: $file, text: include_str!(concat!("../../schemas/", $file)) }
    };
}

/// Every schema this version publishes.
pub const SCHEMAS: &[Schema] = &[
    schema!("event", "a base event, version 1.0", "base-event-1.0.schema.json"),
    schema!(
        "event-1.1",
        "a base event, version 1.1: with its cause, and its place among those of other machines",
        "base-event-1.1.schema.json"
    ),
    schema!("config", "hooks.yaml, version 1.1", "hooks-config-1.1.schema.json"),
    schema!("config-1.0", "hooks.yaml, version 1.0: what ADR-007 describes", "hooks-config-1.0.schema.json"),
    schema!("policy", "policy.yaml, version 1.0: what hooks are allowed at most", "policy-1.0.schema.json"),
    schema!("settings", "settings.yaml, version 1.0: what a user prefers", "settings-1.0.schema.json"),
    schema!("audit", "one line of the audit log, version 1.0", "audit-record-1.0.schema.json"),
    schema!(
        "wp-envelope",
        "the envelope of a work-package event on the sync wire, version 1.0",
        "work-package/envelope.schema.json"
    ),
    schema!(
        "wp-status-changed",
        "the payload of WPStatusChanged, version 1.0 of the sync wire",
        "work-package/wp-status-changed.schema.json"
    ),
    schema!(
        "wp-created",
        "the payload of WPCreated, version 1.0 of the sync wire",
        "work-package/wp-created.schema.json"
    ),
    schema!(
        "wp-assigned",
        "the payload of WPAssigned, version 1.0 of the sync wire",
        "work-package/wp-assigned.schema.json"
    ),
    schema!(
        "wp-history-added",
        "the payload of HistoryAdded, version 1.0 of the sync wire",
        "work-package/wp-history-added.schema.json"
    ),
    schema!(
        "wp-dependency-resolved",
        "the payload of DependencyResolved, version 1.0 of the sync wire",
        "work-package/wp-dependency-resolved.schema.json"
    ),
    schema!(
        "feature-created",
        "the payload of FeatureCreated, version 1.0 of the sync wire",
        "work-package/feature-created.schema.json"
    ),
    schema!(
        "feature-completed",
        "the payload of FeatureCompleted, version 1.0 of the sync wire",
        "work-package/feature-completed.schema.json"
    ),
    schema!(
        "error-logged",
        "the payload of ErrorLogged, version 1.0 of the sync wire",
        "work-package/error-logged.schema.json"
    ),
    schema!(
        "wp-envelope-3.0",
        "the envelope of a work-package event on the sync wire, version 3.0",
        "work-package/3.0/envelope.schema.json"
    ),
    schema!(
        "wp-status-changed-3.0",
        "the payload of WPStatusChanged, version 3.0 of the sync wire",
        "work-package/3.0/wp-status-changed.schema.json"
    ),
    schema!(
        "wp-created-3.0",
        "the payload of WPCreated, version 3.0 of the sync wire",
        "work-package/3.0/wp-created.schema.json"
    ),
    schema!(
        "wp-assigned-3.0",
        "the payload of WPAssigned, version 3.0 of the sync wire",
        "work-package/3.0/wp-assigned.schema.json"
    ),
    schema!(
        "wp-history-added-3.0",
        "the payload of HistoryAdded, version 3.0 of the sync wire",
        "work-package/3.0/wp-history-added.schema.json"
    ),
    schema!(
        "wp-dependency-resolved-3.0",
        "the payload of DependencyResolved, version 3.0 of the sync wire",
        "work-package/3.0/wp-dependency-resolved.schema.json"
    ),
    schema!(
        "mission-created-3.0",
        "the payload of MissionCreated, version 3.0 of the sync wire",
        "work-package/3.0/mission-created.schema.json"
    ),
    schema!(
        "mission-closed-3.0",
        "the payload of MissionClosed, version 3.0 of the sync wire",
        "work-package/3.0/mission-closed.schema.json"
    ),
    schema!(
        "error-logged-3.0",
        "the payload of ErrorLogged, version 3.0 of the sync wire",
        "work-package/3.0/error-logged.schema.json"
    ),
];
