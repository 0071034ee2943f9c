//! Between the nodes and the monitor: what is lost, what is late, what comes twice.
//!
//! ```text
//!   node ─► loss, delay ─┬─► partition ─► (held back) ─► (copied) ─► arrives
//!   node ─► loss, delay ─┘
//! ```
//! Each node has a path of its own, with its own random streams and its own memory of losses. A
//! partition is a time in which nothing that a chosen node sends arrives. Only heartbeats travel
//! here, and in one direction, since nobody answers them.

use systole_core::Instant;

use crate::fate::Fate;
use crate::loss::Lossy;
use crate::random::{Actor, Purpose, Stream};
use crate::scenario::{Group, Scenario};
use crate::slice::Slice;

/// The paths of some nodes to the monitor.
#[derive(Debug)]
pub(crate) struct Network {
    paths: Vec<Path>,
    /// What few groups need; nothing if none here does.
    detours: Vec<Detour>,
    /// For each node, which of its group's partitions it is cut off by, one bit each; nothing if
    /// there are none.
    cut: Vec<u64>,
}

/// One cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Path {
    losses: Lossy,
    delays: Stream,
}

const _: () = assert!(size_of::<Path>() == 64);

/// The streams of copies and of what is held back.
#[derive(Debug)]
struct Detour {
    duplicates: Stream,
    reorder: Stream,
}

/// Partitions of one group that are told apart.
pub(crate) const PARTITIONS_MAX: usize = u64::BITS as usize;

impl Network {
    pub(crate) fn new(scenario: &Scenario, slice: &Slice) -> Self {
        let stream = |actor: Actor, purpose| Stream::new(scenario.seed, actor, purpose);
        let path = |actor: Actor| Path {
            losses: Lossy::new(&scenario.groups[actor.group as usize].loss, stream(actor, Purpose::Loss)),
            delays: stream(actor, Purpose::Delay),
        };
        let detour = |actor: Actor| Detour {
            duplicates: stream(actor, Purpose::Duplicate),
            reorder: stream(actor, Purpose::Reorder),
        };
        // A node's numbers for all partitions come from one stream, in their order.
        let cut = |actor: Actor| {
            let mut choice = stream(actor, Purpose::Partition);
            let partitions = scenario.groups[actor.group as usize].partitions.iter().enumerate();
            partitions.map(|(bit, partition)| u64::from(choice.chance(partition.share)) << bit).sum()
        };
        let any = |has: fn(&Group) -> bool| scenario.groups.iter().any(has);
        let detours = any(|group| group.duplicates > 0.0 || group.reorder.is_some());
        let partitions = any(|group| !group.partitions.is_empty());
        Self {
            paths: slice.actors().map(path).collect(),
            detours: if detours { slice.actors().map(detour).collect() } else { Vec::new() },
            cut: if partitions { slice.actors().map(cut).collect() } else { Vec::new() },
        }
    }

    /// Touches the path of a node that will soon send.
    pub(crate) fn look_ahead(&self, node: u32) {
        core::hint::black_box(self.paths[node as usize].losses.bad());
    }

    /// Carries one datagram of `node` that was sent at `now`; calls `arrives` for each time that it
    /// comes out at the other end. Says what became of it.
    pub(crate) fn carry(&mut self, group: &Group, node: u32, now: Instant, mut arrives: impl FnMut(Instant)) -> Fate {
        let path = &mut self.paths[node as usize];
        // The chain of losses goes on behind a partition too.
        let lost = path.losses.loses(&group.loss);
        let delay = group.delay.draw(&mut path.delays);
        if self.cut.get(node as usize).is_some_and(|cut| is_cut(group, *cut, now)) {
            return Fate::Cut;
        }
        if lost {
            return Fate::Lost;
        }
        let Some(detour) = self.detours.get_mut(node as usize) else {
            arrives(now + delay);
            return Fate::Sent;
        };
        let held = group.reorder.filter(|reorder| detour.reorder.chance(reorder.p)).map(|reorder| reorder.by);
        arrives(now + delay + held.unwrap_or_default());
        if group.duplicates > 0.0 && detour.duplicates.chance(group.duplicates) {
            // From its own stream, so that what the first copies take doesn't depend on it.
            arrives(now + group.delay.draw(&mut detour.duplicates));
        }
        Fate::Sent
    }
}

fn is_cut(group: &Group, cut: u64, now: Instant) -> bool {
    cut != 0 && group.partitions.iter().enumerate().any(|(bit, partition)| cut >> bit & 1 == 1 && partition.cuts(now))
}
