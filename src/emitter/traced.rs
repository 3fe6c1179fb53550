//! Spans of what an emitter does, where this build exports any.

use super::course::Course;
use super::{EmitReport, Emitter};
#[cfg(feature = "otel")]
use crate::telemetry::Spans;

impl Emitter {
    /// Does what `emit` does, and sends the spans of it at its end.
    #[cfg(feature = "otel")]
    pub(super) fn traced(course: Course<'_>, emit: impl FnOnce(Course<'_>) -> EmitReport) -> EmitReport {
        let Some(exporter) = crate::telemetry::Exporter::of_this_process() else { return emit(course) };
        let spans = Spans::default();
        let mut report = emit(Course { spans: Some(&spans), ..course });
        let warnings = exporter.send(spans, report.interrupted().is_some());
        report.warnings.extend(warnings);
        report
    }

    /// Does what `emit` does: this build exports no spans.
    #[cfg(not(feature = "otel"))]
    pub(super) fn traced(course: Course<'_>, emit: impl FnOnce(Course<'_>) -> EmitReport) -> EmitReport {
        emit(course)
    }
}

#[cfg(feature = "otel")]
impl EmitReport {
    /// Why whoever emitted the event should stop.
    pub(super) fn error(&self) -> Option<String> {
        let stopped = || self.stopped_by().map(|hook| format!("`{}`: {}", hook.name, hook.outcome.summary()));
        let interrupted = self.dispatched.interrupted;
        interrupted.map(|signal| format!("ended by {}", crate::sys::Signal::name_of(signal.number()))).or_else(stopped)
    }
}
