//! Models of loss, each with the parameters under which what was seen is likeliest.

use std::collections::BTreeMap;

use super::hmm::Chain;
use super::{Fitted, rounded};
use crate::loss::{Fading, Fritchman, GilbertElliott, Loss, Runs};

/// How many runs of losses there are of each length, and how many heartbeats came.
#[derive(Clone, Debug)]
pub(super) struct RunLengths {
    arrived: u64,
    counts: BTreeMap<u64, u64>,
}

impl RunLengths {
    pub(super) fn new(arrived: u64, runs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut counts = BTreeMap::new();
        for (length, count) in runs.into_iter().filter(|(length, count)| *length > 0 && *count > 0) {
            *counts.entry(length).or_default() += count;
        }
        Self { arrived, counts }
    }

    pub(super) fn of(losses: &[bool]) -> Self {
        let arrived = losses.iter().filter(|lost| !**lost).count();
        Self::new(arrived as u64, losses.split(|lost| !lost).map(|run| (run.len() as u64, 1)))
    }

    #[cfg(test)]
    pub(super) const fn arrived(&self) -> u64 {
        self.arrived
    }

    pub(super) fn lengths(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter().map(|(length, count)| (*length, *count))
    }

    pub(super) fn lost(&self) -> u64 {
        self.lengths().map(|(length, count)| length * count).sum()
    }

    fn runs(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The logarithm of the probability that runs begin where they do, and nowhere else.
    fn starts(&self) -> f64 {
        binomial(self.runs(), self.arrived)
    }
}

/// The models of which the lengths of runs tell everything.
pub(super) fn by_runs(runs: &RunLengths) -> Vec<Fitted<Loss>> {
    let (lost, arrived) = (runs.lost(), runs.arrived);
    let n = lost + arrived;
    if lost == 0 {
        let reason = format!("none of {n} heartbeats was lost: at 95 % confidence fewer than 3 in as many are");
        return vec![Fitted::new(Loss::None, 0.0, 0, n.max(1), reason)];
    }
    let p = lost as f64 / n as f64;
    let reason = format!("maximum likelihood: {lost} of {n} heartbeats were lost");
    let mut fitted = vec![Fitted::new(Loss::Independent(rounded(p)), binomial(lost, n), 1, n, reason)];
    if arrived == 0 {
        return fitted;
    }
    let burst = lost as f64 / runs.runs() as f64;
    let gilbert = Loss::Gilbert { p: rounded(p), burst: rounded(burst) };
    if gilbert.check().is_ok() {
        let log_likelihood = runs.starts() + binomial(runs.runs(), lost);
        let reason = format!("maximum likelihood: {} runs of losses, {burst:.3} long on average", runs.runs());
        fitted.push(Fitted::new(gilbert, log_likelihood, 2, n, reason));
    }
    let kinds = runs.counts.len() as u64;
    let several = (2..=3).filter(|of| u64::from(*of) <= kinds).filter_map(|of| fritchman(runs, p, of, n));
    fitted.extend(several.min_by(|one, other| one.bic.total_cmp(&other.bic)));
    fitted
}

/// Runs of several kinds: their lengths are a mixture of geometric laws (EM).
fn fritchman(runs: &RunLengths, p: f64, of: u32, n: u64) -> Option<Fitted<Loss>> {
    let longest = *runs.counts.keys().last()? as f64;
    // Means spread from single losses to the longest run, alike in the logarithm.
    let mean = |kind: u32| libm::pow(longest, f64::from(kind) / f64::from(of - 1));
    let mut kinds: Vec<Runs> = (0..of).map(|kind| Runs { weight: 1.0 / f64::from(of), length: mean(kind) }).collect();
    let mut log_likelihood = f64::NEG_INFINITY;
    for _ in 0..EM_STEPS {
        let mut sums = vec![(0.0, 0.0); kinds.len()];
        let mut likelihood = 0.0;
        for (length, count) in runs.lengths() {
            let each: Vec<f64> = kinds.iter().map(|kind| kind.weight * geometric(kind.length, length)).collect();
            let all = each.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            likelihood += count as f64 * libm::log(all);
            for ((weight, lost), of_kind) in sums.iter_mut().zip(&each) {
                *weight += count as f64 * of_kind / all;
                *lost += count as f64 * length as f64 * of_kind / all;
            }
        }
        for (kind, (weight, lost)) in kinds.iter_mut().zip(&sums) {
            *kind = Runs { weight: weight / runs.runs() as f64, length: (lost / weight.max(1e-12)).max(1.0) };
        }
        let gained = likelihood - log_likelihood;
        log_likelihood = likelihood;
        if gained < EM_ENOUGH {
            break;
        }
    }
    kinds.retain(|kind| kind.weight * runs.runs() as f64 > 0.5);
    kinds.sort_by(|one, other| one.length.total_cmp(&other.length));
    let shown = kinds
        .iter()
        .map(|kind| Runs { weight: rounded(kind.weight * runs.runs() as f64), length: rounded(kind.length) });
    let model = Fritchman::new(rounded(p), shown.collect()).ok()?;
    let reason = format!("maximum likelihood (EM): {} runs of losses are of {} kinds", runs.runs(), kinds.len());
    Some(Fitted::new(Loss::Fritchman(model), runs.starts() + log_likelihood, 2 * of, n, reason))
}

/// A chain of two states in both of which some are lost (Baum and Welch).
pub(super) fn elliott(losses: &[bool]) -> Option<Fitted<Loss>> {
    let n = losses.len() as u64;
    let p = losses.iter().filter(|lost| **lost).count() as f64 / n as f64;
    let mut best: Option<(f64, Chain, [f64; 2])> = None;
    for (bad, good, to_zero) in [(0.9, 0.1 * p, 0.5), (0.5f64.max(p), 0.2 * p, 0.05), (0.5f64.max(p), 0.5 * p, 0.01)] {
        let share = ((p - good) / (bad - good)).clamp(0.01, 0.99);
        let mut chain = Chain { to_one: to_zero * share / (1.0 - share), to_zero };
        let mut loses = [good, bad];
        let mut log_likelihood = f64::NEG_INFINITY;
        for _ in 0..EM_STEPS {
            let likely = |lost: bool| loses.map(|p| if lost { p } else { 1.0 - p });
            let seen: Vec<[f64; 2]> = losses.iter().map(|lost| likely(*lost)).collect();
            let smoothed = chain.smooth(&seen);
            let gained = smoothed.log_likelihood - log_likelihood;
            log_likelihood = smoothed.log_likelihood;
            if gained < EM_ENOUGH {
                break;
            }
            let (mut lost, mut all) = ([0.0; 2], [0.0; 2]);
            for (was_lost, one) in losses.iter().zip(&smoothed.in_one) {
                for (state, weight) in [1.0 - one, *one].into_iter().enumerate() {
                    all[state] += weight;
                    lost[state] += if *was_lost { weight } else { 0.0 };
                }
            }
            chain = smoothed.next;
            loses = [0, 1].map(|state: usize| (lost[state] / all[state].max(1e-12)).clamp(0.0, 1.0));
        }
        if best.is_none_or(|(other, ..)| log_likelihood > other) {
            best = Some((log_likelihood, chain, loses));
        }
    }
    let (log_likelihood, chain, [good, bad]) = best?;
    let share = chain.to_one / (chain.to_one + chain.to_zero);
    let p = good + share * (bad - good);
    let model = GilbertElliott::new(rounded(p), rounded(1.0 / chain.to_zero), rounded(bad), rounded(good)).ok()?;
    let reason =
        format!("maximum likelihood (Baum and Welch): {:.2} % of the heartbeats are in the bad state", share * 1e2);
    Some(Fitted::new(Loss::GilbertElliott(model), log_likelihood, 4, n, reason))
}

/// A probability that wanders: its logit as a chain of 15 states (Rouwenhorst's, which keeps the correlation
/// of an autoregression however long its memory), searched for the likeliest spread and memory.
pub(super) fn fading(losses: &[bool]) -> Option<Fitted<Loss>> {
    let n = losses.len() as u64;
    let p = losses.iter().filter(|lost| **lost).count() as f64 / n as f64;
    let model =
        |[sigma, memory, repeat]: [f64; 3]| Fading::new(rounded(p), libm::exp(sigma), libm::exp(memory), repeat).ok();
    let likely = |at: [f64; 3]| model(at).map_or(f64::NEG_INFINITY, |model| log_likelihood(&model, losses));
    let starts = [0.5, 1.5, 3.0].into_iter().flat_map(|sigma| [5.0, 50.0, 500.0].map(|memory| (sigma, memory)));
    let starts = starts.map(|(sigma, memory)| [libm::log(sigma), libm::log(memory), 0.0]);
    let start = starts.map(|at| (likely(at), at)).max_by(|one, other| one.0.total_cmp(&other.0))?;
    let (plain, at) = climb(start, [0.5, 0.7, 0.0], likely);
    let (repeating, with) = climb((plain, at), [0.25, 0.35, 0.1], likely);
    // A second memory has to be worth its parameter.
    let (log_likelihood, [sigma, memory, repeat], parameters) =
        if 2.0 * (repeating - plain) > libm::log(n as f64) { (repeating, with, 4) } else { (plain, at, 3) };
    let [sigma, memory] = [sigma, memory].map(|log| rounded(libm::exp(log)));
    let model = Fading::new(rounded(p), sigma, memory, rounded(repeat)).ok()?;
    let reason = "the share as it was, the rest by maximum likelihood over a chain of 15 states".to_string();
    Some(Fitted::new(Loss::Fading(model), log_likelihood, parameters, n, reason))
}

/// Goes where it is likelier, one coordinate at a time, in steps that halve where nothing is.
fn climb(
    (mut best, mut at): (f64, [f64; 3]),
    mut steps: [f64; 3],
    likely: impl Fn([f64; 3]) -> f64,
) -> (f64, [f64; 3]) {
    for _ in 0..HALVINGS {
        for (coordinate, step) in steps.into_iter().enumerate().filter(|(_, step)| *step > 0.0) {
            for step in [step, -step] {
                loop {
                    let mut next = at;
                    next[coordinate] += step;
                    let value = likely(next);
                    if value <= best {
                        break;
                    }
                    (best, at) = (value, next);
                }
            }
        }
        steps = steps.map(|step| 0.5 * step);
    }
    (best, at)
}

fn log_likelihood(model: &Fading, losses: &[bool]) -> f64 {
    let step = rouwenhorst(model.keep());
    let reach = libm::sqrt((STATES - 1) as f64);
    let probabilities: [f64; STATES] =
        core::array::from_fn(|state| model.probability(reach * (2.0 * state as f64 / (STATES - 1) as f64 - 1.0)));
    // Binomial, which is the chain's stationary law.
    let mut states = [0.0; STATES];
    states[0] = libm::pow(0.5, (STATES - 1) as f64);
    for state in 1..STATES {
        states[state] = states[state - 1] * (STATES - state) as f64 / state as f64;
    }
    let mut sum = 0.0;
    let mut last: Option<bool> = None;
    for lost in losses {
        let repeated = last.map_or(0.0, |last| if last == *lost { 1.0 } else { 0.0 });
        let repeat = if last.is_some() { model.repeat() } else { 0.0 };
        let seen = |p: f64| repeat * repeated + (1.0 - repeat) * if *lost { p } else { 1.0 - p };
        let mut next = [0.0; STATES];
        for (weight, row) in states.iter().zip(&step) {
            for (to, probability) in next.iter_mut().zip(row) {
                *to += weight * probability;
            }
        }
        let mut all = 0.0;
        for (weight, p) in next.iter_mut().zip(&probabilities) {
            *weight *= seen(*p);
            all += *weight;
        }
        let all = all.max(f64::MIN_POSITIVE);
        states = next.map(|weight| weight / all);
        sum += libm::log(all);
        last = Some(*lost);
    }
    sum
}

/// The steps of a chain of [`STATES`] states with this correlation (Rouwenhorst 1995): each of
/// STATES - 1 coins stays with (1 + keep)/2, and the state is how many show heads.
fn rouwenhorst(keep: f64) -> [[f64; STATES]; STATES] {
    let stay = 0.5 * (1.0 + keep);
    let mut step = [[0.0; STATES]; STATES];
    for (from, row) in step.iter_mut().enumerate() {
        row[0] = 1.0;
        // Coin after coin: the first `from` show heads.
        for coin in 0..STATES - 1 {
            let heads = if coin < from { stay } else { 1.0 - stay };
            for to in (0..=coin + 1).rev() {
                let from_below = if to > 0 { row[to - 1] } else { 0.0 };
                row[to] = row[to] * (1.0 - heads) + from_below * heads;
            }
        }
    }
    step
}

/// The logarithm of the probability of so many of so many, in their order, at the likeliest rate.
fn binomial(some: u64, of: u64) -> f64 {
    let part = |some: u64| if some == 0 { 0.0 } else { some as f64 * libm::log(some as f64 / of as f64) };
    part(some.min(of)) + part(of.saturating_sub(some))
}

fn geometric(mean: f64, length: u64) -> f64 {
    libm::pow(1.0 - 1.0 / mean, (length - 1) as f64) / mean
}

const STATES: usize = 15;
const HALVINGS: u32 = 5;
const EM_STEPS: u32 = 300;
/// A gain in the logarithm of the likelihood that no longer matters.
const EM_ENOUGH: f64 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rouwenhorsts_chain_keeps_its_correlation() {
        for keep in [0.0, 0.5, 0.99] {
            let step = rouwenhorst(keep);
            for (from, row) in step.iter().enumerate() {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                let middle = (STATES - 1) as f64 / 2.0;
                let mean: f64 = row.iter().enumerate().map(|(to, p)| (to as f64 - middle) * p).sum();
                assert!((mean - keep * (from as f64 - middle)).abs() < 1e-9, "{keep} {from}: {mean}");
            }
        }
    }

    #[test]
    fn without_spread_a_fading_path_is_as_likely_as_an_independent_one() {
        let losses: Vec<bool> = (0..1_000).map(|beat| beat % 7 == 0).collect();
        let lost = losses.iter().filter(|lost| **lost).count() as u64;
        let model = Fading::new(lost as f64 / 1e3, 0.0, 10.0, 0.0).expect("possible");
        assert!((log_likelihood(&model, &losses) - binomial(lost, 1_000)).abs() < 1e-6);
    }
}
