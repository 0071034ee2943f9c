//! Which heartbeats are lost: none, each on its own, or in bursts.
//!
//! ```text
//!              p / (burst (1 - p))
//!   good ─────────────────────────► bad        good: arrives, bad: is lost
//!        ◄─────────────────────────            1 % lost in bursts of 5 is 1 burst in 500
//!                 1 / burst
//! ```
//! Gilbert's chain takes a step with every datagram of a node, so a burst is counted in heartbeats
//! and not in seconds, and begins in its stationary state. Real links remember longer than that
//! (slow fading, outages by the clock); none of these models does.

use core::fmt;
use core::str::FromStr;

use crate::random::Stream;
use crate::spec::{Parts, SpecError, number};

/// A model of loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    None,
    /// Each datagram is lost with this probability, 0 to 1, whatever happened to the others.
    Independent(f64),
    /// Losses come in bursts: a chain of a good and a bad state.
    Gilbert {
        /// The share that is lost in the long run; 0 to below 1.
        p: f64,
        /// How many are lost in a row, on average; at least 1, and at least `p / (1 - p)`.
        burst: f64,
    },
}

/// The losses on one node's path.
#[derive(Clone, Debug)]
pub struct Lossy {
    stream: Stream,
    bad: bool,
}

impl Lossy {
    /// A path on which nothing was sent yet.
    pub fn new(model: &Loss, mut stream: Stream) -> Self {
        let bad = match model {
            Loss::None | Loss::Independent(_) => false,
            Loss::Gilbert { p, burst: _ } => stream.chance(*p),
        };
        Self { stream, bad }
    }

    /// The same state of the path, with another future.
    pub(crate) fn reseed(&mut self, stream: Stream) {
        self.stream = stream;
    }

    /// Whether the path is in the bad state of Gilbert's chain.
    pub const fn bad(&self) -> bool {
        self.bad
    }

    /// Whether the next datagram is lost.
    pub fn loses(&mut self, model: &Loss) -> bool {
        match *model {
            Loss::None => false,
            Loss::Independent(p) => self.stream.chance(p),
            Loss::Gilbert { p, burst } => {
                let lost = self.bad;
                let change = if lost { 1.0 / burst } else { p / (burst * (1.0 - p)) };
                self.bad ^= self.stream.chance(change);
                lost
            }
        }
    }
}

impl Loss {
    /// Whether its parameters are possible.
    ///
    /// # Errors
    /// The value and its range.
    pub fn check(&self) -> Result<(), SpecError> {
        let out =
            |what: &str, value: f64, range: &str| Err(SpecError(format!("{what} {value} is out of range; {range}")));
        match *self {
            Self::None => Ok(()),
            Self::Independent(p) if (0.0..=1.0).contains(&p) => Ok(()),
            Self::Independent(p) => out("loss", p, "between 0 and 1"),
            Self::Gilbert { p, burst: _ } if !(0.0..1.0).contains(&p) => out("gilbert: p", p, "between 0 and below 1"),
            Self::Gilbert { p, burst } if burst.is_finite() && burst >= 1.0 && burst >= p / (1.0 - p) => Ok(()),
            Self::Gilbert { p, burst } => {
                let least = f64::max(1.0, p / (1.0 - p));
                out("gilbert: burst", burst, &format!("at least {least} heartbeats where a share of {p} is lost"))
            }
        }
    }
}

const USAGE: &str = "a probability such as 0.01, or gilbert:p=0.01,burst=5";

impl FromStr for Loss {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.split_once(':') {
            Some(("gilbert", list)) => {
                let mut parts = Parts::read("gilbert", list, "gilbert:p=0.01,burst=5")?;
                let (p, burst) = (parts.number("p", 0.0, 1.0)?, parts.number("burst", 1.0, 1e9)?);
                let gilbert = parts.done(Self::Gilbert { p, burst })?;
                gilbert.check().map(|()| gilbert)
            }
            Some((name, _)) => Err(SpecError(format!("unknown loss model {name:?}; write {USAGE}"))),
            None if text == "none" => Ok(Self::None),
            None if text.parse::<f64>().is_ok() => number("loss", "probability", text, 0.0, 1.0).map(Self::Independent),
            None => Err(SpecError(format!("loss {text:?} is not a model of loss; write {USAGE}"))),
        }
    }
}

/// As it is read.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Independent(p) => write!(f, "{p}"),
            Self::Gilbert { p, burst } => write!(f, "gilbert:p={p},burst={burst}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const N: usize = 1_000_000;

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn losses(model: Loss) -> Vec<bool> {
        let mut path = Lossy::new(&model, Stream::new(7, 0, Purpose::Loss));
        (0..N).map(|_| path.loses(&model)).collect()
    }

    fn share(losses: &[bool]) -> f64 {
        losses.iter().filter(|lost| **lost).count() as f64 / losses.len() as f64
    }

    #[test]
    fn independent_losses_come_at_their_rate_and_do_not_attract_each_other() {
        for p in [0.01, 0.1, 0.5] {
            let losses = losses(Loss::Independent(p));
            let four_sigma = 4.0 * libm::sqrt(p * (1.0 - p) / N as f64);
            assert!((share(&losses) - p).abs() < four_sigma, "{p}: {}", share(&losses));
            let pairs = losses.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64 / N as f64;
            assert!((pairs - p * p).abs() < 5.0 * libm::sqrt(p * p * 3.0 / N as f64), "{p}: {pairs}");
        }
        assert_eq!((share(&losses(Loss::None)), share(&losses(Loss::Independent(1.0)))), (0.0, 1.0));
    }

    #[test]
    fn gilbert_loses_its_share_in_bursts_of_its_length() {
        for (p, burst) in [(0.01, 5.0), (0.1, 1.5), (0.3, 20.0)] {
            let losses = losses(Loss::Gilbert { p, burst });
            let lost = losses.iter().filter(|lost| **lost).count() as f64;
            let bursts = losses.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
            // A geometric length scatters by sqrt(burst (burst - 1)).
            let error = 4.0 * libm::sqrt(burst * (burst - 1.0) / bursts);
            assert!((lost / bursts - burst).abs() < error, "{burst}: {}", lost / bursts);
            let error = 4.0 * libm::sqrt(p * 2.0 * burst / N as f64);
            assert!((share(&losses) - p).abs() < error, "{p}: {}", share(&losses));
        }
    }

    #[test]
    fn a_model_reads_back_as_it_was_written() {
        for text in ["none", "0.01", "0", "1", "gilbert:p=0.01,burst=5"] {
            assert_eq!(text.parse::<Loss>().map(|loss| loss.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_range() {
        for (text, said) in [
            ("1.2", "loss: probability 1.2 is out of range; between 0 and 1"),
            ("-0.1", "loss: probability -0.1 is out of range; between 0 and 1"),
            ("NaN", "loss: probability NaN is out of range; between 0 and 1"),
            (
                "much",
                "loss \"much\" is not a model of loss; write a probability such as 0.01, or gilbert:p=0.01,burst=5",
            ),
            ("gilbert:p=0.01", "gilbert: burst is missing; write gilbert:p=0.01,burst=5"),
            ("gilbert:p=2,burst=5", "gilbert: p 2 is out of range; between 0 and 1"),
            (
                "gilbert:p=0.9,burst=2",
                "gilbert: burst 2 is out of range; at least 9.000000000000002 heartbeats where a share of 0.9 is lost",
            ),
            ("gilbert:p=0.01,burst=5,x=1", "gilbert: unknown setting \"x\"; write gilbert:p=0.01,burst=5"),
        ] {
            assert_eq!(text.parse::<Loss>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
    }
}
