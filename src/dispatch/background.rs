//! Hands over deliveries that nobody waits for: stored first, then a process of their own carries them out.

use crate::config::{Coalesce, find_in_path};
use crate::delivery::{Delivery, NotRun, Outcome, SkippedBy, TraceParent};
use crate::event::Event;
use crate::json::Json;
use crate::project::UserFolders;
use crate::store::{Key, NewDelivery, Outbox, Owner, Stored};
use crate::time::Timestamp;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The program that carries out what nobody waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// `knockon` in the caller's `PATH`.
    #[default]
    InPath,
    /// The program that this process runs, which is `knockon` itself.
    ThisOne,
}

impl Program {
    /// Where it is; `search` is a `PATH`.
    pub fn find(self, search: &OsStr) -> Option<PathBuf> {
        let own = match self {
            Program::InPath => None,
            Program::ThisOne => std::env::current_exe().ok(),
        };
        own.or_else(|| find_in_path("knockon".as_ref(), search))
    }
}

/// Where deliveries go that nobody waits for.
#[derive(Debug)]
pub struct Background<'a> {
    /// Whose store they are kept in.
    pub user: &'a UserFolders,
    /// What they go with.
    pub key: Key,
    /// The program that carries them out.
    pub program: Program,
    /// A `PATH`.
    pub search: &'a OsStr,
    /// The processes that were started, until they are removed.
    pub children: &'a Mutex<Vec<Child>>,
    found: OnceLock<Result<PathBuf, String>>,
    opened: Mutex<Option<Outbox>>,
}

impl<'a> Background<'a> {
    /// See the fields.
    pub fn new(
        user: &'a UserFolders,
        key: Key,
        program: Program,
        search: &'a OsStr,
        children: &'a Mutex<Vec<Child>>,
    ) -> Self {
        Background { user, key, program, search, children, found: OnceLock::new(), opened: Mutex::new(None) }
    }

    /// Whether deliveries can be handed over.
    ///
    /// # Errors
    /// They cannot; says why.
    pub fn ready(&self) -> Result<(), String> {
        let found = self.found.get_or_init(|| {
            let outbox = Outbox::open(self.user).map_err(|error| error.to_string())?;
            *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(outbox);
            let found = self.program.find(self.search);
            found.ok_or_else(|| "there is no program `knockon` to carry it out in the background".into())
        });
        found.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Stores deliveries of one event. The outcome of each says how it goes on; with them comes who carries them
    /// out, to be started.
    ///
    /// # Errors
    /// They cannot be stored.
    pub(super) fn store(&self, deliveries: &[Delivery<'_>]) -> Result<(Vec<Outcome>, Option<Owner>), String> {
        let (stored, owner) = self.try_to_store(deliveries)?;
        let outcomes = stored.into_iter().zip(deliveries).map(|(stored, delivery)| outcome(stored, delivery));
        Ok((outcomes.collect(), owner))
    }

    fn try_to_store(&self, deliveries: &[Delivery<'_>]) -> Result<(Vec<Stored>, Option<Owner>), String> {
        self.ready()?;
        let text = |error: crate::store::StoreError| error.to_string();
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut outbox = opened.map_or_else(|| Outbox::open(self.user), Ok).map_err(text)?;
        let owner = outbox.new_owner().map_err(text)?;
        let new: Vec<NewDelivery<'_>> = deliveries.iter().map(new_delivery).collect();
        let stored = outbox.store(&self.key, &owner, &new).map_err(text)?;
        if stored.contains(&Stored::New) {
            return Ok((stored, Some(owner)));
        }
        outbox.retire(&owner.name);
        Ok((stored, None))
    }

    /// Starts the process that carries out what `owner` has, in `trace` where spans are exported.
    ///
    /// # Errors
    /// It does not start. What is stored stays, and the next drain finds it.
    pub(super) fn start(&self, owner: Option<Owner>, trace: Option<TraceParent>) -> Result<(), String> {
        let (Some(owner), Some(Ok(program))) = (owner, self.found.get()) else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(["drain", "--owner", &owner.name]).current_dir("/");
        // The lock goes along: as long as the process lives, nobody else takes its deliveries.
        command.stdin(Stdio::from(owner.lock)).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(trace) = trace {
            let caller = std::env::var("TRACEPARENT").ok().and_then(|text| TraceParent::parse(&text));
            // That of another trace means nothing in this one.
            if caller.is_none_or(|caller| caller.trace != trace.trace) {
                command.env_remove("TRACESTATE");
            }
            command.env("TRACEPARENT", trace.to_string());
        }
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| child.try_wait().is_ok_and(|ended| ended.is_none()));
        let failed = |error| {
            format!("{} did not start ({error}); `knockon drain` carries out what is stored", program.display())
        };
        children.push(command.spawn().map_err(failed)?);
        Ok(())
    }
}

fn new_delivery<'a>(delivery: &Delivery<'a>) -> NewDelivery<'a> {
    let Delivery { hook, event, file, occasion, .. } = *delivery;
    let coalesce = hook.coalesce.as_ref().map(|coalesce| {
        let within = u64::try_from(coalesce.within.as_millis()).unwrap_or(u64::MAX);
        let due = Timestamp::from_millis(Timestamp::now().as_millis().saturating_add(within));
        (value_of(event, coalesce), due)
    });
    NewDelivery {
        hook: hook.name.as_str(),
        file: &file.path,
        event: event.bytes(),
        event_id: event.id(),
        source: occasion.source,
        chain: occasion.chain,
        coalesce,
    }
}

/// The value that events share which become one run, as JSON; events that lack it share that.
fn value_of(event: &Event, coalesce: &Coalesce) -> String {
    let path = coalesce.key.strip_prefix("$.").unwrap_or(&coalesce.key);
    let walk =
        |start: Json<'_>| path.split('.').try_fold(start, |at, name| at.get(name)).map(|value| value.text().to_owned());
    walk(event.json()).or_else(|| walk(event.context()?)).unwrap_or_default()
}

fn outcome(stored: Stored, delivery: &Delivery<'_>) -> Outcome {
    let within = delivery.hook.coalesce.as_ref().map(|coalesce| crate::time::exact(coalesce.within));
    let why = match (stored, within) {
        (Stored::Joined(events), _) => format!("joined the run that waits for more events, {events} so far"),
        (Stored::New, Some(within)) => format!("runs in {within}, with the last event until then"),
        (Stored::New, None) => "runs in the background".into(),
    };
    let skipped_by = matches!(stored, Stored::Joined(_)).then_some(SkippedBy::Joined);
    Outcome { skipped_by, ..Outcome::not_run(NotRun::Deferred, why) }
}
