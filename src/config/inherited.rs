//! `inherit: true`: the hooks of the project around a nested one.

use super::safe::accept_safe;
use crate::project::{Project, UserFolders};
use crate::text::one_line;

/// An outer project whose hooks run for the events of a nested one, as if the event were its own: from its folder, with its
/// scripts, trusted as its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The outer project.
    pub project: Project,
    /// Where the nested project is below it: `packages/api`.
    pub below: String,
}

impl Inherited {
    /// The next project with hooks around `inner`, for events of `here`.
    ///
    /// # Errors
    /// There is none, or none of this user's; the text says why.
    pub(super) fn around(inner: &Project, here: &Project, user: &UserFolders) -> Result<Self, String> {
        let around = inner.around(user.home.as_deref()).map(|around| accept_safe(around, user));
        if let Some(refused) = around.as_ref().and_then(Project::refused) {
            return Err(format!("`inherit` has no effect: {}", one_line(&refused.to_string())));
        }
        let project = around.filter(Project::has_hooks_file).ok_or_else(|| {
            let root = one_line(&inner.root_text());
            format!("`inherit: true`, but no folder above {root} has hooks")
        })?;
        let below = here.root().strip_prefix(project.root()).unwrap_or(here.root());
        Ok(Inherited { below: below.to_string_lossy().into_owned(), project })
    }
}
