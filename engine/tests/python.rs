//! `docs/PROTOCOL.md` is enough: a sender of thirty lines, written from it alone in another
//! language, speaks the binary form to a running monitor.

mod common;

use std::process::Command;

use common::Running;
use systole::model::State;

#[test]
fn a_python_sender_written_from_the_document_is_understood() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3 on this machine");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sender.py");
    let lines = std::fs::read_to_string(script).expect("the sender").lines().count();
    assert!(lines <= 30, "{lines} lines are more than the document promises to need");

    let monitor = Running::start(2);
    let address = monitor.udp();
    let send = |args: &[&str]| {
        let status = Command::new("python3")
            .arg(script)
            .args([&address.ip().to_string(), &address.port().to_string()])
            .args(args)
            .status()
            .expect("python runs");
        assert!(status.success());
    };

    send(&["py-1", "5", "0.05"]);
    let node = monitor.wait_for("py-1", State::Alive);
    assert_eq!((node.group.as_str(), node.interval_ms, node.interval_declared), ("python", 50, true));
    assert!(node.version.is_some() && node.load.is_some());
    assert_eq!((node.metrics.len(), node.labels.len()), (1, 1));
    monitor.wait_for("py-1", State::Failed);

    send(&["py-1", "2", "0.05", "--bye"]);
    monitor.wait_for("py-1", State::Left);
    let status = monitor.client.status().expect("an answer");
    assert_eq!(status.rejected.values().sum::<u64>(), 0, "everything it sent was understood: {status:?}");
    assert_eq!(status.heartbeats_total, 7);
    monitor.stop();
}
