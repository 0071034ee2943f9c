//! A delay that resembles the one before: the queue that was long is still long.
//!
//! ```text
//!   z = rho · z + sqrt(1 - rho²) · fresh        normal, one step for each heartbeat
//!   delay = the quantile at which z stands      so the law stays exactly what it was
//! ```
//! This is ARTA (Cario and Nelson, INFORMS Journal on Computing 10, 1998). `lag1` is the correlation
//! of one delay with the next, as anybody would measure it; the rho that brings it about is
//! found once, by Hermite's expansion. A law without a quantile in closed form, or with a tail so
//! heavy that a correlation says nothing about it, is refused.

use core::fmt;

use systole_core::Span;

use super::Delay;
use crate::random::Stream;
use crate::spec::SpecError;

/// A law whose draws are correlated.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlated {
    law: Box<Delay>,
    lag1: f64,
    rho: f64,
}

/// The memory of one node's path.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    stream: Stream,
    z: f64,
}

impl Correlated {
    /// The law with this correlation between one delay and the next.
    ///
    /// # Errors
    /// A law that it can't be done for, and a correlation that the law can't have.
    pub fn new(law: Delay, lag1: f64) -> Result<Self, SpecError> {
        let name = law.to_string();
        let name = name.split(':').next().unwrap_or_default();
        let refuse = |why: String| Err(SpecError(format!("{name}: {why}")));
        if law.at_normal(0.0).is_none() {
            return refuse(
                "lag1 needs a law with a quantile in closed form; exp, normal, lognormal and weibull have".into(),
            );
        }
        let Some(variance) = law.variance().filter(|variance| *variance > 0.0) else {
            return refuse("lag1 needs a delay that varies, and by a finite variance; leave it out".into());
        };
        let expansion = Expansion::of(&law);
        if (expansion.variance / variance - 1.0).abs() > TOLERANCE {
            return refuse("lag1 says nothing about a tail this heavy; leave it out, or make the tail lighter".into());
        }
        let (least, most) = (expansion.correlation(-RHO), expansion.correlation(RHO));
        if !(least..=most).contains(&lag1) {
            let (least, most) = (libm::ceil(least * 1e3) / 1e3, libm::floor(most * 1e3) / 1e3);
            return refuse(format!("lag1 {lag1} is out of range; between {least} and {most}"));
        }
        Ok(Self { law: Box::new(law), lag1, rho: expansion.rho(lag1) })
    }

    /// The law of one delay.
    pub fn law(&self) -> &Delay {
        &self.law
    }

    /// The correlation of one delay with the next.
    pub const fn lag1(&self) -> f64 {
        self.lag1
    }
}

impl Memory {
    pub(super) fn new(mut stream: Stream) -> Self {
        let z = stream.normal();
        Self { stream, z }
    }

    pub(super) fn reseed(&mut self, stream: Stream) {
        self.stream = stream;
    }

    pub(super) fn draw(&mut self, model: &Correlated) -> Span {
        let delay = model.law.at_normal(self.z).expect("a law without quantiles isn't correlated");
        self.z = model.rho * self.z + libm::sqrt(1.0 - model.rho * model.rho) * self.stream.normal();
        delay
    }
}

/// As it is read.
impl fmt::Display for Correlated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},lag1={}", self.law, self.lag1)
    }
}

/// A law's quantile as a function of a normal variable, in Hermite polynomials: where two normal
/// variables have the correlation rho, the k-th of them have rho^k, and no two others have any.
struct Expansion {
    squares: [f64; TERMS],
    variance: f64,
}

impl Expansion {
    fn of(law: &Delay) -> Self {
        let mut coefficients = [0.0; TERMS];
        let (mut mean, mut square, mut weights) = (0.0, 0.0, 0.0);
        let points = (2.0 * REACH / STEP) as i32;
        for point in 0..=points {
            let x = f64::from(point) * STEP - REACH;
            let weight = libm::exp(-0.5 * x * x);
            let Some(delay) = law.at_normal(x) else { continue };
            let value = weight * delay.secs_f64();
            weights += weight;
            mean += value;
            square += value * delay.secs_f64();
            // Normalised: h(k) sqrt(k) = x h(k - 1) - sqrt(k - 1) h(k - 2).
            let (mut before, mut hermite) = (0.0, 1.0);
            for (k, coefficient) in (1..).zip(&mut coefficients) {
                let k = f64::from(k);
                (before, hermite) = (hermite, (x * hermite - libm::sqrt(k - 1.0) * before) / libm::sqrt(k));
                *coefficient += value * hermite;
            }
        }
        let mean = mean / weights;
        let squares = coefficients.map(|coefficient| (coefficient / weights) * (coefficient / weights));
        Self { squares, variance: square / weights - mean * mean }
    }

    /// The correlation of delays at this one of the normal variables.
    fn correlation(&self, rho: f64) -> f64 {
        let powers = self.squares.iter().rev().fold(0.0, |sum, square| (sum + square) * rho);
        powers / self.variance
    }

    fn rho(&self, lag1: f64) -> f64 {
        let (mut low, mut high) = (-RHO, RHO);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.correlation(middle) < lag1 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

const TERMS: usize = 100;
/// How far the normal variable is followed, and how finely.
const REACH: f64 = 12.0;
const STEP: f64 = 1.0 / 256.0;
/// As near to one as an autoregression may come that is still one.
const RHO: f64 = 0.9999;
/// By how much the variance may be missed within that reach.
const TOLERANCE: f64 = 0.01;
