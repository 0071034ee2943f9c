//! One number for every kind of thing that happened. They only grow.

use crate::{Liveness, Reject, Withheld};

/// What a monitor counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Heartbeats that were believed.
    pub heartbeats: u64,
    /// Goodbyes that were believed.
    pub goodbyes: u64,
    /// Nodes that appeared by beating.
    pub registered: u64,
    /// Nodes that were forgotten.
    pub forgotten: u64,
    /// Messages of other shares, handed to the sink.
    pub foreign: u64,
    /// Heartbeats whose group couldn't be told apart, the number of groups being at its maximum.
    pub groups_refused: u64,
    /// Changes of nodes that go to and fro, which were told nobody.
    pub quieted: u64,
    rejected: [u64; Reject::ALL.len()],
    withheld: [u64; Withheld::ALL.len()],
    transitions: [[u64; Liveness::ALL.len()]; Liveness::ALL.len()],
}

impl Counters {
    /// Counts a message that wasn't believed.
    pub fn reject(&mut self, reason: Reject) {
        self.rejected[reason as usize] += 1;
    }

    /// How many messages weren't believed for this reason.
    pub const fn rejected(&self, reason: Reject) -> u64 {
        self.rejected[reason as usize]
    }

    /// Counts a verdict that is due and has to wait.
    pub fn withhold(&mut self, reason: Withheld) {
        self.withheld[reason as usize] += 1;
    }

    /// How many verdicts had to wait for this reason. Of [`Withheld::Backlog`] it counts the turns in
    /// which any had to.
    pub const fn withheld(&self, reason: Withheld) -> u64 {
        self.withheld[reason as usize]
    }

    /// Counts a change of belief.
    pub fn transition(&mut self, from: Liveness, to: Liveness) {
        self.transitions[from as usize][to as usize] += 1;
    }

    /// How many times a belief changed this way.
    pub const fn transitions(&self, from: Liveness, to: Liveness) -> u64 {
        self.transitions[from as usize][to as usize]
    }

    /// Adds what another monitor counted.
    pub fn add(&mut self, other: &Self) {
        self.heartbeats += other.heartbeats;
        self.goodbyes += other.goodbyes;
        self.registered += other.registered;
        self.forgotten += other.forgotten;
        self.foreign += other.foreign;
        self.groups_refused += other.groups_refused;
        self.quieted += other.quieted;
        for (mine, theirs) in self.withheld.iter_mut().zip(other.withheld) {
            *mine += theirs;
        }
        for (mine, theirs) in self.rejected.iter_mut().zip(other.rejected) {
            *mine += theirs;
        }
        for (mine, theirs) in self.transitions.iter_mut().flatten().zip(other.transitions.iter().flatten()) {
            *mine += theirs;
        }
    }
}
