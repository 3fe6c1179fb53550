//! Hands an event to the hooks it matched: in order, trusted ones only, each step on record.

use crate::audit::{AuditError, AuditLog, AuditRecord};
use crate::config::{FailMode, Loaded, OutputMode};
use crate::delivery::{Delivery, Outcome, Status};
use crate::event::{ConversionError, Event, Versions};
use crate::matcher::Match;
use crate::project::Project;
use crate::runner::{CallerEnvironment, Runner};
use crate::sys::{Interrupts, Signal};
use crate::time::Timestamp;
use crate::trust::{ContentHash, Guard, TrustStore, Verdict};
use std::collections::BTreeMap;

/// How one hook fared.
#[derive(Clone, Debug)]
pub struct HookReport {
    /// The hook's name.
    pub name: String,
    /// What its failure means.
    pub fail_mode: FailMode,
    /// What of its output the terminal shows.
    pub output: OutputMode,
    /// Why it matched.
    pub reason: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// How all hooks of one event fared.
#[derive(Clone, Debug, Default)]
pub struct Dispatched {
    /// One report a matched hook, in file order.
    pub hooks: Vec<HookReport>,
    /// Why the project's hooks did not run, if they were kept from running.
    pub blocked: Option<Verdict>,
    /// The signal that ended it early.
    pub interrupted: Option<Signal>,
    /// What could not be put on record.
    pub unrecorded: Vec<String>,
}

/// What dispatching needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Dispatcher<'a> {
    /// The project.
    pub project: &'a Project,
    /// Its hooks.
    pub loaded: &'a Loaded,
    /// Where each step is recorded.
    pub audit: &'a AuditLog,
    /// What the user trusted.
    pub store: &'a TrustStore,
    /// The hash given for this run, instead of the store.
    pub given_hash: Option<&'a ContentHash>,
    /// The environment hooks get a part of.
    pub caller: &'a CallerEnvironment,
    /// Signals that end it early.
    pub interrupts: Option<&'a Interrupts>,
    /// The versions of events that hooks can ask for.
    pub versions: &'a Versions,
}

impl<'a> Dispatcher<'a> {
    /// Decides about each hook whether it may run.
    pub fn guard(&self) -> Guard<'a> {
        Guard::new(self.project, self.loaded, self.given_hash, self.store)
    }

    /// Carries out every match, one after the other.
    pub fn dispatch(&self, event: &'a Event, matches: &[Match]) -> Dispatched {
        let mut dispatched = Dispatched::default();
        let mut converted: BTreeMap<u32, Result<Event, ConversionError>> = BTreeMap::new();
        let wanted = matches.iter().filter_map(|matched| self.loaded.hooks[matched.hook].hook.schema_version);
        for major in wanted {
            converted.entry(major).or_insert_with(|| self.versions.convert(event, major));
        }
        let mut runner = Runner::new(self.project, self.caller, self.interrupts);
        let mut guard = self.guard();
        let mut stopped: Option<String> = None;
        for matched in matches {
            let loaded_hook = &self.loaded.hooks[matched.hook];
            let (hook, file) = (&loaded_hook.hook, self.loaded.file_of(loaded_hook));
            let own_version = hook.schema_version.and_then(|major| converted.get(&major));
            let delivered = own_version.and_then(|event| event.as_ref().ok()).unwrap_or(event);
            let delivery = Delivery { event: delivered, hook, file, attempt: 1 };
            let verdict = guard.may_start(matched.hook);
            let outcome = if let Some(signal) = runner.interrupted() {
                let why = format!("knockon was told to end by {}", Signal::name_of(signal.number()));
                Outcome::without_process(Status::Skipped, why)
            } else if verdict != Verdict::Trusted {
                let outcome = Outcome::without_process(Status::BlockedUntrusted, verdict.to_string());
                dispatched.blocked.get_or_insert(verdict);
                outcome
            } else if let Some(Err(error)) = own_version {
                Outcome::without_process(Status::Error, error.to_string())
            } else if let Some(by) = &stopped {
                Outcome::without_process(Status::Skipped, format!("`{by}` failed with fail_mode: stop"))
            } else {
                self.record(&mut dispatched, &AuditRecord::started(&delivery, Timestamp::now()));
                runner.start(matched.hook, delivery);
                match runner.wait_any() {
                    Some((_, outcome)) => outcome,
                    None => Outcome::without_process(Status::Error, "the run was lost"),
                }
            };
            self.record(&mut dispatched, &AuditRecord::finished(&delivery, &outcome, Timestamp::now()));
            if outcome.status.is_failure() && hook.fail_mode == FailMode::Stop {
                stopped.get_or_insert_with(|| hook.name.to_string());
            }
            dispatched.hooks.push(HookReport {
                name: hook.name.to_string(),
                fail_mode: hook.fail_mode,
                output: hook.output,
                reason: matched.reason(self.loaded),
                outcome,
            });
        }
        dispatched.interrupted = runner.interrupted();
        dispatched
    }

    fn record(&self, dispatched: &mut Dispatched, record: &AuditRecord<'_>) {
        if let Err(error) = self.audit.append(record) {
            note(&mut dispatched.unrecorded, &error);
        }
    }
}

impl Dispatched {
    /// The first hook whose failure stops the caller.
    pub fn stopped_by(&self) -> Option<&HookReport> {
        self.hooks.iter().find(|hook| hook.fail_mode == FailMode::Stop && hook.outcome.status.is_failure())
    }
}

/// Keeps an error once, however many records it cost.
pub(crate) fn note(unrecorded: &mut Vec<String>, error: &AuditError) {
    let text = error.to_string();
    if !unrecorded.contains(&text) {
        unrecorded.push(text);
    }
}
