//! The groups that one monitor tells apart: those configured, and those that nodes declare.
//!
//! A group is found by name when a node registers or changes its mind, never on the ordinary path
//! of a heartbeat, where a node carries its group's index. Group 0 is the default group. Groups
//! are never removed; their number has a maximum, beyond which nodes fall into the default group.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::config::{Config, Settings};
use crate::{GroupIx, Liveness, Withheld};

/// The group of nodes that declare none.
pub const DEFAULT_GROUP: &str = "default";

/// Nodes that share settings and, often, a fate.
#[derive(Clone, Debug)]
pub struct Group {
    name: Box<str>,
    settings: Settings,
    configured: bool,
    counts: [u32; Liveness::ALL.len()],
    withheld: [u64; Withheld::ALL.len()],
}

/// All groups of one monitor.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    by_name: BTreeMap<Box<str>, GroupIx>,
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
        let mut groups = Self { groups: Vec::new(), by_name: BTreeMap::new() };
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
        let full = self.groups.len() >= usize::from(config.plan().limits.max_groups);
        (!full).then(|| self.push(name, config.plan().default, false))
    }

    pub(crate) fn get(&self, ix: GroupIx) -> &Group {
        &self.groups[ix.index()]
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
        self.groups.push(Group { name: name.into(), settings, configured, counts, withheld });
        self.by_name.insert(name.into(), ix);
        ix
    }
}
