//! The command line as a script meets it: which questions are wrong, and which answers are.

use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use systole::config::Setup;
use systole::daemon::{self, Daemon};

fn systole(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    command.args(line.split_whitespace()).env("NO_COLOR", "1").env_remove("SYSTOLE_HTTP").stdin(Stdio::null());
    command.output().expect("systole starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A monitor in which nothing has happened.
fn monitor() -> (Daemon, String) {
    let any = "127.0.0.1:0".parse().expect("an address");
    let mut setup = Setup::default();
    setup.listen.udp = vec![any];
    setup.listen.http = Some(any);
    let daemon = daemon::start(&setup).expect("a monitor");
    let http = format!("http://{}", daemon.http_addr().expect("it answers"));
    (daemon, http)
}

#[test]
fn a_question_that_cannot_be_meant_ends_with_2_and_says_what_is_wrong() {
    for (line, said) in [
        ("fleet --nodes 5 --kill 6@1s", "more nodes than the 5"),
        ("fleet --nodes 5 --kill 1@10s --for 5s", "lengthen it"),
        ("fleet --nodes 10 --groups 11", "lower --groups"),
        ("fleet --nodes 10 --prefix a,b", "can't name a node"),
        ("fleet --nodes 10 --group a,b", "can't name a group"),
        ("fleet --nodes 10 --events nowhere", "--events: \"nowhere\""),
        ("fleet --nodes 10 --to nowhere", "HOST:PORT"),
        ("fleet --nodes 10 --interval 1ns", "10 ms is the shortest"),
        ("fleet --nodes 10 --interval 8d", "7d is the longest"),
        ("demo --nodes 1", "--nodes 200"),
        ("demo --for 0s", "--for 10s"),
        ("nodes --sort bogus", "last_arrival"),
        ("nodes --label zone", "NAME=TEXT"),
        ("nodes --limit 0", "--limit"),
        ("nodes --http nowhere", "http://HOST:PORT"),
        ("status --http ftp://a", "http://HOST:PORT"),
        ("token new two!words --scope read", "1 to 128"),
        ("token new a", "--scope"),
        ("events --http nowhere", "http://HOST:PORT"),
        ("node bad!x", "1 to 128"),
        ("node web-1 --http nowhere", "http://HOST:PORT"),
        ("beat a --to nowhere", "HOST:PORT"),
        ("beat a --to nowhere --every 1s", "HOST:PORT"),
        ("beat a --version a\u{7f}b", "refuse this heartbeat"),
        ("beat a --metric x=1 --metric x=2", "--metric x is given twice"),
        ("beat a --load -1", "a load is finite"),
        ("beat a --load 1e39", "a load is finite"),
        ("beat a --count 3 -- true", "cannot be used with"),
        ("run --log bogus", "\"bogus\" is no level"),
    ] {
        let output = systole(line);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(said), "{line}: {:?} {error}", output.status);
    }
}

#[test]
fn what_was_asked_well_and_went_wrong_ends_with_1() {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    for line in [
        format!("beat a --to {nobody}"),
        format!("beat a --form binary --to {nobody}"),
        format!("status --http http://{nobody}"),
        format!("node web-1 --http http://{nobody}"),
    ] {
        let output = systole(&line);
        let error = text(&output.stderr);
        let names = error.contains(&nobody.to_string()) && error.contains("is `systole run` running?");
        assert!(output.status.code() == Some(1) && names, "{line}: {:?} {error}", output.status);
    }
}

#[test]
fn a_count_without_an_interval_beats_once_a_second() {
    let monitor = UdpSocket::bind("127.0.0.1:0").expect("a port");
    monitor.set_read_timeout(Some(Duration::from_secs(30))).expect("a bound");
    let to = monitor.local_addr().expect("its address");
    assert_eq!(systole(&format!("beat a --count 1 --form text --to {to}")).status.code(), Some(0));
    let mut line = [0; 500];
    let length = monitor.recv(&mut line).expect("a heartbeat");
    assert!(text(&line[..length]).contains("interval=1s"), "{}", text(&line[..length]));
}

#[test]
fn where_no_node_matches_that_is_said_under_the_titles() {
    let (daemon, http) = monitor();
    let output = systole(&format!("nodes --http {http}"));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("NODE ") && text(&output.stdout).lines().count() == 1);
    assert_eq!(text(&output.stderr), "no node matches\n");
    daemon.stop().expect("it ends");
}

#[test]
fn nodes_come_by_name_unless_told_otherwise() {
    let (daemon, http) = monitor();
    let to = daemon.udp_addrs()[0];
    for node in ["c", "a", "d", "b"] {
        assert!(systole(&format!("beat {node} --load 0.{} --to {to}", node.len())).status.success());
        let mut looks = (0..1_000).map(|_| systole(&format!("node {node} --http {http}")));
        assert!(looks.any(|look| look.status.success()), "{node} never arrived");
    }
    let names = |line: &str| -> String {
        let output = systole(&format!("nodes --http {http} {line}"));
        text(&output.stdout).lines().skip(1).filter_map(|line| line.chars().next()).collect()
    };
    assert_eq!((names("").as_str(), names("--sort -name").as_str()), ("abcd", "dcba"));
    assert_eq!(names("--sort since"), "cadb");
    daemon.stop().expect("it ends");
}
