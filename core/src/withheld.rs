//! Why a verdict that is due isn't given.
//!
//! A node is silent beyond what its settings allow, and still isn't called failed: because it may
//! have spoken and we didn't hear it, or because so many fell silent together that the cause is
//! not in the nodes. Each reason has a counter, and is shown on whatever it concerns.

use core::fmt;

/// The reason for which a verdict of silence waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Withheld {
    /// Datagrams that arrived in time may still lie unread in a socket.
    Backlog,
    /// We stood still for a part of the silence.
    Stall,
    /// Datagrams that arrived were dropped on our side during the silence.
    Drops,
    /// The clock that dates arrivals was set during the silence.
    ClockStep,
    /// Troubles of our own come so often that silence is given more time.
    Unwell,
    /// So many nodes fell silent together that one cause is likelier than many deaths.
    Guard,
    /// The node goes to and fro so often that its changes mean little.
    Flapping,
}

impl Withheld {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Backlog, Self::Stall, Self::Drops, Self::ClockStep, Self::Unwell, Self::Guard, Self::Flapping];

    /// The word for it, everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Stall => "stall",
            Self::Drops => "drops",
            Self::ClockStep => "clock_step",
            Self::Unwell => "unwell",
            Self::Guard => "guard",
            Self::Flapping => "flapping",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Withheld::ALL.len() {
        assert!(Withheld::ALL[i] as usize == i, "ALL lists the reasons in the order of their numbers");
        i += 1;
    }
};

/// The reason in words, to follow "withheld because".
impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backlog => "datagrams that arrived in time may still be unread",
            Self::Stall => "the monitor stood still during the silence",
            Self::Drops => "the monitor lost datagrams during the silence",
            Self::ClockStep => "the clock was set during the silence",
            Self::Unwell => "the monitor has had repeated troubles of its own",
            Self::Guard => "too many nodes fell silent together",
            Self::Flapping => "the node goes to and fro",
        })
    }
}
