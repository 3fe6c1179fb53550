//! Hashing for tables that are built once: quick for short texts.
//!
//! Not safe against chosen collisions, and nothing relies on it: whatever is found by a hash is checked.

use std::hash::{BuildHasherDefault, Hasher};

/// A map keyed by short texts.
pub(super) type TextMap<V> = std::collections::HashMap<Box<str>, V, BuildHasherDefault<Mixer>>;
/// A map keyed by something that is a hash already.
pub(super) type HashKeyed<V> = std::collections::HashMap<u64, V, BuildHasherDefault<Mixer>>;

/// Multiplies to 128 bits and folds them, eight bytes at a time.
#[derive(Clone, Copy, Default)]
pub(super) struct Mixer(u64);

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step: `value` into `state`.
pub(super) fn mix(state: u64, value: u64) -> u64 {
    let product = u128::from(state ^ value ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(FACTOR);
    (product as u64) ^ (product >> 64) as u64
}

/// All of `bytes` into `state`.
pub(super) fn mix_bytes(mut state: u64, bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        state = mix(state, u64::from_le_bytes(*chunk));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(state, u64::from_le_bytes(last)), bytes.len() as u64)
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = mix_bytes(self.0, bytes);
    }

    fn write_u8(&mut self, value: u8) {
        self.0 ^= u64::from(value);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0, value);
    }
}
