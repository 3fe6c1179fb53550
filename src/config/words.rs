//! The choices of words that keys take: each an enum, with its words beside it.

use serde::{Deserialize, Serialize};

/// A choice of words, each with its meaning; the first is the default.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $(#[$first_doc:meta])* $first:ident = $first_text:literal,
        $($(#[$word_doc:meta])* $word:ident = $text:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$word_doc])* $word,)*
        }

        impl $name {
            /// Every word of this choice, the default first.
            pub const WORDS: &[&str] = &[$first_text, $($text),*];

            /// The word in the file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $name::$first => $first_text,
                    $($name::$word => $text,)*
                }
            }
        }

        impl Word for $name {
            const WORDS: &[&str] = $name::WORDS;

            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $first_text => Some($name::$first),
                    $($text => Some($name::$word),)*
                    _ => None,
                }
            }
        }
    };
}

/// A choice of words in a file.
pub(super) trait Word: Sized {
    const WORDS: &[&str];

    fn from_word(word: &str) -> Option<Self>;
}

words! {
    /// When a record of the audit log counts as written.
    Durability {
        /// When the system has it: it survives the end of this process, not a power cut.
        Relaxed = "relaxed",
        /// When the disk has it.
        Fsync = "fsync",
    }
}

words! {
    /// What it means that a guard that was trusted did not run.
    GuardMode {
        /// A warning says so.
        Warn = "warn",
        /// The caller is stopped.
        Enforce = "enforce",
    }
}

words! {
    /// What a failure with `fail_mode: stop` ends.
    StopMode {
        /// What was not started yet.
        Next = "next",
        /// What runs as well.
        Now = "now",
    }
}

words! {
    /// What a failure of a hook means for the rest.
    FailMode {
        /// It is recorded, and the next hook runs.
        Continue = "continue",
        /// The hooks not yet started are skipped and the emitter exits with 1.
        Stop = "stop",
    }
}

words! {
    /// Whether the emitter waits for a hook.
    Mode {
        /// It waits.
        Wait = "wait",
        /// It goes on at once.
        Detach = "detach",
    }
}

words! {
    /// What a hook may touch, from the mildest to the strictest.
    Sandbox {
        /// What its user may.
        Base = "base",
        /// It writes in the project only, and has no network.
        Guard = "guard",
        /// It sees nothing but what it needs.
        Strict = "strict",
    }
}

words! {
    /// What of a hook's output the terminal shows.
    OutputMode {
        /// The end of it, when the hook failed.
        OnFailure = "on_failure",
        /// All of it, when the hook ended.
        Always = "always",
        /// Nothing.
        Never = "never",
        /// All of it, while the hook runs.
        Live = "live",
    }
}

words! {
    /// What it means that a hook's time was up.
    OnTimeout {
        /// It failed.
        Fail = "fail",
        /// It blocked: a guard is not passed by stalling.
        Block = "block",
    }
}

words! {
    /// What it means that a hook's answer cannot be read.
    OnUnreadable {
        /// A warning says so.
        Warn = "warn",
        /// The hook failed: the answer may have been a no.
        Fail = "fail",
    }
}

words! {
    /// What happens to a run while another of its group goes on.
    OnBusy {
        /// It waits.
        Queue = "queue",
        /// It is left out.
        Drop = "drop",
        /// It takes the place of the one that waits.
        Replace = "replace",
    }
}
