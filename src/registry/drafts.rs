//! Drafts of the canonical events, with their usual fields as arguments.
//!
//! ```
//! let draft = knockon::drafts::task_status_changed("task-123", "To Do", "Done").feature("user-auth");
//! assert_eq!(draft.kind().as_str(), "task.status_changed");
//! ```

use crate::event::{EventDraft, EventType};

/// One function a row: its name, the type, and either `feature` or the context fields it takes.
macro_rules! drafts {
    ($($name:ident $kind:literal ($($field:ident),*);)*) => {
        $(
            #[doc = concat!("A draft of `", $kind, "`.")]
            pub fn $name($($field: impl Into<String>),*) -> EventDraft {
                EventDraft::new(EventType::canonical($kind))$(.with_named(stringify!($field), $field.into()))*
            }
        )*

        #[cfg(test)]
        const KINDS: &[&str] = &[$($kind),*];
    };
}

impl EventDraft {
    /// Sets `feature`, or a field of the context under any other name.
    fn with_named(self, field: &str, value: String) -> Self {
        if field == "feature" { self.feature(value) } else { self.context(field, value) }
    }
}

drafts! {
    workflow_assessed "workflow.assessed" (feature);
    spec_created "spec.created" (feature);
    spec_updated "spec.updated" (feature);
    research_completed "research.completed" (feature);
    plan_created "plan.created" (feature);
    plan_updated "plan.updated" (feature);
    adr_created "adr.created" (feature);
    implement_started "implement.started" (feature);
    implement_completed "implement.completed" (feature);
    validate_started "validate.started" (feature);
    validate_completed "validate.completed" (feature);
    deploy_started "deploy.started" (feature);
    deploy_completed "deploy.completed" (feature);
    task_created "task.created" (task_id);
    task_updated "task.updated" (task_id);
    task_status_changed "task.status_changed" (task_id, status_from, status_to);
    task_ac_checked "task.ac_checked" (task_id, criterion);
    task_ac_unchecked "task.ac_unchecked" (task_id, criterion);
    task_completed "task.completed" (task_id);
    task_archived "task.archived" (task_id);
    agent_started "agent.started" (agent_id, task_id);
    agent_progress "agent.progress" (agent_id, task_id, status_message);
    agent_blocked "agent.blocked" (agent_id, task_id, status_message);
    agent_completed "agent.completed" (agent_id, task_id);
    agent_error "agent.error" (agent_id, task_id, status_message);
    agent_handoff "agent.handoff" (agent_id, task_id);
    wp_status_changed "wp.status_changed" (wp_id, previous_status, new_status);
    wp_created "wp.created" (wp_id, title, feature_slug);
    wp_assigned "wp.assigned" (wp_id, agent_id, phase);
    wp_history_added "wp.history_added" (wp_id, entry_type, entry_content);
    wp_dependency_resolved "wp.dependency_resolved" (wp_id, dependency_wp_id, resolution_type);
    feature_created "feature.created" (feature_slug, feature_number, target_branch);
    feature_completed "feature.completed" (feature_slug);
    error_logged "error.logged" (error_type, error_message);
    session_waiting_input "session.waiting_input" (session_id);
    pr_ready_to_merge "pr.ready_to_merge" (session_id, pr_url);
    pr_merged "pr.merged" (session_id, pr_url);
    pr_closed_unmerged "pr.closed_unmerged" (session_id, pr_url);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::CANONICAL;

    #[test]
    fn there_is_a_draft_for_every_canonical_type() {
        let table: Vec<&str> = CANONICAL.iter().map(|event| event.name).collect();
        assert_eq!(KINDS, table);
    }
}
