//! How often does a node beat that doesn't say so?
//!
//! At first nobody knows, so the group's default is in force, or what was seen where that is
//! longer. Three distances settle it, and from then on an average follows the node with a gain
//! of 1/8. Distances are divided by the sequence gap first: a lost heartbeat is not a slow node.
//!
//! Two rules keep odd distances out. A distance counts for three intervals at most: one pause, be
//! it a year, moves the interval by a quarter. And a distance shorter than half the interval counts
//! the less the shorter it is: when a stalled network lets go of a hundred heartbeats at once,
//! ninety-nine distances of nothing say nothing about the sender. In return a sender that becomes
//! ten times quicker is believed only after some six of its old intervals.
//!
//! An interval that was stated is kept here too; not to learn over it is for the caller to see to.

use crate::Span;

/// The average follows each distance by this much.
const GAIN: f32 = 1.0 / 8.0;

/// A distance counts for so many intervals at most.
const CAP: f32 = 3.0;

/// So many distances make a first estimate; from then on `samples` stands still.
const ENOUGH: u8 = 3;

/// Distances below this say nothing, since no one beats a thousand times a second: in milliseconds.
const SHORTEST: f32 = 1.0;

/// What is known of a node's interval: a float and a count of two bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Learned {
    /// The longest distance seen while learning, then the average; in milliseconds.
    millis: f32,
    /// Distances seen, at most `ENOUGH`.
    samples: u8,
}

const _: () = assert!(ENOUGH == 0b11, "the count has two bits in the node's record");

impl Learned {
    /// An interval that was stated rather than learned. One below a millisecond counts as a millisecond.
    pub(crate) fn settled(interval: Span) -> Self {
        Self { millis: interval.millis_f32().max(SHORTEST), samples: ENOUGH }
    }

    /// Puts together what [`millis`](Self::millis) and [`samples`](Self::samples) took apart. A
    /// length that can't have been learned (below a millisecond, infinite, NaN) means that nothing is known.
    pub(crate) fn from_parts(millis: f32, samples: u8) -> Self {
        if !(millis.is_finite() && millis >= SHORTEST) {
            return Self::default();
        }
        Self { millis, samples: samples.min(ENOUGH) }
    }

    /// The estimate so far, in milliseconds.
    pub(crate) const fn millis(self) -> f32 {
        self.millis
    }

    /// How many distances it comes from: 0 to 2 while learning, 3 from then on.
    pub(crate) const fn samples(self) -> u8 {
        self.samples
    }

    /// Whether the default no longer matters.
    pub(crate) const fn is_settled(self) -> bool {
        self.samples == ENOUGH
    }

    /// The interval in force for a node of a group with this default.
    pub(crate) fn in_force(self, default: Span) -> Span {
        let seen = Span::from_millis_f32(self.millis);
        if self.is_settled() { seen } else { seen.max(default) }
    }

    /// Learns from a heartbeat that came `elapsed` after, and `gap` numbers after, the one before.
    #[must_use]
    pub(crate) fn learn(self, elapsed: Span, gap: u64, default: Span) -> Self {
        let distance = elapsed.millis_f32() / gap.max(1) as f32;
        if distance < SHORTEST {
            return self;
        }
        let distance = distance.min(CAP * self.in_force(default).millis_f32());
        if !self.is_settled() {
            return Self { millis: self.millis.max(distance), samples: self.samples + 1 };
        }
        let weight = (2.0 * distance / self.millis).min(1.0);
        Self { millis: self.millis + GAIN * weight * (distance - self.millis), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Span = Span::from_secs(10);

    fn after(distances: impl IntoIterator<Item = Span>) -> Learned {
        let learn = |learned: Learned, distance| learned.learn(distance, 1, DEFAULT);
        distances.into_iter().fold(Learned::default(), learn)
    }

    fn secs(learned: Learned) -> f64 {
        learned.in_force(DEFAULT).secs_f64()
    }

    /// Numbers from 0 to 1 that are the same on every run.
    fn random(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn a_quick_node_is_known_after_three_distances() {
        let quick = Span::from_millis(300);
        assert_eq!(after([]).in_force(DEFAULT), DEFAULT);
        assert_eq!(after([quick; 2]).in_force(DEFAULT), DEFAULT);
        assert!((secs(after([quick; 3])) - 0.3).abs() < 1e-6);
    }

    #[test]
    fn a_slow_node_is_known_though_the_default_is_shorter() {
        let slow = Span::from_secs(60);
        assert_eq!(secs(after([slow; 1])), 30.0, "no more than three times the default at once");
        assert_eq!(secs(after([slow; 3])), 60.0);
    }

    #[test]
    fn lost_heartbeats_are_not_slow_ones() {
        let learned = after([Span::from_millis(300); 10]);
        assert_eq!(learned.learn(Span::from_millis(1_500), 5, DEFAULT), learned);
    }

    #[test]
    fn one_pause_of_any_length_moves_it_by_a_quarter_and_is_forgotten_in_thirteen_heartbeats() {
        for pause in [Span::from_secs(30), Span::from_secs(86_400 * 365), Span::MAX] {
            let mut learned = after([Span::from_millis(300); 20]).learn(pause, 1, DEFAULT);
            assert!(secs(learned) <= 0.375_001, "{learned:?}");
            for _ in 0..13 {
                learned = learned.learn(Span::from_millis(300), 1, DEFAULT);
            }
            assert!(secs(learned) < 0.315, "{learned:?}");
        }
    }

    #[test]
    fn a_year_of_death_between_the_first_heartbeats_does_not_become_the_interval() {
        let year = Span::from_secs(86_400 * 365);
        let mut learned = after([Span::from_secs(1), year, Span::from_secs(1)]);
        assert_eq!(secs(learned), 30.0);
        for _ in 0..180 {
            learned = learned.learn(Span::from_secs(1), 1, DEFAULT);
        }
        assert!(secs(learned) < 1.05, "{learned:?}");
    }

    #[test]
    fn a_hundred_heartbeats_at_once_leave_the_interval_as_it_is() {
        for between in [Span::ZERO, Span::from_nanos(20_000), Span::from_millis(1)] {
            let mut learned = after([Span::from_secs(1); 20]).learn(Span::from_secs(100), 1, DEFAULT);
            for _ in 0..99 {
                learned = learned.learn(between, 1, DEFAULT);
            }
            assert!((1.0..=1.25).contains(&secs(learned)), "{between}: {learned:?}");
        }
    }

    #[test]
    fn a_sender_that_changes_its_pace_is_followed() {
        let mut learned = after([Span::from_millis(300); 20]);
        let mut slower = 0;
        while secs(learned) < 57.0 {
            learned = learned.learn(Span::from_secs(60), 1, DEFAULT);
            slower += 1;
        }
        assert!(slower <= 40, "{slower} heartbeats to follow from 300 ms to 60 s");
        let mut quicker = Span::ZERO;
        while secs(learned) > 6.3 {
            learned = learned.learn(Span::from_secs(6), 1, DEFAULT);
            quicker = quicker + Span::from_secs(6);
        }
        assert!(quicker <= Span::from_secs(60) * 7, "{quicker} to follow from 60 s to 6 s");
    }

    /// How far from one second the interval gets, as a share, and how often by more than a twentieth.
    fn strays(distances: impl Iterator<Item = f64>) -> (f64, u32) {
        let (mut learned, mut worst, mut often) = (after([Span::from_secs(1); 3]), 0.0, 0);
        for distance in distances {
            learned = learned.learn(Span::from_millis_f32(distance as f32), 1, DEFAULT);
            let off = (secs(learned) - 1.0).abs();
            worst = f64::max(worst, off);
            often += u32::from(off > 0.05);
        }
        (worst, often)
    }

    #[test]
    fn heartbeats_up_to_a_tenth_late_leave_it_within_a_twentieth() {
        let (mut state, mut before) = (1, 0.0);
        let (worst, _) = strays((0..100_000).map(|_| {
            let late = 100.0 * random(&mut state);
            let distance = 1_000.0 + late - before;
            before = late;
            distance
        }));
        assert!(worst < 0.05, "{worst}");
    }

    #[test]
    fn intervals_up_to_a_tenth_off_leave_it_within_a_twentieth_999_times_in_1000() {
        let mut state = 1;
        let (worst, often) = strays((0..100_000).map(|_| 900.0 + 200.0 * random(&mut state)));
        assert!(worst < 0.07 && often < 100, "{worst}, {often} times");
    }

    #[test]
    fn a_stated_interval_is_in_force_as_it_is() {
        for interval in [Span::from_millis(1), Span::from_millis(300), Span::from_secs(3_600)] {
            assert_eq!(Learned::settled(interval).in_force(DEFAULT), interval);
        }
        let nothing = Learned::settled(Span::ZERO);
        assert_eq!(Learned::from_parts(nothing.millis(), nothing.samples()), nothing);
    }

    #[test]
    fn parts_that_cannot_have_been_learned_mean_that_nothing_is_known() {
        for millis in [f32::NAN, f32::INFINITY, -1.0, 0.0] {
            assert_eq!(Learned::from_parts(millis, 3), Learned::default());
        }
        let learned = after([Span::from_millis(300); 3]);
        assert_eq!(Learned::from_parts(learned.millis(), learned.samples()), learned);
        assert!(Learned::from_parts(300.0, 255).is_settled());
    }
}
