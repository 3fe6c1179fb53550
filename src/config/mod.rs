//! `hooks.yaml`, read in passes: bytes → tree → model → checks against the disk.
//!
//! `document` turns text into a tree that knows where each value stands, `parse` turns the tree into the
//! `model` and reports every problem at once: `settings` reads the keys that hooks and defaults share,
//! `reader` collects what is wrong. `load` finds and reads the files, `script` opens a hook's script,
//! `lint` makes the checks that only `validate` needs, `diagnostic` is how a problem is told. Filter
//! values and type globs stay as written: the matcher room owns their meaning.

mod diagnostic;
mod document;
mod lint;
mod load;
mod model;
mod parse;
mod reader;
mod script;
mod settings;

pub use diagnostic::{Diagnostic, Severity};
pub use document::{Key, MAX_CONFIG_BYTES, Node, Span, Value};
pub use lint::lint;
pub use load::{ConfigFile, Loaded, LoadedHook, Origin, load};
pub use model::{
    Action, EventMatcher, FailMode, Hook, HookName, HooksConfig, MAX_TIMEOUT, MIN_TIMEOUT, ScriptPath, Webhook,
    WorkingDirectory,
};
pub use parse::{HOOK_KEYS, MATCHER_KEYS, TOP_KEYS, parse};
pub use script::{ScriptFault, ScriptFile};
pub use settings::DEFAULTS_KEYS;
