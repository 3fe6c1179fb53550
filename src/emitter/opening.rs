//! Opening an emitter: the configuration out of the cache, or read and compiled.

use super::course::chain_of_this_process;
use super::row::Rows;
use super::{Emitter, EmitterOptions, guards};
use crate::audit::AuditLog;
use crate::cache::{ConfigCache, Kept};
use crate::config::{self, Diagnostic, Found, InvalidHook, Loaded, LoadedHook, Origin};
use crate::event::Event;
use crate::matcher::Matcher;
use crate::project::{Project, UserFolders, UserKey};
use crate::runner::{Sandboxes, Scratch, Secrets};
use crate::trust::TrustStore;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// A configuration, or the part of one that an event may concern.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) loaded: Loaded,
    pub(super) matcher: Matcher,
    pub(super) problems: Vec<Diagnostic>,
}

impl Plan {
    pub(super) fn of(mut loaded: Loaded) -> Self {
        let (matcher, unclear) = Matcher::compile(&loaded);
        let invalid = matcher.broken().iter().map(|&at| {
            let LoadedHook { file, hook } = &loaded.hooks[at];
            InvalidHook::of(*file, at, hook, &unclear)
        });
        let invalid: Vec<InvalidHook> = invalid.collect();
        loaded.invalid.extend(invalid);
        let mut problems = std::mem::take(&mut loaded.problems);
        problems.extend(unclear);
        Plan { loaded, matcher, problems }
    }
}

/// Marks the files of projects in which nothing was trusted so far: what such a file includes is not read, so that a
/// repository costs an emit no more than its hooks.yaml and the two files beside it.
fn withhold_includes(found: &mut [Found], project: &Project, store: &TrustStore) {
    let may_include = |found: &&mut Found| {
        found.origin == Origin::Project && found.bytes.windows(7).any(|window| window == b"include")
    };
    for found in found.iter_mut().filter(may_include) {
        let project = found.inherited.as_ref().map_or(project, |inherited| &inherited.project);
        let record = store.find(project, &found.path).ok().flatten();
        if record.is_none() && store.of_other_worktrees(project, &found.path).is_empty() {
            found.withhold_includes();
        }
    }
}

impl Emitter {
    /// An emitter for `project`. A configuration that cannot be read disables its hooks, and every report
    /// says so.
    pub fn open(project: Project, user: &UserFolders, options: EmitterOptions) -> Self {
        let commit = options.commit.as_ref().map(|commit| (commit.config.as_path(), Origin::Commit));
        let opened = Instant::now();
        let named = commit.or_else(|| Some((options.config.as_deref()?, Origin::Project)));
        let config::Located { found, problems, ignored } = config::find(&project, user, named);
        let key = UserKey::of(user);
        let store = TrustStore::of(user);
        let cache = ConfigCache::of(user, key.clone(), store.last_decided());
        let (mut kept, whole, mut remembered) = (None, OnceLock::new(), Vec::new());
        let changed = |plan: &Plan| match &commit {
            None => guards::remembered(&project, plan, &store, options.config.as_deref()),
            Some(_) => Vec::new(),
        };
        // A hash that is given says what may run, and not the trust store.
        let remember = |plan: &Plan| if options.trust_hash.is_none() { changed(plan) } else { Vec::new() };
        let has_own = found.iter().any(|found| found.origin != Origin::User);
        match if problems.is_empty() && commit.is_none() { cache.find(found) } else { Err(found) } {
            Ok(known) => {
                if !has_own {
                    remembered = remember(&Plan::of(Loaded::default()));
                } else if project.start() != project.root() {
                    remembered = guards::lost_between(&project, &store);
                }
                kept = Some(known);
            }
            Err(mut found) => {
                if options.trust_hash.is_none() && !options.reviews {
                    withhold_includes(&mut found, &project, &store);
                }
                let plan = whole.get_or_init(|| Plan::of(config::read(&found, problems)));
                let changed = changed(plan);
                // A commit's are in another folder each time. Where guards are missing, each process has to find out, also after one
                // that was given a hash.
                let is_whole = !plan.problems.iter().any(|problem| problem.code == Diagnostic::NOT_INCLUDED);
                let is_kept = commit.is_none() && changed.is_empty() && is_whole;
                if options.trust_hash.is_none() {
                    remembered = changed;
                }
                if is_kept {
                    cache.keep(&found, &plan.loaded, &plan.matcher, &plan.problems);
                }
            }
        }
        remembered.extend(guards::set_aside(&project, &store, &options));
        Emitter {
            audit: AuditLog::with_key(&project, user, key),
            rows: Rows::default(),
            store,
            remembered,
            user_name: OnceLock::new(),
            host: OnceLock::new(),
            ignored,
            ignored_hooks: OnceLock::new(),
            unreviewed: OnceLock::new(),
            caller: OnceLock::new(),
            platform: crate::sys::platform(),
            scratch: Scratch::of(user.state.as_deref()),
            secrets: Secrets::of(user.state.clone()),
            sandboxes: Sandboxes::default(),
            limits: OnceLock::new(),
            queue: Mutex::default(),
            most_events: OnceLock::new(),
            children: Mutex::default(),
            chain: chain_of_this_process(),
            opened: Mutex::new(Some(opened)),
            user: user.clone(),
            project,
            kept: Mutex::new(kept),
            whole,
            options,
        }
    }

    pub(super) fn whole(&self) -> &Plan {
        self.whole.get_or_init(|| {
            Plan::of(match self.take_kept() {
                // As they were found a moment ago.
                Some(kept) => config::read(&kept.into_found(), Vec::new()),
                None => {
                    let named = self.options.config.as_deref().map(|path| (path, Origin::Project));
                    let config::Located { mut found, problems, .. } = config::find(&self.project, &self.user, named);
                    if self.options.trust_hash.is_none() && !self.options.reviews {
                        withhold_includes(&mut found, &self.project, &self.store);
                    }
                    config::read(&found, problems)
                }
            })
        })
    }

    fn take_kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The hooks that the first event may concern, when they are at hand without reading all. An emitter
    /// that lives on reads all for its second event, and is quicker for every one that follows.
    pub(super) fn part(&self, event: &Event) -> Option<Plan> {
        let (loaded, matcher, problems) = self.take_kept()?.part(event)?;
        Some(Plan { loaded, matcher, problems })
    }
}
