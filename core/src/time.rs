//! Time as the core sees it: a number handed in by whoever drives it.
//!
//! An [`Instant`] is nanoseconds since an origin that the driver chose (the engine: boot, the
//! simulator: the start of the run). A [`Span`] is the distance between two. A [`Tick`] is the
//! millisecond grid of the timing wheel: deadlines round up to it and "now" rounds down, so that
//! nothing fires early and nothing more than one tick late. All arithmetic saturates: a clock
//! that jumps is bad luck, not a panic.

use core::fmt;
use core::ops::{Add, Mul, Sub};

const NANOS_PER_TICK: u64 = 1_000_000;

/// A point on the driver's monotonic time line, in nanoseconds since its origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

/// A length of time in nanoseconds, at most 584 years, never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

/// One millisecond of the wheel's time line, counted from the same origin as [`Instant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Instant {
    /// The origin of the driver's time line.
    pub const ORIGIN: Self = Self(0);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The tick in which a deadline at this instant has passed: rounded up.
    pub const fn tick_up(self) -> Tick {
        Tick(self.0.div_ceil(NANOS_PER_TICK))
    }

    /// The last tick that has wholly begun at this instant: rounded down.
    pub const fn tick_down(self) -> Tick {
        Tick(self.0 / NANOS_PER_TICK)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Longer than anything that is waited for.
    pub const MAX: Self = Self(u64::MAX);

    /// A span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// A span of `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// The span nearest to `millis` milliseconds; nothing for a negative number or NaN.
    pub fn from_millis_f32(millis: f32) -> Self {
        // A float cast saturates and takes NaN to zero: exactly what is wanted.
        Self((f64::from(millis) * 1e6) as u64)
    }

    /// Length in nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Length in whole milliseconds, rounded down.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Length in milliseconds with its fraction; 24 bits of precision.
    pub fn millis_f32(self) -> f32 {
        (self.0 as f64 / 1e6) as f32
    }

    /// Length in seconds with its fraction.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This span times a factor that isn't negative, saturating.
    pub fn scale(self, factor: f32) -> Self {
        Self((self.0 as f64 * f64::from(factor)) as u64)
    }
}

impl Tick {
    /// The tick `count` milliseconds after the origin.
    pub const fn from_count(count: u64) -> Self {
        Self(count)
    }

    /// Milliseconds since the origin.
    pub const fn count(self) -> u64 {
        self.0
    }

    /// The instant at which this tick begins.
    pub const fn instant(self) -> Instant {
        Instant(self.0.saturating_mul(NANOS_PER_TICK))
    }
}

impl Add<Span> for Instant {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Instant {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<u64> for Span {
    type Output = Self;
    fn mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.6}s", self.0 as f64 / 1e9)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As a person would say it: `300 ms`, `1.5 s`, `10 m`, `2 d`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, " ")
    }
}

/// A span as settings write it, without the blank: `300ms`, `1.5s`, `10m`, `2d`.
#[derive(Clone, Copy, Debug)]
pub struct Compact(Span);

impl fmt::Display for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "")
    }
}

impl Span {
    /// Shows it as settings write it: `1.5s` rather than `1.5 s`.
    pub const fn compact(self) -> Compact {
        Compact(self)
    }

    /// Rounded to thousandths of its unit. Minutes and longer only where they come out even:
    /// "90 s" is clearer than "1.5 m".
    fn write(self, f: &mut fmt::Formatter<'_>, blank: &str) -> fmt::Result {
        const EVEN: [(u64, &str); 3] = [(86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "m")];
        for (unit, name) in EVEN {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{blank}{name}", self.0 / unit);
            }
        }
        let (unit, name) = if self.0 >= 1_000_000_000 { (1_000_000_000, "s") } else { (1_000_000, "ms") };
        let thousandths = self.0.saturating_add(unit / 2_000) / (unit / 1_000);
        write!(f, "{}", thousandths / 1_000)?;
        match thousandths % 1_000 {
            0 => {}
            part if part % 100 == 0 => write!(f, ".{}", part / 100)?,
            part if part % 10 == 0 => write!(f, ".{:02}", part / 10)?,
            part => write!(f, ".{part:03}")?,
        }
        write!(f, "{blank}{name}")
    }
}

/// Why a text is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanError {
    /// No digits, or something other than digits and one point before the unit.
    Number,
    /// No unit, or one that isn't `ns`, `us`, `ms`, `s`, `m`, `h` or `d`.
    Unit,
    /// Longer than 584 years.
    TooLong,
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a duration starts with a number, such as 300ms or 1.5s",
            Self::Unit => "a duration ends with its unit: ns, us, ms, s, m, h or d",
            Self::TooLong => "the duration is longer than 584 years",
        })
    }
}

impl core::error::Error for SpanError {}

/// Reads `300ms`, `1.5s`, `10m`, `2d`: one number with at most nine decimals, one unit.
impl core::str::FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty()
            || fraction.contains('.')
            || fraction.len() > 9
            || (number.contains('.') && fraction.is_empty())
        {
            return Err(SpanError::Number);
        }
        let unit: u64 = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(SpanError::Unit),
        };
        let whole: u64 = whole.parse().map_err(|_| SpanError::TooLong)?;
        let mut nanos = u128::from(whole) * u128::from(unit);
        if !fraction.is_empty() {
            let digits: u64 = fraction.parse().map_err(|_| SpanError::Number)?;
            nanos += u128::from(digits) * u128::from(unit) / 10u128.pow(fraction.len() as u32);
        }
        u64::try_from(nanos).map(Self).map_err(|_| SpanError::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn deadlines_round_up_and_now_rounds_down() {
        let just_after = Instant::from_nanos(5_000_001);
        assert_eq!(just_after.tick_up(), Tick::from_count(6));
        assert_eq!(just_after.tick_down(), Tick::from_count(5));
        assert_eq!(Instant::from_nanos(5_000_000).tick_up(), Tick::from_count(5));
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in
            [("300ms", 300), ("1.5s", 1_500), ("10m", 600_000), ("2d", 172_800_000), ("0.25h", 900_000)]
        {
            assert_eq!(text.parse(), Ok(Span::from_millis(millis)), "{text}");
        }
        for (text, error) in [
            ("", SpanError::Number),
            ("s", SpanError::Number),
            ("1.", SpanError::Number),
            ("1.2.3s", SpanError::Number),
            ("-1s", SpanError::Number),
            ("5", SpanError::Unit),
            ("5 s", SpanError::Unit),
            ("1e3s", SpanError::Unit),
            ("99999999999999999999s", SpanError::TooLong),
            ("999999999d", SpanError::TooLong),
        ] {
            assert_eq!(text.parse::<Span>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (span, text) in [
            (Span::from_millis(300), "300 ms"),
            (Span::from_millis(1_500), "1.5 s"),
            (Span::from_millis(5_123), "5.123 s"),
            (Span::from_millis(90_000), "90 s"),
            (Span::from_secs(600), "10 m"),
            (Span::from_secs(172_800), "2 d"),
            (Span::from_nanos(170_000), "0.17 ms"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }
}
