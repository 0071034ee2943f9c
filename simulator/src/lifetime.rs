//! How long machines live, and how long they stay down: failures cluster.
//!
//! ```text
//!   exponential        x     x   x      x     x    x       as likely at any time
//!   Weibull, 0.45      xxx x                  x xx         what failed a while ago soon fails again
//! ```
//! Of nine fleets in the Failure Trace Archive seven have a Weibull shape of 0.33 to 0.55 between
//! the failures of one machine (Javadi, Kondo, Iosup, Epema, Journal of Parallel and Distributed
//! Computing 73, 2013): 31 to 57 % of the lives are then shorter than a tenth of the mean, where an
//! exponential law has 10 %.

use core::fmt;
use core::str::FromStr;

use systole_core::Span;

use crate::latency::gamma;
use crate::random::Stream;
use crate::spec::{Parts, SpecError, span};

/// A law of times between failures, or of the lengths of outages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lifetime {
    /// Exponential with this mean.
    Exp(Span),
    /// Weibull.
    Weibull {
        /// The mean.
        mean: Span,
        /// The shape: 1 is exponential, smaller clusters; 0.1 to 100.
        shape: f64,
    },
    /// Lognormal: half are below the median, and the logarithm scatters by sigma.
    LogNormal {
        /// The median.
        median: Span,
        /// The standard deviation of the natural logarithm; 0 to 10.
        sigma: f64,
    },
    /// Gamma.
    Gamma {
        /// The mean.
        mean: Span,
        /// The shape: 1 is exponential, smaller clusters; 0.01 to 1,000,000.
        shape: f64,
    },
}

impl Lifetime {
    /// One of them; at most a hundred years.
    pub fn draw(&self, stream: &mut Stream) -> Span {
        let nanos = match *self {
            Self::Exp(mean) => mean.nanos() as f64 * stream.exponential(),
            Self::Weibull { mean, shape } => {
                let scale = mean.nanos() as f64 / libm::tgamma(1.0 + 1.0 / shape);
                scale * libm::pow(stream.exponential(), 1.0 / shape)
            }
            Self::LogNormal { median, sigma } => median.nanos() as f64 * libm::exp(sigma * stream.normal()),
            Self::Gamma { mean, shape } => mean.nanos() as f64 / shape * gamma(shape, stream),
        };
        // A float cast saturates.
        Span::from_nanos(nanos as u64).min(MOST)
    }

    /// The mean, in seconds.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Exp(mean) | Self::Weibull { mean, shape: _ } | Self::Gamma { mean, shape: _ } => mean.secs_f64(),
            Self::LogNormal { median, sigma } => median.secs_f64() * libm::exp(0.5 * sigma * sigma),
        }
    }
}

impl FromStr for Lifetime {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let Some((name, list)) = text.split_once(':') else {
            return Err(SpecError(format!("lifetime {text:?} is not a law; write {USAGE}")));
        };
        match name {
            "exp" => span(name, "mean", list).map(Self::Exp),
            "weibull" => {
                let mut parts = Parts::read(name, list, "weibull:mean=30d,shape=0.45")?;
                let (mean, shape) = (parts.span("mean")?, parts.number("shape", 0.1, 100.0)?);
                parts.done(Self::Weibull { mean, shape })
            }
            "lognormal" => {
                let mut parts = Parts::read(name, list, "lognormal:median=10d,sigma=2")?;
                let (median, sigma) = (parts.span("median")?, parts.number("sigma", 0.0, 10.0)?);
                parts.done(Self::LogNormal { median, sigma })
            }
            "gamma" => {
                let mut parts = Parts::read(name, list, "gamma:mean=30d,shape=0.35")?;
                let (mean, shape) = (parts.span("mean")?, parts.number("shape", 0.01, 1e6)?);
                parts.done(Self::Gamma { mean, shape })
            }
            other => Err(SpecError(format!("unknown lifetime law {other:?}; write {USAGE}"))),
        }
    }
}

/// As it is read.
impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exp(mean) => write!(f, "exp:{}", mean.compact()),
            Self::Weibull { mean, shape } => write!(f, "weibull:mean={},shape={shape}", mean.compact()),
            Self::LogNormal { median, sigma } => write!(f, "lognormal:median={},sigma={sigma}", median.compact()),
            Self::Gamma { mean, shape } => write!(f, "gamma:mean={},shape={shape}", mean.compact()),
        }
    }
}

const MOST: Span = Span::from_secs(100 * 365 * 86_400);
const USAGE: &str =
    "one of exp:30d, weibull:mean=30d,shape=0.45, lognormal:median=10d,sigma=2, gamma:mean=30d,shape=0.35";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Actor, Purpose};

    const N: usize = 200_000;

    fn read(text: &str) -> Lifetime {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn draws(text: &str) -> Vec<f64> {
        let mut stream = Stream::new(7, Actor::node(0, 0), Purpose::Crash);
        let law = read(text);
        (0..N).map(|_| law.draw(&mut stream).secs_f64()).collect()
    }

    #[test]
    fn lives_are_as_long_as_their_law_says() {
        // The coefficient of variation, from the textbook.
        for (text, variation) in [
            ("exp:32h", 1.0),
            ("weibull:mean=31h,shape=0.48", 2.375),
            ("gamma:mean=32h,shape=0.34", 1.715),
            ("lognormal:median=3h,sigma=1", 1.311),
        ] {
            let draws = draws(text);
            let (n, mean) = (N as f64, read(text).mean());
            let seen = draws.iter().sum::<f64>() / n;
            let error = 4.0 * variation * mean / libm::sqrt(n);
            assert!((seen - mean).abs() < error, "{text}: {seen}, not {mean}");
            let spread = libm::sqrt(draws.iter().map(|draw| (draw - seen) * (draw - seen)).sum::<f64>() / n) / mean;
            assert!((spread - variation).abs() < 0.05 * variation, "{text}: varies by {spread}");
        }
    }

    #[test]
    fn at_a_shape_of_a_half_a_third_of_the_lives_are_shorter_than_a_tenth_of_the_mean() {
        // 1 - exp(-sqrt(0.1 Γ(3))) = 0.3606, where an exponential law has 1 - exp(-0.1) = 0.0952.
        let short = |text: &str| draws(text).iter().filter(|draw| **draw < 3.0 * 86_400.0).count() as f64 / N as f64;
        assert!((short("weibull:mean=30d,shape=0.5") - 0.3606).abs() < 0.005);
        assert!((short("exp:30d") - 0.0952).abs() < 0.003);
    }

    #[test]
    fn a_law_reads_back_as_it_was_written() {
        for text in
            ["exp:30d", "weibull:mean=30d,shape=0.45", "lognormal:median=10d,sigma=2", "gamma:mean=30d,shape=0.35"]
        {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_range() {
        for (text, said) in [
            ("weibull:mean=30d,shape=0", "weibull: shape 0 is out of range; between 0.1 and 100"),
            ("weibull:mean=30d", "weibull: shape is missing; write weibull:mean=30d,shape=0.45"),
            ("exp:400d", "exp: mean 400d is out of range; between 0s and 365d"),
        ] {
            assert_eq!(text.parse::<Lifetime>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
        assert!("30d".parse::<Lifetime>().is_err() && "never:30d".parse::<Lifetime>().is_err());
    }
}
