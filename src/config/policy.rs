//! The keys that say how a hook is run rather than what it does: order, retries, groups, output.

use super::budget::MAX_PROBLEMS;
use super::model::{Action, Coalesce, Concurrency, Hook, HookName, Upcoming};
use super::reader::Reader;
use super::tree::{Node, Span, Value};
use super::words::{Mode, OnBusy, OnTimeout, OnUnreadable, OutputMode, StopMode};
use crate::text::{nearest, one_line};
use std::collections::HashMap;
use std::time::Duration;

/// The keys under `coalesce`.
pub const COALESCE_KEYS: &[&str] = &["key", "within"];

/// The version that acts on actions that leave the machine.
const DELIVERY: &str = "0.3";
/// How many hooks of a circle are named.
const SHOWN_IN_CIRCLE: usize = 10;

/// How a hook is run.
pub(super) struct Policy {
    pub(super) schema_version: Option<u32>,
    pub(super) env_from: Vec<String>,
    pub(super) output: OutputMode,
    pub(super) on_timeout: OnTimeout,
    pub(super) on_unreadable: Option<OnUnreadable>,
    pub(super) stop: StopMode,
    pub(super) after: Vec<(HookName, Span)>,
    pub(super) mode: Mode,
    pub(super) group: Option<(String, OnBusy)>,
    pub(super) coalesce: Option<Coalesce>,
}

/// The action of a hook, when a later version carries that out.
pub(super) fn upcoming(action: Option<&Action>, hook: &Node) -> Option<Upcoming> {
    let key = match action? {
        action @ (Action::Webhook(_) | Action::Notify(_) | Action::Email(_) | Action::Transition(_)) => action.key(),
        Action::Script { .. } | Action::Command(_) | Action::Program(_) => return None,
    };
    let (at, _) = hook.entries().iter().find(|(at, _)| at.name == key)?;
    Some(Upcoming { key: key.into(), span: at.span, version: DELIVERY.into() })
}

impl Reader<'_> {
    pub(super) fn policy(&mut self, hook: &Node) -> Policy {
        let entry = |name: &str| hook.entries().iter().find(|(key, _)| key.name == name);
        let mut policy = Policy {
            schema_version: entry("schema_version").and_then(|(_, node)| self.schema_version(node)),
            env_from: entry("env_from").map(|(_, node)| self.env_from(node)).unwrap_or_default(),
            output: entry("output").and_then(|(_, node)| self.word(node)).unwrap_or(OutputMode::OnFailure),
            on_timeout: entry("on_timeout").and_then(|(_, node)| self.word(node)).unwrap_or(OnTimeout::Fail),
            on_unreadable: entry("on_unreadable").and_then(|(_, node)| self.word(node)),
            stop: entry("stop").and_then(|(_, node)| self.word(node)).unwrap_or(StopMode::Next),
            after: entry("after").map(|(_, node)| self.after(node)).unwrap_or_default(),
            mode: entry("mode").and_then(|(_, node)| self.word(node)).unwrap_or(Mode::Wait),
            group: None,
            coalesce: entry("coalesce").and_then(|(_, node)| self.coalesce(node)),
        };
        let on_busy: Option<OnBusy> = entry("on_busy").and_then(|(_, node)| self.word(node));
        let group = entry("concurrency_group").and_then(|(_, node)| self.text(node, "the name of a group, a string,"));
        if group.as_ref().is_some_and(String::is_empty) {
            self.error(hook.span, "bad-value", "the name of a concurrency group is empty");
        }
        match (group, entry("on_busy")) {
            (Some(group), _) => policy.group = Some((group, on_busy.unwrap_or(OnBusy::Queue))),
            (None, Some((key, _))) if entry("concurrency_group").is_none() => {
                let help = "name the group: `concurrency_group: tests`";
                self.error(key.span, "conflict", "`on_busy` needs a `concurrency_group`").help = Some(help.into());
            }
            _ => {}
        }
        policy
    }

    pub(super) fn concurrency(&mut self, node: &Node) -> Option<Concurrency> {
        match &node.value {
            Value::Text(word) if word == "auto" => Some(Concurrency::Auto),
            Value::Text(_) => {
                let message = format!("a whole number or `auto` is wanted, this is {}", node.value.describe());
                self.error(node.span, "bad-value", message);
                None
            }
            _ => {
                let limit = self.whole(node, 1, 1024, "a number of hooks or `auto`")?;
                Some(Concurrency::Limit(u32::try_from(limit).ok()?))
            }
        }
    }

    fn schema_version(&mut self, node: &Node) -> Option<u32> {
        let help = "write the major version in quotes: `schema_version: \"1\"`";
        let version = match &node.value {
            Value::Text(text) => text.parse::<u32>().ok(),
            _ => None,
        };
        match version {
            Some(version) => Some(version),
            None => {
                let problem = match &node.value {
                    Value::Text(text) => {
                        let message = format!("`{}` is no major version of events", one_line(text));
                        self.error(node.span, "bad-value", message)
                    }
                    _ => self.wrong_type(node, "the major version of events, a string,"),
                };
                problem.help = Some(help.into());
                None
            }
        }
    }

    fn env_from(&mut self, node: &Node) -> Vec<String> {
        let names = self.texts(node, "a list of variable names").unwrap_or_default();
        let allowed = names.into_iter().filter(|(name, span)| self.variable(name, *span));
        allowed.map(|(name, _)| name).collect()
    }

    fn after(&mut self, node: &Node) -> Vec<(HookName, Span)> {
        let Value::List(items) = &node.value else {
            self.wrong_type(node, "a list of hook names").help = Some("write `after: [name]`".into());
            return Vec::new();
        };
        items.iter().filter_map(|item| Some((self.parsed(item, "a hook's name")?, item.span))).collect()
    }

    fn coalesce(&mut self, node: &Node) -> Option<Coalesce> {
        let entries = self.map(node, "a mapping with `key` and `within`")?;
        self.known_keys(entries, COALESCE_KEYS, "`coalesce`");
        let (Some(key), Some(within)) = (node.get("key"), node.get("within")) else {
            let help = "write `coalesce: {key: context.task_id, within: 2s}`";
            self.missing(node, "`coalesce` needs `key` and `within`", help);
            return None;
        };
        let empty = key.value == Value::Text(String::new());
        if empty {
            self.error(key.span, "bad-value", "the field is empty").help =
                Some("name one: `key: context.task_id`".into());
        }
        let key = self.text(key, "a field, such as `context.task_id`,");
        let within = self.duration(within, Duration::from_secs(3600));
        Some(Coalesce { key: key?, within: within? })
    }

    /// That every name under `after` is a hook, and that no hook waits for itself.
    pub(super) fn order(&mut self, hooks: &[Hook]) {
        if hooks.iter().all(|hook| hook.after.is_empty()) {
            return;
        }
        let at: HashMap<&str, usize> = hooks.iter().enumerate().map(|(at, hook)| (hook.name.as_str(), at)).collect();
        for (number, hook) in hooks.iter().enumerate() {
            self.hook = Some((number, hook.name.to_string()));
            for (name, span) in &hook.after {
                if !at.contains_key(name.as_str()) {
                    let known = Some(at.keys().copied()).filter(|_| self.found.len() < MAX_PROBLEMS);
                    let near = known.and_then(|known| nearest(name.as_str(), known));
                    let help =
                        near.map_or("`knockon list` shows the hooks".into(), |near| format!("did you mean `{near}`?"));
                    let message = format!("`{}` waits for `{name}`, and there is no such hook", hook.name);
                    self.error(*span, "unknown-hook", message).help = Some(help);
                }
            }
        }
        // Walk each chain once: white is new, grey is being walked, black is done.
        let mut done = vec![false; hooks.len()];
        let mut walked_at: Vec<Option<usize>> = vec![None; hooks.len()];
        for start in 0..hooks.len() {
            let mut path: Vec<(usize, usize)> = vec![(start, 0)];
            while let Some((hook, next)) = path.last().copied() {
                if done[hook] {
                    path.pop();
                    continue;
                }
                walked_at[hook].get_or_insert(path.len() - 1);
                let Some((name, span)) = hooks[hook].after.get(next) else {
                    (done[hook], walked_at[hook]) = (true, None);
                    path.pop();
                    continue;
                };
                if let Some(last) = path.last_mut() {
                    last.1 += 1;
                }
                let Some(&target) = at.get(name.as_str()) else { continue };
                if let Some(from) = walked_at[target] {
                    let names = path[from..].iter().map(|(walked, _)| hooks[*walked].name.as_str());
                    let mut circle: Vec<&str> = names.chain([hooks[target].name.as_str()]).collect();
                    if circle.len() > SHOWN_IN_CIRCLE {
                        circle.splice(SHOWN_IN_CIRCLE / 2..circle.len() - SHOWN_IN_CIRCLE / 2, ["…"]);
                    }
                    let message = format!("these hooks wait for each other: {}", circle.join(" → "));
                    self.hook = Some((hook, hooks[hook].name.to_string()));
                    self.error(*span, "after-cycle", message).help = Some("remove one of these `after`".into());
                } else if !done[target] {
                    path.push((target, 0));
                }
            }
        }
    }
}
