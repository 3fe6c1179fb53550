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

/// One key of the table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
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
        probe(&self.tags, hash, |at| Some(self.slots[at])).unwrap_or_default()
    }

    /// The tags, a byte each.
    pub(super) fn tags(&self) -> &[u8] {
        &self.tags
    }

    /// The slots, each in [`Slot::BYTES`] bytes.
    pub(super) fn slots(&self) -> impl Iterator<Item = [u8; Slot::BYTES]> {
        self.slots.iter().map(|slot| slot.to_bytes())
    }
}

impl Slot {
    /// How many bytes one takes where it is stored.
    pub const BYTES: usize = 16;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.hash.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.start.to_le_bytes());
        bytes[12..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    /// One that was stored.
    pub fn of_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [h0, h1, h2, h3, h4, h5, h6, h7, s0, s1, s2, s3, c0, c1, c2, c3] = bytes;
        Slot {
            hash: u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]),
            start: u32::from_le_bytes([s0, s1, s2, s3]),
            count: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }
}

/// Where the entries of a key are, in a table of which the tags are at hand and a slot is fetched when it is
/// needed. Nothing when a slot cannot be had.
pub fn probe(tags: &[u8], hash: u64, mut slot: impl FnMut(usize) -> Option<Slot>) -> Option<Range<usize>> {
    let Some(mask) = tags.len().checked_sub(1).filter(|_| tags.len().is_power_of_two()) else { return Some(0..0) };
    let wanted = tag(hash);
    let mut at = hash as usize & mask;
    // No table is full; one that was stored could be anything.
    for _ in 0..tags.len() {
        match tags[at] {
            FREE => return Some(0..0),
            found if found == wanted => {
                let slot = slot(at)?;
                if slot.hash == hash {
                    return Some(slot.start as usize..slot.start as usize + slot.count as usize);
                }
            }
            _ => {}
        }
        at = (at + 1) & mask;
    }
    Some(0..0)
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
