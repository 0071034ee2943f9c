//! How long a heartbeat is on its way: drawn anew for each, so that one may overtake the one before.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use systole_core::Span;

use super::random::Random;
use super::spec::{LONGEST, Parts, SpecError, span};

/// A distribution of delays. None is longer than a year, whatever was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// Lognormal: half are below the median, and the logarithm scatters by sigma.
    LogNormal {
        /// The median.
        median: Span,
        /// The standard deviation of the natural logarithm; 0 to 10.
        sigma: f64,
    },
}

impl Delay {
    /// What is sent is there.
    pub const NONE: Self = Self::Const(Span::ZERO);

    /// The delay of one heartbeat.
    pub fn draw(&self, random: &mut Random) -> Span {
        match *self {
            Self::Const(span) => span,
            Self::Uniform { from, to } => from + scaled(to - from, random.share()),
            Self::Exp(mean) => scaled(mean, exponential(random)),
            Self::LogNormal { median, sigma } => scaled(median, (sigma * normal(random)).exp()),
        }
    }

    /// Of a thousand heartbeats 999 take no longer.
    pub fn reach(&self) -> Span {
        /// What 99.9 % of a normal distribution stay below.
        const NORMAL: f64 = 3.090_232;
        match *self {
            Self::Const(span) => span,
            Self::Uniform { from: _, to } => to,
            Self::Exp(mean) => scaled(mean, 1_000f64.ln()),
            Self::LogNormal { median, sigma } => scaled(median, (NORMAL * sigma).exp()),
        }
    }
}

/// With mean 1.
fn exponential(random: &mut Random) -> f64 {
    -(1.0 - random.share()).ln()
}

/// With mean 0 and standard deviation 1 (Box and Muller, Annals of Mathematical Statistics 29(2), 1958).
fn normal(random: &mut Random) -> f64 {
    (2.0 * exponential(random)).sqrt() * (TAU * random.share()).cos()
}

fn scaled(span: Span, factor: f64) -> Span {
    // A float cast saturates.
    Span::from_nanos((span.nanos() as f64 * factor) as u64).min(LONGEST)
}

const USAGE: &str = "one of const:20ms, uniform:10ms..30ms, exp:20ms, lognormal:median=20ms,sigma=0.5";

impl FromStr for Delay {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let Some((name, list)) = text.split_once(':') else {
            return Err(SpecError(format!("delay {text:?} is not a model of delay; write {USAGE}")));
        };
        match name {
            "const" => span(name, "delay", list).map(Self::Const),
            "exp" => span(name, "mean", list).map(Self::Exp),
            "uniform" => uniform(list),
            "lognormal" => {
                let mut parts = Parts::read(name, list, "lognormal:median=20ms,sigma=0.5")?;
                let (median, sigma) = (parts.span("median")?, parts.number("sigma", 0.0, 10.0)?);
                parts.end()?;
                Ok(Self::LogNormal { median, sigma })
            }
            other => Err(SpecError(format!("unknown delay model {other:?}; write {USAGE}"))),
        }
    }
}

fn uniform(list: &str) -> Result<Delay, SpecError> {
    let Some((from, to)) = list.split_once("..") else {
        let form = "is not of the form from..to; write uniform:10ms..30ms";
        return Err(SpecError(format!("uniform: {list:?} {form}")));
    };
    let (from, to) = (span("uniform", "from", from)?, span("uniform", "to", to)?);
    if from > to {
        let (from, to) = (from.compact(), to.compact());
        return Err(SpecError(format!("uniform: {from}..{to} runs backwards; write uniform:{to}..{from}")));
    }
    Ok(Delay::Uniform { from, to })
}

/// As it is read.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Const(span) => write!(f, "const:{}", span.compact()),
            Self::Uniform { from, to } => write!(f, "uniform:{}..{}", from.compact(), to.compact()),
            Self::Exp(mean) => write!(f, "exp:{}", mean.compact()),
            Self::LogNormal { median, sigma } => write!(f, "lognormal:median={},sigma={sigma}", median.compact()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_spreads_and_reaches_are_those_of_the_distributions() {
        const N: usize = 200_000;
        // Mean, standard deviation and 99.9th percentile, in seconds, from the textbook.
        for (text, mean, sd, reach) in [
            ("const:20ms", 0.02, 0.0, 0.02),
            ("uniform:10ms..30ms", 0.02, 0.02 / 12f64.sqrt(), 0.029_98),
            ("exp:200ms", 0.2, 0.2, 1.381_551),
            ("lognormal:median=20ms,sigma=0.5", 0.022_662_97, 0.012_078_1, 0.093_77),
        ] {
            let delay: Delay = text.parse().unwrap();
            let mut random = Random::new(7);
            let mut draws: Vec<f64> = (0..N).map(|_| delay.draw(&mut random).secs_f64()).collect();
            draws.sort_by(f64::total_cmp);
            let n = N as f64;
            let seen = draws.iter().sum::<f64>() / n;
            let spread = (draws.iter().map(|draw| (draw - seen).powi(2)).sum::<f64>() / n).sqrt();
            assert!((seen - mean).abs() <= 4.0 * sd / n.sqrt() + 1e-9, "{text}: mean {seen}");
            assert!((spread - sd).abs() <= 0.03 * sd + 1e-9, "{text}: sd {spread}");
            let late = draws[N - N / 1_000];
            assert!((late / reach - 1.0).abs() < 0.1, "{text}: 99.9 % within {late}");
            assert!((delay.reach().secs_f64() / reach - 1.0).abs() < 0.01, "{text}: reach {}", delay.reach());
        }
    }

    #[test]
    fn a_model_reads_back_as_it_was_written() {
        for text in ["const:20ms", "uniform:10ms..30ms", "exp:20ms", "lognormal:median=20ms,sigma=0.5"] {
            assert_eq!(text.parse::<Delay>().map(|delay| delay.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_range() {
        for (text, said) in [
            ("uniform:30ms..10ms", "uniform: 30ms..10ms runs backwards; write uniform:10ms..30ms"),
            ("uniform:30ms", "uniform: \"30ms\" is not of the form from..to; write uniform:10ms..30ms"),
            ("exp:-20ms", "exp: mean \"-20ms\": a duration starts with a number, such as 300ms or 1.5s"),
            ("exp:400d", "exp: mean 400d is out of range; between 0s and 365d"),
            ("lognormal:median=20ms", "lognormal: sigma is missing; write lognormal:median=20ms,sigma=0.5"),
            ("lognormal:median=20ms,sigma=11", "lognormal: sigma 11 is out of range; between 0 and 10"),
        ] {
            assert_eq!(text.parse::<Delay>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
        for text in ["20ms", "fast:20ms"] {
            assert!(text.parse::<Delay>().unwrap_err().to_string().contains("const:20ms, uniform:10ms..30ms"));
        }
    }
}
