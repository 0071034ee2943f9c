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
use crate::caution::{Caution, Noted};
use crate::fate::{Fate, Fates};
use crate::inbox::{Doing, Inbox};
use crate::judge::{Arrival, Judge, Verdict};
use crate::line::Line;
use crate::network::Network;
use crate::random::mix;
use crate::scenario::Scenario;
use crate::sender::{Act, Sender};
use crate::slice::Slice;
use crate::traffic::{Load, Traffic};
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

    /// The monitor told something though it changed its mind about nobody.
    fn note(&mut self, note: &Noted) {
        let _ = note;
    }

    /// The monitor began anew, and believes nothing of anybody.
    fn forgotten(&mut self, at: Instant) {
        let _ = at;
    }
}

/// Looks away.
impl Watch for () {}

/// Everything there is during a run of some nodes.
#[derive(Debug)]
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    slice: &'a Slice,
    now: Tick,
    senders: Vec<Sender>,
    acts: Calendar<(Instant, u32)>,
    /// What goes to a shared line waits here until the tick is complete: there order matters.
    outgoing: Vec<Arrival>,
    lines: Vec<Option<Line>>,
    network: Network,
    fates: Vec<Fates>,
    arrivals: Calendar<Arrival>,
    inbox: Option<Inbox>,
    batch: Vec<Arrival>,
    judge: Judge,
    happened: Vec<Happening>,
    verdicts: Vec<Verdict>,
    traces: Vec<Trace>,
    counts: Counts,
    /// What each group sent.
    traffic: Vec<Traffic>,
    /// Where a guard would take the end of the run for a mass silence: whether it has come.
    over: bool,
}

/// What was counted during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Heartbeats sent, copies not counted.
    pub(crate) sent: u64,
    /// Datagrams that came through.
    pub(crate) arrived: u64,
    /// Datagrams that arrived and found no room, or no monitor.
    pub(crate) dropped: u64,
}

/// So many senders are touched before the first of them acts, so that their cache misses overlap.
const AHEAD: usize = 64;

#[derive(Clone, Debug)]
enum Happening {
    Fact(Instant, u32, Fact),
    Verdict(Verdict),
    Forgotten(Instant),
    Note(Noted),
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, slice: &'a Slice) -> Self {
        let mut acts = Calendar::new();
        let senders = (0..).zip(slice.actors()).map(|(node, actor)| {
            let group = &scenario.groups[actor.group as usize];
            let (sender, begins) = Sender::new(group, scenario.seed, actor);
            acts.push(begins, (begins, node));
            sender
        });
        Self {
            senders: senders.collect(),
            scenario,
            slice,
            now: Tick::from_count(0),
            acts,
            outgoing: Vec::new(),
            lines: scenario.groups.iter().map(|group| group.uplink.map(Line::new)).collect(),
            network: Network::new(scenario, slice),
            fates: vec![Fates::default(); slice.len()],
            arrivals: Calendar::new(),
            inbox: Inbox::new(scenario),
            batch: Vec::new(),
            judge: Judge::new(scenario, slice),
            happened: Vec::new(),
            verdicts: Vec::new(),
            traces: vec![Trace::default(); slice.len()],
            counts: Counts::default(),
            traffic: vec![Traffic::default(); scenario.groups.len()],
            over: false,
        }
    }

    /// Lives through the next tick in which anything happens. False when nothing ever will.
    pub(crate) fn step(&mut self, watch: &mut impl Watch) -> bool {
        if self.over {
            return false;
        }
        let Some(tick) = self.next() else { return false };
        self.now = self.now.max(tick);
        let tick = self.now;
        self.act(tick);
        self.send_out();
        let mut arrivals = self.arrivals.take(tick);
        arrivals.sort_unstable();
        self.counts.arrived += arrivals.len() as u64;
        match self.inbox.as_mut().map_or(Doing::Runs, |inbox| inbox.doing(tick)) {
            Doing::Runs => self.read(tick, &arrivals),
            Doing::Stalls => self.wait(&arrivals),
            Doing::Down { ended } => self.lose(&arrivals, ended),
            Doing::Starts { snapshot } => {
                self.lose(&[], true);
                self.judge.restart(tick, snapshot);
                if !snapshot {
                    self.happened.push(Happening::Forgotten(tick.instant()));
                }
                self.read(tick, &arrivals);
            }
        }
        self.arrivals.give_back(arrivals);
        self.happened.extend(self.judge.notes().map(Happening::Note));
        if !(self.happened.is_empty() && self.verdicts.is_empty()) {
            self.tell(watch);
        }
        true
    }

    /// Whether the run ends here though somebody still has something to do.
    pub(crate) const fn is_cut(&self) -> bool {
        self.over
    }

    /// Where the run has come to.
    pub(crate) fn now(&self) -> Instant {
        self.now.instant()
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// What each group has sent.
    pub(crate) fn traffic(&self) -> &[Traffic] {
        &self.traffic
    }

    /// Heartbeats that were believed.
    pub(crate) fn believed(&self) -> u64 {
        self.judge.believed()
    }

    /// What the monitor's gates did.
    pub(crate) fn caution(&self) -> Caution {
        self.judge.caution()
    }

    /// The hash of all verdicts so far: a sum over nodes, so that it doesn't matter which of them
    /// were simulated together.
    pub(crate) fn trace_hash(&self) -> u64 {
        let traced = (0..).zip(&self.traces).filter(|(_, trace)| trace.0 != 0);
        traced.fold(0, |sum, (node, trace)| sum.wrapping_add(mix(trace.0 ^ mix(self.slice.place(node).into()))))
    }

    /// The next tick in which anything happens.
    fn next(&mut self) -> Option<Tick> {
        let senders_and_network = [self.acts.next(), self.arrivals.next()].into_iter().flatten().min();
        let due = self.judge.next();
        let Some(inbox) = &mut self.inbox else { return senders_and_network.into_iter().chain(due).min() };
        // What is due while the monitor doesn't run, or still has something to read, is looked at later.
        let later = Tick::from_count(self.now.count() + 1);
        let due = due.map(|due| due.max(later)).and_then(|due| inbox.first_running(due));
        [senders_and_network, inbox.next(self.now), due].into_iter().flatten().min()
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
        let scenario = self.scenario;
        let group = &scenario.groups[self.slice.actor(node).group as usize];
        let sender = &mut self.senders[node as usize];
        let (act, next) = sender.act(group, scenario.seed, at);
        if let Some(next) = next {
            self.acts.push(next, (next, node));
        }
        let fact = match act {
            Act::Beat { again } => {
                self.counts.sent += 1;
                let beat = Arrival { at, node, life: sender.life, seq: sender.seq, due: Some(sender.due(sender.seq)) };
                self.send(beat, 1);
                if again {
                    self.send(beat, 0);
                }
                return;
            }
            Act::Begin => {
                self.fates[node as usize].begin(sender.life);
                Fact::Began
            }
            Act::Crash => Fact::Crashed,
            Act::Stop => {
                self.over |= scenario.gates.guard.is_some();
                Fact::Stopped
            }
            Act::Leave => {
                let goodbye = Arrival { at, node, life: sender.life, seq: sender.seq + 1, due: None };
                self.send(goodbye, 0);
                Fact::Left
            }
        };
        self.happened.push(Happening::Fact(at, node, fact));
    }

    /// Sends a datagram that counts as so many heartbeats: a copy and a goodbye as none.
    fn send(&mut self, sent: Arrival, heartbeats: u64) {
        let group = self.slice.actor(sent.node).group as usize;
        let load = Load { heartbeats, datagrams: 1, bytes: self.judge.size(&sent) as u64 };
        self.traffic[group].note(sent.at, load);
        if self.lines[group].is_some() {
            self.outgoing.push(sent);
        } else {
            self.carry(sent, sent.at);
        }
    }

    /// Lets what was sent in this tick through the lines that groups share, first come first served.
    fn send_out(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        let mut outgoing = core::mem::take(&mut self.outgoing);
        outgoing.sort_unstable();
        for sent in outgoing.drain(..) {
            let group = self.slice.actor(sent.node).group as usize;
            let line = self.lines[group].as_mut().expect("only what goes to a line waits for it");
            match line.send(sent.at) {
                Some(left) => self.carry(sent, left),
                None => self.fates[sent.node as usize].note_sent(sent.life, sent.seq, Fate::Crowded),
            }
        }
        self.outgoing = outgoing;
    }

    fn carry(&mut self, sent: Arrival, at: Instant) {
        let group = &self.scenario.groups[self.slice.actor(sent.node).group as usize];
        let arrivals = &mut self.arrivals;
        let whose = (sent.node, sent.life);
        let fate = self.network.carry(group, whose, at, |at| arrivals.push(at, Arrival { at, ..sent }));
        self.fates[sent.node as usize].note_sent(sent.life, sent.seq, fate);
    }

    /// Lets the monitor take in what has arrived, and judge.
    fn read(&mut self, tick: Tick, arrived: &[Arrival]) {
        let Some(inbox) = &mut self.inbox else {
            hear(&mut self.fates, arrived);
            self.judge.turn(tick, arrived, true, &[], &mut self.verdicts);
            return self.blame();
        };
        let (fates, dropped) = (&mut self.fates, &mut self.counts.dropped);
        let drained = inbox.read(tick, arrived, &mut self.batch, |lost| {
            *dropped += 1;
            note(fates, lost, Fate::Dropped);
        });
        let troubles = if drained && self.scenario.gates.told { inbox.confess(tick) } else { &[] };
        hear(&mut self.fates, &self.batch);
        self.judge.turn(tick, &self.batch, drained, troubles, &mut self.verdicts);
        if drained {
            inbox.absolve();
        }
        self.blame();
    }

    /// Nobody reads: what has arrived waits as far as there is room.
    fn wait(&mut self, arrived: &[Arrival]) {
        let Some(inbox) = &mut self.inbox else { return };
        arrived.iter().for_each(|arrival| note(&mut self.fates, arrival, Fate::Unread));
        let (fates, dropped) = (&mut self.fates, &mut self.counts.dropped);
        inbox.put(arrived, |lost| {
            *dropped += 1;
            note(fates, lost, Fate::Dropped);
        });
    }

    /// There is no monitor: what has arrived is lost, and if it has `ended` just now what waited too.
    fn lose(&mut self, arrived: &[Arrival], ended: bool) {
        let waiting = self.inbox.iter_mut().filter(|_| ended).flat_map(Inbox::lose);
        for lost in waiting.chain(arrived.iter().copied()) {
            self.counts.dropped += 1;
            note(&mut self.fates, &lost, Fate::Dropped);
        }
    }

    /// Finds out who is to blame for each suspicion.
    fn blame(&mut self) {
        for verdict in &mut self.verdicts {
            if matches!(verdict.to, Liveness::Suspect | Liveness::Failed) {
                let node = verdict.node as usize;
                verdict.blame = Some(self.fates[node].blame(self.senders[node].pauses(verdict.at)));
            }
        }
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
                    self.traces[verdict.node as usize].add(&verdict);
                    watch.verdict(&verdict);
                }
                Happening::Forgotten(at) => watch.forgotten(at),
                Happening::Note(note) => watch.note(&note),
            }
        }
    }
}

fn hear(fates: &mut [Fates], read: &[Arrival]) {
    for arrival in read {
        fates[arrival.node as usize].hear(arrival.life, arrival.seq);
    }
}

fn note(fates: &mut [Fates], arrival: &Arrival, fate: Fate) {
    fates[arrival.node as usize].note_arrived(arrival.life, arrival.seq, fate);
}

impl Happening {
    fn key(&self) -> (Instant, u32) {
        match self {
            Self::Fact(at, node, _) => (*at, *node),
            Self::Verdict(verdict) => (verdict.at, verdict.node),
            Self::Forgotten(at) => (*at, 0),
            Self::Note(note) => (note.at, u32::MAX),
        }
    }
}

/// A hash over the verdicts on one node, in their order.
#[derive(Clone, Copy, Debug, Default)]
struct Trace(u64);

impl Trace {
    fn add(&mut self, verdict: &Verdict) {
        let step = (number(verdict.from) << 8) | number(verdict.to);
        for word in [verdict.at.nanos(), step] {
            // One to one for a given word, so nothing that went before is forgotten.
            self.0 = mix(self.0.rotate_left(5) ^ mix(word));
        }
    }
}

fn number(belief: Liveness) -> u64 {
    belief as u64
}
