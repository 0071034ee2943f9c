//! When does silence become a verdict?
//!
//! ```text
//!   due by the settings ──► excused by our own troubles? ──► suspect
//!   confirm time passed ──► excused? ──► flapping? ──► guard? ──► failed
//!                              └────────────┴───────────┴──► withheld: looked at again, counted, shown
//! ```
//!
//! The half of the [`Monitor`] that deals with what is due. It asks each leaf in turn and does what
//! the first objection says. That a socket must be drained first is seen to by the caller: silence
//! is judged as of the instant until which everything was seen.

use crate::conflict::Refused;
use crate::event::{Cause, Evidence, NodeNote, Note, Sink, Transition};
use crate::flap::Flaps;
use crate::guard::{Gate, Guard, Hold, Member, Order, ScopeName, Tally};
use crate::health::{Excuse, Silence, Trouble};
use crate::liveness::{Input, Liveness, step};
use crate::node::Flags;
use crate::wheel::Budget;
use crate::wire::Message;
use crate::{GroupIx, Instant, Monitor, NodeIx, Span, Withheld};

/// How much work on deadlines one turn does at most: about a millisecond.
const EXPIRE_BUDGET: usize = 4_096;

/// How long we may be behind before we say so.
const BEHIND: Span = Span::from_secs(5);

/// Shorter backlogs are how datagrams are read, and withhold nothing.
const BACKLOG_MIN: Span = Span::from_millis(10);

/// How often a verdict is looked at that waits for us to be well again.
const LOOK: Span = Span::from_secs(1);

/// Within this monitors that share a fleet have told each other who is silent.
const TOGETHER: Span = Span::from_millis(250);

/// Nothing is looked at twice within this.
const SOON: Span = Span::from_millis(1);

/// Numbers this far behind the last one can't be told from duplicates of what was believed.
const DUPLICATES: u64 = 31;

/// Why a verdict that is due isn't given, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held<'a> {
    /// Why.
    pub reason: Withheld,
    /// Until when at the latest, as far as that can be said.
    pub until: Option<Instant>,
    /// The hold that it is part of, if it is.
    pub hold: Option<Hold<'a>>,
}

/// When the next silence of a node means something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    /// When it would by the settings alone.
    settled: Instant,
    reason: Option<Withheld>,
}

/// Whether anything speaks against a verdict.
#[derive(Clone, Copy, Debug)]
enum Objection {
    None,
    /// Something did until now.
    Past(Withheld),
    /// Something does; look again at this instant.
    Present(Withheld, Instant),
}

/// Whether we keep up, and what was told of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overload {
    /// Since when no socket was seen empty.
    more_since: Option<Instant>,
    behind: bool,
    deaf: bool,
    /// When to look whether we hear again.
    review: Option<Instant>,
}

impl Monitor {
    /// Takes note of something that went wrong on our side, of which [`Monitor::turn`] can't know. Tell it
    /// before the turn in which silence is judged again.
    pub fn trouble(&mut self, now: Instant, trouble: Trouble) {
        self.latest = self.latest.max(now);
        self.health.trouble(now, trouble);
    }

    /// How unwell we are: 0 is well, 8 the worst. While it isn't 0, suspects have 1 + this times their
    /// time to confirm.
    pub fn unwell(&self) -> u8 {
        self.health.score(self.latest)
    }

    /// What is held at the latest turn.
    pub fn holds(&self) -> impl Iterator<Item = Hold<'_>> {
        self.guard.iter().flat_map(|guard| guard.holds())
    }

    /// The hold on a group as a whole, if there is one.
    pub fn hold_on(&self, group: GroupIx) -> Option<Hold<'_>> {
        self.guard.as_ref().and_then(|guard| guard.hold_on(group))
    }

    /// Does what somebody who knows better says of a hold. Whether there is one.
    pub fn order(&mut self, scope: ScopeName<'_>, order: Order, now: Instant, sink: &mut impl Sink) -> bool {
        let done = self.guard.as_mut().is_some_and(|guard| guard.order(scope, order, now));
        self.tell_holds(now, sink);
        done
    }

    /// What this monitor sees of each guarded scope, for others that judge the same fleet.
    pub fn tallies(&self) -> impl Iterator<Item = (ScopeName<'_>, Tally)> {
        self.guard.iter().flat_map(|guard| guard.tallies(self.latest))
    }

    /// Takes note of what all other monitors of the fleet together see of a scope.
    pub fn elsewhere(&mut self, scope: ScopeName<'_>, tally: Tally) {
        let group = match scope {
            ScopeName::Group(name) => self.groups.find_or_make(name, &self.config),
            ScopeName::Fleet | ScopeName::Label(..) => None,
        };
        let Some(guard) = &mut self.guard else { return };
        if let (ScopeName::Group(name), Some(group)) = (scope, group) {
            guard.open(group, name, core::iter::empty(), self.latest);
        }
        guard.elsewhere(scope, tally, group, self.latest);
    }

    /// Why no verdict is given about a node whose silence is due, as of the latest turn. Nothing if
    /// none is due.
    pub fn held(&self, ix: NodeIx) -> Option<Held<'_>> {
        let due = self.table.occupied(ix).then(|| self.due(ix)).flatten()?;
        let node = self.table.node(ix);
        if due.settled > self.latest || node.liveness == Liveness::Alive && due.reason.is_none() {
            return None;
        }
        if due.at > self.latest {
            return due.reason.map(|reason| Held { reason, until: Some(due.at), hold: None });
        }
        if let Some(until) = self.flaps.as_ref().and_then(|flaps| flaps.flapping(ix)) {
            return Some(Held { reason: Withheld::Flapping, until: Some(until), hold: None });
        }
        let hold = self.guard.as_ref().and_then(|guard| guard.hold_over(self.member(guard, ix)));
        match hold {
            Some(hold) => Some(Held { reason: Withheld::Guard, until: hold.until, hold: Some(hold) }),
            None => Some(Held { reason: Withheld::Backlog, until: None, hold: None }),
        }
    }

    /// Until when the changes of a node are kept quiet because it goes to and fro, if they are.
    pub fn flapping(&self, ix: NodeIx) -> Option<Instant> {
        self.flaps.as_ref().and_then(|flaps| flaps.flapping(ix))
    }

    /// How many nodes go to and fro.
    pub fn flapping_count(&self) -> usize {
        self.flaps.as_ref().map_or(0, Flaps::len)
    }

    /// Whether somebody else speaks in the name of this node.
    pub fn in_conflict(&self, ix: NodeIx) -> bool {
        self.conflicts.has(ix, self.latest)
    }

    /// In how many nodes' names somebody else speaks.
    pub fn conflict_count(&self) -> usize {
        self.conflicts.len(self.latest)
    }

    /// Everything whose time had come when everything was last `seen`, as far as the budget and the
    /// sink's room go.
    pub(crate) fn expire(&mut self, now: Instant, seen: Instant, sink: &mut impl Sink) {
        let mut budget = Budget::new(EXPIRE_BUDGET.min(sink.room()));
        while let Some(ix) = self.wheel.expire(seen.tick_down(), &mut budget) {
            self.silence(now, seen, ix, sink);
        }
        self.look(now, sink);
        self.overload.more_since = None;
        // The wheel is asked only where its answer matters.
        let late = now.since(seen) > BEHIND;
        let unseen = late && self.wheel.poll_timeout().is_some_and(|tick| tick.instant() + BEHIND < now);
        self.tell_behind(now, unseen, sink);
    }

    /// More waits than was read.
    pub(crate) fn fall_behind(&mut self, now: Instant, sink: &mut impl Sink) {
        let since = *self.overload.more_since.get_or_insert(now);
        if now.since(since) > BACKLOG_MIN && self.wheel.poll_timeout().is_some_and(|tick| tick.instant() <= now) {
            self.counters.withhold(Withheld::Backlog);
        }
        if now.since(since) > BEHIND {
            self.tell_behind(now, true, sink);
        }
    }

    fn silence(&mut self, now: Instant, seen: Instant, ix: NodeIx, sink: &mut impl Sink) {
        let Some(due) = self.due(ix) else { return };
        if due.at > seen {
            // It is excused, or lay beyond the wheel's horizon: look again when it is nearer.
            let Some(reason) = due.reason.filter(|_| due.settled <= seen) else {
                return self.wheel.arm(ix, due.at.tick_up());
            };
            self.withhold(ix, reason);
            let look = if reason == Withheld::Unwell { due.at.min(now + LOOK) } else { due.at };
            return self.wheel.arm(ix, look.tick_up());
        }
        let cause = match self.table.node(ix).liveness {
            Liveness::Alive => Cause::Silence,
            Liveness::Suspect => Cause::Confirmed,
            Liveness::Unseen => Cause::NeverSeen,
            Liveness::Failed | Liveness::Left => return,
        };
        let withheld = match cause {
            Cause::Confirmed | Cause::NeverSeen => match self.objection(now, ix, due.at) {
                Objection::None => None,
                Objection::Past(reason) => Some(reason),
                Objection::Present(reason, look) => {
                    // Counted when it is first found, not at every look.
                    if seen.since(due.at) < LOOK {
                        self.withhold(ix, reason);
                    }
                    self.tell_holds(now, sink);
                    return self.wheel.arm(ix, look.max(now + SOON).tick_up());
                }
            },
            Cause::Silence | Cause::FirstHeartbeat | Cause::Heartbeat | Cause::Restart | Cause::Goodbye => None,
        };
        self.tell_holds(now, sink);
        let mut evidence = self.evidence(ix);
        evidence.withheld = withheld;
        evidence.held = withheld.map_or(Span::ZERO, |_| now.since(evidence.due));
        self.transition_on(now, ix, Input::Silence, cause, evidence, sink);
        if let Some(next) = self.due(ix) {
            // What excuses it now may be less by then. If we are so late that it is overdue already, nobody is called
            // failed before the guard has seen everybody who is as silent, here and at other shards.
            let overdue = next.settled <= now;
            let look = if overdue { now + self.confirm(ix).min(TOGETHER) } else { next.settled };
            self.wheel.arm(ix, look.tick_up());
        }
    }

    /// What speaks against calling a node failed that was due to be at `due`.
    fn objection(&mut self, now: Instant, ix: NodeIx, due: Instant) -> Objection {
        let mut past = Objection::None;
        if let Some(flaps) = &self.flaps {
            if let Some(until) = flaps.flapping(ix) {
                return Objection::Present(Withheld::Flapping, until);
            }
            if flaps.flapped_since(ix, due) {
                past = Objection::Past(Withheld::Flapping);
            }
        }
        let Some(member) = self.guard.as_ref().map(|guard| self.member(guard, ix)) else { return past };
        let node = self.table.node(ix);
        let (interval, absent) = (node.interval(), node.liveness == Liveness::Unseen);
        match self.guard.as_mut().map(|guard| guard.gate(member, interval, absent, now)) {
            Some(Gate::Open) | None => past,
            Some(Gate::Released) => Objection::Past(Withheld::Guard),
            Some(Gate::Shut(look)) => Objection::Present(Withheld::Guard, look),
        }
    }

    fn withhold(&mut self, ix: NodeIx, reason: Withheld) {
        self.counters.withhold(reason);
        self.groups.withhold(self.table.node(ix).group, reason);
    }

    pub(crate) fn transition(&mut self, now: Instant, ix: NodeIx, input: Input, cause: Cause, sink: &mut impl Sink) {
        let evidence = self.evidence(ix);
        self.transition_on(now, ix, input, cause, evidence, sink);
    }

    fn transition_on(
        &mut self,
        now: Instant,
        ix: NodeIx,
        input: Input,
        cause: Cause,
        evidence: Evidence,
        sink: &mut impl Sink,
    ) {
        let member = self.guard.as_ref().map(|guard| self.member(guard, ix));
        let node = self.table.node_mut(ix);
        let (from, to) = (node.liveness, step(node.liveness, input));
        node.liveness = to;
        let (id, group) = (node.id, node.group);
        self.groups.leave(group, from);
        self.groups.enter(group, to);
        if let (Some(guard), Some(member)) = (&mut self.guard, member) {
            guard.change(member, from, to, now);
        }
        self.counters.transition(from, to);
        let detail = self.table.detail_mut(ix);
        detail.since = now;
        let (quiet, flaps) = self.note_flap(now, ix, from, to);
        if quiet {
            self.counters.quieted += 1;
            return;
        }
        let detail = self.table.detail(ix);
        sink.transition(&Transition {
            at: now,
            node: ix,
            generation: detail.generation,
            id,
            called: detail.name.called(id),
            group,
            group_name: self.groups.get(group).name(),
            from,
            to,
            cause,
            evidence,
        });
        if let Some(until) = flaps {
            self.tell_node(now, ix, NodeNote::Flapping { until }, sink);
        }
    }

    /// Whether a change is to be kept quiet, and until when all further ones are if that begins with it.
    fn note_flap(&mut self, now: Instant, ix: NodeIx, from: Liveness, to: Liveness) -> (bool, Option<Instant>) {
        let Some(flaps) = &mut self.flaps else { return (false, None) };
        let was = flaps.flapping(ix).is_some();
        match (from, to) {
            (Liveness::Suspect | Liveness::Failed, Liveness::Alive) => {
                let begins = flaps.returned(ix, now);
                (was, flaps.flapping(ix).filter(|_| begins))
            }
            (_, Liveness::Failed | Liveness::Left) => {
                flaps.told(ix, to);
                (false, None)
            }
            (_, Liveness::Unseen | Liveness::Alive | Liveness::Suspect) => (was, None),
        }
    }

    /// A message that isn't newer than the last may come from somebody else.
    pub(crate) fn note_rival(
        &mut self,
        now: Instant,
        ix: NodeIx,
        message: &Message<'_>,
        arrival: Instant,
        sink: &mut impl Sink,
    ) {
        let node = self.table.node(ix);
        let (Some(rival), Some(seq)) = (message.incarnation.or(Some(node.incarnation)), message.seq) else { return };
        let duplicate = rival == node.incarnation && node.seq.number().saturating_sub(seq.number()) <= DUPLICATES;
        let silent = match node.liveness {
            Liveness::Alive => false,
            // Then nobody contradicts it: it is a former life that was delayed, or a recording.
            Liveness::Unseen | Liveness::Suspect | Liveness::Failed | Liveness::Left => true,
        };
        if duplicate || silent {
            return;
        }
        let patience = self.patience(ix);
        let incarnation = node.incarnation;
        if self.conflicts.refused(ix, Refused { incarnation: rival, seq, arrival, patience }) {
            self.tell_node(now, ix, NodeNote::Conflict { incarnation, rival, seq }, sink);
        }
    }

    /// What comes due without a node's silence.
    fn look(&mut self, now: Instant, sink: &mut impl Sink) {
        if let Some(guard) = &mut self.guard {
            guard.look(now);
        }
        self.tell_holds(now, sink);
        while let Some((ix, told)) = self.flaps.as_mut().and_then(|flaps| flaps.steadied(now)) {
            self.tell_node(now, ix, NodeNote::Steady { told }, sink);
        }
        let deaf = self.health.is_deaf(now);
        self.overload.review = deaf.then_some(now + LOOK);
        if deaf != self.overload.deaf {
            self.overload.deaf = deaf;
            sink.note(&Note::Overload { at: now, reason: Withheld::Drops, over: !deaf });
        }
    }

    fn tell_behind(&mut self, now: Instant, behind: bool, sink: &mut impl Sink) {
        if behind != self.overload.behind {
            self.overload.behind = behind;
            sink.note(&Note::Overload { at: now, reason: Withheld::Backlog, over: !behind });
        }
    }

    fn tell_holds(&mut self, now: Instant, sink: &mut impl Sink) {
        let Some(guard) = &mut self.guard else { return };
        if guard.notes.is_empty() {
            return;
        }
        for turn in core::mem::take(&mut guard.notes) {
            let (change, tally, until) = (turn.what, turn.tally, turn.until);
            sink.note(&Note::Hold { at: now, scope: guard.name(turn.scope), change, tally, until });
        }
    }

    fn tell_node(&mut self, now: Instant, ix: NodeIx, what: NodeNote, sink: &mut impl Sink) {
        let (node, detail) = (self.table.node(ix), self.table.detail(ix));
        sink.note(&Note::Node {
            at: now,
            node: ix,
            generation: detail.generation,
            id: node.id,
            called: detail.name.called(node.id),
            group_name: self.groups.get(node.group).name(),
            liveness: node.liveness,
            what,
        });
    }

    /// The instant at which the next silence of this node would mean something: its deadline, the
    /// end of its confirm time, or of its grace, as it is excused. Nothing for who isn't waited for.
    pub(crate) fn due(&self, ix: NodeIx) -> Option<Due> {
        let node = self.table.node(ix);
        let deadline = self.normal_until(ix);
        match node.liveness {
            Liveness::Unseen | Liveness::Alive => {
                let Excuse { until, reason } = self.health.excuse(self.silence_of(ix, deadline, Span::ZERO));
                Some(Due { at: until, settled: deadline, reason })
            }
            Liveness::Suspect => {
                let confirm = self.confirm(ix);
                let settled = deadline + confirm;
                let Excuse { until, reason } = self.health.excuse(self.silence_of(ix, settled, confirm));
                let mut due = Due { at: until, settled, reason };
                let unwell = confirm * u64::from(self.unwell());
                if !unwell.is_zero() {
                    due = Due { at: until + unwell, reason: Some(Withheld::Unwell), ..due };
                }
                if let Some(guard) = &self.guard {
                    let anew = guard.recovered(self.member(guard, ix)) + self.patience(ix) + confirm;
                    if anew > due.at {
                        due = Due { at: anew, reason: Some(Withheld::Guard), ..due };
                    }
                }
                Some(due)
            }
            Liveness::Failed | Liveness::Left => None,
        }
    }

    /// When the wait for a node ends by the settings alone. Nothing for who isn't waited for.
    pub(crate) fn wait_end(&self, ix: NodeIx) -> Option<Instant> {
        match self.table.node(ix).liveness {
            Liveness::Unseen | Liveness::Alive => Some(self.normal_until(ix)),
            Liveness::Suspect => Some(self.normal_until(ix) + self.confirm(ix)),
            Liveness::Failed | Liveness::Left => None,
        }
    }

    fn silence_of(&self, ix: NodeIx, due: Instant, confirm: Span) -> Silence {
        let (node, patience) = (self.table.node(ix), self.patience(ix));
        Silence { from: node.arrival, due, patience, wait: patience + confirm, interval: node.interval() }
    }

    /// Until when silence is normal after the last heartbeat, whatever our own troubles. Between two
    /// heartbeats everything that it depends on is frozen, so it may be computed as often as wanted.
    pub(crate) fn normal_until(&self, ix: NodeIx) -> Instant {
        let node = self.table.node(ix);
        let patience = self.patience(ix);
        let deadline = self.settling.reprieved(ix, node.arrival + patience);
        if node.flags.has(Flags::PLANNED) && node.flags.has(Flags::HEARD) {
            // What the detector allows beyond one interval comes on top.
            let slack = patience - node.interval();
            let planned = self.table.detail(ix).payload.as_ref().map(|payload| payload.planned_until + slack);
            return deadline.max(planned.unwrap_or_default());
        }
        deadline
    }

    /// How long a node may be silent: as its detector says, or until its grace is over.
    fn patience(&self, ix: NodeIx) -> Span {
        let node = self.table.node(ix);
        let settings = self.groups.settings(node.group, ix);
        if !node.flags.has(Flags::HEARD) {
            return settings.grace;
        }
        settings.detector.patience(&node.memory, node.interval())
    }

    pub(crate) fn confirm(&self, ix: NodeIx) -> Span {
        let node = self.table.node(ix);
        self.groups.settings(node.group, ix).confirm.of(node.interval())
    }

    pub(crate) fn evidence(&self, ix: NodeIx) -> Evidence {
        let node = self.table.node(ix);
        let (lost, window) = node.losses();
        let normal = self.normal_until(ix);
        let deadline = self.health.excuse(self.silence_of(ix, normal, Span::ZERO)).until;
        let due = self.due(ix).unwrap_or(Due { at: deadline, settled: deadline, reason: None });
        Evidence {
            last_arrival: node.heard_here().then_some(node.arrival),
            taken_over: node.taken_over().then_some(node.arrival),
            deadline,
            confirm: self.confirm(ix),
            due: due.at,
            excused: due.at.since(due.settled),
            excuse: due.reason,
            withheld: None,
            held: Span::ZERO,
            interval: node.interval(),
            interval_declared: node.flags.has(Flags::DECLARED),
            planned: node.flags.has(Flags::PLANNED),
            detector: self.groups.settings(node.group, ix).detector.name(),
            incarnation: node.incarnation,
            seq: node.seq,
            lost,
            window,
        }
    }

    fn member(&self, guard: &Guard, ix: NodeIx) -> Member {
        let labels = self.table.detail(ix).payload.iter().flat_map(|payload| payload.labels());
        guard.member(self.table.node(ix).group, labels)
    }

    /// A node came, or what its scopes depend on has changed.
    pub(crate) fn enter_guard(&mut self, ix: NodeIx) {
        let Some(guard) = &mut self.guard else { return };
        let node = self.table.node(ix);
        let labels = self.table.detail(ix).payload.iter().flat_map(|payload| payload.labels());
        guard.open(node.group, self.groups.get(node.group).name(), labels.clone(), self.latest);
        let member = guard.member(node.group, labels);
        guard.enter(member, node.liveness);
    }

    /// A node goes, or what its scopes depend on is about to change.
    pub(crate) fn leave_guard(&mut self, ix: NodeIx) {
        let Some(guard) = &self.guard else { return };
        let (member, liveness) = (self.member(guard, ix), self.table.node(ix).liveness);
        if let Some(guard) = &mut self.guard {
            guard.leave(member, liveness);
        }
    }
}

impl Overload {
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.review
    }
}
