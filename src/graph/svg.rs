//! The graph as an SVG document that needs nothing else: no script, no font, no picture from elsewhere.

use super::Graph;
use super::layout::{EVENT, HOOK, Layout, MARGIN, place};
use crate::text::{count, one_line, shorten};
use std::fmt::Write;

/// Colours for a light and a dark background.
const STYLE: &str = "
:root{--page:#fbfbfd;--ink:#1d2330;--soft:#667085;--line:#98a2b3;--event:#e8eefc;--event-edge:#4f6bd8;--hook:#fff;--hook-edge:#c3cad8;--stop:#c4473a;--after:#0f8a6d}
@media(prefers-color-scheme:dark){:root{--page:#12151c;--ink:#e7eaf2;--soft:#98a2b3;--line:#5b6579;--event:#1d2a4d;--event-edge:#7f9cff;--hook:#1b202b;--hook-edge:#3a4356;--stop:#ff8d80;--after:#3fcfa9}}
.page{fill:var(--page)}text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',sans-serif;fill:var(--ink)}
.title{font-size:19px;font-weight:650}.soft{font-size:12px;fill:var(--soft)}.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.event rect{fill:var(--event);stroke:var(--event-edge)}.event text{font-size:13px}
.hook rect{fill:var(--hook);stroke:var(--hook-edge)}.hook .name{font-size:14px;font-weight:600}.stop rect{stroke:var(--stop)}.badge{font-size:11px;fill:var(--stop)}
.off{opacity:.45}.off rect{stroke-dasharray:5 4}
path{fill:none;stroke:var(--line);stroke-width:1.6}.filtered{stroke-dasharray:5 4}.after{stroke:var(--after);stroke-width:2.2}
marker path{stroke:none;fill:var(--line)}marker.to-hook path{fill:var(--after)}
";

fn escape(text: &str) -> String {
    one_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writes the document.
pub(super) fn write(graph: &Graph) -> String {
    let layout = place(graph);
    let (width, height) = layout.size;
    let mut out = String::new();
    let hooks = count(graph.hooks.len(), "hook");
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-labelledby=\"t d\">\n\
         <title id=\"t\">{}</title>\n<desc id=\"d\">Events on the left, the {hooks} they trigger on the right.</desc>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker>\
         <marker id=\"b\" class=\"to-hook\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"6\" markerHeight=\"6\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker></defs>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n<text class=\"title\" x=\"{MARGIN}\" y=\"40\">{}</text>\n",
        escape(&graph.title),
        escape(&shorten(&graph.title, 60)),
    );
    let legend = if graph.hooks.is_empty() {
        "There are no hooks yet."
    } else {
        "dashed line: with a filter · dashed box: switched off · red box: stops the caller when it fails · green: runs after"
    };
    let _ = writeln!(out, "<text class=\"soft\" x=\"{MARGIN}\" y=\"62\">{legend}</text>");
    edges(graph, &layout, &mut out);
    for (pattern, (x, y)) in graph.patterns().iter().zip(&layout.events) {
        let _ = writeln!(
            out,
            "<g class=\"event\"><title>{0}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{1}\" height=\"{2}\" rx=\"17\"/><text class=\"mono\" x=\"{3:.1}\" y=\"{4:.1}\" text-anchor=\"middle\">{5}</text></g>",
            escape(pattern),
            EVENT.0,
            EVENT.1,
            x + EVENT.0 / 2.0,
            y + 21.5,
            escape(&shorten(pattern, 22)),
        );
    }
    for (hook, (x, y)) in graph.hooks.iter().zip(&layout.hooks) {
        let class = match (hook.enabled, hook.stops) {
            (true, true) => "hook stop",
            (true, false) => "hook",
            (false, _) => "hook off",
        };
        let badge = match (hook.enabled, hook.stops) {
            (false, _) => "off",
            (true, true) => "stop",
            (true, false) => "",
        };
        let _ = writeln!(
            out,
            "<g class=\"{class}\"><title>{0}: {1}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{2}\" height=\"{3}\" rx=\"9\"/><text class=\"name\" x=\"{4:.1}\" y=\"{5:.1}\">{6}</text><text class=\"soft mono\" x=\"{4:.1}\" y=\"{7:.1}\">{8}</text><text class=\"badge\" x=\"{9:.1}\" y=\"{5:.1}\" text-anchor=\"end\">{badge}</text></g>",
            escape(&hook.name),
            escape(&hook.action),
            HOOK.0,
            HOOK.1,
            x + 14.0,
            y + 22.0,
            escape(&shorten(&hook.name, 24)),
            y + 40.0,
            escape(&shorten(&hook.action, 30)),
            x + HOOK.0 - 12.0,
        );
    }
    out.push_str("</svg>\n");
    out
}

fn edges(graph: &Graph, layout: &Layout, out: &mut String) {
    let patterns = graph.patterns();
    let mut curve = |class: &str, marker: &str, from: (f64, f64), to: (f64, f64)| {
        // At least this much bend, also for a line that goes back.
        let bend = ((to.0 - from.0) / 2.0).abs().max(40.0);
        let _ = writeln!(
            out,
            "<path class=\"{class}\" marker-end=\"url(#{marker})\" d=\"M{:.1} {:.1} C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}\"/>",
            from.0,
            from.1,
            from.0 + bend,
            from.1,
            to.0 - bend,
            to.1,
            to.0,
            to.1
        );
    };
    for (hook, (x, y)) in graph.hooks.iter().zip(&layout.hooks) {
        for edge in &hook.events {
            let Some(event) = patterns.iter().position(|pattern| *pattern == edge.pattern) else { continue };
            let (event_x, event_y) = layout.events[event];
            let class = if edge.filtered { "filtered" } else { "plain" };
            curve(class, "a", (event_x + EVENT.0, event_y + EVENT.1 / 2.0), (x - 1.0, y + HOOK.1 / 2.0));
        }
        for before in hook.after.iter().filter_map(|name| graph.find(name)) {
            let (before_x, before_y) = layout.hooks[before];
            curve("after", "b", (before_x + HOOK.0, before_y + HOOK.1 / 2.0), (x - 1.0, y + HOOK.1 / 2.0 - 8.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EventEdge, HookNode};
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        let hook = HookNode {
            name: "\"><script>alert(1)</script>".into(),
            action: "a & b \u{202e}".into(),
            enabled: true,
            events: vec![EventEdge { pattern: "<x>".into(), filtered: true }],
            ..HookNode::default()
        };
        let svg = Graph { title: "<t>".into(), hooks: vec![hook] }.svg();
        assert!(!svg.contains("<script") && !svg.contains('\u{202e}') && svg.contains("&lt;script&gt;"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(Graph::default().svg().contains("There are no hooks yet."));
    }
}
