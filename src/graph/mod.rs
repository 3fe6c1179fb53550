//! A picture of a configuration: events → hooks → the hooks that wait for them.
//!
//! `layout` gives every node a place, `svg` draws it as a page that needs nothing else, `mermaid` writes it
//! as text that GitHub and editors draw. Names come from a file that nobody may have read: each is escaped.

mod layout;
mod mermaid;
mod svg;

use std::collections::BTreeSet;

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The heading.
    pub title: String,
    /// The hooks, in the order they run.
    pub hooks: Vec<HookNode>,
}

/// A hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookNode {
    /// Its name.
    pub name: String,
    /// What it does, such as `script run-tests.sh`.
    pub action: String,
    /// Whether it takes part.
    pub enabled: bool,
    /// Whether its failure stops the caller.
    pub stops: bool,
    /// The events it is for.
    pub events: Vec<EventEdge>,
    /// The names of the hooks it waits for.
    pub after: Vec<String>,
}

/// An event that a hook is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventEdge {
    /// The glob over the event's type.
    pub pattern: String,
    /// Whether the hook asks for more than the type.
    pub filtered: bool,
}

impl Graph {
    /// The picture as text for Mermaid.
    pub fn mermaid(&self) -> String {
        mermaid::write(self)
    }

    /// The picture as an SVG document.
    pub fn svg(&self) -> String {
        svg::write(self)
    }

    /// Every pattern once, in the order of the hooks.
    fn patterns(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let edges = self.hooks.iter().flat_map(|hook| &hook.events);
        edges.map(|edge| edge.pattern.as_str()).filter(|pattern| seen.insert(*pattern)).collect()
    }

    /// The number of the hook with this name.
    fn find(&self, name: &str) -> Option<usize> {
        self.hooks.iter().position(|hook| hook.name == name)
    }
}
