//! The latest events in memory, numbered one by one. A gap in the numbers is as many events that
//! couldn't be kept.
//!
//! One writer appends, any number of readers copy pages out under a lock that is held for
//! microseconds; a watch tells them when there is more. When the memory is full the oldest go,
//! and a reader that comes too late is told how many it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Record;

/// The readers' side.
#[derive(Clone, Debug)]
pub struct Journal {
    kept: Arc<Mutex<Kept>>,
    last: watch::Receiver<u64>,
}

/// The writer's side: there is one.
#[derive(Debug)]
pub struct JournalWriter {
    kept: Arc<Mutex<Kept>>,
    last: watch::Sender<u64>,
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

#[derive(Debug)]
struct Kept {
    records: VecDeque<Record>,
    most: usize,
    last: u64,
}

impl Journal {
    /// A journal that keeps the latest `most` events, the first of which has number 1.
    pub fn new(most: usize) -> (Self, JournalWriter) {
        let kept = Arc::new(Mutex::new(Kept { records: VecDeque::new(), most: most.max(1), last: 0 }));
        let (sender, receiver) = watch::channel(0);
        (Self { kept: Arc::clone(&kept), last: receiver }, JournalWriter { kept, last: sender })
    }

    /// The number of the latest event; 0 before the first.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Tells when the number of the latest event changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.clone()
    }

    /// The events after number `since` that are `wanted`, `most` at most. One call looks at no more
    /// than 16,384 events, so that the writer never waits long; `next` says how far it came.
    ///
    /// A `since` beyond the latest event is a number from another life of the monitor. It is taken
    /// for 0, so that whoever resumes with it begins anew with the oldest event kept.
    pub fn page(&self, since: u64, most: usize, wanted: impl Fn(&Record) -> bool) -> Page {
        const LOOK: usize = 16_384;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let since = if since > kept.last { 0 } else { since };
        // The number before the oldest that is kept: what comes after it is all here.
        let before = kept.records.front().map_or(kept.last, |oldest| oldest.seq - 1);
        let start = kept.records.partition_point(|record| record.seq <= since);
        let missed = before.saturating_sub(since);
        let mut page = Page { records: Vec::new(), next: since.clamp(before, kept.last), missed };
        for record in kept.records.range(start..).take(LOOK) {
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
}

impl JournalWriter {
    /// Gives each event its number and keeps it.
    pub fn append(&mut self, records: impl Iterator<Item = Record>) {
        let last = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for record in records {
                kept.last += record.skipped + 1;
                let seq = kept.last;
                if kept.records.len() == kept.most {
                    kept.records.pop_front();
                }
                kept.records.push_back(Record { seq, ..record });
            }
            kept.last
        };
        self.last.send_replace(last);
    }
}

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
