//! Under which keys a condition can stand in the index, and which keys an event's values look up.

use super::condition::Test;
use super::glob::TypeGlob;
use super::hash::{mix, mix_bytes};
use super::operator::{Operator, TextTest, fold};
use super::reading::{ReadLeaf, number};
use super::value::{Leaf, Scalar};
use serde::{Deserialize, Serialize};

/// A place in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) hash: u64,
    /// The field; 0 for keys of the type alone.
    pub(super) field: u32,
    /// Whether the event's type is a part of the key.
    pub(super) typed: bool,
    pub(super) way: Way,
}

/// How a value becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The type alone.
    Type,
    /// Its first so many bytes.
    GlobPrefix(u32),
    /// Its last so many bytes.
    GlobSuffix(u32),
    /// The value itself.
    Equal,
    /// Its first so many bytes.
    Prefix(u32),
    /// Its last so many bytes.
    Suffix(u32),
    /// The value in lower case.
    Folded,
    /// That there is a value.
    Present,
}

impl Way {
    /// Keeps keys of different ways apart.
    pub(super) fn seed(self, kind: u64, field: u32) -> u64 {
        let way = match self {
            Way::Type => 1,
            Way::GlobPrefix(_) => 7,
            Way::GlobSuffix(_) => 8,
            Way::Equal => 2,
            Way::Prefix(_) => 3,
            Way::Suffix(_) => 4,
            Way::Folded => 5,
            Way::Present => 6,
        };
        mix(kind, way << 32 | u64::from(field))
    }
}

impl Key {
    /// The number by which a type is known in keys: never 0, which stands for any type.
    pub(super) fn number_of_type(kind: &str) -> u64 {
        mix_bytes(0, kind.as_bytes()) | 1
    }

    /// What has no condition that leads to it stands under its type.
    pub(super) fn of_type(kind: u64) -> Self {
        Key { hash: Way::Type.seed(kind, 0), field: 0, typed: true, way: Way::Type }
    }

    /// What has a glob over the type and no condition that leads to it: under the glob's plain beginning, or
    /// its plain end where it begins with a wildcard.
    pub(super) fn of_glob(glob: &TypeGlob) -> Self {
        let (prefix, suffix) = glob.ends();
        let (way, affix) = match (prefix.as_str(), suffix.as_str()) {
            ("", suffix) if !suffix.is_empty() => (Way::GlobSuffix(number(suffix.len())), suffix),
            (prefix, _) => (Way::GlobPrefix(number(prefix.len())), prefix),
        };
        Key { hash: mix_bytes(way.seed(0, 0), affix.as_bytes()), field: 0, typed: false, way }
    }

    fn of_value(kind: u64, field: u32, way: Way, hash: u64) -> Self {
        Key { hash, field, typed: kind != 0, way }
    }
}

/// Adds the keys of which an event that fulfils the condition looks up at least one; none when there are
/// no such keys. `kind` is the number of the type, 0 for a glob.
pub(super) fn add_keys(kind: u64, field: u32, test: &Test, keys: &mut Vec<Key>) {
    let value = |way: Way, bytes: &[u8]| Key::of_value(kind, field, way, mix_bytes(way.seed(kind, field), bytes));
    let equal = |scalar: &Scalar| {
        let seed = Way::Equal.seed(kind, field);
        Key::of_value(kind, field, Way::Equal, equal_hash(seed, &leaf_of(scalar)))
    };
    match test {
        Test::Is(_) | Test::OneOf(_) => {}
        Test::SharesAny(wanted) => return keys.extend(wanted.iter().map(equal)),
        // Whichever of them: a list that has all has the first.
        Test::HasAll(wanted) => return keys.extend(wanted.first().map(equal)),
    }
    if test.takes_absence() {
        return;
    }
    let start = keys.len();
    let by_value = test.operators().iter().map(|operator| match operator {
        Operator::Equals(wanted) => Some(equal(wanted)),
        Operator::Text(TextTest::Prefix(text)) if !text.is_empty() => {
            Some(value(Way::Prefix(number(text.len())), text.as_bytes()))
        }
        Operator::Text(TextTest::Suffix(text)) if !text.is_empty() => {
            Some(value(Way::Suffix(number(text.len())), text.as_bytes()))
        }
        Operator::Text(TextTest::EqualsIgnoreCase(text)) => Some(value(Way::Folded, text.as_bytes())),
        Operator::Text(TextTest::Wildcard(wildcard)) if !wildcard.prefix().is_empty() => {
            let prefix = wildcard.prefix();
            Some(value(Way::Prefix(number(prefix.len())), prefix.as_bytes()))
        }
        Operator::Text(_)
        | Operator::AnythingBut(_)
        | Operator::AnythingButText(_)
        | Operator::Numeric(_)
        | Operator::Exists(_)
        | Operator::Cidr(_) => None,
    });
    for key in by_value {
        let Some(key) = key else {
            // One of them is known by no value: that there is one at all has to do.
            keys.truncate(start);
            keys.push(Key::of_value(kind, field, Way::Present, Way::Present.seed(kind, field)));
            return;
        };
        keys.push(key);
    }
}

fn leaf_of(scalar: &Scalar) -> Leaf<'_> {
    match scalar {
        Scalar::Null => Leaf::Null,
        Scalar::Boolean(value) => Leaf::Boolean(*value),
        Scalar::Number(value) => Leaf::Number(*value),
        Scalar::Text(text) => Leaf::Text(text.into()),
    }
}

fn equal_hash(seed: u64, leaf: &Leaf<'_>) -> u64 {
    match leaf {
        Leaf::Null => mix(seed, 1),
        Leaf::Boolean(value) => mix(seed, 2 + u64::from(*value)),
        // 0 and -0 are equal.
        Leaf::Number(value) => mix(mix(seed, 4), if *value == 0.0 { 0 } else { value.to_bits() }),
        Leaf::Text(text) => mix_bytes(seed, text.as_bytes()),
    }
}

/// Which keys lead from one field into the index, for rules of one type and for those with a glob.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct FieldKeys {
    typed: Ways,
    untyped: Ways,
}

impl FieldKeys {
    /// Every key of a value, for an event whose type has this number in keys, if it has one.
    pub(super) fn each(&self, kind: Option<u64>, field: u32, leaves: &[ReadLeaf<'_>], mut look_up: impl FnMut(u64)) {
        if let Some(kind) = kind {
            self.typed.each(kind, field, leaves, &mut look_up);
        }
        self.untyped.each(0, field, leaves, &mut look_up);
    }

    pub(super) fn add(&mut self, key: &Key) {
        let ways = if key.typed { &mut self.typed } else { &mut self.untyped };
        match key.way {
            Way::Type | Way::GlobPrefix(_) | Way::GlobSuffix(_) => {}
            Way::Equal => ways.equal = true,
            Way::Folded => ways.folded = true,
            Way::Present => ways.present = true,
            Way::Prefix(length) => insert(&mut ways.prefixes, length),
            Way::Suffix(length) => insert(&mut ways.suffixes, length),
        }
    }
}

/// Adds a length to those that are sorted.
pub(super) fn insert(lengths: &mut Vec<u32>, length: u32) {
    if let Err(at) = lengths.binary_search(&length) {
        lengths.insert(at, length);
    }
}

/// How values of one field become keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Ways {
    equal: bool,
    folded: bool,
    present: bool,
    prefixes: Vec<u32>,
    suffixes: Vec<u32>,
}

impl Ways {
    /// Every key of a value.
    fn each(&self, kind: u64, field: u32, leaves: &[ReadLeaf<'_>], mut look_up: impl FnMut(u64)) {
        if self.present && !leaves.is_empty() {
            look_up(Way::Present.seed(kind, field));
        }
        for read in leaves {
            if self.equal {
                look_up(equal_hash(Way::Equal.seed(kind, field), &read.leaf));
            }
            let Leaf::Text(text) = &read.leaf else { continue };
            let bytes = text.as_bytes();
            for &length in self.prefixes.iter().take_while(|length| **length as usize <= bytes.len()) {
                let way = Way::Prefix(length);
                look_up(mix_bytes(way.seed(kind, field), &bytes[..length as usize]));
            }
            for &length in self.suffixes.iter().take_while(|length| **length as usize <= bytes.len()) {
                let way = Way::Suffix(length);
                look_up(mix_bytes(way.seed(kind, field), &bytes[bytes.len() - length as usize..]));
            }
            if self.folded {
                look_up(mix_bytes(Way::Folded.seed(kind, field), fold(text).as_bytes()));
            }
        }
    }
}
