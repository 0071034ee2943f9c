//! How long a heartbeat takes: a law, drawn anew for each datagram, or something that remembers.
//!
//! Where draws are independent a heartbeat may overtake the one before: the monitor then refuses
//! the one overtaken. Real delays resemble the one before ([`Correlated`], or what a trace has) and
//! change their law for hours ([`Regimes`]). All of it goes through `libm`, in nanoseconds, so that a
//! seed gives the same delays on every machine.

mod correlated;
mod histogram;
mod regimes;

use core::fmt;
use core::str::FromStr;

use systole_core::{Instant, Span};

use crate::random::Stream;
use crate::recorded::{Place, Recorded};
use crate::spec::{LONGEST, Parts, SpecError, number, span};

pub use correlated::Correlated;
pub use histogram::Histogram;
pub use regimes::{Regime, Regimes};

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
    /// One of these laws, with draws that resemble each other.
    Correlated(Correlated),
    /// Several laws by turns, for hours.
    Regimes(Regimes),
    /// As it was counted.
    Histogram(Histogram),
    /// As in a trace, in its order.
    Trace(Recorded),
}

/// The delays on one node's path. 16 bytes, and for laws that remember a box.
#[derive(Clone, Debug)]
pub struct Delays(State);

#[derive(Clone, Debug)]
enum State {
    /// Of laws that remember nothing.
    Plain(Stream),
    Boxed(Box<Memory>),
}

#[derive(Clone, Debug)]
enum Memory {
    Correlated(correlated::Memory),
    Regimes(regimes::Shift),
    Trace(Place),
}

const _: () = assert!(size_of::<Delays>() == 16);

impl Delays {
    /// A path on which nothing was sent yet, and on which something will be every `interval`.
    pub fn new(model: &Delay, mut stream: Stream, interval: Span) -> Self {
        let memory = match model {
            Delay::Const(_)
            | Delay::Uniform { .. }
            | Delay::Exp(_)
            | Delay::Normal { .. }
            | Delay::LogNormal { .. }
            | Delay::Gamma { .. }
            | Delay::Weibull { .. }
            | Delay::Pareto { .. }
            | Delay::Histogram(_) => return Self(State::Plain(stream)),
            Delay::Correlated(_) => Memory::Correlated(correlated::Memory::new(stream)),
            Delay::Regimes(model) => Memory::Regimes(regimes::Shift::new(model, stream, interval)),
            Delay::Trace(trace) => Memory::Trace(trace.start(&mut stream, interval)),
        };
        Self(State::Boxed(Box::new(memory)))
    }

    /// The same state of the path, with another future. What goes by a trace has none.
    pub(crate) fn reseed(&mut self, stream: Stream) {
        match &mut self.0 {
            State::Plain(own) => *own = stream,
            State::Boxed(memory) => match &mut **memory {
                Memory::Correlated(memory) => memory.reseed(stream),
                Memory::Regimes(shift) => shift.reseed(stream),
                Memory::Trace(_) => {}
            },
        }
    }

    /// The delay of the next datagram, sent at `now`.
    ///
    /// # Panics
    /// If the path was made for another model.
    pub fn draw(&mut self, model: &Delay, now: Instant) -> Span {
        match &mut self.0 {
            State::Plain(stream) => model.draw(stream),
            State::Boxed(memory) => match (&mut **memory, model) {
                (Memory::Correlated(memory), Delay::Correlated(model)) => memory.draw(model),
                (Memory::Regimes(shift), Delay::Regimes(model)) => shift.draw(model, now),
                (Memory::Trace(place), Delay::Trace(trace)) => trace.next(place, now).delay,
                (Memory::Correlated(_) | Memory::Regimes(_) | Memory::Trace(_), _) => {
                    panic!("a path keeps the model that it was made for")
                }
            },
        }
    }
}

impl Delay {
    /// The delay of one datagram that knows nothing of any other.
    pub fn draw(&self, stream: &mut Stream) -> Span {
        match *self {
            Self::Correlated(ref model) => model.law().draw(stream),
            Self::Regimes(ref model) => model.list()[model.pick(stream)].law.draw(stream),
            Self::Histogram(ref histogram) => histogram.quantile(stream.unit()),
            Self::Trace(ref trace) => trace.any(stream).delay,
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
            Self::Correlated(ref model) => model.law().reach(),
            // No regime's is longer than that of the worst.
            Self::Regimes(ref model) => {
                model.list().iter().map(|regime| regime.law.reach()).max().expect("there are two regimes at least")
            }
            Self::Histogram(ref histogram) => histogram.quantile(1.0 - SHARE),
            Self::Trace(ref trace) => {
                let mut delays: Vec<Span> = trace.delays().collect();
                delays.sort_unstable();
                delays[((1.0 - SHARE) * (delays.len() - 1) as f64) as usize]
            }
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

    /// The mean, in seconds; nothing where there is none.
    pub fn mean(&self) -> Option<f64> {
        self.moments().map(|(mean, _)| mean)
    }

    /// The variance, in seconds squared; nothing where there is none.
    pub fn variance(&self) -> Option<f64> {
        self.moments().and_then(|(mean, square)| square.map(|square| (square - mean * mean).max(0.0)))
    }

    /// The means of a delay and of its square, where they exist. In seconds.
    fn moments(&self) -> Option<(f64, Option<f64>)> {
        let (mean, square) = match *self {
            Self::Const(span) => (span.secs_f64(), span.secs_f64() * span.secs_f64()),
            Self::Uniform { from, to } => {
                let (from, to) = (from.secs_f64(), to.secs_f64());
                (0.5 * (from + to), (from * from + from * to + to * to) / 3.0)
            }
            Self::Exp(mean) => (mean.secs_f64(), 2.0 * mean.secs_f64() * mean.secs_f64()),
            Self::Normal { mean, sd } if sd.is_zero() => return Self::Const(mean).moments(),
            Self::Normal { mean, sd } => {
                // What would be negative is zero.
                let (mean, sd) = (mean.secs_f64(), sd.secs_f64());
                let z = mean / sd;
                let (above, density) = (below(z), libm::exp(-0.5 * z * z) / libm::sqrt(core::f64::consts::TAU));
                (mean * above + sd * density, (mean * mean + sd * sd) * above + mean * sd * density)
            }
            Self::LogNormal { median, sigma } => {
                let (median, s2) = (median.secs_f64(), sigma * sigma);
                (median * libm::exp(0.5 * s2), median * median * libm::exp(2.0 * s2))
            }
            Self::Gamma { mean, shape } => {
                let mean = mean.secs_f64();
                (mean, mean * mean * (1.0 + 1.0 / shape))
            }
            Self::Weibull { scale, shape } => {
                let scale = scale.secs_f64();
                (scale * libm::tgamma(1.0 + 1.0 / shape), scale * scale * libm::tgamma(1.0 + 2.0 / shape))
            }
            Self::Pareto { min: _, shape } if shape <= 1.0 => return None,
            Self::Pareto { min, shape } => {
                let min = min.secs_f64();
                let square = (shape > 2.0).then(|| min * min * shape / (shape - 2.0));
                return Some((min * shape / (shape - 1.0), square));
            }
            Self::Correlated(ref model) => return model.law().moments(),
            Self::Regimes(ref model) => {
                return model.shares().try_fold((0.0, Some(0.0)), |(mean, square), (law, share)| {
                    let (of_mean, of_square) = law.moments()?;
                    let square = square.zip(of_square).map(|(sum, square)| sum + share * square);
                    Some((mean + share * of_mean, square))
                });
            }
            Self::Histogram(ref histogram) => {
                (histogram.mean_of(|delay| delay), histogram.mean_of(|delay| delay * delay))
            }
            Self::Trace(ref trace) => {
                let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
                for delay in trace.delays().map(Span::secs_f64) {
                    (count, sum, squares) = (count + 1.0, sum + delay, squares + delay * delay);
                }
                (sum / count, squares / count)
            }
        };
        Some((mean, Some(square)))
    }

    /// What is exceeded as rarely as a standard normal variable exceeds `z`; nothing for laws that
    /// have no such function in closed form.
    pub fn at_normal(&self, z: f64) -> Option<Span> {
        // How much of an exponential law is passed; far out the small one of the two is exact.
        let exponential = || if z > 0.0 { -libm::log(below(-z)) } else { -libm::log1p(-below(z)) };
        Some(match *self {
            Self::Const(span) => span,
            Self::Uniform { from, to } => from + nanos(below(z) * length(to - from)),
            Self::Exp(mean) => nanos(length(mean) * exponential()),
            Self::Normal { mean, sd } => nanos(length(mean) + length(sd) * z),
            Self::LogNormal { median, sigma } => nanos(length(median) * libm::exp(sigma * z)),
            Self::Weibull { scale, shape } => nanos(length(scale) * libm::pow(exponential(), 1.0 / shape)),
            Self::Pareto { min, shape } => nanos(length(min) * libm::exp(exponential() / shape)),
            Self::Histogram(ref histogram) => histogram.quantile(below(z)),
            Self::Gamma { .. } | Self::Correlated(_) | Self::Regimes(_) | Self::Trace(_) => return None,
        })
    }

    /// The same, saying by what a trace is used for heartbeats of this interval.
    #[must_use]
    pub fn at_interval(&self, interval: Span) -> Self {
        match self {
            Self::Trace(trace) => Self::Trace(trace.at_interval(interval)),
            Self::Regimes(model) => Self::Regimes(model.at_interval(interval)),
            Self::Const(_)
            | Self::Uniform { .. }
            | Self::Exp(_)
            | Self::Normal { .. }
            | Self::LogNormal { .. }
            | Self::Gamma { .. }
            | Self::Weibull { .. }
            | Self::Pareto { .. }
            | Self::Correlated(_)
            | Self::Histogram(_) => self.clone(),
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
            Self::Correlated(ref model) => model.law().check(),
            // None of these can be made with parameters that aren't possible.
            Self::Regimes(_) | Self::Histogram(_) | Self::Trace(_) => Ok(()),
        }
    }
}

/// Gamma with scale 1 (Marsaglia and Tsang, ACM TOMS 26(3), 2000; below a shape of 1 by their boost).
pub(crate) fn gamma(shape: f64, stream: &mut Stream) -> f64 {
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

/// The share of a standard normal variable that is below `z`.
fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z * core::f64::consts::FRAC_1_SQRT_2)
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
    lognormal:median=20ms,sigma=0.5, gamma:mean=20ms,shape=2, weibull:scale=20ms,shape=0.8, pareto:min=10ms,shape=2.5, \
    any of them with lag1=0.7 at its end, regimes:exp:20ms@6h|exp:200ms@1h, histogram:12x0.5ms|300x1ms, trace:FILE";

impl FromStr for Delay {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let Some((name, list)) = text.split_once(':') else {
            return Err(SpecError(format!("delay {text:?} is not a model of delay; write {USAGE}")));
        };
        match name {
            "regimes" => return Regimes::read(list).map(Self::Regimes),
            "trace" => return Recorded::read(list).map(Self::Trace),
            _ => {}
        }
        if let Some((law, lag1)) = text.rsplit_once(",lag1=") {
            let lag1 = number(name, "lag1", lag1, -1.0, 1.0)?;
            return Correlated::new(law.parse()?, lag1).map(Self::Correlated);
        }
        let parts = |usage| Parts::read(name, list, usage);
        match name {
            "histogram" => Histogram::read(list).map(Self::Histogram),
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
            Self::Correlated(model) => model.fmt(f),
            Self::Regimes(model) => model.fmt(f),
            Self::Histogram(histogram) => histogram.fmt(f),
            Self::Trace(trace) => trace.fmt(f),
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
    fn the_moments_that_a_model_says_are_those_of_its_draws() {
        for text in [
            "uniform:10ms..30ms",
            "exp:200ms",
            "normal:mean=10ms,sd=10ms",
            "lognormal:median=20ms,sigma=0.5",
            "gamma:mean=20ms,shape=4",
            "weibull:scale=20ms,shape=2",
            "pareto:min=10ms,shape=6",
            "exp:20ms,lag1=0.7",
            "regimes:exp:20ms@6h|exp:200ms@1h",
            "histogram:10x1ms|5x2ms|1x50ms",
        ] {
            let (draws, law) = (draws(text), read(text));
            let n = N as f64;
            let seen = draws.iter().sum::<f64>() / n;
            let spread = draws.iter().map(|draw| (draw - seen) * (draw - seen)).sum::<f64>() / n;
            let (mean, variance) = (law.mean().expect("a mean"), law.variance().expect("a variance"));
            assert!((seen - mean).abs() <= 4.0 * libm::sqrt(variance / n), "{text}: mean {seen}, not {mean}");
            assert!((spread / variance - 1.0).abs() < 0.06, "{text}: variance {spread}, not {variance}");
        }
        assert_eq!((read("pareto:min=10ms,shape=1").mean(), read("pareto:min=10ms,shape=2").variance()), (None, None));
        assert_eq!(read("const:20ms").variance(), Some(0.0));
    }

    /// What a path draws, one every second.
    fn path(text: &str, seed: u64, beats: usize) -> Vec<f64> {
        let (delay, second) = (read(text), Span::from_secs(1));
        let mut delays = Delays::new(&delay, Stream::new(seed, Actor::node(0, 0), Purpose::Delay), second);
        (0..beats as u64).map(|beat| delays.draw(&delay, Instant::ORIGIN + second * beat).secs_f64()).collect()
    }

    fn correlation(draws: &[f64], lag: usize) -> f64 {
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let product = |lag| draws.iter().zip(&draws[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
        product(lag) / product(0)
    }

    #[test]
    fn correlated_delays_resemble_the_one_before_as_much_as_was_asked() {
        for (text, lag1) in [
            ("exp:20ms,lag1=0.7", 0.7),
            ("exp:20ms,lag1=-0.3", -0.3),
            ("uniform:10ms..30ms,lag1=0.4", 0.4),
            ("normal:mean=20ms,sd=15ms,lag1=0.5", 0.5),
            ("lognormal:median=20ms,sigma=0.8,lag1=0.6", 0.6),
            ("weibull:scale=20ms,shape=0.8,lag1=0.9", 0.9),
            ("pareto:min=10ms,shape=6,lag1=0.5", 0.5),
            ("histogram:10x1ms|5x2ms|1x50ms,lag1=0.4", 0.4),
        ] {
            let seen = correlation(&path(text, 7, N), 1);
            assert!((seen - lag1).abs() < 0.03, "{text}: {seen}");
        }
    }

    #[test]
    fn a_correlation_leaves_the_law_of_one_delay_as_it_was() {
        // Of each 100 only one, since neighbours tell less: exp(-100 (1 - 0.7)) is nothing.
        for (text, below) in [
            ("exp:20ms,lag1=0.7", (|x: f64| 1.0 - libm::exp(-x / 0.02)) as fn(f64) -> f64),
            ("weibull:scale=20ms,shape=0.5,lag1=0.6", |x| 1.0 - libm::exp(-libm::sqrt(x / 0.02))),
            ("uniform:10ms..30ms,lag1=0.9", |x| (x - 0.01) / 0.02),
            ("pareto:min=10ms,shape=3,lag1=0.5", |x| 1.0 - libm::pow(0.01 / x, 3.0)),
        ] {
            let mut draws: Vec<f64> = path(text, 7, N * 5).into_iter().step_by(100).collect();
            draws.sort_by(f64::total_cmp);
            let n = draws.len() as f64;
            let distance = draws.iter().enumerate().map(|(rank, draw)| (below(*draw) - rank as f64 / n).abs());
            // Kolmogorov and Smirnov: beyond 1.95 over the root of n once in a thousand.
            let distance = distance.fold(0.0, f64::max);
            assert!(distance < 1.95 / libm::sqrt(n), "{text}: {distance}");
        }
    }

    #[test]
    fn regimes_hold_for_as_long_and_as_often_as_they_say() {
        let text = "regimes:const:20ms@10m|const:200ms@2m";
        let draws = path(text, 7, N);
        let slow = draws.iter().filter(|draw| **draw > 0.1).count() as f64;
        let shifts = draws.windows(2).filter(|pair| pair[0] < 0.1 && pair[1] > 0.1).count() as f64;
        // Some 278 cycles of 12 minutes; each length scatters by itself.
        let error = 4.0 / libm::sqrt(N as f64 / 720.0);
        assert!((slow / N as f64 * 6.0 - 1.0).abs() < 1.2 * error, "{slow}");
        assert!((slow / shifts / 120.0 - 1.0).abs() < error, "{slow} in {shifts}");
        let first: usize = (0..600).filter(|seed| path(text, *seed, 1)[0] > 0.1).count();
        assert!((64..=136).contains(&first), "{first} of 600 begin in the regime that has a sixth of the time");
    }

    #[test]
    fn a_histogram_gives_the_upper_ends_of_its_buckets_as_often_as_they_were_counted() {
        let draws = draws("histogram:10x1ms|5x2ms|1x50ms");
        for (up_to, of_16) in [(0.001, 10.0), (0.002, 5.0), (0.05, 1.0)] {
            let seen = draws.iter().filter(|draw| **draw == up_to).count() as f64 / N as f64;
            assert!((seen - of_16 / 16.0).abs() < 0.005, "{up_to}: {seen}");
        }
        assert_eq!(read("histogram:999x1ms|1x50ms").reach(), Span::from_millis(50));
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
            "exp:20ms,lag1=0.7",
            "lognormal:median=20ms,sigma=0.5,lag1=0.96",
            "regimes:exp:20ms@6h|lognormal:median=200ms,sigma=1,lag1=0.5@1h",
            "histogram:12x0.5ms|300x1ms",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_range() {
        for (text, said) in [
            ("uniform:30ms..10ms", "uniform: 30ms..10ms runs backwards; write uniform:10ms..30ms"),
            ("exp:-20ms", "exp: mean -20ms is out of range; between 0s and 365d"),
            ("exp:400d", "exp: mean 400d is out of range; between 0s and 365d"),
            ("pareto:min=10ms,shape=0", "pareto: shape 0 is out of range; between 0.1 and 100"),
            ("lognormal:median=20ms", "lognormal: sigma is missing; write lognormal:median=20ms,sigma=0.5"),
            (
                "gamma:mean=20ms,shape=2,lag1=0.5",
                "gamma: lag1 needs a law with a quantile in closed form; exp, normal, lognormal and weibull have",
            ),
            ("const:20ms,lag1=0.5", "const: lag1 needs a delay that varies, and by a finite variance; leave it out"),
            (
                "pareto:min=10ms,shape=2.1,lag1=0.5",
                "pareto: lag1 says nothing about a tail this heavy; leave it out, or make the tail lighter",
            ),
            ("exp:20ms,lag1=1.5", "exp: lag1 1.5 is out of range; between -1 and 1"),
            ("exp:20ms,lag1=-0.9", "exp: lag1 -0.9 is out of range; between -0.644 and 0.999"),
            ("regimes:exp:20ms@6h", "regimes: it takes two to change between; write regimes:exp:20ms@6h|exp:200ms@1h"),
            (
                "regimes:exp:20ms@6h|exp:200ms",
                "regimes: \"exp:200ms\" is not of the form law@span; write regimes:exp:20ms@6h|exp:200ms@1h",
            ),
            ("regimes:exp:20ms@6h|exp:2s@0s", "regimes: exp:2s lasts 0s, which is out of range; above 0s"),
            (
                "histogram:12x2ms|300x1ms",
                "histogram: upper end 1ms is out of range; above that of the bucket before, 2ms, and at most 365d",
            ),
        ] {
            assert_eq!(text.parse::<Delay>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
        assert!("20ms".parse::<Delay>().is_err() && "fast:20ms".parse::<Delay>().is_err());
    }
}
