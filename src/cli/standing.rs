//! The line behind an event that is queued for the team: how the way there stands.

use super::terminal::{Paint, Terminal};
use crate::emitter::Sync;
use crate::project::UserFolders;
use crate::store::{Consent, Link, Stay, service_is_running};
use crate::text::count;

/// The line behind an event, on a terminal: how the way to the team stands, as far as is known without asking.
pub(super) fn inline(sync: &Sync, user: &UserFolders, terminal: &mut Terminal) {
    // Before a server is configured, and in a project that does not take part, there is nothing to report.
    if sync.account.server.is_none() || matches!(sync.stay, Stay::NotKept(_)) {
        return;
    }
    let link = Link::now(sync.link, &sync.account, service_is_running(user));
    let queued = count(usize::try_from(sync.depth).unwrap_or(usize::MAX), "event");
    let held_back = if sync.consent == Consent::Undecided { "; `knockon sync enable` lets them go out" } else { "" };
    let line = match (link, sync.consent.clone()) {
        (Link::Connected, Consent::Agreed) => format!("[{link}]"),
        _ => format!("[{link}] {queued} queued{held_back}"),
    };
    let line = terminal.paint(Paint::Dim, &line);
    terminal.line(&line);
}
