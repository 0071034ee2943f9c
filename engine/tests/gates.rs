//! What the monitor does before it believes that many have died: a real monitor, real sockets, real
//! stops and floods. Each in a form of seconds; with `SYSTOLE_LONG=1` in the form of docs/RELIABILITY.md.

mod beaters;
mod common;
mod process;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use beaters::Beaters;
use common::{PATIENCE, Running};
use process::{Process, is_long};
use systole::config::Setup;
use systole::model::{Event, State, Status};
use systole_core::config::{GuardSettings, Plan, Settings};
use systole_core::{Span, Wait};

/// Two groups: nodes 0 to 49 are `web`, 50 to 99 are `db`; each is in one of five racks.
fn lines() -> Vec<String> {
    let group = |i| if i < 50 { "web" } else { "db" };
    (0..100).map(|i| format!("n{i} group={} l.rack=r{}", group(i), i % 5)).collect()
}

fn guarded(guard: GuardSettings) -> impl FnOnce(&mut Setup) {
    move |setup| setup.plan = Plan { guard: Some(guard), ..setup.plan.clone() }
}

fn everybody_is_up(running: &Running, nodes: u64) -> u64 {
    running.wait_for_status(|status| status.nodes.alive == nodes).events_last
}

fn since(running: &Running, seq: u64) -> Vec<Event> {
    running.client.events(seq, 10_000, &[]).expect("an answer").events
}

fn wait_for_event(running: &Running, seq: u64, cause: &str) -> Event {
    let start = Instant::now();
    loop {
        if let Some(event) = since(running, seq).into_iter().find(|event| event.cause == cause) {
            return event;
        }
        assert!(start.elapsed() < PATIENCE, "no {cause} in {:#?}", since(running, seq));
        std::thread::yield_now();
    }
}

/// Why no verdict is given about a node, once it would be due.
fn wait_for_held(running: &Running, node: &str) -> String {
    let start = Instant::now();
    loop {
        let node = running.wait_for(node, State::Suspect);
        if let Some(held) = node.held {
            return held;
        }
        assert!(start.elapsed() < PATIENCE, "never held: {node:?}");
        std::thread::yield_now();
    }
}

fn failed(events: &[Event]) -> Vec<&str> {
    let failed = events.iter().filter(|event| event.is_change() && event.to == Some(State::Failed));
    failed.filter_map(|event| event.node.as_deref()).collect()
}

#[test]
fn a_group_that_is_cut_off_is_one_event_and_a_death_elsewhere_is_found_in_time() {
    for shards in [1, 2] {
        for cut in [8, 25, 50] {
            let running = Running::with(shards, guarded(GuardSettings::default()));
            let fleet = Beaters::start(running.udp(), lines());
            let from = everybody_is_up(&running, 100);
            fleet.set(0..cut, false);
            let hold = wait_for_event(&running, from, "hold");
            assert_eq!(hold.scope.as_deref(), Some("group web"), "{}", hold.reason);
            let held = wait_for_held(&running, "n3");
            assert!(held.starts_with("withheld (guard)"), "{held}");
            let group = running.client.group("web").expect("an answer").expect("it is there");
            assert!(group.hold.is_some_and(|hold| hold.contains("group web fell silent together")));
            assert_eq!(running.client.holds().expect("an answer").holds.len(), 1);

            // Meanwhile one dies elsewhere.
            fleet.set([60], false);
            let died = running.wait_for("n60", State::Failed);
            assert!(died.reason.contains("group db") && !died.reason.contains("withheld"), "{}", died.reason);

            fleet.set(0..cut, true);
            wait_for_event(&running, from, "hold_recovered");
            running.wait_for_status(|status| status.nodes.alive == 99 && status.holds.is_empty());
            let events = since(&running, from);
            assert_eq!(failed(&events), ["n60"], "{shards} shards, {cut} cut");
            let notes: Vec<&str> = events.iter().filter(|e| !e.is_change()).map(|e| &*e.cause).collect();
            assert_eq!(notes, ["hold", "hold_recovered"], "{shards} shards, {cut} cut: {events:#?}");
            let withheld = running.client.status().expect("an answer").withheld["guard"];
            assert!(withheld >= 1, "{withheld}");
            drop(fleet);
            running.stop();
        }
    }
}

#[test]
fn a_rack_explains_its_nodes_across_groups() {
    let guard = GuardSettings { labels: vec!["rack".into()], ..GuardSettings::default() };
    let running = Running::with(2, guarded(guard));
    let fleet = Beaters::start(running.udp(), lines());
    let from = everybody_is_up(&running, 100);
    let rack = || (0..100).filter(|node| node % 5 == 2);
    fleet.set(rack(), false);
    let hold = wait_for_event(&running, from, "hold");
    assert_eq!(hold.scope.as_deref(), Some("label rack=r2"));
    fleet.set([60], false);
    running.wait_for("n60", State::Failed);

    // Somebody went and looked.
    let output = process::systole(&["holds", "dead", "label rack=r2", "--http", running.client.url()]).output();
    assert!(output.expect("it runs").status.success());
    running.wait_for_status(|status| status.nodes.failed == 21);
    let output = process::systole(&["holds", "dead", "group web", "--http", running.client.url()]).output();
    assert_eq!(output.expect("it runs").status.code(), Some(1), "that isn't held");
    let events = since(&running, from);
    let notes: Vec<&str> = events.iter().filter(|event| !event.is_change()).map(|event| &*event.cause).collect();
    assert_eq!(notes, ["hold", "hold_confirmed"], "{events:#?}");
    let evidence = events.iter().find(|e| e.node.as_deref() == Some("n2") && e.to == Some(State::Failed));
    let evidence = evidence.and_then(|event| event.evidence.clone()).expect("it has evidence");
    assert_eq!(evidence.withheld.as_deref(), Some("guard"));
    assert!(evidence.held_ms > 0 && evidence.monitor_lag_ms < 1_000.0, "{evidence:?}");
    drop(fleet);
    running.stop();
}

#[test]
fn a_hold_ends_by_itself_and_then_so_many_are_failed_a_second() {
    let guard = GuardSettings { longest: Span::from_secs(2), rate: 20.0, ..GuardSettings::default() };
    let running = Running::with(1, guarded(guard));
    let fleet = Beaters::start(running.udp(), lines());
    let from = everybody_is_up(&running, 100);
    fleet.set(0..40, false);
    wait_for_event(&running, from, "hold");
    let began = Instant::now();
    wait_for_event(&running, from, "hold_expired");
    assert!(began.elapsed() >= Duration::from_millis(1_800), "{:?}", began.elapsed());
    let expired = Instant::now();
    running.wait_for_status(|status| status.nodes.failed == 40);
    // 20 at once, which a second of waiting has earned, and 20 in the second after it.
    assert!(expired.elapsed() >= Duration::from_millis(800), "{:?}", expired.elapsed());
    drop(fleet);
    running.stop();
}

#[test]
fn a_fleet_that_is_made_smaller_latches_no_guard() {
    for goodbye in [true, false] {
        let guard = GuardSettings {
            longest: Span::from_secs(2),
            rate: 100.0,
            window: Span::from_secs(4),
            ..GuardSettings::default()
        };
        let running = Running::with(2, guarded(guard));
        let fleet = Beaters::start(running.udp(), lines());
        let from = everybody_is_up(&running, 100);
        let gone = || (0..100).filter(|node| node % 5 < 2);
        fleet.set(gone(), false);
        if goodbye {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            // Again, since a last heartbeat of theirs may have been on its way.
            running.wait_for_status(|status| {
                gone().for_each(|i| _ = socket.send_to(format!("bye n{i}").as_bytes(), running.udp()));
                status.nodes.left == 40
            });
        } else {
            wait_for_event(&running, from, "hold_expired");
            running.wait_for_status(|status| status.nodes.failed == 40);
        }
        running.wait_for_status(|status| status.holds.is_empty());

        // Sixty are a fleet like any other: who dies of it is found, and isn't held.
        let from = running.client.status().expect("an answer").events_last;
        fleet.set([4], false);
        wait_for_event(&running, from, "confirmed");
        let events = since(&running, from);
        assert_eq!(failed(&events), ["n4"], "goodbye: {goodbye}");
        assert!(events.iter().all(Event::is_change), "{events:#?}");
        drop(fleet);
        running.stop();
    }
}

/// A line of a fleet's report.
fn number(report: &serde_json::Value, path: &str) -> u64 {
    report.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("no {path} in {report:#}"))
}

#[test]
fn a_monitor_that_is_stopped_fails_nobody_and_finds_who_died_meanwhile() {
    let (nodes, stops) = if is_long() { ("100000", &[0.5, 3.0, 30.0][..]) } else { ("2000", &[0.5, 3.0][..]) };
    for seconds in stops {
        let monitor = Process::start(&[]);
        let length = format!("{}s", 22 + *seconds as u64);
        let fleet =
            process::systole(&["fleet", "--to", &monitor.udp, "--events", &monitor.http, "--json", "--seed", "3"])
                .args(["--nodes", nodes, "--interval", "1s", "--kill", "1@4500ms", "--for", &length])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("it runs");
        monitor.wait_for_status(|status| status.nodes.alive >= nodes.parse::<u64>().expect("a number"));
        std::thread::sleep(Duration::from_secs(2));
        monitor.signal("STOP");
        std::thread::sleep(Duration::from_secs_f64(*seconds));
        monitor.signal("CONT");
        let output = fleet.wait_with_output().expect("it ends");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(number(&report, "/verdicts/false"), 0, "{seconds} s: {report:#}");
        assert_eq!(number(&report, "/verdicts/failed"), 1, "{seconds} s: {report:#}");
        let status = monitor.status();
        eprintln!(
            "stopped for {seconds} s with {nodes} nodes: 0 false, the dead one found {} ms after its last heartbeat, \
             loop gap {} ms, {} dropped, withheld {:?}",
            report.pointer("/verdicts/detection_ms/max").cloned().unwrap_or_default(),
            status.health.loop_gap_max_ms,
            status.datagrams_dropped_total,
            status.withheld
        );
    }
}

/// Sends as fast as it can what nobody believes, until it is told to stop; counts what it sent.
fn flood(to: SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(to).expect("an address");
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            sent += u64::from(socket.send(b"hb flood load=no").is_ok());
        }
        sent
    })
}

#[test]
fn what_we_lose_is_counted_to_the_last_datagram_and_held_against_nobody() {
    let seconds = if is_long() { 30 } else { 4 };
    let running = Running::with(1, |setup| {
        setup.listen.receive_buffer = 64 << 10;
        setup.plan.guard = None;
        setup.plan.default = Settings { confirm: Wait::Intervals(1.0), ..Settings::default() };
    });
    let fleet = Beaters::start(running.udp(), lines());
    let from = everybody_is_up(&running, 100);
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..3).map(|_| flood(running.udp(), Arc::clone(&stop))).collect();
    // Nobody can be told from the dead while most of what they send is lost, and that is said.
    let overload = wait_for_event(&running, from, "overload");
    assert!(overload.reason.contains("lost on the monitor's side"), "{}", overload.reason);
    std::thread::sleep(Duration::from_secs(seconds));
    stop.store(true, Ordering::Relaxed);
    let flooded: u64 = floods.into_iter().map(|flood| flood.join().expect("it ends")).sum();
    wait_for_event(&running, overload.seq, "overload_over");
    running.wait_for_status(|status| status.nodes.alive == 100);
    let events = since(&running, from);
    assert_eq!(failed(&events), [] as [&str; 0]);

    // One that dies now is found.
    fleet.set([7], false);
    running.wait_for("n7", State::Failed);
    drop(fleet);
    let all =
        |status: &Status| status.shards.iter().map(|s| s.datagrams_total + s.datagrams_dropped_total).sum::<u64>();
    let status = running.client.status().expect("an answer");
    let (dropped, beats) = (status.datagrams_dropped_total, all(&status) - flooded);
    assert!(dropped > flooded / 100, "{dropped} of {flooded} is no flood");
    // A hundred nodes that beat five times a second, but for those heartbeats that were lost.
    let most = 100 * 5 * (from.max(60) + seconds + 120);
    assert!(beats > 0 && beats < most, "{beats} beats beside {flooded} of the flood, {dropped} dropped");
    eprintln!("{flooded} of the flood in {seconds} s, {dropped} dropped, {beats} heartbeats: 0 false failures");
    running.stop();
}

#[test]
fn a_first_heartbeat_of_everybody_at_once_accuses_nobody() {
    let nodes: u64 = if is_long() { 1_000_000 } else { 50_000 };
    let monitor = Process::start(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(&monitor.udp).expect("an address");
    let began = Instant::now();
    for node in 0..nodes {
        _ = socket.send(format!("hb node-{node} interval=60s seq=1").as_bytes());
    }
    let took = began.elapsed();
    let status = monitor.wait_for_status(|status| {
        status.nodes.total() + status.datagrams_dropped_total >= nodes && status.health.behind_ms == 0
    });
    assert_eq!(status.nodes.alive, status.nodes.total(), "{status:?}");
    assert!(status.nodes.failed == 0 && status.nodes.suspect == 0);
    eprintln!(
        "{nodes} first heartbeats in {took:?}: {} alive, {} dropped, longest turn {} ms, longest loop gap {} ms",
        status.nodes.alive, status.datagrams_dropped_total, status.health.turn_max_ms, status.health.loop_gap_max_ms
    );
}

#[test]
fn invented_names_fill_no_memory_and_harm_no_real_node() {
    let (most, invented) = if is_long() { (1_000_000, 10_000_000) } else { (20_000, 200_000) };
    let monitor = Process::start(&["[limits]", &format!("max_nodes = {most}")]);
    let to = monitor.udp.parse().expect("an address");
    let fleet = Beaters::start(to, (0..50).map(|i| format!("real-{i}")).collect());
    monitor.wait_for_status(|status| status.nodes.alive == 50);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(to).expect("an address");
    let fill = |from: u64, until: u64| {
        (from..until).for_each(|node| _ = socket.send(format!("hb invented-{node} interval=1h").as_bytes()));
    };
    fill(0, invented / 2);
    monitor.wait_for_status(|status| status.nodes.total() >= most && status.health.behind_ms == 0);
    let full = monitor.resident_kib();
    fill(invented / 2, invented);
    let status = monitor.wait_for_status(|status| status.rejected["table_full"] > 0 && status.health.behind_ms == 0);
    let after = monitor.resident_kib();
    assert_eq!(status.nodes.total(), most);
    assert!(after < full + full / 20 + 4_096, "{full} KiB when full, {after} KiB after as many more");
    let real = |status: &Status| status.nodes.alive == most && status.nodes.failed == 0;
    assert!(real(&monitor.status()) || real(&monitor.wait_for_status(real)), "the real ones are as they were");
    eprintln!("{invented} invented names against {most}: {full} KiB when full, {after} KiB in the end");
    drop(fleet);
}
