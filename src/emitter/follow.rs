//! Events that follow from one: what its hooks answered that they want to be emitted.

use super::course::{Course, NEVER};
use super::{EmitReport, Emitter};
use crate::delivery::{FollowUp, Occasion, Span};
use crate::event::Event;
use std::time::Instant;

/// The most events that follow from one, through the answers of hooks.
pub(super) const MAX_FOLLOW_UPS: usize = 1000;
/// Of how many of them all output is kept.
const WHOLE_FOLLOW_UPS: usize = 50;

impl Emitter {
    /// Emits what hooks wanted to be emitted, at most `left` events.
    pub(super) fn follow(&self, report: &mut EmitReport, course: Course<'_>, left: &mut usize) {
        let Some(cause) = report.event.as_ref().map(Event::id) else { return };
        // Whoever ends what goes on ends what would follow.
        if report.interrupted().is_some() || report.stopped_by().is_some() {
            return;
        }
        let answers =
            report.dispatched.hooks.iter().filter_map(|hook| Some((hook.outcome.span, hook.outcome.answer.as_ref()?)));
        let follow_ups: Vec<(Option<Span>, FollowUp)> =
            answers.flat_map(|(span, answer)| answer.follow_ups.iter().map(move |wish| (span, wish.clone()))).collect();
        let Occasion { chain, attended, .. } = course.occasion;
        let occasion = Occasion { source: "hook", chain: chain.saturating_add(1), attended, ..Occasion::default() };
        let course = Course { occasion, earlier: NEVER, begun: Instant::now(), ..course };
        for (span, follow_up) in follow_ups {
            let Some(fewer) = left.checked_sub(1) else {
                let warning =
                    format!("hooks asked for more than {MAX_FOLLOW_UPS} further events; the rest was not emitted");
                return report.warnings.push(warning);
            };
            *left = fewer;
            let trace = span.map(|span| span.handed);
            let course = Course { occasion: Occasion { trace, ..course.occasion }, ..course };
            let mut followed = match follow_up.draft(cause) {
                Ok(draft) => self.emit_on(draft, course, left),
                Err(refused) => EmitReport { refused: Some(refused), ..EmitReport::default() },
            };
            // Of many events only the end of what their hooks wrote is kept.
            if MAX_FOLLOW_UPS - *left > WHOLE_FOLLOW_UPS {
                followed.dispatched.hooks.iter_mut().for_each(|hook| hook.outcome.shorten_output());
            }
            let interrupted = followed.interrupted();
            report.followed.push(followed);
            if interrupted.is_some() {
                return;
            }
        }
    }
}
