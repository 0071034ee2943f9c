//! Ten thousand nodes that fall silent within a second have one cause, and it is rarely that they died.
//!
//! ```text
//!               silent > max(least, share of those expected)
//!   watching ──────────────────────────────────────────────► holding ── longest has passed ──► releasing
//!      ▲                                                        │       or "they are dead"        │ so many
//!      └────────────── silent fell to half of that ─────────────┴─────────────────────────────────┘ a second
//! ```
//!
//! The guard counts, for the whole fleet, for each group and for each value of some labels (a rack,
//! a zone), who is silent and who is expected: those alive now, those silent now, and those failed
//! within a window. Nothing is remembered beyond that, so no fleet that shrank is held to its former
//! size. Who belongs to a scope that holds is counted there alone: a zone that was cut explains its
//! nodes, and doesn't hold the groups that they are in, nor the fleet. A monitor that judges a share
//! of the nodes is told what the others see.

mod recent;
mod scope;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub use scope::{Hold, ScopeName, Tally};

use crate::config::GuardSettings;
use crate::{GroupIx, Instant, Liveness, Span};
use scope::{Phase, Scope, ScopeIx};

/// At most so many labels can be guarded.
pub const LABELS_MAX: usize = 4;

/// At most so many values of guarded labels are told apart; nodes with others are guarded by their group.
const VALUES_MAX: usize = 4_096;

/// The longest time between two looks at a node whose verdict is withheld.
const LOOK_MAX: Span = Span::from_secs(5);

/// The shortest, and how often scopes that hold are looked at.
const LOOK_MIN: Span = Span::from_secs(1);

/// What is guarded, and what is held.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    settings: GuardSettings,
    scopes: Vec<Scope>,
    groups: Vec<ScopeIx>,
    labels: Vec<BTreeMap<Box<str>, ScopeIx>>,
    /// Scopes that aren't merely watched.
    active: Vec<ScopeIx>,
    review: Instant,
    /// What the fleet came to but for those explained elsewhere, and when.
    fleet: Option<(Instant, Tally)>,
    /// Which values of each label answer for their nodes, and as of when.
    answering: Option<(Instant, Vec<Vec<ScopeIx>>)>,
    pub(crate) notes: Vec<Turn>,
}

/// The scopes that a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    group: GroupIx,
    labels: [Option<ScopeIx>; LABELS_MAX],
}

/// What the guard says to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may be given.
    Open,
    /// It may be given now, having been withheld.
    Released,
    /// It is withheld; look again at this instant.
    Shut(Instant),
}

/// A scope's phase changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) scope: ScopeIx,
    pub(crate) what: Change,
    pub(crate) tally: Tally,
    pub(crate) until: Instant,
}

/// How the phase of a scope changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Verdicts are withheld from now on.
    Held,
    /// Enough came back: who is still silent is waited for anew, and then judged one by one.
    Recovered,
    /// It has been held for as long as is allowed: verdicts are given, so many a second.
    Expired,
    /// Somebody said that they are dead: verdicts are given at once.
    Confirmed,
    /// The verdicts that were withheld have been given, and all is as before.
    Ended,
}

impl Change {
    /// The word for it, everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "hold",
            Self::Recovered => "hold_recovered",
            Self::Expired => "hold_expired",
            Self::Confirmed => "hold_confirmed",
            Self::Ended => "hold_ended",
        }
    }
}

/// What somebody who knows better says of a scope that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// They are dead: give the verdicts.
    Dead,
    /// Withhold them for this much longer than was meant.
    Longer(Span),
}

const FLEET: ScopeIx = ScopeIx(0);

impl Guard {
    pub(crate) fn new(settings: GuardSettings, now: Instant) -> Self {
        Self {
            scopes: alloc::vec![Scope::new(scope::Name::Fleet, None, now)],
            groups: Vec::new(),
            labels: settings.labels.iter().map(|_| BTreeMap::new()).collect(),
            active: Vec::new(),
            review: now,
            fleet: None,
            answering: None,
            notes: Vec::new(),
            settings,
        }
    }

    /// Other numbers for the same labels.
    pub(crate) fn set(&mut self, settings: GuardSettings) {
        assert_eq!(settings.labels, self.settings.labels, "a guard keeps its labels");
        self.settings = settings;
    }

    /// Makes the scopes that a node of this group with these labels belongs to, where they aren't there yet.
    pub(crate) fn open<'a>(
        &mut self,
        group: GroupIx,
        name: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        now: Instant,
    ) {
        while self.groups.len() <= group.index() {
            let group = GroupIx::new(self.groups.len());
            let ix = self.add(Scope::new(scope::Name::Group("".into()), Some(group), now));
            self.groups.push(ix);
        }
        self.scopes[self.groups[group.index()].index()].call(name);
        if self.labels.is_empty() {
            return;
        }
        for (label, text) in labels {
            if let Some(index) = self.settings.labels.iter().position(|name| **name == *label) {
                self.value(index, text, now);
            }
        }
    }

    /// The scopes of a node of this group with these labels, as far as they were made.
    pub(crate) fn member<'a>(&self, group: GroupIx, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Member {
        let mut member = Member { group, labels: [None; LABELS_MAX] };
        if self.labels.is_empty() {
            return member;
        }
        for (label, text) in labels {
            if let Some(index) = self.settings.labels.iter().position(|name| **name == *label) {
                member.labels[index] = self.labels[index].get(text).copied();
            }
        }
        member
    }

    /// A node came into its scopes, believed to be so.
    pub(crate) fn enter(&mut self, member: Member, liveness: Liveness) {
        self.each(member, |scope| scope.counts.add(liveness));
        let group = member.group;
        for ix in member.labels.into_iter().flatten() {
            self.scopes[ix.index()].by_group.entry(group).or_default().add(liveness);
        }
    }

    /// A node left its scopes.
    pub(crate) fn leave(&mut self, member: Member, liveness: Liveness) {
        self.each(member, |scope| scope.counts.take(liveness));
        let group = member.group;
        for ix in member.labels.into_iter().flatten() {
            let by_group = &mut self.scopes[ix.index()].by_group;
            if let Some(counts) = by_group.get_mut(&group) {
                counts.take(liveness);
                if counts.is_empty() {
                    by_group.remove(&group);
                }
            }
        }
    }

    /// A node is believed to be something else.
    pub(crate) fn change(&mut self, member: Member, from: Liveness, to: Liveness, now: Instant) {
        self.leave(member, from);
        self.enter(member, to);
        if (from, to) == (Liveness::Suspect, Liveness::Failed) {
            let window = self.settings.window;
            // A scope that holds explains its nodes; else it may be the beginning of anything.
            let explained = self.path(member).find(|ix| self.scope(*ix).is_active());
            match explained {
                Some(ix) => self.scopes[ix.index()].failed.add(now, window),
                None => self.each(member, |scope| scope.failed.add(now, window)),
            }
        }
    }

    /// Whether a silence that is due may be called a failure. `absent` says that the node never came.
    pub(crate) fn gate(&mut self, member: Member, interval: Span, absent: bool, now: Instant) -> Gate {
        let path: [Option<ScopeIx>; LABELS_MAX + 2] = {
            let mut path = self.path(member);
            core::array::from_fn(|_| path.next())
        };
        for ix in path.into_iter().flatten() {
            if !self.scope(ix).is_active() {
                let tally = self.tally(ix, absent, now);
                if !tally.exceeds(&self.settings) {
                    continue;
                }
                self.hold(ix, tally, absent, now);
            }
            let look = now + interval.max(LOOK_MIN).min(LOOK_MAX);
            // What this scope lets go the wider ones don't take up again.
            return self.pass(ix, look, now);
        }
        Gate::Open
    }

    /// When a hold over this node last ended because its scope came back; the origin if none did.
    pub(crate) fn recovered(&self, member: Member) -> Instant {
        self.path(member).map(|ix| self.scope(ix).recovered).max().unwrap_or_default()
    }

    /// Looks at the scopes that hold: whether they came back, or were held for long enough.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.active.is_empty() || now < self.review {
            return;
        }
        self.review = now + LOOK_MIN;
        // What one of them explains the others must see, so all stay in the list until the end.
        for index in 0..self.active.len() {
            let ix = self.active[index];
            let (phase, absent) = match self.scope(ix).phase {
                Phase::Watching => continue,
                Phase::Holding { absent, .. } => (Change::Recovered, absent),
                Phase::Releasing { absent, .. } => (Change::Ended, absent),
            };
            let tally = self.tally(ix, absent, now);
            let scope = &mut self.scopes[ix.index()];
            scope.seen = tally;
            if tally.is_over(&self.settings) {
                scope.phase = Phase::Watching;
                if phase == Change::Recovered {
                    scope.recovered = now;
                }
                (self.fleet, self.answering) = (None, None);
                self.notes.push(Turn { scope: ix, what: phase, tally, until: now });
            } else {
                self.expire(ix, tally, now);
            }
        }
        let scopes = &self.scopes;
        self.active.retain(|ix| scopes[ix.index()].is_active());
    }

    /// When to look again, if anything is held.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.active.is_empty()).then_some(self.review)
    }

    /// Does what somebody who knows better says. Whether there was such a hold.
    pub(crate) fn order(&mut self, name: ScopeName<'_>, order: Order, now: Instant) -> bool {
        let active = self.active.iter().copied();
        let Some(ix) = active.into_iter().find(|ix| self.scope(*ix).name() == name) else { return false };
        match (order, &mut self.scopes[ix.index()].phase) {
            (Order::Longer(span), Phase::Holding { until, .. }) => *until = (*until).max(now) + span,
            (Order::Longer(span), phase @ Phase::Releasing { .. }) => {
                if let Phase::Releasing { since, absent, .. } = *phase {
                    *phase = Phase::Holding { since, until: now + span, absent };
                }
            }
            (Order::Dead, phase) => {
                if let Phase::Holding { since, absent, .. } | Phase::Releasing { since, absent, .. } = *phase {
                    *phase = Phase::Releasing { since, absent, next: now, promised: now, spacing: Span::ZERO };
                    let tally = self.tally(ix, absent, now);
                    self.notes.push(Turn { scope: ix, what: Change::Confirmed, tally, until: now });
                }
            }
            (Order::Longer(_), Phase::Watching) => return false,
        }
        true
    }

    /// What is held, and until when.
    pub(crate) fn holds(&self) -> impl Iterator<Item = Hold<'_>> {
        self.active.iter().filter_map(|ix| self.scope(*ix).hold())
    }

    /// The hold on a group as a whole, if there is one.
    pub(crate) fn hold_on(&self, group: GroupIx) -> Option<Hold<'_>> {
        self.scope(*self.groups.get(group.index())?).hold()
    }

    /// The hold that this node's verdicts are subject to, if any.
    pub(crate) fn hold_over(&self, member: Member) -> Option<Hold<'_>> {
        self.path(member).find_map(|ix| self.scope(ix).hold())
    }

    /// What this monitor sees of each scope: to be told the others that judge the same fleet.
    pub(crate) fn tallies(&self, now: Instant) -> impl Iterator<Item = (ScopeName<'_>, Tally)> {
        let seen = self.scopes.iter().enumerate().skip(1);
        seen.map(move |(ix, scope)| (scope.name(), self.here(ScopeIx(ix as u32), now)))
            .filter(|(_, tally)| *tally != Tally::default())
    }

    /// Takes note of what all others together see of a scope.
    pub(crate) fn elsewhere(&mut self, name: ScopeName<'_>, tally: Tally, group: Option<GroupIx>, now: Instant) {
        let ix = match name {
            ScopeName::Fleet => None,
            ScopeName::Group(_) => group.and_then(|group| self.groups.get(group.index()).copied()),
            ScopeName::Label(label, text) => {
                let index = self.settings.labels.iter().position(|name| &**name == label);
                index.and_then(|index| self.value(index, text, now))
            }
        };
        if let Some(ix) = ix {
            self.scopes[ix.index()].elsewhere = tally;
        }
    }

    pub(crate) fn name(&self, ix: ScopeIx) -> ScopeName<'_> {
        self.scope(ix).name()
    }

    fn scope(&self, ix: ScopeIx) -> &Scope {
        &self.scopes[ix.index()]
    }

    /// From the narrowest scope to the widest.
    fn path(&self, member: Member) -> impl Iterator<Item = ScopeIx> + use<> {
        let group = self.groups[member.group.index()];
        member.labels.into_iter().flatten().chain([group, FLEET])
    }

    fn each(&mut self, member: Member, mut act: impl FnMut(&mut Scope)) {
        for ix in self.path(member) {
            act(&mut self.scopes[ix.index()]);
        }
    }

    fn add(&mut self, scope: Scope) -> ScopeIx {
        self.scopes.push(scope);
        ScopeIx(self.scopes.len() as u32 - 1)
    }

    fn value(&mut self, label: usize, text: &str, now: Instant) -> Option<ScopeIx> {
        if let Some(ix) = self.labels[label].get(text) {
            return Some(*ix);
        }
        if self.labels.iter().map(BTreeMap::len).sum::<usize>() >= VALUES_MAX {
            return None;
        }
        let name = self.settings.labels[label].clone();
        let ix = self.add(Scope::new(scope::Name::Label(name, text.into()), None, now));
        self.labels[label].insert(text.into(), ix);
        Some(ix)
    }

    /// What is seen of a scope here and elsewhere, but for what narrower scopes explain.
    fn tally(&mut self, ix: ScopeIx, absent: bool, now: Instant) -> Tally {
        if !self.active.is_empty() && self.answering.as_ref().is_none_or(|(at, _)| *at != now) {
            let of = |values: &BTreeMap<Box<str>, ScopeIx>| {
                values.values().copied().filter(|ix| self.explains(*ix, now)).collect()
            };
            self.answering = Some((now, self.labels.iter().map(of).collect()));
        }
        let mut tally = if ix == FLEET { self.fleet(now) } else { self.tally_of(ix, now) };
        if !absent {
            tally.absent = 0;
        }
        tally
    }

    /// The fleet is summed up once for each instant: all that is due at it is held against the same.
    fn fleet(&mut self, now: Instant) -> Tally {
        match self.fleet {
            Some((at, tally)) if at == now => tally,
            Some(_) | None => {
                let tally = self.tally_of(FLEET, now);
                self.fleet = Some((now, tally));
                tally
            }
        }
    }

    fn tally_of(&self, ix: ScopeIx, now: Instant) -> Tally {
        if ix == FLEET {
            let groups = self.groups.iter().filter(|group| !self.explains(**group, now));
            return groups.map(|group| self.tally_of(*group, now)).sum();
        }
        self.here(ix, now) + self.scope(ix).elsewhere
    }

    /// What is seen of a scope here, but for what narrower scopes explain.
    fn here(&self, ix: ScopeIx, now: Instant) -> Tally {
        let scope = self.scope(ix);
        let mut tally = scope.counts.tally();
        tally.silent += scope.failed.sum(now, self.settings.window);
        match scope.group {
            Some(group) => tally - self.explained(group, tally + scope.elsewhere, now),
            None => tally,
        }
    }

    /// Whether a scope answers for its nodes: it holds, or will as soon as the first of them is due. Until then
    /// they aren't held against anybody else either.
    fn explains(&self, ix: ScopeIx, now: Instant) -> bool {
        let scope = self.scope(ix);
        let silent = scope.counts.tally().silent + scope.elsewhere.silent;
        scope.is_active() || silent > 0 && Tally { absent: 0, ..self.tally_of(ix, now) }.exceeds(&self.settings)
    }

    /// Those nodes of a group that are in a zone, or a rack, that answers for them. Values of one label have no
    /// nodes in common; of several labels one is taken to lie within the other.
    fn explained(&self, group: GroupIx, seen: Tally, now: Instant) -> Tally {
        // With nothing held, and no more silent than a group may have, there is nothing to explain: looking at
        // every value for every single death would be dear.
        if self.active.is_empty() && !seen.exceeds(&self.settings) {
            return Tally::default();
        }
        let of = |ix: ScopeIx| self.scope(ix).by_group.get(&group).map(scope::Counts::tally).unwrap_or_default();
        let most = |sums: &mut dyn Iterator<Item = Tally>| sums.max_by_key(|tally| tally.silent).unwrap_or_default();
        match &self.answering {
            Some((at, labels)) if *at == now => {
                most(&mut labels.iter().map(|values| values.iter().map(|ix| of(*ix)).sum()))
            }
            Some(_) | None => most(&mut self.labels.iter().map(|values| {
                let answering = values.values().copied().filter(|ix| self.explains(*ix, now));
                answering.map(of).sum()
            })),
        }
    }

    fn hold(&mut self, ix: ScopeIx, tally: Tally, absent: bool, now: Instant) {
        let until = now + self.settings.longest;
        let scope = &mut self.scopes[ix.index()];
        (scope.phase, scope.seen) = (Phase::Holding { since: now, until, absent }, tally);
        self.active.push(ix);
        self.review = now + LOOK_MIN;
        (self.fleet, self.answering) = (None, None);
        self.notes.push(Turn { scope: ix, what: Change::Held, tally, until });
    }

    /// Whether a scope that isn't merely watched lets one more verdict through.
    fn pass(&mut self, ix: ScopeIx, look: Instant, now: Instant) -> Gate {
        if let Phase::Holding { until, absent, .. } = self.scope(ix).phase
            && now >= until
        {
            let tally = self.tally(ix, absent, now);
            self.expire(ix, tally, now);
        }
        match &mut self.scopes[ix.index()].phase {
            Phase::Watching => Gate::Open,
            Phase::Holding { until, .. } => Gate::Shut(look.min(*until)),
            Phase::Releasing { next, spacing, .. } if *next <= now => {
                // Up to a second's worth may be caught up with.
                *next = (*next).max(now - LOOK_MIN) + *spacing;
                Gate::Released
            }
            Phase::Releasing { next, promised, spacing, .. } => {
                // One after the other: were all to look at the same instant, all but a second's worth would
                // wait for the next one, and verdicts came slower than they may.
                let turn = (*promised).max(*next) + *spacing;
                if turn > now + LOOK_MAX {
                    return Gate::Shut(now + LOOK_MAX);
                }
                *promised = turn;
                Gate::Shut(turn)
            }
        }
    }

    /// A hold whose time is over becomes a release.
    fn expire(&mut self, ix: ScopeIx, tally: Tally, now: Instant) {
        if let Phase::Holding { since, until, absent } = self.scope(ix).phase
            && now >= until
        {
            let spacing = Span::from_nanos((1e9 / f64::from(self.settings.rate)) as u64);
            let (next, promised) = (now - LOOK_MIN, now);
            self.scopes[ix.index()].phase = Phase::Releasing { since, absent, next, promised, spacing };
            self.notes.push(Turn { scope: ix, what: Change::Expired, tally, until: now });
        }
    }
}
