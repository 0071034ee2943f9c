//! Outages by the clock: a satellite link hands over every 15 s and loses 5 % in that second.
//!
//! ```text
//!   loss  ┌┐             ┌┐             ┌┐
//!         ┘└─────────────┘└─────────────┘└──────     a heartbeat every 5 s, or 15 s:
//!   beats  |    |    |    |    |    |    |           one in three, or all, or none of them there
//! ```
//! All paths have the same clock unless the phase is random, which gives each a place of its own. An
//! interval that divides the period aliases with it: which nodes are hit is settled when they start.

use core::fmt;

use systole_core::{Instant, Span};

use crate::random::Stream;
use crate::spec::{Parts, SpecError, span};

/// A loss probability that is higher for a while in each period of the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Periodic {
    every: Span,
    length: Span,
    inside: f64,
    outside: f64,
    phase: OutagePhase,
}

/// When in its period an outage begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutagePhase {
    /// So long after the start of the run, and of each period, for all nodes alike.
    Shared(Span),
    /// For each node at another instant, drawn once.
    Random,
}

impl Periodic {
    /// Loses the share `inside` during the first `length` of `every`, and `outside` in the rest of it.
    ///
    /// # Errors
    /// The value that can't be, and its range.
    pub fn new(every: Span, length: Span, inside: f64, outside: f64, phase: OutagePhase) -> Result<Self, SpecError> {
        let out = |key: &str, value: String, range: String| {
            Err(SpecError(format!("periodic: {key} {value} is out of range; {range}")))
        };
        if every.is_zero() {
            return out("every", "0s".into(), "above 0s".into());
        }
        if length > every {
            let range = format!("at most every, which is {}", every.compact());
            return out("length", length.compact().to_string(), range);
        }
        for (key, value) in [("loss", inside), ("else", outside)] {
            if !(0.0..=1.0).contains(&value) {
                return out(key, value.to_string(), "between 0 and 1".into());
            }
        }
        Ok(Self { every, length, inside, outside, phase })
    }

    pub(super) fn read(list: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("periodic", list, USAGE)?;
        let (every, length) = (parts.span("every")?, parts.span("length")?);
        let (inside, outside) = (parts.number("loss", 0.0, 1.0)?, parts.number_or("else", 0.0, 0.0, 1.0)?);
        let phase = match parts.has("phase").then(|| parts.text("phase")).transpose()? {
            None => OutagePhase::Shared(Span::ZERO),
            Some("random") => OutagePhase::Random,
            Some(text) => OutagePhase::Shared(span("periodic", "phase", text)?),
        };
        parts.done(())?;
        Self::new(every, length, inside, outside, phase)
    }

    /// The share that is lost over all times of the period alike.
    pub fn share(&self) -> f64 {
        let within = self.length.nanos() as f64 / self.every.nanos() as f64;
        within * self.inside + (1.0 - within) * self.outside
    }

    /// When the outages of all nodes, or of the one that draws, begin.
    pub(super) fn phase(&self, stream: &mut Stream) -> Span {
        match self.phase {
            OutagePhase::Shared(phase) => phase,
            OutagePhase::Random => Span::from_nanos((stream.unit() * self.every.nanos() as f64) as u64),
        }
    }

    /// The phase, if it is the same for all.
    pub(super) const fn shared(&self) -> Option<Span> {
        match self.phase {
            OutagePhase::Shared(phase) => Some(phase),
            OutagePhase::Random => None,
        }
    }

    /// With which probability a heartbeat is lost that is sent at `now`, on a path of this phase.
    pub(super) fn probability(&self, phase: Span, now: Instant) -> f64 {
        let every = self.every.nanos();
        let since = (now.nanos() % every + every - phase.nanos() % every) % every;
        if since < self.length.nanos() { self.inside } else { self.outside }
    }
}

/// As it is read.
impl fmt::Display for Periodic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { every, length, inside, outside, phase } = self;
        write!(f, "periodic:every={},length={},loss={inside},else={outside}", every.compact(), length.compact())?;
        match phase {
            OutagePhase::Shared(phase) if phase.is_zero() => Ok(()),
            OutagePhase::Shared(phase) => write!(f, ",phase={}", phase.compact()),
            OutagePhase::Random => f.write_str(",phase=random"),
        }
    }
}

const USAGE: &str = "periodic:every=15s,length=1s,loss=0.05,else=0.001";
