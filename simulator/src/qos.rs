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
use serde::{Deserialize, Serialize};
use systole_core::{Instant, Liveness, Span};

use crate::estimate::{BATCHES, Estimate, Pair, mean, rate, ratio};
use crate::fate::Blame;
use crate::judge::Verdict;
use crate::random::Actor;
use crate::scenario::{Group, Scenario};
use crate::slice::Slice;
use crate::truth::{Fact, Truth};

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
    /// False failures per day in the whole fleet.
    pub false_failures_per_fleet_day: Estimate,
    /// The same per node and year.
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
    groups: Vec<Shape>,
    tallies: Vec<Tally>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    group: u32,
    /// Which of the batches it belongs to, before its time is cut.
    row: u32,
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

/// How the nodes of one group are observed.
#[derive(Clone, Copy, Debug)]
struct Shape {
    warm_up: Span,
    cuts: Cuts,
}

/// How a run is cut into batches: by node where there are enough, else each node's time as well.
#[derive(Clone, Copy, Debug)]
struct Cuts {
    per_node: usize,
    width: Span,
}

/// The sums over one group, or over several: whole numbers, so that it doesn't matter in which
/// order they were added up.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    nodes: u64,
    batches: Vec<Batch>,
    crashes: u64,
    missed: u64,
    mistakes: Causes,
    failures: Causes,
    suspected_after: Waits,
    failed_after: Waits,
}

/// The sums over one batch, times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    up: u128,
    suspected: u128,
    mistakes: u64,
    failures: u64,
}

#[derive(Clone, Debug)]
struct Waits {
    micros: Histogram<u64>,
    /// In nanoseconds, and of microseconds.
    sum: u128,
    squares: u128,
    longest: Span,
}

impl Meter {
    pub(crate) fn new(scenario: &Scenario, slice: &Slice) -> Self {
        let record = |actor: Actor| Record {
            group: actor.group,
            row: actor.node % BATCHES as u32,
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
            records: slice.actors().map(record).collect(),
            groups: scenario.groups.iter().map(Shape::new).collect(),
            tallies: scenario.groups.iter().map(Tally::of_group).collect(),
        }
    }

    pub(crate) fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        let before = self.records[node as usize].truth;
        match before {
            Truth::Up(_) => self.close(node, at),
            Truth::Crashed(since) => self.conclude(node, since),
            Truth::Unborn | Truth::Left | Truth::Stopped => {}
        }
        let record = &mut self.records[node as usize];
        let warm_up = self.groups[record.group as usize].warm_up;
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
        let Verdict { at, node, from: _, to, blame } = *verdict;
        self.note_suspected(node, at);
        let record = &mut self.records[node as usize];
        let warm_up = self.groups[record.group as usize].warm_up;
        record.belief = to;
        record.since = at;
        match record.truth {
            Truth::Up(_) => match (record.open, to) {
                (None, Liveness::Alive) => record.open = Some(at + warm_up),
                (Some(open), Liveness::Suspect) if at >= open => {
                    record.qos.mistakes += 1;
                    self.batch(node, at).mistakes += 1;
                    self.tally(node).mistakes.count(blame);
                }
                (Some(open), Liveness::Failed) if at >= open => {
                    record.qos.false_failures += 1;
                    self.batch(node, at).failures += 1;
                    self.tally(node).failures.count(blame);
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

    /// The monitor began anew at `at` and believes nothing any more. What it had found is found.
    pub(crate) fn forgotten(&mut self, at: Instant) {
        for node in 0..self.records.len() as u32 {
            self.note_suspected(node, at);
            self.records[node as usize].belief = Liveness::Unseen;
        }
    }

    /// What was measured of each group and each node, when the run has come to `now`: its end, or
    /// where it was stopped.
    pub(crate) fn finish(mut self, now: Instant, stopped: bool) -> (Vec<Tally>, Vec<NodeQos>) {
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
        for record in &self.records {
            let tally = &mut self.tallies[record.group as usize];
            tally.crashes += record.qos.crashes;
            tally.missed += record.qos.missed;
        }
        (self.tallies, self.records.iter().map(|record| record.qos).collect())
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
        let (suspected, failed) = (record.suspected, record.failed);
        record.qos.missed += u64::from(suspected.is_none());
        let tally = self.tally(node);
        if let Some(at) = suspected {
            tally.suspected_after.note(at.since(crashed));
        }
        if let Some(at) = failed {
            tally.failed_after.note(at.since(crashed));
        }
    }

    /// Divides a time among the cuts that it lies in.
    fn spread(&mut self, node: u32, mut from: Instant, to: Instant, field: fn(&mut Batch) -> &mut u128) {
        let cuts = self.groups[self.records[node as usize].group as usize].cuts;
        while from < to {
            let end = cuts.end(from).min(to);
            *field(self.batch(node, from)) += u128::from(end.since(from).nanos());
            from = end;
        }
    }

    fn batch(&mut self, node: u32, at: Instant) -> &mut Batch {
        let Record { group, row, .. } = self.records[node as usize];
        let cuts = self.groups[group as usize].cuts;
        &mut self.tallies[group as usize].batches[row as usize * cuts.per_node + cuts.of(at)]
    }

    fn tally(&mut self, node: u32) -> &mut Tally {
        &mut self.tallies[self.records[node as usize].group as usize]
    }
}

impl Shape {
    fn new(group: &Group) -> Self {
        let nodes = u64::from(group.nodes);
        let per_node = (BATCHES / group.nodes as usize).max(1);
        let (beats, lives) = (group.heartbeats / nodes, group.crashes.div_ceil(nodes));
        let length = group.interval * beats + group.downtime() * lives;
        Self {
            warm_up: group.interval * WARM_UP.min(beats / (lives + 1) / 10),
            cuts: Cuts { per_node, width: Span::from_nanos((length.nanos() / per_node as u64).max(1)) },
        }
    }
}

impl Cuts {
    /// Which part of a node's time this is in; the last one has no end.
    fn of(self, at: Instant) -> usize {
        ((at.nanos() / self.width.nanos()) as usize).min(self.per_node - 1)
    }

    fn end(self, at: Instant) -> Instant {
        let cut = self.of(at);
        if cut + 1 == self.per_node {
            Instant::from_nanos(u64::MAX)
        } else {
            Instant::ORIGIN + self.width * (cut as u64 + 1)
        }
    }
}

impl Causes {
    /// So many, by cause, in the order of [`Blame::ALL`].
    pub fn by_cause(&self) -> [(Blame, u64); 8] {
        Blame::ALL.map(|blame| (blame, *self.clone().of(blame)))
    }

    fn count(&mut self, blame: Option<Blame>) {
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

    /// Nothing at all, to add groups to.
    pub(crate) fn empty() -> Self {
        Self::new(0)
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

    /// Adds another group.
    pub(crate) fn add_group(&mut self, other: &Self) {
        self.nodes += other.nodes;
        self.add_part(other);
    }

    /// What it comes to.
    pub(crate) fn qos(&self) -> Qos {
        let pairs = |above: fn(&Batch) -> f64, below: fn(&Batch) -> f64| -> Vec<Pair> {
            self.batches.iter().map(|batch| Pair { above: above(batch), below: below(batch) }).collect()
        };
        let up = |batch: &Batch| seconds(batch.up);
        let mistake_rate = rate(&pairs(|batch| batch.mistakes as f64, up));
        let failure_rate = rate(&pairs(|batch| batch.failures as f64, up));
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
            false_failures_per_fleet_day: failure_rate.times(86_400.0 * self.nodes as f64),
            false_failures_per_node_year: failure_rate.times(31_557_600.0),
            detection_time_s: self.suspected_after.times(),
            failure_time_s: self.failed_after.times(),
            detection_quantiles_s: self.suspected_after.quantiles(),
            failure_quantiles_s: self.failed_after.quantiles(),
            mistakes_by_cause: self.mistakes,
            false_failures_by_cause: self.failures,
        }
    }
}

fn seconds(nanos: u128) -> f64 {
    nanos as f64 / 1e9
}

impl Waits {
    fn new() -> Self {
        let micros = Histogram::new(3).expect("three digits are allowed");
        Self { micros, sum: 0, squares: 0, longest: Span::ZERO }
    }

    fn note(&mut self, wait: Span) {
        let micros = wait.nanos() / 1_000;
        self.micros.record(micros).expect("it grows as needed");
        self.sum += u128::from(wait.nanos());
        self.squares += u128::from(micros) * u128::from(micros);
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
        let mean = mean(count, seconds(self.sum), self.squares as f64 / 1e12);
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

#[cfg(test)]
mod tests {
    use super::*;
    use Liveness::{Alive, Failed, Suspect, Unseen};

    fn at(secs: f64) -> Instant {
        Instant::from_nanos((secs * 1e9) as u64)
    }

    /// One node, observed from 10 s on: 1,000 heartbeats, one each second.
    fn meter() -> Meter {
        let scenario = Scenario::from(Group { heartbeats: 1_000, crashes: 1, ..Group::default() });
        let mut meter = Meter::new(&scenario, &Slice::new(&scenario, 0..1));
        meter.fact(at(0.0), 0, Fact::Began);
        believe(&mut meter, 0.0, Unseen, Alive);
        meter
    }

    fn believe(meter: &mut Meter, secs: f64, from: Liveness, to: Liveness) {
        let blame = Some(Blame::Loss);
        meter.verdict(&Verdict { at: at(secs), node: 0, from, to, blame });
    }

    fn finish(meter: Meter, secs: f64, stopped: bool) -> (Qos, Vec<NodeQos>) {
        let (tallies, nodes) = meter.finish(at(secs), stopped);
        (tallies[0].qos(), nodes)
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
        let (qos, nodes) = finish(meter, 600.0, false);
        assert_eq!((qos.mistakes_by_cause.loss, qos.false_failures_by_cause.loss), (1, 1));
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
        let (qos, _) = finish(meter, 200.0, false);
        assert!(close_to(qos.detection_time_s.max, 4.0));
    }

    #[test]
    fn a_suspicion_that_stood_already_took_no_time_and_none_at_all_is_a_miss() {
        let mut stood = meter();
        believe(&mut stood, 99.0, Alive, Suspect);
        stood.fact(at(100.0), 0, Fact::Crashed);
        let (qos, _) = finish(stood, 200.0, false);
        assert_eq!((qos.detection_time_s.max, qos.missed), (Some(0.0), 0));
        let mut missed = meter();
        missed.fact(at(100.0), 0, Fact::Crashed);
        missed.fact(at(101.0), 0, Fact::Began);
        let (qos, _) = finish(missed, 200.0, false);
        assert_eq!((qos.crashes, qos.missed, qos.detection_time_s.count), (1, 1, 0));
    }

    #[test]
    fn a_run_that_was_stopped_does_not_judge_what_was_still_open() {
        let mut meter = meter();
        meter.fact(at(100.0), 0, Fact::Crashed);
        let (qos, _) = finish(meter, 100.5, true);
        assert_eq!((qos.crashes, qos.missed), (0, 0));
    }

    #[test]
    fn a_monitor_that_begins_anew_has_forgotten_whom_it_suspected_and_keeps_what_it_found() {
        let mut meter = meter();
        believe(&mut meter, 100.0, Alive, Suspect);
        meter.forgotten(at(103.0));
        believe(&mut meter, 104.0, Unseen, Alive);
        meter.fact(at(200.0), 0, Fact::Crashed);
        believe(&mut meter, 202.0, Alive, Suspect);
        meter.forgotten(at(203.0));
        let (qos, nodes) = finish(meter, 300.0, false);
        assert_eq!((nodes[0].suspected, qos.missed), (Span::from_secs(3), 0));
        assert!(close_to(qos.detection_time_s.max, 2.0));
    }

    #[test]
    fn what_was_measured_apart_adds_up_to_what_was_measured_together() {
        let scenario = Scenario::from(Group { nodes: 4, heartbeats: 4_000, crashes: 4, ..Group::default() });
        let tell = |meter: &mut Meter, node: u32, name: u32| {
            let at = |secs: f64| at(secs + 0.1 * f64::from(name));
            let mut believe = |secs: f64, from, to| {
                meter.verdict(&Verdict { at: at(secs), node, from, to, blame: Some(Blame::Burst) });
            };
            believe(0.0, Unseen, Alive);
            believe(100.0, Alive, Suspect);
            believe(103.0, Suspect, Alive);
        };
        let measure = |places: core::ops::Range<u32>| {
            let mut meter = Meter::new(&scenario, &Slice::new(&scenario, places.clone()));
            for (node, name) in (0..).zip(places) {
                meter.fact(at(0.0), node, Fact::Began);
                tell(&mut meter, node, name);
                meter.fact(at(900.0 + f64::from(name)), node, Fact::Crashed);
            }
            let (mut tallies, _) = meter.finish(at(2_000.0), false);
            tallies.remove(0)
        };
        let mut apart = measure(2..4);
        apart.add_part(&measure(0..1));
        apart.add_part(&measure(1..2));
        assert_eq!(apart.qos(), measure(0..4).qos());
        let mut all = Tally::empty();
        all.add_group(&apart);
        assert_eq!(all.qos(), apart.qos());
    }
}
