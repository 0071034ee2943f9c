//! Which detector judges: one of the product's, or the one that exists for theory's sake.

use core::fmt;
use core::str::FromStr;

use systole_core::Span;
use systole_core::detector::{self, Detector};

use crate::spec::{Parts, SpecError};

/// Which detector judges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DetectorChoice {
    /// One of the product's, in the product's own monitor.
    Core(Detector),
    /// Chen's NFD-S, which needs the sender's clock: to check the simulator against theory.
    NfdS {
        /// Heartbeat i is awaited until this long after the instant at which it was due to be sent.
        delta: Span,
    },
}

impl DetectorChoice {
    /// The word for it, without its settings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Core(detector) => detector.name(),
            Self::NfdS { delta: _ } => "nfd-s",
        }
    }
}

impl FromStr for DetectorChoice {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.split_once(':') {
            Some(("nfd-s", list)) => {
                let mut parts = Parts::read("nfd-s", list, "nfd-s:delta=1s")?;
                let delta = parts.span("delta")?;
                parts.done(Self::NfdS { delta })
            }
            Some(_) => text.parse().map(Self::Core).map_err(|error: detector::SpecError| SpecError(error.to_string())),
            None if text == "nfd-s" => Err(SpecError("nfd-s: delta is missing; write nfd-s:delta=1s".into())),
            None => text.parse().map(Self::Core).map_err(|error| match error {
                detector::SpecError::Detector(_) => SpecError(format!("{error}, nfd-s")),
                other => SpecError(other.to_string()),
            }),
        }
    }
}

/// As it is read.
impl fmt::Display for DetectorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(detector) => write!(f, "{detector}"),
            Self::NfdS { delta } => write!(f, "nfd-s:delta={}", delta.compact()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_reads_back_as_it_was_written() {
        for text in ["nfd-s:delta=1.5s", "fixed:timeout=1.5s", "chen:margin=2.25x,gain=0.0625"] {
            assert_eq!(text.parse::<DetectorChoice>().map(|choice| choice.to_string()), Ok(text.to_string()));
        }
    }
}
