//! Other settings while everything runs, and nobody is accused because of them.
//!
//! ```text
//!   reconfigure(config, now)      every group has its new settings; no node is judged by them yet
//!     turn, turn, turn ...        up to 2,048 nodes a turn: regrouped, waited for by the new settings
//!   settled                       the former settings are forgotten
//! ```
//!
//! A wait that became shorter begins with the change: what the former settings allowed until then isn't
//! held against a node. Such a [reprieve](Settling::reprieved) is kept beside the table, for as long as one can
//! matter, so that nodes need no room for it and heartbeats don't pay for it.

use core::fmt;

use alloc::boxed::Box;

use crate::config::{Config, Limits, Plan, Settings};
use crate::name::Name;
use crate::node::Flags;
use crate::steady::Steady;
use crate::{Backlog, Instant, Liveness, Monitor, NodeIx};

/// How many nodes one turn looks at, if none has to be held against a rule: a quarter of a millisecond.
const WORK: usize = 2_048;

/// And if there is more to receive.
const WORK_BUSY: usize = 64;

/// Looking at a node costs as much as holding it against so many patterns.
const PATTERNS: usize = 8;

/// And to find a listed node, or to make room for it, as much as to look at so many.
const LISTED: usize = 4;

/// Reprieves by which their table grows at a time.
const SEGMENT: usize = 4_096;

/// Why a monitor goes on as before. The configuration comes back with it.
#[derive(Clone, Debug)]
pub enum NotReconfigured {
    /// The change before isn't worked off: try again after some turns.
    Unsettled(Box<Config>),
    /// It names more groups than can be told apart, together with those that nodes have declared so far.
    Groups(Box<Config>),
}

/// What a change of the configuration still has to do, and to remember.
#[derive(Clone, Debug)]
pub(crate) struct Settling {
    open: Option<Open>,
    /// Until when nodes aren't accused, where that is later than by the settings.
    reprieves: Steady<Instant, SEGMENT>,
    /// When the last reprieve can't matter any more.
    over: Instant,
}

/// A change that isn't worked off.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Instant,
    /// Whether nodes may belong to other groups.
    regroup: bool,
    /// Whether other nodes are listed.
    relist: bool,
    /// Whether intervals have other bounds.
    limits: bool,
    /// The next listed node, then the next place.
    listed: usize,
    place: usize,
}

impl Monitor {
    /// Judges by another configuration from `now` on, and gives back the former one. Nobody is told, as nothing
    /// happened to any node.
    ///
    /// Groups, their settings, the limits, the listed nodes, and the numbers of the guard and of what is flapping
    /// change. The share of the nodes and the hash key stay, and so does whether there is a guard, which labels it
    /// guards, and whether anybody flaps. Nodes are looked at in the turns from now on, some thousand at a time; one
    /// that wasn't yet is judged as before, so for a moment both hold.
    ///
    /// Nobody is accused for a silence that was allowed until now: of a wait that became shorter only what lies
    /// behind `now` counts, though it never ends later than the former wait would have. A node that is listed no
    /// longer and was never heard is forgotten. More nodes than `max_nodes` allows stay, and no more are taken.
    ///
    /// # Errors
    /// The change before isn't worked off, or there are too many groups. Nothing was changed.
    pub fn reconfigure(&mut self, config: Config, now: Instant) -> Result<Config, NotReconfigured> {
        if self.settling.open.is_some() {
            return Err(NotReconfigured::Unsettled(config.into()));
        }
        if !self.groups.has_room(&config) {
            return Err(NotReconfigured::Groups(config.into()));
        }
        let config = config.in_place_of(&self.config);
        let changed = self.groups.reconfigure(&config);
        let regroup = regroups(self.config.plan(), config.plan());
        let relist = self.config.listed() != config.listed() || regroup && !config.listed().is_empty();
        let bounds = |config: &Config| (config.plan().limits.interval_min, config.plan().limits.interval_max);
        let limits = bounds(&self.config) != bounds(&config);
        if let (Some(guard), Some(settings)) = (&mut self.guard, &config.plan().guard) {
            guard.set(settings.clone());
        }
        if let (Some(flaps), Some(settings)) = (&mut self.flaps, config.plan().flapping) {
            flaps.set(settings);
        }
        self.newcomers.set(config.plan().limits.new_nodes);
        self.table.set_max(config.plan().limits.max_nodes as usize);
        if changed || regroup || relist || limits {
            self.settling.open = Some(Open { since: now, regroup, relist, limits, listed: 0, place: 0 });
        } else {
            self.groups.settled();
        }
        Ok(core::mem::replace(&mut self.config, config))
    }

    /// Whether [`reconfigure`](Self::reconfigure) would take such a configuration once the change before is worked off.
    /// If so, that stays true: what room it needs is kept from groups that nodes declare, until it is taken or
    /// [given up](Self::give_up).
    pub fn prepare(&mut self, config: &Config) -> bool {
        self.groups.keep_room(config)
    }

    /// What was prepared won't come.
    pub fn give_up(&mut self) {
        self.groups.free_room();
    }

    /// Whether every node is judged by the configuration in force.
    pub const fn is_settled(&self) -> bool {
        self.settling.open.is_none()
    }

    /// Works off some of the last change.
    pub(crate) fn settle(&mut self, now: Instant, backlog: Backlog) {
        if self.settling.reprieves.len() > 0 && now > self.settling.over {
            self.settling.reprieves = Steady::new();
        }
        let Some(mut open) = self.settling.open else { return };
        let mut work = match backlog {
            Backlog::More => WORK_BUSY,
            Backlog::Drained | Backlog::SeenUntil(_) => WORK,
        };
        while let Some(listed) = self.config.listed().get(open.listed).copied().filter(|_| open.relist && work > 0) {
            let (rule, name) = self.config.entry(listed);
            let (name, group) = (Box::<str>::from(name), self.groups.find(&rule.name));
            match (self.table.find(&listed.id), group) {
                (Some(ix), _) => self.list(ix, &name),
                (None, Some(group)) => self.expect(&name, group, now),
                (None, None) => {}
            }
            open.listed += 1;
            work = work.saturating_sub(LISTED);
        }
        let patterns: usize =
            if open.regroup { self.config.plan().groups.iter().map(|rule| 1 + rule.matches.len()).sum() } else { 0 };
        let each = 1 + patterns / PATTERNS + if open.relist { LISTED - 1 } else { 0 };
        while work > 0 && open.place < self.table.places() {
            self.settle_node(NodeIx::new(open.place), open, now);
            open.place += 1;
            work = work.saturating_sub(each);
        }
        // Places may have been added since; they come last.
        self.settling.open = Some(open).filter(|open| open.place < self.table.places() || work == 0);
        if self.settling.open.is_none() {
            self.groups.settled();
        }
    }

    /// Lets the node at this place belong where it does now, and be waited for accordingly.
    fn settle_node(&mut self, ix: NodeIx, open: Open, now: Instant) {
        if !self.table.occupied(ix) {
            return self.groups.settle(ix.index() + 1);
        }
        let before = *self.groups.settings(self.table.node(ix).group, ix);
        let end_before = self.wait_end(ix);
        self.groups.settle(ix.index() + 1);
        let unlisted = open.relist && self.is_unlisted(ix);
        if unlisted {
            let node = self.table.node_mut(ix);
            node.flags.set(Flags::LISTED, false);
            if !node.flags.has(Flags::HEARD) {
                return self.forget(ix, now);
            }
        }
        if open.regroup || unlisted || open.relist && self.table.node(ix).flags.has(Flags::LISTED) {
            self.move_to_its_group(ix);
        }
        let node = self.table.node_mut(ix);
        let settings = *self.groups.settings(node.group, ix);
        if settings == before && !open.limits {
            return;
        }
        let interval = node.interval();
        if node.flags.has(Flags::DECLARED) {
            let Limits { interval_min, interval_max, .. } = self.config.plan().limits;
            node.set_interval(interval.clamp(interval_min, interval_max));
        } else if settings.interval != before.interval {
            node.forget_interval(settings.interval);
        }
        if settings.detector != before.detector || node.interval() != interval {
            // Another detector, or another rhythm, may read the memory differently.
            node.memory = settings.detector.start(node.interval());
        }
        if let Some(end_before) = end_before {
            self.reprieve(ix, end_before, &settings, now);
        }
        if let Some(end) = self.wait_end(ix) {
            self.wheel.arm(ix, end.tick_up());
        }
    }

    /// Sees to it that the node isn't accused before the former wait ends, or the new one does counted from `now`.
    fn reprieve(&mut self, ix: NodeIx, end_before: Instant, settings: &Settings, now: Instant) {
        let node = *self.table.node(ix);
        let confirm = settings.confirm.of(node.interval());
        let (anew, after_deadline) = match node.liveness {
            Liveness::Unseen => (now + settings.grace, None),
            Liveness::Alive => {
                (now.max(node.arrival) + settings.detector.patience(&node.memory, node.interval()), None)
            }
            Liveness::Suspect => (now + confirm, Some(confirm)),
            Liveness::Failed | Liveness::Left => return,
        };
        let earliest = end_before.min(anew);
        if self.wait_end(ix).is_some_and(|end| end < earliest) {
            self.settling.reprieves.grow(ix.index() + 1, &Instant::ORIGIN);
            self.settling.reprieves[ix.index()] = after_deadline.map_or(earliest, |confirm| earliest - confirm);
            self.settling.over = self.settling.over.max(earliest + confirm);
        }
    }

    /// Notes that a node stands in the configuration, by this name.
    fn list(&mut self, ix: NodeIx, name: &str) {
        let node = self.table.node_mut(ix);
        node.flags.set(Flags::LISTED, true);
        if !node.flags.has(Flags::NAMED) {
            node.flags.set(Flags::NAMED, true);
            self.table.detail_mut(ix).name = Name::new(name);
        }
    }

    fn is_unlisted(&self, ix: NodeIx) -> bool {
        let node = self.table.node(ix);
        node.flags.has(Flags::LISTED) && self.config.rule_listing(&node.id).is_none()
    }

    fn move_to_its_group(&mut self, ix: NodeIx) {
        let node = self.table.node(ix);
        let rule = self.config.rule_listing(&node.id).filter(|_| node.flags.has(Flags::LISTED));
        let listed = rule.and_then(|rule| self.groups.find(&rule.name));
        let group = listed.unwrap_or_else(|| self.fitting(ix, None));
        let node = self.table.node(ix);
        if node.group == group {
            return;
        }
        self.leave_guard(ix);
        let node = self.table.node_mut(ix);
        self.groups.leave(node.group, node.liveness);
        self.groups.enter(group, node.liveness);
        node.group = group;
        self.enter_guard(ix);
    }
}

/// Whether a node could belong to another group now.
fn regroups(former: &Plan, plan: &Plan) -> bool {
    former.groups.len() != plan.groups.len()
        || former.groups.iter().zip(&plan.groups).any(|(a, b)| (&a.name, &a.matches) != (&b.name, &b.matches))
}

impl Settling {
    /// When there is something to do again: at once, while a change isn't worked off.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.open.map(|open| open.since)
    }

    /// The later of a node's deadline by its settings and the end of its reprieve, if it has one.
    #[inline]
    pub(crate) fn reprieved(&self, ix: NodeIx, deadline: Instant) -> Instant {
        if ix.index() < self.reprieves.len() { deadline.max(self.reprieves[ix.index()]) } else { deadline }
    }

    /// Another node comes to this place.
    pub(crate) fn forget(&mut self, ix: NodeIx) {
        if ix.index() < self.reprieves.len() {
            self.reprieves[ix.index()] = Instant::ORIGIN;
        }
    }
}

impl Default for Settling {
    fn default() -> Self {
        Self { open: None, reprieves: Steady::new(), over: Instant::ORIGIN }
    }
}

impl NotReconfigured {
    /// The configuration that wasn't taken.
    pub fn into_config(self) -> Config {
        match self {
            Self::Unsettled(config) | Self::Groups(config) => *config,
        }
    }
}

impl fmt::Display for NotReconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsettled(_) => "the change before isn't worked off yet; try again in a second",
            Self::Groups(_) => {
                "there are more groups, with those that nodes have declared since the start, than the 65,536 that can be \
                 told apart; start the monitor anew"
            }
        })
    }
}

impl core::error::Error for NotReconfigured {}
