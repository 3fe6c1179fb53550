//! The kinds of work-package events, and what each is called, here and in every version of the sync wire.

use crate::event::EventType;
use std::fmt;

/// What happened to a work package, a feature or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A work package moved to another lane.
    StatusChanged,
    /// A work package was added.
    Created,
    /// A work package was given to an agent.
    Assigned,
    /// A note was added to a work package.
    HistoryAdded,
    /// A work package no longer waits for another.
    DependencyResolved,
    /// A feature was cut into work packages.
    FeatureCreated,
    /// All work packages of a feature are done.
    FeatureCompleted,
    /// A command met an error.
    ErrorLogged,
}

/// A version of the sync wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WireVersion {
    /// The first: features, four statuses, no `schema_version` (or 1.x).
    #[default]
    V1,
    /// `schema_version` "3.0.0": missions, ten lanes, builds.
    V3,
}

impl WireVersion {
    /// Every version that is spoken.
    pub const ALL: [WireVersion; 2] = [WireVersion::V1, WireVersion::V3];

    /// The major version, as `metadata.wire.version` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            WireVersion::V1 => "1",
            WireVersion::V3 => "3",
        }
    }
}

impl fmt::Display for WireVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Our type, and the names of versions 1 and 3.
const NAMES: [(Kind, &str, &str, &str); 8] = [
    (Kind::StatusChanged, "wp.status_changed", "WPStatusChanged", "WPStatusChanged"),
    (Kind::Created, "wp.created", "WPCreated", "WPCreated"),
    (Kind::Assigned, "wp.assigned", "WPAssigned", "WPAssigned"),
    (Kind::HistoryAdded, "wp.history_added", "HistoryAdded", "HistoryAdded"),
    (Kind::DependencyResolved, "wp.dependency_resolved", "DependencyResolved", "DependencyResolved"),
    (Kind::FeatureCreated, "feature.created", "FeatureCreated", "MissionCreated"),
    (Kind::FeatureCompleted, "feature.completed", "FeatureCompleted", "MissionClosed"),
    (Kind::ErrorLogged, "error.logged", "ErrorLogged", "ErrorLogged"),
];

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::StatusChanged,
        Kind::Created,
        Kind::Assigned,
        Kind::HistoryAdded,
        Kind::DependencyResolved,
        Kind::FeatureCreated,
        Kind::FeatureCompleted,
        Kind::ErrorLogged,
    ];

    /// The kind of an event of this type; nothing for a type that does not go over the sync wire.
    pub fn of(kind: &EventType) -> Option<Kind> {
        NAMES.iter().find(|(_, ours, _, _)| *ours == kind.as_str()).map(|row| row.0)
    }

    /// Our type.
    pub fn event_type(self) -> EventType {
        EventType::canonical(NAMES[self as usize].1)
    }

    /// The kind that any version of the wire calls `name`.
    pub fn from_wire_name(name: &str) -> Option<Kind> {
        NAMES.iter().find(|(_, _, one, three)| *one == name || *three == name).map(|row| row.0)
    }

    /// What a version of the wire calls it.
    pub fn wire_name(self, version: WireVersion) -> &'static str {
        let (_, _, one, three) = NAMES[self as usize];
        match version {
            WireVersion::V1 => one,
            WireVersion::V3 => three,
        }
    }

    /// The kind that this version of the wire calls `name`.
    pub(super) fn named(name: &str, version: WireVersion) -> Option<Kind> {
        Self::from_wire_name(name).filter(|kind| kind.wire_name(version) == name)
    }

    /// Whether it is about a feature, not a work package.
    pub(super) fn is_of_feature(self) -> bool {
        matches!(self, Kind::FeatureCreated | Kind::FeatureCompleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_row_and_is_found_by_every_name() {
        for (kind, row) in Kind::ALL.into_iter().zip(NAMES) {
            assert_eq!(kind, row.0);
            assert_eq!(Kind::of(&kind.event_type()), Some(kind));
            assert!(kind.event_type().as_str().parse::<EventType>().is_ok());
            for version in WireVersion::ALL {
                assert_eq!(Kind::from_wire_name(kind.wire_name(version)), Some(kind));
                assert_eq!(Kind::named(kind.wire_name(version), version), Some(kind));
            }
        }
        assert_eq!(Kind::named("MissionCreated", WireVersion::V1), None);
        assert_eq!(Kind::named("FeatureCreated", WireVersion::V3), None);
        assert_eq!(Kind::from_wire_name("wp.created"), None);
    }
}
