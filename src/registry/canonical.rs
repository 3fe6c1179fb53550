//! The canonical event types, one row each.

/// A type that every project has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanonicalEvent {
    /// `<domain>.<action>`.
    pub name: &'static str,
    /// What the type belongs to.
    pub group: &'static str,
    /// When it happens.
    pub about: &'static str,
}

const fn row(group: &'static str, name: &'static str, about: &'static str) -> CanonicalEvent {
    CanonicalEvent { name, group, about }
}

/// Every canonical type. Past tense is for what is finished, present tense for what goes on (ADR-005).
pub const CANONICAL: &[CanonicalEvent] = &[
    row("workflow", "workflow.assessed", "a workflow was assessed"),
    row("workflow", "spec.created", "a specification was written"),
    row("workflow", "spec.updated", "a specification was changed"),
    row("workflow", "research.completed", "research is done"),
    row("workflow", "plan.created", "a plan was written"),
    row("workflow", "plan.updated", "a plan was changed"),
    row("workflow", "adr.created", "an architecture decision was recorded"),
    row("workflow", "implement.started", "implementation begins"),
    row("workflow", "implement.completed", "implementation is done"),
    row("workflow", "validate.started", "validation begins"),
    row("workflow", "validate.completed", "validation is done"),
    row("workflow", "deploy.started", "deployment begins"),
    row("workflow", "deploy.completed", "deployment is done"),
    row("task", "task.created", "a task was added to the backlog"),
    row("task", "task.updated", "a task's data changed"),
    row("task", "task.status_changed", "a task moved from one status to another"),
    row("task", "task.ac_checked", "an acceptance criterion was ticked"),
    row("task", "task.ac_unchecked", "an acceptance criterion was unticked"),
    row("task", "task.completed", "a task is done"),
    row("task", "task.archived", "a task was archived"),
    row("agent", "agent.started", "an agent begins work on a task"),
    row("agent", "agent.progress", "an agent reports how far it is"),
    row("agent", "agent.blocked", "an agent waits for something"),
    row("agent", "agent.completed", "an agent finished its task"),
    row("agent", "agent.error", "an agent met an error"),
    row("agent", "agent.handoff", "an agent hands over to another agent or machine"),
    row("work package", "wp.status_changed", "a work package moved to another lane"),
    row("work package", "wp.created", "a work package was added"),
    row("work package", "wp.assigned", "a work package was given to an agent"),
    row("work package", "wp.history_added", "a note was added to a work package"),
    row("work package", "wp.dependency_resolved", "a work package no longer waits for another"),
    row("work package", "feature.created", "a feature was cut into work packages"),
    row("work package", "feature.completed", "all work packages of a feature are done"),
    row("work package", "error.logged", "a command met an error"),
    row("session", "session.waiting_input", "an agent's session waits for a person"),
    row("session", "pr.ready_to_merge", "a pull request became mergeable"),
    row("session", "pr.merged", "a pull request was merged"),
    row("session", "pr.closed_unmerged", "a pull request was closed without merging"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;

    #[test]
    fn every_row_is_a_valid_type_and_stands_once() {
        for (index, event) in CANONICAL.iter().enumerate() {
            assert!(event.name.parse::<EventType>().is_ok(), "{}", event.name);
            assert!(CANONICAL[..index].iter().all(|other| other.name != event.name), "{}", event.name);
        }
    }
}
