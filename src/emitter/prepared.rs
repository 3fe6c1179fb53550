//! An event that is made before its hooks run: for a producer of several, which fixes their order first.

use super::EmitReport;
#[cfg(doc)]
use super::Emitter;
use crate::event::{Event, EventError};

/// An event that is made, and queued when it is one for the team; [`Emitter::emit_prepared`] records it and runs its
/// hooks.
#[derive(Debug)]
pub struct Prepared {
    pub(super) report: EmitReport,
    pub(super) made: Result<Event, EventError>,
}
