//! What one configuration may cost to read, over all its files: anyone can put files into a repository, and they are read
//! before anything is trusted.

use super::diagnostic::{Diagnostic, Severity};
use std::path::Path;

/// The most bytes of all files of a configuration.
pub(super) const MAX_TOTAL_BYTES: usize = 1024 * 1024;
/// The most nodes of all files.
pub(super) const MAX_NODES: usize = 250_000;
/// The most hooks of all files.
pub(super) const MAX_HOOKS: usize = 20_000;
/// The most problems that are reported of one configuration.
pub(super) const MAX_PROBLEMS: usize = 100;

/// What is left for the files that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    bytes: usize,
    pub(super) nodes: usize,
    hooks: usize,
}

impl Budget {
    /// The whole.
    pub(super) fn whole() -> Self {
        Budget { bytes: MAX_TOTAL_BYTES, nodes: MAX_NODES, hooks: MAX_HOOKS }
    }

    /// Takes the bytes of a file, and says whether they were left.
    pub(super) fn take_bytes(&mut self, count: usize) -> bool {
        take(&mut self.bytes, count)
    }

    /// Takes the hooks of a file, and says whether they were left.
    pub(super) fn take_hooks(&mut self, count: usize) -> bool {
        take(&mut self.hooks, count)
    }
}

fn take(left: &mut usize, count: usize) -> bool {
    let rest = left.checked_sub(count);
    *left = rest.unwrap_or(0);
    rest.is_some()
}

/// Keeps 100 of the problems from number `from` on, those that disable a whole file first, and says how many
/// more there are.
pub fn shorten(problems: &mut Vec<Diagnostic>, from: usize, path: &Path) {
    if problems.len() <= from + MAX_PROBLEMS {
        return;
    }
    problems[from..].sort_by_key(|problem| (problem.severity, !problem.disables_file()));
    let rest = &problems[from + MAX_PROBLEMS..];
    let is_error = rest.iter().any(|problem| problem.severity == Severity::Error);
    let message = format!("{} more problems are not shown", rest.len());
    let mut note = match is_error {
        true => Diagnostic::error(path, None, Diagnostic::MORE_PROBLEMS, message),
        false => Diagnostic::warning(path, None, Diagnostic::MORE_PROBLEMS, message),
    };
    // It disables no more than they do.
    note.hook = rest.iter().find_map(|problem| problem.hook.clone());
    problems.truncate(from + MAX_PROBLEMS);
    problems.push(note.help("correct those above first"));
}
