//! A place in a trace, as W3C Trace Context writes it in `traceparent`.

use crate::event::Event;
use crate::json::Json;
use std::fmt;
use std::time::Instant;

/// A span, and the trace it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// What its flags say, [`TraceParent::SAMPLED`] among them.
    pub flags: u8,
}

/// The span of a program that was started.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// What the program was handed.
    pub handed: TraceParent,
    /// When it was started.
    pub began: Instant,
}

impl TraceParent {
    /// The flag of a trace that is recorded.
    pub const SAMPLED: u8 = 1;

    /// Reads version 00 of the header: `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zeros. A later version
    /// that looks the same counts as one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut hex = |length: usize| {
            // Numbers may have a sign and capitals, these may not.
            let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            let part = parts.next().filter(|part| part.len() == length && plain(part))?;
            u128::from_str_radix(part, 16).ok()
        };
        hex(2).filter(|version| *version != 0xff)?;
        let trace = hex(32).filter(|trace| *trace != 0)?;
        let span = hex(16).and_then(|span| u64::try_from(span).ok()).filter(|span| *span != 0)?;
        let flags = hex(2).and_then(|flags| u8::try_from(flags).ok())?;
        parts.next().is_none().then_some(TraceParent { trace, span, flags })
    }

    /// The one that an event names.
    pub fn of(event: &Event) -> Option<Self> {
        Self::parse(&event.json().get("traceparent").and_then(Json::as_str)?)
    }

    /// A new span below `parent`; without one, the first of the trace that the event's id stands for.
    #[must_use]
    pub fn below(parent: Option<Self>, event: &Event, span: u64) -> Self {
        match parent {
            Some(parent) => TraceParent { span, ..parent },
            None => TraceParent { trace: event.id().number(), span, flags: Self::SAMPLED },
        }
    }

    /// Whether whoever began the trace wants it to be recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & Self::SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_told_from_other_texts() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parsed = TraceParent::parse(text).unwrap();
        assert_eq!((parsed.to_string(), parsed.is_sampled()), (text.to_owned(), true));
        assert!(!TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02").unwrap().is_sampled());
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-1",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }
}
