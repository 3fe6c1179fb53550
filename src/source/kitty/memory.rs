//! What is remembered of a feature between two commands: what was seen and told, and what has been begun.
//!
//! Events are planned with their ids before anything is changed, each with what has to be on the disk for it to be
//! true. Whoever comes next, be it this process or another one after a crash, emits those that are true under the same
//! ids and forgets the others: an event says what happened, and says it once.

use super::KittyError;
use super::feature_folder::Feature;
use super::lane::Lane;
use super::write::Place;
use crate::event::{EventDraft, EventId, EventType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The form of what is remembered; another one is another program's.
const VERSION: u32 = 1;

/// Where a text about a feature is kept: `store::Cursors` of a project, for one.
pub trait Memory {
    /// What was kept last.
    ///
    /// # Errors
    /// It cannot be known.
    fn recall(&self, feature: &str) -> Result<Option<String>, String>;
    /// Keeps a text, durable when it returns.
    ///
    /// # Errors
    /// It is not kept.
    fn keep(&mut self, feature: &str, text: &str) -> Result<(), String>;
}

/// A memory that ends with the process: where there is no better one.
#[derive(Debug, Default)]
pub struct Forgetful(BTreeMap<String, String>);

impl Memory for Forgetful {
    fn recall(&self, feature: &str) -> Result<Option<String>, String> {
        Ok(self.0.get(feature).cloned())
    }

    fn keep(&mut self, feature: &str, text: &str) -> Result<(), String> {
        self.0.insert(feature.to_owned(), text.to_owned());
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
    /// What was begun.
    #[serde(default)]
    pub(super) pending: Vec<Planned>,
}

impl Default for State {
    fn default() -> Self {
        State {
            version: VERSION,
            created: false,
            completed: false,
            started: None,
            packages: BTreeMap::new(),
            pending: Vec::new(),
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
        let Some(text) = memory.recall(feature).map_err(KittyError::Memory)? else { return Ok(State::default()) };
        let state: State = serde_json::from_str(&text).map_err(|error| KittyError::Memory(error.to_string()))?;
        if state.version != VERSION {
            let why = format!("it has version {}, this build knows {VERSION}: update knockon", state.version);
            return Err(KittyError::Memory(why));
        }
        Ok(state)
    }

    /// Keeps it.
    pub(super) fn keep(&self, memory: &mut dyn Memory, feature: &str) -> Result<(), KittyError> {
        let text = serde_json::to_string(self).map_err(|error| KittyError::Memory(error.to_string()))?;
        memory.keep(feature, &text).map_err(KittyError::Memory)
    }

    /// What was seen of a work package.
    pub(super) fn seen(&self, id: &str) -> Seen {
        self.packages.get(id).cloned().unwrap_or_default()
    }

    /// Remembers that an event was emitted.
    pub(super) fn mark(&mut self, marks: &[Mark]) {
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
