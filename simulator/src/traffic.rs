//! What a group puts on the wire, from its first datagram to its last.
//!
//! ```text
//!   sent   |      |      |      |      |        5 in a time of 4 intervals. The first opens it and isn't counted:
//!          |<--1-->--2-->--3-->--4-->|          one an interval
//! ```
//! The wait for verdicts at the end of a run isn't part of it, nor is the time in which other groups go
//! on. A group that sends but once has no rate.

use systole_core::Instant;

/// What a group sent, and from when until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All of it.
    pub all: Load,
    /// What was sent at the first instant.
    pub opening: Load,
    /// When the first datagram was sent, if any was.
    pub first: Instant,
    /// When the last one was.
    pub last: Instant,
}

/// An amount of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Heartbeats, copies not counted.
    pub heartbeats: u64,
    /// Datagrams: heartbeats, copies and goodbyes.
    pub datagrams: u64,
    /// How many bytes these are, without headers of the network.
    pub bytes: u64,
}

/// 20 bytes of IPv4 and 8 of UDP in front of each datagram (RFC 791, RFC 768).
pub(crate) const HEADERS: u64 = 28;

impl Traffic {
    /// Heartbeats a second, on average.
    pub fn heartbeats_per_second(&self) -> Option<f64> {
        self.per_second(|load| load.heartbeats)
    }

    /// Bytes a second on the wire, with the headers of UDP and IPv4.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.per_second(|load| load.bytes + load.datagrams * HEADERS)
    }

    /// Notes what was sent at one instant; instants needn't come in order.
    pub(crate) fn note(&mut self, at: Instant, load: Load) {
        self.add(&Self { all: load, opening: load, first: at, last: at });
    }

    /// Adds what other nodes of the group sent.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.all.datagrams == 0 {
            return;
        }
        if self.all.datagrams == 0 || other.first < self.first {
            (self.first, self.opening) = (other.first, other.opening);
        } else if other.first == self.first {
            self.opening.add(&other.opening);
        }
        self.last = self.last.max(other.last);
        self.all.add(&other.all);
    }

    fn per_second(&self, amount: fn(&Load) -> u64) -> Option<f64> {
        let secs = self.last.since(self.first).secs_f64();
        (secs > 0.0).then(|| (amount(&self.all) - amount(&self.opening)) as f64 / secs)
    }
}

impl Load {
    fn add(&mut self, other: &Self) {
        self.heartbeats += other.heartbeats;
        self.datagrams += other.datagrams;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::Span;

    const HEARTBEAT: Load = Load { heartbeats: 1, datagrams: 1, bytes: 52 };

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Span::from_millis(millis)
    }

    fn sent(millis: impl IntoIterator<Item = u64>) -> Traffic {
        let mut traffic = Traffic::default();
        millis.into_iter().for_each(|millis| traffic.note(at(millis), HEARTBEAT));
        traffic
    }

    #[test]
    fn a_heartbeat_every_second_is_one_a_second_however_few_they_are() {
        for beats in [2, 3, 100] {
            let traffic = sent((0..beats).map(|beat| 500 + 1_000 * beat));
            assert_eq!((traffic.heartbeats_per_second(), traffic.bytes_per_second()), (Some(1.0), Some(80.0)));
        }
        assert_eq!(sent([7]).heartbeats_per_second(), None);
        assert_eq!(sent([]).bytes_per_second(), None);
    }

    #[test]
    fn it_does_not_matter_who_is_added_first() {
        let (early, late, both) = (sent([0, 0, 2_000]), sent([0, 1_000, 4_000]), sent([2_000, 0, 4_000, 1_000, 0, 0]));
        for [mut one, other] in [[early, late], [late, early]] {
            one.add(&Traffic::default());
            one.add(&other);
            assert_eq!(one, both);
        }
        // All that leave at once open the time: what follows them in four seconds counts.
        assert_eq!(both.heartbeats_per_second(), Some(0.75));
    }
}
