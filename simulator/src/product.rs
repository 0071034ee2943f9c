//! The product's own monitor, fed with the bytes that a real sender would send.
//!
//! Arrivals of one millisecond go in together, each with its exact instant. That changes no
//! verdict: deadlines are rounded up to the tick, so between two ticks nothing can become due, and
//! at the tick itself what was received comes before what is due, as in any turn. What a heartbeat
//! changes is dated by its arrival.

use systole_core::config::Config;
use systole_core::event::{Cause, NodeNote, Note, Sink, Transition};
use systole_core::wire::{HEADER, Kind, Message, NODE, emit_binary};
use systole_core::{
    Backlog, Datagram, Incarnation, Instant, Liveness, Monitor, NodeId, NodeIx, Seq, Span, Tick, Trouble,
};

use crate::caution::{Caution, Noted};
use crate::judge::{Arrival, Verdict};
use crate::scenario::{Group, Scenario};
use crate::slice::Slice;

/// So many datagrams go into one call of the monitor, as they come off a socket in the engine.
const BATCH: usize = 64;

const FEW: usize = 8;

/// A sender tells its name with its first heartbeats, and where a monitor may come to need it again
/// with every so-manieth.
const NAMED: u64 = 3;
const NAMED_AGAIN: u64 = 64;

/// Where `docs/PROTOCOL.md` has the two numbers that differ between heartbeats of one node.
const INCARNATION: usize = 24;
const SEQ: usize = 32;
const _: () = assert!(INCARNATION == NODE + size_of::<NodeId>() && SEQ == INCARNATION + 8 && SEQ + 8 < HEADER);

/// The monitor, and what it takes to speak to it.
pub(crate) struct Product {
    monitor: Monitor,
    config: Config,
    /// Heartbeats that monitors before this one believed.
    believed: u64,
    /// What the gates of monitors before this one did, and what all of them noted.
    caution: Caution,
    notes: Vec<Noted>,
    speakers: Vec<Speaker>,
    groups: Vec<Speech>,
    /// Whether names are told again: to learn a group that was missed, or after a restart.
    renamed: bool,
    by_id: Vec<(NodeId, u32)>,
    bytes: Vec<u8>,
}

/// One node as it shows itself.
#[derive(Clone, Copy)]
struct Speaker {
    id: NodeId,
    /// By which number its name is known, and which group it belongs to.
    name: u32,
    group: u32,
}

/// What the heartbeats of one group have in common.
struct Speech {
    /// What its nodes call it; nothing where there is but one group.
    name: Option<String>,
    interval: Span,
    /// A nameless heartbeat, but for its node, incarnation and seq.
    plain: [u8; HEADER],
}

impl Product {
    /// The monitor of a scenario's nodes, of those in this slice.
    pub(crate) fn new(scenario: &Scenario, slice: &Slice) -> Self {
        let config = Config::new(scenario.plan()).expect("the scenario was checked");
        let speakers = (0..slice.len() as u32).map(|node| speaker(scenario, slice, node)).collect();
        let alone = scenario.groups.len() == 1;
        let speech = |group: &Group| Speech::new((!alone).then(|| group.name.clone()), group.interval);
        let renamed = !alone || !scenario.monitor.restarts.is_empty();
        Self::of(config, speakers, scenario.groups.iter().map(speech).collect(), renamed)
    }

    /// A monitor of one node alone, which declares this interval.
    pub(crate) fn of_one(config: Config, interval: Span) -> Self {
        let speaker = Speaker { id: NodeId::of(&name_of(0)), name: 0, group: 0 };
        Self::of(config, vec![speaker], vec![Speech::new(None, interval)], false)
    }

    fn of(config: Config, speakers: Vec<Speaker>, groups: Vec<Speech>, renamed: bool) -> Self {
        // Of two with one id the first stands for it.
        let mut by_id: Vec<(NodeId, u32)> = speakers.iter().map(|speaker| speaker.id).zip(0..).collect();
        by_id.sort_unstable();
        by_id.dedup_by_key(|(id, _)| *id);
        let monitor = Monitor::new(config.clone(), Instant::ORIGIN);
        Self {
            monitor,
            config,
            believed: 0,
            caution: Caution::default(),
            notes: Vec::new(),
            speakers,
            groups,
            renamed,
            by_id,
            bytes: Vec::new(),
        }
    }

    pub(crate) fn next(&self) -> Option<Tick> {
        self.monitor.poll_timeout().map(Instant::tick_up)
    }

    pub(crate) fn believed(&self) -> u64 {
        self.believed + self.monitor.counters().heartbeats
    }

    /// What the gates did, and what was noted.
    pub(crate) fn caution(&self) -> Caution {
        let mut caution = self.caution;
        caution.count(self.monitor.counters());
        caution
    }

    /// What was told since the last call beside verdicts.
    pub(crate) fn notes(&mut self) -> impl Iterator<Item = Noted> {
        self.notes.drain(..)
    }

    pub(crate) fn turn(
        &mut self,
        now: Instant,
        arrivals: &[Arrival],
        drained: bool,
        troubles: &[(Instant, Trouble)],
        verdicts: &mut Vec<Verdict>,
    ) {
        let mut rest = arrivals;
        loop {
            let (batch, after) = rest.split_at(rest.len().min(BATCH));
            rest = after;
            let backlog =
                if rest.is_empty() && drained && troubles.is_empty() { Backlog::Drained } else { Backlog::More };
            self.hand_in(now, batch, backlog, verdicts);
            if rest.is_empty() {
                break;
            }
        }
        if !troubles.is_empty() {
            // As in the engine: everything is read, then what went wrong is told, and then it judges.
            troubles.iter().for_each(|(at, trouble)| self.monitor.trouble(*at, *trouble));
            self.hand_in(now, &[], Backlog::Drained, verdicts);
        }
        // A turn does a limited share of what is due.
        while drained && self.monitor.poll_timeout().is_some_and(|wake| wake <= now) {
            self.hand_in(now, &[], Backlog::Drained, verdicts);
        }
    }

    /// Another monitor takes this one's place at `now`, and with a `snapshot` its beliefs.
    pub(crate) fn restart(&mut self, now: Instant, snapshot: bool) {
        let former = core::mem::replace(&mut self.monitor, Monitor::new(self.config.clone(), now));
        self.believed += former.counters().heartbeats;
        self.caution.count(former.counters());
        if snapshot {
            let beliefs = (0..former.places()).filter_map(|place| former.belief(NodeIx::new(place)));
            for belief in beliefs {
                self.monitor.take_over(&belief, now).expect("what one monitor believed the next can take over");
            }
        }
    }

    /// Until when the silence of this node is normal; nothing if it was never heard.
    pub(crate) fn deadline(&self, node: u32) -> Option<Tick> {
        let ix = self.monitor.find(&self.speakers[node as usize].id)?;
        self.monitor.node(ix).map(|view| view.evidence.deadline.tick_up())
    }

    /// How many bytes this takes as a datagram.
    pub(crate) fn size(&mut self, sent: &Arrival) -> usize {
        if self.is_plain(sent) {
            return HEADER;
        }
        self.bytes.clear();
        self.emit(sent);
        self.bytes.len()
    }

    /// Few datagrams are the rule in a millisecond, and room for many is dear to make.
    fn hand_in(&mut self, now: Instant, batch: &[Arrival], backlog: Backlog, verdicts: &mut Vec<Verdict>) {
        if batch.len() <= FEW {
            self.hand_in_up_to::<FEW>(now, batch, backlog, verdicts);
        } else {
            self.hand_in_up_to::<BATCH>(now, batch, backlog, verdicts);
        }
    }

    fn hand_in_up_to<const MOST: usize>(
        &mut self,
        now: Instant,
        batch: &[Arrival],
        backlog: Backlog,
        verdicts: &mut Vec<Verdict>,
    ) {
        self.bytes.clear();
        let mut ends = [0; MOST];
        for (arrival, end) in batch.iter().zip(&mut ends) {
            self.emit(arrival);
            *end = self.bytes.len();
        }
        let mut datagrams = [Datagram::new(&[], now); MOST];
        let mut start = 0;
        for ((arrival, end), datagram) in batch.iter().zip(ends).zip(&mut datagrams) {
            (datagram.bytes, datagram.arrival) = (&self.bytes[start..end], arrival.at);
            start = end;
        }
        let mut ear = Ear { by_id: &self.by_id, caution: &mut self.caution, notes: &mut self.notes, verdicts };
        self.monitor.turn(now, &datagrams[..batch.len()], backlog, &mut ear);
    }

    /// Whether it tells nothing but that its node is there.
    fn is_plain(&self, sent: &Arrival) -> bool {
        let named = sent.seq <= NAMED || (self.renamed && sent.seq.is_multiple_of(NAMED_AGAIN));
        sent.due.is_some() && !named
    }

    /// Appends the datagram that arrived.
    fn emit(&mut self, arrival: &Arrival) {
        let Speaker { id, name, group } = self.speakers[arrival.node as usize];
        let speech = &self.groups[group as usize];
        if self.is_plain(arrival) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&speech.plain);
            let plain = &mut self.bytes[start..];
            plain[NODE..INCARNATION].copy_from_slice(id.bytes());
            plain[INCARNATION..SEQ].copy_from_slice(&u64::from(arrival.life).to_le_bytes());
            plain[SEQ..SEQ + 8].copy_from_slice(&arrival.seq.to_le_bytes());
            return;
        }
        let name = name_of(name);
        let kind = if arrival.due.is_some() { Kind::Heartbeat } else { Kind::Goodbye };
        let message = Message {
            name: Some(&name),
            group: speech.name.as_deref(),
            incarnation: Some(Incarnation::new(u64::from(arrival.life))),
            seq: Some(Seq::new(arrival.seq)),
            interval: Some(speech.interval),
            ..Message::of(kind, id)
        };
        emit_binary(&message, &mut self.bytes).expect("its name is a name and its interval isn't zero");
    }
}

impl Speech {
    fn new(name: Option<String>, interval: Span) -> Self {
        let anybody = NodeId::from_bytes([0; 16]);
        let mut bytes = Vec::new();
        emit_binary(&Message { interval: Some(interval), ..Message::of(Kind::Heartbeat, anybody) }, &mut bytes)
            .expect("a plain heartbeat can be sent");
        Self { name, interval, plain: bytes.try_into().expect("a heartbeat without fields is a header") }
    }
}

/// Who a node says it is: itself, or the node whose id it uses.
fn speaker(scenario: &Scenario, slice: &Slice, node: u32) -> Speaker {
    let actor = slice.actor(node);
    let group = &scenario.groups[actor.group as usize];
    let originals = group.nodes - group.clones;
    let own = if actor.node >= originals { node - originals } else { node };
    let name = slice.place(own);
    Speaker { id: NodeId::of(&name_of(name)), name, group: actor.group }
}

/// Names are of no use to anybody but the monitor, so they aren't kept.
fn name_of(node: u32) -> String {
    format!("node-{node}")
}

/// The table is of no interest to a reader.
impl core::fmt::Debug for Product {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Product").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}

/// Writes down what the monitor says.
struct Ear<'a> {
    by_id: &'a [(NodeId, u32)],
    caution: &'a mut Caution,
    notes: &'a mut Vec<Noted>,
    verdicts: &'a mut Vec<Verdict>,
}

impl Ear<'_> {
    fn number(&self, id: &NodeId) -> u32 {
        let place = self.by_id.binary_search_by_key(id, |(id, _)| *id).expect("only our nodes speak");
        self.by_id[place].1
    }
}

impl Sink for Ear<'_> {
    fn transition(&mut self, transition: &Transition<'_>) {
        let evidence = &transition.evidence;
        let arrival = evidence.last_arrival;
        let withheld = match transition.to {
            Liveness::Suspect | Liveness::Failed => late(transition),
            Liveness::Unseen | Liveness::Alive | Liveness::Left => Span::ZERO,
        };
        let at = match transition.cause {
            Cause::FirstHeartbeat | Cause::Heartbeat | Cause::Restart | Cause::Goodbye => arrival,
            Cause::Silence | Cause::Confirmed | Cause::NeverSeen => None,
        };
        self.verdicts.push(Verdict {
            at: at.unwrap_or(transition.at),
            node: self.number(&transition.id),
            from: transition.from,
            to: transition.to,
            blame: None,
            withheld,
        });
    }

    fn note(&mut self, note: &Note<'_>) {
        let (at, about) = match note {
            Note::Hold { at, scope, .. } => (*at, scope.to_string()),
            Note::Node { at, called, .. } => (*at, called.to_string()),
            Note::Overload { at, reason, .. } => (*at, reason.name().into()),
        };
        self.caution.note(note.name());
        self.notes.push(Noted { at, name: note.name(), about });
        // What was kept quiet meanwhile is told with this, if it isn't what was told last.
        if let Note::Node { id, liveness, what: NodeNote::Steady { told }, .. } = note
            && told != liveness
        {
            let node = self.number(id);
            self.verdicts.push(Verdict { at, node, from: *told, to: *liveness, blame: None, withheld: Span::ZERO });
        }
    }
}

/// How much later than by the settings a node was called silent: it was excused, or withheld, or both.
fn late(transition: &Transition<'_>) -> Span {
    transition.evidence.excused + transition.evidence.held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Actor, Purpose, Stream};
    use systole_core::wire::messages;

    fn product() -> Product {
        let group = Group { nodes: 200, heartbeats: 200, interval: Span::from_millis(100), ..Group::default() };
        let scenario = Scenario::from(group);
        Product::new(&scenario, &Slice::new(&scenario, 0..200))
    }

    #[test]
    fn a_patched_heartbeat_is_the_one_that_the_core_would_emit() {
        let mut product = product();
        let arrival = Arrival { at: Instant::ORIGIN, node: 7, life: 3, seq: 1_001, due: Some(Instant::ORIGIN) };
        product.bytes.clear();
        product.emit(&arrival);
        let message = Message {
            incarnation: Some(Incarnation::new(3)),
            seq: Some(Seq::new(1_001)),
            interval: Some(Span::from_millis(100)),
            ..Message::of(Kind::Heartbeat, NodeId::of("node-7"))
        };
        assert_eq!(messages(&product.bytes).next(), Some(Ok((message, &product.bytes[..]))));
    }

    #[test]
    fn handing_in_a_millisecond_at_once_changes_no_verdict() {
        let mut random = Stream::new(7, Actor::node(0, 0), Purpose::Delay);
        let (mut together, mut singly) = (product(), product());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let mut seqs = [0; 200];
        for tick in 1..5_000 {
            let tick = Tick::from_count(tick);
            let mut arrivals: Vec<Arrival> = (0..random.bits() % 4)
                .map(|_| {
                    let node = (random.bits() % 200) as u32;
                    let seq = &mut seqs[node as usize];
                    *seq += 1;
                    // After the tick before, and up to this one, this one included.
                    let at = Instant::from_nanos(tick.instant().nanos() - random.bits() % 1_000_000);
                    Arrival { at, node, life: 1, seq: *seq, due: Some(at) }
                })
                .collect();
            arrivals.sort_unstable();
            together.turn(tick.instant(), &arrivals, true, &[], &mut one);
            for arrival in &arrivals {
                singly.turn(arrival.at, core::slice::from_ref(arrival), true, &[], &mut other);
            }
            singly.turn(tick.instant(), &[], true, &[], &mut other);
        }
        assert!(one.len() > 1_000, "{}", one.len());
        // Nodes don't mind each other: only the order of each node's own verdicts means anything.
        let sorted = |mut verdicts: Vec<Verdict>| {
            verdicts.sort_by_key(|verdict| (verdict.node, verdict.at));
            verdicts
        };
        assert_eq!(sorted(one), sorted(other));
    }

    #[test]
    fn what_is_replayed_changes_nothing() {
        let mut random = Stream::new(7, Actor::node(0, 0), Purpose::Duplicate);
        let (mut plain, mut replayed) = (product(), product());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let (mut seqs, mut heard) = ([0; 200], Vec::new());
        for tick in (1..5_000).map(Tick::from_count) {
            let at = tick.instant();
            let node = (random.bits() % 200) as u32;
            seqs[node as usize] += 1;
            let new = Arrival { at, node, life: 1, seq: seqs[node as usize], due: Some(at) };
            plain.turn(at, &[new], true, &[], &mut one);
            heard.push(new);
            // An old one, recorded once and sent again by whoever likes to.
            let old = heard[random.bits() as usize % heard.len()];
            replayed.turn(at, &[new, Arrival { at, ..old }], true, &[], &mut other);
        }
        assert!(one.len() > 1_000, "{}", one.len());
        assert_eq!(one, other);
        assert_eq!(plain.believed(), replayed.believed());
    }
}
