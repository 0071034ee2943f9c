//! The line out of a site, which all of its nodes share: a queue in front of a fixed rate.

use systole_core::{Instant, Span};

use crate::scenario::Uplink;

/// One uplink, and until when it is busy with what it has taken.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    each: Span,
    queue: u64,
    free: Instant,
}

impl Line {
    pub(crate) fn new(uplink: Uplink) -> Self {
        let each = Span::from_nanos((1e9 / uplink.rate) as u64).max(Span::from_nanos(1));
        Self { each, queue: u64::from(uplink.queue), free: Instant::ORIGIN }
    }

    /// Takes a datagram at `now`, not before the one taken last; says when it has left, or nothing
    /// if the queue is full.
    pub(crate) fn send(&mut self, now: Instant) -> Option<Instant> {
        let waiting = self.free.since(now).nanos().div_ceil(self.each.nanos());
        // One of those ahead is on the line and not in the queue.
        if waiting > self.queue {
            return None;
        }
        self.free = self.free.max(now) + self.each;
        Some(self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_at_once_leaves_one_by_one_and_what_finds_the_queue_full_is_lost() {
        let mut line = Line::new(Uplink { rate: 10.0, queue: 2 });
        let at = |millis| Instant::ORIGIN + Span::from_millis(millis);
        let left: Vec<Option<Instant>> = (0..4).map(|_| line.send(at(0))).collect();
        assert_eq!(left, [Some(at(100)), Some(at(200)), Some(at(300)), None]);
        assert_eq!((line.send(at(150)), line.send(at(1_000))), (Some(at(400)), Some(at(1_100))));
    }
}
