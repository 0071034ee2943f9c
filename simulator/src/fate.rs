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
    /// The highest that was sent: of it and those just before it the fates are known.
    sent: u64,
    life: u32,
    fates: [Fate; WINDOW as usize],
}

impl Fates {
    /// A new life begins.
    pub(crate) fn begin(&mut self, life: u32) {
        *self = Self { life, ..Self::default() };
    }

    /// What became of a heartbeat, or of a copy of one, on its way. Numbers are sent in order.
    pub(crate) fn note_sent(&mut self, life: u32, seq: u64, fate: Fate) {
        if life != self.life {
            return;
        }
        let fates = &mut self.fates[(seq % WINDOW) as usize];
        if seq > self.sent {
            (self.sent, *fates) = (seq, fate);
            return;
        }
        // Of two copies the better fate counts, and what the monitor did with one is known better still.
        *fates = match (*fates, fate) {
            (Fate::Lost | Fate::Cut | Fate::Crowded, Fate::Sent) => Fate::Sent,
            (known, _) => known,
        };
    }

    /// The monitor's socket did something with a heartbeat that had arrived.
    pub(crate) fn note_arrived(&mut self, life: u32, seq: u64, fate: Fate) {
        // One from long ago has left its place to a later one.
        if life == self.life && seq > self.heard && seq + WINDOW > self.sent {
            self.fates[(seq % WINDOW) as usize] = fate;
        }
    }

    /// The monitor has read the heartbeat with this number.
    pub(crate) fn hear(&mut self, life: u32, seq: u64) {
        if life == self.life {
            self.heard = self.heard.max(seq);
        }
    }

    /// Who is to blame for the silence of a node.
    pub(crate) fn blame(&self, pausing: bool) -> Blame {
        let sent = self.sent;
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
            node.note_sent(3, seq, *fate);
        }
        node.blame(pausing)
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
        (1..=4).for_each(|seq| node.note_sent(1, seq, Lost));
        node.hear(1, 4);
        assert_eq!(node.blame(false), Blame::Timeout);
        node.begin(2);
        node.hear(1, 9);
        node.note_sent(2, 1, Lost);
        node.note_sent(1, 1, Sent);
        node.note_arrived(1, 1, Dropped);
        assert_eq!(node.blame(false), Blame::Loss);
    }

    #[test]
    fn a_long_silence_is_judged_by_its_last_heartbeats() {
        let mut node = Fates::default();
        node.begin(1);
        (1..=100).for_each(|seq| node.note_sent(1, seq, if seq <= 80 { Lost } else { Cut }));
        assert_eq!(node.blame(false), Blame::Partition);
    }

    #[test]
    fn a_heartbeat_of_which_one_copy_gets_through_is_not_lost() {
        for copies in [[Sent, Lost], [Lost, Sent], [Sent, Cut], [Crowded, Sent]] {
            let mut node = Fates::default();
            node.begin(1);
            copies.into_iter().for_each(|fate| node.note_sent(1, 1, fate));
            assert_eq!(node.blame(false), Blame::Delay, "{copies:?}");
            // What the monitor does with the one that arrives is its own affair.
            node.note_arrived(1, 1, Unread);
            copies.into_iter().for_each(|fate| node.note_sent(1, 1, fate));
            assert_eq!(node.blame(false), Blame::Monitor, "{copies:?}");
        }
    }

    #[test]
    fn one_that_arrives_very_late_does_not_stand_for_a_later_one() {
        let mut node = Fates::default();
        node.begin(1);
        (1..=20).for_each(|seq| node.note_sent(1, seq, Lost));
        node.note_arrived(1, 4, Dropped);
        assert_eq!(node.blame(false), Blame::Burst);
        node.note_arrived(1, 5, Dropped);
        assert_eq!(node.blame(false), Blame::Monitor);
    }
}
