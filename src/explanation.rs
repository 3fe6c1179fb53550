//! Why each hook did or did not run for an event: what it asked for, what the event had, and what else
//! stood in the way.

use crate::audit::Entry;
use crate::config::{Hook, HookName, Loaded};
use crate::emitter::Emitter;
use crate::event::Event;
use crate::matcher::{Explanation, Rule, explain};
use crate::trust::Verdict;

/// What is to be said about one hook and one event.
#[derive(Clone, Debug)]
pub struct HookExplanation {
    /// Index into [`Loaded::hooks`].
    pub hook: usize,
    /// The entry under `events` that holds, or the one that came nearest.
    pub entry: usize,
    /// The entry as it is understood.
    pub rule: String,
    /// What it asks for, and what the event has.
    pub explanation: Explanation,
    /// What keeps the hook from running although it matches, or would.
    pub obstacles: Vec<String>,
    /// What else may matter.
    pub notes: Vec<String>,
}

impl HookExplanation {
    /// Whether the hook matches.
    pub fn matched(&self) -> bool {
        self.explanation.matched
    }

    /// Whether it would run.
    pub fn would_run(&self) -> bool {
        self.matched() && self.obstacles.is_empty()
    }
}

/// Explains every hook of `emitter` for `event`, in the order they run.
pub fn explain_all(emitter: &Emitter, event: &Event) -> Vec<HookExplanation> {
    let loaded = emitter.loaded();
    let mut guard = emitter.guard();
    let explained = (0..loaded.hooks.len()).filter_map(|index| {
        let loaded_hook = &loaded.hooks[index];
        let file = loaded.file_of(loaded_hook);
        let rules = loaded_hook.hook.events.iter().enumerate();
        let rules = rules.filter_map(|(at, entry)| Some((at, Rule::compile(file, entry, &mut Vec::new())?)));
        let explained = rules.map(|(at, rule)| (at, explain(&rule, event), rule.to_string()));
        // The first that holds, else the one of which the most holds.
        let best = explained.reduce(|best, next| {
            let better = !best.1.matched && (next.1.matched || next.1.progress() > best.1.progress());
            if better { next } else { best }
        });
        let (entry, explanation, rule) = best?;
        let hook = &loaded_hook.hook;
        let mut obstacles = obstacles(loaded, index, &guard.verdict(index));
        obstacles.extend(emitter.left_out(hook.name.as_str()).map(str::to_owned));
        let notes = notes(loaded, index, hook, event);
        Some(HookExplanation { hook: index, entry, rule, explanation, obstacles, notes })
    });
    explained.collect()
}

fn place(loaded: &Loaded, index: usize, span: crate::config::Span) -> String {
    let path = loaded.path_of(loaded.hooks[index].file, span);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{}:{}", crate::text::one_line(&name), span.line)
}

fn obstacles(loaded: &Loaded, index: usize, verdict: &Verdict) -> Vec<String> {
    let hook = &loaded.hooks[index].hook;
    let mut obstacles = Vec::new();
    if !hook.enabled {
        let by = hook.overridden.iter().find(|(key, _)| key == "enabled");
        obstacles.push(match by {
            Some((_, span)) => format!("it is switched off by {}", place(loaded, index, *span)),
            None => "it is switched off: `enabled: false`".to_owned(),
        });
    }
    match verdict {
        Verdict::Trusted => {}
        Verdict::Refused(why) => obstacles.push(format!("it is refused: {why}")),
        Verdict::Changed(_) => obstacles.push(format!("its content {verdict}; review with `knockon trust`")),
        verdict => obstacles.push(format!("its content is {verdict}; review with `knockon trust`")),
    }
    obstacles.extend(hook.upcoming.as_ref().map(ToString::to_string));
    obstacles
}

fn notes(loaded: &Loaded, index: usize, hook: &Hook, event: &Event) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, span) in hook.overridden.iter().filter(|(key, _)| key != "enabled") {
        notes.push(format!("its `{key}` comes from {}", place(loaded, index, *span)));
    }
    // One that the event does not trigger is not waited for.
    let file = loaded.hooks[index].file;
    let runs = |name: &HookName| {
        let mut named = loaded.hooks.iter().filter(|other| other.file == file && other.hook.name == *name);
        named.any(|other| {
            let compile = |entry| Rule::compile(loaded.file_of(other), entry, &mut Vec::new());
            let mut rules = other.hook.events.iter().filter_map(compile);
            other.hook.enabled && rules.any(|rule| rule.holds(event))
        })
    };
    let names: Vec<String> =
        hook.after.iter().filter(|(name, _)| runs(name)).map(|(name, _)| format!("`{name}`")).collect();
    if !names.is_empty() {
        notes.push(format!("it waits for {}", names.join(", ")));
    }
    notes
}

/// What a run of the past may need in words.
pub fn remark(run: &Entry) -> Option<&'static str> {
    match run.number("exit_code") {
        Some(2.0) => Some(
            "exit code 2 means that the hook blocks; a syntax error in bash and a usage error of Python's argparse exit with 2 as well",
        ),
        Some(126.0) => Some("exit code 126: a command was found and could not be executed"),
        Some(127.0) => Some("exit code 127: a command was not found"),
        _ => None,
    }
}
