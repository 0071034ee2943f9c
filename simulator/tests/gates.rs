//! Laws of the gates and the guard: thirty fleets of random shape, or with `SYSTOLE_LONG=1` a thousand.
//!
//! Everything about a fleet follows from its seed, so that one seed repeats it:
//! `SYSTOLE_SEED=17 cargo test -p systole-sim --test gates`, which a seed that fails says too.

mod common;

use std::collections::BTreeMap;

use common::{Log, watched};
use systole_core::config::GuardSettings;
use systole_core::{Instant, Liveness, Span, Withheld};
use systole_sim::random::{Actor, Purpose, Stream};
use systole_sim::run::Outcome;
use systole_sim::scenario::{Gates, Group, Scenario, Stall, Troubles};
use systole_sim::truth::{Fact, Truth};

const TICK: Span = Span::from_millis(1);

/// Longer than any run here.
const FOR_GOOD: &str = "100h";

/// Calls `law` with each seed and numbers drawn from it.
fn with_each_seed(name: &str, mut law: impl FnMut(u64, &mut Draw)) {
    let one = std::env::var("SYSTOLE_SEED").ok().map(|seed| seed.parse::<u64>().expect("a whole number"));
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None if std::env::var_os("SYSTOLE_LONG").is_some() => 0..1_000,
        None => 0..30,
    };
    for seed in seeds {
        let _repeat = Repeat { name, seed };
        law(seed, &mut Draw(Stream::new(seed, Actor::node(0, 0), Purpose::Split)));
    }
}

/// Says how to repeat a seed that failed.
struct Repeat<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Repeat<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { name, seed } = self;
            eprintln!(
                "seed {seed} fails; repeat it: SYSTOLE_SEED={seed} cargo test -p systole-sim --test gates {name}"
            );
        }
    }
}

struct Draw(Stream);

impl Draw {
    fn of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.between(0, N as u64) as usize]
    }

    /// A whole number from `least` to below `end`.
    fn between(&mut self, least: u64, end: u64) -> u64 {
        least + self.0.bits() % (end - least)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.0.chance(probability)
    }

    /// A group without losses, of any detector and any interval.
    fn group(&mut self, name: &str, nodes: u32) -> Group {
        let interval = Span::from_millis(self.of([500, 1_000, 2_000, 5_000]));
        let delay = format!("uniform:0ms..{}", Span::from_millis(interval.millis() / 10).compact());
        Group {
            name: name.into(),
            nodes,
            interval,
            jitter: self.of([0.0, 0.1]),
            delay: delay.parse().expect("a delay"),
            detector: self
                .of(["chen", "fixed:timeout=3x", "missed:k=3", "two-window", "phi"])
                .parse()
                .expect("a detector"),
            ..Group::default()
        }
    }
}

/// The group with so many heartbeats as last for `length`.
fn lasting(group: Group, length: Span) -> Group {
    let heartbeats = length.nanos().div_ceil(group.interval.nanos()) * u64::from(group.nodes);
    Group { heartbeats, ..group }
}

/// From a crash to the failure, at most, if nothing is withheld.
fn in_time(group: &Group) -> Span {
    let delay = Span::from_millis(group.interval.millis() / 10);
    group.bound() + delay + TICK + group.confirm.of(group.interval)
}

/// What happened to one node and what was believed of it, in order.
#[derive(Default)]
struct Story {
    crashes: Vec<Crash>,
    /// Failed while it was up and had been heard in that life.
    falsely: Vec<Instant>,
    suspected: usize,
    last: Option<Liveness>,
}

#[derive(Clone, Copy)]
struct Crash {
    at: Instant,
    /// When the monitor last said that it was there; nothing if it didn't believe so any more.
    known: Option<Instant>,
    failed: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Line {
    Fact(Fact),
    Believed(Liveness),
}

fn stories(log: &Log) -> BTreeMap<u32, Story> {
    let facts = log.facts.iter().map(|(at, node, fact)| (*node, *at, 0, Line::Fact(*fact)));
    let beliefs = log.verdicts.iter().map(|verdict| (verdict.node, verdict.at, 1, Line::Believed(verdict.to)));
    let mut lines: Vec<_> = facts.chain(beliefs).collect();
    lines.sort_by_key(|(node, at, order, _)| (*node, *at, *order));
    let mut stories: BTreeMap<u32, Story> = BTreeMap::new();
    let (mut truth, mut heard, mut told) = (Truth::Unborn, false, Instant::ORIGIN);
    for (node, at, _, line) in lines {
        let story = stories.entry(node).or_insert_with(|| {
            truth = Truth::Unborn;
            Story::default()
        });
        match line {
            Line::Fact(fact) => {
                truth = truth.after(fact, at);
                match fact {
                    Fact::Began => heard = false,
                    Fact::Crashed => {
                        let believed = matches!(story.last, Some(Liveness::Alive | Liveness::Suspect));
                        story.crashes.push(Crash { at, known: believed.then_some(told), failed: None });
                    }
                    Fact::Left | Fact::Stopped => {}
                }
            }
            Line::Believed(belief) => {
                (story.last, told) = (Some(belief), at);
                heard |= belief == Liveness::Alive;
                story.suspected += usize::from(belief == Liveness::Suspect);
                match (truth, belief) {
                    (Truth::Up(_), Liveness::Failed) if heard => story.falsely.push(at),
                    (Truth::Crashed(_), Liveness::Failed | Liveness::Alive) => {
                        let crash = story.crashes.last_mut().expect("it has crashed");
                        crash.failed = (belief == Liveness::Failed).then_some(at);
                    }
                    _ => {}
                }
            }
        }
    }
    stories
}

fn notes(log: &Log) -> Vec<(&str, &str)> {
    log.notes.iter().map(|note| (note.name, note.about.as_str())).collect()
}

fn noted(log: &Log, name: &str) -> Instant {
    log.notes.iter().find(|note| note.name == name).unwrap_or_else(|| panic!("no {name} in {:?}", log.notes)).at
}

/// A fleet without losses whose monitor is in all kinds of trouble for a while, and when that is over.
fn in_trouble(seed: u64, draw: &mut Draw) -> (Scenario, Instant) {
    let nodes = draw.between(20, 120) as u32;
    let group = draw.group("fleet", nodes);
    let intervals = |tenths: u64| Span::from_millis(group.interval.millis() * tenths / 10);
    let mut monitor = Troubles::default();
    let mut over = Span::ZERO;
    for _ in 0..draw.between(0, 4) {
        let (at, length) = (intervals(draw.between(50, 600)), intervals(draw.between(5, 200)));
        monitor.stalls.push(format!("{}@{}", length.compact(), at.compact()).parse().expect("a stall"));
        over = over.max(at + length);
    }
    let small = draw.chance(0.6);
    if small {
        monitor.buffer = Some(draw.between(u64::from(nodes), u64::from(nodes) * 10) as u32);
    }
    if draw.chance(0.4) {
        let rate = f64::from(nodes) / group.interval.secs_f64();
        monitor.capacity = Some((rate * 2.0) as u32);
        // Twenty intervals of arrivals, and those that come meanwhile, at twice the rate.
        over = over + intervals(210);
    }
    if draw.chance(0.3) {
        let (at, down) = (over + intervals(draw.between(1, 100)), intervals(draw.between(0, 50)));
        let snapshot = draw.of(["yes", "no"]);
        let restart = format!("{},down={},snapshot={snapshot}", at.compact(), down.compact());
        monitor.restarts.push(restart.parse().expect("a restart"));
        over = at + down;
    }
    if draw.chance(0.3) {
        let at = intervals(draw.between(50, 900));
        let step = format!("{}{}s@{}", draw.of(["+", "-"]), draw.between(1, 10_000), at.compact());
        monitor.clock_steps.push(step.parse().expect("a step"));
        over = over.max(at + group.interval);
    }
    let crashes = u64::from(nodes / 4);
    let down = Some(Span::from_secs(100 * 3_600));
    let group = lasting(Group { crashes, down, ..group }, over + intervals(1_500));
    (Scenario { seed, monitor, ..group.into() }, Instant::ORIGIN + over)
}

fn once(stall: &Stall) -> (Instant, Span) {
    match stall {
        Stall::Once { at, length } => (Instant::ORIGIN + *at, *length),
        Stall::Random(_) => unreachable!("none is drawn"),
    }
}

/// (a) A monitor that knows of its troubles fails nobody who is alive, and finds each of the dead within the bound and
/// what it has excused.
#[test]
fn a_monitor_in_trouble_fails_nobody_for_it_and_finds_the_dead() {
    let (mut found, mut excused, mut without, mut dropped) = (0, 0, 0, 0);
    with_each_seed("a_monitor_in_trouble", |seed, draw| {
        let (scenario, over) = in_trouble(seed, draw);
        let (outcome, log) = watched(&scenario);
        let group = &scenario.groups[0];
        let monitor = &scenario.monitor;
        let Troubles { stalls, restarts, clock_steps, .. } = monitor;
        let stalls: Vec<(Instant, Span)> = stalls.iter().map(once).collect();
        // Without a buffer it loses only what arrives while it isn't there.
        let lost = monitor.buffer.is_some() && outcome.datagrams_dropped > 0;
        // The first trouble is no illness; each further one may give suspects their time to confirm once more.
        // A stall is one, and that the buffer overflowed meanwhile another.
        let troubles = stalls.len() * (1 + usize::from(lost)) + clock_steps.len();
        let troubles = troubles.saturating_sub(1).min(8) as u64;
        let well = over + Span::from_secs(10) * (troubles + 2);
        for (node, story) in stories(&log) {
            assert_eq!(story.falsely, [], "node {node} was alive");
            for crash in &story.crashes {
                let Some(told) = crash.known else { continue };
                let bound = if crash.at > well {
                    crash.at + in_time(group)
                } else {
                    // The silence began up to two intervals before, and what was missed of it counts.
                    let since = crash.at.since(Instant::ORIGIN + group.interval * 2);
                    let missed = stalls.iter().filter(|(at, length)| *at + *length > Instant::ORIGIN + since);
                    let stalled = missed.fold(Span::ZERO, |sum, (_, length)| sum + *length);
                    let unwell = group.confirm.of(group.interval) * troubles;
                    let stepped = if clock_steps.is_empty() { Span::ZERO } else { group.interval };
                    let late = in_time(group) + stalled + unwell + stepped;
                    // What was lost, or took its time to be read, excuses whoever was silent until it was over.
                    let began_anew = restarts.iter().any(|restart| Instant::ORIGIN + restart.at < crash.at + late);
                    let deaf = lost || monitor.capacity.is_some() || began_anew;
                    if deaf { crash.at.max(over) + late + group.interval } else { crash.at + late }
                };
                // A monitor that begins without a snapshot knows those whom it hears itself, and not those who died
                // before that. Whom the former one had time to find it must have found.
                if log.forgotten.iter().any(|forgotten| told < *forgotten && *forgotten <= bound) {
                    continue;
                }
                let failed =
                    crash.failed.unwrap_or_else(|| panic!("node {node}, dead since {:?}, not found", crash.at));
                assert!(failed <= bound, "node {node}, dead since {:?}: {failed:?}, not by {bound:?}", crash.at);
                found += 1;
            }
        }
        // Of a backlog turns are counted, not verdicts.
        let reasons = Withheld::ALL.iter().filter(|reason| **reason != Withheld::Backlog);
        excused += reasons.map(|reason| outcome.caution.withheld(*reason)).sum::<u64>();
        dropped += outcome.datagrams_dropped;
        let blind = Scenario { gates: Gates { told: false, ..Gates::default() }, ..scenario };
        without += stories(&watched(&blind).1).values().map(|story| story.falsely.len()).sum::<usize>();
    });
    eprintln!(
        "{found} dead found, 0 living failed; {excused} verdicts excused, {dropped} datagrams dropped; \
         without gates {without} living failed"
    );
    assert!(std::env::var_os("SYSTOLE_SEED").is_some() || (found > 100 && excused > 100 && without > 100));
}

/// (b) A part of a group that is cut off is one event: nobody of it is failed, and who dies elsewhere is found as ever.
#[test]
fn a_cut_is_one_event_and_fails_nobody() {
    let (mut held, mut elsewhere) = (0, 0);
    with_each_seed("a_cut_is_one_event", |seed, draw| {
        for share in [16, 50, 100] {
            let nodes = 50 * draw.between(1, 5) as u32;
            let zone = draw.group("zone", nodes);
            let from = zone.interval * draw.between(30, 60) + Span::from_millis(draw.between(0, 2_000));
            let until = from + zone.interval * draw.between(15, 120) + Span::from_millis(draw.between(0, 2_000));
            let cut = format!("{}@{}..{},exact=yes", f64::from(share) / 100.0, from.compact(), until.compact());
            let zone = Group { partitions: vec![cut.parse().expect("a partition")], ..zone };
            let length = until + Span::from_secs(120);
            let others = draw.between(50, 150) as u32;
            let other = Group { crashes: draw.between(1, 5), ..draw.group("elsewhere", others) };
            let groups = vec![lasting(zone, length), lasting(other, length)];
            let gates = Gates { guard: Some(GuardSettings::default()), ..Gates::default() };
            let scenario = Scenario { seed, groups, gates, ..Scenario::default() };
            let (outcome, log) = watched(&scenario);
            let (found, silent) = of_the_cut(&scenario, &outcome, &log);
            assert_eq!(silent as u32, nodes * share / 100, "{share} % of {nodes}");
            assert_eq!(notes(&log), [("hold", "group zone"), ("hold_recovered", "group zone")], "{share} %");
            held += silent;
            elsewhere += found;
        }
    });
    eprintln!("{held} nodes cut off and held, 0 of them failed; {elsewhere} deaths elsewhere found in time");
    assert!(std::env::var_os("SYSTOLE_SEED").is_some() || elsewhere > 50);
}

/// How many died elsewhere and were found, and how many of the zone fell silent and came back.
fn of_the_cut(scenario: &Scenario, outcome: &Outcome, log: &Log) -> (usize, usize) {
    let [zone, other] = &scenario.groups[..] else { panic!("two groups") };
    let (mut found, mut silent) = (0, 0);
    let end = Instant::ORIGIN + Span::from_millis((outcome.span_s * 1e3) as u64);
    for (node, story) in stories(log) {
        assert_eq!(story.falsely, [], "node {node} was alive");
        if node < zone.nodes {
            assert_eq!(story.last, Some(Liveness::Alive), "node {node} of the zone is back");
            silent += usize::from(story.suspected > 0);
        }
        for crash in story.crashes.iter().filter(|crash| crash.known.is_some() && crash.at + in_time(other) < end) {
            let failed = crash.failed.unwrap_or_else(|| panic!("node {node} died at {:?}", crash.at));
            assert!(failed <= crash.at + in_time(other), "node {node} died at {:?}: {failed:?}", crash.at);
            found += 1;
        }
    }
    (found, silent)
}

/// (c) A hold ends: after `longest` verdicts are given, so many a second, to the last one.
#[test]
fn a_hold_ends_after_its_time_and_then_as_fast_as_is_allowed() {
    let mut lost = 0;
    with_each_seed("a_hold_ends", |seed, draw| {
        let nodes = 50 * draw.between(1, 6) as u32;
        let share = draw.of([20, 40, 70, 100]);
        let dying = nodes * share / 100;
        let at = Span::from_secs(draw.between(60, 90));
        let (longest, rate) = (Span::from_secs(draw.between(30, 120)), draw.of([2.0, 5.0, 20.0]));
        let released = Span::from_millis((f64::from(dying) / f64::from(rate) * 1e3) as u64);
        let ends = at + longest + released + Span::from_secs(200);
        let zone = draw.group("zone", nodes);
        let zone = if share == 100 {
            let dies = format!("1@{},down={FOR_GOOD}", at.compact());
            Group { incidents: vec![dies.parse().expect("an incident")], ..zone }
        } else {
            let cut = format!("{}@{}..{FOR_GOOD},exact=yes", f64::from(share) / 100.0, at.compact());
            Group { partitions: vec![cut.parse().expect("a partition")], ..zone }
        };
        let groups = vec![lasting(zone, ends), lasting(draw.group("rest", 50), ends)];
        let guard = Some(GuardSettings { longest, rate, ..GuardSettings::default() });
        let gates = Gates { guard, ..Gates::default() };
        let (_, log) = watched(&Scenario { seed, groups, gates, ..Scenario::default() });
        let expected = [("hold", "group zone"), ("hold_expired", "group zone"), ("hold_ended", "group zone")];
        assert_eq!(notes(&log), expected);
        let failed: Vec<Instant> =
            log.verdicts.iter().filter(|verdict| verdict.to == Liveness::Failed).map(|verdict| verdict.at).collect();
        assert_eq!(failed.len() as u32, dying, "each of them once");
        let until = noted(&log, "hold") + longest;
        assert!(failed.iter().all(|at| *at >= until), "not before {until:?}: {failed:?}");
        assert!(noted(&log, "hold_expired") <= until + Span::from_secs(1) + TICK);
        for (first, from) in failed.iter().enumerate() {
            for (last, to) in failed.iter().enumerate().skip(first) {
                let allowed = f64::from(rate) * (to.since(*from).secs_f64() + 1.0) + 1.0;
                assert!((last - first + 1) as f64 <= allowed, "{} from {from:?} to {to:?}", last - first + 1);
            }
        }
        // Not slower than that either, but for the time in which nobody looks.
        let all_by = until + released + Span::from_secs(6);
        assert!(failed.last() <= Some(&all_by), "{:?}, not by {all_by:?}", failed.last());
        lost += failed.len();
    });
    eprintln!("{lost} nodes held for the longest time and then failed at the stated rate");
}

/// (d) A fleet that shrinks isn't held to its former size: goodbyes are no silence, and a hold that has ended is over.
#[test]
fn a_fleet_that_shrinks_does_not_latch_the_guard() {
    let (mut left, mut later) = (0, 0);
    with_each_seed("a_fleet_that_shrinks", |seed, draw| {
        for goodbye in [true, false] {
            let nodes = draw.between(100, 200) as u32;
            let share = draw.between(40, 60);
            let at = Span::from_secs(draw.between(30, 60));
            let longest = Span::from_secs(60);
            let over = at + longest + Span::from_secs(120);
            let shrinks = format!("0.{share}@{},down={FOR_GOOD}", at.compact());
            let shrinks = if goodbye { format!("{shrinks},goodbye=yes") } else { shrinks };
            let dies = format!("0.01@{},down={FOR_GOOD}", (over + Span::from_secs(draw.between(1, 30))).compact());
            let incidents = [shrinks, dies].map(|text| text.parse().expect("an incident"));
            let group = lasting(draw.group("fleet", nodes), over + Span::from_secs(90));
            let group = Group { incidents: incidents.into(), ..group };
            let gates =
                Gates { guard: Some(GuardSettings { longest, ..GuardSettings::default() }), ..Gates::default() };
            let (outcome, log) = watched(&Scenario { seed, gates, ..group.clone().into() });
            let expected: &[&str] = if goodbye { &[] } else { &["hold", "hold_expired", "hold_ended"] };
            let names: Vec<&str> = log.notes.iter().map(|note| note.name).collect();
            assert_eq!(names, expected, "goodbye {goodbye}");
            let gone = if goodbye { Fact::Left } else { Fact::Crashed };
            let gone =
                log.facts.iter().filter(|(when, _, fact)| *fact == gone && *when == Instant::ORIGIN + at).count();
            assert!(gone > nodes as usize * 3 / 20, "{gone} of {nodes}");
            left += gone;
            assert_eq!(outcome.caution.withheld(Withheld::Guard) > 0, !goodbye);
            for (node, story) in stories(&log) {
                assert_eq!(story.falsely, [], "node {node} was alive");
                for crash in story.crashes.iter().filter(|crash| crash.at >= Instant::ORIGIN + over) {
                    let bound = crash.at + in_time(&group);
                    assert!(crash.failed.is_some_and(|failed| failed <= bound), "node {node}: {:?}", crash.failed);
                    later += 1;
                }
            }
        }
    });
    eprintln!("{left} nodes gone, and {later} that died after that were found in time");
    assert!(std::env::var_os("SYSTOLE_SEED").is_some() || later > 10);
}
