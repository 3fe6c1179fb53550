//! What became of one event, or would.

use super::{MissingGuard, Sync, Unreviewed};
use crate::config::{Diagnostic, Severity};
use crate::delivery::{Merged, NotRun, Outcome};
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
    /// Hooks with `fail_mode: stop` that the user trusted for this event, and that did not run because their content is
    /// another one now, or gone.
    pub guards: Vec<MissingGuard>,
    /// Why it is not the content that was reviewed that decided, where a trust hash was given or `strict` asked for it.
    pub unreviewed: Option<Unreviewed>,
    /// Whether the user's settings make a missing guard stop the caller (`guards: enforce`).
    pub guards_enforced: bool,
    /// What the producer may want to know, such as a type nobody declared.
    pub warnings: Vec<String>,
    /// What its hooks answered, as one answer.
    pub answer: Option<Merged>,
    /// What became of the events that its hooks wanted to be emitted.
    pub followed: Vec<EmitReport>,
}

/// What became of the hooks of an event, in one word. What comes later is graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EmitOutcome {
    /// No hook matched.
    None,
    /// Every hook that should have run ran, and none failed.
    Ran,
    /// A hook should have run and did not, or every hook that matched is disabled.
    NotRun,
    /// A hook failed.
    Failed,
    /// A hook with `fail_mode: stop` failed or blocked, or a signal ended it: the caller should stop.
    Stopped,
}

impl EmitOutcome {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            EmitOutcome::None => "none",
            EmitOutcome::Ran => "ran",
            EmitOutcome::NotRun => "not_run",
            EmitOutcome::Failed => "failed",
            EmitOutcome::Stopped => "stopped",
        }
    }
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

    /// Whether every hook that should have run ran well, those of the events included that followed.
    pub fn all_successful(&self) -> bool {
        let ran_well = |hook: &HookReport| !hook.outcome.status.is_failure() && !hook.outcome.is_missed();
        self.hooks().iter().all(ran_well)
            && !self.has_invalid_configuration()
            && !self.has_unread_files()
            && self.guards.is_empty()
            && self.unreviewed.is_none()
            && self.followed.iter().all(EmitReport::all_successful)
    }

    /// Whether an error in the configuration disables hooks.
    pub fn has_invalid_configuration(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there are files whose hooks are not known, because the configuration that includes them is not trusted.
    pub fn has_unread_files(&self) -> bool {
        self.problems.iter().any(|problem| problem.code == Diagnostic::NOT_INCLUDED)
    }

    /// What became of the event's hooks in one word, those of the events included that followed: the gravest counts.
    pub fn outcome(&self) -> EmitOutcome {
        let hooks = || self.hooks().iter().map(|hook| &hook.outcome);
        let own = if self.stopped_by().is_some() || self.interrupted().is_some() || self.guards_enforced {
            EmitOutcome::Stopped
        } else if hooks().any(|outcome| outcome.status.is_failure()) {
            EmitOutcome::Failed
        } else if hooks().any(Outcome::is_missed)
            || self.has_invalid_configuration()
            || self.has_unread_files()
            || !self.guards.is_empty()
            || self.unreviewed.is_some()
            || !self.hooks().is_empty() && hooks().all(|outcome| outcome.not_run == Some(NotRun::Disabled))
        {
            EmitOutcome::NotRun
        } else if self.hooks().is_empty() {
            EmitOutcome::None
        } else {
            EmitOutcome::Ran
        };
        self.followed.iter().map(EmitReport::outcome).fold(own, EmitOutcome::max)
    }
}
