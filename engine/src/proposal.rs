//! One change for all shards: each says whether it could take it, and only when all can, all do.
//!
//! ```text
//!   whoever proposes ──proposal──► every shard ──"I can"──► commit ──► every shard takes it
//!                                              └─"I can't", or nothing in time ──► abort ──► none does
//! ```
//!
//! The decision is one word that only the proposer writes and every shard reads between two rounds, so
//! a shard that was slow to answer can't take what was given up meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam::channel::Sender;
use systole_core::auth::KeyRing;
use systole_core::config::Config;
use systole_core::{Monitor, NotReconfigured};

/// What one shard is to judge by next.
#[derive(Debug)]
pub struct Proposal {
    /// The configuration.
    pub config: Box<Config>,
    /// The keys that go with it.
    pub keys: KeyRing,
    /// What becomes of it.
    pub decision: Decision,
    /// Where it goes whether the shard can take it. Asked for once.
    pub vote: Option<Sender<Vote>>,
    /// Where the former configuration goes.
    pub former: Sender<Result<Config, NotReconfigured>>,
}

/// Whether a shard can take what is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// It can.
    Ready,
    /// There would be more groups than can be told apart.
    NoRoom,
}

/// What becomes of a proposal: nobody knows yet, until somebody decides.
#[derive(Clone, Debug, Default)]
pub struct Decision(Arc<AtomicU8>);

impl Decision {
    /// All shards take it.
    pub fn commit(&self) {
        self.0.store(COMMIT, Ordering::Release);
    }

    /// None does.
    pub fn abort(&self) {
        self.0.store(ABORT, Ordering::Release);
    }
}

impl Proposal {
    /// Does what is to be done about it now: votes, as soon as the change before is worked off, or takes it. Says
    /// whether anything changed, and gives itself back as long as it isn't decided.
    pub fn proceed(mut self, monitor: &mut Monitor, now: systole_core::Instant) -> (bool, Option<Self>) {
        match self.decision.0.load(Ordering::Acquire) {
            ABORT => (false, None),
            COMMIT => {
                let taken = monitor.reconfigure(*self.config, now);
                if taken.is_ok() {
                    monitor.set_keys(self.keys);
                }
                // Whoever asked may have gone: then the answer is for nobody.
                let _ = self.former.send(taken);
                (true, None)
            }
            _ => {
                if let Some(vote) = self.vote.take_if(|_| monitor.is_settled()) {
                    let ready = if monitor.has_room_for(&self.config) { Vote::Ready } else { Vote::NoRoom };
                    let _ = vote.send(ready);
                }
                (false, Some(self))
            }
        }
    }
}

const COMMIT: u8 = 1;
const ABORT: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::{Receiver, bounded};
    use systole_core::config::{Limits, Plan};
    use systole_core::{Instant, Span};

    fn config(interval_max: u64) -> Config {
        let limits = Limits { interval_max: Span::from_secs(interval_max), ..Limits::default() };
        Config::new(Plan { limits, ..Plan::default() }).expect("a sound plan")
    }

    fn proposal() -> (Proposal, Receiver<Vote>, Receiver<Result<Config, NotReconfigured>>) {
        let ((vote, voted), (former, taken)) = (bounded(1), bounded(1));
        let decision = Decision::default();
        let proposal =
            Proposal { config: Box::new(config(60)), keys: KeyRing::default(), decision, vote: Some(vote), former };
        (proposal, voted, taken)
    }

    #[test]
    fn nothing_is_taken_before_it_is_decided_and_then_all_of_it_is() {
        let now = Instant::from_nanos(1_000_000_000);
        let mut monitor = Monitor::new(config(30), now);
        let (proposal, voted, taken) = proposal();
        let decision = proposal.decision.clone();
        let (changed, proposal) = proposal.proceed(&mut monitor, now);
        assert_eq!((changed, voted.try_recv()), (false, Ok(Vote::Ready)));
        let (changed, proposal) = proposal.expect("it waits").proceed(&mut monitor, now);
        assert!(!changed && taken.is_empty());
        assert_eq!(monitor.config().plan().limits.interval_max, Span::from_secs(30));
        decision.commit();
        let (changed, proposal) = proposal.expect("it waits").proceed(&mut monitor, now);
        assert!(changed && proposal.is_none());
        assert_eq!(monitor.config().plan().limits.interval_max, Span::from_secs(60));
        assert!(taken.try_recv().is_ok_and(|former| former.is_ok()));
    }

    #[test]
    fn a_shard_that_looks_too_late_takes_nothing() {
        let now = Instant::from_nanos(1_000_000_000);
        let mut monitor = Monitor::new(config(30), now);
        let (proposal, voted, _taken) = proposal();
        proposal.decision.abort();
        let (changed, proposal) = proposal.proceed(&mut monitor, now);
        assert!(!changed && proposal.is_none() && voted.is_empty());
        assert_eq!(monitor.config().plan().limits.interval_max, Span::from_secs(30));
    }
}
