//! The way out that a whole group shares: `rate=1000,queue=200` lets a thousand datagrams a second
//! through and keeps two hundred waiting; what finds the queue full is lost.
//!
//! A site behind one line, an agent that speaks for many. In lock-step a group sends all at once,
//! and then the queue is what decides who is heard.

use core::fmt;
use core::str::FromStr;

use crate::spec::{Parts, SpecError};

/// A line shared by all nodes of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uplink {
    /// Datagrams a second.
    pub rate: f64,
    /// How many may wait.
    pub queue: u32,
}

/// From one an hour to a thousand million a second.
pub(super) const RATE: (f64, f64) = (1.0 / 3600.0, 1e9);

impl FromStr for Uplink {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("uplink", text, "rate=1000,queue=200")?;
        let (rate, queue) = (parts.number("rate", RATE.0, RATE.1)?, parts.count("queue", u32::MAX)?);
        parts.done(Self { rate, queue })
    }
}

/// As it is read.
impl fmt::Display for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rate={},queue={}", self.rate, self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_it_was_written() {
        for text in ["rate=1000,queue=200", "rate=0.5,queue=0"] {
            assert_eq!(text.parse::<Uplink>().map(|uplink| uplink.to_string()), Ok(text.to_string()));
        }
        for text in ["rate=0,queue=1", "rate=1,queue=-1", "rate=1,queue=1.5", "rate=1"] {
            assert!(text.parse::<Uplink>().is_err(), "{text}");
        }
    }
}
