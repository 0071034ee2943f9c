//! The wheel against its naive twin: a map from node to deadline, searched from end to end.
//!
//! Tests and fuzz targets hand in a start and a list of operations. After each of them the two must
//! agree on every deadline and on when to wake, and the wheel's own parts must agree with each
//! other. The first disagreement is the answer.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::block::{Block, HORIZON, LANES};
use super::level::Place;
use super::pool::{Chain, ENTRIES};
use super::{Budget, LAST, Short, Wheel};
use crate::{NodeIx, Tick};

/// Nodes are numbered below this; others are taken modulo it. It spans two segments.
pub const NODES: u32 = 66_000;

/// Something that is done to a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Arm a node for so many ticks from now; a negative number lies in the past.
    Arm(u32, i64),
    /// Arm a node for the next tick that is a multiple of 64 to this power (at most 10), plus so many ticks.
    ArmEdge(u32, u8, i8),
    /// Disarm a node.
    Disarm(u32),
    /// So many ticks pass, and nobody looks.
    Pass(u64),
    /// One call of `expire` with this budget.
    Step(u16),
    /// One call with a budget of one unit, by a clock that went back so many ticks.
    Back(u64),
    /// Calls with this budget each (0: as good as unlimited) until nothing is due.
    Drain(u16),
    /// Drop all entries, as if too many had been left behind.
    DropEntries,
}

/// Does `ops` to a wheel that starts at `start`. Gives the nodes that were handed out, for each
/// operation in the order of their numbers, or the first disagreement.
pub fn check(start: Tick, ops: &[Op]) -> Result<Vec<Vec<NodeIx>>, String> {
    let wheel = Wheel::new(start);
    let mut pair = Pair { wheel, twin: BTreeMap::new(), now: start.count(), blocks: BTreeSet::new() };
    let mut trace = Vec::new();
    for (number, &op) in ops.iter().enumerate() {
        let handed_out = pair.apply(op).and_then(|nodes| pair.agree().map(|()| nodes));
        let mut nodes = handed_out.map_err(|fault| format!("operation {number}, {op:?}: {fault}"))?;
        nodes.sort_unstable();
        trace.push(nodes);
    }
    // Blocks that nobody asked for: looked at only once, as there are thousands.
    pair.blocks = (0..pair.wheel.blocks.len()).collect();
    pair.agree().map_err(|fault| format!("at the end: {fault}"))?;
    Ok(trace)
}

struct Pair {
    wheel: Wheel,
    twin: BTreeMap<NodeIx, u64>,
    now: u64,
    /// The blocks to look at after each operation.
    blocks: BTreeSet<usize>,
}

impl Pair {
    fn apply(&mut self, op: Op) -> Result<Vec<NodeIx>, String> {
        match op {
            Op::Arm(node, after) => self.arm(node, self.now.saturating_add_signed(after)),
            Op::ArmEdge(node, power, offset) => {
                let width = 1 << (6 * u32::from(power.min(10)));
                let edge = (self.now / width).saturating_add(1).saturating_mul(width);
                self.arm(node, edge.saturating_add_signed(i64::from(offset)));
            }
            Op::Disarm(node) => {
                let node = self.node(node);
                self.wheel.disarm(node);
                self.twin.remove(&node);
            }
            Op::Pass(ticks) => self.now = self.now.saturating_add(ticks),
            Op::Step(units) => return self.call(self.now, &mut Budget::new(units.into())),
            Op::Back(ticks) => return self.call(self.now.saturating_sub(ticks), &mut Budget::new(1)),
            Op::Drain(0) => return self.drain(Budget::new(UNITS_MAX)),
            Op::Drain(units) => return self.drain(Budget::new(units.into())),
            Op::DropEntries => {
                self.wheel.grow(1); // A wheel without nodes never has too many entries.
                self.wheel.drop_entries();
            }
        }
        Ok(Vec::new())
    }

    fn node(&mut self, number: u32) -> NodeIx {
        let node = NodeIx::new((number % NODES) as usize);
        self.wheel.grow(node.index() + 1);
        self.blocks.insert(node.index() / LANES);
        node
    }

    fn arm(&mut self, node: u32, deadline: u64) {
        let node = self.node(node);
        self.wheel.arm(node, Tick::from_count(deadline));
        let current = self.wheel.current;
        let kept = deadline.clamp(current, current + HORIZON);
        let looks_like_never = kept % (1 << 32) == (1 << 32) - 1;
        self.twin.insert(node, kept + u64::from(looks_like_never));
    }

    /// Calls `expire` until it gives nothing. With budget left over, nothing may be due.
    fn call(&mut self, now: u64, budget: &mut Budget) -> Result<Vec<NodeIx>, String> {
        let (mut nodes, units) = (Vec::new(), budget.left());
        while let Some(node) = self.wheel.expire(Tick::from_count(now), budget) {
            match self.twin.remove(&node) {
                Some(deadline) if deadline <= now => nodes.push(node),
                unexpected => return Err(format!("{node:?} at {now}, but its deadline is {unexpected:?}")),
            }
        }
        if nodes.len() > units - budget.left() {
            return Err(format!("{} nodes for {} units", nodes.len(), units - budget.left()));
        }
        match self.wheel.poll_timeout() {
            Some(next) if budget.left() > 0 && now >= self.wheel.current && next.count() <= now && now <= LAST => {
                Err(format!("gave up at {now} with budget left, yet wants to be called at {next:?}"))
            }
            Some(_) | None => Ok(nodes),
        }
    }

    fn drain(&mut self, budget: Budget) -> Result<Vec<NodeIx>, String> {
        let now = Tick::from_count(self.now.min(LAST));
        let mut nodes = Vec::new();
        for _ in 0..CALLS_MAX {
            if self.wheel.poll_timeout().is_none_or(|next| next > now) {
                return match self.twin.iter().find(|(_, deadline)| **deadline <= now.count()) {
                    Some((node, deadline)) => Err(format!("{node:?} is still there, due at {deadline}")),
                    None => Ok(nodes),
                };
            }
            nodes.extend(self.call(now.count(), &mut budget.clone())?);
        }
        Err(format!("still not done at {now:?} after {CALLS_MAX} calls"))
    }

    fn agree(&self) -> Result<(), String> {
        for (&node, &deadline) in &self.twin {
            let kept = self.wheel.deadline(node);
            ensure(kept == Some(Tick::from_count(deadline)), || format!("{node:?} {kept:?}, not {deadline}"))?;
        }
        let kept: usize = self.blocks.iter().map(|&block| self.wheel.lanes_armed(block)).sum();
        ensure(kept == self.twin.len(), || format!("{kept} deadlines, not {}", self.twin.len()))?;
        if let Some(earliest) = self.twin.values().min() {
            let (next, bound) = (self.wheel.poll_timeout(), *earliest.max(&self.now));
            ensure(next.is_some_and(|next| next.count() <= bound), || format!("wakes at {next:?}, not by {bound}"))?;
        }
        self.wheel.is_consistent()?;
        self.blocks.iter().try_for_each(|&block| self.wheel.is_filed(block))
    }
}

/// More work than any list of operations needs: a wheel that goes round in circles fails, not hangs.
const UNITS_MAX: usize = 1 << 22;

/// More calls than any list of operations needs, even one unit at a time with all blocks to file.
const CALLS_MAX: usize = 100_000;

impl Wheel {
    fn lanes_armed(&self, block: usize) -> usize {
        (0..LANES).filter(|&lane| self.blocks[block].get(lane) != Short::NEVER).count()
    }

    /// Whether what is filed agrees with what is counted and marked.
    fn is_consistent(&self) -> Result<(), String> {
        let chains = self.levels.iter().flat_map(|level| level.iter().map(|(chain, _)| chain));
        let (mut entries, mut chunks) = (0, self.pool.chunks_free());
        for chain in chains.chain([&self.slot.chain]) {
            entries += self.pool.iter(chain).count();
            chunks += self.pool.chunks_of(chain);
        }
        ensure(entries == self.pool.entries(), || format!("{entries} entries, counted {}", self.pool.entries()))?;
        ensure(entries <= self.entries_max(), || format!("{entries} entries are too many"))?;
        ensure(chunks == self.pool.chunks(), || format!("{chunks} chunks of {}", self.pool.chunks()))?;
        // Each chain has one chunk that isn't full at most; chunks come 64 at a time.
        let bound = (self.entries_max() / ENTRIES + 6 * 64 + 1).next_multiple_of(64);
        ensure(chunks <= bound, || format!("{chunks} chunks are too many"))?;
        for (number, level) in self.levels.iter().enumerate() {
            for (slot, (chain, is_marked)) in level.iter().enumerate() {
                ensure(chain.is_empty() != is_marked, || format!("level {number} slot {slot} marked {is_marked}"))?;
                ensure(chain.is_empty() == self.pool.iter(chain).next().is_none(), || "an empty chunk".into())?;
            }
        }
        Ok(())
    }

    /// Whether a block has an entry where it is armed, no later than its earliest deadline.
    fn is_filed(&self, block: usize) -> Result<(), String> {
        if self.blocks[block] == Block::EMPTY && self.armed[block] == Short::NEVER
            || self.refiling.is_some_and(|next| block >= next)
            || self.open.is_some_and(|open| open.block == block)
        {
            return Ok(());
        }
        let (armed, earliest) = (self.armed[block].tick(self.current), self.blocks[block].earliest(self.current));
        let Some(armed) = armed else { return Err(format!("block {block} isn't filed, yet has {earliest:?}")) };
        let is_early = earliest.is_none_or(|earliest| armed <= earliest && earliest <= self.current + HORIZON + 1);
        ensure(is_early, || format!("block {block} filed at {armed}, has {earliest:?}"))?;
        let place = Place::of(armed, self.current);
        let filed = self.levels[place.level].iter().nth(place.slot).map(|(chain, _)| chain);
        let in_chain = |chain: &Chain| self.pool.iter(chain).any(|entry| entry as usize == block);
        let in_open = || in_chain(&self.slot.chain) || self.slot.batch.entries().iter().any(|&b| b as usize == block);
        let is_there = filed.is_some_and(in_chain) || self.slot.stretch.holds(armed) && in_open();
        ensure(is_there, || format!("block {block} has no entry at {armed}, {place:?}"))
    }
}

fn ensure(claim: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if claim { Ok(()) } else { Err(otherwise()) }
}
