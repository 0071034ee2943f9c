//! How many new nodes one network may bring: a real monitor in a network namespace of its own, where
//! addresses other than this machine's loopback can be had. Needs `unshare` and `ip`.

mod process;

use std::net::UdpSocket;
use std::process::Command;

use process::Process;

/// Set where the namespace is entered.
const INSIDE: &str = "SYSTOLE_TEST_INSIDE";

/// Two networks, and a neighbour in the first.
const ADDRESSES: [&str; 3] = ["192.0.2.1/32", "192.0.2.200/32", "198.51.100.1/32"];

#[test]
fn one_network_brings_no_more_nodes_than_it_may_and_no_other_pays_for_it() {
    if std::env::var_os(INSIDE).is_some() {
        return within();
    }
    let adds = ADDRESSES.map(|address| format!("ip addr add {address} dev lo"));
    let script = format!("ip link set lo up && {} && exec \"$0\" \"$@\"", adds.join(" && "));
    let this = std::env::current_exe().expect("a test binary");
    let name = "one_network_brings_no_more_nodes_than_it_may_and_no_other_pays_for_it";
    let mut unshare = Command::new("unshare");
    unshare.args(["-rn", "sh", "-c", &script]).arg(this).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let status = unshare.status().expect("unshare, of util-linux, starts");
    assert!(status.success(), "in the namespace: {status}; it takes one of one's own, and the ip command of iproute2");
}

fn within() {
    let limits = ["[limits]", "new_nodes_burst = 10", "new_nodes_rate = \"1/h\""];
    let monitor = Process::start_with(&limits, |command| _ = command.args(["--shards", "1"]));
    let come = |from: &str, names: &str, count: u64| {
        let socket = UdpSocket::bind((from, 0)).expect(from);
        for n in 0..count {
            socket.send_to(format!("hb {names}-{n} interval=1h").as_bytes(), &monitor.udp).expect("it is sent");
        }
    };
    let seen = |known: u64, refused: u64| {
        let there = |status: &systole::model::Status| (status.nodes.total(), status.rejected["rate_limited"]);
        let status = monitor.wait_for_status(|status| there(status) == (known, refused));
        assert_eq!(status.nodes.failed, 0);
    };
    come("192.0.2.1", "first", 15);
    seen(10, 5);
    come("192.0.2.200", "neighbour", 3);
    seen(10, 8);
    // Who is known is heard, whatever its network did.
    come("192.0.2.1", "first", 10);
    monitor.wait_for_status(|status| status.heartbeats_total == 20);
    come("198.51.100.1", "other", 10);
    seen(20, 8);
    come("127.0.0.1", "here", 50);
    seen(70, 8);
}
