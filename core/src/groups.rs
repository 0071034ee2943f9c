//! The groups that one monitor tells apart: those configured, and those that nodes declare.
//!
//! A group is found by name when a node registers or changes its mind, never on the ordinary path
//! of a heartbeat, where a node carries its group's index. Group 0 is the default group. Groups
//! are never removed; their number has a maximum, beyond which nodes fall into the default group.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::config::{Config, Settings};
use crate::{GroupIx, Liveness, NodeIx, Withheld};

/// The group of nodes that declare none.
pub const DEFAULT_GROUP: &str = "default";

/// As many as an index of 16 bits can tell apart.
const GROUPS_MAX: usize = 1 << 16;

/// Nodes that share settings and, often, a fate.
#[derive(Clone, Debug)]
pub struct Group {
    name: Box<str>,
    settings: Settings,
    /// How its nodes are judged that weren't looked at since the settings changed.
    former: Option<Settings>,
    configured: bool,
    counts: [u32; Liveness::ALL.len()],
    withheld: [u64; Withheld::ALL.len()],
}

/// All groups of one monitor.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    by_name: BTreeMap<Box<str>, GroupIx>,
    /// Nodes at places below this are judged by the settings in force, the others by the former ones.
    settled: usize,
    /// Room for so many that aren't there is kept for the configuration to come.
    kept: usize,
}

impl Group {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its nodes are judged.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it stands in the configuration.
    pub const fn configured(&self) -> bool {
        self.configured
    }

    /// How many of its nodes are believed to be so.
    pub const fn count(&self, liveness: Liveness) -> u32 {
        self.counts[liveness as usize]
    }

    /// How many verdicts about its nodes had to wait for this reason, since the start.
    pub const fn withheld(&self, reason: Withheld) -> u64 {
        self.withheld[reason as usize]
    }

    /// How many nodes it has.
    pub fn len(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Whether it has no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Groups {
    pub(crate) fn new(config: &Config) -> Self {
        let plan = config.plan();
        let mut groups = Self { groups: Vec::new(), by_name: BTreeMap::new(), settled: usize::MAX, kept: 0 };
        // A rule may be about the default group itself.
        let default = plan.groups.iter().find(|rule| &*rule.name == DEFAULT_GROUP);
        groups.push(DEFAULT_GROUP, default.map_or(plan.default, |rule| rule.settings), default.is_some());
        for rule in plan.groups.iter().filter(|rule| &*rule.name != DEFAULT_GROUP) {
            groups.push(&rule.name, rule.settings, true);
        }
        groups
    }

    pub(crate) fn find(&self, name: &str) -> Option<GroupIx> {
        self.by_name.get(name).copied()
    }

    /// The group called `name`, made with the default settings if there is none and fewer than `max`.
    pub(crate) fn find_or_make(&mut self, name: &str, config: &Config) -> Option<GroupIx> {
        if let Some(found) = self.find(name) {
            return Some(found);
        }
        let len = self.groups.len();
        let full = len >= usize::from(config.plan().limits.max_groups) || len + self.kept >= GROUPS_MAX;
        (!full).then(|| self.push(name, config.plan().default, false))
    }

    pub(crate) fn get(&self, ix: GroupIx) -> &Group {
        &self.groups[ix.index()]
    }

    /// How the node at this place is judged, which is of this group.
    #[inline]
    pub(crate) fn settings(&self, ix: GroupIx, place: NodeIx) -> &Settings {
        let group = &self.groups[ix.index()];
        match &group.former {
            Some(former) if place.index() >= self.settled => former,
            Some(_) | None => &group.settings,
        }
    }

    /// Whether all groups that `config` needs could be told apart.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        self.groups.len() + self.missing(config) <= GROUPS_MAX
    }

    /// Keeps the room that `config` needs from groups that nodes declare, instead of any kept before. Whether it is there.
    pub(crate) fn keep_room(&mut self, config: &Config) -> bool {
        let room = self.has_room(config);
        self.kept = if room { self.missing(config) } else { 0 };
        room
    }

    pub(crate) fn free_room(&mut self) {
        self.kept = 0;
    }

    /// How many groups of `config` aren't there.
    fn missing(&self, config: &Config) -> usize {
        config.plan().groups.iter().filter(|rule| self.find(&rule.name).is_none()).count()
    }

    /// Puts other settings in force, for no node yet. Whether any differ from those before.
    pub(crate) fn reconfigure(&mut self, config: &Config) -> bool {
        let plan = config.plan();
        self.kept = 0;
        for rule in &plan.groups {
            if self.find(&rule.name).is_none() {
                self.push(&rule.name, rule.settings, true);
            }
        }
        let rules: BTreeMap<&str, &Settings> = plan.groups.iter().map(|rule| (&*rule.name, &rule.settings)).collect();
        let mut changed = false;
        for group in &mut self.groups {
            let rule = rules.get(&*group.name);
            group.configured = rule.is_some();
            let settings = *rule.map_or(&plan.default, |settings| *settings);
            if settings != group.settings {
                group.former = Some(core::mem::replace(&mut group.settings, settings));
                changed = true;
            }
        }
        self.settled = 0;
        changed
    }

    /// Nodes below this place have been looked at.
    pub(crate) const fn settle(&mut self, below: usize) {
        self.settled = below;
    }

    /// All nodes have.
    pub(crate) fn settled(&mut self) {
        self.settled = usize::MAX;
        self.groups.iter_mut().for_each(|group| group.former = None);
    }

    pub(crate) fn all(&self) -> &[Group] {
        &self.groups
    }

    /// A node came into the group.
    pub(crate) fn enter(&mut self, ix: GroupIx, liveness: Liveness) {
        self.groups[ix.index()].counts[liveness as usize] += 1;
    }

    /// A node left the group.
    pub(crate) fn leave(&mut self, ix: GroupIx, liveness: Liveness) {
        self.groups[ix.index()].counts[liveness as usize] -= 1;
    }

    /// A verdict about one of its nodes has to wait.
    pub(crate) fn withhold(&mut self, ix: GroupIx, reason: Withheld) {
        self.groups[ix.index()].withheld[reason as usize] += 1;
    }

    fn push(&mut self, name: &str, settings: Settings, configured: bool) -> GroupIx {
        let ix = GroupIx::new(self.groups.len());
        let (counts, withheld) = ([0; Liveness::ALL.len()], [0; Withheld::ALL.len()]);
        self.groups.push(Group { name: name.into(), settings, former: None, configured, counts, withheld });
        self.by_name.insert(name.into(), ix);
        ix
    }
}
