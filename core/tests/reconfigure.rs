//! Other settings while everything runs: nobody is lost, nobody is accused because of them, and what
//! comes of them holds from then on.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Log, ms, secs, turn_until};
use proptest::prelude::*;
use systole_core::config::{Config, FlapSettings, GuardSettings, Limits, Match, Plan, Rule, Settings};
use systole_core::event::{Sink, Transition};
use systole_core::{Backlog, Datagram, Instant, Liveness, Monitor, NodeId, NodeIx, NotReconfigured, Pattern, Reject};

use Liveness::{Alive, Failed, Suspect, Unseen};

fn start() -> Instant {
    Instant::from_nanos(1_000_000_000_000)
}

fn settings(detector: &str, confirm: &str) -> Settings {
    Settings {
        detector: detector.parse().expect(detector),
        confirm: confirm.parse().expect(confirm),
        ..Settings::default()
    }
}

fn rule(name: &str, settings: Settings, node: Option<&str>, nodes: &[&str]) -> Rule {
    let matches = node.map(|node| Match { node: Some(Pattern::new(node)), ..Match::default() }).into_iter().collect();
    Rule { name: name.into(), settings, matches, nodes: nodes.iter().map(|node| (*node).into()).collect() }
}

fn plan(default: Settings, groups: Vec<Rule>) -> Plan {
    Plan { default, groups, ..Plan::default() }
}

fn config(plan: Plan) -> Config {
    Config::new(plan).expect("a sound plan")
}

fn beat(monitor: &mut Monitor, at: Instant, line: &str, log: &mut Log) {
    let datagram = Datagram::new(line.as_bytes(), at);
    monitor.turn(at, &[datagram], Backlog::Drained, log);
}

fn reconfigure(monitor: &mut Monitor, plan: Plan, now: Instant, log: &mut Log) {
    monitor.reconfigure(config(plan), now).expect("it is settled");
    while !monitor.is_settled() {
        monitor.turn(now, &[], Backlog::Drained, log);
    }
}

fn group<'m>(monitor: &'m Monitor, name: &str) -> Option<&'m str> {
    monitor.find(&NodeId::of(name)).and_then(|ix| monitor.node(ix)).map(|node| node.group.name())
}

fn told(log: &Log, node: &str) -> Vec<(Instant, Liveness)> {
    log.told.iter().filter(|told| told.node == node).map(|told| (told.at, told.to)).collect()
}

#[test]
fn a_shorter_timeout_counts_from_the_change_on() {
    let (mut monitor, mut log) =
        (Monitor::new(config(plan(settings("fixed:timeout=60s", "60s"), vec![])), start()), Log::default());
    beat(&mut monitor, start(), "hb a interval=1s", &mut log);
    beat(&mut monitor, start() + secs(30), "hb b interval=1s", &mut log);
    let change = start() + secs(40);

    reconfigure(&mut monitor, plan(settings("fixed:timeout=5s", "2s"), vec![]), change, &mut log);
    turn_until(&mut monitor, change + secs(100), &mut log);

    let expected = [(start(), Alive), (change + secs(5), Suspect), (change + secs(7), Failed)];
    assert_eq!(told(&log, "a"), expected, "silent for 40 s, which was allowed");
    assert_eq!(told(&log, "b")[1..], expected[1..]);
}

#[test]
fn no_reprieve_outlasts_the_former_wait() {
    let (mut monitor, mut log) =
        (Monitor::new(config(plan(settings("fixed:timeout=60s", "60s"), vec![])), start()), Log::default());
    beat(&mut monitor, start(), "hb a interval=1s", &mut log);
    let change = start() + secs(59);
    reconfigure(&mut monitor, plan(settings("fixed:timeout=50s", "20s"), vec![]), change, &mut log);
    turn_until(&mut monitor, change + secs(100), &mut log);
    assert_eq!(told(&log, "a")[1..], [(start() + secs(60), Suspect), (start() + secs(80), Failed)]);
}

#[test]
fn a_suspect_has_its_new_time_to_confirm_from_the_change_on() {
    let (mut monitor, mut log) =
        (Monitor::new(config(plan(settings("fixed:timeout=10s", "60s"), vec![])), start()), Log::default());
    beat(&mut monitor, start(), "hb a interval=1s", &mut log);
    let change = start() + secs(40);
    turn_until(&mut monitor, change, &mut log);
    assert_eq!(told(&log, "a").last(), Some(&(start() + secs(10), Suspect)));
    reconfigure(&mut monitor, plan(settings("fixed:timeout=10s", "5s"), vec![]), change, &mut log);
    turn_until(&mut monitor, change + secs(100), &mut log);
    assert_eq!(told(&log, "a").last(), Some(&(change + secs(5), Failed)));
}

#[test]
fn a_longer_timeout_holds_at_once_and_another_heartbeat_ends_every_reprieve() {
    let (mut monitor, mut log) =
        (Monitor::new(config(plan(settings("fixed:timeout=5s", "2s"), vec![])), start()), Log::default());
    beat(&mut monitor, start(), "hb a interval=1s", &mut log);
    let change = start() + secs(4);
    reconfigure(&mut monitor, plan(settings("fixed:timeout=60s", "2s"), vec![]), change, &mut log);
    turn_until(&mut monitor, start() + secs(50), &mut log);
    assert_eq!(told(&log, "a").len(), 1);
    reconfigure(&mut monitor, plan(settings("fixed:timeout=5s", "2s"), vec![]), start() + secs(50), &mut log);
    beat(&mut monitor, start() + secs(51), "hb a interval=1s", &mut log);
    turn_until(&mut monitor, start() + secs(100), &mut log);
    assert_eq!(told(&log, "a")[1..], [(start() + secs(56), Suspect), (start() + secs(58), Failed)]);
}

#[test]
fn nodes_go_where_the_new_rules_put_them_and_are_waited_for_as_there() {
    let slow = settings("fixed:timeout=60s", "60s");
    let (mut monitor, mut log) = (Monitor::new(config(plan(slow, vec![])), start()), Log::default());
    for line in ["hb edge-1 interval=1s", "hb web-1 interval=1s group=web", "hb other interval=1s"] {
        beat(&mut monitor, start(), line, &mut log);
    }
    let quick = settings("fixed:timeout=5s", "2s");
    let change = start() + secs(10);
    reconfigure(&mut monitor, plan(slow, vec![rule("edge", quick, Some("edge-*"), &["other"])]), change, &mut log);
    assert_eq!(
        ["edge-1", "web-1", "other"].map(|name| group(&monitor, name)),
        [Some("edge"), Some("web"), Some("edge")]
    );
    turn_until(&mut monitor, start() + secs(50), &mut log);
    for name in ["edge-1", "other"] {
        assert_eq!(told(&log, name)[1..], [(change + secs(5), Suspect), (change + secs(7), Failed)], "{name}");
    }
    assert_eq!(told(&log, "web-1").len(), 1);

    // The group goes, and with it what it said; a failed node moves as well.
    reconfigure(&mut monitor, plan(slow, vec![]), start() + secs(50), &mut log);
    assert_eq!(
        ["edge-1", "web-1", "other"].map(|name| group(&monitor, name)),
        [Some("default"), Some("web"), Some("default")]
    );
    let edge = monitor.groups().iter().find(|group| group.name() == "edge").expect("it is still known");
    assert!(!edge.configured() && edge.is_empty() && *edge.settings() == slow);
}

#[test]
fn who_is_listed_anew_is_expected_and_who_no_longer_is_and_never_came_is_forgotten() {
    let one = settings("fixed:timeout=5s", "2s");
    let listing = |nodes: &[&str]| plan(Settings::default(), vec![rule("edge", one, None, nodes)]);
    let (mut monitor, mut log) = (Monitor::new(config(listing(&["gone", "heard", "stays"])), start()), Log::default());
    beat(&mut monitor, start(), "hb heard interval=1s", &mut log);
    let change = start() + secs(30);
    reconfigure(&mut monitor, listing(&["stays", "new"]), change, &mut log);
    assert_eq!(
        ["gone", "heard", "stays", "new"].map(|name| group(&monitor, name)),
        [None, Some("default"), Some("edge"), Some("edge")]
    );
    turn_until(&mut monitor, change + secs(100), &mut log);
    let grace = one.grace;
    assert_eq!(told(&log, "new"), [(change + grace, Failed)]);
    assert_eq!(told(&log, "stays"), [(start() + grace, Failed)], "its grace goes on");
    assert!(told(&log, "gone").is_empty());
}

#[test]
fn limits_hold_for_who_comes_from_then_on() {
    let (mut monitor, mut log) = (Monitor::new(Config::default(), start()), Log::default());
    for line in ["hb a interval=1s", "hb b interval=1s", "hb c interval=1s"] {
        beat(&mut monitor, start(), line, &mut log);
    }
    let limits = Limits { max_nodes: 2, interval_max: ms(500), ..Limits::default() };
    reconfigure(&mut monitor, Plan { limits, ..Plan::default() }, start(), &mut log);
    beat(&mut monitor, start(), "hb d interval=1s", &mut log);
    assert_eq!((monitor.len(), monitor.counters().rejected(Reject::TableFull)), (3, 1));
    let node = monitor.node(monitor.find(&NodeId::of("a")).expect("it stays")).expect("it stays");
    assert_eq!(node.evidence.interval, ms(500));
}

#[test]
fn one_change_at_a_time_and_a_million_nodes_in_slices() {
    let (mut monitor, mut log) = (Monitor::new(Config::default(), start()), Log::default());
    for i in 0..10_000 {
        beat(&mut monitor, start(), &format!("hb n{i} interval=1s"), &mut log);
    }
    let other = || config(plan(settings("fixed:timeout=5s", "2s"), vec![]));
    monitor.reconfigure(other(), start()).expect("it is settled");
    assert!(matches!(monitor.reconfigure(other(), start()), Err(NotReconfigured::Unsettled(_))));
    let mut turns = 0;
    while !monitor.is_settled() {
        assert_eq!(monitor.poll_timeout(), Some(start()), "there is more to do at once");
        monitor.turn(start(), &[], Backlog::Drained, &mut log);
        turns += 1;
    }
    assert_eq!(turns, 5, "2,048 at a time");
    monitor.reconfigure(other(), start()).expect("it is settled");
    assert!(monitor.is_settled(), "what changes nothing is no work");
}

/// Nobody that beats is ever accused; what is told is counted.
#[derive(Default)]
struct Strict {
    accused: Vec<String>,
}

impl Sink for Strict {
    fn transition(&mut self, transition: &Transition<'_>) {
        let name = transition.called.to_string();
        if name.starts_with("beats") && matches!(transition.to, Suspect | Failed) {
            self.accused.push(format!("{name} {:?} {:?}", transition.to, transition.evidence));
        }
    }
}

fn some_settings() -> impl Strategy<Value = Settings> {
    let detectors = prop::sample::select(vec![
        "fixed:timeout=2s",
        "fixed:timeout=60s",
        "fixed:timeout=3.25x",
        "missed:k=2",
        "chen",
        "chen:margin=1.5x",
        "two-window",
        "phi",
        "bertier",
    ]);
    let confirms = prop::sample::select(vec!["0s", "1s", "3x", "2m"]);
    let intervals = prop::sample::select(vec![None, Some(secs(1))]);
    (detectors, confirms, intervals, 1..90u64).prop_map(|(detector, confirm, interval, grace)| Settings {
        interval,
        grace: secs(grace),
        ..settings(detector, confirm)
    })
}

fn plans() -> impl Strategy<Value = Plan> {
    let names = prop::sample::subsequence(vec!["default", "a", "b", "c"], 0..=4);
    let groups = names.prop_flat_map(|names| {
        let rules = names.into_iter().map(|name| {
            let matches = prop::option::of(prop::sample::select(vec!["beats-?", "*-1*", "dies-*", "*"]));
            (some_settings(), matches).prop_map(move |(settings, node)| rule(name, settings, node, &[]))
        });
        rules.collect::<Vec<_>>()
    });
    let listed = prop::collection::btree_set(
        prop::sample::select(vec!["beats-3", "dies-1", "never-1", "never-2", "never-3"]),
        0..5,
    );
    (some_settings(), groups.prop_shuffle(), listed).prop_map(|(default, mut groups, listed)| {
        if let Some(first) = groups.first_mut() {
            first.nodes = listed.into_iter().map(Into::into).collect();
        }
        plan(default, groups)
    })
}

/// Counts anew what the groups count.
fn recount(monitor: &Monitor) {
    let mut counted = BTreeMap::<(String, &str), u32>::new();
    for node in (0..monitor.places()).filter_map(|place| monitor.node(NodeIx::new(place))) {
        *counted.entry((node.group.name().to_owned(), node.liveness.name())).or_default() += 1;
        assert!(node.due.is_some() == matches!(node.liveness, Unseen | Alive | Suspect));
    }
    let mut said = BTreeMap::new();
    for group in monitor.groups() {
        for liveness in Liveness::ALL.into_iter().filter(|liveness| group.count(*liveness) > 0) {
            said.insert((group.name().to_owned(), liveness.name()), group.count(liveness));
        }
    }
    assert_eq!(counted, said);
}

proptest! {
    #[test]
    fn no_change_at_any_moment_accuses_who_beats_or_miscounts(
        plans in prop::collection::vec((plans(), 0..8_000u64, any::<bool>()), 1..5),
        lines in prop::collection::vec((0..3u8, any::<bool>()), 12),
        guard_too: bool,
    ) {
        let guarded = |plan: Plan| {
            let labels = vec!["zone".into()];
            let guard = GuardSettings { labels, longest: secs(60), rate: 1e6, ..GuardSettings::default() };
            config(Plan { guard: guard_too.then_some(guard), flapping: guard_too.then(FlapSettings::default), ..plan })
        };
        let mut monitor = Monitor::new(guarded(Plan::default()), start());
        let mut sink = Strict::default();
        // When each change comes, one after the other.
        let mut at = start();
        let mut changes: Vec<(Instant, Plan, bool)> = plans.into_iter().map(|(plan, wait, busy)| {
            at = at + ms(wait);
            (at, plan, busy)
        }).collect();
        changes.reverse();
        let mut now = start();
        while now < start() + secs(40) {
            let heard = now.since(start()).millis().is_multiple_of(1_000);
            for (i, (group, labelled)) in lines.iter().enumerate().filter(|_| heard) {
                let dies = i >= 6;
                if dies && now > start() + secs(5) {
                    continue;
                }
                let name = if dies { format!("dies-{i}") } else { format!("beats-{i}") };
                let declared = ["", " group=a", " group=z"][usize::from(*group)];
                let label = if *labelled { " l.zone=eu" } else { "" };
                let line = format!("hb {name} interval=1s{declared}{label}");
                let datagram = Datagram::new(line.as_bytes(), now);
                monitor.turn(now, &[datagram], Backlog::More, &mut sink);
            }
            if changes.last().is_some_and(|(at, _, _)| *at <= now) && monitor.is_settled() {
                let (_, plan, busy) = changes.pop().expect("there is one");
                monitor.reconfigure(guarded(plan), now).expect("it is settled");
                if busy {
                    monitor.turn(now, &[], Backlog::More, &mut sink);
                }
            }
            monitor.turn(now, &[], Backlog::Drained, &mut sink);
            recount(&monitor);
            prop_assert!(sink.accused.is_empty(), "{:?}", sink.accused);
            if let Some(wake) = monitor.poll_timeout() {
                prop_assert!(wake > now || !monitor.is_settled(), "it has done what is due");
            }
            now = now + ms(125);
        }
        prop_assert!(changes.is_empty());
        // Long after, who died is failed and who never came is gone or failed.
        let mut log = Log::default();
        turn_until(&mut monitor, now + secs(900), &mut log);
        for node in (0..monitor.places()).filter_map(|place| monitor.node(NodeIx::new(place))) {
            prop_assert_eq!(node.liveness, Failed, "{}", node.called);
        }
        recount(&monitor);
    }

    #[test]
    fn a_silence_that_was_allowed_until_the_change_fails_nobody_at_once(
        before in some_settings(), after in some_settings(), silent in 0..30_000u64,
    ) {
        let mut log = Log::default();
        let mut monitor = Monitor::new(config(plan(before, vec![])), start());
        beat(&mut monitor, start(), "hb a interval=1s", &mut log);
        let change = start() + ms(silent);
        turn_until(&mut monitor, change, &mut log);
        let known = told(&log, "a").len();
        reconfigure(&mut monitor, plan(after, vec![]), change, &mut log);
        turn_until(&mut monitor, change + secs(600), &mut log);
        let later = &told(&log, "a")[known..];
        let interval = secs(1);
        let patience = after.detector.patience(&after.detector.start(interval), interval);
        let confirm = after.confirm.of(interval);
        let before_patience = before.detector.patience(&before.detector.start(interval), interval);
        let allowed_before = start() + before_patience;
        for (at, to) in later {
            let earliest = match to {
                Suspect => (change + patience).min(allowed_before),
                Failed if later.len() == 2 => (change + patience).min(allowed_before) + confirm,
                Failed => (change + confirm).min(allowed_before + before.confirm.of(interval)),
                Unseen | Alive | Liveness::Left => unreachable!("nothing is heard"),
            };
            prop_assert!(*at >= earliest, "{to:?} {} too early", earliest.since(*at));
            prop_assert!(at.since(earliest.max(start() + patience)) <= secs(150) , "{to:?} too late");
        }
    }
}

/// Fifty thousand nodes, or a million: `SYSTOLE_LONG=1 cargo test --release -p systole-core --test reconfigure many -- --nocapture`.
#[test]
fn many_nodes_change_without_a_long_turn() {
    let count = if std::env::var_os("SYSTOLE_LONG").is_some() { 1_000_000 } else { 50_000 };
    let mut sink = Strict::default();
    let mut monitor = Monitor::new(Config::default(), start());
    for i in 0..count {
        let line = format!("hb node-{i} interval=10s");
        let datagram = Datagram::new(line.as_bytes(), start());
        monitor.turn(start(), &[datagram], Backlog::More, &mut sink);
    }
    let nodes: Vec<String> = (0..count).map(|i| format!("node-{}", i * 2)).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let quick = settings("fixed:timeout=20s", "2s");
    for (what, next) in [
        ("other settings", config(plan(quick, vec![]))),
        (
            "100 rules",
            config(plan(
                Settings::default(),
                (0..100).map(|i| rule(&format!("g{i}"), quick, Some(&format!("*-{i}??")), &[])).collect(),
            )),
        ),
        ("as many listed", config(plan(Settings::default(), vec![rule("all", quick, None, &nodes)]))),
    ] {
        let begun = processor_time();
        let former = monitor.reconfigure(next, start()).expect("it is settled");
        let (first, mut longest, mut turns) = (processor_time() - begun, Duration::ZERO, 0);
        while !monitor.is_settled() {
            let turn = processor_time();
            monitor.turn(start(), &[], Backlog::Drained, &mut sink);
            longest = longest.max(processor_time() - turn);
            turns += 1;
        }
        let all = processor_time() - begun;
        println!("{count} nodes, {what}: {first:?}, then {turns} turns, the longest {longest:?}, {all:?} in all");
        assert!(turns > 1 && longest < Duration::from_millis(10), "{what}: {longest:?} of {turns} turns");
        drop(former);
    }
}

/// What this thread has had of the processor, on Linux: a busy machine adds nothing to it.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}
