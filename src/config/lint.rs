//! Checks that only `validate` makes: is everything on disk that the hooks name, and is it wise?

use super::danger::dangers;
use super::diagnostic::{Diagnostic, Severity};
use super::load::{ConfigFile, Loaded};
use super::model::{Action, Hook};
use super::script::ScriptFile;
use super::tree::Span;
use crate::event::Versions;
use crate::project::Project;
use crate::sys::{self, OpenMode};
use crate::text::one_line;
use crate::time::exact;
use std::ffi::OsStr;
use std::time::Duration;

/// Above this a timeout deserves a second thought (ADR-007).
const LONG_TIMEOUT: Duration = Duration::from_secs(300);

/// Looks at every hook of `loaded`, disabled ones included. `search` is the `PATH` hooks get.
/// `strict`: what this machine lacks is an error too, not only what the file says.
pub fn lint(loaded: &Loaded, project: &Project, search: &OsStr, strict: bool) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for loaded_hook in &loaded.hooks {
        let file = loaded.file_of(loaded_hook);
        let hook = &loaded_hook.hook;
        action(file, hook, search, &mut problems);
        danger(file, hook, &mut problems);
        working_directory(file, hook, file.project(project), &mut problems);
        if hook.timeout > LONG_TIMEOUT {
            let message = format!(
                "the timeout of `{}` is {}; more than {} keeps the caller waiting for long",
                hook.name,
                exact(hook.timeout),
                exact(LONG_TIMEOUT)
            );
            let span = place(hook, "timeout");
            problems.push(Diagnostic::warning(file.path_of(span), Some(span), "long-timeout", message));
        }
        if let Some(major) = hook.schema_version.filter(|major| !Versions::PUBLISHED.understands(*major)) {
            let message = format!("`{}` wants events of version {major}, which this build cannot make", hook.name);
            let span = place(hook, "schema_version");
            let problem = Diagnostic::error(file.path_of(span), Some(span), "schema-version", message);
            problems.push(problem.help(format!("it understands {}", Versions::PUBLISHED.understood())));
        }
        if let Some(upcoming) = &hook.upcoming {
            let message = format!("`{}`: {upcoming}", hook.name);
            problems.push(Diagnostic::warning(file.path_of(upcoming.span), Some(upcoming.span), "upcoming", message));
        }
    }
    // A program that is not installed is a matter of the machine, not of the file.
    let of_machine = ["program-missing", "shell-missing", "script-no-interpreter"];
    for problem in problems.iter_mut().filter(|problem| !strict && of_machine.contains(&&*problem.code)) {
        problem.severity = Severity::Warning;
    }
    for file in &loaded.files {
        if let Some(why) = &file.distrust {
            let help = "take ownership of it, and run `chmod go-w` on it; until then its hooks do not run";
            problems.push(Diagnostic::warning(&file.path, None, "writable-by-others", why.as_str()).help(help));
        }
    }
    problems
}

/// Where a key of a hook stands that the local file overrides, else the hook's name.
fn place(hook: &Hook, key: &str) -> Span {
    hook.overridden.iter().find(|(name, _)| name == key).map_or(hook.span, |(_, span)| *span)
}

fn action(file: &ConfigFile, hook: &Hook, search: &OsStr, problems: &mut Vec<Diagnostic>) {
    match &hook.action {
        Action::Script { path, span, .. } => {
            let fault = match ScriptFile::open(&file.hooks_folder, path) {
                Ok(script) => script.diagnose(search),
                Err(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                let problem = Diagnostic::error(file.path_of(*span), Some(*span), fault.code(), fault.to_string());
                problems.push(problem.help(fault.help()));
            }
        }
        Action::Command(_) => {
            if !hook.shell.is_file() {
                let message = format!("the shell {} of `{}` does not exist", hook.shell.display(), hook.name);
                let span = place(hook, "shell");
                let problem = Diagnostic::error(file.path_of(span), Some(span), "shell-missing", message);
                problems.push(problem.help("install it, or name another with `shell`"));
            }
        }
        Action::Program(arguments) => {
            let program = arguments.first().map_or("", String::as_str);
            if !super::script::is_installed(program, search) {
                let message = format!("the program `{}` of `{}` is not installed", one_line(program), hook.name);
                let span = place(hook, "command");
                let problem = Diagnostic::error(file.path_of(span), Some(span), "program-missing", message);
                problems.push(problem.help("install it, or give its path"));
            }
        }
        // What this version does not carry out is told with the keys of later versions.
        Action::Webhook(_) | Action::Notify(_) | Action::Email(_) | Action::Transition(_) => {}
    }
}

/// The most of a script that is searched, in bytes.
const MAX_SEARCHED: usize = 1024 * 1024;

/// Warns of commands that deserve a second look before they run.
fn danger(file: &ConfigFile, hook: &Hook, problems: &mut Vec<Diagnostic>) {
    let (text, script) = match &hook.action {
        Action::Command(line) => (line.clone(), None),
        Action::Program(arguments) => (arguments.join(" "), None),
        Action::Script { path, .. } => {
            let Ok(script) = ScriptFile::open(&file.hooks_folder, path) else { return };
            let Ok(bytes) = sys::read_capped(&script.file, MAX_SEARCHED) else { return };
            (String::from_utf8_lossy(&bytes).into_owned(), Some(path.as_str()))
        }
        Action::Webhook(_) | Action::Notify(_) | Action::Email(_) | Action::Transition(_) => return,
    };
    for danger in dangers(&text) {
        let place_of = script.map(|script| format!(" ({}:{})", one_line(script), danger.line)).unwrap_or_default();
        let message = format!("`{}` {}{place_of}", hook.name, danger.what);
        let span = place(hook, hook.action.key());
        let problem = Diagnostic::warning(file.path_of(span), Some(span), "dangerous-command", message);
        problems.push(problem.help("run it only if that is what you want"));
    }
}

fn working_directory(file: &ConfigFile, hook: &Hook, project: &Project, problems: &mut Vec<Diagnostic>) {
    let folder = hook.working_directory.as_path();
    let opened = sys::open_folder(project.root()).and_then(|root| sys::open_beneath(&root, folder, OpenMode::Folder));
    if let Err(fault) = opened {
        let message = format!("the working directory {} of `{}` cannot be used: {fault}", folder.display(), hook.name);
        problems.push(Diagnostic::error(file.path_of(hook.span), Some(hook.span), "working-directory", message));
    }
}
