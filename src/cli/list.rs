//! `knockon list`: the hooks there are.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, require_sound};
use super::terminal::{Paint, Terminal, columns};
use crate::config::{Action, Hook, Origin};
use crate::text::{one_line, shorten};
use clap::Args;
use serde_json::{Map, Value, json};

/// List the hooks, in the order they run.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Show descriptions, filters, environment and files too
    #[arg(long, short)]
    verbose: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    project: ProjectOptions,
}

impl super::Command for List {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        let emitter = self.project.reader()?;
        require_sound(emitter.problems(), terminal)?;
        let loaded = emitter.loaded();
        if self.json {
            let hooks = loaded.hooks.iter().map(|loaded_hook| {
                let file = loaded.file_of(loaded_hook);
                document(&loaded_hook.hook, file.origin, &file.path.to_string_lossy())
            });
            terminal.json(&json!({ "hooks": hooks.collect::<Vec<_>>() }));
            return Ok(Exit::Fine);
        }
        if loaded.hooks.is_empty() {
            terminal.line("there are no hooks here; `knockon init` writes examples");
            return Ok(Exit::Fine);
        }
        let rows: Vec<Vec<String>> = loaded.hooks.iter().map(|loaded_hook| cells(&loaded_hook.hook)).collect();
        for (loaded_hook, line) in loaded.hooks.iter().zip(columns(&rows)) {
            let line = if loaded_hook.hook.enabled { line } else { terminal.paint(Paint::Dim, &line) };
            terminal.line(&line);
            if self.verbose {
                details(&loaded_hook.hook, &loaded.file_of(loaded_hook).path.to_string_lossy(), terminal);
            }
        }
        Ok(Exit::Fine)
    }
}

fn cells(hook: &Hook) -> Vec<String> {
    vec![
        if hook.enabled { "on " } else { "off" }.to_owned(),
        hook.name.to_string(),
        one_line(&shorten(&patterns(hook).join(", "), 40)),
        one_line(&shorten(&action(hook), 40)),
        format!("{} s", hook.timeout.as_secs()),
        hook.fail_mode.as_str().to_owned(),
    ]
}

fn details(hook: &Hook, path: &str, terminal: &mut Terminal) {
    let mut detail = |name: &str, text: &str| {
        let line = terminal.paint(Paint::Dim, &format!("       {name}: {}", one_line(text)));
        terminal.line(&line);
    };
    if let Some(description) = &hook.description {
        detail("about", description);
    }
    for matcher in hook.events.iter().filter(|matcher| !matcher.filter.is_empty()) {
        let fields: Vec<&str> = matcher.filter.iter().map(|(key, _)| key.name.as_str()).collect();
        detail("filter", &format!("{} only with fitting {}", matcher.pattern.name, fields.join(", ")));
    }
    for (name, value) in &hook.env {
        detail("env", &format!("{name}={value}"));
    }
    detail("file", &format!("{path}:{}", hook.span.line));
}

fn patterns(hook: &Hook) -> Vec<&str> {
    hook.events.iter().map(|matcher| matcher.pattern.name.as_str()).collect()
}

fn action(hook: &Hook) -> String {
    match &hook.action {
        Action::Script { path, .. } => format!("script {}", path.as_str()),
        Action::Command(line) => format!("command {}", line.trim()),
        Action::Webhook(webhook) => format!("webhook {}", webhook.url),
    }
}

fn document(hook: &Hook, origin: Origin, path: &str) -> Value {
    let (kind, what) = match &hook.action {
        Action::Script { path, .. } => ("script", path.as_str()),
        Action::Command(line) => ("command", line.as_str()),
        Action::Webhook(webhook) => ("webhook", webhook.url.as_str()),
    };
    let env: Map<String, Value> = hook.env.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({
        "name": hook.name.as_str(),
        "description": hook.description,
        "events": patterns(hook),
        kind: what,
        "timeout": hook.timeout.as_secs(),
        "working_directory": hook.working_directory.as_path(),
        "shell": hook.shell,
        "env": env,
        "fail_mode": hook.fail_mode.as_str(),
        "enabled": hook.enabled,
        "origin": match origin { Origin::User => "user", Origin::Project => "project" },
        "path": path,
        "line": hook.span.line,
    })
}
