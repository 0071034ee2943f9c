//! How good the monitor's suspicions are, in the terms of Chen, Toueg and Aguilera: to hold against a simulation.
//!
//! ```text
//!   truth    up ─────────────────────────────────────────────✕ killed
//!   belief   alive ─────┐  mistake  ┌──────────┐  ┌────────────────────────────── suspect, then failed
//!            suspect    └───────────┘          └──┘   |<-T_D->|
//!                                        refuted by a heartbeat that was on its way
//! ```
//!
//! `verdicts` asks whether what the monitor promises was kept, and there a suspicion can't be wrong. Here every
//! suspicion of a node that was up and not cut off is a mistake, and a crash is found by the suspicion that lasts. Nodes
//! are observed from [`WARM_UP`] intervals after they were first to be heard, or heard again: `systole-sim` counts alike.

use serde::Serialize;
use systole_core::{Instant, Liveness, Span};

use super::truth::{Silence, Truth, Why};
use super::verdicts::{TOLERANCE, Terms, Verdict, take};

/// What a run says about suspicions. Times in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Quality {
    /// How long nodes were observed while they were up and not cut off, all together.
    pub observed_node_s: f64,
    /// Times that such a node was suspected.
    pub mistakes: u64,
    /// Mistakes per second and node.
    pub mistake_rate_per_s: Rate,
    /// Times that such a node was failed.
    pub false_failures: u64,
    /// Kills of nodes that had been heard, as far as their verdicts were due.
    pub crashes: u64,
    /// Of those, how many weren't suspected before the node was back or the run over.
    pub missed: u64,
    /// T_D: from a crash to the suspicion that lasts; none at all where one stood already.
    pub detection_time_s: Times,
    /// From a crash to the failure that lasts.
    pub failure_time_s: Times,
    /// From the deadline, by the monitor's own evidence, to the suspicion: of all, mistakes or not. What is above a
    /// millisecond the monitor owes to the scheduler, and a simulation knows nothing of it.
    pub suspicion_lateness_s: Times,
}

/// How often something happens. Nothing where it can't be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// How often.
    pub value: Option<f64>,
    /// How far off that may be by chance, by how nodes differ. What hits all of them at once, as a stall of the machine
    /// does, isn't in it.
    pub standard_error: Option<f64>,
}

/// A distribution of times in seconds. Nothing where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// How far off the mean may be by chance.
    pub standard_error: Option<f64>,
    /// Half of them are at most this long.
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

/// The fleet that was observed.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// How many nodes there are.
    pub nodes: u32,
    /// How often each beats.
    pub interval: Span,
    /// When the first heartbeat was due, with the origin 1970.
    pub start: Instant,
}

/// A node is observed from so many intervals after it is first to be heard, or from a tenth of the run if that is less:
/// what a detector must learn first isn't held against it.
pub const WARM_UP: u64 = 10;

/// With fewer of them chance can't be told from how they differ.
const FEW: u64 = 10;

/// Measures. `group_of` says which of the bounds is a node's. Verdicts may come in any order.
pub fn measure(
    observed: &Observed,
    truth: &Truth,
    verdicts: &[Verdict],
    group_of: impl Fn(u32) -> usize,
    terms: &Terms<'_>,
) -> Quality {
    let mut silences = truth.silences().to_vec();
    silences.sort_unstable_by_key(|silence| (silence.node, silence.began));
    let mut farewells = truth.farewells().to_vec();
    farewells.sort_unstable_by_key(|farewell| farewell.node);
    let mut verdicts: Vec<Verdict> = verdicts.iter().filter(|verdict| verdict.at <= terms.end).copied().collect();
    verdicts.sort_unstable_by_key(|verdict| (verdict.node, verdict.event));

    let warm_up = (observed.interval * WARM_UP).min(Span::from_nanos(terms.end.since(observed.start).nanos() / 10));
    // All have had their turn once by then.
    let open = observed.start + observed.interval + warm_up;
    let mut sums = Sums::default();
    let (mut detection, mut failure) = (Vec::new(), Vec::new());
    let mut quality = Quality::default();
    let suspicions = verdicts.iter().filter(|verdict| verdict.to == Liveness::Suspect && verdict.at >= open);
    let late = |verdict: &Verdict| verdict.due.map(|due| verdict.at.since(due).secs_f64());
    let lateness = suspicions.filter_map(late).collect();
    let (mut silences, mut farewells, mut verdicts) = (&silences[..], &farewells[..], &verdicts[..]);
    for node in 0..observed.nodes {
        let silences = take(&mut silences, |silence| silence.node == node);
        let said = take(&mut farewells, |farewell| farewell.node == node).first().map(|farewell| farewell.said);
        let verdicts = take(&mut verdicts, |verdict| verdict.node == node);

        let (mut up, mut mistakes) = (Span::ZERO, 0);
        for (from, to) in stretches(silences, open, warm_up, said.map_or(terms.end, |said| said.min(terms.end))) {
            let within = |verdict: &&Verdict| verdict.at >= from && verdict.at < to;
            let count = |to| verdicts.iter().filter(within).filter(|verdict| verdict.to == to).count() as u64;
            up = up + to.since(from);
            mistakes += count(Liveness::Suspect);
            quality.false_failures += count(Liveness::Failed);
        }
        quality.mistakes += mistakes;
        sums.add(mistakes as f64, up.secs_f64());

        let bound = terms.bounds.get(group_of(node)).copied().flatten();
        for crash in silences.iter().filter(|silence| silence.why == Why::Killed) {
            let due = bound.is_some_and(|bound| crash.last.arrived + bound + terms.slack < terms.end);
            let (suspected, failed) = lasting(crash, verdicts);
            if suspected.is_none() && crash.ended.is_none() && !due {
                continue;
            }
            quality.crashes += 1;
            quality.missed += u64::from(suspected.is_none());
            detection.extend(suspected.map(|at| at.since(crash.began).secs_f64()));
            failure.extend(failed.map(|at| at.since(crash.began).secs_f64()));
        }
    }
    quality.observed_node_s = sums.up;
    quality.mistake_rate_per_s = sums.rate();
    quality.detection_time_s = Times::of(detection);
    quality.failure_time_s = Times::of(failure);
    quality.suspicion_lateness_s = Times::of(lateness);
    quality
}

/// When a node was observed while it was up and could be heard.
fn stretches(
    silences: &[Silence],
    open: Instant,
    warm_up: Span,
    end: Instant,
) -> impl Iterator<Item = (Instant, Instant)> {
    let opens = std::iter::once(Some(open)).chain(silences.iter().map(move |it| it.ended.map(|ended| ended + warm_up)));
    let closes = silences.iter().map(move |silence| silence.began.min(end)).chain(std::iter::once(end));
    opens.zip(closes).filter_map(move |(from, to)| from.map(|from| (from.max(open), to))).filter(|(from, to)| from < to)
}

/// Since when the node had been suspected, and since when failed, when it came back or nobody looked any more.
fn lasting(crash: &Silence, verdicts: &[Verdict]) -> (Option<Instant>, Option<Instant>) {
    let before_end = |verdict: &&Verdict| crash.ended.is_none_or(|ended| verdict.at + TOLERANCE < ended);
    let (mut suspected, mut failed) = (None, None);
    for verdict in verdicts.iter().take_while(before_end) {
        match verdict.to {
            Liveness::Suspect => (suspected, failed) = (Some(verdict.at), None),
            Liveness::Failed => failed = Some(verdict.at),
            Liveness::Alive | Liveness::Left | Liveness::Unseen => (suspected, failed) = (None, None),
        }
    }
    (suspected, failed)
}

/// Sums over nodes: of the mistakes m on each, of the time u that it was up, and of their products.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    nodes: u64,
    mistakes: f64,
    up: f64,
    mm: f64,
    mu: f64,
    uu: f64,
}

impl Sums {
    fn add(&mut self, mistakes: f64, up: f64) {
        self.nodes += u64::from(up > 0.0);
        self.mistakes += mistakes;
        self.up += up;
        self.mm += mistakes * mistakes;
        self.mu += mistakes * up;
        self.uu += up * up;
    }

    /// A ratio of sums over independent nodes, its error by the delta method.
    fn rate(&self) -> Rate {
        if self.up <= 0.0 {
            return Rate::default();
        }
        let rate = self.mistakes / self.up;
        let enough = self.nodes >= FEW && self.mistakes >= FEW as f64;
        let squares = (self.mm - 2.0 * rate * self.mu + rate * rate * self.uu).max(0.0);
        let nodes = self.nodes as f64;
        let error = enough.then(|| (squares * nodes / (nodes - 1.0)).sqrt() / self.up);
        Rate { value: Some(rate), standard_error: error }
    }
}

impl Times {
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_unstable_by(f64::total_cmp);
        let count = seconds.len();
        let n = count as f64;
        let mean = (count > 0).then(|| seconds.iter().sum::<f64>() / n);
        let spread = |mean: f64| seconds.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Of n times the p-th is the smallest that at least a share of p doesn't exceed.
        let at = |share: f64| seconds.get((share * n).ceil().max(1.0) as usize - 1).copied();
        Self {
            count: count as u64,
            mean,
            standard_error: mean.filter(|_| count as u64 >= FEW).map(|mean| (spread(mean) / n).sqrt()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: seconds.last().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::random::Random;
    use crate::fleet::truth::LastBeat;
    use Liveness::{Alive, Failed, Suspect};

    const START: u64 = 1_700_000_000_000;
    const OBSERVED: Observed =
        Observed { nodes: 10, interval: Span::from_secs(1), start: Instant::from_nanos(START * 1_000_000) };
    /// Observed from 11 to 1,000 s.
    const TERMS: Terms<'_> =
        Terms { bounds: &[Some(Span::from_secs(7))], slack: Span::ZERO, end: at(1_000.0), held: false };

    const fn at(secs: f64) -> Instant {
        Instant::from_nanos((START + (secs * 1e3) as u64) * 1_000_000)
    }

    fn verdicts(said: &[(u32, f64, Liveness)]) -> Vec<Verdict> {
        let verdict = |(event, (node, secs, to)): (u64, &(u32, f64, Liveness))| Verdict {
            event,
            node: *node,
            at: at(*secs),
            to: *to,
            due: None,
            put_off: Span::ZERO,
        };
        (0..).zip(said).map(verdict).collect()
    }

    fn last(secs: f64) -> LastBeat {
        LastBeat { sent: at(secs), arrived: at(secs) }
    }

    fn quality(truth: &Truth, said: &[(u32, f64, Liveness)]) -> Quality {
        measure(&OBSERVED, truth, &verdicts(said), |_| 0, &TERMS)
    }

    #[test]
    fn a_suspicion_of_a_node_that_is_up_is_a_mistake_and_its_failure_a_false_one() {
        let said = [
            (3, 5.0, Suspect), // Not observed yet.
            (3, 6.0, Alive),
            (3, 20.0, Suspect),
            (3, 21.0, Alive),
            (3, 30.0, Suspect),
            (3, 33.0, Failed),
            (3, 34.0, Alive),
        ];
        let quality = quality(&Truth::default(), &said);
        assert_eq!((quality.mistakes, quality.false_failures, quality.crashes), (2, 1, 0));
        assert_eq!((quality.observed_node_s, quality.mistake_rate_per_s.value), (9_890.0, Some(2.0 / 9_890.0)));
        assert_eq!(quality.mistake_rate_per_s.standard_error, None, "two are too few");
    }

    #[test]
    fn who_is_cut_off_dead_or_gone_is_not_observed() {
        let mut truth = Truth::default();
        truth.begin(1, last(99.0), at(100.0), Why::Cut);
        truth.end(1, at(150.0));
        truth.begin(2, last(199.0), at(200.0), Why::Killed);
        truth.farewell(3, at(300.0));
        let said = [
            (1, 102.0, Suspect),
            (1, 150.0, Alive),
            (1, 155.0, Suspect), // It has to be heard for a while first.
            (1, 156.0, Alive),
            (2, 203.0, Suspect),
            (3, 300.0, Liveness::Left),
        ];
        let quality = quality(&truth, &said);
        assert_eq!((quality.mistakes, quality.crashes), (0, 1));
        assert_eq!(quality.observed_node_s, 7.0 * 989.0 + (989.0 - 60.0) + 189.0 + 289.0);
    }

    #[test]
    fn a_crash_is_found_by_the_suspicion_that_lasts() {
        let mut truth = Truth::default();
        for node in 0..4 {
            truth.begin(node, last(99.5), at(100.0), Why::Killed);
        }
        truth.begin(4, last(998.0), at(999.0), Why::Killed); // Not due before the end.
        truth.begin(5, last(99.5), at(100.0), Why::Killed); // Never noticed.
        truth.end(1, at(120.0));
        let said = [
            (0, 102.0, Suspect),
            (0, 105.0, Failed),
            (1, 101.0, Suspect),
            (1, 101.5, Alive), // Something was still on its way.
            (1, 103.0, Suspect),
            (1, 106.0, Failed),
            (1, 120.0, Alive),
            (2, 98.0, Suspect), // Stood already.
            (2, 104.0, Failed),
            (3, 102.5, Suspect),
        ];
        let quality = quality(&truth, &said);
        assert_eq!((quality.crashes, quality.missed, quality.mistakes), (5, 1, 1));
        let (found, failed) = (quality.detection_time_s, quality.failure_time_s);
        assert_eq!((found.count, found.mean, found.p50, found.max), (4, Some(1.875), Some(2.0), Some(3.0)));
        assert_eq!((failed.count, failed.mean, failed.max), (3, Some(5.0), Some(6.0)));
    }

    #[test]
    fn the_error_of_a_rate_is_how_much_it_scatters() {
        let rates: Vec<Rate> = (0..200)
            .map(|seed| {
                let mut random = Random::new(seed);
                let mut said = Vec::new();
                for node in 0..OBSERVED.nodes {
                    for secs in 20..1_000 {
                        if random.chance(0.01) {
                            said.extend([(node, f64::from(secs), Suspect), (node, f64::from(secs) + 0.5, Alive)]);
                        }
                    }
                }
                quality(&Truth::default(), &said).mistake_rate_per_s
            })
            .collect();
        let n = rates.len() as f64;
        let mean = rates.iter().map(|rate| rate.value.unwrap()).sum::<f64>() / n;
        let scatter = (rates.iter().map(|rate| (rate.value.unwrap() - mean).powi(2)).sum::<f64>() / n).sqrt();
        let told = rates.iter().map(|rate| rate.standard_error.unwrap()).sum::<f64>() / n;
        assert!((0.8..1.25).contains(&(told / scatter)), "told {told}, seen {scatter}");
    }

    #[test]
    fn percentiles_are_times_that_occurred() {
        let times = Times::of((1..=1_000).rev().map(f64::from).collect());
        assert_eq!((times.p50, times.p90, times.p99, times.p999), (Some(500.0), Some(900.0), Some(990.0), Some(999.0)));
        assert_eq!((times.mean, times.max), (Some(500.5), Some(1_000.0)));
        assert!((times.standard_error.unwrap() - (1_000.0 * 1_001.0 / 12.0 / 1_000f64).sqrt()).abs() < 1e-9);
        assert_eq!(Times::of(vec![]), Times::default());
    }
}
