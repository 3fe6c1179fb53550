//! Files that the user names for a result: what may not be written over.

use super::error::CliError;
use crate::text::one_line;
use std::path::Path;

/// Files of knockon's own, by name.
const OWN: &[&str] =
    &["hooks.yaml", "hooks.yml", "hooks.local.yaml", "hooks.on.yaml", "policy.yaml", "settings.yaml", "audit.log"];

/// Whether a result may be written to `path`: to no file of knockon's own, and through no link, which a repository could lead
/// anywhere.
///
/// # Errors
/// It may not.
pub(super) fn check(path: &Path) -> Result<(), CliError> {
    let shown = one_line(&path.to_string_lossy());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if OWN.contains(&&*name) {
        return Err(
            CliError::usage(format!("{shown} has the name of a file that knockon reads")).hint("name another file")
        );
    }
    // Those of the system are links by themselves: /dev/stdout.
    let is_of_system = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    if is_link && !is_of_system {
        let error = CliError::usage(format!("{shown} is a link, and is not written through"));
        return Err(error.hint("name the file that it leads to, if that is what you mean"));
    }
    Ok(())
}
