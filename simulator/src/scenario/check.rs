//! What is wrong with a scenario: everything at once, each with the value, the range and the way out.

use systole_core::config::{Config, Place};
use systole_core::{NAME_MAX, Span, is_name};

use super::uplink::RATE;
use super::{DetectorChoice, Group, Pauses, Scenario, Stall};
use crate::network::PARTITIONS_MAX;
use crate::spec::LONGEST;
use crate::transport::Transport;

/// One thing that is wrong with a scenario: which parameter, and the value with its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Which group it is about; nothing: the run as a whole.
    pub group: Option<usize>,
    /// The name of the parameter's flag.
    pub key: &'static str,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Scenario {
    /// Everything that is wrong with it; nothing if it can be run.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.groups.is_empty() {
            let message = "a scenario without a group has nothing to run; add one".into();
            faults.push(Fault { group: None, key: "group", message });
        }
        for (index, group) in self.groups.iter().enumerate() {
            // Of one group alone everybody knows which one is meant.
            let of = if self.groups.len() == 1 { String::new() } else { format!(" (group {:?})", group.name) };
            let mut fault = |key, message: String| {
                faults.push(Fault { group: Some(index), key, message: format!("{message}{of}") });
            };
            name_faults(&self.groups[..index], group, &mut fault);
            group.check(&mut fault);
        }
        self.whole_faults(&mut faults);
        faults
    }

    /// What no group is to blame for alone.
    fn whole_faults(&self, faults: &mut Vec<Fault>) {
        let nodes: u64 = self.groups.iter().map(|group| u64::from(group.nodes)).sum();
        let mut fault = |key, message| faults.push(Fault { group: None, key, message });
        if self.groups.len() > GROUPS_MAX {
            fault("group", format!("{} groups are out of range; at most {GROUPS_MAX}", self.groups.len()));
        }
        if self.groups.len() > 1 && nodes > u64::from(NODES_MAX) {
            fault("nodes", format!("{nodes} nodes in all groups are out of range; at most {NODES_MAX}"));
        }
        let nfd_s = self.groups.iter().filter(|group| matches!(group.detector, DetectorChoice::NfdS { .. })).count();
        if nfd_s > 0 && nfd_s < self.groups.len() {
            fault(
                "detector",
                "nfd-s can't be mixed with the product's detectors; use it in all groups or in none".into(),
            );
        }
        if nfd_s > 0 && !self.monitor.is_none() {
            let message = "nfd-s runs outside the product's monitor, so that has no stalls, buffers, restarts or clock";
            fault("detector", message.into());
        }
        if nfd_s > 0 && self.gates.couple() {
            fault("guard", "nfd-s runs outside the product's monitor, so that has no guard and no flapping".into());
        }
        for (key, message) in self.gates.faults() {
            fault(key, message);
        }
        for stall in &self.monitor.stalls {
            let pauses = match *stall {
                Stall::Once { at: _, length } => Pauses { every: MILLISECOND, length },
                Stall::Random(pauses) => pauses,
            };
            if pauses.length < MILLISECOND || pauses.every < MILLISECOND {
                fault("stall", format!("stall {stall} is out of range; its times are between 1ms and 365d"));
            }
        }
        if self.monitor.capacity == Some(0) {
            fault("capacity", "capacity 0 is out of range; at least 1 datagram a second".into());
        }
        if self.monitor.buffer == Some(0) {
            fault("buffer", "buffer 0 is out of range; at least 1 datagram".into());
        }
        let mut until = Span::ZERO;
        for restart in &self.monitor.restarts {
            if restart.at < until {
                fault(
                    "restart",
                    format!("restart {restart} begins before the one before it is over; put them in order"),
                );
            }
            until = restart.at + restart.down + MILLISECOND;
        }
    }
}

fn name_faults(before: &[Group], group: &Group, fault: &mut impl FnMut(&'static str, String)) {
    if !is_name(group.name.as_bytes()) {
        fault("name", format!("{:?} can't name a group; 1 to {NAME_MAX} of A-Z a-z 0-9 . _ : / @ -", group.name));
    }
    if before.iter().any(|other| other.name == group.name) {
        fault("name", format!("group {:?} is there twice; give one of them another name", group.name));
    }
}

impl Group {
    fn check(&self, fault: &mut impl FnMut(&'static str, String)) {
        if self.nodes == 0 || self.nodes > NODES_MAX {
            fault("nodes", format!("nodes {} is out of range; between 1 and {NODES_MAX}", self.nodes));
        }
        if self.clones > self.nodes / 2 {
            let most = self.nodes / 2;
            fault("clones", format!("clones {} is out of range; between 0 and {most}, half of the nodes", self.clones));
        }
        if self.interval < INTERVAL_MIN || self.interval > INTERVAL_MAX {
            fault("interval", format!("interval {} is out of range; between 10ms and 7d", self.interval.compact()));
        } else if !self.interval.nanos().is_multiple_of(MILLISECOND.nanos()) {
            let message = format!("interval {} isn't in whole milliseconds, as a heartbeat declares it", self.interval);
            fault("interval", message);
        } else {
            self.detector_faults(fault);
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
        self.network_faults(fault);
        self.pause_faults(fault);
        let confirm = self.confirm.of(self.interval);
        if confirm > LONGEST {
            fault("confirm", format!("confirm {} is out of range; at most 365d", confirm.compact()));
        }
        if self.nodes > 0 {
            self.length_faults(fault);
        }
    }

    fn network_faults(&self, fault: &mut impl FnMut(&'static str, String)) {
        if self.partitions.len() > PARTITIONS_MAX {
            let count = self.partitions.len();
            fault("partition", format!("{count} partitions are out of range; at most {PARTITIONS_MAX}"));
        }
        for partition in &self.partitions {
            let (from, until) = (partition.from.compact(), partition.until.compact());
            if partition.from >= partition.until {
                fault("partition", format!("partition {from}..{until} is empty; it must end after it begins"));
            }
            if !(0.0..=1.0).contains(&partition.share) {
                let message = format!("partition share {} is out of range; between 0 and 1", partition.share);
                fault("partition", message);
            }
        }
        for incident in &self.incidents {
            if !(0.0..=1.0).contains(&incident.share) {
                let message = format!("incident share {} is out of range; between 0 and 1", incident.share);
                fault("incident", message);
            }
        }
        if let Some(reorder) = self.reorder.filter(|reorder| !(0.0..=1.0).contains(&reorder.p)) {
            fault("reorder", format!("reorder: p {} is out of range; between 0 and 1", reorder.p));
        }
        if let Transport::Reliable(_) = self.transport {
            let way_out = "what goes over a connection arrives once and in order: leave it out, or use datagrams";
            if self.duplicates > 0.0 {
                fault(
                    "duplicates",
                    format!("duplicates {} can't be over {}; {way_out}", self.duplicates, self.transport),
                );
            }
            if let Some(reorder) = self.reorder {
                fault("reorder", format!("reorder {reorder} can't be over {}; {way_out}", self.transport));
            }
        }
        if let Some(uplink) = self.uplink.filter(|uplink| !(RATE.0..=RATE.1).contains(&uplink.rate)) {
            fault("uplink", format!("uplink: rate {} is out of range; between {} and {}", uplink.rate, RATE.0, RATE.1));
        }
    }

    fn pause_faults(&self, fault: &mut impl FnMut(&'static str, String)) {
        let Some(Pauses { every, length }) = self.pauses else { return };
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
        let dies = self.crashes > 0 || !self.incidents.is_empty();
        if down > LONGEST && dies {
            fault("down", format!("a node that is down for {down} is out of range; at most 365d: set it to less"));
        }
        if let Some(lifetime) = self.lifetime.filter(|lifetime| lifetime.mean() < self.interval.secs_f64()) {
            fault("lifetime", format!("lifetime {lifetime} is out of range; a mean of an interval at least"));
        }
        let (beats, lives) = (self.heartbeats.div_ceil(nodes) as f64, self.crashes.div_ceil(nodes) as f64);
        let span = self.interval.secs_f64() * beats + down.secs_f64() * lives + self.away_s();
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
                let alone = Scenario::from(self.clone());
                let faults = Config::new(alone.plan()).err().unwrap_or_default();
                for found in faults.into_iter().filter(|found| found.place == Place::Default) {
                    fault(found.key, found.message.replace(" (group \"defaults\")", ""));
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
}

/// As many as the product's monitor takes.
const NODES_MAX: u32 = 20_000_000;
/// The product tells a few more apart.
const GROUPS_MAX: usize = 1_000;
/// What the product's monitor accepts as declared.
pub(crate) const INTERVAL_MIN: Span = Span::from_millis(10);
pub(crate) const INTERVAL_MAX: Span = Span::from_secs(7 * 86_400);
const HEARTBEATS_MAX: u64 = 1_000_000_000_000;
const MILLISECOND: Span = Span::from_millis(1);
/// A hundred years in seconds; the nanoseconds of an instant last for 584.
const VIRTUAL_MAX: f64 = 100.0 * YEAR;
const YEAR: f64 = 31_557_600.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Delay;
    use crate::loss::Loss;
    use crate::scenario::Troubles;
    use systole_core::Wait;

    fn faults(scenario: &Scenario) -> Vec<&'static str> {
        scenario.check().iter().map(|fault| fault.key).collect()
    }

    fn group_faults(group: Group) -> Vec<&'static str> {
        faults(&group.into())
    }

    #[test]
    fn the_default_can_be_run() {
        assert_eq!(faults(&Scenario::default()), Vec::<&str>::new());
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let group = Group {
            interval: Span::from_millis(5),
            jitter: -0.1,
            drift: f64::NAN,
            twice: 2.0,
            clones: 1,
            loss: Loss::Gilbert { p: 0.1, burst: 0.5 },
            delay: Delay::Pareto { min: Span::from_secs(1), shape: 0.0 },
            pauses: Some(Pauses { every: Span::ZERO, length: Span::from_secs(1) }),
            partitions: vec!["1@9s..1s".parse().expect("its form is right")],
            crashes: 1_000_000_000,
            confirm: Wait::Span(Span::from_secs(1)),
            ..Group::default()
        };
        let monitor = Troubles {
            restarts: vec!["60s,down=2s".parse().expect("a restart"), "61s".parse().expect("a restart")],
            capacity: Some(0),
            ..Troubles::default()
        };
        let expected = [
            "clones",
            "interval",
            "jitter",
            "drift",
            "twice",
            "loss",
            "delay",
            "partition",
            "pauses",
            "crashes",
            "down",
            "heartbeats",
            "capacity",
            "restart",
        ];
        assert_eq!(faults(&Scenario { monitor, ..group.into() }), expected);
    }

    #[test]
    fn what_would_never_end_is_refused() {
        let tiny = Some(Pauses { every: Span::from_nanos(1), length: Span::from_nanos(1) });
        assert_eq!(group_faults(Group { pauses: tiny, ..Group::default() }), ["pauses", "pauses"]);
        let long = Some(Pauses { every: Span::from_secs(1), length: Span::from_secs(300 * 86_400) });
        assert_eq!(group_faults(Group { pauses: long, ..Group::default() }), ["heartbeats"]);
        let tail = Delay::Pareto { min: Span::from_secs(1), shape: 0.1 };
        assert_eq!(group_faults(Group { delay: tail.clone(), crashes: 1, ..Group::default() }), ["down"]);
        assert_eq!(group_faults(Group { delay: tail, ..Group::default() }), Vec::<&str>::new());
    }

    #[test]
    fn a_connection_makes_no_copies_and_nothing_overtakes_on_it() {
        let transport = "reliable:rto=200ms,rto-max=60s".parse().expect("a transport");
        let reorder = Some("p=0.01,by=50ms".parse().expect("a detour"));
        let group = Group { transport, duplicates: 0.01, reorder, twice: 0.1, ..Group::default() };
        let said: Vec<String> = Scenario::from(group).check().into_iter().map(|fault| fault.message).collect();
        let rest = "can't be over reliable:rto=200ms,rto-max=1m; what goes over a connection arrives once and in order: \
                    leave it out, or use datagrams";
        assert_eq!(said, [format!("duplicates 0.01 {rest}"), format!("reorder p=0.01,by=50ms {rest}")]);
    }

    #[test]
    fn a_fault_of_one_group_among_others_names_it() {
        let groups = vec![Group::default(), Group { name: "edge".into(), jitter: 3.0, ..Group::default() }];
        let found = Scenario { groups, ..Scenario::default() }.check();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].group, found[0].key), (Some(1), "jitter"));
        assert_eq!(found[0].message, "jitter 3 is out of range; between 0 and 1 (group \"edge\")");
    }

    #[test]
    fn groups_need_names_of_their_own_and_one_kind_of_judge() {
        let nfd_s = Group { detector: "nfd-s:delta=1s".parse().expect("a detector"), ..Group::default() };
        let groups = vec![Group::default(), nfd_s];
        assert_eq!(faults(&Scenario { groups, ..Scenario::default() }), ["name", "detector"]);
        assert_eq!(faults(&Scenario { groups: Vec::new(), ..Scenario::default() }), ["group"]);
    }
}
