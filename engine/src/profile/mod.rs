//! How the heartbeats of one group arrive: how late, and how many in a row never.
//!
//! ```text
//!   every heartbeat ──► Profile, one a shard: late by 3.2 ms, after a run of 2 that were lost
//!   whoever asks    ──► Whole: the profiles of all shards, put together
//! ```
//!
//! What is old fades: each time that [`FADE_AT`] heartbeats are counted, lateness and runs are halved
//! together, so that one always speaks of the same heartbeats as the other. Otherwise a bucket of 32
//! bits would be full after an hour at a million a second. The totals never fade.

mod runs;

use std::fmt;

use hdrhistogram::Histogram;
use systole_core::Span;

pub use runs::{Class, Runs};

/// What one shard heard from the nodes of one group.
#[derive(Clone)]
pub struct Profile {
    heartbeats: u64,
    lost: u64,
    lateness: Histogram<u32>,
    /// Of the latenesses in the histogram, in microseconds; exact, until they fade.
    moments: Moments,
    runs: Runs,
}

/// What all shards heard from the nodes of one group.
#[derive(Clone, Debug)]
pub struct Whole {
    heartbeats: u64,
    lost: u64,
    /// Counts in 64 bits: the sum of several shards can't overflow.
    lateness: Histogram<u64>,
    moments: Moments,
    runs: Runs,
}

/// A sum, a sum of squares, and a maximum, of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moments {
    sum: u128,
    squares: u128,
    /// The histogram's own is the upper edge of a bucket.
    max: u64,
}

/// How many heartbeats the lateness of a [`Profile`] speaks of at most.
pub const FADE_AT: u64 = 1 << 31;

/// Later than this counts as this: an hour, in microseconds.
const LATE_MAX: u64 = 3_600_000_000;

const _: () = assert!(FADE_AT <= u32::MAX as u64, "one bucket can hold all of them");

impl Profile {
    /// Nothing heard yet. Takes about 14 kB.
    pub fn new() -> Self {
        let lateness = new_histogram();
        Self { heartbeats: 0, lost: 0, lateness, moments: Moments::default(), runs: Runs::new() }
    }

    /// Notes a heartbeat that came `late`, after `lost` others that never came. Doesn't allocate,
    /// but where it fades.
    pub fn record(&mut self, late: Span, lost: u64) {
        self.heartbeats += 1;
        self.lost = self.lost.saturating_add(lost);
        let late = (late.nanos() / 1_000).min(LATE_MAX);
        self.lateness.saturating_record(late);
        self.moments.record(late);
        self.runs.record(lost);
        if self.lateness.len() >= FADE_AT {
            self.fade();
        }
    }

    /// Halves all counts: some thousand steps, once in a thousand million heartbeats.
    fn fade(&mut self) {
        let mut faded = new_histogram();
        for bucket in self.lateness.iter_recorded() {
            faded.saturating_record_n(bucket.value_iterated_to(), bucket.count_at_value() / 2);
        }
        self.moments.fade();
        // If the latest has faded away, the edge of the bucket that is the last now is smaller.
        self.moments.max = self.moments.max.min(faded.max());
        self.lateness = faded;
        self.runs.fade();
    }
}

impl Whole {
    /// Heartbeats heard since the start.
    pub const fn heartbeats(&self) -> u64 {
        self.heartbeats
    }

    /// Heartbeats that never came since the start.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// How many heartbeats lateness and runs speak of: all, until they fade.
    pub fn recent(&self) -> u64 {
        self.lateness.len()
    }

    /// Runs of heartbeats that never came, among those that it speaks of.
    pub const fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Of a hundred heartbeats so many came no later than this: where `quantile` is 0.5, half of them.
    /// A bucket stands for its upper edge, which the latest of all may not have reached: no point is beyond that.
    pub fn late_at(&self, quantile: f64) -> Span {
        micros(self.lateness.value_at_quantile(quantile).min(self.moments.max))
    }

    /// The latest; an hour at most.
    pub const fn late_max(&self) -> Span {
        micros(self.moments.max)
    }

    /// Mean and standard deviation of the lateness, in milliseconds; both 0 before the first heartbeat.
    pub fn late_mean_sd_ms(&self) -> (f64, f64) {
        let count = self.recent().max(1) as f64;
        let mean = self.moments.sum as f64 / count;
        let variance = (self.moments.squares as f64 / count - mean * mean).max(0.0);
        (mean / 1e3, variance.sqrt() / 1e3)
    }

    /// How many heartbeats came later than the end of the bucket before, and earlier than this one's end:
    /// (end, count), the earliest first, empty ones left out.
    pub fn late_buckets(&self) -> impl Iterator<Item = (Span, u64)> + '_ {
        // Latenesses are whole microseconds, cut off: one of 7 us may have been almost 8.
        let end = |bucket: u64| micros(self.lateness.highest_equivalent(bucket) + 1);
        self.lateness.iter_recorded().map(move |bucket| (end(bucket.value_iterated_to()), bucket.count_at_value()))
    }
}

impl<'a> FromIterator<&'a Profile> for Whole {
    fn from_iter<I: IntoIterator<Item = &'a Profile>>(parts: I) -> Self {
        let lateness = Histogram::new_from(&new_histogram());
        let mut whole = Self { heartbeats: 0, lost: 0, lateness, moments: Moments::default(), runs: Runs::new() };
        for part in parts {
            whole.heartbeats += part.heartbeats;
            whole.lost = whole.lost.saturating_add(part.lost);
            for bucket in part.lateness.iter_recorded() {
                whole.lateness.saturating_record_n(bucket.value_iterated_to(), u64::from(bucket.count_at_value()));
            }
            whole.moments.add(part.moments);
            whole.runs.add(&part.runs);
        }
        whole
    }
}

impl Moments {
    fn record(&mut self, micros: u64) {
        self.sum += u128::from(micros);
        self.squares += u128::from(micros) * u128::from(micros);
        self.max = self.max.max(micros);
    }

    fn fade(&mut self) {
        self.sum /= 2;
        self.squares /= 2;
    }

    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.squares += other.squares;
        self.max = self.max.max(other.max);
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("heartbeats", &self.heartbeats)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LATE_MAX, 2).expect("1 to an hour at two digits is a valid histogram")
}

const fn micros(micros: u64) -> Span {
    Span::from_nanos(micros * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heard(latenesses_us: &[u64]) -> Profile {
        let mut profile = Profile::new();
        latenesses_us.iter().for_each(|late| profile.record(micros(*late), 0));
        profile
    }

    #[test]
    fn lateness_fades_and_keeps_its_shape() {
        let mut profile = Profile::new();
        profile.lateness.saturating_record_n(1_000, (FADE_AT / 2) as u32);
        profile.lateness.saturating_record_n(9_000, (FADE_AT / 2 - 1) as u32);
        profile.runs.record(40);
        (0..9).for_each(|_| profile.runs.record(2));
        profile.record(Span::from_millis(9), 2);
        let whole: Whole = [&profile].into_iter().collect();
        assert_eq!((whole.recent(), whole.late_max()), (FADE_AT / 2, Span::from_millis(9)));
        assert!((990..=1_010).contains(&profile.lateness.value_at_quantile(0.4)));
        assert!((8_900..=9_100).contains(&profile.lateness.value_at_quantile(0.6)));
        let runs: Vec<Class> = whole.runs().classes().collect();
        assert_eq!(runs, [Class { from: 2, to: 2, count: 5 }], "runs fade with it");
        assert_eq!((whole.runs().lost(), whole.heartbeats(), whole.lost()), (30, 1, 2), "totals don't");
    }

    #[test]
    fn beyond_an_hour_counts_as_an_hour() {
        let profile = heard(&[3_000, 86_400_000_000]);
        let whole: Whole = [&profile].into_iter().collect();
        assert_eq!(whole.late_max(), Span::from_secs(3_600));
        assert!((2_950..3_050).contains(&(whole.late_at(0.5).nanos() / 1_000)));
    }

    #[test]
    fn nobody_heard_is_no_lateness() {
        let whole: Whole = [].into_iter().collect();
        assert_eq!((whole.recent(), whole.late_max(), whole.late_mean_sd_ms()), (0, Span::ZERO, (0.0, 0.0)));
        assert_eq!((whole.late_buckets().count(), whole.runs().classes().count()), (0, 0));
    }

    proptest! {
        #[test]
        fn mean_and_deviation_are_exact_and_every_heartbeat_lies_below_its_buckets_end(
            mut first in prop::collection::vec(0u64..5_000_000, 1..60),
            second in prop::collection::vec(0u64..200, 0..60),
        ) {
            let whole: Whole = [&heard(&first), &heard(&second)].into_iter().collect();
            first.extend(&second);
            first.sort_unstable();
            let n = first.len() as f64;
            let mean = first.iter().sum::<u64>() as f64 / n;
            let sd = (first.iter().map(|late| (*late as f64 - mean).powi(2)).sum::<f64>() / n).sqrt();
            let (told_mean, told_sd) = whole.late_mean_sd_ms();
            prop_assert!((told_mean * 1e3 - mean).abs() < 1e-6 * (1.0 + mean), "{told_mean} {mean}");
            prop_assert!((told_sd * 1e3 - sd).abs() < 1e-3 * (1.0 + sd), "{told_sd} {sd}");
            let mut rest = &first[..];
            for (end, count) in whole.late_buckets() {
                let below = rest.partition_point(|late| micros(*late) < end);
                prop_assert_eq!(below as u64, count);
                rest = &rest[below..];
            }
            prop_assert!(rest.is_empty());
        }
    }
}
