//! Exit codes, in one table; and what a command that failed says.

use crate::sys::Signal;
use std::fmt;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Fine, also when a `continue` hook failed.
    Fine,
    /// A `stop` hook failed or blocked.
    Stopped,
    /// Bad usage or input.
    Usage,
    /// Hooks were refused for want of trust.
    Untrusted,
    /// Nobody is signed in, or the project did not agree.
    NotEnabled,
    /// The server could not be reached.
    Unreachable,
    /// A bug of ours.
    Bug,
    /// Input or output failed.
    Io,
    /// A signal ended it.
    Interrupted(Signal),
}

/// Code and meaning, as `--help` and the documentation show them.
const TABLE: &[(&str, &str)] = &[
    ("0", "fine, also when a hook with `fail_mode: continue` failed"),
    (
        "1",
        "a hook with `fail_mode: stop` failed or blocked, or did not run with `guards: enforce`; `test`: the hook failed; `audit verify`, `doctor`: something is wrong; `sync now`: the server refused events, or took none",
    ),
    (
        "2",
        "bad usage, bad input, or a hooks.yaml with errors (`validate`, `list`, `test`; `emit --strict`, `run --strict`; every command but `emit` and `run`, when none of it can be read)",
    ),
    (
        "3",
        "not trusted, or not what was reviewed: `emit --strict` and `run --strict` (also when a hook that should have run did not), `test`, `trust`",
    ),
    ("4", "nobody is signed in, or the project is not enabled (`sync now`)"),
    ("69", "the server could not be reached (`sync now`)"),
    ("70", "a bug in knockon"),
    ("74", "input or output failed"),
    ("129, 130, 143", "ended by SIGHUP, SIGINT (Ctrl-C), SIGTERM"),
];

impl Exit {
    pub(super) fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Stopped => 1,
            Exit::Usage => 2,
            Exit::Untrusted => 3,
            Exit::NotEnabled => 4,
            Exit::Unreachable => 69,
            Exit::Bug => 70,
            Exit::Io => 74,
            Exit::Interrupted(signal) => u8::try_from(128 + signal.number()).unwrap_or(1),
        }
    }
}

/// The table of exit codes, as text.
pub(super) fn exit_code_table() -> String {
    let rows = TABLE.iter().map(|(code, meaning)| format!("\n  {code:<14} {meaning}"));
    format!("Exit codes:{}", rows.collect::<String>())
}

/// Why a command failed.
#[derive(Debug)]
pub(super) struct CliError {
    pub(super) exit: Exit,
    pub(super) message: String,
    /// What to do about it, one line each.
    pub(super) hints: Vec<String>,
    /// Set when clap has said it already, in its own form.
    pub(super) clap: Option<clap::Error>,
}

impl CliError {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        CliError { exit, message: message.into(), hints: Vec::new(), clap: None }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(super) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Exit::Io, format!("{what}: {error}"))
    }

    pub(super) fn from_clap(error: clap::Error) -> Self {
        CliError { clap: Some(error), ..Self::usage("") }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
