//! Events, numbered one by one: the latest in memory, all of them on disk if there is a state
//! directory. A gap in the numbers is as many events that couldn't be kept.
//!
//! ```text
//!   shards ──► number, remember ──► write, sync ──► tell: readers see the number
//!              (systole-journal)    (systole-disk)
//! ```
//!
//! An event is told when it is on the disk, so that no number a reader ever saw is given out again
//! by the next life. Without a disk, or while it fails, it is told at once. Readers copy pages out under
//! a lock that is held for microseconds; a watch tells them when there is more.

use std::collections::VecDeque;
use std::iter;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, never, select};
use tokio::sync::watch;

use super::archive::Old;
use super::disk::Disk;
use super::{Chorus, Record};
use crate::model::{Event, StateDir};
use crate::pulse::Pulse;

/// The readers' side.
#[derive(Clone, Debug)]
pub struct Journal {
    memory: Arc<Memory>,
    last: watch::Receiver<u64>,
    disk: Option<Arc<Disk>>,
    settle: Option<Sender<Settle>>,
}

/// The writer's side: there is one.
#[derive(Debug)]
pub struct JournalWriter {
    memory: Arc<Memory>,
    disk: Option<Arc<Disk>>,
    settle: Receiver<Settle>,
    wake: Option<Sender<()>>,
}

/// Some events in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The wanted ones, oldest first.
    pub records: Vec<Record>,
    /// The number up to which this page looked.
    pub next: u64,
    /// How many between `since` and the oldest kept are gone.
    pub missed: u64,
}

/// Events that memory has no longer.
#[derive(Clone, Debug, PartialEq)]
pub struct Older {
    /// The wanted ones, oldest first.
    pub events: Vec<Event>,
    /// The number up to which this page looked.
    pub next: u64,
    /// How many between `since` and the oldest kept are gone.
    pub missed: u64,
    /// Whether `since` was a number of another life, and the page begins with the oldest event.
    pub anew: bool,
}

/// Asks for the number of the last event that was pushed before.
pub(super) type Settle = Sender<u64>;

/// The latest events.
#[derive(Debug)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
    /// Signalled when there is room again.
    room: Condvar,
    last: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    records: VecDeque<Record>,
    most: usize,
    /// The last number given.
    numbered: u64,
    /// The last number that readers may see.
    told: u64,
    /// The last number on the disk; where there is none, the last there can be.
    written: u64,
    /// How many were told, and forgotten before the disk took them.
    unwritten: u64,
}

impl Journal {
    /// A journal in memory that keeps the latest `most` events, the first of which has number 1.
    pub fn new(most: usize) -> (Self, JournalWriter) {
        let memory = Arc::new(Memory::new(most, 0, u64::MAX));
        let journal = Self { last: memory.last.subscribe(), memory: Arc::clone(&memory), disk: None, settle: None };
        (journal, JournalWriter { memory, disk: None, settle: never(), wake: None })
    }

    /// One whose events go to `disk` too, through the thread that `wake` wakes, after number `last`.
    pub(super) fn on(memory: Arc<Memory>, disk: Arc<Disk>, wake: Sender<()>) -> (Self, JournalWriter) {
        let (settle, settled) = bounded(1);
        let journal = Self {
            last: memory.last.subscribe(),
            memory: Arc::clone(&memory),
            disk: Some(Arc::clone(&disk)),
            settle: Some(settle),
        };
        (journal, JournalWriter { memory, disk: Some(disk), settle: settled, wake: Some(wake) })
    }

    /// The number of the latest event; 0 before the first.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Tells when the number of the latest event changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.clone()
    }

    /// How the state directory is; nothing if there is none.
    pub fn state_dir(&self) -> Option<StateDir> {
        self.disk.as_ref().map(|disk| disk.report(&self.memory))
    }

    /// The events after number `since` that are `wanted`, `most` at most. One call looks at no more
    /// than 16,384 events, so that the writer never waits long; `next` says how far it came.
    ///
    /// A `since` beyond the latest event is a number from another life of the monitor. It is taken
    /// for 0, so that whoever resumes with it begins anew with the oldest event kept.
    pub fn page(&self, since: u64, most: usize, wanted: impl Fn(&Record) -> bool) -> Page {
        const LOOK: usize = 16_384;
        let kept = self.memory.lock();
        let since = if since > kept.told { 0 } else { since };
        let before = kept.before();
        let start = kept.records.partition_point(|record| record.seq <= since);
        let end = kept.records.partition_point(|record| record.seq <= kept.told);
        let missed = before.saturating_sub(since);
        let mut page = Page { records: Vec::new(), next: since.clamp(before, kept.told), missed };
        for record in kept.records.range(start..end.max(start)).take(LOOK) {
            if page.records.len() == most {
                break;
            }
            page.next = record.seq;
            if wanted(record) {
                page.records.push(record.clone());
            }
        }
        page
    }

    /// As [`page`](Self::page), of what is on the disk and no longer in memory. Nothing if memory has
    /// all there is after `since`. One call looks at no more than 4,096 events.
    pub async fn older(
        &self,
        since: u64,
        most: usize,
        wanted: impl Fn(&Event) -> bool + Send + 'static,
    ) -> Option<Older> {
        // Whoever asks a disk that doesn't answer doesn't come back either.
        let disk = self.disk.as_ref().filter(|disk| !disk.is_stuck())?;
        let (before, told, written) = {
            let kept = self.memory.lock();
            (kept.before(), kept.told, kept.written)
        };
        let anew = since > told;
        let since = if anew { 0 } else { since };
        let first = disk.first()?;
        let from = since.max(first - 1);
        let until = before.min(written);
        if from >= until {
            return None;
        }
        let Old { events, next } = disk.page(from, until, most, wanted).await?;
        Some(Older { events, next, missed: from - since, anew })
    }

    /// The number of the last event that was decided by now, once it is told. Nothing if that takes longer
    /// than `within`, or if there is no disk.
    pub(super) fn settled(&self, within: Duration) -> Option<u64> {
        let (reply, number) = bounded(1);
        self.settle.as_ref()?.send_timeout(reply, within).ok()?;
        let number = number.recv_timeout(within).ok()?;
        self.memory.wait_told(number, within).then_some(number)
    }
}

impl JournalWriter {
    /// Gives each event its number and keeps it.
    pub fn append(&mut self, records: impl Iterator<Item = Record>) {
        self.memory.number(records);
        let Some(wake) = &self.wake else { return self.memory.tell(u64::MAX) };
        // If it is full, the other side is about to look.
        let _ = wake.try_send(());
        while !self.memory.has_room(LOOK) {
            self.watch_disk();
        }
    }

    /// Keeps events as they come, many at a time, until the last shard has gone.
    pub fn keep(mut self, events: &Receiver<Record>, pulse: &Pulse) {
        let mut chorus = Chorus::default();
        loop {
            select! {
                recv(events) -> first => match first {
                    Ok(first) => {
                        let records = iter::once(first).chain(events.try_iter().take(BATCH));
                        self.append(records.filter_map(|record| chorus.news(record)));
                    }
                    Err(_) => return,
                },
                recv(self.settle) -> reply => match reply {
                    Ok(reply) => {
                        let records = events.try_iter().take(events.len());
                        self.append(records.filter_map(|record| chorus.news(record)));
                        // Whoever asked may have given up.
                        let _ = reply.try_send(self.memory.lock().numbered);
                    }
                    Err(_) => self.settle = never(),
                },
                default(LOOK) => {}
            }
            self.watch_disk();
            pulse.beat();
        }
    }

    /// Tells what waits, if the disk hasn't answered for too long.
    fn watch_disk(&self) {
        if let Some(disk) = &self.disk
            && disk.is_stuck()
        {
            let numbered = self.memory.lock().numbered;
            disk.lend_in_memory(numbered);
            self.memory.tell(numbered);
        }
    }
}

impl Memory {
    /// After number `last`; `written` is the last one on the disk.
    pub(super) fn new(most: usize, last: u64, written: u64) -> Self {
        let most = most.max(1);
        let kept = Kept { records: VecDeque::new(), most, numbered: last, told: last, written, unwritten: 0 };
        Self { kept: Mutex::new(kept), room: Condvar::new(), last: watch::Sender::new(last) }
    }

    /// The last number given.
    pub(super) fn numbered(&self) -> u64 {
        self.lock().numbered
    }

    /// The last number on the disk.
    pub(super) fn written(&self) -> u64 {
        self.lock().written
    }

    /// How many were told, and forgotten before the disk took them.
    pub(super) fn unwritten(&self) -> u64 {
        self.lock().unwritten
    }

    /// The oldest events that aren't on the disk, `most` at most.
    pub(super) fn to_write(&self, most: usize) -> Vec<Record> {
        let kept = self.lock();
        let start = kept.records.partition_point(|record| record.seq <= kept.written);
        kept.records.range(start..).take(most).cloned().collect()
    }

    /// Notes that everything up to this number that is here is on the disk.
    pub(super) fn note_written(&self, number: u64) {
        let mut kept = self.lock();
        kept.written = kept.written.max(number);
    }

    /// Lets readers see everything up to this number.
    pub(super) fn tell(&self, number: u64) {
        let told = {
            let mut kept = self.lock();
            kept.told = kept.told.max(number.min(kept.numbered));
            kept.forget();
            kept.told
        };
        self.room.notify_all();
        self.last.send_if_modified(|last| {
            let more = *last < told;
            *last = (*last).max(told);
            more
        });
    }

    fn number(&self, records: impl Iterator<Item = Record>) {
        let mut kept = self.lock();
        for record in records {
            kept.numbered += record.skipped + 1;
            let seq = kept.numbered;
            kept.records.push_back(Record { seq, ..record });
        }
    }

    /// Waits `within` for room for more. Says whether there is.
    fn has_room(&self, within: Duration) -> bool {
        let kept = self.lock();
        let full = |kept: &mut Kept| kept.records.len() >= kept.most.saturating_add(WAITING_MAX);
        let waited = self.room.wait_timeout_while(kept, within, full).unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    fn wait_told(&self, number: u64, within: Duration) -> bool {
        let kept = self.lock();
        let waits = |kept: &mut Kept| kept.told < number;
        let waited = self.room.wait_timeout_while(kept, within, waits).unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The number before the oldest that readers find here: what comes after it is all here.
    fn before(&self) -> u64 {
        self.records.front().map_or(self.told, |oldest| (oldest.seq - 1).min(self.told))
    }

    /// Drops the oldest beyond the most, but none that readers haven't been told of.
    fn forget(&mut self) {
        while self.records.len() > self.most && self.records.front().is_some_and(|oldest| oldest.seq <= self.told) {
            let oldest = self.records.pop_front();
            self.unwritten += u64::from(oldest.is_some_and(|oldest| oldest.seq > self.written));
        }
    }
}

/// Events taken from the queue at once.
const BATCH: usize = 1_024;

/// Events that may wait for the disk beyond those that memory keeps: some 250 MB. Then the queue fills.
const WAITING_MAX: usize = 1 << 20;

/// How often to look whether the disk still answers.
const LOOK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::tests::{T, named};

    fn record(node: &str) -> Record {
        named(node, T)
    }

    fn seqs(page: &Page) -> Vec<u64> {
        page.records.iter().map(|record| record.seq).collect()
    }

    #[test]
    fn numbers_start_at_one_and_a_reader_goes_on_where_it_stopped() {
        let (journal, mut writer) = Journal::new(10);
        assert_eq!(journal.page(0, 5, |_| true), Page { records: vec![], next: 0, missed: 0 });
        writer.append(["a", "b", "c"].into_iter().map(record));
        let page = journal.page(0, 2, |_| true);
        assert_eq!((seqs(&page), page.next), (vec![1, 2], 2));
        let page = journal.page(2, 2, |_| true);
        assert_eq!((seqs(&page), page.next, journal.last()), (vec![3], 3, 3));
    }

    #[test]
    fn a_reader_that_comes_too_late_is_told_how_many_it_missed() {
        let (journal, mut writer) = Journal::new(3);
        writer.append((0..10).map(|_| record("a")));
        let page = journal.page(2, 10, |_| true);
        assert_eq!((seqs(&page), page.missed), (vec![8, 9, 10], 5));
        let page = journal.page(10, 10, |_| true);
        assert_eq!((seqs(&page), page.missed, page.next), (vec![], 0, 10));
    }

    #[test]
    fn a_number_from_another_life_of_the_monitor_begins_anew() {
        let (journal, mut writer) = Journal::new(3);
        assert_eq!(journal.page(99, 10, |_| true), Page { records: vec![], next: 0, missed: 0 });
        writer.append((0..2).map(|_| record("a")));
        for since in [3, u64::MAX] {
            let page = journal.page(since, 10, |_| true);
            assert_eq!((seqs(&page), page.next, page.missed), (vec![1, 2], 2, 0));
        }
        assert_eq!(seqs(&journal.page(2, 10, |_| true)), [] as [u64; 0], "the latest is no number of another life");
        writer.append((0..2).map(|_| record("a")));
        let page = journal.page(99, 10, |_| true);
        assert_eq!((seqs(&page), page.next, page.missed), (vec![2, 3, 4], 4, 1));
    }

    #[test]
    fn lost_events_leave_their_numbers_empty() {
        let (journal, mut writer) = Journal::new(100);
        writer.append([record("a"), Record { skipped: 3, ..record("b") }, record("c")].into_iter());
        let page = journal.page(1, 10, |_| true);
        assert_eq!((seqs(&page), page.next, page.missed), (vec![5, 6], 6, 0));
        assert_eq!(seqs(&journal.page(3, 10, |_| true)), [5, 6]);
    }

    #[test]
    fn a_filter_moves_on_past_what_it_refuses() {
        let (journal, mut writer) = Journal::new(100);
        writer.append((0..50).map(|i| record(if i == 40 { "x" } else { "a" })));
        let page = journal.page(0, 10, |record| record.node() == Some("x"));
        assert_eq!((seqs(&page), page.next), (vec![41], 50));
    }
}
