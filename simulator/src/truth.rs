//! Who really is up, and since when. Truth, not belief: the monitor never sees any of this.
//!
//! ```text
//!   not born ──began──► up ──crashed──► crashed ──began──► up
//!                       ├───left─────► left ─────began──► up
//!                       └───stopped──► stopped: the run asks no more of it
//! ```

use systole_core::Instant;

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// It started, or came back.
    Began,
    /// It died without a word.
    Crashed,
    /// It said goodbye.
    Left,
    /// It has sent all that the run asks of it; from here on nothing about it counts.
    Stopped,
}

/// The state of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truth {
    /// It hasn't begun.
    #[default]
    Unborn,
    /// It is up since then.
    Up(Instant),
    /// It is dead since then, without a word.
    Crashed(Instant),
    /// It is gone, and has said so.
    Left,
    /// It is out of the run.
    Stopped,
}

impl Truth {
    /// What is true after `fact` at `at`.
    ///
    /// # Panics
    /// If that can't happen to a node in this state: a bug of the simulator.
    #[must_use]
    pub fn after(self, fact: Fact, at: Instant) -> Self {
        match (self, fact) {
            (Self::Unborn | Self::Crashed(_) | Self::Left, Fact::Began) => Self::Up(at),
            (Self::Up(_), Fact::Crashed) => Self::Crashed(at),
            (Self::Up(_), Fact::Left) => Self::Left,
            (Self::Up(_), Fact::Stopped) => Self::Stopped,
            (Self::Up(_) | Self::Stopped, Fact::Began)
            | (
                Self::Unborn | Self::Crashed(_) | Self::Left | Self::Stopped,
                Fact::Crashed | Fact::Left | Fact::Stopped,
            ) => panic!("{fact:?} can't happen to a node that is {self:?}"),
        }
    }
}
