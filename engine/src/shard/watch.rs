//! How long did nobody look at the sockets? Of a loop that sleeps most of the time that is not
//! the sleep, from which any datagram would have woken it, but the work between two sleeps, and
//! whatever a wait lasted longer than was asked for: then we weren't given the processor.

use systole_core::{Instant, Span};

/// The longest gap is remembered for one to two of these.
const WINDOW: Span = Span::from_secs(10);

/// The gaps of a loop, of late.
#[derive(Clone, Debug)]
pub(super) struct LoopWatch {
    woken: Instant,
    window: Instant,
    gap_max: Span,
    gap_max_before: Span,
}

impl LoopWatch {
    pub(super) const fn new(now: Instant) -> Self {
        Self { woken: now, window: now, gap_max: Span::ZERO, gap_max_before: Span::ZERO }
    }

    /// A wait ended at `now` that should have ended at `wake` at the latest. Says by how much it lasted longer.
    pub(super) fn woken(&mut self, now: Instant, wake: Option<Instant>) -> Span {
        let overslept = wake.map_or(Span::ZERO, |wake| now.since(wake.max(self.woken)));
        self.note(now, overslept);
        self.woken = now;
        overslept
    }

    /// The work that began when it was woken ends at `now`. Says how long it took.
    pub(super) fn waits(&mut self, now: Instant) -> Span {
        let worked = now.since(self.woken);
        self.note(now, worked);
        self.woken = now;
        worked
    }

    /// When the work began that isn't over.
    pub(super) const fn begun(&self) -> Instant {
        self.woken
    }

    /// The longest gap of the last ten to twenty seconds.
    pub(super) fn gap_max(&mut self, now: Instant) -> Span {
        self.note(now, Span::ZERO);
        self.gap_max.max(self.gap_max_before)
    }

    /// How long the sockets haven't been empty, given when they last were: not at all if that was
    /// in this round.
    pub(super) fn behind(&self, now: Instant, seen: Instant) -> Span {
        if seen >= self.woken { Span::ZERO } else { now.since(seen) }
    }

    fn note(&mut self, now: Instant, gap: Span) {
        if now.since(self.window) >= WINDOW {
            let long_ago = now.since(self.window) >= WINDOW * 2;
            self.gap_max_before = if long_ago { Span::ZERO } else { self.gap_max };
            self.gap_max = Span::ZERO;
            self.window = now;
        }
        self.gap_max = self.gap_max.max(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Span::from_millis(millis)
    }

    #[test]
    fn sleep_is_no_gap_but_work_and_oversleeping_are() {
        let mut watch = LoopWatch::new(at(0));
        watch.woken(at(5_000), Some(at(5_000)));
        watch.waits(at(5_003));
        assert_eq!(watch.gap_max(at(5_003)), Span::from_millis(3));
        watch.woken(at(6_040), Some(at(6_000)));
        assert_eq!(watch.gap_max(at(6_040)), Span::from_millis(40));
    }

    #[test]
    fn a_gap_is_forgotten_after_a_while() {
        let mut watch = LoopWatch::new(at(0));
        watch.woken(at(100), Some(at(0)));
        watch.waits(at(101));
        assert_eq!(watch.gap_max(at(9_000)), Span::from_millis(100));
        assert_eq!(watch.gap_max(at(11_000)), Span::from_millis(100));
        assert_eq!(watch.gap_max(at(31_000)), Span::ZERO);
    }
}
