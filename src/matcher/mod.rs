//! Which hooks an event triggers, and why.
//!
//! `glob` matches event types, `field` looks values up in an event, `operator` holds what a filter can
//! ask of a value, `filter` joins them. [`Matcher::compile`] reads all hooks once; what it returns is
//! immutable and decides without I/O.

mod field;
mod filter;
mod glob;
mod operator;

pub use glob::{InvalidGlob, TypeGlob};
pub use operator::Operator;

use crate::config::{Diagnostic, EventMatcher, Loaded};
use crate::event::Event;
use filter::Filter;
use std::path::Path;

/// All enabled hooks in a form that is quick to ask.
#[derive(Debug)]
pub struct Matcher {
    rules: Vec<Rule>,
}

/// One hook.
#[derive(Debug)]
struct Rule {
    hook: usize,
    /// OR between them.
    alternatives: Vec<(TypeGlob, Filter)>,
}

/// A hook that an event triggers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index into [`Loaded::hooks`].
    pub hook: usize,
    /// The first of the hook's event matchers that holds, as written.
    pub reason: String,
}

impl Matcher {
    /// Reads the matchers of every enabled hook of `loaded`. When one cannot be understood, the hooks of
    /// its whole file are off, as for every other error in a file; the second part tells.
    pub fn compile(loaded: &Loaded) -> (Self, Vec<Diagnostic>) {
        let mut rules = Vec::new();
        let mut problems = Vec::new();
        let mut broken = vec![false; loaded.files.len()];
        for (index, loaded_hook) in loaded.hooks.iter().enumerate() {
            let path = &loaded.file_of(loaded_hook).path;
            let before = problems.len();
            let alternatives: Vec<_> = loaded_hook
                .hook
                .events
                .iter()
                .filter_map(|matcher| compile_one(path, matcher, &mut problems))
                .collect();
            broken[loaded_hook.file] |= problems.len() > before;
            if loaded_hook.hook.enabled {
                rules.push(Rule { hook: index, alternatives });
            }
        }
        rules.retain(|rule| !broken[loaded.hooks[rule.hook].file]);
        (Matcher { rules }, problems)
    }

    /// The hooks that `event` triggers, in file order, each at most once.
    pub fn matches(&self, event: &Event) -> Vec<Match> {
        let json = event.json();
        let kind = event.kind().as_str();
        let context = json.get("context");
        self.rules
            .iter()
            .filter_map(|rule| {
                let held = rule
                    .alternatives
                    .iter()
                    .find(|(glob, filter)| glob.matches(kind) && filter.holds(json, context))?;
                Some(Match { hook: rule.hook, reason: format!("{}{}", held.0, held.1) })
            })
            .collect()
    }
}

fn compile_one(path: &Path, matcher: &EventMatcher, problems: &mut Vec<Diagnostic>) -> Option<(TypeGlob, Filter)> {
    let glob = TypeGlob::parse(&matcher.pattern.name).map_err(|invalid| {
        let mut span = matcher.pattern.span;
        // The place within the text, behind the quote when it is quoted and has no escapes.
        let quoted = span.length == matcher.pattern.name.chars().count() + 2;
        span.column += invalid.at + usize::from(quoted);
        span.length = 1;
        problems.push(Diagnostic::error(path, Some(span), "bad-glob", invalid.to_string()));
    });
    let filter = Filter::compile(path, &matcher.filter, problems);
    Some((glob.ok()?, filter?))
}
