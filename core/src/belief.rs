//! What outlives a monitor: all of what it believes of one node, as one value.
//!
//! ```text
//!   monitor ──belief()──► Belief ──(kept, carried, read back)──► take_over() ──► another monitor
//!                                                                │ waited for anew from here
//! ```
//!
//! Kept is what a node said and what was concluded. Left behind is what only an unbroken watch can
//! know: when the last heartbeat arrived, which of the last ones were lost, and how punctual the
//! node is. Nobody listened meanwhile, so the next heartbeat's distance from the last one says
//! nothing, and neither does a gap in the numbers. Where beliefs are kept, and how often, is for
//! whoever drives the monitor to say.

use core::fmt;

use crate::config::{Limits, Settings};
use crate::node::{Flags, Node};
use crate::table::Detail;
use crate::{Incarnation, Instant, Liveness, NodeId, Payload, Seq, Share, Span, is_name};

/// What is believed of one node, to be taken over by another monitor.
///
/// Instants are on the time line of the monitor that it comes from; whoever carries it to another
/// line translates them.
///
/// ```
/// use systole_core::{Backlog, Datagram, Instant, Monitor, NodeIx, Span};
///
/// let start = Instant::from_nanos(1_000_000_000);
/// let mut former = Monitor::new(Default::default(), start);
/// let heartbeat = Datagram::new(b"hb web-1 interval=1s", start);
/// former.turn(start, &[heartbeat], Backlog::Drained, &mut ());
///
/// let again = start + Span::from_secs(60);
/// let mut monitor = Monitor::new(Default::default(), again);
/// for belief in (0..former.places()).filter_map(|place| former.belief(NodeIx::new(place))) {
///     let ix = monitor.take_over(&belief, again).unwrap();
///     assert_eq!(monitor.node(ix).unwrap().due, Some(again + Span::from_millis(3_250)));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief<'a> {
    /// The node.
    pub id: NodeId,
    /// Its name, if it has travelled.
    pub name: Option<&'a str>,
    /// The group that it declares; nothing if it declares none, or one too many to be told apart.
    pub group: Option<&'a str>,
    /// Its last heartbeat or goodbye; nothing if none ever came.
    pub last: Option<(Incarnation, Seq)>,
    /// What is believed of it.
    pub liveness: Liveness,
    /// Since when.
    pub since: Instant,
    /// How often it beats; nothing while that is being learned, or is configured for its group.
    pub interval: Option<Interval>,
    /// Until when it announced with its last heartbeat to be silent.
    pub planned_until: Option<Instant>,
    /// The load that it reported last.
    pub load: Option<f32>,
    /// What else it told about itself. Its labels may decide which group it belongs to.
    pub payload: Option<&'a Payload>,
}

/// How often a node beats, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// The node itself.
    Declared(Span),
    /// Its heartbeats.
    Learned(Span),
}

/// Why a belief wasn't taken over. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BeliefError {
    /// The node belongs to another share.
    Foreign,
    /// A name of a node or group that isn't 1 to 128 bytes of the alphabet of names.
    BadName,
    /// A name that doesn't hash to the id beside it.
    NameMismatch,
    /// A node that is unseen though it was heard, or alive, suspect or left though it never was.
    Contradiction,
    /// A node that was never heard and isn't listed in this monitor's configuration: nobody expects it.
    Unlisted,
    /// What is known of the node here is as new or newer.
    NotNewer,
    /// The table already holds its maximum of nodes.
    TableFull,
}

impl<'a> Belief<'a> {
    /// The belief in a node of a group with these settings; `declared` is the name of the group that it declares.
    pub(crate) fn of(
        node: &Node,
        detail: &'a Detail,
        settings: &Settings,
        declared: Option<&'a str>,
        load: Option<f32>,
    ) -> Self {
        let payload = detail.payload.as_deref();
        let interval = if node.flags.has(Flags::DECLARED) {
            Some(Interval::Declared(node.interval()))
        } else {
            let learned = settings.interval.is_none() && node.learned().is_settled();
            learned.then(|| Interval::Learned(node.interval()))
        };
        Self {
            id: node.id,
            name: detail.name.text(),
            group: declared,
            last: node.last(),
            liveness: node.liveness,
            since: detail.since,
            interval,
            planned_until: payload.filter(|_| node.flags.has(Flags::PLANNED)).map(|payload| payload.planned_until),
            load,
            payload,
        }
    }

    /// Whether a monitor of this share can believe it at all.
    pub(crate) fn check(&self, share: Share) -> Result<(), BeliefError> {
        if [self.name, self.group].into_iter().flatten().any(|name| !is_name(name.as_bytes())) {
            return Err(BeliefError::BadName);
        }
        if self.name.is_some_and(|name| NodeId::of(name) != self.id) {
            return Err(BeliefError::NameMismatch);
        }
        if !share.holds(self.id) {
            return Err(BeliefError::Foreign);
        }
        match (self.liveness, self.last) {
            (Liveness::Unseen, None) | (Liveness::Failed, None | Some(_)) => Ok(()),
            (Liveness::Alive | Liveness::Suspect | Liveness::Left, Some(_)) => Ok(()),
            (Liveness::Unseen, Some(_)) => Err(BeliefError::Contradiction),
            (Liveness::Alive | Liveness::Suspect | Liveness::Left, None) => Err(BeliefError::Contradiction),
        }
    }

    /// Whether it is newer than what a monitor knows that has this node. Of two that never heard it,
    /// the one that still expects it knows less.
    pub(crate) fn is_newer_than(&self, node: &Node) -> bool {
        self.last > node.last() || self.last.is_none() && node.liveness == Liveness::Unseen
    }

    /// The hot record of its node, in place of `former`, which is in a group with these settings:
    /// waited for from `now` on, by a detector that remembers nothing.
    pub(crate) fn node(&self, former: &Node, settings: &Settings, limits: &Limits, now: Instant) -> Node {
        let mut node = Node::new(self.id, former.group, settings.interval, now);
        node.flags.set(Flags::LISTED, former.flags.has(Flags::LISTED));
        node.flags.set(Flags::NAMED, former.flags.has(Flags::NAMED));
        node.flags.set(Flags::PLANNED, self.planned_until.is_some());
        if let Some((incarnation, seq)) = self.last {
            (node.incarnation, node.seq) = (incarnation, seq);
            node.flags.set(Flags::HEARD, true);
        }
        match self.interval {
            Some(Interval::Declared(interval)) => {
                node.set_interval(interval.clamp(limits.interval_min, limits.interval_max));
                node.flags.set(Flags::DECLARED, true);
            }
            Some(Interval::Learned(interval)) if settings.interval.is_none() => node.set_interval(interval),
            Some(Interval::Learned(_)) | None => {}
        }
        node.memory = settings.detector.start(node.interval());
        node.liveness = self.liveness;
        node
    }
}

/// What the belief is refused for.
impl fmt::Display for BeliefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "a belief in a node of another share",
            Self::BadName => "a belief with a name that isn't 1 to 128 bytes of A-Z a-z 0-9 . _ : / @ -",
            Self::NameMismatch => "a belief with a name that isn't the one of its node id",
            Self::Contradiction => "a belief that contradicts itself: unseen but heard, or never heard but not unseen",
            Self::Unlisted => "a belief in a node that was never heard and isn't listed in the configuration",
            Self::NotNewer => "a belief in a node of which something as new or newer is known",
            Self::TableFull => "a belief in a node for which there is no place",
        })
    }
}

impl core::error::Error for BeliefError {}
