//! One run, from a scenario to what came out: the face of the simulator for whoever calls it.

use systole_core::Instant;

use crate::judge::Verdict;
use crate::qos::{Meter, NodeQos, Qos};
use crate::scenario::Scenario;
use crate::truth::Fact;
use crate::world::{Watch, World};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Heartbeats sent so far.
    pub sent: u64,
    /// Heartbeats that will be sent in all.
    pub of: u64,
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Heartbeats sent, copies not counted; as many as were asked for unless the run was stopped.
    pub heartbeats: u64,
    /// Heartbeats that the monitor believed.
    pub heartbeats_believed: u64,
    /// Datagrams that arrived, copies included.
    pub datagrams: u64,
    /// How long the run was, in virtual seconds.
    pub span_s: f64,
    /// A hash of every transition (time, node, from, to): equal runs have equal ones.
    pub trace_hash: u64,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// What it says about the detector.
    pub qos: Qos,
    /// What it says about each node.
    pub nodes: Vec<NodeQos>,
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
    run_watched(scenario, go_on, &mut ())
}

/// The same, and `watch` sees every fact and verdict in order.
///
/// # Panics
/// On a scenario that [`Scenario::check`] finds faults with.
pub fn run_watched(scenario: &Scenario, mut go_on: impl FnMut(Progress) -> bool, watch: &mut impl Watch) -> Outcome {
    let faults = scenario.check();
    assert!(faults.is_empty(), "the scenario can't be run: {faults:?}");
    let mut world = World::new(scenario);
    let mut measure = Both { meter: Meter::new(scenario), watch };
    let (mut asked, mut stopped) = (0, false);
    while !stopped && world.step(&mut measure) {
        if world.sent() >= asked {
            stopped = !go_on(Progress { sent: world.sent(), of: scenario.heartbeats });
            asked = world.sent() + ASK;
        }
    }
    let meter = measure.meter;
    let (qos, nodes) = meter.finish(world.now(), stopped);
    Outcome {
        heartbeats: world.sent(),
        heartbeats_believed: world.believed(),
        datagrams: world.datagrams(),
        span_s: world.now().since(Instant::ORIGIN).secs_f64(),
        trace_hash: world.trace_hash(),
        stopped,
        qos,
        nodes,
    }
}

/// Heartbeats between two questions whether to go on: some 30 ms of work.
const ASK: u64 = 65_536;

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
}
