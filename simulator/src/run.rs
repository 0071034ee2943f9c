//! One run, from a scenario to what came out: the face of the simulator for whoever calls it.
//!
//! ```text
//!   scenario ─┬─► nodes 0..4096     ─► world, meter ─┐
//!             ├─► nodes 4096..8192  ─► world, meter ─┼─► added up: the same sums and the same hash,
//!             └─► ...                                ┘   whoever did which part and when
//! ```
//! Nodes that don't mind each other are run one slice after the other, or on several threads at
//! once. Where they share a line, a buffer that overflows or a guard they are run as one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use core::ops::Range;

use systole_core::{Instant, Span};

use crate::caution::{Caution, Noted};
use crate::judge::Verdict;
use crate::meter::{Ended, Measured, Meter};
use crate::qos::{NodeQos, Qos, Tally};
use crate::scenario::Scenario;
use crate::slice::Slice;
use crate::traffic::Traffic;
use crate::truth::Fact;
use crate::world::{Counts, Watch, World};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Heartbeats sent so far.
    pub sent: u64,
    /// Heartbeats that will be sent in all.
    pub of: u64,
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Heartbeats sent, copies not counted; as many as were asked for unless the run was stopped, or had a guard, or a
    /// node would have gone on for more than 200 years.
    pub heartbeats: u64,
    /// Heartbeats that the monitor believed.
    pub heartbeats_believed: u64,
    /// Datagrams that were sent: heartbeats, copies and goodbyes.
    pub datagrams_sent: u64,
    /// How many bytes these were, without headers of the network.
    pub bytes_sent: u64,
    /// Datagrams that arrived, copies included.
    pub datagrams: u64,
    /// Datagrams that arrived and were lost all the same: the monitor's buffer was full, or there
    /// was no monitor.
    pub datagrams_dropped: u64,
    /// What the monitor's gates did.
    pub caution: Caution,
    /// What each group sent, and from when until when.
    pub traffic: Vec<Traffic>,
    /// How long the run was, in virtual seconds.
    pub span_s: f64,
    /// A hash of every transition (time, node, from, to): equal runs have equal ones.
    pub trace_hash: u64,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// What it says about the detector, over all groups.
    pub qos: Qos,
    /// What it says about each group.
    pub groups: Vec<Qos>,
    /// What it says about each node; if the run was stopped, about those that had their turn.
    pub nodes: Vec<NodeQos>,
}

impl Outcome {
    /// Heartbeats a second of the whole fleet: what its groups send on average, from the first to the last of each.
    pub fn heartbeats_per_second(&self) -> Option<f64> {
        self.traffic.iter().map(Traffic::heartbeats_per_second).sum()
    }

    /// Bytes a second of the whole fleet on the wire, with the headers of UDP and IPv4.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.traffic.iter().map(Traffic::bytes_per_second).sum()
    }
}

/// Runs a scenario to its end.
///
/// # Panics
/// On a scenario that [`Scenario::check`] finds faults with.
pub fn run(scenario: &Scenario, mut progress: impl FnMut(Progress)) -> Outcome {
    run_while(scenario, |at| {
        progress(at);
        true
    })
}

/// Runs a scenario until its end, or until `go_on` says no; it is asked every 65,536 heartbeats.
/// What was done by then is measured all the same.
///
/// # Panics
/// On a scenario that [`Scenario::check`] finds faults with.
pub fn run_while(scenario: &Scenario, go_on: impl FnMut(Progress) -> bool) -> Outcome {
    run_on(scenario, 1, go_on)
}

/// The same on so many threads. The outcome doesn't depend on how many, unless the run is stopped.
///
/// # Panics
/// On a scenario that [`Scenario::check`] finds faults with.
pub fn run_on(scenario: &Scenario, threads: usize, mut go_on: impl FnMut(Progress) -> bool) -> Outcome {
    assert_possible(scenario);
    let together = if scenario.is_coupled() { scenario.nodes() } else { TOGETHER };
    let places: Vec<Range<u32>> = Slice::cut(scenario, together).collect();
    let (of, stop) = (scenario.heartbeats(), AtomicBool::new(false));
    let mut parts = if threads <= 1 || places.len() == 1 {
        let (mut sent, mut going) = (0, true);
        let mut parts = Vec::new();
        for places in &places {
            parts.push(run_part(scenario, places, &mut (), |more| {
                sent += more;
                going = go_on(Progress { sent, of });
                going
            }));
            // A short slice asks at its end only.
            if !going {
                break;
            }
        }
        parts
    } else {
        run_parts(scenario, &places, threads, &stop, |sent| go_on(Progress { sent, of }))
    };
    parts.sort_by_key(|part| part.first);
    sum(scenario, &parts, parts.len() < places.len())
}

/// One slice after the other, each by whichever thread comes first. They say how far they are, and
/// stop when told to.
fn run_parts(
    scenario: &Scenario,
    places: &[Range<u32>],
    threads: usize,
    stop: &AtomicBool,
    mut go_on: impl FnMut(u64) -> bool,
) -> Vec<Part> {
    let next = AtomicUsize::new(0);
    let work = |tell: mpsc::Sender<u64>| {
        let mut parts = Vec::new();
        while let Some(places) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            parts.push(run_part(scenario, places, &mut (), |more| {
                // Nobody listens any more only when this thread is being waited for.
                let _ = tell.send(more);
                !stop.load(Ordering::Relaxed)
            }));
        }
        parts
    };
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let start = |_| {
            let tell = tell.clone();
            scope.spawn(|| work(tell))
        };
        let workers: Vec<_> = (0..threads.min(places.len())).map(start).collect();
        drop(tell);
        let mut sent = 0;
        for more in told {
            sent += more;
            if !go_on(sent) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        workers.into_iter().flat_map(|worker| worker.join().expect("a part of the run panicked")).collect()
    })
}

/// Runs all nodes as one, and `watch` sees every fact and verdict in order.
///
/// # Panics
/// On a scenario that [`Scenario::check`] finds faults with.
pub fn run_watched(scenario: &Scenario, mut go_on: impl FnMut(Progress) -> bool, watch: &mut impl Watch) -> Outcome {
    assert_possible(scenario);
    let (mut sent, of) = (0, scenario.heartbeats());
    let part = run_part(scenario, &(0..scenario.nodes()), watch, |more| {
        sent += more;
        go_on(Progress { sent, of })
    });
    sum(scenario, &[part], false)
}

fn assert_possible(scenario: &Scenario) {
    let faults = scenario.check();
    assert!(faults.is_empty(), "the scenario can't be run: {faults:?}");
}

/// What came out of one slice.
struct Part {
    first: u32,
    counts: Counts,
    traffic: Vec<Traffic>,
    believed: u64,
    caution: Caution,
    span: Span,
    trace_hash: u64,
    stopped: bool,
    groups: Vec<Tally>,
    nodes: Vec<NodeQos>,
}

/// Runs one slice. `go_on` is told how many heartbeats were sent since it was asked last.
fn run_part(
    scenario: &Scenario,
    places: &Range<u32>,
    watch: &mut impl Watch,
    mut go_on: impl FnMut(u64) -> bool,
) -> Part {
    let slice = Slice::new(scenario, places.clone());
    let mut world = World::new(scenario, &slice);
    let mut measure = Both { meter: Meter::new(scenario, &slice), watch };
    let (mut told, mut stopped) = (0, false);
    while !stopped && world.step(&mut measure) {
        let sent = world.counts().sent;
        if sent - told >= ASK {
            stopped = !go_on(sent - told);
            told = sent;
        }
    }
    go_on(world.counts().sent - told);
    let mut caution = world.caution();
    let ended = match (stopped, world.is_cut()) {
        (true, _) => Ended::Stopped,
        (false, true) => Ended::Cut,
        (false, false) => Ended::Done,
    };
    let Measured { groups, nodes, dead_longest } = measure.meter.finish(world.now(), ended);
    caution.kept(dead_longest);
    Part {
        first: places.start,
        counts: world.counts(),
        traffic: world.traffic().to_vec(),
        believed: world.believed(),
        caution,
        span: world.now().since(Instant::ORIGIN),
        trace_hash: world.trace_hash(),
        stopped,
        groups,
        nodes,
    }
}

/// Adds up the parts, which are in the order of their nodes.
fn sum(scenario: &Scenario, parts: &[Part], incomplete: bool) -> Outcome {
    let total = |count: fn(&Part) -> u64| parts.iter().map(count).sum::<u64>();
    let mut groups: Vec<Tally> = scenario.groups.iter().map(Tally::of_group).collect();
    let mut traffic = vec![Traffic::default(); groups.len()];
    let mut caution = Caution::default();
    for part in parts {
        groups.iter_mut().zip(&part.groups).for_each(|(group, part)| group.add_part(part));
        traffic.iter_mut().zip(&part.traffic).for_each(|(group, part)| group.add(part));
        caution.add(&part.caution);
    }
    Outcome {
        heartbeats: total(|part| part.counts.sent),
        heartbeats_believed: total(|part| part.believed),
        datagrams_sent: traffic.iter().map(|group| group.all.datagrams).sum(),
        bytes_sent: traffic.iter().map(|group| group.all.bytes).sum(),
        datagrams: total(|part| part.counts.arrived),
        datagrams_dropped: total(|part| part.counts.dropped),
        caution,
        traffic,
        span_s: parts.iter().map(|part| part.span).max().unwrap_or_default().secs_f64(),
        trace_hash: parts.iter().fold(scenario.seed, |sum, part| sum.wrapping_add(part.trace_hash)),
        stopped: incomplete || parts.iter().any(|part| part.stopped),
        qos: Tally::together(&groups),
        groups: groups.iter().map(Tally::qos).collect(),
        nodes: parts.iter().flat_map(|part| &part.nodes).copied().collect(),
    }
}

/// Heartbeats between two questions whether to go on: some 30 ms of work.
const ASK: u64 = 65_536;

/// So many nodes are run together where they don't mind each other: what they need fits into a
/// processor's second cache, and a millisecond still has work enough to be worth its overhead.
const TOGETHER: u32 = 4_096;

/// Measures, and lets somebody else look on.
struct Both<'a, W> {
    meter: Meter,
    watch: &'a mut W,
}

impl<W: Watch> Watch for Both<'_, W> {
    fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        self.meter.fact(at, node, fact);
        self.watch.fact(at, node, fact);
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.meter.verdict(verdict);
        self.watch.verdict(verdict);
    }

    fn note(&mut self, note: &Noted) {
        self.watch.note(note);
    }

    fn forgotten(&mut self, at: Instant) {
        self.meter.forgotten(at);
        self.watch.forgotten(at);
    }
}
