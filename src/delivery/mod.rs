//! One event for one hook, and how carrying it out ended: the words the rooms above share.

mod answer;
mod meant;
mod merged;
mod outcome;
mod status;
mod trace;

pub use answer::{Annotation, Answer, Decision, FollowUp, MAX_ANSWER, UNREADABLE_HELP, Wish};
pub use meant::MeantScan;
pub use merged::{Merged, Specific};
pub use outcome::Outcome;
pub use status::{NotRun, SkippedBy, Status};
pub use trace::{Span, TraceParent};

use crate::config::{ConfigFile, Hook, Sandbox};
use crate::event::Event;
use crate::time::Timestamp;

/// An event that is to be handed to a hook.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// What happened.
    pub event: &'a Event,
    /// The hook it triggered.
    pub hook: &'a Hook,
    /// The file the hook came from.
    pub file: &'a ConfigFile,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What brought it about.
    pub occasion: Occasion,
}

/// How deep events may cause events.
pub const MAX_CHAIN: u32 = 16;

/// What brought a delivery about, apart from its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// What emitted the event, or emits it again: `emit`, `run`, `replay` and so on.
    pub source: &'static str,
    /// Whether the event was recorded before, and is delivered again.
    pub replay: bool,
    /// How many events led to this one: an answer's follow-up, or a hook that calls the emitter itself.
    pub chain: u32,
    /// How many events this delivery stands for, when they were coalesced.
    pub coalesced: Option<u32>,
    /// Whether hooks that could go on alone are waited for all the same.
    pub attended: bool,
    /// When it was to be carried out, when it came out of the queue of what nobody waits for.
    pub due: Option<Timestamp>,
    /// The span that caused it, or that it is carried out in, where spans are exported.
    pub trace: Option<TraceParent>,
}

/// One of the two streams a hook writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both, in the order of their descriptors.
    pub const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    /// The name in a machine-readable report.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What a hook wrote to one stream: its beginning, its end, and how much there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes, when there were more than `head` holds.
    pub tail: Vec<u8>,
    /// How many bytes lie between the two and were not kept.
    pub omitted: u64,
    /// All bytes.
    pub bytes: u64,
    /// All lines; a last one without a line feed counts.
    pub lines: u64,
}

impl Captured {
    /// What was kept as text, with a line that tells what is left out; bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.omitted > 0 {
            text.push_str(&format!("\n… {} bytes left out …\n", self.omitted));
        }
        text.push_str(&String::from_utf8_lossy(&self.tail));
        text
    }

    /// Whether what was kept is no text.
    pub fn is_binary(&self) -> bool {
        // A character cut in two where bytes are left out does not count.
        let broken = |bytes: &[u8]| bytes.utf8_chunks().any(|chunk| !chunk.invalid().is_empty());
        match self.omitted {
            0 => broken(&self.bytes_kept()),
            _ => {
                broken(&self.head[..self.head.len().saturating_sub(4)])
                    || broken(self.tail.get(4..).unwrap_or_default())
            }
        }
    }

    /// Keeps the last `most` bytes only.
    fn shorten(&mut self, most: usize) {
        let all = self.bytes_kept();
        if all.len() > most {
            self.tail = all[all.len() - most..].to_vec();
            self.head = Vec::new();
            self.omitted = self.bytes.saturating_sub(most as u64);
        }
    }

    /// All bytes that were kept.
    pub fn bytes_kept(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.tail].concat()
    }

    /// The last `count` lines that say something.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

/// What a sandbox really took from a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforced {
    /// The level that was wanted, by its author or by a policy.
    pub level: Sandbox,
    /// What it is kept from.
    pub held: Vec<&'static str>,
    /// What it should be kept from, and this system cannot.
    pub missing: Vec<&'static str>,
}
