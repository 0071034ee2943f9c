//! Where in the wheel a tick belongs: six levels of 64 slots, like the hands of a clock.
//!
//! ```text
//! level     5      4      3      2      1      0
//! tick  ..dddddd dddddd dddddd dddddd dddddd dddddd     six binary digits each
//! slot   12.4 d   4.7 h  4.4 m  4.1 s   64 ms   1 ms    the width of one slot
//! ```
//!
//! A tick goes to the level of the highest digit in which it differs from the current tick, into
//! the slot of that digit. So every level lies wholly before the next one, and the first slot of
//! the lowest level in use begins no later than anything that is filed. The last level takes all
//! that is left and is read as a ring, so it never runs out: the horizon spans 3 of its 64 slots.

use super::block::HORIZON;
use super::pool::{Chain, Pool};

/// How many levels there are.
pub(super) const LEVELS: usize = 6;

const SLOTS: usize = 1 << DIGIT;
const DIGIT: u32 = 6;
const TOP: usize = LEVELS - 1;

const _: () = assert!(HORIZON >> (DIGIT as usize * TOP) < SLOTS as u64 / 2, "the ring holds the horizon");

/// 64 chains, and which of them have entries.
pub(super) struct Level {
    occupied: u64,
    slots: [Chain; SLOTS],
}

/// One slot of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The level, 0 being the finest.
    pub(super) level: usize,
    /// The slot within the level.
    pub(super) slot: usize,
}

/// The ticks of one slot: all that begin with the same digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    prefix: u64,
    level: usize,
}

impl Place {
    /// The place of `tick`, which is `current` or later.
    pub(super) const fn of(tick: u64, current: u64) -> Self {
        // The one keeps the count of zeros defined when nothing differs; it never decides a level.
        let digit = (63 - ((tick ^ current) | 1).leading_zeros()) / DIGIT;
        let level = if digit as usize > TOP { TOP } else { digit as usize };
        Self { level, slot: (tick >> shift(level)) as usize % SLOTS }
    }
}

impl Stretch {
    /// The ticks of slot `ahead` slots after that of `current`, on this level.
    pub(super) const fn new(level: usize, current: u64, ahead: u32) -> Self {
        Self { prefix: (current >> shift(level)) + ahead as u64, level }
    }

    /// Where it is filed.
    pub(super) const fn place(self) -> Place {
        Place { level: self.level, slot: self.prefix as usize % SLOTS }
    }

    /// Its first tick.
    pub(super) const fn start(self) -> u64 {
        self.prefix << shift(self.level)
    }

    /// Whether `tick` is one of them.
    pub(super) const fn holds(self, tick: u64) -> bool {
        tick >> shift(self.level) == self.prefix
    }
}

impl Level {
    /// A level without entries.
    pub(super) const EMPTY: Self = Self { occupied: 0, slots: [const { Chain::EMPTY }; SLOTS] };

    /// Adds `block` to a slot.
    pub(super) fn file(&mut self, slot: usize, block: u32, pool: &mut Pool) {
        pool.push(&mut self.slots[slot], block);
        self.occupied |= 1 << slot;
    }

    /// How many slots after that of `current` the next one with entries is; nothing if none has.
    pub(super) const fn next(&self, level: usize, current: u64) -> Option<u32> {
        let digit = (current >> shift(level)) % SLOTS as u64;
        match self.occupied.rotate_right(digit as u32).trailing_zeros() {
            u64::BITS => None,
            ahead => Some(ahead),
        }
    }

    /// Empties a slot and gives out its entries.
    pub(super) const fn take(&mut self, slot: usize) -> Chain {
        self.occupied &= !(1 << slot);
        core::mem::replace(&mut self.slots[slot], Chain::EMPTY)
    }

    /// Every slot: its chain, and whether it is marked as having entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Chain, bool)> {
        self.slots.iter().enumerate().map(|(slot, chain)| (chain, self.occupied >> slot & 1 == 1))
    }
}

const fn shift(level: usize) -> u32 {
    level as u32 * DIGIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_goes_to_the_level_of_the_highest_digit_that_differs() {
        let place = |tick, current| {
            let Place { level, slot } = Place::of(tick, current);
            (level, slot)
        };
        assert_eq!(place(7, 7), (0, 7));
        assert_eq!(place(63, 0), (0, 63));
        assert_eq!(place(64, 63), (1, 1));
        assert_eq!(place(4_095, 0), (1, 63));
        assert_eq!(place(4_096, 4_095), (2, 1));
        // Beyond the last digit, the last level is a ring: one slot on from 63 is 0.
        assert_eq!(place(1 << 36, (1 << 36) - 1), (5, 0));
        assert_eq!(Stretch::new(5, (1 << 36) - 1, 1).start(), 1 << 36);
    }

    #[test]
    fn a_slot_is_marked_exactly_while_it_has_entries() {
        let (mut pool, mut level) = (Pool::new(), Level::EMPTY);
        assert_eq!(level.next(0, 0), None);
        level.file(9, 1, &mut pool);
        level.file(9, 2, &mut pool);
        assert_eq!((level.next(0, 5), level.next(0, 9)), (Some(4), Some(0)));
        assert!(level.iter().all(|(chain, is_marked)| chain.is_empty() != is_marked));
        assert!(!level.take(9).is_empty());
        assert_eq!(level.next(0, 5), None);
    }
}
