//! Real traces: which heartbeats were sent, which of them arrived, and when.
//!
//! ```text
//!   sent       1    2    3    4    5    1    2          seq, in two lives
//!   arrived     1    2        3   5      1    2         4 was lost, 3 was slow
//! ```
//! Whatever the file's columns are ([`Trace::parse`] lists them), what comes out is one [`Beat`] per
//! heartbeat that was sent, in the order of sending, in whole nanoseconds from the start of its
//! series. A round trip counts as the delay in full: the heartbeat that is measured is the echo,
//! which comes back to the clock that sent it.

mod read;
mod schedule;
mod shipped;

use std::io;
use std::path::Path;

use systole_core::{Instant, Span};

pub use read::{RowFault, TraceError};

/// What one file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What it was read from.
    pub name: String,
    /// Its series, in the order in which the file first mentions them; never none.
    pub series: Vec<Series>,
}

/// The heartbeats of one sender over one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// What the column `run` or `src` calls it; `all` in a file without one.
    pub name: String,
    /// Every heartbeat that was sent, in the order of sending; never none. A hole in `seq` is a lost one.
    pub beats: Vec<Beat>,
    /// What arrived again, after the first time.
    pub repeats: Vec<Heard>,
}

/// One heartbeat that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// In which life of the sender; the first is 1. A fall of `seq` begins the next.
    pub life: u32,
    /// Its number in that life; as in the file, or counted from 1 where the file has none.
    pub seq: u64,
    /// When it was sent, or due to be; nothing where the file doesn't say.
    pub sent: Option<Instant>,
    /// When it arrived for the first time; nothing if it never did.
    pub arrival: Option<Instant>,
}

/// One heartbeat that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// From which life.
    pub life: u32,
    /// Which one of that life.
    pub seq: u64,
}

impl Trace {
    /// Reads a file, gzipped or not; where there is none, the shipped trace of that name.
    ///
    /// # Errors
    /// Neither a file that can be read nor a shipped trace; else as [`Trace::parse`].
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&name, &bytes),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Self::shipped(&name)
                .ok_or_else(|| TraceError::Nowhere { name, shipped: Self::shipped_names().join(", ") }),
            Err(why) => Err(TraceError::Open { name, why }),
        }
    }

    /// The trace of this name that is part of the binary.
    pub fn shipped(name: &str) -> Option<Self> {
        shipped::find(name)
    }

    /// How the traces that are part of the binary are called.
    pub fn shipped_names() -> Vec<&'static str> {
        shipped::names().collect()
    }

    /// Reads CSV with a header, gzipped or not. It has either
    ///
    /// - `send_time_s` (or `due_s`) with one of `rtt_ms`, `delay_ms`, `arrival_delay_ms`, where empty
    ///   means lost, one row for each heartbeat that was sent, and maybe `seq`; or
    /// - `arrival_unix_ms` or `arrival_s` with `seq`, one row for each that arrived.
    ///
    /// A column `run` or `src` separates series; other columns are skipped. In the second form what
    /// was sent has to be inferred: a number that falls begins a new life of the sender, unless it is
    /// one of the last 64 and either was still missing (it was overtaken) or the count goes on above
    /// it with the next row (it came twice).
    ///
    /// # Errors
    /// A header without these columns, no row at all, or the broken rows, all at once.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, TraceError> {
        read::parse(name, bytes)
    }
}

impl Series {
    /// The time between two heartbeats, for each step of `seq`: the median over the series, by sending
    /// where the file tells it. Nothing if no two heartbeats tell.
    pub fn interval(&self) -> Option<Span> {
        schedule::interval(&self.beats)
    }

    /// Whether each heartbeat was lost, in the order of sending.
    pub fn losses(&self) -> impl Iterator<Item = bool> + '_ {
        self.beats.iter().map(|beat| beat.arrival.is_none())
    }

    /// For each heartbeat when it was sent, from the first one on, and how long it was on its way;
    /// nothing if it was lost.
    ///
    /// Where the file doesn't tell when it was sent, that is when it should have been by the schedule
    /// that fits best: for each stretch of 64 arrivals the line that lies nearest below all of them.
    /// The delay is then what varies of it: the quickest of a stretch took no time.
    pub fn delays(&self) -> Vec<(Span, Option<Span>)> {
        schedule::delays(&self.beats)
    }

    /// Everything that arrived, in the order of arrival; repeats and what was overtaken included.
    pub fn arrivals(&self) -> Vec<Heard> {
        let heard = |beat: &Beat| beat.arrival.map(|at| Heard { at, life: beat.life, seq: beat.seq });
        let mut arrivals: Vec<Heard> =
            self.beats.iter().filter_map(heard).chain(self.repeats.iter().copied()).collect();
        arrivals.sort_unstable();
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nowhere_is_told_what_there_is() {
        let error = Trace::read(Path::new("nowhere/mobile-4g")).expect_err("no such trace").to_string();
        assert_eq!(
            error,
            "there is neither a file nor a shipped trace nowhere/mobile-4g; the shipped ones are host-idle, \
             host-starved, collector-overload, mobile-5g, lorawan"
        );
        assert_eq!(Trace::read(Path::new("mobile-5g")).expect("shipped").series.len(), 3);
    }
}
