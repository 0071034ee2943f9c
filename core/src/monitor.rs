//! The state machine: received bytes and the time go in, changes of belief come out.
//!
//! It sequences calls to the leaves and fixes one order for daemon and simulator alike: first
//! everything received, then everything due. While the socket isn't drained ([`Backlog::More`])
//! nobody is declared silent, because nobody has looked yet. It owns no clock and no socket, and
//! doesn't assume that it is alone: nodes of another share are handed on, not judged. What is received
//! is dealt with here, what is due in `verdict.rs`.

use alloc::boxed::Box;
use core::fmt;

use crate::auth::{KeyRing, Opened};
use crate::belief::{Belief, BeliefError};
use crate::config::{Config, Settings};
use crate::conflict::Conflicts;
use crate::counters::Counters;
use crate::detector::Beat;
use crate::event::{Cause, Sink};
use crate::flap::Flaps;
use crate::groups::{Group, Groups};
use crate::guard::Guard;
use crate::health::Health;
use crate::liveness::{Input, Liveness};
use crate::name::Name;
use crate::newcomers::{Newcomers, Source};
use crate::node::{Flags, Newer, Node};
use crate::pattern::Pattern;
use crate::payload::Payload;
use crate::reconfigure::Settling;
use crate::table::NodeTable;
use crate::verdict::Overload;
use crate::view::NodeView;
use crate::wheel::Wheel;
use crate::wire::{self, Kind, Message};
use crate::{GroupIx, Instant, NodeId, NodeIx, Reject, Span};

/// How many datagrams of a batch are looked up together, so that the memory of one is fetched
/// while the others wait for theirs.
const AHEAD: usize = 64;

/// What was received.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its bytes, or as many as the receive buffer held.
    pub bytes: &'a [u8],
    /// When it arrived: by the kernel's clock, not when it was read.
    pub arrival: Instant,
    /// Whether it was longer than the receive buffer.
    pub truncated: bool,
    /// Where it came from.
    pub source: Source,
}

/// Whether there is more to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// Everything that arrived until `now` has been handed in.
    Drained,
    /// Everything that arrived until this instant has been handed in: silence is judged as of then.
    SeenUntil(Instant),
    /// Something may still wait: silence means nothing yet.
    More,
}

/// What is believed of all nodes of one share.
pub struct Monitor {
    pub(crate) config: Config,
    pub(crate) table: NodeTable,
    pub(crate) groups: Groups,
    pub(crate) wheel: Wheel,
    pub(crate) counters: Counters,
    keys: KeyRing,
    pub(crate) newcomers: Newcomers,
    pub(crate) settling: Settling,
    pub(crate) health: Health,
    pub(crate) guard: Option<Guard>,
    pub(crate) flaps: Option<Flaps>,
    pub(crate) conflicts: Conflicts,
    pub(crate) overload: Overload,
    /// The latest instant that it was told.
    pub(crate) latest: Instant,
}

impl<'a> Datagram<'a> {
    /// One that came whole, and from this machine itself.
    pub const fn new(bytes: &'a [u8], arrival: Instant) -> Self {
        Self { bytes, arrival, truncated: false, source: Source::LOCAL }
    }
}

impl Monitor {
    /// A monitor that has heard nobody yet. The nodes listed in the configuration have from `now`
    /// on their grace to appear.
    pub fn new(config: Config, now: Instant) -> Self {
        let plan = config.plan();
        let mut monitor = Self {
            table: NodeTable::new(plan.limits.max_nodes as usize, plan.hash_key),
            groups: Groups::new(&config),
            wheel: Wheel::new(now.tick_down()),
            counters: Counters::default(),
            keys: KeyRing::default(),
            newcomers: Newcomers::new(plan.limits.new_nodes, plan.hash_key),
            settling: Settling::default(),
            health: Health::new(now),
            guard: plan.guard.clone().map(|settings| Guard::new(settings, now)),
            flaps: plan.flapping.map(Flaps::new),
            conflicts: Conflicts::default(),
            overload: Overload::default(),
            latest: now,
            config: Config::default(),
        };
        for rule in &plan.groups {
            let group = monitor.groups.find(&rule.name).expect("every configured group was made");
            let own = rule.nodes.iter().filter(|name| plan.share.holds(NodeId::of(name)));
            own.for_each(|name| monitor.expect(name, group, now));
        }
        monitor.config = config;
        monitor
    }

    /// Takes in what was received, then declares what is due at `now`. Returns when to call again
    /// at the latest; `now` itself if there is more to do at once, nothing if nobody is waited for.
    pub fn turn(
        &mut self,
        now: Instant,
        batch: &[Datagram<'_>],
        backlog: Backlog,
        sink: &mut impl Sink,
    ) -> Option<Instant> {
        self.latest = self.latest.max(now);
        self.health.received(batch.len());
        for chunk in batch.chunks(AHEAD) {
            let ahead = self.look_ahead(chunk);
            for (datagram, place) in chunk.iter().zip(ahead) {
                self.datagram(now, datagram, place, sink);
            }
        }
        self.settle(now, backlog);
        match backlog {
            Backlog::More => {
                self.fall_behind(now, sink);
                Some(now)
            }
            Backlog::Drained => {
                self.expire(now, now, sink);
                self.poll_timeout()
            }
            Backlog::SeenUntil(seen) => {
                self.expire(now, seen.min(now), sink);
                self.poll_timeout()
            }
        }
    }

    /// When [`Monitor::turn`] has something to do again: maybe early, never late.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let others = [
            self.guard.as_ref().and_then(Guard::poll_timeout),
            self.flaps.as_ref().and_then(Flaps::poll_timeout),
            self.overload.poll_timeout(),
            self.settling.poll_timeout(),
        ];
        let due = self.wheel.poll_timeout().map(|tick| tick.instant());
        others.into_iter().flatten().chain(due).min()
    }

    /// Forgets a node, as if it had never been heard. Its place may be used again. One that the
    /// configuration lists is expected anew, with its grace from `now` on.
    pub fn forget(&mut self, ix: NodeIx, now: Instant) {
        if !self.table.occupied(ix) {
            return;
        }
        let Node { group, liveness, flags, .. } = *self.table.node(ix);
        let listed = self.table.detail(ix).name.clone();
        self.groups.leave(group, liveness);
        self.leave_guard(ix);
        if let Some(flaps) = &mut self.flaps {
            flaps.forget(ix);
        }
        self.conflicts.forget(ix);
        self.wheel.disarm(ix);
        self.table.remove(ix);
        self.counters.forgotten += 1;
        if let Some(name) = listed.text().filter(|_| flags.has(Flags::LISTED)) {
            self.expect(name, group, now);
        }
    }

    /// What is believed of the node at this place, for another monitor to take over. Nothing if the
    /// place is vacant.
    pub fn belief(&self, ix: NodeIx) -> Option<Belief<'_>> {
        self.table.occupied(ix).then(|| {
            let (node, detail) = (self.table.node(ix), self.table.detail(ix));
            let declared = detail.declared.map(|ix| self.groups.get(ix).name());
            Belief::of(node, detail, self.groups.settings(node.group, ix), declared, self.table.load(ix))
        })
    }

    /// Believes what another monitor believed, or this one before it was restarted. Nothing is told:
    /// nothing happened.
    ///
    /// From `now` on the node is waited for as after a heartbeat, so that nobody is failed for
    /// silence before the detector's patience and the confirm time have passed here: alive may
    /// become suspect, suspect failed, and an unseen node has its grace anew. An announced silence
    /// is still excused. Failed and left stay so until the node is heard. What isn't newer than the
    /// belief's last message is refused as ever.
    ///
    /// If the node is known here, the newer of the two beliefs holds, by incarnation and seq; if neither
    /// monitor ever heard it, this one as long as the node is unseen here. That too is told nobody, so
    /// take over before the first turn. The node's group is chosen by this monitor's configuration.
    ///
    /// # Errors
    /// The belief can't be true here, is of no use, or finds no place; nothing was changed.
    pub fn take_over(&mut self, belief: &Belief<'_>, now: Instant) -> Result<NodeIx, BeliefError> {
        belief.check(self.config.plan().share)?;
        let ix = match self.table.find(&belief.id) {
            Some(ix) if belief.is_newer_than(self.table.node(ix)) => ix,
            Some(_) => return Err(BeliefError::NotNewer),
            None if belief.last.is_none() => return Err(BeliefError::Unlisted),
            None if self.table.is_full() => return Err(BeliefError::TableFull),
            None => self.place(Node::new(belief.id, GroupIx::FIRST, None, now), Name::Unknown),
        };
        self.leave_guard(ix);
        self.note_believed(ix, belief, now);
        let former = *self.table.node(ix);
        let settings = self.groups.settings(former.group, ix);
        let node = belief.node(&former, settings, &self.config.plan().limits, now);
        self.groups.leave(former.group, former.liveness);
        self.groups.enter(node.group, node.liveness);
        *self.table.node_mut(ix) = node;
        self.enter_guard(ix);
        match self.due(ix) {
            Some(due) => self.wheel.arm(ix, due.at.tick_up()),
            None => self.wheel.disarm(ix),
        }
        Ok(ix)
    }

    /// From now on these keys decide who may be believed; without any call nobody looks at tags.
    /// Counts go on. What was believed before stays believed.
    pub fn set_keys(&mut self, mut keys: KeyRing) {
        keys.succeed(&self.keys);
        self.keys = keys;
    }

    /// The keys in force.
    pub const fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The place of the node with this id.
    pub fn find(&self, id: &NodeId) -> Option<NodeIx> {
        self.table.find(id)
    }

    /// What is believed of the node at this place, and why. Nothing if the place is vacant.
    pub fn node(&self, ix: NodeIx) -> Option<NodeView<'_>> {
        self.table.occupied(ix).then(|| {
            let node = self.table.node(ix);
            let detail = self.table.detail(ix);
            NodeView {
                ix,
                generation: detail.generation,
                id: node.id,
                called: detail.name.called(node.id),
                group: self.groups.get(node.group),
                liveness: node.liveness,
                since: detail.since,
                due: self.due(ix).map(|due| due.at),
                load: self.table.load(ix),
                payload: detail.payload.as_deref(),
                evidence: self.evidence(ix),
            }
        })
    }

    /// Every node lives at a place below this.
    pub const fn places(&self) -> usize {
        self.table.places()
    }

    /// How many nodes are known.
    pub const fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no node is known.
    pub const fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// All groups, by index.
    pub fn groups(&self) -> &[Group] {
        self.groups.all()
    }

    /// What was counted since the start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The settings in force.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Finds the nodes of a batch before any of them is judged. The look-ups don't depend on each
    /// other, so their cache misses overlap; one by one each would wait for its own. Nothing has been
    /// verified by then: what is found here is used only for a message that was opened.
    fn look_ahead(&self, chunk: &[Datagram<'_>]) -> [Option<NodeIx>; AHEAD] {
        let mut places = [None; AHEAD];
        for (place, datagram) in places.iter_mut().zip(chunk) {
            *place = wire::first_node(datagram.bytes).and_then(|id| self.table.find(&id));
        }
        places
    }

    fn datagram(&mut self, now: Instant, datagram: &Datagram<'_>, mut place: Option<NodeIx>, sink: &mut impl Sink) {
        if datagram.truncated {
            return self.counters.reject(Reject::Truncated);
        }
        for item in wire::messages(datagram.bytes) {
            // What was looked up belongs to the first message alone, whatever becomes of that.
            let place = place.take();
            let judged = item.and_then(|(message, bytes)| {
                if self.config.plan().share.holds(message.node) {
                    let opened = self.keys.open(&message, bytes)?;
                    self.message(now, &opened, datagram, place, sink)?;
                    self.keys.accept(opened);
                    Ok(())
                } else {
                    self.keys.admit(&message)?;
                    self.counters.foreign += 1;
                    sink.foreign(message.node, &Datagram { bytes, ..*datagram });
                    Ok(())
                }
            });
            if let Err(reason) = judged {
                self.counters.reject(reason);
            }
        }
    }

    fn message(
        &mut self,
        now: Instant,
        message: &Opened<'_>,
        datagram: &Datagram<'_>,
        place: Option<NodeIx>,
        sink: &mut impl Sink,
    ) -> Result<(), Reject> {
        let arrival = datagram.arrival;
        let ix = match (place.or_else(|| self.table.find(&message.node)), message.kind) {
            (Some(ix), Kind::Heartbeat | Kind::Goodbye) => ix,
            (None, Kind::Heartbeat) => self.register(message.node, datagram.source, now)?,
            (None, Kind::Goodbye) => return Err(Reject::UnknownNode),
        };
        let newer = match self.table.node(ix).newer(message.incarnation, message.seq, arrival) {
            Ok(newer) => newer,
            Err(reason) => {
                self.note_rival(now, ix, message, arrival, sink);
                return Err(reason);
            }
        };
        match message.kind {
            Kind::Heartbeat => self.heartbeat(now, ix, message, newer, arrival, sink),
            Kind::Goodbye => self.goodbye(now, ix, newer, arrival, sink),
        }
        Ok(())
    }

    /// The ordinary path. Nothing here allocates, unless the node tells something new of itself.
    fn heartbeat(
        &mut self,
        now: Instant,
        ix: NodeIx,
        message: &Message<'_>,
        newer: Newer,
        arrival: Instant,
        sink: &mut impl Sink,
    ) {
        self.counters.heartbeats += 1;
        self.note_told(ix, message);
        let node = self.table.node_mut(ix);
        let settings = self.groups.settings(node.group, ix);

        // Whether this begins a life, and whether the time since the last heartbeat says anything
        // about the node's rhythm.
        let anew = newer.gap.is_none() || node.liveness == Liveness::Left;
        let outage = node.liveness == Liveness::Failed || node.flags.has(Flags::PLANNED) || !node.heard_here();
        let steady = newer.gap.filter(|_| !anew && !outage);
        if anew && node.flags.has(Flags::DECLARED) {
            // What a former life declared binds it alone.
            node.flags.set(Flags::DECLARED, false);
            node.forget_interval(settings.interval);
        }
        let elapsed = arrival.since(node.arrival);
        let limits = self.config.plan().limits;
        let declared = message.interval.map(|span| span.clamp(limits.interval_min, limits.interval_max));
        let changed = note_interval(node, settings, declared, elapsed, steady);
        let interval = node.interval();
        match steady {
            Some(gap) if !changed => {
                settings.detector.heartbeat(&mut node.memory, Beat { elapsed, gap, interval });
                sink.heartbeat(node.group, elapsed - interval * gap, gap - 1);
            }
            Some(_) | None => node.memory = settings.detector.start(interval),
        }
        let first = !node.flags.has(Flags::HEARD);
        let restarted = newer.incarnation != node.incarnation;
        node.take(newer, arrival);
        node.flags.set(Flags::PLANNED, message.next.is_some());
        if let Some(next) = message.next {
            self.plan_silence(ix, next);
        }
        if let Some(load) = message.load {
            self.table.set_load(ix, load);
        }
        self.wheel.arm(ix, self.normal_until(ix).tick_up());

        let cause = match self.table.node(ix).liveness {
            Liveness::Alive => return,
            Liveness::Unseen | Liveness::Suspect | Liveness::Failed | Liveness::Left if first => Cause::FirstHeartbeat,
            Liveness::Unseen | Liveness::Suspect | Liveness::Failed | Liveness::Left if restarted => Cause::Restart,
            Liveness::Unseen | Liveness::Suspect | Liveness::Failed | Liveness::Left => Cause::Heartbeat,
        };
        self.transition(now, ix, Input::Heartbeat, cause, sink);
    }

    fn goodbye(&mut self, now: Instant, ix: NodeIx, newer: Newer, arrival: Instant, sink: &mut impl Sink) {
        self.counters.goodbyes += 1;
        self.wheel.disarm(ix);
        let node = self.table.node_mut(ix);
        node.take(newer, arrival);
        if node.liveness != Liveness::Left {
            self.transition(now, ix, Input::Goodbye, Cause::Goodbye, sink);
        }
    }

    /// Gives a node its place. What it tells about itself, its name and group included, is noted
    /// like that of any other.
    fn register(&mut self, id: NodeId, source: Source, now: Instant) -> Result<NodeIx, Reject> {
        if self.table.is_full() {
            return Err(Reject::TableFull);
        }
        if !self.newcomers.admit(source, now) {
            return Err(Reject::RateLimited);
        }
        self.counters.registered += 1;
        let interval = self.groups.get(GroupIx::FIRST).settings().interval;
        Ok(self.place(Node::new(id, GroupIx::FIRST, interval, now), Name::Unknown))
    }

    /// Makes a listed node known before it beats.
    pub(crate) fn expect(&mut self, name: &str, group: GroupIx, now: Instant) {
        let settings = *self.groups.get(group).settings();
        let mut node = Node::new(NodeId::of(name), group, settings.interval, now);
        node.flags.set(Flags::LISTED, true);
        node.flags.set(Flags::NAMED, true);
        let ix = self.place(node, Name::new(name));
        self.wheel.arm(ix, (now + settings.grace).tick_up());
    }

    fn place(&mut self, node: Node, name: Name) -> NodeIx {
        let ix = self.table.insert(node, name);
        self.settling.forget(ix);
        self.groups.enter(node.group, node.liveness);
        self.wheel.grow(self.table.places());
        self.enter_guard(ix);
        ix
    }

    /// Keeps what a node tells about itself beyond being there.
    fn note_told(&mut self, ix: NodeIx, message: &Message<'_>) {
        let flags = self.table.node(ix).flags;
        let mut regroup = false;
        if let Some(name) = message.name.filter(|_| !flags.has(Flags::NAMED)) {
            self.table.detail_mut(ix).name = Name::new(name);
            self.table.node_mut(ix).flags.set(Flags::NAMED, true);
            regroup = true;
        }
        if let Some(group) = message.group
            && self.table.detail(ix).declared.is_none_or(|ix| self.groups.get(ix).name() != group)
        {
            let declared = self.declared_group(message.group);
            // One that can't be told apart may still be matched by a pattern.
            regroup |= declared.is_none() || declared != self.table.detail(ix).declared;
            self.table.detail_mut(ix).declared = declared;
        }
        let payload = self.table.detail(ix).payload.as_deref();
        let relabel = !message.extras.is_empty() && payload.is_none_or(|payload| payload.relabels(message));
        regroup |= relabel;
        if regroup {
            // Its scopes may change.
            self.leave_guard(ix);
        }
        if Payload::concerns(message) {
            self.table.detail_mut(ix).payload.get_or_insert_default().take(message);
        }
        if regroup && !flags.has(Flags::LISTED) {
            self.regroup(ix, message.group);
        }
        if regroup {
            self.enter_guard(ix);
        }
    }

    /// Puts a node where it belongs by what it has told by now, and by the group that it declares just now.
    fn regroup(&mut self, ix: NodeIx, declaring: Option<&str>) {
        let group = self.fitting(ix, declaring);
        let node = self.table.node_mut(ix);
        let former = core::mem::replace(&mut node.group, group);
        if former == group {
            return;
        }
        self.groups.leave(former, node.liveness);
        self.groups.enter(group, node.liveness);
        let settings = self.groups.settings(group, ix);
        if !node.flags.has(Flags::DECLARED) {
            node.forget_interval(settings.interval);
        }
        // Another detector may read the memory differently.
        node.memory = settings.detector.start(node.interval());
    }

    /// Where a node belongs by what it has told by now, and by the group that it declares just now.
    pub(crate) fn fitting(&self, ix: NodeIx, declaring: Option<&str>) -> GroupIx {
        let detail = self.table.detail(ix);
        let declared = declaring.or_else(|| detail.declared.map(|ix| self.groups.get(ix).name()));
        self.choose_group(detail.name.text(), declared, |name, pattern| {
            let mut labels = detail.payload.iter().flat_map(|payload| payload.labels());
            labels.any(|(key, text)| key == name && pattern.fits(text))
        })
    }

    /// The first configured group that fits, else the one the node declares, else the default.
    fn choose_group(
        &self,
        name: Option<&str>,
        declared: Option<&str>,
        labelled: impl Fn(&str, &Pattern) -> bool,
    ) -> GroupIx {
        let fits = self.config.plan().groups.iter().find(|rule| {
            declared == Some(&*rule.name) || rule.matches.iter().any(|wanted| wanted.fits(name, declared, &labelled))
        });
        let chosen = fits.map(|rule| &*rule.name).or(declared);
        chosen.and_then(|name| self.groups.find(name)).unwrap_or(GroupIx::FIRST)
    }

    /// The index of the group that a node declares; nothing if it declares none, or one too many.
    fn declared_group(&mut self, name: Option<&str>) -> Option<GroupIx> {
        let group = self.groups.find_or_make(name?, &self.config);
        self.counters.groups_refused += u64::from(group.is_none());
        group
    }

    /// Keeps what another monitor was told by a node. What it wasn't told stays as it is here.
    fn note_believed(&mut self, ix: NodeIx, belief: &Belief<'_>, now: Instant) {
        let declared = belief.group.and_then(|name| self.groups.find_or_make(name, &self.config));
        let detail = self.table.detail_mut(ix);
        detail.since = belief.since.min(now);
        detail.declared = declared.or(detail.declared);
        if let Some(name) = belief.name {
            detail.name = Name::new(name);
        }
        if let Some(payload) = belief.payload {
            detail.payload = Some(Box::new(payload.clone()));
        }
        if let Some(until) = belief.planned_until {
            let latest = now + self.config.plan().limits.interval_max;
            detail.payload.get_or_insert_default().planned_until = until.min(latest);
        }
        if let Some(load) = belief.load {
            self.table.set_load(ix, load);
        }
        let flags = &mut self.table.node_mut(ix).flags;
        flags.set(Flags::NAMED, flags.has(Flags::NAMED) || belief.name.is_some());
        if !flags.has(Flags::LISTED) {
            self.regroup(ix, belief.group);
        }
    }

    /// Notes until when the node announced to be silent.
    fn plan_silence(&mut self, ix: NodeIx, next: Span) {
        let until = self.table.node(ix).arrival + next.min(self.config.plan().limits.interval_max);
        self.table.detail_mut(ix).payload.get_or_insert_default().planned_until = until;
    }
}

/// Millions of nodes are nothing to read: this shows how many there are.
impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("nodes", &self.len()).finish_non_exhaustive()
    }
}

/// Puts the interval in force by what the heartbeat declares or shows. Says whether it changed so
/// that what the detector remembers of the former rhythm is worth nothing.
fn note_interval(
    node: &mut Node,
    settings: &Settings,
    declared: Option<Span>,
    elapsed: Span,
    steady: Option<u64>,
) -> bool {
    if let Some(interval) = declared {
        let former = node.interval();
        node.set_interval(interval);
        node.flags.set(Flags::DECLARED, true);
        return node.interval() != former;
    }
    if node.flags.has(Flags::DECLARED) || settings.interval.is_some() {
        return false;
    }
    let Some(gap) = steady else { return false };
    let learning = node.learned();
    node.set_learned(learning.learn(elapsed, gap, Settings::UNKNOWN_INTERVAL));
    !learning.is_settled()
}
