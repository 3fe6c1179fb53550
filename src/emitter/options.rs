//! What an emitter is opened with.

#[cfg(doc)]
use super::{EmitReport, Emitter};
use crate::dispatch::{Program, Skip};
use crate::event::Versions;
use crate::git::Exported;
use crate::sys::Interrupts;
use crate::trust::ContentHash;
use std::path::PathBuf;

/// What an [`Emitter`] is opened with.
#[derive(Debug, Default)]
pub struct EmitterOptions {
    /// A configuration to use instead of the project's (`--config`).
    pub config: Option<PathBuf>,
    /// Whether a variable of the environment named it: the guards of the project's own configuration are then missed.
    pub config_of_environment: bool,
    /// The hooks of a commit, instead of the project's (`--config-from-ref`).
    pub commit: Option<Exported>,
    /// The hash of the content that may run (`--trust-hash`, `KNOCKON_TRUST`), instead of the store.
    pub trust_hash: Option<ContentHash>,
    /// Whether exactly the content that was reviewed has to decide (`--strict`): [`EmitReport::unreviewed`] says when it
    /// does not.
    pub strict: bool,
    /// Whether what a configuration includes is read before it is trusted: for commands that show it, not for those that
    /// run hooks.
    pub reviews: bool,
    /// Signals to forward to hooks. Without it a signal ends this process as usual.
    pub interrupts: Option<Interrupts>,
    /// The versions of events that are understood; those of this build without it.
    pub versions: Option<&'static Versions>,
    /// The hooks to leave out.
    pub skip: Skip,
    /// The program `knockon`, for hooks that nobody waits for.
    pub program: Program,
    /// Whether the process ends after one event: nothing is kept to start the hooks of the next one faster.
    pub once: bool,
}
