//! How an event is emitted: what its producer asks for, and what goes with it all the way.

#[cfg(doc)]
use super::EmitReport;
use crate::delivery::{MAX_CHAIN, Occasion};
use crate::dispatch::Watcher;
#[cfg(feature = "otel")]
use crate::telemetry::Spans;
use std::collections::BTreeMap;
use std::time::Instant;

/// How an event is emitted.
#[derive(Clone, Copy, Default)]
pub struct Emission<'a> {
    /// What emits it, as hooks are told (`HOOK_SOURCE`).
    pub source: &'static str,
    /// Who sees what happens while it happens.
    pub watcher: Option<&'a dyn Watcher>,
    /// Whether its producer asks for an acknowledgement: the event is on the disk before a hook runs, and
    /// [`EmitReport::not_stored`] says when it is not.
    pub durable: bool,
}

/// How many events led to this process; what is no number counts as too many.
pub(super) fn chain_of_this_process() -> u32 {
    let chain = std::env::var_os("KNOCKON_CHAIN");
    chain.map_or(0, |chain| chain.to_str().and_then(|chain| chain.parse().ok()).unwrap_or(MAX_CHAIN))
}

/// Everything about a delivery but the event and the hooks.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) occasion: Occasion,
    pub(super) watcher: Option<&'a dyn Watcher>,
    /// Whether the event has to be on the disk.
    pub(super) durable: bool,
    /// Since when its event is being made.
    pub(super) begun: Instant,
    /// How often hooks were tried with the event before.
    pub(super) earlier: &'a BTreeMap<usize, u32>,
    /// Where spans are collected, if they are.
    #[cfg(feature = "otel")]
    pub(super) spans: Option<&'a Spans>,
}

/// Nothing was tried before.
pub(super) const NEVER: &BTreeMap<usize, u32> = &BTreeMap::new();
