//! `knockon list`: the hooks there are.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, require_sound, tell_no_hooks};
use super::terminal::{Paint, Terminal, columns};
use crate::config::{Hook, LoadedHook, Origin};
use crate::event::EventType;
use crate::matcher::{Rule, TypeGlob};
use crate::registry::CANONICAL;
use crate::text::{count, one_line, shorten};
use crate::time::exact;
use clap::Args;
use serde_json::{Map, Value, json};

/// List the hooks, in the order they run.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Show descriptions, filters, environment and files too
    #[arg(long, short)]
    verbose: bool,
    /// Only hooks that an event of this type may trigger
    #[arg(long, value_name = "TYPE")]
    event_type: Option<EventType>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl List {
    /// Whether a hook is asked for.
    fn wants(&self, hook: &Hook) -> bool {
        let globs = hook.events.iter().filter_map(|entry| TypeGlob::parse(&entry.pattern.name).ok());
        self.event_type.as_ref().is_none_or(|kind| { globs }.any(|glob| glob.matches(kind.as_str())))
    }
}

impl super::Command for List {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let emitter = self.project.reader()?;
        require_sound(&emitter, terminal)?;
        if let Some(outer) = emitter.outer_project() {
            let (root, outer) = (emitter.project().root().display().to_string(), outer.display().to_string());
            terminal.note(&one_line(&format!("{root} lies in the project {outer}, whose hooks do not run here")));
        }
        let loaded = emitter.loaded();
        let exit = if loaded.invalid.is_empty() { Exit::Fine } else { Exit::Usage };
        // One whose matcher has an error is among the invalid ones.
        let is_invalid = |hook: &&LoadedHook| {
            loaded.invalid.iter().any(|invalid| invalid.file == hook.file && invalid.name == hook.hook.name.as_str())
        };
        let shown = loaded.hooks.iter().filter(|hook| self.wants(&hook.hook) && !is_invalid(hook));
        let shown: Vec<&LoadedHook> = shown.collect();
        if self.json {
            let hooks = shown.iter().map(|loaded_hook| {
                let file = loaded.file_of(loaded_hook);
                let inherited = file.inherited.as_ref().map(|inherited| inherited.project.root_text());
                let path = file.path_of(loaded_hook.hook.span).to_string_lossy();
                document(&loaded_hook.hook, file.origin, &path, inherited)
            });
            let invalid = loaded.invalid.iter().map(|hook| json!({ "hook_name": hook.name, "problem": hook.problem }));
            terminal.json(&json!({ "hooks": hooks.collect::<Vec<_>>(), "invalid": invalid.collect::<Vec<_>>() }));
            return Ok(exit);
        }
        if loaded.hooks.is_empty() && loaded.invalid.is_empty() {
            return tell_no_hooks(emitter.project(), terminal).map(|()| Exit::Fine);
        }
        let rows: Vec<Vec<String>> = shown.iter().map(|loaded_hook| cells(&loaded_hook.hook)).collect();
        let mut inherited_from = None;
        for (&loaded_hook, line) in shown.iter().zip(columns(&rows)) {
            let from = loaded.file_of(loaded_hook).inherited.as_ref().map(|inherited| inherited.project.root_text());
            if from != inherited_from {
                let text = from.as_ref().map_or("of this project:".into(), |root| format!("inherited from {root}:"));
                terminal.line(&terminal.paint(Paint::Dim, &one_line(&text)));
                inherited_from = from;
            }
            let line = if loaded_hook.hook.enabled { line } else { terminal.paint(Paint::Dim, &line) };
            terminal.line(&line);
            if self.verbose {
                let file = loaded.file_of(loaded_hook);
                let rules =
                    loaded_hook.hook.events.iter().filter_map(|entry| Rule::compile(file, entry, &mut Vec::new()));
                let rules: Vec<String> = rules.map(|rule| rule.to_string()).collect();
                let path = file.path_of(loaded_hook.hook.span).to_string_lossy();
                details(&loaded_hook.hook, &rules, &path, terminal);
                if !loaded_hook.hook.enabled {
                    let place = one_line(&loaded.place_of_disabling(loaded_hook));
                    terminal.line(&terminal.paint(Paint::Dim, &format!("       disabled: {place}")));
                }
            }
        }
        for hook in &loaded.invalid {
            let line = format!("err {}  invalid, does not run", one_line(&hook.name));
            let line = terminal.paint(Paint::Bad, &line);
            terminal.line(&line);
        }
        let disabled: Vec<String> =
            shown.iter().filter(|hook| !hook.hook.enabled).map(|hook| loaded.place_of_disabling(hook)).collect();
        if !disabled.is_empty() {
            let line = format!("{} disabled ({})", count(disabled.len(), "hook"), disabled.join(", "));
            terminal.line(&one_line(&line));
        }
        Ok(exit)
    }
}

fn cells(hook: &Hook) -> Vec<String> {
    vec![
        if hook.enabled { "on " } else { "off" }.to_owned(),
        hook.name.to_string(),
        one_line(&shorten(&patterns(hook).join(", "), 40)),
        one_line(&shorten(&action(hook), 40)),
        exact(hook.timeout),
        hook.fail_mode.as_str().to_owned(),
    ]
}

fn details(hook: &Hook, rules: &[String], path: &str, terminal: &mut Terminal) {
    let mut detail = |name: &str, text: &str| {
        let line = terminal.paint(Paint::Dim, &format!("       {name}: {}", one_line(text)));
        terminal.line(&line);
    };
    if let Some(description) = &hook.description {
        detail("about", description);
    }
    for rule in rules {
        detail("when", rule);
    }
    for (name, value) in &hook.env {
        detail("env", &format!("{name}={value}"));
    }
    if !hook.after.is_empty() {
        let names: Vec<&str> = hook.after.iter().map(|(name, _)| name.as_str()).collect();
        detail("after", &names.join(", "));
    }
    detail("gets", &canonical(hook));
    if let Some(upcoming) = &hook.upcoming {
        detail("note", &upcoming.to_string());
    }
    detail("file", &format!("{path}:{}", hook.span.line));
}

/// The canonical events that fit one of the hook's globs.
fn canonical_events(hook: &Hook) -> Vec<&'static str> {
    let globs: Vec<TypeGlob> =
        hook.events.iter().filter_map(|entry| TypeGlob::parse(&entry.pattern.name).ok()).collect();
    let fitting = CANONICAL.iter().filter(|event| globs.iter().any(|glob| glob.matches(event.name)));
    fitting.map(|event| event.name).collect()
}

fn canonical(hook: &Hook) -> String {
    let names = canonical_events(hook);
    let whole = |name: &&str| {
        let plain = hook.events.iter().filter(|entry| entry.filter.is_empty() && entry.files.is_empty());
        plain.filter_map(|entry| TypeGlob::parse(&entry.pattern.name).ok()).any(|glob| glob.matches(name))
    };
    let (always, sometimes): (Vec<&str>, Vec<&str>) = names.iter().copied().partition(whole);
    let told = |names: &[&str]| match names.len() == CANONICAL.len() {
        true => "every canonical event".to_owned(),
        false => names.join(", "),
    };
    match (always.is_empty(), sometimes.is_empty()) {
        (true, true) => "none of the canonical events".into(),
        (false, true) => told(&always),
        (true, false) => format!("{}, where the filter holds", told(&sometimes)),
        (false, false) => format!("{}; where the filter holds, {}", told(&always), told(&sometimes)),
    }
}

fn patterns(hook: &Hook) -> Vec<&str> {
    hook.events.iter().map(|matcher| matcher.pattern.name.as_str()).collect()
}

fn action(hook: &Hook) -> String {
    format!("{} {}", hook.action.key(), hook.action.summary())
}

fn document(hook: &Hook, origin: Origin, path: &str, inherited_from: Option<String>) -> Value {
    let env: Map<String, Value> = hook.env.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({
        "name": hook.name.as_str(),
        "description": hook.description,
        "inherited_from": inherited_from,
        "events": patterns(hook),
        hook.action.key(): hook.action.summary(),
        "canonical_events": canonical_events(hook),
        "timeout": match hook.timeout.subsec_nanos() {
            0 => json!(hook.timeout.as_secs()),
            _ => json!(hook.timeout.as_secs_f64()),
        },
        "working_directory": hook.working_directory.as_path(),
        "shell": hook.shell,
        "env": env,
        "env_from": hook.env_from,
        "after": hook.after.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        "fail_mode": hook.fail_mode.as_str(),
        "enabled": hook.enabled,
        "hook_name": hook.name.as_str(),
        "origin": match origin { Origin::User => "user", Origin::Commit => "commit", Origin::Project => "project" },
        "path": path,
        "line": hook.span.line,
    })
}
