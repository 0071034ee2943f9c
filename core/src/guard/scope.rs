//! What is guarded together: the fleet, a group, or all nodes with the same text under a label.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::fmt;
use core::iter::Sum;
use core::ops::{Add, Sub};

use super::recent::Recent;
use crate::config::GuardSettings;
use crate::{GroupIx, Instant, Liveness, Span};

/// A scope's place in its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeIx(pub(super) u32);

/// How a scope is called: `fleet`, `group web`, `label zone=eu-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeName<'a> {
    /// All nodes that no other scope explains.
    Fleet,
    /// The nodes of a group.
    Group(&'a str),
    /// The nodes with this text under this label.
    Label(&'a str, &'a str),
}

/// How many are silent in a scope, of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Silent now, or failed of late.
    pub silent: u32,
    /// Alive now.
    pub alive: u32,
    /// Listed, and never heard.
    pub absent: u32,
}

/// A scope whose verdicts are withheld, or were and are now given one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold<'a> {
    /// Whose.
    pub scope: ScopeName<'a>,
    /// Since when.
    pub since: Instant,
    /// Until when at the latest; nothing once they are given.
    pub until: Option<Instant>,
    /// How many are silent.
    pub tally: Tally,
}

#[derive(Clone, Debug)]
pub(super) enum Name {
    Fleet,
    Group(Box<str>),
    Label(Box<str>, Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Watching,
    Holding {
        since: Instant,
        until: Instant,
        absent: bool,
    },
    /// The next verdict is given at `next`, and looks are promised up to `promised`.
    Releasing {
        since: Instant,
        absent: bool,
        next: Instant,
        promised: Instant,
        spacing: Span,
    },
}

/// How many nodes are believed to be so, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    alive: u32,
    suspect: u32,
    unseen: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Scope {
    name: Name,
    /// Which group it is, if it is one.
    pub(super) group: Option<GroupIx>,
    pub(super) counts: Counts,
    /// Of a label's value: the same by group.
    pub(super) by_group: BTreeMap<GroupIx, Counts>,
    pub(super) failed: Recent,
    /// What other monitors see of it.
    pub(super) elsewhere: Tally,
    pub(super) phase: Phase,
    /// What was seen when it was last looked at as one that isn't merely watched.
    pub(super) seen: Tally,
    /// When a hold last ended because enough came back.
    pub(super) recovered: Instant,
}

impl ScopeIx {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Scope {
    pub(super) const fn new(name: Name, group: Option<GroupIx>, now: Instant) -> Self {
        Self {
            name,
            group,
            counts: Counts { alive: 0, suspect: 0, unseen: 0 },
            by_group: BTreeMap::new(),
            failed: Recent::new(now),
            elsewhere: Tally { silent: 0, alive: 0, absent: 0 },
            phase: Phase::Watching,
            seen: Tally { silent: 0, alive: 0, absent: 0 },
            recovered: Instant::ORIGIN,
        }
    }

    /// Gives a group that was only reserved its name.
    pub(super) fn call(&mut self, group: &str) {
        match &mut self.name {
            Name::Group(name) if name.is_empty() => *name = group.into(),
            Name::Group(_) | Name::Fleet | Name::Label(..) => {}
        }
    }

    pub(super) fn name(&self) -> ScopeName<'_> {
        match &self.name {
            Name::Fleet => ScopeName::Fleet,
            Name::Group(name) => ScopeName::Group(name),
            Name::Label(name, text) => ScopeName::Label(name, text),
        }
    }

    pub(super) const fn is_active(&self) -> bool {
        match self.phase {
            Phase::Watching => false,
            Phase::Holding { .. } | Phase::Releasing { .. } => true,
        }
    }

    pub(super) fn hold(&self) -> Option<Hold<'_>> {
        let (since, until) = match self.phase {
            Phase::Watching => return None,
            Phase::Holding { since, until, .. } => (since, Some(until)),
            Phase::Releasing { since, .. } => (since, None),
        };
        Some(Hold { scope: self.name(), since, until, tally: self.seen })
    }
}

impl Counts {
    pub(super) const fn add(&mut self, liveness: Liveness) {
        match liveness {
            Liveness::Alive => self.alive += 1,
            Liveness::Suspect => self.suspect += 1,
            Liveness::Unseen => self.unseen += 1,
            Liveness::Failed | Liveness::Left => {}
        }
    }

    pub(super) const fn take(&mut self, liveness: Liveness) {
        match liveness {
            Liveness::Alive => self.alive -= 1,
            Liveness::Suspect => self.suspect -= 1,
            Liveness::Unseen => self.unseen -= 1,
            Liveness::Failed | Liveness::Left => {}
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.alive == 0 && self.suspect == 0 && self.unseen == 0
    }

    pub(super) const fn tally(&self) -> Tally {
        Tally { silent: self.suspect, alive: self.alive, absent: self.unseen }
    }
}

impl Tally {
    /// Those that are silent, whether they were ever heard or not.
    pub const fn missing(&self) -> u32 {
        self.silent + self.absent
    }

    /// Those that are expected to be heard.
    pub const fn expected(&self) -> u32 {
        self.silent + self.alive + self.absent
    }

    /// Whether so many have one cause.
    pub(super) fn exceeds(&self, settings: &GuardSettings) -> bool {
        f64::from(self.missing()) > self.bound(settings)
    }

    /// Whether so few are left that they may be judged one by one again.
    pub(super) fn is_over(&self, settings: &GuardSettings) -> bool {
        f64::from(self.missing()) <= self.bound(settings) / 2.0
    }

    fn bound(&self, settings: &GuardSettings) -> f64 {
        f64::from(settings.least).max(f64::from(settings.share) * f64::from(self.expected()))
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { silent: self.silent + other.silent, alive: self.alive + other.alive, absent: self.absent + other.absent }
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            silent: self.silent.saturating_sub(other.silent),
            alive: self.alive.saturating_sub(other.alive),
            absent: self.absent.saturating_sub(other.absent),
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for ScopeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Label(name, text) => write!(f, "label {name}={text}"),
        }
    }
}

impl<'a> ScopeName<'a> {
    /// The scope that is called so.
    pub fn parse(text: &'a str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "fleet" => Some(Self::Fleet),
            Some(("group", name)) if !name.is_empty() => Some(Self::Group(name)),
            Some(("label", pair)) => pair.split_once('=').map(|(name, text)| Self::Label(name, text)),
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_scope_reads_back_as_it_is_called() {
        for text in ["fleet", "group web", "label zone=eu-1", "label zone=a=b"] {
            assert_eq!(ScopeName::parse(text).map(|name| name.to_string()).as_deref(), Some(text));
        }
        for text in ["", "fleets", "group", "group ", "label zone", "web"] {
            assert_eq!(ScopeName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn more_than_the_least_and_more_than_the_share_are_too_many() {
        let settings = GuardSettings::default();
        for (silent, alive, exceeds) in
            [(3, 0, false), (4, 0, true), (4, 10, true), (4, 30, false), (150, 850, false), (151, 849, true)]
        {
            let tally = Tally { silent, alive, absent: 0 };
            assert_eq!(tally.exceeds(&settings), exceeds, "{tally:?}");
        }
    }
}
