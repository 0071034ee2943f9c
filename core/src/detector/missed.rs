//! "Three missed": when the k-th heartbeat in a row is overdue by a margin.
//!
//! The rule that people say aloud, as a detector. For one interval it is a fixed timeout of k
//! intervals and a margin; in a group whose nodes beat at different intervals it gives each the
//! same number of heartbeats to lose. With independent loss p it errs with about every
//! (1/p)^k-th heartbeat: at 1 % and k = 3 once in a million, which for a million nodes that beat
//! once a second is once a second.

use super::{SettingError, within};
use crate::{Span, Wait};

pub(super) const NAME: &str = "missed";

/// Suspects `k` intervals and `margin` after the last heartbeat. Out of the box 3 and a quarter
/// of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Missed {
    pub(super) k: u32,
    pub(super) margin: Wait,
}

impl Missed {
    /// Forgives `k - 1` lost heartbeats in a row, and jitter up to `margin`.
    ///
    /// # Errors
    /// A `k` of zero or above a thousand.
    pub fn new(k: u32, margin: Wait) -> Result<Self, SettingError> {
        within(NAME, "k", k as f32, 1.0, 1_000.0)?;
        Ok(Self { k, margin })
    }

    pub(super) fn patience(self, interval: Span) -> Span {
        interval * u64::from(self.k) + self.margin.of(interval)
    }
}

impl Default for Missed {
    fn default() -> Self {
        Self { k: 3, margin: Wait::Intervals(0.25) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_missed_at_two_intervals_are_two_different_times() {
        let missed = Missed::new(3, Wait::Span(Span::from_millis(500))).expect("three");
        assert_eq!(missed.patience(Span::from_secs(1)), Span::from_millis(3_500));
        assert_eq!(missed.patience(Span::from_secs(60)), Span::from_millis(180_500));
    }

    #[test]
    fn missing_none_is_refused() {
        assert!(Missed::new(0, Wait::Intervals(0.25)).is_err());
        assert!(Missed::new(1_001, Wait::Intervals(0.25)).is_err());
    }
}
