//! The longest interval that meets a requirement, among round ones.
//!
//! ```text
//!   4s ✕   3s ✕   2.5s ✕   2s ✕   1.5s ✓   ← from the longest down, and the first that does it
//! ```
//! Downwards and not by halving: where one heartbeat more fits into the detection time the rate of
//! false failures falls by a step, and between two steps it rises again as the interval shrinks, so
//! that an interval may fail though a longer one does it. The long ones cost next to nothing to
//! refute: what happens often is quickly counted.

use serde::Serialize;
use systole_core::Span;
use systole_core::detector::Detector;

use super::network::Network;
use super::settings::Settings;
use crate::frequency::Frequency;
use crate::rare::{Doubt, Effort, Event, Rarity, estimate};

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// From a crash to `failed`, at most, for 99.9 % of the last heartbeats' delays.
    pub detect_within: Span,
    /// In the whole fleet, at most.
    pub false_failures: Frequency,
    /// The fleet.
    pub nodes: u64,
    /// Heartbeats of the whole fleet, at most.
    pub max_rate: Option<Frequency>,
    /// The detector, whose patience is what is looked for.
    pub kind: Detector,
}

impl Demand {
    /// False failures per second of one node, at most.
    pub fn allowed(&self) -> f64 {
        self.false_failures.per_second() / self.nodes as f64
    }

    /// What is left of the detection time for the detector: from the last arrival to the verdict.
    pub fn budget(&self, network: &Network) -> Option<Span> {
        let spent = network.reach() + TICK;
        (self.detect_within > spent).then(|| self.detect_within - spent)
    }

    /// The shortest interval that the fleet's rate, the product and reason allow.
    pub fn interval_min(&self) -> Span {
        let rate = self.max_rate.map_or(0.0, |rate| self.nodes as f64 / rate.per_second());
        let beats = Span::from_nanos(self.detect_within.nanos() / BEATS_MAX);
        Span::from_nanos((rate * 1e9) as u64).max(INTERVAL_MIN).max(beats)
    }

    /// Round intervals, from the longest that leaves a heartbeat's time to the shortest allowed.
    pub fn intervals(&self) -> Vec<Span> {
        let least = self.interval_min();
        let all = round_spans().filter(|span| *span >= least && *span < self.detect_within);
        let mut intervals: Vec<Span> = all.collect();
        intervals.reverse();
        intervals
    }
}

/// Settings, and how often they are wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The settings.
    pub settings: Settings,
    /// False failures of one node.
    pub failures: Rarity,
    /// Whether that is rare enough.
    pub verdict: Verdict,
    /// With which seed that was found.
    pub seed: u64,
}

/// Whether a requirement is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval of confidence is below it.
    Meets,
    /// The whole interval is above it.
    Fails,
    /// It lies within, or the interval can't be trusted, even after the greatest effort.
    Unsure,
}

impl Tried {
    /// Whether it is worth a verification: what lies on the edge may turn out well with more effort.
    pub(super) fn promises(&self, allowed: f64) -> bool {
        match self.verdict {
            Verdict::Meets => true,
            Verdict::Fails => false,
            Verdict::Unsure => self.failures.doubt.is_none() && self.failures.rate_per_s <= allowed,
        }
    }
}

impl Verdict {
    fn of(rarity: &Rarity, allowed: f64) -> Self {
        match rarity.doubt {
            None | Some(Doubt::Unseen) if rarity.ci_high <= allowed => Self::Meets,
            None if rarity.ci_low > allowed => Self::Fails,
            // Far too often is certain even where how often isn't.
            Some(Doubt::Extinct(_) | Doubt::Skewed(_) | Doubt::Wide(_)) if rarity.ci_low > 3.0 * allowed => Self::Fails,
            None | Some(Doubt::Unseen | Doubt::Extinct(_) | Doubt::Skewed(_) | Doubt::Wide(_)) => Self::Unsure,
        }
    }
}

/// Tries settings on one network.
pub(super) struct Judge<'a> {
    pub(super) network: &'a Network,
    pub(super) allowed: f64,
    pub(super) seed: u64,
    pub(super) efforts: &'a [Effort],
    pub(super) progress: &'a (dyn Fn(&str, f64) + Sync),
}

impl Judge<'_> {
    /// Whether these settings are wrong rarely enough; more effort while it isn't clear.
    pub(super) fn failures(&self, settings: Settings) -> Tried {
        let question =
            settings.question(self.network.loss_at(settings.interval), self.network.delay.clone(), Event::Failure);
        let what = format!("false failures at {}", settings.interval.compact());
        let mut rarity = None;
        for effort in self.efforts {
            let found = estimate(&question, *effort, self.seed, &|share| (self.progress)(&what, share));
            let clear = Verdict::of(&found, self.allowed) != Verdict::Unsure;
            rarity = Some(found);
            if clear {
                break;
            }
        }
        let failures = rarity.expect("at least one effort is made");
        Tried { settings, verdict: Verdict::of(&failures, self.allowed), failures, seed: self.seed }
    }

    /// How often these settings suspect a node that is up.
    pub(super) fn suspicions(&self, settings: Settings) -> Rarity {
        let loss = self.network.loss_at(settings.interval);
        let question = settings.question(loss, self.network.delay.clone(), Event::Suspicion);
        let effort = self.efforts[self.efforts.len() - 1];
        estimate(&question, effort, self.seed, &|share| (self.progress)("suspicions", share))
    }
}

/// The longest interval that meets the demand, and what was tried on the way, longest first.
pub(super) fn longest(demand: &Demand, judge: &Judge<'_>, budget: Span) -> (Option<Tried>, Vec<Tried>) {
    let mut tried = Vec::new();
    for interval in demand.intervals() {
        let Some(settings) = Settings::fit(&demand.kind, interval, budget) else { continue };
        let found = judge.failures(settings);
        if found.promises(judge.allowed) {
            return (Some(found), tried);
        }
        tried.push(found);
    }
    (None, tried)
}

/// Round times from 10 ms to 8 days, shortest first.
pub(super) fn round_spans() -> impl Iterator<Item = Span> {
    (0..8).flat_map(|power| MANTISSAS.map(|mantissa| Span::from_millis(mantissa * 10u64.pow(power))))
}

/// What people choose.
const MANTISSAS: [u64; 11] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 80];

/// The wheel's.
const TICK: Span = Span::from_millis(1);
/// What the product accepts as an interval.
const INTERVAL_MIN: Span = Span::from_millis(10);
/// More heartbeats within one detection time are no answer to anything.
const BEATS_MAX: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(nodes: u64, max_rate: Option<&str>) -> Demand {
        Demand {
            detect_within: Span::from_secs(15),
            false_failures: "1/week".parse().expect("a frequency"),
            nodes,
            max_rate: max_rate.map(|rate| rate.parse().expect("a frequency")),
            kind: Detector::default(),
        }
    }

    #[test]
    fn intervals_are_round_and_bounded_by_the_rate_of_the_fleet() {
        let intervals = demand(1_000_000, Some("500k/s")).intervals();
        assert_eq!((intervals[0], intervals[intervals.len() - 1]), (Span::from_secs(12), Span::from_secs(2)));
        let intervals = demand(10, None).intervals();
        assert_eq!(intervals[intervals.len() - 1], Span::from_millis(15));
        assert!(demand(1_000_000, Some("50k/s")).intervals().is_empty());
    }

    #[test]
    fn a_week_of_a_million_nodes_is_a_rate_of_one() {
        assert!((demand(1_000_000, None).allowed() / 1.653e-12 - 1.0).abs() < 1e-3);
    }
}
