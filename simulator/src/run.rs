//! One run, from a scenario to what came out: the face of the simulator for whoever calls it.

use serde::Serialize;

use crate::qos::Qos;
use crate::scenario::Scenario;

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
