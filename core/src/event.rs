//! What comes out of the monitor: changes of belief, each with its cause and its evidence.
//!
//! Everything here is numbers and borrowed names. Whoever receives them gives them a sequence
//! number, writes the sentence that a person reads, and keeps them; the core does none of that.

use crate::{Called, GroupIx, Incarnation, Instant, Liveness, NodeId, NodeIx, Seq, Span};

/// Why a belief changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The first heartbeat of a node.
    FirstHeartbeat,
    /// A newer heartbeat of the same incarnation.
    Heartbeat,
    /// A heartbeat of a later incarnation than the one that fell silent or left: a restart.
    Restart,
    /// The deadline passed.
    Silence,
    /// The confirm time passed too, still without a heartbeat.
    Confirmed,
    /// A listed node's grace passed and it never came.
    NeverSeen,
    /// The node said goodbye.
    Goodbye,
}

impl Cause {
    /// The word for it, everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstHeartbeat => "first_heartbeat",
            Self::Heartbeat => "heartbeat",
            Self::Restart => "restart",
            Self::Silence => "silence",
            Self::Confirmed => "confirmed",
            Self::NeverSeen => "never_seen",
            Self::Goodbye => "goodbye",
        }
    }
}

/// What the verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// When the last heartbeat (of a node that left: the goodbye) arrived; nothing if none ever did here.
    pub last_arrival: Option<Instant>,
    /// When the belief in the node was taken over from another monitor, if nothing was heard since:
    /// the deadline counts from then, and means nothing for one that was failed before. Nothing otherwise.
    pub taken_over: Option<Instant>,
    /// Until when silence was normal, by the detector (for an unseen node: the end of its grace).
    pub deadline: Instant,
    /// What must pass after the deadline before a suspect is failed.
    pub confirm: Span,
    /// The heartbeat interval in force, and whether the node declared it.
    pub interval: Span,
    /// Whether the node itself declared the interval; otherwise it is learned, or the default.
    pub interval_declared: bool,
    /// Whether the node had announced a silence that the deadline allows for.
    pub planned: bool,
    /// The detector's name.
    pub detector: &'static str,
    /// The life of the node that this is about.
    pub incarnation: Incarnation,
    /// The last heartbeat of that life.
    pub seq: Seq,
    /// Of the last `window` heartbeats, how many never came (a gap in the sequence).
    pub lost: u8,
    /// How many heartbeats `lost` looks back: as many as are known, at most 31.
    pub window: u8,
}

/// One change of what is believed of one node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition<'a> {
    /// When it was decided.
    pub at: Instant,
    /// The node's place, valid together with `generation`.
    pub node: NodeIx,
    /// Which of the successive owners of that place is meant.
    pub generation: u32,
    /// The node's id on the wire.
    pub id: NodeId,
    /// How the node is called.
    pub called: Called<'a>,
    /// The node's group.
    pub group: GroupIx,
    /// The group's name.
    pub group_name: &'a str,
    /// What was believed before.
    pub from: Liveness,
    /// What is believed now. Never the same as `from`.
    pub to: Liveness,
    /// Why.
    pub cause: Cause,
    /// What that rests on.
    pub evidence: Evidence,
}

/// Where everything goes that the monitor has to say. All of it is called from within a turn, on
/// the path of heartbeats: implementations must not block.
pub trait Sink {
    /// A belief changed.
    fn transition(&mut self, transition: &Transition<'_>);

    /// A valid message of a node in another share came here. `message` is complete: it can be
    /// handed to its owner as a datagram of its own.
    fn foreign(&mut self, node: NodeId, message: &[u8], arrival: Instant) {
        let _ = (node, message, arrival);
    }

    /// A heartbeat was believed, `late` after the instant its predecessor and the interval
    /// foretold, with `lost` heartbeats missing before it.
    fn heartbeat(&mut self, group: GroupIx, late: Span, lost: u64) {
        let _ = (group, late, lost);
    }

    /// How many transitions it can still take from this turn. While there is no room nothing more is
    /// declared silent: verdicts wait rather than get lost.
    fn room(&self) -> usize {
        usize::MAX
    }
}

/// Keeps nothing.
impl Sink for () {
    fn transition(&mut self, _: &Transition<'_>) {}
}
