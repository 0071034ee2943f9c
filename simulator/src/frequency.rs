//! How often, as a person says it: `1/week`, `0.1/day`, `500k/s`.
//!
//! A number, perhaps with `k` for a thousand or `M` for a million, a slash, and a unit of time. It
//! stays as it was written, and is counted per second.

use core::fmt;
use core::str::FromStr;

use serde::{Serialize, Serializer};

use crate::spec::SpecError;

/// So many per unit of time: more than none, and finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frequency {
    times: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Unit {
    name: &'static str,
    seconds: f64,
}

impl Frequency {
    /// Times per second.
    pub fn per_second(self) -> f64 {
        self.times / self.unit.seconds
    }

    /// Times a day.
    pub fn per_day(self) -> f64 {
        self.per_second() * 86_400.0
    }

    /// So often per second, in the unit in which there is something to count; two digits, rounded up.
    pub fn about(per_second: f64) -> Self {
        let unit = UNITS.iter().find(|unit| per_second * unit.seconds >= 1.0).unwrap_or(&UNITS[UNITS.len() - 1]);
        let times = per_second * unit.seconds;
        let scale = libm::pow(10.0, libm::floor(libm::log10(times)) - 1.0);
        // What is two digits already may lie a rounded bit above itself.
        Self { times: libm::ceil(times / scale - 1e-9) * scale, unit: *unit }
    }
}

impl FromStr for Frequency {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let fault = |why: String| SpecError(format!("{text:?} {why}; write {USAGE}"));
        if ["none", "never", "0"].contains(&text) {
            return Err(fault(
                "can't be promised: a network that loses anything may lose everything for a while".into(),
            ));
        }
        let (number, unit) = text.split_once('/').ok_or_else(|| fault("is not of the form number/time".into()))?;
        let (number, factor) = match number.trim().strip_suffix(['k', 'M']) {
            Some(rest) if number.trim().ends_with('k') => (rest, 1e3),
            Some(rest) => (rest, 1e6),
            None => (number.trim(), 1.0),
        };
        let times: f64 = number.parse().map_err(|_| fault(format!("begins with {number:?}, which is not a number")))?;
        let unit = unit.trim();
        let Some((_, name)) = NAMES.iter().find(|(name, _)| *name == unit) else {
            return Err(fault(format!("has an unknown unit of time {unit:?}")));
        };
        if times == 0.0 {
            return Err(fault(
                "can't be promised: a network that loses anything may lose everything for a while".into(),
            ));
        }
        if !(times > 0.0 && times.is_finite()) {
            return Err(fault(format!("is out of range, with {times} times; more than 0")));
        }
        Ok(Self { times: times * factor, unit: UNITS[*name] })
    }
}

/// As it is read.
impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twelve digits: what was read is written as it was.
        let times = format!("{:.11e}", self.times).parse::<f64>().unwrap_or(self.times);
        match times {
            times if times >= 1e6 => write!(f, "{}M/{}", times / 1e6, self.unit.name),
            times if times >= 1e3 => write!(f, "{}k/{}", times / 1e3, self.unit.name),
            times if times < 1e-3 => write!(f, "{times:e}/{}", self.unit.name),
            times => write!(f, "{times}/{}", self.unit.name),
        }
    }
}

impl Serialize for Frequency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const USAGE: &str = "1/week, 0.1/day or 500k/s, with s, min, hour, day, week, month or year";

const UNITS: [Unit; 7] = [
    Unit { name: "s", seconds: 1.0 },
    Unit { name: "min", seconds: 60.0 },
    Unit { name: "hour", seconds: 3_600.0 },
    Unit { name: "day", seconds: 86_400.0 },
    Unit { name: "week", seconds: 7.0 * 86_400.0 },
    // Twelve of them are a year.
    Unit { name: "month", seconds: 31_557_600.0 / 12.0 },
    Unit { name: "year", seconds: 31_557_600.0 },
];

/// What a unit may be called, and which it is.
const NAMES: [(&str, usize); 15] = [
    ("s", 0),
    ("sec", 0),
    ("second", 0),
    ("m", 1),
    ("min", 1),
    ("minute", 1),
    ("h", 2),
    ("hour", 2),
    ("d", 3),
    ("day", 3),
    ("w", 4),
    ("week", 4),
    ("month", 5),
    ("y", 6),
    ("year", 6),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequency_counts_per_second_and_reads_back() {
        for (text, per_second) in
            [("1/week", 1.0 / 604_800.0), ("0.1/day", 0.1 / 86_400.0), ("500k/s", 5e5), ("2M/min", 2e6 / 60.0)]
        {
            let read = text.parse::<Frequency>().expect(text);
            assert!((read.per_second() / per_second - 1.0).abs() < 1e-12, "{text}");
            assert_eq!(read.to_string(), text);
        }
        assert_eq!("3/h".parse::<Frequency>(), "3/hour".parse());
    }

    #[test]
    fn a_rate_is_told_in_the_unit_in_which_there_is_something_to_count() {
        for (per_second, text) in
            [(3.0, "3/s"), (0.2, "12/min"), (1.0 / 604_800.0, "1/week"), (1e-9, "0.032/year"), (1e-18, "3.2e-11/year")]
        {
            assert_eq!(Frequency::about(per_second).to_string(), text);
        }
        assert!(Frequency::about(0.123_4).per_second() >= 0.123_4);
    }

    #[test]
    fn what_is_no_frequency_is_refused_with_the_way_out() {
        for (text, said) in [
            ("none", "\"none\" can't be promised: a network that loses anything may lose everything for a while; "),
            ("0/day", "\"0/day\" can't be promised: a network that loses anything may lose everything for a while; "),
            ("5", "\"5\" is not of the form number/time; "),
            ("x/day", "\"x/day\" begins with \"x\", which is not a number; "),
            ("1/fortnight", "\"1/fortnight\" has an unknown unit of time \"fortnight\"; "),
            ("-1/day", "\"-1/day\" is out of range, with -1 times; more than 0; "),
        ] {
            assert_eq!(
                text.parse::<Frequency>().map_err(|error| error.to_string()),
                Err(format!("{said}write {USAGE}"))
            );
        }
    }
}
