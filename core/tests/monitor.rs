//! Stories through the public face of the monitor, in virtual time.

mod common;

use common::{Log, Told, ms, secs, turn_until};
use systole_core::config::{Config, Limits, Match, NewNodes, Plan, Rule, Settings};
use systole_core::event::Cause;
use systole_core::wire::{Extras, Message, emit_binary};
use systole_core::{
    Backlog, Called, Datagram, Incarnation, Instant, Liveness, Monitor, NodeId, Pattern, Reject, Seq, Share, Source,
    Span,
};

use Liveness::{Alive, Failed, Left, Suspect, Unseen};

fn start() -> Instant {
    Instant::from_nanos(1_000_000_000_000)
}

fn monitor() -> Monitor {
    Monitor::new(Config::default(), start())
}

fn text(monitor: &mut Monitor, at: Instant, line: &str, log: &mut Log) {
    let datagram = Datagram::new(line.as_bytes(), at);
    monitor.turn(at, &[datagram], Backlog::Drained, log);
}

fn send(monitor: &mut Monitor, at: Instant, message: &Message<'_>, log: &mut Log) {
    let mut bytes = Vec::new();
    emit_binary(message, &mut bytes).expect("the message can be sent");
    monitor.turn(at, &[Datagram::new(&bytes, at)], Backlog::Drained, log);
}

fn numbered(name: &str, incarnation: u64, seq: u64) -> Message<'_> {
    Message {
        incarnation: Some(Incarnation::new(incarnation)),
        seq: Some(Seq::new(seq)),
        interval: Some(secs(1)),
        ..Message::heartbeat(name)
    }
}

/// A group "edge" that lists one node.
fn listing(name: &str) -> Config {
    let settings = Settings::default();
    let rule = Rule { name: "edge".into(), settings, matches: vec![], nodes: vec![name.into()] };
    Config::new(Plan { groups: vec![rule], ..Plan::default() }).expect("a sound plan")
}

fn liveness(monitor: &Monitor, name: &str) -> Option<Liveness> {
    monitor.find(&NodeId::of(name)).and_then(|ix| monitor.node(ix)).map(|node| node.liveness)
}

#[test]
fn a_node_lives_falls_silent_comes_back_and_leaves() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb web-1 interval=1s", &mut log);
    turn_until(&mut monitor, start() + secs(10), &mut log);
    text(&mut monitor, start() + secs(10), "hb web-1 interval=1s", &mut log);
    text(&mut monitor, start() + secs(11), "bye web-1", &mut log);
    turn_until(&mut monitor, start() + secs(1_000), &mut log);
    assert_eq!(
        log.told,
        [
            Told::new(start(), "web-1", Unseen, Alive, Cause::FirstHeartbeat),
            Told::new(start() + ms(3_250), "web-1", Alive, Suspect, Cause::Silence),
            Told::new(start() + ms(6_250), "web-1", Suspect, Failed, Cause::Confirmed),
            Told::new(start() + secs(10), "web-1", Failed, Alive, Cause::Heartbeat),
            Told::new(start() + secs(11), "web-1", Alive, Left, Cause::Goodbye),
        ]
    );
}

#[test]
fn a_node_that_beats_is_never_suspected() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    for beat in 0..100_000 {
        let at = start() + secs(1) * beat;
        turn_until(&mut monitor, at, &mut log);
        text(&mut monitor, at, "hb web-1 interval=1s", &mut log);
    }
    assert_eq!(log.told.len(), 1);
    assert_eq!(monitor.counters().heartbeats, 100_000);
}

#[test]
fn nothing_is_declared_while_the_socket_is_not_drained() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb web-1 interval=1s", &mut log);
    let late = start() + secs(60);
    assert_eq!(monitor.turn(late, &[], Backlog::More, &mut log), Some(late));
    assert_eq!(liveness(&monitor, "web-1"), Some(Alive));

    // What waited in the socket arrived in time, and says so.
    let datagram = Datagram::new(b"hb web-1 interval=1s", late - ms(500));
    monitor.turn(late, &[datagram], Backlog::Drained, &mut log);
    assert_eq!(liveness(&monitor, "web-1"), Some(Alive));
    assert_eq!(log.told.len(), 1);
}

#[test]
fn only_what_is_newer_counts() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    send(&mut monitor, start(), &numbered("a", 5, 10), &mut log);
    send(&mut monitor, start() + secs(1), &numbered("a", 5, 10), &mut log);
    send(&mut monitor, start() + secs(2), &numbered("a", 5, 9), &mut log);
    send(&mut monitor, start() + secs(3), &numbered("a", 4, 99), &mut log);
    assert_eq!(monitor.counters().rejected(Reject::NotNewer), 2);
    assert_eq!(monitor.counters().rejected(Reject::StaleIncarnation), 1);
    turn_until(&mut monitor, start() + ms(3_250), &mut log);
    assert_eq!(liveness(&monitor, "a"), Some(Suspect), "replayed heartbeats keep nobody alive");
}

#[test]
fn a_restart_begins_anew_at_any_number() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    send(&mut monitor, start(), &numbered("a", 5, 1_000), &mut log);
    turn_until(&mut monitor, start() + secs(20), &mut log);
    send(&mut monitor, start() + secs(20), &numbered("a", 6, 1), &mut log);
    let back = log.told.last().expect("it came back");
    assert_eq!((back.to, back.cause), (Alive, Cause::Restart));
    send(&mut monitor, start() + secs(21), &numbered("a", 6, 2), &mut log);
    assert_eq!(monitor.counters().heartbeats, 3);
}

#[test]
fn a_planned_silence_excuses_a_node_for_as_long_as_it_said() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb a interval=1s next=10m", &mut log);
    turn_until(&mut monitor, start() + secs(600), &mut log);
    assert_eq!(liveness(&monitor, "a"), Some(Alive));
    turn_until(&mut monitor, start() + secs(610), &mut log);
    assert_eq!(liveness(&monitor, "a"), Some(Failed));
    assert_eq!(log.told[1].at, start() + secs(600) + ms(2_250));

    // The next heartbeat ends the excuse.
    text(&mut monitor, start() + secs(611), "hb a interval=1s", &mut log);
    turn_until(&mut monitor, start() + secs(611) + ms(3_250), &mut log);
    assert_eq!(liveness(&monitor, "a"), Some(Suspect));
}

#[test]
fn a_deadline_beyond_the_wheels_horizon_is_kept_to_the_millisecond() {
    let limits = Limits { interval_max: secs(400 * 86_400), ..Limits::default() };
    let config = Config::new(Plan { limits, ..Plan::default() }).expect("a sound plan");
    let (mut monitor, mut log) = (Monitor::new(config, start()), Log::default());
    text(&mut monitor, start(), "hb yearly interval=300d", &mut log);
    turn_until(&mut monitor, start() + secs(2_000 * 86_400), &mut log);
    let days = |days: f64| start() + Span::from_millis((days * 86_400_000.0) as u64);
    assert_eq!(log.told[1], Told::new(days(975.0), "yearly", Alive, Suspect, Cause::Silence));
    assert_eq!(log.told[2], Told::new(days(1_875.0), "yearly", Suspect, Failed, Cause::Confirmed));
}

#[test]
fn a_node_without_a_declared_interval_is_judged_by_the_one_it_shows() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    for beat in 0..20 {
        text(&mut monitor, start() + ms(300) * beat, "hb quick", &mut log);
    }
    let last = start() + ms(300) * 19;
    turn_until(&mut monitor, last + secs(60), &mut log);
    let failed = log.told.last().expect("it fell silent");
    assert_eq!(failed.to, Failed);
    let took = failed.at.since(last);
    assert!((ms(1_700)..ms(2_100)).contains(&took), "6.25 intervals of 300 ms are 1,875 ms, not {took}");
}

#[test]
fn a_listed_node_that_never_comes_is_failed_after_its_grace() {
    let rule = Rule {
        name: "edge".into(),
        settings: Settings { grace: secs(30), ..Settings::default() },
        matches: vec![],
        nodes: vec!["edge-1".into(), "edge-2".into()],
    };
    let config = Config::new(Plan { groups: vec![rule], ..Plan::default() }).expect("a sound plan");
    let (mut monitor, mut log) = (Monitor::new(config, start()), Log::default());
    assert_eq!(liveness(&monitor, "edge-1"), Some(Unseen));
    text(&mut monitor, start() + secs(5), "hb edge-1 interval=1h group=other", &mut log);
    turn_until(&mut monitor, start() + secs(40), &mut log);
    assert_eq!(
        log.told,
        [
            Told::new(start() + secs(5), "edge-1", Unseen, Alive, Cause::FirstHeartbeat),
            Told::new(start() + secs(30), "edge-2", Unseen, Failed, Cause::NeverSeen),
        ]
    );
    let node = monitor.node(monitor.find(&NodeId::of("edge-1")).expect("known")).expect("known");
    assert_eq!(node.group.name(), "edge", "the configuration says where a listed node belongs");
}

#[test]
fn a_listed_node_that_comes_after_it_was_failed_comes_for_the_first_time() {
    for line in ["hb edge-1 inc=5 seq=1 interval=1s", "hb edge-1"] {
        let (mut monitor, mut log) = (Monitor::new(listing("edge-1"), start()), Log::default());
        turn_until(&mut monitor, start() + secs(61), &mut log);
        text(&mut monitor, start() + secs(62), line, &mut log);
        let back = log.told.last().expect("it came");
        assert_eq!((back.from, back.to, back.cause), (Failed, Alive, Cause::FirstHeartbeat), "{line}");
    }
}

#[test]
fn a_listed_node_that_is_forgotten_is_expected_anew() {
    let (mut monitor, mut log) = (Monitor::new(listing("edge-1"), start()), Log::default());
    text(&mut monitor, start(), "hb edge-1 interval=1s", &mut log);
    monitor.forget(monitor.find(&NodeId::of("edge-1")).expect("known"), start() + secs(1));
    assert_eq!(liveness(&monitor, "edge-1"), Some(Unseen));
    text(&mut monitor, start() + secs(2), "hb edge-1", &mut log);
    let node = monitor.node(monitor.find(&NodeId::of("edge-1")).expect("known")).expect("known");
    assert_eq!(node.group.name(), "edge");
}

#[test]
fn a_newer_heartbeat_with_an_earlier_arrival_does_not_shorten_the_wait() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    let at = start() + secs(10);
    text(&mut monitor, at, "hb a inc=1 seq=1 interval=1s", &mut log);
    let due = |monitor: &Monitor| monitor.node(monitor.find(&NodeId::of("a")).expect("known")).expect("known").due;
    let before = due(&monitor);
    let early = Datagram::new(b"hb a inc=1 seq=2 interval=1s", at - secs(2));
    monitor.turn(at, &[early], Backlog::Drained, &mut log);
    assert!(due(&monitor) >= before);
}

#[test]
fn what_a_former_life_declared_binds_the_new_one_to_nothing() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb a inc=1 seq=1 interval=1s", &mut log);
    text(&mut monitor, start() + secs(1), "bye a", &mut log);
    for beat in 0..100 {
        let at = start() + secs(10 + 30 * beat);
        turn_until(&mut monitor, at, &mut log);
        text(&mut monitor, at, &format!("hb a inc=2 seq={}", beat + 1), &mut log);
    }
    assert_eq!(log.told.iter().filter(|told| told.to == Failed).count(), 0);
}

#[test]
fn the_first_heartbeat_arrived_when_it_arrived_and_not_when_it_was_read() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    let first = Datagram::new(b"hb a interval=1s", start());
    monitor.turn(start() + secs(2), &[first], Backlog::Drained, &mut log);
    turn_until(&mut monitor, start() + ms(3_250), &mut log);
    assert_eq!(liveness(&monitor, "a"), Some(Suspect));
}

#[test]
fn losses_look_back_no_further_than_the_node_was_heard() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    let losses = |monitor: &Monitor| {
        let node = monitor.node(monitor.find(&NodeId::of("a")).expect("known")).expect("known");
        (node.evidence.lost, node.evidence.window)
    };
    text(&mut monitor, start(), "hb a inc=1 seq=1000000 interval=1s", &mut log);
    assert_eq!(losses(&monitor), (0, 1));
    text(&mut monitor, start() + secs(3), "hb a inc=1 seq=1000003", &mut log);
    assert_eq!(losses(&monitor), (2, 4));
}

#[test]
fn silence_is_judged_as_of_when_everything_was_seen_and_dated_when_it_was_decided() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb a interval=1s", &mut log);
    let (seen, now) = (start() + ms(3_249), start() + ms(9_000));
    monitor.turn(now, &[], Backlog::SeenUntil(seen), &mut log);
    assert_eq!(liveness(&monitor, "a"), Some(Alive), "a heartbeat may still lie unread");
    monitor.turn(now, &[], Backlog::SeenUntil(seen + ms(1)), &mut log);
    assert_eq!(log.told.last(), Some(&Told::new(now, "a", Alive, Suspect, Cause::Silence)));
}

#[test]
fn a_node_belongs_to_the_first_group_that_fits_it() {
    let rule = |name: &str, wanted: Match| Rule {
        name: name.into(),
        settings: Settings::default(),
        matches: vec![wanted],
        nodes: vec![],
    };
    let plan = Plan {
        groups: vec![
            rule("by-name", Match { node: Some(Pattern::new("edge-*")), ..Match::default() }),
            rule("by-label", Match { label: Some(("zone".into(), Pattern::new("eu-*"))), ..Match::default() }),
            rule("by-group", Match { group: Some(Pattern::new("web*")), ..Match::default() }),
        ],
        ..Plan::default()
    };
    let config = Config::new(plan).expect("a sound plan");
    let (mut monitor, mut log) = (Monitor::new(config, start()), Log::default());
    let lines = ["hb edge-1", "hb b l.zone=eu-1", "hb c group=web-9", "hb d group=by-label", "hb e group=own", "hb f"];
    for line in lines {
        text(&mut monitor, start(), line, &mut log);
    }
    for (node, group) in
        [("edge-1", "by-name"), ("b", "by-label"), ("c", "by-group"), ("d", "by-label"), ("e", "own"), ("f", "default")]
    {
        let view = monitor.node(monitor.find(&NodeId::of(node)).expect("known")).expect("known");
        assert_eq!(view.group.name(), group, "{node}");
    }

    // A label that comes later moves the node, and the counts follow.
    text(&mut monitor, start() + secs(1), "hb f l.zone=eu-2", &mut log);
    let count = |name: &str| monitor.groups().iter().find(|group| group.name() == name).map(|group| group.len());
    assert_eq!((count("by-label"), count("default")), (Some(3), Some(0)));
}

#[test]
fn a_name_that_travels_later_is_taken_up() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    let nameless = Message { name: None, ..numbered("web-1", 1, 1) };
    send(&mut monitor, start(), &nameless, &mut log);
    let ix = monitor.find(&NodeId::of("web-1")).expect("it is monitored at once");
    assert_eq!(monitor.node(ix).expect("known").called, Called::Id(NodeId::of("web-1")));
    send(&mut monitor, start() + secs(1), &numbered("web-1", 1, 2), &mut log);
    assert_eq!(monitor.node(ix).expect("known").called, Called::Name("web-1"));
}

#[test]
fn what_a_node_tells_about_itself_is_kept_until_it_tells_otherwise() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb a load=0.42 version=1.2.3 m.cpu=0.7 m.mem=5 l.zone=eu-1", &mut log);
    text(&mut monitor, start() + secs(1), "hb a m.cpu=0.9 m.mem=5", &mut log);
    let node = monitor.node(monitor.find(&NodeId::of("a")).expect("known")).expect("known");
    let payload = node.payload.expect("it told something");
    assert_eq!(node.load, Some(0.42));
    assert_eq!(payload.version(), Some("1.2.3"));
    assert_eq!(payload.metrics().collect::<Vec<_>>(), [("cpu", 0.9), ("mem", 5.0)]);
    assert_eq!(payload.labels().collect::<Vec<_>>(), [("zone", "eu-1")]);
}

#[test]
fn the_table_never_grows_beyond_its_maximum_and_real_nodes_are_unharmed() {
    let limits = Limits { max_nodes: 10, ..Limits::default() };
    let config = Config::new(Plan { limits, ..Plan::default() }).expect("a sound plan");
    let (mut monitor, mut log) = (Monitor::new(config, start()), Log::default());
    for invented in 0..1_000 {
        text(&mut monitor, start(), &format!("hb node-{invented}"), &mut log);
    }
    assert_eq!(monitor.len(), 10);
    assert_eq!(monitor.counters().rejected(Reject::TableFull), 990);
    text(&mut monitor, start() + secs(1), "hb node-3", &mut log);
    assert_eq!(monitor.counters().heartbeats, 11);
}

#[test]
fn a_network_that_brings_too_many_new_nodes_waits_and_its_known_ones_are_heard() {
    let config = |burst| {
        let limits = Limits { new_nodes: Some(NewNodes { burst, every: secs(1) }), ..Limits::default() };
        Config::new(Plan { limits, ..Plan::default() }).expect("a sound plan")
    };
    let (mut monitor, mut log) = (Monitor::new(config(5), start()), Log::default());
    let mut come = |monitor: &mut Monitor, at, source, names: std::ops::Range<u32>| {
        for name in names {
            let line = format!("hb node-{name} interval=1h");
            let datagram = Datagram { source: Source::new(source), ..Datagram::new(line.as_bytes(), at) };
            monitor.turn(at, &[datagram], Backlog::Drained, &mut log);
        }
        (monitor.len(), monitor.counters().rejected(Reject::RateLimited))
    };
    assert_eq!(come(&mut monitor, start(), 1, 0..8), (5, 3));
    assert_eq!(come(&mut monitor, start() + ms(1), 1, 0..5), (5, 3), "those are known");
    assert_eq!(come(&mut monitor, start(), 2, 10..15), (10, 3));
    assert_eq!(come(&mut monitor, start() + secs(2), 1, 5..8), (12, 4), "a second, a node");
    monitor.reconfigure(config(100), start() + secs(2)).expect("it changes");
    assert_eq!(come(&mut monitor, start() + secs(2), 1, 20..90), (82, 4));
}

#[test]
fn groups_beyond_the_maximum_fall_into_the_default_group() {
    let limits = Limits { max_groups: 3, ..Limits::default() };
    let config = Config::new(Plan { limits, ..Plan::default() }).expect("a sound plan");
    let (mut monitor, mut log) = (Monitor::new(config, start()), Log::default());
    for group in 0..5 {
        text(&mut monitor, start(), &format!("hb n{group} group=g{group}"), &mut log);
    }
    assert_eq!(monitor.groups().len(), 3);
    assert_eq!(monitor.groups()[0].len(), 3);
    assert_eq!(monitor.counters().groups_refused, 3);
}

#[test]
fn a_full_list_of_groups_hides_no_configured_one() {
    let rule = Rule {
        name: "web".into(),
        settings: Settings::default(),
        matches: vec![Match { group: Some(Pattern::new("web-*")), ..Match::default() }],
        nodes: vec![],
    };
    let limits = Limits { max_groups: 2, ..Limits::default() };
    let config = Config::new(Plan { groups: vec![rule], limits, ..Plan::default() }).expect("a sound plan");
    let (mut monitor, mut log) = (Monitor::new(config, start()), Log::default());
    for line in ["hb a group=invented", "hb b group=web-7", "hb c", "hb c group=web-8"] {
        text(&mut monitor, start(), line, &mut log);
    }
    for (node, group) in [("a", "default"), ("b", "web"), ("c", "web")] {
        let view = monitor.node(monitor.find(&NodeId::of(node)).expect("known")).expect("known");
        assert_eq!(view.group.name(), group, "{node}");
    }
}

#[test]
fn an_outage_says_nothing_about_the_rhythm() {
    #[derive(Default)]
    struct Lateness(Vec<Span>);
    impl systole_core::event::Sink for Lateness {
        fn transition(&mut self, _: &systole_core::event::Transition<'_>) {}
        fn heartbeat(&mut self, _: systole_core::GroupIx, late: Span, _: u64) {
            self.0.push(late);
        }
    }
    let (mut monitor, mut rhythm) = (monitor(), Lateness::default());
    for second in [0, 1, 100, 101] {
        let at = start() + secs(second);
        turn_until(&mut monitor, at - ms(1), &mut Log::default());
        let line = Datagram::new(b"hb a interval=1s", at);
        monitor.turn(at, &[line], Backlog::Drained, &mut rhythm);
    }
    assert_eq!(rhythm.0, [Span::ZERO, Span::ZERO], "the 99 s that it was failed are no lateness");
}

#[test]
fn a_forgotten_nodes_place_has_nothing_of_its_former_owner() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb short interval=100ms load=0.9 version=1", &mut log);
    let ix = monitor.find(&NodeId::of("short")).expect("known");
    let former = monitor.node(ix).expect("known").generation;
    monitor.forget(ix, start());
    assert_eq!((monitor.len(), monitor.node(ix).is_none()), (0, true));
    text(&mut monitor, start(), "hb long interval=1h", &mut log);
    let node = monitor.node(ix).expect("the place is used again");
    assert_eq!((node.called, node.load, node.payload.is_none()), (Called::Name("long"), None, true));
    assert_ne!(node.generation, former);
    turn_until(&mut monitor, start() + secs(3_600), &mut log);
    assert!(log.told.iter().all(|told| told.to == Alive), "nobody fires at the former owner's deadline");
    assert_eq!(monitor.groups()[0].len(), 1);
}

#[test]
fn a_goodbye_from_nobody_makes_no_node() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "bye nobody", &mut log);
    assert_eq!(monitor.len(), 0);
    assert_eq!(monitor.counters().rejected(Reject::UnknownNode), 1);
}

#[test]
fn messages_of_other_shares_are_handed_on_and_not_judged() {
    let share = Share::new(0, 2).expect("a share");
    let config = Config::new(Plan { share, ..Plan::default() }).expect("a sound plan");
    let (mut monitor, mut log) = (Monitor::new(config, start()), Log::default());
    let mut datagram = Vec::new();
    let names: Vec<String> = (0..20).map(|i| format!("node-{i}")).collect();
    for name in &names {
        emit_binary(&numbered(name, 1, 1), &mut datagram).expect("it can be sent");
    }
    let datagram = Datagram::new(&datagram, start());
    monitor.turn(start(), &[datagram], Backlog::Drained, &mut log);
    let own = names.iter().filter(|name| share.holds(NodeId::of(name))).count();
    assert_eq!((monitor.len(), log.foreign.len()), (own, 20 - own));

    // Their owner takes what was handed on as it is.
    let share = Share::new(1, 2).expect("a share");
    let config = Config::new(Plan { share, ..Plan::default() }).expect("a sound plan");
    let mut owner = Monitor::new(config, start());
    let handed: Vec<Datagram<'_>> = log.foreign.iter().map(|bytes| Datagram::new(bytes, start())).collect();
    owner.turn(start(), &handed, Backlog::Drained, &mut Log::default());
    assert_eq!(owner.len(), 20 - own);
}

#[test]
fn any_bytes_are_counted_and_change_nothing() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    text(&mut monitor, start(), "hb a interval=1s", &mut log);
    let bad: [&[u8]; 6] = [b"", b"GET / HTTP/1.1", b"hb", b"hb a interval=0s", b"hb a load=nan", &[0xF5, 1, 1]];
    let batch = bad.map(|bytes| Datagram::new(bytes, start() + secs(3)));
    monitor.turn(start() + secs(3), &batch, Backlog::Drained, &mut log);
    let long = Datagram { truncated: true, ..Datagram::new(b"hb a interval=1s", start() + secs(3)) };
    monitor.turn(start() + secs(3), &[long], Backlog::Drained, &mut log);
    let rejected: u64 = Reject::ALL.iter().map(|reason| monitor.counters().rejected(*reason)).sum();
    assert_eq!((rejected, monitor.counters().heartbeats), (7, 1));
    turn_until(&mut monitor, start() + ms(3_250), &mut log);
    assert_eq!(liveness(&monitor, "a"), Some(Suspect));
}

#[test]
fn a_full_outlet_delays_verdicts_and_loses_none() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    for node in 0..100 {
        text(&mut monitor, start(), &format!("hb n{node} interval=1s"), &mut log);
    }
    log.room = 0;
    let due = start() + ms(3_250);
    assert!(monitor.turn(due, &[], Backlog::Drained, &mut log).is_some_and(|wake| wake <= due));
    assert_eq!(log.told.len(), 100, "nobody was declared into a full outlet");
    log.room = 10;
    while log.told.len() < 200 {
        let before = log.told.len();
        monitor.turn(due, &[], Backlog::Drained, &mut log);
        assert!(log.told.len() - before <= 10);
    }
    log.room = usize::MAX;
    turn_until(&mut monitor, due, &mut log);
    assert_eq!(log.told.len(), 200, "each was declared once");
}

#[test]
fn a_refused_first_message_lends_its_node_to_nobody() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    send(&mut monitor, start(), &numbered("a", 1, 1), &mut log);
    send(&mut monitor, start(), &numbered("b", 1, 1), &mut log);
    let mut packed = Vec::new();
    emit_binary(&numbered("a", 1, 2), &mut packed).expect("it can be sent");
    packed[2] = 77; // a kind that nobody knows
    emit_binary(&numbered("b", 1, 3), &mut packed).expect("it can be sent");
    let at = start() + secs(3);
    monitor.turn(at, &[Datagram::new(&packed, at)], Backlog::Drained, &mut log);
    turn_until(&mut monitor, start() + ms(3_250), &mut log);
    assert_eq!((liveness(&monitor, "a"), liveness(&monitor, "b")), (Some(Suspect), Some(Alive)));
}

#[test]
fn metrics_and_labels_come_through_the_binary_form_too() {
    let (mut monitor, mut log) = (monitor(), Log::default());
    let message = Message {
        extras: Extras::pairs(&[("cpu", 0.5)], &[("zone", "eu-1")]),
        load: Some(0.25),
        ..numbered("a", 1, 1)
    };
    send(&mut monitor, start(), &message, &mut log);
    let node = monitor.node(monitor.find(&NodeId::of("a")).expect("known")).expect("known");
    assert_eq!(node.load, Some(0.25));
    assert_eq!(node.payload.expect("told").labels().collect::<Vec<_>>(), [("zone", "eu-1")]);
}
