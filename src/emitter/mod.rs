//! Makes events and sends them on their way: the one door to the path every event takes.

mod causal;
mod course;
mod follow;
mod foreign;
mod guards;
mod missed;
mod opening;
mod options;
mod prepared;
mod report;
mod row;
mod strict;
mod traced;

pub use causal::Sync;
pub use course::Emission;
pub use guards::MissingGuard;
pub use options::EmitterOptions;
pub use prepared::Prepared;
pub use report::{EmitOutcome, EmitReport, Preview};
pub use strict::Unreviewed;

use course::{Course, NEVER};
use follow::MAX_FOLLOW_UPS;
use guards::Remembered;
use opening::Plan;
use row::Rows;

use crate::audit::{AuditLog, AuditRecord};
use crate::cache::Kept;
use crate::config::{Diagnostic, Found, Limits, Loaded, Severity, accept_safe};
use crate::delivery::{Merged, Occasion, UNREADABLE_HELP};
use crate::dispatch::{Background, Dispatcher, Watcher, note, shorten_answer};
use crate::event::{Event, EventDraft, EventError, EventId, Versions};
use crate::matcher::Match;
use crate::project::{Project, UserFolders};
use crate::registry;
use crate::runner::{CallerEnvironment, Sandboxes, Scratch, Secrets, Surroundings};
use crate::store::Key;
use crate::sys::{self, Interrupts, Platform, Signal};
use crate::time::Timestamp;
use crate::trust::{Guard, TrustStore};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Emits events of one project to its hooks.
///
/// ```no_run
/// use knockon::{Emitter, drafts};
///
/// let emitter = Emitter::discover(".")?;
/// let report = emitter.emit(drafts::task_completed("task-123").feature("user-auth"));
/// for hook in report.hooks() {
///     println!("{}: {}", hook.name, hook.outcome.status);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Emitter {
    project: Project,
    user: UserFolders,
    /// The configuration as it was kept by an earlier process, until the first event took its part.
    kept: Mutex<Option<Kept>>,
    /// The whole configuration, once somebody needs it.
    whole: OnceLock<Plan>,
    /// Why it is not the content that was reviewed that decides, once that was asked for.
    unreviewed: OnceLock<Option<Unreviewed>>,
    /// The names of the user and of this machine, once they were asked for.
    user_name: OnceLock<String>,
    host: OnceLock<String>,
    /// Guards that were trusted here, and whose content is another one now or gone.
    remembered: Vec<Remembered>,
    /// A second configuration of the project, which is not read, and its hooks once an event may be for them.
    ignored: Option<Found>,
    ignored_hooks: OnceLock<Plan>,
    audit: AuditLog,
    /// Whether events follow each other without a pause.
    rows: Rows,
    store: TrustStore,
    /// What hooks get of this process's environment, once there is a hook to run.
    caller: OnceLock<CallerEnvironment>,
    platform: Box<dyn Platform>,
    scratch: Scratch,
    secrets: Secrets,
    sandboxes: Sandboxes,
    /// What the user and the machine allow hooks at most, once there is a hook to run.
    limits: OnceLock<Limits>,
    /// How many events led to this process (`KNOCKON_CHAIN`).
    chain: u32,
    /// When it was opened, until the first event is made: opening it is part of what that one takes.
    opened: Mutex<Option<Instant>>,
    /// The queue of events for the team, once there is one for it.
    queue: Mutex<causal::Queue>,
    /// How many events its user lets it have.
    most_events: OnceLock<Option<u64>>,
    /// Processes that carry out what nobody waits for.
    children: Mutex<Vec<Child>>,
    options: EmitterOptions,
}

impl Emitter {
    /// An emitter for the project that `start` is in, with the settings of this process's user.
    ///
    /// # Errors
    /// `start` does not exist.
    pub fn discover(start: impl AsRef<Path>) -> io::Result<Self> {
        let user = UserFolders::of_this_process();
        let project = accept_safe(Project::discover(start.as_ref(), user.home.as_deref())?, &user);
        Ok(Self::open(project, &user, EmitterOptions::default()))
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The root of the project that this one lies in and inherits nothing from, if there is one: its hooks do not run here.
    pub fn outer_project(&self) -> Option<PathBuf> {
        if self.loaded().files.iter().any(|file| file.inherited.is_some()) {
            return None;
        }
        let outer = self.project.outer(self.user.home.as_deref())?;
        Some(outer.root().to_owned())
    }

    /// The commit that its hooks are read from, if one was named.
    pub fn commit(&self) -> Option<&crate::git::Exported> {
        self.options.commit.as_ref()
    }

    /// Its hooks and the files they are in.
    pub fn loaded(&self) -> &Loaded {
        &self.whole().loaded
    }

    /// What is wrong with its configuration.
    pub fn problems(&self) -> &[Diagnostic] {
        &self.whole().problems
    }

    /// Why the policy lets no hook run, if it does not.
    pub fn policy_problem(&self) -> Option<&Diagnostic> {
        self.limits().broken.as_ref()
    }

    /// What the user and the machine allow hooks at most.
    pub fn limits(&self) -> &Limits {
        self.limits.get_or_init(|| Limits::load(&self.user))
    }

    /// Its audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// What its user trusted.
    pub fn store(&self) -> &TrustStore {
        &self.store
    }

    /// The environment its hooks get a part of.
    pub fn caller(&self) -> &CallerEnvironment {
        self.caller.get_or_init(CallerEnvironment::of_this_process)
    }

    /// The name of the user, as the environment has it; empty when that says none.
    fn user_name(&self) -> &str {
        self.user_name.get_or_init(|| std::env::var("USER").unwrap_or_default())
    }

    /// The name of this machine.
    fn host(&self) -> &str {
        self.host.get_or_init(sys::host_name)
    }

    /// Makes the event, records it, and runs the hooks it matches, waiting for them.
    ///
    /// Never panics, and returns no error the caller would have to handle: the report has it all. Hooks
    /// run in the calling thread; several threads may share one emitter.
    pub fn emit(&self, draft: EventDraft) -> EmitReport {
        self.emit_as(draft, Emission { source: "library", ..Emission::default() })
    }

    /// As [`Emitter::emit`], with a watcher.
    pub fn emit_as(&self, draft: EventDraft, emission: Emission<'_>) -> EmitReport {
        let occasion = Occasion { source: emission.source, chain: self.chain, ..Occasion::default() };
        Self::traced(self.course(occasion, emission), |course| self.emit_on(draft, course, &mut { MAX_FOLLOW_UPS }))
    }

    /// Makes the event, and queues it for the team when it is one of a work package: the first half of
    /// [`Emitter::emit`]. Of several events that are prepared, the clock has the order in which they were.
    pub fn prepare(&self, draft: EventDraft) -> Prepared {
        let mut report = self.admit(&draft);
        let is_document = draft.is_document();
        let made = self.make(draft, &mut report);
        report.warnings.extend(made.as_ref().ok().and_then(|event| self.foreign_id(event)));
        report.warnings.extend(made.iter().filter(|_| is_document).flat_map(Self::foreign_files));
        Prepared { report, made }
    }

    /// Records a prepared event and runs the hooks it matches, waiting for them: the other half.
    pub fn emit_prepared(&self, prepared: Prepared, emission: Emission<'_>) -> EmitReport {
        let occasion = Occasion { source: emission.source, chain: self.chain, ..Occasion::default() };
        Self::traced(self.course(occasion, emission), |course| self.go_on(prepared, course, &mut { MAX_FOLLOW_UPS }))
    }

    /// The signal that came while no hook ran, if one did and signals are listened to.
    pub fn take_interrupt(&self) -> Option<Signal> {
        self.options.interrupts.as_ref().and_then(Interrupts::take)
    }

    fn course<'a>(&self, occasion: Occasion, emission: Emission<'a>) -> Course<'a> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Emission { watcher, durable, .. } = emission;
        Course {
            occasion,
            watcher,
            durable,
            begun: opened.unwrap_or_else(Instant::now),
            earlier: NEVER,
            #[cfg(feature = "otel")]
            spans: None,
        }
    }

    fn emit_on(&self, draft: EventDraft, course: Course<'_>, left: &mut usize) -> EmitReport {
        self.go_on(self.prepare(draft), course, left)
    }

    fn go_on(&self, prepared: Prepared, course: Course<'_>, left: &mut usize) -> EmitReport {
        let Prepared { mut report, made } = prepared;
        match made {
            Ok(event) => {
                // What is compared with what was reviewed has to be what is matched: one reading for both.
                let is_compared = self.options.strict || self.options.trust_hash.is_some();
                let part = if is_compared { None } else { self.part(&event) };
                let plan = part.as_ref().unwrap_or_else(|| self.whole());
                let matches = plan.matcher.matches(&event);
                self.send(&mut report, event, plan, &matches, course);
            }
            Err(refused) => self.refuse(&mut report, refused),
        }
        self.follow(&mut report, course, left);
        report
    }

    /// Makes the event and runs one hook with it, whether it matches or not and whether it is enabled
    /// or not. It still has to be trusted. That is for trying it: no spans of it are exported.
    pub fn emit_to_hook(&self, draft: EventDraft, hook: usize, emission: Emission<'_>) -> EmitReport {
        let mut report = self.admit(&draft);
        let occasion = Occasion { source: emission.source, chain: self.chain, attended: true, ..Occasion::default() };
        match self.stamp(draft) {
            Ok(event) => {
                let course = self.course(occasion, emission);
                self.send(&mut report, event, self.whole(), &[Match { hook, entry: None }], course);
            }
            Err(refused) => self.refuse(&mut report, refused),
        }
        report
    }

    fn admit(&self, draft: &EventDraft) -> EmitReport {
        EmitReport { warnings: registry::admit(draft.kind()).into_iter().collect(), ..EmitReport::default() }
    }

    fn refuse(&self, report: &mut EmitReport, refused: EventError) {
        report.problems = self.problems().to_vec();
        report.refused = Some(refused);
    }

    /// Records an event, and runs the hooks it matched.
    fn send(&self, report: &mut EmitReport, event: Event, plan: &Plan, matches: &[Match], course: Course<'_>) {
        let mut unrecorded = Vec::new();
        let mut record = |record: &AuditRecord<'_>| {
            let appended = self.rows.append(&self.audit, record);
            if let Err(error) = &appended {
                note(&mut unrecorded, error);
            }
            appended
        };
        let now = Timestamp::now();
        let commit = self.options.commit.as_ref().map(|commit| (commit.commit.as_str(), commit.reference.as_str()));
        let emitted = AuditRecord::emitted(&event, commit, course.begun.elapsed(), now);
        let emitted = emitted.made_by(course.occasion.source).by(self.user_name(), self.host());
        let recorded = record(&emitted);
        if course.durable {
            let stored = recorded.and_then(|()| self.audit.sync());
            report.not_stored = stored.err().map(|error| error.to_string());
        }
        let is_recorded =
            |problem: &&Diagnostic| problem.severity == Severity::Error || problem.code == Diagnostic::NOT_INCLUDED;
        for problem in plan.problems.iter().filter(is_recorded) {
            // What goes wrong is kept by `record`.
            let _ = record(&AuditRecord::problem(&event, problem.to_string(), now));
        }
        report.problems = plan.problems.clone();
        if !matches.is_empty()
            && let Err(error) = self.rows.pause(&self.audit)
        {
            note(&mut unrecorded, &error);
        }
        self.dispatch(report, &event, plan, matches, course);
        self.report_invalid(report, &event, plan, now);
        report.warnings.extend(self.project.deleted().map(|folder| {
            let folder = folder.display();
            format!("the working folder {folder} was deleted: only your own hooks run")
        }));
        report.warnings.extend(self.project.refused().map(ToString::to_string));
        report.warnings.extend(self.user.warnings());
        report.warnings.extend(self.unknown_skips());
        self.report_ignored(report, &event, now);
        report.guards = self.missing_guards(&event, report.dispatched.blocked.as_ref());
        for guard in &report.guards {
            // What goes wrong is kept by `record`.
            let error = format!("the guard `{}` did not run: {}", guard.name, guard.why);
            let _ = self.rows.append(&self.audit, &AuditRecord::problem(&event, error, now));
        }
        report.unreviewed = self.unreviewed().cloned().or_else(|| self.mistyped(&event, matches));
        report.guards_enforced = !report.guards.is_empty() && self.enforces_guards();
        report.warnings.extend(self.audit.warnings());
        let told = |problem: &Diagnostic| format!("{problem}; defaults hold, and no old record is removed");
        report.warnings.extend(self.audit.problems().iter().map(told));
        report.dispatched.unrecorded.splice(0..0, unrecorded);
        report.dispatched.unrecorded.dedup();
        report.event = Some(event);
    }

    /// Delivers an event of the past to hooks, whether they match or not and whether they are enabled or not.
    /// They still have to be trusted. `earlier` is how often each was tried before.
    pub fn deliver(
        &self,
        event: Event,
        matches: &[Match],
        occasion: Occasion,
        earlier: &BTreeMap<usize, u32>,
        watcher: Option<&dyn Watcher>,
    ) -> EmitReport {
        let mut report = EmitReport { problems: self.problems().to_vec(), ..EmitReport::default() };
        let course = Course { earlier, ..self.course(occasion, Emission { watcher, ..Emission::default() }) };
        Self::traced(course, |course| {
            #[cfg(feature = "otel")]
            course.spans.inspect(|spans| spans.deliver_next());
            self.dispatch(&mut report, &event, self.whole(), matches, course);
            report.event = Some(event);
            self.follow(&mut report, course, &mut { MAX_FOLLOW_UPS });
            report
        })
    }

    /// The hooks that an event of the past triggers now.
    pub fn matches(&self, event: &Event) -> Vec<Match> {
        self.whole().matcher.matches(event)
    }

    fn dispatch(&self, report: &mut EmitReport, event: &Event, plan: &Plan, matches: &[Match], course: Course<'_>) {
        let Course { occasion, watcher, earlier, .. } = course;
        #[cfg(feature = "otel")]
        let span = course.spans.and_then(|spans| spans.begin(event, self.caller(), occasion));
        if matches.is_empty() {
            #[cfg(feature = "otel")]
            if let Some(span) = span {
                span.end(report.error());
            }
            return;
        }
        #[cfg(feature = "otel")]
        let occasion = Occasion { trace: span.as_ref().map(|span| span.place()), ..occasion };
        let key = Key {
            project: self.project.root().to_owned(),
            config: self.options.config.as_ref().map(|path| std::path::absolute(path).unwrap_or(path.clone())),
            trust_hash: self.options.trust_hash.as_ref().map(ToString::to_string),
        };
        let (program, search) = (self.options.program, self.caller().search_path());
        let background = Background::new(&self.user, key, program, search, &self.children);
        // The folder of a commit is gone when this process is.
        let background = Some(&background).filter(|_| !occasion.attended && self.options.commit.is_none());
        let state = self.user.state.as_deref();
        let dispatcher = Dispatcher { occasion, watcher, background, state, earlier, ..self.dispatcher(plan) };
        #[cfg(feature = "otel")]
        let dispatcher = Dispatcher { span: span.as_ref(), ..dispatcher };
        report.dispatched = dispatcher.dispatch(event, matches);
        #[cfg(feature = "otel")]
        if let Some(span) = span {
            span.end(report.error());
        }
        self.take_answers(report, event.id());
    }

    /// Makes one answer of what the hooks answered.
    fn take_answers(&self, report: &mut EmitReport, event: EventId) {
        let folder = self.user.state.as_ref().map(|state| state.join("answers"));
        for hook in &mut report.dispatched.hooks {
            let Some(answer) = &mut hook.outcome.answer else { continue };
            let help = if answer.unreadable { format!("; {UNREADABLE_HELP}") } else { String::new() };
            report.warnings.extend(answer.problems.iter().map(|problem| format!("`{}`: {problem}{help}", hook.name)));
            shorten_answer(answer, folder.as_deref(), event, &hook.name);
        }
        let answers: Vec<_> = report
            .dispatched
            .hooks
            .iter()
            .filter_map(|hook| Some((hook.name.as_str(), hook.outcome.answer()?)))
            .collect();
        let answers = answers.iter().map(|(hook, answer)| (*hook, answer.as_ref()));
        report.answer = Merged::of(answers.filter(|(_, answer)| !answer.is_empty()));
    }

    /// What [`Emitter::emit`] would do. Nothing is run and nothing recorded.
    ///
    /// # Errors
    /// The draft makes no valid event.
    pub fn preview(&self, draft: EventDraft) -> Result<Preview, EventError> {
        let mut warnings: Vec<String> = registry::admit(draft.kind()).into_iter().collect();
        causal::inspect(&draft, &mut warnings);
        let event = self.stamp(draft)?;
        let dispatcher = self.dispatcher(self.whole());
        let matches = self.whole().matcher.matches(&event);
        let mut guard = dispatcher.guard();
        let hooks = matches.into_iter().map(|matched| (matched, guard.verdict(matched.hook))).collect();
        Ok(Preview { event, hooks, warnings })
    }

    /// Lets signals end this process as usual again, when no hook is run any more. What such an end would leave behind
    /// is removed before.
    pub fn release_signals(&self) {
        self.scratch.clear();
        if let Some(interrupts) = &self.options.interrupts {
            interrupts.release();
        }
    }

    /// How many events led to this process.
    pub fn chain(&self) -> u32 {
        self.chain
    }

    /// Why the caller's environment leaves a hook out, if it does.
    pub fn left_out(&self, hook: &str) -> Option<&'static str> {
        self.options.skip.why(hook)
    }

    /// Decides about each hook whether it may run.
    pub fn guard(&self) -> Guard<'_> {
        self.dispatcher(self.whole()).guard()
    }

    fn stamp(&self, draft: EventDraft) -> Result<Event, EventError> {
        let now = Timestamp::now();
        draft.stamp_as(EventId::generate(now), now, &self.project.root_text(), self.versions())
    }

    fn dispatcher<'p>(&'p self, plan: &'p Plan) -> Dispatcher<'p> {
        Dispatcher {
            surroundings: Surroundings {
                project: &self.project,
                here: &self.project,
                caller: self.caller(),
                platform: &*self.platform,
                scratch: &self.scratch,
                sandboxes: &self.sandboxes,
                limits: self.limits(),
                secrets: &self.secrets,
            },
            loaded: &plan.loaded,
            audit: &self.audit,
            store: &self.store,
            given_hash: self.options.trust_hash.as_ref(),
            interrupts: self.options.interrupts.as_ref(),
            versions: self.versions(),
            skip: &self.options.skip,
            once: self.options.once,
            occasion: Occasion::default(),
            watcher: None,
            background: None,
            state: None,
            earlier: NEVER,
            #[cfg(feature = "otel")]
            span: None,
        }
    }

    fn versions(&self) -> &'static Versions {
        self.options.versions.unwrap_or(Versions::PUBLISHED)
    }
}
