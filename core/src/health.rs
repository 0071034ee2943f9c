//! Was it the node that was silent, or we that were deaf?
//!
//! ```text
//!   last arrival        stalled             deadline       shifted by the stall
//!   ───●──────────────├─────────┤──────────────┼──────────────►┼───
//! ```
//!
//! Three troubles can make us miss a heartbeat that was sent in time: a stall (nobody looked, and
//! what the host lost meanwhile nobody counted), datagrams dropped on our side, and a clock that
//! was set while arrivals were dated by it. Each gives a silence that it falls into more time, by
//! rules so plain that they can be told in the evidence. A score from 0 to 8 (Dadgar, Phillips,
//! Currey: Lifeguard, 2018) says how often that happens; while it isn't 0, suspects are given
//! 1 + score times their time to confirm. Nothing here is touched by an ordinary heartbeat.

use alloc::collections::VecDeque;

use crate::withheld::Withheld;
use crate::{Instant, Span};

/// Something that went wrong on our side, which a monitor can't see by itself: whoever drives it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// For this long, up to now, nobody looked at the sockets though somebody should have.
    Stall(Span),
    /// So many datagrams were lost on our side since this was last told. Any may have been any node's. Tell it too
    /// that it was none: what is told next is then known to have been lost later.
    Drops(u64),
    /// The clock by which arrivals are dated was set.
    ClockStep,
}

/// Our own troubles of late.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// When the last trouble of any kind ended. Silences that began later need no excuse.
    troubled: Instant,
    stalls: VecDeque<Stretch>,
    /// Stretches of time in which a considerable share of what arrived was lost.
    deaf: VecDeque<Stretch>,
    /// Up to when it is known what was lost.
    asked: Instant,
    /// When a datagram was last lost, be it a single one.
    dropped: Option<Instant>,
    stepped: Option<Instant>,
    seconds: [Second; 2],
    /// Until when the score is above zero but for its last step.
    clean: Instant,
    /// When the score was last raised.
    scored: Option<Instant>,
}

/// A silence that is about to be held against a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Since when.
    pub(crate) from: Instant,
    /// Until when it is normal by the settings.
    pub(crate) due: Instant,
    /// How long the detector waits: what counts as a stall depends on it.
    pub(crate) patience: Span,
    /// How long after a heartbeat it would be due if none were announced to come later.
    pub(crate) wait: Span,
    /// How often the node beats.
    pub(crate) interval: Span,
}

/// Until when a silence is excused, and by what, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excuse {
    pub(crate) until: Instant,
    pub(crate) reason: Option<Withheld>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    start: Instant,
    end: Instant,
}

/// What came through and what was lost in one second.
#[derive(Clone, Copy, Debug)]
struct Second {
    start: Instant,
    received: u64,
    dropped: u64,
}

impl Health {
    pub(crate) fn new(now: Instant) -> Self {
        let second = Second { start: now, received: 0, dropped: 0 };
        Self {
            troubled: Instant::ORIGIN,
            stalls: VecDeque::with_capacity(STALLS),
            deaf: VecDeque::with_capacity(EPISODES),
            asked: now,
            dropped: None,
            stepped: None,
            seconds: [second; 2],
            clean: now,
            scored: None,
        }
    }

    /// Notes so many datagrams that came through.
    pub(crate) const fn received(&mut self, datagrams: usize) {
        self.seconds[0].received += datagrams as u64;
    }

    pub(crate) fn trouble(&mut self, now: Instant, trouble: Trouble) {
        match trouble {
            Trouble::Stall(gap) if gap < STALL_MIN => return,
            Trouble::Stall(gap) => {
                self.stall(Stretch { start: now - gap, end: now });
                if gap >= STALL_SCORED {
                    self.score_up(now);
                }
            }
            Trouble::Drops(datagrams) => {
                let lost = Stretch { start: self.asked.min(now), end: now };
                self.asked = now;
                let considerable = self.is_considerable(now, datagrams);
                if datagrams == 0 {
                    return;
                }
                self.dropped = Some(now);
                if considerable {
                    self.deafen(lost);
                    self.score_up(now);
                }
            }
            Trouble::ClockStep => {
                self.stepped = Some(now);
                self.score_up(now);
            }
        }
        self.troubled = self.troubled.max(now);
    }

    /// Until when a silence is to be excused: never earlier than `due`.
    ///
    /// - A stall beyond half of the patience, or beyond 5 s, shifts it by as much of the stall as
    ///   fell into the silence.
    /// - After a second in which at least one datagram in a hundred was lost, it is counted anew:
    ///   what was lost may have been this node's.
    /// - Fewer losses, or a clock that was set, give one interval more, once.
    pub(crate) fn excuse(&self, silence: Silence) -> Excuse {
        let Silence { from, due, patience, wait, interval } = silence;
        let mut excuse = Excuse { until: due, reason: None };
        if self.troubled <= from {
            return excuse;
        }
        let long = Span::from_nanos(patience.nanos() / 2).min(STALL_LONG);
        for stall in self.stalls.iter().filter(|stall| stall.end.since(stall.start) > long) {
            if stall.end > from && stall.start < excuse.until {
                let missed = stall.end.since(stall.start.max(from));
                excuse = Excuse { until: excuse.until + missed, reason: Some(Withheld::Stall) };
            }
        }
        for deaf in &self.deaf {
            let anew = deaf.end + wait;
            if deaf.end > from && deaf.start < excuse.until && anew > excuse.until {
                excuse = Excuse { until: anew, reason: Some(Withheld::Drops) };
            }
        }
        let later = due + interval;
        for (at, reason) in [(self.dropped, Withheld::Drops), (self.stepped, Withheld::ClockStep)] {
            if at.is_some_and(|at| at > from) && later > excuse.until {
                excuse = Excuse { until: later, reason: Some(reason) };
            }
        }
        excuse
    }

    /// How unwell we are: 0 is well, 8 is the worst. A single trouble is excused for what it is and
    /// doesn't count; each further one within ten seconds does, and ten seconds without any take one off.
    pub(crate) fn score(&self, now: Instant) -> u8 {
        let steps = self.clean.since(now).nanos().div_ceil(STEP.nanos());
        steps.saturating_sub(1).min(u64::from(SCORE_MAX)) as u8
    }

    /// Whether datagrams are being lost at a rate at which a silence means nothing.
    pub(crate) fn is_deaf(&self, now: Instant) -> bool {
        self.deaf.back().is_some_and(|deaf| now.since(deaf.end) < SECOND * 2)
    }

    fn stall(&mut self, stall: Stretch) {
        if self.stalls.len() == STALLS {
            // The shorter it was and the longer ago, the less it matters.
            let weight = |i: &usize| {
                let Stretch { start, end } = self.stalls[*i];
                let age = SECOND + stall.end.since(end);
                (u128::from(end.since(start).nanos()) << 64) / u128::from(age.nanos())
            };
            self.stalls.remove((0..STALLS).min_by_key(weight).unwrap_or(0));
        }
        self.stalls.push_back(stall);
    }

    /// Whether what was lost up to `now` is much of what came in the seconds in which it was lost.
    fn is_considerable(&mut self, now: Instant, dropped: u64) -> bool {
        let [latest, before] = &mut self.seconds;
        latest.dropped += dropped;
        let lost = latest.dropped + before.dropped;
        let all = lost + latest.received + before.received;
        if now.since(latest.start) >= SECOND {
            *before = *latest;
            *latest = Second { start: now, received: 0, dropped: 0 };
        }
        lost * CONSIDERABLE >= all
    }

    fn deafen(&mut self, lost: Stretch) {
        match self.deaf.back_mut() {
            Some(last) if lost.start.since(last.end) < SECOND * 2 => last.end = last.end.max(lost.end),
            Some(_) | None => {
                if self.deaf.len() == EPISODES {
                    self.deaf.pop_front();
                }
                self.deaf.push_back(lost);
            }
        }
    }

    fn score_up(&mut self, now: Instant) {
        if self.scored.is_some_and(|last| now.since(last) < SECOND) {
            return;
        }
        self.scored = Some(now);
        let worst = now + STEP * (u64::from(SCORE_MAX) + 1);
        self.clean = (self.clean.max(now) + STEP).min(worst);
    }
}

const SCORE_MAX: u8 = 8;

/// How long it takes to forget one trouble.
const STEP: Span = Span::from_secs(10);

const SECOND: Span = Span::from_secs(1);

/// Shorter ones are what any scheduler does, and excuse nothing.
const STALL_MIN: Span = Span::from_millis(5);

/// From here on a stall counts towards the score.
const STALL_SCORED: Span = Span::from_millis(500);

/// A stall as long as this matters to every node, however patient.
const STALL_LONG: Span = Span::from_secs(5);

/// One datagram in this many lost within a second or two makes us deaf.
const CONSIDERABLE: u64 = 100;

/// How many stalls, and how many times of deafness, are remembered.
const STALLS: usize = 32;
const EPISODES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(1_000_000_000_000) + Span::from_millis(millis)
    }

    fn silence(from: u64, due: u64) -> Silence {
        let wait = Span::from_millis(due - from);
        Silence { from: at(from), due: at(due), patience: wait, wait, interval: Span::from_secs(1) }
    }

    fn excused(health: &Health, from: u64, due: u64) -> (u64, Option<Withheld>) {
        let Excuse { until, reason } = health.excuse(silence(from, due));
        (until.since(at(0)).millis(), reason)
    }

    #[test]
    fn a_stall_shifts_a_silence_by_what_fell_into_it() {
        let mut health = Health::new(at(0));
        health.trouble(at(5_000), Trouble::Stall(Span::from_secs(3)));
        let stall = Some(Withheld::Stall);
        assert_eq!(excused(&health, 1_000, 4_250), (7_250, stall), "the whole of it");
        assert_eq!(excused(&health, 3_000, 6_000), (8_000, stall), "what was left of it");
        assert_eq!(excused(&health, 5_000, 8_000), (8_000, None), "it was over");
        assert_eq!(excused(&health, 0, 1_900), (1_900, None), "it hadn't begun");
        assert_eq!(excused(&health, 0, 60_000), (60_000, None), "too short to matter to one so patient");
    }

    #[test]
    fn stalls_add_up_and_one_may_lead_into_the_next() {
        let mut health = Health::new(at(0));
        health.trouble(at(4_000), Trouble::Stall(Span::from_secs(2)));
        health.trouble(at(7_000), Trouble::Stall(Span::from_secs(2)));
        assert_eq!(excused(&health, 0, 3_500), (7_500, Some(Withheld::Stall)));
    }

    #[test]
    fn the_longest_stalls_are_remembered() {
        let mut health = Health::new(at(0));
        health.trouble(at(10_000), Trouble::Stall(Span::from_secs(6)));
        (0..200).for_each(|i| health.trouble(at(10_100 + i * 20), Trouble::Stall(Span::from_millis(10))));
        assert_eq!(health.stalls.len(), STALLS);
        assert_eq!(excused(&health, 0, 60_000), (66_000, Some(Withheld::Stall)));
    }

    #[test]
    fn a_few_drops_give_one_interval_more_and_many_begin_the_silence_anew() {
        let mut health = Health::new(at(0));
        health.received(1_000);
        health.trouble(at(2_000), Trouble::Drops(1));
        assert!(!health.is_deaf(at(2_000)));
        assert_eq!(excused(&health, 0, 3_250), (4_250, Some(Withheld::Drops)));
        health.trouble(at(3_000), Trouble::Drops(0));
        assert_eq!(excused(&health, 2_500, 5_750), (5_750, None));

        health.trouble(at(4_000), Trouble::Drops(500));
        assert!(health.is_deaf(at(5_000)) && !health.is_deaf(at(6_000)));
        assert_eq!(excused(&health, 1_000, 4_250), (7_250, Some(Withheld::Drops)));
        health.trouble(at(5_500), Trouble::Drops(500));
        assert_eq!(excused(&health, 1_000, 4_250), (8_750, Some(Withheld::Drops)), "while it goes on, so does this");
    }

    #[test]
    fn a_share_of_drops_is_that_of_the_last_seconds() {
        let mut health = Health::new(at(0));
        for second in 0..100 {
            health.received(10_000);
            health.trouble(at(second * 1_000), Trouble::Drops(50));
            assert!(!health.is_deaf(at(second * 1_000)), "{second}");
        }
        health.received(1_000);
        health.trouble(at(100_500), Trouble::Drops(300));
        assert!(health.is_deaf(at(100_500)));
    }

    #[test]
    fn what_was_lost_since_we_last_looked_excuses_whoever_fell_silent_since_then() {
        let mut health = Health::new(at(0));
        health.received(10_000);
        health.trouble(at(1_000), Trouble::Drops(0));
        // A flood in which the sockets are never empty: what it cost is known at its end.
        health.received(1_000_000);
        health.trouble(at(31_000), Trouble::Drops(2_000_000));
        assert_eq!(excused(&health, 20_000, 26_250), (37_250, Some(Withheld::Drops)));
        assert_eq!(excused(&health, 0, 900).0, 1_900, "this one was due before, and has an interval more");
    }

    #[test]
    fn hours_without_a_loss_make_no_loss_small() {
        let mut health = Health::new(at(0));
        for second in 0..3_600 {
            health.received(20_000);
            health.trouble(at(second * 1_000), Trouble::Drops(0));
        }
        health.trouble(at(3_600_000), Trouble::Drops(5_000));
        assert!(health.is_deaf(at(3_600_000)));
    }

    #[test]
    fn many_a_long_stall_of_other_days_doesn_t_push_out_one_of_just_now() {
        let mut health = Health::new(at(0));
        (1..100).for_each(|day| health.trouble(at(day * 86_400_000), Trouble::Stall(Span::from_secs(6))));
        let now = 100 * 86_400_000;
        health.trouble(at(now), Trouble::Stall(Span::from_secs(3)));
        health.trouble(at(now + 500), Trouble::Stall(Span::from_millis(5)));
        assert_eq!(excused(&health, now - 3_500, now - 250), (now + 2_750, Some(Withheld::Stall)));
    }

    #[test]
    fn a_clock_that_was_set_gives_one_interval_more() {
        let mut health = Health::new(at(0));
        health.trouble(at(2_000), Trouble::ClockStep);
        assert_eq!(excused(&health, 0, 3_250), (4_250, Some(Withheld::ClockStep)));
        assert_eq!(excused(&health, 2_000, 5_250), (5_250, None));
    }

    #[test]
    fn the_score_is_for_troubles_that_come_again() {
        let mut health = Health::new(at(0));
        let stall = Trouble::Stall(Span::from_secs(1));
        health.trouble(at(1_000), stall);
        assert_eq!(health.score(at(1_000)), 0, "once is no illness");
        (2..6).for_each(|i| health.trouble(at(i * 1_000), stall));
        assert_eq!(health.score(at(5_000)), 4);
        assert_eq!(health.score(at(16_500)), 3);
        assert_eq!(health.score(at(60_000)), 0);
        (100..200).for_each(|i| health.trouble(at(i * 1_000), stall));
        assert_eq!(health.score(at(199_000)), SCORE_MAX);
        assert_eq!(health.score(at(199_000 + 80_000)), 0);
        (0..100).for_each(|i| health.trouble(at(400_000 + i), Trouble::Drops(1)));
        assert_eq!(health.score(at(400_100)), 0, "one burst is one trouble");
    }
}
