//! Chen's NFD-E: a margin after the instant at which the next heartbeat is expected.
//!
//! Chen, Toueg and Aguilera ("On the Quality of Service of Failure Detectors", IEEE Transactions on
//! Computers 51(5), 2002) estimate it as the mean of the last n arrivals, shifted to one schedule.
//! We keep one float in place of n timestamps and average with a gain of 1/16, as steady as a mean
//! of n = 2/g - 1 = 31.
//!
//! Two things are ours. A heartbeat that comes after its own freshness point shows that the
//! schedule has shifted (a pause, a laptop that woke up), so the schedule restarts at its arrival:
//! averaged in, the shift would leave every deadline too early for the next thirty heartbeats. And
//! the schedule stays within half a margin of the last arrival: a sender that is slower than it
//! declares isn't accused for that alone, and no deadline lies beyond eta + 1.5 alpha.

use super::{Beat, Memory, SettingError, schedule, within};
use crate::{Span, Wait};

pub(super) const NAME: &str = "chen";

/// Where the offset of the schedule from the last arrival is kept, in milliseconds.
const OFFSET: usize = 0;

/// Suspects `margin` (the paper's alpha) after the next heartbeat is expected. Out of the box
/// 2.25 intervals and a gain of 1/16.
///
/// Against a fixed timeout of an interval and the same margin, whose mean detection time is the
/// same, that buys no mistake fewer while only losses matter, and up to half of them where the
/// delay varies. In a million heartbeats, with a margin of 1.25 and exponential delays, in intervals
/// (`tests/detectors.rs` computes this table):
///
/// | loss | mean delay | mistakes: fixed | chen | worst detection: fixed | chen |
/// |---|---|---|---|---|---|
/// | 1 % | 0.02 | 113 | 113 | 2.50 | 2.30 |
/// | 1 % | 0.1 | 532 | 415 | 3.51 | 2.89 |
/// | none | 0.2 | 188 | 89 | 4.07 | 4.07 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chen {
    pub(super) margin: Wait,
    pub(super) gain: f32,
}

impl Chen {
    /// Follows the sender's schedule by `gain` of each deviation. With a gain of 1 the schedule
    /// is the last arrival, and this is a fixed timeout of an interval and the margin.
    ///
    /// # Errors
    /// A gain outside 0.0001 to 1.
    pub fn new(margin: Wait, gain: f32) -> Result<Self, SettingError> {
        Ok(Self { margin, gain: within(NAME, "gain", gain, 1e-4, 1.0)? })
    }

    pub(super) fn heartbeat(self, memory: &mut Memory, beat: Beat) {
        let margin = self.margin.of(beat.interval).millis_f32();
        let ahead = memory.0[OFFSET] + schedule::early(beat);
        let fresh = ahead >= -margin;
        memory.0[OFFSET] = if fresh { schedule::settle(ahead, self.gain, margin) } else { 0.0 };
    }

    pub(super) fn patience(self, memory: &Memory, interval: Span) -> Span {
        schedule::patience(interval, self.margin.of(interval), memory.0[OFFSET])
    }

    pub(super) fn bound(self, interval: Span) -> Span {
        schedule::bound(interval, self.margin.of(interval))
    }
}

impl Default for Chen {
    fn default() -> Self {
        Self { margin: Wait::Intervals(2.25), gain: 1.0 / 16.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA: Span = Span::from_secs(1);

    fn millis(elapsed: u64, gap: u64) -> Beat {
        Beat { elapsed: Span::from_millis(elapsed), gap, interval: ETA }
    }

    fn patience_after(beats: &[Beat]) -> Span {
        let chen = Chen::new(Wait::Span(ETA), 0.0625).expect("in range");
        let mut memory = Memory::default();
        for beat in beats {
            chen.heartbeat(&mut memory, *beat);
        }
        chen.patience(&memory, ETA)
    }

    #[test]
    fn a_late_heartbeat_moves_the_next_deadline_by_a_sixteenth_of_its_lateness() {
        // Predicted at 1.0, arrived at 1.32: S is 1.02, the deadline 3.02, and 1.7 after the arrival.
        assert_eq!(patience_after(&[millis(1_320, 1)]), Span::from_millis(1_700));
    }

    #[test]
    fn lost_heartbeats_leave_the_schedule_where_it_is() {
        assert_eq!(patience_after(&[millis(7_000, 7)]), Span::from_secs(2));
        // Overdue by the loss, but in time by its own number: no shift.
        assert_eq!(patience_after(&[millis(7_320, 7)]), Span::from_millis(1_700));
    }

    #[test]
    fn a_heartbeat_after_its_own_freshness_point_restarts_the_schedule() {
        assert_eq!(patience_after(&[millis(2_001, 1)]), Span::from_secs(2));
        assert_eq!(patience_after(&[millis(30_000, 1), millis(1_000, 1)]), Span::from_secs(2));
        // Just in time: it counts as jitter, as far as jitter goes.
        assert_eq!(patience_after(&[millis(2_000, 1)]), Span::from_millis(1_500));
    }

    #[test]
    fn a_sender_slower_than_it_declares_keeps_half_its_margin() {
        assert_eq!(patience_after(&[millis(1_200, 1); 1_000]), Span::from_millis(1_500));
    }

    #[test]
    fn a_sender_quicker_than_it_declares_gains_half_a_margin_at_most() {
        assert_eq!(patience_after(&[millis(500, 1); 1_000]), Span::from_millis(2_500));
        assert_eq!(Chen::new(Wait::Span(ETA), 0.0625).map(|chen| chen.bound(ETA)), Ok(Span::from_millis(2_500)));
    }

    #[test]
    fn a_held_up_network_that_lets_all_go_at_once_is_forgiven() {
        let mut beats = [millis(0, 1); 10];
        beats[0] = millis(10_000, 1);
        assert_eq!(patience_after(&beats), Span::from_millis(2_500));
    }

    #[test]
    fn a_gain_outside_its_range_is_refused() {
        assert!(Chen::new(Wait::Span(ETA), 0.0).is_err());
        assert!(Chen::new(Wait::Span(ETA), 1.5).is_err());
    }
}
