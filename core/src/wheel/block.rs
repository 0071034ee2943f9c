//! Sixteen neighbouring deadlines in one cache line of 64 bytes.
//!
//! ```text
//! | lane 0 | lane 1 | ... | lane 15 |     each the low 32 bits of a tick, or NEVER
//!
//!         nothing is kept here      |<-- horizon: 2^31 ticks -->|
//! --------------------------------current--------------------------> ticks
//! ```
//!
//! The wheel files blocks rather than nodes: sixteen deadlines cost the same miss as one. No
//! deadline lies before the wheel's current tick nor beyond its horizon, so the missing 32 bits
//! follow from the current tick.

/// Deadlines per block.
pub(super) const LANES: usize = 16;

/// The farthest that a deadline may lie ahead, in ticks. Half of the circle of 2^32 would do
/// without; kept empty, it shows a deadline that fell behind.
pub(super) const HORIZON: u64 = 1 << 31;

/// The low 32 bits of a tick, or NEVER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short(u32);

/// Sixteen deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Block([Short; LANES]);

const _: () = assert!(size_of::<Block>() == 64, "a block is one cache line");

impl Short {
    /// No tick at all.
    pub(super) const NEVER: Self = Self(u32::MAX);

    /// The tick nearest to `tick` that can be kept: not past, within the horizon, and not mistaken
    /// for NEVER, for which it is put one tick later (once in 49.7 days).
    #[inline]
    pub(super) const fn nearest(tick: u64, current: u64) -> Self {
        let ahead = tick.saturating_sub(current);
        let ahead = if ahead < HORIZON { ahead } else { HORIZON };
        let short = (current + ahead) as u32;
        Self(short.wrapping_add((short == Self::NEVER.0) as u32))
    }

    /// The whole tick.
    #[inline]
    pub(super) const fn tick(self, current: u64) -> Option<u64> {
        match self {
            Self::NEVER => None,
            short => Some(current + short.ahead(current) as u64),
        }
    }

    /// Whether this tick, which isn't NEVER, comes before `other`, which may be.
    #[inline]
    pub(super) const fn is_before(self, other: Self, current: u64) -> bool {
        other.0 == Self::NEVER.0 || self.ahead(current) < other.ahead(current)
    }

    /// How many ticks it lies ahead of `current`; means nothing for NEVER.
    #[inline]
    const fn ahead(self, current: u64) -> u32 {
        self.0.wrapping_sub(current as u32)
    }
}

impl Block {
    /// No deadline in any lane.
    pub(super) const EMPTY: Self = Self([Short::NEVER; LANES]);

    /// The deadline of a lane.
    #[inline]
    pub(super) const fn get(&self, lane: usize) -> Short {
        self.0[lane]
    }

    /// Sets the deadline of a lane.
    #[inline]
    pub(super) const fn set(&mut self, lane: usize, deadline: Short) {
        self.0[lane] = deadline;
    }

    /// The earliest deadline.
    pub(super) fn earliest(&self, current: u64) -> Option<u64> {
        // One pass over one line without branches: NEVER counts as the longest distance.
        let ahead = self.0.map(|short| if short == Short::NEVER { u32::MAX } else { short.ahead(current) });
        let nearest = ahead.into_iter().fold(u32::MAX, u32::min);
        (nearest != u32::MAX).then(|| current + u64::from(nearest))
    }

    /// The lanes whose deadline is `now` or earlier: lane `i` is bit `i`. `now` is not before `current`.
    pub(super) fn due(&self, current: u64, now: u64) -> u16 {
        let reach = u32::try_from(now - current).unwrap_or(u32::MAX);
        let mut due = 0;
        for (lane, short) in self.0.into_iter().enumerate() {
            due |= u16::from(short != Short::NEVER && short.ahead(current) <= reach) << lane;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_within_the_horizon_survives_the_loss_of_its_high_bits() {
        for current in [0, 1 << 31, (1 << 32) - 2, (1 << 36) + 5, u64::MAX - 2 * HORIZON] {
            for ahead in [0, 1, 63, 1 << 30, HORIZON - 1, HORIZON] {
                let kept = Short::nearest(current + ahead, current).tick(current).expect("never NEVER");
                let bumped = u64::from((current + ahead) as u32 == u32::MAX);
                assert_eq!(kept, current + ahead + bumped, "{current} + {ahead}");
            }
        }
    }

    #[test]
    fn the_past_becomes_the_current_tick_and_the_far_future_the_horizon() {
        assert_eq!(Short::nearest(5, 100).tick(100), Some(100));
        assert_eq!(Short::nearest(u64::MAX, 100).tick(100), Some(100 + HORIZON));
    }

    #[test]
    fn a_deadline_that_looks_like_never_waits_one_tick_longer() {
        let looks_like_never = u64::from(u32::MAX);
        for current in [looks_like_never - 10, looks_like_never] {
            assert_eq!(Short::nearest(looks_like_never, current).tick(current), Some(looks_like_never + 1));
        }
    }

    #[test]
    fn the_earliest_lane_and_the_due_ones_are_found_across_the_wrap() {
        let current = (1 << 32) - 4;
        let mut block = Block::EMPTY;
        assert_eq!((block.earliest(current), block.due(current, u64::MAX)), (None, 0));

        block.set(0, Short::nearest(current + 100, current));
        block.set(7, Short::nearest(current + 2, current));
        block.set(15, Short::nearest(current + 9, current));

        assert_eq!(block.earliest(current), Some(current + 2));
        assert_eq!(block.due(current, current + 1), 0);
        assert_eq!(block.due(current, current + 9), 1 << 7 | 1 << 15);
        assert_eq!(block.due(current, u64::MAX), 1 << 7 | 1 << 15 | 1);
    }
}
