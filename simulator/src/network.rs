//! Between the nodes and the monitor: what is lost, what is late, what comes twice.
//!
//! ```text
//!   node ─► loss, delay ─► partition ─► (held back) ─► (copied) ─► arrives
//!                 └──────── or: (repeated until it gets through) ─► arrives
//! ```
//! Each node has a path of its own, with its own random streams and its own memory of losses. A
//! partition is a time in which nothing that a chosen node sends arrives. Only heartbeats travel
//! here, and in one direction, since nobody answers them. What is in brackets few groups need, and
//! only they pay for it.

use systole_core::Instant;

use crate::fate::Fate;
use crate::latency::Delays;
use crate::loss::Lossy;
use crate::random::{Actor, Purpose, Stream};
use crate::scenario::{Group, Scenario};
use crate::slice::Slice;
use crate::transport::{Attempt, Reliable, Timeouts, Transport};

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

/// Within one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Path {
    losses: Lossy,
    delays: Delays,
}

const _: () = assert!(size_of::<Path>() == 64);

/// What happens to a datagram besides loss and delay.
#[derive(Debug)]
struct Detour {
    connection: Reliable,
    /// What became of the last attempt that the connection made at first: what waits behind a
    /// repetition waits for that.
    held_up: Fate,
    duplicates: Stream,
    reorder: Stream,
}

/// Partitions of one group that are told apart.
pub(crate) const PARTITIONS_MAX: usize = u64::BITS as usize;

impl Network {
    pub(crate) fn new(scenario: &Scenario, slice: &Slice) -> Self {
        let stream = |actor: Actor, purpose| Stream::new(scenario.seed, actor, purpose);
        let group = |actor: Actor| &scenario.groups[actor.group as usize];
        let path = |actor: Actor| {
            let Group { loss, delay, interval, .. } = group(actor);
            Path {
                losses: Lossy::new(loss, stream(actor, Purpose::Loss), *interval),
                delays: Delays::new(delay, stream(actor, Purpose::Delay), *interval),
            }
        };
        let detour = |actor: Actor| Detour {
            connection: Reliable::default(),
            held_up: Fate::Sent,
            duplicates: stream(actor, Purpose::Duplicate),
            reorder: stream(actor, Purpose::Reorder),
        };
        let cut = |actor: Actor| cut_off(scenario, actor);
        let any = |has: fn(&Group) -> bool| scenario.groups.iter().any(has);
        let detours =
            any(|group| group.duplicates > 0.0 || group.reorder.is_some() || group.transport != Transport::Datagram);
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

    /// Carries one datagram that `node` sent in `life` at `now`; calls `arrives` for each time that it
    /// comes out at the other end. Says what became of it.
    pub(crate) fn carry(
        &mut self,
        group: &Group,
        (node, life): (u32, u32),
        now: Instant,
        mut arrives: impl FnMut(Instant),
    ) -> Fate {
        let path = &mut self.paths[node as usize];
        let cut = self.cut.get(node as usize).copied().unwrap_or_default();
        let detour = self.detours.get_mut(node as usize);
        let detour = match (group.transport, detour) {
            (Transport::Datagram, detour) => detour,
            (Transport::Reliable(timeouts), Some(detour)) => {
                let (arrival, fate) = repeated(&timeouts, path, detour, group, cut, (life, now));
                arrival.into_iter().for_each(arrives);
                return fate;
            }
            (Transport::Reliable(_), None) => unreachable!("where anybody has a connection everybody has a detour"),
        };
        // The chain of losses goes on behind a partition too.
        let lost = path.losses.loses(&group.loss, now);
        let delay = path.delays.draw(&group.delay, now);
        let fate = fate(lost, is_cut(group, cut, now));
        if fate != Fate::Sent {
            return fate;
        }
        let Some(detour) = detour else {
            arrives(now + delay);
            return fate;
        };
        let held = group.reorder.filter(|reorder| detour.reorder.chance(reorder.p)).map(|reorder| reorder.by);
        arrives(now + delay + held.unwrap_or_default());
        if group.duplicates > 0.0 && detour.duplicates.chance(group.duplicates) {
            // From its own stream, so that what the first copies take doesn't depend on it.
            arrives(now + group.delay.draw(&mut detour.duplicates));
        }
        fate
    }
}

/// Over a connection: when it arrives, and what has held it up.
fn repeated(
    timeouts: &Timeouts,
    path: &mut Path,
    detour: &mut Detour,
    group: &Group,
    cut: u64,
    (life, now): (u32, Instant),
) -> (Option<Instant>, Fate) {
    let Path { losses, delays } = path;
    let mut first = None;
    let lost = |attempt: Attempt| {
        let fate = fate(losses.loses(&group.loss, attempt.path), is_cut(group, cut, attempt.at));
        first.get_or_insert(fate);
        fate != Fate::Sent
    };
    let delay = |attempt: Attempt| delays.draw(&group.delay, attempt.path);
    let arrival = detour.connection.carry(timeouts, life, now, lost, delay);
    detour.held_up = first.unwrap_or(detour.held_up);
    (arrival, detour.held_up)
}

fn fate(lost: bool, cut: bool) -> Fate {
    match (cut, lost) {
        (true, _) => Fate::Cut,
        (false, true) => Fate::Lost,
        (false, false) => Fate::Sent,
    }
}

/// Which of its group's partitions a node is cut off by, one bit each. Its numbers for all of them
/// come from one stream, in their order.
pub(crate) fn cut_off(scenario: &Scenario, actor: Actor) -> u64 {
    let mut choice = Stream::new(scenario.seed, actor, Purpose::Partition);
    let group = &scenario.groups[actor.group as usize];
    let partitions = group.partitions.iter().enumerate();
    let cut = partitions.map(|(bit, partition)| {
        let chosen = choice.chance(partition.share);
        let cut = if partition.exact { is_among(scenario, actor, bit, partition.share) } else { chosen };
        u64::from(cut) << bit
    });
    cut.sum()
}

/// Whether a node is one of exactly this share of its group. Walking around the group in steps of that share,
/// from a place that the seed chooses, one passes the start once for each of them.
fn is_among(scenario: &Scenario, actor: Actor, bit: usize, share: f64) -> bool {
    let nodes = u64::from(scenario.groups[actor.group as usize].nodes);
    let chosen = libm::round(share * nodes as f64) as u64;
    let whole = Actor { node: u32::MAX - bit as u32, ..actor };
    let start = Stream::new(scenario.seed, whole, Purpose::Partition).bits() % nodes;
    (u64::from(actor.node) * chosen + start) % nodes < chosen
}

/// Whether a node that is cut off by these partitions can't be heard at `now`.
pub(crate) fn is_cut(group: &Group, cut: u64, now: Instant) -> bool {
    cut != 0 && group.partitions.iter().enumerate().any(|(bit, partition)| cut >> bit & 1 == 1 && partition.cuts(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_share_is_exact_whoever_it_is() {
        let cut = |nodes: u32, share: &str, seed| -> Vec<u32> {
            let partitions = vec![format!("{share}@1s..2s,exact=yes").parse().expect("a partition")];
            let scenario = Group { nodes, partitions, ..Group::default() }.alone(seed);
            (0..nodes).filter(|node| cut_off(&scenario, Actor::node(0, *node)) == 1).collect()
        };
        for (nodes, share, expected) in
            [(100, "0.16", 16), (100, "0.5", 50), (100, "1", 100), (100, "0", 0), (7, "0.3", 2), (1, "0.4", 0)]
        {
            assert!((0..50).all(|seed| cut(nodes, share, seed).len() == expected), "{share} of {nodes}");
        }
        assert_ne!(cut(100, "0.16", 1), cut(100, "0.16", 2));
    }
}
