//! Which of ten million nodes fell silent, at five bytes a node and a few nanoseconds a heartbeat?
//!
//! ```text
//! node ──> lane of a block ──> slot of a level       16 lanes, 64 slots, 6 levels
//!          its deadline        a tick no later than the block's earliest deadline
//! ```
//!
//! A heartbeat moves a deadline later and leaves the slots alone: one store, one compare. When the
//! tick at which a block is filed comes, the block is looked at: what is due is handed out, and
//! the rest is filed again. A block that had to be filed earlier leaves its old entry behind, to be
//! dropped when its slot opens. (Hierarchical wheels: Varghese and Lauck, SOSP 1987, scheme 7.)
//!
//! The wheel reads no clock, knows no reason for a deadline, and sorts nothing: what is due at the
//! same call comes in any order.

mod block;
mod budget;
#[doc(hidden)]
pub mod check;
mod level;
mod pool;

use core::hint::black_box;

use crate::steady::Steady;
use crate::{NodeIx, Tick};
use block::{Block, HORIZON, LANES, Short};
use level::{LEVELS, Level, Place, Stretch};
use pool::{Batch, Chain, Pool};

pub use budget::Budget;

/// The deadlines of all nodes, and an order in which to look at them.
pub struct Wheel {
    /// How far time has been worked off: no deadline and no entry lies before it.
    current: u64,
    blocks: Steady<Block, SEGMENT>,
    /// The tick at which each block is filed. Apart from the blocks, so that it stays in a nearer
    /// cache: a heartbeat stores to the one without waiting and reads only the other.
    armed: Steady<Short, SEGMENT>,
    levels: [Level; LEVELS],
    pool: Pool,
    slot: OpenSlot,
    open: Option<OpenBlock>,
    /// The next block to be filed anew, after all entries were dropped.
    refiling: Option<usize>,
}

/// What is left of the slot that is being worked off.
struct OpenSlot {
    stretch: Stretch,
    chain: Chain,
    batch: Batch,
}

/// The block whose due nodes are being handed out, and the lanes still to come.
#[derive(Clone, Copy)]
struct OpenBlock {
    block: usize,
    due: u16,
}

/// Blocks per segment: 65,536 nodes, 272 KiB, and a fifth of a millisecond to add.
const SEGMENT: usize = 4_096;

/// Where the wheel's time ends. A horizon beyond it can still be counted.
const LAST: u64 = u64::MAX - 2 * HORIZON;

impl Wheel {
    /// The farthest that a deadline can lie ahead, in ticks: 24.8 days.
    pub const HORIZON: u64 = HORIZON;

    /// A wheel without nodes, at `now`.
    pub const fn new(now: Tick) -> Self {
        let current = if now.count() < LAST { now.count() } else { LAST };
        Self {
            current,
            blocks: Steady::new(),
            armed: Steady::new(),
            levels: [Level::EMPTY; LEVELS],
            pool: Pool::new(),
            slot: OpenSlot { stretch: Stretch::new(0, current, 0), chain: Chain::EMPTY, batch: Batch::EMPTY },
            open: None,
            refiling: None,
        }
    }

    /// Makes room for the nodes `0..nodes`; the new ones are not armed. Never shrinks, never moves
    /// what is there: a call that adds 65,536 nodes or fewer takes about a fifth of a millisecond.
    pub fn grow(&mut self, nodes: usize) {
        let blocks = nodes.div_ceil(LANES);
        self.blocks.grow(blocks, &Block::EMPTY);
        self.armed.grow(blocks, &Short::NEVER);
    }

    /// Sets the deadline of a node, whether it had one or not.
    ///
    /// A deadline that has passed is due at once. One beyond [`HORIZON`](Self::HORIZON) is cut to
    /// it: the node is handed out then, and whoever finds it not yet due arms it again. One tick
    /// in 2^32 can't be told from "none", and is taken as the tick after it.
    ///
    /// # Panics
    /// If the wheel was never grown to hold the node.
    #[inline]
    pub fn arm(&mut self, node: NodeIx, deadline: Tick) {
        let deadline = Short::nearest(deadline.count(), self.current);
        let (block, lane) = split(node);
        self.blocks[block].set(lane, deadline);
        if deadline.is_before(self.armed[block], self.current) {
            self.arm_earlier(block, deadline);
        }
    }

    /// Takes the deadline of a node away, if it had one. What is filed stays, and finds nothing.
    ///
    /// # Panics
    /// If the wheel was never grown to hold the node.
    #[inline]
    pub fn disarm(&mut self, node: NodeIx) {
        let (block, lane) = split(node);
        self.blocks[block].set(lane, Short::NEVER);
    }

    /// The deadline of a node, as [`arm`](Self::arm) took it.
    ///
    /// # Panics
    /// If the wheel was never grown to hold the node.
    pub fn deadline(&self, node: NodeIx) -> Option<Tick> {
        let (block, lane) = split(node);
        self.blocks[block].get(lane).tick(self.current).map(Tick::from_count)
    }

    /// Hands out a node whose deadline is `now` or earlier, and disarms it. Each is handed out
    /// once, never early. Between two calls the caller may do anything to any node.
    ///
    /// Nothing means that no node is due any more, or that the budget is spent: in that case
    /// [`poll_timeout`](Self::poll_timeout) is not later than `now`. A clock that went back does
    /// nothing until it has caught up.
    pub fn expire(&mut self, now: Tick, budget: &mut Budget) -> Option<NodeIx> {
        let now = now.count().min(LAST);
        if now < self.current {
            return None;
        }
        while budget.take() {
            if let Some(open) = self.open {
                if let Some(node) = self.next_due(open, now) {
                    return Some(node);
                }
            } else if let Some(block) = self.refiling {
                self.refile(block);
            } else if let Some(block) = self.slot.batch.pop() {
                self.visit(block as usize, now);
            } else if let Some(batch) = self.pool.take_batch(&mut self.slot.chain) {
                self.touch(&batch);
                self.slot.batch = batch;
            } else if !self.advance(now) {
                return None;
            }
        }
        None
    }

    /// When to call [`expire`](Self::expire) next: never later than the earliest deadline that has
    /// not passed, often earlier, and later than `now` once everything due by `now` was handed
    /// out. Nothing if nothing is filed.
    pub fn poll_timeout(&self) -> Option<Tick> {
        let is_working = self.open.is_some() || self.refiling.is_some() || self.slot.has_entries();
        let next = if is_working { Some(self.current) } else { self.next_slot().map(Stretch::start) };
        next.map(Tick::from_count)
    }

    /// A block is filed too late, or nowhere. Kept out of line: it is rare, and `arm` is not.
    #[inline(never)]
    fn arm_earlier(&mut self, block: usize, deadline: Short) {
        let place = |tick| Place::of(tick, self.current);
        let Some(tick) = deadline.tick(self.current) else { return };
        if self.armed[block].tick(self.current).map(place) == Some(place(tick)) {
            // The entry that is in this slot will do.
            self.armed[block] = deadline;
        } else {
            self.file(block, tick);
        }
    }

    fn file(&mut self, block: usize, tick: u64) {
        if self.refiling.is_some_and(|next| block >= next) {
            return; // Its turn will come.
        }
        if self.pool.entries() >= self.entries_max() {
            return self.drop_entries();
        }
        self.armed[block] = Short::nearest(tick, self.current);
        let place = Place::of(tick, self.current);
        self.levels[place.level].file(place.slot, block as u32, &mut self.pool);
    }

    /// Opens the next slot that begins by `now`, or moves on to `now` if there is none.
    fn advance(&mut self, now: u64) -> bool {
        match self.next_slot() {
            Some(stretch) if stretch.start() <= now => {
                let place = stretch.place();
                self.current = stretch.start();
                self.slot.stretch = stretch;
                self.slot.chain = self.levels[place.level].take(place.slot);
                true
            }
            Some(_) | None => {
                self.current = now;
                false
            }
        }
    }

    /// The lowest level with entries comes first, and in it the first slot.
    fn next_slot(&self) -> Option<Stretch> {
        let mut levels = self.levels.iter().enumerate();
        levels.find_map(|(number, level)| Some(Stretch::new(number, self.current, level.next(number, self.current)?)))
    }

    /// Reads one word of every line that a batch will need. The reads don't depend on each other,
    /// so memory answers them together: 1.9 ns per heartbeat at ten million nodes instead of 7.7.
    fn touch(&self, batch: &Batch) {
        for &block in batch.entries() {
            black_box((self.armed[block as usize], self.blocks[block as usize].get(0)));
        }
    }

    /// Looks at a block whose entry has come up.
    fn visit(&mut self, block: usize, now: u64) {
        let armed = self.armed[block].tick(self.current);
        if !armed.is_some_and(|tick| self.slot.stretch.holds(tick)) {
            return; // The block is filed elsewhere by now; this entry was left behind.
        }
        // Every level looks at the deadlines themselves, even though only the lowest has to. Most
        // have moved on meanwhile, and the block skips the levels below: 12 ns a heartbeat instead
        // of 18, at ten million nodes and a timeout of three intervals.
        match self.blocks[block].due(self.current, now) {
            0 => self.settle(block),
            due => {
                // No deadline is earlier than this, so nothing files the block while it is open.
                self.armed[block] = Short::nearest(self.current, self.current);
                self.open = Some(OpenBlock { block, due });
            }
        }
    }

    /// The next due node of the open block. Without one, the block is closed.
    fn next_due(&mut self, mut open: OpenBlock, now: u64) -> Option<NodeIx> {
        while open.due != 0 {
            let lane = open.due.trailing_zeros() as usize;
            open.due &= open.due - 1;
            // The caller may have moved it since the block was opened.
            let deadline = self.blocks[open.block].get(lane).tick(self.current);
            if deadline.is_some_and(|tick| tick <= now) {
                self.blocks[open.block].set(lane, Short::NEVER);
                self.open = Some(open);
                return Some(NodeIx::new(open.block * LANES + lane));
            }
        }
        self.open = None;
        self.settle(open.block);
        None
    }

    /// Files a block, of which nothing is filed, at its earliest deadline.
    fn settle(&mut self, block: usize) {
        self.armed[block] = Short::NEVER;
        if let Some(tick) = self.blocks[block].earliest(self.current) {
            self.file(block, tick);
        }
    }

    /// One entry per block is needed. Those left behind may be as many again, and then some.
    const fn entries_max(&self) -> usize {
        2 * self.blocks.len() + 1_024
    }

    /// Too many entries were left behind: drops all of them, to file each block once. That takes
    /// as long as there are blocks, so `expire` does it within its budget; until it is done, every
    /// deadline waits.
    #[cold]
    fn drop_entries(&mut self) {
        self.levels = [Level::EMPTY; LEVELS];
        (self.slot.chain, self.slot.batch) = (Chain::EMPTY, Batch::EMPTY);
        self.pool.clear();
        self.refiling = Some(0);
    }

    fn refile(&mut self, block: usize) {
        self.refiling = Some(block + 1).filter(|next| *next < self.blocks.len());
        self.settle(block);
    }
}

impl OpenSlot {
    fn has_entries(&self) -> bool {
        !self.chain.is_empty() || !self.batch.entries().is_empty()
    }
}

/// A node's block and its lane in it.
#[inline]
const fn split(node: NodeIx) -> (usize, usize) {
    (node.index() / LANES, node.index() % LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now: u64) -> usize {
        let mut budget = Budget::UNLIMITED;
        core::iter::from_fn(|| wheel.expire(Tick::from_count(now), &mut budget)).count()
    }

    #[test]
    fn heartbeats_leave_one_entry_per_block() {
        let mut wheel = Wheel::new(Tick::from_count(0));
        wheel.grow(1_600);
        for now in 0..600_000 {
            let node = NodeIx::new(now as usize * 7 % 1_600);
            wheel.arm(node, Tick::from_count(now + 30_000));
            assert_eq!(due(&mut wheel, now), 0, "at {now}");
        }
        assert_eq!(wheel.pool.entries(), 100);
    }

    #[test]
    fn an_entry_that_was_left_behind_goes_when_its_slot_opens() {
        let mut wheel = Wheel::new(Tick::from_count(0));
        wheel.grow(1);
        let node = NodeIx::new(0);
        for deadline in [1_000_000, 100_000, 5_000, 100, 3] {
            wheel.arm(node, Tick::from_count(deadline));
        }
        assert_eq!(wheel.pool.entries(), 5);
        wheel.arm(node, Tick::from_count(2_000_000));

        assert_eq!(due(&mut wheel, 1_100_000), 0);

        assert_eq!(wheel.pool.entries(), 1);
        assert_eq!(due(&mut wheel, 2_000_000), 1);
        assert_eq!((wheel.pool.entries(), wheel.poll_timeout()), (0, None));
    }

    #[test]
    fn moving_a_node_of_the_open_block_files_nothing() {
        let mut wheel = Wheel::new(Tick::from_count(0));
        wheel.grow(16);
        (0..16).for_each(|node| wheel.arm(NodeIx::new(node), Tick::from_count(5_000)));
        let first = wheel.expire(Tick::from_count(10_000), &mut Budget::new(10)).expect("all are due");
        assert!(wheel.current < 4_500, "a coarse slot was opened");

        wheel.arm(first, Tick::from_count(4_500));

        assert_eq!(wheel.pool.entries(), 0);
        assert_eq!(due(&mut wheel, 10_000), 16);
    }

    #[test]
    fn a_block_that_waits_to_be_filed_again_is_filed_once() {
        let mut wheel = Wheel::new(Tick::from_count(0));
        wheel.grow(16);
        wheel.arm(NodeIx::new(0), Tick::from_count(5_000));
        wheel.drop_entries();

        wheel.arm(NodeIx::new(1), Tick::from_count(4_000));

        assert_eq!(wheel.pool.entries(), 0);
        assert_eq!((due(&mut wheel, 3_999), wheel.pool.entries()), (0, 1));
        assert_eq!((due(&mut wheel, 4_000), due(&mut wheel, 5_000)), (1, 1));
    }

    #[test]
    fn alternating_long_and_short_waits_never_outgrow_the_pool() {
        const DAY: u64 = 86_400_000;
        let mut wheel = Wheel::new(Tick::from_count(0));
        wheel.grow(SEGMENT * LANES);
        let mut entries_max = 0;
        for now in 0..100_000 {
            // The long wait is filed far ahead, in one of many slots; the short one leaves that entry behind.
            let node = NodeIx::new(now as usize * LANES % (SEGMENT * LANES));
            wheel.arm(node, Tick::from_count(now + 10 * DAY + now % 64 * DAY / 5));
            wheel.arm(node, Tick::from_count(now + 1));
            wheel.arm(node, Tick::from_count(now + 10 * DAY));
            assert_eq!(due(&mut wheel, now), 0);
            entries_max = entries_max.max(wheel.pool.entries());
        }
        assert_eq!(entries_max, wheel.entries_max(), "the bound was met, and held");
        let chunks_max = wheel.entries_max().div_ceil(pool::ENTRIES) + LEVELS * 64;
        assert!(wheel.pool.chunks() <= chunks_max.next_multiple_of(64), "{}", wheel.pool.chunks());
    }
}
