//! `systole run` under a service manager: told to reload, watched, handed sockets that were open before.
#![cfg(target_os = "linux")]

mod running;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use running::{PATIENCE, Running};
use systole::client::{Client, Credentials, EventQuery};
use systole::model::Status;
use systole::token::{Scope, Token};

const LISTEN: &str = "[listen]\nudp = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nshards = 2\n";

/// A folder for one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed to others");
        path
    }
}

/// A service manager's end of the line.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a bound");
        Self { socket, path, _folder: folder }
    }

    /// What is told next.
    fn told(&self) -> String {
        let mut bytes = [0; 4_096];
        let length = self.socket.recv(&mut bytes).expect("something is told");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Waits until something is told that contains `part`.
    fn wait_for(&self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "{part} is never told");
            let told = self.told();
            if told.contains(part) {
                return told;
            }
        }
    }

    /// What is told within this time, apart from what was told already.
    fn told_within(&self, time: Duration) -> Option<String> {
        let mut bytes = [0; 4_096];
        self.socket.set_nonblocking(true).expect("told so");
        while self.socket.recv(&mut bytes).is_ok() {}
        self.socket.set_nonblocking(false).expect("told so");
        self.socket.set_read_timeout(Some(time)).expect("a bound");
        let told = self.socket.recv(&mut bytes).ok();
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a bound");
        told.map(|length| String::from_utf8_lossy(&bytes[..length]).into_owned())
    }
}

/// A thread of another process that is held still, and goes on when this is dropped.
struct Stopped(Child);

impl Stopped {
    /// Stops the thread with this name, and no other: a signal would stop them all.
    fn thread(pid: u32, name: &str) -> Self {
        let mut python = Command::new("python3");
        let mut child = python
            .args(["-c", HOLD, &thread(pid, name)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "stopped\n");
        Self(child)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

const HOLD: &str = "
import ctypes, os, sys
libc, tid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
ATTACH, DETACH, ANY_THREAD = 16, 17, 0x40000000
if libc.ptrace(ATTACH, tid, None, None) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(tid, ANY_THREAD)
print('stopped', flush=True)
sys.stdin.read()
libc.ptrace(DETACH, tid, None, None)
";

fn thread(pid: u32, name: &str) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let named =
        |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name);
    let mut found = tasks.filter(named).map(|task| task.file_name().to_string_lossy().into_owned());
    found.next().unwrap_or_else(|| panic!("no thread is called {name}"))
}

fn systole() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"] {
        command.env_remove(name);
    }
    command.arg("run");
    command
}

fn configured(path: &Path) -> Running {
    Running::of(systole().arg("--config").arg(path))
}

/// A monitor that is handed these sockets, in this order, as its descriptors from 3 on.
fn handed(sockets: &[&UdpSocket], args: &[String]) -> Running {
    let mut shell = Command::new("sh");
    let script = match sockets.len() {
        1 => "exec 3<&0 0</dev/null",
        _ => "exec 3<&0 4<&1 0</dev/null 1>/dev/null",
    };
    let run = "LISTEN_PID=$$ exec \"$0\" run \"$@\"";
    shell.args(["-c", &format!("{script}; export LISTEN_FDS={}; {run}", sockets.len()), env!("CARGO_BIN_EXE_systole")]);
    let descriptor = |socket: &UdpSocket| Stdio::from(OwnedFd::from(socket.try_clone().expect("a descriptor")));
    shell.args(args).stdin(descriptor(sockets[0]));
    if let Some(second) = sockets.get(1) {
        shell.stdout(descriptor(second));
    }
    Running::of(&mut shell)
}

fn wait_for(client: &Client, wanted: impl Fn(&Status) -> bool) -> Status {
    let begun = Instant::now();
    loop {
        let status = client.status().expect("an answer");
        if wanted(&status) {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status:?}");
        std::thread::yield_now();
    }
}

fn detector(client: &Client, group: &str) -> String {
    client.group(group).expect("an answer").expect("the group").settings.detector
}

#[test]
fn a_reload_changes_what_is_in_force_and_a_bad_file_changes_nothing() {
    let folder = Folder::new();
    let path = folder.write("systole.toml", LISTEN);
    let running = configured(&path);
    let udp: SocketAddr = running.line("listening for heartbeats on udp ").parse().expect("an address");
    let client = Client::new(&running.url()).expect("a URL");
    let nodes = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for i in 0..100 {
        nodes.send_to(format!("hb edge-{i} interval=10m").as_bytes(), udp).expect("sent");
    }
    let before = wait_for(&client, |status| status.nodes.alive == 100);
    assert!(before.config.refused.is_none() && detector(&client, "default").starts_with("chen"), "{:?}", before.config);

    folder.write(
        "systole.toml",
        &format!(
            "{LISTEN}[events]\nkeep = 7\n[defaults]\ndetector = \"fixed:timeout=30m\"\n\
             [[group]]\nname = \"edge\"\nmatch = {{ node = \"edge-?\" }}\n"
        ),
    );
    running.signal("HUP");
    running.line("keep under [events] stays as it was");
    running.line("the configuration was loaded anew");
    let edge = |client: &Client| client.group("edge").unwrap().map_or(0, |group| group.nodes.alive);
    let after = wait_for(&client, |_| edge(&client) == 10);
    assert_eq!((after.nodes.alive, after.nodes.suspect, after.nodes.failed), (100, 0, 0));
    assert!(after.config.loaded_at > before.config.loaded_at, "{:?} {:?}", before.config, after.config);
    assert_eq!(detector(&client, "default"), "fixed:timeout=30m");

    let bad = folder.write("systole.toml", &format!("{LISTEN}[defaults]\nconfirm = \"soon\"\n[evnts]\n"));
    running.signal("HUP");
    running.line(&format!("{}:6:11: confirm \"soon\"", bad.display()));
    running.line(&format!("{}:7:2: unknown key \"evnts\"", bad.display()));
    running.line("the former one stays in force");
    let status = wait_for(&client, |status| status.config.refused.is_some());
    let refused = status.config.refused.expect("it was");
    assert!(refused.error.contains(":6:11: confirm \"soon\""), "{refused:?}");
    assert_eq!(
        (status.config.loaded_at, detector(&client, "default").as_str()),
        (after.config.loaded_at, "fixed:timeout=30m")
    );
    assert_eq!((status.nodes.alive, edge(&client), status.heartbeats_total), (100, 10, 100));

    // What is right again is taken again.
    folder.write("systole.toml", LISTEN);
    running.signal("HUP");
    running.line("the configuration was loaded anew");
    assert!(client.status().unwrap().config.refused.is_none());
    wait_for(&client, |_| edge(&client) == 0);
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn tokens_are_read_anew_and_who_lost_his_is_shown_out() {
    let folder = Folder::new();
    let (old, new) = (Token::random().unwrap(), Token::random().unwrap());
    let entry = |token: &Token| token.entry("a", Scope::Read).to_string() + "\n";
    let tokens = folder.write("tokens", &entry(&old));
    let path = folder.write("systole.toml", &format!("{LISTEN}[http]\ntokens = \"{}\"\n", tokens.display()));
    let running = configured(&path);
    let url = running.url();
    let client =
        |token: &Token| Client::with(&url, Credentials { token: Some(token.clone()), ca: None }).expect("a URL");
    let follow = client(&old).follow(&EventQuery::default()).expect("a stream");
    assert!(client(&new).status().is_err());

    folder.write("tokens", &entry(&new));
    running.signal("HUP");
    running.line("the configuration was loaded anew");
    assert!(client(&old).status().is_err() && client(&new).status().is_ok());
    assert_eq!(follow.count(), 0, "the stream of who lost his token ends");

    // A file that can't be used changes nothing.
    folder.write("tokens", "nonsense\n");
    running.signal("HUP");
    running.line(&format!("{}:1: this line has 1 words", tokens.display()));
    let status = client(&new).status().expect("still let in");
    assert!(status.config.refused.is_some_and(|refused| refused.error.contains("1 words")));
    running.signal("TERM");
    running.end();
}

#[test]
fn what_comes_while_nobody_runs_waits_and_is_counted() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("its address");
    let args = ["--udp", &address.to_string(), "--http", "127.0.0.1:0"].map(ToOwned::to_owned);
    let nodes = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for life in 0..3 {
        for i in 0..100 {
            nodes.send_to(format!("hb n{i} interval=10m seq={}", life + 1).as_bytes(), address).expect("sent");
        }
        let running = handed(&[&socket], &args);
        running.line("1 socket handed over by whoever started us");
        running.line(&format!("listening for heartbeats on udp {address}"));
        let client = Client::new(&running.url()).expect("a URL");
        let status = wait_for(&client, |status| status.heartbeats_total == 100);
        assert_eq!((status.nodes.alive, status.shards.len(), status.datagrams_dropped_total), (100, 1, 0));
        running.signal("TERM");
        assert_eq!(running.end().code(), Some(0));
    }
}

#[test]
fn as_many_sockets_of_one_address_are_as_many_shards_and_others_are_refused() {
    let open = |address: SocketAddr| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("several on one address");
        socket.bind(&address.into()).expect("a free port");
        UdpSocket::from(socket)
    };
    let first = open(SocketAddr::from(([127, 0, 0, 1], 0)));
    let address = first.local_addr().expect("its address");
    let second = open(address);
    let args = |more: &[&str]| {
        let args = ["--udp", &address.to_string(), "--http", "127.0.0.1:0"].map(ToOwned::to_owned);
        args.into_iter().chain(more.iter().map(|more| (*more).to_owned())).collect::<Vec<_>>()
    };
    for i in 0..100 {
        // A socket of its own for each, so that the kernel deals them out.
        let node = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        node.send_to(format!("hb n{i} interval=10m").as_bytes(), address).expect("sent");
    }
    let running = handed(&[&first, &second], &args(&[]));
    let client = Client::new(&running.url()).expect("a URL");
    let status = wait_for(&client, |status| status.heartbeats_total == 100);
    let received: Vec<u64> = status.shards.iter().map(|shard| shard.datagrams_total).collect();
    assert!(received.len() == 2 && received.iter().all(|received| *received > 0), "{received:?}");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));

    let running = handed(&[&first], &args(&["--shards", "2"]));
    let line = running.line("systole: ");
    assert!(line.contains("set shards = 1") && line.contains("ReusePort=yes"), "{line}");
    assert_eq!(running.end().code(), Some(1));
    let running = handed(&[&first], &["--udp", "127.0.0.1:0", "--http", "off"].map(ToOwned::to_owned));
    assert!(running.line("systole: ").contains(&address.to_string()));
    assert_eq!(running.end().code(), Some(1));
}

#[test]
fn the_manager_hears_that_all_is_well_for_as_long_as_it_is() {
    let manager = Manager::new();
    let folder = Folder::new();
    let path = folder.write("systole.toml", LISTEN);
    let within = Duration::from_millis(900);
    let running = Running::of(
        systole()
            .arg("--config")
            .arg(&path)
            .env("NOTIFY_SOCKET", &manager.path)
            .env("WATCHDOG_USEC", within.as_micros().to_string()),
    );
    let ready = manager.wait_for("READY=1");
    assert!(ready.contains("STATUS=taking heartbeats on udp 127.0.0.1:"), "{ready}");
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");

    running.signal("HUP");
    let reloading = manager.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.wait_for("READY=1");

    for name in ["systole-shard-1", "systole-journal"] {
        let stopped = Stopped::thread(running.pid(), name);
        running.line(&format!("{name} stands still"));
        // What had been found well just before may still be told.
        let last = (0..3).map(|_| manager.told_within(2 * within)).find(Option::is_none);
        assert!(last.is_some(), "{name} hangs, and that all is well is told again and again");
        drop(stopped);
        manager.wait_for("WATCHDOG=1");
    }
    running.signal("TERM");
    manager.wait_for("STOPPING=1");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn who_waits_for_a_shard_to_reload_still_looks_after_the_threads_and_can_be_told_to_stop() {
    let manager = Manager::new();
    let folder = Folder::new();
    let path = folder.write("systole.toml", LISTEN);
    let running = Running::of(systole().arg("--config").arg(&path).env("NOTIFY_SOCKET", &manager.path));
    manager.wait_for("READY=1");
    let stopped = Stopped::thread(running.pid(), "systole-shard-1");
    folder.write("systole.toml", &format!("{LISTEN}[defaults]\ndetector = \"fixed:timeout=30m\"\n"));
    let begun = Instant::now();
    running.signal("HUP");
    manager.wait_for("RELOADING=1");
    running.line("systole-shard-1 stands still");
    running.signal("TERM");
    running.line("the former one stays in force");
    manager.wait_for("STOPPING=1");
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited for the shard: {:?}", begun.elapsed());
    drop(stopped);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn what_one_shard_does_not_take_in_time_no_shard_takes() {
    let folder = Folder::new();
    let path = folder.write("systole.toml", LISTEN);
    let running = configured(&path);
    let udp: SocketAddr = running.line("listening for heartbeats on udp ").parse().expect("an address");
    let client = Client::new(&running.url()).expect("a URL");
    let nodes = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for i in 0..100 {
        nodes.send_to(format!("hb edge-{i} interval=10m").as_bytes(), udp).expect("sent");
    }
    let before = wait_for(&client, |status| status.nodes.alive == 100).config.loaded_at;
    let edge = |client: &Client| client.group("edge").unwrap().map_or(0, |group| group.nodes.alive);

    let stopped = Stopped::thread(running.pid(), "systole-shard-1");
    folder.write("systole.toml", &format!("{LISTEN}[[group]]\nname = \"edge\"\nmatch = {{ node = \"edge-*\" }}\n"));
    running.signal("HUP");
    running.line("the former one stays in force");
    drop(stopped);
    // The second answer of a shard comes after it has gone round.
    let [_, _, status] = [(); 3].map(|()| wait_for(&client, |status| status.nodes.alive == 100));
    assert_eq!((edge(&client), status.config.loaded_at), (0, before));
    assert!(status.config.refused.is_some());

    running.signal("HUP");
    running.line("the configuration was loaded anew");
    wait_for(&client, |_| edge(&client) == 100);
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn nothing_is_left_of_the_privileges_that_it_took_to_bind() {
    let running = Running::start(&["--udp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    running.line(", receive buffers of ");
    let expected = ["systole", "systole-shard-0", "systole-journal", "systole-http", "systole-signals"];
    let begun = Instant::now();
    // A thread gives itself its name, a moment after it began.
    while !expected.iter().all(|name| threads_without_privileges(running.pid()).contains(*name)) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", threads_without_privileges(running.pid()));
    }
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}

/// The names of all threads, none of which may do more than anybody.
fn threads_without_privileges(pid: u32) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let threads = tasks.map(|task| {
        let status = fs::read_to_string(task.path().join("status")).expect("its status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
        };
        let thread = field("Name:");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{set} of {thread}");
        }
        assert_eq!(field("NoNewPrivs:"), "1", "{thread}");
        thread
    });
    threads.collect()
}
