//! Globs that no event type can match, and hooks that wait for one that never gets their event.

use super::glob::TypeGlob;
use crate::config::{Diagnostic, HookName, Loaded, Span};
use crate::event::EventType;
use crate::text::one_line;
use std::collections::HashMap;

/// Why a glob over event types matches none, and the type to write instead, if that can be guessed. An event type is
/// `<domain>.<action>` in lower-case letters (ADR-005).
pub fn why_impossible(glob: &str) -> Option<(String, Option<String>)> {
    let is_literal = !glob.contains(['*', '?', '[']);
    if is_literal && glob.parse::<EventType>().is_ok() {
        return None;
    }
    let shown = one_line(glob);
    let plain = plain_characters(glob);
    let lower = glob.trim_start_matches(['^', '!']).trim_end_matches('$').trim().to_lowercase();
    let suggested = |text: String| Some(text).filter(|text| text != glob && why_impossible(text).is_none());
    if is_literal && !glob.contains('.') && !lower.is_empty() {
        return Some((
            format!("`{shown}` matches no event type: a type is `<domain>.<action>`"),
            suggested(dotted(glob).unwrap_or_else(|| format!("{lower}.*"))),
        ));
    }
    if let Some(wrong) =
        plain.chars().find(|character| !(character.is_ascii_lowercase() || matches!(character, '.' | '_')))
    {
        let what = match wrong {
            'A'..='Z' => "event types have lower-case letters only".to_owned(),
            '^' | '$' => format!("`{wrong}` is no anchor here: a glob matches the whole type"),
            '!' => "a leading `!` does not exclude here; narrow the glob or use `filter`".to_owned(),
            other => format!("event types have no `{}`", one_line(&other.to_string())),
        };
        return Some((format!("`{shown}` matches no event type: {what}"), suggested(lower)));
    }
    let dots = plain.matches('.').count();
    if dots > 1 || (is_literal && dots != 1) || plain.starts_with('.') && glob.starts_with('.') || glob.ends_with('.') {
        return Some((format!("`{shown}` matches no event type: a type is `<domain>.<action>`, with one dot"), None));
    }
    None
}

/// A type in camel case, as other tools write it, as one of ours: `WPStatusChanged` is
/// `wp.status_changed`.
fn dotted(name: &str) -> Option<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    for (at, letter) in letters.iter().enumerate().filter(|(_, letter)| letter.is_ascii_alphabetic()) {
        let after_small = at > 0 && letters[at - 1].is_ascii_lowercase();
        let before_small = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        match words.last_mut() {
            Some(word) if !(letter.is_ascii_uppercase() && (after_small || before_small)) => {
                word.push(letter.to_ascii_lowercase());
            }
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }
    match words.as_slice() {
        [domain, action @ ..] if !action.is_empty() => Some(format!("{domain}.{}", action.join("_"))),
        _ => None,
    }
}

/// The characters of a glob that stand for themselves: without wildcards and classes.
fn plain_characters(glob: &str) -> String {
    let mut plain = String::new();
    let mut characters = glob.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' => {}
            '[' => {
                // A `]` right behind the bracket, or its `!`, belongs to the class.
                for skipped in ['!', ']'] {
                    characters.next_if_eq(&skipped);
                }
                characters.by_ref().find(|character| *character == ']');
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Hooks that wait (`after`) for one that no event of theirs triggers: by their index, what is wrong.
pub(super) fn waits_in_vain(loaded: &Loaded) -> Vec<(usize, Diagnostic)> {
    let globs = |hook: usize| -> Option<Vec<TypeGlob>> {
        let events = &loaded.hooks[hook].hook.events;
        events.iter().map(|entry| TypeGlob::parse(&entry.pattern.name).ok()).collect()
    };
    let by_name: HashMap<(usize, &HookName), usize> =
        loaded.hooks.iter().enumerate().map(|(at, hook)| ((hook.file, &hook.hook.name), at)).collect();
    let mut found = Vec::new();
    for (index, loaded_hook) in loaded.hooks.iter().enumerate().filter(|(_, hook)| !hook.hook.after.is_empty()) {
        let file = loaded.file_of(loaded_hook);
        let Some(own) = globs(index) else { continue };
        for (name, span) in &loaded_hook.hook.after {
            let Some(others) = by_name.get(&(loaded_hook.file, name)).and_then(|&at| globs(at)) else { continue };
            if own.iter().any(|one| others.iter().any(|other| may_share(one, other))) {
                continue;
            }
            let span: Span = *span;
            let message = format!("`{}` waits for `{name}`, which never gets the same event", loaded_hook.hook.name);
            let problem = Diagnostic::error(file.path_of(span), Some(span), "no-effect", message);
            found.push((index, problem.help("remove `after`, or let both match the same event types")));
        }
    }
    found
}

/// Whether one type may match both: certain where one of them is a literal.
fn may_share(one: &TypeGlob, other: &TypeGlob) -> bool {
    match (one.literal(), other.literal()) {
        (Some(one), Some(other)) => one == other,
        (Some(kind), None) => other.matches(kind),
        (None, Some(kind)) => one.matches(kind),
        (None, None) => {
            let ((prefix, suffix), (other_prefix, other_suffix)) = (one.ends(), other.ends());
            (prefix.starts_with(&*other_prefix) || other_prefix.starts_with(&*prefix))
                && (suffix.ends_with(&*other_suffix) || other_suffix.ends_with(&*suffix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_that_can_match_no_type_says_what_to_write() {
        for (glob, write) in [
            ("Task.*", Some("task.*")),
            ("^task.completed$", Some("task.completed")),
            ("!task.*", Some("task.*")),
            ("task", Some("task.*")),
            ("TASK", Some("task.*")),
            ("TaskCompleted", Some("task.completed")),
            ("WPCreated", Some("wp.created")),
            ("WPStatusChanged", Some("wp.status_changed")),
            ("task.completed.now", None),
            ("task-list.*", None),
            ("task .*", None),
            ("task.", None),
            (".completed", None),
            ("1.*", None),
        ] {
            let (why, found) = why_impossible(glob).unwrap_or_else(|| panic!("{glob}"));
            assert_eq!(found.as_deref(), write, "{glob}: {why}");
        }
        for glob in
            ["*", "task.*", "*.completed", "t?sk.[a-d]*", "task.completed", "[!x]*", "*k.c*", "ta*", "?*.*_x", "a.b"]
        {
            assert_eq!(why_impossible(glob), None, "{glob}");
        }
    }
}
