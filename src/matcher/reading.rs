//! An event read once: only the fields that some rule asks for, each with its values.

use super::field::{CONTEXT, FieldPath};
use super::hash::TextMap;
use super::value::Leaf;
use crate::json::{Json, Kind};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A number that stands for nothing.
pub(super) const NONE: u32 = u32::MAX;
/// With more names than this a table is quicker than looking through them.
const FEW: usize = 8;

/// Every field that some rule asks for, as a tree of names.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fields {
    nodes: Vec<Node>,
    paths: Vec<FieldPath>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Node {
    names: Vec<(Box<str>, u32)>,
    table: TextMap<u32>,
    field: Option<u32>,
}

impl Node {
    fn child(&self, name: &str) -> Option<u32> {
        if self.names.len() > FEW {
            return self.table.get(name).copied();
        }
        self.names.iter().find(|(known, _)| **known == *name).map(|(_, node)| *node)
    }
}

/// What an event has at the fields.
#[derive(Debug, Default)]
pub(super) struct Reading<'e> {
    /// In the order of their fields.
    values: Vec<FieldValue>,
    leaves: Vec<ReadLeaf<'e>>,
}

/// One value at one field.
#[derive(Clone, Debug)]
pub(super) struct FieldValue {
    pub(super) field: u32,
    /// Whether a list lies between the event and the value: then others may go with it or not.
    pub(super) through_list: bool,
    pub(super) is_list: bool,
    leaves: Range<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct ReadLeaf<'e> {
    pub(super) leaf: Leaf<'e>,
    /// Whether it is the value or an element of it, rather than in a list within the list.
    pub(super) direct: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Fields { nodes: vec![Node::default()], paths: Vec::new() }
    }
}

impl Fields {
    /// The number of a field.
    pub(super) fn intern(&mut self, path: &FieldPath) -> u32 {
        let mut at = 0_usize;
        for name in path.names() {
            let next = match self.nodes[at].child(name) {
                Some(next) => next,
                None => {
                    let next = number(self.nodes.len());
                    self.nodes.push(Node::default());
                    let node = &mut self.nodes[at];
                    node.names.push((name.into(), next));
                    if !node.table.is_empty() {
                        node.table.insert(name.into(), next);
                    } else if node.names.len() > FEW {
                        node.table.extend(node.names.iter().cloned());
                    }
                    next
                }
            };
            at = next as usize;
        }
        let fresh = number(self.paths.len());
        let field = *self.nodes[at].field.get_or_insert(fresh);
        if field == fresh {
            self.paths.push(path.clone());
        }
        field
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The path of a field.
    pub(super) fn path(&self, field: u32) -> &FieldPath {
        &self.paths[field as usize]
    }

    /// Reads the fields of an event; `context` is its context, and asked for when all of them are in there.
    pub(super) fn read<'e>(&self, event: Json<'e>, context: impl FnOnce() -> Option<Json<'e>>) -> Reading<'e> {
        // Room for what most events have; growing costs more than reading.
        let room = self.paths.len().min(16);
        let mut reading = Reading { values: Vec::with_capacity(room), leaves: Vec::with_capacity(room * 2) };
        match &*self.nodes[0].names {
            [] => {}
            [(name, child)] if **name == *CONTEXT && self.nodes[*child as usize].field.is_none() => {
                if let Some(context) = context() {
                    self.descend(*child, context, false, &mut reading);
                }
            }
            _ => self.descend(0, event, false, &mut reading),
        }
        if !reading.values.is_sorted_by_key(|value| value.field) {
            reading.values.sort_by_key(|value| value.field);
        }
        reading
    }

    fn descend<'e>(&self, at: u32, value: Json<'e>, through_list: bool, reading: &mut Reading<'e>) {
        let node = &self.nodes[at as usize];
        match value.kind() {
            Kind::Object => {
                for (name, value) in value.entries() {
                    let Some(child) = node.child(&name) else { continue };
                    if let Some(field) = self.nodes[child as usize].field {
                        reading.add(field, value, through_list);
                    }
                    if !self.nodes[child as usize].names.is_empty() {
                        self.descend(child, value, through_list, reading);
                    }
                }
            }
            Kind::Array => value.items().for_each(|item| self.descend(at, item, true, reading)),
            Kind::Null | Kind::Boolean | Kind::Number | Kind::String => {}
        }
    }
}

impl<'e> Reading<'e> {
    fn add(&mut self, field: u32, value: Json<'e>, through_list: bool) {
        let start = number(self.leaves.len());
        let is_list = value.kind() == Kind::Array;
        if is_list {
            self.add_items(value, true);
        } else if let Some(leaf) = Leaf::of(value) {
            self.leaves.push(ReadLeaf { leaf, direct: false });
        }
        self.values.push(FieldValue { field, through_list, is_list, leaves: start..number(self.leaves.len()) });
    }

    fn add_items(&mut self, list: Json<'e>, direct: bool) {
        for item in list.items() {
            match Leaf::of(item) {
                Some(leaf) => self.leaves.push(ReadLeaf { leaf, direct }),
                None => self.add_items(item, false),
            }
        }
    }

    /// All values, in the order of their fields.
    pub(super) fn all(&self) -> &[FieldValue] {
        &self.values
    }

    /// The values at a field.
    pub(super) fn at(&self, field: u32) -> &[FieldValue] {
        let start = self.values.partition_point(|value| value.field < field);
        let values = &self.values[start..];
        let end = values.iter().position(|value| value.field != field).unwrap_or(values.len());
        &values[..end]
    }

    /// The leaves of a value.
    pub(super) fn leaves(&self, value: &FieldValue) -> &[ReadLeaf<'e>] {
        &self.leaves[value.leaves.start as usize..value.leaves.end as usize]
    }
}

/// A count as the index keeps it. Four billion fields or values do not fit into what is read.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}
