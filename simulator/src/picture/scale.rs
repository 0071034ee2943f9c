//! From a quantity to a place on an axis, and the round numbers that are written along it.

use super::number::{decade, short};

/// One axis: which values it spans, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Equal steps are equally far apart.
    Linear { from: f64, to: f64 },
    /// Equal factors are equally far apart. Both ends are above zero.
    Log { from: f64, to: f64 },
}

/// A place with a number beside it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// The value there.
    pub(super) at: f64,
    /// What stands beside it.
    pub(super) label: String,
}

impl Scale {
    /// Spans all values from zero on, with some air at the end.
    pub(super) fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        Self::Linear { from: 0.0, to: if most > 0.0 { most * 1.06 } else { 1.0 } }
    }

    /// Spans all values above zero, with some air at both ends.
    pub(super) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let usable = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
        let (least, most) = usable.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        if most == 0.0 {
            return Self::Log { from: 0.1, to: 10.0 };
        }
        let air = libm::pow(most / least, 0.06).max(1.6);
        Self::Log { from: least / air, to: most * air }
    }

    /// Linear, or logarithmic where the values differ by more than a factor of 30.
    pub(super) fn fitting(values: &[f64]) -> Self {
        match Self::log(values.iter().copied()) {
            Self::Log { from, to } if to / from > 30.0 * 1.6 * 1.6 => Self::Log { from, to },
            Self::Log { .. } | Self::Linear { .. } => Self::from_zero(values.iter().copied()),
        }
    }

    /// How far along the axis a value stands: 0 at its start, 1 at its end; never outside.
    pub(super) fn place(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } => libm::log(value.max(from) / from) / libm::log(to / from),
        };
        share.clamp(0.0, 1.0)
    }

    /// Round numbers along it, about `wanted` of them.
    pub(super) fn ticks(self, wanted: usize) -> Vec<Tick> {
        match self {
            Self::Linear { from, to } => linear_ticks(from, to, wanted),
            Self::Log { from, to } => log_ticks(from, to, wanted),
        }
    }
}

fn linear_ticks(from: f64, to: f64, wanted: usize) -> Vec<Tick> {
    let rough = (to - from) / wanted.max(1) as f64;
    let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = (libm::ceil(from / step) as i64, libm::floor(to / step) as i64);
    let ticks = (first..=last).map(|count| count as f64 * step);
    ticks.map(|at| Tick { at, label: short(at) }).collect()
}

fn log_ticks(from: f64, to: f64, wanted: usize) -> Vec<Tick> {
    let decades = libm::log10(to / from);
    if decades < 2.0 {
        let (first, last) = (libm::floor(libm::log10(from)) as i32, libm::ceil(libm::log10(to)) as i32);
        let all = (first..=last).flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * power(exponent)));
        let within = all.filter(|at| (from..=to).contains(at));
        return within.map(|at| Tick { at, label: short(at) }).collect();
    }
    let (first, last) = (libm::ceil(libm::log10(from)) as i32, libm::floor(libm::log10(to)) as i32);
    let step = ((last - first) as usize / wanted.max(1) + 1) as i32;
    let decades = (first..=last).filter(|exponent| exponent.rem_euclid(step) == 0);
    decades.map(|exponent| Tick { at: power(exponent), label: decade(exponent) }).collect()
}

fn power(exponent: i32) -> f64 {
    libm::pow(10.0, f64::from(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, wanted: usize) -> Vec<String> {
        scale.ticks(wanted).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_and_lie_within() {
        assert_eq!(labels(Scale::Linear { from: 0.0, to: 10.6 }, 6), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(Scale::Log { from: 0.002, to: 2_000.0 }, 8), ["0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(labels(Scale::Log { from: 1e-9, to: 1e9 }, 4), ["10⁻⁵", "1", "100,000"]);
        assert_eq!(labels(Scale::Log { from: 1.5, to: 30.0 }, 8), ["2", "5", "10", "20"]);
    }

    #[test]
    fn places_run_from_end_to_end_and_no_further() {
        let log = Scale::Log { from: 0.01, to: 100.0 };
        assert!((log.place(1.0) - 0.5).abs() < 1e-12);
        assert_eq!((log.place(0.0), log.place(1e6)), (0.0, 1.0));
        assert_eq!(Scale::Linear { from: 0.0, to: 4.0 }.place(1.0), 0.25);
    }

    #[test]
    fn an_axis_without_values_is_still_one() {
        for scale in [Scale::from_zero([]), Scale::log([]), Scale::fitting(&[]), Scale::log([0.0, f64::NAN])] {
            assert!(scale.ticks(5).len() >= 2 && scale.place(1.0).is_finite(), "{scale:?}");
        }
    }
}
