//! What may be believed of a node, and the one table that says how a belief changes.
//!
//! ```text
//!   unseen ──heartbeat──► alive ──silence──► suspect ──silence──► failed
//!      │                    ▲                   │                   │
//!      └──silence──► failed └────heartbeat──────┴───heartbeat───────┘
//!                           goodbye from anywhere ──► left ──heartbeat──► alive
//! ```
//!
//! "Silence" means that the instant until which silence was normal has passed: the deadline for
//! an alive node, the end of the confirm time for a suspect one, the end of the grace for an
//! unseen one.

/// What is believed of a node. A belief, not a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Liveness {
    /// Listed in the settings, never heard.
    Unseen,
    /// Heard within its deadline.
    Alive,
    /// Silent beyond its deadline: cheap, immediate, not acted upon.
    Suspect,
    /// Silent beyond its deadline and the confirm time: what people act on.
    Failed,
    /// Said goodbye.
    Left,
}

/// What can happen to a belief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A heartbeat newer than the last.
    Heartbeat,
    /// A goodbye newer than the last heartbeat.
    Goodbye,
    /// The instant until which silence was normal has passed.
    Silence,
}

/// What to believe next. Every pair is written out, so that a new variant can't slip by unnoticed.
pub const fn step(now: Liveness, input: Input) -> Liveness {
    use {Input::*, Liveness::*};
    match (now, input) {
        (Unseen | Alive | Suspect | Failed | Left, Heartbeat) => Alive,
        (Unseen | Alive | Suspect | Failed | Left, Goodbye) => Left,
        (Alive, Silence) => Suspect,
        (Unseen | Suspect, Silence) => Failed,
        // Neither waits for anything, so silence is never reported for them.
        (Failed, Silence) => Failed,
        (Left, Silence) => Left,
    }
}

impl Liveness {
    /// Every belief, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Unseen, Self::Alive, Self::Suspect, Self::Failed, Self::Left];

    /// The word for it, everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
            Self::Left => "left",
        }
    }

    /// The belief with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|liveness| liveness.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_makes_any_node_alive_and_a_goodbye_makes_it_left() {
        for liveness in Liveness::ALL {
            assert_eq!(step(liveness, Input::Heartbeat), Liveness::Alive);
            assert_eq!(step(liveness, Input::Goodbye), Liveness::Left);
        }
    }

    #[test]
    fn silence_passes_through_suspect_before_an_alive_node_is_failed() {
        let suspect = step(Liveness::Alive, Input::Silence);
        assert_eq!(suspect, Liveness::Suspect);
        assert_eq!(step(suspect, Input::Silence), Liveness::Failed);
    }

    #[test]
    fn names_and_numbers_agree() {
        for (number, liveness) in Liveness::ALL.into_iter().enumerate() {
            assert_eq!(liveness as usize, number);
            assert_eq!(Liveness::from_name(liveness.name()), Some(liveness));
        }
    }
}
