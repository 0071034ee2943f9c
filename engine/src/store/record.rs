//! One event as it is kept: times of the wall clock, owned names, nothing formatted yet.

use systole_core::event::{Cause, Transition};
use systole_core::{Instant, Liveness};

use crate::clock::Reading;

/// A change of belief with its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number, from 1 on; 0 until it was given one.
    pub seq: u64,
    /// How many events were lost before this one: as many numbers stay empty.
    pub skipped: u64,
    /// When it was decided, in milliseconds since 1970.
    pub at: u64,
    /// Whom it is about.
    pub node: Box<str>,
    /// The node's group.
    pub group: Box<str>,
    /// What was believed before.
    pub from: Liveness,
    /// What is believed now.
    pub to: Liveness,
    /// Why.
    pub cause: Cause,
    /// What it rests on.
    pub proof: Proof,
}

/// What a change of belief rests on, on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// When the last heartbeat arrived, in milliseconds since 1970.
    pub last_arrival: Option<u64>,
    /// Until when silence was normal, in milliseconds since 1970.
    pub deadline: u64,
    /// What had to pass after that before "failed".
    pub confirm_ms: u64,
    /// The heartbeat interval in force.
    pub interval_ms: u64,
    /// Whether the node declared it.
    pub interval_declared: bool,
    /// Whether the node had announced a silence that the deadline allows for.
    pub planned: bool,
    /// The detector's name.
    pub detector: &'static str,
    /// The life of the node.
    pub incarnation: u64,
    /// Its last heartbeat.
    pub seq: u64,
    /// Of the last `window` heartbeats, how many never came.
    pub lost: u8,
    /// How far `lost` looks back.
    pub window: u8,
    /// How long after the due instant the monitor decided, in microseconds.
    pub lag_us: u64,
    /// Heartbeats of whomever that we had lost since the start: dropped by the kernel, or on the way to their shard.
    pub dropped: u64,
}

impl Record {
    /// Takes down a transition; `reading` leads from the monitor's time line to the wall clock.
    pub fn new(transition: &Transition<'_>, reading: Reading, dropped: u64) -> Self {
        let evidence = &transition.evidence;
        let due = match transition.from {
            Liveness::Suspect => evidence.deadline + evidence.confirm,
            Liveness::Unseen | Liveness::Alive | Liveness::Failed | Liveness::Left => evidence.deadline,
        };
        let unix = |instant: Instant| reading.unix_millis(instant);
        Self {
            seq: 0,
            skipped: 0,
            at: unix(transition.at),
            node: transition.called.to_string().into_boxed_str(),
            group: transition.group_name.into(),
            from: transition.from,
            to: transition.to,
            cause: transition.cause,
            proof: Proof {
                last_arrival: evidence.last_arrival.map(unix),
                deadline: unix(evidence.deadline),
                confirm_ms: evidence.confirm.millis(),
                interval_ms: evidence.interval.millis(),
                interval_declared: evidence.interval_declared,
                planned: evidence.planned,
                detector: evidence.detector,
                incarnation: evidence.incarnation.number(),
                seq: evidence.seq.number(),
                lost: evidence.lost,
                window: evidence.window,
                lag_us: transition.at.since(due).nanos() / 1_000,
                dropped,
            },
        }
    }
}
