//! Which keys an event looks up: the part of the index that can be kept without the rules themselves.

use super::hash::mix_bytes;
use super::keys::{FieldKeys, Key, Way, insert};
use super::reading::{Fields, Reading};
use crate::event::Event;
use crate::json::Json;
use serde::{Deserialize, Serialize};

/// Finds the keys of an event. Whatever rule an event fulfils stands under one of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Finder {
    pub(super) fields: Fields,
    field_keys: Vec<FieldKeys>,
    /// The lengths of what globs without conditions begin with, in bytes, and of what others end with.
    glob_prefixes: Vec<u32>,
    glob_suffixes: Vec<u32>,
}

impl Finder {
    /// Takes note that something stands under a key.
    pub(super) fn add(&mut self, key: &Key) {
        match key.way {
            Way::Type => {}
            Way::GlobPrefix(length) => insert(&mut self.glob_prefixes, length),
            Way::GlobSuffix(length) => insert(&mut self.glob_suffixes, length),
            _ => {
                let count = self.fields.len().max(key.field as usize + 1);
                self.field_keys.resize_with(count, FieldKeys::default);
                self.field_keys[key.field as usize].add(key);
            }
        }
    }

    /// The keys of an event.
    pub fn keys(&self, event: &Event) -> Vec<u64> {
        let mut keys = Vec::new();
        let kind = event.kind().as_str();
        self.each_key(kind, Some(Key::number_of_type(kind)), &self.read(event), |key| keys.push(key));
        keys
    }

    /// The fields of an event that conditions ask for.
    pub(super) fn read<'e>(&self, event: &'e Event) -> Reading<'e> {
        self.fields.read(event.json(), || event.context())
    }

    /// As [`Finder::read`], for an event given as its text.
    pub(super) fn read_json<'e>(&self, event: Json<'e>) -> Reading<'e> {
        self.fields.read(event, || event.get(super::field::CONTEXT))
    }

    /// Every key of an event that was read, each once. Without the number of its type, keys that hold a type
    /// are left out.
    pub(super) fn each_key(
        &self,
        kind: &str,
        number: Option<u64>,
        reading: &Reading<'_>,
        mut look_up: impl FnMut(u64),
    ) {
        if let Some(number) = number {
            look_up(Key::of_type(number).hash);
        }
        let bytes = kind.as_bytes();
        for &length in self.glob_prefixes.iter().take_while(|length| **length as usize <= bytes.len()) {
            look_up(mix_bytes(Way::GlobPrefix(length).seed(0, 0), &bytes[..length as usize]));
        }
        for &length in self.glob_suffixes.iter().take_while(|length| **length as usize <= bytes.len()) {
            look_up(mix_bytes(Way::GlobSuffix(length).seed(0, 0), &bytes[bytes.len() - length as usize..]));
        }
        let mut often = Vec::new();
        for value in reading.all() {
            let Some(keys) = self.field_keys.get(value.field as usize) else { continue };
            let leaves = reading.leaves(value);
            if value.through_list || leaves.len() > 1 {
                keys.each(number, value.field, leaves, |key| often.push(key));
            } else {
                keys.each(number, value.field, leaves, &mut look_up);
            }
        }
        // A list can hold one value many times.
        often.sort_unstable();
        often.dedup();
        often.into_iter().for_each(look_up);
    }
}
