//! How the heartbeats of one group arrive: how late, and how many never.
//!
//! Kept by each shard for its own nodes, on the path of every heartbeat; put together by whoever asks.

use std::fmt;

use hdrhistogram::Histogram;
use systole_core::Span;

/// What was heard from the nodes of one group.
///
/// The lateness of old heartbeats fades: each time [`FADE_AT`] of them are counted, all counts are
/// halved. Otherwise a bucket of 32 bits would be full after an hour at a million a second.
#[derive(Clone)]
pub struct Profile {
    pub(crate) heartbeats: u64,
    pub(crate) lost: u64,
    pub(crate) lateness: Histogram<u32>,
    /// The latest, in microseconds: the histogram's own is the upper edge of a bucket.
    pub(crate) late_max: u64,
}

/// How many heartbeats the lateness of a [`Profile`] speaks of at most.
pub const FADE_AT: u64 = 1 << 31;

/// Later than this counts as this: an hour, in microseconds.
const LATE_MAX: u64 = 3_600_000_000;

const _: () = assert!(FADE_AT <= u32::MAX as u64, "one bucket can hold all of them");

impl Profile {
    /// Nothing heard yet. Takes about 13 kB.
    pub fn new() -> Self {
        Self { heartbeats: 0, lost: 0, lateness: new_histogram(), late_max: 0 }
    }

    /// Notes a heartbeat that came `late`, after `lost` others that never came.
    pub fn record(&mut self, late: Span, lost: u64) {
        self.heartbeats += 1;
        self.lost = self.lost.saturating_add(lost);
        let late = (late.nanos() / 1_000).min(LATE_MAX);
        self.lateness.saturating_record(late);
        self.late_max = self.late_max.max(late);
        if self.lateness.len() >= FADE_AT {
            self.fade();
        }
    }

    /// Halves all counts: some thousand steps, once in two thousand million heartbeats.
    fn fade(&mut self) {
        let mut faded = new_histogram();
        for bucket in self.lateness.iter_recorded() {
            faded.saturating_record_n(bucket.value_iterated_to(), bucket.count_at_value() / 2);
        }
        // If the latest has faded away, the edge of the bucket that is the last now is smaller.
        self.late_max = self.late_max.min(faded.max());
        self.lateness = faded;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_fades_and_keeps_its_shape() {
        let mut profile = Profile::new();
        profile.lateness.saturating_record_n(1_000, (FADE_AT / 2) as u32);
        profile.lateness.saturating_record_n(9_000, (FADE_AT / 2 - 1) as u32);
        profile.record(Span::from_millis(9), 0);
        assert_eq!(profile.lateness.len(), FADE_AT / 2);
        assert_eq!(profile.late_max, 9_000);
        assert!((990..=1_010).contains(&profile.lateness.value_at_quantile(0.4)));
        assert!((8_900..=9_100).contains(&profile.lateness.value_at_quantile(0.6)));
    }
}
