//! What state each node is really in, 16 bytes a node (24 where heartbeats are delayed), and what a script does to it.
//!
//! ```text
//!             a heartbeat gets out            goodbye
//!   hidden ───────────────────────► reaching ─────────► left
//!    ▲ │ ▲                           │    │
//!    │ │ └───────── cut off ─────────┘    │
//!    │ └───────► dead ◄── killed ─────────┘
//!    └─ restart ──┘
//! ```
//!
//! Every change is written into the truth. Which node an act hits is drawn here; when a node's turn
//! to beat comes, and how a heartbeat gets to the monitor, is the drive's business.

use systole_core::Instant;

use super::loss::{Loss, Losses};
use super::random::Random;
use super::roster::Roster;
use super::script::Act;
use super::truth::{LastBeat, Truth, Why};

/// A node as it really is.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// When its last heartbeat that arrived was sent; the origin before the first.
    last_sent: Instant,
    /// The number of its last heartbeat in this life, sent or lost.
    seq: u32,
    /// How often it was restarted.
    life: u16,
    /// How many partitions cut it off.
    cuts: u8,
    state: State,
}

const _: () = assert!(size_of::<Node>() == 16, "ten million nodes fit into 160 MB");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It beats, and its heartbeats get out.
    Reaching,
    /// It beats, but nothing of it has been heard yet, or since it was cut off or restarted.
    Hidden,
    /// It was killed.
    Dead,
    /// It said goodbye.
    Left,
}

/// A heartbeat that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Beat {
    /// How many times the node was restarted before.
    pub(super) life: u16,
    /// The heartbeat's number.
    pub(super) seq: u32,
}

/// What becomes of a node's turn to beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The heartbeat is to be sent.
    Sent(Beat),
    /// It gets lost on the way.
    Lost,
    /// The node is cut off.
    Cut,
    /// The node doesn't beat any more.
    Silent,
}

/// How many nodes are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// They beat, and are heard.
    pub(super) reaching: u32,
    /// They beat, and aren't heard.
    pub(super) hidden: u32,
    /// They were killed.
    pub(super) dead: u32,
    /// They said goodbye.
    pub(super) left: u32,
}

/// All nodes of a fleet.
#[derive(Clone, Debug)]
pub(super) struct Population {
    nodes: Vec<Node>,
    census: Census,
    truth: Truth,
    /// The nodes that each partition cut off.
    partitions: Vec<Vec<u32>>,
    random: Random,
    losses: Losses,
    /// When each node's last heartbeat arrived; nothing where they arrive at once.
    arrived: Vec<Instant>,
}

/// What the way does to heartbeats, as far as the truth is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Way {
    /// Which get lost.
    pub(super) loss: Loss,
    /// Whether any takes its time.
    pub(super) delayed: bool,
}

impl Population {
    /// `nodes` nodes that are about to beat for the first time.
    pub(super) fn new(nodes: u32, way: Way, mut random: Random) -> Self {
        let node = Node { last_sent: Instant::ORIGIN, seq: 0, life: 0, cuts: 0, state: State::Hidden };
        Self {
            nodes: vec![node; nodes as usize],
            census: Census { hidden: nodes, ..Census::default() },
            truth: Truth::default(),
            partitions: Vec::new(),
            losses: Losses::new(way.loss, nodes, &mut random),
            arrived: if way.delayed { vec![Instant::ORIGIN; nodes as usize] } else { Vec::new() },
            random,
        }
    }

    /// It is a node's turn to beat.
    pub(super) fn beat(&mut self, index: u32) -> Turn {
        let node = &mut self.nodes[index as usize];
        match node.state {
            State::Dead | State::Left => return Turn::Silent,
            State::Reaching | State::Hidden => {}
        }
        node.seq += 1;
        // Bursts of losses go on behind a partition too.
        let lost = self.losses.loses(index, &mut self.random);
        if node.cuts > 0 {
            return Turn::Cut;
        }
        if lost { Turn::Lost } else { Turn::Sent(Beat { life: node.life, seq: node.seq }) }
    }

    /// A heartbeat arrives: it is written to its socket, at once or after a delay.
    pub(super) fn arrive(&mut self, index: u32, beat: Beat, last: LastBeat) {
        let node = &mut self.nodes[index as usize];
        if last.sent < node.last_sent {
            return; // It was overtaken, and tells the monitor nothing.
        }
        let heard = match node.state {
            State::Reaching => true,
            State::Hidden => node.cuts == 0 && node.life == beat.life,
            State::Dead => false,
            State::Left => return, // The goodbye was newer.
        };
        node.last_sent = last.sent;
        if let Some(arrived) = self.arrived.get_mut(index as usize) {
            *arrived = last.arrived;
        }
        if !heard {
            return self.truth.straggle(index, last);
        }
        if node.state == State::Hidden {
            node.state = State::Reaching;
            self.census.hidden -= 1;
            self.census.reaching += 1;
            self.truth.end(index, last.arrived);
        }
    }

    /// A node that is leaving says goodbye, once more if it has before. Returns what to send.
    pub(super) fn goodbye(&mut self, index: u32) -> Beat {
        let node = &mut self.nodes[index as usize];
        node.seq += 1;
        Beat { life: node.life, seq: node.seq }
    }

    /// Does what the script says, and returns to whom. Those of [`Act::Goodbye`] have yet to say it.
    pub(super) fn act(&mut self, act: Act, roster: &Roster, now: Instant) -> Vec<u32> {
        match act {
            Act::Kill(count) => self.kill(count, now),
            Act::KillGroup(group) => self.kill_group(group, roster, now),
            Act::Restart(count) => self.restart(count),
            Act::Bounce(count) => self.bounce(count),
            Act::Goodbye(count) => self.leave(count, now),
            Act::Cut { partition, share } => self.cut(partition, share, now),
            Act::Heal { partition } => self.heal(partition),
        }
    }

    /// How many nodes are in which state.
    pub(super) const fn census(&self) -> Census {
        self.census
    }

    /// What really happened so far.
    pub(super) const fn truth(&self) -> &Truth {
        &self.truth
    }

    fn kill(&mut self, count: u32, now: Instant) -> Vec<u32> {
        let victims = self.draw(count, |state| matches!(state, State::Reaching | State::Hidden));
        victims.iter().for_each(|&index| self.stop(index, now));
        victims
    }

    fn kill_group(&mut self, group: usize, roster: &Roster, now: Instant) -> Vec<u32> {
        let living = |index: &u32| matches!(self.nodes[*index as usize].state, State::Reaching | State::Hidden);
        let victims: Vec<u32> = roster.members(group).filter(living).collect();
        victims.iter().for_each(|&index| self.stop(index, now));
        victims
    }

    fn stop(&mut self, index: u32, now: Instant) {
        self.hush(index, now, Why::Killed);
        self.enter(index, State::Dead);
    }

    fn restart(&mut self, count: u32) -> Vec<u32> {
        let mut risen = self.draw(count, |state| state == State::Dead);
        for &index in &risen {
            self.enter(index, State::Hidden);
            self.renew(index);
        }
        risen.extend(self.bounce(count - risen.len() as u32));
        risen
    }

    fn bounce(&mut self, count: u32) -> Vec<u32> {
        let bounced = self.draw(count, |state| state == State::Reaching);
        bounced.iter().for_each(|&index| self.renew(index));
        bounced
    }

    fn renew(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.life += 1;
        node.seq = 0;
    }

    /// Only nodes that are heard can be heard to say goodbye.
    fn leave(&mut self, count: u32, now: Instant) -> Vec<u32> {
        let leaving = self.draw(count, |state| state == State::Reaching);
        for &index in &leaving {
            self.truth.farewell(index, now);
            self.enter(index, State::Left);
        }
        leaving
    }

    fn cut(&mut self, partition: usize, share: f64, now: Instant) -> Vec<u32> {
        let living = self.census.reaching + self.census.hidden;
        let count = (f64::from(living) * share).round() as u32;
        let cut_off = self.draw(count, |state| matches!(state, State::Reaching | State::Hidden));
        for &index in &cut_off {
            self.hush(index, now, Why::Cut);
            self.nodes[index as usize].cuts += 1;
            self.enter(index, State::Hidden);
        }
        self.partitions.resize(self.partitions.len().max(partition + 1), Vec::new());
        self.partitions[partition].clone_from(&cut_off);
        cut_off
    }

    fn heal(&mut self, partition: usize) -> Vec<u32> {
        let healed = self.partitions.get_mut(partition).map(std::mem::take).unwrap_or_default();
        for &index in &healed {
            self.nodes[index as usize].cuts -= 1;
        }
        healed
    }

    /// From `now` on nothing is heard of the node.
    fn hush(&mut self, index: u32, now: Instant, why: Why) {
        let sent = self.nodes[index as usize].last_sent;
        let arrived = self.arrived.get(index as usize).copied().unwrap_or(sent);
        // Nobody misses a node that has never been heard.
        if sent > Instant::ORIGIN {
            self.truth.begin(index, LastBeat { sent, arrived }, now, why);
        }
    }

    fn enter(&mut self, index: u32, state: State) {
        let former = std::mem::replace(&mut self.nodes[index as usize].state, state);
        *self.census.slot(former) -= 1;
        *self.census.slot(state) += 1;
    }

    /// `count` nodes out of those in a fitting state, each as likely as any other; all, if there are
    /// fewer. One pass, in order (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S).
    fn draw(&mut self, count: u32, fits: impl Fn(State) -> bool) -> Vec<u32> {
        let mut candidates = State::ALL.into_iter().filter(|state| fits(*state)).map(|s| *self.census.slot(s)).sum();
        let mut wanted = count.min(candidates);
        let mut drawn = Vec::with_capacity(wanted as usize);
        for (index, node) in self.nodes.iter().enumerate() {
            if wanted == 0 {
                break;
            }
            if fits(node.state) {
                if self.random.below(u64::from(candidates)) < u64::from(wanted) {
                    drawn.push(index as u32);
                    wanted -= 1;
                }
                candidates -= 1;
            }
        }
        drawn
    }
}

impl State {
    const ALL: [Self; 4] = [Self::Reaching, Self::Hidden, Self::Dead, Self::Left];
}

impl Census {
    const fn slot(&mut self, state: State) -> &mut u32 {
        match state {
            State::Reaching => &mut self.reaching,
            State::Hidden => &mut self.hidden,
            State::Dead => &mut self.dead,
            State::Left => &mut self.left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos((1_000 + secs) * 1_000_000_000)
    }

    fn roster() -> Roster {
        Roster::new(100, "n", (0..10).map(|group| format!("g{group}")).collect())
    }

    fn population(loss: f64) -> Population {
        Population::new(100, Way { loss: Loss::Independent(loss), delayed: false }, Random::new(1))
    }

    /// One's turn; what is sent arrives at once.
    fn turn(population: &mut Population, index: u32, now: Instant) -> Turn {
        let turn = population.beat(index);
        if let Turn::Sent(beat) = turn {
            population.arrive(index, beat, LastBeat { sent: now, arrived: now });
        }
        turn
    }

    /// Everybody's turn; returns how many heartbeats were sent.
    fn round(population: &mut Population, now: Instant) -> usize {
        (0..100).filter(|&index| matches!(turn(population, index, now), Turn::Sent(_))).count()
    }

    #[test]
    fn a_killed_node_is_silent_from_its_last_heartbeat_until_it_is_restarted() {
        let mut population = population(0.0);
        assert_eq!(round(&mut population, at(0)), 100);
        let killed = population.act(Act::Kill(5), &roster(), at(1));
        assert_eq!((killed.len(), round(&mut population, at(2))), (5, 95));
        assert_eq!(population.census(), Census { reaching: 95, dead: 5, ..Census::default() });
        let risen = population.act(Act::Restart(5), &roster(), at(9));
        assert_eq!(risen, killed);
        assert_eq!(round(&mut population, at(10)), 100);
        for silence in population.truth().silences() {
            assert_eq!((silence.last.sent, silence.began, silence.ended), (at(0), at(1), Some(at(10))));
        }
        let again = turn(&mut population, killed[0], at(11));
        assert_eq!(again, Turn::Sent(Beat { life: 1, seq: 2 }));
    }

    #[test]
    fn a_restart_of_more_than_are_dead_bounces_living_ones_without_a_silence() {
        let mut population = population(0.0);
        round(&mut population, at(0));
        population.act(Act::Kill(3), &roster(), at(1));
        assert_eq!(population.act(Act::Restart(10), &roster(), at(1)).len(), 10);
        assert_eq!(population.truth().silences().len(), 3);
        assert_eq!(round(&mut population, at(2)), 100);
        assert_eq!(population.nodes.iter().filter(|node| node.life == 1 && node.seq == 1).count(), 10);
    }

    #[test]
    fn a_partitioned_node_goes_on_counting_and_is_heard_again_after_it() {
        let mut population = population(0.0);
        round(&mut population, at(0));
        let cut_off = population.act(Act::Cut { partition: 0, share: 0.3 }, &roster(), at(1));
        assert_eq!((cut_off.len(), round(&mut population, at(1))), (30, 70));
        // A second one may hit some of the same; they are heard when both are over.
        population.act(Act::Cut { partition: 1, share: 1.0 }, &roster(), at(2));
        assert_eq!(round(&mut population, at(2)), 0);
        population.act(Act::Heal { partition: 0 }, &roster(), at(3));
        assert_eq!(round(&mut population, at(3)), 0);
        population.act(Act::Heal { partition: 1 }, &roster(), at(4));
        assert_eq!(round(&mut population, at(4)), 100);
        assert_eq!(population.truth().silences().len(), 100);
        assert_eq!(population.truth().silent(), 0);
        assert_eq!(turn(&mut population, cut_off[0], at(5)), Turn::Sent(Beat { life: 0, seq: 6 }));
    }

    #[test]
    fn a_node_killed_in_a_partition_stays_silent_when_that_is_over() {
        let mut population = population(0.0);
        round(&mut population, at(0));
        population.act(Act::Cut { partition: 0, share: 1.0 }, &roster(), at(1));
        population.act(Act::Kill(10), &roster(), at(2));
        population.act(Act::Heal { partition: 0 }, &roster(), at(3));
        assert_eq!(round(&mut population, at(4)), 90);
        assert_eq!((population.truth().silent(), population.truth().silences().len()), (10, 100));
    }

    #[test]
    fn a_group_dies_as_a_whole_and_only_it() {
        let mut population = population(0.0);
        round(&mut population, at(0));
        assert_eq!(
            population.act(Act::KillGroup(3), &roster(), at(1)),
            (0..10).map(|tens| tens * 10 + 3).collect::<Vec<_>>()
        );
        assert!(population.act(Act::KillGroup(3), &roster(), at(2)).is_empty());
    }

    #[test]
    fn who_left_is_neither_killed_nor_restarted_nor_heard() {
        let mut population = population(0.0);
        round(&mut population, at(0));
        let left = population.act(Act::Goodbye(40), &roster(), at(1));
        assert_eq!(population.truth().farewells().len(), 40);
        assert_eq!(population.act(Act::Kill(100), &roster(), at(2)).len(), 60);
        assert_eq!(population.act(Act::Restart(100), &roster(), at(2)).len(), 60);
        assert_eq!(turn(&mut population, left[0], at(3)), Turn::Silent);
    }

    #[test]
    fn nobody_misses_a_node_that_was_killed_before_its_first_heartbeat() {
        let mut population = population(0.0);
        population.act(Act::Kill(5), &roster(), at(0));
        population.act(Act::Goodbye(5), &roster(), at(0));
        assert!(population.truth().silences().is_empty() && population.truth().farewells().is_empty());
    }

    #[test]
    fn as_many_heartbeats_get_lost_as_the_probability_says_and_they_take_their_number_with_them() {
        let mut population = population(0.25);
        let sent: usize = (0..100).map(|secs| round(&mut population, at(secs))).sum();
        assert!((7_200..7_800).contains(&sent), "{sent}");
        assert!(population.nodes.iter().all(|node| node.seq == 100));
        assert!(population.truth().silences().is_empty());
    }

    /// Ten nodes whose heartbeats arrive when the test says so, and one heartbeat of each on its way since `at(1)`.
    fn delayed() -> (Population, Vec<Beat>) {
        let way = Way { loss: Loss::None, delayed: true };
        let mut population = Population::new(10, way, Random::new(1));
        let sent = |turn| if let Turn::Sent(beat) = turn { beat } else { panic!("{turn:?}") };
        let beats = (0..10).map(|index| sent(population.beat(index))).collect();
        (population, beats)
    }

    #[test]
    fn a_heartbeat_that_arrives_after_the_crash_is_the_last_of_that_silence() {
        let (mut population, first) = delayed();
        let Turn::Sent(second) = population.beat(3) else { panic!("it beats") };
        population.arrive(3, first[3], LastBeat { sent: at(1), arrived: at(2) });
        population.kill(10, at(3));
        assert_eq!(population.truth().silences().len(), 1, "nobody has heard of the others");
        population.arrive(3, second, LastBeat { sent: at(2), arrived: at(5) });
        let silence = population.truth().silences()[0];
        assert_eq!((silence.last, silence.began), (LastBeat { sent: at(2), arrived: at(5) }, at(3)));
        population.arrive(4, first[4], LastBeat { sent: at(1), arrived: at(6) });
        let unheard = population.truth().silences()[1];
        assert_eq!((unheard.node, unheard.why, unheard.began), (4, Why::Unheard, at(6)));
        assert_eq!(population.census().dead, 10);
    }

    #[test]
    fn a_heartbeat_that_was_overtaken_changes_nothing() {
        let (mut population, first) = delayed();
        let Turn::Sent(second) = population.beat(3) else { panic!("it beats") };
        population.arrive(3, second, LastBeat { sent: at(2), arrived: at(3) });
        population.arrive(3, first[3], LastBeat { sent: at(1), arrived: at(8) });
        population.kill(10, at(9));
        assert_eq!(population.truth().silences()[0].last, LastBeat { sent: at(2), arrived: at(3) });
    }

    #[test]
    fn a_silence_ends_with_a_heartbeat_of_the_new_life_and_not_with_one_of_the_old() {
        let (mut population, first) = delayed();
        population.arrive(3, first[3], LastBeat { sent: at(1), arrived: at(1) });
        let Turn::Sent(old) = population.beat(3) else { panic!("it beats") };
        population.kill(10, at(3));
        population.restart(10);
        population.arrive(3, old, LastBeat { sent: at(2), arrived: at(5) });
        assert_eq!(population.truth().silent(), 1);
        let Turn::Sent(new) = population.beat(3) else { panic!("it beats") };
        population.arrive(3, new, LastBeat { sent: at(6), arrived: at(7) });
        assert_eq!((population.truth().silent(), population.truth().silences()[0].ended), (0, Some(at(7))));
    }

    #[test]
    fn every_node_is_drawn_as_often_as_any_other() {
        let mut hits = [0; 100];
        for seed in 0..2_000 {
            let way = Way { loss: Loss::None, delayed: false };
            let mut population = Population::new(100, way, Random::new(seed));
            population.act(Act::Kill(10), &roster(), at(0)).into_iter().for_each(|index| hits[index as usize] += 1);
        }
        assert!(hits.iter().all(|hits| (140..260).contains(hits)), "{hits:?}");
    }
}
