//! Whatever happens, nobody who is waited for is forgotten: the monitor always wakes up in time for
//! each node's next due instant, and its counts are those of its table.

mod common;

use std::collections::BTreeMap;

use common::{Log, ms, secs};
use proptest::prelude::*;
use systole_core::config::{Config, Limits, Match, Plan, Rule, Settings};
use systole_core::{Backlog, Datagram, Instant, Liveness, Monitor, NodeId, NodeIx, Pattern, Span};

#[derive(Clone, Debug)]
struct Beat {
    node: u8,
    incarnation: Option<u8>,
    seq: Option<u64>,
    interval: Option<&'static str>,
    group: Option<u8>,
    label: Option<u8>,
    next: Option<&'static str>,
    /// How long before it was read it arrived.
    age_ms: u64,
}

#[derive(Clone, Debug)]
enum Op {
    Beat(Beat),
    Goodbye { node: u8, seq: Option<u64> },
    Forget(u8),
    Wait(u64),
}

fn beats() -> impl Strategy<Value = Beat> {
    let spans = || prop::sample::select(vec!["1ns", "10ms", "100ms", "1s", "1m", "1h", "6d", "200000d"]);
    let seqs = prop_oneof![9 => 0..40u64, 1 => Just(u64::MAX)];
    let fields = (
        0..20u8,
        prop::option::weighted(0.4, 0..4u8),
        prop::option::weighted(0.4, seqs),
        prop::option::of(spans()),
        prop::option::of(0..5u8),
        prop::option::of(0..4u8),
        prop::option::weighted(0.1, spans()),
        prop_oneof![3 => Just(0u64), 1 => 0..5_000u64],
    );
    fields.prop_map(|(node, incarnation, seq, interval, group, label, next, age_ms)| Beat {
        node,
        incarnation,
        seq,
        interval,
        group,
        label,
        next,
        age_ms,
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let wait = prop_oneof![0..30u64, 0..3_000u64, 0..200_000u64, 0..400_000_000u64];
    let op = prop_oneof![
        8 => beats().prop_map(Op::Beat),
        1 => (0..20u8, prop::option::of(0..40u64)).prop_map(|(node, seq)| Op::Goodbye { node, seq }),
        1 => (0..20u8).prop_map(Op::Forget),
        6 => wait.prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..120)
}

/// Every kind of group there is: configured with a fixed interval, matched by label, declared,
/// with listed nodes, and fewer than are asked for.
fn config() -> Config {
    let rule = |name: &str, detector: &str, interval, label: &str, listed: &str| Rule {
        name: name.into(),
        settings: Settings {
            detector: detector.parse().expect("a detector"),
            interval,
            grace: secs(20),
            ..Settings::default()
        },
        matches: vec![Match { label: Some(("zone".into(), Pattern::new(label))), ..Match::default() }],
        nodes: vec![listed.into()],
    };
    let groups = vec![rule("g1", "phi", Some(ms(300)), "1", "n2"), rule("by-label", "bertier", None, "2", "n3")];
    let limits =
        Limits { max_groups: 5, max_nodes: 15, interval_min: Span::from_nanos(1), interval_max: secs(400 * 86_400) };
    Config::new(Plan { groups, limits, ..Plan::default() }).expect("a sound plan")
}

fn line(beat: &Beat) -> String {
    let mut line = format!("hb n{}", beat.node);
    let mut add =
        |key: &str, value: Option<String>| value.into_iter().for_each(|value| line += &format!(" {key}{value}"));
    add("inc=", beat.incarnation.map(|number| number.to_string()));
    add("seq=", beat.seq.map(|number| number.to_string()));
    add("interval=", beat.interval.map(str::to_owned));
    add("group=g", beat.group.map(|number| number.to_string()));
    add("l.zone=", beat.label.map(|number| number.to_string()));
    add("next=", beat.next.map(str::to_owned));
    line
}

fn receive(monitor: &mut Monitor, now: Instant, line: &str, arrival: Instant, log: &mut Log) {
    let datagram = Datagram { bytes: line.as_bytes(), arrival, truncated: false };
    monitor.turn(now, &[datagram], Backlog::More, log);
}

fn nobody_is_forgotten(monitor: &Monitor, now: Instant) -> Result<(), TestCaseError> {
    let mut counts = BTreeMap::new();
    for place in 0..monitor.places() {
        let Some(node) = monitor.node(NodeIx::new(place)) else { continue };
        *counts.entry((node.group.name().to_owned(), node.liveness)).or_insert(0u32) += 1;
        match node.liveness {
            Liveness::Unseen | Liveness::Alive | Liveness::Suspect => {
                let due = node.due.expect("it is waited for");
                prop_assert!(due.tick_up() > now.tick_down(), "{} was due at {due:?}, now is {now:?}", node.called);
                let wake = monitor.poll_timeout();
                prop_assert!(
                    wake.is_some_and(|wake| wake <= due.tick_up().instant()),
                    "nobody wakes for {}: {wake:?}",
                    node.called
                );
            }
            Liveness::Failed | Liveness::Left => prop_assert_eq!(node.due, None),
        }
    }
    for group in monitor.groups() {
        for liveness in Liveness::ALL {
            let counted = counts.get(&(group.name().to_owned(), liveness)).copied().unwrap_or(0);
            prop_assert_eq!(group.count(liveness), counted, "{} {}", group.name(), liveness.name());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nobody_who_is_waited_for_is_ever_forgotten(
        ops in ops(),
        origin in prop::sample::select(vec![1_000_000u64, (1 << 31) - 5_000, (1 << 32) - 5_000, (1 << 36) - 5_000]),
    ) {
        let mut now = Instant::ORIGIN + ms(origin);
        let mut monitor = Monitor::new(config(), now);
        let mut log = Log::default();
        for op in ops {
            match op {
                Op::Beat(beat) => receive(&mut monitor, now, &line(&beat), now - ms(beat.age_ms), &mut log),
                Op::Goodbye { node, seq } => {
                    let seq = seq.map_or(String::new(), |seq| format!(" seq={seq}"));
                    receive(&mut monitor, now, &format!("bye n{node}{seq}"), now, &mut log);
                }
                Op::Forget(node) => {
                    if let Some(ix) = monitor.find(&NodeId::of(&format!("n{node}"))) {
                        monitor.forget(ix, now);
                    }
                }
                Op::Wait(millis) => {
                    let end = now + ms(millis);
                    common::turn_until(&mut monitor, end, &mut log);
                    now = end;
                    while monitor.poll_timeout().is_some_and(|wake| wake <= now) {
                        monitor.turn(now, &[], Backlog::Drained, &mut log);
                    }
                    nobody_is_forgotten(&monitor, now)?;
                }
            }
        }
    }
}
