//! A number that was measured, and how far off it may be: 95 % confidence intervals.
//!
//! Heartbeats of one node are not independent of each other, so a standard deviation over all
//! of them would promise too much. The run is cut into [`BATCHES`] batches instead, by node where
//! there are nodes enough and else by time, which are nearly independent; every estimate is a ratio
//! of two sums, and its error follows from how the batches scatter around that ratio (delta method,
//! Student's t). A rate seen fewer than [`RARE`] times has too few
//! batches with anything in them: there, and only there, counts are taken to be Poisson.

use serde::{Deserialize, Serialize};

/// Into so many batches a run is cut.
pub const BATCHES: usize = 100;

/// Fewer events than this are counted as Poisson.
pub const RARE: f64 = 30.0;

/// So many batches must have something in them before their scatter says anything.
pub const FILLED: usize = 10;

/// 95 % of a normal distribution lie within so many standard deviations.
const Z: f64 = 1.959_964;

/// An estimate with its 95 % confidence interval. What the run can't tell is nothing: with no
/// mistake at all the mean time between mistakes has a lower end and neither a value nor an upper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: Option<f64>,
    /// The lower end of the interval.
    pub ci_low: Option<f64>,
    /// The upper end.
    pub ci_high: Option<f64>,
    /// The standard error, where the interval comes from batches.
    pub standard_error: Option<f64>,
}

/// Two sums over one batch, whose ratio over all batches is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pair {
    /// What is divided.
    pub above: f64,
    /// What it is divided by.
    pub below: f64,
}

/// The ratio of sums over independent batches.
/// With fewer than [`FILLED`] batches that have anything in them there is no saying how far off it is.
pub fn ratio(batches: &[Pair]) -> Estimate {
    let (above, below) = sums(batches);
    if below <= 0.0 {
        return Estimate::default();
    }
    let value = above / below;
    let filled = batches.iter().filter(|pair| pair.below > 0.0).count();
    if filled < FILLED {
        return Estimate { value: Some(value), ..Estimate::default() };
    }
    let squares: f64 = batches.iter().map(|pair| pair.above - value * pair.below).map(|rest| rest * rest).sum();
    let n = filled as f64;
    around(value, libm::sqrt(squares * n / (n - 1.0)) / below, n - 1.0)
}

/// The mean of so many independent observations, given their sum and the sum of their squares.
pub fn mean(count: u64, sum: f64, squares: f64) -> Estimate {
    let n = count as f64;
    match count as usize {
        0 => Estimate::default(),
        1..FILLED => Estimate { value: Some(sum / n), ..Estimate::default() },
        FILLED.. => {
            let variance = ((squares - sum * sum / n) / (n - 1.0)).max(0.0);
            around(sum / n, libm::sqrt(variance / n), n - 1.0)
        }
    }
}

fn around(value: f64, error: f64, freedom: f64) -> Estimate {
    let t = student(freedom);
    Estimate {
        value: Some(value),
        ci_low: Some(value - t * error),
        ci_high: Some(value + t * error),
        standard_error: Some(error),
    }
}

/// Student's t for 95 % (Abramowitz and Stegun 26.7.5; within 1 % from 9 degrees of freedom on).
pub(crate) fn student(freedom: f64) -> f64 {
    let (z, z3, z5) = (Z, Z * Z * Z, Z * Z * Z * Z * Z);
    z + (z3 + z) / (4.0 * freedom) + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * freedom * freedom)
}

/// How often per unit of `below` what `above` counts happens: by batches, or as Poisson if it is rare.
pub fn rate(batches: &[Pair]) -> Estimate {
    let (count, below) = sums(batches);
    if below <= 0.0 {
        return Estimate::default();
    }
    if count >= RARE {
        return ratio(batches).at_least(0.0);
    }
    let (low, high) = poisson(count);
    Estimate {
        value: Some(count / below),
        ci_low: Some(low / below),
        ci_high: Some(high / below),
        standard_error: None,
    }
}

/// Between which means a Poisson count as seen is plausible (Wilson and Hilferty's approximation
/// of the exact interval of Garwood 1936; at 0 it says 3.66 for 3.69).
fn poisson(count: f64) -> (f64, f64) {
    let end = |n: f64, z: f64| {
        let root = 1.0 - 1.0 / (9.0 * n) + z / (3.0 * libm::sqrt(n));
        n * root * root * root
    };
    let low = if count > 0.0 { end(count, -Z).max(0.0) } else { 0.0 };
    (low, end(count + 1.0, Z))
}

fn sums(batches: &[Pair]) -> (f64, f64) {
    batches.iter().fold((0.0, 0.0), |(above, below), pair| (above + pair.above, below + pair.below))
}

impl Estimate {
    /// One over it: of a rate, the mean time between.
    pub fn inverse(self) -> Self {
        let over = |value: Option<f64>| value.filter(|value| *value > 0.0).map(|value| 1.0 / value);
        Self {
            value: over(self.value),
            ci_low: over(self.ci_high),
            ci_high: over(self.ci_low),
            // To first order, the relative error stays what it is.
            standard_error: self.value.zip(self.standard_error).map(|(value, error)| error / (value * value)),
        }
    }

    /// What is missing to one: of a probability, that of the opposite.
    pub fn complement(self) -> Self {
        let rest = |value: Option<f64>| value.map(|value| 1.0 - value);
        Self {
            value: rest(self.value),
            ci_low: rest(self.ci_high).map(|low| low.max(0.0)),
            ci_high: rest(self.ci_low).map(|high| high.min(1.0)),
            standard_error: self.standard_error,
        }
    }

    /// The sum of independent ones. Either end of its interval is as far off as theirs are, added in quadrature (Zou and
    /// Donner, Statistics in Medicine 27, 2008): what was never seen reaches up and not down in the sum as well.
    /// What isn't known of one isn't known of the sum.
    pub fn sum(parts: &[Self]) -> Self {
        match parts {
            [] => return Self::default(),
            [one] => return *one,
            [_, _, ..] => {}
        }
        let value: Option<f64> = parts.iter().map(|part| part.value).sum();
        let squares = |off: fn(&Self) -> Option<f64>| -> Option<f64> {
            let squares: Option<f64> = parts.iter().map(|part| off(part).map(|off| off * off)).sum();
            squares.map(libm::sqrt)
        };
        let below = squares(|part| Some(part.value? - part.ci_low?));
        let above = squares(|part| Some(part.ci_high? - part.value?));
        Self {
            value,
            ci_low: value.zip(below).map(|(value, below)| value - below),
            ci_high: value.zip(above).map(|(value, above)| value + above),
            standard_error: squares(|part| part.standard_error),
        }
    }

    /// So many times as much.
    pub fn times(self, factor: f64) -> Self {
        let scale = |value: Option<f64>| value.map(|value| value * factor);
        Self {
            value: scale(self.value),
            ci_low: scale(self.ci_low),
            ci_high: scale(self.ci_high),
            standard_error: scale(self.standard_error),
        }
    }

    /// The interval as far as it is possible at all.
    #[must_use]
    pub fn at_least(self, least: f64) -> Self {
        Self { ci_low: self.ci_low.map(|low| low.max(least)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poisson_interval_is_the_published_one() {
        // Garwood's exact 95 % intervals.
        for (count, low, high) in
            [(0.0, 0.0, 3.689), (1.0, 0.0253, 5.572), (5.0, 1.623, 11.668), (20.0, 12.217, 30.888)]
        {
            let (l, h) = poisson(count);
            assert!((l - low).abs() < 0.06 && (h - high).abs() < 0.04, "{count}: {l} {h}");
        }
    }

    #[test]
    fn students_t_is_that_of_the_tables() {
        for (freedom, t) in [(9.0, 2.262), (20.0, 2.086), (99.0, 1.984)] {
            assert!((student(freedom) - t).abs() < 0.01 * t, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn batches_that_agree_leave_no_doubt_and_others_as_much_as_they_scatter() {
        let same = [Pair { above: 2.0, below: 10.0 }; BATCHES];
        let estimate = ratio(&same);
        assert_eq!((estimate.value, estimate.standard_error), (Some(0.2), Some(0.0)));
        let mut other = same;
        for pair in other.iter_mut().step_by(2) {
            pair.above = 4.0;
        }
        // Each batch is 1 away from the mean of 3: the error of a sum of 100 is 10 * sqrt(100/99).
        let error = ratio(&other).standard_error.expect("an error");
        assert!((error - 10.0 * libm::sqrt(100.0 / 99.0) / 1_000.0).abs() < 1e-12, "{error}");
    }

    #[test]
    fn a_mean_is_as_sure_as_its_observations_scatter() {
        // 0 and 2 in turn, a hundred times: mean 1, variance 100/99.
        let estimate = mean(100, 100.0, 200.0);
        assert_eq!(estimate.value, Some(1.0));
        assert!(estimate.standard_error.is_some_and(|error| (error - libm::sqrt(1.0 / 99.0)).abs() < 1e-12));
        assert_eq!(mean(3, 6.0, 14.0), Estimate { value: Some(2.0), ..Estimate::default() });
        assert_eq!(mean(0, 0.0, 0.0), Estimate::default());
    }

    #[test]
    fn a_sum_is_as_far_off_as_its_parts_in_quadrature() {
        let around = |value: f64, below: f64, above: f64| Estimate {
            value: Some(value),
            ci_low: Some(value - below),
            ci_high: Some(value + above),
            standard_error: Some(below / 2.0),
        };
        assert_eq!(Estimate::sum(&[around(8.0, 3.0, 6.0), around(5.0, 4.0, 8.0)]), around(13.0, 5.0, 10.0));
        let one = around(0.1, 0.01, 0.3);
        assert_eq!((Estimate::sum(&[one]), Estimate::sum(&[])), (one, Estimate::default()));
        assert_eq!(Estimate::sum(&[one, Estimate::default()]), Estimate::default());
    }

    /// Counts of two groups with these means, and whether what they come to, times the groups' nodes, lies below the
    /// upper end: over all pairs of counts with their Poisson probabilities.
    #[test]
    fn the_upper_end_of_a_sum_is_honest_however_rare_and_unequal_its_parts() {
        let chances = |mean: f64| -> Vec<f64> {
            (1..60)
                .scan(libm::exp(-mean), |chance, k| Some(core::mem::replace(chance, *chance * mean / k as f64)))
                .collect()
        };
        let seen = |count: usize, nodes: f64| rate(&[Pair { above: count as f64, below: 1.0 }]).times(nodes);
        for (nodes, means) in [(1.0, 10.0), (1.0, 1_000.0), (1.0, 1.0)].into_iter().flat_map(|nodes| {
            let means = [0.05, 0.3, 1.0, 3.0, 3.6, 3.7, 5.0, 15.0];
            means.into_iter().flat_map(move |one| means.map(|other| (nodes, (one, other))))
        }) {
            let truth = nodes.0 * means.0 + nodes.1 * means.1;
            let (one, other) = (chances(means.0), chances(means.1));
            let mut beyond = 0.0;
            for (a, chance_a) in one.iter().enumerate() {
                for (b, chance_b) in other.iter().enumerate() {
                    let sum = Estimate::sum(&[seen(a, nodes.0), seen(b, nodes.1)]);
                    if sum.ci_high.is_some_and(|high| high < truth) {
                        beyond += chance_a * chance_b;
                    }
                }
            }
            assert!(beyond < 0.026, "{nodes:?} {means:?}: {beyond}");
        }
    }

    #[test]
    fn nothing_seen_is_no_rate_of_zero_for_sure() {
        let estimate = rate(&[Pair { above: 0.0, below: 10.0 }; BATCHES]);
        assert_eq!((estimate.value, estimate.ci_low), (Some(0.0), Some(0.0)));
        assert!(estimate.ci_high.is_some_and(|high| (high - 0.003_66).abs() < 1e-4));
        let between = estimate.inverse();
        assert_eq!((between.value, between.ci_high), (None, None));
        assert!(between.ci_low.is_some_and(|low| low > 270.0));
        assert_eq!(rate(&[]), Estimate::default());
    }
}
