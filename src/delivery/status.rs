//! How a hook's run ended, or why there was none, in words for reports and the audit log.

use std::fmt;

/// How a hook's run ended, or why it did not begin; the word in the audit log (ADR-006).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with 0.
    Success,
    /// It exited with something else, or a signal ended it.
    Failed,
    /// It was ended because its time was up.
    Timeout,
    /// It could not be started.
    Error,
    /// It did not run, or said that there was nothing to do (exit 77).
    Skipped,
    /// It did not run because its content was not trusted.
    BlockedUntrusted,
    /// It did not run because the configuration disables it.
    Disabled,
    /// It did not run because its part of the configuration has an error.
    Invalid,
    /// It was ended because knockon was asked to end (a signal).
    Interrupted,
    /// It goes on without the emitter.
    Detached,
}

impl Status {
    /// The word in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Timeout => "timeout",
            Status::Error => "error",
            Status::Skipped => "skipped",
            Status::BlockedUntrusted => "blocked_untrusted",
            Status::Disabled => "disabled",
            Status::Invalid => "invalid",
            Status::Interrupted => "interrupted",
            Status::Detached => "detached",
        }
    }

    /// Whether this counts as a failure of the hook, which `fail_mode` is about.
    pub fn is_failure(self) -> bool {
        match self {
            Status::Failed | Status::Timeout | Status::Error | Status::Interrupted => true,
            Status::Success
            | Status::Skipped
            | Status::BlockedUntrusted
            | Status::Disabled
            | Status::Invalid
            | Status::Detached => false,
        }
    }
}

/// Why a hook that an event matched did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotRun {
    /// The configuration disables it.
    Disabled,
    /// This content is not trusted, or changed since it was.
    Untrusted,
    /// It must not run as it stands: another owner, a mode that lets others write, a policy.
    Refused,
    /// Its part of the configuration has an error.
    InvalidConfig,
    /// A rule, an earlier stop, the caller's environment, or the hook itself skipped it.
    Skipped,
    /// It runs later, without the emitter.
    Deferred,
}

impl NotRun {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            NotRun::Disabled => "disabled",
            NotRun::Untrusted => "untrusted",
            NotRun::Refused => "refused",
            NotRun::InvalidConfig => "invalid_config",
            NotRun::Skipped => "skipped",
            NotRun::Deferred => "deferred",
        }
    }
}

/// What skipped a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkippedBy {
    /// An earlier hook failed with `fail_mode: stop`.
    Stop,
    /// A signal ended knockon.
    Interrupt,
    /// Its event became part of another run (`coalesce`).
    Joined,
    /// Its group is busy (`on_busy`).
    Group,
    /// The hook itself: exit 77, or `status: skip` in its answer.
    Hook,
    /// `KNOCKON=0` or `KNOCKON_SKIP`.
    Environment,
    /// Too many events caused each other.
    Chain,
    /// Its action is not supported by this version.
    Unsupported,
}

impl SkippedBy {
    /// The word in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            SkippedBy::Stop => "stop",
            SkippedBy::Interrupt => "interrupt",
            SkippedBy::Joined => "joined",
            SkippedBy::Group => "group",
            SkippedBy::Hook => "hook",
            SkippedBy::Environment => "environment",
            SkippedBy::Chain => "chain",
            SkippedBy::Unsupported => "unsupported",
        }
    }

    /// Whether the content that was reviewed decided so: the hook was not needed.
    pub(super) fn is_intended(self) -> bool {
        match self {
            SkippedBy::Joined | SkippedBy::Group | SkippedBy::Hook => true,
            SkippedBy::Stop
            | SkippedBy::Interrupt
            | SkippedBy::Environment
            | SkippedBy::Chain
            | SkippedBy::Unsupported => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
