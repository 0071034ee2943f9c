//! What goes wrong with the monitor itself: it stalls, its socket overflows, it restarts, its clock
//! is set. None of it is the fault of any node.
//!
//! ```text
//!   arrivals    | ||  | |  |||| | |  ||  | |  ...
//!   buffer      · ·· · ▁▂▃▄▅▆▇███████▅▃▁ ·   ·        full: what arrives is lost
//!   monitor     runs ──┤   stalled    ├ drains, then judges
//! ```

use core::fmt;
use core::str::FromStr;

use systole_core::Span;

use super::pauses::Pauses;
use super::{list, optional};
use crate::spec::{Parts, SpecError, span};

/// What goes wrong with the monitor itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Troubles {
    /// Times in which it does nothing at all.
    pub stalls: Vec<Stall>,
    /// How many datagrams its receive buffer holds; nothing: as many as there are. The system's
    /// default of 4 MiB holds 10,082 heartbeats.
    pub buffer: Option<u32>,
    /// How many datagrams a second it can take in; nothing: as many as there are.
    pub capacity: Option<u32>,
    /// Times at which it ends and begins anew.
    pub restarts: Vec<Restart>,
    /// Times at which somebody sets the clock.
    pub clock_steps: Vec<ClockStep>,
}

/// A time in which the monitor does nothing: `3s@60s`, or at random `every=10m,length=2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Once.
    Once {
        /// When it begins.
        at: Span,
        /// How long it takes.
        length: Span,
    },
    /// Now and then.
    Random(Pauses),
}

/// The monitor ends and begins anew: `60s`, `60s,down=2s`, `60s,down=2s,snapshot=yes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When it ends. What waits in its receive buffer is lost.
    pub at: Span,
    /// How long until it runs again. What arrives meanwhile is lost.
    pub down: Span,
    /// Whether it takes over what it believed before.
    pub snapshot: bool,
}

/// Somebody sets the realtime clock: `+1h@60s` or `-1h@60s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// When.
    pub at: Span,
    /// By how much.
    pub by: Span,
    /// Whether it is set forward.
    pub forward: bool,
}

impl Troubles {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what becomes of one node's heartbeat depends on how many others there are. A stamp that
    /// a step of the clock made wrong is cut to when the socket was last empty, of anybody's datagrams.
    pub(crate) fn couples(&self) -> bool {
        self.buffer.is_some() || self.capacity.is_some() || !self.clock_steps.is_empty()
    }

    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![
            ("stall", list(&self.stalls)),
            ("buffer", optional(self.buffer.as_ref())),
            ("capacity", optional(self.capacity.as_ref())),
            ("restart", list(&self.restarts)),
            ("clock-step", list(&self.clock_steps)),
        ]
    }
}

impl FromStr for Stall {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.split_once('@') {
            Some((length, at)) => {
                Ok(Self::Once { at: span("stall", "at", at)?, length: span("stall", "length", length)? })
            }
            None if text.contains('=') => {
                let mut parts = Parts::read("stall", text, "every=10m,length=2s, or 3s@60s for once")?;
                let (every, length) = (parts.span("every")?, parts.span("length")?);
                parts.done(Self::Random(Pauses { every, length }))
            }
            None => Err(SpecError(format!(
                "stall {text:?} is not of the form length@at; write 3s@60s, or every=10m,length=2s"
            ))),
        }
    }
}

/// As it is read.
impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once { at, length } => write!(f, "{}@{}", length.compact(), at.compact()),
            Self::Random(pauses) => write!(f, "{pauses}"),
        }
    }
}

impl FromStr for Restart {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (at, options) = text.split_once(',').map_or((text, None), |(at, rest)| (at, Some(rest)));
        let mut restart = Self { at: span("restart", "at", at)?, down: Span::ZERO, snapshot: false };
        let Some(options) = options else { return Ok(restart) };
        let mut parts = Parts::read("restart", options, "60s,down=2s,snapshot=yes")?;
        if parts.has("down") {
            restart.down = parts.span("down")?;
        }
        if parts.has("snapshot") {
            restart.snapshot = parts.word("snapshot", &["yes", "no"])? == "yes";
        }
        parts.done(restart)
    }
}

/// As it is read.
impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},down={}", self.at.compact(), self.down.compact())?;
        f.write_str(if self.snapshot { ",snapshot=yes" } else { "" })
    }
}

impl FromStr for ClockStep {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let usage = || SpecError(format!("clock step {text:?} is not of the form by@at; write +1h@60s or -1h@60s"));
        let (by, at) = text.split_once('@').ok_or_else(usage)?;
        let (forward, by) = match (by.strip_prefix('+'), by.strip_prefix('-')) {
            (Some(by), _) => (true, by),
            (None, Some(by)) => (false, by),
            (None, None) => return Err(usage()),
        };
        Ok(Self { at: span("clock step", "at", at)?, by: span("clock step", "by", by)?, forward })
    }
}

/// As it is read.
impl fmt::Display for ClockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}@{}", if self.forward { '+' } else { '-' }, self.by.compact(), self.at.compact())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again<T: FromStr<Err = SpecError> + fmt::Display>(text: &str) -> String {
        text.parse::<T>().map_or_else(|error| error.to_string(), |item| item.to_string())
    }

    #[test]
    fn troubles_read_back_as_they_were_written() {
        for text in ["3s@1m", "every=10m,length=2s"] {
            assert_eq!(again::<Stall>(text), text);
        }
        for text in ["1m,down=2s,snapshot=yes", "1m,down=0ms"] {
            assert_eq!(again::<Restart>(text), text);
        }
        for text in ["+1h@1m", "-1h@1m"] {
            assert_eq!(again::<ClockStep>(text), text);
        }
    }

    #[test]
    fn what_is_not_a_trouble_is_refused_with_its_form() {
        assert_eq!(
            again::<Stall>("3s"),
            "stall \"3s\" is not of the form length@at; write 3s@60s, or every=10m,length=2s"
        );
        assert!(
            again::<Restart>("60s,snapshot=maybe").contains("yes or no"),
            "{}",
            again::<Restart>("60s,snapshot=maybe")
        );
        assert_eq!(
            again::<ClockStep>("1h@60s"),
            "clock step \"1h@60s\" is not of the form by@at; write +1h@60s or -1h@60s"
        );
    }
}
