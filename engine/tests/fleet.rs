//! A monitor and a fleet as two processes: what one does to its nodes, the other has to find.

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::UdpSocket;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use systole::client::{Client, EventQuery, Followed};
use systole::model::{Event, Node, State};

/// Nothing here takes longer.
const BOUND: Duration = Duration::from_secs(60);

fn systole(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A monitor that ends with the test.
struct Monitor {
    process: Child,
    udp: String,
    http: String,
    client: Client,
    /// It goes on talking; nobody has to listen.
    _log: Lines<BufReader<ChildStderr>>,
}

impl Monitor {
    fn start() -> Self {
        let mut process = systole(&["run", "--udp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut after = |mark: &str| {
            let line = log.find(|line| line.as_ref().unwrap().contains(mark)).expect(mark).unwrap();
            line.rsplit(mark).next().unwrap().trim().to_owned()
        };
        let udp = after("heartbeats on udp ");
        let http = format!("http://{}", after("answering on http://"));
        let client = Client::new(&http).unwrap();
        Self { process, udp, http, client, _log: log }
    }

    /// The first events of a kind since the start, so many of them.
    fn events(&self, many: usize, node: Option<&str>, to: State) -> Vec<Event> {
        let query = EventQuery { since: Some(0), node: node.map(str::to_owned), to: vec![to], ..EventQuery::default() };
        let stream = self.client.follow(&query).unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for followed in stream.take(many) {
                let Ok(Followed::Event(event)) = followed else { break };
                let _ = sender.send(*event);
            }
        });
        (0..many)
            .map(|_| receiver.recv_timeout(BOUND).unwrap_or_else(|error| panic!("{node:?} isn't {to}: {error}")))
            .collect()
    }

    /// The node, once it has become so.
    fn node(&self, name: &str, state: State) -> Node {
        self.events(1, Some(name), state);
        self.client.node(name).unwrap().expect("who has an event is known")
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

#[test]
fn every_verdict_on_two_thousand_nodes_is_right() {
    let monitor = Monitor::start();
    let output = systole(&["fleet", "--to", &monitor.udp, "--events", &monitor.http, "--json", "--seed", "11"])
        .args(["--nodes", "2000", "--interval", "100ms", "--groups", "4", "--group", "rack"])
        .args(["--goodbye", "10@1s", "--restart", "25@1s", "--kill", "20@1500ms"])
        .args(["--partition", "0.1@1800ms..3500ms", "--restart", "5@4s"])
        .output()
        .unwrap();
    let report = json(&output);
    assert!(output.status.success(), "{report:#}\n{}", text(&output.stderr));
    assert_eq!(report["ok"], true);
    for (field, value) in [("/nodes", 2_000), ("/groups", 4), ("/interval_ms", 100), ("/seed", 11)] {
        assert_eq!(report.pointer(field), Some(&value.into()), "{field}");
    }
    assert_eq!(report["done"], serde_json::json!({"killed": 20, "restarted": 30, "partitioned": 197, "goodbyes": 10}));
    let verdicts = &report["verdicts"];
    for wrong in
        ["missed", "late", "early", "false", "twice", "not_back", "ghosts", "not_left", "left_falsely", "pending"]
    {
        assert_eq!(verdicts[wrong], 0, "{wrong}: {verdicts:#}");
    }
    // Whoever was cut off was silent for 1.7 s, and a bound of 0.74 s is long over then.
    assert_eq!((&verdicts["expected"], &verdicts["failed"]), (&217.into(), &217.into()));
    assert_eq!((&verdicts["returns"], &verdicts["goodbyes"], &verdicts["left"]), (&202.into(), &10.into(), &10.into()));
    assert_eq!(verdicts["alive"], 2_000 - 10 - 20 + 5);
    assert_eq!(verdicts["bound_ms"], 738);
    let fastest_possible = 600.0;
    let detection = verdicts["detection_ms"]["p50"].as_f64().unwrap();
    assert!(detection > fastest_possible && detection < 750.0, "{detection}");
    assert!(verdicts["datagrams_dropped"].as_u64() == Some(0) && verdicts["events_missed"].as_u64() == Some(0));
}

#[test]
fn a_fleet_that_nobody_listens_to_says_so_at_once() {
    let nowhere = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = systole(&["fleet", "--to", &nowhere, "--nodes", "100"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains(&nowhere) && error.contains("systole run"), "{error}");

    let url = format!("http://{nowhere}");
    let output = systole(&["fleet", "--nodes", "100", "--events", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&url), "{}", text(&output.stderr));
}

#[test]
fn a_monitor_that_dies_under_the_fleet_is_an_error_and_not_a_verdict() {
    let mut monitor = Monitor::start();
    let mut fleet = systole(&["fleet", "--to", &monitor.udp, "--events", &monitor.http, "--nodes", "500"])
        .args(["--interval", "100ms", "--goodbye", "1@1200ms", "--kill", "5@50s"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // After its first second, in which nobody listening is another error.
    monitor.events(1, None, State::Left);
    monitor.process.kill().unwrap();
    let mut error = String::new();
    fleet.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(fleet.wait().unwrap().code(), Some(1));
    assert!(error.contains("the monitor was lost") && error.contains(&monitor.http), "{error}");
}

#[test]
fn one_beat_from_a_script_makes_a_node_and_the_next_one_counts_as_newer() {
    let monitor = Monitor::start();
    for load in ["0.25", "0.75"] {
        let beat = systole(&["beat", "backup-db", "--to", &monitor.udp, "--group", "nightly", "--load", load])
            .args(["--version", "1.2.3", "--metric", "rows=7", "--label", "zone=eu-1"])
            .output()
            .unwrap();
        assert!(beat.status.success() && beat.stderr.is_empty(), "{}", text(&beat.stderr));
        let node = monitor.node("backup-db", State::Alive);
        // The second changes no belief, so there is no event to wait for; it is there at once or a moment later.
        let loaded = |node: &Node| node.load == Some(load.parse().unwrap());
        let mut looks = std::iter::repeat_with(|| monitor.client.node("backup-db").unwrap().unwrap());
        assert!(loaded(&node) || looks.by_ref().take(10_000).any(|node| loaded(&node)), "{load} never arrived");
        assert_eq!(
            (node.group.as_str(), node.state, node.version.as_deref()),
            ("nightly", State::Alive, Some("1.2.3"))
        );
        assert_eq!((node.metrics["rows"], node.labels["zone"].as_str()), (7.0, "eu-1"));
    }
}

#[test]
fn a_sender_says_goodbye_when_it_has_beaten_often_enough() {
    let monitor = Monitor::start();
    for form in ["text", "binary"] {
        let beat = systole(&["beat", form, "--to", &monitor.udp, "--every", "20ms", "--count", "5", "--form", form])
            .output()
            .unwrap();
        assert!(beat.status.success());
        let node = monitor.node(form, State::Left);
        assert_eq!((node.seq >= 6, node.interval_ms), (true, 20), "{node:?}");
    }
}

#[test]
fn a_command_is_beaten_for_while_it_runs_and_mourned_if_it_fails() {
    let monitor = Monitor::start();
    let wrapped = |name: &str, script: &str| {
        let mut command = systole(&["beat", name, "--to", &monitor.udp, "--every", "50ms", "--", "sh", "-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    let output = wrapped("good", "echo done").output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "done\n"));
    monitor.node("good", State::Left);

    let output = wrapped("bad", "exit 3").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    monitor.node("bad", State::Failed);

    // It runs until its standard input ends or it is told to stop; what we are told, it is told.
    let mut child = wrapped("told", "trap 'echo told; exit 0' TERM; echo ready; while :; do read line || exit 9; done")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    monitor.node("told", State::Alive);
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    // A shell runs its trap once `read` returns: give it a line.
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "told");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    monitor.node("told", State::Left);

    let output = systole(&["beat", "none", "--to", &monitor.udp, "--", "/no/such/program"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("/no/such/program"));
}

#[test]
fn a_demonstration_of_ten_seconds_finds_every_death() {
    let output = systole(&["demo", "--nodes", "1000", "--for", "10s", "--json", "--seed", "5"]).output().unwrap();
    let report = json(&output);
    assert!(output.status.success(), "{report:#}");
    assert_eq!(
        (&report["ok"], &report["verdicts"]["false"], &report["done"]["goodbyes"]),
        (&true.into(), &0.into(), &1.into())
    );
    assert_eq!(report["verdicts"]["failed"], 103);
}

#[test]
fn other_nodes_in_the_same_group_are_no_fault() {
    let monitor = Monitor::start();
    let other = systole(&["beat", "stranger", "--to", &monitor.udp, "--group", "shared"]).status().unwrap();
    assert!(other.success());
    monitor.node("stranger", State::Alive);
    let output = systole(&["fleet", "--to", &monitor.udp, "--events", &monitor.http, "--nodes", "20"])
        .args(["--interval", "50ms", "--group", "shared", "--for", "1s"])
        .output()
        .unwrap();
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}{}", text(&output.stderr));
    assert!(report.contains("others     1 node more alive than ours") && report.contains("every verdict was right"));
}

#[test]
fn a_demonstration_that_is_stopped_early_claims_no_success() {
    let mut demo = systole(&["demo", "--nodes", "200", "--for", "20s", "--seed", "5"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The first of five things has been done, and nobody is dead yet.
    lines.find(|line| line.contains("restart between two heartbeats")).expect("something is done");
    assert!(Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap().success());
    let rest = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("Stopped early: 4 of the 5 planned things not done"), "{rest}");
    assert!(!rest.contains("Every death") && !rest.contains("0.0 ms") && !rest.contains("< 1 ms"), "{rest}");
}

#[test]
fn a_fleet_that_is_stopped_before_its_first_heartbeats_accuses_nobody() {
    let monitor = Monitor::start();
    let fleet = systole(&["fleet", "--to", &monitor.udp, "--events", &monitor.http, "--nodes", "50"])
        .args(["--interval", "20s", "--groups", "25", "--kill", "3@100s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    monitor.events(1, None, State::Alive);
    assert!(Command::new("kill").args(["-INT", &fleet.id().to_string()]).status().unwrap().success());
    let output = fleet.wait_with_output().unwrap();
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}{}", text(&output.stderr));
    assert!(report.contains("stopped    early: 1 of the 1 planned thing not done"), "{report}");
}
