//! What is asked for: found within 15 s, and one false failure a week in the whole fleet.

use core::fmt;
use core::str::FromStr;

use systole_core::Span;

use crate::spec::SpecError;

/// What a monitor is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Requirement {
    /// A crashed node is *failed* within so long.
    pub(crate) detect_within: Span,
    /// This many of the crashes are: the quickest 99 of 100, or all that were seen.
    pub(crate) of_crashes: Quantile,
    /// False failures in the whole fleet.
    pub(crate) false_failures: Rate,
    /// How many nodes the fleet has; nothing if it is the one that was simulated.
    pub(crate) fleet: Option<u32>,
}

/// How often something may happen: `1/week`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    count: f64,
    per: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
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

impl Rate {
    /// So many a day.
    pub(crate) fn per_day(self) -> f64 {
        self.count * 86_400.0 / self.per.seconds()
    }
}

impl Unit {
    const ALL: [Self; 7] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// A year of 365.25 days, and a month that is a twelfth of it.
    const fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
            Self::Hour => 3_600.0,
            Self::Day => 86_400.0,
            Self::Week => 604_800.0,
            Self::Month => 2_629_800.0,
            Self::Year => 31_557_600.0,
        }
    }
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

/// `1/week`, `0.5/day`, `12/year`.
impl FromStr for Rate {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let units = || Unit::ALL.map(Unit::name).join(", ");
        let Some((count, unit)) = text.split_once('/') else {
            return Err(SpecError(format!("{text:?} is not how often something happens; write 1/week")));
        };
        let per = Unit::ALL.into_iter().find(|known| known.name() == unit.trim());
        let per = per.ok_or_else(|| SpecError(format!("unknown unit {unit:?} in {text:?}; one of {}", units())))?;
        match count.trim().parse::<f64>() {
            Ok(count) if count.is_finite() && count > 0.0 => Ok(Self { count, per }),
            Ok(_) => Err(SpecError(format!(
                "{text} is out of range; above 0, since no number of runs shows that something never happens"
            ))),
            Err(_) => Err(SpecError(format!("{count:?} in {text:?} is not a number; write 1/week"))),
        }
    }
}

/// As it is read.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.name())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for (text, per_day) in [("1/week", 1.0 / 7.0), ("0.5/day", 0.5), ("1/s", 86_400.0), ("365.25/year", 1.0)] {
            let rate: Rate = text.parse().expect(text);
            assert!((rate.per_day() - per_day).abs() < 1e-9 && rate.to_string() == text, "{text}");
        }
    }

    #[test]
    fn never_can_not_be_asked_for() {
        for text in ["0/week", "-1/day", "NaN/day", "1", "1/fortnight", "one/day", ""] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
