//! Whatever happens, nobody who is waited for is forgotten: the monitor always wakes up in time for
//! each node's next due instant, and its counts are those of its table. A restart that takes over
//! what was believed changes none of that.

mod common;

use std::collections::BTreeMap;

use common::{Log, ms, restarted, secs};
use proptest::prelude::*;
use systole_core::config::{Config, FlapSettings, GuardSettings, Limits, Match, Plan, Rule, Settings};
use systole_core::guard::ScopeName;
use systole_core::{
    Backlog, Belief, Datagram, Held, Instant, Liveness, Monitor, NodeId, NodeIx, Pattern, Span, Trouble, Withheld,
};

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
    Restart,
    Trouble(Trouble),
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
        1 => Just(Op::Restart),
        6 => wait.prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..120)
}

/// The same, among troubles of our own.
fn troubled_ops() -> impl Strategy<Value = Vec<Op>> {
    let trouble = prop_oneof![
        (0..60_000u64).prop_map(|millis| Trouble::Stall(ms(millis))),
        (0..100u64).prop_map(Trouble::Drops),
        Just(Trouble::ClockStep),
    ];
    let beats = prop::collection::vec(beats().prop_map(Op::Beat), 1..10);
    let op = prop_oneof![2 => ops(), 1 => trouble.prop_map(|trouble| vec![Op::Trouble(trouble)]), 1 => beats];
    prop::collection::vec(op, 1..6).prop_map(|parts| parts.concat())
}

/// A monitor that withholds whatever it can.
fn cautious() -> Config {
    let guard = GuardSettings {
        least: 1,
        longest: secs(90),
        rate: 2.0,
        labels: vec!["zone".into(), "rack".into()],
        ..GuardSettings::default()
    };
    let flapping = FlapSettings { suppress: 900.0, reuse: 300.0, half_life: secs(20), ..FlapSettings::default() };
    // A suspect that isn't due for years keeps its scope awake for as long.
    let limits = Limits { interval_max: secs(3_600), ..config().plan().limits };
    let plan = Plan { guard: Some(guard), flapping: Some(flapping), limits, ..config().plan().clone() };
    Config::new(plan).expect("a sound plan")
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
    let limits = Limits {
        max_groups: 5,
        max_nodes: 15,
        interval_min: Span::from_nanos(1),
        interval_max: secs(400 * 86_400),
        new_nodes: None,
    };
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
    let datagram = Datagram::new(line.as_bytes(), arrival);
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
                let wake = monitor.poll_timeout();
                // What is withheld is looked at again before long.
                let latest = match monitor.held(node.ix) {
                    Some(Held { reason: Withheld::Flapping, until, .. }) => until.expect("it will be steady") + ms(1),
                    Some(_) => due.tick_up().instant().max(now + secs(5)),
                    None => {
                        let due = due.tick_up();
                        prop_assert!(due > now.tick_down(), "{} was due at {due:?}, now is {now:?}", node.called);
                        due.instant()
                    }
                };
                prop_assert!(wake.is_some_and(|wake| wake <= latest), "nobody wakes for {}: {wake:?}", node.called);
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

fn the_guard_counts_as_the_table_does(monitor: &Monitor) -> Result<(), TestCaseError> {
    let mut counts: BTreeMap<String, (u32, u32, u32)> = BTreeMap::new();
    for view in (0..monitor.places()).filter_map(|place| monitor.node(NodeIx::new(place))) {
        let labels = view.payload.into_iter().flat_map(|payload| payload.labels());
        for scope in labels.map(|(name, text)| format!("label {name}={text}")) {
            let counts = counts.entry(scope).or_default();
            match view.liveness {
                Liveness::Alive => counts.0 += 1,
                Liveness::Suspect => counts.1 += 1,
                Liveness::Unseen => counts.2 += 1,
                Liveness::Failed | Liveness::Left => {}
            }
        }
    }
    for (scope, tally) in monitor.tallies().filter(|(scope, _)| matches!(scope, ScopeName::Label(..))) {
        let (alive, suspect, unseen) = counts.remove(&scope.to_string()).unwrap_or_default();
        prop_assert_eq!((tally.alive, tally.absent), (alive, unseen), "{}", scope);
        prop_assert!(tally.silent >= suspect, "{} {:?}", scope, tally);
    }
    prop_assert!(counts.values().all(|counts| *counts == (0, 0, 0)), "not guarded: {counts:?}");
    Ok(())
}

/// Does it, and says what time it is then.
fn apply(op: &Op, monitor: &mut Monitor, now: Instant, log: &mut Log) -> Instant {
    match op {
        Op::Beat(beat) => receive(monitor, now, &line(beat), now - ms(beat.age_ms), log),
        Op::Goodbye { node, seq } => {
            let seq = seq.map_or(String::new(), |seq| format!(" seq={seq}"));
            receive(monitor, now, &format!("bye n{node}{seq}"), now, log);
        }
        Op::Forget(node) => {
            if let Some(ix) = monitor.find(&NodeId::of(&format!("n{node}"))) {
                monitor.forget(ix, now);
            }
        }
        Op::Restart => *monitor = restarted(monitor, monitor.config().clone(), now),
        Op::Trouble(trouble) => monitor.trouble(now, *trouble),
        Op::Wait(millis) => {
            let end = now + ms(*millis);
            common::turn_until(monitor, end, log);
            while monitor.poll_timeout().is_some_and(|wake| wake <= end) {
                monitor.turn(end, &[], Backlog::Drained, log);
            }
            return end;
        }
    }
    now
}

/// Everything believed, in the order of the ids.
fn beliefs(monitor: &Monitor) -> BTreeMap<NodeId, Belief<'_>> {
    let places = (0..monitor.places()).map(NodeIx::new);
    places.filter_map(|ix| monitor.belief(ix)).map(|belief| (belief.id, belief)).collect()
}

/// When a node that stays silent has to be failed, if all of it is taken over at `now`: reckoned from
/// the settings alone.
fn failed_at(monitor: &Monitor, belief: &Belief<'_>, now: Instant) -> Option<Instant> {
    let node = monitor.node(monitor.find(&belief.id)?)?;
    let (settings, interval) = (node.group.settings(), node.evidence.interval);
    match belief.liveness {
        Liveness::Unseen => Some(now + settings.grace),
        Liveness::Alive | Liveness::Suspect => {
            let patience = settings.detector.patience(&settings.detector.start(interval), interval);
            let planned = belief.planned_until.map(|until| until + (patience - interval));
            Some((now + patience).max(planned.unwrap_or_default()) + settings.confirm.of(interval))
        }
        Liveness::Failed | Liveness::Left => None,
    }
}

fn origins() -> impl Strategy<Value = Instant> {
    let origins = vec![1_000_000u64, (1 << 31) - 5_000, (1 << 32) - 5_000, (1 << 36) - 5_000];
    prop::sample::select(origins).prop_map(|origin| Instant::ORIGIN + ms(origin))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nobody_who_is_waited_for_is_ever_forgotten(ops in ops(), origin in origins()) {
        let (mut monitor, mut now, mut log) = (Monitor::new(config(), origin), origin, Log::default());
        for op in ops {
            now = apply(&op, &mut monitor, now, &mut log);
            if matches!(op, Op::Wait(_)) {
                nobody_is_forgotten(&monitor, now)?;
            }
        }
    }

    #[test]
    fn whatever_is_withheld_is_given_in_the_end_and_told_once(ops in troubled_ops(), origin in origins()) {
        let (mut monitor, mut now, mut log) = (Monitor::new(cautious(), origin), origin, Log::default());
        for op in ops {
            now = apply(&op, &mut monitor, now, &mut log);
            if matches!(op, Op::Wait(_)) {
                nobody_is_forgotten(&monitor, now)?;
                the_guard_counts_as_the_table_does(&monitor)?;
            }
        }
        let end = now + secs(2 * 86_400);
        common::turn_until(&mut monitor, end, &mut log);
        nobody_is_forgotten(&monitor, end)?;
        the_guard_counts_as_the_table_does(&monitor)?;
        for view in (0..monitor.places()).filter_map(|place| monitor.node(NodeIx::new(place))) {
            prop_assert!(matches!(view.liveness, Liveness::Failed | Liveness::Left), "{} is {:?}", view.called, view.liveness);
        }
        prop_assert_eq!((monitor.holds().count(), monitor.flapping_count()), (0, 0));
    }

    #[test]
    fn a_restart_changes_no_belief_and_fails_nobody_before_a_full_timeout(ops in ops(), origin in origins()) {
        let (mut former, mut now) = (Monitor::new(config(), origin), origin);
        for op in ops {
            now = apply(&op, &mut former, now, &mut Log::default());
        }

        let mut monitor = restarted(&former, config(), now);

        let before = beliefs(&former);
        prop_assert_eq!(&before, &beliefs(&monitor));
        let mut due: BTreeMap<String, Instant> = BTreeMap::new();
        for belief in before.values() {
            if let Some(at) = failed_at(&monitor, belief, now) {
                due.insert(belief.name.expect("it has travelled").to_owned(), at.tick_up().instant());
            }
        }
        // With nobody speaking any more, each is failed once and when it is due; nobody else is.
        let mut log = Log::default();
        common::turn_until(&mut monitor, now + secs(20_000 * 86_400), &mut log);
        for told in log.told.iter().filter(|told| told.to == Liveness::Failed) {
            let at = due.remove(&told.node);
            prop_assert!(
                at.is_some_and(|at| (at..=at + ms(1)).contains(&told.at)),
                "{} failed at {:?}, due {at:?}", told.node, told.at
            );
        }
        prop_assert!(due.is_empty(), "never failed: {due:?}");
        nobody_is_forgotten(&monitor, now + secs(20_000 * 86_400))?;
    }
}
