//! Delays that change their law for hours: a route over another continent, an uplink at peak time.
//!
//! ```text
//!   exp:20ms  ──── 6 h ────►  exp:200ms  ── 1 h ──►  exp:20ms      exponential times, one node
//!                                                                  at a time, the next in the list
//! ```
//! By virtual time and not by heartbeats: two fleets with other intervals meet the same hours.

use core::fmt;

use systole_core::{Instant, Span};

use super::{Delay, Delays};
use crate::random::Stream;
use crate::spec::{SpecError, span};

/// Several laws, each of which holds for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Regimes(Vec<Regime>);

/// One law of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Regime {
    /// What delays are like in it.
    pub law: Delay,
    /// How long it holds on average; exponential.
    pub lasts: Span,
}

/// Which one a node's path is in.
#[derive(Clone, Debug)]
pub(super) struct Shift {
    stream: Stream,
    now_in: usize,
    until: Instant,
    draws: Vec<Delays>,
}

impl Regimes {
    /// These laws by turns.
    ///
    /// # Errors
    /// If there are fewer than two, if one lasts no time, or is made of regimes itself.
    pub fn new(regimes: Vec<Regime>) -> Result<Self, SpecError> {
        if regimes.len() < 2 {
            return Err(SpecError(format!("regimes: it takes two to change between; write {USAGE}")));
        }
        for Regime { law, lasts } in &regimes {
            if lasts.is_zero() {
                return Err(SpecError(format!("regimes: {law} lasts 0s, which is out of range; above 0s")));
            }
            if matches!(law, Delay::Regimes(_) | Delay::Histogram(_)) {
                return Err(SpecError(format!("regimes: {law} has a list of its own; name laws without one")));
            }
            law.check()?;
        }
        Ok(Self(regimes))
    }

    pub(super) fn read(list: &str) -> Result<Self, SpecError> {
        let regime = |text: &str| {
            let form = || SpecError(format!("regimes: {text:?} is not of the form law@span; write {USAGE}"));
            let (law, lasts) = text.rsplit_once('@').ok_or_else(form)?;
            Ok(Regime { law: law.trim().parse()?, lasts: span("regimes", "span", lasts.trim())? })
        };
        Self::new(list.split('|').map(regime).collect::<Result<_, SpecError>>()?)
    }

    /// The laws.
    pub fn list(&self) -> &[Regime] {
        &self.0
    }

    pub(super) fn at_interval(&self, interval: Span) -> Self {
        let regime = |Regime { law, lasts }: &Regime| Regime { law: law.at_interval(interval), lasts: *lasts };
        Self(self.0.iter().map(regime).collect())
    }

    /// Each law with the share of all time in which it holds.
    pub(super) fn shares(&self) -> impl Iterator<Item = (&Delay, f64)> + '_ {
        let all: f64 = self.0.iter().map(|regime| regime.lasts.secs_f64()).sum();
        self.0.iter().map(move |regime| (&regime.law, regime.lasts.secs_f64() / all))
    }

    /// One of the regimes, as a stranger would meet it.
    pub(super) fn pick(&self, stream: &mut Stream) -> usize {
        let mut left = stream.unit();
        let last = self.0.len() - 1;
        let found = self.shares().take(last).position(|(_, share)| {
            left -= share;
            left < 0.0
        });
        found.unwrap_or(last)
    }
}

impl Shift {
    pub(super) fn new(model: &Regimes, mut stream: Stream, interval: Span) -> Self {
        let draws = model.0.iter().map(|regime| Delays::new(&regime.law, stream.split(), interval)).collect();
        let now_in = model.pick(&mut stream);
        let until = Instant::ORIGIN + sojourn(&model.0[now_in], &mut stream);
        Self { stream, now_in, until, draws }
    }

    pub(super) fn reseed(&mut self, mut stream: Stream) {
        self.draws.iter_mut().for_each(|draws| draws.reseed(stream.split()));
        self.stream = stream;
    }

    pub(super) fn draw(&mut self, model: &Regimes, now: Instant) -> Span {
        while now >= self.until {
            self.now_in = (self.now_in + 1) % model.0.len();
            self.until = self.until + sojourn(&model.0[self.now_in], &mut self.stream);
        }
        self.draws[self.now_in].draw(&model.0[self.now_in].law, now)
    }
}

/// At least a nanosecond, so that it ends.
fn sojourn(regime: &Regime, stream: &mut Stream) -> Span {
    Span::from_nanos((regime.lasts.nanos() as f64 * stream.exponential()) as u64).max(Span::from_nanos(1))
}

/// As it is read.
impl fmt::Display for Regimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("regimes:")?;
        for (n, Regime { law, lasts }) in self.0.iter().enumerate() {
            write!(f, "{}{law}@{}", if n > 0 { "|" } else { "" }, lasts.compact())?;
        }
        Ok(())
    }
}

const USAGE: &str = "regimes:exp:20ms@6h|exp:200ms@1h";
