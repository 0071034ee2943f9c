//! A wait that is either a fixed length of time or a multiple of the node's own interval.
//!
//! "Suspect after 3.25 intervals" suits a node that beats every second and one that beats every
//! hour; "suspect after 1.5 s" is what a requirement usually says. Settings may use either:
//! `1.5s` is a span, `3.25x` is a multiple.

use core::fmt;
use core::str::FromStr;

use crate::Span;

/// A span, or a multiple of the heartbeat interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// The same for every node.
    Span(Span),
    /// This many times the node's interval; finite and not negative.
    Intervals(f32),
}

impl Wait {
    /// How long that is for a node with this interval.
    pub fn of(self, interval: Span) -> Span {
        match self {
            Self::Span(span) => span,
            Self::Intervals(times) => interval.scale(times),
        }
    }
}

/// Why a text is not a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitError;

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a duration such as 1.5s or 300ms, or a multiple of the interval such as 3.25x")
    }
}

impl core::error::Error for WaitError {}

impl FromStr for Wait {
    type Err = WaitError;

    fn from_str(text: &str) -> Result<Self, WaitError> {
        match text.strip_suffix('x') {
            Some(times) => match times.parse::<f32>() {
                Ok(times) if times.is_finite() && times >= 0.0 => Ok(Self::Intervals(times)),
                _ => Err(WaitError),
            },
            None => text.parse().map(Self::Span).map_err(|_| WaitError),
        }
    }
}

/// As it is written in settings: `3.25x`, or the span without a blank.
impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(span) => fmt::Display::fmt(&span.compact(), f),
            Self::Intervals(times) => write!(f, "{times}x"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_wait_reads_back_as_it_was_written() {
        for text in ["1.5s", "300ms", "3.25x", "0x", "10m"] {
            assert_eq!(text.parse::<Wait>().map(|w| w.to_string()), Ok(text.to_string()));
        }
        for bad in ["", "x", "-1x", "NaNx", "infx", "3", "1.5"] {
            assert_eq!(bad.parse::<Wait>(), Err(WaitError), "{bad}");
        }
    }

    #[test]
    fn a_multiple_follows_the_interval() {
        assert_eq!(Wait::Intervals(2.5).of(Span::from_millis(300)), Span::from_millis(750));
        assert_eq!(Wait::Span(Span::from_secs(2)).of(Span::from_millis(300)), Span::from_secs(2));
    }
}
