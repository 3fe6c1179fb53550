//! `knockon config`: what holds once every layer is laid over the others, and hooks as event patterns.

use super::error::{CliError, Exit};
use super::options::{ProjectOptions, find_hook, require_sound};
use super::terminal::{Paint, Terminal};
use crate::config::{BUILT_IN, ComposedHook, ConfigFile, HOOK_KEYS, Key, Loaded, Node, Scope, Span, Value};
use crate::matcher::{Rule, export};
use crate::text::one_line;
use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

/// Show the configuration as it is once defaults, included files and the local override are applied, or
/// write a hook's matchers as event patterns.
#[derive(Args, Debug)]
pub(super) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print every hook with all of its keys
    Show {
        /// Say of each value where it was written
        #[arg(long)]
        origin: bool,
        /// Print the result as one JSON document, origins included
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        project: ProjectOptions,
    },
    /// Write a hook's matchers as a pattern for another system
    Export {
        /// As an event pattern for Amazon EventBridge
        #[arg(long, required = true)]
        eventbridge: bool,
        /// The hook [default: all of them, as one document by name]
        #[arg(value_name = "HOOK")]
        hook: Option<String>,
        #[command(flatten)]
        project: ProjectOptions,
    },
}

impl super::Command for Config {
    fn run(self, terminal: &mut Terminal) -> Result<Exit, CliError> {
        match self.what {
            What::Show { origin, json, project } => show(origin, json, &project, terminal),
            What::Export { hook, project, .. } => write_patterns(hook.as_deref(), &project, terminal),
        }
    }
}

/// One key of a hook as it holds.
struct Setting<'c> {
    key: &'c str,
    /// The variable, when it is one of `env`.
    variable: Option<&'c str>,
    /// As it would be written.
    text: String,
    /// Where it was written; nothing when it is built in.
    origin: Option<Span>,
    /// Whether it comes from `defaults`.
    inherited: bool,
}

impl Setting<'_> {
    /// `timeout`, `env.LANG`.
    fn name(&self) -> String {
        match self.variable {
            Some(variable) => format!("{}.{variable}", self.key),
            None => self.key.to_owned(),
        }
    }
}

fn show(origin: bool, as_json: bool, project: &ProjectOptions, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let emitter = project.reader()?;
    require_sound(&emitter, terminal)?;
    let mut documents: Vec<Json> = Vec::new();
    for file in &emitter.loaded().files {
        let Some(composed) = file.composed() else { continue };
        if as_json {
            documents.extend(composed.hooks.iter().map(|hook| document(file, hook, &composed.scopes)));
            continue;
        }
        let names = std::iter::once(&file.path).chain(file.layers.iter().map(|layer| &layer.path));
        for path in names {
            let line = terminal.paint(Paint::Dim, &format!("# {}", one_line(&path.to_string_lossy())));
            terminal.line(&line);
        }
        for hook in &composed.hooks {
            for (at, setting) in settings(hook, &composed.scopes).into_iter().enumerate() {
                let dash = if at == 0 { "- " } else { "  " };
                let line = format!("{dash}{}: {}", one_line(&setting.name()), one_line(&setting.text));
                let place = if origin {
                    terminal.paint(Paint::Dim, &format!("  # {}", told(file, &setting)))
                } else {
                    String::new()
                };
                terminal.line(&format!("{line}{place}"));
            }
        }
    }
    if as_json {
        terminal.json(&json!({ "hooks": documents }));
    } else if emitter.loaded().files.is_empty() {
        terminal.line("there is no hooks.yaml here; `knockon init` writes one");
    }
    Ok(Exit::Fine)
}

/// Where a setting comes from, in words.
fn told(file: &ConfigFile, setting: &Setting<'_>) -> String {
    let Some(span) = setting.origin else { return "built in".into() };
    let name = file.path_of(span).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let inherited = if setting.inherited { ", defaults" } else { "" };
    format!("{}:{}{inherited}", one_line(&name), span.line)
}

fn document(file: &ConfigFile, hook: &ComposedHook, scopes: &[Scope]) -> Json {
    let settings = settings(hook, scopes).into_iter().map(|setting| {
        let origin = setting.origin.map(|span| {
            json!({ "path": file.path_of(span), "line": span.line, "column": span.column, "defaults": setting.inherited })
        });
        (setting.name(), json!({ "value": setting.text, "origin": origin }))
    });
    Json::Object(settings.collect::<Map<_, _>>())
}

/// The keys of a hook: its own, then those of the nearest defaults, then what is built in.
fn settings<'c>(hook: &'c ComposedHook, scopes: &'c [Scope]) -> Vec<Setting<'c>> {
    let mut settings: Vec<Setting<'c>> = Vec::new();
    let mut add = |(key, node): &'c (Key, Node), inherited: bool| {
        if key.name == "env" {
            // Variables are added one by one; the nearest of a name holds.
            for (name, value) in node.entries() {
                if settings.iter().all(|known| known.variable != Some(name.name.as_str())) {
                    let (variable, origin) = (Some(name.name.as_str()), Some(name.span));
                    settings.push(Setting { key: "env", variable, text: flow(value), origin, inherited });
                }
            }
        } else if settings.iter().all(|known| known.key != key.name) {
            let origin = Some(key.span);
            settings.push(Setting { key: &key.name, variable: None, text: flow(node), origin, inherited });
        }
    };
    hook.node.entries().iter().for_each(|entry| add(entry, false));
    let mut scope = Some(hook.scope);
    while let Some(here) = scope.and_then(|at| scopes.get(at)) {
        here.defaults.iter().flat_map(|node| node.entries()).for_each(|entry| add(entry, true));
        scope = here.base;
    }
    for (key, text) in BUILT_IN {
        if settings.iter().all(|known| known.key != *key) {
            let text = (*text).to_owned();
            settings.push(Setting { key, variable: None, text, origin: None, inherited: false });
        }
    }
    let rank = |setting: &Setting<'_>| HOOK_KEYS.iter().position(|key| *key == setting.key).unwrap_or(HOOK_KEYS.len());
    settings.sort_by_key(rank);
    settings
}

/// A value on one line, as YAML.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => word(text),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", word(&key.name), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A string, in quotes unless it is plainly one without.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'.' || byte == b'/');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if begins && text.bytes().all(plain) && !reserved {
        return text.to_owned();
    }
    let mut literal = String::new();
    crate::json::push_string(&mut literal, text);
    literal
}

fn write_patterns(hook: Option<&str>, project: &ProjectOptions, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let emitter = project.reader()?;
    require_sound(&emitter, terminal)?;
    let loaded = emitter.loaded();
    let only = hook.map(|name| find_hook(loaded, name)).transpose()?;
    let mut patterns = Map::new();
    for index in (0..loaded.hooks.len()).filter(|index| only.is_none_or(|only| only == *index)) {
        let name = loaded.hooks[index].hook.name.to_string();
        let exported = export(&rules(loaded, index));
        for difference in &exported.differences {
            terminal.warning(&format!("`{name}`: {difference}"));
        }
        // The user and the project may each have one of this name.
        let taken = patterns.contains_key(&name);
        let path = || loaded.file_of(&loaded.hooks[index]).path.display().to_string();
        patterns.insert(if taken { format!("{name} ({})", path()) } else { name }, exported.pattern);
    }
    match only.and_then(|_| patterns.values().next()) {
        Some(pattern) => terminal.json(pattern),
        None => terminal.json(&patterns),
    }
    Ok(Exit::Fine)
}

fn rules(loaded: &Loaded, index: usize) -> Vec<Rule> {
    let loaded_hook = &loaded.hooks[index];
    let file = loaded.file_of(loaded_hook);
    loaded_hook.hook.events.iter().filter_map(|entry| Rule::compile(file, entry, &mut Vec::new())).collect()
}
