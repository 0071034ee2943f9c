//! Does every thread still go round? Each that must not stand still counts its rounds, and somebody else looks
//! whether the counts move.
//!
//! A count that stands says that its thread hangs, whatever the reason. One that may sleep for long is
//! woken for its round by whoever looks, before looking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use mio::Waker;

/// One thread's count of its rounds.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<CachePadded<AtomicU64>>);

/// Whoever looks.
#[derive(Debug, Default)]
pub struct Pulses(Vec<Seen>);

/// Whoever looks, and what wakes those that may sleep.
#[derive(Debug)]
pub struct Rounds {
    pulses: Pulses,
    wakers: Vec<Arc<Waker>>,
}

#[derive(Debug)]
struct Seen {
    thread: Box<str>,
    pulse: Pulse,
    rounds: u64,
}

impl Pulse {
    /// Counts a round.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pulses {
    /// The pulse for a thread of this name.
    pub fn add(&mut self, thread: &str) -> Pulse {
        let pulse = Pulse::default();
        self.0.push(Seen { thread: thread.into(), pulse: pulse.clone(), rounds: 0 });
        pulse
    }

    /// The threads that have made no round since the last look.
    pub fn standing(&mut self) -> Vec<&str> {
        let look = |seen: &mut Seen| {
            let before = std::mem::replace(&mut seen.rounds, seen.pulse.0.load(Ordering::Relaxed));
            before == seen.rounds
        };
        self.0.iter_mut().filter_map(|seen| look(seen).then_some(&*seen.thread)).collect()
    }
}

impl Rounds {
    /// Looks at these pulses, and wakes those who have a waker.
    pub const fn new(pulses: Pulses, wakers: Vec<Arc<Waker>>) -> Self {
        Self { pulses, wakers }
    }

    /// Wakes everybody who can be woken.
    pub fn wake(&self) {
        for waker in &self.wakers {
            // One that can't be woken goes no round either, and whoever joins it learns why.
            let _ = waker.wake();
        }
    }

    /// The threads that have gone no round since the last call. Wakes them all for the next.
    pub fn standing(&mut self) -> Vec<&str> {
        self.wake();
        self.pulses.standing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_made_a_round_since_the_last_look_goes_on() {
        let mut pulses = Pulses::default();
        let (a, b) = (pulses.add("a"), pulses.add("b"));
        assert_eq!(pulses.standing(), ["a", "b"], "nobody has begun yet");
        a.beat();
        b.beat();
        assert_eq!(pulses.standing(), [""; 0]);
        b.beat();
        assert_eq!(pulses.standing(), ["a"]);
        a.beat();
        assert_eq!(pulses.standing(), ["b"]);
    }
}
