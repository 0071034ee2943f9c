//! One node's heartbeats on their way to its detector, as a state that can be copied.
//!
//! ```text
//!   next ■ leaves at     flight 17 ▷ 18 ▷     memory, last arrival, seq     ends
//!   sender ────────────── network ──────────────── detector ──────────────── end
//! ```
//! What [`run`](crate::run) plays for a fleet, byte by byte, is here one node without the bytes: the
//! same losses, delays and jitter from the same streams, and the product's own detector. A test
//! holds the two against each other, transition for transition. From a copy with other streams the
//! node has another future, which is what splitting lives on.

use systole_core::detector::{Beat, Memory};
use systole_core::{Instant, Span};

use super::{Event, Question};
use crate::latency::Delays;
use crate::loss::Lossy;
use crate::random::{Actor, Purpose, Stream};

/// One node and everything that decides about its future, but for chance.
#[derive(Debug)]
pub(super) struct Path {
    /// The first heartbeat was due then.
    begun: Instant,
    /// Its place in the schedule: one less than its number.
    index: u64,
    /// When the next heartbeat leaves.
    next: Instant,
    flight: Vec<Flight>,
    losses: Lossy,
    delays: Delays,
    jitter: Stream,
    memory: Memory,
    /// The last heartbeat that was believed; none if it is 0.
    seq: u64,
    arrival: Instant,
    /// When the silence since then becomes a suspicion, and when a failure: whole ticks.
    suspected: Instant,
    failed: Instant,
}

/// A heartbeat under way that would still be news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    arrives: Instant,
    seq: u64,
}

/// What came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A heartbeat that is news.
    Heartbeat,
    /// The instant until which none came.
    Silence,
}

impl Path {
    /// Node number `node` under `seed`, before its first heartbeat.
    pub(super) fn new(question: &Question, seed: u64, node: u32) -> Self {
        let stream = |purpose| Stream::new(seed, Actor::node(0, node), purpose);
        let begun = Instant::ORIGIN + part(question.interval, stream(Purpose::Phase).unit());
        let mut path = Self {
            begun,
            index: 0,
            next: begun,
            flight: Vec::new(),
            losses: Lossy::new(&question.loss, stream(Purpose::Loss), question.interval),
            delays: Delays::new(&question.delay, stream(Purpose::Delay), question.interval),
            jitter: stream(Purpose::Jitter),
            memory: question.detector.start(question.interval),
            seq: 0,
            arrival: begun,
            suspected: Instant::from_nanos(u64::MAX),
            failed: Instant::from_nanos(u64::MAX),
        };
        path.next = path.leaves(question);
        path
    }

    /// Gives it another future.
    pub(super) fn reseed(&mut self, key: u64) {
        let stream = |purpose| Stream::new(key, Actor::node(0, 0), purpose);
        self.losses.reseed(stream(Purpose::Loss));
        self.delays.reseed(stream(Purpose::Delay));
        self.jitter = stream(Purpose::Jitter);
    }

    /// When the event happens if no heartbeat comes before, or at that very instant.
    pub(super) const fn ends(&self, event: Event) -> Instant {
        match event {
            Event::Suspicion => self.suspected,
            Event::Failure => self.failed,
        }
    }

    /// When its silence began, or the node itself.
    pub(super) const fn arrival(&self) -> Instant {
        self.arrival
    }

    /// Heartbeats sent so far.
    pub(super) const fn sent(&self) -> u64 {
        self.index
    }

    /// Lives on until a heartbeat is believed, or until everything that happens at `until` has
    /// happened and none was.
    pub(super) fn advance(&mut self, question: &Question, until: Instant) -> Came {
        loop {
            let first = self.flight.iter().copied().min();
            if let Some(Flight { arrives, seq }) = first.filter(|first| first.arrives <= self.next) {
                if arrives > until {
                    return Came::Silence;
                }
                self.believe(question, arrives, seq);
                return Came::Heartbeat;
            }
            if self.next > until {
                return Came::Silence;
            }
            self.send(question);
        }
    }

    fn send(&mut self, question: &Question) {
        self.index += 1;
        // Drawn for a lost one too, as the network does.
        let lost = self.losses.loses(&question.loss, self.next);
        let delay = self.delays.draw(&question.delay, self.next);
        if !lost {
            self.flight.push(Flight { arrives: self.next + delay, seq: self.index });
        }
        self.next = self.leaves(question);
    }

    fn leaves(&mut self, question: &Question) -> Instant {
        let due = self.begun + question.interval * self.index;
        if question.jitter > 0.0 { due + part(question.interval, question.jitter * self.jitter.unit()) } else { due }
    }

    /// What [`systole_core::Monitor`] does with a heartbeat of a node whose interval is stated.
    fn believe(&mut self, question: &Question, arrival: Instant, seq: u64) {
        let Question { interval, detector, .. } = question;
        // Neither the first heartbeat nor one that ends an outage says anything about the rhythm.
        if self.seq == 0 || arrival > self.failed {
            self.memory = detector.start(*interval);
        } else {
            let (elapsed, gap) = (arrival.since(self.arrival), seq - self.seq);
            detector.heartbeat(&mut self.memory, Beat { elapsed, gap, interval: *interval });
        }
        (self.arrival, self.seq) = (arrival, seq);
        let deadline = arrival + detector.patience(&self.memory, *interval);
        self.suspected = deadline.tick_up().instant();
        self.failed = (deadline + question.confirm.of(*interval)).tick_up().instant();
        self.flight.retain(|flight| flight.seq > seq);
    }
}

/// Copies into what is there: a copy a trial, and none that allocates.
impl Clone for Path {
    fn clone(&self) -> Self {
        Self {
            flight: self.flight.clone(),
            losses: self.losses.clone(),
            delays: self.delays.clone(),
            jitter: self.jitter.clone(),
            ..*self
        }
    }

    fn clone_from(&mut self, from: &Self) {
        self.flight.clone_from(&from.flight);
        self.losses.clone_from(&from.losses);
        self.delays.clone_from(&from.delays);
        self.jitter.clone_from(&from.jitter);
        let Self { begun, index, next, memory, seq, arrival, suspected, failed, .. } = *from;
        (self.begun, self.index, self.next, self.memory) = (begun, index, next, memory);
        (self.seq, self.arrival, self.suspected, self.failed) = (seq, arrival, suspected, failed);
    }
}

/// So many times this span, as the sender reckons it.
fn part(span: Span, times: f64) -> Span {
    Span::from_nanos((span.nanos() as f64 * times) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Verdict;
    use crate::run::run_watched;
    use crate::scenario::{DetectorChoice, Group, Scenario};
    use crate::world::Watch;
    use systole_core::Liveness;

    #[derive(Default)]
    struct Beliefs(Vec<(Instant, Liveness)>);

    impl Watch for Beliefs {
        fn verdict(&mut self, verdict: &Verdict) {
            self.0.push((verdict.at, verdict.to));
        }
    }

    /// What would be believed of it, until its last heartbeat has left.
    fn beliefs(question: &Question, seed: u64, heartbeats: u64) -> Vec<(Instant, Liveness)> {
        const NEVER: Instant = Instant::from_nanos(u64::MAX);
        let mut path = Path::new(question, seed, 0);
        let mut beliefs = Vec::new();
        while path.index < heartbeats {
            let mut belief = if path.seq == 0 { Liveness::Unseen } else { Liveness::Alive };
            for (event, then) in [(Event::Suspicion, Liveness::Suspect), (Event::Failure, Liveness::Failed)] {
                let ends = path.ends(event);
                if path.advance(question, ends) == Came::Heartbeat {
                    break;
                }
                belief = then;
                beliefs.push((ends, belief));
            }
            if belief == Liveness::Failed {
                path.advance(question, NEVER);
            }
            if belief != Liveness::Alive {
                beliefs.push((path.arrival(), Liveness::Alive));
            }
        }
        beliefs
    }

    #[test]
    fn the_path_of_one_node_is_that_of_the_whole_simulator() {
        let cases = [
            ("fixed:timeout=1.5s", "0.2", "exp:200ms", 0.0, "1x"),
            ("chen:margin=0.75s", "gilbert:p=0.2,burst=3", "exp:300ms", 0.3, "1.5x"),
            ("two-window:margin=0.5s", "0.3", "lognormal:median=200ms,sigma=1", 0.1, "700ms"),
            ("phi:threshold=3,pause=0s", "gilbert:p=0.1,burst=1.5", "uniform:10ms..2.5s", 0.0, "2x"),
            (
                "chen:margin=1s",
                "fading:p=0.3,sigma=1,memory=50+fritchman:p=0.1,runs=3x1|1x6",
                "exp:200ms,lag1=0.7",
                0.0,
                "1s",
            ),
            (
                "fixed:timeout=2.5s",
                "periodic:every=15s,length=2s,loss=0.9,else=0.1,phase=random",
                "regimes:exp:20ms@10m|exp:900ms@5m",
                0.2,
                "1s",
            ),
            ("bertier:margin-min=0.5x,margin-max=3x", "0.2", "pareto:min=10ms,shape=1.1", 0.9, "1x"),
        ];
        for (seed, (detector, loss, delay, jitter, confirm)) in (7..).zip(cases) {
            let question = Question {
                interval: Span::from_secs(1),
                jitter,
                loss: loss.parse().expect("a loss"),
                delay: delay.parse().expect("a delay"),
                detector: detector.parse().expect("a detector"),
                confirm: confirm.parse().expect("a wait"),
                event: Event::Failure,
            };
            let heartbeats = 20_000;
            let group = Group {
                jitter,
                loss: question.loss.clone(),
                delay: question.delay.clone(),
                detector: DetectorChoice::Core(question.detector),
                confirm: question.confirm,
                heartbeats,
                ..Group::default()
            };
            let scenario = Scenario::from(group).with_seed(seed);
            let mut watched = Beliefs::default();
            run_watched(&scenario, |_| true, &mut watched);
            let alone = beliefs(&question, seed, heartbeats - 100);
            assert!(alone.len() > 100, "{detector}: {}", alone.len());
            assert_eq!(alone[..], watched.0[..alone.len()], "{detector}, seed {seed}");
        }
    }
}
