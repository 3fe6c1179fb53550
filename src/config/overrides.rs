//! `hooks.local.yaml`: what this machine alone lays over the hooks of the other files.

use super::action::ACTION_KEYS;
use super::budget::MAX_PROBLEMS;
use super::layers::{ComposedHook, LOCAL_FILE, Layers, Opened};
use super::parse::TOP_KEYS;
use super::tree::{Key, Node, Span, Value};
use crate::text::{nearest, one_line};
use std::collections::HashMap;
use std::path::Path;

impl Layers<'_, '_> {
    /// Lays the local file over the rest: keys of `defaults`, and hooks by name.
    pub(super) fn local(&mut self) {
        let source = match (self.open)(Path::new(LOCAL_FILE)) {
            Opened::Missing | Opened::Withheld => return,
            Opened::Found(bytes) => self.add(LOCAL_FILE, bytes),
            Opened::Refused(why) => return self.unreadable(LOCAL_FILE, &why),
        };
        let Some(tree) = self.tree(source) else { return };
        let known: Vec<&str> = TOP_KEYS.iter().copied().filter(|key| !["include", "inherit"].contains(key)).collect();
        self.read(|reader| {
            reader.known_keys(tree.entries(), &known, &format!("`{LOCAL_FILE}`"));
            reader.version(&tree);
        });
        if let Some(node) = tree.get("concurrency") {
            self.composed.concurrency = Some(node.clone());
        }
        if let (Some(defaults), Some(root)) = (tree.get("defaults"), self.composed.scopes.first_mut()) {
            match &mut root.defaults {
                Some(base) => {
                    lay_over(base, defaults);
                }
                None => root.defaults = Some(defaults.clone()),
            }
        }
        let hooks = match tree.get("hooks") {
            None => return,
            Some(Node { value: Value::List(hooks), .. }) => hooks.clone(),
            Some(other) => {
                self.read(|reader| {
                    reader.wrong_type(other, "a list of hooks");
                });
                return;
            }
        };
        self.note_regions(&tree);
        let name = |node: &Node| match &node.get("name")?.value {
            Value::Text(name) => Some(name.clone()),
            _ => None,
        };
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for (number, hook) in self.composed.hooks.iter().enumerate() {
            name(&hook.node).map(|name| numbers.entry(name).or_insert(number));
        }
        for node in hooks {
            let shared = name(&node).and_then(|name| numbers.get(&name).copied());
            if shared.is_none() && is_override(&node) {
                self.unknown_override(&node);
                continue;
            }
            let hooks = &mut self.composed.hooks;
            let number = shared.unwrap_or(hooks.len());
            self.regions.push((node.span, Some(number)));
            match hooks.get_mut(number) {
                Some(hook) => hook.overridden.extend(lay_over(&mut hook.node, &node)),
                None => {
                    name(&node).map(|name| numbers.insert(name, number));
                    hooks.push(ComposedHook { node, scope: 0, overridden: Vec::new(), broken: false });
                }
            }
        }
    }

    /// An override of a hook that does not exist has no effect.
    fn unknown_override(&mut self, node: &Node) {
        let Some(Node { value: Value::Text(name), span }) = node.get("name") else { return };
        let known = self.composed.hooks.iter().filter_map(|hook| match &hook.node.get("name")?.value {
            Value::Text(name) => Some(name.as_str()),
            _ => None,
        });
        let help = match Some(known).filter(|_| self.found.len() < MAX_PROBLEMS).and_then(|known| nearest(name, known))
        {
            Some(near) => format!("did you mean `{near}`?"),
            None => "give a new hook its `events` and one of `script`, `command`".to_owned(),
        };
        let message = format!("there is no hook `{}` to override", one_line(name));
        let hook = Some(one_line(name));
        self.regions.push((node.span, None));
        self.read(|reader| {
            let problem = reader.error(*span, "unknown-hook", message);
            // The rest of the file is fine.
            (problem.help, problem.hook) = (Some(help), hook);
        });
    }
}

/// Whether an entry of the local file only changes a hook: it says neither when nor what.
fn is_override(node: &Node) -> bool {
    let says = |key: &str| key == "events" || ACTION_KEYS.contains(&key);
    node.get("name").is_some() && !node.entries().iter().any(|(key, _)| says(&key.name))
}

/// Puts the keys of `upper` over those of `lower`; variables of `env` one by one. Returns what it set.
fn lay_over(lower: &mut Node, upper: &Node) -> Vec<(String, Span)> {
    let Value::Map(entries) = &mut lower.value else { return Vec::new() };
    let mut set = Vec::new();
    let action = |key: &str| ACTION_KEYS.contains(&key);
    if upper.entries().iter().any(|(key, _)| action(&key.name)) {
        entries.retain(|(key, _)| !action(&key.name) && key.name != "args");
    }
    for (key, value) in upper.entries() {
        if key.name == "name" {
            continue;
        }
        set.push((key.name.clone(), key.span));
        match entries.iter_mut().find(|(mine, _)| mine.name == key.name) {
            Some((_, mine))
                if key.name == "env" && matches!((&mine.value, &value.value), (Value::Map(_), Value::Map(_))) =>
            {
                lay_over(mine, value);
            }
            Some(entry) => *entry = (Key { name: key.name.clone(), span: key.span }, value.clone()),
            None => entries.push((key.clone(), value.clone())),
        }
    }
    set
}
