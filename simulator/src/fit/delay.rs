//! Laws of delay, each with the parameters under which what was seen is likeliest.
//!
//! Each law is tried with and without the correlation that was seen. What one delay tells about the
//! next is worth -n/2 ln(1 - rho²), as between normal variables; rho is taken from the ranks.

use systole_core::Span;

use super::hmm::Chain;
use super::statistics::{DelayStatistics, correlation};
use super::{Fitted, rounded, span, thousandths};
use crate::latency::{Correlated, Delay, Regime, Regimes};

/// Sums over all delays, in seconds.
struct Sums {
    n: f64,
    min: f64,
    max: f64,
    mean: f64,
    sd: f64,
    log_mean: f64,
    log_sd: f64,
    /// The mean of x ln x.
    mixed: f64,
}

pub(super) fn fitted(delays: &[Span], interval: Span) -> Vec<Fitted<Delay>> {
    let Some(statistics) = DelayStatistics::of(delays) else {
        return Vec::new();
    };
    let n = statistics.count;
    // A delay of nothing is one too short for the clock: as short as the shortest that it saw.
    let shortest = delays.iter().filter(|delay| !delay.is_zero()).min();
    let series: Vec<f64> = match shortest {
        Some(shortest) => delays.iter().map(|delay| (*delay).max(*shortest).secs_f64()).collect(),
        None => vec![0.0; delays.len()],
    };
    if delays.iter().all(|delay| *delay == delays[0]) || delays.len() < 10 {
        let reason = format!("the median of {n} delays, which tell no more");
        return vec![Fitted::new(Delay::Const(span(statistics.p50)), 0.0, 1, n, reason)];
    }
    let sums = Sums::of(&series);
    let mut fitted = laws(&sums, &series);
    let rho = 2.0 * libm::sin(core::f64::consts::PI / 6.0 * correlation(&ranks(&series), 1));
    let lag1 = rounded(statistics.lag1);
    let told = -0.5 * sums.n * libm::log(1.0 - rho * rho);
    let correlated: Vec<Fitted<Delay>> = fitted
        .iter()
        .filter_map(|law| {
            let model = Delay::Correlated(Correlated::new(law.model.clone(), lag1).ok()?);
            let reason = format!("{}, and the correlation as it was", law.reason);
            Some(Fitted::new(model, law.log_likelihood + told, law.parameters + 1, n, reason))
        })
        .collect();
    fitted.extend(correlated);
    fitted.extend(regimes(&series, &sums, interval));
    fitted
}

impl Sums {
    fn of(series: &[f64]) -> Self {
        let n = series.len() as f64;
        let mean_of = |value: &dyn Fn(f64) -> f64| series.iter().map(|x| value(*x)).sum::<f64>() / n;
        let (mean, log_mean) = (mean_of(&|x| x), mean_of(&libm::log));
        Self {
            n,
            min: series.iter().copied().fold(f64::INFINITY, f64::min),
            max: series.iter().copied().fold(0.0, f64::max),
            mean,
            sd: libm::sqrt(mean_of(&|x| (x - mean) * (x - mean))),
            log_mean,
            log_sd: libm::sqrt(mean_of(&|x| (libm::log(x) - log_mean) * (libm::log(x) - log_mean))),
            mixed: mean_of(&|x| x * libm::log(x)),
        }
    }
}

fn laws(sums: &Sums, series: &[f64]) -> Vec<Fitted<Delay>> {
    let Sums { n, min, max, mean, sd, log_mean, log_sd, mixed } = *sums;
    let half_log_tau = 0.5 * libm::log(core::f64::consts::TAU);
    let mut fitted = Vec::new();
    let mut fit = |model: Delay, log_likelihood: f64, parameters: u32, reason: &str| {
        // What was rounded out of its range is no fit.
        if model.check().is_ok() {
            fitted.push(Fitted::new(model, log_likelihood, parameters, n as u64, reason.into()));
        }
    };
    const LIKELIEST: &str = "maximum likelihood";

    // From below the shortest to above the longest, in what a span can say.
    let (from, to) = (Span::from_nanos((min * 1e9) as u64), thousandths(Span::from_nanos((max * 1e9) as u64)));
    let from = Span::from_nanos(from.nanos() / 1_000 * 1_000);
    fit(Delay::Uniform { from, to }, -n * libm::log(max - min), 2, LIKELIEST);
    fit(Delay::Exp(span(mean)), -n * (libm::log(mean) + 1.0), 1, LIKELIEST);
    let normal = Delay::Normal { mean: span(mean), sd: span(sd) };
    fit(normal, -n * (libm::log(sd) + half_log_tau + 0.5), 2, LIKELIEST);
    let lognormal = Delay::LogNormal { median: span(libm::exp(log_mean)), sigma: rounded(log_sd) };
    fit(lognormal, -n * (log_mean + libm::log(log_sd) + half_log_tau + 0.5), 2, LIKELIEST);

    // Closed, and within a thousandth of the likeliest (Ye and Chen, American Statistician 71, 2017).
    let scale = mixed - mean * log_mean;
    let shape = mean / scale;
    let of_gamma = (shape - 1.0) * log_mean - shape * libm::log(scale) - mean / scale - libm::lgamma(shape);
    let gamma = Delay::Gamma { mean: span(mean), shape: rounded(shape) };
    fit(gamma, n * of_gamma, 2, "the closed estimator of Ye and Chen");

    let (scale, shape) = weibull(series, log_mean, max);
    let of_weibull = libm::log(shape) - shape * libm::log(scale) + (shape - 1.0) * log_mean - 1.0;
    fit(Delay::Weibull { scale: span(scale), shape: rounded(shape) }, n * of_weibull, 2, LIKELIEST);

    let shape = 1.0 / (log_mean - libm::log(min));
    let of_pareto = libm::log(shape) + shape * libm::log(min) - (shape + 1.0) * log_mean;
    fit(Delay::Pareto { min: span(min), shape: rounded(shape) }, n * of_pareto, 2, LIKELIEST);
    fitted
}

/// The likeliest scale and shape: the shape's equation has one root, and is monotone.
fn weibull(series: &[f64], log_mean: f64, max: f64) -> (f64, f64) {
    // In units of the longest, so that no power overflows.
    let power = |shape: f64| {
        series.iter().fold((0.0, 0.0), |(sum, mixed), x| {
            let power = libm::pow(x / max, shape);
            (sum + power, mixed + power * libm::log(x / max))
        })
    };
    let (mut low, mut high) = (0.05, 100.0);
    for _ in 0..40 {
        let middle = libm::sqrt(low * high);
        let (sum, mixed) = power(middle);
        if mixed / sum - 1.0 / middle < log_mean - libm::log(max) { low = middle } else { high = middle }
    }
    let shape = libm::sqrt(low * high);
    (max * libm::pow(power(shape).0 / series.len() as f64, 1.0 / shape), shape)
}

/// Two lognormal laws by turns (Baum and Welch), if they are two.
fn regimes(series: &[f64], sums: &Sums, interval: Span) -> Option<Fitted<Delay>> {
    let logs: Vec<f64> = series.iter().map(|x| libm::log(*x)).collect();
    let mut chain = Chain { to_one: 0.01, to_zero: 0.1 };
    let mut laws =
        [(sums.log_mean - 0.3 * sums.log_sd, 0.5 * sums.log_sd), (sums.log_mean + 2.0 * sums.log_sd, sums.log_sd)];
    let mut log_likelihood = f64::NEG_INFINITY;
    for _ in 0..EM_STEPS {
        let likely = |log: f64| {
            laws.map(|(mean, sd)| (libm::exp(-0.5 * (log - mean) * (log - mean) / (sd * sd)) / sd).max(1e-200))
        };
        let seen: Vec<[f64; 2]> = logs.iter().map(|log| likely(*log)).collect();
        let smoothed = chain.smooth(&seen);
        let gained = smoothed.log_likelihood - log_likelihood;
        log_likelihood = smoothed.log_likelihood;
        if gained < EM_ENOUGH {
            break;
        }
        chain = smoothed.next;
        laws = [0.0, 1.0].map(|state| {
            let weight = |one: f64| if state > 0.0 { one } else { 1.0 - one };
            let each = || logs.iter().zip(smoothed.in_one.iter().map(|one| weight(*one)));
            let all = each().map(|(_, weight)| weight).sum::<f64>().max(1e-12);
            let mean = each().map(|(log, weight)| weight * log).sum::<f64>() / all;
            let square = each().map(|(log, weight)| weight * (log - mean) * (log - mean)).sum::<f64>() / all;
            (mean, libm::sqrt(square).max(SD_LEAST))
        });
    }
    let regime = |(mean, sd): (f64, f64), leaves: f64| Regime {
        law: Delay::LogNormal { median: span(libm::exp(mean)), sigma: rounded(sd) },
        // As many heartbeats in the mean.
        lasts: span(interval.secs_f64() / leaves),
    };
    let both = vec![regime(laws[0], chain.to_one), regime(laws[1], chain.to_zero)];
    let share = chain.to_one / (chain.to_one + chain.to_zero);
    let model = Regimes::new(both).ok()?;
    let log_likelihood = log_likelihood - sums.n * (sums.log_mean + 0.5 * libm::log(core::f64::consts::TAU));
    let reason =
        format!("maximum likelihood (Baum and Welch): {:.2} % of the delays are of the second law", share * 1e2);
    Some(Fitted::new(Delay::Regimes(model), log_likelihood, 6, sums.n as u64, reason))
}

/// Where each stands among all; equals share the middle.
fn ranks(series: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by(|one, other| series[*one].total_cmp(&series[*other]));
    let mut ranks = vec![0.0; series.len()];
    let mut from = 0;
    for equals in order.chunk_by(|one, other| series[*one] == series[*other]) {
        let middle = from as f64 + 0.5 * (equals.len() - 1) as f64;
        equals.iter().for_each(|at| ranks[*at] = middle);
        from += equals.len();
    }
    ranks
}

const EM_STEPS: u32 = 300;
const EM_ENOUGH: f64 = 1e-3;
/// Where a clock's grain makes many equal, a law would become a point.
const SD_LEAST: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
    }
}
