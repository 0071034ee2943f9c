//! Several seeds of one setting, taken together.
//!
//! Counts and the time over which they were counted are added up, group by group; the interval is that of the sum.
//! Fewer than 30 false failures of a group are taken as Poisson; above that, each run brings the error that
//! its own batches gave. Distributions of times are mixed, each crash counting once; a crash that
//! was not failed before its node came back stays in the denominator, as a time without an end.

use crate::estimate::{Estimate, Pair, RARE, rate};
use crate::qos::SHARES;

use super::record::{Failures, Record};

/// What several runs of one setting say together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pooled {
    /// How many runs.
    pub(crate) runs: usize,
    /// Heartbeats sent in all of them.
    pub(crate) heartbeats: u64,
    /// Mistakes: suspected while up.
    pub(crate) mistakes: u64,
    /// Failed while up.
    pub(crate) false_failures: u64,
    /// Crashes that count.
    pub(crate) crashes: u64,
    /// Not suspected before the node was back.
    pub(crate) missed: u64,
    /// False failures per day and node, of the fleet's nodes on average.
    pub(crate) per_node_day: Estimate,
    /// From crash to *suspect*.
    pub(crate) suspected: Mixture,
    /// From crash to *failed*.
    pub(crate) failed: Mixture,
}

/// By when which share of all crashes had been found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mixture {
    /// Time in seconds and share of all crashes; both rise. Ends below 1 if some were not found.
    pub(crate) curve: Vec<(f64, f64)>,
    /// Each run's times at [`SHARES`], with how many crashes these are and of how many.
    parts: Vec<(Vec<f64>, u64, u64)>,
}

impl Pooled {
    /// Of at least one record; all are of the same setting.
    pub(crate) fn of(records: &[&Record]) -> Self {
        let sum = |of: fn(&Record) -> u64| records.iter().map(|record| of(record)).sum();
        Self {
            runs: records.len(),
            heartbeats: sum(|record| record.heartbeats),
            mistakes: sum(|record| record.qos.mistakes),
            false_failures: sum(|record| record.qos.false_failures),
            crashes: sum(|record| record.qos.crashes),
            missed: sum(|record| record.qos.missed),
            per_node_day: per_node_day(records),
            suspected: Mixture::of(records.iter().map(|record| {
                let qos = &record.qos;
                (qos.detection_quantiles_s.clone(), qos.detection_time_s.count, qos.crashes)
            })),
            failed: Mixture::of(records.iter().map(|record| {
                let qos = &record.qos;
                (qos.failure_quantiles_s.clone(), qos.failure_time_s.count, qos.crashes)
            })),
        }
    }
}

/// Each group's rate per day, and from all of them that of the fleet's nodes on average.
fn per_node_day(records: &[&Record]) -> Estimate {
    let groups = records.first().map_or(0, |record| record.groups.len());
    let runs = |group| records.iter().filter_map(move |record| record.groups.get(group)).collect::<Vec<&Failures>>();
    let rates: Vec<Estimate> = (0..groups).map(|group| per_day(&runs(group))).collect();
    let nodes: f64 = records.first().map_or(0.0, |record| f64::from(record.nodes));
    Estimate::sum(&rates).times(1.0 / nodes)
}

/// In one whole group, over several runs of it.
fn per_day(runs: &[&Failures]) -> Estimate {
    // For how long all of its nodes were observed at once.
    let days = |run: &Failures| run.observed_s / f64::from(run.nodes) / 86_400.0;
    let pairs: Vec<Pair> = runs.iter().map(|run| Pair { above: run.false_failures as f64, below: days(run) }).collect();
    let (count, observed) =
        pairs.iter().fold((0.0, 0.0), |(count, days), pair| (count + pair.above, days + pair.below));
    if count < RARE {
        return rate(&pairs);
    }
    let variance: f64 = runs
        .iter()
        .map(|run| {
            let error = run.per_day_standard_error.map(|error| error * days(run));
            // Too few to have been seen in many batches: Poisson, where the variance is the count.
            error.map_or(run.false_failures as f64, |error| error * error)
        })
        .sum();
    let (value, error) = (count / observed, libm::sqrt(variance) / observed);
    Estimate {
        value: Some(value),
        ci_low: Some((value - Z * error).max(0.0)),
        ci_high: Some(value + Z * error),
        standard_error: Some(error),
    }
}

/// 95 % of a normal distribution lie within so many standard deviations; with 100 batches a run
/// Student's t is the same to a hundredth.
const Z: f64 = 1.959_964;

impl Mixture {
    /// Of runs: their times at [`SHARES`], how many crashes these are, and of how many.
    pub(crate) fn of(parts: impl Iterator<Item = (Vec<f64>, u64, u64)>) -> Self {
        let parts: Vec<_> = parts.collect();
        let all: u64 = parts.iter().map(|(_, _, crashes)| crashes).sum();
        let mut times: Vec<f64> = parts.iter().flat_map(|(times, _, _)| times).copied().collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let share = |at: f64| {
            let found = parts.iter().map(|(times, found, _)| *found as f64 * reached(times, at)).sum::<f64>();
            found / all.max(1) as f64
        };
        let curve = times.into_iter().map(|at| (at, share(at))).collect();
        Self { curve, parts }
    }

    /// Within how many seconds this share of all crashes was found; nothing if it never was.
    pub(crate) fn within(&self, share: f64) -> Option<f64> {
        let (_, end) = self.curve.last()?;
        // All that were found are all there were, but for rounding.
        if share > *end + 1e-9 {
            return None;
        }
        let after = self.curve.iter().position(|(_, reached)| *reached >= share - 1e-9)?;
        let (secs, reached) = self.curve[after];
        let Some((before_secs, before)) = after.checked_sub(1).map(|before| self.curve[before]) else {
            return Some(secs);
        };
        let part = if reached > before { ((share - before) / (reached - before)).clamp(0.0, 1.0) } else { 1.0 };
        Some(before_secs + (secs - before_secs) * part)
    }

    /// The least and the most that single runs say of the same.
    pub(crate) fn within_each(&self, share: f64) -> Option<(f64, f64)> {
        let each = self.parts.iter().map(|part| Self::of(std::iter::once(part.clone())).within(share));
        let each: Option<Vec<f64>> = each.collect();
        let each = each.filter(|each| !each.is_empty())?;
        Some(each.iter().fold((f64::INFINITY, 0.0), |(low, high), secs| (low.min(*secs), high.max(*secs))))
    }
}

/// Which share of a run's found crashes had been found by then, straight between the quantiles.
fn reached(times: &[f64], at: f64) -> f64 {
    let Some(last) = times.iter().rposition(|time| *time <= at) else { return 0.0 };
    let Some((next, share)) = times.get(last + 1).zip(SHARES.get(last + 1)) else { return 1.0 };
    SHARES[last] + (share - SHARES[last]) * (at - times[last]) / (next - times[last])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;
    use crate::scenario::{Group, Scenario};

    fn records(loss: &str, seeds: u64) -> Vec<Record> {
        (0..seeds)
            .map(|seed| {
                let group = Group {
                    nodes: 10,
                    heartbeats: 40_000,
                    crashes: 100,
                    loss: loss.parse().expect("a loss"),
                    detector: "fixed:timeout=1.5s".parse().expect("a detector"),
                    confirm: "1s".parse().expect("a wait"),
                    ..Group::default()
                };
                let scenario = group.alone(seed);
                Record::of(&scenario, &run(&scenario, |_| {}))
            })
            .collect()
    }

    #[test]
    fn one_run_alone_is_what_it_was() {
        let one = &records("0.1", 1)[0];
        let pooled = Pooled::of(&[one]);
        let (there, here) = (one.qos.false_failures_per_fleet_day, pooled.per_node_day.times(10.0));
        for (there, here) in [(there.value, here.value), (there.ci_low, here.ci_low), (there.ci_high, here.ci_high)] {
            assert!(
                there.zip(here).is_some_and(|(there, here)| (there / here - 1.0).abs() < 0.03),
                "{there:?} {here:?}"
            );
        }
        for (share, there) in
            [(0.5, one.qos.failure_time_s.p50), (0.99, one.qos.failure_time_s.p99), (1.0, one.qos.failure_time_s.max)]
        {
            let (there, here) = (there.expect("found"), pooled.failed.within(share).expect("found"));
            assert!((there / here - 1.0).abs() < 0.002, "{share}: {there} {here}");
        }
    }

    #[test]
    fn more_seeds_are_surer_of_the_same() {
        let records = records("0.1", 8);
        let width = |pooled: &Pooled| {
            let Estimate { ci_low, ci_high, .. } = pooled.per_node_day;
            ci_high.zip(ci_low).map(|(high, low)| high - low).expect("an interval")
        };
        let (one, all) = (Pooled::of(&[&records[0]]), Pooled::of(&records.iter().collect::<Vec<_>>()));
        let narrower = width(&one) / width(&all);
        assert!((2.0..4.0).contains(&narrower), "eight seeds are the root of 8 narrower: {narrower}");
        assert_eq!(all.false_failures, records.iter().map(|record| record.qos.false_failures).sum::<u64>());
    }

    #[test]
    fn what_was_never_seen_is_bounded_by_all_the_time_watched() {
        let records = records("none", 3);
        let pooled = Pooled::of(&records.iter().collect::<Vec<_>>());
        let days: f64 = records.iter().map(|record| record.observed_s / 86_400.0).sum();
        assert_eq!(pooled.per_node_day.value, Some(0.0));
        assert!(pooled.per_node_day.ci_high.is_some_and(|high| (high * days - 3.66).abs() < 0.01));
    }

    #[test]
    fn a_group_counts_by_its_nodes_however_long_it_was_watched() {
        let group = |name: &str, nodes: u32, beats: u64, loss: &str| Group {
            name: name.into(),
            nodes,
            heartbeats: beats * u64::from(nodes),
            loss: loss.parse().expect("a loss"),
            detector: "fixed:timeout=1.5s".parse().expect("a detector"),
            confirm: "1s".parse().expect("a wait"),
            ..Group::default()
        };
        let groups = vec![group("bad", 30, 400, "0.1"), group("good", 10, 40_000, "none")];
        let records: Vec<Record> = (0..3)
            .map(|seed| {
                let scenario = Scenario { seed, groups: groups.clone(), ..Scenario::default() };
                Record::of(&scenario, &run(&scenario, |_| {}))
            })
            .collect();
        let pooled = Pooled::of(&records.iter().collect::<Vec<_>>()).per_node_day;
        let bad: Vec<&Failures> = records.iter().map(|record| &record.groups[0]).collect();
        let (bad, per_day) = (per_day(&bad), pooled.times(40.0));
        // The bad ones are three of four nodes, though but three of a hundred heartbeats.
        let close = |one: Option<f64>, other: Option<f64>| {
            one.zip(other).is_some_and(|(one, other)| one > 0.0 && (one / other - 1.0).abs() < 1e-3)
        };
        assert!(close(per_day.value, bad.value), "{per_day:?} {bad:?}");
        assert!(close(per_day.ci_low, bad.ci_low) && close(per_day.ci_high, bad.ci_high), "{per_day:?} {bad:?}");
        let each = records.iter().map(|record| record.qos.false_failures_per_fleet_day.value.expect("observed"));
        assert!(close(Some(each.sum::<f64>() / 3.0), per_day.value));
    }

    #[test]
    fn a_crash_that_was_not_found_is_still_a_crash() {
        let quantiles: Vec<f64> = SHARES.iter().map(|share| 1.0 + share).collect();
        let mixture = Mixture::of([(quantiles.clone(), 100, 100), (quantiles, 50, 100)].into_iter());
        assert_eq!(mixture.within(0.99), None);
        assert!(mixture.within(0.375).is_some_and(|secs| (secs - 1.5).abs() < 1e-9));
        assert_eq!(mixture.within_each(0.5), Some((1.5, 2.0)));
        assert_eq!(Mixture::default().within(0.5), None);
    }
}
