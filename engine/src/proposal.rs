//! One change for all shards: each says whether it could take it, and only when all can, all do.
//!
//! ```text
//!   reload ──proposal──► every shard ──"I can"──► commit ──► every shard takes it
//!                                    └─"I can't", or nothing in time ──► abort ──► none does
//! ```
//!
//! The decision is one word that only the proposer writes and every shard reads between two rounds, so
//! a shard that was slow to answer can't take what was given up meanwhile. One that said it can keeps
//! the room for it, so it won't be unable when all have said so.

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

/// What one shard was proposed and has yet to be decided.
#[derive(Debug, Default)]
pub struct Pending {
    next: Option<Box<Proposal>>,
    changed: bool,
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

impl Pending {
    /// Is to be proceeded with from now on. One before it is decided by now, and may be in force for the other shards
    /// already: it isn't lost.
    pub fn put(&mut self, proposal: Box<Proposal>, monitor: &mut Monitor, now: systole_core::Instant) {
        self.changed |= self.proceed(monitor, now);
        self.next = Some(proposal);
    }

    /// Does what is to be done about it now. Says whether anything changed since it was last asked.
    pub fn proceed(&mut self, monitor: &mut Monitor, now: systole_core::Instant) -> bool {
        let before = std::mem::take(&mut self.changed);
        let Some(proposal) = self.next.take() else { return before };
        let (changed, undecided) = proposal.proceed(monitor, now);
        self.next = undecided.map(Box::new);
        before || changed
    }
}

impl Proposal {
    /// Does what is to be done about it now: votes, as soon as the change before is worked off, or takes it. Says
    /// whether anything changed, and gives itself back as long as it isn't decided.
    pub fn proceed(mut self, monitor: &mut Monitor, now: systole_core::Instant) -> (bool, Option<Self>) {
        match self.decision.0.load(Ordering::Acquire) {
            ABORT => {
                monitor.give_up();
                (false, None)
            }
            COMMIT => {
                let taken = monitor.reconfigure(*self.config, now);
                if taken.is_ok() {
                    monitor.set_keys(self.keys);
                }
                // Whoever proposed it may wait no longer: then the former one is dropped here.
                let _ = self.former.send(taken);
                (true, None)
            }
            _ => {
                if let Some(vote) = self.vote.take_if(|_| monitor.is_settled()) {
                    let ready = if monitor.prepare(&self.config) { Vote::Ready } else { Vote::NoRoom };
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
    use systole_core::config::{Limits, Plan, Rule, Settings};
    use systole_core::{Backlog, Datagram, Instant, Span};

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

    #[test]
    fn what_nodes_declare_meanwhile_leaves_the_room_that_was_promised() {
        let now = Instant::from_nanos(1_000_000_000);
        let config = |prefix: &str, groups: usize| {
            let rule = |i| {
                let name = format!("{prefix}{i}").into();
                Rule { name, settings: Settings::default(), matches: vec![], nodes: vec![] }
            };
            let limits = Limits { max_groups: u16::MAX, ..Limits::default() };
            Config::new(Plan { limits, groups: (0..groups).map(rule).collect(), ..Plan::default() }).expect("a plan")
        };
        // With the default group three less than can be told apart, and two more are to come.
        let mut monitor = Monitor::new(config("a", (1 << 16) - 4), now);
        let (mut proposal, voted, taken) = proposal();
        proposal.config = Box::new(config("b", 2));
        let decision = proposal.decision.clone();
        let (_, proposal) = proposal.proceed(&mut monitor, now);
        assert_eq!(voted.try_recv(), Ok(Vote::Ready));
        let declare = |monitor: &mut Monitor, name: &str| {
            let line = format!("hb {name} group={name} interval=1s");
            monitor.turn(now, &[Datagram::new(line.as_bytes(), now)], Backlog::Drained, &mut ());
            monitor.groups().iter().any(|group| group.name() == name)
        };
        assert!(declare(&mut monitor, "x"), "there is room for one more");
        assert!(!declare(&mut monitor, "y"), "and no more");
        decision.commit();
        let (changed, _) = proposal.expect("it waits").proceed(&mut monitor, now);
        assert!(changed && taken.try_recv().is_ok_and(|former| former.is_ok()));
        assert_eq!(monitor.groups().len(), 1 << 16);
    }

    #[test]
    fn what_is_given_up_gives_its_room_back() {
        let now = Instant::from_nanos(1_000_000_000);
        let mut monitor = Monitor::new(config(30), now);
        let rule =
            |i| Rule { name: format!("g{i}").into(), settings: Settings::default(), matches: vec![], nodes: vec![] };
        let limits = Limits { max_groups: u16::MAX, ..Limits::default() };
        let (mut proposal, voted, _taken) = proposal();
        let plan = Plan { limits, groups: (0..65_534).map(rule).collect(), ..Plan::default() };
        proposal.config = Box::new(Config::new(plan).expect("a plan"));
        let decision = proposal.decision.clone();
        let (_, proposal) = proposal.proceed(&mut monitor, now);
        assert_eq!(voted.try_recv(), Ok(Vote::Ready));
        let declared = |monitor: &mut Monitor, name: &str| {
            let line = format!("hb {name} group={name} interval=1s");
            monitor.turn(now, &[Datagram::new(line.as_bytes(), now)], Backlog::Drained, &mut ());
            monitor.groups().iter().any(|group| group.name() == name)
        };
        assert!(declared(&mut monitor, "x") && !declared(&mut monitor, "y"));
        decision.abort();
        assert!(proposal.expect("it waits").proceed(&mut monitor, now).1.is_none());
        assert!(declared(&mut monitor, "z"));
    }

    #[test]
    fn what_all_were_told_to_take_is_not_lost_to_the_next_proposal() {
        let now = Instant::from_nanos(1_000_000_000);
        let (mut monitor, mut pending) = (Monitor::new(config(30), now), Pending::default());
        let ((first, voted, taken), (second, ..)) = (proposal(), proposal());
        let decision = first.decision.clone();
        pending.put(Box::new(first), &mut monitor, now);
        assert!(!pending.proceed(&mut monitor, now));
        assert_eq!(voted.try_recv(), Ok(Vote::Ready));
        // It stands still while that is decided, and until somebody proposes something else.
        decision.commit();
        second.decision.abort();
        pending.put(Box::new(second), &mut monitor, now);
        assert_eq!(monitor.config().plan().limits.interval_max, Span::from_secs(60));
        assert!(taken.try_recv().is_ok());
        assert!(pending.proceed(&mut monitor, now) && !pending.proceed(&mut monitor, now));
    }
}
