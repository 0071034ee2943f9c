//! A trace as a model: what happened to real heartbeats happens to simulated ones.
//!
//! ```text
//!   by time   the row in force when the heartbeat is sent     trace every 55 ms, heartbeats every 1 s
//!   by row    one row for each heartbeat                      trace every 604 s, heartbeats every 1 s
//! ```
//! A trace that is slower than the heartbeats says nothing of what happens between its rows, so then
//! each heartbeat takes the next row, and its bursts are counted in heartbeats. The series of a
//! trace follow one another, each node begins somewhere among them, and after the last comes the first.

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use systole_core::{Instant, Span};

use crate::random::Stream;
use crate::spec::SpecError;
use crate::trace::Trace;

/// A trace, and what it is used by.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    name: Arc<str>,
    by: Option<By>,
    rows: Arc<[Row]>,
    /// From the first row of the first series to the end of the last one.
    length: Span,
    /// From one heartbeat of the trace to the next, if it has two.
    period: Option<Span>,
}

/// What a trace is used by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The row in force at the instant of sending.
    Time,
    /// One row for each heartbeat.
    Row,
}

/// What happened to one heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// When it was sent, from the start of the first series.
    at: Span,
    /// Whether it was lost.
    pub(crate) lost: bool,
    /// How long it took; if it was lost, how long the last one took that wasn't.
    pub(crate) delay: Span,
}

/// Where in the trace a node is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// The start of its run is this far into the trace.
    Time(Span),
    /// At this row.
    Row(usize),
}

impl Recorded {
    /// A trace as a model, used by what suits the interval.
    ///
    /// # Errors
    /// If nothing of it arrived, so that it has no delays.
    pub fn new(trace: &Trace) -> Result<Self, SpecError> {
        let name = &trace.name;
        let mut beats = Vec::new();
        let (mut length, mut period) = (Span::ZERO, None);
        for series in &trace.series {
            let interval = series.interval();
            period = period.or(interval);
            let delays = series.delays();
            let end = delays.last().map_or(Span::ZERO, |(sent, _)| *sent) + interval.unwrap_or(Span::from_nanos(1));
            beats.extend(delays.into_iter().map(|(sent, delay)| (length + sent, delay)));
            length = length + end;
        }
        // What is lost at the very start takes what the last one of the trace took.
        let Some(mut last) = beats.iter().rev().find_map(|(_, delay)| *delay) else {
            return Err(SpecError(format!("trace {name}: nothing arrived, so it has no delays; choose another")));
        };
        let row = |(at, delay): (Span, Option<Span>)| {
            last = delay.unwrap_or(last);
            Row { at, lost: delay.is_none(), delay: last }
        };
        let rows = beats.into_iter().map(row).collect();
        Ok(Self { name: name.as_str().into(), by: None, rows, length, period })
    }

    /// `FILE`, or `FILE,by=time` or `FILE,by=row`.
    pub(crate) fn read(text: &str) -> Result<Self, SpecError> {
        let (file, by) = match text.rsplit_once(",by=") {
            Some((file, "time")) => (file, Some(By::Time)),
            Some((file, "row")) => (file, Some(By::Row)),
            Some((_, by)) => {
                return Err(SpecError(format!("trace: by {by:?} is neither time nor row; write trace:FILE,by=time")));
            }
            None => (text, None),
        };
        if file.is_empty() {
            return Err(SpecError("trace: the file is missing; write trace:FILE".into()));
        }
        let trace = Trace::read(Path::new(file)).map_err(|error| SpecError(format!("trace: {error}")))?;
        Ok(Self { by, name: file.into(), ..Self::new(&trace)? })
    }

    /// The same, with what it is used by for heartbeats of this interval.
    #[must_use]
    pub fn at_interval(&self, interval: Span) -> Self {
        Self { by: Some(self.by(interval)), ..self.clone() }
    }

    /// How many heartbeats it has.
    pub fn heartbeats(&self) -> usize {
        self.rows.len()
    }

    /// From one heartbeat of the trace to the next; nothing if it has only one.
    pub const fn period(&self) -> Option<Span> {
        self.period
    }

    /// The share of its heartbeats that is lost.
    pub fn share_lost(&self) -> f64 {
        self.rows.iter().filter(|row| row.lost).count() as f64 / self.rows.len() as f64
    }

    /// The delays of what arrived, in order.
    pub(crate) fn delays(&self) -> impl Iterator<Item = Span> + '_ {
        self.rows.iter().filter(|row| !row.lost).map(|row| row.delay)
    }

    /// A node that begins anywhere.
    pub(crate) fn start(&self, stream: &mut Stream, interval: Span) -> Place {
        let anywhere = stream.unit();
        match self.by(interval) {
            By::Time => Place::Time(Span::from_nanos((anywhere * self.length.nanos() as f64) as u64)),
            By::Row => Place::Row((anywhere * self.rows.len() as f64) as usize),
        }
    }

    /// What happened to any of its heartbeats.
    pub(crate) fn any(&self, stream: &mut Stream) -> Row {
        self.rows[(stream.unit() * self.rows.len() as f64) as usize]
    }

    /// What happens to the next heartbeat, sent at `now`.
    pub(crate) fn next(&self, place: &mut Place, now: Instant) -> Row {
        match place {
            Place::Time(start) => {
                let into = now.nanos().wrapping_add(start.nanos()) % self.length.nanos();
                let after = self.rows.partition_point(|row| row.at.nanos() <= into);
                self.rows[after.saturating_sub(1)]
            }
            Place::Row(row) => {
                let taken = self.rows[*row];
                *row = (*row + 1) % self.rows.len();
                taken
            }
        }
    }

    fn by(&self, interval: Span) -> By {
        let suits = if self.period.is_some_and(|period| period <= interval) { By::Time } else { By::Row };
        self.by.unwrap_or(suits)
    }
}

/// As it is read.
impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trace:{}", self.name)?;
        match self.by {
            Some(By::Time) => f.write_str(",by=time"),
            Some(By::Row) => f.write_str(",by=row"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Actor, Purpose};

    /// Every 2 s a heartbeat: 20 ms, lost, 30 ms, 40 ms.
    const CSV: &[u8] = b"send_time_s,delay_ms\n0,20\n2,\n4,30\n6,40\n";

    fn recorded(by: Option<By>) -> Recorded {
        let trace = Trace::parse("four", CSV).expect("a trace");
        Recorded { by, ..Recorded::new(&trace).expect("a model") }
    }

    fn secs(secs: u64) -> Instant {
        Instant::ORIGIN + Span::from_secs(secs)
    }

    #[test]
    fn by_row_each_heartbeat_takes_the_next_and_the_first_follows_the_last() {
        let trace = recorded(None);
        let mut place = Place::Row(2);
        let seen: Vec<_> =
            (0..6).map(|_| trace.next(&mut place, secs(0))).map(|row| (row.lost, row.delay.millis())).collect();
        assert_eq!(seen, [(false, 30), (false, 40), (false, 20), (true, 20), (false, 30), (false, 40)]);
    }

    #[test]
    fn by_time_a_heartbeat_meets_the_row_that_was_in_force() {
        let trace = recorded(Some(By::Time));
        let mut place = Place::Time(Span::from_secs(1));
        let seen = [0, 1, 2, 3, 5, 6, 7, 10].map(|now| trace.next(&mut place, secs(now)).delay.millis());
        assert_eq!(seen, [20, 20, 20, 30, 40, 40, 20, 20]);
        assert!(trace.next(&mut place, secs(9)).lost && !trace.next(&mut place, secs(11)).lost);
    }

    #[test]
    fn a_trace_that_is_slower_than_the_heartbeats_is_used_by_row() {
        let at = |secs, by| recorded(by).at_interval(Span::from_secs(secs)).to_string();
        assert_eq!(at(1, None), "trace:four,by=row");
        assert_eq!(at(2, None), "trace:four,by=time");
        assert_eq!(at(1, Some(By::Time)), "trace:four,by=time");
        assert_eq!(recorded(None).to_string(), "trace:four");
    }

    #[test]
    fn nodes_begin_all_over_the_trace() {
        let trace = recorded(None);
        let mut seen = [0; 4];
        for node in 0..400 {
            match trace.start(&mut Stream::new(7, Actor::node(0, node), Purpose::Loss), Span::from_secs(1)) {
                Place::Row(row) => seen[row] += 1,
                Place::Time(_) => panic!("a slow trace is used by row"),
            }
        }
        assert!(seen.iter().all(|count| (60..=140).contains(count)), "{seen:?}");
    }

    #[test]
    fn what_can_not_be_used_is_refused() {
        let nothing = Trace::parse("nothing", b"send_time_s,delay_ms\n0,\n2,\n").expect("a trace");
        let said = Recorded::new(&nothing).map(drop).map_err(|error| error.to_string());
        assert_eq!(said, Err("trace nothing: nothing arrived, so it has no delays; choose another".into()));
        let said = Recorded::read("x,by=month").map(drop).map_err(|error| error.to_string());
        assert_eq!(said, Err("trace: by \"month\" is neither time nor row; write trace:FILE,by=time".into()));
        let said = Recorded::read("/no/such/file").map(drop).map_err(|error| error.to_string());
        assert!(said.is_err_and(|said| said.starts_with("trace: ") && said.contains("/no/such/file")));
    }
}
