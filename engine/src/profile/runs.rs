//! How many heartbeats are lost in a row: 1 to 32 counted one by one, longer runs by powers of two.
//!
//! ```text
//!   length   1  2  3 ... 31  32 | 33..64  65..128 ... 2^31+1 and more
//!   class    0  1  2 ... 30  31 | 32      33          58
//! ```
//!
//! Where losses are independent a run of five is one in ten thousand million at 1 %; on a link with a
//! memory it is every fifth. A timeout is chosen by exactly this difference. Half a kilobyte, and
//! counting is one addition.

/// The lengths of runs of lost heartbeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    counts: [u64; CLASSES],
    lost: u64,
}

/// Runs of one length, or of lengths near each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// The shortest that belongs here.
    pub from: u64,
    /// The longest.
    pub to: u64,
    /// How many there were.
    pub count: u64,
}

/// Up to here each length is counted by itself.
const EXACT: u64 = 32;
/// What is longer counts as this.
const LONGEST: u64 = 1 << 32;
const CLASSES: usize = class(LONGEST) + 1;

impl Runs {
    /// None yet.
    pub const fn new() -> Self {
        Self { counts: [0; CLASSES], lost: 0 }
    }

    /// Counts a run of this length; nothing where nothing was lost.
    pub fn record(&mut self, length: u64) {
        if length > 0 {
            self.counts[class(length)] += 1;
            self.lost = self.lost.saturating_add(length);
        }
    }

    /// Heartbeats lost in all runs together.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The classes in which there are any, the shortest first.
    pub fn classes(&self) -> impl Iterator<Item = Class> + '_ {
        let classes = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        classes.map(|(class, count)| Class { from: shortest(class), to: shortest(class + 1) - 1, count: *count })
    }

    /// Halves all counts, rounded down: what was seen once is forgotten.
    pub(super) fn fade(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
        self.lost /= 2;
    }

    /// Adds what somebody else counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

/// The class of a run; `length` is at least 1.
const fn class(length: u64) -> usize {
    if length <= EXACT {
        return length as usize - 1;
    }
    let length = if length < LONGEST { length } else { LONGEST };
    // 33 to 64 are the numbers that, less one, have six bits.
    (EXACT + u64::BITS as u64 - (length - 1).leading_zeros() as u64 - 6) as usize
}

/// The shortest run of a class.
const fn shortest(class: usize) -> u64 {
    if class < EXACT as usize { class as u64 + 1 } else { (EXACT << (class - EXACT as usize)) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classes(runs: &Runs) -> Vec<(u64, u64, u64)> {
        runs.classes().map(|Class { from, to, count }| (from, to, count)).collect()
    }

    #[test]
    fn short_runs_are_told_apart_and_long_ones_by_powers_of_two() {
        let mut runs = Runs::new();
        [0, 1, 1, 31, 32, 33, 64, 65, 128, 129].into_iter().for_each(|length| runs.record(length));
        let expected = [(1, 1, 2), (31, 31, 1), (32, 32, 1), (33, 64, 2), (65, 128, 2), (129, 256, 1)];
        assert_eq!(classes(&runs), expected);
        assert_eq!(runs.lost(), 2 + 31 + 32 + 33 + 64 + 65 + 128 + 129);
    }

    #[test]
    fn what_is_longer_than_the_longest_counts_as_that() {
        let mut runs = Runs::new();
        [LONGEST, LONGEST + 1, u64::MAX].into_iter().for_each(|length| runs.record(length));
        assert_eq!(classes(&runs), [(LONGEST / 2 + 1, LONGEST, 3)]);
        assert_eq!(runs.lost(), u64::MAX);
    }

    proptest! {
        #[test]
        fn every_run_lies_within_its_class_and_classes_leave_no_gap(length in prop_oneof![1u64..300, 1u64..=LONGEST]) {
            let mut runs = Runs::new();
            runs.record(length);
            let Class { from, to, count } = runs.classes().next().unwrap();
            prop_assert!((from..=to).contains(&length) && count == 1);
            prop_assert_eq!((class(from), class(to), class(to.min(LONGEST - 1) + 1)), (class(length), class(length), (class(length) + 1).min(CLASSES - 1)));
        }

        #[test]
        fn two_halves_added_are_the_whole(lengths in prop::collection::vec(0u64..200, 0..50), cut: prop::sample::Index) {
            let counted = |lengths: &[u64]| {
                let mut runs = Runs::new();
                lengths.iter().for_each(|length| runs.record(*length));
                runs
            };
            let (front, back) = lengths.split_at(cut.index(lengths.len() + 1));
            let mut sum = counted(front);
            sum.add(&counted(back));
            prop_assert_eq!(sum, counted(&lengths));
        }
    }
}
