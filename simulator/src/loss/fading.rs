//! Loss that comes and goes slowly, as where a truck is parked before the antenna: the probability
//! itself wanders.
//!
//! ```text
//!   logit of the probability = mu + sigma · x        x: normal, an autoregression that forgets all
//!   repeat: shares the fate of the one before           but 1/e in `memory` heartbeats
//! ```
//! Gilbert's chain forgets geometrically, so its runs thin out at one rate. Here a bad hour has runs
//! of ten and a good one none, at the same share over all: a radio link of which 32 % is lost has
//! twice as many runs of six as the chain that was fitted to it. `repeat` is a short memory on top (the
//! discrete autoregression of Jacobs and Lewis, 1978); with sigma 0 it is Gilbert's chain.

use core::fmt;

use crate::random::Stream;
use crate::spec::{Parts, SpecError};

/// A loss probability whose logit is a normal autoregression of first order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fading {
    p: f64,
    sigma: f64,
    memory: f64,
    repeat: f64,
    /// What makes the share come out as `p`.
    mu: f64,
}

/// The fading of one node's path.
#[derive(Clone, Debug)]
pub(super) struct Faded {
    stream: Stream,
    x: f64,
    /// How much of x is left after one heartbeat, and how much is new.
    keep: f64,
    fresh: f64,
    last: bool,
}

impl Fading {
    /// Loses the share `p`, with a probability whose logit scatters by `sigma` and forgets within `memory` heartbeats;
    /// a share `repeat` of the heartbeats has the fate of the one before.
    ///
    /// # Errors
    /// The value that can't be, and its range.
    pub fn new(p: f64, sigma: f64, memory: f64, repeat: f64) -> Result<Self, SpecError> {
        for (key, value, least, most) in [
            ("p", p, P.0, P.1),
            ("sigma", sigma, 0.0, SIGMA),
            ("memory", memory, 0.0, MEMORY),
            ("repeat", repeat, 0.0, REPEAT),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SpecError(format!("fading: {key} {value} is out of range; between {least} and {most}")));
            }
        }
        Ok(Self { p, sigma, memory, repeat, mu: mu(p, sigma) })
    }

    pub(super) fn read(list: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("fading", list, "fading:p=0.32,sigma=1,memory=50")?;
        let (p, sigma) = (parts.number("p", P.0, P.1)?, parts.number("sigma", 0.0, SIGMA)?);
        let (memory, repeat) = (parts.number("memory", 0.0, MEMORY)?, parts.number_or("repeat", 0.0, 0.0, REPEAT)?);
        parts.done(())?;
        Self::new(p, sigma, memory, repeat)
    }

    /// The share that is lost in the long run.
    pub const fn share(&self) -> f64 {
        self.p
    }

    /// With which probability a heartbeat is lost that repeats nothing, while x has this value.
    pub fn probability(&self, x: f64) -> f64 {
        logistic(self.mu + self.sigma * x)
    }

    /// The same weather, looked at once in `ratio` heartbeats.
    pub(super) fn stretched(&self, ratio: f64) -> Self {
        Self { memory: self.memory / ratio, repeat: libm::pow(self.repeat, ratio), ..*self }
    }

    /// How much of x is left after one heartbeat.
    pub fn keep(&self) -> f64 {
        if self.memory > 0.0 { libm::exp(-1.0 / self.memory) } else { 0.0 }
    }

    /// The share of heartbeats that have the fate of the one before.
    pub const fn repeat(&self) -> f64 {
        self.repeat
    }
}

impl Faded {
    pub(super) fn new(model: &Fading, mut stream: Stream) -> Self {
        let x = stream.normal();
        let last = stream.chance(model.probability(x));
        let keep = model.keep();
        Self { stream, x, keep, fresh: libm::sqrt(1.0 - keep * keep), last }
    }

    pub(super) fn reseed(&mut self, stream: Stream) {
        self.stream = stream;
    }

    pub(super) fn loses(&mut self, model: &Fading) -> bool {
        self.x = self.keep * self.x + self.fresh * self.stream.normal();
        if !(model.repeat > 0.0 && self.stream.chance(model.repeat)) {
            self.last = self.stream.chance(model.probability(self.x));
        }
        self.last
    }
}

/// As it is read.
impl fmt::Display for Fading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p, sigma, memory, repeat, mu: _ } = self;
        write!(f, "fading:p={p},sigma={sigma},memory={memory}")?;
        if *repeat > 0.0 { write!(f, ",repeat={repeat}") } else { Ok(()) }
    }
}

/// Where the logit's mean has to be for the mean of the probability to be `p`.
fn mu(p: f64, sigma: f64) -> f64 {
    let logit = libm::log(p / (1.0 - p));
    // The mean is between that of no spread and that of a step, which is wider by a root.
    let (mut low, mut high) = (logit - 4.0 * SIGMA * SIGMA, logit + 4.0 * SIGMA * SIGMA);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if mean(middle, sigma) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The mean of the logistic of a normal variable, by the trapezoid rule.
fn mean(mu: f64, sigma: f64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for step in -80..=80 {
        let x = f64::from(step) * 0.1;
        let weight = libm::exp(-0.5 * x * x);
        sum += weight * logistic(mu + sigma * x);
        weights += weight;
    }
    sum / weights
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

const P: (f64, f64) = (1e-9, 1.0 - 1e-9);
const SIGMA: f64 = 8.0;
const MEMORY: f64 = 1e9;
const REPEAT: f64 = 0.999;
