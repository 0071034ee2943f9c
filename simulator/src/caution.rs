//! What the gates did in a run: verdicts withheld by reason, notes by name, and what that cost the dead.
//!
//! ```text
//!   truth     up ───────✕ dead
//!   verdict                   suspect ───┬─ due ┄┄┄ withheld ┄┄┄┬─ failed, or the node is back
//!                                        └──── of the dead ─────┘
//! ```
//! Withholding a verdict on a node that lives is what gates are for. On one that is dead it is their
//! price, and the longest time that any had to wait is told beside what they prevented.

use core::fmt;

use serde_json::{Map, Value, json};
use systole_core::counters::Counters;
use systole_core::{Instant, Span, Withheld};

/// Something that the monitor told though no belief changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Noted {
    /// When it was decided.
    pub at: Instant,
    /// What: one of [`NOTES`].
    pub name: &'static str,
    /// Of whom: `group web`, `fleet`, the name of a node, or what the monitor can't keep up with.
    pub about: String,
}

/// What the gates did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caution {
    withheld: [u64; Withheld::ALL.len()],
    notes: [u64; NOTES.len()],
    /// The longest time that a verdict on a node which was dead indeed had to wait; nothing if none had to.
    pub dead_longest: Option<Span>,
}

/// The names of all notes. One that somebody confirms needs somebody, and never comes here.
pub const NOTES: [&str; 10] = [
    "hold",
    "hold_recovered",
    "hold_expired",
    "hold_confirmed",
    "hold_ended",
    "flapping",
    "steady",
    "conflict",
    "overload",
    "overload_over",
];

impl Caution {
    /// How many verdicts had to wait for this reason. Of [`Withheld::Backlog`] it counts the turns in which any had to.
    pub const fn withheld(&self, reason: Withheld) -> u64 {
        self.withheld[reason as usize]
    }

    /// How many notes of this name there were.
    pub fn noted(&self, name: &str) -> u64 {
        NOTES.iter().position(|known| *known == name).map_or(0, |at| self.notes[at])
    }

    /// Adds what one monitor counted.
    pub(crate) fn count(&mut self, counters: &Counters) {
        for reason in Withheld::ALL {
            self.withheld[reason as usize] += counters.withheld(reason);
        }
    }

    pub(crate) fn note(&mut self, name: &str) {
        let at = NOTES.iter().position(|known| *known == name);
        self.notes[at.expect("every note is named")] += 1;
    }

    /// A node that was dead indeed was kept from being failed for so long.
    pub(crate) fn kept(&mut self, withheld: Span) {
        self.dead_longest = self.dead_longest.max(Some(withheld).filter(|span| !span.is_zero()));
    }

    /// Adds what happened to other nodes.
    pub(crate) fn add(&mut self, other: &Self) {
        self.withheld.iter_mut().zip(other.withheld).for_each(|(mine, theirs)| *mine += theirs);
        self.notes.iter_mut().zip(other.notes).for_each(|(mine, theirs)| *mine += theirs);
        self.dead_longest = self.dead_longest.max(other.dead_longest);
    }

    /// By the names that the product has for them.
    pub(crate) fn json(&self) -> Value {
        let withheld: Map<String, Value> =
            Withheld::ALL.iter().map(|reason| (reason.name().into(), self.withheld(*reason).into())).collect();
        let notes: Map<String, Value> =
            NOTES.iter().zip(self.notes).map(|(name, count)| ((*name).into(), count.into())).collect();
        json!({
            "withheld": withheld,
            "notes": notes,
            "withheld_dead_longest_s": self.dead_longest.map(Span::secs_f64),
        })
    }

    /// What was withheld, as `stall 3, guard 500`; empty if nothing was.
    pub(crate) fn reasons(&self) -> String {
        let reasons = Withheld::ALL.iter().map(|reason| (reason.name(), self.withheld(*reason)));
        listed(reasons)
    }

    /// What was told, as `hold 1, hold_recovered 1`; empty if nothing was.
    pub(crate) fn told(&self) -> String {
        listed(NOTES.into_iter().zip(self.notes))
    }
}

fn listed<N: fmt::Display>(counts: impl Iterator<Item = (N, u64)>) -> String {
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_the_longest_wait_is_the_longest_of_all() {
        let mut one = Caution::default();
        one.note("hold");
        one.kept(Span::ZERO);
        assert_eq!((one.dead_longest, one.told(), one.reasons()), (None, "hold 1".into(), String::new()));
        let mut counters = Counters::default();
        counters.withhold(Withheld::Guard);
        let mut other = Caution::default();
        other.count(&counters);
        other.note("hold");
        other.kept(Span::from_millis(2_500));
        one.add(&other);
        assert_eq!((one.noted("hold"), one.withheld(Withheld::Guard), one.noted("moon")), (2, 1, 0));
        assert_eq!(one.json()["withheld_dead_longest_s"], 2.5);
        assert_eq!((one.told(), one.reasons()), ("hold 2".into(), "guard 1".into()));
    }
}
