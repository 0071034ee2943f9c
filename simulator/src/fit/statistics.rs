//! What a series of losses or delays is like, in numbers that two series can be compared by.

use systole_core::Span;

/// What is lost, in which runs, and how one loss foretells another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossStatistics {
    /// How many heartbeats were sent.
    pub heartbeats: u64,
    /// How many of them were lost.
    pub lost: u64,
    /// How many runs of losses there are of length 1, 2, 3, 4, 5, and of 6 or more.
    pub runs: [u64; 6],
    /// The longest run.
    pub longest: u64,
    /// The correlation of one loss with the next, the tenth and the hundredth after it; 0 if it can't be told.
    pub autocorrelation: [f64; 3],
}

/// How long heartbeats take, and how much one resembles the next. In seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayStatistics {
    /// How many there are.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub sd: f64,
    /// Half are at most this long.
    pub p50: f64,
    /// 90 % are.
    pub p90: f64,
    /// 99 % are.
    pub p99: f64,
    /// 99.9 % are.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The correlation of one with the next; 0 if it can't be told.
    pub lag1: f64,
    /// The correlation of one with the tenth after it.
    pub lag10: f64,
}

impl LossStatistics {
    /// Of heartbeats in order, each lost or not.
    pub fn of(losses: &[bool]) -> Self {
        let mut runs = [0; 6];
        let mut longest = 0;
        for run in losses.split(|lost| !lost).map(<[bool]>::len).filter(|run| *run > 0) {
            runs[run.min(6) - 1] += 1;
            longest = longest.max(run as u64);
        }
        let lost = losses.iter().filter(|lost| **lost).count();
        let series: Vec<f64> = losses.iter().map(|lost| f64::from(u8::from(*lost))).collect();
        let autocorrelation = [1, 10, 100].map(|lag| correlation(&series, lag));
        Self { heartbeats: losses.len() as u64, lost: lost as u64, runs, longest, autocorrelation }
    }

    /// The share that is lost.
    pub fn share(&self) -> f64 {
        self.lost as f64 / self.heartbeats.max(1) as f64
    }

    /// Each by its name.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let [one, two, three, four, five, more] = self.runs.map(|count| count as f64);
        let [lag1, lag10, lag100] = self.autocorrelation;
        vec![
            ("share lost", self.share()),
            ("runs of 1", one),
            ("runs of 2", two),
            ("runs of 3", three),
            ("runs of 4", four),
            ("runs of 5", five),
            ("runs of 6 or more", more),
            ("longest run", self.longest as f64),
            ("autocorrelation 1", lag1),
            ("autocorrelation 10", lag10),
            ("autocorrelation 100", lag100),
        ]
    }
}

impl DelayStatistics {
    /// Of delays in order; nothing if there is none.
    pub fn of(delays: &[Span]) -> Option<Self> {
        let series: Vec<f64> = delays.iter().map(|delay| delay.secs_f64()).collect();
        let mut sorted = series.clone();
        sorted.sort_by(f64::total_cmp);
        let max = *sorted.last()?;
        let n = series.len() as f64;
        let mean = series.iter().sum::<f64>() / n;
        let square = series.iter().map(|delay| (delay - mean) * (delay - mean)).sum::<f64>() / n;
        let quantile = |share: f64| sorted[(libm::ceil(share * n) as usize).max(1) - 1];
        Some(Self {
            count: series.len() as u64,
            mean,
            sd: libm::sqrt(square),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max,
            lag1: correlation(&series, 1),
            lag10: correlation(&series, 10),
        })
    }

    /// Each by its name; times in milliseconds.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let millis = [
            ("mean ms", self.mean),
            ("sd ms", self.sd),
            ("p50 ms", self.p50),
            ("p90 ms", self.p90),
            ("p99 ms", self.p99),
            ("p99.9 ms", self.p999),
            ("longest ms", self.max),
        ];
        let rest = [("autocorrelation 1", self.lag1), ("autocorrelation 10", self.lag10)];
        millis.into_iter().map(|(name, secs)| (name, secs * 1e3)).chain(rest).collect()
    }
}

/// The correlation of a series with itself, so many steps later; 0 if it doesn't vary or is too short.
pub(super) fn correlation(series: &[f64], lag: usize) -> f64 {
    let n = series.len() as f64;
    let mean = series.iter().sum::<f64>() / n;
    let later = series.get(lag..).unwrap_or_default();
    let product = |(one, other): (&f64, &f64)| (one - mean) * (other - mean);
    let own: f64 = series.iter().zip(series).map(product).sum();
    if own > 0.0 { series.iter().zip(later).map(product).sum::<f64>() / own } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_by_their_length() {
        let losses: Vec<bool> = "x.xx.xxxxxxx..x".chars().map(|beat| beat == 'x').collect();
        let seen = LossStatistics::of(&losses);
        assert_eq!((seen.heartbeats, seen.lost, seen.runs, seen.longest), (15, 11, [2, 1, 0, 0, 0, 1], 7));
    }

    #[test]
    fn what_alternates_is_the_opposite_of_its_neighbour() {
        let seen = LossStatistics::of(&[true, false].repeat(5_000));
        let expected = [-1.0, 1.0, 1.0];
        assert!(seen.autocorrelation.iter().zip(expected).all(|(seen, expected)| (seen - expected).abs() < 0.02));
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let delays: Vec<Span> = (1..=1_000).rev().map(Span::from_millis).collect();
        let seen = DelayStatistics::of(&delays).expect("there are delays");
        assert_eq!([seen.p50, seen.p90, seen.p99, seen.p999, seen.max], [0.5, 0.9, 0.99, 0.999, 1.0]);
        assert!((seen.mean - 0.5005).abs() < 1e-9 && (seen.sd - 0.288_675).abs() < 1e-6);
        assert_eq!(DelayStatistics::of(&[]), None);
    }
}
