//! What is asked for: found within 15 s, and one false failure a week in the whole fleet.

use core::str::FromStr;

use systole_core::Span;

use crate::frequency::Frequency;
use crate::spec::SpecError;

/// What a monitor is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Requirement {
    /// A crashed node is *failed* within so long.
    pub(crate) detect_within: Span,
    /// This many of the crashes are: the quickest 99 of 100, or all that were seen.
    pub(crate) of_crashes: Quantile,
    /// False failures in the whole fleet.
    pub(crate) false_failures: Frequency,
    /// How many nodes the fleet has; nothing if it is the one that was simulated.
    pub(crate) fleet: Option<u32>,
}

/// Which of the times from crash to *failed* is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Quantile {
    /// Half are quicker.
    P50,
    /// Nine of ten are.
    P90,
    /// 99 of 100.
    #[default]
    P99,
    /// 999 of 1,000.
    P999,
    /// All that were seen.
    Max,
}

impl Quantile {
    const ALL: [Self; 5] = [Self::P50, Self::P90, Self::P99, Self::P999, Self::Max];

    /// Which share of the crashes it covers.
    pub(crate) const fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
            Self::Max => 1.0,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
        }
    }

    /// As a sentence says it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::P50 => "half of the crashes",
            Self::P90 => "90 % of the crashes",
            Self::P99 => "99 % of the crashes",
            Self::P999 => "99.9 % of the crashes",
            Self::Max => "every crash seen",
        }
    }
}

impl FromStr for Quantile {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let known = Self::ALL.into_iter().find(|quantile| quantile.name() == text);
        known.ok_or_else(|| {
            SpecError(format!("unknown share {text:?}; one of {}", Self::ALL.map(Self::name).join(", ")))
        })
    }
}
