//! Which events exist: the canonical table, and typed drafts for its rows.
//!
//! `canonical` is the table, one row a type; `drafts` has a function for each type an application
//! emits. What a type nobody declared means is decided here too: a warning that names the nearest.

mod canonical;
pub mod drafts;

pub use canonical::{CANONICAL, CanonicalEvent};

use crate::config::{Diagnostic, Loaded};
use crate::event::EventType;
use crate::text::nearest;

/// Whether a type is in the table.
pub fn is_known(name: &str) -> bool {
    CANONICAL.iter().any(|event| event.name == name)
}

/// What to tell the producer of an event whose type nobody declared; nothing for a known type.
pub fn admit(kind: &EventType) -> Option<String> {
    if is_known(kind.as_str()) {
        return None;
    }
    Some(match nearest_known(kind.as_str()) {
        Some(near) => format!("nobody declared the event type `{kind}`; did you mean `{near}`?"),
        None => format!("nobody declared the event type `{kind}`; `knockon events` lists the known ones"),
    })
}

/// The type that was probably meant, where one that nobody declared is near to it.
pub fn probably(kind: &EventType) -> Option<&'static str> {
    if is_known(kind.as_str()) { None } else { nearest_known(kind.as_str()) }
}

/// Warnings for hooks that wait for a type nobody declared.
pub fn unknown_types(loaded: &Loaded) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for loaded_hook in &loaded.hooks {
        let file = loaded.file_of(loaded_hook);
        for matcher in &loaded_hook.hook.events {
            let name = &matcher.pattern.name;
            let span = matcher.pattern.span;
            if name.contains(['*', '?', '[']) {
                if let Some(near) = nearest_domain(name) {
                    let message = format!("`{}` matches no known event type", crate::text::one_line(name));
                    let warning = Diagnostic::warning(file.path_of(span), Some(span), "unknown-event-type", message);
                    warnings.push(warning.help(format!("did you mean `{near}`?")));
                }
                continue;
            }
            if is_known(name) {
                continue;
            }
            let message = format!("`{}` is no known event type", crate::text::one_line(name));
            let help = match nearest_known(name) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`knockon events` lists the known ones".to_owned(),
            };
            warnings
                .push(Diagnostic::warning(file.path_of(span), Some(span), "unknown-event-type", message).help(help));
        }
    }
    warnings
}

/// The glob that was probably meant, where one such as `taks.*` names a domain that no known type has.
fn nearest_domain(glob: &str) -> Option<String> {
    let (domain, rest) = glob.split_once('.')?;
    let domains = || CANONICAL.iter().filter_map(|event| event.name.split_once('.')).map(|(domain, _)| domain);
    if domain.contains(['*', '?', '[']) || domains().any(|known| known == domain) {
        return None;
    }
    nearest(domain, domains()).map(|near| format!("{near}.{rest}"))
}

fn nearest_known(name: &str) -> Option<&'static str> {
    nearest(name, CANONICAL.iter().map(|event| event.name))
}
