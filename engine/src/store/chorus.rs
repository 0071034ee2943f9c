//! Several shards, one voice.
//!
//! Each shard holds a group that it finds silent, and says so. To whoever reads the events that is
//! one hold: it begins with the first that says so and ends with the last. The same goes for not
//! keeping up.
//!
//! Who has said it is known by name, not counted: a word that was lost is made good by the shard's next one.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use systole_core::Withheld;
use systole_core::guard::Change;

use super::{Record, What};

/// What the shards have said of holds and overloads that aren't over.
#[derive(Debug, Default)]
pub struct Chorus {
    holds: BTreeMap<Box<str>, Hold>,
    overloads: BTreeMap<&'static str, Voices>,
    /// Events lost before what was no news: their numbers stay empty all the same.
    skipped: u64,
}

#[derive(Debug, Default)]
struct Hold {
    voices: Voices,
    expired: Voices,
    confirmed: Voices,
}

/// The shards that said the same.
#[derive(Debug, Default)]
struct Voices(BTreeSet<u32>);

impl Chorus {
    /// Gives it back if it is news, and not what another shard has said already or will say.
    pub fn news(&mut self, record: Record) -> Option<Record> {
        let skipped = mem::take(&mut self.skipped) + record.skipped;
        if self.is_news(&record) {
            return Some(Record { skipped, ..record });
        }
        self.skipped = skipped;
        None
    }

    fn is_news(&mut self, record: &Record) -> bool {
        match &record.what {
            What::Changed { .. } | What::Noted { .. } => true,
            What::Hold { scope, change, .. } => self.hold(scope, *change, record.shard),
            What::Overload { reason, over } => self.overload(*reason, *over, record.shard),
        }
    }

    fn hold(&mut self, scope: &str, change: Change, shard: u32) -> bool {
        let hold = self.holds.entry(scope.into()).or_default();
        match change {
            Change::Held => {
                (hold.expired, hold.confirmed) = Default::default();
                hold.voices.join(shard)
            }
            Change::Expired => {
                hold.voices.join(shard);
                hold.expired.join_anew(shard)
            }
            Change::Confirmed => {
                hold.voices.join(shard);
                hold.confirmed.join_anew(shard)
            }
            Change::Recovered | Change::Ended => {
                let last = hold.voices.leave(shard);
                if last {
                    self.holds.remove(scope);
                }
                last
            }
        }
    }

    fn overload(&mut self, reason: Withheld, over: bool, shard: u32) -> bool {
        let voices = self.overloads.entry(reason.name()).or_default();
        if over { voices.leave(shard) } else { voices.join(shard) }
    }
}

impl Voices {
    /// Whether nobody else says it. Who says it a second time has ended it in between, and that was lost.
    fn join(&mut self, shard: u32) -> bool {
        self.0.insert(shard);
        self.0.len() == 1
    }

    /// Whether this is the first to say it since somebody said it twice: there it was held for longer in between.
    fn join_anew(&mut self, shard: u32) -> bool {
        if self.0.contains(&shard) {
            self.0.clear();
        }
        self.join(shard)
    }

    /// Whether nobody is left.
    fn leave(&mut self, shard: u32) -> bool {
        self.0.remove(&shard);
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::guard::Tally;

    const SCOPE: &str = "group g";

    fn hold(shard: u32, change: Change) -> Record {
        let what = What::Hold { scope: SCOPE.into(), change, tally: Tally::default(), until: 0 };
        Record { seq: 0, skipped: 0, shard, at: 0, what }
    }

    fn said<const N: usize>(chorus: &mut Chorus, words: [(u32, Change); N]) -> [bool; N] {
        words.map(|(shard, change)| chorus.news(hold(shard, change)).is_some())
    }

    #[test]
    fn a_hold_begins_with_the_first_shard_and_ends_with_the_last() {
        use Change::{Ended, Expired, Held, Recovered};
        let mut chorus = Chorus::default();
        for _ in 0..2 {
            let words = [(0, Held), (1, Held), (0, Recovered), (0, Held), (0, Expired), (1, Expired)];
            assert_eq!(said(&mut chorus, words), [true, false, false, false, true, false]);
            assert_eq!(said(&mut chorus, [(1, Ended), (0, Ended)]), [false, true]);
        }
    }

    #[test]
    fn a_word_that_was_lost_silences_nobody() {
        use Change::{Ended, Expired, Held};
        let mut chorus = Chorus::default();
        // The end of the first hold is lost.
        assert_eq!(said(&mut chorus, [(0, Held), (0, Held), (0, Ended)]), [true, true, true]);
        // The beginning is lost, of one shard's part and of all.
        assert_eq!(said(&mut chorus, [(0, Held), (1, Ended), (0, Ended)]), [true, false, true]);
        assert_eq!(said(&mut chorus, [(0, Expired), (1, Held), (0, Ended), (1, Ended)]), [true, false, false, true]);
        assert_eq!(said(&mut chorus, [(0, Held), (0, Ended)]), [true, true]);
    }

    #[test]
    fn what_is_held_for_longer_expires_a_second_time() {
        use Change::{Confirmed, Expired, Held};
        let mut chorus = Chorus::default();
        let words = [(0, Held), (1, Held), (0, Expired), (1, Expired), (1, Expired), (0, Expired)];
        assert_eq!(said(&mut chorus, words), [true, false, true, false, true, false]);
        assert_eq!(said(&mut chorus, [(0, Confirmed), (1, Confirmed), (1, Confirmed)]), [true, false, true]);
        assert_eq!(said(&mut chorus, [(2, Held), (2, Expired)]), [false, true], "held again elsewhere");
    }

    #[test]
    fn not_keeping_up_is_told_once_however_many_shards_dont() {
        let mut chorus = Chorus::default();
        let said =
            [(0, false), (1, false), (0, true), (1, true), (0, false), (0, false), (0, true)].map(|(shard, over)| {
                let what = What::Overload { reason: Withheld::Drops, over };
                chorus.news(Record { what, ..hold(shard, Change::Held) }).is_some()
            });
        assert_eq!(said, [true, false, false, true, true, true, true]);
    }

    #[test]
    fn what_was_lost_before_a_word_that_is_no_news_stays_lost() {
        let mut chorus = Chorus::default();
        chorus.news(hold(0, Change::Held));
        assert_eq!(chorus.news(Record { skipped: 3, ..hold(1, Change::Held) }), None);
        assert_eq!(chorus.news(Record { skipped: 2, ..hold(2, Change::Held) }), None);
        let skipped = |told: Option<Record>| told.map(|told| told.skipped);
        assert_eq!(skipped(chorus.news(Record { skipped: 1, ..hold(1, Change::Expired) })), Some(6));
        assert_eq!(skipped(chorus.news(hold(1, Change::Confirmed))), Some(0));
    }
}
