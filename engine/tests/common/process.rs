//! A monitor in a process of its own, which can be killed.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use systole::client::Client;
use systole::model::{Event, Node, State, Status};

use super::PATIENCE;

/// A process, the lines that it logs, and the ways to it.
pub(crate) struct Process {
    child: Child,
    lines: Lines,
    pub(crate) udp: SocketAddr,
    pub(crate) http: String,
    pub(crate) client: Client,
    pub(crate) socket: UdpSocket,
}

/// What was logged: as it comes, and all that came.
struct Lines {
    coming: Receiver<String>,
    came: RefCell<Vec<String>>,
}

impl Process {
    /// Starts a monitor with these flags, and with addresses of its own unless `udp` gives one.
    pub(crate) fn start(udp: Option<SocketAddr>, flags: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_systole")), udp, flags)
    }

    /// The same, by a command that ends in the program.
    pub(crate) fn start_by(mut command: Command, udp: Option<SocketAddr>, flags: &[&str]) -> Self {
        let address = udp.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))).to_string();
        command.args(["run", "--udp", &address, "--http", "127.0.0.1:0"]).args(flags);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("systole starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, coming) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let lines = Lines { coming, came: RefCell::default() };
        let udp = lines.rest("listening for heartbeats on udp ").parse().expect("an address");
        let http = lines.rest("answering on ");
        let client = Client::new(&http).expect("a URL");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(udp).expect("an address");
        Self { child, lines, udp, http, client, socket }
    }

    /// The rest of the first line that contains `part`, after it, whenever that came or comes.
    pub(crate) fn line(&self, part: &str) -> String {
        self.lines.rest(part)
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.socket.send(bytes.as_ref()).expect("it is sent");
    }

    pub(crate) fn status(&self) -> Status {
        self.client.status().expect("an answer")
    }

    pub(crate) fn node(&self, name: &str) -> Option<Node> {
        self.client.node(name).expect("an answer")
    }

    /// Every event after this number.
    pub(crate) fn events(&self, mut since: u64) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let page = self.client.events(since, 10_000, &[]).expect("an answer");
            if page.events.is_empty() {
                return events;
            }
            since = page.next;
            events.extend(page.events);
        }
    }

    pub(crate) fn wait_for(&self, name: &str, state: State) -> Node {
        until(|| self.node(name).filter(|node| node.state == state))
    }

    pub(crate) fn wait_for_status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        until(|| Some(self.status()).filter(&wanted))
    }

    /// Ends it as if the power had failed, but for the disk.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill starts").success());
        while self.lines.coming.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().expect("it ends")
    }
}

/// Whatever a test came to, no monitor is left behind.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is an answer.
pub(crate) fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "it never happened");
        thread::yield_now();
    }
}

impl Lines {
    fn rest(&self, part: &str) -> String {
        let found = |line: &String| line.split_once(part).map(|(_, rest)| rest.to_owned());
        if let Some(rest) = self.came.borrow().iter().find_map(found) {
            return rest;
        }
        while let Ok(line) = self.coming.recv_timeout(PATIENCE) {
            let rest = found(&line);
            self.came.borrow_mut().push(line);
            if let Some(rest) = rest {
                return rest;
            }
        }
        panic!("no line with {part:?} in {:#?}", self.came.borrow());
    }
}
