//! Several shards, one voice.
//!
//! Each shard holds a group that it finds silent, and says so. To whoever reads the events that is
//! one hold: it begins with the first that says so and ends with the last. The same goes for not
//! keeping up.

use std::collections::BTreeMap;

use systole_core::Withheld;
use systole_core::guard::Change;

use super::{Record, What};

/// What the shards have said of holds and overloads that aren't over.
#[derive(Debug, Default)]
pub struct Chorus {
    holds: BTreeMap<Box<str>, Hold>,
    overloads: BTreeMap<&'static str, usize>,
}

#[derive(Debug, Default)]
struct Hold {
    voices: usize,
    expired: bool,
    confirmed: bool,
}

impl Chorus {
    /// Whether this is news, and not what another shard has said already or will say.
    pub fn is_news(&mut self, record: &Record) -> bool {
        match &record.what {
            What::Changed { .. } | What::Noted { .. } => true,
            What::Hold { scope, change, .. } => self.hold(scope, *change),
            What::Overload { reason, over } => self.overload(*reason, *over),
        }
    }

    fn hold(&mut self, scope: &str, change: Change) -> bool {
        let hold = self.holds.entry(scope.into()).or_default();
        match change {
            Change::Held => {
                hold.voices += 1;
                hold.voices == 1
            }
            Change::Expired => !std::mem::replace(&mut hold.expired, true),
            Change::Confirmed => !std::mem::replace(&mut hold.confirmed, true),
            Change::Recovered | Change::Ended => {
                hold.voices = hold.voices.saturating_sub(1);
                let last = hold.voices == 0;
                if last {
                    self.holds.remove(scope);
                }
                last
            }
        }
    }

    fn overload(&mut self, reason: Withheld, over: bool) -> bool {
        let voices = self.overloads.entry(reason.name()).or_default();
        if over {
            *voices = voices.saturating_sub(1);
            return *voices == 0;
        }
        *voices += 1;
        *voices == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::guard::Tally;

    fn record(what: What) -> Record {
        Record { seq: 0, skipped: 0, at: 0, what }
    }

    fn hold(change: Change) -> Record {
        record(What::Hold { scope: "group g".into(), change, tally: Tally::default(), until: 0 })
    }

    #[test]
    fn a_hold_begins_with_the_first_shard_and_ends_with_the_last() {
        let mut chorus = Chorus::default();
        for _ in 0..2 {
            let said = [Change::Held, Change::Held, Change::Recovered, Change::Held, Change::Expired, Change::Expired];
            let news: Vec<bool> = said.into_iter().map(|change| chorus.is_news(&hold(change))).collect();
            assert_eq!(news, [true, false, false, false, true, false]);
            assert!(!chorus.is_news(&hold(Change::Ended)) && chorus.is_news(&hold(Change::Ended)));
        }
    }

    #[test]
    fn not_keeping_up_is_told_once_however_many_shards_dont() {
        let mut chorus = Chorus::default();
        let said = [false, false, true, true, false]
            .map(|over| chorus.is_news(&record(What::Overload { reason: Withheld::Drops, over })));
        assert_eq!(said, [true, false, false, true, true]);
    }
}
