//! Where a monitor's words go: events to the journal, foreign messages to their owners, rhythms
//! into histograms. Every way out is a bounded queue that is never waited for, and what didn't fit
//! is counted. Of holds and overloads the last word is kept until it fits: who heard of a beginning
//! hears of the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{Sender, TrySendError};
use systole_core::event::{Note, Sink, Transition};
use systole_core::{Datagram, GroupIx, Instant, NodeId, Share, Source, Span};

use crate::clock::Reading;
use crate::profile::Profile;
use crate::store::{Record, What};

/// Places in the queue of events that verdicts leave to nodes which come back: those can't wait.
/// Each shard leaves as many for every other one, whose verdicts of the moment it can't see.
pub(crate) const RESERVE: usize = 4_096;

/// Scopes whose last word may wait for a place in the queue of events.
const PARKED: usize = 1_024;

/// How long it waits for one when there is no later.
const PARTING: Duration = Duration::from_secs(1);

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
    /// The last words on holds and overloads that found no place, oldest first.
    parked: VecDeque<Record>,
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
            parked: VecDeque::new(),
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

    /// Wakes everyone who was handed something, and the journal hears what found no place before.
    pub fn wake_peers(&mut self) {
        self.keep_parked();
        while self.to_wake != 0 {
            let peer = self.to_wake.trailing_zeros() as usize;
            self.to_wake &= self.to_wake - 1;
            // A peer that can't be woken has ended, and then all are ending.
            let _ = self.peers[peer].waker.wake();
        }
    }

    /// The shard ends: what still waits for a place waits no longer than a second, all in all.
    pub fn part(&mut self) {
        let until = std::time::Instant::now() + PARTING;
        while let Some(first) = self.parked.pop_front() {
            match self.events.send_deadline(Record { skipped: self.skipped, ..first }, until) {
                Ok(()) => self.skipped = 0,
                Err(_) => self.lose(),
            }
        }
    }

    fn keep(&mut self, record: Record) {
        let record = Record { shard: self.shard as u32, ..record };
        // In order, or an end could come before its beginning.
        self.keep_parked();
        let unkept = if self.parked.is_empty() { self.try_keep(record) } else { Some(record) };
        match unkept {
            Some(record) if lasts(&record.what) => self.park(record),
            Some(_) => self.lose(),
            None => {}
        }
    }

    fn keep_parked(&mut self) {
        while let Some(first) = self.parked.pop_front() {
            if let Some(first) = self.try_keep(first) {
                return self.parked.push_front(first);
            }
        }
    }

    /// Gives it back if there is no place.
    fn try_keep(&mut self, record: Record) -> Option<Record> {
        let refused = self.events.try_send(Record { skipped: self.skipped, ..record }).err();
        if refused.is_none() {
            self.skipped = 0;
        }
        refused.map(TrySendError::into_inner)
    }

    /// Keeps it in place of what was said of the same before.
    fn park(&mut self, record: Record) {
        let before = self.parked.iter().position(|parked| is_about_the_same(&parked.what, &record.what));
        if before.and_then(|before| self.parked.remove(before)).is_some() {
            self.lose();
        }
        if self.parked.len() == PARKED {
            return self.lose();
        }
        self.parked.push_back(record);
    }

    const fn lose(&mut self) {
        self.skipped += 1;
        self.events_dropped += 1;
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

/// Whether somebody waits for what will be said next of it.
const fn lasts(what: &What) -> bool {
    match what {
        What::Hold { .. } | What::Overload { .. } => true,
        What::Changed { .. } | What::Noted { .. } => false,
    }
}

fn is_about_the_same(one: &What, other: &What) -> bool {
    match (one, other) {
        (What::Hold { scope: one, .. }, What::Hold { scope: other, .. }) => one == other,
        (What::Overload { reason: one, .. }, What::Overload { reason: other, .. }) => one == other,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::reason::tests::{T, named};
    use crate::store::Journal;
    use crossbeam::channel::{Receiver, bounded};
    use systole_core::Withheld;
    use systole_core::guard::{Change, Tally};

    fn outlet(events: Sender<Record>) -> Outlet {
        let share = Share::new(3, 4).expect("one of four");
        Outlet::new(3, share, events, Arc::new([]), Arc::default(), Clock::start().read())
    }

    fn hold(scope: &str, change: Change) -> Record {
        let what = What::Hold { scope: scope.into(), change, tally: Tally::default(), until: T };
        Record { what, ..named("", T) }
    }

    /// What is said of which scope, and how many were lost before it.
    fn told(events: &Receiver<Record>) -> Vec<(String, &'static str, u64)> {
        let said = |record: Record| {
            assert_eq!(record.shard, 3);
            let scope = match &record.what {
                What::Hold { scope, .. } => scope.to_string(),
                What::Changed { node, .. } | What::Noted { node, .. } => node.to_string(),
                What::Overload { reason, .. } => reason.name().to_owned(),
            };
            (scope, record.cause(), record.skipped)
        };
        events.try_iter().map(said).collect()
    }

    #[test]
    fn the_last_word_on_each_hold_waits_for_a_place_and_goes_first() {
        let (sender, events) = bounded(2);
        let mut outlet = outlet(sender);
        for scope in ["group a", "group b"] {
            outlet.keep(hold(scope, Change::Held));
        }
        for (scope, change) in [("group a", Change::Expired), ("group b", Change::Ended), ("group a", Change::Ended)] {
            outlet.keep(hold(scope, change));
        }
        outlet.keep(named("n", T));
        assert_eq!(outlet.events_dropped, 2, "one that was outdone, and a node's");
        assert_eq!(told(&events), [("group a".into(), "hold", 0), ("group b".into(), "hold", 0)]);

        outlet.keep(named("m", T));
        assert_eq!(told(&events), [("group b".into(), "hold_ended", 2), ("group a".into(), "hold_ended", 0)]);
        outlet.keep(named("o", T));
        assert_eq!(told(&events), [("o".into(), "first_heartbeat", 1)]);
    }

    #[test]
    fn what_waits_is_told_though_nothing_else_happens() {
        let (sender, events) = bounded(1);
        let mut outlet = outlet(sender);
        outlet.keep(named("n", T));
        for over in [false, true] {
            outlet.keep(Record { what: What::Overload { reason: Withheld::Drops, over }, ..named("", T) });
        }
        outlet.wake_peers();
        assert_eq!(told(&events), [("n".into(), "first_heartbeat", 0)]);
        outlet.wake_peers();
        assert_eq!(told(&events), [(Withheld::Drops.name().into(), "overload_over", 1)]);
    }

    #[test]
    fn what_waits_when_the_shard_ends_is_told_before_it_goes() {
        let (sender, events) = bounded(1);
        let mut outlet = outlet(sender);
        outlet.keep(named("n", T));
        outlet.keep(hold("group a", Change::Held));
        let reader = std::thread::spawn(move || (events.recv().map(|_| ()), told_by(&events)));
        outlet.part();
        drop(outlet);
        let (first, rest) = reader.join().expect("it reads");
        assert_eq!(first, Ok(()));
        assert_eq!(rest, [("group a".to_owned(), "hold")]);
    }

    /// All that is said until nobody is left to say anything.
    fn told_by(events: &Receiver<Record>) -> Vec<(String, &'static str)> {
        let said = |record: Record| match &record.what {
            What::Hold { scope, .. } => (scope.to_string(), record.cause()),
            other => panic!("{other:?}"),
        };
        events.iter().map(said).collect()
    }

    #[test]
    fn no_more_waits_than_there_is_room_for() {
        let (sender, events) = bounded(PARKED + 2);
        let mut outlet = outlet(sender);
        for node in 0..PARKED + 2 {
            outlet.keep(named(&node.to_string(), T));
        }
        for scope in 0..PARKED + 5 {
            outlet.keep(hold(&format!("label rack={scope}"), Change::Held));
        }
        assert_eq!((outlet.parked.len(), outlet.events_dropped), (PARKED, 5));
        told(&events);
        outlet.wake_peers();
        let told = told(&events);
        assert_eq!((told.len(), told.iter().map(|(_, _, skipped)| skipped).sum::<u64>()), (PARKED, 5));
    }

    #[tokio::test]
    async fn a_hold_that_found_no_place_does_not_silence_the_next_one() {
        let (sender, events) = bounded(1);
        let (journal, writer) = Journal::new(100);
        let mut outlet = outlet(sender);
        outlet.keep(hold("fleet", Change::Held));
        // Its end and the next beginning find no place; the beginning is the last word.
        outlet.keep(hold("fleet", Change::Ended));
        outlet.keep(hold("fleet", Change::Held));
        let writing = std::thread::spawn(move || writer.keep(&events, &crate::pulse::Pulse::default()));
        let mut last = journal.watch();
        last.wait_for(|last| *last == 1).await.expect("it lives");
        outlet.wake_peers();
        last.wait_for(|last| *last == 3).await.expect("it lives");
        outlet.keep(hold("fleet", Change::Ended));
        last.wait_for(|last| *last == 4).await.expect("it lives");
        drop(outlet);
        writing.join().expect("it doesn't panic");
        let page = journal.page(0, 10, |_| true);
        let told: Vec<_> = page.records.iter().map(|record| (record.seq, record.cause())).collect();
        assert_eq!(told, [(1, "hold"), (3, "hold"), (4, "hold_ended")]);
    }
}
