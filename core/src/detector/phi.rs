//! Phi: when silence has become as improbable as a heartbeat that never comes.
//!
//! Phi = -log10(probability that the heartbeat still comes this late), under a distribution fitted
//! to the distances between heartbeats (Hayashibara and others, "The phi accrual failure
//! detector", 2004). Phi 8 says: one in a hundred million, if the distribution were true. It isn't:
//! losses and pauses are no part of it, so `pause` is what makes it fit for use, and phi is a knob.
//!
//! Phi reaches its threshold z standard deviations after the mean, and z depends on the threshold
//! alone: it is worked out once, here, and a heartbeat costs no logarithm. Each distance is divided
//! by the sequence gap and counts for two intervals at most; see [`Phi`] for what that is worth.

use core::f64::consts::{LN_10, PI, SQRT_2};

use super::{Beat, Memory, SettingError, within};
use crate::{Span, Wait};

pub(super) const NAME: &str = "phi";

/// Mean and variance follow each distance by this much: a memory of about a hundred heartbeats.
const GAIN: f32 = 1.0 / 64.0;

/// A distance counts for so many intervals at most.
const CAP: u64 = 2;

/// The pause out of the box.
pub(super) const PAUSE: Wait = Wait::Intervals(2.0);
/// The least standard deviation out of the box.
pub(super) const SD_MIN: Wait = Wait::Intervals(0.05);

/// Where the mean distance is kept, in milliseconds.
const MEAN: usize = 0;
/// Where the variance of the distances is kept, in milliseconds squared.
const VARIANCE: usize = 1;

/// The distribution of the distance between two heartbeats, of which only the tail matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tail {
    /// The normal distribution of the paper.
    Normal {
        /// Silence that is forgiven on top.
        pause: Wait,
        /// The least standard deviation, for paths without jitter.
        sd_min: Wait,
    },
    /// The logistic curve by which Akka and Pekko approximate the normal distribution.
    Logistic {
        /// Silence that is forgiven on top (`acceptable-heartbeat-pause`).
        pause: Wait,
        /// The least standard deviation (`min-std-deviation`).
        sd_min: Wait,
    },
    /// The exponential distribution of Cassandra: a multiple of the mean, at threshold 8 the 18.4-fold.
    Exponential,
}

/// Suspects when phi reaches a threshold. Out of the box 8, with the normal tail, a pause of two
/// intervals and a least standard deviation of a twentieth.
///
/// Divided by the gap, a lost heartbeat isn't taken for a slow sender. At 1 % loss, without a
/// pause and at the same mean detection time of 2.1 intervals, that leaves 110 mistakes in a million
/// heartbeats instead of 5,900.
///
/// Capped, a pause of whatever length makes it at most half an interval more patient at threshold
/// 8. Uncapped, one of a hundred intervals would leave a deviation of 12 behind, and a death soon
/// after would go unseen for more than sixty. In return a sender slower than two of its declared
/// intervals is never wholly believed; `pause` has to cover it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phi {
    pub(super) threshold: f32,
    pub(super) tail: Tail,
    /// So many standard deviations after the mean, or so many means: where phi is the threshold.
    reach: f32,
}

impl Phi {
    /// Suspects at a phi of `threshold`.
    ///
    /// # Errors
    /// A threshold outside 0.1 to 30.
    pub fn new(threshold: f32, tail: Tail) -> Result<Self, SettingError> {
        let threshold = within(NAME, "threshold", threshold, 0.1, 30.0)?;
        let reach = match tail {
            Tail::Normal { .. } => normal_reach(f64::from(threshold)),
            Tail::Logistic { .. } => logistic_reach(f64::from(threshold)),
            Tail::Exponential => f64::from(threshold) * LN_10,
        };
        Ok(Self { threshold, tail, reach: reach as f32 })
    }

    /// A first guess as Akka makes it: the declared interval, and a quarter of it as deviation.
    pub(super) fn start(self, interval: Span) -> Memory {
        let mean = interval.millis_f32();
        let deviation = 0.25 * mean;
        Memory([mean, deviation * deviation, 0.0])
    }

    pub(super) fn heartbeat(self, memory: &mut Memory, beat: Beat) {
        let each = Span::from_nanos(beat.elapsed.nanos() / beat.gap.max(1));
        let cap = (beat.interval * CAP).millis_f32();
        let distance = each.millis_f32().min(cap);
        // What was learned at a longer interval than the present one is held to the present cap.
        let mean = memory.0[MEAN].min(cap);
        let variance = memory.0[VARIANCE].min(0.25 * cap * cap);
        let off = distance - mean;
        let step = GAIN * off;
        memory.0[MEAN] = mean + step;
        memory.0[VARIANCE] = (1.0 - GAIN) * (variance + off * step);
    }

    pub(super) fn patience(self, memory: &Memory, interval: Span) -> Span {
        // Held to the limits here too, since the interval may have shrunk meanwhile. Numbers between
        // nothing and the cap deviate from their mean by half the cap at most.
        let cap = interval * CAP;
        let mean = Span::from_millis_f32(memory.0[MEAN]).min(cap);
        let deviation = Span::from_millis_f32(libm::sqrtf(memory.0[VARIANCE])).min(half(cap));
        self.after(mean, deviation, interval)
    }

    pub(super) fn bound(self, interval: Span) -> Span {
        let cap = interval * CAP;
        // Below phi 0.3 the threshold lies before the mean: the widest spread is the least patient.
        let deviation = if self.reach < 0.0 { Span::ZERO } else { half(cap) };
        self.after(cap, deviation, interval)
    }

    fn after(self, mean: Span, deviation: Span, interval: Span) -> Span {
        match self.tail {
            Tail::Normal { pause, sd_min } | Tail::Logistic { pause, sd_min } => {
                let deviation = deviation.max(sd_min.of(interval));
                let base = mean + pause.of(interval);
                base + deviation.scale(self.reach.max(0.0)) - deviation.scale((-self.reach).max(0.0))
            }
            Tail::Exponential => mean.scale(self.reach),
        }
    }
}

impl Default for Phi {
    fn default() -> Self {
        let tail = Tail::Normal { pause: PAUSE, sd_min: SD_MIN };
        Self { threshold: 8.0, tail, reach: normal_reach(8.0) as f32 }
    }
}

/// The z at which a normal variable is greater with probability 10^-phi.
///
/// Newton's method on ln Q(z) = -phi ln 10 and not on Q itself, which is too flat to find its way
/// on. ln Q is concave and Q(z) < exp(-z^2 / 2) / 2 for positive z, so from sqrt(2 phi ln 10)
/// each step comes nearer from above and none can miss.
fn normal_reach(phi: f64) -> f64 {
    let target = -phi * LN_10;
    let mut z = libm::sqrt(-2.0 * target);
    for _ in 0..64 {
        let tail = 0.5 * libm::erfc(z / SQRT_2);
        let density = libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * PI);
        let step = (libm::log(tail) - target) * tail / density;
        z += step;
        if libm::fabs(step) < 1e-14 {
            break;
        }
    }
    z
}

/// The y at which Akka's logistic curve says phi: with e = exp(-y (1.5976 + 0.070566 y^2)) it
/// takes the probability of a later heartbeat for e / (1 + e), so that the exponent is
/// ln(10^phi - 1). Newton's method again, from outside, where the cubic is the steeper.
fn logistic_reach(phi: f64) -> f64 {
    let exponent = phi * LN_10 + libm::log1p(-libm::exp(-phi * LN_10));
    let mut y = exponent / 1.5976;
    for _ in 0..64 {
        let step = (y * (1.5976 + 0.070566 * y * y) - exponent) / (1.5976 + 3.0 * 0.070566 * y * y);
        y -= step;
        if libm::fabs(step) < 1e-14 {
            break;
        }
    }
    y
}

fn half(span: Span) -> Span {
    Span::from_nanos(span.nanos() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA: Span = Span::from_secs(1);
    const NONE: Wait = Wait::Span(Span::ZERO);

    fn beat(elapsed: Span, gap: u64) -> Beat {
        Beat { elapsed, gap, interval: ETA }
    }

    #[test]
    fn the_normal_tail_is_reached_where_the_tables_say() {
        for (phi, z) in [(8.0, 5.612001), (5.0, 4.264891), (3.0, 3.090232), (1.0, 1.281552)] {
            assert!((normal_reach(phi) - z).abs() < 6e-7, "{phi}: {}", normal_reach(phi));
        }
    }

    #[test]
    fn the_logistic_tail_is_reached_where_akka_reaches_it() {
        for (phi, y) in [(8.0, 5.225987), (5.0, 4.119191), (3.0, 3.058938), (1.0, 1.282215)] {
            assert!((logistic_reach(phi) - y).abs() < 6e-7, "{phi}: {}", logistic_reach(phi));
        }
    }

    #[test]
    fn both_reaches_solve_their_equation_over_the_whole_range() {
        for tenths in 1..=300 {
            let phi = f64::from(tenths) / 10.0;
            let normal = -libm::log10(0.5 * libm::erfc(normal_reach(phi) / SQRT_2));
            assert!((normal / phi - 1.0).abs() < 1e-12, "normal {phi}: {normal}");
            let y = logistic_reach(phi);
            let e = libm::exp(-y * (1.5976 + 0.070566 * y * y));
            let logistic = -libm::log10(e / (1.0 + e));
            assert!((logistic / phi - 1.0).abs() < 1e-12, "logistic {phi}: {logistic}");
        }
    }

    #[test]
    fn the_exponential_tail_at_8_is_18_42068_means() {
        let phi = Phi::new(8.0, Tail::Exponential).expect("in range");
        let patience = phi.patience(&phi.start(ETA), ETA);
        assert!((patience.secs_f64() - 18.42068).abs() < 5e-6, "{patience}");
    }

    #[test]
    fn akkas_settings_on_a_quiet_network_are_a_timeout_of_4_52_seconds() {
        let pause = Wait::Span(Span::from_secs(3));
        let sd_min = Wait::Span(Span::from_millis(100));
        let phi = Phi::new(8.0, Tail::Logistic { pause, sd_min }).expect("in range");
        let mut memory = phi.start(ETA);
        for _ in 0..1_000 {
            phi.heartbeat(&mut memory, beat(ETA, 1));
        }
        let patience = phi.patience(&memory, ETA);
        assert!((patience.secs_f64() - 4.522_599).abs() < 1e-6, "{patience}");
    }

    #[test]
    fn a_lost_heartbeat_is_not_a_slow_one() {
        let phi = Phi::default();
        let mut memory = phi.start(ETA);
        for _ in 0..1_000 {
            phi.heartbeat(&mut memory, beat(ETA, 1));
        }
        let quiet = memory;
        phi.heartbeat(&mut memory, beat(ETA * 5, 5));
        assert_eq!(memory.0[MEAN], quiet.0[MEAN]);
        assert_eq!(phi.patience(&memory, ETA), phi.patience(&quiet, ETA));
    }

    #[test]
    fn a_pause_of_any_length_costs_half_an_interval_of_patience() {
        let phi = Phi::default();
        for pause in [ETA * 3, ETA * 100, Span::MAX] {
            let mut memory = phi.start(ETA);
            for _ in 0..1_000 {
                phi.heartbeat(&mut memory, beat(ETA, 1));
            }
            let before = phi.patience(&memory, ETA);
            phi.heartbeat(&mut memory, beat(pause, 1));
            let after = phi.patience(&memory, ETA);
            assert!(after > before && after < before + half(ETA), "{before}, then {after}");
        }
    }

    #[test]
    fn a_shrunken_interval_is_not_held_to_what_was_learned_before() {
        let phi = Phi::default();
        let memory = phi.start(ETA * 3_600);
        assert!(phi.patience(&memory, ETA) <= phi.bound(ETA));
    }

    #[test]
    fn a_threshold_before_the_mean_is_before_the_mean() {
        let phi = Phi::new(0.1, Tail::Normal { pause: NONE, sd_min: NONE }).expect("in range");
        let patience = phi.patience(&phi.start(ETA), ETA);
        assert!(patience < ETA && patience > Span::from_millis(790), "{patience}");
        assert_eq!(phi.bound(ETA), ETA * CAP);
    }

    #[test]
    fn a_threshold_out_of_range_is_refused() {
        for threshold in [0.0, 0.09, 30.1, -8.0, f32::NAN, f32::INFINITY] {
            assert!(Phi::new(threshold, Tail::Exponential).is_err(), "{threshold}");
        }
    }
}
