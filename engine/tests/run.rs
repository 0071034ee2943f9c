//! `systole run` as a service manager meets it: it starts, says so, and ends when it is told to.

mod running;

use std::io::Read;
use std::net::UdpSocket;
use std::process::Command;

use running::Running;

const ANY: [&str; 4] = ["--udp", "127.0.0.1:0", "--http", "127.0.0.1:0"];

#[test]
fn it_says_where_it_listens_and_ends_in_order_when_told_to() {
    for signal in ["TERM", "INT"] {
        let running = Running::start(&ANY);
        assert!(running.line("listening for heartbeats on udp 127.0.0.1:") != "0");
        assert!(running.line("answering on http://127.0.0.1:") != "0");
        running.line(", receive buffers of ");
        running.signal(signal);
        running.line("stopped");
        assert_eq!(running.end().code(), Some(0));
    }
}

#[test]
fn a_hangup_is_answered_and_survived() {
    let running = Running::start(&ANY);
    running.line("answering on http://127.0.0.1:");
    for _ in 0..2 {
        running.signal("HUP");
        running.line("the configuration was loaded anew");
    }
    running.signal("TERM");
    running.line("stopped");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let running = Running::start(&["--udp", &address, "--http", "off"]);
    let line = running.line("systole: ");
    assert!(line.contains(&address) && line.contains("stop the process that has it"), "{line}");
    assert_eq!(running.end().code(), Some(1));
}

#[test]
fn a_monitor_that_is_open_to_all_says_so_loudly() {
    let running = Running::start(&["--udp", "0.0.0.0:0", "--http", "off", "--insecure"]);
    running.line("INSECURE: 0.0.0.0:0 is open to other machines");
    running.line("listening");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_configuration_with_faults_starts_nothing_and_names_them_all() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, b"[listen]\nudp = 5\n[event]\n").expect("written");
    let path = file.path().to_str().expect("a path");
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    let output = command.args(["run", "--config", path]).output().expect("systole starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut text = String::new();
    output.stderr.as_slice().read_to_string(&mut text).expect("a text");
    assert!(text.starts_with(&format!("systole: {path} has 2 faults; nothing was started\n")), "{text}");
    assert!(text.contains(&format!("{path}:2:7: ")) && text.contains(&format!("{path}:3:2: ")), "{text}");
}
