//! How long a heartbeat takes: a distribution, drawn anew for each datagram.
//!
//! Draws are independent, so a heartbeat may overtake the one before: the monitor then refuses the
//! one overtaken. Real delays are correlated and change regime for hours; none of these does. All of
//! it goes through `libm`, in nanoseconds, so that a seed gives the same delays on every machine.

use core::fmt;
use core::str::FromStr;

use systole_core::Span;

use crate::random::Stream;
use crate::spec::{LONGEST, Parts, SpecError, span};

/// A distribution of delays. No delay is negative or longer than a year, whatever was drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Delay {
    /// Always the same.
    Const(Span),
    /// Anything between the two alike.
    Uniform {
        /// The shortest.
        from: Span,
        /// The longest; not below `from`.
        to: Span,
    },
    /// Exponential with this mean.
    Exp(Span),
    /// Normal; what would be negative is zero.
    Normal {
        /// The mean, before the negative ones are cut.
        mean: Span,
        /// The standard deviation.
        sd: Span,
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
        /// The shape: 1 is exponential, larger is narrower; 0.01 to 1,000,000.
        shape: f64,
    },
    /// Weibull.
    Weibull {
        /// 63 % are below it.
        scale: Span,
        /// The shape: 1 is exponential, smaller has a longer tail; 0.1 to 100.
        shape: f64,
    },
    /// Pareto: none below `min`, and a tail that falls as a power. No mean where the shape is at most 1.
    Pareto {
        /// The shortest.
        min: Span,
        /// The power; 0.1 to 100.
        shape: f64,
    },
}

impl Delay {
    /// The delay of one datagram.
    pub fn draw(&self, stream: &mut Stream) -> Span {
        match *self {
            Self::Const(span) => span,
            Self::Uniform { from, to } => from + nanos(stream.unit() * length(to - from)),
            Self::Exp(mean) => nanos(length(mean) * stream.exponential()),
            Self::Normal { mean, sd } => nanos(length(mean) + length(sd) * stream.normal()),
            Self::LogNormal { median, sigma } => nanos(length(median) * libm::exp(sigma * stream.normal())),
            Self::Gamma { mean, shape } => nanos(length(mean) / shape * gamma(shape, stream)),
            Self::Weibull { scale, shape } => nanos(length(scale) * libm::pow(stream.exponential(), 1.0 / shape)),
            Self::Pareto { min, shape } => nanos(length(min) * libm::pow(stream.positive(), -1.0 / shape)),
        }
    }

    /// 99.9 % are shorter than this, about: how long to wait until next to nothing is on its way.
    pub fn reach(&self) -> Span {
        const SHARE: f64 = 0.001;
        /// The normal distribution is below this with 99.9 %.
        const NORMAL: f64 = 3.090_232;
        match *self {
            Self::Const(span) => span,
            Self::Uniform { from: _, to } => to,
            Self::Exp(mean) => nanos(length(mean) * -libm::log(SHARE)),
            Self::Normal { mean, sd } => nanos(length(mean) + NORMAL * length(sd)),
            Self::LogNormal { median, sigma } => nanos(length(median) * libm::exp(NORMAL * sigma)),
            // Wilson and Hilferty: the cube root is nearly normal. Below a shape of 1 the tail is exponential.
            Self::Gamma { mean, shape } if shape >= 1.0 => {
                let root = 1.0 - 1.0 / (9.0 * shape) + NORMAL / (3.0 * libm::sqrt(shape));
                nanos(length(mean) * root * root * root)
            }
            Self::Gamma { mean, shape } => nanos(length(mean) / shape * -libm::log(SHARE)),
            Self::Weibull { scale, shape } => nanos(length(scale) * libm::pow(-libm::log(SHARE), 1.0 / shape)),
            Self::Pareto { min, shape } => nanos(length(min) * libm::pow(SHARE, -1.0 / shape)),
        }
    }

    /// Whether its parameters are possible.
    ///
    /// # Errors
    /// The value and its range.
    pub fn check(&self) -> Result<(), SpecError> {
        let within = |of: &str, key: &str, value: f64, (least, most): (f64, f64)| match value {
            value if (least..=most).contains(&value) => Ok(()),
            _ => Err(SpecError(format!("{of}: {key} {value} is out of range; between {least} and {most}"))),
        };
        match *self {
            Self::Const(_) | Self::Exp(_) | Self::Normal { .. } => Ok(()),
            Self::Uniform { from, to } if from <= to => Ok(()),
            Self::Uniform { from, to } => {
                let (from, to) = (from.compact(), to.compact());
                Err(SpecError(format!("uniform: {from}..{to} runs backwards; write uniform:{to}..{from}")))
            }
            Self::LogNormal { median: _, sigma } => within("lognormal", "sigma", sigma, SIGMA),
            Self::Gamma { mean: _, shape } => within("gamma", "shape", shape, GAMMA_SHAPE),
            Self::Weibull { scale: _, shape } => within("weibull", "shape", shape, SHAPE),
            Self::Pareto { min: _, shape } => within("pareto", "shape", shape, SHAPE),
        }
    }
}

/// Gamma with scale 1 (Marsaglia and Tsang, ACM TOMS 26(3), 2000; below a shape of 1 by their boost).
fn gamma(shape: f64, stream: &mut Stream) -> f64 {
    if shape < 1.0 {
        let boost = libm::pow(stream.positive(), 1.0 / shape);
        return boost * gamma(shape + 1.0, stream);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = stream.normal();
        let root = 1.0 + c * x;
        let v = root * root * root;
        if v > 0.0 && libm::log(stream.positive()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

fn length(span: Span) -> f64 {
    span.nanos() as f64
}

fn nanos(length: f64) -> Span {
    // A float cast saturates, and takes what is negative to zero.
    Span::from_nanos(length as u64).min(LONGEST)
}

const SIGMA: (f64, f64) = (0.0, 10.0);
const SHAPE: (f64, f64) = (0.1, 100.0);
const GAMMA_SHAPE: (f64, f64) = (0.01, 1e6);

const USAGE: &str = "one of const:20ms, uniform:10ms..30ms, exp:20ms, normal:mean=20ms,sd=5ms, \
    lognormal:median=20ms,sigma=0.5, gamma:mean=20ms,shape=2, weibull:scale=20ms,shape=0.8, pareto:min=10ms,shape=2.5";

impl FromStr for Delay {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let Some((name, list)) = text.split_once(':') else {
            return Err(SpecError(format!("delay {text:?} is not a model of delay; write {USAGE}")));
        };
        let parts = |usage| Parts::read(name, list, usage);
        match name {
            "const" => span(name, "delay", list).map(Self::Const),
            "exp" => span(name, "mean", list).map(Self::Exp),
            "uniform" => {
                let (from, to) = list.split_once("..").ok_or_else(|| {
                    SpecError(format!("uniform: {list:?} is not of the form from..to; write uniform:10ms..30ms"))
                })?;
                let uniform = Self::Uniform { from: span(name, "from", from)?, to: span(name, "to", to)? };
                uniform.check().map(|()| uniform)
            }
            "normal" => {
                let mut parts = parts("normal:mean=20ms,sd=5ms")?;
                let (mean, sd) = (parts.span("mean")?, parts.span("sd")?);
                parts.done(Self::Normal { mean, sd })
            }
            "lognormal" => {
                let mut parts = parts("lognormal:median=20ms,sigma=0.5")?;
                let (median, sigma) = (parts.span("median")?, parts.number("sigma", SIGMA.0, SIGMA.1)?);
                parts.done(Self::LogNormal { median, sigma })
            }
            "gamma" => {
                let mut parts = parts("gamma:mean=20ms,shape=2")?;
                let (mean, shape) = (parts.span("mean")?, parts.number("shape", GAMMA_SHAPE.0, GAMMA_SHAPE.1)?);
                parts.done(Self::Gamma { mean, shape })
            }
            "weibull" => {
                let mut parts = parts("weibull:scale=20ms,shape=0.8")?;
                let (scale, shape) = (parts.span("scale")?, parts.number("shape", SHAPE.0, SHAPE.1)?);
                parts.done(Self::Weibull { scale, shape })
            }
            "pareto" => {
                let mut parts = parts("pareto:min=10ms,shape=2.5")?;
                let (min, shape) = (parts.span("min")?, parts.number("shape", SHAPE.0, SHAPE.1)?);
                parts.done(Self::Pareto { min, shape })
            }
            other => Err(SpecError(format!("unknown delay model {other:?}; write {USAGE}"))),
        }
    }
}

/// As it is read.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Const(span) => write!(f, "const:{}", span.compact()),
            Self::Uniform { from, to } => write!(f, "uniform:{}..{}", from.compact(), to.compact()),
            Self::Exp(mean) => write!(f, "exp:{}", mean.compact()),
            Self::Normal { mean, sd } => write!(f, "normal:mean={},sd={}", mean.compact(), sd.compact()),
            Self::LogNormal { median, sigma } => write!(f, "lognormal:median={},sigma={sigma}", median.compact()),
            Self::Gamma { mean, shape } => write!(f, "gamma:mean={},shape={shape}", mean.compact()),
            Self::Weibull { scale, shape } => write!(f, "weibull:scale={},shape={shape}", scale.compact()),
            Self::Pareto { min, shape } => write!(f, "pareto:min={},shape={shape}", min.compact()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Actor, Purpose};

    const N: usize = 200_000;

    fn read(text: &str) -> Delay {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn draws(text: &str) -> Vec<f64> {
        let mut stream = Stream::new(7, Actor::node(0, 0), Purpose::Delay);
        let delay = read(text);
        (0..N).map(|_| delay.draw(&mut stream).secs_f64()).collect()
    }

    #[test]
    fn means_and_spreads_are_those_of_the_distributions() {
        // Mean and standard deviation, in seconds, from the textbook.
        for (text, mean, sd) in [
            ("const:20ms", 0.02, 0.0),
            ("uniform:10ms..30ms", 0.02, 0.02 / libm::sqrt(12.0)),
            ("exp:200ms", 0.2, 0.2),
            ("normal:mean=100ms,sd=10ms", 0.1, 0.01),
            ("lognormal:median=20ms,sigma=0.5", 0.022_662_97, 0.012_078_1),
            ("gamma:mean=20ms,shape=4", 0.02, 0.01),
            ("gamma:mean=20ms,shape=0.25", 0.02, 0.04),
            ("weibull:scale=20ms,shape=2", 0.017_724_54, 0.009_265_1),
            ("pareto:min=10ms,shape=6", 0.012, 0.002_449_49),
        ] {
            let draws = draws(text);
            let n = N as f64;
            let seen = draws.iter().sum::<f64>() / n;
            let spread = libm::sqrt(draws.iter().map(|draw| (draw - seen) * (draw - seen)).sum::<f64>() / n);
            assert!((seen - mean).abs() <= 4.0 * sd / libm::sqrt(n) + 1e-9, "{text}: mean {seen}");
            assert!((spread - sd).abs() <= 0.03 * sd + 1e-9, "{text}: sd {spread}");
        }
    }

    #[test]
    fn one_in_a_thousand_takes_longer_than_the_reach() {
        for text in [
            "exp:200ms",
            "normal:mean=100ms,sd=10ms",
            "lognormal:median=20ms,sigma=0.5",
            "gamma:mean=20ms,shape=4",
            "weibull:scale=20ms,shape=0.5",
            "pareto:min=10ms,shape=2",
        ] {
            let reach = read(text).reach().secs_f64();
            let beyond = draws(text).iter().filter(|draw| **draw > reach).count();
            assert!((140..=260).contains(&beyond), "{text}: {beyond} of {N}");
        }
    }

    #[test]
    fn a_model_reads_back_as_it_was_written() {
        for text in [
            "const:20ms",
            "uniform:10ms..30ms",
            "exp:20ms",
            "normal:mean=20ms,sd=5ms",
            "lognormal:median=20ms,sigma=0.5",
            "gamma:mean=20ms,shape=2",
            "weibull:scale=20ms,shape=0.8",
            "pareto:min=10ms,shape=2.5",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_range() {
        for (text, said) in [
            ("uniform:30ms..10ms", "uniform: 30ms..10ms runs backwards; write uniform:10ms..30ms"),
            ("exp:-20ms", "exp: mean \"-20ms\": a duration starts with a number, such as 300ms or 1.5s"),
            ("exp:400d", "exp: mean 400d is out of range; between 0s and 365d"),
            ("pareto:min=10ms,shape=0", "pareto: shape 0 is out of range; between 0.1 and 100"),
            ("lognormal:median=20ms", "lognormal: sigma is missing; write lognormal:median=20ms,sigma=0.5"),
        ] {
            assert_eq!(text.parse::<Delay>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
        assert!("20ms".parse::<Delay>().is_err() && "fast:20ms".parse::<Delay>().is_err());
    }
}
