//! The hot record of a node: all that a heartbeat touches, in one cache line.
//!
//! ```text
//!  0        16           24    32        40        52         56       60      62    63  64
//!  ├── id ──┼ incarnation ┼ seq ┼ arrival ┼ memory ─┼ interval ┼ window ┼ group ┼ live┼flags
//! ```

use crate::config::Settings;
use crate::detector::Memory;
use crate::interval::Learned;
use crate::{GroupIx, Incarnation, Instant, Liveness, NodeId, Reject, Seq, Span};

/// One node, as far as a heartbeat is concerned.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) seq: Seq,
    /// When the last heartbeat arrived; if none ever did here: when the node was listed or taken over.
    pub(crate) arrival: Instant,
    pub(crate) memory: Memory,
    /// The interval that is declared, configured or being learned, in milliseconds.
    interval: f32,
    /// The last heartbeats by sequence number, newest lowest; a one arrived. The highest one marks
    /// where they begin, so that 31 fit. Nothing but the mark: nothing was heard here yet.
    window: u32,
    pub(crate) group: GroupIx,
    pub(crate) liveness: Liveness,
    pub(crate) flags: Flags,
}

const _: () = assert!(size_of::<Node>() == 64, "a node must stay within one cache line");

/// Six yes-or-no facts of a node and a small count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

/// How a message relates to what is known of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newer {
    pub(crate) incarnation: Incarnation,
    pub(crate) seq: Seq,
    /// How far `seq` is from the last one; nothing in a new life.
    pub(crate) gap: Option<u64>,
}

impl Flags {
    /// The place is free.
    pub(crate) const VACANT: Self = Self(1);
    /// The node declares its interval.
    pub(crate) const DECLARED: Self = Self(1 << 1);
    /// The node announced a silence with its last heartbeat.
    pub(crate) const PLANNED: Self = Self(1 << 2);
    /// The node's name is known.
    pub(crate) const NAMED: Self = Self(1 << 3);
    /// The node stands in the configuration, which says its group.
    pub(crate) const LISTED: Self = Self(1 << 4);
    /// At least one heartbeat ever came, here or where the node was taken over from.
    pub(crate) const HEARD: Self = Self(1 << 5);
    /// Two bits: how many intervals have been learned from, up to three.
    const SAMPLES_SHIFT: u8 = 6;

    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) const fn set(&mut self, flag: Self, on: bool) {
        self.0 = if on { self.0 | flag.0 } else { self.0 & !flag.0 };
    }

    pub(crate) const fn samples(self) -> u8 {
        self.0 >> Self::SAMPLES_SHIFT
    }

    pub(crate) const fn set_samples(&mut self, samples: u8) {
        self.0 = (self.0 & !(0b11 << Self::SAMPLES_SHIFT)) | (samples << Self::SAMPLES_SHIFT);
    }
}

impl Node {
    /// A place where no node lives.
    pub(crate) fn vacant() -> Self {
        let mut node = Self::new(NodeId::from_bytes([0; 16]), GroupIx::FIRST, None, Instant::ORIGIN);
        node.flags.set(Flags::VACANT, true);
        node
    }

    /// A node of which nothing was heard yet.
    pub(crate) fn new(id: NodeId, group: GroupIx, interval: Option<Span>, now: Instant) -> Self {
        let mut node = Self {
            id,
            incarnation: Incarnation::new(0),
            seq: Seq::new(0),
            arrival: now,
            memory: Memory::default(),
            interval: 0.0,
            window: MARK,
            group,
            liveness: Liveness::Unseen,
            flags: Flags::default(),
        };
        node.forget_interval(interval);
        node
    }

    /// The interval in force: declared, configured, learned, or the default until then.
    pub(crate) fn interval(&self) -> Span {
        self.learned().in_force(Settings::UNKNOWN_INTERVAL)
    }

    /// What is known of the interval. One that somebody stated counts as learned.
    pub(crate) fn learned(&self) -> Learned {
        Learned::from_parts(self.interval, self.flags.samples())
    }

    pub(crate) fn set_learned(&mut self, learned: Learned) {
        self.interval = learned.millis();
        self.flags.set_samples(learned.samples());
    }

    pub(crate) fn set_interval(&mut self, interval: Span) {
        self.set_learned(Learned::settled(interval));
    }

    /// Goes back to the configured interval, or to learning it from nothing.
    pub(crate) fn forget_interval(&mut self, configured: Option<Span>) {
        self.set_learned(configured.map_or(Learned::default(), Learned::settled));
    }

    /// Whether a message of it was heard here, not only where it was taken over from.
    pub(crate) const fn heard_here(&self) -> bool {
        self.window != MARK
    }

    /// Whether it is believed to be what another monitor believed, and wasn't heard since.
    pub(crate) const fn taken_over(&self) -> bool {
        self.flags.has(Flags::HEARD) && !self.heard_here()
    }

    /// The last message believed, wherever that was.
    pub(crate) fn last(&self) -> Option<(Incarnation, Seq)> {
        self.flags.has(Flags::HEARD).then_some((self.incarnation, self.seq))
    }

    /// Whether a message is newer than the last one believed. By sequence, never by mere arrival:
    /// a stale packet that counts keeps a dead node alive. What names no sequence number is newer
    /// if it arrived no earlier than the last one; when that was isn't known of a node that was taken over.
    pub(crate) fn newer(
        &self,
        incarnation: Option<Incarnation>,
        seq: Option<Seq>,
        arrival: Instant,
    ) -> Result<Newer, Reject> {
        let known = self.incarnation;
        let incarnation = incarnation.unwrap_or(known);
        if !self.flags.has(Flags::HEARD) || incarnation > known {
            return Ok(Newer { incarnation, seq: seq.unwrap_or_default(), gap: None });
        }
        if incarnation < known {
            return Err(Reject::StaleIncarnation);
        }
        match seq {
            Some(seq) if seq > self.seq => Ok(Newer { incarnation, seq, gap: Some(seq.number() - self.seq.number()) }),
            Some(_) => Err(Reject::NotNewer),
            None if arrival >= self.arrival || !self.heard_here() => {
                Ok(Newer { incarnation, seq: Seq::new(self.seq.number().saturating_add(1)), gap: Some(1) })
            }
            None => Err(Reject::NotNewer),
        }
    }

    /// Believes a newer message that arrived at `arrival`. Arrivals don't run back: where the clock
    /// makes it seem so, the later one holds.
    pub(crate) fn take(&mut self, newer: Newer, arrival: Instant) {
        // What was sent while nobody listened here isn't known to be lost.
        self.window = match newer.gap.filter(|_| self.heard_here()) {
            // Beyond 31 the mark would be pushed out: it stays at the top.
            Some(gap @ 0..32) => match u64::from(self.window) << gap | 1 {
                window @ 0..=0xFFFF_FFFF => window as u32,
                window => window as u32 | 1 << 31,
            },
            Some(_) => 1 << 31 | 1,
            None => MARK << 1 | 1,
        };
        self.incarnation = newer.incarnation;
        self.seq = newer.seq;
        // Until something was heard this was when the node was listed, or first looked up.
        self.arrival = if self.flags.has(Flags::HEARD) { self.arrival.max(arrival) } else { arrival };
        self.flags.set(Flags::HEARD, true);
    }

    /// Of the last how many heartbeats how many were lost: (lost, out of).
    pub(crate) const fn losses(&self) -> (u8, u8) {
        let known = u32::BITS - 1 - self.window.leading_zeros();
        let arrived = self.window.count_ones() - 1;
        ((known - arrived) as u8, known as u8)
    }
}

/// A window in which nothing is known yet.
const MARK: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(incarnation: u64, seq: u64) -> Node {
        let mut node = Node::new(NodeId::of("a"), GroupIx::FIRST, None, Instant::ORIGIN);
        node.liveness = Liveness::Alive;
        node.flags.set(Flags::HEARD, true);
        node.incarnation = Incarnation::new(incarnation);
        node.seq = Seq::new(seq);
        node.arrival = Instant::from_nanos(100);
        node.window = MARK << 1 | 1;
        node
    }

    fn judge(node: &Node, incarnation: Option<u64>, seq: Option<u64>, arrival: u64) -> Result<Option<u64>, Reject> {
        let newer = node.newer(incarnation.map(Incarnation::new), seq.map(Seq::new), Instant::from_nanos(arrival));
        newer.map(|newer| newer.gap)
    }

    #[test]
    fn newer_means_a_later_life_or_a_higher_number_within_it() {
        let node = heard(5, 10);
        assert_eq!(judge(&node, Some(5), Some(11), 200), Ok(Some(1)));
        assert_eq!(judge(&node, Some(5), Some(14), 200), Ok(Some(4)));
        assert_eq!(judge(&node, Some(6), Some(1), 200), Ok(None));
        assert_eq!(judge(&node, Some(5), Some(10), 200), Err(Reject::NotNewer));
        assert_eq!(judge(&node, Some(4), Some(99), 200), Err(Reject::StaleIncarnation));
    }

    #[test]
    fn a_heartbeat_without_a_number_is_newer_unless_it_arrived_earlier() {
        let node = heard(5, 10);
        assert_eq!(judge(&node, None, None, 100), Ok(Some(1)));
        assert_eq!(judge(&node, None, None, 99), Err(Reject::NotNewer));
    }

    #[test]
    fn of_a_node_that_was_taken_over_only_the_numbers_are_known() {
        let mut node = heard(5, 10);
        node.window = MARK;
        assert_eq!(judge(&node, Some(5), Some(10), 200), Err(Reject::NotNewer));
        assert_eq!(judge(&node, Some(4), Some(99), 200), Err(Reject::StaleIncarnation));
        assert_eq!(judge(&node, None, None, 99), Ok(Some(1)), "it may have waited in the socket");
        assert_eq!((node.taken_over(), node.losses()), (true, (0, 0)));

        let newer = Newer { incarnation: Incarnation::new(5), seq: Seq::new(20), gap: Some(10) };
        node.take(newer, Instant::from_nanos(99));

        assert_eq!((node.taken_over(), node.losses()), (false, (0, 1)));
        assert_eq!(node.arrival, Instant::from_nanos(100), "it was to be waited for from then on");
    }

    #[test]
    fn the_window_counts_what_never_came_as_far_as_it_is_known() {
        let mut node = heard(1, 1);
        let mut take = |gap| {
            let newer = Newer { incarnation: Incarnation::new(1), seq: Seq::new(1), gap };
            node.take(newer, Instant::from_nanos(100));
            node.losses()
        };
        assert_eq!(take(None), (0, 1));
        assert_eq!(take(Some(1)), (0, 2));
        assert_eq!(take(Some(4)), (3, 6));
        for heard in 7..=31 {
            assert_eq!(take(Some(1)), (3, heard));
        }
        assert_eq!(take(Some(1)), (3, 31));
        for gap in [31, 32, 1_000, u64::MAX] {
            assert_eq!(take(Some(gap)), (30, 31), "{gap}");
        }
        assert_eq!(take(None), (0, 1), "a new life has lost nothing");
    }

    #[test]
    fn arrivals_do_not_run_back() {
        let mut node = heard(1, 1);
        let newer = Newer { incarnation: Incarnation::new(1), seq: Seq::new(2), gap: Some(1) };
        node.take(newer, Instant::from_nanos(50));
        assert_eq!((node.arrival, node.seq), (Instant::from_nanos(100), Seq::new(2)));
    }

    #[test]
    fn the_sample_count_shares_a_byte_with_the_flags() {
        let mut flags = Flags::default();
        flags.set(Flags::DECLARED, true);
        flags.set_samples(3);
        assert!(flags.has(Flags::DECLARED) && flags.samples() == 3);
        flags.set_samples(0);
        flags.set(Flags::DECLARED, false);
        assert_eq!(flags, Flags::default());
    }
}
