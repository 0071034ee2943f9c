//! What is done to the fleet, and when: `--kill 20@10s`, `--partition 0.3@20s..30s`.
//!
//! A script is a list of acts in the order of their times, counted from the fleet's first heartbeat.
//! It says how many, never who: that is drawn when the act is due, from those who are there.

use std::str::FromStr;

use systole_core::{Span, SpanError};

/// One thing done to some nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// So many living nodes stop for good, without a word.
    Kill(u32),
    /// All living nodes of the group with this index do so at once.
    KillGroup(usize),
    /// So many nodes begin a new life: those that were killed first, then living ones.
    Restart(u32),
    /// So many living nodes begin a new life between two heartbeats.
    Bounce(u32),
    /// So many nodes say goodbye and stop.
    Goodbye(u32),
    /// This share of the living nodes isn't heard any more, though they go on beating.
    Cut {
        /// Which partition it is: that of the [`Act::Heal`] with the same number.
        partition: usize,
        /// From 0 to 1.
        share: f64,
    },
    /// The nodes of this partition are heard again.
    Heal {
        /// Which partition it is.
        partition: usize,
    },
}

/// An act and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Counted from the fleet's first heartbeat.
    pub at: Span,
    /// What is done.
    pub act: Act,
}

/// Acts in the order of their times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    steps: Vec<Step>,
    partitions: usize,
}

/// So many nodes at a time, as in `20@10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    /// How many nodes.
    pub nodes: u32,
    /// When.
    pub at: Span,
}

/// A share of the nodes for a while, as in `0.3@20s..30s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct While {
    /// From 0 to 1.
    pub share: f64,
    /// When it begins.
    pub from: Span,
    /// When it ends.
    pub to: Span,
}

/// Why a text is not a step of a script.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScriptError {
    /// Not of the form.
    #[error("{0:?} isn't of the form N@T, such as 20@10s: so many nodes, so long after the start")]
    Some(String),
    /// Not of the form.
    #[error("{0:?} isn't of the form FRACTION@T..T, such as 0.3@20s..30s: this share of the nodes, from when to when")]
    While(String),
    /// A time that isn't one.
    #[error("{time:?} in {text:?}: {error}")]
    Time {
        /// All of it.
        text: String,
        /// The part that should be a time.
        time: String,
        /// What is wrong with that.
        error: SpanError,
    },
    /// A number of nodes that nothing would happen to.
    #[error("{0:?} is about no node at all; give a number from 1 up, or leave it out")]
    Nobody(String),
    /// A share that isn't one.
    #[error("the share {share} in {text:?} isn't between 0 and 1; 0.3 is three nodes in ten")]
    Share {
        /// All of it.
        text: String,
        /// The number.
        share: f64,
    },
    /// A partition that ends before it begins.
    #[error("{text:?} ends ({to}) before it begins ({from}); swap the two times")]
    Backwards {
        /// All of it.
        text: String,
        /// When it begins.
        from: Span,
        /// When it ends.
        to: Span,
    },
}

impl Script {
    /// Adds an act. Acts of the same time happen in the order in which they were added.
    pub fn add(&mut self, at: Span, act: Act) {
        let after = self.steps.partition_point(|step| step.at <= at);
        self.steps.insert(after, Step { at, act });
    }

    /// Adds both ends of a partition.
    pub fn add_partition(&mut self, partition: &While) {
        let number = self.partitions;
        self.partitions += 1;
        self.add(partition.from, Act::Cut { partition: number, share: partition.share });
        self.add(partition.to, Act::Heal { partition: number });
    }

    /// The acts in the order of their times.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// When the last act happens; nothing if there is none.
    pub fn last(&self) -> Option<Span> {
        self.steps.last().map(|step| step.at)
    }
}

impl FromStr for Toll {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let form = || ScriptError::Some(text.to_owned());
        let (nodes, at) = text.split_once('@').ok_or_else(form)?;
        let nodes: u32 = nodes.parse().map_err(|_| form())?;
        if nodes == 0 {
            return Err(ScriptError::Nobody(text.to_owned()));
        }
        Ok(Self { nodes, at: time(text, at)? })
    }
}

impl FromStr for While {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let form = || ScriptError::While(text.to_owned());
        let (share, times) = text.split_once('@').ok_or_else(form)?;
        let (from, to) = times.split_once("..").ok_or_else(form)?;
        let share: f64 = share.parse().map_err(|_| form())?;
        if !(share > 0.0 && share <= 1.0) {
            return Err(ScriptError::Share { text: text.to_owned(), share });
        }
        let (from, to) = (time(text, from)?, time(text, to)?);
        if to <= from {
            return Err(ScriptError::Backwards { text: text.to_owned(), from, to });
        }
        Ok(Self { share, from, to })
    }
}

fn time(text: &str, time: &str) -> Result<Span, ScriptError> {
    time.parse().map_err(|error| ScriptError::Time { text: text.to_owned(), time: time.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Span {
        Span::from_secs(secs)
    }

    #[test]
    fn acts_are_read_as_they_are_typed() {
        assert_eq!("20@10s".parse(), Ok(Toll { nodes: 20, at: secs(10) }));
        assert_eq!("1@0s".parse(), Ok(Toll { nodes: 1, at: secs(0) }));
        assert_eq!("0.3@20s..30s".parse(), Ok(While { share: 0.3, from: secs(20), to: secs(30) }));
        assert_eq!("1@1.5s..1m".parse(), Ok(While { share: 1.0, from: Span::from_millis(1_500), to: secs(60) }));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_value_and_the_way_out() {
        for (bad, said) in [
            ("20", "N@T"),
            ("x@1s", "N@T"),
            ("-1@1s", "N@T"),
            ("0@1s", "no node at all"),
            ("1@1", "ends with its unit"),
            ("1@", "starts with a number"),
        ] {
            let error = bad.parse::<Toll>().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(bad), "{bad}: {error}");
        }
        for (bad, said) in [
            ("0.3@1s", "FRACTION@T..T"),
            ("0.3", "FRACTION@T..T"),
            ("half@1s..2s", "FRACTION@T..T"),
            ("1.5@1s..2s", "between 0 and 1"),
            ("0@1s..2s", "between 0 and 1"),
            ("NaN@1s..2s", "between 0 and 1"),
            ("0.3@2s..1s", "before it begins"),
            ("0.3@1s..x", "starts with a number"),
        ] {
            let error = bad.parse::<While>().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(bad), "{bad}: {error}");
        }
    }

    #[test]
    fn acts_happen_in_the_order_of_their_times_and_then_of_their_telling() {
        let mut script = Script::default();
        script.add(secs(5), Act::Kill(1));
        script.add_partition(&While { share: 0.5, from: secs(1), to: secs(9) });
        script.add_partition(&While { share: 0.1, from: secs(2), to: secs(5) });
        script.add(secs(5), Act::Restart(2));
        let acts: Vec<_> = script.steps().iter().map(|step| step.act).collect();
        assert_eq!(
            acts,
            [
                Act::Cut { partition: 0, share: 0.5 },
                Act::Cut { partition: 1, share: 0.1 },
                Act::Kill(1),
                Act::Heal { partition: 1 },
                Act::Restart(2),
                Act::Heal { partition: 0 },
            ]
        );
        assert_eq!(script.last(), Some(secs(9)));
    }
}
