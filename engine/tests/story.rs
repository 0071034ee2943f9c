//! The monitor as its users meet it: real datagrams in, verdicts out over HTTP.

mod common;

use std::time::{Duration, Instant};

use common::Running;
use systole::config::Setup;
use systole::daemon;
use systole::model::{Event, State};
use systole_core::wire::{Message, emit_binary};
use systole_core::{Incarnation, Seq, Span};

fn beat(name: &str, seq: u64, interval: Span) -> Vec<u8> {
    let message = Message {
        incarnation: Some(Incarnation::new(1)),
        seq: Some(Seq::new(seq)),
        interval: Some(interval),
        ..Message::heartbeat(name)
    };
    let mut bytes = Vec::new();
    emit_binary(&message, &mut bytes).expect("it can be sent");
    bytes
}

#[test]
fn one_line_of_text_tells_the_whole_story() {
    let monitor = Running::start(1);
    monitor.send("hb web-1 group=web interval=100ms load=0.42 version=1.2.3 m.cpu=0.7 l.zone=eu-1\n");
    let node = monitor.wait_for("web-1", State::Alive);
    assert_eq!((node.group.as_str(), node.interval_ms, node.load), ("web", 100, Some(0.42)));
    assert_eq!(node.version.as_deref(), Some("1.2.3"));
    assert_eq!(node.metrics.get("cpu"), Some(&0.7));
    assert_eq!(node.labels.get("zone").map(String::as_str), Some("eu-1"));

    monitor.wait_for("web-1", State::Suspect);
    let failed = monitor.wait_for("web-1", State::Failed);
    for part in ["failed at", "last heartbeat", "deadline", "chen", "group web", "interval 100 ms", "beats lost"] {
        assert!(failed.reason.contains(part), "{part:?} is missing in {:?}", failed.reason);
    }
    monitor.send("hb web-1 interval=100ms");
    monitor.wait_for("web-1", State::Alive);
    monitor.send("bye web-1");
    monitor.wait_for("web-1", State::Left);

    // A shard answers for its node before the journal's thread has written down what happened.
    monitor.wait_for_status(|status| status.events_last >= 5);
    let events = monitor.events();
    let told: Vec<(State, State)> = events.iter().map(|event| (event.from.unwrap(), event.to.unwrap())).collect();
    assert_eq!(
        told,
        [
            (State::Unseen, State::Alive),
            (State::Alive, State::Suspect),
            (State::Suspect, State::Failed),
            (State::Failed, State::Alive),
            (State::Alive, State::Left),
        ]
    );
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(events[2].evidence.is_some(), "a failure comes with its evidence");
    monitor.stop();
}

#[test]
fn every_node_finds_its_shard_in_either_form_and_in_packed_datagrams() {
    let monitor = Running::start(4);
    for node in 0..200 {
        monitor.send(format!("hb text-{node} interval=1h"));
        monitor.send(beat(&format!("binary-{node}"), 1, Span::from_secs(3_600)));
    }
    let packed: Vec<Vec<u8>> =
        (0..200).map(|node| beat(&format!("packed-{node}"), 1, Span::from_secs(3_600))).collect();
    packed.chunks(10).for_each(|chunk| monitor.send(chunk.concat()));

    let status = monitor.wait_for_status(|status| status.nodes.alive == 600);
    assert_eq!((status.heartbeats_total, status.shards.len()), (600, 4));
    assert!(status.shards.iter().all(|shard| shard.nodes > 75), "nodes spread over shards: {:?}", status.shards);
    assert!(status.shards.iter().map(|shard| shard.handed_over_total).sum::<u64>() > 0);
    monitor.stop();
}

#[test]
fn text_nodes_of_other_shards_are_never_suspected_while_they_beat() {
    let monitor = Running::start(4);
    let start = Instant::now();
    let mut next = start;
    while start.elapsed() < Duration::from_secs(3) {
        for node in 0..50 {
            monitor.send(format!("hb text-{node} interval=100ms"));
        }
        next += Duration::from_millis(100);
        // Paced by the socket's own timeout: nobody ever answers.
        let pause = next.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
        monitor.socket.set_read_timeout(Some(pause)).expect("a timeout");
        let _ = monitor.socket.recv(&mut [0; 16]);
    }
    let wrong: Vec<Event> = monitor.events().into_iter().filter(|event| event.to != Some(State::Alive)).collect();
    // A test machine may stall for longer than 325 ms; then the sender was late, and that is the truth.
    let late = wrong.iter().filter(|event| event.to == Some(State::Failed)).count();
    assert_eq!(late, 0, "{wrong:?}");
    monitor.stop();
}

#[test]
fn any_datagram_is_counted_and_harms_nobody() {
    let monitor = Running::start(2);
    monitor.send("hb web-1 interval=1h");
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n", b"hb web-1 load=x", &[0xF5; 9], &[0; 2_048], &[b'x'; 3_000]] {
        monitor.send(bytes);
    }
    let status =
        monitor.wait_for_status(|status| status.rejected.values().sum::<u64>() == 6 && status.nodes.alive == 1);
    assert_eq!((status.nodes.alive, status.nodes.total()), (1, 1));
    monitor.stop();
}

#[test]
fn a_stopped_monitor_gives_its_ports_back() {
    let monitor = Running::start(2);
    let (udp, http) = (monitor.daemon.udp_addrs().to_vec(), monitor.daemon.http_addr());
    monitor.stop();
    let mut setup = Setup::default();
    setup.listen.udp = udp;
    setup.listen.http = http;
    daemon::start(&setup).expect("the same ports").stop().expect("a clean stop");
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let monitor = Running::start(1);
    let mut setup = Setup::default();
    setup.listen.udp = monitor.daemon.udp_addrs().to_vec();
    setup.listen.http = None;
    let error = format!("{:#}", daemon::start(&setup).expect_err("the port is taken"));
    assert!(error.contains(&monitor.udp().to_string()) && error.contains("taken"), "{error}");
    monitor.stop();
}
