//! Trees → model, with every problem of the configuration in one run (ADR-007, configuration 1.0 and 1.1).

use super::budget::Budget;
use super::diagnostic::Diagnostic;
use super::layers::{Composed, ComposedHook, Open, Opened, Source, compose};
use super::model::{Action, Concurrency, EventMatcher, Hook, HookName, HooksConfig};
use super::policy::upcoming;
use super::reader::Reader;
use super::settings::Defaults;
use super::tree::{Key, Node, Value};
use crate::text::one_line;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The keys of the file itself.
pub const TOP_KEYS: &[&str] = &["version", "include", "inherit", "defaults", "hooks", "concurrency"];
/// The keys of a hook.
pub const HOOK_KEYS: &[&str] = &[
    "name",
    "description",
    "schema_version",
    "events",
    "script",
    "args",
    "command",
    "webhook",
    "notify",
    "email",
    "transition",
    "timeout",
    "working_directory",
    "shell",
    "env",
    "env_from",
    "fail_mode",
    "stop",
    "enabled",
    "output",
    "on_timeout",
    "on_unreadable",
    "after",
    "retry",
    "mode",
    "sandbox",
    "concurrency_group",
    "on_busy",
    "coalesce",
    "tests",
];
/// The keys of an entry under `events`.
pub const MATCHER_KEYS: &[&str] = &["type", "pattern", "filter", "files"];

/// The newest minor version of format 1 that this build knows.
const NEWEST_MINOR: u32 = 1;

/// A configuration and the files it was read from.
pub type Parsed = (Option<HooksConfig>, Vec<Source>);

/// A configuration as far as it can be read, and the files it was read from.
pub(super) struct Read {
    pub(super) config: Option<HooksConfig>,
    /// Whether it has no error at all.
    pub(super) sound: bool,
    /// Whether it can be read as a whole: its errors disable single hooks.
    pub(super) readable: bool,
    /// The numbers of the hooks that an error disables.
    pub(super) broken: BTreeSet<usize>,
    pub(super) sources: Vec<Source>,
}

/// Reads a configuration that stands in one file. Problems are added to `problems`; with an error among
/// them there is no result.
pub fn parse(path: &Path, bytes: &[u8], problems: &mut Vec<Diagnostic>) -> Option<HooksConfig> {
    parse_layers(path, bytes, &mut |_: &Path| Opened::Missing, problems).0
}

/// Reads a configuration with what it includes and what overrides it, `open` giving the texts.
pub fn parse_layers(path: &Path, bytes: &[u8], open: &mut Open<'_>, problems: &mut Vec<Diagnostic>) -> Parsed {
    let read = read_layers(path, bytes, open, &mut Budget::whole(), problems);
    (read.config.filter(|_| read.sound), read.sources)
}

/// As [`parse_layers`], with what an unsound configuration holds: whoever looks for further problems needs it.
pub(super) fn read_layers(
    path: &Path,
    bytes: &[u8],
    open: &mut Open<'_>,
    budget: &mut Budget,
    problems: &mut Vec<Diagnostic>,
) -> Read {
    let mut found = Vec::new();
    let Some(composed) = compose(path, bytes, open, budget, &mut found) else {
        finish(found, problems);
        let (sources, broken) = (Vec::new(), BTreeSet::new());
        return Read { config: None, sound: false, readable: false, broken, sources };
    };
    let mut reader = Reader { sources: &composed.sources, found, ..Reader::default() };
    let config = Some(reader.configuration(&composed));
    let readable = !reader.found.iter().any(Diagnostic::is_of_whole_file);
    let broken = std::mem::take(&mut reader.broken);
    let sound = !finish(reader.found, problems);
    Read { config, sound, readable, broken, sources: composed.sources }
}

/// Adds what was found, most important first. Returns whether an error is among it.
fn finish(mut found: Vec<Diagnostic>, problems: &mut Vec<Diagnostic>) -> bool {
    let failed = found.iter().any(|problem| problem.severity == super::Severity::Error);
    found.sort_by_key(|a| (a.severity, a.span));
    problems.append(&mut found);
    failed
}

impl Reader<'_> {
    fn configuration(&mut self, composed: &Composed) -> HooksConfig {
        let mut scopes: Vec<Defaults> = Vec::with_capacity(composed.scopes.len());
        for scope in &composed.scopes {
            let base = scope.base.and_then(|base| scopes.get(base).cloned()).unwrap_or_else(Defaults::built_in);
            scopes.push(match &scope.defaults {
                Some(node) => self.defaults(node, &base),
                None => base,
            });
        }
        let concurrency = composed.concurrency.as_ref().and_then(|node| self.concurrency(node));
        let mut hooks: Vec<Hook> = Vec::with_capacity(composed.hooks.len());
        for (number, hook) in composed.hooks.iter().enumerate() {
            self.hook = Some((number, hook.label(number)));
            if hook.broken {
                self.broken.insert(number);
            }
            let read = self.hook(hook, &scopes[hook.scope]);
            hooks.push(read.unwrap_or_else(|| Hook::unreadable(hook.node.span)));
        }
        self.unique_names(&hooks);
        self.order(&hooks);
        self.combinations(&mut hooks, &composed.hooks);
        self.hook = None;
        let concurrency = concurrency.unwrap_or(Concurrency::Limit(1));
        let inherit = composed.inherit.as_ref().is_some_and(|node| self.inherit(node, composed.inherit_is_plain));
        HooksConfig { version: composed.version.clone().unwrap_or_default(), inherit, concurrency, hooks }
    }

    /// Which files there are is known before they are read as YAML, so that there is one way to write it.
    fn inherit(&mut self, node: &Node, is_plain: bool) -> bool {
        let Some(inherit) = self.boolean(node) else { return false };
        if inherit != is_plain {
            let message = "`inherit` cannot be read here";
            let help = "write `inherit: true` on a line of its own, above `hooks`";
            self.error(node.span, "bad-value", message).help = Some(help.into());
        }
        inherit
    }

    pub(super) fn version(&mut self, tree: &Node) -> Option<String> {
        let Some(node) = tree.get("version") else {
            self.missing(tree, "the required key `version` is missing", "write `version: \"1.0\"`");
            return None;
        };
        let Value::Text(version) = &node.value else {
            self.wrong_type(node, "a string").help = Some("put it in quotes: `version: \"1.0\"`".into());
            return None;
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match version.split_once('.') {
            Some(("1", minor)) if digits(minor) => {
                if !minor.parse::<u32>().is_ok_and(|minor| minor <= NEWEST_MINOR) {
                    let message =
                        format!("version {version} is newer than 1.{NEWEST_MINOR}, the newest this build knows");
                    let help = "what is new in it may be refused as an unknown key; update knockon";
                    self.warning(node.span, "newer-version", message).help = Some(help.into());
                }
                Some(version.clone())
            }
            Some((major, minor)) if digits(major) && digits(minor) => {
                let message = format!("version {version} is not known; this build knows 1.x");
                self.error(node.span, "unknown-version", message).help =
                    Some("write `version: \"1.0\"`, or update knockon".into());
                None
            }
            _ => {
                let message = format!("`{}` is no version; wanted is `<major>.<minor>`", one_line(version));
                self.error(node.span, "bad-value", message).help = Some("write `version: \"1.0\"`".into());
                None
            }
        }
    }

    fn hook(&mut self, composed: &ComposedHook, defaults: &Defaults) -> Option<Hook> {
        let node = &composed.node;
        let entries = self.map(node, "a hook: a mapping with `name`, `events` and one of `script`, `command`")?;
        self.known_keys(entries, HOOK_KEYS, "a hook");
        let name = match node.get("name") {
            Some(name) => self.parsed::<HookName>(name, "a string"),
            None => {
                self.missing_key(
                    node,
                    &["name"],
                    "this hook has no `name`",
                    "give it one: lower-case letters, digits and `-`",
                );
                None
            }
        };
        let description = node.get("description").and_then(|node| self.description(node));
        let events = self.events(node);
        let action = self.action(node, entries);
        let settings = self.settings(node, defaults);
        let policy = self.policy(node);
        let tests = node.get("tests").map(|node| self.fixtures(node)).unwrap_or_default();
        // Where something is missing that was told, the rest is looked at all the same: nobody runs it.
        Some(Hook {
            span: node.get("name").map_or(node.span, |name| name.span),
            name: name.unwrap_or_else(HookName::none),
            description,
            schema_version: policy.schema_version,
            events,
            upcoming: upcoming(action.as_ref(), node),
            action: action.unwrap_or_else(|| Action::Command(String::new())),
            timeout: settings.timeout,
            working_directory: settings.working_directory,
            shell: settings.shell,
            env: settings.env,
            env_from: policy.env_from,
            fail_mode: settings.fail_mode,
            stop: policy.stop,
            enabled: settings.enabled,
            enabled_at: settings.enabled_at,
            output: policy.output,
            on_timeout: policy.on_timeout,
            on_unreadable: policy.on_unreadable,
            after: policy.after,
            retry: settings.retry.map(|(retry, _)| retry),
            mode: policy.mode,
            sandbox: settings.sandbox,
            group: policy.group,
            coalesce: policy.coalesce,
            tests,
            overridden: composed.overridden.clone(),
        })
    }

    fn events(&mut self, hook: &Node) -> Vec<EventMatcher> {
        let Some(node) = hook.get("events") else {
            self.missing_key(
                hook,
                &["events"],
                "this hook has no `events`",
                "name at least one: `events: [{type: task.completed}]`",
            );
            return Vec::new();
        };
        match &node.value {
            Value::List(matchers) if !matchers.is_empty() => {
                matchers.iter().filter_map(|matcher| self.matcher(matcher)).collect()
            }
            Value::List(_) => {
                self.error(node.span, "bad-value", "`events` needs at least one entry").help =
                    Some("write `events: [{type: task.completed}]`".into());
                Vec::new()
            }
            _ => {
                self.wrong_type(node, "a list of event matchers").help =
                    Some("write `events: [{type: task.completed}]`".into());
                Vec::new()
            }
        }
    }

    fn matcher(&mut self, node: &Node) -> Option<EventMatcher> {
        if let Value::Text(name) = &node.value {
            let help = format!("write `- type: {}`", one_line(name));
            self.wrong_type(node, "a mapping with `type`").help = Some(help);
            return None;
        }
        let entries = self.map(node, "a mapping with `type`")?;
        self.known_keys(entries, MATCHER_KEYS, "an event matcher");
        let key = |name: &str| entries.iter().find(|(key, _)| key.name == name);
        let pattern = match (key("type"), key("pattern")) {
            (Some((_, pattern)), None) => pattern,
            (None, Some((key, pattern))) => {
                let message = "`pattern` is an older spelling of `type`";
                self.warning(key.span, "old-key", message).help = Some("write `type`".into());
                pattern
            }
            (Some(_), Some((key, _))) => {
                self.error(key.span, "conflict", "`type` and `pattern` mean the same").help =
                    Some("keep `type`".into());
                return None;
            }
            (None, None) => {
                let help = "write `type: task.completed`, or a glob such as `type: task.*`";
                self.missing(node, "this event matcher has no `type`", help);
                return None;
            }
        };
        let name = self.text(pattern, "an event type or a glob, a string,")?;
        let filter = match node.get("filter") {
            None => Vec::new(),
            Some(filter) => self.map(filter, "a mapping of fields to wanted values")?.to_vec(),
        };
        let files = match node.get("files") {
            None => Vec::new(),
            Some(files) => {
                self.list(files, "a list of globs over paths")?;
                self.texts(files, "a list of globs over paths")?
            }
        };
        let files = files.into_iter().map(|(name, span)| Key { name, span }).collect();
        Some(EventMatcher { pattern: Key { name, span: pattern.span }, filter, files })
    }

    fn description(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "a string")?;
        let characters = text.chars().count();
        if characters > 500 {
            self.error(node.span, "out-of-range", format!("the description has {characters} characters; at most 500"));
        }
        Some(text)
    }

    fn unique_names(&mut self, hooks: &[Hook]) {
        let mut named: HashMap<&HookName, &Hook> = HashMap::with_capacity(hooks.len());
        for (number, hook) in hooks.iter().enumerate() {
            if hook.name.as_str().is_empty() {
                continue;
            }
            self.hook = Some((number, hook.name.to_string()));
            if let Some(first) = named.get(&hook.name) {
                let message = format!(
                    "the hook name `{}` is taken: line {}, column {} has it already",
                    hook.name, first.span.line, first.span.column
                );
                let related = self.related(first.span, "the first one with this name");
                let problem = self.error(hook.span, "duplicate-name", message);
                problem.label = Some("the same name again".into());
                problem.help = Some("give one of the two another name".into());
                problem.related.push(related);
            } else {
                named.insert(&hook.name, hook);
            }
        }
    }
}
