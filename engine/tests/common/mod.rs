//! A monitor that runs in this process, on ports of its own, with a client and a sender beside it.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod process;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use systole::client::Client;
use systole::config::Setup;
use systole::daemon::{self, Daemon};
use systole::model::{Event, Node, State, Status};

/// Nothing here takes this long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) daemon: Daemon,
    pub(crate) client: Client,
    pub(crate) socket: UdpSocket,
}

impl Running {
    pub(crate) fn start(shards: usize) -> Self {
        Self::with(shards, |_| {})
    }

    /// One that is set up otherwise.
    pub(crate) fn with(shards: usize, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        setup.listen.udp = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        setup.listen.http = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        setup.listen.shards = Some(shards);
        change(&mut setup);
        let daemon = daemon::start(&setup).expect("the monitor starts");
        let http = daemon.http_addr().expect("HTTP is on");
        let client = Client::new(&format!("http://{http}")).expect("a URL");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(daemon.udp_addrs()[0]).expect("an address");
        Self { daemon, client, socket }
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.socket.send(bytes.as_ref()).expect("it is sent");
    }

    pub(crate) fn node(&self, name: &str) -> Option<Node> {
        self.client.node(name).expect("an answer")
    }

    pub(crate) fn wait_for(&self, name: &str, state: State) -> Node {
        let start = Instant::now();
        loop {
            match self.node(name) {
                Some(node) if node.state == state => return node,
                other => assert!(start.elapsed() < PATIENCE, "{name} never became {state}: {other:?}"),
            }
            std::thread::yield_now();
        }
    }

    /// Asks for the status until it is as `wanted`.
    pub(crate) fn wait_for_status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let start = Instant::now();
        loop {
            let status = self.client.status().expect("an answer");
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{status:?}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn udp(&self) -> SocketAddr {
        self.daemon.udp_addrs()[0]
    }

    pub(crate) fn stop(self) {
        self.daemon.stop().expect("a clean stop");
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.client.events(0, 10_000, &[]).expect("an answer").events
    }
}
