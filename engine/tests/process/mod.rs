//! A monitor in a process of its own: one that can be stopped, killed and started again.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use systole::client::Client;
use systole::model::Status;
use tempfile::TempDir;

/// Nothing here takes this long, unless it is the long form.
fn patience() -> Duration {
    Duration::from_secs(if is_long() { 300 } else { 60 })
}

/// Whether the long forms are wanted.
pub(crate) fn is_long() -> bool {
    std::env::var_os("SYSTOLE_LONG").is_some()
}

pub(crate) fn systole(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    command.args(args);
    command
}

pub(crate) struct Process {
    child: Child,
    pub(crate) udp: String,
    pub(crate) http: String,
    client: Client,
    _folder: TempDir,
}

impl Process {
    /// Starts one on ports of its own, with these lines of configuration.
    pub(crate) fn start(config: &[&str]) -> Self {
        Self::start_with(config, |_| {})
    }

    /// The same, with whatever else its process needs.
    pub(crate) fn start_with(config: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("systole.toml");
        std::fs::write(&file, config.join("\n")).expect("it is written");
        let mut command = systole(&["run", "--udp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--config"]);
        command.arg(&file).stderr(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines().map_while(Result::ok);
        let mut told = |before: &str| {
            let line = lines.find(|line| line.contains(before)).unwrap_or_else(|| panic!("it never said {before:?}"));
            let (_, rest) = line.split_once(before).expect("it is there");
            rest.split_whitespace().next().expect("an address").to_owned()
        };
        let (udp, http) = (told("heartbeats on udp "), told("answering on "));
        std::thread::spawn(move || lines.for_each(drop));
        let client = Client::new(&http).expect("a URL");
        Self { child, udp, http, client, _folder: folder }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    pub(crate) fn status(&self) -> Status {
        self.client.status().expect("an answer")
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn wait_for_status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let start = Instant::now();
        loop {
            let status = self.client.status().expect("an answer");
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < patience(), "{status:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Memory that it really has.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// By its id, and by force.
impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
