//! What is to be simulated: every parameter of one run, and what is wrong with it.
//!
//! A scenario says what the senders do, what the network does to their heartbeats, and how the
//! monitor judges. Together with the code's version it determines the run: nothing is taken from
//! the clock, the machine or the environment. [`Scenario::check`] lists every fault at once.

use core::fmt;
use core::str::FromStr;

use serde::Serialize;
use systole_core::detector::{Detector, SpecError};
use systole_core::{Span, Wait};

use crate::latency::Delay;
use crate::loss::Loss;

/// The seed of whoever doesn't choose one: always the same, so that a run can be repeated without
/// having been foreseen.
pub const DEFAULT_SEED: u64 = 2328;

/// Everything that determines a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Keys every random stream.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u32,
    /// What each node declares, and keeps but for jitter, drift and pauses. Whole milliseconds.
    pub interval: Span,
    /// Each heartbeat leaves up to this share of an interval after its place in the schedule,
    /// uniformly; the schedule itself doesn't move. 0 to 1.
    pub jitter: f64,
    /// Each node's clock is wrong by a rate drawn uniformly from minus to plus this. 0 to 0.5.
    pub drift: f64,
    /// When the nodes begin.
    pub phase: Phase,
    /// The senders stop now and then, as for a garbage collection.
    pub pauses: Option<Pauses>,
    /// With this probability a sender sends a heartbeat twice at once. 0 to 1.
    pub twice: f64,
    /// How many lives end in a crash, over all nodes, spread evenly over nodes and run. A node
    /// with nothing left to send after its crash stays down. The others come back after `down`.
    pub crashes: u64,
    /// Of those ends, this share says goodbye first and is no crash. 0 to 1.
    pub goodbyes: f64,
    /// How long a crashed node stays down. Nothing: two intervals longer than finding it can take,
    /// if no heartbeat is on its way for longer than 99.9 % of them are.
    pub down: Option<Span>,
    /// What happens to heartbeats on their way.
    pub loss: Loss,
    /// How long they take.
    pub delay: Delay,
    /// With this probability the network delivers a heartbeat a second time, with a delay of its own. 0 to 1.
    pub duplicates: f64,
    /// Times at which a part of the nodes can't be heard.
    pub partitions: Vec<Partition>,
    /// Decides until when silence is normal.
    pub detector: DetectorChoice,
    /// How long a suspect may stay silent before it is failed.
    pub confirm: Wait,
    /// How many heartbeats are sent, over all nodes: the length of the run.
    pub heartbeats: u64,
}

/// Which detector judges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DetectorChoice {
    /// One of the product's, in the product's own monitor.
    Core(Detector),
    /// Chen's NFD-S, which needs the sender's clock: to check the simulator against theory.
    NfdS {
        /// Heartbeat i is awaited until this long after the instant at which it was due to be sent.
        delta: Span,
    },
}

/// When the nodes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Each at a random point of the first interval.
    Spread,
    /// All at the same instant.
    LockStep,
}

/// A sender that stops now and then. Heartbeats due meanwhile aren't sent; one is at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// From the end of one pause to the start of the next, on average; exponential.
    pub every: Span,
    /// How long one takes on average; exponential.
    pub length: Span,
}

/// A time during which a part of the nodes can't be heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Partition {
    /// From then on, after the start of the run.
    pub from: Span,
    /// Until then: what is sent at this instant arrives again.
    pub until: Span,
    /// Each node is cut off with this probability. 0 to 1.
    pub share: f64,
}

/// One thing that is wrong with a scenario: which parameter, and the value with its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The name of the field.
    pub key: &'static str,
    /// What is wrong with it and what to do.
    pub message: String,
}
