//! What can go wrong with senders, networks and the monitor, one story each, through the public face.

mod common;

use common::watched;
use systole_core::{Instant, Liveness, Span, Withheld};
use systole_sim::run::run;
use systole_sim::scenario::{Group, Phase, Scenario, Troubles};
use systole_sim::truth::Fact;

fn read(text: &str) -> Scenario {
    Scenario::read(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn at(secs: u64) -> Instant {
    Instant::ORIGIN + Span::from_secs(secs)
}

#[test]
fn a_restart_with_a_snapshot_accuses_nobody_and_finds_who_died_meanwhile() {
    let scenario = read(
        r#"
        length = "3m"
        [monitor]
        restart = "60s,down=10s,snapshot=yes"
        [[group]]
        nodes = 100
        incident = "0.1@65s,down=60s"
        "#,
    );
    let (outcome, log) = watched(&scenario);
    assert_eq!((outcome.qos.mistakes, outcome.qos.missed), (0, 0));
    let died = log.facts.iter().filter(|(_, _, fact)| *fact == Fact::Crashed).count() as u64;
    assert!(died > 3 && outcome.qos.crashes == died, "{died}");
    // Waited for anew from the start on: nobody is failed before a full timeout of the new watch.
    let failed = log.verdicts.iter().filter(|verdict| verdict.to == Liveness::Failed && verdict.at < at(125));
    let failed: Vec<Instant> = failed.map(|verdict| verdict.at).collect();
    assert_eq!(failed.len() as u64, died);
    assert!(failed.iter().all(|failed| *failed >= at(76) && *failed <= at(77)), "{failed:?}");
    assert!(outcome.datagrams_dropped > 900, "nobody listened for 10 s: {}", outcome.datagrams_dropped);
}

#[test]
fn a_restart_without_one_knows_nobody_and_misses_who_died_meanwhile() {
    let scenario = read(
        r#"
        length = "3m"
        [monitor]
        restart = "60s,down=10s"
        [[group]]
        nodes = 100
        incident = "0.1@65s,down=60s"
        "#,
    );
    let (outcome, log) = watched(&scenario);
    let died = log.facts.iter().filter(|(_, _, fact)| *fact == Fact::Crashed).count() as u64;
    assert_eq!((outcome.qos.mistakes, outcome.qos.missed, outcome.qos.crashes), (0, died, died));
    let anew = log.verdicts.iter().filter(|verdict| verdict.from == Liveness::Unseen && verdict.at >= at(70));
    assert!(anew.count() >= 100);
}

#[test]
fn a_buffer_that_overflows_in_a_stall_makes_mistakes_that_are_the_monitors_unless_it_is_told() {
    let text =
        |buffer: &str| format!("length = \"2m\"\n[monitor]\nstall = \"20s@60s\"\n{buffer}\n[[group]]\nnodes = 1000\n");
    let patient = run(&read(&text("")), |_| {});
    assert_eq!((patient.qos.mistakes, patient.datagrams_dropped), (0, 0));
    let told = run(&read(&text("buffer = 5000")), |_| {});
    assert_eq!((told.qos.mistakes, told.datagrams_dropped), (0, 15_000));
    assert!(told.caution.withheld(Withheld::Stall) >= 990, "{:?}", told.caution);
    assert_eq!((told.caution.noted("overload"), told.caution.noted("overload_over")), (1, 1));
    let small = run(&read(&text("buffer = 5000\ngates = false")), |_| {});
    assert_eq!((small.datagrams_dropped, small.caution.withheld(Withheld::Stall)), (15_000, 0));
    assert!(small.qos.mistakes >= 990, "{}", small.qos.mistakes);
    assert_eq!(small.qos.mistakes_by_cause.monitor, small.qos.mistakes);
}

#[test]
fn a_monitor_that_is_too_slow_holds_back_its_verdicts_and_drops_what_it_has_no_room_for() {
    let text = |capacity: u32| {
        format!("length = \"1m\"\n[monitor]\ncapacity = {capacity}\nbuffer = 500\n[[group]]\nnodes = 1000\n")
    };
    let enough = run(&read(&text(1_100)), |_| {});
    assert_eq!((enough.qos.mistakes, enough.datagrams_dropped), (0, 0));
    let slow = run(&read(&text(900)), |_| {});
    assert!((5_000..6_500).contains(&slow.datagrams_dropped), "a tenth of 60,000: {}", slow.datagrams_dropped);
}

#[test]
fn a_fleet_in_lock_step_jams_the_line_that_it_shares() {
    let group = |phase| Group {
        nodes: 100,
        heartbeats: 6_000,
        phase,
        uplink: Some("rate=200,queue=60".parse().expect("an uplink")),
        detector: "fixed:timeout=1.5x".parse().expect("a detector"),
        ..Group::default()
    };
    let spread = run(&group(Phase::Spread).into(), |_| {}).qos;
    assert_eq!(spread.mistakes, 0, "half of the line is enough");
    let qos = run(&group(Phase::LockStep).into(), |_| {}).qos;
    // The same 40 of 100 find no room each time, so they were never heard: the others are never missed.
    assert_eq!(qos.mistakes, 0, "{:?}", qos.mistakes_by_cause);
    let jittered = Group { jitter: 0.01, ..group(Phase::LockStep) };
    let qos = run(&jittered.into(), |_| {}).qos;
    assert!(qos.mistakes > 100 && qos.mistakes_by_cause.congestion == qos.mistakes, "{:?}", qos.mistakes_by_cause);
}

#[test]
fn two_senders_with_one_id_are_one_node_to_the_monitor() {
    let group = Group { nodes: 20, clones: 10, heartbeats: 20_000, ..Group::default() };
    let (outcome, log) = watched(&group.into());
    assert_eq!(outcome.qos.mistakes, 0);
    // Ten ids; what the second sender of each says is old news, or the first's is.
    assert!(log.verdicts.iter().all(|verdict| verdict.node < 10));
    assert!(outcome.heartbeats_believed < 11_000, "{}", outcome.heartbeats_believed);
}

#[test]
fn over_a_connection_loss_becomes_silence_and_then_the_whole_backlog() {
    let group = |transport: &str| Group {
        nodes: 50,
        heartbeats: 100_000,
        loss: "0.2".parse().expect("a loss"),
        transport: transport.parse().expect("a transport"),
        detector: "fixed:timeout=1.5x".parse().expect("a detector"),
        ..Group::default()
    };
    let datagrams = run(&group("datagram").into(), |_| {});
    let connection = run(&group("reliable:rto=2s,rto-max=60s").into(), |_| {});
    assert!((78_000..82_000).contains(&datagrams.datagrams), "{}", datagrams.datagrams);
    assert_eq!(connection.datagrams, 100_000, "nothing is lost");
    assert!(connection.qos.mistakes > 1_000, "{}", connection.qos.mistakes);
    let causes = connection.qos.mistakes_by_cause;
    assert_eq!(causes.loss + causes.burst, connection.qos.mistakes, "{causes:?}");
}

#[test]
fn what_is_held_back_is_overtaken_and_not_believed() {
    let group =
        Group { heartbeats: 10_000, reorder: Some("p=0.1,by=2500ms".parse().expect("a detour")), ..Group::default() };
    let outcome = run(&group.into(), |_| {});
    assert_eq!(outcome.datagrams, 10_000);
    assert!((8_700..9_300).contains(&outcome.heartbeats_believed), "{}", outcome.heartbeats_believed);
}

#[test]
fn a_partition_of_the_way_back_changes_nothing_and_one_that_flaps_is_half_a_partition() {
    let mistakes = |partition: &str| {
        let partitions = vec![partition.parse().expect("a partition")];
        let detector = "fixed:timeout=2.5x".parse().expect("a detector");
        let qos =
            run(&Group { nodes: 100, heartbeats: 20_000, partitions, detector, ..Group::default() }.into(), |_| {}).qos;
        assert_eq!(qos.mistakes_by_cause.partition, qos.mistakes);
        qos.mistakes
    };
    assert_eq!(mistakes("1@60s..100s,direction=down"), 0);
    assert_eq!(mistakes("1@60s..100s,direction=up"), 100);
    // Cut from 60 to 65, 70 to 75, 80 to 85 and 90 to 95 s.
    assert_eq!(mistakes("1@60s..100s,flap=5s"), 400);
}

#[test]
fn stalls_at_random_are_the_same_under_the_same_seed_and_accuse_nobody() {
    let troubles = Troubles { stalls: vec!["every=20s,length=5s".parse().expect("stalls")], ..Troubles::default() };
    // Down for as long as finding them can take with two long stalls in a row.
    let down = Some(Span::from_secs(60));
    let group = Group { nodes: 100, heartbeats: 30_000, crashes: 50, down, ..Group::default() };
    let scenario = Scenario { monitor: troubles, ..group.into() };
    let (one, other) = (run(&scenario, |_| {}), run(&scenario, |_| {}));
    assert_eq!(one, other);
    assert_eq!((one.qos.mistakes, one.qos.missed), (0, 0));
    let late = one.qos.detection_time_s.max.expect("crashes were found");
    assert!(late > scenario.bound().secs_f64() + 1.0, "some were found only after a stall: {late}");
}

#[test]
fn over_a_connection_a_node_that_comes_back_is_heard_at_once() {
    // Cut off until 60 s and gone at 61 s, when its connection waits until 102 s to repeat what was lost.
    let scenario = read(
        r#"
        length = "3m"
        [[group]]
        nodes = 50
        phase = "lock-step"
        transport = "reliable:rto=200ms,rto-max=60s"
        partition = "1@0s..60s"
        incident = "1@61s,down=5s"
        "#,
    );
    let (_, log) = watched(&scenario);
    let first = |node| log.verdicts.iter().find(|verdict| verdict.node == node).map(|verdict| verdict.at);
    assert!((0..50).all(|node| first(node) == Some(at(66))), "{:?}", first(0));
}

#[test]
fn who_goes_to_and_fro_is_kept_quiet_and_told_once() {
    let text = |flapping: bool| {
        format!(
            "length = \"30m\"\n[monitor]\nflapping = {flapping}\n[[group]]\nnodes = 20\n\
             partition = \"0.5@60s..600s,exact=yes,flap=8s\"\n"
        )
    };
    let (loud, quiet) = (watched(&read(&text(false))), watched(&read(&text(true))));
    let (counted, caution) = (loud.1.verdicts.len(), quiet.0.caution);
    assert!(quiet.1.verdicts.len() * 2 < counted, "{} of {counted}", quiet.1.verdicts.len());
    assert_eq!((caution.noted("flapping"), caution.noted("steady")), (10, 10));
    assert!(caution.withheld(Withheld::Flapping) > 0 && loud.0.caution.withheld(Withheld::Flapping) == 0);
    // What is told in the end is what is true.
    let end = at(1_790);
    for node in 0..20 {
        let last = quiet.1.verdicts.iter().rfind(|verdict| verdict.node == node && verdict.at < end);
        assert_eq!(last.map(|verdict| verdict.to), Some(Liveness::Alive), "{node}");
    }
}

#[test]
fn a_second_sender_with_a_nodes_name_is_told_once() {
    // One of them restarts, so that they differ by their incarnation and neither is a duplicate.
    let group = Group { nodes: 20, clones: 10, heartbeats: 20_000, ..Group::default() };
    let incident = "0.5@60s,down=5s".parse().expect("an incident");
    let outcome = run(&Group { incidents: vec![incident], ..group }.into(), |_| {});
    assert!((1..=10).contains(&outcome.caution.noted("conflict")), "{:?}", outcome.caution);
}
