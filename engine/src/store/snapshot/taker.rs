//! The thread that takes snapshots: asks for slices, packs them, writes them aside and renames.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use systole_core::{Monitor, NodeIx, Span};

use super::format::{Encoder, Head};
use super::record::emit;
use crate::clock::{Clock, Reading};
use crate::query::{Beliefs, Query, SLICE, ShardHandle, Unavailable};
use crate::store::Journal;
use crate::store::disk::{Disk, Taken};
use crate::store::folder::Folder;

/// What the thread works with.
pub(in crate::store) struct Taker {
    pub(in crate::store) folder: Arc<Folder>,
    pub(in crate::store) disk: Arc<Disk>,
    pub(in crate::store) journal: Journal,
    pub(in crate::store) shards: Vec<ShardHandle>,
    pub(in crate::store) clock: Clock,
    pub(in crate::store) every: Span,
}

/// Why there is no snapshot this time.
#[derive(Debug, thiserror::Error)]
enum Missed {
    #[error("{0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    Shard(#[from] Unavailable),
    #[error("what happened until it was taken isn't written after {} s", SETTLED.as_secs())]
    Unsettled,
    /// The monitor stops, and takes another one at its end.
    #[error("the monitor stops")]
    Stopping,
}

impl Taker {
    /// Takes one every so often, until the other end of `stop` is dropped.
    pub(in crate::store) fn run(self, stop: &Receiver<()>) {
        let every = Duration::from_nanos(self.every.nanos());
        while stop.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            match self.take(stop) {
                Ok(taken) => self.disk.note_snapshot(taken),
                Err(Missed::Stopping) => abandon(&self.folder),
                // A shard that ends is no trouble while everything does.
                Err(_) if stop.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Disconnected) => {
                    abandon(&self.folder);
                }
                Err(missed @ (Missed::Disk(_) | Missed::Shard(_) | Missed::Unsettled)) => {
                    abandon(&self.folder);
                    self.disk.note_snapshot_failing(&missed.to_string());
                }
            }
        }
    }

    fn take(&self, stop: &Receiver<()>) -> Result<Taken, Missed> {
        let head = head(self.clock.read(), self.journal.last());
        let mut encoder = begin(&self.folder, head)?;
        for shard in &self.shards {
            let mut from = Some(0);
            while let Some(place) = from {
                let Beliefs { bytes, count, next } = ask(shard, place, stop)?;
                encoder.block(&bytes, count)?;
                from = next;
            }
        }
        // What a shard believed in a slice it may have decided since the last event that was told.
        self.journal.settled(SETTLED).ok_or(Missed::Unsettled)?;
        Ok(finish(&self.folder, encoder, head)?)
    }
}

/// Writes the beliefs of shards that have ended.
///
/// # Errors
/// The disk doesn't take them; the snapshot before stays.
pub(in crate::store) fn write_at_the_end(
    folder: &Folder,
    monitors: &[Monitor],
    reading: Reading,
    as_of: u64,
) -> io::Result<Taken> {
    write_all(folder, monitors, reading, as_of).inspect_err(|_| abandon(folder))
}

fn write_all(folder: &Folder, monitors: &[Monitor], reading: Reading, as_of: u64) -> io::Result<Taken> {
    let head = head(reading, as_of);
    let mut encoder = begin(folder, head)?;
    let mut raw = Vec::new();
    for monitor in monitors {
        for from in (0..monitor.places()).step_by(SLICE) {
            raw.clear();
            let places = from..(from + SLICE).min(monitor.places());
            let beliefs = places.filter_map(|place| monitor.belief(NodeIx::new(place)));
            let count = beliefs.map(|belief| emit(&belief, reading, &mut raw)).count();
            encoder.block(&raw, count as u32)?;
        }
    }
    finish(folder, encoder, head)
}

/// One slice. A shard that has too many questions waiting is asked again.
fn ask(shard: &ShardHandle, from: usize, stop: &Receiver<()>) -> Result<Beliefs, Missed> {
    let mut tries = 0;
    loop {
        let (reply, answer) = bounded(1);
        let pause = match shard.ask(Query::Beliefs { from, reply }) {
            Ok(()) => Duration::ZERO,
            Err(Unavailable::Busy(_)) if tries < TRIES => PAUSE,
            Err(error @ (Unavailable::Busy(_) | Unavailable::Silent(_))) => return Err(error.into()),
        };
        if stop.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return Err(Missed::Stopping);
        }
        if pause.is_zero() {
            return answer.recv_timeout(WITHIN).map_err(|_| Unavailable::Silent(shard.shard).into());
        }
        tries += 1;
    }
}

/// Half of one is of no use to anybody, and takes the room of events.
fn abandon(folder: &Folder) {
    let _ = fs::remove_file(folder.snapshot_unfinished());
}

fn head(reading: Reading, as_of: u64) -> Head {
    Head { as_of, taken_at: reading.unix_millis(reading.now) }
}

fn begin(folder: &Folder, head: Head) -> io::Result<Encoder<BufWriter<File>>> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(folder.snapshot_unfinished())?;
    Encoder::new(BufWriter::with_capacity(1 << 20, file), head)
}

/// Gives the snapshot its name when all of it is on the disk, and the one before another.
fn finish(folder: &Folder, encoder: Encoder<BufWriter<File>>, head: Head) -> io::Result<Taken> {
    let (mut out, nodes) = encoder.finish()?;
    out.flush()?;
    out.get_ref().sync_all()?;
    match fs::rename(folder.snapshot(), folder.snapshot_previous()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::rename(folder.snapshot_unfinished(), folder.snapshot())?;
    folder.sync()?;
    Ok(Taken { at: head.taken_at, as_of: head.as_of, nodes })
}

/// How often to ask a shard that is busy, and how long to leave it alone in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// How long a shard may take to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// How long events may take to be written and told: a million at once do take their time.
const SETTLED: Duration = Duration::from_secs(60);
