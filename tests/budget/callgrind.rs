//! Reads what `valgrind --tool=callgrind` counted.
//!
//! The format is that of the valgrind manual, "Callgrind Format Specification": costs follow the name of their
//! function, and the line after `calls=` is the cost of what was called.

use std::collections::{BTreeMap, HashMap};

/// How many instructions there were, and how many in each function, without those that it called. Functions with less
/// than a thousandth of all are left out.
pub(crate) fn read(text: &str) -> (u64, BTreeMap<String, u64>) {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut costs: HashMap<&str, u64> = HashMap::new();
    let (mut function, mut of_called) = ("", false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            // A name is written once, and then stands for its number.
            let (number, known) = name.split_once(')').unwrap_or((name, ""));
            let known = known.trim();
            if !known.is_empty() {
                names.insert(number, known);
            }
            if line.starts_with("fn=") {
                function = number;
            }
        } else if line.starts_with("calls=") {
            of_called = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split_ascii_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if !std::mem::take(&mut of_called) {
                *costs.entry(function).or_default() += cost.unwrap_or(0);
            }
        }
    }
    let total: u64 = costs.values().sum();
    let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
    for (number, cost) in costs {
        let name = names.get(number).copied().unwrap_or("?");
        // Recursion is counted by depth: `name'2`.
        let name =
            name.rsplit_once('\'').filter(|(_, depth)| depth.parse::<u32>().is_ok()).map_or(name, |(name, _)| name);
        // Assembly has no names: memcpy of musl, the compression of BLAKE3.
        let name = if name.starts_with("0x") { "(assembly: memcpy, BLAKE3)" } else { name };
        *by_name.entry(name.to_owned()).or_default() += cost;
    }
    by_name.retain(|_, cost| *cost * 1000 >= total);
    (total, by_name)
}
