//! Up to when has everybody looked?
//!
//! A node's text heartbeat may come in by another shard's socket, and its owner must not call the
//! node silent while the heartbeat still lies there unread. So each shard publishes the instant at
//! which it last saw its sockets empty and everything handed on, and nobody is declared silent
//! beyond the earliest of these. A shard that sleeps is woken, looks, and publishes anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use systole_core::Instant;

/// How far each shard has seen.
#[derive(Debug)]
pub struct Horizon {
    seen: Box<[CachePadded<AtomicU64>]>,
    wakers: Box<[Arc<mio::Waker>]>,
}

impl Horizon {
    /// For as many shards as there are wakers, none of which has seen anything yet.
    pub fn new(wakers: impl IntoIterator<Item = Arc<mio::Waker>>) -> Self {
        let wakers: Box<[_]> = wakers.into_iter().collect();
        Self { seen: wakers.iter().map(|_| CachePadded::default()).collect(), wakers }
    }

    /// A shard has seen everything that arrived until `seen` and handed on what isn't its own.
    pub fn publish(&self, shard: u32, seen: Instant) {
        // Release: whoever reads this finds in its inbox what was handed over before.
        self.seen[shard as usize].store(seen.nanos(), Ordering::Release);
    }

    /// The instant until which every shard has seen everything.
    pub fn reached(&self) -> Instant {
        let earliest = self.seen.iter().map(|seen| seen.load(Ordering::Acquire)).min();
        Instant::from_nanos(earliest.unwrap_or(0))
    }

    /// Wakes all other shards that haven't seen everything until `wanted`. Says whether any had to be.
    pub fn wake_behind(&self, shard: u32, wanted: Instant) -> bool {
        let mut any = false;
        for (other, (seen, waker)) in self.seen.iter().zip(&self.wakers).enumerate() {
            if other != shard as usize && seen.load(Ordering::Acquire) < wanted.nanos() {
                // A waker that fails belongs to a shard that has ended, and then all are ending.
                let _ = waker.wake();
                any = true;
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Poll, Token};

    #[test]
    fn the_horizon_is_where_the_slowest_shard_stands() {
        let polls: Vec<Poll> = (0..3).map(|_| Poll::new().unwrap()).collect();
        let wakers = polls.iter().map(|poll| Arc::new(mio::Waker::new(poll.registry(), Token(0)).unwrap()));
        let horizon = Horizon::new(wakers);
        assert_eq!(horizon.reached(), Instant::ORIGIN);
        for (shard, nanos) in [(0, 30), (1, 10), (2, 20)] {
            horizon.publish(shard, Instant::from_nanos(nanos));
        }
        assert_eq!(horizon.reached(), Instant::from_nanos(10));
        assert!(horizon.wake_behind(0, Instant::from_nanos(15)));
        assert!(!horizon.wake_behind(1, Instant::from_nanos(15)), "itself it need not wake");
    }
}
