//! How long did nobody look at the sockets? Of a loop that sleeps most of the time that is not
//! the sleep, from which any datagram would have woken it, but the work between two looks, and
//! whatever a wait lasted longer than was asked for: then we weren't given the processor. How much of it
//! was one turn of the monitor's shows whether we ourselves are slow.

use systole_core::{Instant, Span};

/// The longest gap is remembered for one to two of these.
const WINDOW: Span = Span::from_secs(10);

/// The gaps of a loop, of late.
#[derive(Clone, Debug)]
pub(super) struct LoopWatch {
    woken: Instant,
    /// Up to when its work is accounted for.
    told: Instant,
    gaps: Longest,
    turns: Longest,
}

/// The longest of late.
#[derive(Clone, Debug)]
struct Longest {
    window: Instant,
    max: Span,
    max_before: Span,
}

impl LoopWatch {
    pub(super) const fn new(now: Instant) -> Self {
        Self { woken: now, told: now, gaps: Longest::new(now), turns: Longest::new(now) }
    }

    /// A wait ended at `now` that should have ended at `wake` at the latest. Says by how much it lasted longer.
    pub(super) fn woken(&mut self, now: Instant, wake: Option<Instant>) -> Span {
        let overslept = wake.map_or(Span::ZERO, |wake| now.since(wake.max(self.told)));
        self.gaps.note(now, overslept);
        (self.woken, self.told) = (now, now);
        overslept
    }

    /// It has worked until `now`, and looks again or sleeps. Says for how long since this was last told, or it was woken.
    pub(super) fn worked(&mut self, now: Instant) -> Span {
        let worked = now.since(self.told);
        self.gaps.note(now, worked);
        self.told = now;
        worked
    }

    /// When it was last woken.
    pub(super) const fn begun(&self) -> Instant {
        self.woken
    }

    /// A turn of the monitor began at `from` and ended at `now`.
    pub(super) fn turned(&mut self, from: Instant, now: Instant) {
        self.turns.note(now, now.since(from));
    }

    /// The longest gap of the last ten to twenty seconds.
    pub(super) fn gap_max(&mut self, now: Instant) -> Span {
        self.gaps.max(now)
    }

    /// The longest turn of the last ten to twenty seconds.
    pub(super) fn turn_max(&mut self, now: Instant) -> Span {
        self.turns.max(now)
    }

    /// How long the sockets haven't been empty, given when they last were: not at all if that was
    /// in this round.
    pub(super) fn behind(&self, now: Instant, seen: Instant) -> Span {
        if seen >= self.woken { Span::ZERO } else { now.since(seen) }
    }
}

impl Longest {
    const fn new(now: Instant) -> Self {
        Self { window: now, max: Span::ZERO, max_before: Span::ZERO }
    }

    fn max(&mut self, now: Instant) -> Span {
        self.note(now, Span::ZERO);
        self.max.max(self.max_before)
    }

    fn note(&mut self, now: Instant, span: Span) {
        if now.since(self.window) >= WINDOW {
            let long_ago = now.since(self.window) >= WINDOW * 2;
            self.max_before = if long_ago { Span::ZERO } else { self.max };
            self.max = Span::ZERO;
            self.window = now;
        }
        self.max = self.max.max(span);
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
        watch.worked(at(5_003));
        assert_eq!(watch.gap_max(at(5_003)), Span::from_millis(3));
        watch.woken(at(6_040), Some(at(6_000)));
        assert_eq!(watch.gap_max(at(6_040)), Span::from_millis(40));
    }

    #[test]
    fn work_is_told_once_however_often_one_asks_and_a_round_that_emptied_the_sockets_is_not_behind() {
        let mut watch = LoopWatch::new(at(0));
        watch.woken(at(1_000), Some(at(1_000)));
        let seen = at(1_001);
        assert_eq!(watch.worked(at(1_030)), Span::from_millis(30));
        assert_eq!(watch.worked(at(1_050)), Span::from_millis(20));
        assert_eq!(watch.behind(at(1_050), seen), Span::ZERO);
        watch.woken(at(2_000), Some(at(2_000)));
        assert_eq!(watch.behind(at(2_050), seen), Span::from_millis(1_049));
    }

    #[test]
    fn a_gap_and_a_turn_are_forgotten_after_a_while() {
        let mut watch = LoopWatch::new(at(0));
        watch.woken(at(100), Some(at(0)));
        watch.turned(at(100), at(101));
        watch.worked(at(101));
        assert_eq!(watch.turn_max(at(11_000)), Span::from_millis(1));
        assert_eq!(watch.turn_max(at(31_000)), Span::ZERO);
        let mut watch = LoopWatch::new(at(0));
        watch.woken(at(100), Some(at(0)));
        assert_eq!(watch.gap_max(at(9_000)), Span::from_millis(100));
        assert_eq!(watch.gap_max(at(11_000)), Span::from_millis(100));
        assert_eq!(watch.gap_max(at(31_000)), Span::ZERO);
    }
}
