//! The world: what senders do, what the network makes of it, and what is believed, in one order.
//!
//! ```text
//!   one tick:   senders act ──► network ──► arrivals, sorted ──► judge ──► verdicts ┐
//!                    └──────────────── facts ──────────────────────────────────────►┴─► watcher
//! ```
//! Time is whole nanoseconds; a tick is the millisecond that ends with it. Senders don't see each
//! other and each draws from streams of its own, so the order among them can't matter; where it
//! shows, in the watcher and in the hash, it is by time and then by node. No clock is read here.

use systole_core::{Instant, Liveness, Tick};

use crate::calendar::Calendar;
use crate::judge::{Arrival, Judge, Verdict};
use crate::network::Network;
use crate::random::mix;
use crate::scenario::Scenario;
use crate::sender::{Act, Sender};
use crate::truth::Fact;

/// Whoever wants to see everything that happens, in order.
pub trait Watch {
    /// Something happened to a node.
    fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        let _ = (at, node, fact);
    }

    /// The judge changed its mind.
    fn verdict(&mut self, verdict: &Verdict) {
        let _ = verdict;
    }
}

/// Looks away.
impl Watch for () {}

/// Everything there is during a run.
#[derive(Debug)]
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    now: Tick,
    senders: Vec<Sender>,
    acts: Calendar<(Instant, u32)>,
    network: Network,
    arrivals: Calendar<Arrival>,
    judge: Judge,
    happened: Vec<Happening>,
    verdicts: Vec<Verdict>,
    trace: Trace,
    sent: u64,
    datagrams: u64,
}

/// So many senders are touched before the first of them acts, so that their cache misses overlap.
const AHEAD: usize = 64;

#[derive(Clone, Copy, Debug)]
enum Happening {
    Fact(Instant, u32, Fact),
    Verdict(Verdict),
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        let mut acts = Calendar::new();
        let senders = (0..scenario.nodes).map(|node| {
            let (sender, begins) = Sender::new(scenario, node);
            acts.push(begins, (begins, node));
            sender
        });
        Self {
            senders: senders.collect(),
            scenario,
            now: Tick::from_count(0),
            acts,
            network: Network::new(scenario),
            arrivals: Calendar::new(),
            judge: Judge::new(scenario),
            happened: Vec::new(),
            verdicts: Vec::new(),
            trace: Trace(scenario.seed),
            sent: 0,
            datagrams: 0,
        }
    }

    /// Lives through the next tick in which anything happens. False when nothing ever will.
    pub(crate) fn step(&mut self, watch: &mut impl Watch) -> bool {
        let next = [self.acts.next(), self.arrivals.next(), self.judge.next()];
        let Some(tick) = next.into_iter().flatten().min() else { return false };
        self.now = self.now.max(tick);
        let tick = self.now;
        self.act(tick);
        let mut arrivals = self.arrivals.take(tick);
        arrivals.sort_unstable();
        self.datagrams += arrivals.len() as u64;
        self.judge.turn(tick, &arrivals, &mut self.verdicts);
        self.arrivals.give_back(arrivals);
        if !(self.happened.is_empty() && self.verdicts.is_empty()) {
            self.tell(watch);
        }
        true
    }

    /// Where the run has come to.
    pub(crate) fn now(&self) -> Instant {
        self.now.instant()
    }

    /// Heartbeats sent, copies not counted.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Datagrams that arrived.
    pub(crate) fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Heartbeats that were believed.
    pub(crate) fn believed(&self) -> u64 {
        self.judge.believed()
    }

    /// The hash of all verdicts so far.
    pub(crate) fn trace_hash(&self) -> u64 {
        self.trace.0
    }

    /// Lets everybody act who has something to do in this tick, some more than once.
    fn act(&mut self, tick: Tick) {
        loop {
            let acts = self.acts.take(tick);
            if acts.is_empty() {
                return self.acts.give_back(acts);
            }
            for chunk in acts.chunks(AHEAD) {
                for (_, node) in chunk {
                    core::hint::black_box(self.senders[*node as usize].seq);
                    self.network.look_ahead(*node);
                }
                for (at, node) in chunk {
                    self.act_one(*at, *node);
                }
            }
            self.acts.give_back(acts);
        }
    }

    fn act_one(&mut self, at: Instant, node: u32) {
        let sender = &mut self.senders[node as usize];
        let (act, next) = sender.act(self.scenario, at);
        if let Some(next) = next {
            self.acts.push(next, (next, node));
        }
        let fact = match act {
            Act::Beat { again } => {
                self.sent += 1;
                let beat = Arrival { at, node, life: sender.life, seq: sender.seq, due: Some(sender.due(sender.seq)) };
                self.send(beat);
                if again {
                    self.send(beat);
                }
                return;
            }
            Act::Begin => Fact::Began,
            Act::Crash => Fact::Crashed,
            Act::Stop => Fact::Stopped,
            Act::Leave => {
                let goodbye = Arrival { at, node, life: sender.life, seq: sender.seq + 1, due: None };
                self.send(goodbye);
                Fact::Left
            }
        };
        self.happened.push(Happening::Fact(at, node, fact));
    }

    fn send(&mut self, sent: Arrival) {
        let arrivals = &mut self.arrivals;
        self.network.carry(self.scenario, sent.node, sent.at, |at| arrivals.push(at, Arrival { at, ..sent }));
    }

    /// Tells what happened in this tick: by time, then by node, facts before beliefs.
    fn tell(&mut self, watch: &mut impl Watch) {
        self.happened.extend(self.verdicts.drain(..).map(Happening::Verdict));
        // Stable: what one node did, or was thought of it, at one instant keeps its order.
        self.happened.sort_by_key(Happening::key);
        for happening in self.happened.drain(..) {
            match happening {
                Happening::Fact(at, node, fact) => watch.fact(at, node, fact),
                Happening::Verdict(verdict) => {
                    self.trace.add(&verdict);
                    watch.verdict(&verdict);
                }
            }
        }
    }
}

impl Happening {
    fn key(&self) -> (Instant, u32) {
        match self {
            Self::Fact(at, node, _) => (*at, *node),
            Self::Verdict(verdict) => (verdict.at, verdict.node),
        }
    }
}

/// A hash over all verdicts in their order.
#[derive(Clone, Copy, Debug)]
struct Trace(u64);

impl Trace {
    fn add(&mut self, verdict: &Verdict) {
        let step = (number(verdict.from) << 8) | number(verdict.to);
        for word in [verdict.at.nanos(), u64::from(verdict.node), step] {
            // One to one for a given word, so nothing that went before is forgotten.
            self.0 = mix(self.0.rotate_left(5) ^ mix(word));
        }
    }
}

fn number(belief: Liveness) -> u64 {
    belief as u64
}
