//! A belief between two lives of the monitor: owned, and on the wall clock.
//!
//! In the file stand milliseconds since 1970 and lengths of time, never instants of a line that
//! ended with its process. Whoever set the clock meanwhile can make an old belief look young or very
//! old, and no more: it doesn't hold since a time that is still to come, and an announced silence is
//! excused for as long as was left of it. That the monitor's own absence isn't subtracted makes a
//! node that dies asleep be found later by that much, and no sleeper be accused.

use systole_core::{Belief, Incarnation, Instant, Interval, Liveness, NodeId, Payload, Seq, Span};

use crate::clock::Reading;

/// What is kept of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// The node.
    pub id: NodeId,
    /// Its name, if it has travelled.
    pub name: Option<Box<str>>,
    /// The group that it declares.
    pub group: Option<Box<str>>,
    /// Its last heartbeat or goodbye, if one ever came.
    pub last: Option<(Incarnation, Seq)>,
    /// What was believed of it.
    pub liveness: Liveness,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// How often it beats, if that is known from the node.
    pub interval: Option<Interval>,
    /// How much was left of a silence that it announced.
    pub planned: Option<Span>,
    /// The load that it reported last.
    pub load: Option<f32>,
    /// What else it told about itself.
    pub payload: Option<Box<Payload>>,
}

impl Carried {
    /// As a monitor takes it over; `reading` leads to its time line.
    pub fn belief(&self, reading: Reading) -> Belief<'_> {
        Belief {
            id: self.id,
            name: self.name.as_deref(),
            group: self.group.as_deref(),
            last: self.last,
            liveness: self.liveness,
            since: instant(reading, self.since),
            interval: self.interval,
            planned_until: self.planned.map(|left| reading.now + left),
            load: self.load,
            payload: self.payload.as_deref(),
        }
    }
}

/// Never in the future. The middle of the millisecond: its beginning would be shown as the millisecond before whenever
/// the two clocks are read a microsecond apart.
fn instant(reading: Reading, unix_millis: u64) -> Instant {
    reading.instant(unix_millis.saturating_mul(1_000_000).saturating_add(500_000)).min(reading.now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_the_same_by_a_clock_that_is_slewed_meanwhile() {
        let reading = Reading { now: Instant::from_nanos(40_000_000_000), unix_nanos: 1_795_435_382_100_000_000 };
        let since = 1_795_435_380_001;
        let at = instant(reading, since);
        for slewed in [-400_000, -1, 0, 1, 400_000_i64] {
            let later = Reading { now: reading.now, unix_nanos: reading.unix_nanos.wrapping_add_signed(slewed) };
            assert_eq!(later.unix_millis(at), since, "{slewed} ns");
        }
    }
}
