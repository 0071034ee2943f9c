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
//! [`WARM_UP`] intervals after its life was first heard of until that life ends. A crash is found
//! by the suspicion that lasts: one that a late heartbeat still refutes doesn't count, and one that
//! stood already took no time. Crashes of lives that nobody ever heard of say nothing.

use hdrhistogram::Histogram;
use serde::Serialize;
use systole_core::{Instant, Liveness, Span};

use crate::estimate::{BATCHES, Estimate, Pair, mean, rate, ratio};
use crate::judge::Verdict;
use crate::scenario::Scenario;
use crate::truth::{Fact, Truth};

/// What a run says about its detector, by Chen's names, with 95 % confidence intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// False failures per day in the whole fleet.
    pub false_failures_per_fleet_day: Estimate,
    /// The same per node and year.
    pub false_failures_per_node_year: Estimate,
    /// T_D: from a crash to the suspicion that lasts.
    pub detection_time_s: Times,
    /// From a crash to the failure that lasts.
    pub failure_time_s: Times,
}

/// A distribution of times in seconds. Nothing where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
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

/// A life is observed from so many intervals after it was first heard of, or from a tenth of its
/// length if that is less: what a detector must learn first is not held against it.
pub const WARM_UP: u64 = 10;

/// Measures a run while it runs.
#[derive(Debug)]
pub(crate) struct Meter {
    records: Vec<Record>,
    warm_up: Span,
    slices: Slices,
    batches: Vec<Batch>,
    suspected_after: Waits,
    failed_after: Waits,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    truth: Truth,
    belief: Liveness,
    /// Since when it is suspect or failed, if it is.
    since: Instant,
    /// From when on it is observed: set when a life is first heard of.
    open: Option<Instant>,
    /// Whether it crashed and the crash counts.
    awaited: bool,
    suspected: Option<Instant>,
    failed: Option<Instant>,
    qos: NodeQos,
}

/// The sums over one batch, times in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    up: f64,
    suspected: f64,
    mistakes: f64,
    failures: f64,
}

/// How the run is cut into batches: by node where there are enough, else each node's time as well.
#[derive(Clone, Copy, Debug)]
struct Slices {
    per_node: usize,
    width: Span,
}

#[derive(Debug)]
struct Waits {
    micros: Histogram<u64>,
    sum: f64,
    squares: f64,
    longest: Span,
}

impl Meter {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes as usize;
        let per_node = (BATCHES / nodes).max(1);
        let (beats, lives) = (scenario.heartbeats / nodes as u64, scenario.crashes.div_ceil(nodes as u64));
        let length = scenario.interval * beats + scenario.downtime() * lives;
        let record = Record {
            truth: Truth::default(),
            belief: Liveness::Unseen,
            since: Instant::ORIGIN,
            open: None,
            awaited: false,
            suspected: None,
            failed: None,
            qos: NodeQos::default(),
        };
        Self {
            records: vec![record; nodes],
            warm_up: scenario.interval * WARM_UP.min(beats / (lives + 1) / 10),
            slices: Slices { per_node, width: Span::from_nanos((length.nanos() / per_node as u64).max(1)) },
            batches: vec![Batch::default(); per_node * nodes.min(BATCHES)],
            suspected_after: Waits::new(),
            failed_after: Waits::new(),
        }
    }

    pub(crate) fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        let before = self.records[node as usize].truth;
        match before {
            Truth::Up(_) => self.close(node, at),
            Truth::Crashed(since) => self.conclude(node, since),
            Truth::Unborn | Truth::Left | Truth::Stopped => {}
        }
        let warm_up = self.warm_up;
        let record = &mut self.records[node as usize];
        record.truth = before.after(fact, at);
        match fact {
            // Nobody noticed that it was away: the new life is heard of at once.
            Fact::Began => record.open = (record.belief == Liveness::Alive).then_some(at + warm_up),
            Fact::Crashed => {
                record.awaited = record.open.is_some();
                record.qos.crashes += u64::from(record.awaited);
                let stood = matches!(record.belief, Liveness::Suspect | Liveness::Failed);
                record.suspected = stood.then_some(at);
                record.failed = (record.belief == Liveness::Failed).then_some(at);
            }
            Fact::Left | Fact::Stopped => record.open = None,
        }
    }

    pub(crate) fn verdict(&mut self, verdict: &Verdict) {
        let Verdict { at, node, from: _, to } = *verdict;
        self.note_suspected(node, at);
        let warm_up = self.warm_up;
        let record = &mut self.records[node as usize];
        record.belief = to;
        record.since = at;
        match record.truth {
            Truth::Up(_) => match (record.open, to) {
                (None, Liveness::Alive) => record.open = Some(at + warm_up),
                (Some(open), Liveness::Suspect) if at >= open => {
                    record.qos.mistakes += 1;
                    self.batch(node, at).mistakes += 1.0;
                }
                (Some(open), Liveness::Failed) if at >= open => {
                    record.qos.false_failures += 1;
                    self.batch(node, at).failures += 1.0;
                }
                (_, Liveness::Unseen | Liveness::Alive | Liveness::Suspect | Liveness::Failed | Liveness::Left) => {}
            },
            Truth::Crashed(_) => match to {
                Liveness::Suspect => record.suspected = Some(at),
                Liveness::Failed => record.failed = Some(at),
                Liveness::Alive => (record.suspected, record.failed) = (None, None),
                Liveness::Unseen | Liveness::Left => {}
            },
            Truth::Unborn | Truth::Left | Truth::Stopped => {}
        }
    }

    /// What was measured, when the run has come to `now`: its end, or where it was stopped.
    pub(crate) fn finish(mut self, now: Instant, stopped: bool) -> (Qos, Vec<NodeQos>) {
        for node in 0..self.records.len() as u32 {
            match self.records[node as usize].truth {
                Truth::Up(_) => self.close(node, now),
                // Whether it would have been found is not known.
                Truth::Crashed(_) if stopped => {
                    let record = &mut self.records[node as usize];
                    record.qos.crashes -= u64::from(record.awaited);
                }
                Truth::Crashed(since) => self.conclude(node, since),
                Truth::Unborn | Truth::Left | Truth::Stopped => {}
            }
        }
        let nodes: Vec<NodeQos> = self.records.iter().map(|record| record.qos).collect();
        (self.qos(&nodes), nodes)
    }

    fn qos(&self, nodes: &[NodeQos]) -> Qos {
        let pairs = |above: fn(&Batch) -> f64, below: fn(&Batch) -> f64| -> Vec<Pair> {
            self.batches.iter().map(|batch| Pair { above: above(batch), below: below(batch) }).collect()
        };
        let mistake_rate = rate(&pairs(|batch| batch.mistakes, |batch| batch.up));
        let failure_rate = rate(&pairs(|batch| batch.failures, |batch| batch.up));
        let suspected = ratio(&pairs(|batch| batch.suspected, |batch| batch.up));
        Qos {
            mistakes: nodes.iter().map(|node| node.mistakes).sum(),
            false_failures: nodes.iter().map(|node| node.false_failures).sum(),
            crashes: nodes.iter().map(|node| node.crashes).sum(),
            missed: nodes.iter().map(|node| node.missed).sum(),
            mistake_recurrence_s: mistake_rate.inverse(),
            mistake_duration_s: ratio(&pairs(|batch| batch.suspected, |batch| batch.mistakes)).at_least(0.0),
            query_accuracy: suspected.complement(),
            mistake_rate_per_s: mistake_rate,
            false_failures_per_fleet_day: failure_rate.times(86_400.0 * nodes.len() as f64),
            false_failures_per_node_year: failure_rate.times(31_557_600.0),
            detection_time_s: self.suspected_after.times(),
            failure_time_s: self.failed_after.times(),
        }
    }

    /// Ends the observation of a life at `at`.
    fn close(&mut self, node: u32, at: Instant) {
        self.note_suspected(node, at);
        let Some(open) = self.records[node as usize].open.filter(|open| *open < at) else { return };
        let record = &mut self.records[node as usize];
        record.qos.up = record.qos.up + at.since(open);
        self.spread(node, open, at, |batch| &mut batch.up);
    }

    /// Books the time until `at` as suspected if it was, within what is observed.
    fn note_suspected(&mut self, node: u32, at: Instant) {
        let record = &mut self.records[node as usize];
        let (Truth::Up(_), Some(open)) = (record.truth, record.open) else { return };
        let from = record.since.max(open);
        if matches!(record.belief, Liveness::Suspect | Liveness::Failed) && from < at {
            record.qos.suspected = record.qos.suspected + at.since(from);
            self.spread(node, from, at, |batch| &mut batch.suspected);
        }
    }

    /// A crash is over: the node is back, or the run is.
    fn conclude(&mut self, node: u32, crashed: Instant) {
        let record = &mut self.records[node as usize];
        if !core::mem::take(&mut record.awaited) {
            return;
        }
        match record.suspected {
            Some(at) => self.suspected_after.note(at.since(crashed)),
            None => record.qos.missed += 1,
        }
        if let Some(at) = record.failed {
            self.failed_after.note(at.since(crashed));
        }
    }

    /// Divides a time among the slices that it lies in.
    fn spread(&mut self, node: u32, mut from: Instant, to: Instant, field: fn(&mut Batch) -> &mut f64) {
        while from < to {
            let end = self.slices.end(from).min(to);
            *field(self.batch(node, from)) += end.since(from).secs_f64();
            from = end;
        }
    }

    fn batch(&mut self, node: u32, at: Instant) -> &mut Batch {
        let node = node as usize % BATCHES;
        let slice = self.slices.of(at);
        &mut self.batches[node * self.slices.per_node + slice]
    }
}

impl Slices {
    /// Which slice of a node's time this is in; the last one has no end.
    fn of(self, at: Instant) -> usize {
        ((at.nanos() / self.width.nanos()) as usize).min(self.per_node - 1)
    }

    fn end(self, at: Instant) -> Instant {
        let slice = self.of(at);
        if slice + 1 == self.per_node {
            Instant::from_nanos(u64::MAX)
        } else {
            Instant::ORIGIN + self.width * (slice as u64 + 1)
        }
    }
}

impl Waits {
    fn new() -> Self {
        let micros = Histogram::new(3).expect("three digits are allowed");
        Self { micros, sum: 0.0, squares: 0.0, longest: Span::ZERO }
    }

    fn note(&mut self, wait: Span) {
        self.micros.record(wait.nanos() / 1_000).expect("it grows as needed");
        let secs = wait.secs_f64();
        self.sum += secs;
        self.squares += secs * secs;
        self.longest = self.longest.max(wait);
    }

    fn times(&self) -> Times {
        let count = self.micros.len();
        if count == 0 {
            return Times::default();
        }
        let longest = self.longest.secs_f64();
        let quantile = |share| Some((self.micros.value_at_quantile(share) as f64 / 1e6).min(longest));
        let mean = mean(count, self.sum, self.squares);
        Times {
            count,
            mean: mean.value,
            ci_low: mean.ci_low.map(|low| low.max(0.0)),
            ci_high: mean.ci_high,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Some(longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Liveness::{Alive, Failed, Suspect, Unseen};

    fn at(secs: f64) -> Instant {
        Instant::from_nanos((secs * 1e9) as u64)
    }

    /// One node, observed from 10 s on: 1,000 heartbeats, one each second.
    fn meter() -> Meter {
        let mut meter = Meter::new(&Scenario { heartbeats: 1_000, crashes: 1, ..Scenario::default() });
        meter.fact(at(0.0), 0, Fact::Began);
        believe(&mut meter, 0.0, Unseen, Alive);
        meter
    }

    fn believe(meter: &mut Meter, secs: f64, from: Liveness, to: Liveness) {
        meter.verdict(&Verdict { at: at(secs), node: 0, from, to });
    }

    fn close_to(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    #[test]
    fn mistakes_are_measured_from_the_warm_up_until_the_crash() {
        let mut meter = meter();
        // Before the warm-up is over: no mistake, and only what reaches beyond it counts.
        believe(&mut meter, 9.0, Alive, Suspect);
        believe(&mut meter, 10.5, Suspect, Alive);
        believe(&mut meter, 100.0, Alive, Suspect);
        believe(&mut meter, 102.0, Suspect, Failed);
        believe(&mut meter, 103.0, Failed, Alive);
        meter.fact(at(510.0), 0, Fact::Crashed);
        believe(&mut meter, 512.25, Alive, Suspect);
        believe(&mut meter, 515.25, Suspect, Failed);
        let (qos, nodes) = meter.finish(at(600.0), false);
        assert_eq!((qos.mistakes, qos.false_failures, qos.crashes, qos.missed), (1, 1, 1, 0));
        assert_eq!((nodes[0].up, nodes[0].suspected), (Span::from_secs(500), Span::from_millis(3_500)));
        assert!(close_to(qos.query_accuracy.value, 1.0 - 3.5 / 500.0));
        assert!(close_to(qos.mistake_recurrence_s.value, 500.0));
        assert!(close_to(qos.mistake_duration_s.value, 3.5));
        assert!(close_to(qos.detection_time_s.max, 2.25) && close_to(qos.failure_time_s.mean, 5.25));
    }

    #[test]
    fn a_suspicion_that_a_late_heartbeat_refutes_has_not_found_the_crash() {
        let mut meter = meter();
        believe(&mut meter, 99.0, Alive, Suspect);
        meter.fact(at(100.0), 0, Fact::Crashed);
        believe(&mut meter, 101.0, Suspect, Alive);
        believe(&mut meter, 104.0, Alive, Suspect);
        let (qos, _) = meter.finish(at(200.0), false);
        assert!(close_to(qos.detection_time_s.max, 4.0));
    }

    #[test]
    fn a_suspicion_that_stood_already_took_no_time_and_none_at_all_is_a_miss() {
        let mut stood = meter();
        believe(&mut stood, 99.0, Alive, Suspect);
        stood.fact(at(100.0), 0, Fact::Crashed);
        let (qos, _) = stood.finish(at(200.0), false);
        assert_eq!((qos.detection_time_s.max, qos.missed), (Some(0.0), 0));
        let mut missed = meter();
        missed.fact(at(100.0), 0, Fact::Crashed);
        missed.fact(at(101.0), 0, Fact::Began);
        let (qos, _) = missed.finish(at(200.0), false);
        assert_eq!((qos.crashes, qos.missed, qos.detection_time_s.count), (1, 1, 0));
    }

    #[test]
    fn a_run_that_was_stopped_does_not_judge_what_was_still_open() {
        let mut meter = meter();
        meter.fact(at(100.0), 0, Fact::Crashed);
        let (qos, _) = meter.finish(at(100.5), true);
        assert_eq!((qos.crashes, qos.missed), (0, 0));
    }
}
