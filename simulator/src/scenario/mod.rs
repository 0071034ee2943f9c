//! What is to be simulated: every parameter of one run, and what is wrong with it.
//!
//! ```text
//!   Scenario ─┬─ seed
//!             ├─ Group "edge" ─┬─ its senders:  nodes, interval, jitter, pauses, crashes, ...
//!             │                ├─ its network:  loss, delay, transport, partitions, uplink, ...
//!             │                └─ its settings: detector, confirm
//!             ├─ Group "core" ...
//!             ├─ the monitor's own troubles: stalls, a small buffer, restarts, clock steps
//!             └─ the gates that its verdicts pass: whether it knows of these, guard, flapping
//! ```
//! Together with the code's version it determines the run: nothing is taken from the clock, the
//! machine or the environment. [`Scenario::check`] lists every fault at once.

mod builtin;
mod check;
mod detector;
pub(crate) mod dial;
mod file;
mod gates;
mod group;
mod incident;
mod partition;
mod pauses;
mod reorder;
mod troubles;
mod uplink;

use core::fmt;

use systole_core::Span;
use systole_core::config::{Plan, Rule, Settings};

pub use check::Fault;
pub(crate) use check::{INTERVAL_MAX, INTERVAL_MIN};
pub use detector::DetectorChoice;
pub use gates::Gates;
pub(crate) use gates::{FlapText, GuardText};
pub use group::{Group, Phase};
pub use incident::Incident;
pub use partition::{Direction, Partition};
pub use pauses::Pauses;
pub use reorder::Reorder;
pub use troubles::{ClockStep, Restart, Stall, Troubles};
pub use uplink::Uplink;

/// The seed of whoever doesn't choose one: always the same, so that a run can be repeated without
/// having been foreseen.
pub const DEFAULT_SEED: u64 = 2328;

/// Everything that determines a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Keys every random stream.
    pub seed: u64,
    /// The nodes, in groups that share settings and a network; at least one group.
    pub groups: Vec<Group>,
    /// What goes wrong with the monitor itself.
    pub monitor: Troubles,
    /// What may withhold its verdicts.
    pub gates: Gates,
}

impl Default for Scenario {
    /// One node that beats every second over a path on which nothing happens.
    fn default() -> Self {
        Group::default().into()
    }
}

impl From<Group> for Scenario {
    fn from(group: Group) -> Self {
        Self { seed: DEFAULT_SEED, groups: vec![group], monitor: Troubles::default(), gates: Gates::default() }
    }
}

impl Scenario {
    /// The same under another seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// How many nodes there are in all groups.
    pub fn nodes(&self) -> u32 {
        self.groups.iter().fold(0, |nodes, group| nodes.saturating_add(group.nodes))
    }

    /// How many heartbeats all nodes send together.
    pub fn heartbeats(&self) -> u64 {
        self.groups.iter().fold(0, |heartbeats, group| heartbeats.saturating_add(group.heartbeats))
    }

    /// How many lives end, over all nodes, not counting incidents.
    pub fn crashes(&self) -> u64 {
        self.groups.iter().map(|group| group.crashes).sum()
    }

    /// The longest that any of its detectors can take to suspect a node, see [`Group::bound`].
    pub fn bound(&self) -> Span {
        self.groups.iter().map(Group::bound).max().unwrap_or_default()
    }

    /// Whether what happens to one node can depend on the others: a shared uplink, a receive buffer
    /// that overflows, two senders with one id, a guard. Otherwise each node's run is the same whoever
    /// else there is.
    pub fn is_coupled(&self) -> bool {
        self.monitor.couples()
            || self.gates.couple()
            || self.groups.iter().any(|group| group.uplink.is_some() || group.clones > 0)
    }

    /// What the product's monitor is configured to. One group alone is the default group, so that
    /// its heartbeats needn't name it.
    pub(crate) fn plan(&self) -> Plan {
        let Gates { told: _, guard, flapping } = self.gates.clone();
        let plan = Plan { guard, flapping, ..Plan::default() };
        match self.groups.as_slice() {
            [] => plan,
            [group] => Plan { default: group.settings(), ..plan },
            groups => Plan { groups: groups.iter().map(rule).collect(), ..plan },
        }
    }

    /// Every parameter as text, by the name of its flag; those of groups behind the group's name if
    /// there are several.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let mut all = vec![("seed".into(), self.seed.to_string())];
        for group in &self.groups {
            let named =
                |name: &str| if self.groups.len() == 1 { name.into() } else { format!("{}.{name}", group.name) };
            all.extend(group.parameters().into_iter().map(|(name, value)| (named(name), value)));
        }
        let own = self.monitor.parameters().into_iter().chain(self.gates.parameters());
        all.extend(own.map(|(name, value)| (name.into(), value)));
        all
    }
}

fn rule(group: &Group) -> Rule {
    Rule { name: group.name.as_str().into(), settings: group.settings(), matches: Vec::new(), nodes: Vec::new() }
}

impl Group {
    /// How the product judges its nodes.
    pub(crate) fn settings(&self) -> Settings {
        let detector = match self.detector {
            DetectorChoice::Core(detector) => detector,
            DetectorChoice::NfdS { delta: _ } => systole_core::detector::Detector::default(),
        };
        Settings { detector, confirm: self.confirm, interval: Some(self.interval), ..Settings::default() }
    }
}

/// Texts of one kind, as they would be repeated as flags; `none` where there are none.
fn list<T: fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".into();
    }
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn optional<T: fmt::Display>(item: Option<&T>) -> String {
    item.map_or("none".into(), T::to_string)
}
