//! Guards that did not run: hooks with `fail_mode: stop` that the user trusted, whose content became invalid, changed or
//! absent since. The trust store remembers them; nothing in a project can make it forget.

use super::opening::Plan;
use super::{Emitter, EmitterOptions};
use crate::config::{ConfigFile, Diagnostic, GuardMode, Origin, Severity, UserSettings};
use crate::event::Event;
use crate::matcher::Rule;
use crate::project::{Layout, Project};
use crate::text::one_line;
use crate::trust::{Manifest, TrustStore, Trusted, TrustedGuard, Verdict, verdict};
use std::path::{Path, PathBuf};

/// A guard that should have run and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingGuard {
    /// The hook's name.
    pub name: String,
    /// Why it did not run.
    pub why: String,
    /// What to do about it.
    pub help: &'static str,
}

const REVIEW: &str = "review with `knockon trust`";
const CORRECT: &str = "`knockon validate` shows what to correct";
const GIVE_BACK: &str = "correct that first";
const BRING_BACK: &str = "bring it back, or give the guard up with `knockon untrust`";

const OTHER_FOLDER: &str = "run it in a folder that exists";
const SET_ASIDE: &str = "unset KNOCKON_CONFIG, or name the configuration with `--config` if it is meant";

/// Guards of content that is not what was trusted any more.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    guards: Vec<TrustedGuard>,
    why: String,
    help: &'static str,
}

/// The guards that the user trusted in this project and that `plan` does not have as they were trusted. `explicit` is the
/// configuration that was named instead of the project's.
pub(super) fn remembered(
    project: &Project,
    plan: &Plan,
    store: &TrustStore,
    explicit: Option<&Path>,
) -> Vec<Remembered> {
    let file = plan.loaded.project_file();
    let explicit = explicit.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let records = match (&explicit, file) {
        (Some(path), _) => store.find(project, path).ok().flatten().into_iter().collect(),
        // With nothing here, the project may have been one of the folders above.
        (None, None) => {
            let named = project.named_ancestors();
            let roots = project.start().ancestors().chain(named.iter().map(PathBuf::as_path));
            store.of_projects(roots, Layout::CONFIG_FILES)
        }
        (None, Some(_)) => {
            // What lies between was a project of its own, if it was trusted as one.
            store.of_projects(project.below_root().chain([project.root()]), Layout::CONFIG_FILES)
        }
    };
    let has_no_record = records.is_empty();
    let own = records.into_iter().map(|record| (record, file, project));
    let inherited = plan.loaded.project_files().filter_map(|file| {
        let outer = &file.inherited.as_ref()?.project;
        Some((store.find(outer, &file.path).ok().flatten()?, Some(file), outer))
    });
    // What is inherited is judged by its own record.
    let is_among = |guard: &TrustedGuard, inherited: bool| {
        let hooks = plan.loaded.hooks.iter().filter(|hook| plan.loaded.file_of(hook).inherited.is_some() == inherited);
        hooks.into_iter().any(|hook| hook.hook.name.as_str() == guard.name && hook.hook.events == guard.events)
    };
    let inherited = inherited.map(|inherited| (inherited, false));
    let all = own.map(|own| (own, true)).chain(inherited);
    let gone = all.filter_map(|((record, file, project), is_own)| {
        let mut guards = record.guards.clone();
        guards.retain(|guard| !(is_own && is_among(guard, true)));
        let gone = why_gone(&record, file, plan, (project, store));
        if gone.is_none() {
            // The file is what was trusted; what it inherited then is not there any more.
            guards.retain(|guard| is_own && !is_among(guard, false));
        }
        (!guards.is_empty()).then_some(())?;
        let (why, help) = gone.unwrap_or_else(|| match outer_error(plan) {
            Some(why) => (why, CORRECT),
            None => ("it was inherited from an outer project, and is not any more".into(), BRING_BACK),
        });
        Some(Remembered { why, help, guards })
    });
    let mut gone: Vec<Remembered> = gone.flat_map(|gone| apart_by_error(gone, plan)).collect();
    // The record of the outer project knows better than that of the one that inherits.
    for at in (0..gone.len()).rev() {
        let (before, after) = gone.split_at_mut(at);
        let Some(known) = after.first() else { continue };
        before.iter_mut().for_each(|other| other.guards.retain(|guard| !known.guards.contains(guard)));
    }
    gone.retain(|gone| !gone.guards.is_empty());
    if explicit.is_none() && has_no_record {
        gone.extend(of_other_worktrees(project, file, store));
    }
    gone
}

/// The guards of the project's own configuration, in whose place a variable names another one.
pub(super) fn set_aside(project: &Project, store: &TrustStore, options: &EmitterOptions) -> Vec<Remembered> {
    let explicit = options.config.as_deref().filter(|_| options.config_of_environment && options.trust_hash.is_none());
    let Some(explicit) = explicit else { return Vec::new() };
    let named = explicit.canonicalize().unwrap_or_else(|_| explicit.to_owned());
    let records = store.of_projects([project.root()].into_iter(), Layout::CONFIG_FILES).into_iter();
    let others = records.filter(|record| !record.guards.is_empty() && Path::new(&record.config) != named);
    let set_aside = others.map(|record| Remembered {
        why: format!(
            "KNOCKON_CONFIG names {} instead of {}",
            one_line(&named.to_string_lossy()),
            one_line(&record.config)
        ),
        help: SET_ASIDE,
        guards: record.guards,
    });
    set_aside.collect()
}

/// What is wrong with the configuration that the project inherits, if something is.
fn outer_error(plan: &Plan) -> Option<String> {
    let own = plan.loaded.project_file()?.path.parent()?;
    let mut errors = plan.problems.iter().filter(|problem| problem.is_of_whole_file());
    let error = errors.find(|error| error.code == Diagnostic::NOTHING_TO_INHERIT || !error.path.starts_with(own))?;
    Some(format!("it is inherited, and {}: {}", one_line(&error.path.to_string_lossy()), one_line(&error.message)))
}

/// The guards of what was trusted in another worktree of the same repository, where the content here is another one.
fn of_other_worktrees(project: &Project, file: Option<&ConfigFile>, store: &TrustStore) -> Vec<Remembered> {
    let others = project.in_other_worktrees();
    let records = store.of_projects(others.iter().map(PathBuf::as_path), Layout::CONFIG_FILES);
    let hash = file.filter(|_| !records.is_empty()).map(|file| Manifest::of(file).hash());
    if records.iter().any(|record| Some(&record.hash) == hash.as_ref()) {
        return Vec::new();
    }
    let remembered = records.into_iter().filter(|record| !record.guards.is_empty()).map(|record| {
        let trusted_in = one_line(&record.project);
        let (why, help) = match file {
            Some(_) => (format!("the content differs from what was trusted in the worktree {trusted_in}"), REVIEW),
            None => {
                (format!("there is no hooks.yaml here, and one was trusted in the worktree {trusted_in}"), BRING_BACK)
            }
        };
        Remembered { guards: record.guards, why, help }
    });
    remembered.take(1).collect()
}

/// The same, with each guard whose own configuration has an error by itself: trusting it again does not make it run.
fn apart_by_error(gone: Remembered, plan: &Plan) -> Vec<Remembered> {
    let problem = |guard: &TrustedGuard| plan.loaded.invalid.iter().find(|invalid| invalid.name == guard.name);
    let (invalid, guards): (Vec<_>, Vec<_>) = gone.guards.into_iter().partition(|guard| problem(guard).is_some());
    let of_error = invalid.into_iter().map(|guard| {
        let problem = problem(&guard).map(|invalid| one_line(&invalid.problem)).unwrap_or_default();
        Remembered { why: format!("its configuration has an error: {problem}"), help: CORRECT, guards: vec![guard] }
    });
    let rest = (!guards.is_empty()).then_some(Remembered { guards, why: gone.why, help: gone.help });
    of_error.chain(rest).collect()
}

/// The guards of projects between a project's root and where it was looked for, which are none any more.
pub(super) fn lost_between(project: &Project, store: &TrustStore) -> Vec<Remembered> {
    let records = store.of_projects(project.below_root(), Layout::CONFIG_FILES).into_iter();
    let lost = records.filter(|record| !record.guards.is_empty()).map(|record| Remembered {
        why: format!("{} does not exist any more", one_line(&record.config)),
        help: BRING_BACK,
        guards: record.guards,
    });
    lost.collect()
}

/// Why the content of a record is not what runs now, and what to do; nothing when it is.
fn why_gone(
    record: &Trusted,
    file: Option<&ConfigFile>,
    plan: &Plan,
    (project, store): (&Project, &TrustStore),
) -> Option<(String, &'static str)> {
    let path = Path::new(&record.config);
    let shown = one_line(&record.config);
    if project.deleted().is_some() {
        return Some(("the working folder was deleted, and project hooks do not run there".into(), OTHER_FOLDER));
    }
    // An error of a file that belongs to it, such as hooks.local.yaml, disables its hooks as well.
    let error = plan.problems.iter().find(|problem| {
        problem.disables_file() && path.parent().is_some_and(|folder| problem.path.starts_with(folder))
    });
    match file {
        _ if error.is_some() => {
            let error_path = |error: &Diagnostic| one_line(&error.path.to_string_lossy());
            error.map(|error| (format!("{} has an error: {}", error_path(error), one_line(&error.message)), CORRECT))
        }
        Some(file) if file.path == path => {
            let manifest = Manifest::of(file);
            match manifest.refusal() {
                Some(why) => Some((one_line(why), GIVE_BACK)),
                None if manifest.hash() == record.hash => match verdict(project, file, None, store).0 {
                    Verdict::Refused(why) => Some((one_line(&why), GIVE_BACK)),
                    _ => None,
                },
                None => Some((Verdict::Changed(manifest.changes_since(record)).to_string(), REVIEW)),
            }
        }
        Some(file) if path.exists() && file.path.starts_with(&record.project) => {
            Some((format!("{} is read instead of {shown}", one_line(&file.path.to_string_lossy())), BRING_BACK))
        }
        _ if path.symlink_metadata().is_ok() => Some((format!("{shown} cannot be read"), GIVE_BACK)),
        _ => Some((format!("{shown} does not exist any more"), BRING_BACK)),
    }
}

impl Emitter {
    /// The guards that `event` should have run, among those that were remembered when the configuration was read.
    /// `blocked` is why the project's hooks did not run, if they did not.
    pub(super) fn missing_guards(&self, event: &Event, blocked: Option<&Verdict>) -> Vec<MissingGuard> {
        // Scripts are looked at only when a hook is about to start.
        let late = matches!(blocked, Some(Verdict::Changed(_) | Verdict::Refused(_))) && self.remembered.is_empty();
        let found = if late { self.remember(self.whole()) } else { Vec::new() };
        let all = if late { &found } else { &self.remembered };
        let missing = all.iter().flat_map(|remembered| {
            let (why, help) = match blocked {
                Some(verdict @ Verdict::Refused(_)) => (verdict.to_string(), GIVE_BACK),
                _ => (remembered.why.clone(), remembered.help),
            };
            let needed = remembered.guards.iter().filter(|guard| is_for(guard, event));
            needed.map(move |guard| MissingGuard { name: guard.name.clone(), why: why.clone(), help })
        });
        missing.collect()
    }

    /// The guards that `event` should run and that would be missing: not those of hooks that match it, which are reported by themselves.
    pub fn guards_missed_by(&self, event: &Event) -> Vec<MissingGuard> {
        let matched = self.matches(event);
        let loaded = &self.whole().loaded;
        let is_told = |guard: &MissingGuard| {
            matched.iter().any(|matched| loaded.hooks[matched.hook].hook.name.as_str() == guard.name)
        };
        let mut missing = self.missing_guards(event, None);
        missing.retain(|guard| !is_told(guard));
        missing
    }

    /// The remembered guards of `plan`: none where something else than the trust store says what may run.
    fn remember(&self, plan: &Plan) -> Vec<Remembered> {
        if self.options.trust_hash.is_some() || self.options.commit.is_some() {
            return Vec::new();
        }
        let mut all = remembered(&self.project, plan, &self.store, self.options.config.as_deref());
        all.extend(set_aside(&self.project, &self.store, &self.options));
        all
    }

    /// The guards that the trust store remembers here and whose content is not what was trusted: names, and why.
    pub fn changed_guards(&self) -> Vec<MissingGuard> {
        let all = self.remember(self.whole());
        let missing = all.iter().flat_map(|remembered| {
            let Remembered { guards, why, help } = remembered;
            guards.iter().map(|guard| MissingGuard { name: guard.name.clone(), why: why.clone(), help })
        });
        missing.collect()
    }

    /// Whether the user's settings make a missing guard stop the caller.
    pub(super) fn enforces_guards(&self) -> bool {
        let (settings, problems) = UserSettings::load(&self.user);
        // Settings that cannot be read may have said so.
        settings.guards == GuardMode::Enforce || problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

fn is_for(guard: &TrustedGuard, event: &Event) -> bool {
    let file = ConfigFile::without_content(Origin::Project);
    let rules = guard.events.iter().map(|entry| Rule::compile(&file, entry, &mut Vec::new()));
    // One that this version does not understand may be for any event.
    rules.into_iter().any(|rule| rule.is_none_or(|rule| rule.holds(event)))
}
