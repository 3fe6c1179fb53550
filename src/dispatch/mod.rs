//! Hands an event to the hooks it matched: in order, trusted ones only, each step on record.
//!
//! `plan` says what to start next and `run` carries it out; `background` hands over what nobody waits for,
//! `groups` keeps runs of one group apart, `overflow` keeps long answers in files.

mod background;
mod groups;
mod overflow;
mod plan;
mod run;

pub use background::{Background, Program};
pub(crate) use overflow::shorten_answer;

use crate::audit::{AuditError, AuditLog};
use crate::config::{FailMode, Hook, Loaded, OutputMode};
use crate::delivery::{Delivery, Occasion, Outcome, Stream};
use crate::event::{ConversionError, Event, Versions};
use crate::matcher::Match;
use crate::project::Project;
use crate::runner::{RunId, Runner, Surroundings};
use crate::sys::{Interrupts, Signal};
use crate::trust::{ContentHash, Guard, TrustStore, Verdict};
use groups::Groups;
use plan::{Item, Plan};
use run::Run;
use std::collections::BTreeMap;
use std::path::Path;

/// How many descriptors a hook that runs takes: three pipes, and the socket to what watches over it.
const DESCRIPTORS_A_HOOK: usize = 4;

/// How one hook fared.
#[derive(Clone, Debug)]
pub struct HookReport {
    /// The hook's name.
    pub name: String,
    /// Whether its configuration enables it.
    pub enabled: bool,
    /// What its failure means.
    pub fail_mode: FailMode,
    /// What of its output the terminal shows.
    pub output: OutputMode,
    /// Why it matched.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
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
    /// The hook whose failure ended the rest, by its place in `hooks`.
    pub stopped_by: Option<usize>,
    /// The signal that ended it early.
    pub interrupted: Option<Signal>,
    /// What could not be put on record.
    pub unrecorded: Vec<String>,
}

/// Sees what happens while it happens.
pub trait Watcher {
    /// Hooks are about to be started for an event.
    fn begins(&self, _event: &Event) {}
    /// An attempt begins.
    fn started(&self, hook: &Hook, attempt: u32);
    /// A hook wrote something.
    fn output(&self, hook: &Hook, stream: Stream, bytes: &[u8]);
    /// An attempt has ended, or did not begin.
    fn ended(&self, hook: &Hook, attempt: u32, outcome: &Outcome);
    /// A hook is done, and is not tried again.
    fn settled(&self, _report: &HookReport) {}
}

/// What dispatching needs to know.
#[derive(Clone, Copy)]
pub struct Dispatcher<'a> {
    /// The project, and what hooks get of their surroundings.
    pub surroundings: Surroundings<'a>,
    /// Its hooks.
    pub loaded: &'a Loaded,
    /// Where each step is recorded.
    pub audit: &'a AuditLog,
    /// What the user trusted.
    pub store: &'a TrustStore,
    /// The hash given for this run, instead of the store.
    pub given_hash: Option<&'a ContentHash>,
    /// Signals that end it early.
    pub interrupts: Option<&'a Interrupts>,
    /// The versions of events that hooks can ask for.
    pub versions: &'a Versions,
    /// The hooks that the caller wants left out.
    pub skip: &'a Skip,
    /// Whether nothing is emitted after this event.
    pub once: bool,
    /// What brought the event about.
    pub occasion: Occasion,
    /// Who sees what happens while it happens.
    pub watcher: Option<&'a dyn Watcher>,
    /// Who carries out what nobody waits for; without one, all is waited for.
    pub background: Option<&'a Background<'a>>,
    /// The user's state folder.
    pub state: Option<&'a Path>,
    /// How often hooks were tried with this event before, by hook.
    pub earlier: &'a BTreeMap<usize, u32>,
    /// The span of the event, if there is to be one.
    #[cfg(feature = "otel")]
    pub span: Option<&'a crate::telemetry::EmitSpan<'a>>,
}

/// Hooks that the caller wants left out (`KNOCKON=0`, `KNOCKON_SKIP`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// None.
    #[default]
    Nothing,
    /// All of them.
    All,
    /// Those with these names.
    Named(Vec<String>),
}

impl Skip {
    /// Why a hook is left out, if it is.
    pub fn why(&self, name: &str) -> Option<&'static str> {
        match self {
            Skip::Nothing => None,
            Skip::All => Some("KNOCKON switches all hooks off"),
            Skip::Named(names) => names.iter().any(|other| other == name).then_some("KNOCKON_SKIP names it"),
        }
    }
}

impl<'a> Dispatcher<'a> {
    /// Decides about each hook whether it may run.
    pub fn guard(&self) -> Guard<'a> {
        Guard::new(self.project(), self.loaded, self.given_hash, self.store)
    }

    fn project(&self) -> &'a Project {
        self.surroundings.project
    }

    /// Carries out every match, as its file says: in file order, so many side by side, each after those it
    /// comes after, again where it is to be tried again.
    pub fn dispatch(&self, event: &'a Event, matches: &[Match]) -> Dispatched {
        let mut dispatched = Dispatched::default();
        if matches.is_empty() {
            return dispatched;
        }
        if let Some(watcher) = self.watcher {
            watcher.begins(event);
        }
        let mut converted: BTreeMap<u32, Result<Event, ConversionError>> = BTreeMap::new();
        let wanted = matches.iter().filter_map(|matched| self.loaded.hooks[matched.hook].hook.schema_version);
        for major in wanted {
            converted.entry(major).or_insert_with(|| self.versions.convert(event, major));
        }
        let deliveries: Vec<Delivery<'_>> =
            matches.iter().map(|matched| self.delivery(event, *matched, &converted)).collect();
        let room = crate::sys::descriptor_room() / DESCRIPTORS_A_HOOK;
        let tell = |id: RunId, stream: Stream, bytes: &[u8]| {
            if let (Some(watcher), Some(delivery)) = (self.watcher, deliveries.get(id)) {
                watcher.output(delivery.hook, stream, bytes);
            }
        };
        let listener = self.watcher.is_some().then_some(&tell as &crate::runner::Listener<'_>);
        let mut run = Run {
            dispatcher: *self,
            plan: Plan::new(deliveries.iter().map(|delivery| self.item(delivery, room)).collect()),
            runner: Runner::new(self.surroundings, self.interrupts, listener),
            guard: self.guard(),
            groups: Groups::of(self.project(), self.state),
            entered: deliveries.iter().map(|_| None).collect(),
            handed: Vec::new(),
            reports: deliveries.iter().map(|_| None).collect(),
            attempts: vec![1; deliveries.len()],
            asked: vec![None; deliveries.len()],
            begun: vec![None; deliveries.len()],
            last: deliveries.iter().map(|_| None).collect(),
            busy: vec![None; deliveries.len()],
            stopped: None,
            dispatched: &mut dispatched,
            converted: &converted,
            matches,
            deliveries: &deliveries,
        };
        run.carry_out();
        let (interrupted, stopped_by) = (run.runner.interrupted(), run.stopped);
        let reports: Vec<HookReport> = std::mem::take(&mut run.reports).into_iter().flatten().collect();
        drop(run);
        (dispatched.interrupted, dispatched.stopped_by) = (interrupted, stopped_by);
        dispatched.hooks = reports;
        dispatched
    }

    fn delivery<'d>(
        &self,
        event: &'d Event,
        matched: Match,
        converted: &'d BTreeMap<u32, Result<Event, ConversionError>>,
    ) -> Delivery<'d>
    where
        'a: 'd,
    {
        let loaded_hook = &self.loaded.hooks[matched.hook];
        let (hook, file) = (&loaded_hook.hook, self.loaded.file_of(loaded_hook));
        let attempt = self.earlier.get(&matched.hook).copied().unwrap_or(0).saturating_add(1);
        let own_version = hook.schema_version.and_then(|major| converted.get(&major));
        let event = own_version.and_then(|event| event.as_ref().ok()).unwrap_or(event);
        Delivery { event, hook, file, attempt, occasion: self.occasion }
    }

    /// `room` is how many hooks there are descriptors for.
    fn item<'d>(&self, delivery: &Delivery<'d>, room: usize) -> Item<'d> {
        let Delivery { hook, file, .. } = delivery;
        Item {
            name: hook.name.as_str(),
            file: self.loaded.files.iter().position(|other| std::ptr::eq(other, *file)).unwrap_or_default(),
            limit: file.concurrency.limit().min(room),
            after: &hook.after,
            retry: hook.retry.as_ref(),
            fail_mode: hook.fail_mode,
            stop: hook.stop,
        }
    }
}

impl Dispatched {
    /// The hook whose failure stops the caller.
    pub fn stopped_by(&self) -> Option<&HookReport> {
        self.stopped_by.and_then(|index| self.hooks.get(index))
    }
}

/// Keeps an error once, however many records it cost.
pub(crate) fn note(unrecorded: &mut Vec<String>, error: &AuditError) {
    let text = error.to_string();
    if !unrecorded.contains(&text) {
        unrecorded.push(text);
    }
}
