//! Many type globs at once: only those whose plain beginning or end an event's type has are tried.

use super::glob::TypeGlob;
use super::hash::{HashKeyed, mix_bytes};

/// Globs by number.
#[derive(Debug, Default)]
pub(super) struct GlobSet {
    by_prefix: Affixes,
    /// Those without a plain beginning.
    by_suffix: Affixes,
    /// Those without either.
    others: Vec<u32>,
}

/// Globs by the hash of their plain beginning or end.
#[derive(Debug, Default)]
struct Affixes {
    lengths: Vec<usize>,
    globs: HashKeyed<Vec<u32>>,
}

impl Affixes {
    fn add(&mut self, affix: &str, glob: u32) {
        if let Err(at) = self.lengths.binary_search(&affix.len()) {
            self.lengths.insert(at, affix.len());
        }
        self.globs.entry(mix_bytes(0, affix.as_bytes())).or_default().push(glob);
    }

    fn get(&self, affix: &[u8]) -> &[u32] {
        self.globs.get(&mix_bytes(0, affix)).map_or(&[], Vec::as_slice)
    }
}

impl GlobSet {
    pub(super) fn of<'g>(globs: impl Iterator<Item = (u32, &'g TypeGlob)>) -> Self {
        let mut set = GlobSet::default();
        for (number, glob) in globs {
            let (prefix, suffix) = glob.ends();
            match (prefix.as_str(), suffix.as_str()) {
                ("", "") => set.others.push(number),
                ("", suffix) => set.by_suffix.add(suffix, number),
                (prefix, _) => set.by_prefix.add(prefix, number),
            }
        }
        set
    }

    /// Calls `found` with each glob that `kind` fits.
    pub(super) fn each_that_fits(&self, kind: &str, globs: &[TypeGlob], mut found: impl FnMut(u32)) {
        let bytes = kind.as_bytes();
        let mut try_all = |numbers: &[u32]| {
            for &number in numbers.iter().filter(|number| globs[**number as usize].matches(kind)) {
                found(number);
            }
        };
        let fitting = |length: &&usize| **length <= bytes.len();
        for &length in self.by_prefix.lengths.iter().take_while(fitting) {
            try_all(self.by_prefix.get(&bytes[..length]));
        }
        for &length in self.by_suffix.lengths.iter().take_while(fitting) {
            try_all(self.by_suffix.get(&bytes[bytes.len() - length..]));
        }
        try_all(&self.others);
    }
}
