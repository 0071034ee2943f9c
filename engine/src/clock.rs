//! Two clocks, read together: one to reason by, one to be understood by.
//!
//! ```text
//! monotonic   --------- floor ======= arrival ======= now ----->    never set, never back
//! realtime               ...           stamp          unix ---->    what kernel stamps and people use; may be set
//!                                        |<--- age --->|            arrival = now - age
//! ```
//!
//! Everything is decided on the monotonic line. Kernel stamps come on the realtime one and are carried over by their
//! age at the moment of reading; an age that can't be true (the datagram wasn't there yet when the socket was last seen
//! empty, or comes from the future) means that somebody set the clock, and is cut to what can be.
//!
//! The line stands still while the machine sleeps (`CLOCK_MONOTONIC`, not `CLOCK_BOOTTIME`): in an hour with the lid
//! shut it was us who were silent, and no node may be accused of it. No other file of the engine reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use systole_core::{Instant, Span};

/// The engine's time line. Copies tell the same time, so make one per process and hand it to every thread.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The moment on the monotonic line.
    pub now: Instant,
    /// The same moment in nanoseconds since 1970.
    pub unix_nanos: u64,
}

/// What one socket needs to remember from batch to batch so as to tell true stamps from false ones.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// Not later than the moment at which the socket was last seen empty.
    floor: Instant,
    /// The reading after the batch before.
    last: Reading,
    clock_steps: u64,
    clamped: u64,
}

/// Carries the stamps of one batch over to the monotonic line.
#[derive(Debug)]
pub struct Batch<'a> {
    reading: Reading,
    floor: Instant,
    clamped: &'a mut u64,
}

impl Clock {
    /// Begins a time line. It doesn't begin at zero: what was believed before a restart lies before its start, by up to
    /// a year.
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// The time on the monotonic line.
    pub fn now(&self) -> Instant {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        START + Span::from_nanos(nanos)
    }

    /// Both times. If we lose the processor between the two looks, they are taken again.
    pub fn read(&self) -> Reading {
        let mut tries = 0;
        loop {
            let before = self.now();
            let unix_nanos = unix_nanos();
            let now = self.now();
            tries += 1;
            if now.since(before) < APART_MAX || tries == TRIES {
                return Reading { now, unix_nanos };
            }
        }
    }

    /// `at` in milliseconds since 1970, for display.
    pub fn unix_millis(&self, at: Instant) -> u64 {
        self.read().unix_millis(at)
    }
}

impl Reading {
    /// `at` in milliseconds since 1970, by the realtime clock as it stands in this reading.
    pub const fn unix_millis(self, at: Instant) -> u64 {
        let unix_nanos = self.unix_nanos.saturating_sub(self.now.since(at).nanos());
        unix_nanos.saturating_add(at.since(self.now).nanos()) / 1_000_000
    }

    /// The moment that the realtime clock, as it stands in this reading, calls `unix_nanos`. It may lie in the future,
    /// and ends at the origin in the past.
    pub fn instant(self, unix_nanos: u64) -> Instant {
        let before = Span::from_nanos(self.unix_nanos.saturating_sub(unix_nanos));
        let after = Span::from_nanos(unix_nanos.saturating_sub(self.unix_nanos));
        self.now + after - before
    }

    /// Whether the realtime clock was set between an `earlier` reading and this one.
    fn stepped_since(self, earlier: Self) -> bool {
        let ran = self.now.since(earlier.now);
        let told = i128::from(self.unix_nanos) - i128::from(earlier.unix_nanos);
        // Clocks that are slewed rather than set run off by 0.05 % at the most.
        let slack = SLACK.nanos() + ran.nanos() / 1_000;
        told.abs_diff(i128::from(ran.nanos())) > u128::from(slack)
    }
}

impl Arrivals {
    /// For a socket that is bound after this reading, and so was empty at it.
    pub const fn new(reading: Reading) -> Self {
        Self { floor: reading.now, last: reading, clock_steps: 0, clamped: 0 }
    }

    /// Takes up a batch that has been received: `reading` was made after that, and `drained` says whether the socket
    /// was empty then. Call it for empty batches too.
    pub fn batch(&mut self, reading: Reading, drained: bool) -> Batch<'_> {
        let floor = self.floor;
        if drained {
            // Seen empty at some moment between the two readings; what comes from now on came after the first.
            self.floor = self.last.now;
        }
        if reading.stepped_since(self.last) {
            self.clock_steps += 1;
        }
        self.last = reading;
        Batch { reading, floor, clamped: &mut self.clamped }
    }

    /// How often the realtime clock was found set by more than a millisecond; a sleep of the machine looks the same.
    /// Every socket sees every step, so don't add these up.
    pub const fn clock_steps(&self) -> u64 {
        self.clock_steps
    }

    /// How many arrivals had to be cut to what can be, their stamps being off by more than a millisecond.
    pub const fn clamped(&self) -> u64 {
        self.clamped
    }
}

impl Batch<'_> {
    /// When a datagram of this batch arrived: by its stamp, never later than now and never before the socket was last
    /// seen empty. Without a stamp, now.
    pub fn arrival(&mut self, stamp: Option<u64>) -> Instant {
        let now = self.reading.now;
        let Some(stamp) = stamp else { return now };
        let told = self.reading.instant(stamp);
        let arrival = told.clamp(self.floor, now);
        if told.since(arrival) > SLACK || arrival.since(told) > SLACK {
            *self.clamped += 1;
        }
        arrival
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-23T08:16:00.250Z`. Times after the year 9999 read as its end.
pub fn rfc3339(unix_millis: u64) -> String {
    let time = i64::try_from(unix_millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    format!("{:.3}", time.unwrap_or(jiff::Timestamp::MAX))
}

/// Before 1970 is 1970: a machine without a battery for its clock.
fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Where the line begins: a year after its origin, so that there is room for what happened before.
const START: Instant = Instant::from_nanos(365 * 86_400 * 1_000_000_000);
/// Two looks at clocks further apart than this aren't "together".
const APART_MAX: Span = Span::from_nanos(20_000);
/// How often to look for two that are.
const TRIES: u32 = 3;
/// A disagreement this small is the price of reading two clocks one after the other, and no step.
const SLACK: Span = Span::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    /// 2023-11-14T22:13:20Z
    const UNIX: u64 = 1_700_000_000_000 * MS;

    fn at(millis: u64) -> Instant {
        START + Span::from_millis(millis)
    }

    /// Both clocks `millis` after the start, with nobody setting either.
    fn reading(millis: u64) -> Reading {
        Reading { now: at(millis), unix_nanos: UNIX + millis * MS }
    }

    fn stamp(millis: u64) -> Option<u64> {
        Some(UNIX + millis * MS)
    }

    #[test]
    fn time_runs_forward_and_both_clocks_run_together() {
        let clock = Clock::start();
        let first = clock.read();
        let mut last = first;
        for _ in 0..10_000 {
            let reading = clock.read();
            assert!(reading.now >= last.now && reading.now >= START);
            last = reading;
        }
        assert!(first.unix_nanos > UNIX, "this machine's clock is wrong");
        assert!(clock.now() >= last.now);
    }

    #[test]
    fn a_copy_tells_the_same_time() {
        let clock = Clock::start();
        let copy = clock;
        let (a, b, c) = (clock.now(), copy.now(), clock.now());
        assert!(a <= b && b <= c);
    }

    #[test]
    fn an_arrival_is_as_old_as_its_stamp() {
        let mut arrivals = Arrivals::new(reading(0));
        let mut batch = arrivals.batch(reading(3_000), true);
        assert_eq!(batch.arrival(stamp(2_999)), at(2_999));
        assert_eq!(batch.arrival(stamp(1)), at(1));
        assert_eq!(batch.arrival(None), at(3_000));
        assert_eq!((arrivals.clamped(), arrivals.clock_steps()), (0, 0));
    }

    #[test]
    fn what_came_while_the_socket_was_being_emptied_is_not_cut() {
        let mut arrivals = Arrivals::new(reading(0));
        arrivals.batch(reading(100), true);
        // Came at 95, after the kernel had looked at 90: it is in the next batch, and true.
        assert_eq!(arrivals.batch(reading(200), true).arrival(stamp(95)), at(95));
        assert_eq!(arrivals.clamped(), 0);
    }

    #[test]
    fn a_clock_set_forward_makes_no_arrival_older_than_the_empty_socket() {
        let mut arrivals = Arrivals::new(reading(0));
        arrivals.batch(reading(100), true);
        arrivals.batch(reading(200), true);
        // Stamped at 250, then the clock is set an hour ahead, then we look.
        let late = Reading { unix_nanos: UNIX + 3_600_300 * MS, ..reading(300) };
        assert_eq!(arrivals.batch(late, true).arrival(stamp(250)), at(100));
        assert_eq!((arrivals.clamped(), arrivals.clock_steps()), (1, 1));
    }

    #[test]
    fn a_clock_set_back_makes_no_arrival_later_than_now() {
        let mut arrivals = Arrivals::new(reading(0));
        let late = Reading { unix_nanos: UNIX - 3_600_000 * MS, ..reading(300) };
        assert_eq!(arrivals.batch(late, true).arrival(stamp(250)), at(300));
        assert_eq!((arrivals.clamped(), arrivals.clock_steps()), (1, 1));
    }

    #[test]
    fn a_step_is_counted_once_however_long_the_queue() {
        let mut arrivals = Arrivals::new(reading(0));
        for millis in 1..=100 {
            let late = Reading { unix_nanos: UNIX + (5_000 + millis) * MS, ..reading(millis) };
            arrivals.batch(late, false).arrival(stamp(0));
        }
        assert_eq!((arrivals.clamped(), arrivals.clock_steps()), (100, 1));
    }

    #[test]
    fn the_floor_stays_while_the_socket_is_never_empty() {
        let mut arrivals = Arrivals::new(reading(0));
        for millis in [1_000, 2_000, 3_000] {
            assert_eq!(arrivals.batch(reading(millis), false).arrival(stamp(5)), at(5));
        }
        arrivals.batch(reading(4_000), true);
        assert_eq!(arrivals.batch(reading(5_000), true).arrival(stamp(5)), at(3_000));
        assert_eq!(arrivals.clamped(), 1);
    }

    #[test]
    fn a_clock_that_is_slewed_was_not_set() {
        let mut arrivals = Arrivals::new(reading(0));
        let slewed = Reading { unix_nanos: UNIX + 100_050 * MS, ..reading(100_000) };
        arrivals.batch(slewed, true);
        assert_eq!(arrivals.clock_steps(), 0);
    }

    #[test]
    fn a_moment_is_shown_by_the_clock_of_today_in_both_directions() {
        let reading = reading(10);
        assert_eq!(reading.unix_millis(at(10)), UNIX / MS + 10);
        assert_eq!(reading.unix_millis(at(0)), UNIX / MS);
        assert_eq!(reading.unix_millis(at(3_010)), UNIX / MS + 3_010);
        for unix_nanos in [UNIX, UNIX + 10 * MS, UNIX + 999 * MS] {
            assert_eq!(reading.unix_millis(reading.instant(unix_nanos)), unix_nanos / MS);
        }
        assert_eq!(reading.instant(0), Instant::ORIGIN);
        assert_eq!(reading.unix_millis(Instant::ORIGIN), (UNIX - START.nanos()) / MS);
    }

    #[test]
    fn times_are_written_as_rfc_3339_with_milliseconds() {
        assert_eq!(rfc3339(UNIX / MS), "2023-11-14T22:13:20.000Z");
        assert_eq!(rfc3339(UNIX / MS + 7), "2023-11-14T22:13:20.007Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-"));
    }
}
