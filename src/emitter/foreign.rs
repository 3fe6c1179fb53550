//! Events that another producer made: what is reported of their ids and files.

use super::Emitter;
use crate::event::{Event, artifact_path};
use crate::json::Json;
use crate::matcher::place_in;
use crate::sys;
use crate::text::one_line;
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

    /// What to report of the files of an event that arrived as a document: those outside of the project.
    pub(super) fn foreign_files(event: &Event) -> impl Iterator<Item = String> {
        let root = event.json().get("project_root").and_then(Json::as_str).unwrap_or_default();
        let artifacts = event.json().get("artifacts").into_iter().flat_map(Json::items);
        let paths = artifacts.filter_map(artifact_path).map(move |path| place_in(&path, &root).into_owned());
        let outside = paths.filter(|path| path.starts_with('/') || path.starts_with("../"));
        outside.map(|path| format!("the file {} is outside of the project", one_line(&path)))
    }

    /// Whether something was not reported in this project before. Where that cannot be remembered, it is reported again.
    fn is_first_time(&self, what: &str) -> bool {
        let Some(folder) = self.user.state.as_ref().map(|state| state.join("reported")) else { return true };
        let marked = sys::make_private_folder(&folder)
            .and_then(|()| sys::create_private(&folder.join(format!("{what}-{}", self.project.key()))));
        !matches!(marked, Err(error) if error.kind() == io::ErrorKind::AlreadyExists)
    }
}
