//! The product's own monitor, fed with the bytes that a real sender would send.
//!
//! Arrivals of one millisecond go in together, each with its exact instant. That changes no
//! verdict: deadlines are rounded up to the tick, so between two ticks nothing can become due, and
//! at the tick itself what was received comes before what is due, as in any turn. What a heartbeat
//! changes is dated by its arrival.

use systole_core::config::Config;
use systole_core::event::{Cause, Sink, Transition};
use systole_core::wire::{HEADER, Kind, Message, NODE, emit_binary};
use systole_core::{Backlog, Datagram, Incarnation, Instant, Monitor, NodeId, Seq, Span, Tick};

use crate::judge::{Arrival, Verdict};
use crate::scenario::Scenario;

/// So many datagrams go into one call of the monitor, as they come off a socket in the engine.
const BATCH: usize = 64;

/// A sender tells its name with its first heartbeats only.
const NAMED: u64 = 3;

/// Where `docs/PROTOCOL.md` has the two numbers that differ between heartbeats of one node.
const INCARNATION: usize = 24;
const SEQ: usize = 32;
const _: () = assert!(INCARNATION == NODE + size_of::<NodeId>() && SEQ == INCARNATION + 8 && SEQ + 8 < HEADER);

/// The monitor, and what it takes to speak to it.
pub(crate) struct Product {
    monitor: Monitor,
    interval: Span,
    ids: Vec<NodeId>,
    by_id: Vec<(NodeId, u32)>,
    /// A nameless heartbeat, but for its node, incarnation and seq.
    plain: [u8; HEADER],
    bytes: Vec<u8>,
}

impl Product {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let config = Config::new(scenario.plan()).expect("the scenario was checked");
        Self::of(config, scenario.nodes, scenario.interval)
    }

    /// A monitor of so many nodes, at least one, that all declare this interval.
    pub(crate) fn of(config: Config, nodes: u32, interval: Span) -> Self {
        let ids: Vec<NodeId> = (0..nodes).map(|node| NodeId::of(&name(node))).collect();
        let mut by_id: Vec<(NodeId, u32)> = ids.iter().copied().zip(0..).collect();
        by_id.sort_unstable();
        let mut bytes = Vec::new();
        let message = Message { interval: Some(interval), ..Message::of(Kind::Heartbeat, ids[0]) };
        emit_binary(&message, &mut bytes).expect("a plain heartbeat can be sent");
        let plain = bytes.as_slice().try_into().expect("a heartbeat without fields is a header");
        let monitor = Monitor::new(config, Instant::ORIGIN);
        Self { monitor, interval, ids, by_id, plain, bytes }
    }

    pub(crate) fn next(&self) -> Option<Tick> {
        self.monitor.poll_timeout().map(Instant::tick_up)
    }

    /// Until when the silence of this node is normal; nothing if it was never heard.
    pub(crate) fn deadline(&self, node: u32) -> Option<Tick> {
        let ix = self.monitor.find(&self.ids[node as usize])?;
        self.monitor.node(ix).map(|view| view.evidence.deadline.tick_up())
    }

    pub(crate) fn believed(&self) -> u64 {
        self.monitor.counters().heartbeats
    }

    pub(crate) fn turn(&mut self, now: Instant, arrivals: &[Arrival], verdicts: &mut Vec<Verdict>) {
        let mut rest = arrivals;
        loop {
            let (batch, after) = rest.split_at(rest.len().min(BATCH));
            rest = after;
            let backlog = if rest.is_empty() { Backlog::Drained } else { Backlog::More };
            self.hand_in(now, batch, backlog, verdicts);
            if rest.is_empty() {
                break;
            }
        }
        // A turn does a limited share of what is due.
        while self.monitor.poll_timeout().is_some_and(|wake| wake <= now) {
            self.hand_in(now, &[], Backlog::Drained, verdicts);
        }
    }

    fn hand_in(&mut self, now: Instant, batch: &[Arrival], backlog: Backlog, verdicts: &mut Vec<Verdict>) {
        self.bytes.clear();
        let mut ends = [0; BATCH];
        for (arrival, end) in batch.iter().zip(&mut ends) {
            self.emit(arrival);
            *end = self.bytes.len();
        }
        let mut datagrams = [Datagram { bytes: &[], arrival: now, truncated: false }; BATCH];
        let mut start = 0;
        for ((arrival, end), datagram) in batch.iter().zip(ends).zip(&mut datagrams) {
            (datagram.bytes, datagram.arrival) = (&self.bytes[start..end], arrival.at);
            start = end;
        }
        let mut ear = Ear { by_id: &self.by_id, verdicts };
        self.monitor.turn(now, &datagrams[..batch.len()], backlog, &mut ear);
    }

    /// Appends the datagram that arrived.
    fn emit(&mut self, arrival: &Arrival) {
        let id = self.ids[arrival.node as usize];
        if arrival.due.is_some() && arrival.seq > NAMED {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&self.plain);
            let plain = &mut self.bytes[start..];
            plain[NODE..INCARNATION].copy_from_slice(id.bytes());
            plain[INCARNATION..SEQ].copy_from_slice(&u64::from(arrival.life).to_le_bytes());
            plain[SEQ..SEQ + 8].copy_from_slice(&arrival.seq.to_le_bytes());
            return;
        }
        let name = name(arrival.node);
        let kind = if arrival.due.is_some() { Kind::Heartbeat } else { Kind::Goodbye };
        let message = Message {
            name: Some(&name),
            incarnation: Some(Incarnation::new(u64::from(arrival.life))),
            seq: Some(Seq::new(arrival.seq)),
            interval: Some(self.interval),
            ..Message::of(kind, id)
        };
        emit_binary(&message, &mut self.bytes).expect("its name is a name and its interval isn't zero");
    }
}

/// Names are of no use to anybody but the monitor, so they aren't kept.
fn name(node: u32) -> String {
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
    verdicts: &'a mut Vec<Verdict>,
}

impl Sink for Ear<'_> {
    fn transition(&mut self, transition: &Transition<'_>) {
        let place = self.by_id.binary_search_by_key(&transition.id, |(id, _)| *id).expect("only our nodes speak");
        let arrival = transition.evidence.last_arrival;
        let at = match transition.cause {
            Cause::FirstHeartbeat | Cause::Heartbeat | Cause::Restart | Cause::Goodbye => arrival,
            Cause::Silence | Cause::Confirmed | Cause::NeverSeen => None,
        };
        self.verdicts.push(Verdict {
            at: at.unwrap_or(transition.at),
            node: self.by_id[place].1,
            from: transition.from,
            to: transition.to,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};
    use systole_core::wire::messages;

    fn scenario() -> Scenario {
        Scenario { nodes: 200, heartbeats: 200, interval: Span::from_millis(100), ..Scenario::default() }
    }

    #[test]
    fn a_patched_heartbeat_is_the_one_that_the_core_would_emit() {
        let mut product = Product::new(&scenario());
        let arrival = Arrival { at: Instant::ORIGIN, node: 7, life: 3, seq: 1_000, due: Some(Instant::ORIGIN) };
        product.bytes.clear();
        product.emit(&arrival);
        let message = Message {
            incarnation: Some(Incarnation::new(3)),
            seq: Some(Seq::new(1_000)),
            interval: Some(Span::from_millis(100)),
            ..Message::of(Kind::Heartbeat, NodeId::of("node-7"))
        };
        assert_eq!(messages(&product.bytes).next(), Some(Ok((message, &product.bytes[..]))));
    }

    #[test]
    fn handing_in_a_millisecond_at_once_changes_no_verdict() {
        let mut random = Stream::new(7, 0, Purpose::Delay);
        let (mut together, mut singly) = (Product::new(&scenario()), Product::new(&scenario()));
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
            together.turn(tick.instant(), &arrivals, &mut one);
            for arrival in &arrivals {
                singly.turn(arrival.at, core::slice::from_ref(arrival), &mut other);
            }
            singly.turn(tick.instant(), &[], &mut other);
        }
        assert!(one.len() > 1_000, "{}", one.len());
        // Nodes don't mind each other: only the order of each node's own verdicts means anything.
        let sorted = |mut verdicts: Vec<Verdict>| {
            verdicts.sort_by_key(|verdict| (verdict.node, verdict.at));
            verdicts
        };
        assert_eq!(sorted(one), sorted(other));
    }
}
