//! Places for the nodes: events in the first column, hooks behind them, each behind those it waits for.

use super::Graph;
use std::collections::HashMap;

/// The size of a node, and the room between them, in pixels.
pub(super) const EVENT: (f64, f64) = (190.0, 34.0);
pub(super) const HOOK: (f64, f64) = (250.0, 52.0);
const COLUMN_GAP: f64 = 110.0;
const ROW_GAP: f64 = 18.0;
pub(super) const MARGIN: f64 = 32.0;
/// Room for the heading.
const TOP: f64 = 84.0;

/// Where everything is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// The upper left corner of each event, in the order of [`Graph::patterns`].
    pub(super) events: Vec<(f64, f64)>,
    /// That of each hook.
    pub(super) hooks: Vec<(f64, f64)>,
    /// The size of the whole.
    pub(super) size: (f64, f64),
}

/// Places every node.
pub(super) fn place(graph: &Graph) -> Layout {
    let patterns = graph.patterns();
    let columns = columns(graph);
    let last = columns.iter().copied().max().unwrap_or(0);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
    for (hook, column) in columns.iter().enumerate() {
        order[*column].push(hook);
    }
    // The rows so far, as numbers to take the mean of: a node near its neighbours crosses fewer lines.
    let mut event_rows: Vec<f64> = (0..patterns.len()).map(|row| row as f64).collect();
    let mut hook_rows: Vec<f64> = vec![0.0; graph.hooks.len()];
    for hooks in &order {
        for (row, hook) in hooks.iter().enumerate() {
            hook_rows[*hook] = row as f64;
        }
    }
    let event_of = |pattern: &str| patterns.iter().position(|known| *known == pattern);
    for _ in 0..4 {
        for hooks in &mut order {
            let mean = |hook: &usize| {
                let node = &graph.hooks[*hook];
                let events =
                    node.events.iter().filter_map(|edge| event_of(&edge.pattern)).map(|event| event_rows[event]);
                let before = node.after.iter().filter_map(|name| graph.find(name)).map(|before| hook_rows[before]);
                average(events.chain(before)).unwrap_or(hook_rows[*hook])
            };
            let mut means: Vec<(f64, usize)> = hooks.iter().map(|hook| (mean(hook), *hook)).collect();
            means.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            *hooks = means.into_iter().map(|(_, hook)| hook).collect();
            for (row, hook) in hooks.iter().enumerate() {
                hook_rows[*hook] = row as f64;
            }
        }
        let mut means: Vec<(f64, usize)> = (0..patterns.len())
            .map(|event| {
                let mine = graph
                    .hooks
                    .iter()
                    .enumerate()
                    .filter(|(_, hook)| hook.events.iter().any(|edge| edge.pattern == patterns[event]));
                (average(mine.map(|(hook, _)| hook_rows[hook])).unwrap_or(event_rows[event]), event)
            })
            .collect();
        means.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (row, (_, event)) in means.into_iter().enumerate() {
            event_rows[event] = row as f64;
        }
    }
    let tallest = order.iter().map(|hooks| hooks.len() as f64 * (HOOK.1 + ROW_GAP)).fold(0.0, f64::max);
    let tallest = tallest.max(patterns.len() as f64 * (EVENT.1 + ROW_GAP));
    let middle = |count: usize, height: f64| TOP + (tallest - count as f64 * (height + ROW_GAP)) / 2.0;
    let events =
        event_rows.iter().map(|row| (MARGIN, middle(patterns.len(), EVENT.1) + row * (EVENT.1 + ROW_GAP))).collect();
    let mut hooks = vec![(0.0, 0.0); graph.hooks.len()];
    for (column, members) in order.iter().enumerate() {
        let x = MARGIN + EVENT.0 + COLUMN_GAP + column as f64 * (HOOK.0 + COLUMN_GAP);
        for (row, hook) in members.iter().enumerate() {
            hooks[*hook] = (x, middle(members.len(), HOOK.1) + row as f64 * (HOOK.1 + ROW_GAP));
        }
    }
    let width = MARGIN * 2.0 + EVENT.0 + (last + 1) as f64 * (HOOK.0 + COLUMN_GAP);
    Layout { events, hooks, size: (width, TOP + tallest.max(80.0) + MARGIN) }
}

fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// How many hooks a hook has to wait for, one after the other. What waits for itself stays in the first column.
fn columns(graph: &Graph) -> Vec<usize> {
    let by_name: HashMap<&str, usize> =
        graph.hooks.iter().enumerate().map(|(at, hook)| (hook.name.as_str(), at)).collect();
    let mut awaited_by: Vec<Vec<usize>> = vec![Vec::new(); graph.hooks.len()];
    let mut open = vec![0_usize; graph.hooks.len()];
    for (at, hook) in graph.hooks.iter().enumerate() {
        for before in hook.after.iter().filter_map(|name| by_name.get(name.as_str())) {
            awaited_by[*before].push(at);
            open[at] += 1;
        }
    }
    let mut columns = vec![0; graph.hooks.len()];
    let mut ready: Vec<usize> = (0..open.len()).filter(|at| open[*at] == 0).collect();
    while let Some(before) = ready.pop() {
        for at in &awaited_by[before] {
            columns[*at] = columns[*at].max(columns[before] + 1);
            open[*at] -= 1;
            if open[*at] == 0 {
                ready.push(*at);
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::super::{EventEdge, HookNode};
    use super::*;
    use proptest::prelude::*;

    fn graph(edges: &[(Vec<u8>, Vec<u8>)]) -> Graph {
        let hooks = edges.iter().enumerate().map(|(at, (events, after))| HookNode {
            name: format!("h{at}"),
            events: events.iter().map(|event| EventEdge { pattern: format!("e{event}"), filtered: false }).collect(),
            after: after.iter().map(|before| format!("h{before}")).collect(),
            ..HookNode::default()
        });
        Graph { title: String::new(), hooks: hooks.collect() }
    }

    proptest! {
        /// Whatever waits for whatever, circles included.
        #[test]
        fn no_two_boxes_overlap(edges in proptest::collection::vec(
            (proptest::collection::vec(0..6u8, 1..3), proptest::collection::vec(0..12u8, 0..3)), 0..14)) {
            let graph = graph(&edges);
            let layout = place(&graph);
            let events = layout.events.iter().map(|at| (*at, EVENT));
            let boxes: Vec<_> = events.chain(layout.hooks.iter().map(|at| (*at, HOOK))).collect();
            for (index, ((x, y), (width, height))) in boxes.iter().enumerate() {
                prop_assert!(*x >= 0.0 && x + width <= layout.size.0 && *y >= 0.0 && y + height <= layout.size.1);
                for ((other_x, other_y), (other_width, other_height)) in &boxes[..index] {
                    let apart = x + width <= *other_x || other_x + other_width <= *x
                        || y + height <= *other_y || other_y + other_height <= *y;
                    prop_assert!(apart, "{layout:?}");
                }
            }
        }
    }

    #[test]
    fn a_hook_is_behind_those_it_waits_for() {
        let layout = place(&graph(&[(vec![0], vec![]), (vec![0], vec![0]), (vec![1], vec![1, 0])]));
        assert!(layout.hooks[0].0 < layout.hooks[1].0 && layout.hooks[1].0 < layout.hooks[2].0);
    }
}
