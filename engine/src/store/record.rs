//! One event as it is kept: times of the wall clock, owned names, nothing formatted yet.

use systole_core::event::{Cause, NodeNote, Note, Transition};
use systole_core::guard::{Change, Tally};
use systole_core::{Instant, Liveness, Withheld};

use super::archive::Known;
use crate::clock::Reading;

/// An event with its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number, from 1 on; 0 until it was given one.
    pub seq: u64,
    /// How many events were lost before this one: as many numbers stay empty.
    pub skipped: u64,
    /// The shard that says it; 0 until that is known.
    pub shard: u32,
    /// When it was decided, in milliseconds since 1970.
    pub at: u64,
    /// What happened.
    pub what: What,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Something else is believed of a node.
    Changed {
        /// Whom it is about.
        node: Box<str>,
        /// The node's group.
        group: Box<str>,
        /// What was believed before.
        from: Liveness,
        /// What is believed now.
        to: Liveness,
        /// Why.
        cause: Cause,
        /// What it rests on.
        proof: Proof,
    },
    /// Something about a node of which the same is believed as before.
    Noted {
        /// Whom it is about.
        node: Box<str>,
        /// The node's group.
        group: Box<str>,
        /// What is believed of it.
        liveness: Liveness,
        /// What there is to tell.
        note: Told,
    },
    /// Many nodes fell silent together, or what follows from that.
    Hold {
        /// Which nodes: `fleet`, `group web`, `label zone=eu-1`.
        scope: Box<str>,
        /// What became of their verdicts.
        change: Change,
        /// How many are silent, of how many.
        tally: Tally,
        /// Until when they are withheld at the latest, in milliseconds since 1970.
        until: u64,
    },
    /// The monitor can't keep up, so that silence means nothing; or it can again.
    Overload {
        /// Whether it is a backlog or drops.
        reason: Withheld,
        /// Whether it is over.
        over: bool,
    },
}

/// What there is to tell of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It goes to and fro, and its changes are kept quiet until then, in milliseconds since 1970.
    Flapping(u64),
    /// Its changes are told again; this was told last.
    Steady(Liveness),
    /// Somebody else speaks in its name.
    Conflict {
        /// The life that is believed.
        incarnation: u64,
        /// The life that isn't.
        rival: u64,
        /// The last number of the one that isn't.
        seq: u64,
    },
}

/// What a change of belief rests on, on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// When the last heartbeat arrived, in milliseconds since 1970.
    pub last_arrival: Option<u64>,
    /// When the belief was taken over from the monitor's former life, in milliseconds since 1970, if
    /// nothing was heard of the node since.
    pub taken_over: Option<u64>,
    /// Until when silence was normal, in milliseconds since 1970.
    pub deadline: u64,
    /// What had to pass after that before "failed".
    pub confirm_ms: u64,
    /// By how much the verdict was put off because of our own troubles.
    pub excused_ms: u64,
    /// Which they were.
    pub excuse: Option<Withheld>,
    /// For how long it was withheld after it was due.
    pub held_ms: u64,
    /// By what.
    pub withheld: Option<Withheld>,
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
    pub fn of_transition(transition: &Transition<'_>, reading: Reading, dropped: u64) -> Self {
        let what = What::Changed {
            node: transition.called.to_string().into_boxed_str(),
            group: transition.group_name.into(),
            from: transition.from,
            to: transition.to,
            cause: transition.cause,
            proof: Proof::of(&transition.evidence, transition.at, reading, dropped),
        };
        Self { seq: 0, skipped: 0, shard: 0, at: reading.unix_millis(transition.at), what }
    }

    /// Takes down a note.
    pub fn of_note(note: &Note<'_>, reading: Reading) -> Self {
        let unix = |instant: Instant| reading.unix_millis(instant);
        let (at, what) = match *note {
            Note::Hold { at, scope, change, tally, until } => {
                (at, What::Hold { scope: scope.to_string().into(), change, tally, until: unix(until) })
            }
            Note::Node { at, called, group_name, liveness, what, .. } => {
                let note = match what {
                    NodeNote::Flapping { until } => Told::Flapping(unix(until)),
                    NodeNote::Steady { told } => Told::Steady(told),
                    NodeNote::Conflict { incarnation, rival, seq } => {
                        Told::Conflict { incarnation: incarnation.number(), rival: rival.number(), seq: seq.number() }
                    }
                };
                (at, What::Noted { node: called.to_string().into(), group: group_name.into(), liveness, note })
            }
            Note::Overload { at, reason, over } => (at, What::Overload { reason, over }),
        };
        Self { seq: 0, skipped: 0, shard: 0, at: unix(at), what }
    }

    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<&str> {
        match &self.what {
            What::Changed { node, .. } | What::Noted { node, .. } => Some(node),
            What::Hold { .. } | What::Overload { .. } => None,
        }
    }

    /// The group that it is about, if it is about one or about a node.
    pub fn group(&self) -> Option<&str> {
        match &self.what {
            What::Changed { group, .. } | What::Noted { group, .. } => Some(group),
            What::Hold { scope, .. } => scope.strip_prefix("group "),
            What::Overload { .. } => None,
        }
    }

    /// What is believed now, if that changed.
    pub const fn to(&self) -> Option<Liveness> {
        match self.what {
            What::Changed { to, .. } => Some(to),
            What::Noted { .. } | What::Hold { .. } | What::Overload { .. } => None,
        }
    }

    /// Why, in a word.
    pub const fn cause(&self) -> &'static str {
        match self.what {
            What::Changed { cause, .. } => cause.name(),
            What::Noted { note: Told::Flapping(_), .. } => "flapping",
            What::Noted { note: Told::Steady(_), .. } => "steady",
            What::Noted { note: Told::Conflict { .. }, .. } => "conflict",
            What::Hold { change, .. } => change.name(),
            What::Overload { over: false, .. } => "overload",
            What::Overload { over: true, .. } => "overload_over",
        }
    }

    /// What the monitor's next life must know beyond what the event tells. Nothing for one that isn't
    /// a change of belief.
    pub(super) fn known(&self) -> Option<Known> {
        let (cause, proof) = match &self.what {
            What::Changed { cause, proof, .. } => (*cause, proof),
            What::Noted { .. } | What::Hold { .. } | What::Overload { .. } => return None,
        };
        let heard = match cause {
            Cause::NeverSeen => false,
            Cause::FirstHeartbeat
            | Cause::Heartbeat
            | Cause::Restart
            | Cause::Silence
            | Cause::Confirmed
            | Cause::Goodbye => true,
        };
        let Proof { incarnation, seq, interval_ms, interval_declared, .. } = *proof;
        Some(Known { incarnation: heard.then_some(incarnation), seq, interval_ms, interval_declared })
    }
}

impl Proof {
    /// What a belief of this evidence rests on that holds since `at`.
    pub fn of(evidence: &systole_core::event::Evidence, at: Instant, reading: Reading, dropped: u64) -> Self {
        let unix = |instant: Instant| reading.unix_millis(instant);
        Self {
            last_arrival: evidence.last_arrival.map(unix),
            taken_over: evidence.taken_over.map(unix),
            deadline: unix(evidence.deadline),
            confirm_ms: evidence.confirm.millis(),
            excused_ms: evidence.excused.millis(),
            excuse: evidence.excuse,
            held_ms: evidence.held.millis(),
            withheld: evidence.withheld,
            interval_ms: evidence.interval.millis(),
            interval_declared: evidence.interval_declared,
            planned: evidence.planned,
            detector: evidence.detector,
            incarnation: evidence.incarnation.number(),
            seq: evidence.seq.number(),
            lost: evidence.lost,
            window: evidence.window,
            lag_us: at.since(evidence.due + evidence.held).nanos() / 1_000,
            dropped,
        }
    }
}
