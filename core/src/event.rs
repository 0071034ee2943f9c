//! What comes out of the monitor: changes of belief, each with its cause and its evidence.
//!
//! Everything here is numbers and borrowed names. Whoever receives them gives them a sequence
//! number, writes the sentence that a person reads, and keeps them; the core does none of that.

use crate::guard::{Change, ScopeName, Tally};
use crate::{Called, Datagram, GroupIx, Incarnation, Instant, Liveness, NodeId, NodeIx, Seq, Span, Withheld};

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
    /// When the next silence means something: the deadline or the end of the confirm time, as they were
    /// moved by `excused`. For a node that isn't waited for it means nothing.
    pub due: Instant,
    /// How much later `due` is than the settings alone say.
    pub excused: Span,
    /// What it is excused by, if it is.
    pub excuse: Option<Withheld>,
    /// What the verdict was withheld by after it was due, if it was.
    pub withheld: Option<Withheld>,
    /// For how long.
    pub held: Span,
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

/// Something that is worth telling though nobody's belief changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note<'a> {
    /// Many nodes fell silent together, or what follows from that.
    Hold {
        /// When it was decided.
        at: Instant,
        /// Which nodes.
        scope: ScopeName<'a>,
        /// What became of their verdicts.
        change: Change,
        /// How many are silent, of how many.
        tally: Tally,
        /// Until when they are withheld at the latest; now, if they aren't.
        until: Instant,
    },
    /// Something about one node.
    Node {
        /// When it was decided.
        at: Instant,
        /// The node's place, valid together with `generation`.
        node: NodeIx,
        /// Which of the successive owners of that place is meant.
        generation: u32,
        /// The node's id on the wire.
        id: NodeId,
        /// How the node is called.
        called: Called<'a>,
        /// The group's name.
        group_name: &'a str,
        /// What is believed of it.
        liveness: Liveness,
        /// What there is to tell.
        what: NodeNote,
    },
    /// We can't keep up, so that silence means nothing; or we can again.
    Overload {
        /// When it was found.
        at: Instant,
        /// Whether it is a backlog or drops.
        reason: Withheld,
        /// Whether it is over.
        over: bool,
    },
}

/// Something that is worth telling about one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeNote {
    /// It goes to and fro so often that its changes are kept quiet until this instant at least.
    Flapping {
        /// Until when, if it stays as it is.
        until: Instant,
    },
    /// Its changes are told again. It was told to be `told` last, and may be something else now.
    Steady {
        /// What was told last.
        told: Liveness,
    },
    /// Somebody else speaks in its name: another sender, or a recording.
    Conflict {
        /// The life that is believed.
        incarnation: Incarnation,
        /// The life that isn't.
        rival: Incarnation,
        /// The last number of the one that isn't.
        seq: Seq,
    },
}

impl Note<'_> {
    /// The word for it, everywhere.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hold { change, .. } => change.name(),
            Self::Node { what: NodeNote::Flapping { .. }, .. } => "flapping",
            Self::Node { what: NodeNote::Steady { .. }, .. } => "steady",
            Self::Node { what: NodeNote::Conflict { .. }, .. } => "conflict",
            Self::Overload { over: false, .. } => "overload",
            Self::Overload { over: true, .. } => "overload_over",
        }
    }
}

/// Where everything goes that the monitor has to say. All of it is called from within a turn, on
/// the path of heartbeats: implementations must not block.
pub trait Sink {
    /// A belief changed.
    fn transition(&mut self, transition: &Transition<'_>);

    /// Something is worth telling though nobody's belief changed.
    fn note(&mut self, note: &Note<'_>) {
        let _ = note;
    }

    /// A valid message of a node in another share came here. `message` is complete: it can be
    /// handed to its owner as a datagram of its own.
    fn foreign(&mut self, node: NodeId, message: &Datagram<'_>) {
        let _ = (node, message);
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
