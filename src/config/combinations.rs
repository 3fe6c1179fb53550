//! Keys of a hook that cannot work together: one of them would never have an effect.

use super::layers::ComposedHook;
use super::model::{Hook, HookName, MAX_WAIT};
use super::reader::Reader;
use super::tree::Span;
use super::words::{FailMode, Mode, OnTimeout, StopMode};
use crate::time::exact;
use std::collections::HashMap;

/// Whether the emitter does not wait for a hook.
pub(super) fn is_deferred(hook: &Hook) -> bool {
    hook.mode == Mode::Detach || hook.coalesce.is_some()
}

/// The key that defers a hook.
fn deferring_key(hook: &Hook) -> &'static str {
    if hook.mode == Mode::Detach { "mode: detach" } else { "coalesce" }
}

impl Reader<'_> {
    /// Finds keys of a hook that contradict each other, and hooks that wait for one that the emitter does not wait for.
    pub(super) fn combinations(&mut self, hooks: &mut [Hook], composed: &[ComposedHook]) {
        for (number, (hook, composed)) in hooks.iter_mut().zip(composed).enumerate() {
            self.hook = Some((number, composed.label(number)));
            let key =
                |name: &str| composed.node.entries().iter().find(|(key, _)| key.name == name).map(|(key, _)| key.span);
            if is_deferred(hook) && hook.fail_mode == FailMode::Stop {
                match key("fail_mode") {
                    Some(span) => self.no_effect(
                        span,
                        "`fail_mode: stop`",
                        deferring_key(hook),
                        "the emitter does not wait for the hook",
                    ),
                    // `defaults` apply to hooks that wait.
                    None => hook.fail_mode = FailMode::Continue,
                }
            }
            if hook.timeout > MAX_WAIT && !is_deferred(hook) {
                let span = key("timeout").unwrap_or(hook.span);
                let message = format!(
                    "the timeout is {}; a hook that the emitter waits for may take {} at most",
                    exact(hook.timeout),
                    exact(MAX_WAIT)
                );
                let help = "shorten it, or let the hook run in the background: `mode: detach`";
                self.error(span, "out-of-range", message).help = Some(help.into());
            }
            let stops = hook.fail_mode == FailMode::Stop || self.broken.contains(&number);
            if let Some(span) = key("stop").filter(|_| hook.stop == StopMode::Now && !stops) {
                self.needs_stop(span, "`stop: now`");
            }
            if let Some(span) = key("on_timeout").filter(|_| hook.on_timeout == OnTimeout::Block && !stops) {
                self.needs_stop(span, "`on_timeout: block`");
            }
        }
        let mut named: HashMap<&HookName, &Hook> = HashMap::new();
        for hook in hooks.iter() {
            named.entry(&hook.name).or_insert(hook);
        }
        for (number, composed) in composed.iter().enumerate() {
            self.hook = Some((number, composed.label(number)));
            for (name, span) in &hooks[number].after {
                let Some(before) = named.get(name) else { continue };
                if is_deferred(before) {
                    let message = format!(
                        "`{}` cannot wait for `{name}`: it has `{}`",
                        hooks[number].name,
                        deferring_key(before)
                    );
                    let help = format!("remove `after`, or let the emitter wait for `{name}`");
                    self.error(*span, "no-effect", message).help = Some(help);
                }
            }
        }
    }

    fn no_effect(&mut self, span: Span, what: &str, with: &str, why: &str) {
        let message = format!("{what} has no effect with `{with}`: {why}");
        self.error(span, "no-effect", message).help = Some(format!("remove {what}, or `{with}`"));
    }

    fn needs_stop(&mut self, span: Span, what: &str) {
        let message = format!("{what} has no effect without `fail_mode: stop`");
        self.error(span, "no-effect", message).help = Some(format!("add `fail_mode: stop`, or remove {what}"));
    }
}
