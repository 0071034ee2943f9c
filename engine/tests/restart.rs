//! A restart is harmless: a monitor that is killed under load goes on where it was.
//!
//! Five lives in a row; with `SYSTOLE_LONG=1` fifty.

mod common;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::process::{Process, until};
use jiff::Timestamp;
use systole::model::{Event, State};
use systole_core::wire::{Message, emit_binary};
use systole_core::{Incarnation, Seq, Span};

const NODES: usize = 3_000;

/// As declared; they beat twice as often, so that a busy test machine accuses nobody.
const INTERVAL: Span = Span::from_millis(500);
const ROUND: Duration = Duration::from_millis(250);

/// Suspect after 3.25 intervals, failed after 3 more.
const TIMEOUT_MS: i64 = 3_125;

/// What a busy machine may add to a verdict.
const SLACK_MS: i64 = 5_000;

fn beat(name: &str, seq: u64, out: &mut Vec<u8>) {
    let message = Message {
        incarnation: Some(Incarnation::new(1)),
        seq: Some(Seq::new(seq)),
        interval: Some(INTERVAL),
        ..Message::heartbeat(name)
    };
    emit_binary(&message, out).expect("it can be sent");
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

/// Nodes that beat whether or not anybody listens, and newcomers all the time, so that there are always events.
struct Fleet {
    dead: Arc<Mutex<BTreeSet<usize>>>,
    rounds: Arc<AtomicU64>,
    longest_pause_ms: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fleet {
    fn start(to: SocketAddr) -> Self {
        let mut fleet = Self {
            dead: Arc::default(),
            rounds: Arc::default(),
            longest_pause_ms: Arc::default(),
            over: Arc::default(),
            thread: None,
        };
        let (dead, rounds) = (Arc::clone(&fleet.dead), Arc::clone(&fleet.rounds));
        let (pause, over) = (Arc::clone(&fleet.longest_pause_ms), Arc::clone(&fleet.over));
        let thread = thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let mut due = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let round = rounds.fetch_add(1, Ordering::Relaxed) + 1;
                for part in 0..10 {
                    let dead = dead.lock().expect("nobody panicked").clone();
                    let mut datagram = Vec::new();
                    for node in (part..NODES).step_by(10).filter(|node| !dead.contains(node)) {
                        beat(&name(node), round, &mut datagram);
                        if datagram.len() > 1_200 {
                            // While the monitor is down nobody takes them.
                            let _ = socket.send_to(&datagram, to);
                            datagram.clear();
                        }
                    }
                    let _ = socket.send_to(&datagram, to);
                    let _ = socket.send_to(format!("hb churn-{round}-{part} interval=1h").as_bytes(), to);
                    due += ROUND / 10;
                    let now = Instant::now();
                    pause.fetch_max(now.saturating_duration_since(due).as_millis() as u64, Ordering::Relaxed);
                    due = due.max(now);
                    thread::sleep(due - now);
                }
            }
        });
        fleet.thread = Some(thread);
        fleet
    }

    fn kill(&self, node: usize) {
        self.dead.lock().expect("nobody panicked").insert(node);
    }

    fn dead(&self) -> BTreeSet<String> {
        self.dead.lock().expect("nobody panicked").iter().map(|node| name(*node)).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn millis(at: &str) -> i64 {
    at.parse::<Timestamp>().expect(at).as_millisecond()
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

fn is_failure(event: &Event) -> bool {
    event.is_change() && event.to == Some(State::Failed)
}

fn failures<'e>(events: &'e [Event], node: &str) -> Vec<&'e Event> {
    events.iter().filter(|event| event.node.as_deref() == Some(node) && is_failure(event)).collect()
}

fn assert_contiguous(events: &[Event]) {
    let gap = events.iter().zip(1..).find(|(event, seq)| event.seq != *seq);
    assert!(gap.is_none(), "numbers go on one by one from 1: {gap:?}");
}

#[test]
fn a_monitor_that_is_killed_under_load_goes_on_where_it_was() {
    let lives = if std::env::var_os("SYSTOLE_LONG").is_some() { 50 } else { 5 };
    let dir = tempfile::tempdir().expect("a directory");
    let (config, state) = (dir.path().join("systole.toml"), dir.path().join("state"));
    // The memory is small, so that most of the past is read back from the disk.
    let text =
        format!("state_dir = {state:?}\n[listen]\nshards = 2\n[snapshot]\nevery = \"700ms\"\n[events]\nkeep = 500\n");
    std::fs::write(&config, text).expect("written");
    let flags = ["--config", config.to_str().expect("a path")];

    let process = Process::start(None, &flags);
    let (udp, fleet) = (process.udp, Fleet::start(process.udp));
    process.wait_for_status(|status| status.nodes.alive >= NODES as u64);
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    let mut process = Some(process);
    for life in 0..lives {
        let former = process.take().expect("one runs");
        // Every other node dies while its monitor is dead, the others just before.
        let victim = life;
        if life % 2 == 0 {
            fleet.kill(victim);
        }
        let last = seen.last().map_or(0, |event: &Event| event.seq);
        former.wait_for_status(|status| status.events_last > last + 10);
        seen = former.events(0);
        former.kill();
        fleet.kill(victim);

        let begun = now();
        let monitor = Process::start(Some(udp), &flags);
        let known = monitor.status().nodes;
        assert!(known.total() >= NODES as u64, "known from the start: {known:?}");
        let again = monitor.events(0);
        assert_eq!(again[..seen.len()], seen, "what was seen of the former life is what is there");

        let victim = name(victim);
        monitor.wait_for(&victim, State::Failed);
        let events = until(|| Some(monitor.events(0)).filter(|events| !failures(events, &victim).is_empty()));
        assert_contiguous(&events);
        let [failure] = failures(&events, &victim)[..] else { panic!("{victim} died once") };
        let after = millis(&failure.at) - begun;
        assert!((TIMEOUT_MS..TIMEOUT_MS + SLACK_MS).contains(&after), "found {after} ms after the start: {failure:?}");
        assert!(failure.reason.contains("before the monitor restarted at ") || life % 2 == 1, "{}", failure.reason);
        found.push(after);

        // An old heartbeat, replayed, wakes nobody.
        let refused = monitor.status().rejected["not_newer"];
        let mut old = Vec::new();
        beat(&victim, 1, &mut old);
        monitor.send(&old);
        monitor.wait_for_status(|status| status.rejected["not_newer"] > refused);
        assert_eq!(monitor.node(&victim).map(|node| node.state), Some(State::Failed));
        process = Some(monitor);
    }

    let monitor = process.take().expect("one runs");
    let events = monitor.events(0);
    let dead = fleet.dead();
    let failed: Vec<&Event> = events.iter().filter(|event| is_failure(event)).collect();
    let pause = fleet.longest_pause_ms.load(Ordering::Relaxed);
    let wrong: Vec<&&Event> =
        failed.iter().filter(|event| event.node.as_ref().is_none_or(|node| !dead.contains(node))).collect();
    assert!(wrong.is_empty() || pause > 1_000, "accused while alive: {wrong:?}");
    for node in &dead {
        assert_eq!(failures(&events, node).len(), 1, "{node} was failed once, over all lives");
    }
    drop(fleet);
    let last = monitor.events(0).last().map_or(0, |event| event.seq);
    assert!(monitor.stop().success());
    let kept = numbers(&state.join("events.db"));
    assert!(kept.iter().copied().eq(1..=kept.len() as u64) && kept.len() as u64 >= last, "in the file too");
    println!(
        "{lives} lives, {} events, {} false failures; the dead found {found:?} ms after the start; the fleet was late \
         by {pause} ms at most",
        kept.len(),
        wrong.len()
    );
}

/// As anybody can ask for them.
fn numbers(path: &Path) -> Vec<u64> {
    let db = rusqlite::Connection::open(path).expect("SQLite");
    let mut select = db.prepare("SELECT seq FROM events ORDER BY seq").expect("SQL");
    let rows = select.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("numbers")
}

#[test]
fn an_orderly_restart_forgets_nothing_that_a_node_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    let flags = ["--state-dir", state.to_str().expect("a path"), "--shards", "1"];
    let monitor = Process::start(None, &flags);
    let udp = monitor.udp;
    monitor.send("hb web-1 inc=3 seq=70 group=web interval=1h load=0.42 version=1.2.3 m.cpu=0.7 l.zone=eu-1");
    monitor.send("hb sleeper interval=100ms next=1h");
    monitor.send("hb gone interval=1h");
    monitor.wait_for("gone", State::Alive);
    monitor.send("bye gone");
    monitor.wait_for("gone", State::Left);
    let before = monitor.wait_for("web-1", State::Alive);
    assert!(monitor.stop().success());

    let monitor = Process::start(Some(udp), &["--state-dir", state.to_str().expect("a path"), "--shards", "3"]);
    let after = monitor.node("web-1").expect("it is known");
    assert_eq!((after.incarnation, after.seq), (3, 70));
    // Both are computed from clocks that may be slewed between the two looks.
    let apart = millis(&after.since).abs_diff(millis(&before.since));
    assert!(apart <= 1, "since {} was since {}", after.since, before.since);
    assert_eq!((after.load, &after.version, &after.group), (before.load, &before.version, &before.group));
    assert_eq!((&after.labels, &after.metrics, after.interval_ms), (&before.labels, &before.metrics, 3_600_000));
    assert!(after.reason.contains("believed alive before the monitor restarted at "), "{}", after.reason);
    assert_eq!(monitor.node("gone").map(|node| node.state), Some(State::Left));
    let sleeper = monitor.node("sleeper").expect("it is known");
    assert!(sleeper.reason.contains("planned silence"), "{}", sleeper.reason);
    assert_eq!(monitor.events(0).len(), 4, "nothing happened");
    let dir = monitor.status().state_dir.expect("there is one");
    assert_eq!((dir.snapshot_nodes, dir.snapshot_as_of, dir.failing), (Some(3), Some(4), None));
    assert!(monitor.stop().success());
}

#[test]
fn a_group_that_is_held_is_held_after_a_kill_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["--state-dir", dir.path().to_str().expect("a path"), "--shards", "2"];
    let monitor = Process::start(None, &flags);
    let udp = monitor.udp;
    let beat_all = || {
        for node in 0..100 {
            monitor.send(format!("hb cut-{node} group=cut interval=200ms"));
            monitor.send(format!("hb far-{node} group=far interval=1h"));
        }
    };
    beat_all();
    // Never heard again: a cut.
    monitor.wait_for_status(|status| !status.holds.is_empty() && status.nodes.suspect == 100);
    let told = monitor.status().events_last;
    assert_eq!(monitor.status().nodes.failed, 0);
    monitor.kill();

    let monitor = Process::start(Some(udp), &flags);
    assert_eq!(monitor.status().nodes.suspect, 100);
    monitor.wait_for_status(|status| !status.holds.is_empty());
    let held = monitor.node("cut-7").and_then(|node| node.held).expect("it is held");
    assert!(held.contains("fell silent together"), "{held}");
    assert_eq!(monitor.status().nodes.failed, 0, "{:?}", monitor.events(told));
    let new = monitor.events(told);
    assert!(new.iter().all(|event| event.scope.is_some()), "nothing but that it is held: {new:?}");
    assert!(monitor.stop().success());
}

/// What is kept is on the wall clock; the machine's other clocks begin anew with each boot, and count a suspension or not.
#[test]
fn a_monitor_goes_on_where_it_was_though_the_machine_was_booted_or_suspended() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["--state-dir", dir.path().to_str().expect("a path"), "--shards", "1"];
    // A life a hundred days after the boot, then one shortly after a boot, then one after a long suspension.
    let lives = [["8640000", "8640000"], ["0", "0"], ["0", "8640000"]].map(|[monotonic, boottime]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-rT", "--fork", "--kill-child=KILL", "--monotonic", monotonic, "--boottime", boottime]);
        unshare.arg(env!("CARGO_BIN_EXE_systole"));
        unshare
    });
    let mut known: Option<(SocketAddr, String)> = None;
    for (life, command) in (1..).zip(lives) {
        let monitor = Process::start_by(command, known.as_ref().map(|(udp, _)| *udp), &flags);
        for node in 0..20 {
            monitor.send(format!("hb n{node} inc=1 seq={life} interval=1h"));
        }
        if life == 1 {
            monitor.send("hb dead inc=1 seq=1 interval=100ms");
            monitor.wait_for("dead", State::Failed);
        }
        let counts =
            |status: &systole::model::Status| (status.nodes.alive, status.nodes.failed, status.heartbeats_total);
        let beats = if life == 1 { 21 } else { 20 };
        monitor.wait_for_status(|status| counts(status) == (20, 1, beats) && status.events_last >= 23);
        assert_eq!(monitor.events(0).len(), 23, "20 came, one came and went: nothing else in life {life}");
        let since = monitor.wait_for("n7", State::Alive).since;
        if let Some((_, first)) = &known {
            assert!(
                millis(&since).abs_diff(millis(first)) <= 1,
                "alive since {first}, and in life {life} since {since}"
            );
        }
        known = Some((monitor.udp, known.map_or(since, |(_, first)| first)));
        monitor.kill();
        // What was killed is the command that runs it; it goes a moment later.
        let folder = std::fs::File::open(dir.path()).expect("the folder");
        until(|| folder.try_lock().ok());
    }
}

#[test]
fn two_monitors_do_not_share_a_state_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("a path");
    let monitor = Process::start(None, &["--state-dir", path]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    let second = command.args(["run", "--udp", "127.0.0.1:0", "--http", "off", "--state-dir", path]).output();
    let second = second.expect("systole starts");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(path) && said.contains("another monitor") && said.contains("--state-dir"), "{said}");
    assert!(monitor.stop().success());
}
