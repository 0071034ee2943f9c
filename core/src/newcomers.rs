//! How fast one network may bring nodes that nobody knows: 100,000 at once and 10,000 a second more.
//!
//! Names cost a sender nothing, places in the table cost us memory, and whoever fills the table first
//! keeps everybody else out. So each source, a network's prefix rather than an address, spends from a
//! budget of its own. A budget is one instant: when it will be whole again. Admitting a node moves that
//! by the time which earns a node back, and one that would come to lie further off than the whole budget
//! takes is refused (the generic cell rate algorithm, ITU-T I.371). Memory is 64 KiB, however many
//! sources there are: where four meet that are all in debt, a fifth takes on the smallest debt.

use alloc::boxed::Box;
use alloc::vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::config::NewNodes;
use crate::{Instant, Span};

/// Sources that share a row of budgets.
const WAYS: usize = 4;

/// Rows of budgets.
const ROWS: usize = 1_024;

/// The network that a datagram came from: the prefix of an address, as whoever received it numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source(u64);

/// The budgets of all sources.
#[derive(Clone, Debug)]
pub(crate) struct Newcomers {
    limit: Option<NewNodes>,
    key: (u64, u64),
    /// Empty until a source comes that isn't this machine.
    rows: Box<[[Budget; WAYS]]>,
}

/// What one source may still spend.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    source: Source,
    /// When it will be whole again, if nothing more is spent.
    whole: Instant,
}

const _: () = assert!(size_of::<[Budget; WAYS]>() == 64, "a row of budgets is a cache line");

impl Source {
    /// This machine itself, or one that can't be told. It isn't limited.
    pub const LOCAL: Self = Self(0);

    /// The source with this number; 0 is this machine.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Newcomers {
    pub(crate) fn new(limit: Option<NewNodes>, key: (u64, u64)) -> Self {
        Self { limit, key, rows: Box::default() }
    }

    /// From now on this holds. Debts stay.
    pub(crate) fn set(&mut self, limit: Option<NewNodes>) {
        self.limit = limit;
    }

    /// Whether `source` may bring one more node, which is then paid for.
    pub(crate) fn admit(&mut self, source: Source, now: Instant) -> bool {
        let Some(NewNodes { burst, every }) = self.limit else { return true };
        if source == Source::LOCAL {
            return true;
        }
        if self.rows.is_empty() {
            self.rows = vec![[Budget::default(); WAYS]; ROWS].into();
        }
        let budget = self.budget(source);
        let whole = budget.whole.max(now) + every;
        if whole > now + every * u64::from(burst) {
            return false;
        }
        budget.whole = whole;
        true
    }

    /// The budget of `source`: its own, or the one of its row that owes least. A budget that is whole is as good as
    /// none, so nothing is lost with it.
    fn budget(&mut self, source: Source) -> &mut Budget {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(source.0);
        let row = &mut self.rows[hasher.finish() as usize % ROWS];
        let own = row.iter().position(|budget| budget.source == source);
        let place = own.unwrap_or_else(|| {
            let least = (0..WAYS).min_by_key(|way| row[*way].whole).expect("a row has some");
            row[least].source = source;
            least
        });
        &mut row[place]
    }
}

impl NewNodes {
    /// What one of `count` monitors may admit that share the nodes of one fleet by a hash.
    pub fn shared_by(self, count: u32) -> Self {
        Self { burst: self.burst.div_ceil(count), every: self.every * u64::from(count) }
    }
}

/// What a machine's largest network could hold if each address were a node, and more with a relay.
impl Default for NewNodes {
    fn default() -> Self {
        Self { burst: 100_000, every: Span::from_nanos(100_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::vec::Vec;

    const LIMIT: NewNodes = NewNodes { burst: 10, every: Span::from_millis(100) };

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Span::from_secs(1_000) + Span::from_millis(millis)
    }

    #[test]
    fn a_source_spends_its_burst_and_then_what_time_brings() {
        let mut newcomers = Newcomers::new(Some(LIMIT), (1, 2));
        let source = Source::new(7);
        let admitted = |newcomers: &mut Newcomers, now| (0..100).filter(|_| newcomers.admit(source, now)).count();
        assert_eq!(admitted(&mut newcomers, at(0)), 10);
        assert_eq!(admitted(&mut newcomers, at(99)), 0);
        assert_eq!(admitted(&mut newcomers, at(350)), 3);
        assert_eq!(admitted(&mut newcomers, at(60_000)), 10, "rest isn't saved up");
        assert!(newcomers.admit(Source::new(8), at(60_000)), "another source has its own");
    }

    #[test]
    fn this_machine_is_not_limited_and_nobody_is_without_a_limit() {
        let mut newcomers = Newcomers::new(Some(LIMIT), (1, 2));
        assert!((0..1_000).all(|_| newcomers.admit(Source::LOCAL, at(0))));
        assert!(newcomers.rows.is_empty(), "nothing was needed");
        newcomers.set(None);
        assert!((0..1_000).all(|_| newcomers.admit(Source::new(7), at(0))));
    }

    #[test]
    fn a_million_sources_need_no_more_memory_and_no_fresh_budget_is_had_by_pushing_one_out() {
        let mut newcomers = Newcomers::new(Some(LIMIT), (1, 2));
        let victim = Source::new(1 << 40);
        assert_eq!((0..100).filter(|_| newcomers.admit(victim, at(0))).count(), 10);
        let admitted = (1..=1_000_000).filter(|n| newcomers.admit(Source::new(*n), at(0))).count();
        assert!(admitted <= ROWS * WAYS * 10, "{admitted}");
        assert_eq!(size_of_val(&*newcomers.rows), 64 << 10);
        assert!(!newcomers.admit(victim, at(0)), "its debt, or that of those in its place");
        assert!(newcomers.admit(victim, at(1_000)), "which passes");
    }

    #[test]
    fn shards_admit_together_what_one_would() {
        let shared = LIMIT.shared_by(4);
        assert_eq!(shared, NewNodes { burst: 3, every: Span::from_millis(400) });
    }

    proptest! {
        /// Against a bucket of tokens that is filled in small steps.
        #[test]
        fn a_budget_is_a_bucket_of_tokens(
            burst in 1..20_u32,
            every in 1..50_u64,
            steps in prop::collection::vec((0..3_u64, 0..200_u64), 1..200),
        ) {
            let mut newcomers = Newcomers::new(Some(NewNodes { burst, every: Span::from_millis(every) }), (3, 4));
            let mut buckets = HashMap::new();
            let mut millis = 0;
            let mut taken = Vec::new();
            for (source, pause) in steps {
                millis += pause;
                // Tokens in units of 1/every, which a millisecond brings.
                let (tokens, since) = buckets.entry(source).or_insert((u64::from(burst) * every, millis));
                *tokens = (*tokens + millis - *since).min(u64::from(burst) * every);
                *since = millis;
                let expected = *tokens >= every;
                if expected {
                    *tokens -= every;
                }
                taken.push((expected, newcomers.admit(Source::new(source + 1), at(millis))));
            }
            prop_assert!(taken.iter().all(|(naive, real)| naive == real), "{taken:?}");
        }
    }
}
