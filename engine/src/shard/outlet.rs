//! Where a monitor's words go: events to the journal, foreign messages to their owners, rhythms
//! into histograms. Every way out is a bounded queue that is never waited for, and what didn't fit
//! is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::Sender;
use systole_core::event::{Note, Sink, Transition};
use systole_core::{Datagram, GroupIx, Instant, NodeId, Share, Source, Span};

use crate::clock::Reading;
use crate::profile::Profile;
use crate::store::Record;

/// Places in the queue of events that verdicts leave to nodes which come back: those can't wait.
/// Each shard leaves as many for every other one, whose verdicts of the moment it can't see.
pub(crate) const RESERVE: usize = 4_096;

/// A message on its way to the shard that owns its node.
#[derive(Debug)]
pub struct Handed {
    bytes: Box<[u8]>,
    arrival: Instant,
    source: Source,
}

/// The way to another shard.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its queue of messages from others.
    pub inbox: Sender<Handed>,
    /// Wakes it.
    pub waker: Arc<mio::Waker>,
}

/// One shard's ways out.
#[derive(Debug)]
pub struct Outlet {
    /// The clocks at the batch that is being judged.
    pub reading: Reading,
    /// Messages handed to their owners.
    pub handed_over: u64,
    /// Messages that their owner's queue had no place for.
    pub handover_dropped: u64,
    /// Events that the journal's queue had no place for.
    pub events_dropped: u64,
    shard: usize,
    share: Share,
    events: Sender<Record>,
    /// Events lost since the last one that was kept: their numbers stay empty.
    skipped: u64,
    /// Datagrams that the kernel dropped on this shard's sockets.
    dropped: u64,
    /// What all shards together lost of what arrived. Any of it may have been any node's heartbeat.
    lost: Arc<AtomicU64>,
    peers: Arc<[Peer]>,
    /// Peers that were handed something since they were last woken, by bit.
    to_wake: u64,
    profiles: Vec<Option<Box<Profile>>>,
}

impl Handed {
    /// As the owner's monitor takes it.
    pub fn datagram(&self) -> Datagram<'_> {
        Datagram { source: self.source, ..Datagram::new(&self.bytes, self.arrival) }
    }
}

impl Outlet {
    /// For shard number `shard`, whose nodes are `share`, among `peers` (itself included). `lost` is
    /// one count for all of them.
    pub fn new(
        shard: u32,
        share: Share,
        events: Sender<Record>,
        peers: Arc<[Peer]>,
        lost: Arc<AtomicU64>,
        reading: Reading,
    ) -> Self {
        Self {
            reading,
            skipped: 0,
            dropped: 0,
            lost,
            handed_over: 0,
            handover_dropped: 0,
            events_dropped: 0,
            shard: shard as usize,
            share,
            events,
            peers,
            to_wake: 0,
            profiles: Vec::new(),
        }
    }

    /// What is known of the rhythm in the group with this index.
    pub fn profile(&self, group: usize) -> Option<&Profile> {
        self.profiles.get(group).and_then(Option::as_deref)
    }

    /// Datagrams that the kernel dropped on this shard's sockets.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Counts datagrams that the kernel dropped on this shard's sockets.
    pub fn note_dropped(&mut self, datagrams: u64) {
        if datagrams > 0 {
            self.dropped += datagrams;
            self.lost.fetch_add(datagrams, Ordering::Relaxed);
        }
    }

    /// What all shards together lost of what arrived, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether verdicts have to wait for the journal.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Wakes everyone who was handed something.
    pub fn wake_peers(&mut self) {
        while self.to_wake != 0 {
            let peer = self.to_wake.trailing_zeros() as usize;
            self.to_wake &= self.to_wake - 1;
            // A peer that can't be woken has ended, and then all are ending.
            let _ = self.peers[peer].waker.wake();
        }
    }

    fn keep(&mut self, record: Record) {
        match self.events.try_send(Record { skipped: self.skipped, ..record }) {
            Ok(()) => self.skipped = 0,
            Err(_) => {
                self.skipped += 1;
                self.events_dropped += 1;
            }
        }
    }

    /// Makes this shard's next wait end at once.
    pub fn wake_self(&self) {
        let _ = self.peers[self.shard].waker.wake();
    }
}

impl Sink for Outlet {
    fn transition(&mut self, transition: &Transition<'_>) {
        self.keep(Record::of_transition(transition, self.reading, self.lost()));
    }

    fn note(&mut self, note: &Note<'_>) {
        self.keep(Record::of_note(note, self.reading));
    }

    fn foreign(&mut self, node: NodeId, message: &Datagram<'_>) {
        let owner = self.share.owner(node) as usize;
        let handed = Handed { bytes: message.bytes.into(), arrival: message.arrival, source: message.source };
        match self.peers[owner].inbox.try_send(handed) {
            Ok(()) => {
                self.handed_over += 1;
                self.to_wake |= 1 << owner;
            }
            Err(_) => {
                self.handover_dropped += 1;
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn heartbeat(&mut self, group: GroupIx, late: Span, lost: u64) {
        let group = group.index();
        if group >= self.profiles.len() {
            self.profiles.resize_with(group + 1, || None);
        }
        self.profiles[group].get_or_insert_default().record(late, lost);
    }

    fn room(&self) -> usize {
        let free = self.events.capacity().map_or(usize::MAX, |all| all - self.events.len().min(all));
        free.saturating_sub(RESERVE * (self.peers.len() + 1)) / self.peers.len()
    }
}
