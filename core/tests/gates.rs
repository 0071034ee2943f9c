//! Between "silent" and "failed": our own troubles excuse, mass silence is held, who goes to and fro
//! is kept quiet, and none of that goes on for ever. In virtual time, through the public face.

mod common;

use common::{Log, ms, secs, turn_until};
use systole_core::config::{Config, FlapSettings, GuardSettings, Plan};
use systole_core::event::Cause;
use systole_core::guard::{Order, ScopeName, Tally};
use systole_core::{Backlog, Datagram, Instant, Liveness, Monitor, NodeId, Share, Trouble, Withheld};

use Liveness::{Alive, Failed, Left, Suspect};

fn start() -> Instant {
    Instant::from_nanos(1_000_000_000_000)
}

fn guarded(labels: &[&str]) -> Config {
    let labels = labels.iter().map(|label| (*label).into()).collect();
    let guard = Some(GuardSettings { labels, ..GuardSettings::default() });
    Config::new(Plan { guard, ..Plan::default() }).expect("a sound plan")
}

/// Nodes that beat every second, spread over it.
struct Fleet {
    lines: Vec<String>,
    monitor: Monitor,
    log: Log,
    /// Tenths of a second since the start.
    now: u64,
}

impl Fleet {
    fn new(config: Config, lines: impl IntoIterator<Item = String>) -> Self {
        let lines = lines.into_iter().collect();
        Self { lines, monitor: Monitor::new(config, start()), log: Log::default(), now: 0 }
    }

    fn at(&self) -> Instant {
        start() + ms(100) * self.now
    }

    /// Lets time pass in which those nodes beat that are up.
    fn run(&mut self, seconds: u64, is_up: impl Fn(&str) -> bool) {
        for _ in 0..seconds * 10 {
            self.now += 1;
            let at = self.at();
            turn_until(&mut self.monitor, at, &mut self.log);
            let due = self.lines.iter().enumerate().filter(|(i, _)| *i as u64 % 10 == self.now % 10);
            for (_, line) in due.filter(|(_, line)| is_up(line)) {
                let line = format!("hb {line} interval=1s");
                let datagram = Datagram::new(line.as_bytes(), at);
                self.monitor.turn(at, &[datagram], Backlog::Drained, &mut self.log);
            }
        }
    }

    fn say(&mut self, line: &str) {
        let at = self.at();
        let datagram = Datagram::new(line.as_bytes(), at);
        self.monitor.turn(at, &[datagram], Backlog::Drained, &mut self.log);
    }

    fn failed(&self) -> Vec<&str> {
        self.log.told.iter().filter(|told| told.to == Failed).map(|told| &*told.node).collect()
    }

    fn notes(&self) -> Vec<(&str, &str)> {
        self.log.notes.iter().map(|(_, what, whom)| (*what, &**whom)).collect()
    }

    fn count(&self, liveness: Liveness) -> u32 {
        self.monitor.groups().iter().map(|group| group.count(liveness)).sum()
    }

    fn held(&self, node: &str) -> Option<Withheld> {
        self.monitor.find(&NodeId::of(node)).and_then(|ix| self.monitor.held(ix)).map(|held| held.reason)
    }
}

/// Two groups of a hundred nodes each.
fn two_groups() -> impl Iterator<Item = String> {
    (0..200).map(|i| if i < 100 { format!("web-{i} group=web") } else { format!("db-{i} group=db") })
}

#[test]
fn a_cut_group_is_one_event_and_a_death_elsewhere_is_found_in_time() {
    for cut in [16, 50, 100] {
        let mut fleet = Fleet::new(guarded(&[]), two_groups());
        fleet.run(20, |_| true);
        let cut_off = |line: &str| {
            let number = line.strip_prefix("web-").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
            number.is_some_and(|number| number < cut)
        };
        fleet.run(5, |line| !cut_off(line));
        // A single death in the other group, while the cut goes on.
        let died = fleet.at();
        fleet.run(60, |line| !cut_off(line) && !line.starts_with("db-105 "));
        assert_eq!(fleet.failed(), ["db-105"], "{cut} % cut");
        let found = fleet.log.told.iter().find(|told| told.to == Failed).unwrap().at;
        assert!(found.since(died) <= ms(6_250 + 1_000 + 1), "{:?}", found.since(died));
        assert_eq!(fleet.notes(), [("hold", "group web")], "{cut} % cut");
        assert_eq!(fleet.held("web-3"), Some(Withheld::Guard));
        assert_eq!(fleet.monitor.holds().count(), 1);
        assert!(fleet.monitor.counters().withheld(Withheld::Guard) >= cut as u64);

        fleet.run(30, |line| !line.starts_with("db-105 "));
        assert_eq!(fleet.failed(), ["db-105"], "those who came back were never failed");
        assert_eq!(fleet.notes(), [("hold", "group web"), ("hold_recovered", "group web")]);
        assert_eq!((fleet.count(Alive), fleet.held("web-3"), fleet.monitor.holds().count()), (199, None, 0));
    }
}

/// Ten monitors, each with about a tenth of a group: none alone has too many silent ones, all together have.
#[test]
fn a_cut_group_is_held_however_late_it_is_judged() {
    let monitor = |index| {
        let share = Share::new(index, 10).expect("a share");
        let guard = Some(GuardSettings::default());
        Monitor::new(Config::new(Plan { guard, share, ..Plan::default() }).expect("a sound plan"), start())
    };
    let mut monitors: Vec<Monitor> = (0..10).map(monitor).collect();
    let mut log = Log::default();
    let exchange = |monitors: &mut Vec<Monitor>| {
        let seen: Vec<(String, Tally)> = monitors
            .iter()
            .map(|monitor| monitor.tallies().find(|(scope, _)| *scope == ScopeName::Group("web")).expect("it is there"))
            .map(|(scope, tally)| (scope.to_string(), tally))
            .collect();
        for (index, monitor) in monitors.iter_mut().enumerate() {
            let others = seen.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, (_, tally))| *tally);
            monitor.elsewhere(ScopeName::Group("web"), others.sum());
        }
    };
    let turn = |monitor: &mut Monitor, at: Instant, lines: &[String], backlog, log: &mut Log| {
        let batch: Vec<_> = lines.iter().map(|line| Datagram::new(line.as_bytes(), at)).collect();
        monitor.turn(at, &batch, backlog, log);
    };
    let lines: Vec<String> = (0..100).map(|node| format!("hb web-{node} group=web interval=1s")).collect();
    for monitor in &mut monitors {
        turn(monitor, start() + secs(1), &lines, Backlog::Drained, &mut log);
    }
    exchange(&mut monitors);
    // Half a minute in which nobody is judged, and a third of the group is silent.
    let late = start() + secs(30);
    for monitor in &mut monitors {
        turn(monitor, late - secs(1), &lines[33..], Backlog::More, &mut log);
        turn(monitor, late, &[], Backlog::Drained, &mut log);
    }
    exchange(&mut monitors);
    for monitor in &mut monitors {
        turn_until(monitor, late + secs(2), &mut log);
    }
    assert_eq!(log.told.iter().filter(|told| told.to == Failed).count(), 0);
    assert_eq!(log.told.iter().filter(|told| told.to == Suspect).count(), 33);
    assert!(log.notes.iter().all(|(_, what, whom)| (*what, &**whom) == ("hold", "group web")), "{:?}", log.notes);
}

#[test]
fn a_fleet_s_hold_ends_when_what_is_left_of_it_is_a_rack_that_answers_for_its_own() {
    // A hundred groups of ten, one of each in the same rack.
    let rack = |i: usize| if i.is_multiple_of(10) { " l.rack=r0" } else { "" };
    let line = |i: usize| format!("n{i} group=g{}{}", i / 10, rack(i));
    let mut fleet = Fleet::new(guarded(&["rack"]), (0..1_000).map(line));
    fleet.run(20, |_| true);
    // Two others of each group: too few to hold the group, too many for the fleet.
    fleet.run(9, |line| !line.contains("3 group") && !line.contains("4 group"));
    assert_eq!(fleet.notes(), [("hold", "fleet")]);
    fleet.run(5, |line| !line.ends_with("rack=r0") && !line.contains("3 group") && !line.contains("4 group"));
    fleet.run(30, |line| !line.ends_with("rack=r0"));
    assert!(fleet.notes().contains(&("hold_recovered", "fleet")), "{:?}", fleet.notes());
    let held: Vec<String> = fleet.monitor.holds().map(|hold| hold.scope.to_string()).collect();
    assert_eq!(held, ["label rack=r0"]);
    assert_eq!(fleet.failed(), [""; 0]);
}

#[test]
fn who_stays_away_when_the_others_come_back_is_failed_after_a_full_wait() {
    let mut fleet = Fleet::new(guarded(&[]), two_groups());
    fleet.run(20, |_| true);
    fleet.run(60, |line| !line.starts_with("web-"));
    let back = fleet.at();
    fleet.run(60, |line| !line.starts_with("web-7 "));
    assert_eq!(fleet.failed(), ["web-7"]);
    let found = fleet.log.told.iter().find(|told| told.to == Failed).unwrap().at;
    assert!(found.since(back) >= ms(6_250) && found.since(back) < secs(15), "{:?}", found.since(back));
}

#[test]
fn a_few_deaths_are_just_deaths() {
    let mut fleet = Fleet::new(guarded(&[]), (0..10).map(|i| format!("n{i}")));
    fleet.run(20, |_| true);
    fleet.run(20, |line| !["n1", "n2", "n3"].contains(&line));
    assert_eq!((fleet.failed().len(), fleet.notes()), (3, vec![]));
}

#[test]
fn a_zone_explains_its_nodes_and_holds_no_group() {
    let lines = (0..300).map(|i| format!("n{i} group=g{} l.zone=z{}", i % 3, i / 100));
    let mut fleet = Fleet::new(guarded(&["zone"]), lines);
    fleet.run(20, |_| true);
    // A third of each group.
    fleet.run(40, |line| !line.ends_with("l.zone=z1") && !line.starts_with("n7 "));
    assert_eq!(fleet.notes(), [("hold", "label zone=z1")]);
    assert_eq!(fleet.failed(), ["n7"]);
    // Without the label it would have been three holds.
    let mut other = Fleet::new(guarded(&[]), fleet.lines.clone());
    other.run(20, |_| true);
    other.run(40, |line| !line.ends_with("l.zone=z1") && !line.starts_with("n7 "));
    assert_eq!(other.notes().len(), 3);
}

#[test]
fn groups_too_small_to_hold_are_guarded_as_a_fleet() {
    let mut fleet = Fleet::new(guarded(&[]), (0..100).map(|i| format!("n{i} group=g{}", i / 2)));
    fleet.run(20, |_| true);
    fleet.run(40, |line| line.starts_with("n1 "));
    assert_eq!((fleet.failed(), fleet.notes()), (vec![], vec![("hold", "fleet")]));
    fleet.run(40, |_| true);
    assert_eq!(fleet.notes()[1..], [("hold_recovered", "fleet")]);
    assert_eq!(fleet.count(Alive), 100);
}

#[test]
fn a_hold_ends_after_its_time_and_then_so_many_are_failed_a_second() {
    let guard = Some(GuardSettings { rate: 10.0, ..GuardSettings::default() });
    let config = Config::new(Plan { guard, ..Plan::default() }).expect("a sound plan");
    let mut fleet = Fleet::new(config, two_groups());
    fleet.run(20, |_| true);
    let is_up = |line: &str| line.starts_with("db-");
    fleet.run(600, is_up);
    assert_eq!(fleet.failed().len(), 0);
    fleet.run(120, is_up);
    assert_eq!(fleet.failed().len(), 100);
    let times: Vec<Instant> = fleet.log.told.iter().filter(|told| told.to == Failed).map(|told| told.at).collect();
    for (i, at) in times.iter().enumerate() {
        let within = times[i..].iter().filter(|later| later.since(*at) < secs(1)).count();
        assert!(within <= 21, "{within} in a second");
    }
    assert!(times[99].since(times[0]) >= secs(8));
    assert_eq!(fleet.notes(), [("hold", "group web"), ("hold_expired", "group web"), ("hold_ended", "group web")]);

    // It is over: the next death is found as ever.
    let before = fleet.at();
    fleet.run(20, |line| is_up(line) && !line.starts_with("db-150 "));
    assert_eq!(fleet.failed().last(), Some(&"db-150"));
    assert!(fleet.log.told.last().unwrap().at.since(before) < secs(8));
}

#[test]
fn whoever_knows_better_is_obeyed() {
    let mut fleet = Fleet::new(guarded(&[]), two_groups());
    fleet.run(20, |_| true);
    let is_up = |line: &str| line.starts_with("db-");
    fleet.run(60, is_up);
    let (web, at) = (ScopeName::Group("web"), fleet.at());
    assert!(!fleet.monitor.order(ScopeName::Group("db"), Order::Dead, at, &mut fleet.log), "it isn't held");
    assert!(fleet.monitor.order(web, Order::Longer(secs(600)), at, &mut fleet.log));
    fleet.run(1_000, is_up);
    assert_eq!(fleet.failed().len(), 0, "the ten minutes are twenty");
    let at = fleet.at();
    assert!(fleet.monitor.order(web, Order::Dead, at, &mut fleet.log));
    fleet.run(6, is_up);
    assert_eq!(fleet.failed().len(), 100);
    fleet.run(100, is_up);
    assert_eq!(fleet.notes(), [("hold", "group web"), ("hold_confirmed", "group web"), ("hold_ended", "group web")]);
}

#[test]
fn a_fleet_that_shrinks_is_not_held_to_its_former_size() {
    // With goodbye: nothing happened.
    let mut fleet = Fleet::new(guarded(&[]), (0..100).map(|i| format!("n{i}")));
    fleet.run(20, |_| true);
    (0..40).for_each(|i| fleet.say(&format!("bye n{i}")));
    let rest = |line: &str| line[1..].parse::<u32>().unwrap() >= 40;
    fleet.run(60, rest);
    assert_eq!((fleet.failed().len(), fleet.notes().len(), fleet.count(Left)), (0, 0, 40));

    // Without: held for ten minutes, then failed, and then it is over.
    let mut fleet = Fleet::new(guarded(&[]), (0..100).map(|i| format!("n{i}")));
    fleet.run(20, |_| true);
    fleet.run(700, rest);
    assert_eq!((fleet.failed().len(), fleet.monitor.holds().count()), (40, 0));
    fleet.run(20, |line| rest(line) && line != "n50");
    assert_eq!(fleet.failed().last(), Some(&"n50"));
}

#[test]
fn several_monitors_see_together_what_each_alone_would_not() {
    let share = |index| Share::new(index, 2).expect("a share");
    let config = |index| {
        let guard = Some(GuardSettings::default());
        Config::new(Plan { guard, share: share(index), ..Plan::default() }).expect("a sound plan")
    };
    let names: Vec<String> = (0..40).map(|i| format!("n{i}")).filter(|n| share(0).holds(NodeId::of(n))).collect();
    let others: Vec<String> = (0..40).map(|i| format!("n{i}")).filter(|n| share(1).holds(NodeId::of(n))).collect();
    let lines = |names: &[String]| names.iter().take(5).map(|n| format!("{n} group=g")).collect::<Vec<_>>();
    let mut one = Fleet::new(config(0), lines(&names));
    let mut two = Fleet::new(config(1), lines(&others));
    let step = |here: &mut Fleet, there: &mut Fleet, up: usize| {
        let lines = here.lines.clone();
        here.run(1, |line| lines.iter().position(|other| other == line).is_some_and(|at| at < up));
        here.monitor.tallies().for_each(|(scope, tally)| there.monitor.elsewhere(scope, tally));
    };
    let run = |one: &mut Fleet, two: &mut Fleet, seconds: u64, up: usize| {
        for _ in 0..seconds {
            step(one, two, up);
            step(two, one, up);
        }
    };
    run(&mut one, &mut two, 20, 5);
    // Two of five here and two of five there: each alone would take them for deaths.
    run(&mut one, &mut two, 30, 3);
    for fleet in [&one, &two] {
        assert_eq!((fleet.failed(), fleet.notes()), (vec![], vec![("hold", "group g")]));
    }
    run(&mut one, &mut two, 30, 5);
    for fleet in [&one, &two] {
        assert_eq!((fleet.failed().len(), fleet.notes().len(), fleet.count(Alive)), (0, 2, 5));
    }
}

#[test]
fn listed_nodes_that_all_stay_away_are_one_event_too() {
    let nodes = (0..20).map(|i| format!("n{i}").into()).collect();
    let rule = systole_core::config::Rule { name: "edge".into(), settings: Default::default(), matches: vec![], nodes };
    let guard = Some(GuardSettings::default());
    let config = Config::new(Plan { guard, groups: vec![rule], ..Plan::default() }).expect("a sound plan");
    let mut fleet = Fleet::new(config, (0..20).map(|i| format!("n{i}")));
    fleet.run(100, |_| false);
    assert_eq!((fleet.failed(), fleet.notes()), (vec![], vec![("hold", "group edge")]));
    fleet.run(30, |line| line != "n3");
    fleet.run(60, |line| line != "n3");
    assert_eq!((fleet.failed(), fleet.notes().len()), (vec!["n3"], 2));
}

#[test]
fn our_own_stall_is_held_against_nobody_and_delays_a_death_by_no_more() {
    let mut fleet = Fleet::new(Config::default(), (0..50).map(|i| format!("n{i}")));
    fleet.run(20, |_| true);
    let died = fleet.at();
    fleet.run(2, |line| line != "n7");
    // Ten seconds in which nobody looked, and whatever was sent is gone: as when a machine is paused.
    fleet.now += 100;
    let at = fleet.at();
    fleet.monitor.trouble(at, Trouble::Stall(secs(10)));
    fleet.run(30, |line| line != "n7");
    let accused: Vec<_> = fleet.log.told.iter().filter(|told| told.to != Alive).map(|told| &*told.node).collect();
    assert_eq!(accused, ["n7", "n7"]);
    let found = fleet.log.told.last().unwrap().at;
    assert!(found.since(died) <= secs(10) + ms(6_250 + 1_000 + 1), "{:?}", found.since(died));
    assert_eq!(fleet.monitor.counters().withheld(Withheld::Stall), 51, "all, and the dead one twice");
    assert_eq!(fleet.monitor.unwell(), 0);
}

#[test]
fn while_we_lose_datagrams_silence_means_nothing_and_it_is_said() {
    let mut fleet = Fleet::new(Config::default(), (0..50).map(|i| format!("n{i}")));
    fleet.run(20, |_| true);
    // Two datagrams in three are lost for thirty seconds, and all of those of ten nodes.
    for second in 0..30 {
        fleet.run(1, |line| line.len() == 2 || second % 3 == 0 && line.as_bytes()[1] == b'1');
        let at = fleet.at();
        fleet.monitor.trouble(at, Trouble::Drops(30));
    }
    assert_eq!(fleet.failed().len(), 0);
    assert_eq!(fleet.held("n44"), Some(Withheld::Drops));
    fleet.run(10, |line| line != "n44");
    assert_eq!(fleet.failed().len(), 0);
    fleet.run(100, |line| line != "n44");
    assert_eq!(fleet.failed(), ["n44"]);
    assert_eq!(fleet.notes(), [("overload", "drops"), ("overload_over", "drops")]);
}

#[test]
fn a_monitor_that_is_often_unwell_gives_more_time() {
    let mut fleet = Fleet::new(Config::default(), (0..50).map(|i| format!("n{i}")));
    fleet.run(20, |_| true);
    for _ in 0..5 {
        let at = fleet.at();
        fleet.monitor.trouble(at, Trouble::ClockStep);
        fleet.run(2, |_| true);
    }
    let unwell = fleet.monitor.unwell();
    assert!((3..=4).contains(&unwell), "{unwell}");
    let died = fleet.at();
    fleet.run(60, |line| line != "n7");
    let found = fleet.log.told.last().unwrap();
    assert_eq!((&*found.node, found.to), ("n7", Failed));
    // Three times the confirm time of three seconds, as the score falls meanwhile.
    assert!((secs(9)..secs(16)).contains(&found.at.since(died)), "{:?}", found.at.since(died));
    assert!(fleet.monitor.counters().withheld(Withheld::Unwell) >= 1);
}

#[test]
fn a_backlog_that_does_not_end_is_said_and_so_is_its_end() {
    let mut fleet = Fleet::new(Config::default(), ["a".to_owned()]);
    fleet.run(1, |_| true);
    let from = fleet.at();
    for step in 0..100 {
        fleet.monitor.turn(from + ms(100) * step, &[], Backlog::More, &mut fleet.log);
    }
    assert_eq!(fleet.notes(), [("overload", "backlog")]);
    assert!(fleet.monitor.counters().withheld(Withheld::Backlog) > 0);
    let line = b"hb a interval=1s";
    let datagram = Datagram::new(line, from + secs(10));
    fleet.monitor.turn(from + secs(10), &[datagram], Backlog::Drained, &mut fleet.log);
    assert_eq!(fleet.notes(), [("overload", "backlog"), ("overload_over", "backlog")]);
    assert_eq!(fleet.count(Alive), 1);
}

fn flapping() -> Config {
    Config::new(Plan { flapping: Some(FlapSettings::default()), ..Plan::default() }).expect("a sound plan")
}

#[test]
fn a_node_that_goes_to_and_fro_is_one_event_and_no_storm() {
    let mut fleet = Fleet::new(flapping(), ["a".to_owned(), "b".to_owned()]);
    for _ in 0..60 {
        fleet.run(5, |line| line == "b");
        fleet.run(1, |_| true);
    }
    let told = fleet.log.told.len();
    assert!(told <= 2 + 2 * 12, "{told} events");
    assert_eq!(fleet.notes(), [("flapping", "a")]);
    let ix = fleet.monitor.find(&NodeId::of("a")).unwrap();
    assert!(fleet.monitor.flapping(ix).is_some() && fleet.monitor.flapping_count() == 1);
    assert!(fleet.monitor.counters().quieted > 50);

    fleet.run(700, |_| true);
    assert_eq!(fleet.notes(), [("flapping", "a"), ("steady", "a")]);
    assert_eq!(fleet.log.told.len(), told);
    fleet.run(20, |line| line == "b");
    assert_eq!(fleet.failed(), ["a"], "and is judged as ever");
}

#[test]
fn a_node_that_dies_while_it_flaps_is_failed_once_it_is_steady() {
    let mut fleet = Fleet::new(flapping(), ["a".to_owned(), "b".to_owned()]);
    for _ in 0..20 {
        fleet.run(5, |line| line == "b");
        fleet.run(1, |_| true);
    }
    let died = fleet.at();
    fleet.run(60, |line| line == "b");
    assert_eq!((fleet.failed().len(), fleet.held("a")), (0, Some(Withheld::Flapping)));
    fleet.run(600, |line| line == "b");
    assert_eq!(fleet.failed(), ["a"]);
    assert!(fleet.log.told.last().unwrap().at.since(died) <= secs(601));
}

#[test]
fn two_senders_with_one_name_are_one_event_and_no_to_and_fro() {
    let mut fleet = Fleet::new(Config::default(), []);
    for second in 0..200u64 {
        fleet.now += 10;
        fleet.say(&format!("hb a inc=5 seq={second} interval=1s"));
        fleet.say(&format!("hb a inc=3 seq={} interval=1s", second + 1_000));
    }
    assert_eq!(fleet.notes(), [("conflict", "a")]);
    assert!(fleet.log.notes[0].0.since(start()) <= ms(3_250) + secs(1), "within a timeout");
    assert_eq!(fleet.log.told.len(), 1, "alive, and nothing else");
    let ix = fleet.monitor.find(&NodeId::of("a")).unwrap();
    assert!(fleet.monitor.in_conflict(ix) && fleet.monitor.conflict_count() == 1);
}

#[test]
fn duplicates_and_late_ones_are_no_conflict() {
    let mut fleet = Fleet::new(Config::default(), []);
    for second in 10..200u64 {
        fleet.now += 10;
        fleet.say(&format!("hb a inc=5 seq={second} interval=1s"));
        fleet.say(&format!("hb a inc=5 seq={second} interval=1s"));
        fleet.say(&format!("hb a inc=5 seq={} interval=1s", second - 7));
    }
    assert_eq!(fleet.notes(), []);
}

#[test]
fn what_is_told_last_is_what_is_believed() {
    let guard = Some(GuardSettings::default());
    let plan = Plan { guard, flapping: Some(FlapSettings::default()), ..Plan::default() };
    let mut fleet = Fleet::new(Config::new(plan).expect("a sound plan"), (0..30).map(|i| format!("n{i}")));
    fleet.run(10, |_| true);
    for round in 0..40u32 {
        fleet.run(4, |line| line[1..].parse::<u32>().unwrap() % 7 != round % 7);
    }
    fleet.run(2_000, |line| line != "n3");
    for place in 0..fleet.monitor.places() {
        let view = fleet.monitor.node(systole_core::NodeIx::new(place)).unwrap();
        let name = view.called.to_string();
        let told = fleet.log.told.iter().rev().find(|told| told.node == name).unwrap();
        let expected = if name == "n3" { Failed } else { Alive };
        assert_eq!((view.liveness, told.to), (expected, expected), "{name}");
    }
    assert_eq!((fleet.count(Suspect), fleet.monitor.holds().count(), fleet.monitor.flapping_count()), (0, 0, 0));
    let causes = fleet.log.told.iter().filter(|told| told.cause == Cause::Confirmed).count();
    assert_eq!(causes, 1);
}

#[test]
fn a_death_elsewhere_is_found_though_many_fell_silent_and_none_of_them_is_due_yet() {
    for labelled in [false, true] {
        let zone = |i: usize| if labelled { format!(" l.zone=z{}", usize::from(i >= 50)) } else { String::new() };
        let group = |i: usize| if labelled || i < 50 { "web" } else { "db" };
        let lines = (0..200).map(|i| format!("n{i} group={}{}", group(i), zone(i)));
        let mut fleet = Fleet::new(guarded(if labelled { &["zone"] } else { &[] }), lines);
        fleet.run(20, |_| true);
        // When it is due to be failed, fifty others are suspect for two seconds.
        let died = fleet.at();
        fleet.run(1, |line| !line.starts_with("n150 "));
        let up = |line: &str| {
            let number = line[1..line.find(' ').unwrap()].parse::<usize>().unwrap();
            number >= 50 && number != 150
        };
        fleet.run(60, up);
        assert_eq!(fleet.failed(), ["n150"], "{labelled}");
        let found = fleet.log.told.iter().find(|told| told.to == Failed).unwrap().at;
        assert!(found.since(died) <= ms(6_250 + 1_000 + 1), "{:?}", found.since(died));
        let held = if labelled { "label zone=z0" } else { "group web" };
        assert_eq!(fleet.notes(), [("hold", held)]);
    }
}
