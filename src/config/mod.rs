//! `hooks.yaml`, read in passes: bytes → tree → layers → model → checks against the disk.
//!
//! `document` turns text into a `tree` that knows where each value stands (`scalar`: what a word means),
//! `layers` lays included files and the local override over each other, `parse` turns the result into the
//! `model` (`words`: its choices) and reports every problem at once: `settings` reads the keys that hooks and defaults share,
//! `action` what a hook does, `policy` how it is run, `sandbox` what it may touch, `fixture` what it is tried with, `reader` collects
//! what is wrong. `locate` finds the files, `load` reads them, `inherited` those of the project around a nested one, `script` opens a hook's script, `lint` makes the checks
//! that only `validate` needs, `limits` reads what the user or the machine allows at most, `user` what the user prefers, `flowspec` says what flowspec would refuse, `diagnostic` is how a problem is told. Filter values and globs stay as
//! written: the matcher room owns their meaning.

mod action;
mod budget;
mod combinations;
mod danger;
mod diagnostic;
mod document;
mod fixture;
mod flowspec;
mod inherited;
mod layers;
mod limits;
mod lint;
mod load;
mod locate;
mod model;
mod overrides;
mod parse;
mod policy;
mod reader;
mod safe;
mod sandbox;
mod scalar;
mod script;
mod settings;
mod tree;
mod user;
mod words;

pub use action::{ACTION_KEYS, TEXT_ACTIONS, WEBHOOK_KEYS};
pub use budget::shorten as shorten_problems;
pub use danger::{Danger, dangers};
pub use diagnostic::{Diagnostic, Related, Severity};
pub use document::MAX_CONFIG_BYTES;
pub use fixture::{EXPECT_KEYS, FIXTURE_KEYS, RECORDED_FILE, recorded};
pub use flowspec::flowspec_refusals;
pub use inherited::Inherited;
pub use layers::{Composed, ComposedHook, LOCAL_FILE, ONE_LINE_FILE, Open, Opened, Scope, Source};
pub use limits::{Limits, POLICY_KEYS};
pub use lint::lint;
pub use load::{ConfigFile, Found, InvalidHook, Loaded, LoadedHook, Origin, Parts, load, read};
pub use locate::{Located, find, misplaced};
pub use model::{
    Action, Coalesce, Concurrency, EventMatcher, Expectation, FileExpectation, Fixture, Hook, HookName, HooksConfig,
    MAX_TIMEOUT, MAX_WAIT, MIN_TIMEOUT, Retry, ScriptPath, Texts, Upcoming, Webhook, WorkingDirectory,
};
pub use parse::{HOOK_KEYS, MATCHER_KEYS, TOP_KEYS, parse, parse_layers};
pub use policy::COALESCE_KEYS;
pub use safe::{SafeDirectories, accept_safe};
pub use sandbox::{SANDBOX_KEYS, SandboxRules};
pub use script::{ScriptFault, ScriptFile, find_in_path};
pub use settings::{BUILT_IN, DEFAULTS_KEYS, RETRY_KEYS};
pub use tree::{Key, Node, Span, Value};
pub use user::{AUDIT_KEYS, AuditSettings, SETTINGS_KEYS, SYNC_KEYS, SyncSettings, UserSettings};
pub use words::{
    Durability, FailMode, GuardMode, Mode, OnBusy, OnTimeout, OnUnreadable, OutputMode, Sandbox, StopMode,
};
