//! What is remembered of a feature between two commands: what was seen and told, and what has been begun.
//!
//! Events are planned with their ids before anything is changed, each with what has to be on the disk for it to be
//! true. Once the disk is changed, those that are true are sure to be emitted, and what they say counts as told; the
//! others are forgotten. Those that are sure belong to the process that emits them, and when it is gone to the next
//! command, under the same ids: an event says what happened, and says it once.

use super::KittyError;
use super::feature_folder::Feature;
use super::lane::Lane;
use super::write::Place;
use crate::event::{EventDraft, EventId, EventType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The form of what is remembered; another one is another program's.
const VERSION: u32 = 1;

/// What is kept → what is kept from now on.
pub type Rewrite<'a> = dyn Fn(Option<&str>) -> Result<String, String> + 'a;

/// Where a text about a feature is kept: `store::Cursors` of a project, for one.
pub trait Memory {
    /// What was kept last.
    ///
    /// # Errors
    /// It cannot be known.
    fn recall(&self, feature: &str) -> Result<Option<String>, String>;
    /// Changes what is kept, with nobody else in between, durable when it returns. `change` may be asked twice; when it
    /// refuses, what is kept stays.
    ///
    /// # Errors
    /// Those of `change`, or it is not kept.
    fn change(&mut self, feature: &str, change: &Rewrite<'_>) -> Result<(), String>;
}

/// A memory that ends with the process: where there is no better one.
#[derive(Debug, Default)]
pub struct Forgetful(BTreeMap<String, String>);

impl Memory for Forgetful {
    fn recall(&self, feature: &str) -> Result<Option<String>, String> {
        Ok(self.0.get(feature).cloned())
    }

    fn change(&mut self, feature: &str, change: &Rewrite<'_>) -> Result<(), String> {
        let text = change(self.0.get(feature).map(String::as_str))?;
        self.0.insert(feature.to_owned(), text);
        Ok(())
    }
}

/// What was seen of a work package, and told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Whether it was told that it exists.
    #[serde(default)]
    pub(super) created: bool,
    /// Where it was told to stand; nothing is `planned`.
    #[serde(default)]
    pub(super) lane: Option<Lane>,
    /// Rejected reviews, and agents that took over.
    #[serde(default)]
    pub(super) retries: u32,
}

/// What is remembered of a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    #[serde(default)]
    pub(super) created: bool,
    #[serde(default)]
    pub(super) completed: bool,
    /// When work began, in milliseconds since 1970, if a command of ours began it.
    #[serde(default)]
    pub(super) started: Option<u64>,
    #[serde(default)]
    pub(super) packages: BTreeMap<String, Seen>,
    /// What was begun, in the order it was.
    #[serde(default)]
    pub(super) batches: Vec<Batch>,
}

/// Events that one command emits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// Who does.
    owner: String,
    /// Whether the disk has shown what they say. Until then the command has the feature for itself.
    sure: bool,
    events: Vec<Planned>,
}

impl Batch {
    fn is_left_behind(&self, alive: &[String]) -> bool {
        !self.sure || !alive.contains(&self.owner)
    }

    /// Keeps what the disk shows; what is remembered of it from now on.
    fn prove(&mut self, untrue: &[String]) -> Vec<Mark> {
        self.events.retain(|event| !untrue.contains(&event.id));
        self.sure = true;
        // Asked again later, when somebody else has moved on, they would not be true any more.
        self.events.iter_mut().for_each(|event| event.proofs.clear());
        self.events.iter_mut().flat_map(|event| std::mem::take(&mut event.marks)).collect()
    }
}

impl Default for State {
    fn default() -> Self {
        State {
            version: VERSION,
            created: false,
            completed: false,
            started: None,
            packages: BTreeMap::new(),
            batches: Vec::new(),
        }
    }
}

/// What has to be on the disk for an event to be true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Proof {
    /// A work package stands in a lane.
    Lane(String, Lane),
    /// Its file has one of these texts.
    Written(String, Vec<String>),
    /// A subtask's box is ticked, or is not.
    Subtask(String, bool),
}

/// What is remembered once an event is emitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// The feature was told of.
    FeatureCreated,
    /// Its end was told of.
    FeatureCompleted,
    /// A work package was told of.
    Created(String),
    /// A work package was told to stand in a lane.
    Lane(String, Lane),
    /// Work began, in milliseconds since 1970.
    Started(u64),
    /// A review was rejected, or an agent took over.
    Retried(String),
}

/// An event that is going to be emitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    id: String,
    kind: String,
    feature: String,
    context: Map<String, Value>,
    cause: Option<String>,
    correlation: Option<String>,
    pub(super) proofs: Vec<Proof>,
    pub(super) marks: Vec<Mark>,
}

impl Planned {
    /// A draft with the id and the causes it is going to have.
    pub(super) fn new(draft: &EventDraft, feature: &str, id: EventId, causes: (EventId, Option<EventId>)) -> Self {
        let context = draft.context_text().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Planned {
            id: id.to_string(),
            kind: draft.kind().to_string(),
            feature: feature.to_owned(),
            context,
            cause: Some(causes.0.to_string()),
            correlation: causes.1.map(|id| id.to_string()),
            proofs: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// The draft of the event; nothing when what was remembered of it makes no sense.
    pub fn draft(&self) -> Option<EventDraft> {
        let mut draft = EventDraft::new(self.kind.parse::<EventType>().ok()?).with_id(self.id.parse().ok()?);
        draft = draft.feature(self.feature.clone());
        for (name, value) in &self.context {
            draft = draft.context(name.clone(), value.clone());
        }
        if let Some(cause) = &self.cause {
            draft = draft.caused_by(cause.parse().ok()?);
        }
        if let Some(correlation) = &self.correlation {
            draft = draft.correlated(correlation.parse().ok()?);
        }
        Some(draft)
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its type.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// A field of its payload, as text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.context.get(name)?.as_str()
    }

    /// Whether the disk shows what it says.
    pub(super) fn is_true(&self, feature: &Feature) -> bool {
        self.proofs.iter().all(|proof| match proof {
            Proof::Lane(id, lane) => feature.packages.get(id).is_some_and(|package| package.lane == *lane),
            Proof::Subtask(task, done) => feature.tasks.subtasks.get(task).is_some_and(|subtask| subtask.done == *done),
            Proof::Written(id, texts) => {
                let file = feature.packages.get(id).and_then(|package| package.file.as_ref());
                let text = file.and_then(|file| Place::of(&feature.folder, file).ok()?.text().ok());
                text.is_some_and(|text| texts.iter().any(|wanted| text.contains(wanted)))
            }
        })
    }
}

impl State {
    /// What is remembered of a feature; nothing remembered is a beginning.
    pub(super) fn recall(memory: &dyn Memory, feature: &str) -> Result<Self, KittyError> {
        let text = memory.recall(feature).map_err(KittyError::Memory)?;
        State::read(text.as_deref()).map_err(KittyError::Memory)
    }

    fn read(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(State::default()) };
        let state: State = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if state.version != VERSION {
            return Err(format!("it has version {}, this build knows {VERSION}: update knockon", state.version));
        }
        Ok(state)
    }

    /// Changes what is remembered, and gives what it is then.
    pub(super) fn change(
        memory: &mut dyn Memory,
        feature: &str,
        change: &dyn Fn(&mut State),
    ) -> Result<Self, KittyError> {
        let changed = RefCell::new(State::default());
        let change = |text: Option<&str>| {
            let mut state = State::read(text)?;
            change(&mut state);
            let text = serde_json::to_string(&state).map_err(|error| error.to_string())?;
            changed.replace(state);
            Ok(text)
        };
        memory.change(feature, &change).map_err(KittyError::Memory)?;
        Ok(changed.into_inner())
    }

    /// Those who have something to emit.
    pub(super) fn owners(&self) -> impl Iterator<Item = &str> {
        self.batches.iter().map(|batch| batch.owner.as_str())
    }

    /// Begins what an owner is going to emit.
    pub(super) fn begin(&mut self, owner: &str, events: Vec<Planned>) {
        self.batches.push(Batch { owner: owner.to_owned(), sure: false, events });
    }

    /// Whether [`State::take_over`] has something to do.
    pub(super) fn is_left_behind(&self, alive: &[String]) -> bool {
        self.batches.iter().any(|batch| batch.is_left_behind(alive))
    }

    /// The ids of what was begun and is not shown by the disk.
    pub(super) fn untrue(&self, feature: &Feature) -> Vec<String> {
        let unsure = self.batches.iter().filter(|batch| !batch.sure).flat_map(|batch| &batch.events);
        let untrue = unsure.filter(|event| event.draft().is_none() || !event.is_true(feature));
        untrue.map(|event| event.id.clone()).collect()
    }

    /// Gives an owner what nobody emits any more. Whoever asks has the feature for itself, so that what is not sure
    /// belongs to nobody either.
    pub(super) fn take_over(&mut self, owner: &str, alive: &[String], untrue: &[String]) {
        for batch in self.batches.iter_mut().filter(|batch| batch.is_left_behind(alive)) {
            batch.owner = owner.to_owned();
        }
        self.prove(untrue);
    }

    /// Makes sure what was begun, but for what is not true.
    pub(super) fn prove(&mut self, untrue: &[String]) {
        let unsure = self.batches.iter_mut().filter(|batch| !batch.sure);
        let marks: Vec<Mark> = unsure.flat_map(|batch| batch.prove(untrue)).collect();
        self.mark(&marks);
        self.batches.retain(|batch| !batch.events.is_empty());
    }

    /// What an owner has to emit.
    pub(super) fn of_owner<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a Planned> {
        self.batches.iter().filter(move |batch| batch.owner == owner).flat_map(|batch| &batch.events)
    }

    /// Forgets an event that was emitted.
    pub(super) fn forget(&mut self, id: &str) {
        self.batches.iter_mut().for_each(|batch| batch.events.retain(|event| event.id != id));
        self.batches.retain(|batch| !batch.events.is_empty());
    }

    /// What was seen of a work package.
    pub(super) fn seen(&self, id: &str) -> Seen {
        self.packages.get(id).cloned().unwrap_or_default()
    }

    /// Remembers that events are going to be emitted, whoever does it.
    fn mark(&mut self, marks: &[Mark]) {
        for mark in marks {
            match mark {
                Mark::FeatureCreated => self.created = true,
                Mark::FeatureCompleted => self.completed = true,
                Mark::Created(id) => self.packages.entry(id.clone()).or_default().created = true,
                Mark::Lane(id, lane) => self.packages.entry(id.clone()).or_default().lane = Some(*lane),
                Mark::Started(at) => self.started = self.started.or(Some(*at)),
                Mark::Retried(id) => self.packages.entry(id.clone()).or_default().retries += 1,
            }
        }
    }
}
