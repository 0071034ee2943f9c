//! Keys with real processes: a monitor that believes nobody without one, and senders that have one, a wrong one or none.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use systole::client::Client;
use systole::model::{State, Status};

/// Nothing here takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A monitor in a process of its own, and a folder for keys.
struct Monitor {
    child: Child,
    udp: String,
    client: Client,
}

impl Monitor {
    /// With two shards: what one of them receives may belong to the other.
    fn start(folder: &Path, mode: &str, keys: &[(u8, &str, &Path)]) -> Self {
        let path = configure(folder, mode, keys);
        let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
        let mut child =
            command.arg("run").arg("--config").arg(&path).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut after = |part: &str| {
            let line = lines.by_ref().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no line with {part}"));
            line.split_once(part).expect("it has").1.to_owned()
        };
        let udp = after("listening for heartbeats on udp ");
        let client = Client::new(&format!("http://{}", after("answering on http://"))).expect("a URL");
        // What else it says must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, udp, client }
    }

    fn beat(&self, arguments: &[&str]) {
        let output = systole(&[&["beat", "--to", &self.udp], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn wait(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let start = Instant::now();
        loop {
            let status = self.client.status().expect("an answer");
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{status:#?}");
            std::thread::yield_now();
        }
    }

    /// Has it read its configuration anew, and waits until it has, or has refused to.
    fn reload(&self) -> Status {
        let before = self.client.status().expect("an answer").config;
        let kill = Command::new("kill").args(["-s", "HUP", &self.child.id().to_string()]).status();
        assert!(kill.expect("kill starts").success());
        self.wait(|status| status.config != before)
    }

    fn state(&self, node: &str) -> Option<State> {
        self.client.node(node).expect("an answer").map(|node| node.state)
    }
}

/// Whatever a test came to, no monitor is left behind.
impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file with these keys. Written over the one of the same mode.
fn configure(folder: &Path, mode: &str, keys: &[(u8, &str, &Path)]) -> PathBuf {
    let mut config =
        format!("[listen]\nudp = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nshards = 2\n[auth]\nmode = \"{mode}\"\n");
    for (id, suite, file) in keys {
        config += &format!("[[auth.key]]\nid = {id}\nsuite = \"{suite}\"\nfile = {:?}\n", file.display().to_string());
    }
    let path = folder.join(format!("{mode}.toml"));
    std::fs::write(&path, config).expect("written");
    path
}

fn systole(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    command.args(arguments).stdin(Stdio::null()).output().expect("systole starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn new_key(folder: &Path, name: &str, suite: &str, id: &str) -> PathBuf {
    let path = folder.join(name);
    let output = systole(&["key", "new", "--suite", suite, "--id", id, "--out", text(&path)]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    path
}

#[test]
fn who_has_a_key_is_believed_and_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let master = new_key(folder, "fleet.key", "siphash", "1");
    let next = new_key(folder, "next.key", "hmac", "2");
    let foreign = new_key(folder, "foreign.key", "siphash", "1");
    let unknown = new_key(folder, "unknown.key", "siphash", "3");
    let derived = systole(&["key", "derive", "--key-file", text(&master), "web-1", "eu/web-2", "--dir", text(folder)]);
    assert!(derived.status.success() && derived.stdout.is_empty(), "{derived:?}");
    let monitor = Monitor::start(folder, "enforce", &[(1, "siphash", &master), (2, "hmac", &next)]);

    // Its own key, the fleet's, the next one; once, again and again, and while a command runs.
    monitor.beat(&["web-1", "--every", "20ms", "--count", "3", "--key-file", text(&folder.join("web-1.key"))]);
    monitor.beat(&["eu/web-2", "--key-file", text(&folder.join("eu%2Fweb-2.key"))]);
    monitor.beat(&["web-3", "--key-file", text(&next)]);
    monitor.beat(&["web-4", "--every", "20ms", "--key-file", text(&master), "--", "true"]);
    let believed = |status: &Status| status.nodes.left == 2 && status.nodes.alive + status.nodes.suspect == 2;
    let before = monitor.wait(believed);
    assert_eq!(monitor.state("web-1"), Some(State::Left));
    assert_eq!(before.rejected.values().sum::<u64>() - before.rejected["not_newer"], 0, "{before:#?}");
    assert!(before.auth.mode == "enforce" && before.auth.waived.values().all(|count| *count == 0), "{before:#?}");

    // No key, in both forms, to nodes of both shards; a key of the same id, and one that nobody knows.
    for node in ["a", "b", "c", "d", "web-1"] {
        monitor.beat(&[node]);
        monitor.beat(&[node, "--form", "binary"]);
        monitor.beat(&[node, "--key-file", text(&foreign)]);
        monitor.beat(&[node, "--key-file", text(&unknown)]);
    }
    let refused = |status: &Status| {
        let of = |reason: &str| status.rejected[reason] - before.rejected[reason];
        [of("unsigned"), of("bad_tag"), of("unknown_key")] == [10, 5, 5]
    };
    let after = monitor.wait(refused);
    assert_eq!((after.heartbeats_total, after.nodes.left), (before.heartbeats_total, 2));
    assert!(["a", "b", "c", "d"].iter().all(|node| monitor.state(node).is_none()));

    // What was said with which key.
    let accepted: Vec<(u8, &str, u64)> =
        after.auth.keys.iter().map(|key| (key.id, &*key.suite, key.accepted_total)).collect();
    let [(1, "siphash", first), (2, "hmac", 1)] = accepted[..] else { panic!("{accepted:?}") };
    assert!(first >= 7, "three heartbeats and a goodbye, one, and one and a goodbye: {first}");
    let page = systole(&["status", "--http", monitor.client.url()]);
    let page = String::from_utf8(page.stdout).expect("a text");
    assert!(page.contains(&format!("enforce, key 1 (siphash) {first} accepted, key 2 (hmac) 1 accepted")), "{page}");
    let metrics = metrics(&monitor);
    for line in [
        "systole_auth_mode{mode=\"enforce\"} 1",
        "systole_auth_mode{mode=\"off\"} 0",
        "systole_heartbeats_accepted_total{key=\"2\",suite=\"hmac\"} 1",
        "systole_heartbeats_waived_total{reason=\"unsigned\"} 0",
        "systole_heartbeats_rejected_total{reason=\"unsigned\"} 10",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn a_key_is_exchanged_without_a_restart_and_without_a_node_being_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let former = new_key(folder, "former.key", "siphash", "1");
    let next = new_key(folder, "next.key", "hmac", "2");
    let monitor = Monitor::start(folder, "enforce", &[(1, "siphash", &former)]);
    let beat = |key: &Path| monitor.beat(&["web-1", "--key-file", text(key)]);
    beat(&former);
    monitor.wait(|status| status.heartbeats_total == 1);

    // Both are taken, so that the fleet can change over one by one.
    configure(folder, "enforce", &[(1, "siphash", &former), (2, "hmac", &next)]);
    assert!(monitor.reload().config.refused.is_none());
    beat(&next);
    beat(&former);
    monitor.wait(|status| status.heartbeats_total == 3);

    // A key that others could read is none, and nothing changes because of it.
    let open = new_key(folder, "open.key", "hmac", "3");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("it is ours");
    configure(folder, "enforce", &[(3, "hmac", &open)]);
    let refused = monitor.reload().config.refused.expect("it is");
    assert!(refused.error.contains(text(&open)) && refused.error.contains("chmod 600"), "{}", refused.error);
    beat(&former);
    monitor.wait(|status| status.heartbeats_total == 4);

    // The former one is withdrawn.
    configure(folder, "enforce", &[(2, "hmac", &next)]);
    assert!(monitor.reload().config.refused.is_none());
    beat(&former);
    monitor.wait(|status| status.rejected["unknown_key"] == 1);
    beat(&next);
    let status = monitor.wait(|status| status.heartbeats_total == 5);
    assert_eq!((status.nodes.alive, status.nodes.total()), (1, 1));
    assert_eq!(monitor.state("web-1"), Some(State::Alive));
}

#[test]
fn a_permissive_monitor_tells_who_would_be_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let master = new_key(folder, "fleet.key", "hmac", "7");
    let foreign = new_key(folder, "foreign.key", "hmac", "7");
    let monitor = Monitor::start(folder, "permissive", &[(7, "hmac", &master)]);
    monitor.beat(&["web-1", "--key-file", text(&master)]);
    monitor.beat(&["web-2", "--key-file", text(&foreign)]);
    monitor.beat(&["web-3"]);
    let status = monitor.wait(|status| status.heartbeats_total == 3);
    assert_eq!((status.auth.mode.as_str(), status.auth.keys[0].accepted_total), ("permissive", 1));
    let waived = ["unsigned", "unknown_key", "bad_tag"].map(|reason| status.auth.waived[reason]);
    assert_eq!((waived, status.rejected.values().sum::<u64>()), ([1, 0, 1], 0));
}

#[test]
fn a_stranger_signs_from_the_document_alone() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3 on this machine");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (quick, known) = (new_key(folder, "1.key", "siphash", "1"), new_key(folder, "2.key", "hmac", "2"));
    let monitor = Monitor::start(folder, "enforce", &[(1, "siphash", &quick), (2, "hmac", &known)]);
    let (host, port) = monitor.udp.rsplit_once(':').expect("an address");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signer.py");
    let send = |key: &Path, node: &str, seq: &str| {
        let status = Command::new("python3").args([script, host, port, text(key), node, seq]).status();
        assert!(status.expect("python runs").success());
    };
    for (master, node) in [(&quick, "py-1"), (&known, "py-2")] {
        send(master, node, "1");
        let derived = systole(&["key", "derive", "--key-file", text(master), node, "--dir", text(folder)]);
        assert!(derived.status.success(), "{derived:?}");
        send(&folder.join(format!("{node}.key")), node, "2");
    }
    // The key of another node.
    send(&folder.join("py-1.key"), "py-2", "3");
    let status = monitor.wait(|status| status.heartbeats_total == 4 && status.rejected["bad_tag"] == 1);
    assert_eq!(status.rejected.values().sum::<u64>(), 1, "{status:#?}");
    let accepted: Vec<u64> = status.auth.keys.iter().map(|key| key.accepted_total).collect();
    assert_eq!(accepted, [2, 2]);
}

#[test]
fn a_key_that_others_could_read_starts_nothing_and_is_named_with_its_line() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let key = new_key(folder, "fleet.key", "siphash", "1");
    let config = folder.join("systole.toml");
    let said = |text: &str, arguments: &[&str]| {
        std::fs::write(&config, text).expect("written");
        let output = systole(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("a text")
    };
    let named = format!("[auth]\nmode = \"enforce\"\n[[auth.key]]\nid = 1\nfile = \"{}\"\n", key.display());
    let twice = format!("{named}[[auth.key]]\nid = 2\nfile = \"{}\"\n", key.display());
    assert!(
        systole(&["check", {
            std::fs::write(&config, &named).expect("written");
            text(&config)
        }])
        .status
        .success()
    );
    let found = said(&twice, &["check", text(&config)]);
    assert!(found.contains(":8:1: key file ") && found.contains("holds key 1 of suite siphash"), "{found}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).expect("it is ours");
    for command in [&["check", text(&config)][..], &["run", "--config", text(&config)]] {
        let found = said(&named, command);
        assert!(found.contains(":5:1: key file ") && found.contains("(mode 0640); `chmod 600"), "{found}");
    }
    let found = said(&named, &["beat", "web-1", "--key-file", text(&key)]);
    assert!(found.contains("chmod 600"), "{found}");
}

#[test]
fn keys_are_made_once_and_never_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let master = new_key(folder, "fleet.key", "siphash", "1");
    let again = systole(&["key", "new", "--out", text(&master)]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(1) && said.contains("is there already"), "{said}");

    let printed = systole(&["key", "derive", "--key-file", text(&master), "web-1", "web-2"]);
    let lines = String::from_utf8(printed.stdout).expect("a text");
    let starts = ["web-1", "web-2"].map(|node| format!("systole-node-key id=1 suite=siphash node={node} key="));
    assert!(lines.lines().zip(&starts).all(|(line, start)| line.starts_with(start)) && lines.lines().count() == 2);

    // A node's key makes no other's, and speaks for nobody else.
    let derived = systole(&["key", "derive", "--key-file", text(&master), "web-1", "--dir", text(folder)]);
    assert!(derived.status.success());
    let key = folder.join("web-1.key");
    for (arguments, said) in [
        (&["key", "derive", "--key-file", text(&key), "web-2"][..], "a fleet needs a master key"),
        (&["fleet", "--nodes", "5", "--key-file", text(&key)], "a fleet needs a master key"),
        (&["beat", "web-2", "--key-file", text(&key)], "can't speak for web-2"),
        (&["beat", "web-1", "--form", "text", "--key-file", text(&key)], "no place for a tag"),
    ] {
        let output = systole(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_whole_fleet_signs_and_its_failures_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let master = new_key(folder, "fleet.key", "siphash", "1");
    let monitor = Monitor::start(folder, "enforce", &[(1, "siphash", &master)]);
    let fleet = format!(
        "fleet --to {} --nodes 200 --interval 250ms --kill 5@1s --events {}",
        monitor.udp,
        monitor.client.url()
    );
    let output = systole(&fleet.split(' ').chain(["--key-file", text(&master)]).collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    let status = monitor.client.status().expect("an answer");
    assert_eq!((status.nodes.failed, status.rejected.values().sum::<u64>()), (5, 0), "{status:#?}");
    assert_eq!(status.auth.keys[0].accepted_total, status.heartbeats_total);
}

fn metrics(monitor: &Monitor) -> String {
    use std::io::{Read, Write};
    let address = monitor.client.url().trim_start_matches("http://").trim_end_matches('/');
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}
