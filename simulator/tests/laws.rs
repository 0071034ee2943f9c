//! Laws that hold for every run, whatever the scenario and the seed.

mod common;

use std::collections::BTreeMap;

use common::{Log, watched};
use proptest::prelude::*;
use systole_core::{Instant, Liveness, Span, Wait};
use systole_sim::latency::Delay;
use systole_sim::loss::Loss;
use systole_sim::run::{run, run_on};
use systole_sim::scenario::{
    ClockStep, DetectorChoice, Gates, Group, Pauses, Phase, Restart, Scenario, Stall, Troubles,
};
use systole_sim::truth::Fact;

const TICK: Span = Span::from_millis(1);

fn detectors() -> impl Strategy<Value = DetectorChoice> {
    let specs = ["fixed:timeout=2.5x", "missed:k=3", "chen", "two-window", "phi", "bertier", "nfd-s:delta=2s"];
    prop::sample::select(specs.to_vec()).prop_map(|spec| spec.parse().expect("a detector"))
}

fn losses() -> impl Strategy<Value = Loss> {
    let specs = ["none", "0.01", "0.3", "gilbert:p=0.1,burst=4"];
    prop::sample::select(specs.to_vec()).prop_map(|spec| spec.parse().expect("a loss"))
}

fn delays() -> impl Strategy<Value = Delay> {
    let specs =
        ["const:20ms", "uniform:0ms..900ms", "exp:200ms", "lognormal:median=20ms,sigma=2", "pareto:min=10ms,shape=1.5"];
    prop::sample::select(specs.to_vec()).prop_map(|spec| spec.parse().expect("a delay"))
}

/// Anything that can go wrong but crashes and goodbyes.
fn quiet() -> impl Strategy<Value = (Group, u64)> {
    let sizes = (any::<u64>(), 1..8u32, 1..60u64, prop::sample::select(vec![50u64, 1_000, 30_000]));
    let troubles = (losses(), delays(), prop::sample::select(vec![0.0, 0.2, 1.0]), any::<bool>(), any::<bool>());
    (sizes, troubles, detectors()).prop_map(|((seed, nodes, beats, interval), trouble, detector)| {
        let (loss, delay, jitter, pauses, lock_step) = trouble;
        let interval = Span::from_millis(interval);
        let synchronised = matches!(detector, DetectorChoice::NfdS { .. });
        let group = Group {
            nodes,
            interval,
            heartbeats: beats * u64::from(nodes),
            loss,
            delay,
            jitter,
            drift: if synchronised { 0.0 } else { 0.01 },
            pauses: (pauses && !synchronised).then_some(Pauses { every: interval * 20, length: interval * 5 }),
            phase: if lock_step { Phase::LockStep } else { Phase::Spread },
            detector,
            ..Group::default()
        };
        (group, seed)
    })
}

/// The same with lives that end.
fn groups() -> impl Strategy<Value = (Group, u64)> {
    (quiet(), 0.0..1.0f64, prop::sample::select(vec![0.0, 0.3]), any::<bool>()).prop_map(
        |((group, seed), mortality, goodbyes, partition)| {
            let (from, until) = (group.interval * 10, group.interval * 17);
            let cut = format!("0.5@{}..{}", from.compact(), until.compact()).parse().expect("a partition");
            let group = Group {
                crashes: (group.heartbeats as f64 * mortality * 0.3) as u64,
                goodbyes,
                twice: 0.1,
                duplicates: 0.1,
                partitions: if partition { vec![cut] } else { Vec::new() },
                ..group
            };
            (group, seed)
        },
    )
}

/// What may go wrong with the monitor in the first intervals: any of it, all at once, or nothing.
fn troubles(interval: Span) -> impl Strategy<Value = Troubles> {
    let tenths = move |tenths: u64| Span::from_millis((interval.millis() * tenths / 10).max(1));
    let once =
        (0..40u64, 1..20u64).prop_map(move |(at, length)| Stall::Once { at: tenths(at), length: tenths(length) });
    let random = (5..20u64, 1..5u64)
        .prop_map(move |(every, length)| Stall::Random(Pauses { every: tenths(every), length: tenths(length) }));
    let restart = (0..40u64, 0..10u64, any::<bool>()).prop_map(move |(at, down, snapshot)| Restart {
        at: tenths(at),
        down: tenths(down),
        snapshot,
    });
    let step = (0..40u64, 1..100_000u64, any::<bool>()).prop_map(move |(at, secs, forward)| ClockStep {
        at: tenths(at),
        by: Span::from_secs(secs),
        forward,
    });
    let (stalls, restarts) =
        (prop::collection::vec(prop_oneof![once, random], 0..3), prop::collection::vec(restart, 0..3));
    // With any of these all nodes are run as one, which most cases should not be.
    let clock_steps = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(step, 1..3)];
    let buffer = prop::option::weighted(0.2, 1_000..20_000u32);
    let capacity = prop::option::weighted(0.2, 5_000..200_000u32);
    (stalls, restarts, clock_steps, buffer, capacity).prop_map(|(stalls, restarts, clock_steps, buffer, capacity)| {
        Troubles { stalls, buffer, capacity, restarts, clock_steps }
    })
}

/// Two groups and their seed, and what may go wrong with the monitor that has both.
fn troubled() -> impl Strategy<Value = (Group, Group, u64, Troubles)> {
    (groups(), groups()).prop_flat_map(|((one, seed), (other, _))| {
        let troubles = troubles(one.interval);
        (Just(one), Just(other), Just(seed), troubles)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_same_scenario_is_the_same_run_and_everything_asked_for_is_sent((group, seed) in groups()) {
        let scenario = group.alone(seed);
        let (one, other) = (watched(&scenario), watched(&scenario));
        prop_assert_eq!(&one.0, &other.0);
        prop_assert_eq!(&one.1, &other.1);
        prop_assert_eq!(one.0.heartbeats, scenario.heartbeats());
        prop_assert!(one.0.heartbeats_believed <= one.0.heartbeats);
        let ends = one.1.facts.iter().filter(|(_, _, fact)| matches!(fact, Fact::Crashed | Fact::Left)).count();
        prop_assert_eq!(ends as u64, scenario.crashes());
    }

    /// Only what is still on its way may be heard of a dead node, so the delay has an end here.
    #[test]
    fn a_crashed_node_that_was_heard_of_is_found_within_its_bound_and_a_tick(
        (group, seed) in groups(),
        most in 0..500u64,
    ) {
        let delay = Delay::Uniform { from: Span::ZERO, to: Span::from_millis(most) };
        let group = Group { delay, ..group };
        let (outcome, log) = watched(&group.clone().alone(seed));
        prop_assert_eq!(outcome.qos.missed, 0);
        let until_suspect = group.bound() + Span::from_millis(most) + TICK;
        let until_failed = until_suspect + group.confirm.of(group.interval) + TICK;
        let within = |longest: Option<f64>, bound: Span| longest.is_none_or(|secs| secs <= bound.secs_f64() + 1e-9);
        prop_assert!(within(outcome.qos.detection_time_s.max, until_suspect), "{:?}", outcome.qos.detection_time_s);
        prop_assert!(within(outcome.qos.failure_time_s.max, until_failed), "{:?}", outcome.qos.failure_time_s);
        // At the end everybody is dead or has stopped, and whoever was ever heard of has been failed or has left.
        for (node, belief) in beliefs(&log) {
            prop_assert!(matches!(belief, Liveness::Failed | Liveness::Left), "{node} is {belief:?}");
        }
    }

    #[test]
    fn without_loss_and_jitter_there_are_no_mistakes((group, seed) in quiet(), delay in 0..2_000u64) {
        let delay = Delay::Const(Span::from_millis(delay).min(group.interval));
        let scenario = Group { loss: Loss::None, delay, jitter: 0.0, drift: 0.0, pauses: None, ..group }.alone(seed);
        // With synchronised clocks the delay itself must fit into delta.
        prop_assume!(scenario.check().is_empty());
        let (outcome, log) = watched(&scenario);
        prop_assert_eq!(outcome.qos.mistakes, 0);
        let stopped = stops(&log);
        for verdict in &log.verdicts {
            prop_assert!(verdict.to == Liveness::Alive || verdict.at > stopped[&verdict.node], "{verdict:?}");
        }
    }

    #[test]
    fn copies_that_come_with_the_original_change_nothing((group, seed) in groups(), delay in 0..500u64) {
        let delay = Delay::Const(Span::from_millis(delay));
        let once = Group { delay, loss: Loss::None, twice: 0.0, duplicates: 0.0, ..group };
        let copied = Group { twice: 0.5, duplicates: 0.7, ..once.clone() };
        let (once, copied) = (run(&once.alone(seed), |_| {}), run(&copied.alone(seed), |_| {}));
        prop_assert_eq!(once.trace_hash, copied.trace_hash);
        prop_assert_eq!(once.heartbeats_believed, copied.heartbeats_believed);
        prop_assert_eq!(once.qos, copied.qos);
    }

    #[test]
    fn a_node_that_speaks_is_alive((group, seed) in quiet()) {
        let scenario = Group { delay: Delay::Const(Span::ZERO), loss: Loss::None, ..group }.alone(seed);
        let (_, log) = watched(&scenario);
        for (node, at) in stops(&log) {
            // It stops with its last heartbeat, which arrives at once.
            let last = log.verdicts.iter().rfind(|verdict| verdict.node == node && verdict.at <= at);
            prop_assert_eq!(last.map(|verdict| verdict.to), Some(Liveness::Alive));
        }
    }

    #[test]
    fn another_node_disturbs_no_other((group, seed) in groups()) {
        let crashes = group.crashes / u64::from(group.nodes) * u64::from(group.nodes);
        let few = Group { crashes, ..group };
        let more = Group {
            nodes: few.nodes + 1,
            heartbeats: few.heartbeats + few.heartbeats / u64::from(few.nodes),
            crashes: crashes + crashes / u64::from(few.nodes),
            ..few.clone()
        };
        let ((_, few), (_, mut more)) = (watched(&few.alone(seed)), watched(&more.alone(seed)));
        let newcomer = more.facts.iter().map(|(_, node, _)| *node).max().expect("somebody began");
        more.facts.retain(|(_, node, _)| *node != newcomer);
        more.verdicts.retain(|verdict| verdict.node != newcomer);
        prop_assert_eq!(few, more);
    }

    /// A monitor that stalls is late, not wrong: nothing is lost, so nobody is accused who wouldn't
    /// have been, and the dead are found later by the stall at most.
    #[test]
    fn a_late_monitor_accuses_nobody_for_its_own_lateness(
        (group, seed) in groups(),
        stalls in prop::collection::vec((0..60u64, 1..20u64), 1..4),
    ) {
        let quiet = Group { partitions: Vec::new(), loss: Loss::None, delay: Delay::Const(Span::ZERO), pauses: None, drift: 0.0, jitter: 0.0, ..group };
        let scenario = quiet.clone().alone(seed);
        prop_assume!(scenario.check().is_empty() && !matches!(quiet.detector, DetectorChoice::NfdS { .. }));
        let part = quiet.interval * quiet.heartbeats.div_ceil(u64::from(quiet.nodes));
        let at = |share: u64| Span::from_millis(part.millis() * share / 60);
        let longest = stalls.iter().map(|(_, length)| quiet.interval * *length).fold(Span::ZERO, |sum, length| sum + length);
        let stalls = stalls.iter().map(|(start, length)| Stall::Once { at: at(*start), length: quiet.interval * *length });
        let monitor = Troubles { stalls: stalls.collect(), ..Troubles::default() };
        let (outcome, _) = watched(&Scenario { monitor, ..scenario });
        prop_assert_eq!(outcome.qos.mistakes, 0, "{:?}", outcome.qos.mistakes_by_cause);
        let bound = quiet.bound() + TICK + longest;
        prop_assert!(outcome.qos.detection_time_s.max.is_none_or(|max| max <= bound.secs_f64() + 1e-9));
    }

    /// Whatever is set, and whenever: kernel times are cut to what can be true.
    #[test]
    fn a_clock_that_is_set_accuses_nobody((group, seed) in quiet(), at in 0..60u64, forward in any::<bool>(), secs in 1..100_000u64) {
        let quiet = Group { loss: Loss::None, delay: Delay::Const(Span::ZERO), pauses: None, drift: 0.0, jitter: 0.0, ..group };
        prop_assume!(quiet.clone().alone(seed).check().is_empty() && !matches!(quiet.detector, DetectorChoice::NfdS { .. }));
        let at = quiet.interval * at;
        let step = ClockStep { at, by: Span::from_secs(secs), forward };
        // A stall of less than an interval, so that something waits while the clock is set.
        let stall = Stall::Once { at: Span::from_nanos(at.nanos() - at.nanos().min(quiet.interval.nanos() / 2)), length: quiet.interval };
        let monitor = Troubles { clock_steps: vec![step], stalls: vec![stall], ..Troubles::default() };
        let (outcome, _) = watched(&Scenario { monitor, ..quiet.alone(seed) });
        prop_assert_eq!(outcome.qos.mistakes, 0);
    }
}

proptest! {
    // Each of these has eighteen thousand nodes.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_outcome_does_not_depend_on_the_number_of_threads(
        (one, other, seed, troubles) in troubled(),
        threads in 2..5usize,
        told in any::<bool>(),
    ) {
        let synchronised = |group: &Group| matches!(group.detector, DetectorChoice::NfdS { .. });
        prop_assume!(synchronised(&one) == synchronised(&other));
        // Outside the product's monitor there are no troubles.
        let monitor = if synchronised(&one) { Troubles::default() } else { troubles };
        // More nodes than are run together, so that there is something to share out.
        let many = |group: Group, name: &str| {
            let nodes = group.nodes + 9_000;
            let heartbeats = u64::from(nodes) * (group.heartbeats / u64::from(group.nodes)).min(3);
            Group { nodes, heartbeats, crashes: heartbeats / 9, name: name.into(), ..group }
        };
        let groups = vec![many(one, "one"), many(other, "other")];
        let scenario = Scenario { seed, groups, monitor, gates: Gates { told, ..Gates::default() } };
        prop_assume!(scenario.check().is_empty());
        let alone = run(&scenario, |_| {});
        prop_assert_eq!(&run_on(&scenario, threads, |_| true), &alone);
        let (whole, _) = watched(&scenario);
        prop_assert_eq!(whole, alone);
    }
}

fn stops(log: &Log) -> BTreeMap<u32, Instant> {
    log.facts.iter().filter(|(_, _, fact)| *fact == Fact::Stopped).map(|(at, node, _)| (*node, *at)).collect()
}

fn beliefs(log: &Log) -> BTreeMap<u32, Liveness> {
    log.verdicts.iter().map(|verdict| (verdict.node, verdict.to)).collect()
}

#[test]
fn another_seed_is_another_run() {
    let hash = |seed| {
        let group = Group { loss: Loss::Independent(0.3), ..Group::default() };
        run(&group.alone(seed), |_| {}).trace_hash
    };
    let mut hashes: Vec<u64> = (0..20).map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 20);
}

/// A change here is a change of what every seed means: say so in the CHANGELOG.
#[test]
fn a_seed_means_the_same_run_on_every_machine() {
    let group = Group {
        nodes: 20,
        heartbeats: 20_000,
        crashes: 40,
        loss: "gilbert:p=0.1,burst=3".parse().expect("a loss"),
        delay: "lognormal:median=50ms,sigma=1.5".parse().expect("a delay"),
        jitter: 0.1,
        ..Group::default()
    };
    assert_eq!(format!("{:016x}", run(&group.into(), |_| {}).trace_hash), "1122b28f5e94df9b");
}

#[test]
fn a_partition_fails_those_it_cuts_off_and_they_come_back() {
    let group = Group {
        nodes: 1_000,
        heartbeats: 200_000,
        partitions: vec!["0.3@50s..80s".parse().expect("a partition")],
        ..Group::default()
    };
    let (outcome, log) = watched(&group.into());
    let failed = outcome.nodes.iter().filter(|node| node.false_failures == 1).count();
    assert!((240..360).contains(&failed), "{failed}");
    assert_eq!(outcome.qos.false_failures, failed as u64);
    let end = Instant::ORIGIN + Span::from_secs(82);
    let back = log.verdicts.iter().filter(|verdict| verdict.from == Liveness::Failed && verdict.at < end).count();
    assert_eq!(back, failed);
}

#[test]
fn a_fleet_with_crashes_agrees_with_theory_through_the_whole_path() {
    // Fixed timeout of 2.5 intervals, loss 10 %, no delay: two lost in a row are a mistake.
    let p: f64 = 0.1;
    let group = Group {
        nodes: 10_000,
        heartbeats: 2_000_000,
        crashes: 5_000,
        loss: Loss::Independent(p),
        detector: "fixed:timeout=2.5s".parse().expect("a detector"),
        confirm: Wait::Intervals(3.0),
        ..Group::default()
    };
    let qos = run(&group.into(), |_| {}).qos;
    let recurrence = 1.0 / ((1.0 - p) * p * p);
    let duration = 0.5 + p / (1.0 - p);
    for (name, estimate, theory) in [
        ("E(T_MR)", qos.mistake_recurrence_s, recurrence),
        ("E(T_M)", qos.mistake_duration_s, duration),
        ("P_A", qos.query_accuracy, 1.0 - duration / recurrence),
    ] {
        let (value, error) = (estimate.value.expect(name), estimate.standard_error.expect(name));
        let z = (value - theory) / error;
        assert!(z.abs() < 4.0, "{name}: {value}, theory {theory}, z {z:.2}");
        assert!(error < 0.01 * theory, "{name}: an error of {error} proves nothing");
    }
    assert_eq!(qos.missed, 0);
}

#[test]
fn a_fleet_of_several_groups_weighs_each_by_its_nodes() {
    let group = |name: &str, nodes: u32, beats: u64, loss: &str| Group {
        name: name.into(),
        nodes,
        heartbeats: beats * u64::from(nodes),
        loss: loss.parse().expect("a loss"),
        detector: "fixed:timeout=1.5s".parse().expect("a detector"),
        confirm: "1s".parse().expect("a wait"),
        ..Group::default()
    };
    // The good one is a tenth of the fleet, and two thirds of what there is to observe.
    let groups = vec![group("bad", 90, 1_000, "0.1"), group("good", 10, 20_000, "none")];
    let both = run(&Scenario { groups, ..Scenario::default() }, |_| {});
    let fleet = both.qos.false_failures_per_fleet_day;
    let [bad, good] = [0, 1].map(|group| both.groups[group].false_failures_per_fleet_day);
    let value = fleet.value.expect("both were observed");
    // Two lost in a row are a failure, after 2.5 s: nine in a thousand heartbeats begin one.
    assert!((value / (90.0 * 86_400.0 * 0.009) - 1.0).abs() < 0.1, "{value}");
    assert_eq!(fleet.value, bad.value);
    let (high, alone) = (fleet.ci_high.expect("an end"), bad.ci_high.expect("an end"));
    let never = good.ci_high.expect("it was observed");
    assert!(never > 0.0 && high >= alone && high < alone + never, "what was never seen counts up to its bound");
    let of_one = both.qos.false_failures_per_node_year.value.expect("both were observed");
    assert!((of_one * 100.0 / 365.25 / value - 1.0).abs() < 1e-9);
}

#[test]
fn traffic_is_what_groups_send_while_they_send() {
    let group = |name: &str, nodes: u32, interval: u64, beats: u64| Group {
        name: name.into(),
        nodes,
        interval: Span::from_millis(interval),
        heartbeats: beats * u64::from(nodes),
        ..Group::default()
    };
    // One of 200 s, one of an hour, and a monitor that waits for hours before it calls anybody failed.
    let groups = vec![group("brief", 50, 1_000, 200), group("long", 5, 500, 7_200)];
    let groups: Vec<Group> =
        groups.into_iter().map(|group| Group { confirm: Wait::Span(Span::from_secs(20_000)), ..group }).collect();
    let outcome = run(&Scenario { groups, ..Scenario::default() }, |_| {});
    assert!(outcome.span_s > 20_000.0);
    let rate = outcome.heartbeats_per_second().expect("there are many");
    assert!((rate / 60.0 - 1.0).abs() < 0.01, "{rate}");
    let bytes = outcome.bytes_per_second().expect("there are many") / rate;
    assert!(bytes > 80.0 && bytes < 120.0, "{bytes}");
    let one = run(&Group { heartbeats: 10, ..Group::default() }.into(), |_| {});
    assert_eq!(one.heartbeats_per_second(), Some(1.0));
}

#[test]
fn a_run_that_is_stopped_says_what_it_has() {
    let group = Group { heartbeats: 1_000_000, ..Group::default() };
    let outcome = systole_sim::run::run_while(&group.into(), |progress| progress.sent < 200_000);
    assert!(outcome.stopped && (200_000..300_000).contains(&outcome.heartbeats), "{}", outcome.heartbeats);
    assert!(outcome.nodes[0].up >= Span::from_secs(199_000));
}
