//! Two machines with one name: both are heard, and only one of them can be believed.
//!
//! ```text
//!   life 5:  101   102   103   104  ...   believed
//!   life 3:     77    78    79   80 ...   refused, and yet it goes on counting
//! ```
//!
//! A message that isn't newer than the last is ordinary: duplicated, delayed, left over from a
//! former life. But what keeps counting upwards beside the believed one is somebody who is alive:
//! a second sender with the same name, or a recording that is being played. Three such messages
//! within the time in which the node would have to be heard are a conflict, unless all came at once: so does the
//! backlog that a crashed life left in the network. It is told once, until the other has been quiet for ten times
//! that long.

use alloc::collections::BTreeMap;

use crate::{Incarnation, Instant, NodeIx, Seq, Span};

/// Whom else we hear under the names of nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conflicts {
    rivals: BTreeMap<NodeIx, Rival>,
    swept: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Rival {
    incarnation: Incarnation,
    seq: Seq,
    /// When the first of `count` messages came, and until when the others must.
    until: Instant,
    count: u8,
    told: bool,
    /// When it will be forgotten if nothing more is heard.
    quiet: Instant,
}

/// A message that was refused because it isn't newer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) incarnation: Incarnation,
    pub(crate) seq: Seq,
    pub(crate) arrival: Instant,
    /// How long the node may be silent.
    pub(crate) patience: Span,
}

/// So many messages of a rival are a conflict.
const ENOUGH: u8 = 3;

/// They are the backlog of a former life if all came within this share of the time in which the node must be heard.
const AT_ONCE: u64 = 4;

/// So many rivals are remembered at most: whoever replays a fleet's heartbeats shan't fill the memory.
const RIVALS: usize = 16_384;

impl Conflicts {
    /// Notes what was refused. Whether that makes a conflict of which nobody was told yet.
    pub(crate) fn refused(&mut self, ix: NodeIx, refused: Refused) -> bool {
        let Refused { incarnation, seq, arrival, patience } = refused;
        self.sweep(arrival);
        let quiet = arrival + patience * 10;
        let first = Rival { incarnation, seq, until: arrival + patience, count: 1, told: false, quiet };
        if let Some(rival) = self.rivals.get_mut(&ix) {
            let over = if rival.told { rival.quiet } else { rival.until };
            if rival.incarnation != incarnation || arrival > over {
                *rival = first;
                return false;
            }
            if seq <= rival.seq {
                return false;
            }
            (rival.seq, rival.quiet) = (seq, rival.quiet.max(quiet));
            rival.count = rival.count.saturating_add(1);
            let lasted = (arrival + patience).since(rival.until);
            let at_once = lasted * AT_ONCE < patience;
            let conflict = rival.count >= ENOUGH && !at_once && !rival.told;
            rival.told |= conflict;
            return conflict;
        }
        if self.rivals.len() < RIVALS {
            self.rivals.insert(ix, first);
        }
        false
    }

    /// Whether somebody else is heard under the name of this node.
    pub(crate) fn has(&self, ix: NodeIx, now: Instant) -> bool {
        self.rivals.get(&ix).is_some_and(|rival| rival.told && now <= rival.quiet)
    }

    /// How many conflicts there are.
    pub(crate) fn len(&self, now: Instant) -> usize {
        self.rivals.values().filter(|rival| rival.told && now <= rival.quiet).count()
    }

    /// The node is gone.
    pub(crate) fn forget(&mut self, ix: NodeIx) {
        self.rivals.remove(&ix);
    }

    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.rivals.retain(|_, rival| now <= rival.quiet);
        }
    }
}

const SWEEP: Span = Span::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn refused(incarnation: u64, seq: u64, millis: u64) -> Refused {
        Refused {
            incarnation: Incarnation::new(incarnation),
            seq: Seq::new(seq),
            arrival: Instant::ORIGIN + Span::from_millis(millis),
            patience: Span::from_millis(3_250),
        }
    }

    fn conflicts(messages: &[(u64, u64, u64)]) -> usize {
        let mut conflicts = Conflicts::default();
        let ix = NodeIx::new(0);
        messages.iter().filter(|(life, seq, at)| conflicts.refused(ix, refused(*life, *seq, *at))).count()
    }

    #[test]
    fn who_keeps_counting_is_a_second_sender_and_is_told_once() {
        let steady: Vec<_> = (0..100).map(|i| (3, i, i * 1_000)).collect();
        assert_eq!(conflicts(&steady[..2]), 0);
        assert_eq!(conflicts(&steady[..3]), 1);
        assert_eq!(conflicts(&steady), 1);
    }

    #[test]
    fn a_backlog_that_comes_all_at_once_is_nobody_unless_it_goes_on() {
        let backlog: Vec<_> = (0..100).map(|i| (3, i, i * 5)).collect();
        assert_eq!(conflicts(&backlog), 0);
        let goes_on = [(3, 100, 1_000)];
        assert_eq!(conflicts(&[&backlog[..], &goes_on].concat()), 1);
    }

    #[test]
    fn stragglers_and_duplicates_are_nobody() {
        assert_eq!(conflicts(&[(3, 7, 0), (3, 8, 1), (3, 8, 2), (3, 7, 3)]), 0);
        assert_eq!(conflicts(&(0..100).map(|i| (3, i, i * 10_000)).collect::<Vec<_>>()), 0, "too rare");
        assert_eq!(conflicts(&(0..100).map(|i| (i, 1, i * 10)).collect::<Vec<_>>()), 0, "never the same");
    }

    #[test]
    fn after_a_long_silence_it_is_news_again() {
        let heard = |from: u64| (0..5).map(move |i| (3, from + i, from + i * 1_000));
        assert_eq!(conflicts(&heard(0).chain(heard(20_000)).collect::<Vec<_>>()), 1);
        assert_eq!(conflicts(&heard(0).chain(heard(200_000)).collect::<Vec<_>>()), 2);
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let mut conflicts = Conflicts::default();
        (0..RIVALS + 100).for_each(|ix| _ = conflicts.refused(NodeIx::new(ix), refused(1, 1, 0)));
        assert_eq!(conflicts.rivals.len(), RIVALS);
        conflicts.refused(NodeIx::new(1), refused(1, 1, 100_000));
        assert_eq!(conflicts.rivals.len(), 1);
    }
}
