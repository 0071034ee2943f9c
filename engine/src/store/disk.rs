//! The thread that writes events, and what everybody else may know of it.
//!
//! ```text
//!   healthy   write a batch, sync, tell it
//!   failing   tell at once, out of lent numbers; try again every second; written later, what memory still has
//!   stuck     a call that hasn't come back for two seconds: the journal's own thread tells in its place
//! ```
//!
//! A disk that is full, read-only or broken therefore stops neither heartbeats nor verdicts nor the
//! readers of events. It is logged once when it begins and once when it ends, and stands in the
//! status for as long as it lasts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use systole_core::{Instant, Span};
use tokio::sync::Semaphore;
use tracing::{debug, error, info, warn};

use super::age::Age;
use super::archive::{Archive, Old, Reader};
use super::folder::Folder;
use super::journal::Memory;
use super::numbers::Numbers;
use crate::clock::{Clock, rfc3339};
use crate::config::Events;
use crate::model::{Event, StateDir};
use crate::show;

/// What is known of the disk, for all threads.
#[derive(Debug)]
pub(super) struct Disk {
    clock: Clock,
    folder: Arc<Folder>,
    witness: Option<PathBuf>,
    /// When the call that is under way began, in nanoseconds of our time line; 0 if there is none.
    busy: AtomicU64,
    stuck: AtomicBool,
    /// The first number on the disk; 0 if there is none.
    first: AtomicU64,
    errors: AtomicU64,
    troubles: Mutex<Troubles>,
    /// Up to which number events may be removed: no snapshot needs them.
    free: AtomicU64,
    reader: Mutex<Option<Reader>>,
    readers: Semaphore,
}

/// What is wrong, and what was.
#[derive(Clone, Debug, Default)]
struct Troubles {
    events: Option<Trouble>,
    snapshot: Option<Trouble>,
    snapshot_errors: u64,
    snapshot_last: Option<Taken>,
    refused: Vec<String>,
}

#[derive(Clone, Debug)]
struct Trouble {
    since: u64,
    error: String,
}

/// A snapshot that is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When it was begun, in milliseconds since 1970.
    pub at: u64,
    /// The last event that is certainly in it.
    pub as_of: u64,
    /// How many nodes are in it.
    pub nodes: u64,
}

/// The thread's own.
#[derive(Debug)]
pub(super) struct DiskWriter {
    pub(super) disk: Arc<Disk>,
    pub(super) memory: Arc<Memory>,
    /// None while it can't be opened.
    pub(super) archive: Option<Archive>,
    pub(super) numbers: Numbers,
    pub(super) retention: Events,
    /// By what events are old; nothing until the journal could be read.
    pub(super) age: Option<Age>,
    /// When to remove old events again.
    pub(super) trim_at: Instant,
    pub(super) trim_failing: bool,
    /// Whether it was said that what is lent can't be noted.
    pub(super) lend_failing: bool,
}

impl Disk {
    pub(super) fn new(clock: Clock, folder: Arc<Folder>, numbers: &Numbers, first: Option<u64>) -> Self {
        Self {
            clock,
            folder,
            witness: numbers.witness().map(Into::into),
            busy: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            first: AtomicU64::new(first.unwrap_or(0)),
            errors: AtomicU64::new(0),
            troubles: Mutex::new(Troubles::default()),
            free: AtomicU64::new(0),
            reader: Mutex::new(None),
            readers: Semaphore::new(READERS),
        }
    }

    /// The first number on the disk.
    pub(super) fn first(&self) -> Option<u64> {
        Some(self.first.load(Ordering::Relaxed)).filter(|first| *first > 0)
    }

    /// Whether a call hasn't come back for too long.
    pub(super) fn is_stuck(&self) -> bool {
        let busy = Instant::from_nanos(self.busy.load(Ordering::Relaxed));
        busy > Instant::ORIGIN && self.clock.now().since(busy) > STUCK
    }

    /// Notes, without a look at the disk, that numbers are told which aren't written.
    pub(super) fn lend_in_memory(&self, last: u64) {
        if !self.stuck.swap(true, Ordering::Relaxed) {
            self.note_failing(&format!("it hasn't answered for {STUCK}"));
            if let Err(error) = Numbers::lend_in_memory(self.witness.as_deref(), last) {
                error!("event numbers from here on may be given again after a restart: {error}");
            }
        }
    }

    /// Looks into the journal on disk, on a thread that may wait. Nothing if it can't be read.
    pub(super) async fn page(
        self: &Arc<Self>,
        since: u64,
        until: u64,
        most: usize,
        wanted: impl Fn(&Event) -> bool + Send + 'static,
    ) -> Option<Old> {
        let _place = self.readers.acquire().await.ok()?;
        let disk = Arc::clone(self);
        let look = move || {
            let mut reader = disk.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match reader.take() {
                Some(open) => Ok(open),
                None => Reader::open(&disk.folder.events()),
            };
            let page = open.and_then(|open| open.page(since, until, most, wanted).map(|page| (open, page)));
            match page {
                Ok((open, page)) => {
                    *reader = Some(open).filter(Reader::is_lasting);
                    Some(page)
                }
                Err(error) => {
                    disk.errors.fetch_add(1, Ordering::Relaxed);
                    debug!("events {since} to {until} can't be read back: {error}");
                    None
                }
            }
        };
        tokio::task::spawn_blocking(look).await.ok()?
    }

    /// How it is.
    pub(super) fn report(&self, memory: &Memory) -> StateDir {
        let troubles = self.troubles().clone();
        let error = |trouble: &Option<Trouble>| trouble.as_ref().map(|trouble| trouble.error.clone());
        let since = |trouble: &Option<Trouble>| trouble.as_ref().map(|trouble| rfc3339(trouble.since));
        let taken = troubles.snapshot_last;
        StateDir {
            dir: self.folder.path().display().to_string(),
            failing: error(&troubles.events),
            failing_since: since(&troubles.events),
            errors_total: self.errors.load(Ordering::Relaxed),
            events_first: self.first(),
            events_last: memory.written(),
            events_unwritten_total: memory.unwritten(),
            snapshot_at: taken.map(|taken| rfc3339(taken.at)),
            snapshot_as_of: taken.map(|taken| taken.as_of),
            snapshot_nodes: taken.map(|taken| taken.nodes),
            snapshot_failing: error(&troubles.snapshot),
            snapshot_failing_since: since(&troubles.snapshot),
            snapshot_errors_total: troubles.snapshot_errors,
            refused: troubles.refused,
        }
    }

    pub(super) fn note_refused(&self, file: &str) {
        self.troubles().refused.push(file.to_owned());
    }

    /// Notes that a snapshot is in its place. Events are needed from the one before it on.
    pub(super) fn note_snapshot(&self, taken: Taken) {
        let mut troubles = self.troubles();
        if troubles.snapshot.take().is_some() {
            info!("state directory {}: snapshots are written again", self.folder.path().display());
        }
        if let Some(previous) = troubles.snapshot_last.replace(taken) {
            self.free.store(previous.as_of, Ordering::Relaxed);
        }
    }

    pub(super) fn note_snapshot_failing(&self, why: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut troubles = self.troubles();
        troubles.snapshot_errors += 1;
        if troubles.snapshot.is_none() {
            let dir = self.folder.path().display();
            error!(
                "state directory {dir}: no snapshot can be written: {why}; the one before stays, and it is tried again"
            );
            troubles.snapshot = Some(Trouble { since: self.unix_millis(), error: why.to_owned() });
        }
    }

    pub(super) fn note_failing(&self, why: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut troubles = self.troubles();
        if troubles.events.is_none() {
            let dir = self.folder.path().display();
            error!(
                "state directory {dir}: events can't be written: {why}; heartbeats, verdicts and events go on in memory, \
                 and it is tried again every second"
            );
            troubles.events = Some(Trouble { since: self.unix_millis(), error: why.to_owned() });
        }
    }

    fn note_healed(&self, memory: &Memory) {
        if self.troubles().events.take().is_some() {
            info!(
                "state directory {}: events are written again, up to number {}; {} were forgotten before that since the \
                 start",
                self.folder.path().display(),
                memory.written(),
                memory.unwritten()
            );
        }
    }

    fn forget_reader(&self) {
        drop(self.reader.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn is_failing(&self) -> bool {
        self.troubles().events.is_some()
    }

    fn unix_millis(&self) -> u64 {
        let reading = self.clock.read();
        reading.unix_millis(reading.now)
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskWriter {
    /// Writes until nobody is left who could wake it. Gives itself back, to be closed.
    pub(super) fn run(mut self, wake: &Receiver<()>) -> Self {
        let mut retry_at = self.disk.clock.now();
        loop {
            let now = self.disk.clock.now();
            let next = if self.disk.is_failing() { retry_at } else { self.trim_at };
            let woken = wake.recv_timeout(Duration::from_nanos(next.since(now).nanos()));
            let over = woken == Err(RecvTimeoutError::Disconnected);
            let now = self.disk.clock.now();
            if over || !self.disk.is_failing() || now >= retry_at {
                self.write();
                retry_at = now + RETRY;
            }
            if self.disk.is_failing() {
                self.timed(Self::tell_unwritten);
            } else if !over && self.disk.clock.now() >= self.trim_at {
                self.timed(Self::trim);
            }
            if over {
                return self;
            }
        }
    }

    /// Notes that everything told is on the disk, if it is, and closes it.
    pub(super) fn close(mut self) {
        let written = self.memory.written();
        if !self.disk.is_failing()
            && let Err(error) = self.numbers.close(written)
        {
            warn!("the file of numbers can't be closed: {error}; the next start may leave a gap in the numbers");
        }
        // The last one to leave puts the WAL away.
        self.disk.forget_reader();
        self.archive.take().into_iter().for_each(Archive::close);
    }

    /// Writes everything that waits, or as much as the disk takes.
    fn write(&mut self) {
        loop {
            match self.timed(Self::write_some) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.archive = None;
                    return self.disk.note_failing(&error.to_string());
                }
            }
        }
        let stuck = self.disk.stuck.swap(false, Ordering::Relaxed);
        if stuck || self.disk.is_failing() {
            if let Err(error) = self.numbers.repay(self.memory.written()) {
                debug!("the file of numbers can't be written: {error}");
            }
            self.disk.note_healed(&self.memory);
        }
    }

    /// Lets the journal's own thread see how long this takes.
    fn timed<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        self.disk.busy.store(self.disk.clock.now().nanos(), Ordering::Relaxed);
        let done = call(self);
        self.disk.busy.store(0, Ordering::Relaxed);
        done
    }

    /// Writes a batch. Says whether there was one.
    fn write_some(&mut self) -> Result<bool, rusqlite::Error> {
        let mut archive = match self.archive.take() {
            Some(archive) => archive,
            None => self.reopen()?,
        };
        let records = self.memory.to_write(BATCH);
        let Some(last) = records.last().map(|record| record.seq) else {
            self.archive = Some(archive);
            return Ok(false);
        };
        if let Err(error) = self.numbers.reserve(last) {
            // What is in the database needs no other witness.
            debug!("the file of numbers can't be written: {error}");
        }
        archive.append(records.iter().map(|record| (show::event(record), record.known())))?;
        self.memory.note_written(last);
        if self.disk.first().is_none() {
            self.disk.first.store(records[0].seq, Ordering::Relaxed);
        }
        self.memory.tell(last);
        self.archive = Some(archive);
        Ok(true)
    }

    fn reopen(&mut self) -> Result<Archive, rusqlite::Error> {
        let (archive, refused) = Archive::open(&self.disk.folder)?;
        if refused {
            self.disk.note_refused("events.db");
        }
        self.disk.forget_reader();
        let span = archive.span()?;
        if self.age.is_none() {
            self.age = Some(Age::after(archive.last_at()?, self.disk.clock.read()));
        }
        // A batch whose commit failed may be there all the same.
        self.memory.note_written(span.map_or(0, |(_, last)| last));
        self.disk.first.store(span.map_or(0, |(first, _)| first), Ordering::Relaxed);
        Ok(archive)
    }

    /// Lets readers go on with what can't be written.
    fn tell_unwritten(&mut self) {
        let numbered = self.memory.numbered();
        if numbered > self.memory.written() {
            let lent = self.numbers.lend(numbered);
            let failed_before = std::mem::replace(&mut self.lend_failing, lent.is_err());
            if let Err(error) = lent
                && !failed_before
            {
                let dir = self.disk.folder.path().display();
                error!(
                    "state directory {dir}: event numbers from here on may be given again after a restart, as it can be \
                     noted neither on the disk nor in memory that they are told: {error}"
                );
            }
        }
        self.memory.tell(numbered);
    }

    /// Removes a bite of what is too old or too much.
    fn trim(&mut self) {
        let now = self.disk.clock.now();
        let (last, free) = (self.memory.written(), self.disk.free.load(Ordering::Relaxed));
        let (over, far_over) = (self.retention.retain_max, self.retention.retain_max.saturating_mul(2));
        // Without a newer snapshot old events stay, but not for ever.
        let over = last.saturating_sub(over).min(free).max(last.saturating_sub(far_over));
        let (Some(archive), Some(age)) = (&mut self.archive, self.age) else { return };
        let before = age.before(self.retention.retain, self.disk.clock.read());
        let trimmed = archive.trim(over, &rfc3339(before), free).and_then(|more| Ok((more, archive.span()?)));
        match trimmed {
            Ok((more, span)) => {
                self.disk.first.store(span.map_or(0, |(first, _)| first), Ordering::Relaxed);
                self.trim_at = if more { now } else { now + TRIM };
                self.trim_failing = false;
            }
            Err(error) => {
                self.disk.errors.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.trim_failing, true) {
                    warn!(
                        "state directory {}: old events can't be removed: {error}",
                        self.disk.folder.path().display()
                    );
                }
                self.trim_at = now + TRIM;
            }
        }
    }
}

/// Events written at once.
const BATCH: usize = 4_096;
/// How long a call to the disk may take until readers don't wait for it any more.
const STUCK: Span = Span::from_secs(2);
/// How often to try again.
const RETRY: Span = Span::from_secs(1);
/// How often to look for events that are too old.
const TRIM: Span = Span::from_secs(60);
/// How many may read from the disk at once.
const READERS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::tests::named;
    use crate::store::Record;

    const DAY: u64 = 86_400_000;

    /// A journal with an event for each of these days before today, as the next life finds it.
    fn writer(dir: &std::path::Path, ago: &[u64], retention: Events) -> DiskWriter {
        let clock = Clock::start();
        let folder = Arc::new(Folder::open(dir).expect("it is free"));
        let (mut archive, _) = Archive::open(&folder).expect("it opens");
        let numbers = Numbers::read(&folder.numbers());
        let disk = Arc::new(Disk::new(clock, Arc::clone(&folder), &numbers, Some(1)));
        let now = disk.unix_millis();
        let records = (1..).zip(ago).map(|(seq, ago)| Record { seq, ..named("n", now - ago * DAY) });
        archive.append(records.map(|record| (show::event(&record), record.known()))).expect("it is written");
        disk.free.store(u64::MAX >> 1, Ordering::Relaxed);
        let last = ago.len() as u64;
        DiskWriter {
            memory: Arc::new(Memory::new(10, last, last)),
            age: Some(Age::after(archive.last_at().expect("it is read"), clock.read())),
            archive: Some(archive),
            numbers,
            retention,
            trim_at: clock.now(),
            trim_failing: false,
            lend_failing: false,
            disk,
        }
    }

    fn left(writer: &DiskWriter) -> Option<(u64, u64)> {
        writer.archive.as_ref().expect("it is open").span().expect("it is read")
    }

    #[test]
    fn a_clock_that_was_set_forward_does_not_empty_the_journal() {
        let retain = Span::from_secs(30 * 86_400);
        let retention = Events { retain, ..Events::default() };
        // The last event was just told, a clock ago.
        for (ago, kept) in [(&[400, 31, 29, 0][..], 3), (&[480, 440, 428, 420, 400], 3), (&[500, 400], 2)] {
            let dir = tempfile::tempdir().expect("a directory");
            let mut writer = writer(dir.path(), ago, retention);
            writer.trim();
            assert_eq!(left(&writer), Some((kept, ago.len() as u64)), "{ago:?}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = writer(dir.path(), &[405, 404, 403, 402, 401], Events { retain_max: 2, ..retention });
        writer.trim();
        assert_eq!(left(&writer), Some((4, 5)), "there are never more than there may be");
    }
}
