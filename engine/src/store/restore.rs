//! What the monitor believed when it ended, believed again: the snapshot, and on top of it what the
//! journal has to tell since.
//!
//! ```text
//!   beliefs.snapshot (as of event 900)  +  events 901, 902, ...  ──►  take_over(), each by its share
//! ```
//!
//! So whoever was failed in between stays failed and isn't announced again, and whoever came in between
//! is expected. Which shard a node belongs to is computed anew: there may be more shards, or fewer.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use systole_core::{BeliefError, DEFAULT_GROUP, Liveness, Monitor, NodeId};
use tracing::warn;

use super::archive::Change;
use super::disk::Taken;
use super::folder::Folder;
use super::{Carried, snapshot};
use crate::clock::{Clock, rfc3339};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The nodes that are believed again.
    pub nodes: u64,
    /// The beliefs that found no place, or can't be true here.
    pub left_out: u64,
    /// The events that happened after the snapshot.
    pub events: u64,
    /// The snapshot, if there was one.
    pub snapshot: Option<Taken>,
    /// Files that were kept aside.
    pub refused: Vec<String>,
}

/// What happened to nodes after the snapshot.
#[derive(Debug, Default)]
pub(super) struct Since {
    changes: HashMap<NodeId, Change>,
    events: u64,
}

/// The latest snapshot that can be read, its bytes checked.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) taken: Option<Taken>,
    pub(super) refused: Vec<String>,
}

/// Reads the latest snapshot, or the one before if that can't be used.
pub(super) fn find(folder: &Folder) -> Found {
    let mut refused = Vec::new();
    for path in [folder.snapshot(), folder.snapshot_previous()] {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                warn!("{} can't be read: {error}; starting without it", path.display());
                refused.push(name(&path));
                continue;
            }
        };
        match snapshot::decode(&bytes).map(|it| Taken { at: it.head.taken_at, as_of: it.head.as_of, nodes: it.nodes }) {
            Ok(taken) => return Found { bytes, taken: Some(taken), refused },
            Err(refusal) => {
                folder.refuse(&path, &refusal.to_string());
                refused.push(name(&path));
            }
        }
    }
    Found { bytes: Vec::new(), taken: None, refused }
}

impl Since {
    /// Notes what happened next.
    pub(super) fn note(&mut self, mut change: Change) {
        self.events += 1;
        if let Some(before) = self.changes.get(&change.id) {
            if before.to.is_some() {
                change.last = change.last.max(before.last);
                change.interval = change.interval.or(before.interval);
            }
            change.anew |= before.anew;
        }
        self.changes.insert(change.id, change);
    }
}

/// Lets `monitors`, one for each shard, believe what is in the snapshot and what happened since.
pub(super) fn restore(found: Found, mut since: Since, monitors: &mut [Monitor], clock: Clock) -> Restored {
    let mut restored =
        Restored { events: since.events, snapshot: found.taken, refused: found.refused, ..Restored::default() };
    if let Ok(snapshot) = snapshot::decode(&found.bytes) {
        snapshot.each(|mut carried| {
            let stands = since.changes.remove(&carried.id).is_none_or(|change| apply(&change, &mut carried));
            if stands {
                take_over(&carried, monitors, clock, &mut restored);
            }
        });
    }
    for change in since.changes.into_values() {
        if let Some(carried) = newcomer(change) {
            take_over(&carried, monitors, clock, &mut restored);
        }
    }
    if restored.left_out > 0 {
        warn!("{} beliefs of the former life found no place or can't be true here", restored.left_out);
    }
    restored
}

/// What is believed after a change. Says whether the node is still known.
fn apply(change: &Change, carried: &mut Carried) -> bool {
    let Some(to) = change.to else { return false };
    if to != carried.liveness {
        // The silence that it had announced is over.
        carried.planned = None;
    }
    carried.liveness = to;
    carried.since = change.at;
    // The slice that the node is in may be of after the change.
    carried.last = if change.anew { change.last } else { change.last.max(carried.last) };
    carried.interval = change.interval.or(carried.interval.filter(|_| !change.anew));
    true
}

/// A node that the snapshot didn't know.
fn newcomer(change: Change) -> Option<Carried> {
    Some(Carried {
        id: change.id,
        name: change.name,
        group: change.group.filter(|group| &**group != DEFAULT_GROUP),
        last: change.last,
        liveness: change.to?,
        since: change.at,
        interval: change.interval,
        planned: None,
        load: None,
        payload: None,
    })
}

fn take_over(carried: &Carried, monitors: &mut [Monitor], clock: Clock, restored: &mut Restored) {
    let reading = clock.read();
    let belief = carried.belief(reading);
    let Some(first) = monitors.first() else { return };
    let owner = first.config().plan().share.owner(carried.id) as usize;
    match monitors[owner].take_over(&belief, reading.now) {
        Ok(_) => restored.nodes += 1,
        // Nobody expects it any more.
        Err(BeliefError::Unlisted) => {}
        // A listed node that never came has its grace here already.
        Err(BeliefError::NotNewer) if carried.liveness == Liveness::Unseen => {}
        Err(
            BeliefError::Foreign
            | BeliefError::BadName
            | BeliefError::NameMismatch
            | BeliefError::Contradiction
            | BeliefError::NotNewer
            | BeliefError::TableFull,
        ) => restored.left_out += 1,
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.snapshot {
            None if self.events == 0 => f.write_str("nothing is known of a former life"),
            None => write!(f, "{} nodes believed as before, by {} events and no snapshot", self.nodes, self.events),
            Some(taken) => write!(
                f,
                "{} nodes believed as before, by the snapshot of {} and {} events after it",
                self.nodes,
                rfc3339(taken.at),
                self.events
            ),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::config::{Config, Plan};
    use systole_core::{Backlog, Datagram, Incarnation, Interval, NodeIx, Seq, Share, Span};

    fn monitors(count: u32) -> Vec<Monitor> {
        let shares = (0..count).filter_map(|index| Share::new(index, count));
        let config = |share| Config::new(Plan { share, ..Plan::default() }).expect("a sound plan");
        shares.map(|share| Monitor::new(config(share), Clock::start().now())).collect()
    }

    fn change(name: &str, to: Option<Liveness>, seq: u64) -> Change {
        Change {
            id: NodeId::of(name),
            name: Some(name.into()),
            group: Some("g".into()),
            at: 1_795_435_382_100,
            to,
            anew: to.is_none(),
            last: Some((Incarnation::new(1), Seq::new(seq))),
            interval: Some(Interval::Declared(Span::from_secs(1))),
        }
    }

    fn found(lines: &[&str], folder: &Folder) -> Found {
        let clock = Clock::start();
        let mut former = monitors(3);
        for monitor in &mut former {
            for line in lines {
                let now = clock.now();
                let datagram = Datagram::new(line.as_bytes(), now);
                monitor.turn(now, &[datagram], Backlog::Drained, &mut ());
            }
        }
        snapshot::write_at_the_end(folder, &former, clock.read(), 7).expect("it is written");
        find(folder)
    }

    fn believed(monitors: &[Monitor], name: &str) -> Option<(Liveness, u64)> {
        monitors.iter().find_map(|monitor| {
            let belief = monitor.belief(monitor.find(&NodeId::of(name))?)?;
            Some((belief.liveness, belief.last?.1.number()))
        })
    }

    #[test]
    fn the_snapshot_and_what_happened_since_are_believed_whatever_the_number_of_shards() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = Folder::open(dir.path()).expect("it is free");
        let names: Vec<String> = (0..500).map(|n| format!("n{n}")).collect();
        let lines: Vec<String> = names.iter().map(|name| format!("hb {name} inc=1 seq=5 interval=1s")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut since = Since::default();
        // A change with an older heartbeat than the snapshot's, a newcomer, one that is gone, one that came again.
        since.note(change("n1", Some(Liveness::Failed), 3));
        since.note(change("new", Some(Liveness::Alive), 9));
        since.note(change("n2", None, 5));
        since.note(change("n3", None, 5));
        since.note(change("n3", Some(Liveness::Alive), 1));
        let mut monitors = monitors(2);
        let restored = restore(found(&lines, &folder), since, &mut monitors, Clock::start());
        assert_eq!((restored.nodes, restored.left_out, restored.events), (500, 0, 5));
        assert_eq!(restored.snapshot.map(|taken| (taken.as_of, taken.nodes)), Some((7, 500)));
        assert_eq!(believed(&monitors, "n0"), Some((Liveness::Alive, 5)));
        assert_eq!(believed(&monitors, "n1"), Some((Liveness::Failed, 5)), "replays of 4 and 5 stay refused");
        assert_eq!(believed(&monitors, "new"), Some((Liveness::Alive, 9)));
        assert_eq!(believed(&monitors, "n2"), None);
        assert_eq!(believed(&monitors, "n3"), Some((Liveness::Alive, 1)), "its former life was forgotten");
    }

    #[test]
    fn a_snapshot_that_is_torn_makes_way_for_the_one_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = Folder::open(dir.path()).expect("it is free");
        found(&["hb a inc=1 seq=1 interval=1s"], &folder);
        found(&["hb a inc=1 seq=2 interval=1s"], &folder);
        let bytes = fs::read(folder.snapshot()).expect("it is there");
        fs::write(folder.snapshot(), &bytes[..bytes.len() - 1]).expect("written");
        let found = find(&folder);
        assert_eq!(found.refused, ["beliefs.snapshot"]);
        let mut monitors = monitors(1);
        restore(found, Since::default(), &mut monitors, Clock::start());
        assert_eq!(believed(&monitors, "a"), Some((Liveness::Alive, 1)));
        assert_eq!(monitors[0].belief(NodeIx::new(0)).expect("it is there").name, Some("a"));
    }

    #[test]
    fn a_clock_that_was_set_meanwhile_does_no_harm() {
        let carried = Carried {
            id: NodeId::of("a"),
            name: Some("a".into()),
            group: None,
            last: Some((Incarnation::new(1), Seq::new(1))),
            liveness: Liveness::Alive,
            since: u64::MAX,
            interval: None,
            planned: Some(Span::from_secs(600)),
            load: None,
            payload: None,
        };
        let reading = Clock::start().read();
        let belief = carried.belief(reading);
        assert_eq!(belief.since, reading.now, "nothing holds since a time to come");
        assert_eq!(belief.planned_until, Some(reading.now + Span::from_secs(600)));
        let long_ago = Carried { since: 0, ..carried };
        assert!(long_ago.belief(reading).since < reading.now);
    }
}
