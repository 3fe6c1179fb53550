//! The trace that a hook is part of, as W3C Trace Context writes it.

use super::environment::CallerEnvironment;
use crate::delivery::{Delivery, TraceParent};
use crate::event::Event;
use crate::json::Json;
use std::ffi::OsString;

/// `traceparent` and `tracestate` for one hook: below the span of the emit where spans are exported; else the event's
/// trace, else the caller's, else one that the event's id stands for. A span of its own in any case.
pub(super) fn trace(caller: &CallerEnvironment, delivery: &Delivery<'_>) -> (TraceParent, Option<OsString>) {
    let event = delivery.event;
    let own = TraceParent::of(event);
    let parent = delivery.occasion.trace.or(own).or(caller.traceparent());
    // Without randomness a span is told apart by its attempt only.
    let span = getrandom::u64().unwrap_or(delivery.attempt.into()).max(1);
    let handed = TraceParent::below(parent, event, span);
    (handed, caller.tracestate(event, own, handed.trace))
}

impl CallerEnvironment {
    /// The `tracestate` that goes with `trace`: the event's, which names `own`, or the caller's, of whom it is the trace.
    pub fn tracestate(&self, event: &Event, own: Option<TraceParent>, trace: u128) -> Option<OsString> {
        if own.is_some_and(|own| own.trace == trace) {
            let state = event.json().get("tracestate").and_then(Json::as_str);
            return state.map(|state| OsString::from(&*state));
        }
        let (caller, state) = self.trace.as_ref()?;
        state.clone().filter(|_| caller.trace == trace)
    }
}
