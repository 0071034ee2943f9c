//! When whose turn it is: node `i` of `n` beats at `i/n` of every interval, for ever.
//!
//! ```text
//!   turn    0   1   2   3 | 4   5   6   7 | 8         turn k: node k mod n, at k/n intervals
//!   node    0   1   2   3 | 0   1   2   3 | 0         one number says it all
//! ```
//!
//! A turn's time is computed from its number, so nothing drifts. After a stall what was missed is caught up with, but
//! no more than one turn a node: two heartbeats at once say nothing that one doesn't.

use std::ops::Range;

use systole_core::{Instant, Span};

/// The turns of a fleet.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    start: Instant,
    interval: u128,
    nodes: u64,
    next: u64,
    skipped: u64,
    behind: Span,
}

impl Pace {
    /// `nodes` nodes that beat every `interval`, the first of them at `start`.
    ///
    /// # Panics
    /// Without nodes, or without time between their heartbeats.
    pub(super) fn new(nodes: u32, interval: Span, start: Instant) -> Self {
        assert!(nodes > 0 && !interval.is_zero(), "some node beats, and not all the time");
        let interval = u128::from(interval.nanos());
        Self { start, interval, nodes: u64::from(nodes), next: 0, skipped: 0, behind: Span::ZERO }
    }

    /// When the fleet's first heartbeat is due.
    pub(super) const fn start(&self) -> Instant {
        self.start
    }

    /// The turns to be taken now, `most` at most. They count as taken.
    pub(super) fn take(&mut self, now: Instant, most: u64) -> Range<u64> {
        self.take_until(now, now, most)
    }

    /// Of the turns to be taken now those that were due until then, `most` at most. They count as taken.
    pub(super) fn take_until(&mut self, now: Instant, until: Instant, most: u64) -> Range<u64> {
        self.behind = self.behind.max(now.since(self.next_due()));
        if until < self.start {
            return self.next..self.next;
        }
        let elapsed = u128::from(until.since(self.start).nanos());
        let end = (elapsed * u128::from(self.nodes) / self.interval) as u64 + 1;
        if end - self.next.min(end) > self.nodes {
            self.skipped += end - self.nodes - self.next;
            self.next = end - self.nodes;
        }
        let taken = self.next..end.clamp(self.next, self.next.saturating_add(most));
        self.next = taken.end;
        taken
    }

    /// When the next turn is due.
    pub(super) fn next_due(&self) -> Instant {
        self.due(self.next)
    }

    /// When a turn is due.
    pub(super) fn due(&self, turn: u64) -> Instant {
        let after = (u128::from(turn) * self.interval).div_ceil(u128::from(self.nodes));
        self.start + Span::from_nanos(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// Whose turn it is.
    pub(super) const fn node(&self, turn: u64) -> u32 {
        (turn % self.nodes) as u32
    }

    /// How many turns were left out after stalls.
    pub(super) const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How late a turn was taken at the worst: a stall of this process, which the monitor can only see as silence.
    pub(super) const fn behind(&self) -> Span {
        self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000_000);

    fn after(millis: u64) -> Instant {
        START + Span::from_millis(millis)
    }

    #[test]
    fn heartbeats_are_spread_evenly_and_do_not_drift() {
        // 7 doesn't divide a second.
        let mut pace = Pace::new(7, Span::from_secs(1), START);
        let mut times = vec![vec![]; 7];
        for _ in 0..7_000 {
            let due = pace.next_due();
            let turns = pace.take(due, 100);
            assert_eq!(turns.end - turns.start, 1);
            times[pace.node(turns.start) as usize].push(due);
        }
        for (node, times) in times.iter().enumerate() {
            let phase = (node as u64 * 1_000_000_000).div_ceil(7);
            for (round, time) in times.iter().enumerate() {
                assert_eq!(*time, after(1_000 * round as u64) + Span::from_nanos(phase));
            }
        }
        assert_eq!((pace.skipped(), pace.behind()), (0, Span::ZERO));
    }

    #[test]
    fn nothing_is_due_before_the_start_or_its_time() {
        let mut pace = Pace::new(10, Span::from_millis(100), START);
        assert!(pace.take(START - Span::from_nanos(1), 100).is_empty());
        assert_eq!(pace.take(START, 100), 0..1);
        assert!(pace.take(after(9), 100).is_empty());
        assert_eq!(pace.take(after(35), 100), 1..4);
        assert_eq!(pace.next_due(), after(40));
    }

    #[test]
    fn what_was_due_before_an_instant_can_be_taken_first() {
        let mut pace = Pace::new(10, Span::from_millis(100), START);
        assert_eq!(pace.take_until(after(45), after(20), u64::MAX), 0..3);
        assert_eq!(pace.take_until(after(45), after(20), 100), 3..3);
        assert_eq!(pace.take(after(45), 100), 3..5);
        assert_eq!(pace.behind(), Span::from_millis(45));
    }

    #[test]
    fn a_stall_is_caught_up_with_by_one_turn_a_node() {
        let mut pace = Pace::new(10, Span::from_millis(100), START);
        assert_eq!(pace.take(after(45), 100), 0..5);
        assert_eq!(pace.take(after(95), 100), 5..10);
        assert_eq!(pace.take(after(455), 100), 36..46);
        assert_eq!((pace.skipped(), pace.behind()), (26, Span::from_millis(355)));
        assert_eq!(pace.take(after(505), 3), 46..49);
        assert_eq!(pace.take(after(505), 3), 49..51);
    }
}
