//! One node's side of the protocol: a socket, a name, and a number that grows with every heartbeat.
//!
//! ```no_run
//! use systole::sender::{About, Sender};
//! use systole_core::Span;
//!
//! let about = About { interval: Some(Span::from_secs(1)), ..About::new("web-1") };
//! let mut sender = Sender::connect("127.0.0.1:2328", about)?;
//! sender.beat(Some(0.42), &[("cpu", 0.7)])?; // and again, every second
//! sender.goodbye();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A monitor that is down is none of the node's business: nothing here blocks, and what couldn't be sent is counted and
//! forgotten. When to beat, and what the load is, stays with the caller.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use systole_core::auth::NodeKey;
use systole_core::wire::{DATAGRAM_MAX, Extras, Kind, Message, UnixMillis, emit_binary, emit_text};
use systole_core::{Incarnation, NodeId, Reject, Seq, Span};

use crate::clock::Clock;

/// What a node tells about itself, and repeats from time to time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Its name: 1 to 128 bytes of `A-Z a-z 0-9 . _ : / @ -`.
    pub name: String,
    /// The group that it wants to be in.
    pub group: Option<String>,
    /// How often it means to beat, at the latest.
    pub interval: Option<Span>,
    /// The version of what it runs.
    pub version: Option<String>,
    /// Its labels, up to 16.
    pub labels: Vec<(String, String)>,
    /// How it is written.
    pub form: Form,
}

/// The two ways to write a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// 52 bytes and what there is to say besides.
    #[default]
    Binary,
    /// A line that a person can read.
    Text,
}

/// One life of one node, over a connected UDP socket.
#[derive(Debug)]
pub struct Sender {
    socket: UdpSocket,
    clock: Clock,
    about: About,
    node: NodeId,
    incarnation: Incarnation,
    seq: u64,
    /// Heartbeats for which the node still introduces itself in any case.
    introductions: u32,
    unsent: u64,
    key: Option<NodeKey>,
    buffer: Vec<u8>,
}

/// Why there is no way to the monitor.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address doesn't say which port.
    #[error("{0:?} is no HOST:PORT; a monitor listens on port 2328 unless told otherwise, such as {0}:2328")]
    Address(String),
    /// The name has no address.
    #[error("can't find an address for {to:?}: {error}; check the name, or give the address itself")]
    Resolve {
        /// What was asked for.
        to: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// None of the addresses can be reached from here.
    #[error("can't send to {to}: {error}")]
    Connect {
        /// The last address that was tried.
        to: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

impl About {
    /// A node of this name that tells nothing else.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl Sender {
    /// Begins a life of the node, now. Says nothing yet.
    ///
    /// # Errors
    /// If `to`, a `HOST:PORT`, has no address that can be sent to. Whether anybody listens there shows
    /// only later, and isn't an error then.
    pub fn connect(to: &str, about: About) -> Result<Self, ConnectError> {
        let socket = resolve(to).and_then(|addresses| connect(&addresses))?;
        let clock = Clock::start();
        Ok(Self {
            socket,
            clock,
            node: NodeId::of(&about.name),
            incarnation: Incarnation::new(unix_millis(&clock)),
            about,
            seq: 0,
            introductions: INTRODUCTIONS,
            unsent: 0,
            key: None,
            buffer: Vec::with_capacity(256),
        })
    }

    /// Seals from now on whatever it says, in binary: a line of text has no place for a tag.
    pub fn seal_with(&mut self, key: NodeKey) {
        self.about.form = Form::Binary;
        self.key = Some(key);
    }

    /// Says "I am here". The load is 0 for idle and 1 for full; metrics are up to 16 names and numbers.
    ///
    /// # Errors
    /// If the monitor would refuse it, with the reason; nothing was sent then.
    pub fn beat(&mut self, load: Option<f32>, metrics: &[(&str, f64)]) -> Result<(), Reject> {
        let introduce = self.introductions > 0 || self.seq.is_multiple_of(INTRODUCE_EVERY);
        self.say(Kind::Heartbeat, load, metrics, introduce)?;
        self.introductions = self.introductions.saturating_sub(1);
        Ok(())
    }

    /// Says "I am leaving on purpose". Datagrams get lost: say it twice, a moment apart, if it matters.
    pub fn goodbye(&mut self) {
        // A node whose name nobody accepts has never been heard either.
        let _ = self.say(Kind::Goodbye, None, &[], false);
    }

    /// How many heartbeats and goodbyes were said, sent or not.
    pub const fn said(&self) -> u64 {
        self.seq
    }

    /// How often sending failed: no monitor listening there, no route, no room.
    pub const fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Whether the machine at the other end says within `time` that nobody listens there: see [`refused`].
    pub fn refused(&self, time: Duration) -> bool {
        refused(&self.socket, time)
    }

    fn say(&mut self, kind: Kind, load: Option<f32>, metrics: &[(&str, f64)], introduce: bool) -> Result<(), Reject> {
        let about = &self.about;
        let labels: Vec<(&str, &str)> = match introduce {
            true => about.labels.iter().map(|(name, text)| (&**name, &**text)).collect(),
            false => Vec::new(),
        };
        let message = Message {
            // A line of text always begins with it.
            name: (introduce || about.form == Form::Text).then_some(&*about.name),
            incarnation: Some(self.incarnation),
            seq: Some(Seq::new(self.seq + 1)),
            sent: UnixMillis::new(unix_millis(&self.clock)),
            interval: about.interval,
            group: about.group.as_deref().filter(|_| introduce),
            load,
            version: about.version.as_deref().filter(|_| introduce),
            extras: Extras::pairs(metrics, &labels),
            ..Message::of(kind, self.node)
        };
        self.buffer.clear();
        match (&self.key, about.form) {
            (Some(key), Form::Binary | Form::Text) => key.seal(&message, &mut self.buffer)?,
            (None, Form::Binary) => emit_binary(&message, &mut self.buffer)?,
            (None, Form::Text) => emit_text(&message, &mut self.buffer)?,
        }
        if self.buffer.len() > DATAGRAM_MAX {
            return Err(Reject::Truncated);
        }
        self.seq += 1;
        if self.socket.send(&self.buffer).is_err() {
            self.unsent += 1;
            // Whoever comes up there next has never heard of us.
            self.introductions = INTRODUCTIONS;
        }
        Ok(())
    }
}

/// The addresses of a `HOST:PORT`.
///
/// # Errors
/// If it isn't one, or has none.
pub fn resolve(to: &str) -> Result<Vec<SocketAddr>, ConnectError> {
    if to.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
        return Err(ConnectError::Address(to.to_owned()));
    }
    let failed = |error| ConnectError::Resolve { to: to.to_owned(), error };
    let addresses: Vec<SocketAddr> = to.to_socket_addrs().map_err(failed)?.collect();
    if addresses.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

/// A socket that sends to the first of `addresses` that there is a way to, and never waits.
///
/// # Errors
/// If there is none.
pub fn connect(addresses: &[SocketAddr]) -> Result<UdpSocket, ConnectError> {
    let mut outcome = Err(ConnectError::Address(String::new()));
    for &to in addresses {
        outcome = open(to).map_err(|error| ConnectError::Connect { to, error });
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Whether the machine at the other end of a connected socket says within `time` that nobody listens there. Silence says
/// nothing: a monitor never answers. Waits all of `time` then, and leaves the socket blocking.
pub fn refused(socket: &UdpSocket, time: Duration) -> bool {
    let waits = socket.set_nonblocking(false).and_then(|()| socket.set_read_timeout(Some(time)));
    waits.and_then(|()| socket.recv(&mut [0])).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(to)?;
    Ok(socket)
}

/// Milliseconds since 1970.
pub fn unix_millis(clock: &Clock) -> u64 {
    clock.read().unix_nanos / 1_000_000
}

/// On so many first heartbeats a node tells its name, group, version and labels: one may get lost.
const INTRODUCTIONS: u32 = 3;
/// And then on every so-manieth again: for a monitor that was started in between.
const INTRODUCE_EVERY: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::auth::{KeyId, KeyRing, MasterKey, Mode, Suite};
    use systole_core::wire::messages;

    fn monitor() -> (UdpSocket, String) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let to = socket.local_addr().unwrap().to_string();
        (socket, to)
    }

    fn about() -> About {
        About {
            group: Some("web".into()),
            interval: Some(Span::from_secs(1)),
            version: Some("1.2".into()),
            labels: vec![("zone".into(), "eu-1".into())],
            ..About::new("web-1")
        }
    }

    #[test]
    fn a_node_introduces_itself_three_times_and_then_on_every_sixteenth_heartbeat() {
        let (socket, to) = monitor();
        let mut sender = Sender::connect(&to, about()).unwrap();
        let mut introduced = vec![];
        for seq in 1..=40u64 {
            sender.beat(Some(0.5), &[("cpu", 0.7)]).unwrap();
            let mut buffer = [0; 2048];
            let length = socket.recv(&mut buffer).unwrap();
            let (message, _) = messages(&buffer[..length]).next().unwrap().unwrap();
            assert_eq!((message.kind, message.node), (Kind::Heartbeat, NodeId::of("web-1")));
            assert_eq!((message.seq, message.load), (Some(Seq::new(seq)), Some(0.5)));
            assert_eq!(message.interval, Some(Span::from_secs(1)));
            assert!(message.extras.metrics().eq([("cpu", 0.7)]));
            if message.name.is_some() {
                assert_eq!((message.group, message.version), (Some("web"), Some("1.2")));
                assert!(message.extras.labels().eq([("zone", "eu-1")]));
                introduced.push(seq);
            } else {
                assert_eq!((message.group, message.version), (None, None));
                assert_eq!(message.extras.labels().count(), 0);
            }
        }
        assert_eq!(introduced, [1, 2, 3, 17, 33]);
        sender.goodbye();
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        let (message, _) = messages(&buffer[..length]).next().unwrap().unwrap();
        assert_eq!((message.kind, message.seq), (Kind::Goodbye, Some(Seq::new(41))));
    }

    #[test]
    fn a_sender_keeps_beating_at_a_monitor_that_is_down_and_introduces_itself_to_the_next_one() {
        let (socket, to) = monitor();
        let mut sender = Sender::connect(&to, about()).unwrap();
        drop(socket);
        for _ in 0..20 {
            sender.beat(None, &[]).unwrap();
        }
        assert_eq!(sender.said(), 20);
        assert!(sender.unsent() > 0);
        assert!(sender.introductions > 0);
    }

    #[test]
    fn what_nobody_would_accept_is_not_sent() {
        let (socket, to) = monitor();
        let mut sender = Sender::connect(&to, about()).unwrap();
        assert_eq!(sender.beat(Some(f32::NAN), &[]), Err(Reject::BadValue));
        let mut nameless = Sender::connect(&to, About::new("no name")).unwrap();
        assert_eq!(nameless.beat(None, &[]), Err(Reject::BadName));
        let label = |i: u8| (format!("{:x<64}", char::from(b'a' + i)), "y".repeat(64));
        let much = About { labels: (0..16).map(label).collect(), ..About::new("much") };
        assert_eq!(Sender::connect(&to, much).unwrap().beat(None, &[]), Err(Reject::Truncated));
        assert_eq!((sender.said(), nameless.said()), (0, 0));
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 10]).is_err());
    }

    #[test]
    fn text_says_the_same_in_a_line() {
        let (socket, to) = monitor();
        let mut sender = Sender::connect(&to, About { form: Form::Text, ..about() }).unwrap();
        sender.beat(None, &[]).unwrap();
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        assert!(buffer.starts_with(b"hb web-1 "));
        let (message, _) = messages(&buffer[..length]).next().unwrap().unwrap();
        assert_eq!((message.seq, message.group), (Some(Seq::new(1)), Some("web")));
    }

    #[test]
    fn with_a_key_everything_that_is_said_is_sealed_and_in_binary() {
        let (socket, to) = monitor();
        let id = KeyId::new(3).unwrap();
        let master = MasterKey::new(id, Suite::SipHash, &[1; 16]).unwrap();
        let mut ring = KeyRing::new(Mode::Enforce);
        ring.add(master.clone()).unwrap();
        let mut sender = Sender::connect(&to, About { form: Form::Text, ..about() }).unwrap();
        sender.seal_with(master.node(NodeId::of("web-1")));
        sender.beat(None, &[]).unwrap();
        sender.goodbye();
        for seq in 1..=2 {
            let mut buffer = [0; 2048];
            let length = socket.recv(&mut buffer).unwrap();
            let (message, bytes) = messages(&buffer[..length]).next().unwrap().unwrap();
            assert_eq!((message.key, message.seq), (3, Some(Seq::new(seq))));
            assert!(ring.open(&message, bytes).is_ok());
        }
        sender.seal_with(master.node(NodeId::of("web-2")));
        assert_eq!(sender.beat(None, &[]), Err(Reject::BadTag), "nobody would believe it");
    }

    #[test]
    fn an_address_needs_a_host_and_a_port() {
        for bad in ["localhost", "localhost:", ":2328", "localhost:99999", "::1"] {
            let error = resolve(bad).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT") || bad == "::1", "{bad}: {error}");
        }
        assert!(resolve("localhost:2328").is_ok_and(|found| !found.is_empty()));
        assert_eq!(resolve("[::1]:2328").unwrap(), ["[::1]:2328".parse().unwrap()]);
    }
}
