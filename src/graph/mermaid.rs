//! The graph as a Mermaid flowchart.

use super::Graph;
use crate::text::one_line;
use std::fmt::Write;

/// A label in quotes; entity codes for what would end it or begin a tag.
fn label(text: &str) -> String {
    let mut out = String::new();
    for character in one_line(text).chars() {
        match character {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '`' => out.push_str("#96;"),
            other => out.push(other),
        }
    }
    out
}

/// Writes the flowchart.
pub(super) fn write(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    let patterns = graph.patterns();
    // Writing to a String cannot fail.
    for (number, pattern) in patterns.iter().enumerate() {
        let _ = writeln!(out, "  e{number}([\"{}\"])", label(pattern));
    }
    for (number, hook) in graph.hooks.iter().enumerate() {
        let state = if hook.enabled { "" } else { " (off)" };
        let stop = if hook.stops { " ⛔" } else { "" };
        let _ = writeln!(out, "  h{number}[\"{}{state}{stop}<br/>{}\"]", label(&hook.name), label(&hook.action));
    }
    for (number, hook) in graph.hooks.iter().enumerate() {
        for edge in &hook.events {
            let Some(event) = patterns.iter().position(|pattern| *pattern == edge.pattern) else { continue };
            let arrow = if edge.filtered { "-. filter .->" } else { "-->" };
            let _ = writeln!(out, "  e{event} {arrow} h{number}");
        }
        for before in hook.after.iter().filter_map(|name| graph.find(name)) {
            let _ = writeln!(out, "  h{before} ==> h{number}");
        }
    }
    let off: Vec<String> =
        (0..graph.hooks.len()).filter(|at| !graph.hooks[*at].enabled).map(|at| format!("h{at}")).collect();
    if !off.is_empty() {
        let _ = writeln!(out, "  classDef off opacity:0.5,stroke-dasharray:4\n  class {} off", off.join(","));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{EventEdge, HookNode};
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_labels() {
        let hook = HookNode {
            name: "a\"]\nclick".into(),
            action: "<script>".into(),
            events: vec![EventEdge { pattern: "t.*".into(), filtered: true }],
            ..HookNode::default()
        };
        let text = Graph { title: String::new(), hooks: vec![hook] }.mermaid();
        assert_eq!(
            text,
            "flowchart LR\n  e0([\"t.*\"])\n  h0[\"a#quot;]␊click (off)<br/>#lt;script#gt;\"]\n  e0 -. filter .-> h0\n  classDef off opacity:0.5,stroke-dasharray:4\n  class h0 off\n"
        );
    }
}
