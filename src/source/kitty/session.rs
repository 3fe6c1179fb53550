//! One command's work on a feature: it has the feature for itself, finishes what was begun before, and carries a plan out.

use super::KittyError;
use super::derive::{Change, Plan, Planner};
use super::edit::{Changes, edit};
use super::feature_folder::{Feature, STATUS_LOG, TASKS, fingerprint};
use super::lane::Lane;
use super::memory::{Memory, State};
use super::owner::{Desk, Owner};
use super::status_log::{Moved, StatusLog};
use super::tasks::TaskList;
use super::write::{Place, change_folder, changed_meanwhile};
use crate::event::{EventDraft, EventId};
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

/// A feature that is worked on, by nobody else meanwhile.
pub struct Session<'a> {
    feature: Feature,
    state: State,
    memory: &'a mut dyn Memory,
    desk: Desk,
    owner: Owner,
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

/// Events that are sure to be emitted: by this process, or when it ends before by the next one. Others may work on the
/// feature meanwhile.
pub struct Outstanding<'a, T> {
    events: VecDeque<(String, T)>,
    feature: String,
    memory: &'a mut dyn Memory,
    /// Nobody else emits them as long as it lives.
    _owner: Owner,
}

impl<'a> Session<'a> {
    /// Takes a feature for itself. `state` is the folder of the user's state, where the locks are; without one there
    /// are none.
    ///
    /// # Errors
    /// The folder cannot be read, or somebody else has it for long.
    pub fn open(folder: &Path, state: Option<&Path>, memory: &'a mut dyn Memory) -> Result<Self, KittyError> {
        let desk = Desk::of(folder, state)?;
        let lock = desk.lock()?;
        let owner = desk.new_owner()?;
        let feature = Feature::read(folder)?;
        let state = State::recall(memory, &feature.slug)?;
        Ok(Session { feature, state, memory, desk, owner, _lock: lock })
    }

    /// The feature, as it was read last.
    pub fn feature(&self) -> &Feature {
        &self.feature
    }

    /// Takes over what earlier commands have begun and nobody emits any more; how many events that are. Those of
    /// commands that are still at it stay theirs.
    ///
    /// # Errors
    /// What is remembered cannot be kept.
    pub fn take_over(&mut self) -> Result<usize, KittyError> {
        let alive = |name: &&str| self.desk.is_alive(name);
        let alive: Vec<String> = self.state.owners().filter(alive).map(str::to_owned).collect();
        self.desk.tidy();
        if !self.state.is_left_behind(&alive) {
            return Ok(0);
        }
        let (owner, untrue) = (&self.owner.name, self.state.untrue(&self.feature));
        let change = |state: &mut State| state.take_over(owner, &alive, &untrue);
        self.state = State::change(self.memory, &self.feature.slug, &change)?;
        Ok(self.state.of_owner(owner).count())
    }

    /// Begins a plan.
    pub fn planner(&self, now: Timestamp, correlation: Option<EventId>) -> Planner<'_> {
        Planner::new(&self.feature, &self.state, now, correlation)
    }

    /// Carries a plan out: remembers its events, changes the disk, and makes those that are true then, behind those
    /// that were taken over. `make` is asked in the order in which things happened, of all commands on the feature; then
    /// the feature is let go.
    ///
    /// # Errors
    /// What is remembered cannot be kept, or the folder cannot be read any more. The next command sees to it.
    pub fn carry_out<T>(
        mut self,
        plan: &Plan,
        make: &mut dyn FnMut(EventDraft) -> T,
    ) -> Result<(Done, Outstanding<'a, T>), KittyError> {
        let mut done = Done::default();
        let owner = &self.owner.name;
        if !plan.events.is_empty() {
            let change = |state: &mut State| state.begin(owner, plan.events.clone());
            self.state = State::change(self.memory, &self.feature.slug, &change)?;
        }
        for change in &plan.changes {
            done.errors.extend(self.apply(change).err());
        }
        if !plan.changes.is_empty() {
            self.feature = Feature::read(&self.feature.folder)?;
        }
        if !plan.events.is_empty() {
            let untrue = self.state.untrue(&self.feature);
            self.state = State::change(self.memory, &self.feature.slug, &|state| state.prove(&untrue))?;
            done.untold = untrue.len();
        }
        let events = self.state.of_owner(owner).filter_map(|event| Some((event.id().to_owned(), event.draft()?)));
        let events = events.map(|(id, draft)| (id, make(draft))).collect();
        let Session { feature, memory, owner, .. } = self;
        Ok((done, Outstanding { events, feature: feature.slug, memory, _owner: owner }))
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
        if package.read_as != Some(fingerprint(&text)) {
            return Err(changed_meanwhile(place.path()));
        }
        let new = edit(&text, changes).map_err(|(line, problem)| KittyError::format(place.path(), line, problem))?;
        let logged = lane.filter(|_| self.feature.log.is_some()).map(|lane| self.log_line(id, changes, lane));
        let logged = logged.transpose()?;
        place.replace(&text, &new)?;
        let Some(lane) = lane else { return Ok(()) };
        if let Some(from) = &package.lane_folder
            && from != lane.as_str()
        {
            let name = file.rsplit('/').next().unwrap_or(file);
            change_folder(folder, from, lane.as_str(), name)?;
        }
        // Others add to it as well, whose lines are not to be lost.
        logged.map_or(Ok(()), |(log, line)| log.append(&line))
    }

    /// What a move adds to the log of lanes.
    fn log_line(&self, id: &str, changes: &Changes, lane: Lane) -> Result<(Place, String), KittyError> {
        let place = Place::of(&self.feature.folder, STATUS_LOG)?;
        let text = place.text()?;
        let (log, now) = (StatusLog::read(&text), Timestamp::now());
        let event = EventId::generate(now);
        let (actor, reason) = changes.entry.as_ref().map_or(("user", ""), |entry| (&entry.agent, &entry.action));
        let moved = Moved { package: id, to: lane, actor, at: &log.time(now), id: event.ulid(), reason };
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = format!("{gap}{}\n", log.line(&self.feature.slug, &moved));
        let after = StatusLog::read(&format!("{text}{line}"));
        if after.standings.get(id).is_none_or(|standing| standing.lane != lane) {
            let problem = format!("it has a move of {id} that is later than now: a clock is wrong");
            return Err(KittyError::format(place.path(), 0, problem));
        }
        Ok((place, line))
    }
}

impl<T> Outstanding<'_, T> {
    /// Whether the event of this id is one of them.
    pub fn has(&self, id: &str) -> bool {
        self.events.iter().any(|(of, _)| of == id)
    }

    /// Emits them one after the other, until there are no more or `emit` breaks off; how many are left then. The next
    /// command emits those, and so it does with one during which this process is killed.
    ///
    /// # Errors
    /// It was not kept that an event is emitted; the others were emitted all the same.
    pub fn emit(mut self, emit: &mut dyn FnMut(T) -> ControlFlow<()>) -> Result<usize, KittyError> {
        let mut kept = Ok(());
        while let Some((id, event)) = self.events.pop_front() {
            let flow = emit(event);
            let forgotten = State::change(self.memory, &self.feature, &|state| state.forget(&id));
            kept = kept.and(forgotten.map(drop));
            if flow.is_break() {
                break;
            }
        }
        kept.map(|()| self.events.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kitty::{Asked, Forgetful, Rewrite, scan};
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    /// A process that ends at a step: when it keeps something, or while it emits.
    struct Mortal<'a> {
        memory: &'a mut Forgetful,
        steps: usize,
    }

    impl Memory for Mortal<'_> {
        fn recall(&self, feature: &str) -> Result<Option<String>, String> {
            self.memory.recall(feature)
        }

        fn change(&mut self, feature: &str, change: &Rewrite<'_>) -> Result<(), String> {
            self.steps = self.steps.checked_sub(1).expect("killed before it is kept");
            self.memory.change(feature, change)?;
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

    /// All that is not done becomes so.
    fn accept(session: &Session<'_>) -> Plan {
        let mut planner = session.planner(Timestamp::now(), None);
        let ids: Vec<String> = planner.feature().packages.keys().cloned().collect();
        ids.iter().for_each(|id| planner.move_to(id, Lane::Done, &Asked::default()).unwrap());
        planner.finish()
    }

    /// Carries a plan out and emits everything.
    fn carry_out(session: Session<'_>, plan: &Plan, emit: &mut dyn FnMut(EventDraft)) -> Done {
        let (done, outstanding) = session.carry_out(plan, &mut |draft| draft).unwrap();
        let left = outstanding.emit(&mut |draft| {
            emit(draft);
            ControlFlow::Continue(())
        });
        assert_eq!(left.unwrap(), 0);
        done
    }

    fn id_and_kind(draft: EventDraft) -> (EventId, String) {
        let event = draft.stamp(EventId::generate(Timestamp::now()), Timestamp::now(), "/p").unwrap();
        (event.id(), event.kind().to_string())
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
            // A queue knows each id once; what is emitted twice has to be one event.
            let mut kinds = BTreeSet::new();
            let mut emit = |draft: EventDraft| kinds.extend([id_and_kind(draft)]);
            // What it knew before, so that only the move is new.
            let session = Session::open(&folder, None, &mut memory).unwrap();
            let plan = scan(session.planner(Timestamp::now(), None));
            carry_out(session, &plan, &mut |_| {});
            let mut mortal = Mortal { memory: &mut memory, steps };
            finished = catch_unwind(AssertUnwindSafe(|| {
                let session = Session::open(&folder, None, &mut mortal).unwrap();
                let plan = accept(&session);
                carry_out(session, &plan, &mut emit);
            }))
            .is_ok();
            let mut session = Session::open(&folder, None, &mut memory).unwrap();
            session.take_over().unwrap();
            let plan = accept(&session);
            carry_out(session, &plan, &mut emit);
            let session = Session::open(&folder, None, &mut memory).unwrap();
            let plan = scan(session.planner(Timestamp::now(), None));
            assert!(plan.events().is_empty(), "{steps}: {:?}", plan.events());
            let mut told: Vec<&str> = kinds.iter().map(|(_, kind)| kind.as_str()).collect();
            told.sort_unstable();
            assert_eq!(
                told,
                ["feature.completed", "wp.dependency_resolved", "wp.status_changed", "wp.status_changed"],
                "{steps}"
            );
        }
    }

    #[test]
    fn a_move_that_the_log_would_not_show_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("001-a");
        feature(&folder);
        let log = "{\"at\":\"2999-01-01T00:00:00Z\",\"wp_id\":\"WP01\",\"to_lane\":\"for_review\"}";
        fs::write(folder.join(STATUS_LOG), log).unwrap();
        let file = fs::read(folder.join("tasks/WP01.md")).unwrap();
        let mut memory = Forgetful::default();
        let session = Session::open(&folder, None, &mut memory).unwrap();
        let plan = accept(&session);
        let done = carry_out(session, &plan, &mut |draft| {
            assert_eq!(draft.context_text().unwrap().matches("WP01").count(), 0)
        });
        assert!(done.errors[0].to_string().contains("later than now"), "{done:?}");
        assert_eq!(fs::read(folder.join("tasks/WP01.md")).unwrap(), file);
        let text = fs::read_to_string(folder.join(STATUS_LOG)).unwrap();
        assert!(text.starts_with(&format!("{log}\n{{")), "WP02 moves: {text}");
        assert_eq!(text.matches("WP01").count(), 1);
    }

    #[test]
    fn what_was_not_written_is_not_told() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("001-a");
        feature(&folder);
        let mut memory = Forgetful::default();
        let session = Session::open(&folder, None, &mut memory).unwrap();
        let plan = accept(&session);
        fs::write(folder.join("tasks/WP02.md"), "no front matter any more\n").unwrap();
        let mut kinds = Vec::new();
        let done = carry_out(session, &plan, &mut |draft| kinds.push(draft.kind().to_string()));
        assert_eq!(kinds, ["wp.status_changed", "wp.dependency_resolved"], "of WP01");
        assert_eq!((done.errors.len(), done.untold), (1, 2));
        assert_eq!(fs::read_dir(folder.join("tasks")).unwrap().count(), 2, "nothing is left behind");
    }

    /// A memory that several sessions have at once, as processes have the store.
    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Forgetful>>);

    impl Memory for Shared {
        fn recall(&self, feature: &str) -> Result<Option<String>, String> {
            self.0.borrow().recall(feature)
        }

        fn change(&mut self, feature: &str, change: &Rewrite<'_>) -> Result<(), String> {
            self.0.borrow_mut().change(feature, change)
        }
    }

    #[test]
    fn what_is_emitted_by_somebody_stays_theirs_until_they_are_gone() {
        let outer = tempfile::tempdir().unwrap();
        let (folder, state) = (outer.path().join("001-a"), outer.path().join("state"));
        feature(&folder);
        let memory = Shared::default();
        let (mut first, mut second) = (memory.clone(), memory.clone());
        let session = Session::open(&folder, Some(&state), &mut first).unwrap();
        let plan = accept(&session);
        let (done, outstanding) = session.carry_out(&plan, &mut id_and_kind).unwrap();
        assert_eq!(done.untold, 0);
        let mut emitted = Vec::new();
        let left = outstanding.emit(&mut |event| {
            // The first of four is under way: another command neither has to wait, nor has anything to do with it.
            let mut other = Session::open(&folder, Some(&state), &mut second).unwrap();
            assert_eq!(other.take_over().unwrap(), 0);
            assert!(
                scan(other.planner(Timestamp::now(), None)).events().iter().all(|event| event.kind() == "wp.created")
            );
            let mut planner = other.planner(Timestamp::now(), None);
            planner.move_to("WP02", Lane::Doing, &Asked::default()).unwrap();
            let plan = planner.finish();
            carry_out(other, &plan, &mut |draft| assert_eq!(draft.kind().as_str(), "wp.status_changed"));
            emitted.push(event);
            ControlFlow::Break(())
        });
        assert_eq!(left.unwrap(), 3, "what the disk shows no more was true when it was written");
        let mut third = memory.clone();
        let mut heir = Session::open(&folder, Some(&state), &mut third).unwrap();
        assert_eq!(heir.take_over().unwrap(), 3, "its owner is gone");
        carry_out(heir, &Plan::default(), &mut |draft| emitted.push(id_and_kind(draft)));
        let kinds: Vec<&str> = emitted.iter().map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(kinds, ["wp.status_changed", "wp.dependency_resolved", "wp.status_changed", "feature.completed"]);
        let planned: Vec<String> = plan.events().iter().map(|event| event.id().to_owned()).collect();
        assert_eq!(emitted.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), planned);
        let places = fs::read_dir(state.join("kitty")).unwrap().map(|entry| entry.unwrap().path());
        let left: Vec<_> = places.flat_map(|place| fs::read_dir(place).unwrap()).collect();
        assert_eq!(left.len(), 1, "of the locks only the feature's stays");
    }
}
