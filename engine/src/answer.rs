//! What a shard's monitor answers to the questions of `query.rs`: copies of numbers, nothing formatted.
//!
//! All of it runs on the shard's thread, between two batches, so each answer is a bounded piece of
//! work: one node, one slice of 2,048 places, one pass over the groups. Times stay on the
//! monotonic line and nothing becomes text; whoever asked does that on a thread that has the time.

use systole_core::auth::REASONS;
use systole_core::guard::Hold;
use systole_core::{Called, Group, GroupIx, Liveness, Monitor, NodeIx, NodeView, Payload, Withheld};

use crate::clock::Reading;
use crate::model::Counts;
use crate::profile::Profile;
use crate::query::{AuthReport, Beliefs, Filter, GroupReport, HeldReport, HoldReport, Row, SLICE, Slice};
use crate::store::snapshot;

/// One node.
pub fn row(monitor: &Monitor, view: &NodeView<'_>) -> Row {
    let held = monitor.held(view.ix);
    Row {
        place: view.ix.index(),
        node: view.called.to_string(),
        group: view.group.name().to_owned(),
        liveness: view.liveness,
        since: view.since,
        due: view.due,
        load: view.load,
        payload: view.payload.map(|payload| Box::new(payload.clone())),
        evidence: view.evidence,
        held: held.map(|held| HeldReport { reason: held.reason, until: held.until, hold: held.hold.map(hold) }),
        flapping: monitor.flapping(view.ix),
        conflict: monitor.in_conflict(view.ix),
    }
}

/// The nodes that pass `filter` among the [`SLICE`] places from `from` on, `most` (at least one) at most.
pub fn slice(monitor: &Monitor, from: usize, most: usize, filter: &Filter) -> Slice {
    let end = from.saturating_add(SLICE).min(monitor.places());
    let mut rows = Vec::new();
    for place in from..end {
        let Some(view) = monitor.node(NodeIx::new(place)).filter(|view| wanted(view, filter)) else { continue };
        rows.push(row(monitor, &view));
        if rows.len() >= most {
            return Slice { rows, next: after(monitor, place + 1) };
        }
    }
    Slice { rows, next: after(monitor, end) }
}

/// What is believed of the nodes among the [`SLICE`] places from `from` on, as bytes to be kept.
pub fn beliefs(monitor: &Monitor, from: usize, reading: Reading) -> Beliefs {
    let end = from.saturating_add(SLICE).min(monitor.places());
    let mut bytes = Vec::with_capacity(SLICE * USUAL);
    let beliefs = (from..end).filter_map(|place| monitor.belief(NodeIx::new(place)));
    let count = beliefs.map(|belief| snapshot::emit(&belief, reading, &mut bytes)).count();
    Beliefs { bytes, count: count as u32, next: after(monitor, end) }
}

/// All nodes by state.
pub fn counts(monitor: &Monitor) -> Counts {
    let mut counts = Counts::default();
    for group in monitor.groups() {
        add_counts(&mut counts, group);
    }
    counts
}

/// A hold, with its name written out.
pub fn hold(hold: Hold<'_>) -> HoldReport {
    HoldReport { scope: hold.scope.to_string(), since: hold.since, until: hold.until, tally: hold.tally }
}

/// What its keys were of use for.
pub fn auth(monitor: &Monitor) -> AuthReport {
    let keys = monitor.keys();
    AuthReport { mode: keys.mode(), keys: keys.uses().collect(), waived: REASONS.map(|reason| keys.waived(reason)) }
}

/// One group, with what was heard from it; nothing before its first heartbeat in a known rhythm.
pub fn group(monitor: &Monitor, ix: GroupIx, profile: Option<&Profile>) -> GroupReport {
    let group = &monitor.groups()[ix.index()];
    let mut counts = Counts::default();
    add_counts(&mut counts, group);
    GroupReport {
        name: group.name().to_owned(),
        configured: group.configured(),
        settings: *group.settings(),
        counts,
        hold: monitor.hold_on(ix).map(hold),
        withheld: Withheld::ALL.map(|reason| group.withheld(reason)),
        profile: profile.map(|profile| Box::new(profile.clone())),
    }
}

/// Whether a node passes everything that the filter gives.
fn wanted(view: &NodeView<'_>, filter: &Filter) -> bool {
    (filter.states.is_empty() || filter.states.contains(&view.liveness))
        && filter.group.as_deref().is_none_or(|group| view.group.name() == group)
        && filter.prefix.as_deref().is_none_or(|prefix| starts_with(view.called, prefix))
        && filter.labels.iter().all(|(name, text)| has_label(view.payload, name, text))
}

fn starts_with(called: Called<'_>, prefix: &str) -> bool {
    match called {
        Called::Name(name) => name.starts_with(prefix),
        Called::Id(_) => called.to_string().starts_with(prefix),
    }
}

fn has_label(payload: Option<&Payload>, name: &str, text: &str) -> bool {
    payload.is_some_and(|payload| payload.labels().any(|label| label == (name, text)))
}

fn after(monitor: &Monitor, place: usize) -> Option<usize> {
    (place < monitor.places()).then_some(place)
}

/// Bytes that a belief usually takes in a snapshot.
const USUAL: usize = 96;

fn add_counts(counts: &mut Counts, group: &Group) {
    for liveness in Liveness::ALL {
        counts.add(liveness, u64::from(group.count(liveness)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Whole;
    use systole_core::{Backlog, Datagram, Instant, NodeId, Span};

    fn monitor(lines: impl IntoIterator<Item = String>) -> Monitor {
        let now = Instant::from_nanos(1_000_000_000);
        let mut monitor = Monitor::new(Default::default(), now);
        for line in lines {
            let datagram = Datagram::new(line.as_bytes(), now);
            monitor.turn(now, &[datagram], Backlog::Drained, &mut ());
        }
        monitor
    }

    fn names(slice: &Slice) -> Vec<&str> {
        slice.rows.iter().map(|row| &*row.node).collect()
    }

    #[test]
    fn slices_join_to_the_whole_table_with_no_node_twice() {
        let monitor = monitor((0..5_000).map(|i| format!("hb n{i}")));
        for most in [1, 7, 5_000] {
            let (mut from, mut rows) = (Some(0), 0);
            while let Some(place) = from {
                let slice = slice(&monitor, place, most, &Filter::default());
                assert!(slice.rows.iter().enumerate().all(|(i, row)| row.node == format!("n{}", rows + i)));
                assert!(slice.rows.len() <= most.min(SLICE));
                rows += slice.rows.len();
                from = slice.next;
            }
            assert_eq!(rows, 5_000);
        }
    }

    #[test]
    fn a_place_beyond_the_table_has_nothing_after_it() {
        let slice = slice(&monitor(["hb a".into()]), usize::MAX, 10, &Filter::default());
        assert!(slice.rows.is_empty() && slice.next.is_none());
    }

    #[test]
    fn a_node_must_pass_everything_that_the_filter_gives() {
        let lines =
            ["hb web-1 group=web l.zone=a l.rack=1", "hb web-2 group=web l.zone=b", "hb db-1 l.zone=a", "bye db-1"];
        let monitor = monitor(lines.map(String::from));
        let label = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        for (filter, expected) in [
            (Filter::default(), &["web-1", "web-2", "db-1"][..]),
            (Filter { group: Some("web".into()), ..Filter::default() }, &["web-1", "web-2"]),
            (Filter { group: Some("we".into()), ..Filter::default() }, &[]),
            (Filter { states: vec![Liveness::Left], ..Filter::default() }, &["db-1"]),
            (
                Filter { states: vec![Liveness::Left, Liveness::Alive], ..Filter::default() },
                &["web-1", "web-2", "db-1"],
            ),
            (Filter { prefix: Some("web-".into()), ..Filter::default() }, &["web-1", "web-2"]),
            (Filter { labels: vec![label("zone", "a")], ..Filter::default() }, &["web-1", "db-1"]),
            (Filter { labels: vec![label("zone", "a"), label("rack", "1")], ..Filter::default() }, &["web-1"]),
            (Filter { labels: vec![label("zone", "")], ..Filter::default() }, &[]),
        ] {
            assert_eq!(names(&slice(&monitor, 0, 100, &filter)), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_forgotten_node_leaves_no_row() {
        let mut monitor = monitor(["hb a".into(), "hb b".into()]);
        monitor.forget(monitor.find(&NodeId::of("a")).unwrap(), Instant::ORIGIN);
        assert_eq!(names(&slice(&monitor, 0, 10, &Filter::default())), ["b"]);
        assert_eq!(counts(&monitor), Counts { alive: 1, ..Counts::default() });
    }

    #[test]
    fn a_group_is_reported_with_what_was_heard_from_it() {
        let monitor = monitor(["hb a group=web".into(), "hb b group=web".into(), "bye b".into()]);
        let mut profile = Profile::new();
        profile.record(Span::from_millis(3), 2);
        profile.record(Span::from_millis(9), 0);
        let web = monitor.groups().iter().position(|group| group.name() == "web").map(GroupIx::new).unwrap();
        let report = group(&monitor, web, Some(&profile));
        assert_eq!(report.counts, Counts { alive: 1, left: 1, ..Counts::default() });
        let heard: Whole = report.profile.as_deref().into_iter().collect();
        assert_eq!((heard.heartbeats(), heard.lost(), heard.late_max()), (2, 2, Span::from_millis(9)));
        assert!(group(&monitor, web, None).profile.is_none());
    }
}
