//! Which heartbeats get lost: none, each on its own, or several in a row.
//!
//! ```text
//!              p / (burst (1 - p))
//!   good ─────────────────────────► bad        good: arrives, bad: is lost
//!        ◄─────────────────────────
//!                 1 / burst
//! ```
//!
//! A step with each heartbeat of a node, from the long-run mixture of both states on (Gilbert, Bell
//! System Technical Journal 39(5), 1960). Costs a bit for each node.

use std::fmt;
use std::str::FromStr;

use super::random::Random;
use super::spec::{Parts, SpecError, number};

/// A model of loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Nothing gets lost.
    None,
    /// Each heartbeat with this probability, 0 to below 1.
    Independent(f64),
    /// In bursts.
    Gilbert {
        /// The share that gets lost in the long run; 0 to below 1.
        p: f64,
        /// How many in a row on average; at least 1, and at least `p / (1 - p)`.
        burst: f64,
    },
}

/// The losses of a fleet.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    model: Loss,
    /// The nodes in the bad state, a bit each; nothing where the model has no states.
    bad: Vec<u64>,
}

impl Losses {
    /// Of `nodes` nodes that haven't sent anything yet.
    pub(super) fn new(model: Loss, nodes: u32, random: &mut Random) -> Self {
        let bad = match model {
            Loss::None | Loss::Independent(_) => Vec::new(),
            Loss::Gilbert { p, burst: _ } => {
                let mut bad = vec![0; nodes.div_ceil(u64::BITS) as usize];
                (0..nodes).filter(|_| random.chance(p)).for_each(|node| flip(&mut bad, node));
                bad
            }
        };
        Self { model, bad }
    }

    /// Whether this node's next heartbeat gets lost.
    pub(super) fn loses(&mut self, node: u32, random: &mut Random) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Independent(p) => random.chance(p),
            Loss::Gilbert { p, burst } => {
                let lost = self.bad[(node / u64::BITS) as usize] >> (node % u64::BITS) & 1 == 1;
                let change = if lost { 1.0 / burst } else { p / (burst * (1.0 - p)) };
                if random.chance(change) {
                    flip(&mut self.bad, node);
                }
                lost
            }
        }
    }
}

fn flip(bits: &mut [u64], place: u32) {
    bits[(place / u64::BITS) as usize] ^= 1 << (place % u64::BITS);
}

const USAGE: &str = "a probability such as 0.01, or gilbert:p=0.01,burst=5";

impl FromStr for Loss {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.split_once(':') {
            Some(("gilbert", list)) => gilbert(list),
            Some((name, _)) => Err(SpecError(format!("unknown loss model {name:?}; write {USAGE}"))),
            None if text == "none" => Ok(Self::None),
            None => match number("loss", "probability", text, 0.0, 1.0) {
                Ok(p) if p < 1.0 => Ok(Self::Independent(p)),
                Ok(p) => Err(SpecError(format!("loss: probability {p} is out of range; between 0 and below 1"))),
                Err(error) if text.parse::<f64>().is_ok() => Err(error),
                Err(_) => Err(SpecError(format!("loss {text:?} is not a model of loss; write {USAGE}"))),
            },
        }
    }
}

fn gilbert(list: &str) -> Result<Loss, SpecError> {
    let mut parts = Parts::read("gilbert", list, "gilbert:p=0.01,burst=5")?;
    let (p, burst) = (parts.number("p", 0.0, 1.0)?, parts.number("burst", 1.0, 1e9)?);
    parts.end()?;
    if p >= 1.0 {
        return Err(SpecError(format!("gilbert: p {p} is out of range; between 0 and below 1")));
    }
    let least = f64::max(1.0, p / (1.0 - p));
    if burst < least {
        let range = format!("at least {least} heartbeats where a share of {p} is lost");
        return Err(SpecError(format!("gilbert: burst {burst} is out of range; {range}")));
    }
    Ok(Loss::Gilbert { p, burst })
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

    #[test]
    fn gilbert_loses_its_share_in_bursts_of_its_length_on_each_path_by_itself() {
        const NODES: u32 = 100;
        const BEATS: u32 = 5_000;
        for (p, burst) in [(0.01, 5.0), (0.1, 1.5), (0.3, 20.0)] {
            let mut random = Random::new(7);
            let mut losses = Losses::new(Loss::Gilbert { p, burst }, NODES, &mut random);
            let (mut lost, mut bursts) = (0.0, 0.0);
            let mut before = vec![true; NODES as usize];
            for beat in 0..BEATS {
                for node in 0..NODES {
                    let loses = losses.loses(node, &mut random);
                    lost += f64::from(u8::from(loses));
                    bursts += f64::from(u8::from(loses && !before[node as usize] && beat > 0));
                    before[node as usize] = loses;
                }
            }
            let n = f64::from(NODES * BEATS);
            assert!((lost / n - p).abs() < 4.0 * (p * 2.0 * burst / n).sqrt(), "{p}: {}", lost / n);
            // A geometric length scatters by sqrt(burst (burst - 1)); those cut at either end by some more.
            let error = 5.0 * (burst * (burst - 1.0) / bursts).sqrt() + burst * f64::from(NODES) / bursts * p;
            assert!((lost / bursts - burst).abs() < error, "{burst}: {}", lost / bursts);
        }
    }

    #[test]
    fn losses_without_memory_take_one_number_each_and_none_where_nothing_gets_lost() {
        for (model, draws) in [(Loss::None, 0), (Loss::Independent(0.0), 0), (Loss::Independent(0.5), 10)] {
            let (mut random, mut twin) = (Random::new(7), Random::new(7));
            let mut losses = Losses::new(model, 10, &mut random);
            (0..10).for_each(|node| _ = losses.loses(node, &mut random));
            (0..draws).for_each(|_| _ = twin.bits());
            assert_eq!(random.bits(), twin.bits(), "{model}");
        }
    }

    #[test]
    fn a_model_reads_back_as_it_was_written() {
        for text in ["none", "0.01", "0", "gilbert:p=0.01,burst=5"] {
            assert_eq!(text.parse::<Loss>().map(|loss| loss.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_range() {
        for (text, said) in [
            ("1", "loss: probability 1 is out of range; between 0 and below 1"),
            ("1.2", "loss: probability 1.2 is out of range; between 0 and 1"),
            ("NaN", "loss: probability NaN is out of range; between 0 and 1"),
            (
                "much",
                "loss \"much\" is not a model of loss; write a probability such as 0.01, or gilbert:p=0.01,burst=5",
            ),
            ("trace:x", "unknown loss model \"trace\"; write a probability such as 0.01, or gilbert:p=0.01,burst=5"),
            ("gilbert:p=0.01", "gilbert: burst is missing; write gilbert:p=0.01,burst=5"),
            ("gilbert:p=1,burst=5", "gilbert: p 1 is out of range; between 0 and below 1"),
            ("gilbert:p=0.01,burst=0.5", "gilbert: burst 0.5 is out of range; between 1 and 1000000000"),
            (
                "gilbert:p=0.8,burst=2",
                "gilbert: burst 2 is out of range; at least 4.000000000000001 heartbeats where a share of 0.8 is lost",
            ),
            ("gilbert:p=0.01,burst=5,x=1", "gilbert: unknown setting \"x\"; write gilbert:p=0.01,burst=5"),
            ("gilbert:p=0.01,p=0.02", "gilbert: p is given twice; leave one of them out"),
        ] {
            assert_eq!(text.parse::<Loss>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
    }
}
