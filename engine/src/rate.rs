//! How many a second, over the last ten whole seconds.

use systole_core::Instant;

const SECONDS: usize = 10;

/// Counts per second in a ring of ten seconds and the one that is running.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    counts: [u64; SECONDS + 1],
    /// The second that is running.
    second: u64,
    /// The second in which counting began.
    start: u64,
}

impl Rate {
    /// Begins to count at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        let second = second(now);
        Self { counts: [0; SECONDS + 1], second, start: second }
    }

    /// Counts `many` at `now`.
    pub(crate) fn add(&mut self, now: Instant, many: u64) {
        self.advance(now);
        self.counts[slot(self.second)] += many;
    }

    /// How many a second there were in the ten seconds before the one that is running, or since
    /// the start if that is less.
    pub(crate) fn per_second(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let whole = (self.second - self.start).min(SECONDS as u64);
        if whole == 0 {
            return self.counts[slot(self.second)] as f64;
        }
        let sum: u64 = self.counts.iter().sum::<u64>() - self.counts[slot(self.second)];
        sum as f64 / whole as f64
    }

    fn advance(&mut self, now: Instant) {
        let now = second(now);
        let passed = now.saturating_sub(self.second);
        for step in 1..=passed.min(SECONDS as u64 + 1) {
            self.counts[slot(self.second + step)] = 0;
        }
        self.second = self.second.max(now);
    }
}

fn second(now: Instant) -> u64 {
    now.nanos() / 1_000_000_000
}

fn slot(second: u64) -> usize {
    (second % (SECONDS as u64 + 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::Span;

    #[test]
    fn a_steady_stream_shows_its_rate_and_silence_shows_none() {
        let start = Instant::from_nanos(5_300_000_000);
        let mut rate = Rate::new(start);
        for tenth in 0..300 {
            rate.add(start + Span::from_millis(100) * tenth, 7);
        }
        let end = start + Span::from_secs(30);
        assert!((rate.per_second(end) - 70.0).abs() < 1e-9);
        assert!((rate.per_second(end + Span::from_secs(5)) - 35.0).abs() < 7.0);
        assert!(rate.per_second(end + Span::from_secs(1_000_000)) < 1e-9);
    }

    #[test]
    fn in_the_first_second_the_count_itself_is_the_rate() {
        let start = Instant::from_nanos(5_000_000_000);
        let mut rate = Rate::new(start);
        rate.add(start, 42);
        assert!((rate.per_second(start) - 42.0).abs() < 1e-9);
    }
}
