//! Between a node and the monitor: what is lost, what is late, what comes twice.
//!
//! Each node has a path of its own, with its own random streams and its own memory of losses. A
//! partition is a time in which nothing that a chosen node sends arrives. There is one direction
//! only, since heartbeats are not answered, and no limit to how much fits through.

use systole_core::Instant;

use crate::latency::Delays;
use crate::loss::Lossy;
use crate::random::{Purpose, Stream};
use crate::scenario::{Partition, Scenario};

/// All paths to the monitor.
#[derive(Debug)]
pub(crate) struct Network {
    paths: Vec<Path>,
    /// For each partition, who is cut off.
    cut: Vec<Vec<bool>>,
}

/// One cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Path {
    losses: Lossy,
    delays: Delays,
    duplicates: Stream,
}

const _: () = assert!(size_of::<Path>() == 64);

impl Network {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let stream = |node: u32, purpose| Stream::new(scenario.seed, u64::from(node), purpose);
        let path = |node| Path {
            losses: Lossy::new(&scenario.loss, stream(node, Purpose::Loss), scenario.interval),
            delays: Delays::new(&scenario.delay, stream(node, Purpose::Delay), scenario.interval),
            duplicates: stream(node, Purpose::Duplicate),
        };
        // A node's numbers for all partitions come from one stream, in their order.
        let mut choices: Vec<Stream> = match scenario.partitions.as_slice() {
            [] => Vec::new(),
            [..] => (0..scenario.nodes).map(|node| stream(node, Purpose::Partition)).collect(),
        };
        let cut = |partition: &Partition| choices.iter_mut().map(|choice| choice.chance(partition.share)).collect();
        Self { paths: (0..scenario.nodes).map(path).collect(), cut: scenario.partitions.iter().map(cut).collect() }
    }

    /// Touches the path of a node that will soon send.
    pub(crate) fn look_ahead(&self, node: u32) {
        core::hint::black_box(self.paths[node as usize].losses.bad());
    }

    /// Carries one datagram of `node` that was sent at `now`; calls `arrives` for each time that it
    /// comes out at the other end.
    pub(crate) fn carry(&mut self, scenario: &Scenario, node: u32, now: Instant, mut arrives: impl FnMut(Instant)) {
        let path = &mut self.paths[node as usize];
        // The chain of losses goes on behind a partition too.
        let lost = path.losses.loses(&scenario.loss, now);
        let delay = path.delays.draw(&scenario.delay, now);
        if lost || is_cut(&scenario.partitions, &self.cut, node, now) {
            return;
        }
        arrives(now + delay);
        if scenario.duplicates > 0.0 && path.duplicates.chance(scenario.duplicates) {
            // From its own stream, so that what the first copies take doesn't depend on it.
            arrives(now + scenario.delay.draw(&mut path.duplicates));
        }
    }
}

fn is_cut(partitions: &[Partition], cut: &[Vec<bool>], node: u32, now: Instant) -> bool {
    let within =
        |partition: &Partition| (Instant::ORIGIN + partition.from..Instant::ORIGIN + partition.until).contains(&now);
    partitions.iter().zip(cut).any(|(partition, cut)| cut[node as usize] && within(partition))
}
