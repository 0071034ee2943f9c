//! Bertier's detector: Chen's expectation with a margin as wide as the sender is unpunctual.
//!
//! TCP chooses its retransmission timeout from a smoothed round trip and a smoothed deviation
//! (Jacobson, 1988); Bertier, Marin and Sens (2002) do the same with the error of the prediction:
//! margin = beta * delay + phi * var. No margin has to be chosen, and that is the trouble: on a
//! punctual path the margin falls to nothing, and then the first lost heartbeat is a suspicion.
//! Hence a least and a most for it. Out of the box the least is the margin of `chen`, so that
//! three heartbeats may be lost here too; the paper's behaviour is `bertier:margin-min=0ms`.
//!
//! An error counts for `margin_max` at most. A single pause still widens the margin at once, by
//! up to gamma * (beta + phi) of `margin_max`, and it takes some twenty heartbeats to narrow again.

use super::{Beat, Memory, SettingError, schedule, within};
use crate::{Span, Wait};

pub(super) const NAME: &str = "bertier";

/// How the schedule is averaged: as in Chen's detector.
const GAIN: f32 = 1.0 / 16.0;

/// Where the offset of the schedule from the last arrival is kept, in milliseconds.
const OFFSET: usize = 0;
/// Where the smoothed lateness is kept, in milliseconds.
const DELAY: usize = 1;
/// Where the smoothed deviation from it is kept, in milliseconds.
const VAR: usize = 2;

/// Suspects a margin that it chooses itself after the next heartbeat is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bertier {
    /// How much of each error is learned; above 0, at most 1. Jacobson's 1/8.
    pub(super) gamma: f32,
    /// Weight of the smoothed lateness; 1 in the paper.
    pub(super) beta: f32,
    /// Weight of the smoothed deviation; 4 in the paper.
    pub(super) phi: f32,
    /// The margin on a path without jitter.
    pub(super) margin_min: Wait,
    /// The margin in the worst case.
    pub(super) margin_max: Wait,
}

impl Bertier {
    /// The paper's three constants with the limits for the margin. Where the limits cross for
    /// the interval of some node, since one is a time and the other a multiple, the upper one holds.
    ///
    /// # Errors
    /// A `gamma` outside 0.0001 to 1, a `beta` or `phi` outside 0 to 100, limits that always cross.
    pub fn new(gamma: f32, beta: f32, phi: f32, margin_min: Wait, margin_max: Wait) -> Result<Self, SettingError> {
        let crossed = match (margin_min, margin_max) {
            (Wait::Span(least), Wait::Span(most)) => least > most,
            (Wait::Intervals(least), Wait::Intervals(most)) => least > most,
            (Wait::Span(_), Wait::Intervals(_)) | (Wait::Intervals(_), Wait::Span(_)) => false,
        };
        if crossed {
            return Err(SettingError::Crossed { detector: NAME, least: "margin-min", most: "margin-max" });
        }
        Ok(Self {
            gamma: within(NAME, "gamma", gamma, 1e-4, 1.0)?,
            beta: within(NAME, "beta", beta, 0.0, 100.0)?,
            phi: within(NAME, "phi", phi, 0.0, 100.0)?,
            margin_min,
            margin_max,
        })
    }

    pub(super) fn heartbeat(self, memory: &mut Memory, beat: Beat) {
        let margin = self.margin(memory, beat.interval).millis_f32();
        let limit = self.margin_max.of(beat.interval).millis_f32();
        // What was learned at a longer interval than the present one is held to the present limit.
        let delay = memory.0[DELAY].clamp(-limit, limit);
        let var = memory.0[VAR].min(limit);
        let ahead = memory.0[OFFSET] + schedule::early(beat);
        let error = (-ahead - delay).clamp(-limit, limit);
        let fresh = ahead >= -margin;
        memory.0[OFFSET] = if fresh { schedule::settle(ahead, GAIN, margin) } else { 0.0 };
        memory.0[DELAY] = delay + self.gamma * error;
        memory.0[VAR] = var + self.gamma * (error.abs() - var);
    }

    pub(super) fn patience(self, memory: &Memory, interval: Span) -> Span {
        schedule::patience(interval, self.margin(memory, interval), memory.0[OFFSET])
    }

    pub(super) fn bound(self, interval: Span) -> Span {
        schedule::bound(interval, self.margin_max.of(interval))
    }

    fn margin(self, memory: &Memory, interval: Span) -> Span {
        let learned = Span::from_millis_f32(self.beta * memory.0[DELAY] + self.phi * memory.0[VAR]);
        learned.max(self.margin_min.of(interval)).min(self.margin_max.of(interval))
    }
}

impl Default for Bertier {
    fn default() -> Self {
        Self { gamma: 0.125, beta: 1.0, phi: 4.0, margin_min: Wait::Intervals(2.25), margin_max: Wait::Intervals(6.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA: Span = Span::from_secs(1);

    fn beat(elapsed: u64) -> Beat {
        Beat { elapsed: Span::from_millis(elapsed), gap: 1, interval: ETA }
    }

    fn paper() -> Bertier {
        Bertier { margin_min: Wait::Span(Span::ZERO), ..Bertier::default() }
    }

    #[test]
    fn the_first_error_counts_as_the_paper_says() {
        let mut memory = Memory::default();
        // Of an error of 160 ms, an eighth is delay and four eighths deviation: 20 + 80 of margin.
        paper().heartbeat(&mut memory, beat(1_160));
        assert_eq!(paper().margin(&memory, ETA), Span::from_millis(100));
    }

    #[test]
    fn on_a_punctual_path_the_paper_leaves_no_margin_and_the_default_leaves_its_least() {
        let mut memory = Memory::default();
        for _ in 0..100 {
            paper().heartbeat(&mut memory, beat(1_000));
        }
        assert_eq!(paper().patience(&memory, ETA), ETA);
        assert_eq!(Bertier::default().patience(&memory, ETA), Span::from_millis(3_250));
    }

    #[test]
    fn a_pause_of_a_year_counts_for_no_more_than_the_widest_margin() {
        let mut memory = Memory::default();
        Bertier::default().heartbeat(&mut memory, beat(31_536_000_000));
        // Five eighths of 6 s.
        assert_eq!(Bertier::default().margin(&memory, ETA), Span::from_millis(3_750));
        for _ in 0..20 {
            Bertier::default().heartbeat(&mut memory, beat(1_000));
        }
        assert_eq!(Bertier::default().patience(&memory, ETA), Span::from_millis(3_250));
    }

    #[test]
    fn what_was_learned_at_an_hour_is_soon_forgotten_at_a_second() {
        let mut memory = Memory::default();
        Bertier::default().heartbeat(&mut memory, Beat { elapsed: ETA * 36_000, gap: 1, interval: ETA * 3_600 });
        for _ in 0..40 {
            Bertier::default().heartbeat(&mut memory, beat(1_000));
        }
        assert_eq!(Bertier::default().patience(&memory, ETA), Span::from_millis(3_250));
    }

    #[test]
    fn limits_that_cross_are_refused_where_that_can_be_seen() {
        let (one, two) = (Wait::Intervals(1.0), Wait::Intervals(2.0));
        assert!(Bertier::new(0.125, 1.0, 4.0, two, one).is_err());
        let upper = Bertier::new(0.125, 1.0, 4.0, two, Wait::Span(ETA)).expect("depends on the interval");
        assert_eq!(upper.patience(&Memory::default(), ETA * 10), ETA * 11);
        assert!(Bertier::new(0.0, 1.0, 4.0, one, two).is_err());
        assert!(Bertier::new(0.125, -1.0, 4.0, one, two).is_err());
        assert!(Bertier::new(0.125, 1.0, f32::NAN, one, two).is_err());
    }
}
