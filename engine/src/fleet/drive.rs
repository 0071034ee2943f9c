//! Sends a whole fleet's heartbeats: a few sockets, one thread, no state but 16 bytes a node.
//!
//! A turn does what is due: the acts of the script, goodbyes, then heartbeats, [`BURST`] at most, written straight into
//! the batches that the kernel takes or, where they are to be delayed, first sent on their way. A node's name is written and hashed anew each time, and always uses the same
//! socket. Nothing here sleeps: a turn says when the next is due.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

use systole_core::auth::MasterKey;
use systole_core::wire::{Kind, Message, UnixMillis, emit_binary};
use systole_core::{Incarnation, Instant, NodeId, Seq, Span};

use super::delay::Delay;
use super::pace::Pace;
use super::population::{Beat, Census, Population, Turn};
use super::random::Random;
use super::roster::Roster;
use super::script::{Act, Script, Step};
use super::transit::{Passage, Transit};
use super::truth::{LastBeat, Truth};
use crate::clock::{Clock, Reading};
use crate::profile::{Profile, Whole};
use crate::sender::{self, ConnectError};
use crate::udp::Outbox;

/// What came of all the turns so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Heartbeats sent.
    pub(super) sent: u64,
    /// Heartbeats lost on purpose.
    pub(super) lost: u64,
    /// Heartbeats of nodes that were cut off.
    pub(super) cut: u64,
    /// Goodbyes said, each twice.
    pub(super) goodbyes: u64,
    /// Datagrams that the system wouldn't send.
    pub(super) unsent: u64,
}

/// Something that was done to the fleet.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    /// When, counted from the first heartbeat.
    pub at: Span,
    /// The same on the wall clock, with the origin 1970.
    pub wall: Instant,
    /// What.
    pub act: Act,
    /// To whom.
    pub nodes: &'a [u32],
}

/// One source of datagrams.
#[derive(Debug)]
struct Lane {
    socket: std::net::UdpSocket,
    outbox: Outbox,
}

/// A fleet on its way.
#[derive(Debug)]
pub(super) struct Drive {
    clock: Clock,
    roster: Roster,
    population: Population,
    /// Nothing where heartbeats arrive at once.
    transit: Option<Transit>,
    pace: Pace,
    steps: VecDeque<Step>,
    /// Who says goodbye, and when.
    farewells: VecDeque<(Instant, u32)>,
    lanes: Vec<Lane>,
    interval: Span,
    introduce_every: u32,
    key: Option<MasterKey>,
    incarnation: u64,
    tally: Tally,
    /// When the heartbeats of this turn were due at their sockets.
    written: Vec<Instant>,
    /// How late they were written.
    late: Profile,
    error: Option<std::io::Error>,
    name: String,
}

/// How a fleet beats.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    /// How often each node beats.
    pub(super) interval: Span,
    /// A node tells its name on its first two heartbeats, and then on every so-manieth.
    pub(super) introduce_every: u32,
    /// How long each heartbeat is on its way.
    pub(super) delay: Delay,
    /// Where the delays are drawn from.
    pub(super) delays: Random,
    /// What the heartbeats are signed with.
    pub(super) key: Option<MasterKey>,
}

/// How many sockets a fleet speaks from.
const LANES: usize = 4;
/// How many heartbeats one turn sends at most: about a millisecond of work.
const BURST: u64 = 256;
/// How long after its first goodbye a node says it again.
const GOODBYE_AGAIN: Span = Span::from_millis(100);

impl Drive {
    /// A fleet that will begin to beat at `start`.
    ///
    /// # Errors
    /// If nothing can be sent to any of the addresses.
    pub(super) fn new(
        to: &[SocketAddr],
        roster: Roster,
        population: Population,
        rhythm: &Rhythm,
        script: &Script,
        clock: Clock,
        start: Instant,
    ) -> Result<Self, ConnectError> {
        let lane = || {
            let socket = sender::connect(to)?;
            // A full buffer is to be waited for: what isn't sent would be taken for a fault of the monitor.
            socket.set_nonblocking(false).map_err(|error| ConnectError::Connect { to: to[0], error })?;
            Ok(Lane { socket, outbox: Outbox::new() })
        };
        Ok(Self {
            lanes: (0..LANES).map(|_| lane()).collect::<Result<_, _>>()?,
            pace: Pace::new(roster.len(), rhythm.interval, start),
            steps: script.steps().iter().copied().collect(),
            farewells: VecDeque::new(),
            interval: rhythm.interval,
            introduce_every: rhythm.introduce_every.max(1),
            key: rhythm.key.clone(),
            incarnation: sender::unix_millis(&clock),
            tally: Tally::default(),
            written: Vec::new(),
            late: Profile::new(),
            error: None,
            transit: (rhythm.delay != Delay::NONE).then(|| Transit::new(rhythm.delay, rhythm.delays.clone())),
            name: String::new(),
            clock,
            roster,
            population,
        })
    }

    /// Does what is due, tells `done` of acts, and returns when to come again.
    pub(super) fn turn(&mut self, done: &mut dyn FnMut(Done<'_>)) -> Instant {
        let reading = self.clock.read();
        let wall = Instant::from_nanos(reading.unix_nanos);
        while let Some(step) = self.steps.pop_front_if(|step| self.pace.start() + step.at <= reading.now) {
            // What was due before it was sent before it, however late both are: then it happened when it was to happen.
            let planned = self.pace.start() + step.at;
            let before = self.pace.take_until(reading.now, planned, u64::MAX);
            self.beat(before, reading);
            let wall = wall - reading.now.since(planned);
            let nodes = self.population.act(step.act, &self.roster, wall);
            if matches!(step.act, Act::Goodbye(_)) {
                self.farewells.extend(nodes.iter().map(|node| (reading.now, *node)));
                self.farewells.extend(nodes.iter().map(|node| (reading.now + GOODBYE_AGAIN, *node)));
            }
            done(Done { at: step.at, wall, act: step.act, nodes: &nodes });
        }
        while let Some((_, node)) = self.farewells.pop_front_if(|(at, _)| *at <= reading.now) {
            let beat = self.population.goodbye(node);
            self.tally.goodbyes += 1;
            self.write(Kind::Goodbye, node, beat, wall);
        }
        let turns = self.pace.take(reading.now, BURST);
        self.beat(turns, reading);
        for _ in 0..BURST {
            let Some(passage) = self.transit.as_mut().and_then(|transit| transit.arrive(reading.now)) else { break };
            let last = LastBeat { sent: passage.sent, arrived: wall };
            self.arrive(passage.node, passage.beat, last, passage.due);
        }
        self.flush();
        let now = self.clock.now();
        self.written.drain(..).for_each(|due| self.late.record(now.since(due), 0));
        self.next_due()
    }

    /// Does nothing more but beat, and returns how many acts are left undone.
    pub(super) fn drop_the_rest(&mut self) -> usize {
        self.steps.drain(..).count()
    }

    /// What came of it so far.
    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// How often the system said that nobody listens at the other end.
    pub(super) fn refused(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.outbox.refused()).sum()
    }

    /// Why something couldn't be sent, the last time that this happened.
    pub(super) const fn error(&self) -> Option<&std::io::Error> {
        self.error.as_ref()
    }

    /// How late heartbeats left this process, compared with the plan.
    pub(super) fn late(&self) -> Whole {
        [&self.late].into_iter().collect()
    }

    /// How many nodes are in which state.
    pub(super) const fn census(&self) -> Census {
        self.population.census()
    }

    /// What really happened so far.
    pub(super) const fn truth(&self) -> &Truth {
        self.population.truth()
    }

    /// When whose turn is.
    pub(super) const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Who the nodes are.
    pub(super) const fn roster(&self) -> &Roster {
        &self.roster
    }

    fn next_due(&self) -> Instant {
        let step = self.steps.front().map(|step| self.pace.start() + step.at);
        let farewell = self.farewells.front().map(|(at, _)| *at);
        let passage = self.transit.as_ref().and_then(Transit::next_due);
        [step, farewell, passage].into_iter().flatten().fold(self.pace.next_due(), Instant::min)
    }

    /// Gives these turns to their nodes: what is sent is written, or sets out.
    fn beat(&mut self, turns: Range<u64>, reading: Reading) {
        let wall = Instant::from_nanos(reading.unix_nanos);
        for turn in turns {
            let node = self.pace.node(turn);
            let planned = self.pace.due(turn);
            let delay = self.transit.as_mut().map(Transit::delay);
            match (self.population.beat(node), &mut self.transit, delay) {
                (Turn::Sent(beat), Some(transit), Some(delay)) => {
                    // Counted from when it was due: that this turn is late must not make it later still.
                    let sent = wall - reading.now.since(planned);
                    transit.enter(Passage { due: planned + delay, sent, node, beat });
                }
                (Turn::Sent(beat), _, _) => self.arrive(node, beat, LastBeat { sent: wall, arrived: wall }, planned),
                (Turn::Lost, _, _) => self.tally.lost += 1,
                (Turn::Cut, _, _) => self.tally.cut += 1,
                (Turn::Silent, _, _) => {}
            }
        }
    }

    /// A heartbeat comes out at the other end of its way, where it was `due`.
    fn arrive(&mut self, node: u32, beat: Beat, last: LastBeat, due: Instant) {
        self.tally.sent += 1;
        self.written.push(due);
        self.population.arrive(node, beat, last);
        self.write(Kind::Heartbeat, node, beat, last.sent);
    }

    /// Writes one message into the batch of its lane.
    fn write(&mut self, kind: Kind, node: u32, beat: Beat, sent: Instant) {
        self.roster.write_name(node, &mut self.name);
        let introduce = beat.seq <= 2 || beat.seq.wrapping_add(node).is_multiple_of(self.introduce_every);
        let message = Message {
            name: introduce.then_some(&*self.name),
            group: introduce.then(|| &*self.roster.groups()[self.roster.group_of(node)]),
            incarnation: Some(Incarnation::new(self.incarnation + u64::from(beat.life))),
            seq: Some(Seq::new(u64::from(beat.seq))),
            sent: UnixMillis::new(sent.nanos() / 1_000_000),
            interval: Some(self.interval),
            load: Some(load(node, beat.seq)),
            ..Message::of(kind, NodeId::of(&self.name))
        };
        let lane = &mut self.lanes[node as usize % LANES];
        lane.outbox.push_with(|bytes| {
            let written = match &self.key {
                Some(key) => key.seal(&message, bytes),
                None => emit_binary(&message, bytes),
            };
            written.expect("names were checked before the start");
        });
    }

    fn flush(&mut self) {
        for lane in &mut self.lanes {
            while !lane.outbox.is_empty() {
                if let Err(error) = lane.outbox.flush(&lane.socket) {
                    self.tally.unsent += 1;
                    self.error = Some(error);
                }
            }
        }
    }
}

/// A made-up load between 0 and 1: each node has its own, and it moves now and then.
fn load(node: u32, seq: u32) -> f32 {
    let mixed = node.wrapping_mul(0x9E37_79B1) ^ (seq / 16).wrapping_mul(0x85EB_CA6B);
    f32::from((mixed >> 20) as u16) / 4_096.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::loss::Loss;
    use crate::fleet::population::Way;
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::UdpSocket;
    use systole_core::wire::messages;

    fn receiver() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    fn drive(socket: &UdpSocket, nodes: u32, script: &Script) -> Drive {
        delayed(socket, nodes, script, Delay::NONE)
    }

    fn delayed(socket: &UdpSocket, nodes: u32, script: &Script, delay: Delay) -> Drive {
        let clock = Clock::start();
        let roster = Roster::new(nodes, "node-", vec!["a".into(), "b".into()]);
        let rhythm =
            Rhythm { interval: Span::from_millis(20), introduce_every: 16, delay, delays: Random::new(2), key: None };
        let way = Way { loss: Loss::None, delayed: delay != Delay::NONE };
        let population = Population::new(nodes, way, Random::new(1));
        let to = [socket.local_addr().unwrap()];
        Drive::new(&to, roster, population, &rhythm, script, clock, clock.now()).unwrap()
    }

    #[test]
    fn every_node_beats_in_its_own_name_and_group_and_each_from_one_port() {
        let socket = receiver();
        let mut script = Script::default();
        script.add(Span::from_millis(50), Act::Goodbye(3));
        script.add(Span::from_millis(60), Act::Bounce(2));
        let mut drive = drive(&socket, 20, &script);
        let mut heard: BTreeMap<NodeId, Vec<(Kind, u64, u64, bool)>> = BTreeMap::new();
        let mut ports: BTreeMap<NodeId, BTreeSet<u16>> = BTreeMap::new();
        let mut acts = 0;
        while drive.tally().sent < 400 || drive.tally().goodbyes < 6 {
            drive.turn(&mut |done| acts += done.nodes.len());
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let (message, _) = messages(&buffer[..length]).next().unwrap().unwrap();
                if let (Some(name), Some(group)) = (message.name, message.group) {
                    let node = drive.roster().find(name).unwrap();
                    assert_eq!(group, drive.roster().groups()[drive.roster().group_of(node)]);
                }
                assert_eq!(message.interval, Some(Span::from_millis(20)));
                assert!(message.load.is_some_and(|load| (0.0..=1.0).contains(&load)));
                let numbers = (message.incarnation.unwrap().number(), message.seq.unwrap().number());
                heard.entry(message.node).or_default().push((
                    message.kind,
                    numbers.0,
                    numbers.1,
                    message.name.is_some(),
                ));
                ports.entry(message.node).or_default().insert(from.port());
            }
        }
        assert_eq!((acts, heard.len()), (5, 20));
        assert!(ports.values().all(|ports| ports.len() == 1));
        assert_eq!(ports.values().flatten().collect::<BTreeSet<_>>().len(), LANES);
        for said in heard.values() {
            assert!(said.windows(2).all(|two| (two[0].1, two[0].2) < (two[1].1, two[1].2)), "always newer: {said:?}");
            assert!(said[0].3 && said[1].3, "introduced on the first two");
        }
        let leaving = heard.values().filter(|said| said.iter().any(|one| one.0 == Kind::Goodbye));
        assert!(leaving.clone().all(|said| said.iter().filter(|one| one.0 == Kind::Goodbye).count() == 2));
        assert_eq!(leaving.count(), 3);
        assert_eq!(heard.values().filter(|said| said.last().unwrap().1 > said[0].1).count(), 2);
    }

    #[test]
    fn a_delayed_heartbeat_is_really_sent_later_and_may_be_overtaken() {
        let socket = receiver();
        let delay = "uniform:5ms..65ms".parse().unwrap();
        let mut drive = delayed(&socket, 10, &Script::default(), delay);
        let clock = drive.clock;
        let (mut heard, mut delays): (BTreeMap<NodeId, Vec<u64>>, Vec<u64>) = Default::default();
        while delays.len() < 400 {
            drive.turn(&mut |_| {});
            let mut buffer = [0; 2048];
            while let Ok(length) = socket.recv(&mut buffer) {
                let (message, _) = messages(&buffer[..length]).next().unwrap().unwrap();
                heard.entry(message.node).or_default().push(message.seq.unwrap().number());
                delays.push(clock.read().unix_nanos / 1_000_000 - message.sent.unwrap().millis());
            }
        }
        // What it says of when it was sent is cut off to the millisecond, and this loop may be slow, but never quick.
        assert!(delays.iter().all(|delay| *delay >= 5), "{delays:?}");
        let mean = delays.iter().sum::<u64>() as f64 / delays.len() as f64;
        assert!(mean > 30.0, "{mean}");
        assert!(heard.values().any(|seqs| !seqs.is_sorted()), "none was overtaken");
    }

    #[test]
    fn a_fleet_goes_on_where_nobody_listens_and_says_so() {
        let socket = receiver();
        let mut drive = drive(&socket, 20, &Script::default());
        drop(socket);
        while drive.tally().sent < 200 {
            drive.turn(&mut |_| {});
        }
        assert!(drive.refused() > 0);
        assert_eq!((drive.tally().unsent, drive.error().is_none()), (0, true));
    }
}
