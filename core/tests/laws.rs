//! Laws of the monitor that hold for every traffic, checked against a twin that is too simple to
//! be wrong: it knows each node's deadline exactly, looks at every node on every turn, and has no
//! wheel, no table and no laziness.

mod common;

use std::collections::BTreeMap;

use common::{Log, Told, ms};
use proptest::prelude::*;
use systole_core::config::{Config, Plan, Settings};
use systole_core::detector::{Beat, Detector, Memory};
use systole_core::event::Cause;
use systole_core::wire::{Kind, Message, emit_binary};
use systole_core::{Backlog, Datagram, Incarnation, Input, Instant, Liveness, Monitor, NodeId, Seq, Span, step};

/// One message on its way.
#[derive(Clone, Debug)]
struct Sent {
    node: u8,
    kind: Kind,
    incarnation: u64,
    seq: u64,
    interval_ms: u64,
    /// After the previous one.
    delay_ms: u64,
}

fn names() -> Vec<String> {
    (0..12).map(|node| format!("node-{node}")).collect()
}

fn traffic() -> impl Strategy<Value = Vec<Sent>> {
    let kind = prop_oneof![9 => Just(Kind::Heartbeat), 1 => Just(Kind::Goodbye)];
    let delay = prop_oneof![4 => 0..50u64, 4 => 50..2_000u64, 1 => 2_000..100_000u64, 1 => Just(40_000_000u64)];
    let interval = prop_oneof![Just(100u64), Just(1_000), Just(60_000)];
    let sent = (0..12u8, kind, 1..4u64, 1..30u64, interval, delay).prop_map(
        |(node, kind, incarnation, seq, interval_ms, delay_ms)| Sent {
            node,
            kind,
            incarnation,
            seq,
            interval_ms,
            delay_ms,
        },
    );
    prop::collection::vec(sent, 1..150)
}

fn detectors() -> impl Strategy<Value = Detector> {
    let specs = [
        "fixed:timeout=2.5x",
        "fixed:timeout=1500ms",
        "missed:k=3,margin=100ms",
        "chen:margin=2.25x",
        "two-window:margin=1x",
        "phi:threshold=8",
        "phi:threshold=5,tail=exponential",
        "bertier",
    ];
    prop::sample::select(specs.to_vec()).prop_map(|spec| spec.parse().expect("a detector"))
}

fn bytes(sent: &Sent, names: &[String]) -> Vec<u8> {
    let name = &names[usize::from(sent.node)];
    let message = Message {
        kind: sent.kind,
        incarnation: Some(Incarnation::new(sent.incarnation)),
        seq: Some(Seq::new(sent.seq)),
        interval: Some(ms(sent.interval_ms)),
        ..Message::heartbeat(name)
    };
    let mut bytes = Vec::new();
    emit_binary(&message, &mut bytes).expect("it can be sent");
    bytes
}

/// What the twin knows of a node.
#[derive(Clone, Debug)]
struct Known {
    incarnation: u64,
    seq: u64,
    arrival: Instant,
    interval: Span,
    memory: Memory,
    liveness: Liveness,
}

/// The naive monitor: every deadline is moved at once, every node is looked at in every turn.
struct Twin {
    settings: Settings,
    nodes: BTreeMap<u8, Known>,
    told: Vec<(Instant, u8, Liveness, Liveness)>,
}

impl Twin {
    fn receive(&mut self, now: Instant, sent: &Sent, arrival: Instant) {
        let detector = self.settings.detector;
        let interval = ms(sent.interval_ms);
        let known = match (self.nodes.get_mut(&sent.node), sent.kind) {
            (None, Kind::Goodbye) => return,
            (None, Kind::Heartbeat) => {
                let memory = detector.start(interval);
                let (incarnation, seq) = (sent.incarnation, sent.seq);
                let known = Known { incarnation, seq, arrival, interval, memory, liveness: Liveness::Alive };
                self.nodes.insert(sent.node, known);
                self.told.push((now, sent.node, Liveness::Unseen, Liveness::Alive));
                return;
            }
            (Some(known), _) => known,
        };
        if (sent.incarnation, sent.seq) <= (known.incarnation, known.seq) {
            return;
        }
        let input = match sent.kind {
            Kind::Goodbye => Input::Goodbye,
            Kind::Heartbeat => {
                let steady = sent.incarnation == known.incarnation
                    && interval == known.interval
                    && !matches!(known.liveness, Liveness::Left | Liveness::Failed);
                if steady {
                    let beat = Beat { elapsed: arrival.since(known.arrival), gap: sent.seq - known.seq, interval };
                    detector.heartbeat(&mut known.memory, beat);
                } else {
                    known.memory = detector.start(interval);
                }
                known.interval = interval;
                Input::Heartbeat
            }
        };
        (known.incarnation, known.seq, known.arrival) = (sent.incarnation, sent.seq, arrival);
        let to = step(known.liveness, input);
        if to != known.liveness {
            self.told.push((now, sent.node, known.liveness, to));
            known.liveness = to;
        }
    }

    fn expire(&mut self, now: Instant) {
        for (node, known) in &mut self.nodes {
            loop {
                let deadline = known.arrival + self.settings.detector.patience(&known.memory, known.interval);
                let due = match known.liveness {
                    Liveness::Alive => deadline,
                    Liveness::Suspect => deadline + self.settings.confirm.of(known.interval),
                    Liveness::Unseen | Liveness::Failed | Liveness::Left => break,
                };
                // Deadlines round up to the tick, now rounds down.
                if due.tick_up() > now.tick_down() {
                    break;
                }
                let to = step(known.liveness, Input::Silence);
                self.told.push((now, *node, known.liveness, to));
                known.liveness = to;
            }
        }
    }
}

fn told(log: &Log) -> Vec<(Instant, u8, Liveness, Liveness)> {
    let node = |told: &Told| told.node.trim_start_matches("node-").parse().expect("a number");
    log.told.iter().map(|told| (told.at, node(told), told.from, told.to)).collect()
}

/// The order within one turn is arbitrary between nodes, never within one.
fn sorted(mut told: Vec<(Instant, u8, Liveness, Liveness)>) -> Vec<(Instant, u8, Liveness, Liveness)> {
    told.sort_by_key(|(at, node, ..)| (*at, *node));
    told
}

fn monitor(detector: Detector, start: Instant) -> (Monitor, Settings) {
    let settings = Settings { detector, ..Settings::default() };
    let config = Config::new(Plan { default: settings, ..Plan::default() }).expect("a sound plan");
    (Monitor::new(config, start), settings)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn lazy_deadlines_give_the_same_verdicts_at_the_same_instants_as_eager_ones(
        traffic in traffic(),
        detector in detectors(),
        origin in prop::sample::select(vec![0u64, (1 << 31) - 5_000, (1 << 32) - 5_000, (1 << 36) - 5_000]),
    ) {
        let names = names();
        let mut now = Instant::ORIGIN + ms(origin);
        let (mut monitor, settings) = monitor(detector, now);
        let mut twin = Twin { settings, nodes: BTreeMap::new(), told: Vec::new() };
        let mut log = Log::default();
        for sent in &traffic {
            let next = now + ms(sent.delay_ms);
            // Turn whenever the monitor asks for it, and the twin with it.
            while let Some(wake) = monitor.poll_timeout().filter(|wake| *wake < next) {
                now = now.max(wake);
                twin.expire(now);
                monitor.turn(now, &[], Backlog::Drained, &mut log);
            }
            now = next;
            let datagram = bytes(sent, &names);
            let datagram = Datagram::new(&datagram, now);
            twin.receive(now, sent, now);
            twin.expire(now);
            monitor.turn(now, &[datagram], Backlog::Drained, &mut log);
            while monitor.poll_timeout().is_some_and(|wake| wake <= now) {
                monitor.turn(now, &[], Backlog::Drained, &mut log);
            }
        }
        prop_assert_eq!(sorted(told(&log)), sorted(twin.told));
        for (node, known) in &twin.nodes {
            let view = monitor.node(monitor.find(&NodeId::of(&names[usize::from(*node)])).expect("known")).expect("known");
            prop_assert_eq!(view.liveness, known.liveness);
        }
        let counted: u32 = monitor.groups().iter().map(|group| group.len()).sum();
        prop_assert_eq!(counted as usize, twin.nodes.len());
    }

    #[test]
    fn the_order_of_datagrams_within_a_batch_does_not_matter(
        (traffic, shuffled) in prop::collection::vec((0..4u8, 1..3u64, 1..20u64, 0..900u64), 1..60)
            .prop_flat_map(|batch| (Just(batch.clone()), Just(batch).prop_shuffle())),
        detector in detectors(),
    ) {
        let names = names();
        let start = Instant::ORIGIN + ms(1_000_000);
        let now = start + ms(1_000);
        let belief = |traffic: &[(u8, u64, u64, u64)]| {
            let (mut monitor, _) = monitor(detector, start);
            // Everybody is known before, so that a goodbye is never the first thing heard of a node.
            let hello: Vec<Vec<u8>> = (0..4).map(|node| {
                bytes(&Sent { node, kind: Kind::Heartbeat, incarnation: 1, seq: 0, interval_ms: 1_000, delay_ms: 0 }, &names)
            }).collect();
            let hello: Vec<_> = hello.iter().map(|bytes| Datagram::new(bytes, start)).collect();
            monitor.turn(start, &hello, Backlog::Drained, &mut ());
            let bytes: Vec<Vec<u8>> = traffic.iter().map(|(node, incarnation, seq, _)| {
                // What a number says doesn't depend on the copy that carries it.
                let kind = if seq % 7 == 0 { Kind::Goodbye } else { Kind::Heartbeat };
                bytes(&Sent { node: *node, kind, incarnation: *incarnation, seq: *seq, interval_ms: 1_000, delay_ms: 0 }, &names)
            }).collect();
            let batch: Vec<_> = bytes.iter().zip(traffic).map(|(bytes, sent)| {
                Datagram::new(bytes, start + ms(sent.3))
            }).collect();
            monitor.turn(now, &batch, Backlog::Drained, &mut ());
            (0..4).map(|node: usize| {
                let view = monitor.node(monitor.find(&NodeId::of(&names[node])).expect("known")).expect("known");
                (view.evidence.incarnation, view.evidence.seq, view.liveness)
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(belief(&traffic), belief(&shuffled));
    }

    #[test]
    fn without_loss_and_jitter_nobody_is_ever_suspected(
        detector in detectors(),
        interval in 50..20_000u64,
        beats in 1..200u64,
    ) {
        prop_assume!(detector.bound(ms(interval)).is_none_or(|bound| bound > ms(interval)));
        let names = names();
        let start = Instant::ORIGIN + ms(77);
        let (mut monitor, _) = monitor(detector, start);
        let mut log = Log::default();
        for beat in 0..beats {
            let now = start + ms(interval) * beat;
            while let Some(wake) = monitor.poll_timeout().filter(|wake| *wake < now) {
                monitor.turn(wake, &[], Backlog::Drained, &mut log);
            }
            let sent = Sent { node: 0, kind: Kind::Heartbeat, incarnation: 1, seq: beat + 1, interval_ms: interval, delay_ms: 0 };
            let datagram = bytes(&sent, &names);
            monitor.turn(now, &[Datagram::new(&datagram, now)], Backlog::Drained, &mut log);
        }
        prop_assert_eq!(log.told.len(), 1);
        prop_assert_eq!(log.told[0].cause, Cause::FirstHeartbeat);
    }
}
