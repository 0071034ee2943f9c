//! Two windows: Chen's expectation averaged slowly, but never earlier than the last arrival says.
//!
//! A long average knows the schedule well and notices a change late; a short one the reverse.
//! 2W-FD (Tomsic, Sens, Garcia, Arantes, Sopena, 2015) keeps both and believes the later. With
//! windows of one and about a thousand the short one is the last arrival itself. So a burst of
//! delay never makes it less patient than a fixed timeout of eta + delta, and a heartbeat that
//! arrived early is given its full time. The price: it never gains on a late one either, so it
//! takes a little longer than Chen's to see a death. The limits on the schedule are Chen's.

use super::{Beat, Memory, SettingError, schedule, within};
use crate::{Span, Wait};

pub(super) const NAME: &str = "two-window";

/// Where the offset of the slow schedule from the last arrival is kept, in milliseconds.
const OFFSET: usize = 0;

/// Suspects `margin` (the paper's delta) after the later of two expectations. Out of the box
/// 2.25 intervals and a gain of 1/1024.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoWindow {
    pub(super) margin: Wait,
    pub(super) gain: f32,
}

impl TwoWindow {
    /// The slow window follows the sender by `gain` of each deviation.
    ///
    /// # Errors
    /// A gain outside 0.0001 to 1.
    pub fn new(margin: Wait, gain: f32) -> Result<Self, SettingError> {
        Ok(Self { margin, gain: within(NAME, "gain", gain, 1e-4, 1.0)? })
    }

    pub(super) fn heartbeat(self, memory: &mut Memory, beat: Beat) {
        let margin = self.margin.of(beat.interval).millis_f32();
        let offset = memory.0[OFFSET];
        let early = schedule::early(beat);
        let fresh = offset.max(0.0) + early >= -margin;
        memory.0[OFFSET] = if fresh { schedule::settle(offset + early, self.gain, margin) } else { 0.0 };
    }

    pub(super) fn patience(self, memory: &Memory, interval: Span) -> Span {
        schedule::patience(interval, self.margin.of(interval), memory.0[OFFSET].max(0.0))
    }

    pub(super) fn bound(self, interval: Span) -> Span {
        schedule::bound(interval, self.margin.of(interval))
    }
}

impl Default for TwoWindow {
    fn default() -> Self {
        Self { margin: Wait::Intervals(2.25), gain: 1.0 / 1024.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA: Span = Span::from_secs(1);

    fn micros(micros: u64) -> Span {
        Span::from_nanos(micros * 1_000)
    }

    fn patience_after(elapsed: &[u64]) -> Span {
        let two_window = TwoWindow::new(Wait::Span(ETA), 1.0 / 1024.0).expect("in range");
        let mut memory = Memory::default();
        for elapsed in elapsed {
            let beat = Beat { elapsed: Span::from_millis(*elapsed), gap: 1, interval: ETA };
            two_window.heartbeat(&mut memory, beat);
        }
        two_window.patience(&memory, ETA)
    }

    #[test]
    fn a_late_heartbeat_does_not_shorten_the_wait() {
        assert_eq!(patience_after(&[1_400]), Span::from_secs(2));
        assert_eq!(patience_after(&[1_400; 100]), Span::from_secs(2));
    }

    #[test]
    fn an_early_heartbeat_keeps_the_deadline_of_its_schedule() {
        // 300 ms early: S stays 300 ms after the arrival, less a thousandth.
        let patience = patience_after(&[700]);
        assert!(patience > micros(2_299_500) && patience < micros(2_300_000), "{patience}");
    }

    #[test]
    fn after_a_pause_the_slow_window_starts_again() {
        // Had it kept its schedule, the heartbeat 300 ms early would still look half a margin late.
        let patience = patience_after(&[30_000, 700]);
        assert!(patience > micros(2_299_500) && patience < micros(2_300_000), "{patience}");
    }

    #[test]
    fn running_ahead_is_worth_half_a_margin_at_most() {
        assert_eq!(patience_after(&[100; 1_000]), Span::from_millis(2_500));
    }
}
