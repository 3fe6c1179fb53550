//! Carries out stored deliveries: those of one owner, or what owners that are gone left behind.
//!
//! A delivery is settled when its hook is done. A process that is killed before leaves it to the next drain, which
//! begins it again: at least once, and at most three times.

use crate::audit::AuditRecord;
use crate::config::Hook;
use crate::delivery::{Occasion, Outcome, Status, Stream};
use crate::dispatch::{HookReport, Watcher};
use crate::emitter::{EmitReport, Emitter, EmitterOptions};
use crate::event::Event;
use crate::matcher::Match;
use crate::project::{Project, UserFolders};
use crate::store::{Outbox, Owner, Queued, StoreError};
use crate::sys::Interrupts;
use crate::time::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How often a wait looks whether this process was told to end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is carried out.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// What this process was started for. It holds the lock of that name.
    Owner(&'a str),
    /// What was left behind in one project.
    Project(&'a Path),
    /// What was left behind anywhere.
    All,
}

/// What a drain did.
#[derive(Debug, Default)]
pub struct Drained {
    /// What became of the deliveries, by event.
    pub reports: Vec<EmitReport>,
    /// Deliveries that are given up, or cannot be carried out any more: the hook and why.
    pub given_up: Vec<(String, String)>,
    /// How many deliveries other processes carry out at the moment.
    pub under_way: usize,
}

/// Carries out what is in `scope`. Output and endings are told to `watcher`.
///
/// # Errors
/// The store cannot be used.
pub fn drain(user: &UserFolders, scope: Scope<'_>, watcher: Option<&dyn Watcher>) -> Result<Drained, StoreError> {
    let mut outbox = Outbox::open(user)?;
    let mut drained = Drained::default();
    let (owner, mut waiting) = match scope {
        Scope::Owner(name) => (None, outbox.of_owner(name)?),
        Scope::Project(_) | Scope::All => {
            let project = if let Scope::Project(project) = scope { Some(project) } else { None };
            let owner = outbox.new_owner()?;
            let waiting = outbox.take_over(project, &owner)?;
            drained.under_way = outbox.under_way(project)?.saturating_sub(waiting.len());
            (Some(owner), waiting)
        }
    };
    let outbox = RefCell::new(outbox);
    let drain = Drain { user, outbox: &outbox, watcher, interrupts: Interrupts::open().ok() };
    waiting.reverse();
    while let Some(first) = waiting.pop() {
        if !drain.wait_until(first.due) {
            break;
        }
        let mut batch = vec![first];
        while let Some(next) = waiting.pop_if(|next| batch.iter().all(|queued| goes_with(queued, next))) {
            batch.push(next);
        }
        if !drain.carry_out(batch, &mut drained)? {
            break;
        }
    }
    match (&owner, scope) {
        (Some(Owner { name, .. }), _) => outbox.borrow().retire(name),
        (None, Scope::Owner(name)) => outbox.borrow().retire(name),
        (None, Scope::Project(_) | Scope::All) => {}
    }
    Ok(drained)
}

/// Whether two deliveries can be carried out as one event's.
fn goes_with(queued: &Queued, next: &Queued) -> bool {
    queued.key == next.key
        && queued.event_id == next.event_id
        && (queued.events, next.events) == (None, None)
        && queued.begun == next.begun
}

/// One drain on its way.
struct Drain<'a> {
    user: &'a UserFolders,
    outbox: &'a RefCell<Outbox>,
    watcher: Option<&'a dyn Watcher>,
    interrupts: Option<Interrupts>,
}

impl Drain<'_> {
    /// Waits until a delivery is due; false when this process was told to end before.
    fn wait_until(&self, due: Timestamp) -> bool {
        loop {
            let left = Duration::from_millis(due.as_millis().saturating_sub(Timestamp::now().as_millis()));
            if self.interrupts.as_ref().and_then(Interrupts::take).is_some() {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
    }

    /// Carries out deliveries of one event. Returns whether to go on.
    fn carry_out(&self, batch: Vec<Queued>, drained: &mut Drained) -> Result<bool, StoreError> {
        let Some(first) = batch.first() else { return Ok(true) };
        let key = first.key.clone();
        let emitter = match Project::at(&key.project) {
            Ok(project) => {
                let options = EmitterOptions {
                    config: key.config.clone(),
                    trust_hash: key.trust_hash.as_ref().and_then(|hash| hash.parse().ok()),
                    interrupts: Interrupts::open().ok(),
                    ..EmitterOptions::default()
                };
                Emitter::open(project, self.user, options)
            }
            Err(error) => {
                for queued in batch {
                    let why = format!("the project {} is gone: {error}", key.project.display());
                    self.outbox.borrow_mut().settle(queued.id)?;
                    drained.given_up.push((queued.hook, why));
                }
                return Ok(true);
            }
        };
        let mut run: Option<(Event, Occasion)> = None;
        let (mut matches, mut ids, mut earlier) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for queued in batch {
            // As it is now: a coalesced run has the last event.
            let Some(now) = self.outbox.borrow_mut().begin(&queued)? else { continue };
            let Ok(event) = Event::parse(now.event) else {
                self.outbox.borrow_mut().settle(queued.id)?;
                drained.given_up.push((queued.hook, "what was stored is no event".into()));
                continue;
            };
            let hook = find(&emitter, &queued);
            let trouble = match hook {
                _ if queued.is_spent() => {
                    Some(format!("given up: it was begun {} times, and cut short each time", queued.begun))
                }
                None => Some(format!("the hook is no longer in {}", queued.file.display())),
                Some(_) => None,
            };
            if let Some(why) = trouble {
                let record = AuditRecord::given_up(&event, &queued.hook, &why, Timestamp::now());
                // What cannot be recorded is told all the same.
                let _ = emitter.audit().append(&record);
                self.outbox.borrow_mut().settle(queued.id)?;
                drained.given_up.push((queued.hook, why));
                continue;
            }
            let Some(hook) = hook else { continue };
            let source = if queued.begun == 0 { source_of(&queued.source) } else { "drain" };
            let occasion = Occasion {
                source,
                replay: queued.begun > 0,
                chain: queued.chain,
                coalesced: now.events,
                attended: true,
                due: Some(queued.due),
                trace: None,
            };
            matches.push(Match { hook, entry: None });
            ids.insert(queued.hook.clone(), queued.id);
            earlier.insert(hook, queued.begun);
            run.get_or_insert((event, occasion));
        }
        let Some((event, occasion)) = run else { return Ok(true) };
        let settling = Settling { outbox: self.outbox, ids, watcher: self.watcher };
        let report = emitter.deliver(event, &matches, occasion, &earlier, Some(&settling));
        let go_on = report.interrupted().is_none();
        if go_on {
            for id in settling.ids.values() {
                self.outbox.borrow_mut().settle(*id)?;
            }
        }
        drained.reports.push(report);
        Ok(go_on)
    }
}

/// The hook of a delivery, as the configuration is now.
fn find(emitter: &Emitter, queued: &Queued) -> Option<usize> {
    let loaded = emitter.loaded();
    loaded
        .hooks
        .iter()
        .position(|hook| hook.hook.name.as_str() == queued.hook && loaded.file_of(hook).path == queued.file)
}

/// The word for what emitted an event, as hooks are told.
fn source_of(stored: &str) -> &'static str {
    let known = ["emit", "run", "library", "hook", "replay", "retry"];
    known.into_iter().find(|word| *word == stored).unwrap_or("drain")
}

/// Settles each delivery as soon as its hook is done.
struct Settling<'a> {
    outbox: &'a RefCell<Outbox>,
    ids: BTreeMap<String, i64>,
    watcher: Option<&'a dyn Watcher>,
}

impl Watcher for Settling<'_> {
    fn begins(&self, event: &Event) {
        if let Some(watcher) = self.watcher {
            watcher.begins(event);
        }
    }

    fn started(&self, hook: &Hook, attempt: u32) {
        if let Some(watcher) = self.watcher {
            watcher.started(hook, attempt);
        }
    }

    fn output(&self, hook: &Hook, stream: Stream, bytes: &[u8]) {
        if let Some(watcher) = self.watcher {
            watcher.output(hook, stream, bytes);
        }
    }

    fn ended(&self, hook: &Hook, attempt: u32, outcome: &Outcome) {
        if let Some(watcher) = self.watcher {
            watcher.ended(hook, attempt, outcome);
        }
    }

    fn settled(&self, report: &HookReport) {
        let done = match report.outcome.status {
            Status::Success
            | Status::Failed
            | Status::Timeout
            | Status::Error
            | Status::BlockedUntrusted
            | Status::Disabled
            | Status::Invalid => true,
            // It did not come to its end; whether that was because this process is told to end is known later.
            Status::Skipped | Status::Interrupted | Status::Detached => false,
        };
        if let Some(id) = self.ids.get(&report.name).filter(|_| done) {
            // A delivery that cannot be settled is begun again: at least once.
            let _ = self.outbox.borrow_mut().settle(*id);
        }
    }
}
