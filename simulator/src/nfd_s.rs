//! Chen's NFD-S: the detector with closed forms, which needs what no monitor has, the sender's clock.
//!
//! ```text
//!   m_i sent        m_i+1          fresh until
//!     |---- eta ----|---- delta ----|
//!   sigma_i       sigma_i+1       tau_i+1: suspect, unless m_i+1 or a later one has come
//! ```
//! Chen, Toueg and Aguilera (IEEE ToC 51(5), 2002, section 3). Freshness points belong to the
//! schedule, not to arrivals. A heartbeat that comes after the next freshness point is stale and
//! restores nothing. It exists in the simulator only, to check that against theory.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use systole_core::{Instant, Liveness, Span, Tick};

use crate::judge::{Arrival, Verdict};
use crate::random::Actor;
use crate::scenario::{Group, Scenario};
use crate::slice::Slice;

/// The detectors of all nodes.
#[derive(Debug)]
pub(crate) struct NfdS {
    /// How each group is judged.
    groups: Vec<Settings>,
    nodes: Vec<Node>,
    /// When to look at whom. An entry is moved when it comes up, not when a heartbeat arrives,
    /// unless that makes it later than it should be: then it stays behind, and is passed over.
    due: BinaryHeap<Reverse<(Instant, u32)>>,
    believed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    /// From the instant at which a heartbeat was due to be sent until it is no longer fresh.
    fresh: Span,
    confirm: Span,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    group: u32,
    life: u32,
    seq: u64,
    deadline: Instant,
    belief: Liveness,
    /// Its entry in `due`.
    look: Option<Instant>,
}

impl NfdS {
    pub(crate) fn new(scenario: &Scenario, slice: &Slice) -> Self {
        let settings = |group: &Group| Settings { fresh: group.bound(), confirm: group.confirm.of(group.interval) };
        let node = |actor: Actor| Node {
            group: actor.group,
            life: 0,
            seq: 0,
            deadline: Instant::ORIGIN,
            belief: Liveness::Unseen,
            look: None,
        };
        Self {
            groups: scenario.groups.iter().map(settings).collect(),
            nodes: slice.actors().map(node).collect(),
            due: BinaryHeap::new(),
            believed: 0,
        }
    }

    pub(crate) fn next(&self) -> Option<Tick> {
        self.due.peek().map(|Reverse((at, _))| at.tick_up())
    }

    pub(crate) fn believed(&self) -> u64 {
        self.believed
    }

    pub(crate) fn turn(&mut self, now: Instant, arrivals: &[Arrival], verdicts: &mut Vec<Verdict>) {
        for arrival in arrivals {
            // What arrives at the freshness point itself is in time.
            self.expire(arrival.at, false, verdicts);
            self.arrive(arrival, verdicts);
        }
        self.expire(now, true, verdicts);
    }

    fn arrive(&mut self, arrival: &Arrival, verdicts: &mut Vec<Verdict>) {
        let node = &mut self.nodes[arrival.node as usize];
        if (arrival.life, arrival.seq) <= (node.life, node.seq) {
            return;
        }
        (node.life, node.seq) = (arrival.life, arrival.seq);
        let Some(due) = arrival.due else { return believe(node, arrival.node, arrival.at, Liveness::Left, verdicts) };
        self.believed += 1;
        let deadline = due + self.groups[node.group as usize].fresh;
        if deadline < arrival.at {
            return;
        }
        node.deadline = deadline;
        believe(node, arrival.node, arrival.at, Liveness::Alive, verdicts);
        if node.look.is_none_or(|look| look > deadline) {
            node.look = Some(deadline);
            self.due.push(Reverse((deadline, arrival.node)));
        }
    }

    /// Everything due before `until`, or at it too.
    fn expire(&mut self, until: Instant, inclusive: bool, verdicts: &mut Vec<Verdict>) {
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            if at > until || (at == until && !inclusive) {
                return;
            }
            self.due.pop();
            let node = &mut self.nodes[number as usize];
            if node.look != Some(at) {
                continue;
            }
            let confirm = self.groups[node.group as usize].confirm;
            let next = match node.belief {
                Liveness::Alive if node.deadline > at => Some(node.deadline),
                Liveness::Alive => {
                    believe(node, number, at, Liveness::Suspect, verdicts);
                    Some(at + confirm)
                }
                Liveness::Suspect if node.deadline + confirm > at => Some(node.deadline + confirm),
                Liveness::Suspect => {
                    believe(node, number, at, Liveness::Failed, verdicts);
                    None
                }
                Liveness::Unseen | Liveness::Failed | Liveness::Left => None,
            };
            node.look = next;
            self.due.extend(next.map(|next| Reverse((next, number))));
        }
    }
}

fn believe(node: &mut Node, number: u32, at: Instant, to: Liveness, verdicts: &mut Vec<Verdict>) {
    if node.belief != to {
        verdicts.push(Verdict { at, node: number, from: node.belief, to, blame: None, withheld: Span::ZERO });
        node.belief = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Instant {
        Tick::from_count(millis).instant()
    }

    /// One node with an interval of 1 s and a delta of 500 ms that hears these (seq, at in ms).
    fn verdicts(heard: &[(u64, u64)]) -> Vec<(u64, Liveness)> {
        let detector = "nfd-s:delta=500ms".parse().expect("a detector");
        let scenario = Scenario::from(Group { detector, ..Group::default() });
        let mut nfd_s = NfdS::new(&scenario, &Slice::new(&scenario, 0..1));
        let mut verdicts = Vec::new();
        for (seq, at) in heard {
            let arrival = Arrival { at: ms(*at), node: 0, life: 1, seq: *seq, due: Some(ms((seq - 1) * 1_000)) };
            nfd_s.turn(ms(*at), &[arrival], &mut verdicts);
        }
        nfd_s.turn(ms(1_000_000), &[], &mut verdicts);
        verdicts.into_iter().map(|verdict| (verdict.at.nanos() / 1_000_000, verdict.to)).collect()
    }

    #[test]
    fn freshness_points_belong_to_the_schedule_and_not_to_arrivals() {
        use Liveness::{Alive, Failed, Suspect};
        assert_eq!(verdicts(&[(1, 10)]), [(10, Alive), (1_500, Suspect), (4_500, Failed)]);
        assert_eq!(verdicts(&[(1, 400), (2, 1_500)]), [(400, Alive), (2_500, Suspect), (5_500, Failed)]);
        // The second comes late, yet within its time: a mistake of 700 ms.
        assert_eq!(
            verdicts(&[(1, 10), (2, 2_200)]),
            [(10, Alive), (1_500, Suspect), (2_200, Alive), (2_500, Suspect), (5_500, Failed)]
        );
        // The second comes when only the third would be fresh.
        assert_eq!(verdicts(&[(1, 10), (2, 2_600)]), [(10, Alive), (1_500, Suspect), (4_500, Failed)]);
    }

    #[test]
    fn overtaken_heartbeats_restore_nothing() {
        use Liveness::{Alive, Failed, Suspect};
        assert_eq!(verdicts(&[(2, 1_100), (1, 1_200)]), [(1_100, Alive), (2_500, Suspect), (5_500, Failed)]);
    }
}
