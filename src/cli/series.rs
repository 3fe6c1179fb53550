//! Several events of one command: emitted and shown one after the other, and one result in the end.

use super::emit::{EmitOptions, refused};
use super::error::{CliError, Exit};
use super::terminal::Terminal;
use crate::emitter::{Emission, EmitReport, Emitter, Prepared};
use crate::event::EventDraft;
use std::ops::ControlFlow;

/// The events of one command.
pub(super) struct Series<'a> {
    how: &'a EmitOptions,
    emitter: &'a Emitter,
    source: &'static str,
    reports: Vec<EmitReport>,
    exit: Exit,
}

impl<'a> Series<'a> {
    /// Begins it: `source` is what hooks are told that emits.
    ///
    /// # Errors
    /// A report that is asked for has no place.
    pub(super) fn new(
        how: &'a EmitOptions,
        emitter: &'a Emitter,
        source: &'static str,
        terminal: &mut Terminal,
    ) -> Result<Self, CliError> {
        how.place_reports(terminal)?;
        Ok(Series { how, emitter, source, reports: Vec::new(), exit: Exit::Fine })
    }

    /// Shows what would happen.
    pub(super) fn preview(&mut self, draft: EventDraft, terminal: &mut Terminal) {
        let kind = draft.kind().to_string();
        if let Err(error) = self.how.emit(self.emitter, draft, self.source, &kind, terminal) {
            terminal.warning(&format!("not emitted: {}", error.message));
        }
    }

    /// Emits an event. Breaks off when the command was interrupted.
    pub(super) fn emit(&mut self, draft: EventDraft, terminal: &mut Terminal) -> ControlFlow<()> {
        let (emitter, kind) = (self.emitter, draft.kind().to_string());
        self.take(&kind, terminal, |emission| emitter.emit_as(draft, emission))
    }

    /// Emits an event of type `kind` that was prepared. Breaks off when the command was interrupted.
    pub(super) fn emit_prepared(&mut self, kind: &str, prepared: Prepared, terminal: &mut Terminal) -> ControlFlow<()> {
        let emitter = self.emitter;
        self.take(kind, terminal, |emission| emitter.emit_prepared(prepared, emission))
    }

    /// An event that is refused is told, and spares the others.
    fn take(
        &mut self,
        kind: &str,
        terminal: &mut Terminal,
        emit: impl FnOnce(Emission<'_>) -> EmitReport,
    ) -> ControlFlow<()> {
        let report = self.how.watched(self.source, terminal, emit);
        terminal.end_live();
        if let Some(error) = &report.refused {
            terminal.warning(&format!("not emitted: {}", refused(kind, error).message));
        } else {
            let exit = self.how.show(self.emitter, &report, terminal);
            if self.exit == Exit::Fine || matches!(exit, Exit::Interrupted(_)) {
                self.exit = exit;
            }
        }
        self.reports.push(report);
        // A signal may come while no hook runs.
        if !self.is_interrupted()
            && let Some(signal) = self.emitter.take_interrupt()
        {
            self.exit = Exit::Interrupted(signal);
        }
        if self.is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Whether a signal ended it early.
    pub(super) fn is_interrupted(&self) -> bool {
        matches!(self.exit, Exit::Interrupted(_))
    }

    /// Ends it; how the command ends by its events.
    pub(super) fn finish(self, terminal: &mut Terminal) -> Exit {
        self.emitter.release_signals();
        self.how.conclude(self.emitter, &self.reports, self.exit, terminal)
    }
}
