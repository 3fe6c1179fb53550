//! Artifacts given on the command line: their paths become relative to the project.

use crate::event::EventDraft;
use crate::sys;
use crate::text::one_line;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Adds a file to an event: its path relative to the project at `root`, and as it was given where that differs. Returns
/// what to report: a path outside of the project is kept absolute, one that is not UTF-8 is escaped.
pub(super) fn add(draft: EventDraft, given: &Path, root: &Path) -> (EventDraft, Vec<String>) {
    let mut warnings = Vec::new();
    let mut text = |path: &Path| {
        let (text, is_exact) = escaped(path);
        if !is_exact {
            warnings.push(format!("the path {} is not UTF-8; the event has it escaped", one_line(&text)));
        }
        text
    };
    let absolute = sys::resolve(given);
    let path = match absolute.as_deref().map(|absolute| absolute.strip_prefix(root)) {
        Some(Ok(inside)) if inside.as_os_str().is_empty() => ".".to_owned(),
        Some(Ok(inside)) => text(inside),
        // Without a working folder a relative path is all there is.
        None => text(given),
        Some(Err(_)) => {
            let outside = text(absolute.as_deref().unwrap_or(given));
            warnings.push(format!("the file {} is outside of the project", one_line(&outside)));
            outside
        }
    };
    let (original, _) = escaped(given);
    let draft = match original == path {
        true => draft.artifact("file", path),
        false => draft.artifact_given_as("file", path, original),
    };
    (draft, warnings)
}

/// The path as text, bytes that are not UTF-8 as `\xNN`; and whether it has none.
fn escaped(path: &Path) -> (String, bool) {
    let mut text = String::new();
    let mut is_exact = true;
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        is_exact &= chunk.invalid().is_empty();
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    (text, is_exact)
}
