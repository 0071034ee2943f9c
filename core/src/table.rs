//! Tens of millions of nodes: an index from id to place, and at each place what is known.
//!
//! The index is a hash table of 4-byte places; the hot records lie side by side, one cache line
//! each, and what a heartbeat rarely needs (name, payload) lies apart under the same place. A
//! forgotten node's place is used again, under a new generation. The hash is keyed, because ids
//! come from the network and whoever sends them would otherwise choose where they collide. The
//! index is cut into 256 tables, so that when one has to grow only its share is moved: a million
//! first heartbeats never wait for a rehash of a million.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::name::Name;
use crate::node::{Flags, Node};
use crate::payload::Payload;
use crate::steady::Steady;
use crate::{GroupIx, Instant, NodeId, NodeIx};

const INDEX_PARTS: usize = 256;

/// Nodes by which the table grows at a time.
const SEGMENT: usize = 4_096;

/// What is known of a node and rarely needed.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) name: Name,
    pub(crate) payload: Option<Box<Payload>>,
    /// Since when the present belief holds.
    pub(crate) since: Instant,
    pub(crate) generation: u32,
    /// The group that the node itself declares, if it does: not always the one it is in.
    pub(crate) declared: Option<GroupIx>,
}

const _: () = assert!(size_of::<Detail>() <= 56, "the cold part of a node is paid for by millions");

/// All nodes of one monitor.
#[derive(Clone, Debug)]
pub(crate) struct NodeTable {
    index: Box<[HashTable<NodeIx>]>,
    len: usize,
    /// How many places were ever given out.
    places: usize,
    nodes: Steady<Node, SEGMENT>,
    details: Steady<Detail, SEGMENT>,
    /// Reported load, NaN where none was: apart, so that a heartbeat which reports it touches
    /// four bytes more and not another line of each node.
    loads: Steady<f32, SEGMENT>,
    vacant: Vec<NodeIx>,
    hash_key: (u64, u64),
    max: usize,
}

impl NodeTable {
    pub(crate) fn new(max: usize, hash_key: (u64, u64)) -> Self {
        Self {
            index: (0..INDEX_PARTS).map(|_| HashTable::new()).collect(),
            len: 0,
            places: 0,
            nodes: Steady::new(),
            details: Steady::new(),
            loads: Steady::new(),
            vacant: Vec::new(),
            hash_key,
            max,
        }
    }

    /// How many nodes there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// How many places there are, vacant ones included: every place is below this.
    pub(crate) const fn places(&self) -> usize {
        self.places
    }

    pub(crate) fn find(&self, id: &NodeId) -> Option<NodeIx> {
        let hash = hash(self.hash_key, id);
        self.index[part(hash)].find(hash, |ix| self.nodes[ix.index()].id == *id).copied()
    }

    /// Whether it holds its maximum of nodes.
    pub(crate) const fn is_full(&self) -> bool {
        self.len >= self.max
    }

    /// Holds so many nodes at most from now on. Those that are more stay.
    pub(crate) const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Gives a node that isn't here a place. The caller has seen that there is one.
    pub(crate) fn insert(&mut self, node: Node, name: Name) -> NodeIx {
        debug_assert!(!self.is_full() && self.find(&node.id).is_none());
        let ix = self.vacant.pop().unwrap_or_else(|| self.grow());
        let generation = self.details[ix.index()].generation;
        self.details[ix.index()] = Detail::new(name, node.arrival, generation);
        self.nodes[ix.index()] = node;
        let (nodes, key) = (&self.nodes, self.hash_key);
        let hash_of = |ix: &NodeIx| hash(key, &nodes[ix.index()].id);
        let hash = hash_of(&ix);
        self.index[part(hash)].insert_unique(hash, ix, hash_of);
        self.len += 1;
        ix
    }

    /// Frees a node's place. What still speaks of it by this generation no longer finds it.
    pub(crate) fn remove(&mut self, ix: NodeIx) {
        let node = &mut self.nodes[ix.index()];
        let hash = hash(self.hash_key, &node.id);
        let found = self.index[part(hash)].find_entry(hash, |other| *other == ix);
        found.expect("a node that has a place is in the index").remove();
        self.len -= 1;
        node.flags = Flags::VACANT;
        let detail = &mut self.details[ix.index()];
        *detail = Detail::new(Name::Unknown, node.arrival, detail.generation.wrapping_add(1));
        self.loads[ix.index()] = f32::NAN;
        self.vacant.push(ix);
    }

    fn grow(&mut self) -> NodeIx {
        let ix = NodeIx::new(self.places);
        self.places += 1;
        self.nodes.grow(self.places, &Node::vacant());
        self.details.grow(self.places, &Detail::new(Name::Unknown, Instant::ORIGIN, 0));
        self.loads.grow(self.places, &f32::NAN);
        ix
    }

    /// Whether a node lives at this place.
    pub(crate) fn occupied(&self, ix: NodeIx) -> bool {
        ix.index() < self.places && !self.nodes[ix.index()].flags.has(Flags::VACANT)
    }

    pub(crate) fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[ix.index()]
    }

    pub(crate) fn node_mut(&mut self, ix: NodeIx) -> &mut Node {
        &mut self.nodes[ix.index()]
    }

    pub(crate) fn detail(&self, ix: NodeIx) -> &Detail {
        &self.details[ix.index()]
    }

    pub(crate) fn detail_mut(&mut self, ix: NodeIx) -> &mut Detail {
        &mut self.details[ix.index()]
    }

    /// The load that the node reported last.
    pub(crate) fn load(&self, ix: NodeIx) -> Option<f32> {
        let load = self.loads[ix.index()];
        (!load.is_nan()).then_some(load)
    }

    pub(crate) fn set_load(&mut self, ix: NodeIx, load: f32) {
        self.loads[ix.index()] = load;
    }
}

impl Detail {
    const fn new(name: Name, since: Instant, generation: u32) -> Self {
        Self { name, payload: None, since, generation, declared: None }
    }
}

/// Which part of the index holds this hash. Neither the lowest bits nor the highest seven: those
/// choose the bucket within the part and tell entries of one bucket apart.
const fn part(hash: u64) -> usize {
    (hash >> 32) as usize % INDEX_PARTS
}

fn hash(key: (u64, u64), id: &NodeId) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(id.bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn node(name: &str) -> Node {
        Node::new(NodeId::of(name), GroupIx::FIRST, None, Instant::ORIGIN)
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u8),
        Remove(u8),
        Load(u8, f32),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            3 => (0..40u8).prop_map(Op::Insert),
            2 => (0..40u8).prop_map(Op::Remove),
            1 => (0..40u8, 0.0..1.0f32).prop_map(|(name, load)| Op::Load(name, load)),
        ];
        prop::collection::vec(op, 0..400)
    }

    proptest! {
        #[test]
        fn the_table_is_a_hash_map_with_a_maximum(ops in ops(), key: (u64, u64)) {
            const MAX: usize = 25;
            let mut table = NodeTable::new(MAX, key);
            let mut model: HashMap<u8, (NodeIx, Option<f32>)> = HashMap::new();
            let mut owners: HashMap<(NodeIx, u32), u8> = HashMap::new();
            for op in ops {
                match op {
                    Op::Insert(n) if model.contains_key(&n) => {}
                    Op::Insert(n) => {
                        let name = format!("n{n}");
                        prop_assert_eq!(table.is_full(), model.len() == MAX);
                        if !table.is_full() {
                            let ix = table.insert(node(&name), Name::new(&name));
                            model.insert(n, (ix, None));
                            let former = owners.insert((ix, table.detail(ix).generation), n);
                            prop_assert_eq!(former, None, "a place and a generation have one owner ever");
                        }
                    }
                    Op::Remove(n) => {
                        if let Some((ix, _)) = model.remove(&n) {
                            table.remove(ix);
                            prop_assert!(!table.occupied(ix));
                        }
                    }
                    Op::Load(n, load) => {
                        if let Some((ix, kept)) = model.get_mut(&n) {
                            table.set_load(*ix, load);
                            *kept = Some(load);
                        }
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.places() <= MAX);
                for n in 0..40u8 {
                    let name = format!("n{n}");
                    let found = table.find(&NodeId::of(&name));
                    prop_assert_eq!(found, model.get(&n).map(|(ix, _)| *ix));
                    if let Some(ix) = found {
                        prop_assert!(table.occupied(ix));
                        prop_assert_eq!(table.detail(ix).name.text(), Some(&*name));
                        prop_assert_eq!(table.load(ix), model[&n].1);
                    }
                }
            }
        }
    }
}
