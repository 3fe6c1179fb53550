//! Which hooks an event triggers, and why.
//!
//! `rule` is one entry under `events`: `glob` over the type, `filter` of `condition`s on `field`s, `files`
//! over paths. `operator` holds what can be asked of one `value`, with `wildcard` and `cidr` beside it.
//! `index` keeps all rules so that an event meets few of them: `finder`, `keys` and `postings` find them,
//! `reading` reads the event once. `explain` says why a rule holds or not, `eventbridge`
//! writes one as a pattern for Amazon EventBridge.
//!
//! [`Matcher::compile`] reads all hooks once; what it returns is immutable and decides without I/O.

mod cidr;
mod condition;
mod eventbridge;
mod explain;
mod field;
mod files;
mod filter;
mod finder;
mod glob;
mod hash;
mod index;
mod keys;
mod operator;
mod postings;
mod reachable;
mod reading;
mod rule;
mod value;
mod wildcard;

pub use cidr::Cidr;
pub use condition::{Condition, Test};
pub use eventbridge::{Exported, export};
pub use explain::{Check, Explanation, explain};
pub use field::FieldPath;
pub use files::{FileGlobs, place_in};
pub use filter::{Filter, OR};
pub use finder::Finder;
pub use glob::{InvalidGlob, TypeGlob};
pub use index::{Hit, Index, IndexBuilder, StoredIndex};
pub use operator::{Comparison, Fault, OPERATORS, Operator, TextTest};
pub use postings::{Slot, probe};
pub use reachable::why_impossible;
pub use rule::Rule;
pub use value::{Leaf, Scalar};
pub use wildcard::{InvalidWildcard, Wildcard};

use crate::config::{Diagnostic, Loaded};
use crate::event::Event;
use std::collections::HashSet;

/// All hooks in a form that is quick to ask, disabled ones included: one that is disabled and would have been needed is
/// reported.
#[derive(Debug)]
pub struct Matcher {
    index: Index,
    broken: Vec<usize>,
}

/// A hook that an event triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index into [`Loaded::hooks`].
    pub hook: usize,
    /// Which of the hook's entries under `events` holds, the first of them; nothing when the hook was asked
    /// for by name.
    pub entry: Option<usize>,
}

impl Match {
    /// Why: the entry as it is understood.
    pub fn reason(&self, loaded: &Loaded) -> String {
        let loaded_hook = &loaded.hooks[self.hook];
        let entry = self.entry.and_then(|entry| loaded_hook.hook.events.get(entry));
        let rule = entry.and_then(|entry| Rule::compile(loaded.file_of(loaded_hook), entry, &mut Vec::new()));
        rule.map_or_else(|| "asked for by name".to_owned(), |rule| rule.to_string())
    }
}

impl Matcher {
    /// Reads the matchers of every hook of `loaded`. One that cannot be understood disables its hook; the second part
    /// says why.
    pub fn compile(loaded: &Loaded) -> (Self, Vec<Diagnostic>) {
        let (mut problems, mut broken) = (Vec::new(), Vec::new());
        let waits = reachable::waits_in_vain(loaded);
        let in_vain: HashSet<usize> = waits.iter().map(|(index, _)| *index).collect();
        let mut builder = IndexBuilder::default();
        for (index, loaded_hook) in loaded.hooks.iter().enumerate() {
            let (file, before) = (loaded.file_of(loaded_hook), problems.len());
            let entries = loaded_hook.hook.events.iter();
            let rules: Option<Vec<Rule>> = entries
                .map(|entry| Rule::compile(file, entry, &mut problems))
                .collect::<Vec<_>>()
                .into_iter()
                .collect();
            for problem in &mut problems[before..] {
                problem.hook = Some(loaded_hook.hook.name.to_string());
            }
            match rules {
                Some(rules) if !in_vain.contains(&index) => rules.into_iter().enumerate().for_each(|(entry, rule)| {
                    builder.add(reading::number(index), reading::number(entry), rule);
                }),
                _ => broken.push(index),
            }
        }
        for (index, mut problem) in waits {
            problem.hook = Some(loaded.hooks[index].hook.name.to_string());
            problems.push(problem);
        }
        (Matcher { index: builder.build(), broken }, problems)
    }

    /// The hooks that an error in their matchers disables: indexes into [`Loaded::hooks`].
    pub fn broken(&self) -> &[usize] {
        &self.broken
    }

    /// The hooks that `event` triggers, in file order, each at most once.
    pub fn matches(&self, event: &Event) -> Vec<Match> {
        let matched = |hit: Hit| Match { hook: hit.hook as usize, entry: Some(hit.entry as usize) };
        self.index.find(event).into_iter().map(matched).collect()
    }

    /// The compiled rules.
    pub fn index(&self) -> &Index {
        &self.index
    }
}
