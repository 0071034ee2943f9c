//! How long a heartbeat travels, as a law of probability.
//!
//! Theory asks one thing of a delay: the probability that it is longer than so much. Laws whose
//! tail has no closed form (a trace, a mixture of regimes) are simulated instead, or enter the
//! configurator by their mean and variance.

use libm::{erfc, exp, expm1, log, pow, sqrt, tgamma};

use crate::latency::Delay;

/// A law of the delay D. All times are in seconds, and every delay is at least zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DelayLaw {
    /// Always the same.
    Constant {
        /// That one delay.
        delay: f64,
    },
    /// Anything between two delays, equally likely.
    Uniform {
        /// The shortest.
        least: f64,
        /// The longest.
        most: f64,
    },
    /// Without memory.
    Exponential {
        /// The mean, which is the standard deviation too.
        mean: f64,
    },
    /// Its logarithm is normal.
    Lognormal {
        /// As many are shorter as are longer.
        median: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Pr(D > x) = exp(-(x/scale)^shape).
    Weibull {
        /// Exceeded by one in e.
        scale: f64,
        /// Below 1 the tail is heavier than exponential.
        shape: f64,
    },
    /// Pr(D > x) = (scale/x)^shape from the scale on.
    Pareto {
        /// The shortest delay.
        scale: f64,
        /// How quickly the tail thins out.
        shape: f64,
    },
}

impl DelayLaw {
    /// The law that a simulated network follows, if it is one of these.
    pub fn of(delay: &Delay) -> Option<Self> {
        match *delay {
            Delay::Const(delay) => Some(Self::Constant { delay: delay.secs_f64() }),
            Delay::Uniform { from, to } => Some(Self::Uniform { least: from.secs_f64(), most: to.secs_f64() }),
            Delay::Exp(mean) if mean.is_zero() => Some(Self::Constant { delay: 0.0 }),
            Delay::Exp(mean) => Some(Self::Exponential { mean: mean.secs_f64() }),
            Delay::LogNormal { median, sigma } if sigma == 0.0 || median.is_zero() => {
                Some(Self::Constant { delay: median.secs_f64() })
            }
            Delay::LogNormal { median, sigma } => Some(Self::Lognormal { median: median.secs_f64(), sigma }),
            Delay::Weibull { scale, .. } | Delay::Pareto { min: scale, .. } if scale.is_zero() => {
                Some(Self::Constant { delay: 0.0 })
            }
            Delay::Weibull { scale, shape } => Some(Self::Weibull { scale: scale.secs_f64(), shape }),
            Delay::Pareto { min, shape } => Some(Self::Pareto { scale: min.secs_f64(), shape }),
            // The law of one delay isn't all that is to be known of these.
            Delay::Correlated(_) | Delay::Regimes(_) | Delay::Histogram(_) | Delay::Trace(_) => None,
            // One is cut off at zero, the other's tail is an incomplete gamma function.
            Delay::Normal { .. } | Delay::Gamma { .. } => None,
        }
    }

    /// Pr(D > x).
    pub fn beyond(&self, x: f64) -> f64 {
        if x < 0.0 {
            return 1.0;
        }
        match *self {
            Self::Constant { delay } => f64::from(u8::from(delay > x)),
            Self::Uniform { least, most } if most > least => ((most - x) / (most - least)).clamp(0.0, 1.0),
            Self::Uniform { least, .. } => f64::from(u8::from(least > x)),
            Self::Exponential { mean } => exp(-x / mean),
            Self::Lognormal { median, sigma } => {
                if x == 0.0 {
                    1.0
                } else {
                    0.5 * erfc(log(x / median) / (sigma * sqrt(2.0)))
                }
            }
            Self::Weibull { scale, shape } => exp(-pow(x / scale, shape)),
            Self::Pareto { scale, shape } => {
                if x <= scale {
                    1.0
                } else {
                    pow(scale / x, shape)
                }
            }
        }
    }

    /// Pr(D < x): what [`beyond`](Self::beyond) leaves, but for laws that put weight on x itself.
    pub fn before(&self, x: f64) -> f64 {
        match *self {
            Self::Constant { delay } => f64::from(u8::from(delay < x)),
            Self::Uniform { least, most } if least >= most => f64::from(u8::from(least < x)),
            Self::Uniform { .. }
            | Self::Exponential { .. }
            | Self::Lognormal { .. }
            | Self::Weibull { .. }
            | Self::Pareto { .. } => 1.0 - self.beyond(x),
        }
    }

    /// E(D); infinite for a Pareto law with a shape of 1 or less.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant { delay } => delay,
            Self::Uniform { least, most } => 0.5 * (least + most),
            Self::Exponential { mean } => mean,
            Self::Lognormal { median, sigma } => median * exp(0.5 * sigma * sigma),
            Self::Weibull { scale, shape } => scale * tgamma(1.0 + 1.0 / shape),
            Self::Pareto { scale, shape } if shape > 1.0 => scale * shape / (shape - 1.0),
            Self::Pareto { .. } => f64::INFINITY,
        }
    }

    /// V(D); infinite for a Pareto law with a shape of 2 or less.
    pub fn variance(&self) -> f64 {
        match *self {
            Self::Constant { .. } => 0.0,
            Self::Uniform { least, most } => (most - least) * (most - least) / 12.0,
            Self::Exponential { mean } => mean * mean,
            Self::Lognormal { median, sigma } => {
                let s2 = sigma * sigma;
                median * median * exp(s2) * expm1(s2)
            }
            Self::Weibull { scale, shape } => {
                let first = tgamma(1.0 + 1.0 / shape);
                scale * scale * (tgamma(1.0 + 2.0 / shape) - first * first)
            }
            Self::Pareto { scale, shape } if shape > 2.0 => {
                scale * scale * shape / ((shape - 1.0) * (shape - 1.0) * (shape - 2.0))
            }
            Self::Pareto { .. } => f64::INFINITY,
        }
    }

    /// No heartbeat arrives sooner after it was sent.
    pub fn least(&self) -> f64 {
        match *self {
            Self::Constant { delay } => delay,
            Self::Uniform { least, .. } => least,
            Self::Pareto { scale, .. } => scale,
            Self::Exponential { .. } | Self::Lognormal { .. } | Self::Weibull { .. } => 0.0,
        }
    }

    /// Where [`beyond`](Self::beyond) jumps, bends or has come down by another order of magnitude:
    /// between two neighbours it is smooth and no peak can hide from a quadrature.
    pub(super) fn knots(&self) -> Vec<f64> {
        let mut knots = vec![self.least()];
        if let Self::Uniform { most, .. } = *self {
            knots.push(most);
        }
        let tails = [0.999, 0.9, 0.5, 0.1, 1e-2, 1e-4, 1e-8, 1e-16];
        knots.extend(tails.map(|tail| self.exceeded_by(tail)));
        knots
    }

    /// The delay that a share `tail` of the heartbeats exceeds, to four digits.
    fn exceeded_by(&self, tail: f64) -> f64 {
        let (mut low, mut high) = (SHORTEST, LONGEST);
        while high / low > 1.0001 {
            let middle = sqrt(low * high);
            if self.beyond(middle) > tail { low = middle } else { high = middle }
        }
        high
    }
}

/// Seconds: beyond these two no delay is told from none, or from loss.
const SHORTEST: f64 = 1e-12;
const LONGEST: f64 = 1e12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::integral::integral;

    const LAWS: [DelayLaw; 6] = [
        DelayLaw::Constant { delay: 0.02 },
        DelayLaw::Uniform { least: 0.01, most: 0.03 },
        DelayLaw::Exponential { mean: 0.02 },
        DelayLaw::Lognormal { median: 0.02, sigma: 0.5 },
        DelayLaw::Weibull { scale: 0.02, shape: 0.7 },
        DelayLaw::Pareto { scale: 0.01, shape: 4.0 },
    ];

    #[test]
    fn the_mean_and_the_second_moment_are_integrals_of_the_tail() {
        for law in LAWS {
            let mut knots = law.knots();
            knots.extend([0.0, 1e4]);
            let mean = integral(&|x| law.beyond(x), &mut knots.clone());
            let square = integral(&|x| 2.0 * x * law.beyond(x), &mut knots);
            assert!((mean / law.mean() - 1.0).abs() < 1e-9, "{law:?}: {mean}");
            let variance = square - mean * mean;
            assert!((variance - law.variance()).abs() < 1e-9 * square, "{law:?}: {variance}");
        }
    }

    #[test]
    fn a_tail_falls_from_one_and_leaves_the_rest_to_before() {
        for law in LAWS {
            assert_eq!(law.beyond(-1.0), 1.0);
            assert_eq!(law.beyond(0.0), 1.0);
            let mut last = 1.0;
            for step in 1..1_000 {
                let x = f64::from(step) * 1e-4 + 1e-9;
                let now = law.beyond(x);
                assert!(now <= last && now >= 0.0, "{law:?} rises at {x}");
                assert!((now + law.before(x) - 1.0).abs() < 1e-15, "{law:?} at {x}");
                last = now;
            }
        }
    }

    #[test]
    fn only_a_constant_delay_puts_weight_on_one_instant() {
        let law = DelayLaw::Constant { delay: 0.02 };
        assert_eq!((law.before(0.02), law.beyond(0.02)), (0.0, 0.0));
    }
}
