//! One thread, its sockets, its nodes: nothing shared, nothing locked.
//!
//! ```text
//!   sockets ──recvmmsg──► Monitor::turn(More) ─┐
//!   inbox   ──messages──► Monitor::turn(More) ─┤ until everything has been seen
//!                                              ▼
//!                         Monitor::turn(SeenUntil(horizon)) ──► events, handed-over messages
//!   queries ◄──answers──  between two rounds
//! ```
//!
//! A round receives at most 16 batches, for 4 ms, before it looks at anything else, so that a flood
//! can't keep questions waiting. It does keep verdicts waiting: nobody is declared silent beyond the
//! horizon, the instant up to which every shard has emptied its sockets. While a socket never
//! empties nobody is accused, and the report says how far behind we are.

mod council;
mod horizon;
mod outlet;
mod watch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::Receiver as Channel;
use mio::{Events, Interest, Poll, Token};
use systole_core::counters::Counters;
use systole_core::guard::ScopeName;
use systole_core::{Backlog, Datagram, GroupIx, Instant, Monitor, Span, Trouble};

pub use council::Council;
pub use horizon::Horizon;
pub(crate) use outlet::RESERVE;
pub use outlet::{Handed, Outlet, Peer};

use crate::answer;
use crate::clock::{Arrivals, Clock, Reading};
use crate::proposal::Pending;
use crate::pulse::Pulse;
use crate::query::{Query, Report};
use crate::rate::Rate;
use crate::udp::{BATCH, Receiver, Socket};
use watch::LoopWatch;

/// Batches that one round takes from each socket before it looks at anything else.
const ROUND: usize = 16;

/// How long that may take: heartbeats of new nodes cost ten times as much as others.
const ROUND_MAX: Span = Span::from_millis(4);

/// Questions answered in one round.
const ANSWERS: usize = 8;

/// How long to wait for another shard that was woken because it is behind.
const RETRY: Span = Span::from_millis(1);

/// The longest wait.
const AWAKE: Span = Span::from_secs(1);

/// The token of the shard's waker; sockets have theirs from 0 on.
pub const WAKER: Token = Token(usize::MAX);

/// What a shard is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its number.
    pub shard: u32,
    /// Its nodes.
    pub monitor: Monitor,
    /// One socket for each address listened on.
    pub sockets: Vec<Socket>,
    /// Waits for the sockets and the waker; the waker is registered with it under [`WAKER`].
    pub poll: Poll,
    /// Where events and foreign messages go.
    pub outlet: Outlet,
    /// Messages of its nodes that came to other shards.
    pub inbox: Channel<Handed>,
    /// Questions of the control plane.
    pub queries: Channel<Query>,
    /// How far each shard has seen.
    pub horizon: Arc<Horizon>,
    /// What the others see of groups that are nobody's alone.
    pub council: Council,
    /// The engine's time.
    pub clock: Clock,
    /// The clocks before the sockets were bound.
    pub unbound: Reading,
    /// Counts its rounds.
    pub pulse: Pulse,
    /// Set to end the shard.
    pub stop: Arc<AtomicBool>,
}

/// A running shard.
struct Shard {
    parts: Parts,
    arrivals: Vec<Arrivals>,
    receiver: Receiver,
    rate: Rate,
    watch: LoopWatch,
    datagrams: u64,
    /// When this shard's sockets were last seen empty.
    seen: Instant,
    counted: u64,
    /// What to judge by next.
    next: Pending,
    /// How many datagrams lost, and how many steps of the clock, the monitor was told of.
    confessed: (u64, u64),
}

/// What a look at the sockets came to; of several sockets the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// There was nothing, or nothing more.
    Empty,
    /// There may be more than one round takes.
    More,
    /// A socket refused to be read.
    Failed,
}

/// Runs a shard on this thread until it is told to stop. Gives back what it believes.
///
/// # Errors
/// The system won't let it wait for its sockets.
pub fn run(mut parts: Parts) -> io::Result<Monitor> {
    for (index, socket) in parts.sockets.iter_mut().enumerate() {
        parts.poll.registry().register(socket, Token(index), Interest::READABLE)?;
    }
    let reading = parts.unbound;
    let arrivals = vec![Arrivals::new(reading); parts.sockets.len()];
    let mut shard = Shard {
        arrivals,
        receiver: Receiver::new(),
        rate: Rate::new(reading.now),
        watch: LoopWatch::new(reading.now),
        datagrams: 0,
        seen: reading.now,
        counted: 0,
        next: Pending::default(),
        confessed: (0, 0),
        parts,
    };
    // Since before the sockets were bound nobody has looked at them.
    let now = shard.parts.clock.now();
    shard.parts.monitor.trouble(now, Trouble::Stall(now.since(reading.now)));
    shard.run()?;
    shard.parts.outlet.part();
    Ok(shard.parts.monitor)
}

impl Shard {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        let mut wake = Some(self.parts.clock.now());
        loop {
            self.wait(wake, &mut events)?;
            if self.parts.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.parts.pulse.beat();
            let now = self.parts.clock.now();
            let overslept = self.watch.woken(now, wake);
            self.parts.monitor.trouble(now, Trouble::Stall(overslept));
            wake = self.round();
            self.answer();
            if self.next.proceed(&mut self.parts.monitor, self.parts.clock.now()) {
                wake = Some(self.parts.clock.now());
            }
            let now = self.parts.clock.now();
            let worked = self.watch.worked(now);
            self.parts.monitor.trouble(now, Trouble::Stall(worked));
            // However little there is to do: how long we stood still shows only in a wait that should have ended.
            wake = wake.into_iter().chain(Some(now + AWAKE)).min();
        }
    }

    /// Waits for a datagram, a waker, or the instant `wake`.
    ///
    /// The system counts a wait for sockets in whole milliseconds. One rounded up would make every
    /// verdict later by half of one; so it is rounded down, and what is left is slept off blindly.
    /// What arrives meanwhile waits in the socket for less than a millisecond, with its true arrival.
    fn wait(&mut self, wake: Option<Instant>, events: &mut Events) -> io::Result<()> {
        let left = wake.map(|wake| wake.since(self.parts.clock.now()));
        let timeout = match left {
            Some(left) if left < Span::from_millis(1) => {
                std::thread::sleep(Duration::from_nanos(left.nanos()));
                Some(Duration::ZERO)
            }
            Some(left) => Some(Duration::from_millis(left.millis())),
            None => None,
        };
        match self.parts.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Takes in what there is, then declares what is due. Returns when to come back at the latest.
    fn round(&mut self) -> Option<Instant> {
        let look = self.receive();
        // First how far everybody has seen, then what they handed over until then.
        self.parts.horizon.publish(self.parts.shard, self.seen);
        let horizon = self.parts.horizon.reached();
        let emptied = self.take_inbox();
        self.parts.outlet.wake_peers();
        let now = self.parts.clock.now();
        let believed = self.believed();
        self.rate.add(now, believed);
        match look {
            Look::Empty if emptied => {}
            Look::Empty | Look::More => return Some(now),
            Look::Failed => return Some(now + RETRY),
        }
        let reading = self.parts.clock.read();
        self.parts.outlet.reading = reading;
        // If we were stopped since the wait ended, whoever is judged now must have the benefit of it.
        let worked = self.watch.worked(reading.now);
        self.parts.monitor.trouble(reading.now, Trouble::Stall(worked));
        self.confess(reading.now);
        let again = self.parts.council.exchange(reading.now, &mut self.parts.monitor);
        let backlog = Backlog::SeenUntil(horizon);
        let judged = self.parts.clock.now();
        let wake = self.parts.monitor.turn(reading.now, &[], backlog, &mut self.parts.outlet);
        self.watch.turned(judged, self.parts.clock.now());
        let wake = wake.into_iter().chain(again).min()?;
        if wake <= horizon && self.parts.outlet.is_full() {
            return Some(now + RETRY);
        }
        if wake > horizon && wake <= now && self.parts.horizon.wake_behind(self.parts.shard, wake) {
            return Some(now + RETRY);
        }
        Some(wake)
    }

    /// Empties the sockets, or as much of them as one round may. If they are empty, notes since when.
    fn receive(&mut self) -> Look {
        let mut seen = Instant::from_nanos(u64::MAX);
        let mut look = Look::Empty;
        for (socket, arrivals) in self.parts.sockets.iter().zip(&mut self.arrivals) {
            let mut found = Look::More;
            let mut before = self.parts.clock.now();
            for _ in 0..ROUND {
                let Ok(received) = self.receiver.receive(socket) else {
                    // What waits there nobody has seen, so nobody may be called silent until it works again.
                    found = Look::Failed;
                    break;
                };
                let reading = self.parts.clock.read();
                let mut stamps = arrivals.batch(reading, received.drained());
                self.parts.outlet.note_dropped(received.dropped);
                self.parts.outlet.reading = reading;
                self.datagrams += received.len() as u64;
                let mut batch = [Datagram::new(&[], reading.now); BATCH];
                for (slot, datagram) in batch.iter_mut().zip(received.iter()) {
                    let arrival = stamps.arrival(datagram.stamp);
                    *slot = Datagram {
                        bytes: datagram.bytes,
                        arrival,
                        truncated: datagram.truncated,
                        source: datagram.source,
                    };
                }
                let batch = &batch[..received.len()];
                self.parts.monitor.turn(reading.now, batch, Backlog::More, &mut self.parts.outlet);
                let after = self.parts.clock.now();
                self.watch.turned(reading.now, after);
                if received.drained() {
                    found = Look::Empty;
                    seen = seen.min(before);
                    break;
                }
                if after.since(self.watch.begun()) > ROUND_MAX {
                    break;
                }
                before = after;
            }
            look = look.max(found);
        }
        if look == Look::Empty {
            self.seen = self.seen.max(seen);
        }
        look
    }

    /// Tells the monitor what went wrong on our side since it was last told.
    fn confess(&mut self, now: Instant) {
        if self.parts.monitor.poll_timeout().is_some_and(|wake| wake <= now) {
            // Somebody may be about to be accused. The kernel tells of losses with the next datagram, if one comes.
            let dropped = self.parts.sockets.iter().map(Socket::dropped).sum();
            self.parts.outlet.note_dropped(dropped);
        }
        let lost = self.parts.outlet.lost();
        let steps = self.arrivals.iter().map(Arrivals::clock_steps).max().unwrap_or(0);
        let (lost_before, steps_before) = std::mem::replace(&mut self.confessed, (lost, steps));
        self.parts.monitor.trouble(now, Trouble::Drops(lost - lost_before));
        if steps > steps_before {
            self.parts.monitor.trouble(now, Trouble::ClockStep);
        }
    }

    /// Takes in what other shards handed over. Says whether that was all.
    fn take_inbox(&mut self) -> bool {
        for _ in 0..ROUND {
            let handed: Vec<Handed> = self.parts.inbox.try_iter().take(BATCH).collect();
            let batch: Vec<Datagram<'_>> = handed.iter().map(Handed::datagram).collect();
            if !batch.is_empty() {
                self.parts.outlet.reading = self.parts.clock.read();
                let now = self.parts.outlet.reading.now;
                self.parts.monitor.turn(now, &batch, Backlog::More, &mut self.parts.outlet);
                self.watch.turned(now, self.parts.clock.now());
            }
            if batch.len() < BATCH {
                return true;
            }
        }
        false
    }

    fn answer(&mut self) {
        let mut answered = 0;
        while answered < ANSWERS {
            let Ok(query) = self.parts.queries.try_recv() else { return };
            answered += 1;
            let monitor = &self.parts.monitor;
            // Whoever asked may have gone: then the answer is for nobody.
            match query {
                Query::Report(reply) => drop(reply.send(self.report())),
                Query::Groups(name, reply) => {
                    // With many groups this is the dearest question: one a round.
                    answered = ANSWERS;
                    let wanted = monitor
                        .groups()
                        .iter()
                        .enumerate()
                        .filter(|(_, group)| name.as_deref().is_none_or(|name| name == group.name()));
                    let profiles = &self.parts.outlet;
                    let groups = wanted.map(|(ix, _)| answer::group(monitor, GroupIx::new(ix), profiles.profile(ix)));
                    drop(reply.send(groups.collect()));
                }
                Query::Node(id, reply) => {
                    let node = monitor.find(&id).and_then(|ix| monitor.node(ix));
                    drop(reply.send(node.map(|view| answer::row(monitor, &view))));
                }
                Query::Order(scope, order, reply) => {
                    self.parts.outlet.reading = self.parts.clock.read();
                    let (now, sink) = (self.parts.outlet.reading.now, &mut self.parts.outlet);
                    let scope = ScopeName::parse(&scope);
                    let done = scope.is_some_and(|scope| self.parts.monitor.order(scope, order, now, sink));
                    _ = reply.send(done);
                }
                Query::Reconfigure(proposal) => {
                    self.next.put(proposal, &mut self.parts.monitor, self.parts.clock.now());
                }
                Query::Slice { from, most, filter, reply } => {
                    drop(reply.send(answer::slice(monitor, from, most, &filter)));
                }
                Query::Beliefs { from, reply } => {
                    // The dearest for a node's memory: one a round.
                    answered = ANSWERS;
                    drop(reply.try_send(answer::beliefs(monitor, from, self.parts.clock.read())));
                }
            }
        }
        // There may be more: come back at once, but look at the sockets first.
        self.parts.outlet.wake_self();
    }

    fn report(&mut self) -> Report {
        let now = self.parts.clock.now();
        let outlet = &self.parts.outlet;
        Report {
            shard: self.parts.shard,
            counts: answer::counts(&self.parts.monitor),
            counters: *self.parts.monitor.counters(),
            auth: answer::auth(&self.parts.monitor),
            heartbeats_per_second: self.rate.per_second(now),
            datagrams: self.datagrams,
            dropped: outlet.dropped(),
            receive_buffer: self.parts.sockets.iter().map(Socket::receive_buffer).min().unwrap_or(0),
            handed_over: outlet.handed_over,
            handover_dropped: outlet.handover_dropped,
            events_dropped: outlet.events_dropped,
            clock_steps: self.arrivals.iter().map(Arrivals::clock_steps).max().unwrap_or(0),
            loop_gap_max: self.watch.gap_max(now),
            turn_max: self.watch.turn_max(now),
            behind: self.watch.behind(now, self.seen),
            holds: self.parts.monitor.holds().map(answer::hold).collect(),
            unwell: self.parts.monitor.unwell(),
            flapping: self.parts.monitor.flapping_count(),
            conflicts: self.parts.monitor.conflict_count(),
        }
    }

    /// Heartbeats believed since the last call.
    fn believed(&mut self) -> u64 {
        let Counters { heartbeats, .. } = *self.parts.monitor.counters();
        heartbeats - std::mem::replace(&mut self.counted, heartbeats)
    }
}
