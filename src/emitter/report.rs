//! What became of one event, or would.

use super::Sync;
use crate::config::Diagnostic;
use crate::delivery::Merged;
use crate::dispatch::{Dispatched, HookReport};
use crate::event::{Event, EventError};
use crate::matcher::Match;
use crate::sys::Signal;
use crate::trust::Verdict;

/// What became of one event. Nothing in it has to be handled for the caller to go on.
#[derive(Debug, Default)]
pub struct EmitReport {
    /// The event, unless it was refused.
    pub event: Option<Event>,
    /// Why no event was made.
    pub refused: Option<EventError>,
    /// Why it is not on the disk, when its producer asked for that.
    pub not_stored: Option<String>,
    /// What became of it on its way to the team, when it is one of a work package.
    pub sync: Option<Sync>,
    /// How its hooks fared.
    pub dispatched: Dispatched,
    /// What is wrong with the configuration.
    pub problems: Vec<Diagnostic>,
    /// What the producer may want to know, such as a type nobody declared.
    pub warnings: Vec<String>,
    /// What its hooks answered, as one answer.
    pub answer: Option<Merged>,
    /// What became of the events that its hooks wanted to be emitted.
    pub followed: Vec<EmitReport>,
}

/// What would happen, without it happening.
#[derive(Debug)]
pub struct Preview {
    /// The event as it would be.
    pub event: Event,
    /// The hooks it would trigger, each with whether it may run.
    pub hooks: Vec<(Match, Verdict)>,
    /// What the producer may want to know, such as a type nobody declared.
    pub warnings: Vec<String>,
}

impl EmitReport {
    /// One report a matched hook, in file order.
    pub fn hooks(&self) -> &[HookReport] {
        &self.dispatched.hooks
    }

    /// The hook whose failure the caller should stop for, if there is one.
    pub fn stopped_by(&self) -> Option<&HookReport> {
        self.dispatched.stopped_by()
    }

    /// The signal that ended it early, or an event that followed from it, if one did.
    pub fn interrupted(&self) -> Option<Signal> {
        self.dispatched.interrupted.or_else(|| self.followed.iter().find_map(EmitReport::interrupted))
    }

    /// Whether every hook that ran succeeded.
    pub fn all_successful(&self) -> bool {
        self.hooks().iter().all(|hook| !hook.outcome.status.is_failure())
    }
}
