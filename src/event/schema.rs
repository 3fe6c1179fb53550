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

/// Every schema this version publishes.
pub const SCHEMAS: &[Schema] = &[
    Schema {
        name: "event",
        about: "a base event, version 1.0",
        file: "base-event-1.0.schema.json",
        text: include_str!("../../schemas/base-event-1.0.schema.json"),
    },
    Schema {
        name: "config",
        about: "hooks.yaml, version 1.1",
        file: "hooks-config-1.1.schema.json",
        text: include_str!("../../schemas/hooks-config-1.1.schema.json"),
    },
    Schema {
        name: "config-1.0",
        about: "hooks.yaml, version 1.0: what ADR-007 describes",
        file: "hooks-config-1.0.schema.json",
        text: include_str!("../../schemas/hooks-config-1.0.schema.json"),
    },
    Schema {
        name: "policy",
        about: "policy.yaml, version 1.0: what hooks are allowed at most",
        file: "policy-1.0.schema.json",
        text: include_str!("../../schemas/policy-1.0.schema.json"),
    },
    Schema {
        name: "settings",
        about: "settings.yaml, version 1.0: what a user prefers",
        file: "settings-1.0.schema.json",
        text: include_str!("../../schemas/settings-1.0.schema.json"),
    },
    Schema {
        name: "audit",
        about: "one line of the audit log, version 1.0",
        file: "audit-record-1.0.schema.json",
        text: include_str!("../../schemas/audit-record-1.0.schema.json"),
    },
];
