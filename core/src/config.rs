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
use crate::guard::LABELS_MAX;
use crate::pattern::Pattern;
use crate::{NodeId, Share, Span, Wait, is_name};

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
    /// New nodes from one [`Source`](crate::Source) beyond this are refused. Nothing: no limit.
    pub new_nodes: Option<NewNodes>,
    /// Groups beyond this many aren't told apart from the default group.
    pub max_groups: u16,
    /// Shorter declared intervals count as this.
    pub interval_min: Span,
    /// Longer declared intervals and planned silences count as this.
    pub interval_max: Span,
}

/// How many nodes that nobody knows one network may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNodes {
    /// So many at once.
    pub burst: u32,
    /// Then one more in each such time.
    pub every: Span,
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

/// When many nodes that fall silent together are taken for one cause rather than for many deaths.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardSettings {
    /// So many silent nodes are never too many.
    pub least: u32,
    /// Nor is this share of those that are expected, 0 to 1.
    pub share: f32,
    /// For how long a failed node counts among those that fell silent together.
    pub window: Span,
    /// How long verdicts are withheld at the longest.
    pub longest: Span,
    /// How many verdicts are given a second after that.
    pub rate: f32,
    /// Labels whose values are guarded like groups: such as a rack, or a zone.
    pub labels: Vec<Box<str>>,
}

/// When a node that goes to and fro is kept quiet (RFC 2439).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlapSettings {
    /// What each return adds.
    pub penalty: f32,
    /// From here on it flaps.
    pub suppress: f32,
    /// Down here it is steady again.
    pub reuse: f32,
    /// In this time a penalty falls to half.
    pub half_life: Span,
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
    /// When mass silence is withheld. Nothing: never, each node is judged for itself alone.
    pub guard: Option<GuardSettings>,
    /// When a node that goes to and fro is kept quiet. Nothing: never.
    pub flapping: Option<FlapSettings>,
    /// Which nodes this monitor is responsible for.
    pub share: Share,
    /// Keys the table's hash, since ids come from the network. Random, and told nobody.
    pub hash_key: (u64, u64),
}

/// A plan in which nothing is wrong. The default plan is one.
#[derive(Clone, Debug, Default)]
pub struct Config {
    plan: Plan,
    /// The listed nodes of its share, by id.
    listed: Box<[Listed]>,
}

/// A listed node: where its name stands in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) id: NodeId,
    rule: u32,
    node: u32,
}

/// The part of a plan that a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The default settings.
    Default,
    /// The limits.
    Limits,
    /// The guard.
    Guard,
    /// What is flapping.
    Flapping,
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
            new_nodes: Some(NewNodes::default()),
            max_groups: 1_024,
            interval_min: Span::from_millis(10),
            interval_max: Span::from_secs(7 * 86_400),
        }
    }
}

/// More than three nodes and more than 15 % of them, for ten minutes at most.
impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            least: 3,
            share: 0.15,
            window: Span::from_secs(60),
            longest: Span::from_secs(600),
            rate: 100.0,
            labels: Vec::new(),
        }
    }
}

/// Ten returns at once; the last one is forgiven after five minutes.
impl Default for FlapSettings {
    fn default() -> Self {
        Self { penalty: 500.0, suppress: 5_000.0, reuse: 2_500.0, half_life: Span::from_secs(300) }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            default: Settings::default(),
            groups: Vec::new(),
            limits: Limits::default(),
            guard: None,
            flapping: None,
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
        if faults.is_empty() { Ok(Self::of(plan)) } else { Err(faults) }
    }

    /// The plan, which can't be changed any more.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The same with all that can't change while a monitor runs as `other` has it.
    pub(crate) fn in_place_of(self, other: &Self) -> Self {
        let Plan { share, hash_key, .. } = other.plan;
        let same_share = self.plan.share == share;
        let guard = match (&other.plan.guard, self.plan.guard) {
            (Some(former), Some(guard)) => Some(GuardSettings { labels: former.labels.clone(), ..guard }),
            (former, Some(_) | None) => former.clone(),
        };
        let flapping = other.plan.flapping.and(self.plan.flapping).or(other.plan.flapping);
        let plan = Plan { share, hash_key, guard, flapping, ..self.plan };
        if same_share { Self { plan, listed: self.listed } } else { Self::of(plan) }
    }

    pub(crate) fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The rule that lists a node, and the name by which it does.
    pub(crate) fn entry(&self, listed: Listed) -> (&Rule, &str) {
        let rule = &self.plan.groups[listed.rule as usize];
        (rule, &rule.nodes[listed.node as usize])
    }

    /// The rule that lists this node, if one does.
    pub(crate) fn rule_listing(&self, id: &NodeId) -> Option<&Rule> {
        let found = self.listed.binary_search_by(|listed| listed.id.cmp(id)).ok()?;
        Some(self.entry(self.listed[found]).0)
    }

    fn of(plan: Plan) -> Self {
        let names = (0..).zip(&plan.groups).flat_map(|(rule, group)| {
            (0..).zip(&group.nodes).map(move |(node, name)| Listed { id: NodeId::of(name), rule, node })
        });
        let mut listed: Vec<Listed> = names.filter(|listed| plan.share.holds(listed.id)).collect();
        listed.sort_unstable();
        Self { plan, listed: listed.into() }
    }
}

fn faults(plan: &Plan) -> Vec<Fault> {
    let mut faults = limit_faults(&plan.limits);
    faults.extend(plan.guard.iter().flat_map(guard_faults));
    faults.extend(plan.flapping.iter().flat_map(flap_faults));
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
    if let Some(new) = limits.new_nodes {
        if new.burst == 0 {
            fault("new_nodes_burst", "new_nodes_burst 0 would refuse every new node; set it to 1 or more".into());
        }
        if new.every.is_zero() {
            fault(
                "new_nodes_rate",
                "new_nodes_rate limits nothing if it is more than a node each nanosecond; set it to \"off\" to have \
                 no limit"
                    .into(),
            );
        }
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

fn guard_faults(guard: &GuardSettings) -> Vec<Fault> {
    let mut faults = vec![];
    let mut fault = |key, message| faults.push(Fault { place: Place::Guard, key, message });
    if !(guard.share > 0.0 && guard.share <= 1.0) {
        fault("share", format!("share {} isn't a share; set it above 0 and up to 1, such as 0.15", guard.share));
    }
    if guard.window.is_zero() {
        fault("window", "window 0 ms sees no two nodes together; set it to a minute or so".into());
    }
    if guard.longest.is_zero() {
        fault("longest", "longest 0 ms would withhold nothing; set it to some minutes, or turn the guard off".into());
    }
    if !(guard.rate > 0.0 && guard.rate.is_finite()) {
        fault("rate", format!("rate {} would never end a hold; set it above 0, such as 100/s", guard.rate));
    }
    if guard.labels.len() > LABELS_MAX {
        fault("labels", format!("{} labels are too many to guard; choose up to {LABELS_MAX}", guard.labels.len()));
    }
    for label in &guard.labels {
        if !is_name(label.as_bytes()) {
            fault("labels", format!("label {label:?} must be 1 to 64 bytes of A-Z a-z 0-9 . _ : / @ -"));
        }
    }
    faults
}

fn flap_faults(flaps: &FlapSettings) -> Vec<Fault> {
    let mut faults = vec![];
    let mut fault = |key, message| faults.push(Fault { place: Place::Flapping, key, message });
    if !(flaps.penalty > 0.0 && flaps.penalty.is_finite()) {
        fault("penalty", format!("penalty {} would forgive everything; set it above 0", flaps.penalty));
    }
    if !(flaps.suppress > flaps.penalty && flaps.suppress.is_finite()) {
        fault(
            "suppress",
            format!("suppress {} would quiet a single return; set it above penalty {}", flaps.suppress, flaps.penalty),
        );
    }
    if !(flaps.reuse > 0.0 && flaps.reuse < flaps.suppress) {
        fault("reuse", format!("reuse {} must lie between 0 and suppress {}", flaps.reuse, flaps.suppress));
    }
    if flaps.half_life < Span::from_millis(1) {
        fault("half_life", "half_life 0 ms forgets at once; set it to some minutes, or turn flapping off".into());
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
