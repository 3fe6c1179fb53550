//! All rules in a form in which an event meets only those that can hold.
//!
//! A rule's filter is a choice of conjunctions. Each conjunction stands in one place of a hash table: under
//! the type, the field and the value of the condition that the fewest others share. An event looks up its
//! own values and checks what it finds in full, so that the table decides about speed and never about the
//! result.

use super::condition::{Test, holds_for};
use super::field::FieldPath;
use super::files::FileGlobs;
use super::filter::all_hold;
use super::finder::Finder;
use super::glob::TypeGlob;
use super::hash::{HashKeyed, TextMap};
use super::keys::{Key, add_keys};
use super::postings::Postings;
use super::reading::{FieldValue, NONE, Reading, number};
use super::rule::Rule;
use crate::event::Event;
use crate::json::Json;
use std::cell::Cell;

/// Compiled rules. Immutable.
#[derive(Debug)]
pub struct Index {
    finder: Finder,
    types: TextMap<u32>,
    globs: Vec<TypeGlob>,
    rules: usize,
    /// In the order of the postings, so that those of one key lie side by side; one that stands under
    /// several keys is there several times.
    conjunctions: Vec<Conjunction>,
    conditions: Vec<(u32, Test)>,
    files: Vec<FileGlobs>,
    postings: Postings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleKind {
    Literal(u32),
    Glob(u32),
}

/// Conditions that must all hold, and what else its rule asks for.
#[derive(Clone, Copy, Debug)]
struct Conjunction {
    hit: Hit,
    kind: RuleKind,
    /// Its globs over files, by number; [`NONE`] without any.
    files: u32,
    start: u32,
    end: u32,
}

/// A rule that an event fulfils.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The hook's number.
    pub hook: u32,
    /// Which of the hook's entries under `events` holds; the first, when several do.
    pub entry: u32,
}

/// An index without its rules, for another process: whoever stands under one of an event's keys may match,
/// nobody else does.
#[derive(Clone, Debug)]
pub struct StoredIndex<'i> {
    /// Finds the keys of an event.
    pub finder: &'i Finder,
    /// One byte a place of the table, see [`probe`](super::probe).
    pub tags: &'i [u8],
    /// The places, see [`Slot`](super::Slot).
    pub slots: Vec<u8>,
    /// The hooks that a place has a range of.
    pub hooks: Vec<u32>,
}

/// Rules on their way into an index.
#[derive(Debug)]
pub struct IndexBuilder {
    index: Index,
    /// Every key under which a conjunction can stand, condition by condition.
    keys: Vec<Key>,
    /// Which of them belong to one condition of which conjunction.
    choices: Vec<Choice>,
    glob_numbers: TextMap<u32>,
}

/// A condition that can lead to its conjunction.
#[derive(Clone, Copy, Debug)]
struct Choice {
    conjunction: u32,
    start: u32,
    end: u32,
}

impl Default for IndexBuilder {
    fn default() -> Self {
        IndexBuilder {
            index: Index {
                finder: Finder::default(),
                types: TextMap::default(),
                globs: Vec::new(),
                rules: 0,
                conjunctions: Vec::new(),
                conditions: Vec::new(),
                files: Vec::new(),
                postings: Postings::default(),
            },
            keys: Vec::new(),
            choices: Vec::new(),
            glob_numbers: TextMap::default(),
        }
    }
}

impl IndexBuilder {
    /// Adds the rule that is entry `entry` of hook `hook`.
    pub fn add(&mut self, hook: u32, entry: u32, rule: Rule) {
        let index = &mut self.index;
        let mut of_type = 0;
        let kind = match rule.kind.literal() {
            Some(literal) => {
                of_type = Key::number_of_type(literal);
                let fresh = number(index.types.len());
                RuleKind::Literal(match index.types.get(literal) {
                    Some(known) => *known,
                    None => *index.types.entry(literal.into()).or_insert(fresh),
                })
            }
            None => {
                let text = rule.kind.to_string();
                RuleKind::Glob(match self.glob_numbers.get(text.as_str()) {
                    Some(known) => *known,
                    None => {
                        let fresh = number(index.globs.len());
                        index.globs.push(rule.kind);
                        self.glob_numbers.insert(text.into(), fresh);
                        fresh
                    }
                })
            }
        };
        index.rules += 1;
        let files = rule.files.map_or(NONE, |files| {
            index.files.push(files);
            number(index.files.len() - 1)
        });
        let conjunction = Conjunction { hit: Hit { hook, entry }, kind, files, start: 0, end: 0 };
        if rule.filter.choices.is_empty() {
            let conditions = rule.filter.conditions.into_iter().map(|condition| (condition.field, condition.test));
            return self.conjunction(conjunction, of_type, conditions.collect());
        }
        for way in rule.filter.alternatives() {
            let conditions = way.into_iter().map(|condition| (condition.field.clone(), condition.test.clone()));
            self.conjunction(conjunction, of_type, conditions.collect());
        }
    }

    /// `of_type` is the number of the type in keys, 0 for a glob.
    fn conjunction(&mut self, conjunction: Conjunction, of_type: u64, mut conditions: Vec<(FieldPath, Test)>) {
        let index = &mut self.index;
        // The cheapest first: most candidates fail at the first or second.
        conditions.sort_by_key(|(_, test)| test.cost());
        let this = number(index.conjunctions.len());
        let first_condition = number(index.conditions.len());
        let first_key = self.keys.len();
        for (path, test) in conditions {
            let field = index.finder.fields.intern(&path);
            let before = self.keys.len();
            add_keys(of_type, field, &test, &mut self.keys);
            if self.keys.len() > before {
                let (start, end) = (number(before), number(self.keys.len()));
                self.choices.push(Choice { conjunction: this, start, end });
            }
            index.conditions.push((field, test));
        }
        let end = number(index.conditions.len());
        index.conjunctions.push(Conjunction { start: first_condition, end, ..conjunction });
        if self.keys.len() == first_key {
            self.keys.push(match conjunction.kind {
                RuleKind::Literal(_) => Key::of_type(of_type),
                RuleKind::Glob(glob) => Key::of_glob(&index.globs[glob as usize]),
            });
            let (start, end) = (number(first_key), number(self.keys.len()));
            self.choices.push(Choice { conjunction: this, start, end });
        }
    }

    /// Puts every conjunction under the keys that the fewest share.
    pub fn build(self) -> Index {
        let IndexBuilder { mut index, keys, choices, .. } = self;
        let mut shared: HashKeyed<u32> = HashKeyed::default();
        if choices.len() > index.conjunctions.len() {
            shared.reserve(keys.len());
            for key in &keys {
                *shared.entry(key.hash).or_default() += 1;
            }
        }
        let keys_of = |choice: &Choice| &keys[choice.start as usize..choice.end as usize];
        let company = |choice: &&Choice| keys_of(choice).iter().map(|key| u64::from(shared[&key.hash])).sum::<u64>();
        let mut placed: Vec<(u64, u32)> = Vec::with_capacity(index.conjunctions.len());
        for group in choices.chunk_by(|a, b| a.conjunction == b.conjunction) {
            let best = match group {
                [only] => Some(only),
                several => several.iter().min_by_key(company),
            };
            let Some(best) = best else { continue };
            for key in keys_of(best) {
                index.finder.add(key);
                placed.push((key.hash, best.conjunction));
            }
        }
        placed.sort_unstable();
        placed.dedup();
        index.postings = Postings::of(&placed);
        index.put_in_order(&placed);
        index
    }
}

impl Index {
    /// Brings the conjunctions and their conditions into the order in which they are looked at: what an
    /// event meets together lies together in memory.
    fn put_in_order(&mut self, placed: &[(u64, u32)]) {
        let mut conditions: Vec<Option<(u32, Test)>> = self.conditions.drain(..).map(Some).collect();
        self.conditions.reserve_exact(conditions.len());
        let mut moved = vec![NONE; self.conjunctions.len()];
        let in_order = placed.iter().map(|(_, number)| {
            let conjunction = self.conjunctions[*number as usize];
            let start = &mut moved[*number as usize];
            if *start == NONE {
                *start = super::reading::number(self.conditions.len());
                let own = &mut conditions[conjunction.start as usize..conjunction.end as usize];
                self.conditions.extend(own.iter_mut().filter_map(Option::take));
            }
            Conjunction { start: *start, end: *start + conjunction.end - conjunction.start, ..conjunction }
        });
        self.conjunctions = in_order.collect();
    }

    /// The rules that `event` fulfils, in the order of their hooks, each hook at most once.
    pub fn find(&self, event: &Event) -> Vec<Hit> {
        self.look(event.kind().as_str(), event.json(), &self.finder.read(event))
    }

    /// As [`Index::find`], for an event given as its type and its text.
    pub fn find_in(&self, kind: &str, event: Json<'_>) -> Vec<Hit> {
        self.look(kind, event, &self.finder.read_json(event))
    }

    fn look(&self, kind: &str, event: Json<'_>, reading: &Reading<'_>) -> Vec<Hit> {
        let mut hits = Vec::new();
        let kind_number = self.types.get(kind).copied();
        let look = Look { index: self, kind, kind_number, event, reading, last_glob: Cell::new((NONE, false)) };
        let in_keys = kind_number.map(|_| Key::number_of_type(kind));
        self.finder.each_key(kind, in_keys, reading, |key| look.up(key, &mut hits));
        if hits.len() > 1 {
            hits.sort_unstable();
            hits.dedup_by_key(|hit| hit.hook);
        }
        hits
    }

    /// What it takes to find the hooks that an event may trigger, without their rules.
    pub fn stored(&self) -> StoredIndex<'_> {
        StoredIndex {
            finder: &self.finder,
            tags: self.postings.tags(),
            slots: self.postings.slots().flatten().collect(),
            hooks: self.conjunctions.iter().map(|conjunction| conjunction.hit.hook).collect(),
        }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules == 0
    }
}

/// One event before the index.
struct Look<'i, 'e> {
    index: &'i Index,
    kind: &'e str,
    kind_number: Option<u32>,
    event: Json<'e>,
    reading: &'i Reading<'e>,
    /// The glob that was tried last, and whether it fits: rules with the same one stand side by side.
    last_glob: Cell<(u32, bool)>,
}

impl Look<'_, '_> {
    /// Checks what stands under a key.
    fn up(&self, hash: u64, hits: &mut Vec<Hit>) {
        for conjunction in &self.index.conjunctions[self.index.postings.get(hash)] {
            if self.fits_kind(conjunction.kind) && self.holds(conjunction) && self.has_files(conjunction.files) {
                hits.push(conjunction.hit);
            }
        }
    }

    fn fits_kind(&self, kind: RuleKind) -> bool {
        match kind {
            RuleKind::Literal(number) => self.kind_number == Some(number),
            RuleKind::Glob(glob) => {
                if self.last_glob.get().0 != glob {
                    self.last_glob.set((glob, self.index.globs[glob as usize].matches(self.kind)));
                }
                self.last_glob.get().1
            }
        }
    }

    fn has_files(&self, files: u32) -> bool {
        files == NONE || self.index.files[files as usize].hold(self.event)
    }

    fn holds(&self, conjunction: &Conjunction) -> bool {
        let conditions = &self.index.conditions[conjunction.start as usize..conjunction.end as usize];
        let mut through_lists = 0;
        for (field, test) in conditions {
            let values = self.reading.at(*field);
            let through_list = values.iter().any(|value| value.through_list);
            // What one element of a list has, another may lack.
            let by_element = through_list && test.takes_absence();
            if !by_element && !self.test_holds(test, values) {
                return false;
            }
            through_lists += usize::from(through_list) + usize::from(by_element);
        }
        // Each holds somewhere; two that lead through a list may have to hold for the same element.
        through_lists < 2
            || all_hold(
                self.event,
                conditions.iter().map(|(field, test)| (self.index.finder.fields.path(*field), test)),
            )
    }

    fn test_holds(&self, test: &Test, values: &[FieldValue]) -> bool {
        let leaves = |value| self.reading.leaves(value);
        match test {
            Test::Is(_) | Test::OneOf(_) => {
                let operators = test.operators();
                let absent = test.takes_absence() && values.iter().all(|value| leaves(value).is_empty());
                absent || values.iter().any(|value| leaves(value).iter().any(|read| holds_for(operators, &read.leaf)))
            }
            Test::SharesAny(wanted) => values.iter().any(|value| {
                let mut direct = leaves(value).iter().filter(|read| value.is_list && read.direct);
                direct.any(|read| wanted.iter().any(|wanted| wanted.equals(&read.leaf)))
            }),
            Test::HasAll(wanted) => values.iter().filter(|value| value.is_list).any(|value| {
                let direct = || leaves(value).iter().filter(|read| read.direct);
                wanted.iter().all(|wanted| direct().any(|read| wanted.equals(&read.leaf)))
            }),
        }
    }
}
