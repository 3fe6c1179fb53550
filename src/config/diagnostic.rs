//! How a problem of a configuration file is told: where, what, and what to do.

use super::tree::Span;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// It disables one hook, or all hooks of the file: see [`Diagnostic::hook`].
    Error,
    /// Everything works; it may not be what was meant.
    Warning,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One problem of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name for this kind of problem, such as `unknown-key`.
    pub code: Cow<'static, str>,
    /// The one hook that an error disables; without it an error disables all hooks of the file.
    pub hook: Option<String>,
    /// The file.
    pub path: PathBuf,
    /// The place in the file; none when the file as a whole is at fault.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// A few words for the place itself, such as `unknown key`.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that belong to it.
    pub related: Vec<Related>,
}

/// Another place that belongs to a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// The file.
    pub path: PathBuf,
    /// The place in the file.
    pub span: Span,
    /// What is there.
    pub message: String,
}

impl Diagnostic {
    /// An error at a place of `path`.
    pub fn error(path: &Path, span: Option<Span>, code: &'static str, message: impl Into<String>) -> Self {
        let (path, message) = (path.to_owned(), message.into());
        let (severity, code) = (Severity::Error, Cow::Borrowed(code));
        Diagnostic { severity, code, hook: None, path, span, message, label: None, help: None, related: Vec::new() }
    }

    /// A warning at a place of `path`.
    pub fn warning(path: &Path, span: Option<Span>, code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Self::error(path, span, code, message) }
    }

    /// The same with a help text.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Diagnostic {
    /// The code of an error about `inherit`: the outer hooks are missing, and those of the file itself run.
    pub const NOTHING_TO_INHERIT: &str = "nothing-to-inherit";

    /// The code of the note that says how many problems are not shown.
    pub const MORE_PROBLEMS: &str = "more-problems";
    /// The code of a warning about a file that is not included, because the configuration is not trusted.
    pub const NOT_INCLUDED: &str = "not-included";

    /// Whether it is an error of a whole file and of no single hook.
    pub fn is_of_whole_file(&self) -> bool {
        self.severity == Severity::Error && self.hook.is_none()
    }

    /// Whether it disables all hooks of its file.
    pub fn disables_file(&self) -> bool {
        self.is_of_whole_file() && self.code != Self::NOTHING_TO_INHERIT
    }

    /// What is ordered by: errors first, then file by file in the order things stand.
    pub fn rank(&self) -> (Severity, &Path, Option<Span>) {
        (self.severity, &self.path, self.span)
    }
}

impl fmt::Display for Diagnostic {
    /// `path:line:column: message; help`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(span) = self.span {
            write!(f, "{}:{}:", span.line, span.column)?;
        }
        write!(f, " {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}
