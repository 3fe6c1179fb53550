//! One command's work on a feature: it has the feature for itself, finishes what was begun before, and carries a plan out.

use super::KittyError;
use super::derive::{Change, Plan, Planner};
use super::edit::{Changes, edit};
use super::feature_folder::{Feature, STATUS_LOG, TASKS};
use super::lane::Lane;
use super::memory::{Memory, State};
use super::status_log::{Moved, StatusLog};
use super::tasks::TaskList;
use super::write::{Place, change_folder};
use crate::event::{EventDraft, EventId};
use crate::sys;
use crate::time::Timestamp;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// How long to wait for another command, which has the feature until its hooks are done.
const PATIENCE: Duration = Duration::from_secs(30);

/// A feature that is worked on.
pub struct Session<'a> {
    feature: Feature,
    state: State,
    memory: &'a mut dyn Memory,
    _lock: Option<File>,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Done {
    /// What could not be changed on the disk; what it would have led to was not told.
    pub errors: Vec<KittyError>,
    /// How many events were not told because the disk does not show what they say.
    pub untold: usize,
}

impl<'a> Session<'a> {
    /// Takes a feature for itself. `state` is the folder of the user's state, where the lock is; without one there is
    /// none.
    ///
    /// # Errors
    /// The folder cannot be read, or somebody else has it for long.
    pub fn open(folder: &Path, state: Option<&Path>, memory: &'a mut dyn Memory) -> Result<Self, KittyError> {
        let lock = state.map(|state| lock(folder, state)).transpose()?;
        let feature = Feature::read(folder)?;
        let state = State::recall(memory, &feature.slug)?;
        Ok(Session { feature, state, memory, _lock: lock })
    }

    /// The feature, as it was read last.
    pub fn feature(&self) -> &Feature {
        &self.feature
    }

    /// How many events an earlier command left behind.
    pub fn left_behind(&self) -> usize {
        self.state.pending.len()
    }

    /// Begins a plan.
    pub fn planner(&self, now: Timestamp, correlation: Option<EventId>) -> Planner<'_> {
        Planner::new(&self.feature, &self.state, now, correlation)
    }

    /// Emits what an earlier command has begun and not finished.
    ///
    /// # Errors
    /// What is remembered cannot be kept.
    pub fn recover(&mut self, emit: &mut dyn FnMut(EventDraft)) -> Result<(), KittyError> {
        self.settle(emit).map(drop)
    }

    /// Carries a plan out: remembers its events, changes the disk, and emits those that are true then.
    ///
    /// # Errors
    /// What is remembered cannot be kept, or the folder cannot be read any more.
    pub fn carry_out(&mut self, plan: Plan, emit: &mut dyn FnMut(EventDraft)) -> Result<Done, KittyError> {
        let Plan { changes, events, .. } = plan;
        let mut done = Done::default();
        if !events.is_empty() {
            self.state.pending.extend(events);
            self.state.keep(self.memory, &self.feature.slug)?;
        }
        for change in &changes {
            done.errors.extend(self.apply(change).err());
        }
        if !changes.is_empty() {
            self.feature = Feature::read(&self.feature.folder)?;
        }
        done.untold = self.settle(emit)?;
        Ok(done)
    }

    /// Emits what is pending and true, and forgets the rest; how many that were.
    fn settle(&mut self, emit: &mut dyn FnMut(EventDraft)) -> Result<usize, KittyError> {
        let (mut forgotten, mut untold) = (false, 0);
        while !self.state.pending.is_empty() {
            let event = &self.state.pending[0];
            if let Some(draft) = event.draft().filter(|_| event.is_true(&self.feature)) {
                emit(draft);
                let event = self.state.pending.remove(0);
                self.state.mark(&event.marks);
                self.state.keep(self.memory, &self.feature.slug)?;
                forgotten = false;
            } else {
                self.state.pending.remove(0);
                forgotten = true;
                untold += 1;
            }
        }
        if forgotten {
            self.state.keep(self.memory, &self.feature.slug)?;
        }
        Ok(untold)
    }

    fn apply(&self, change: &Change) -> Result<(), KittyError> {
        match change {
            Change::Package { id, changes, lane } => self.change_package(id, changes, *lane),
            Change::Subtasks { tasks, done } => {
                let place = Place::of(&self.feature.folder, TASKS)?;
                let old = place.text()?;
                let mut new = old.clone();
                // One byte for one byte: the places of the others stay.
                let list = TaskList::read(&old);
                for task in tasks {
                    let marked = list.subtasks.get(task).and_then(|subtask| subtask.marked(&new, *done));
                    new = marked
                        .ok_or_else(|| KittyError::format(place.path(), 0, format!("the box of {task} is gone")))?;
                }
                place.replace(&old, &new)
            }
        }
    }

    /// Where the lane counts is changed last: until then the work package has not moved.
    fn change_package(&self, id: &str, changes: &Changes, lane: Option<Lane>) -> Result<(), KittyError> {
        let folder = &self.feature.folder;
        let package = self.feature.package(id)?;
        let Some(file) = &package.file else {
            return Err(KittyError::Refused(format!("{id} has no file in {}/tasks to write to", self.feature.slug)));
        };
        let place = Place::of(folder, file)?;
        let text = place.text()?;
        let new = edit(&text, changes).map_err(|(line, problem)| KittyError::format(place.path(), line, problem))?;
        place.replace(&text, &new)?;
        let Some(lane) = lane else { return Ok(()) };
        if let Some(from) = &package.lane_folder
            && from != lane.as_str()
        {
            let name = file.rsplit('/').next().unwrap_or(file);
            change_folder(folder, from, lane.as_str(), name)?;
        }
        if self.feature.log.is_some() {
            self.add_to_log(id, changes, lane)?;
        }
        Ok(())
    }

    fn add_to_log(&self, id: &str, changes: &Changes, lane: Lane) -> Result<(), KittyError> {
        let place = Place::of(&self.feature.folder, STATUS_LOG)?;
        let text = place.text()?;
        let Some(entry) = &changes.entry else { return Ok(()) };
        let event = EventId::generate(Timestamp::now());
        let moved = Moved {
            package: id,
            to: lane,
            actor: &entry.agent,
            at: &entry.timestamp,
            id: event.ulid(),
            reason: &entry.action,
        };
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = StatusLog::read(&text).line(&self.feature.slug, &moved);
        place.replace(&text, &format!("{text}{gap}{line}\n"))
    }
}

/// Takes the feature's lock, which ends with the file.
fn lock(folder: &Path, state: &Path) -> Result<File, KittyError> {
    let real = folder.canonicalize().map_err(|error| KittyError::Io(folder.to_owned(), error))?;
    let key = crate::text::hex(&blake3::hash(real.as_os_str().as_encoded_bytes()).as_bytes()[..16]);
    let path = state.join(format!("kitty-{key}.lock"));
    let io = |error| KittyError::Io(path.clone(), error);
    sys::make_private_folder(state).map_err(io)?;
    let file = sys::open_or_create_private(&path).map_err(io)?;
    sys::lock_exclusive(&file, PATIENCE).map_err(KittyError::Busy)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kitty::{Asked, Forgetful, scan};
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// A process that ends at a step: when it keeps something, or while it emits.
    struct Mortal<'a> {
        memory: &'a mut Forgetful,
        steps: usize,
    }

    impl Memory for Mortal<'_> {
        fn recall(&self, feature: &str) -> Result<Option<String>, String> {
            self.memory.recall(feature)
        }

        fn keep(&mut self, feature: &str, text: &str) -> Result<(), String> {
            self.steps = self.steps.checked_sub(1).expect("killed before it is kept");
            self.memory.keep(feature, text)?;
            self.steps = self.steps.checked_sub(1).expect("killed after it is kept");
            Ok(())
        }
    }

    fn feature(folder: &Path) {
        fs::create_dir_all(folder.join("tasks")).unwrap();
        for (name, rest) in [("WP01", ""), ("WP02", "dependencies: [WP01]\n")] {
            let text = format!("---\nlane: for_review\n{rest}---\n");
            fs::write(folder.join(format!("tasks/{name}.md")), text).unwrap();
        }
    }

    fn accept(planner: &mut Planner<'_>) -> Result<(), KittyError> {
        let ids: Vec<String> = planner.feature().packages.keys().cloned().collect();
        ids.iter().try_for_each(|id| planner.move_to(id, Lane::Done, &Asked::default()))
    }

    #[test]
    fn a_process_that_ends_anywhere_loses_and_doubles_nothing() {
        let mut finished = false;
        for steps in 0.. {
            if finished {
                assert!(steps > 8, "several places to end at were tried");
                break;
            }
            let outer = tempfile::tempdir().unwrap();
            let folder = outer.path().join("001-a");
            feature(&folder);
            let mut memory = Forgetful::default();
            let mut ids = Vec::new();
            let mut kinds = BTreeSet::new();
            let mut emit = |draft: EventDraft| {
                let event = draft.stamp(EventId::generate(Timestamp::now()), Timestamp::now(), "/p").unwrap();
                kinds.insert((event.id(), event.kind().to_string()));
                ids.push(event.id());
            };
            // What it knew before, so that only the move is new.
            let mut session = Session::open(&folder, None, &mut memory).unwrap();
            let plan = scan(session.planner(Timestamp::now(), None));
            session.carry_out(plan, &mut |_| {}).unwrap();
            let mut mortal = Mortal { memory: &mut memory, steps };
            finished = catch_unwind(AssertUnwindSafe(|| {
                let mut session = Session::open(&folder, None, &mut mortal).unwrap();
                let mut planner = session.planner(Timestamp::now(), None);
                accept(&mut planner).unwrap();
                let plan = planner.finish();
                session.carry_out(plan, &mut emit).unwrap();
            }))
            .is_ok();
            let mut session = Session::open(&folder, None, &mut memory).unwrap();
            session.recover(&mut emit).unwrap();
            let mut planner = session.planner(Timestamp::now(), None);
            accept(&mut planner).unwrap();
            let plan = planner.finish();
            session.carry_out(plan, &mut emit).unwrap();
            let plan = scan(session.planner(Timestamp::now(), None));
            assert!(plan.events().is_empty(), "{steps}: {:?}", plan.events());
            // A queue knows each id once; what is emitted twice has to be one event.
            let told: Vec<&str> = kinds.iter().map(|(_, kind)| kind.as_str()).collect();
            let mut told = told;
            told.sort_unstable();
            assert_eq!(
                told,
                ["feature.completed", "wp.dependency_resolved", "wp.status_changed", "wp.status_changed"],
                "{steps}"
            );
        }
    }

    #[test]
    fn what_was_not_written_is_not_told() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("001-a");
        feature(&folder);
        let mut memory = Forgetful::default();
        let mut session = Session::open(&folder, None, &mut memory).unwrap();
        let mut planner = session.planner(Timestamp::now(), None);
        accept(&mut planner).unwrap();
        let plan = planner.finish();
        fs::write(folder.join("tasks/WP02.md"), "no front matter any more\n").unwrap();
        let mut kinds = Vec::new();
        let done = session.carry_out(plan, &mut |draft| kinds.push(draft.kind().to_string())).unwrap();
        assert_eq!(kinds, ["wp.status_changed", "wp.dependency_resolved"], "of WP01");
        assert_eq!((done.errors.len(), done.untold), (1, 2));
        assert_eq!(fs::read_dir(folder.join("tasks")).unwrap().count(), 2, "nothing is left behind");
    }
}
