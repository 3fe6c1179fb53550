//! One entry under `events`, read: a glob over the type, a filter, globs over files.

use super::files::FileGlobs;
use super::filter::Filter;
use super::glob::TypeGlob;
use crate::config::{ConfigFile, Diagnostic, EventMatcher};
use crate::event::Event;
use crate::json::Json;
use std::fmt;

/// What one entry under `events` asks of an event. All of it must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Of its type.
    pub kind: TypeGlob,
    /// Of its fields.
    pub filter: Filter,
    /// Of the paths of its artifacts.
    pub files: Option<FileGlobs>,
}

impl Rule {
    /// Reads an entry; what cannot be understood is told in `problems`.
    pub fn compile(file: &ConfigFile, matcher: &EventMatcher, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let name = &matcher.pattern;
        let kind = TypeGlob::parse(&name.name).map_err(|invalid| {
            let span = if name.name.is_empty() { name.span } else { name.span.inside(&name.name, invalid.at) };
            problems.push(Diagnostic::error(file.path_of(span), Some(span), "bad-glob", invalid.to_string()));
        });
        let impossible = super::reachable::why_impossible(&name.name).filter(|_| kind.is_ok());
        if let Some((message, write)) = &impossible {
            let mut problem =
                Diagnostic::error(file.path_of(name.span), Some(name.span), "impossible-type", message.as_str());
            problem.help = write.as_ref().map(|write| format!("write `{write}`"));
            problems.push(problem);
        }
        let path = file.path_of(name.span);
        let filter = Filter::compile(path, &matcher.filter, problems);
        let files =
            FileGlobs::parse(matcher.files.iter().map(|glob| glob.name.as_str())).map_err(|(index, invalid)| {
                let glob = &matcher.files[index];
                let span = glob.span.inside(&glob.name, invalid.at);
                problems.push(Diagnostic::error(file.path_of(span), Some(span), "bad-glob", invalid.to_string()));
            });
        // Without them it would be for any file: better for none.
        let files = files.ok();
        let nested = file.inherited.as_ref();
        Some(Rule {
            kind: kind.ok().filter(|_| impossible.is_none())?,
            filter: filter?,
            files: Some(files?).filter(|_| !matcher.files.is_empty()).map(|files| match nested {
                Some(nested) => files.for_nested(&nested.below),
                None => files,
            }),
        })
    }

    /// Whether an event fulfils it, found out step by step, without an index.
    pub fn holds(&self, event: &Event) -> bool {
        self.kind.matches(event.kind().as_str()) && self.holds_apart_from_type(event.json())
    }

    pub(super) fn holds_apart_from_type(&self, event: Json<'_>) -> bool {
        self.filter.holds(event) && self.files.as_ref().is_none_or(|files| files.hold(event))
    }
}

impl fmt::Display for Rule {
    /// `task.* with priority is "high", and files src/**`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if !self.filter.is_empty() {
            write!(f, " with {}", self.filter)?;
        }
        match &self.files {
            Some(files) => write!(f, " and files {files}"),
            None => Ok(()),
        }
    }
}
