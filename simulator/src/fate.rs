//! What became of a heartbeat, and so who is to blame when its node is suspected though it is up.
//!
//! ```text
//!   seq        11    12    13    14    15                heard: 11
//!   fate       sent  lost  lost  sent  held back by a pause
//!                                 └── still on its way
//!   suspected ───────────────────────────────▲           blame: a burst
//! ```
//! What is missing is what was sent since the last heartbeat that the monitor has read. Several
//! things can have gone wrong at once; the first that applies is named, in the order of [`Blame`].

use serde::Serialize;

/// What became of one heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// The network carries it, or has.
    #[default]
    Sent,
    /// The network lost it.
    Lost,
    /// It ran into a partition.
    Cut,
    /// The group's uplink had no room.
    Crowded,
    /// It arrived, and the monitor's socket had no room or there was no monitor.
    Dropped,
    /// It arrived and waits to be read.
    Unread,
}

/// What a mistake was due to. The first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The monitor: its buffer overflowed, it was down, or it hadn't read what had arrived.
    Monitor,
    /// A partition.
    Partition,
    /// The sender paused.
    Pause,
    /// The network lost several in a row.
    Burst,
    /// The network lost one, or some that weren't neighbours.
    Loss,
    /// The group's uplink was full.
    Congestion,
    /// Something was still on its way, or had been overtaken.
    Delay,
    /// Nothing was missing: the next heartbeat wasn't due yet, or left late.
    Timeout,
}

impl Blame {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Monitor,
        Self::Partition,
        Self::Pause,
        Self::Burst,
        Self::Loss,
        Self::Congestion,
        Self::Delay,
        Self::Timeout,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Partition => "partition",
            Self::Pause => "pause",
            Self::Burst => "burst",
            Self::Loss => "loss",
            Self::Congestion => "congestion",
            Self::Delay => "delay",
            Self::Timeout => "timeout",
        }
    }
}

/// How many heartbeats are looked back on.
const WINDOW: u64 = 16;

/// The fates of one node's last heartbeats.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fates {
    /// The highest number of this life that the monitor has read.
    heard: u64,
    life: u32,
    fates: [Fate; WINDOW as usize],
}

impl Fates {
    /// A new life begins.
    pub(crate) fn begin(&mut self, life: u32) {
        *self = Self { life, ..Self::default() };
    }

    /// What became of the heartbeat with this number of the present life. Of two copies the better
    /// fate counts.
    pub(crate) fn note(&mut self, seq: u64, fate: Fate) {
        self.fates[(seq % WINDOW) as usize] = fate;
    }

    /// The monitor's socket did something with a heartbeat that had arrived.
    pub(crate) fn note_arrived(&mut self, life: u32, seq: u64, fate: Fate) {
        if life == self.life && seq > self.heard {
            self.note(seq, fate);
        }
    }

    /// The monitor has read the heartbeat with this number.
    pub(crate) fn hear(&mut self, life: u32, seq: u64) {
        if life == self.life {
            self.heard = self.heard.max(seq);
        }
    }

    /// Who is to blame for the silence of a node that has sent so many heartbeats in this life.
    pub(crate) fn blame(&self, sent: u64, pausing: bool) -> Blame {
        let first = (self.heard + 1).max((sent + 1).saturating_sub(WINDOW));
        let missing = |seq: u64| self.fates[(seq % WINDOW) as usize];
        let count = |fate: Fate| (first..=sent).filter(|seq| missing(*seq) == fate).count();
        let in_a_row = (first..sent).any(|seq| missing(seq) == Fate::Lost && missing(seq + 1) == Fate::Lost);
        let lost = count(Fate::Lost);
        [
            (count(Fate::Dropped) + count(Fate::Unread) > 0, Blame::Monitor),
            (count(Fate::Cut) > 0, Blame::Partition),
            (pausing, Blame::Pause),
            (in_a_row, Blame::Burst),
            (lost > 0, Blame::Loss),
            (count(Fate::Crowded) > 0, Blame::Congestion),
            (count(Fate::Sent) > 0, Blame::Delay),
        ]
        .into_iter()
        .find_map(|(applies, blame)| applies.then_some(blame))
        .unwrap_or(Blame::Timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fate::{Crowded, Cut, Dropped, Lost, Sent, Unread};

    /// Who is to blame when nothing was heard since number 11 and the next ones had these fates.
    fn blame(fates: &[Fate], pausing: bool) -> Blame {
        let mut node = Fates::default();
        node.begin(3);
        node.hear(3, 11);
        for (seq, fate) in (12..).zip(fates) {
            node.note(seq, *fate);
        }
        node.blame(11 + fates.len() as u64, pausing)
    }

    #[test]
    fn the_first_cause_that_applies_is_named() {
        for (fates, pausing, expected) in [
            (&[Lost, Sent][..], false, Blame::Loss),
            (&[Lost, Sent, Lost], false, Blame::Loss),
            (&[Sent, Lost, Lost], false, Blame::Burst),
            (&[Sent], false, Blame::Delay),
            (&[Lost, Lost], true, Blame::Pause),
            (&[], true, Blame::Pause),
            (&[], false, Blame::Timeout),
            (&[Crowded, Sent], false, Blame::Congestion),
            (&[Lost, Cut], true, Blame::Partition),
            (&[Lost, Cut, Dropped], false, Blame::Monitor),
            (&[Unread], false, Blame::Monitor),
        ] {
            assert_eq!(blame(fates, pausing), expected, "{fates:?}");
        }
    }

    #[test]
    fn only_what_is_missing_counts_and_only_in_the_present_life() {
        let mut node = Fates::default();
        node.begin(1);
        (1..=4).for_each(|seq| node.note(seq, Lost));
        node.hear(1, 4);
        assert_eq!(node.blame(4, false), Blame::Timeout);
        node.begin(2);
        node.hear(1, 9);
        node.note(1, Lost);
        node.note_arrived(1, 1, Dropped);
        assert_eq!(node.blame(1, false), Blame::Loss);
    }

    #[test]
    fn a_long_silence_is_judged_by_its_last_heartbeats() {
        let mut node = Fates::default();
        node.begin(1);
        (1..=100).for_each(|seq| node.note(seq, if seq <= 80 { Lost } else { Cut }));
        assert_eq!(node.blame(100, false), Blame::Partition);
    }
}
