//! What was sent and hasn't arrived: a heap, the next to arrive on top.
//!
//! A heartbeat that is delayed waits here and is written to its socket when its time has come, so the
//! monitor sees what it would see behind a slow network, later ones that overtake earlier ones
//! included. Its number was given when it was sent, and what becomes of its node in the meantime
//! doesn't call it back. 32 bytes for each that is on its way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use systole_core::{Instant, Span};

use super::delay::Delay;
use super::population::Beat;
use super::random::Random;

/// A heartbeat on its way. In the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Passage {
    /// When it arrives, on the monotonic line.
    pub(super) due: Instant,
    /// When it was sent, on the wall clock.
    pub(super) sent: Instant,
    /// Whose it is.
    pub(super) node: u32,
    /// Which.
    pub(super) beat: Beat,
}

const _: () = assert!(size_of::<Passage>() == 32);

/// The way from a fleet to its monitor.
#[derive(Debug)]
pub(super) struct Transit {
    delay: Delay,
    random: Random,
    passages: BinaryHeap<Reverse<Passage>>,
}

impl Transit {
    /// A way on which nobody is yet.
    pub(super) const fn new(delay: Delay, random: Random) -> Self {
        Self { delay, random, passages: BinaryHeap::new() }
    }

    /// How long the next heartbeat takes. Every turn of a node asks, whatever becomes of it, so that the
    /// delays don't depend on the losses.
    pub(super) fn delay(&mut self) -> Span {
        self.delay.draw(&mut self.random)
    }

    /// A heartbeat sets out.
    pub(super) fn enter(&mut self, passage: Passage) {
        self.passages.push(Reverse(passage));
    }

    /// The next heartbeat that has arrived at `now`.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<Passage> {
        self.passages.peek().filter(|next| next.0.due <= now)?;
        self.passages.pop().map(|next| next.0)
    }

    /// When the next arrives.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.passages.peek().map(|next| next.0.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_arrive_in_the_order_of_their_times_and_none_before() {
        let mut transit = Transit::new("exp:20ms".parse().unwrap(), Random::new(7));
        let at = |micros: u64| Instant::from_nanos(micros * 1_000);
        for seq in 0..1_000 {
            let sent = at(u64::from(seq) * 1_000);
            let due = sent + transit.delay();
            transit.enter(Passage { due, sent, node: seq % 7, beat: Beat { life: 0, seq } });
        }
        let (mut arrived, mut last) = (Vec::new(), Instant::ORIGIN);
        for micros in (0..2_000_000).step_by(100) {
            while let Some(passage) = transit.arrive(at(micros)) {
                assert!(passage.due >= last && passage.due <= at(micros) && passage.due >= passage.sent);
                assert!(at(micros).since(passage.due) < Span::from_nanos(100_000), "as soon as it may");
                last = passage.due;
                arrived.push(passage.beat.seq);
            }
            assert!(transit.next_due().is_none_or(|due| due > at(micros)));
        }
        assert!(!arrived.is_sorted(), "some are overtaken");
        arrived.sort_unstable();
        assert!(arrived.into_iter().eq(0..1_000));
    }
}
