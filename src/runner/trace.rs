//! The trace that a hook is part of, as W3C Trace Context writes it.

use super::environment::CallerEnvironment;
use crate::delivery::Delivery;
use crate::json::Json;
use std::ffi::OsString;

/// `traceparent` and `tracestate` for one hook: the event's trace, else the caller's, else one that the event's id
/// stands for; a span of its own in any case.
pub(super) fn trace(caller: &CallerEnvironment, delivery: &Delivery<'_>) -> (String, Option<OsString>) {
    let member = |name: &str| delivery.event.json().get(name).and_then(Json::as_str);
    let own = member("traceparent").filter(|text| is_traceparent(text));
    let state = match &own {
        Some(_) => member("tracestate").map(|state| OsString::from(&*state)),
        None => caller.tracestate().cloned(),
    };
    let parent = own.as_deref().or_else(|| caller.traceparent());
    // Without randomness a span is told apart by its attempt only.
    let span = getrandom::u64().unwrap_or(delivery.attempt.into()).max(1);
    let parent = match parent {
        Some(parent) => format!("{}{span:016x}{}", &parent[..36], &parent[52..55]),
        None => format!("00-{:032x}-{span:016x}-01", delivery.event.id().number()),
    };
    (parent, state)
}

/// Version 00 of the header: `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zeros.
pub(super) fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { return false };
    let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    lengths && [version, trace, span, flags].into_iter().all(hex) && version != "ff" && !zero(trace) && !zero(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_told_from_other_texts() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(text), "{text}");
        }
    }
}
