//! What was asked for and what is on the disk → what to change and what to tell. Pure: no file is written, no clock is
//! read, nothing is emitted.

use super::KittyError;
use super::edit::{Changes, Entry};
use super::feature_folder::{Feature, Package};
use super::lane::Lane;
use super::memory::{Mark, Planned, Proof, State};
use crate::event::{EventDraft, EventId};
use crate::json::Json;
use crate::time::Timestamp;
use crate::work_package::{
    Assigned, Created, DependencyResolved, EntryType, ErrorLogged, ErrorType, FeatureCompleted, FeatureCreated,
    HistoryAdded, Kind, Phase, Resolution, StatusChanged, check, unusual_move,
};
use std::collections::BTreeMap;

/// Who asks, and with which words.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The agent; without one it is `user`.
    pub agent: Option<String>,
    /// Whom the work package belongs to from now on.
    pub assignee: Option<String>,
    /// What to write into the history; a sentence of ours without.
    pub note: Option<String>,
}

/// A change of the disk.
#[derive(Debug)]
pub(super) enum Change {
    /// Changes in the file of a work package, and the lane it then stands in.
    Package { id: String, changes: Changes, lane: Option<Lane> },
    /// Boxes of subtasks.
    Subtasks { tasks: Vec<String>, done: bool },
}

/// What is going to happen.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) events: Vec<Planned>,
    /// For people: what is as it was, and what is odd.
    pub notes: Vec<String>,
    /// For people: what is unusual, and done all the same.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The events, in the order they are emitted.
    pub fn events(&self) -> &[Planned] {
        &self.events
    }
}

/// Makes a plan for one action: all its events have one cause.
#[derive(Debug)]
pub struct Planner<'a> {
    feature: &'a Feature,
    state: &'a State,
    now: Timestamp,
    causes: (EventId, Option<EventId>),
    plan: Plan,
    /// Where each work package stands once the plan is carried out.
    lanes: BTreeMap<&'a str, Lane>,
    completed: bool,
}

impl<'a> Planner<'a> {
    /// For a feature as it is, and what is remembered of it.
    pub(super) fn new(feature: &'a Feature, state: &'a State, now: Timestamp, correlation: Option<EventId>) -> Self {
        let lanes = feature.packages.iter().map(|(id, package)| (id.as_str(), package.lane)).collect();
        let causes = (EventId::generate(now), correlation);
        Planner { feature, state, now, causes, plan: Plan::default(), lanes, completed: state.completed }
    }

    /// The plan.
    pub fn finish(self) -> Plan {
        self.plan
    }

    /// The feature.
    pub fn feature(&self) -> &'a Feature {
        self.feature
    }

    pub(super) fn seen_lane(&self, id: &str) -> Lane {
        self.state.seen(id).lane.unwrap_or(Lane::Planned)
    }

    pub(super) fn is_created(&self, id: Option<&str>) -> bool {
        id.map_or(self.state.created, |id| self.state.seen(id).created)
    }

    /// Moves a work package to a lane.
    ///
    /// # Errors
    /// There is none of this id, or its file cannot be edited.
    pub fn move_to(&mut self, id: &str, to: Lane, asked: &Asked) -> Result<(), KittyError> {
        let package = self.feature.package(id)?;
        let from = self.lanes.get(id).copied().unwrap_or(package.lane);
        if from == to {
            self.plan.notes.push(format!("{id} is {to} already"));
            return Ok(());
        }
        if unusual_move(from.as_str(), to.as_str()) {
            self.plan.warnings.push(format!("{id} goes from {from} to {to}, which is unusual"));
        }
        let note = asked.note.clone().unwrap_or_else(|| format!("Moved to {to}"));
        let mut changes = Changes { entry: Some(self.entry(package, to, asked, note)), ..Changes::default() };
        // The newest folders have their lanes in the log alone, the oldest in the names of folders.
        if package.has_lane || (self.feature.log.is_none() && package.lane_folder.is_none()) {
            changes.set.push(("lane", to.as_str().into()));
        }
        let agent = asked.agent.clone().map(|agent| ("agent", agent));
        let assignee = asked.assignee.clone().map(|assignee| ("assignee", assignee));
        changes.set.extend(agent.into_iter().chain(assignee));
        self.plan.changes.push(Change::Package { id: id.to_owned(), changes, lane: Some(to) });
        self.tell_move(id, from, to, asked.agent.as_deref());
        Ok(())
    }

    /// Tells that a work package moved, and what follows from that.
    pub(super) fn tell_move(&mut self, id: &str, from: Lane, to: Lane, by: Option<&str>) {
        let moved = StatusChanged {
            wp_id: id.to_owned(),
            previous_status: from.into(),
            new_status: to.into(),
            changed_by: by.map(str::to_owned),
            feature_slug: self.slug(),
        };
        let mut event = self.event(&moved.draft());
        event.proofs = vec![Proof::Lane(id.into(), to)];
        event.marks = vec![Mark::Lane(id.into(), to)];
        if from == Lane::Planned && self.state.started.is_none() {
            event.marks.push(Mark::Started(self.now.as_millis()));
        }
        self.plan.events.push(event);
        if let Some((id, _)) = self.feature.packages.get_key_value(id) {
            self.lanes.insert(id, to);
        }
        if to == Lane::Done {
            self.tell_end_of(id);
        }
    }

    fn tell_end_of(&mut self, id: &str) {
        for dependent in self.feature.dependents(id) {
            let resolved = DependencyResolved {
                wp_id: dependent.to_owned(),
                dependency_wp_id: id.to_owned(),
                resolution_type: Resolution::Completed,
                feature_slug: self.slug(),
            };
            let mut event = self.event(&resolved.draft());
            event.proofs = vec![Proof::Lane(id.into(), Lane::Done)];
            self.plan.events.push(event);
        }
        let all = self.feature.broken.is_empty() && self.lanes.values().all(|lane| *lane == Lane::Done);
        if all && !self.completed {
            self.completed = true;
            let taken = |started| duration(self.now.as_millis().saturating_sub(started));
            let completed = FeatureCompleted {
                feature_slug: self.feature.slug.clone(),
                total_wps: self.lanes.len() as u64,
                completed_at: Some(self.now),
                total_duration: self.state.started.map(taken),
            };
            let mut event = self.event(&completed.draft());
            event.proofs = self.lanes.keys().map(|id| Proof::Lane((*id).to_owned(), Lane::Done)).collect();
            event.marks = vec![Mark::FeatureCompleted];
            self.plan.events.push(event);
        }
    }

    /// Adds a note to the history of a work package.
    ///
    /// # Errors
    /// There is none of this id, or the note is empty.
    pub fn add_history(&mut self, id: &str, kind: EntryType, note: &str, asked: &Asked) -> Result<(), KittyError> {
        let package = self.feature.package(id)?;
        if note.trim().is_empty() {
            return Err(KittyError::Refused("the note is empty".into()));
        }
        let lane = self.lanes.get(id).copied().unwrap_or(package.lane);
        // A note has no other place, also where moves stand in the log.
        let entry = Entry { begin: true, ..self.entry(package, lane, asked, note.to_owned()) };
        let proof = Proof::Written(id.into(), vec![entry.activity_line(), entry.action_line()]);
        let changes = Changes { entry: Some(entry), ..Changes::default() };
        self.plan.changes.push(Change::Package { id: id.to_owned(), changes, lane: None });
        self.tell_history(id, kind, note, asked, proof);
        Ok(())
    }

    fn tell_history(&mut self, id: &str, kind: EntryType, note: &str, asked: &Asked, proof: Proof) {
        let added = HistoryAdded {
            wp_id: id.to_owned(),
            entry_type: kind,
            entry_content: note.to_owned(),
            author: asked.agent.clone(),
            feature_slug: self.slug(),
        };
        let mut event = self.event(&added.draft());
        event.proofs = vec![proof];
        self.plan.events.push(event);
    }

    /// Ticks the boxes of subtasks, or takes the ticks away.
    ///
    /// # Errors
    /// There is none of these ids, or one belongs to no work package.
    pub fn mark_subtasks(&mut self, tasks: &[String], done: bool, asked: &Asked) -> Result<(), KittyError> {
        let mut marked = Vec::new();
        for task in tasks {
            let Some(subtask) = self.feature.tasks.subtasks.get(task) else {
                self.plan.warnings.push(format!("tasks.md has no box for {task}"));
                continue;
            };
            let listed =
                || self.feature.packages.iter().find(|(_, package)| package.subtasks.contains(task)).map(|(id, _)| id);
            let Some(owner) = subtask.package.as_ref().or_else(listed) else {
                return Err(KittyError::Refused(format!("{task} belongs to no work package: it stands in no section")));
            };
            let word = if done { "done" } else { "pending" };
            if subtask.done == done || marked.contains(task) {
                self.plan.notes.push(format!("{task} is {word} already"));
            } else {
                marked.push(task.clone());
                let note = asked.note.clone().unwrap_or_else(|| format!("{task} marked {word}"));
                self.tell_history(owner, EntryType::Note, &note, asked, Proof::Subtask(task.clone(), done));
            }
        }
        if tasks.iter().all(|task| !self.feature.tasks.subtasks.contains_key(task)) {
            let what = format!("tasks.md has no box for {}", tasks.join(", "));
            return Err(KittyError::NotFound { what, choices: Vec::new() });
        }
        if !marked.is_empty() {
            self.plan.changes.push(Change::Subtasks { tasks: marked, done });
        }
        Ok(())
    }

    /// Tells of the feature and all its work packages, and writes down what `tasks.md` says they depend on.
    pub fn finalize(&mut self) {
        self.tell_feature();
        for (id, package) in &self.feature.packages {
            self.tell_package(id, package);
            let named = self.feature.tasks.sections.get(id).and_then(|section| section.dependencies.as_ref());
            let Some(named) = named else { continue };
            match &package.own_dependencies {
                Some(own) if own.is_empty() && named.is_empty() => {}
                Some(own) if !own.is_empty() => {
                    if own != named {
                        let (own, named) = (own.join(", "), named.join(", "));
                        self.plan.warnings.push(format!(
                            "{id} depends on {own} by its file, and on {named} by tasks.md; its file holds"
                        ));
                    }
                }
                _ if package.file.is_none() => {}
                _ => {
                    let changes = Changes { dependencies: Some(named.clone()), ..Changes::default() };
                    self.plan.changes.push(Change::Package { id: id.clone(), changes, lane: None });
                }
            }
        }
        self.tell_oddities();
    }

    /// Says what is odd in the folder, and left out.
    pub(super) fn tell_oddities(&mut self) {
        self.plan.notes.extend(self.feature.notes.iter().cloned());
        for error in self.feature.broken.values() {
            self.plan.warnings.push(format!("left out: {error}"));
        }
    }

    pub(super) fn tell_feature(&mut self) {
        let Some(meta) = &self.feature.meta else {
            self.plan.warnings.push("there is no readable meta.json: FeatureCreated is left out".into());
            return;
        };
        let created = FeatureCreated {
            feature_slug: self.feature.slug.clone(),
            feature_number: meta.feature_number.clone(),
            target_branch: meta.target_branch.clone(),
            wp_count: self.feature.packages.len() as u64,
            created_at: meta.created_at,
        };
        let draft = created.draft();
        let context = draft.context_text().unwrap_or_default();
        if !check(Kind::FeatureCreated, Json::already_checked(&context)).is_empty() {
            self.plan.warnings.push(format!(
                "`{}` is not named and numbered as the team's server wants it of a feature (NNN-name): its \
                 feature.created is for hooks alone, everything else goes to the team as usual",
                crate::text::shorten(&self.feature.slug, 80)
            ));
        }
        let mut event = self.event(&draft);
        event.marks = vec![Mark::FeatureCreated];
        self.plan.events.push(event);
    }

    pub(super) fn tell_package(&mut self, id: &str, package: &Package) {
        let created = Created {
            wp_id: id.to_owned(),
            title: package.title.clone(),
            feature_slug: self.feature.slug.clone(),
            dependencies: package.dependencies.clone(),
        };
        let mut event = self.event(&created.draft());
        event.marks = vec![Mark::Created(id.into())];
        self.plan.events.push(event);
    }

    /// Tells that an agent begins; `fallback` when it takes over from one that failed.
    ///
    /// # Errors
    /// There is no such work package.
    pub fn assign(&mut self, id: &str, agent: &str, phase: Option<Phase>, fallback: bool) -> Result<(), KittyError> {
        let package = self.feature.package(id)?;
        let by_lane = if package.lane == Lane::ForReview { Phase::Review } else { Phase::Implementation };
        let retries = self.state.seen(id).retries + u32::from(fallback);
        let assigned = Assigned {
            wp_id: id.to_owned(),
            agent_id: agent.to_owned(),
            phase: phase.unwrap_or(by_lane),
            retry_count: u64::from(retries),
            feature_slug: self.slug(),
        };
        let mut event = self.event(&assigned.draft());
        if fallback {
            event.marks = vec![Mark::Retried(id.into())];
        }
        self.plan.events.push(event);
        Ok(())
    }

    /// Counts a rejected review and gives the work package back.
    ///
    /// # Errors
    /// There is no such work package.
    pub fn reject(&mut self, id: &str, asked: &Asked) -> Result<(), KittyError> {
        let note = asked.note.clone();
        let sentence = note.clone().unwrap_or_else(|| "Changes requested".into());
        let before = self.plan.events.len();
        self.move_to(id, Lane::Doing, &Asked { note: Some(sentence), ..asked.clone() })?;
        let Some(event) = self.plan.events.get_mut(before) else { return Ok(()) };
        event.marks.push(Mark::Retried(id.into()));
        if let Some(note) = note {
            // The move has written it into the history.
            self.tell_history(id, EntryType::Review, &note, asked, Proof::Lane(id.into(), Lane::Doing));
        }
        Ok(())
    }

    /// Tells that an agent failed.
    ///
    /// # Errors
    /// There is no such work package.
    pub fn fail(&mut self, id: &str, message: &str, agent: Option<&str>) -> Result<(), KittyError> {
        self.feature.package(id)?;
        let event = self.event(&error_logged(false, message, Some(id), agent, Some(&self.feature.slug)));
        self.plan.events.push(event);
        Ok(())
    }

    /// Says that something is as it was, or odd.
    pub fn note(&mut self, note: impl Into<String>) {
        self.plan.notes.push(note.into());
    }

    fn event(&self, draft: &EventDraft) -> Planned {
        Planned::new(draft, &self.feature.slug, EventId::generate(self.now), self.causes)
    }

    fn slug(&self) -> Option<String> {
        Some(self.feature.slug.clone())
    }

    fn entry(&self, package: &Package, lane: Lane, asked: &Asked, action: String) -> Entry {
        let seconds = self.now.to_string();
        Entry {
            timestamp: format!("{}Z", seconds.get(..19).unwrap_or(&seconds)),
            lane: lane.as_str(),
            agent: asked.agent.clone().or_else(|| package.agent.clone()).unwrap_or_else(|| "user".into()),
            shell_pid: package.shell_pid.clone().unwrap_or_default(),
            action,
            begin: self.feature.log.is_none(),
        }
    }
}

/// A draft that tells of an error.
pub fn error_logged(
    validation: bool,
    message: &str,
    package: Option<&str>,
    agent: Option<&str>,
    feature: Option<&str>,
) -> EventDraft {
    let message = if message.trim().is_empty() { "no reason was given" } else { message };
    let logged = ErrorLogged {
        error_type: if validation { ErrorType::Validation } else { ErrorType::Runtime },
        error_message: message.to_owned(),
        wp_id: package.map(str::to_owned),
        stack_trace: None,
        agent_id: agent.map(str::to_owned),
        feature_slug: feature.map(str::to_owned),
    };
    logged.draft()
}

/// A span of time as ISO 8601 has it: `PT1H2M3S`.
fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = "PT".to_owned();
    for (number, unit) in [(hours, 'H'), (minutes, 'M')] {
        if number > 0 {
            out.push_str(&format!("{number}{unit}"));
        }
    }
    if seconds > 0 || out == "PT" {
        out.push_str(&format!("{seconds}S"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_iso_8601() {
        for (seconds, text) in [(0, "PT0S"), (59, "PT59S"), (3600, "PT1H"), (93_784, "PT26H3M4S")] {
            assert_eq!(duration(seconds * 1000), text);
        }
    }
}
