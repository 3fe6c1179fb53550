//! What several hooks answered, as one answer.

use super::answer::{Annotation, Answer, Decision};
use serde::Serialize;
use serde_json::value::RawValue;

/// What several hooks answered, as one answer for the caller.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Merged {
    /// Whether the caller may go on.
    pub r#continue: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// `block` or `approve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The hook whose word it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// What the user is to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_message: Option<String>,
    /// What belongs to the agent's own event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_specific_output: Option<Specific>,
    /// Every remark.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
}

/// What belongs to the agent's own event.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Specific {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_event_name: Option<String>,
    /// The strictest decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_decision: Option<&'static str>,
    /// Its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_decision_reason: Option<String>,
    /// The last of the hooks' inputs, unless the decision is `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_input: Option<Box<RawValue>>,
    /// All contexts, in hook order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_context: Option<String>,
}

impl Merged {
    /// The answers of hooks by their names, in hook order; nothing when there is none.
    pub fn of<'a>(answers: impl Iterator<Item = (&'a str, &'a Answer)>) -> Option<Self> {
        let (mut merged, mut specific) = (Merged { r#continue: true, ..Merged::default() }, Specific::default());
        let (mut strictest, mut any) = (None, false);
        for (hook, answer) in answers {
            any = true;
            if let Some(reason) = &answer.stop {
                merged.r#continue = false;
                merged.stop_reason = merged.stop_reason.take().or_else(|| reason.clone());
            }
            if answer.decision > strictest {
                strictest = answer.decision;
                merged.reason.clone_from(&answer.reason);
                merged.decided_by = Some(hook.to_owned());
            } else if answer.decision == strictest && merged.reason.is_none() {
                merged.reason.clone_from(&answer.reason);
                merged.decided_by = answer.reason.as_ref().map(|_| hook.to_owned()).or(merged.decided_by.take());
            }
            join(&mut merged.system_message, answer.system_message.as_deref());
            join(&mut specific.additional_context, answer.additional_context.as_deref());
            specific.hook_event_name = specific.hook_event_name.take().or_else(|| answer.hook_event_name.clone());
            specific.updated_input = answer.updated_input.clone().or(specific.updated_input.take());
            merged.annotations.extend(answer.annotations.iter().cloned());
        }
        match strictest {
            Some(Decision::Deny) => {
                merged.decision = Some("block");
                specific.updated_input = None;
            }
            Some(Decision::Allow) => merged.decision = Some("approve"),
            Some(Decision::Ask | Decision::Defer) | None => {}
        }
        specific.permission_decision = strictest.map(Decision::as_str);
        specific.permission_decision_reason.clone_from(&merged.reason);
        let said = strictest.is_some()
            || specific.hook_event_name.is_some()
            || specific.updated_input.is_some()
            || specific.additional_context.is_some();
        merged.hook_specific_output = said.then_some(specific);
        any.then_some(merged)
    }
}

/// Adds a text on lines of its own.
fn join(all: &mut Option<String>, more: Option<&str>) {
    let Some(more) = more else { return };
    match all {
        Some(all) => {
            all.push('\n');
            all.push_str(more);
        }
        None => *all = Some(more.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(value: Value) -> Answer {
        Answer::in_output(value.to_string().as_bytes()).unwrap_or_default()
    }

    #[test]
    fn the_strictest_decision_wins_and_contexts_are_joined_in_hook_order() {
        let of = |decision: &str, context: &str| {
            answer(json!({"hookSpecificOutput": {"permissionDecision": decision, "additionalContext": context,
                "permissionDecisionReason": decision, "updatedInput": {"by": decision}}}))
        };
        let (allow, ask, defer, deny) = (of("allow", "1"), of("ask", "2"), of("defer", "3"), of("deny", "4"));
        for (answers, wanted, input) in [
            (vec![&allow], "allow", Some("allow")),
            (vec![&ask, &allow], "ask", Some("allow")),
            (vec![&allow, &defer, &ask], "defer", Some("ask")),
            (vec![&deny, &allow, &defer], "deny", None),
        ] {
            let merged = Merged::of(answers.iter().map(|answer| ("h", *answer))).unwrap();
            let specific = merged.hook_specific_output.unwrap();
            assert_eq!(specific.permission_decision, Some(wanted));
            assert_eq!(merged.reason.as_deref(), Some(wanted));
            assert_eq!(
                specific.updated_input.map(|input| input.get().to_owned()),
                input.map(|by| json!({"by": by}).to_string())
            );
        }
        let merged = Merged::of([("a", &deny), ("b", &allow)].into_iter()).unwrap();
        assert_eq!(merged.hook_specific_output.unwrap().additional_context.as_deref(), Some("4\n1"));
        assert_eq!((merged.decision, merged.decided_by.as_deref()), (Some("block"), Some("a")));
        assert!(Merged::of(std::iter::empty()).is_none());
    }
}
