//! Which of the waiting events the next request carries: as many as fit, and fewer while the one is looked for that
//! makes the server refuse a whole batch.
//!
//! Events leave from the front, in the order they were queued. A batch that is refused (400) has a bad event somewhere
//! in it: those at the front are then `suspects`, of which the first half is sent, until one alone is refused.

use super::wire::{Answer, ENVELOPE, Said};
use crate::event::EventId;
use std::collections::{HashMap, VecDeque};

/// How much one request carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) events: usize,
    /// In bytes of JSON.
    pub(super) bytes: usize,
}

/// An event that can be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) row: i64,
    pub(super) id: EventId,
    /// In bytes of JSON.
    pub(super) size: usize,
}

/// What a reply means for one event of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Said(Said),
    /// The reply does not name it, or contradicts itself.
    Unnamed,
}

/// The events that wait, and those on their way: the first `in_flight` of them.
#[derive(Debug)]
pub(super) struct Waiting {
    limits: Limits,
    events: VecDeque<Candidate>,
    in_flight: usize,
    /// How many at the front have a bad one among them; 0: none that is known.
    suspects: usize,
    /// How many are sent at once while bad ones follow each other.
    careful: usize,
    /// Whether something was taken since the last bad one.
    lucky: bool,
    /// What the server takes at once, as far as it said so (413).
    most_bytes: usize,
    /// The event that was too large by itself, and how often in a row: a proxy may say so once, and be wrong.
    alone: (i64, u32),
}

/// How often an event has to be too large by itself until it is a dead letter.
const TOO_LARGE_ALONE: u32 = 3;

impl Waiting {
    pub(super) fn new(limits: Limits) -> Self {
        let most_bytes = limits.bytes;
        Waiting {
            limits,
            events: VecDeque::new(),
            in_flight: 0,
            suspects: 0,
            careful: usize::MAX,
            lucky: true,
            most_bytes,
            alone: (0, 0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn push(&mut self, candidate: Candidate) {
        self.events.push_back(candidate);
    }

    /// Whether a single event of this size can be sent at all.
    pub(super) fn fits(&self, size: usize) -> bool {
        size + ENVELOPE <= self.limits.bytes
    }

    /// Whether the next batch could be larger, were more known.
    pub(super) fn wants_more(&self) -> bool {
        self.events.len() < self.limits.events && self.next() == self.events.len()
    }

    /// How many events the next batch has.
    fn next(&self) -> usize {
        let suspected = match self.suspects {
            0 => self.careful,
            1 => 1,
            several => several / 2,
        };
        let most = suspected.min(self.limits.events);
        let mut bytes = ENVELOPE - 1;
        let fits = |candidate: &&Candidate| {
            bytes += candidate.size + 1;
            bytes <= self.most_bytes
        };
        let fitting = self.events.iter().take(most).take_while(fits).count();
        // One that is larger than what the server took last may still be taken by itself.
        fitting.max(self.events.len().min(1))
    }

    /// Sends the next batch: its rows.
    pub(super) fn send(&mut self) -> Vec<i64> {
        self.in_flight = self.next();
        self.flying().map(|candidate| candidate.row).collect()
    }

    fn flying(&self) -> impl Iterator<Item = &Candidate> {
        self.events.iter().take(self.in_flight)
    }

    /// The batch did not get there, or it is not known whether it did.
    pub(super) fn give_back(&mut self) {
        self.in_flight = 0;
    }

    /// Leaves out what may not be sent any more; it was not sent.
    pub(super) fn withdraw(&mut self, rows: &[i64]) -> usize {
        self.give_back();
        let before = self.events.len();
        let front = self.events.iter().take(self.suspects).filter(|candidate| rows.contains(&candidate.row)).count();
        self.suspects -= front;
        self.events.retain(|candidate| !rows.contains(&candidate.row));
        before - self.events.len()
    }

    /// The server refuses the batch for what is in it (400). The event that is to blame, once it is known.
    pub(super) fn refused(&mut self) -> Option<Candidate> {
        let sent = std::mem::take(&mut self.in_flight);
        if sent > 1 {
            self.suspects = sent;
            return None;
        }
        self.suspects = 0;
        // Where nothing is taken any more, looking for each bad event in a full batch would take ten requests each.
        if !self.lucky {
            self.careful = 1;
        }
        self.lucky = false;
        self.events.pop_front()
    }

    /// The batch is more than the server takes (413). The event that is too large by itself, when it was one and was
    /// sent often enough.
    pub(super) fn too_large(&mut self) -> Option<Candidate> {
        let bytes = ENVELOPE - 1 + self.flying().map(|candidate| candidate.size + 1).sum::<usize>();
        let sent = std::mem::take(&mut self.in_flight);
        if sent > 1 {
            self.most_bytes = bytes / 2;
            return None;
        }
        let row = self.events.front().map_or(0, |candidate| candidate.row);
        self.alone = if self.alone.0 == row { (row, self.alone.1 + 1) } else { (row, 1) };
        if self.alone.1 < TOO_LARGE_ALONE {
            return None;
        }
        // Others may be to blame for what is looked for, if anything is.
        self.suspects = self.suspects.saturating_sub(1);
        let large = self.events.pop_front();
        // It may be why the batches before were too large: all that is known is that this is.
        self.most_bytes = self.limits.bytes.min(bytes.saturating_sub(1));
        large
    }

    /// The server took the batch as one: what it says of each event. Those it does not name stay at the front, unless
    /// it names none: then they are not asked about again.
    pub(super) fn answered(&mut self, answers: Vec<Answer>) -> Vec<(Candidate, Verdict)> {
        let sent = std::mem::take(&mut self.in_flight);
        let mut verdicts = verdicts(answers);
        let batch: Vec<_> = self.events.drain(..sent).collect();
        let batch: Vec<_> = batch
            .into_iter()
            .map(|candidate| {
                let verdict = verdicts.remove(candidate.id.ulid()).unwrap_or(Verdict::Unnamed);
                (candidate, verdict)
            })
            .collect();
        let unnamed = batch.iter().filter(|(_, verdict)| *verdict == Verdict::Unnamed);
        let stay =
            if unnamed.clone().count() < batch.len() { unnamed.map(|(it, _)| *it).collect() } else { Vec::new() };
        self.suspects = match self.suspects.saturating_sub(sent) {
            0 => 0,
            rest => rest + stay.len(),
        };
        for candidate in stay.into_iter().rev() {
            self.events.push_front(candidate);
        }
        self.lucky = true;
        self.careful = self.careful.saturating_mul(2);
        batch
    }
}

/// What is said of each id. One that is named twice, differently, is as good as not named: a row is never settled by
/// a reply that contradicts itself.
fn verdicts(answers: Vec<Answer>) -> HashMap<String, Verdict> {
    let mut verdicts: HashMap<String, Verdict> = HashMap::with_capacity(answers.len());
    for Answer { event_id, said } in answers {
        let id = event_id.strip_prefix("evt_").map_or(event_id.clone(), str::to_owned);
        let verdict = Verdict::Said(said);
        let known = verdicts.entry(id).or_insert_with(|| verdict.clone());
        if !agree(known, &verdict) {
            *known = Verdict::Unnamed;
        }
    }
    verdicts
}

fn agree(one: &Verdict, other: &Verdict) -> bool {
    use Said::{Duplicate, Pending, Refused, Taken};
    match (one, other) {
        (Verdict::Said(one), Verdict::Said(other)) => matches!(
            (one, other),
            (Taken | Duplicate, Taken | Duplicate) | (Pending, Pending) | (Refused(_), Refused(_))
        ),
        _ => false,
    }
}
