//! What is to be simulated: every parameter of one run, and what is wrong with it.
//!
//! A scenario says what the senders do, what the network does to their heartbeats, and how the
//! monitor judges. Together with the code's version it determines the run: nothing is taken from
//! the clock, the machine or the environment. [`Scenario::check`] lists every fault at once.

use core::fmt;
use core::str::FromStr;

use systole_core::config::{Config, Plan, Settings};
use systole_core::detector::{self, Detector};
use systole_core::{Span, Wait};

use crate::latency::Delay;
use crate::loss::Loss;
use crate::spec::{LONGEST, Parts, SpecError, number, span};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Default for Scenario {
    /// One node that beats every second over a path on which nothing happens.
    fn default() -> Self {
        Self {
            seed: DEFAULT_SEED,
            nodes: 1,
            interval: Span::from_secs(1),
            jitter: 0.0,
            drift: 0.0,
            phase: Phase::Spread,
            pauses: None,
            twice: 0.0,
            crashes: 0,
            goodbyes: 0.0,
            down: None,
            loss: Loss::None,
            delay: Delay::Const(Span::ZERO),
            duplicates: 0.0,
            partitions: Vec::new(),
            detector: DetectorChoice::Core(Detector::default()),
            confirm: Wait::Intervals(3.0),
            heartbeats: 100_000,
        }
    }
}

impl Scenario {
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
        let found = self.bound() + self.confirm.of(self.interval) + self.delay.reach();
        self.down.unwrap_or(found + self.interval * 2)
    }

    /// Everything that is wrong with it; nothing if it can be run.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |key, message| faults.push(Fault { key, message });
        if self.nodes == 0 || self.nodes > NODES_MAX {
            fault("nodes", format!("nodes {} is out of range; between 1 and {NODES_MAX}", self.nodes));
        }
        if self.interval < INTERVAL_MIN || self.interval > INTERVAL_MAX {
            fault("interval", format!("interval {} is out of range; between 10ms and 7d", self.interval.compact()));
        } else if !self.interval.nanos().is_multiple_of(1_000_000) {
            let message = format!("interval {} isn't in whole milliseconds, as a heartbeat declares it", self.interval);
            fault("interval", message);
        } else {
            self.detector_faults(&mut fault);
        }
        for (key, value, most) in [
            ("jitter", self.jitter, 1.0),
            ("drift", self.drift, 0.5),
            ("twice", self.twice, 1.0),
            ("goodbyes", self.goodbyes, 1.0),
            ("duplicates", self.duplicates, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                fault(key, format!("{key} {value} is out of range; between 0 and {most}"));
            }
        }
        if let Err(error) = self.loss.check() {
            fault("loss", error.to_string());
        }
        if let Err(error) = self.delay.check() {
            fault("delay", error.to_string());
        }
        if let Some(Pauses { every, length }) = self.pauses {
            let least = Span::from_nanos((self.interval.nanos() / 1_000).max(1));
            for (name, span) in [("every", every), ("length", length)] {
                if span < least || span > LONGEST {
                    let (span, least) = (span.compact(), least.compact());
                    let message = format!(
                        "pauses: {name} {span} is out of range; between {least}, a thousandth of the interval, and 365d"
                    );
                    fault("pauses", message);
                }
            }
        }
        for partition in &self.partitions {
            let (from, until) = (partition.from.compact(), partition.until.compact());
            if partition.from >= partition.until {
                fault("partitions", format!("partition {from}..{until} is empty; it must end after it begins"));
            }
            if !(0.0..=1.0).contains(&partition.share) {
                let message = format!("partition share {} is out of range; between 0 and 1", partition.share);
                fault("partitions", message);
            }
        }
        let confirm = self.confirm.of(self.interval);
        if confirm > LONGEST {
            fault("confirm", format!("confirm {} is out of range; at most 365d", confirm.compact()));
        }
        if self.nodes > 0 {
            self.length_faults(&mut fault);
        }
        faults
    }

    fn length_faults(&self, fault: &mut impl FnMut(&'static str, String)) {
        let nodes = u64::from(self.nodes);
        if self.heartbeats < nodes || self.heartbeats > HEARTBEATS_MAX {
            let heartbeats = self.heartbeats;
            let range = format!("between {nodes}, one for each node, and {HEARTBEATS_MAX}");
            fault("heartbeats", format!("heartbeats {heartbeats} is out of range; {range}"));
        }
        // One life of a node is at least one heartbeat.
        let most = self.heartbeats / nodes * nodes;
        if self.crashes > most {
            let crashes = self.crashes;
            fault(
                "crashes",
                format!("crashes {crashes} is out of range; between 0 and {most}, one for each heartbeat"),
            );
        }
        let down = self.downtime();
        if down > LONGEST && self.crashes > 0 {
            fault("down", format!("a node that is down for {down} is out of range; at most 365d: set it to less"));
        }
        // At most one pause holds up each heartbeat.
        let paused = self.pauses.map_or(0.0, |Pauses { every, length }| {
            length.secs_f64() * (self.interval.secs_f64() / every.secs_f64()).min(1.0)
        });
        let (beats, lives) = (self.heartbeats.div_ceil(nodes) as f64, self.crashes.div_ceil(nodes) as f64);
        let span = (self.interval.secs_f64() + paused) * beats + down.secs_f64() * lives;
        if span > VIRTUAL_MAX {
            let years = span / YEAR;
            let message =
                format!("the run would take {years:.0} virtual years; at most 100: fewer heartbeats, or more nodes");
            fault("heartbeats", message);
        }
    }

    fn detector_faults(&self, fault: &mut impl FnMut(&'static str, String)) {
        match self.detector {
            DetectorChoice::Core(_) => {
                if let Err(config) = Config::new(self.plan()) {
                    config.into_iter().for_each(|found| fault(found.key, found.message));
                }
            }
            DetectorChoice::NfdS { delta } => {
                if delta > LONGEST {
                    fault("detector", format!("nfd-s: delta {} is out of range; between 0s and 365d", delta.compact()));
                }
                if self.drift != 0.0 {
                    fault(
                        "drift",
                        format!("drift {} is out of range; 0, since nfd-s needs synchronised clocks", self.drift),
                    );
                }
                if self.pauses.is_some() {
                    fault("pauses", "nfd-s has no notion of a sender that pauses; leave pauses out".into());
                }
            }
        }
    }

    /// What the product's monitor is configured to.
    pub(crate) fn plan(&self) -> Plan {
        let detector = match self.detector {
            DetectorChoice::Core(detector) => detector,
            DetectorChoice::NfdS { delta: _ } => Detector::default(),
        };
        let settings =
            Settings { detector, confirm: self.confirm, interval: Some(self.interval), ..Settings::default() };
        Plan { default: settings, ..Plan::default() }
    }

    /// Every parameter as text, by the name of its flag.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let pauses =
            self.pauses.map_or("none".into(), |p| format!("every={},length={}", p.every.compact(), p.length.compact()));
        let partitions: Vec<String> = self.partitions.iter().map(Partition::to_string).collect();
        vec![
            ("seed", self.seed.to_string()),
            ("nodes", self.nodes.to_string()),
            ("interval", self.interval.compact().to_string()),
            ("detector", self.detector.to_string()),
            ("confirm", self.confirm.to_string()),
            ("loss", self.loss.to_string()),
            ("delay", self.delay.to_string()),
            ("heartbeats", self.heartbeats.to_string()),
            ("crashes", self.crashes.to_string()),
            ("goodbyes", self.goodbyes.to_string()),
            ("down", self.downtime().compact().to_string()),
            ("jitter", self.jitter.to_string()),
            ("drift", self.drift.to_string()),
            ("phase", self.phase.name().into()),
            ("pauses", pauses),
            ("twice", self.twice.to_string()),
            ("duplicates", self.duplicates.to_string()),
            ("partition", if partitions.is_empty() { "none".into() } else { partitions.join(" ") }),
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

impl FromStr for DetectorChoice {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.split_once(':') {
            Some(("nfd-s", list)) => {
                let mut parts = Parts::read("nfd-s", list, "nfd-s:delta=1s")?;
                let delta = parts.span("delta")?;
                parts.done(Self::NfdS { delta })
            }
            Some(_) => text.parse().map(Self::Core).map_err(|error: detector::SpecError| SpecError(error.to_string())),
            None if text == "nfd-s" => Err(SpecError("nfd-s: delta is missing; write nfd-s:delta=1s".into())),
            None => text.parse().map(Self::Core).map_err(|error| match error {
                detector::SpecError::Detector(_) => SpecError(format!("{error}, nfd-s")),
                other => SpecError(other.to_string()),
            }),
        }
    }
}

/// As it is read.
impl fmt::Display for DetectorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(detector) => write!(f, "{detector}"),
            Self::NfdS { delta } => write!(f, "nfd-s:delta={}", delta.compact()),
        }
    }
}

impl FromStr for Pauses {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("pauses", text, "every=10m,length=2s")?;
        let (every, length) = (parts.span("every")?, parts.span("length")?);
        parts.done(Self { every, length })
    }
}

/// `0.3@60s..90s`: a share of the nodes, from and until when.
impl FromStr for Partition {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let window = text.split_once('@').and_then(|(share, window)| Some((share, window.split_once("..")?)));
        let Some((share, (from, until))) = window else {
            return Err(SpecError(format!(
                "partition {text:?} is not of the form share@from..until; write 0.3@60s..90s"
            )));
        };
        Ok(Self {
            share: number("partition", "share", share, 0.0, 1.0)?,
            from: span("partition", "from", from)?,
            until: span("partition", "until", until)?,
        })
    }
}

/// As it is read.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}..{}", self.share, self.from.compact(), self.until.compact())
    }
}

/// As many as the product's monitor takes.
const NODES_MAX: u32 = 20_000_000;
/// What the product's monitor accepts as declared.
pub(crate) const INTERVAL_MIN: Span = Span::from_millis(10);
pub(crate) const INTERVAL_MAX: Span = Span::from_secs(7 * 86_400);
const HEARTBEATS_MAX: u64 = 1_000_000_000_000;
/// A hundred years in seconds; the nanoseconds of an instant last for 584.
const VIRTUAL_MAX: f64 = 100.0 * YEAR;
const YEAR: f64 = 31_557_600.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(scenario: &Scenario) -> Vec<&'static str> {
        scenario.check().iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn the_default_can_be_run() {
        assert_eq!(faults(&Scenario::default()), Vec::<&str>::new());
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let scenario = Scenario {
            interval: Span::from_millis(5),
            jitter: -0.1,
            drift: f64::NAN,
            twice: 2.0,
            loss: Loss::Gilbert { p: 0.1, burst: 0.5 },
            delay: Delay::Pareto { min: Span::from_secs(1), shape: 0.0 },
            pauses: Some(Pauses { every: Span::ZERO, length: Span::from_secs(1) }),
            partitions: vec![Partition { from: Span::ZERO, until: Span::ZERO, share: 1.0 }],
            heartbeats: 10,
            crashes: 11,
            ..Scenario::default()
        };
        let expected =
            ["interval", "jitter", "drift", "twice", "loss", "delay", "pauses", "partitions", "crashes", "down"];
        assert_eq!(faults(&scenario), expected);
    }

    #[test]
    fn what_would_never_end_is_refused() {
        let tiny = Some(Pauses { every: Span::from_nanos(1), length: Span::from_nanos(1) });
        assert_eq!(faults(&Scenario { pauses: tiny, ..Scenario::default() }), ["pauses", "pauses"]);
        let long = Some(Pauses { every: Span::from_secs(1), length: Span::from_secs(300 * 86_400) });
        assert_eq!(faults(&Scenario { pauses: long, ..Scenario::default() }), ["heartbeats"]);
        let tail = Delay::Pareto { min: Span::from_secs(1), shape: 0.1 };
        assert_eq!(faults(&Scenario { delay: tail.clone(), crashes: 1, ..Scenario::default() }), ["down"]);
        assert_eq!(faults(&Scenario { delay: tail, ..Scenario::default() }), Vec::<&str>::new());
    }

    #[test]
    fn texts_read_back_as_they_were_written() {
        for text in ["nfd-s:delta=1.5s", "fixed:timeout=1.5s", "chen:margin=2.25x,gain=0.0625"] {
            assert_eq!(text.parse::<DetectorChoice>().map(|choice| choice.to_string()), Ok(text.to_string()));
        }
        let partition = "0.3@60s..90s".parse::<Partition>().expect("a partition");
        assert_eq!(partition.to_string().parse(), Ok(partition));
        assert!("every=10m".parse::<Pauses>().is_err() && "0.3".parse::<Partition>().is_err());
    }
}
