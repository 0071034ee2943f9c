//! Nodes that share settings, a network and often a fate.

use systole_core::detector::Detector;
use systole_core::{Span, Wait};

use super::{DetectorChoice, Incident, Partition, Pauses, Reorder, Scenario, Uplink, list, optional};
use crate::latency::Delay;
use crate::lifetime::Lifetime;
use crate::loss::Loss;
use crate::transport::Transport;

/// One group: its senders, the network between them and the monitor, and how they are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What the product calls it.
    pub name: String,
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
    /// The senders stop now and then, as for a garbage collection. Heartbeats due meanwhile aren't
    /// sent; one is at the end.
    pub pauses: Option<Pauses>,
    /// With this probability a sender sends a heartbeat twice at once. 0 to 1.
    pub twice: f64,
    /// So many of the nodes, the last ones, use the ids of the first ones: two senders, one id.
    pub clones: u32,
    /// How many lives end in a crash, over all nodes, spread evenly over nodes and run. A node
    /// with nothing left to send after its crash stays down. The others come back after `down`.
    pub crashes: u64,
    /// Of those ends, this share says goodbye first and is no crash. 0 to 1.
    pub goodbyes: f64,
    /// Crashes of many nodes at once, on top.
    pub incidents: Vec<Incident>,
    /// How long a life lasts before it ends in a crash, on top of those; nothing: as long as the run.
    pub lifetime: Option<Lifetime>,
    /// How long such a node stays down; nothing: as long as any other.
    pub outage: Option<Lifetime>,
    /// How long a crashed node stays down. Nothing: two intervals longer than finding it can take,
    /// if no heartbeat is on its way for longer than 99.9 % of them are.
    pub down: Option<Span>,
    /// What happens to heartbeats on their way.
    pub loss: Loss,
    /// How long they take.
    pub delay: Delay,
    /// What carries them: datagrams, or a connection that repeats what was lost.
    pub transport: Transport,
    /// With this probability the network delivers a heartbeat a second time, with a delay of its own. 0 to 1.
    pub duplicates: f64,
    /// Some heartbeats are held back, so that later ones overtake them.
    pub reorder: Option<Reorder>,
    /// Times at which a part of the nodes can't be heard.
    pub partitions: Vec<Partition>,
    /// The line that all of them share.
    pub uplink: Option<Uplink>,
    /// Decides until when silence is normal.
    pub detector: DetectorChoice,
    /// How long a suspect may stay silent before it is failed.
    pub confirm: Wait,
    /// How many heartbeats are sent, over all nodes: the length of the run.
    pub heartbeats: u64,
}

/// When the nodes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Each at a random point of the first interval.
    Spread,
    /// All at the same instant.
    LockStep,
}

impl Default for Group {
    /// One node that beats every second over a path on which nothing happens.
    fn default() -> Self {
        Self {
            name: systole_core::DEFAULT_GROUP.into(),
            nodes: 1,
            interval: Span::from_secs(1),
            jitter: 0.0,
            drift: 0.0,
            phase: Phase::Spread,
            pauses: None,
            twice: 0.0,
            clones: 0,
            crashes: 0,
            goodbyes: 0.0,
            incidents: Vec::new(),
            lifetime: None,
            outage: None,
            down: None,
            loss: Loss::None,
            delay: Delay::Const(Span::ZERO),
            transport: Transport::Datagram,
            duplicates: 0.0,
            reorder: None,
            partitions: Vec::new(),
            uplink: None,
            detector: DetectorChoice::Core(Detector::default()),
            confirm: Wait::Intervals(3.0),
            heartbeats: 100_000,
        }
    }
}

impl Group {
    /// A scenario of this group alone.
    pub fn alone(self, seed: u64) -> Scenario {
        Scenario::from(self).with_seed(seed)
    }

    /// How long the detector can take at most to suspect a node, after the arrival of its last
    /// heartbeat; for NFD-S after the instant at which it was due.
    pub fn bound(&self) -> Span {
        match self.detector {
            DetectorChoice::Core(detector) => detector
                .bound(self.interval)
                .unwrap_or_else(|| detector.patience(&detector.start(self.interval), self.interval)),
            DetectorChoice::NfdS { delta } => self.interval + delta,
        }
    }

    /// How long a crashed node stays down.
    pub fn downtime(&self) -> Span {
        self.down.unwrap_or(self.found_within() + self.interval * 2)
    }

    /// How long it can take from a crash to the failure if nothing is withheld, and no heartbeat is on its way for
    /// longer than 99.9 % of them are.
    pub(crate) fn found_within(&self) -> Span {
        self.bound() + self.confirm.of(self.interval) + self.delay.reach()
    }

    /// How many lives of one node end by the clock, on average: in an incident, or when a lifetime is over. What
    /// `crashes` plans comes on top.
    pub(crate) fn deaths(&self) -> f64 {
        self.incidents.iter().map(|incident| incident.share).sum::<f64>() + self.lifetimes()
    }

    /// For how long one node keeps silent and sends later what is left, on average, in seconds: it pauses, or is down after such
    /// a death.
    pub(crate) fn away_s(&self) -> f64 {
        let down = self.downtime().secs_f64();
        let outage = self.outage.map_or(down, |outage| outage.mean());
        let incidents = self.incidents.iter().map(|incident| {
            let down = incident.down.map_or(down, Span::secs_f64);
            incident.share * down
        });
        // At most one pause holds up each heartbeat.
        let paused = self.pauses.map_or(0.0, |Pauses { every, length }| {
            length.secs_f64() * (self.interval.secs_f64() / every.secs_f64()).min(1.0)
        });
        incidents.sum::<f64>() + outage * self.lifetimes() + paused * self.beats()
    }

    /// Each life sends a heartbeat at least, and as many as fit into its mean on average.
    fn lifetimes(&self) -> f64 {
        self.lifetime.map_or(0.0, |lifetime| self.beats() * self.interval.secs_f64() / lifetime.mean())
    }

    /// How many heartbeats one node sends.
    fn beats(&self) -> f64 {
        self.heartbeats.div_ceil(u64::from(self.nodes)) as f64
    }

    /// Every parameter as text, by the name of its flag.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![
            ("nodes", self.nodes.to_string()),
            ("interval", self.interval.compact().to_string()),
            ("detector", self.detector.to_string()),
            ("confirm", self.confirm.to_string()),
            ("loss", self.loss.at_interval(self.interval).to_string()),
            ("delay", self.delay.at_interval(self.interval).to_string()),
            ("transport", self.transport.to_string()),
            ("heartbeats", self.heartbeats.to_string()),
            ("crashes", self.crashes.to_string()),
            ("goodbyes", self.goodbyes.to_string()),
            ("incident", list(&self.incidents)),
            ("lifetime", optional(self.lifetime.as_ref())),
            ("outage", optional(self.outage.as_ref())),
            ("down", self.downtime().compact().to_string()),
            ("jitter", self.jitter.to_string()),
            ("drift", self.drift.to_string()),
            ("phase", self.phase.name().into()),
            ("pauses", optional(self.pauses.as_ref())),
            ("twice", self.twice.to_string()),
            ("clones", self.clones.to_string()),
            ("duplicates", self.duplicates.to_string()),
            ("reorder", optional(self.reorder.as_ref())),
            ("partition", list(&self.partitions)),
            ("uplink", optional(self.uplink.as_ref())),
        ]
    }
}

impl Phase {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::LockStep => "lock-step",
        }
    }
}
