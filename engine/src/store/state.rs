//! A state directory from the start of a monitor to its end.
//!
//! ```text
//!   open ──► restore ──► journal ──► keep ... ──► end
//!   lock     before any   numbers     snapshots     everything written, a last snapshot, a clean note
//!            turn         go on
//! ```

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow};
use crossbeam::channel::{Sender, bounded};
use systole_core::{Monitor, Span};
use tracing::warn;

use super::age::Age;
use super::archive::{Archive, Reader};
use super::disk::{Disk, DiskWriter};
use super::folder::Folder;
use super::journal::Memory;
use super::numbers::Numbers;
use super::restore::{self, Found, Restored, Since};
use super::snapshot::{Taker, write_at_the_end};
use super::{Journal, JournalWriter};
use crate::clock::Clock;
use crate::config::{Events, Setup};
use crate::query::ShardHandle;

/// A state directory that was opened and read.
pub struct State {
    folder: Arc<Folder>,
    disk: Arc<Disk>,
    memory: Arc<Memory>,
    archive: Option<Archive>,
    numbers: Numbers,
    retention: Events,
    every: Span,
    clock: Clock,
    found: Found,
    since: Since,
}

/// The threads that keep what happens.
#[derive(Debug)]
pub struct Keeping {
    folder: Arc<Folder>,
    disk: Arc<Disk>,
    memory: Arc<Memory>,
    clock: Clock,
    writer: JoinHandle<DiskWriter>,
    taker: JoinHandle<()>,
    stop: Option<Sender<()>>,
}

impl State {
    /// Takes the directory at `path` into use. A disk that can't be written to is said loudly, and no
    /// reason not to start.
    ///
    /// # Errors
    /// It isn't there and can't be made, or it is another monitor's.
    pub fn open(path: &Path, setup: &Setup, clock: Clock) -> anyhow::Result<Self> {
        let folder = Arc::new(Folder::open(path)?);
        let mut numbers = Numbers::read(&folder.numbers());
        let found = restore::find(&folder);
        let after = found.taken.map_or(0, |taken| taken.as_of);
        let mut since = Since::default();
        let (archive, span, refused, failing) = match open_archive(&folder, after, &mut since) {
            Ok((archive, span, refused)) => (Some(archive), Ok(span), refused, None),
            Err(error) => (None, read_only(&folder, after, &mut since), false, Some(error)),
        };
        // A journal that was kept aside, or can't be read, doesn't say how far numbers were used.
        let written = span.as_ref().ok().filter(|_| !refused).map(|span| span.map_or(0, |(_, last)| last));
        let used = numbers.used(written).with_context(|| {
            format!(
                "can't read {}, nor how far events.db beside it goes: event numbers that were told would be told again; let \
                 the user that systole runs as read both, or name another directory with --state-dir",
                folder.numbers().display()
            )
        })?;
        let used = used.max(after);
        let ends_with = span.as_ref().ok().copied().flatten().map_or(0, |(_, last)| last);
        let memory = Arc::new(Memory::new(setup.events.keep, used, ends_with));
        let first = span.ok().flatten().map(|(first, _)| first);
        match numbers.begin(used, ends_with) {
            Err(error) if failing.is_none() => warn!("{} can't be written: {error}", folder.numbers().display()),
            Ok(()) | Err(_) => {}
        }
        let disk = Arc::new(Disk::new(clock, Arc::clone(&folder), &numbers, first));
        if let Some(taken) = found.taken {
            disk.note_snapshot(taken);
        }
        if refused {
            disk.note_refused("events.db");
        }
        found.refused.iter().for_each(|file| disk.note_refused(file));
        if let Some(error) = failing {
            disk.note_failing(&error.to_string());
        }
        let (retention, every) = (setup.events, setup.snapshot.every);
        Ok(Self { folder, disk, memory, archive, numbers, retention, every, clock, found, since })
    }

    /// Lets the monitors of all shards believe what was believed before. To be done before their first turn.
    pub fn restore(&mut self, monitors: &mut [Monitor]) -> Restored {
        let found = std::mem::replace(&mut self.found, Found { bytes: Vec::new(), taken: None, refused: Vec::new() });
        restore::restore(found, std::mem::take(&mut self.since), monitors, self.clock)
    }

    /// Starts the threads. Events go on behind the last number there was.
    ///
    /// # Errors
    /// The system won't start a thread.
    pub fn keep(self, shards: Vec<ShardHandle>) -> anyhow::Result<(Keeping, Journal, JournalWriter)> {
        let Self { folder, disk, memory, archive, numbers, retention, every, clock, .. } = self;
        let (wake, woken) = bounded(1);
        // If it can't be read now, it is asked when it can be.
        let last_at = archive.as_ref().and_then(|archive| archive.last_at().ok());
        let age = last_at.map(|last_at| Age::after(last_at, clock.read()));
        let (journal, journal_writer) = Journal::on(Arc::clone(&memory), Arc::clone(&disk), wake);
        let writer = DiskWriter {
            disk: Arc::clone(&disk),
            memory: Arc::clone(&memory),
            archive,
            numbers,
            retention,
            age,
            trim_at: clock.now(),
            trim_failing: false,
            lend_failing: false,
        };
        let writer = spawn("systole-disk", move || writer.run(&woken))?;
        let (stop, stopped) = bounded(0);
        let taker = Taker {
            folder: Arc::clone(&folder),
            disk: Arc::clone(&disk),
            journal: journal.clone(),
            shards,
            clock,
            every,
        };
        let taker = spawn("systole-snapshot", move || taker.run(&stopped))?;
        Ok((Keeping { folder, disk, memory, clock, writer, taker, stop: Some(stop) }, journal, journal_writer))
    }
}

impl Keeping {
    /// Whether both threads still run.
    pub fn is_whole(&self) -> bool {
        !self.writer.is_finished() && !self.taker.is_finished()
    }

    /// Begins no other snapshot and leaves the one that is under way: shards are about to end.
    pub fn begin_end(&mut self) {
        self.stop = None;
    }

    /// Writes what is left, when the shards and the journal have ended: their last events, and what they believe.
    ///
    /// # Errors
    /// A thread had panicked.
    pub fn end(self, monitors: &[Monitor]) -> anyhow::Result<()> {
        let panicked = |_| anyhow!("the keeper of the state directory panicked; that is a bug, please report it");
        drop(self.stop);
        self.taker.join().map_err(panicked)?;
        let writer = self.writer.join().map_err(panicked)?;
        match write_at_the_end(&self.folder, monitors, self.clock.read(), self.memory.numbered()) {
            Ok(taken) => self.disk.note_snapshot(taken),
            Err(error) => self.disk.note_snapshot_failing(&error.to_string()),
        }
        writer.close();
        Ok(())
    }
}

type Opened = (Archive, Option<(u64, u64)>, bool);

fn open_archive(folder: &Folder, after: u64, since: &mut Since) -> Result<Opened, rusqlite::Error> {
    let (archive, refused) = Archive::open(folder)?;
    let span = archive.span()?;
    archive.changes(after, |change| since.note(change))?;
    Ok((archive, span, refused))
}

/// What can be read of a journal that can't be written.
fn read_only(folder: &Folder, after: u64, since: &mut Since) -> Result<Option<(u64, u64)>, rusqlite::Error> {
    *since = Since::default();
    let reader = Reader::open(&folder.events())?;
    let span = reader.span()?;
    reader.changes(after, |change| since.note(change))?;
    Ok(span)
}

fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<JoinHandle<T>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.with_context(|| format!("the system won't start the thread {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;
    use crate::reason::tests::{PROOF, T, record};
    use crate::show;
    use crate::store::Record;
    use systole_core::Liveness;
    use systole_core::event::Cause;

    /// A life of a monitor without nodes.
    struct Life {
        keeping: Keeping,
        journal: Journal,
        writer: JournalWriter,
    }

    impl Life {
        fn begin(dir: &Path) -> Self {
            let setup = Setup { events: Events { keep: 3, ..Events::default() }, ..Setup::default() };
            let mut state = State::open(dir, &setup, Clock::start()).expect("it is free");
            state.restore(&mut []);
            let (keeping, journal, writer) = state.keep(Vec::new()).expect("threads");
            Self { keeping, journal, writer }
        }

        /// Pushes so many events and waits until they are told.
        async fn push(&mut self, events: u64) {
            let until = self.journal.last() + events;
            let one = record(Liveness::Unseen, Liveness::Alive, Cause::FirstHeartbeat, T, PROOF);
            self.writer.append((0..events).map(|_| one.clone()));
            self.journal.watch().wait_for(|last| *last == until).await.expect("it lives");
        }

        fn end(self) {
            drop((self.journal, self.writer));
            self.keeping.end(&[]).expect("nothing panicked");
        }
    }

    async fn all(journal: &Journal) -> Vec<Event> {
        let (mut events, mut since) = (Vec::new(), 0);
        while let Some(older) = journal.older(since, 10, |_| true).await {
            assert_eq!((older.missed, older.anew), (0, false));
            (since, _) = (older.next, events.extend(older.events));
        }
        let page = journal.page(since, 10, |_| true);
        assert_eq!(page.missed, 0);
        events.extend(page.records.iter().map(show::event));
        events
    }

    fn seqs(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.seq).collect()
    }

    #[tokio::test]
    async fn numbers_go_on_over_lives_and_the_past_is_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut told = Vec::new();
        for life in 0..3 {
            let mut monitor = Life::begin(dir.path());
            assert_eq!(monitor.journal.last(), life * 10);
            monitor.push(6).await;
            monitor.push(4).await;
            let events = all(&monitor.journal).await;
            assert_eq!(seqs(&events), (1..=(life + 1) * 10).collect::<Vec<_>>());
            assert_eq!(events[..told.len()], told, "what was told is what is there");
            told = events;
            let state = monitor.journal.state_dir().expect("there is one");
            assert_eq!((state.events_first, state.events_last, state.failing), (Some(1), (life + 1) * 10, None));
            monitor.end();
        }
    }

    #[tokio::test]
    async fn a_number_from_another_life_begins_anew_with_the_oldest_on_the_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut monitor = Life::begin(dir.path());
        monitor.push(8).await;
        let older = monitor.journal.older(99, 10, |_| true).await.expect("there are older ones");
        assert_eq!((seqs(&older.events), older.next, older.anew), (vec![1, 2, 3, 4, 5], 5, true));
        assert_eq!(monitor.journal.older(5, 10, |_| true).await, None, "memory has the rest");
        let few = monitor.journal.older(1, 2, |_| true).await.expect("there are older ones");
        assert_eq!((seqs(&few.events), few.next), (vec![2, 3], 3));
        let none = monitor.journal.older(0, 2, |event| event.seq > 9).await.expect("there are older ones");
        assert_eq!((none.events.len(), none.next), (0, 5), "a filter moves on past what it refuses");
        monitor.end();
    }

    #[tokio::test]
    async fn lost_events_leave_their_numbers_empty_on_the_disk_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut monitor = Life::begin(dir.path());
        let one = record(Liveness::Unseen, Liveness::Alive, Cause::FirstHeartbeat, T, PROOF);
        monitor.push(1).await;
        monitor.writer.append([Record { skipped: 3, ..one }].into_iter());
        monitor.journal.watch().wait_for(|last| *last == 5).await.expect("it lives");
        monitor.push(5).await;
        assert_eq!(seqs(&all(&monitor.journal).await), [1, 5, 6, 7, 8, 9, 10]);
        monitor.end();
    }

    #[tokio::test]
    async fn nothing_is_told_before_it_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut monitor = Life::begin(dir.path());
        let one = record(Liveness::Unseen, Liveness::Alive, Cause::FirstHeartbeat, T, PROOF);
        let mut latest = monitor.journal.watch();
        monitor.writer.append((0..5_000).map(|_| one.clone()));
        let reader = Reader::open(&dir.path().join("events.db")).expect("it opens");
        loop {
            let told = *latest.borrow_and_update();
            let written = reader.span().expect("it is read").map_or(0, |(_, last)| last);
            assert!(written >= told, "{told} was told, {written} written");
            if told == 5_000 {
                break;
            }
            latest.changed().await.expect("it lives");
        }
        monitor.end();
    }

    #[tokio::test]
    async fn a_directory_that_can_not_be_read_is_not_begun_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut monitor = Life::begin(dir.path());
        monitor.push(3).await;
        monitor.end();
        let (numbers, events) = (dir.path().join("numbers"), dir.path().join("events.db"));
        // Root reads whatever has a mode, but no folder.
        let in_the_way = |path: &Path| {
            std::fs::rename(path, path.with_extension("aside")).expect("it is there");
            std::fs::create_dir(path).expect("made");
        };
        in_the_way(&numbers);
        let mut monitor = Life::begin(dir.path());
        assert!(monitor.journal.last() > 3, "the database says how far they went");
        monitor.push(1).await;
        monitor.end();

        in_the_way(&events);
        let setup = Setup::default();
        let Err(refused) = State::open(dir.path(), &setup, Clock::start()) else { panic!("it is begun anew") };
        let refused = format!("{refused:#}");
        assert!(refused.contains(&numbers.display().to_string()) && refused.contains("--state-dir"), "{refused}");
        std::fs::remove_dir(&numbers).expect("it is there");
        State::open(dir.path(), &setup, Clock::start()).expect("a disk that fails is no reason not to start");
    }
}
