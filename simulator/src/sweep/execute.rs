//! Runs on all cores. Each is a world of its own, so neither their order nor the number of threads
//! shows in any result; only in when it comes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::record::Record;
use crate::run::run_while;
use crate::scenario::Scenario;

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Runs that have ended.
    pub(crate) runs: usize,
    /// Heartbeats sent, those of runs under way included.
    pub(crate) heartbeats: u64,
}

/// Runs all of these and hands each record to `keep` as soon as it is there, until `stop` is set or
/// `keep` fails. A run that is stopped is no result.
///
/// # Errors
/// What `keep` said.
pub(crate) fn execute(
    scenarios: &[Scenario],
    threads: usize,
    stop: &AtomicBool,
    mut show: impl FnMut(Progress),
    mut keep: impl FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (next, sent, broken) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let going = || !stop.load(Ordering::Relaxed) && !broken.load(Ordering::Relaxed);
    let (done, ended) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, scenarios.len().max(1)) {
            let (done, next, sent, going) = (done.clone(), &next, &sent, &going);
            scope.spawn(move || {
                while let (true, Some(scenario)) = (going(), scenarios.get(next.fetch_add(1, Ordering::Relaxed))) {
                    let mut before = 0;
                    let outcome = run_while(scenario, |progress| {
                        sent.fetch_add(progress.sent - before, Ordering::Relaxed);
                        before = progress.sent;
                        going()
                    });
                    sent.fetch_add(outcome.heartbeats - before, Ordering::Relaxed);
                    // Whoever listened is gone only if keeping failed.
                    if outcome.stopped || done.send(Record::of(scenario, &outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut progress = Progress { runs: 0, heartbeats: 0 };
        loop {
            match ended.recv_timeout(LOOK) {
                Ok(record) => {
                    if let Err(error) = keep(record) {
                        broken.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                    progress.runs += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            progress.heartbeats = sent.load(Ordering::Relaxed);
            show(progress);
        }
    })
}

/// How often the bar moves at least.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Group;

    fn scenarios() -> Vec<Scenario> {
        let group = Group { nodes: 5, heartbeats: 5_000, ..Group::default() };
        (0..7).map(|seed| group.clone().alone(seed)).collect()
    }

    fn run(threads: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let keep = |record| {
            records.push(record);
            Ok(())
        };
        execute(&scenarios(), threads, &AtomicBool::new(false), |_| {}, keep).expect("nothing fails");
        records.sort_by_key(|record| record.seed);
        records
    }

    #[test]
    fn the_number_of_threads_shows_in_no_result() {
        let one = run(1);
        assert_eq!(one.len(), 7);
        assert_eq!(one, run(3));
    }

    #[test]
    fn what_is_stopped_is_no_result_and_what_can_not_be_kept_ends_it() {
        let stop = AtomicBool::new(true);
        execute(&scenarios(), 2, &stop, |_| {}, |_| panic!("nothing ends")).expect("nothing fails");
        let failed = execute(&scenarios(), 2, &AtomicBool::new(false), |_| {}, |_| anyhow::bail!("the disk is full"));
        assert!(failed.is_err_and(|error| error.to_string() == "the disk is full"));
    }
}
