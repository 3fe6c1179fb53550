//! Work-package events: put in order by the clock and queued for the team, in the step that makes them.
//!
//! Nothing here sends anything. Whatever goes wrong is a warning: the event is made all the same, and says so when it
//! has no place among those of other machines.

use super::{EmitReport, Emitter};
use crate::config::UserSettings;
use crate::event::{Causality, Event, EventDraft, EventError, EventId};
use crate::json::Json;
use crate::store::{
    Account, Consent, Enqueued, Link, Made, Place, Stay, StoreError, SyncQueue, WARN_FROM, service_is_running,
};
use crate::text::count;
use crate::time::Timestamp;
use crate::work_package::{self, Kind, Origin, WireVersion};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long a store that somebody kept to themselves counts as that without another look.
const BUSY_STAYS: Duration = Duration::from_secs(30);

/// The queue of events for the team, as an emitter has it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Once there was an event for it.
    opened: Option<SyncQueue>,
    /// Since when somebody else keeps it to themselves.
    busy: Option<Instant>,
}

/// What became of a work-package event on its way to the team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// Whether it is in the queue.
    pub stay: Stay,
    /// How many events are.
    pub depth: u64,
    /// Who is signed in.
    pub account: Account,
    /// How the way to the server was last.
    pub link: Option<Link>,
    /// Whether the project agreed.
    pub consent: Consent,
}

/// Why an event of this draft would not be queued: each rule of its payload that it breaks.
fn violations(draft: &EventDraft, kind: Kind) -> Vec<String> {
    let context = draft.context_text();
    let broken = work_package::check(kind, Json::already_checked(context.as_deref().unwrap_or("{}")));
    broken.iter().map(ToString::to_string).collect()
}

/// Why no server would take an event, if none would: what its producer wrote beside the payload may break a rule, too.
fn unsound(event: &Event) -> Option<String> {
    // Whatever the team is.
    let origin = Origin { team_slug: "team".to_owned(), ..Origin::default() };
    let broken = work_package::to_wire(event, &origin, WireVersion::V1).err()?;
    Some(broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// What a producer may want to know about a status that changed.
fn unusual_move(draft: &EventDraft) -> Option<String> {
    let context = draft.context_text()?;
    let context = Json::already_checked(&context);
    let status = |name| context.get(name).and_then(|status| status.as_str());
    let (previous, new) = (status("previous_status")?, status("new_status")?);
    work_package::unusual_move(&previous, &new).then(|| {
        let known = "usual are planned → doing → for_review → done, and for_review → doing";
        format!("a work package does not usually move from `{previous}` to `{new}`: {known}")
    })
}

/// What to tell of a draft, and whether its event can be queued.
pub(super) fn inspect(draft: &EventDraft, warnings: &mut Vec<String>) -> bool {
    let Some(kind) = Kind::of(draft.kind()) else { return false };
    let broken = violations(draft, kind);
    if !broken.is_empty() {
        let name = kind.wire_name(WireVersion::V1);
        warnings.push(format!("{name} is not queued for the team, its payload is wrong: {}", broken.join("; ")));
        return false;
    }
    if kind == Kind::StatusChanged {
        warnings.extend(unusual_move(draft));
    }
    true
}

impl Emitter {
    /// Makes the event. One of a work package whose payload is sound gets its time of the clock, and is queued, durable
    /// when this returns.
    pub(super) fn make(&self, draft: EventDraft, report: &mut EmitReport) -> Result<Event, EventError> {
        if !inspect(&draft, &mut report.warnings) {
            return self.stamp(draft);
        }
        let (id, root) = (EventId::generate(Timestamp::now()), self.project.root_text());
        let stamp = |causality| draft.clone().placed(causality).stamp_as(id, Timestamp::now(), &root, self.versions());
        let make = |causality| stamp(causality).map(|event| Made { unsound: unsound(&event), event });
        match self.enqueue(&draft, &make, report) {
            Ok(made) => {
                let Enqueued { event, stay, depth, warn, drain, account, link, consent } = made?;
                report.warnings.extend(told_of(&stay, depth, warn, &account));
                report.sync = Some(Sync { stay, depth, account, link, consent });
                // Where `sync run` is there, it sees the event by itself.
                if drain && !service_is_running(&self.user) {
                    report.warnings.extend(self.start_drain().err());
                }
                Ok(event)
            }
            Err(error) => {
                let why = error.to_string();
                report.warnings.push(format!("the event has no place in order, and is not queued for the team: {why}"));
                stamp(Causality::Unclocked(why))
            }
        }
    }

    /// Ends it right before the process ends: the system closes the store with one stroke, and nothing would be written
    /// when it is closed.
    pub fn end_with_process(self) {
        std::mem::forget(self.queue.lock().unwrap_or_else(PoisonError::into_inner).opened.take());
    }

    fn enqueue(
        &self,
        draft: &EventDraft,
        make: &impl Fn(Causality) -> Result<Made, EventError>,
        report: &mut EmitReport,
    ) -> Result<Result<Enqueued, EventError>, StoreError> {
        let mut team = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Queue { opened, busy } = &mut *team;
        // Whoever keeps the store to itself costs a command of many events one wait, not one for each of them.
        if busy.is_some_and(|since| since.elapsed() < BUSY_STAYS) {
            return Err(StoreError::Busy);
        }
        // Others need not wait for the audit log as long as this one waits for the store.
        if let Err(error) = self.rows.pause(&self.audit) {
            report.warnings.push(error.to_string());
        }
        let queue = match opened {
            Some(queue) => queue,
            none => none.insert(SyncQueue::open(&self.user)?),
        };
        let told = draft.told().map(|(_, time)| time);
        let most = self.most_events.get_or_init(|| UserSettings::load(&self.user).0.sync.max_events);
        let project = self.project.identity();
        let made = queue.enqueue(Place { project: &project, told, most: *most }, make);
        *busy = made.as_ref().is_err_and(StoreError::is_busy).then(Instant::now);
        if let Some(aside) = queue.take_moved_aside() {
            let path = aside.display();
            report.warnings.push(format!(
                "the store was damaged and begins anew; what could be read of it was kept, and the rest is in {path}"
            ));
        }
        made
    }

    /// Starts the process that brings the queue to the server. Nobody waits for it.
    fn start_drain(&self) -> Result<(), String> {
        let Some(program) = self.options.program.find(self.caller().search_path()) else { return Ok(()) };
        let mut command = Command::new(&program);
        command.args(["sync", "drain"]).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Not ended by a Ctrl-C that is meant for the command.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| child.try_wait().is_ok_and(|ended| ended.is_none()));
        let failed =
            |error| format!("{} did not start ({error}); `knockon sync now` sends what is queued", program.display());
        children.push(command.spawn().map_err(failed)?);
        Ok(())
    }
}

/// What the user has to know of an event that was to be queued.
fn told_of(stay: &Stay, depth: u64, warn: bool, account: &Account) -> Vec<String> {
    let mut told = Vec::new();
    if let Stay::Unsound(why) = stay {
        told.push(format!("the event is not queued for the team: {why}"));
    }
    if let Stay::Full(most) = stay {
        told.push(format!(
            "the queue has {}, as many as `sync.max_events` of settings.yaml allows: this one is not queued for the team",
            count(usize::try_from(*most).unwrap_or(usize::MAX), "event")
        ));
    }
    if warn {
        told.push(format!(
            "{depth} events wait for the team's server, {WARN_FROM} or more: `knockon sync status` says why; none is dropped"
        ));
    }
    if *stay == Stay::Queued && account.server.is_some() && account.team.is_none() {
        told.push("the event is queued, and not sent until the team is known: `knockon sync login --team SLUG`".into());
    }
    told
}
