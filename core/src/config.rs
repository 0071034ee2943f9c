//! The settings of a monitor, checked once at the door.
//!
//! A [`Plan`] is what somebody asks for; [`Config::new`] either says everything that is wrong with
//! it at once, or returns a [`Config`], which inside is trusted without another look. Which file
//! the plan came from, and on which line, is its reader's business: a [`Fault`] names the place.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

use crate::detector::Detector;
use crate::pattern::Pattern;
use crate::{Share, Span, Wait, is_name};

/// How the nodes of a group are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Decides until when silence is normal.
    pub detector: Detector,
    /// How long a suspect may stay silent beyond its deadline before it is failed.
    pub confirm: Wait,
    /// The interval of nodes that declare none. Nothing: 10 s at first, then learned.
    pub interval: Option<Span>,
    /// How long a listed node has for its first heartbeat.
    pub grace: Span,
}

/// Bounds on what the wire can make the monitor do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes beyond this many are refused.
    pub max_nodes: u32,
    /// Groups beyond this many aren't told apart from the default group.
    pub max_groups: u16,
    /// Shorter declared intervals count as this.
    pub interval_min: Span,
    /// Longer declared intervals and planned silences count as this.
    pub interval_max: Span,
}

/// What a node must show to belong to a group: all of what is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// A pattern for its name.
    pub node: Option<Pattern>,
    /// A pattern for the group that it declares.
    pub group: Option<Pattern>,
    /// A label and a pattern for its text.
    pub label: Option<(Box<str>, Pattern)>,
}

/// A configured group.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The group's name. A node that declares it belongs to it, unless an earlier rule matches.
    pub name: Box<str>,
    /// How its nodes are judged.
    pub settings: Settings,
    /// Other nodes that belong to it: those that fit any of these.
    pub matches: Vec<Match>,
    /// Nodes that are known before they beat.
    pub nodes: Vec<Box<str>>,
}

/// What somebody asks a monitor to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// For nodes of groups that aren't configured.
    pub default: Settings,
    /// The configured groups; the first that fits a node wins.
    pub groups: Vec<Rule>,
    /// Bounds on what the wire can do.
    pub limits: Limits,
    /// Which nodes this monitor is responsible for.
    pub share: Share,
    /// Keys the table's hash, since ids come from the network. Random, and told nobody.
    pub hash_key: (u64, u64),
}

/// A plan in which nothing is wrong. The default plan is one.
#[derive(Clone, Debug, Default)]
pub struct Config(Plan);

/// The part of a plan that a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The default settings.
    Default,
    /// The limits.
    Limits,
    /// The configured group with this index.
    Group(usize),
}

/// One thing that is wrong with a plan, with the value and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// Which setting it is: the name of the field.
    pub key: &'static str,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Settings {
    /// The interval of a node that neither declares one nor has shown one yet.
    pub const UNKNOWN_INTERVAL: Span = Span::from_secs(10);

    /// The interval of a node that declares none, before any is learned.
    pub fn default_interval(&self) -> Span {
        self.interval.unwrap_or(Self::UNKNOWN_INTERVAL)
    }

    /// The longest that a node which beats every `interval` can be dead, from its last heartbeat's
    /// arrival to the verdict: detector's bound and confirm time. Nothing where the detector
    /// promises no bound.
    pub fn detection_bound(&self, interval: Span) -> Option<Span> {
        self.detector.bound(interval).map(|bound| bound + self.confirm.of(interval))
    }
}

/// Suspect after 3.25 intervals, failed after 6.25: with one heartbeat in a hundred lost at
/// random, one false failure in eleven days among a million nodes that beat every second.
impl Default for Settings {
    fn default() -> Self {
        Self {
            detector: Detector::default(),
            confirm: Wait::Intervals(3.0),
            interval: None,
            grace: Span::from_secs(60),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_nodes: 20_000_000,
            max_groups: 1_024,
            interval_min: Span::from_millis(10),
            interval_max: Span::from_secs(7 * 86_400),
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            default: Settings::default(),
            groups: Vec::new(),
            limits: Limits::default(),
            share: Share::ALL,
            hash_key: (0, 0),
        }
    }
}

impl Match {
    /// Whether a node fits that is called `node`, declares `group`, and has a label of that name
    /// whose text fits that pattern if `labelled` says so.
    pub fn fits(&self, node: Option<&str>, group: Option<&str>, labelled: impl Fn(&str, &Pattern) -> bool) -> bool {
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.fits(text)))
        };
        fits(&self.node, node)
            && fits(&self.group, group)
            && self.label.as_ref().is_none_or(|(name, pattern)| labelled(name, pattern))
    }
}

impl Config {
    /// Takes a plan in which nothing is wrong.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(plan: Plan) -> Result<Self, Vec<Fault>> {
        let faults = faults(&plan);
        if faults.is_empty() { Ok(Self(plan)) } else { Err(faults) }
    }

    /// The plan, which can't be changed any more.
    pub const fn plan(&self) -> &Plan {
        &self.0
    }
}

fn faults(plan: &Plan) -> Vec<Fault> {
    let mut faults = limit_faults(&plan.limits);
    faults.extend(settings_faults(Place::Default, "defaults", &plan.default));
    let mut names = BTreeSet::new();
    let mut listed = BTreeSet::new();
    for (index, rule) in plan.groups.iter().enumerate() {
        let place = Place::Group(index);
        let mut fault = |key, message| faults.push(Fault { place, key, message });
        if !is_name(rule.name.as_bytes()) {
            fault("name", format!("group name {:?} must be 1 to 128 bytes of A-Z a-z 0-9 . _ : / @ -", rule.name));
        }
        if !names.insert(&rule.name) {
            fault("name", format!("group {:?} is configured twice; merge the two", rule.name));
        }
        for node in &rule.nodes {
            if !is_name(node.as_bytes()) {
                fault("nodes", format!("node {node:?} must be 1 to 128 bytes of A-Z a-z 0-9 . _ : / @ -"));
            } else if !listed.insert(node) {
                fault("nodes", format!("node {node:?} is listed twice; a node belongs to one group"));
            }
        }
        if rule.matches.contains(&Match::default()) {
            fault(
                "match",
                format!("an empty match fits every node (group {:?}); use node = \"*\" if that is meant", rule.name),
            );
        }
        faults.extend(settings_faults(place, &rule.name, &rule.settings));
    }
    if plan.groups.len() >= usize::from(plan.limits.max_groups) {
        let message = format!(
            "{} groups are configured but max_groups is {}; raise it above the number of groups",
            plan.groups.len(),
            plan.limits.max_groups
        );
        faults.push(Fault { place: Place::Limits, key: "max_groups", message });
    }
    if listed.len() > plan.limits.max_nodes as usize {
        let message = format!(
            "{} nodes are listed but max_nodes is {}; raise it to at least that",
            listed.len(),
            plan.limits.max_nodes
        );
        faults.push(Fault { place: Place::Limits, key: "max_nodes", message });
    }
    faults
}

fn limit_faults(limits: &Limits) -> Vec<Fault> {
    let mut faults = vec![];
    let mut fault = |key, message| faults.push(Fault { place: Place::Limits, key, message });
    if limits.max_nodes == 0 {
        fault(
            "max_nodes",
            "max_nodes 0 would refuse every node; set it to what the machine's memory holds, about 140 bytes a node and more for what nodes tell about themselves"
                .into(),
        );
    }
    if limits.interval_min.is_zero() {
        fault("interval_min", "interval_min 0 ms isn't an interval; set it to 1ms or more".into());
    }
    if limits.interval_max < limits.interval_min {
        fault(
            "interval_max",
            format!("interval_max {} is below interval_min {}; swap them", limits.interval_max, limits.interval_min),
        );
    }
    faults
}

fn settings_faults(place: Place, name: &str, settings: &Settings) -> Vec<Fault> {
    let mut faults = vec![];
    let mut fault = |key, message| faults.push(Fault { place, key, message });
    let interval = settings.default_interval();
    if interval.is_zero() {
        fault(
            "interval",
            format!("interval 0 ms isn't an interval; set the time between two heartbeats (group {name:?})"),
        );
        return faults;
    }
    let memory = settings.detector.start(interval);
    let patience = settings.detector.patience(&memory, interval);
    // A timeout in plain time can only be held against an interval that somebody stated.
    let scales = settings.detector.bound(interval) != settings.detector.bound(interval * 2);
    if patience <= interval && (settings.interval.is_some() || scales) {
        fault(
            "detector",
            format!(
                "{} would suspect a node {patience} after its last heartbeat, yet the next one is due after {interval}; \
                 raise it above {} or shorten the interval (group {name:?})",
                settings.detector,
                interval * 2
            ),
        );
    }
    if settings.grace.is_zero() && matches!(place, Place::Group(_)) {
        fault(
            "grace",
            format!(
                "grace 0 ms would fail listed nodes before they can beat; set it to a few intervals (group {name:?})"
            ),
        );
    }
    faults
}

/// The message alone; the place is shown by who knows the file.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Fault {}
