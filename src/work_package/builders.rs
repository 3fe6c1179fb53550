//! Drafts of work-package events, one struct a kind, with the payload's fields.
//!
//! ```
//! use knockon::work_package::{Status, StatusChanged};
//!
//! let moved = StatusChanged {
//!     wp_id: "WP01".into(),
//!     previous_status: Status::Planned,
//!     new_status: Status::Doing,
//!     changed_by: None,
//!     feature_slug: Some("001-user-auth".into()),
//! };
//! assert_eq!(moved.draft().kind().as_str(), "wp.status_changed");
//! ```

use super::{EntryType, ErrorType, Kind, Phase, Resolution, Status};
use crate::event::EventDraft;
use crate::time::Timestamp;
use serde_json::Value;

/// Who did it when nobody is named.
const USER: &str = "user";

/// A work package moved to another lane (`wp.status_changed`).
#[derive(Clone, Debug)]
pub struct StatusChanged {
    /// The work package, such as `WP01`.
    pub wp_id: String,
    /// Where it stood.
    pub previous_status: Status,
    /// Where it stands.
    pub new_status: Status,
    /// Who moved it; `user` when nobody is named.
    pub changed_by: Option<String>,
    /// The feature it belongs to.
    pub feature_slug: Option<String>,
}

/// A work package was added (`wp.created`).
#[derive(Clone, Debug)]
pub struct Created {
    /// The work package, such as `WP01`.
    pub wp_id: String,
    /// Its title; not empty.
    pub title: String,
    /// The feature it belongs to; not empty.
    pub feature_slug: String,
    /// The work packages it waits for.
    pub dependencies: Vec<String>,
}

/// A work package was given to an agent (`wp.assigned`).
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The work package, such as `WP01`.
    pub wp_id: String,
    /// The agent, such as `claude`; not empty.
    pub agent_id: String,
    /// What it is to do.
    pub phase: Phase,
    /// How many reviews rejected it and agents gave it up before.
    pub retry_count: u64,
    /// The feature it belongs to.
    pub feature_slug: Option<String>,
}

/// A note was added to a work package (`wp.history_added`).
#[derive(Clone, Debug)]
pub struct HistoryAdded {
    /// The work package, such as `WP01`.
    pub wp_id: String,
    /// What the note is.
    pub entry_type: EntryType,
    /// The note; not empty.
    pub entry_content: String,
    /// Who wrote it; `user` when nobody is named.
    pub author: Option<String>,
    /// The feature it belongs to.
    pub feature_slug: Option<String>,
}

/// A work package no longer waits for another (`wp.dependency_resolved`).
#[derive(Clone, Debug)]
pub struct DependencyResolved {
    /// The work package that waited.
    pub wp_id: String,
    /// The one it waited for.
    pub dependency_wp_id: String,
    /// How that came to its end.
    pub resolution_type: Resolution,
    /// The feature both belong to.
    pub feature_slug: Option<String>,
}

/// A feature was cut into work packages (`feature.created`).
#[derive(Clone, Debug)]
pub struct FeatureCreated {
    /// The feature, such as `001-user-auth`.
    pub feature_slug: String,
    /// Its number: three digits.
    pub feature_number: String,
    /// The branch it is going to be merged into.
    pub target_branch: String,
    /// How many work packages it has.
    pub wp_count: u64,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// All work packages of a feature are done (`feature.completed`).
#[derive(Clone, Debug)]
pub struct FeatureCompleted {
    /// The feature, such as `001-user-auth`.
    pub feature_slug: String,
    /// How many work packages it has.
    pub total_wps: u64,
    /// When the last one was done.
    pub completed_at: Option<Timestamp>,
    /// How long it took, in words, when its beginning is known.
    pub total_duration: Option<String>,
}

/// A command met an error (`error.logged`).
#[derive(Clone, Debug)]
pub struct ErrorLogged {
    /// What kind of error it is.
    pub error_type: ErrorType,
    /// What it says; not empty.
    pub error_message: String,
    /// The work package it is about.
    pub wp_id: Option<String>,
    /// Where in the program it happened.
    pub stack_trace: Option<String>,
    /// The agent that met it.
    pub agent_id: Option<String>,
    /// The feature it is about.
    pub feature_slug: Option<String>,
}

/// A draft of an event of this kind with these fields of its payload, those without a value left out.
pub(crate) fn draft_of(kind: Kind, fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> EventDraft {
    let mut draft = EventDraft::new(kind.event_type());
    for (name, value) in fields {
        let Some(value) = value else { continue };
        if let (super::FEATURE, Some(feature)) = (name, value.as_str()) {
            draft = draft.feature(feature);
        }
        draft = draft.context(name, value);
    }
    draft
}

/// A value that is there.
fn some(value: impl Into<Value>) -> Option<Value> {
    Some(value.into())
}

impl StatusChanged {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            ("wp_id", some(self.wp_id)),
            ("previous_status", some(self.previous_status.as_str())),
            ("new_status", some(self.new_status.as_str())),
            ("changed_by", some(self.changed_by.unwrap_or_else(|| USER.into()))),
            (super::FEATURE, self.feature_slug.map(Value::from)),
        ];
        draft_of(Kind::StatusChanged, fields)
    }
}

impl Created {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            ("wp_id", some(self.wp_id)),
            ("title", some(self.title)),
            ("dependencies", some(self.dependencies)),
            (super::FEATURE, some(self.feature_slug)),
        ];
        draft_of(Kind::Created, fields)
    }
}

impl Assigned {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            ("wp_id", some(self.wp_id)),
            ("agent_id", some(self.agent_id)),
            ("phase", some(self.phase.as_str())),
            ("retry_count", some(self.retry_count)),
            (super::FEATURE, self.feature_slug.map(Value::from)),
        ];
        draft_of(Kind::Assigned, fields)
    }
}

impl HistoryAdded {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            ("wp_id", some(self.wp_id)),
            ("entry_type", some(self.entry_type.as_str())),
            ("entry_content", some(self.entry_content)),
            ("author", some(self.author.unwrap_or_else(|| USER.into()))),
            (super::FEATURE, self.feature_slug.map(Value::from)),
        ];
        draft_of(Kind::HistoryAdded, fields)
    }
}

impl DependencyResolved {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            ("wp_id", some(self.wp_id)),
            ("dependency_wp_id", some(self.dependency_wp_id)),
            ("resolution_type", some(self.resolution_type.as_str())),
            (super::FEATURE, self.feature_slug.map(Value::from)),
        ];
        draft_of(Kind::DependencyResolved, fields)
    }
}

impl FeatureCreated {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            (super::FEATURE, some(self.feature_slug)),
            ("feature_number", some(self.feature_number)),
            ("target_branch", some(self.target_branch)),
            ("wp_count", some(self.wp_count)),
            ("created_at", self.created_at.map(|at| at.to_string().into())),
        ];
        draft_of(Kind::FeatureCreated, fields)
    }
}

impl FeatureCompleted {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            (super::FEATURE, some(self.feature_slug)),
            ("total_wps", some(self.total_wps)),
            ("completed_at", self.completed_at.map(|at| at.to_string().into())),
            ("total_duration", self.total_duration.map(Value::from)),
        ];
        draft_of(Kind::FeatureCompleted, fields)
    }
}

impl ErrorLogged {
    /// The event, before it has an id and a time.
    #[must_use]
    pub fn draft(self) -> EventDraft {
        let fields = [
            ("error_type", some(self.error_type.as_str())),
            ("error_message", some(self.error_message)),
            ("wp_id", self.wp_id.map(Value::from)),
            ("stack_trace", self.stack_trace.map(Value::from)),
            ("agent_id", self.agent_id.map(Value::from)),
            (super::FEATURE, self.feature_slug.map(Value::from)),
        ];
        draft_of(Kind::ErrorLogged, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::json::Json;

    #[test]
    fn what_they_make_keeps_the_rules() {
        let wp_id = || "WP01".to_owned();
        let slug = || Some("001-user-auth".to_owned());
        let now = Some(Timestamp::from_millis(1_764_689_445_123));
        let (previous_status, new_status) = (Status::Planned, Status::Doing);
        let (title, dependencies) = ("Log in".to_owned(), vec!["WP02".to_owned()]);
        let drafts = [
            StatusChanged { wp_id: wp_id(), previous_status, new_status, changed_by: None, feature_slug: slug() }
                .draft(),
            Created { wp_id: wp_id(), title, feature_slug: slug().unwrap(), dependencies }.draft(),
            Assigned {
                wp_id: wp_id(),
                agent_id: "claude".into(),
                phase: Phase::Review,
                retry_count: 2,
                feature_slug: slug(),
            }
            .draft(),
            HistoryAdded {
                wp_id: wp_id(),
                entry_type: EntryType::Note,
                entry_content: "x".into(),
                author: None,
                feature_slug: slug(),
            }
            .draft(),
            DependencyResolved {
                wp_id: wp_id(),
                dependency_wp_id: "WP02".into(),
                resolution_type: Resolution::Completed,
                feature_slug: slug(),
            }
            .draft(),
            FeatureCreated {
                feature_slug: slug().unwrap(),
                feature_number: "001".into(),
                target_branch: "main".into(),
                wp_count: 3,
                created_at: now,
            }
            .draft(),
            FeatureCompleted { feature_slug: slug().unwrap(), total_wps: 3, completed_at: now, total_duration: None }
                .draft(),
            ErrorLogged {
                error_type: ErrorType::Network,
                error_message: "no route".into(),
                wp_id: None,
                stack_trace: None,
                agent_id: Some("claude".into()),
                feature_slug: slug(),
            }
            .draft(),
        ];
        for (draft, kind) in drafts.iter().zip(Kind::ALL) {
            assert_eq!(Kind::of(draft.kind()), Some(kind));
            let context = draft.context_text().unwrap();
            assert!(context.contains(r#""feature_slug":"001-user-auth""#), "{context}");
            assert_eq!(check(kind, Json::parse(context.as_bytes()).unwrap()), []);
        }
    }
}
