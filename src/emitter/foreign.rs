//! Events whose id another producer made.

use super::Emitter;
use crate::event::Event;
use crate::sys;
use std::io;

impl Emitter {
    /// What to report of an event whose id is no ULID, once for each project: order and uniqueness are its producer's then.
    pub(super) fn foreign_id(&self, event: &Event) -> Option<String> {
        if event.id().is_ulid() || !self.is_first_time("foreign-id") {
            return None;
        }
        Some(format!(
            "the id {} is no ULID: it is kept, and its order and uniqueness are up to its producer (reported once)",
            event.id()
        ))
    }

    /// Whether something was not reported in this project before. Where that cannot be remembered, it is reported again.
    fn is_first_time(&self, what: &str) -> bool {
        let Some(folder) = self.user.state.as_ref().map(|state| state.join("reported")) else { return true };
        let marked = sys::make_private_folder(&folder)
            .and_then(|()| sys::create_private(&folder.join(format!("{what}-{}", self.project.key()))));
        !matches!(marked, Err(error) if error.kind() == io::ErrorKind::AlreadyExists)
    }
}
