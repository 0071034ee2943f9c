//! Stories of a monitor that is restarted: what it believed is taken over by a new one, which then
//! goes on in virtual time.

mod common;

use common::{Log, Told, ms, restarted, secs, turn_until};
use systole_core::config::{Config, Limits, Match, Plan, Rule, Settings};
use systole_core::event::{Cause, Sink, Transition};
use systole_core::{
    Backlog, Belief, BeliefError, Datagram, GroupIx, Incarnation, Instant, Interval, Liveness, Monitor, NodeId,
    NodeView, Pattern, Reject, Seq, Share, Span,
};

use Liveness::{Alive, Failed, Left, Suspect, Unseen};

fn start() -> Instant {
    Instant::from_nanos(1_000_000_000_000)
}

fn monitor() -> Monitor {
    Monitor::new(Config::default(), start())
}

fn hear(monitor: &mut Monitor, at: Instant, line: &str, sink: &mut impl Sink) {
    let datagram = Datagram::new(line.as_bytes(), at);
    monitor.turn(at, &[datagram], Backlog::Drained, sink);
}

fn view<'a>(monitor: &'a Monitor, name: &str) -> NodeView<'a> {
    monitor.find(&NodeId::of(name)).and_then(|ix| monitor.node(ix)).expect("it is known")
}

fn belief<'a>(monitor: &'a Monitor, name: &str) -> Belief<'a> {
    monitor.find(&NodeId::of(name)).and_then(|ix| monitor.belief(ix)).expect("it is known")
}

/// What the monitor believed of these nodes when it was stopped, and has forgotten nothing of since.
fn heard(lines: &[&str]) -> Monitor {
    let mut monitor = monitor();
    lines.iter().for_each(|line| hear(&mut monitor, start(), line, &mut ()));
    monitor
}

fn restart(former: &Monitor, at: Instant) -> Monitor {
    restarted(former, Config::default(), at)
}

/// A group "edge" that lists these nodes and gives them 30 s to appear.
fn listing(names: &[&str]) -> Config {
    let nodes = names.iter().map(|name| (*name).into()).collect();
    let settings = Settings { grace: secs(30), ..Settings::default() };
    let rule = Rule { name: "edge".into(), settings, matches: vec![], nodes };
    Config::new(Plan { groups: vec![rule], ..Plan::default() }).expect("a sound plan")
}

#[test]
fn who_is_alive_stays_alive_and_nothing_is_told() {
    let (mut former, mut log) = (monitor(), Log::default());
    for beat in 0..60 {
        hear(&mut former, start() + secs(beat), &format!("hb a inc=7 seq={beat} interval=1s"), &mut ());
    }
    // Five minutes without a monitor.
    let mut monitor = restart(&former, start() + secs(360));
    for beat in 361..461 {
        turn_until(&mut monitor, start() + secs(beat), &mut log);
        hear(&mut monitor, start() + secs(beat), &format!("hb a inc=7 seq={beat} interval=1s"), &mut log);
    }
    assert_eq!(log.told, []);
    let node = view(&monitor, "a");
    assert_eq!((node.liveness, node.since), (Alive, start()), "alive since it was, not since the restart");
    assert_eq!((node.evidence.lost, node.evidence.window), (0, 31), "what nobody listened for isn't lost");
}

#[test]
fn who_died_meanwhile_has_a_full_timeout_from_the_restart() {
    let former = heard(&["hb a interval=1s"]);
    let again = start() + secs(3_600);
    let (mut monitor, mut log) = (restart(&former, again), Log::default());
    turn_until(&mut monitor, again + secs(3_600), &mut log);
    assert_eq!(
        log.told,
        [
            Told::new(again + ms(3_250), "a", Alive, Suspect, Cause::Silence),
            Told::new(again + ms(6_250), "a", Suspect, Failed, Cause::Confirmed),
        ]
    );
}

#[test]
fn who_was_suspect_stays_so_for_a_full_timeout() {
    let mut former = heard(&["hb a interval=1s", "hb b interval=1s"]);
    turn_until(&mut former, start() + secs(6), &mut Log::default());
    let again = start() + secs(6);
    let (mut monitor, mut log) = (restart(&former, again), Log::default());
    assert_eq!((view(&monitor, "a").liveness, view(&monitor, "a").since), (Suspect, start() + ms(3_250)));
    hear(&mut monitor, again + secs(6), "hb b", &mut log);
    turn_until(&mut monitor, again + secs(8), &mut log);
    assert_eq!(
        log.told,
        [
            Told::new(again + secs(6), "b", Suspect, Alive, Cause::Heartbeat),
            Told::new(again + ms(6_250), "a", Suspect, Failed, Cause::Confirmed),
        ]
    );
}

#[test]
fn who_is_failed_or_has_left_stays_so_until_it_is_heard() {
    let mut former = heard(&["hb a inc=1 seq=1 interval=1s", "hb b inc=1 seq=1 interval=1s", "hb c interval=1s"]);
    hear(&mut former, start(), "bye c", &mut ());
    turn_until(&mut former, start() + secs(10), &mut Log::default());
    let again = start() + secs(20);
    let (mut monitor, mut log) = (restart(&former, again), Log::default());
    assert_eq!(monitor.poll_timeout(), None, "nobody is waited for");
    turn_until(&mut monitor, again + secs(1_000), &mut log);
    assert_eq!(log.told, []);
    assert_eq!(view(&monitor, "a").since, start() + ms(6_250), "failed since it was, not since the restart");

    let back = again + secs(1_000);
    for line in ["hb a inc=1 seq=900 interval=1s", "hb b inc=2 seq=1", "hb c"] {
        hear(&mut monitor, back, line, &mut log);
    }
    assert_eq!(
        log.told,
        [
            Told::new(back, "a", Failed, Alive, Cause::Heartbeat),
            Told::new(back, "b", Failed, Alive, Cause::Restart),
            Told::new(back, "c", Left, Alive, Cause::Heartbeat),
        ]
    );
}

#[test]
fn what_was_heard_before_the_restart_is_refused_after_it() {
    let former = heard(&["hb a inc=5 seq=10 interval=1s"]);
    let again = start() + secs(1);
    let (mut monitor, mut log) = (restart(&former, again), Log::default());
    for line in
        ["hb a inc=5 seq=10", "hb a inc=5 seq=9", "bye a inc=5 seq=10", "hb a inc=4 seq=99", "bye a inc=4 seq=99"]
    {
        hear(&mut monitor, again + secs(3), line, &mut log);
    }
    assert_eq!(monitor.counters().rejected(Reject::NotNewer), 3);
    assert_eq!(monitor.counters().rejected(Reject::StaleIncarnation), 2);
    turn_until(&mut monitor, again + ms(6_250), &mut log);
    assert_eq!(view(&monitor, "a").liveness, Failed, "replayed heartbeats keep nobody alive");
    hear(&mut monitor, again + secs(7), "hb a inc=5 seq=11", &mut log);
    assert_eq!(view(&monitor, "a").liveness, Alive);
}

#[test]
fn a_heartbeat_without_a_number_counts_though_it_waited_in_the_socket_for_the_restart() {
    let former = heard(&["hb a interval=1s"]);
    let again = start() + secs(10);
    let mut monitor = restart(&former, again);
    let waited = Datagram::new(b"hb a interval=1s", again - ms(200));
    monitor.turn(again + ms(1), &[waited], Backlog::Drained, &mut ());
    assert_eq!((monitor.counters().heartbeats, view(&monitor, "a").evidence.taken_over), (1, None));
    assert_eq!(view(&monitor, "a").due, Some(again + ms(3_250)), "and shortens no wait");
}

#[test]
fn an_announced_silence_is_excused_after_the_restart_too() {
    let former = heard(&["hb a interval=1s next=10m", "hb b interval=1s next=10s"]);
    let again = start() + secs(60);
    let (mut monitor, mut log) = (restart(&former, again), Log::default());
    assert!(view(&monitor, "a").evidence.planned);
    turn_until(&mut monitor, start() + secs(3_600), &mut log);
    let told = |name: &str| log.told.iter().filter(|told| told.node == name).map(|told| told.at).collect::<Vec<_>>();
    assert_eq!(told("a"), [start() + secs(600) + ms(2_250), start() + secs(600) + ms(5_250)]);
    assert_eq!(told("b"), [again + ms(3_250), again + ms(6_250)], "one that is over shortens no wait");
}

#[test]
fn no_announcement_excuses_for_longer_than_a_node_could_announce() {
    let former = heard(&["hb a interval=1s next=1h"]);
    let planned_until = Some(start() + secs(1_000_000 * 86_400));
    let mut monitor = monitor();
    monitor.take_over(&Belief { planned_until, ..belief(&former, "a") }, start()).expect("it is believed");
    let most = Limits::default().interval_max;
    assert_eq!(view(&monitor, "a").due, Some(start() + most + ms(2_250)));
}

#[test]
fn the_first_heartbeat_after_a_restart_says_nothing_about_the_rhythm() {
    #[derive(Default)]
    struct Rhythm(Vec<(Span, u64)>);
    impl Sink for Rhythm {
        fn transition(&mut self, _: &Transition<'_>) {}
        fn heartbeat(&mut self, _: GroupIx, late: Span, lost: u64) {
            self.0.push((late, lost));
        }
    }
    let detector = "phi:threshold=8".parse().expect("a detector");
    let plan = Plan { default: Settings { detector, ..Settings::default() }, ..Plan::default() };
    let config = Config::new(plan).expect("a sound plan");
    let (mut former, mut rhythm) = (Monitor::new(config.clone(), start()), Rhythm::default());
    for beat in 0..100 {
        hear(&mut former, start() + secs(beat), &format!("hb a inc=1 seq={beat} interval=1s"), &mut ());
    }
    let again = start() + secs(200);
    let mut monitor = restarted(&former, config.clone(), again);
    let fresh = view(&monitor, "a").due;
    hear(&mut monitor, again + ms(300), "hb a inc=1 seq=200 interval=1s", &mut rhythm);
    assert_eq!(rhythm.0, [], "neither 100 heartbeats lost nor 99.7 s early");
    assert_eq!(view(&monitor, "a").due, fresh.map(|due| due + ms(300)), "the detector has learned nothing from it");
    hear(&mut monitor, again + ms(1_400), "hb a inc=1 seq=201 interval=1s", &mut rhythm);
    assert_eq!(rhythm.0, [(ms(100), 0)]);
}

#[test]
fn a_learned_interval_is_kept_and_the_outage_is_not_learned_from() {
    for interval in [ms(300), secs(20)] {
        let mut former = monitor();
        (0..20).for_each(|beat| hear(&mut former, start() + interval * beat, "hb a", &mut ()));
        let before = view(&former, "a").evidence.interval;
        assert!((before.secs_f64() / interval.secs_f64() - 1.0).abs() < 1e-3, "learned {before} of {interval}");
        let again = start() + secs(3_600);
        let mut monitor = restart(&former, again);
        hear(&mut monitor, again + ms(10), "hb a", &mut ());
        assert_eq!(belief(&monitor, "a").interval, Some(Interval::Learned(before)));
        hear(&mut monitor, again + ms(10) + interval * 2, "hb a", &mut ());
        assert!(view(&monitor, "a").evidence.interval > before, "from the second on it is learned from again");
    }
}

#[test]
fn the_evidence_claims_no_arrival_that_nobody_here_has_seen() {
    let former = heard(&["hb a inc=1 seq=1 interval=1s"]);
    let again = start() + secs(50);
    let mut monitor = restart(&former, again);
    let evidence = view(&monitor, "a").evidence;
    assert_eq!((evidence.last_arrival, evidence.taken_over), (None, Some(again)));
    assert_eq!((evidence.incarnation, evidence.seq), (Incarnation::new(1), Seq::new(1)));
    assert_eq!((evidence.lost, evidence.window, evidence.deadline), (0, 0, again + ms(3_250)));

    hear(&mut monitor, again + secs(1), "hb a inc=1 seq=52", &mut ());
    let evidence = view(&monitor, "a").evidence;
    assert_eq!((evidence.last_arrival, evidence.taken_over), (Some(again + secs(1)), None));
    assert_eq!((evidence.lost, evidence.window), (0, 1));
}

#[test]
fn a_listed_node_that_never_came_has_its_grace_anew_and_is_failed_once() {
    let (config, mut log) = (listing(&["a", "b"]), Log::default());
    let former = Monitor::new(config.clone(), start());
    let again = start() + secs(20);
    let mut monitor = restarted(&former, config.clone(), again);
    turn_until(&mut monitor, again + secs(60), &mut log);
    let mut told = core::mem::take(&mut log.told);
    told.sort_by(|one, other| one.node.cmp(&other.node));
    assert_eq!(told, ["a", "b"].map(|name| Told::new(again + secs(30), name, Unseen, Failed, Cause::NeverSeen)));

    let again = again + secs(60);
    let mut monitor = restarted(&monitor, config, again);
    turn_until(&mut monitor, again + secs(60), &mut log);
    assert_eq!(log.told, [], "failed stays failed");
    hear(&mut monitor, again + secs(60), "hb b inc=5 seq=1", &mut log);
    assert_eq!(log.told, [Told::new(again + secs(60), "b", Failed, Alive, Cause::FirstHeartbeat)]);
}

#[test]
fn a_group_is_chosen_by_the_configuration_of_who_takes_over() {
    let former = heard(&["hb a l.zone=eu-1", "hb b group=own", "hb edge-1 interval=1s group=own"]);
    let label = Match { label: Some(("zone".into(), Pattern::new("eu-*"))), ..Match::default() };
    let quick = Settings { interval: Some(ms(100)), ..Settings::default() };
    let rules = vec![
        Rule { name: "by-label".into(), settings: quick, matches: vec![label], nodes: vec![] },
        Rule { name: "edge".into(), settings: quick, matches: vec![], nodes: vec!["edge-1".into()] },
    ];
    let config = Config::new(Plan { groups: rules, ..Plan::default() }).expect("a sound plan");
    let monitor = restarted(&former, config, start());
    let found = |name: &str| (view(&monitor, name).group.name(), view(&monitor, name).evidence.interval);
    assert_eq!(found("a"), ("by-label", ms(100)));
    assert_eq!(found("b"), ("own", secs(10)));
    assert_eq!(found("edge-1"), ("edge", secs(1)), "what a node declares holds in any group");
    assert_eq!(
        belief(&monitor, "edge-1").group,
        Some("own"),
        "what it declares is kept, though it is listed elsewhere"
    );
}

#[test]
fn the_limits_hold_for_what_is_taken_over() {
    let former = heard(&["hb a group=g1 interval=1h", "hb b group=g2", "hb c group=g3"]);
    let limits = Limits { max_nodes: 2, max_groups: 2, interval_max: secs(60), ..Limits::default() };
    let config = Config::new(Plan { limits, ..Plan::default() }).expect("a sound plan");
    let mut monitor = Monitor::new(config, start());
    let taken = ["a", "b", "c"].map(|name| monitor.take_over(&belief(&former, name), start()).map(|ix| ix.index()));
    assert_eq!(taken, [Ok(0), Ok(1), Err(BeliefError::TableFull)]);
    assert_eq!((view(&monitor, "a").group.name(), view(&monitor, "b").group.name()), ("g1", "default"));
    assert_eq!(view(&monitor, "a").evidence.interval, secs(60));
}

#[test]
fn a_belief_that_cannot_be_true_is_refused_and_changes_nothing() {
    let former = heard(&["hb a inc=1 seq=5"]);
    let sound = belief(&former, "a");
    let cases = [
        (BeliefError::NameMismatch, Belief { name: Some("b"), ..sound }),
        (BeliefError::BadName, Belief { name: Some("a b"), ..sound }),
        (BeliefError::BadName, Belief { group: Some(""), ..sound }),
        (BeliefError::Contradiction, Belief { last: None, ..sound }),
        (BeliefError::Contradiction, Belief { liveness: Unseen, ..sound }),
        (BeliefError::Unlisted, Belief { liveness: Unseen, last: None, ..sound }),
        (BeliefError::Unlisted, Belief { liveness: Failed, last: None, ..sound }),
    ];
    let mut monitor = monitor();
    for (error, belief) in cases {
        assert_eq!(monitor.take_over(&belief, start()), Err(error), "{belief:?}");
    }
    assert_eq!((monitor.len(), monitor.groups().len(), monitor.poll_timeout()), (0, 1, None));

    let share = Share::new(1 - Share::new(0, 2).expect("a share").owner(sound.id), 2);
    let share = share.expect("the share that a doesn't belong to");
    let config = Config::new(Plan { share, ..Plan::default() }).expect("a sound plan");
    assert_eq!(Monitor::new(config, start()).take_over(&sound, start()), Err(BeliefError::Foreign));
}

#[test]
fn of_two_beliefs_in_one_node_the_newer_holds() {
    let former = heard(&["hb a inc=2 seq=5 group=former"]);
    let sound = belief(&former, "a");
    for (line, newer) in [
        ("hb a inc=1 seq=9 group=own", true),
        ("hb a inc=2 seq=4 group=own", true),
        ("hb a inc=2 seq=5 group=own", false),
        ("hb a inc=2 seq=6 group=own", false),
        ("hb a inc=3 seq=1 group=own", false),
    ] {
        let mut monitor = heard(&[line]);
        let before = format!("{:?}", view(&monitor, "a"));
        let taken = monitor.take_over(&sound, start() + secs(1));
        if newer {
            assert_eq!(taken, Ok(view(&monitor, "a").ix), "{line}");
            assert_eq!(
                (belief(&monitor, "a").last, view(&monitor, "a").group.name()),
                (sound.last, "former"),
                "{line}"
            );
        } else {
            assert_eq!(taken, Err(BeliefError::NotNewer), "{line}");
            assert_eq!(format!("{:?}", view(&monitor, "a")), before, "{line}");
        }
        let counted: u32 = monitor.groups().iter().map(|group| group.len()).sum();
        assert_eq!((counted, monitor.len()), (1, 1), "{line}");
    }
}

#[test]
fn what_was_told_here_of_a_node_that_never_came_is_not_taken_back() {
    let (former, mut monitor) = (Monitor::new(listing(&["a"]), start()), Monitor::new(listing(&["a"]), start()));
    turn_until(&mut monitor, start() + secs(30), &mut Log::default());
    let taken = monitor.take_over(&belief(&former, "a"), start() + secs(31));
    assert_eq!((taken, view(&monitor, "a").liveness), (Err(BeliefError::NotNewer), Failed));
}

#[test]
fn what_a_node_told_about_itself_comes_along() {
    let former = heard(&["hb a load=0.5 version=1.2 m.cpu=0.25 l.zone=eu-1"]);
    let monitor = restart(&former, start() + secs(1));
    let node = view(&monitor, "a");
    assert_eq!((node.load, node.payload), (Some(0.5), view(&former, "a").payload));
    assert!(node.payload.is_some_and(|payload| payload.version() == Some("1.2")));
}
