//! A clock set 40 days forward makes no event old.
//!
//! ```text
//!   last event of the former life ── a day ── time since the start ──► no later than this
//! ```
//!
//! Events are stamped by the wall clock, and by it they are old. But it isn't believed beyond what can
//! have passed as far as we know: then events stay for too long rather than not for long enough. A
//! clock that is set back makes nothing older either. Whoever was down for longer than a day removes
//! old events so much later, until the next start.

use systole_core::{Instant, Span};

use crate::clock::Reading;

/// What can have passed, in this life of the monitor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    began: Instant,
    /// The latest that it can have been then, in milliseconds since 1970.
    latest: u64,
}

impl Age {
    /// From now on, after a life whose last event was at `last`, in milliseconds since 1970.
    pub(super) const fn after(last: Option<u64>, reading: Reading) -> Self {
        let last = match last {
            Some(last) => last,
            None => reading.unix_millis(reading.now),
        };
        Self { began: reading.now, latest: last.saturating_add(DOWN.millis()) }
    }

    /// What is older than `retain`: whatever happened before this, in milliseconds since 1970.
    pub(super) fn before(self, retain: Span, reading: Reading) -> u64 {
        let latest = self.latest.saturating_add(reading.now.since(self.began).millis());
        reading.unix_millis(reading.now).min(latest).saturating_sub(retain.millis())
    }
}

/// For how long nobody may have run without that anybody wonders.
const DOWN: Span = Span::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    /// 2026-11-23.
    const T: u64 = 20_780 * DAY;
    const RETAIN: Span = Span::from_secs(30 * 86_400);

    /// So many days after the start, when the wall clock says `unix` milliseconds.
    fn reading(days: u64, unix: u64) -> Reading {
        let now = Instant::from_nanos(400 * DAY * 1_000_000) + Span::from_millis(days * DAY);
        Reading { now, unix_nanos: unix * 1_000_000 }
    }

    #[test]
    fn what_is_old_follows_a_clock_that_nobody_sets() {
        for last in [None, Some(T), Some(T - DAY)] {
            let age = Age::after(last, reading(0, T));
            for days in [0, 1, 100] {
                assert_eq!(age.before(RETAIN, reading(days, T + days * DAY)), T + days * DAY - 30 * DAY);
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_older_than_a_day() {
        let age = Age::after(Some(T), reading(0, T));
        assert_eq!(age.before(RETAIN, reading(2, T + 4_000 * DAY)), T + 3 * DAY - 30 * DAY, "forward");
        assert_eq!(age.before(RETAIN, reading(2, 5 * DAY)), 0, "back");
        assert_eq!(age.before(RETAIN, reading(3, T + 3 * DAY)), T + 3 * DAY - 30 * DAY, "and right again");
        let age = Age::after(Some(T), reading(0, T + 4_000 * DAY));
        assert_eq!(age.before(RETAIN, reading(2, T + 4_002 * DAY)), T + 3 * DAY - 30 * DAY, "while nobody ran");
    }

    #[test]
    fn a_clock_that_begins_in_1970_and_is_set_right_counts_from_then_on() {
        let age = Age::after(Some(T), reading(0, 0));
        assert_eq!(age.before(RETAIN, reading(0, DAY)), 0);
        assert_eq!(age.before(RETAIN, reading(0, T)), T - 30 * DAY);
    }

    #[test]
    fn a_clock_that_was_wrong_in_the_former_life_and_is_right_now_is_believed() {
        let age = Age::after(Some(T + 4_000 * DAY), reading(0, T));
        assert_eq!(age.before(RETAIN, reading(0, T)), T - 30 * DAY);
    }
}
