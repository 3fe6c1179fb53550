//! What an event would trigger, without it happening: `emit --dry-run`.

use super::ending::GuardDocument;
use super::terminal::{Paint, Terminal};
use super::{diagnostics, explain};
use crate::config::Severity;
use crate::emitter::{Emitter, Preview};
use crate::explanation::explain_all;
use crate::text::one_line;
use crate::trust::Verdict;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Shows it for people, or as one JSON document; with `explains`, that has why each hook does or does not match.
pub(super) fn show(emitter: &Emitter, preview: &Preview, (as_json, explains): (bool, bool), terminal: &mut Terminal) {
    let guards = emitter.guards_missed_by(&preview.event);
    let name = |index: usize| emitter.loaded().hooks[index].hook.name.as_str();
    if as_json {
        let hooks = preview.hooks.iter().map(|(matched, verdict)| {
            let hook = &emitter.loaded().hooks[matched.hook].hook;
            json!({
                "hook": name(matched.hook),
                "hook_name": name(matched.hook),
                "matched": matched.reason(emitter.loaded()),
                "would_run": *verdict == Verdict::Trusted && hook.enabled && emitter.left_out(name(matched.hook)).is_none(),
                "enabled": hook.enabled,
                "trust": verdict.to_string(),
            })
        });
        let hooks: Vec<Value> = hooks.collect();
        // The keys of what an emit prints, so that one reader serves both.
        #[derive(serde::Serialize)]
        struct Document<'a> {
            dry_run: bool,
            event: Option<Box<RawValue>>,
            error: Option<&'a str>,
            outcome: &'static str,
            hooks_executed: usize,
            all_successful: bool,
            blocked: Option<String>,
            stopped_by: Option<&'a str>,
            results: &'a [Value],
            hooks: &'a [Value],
            #[serde(skip_serializing_if = "Vec::is_empty")]
            guards: Vec<GuardDocument<'a>>,
            warnings: &'a [String],
            problems: Vec<Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            explained: Option<Vec<Value>>,
        }
        let event = RawValue::from_string(preview.event.json().text().to_owned()).ok();
        let explained = explains.then(|| {
            let all = explain_all(emitter, &preview.event);
            all.iter().map(|explained| explain::document(emitter.loaded(), explained, &[])).collect()
        });
        let blocked = preview.hooks.iter().find(|(_, verdict)| *verdict != Verdict::Trusted);
        let problems = emitter.problems().iter().map(|problem| diagnostics::document(problem, None)).collect();
        terminal.json(&Document {
            dry_run: true,
            event,
            error: None,
            outcome: "none",
            hooks_executed: 0,
            all_successful: blocked.is_none()
                && guards.is_empty()
                && emitter.problems().iter().all(|problem| problem.severity != Severity::Error),
            blocked: blocked.map(|(_, verdict)| verdict.to_string()),
            stopped_by: None,
            results: &hooks,
            hooks: &hooks,
            guards: guards.iter().map(GuardDocument::of).collect(),
            warnings: &preview.warnings,
            problems,
            explained,
        });
    } else {
        terminal.line(&format!("{}  (dry run, nothing is run or recorded)", preview.event.kind()));
        for (matched, verdict) in &preview.hooks {
            let loaded_hook = &emitter.loaded().hooks[matched.hook];
            let (what, trust) = match verdict {
                Verdict::Trusted if loaded_hook.hook.enabled => match emitter.left_out(name(matched.hook)) {
                    Some(why) => ("would not run", format!(": {why}")),
                    None => ("would run", String::new()),
                },
                Verdict::Trusted => {
                    let place = emitter.loaded().place_of_disabling(loaded_hook);
                    ("would not run", format!(": disabled ({place})"))
                }
                _ => ("would not run", format!(": {verdict}")),
            };
            let hook = terminal.paint(Paint::Bold, name(matched.hook));
            terminal.line(&format!(
                "  {hook} {what}{} ({})",
                one_line(&trust),
                one_line(&matched.reason(emitter.loaded()))
            ));
        }
        for guard in &guards {
            let hook = terminal.paint(Paint::Bold, &one_line(&guard.name));
            terminal.line(&format!("  {hook} would not run: {}; {}", one_line(&guard.why), guard.help));
        }
        if preview.hooks.is_empty() && guards.is_empty() {
            terminal.line("  no hook matches");
        }
    }
    for warning in &preview.warnings {
        terminal.warning(warning);
    }
    for problem in emitter.problems() {
        terminal.problem(problem);
    }
}
