//! A node that goes to and fro ten times in ten minutes is one piece of news, not twenty.
//!
//! ```text
//!   penalty   each return adds 500; every half-life (5 min) halves it
//!   5000 ┄┄┄┄┄┄┄┄┄╭╮┄┄┄  above: flapping, its changes are kept quiet
//!        ╭╮ ╭╮ ╭╮╭╯ ╰─╮
//!   2500 ┄╰─╯╰─╯╰╯┄┄┄┄┄╰─ below again: steady, and what is believed by then is told
//! ```
//!
//! After the damping of routes that flap (RFC 2439). A penalty is capped at twice the threshold, so
//! that nobody is kept quiet for more than two half-lives after the last return.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Bound;

use crate::config::FlapSettings;
use crate::{Instant, Liveness, NodeIx, Span};

/// How many are looked through with each return.
const SWEEP: usize = 16;

/// Who goes to and fro.
#[derive(Clone, Debug)]
pub(crate) struct Flaps {
    settings: FlapSettings,
    by_node: BTreeMap<NodeIx, Flap>,
    /// When those that flap will be steady, if nothing happens until then.
    steady: BTreeSet<(Instant, NodeIx)>,
    /// Up to whom those were looked through whose last return may be long ago.
    swept: Option<NodeIx>,
}

#[derive(Clone, Copy, Debug)]
struct Flap {
    penalty: f32,
    /// When the penalty was so.
    at: Instant,
    flapping: Option<Flapping>,
    /// When it last became steady.
    steady: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Flapping {
    /// The belief that was told last.
    told: Liveness,
    until: Instant,
}

impl Flaps {
    pub(crate) const fn new(settings: FlapSettings) -> Self {
        Self { settings, by_node: BTreeMap::new(), steady: BTreeSet::new(), swept: None }
    }

    /// Other numbers from now on. Who flaps is steady when it would have been.
    pub(crate) const fn set(&mut self, settings: FlapSettings) {
        self.settings = settings;
    }

    /// The node returned. Says whether it flaps from now on, having been told to be alive.
    pub(crate) fn returned(&mut self, ix: NodeIx, now: Instant) -> bool {
        self.sweep(now);
        let settings = self.settings;
        let flap =
            self.by_node.entry(ix).or_insert(Flap { penalty: 0.0, at: now, flapping: None, steady: Instant::ORIGIN });
        let penalty = flap.penalty_at(now, settings.half_life) + settings.penalty;
        (flap.penalty, flap.at) = (penalty.min(settings.suppress * 2.0), now);
        if let Some(flapping) = &mut flap.flapping {
            self.steady.remove(&(flapping.until, ix));
        } else if flap.penalty < settings.suppress {
            return false;
        }
        let until = now + settings.half_life.scale(libm::log2f(flap.penalty / settings.reuse));
        let begins = flap.flapping.is_none();
        let told = flap.flapping.map_or(Liveness::Alive, |flapping| flapping.told);
        flap.flapping = Some(Flapping { told, until });
        self.steady.insert((until, ix));
        begins
    }

    /// Until when a node's changes are kept quiet, if they are.
    pub(crate) fn flapping(&self, ix: NodeIx) -> Option<Instant> {
        Some(self.by_node.get(&ix)?.flapping?.until)
    }

    /// Whether a node was kept quiet at some time after `since`.
    pub(crate) fn flapped_since(&self, ix: NodeIx, since: Instant) -> bool {
        self.by_node.get(&ix).is_some_and(|flap| flap.steady > since)
    }

    /// A change of a node that flaps was told nevertheless.
    pub(crate) fn told(&mut self, ix: NodeIx, liveness: Liveness) {
        if let Some(flapping) = self.by_node.get_mut(&ix).and_then(|flap| flap.flapping.as_mut()) {
            flapping.told = liveness;
        }
    }

    /// The next node that became steady by `now`, and what it was last told to be.
    pub(crate) fn steadied(&mut self, now: Instant) -> Option<(NodeIx, Liveness)> {
        let (until, ix) = *self.steady.first()?;
        if until > now {
            return None;
        }
        self.steady.remove(&(until, ix));
        let flap = self.by_node.get_mut(&ix)?;
        flap.steady = now;
        flap.flapping.take().map(|flapping| (ix, flapping.told))
    }

    /// When the next node becomes steady.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.steady.first().map(|(until, _)| *until)
    }

    /// How many flap.
    pub(crate) fn len(&self) -> usize {
        self.steady.len()
    }

    /// The node is gone.
    pub(crate) fn forget(&mut self, ix: NodeIx) {
        if let Some(flapping) = self.by_node.remove(&ix).and_then(|flap| flap.flapping) {
            self.steady.remove(&(flapping.until, ix));
        }
    }

    /// Forgets some of those whose last return is long ago: with each return a few, so that no return pays for all.
    fn sweep(&mut self, now: Instant) {
        let FlapSettings { half_life, penalty, .. } = self.settings;
        let from = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
        let mut old = [None; SWEEP];
        let mut last = None;
        for ((ix, flap), old) in self.by_node.range((from, Bound::Unbounded)).zip(&mut old) {
            last = Some(*ix);
            *old = (flap.flapping.is_none() && flap.penalty_at(now, half_life) <= penalty / 16.0).then_some(*ix);
        }
        self.swept = last;
        for ix in old.into_iter().flatten() {
            self.by_node.remove(&ix);
        }
    }
}

impl Flap {
    fn penalty_at(&self, now: Instant, half_life: Span) -> f32 {
        let halvings = now.since(self.at).millis_f32() / half_life.millis_f32();
        self.penalty * libm::exp2f(-halvings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ORIGIN + Span::from_secs(secs)
    }

    fn node() -> NodeIx {
        NodeIx::new(7)
    }

    fn flaps() -> Flaps {
        Flaps::new(FlapSettings::default())
    }

    #[test]
    fn ten_returns_at_once_are_too_many_and_five_minutes_later_it_is_steady() {
        let mut flaps = flaps();
        assert!((0..9).all(|_| !flaps.returned(node(), at(1))));
        assert_eq!(flaps.flapping(node()), None);
        assert!(flaps.returned(node(), at(1)), "5000");
        assert_eq!((flaps.flapping(node()), flaps.poll_timeout()), (Some(at(301)), Some(at(301))));
        assert!(!flaps.returned(node(), at(1)), "it begins once");
        assert!(flaps.flapping(node()) > Some(at(301)));
        let until = flaps.poll_timeout().unwrap();
        assert_eq!(flaps.steadied(at(301)), None);
        assert_eq!(flaps.steadied(until), Some((node(), Liveness::Alive)));
        assert_eq!((flaps.steadied(until), flaps.flapping(node()), flaps.len()), (None, None, 0));
    }

    #[test]
    fn once_a_minute_is_no_flapping() {
        let mut flaps = flaps();
        assert!((0..1_000).all(|minute| !flaps.returned(node(), at(minute * 60))));
    }

    #[test]
    fn nobody_is_kept_quiet_for_longer_than_two_half_lives() {
        let mut flaps = flaps();
        (0..1_000).for_each(|_| _ = flaps.returned(node(), at(1)));
        assert_eq!(flaps.flapping(node()), Some(at(601)));
    }

    #[test]
    fn what_was_told_meanwhile_is_remembered() {
        let mut flaps = flaps();
        (0..10).for_each(|_| _ = flaps.returned(node(), at(1)));
        flaps.told(node(), Liveness::Failed);
        assert_eq!(flaps.steadied(at(1_000)), Some((node(), Liveness::Failed)));
    }

    #[test]
    fn those_that_are_gone_or_steady_for_long_take_no_place() {
        let mut flaps = flaps();
        (0..100).for_each(|ix| _ = flaps.returned(NodeIx::new(ix), at(1)));
        (0..10).for_each(|_| _ = flaps.returned(node(), at(1)));
        flaps.forget(node());
        assert_eq!((flaps.by_node.len(), flaps.len()), (99, 0));
        (0..8).for_each(|_| _ = flaps.returned(node(), at(3_000)));
        assert_eq!(flaps.by_node.len(), 1);
    }
}
