//! A time during which a part of a group can't be heard: `0.3@60s..90s`, or with a flapping link
//! `0.3@60s..90s,flap=5s`.
//!
//! ```text
//!   from          from + flap                                        until
//!     |----- cut -----|---- heals ----|----- cut -----|---- heals ... |
//! ```
//! Heartbeats travel in one direction only, so a partition of the way back (`direction=down`)
//! changes nothing for datagrams, and that is worth knowing: it can be asked for. A reliable
//! transport, which waits for acknowledgements, isn't modelled to that depth and takes no notice either.

use core::fmt;
use core::str::FromStr;

use systole_core::{Instant, Span};

use crate::spec::{Parts, SpecError, number, span};

/// A time during which a part of the nodes can't be heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Partition {
    /// From then on, after the start of the run.
    pub from: Span,
    /// Until then: what is sent at this instant arrives again.
    pub until: Span,
    /// Each node is cut off with this probability. 0 to 1.
    pub share: f64,
    /// Whether it is exactly this share instead, to the nearest node, evenly spread over the group.
    pub exact: bool,
    /// The link is cut for so long, then whole for so long, and so on; nothing: cut all the time.
    pub flap: Option<Span>,
    /// Which way nothing comes through.
    pub direction: Direction,
}

/// A direction of the path between a node and the monitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the node to the monitor: heartbeats are lost.
    Up,
    /// From the monitor to the node: nothing travels there.
    Down,
    /// Both.
    #[default]
    Both,
}

impl Partition {
    /// Whether nothing gets through that a node which is cut off sends at `now`.
    pub fn cuts(&self, now: Instant) -> bool {
        let (from, until) = (Instant::ORIGIN + self.from, Instant::ORIGIN + self.until);
        if now < from || now >= until || self.direction == Direction::Down {
            return false;
        }
        self.flap.is_none_or(|flap| (now.since(from).nanos() / flap.nanos()).is_multiple_of(2))
    }
}

impl FromStr for Partition {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (window, options) = text.split_once(',').map_or((text, None), |(window, rest)| (window, Some(rest)));
        let window = window.split_once('@').and_then(|(share, window)| Some((share, window.split_once("..")?)));
        let Some((share, (from, until))) = window else {
            return Err(SpecError(format!(
                "partition {text:?} is not of the form share@from..until; write 0.3@60s..90s"
            )));
        };
        let mut partition = Self {
            share: number("partition", "share", share, 0.0, 1.0)?,
            from: span("partition", "from", from)?,
            until: span("partition", "until", until)?,
            exact: false,
            flap: None,
            direction: Direction::Both,
        };
        let Some(options) = options else { return Ok(partition) };
        let mut parts = Parts::read("partition", options, "0.3@60s..90s,exact=yes,flap=5s,direction=up")?;
        if parts.has("exact") {
            partition.exact = parts.word("exact", &["yes", "no"])? == "yes";
        }
        if parts.has("flap") {
            partition.flap = Some(parts.span("flap")?).filter(|flap| !flap.is_zero());
        }
        if parts.has("direction") {
            partition.direction = parts.word("direction", &["up", "down", "both"])?.parse()?;
        }
        parts.done(partition)
    }
}

impl FromStr for Direction {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            "both" => Ok(Self::Both),
            other => Err(SpecError(format!("direction {other:?} is unknown; write up, down or both"))),
        }
    }
}

/// As it is read.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}..{}", self.share, self.from.compact(), self.until.compact())?;
        f.write_str(if self.exact { ",exact=yes" } else { "" })?;
        if let Some(flap) = self.flap {
            write!(f, ",flap={}", flap.compact())?;
        }
        match self.direction {
            Direction::Up => f.write_str(",direction=up"),
            Direction::Down => f.write_str(",direction=down"),
            Direction::Both => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Partition {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_partition_reads_back_as_it_was_written() {
        for text in [
            "0.3@1m..90s",
            "0.16@1m..90s,exact=yes",
            "1@1m..2m,flap=5s",
            "0.5@0ms..2m,direction=down",
            "0.5@0ms..2m,flap=1s,direction=up",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
        for text in ["0.3", "0.3@60s", "0.3@60s..90s,flap=x", "0.3@60s..90s,direction=left", "0.3@60s..90s,x=1"] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_flapping_link_is_cut_and_whole_in_turn_and_one_way_back_is_never_missed() {
        let at = |secs| Instant::ORIGIN + Span::from_secs(secs);
        let cut = |text: &str| (58..94).filter(|secs| read(text).cuts(at(*secs))).collect::<Vec<u64>>();
        assert_eq!(cut("1@60s..90s"), (60..90).collect::<Vec<u64>>());
        assert_eq!(cut("1@60s..90s,flap=10s"), (60..70).chain(80..90).collect::<Vec<u64>>());
        assert_eq!(cut("1@60s..90s,direction=down"), Vec::<u64>::new());
    }
}
