//! How good the detector was: beliefs held against truth, in the terms of Chen, Toueg and Aguilera.
//!
//! ```text
//!   truth    up ────────────────────────────────────────────────────✕ crashed
//!   belief   alive ─────┐        ┌──────────┐  ┌────────────────────────┐
//!            suspect    └────────┘          └──┘                        └──── ...
//!                       |<-T_M-->|                                  |<T_D>|
//!                       |<------ T_MR ------>|
//! ```
//! A mistake is a change to suspect while the node is up, and only then. A node is observed from
//! [`WARM_UP`](crate::meter::WARM_UP) intervals after its life was first heard of until that life ends. A crash is found
//! by the suspicion that lasts: one that a late heartbeat still refutes doesn't count, and one that
//! stood already took no time. Crashes of lives that nobody ever heard of say nothing.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use systole_core::Span;

use crate::estimate::{BATCHES, Estimate, Pair, mean, rate, ratio};
use crate::fate::Blame;
use crate::scenario::Group;

/// What a run says about its detector, by Chen's names, with 95 % confidence intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Qos {
    /// Times that a node was suspected while it was up: S-transitions.
    pub mistakes: u64,
    /// Times that a node was failed while it was up.
    pub false_failures: u64,
    /// Lives that ended in a crash after they had been noticed.
    pub crashes: u64,
    /// Crashes not suspected before the node was back, or by the end of the run.
    pub missed: u64,
    /// T_MR: from one mistake to the next, mean: up time over mistakes.
    pub mistake_recurrence_s: Estimate,
    /// T_M: how long a mistake lasts, mean.
    pub mistake_duration_s: Estimate,
    /// P_A: the probability that a node which is up isn't suspected.
    pub query_accuracy: Estimate,
    /// Mistakes per second and node that is up: 1 / T_MR.
    pub mistake_rate_per_s: Estimate,
    /// False failures per day in the whole fleet: of each group as many as of one of its nodes, times its nodes.
    pub false_failures_per_fleet_day: Estimate,
    /// The same per node and year, of the fleet's nodes on average.
    pub false_failures_per_node_year: Estimate,
    /// T_D: from a crash to the suspicion that lasts.
    pub detection_time_s: Times,
    /// From a crash to the failure that lasts.
    pub failure_time_s: Times,
    /// What the mistakes were due to.
    pub mistakes_by_cause: Causes,
    /// What the false failures were due to.
    pub false_failures_by_cause: Causes,
    /// T_D at each of [`SHARES`], to draw its distribution; empty if no crash was found.
    pub detection_quantiles_s: Vec<f64>,
    /// The time to the failure that lasts at each of [`SHARES`].
    pub failure_quantiles_s: Vec<f64>,
}

/// How many of something were due to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Causes {
    /// The monitor itself: its buffer overflowed, it was down, or hadn't read what had arrived.
    pub monitor: u64,
    /// A partition.
    pub partition: u64,
    /// The sender paused.
    pub pause: u64,
    /// The network lost several heartbeats in a row.
    pub burst: u64,
    /// The network lost one, or some that weren't neighbours.
    pub loss: u64,
    /// The group's uplink was full.
    pub congestion: u64,
    /// Something was still on its way, or had been overtaken.
    pub delay: u64,
    /// Nothing was missing: the timeout is shorter than the sender is regular.
    pub timeout: u64,
}

/// At which shares of the crashes found a distribution of times is kept: each fiftieth, and the tail.
pub const SHARES: [f64; 54] = {
    let mut shares = [1.0; 54];
    let mut n = 0;
    while n < 50 {
        shares[n] = n as f64 / 50.0;
        n += 1;
    }
    (shares[50], shares[51], shares[52]) = (0.99, 0.995, 0.999);
    shares
};

/// A distribution of times in seconds. Nothing where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// Their mean, and its confidence interval.
    pub mean: Option<f64>,
    /// The lower end of the mean's interval.
    pub ci_low: Option<f64>,
    /// The upper end.
    pub ci_high: Option<f64>,
    /// Half of them are at most this long; percentiles are exact to a thousandth of themselves.
    pub p50: Option<f64>,
    /// Nine of ten.
    pub p90: Option<f64>,
    /// 99 of 100.
    pub p99: Option<f64>,
    /// 999 of 1,000.
    pub p999: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// What a run says about one node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeQos {
    /// Which group of the scenario it belongs to; the first is 0.
    pub group: u32,
    /// How long it was observed while up.
    pub up: Span,
    /// How long it was suspected or failed meanwhile.
    pub suspected: Span,
    /// S-transitions meanwhile.
    pub mistakes: u64,
    /// Times that it was failed meanwhile.
    pub false_failures: u64,
    /// Its lives that ended in a crash after they had been noticed.
    pub crashes: u64,
    /// Those never suspected.
    pub missed: u64,
}

/// The sums over one group: whole numbers, so that it doesn't matter in which
/// order they were added up.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    nodes: u64,
    pub(crate) batches: Vec<Batch>,
    pub(crate) crashes: u64,
    pub(crate) missed: u64,
    pub(crate) mistakes: Causes,
    pub(crate) failures: Causes,
    pub(crate) suspected_after: Waits,
    pub(crate) failed_after: Waits,
}

/// The sums over one batch, times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) up: u128,
    pub(crate) suspected: u128,
    pub(crate) mistakes: u64,
    pub(crate) failures: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Waits {
    micros: Histogram<u64>,
    /// In nanoseconds, and of their squares.
    sum: u128,
    squares: u128,
    longest: Span,
}

impl Causes {
    /// So many, by cause, in the order of [`Blame::ALL`].
    pub fn by_cause(&self) -> [(Blame, u64); 8] {
        Blame::ALL.map(|blame| (blame, *self.clone().of(blame)))
    }

    pub(crate) fn count(&mut self, blame: Option<Blame>) {
        // The world names a cause for every suspicion; one without is nobody's mistake.
        if let Some(blame) = blame {
            *self.of(blame) += 1;
        }
    }

    fn of(&mut self, blame: Blame) -> &mut u64 {
        match blame {
            Blame::Monitor => &mut self.monitor,
            Blame::Partition => &mut self.partition,
            Blame::Pause => &mut self.pause,
            Blame::Burst => &mut self.burst,
            Blame::Loss => &mut self.loss,
            Blame::Congestion => &mut self.congestion,
            Blame::Delay => &mut self.delay,
            Blame::Timeout => &mut self.timeout,
        }
    }

    fn add(&mut self, other: &Self) {
        for (blame, count) in other.by_cause() {
            *self.of(blame) += count;
        }
    }
}

impl Tally {
    /// Nothing yet, of a group of so many nodes.
    fn new(nodes: u64) -> Self {
        Self {
            nodes,
            batches: vec![Batch::default(); BATCHES],
            crashes: 0,
            missed: 0,
            mistakes: Causes::default(),
            failures: Causes::default(),
            suspected_after: Waits::new(),
            failed_after: Waits::new(),
        }
    }

    /// Nothing yet of this group.
    pub(crate) fn of_group(group: &Group) -> Self {
        Self::new(u64::from(group.nodes))
    }

    /// Adds what was measured of other nodes of the same group.
    pub(crate) fn add_part(&mut self, other: &Self) {
        for (batch, more) in self.batches.iter_mut().zip(&other.batches) {
            batch.up += more.up;
            batch.suspected += more.suspected;
            batch.mistakes += more.mistakes;
            batch.failures += more.failures;
        }
        self.crashes += other.crashes;
        self.missed += other.missed;
        self.mistakes.add(&other.mistakes);
        self.failures.add(&other.failures);
        self.suspected_after.add(&other.suspected_after);
        self.failed_after.add(&other.failed_after);
    }

    /// What several groups come to together. Counts and times are added up; but a group that was observed for
    /// longer has no more failures a day for that, so these are added up as rates.
    pub(crate) fn together(groups: &[Self]) -> Qos {
        let mut all = Self::new(groups.iter().map(|group| group.nodes).sum());
        groups.iter().for_each(|group| all.add_part(group));
        let each: Vec<Estimate> = groups.iter().map(Self::failures_per_s).collect();
        let failures = Estimate::sum(&each);
        Qos {
            false_failures_per_fleet_day: failures.times(DAY),
            false_failures_per_node_year: failures.times(YEAR / all.nodes as f64),
            ..all.qos()
        }
    }

    /// Of all its nodes.
    fn failures_per_s(&self) -> Estimate {
        let pair = |batch: &Batch| Pair { above: batch.failures as f64, below: seconds(batch.up) };
        rate(&self.batches.iter().map(pair).collect::<Vec<Pair>>()).times(self.nodes as f64)
    }

    /// What it comes to.
    pub(crate) fn qos(&self) -> Qos {
        let pairs = |above: fn(&Batch) -> f64, below: fn(&Batch) -> f64| -> Vec<Pair> {
            self.batches.iter().map(|batch| Pair { above: above(batch), below: below(batch) }).collect()
        };
        let up = |batch: &Batch| seconds(batch.up);
        let mistake_rate = rate(&pairs(|batch| batch.mistakes as f64, up));
        let failures = self.failures_per_s();
        let suspected = ratio(&pairs(|batch| seconds(batch.suspected), up));
        let duration = ratio(&pairs(|batch| seconds(batch.suspected), |batch| batch.mistakes as f64));
        Qos {
            mistakes: self.batches.iter().map(|batch| batch.mistakes).sum(),
            false_failures: self.batches.iter().map(|batch| batch.failures).sum(),
            crashes: self.crashes,
            missed: self.missed,
            mistake_recurrence_s: mistake_rate.inverse(),
            mistake_duration_s: duration.at_least(0.0),
            query_accuracy: suspected.complement(),
            mistake_rate_per_s: mistake_rate,
            false_failures_per_fleet_day: failures.times(DAY),
            false_failures_per_node_year: failures.times(YEAR / self.nodes as f64),
            detection_time_s: self.suspected_after.times(),
            failure_time_s: self.failed_after.times(),
            detection_quantiles_s: self.suspected_after.quantiles(),
            failure_quantiles_s: self.failed_after.quantiles(),
            mistakes_by_cause: self.mistakes,
            false_failures_by_cause: self.failures,
        }
    }
}

/// In seconds.
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;

fn seconds(nanos: u128) -> f64 {
    nanos as f64 / 1e9
}

impl Waits {
    fn new() -> Self {
        let micros = Histogram::new(3).expect("three digits are allowed");
        Self { micros, sum: 0, squares: 0, longest: Span::ZERO }
    }

    pub(crate) fn note(&mut self, wait: Span) {
        let micros = wait.nanos() / 1_000;
        self.micros.record(micros).expect("it grows as needed");
        self.sum += u128::from(wait.nanos());
        self.squares += u128::from(wait.nanos()) * u128::from(wait.nanos());
        self.longest = self.longest.max(wait);
    }

    fn add(&mut self, other: &Self) {
        self.micros.add(&other.micros).expect("it grows as needed");
        self.sum += other.sum;
        self.squares += other.squares;
        self.longest = self.longest.max(other.longest);
    }

    /// Of each of [`SHARES`] the longest time that it took; of share 0 the shortest of all.
    fn quantiles(&self) -> Vec<f64> {
        if self.micros.is_empty() {
            return Vec::new();
        }
        SHARES.iter().map(|share| self.quantile(*share)).collect()
    }

    /// Exact to a thousandth of itself.
    fn quantile(&self, share: f64) -> f64 {
        (self.micros.value_at_quantile(share) as f64 / 1e6).min(self.longest.secs_f64())
    }

    fn times(&self) -> Times {
        let count = self.micros.len();
        if count == 0 {
            return Times::default();
        }
        let quantile = |share| Some(self.quantile(share));
        let mean = mean(count, seconds(self.sum), self.squares as f64 / 1e18);
        Times {
            count,
            mean: mean.value,
            ci_low: mean.ci_low.map(|low| low.max(0.0)),
            ci_high: mean.ci_high,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Some(self.longest.secs_f64()),
        }
    }
}
