//! How an attempt, a hook and an event ended: the word, the shape and the colour that stand for it.

use crate::audit::{AttemptStory, HookStory, Story};

/// An ending, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Failed,
    Timeout,
    Error,
    Interrupted,
    Blocked,
    /// Begun, and its ending is not on record.
    Unfinished,
    /// A word that this version does not know.
    Other,
    Success,
    Detached,
    Skipped,
    /// No hook was meant.
    Nothing,
}

impl Mark {
    pub(super) const ALL: [Mark; 11] = [
        Mark::Failed,
        Mark::Timeout,
        Mark::Error,
        Mark::Interrupted,
        Mark::Blocked,
        Mark::Unfinished,
        Mark::Other,
        Mark::Success,
        Mark::Detached,
        Mark::Skipped,
        Mark::Nothing,
    ];

    pub(super) fn of(attempt: &AttemptStory) -> Self {
        match attempt.status.as_str() {
            "success" => Mark::Success,
            "failed" => Mark::Failed,
            "timeout" => Mark::Timeout,
            "error" => Mark::Error,
            "interrupted" => Mark::Interrupted,
            "blocked_untrusted" | "invalid" => Mark::Blocked,
            "skipped" if attempt.is_missed() => Mark::Blocked,
            "skipped" | "disabled" => Mark::Skipped,
            "detached" => Mark::Detached,
            "started" => Mark::Unfinished,
            _ => Mark::Other,
        }
    }

    /// How it ended at a hook in the end. That it goes on alone may be recorded after its ending.
    pub(super) fn of_hook(hook: &HookStory) -> Self {
        let mut marks = hook.attempts.iter().map(Mark::of);
        let told = marks.clone().rfind(|mark| *mark != Mark::Detached);
        told.or_else(|| marks.next_back()).unwrap_or(Mark::Nothing)
    }

    /// The gravest of its hooks.
    pub(super) fn of_event(story: &Story) -> Self {
        let hooks = story.hooks.iter().map(Mark::of_hook).min().unwrap_or(Mark::Nothing);
        if story.problems.is_empty() { hooks } else { hooks.min(Mark::Error) }
    }

    /// Whether a person should look at it.
    pub(super) fn is_bad(self) -> bool {
        self <= Mark::Blocked
    }

    /// Whether a process ran, or should have run and could not be started.
    pub(super) fn is_run(self, attempt: &AttemptStory) -> bool {
        match self {
            Mark::Failed | Mark::Timeout | Mark::Error | Mark::Interrupted | Mark::Success | Mark::Unfinished => true,
            Mark::Other => attempt.started.is_some(),
            Mark::Blocked | Mark::Detached | Mark::Skipped | Mark::Nothing => false,
        }
    }

    /// The word a person reads.
    pub(super) fn word(self) -> &'static str {
        match self {
            Mark::Failed => "failed",
            Mark::Timeout => "timeout",
            Mark::Error => "error",
            Mark::Interrupted => "interrupted",
            Mark::Blocked => "blocked",
            Mark::Unfinished => "unfinished",
            Mark::Other => "other",
            Mark::Success => "success",
            Mark::Detached => "detached",
            Mark::Skipped => "skipped",
            Mark::Nothing => "no hooks",
        }
    }

    /// The class that colours it, and the name of its shape.
    pub(super) fn class(self) -> &'static str {
        match self {
            Mark::Failed => "bad",
            Mark::Timeout => "late",
            Mark::Error => "err",
            Mark::Interrupted => "cut",
            Mark::Blocked => "held",
            Mark::Unfinished => "open",
            Mark::Other => "odd",
            Mark::Success => "ok",
            Mark::Detached => "away",
            Mark::Skipped => "skip",
            Mark::Nothing => "none",
        }
    }

    /// The shape, for a box of 16 by 16.
    fn shape(self) -> &'static str {
        match self {
            Mark::Failed => "<path d='M4.5 4.5l7 7m0-7l-7 7'/>",
            Mark::Timeout => "<circle cx='8' cy='8' r='5.6'/><path d='M8 4.8V8l2.3 1.7'/>",
            Mark::Error => "<path d='M8 2.2L14.4 13.4H1.6z'/><path d='M8 6.4v3.2m0 1.7v.3'/>",
            Mark::Interrupted => "<path d='M5.2 2.4h5.6l2.8 2.8v5.6l-2.8 2.8H5.2l-2.8-2.8V5.2zM5.6 8h4.8'/>",
            Mark::Blocked => "<path d='M3.4 7.4h9.2v6H3.4zM5.4 7.2V5.4a2.6 2.6 0 015.2 0v1.8'/>",
            Mark::Unfinished => "<path d='M2.6 8h.2m5.1 0h.2m5.1 0h.2' stroke-width='2.6'/>",
            Mark::Other => "<path d='M5.6 5.8a2.4 2.4 0 113.6 2.1C8.3 8.4 8 8.8 8 9.8m0 2.4v.3'/>",
            Mark::Success => "<path d='M3.2 8.6l3.1 3.1 6.5-7.2'/>",
            Mark::Detached => "<path d='M2.6 8h9.8M8.8 4.2L12.6 8l-3.8 3.8'/>",
            Mark::Skipped => "<path d='M3.6 4l4.4 4-4.4 4M8.6 4l4.4 4-4.4 4'/>",
            Mark::Nothing => "<circle cx='8' cy='8' r='2'/>",
        }
    }

    /// Every shape, once, to be used by its name; and the stripes of bars that ended badly.
    pub(super) fn shapes() -> String {
        let mut out = String::from("<svg class=shapes aria-hidden=true><defs>");
        for mark in Mark::ALL {
            out += &format!("<symbol id=i-{} viewBox='0 0 16 16'>{}</symbol>", mark.class(), mark.shape());
        }
        out += "</defs></svg>";
        out
    }

    /// Its shape, by its name.
    pub(super) fn icon(self) -> String {
        format!("<svg class=i><use href=#i-{} /></svg>", self.class())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(statuses: &[&str]) -> HookStory {
        let attempt = |status: &&str| AttemptStory { status: (*status).to_owned(), ..AttemptStory::default() };
        HookStory { name: "h".into(), attempts: statuses.iter().map(attempt).collect() }
    }

    #[test]
    fn a_hook_is_what_its_last_attempt_was_and_an_event_its_gravest_hook() {
        for (statuses, mark) in [
            (&["failed", "success"][..], Mark::Success),
            (&["success", "detached"], Mark::Success),
            (&["detached"], Mark::Detached),
            (&["detached", "started"], Mark::Unfinished),
            (&["from-the-future"], Mark::Other),
            (&[], Mark::Nothing),
        ] {
            assert_eq!(Mark::of_hook(&hook(statuses)), mark, "{statuses:?}");
        }
        let story = |hooks: Vec<HookStory>| Story { hooks, ..Story::default() };
        assert_eq!(Mark::of_event(&story(vec![hook(&["success"]), hook(&["timeout"])])), Mark::Timeout);
        assert_eq!(Mark::of_event(&story(vec![])), Mark::Nothing);
        let problem = Story { problems: vec!["no".into()], ..story(vec![hook(&["success"])]) };
        assert_eq!(Mark::of_event(&problem), Mark::Error);
    }

    #[test]
    fn what_a_person_should_look_at_is_what_the_audit_room_says() {
        for status in [
            "failed",
            "timeout",
            "error",
            "interrupted",
            "blocked_untrusted",
            "invalid",
            "disabled",
            "success",
            "skipped",
            "detached",
            "started",
            "x",
        ] {
            let attempt = AttemptStory { status: status.to_owned(), ..AttemptStory::default() };
            assert_eq!(Mark::of(&attempt).is_bad(), attempt.is_bad(), "{status}");
        }
    }
}
