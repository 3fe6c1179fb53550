//! What happened, as spans: one an event that is emitted or delivered again, and below it one a program that ran.

use super::otlp::{self, Attribute, Kind, LOCAL_PARENT, REMOTE_PARENT, SpanEvent, Status, nanos};
use crate::delivery::{self, Delivery, Occasion, Outcome, TraceParent};
use crate::event::Event;
use crate::runner::CallerEnvironment;
use crate::text::shorten;
use std::cell::{Cell, RefCell};
use std::time::{Instant, SystemTime};

/// The most spans of one request; a collector takes a few megabytes.
const MAX_SPANS: usize = 4096;
/// The most events of one span, as SDKs have it.
const MAX_EVENTS: usize = 128;
/// The most characters of a reason.
const LONGEST_REASON: usize = 1000;

/// The spans of one call, until they are sent.
#[derive(Debug)]
pub struct Spans {
    /// The same moment by both clocks.
    began: (Instant, SystemTime),
    /// Whether the next event was emitted before, and is delivered now.
    delivers: Cell<bool>,
    ended: RefCell<Vec<otlp::Span>>,
    left_out: Cell<usize>,
}

/// The span of an event on its way.
#[derive(Debug)]
pub struct EmitSpan<'a> {
    spans: &'a Spans,
    event: &'a Event,
    occasion: Occasion,
    own: TraceParent,
    parent: Option<TraceParent>,
    state: Option<String>,
    delivers: bool,
    began: Instant,
    events: RefCell<Vec<SpanEvent>>,
    dropped_events: Cell<u32>,
}

impl Default for Spans {
    fn default() -> Self {
        Spans {
            began: (Instant::now(), SystemTime::now()),
            delivers: Cell::default(),
            ended: RefCell::default(),
            left_out: Cell::default(),
        }
    }
}

impl Spans {
    /// The next event was emitted before, and is delivered now.
    pub fn deliver_next(&self) {
        self.delivers.set(true);
    }

    /// Begins the span of an event. Its parent is the event's own trace, else the hook that wanted the event, else the
    /// caller. Nothing, when whoever began the trace does not want it to be recorded.
    pub fn begin<'a>(
        &'a self,
        event: &'a Event,
        caller: &CallerEnvironment,
        occasion: Occasion,
    ) -> Option<EmitSpan<'a>> {
        let delivers = self.delivers.replace(false);
        let (named, around) = (TraceParent::of(event), occasion.trace.or(caller.traceparent()));
        if named.or(around).is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        // In the event's own trace, what surrounds this is nearer than what the event names.
        let parent = around.filter(|around| named.is_none_or(|named| named.trace == around.trace)).or(named);
        let own = TraceParent::below(parent, event, getrandom::u64().unwrap_or_default().max(1));
        Some(EmitSpan {
            spans: self,
            event,
            occasion,
            own,
            parent,
            state: caller.tracestate(event, named, own.trace).map(|state| state.to_string_lossy().into_owned()),
            delivers,
            began: Instant::now(),
            events: RefCell::default(),
            dropped_events: Cell::default(),
        })
    }

    /// Those that have ended, and how many more there were.
    pub(super) fn into_ended(self) -> (Vec<otlp::Span>, usize) {
        (self.ended.into_inner(), self.left_out.get())
    }

    fn nanos(&self, at: Instant) -> String {
        let (instant, time) = self.began;
        nanos(time + at.saturating_duration_since(instant))
    }

    /// An emit's own is kept in any case: without it the others hang in the air.
    fn end(&self, span: otlp::Span) {
        let mut ended = self.ended.borrow_mut();
        if ended.len() < MAX_SPANS || span.kind != Kind::Internal {
            ended.push(span);
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
    }
}

impl EmitSpan<'_> {
    /// Its place in the trace, which hooks are below.
    pub fn place(&self) -> TraceParent {
        self.own
    }

    /// An attempt has ended, or did not begin.
    pub fn attempt(&self, delivery: &Delivery<'_>, outcome: &Outcome) {
        let status = outcome.status.as_str();
        let mut attributes = vec![
            Attribute::text("knockon.hook.name", delivery.hook.name.as_str()),
            Attribute::text("knockon.hook.status", status),
            Attribute::number("knockon.hook.attempt", delivery.attempt),
        ];
        let reason = outcome.reason.as_deref().map(|reason| shorten(reason, LONGEST_REASON).into_owned());
        let Some(delivery::Span { handed, began }) = outcome.span else {
            attributes.extend(reason.map(|reason| Attribute::text("knockon.hook.reason", reason)));
            return self.note(SpanEvent {
                time_unix_nano: self.spans.nanos(Instant::now()),
                name: format!("hook {status}"),
                attributes,
            });
        };
        attributes.extend(self.about_the_event());
        attributes.extend(outcome.pid.map(|pid| Attribute::number("process.pid", pid)));
        attributes.extend(outcome.exit_code.map(|code| Attribute::number("process.exit.code", code)));
        attributes.extend(outcome.signal.map(|signal| Attribute::number("knockon.hook.signal", signal)));
        let failed = outcome.status.is_failure();
        attributes.extend(failed.then(|| Attribute::text("error.type", status)));
        self.spans.end(otlp::Span {
            trace_id: format!("{:032x}", handed.trace),
            span_id: format!("{:016x}", handed.span),
            trace_state: self.state.clone(),
            parent_span_id: Some(format!("{:016x}", self.own.span)),
            flags: u32::from(handed.flags) | LOCAL_PARENT,
            name: format!("hook {}", delivery.hook.name),
            kind: Kind::Internal,
            start_time_unix_nano: self.spans.nanos(began),
            end_time_unix_nano: self.spans.nanos(began + outcome.duration),
            attributes,
            events: Vec::new(),
            dropped_events_count: 0,
            status: failed.then(|| Status::error(reason.unwrap_or_else(|| outcome.summary()))),
        });
    }

    /// All of its hooks are done; `error` says why whoever emitted it should stop.
    pub fn end(self, error: Option<String>) {
        let mut attributes = self.about_the_event();
        attributes.push(Attribute::text("knockon.source", self.occasion.source));
        if self.occasion.replay {
            attributes.push(Attribute::flag("knockon.replay", true));
        }
        attributes.extend(self.occasion.coalesced.map(|count| Attribute::number("knockon.coalesced", count)));
        let (verb, kind) = if self.delivers { ("deliver", Kind::Consumer) } else { ("emit", Kind::Producer) };
        // A hook that wanted this event ran in this process.
        let parent = if self.occasion.trace.is_some() { LOCAL_PARENT } else { REMOTE_PARENT };
        self.spans.end(otlp::Span {
            trace_id: format!("{:032x}", self.own.trace),
            span_id: format!("{:016x}", self.own.span),
            trace_state: self.state,
            parent_span_id: self.parent.map(|parent| format!("{:016x}", parent.span)),
            flags: u32::from(self.own.flags) | if self.parent.is_some() { parent } else { LOCAL_PARENT },
            name: format!("{verb} {}", self.event.kind()),
            kind,
            start_time_unix_nano: self.spans.nanos(self.began),
            end_time_unix_nano: self.spans.nanos(Instant::now()),
            attributes,
            events: self.events.into_inner(),
            dropped_events_count: self.dropped_events.get(),
            status: error.map(|error| Status::error(shorten(&error, LONGEST_REASON).into_owned())),
        });
    }

    fn about_the_event(&self) -> Vec<Attribute> {
        vec![
            Attribute::text("knockon.event.type", self.event.kind().as_str()),
            Attribute::text("knockon.event.id", self.event.id().to_string()),
        ]
    }

    fn note(&self, event: SpanEvent) {
        let mut events = self.events.borrow_mut();
        if events.len() < MAX_EVENTS {
            events.push(event);
        } else {
            self.dropped_events.set(self.dropped_events.get() + 1);
        }
    }
}
