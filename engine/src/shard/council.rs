//! What the other shards see of a group that is nobody's alone.
//!
//! The nodes of a group are dealt out to all shards, so that two silent ones of five here and two
//! there are four of ten. Ten times a second, if anything changed, each shard tells the others how
//! many are silent and alive in each guarded scope; the sum of what it was told last goes into its
//! own guard. Nothing is shared and nothing waited for: what doesn't fit into a queue is told next time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};
use systole_core::guard::{ScopeName, Tally};
use systole_core::{Instant, Liveness, Monitor, Span};

/// How often the others are told.
const EVERY: Span = Span::from_millis(100);

/// What of one shard may wait for another.
const QUEUE: usize = 64;

/// What one shard sees, by the names of scopes.
type Seen = Arc<[(Box<str>, Tally)]>;

/// One shard's seat among all.
#[derive(Debug)]
pub struct Council {
    shard: usize,
    others: Vec<(usize, Sender<(usize, Seen)>)>,
    heard: Receiver<(usize, Seen)>,
    /// What each was last heard to see.
    seen: Vec<Seen>,
    told: Option<(Instant, Seen)>,
}

impl Council {
    /// One seat for each of so many shards.
    pub fn seats(shards: usize) -> Vec<Self> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..shards).map(|_| bounded(QUEUE * shards)).unzip();
        let nothing: Seen = Arc::new([]);
        let seat = |(shard, heard): (usize, _)| Self {
            shard,
            others: senders.iter().cloned().enumerate().filter(|(other, _)| *other != shard).collect(),
            heard,
            seen: vec![Arc::clone(&nothing); shards],
            told: None,
        };
        receivers.into_iter().enumerate().map(seat).collect()
    }

    /// Tells the others what this shard sees, and its guard what they see. Says when to come again at the latest.
    pub fn exchange(&mut self, now: Instant, monitor: &mut Monitor) -> Option<Instant> {
        if self.others.is_empty() {
            return None;
        }
        self.listen(monitor);
        let due = self.told.as_ref().map_or(now, |(at, _)| *at + EVERY);
        if now < due {
            let silent = monitor.groups().iter().any(|group| group.count(Liveness::Suspect) > 0);
            return silent.then_some(due);
        }
        let seen: Seen = monitor.tallies().map(|(scope, tally)| (scope.to_string().into(), tally)).collect();
        let news = self.told.as_ref().is_none_or(|(_, told)| *told != seen);
        let told =
            !news || self.others.iter().all(|(_, other)| other.try_send((self.shard, Arc::clone(&seen))).is_ok());
        if told {
            self.told = Some((now, seen));
        }
        None
    }

    fn listen(&mut self, monitor: &mut Monitor) {
        let mut sums: BTreeMap<Box<str>, Tally> = BTreeMap::new();
        let mut news = false;
        for (shard, seen) in self.heard.try_iter() {
            // What it no longer names there is none of.
            let gone = std::mem::replace(&mut self.seen[shard], seen);
            sums.extend(gone.iter().map(|(scope, _)| (scope.clone(), Tally::default())));
            news = true;
        }
        if !news {
            return;
        }
        for (scope, tally) in self.seen.iter().flat_map(|seen| seen.iter()) {
            let sum = sums.entry(scope.clone()).or_default();
            *sum = *sum + *tally;
        }
        for (scope, tally) in &sums {
            if let Some(scope) = ScopeName::parse(scope) {
                monitor.elsewhere(scope, *tally);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::config::{Config, GuardSettings, Plan};
    use systole_core::{Backlog, Datagram};

    fn monitor(lines: &[&str], now: Instant) -> Monitor {
        let plan = Plan { guard: Some(GuardSettings::default()), ..Plan::default() };
        let mut monitor = Monitor::new(Config::new(plan).expect("a plan"), now);
        for line in lines {
            let datagram = Datagram::new(line.as_bytes(), now);
            monitor.turn(now, &[datagram], Backlog::Drained, &mut ());
        }
        monitor
    }

    #[test]
    fn each_hears_the_sum_of_what_the_others_see_and_forgets_what_is_gone() {
        let now = Instant::from_nanos(1_000_000_000);
        let mut seats = Council::seats(3);
        let mut monitors = [
            monitor(&["hb a group=g"], now),
            monitor(&["hb b group=g", "hb c group=g"], now),
            monitor(&["hb d group=g", "hb e group=h"], now),
        ];
        let mut later = now;
        let mut exchange = |monitors: &mut [Monitor; 3]| {
            later = later + EVERY;
            for _ in 0..2 {
                for (seat, monitor) in seats.iter_mut().zip(monitors.iter_mut()) {
                    seat.exchange(later, monitor);
                }
            }
            let alive = |seat: &Council, scope: &str| -> u32 {
                let others = seat.seen.iter().flat_map(|seen| seen.iter());
                others.filter(|(name, _)| **name == *scope).map(|(_, tally)| tally.alive).sum()
            };
            [alive(&seats[0], "group g"), alive(&seats[1], "group g"), alive(&seats[0], "group h")]
        };
        assert_eq!(exchange(&mut monitors), [3, 2, 1]);
        let d = monitors[2].find(&systole_core::NodeId::of("d")).expect("it is there");
        monitors[2].forget(d, now);
        assert_eq!(exchange(&mut monitors), [2, 1, 1]);
    }

    #[test]
    fn a_shard_alone_has_nobody_to_tell() {
        let now = Instant::from_nanos(1_000_000_000);
        let mut seats = Council::seats(1);
        assert_eq!(seats[0].exchange(now, &mut monitor(&["hb a"], now)), None);
    }
}
