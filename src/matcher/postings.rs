//! A hash table from keys to ranges of a list, built once.

use std::ops::Range;

/// Where in a list that is sorted by key the entries of each key stand.
#[derive(Debug, Default)]
pub(super) struct Postings {
    /// Seven bits of the key of each slot and a mark that it is taken: most keys that are looked up are not
    /// there, and this small table, which stays in the processor's cache, says so.
    tags: Vec<u8>,
    /// A power of two of places; a key stands in the first free one from its own on.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u64,
    start: u32,
    count: u32,
}

/// The tag of a free place.
const FREE: u8 = 0;

fn tag(hash: u64) -> u8 {
    (hash >> 57) as u8 | 0x80
}

impl Postings {
    /// The table for pairs that are sorted: the ranges it gives are those of `pairs`.
    pub(super) fn of(pairs: &[(u64, u32)]) -> Self {
        let keys = pairs.chunk_by(|a, b| a.0 == b.0).count();
        let places = (keys * 2).next_power_of_two().max(2);
        let mut postings = Postings { tags: vec![FREE; places], slots: vec![Slot::default(); places] };
        let mut start = 0;
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            let hash = group[0].0;
            let mask = places - 1;
            let mut at = hash as usize & mask;
            while postings.tags[at] != FREE {
                at = (at + 1) & mask;
            }
            let count = u32::try_from(group.len()).unwrap_or(u32::MAX);
            postings.tags[at] = tag(hash);
            postings.slots[at] = Slot { hash, start, count };
            start += count;
        }
        postings
    }

    /// What stands under a key.
    pub(super) fn get(&self, hash: u64) -> Range<usize> {
        let Some(mask) = self.tags.len().checked_sub(1) else { return 0..0 };
        let wanted = tag(hash);
        let mut at = hash as usize & mask;
        loop {
            let found = self.tags[at];
            if found == FREE {
                return 0..0;
            }
            if found == wanted && self.slots[at].hash == hash {
                let slot = self.slots[at];
                return slot.start as usize..(slot.start + slot.count) as usize;
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in() {
        let mut pairs: Vec<(u64, u32)> =
            (0..1000_u32).map(|n| (u64::from(n % 7) << 40 | u64::from(n % 100), n)).collect();
        pairs.sort_unstable();
        let postings = Postings::of(&pairs);
        for pair in &pairs {
            let found = &pairs[postings.get(pair.0)];
            assert!(found.contains(pair) && found.iter().all(|(hash, _)| *hash == pair.0));
        }
        assert!(postings.get(123_456_789).is_empty());
        assert!(Postings::default().get(1).is_empty());
    }
}
