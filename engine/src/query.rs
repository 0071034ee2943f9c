//! What the control plane asks a shard, and how.
//!
//! A shard's state belongs to its thread alone. Whoever wants to see it puts a question into the
//! shard's bounded queue and wakes it; the shard answers between two batches with a bounded piece
//! of work: a report, one node, or one slice of its table. Questions that find the queue full are
//! refused at once, so that a crowd of readers never delays a heartbeat.

use std::sync::Arc;

use crossbeam::channel::{Sender, TrySendError};
use systole_core::auth::{Mode, REASONS, Use};
use systole_core::config::Settings;
use systole_core::counters::Counters;
use systole_core::event::Evidence;
use systole_core::guard::{Order, Tally};
use systole_core::{Instant, Liveness, NodeId, Payload, Span, Withheld};
use tokio::sync::oneshot;

use crate::model::Counts;
use crate::profile::Profile;
use crate::proposal::Proposal;

/// How many records one slice of a table looks at.
pub const SLICE: usize = 2_048;

/// A question to one shard.
#[derive(Debug)]
pub enum Query {
    /// How it is doing.
    Report(oneshot::Sender<Report>),
    /// Its groups, or the one with this name.
    Groups(Option<Box<str>>, oneshot::Sender<Vec<GroupReport>>),
    /// One node.
    Node(NodeId, oneshot::Sender<Option<Row>>),
    /// To do what somebody who knows better says of a hold. Answers whether there is one.
    Order(Box<str>, Order, oneshot::Sender<bool>),
    /// To judge by another configuration, if all other shards can too.
    Reconfigure(Box<Proposal>),
    /// The nodes that pass the filter among the [`SLICE`] places from `from` on, `most` at most.
    Slice {
        /// The first place to look at.
        from: usize,
        /// How many rows to bring at most.
        most: usize,
        /// Which nodes are wanted.
        filter: Arc<Filter>,
        /// Where the rows go.
        reply: oneshot::Sender<Slice>,
    },
    /// What is believed of the nodes among the [`SLICE`] places from `from` on, to be kept.
    Beliefs {
        /// The first place to look at.
        from: usize,
        /// Where it goes.
        reply: Sender<Beliefs>,
    },
}

/// How a shard is doing.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its number.
    pub shard: u32,
    /// Nodes by state.
    pub counts: Counts,
    /// What its monitor counted.
    pub counters: Counters,
    /// What its keys were of use for.
    pub auth: AuthReport,
    /// Heartbeats per second over the last ten seconds.
    pub heartbeats_per_second: f64,
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams that the kernel dropped.
    pub dropped: u64,
    /// The smallest receive buffer among its sockets, in bytes.
    pub receive_buffer: usize,
    /// Messages handed to their owners.
    pub handed_over: u64,
    /// Messages that couldn't be handed over.
    pub handover_dropped: u64,
    /// Events that couldn't be kept.
    pub events_dropped: u64,
    /// Times the wall clock was seen to jump.
    pub clock_steps: u64,
    /// The longest time between two looks at its sockets, of late.
    pub loop_gap_max: Span,
    /// The longest turn of its monitor, of late.
    pub turn_max: Span,
    /// How long its sockets haven't been seen empty; zero when they were at the last look.
    pub behind: Span,
    /// What it holds.
    pub holds: Vec<HoldReport>,
    /// How unwell it is, 0 to 8.
    pub unwell: u8,
    /// How many nodes go to and fro.
    pub flapping: usize,
    /// In how many nodes' names somebody else speaks.
    pub conflicts: usize,
}

/// What a shard holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldReport {
    /// Which nodes.
    pub scope: String,
    /// Since when.
    pub since: Instant,
    /// Until when at the latest; nothing if verdicts are being given.
    pub until: Option<Instant>,
    /// How many are silent, of how many.
    pub tally: Tally,
}

/// Why no verdict is given about a node whose silence is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReport {
    /// Why.
    pub reason: Withheld,
    /// Until when at the latest, as far as that can be said.
    pub until: Option<Instant>,
    /// The hold that it is part of.
    pub hold: Option<HoldReport>,
}

/// What a shard's keys were of use for.
#[derive(Clone, Debug, Default)]
pub struct AuthReport {
    /// What becomes of messages without a good tag.
    pub mode: Mode,
    /// Each key.
    pub keys: Vec<Use>,
    /// Messages that enforcing would have refused, in the order of [`REASONS`].
    pub waived: [u64; REASONS.len()],
}

/// What a shard knows of one group.
#[derive(Clone, Debug)]
pub struct GroupReport {
    /// The group's name.
    pub name: String,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// How its nodes are judged.
    pub settings: Settings,
    /// Its nodes by state.
    pub counts: Counts,
    /// Why its failures are withheld, if they are.
    pub hold: Option<HoldReport>,
    /// Verdicts about its nodes that had to wait, by reason.
    pub withheld: [u64; Withheld::ALL.len()],
    /// How its heartbeats arrive. None before the first in a known rhythm.
    pub profile: Option<Box<Profile>>,
}

/// Which nodes are wanted: those that pass everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this group.
    pub group: Option<String>,
    /// In one of these states; empty for all.
    pub states: Vec<Liveness>,
    /// With a name that starts so.
    pub prefix: Option<String>,
    /// With these labels.
    pub labels: Vec<(String, String)>,
}

/// One node as a shard hands it out: numbers and copies, nothing formatted.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place in the shard's table.
    pub place: usize,
    /// Its name, or what is shown instead.
    pub node: String,
    /// Its group's name.
    pub group: String,
    /// What is believed of it.
    pub liveness: Liveness,
    /// Since when.
    pub since: Instant,
    /// When its next silence would mean something.
    pub due: Option<Instant>,
    /// The load it reported last.
    pub load: Option<f32>,
    /// What else it told about itself.
    pub payload: Option<Box<Payload>>,
    /// What the belief rests on.
    pub evidence: Evidence,
    /// Why no verdict is given though it is due.
    pub held: Option<HeldReport>,
    /// Until when its changes are kept quiet.
    pub flapping: Option<Instant>,
    /// Whether somebody else speaks in its name.
    pub conflict: bool,
}

/// Part of a shard's table.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The wanted nodes among the places looked at, in the order of their places.
    pub rows: Vec<Row>,
    /// Where to go on; none at the table's end.
    pub next: Option<usize>,
}

/// What is believed of part of a shard's table, as a snapshot keeps it.
#[derive(Clone, Debug)]
pub struct Beliefs {
    /// One belief after the other.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub count: u32,
    /// Where to go on; none at the table's end.
    pub next: Option<usize>,
}

/// A shard couldn't take or answer a question in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Its queue of questions is full.
    #[error("shard {0} has too many questions waiting")]
    Busy(u32),
    /// It isn't running, or didn't answer in time.
    #[error("shard {0} doesn't answer")]
    Silent(u32),
}

/// The way to one shard.
#[derive(Clone, Debug)]
pub struct ShardHandle {
    /// Its number.
    pub shard: u32,
    /// Its queue of questions.
    pub queries: Sender<Query>,
    /// Wakes it from its wait.
    pub waker: Arc<mio::Waker>,
}

impl ShardHandle {
    /// Wakes the shard, to look at what it was handed before.
    pub fn wake(&self) {
        // One that can't be woken comes round by itself.
        let _ = self.waker.wake();
    }

    /// Puts a question and wakes the shard.
    ///
    /// # Errors
    /// The shard's queue is full, or the shard has ended.
    pub fn ask(&self, query: Query) -> Result<(), Unavailable> {
        self.queries.try_send(query).map_err(|error| match error {
            TrySendError::Full(_) => Unavailable::Busy(self.shard),
            TrySendError::Disconnected(_) => Unavailable::Silent(self.shard),
        })?;
        self.waker.wake().map_err(|_| Unavailable::Silent(self.shard))
    }
}
