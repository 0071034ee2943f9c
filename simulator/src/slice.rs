//! Which nodes are simulated together: a run of them, across the borders of groups.
//!
//! ```text
//!   group      0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 1 2 2
//!   all nodes  0 1 2 3 4 5 6 7 8 9 ...
//!   slice                |4 5 6 7 8|                 counted from 0 within it
//! ```
//! Nodes that don't mind each other may be cut into slices of any size: each has numbers of its
//! own, so nothing changes. A slice that fits into a processor's cache runs several times as fast.

use core::ops::Range;

use crate::random::Actor;
use crate::scenario::Scenario;

/// Some neighbouring nodes of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The place of the first among all nodes of the scenario.
    first: u32,
    actors: Vec<Actor>,
}

impl Slice {
    /// The nodes at these places.
    pub(crate) fn new(scenario: &Scenario, places: Range<u32>) -> Self {
        let mut actors = Vec::with_capacity(places.len());
        let mut start = 0;
        for (number, group) in (0..).zip(&scenario.groups) {
            let end = start + group.nodes;
            let (from, to) = (places.start.max(start), places.end.min(end));
            actors.extend((from..to.max(from)).map(|place| Actor::node(number, place - start)));
            start = end;
        }
        Self { first: places.start, actors }
    }

    /// All of them, in slices of `size`.
    pub(crate) fn cut(scenario: &Scenario, size: u32) -> impl Iterator<Item = Range<u32>> {
        let nodes = scenario.nodes();
        (0..nodes).step_by(size as usize).map(move |start| start..start.saturating_add(size).min(nodes))
    }

    pub(crate) fn len(&self) -> usize {
        self.actors.len()
    }

    /// Who they are, in order.
    pub(crate) fn actors(&self) -> impl Iterator<Item = Actor> {
        self.actors.iter().copied()
    }

    /// Who is at this place of the slice.
    pub(crate) fn actor(&self, node: u32) -> Actor {
        self.actors[node as usize]
    }

    /// Its place among all nodes of the scenario.
    pub(crate) fn place(&self, node: u32) -> u32 {
        self.first + node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Group;

    #[test]
    fn slices_hold_every_node_once_whatever_their_size() {
        let groups = [7, 9, 2].map(|nodes| Group { nodes, heartbeats: 100, ..Group::default() });
        let scenario = Scenario { groups: groups.into(), ..Scenario::default() };
        let all: Vec<Actor> = Slice::new(&scenario, 0..18).actors().collect();
        assert_eq!((all.len(), all[6], all[7], all[17]), (18, Actor::node(0, 6), Actor::node(1, 0), Actor::node(2, 1)));
        for size in [1, 5, 7, 18, 100] {
            let slices: Vec<Slice> = Slice::cut(&scenario, size).map(|places| Slice::new(&scenario, places)).collect();
            let joined: Vec<Actor> = slices.iter().flat_map(|slice| slice.actors().collect::<Vec<_>>()).collect();
            assert_eq!(joined, all, "{size}");
            assert!(slices.iter().all(|slice| slice.actor(0) == all[slice.place(0) as usize]));
        }
    }
}
