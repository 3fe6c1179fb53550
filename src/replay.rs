//! Runs hooks again with events of the past, from the audit log's own record of them.

use crate::audit::{AuditError, Entry};
use crate::delivery::Occasion;
use crate::dispatch::Watcher;
use crate::emitter::{EmitReport, Emitter};
use crate::event::{Event, EventId};
use crate::matcher::Match;
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// What the log knows about one event.
#[derive(Debug)]
pub struct Past {
    /// The event, byte for byte.
    pub event: Event,
    /// Its hooks: how often each was tried, and whether it came to a good end.
    pub hooks: HashMap<String, (u32, bool)>,
}

impl Past {
    /// What the log knows about an event; nothing when it does not know it.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn of(emitter: &Emitter, id: EventId) -> Result<Option<Self>, AuditError> {
        let records = emitter.audit().of_event(id)?;
        let Some(event) = records.iter().find_map(event_of) else { return Ok(None) };
        let mut hooks: HashMap<String, (u32, bool)> = HashMap::new();
        for record in records.iter().filter(|record| !record.text("hook").is_empty()) {
            let (attempts, ended_well) = hooks.entry(record.text("hook").to_owned()).or_default();
            match record.text("status") {
                "started" => {
                    let attempt = record.number("attempt").map_or(0, |attempt| attempt.clamp(0.0, 1e6) as u32);
                    *attempts = (*attempts).max(attempt);
                    *ended_well = false;
                }
                // The word that it goes on alone may come after the word of how it ended.
                "detached" => *ended_well |= record.text("skipped_by") == "joined",
                "skipped" => *ended_well = !["stop", "interrupt"].contains(&record.text("skipped_by")),
                status => *ended_well = status == "success",
            }
        }
        Ok(Some(Past { event, hooks }))
    }

    /// The hooks that did not come to a good end and are switched on, in file order.
    pub fn unfinished(&self, emitter: &Emitter) -> Vec<usize> {
        let hooks = emitter.loaded().hooks.iter().enumerate();
        let unfinished = hooks.filter(|(_, hook)| {
            hook.hook.enabled && self.hooks.get(hook.hook.name.as_str()).is_some_and(|(_, ended_well)| !ended_well)
        });
        unfinished.map(|(index, _)| index).collect()
    }

    /// Runs hooks again with the event, whatever came of them before; attempts are counted on.
    pub fn retry(self, emitter: &Emitter, hooks: &[usize], watcher: Option<&dyn Watcher>) -> EmitReport {
        let name = |hook: usize| emitter.loaded().hooks[hook].hook.name.as_str();
        let tried = |hook: &usize| Some((*hook, self.hooks.get(name(*hook))?.0));
        let earlier: BTreeMap<usize, u32> = hooks.iter().filter_map(tried).collect();
        let matches: Vec<Match> = hooks.iter().map(|&hook| Match { hook, entry: None }).collect();
        emitter.deliver(self.event, &matches, occasion(emitter, "retry"), &earlier, watcher)
    }
}

/// An event of the log; nothing when it is not there, or was made by `knockon test`.
///
/// # Errors
/// The log cannot be read.
pub fn event(emitter: &Emitter, id: EventId) -> Result<Option<Event>, AuditError> {
    let records = emitter.audit().of_event(id)?;
    Ok(records.iter().filter(|record| !record.is_of_test()).find_map(event_of))
}

/// The events of the log from `since` until before `until`, oldest first.
///
/// # Errors
/// The log cannot be read.
pub fn events(emitter: &Emitter, since: Timestamp, until: Option<Timestamp>) -> Result<Vec<Event>, AuditError> {
    let until = until.map(|until| until.to_string());
    let mut events = Vec::new();
    emitter.audit().events_since(since, |record| {
        let in_time = until.as_ref().is_none_or(|until| record.text("timestamp") < until.as_str());
        if in_time && !record.is_of_test() {
            events.extend(event_of(&record));
        }
    })?;
    Ok(events)
}

/// Delivers an event of the past to the hooks that it triggers now, or to one of them.
pub fn replay(emitter: &Emitter, event: Event, only: Option<usize>, watcher: Option<&dyn Watcher>) -> EmitReport {
    let mut matches = emitter.matches(&event);
    matches.retain(|matched| only.is_none_or(|only| matched.hook == only));
    emitter.deliver(event, &matches, occasion(emitter, "replay"), &BTreeMap::new(), watcher)
}

fn event_of(record: &Entry) -> Option<Event> {
    Event::parse(record.event()?).ok()
}

fn occasion(emitter: &Emitter, source: &'static str) -> Occasion {
    Occasion { source, replay: true, attended: true, chain: emitter.chain(), ..Occasion::default() }
}
