//! Checks about hooks: which run, which do not, and what keeps them from running.

use super::{Findings, Level};
use crate::audit::Query;
use crate::config::{Limits, Mode, Sandbox, Severity, lint, misplaced};
use crate::emitter::Emitter;
use crate::git;
use crate::project::Layout;
use crate::registry;
use crate::text::{count, one_line};
use std::path::Path;

/// How many problems of hooks are reported one by one.
const MOST_PROBLEMS: usize = 10;

/// Looks for everything that keeps hooks from running, and for runs in the background that failed.
pub(super) fn hooks(emitter: &Emitter, findings: &mut Findings) {
    candidates(emitter, findings);
    disabled(emitter, findings);
    for guard in emitter.changed_guards() {
        let message = format!("the guard `{}` does not run: {}", guard.name, one_line(&guard.why));
        findings.error("guards", message, guard.help);
    }
    for hook in &emitter.loaded().invalid {
        let message = format!("`{}` does not run: {}", hook.name, one_line(&hook.problem));
        findings.error("invalid hooks", message, "`knockon validate` shows the place");
    }
    // What `validate` finds on the machine: a missing script, one that cannot run, a missing folder.
    let search = emitter.caller().search_path();
    let found = lint(emitter.loaded(), emitter.project(), search, false);
    for problem in found.iter().filter(|problem| problem.severity == Severity::Error).take(MOST_PROBLEMS) {
        findings.error("hooks", one_line(&problem.to_string()), "`knockon validate` shows the place");
    }
    // An undeclared type may be one of the user's own; one that is nearly a known type is a typing error.
    let unknown = registry::unknown_types(emitter.loaded());
    for problem in unknown.iter().take(MOST_PROBLEMS) {
        let help = problem.help.clone().filter(|help| help.starts_with("did you mean"));
        if let Some(help) = help {
            findings.warn("hooks", one_line(&problem.to_string()), &help);
        }
    }
    policy(emitter, findings);
    background(emitter, findings);
    tracked_log(emitter, findings);
}

fn candidates(emitter: &Emitter, findings: &mut Findings) {
    let (project, loaded) = (emitter.project(), emitter.loaded());
    if let Some(refused) = project.refused() {
        findings.error("project", refused.to_string(), "look at who made it before you say yes to it");
    }
    if let Some(outer) = emitter.outer_project() {
        findings.fine(
            "project",
            format!(
                "{} lies in the project {}, whose hooks do not run here",
                project.root().display(),
                outer.display()
            ),
        );
    }
    let read = loaded.project_file().map(|file| file.path.as_path());
    if let Some(ignored) = &loaded.ignored {
        let message = format!("{} is not read, because {} is", ignored.path.display(), shown(read));
        findings.error("configuration", message, "move its hooks into the file that is read, and remove it");
    }
    let others = Layout::CONFIG_FILES.iter().map(|name| project.root().join(name));
    let is_ignored = |path: &Path| loaded.ignored.as_ref().is_some_and(|ignored| ignored.path == path);
    for other in others.filter(|path| path.symlink_metadata().is_ok()) {
        if read.is_some_and(|read| read != other) && !is_ignored(&other) {
            let message = format!("{} is not read, because {} is", other.display(), shown(read));
            findings.warn("configuration", message, "remove the one that is not meant");
        }
    }
    let was_trusted = || !emitter.store().of_projects(project.start().ancestors(), Layout::CONFIG_FILES).is_empty();
    if read.is_none() && loaded.problems.is_empty() && emitter.changed_guards().is_empty() && was_trusted() {
        let message = "there is no hooks.yaml, but this project was trusted";
        findings.error("configuration", message, "bring it back, or forget it with `knockon untrust`");
    }
    if let Some(folder) = project.layout().hooks_folder().filter(|_| read.is_none() && loaded.problems.is_empty()) {
        let message = format!("there is no hooks.yaml in {}", project.root().join(folder).display());
        findings.warn("configuration", message, "`knockon init` writes one");
    }
    if let Some((path, right)) = misplaced(project).filter(|_| read.is_none()) {
        let message = format!("{} is not read where it lies", path.display());
        findings.error("configuration", message, &format!("move it to {right}"));
    }
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "another file".to_owned(), |path| path.display().to_string())
}

fn disabled(emitter: &Emitter, findings: &mut Findings) {
    let loaded = emitter.loaded();
    let disabled = loaded.hooks.iter().filter(|hook| !hook.hook.enabled);
    let places: Vec<String> = disabled.map(|hook| loaded.place_of_disabling(hook)).collect();
    if !places.is_empty() {
        let message = format!("{} disabled: {}", count(places.len(), "hook"), places.join(", "));
        findings.fine("configuration", one_line(&message));
    }
}

fn policy(emitter: &Emitter, findings: &mut Findings) {
    let Limits { sandbox, require, network, timeout, .. } = emitter.limits();
    let timeout = timeout.map(|timeout| format!("at most {}", crate::time::human(timeout)));
    let words = [
        (*sandbox != Sandbox::Base).then(|| format!("sandbox: {}", sandbox.as_str())),
        require.then(|| "sandboxes are required".to_owned()),
        (!network).then(|| "no network".to_owned()),
        timeout,
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if !words.is_empty() {
        let help = "nothing, if you wrote it: policy.yaml in your configuration folder or in /etc/knockon";
        findings.warn("policy", format!("a policy limits every hook: {}", words.join(", ")), help);
    }
}

/// The last run of each background hook.
fn background(emitter: &Emitter, findings: &mut Findings) {
    let alone = emitter.loaded().hooks.iter().map(|hook| &hook.hook);
    for hook in alone.filter(|hook| hook.mode == Mode::Detach || hook.coalesce.is_some()) {
        let statuses = ["success", "failed", "timeout", "error", "interrupted", "skipped"];
        let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
        let query = Query { hook: Some(hook.name.to_string()), statuses, ..Query::default() };
        let mut last = None;
        // What cannot be read of the log is found by other checks.
        let Ok(snapshot) = emitter.audit().snapshot() else { return };
        let asked = emitter.audit().select(&snapshot, &query, Some(1), |entry| {
            last = Some((entry.text("status").to_owned(), entry.text("event_id").to_owned()));
            Ok(())
        });
        let Some((status, event)) = last.filter(|_| asked.is_ok()) else { continue };
        if ["failed", "timeout", "error", "interrupted"].contains(&status.as_str()) {
            let message = format!("the last run of `{}` in the background ended with {status}", hook.name);
            let help = format!("`knockon audit show {event}` says why; `knockon retry {event}` runs it again");
            findings.add("background", Level::Warning, one_line(&message), Some(&one_line(&help)));
        }
    }
}

fn tracked_log(emitter: &Emitter, findings: &mut Findings) {
    let path = emitter.audit().path();
    if git::tracks(emitter.project().root(), &path) {
        let message = format!("git tracks {}", path.display());
        let help = format!("git rm --cached {}; and add `audit.log*` to .gitignore beside it", path.display());
        findings.warn("audit log", message, &help);
    }
}
