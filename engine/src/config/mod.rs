//! What a monitor is asked to be: one TOML file, or none at all.
//!
//! [`Setup`] is the answer, whole and checked; without a file it is [`Setup::default`]. [`read`]
//! makes it from a text and otherwise says everything that is wrong with that text at once, each
//! fault with its line. What settings mean is judged by the core's `Config`; this folder knows how
//! they are written and where they stand. It opens nothing but the file and those that it names:
//! whether an address can be bound is found out by whoever binds it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use systole_core::Span;
use systole_core::auth::Mode;
use systole_core::config::{FlapSettings, GuardSettings, Plan};

use crate::key::Entry;

mod access;
mod address;
mod advice;
mod auth;
mod caution;
mod events;
mod fault;
mod file;
mod nearest;
mod read;
mod section;
mod size;
mod value;

pub use access::{Access, Tls};
pub use address::{Http, NotAddress, address};
pub use advice::warnings;
pub use fault::Fault;
pub use file::{Unusable, load};
pub use read::{SHARDS_MAX, read, read_insecure};
pub use size::{Size, SizeError};

/// Everything that a running monitor is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Where it listens.
    pub listen: Listen,
    /// Whom it believes.
    pub auth: Auth,
    /// Who may ask it over HTTP.
    pub access: Access,
    /// How it judges; the core found nothing wrong with it.
    pub plan: Plan,
    /// What becomes of its events.
    pub events: Events,
    /// Where it keeps what must outlive it.
    pub state_dir: Option<PathBuf>,
    /// How it keeps what it believes there.
    pub snapshot: Snapshot,
}

/// Where a monitor listens, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For heartbeats.
    pub udp: Vec<SocketAddr>,
    /// For questions; none to answer nobody.
    pub http: Option<SocketAddr>,
    /// Whether it may listen beyond loopback though nobody has to show a key.
    pub insecure: bool,
    /// How many threads share the nodes; none for a number that suits the machine.
    pub shards: Option<usize>,
    /// What the kernel is asked to hold for each socket, in bytes.
    pub receive_buffer: usize,
}

/// Who is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// What becomes of messages without a good tag.
    pub mode: Mode,
    /// The keys of the fleet: the current one, and others that are still accepted.
    pub keys: Vec<Entry>,
}

/// What becomes of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// How many of the latest are kept in memory.
    pub keep: usize,
    /// How long they are kept in the state directory.
    pub retain: Span,
    /// How many are kept there at most.
    pub retain_max: u64,
}

/// How beliefs are kept in the state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How often all of them are written.
    pub every: Span,
}

/// The port for heartbeats: BEAT on a phone's keys.
pub const UDP_PORT: u16 = 2_328;

/// The port for questions.
pub const HTTP_PORT: u16 = 2_329;

/// Nothing is kept over a restart; mass silence is held, and who goes to and fro is kept quiet.
impl Default for Setup {
    fn default() -> Self {
        let plan =
            Plan { guard: Some(GuardSettings::default()), flapping: Some(FlapSettings::default()), ..Plan::default() };
        Self {
            listen: Listen::default(),
            auth: Auth::default(),
            access: Access::default(),
            plan,
            events: Events::default(),
            state_dir: None,
            snapshot: Snapshot::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            udp: vec![loopback(UDP_PORT)],
            http: Some(loopback(HTTP_PORT)),
            insecure: false,
            shards: None,
            receive_buffer: 64 << 20,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { keep: 100_000, retain: Span::from_secs(30 * 86_400), retain_max: 10_000_000 }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { every: Span::from_secs(30) }
    }
}

impl Setup {
    /// The addresses that others than this machine can reach and where nothing is asked of them, first those for
    /// heartbeats.
    pub fn exposed(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let udp = self.listen.udp.iter().copied().filter(|_| self.auth.mode != Mode::Enforce);
        let http = self.listen.http.filter(|_| self.access.tokens.is_none());
        udp.chain(http).filter(|address| !address::is_loopback(*address))
    }

    /// The address for questions, if tokens travel to it over the network and anybody on the way can read them.
    pub fn overheard(&self) -> Option<SocketAddr> {
        let http = self.listen.http.filter(|address| !address::is_loopback(*address));
        http.filter(|_| self.access.tokens.is_some() && self.access.tls.is_none())
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}
