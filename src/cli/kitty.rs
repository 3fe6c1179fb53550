//! `knockon kitty`: the commands of spec-kitty that change a work package, each followed by its events; and a scan for
//! what was changed without them.

use super::emit::EmitOptions;
use super::error::{CliError, Exit};
use super::series::Series;
use super::terminal::Terminal;
use crate::emitter::Emitter;
use crate::event::{EventDraft, EventId};
use crate::project::UserFolders;
use crate::source::kitty::{
    self, Asked, Forgetful, KittyError, Lane, Memory, Plan, Planner, Rewrite, Session, work_package_id,
};
use crate::store::{self, Cursors};
use crate::text::{count, one_line};
use crate::time::Timestamp;
use crate::work_package::{EntryType, Phase};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What the memory of features is kept under, and where the events say they come from.
const SOURCE: &str = "kitty";

/// Work on a feature in kitty-specs/: move work packages, add to their histories, and emit what happened. Files first,
/// events afterwards; nothing is committed.
#[derive(Args, Debug)]
pub(super) struct Kitty {
    #[command(subcommand)]
    action: Action,
}

/// What is done.
#[derive(Subcommand, Debug)]
enum Action {
    /// Begin a work package: planned → doing
    Implement(Implement),
    /// Hand work packages over for review: doing → for_review
    Merge(Several),
    /// Accept work packages: for_review → done
    Accept(Several),
    /// Move a work package to any lane
    MoveTask(MoveTask),
    /// Give work packages a status, or tick the boxes of subtasks in tasks.md
    MarkStatus(MarkStatus),
    /// Add a note to the history of a work package
    AddHistory(AddHistory),
    /// Tell of the feature and all its work packages
    FinalizeTasks(How),
    /// Tell what an orchestrator of agents does
    OrchestrateEvent(Orchestrate),
    /// Emit what changed in a feature since it was seen last
    Scan(Scan),
}

/// What all of them take.
#[derive(Args, Debug)]
struct How {
    /// The feature: its name, its number or its folder [default: the one this folder, worktree or branch is for, or the
    /// only one]
    #[arg(long, value_name = "FEATURE")]
    feature: Option<String>,
    /// What these events and others belong to: a ULID
    #[arg(long, value_name = "ULID", value_parser = ulid)]
    correlation_id: Option<EventId>,
    #[command(flatten)]
    emit: EmitOptions,
}

#[derive(Args, Debug)]
struct Implement {
    /// The work package, such as WP01
    #[arg(value_name = "WP", value_parser = work_package_id)]
    package: String,
    /// Who begins
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Whom it belongs to from now on
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct Several {
    /// The work packages [default: all that are in the lane before]
    #[arg(value_name = "WP", value_parser = work_package_id)]
    packages: Vec<String>,
    /// Who does it
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// What to write into the history
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct MoveTask {
    /// The work package, such as WP01
    #[arg(value_name = "WP", value_parser = work_package_id)]
    package: String,
    /// The lane: planned, doing, for_review or done
    #[arg(long, value_name = "LANE")]
    to: Lane,
    /// Who does it
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Whom it belongs to from now on
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    /// What to write into the history
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct MarkStatus {
    /// Work packages (WP01), or subtasks (T012)
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Of work packages a lane, of subtasks done or pending
    #[arg(long, value_name = "STATUS")]
    status: String,
    /// Who does it
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct AddHistory {
    /// The work package, such as WP01
    #[arg(value_name = "WP", value_parser = work_package_id)]
    package: String,
    /// The note
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: String,
    /// What kind of note it is: note, review, error or comment
    #[arg(long = "type", value_name = "TYPE", default_value = "note")]
    kind: EntryType,
    /// Who wrote it
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct Orchestrate {
    /// What happened
    #[arg(value_name = "WHAT")]
    what: Happened,
    /// The work package, such as WP01
    #[arg(value_name = "WP", value_parser = work_package_id)]
    package: String,
    /// The agent; assigned, review-started, failed and fallback need one
    #[arg(long, value_name = "NAME", required_if_eq_any = [
        ("what", "assigned"), ("what", "review-started"), ("what", "failed"), ("what", "fallback"),
    ])]
    agent: Option<String>,
    /// What the agent is to do: implementation or review [default: a review when the work package waits for one]
    #[arg(long, value_name = "PHASE")]
    phase: Option<Phase>,
    /// What the agent said when it failed, or the review when it rejected
    #[arg(long, value_name = "TEXT", visible_alias = "note", allow_hyphen_values = true)]
    message: Option<String>,
    #[command(flatten)]
    how: How,
}

/// What an orchestrator tells.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Happened {
    /// An agent begins: WPAssigned
    Assigned,
    /// The work is done: doing → for_review
    Implemented,
    /// An agent begins to review: WPAssigned
    ReviewStarted,
    /// The review wants changes: for_review → doing, and one more for retry_count
    Rejected,
    /// The review is fine: for_review → done
    Accepted,
    /// An agent failed: ErrorLogged
    Failed,
    /// Another agent takes over: WPAssigned, with one more for retry_count
    Fallback,
}

#[derive(Args, Debug)]
struct Scan {
    /// The feature's folder, its name or its number [default: as for --feature]
    #[arg(value_name = "FEATURE", conflicts_with = "feature")]
    folder: Option<String>,
    #[command(flatten)]
    how: How,
}

fn ulid(text: &str) -> Result<EventId, String> {
    let whole = if text.starts_with("evt_") { text.to_owned() } else { format!("evt_{text}") };
    whole.parse().map_err(|_| "a ULID is wanted: 26 characters of 0-9 and A-Z without I, L, O and U".to_owned())
}

/// What a command does: a plan for the feature as it is.
type MakePlan = Box<dyn FnOnce(Planner<'_>) -> Result<Plan, KittyError>>;

/// A command, whichever it is.
struct Work {
    how: How,
    /// Whom an error is about.
    package: Option<String>,
    agent: Option<String>,
    plan: MakePlan,
}

impl Work {
    fn new(
        how: How,
        package: Option<&str>,
        agent: Option<&str>,
        plan: impl FnOnce(&mut Planner<'_>) -> Result<(), KittyError> + 'static,
    ) -> Self {
        let plan = |mut planner: Planner<'_>| plan(&mut planner).map(|()| planner.finish());
        Work { how, package: package.map(str::to_owned), agent: agent.map(str::to_owned), plan: Box::new(plan) }
    }
}

impl Action {
    fn work(self) -> Work {
        match self {
            Action::Implement(Implement { package, agent, assignee, how }) => {
                let note = Some("Started implementation".to_owned());
                let asked = Asked { agent, assignee, note };
                move_one(how, package, Lane::Doing, asked)
            }
            Action::Merge(several) => several.work(Lane::Doing, Lane::ForReview),
            Action::Accept(several) => several.work(Lane::ForReview, Lane::Done),
            Action::MoveTask(MoveTask { package, to, agent, assignee, note, how }) => {
                move_one(how, package, to, Asked { agent, assignee, note })
            }
            Action::MarkStatus(MarkStatus { ids, status, agent, how }) => {
                let package = ids.first().filter(|id| work_package_id(id).is_ok()).cloned();
                Work::new(how, package.as_deref(), agent.clone().as_deref(), move |planner| {
                    mark_status(planner, &ids, &status, &Asked { agent, ..Asked::default() })
                })
            }
            Action::AddHistory(AddHistory { package, note, kind, agent, how }) => {
                Work::new(how, Some(&package.clone()), agent.clone().as_deref(), move |planner| {
                    planner.add_history(&package, kind, &note, &Asked { agent, ..Asked::default() })
                })
            }
            Action::FinalizeTasks(how) => Work::new(how, None, None, |planner| {
                planner.finalize();
                Ok(())
            }),
            Action::OrchestrateEvent(orchestrate) => orchestrate.work(),
            Action::Scan(Scan { folder, mut how }) => {
                how.feature = folder.or(how.feature);
                Work { how, package: None, agent: None, plan: Box::new(|planner| Ok(kitty::scan(planner))) }
            }
        }
    }
}

fn move_one(how: How, package: String, to: Lane, asked: Asked) -> Work {
    Work::new(how, Some(&package.clone()), asked.agent.clone().as_deref(), move |planner| {
        planner.move_to(&package, to, &asked)
    })
}

impl Several {
    fn work(self, from: Lane, to: Lane) -> Work {
        let Several { packages, agent, note, how } = self;
        Work::new(how, packages.first().cloned().as_deref(), agent.clone().as_deref(), move |planner| {
            let all = planner.feature().packages.iter().filter(|(_, package)| package.lane == from);
            let all: Vec<String> = if packages.is_empty() { all.map(|(id, _)| id.clone()).collect() } else { packages };
            if all.is_empty() {
                planner.note(format!("no work package is {from}"));
            }
            let asked = Asked { agent, assignee: None, note };
            all.iter().try_for_each(|id| planner.move_to(id, to, &asked))
        })
    }
}

impl Orchestrate {
    fn work(self) -> Work {
        let Orchestrate { what, package, agent, phase, message, how } = self;
        Work::new(how, Some(&package.clone()), agent.clone().as_deref(), move |planner| {
            let name = agent.clone().unwrap_or_default();
            let asked = Asked { agent, assignee: None, note: message.clone() };
            match what {
                Happened::Assigned => planner.assign(&package, &name, phase, false),
                Happened::ReviewStarted => planner.assign(&package, &name, Some(Phase::Review), false),
                Happened::Fallback => planner.assign(&package, &name, phase, true),
                Happened::Implemented => planner.move_to(&package, Lane::ForReview, &asked),
                Happened::Accepted => planner.move_to(&package, Lane::Done, &asked),
                Happened::Rejected => planner.reject(&package, &asked),
                Happened::Failed => {
                    planner.fail(&package, message.as_deref().unwrap_or("the agent failed"), asked.agent.as_deref())
                }
            }
        })
    }
}

fn mark_status(planner: &mut Planner<'_>, ids: &[String], status: &str, asked: &Asked) -> Result<(), KittyError> {
    let packages = ids.iter().filter(|id| work_package_id(id).is_ok()).count();
    if packages == ids.len() {
        let lane: Lane = status.parse().map_err(|why| KittyError::Refused(format!("--status: {why}")))?;
        return ids.iter().try_for_each(|id| planner.move_to(id, lane, asked));
    }
    if packages > 0 {
        return Err(KittyError::Refused("name work packages or subtasks, not both at once".into()));
    }
    match status {
        "done" => planner.mark_subtasks(ids, true, asked),
        "pending" => planner.mark_subtasks(ids, false, asked),
        _ => Err(KittyError::Refused("--status: of subtasks it is done or pending".into())),
    }
}

/// The memory of this project's features.
struct Remembered {
    cursors: Cursors,
    project: PathBuf,
}

impl Memory for Remembered {
    fn recall(&self, feature: &str) -> Result<Option<String>, String> {
        self.cursors.get(SOURCE, &self.project, feature).map_err(|error| error.to_string())
    }

    fn change(&mut self, feature: &str, change: &Rewrite<'_>) -> Result<(), String> {
        let changed = self.cursors.change(SOURCE, &self.project, feature, |old| match change(old.as_deref()) {
            Ok(new) => (Some(new), Ok(())),
            Err(error) => (old, Err(error)),
        });
        changed.map_err(|error| error.to_string())?
    }
}

impl super::Command for Kitty {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let Work { how, package, agent, plan } = self.action.work();
        let emitter = how.emit.reported(terminal, |_| how.emit.open())?;
        let series = Series::new(&how.emit, &emitter, SOURCE, terminal)?;
        let mut ways = Ways { how: &how, emitter: &emitter, terminal, series, feature: None, errors: Vec::new() };
        if let Err(error) = ways.run(plan) {
            ways.errors.push(error);
        }
        let Ways { mut series, feature, errors, terminal, .. } = ways;
        for error in errors.iter().filter(|_| !series.is_interrupted()).collect::<Vec<_>>() {
            let (package, agent) = (package.as_deref(), agent.as_deref());
            let message = relative(&error.to_string(), &emitter);
            let draft = kitty::error_logged(error.is_validation(), &message, package, agent, feature.as_deref());
            if how.emit.dry_run {
                series.preview(draft, terminal);
            } else if series.emit(draft, terminal).is_break() {
                break;
            }
        }
        let interrupted = series.is_interrupted();
        let exit = series.finish(terminal);
        let mut errors = errors.into_iter();
        let Some(first) = errors.next() else { return Ok(exit) };
        for error in errors {
            terminal.warning(&relative(&error.to_string(), &emitter));
        }
        let of_error = if first.is_validation() { Exit::Usage } else { Exit::Io };
        let exit = if interrupted { exit } else { of_error };
        Err(CliError::new(exit, relative(&first.to_string(), &emitter)))
    }
}

/// A message with paths told from the project's folder.
fn relative(message: &str, emitter: &Emitter) -> String {
    message.replace(&format!("{}/", emitter.project().root_text()), "")
}

/// How a plan is carried out and told.
struct Ways<'a> {
    how: &'a How,
    emitter: &'a Emitter,
    terminal: &'a mut Terminal,
    series: Series<'a>,
    feature: Option<String>,
    errors: Vec<KittyError>,
}

impl Ways<'_> {
    fn run(&mut self, plan: MakePlan) -> Result<(), KittyError> {
        let user = UserFolders::of_this_process();
        let here = std::env::current_dir().map_err(|error| KittyError::Io(PathBuf::from("."), error))?;
        let folder = kitty::find(self.emitter.project().root(), &here, self.how.feature.as_deref())?;
        let dry_run = self.how.emit.dry_run;
        let mut memory = self.memory(&user);
        let state = user.state.as_deref().filter(|_| !dry_run);
        // From here on others wait: nothing is printed until the feature is let go.
        let mut session = Session::open(&folder, state, &mut *memory)?;
        self.feature = Some(session.feature().slug.clone());
        let left = if dry_run { 0 } else { session.take_over()? };
        // Without a plan, what was taken over is emitted all the same.
        let plan = match plan(session.planner(Timestamp::now(), self.how.correlation_id)) {
            Ok(plan) => plan,
            Err(error) => {
                self.errors.push(error);
                Plan::default()
            }
        };
        if dry_run {
            self.tell(&plan, &|_| true);
            let drafts = plan.events().iter().filter_map(|event| event.draft());
            drafts.for_each(|draft| self.series.preview(draft, self.terminal));
            return Ok(());
        }
        let prepare = &mut |draft: EventDraft| (draft.kind().to_string(), self.emitter.prepare(draft));
        let (done, outstanding) = session.carry_out(&plan, prepare)?;
        if left > 0 {
            self.terminal.note(&format!("finishing what was begun before: {}", count(left, "event")));
        }
        self.tell(&plan, &|id| outstanding.has(id));
        if done.untold > 0 && done.errors.is_empty() {
            let events = count(done.untold, "event");
            self.terminal.warning(&format!("{events} not emitted: the files do not show what they say"));
        }
        self.errors.extend(done.errors);
        let Ways { series, terminal, .. } = self;
        let left = outstanding.emit(&mut |(kind, prepared)| series.emit_prepared(&kind, prepared, terminal))?;
        if left > 0 {
            let events = count(left, "event");
            self.terminal.note(&format!("{events} not emitted yet: the next command on the feature does that"));
        }
        Ok(())
    }

    /// Where features are remembered. Without a place for that the command works all the same, and forgets.
    fn memory(&mut self, user: &UserFolders) -> Box<dyn Memory> {
        let project = self.emitter.project().identity();
        let is_there = || matches!(store::inspect(user), Ok(Some(_)));
        if self.how.emit.dry_run && !is_there() {
            return Box::new(Forgetful::default());
        }
        match Cursors::open(user) {
            Ok(cursors) => Box::new(Remembered { cursors, project }),
            Err(error) => {
                self.terminal.warning(&format!("what is told now is not remembered: {error}"));
                Box::new(Forgetful::default())
            }
        }
    }

    /// Says what happened, or would: of the events, those that `are_true`.
    fn tell(&mut self, plan: &Plan, are_true: &dyn Fn(&str) -> bool) {
        let EmitOptions { json, jsonl, quiet, .. } = self.how.emit;
        for warning in &plan.warnings {
            self.terminal.warning(&relative(warning, self.emitter));
        }
        if quiet {
            return;
        }
        for note in &plan.notes {
            self.terminal.note(&one_line(&relative(note, self.emitter)));
        }
        let moves = plan.events().iter().filter(|event| are_true(event.id())).filter_map(|event| {
            Some((event.field("wp_id")?, event.field("previous_status")?, event.field("new_status")?))
        });
        for (id, from, to) in moves.filter(|_| !json && !jsonl) {
            self.terminal.line(&format!("{id}: {from} → {to}"));
        }
    }
}
