//! Which model a trace could have come from: each is fitted to it, and the better ones come first.
//!
//! By maximum likelihood where that is within reach, else by moments; each says which. They are
//! ordered by Schwarz's criterion (BIC, Annals of Statistics 6, 1978), `k ln n - 2 ln L`: what a
//! parameter explains has to be worth a ln n. A low BIC is no proof: `systole-sim models` shows
//! which statistics of the trace a fitted model gives again, and which it doesn't.

mod delay;
mod hmm;
mod loss;
mod statistics;

use systole_core::Span;

use crate::latency::{Correlated, Delay, Histogram};
use crate::loss::Loss;

pub use statistics::{DelayStatistics, LossStatistics};

/// A model with the parameters that suit best.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted<M> {
    /// The model, with its parameters rounded to four digits.
    pub model: M,
    /// The natural logarithm of its likelihood, before rounding.
    pub log_likelihood: f64,
    /// How many parameters were chosen.
    pub parameters: u32,
    /// Schwarz's criterion: the lower the better.
    pub bic: f64,
    /// By what it was fitted, and to what.
    pub reason: String,
}

/// Models of loss for a series of heartbeats, in order, each lost or not; the best first. Never none.
pub fn loss(losses: &[bool]) -> Vec<Fitted<Loss>> {
    let runs = loss::RunLengths::of(losses);
    let mut fitted = loss::by_runs(&runs);
    // Fewer tell nothing about what changes with time.
    if runs.lost() >= 20 && runs.lost() < losses.len() as u64 {
        fitted.extend(loss::elliott(losses));
        fitted.extend(loss::fading(losses));
    }
    best_first(fitted)
}

/// The same where only the lengths of the runs of losses were counted, and the heartbeats that came; in which
/// order is not known. The models are then those that are told by it: independent, Gilbert's, Fritchman's.
pub fn loss_runs(arrived: u64, runs: &[(u64, u64)]) -> Vec<Fitted<Loss>> {
    best_first(loss::by_runs(&loss::RunLengths::new(arrived, runs.iter().copied())))
}

/// Models of delay for what a series of heartbeats took, in order, one each `interval`; the best first. None
/// where there is no delay.
pub fn delay(delays: &[Span], interval: Span) -> Vec<Fitted<Delay>> {
    best_first(delay::fitted(delays, interval))
}

/// The delays themselves, as a histogram, with the correlation that they have. Nothing where there is no delay.
pub fn histogram(delays: &[Span]) -> Option<Delay> {
    let mut sorted: Vec<Span> = delays.iter().map(|delay| thousandths(*delay)).collect();
    sorted.sort_unstable();
    let mut buckets: Vec<(Span, u64)> = Vec::new();
    for delay in sorted {
        match buckets.last_mut() {
            Some((last, count)) if *last == delay => *count += 1,
            Some(_) | None => buckets.push((delay, 1)),
        }
    }
    let law = Delay::Histogram(Histogram::new(buckets).ok()?);
    let lag1 = rounded(DelayStatistics::of(delays)?.lag1);
    Some(Correlated::new(law.clone(), lag1).map_or(law, Delay::Correlated))
}

fn best_first<M>(mut fitted: Vec<Fitted<M>>) -> Vec<Fitted<M>> {
    fitted.sort_by(|one, other| one.bic.total_cmp(&other.bic));
    fitted
}

impl<M> Fitted<M> {
    fn new(model: M, log_likelihood: f64, parameters: u32, n: u64, reason: String) -> Self {
        let bic = f64::from(parameters) * libm::log(n as f64) - 2.0 * log_likelihood;
        Self { model, log_likelihood, parameters, bic, reason }
    }
}

/// To four significant digits: what is shown is what is used, and nobody measures more.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = (3.0 - libm::floor(libm::log10(value.abs()))) as i32;
    let scale = libm::pow(10.0, f64::from(digits.abs()));
    // Divided by a whole power of ten rather than multiplied by its inverse: the nearest float to the digits.
    if digits >= 0 { libm::round(value * scale) / scale } else { libm::round(value / scale) * scale }
}

/// To what a span shows of itself.
pub(crate) fn thousandths(span: Span) -> Span {
    let unit = if span >= Span::from_secs(1) { 1_000_000 } else { 1_000 };
    Span::from_nanos((span.nanos() + unit / 2) / unit * unit)
}

/// To four digits, and to what a span shows of itself.
fn span(secs: f64) -> Span {
    thousandths(Span::from_nanos((rounded(secs) * 1e9) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Delays;
    use crate::loss::Lossy;
    use crate::random::{Actor, Purpose, Stream};
    use systole_core::Instant;

    const SECOND: Span = Span::from_secs(1);

    fn losses(text: &str, n: usize) -> Vec<bool> {
        let model: Loss = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut path = Lossy::new(&model, Stream::new(7, Actor::node(0, 0), Purpose::Loss), SECOND);
        (0..n as u64).map(|beat| path.loses(&model, Instant::ORIGIN + SECOND * beat)).collect()
    }

    fn delays(text: &str, n: usize) -> Vec<Span> {
        let model: Delay = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut path = Delays::new(&model, Stream::new(7, Actor::node(0, 0), Purpose::Delay), SECOND);
        (0..n as u64).map(|beat| path.draw(&model, Instant::ORIGIN + SECOND * beat)).collect()
    }

    /// The numbers in a model's text, by their keys.
    fn numbers(text: &str) -> Vec<(String, f64)> {
        let (_, list) = text.split_once(':').expect("a model with parameters");
        let pair = |part: &str| {
            let (key, value) = part.split_once('=')?;
            let number = match value.parse::<Span>() {
                Ok(span) => span.secs_f64(),
                Err(_) => value.parse().ok()?,
            };
            Some((key.to_string(), number))
        };
        list.split(',').filter_map(pair).collect()
    }

    #[track_caller]
    fn near(fitted: &str, truth: &str, tolerance: f64) {
        let (seen, true_ones) = (numbers(fitted), numbers(truth));
        for (key, value) in true_ones {
            let (_, found) = seen.iter().find(|(other, _)| *other == key).expect("the same parameters");
            assert!((found / value - 1.0).abs() < tolerance, "{key}: {fitted}, not {truth}");
        }
    }

    #[test]
    fn losses_are_taken_for_what_they_were_drawn_from() {
        for (truth, n, tolerance) in [
            ("gilbert:p=0.05,burst=4", 20_000, 0.15),
            ("gilbert:p=0.1,burst=20,bad=0.5,good=0.01", 40_000, 0.25),
            ("fading:p=0.32,sigma=1.5,memory=50", 20_000, 0.35),
            ("fritchman:p=0.02,runs=9x1|1x20", 40_000, 0.3),
        ] {
            let fitted = loss(&losses(truth, n));
            let best = fitted[0].model.to_string();
            let name = |text: &str| text.split_once(':').map(|(name, _)| name.to_string());
            assert_eq!(name(&best), name(truth), "{fitted:#?}");
            near(&best, truth, tolerance);
        }
        let fitted = loss(&losses("0.1", 20_000));
        assert!(matches!(fitted[0].model, Loss::Independent(p) if (p - 0.1).abs() < 0.009), "{fitted:#?}");
    }

    #[test]
    fn kinds_of_runs_are_told_from_their_lengths_alone() {
        // The real ones of a LoRaWAN station.
        let fitted = loss_runs(13_768, &[(1, 47), (3, 1), (4, 1), (6, 1), (26, 1)]);
        assert!(matches!(fitted[0].model, Loss::Fritchman(_)), "{fitted:#?}");
        assert!((fitted[0].model.share() - 86.0 / 13_854.0).abs() < 1e-5);
        let order = losses("fritchman:p=0.02,runs=9x1|1x20", 20_000);
        let counted = loss::RunLengths::of(&order);
        let same = loss_runs(counted.arrived(), &counted.lengths().collect::<Vec<_>>());
        assert_eq!(same[0], *loss(&order).iter().find(|fit| fit.model == same[0].model).expect("it is one of them"));
    }

    #[test]
    fn what_lost_nothing_or_everything_is_said_to() {
        assert_eq!(loss(&[false; 100]).iter().map(|fit| fit.model.clone()).collect::<Vec<_>>(), [Loss::None]);
        assert_eq!(loss(&[true; 100])[0].model, Loss::Independent(1.0));
        assert_eq!((loss(&[])[0].model.clone(), delay(&[], SECOND)), (Loss::None, Vec::new()));
    }

    #[test]
    fn delays_are_taken_for_what_they_were_drawn_from() {
        for (truth, tolerance) in [
            ("normal:mean=20ms,sd=3ms", 0.05),
            ("lognormal:median=20ms,sigma=0.5", 0.05),
            ("gamma:mean=20ms,shape=3", 0.05),
            ("weibull:scale=20ms,shape=0.6", 0.05),
            ("pareto:min=10ms,shape=2.5", 0.05),
            ("lognormal:median=20ms,sigma=0.5,lag1=0.6", 0.05),
        ] {
            let fitted = delay(&delays(truth, 20_000), SECOND);
            near(&fitted[0].model.to_string(), truth, tolerance);
        }
        let fitted = delay(&delays("exp:20ms", 20_000), SECOND);
        assert!(
            matches!(fitted[0].model, Delay::Exp(mean) if mean.nanos().abs_diff(20_000_000) < 600_000),
            "{fitted:#?}"
        );
        let fitted = delay(&[Span::from_millis(20); 50], SECOND);
        assert_eq!(fitted[0].model, Delay::Const(Span::from_millis(20)));
    }

    #[test]
    fn hours_of_slow_delays_are_taken_for_regimes() {
        let truth = "regimes:lognormal:median=20ms,sigma=0.3@10m|lognormal:median=200ms,sigma=0.3@2m";
        let fitted = delay(&delays(truth, 100_000), SECOND);
        let Delay::Regimes(regimes) = &fitted[0].model else { panic!("{fitted:#?}") };
        for (regime, (median, lasts)) in regimes.list().iter().zip([(0.02, 600.0), (0.2, 120.0)]) {
            let found = numbers(&regime.law.to_string())[0].1;
            assert!((found / median - 1.0).abs() < 0.05, "{regime:?}");
            assert!((regime.lasts.secs_f64() / lasts - 1.0).abs() < 0.3, "{regime:?}");
        }
    }

    #[test]
    fn a_histogram_keeps_every_delay_and_their_correlation() {
        let real = delays("exp:20ms,lag1=0.6", 20_000);
        let model = histogram(&real).expect("there are delays");
        let (real, again) = (DelayStatistics::of(&real).expect("some"), delays(&model.to_string(), 20_000));
        let again = DelayStatistics::of(&again).expect("some");
        for (one, other) in [(real.mean, again.mean), (real.p99, again.p99), (real.lag1, again.lag1)] {
            assert!((one / other - 1.0).abs() < 0.1, "{real:?} {again:?}");
        }
    }

    #[test]
    fn four_digits_are_kept() {
        let all = [123_456.0, 0.001_234_56, -1.23456, 0.0];
        assert_eq!(all.map(rounded), [123_500.0, 0.001_235, -1.235, 0.0]);
    }
}
