//! One node as it really behaves: when it beats, pauses, dies and comes back.
//!
//! ```text
//!  schedule   0     1     2     3     4     5          a new life: a new schedule
//!             |     |     |     |     |     |             |     |
//!  sends      ■      ■    ■      [pause ]■    ✕ ........  ■      ■
//!             1      2    3              4    crash  down  1 of incarnation 2
//! ```
//! The schedule stands still whatever jitter and pauses do, as that of a real sender with a timer
//! does; what was due during a pause is skipped, but for one heartbeat at its end. A sender knows
//! nothing of the network or of what is believed of it.

use systole_core::{Instant, Span};

use crate::random::{Purpose, Stream};
use crate::scenario::{Phase, Scenario};

/// What a sender does at its next instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Begins its first life or the next.
    Begin,
    /// Sends a heartbeat; `again` sends it a second time.
    Beat {
        /// Whether it is sent twice.
        again: bool,
    },
    /// Dies without a word.
    Crash,
    /// Says goodbye and ends.
    Leave,
    /// Has sent all that the run asks of it. Nobody looks at it any more.
    Stop,
}

/// One node. What a plain heartbeat needs comes first and fills one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Sender {
    /// When its present life began.
    begun: Instant,
    /// Its interval by a perfect clock.
    period: Span,
    /// The place in the schedule of the next heartbeat.
    index: u64,
    /// Heartbeats sent in this life.
    pub(crate) seq: u64,
    /// Heartbeats sent in all lives.
    sent: u64,
    /// After so many of them this life ends.
    life_ends: u64,
    /// Which life it is in; the first is 1.
    pub(crate) life: u32,
    next: Act,
    /// Heartbeats to send in all lives.
    budget: u64,
    /// Lives that end in a crash or a goodbye.
    ends: u64,
    jitter: Stream,
    twice: Stream,
    crash: Stream,
    pause: Stream,
    pause_at: Instant,
    pause_until: Instant,
}

const _: () = assert!(core::mem::offset_of!(Sender, budget) <= 64, "a plain heartbeat needs one cache line");

impl Sender {
    /// Node number `node`, and when it begins.
    pub(crate) fn new(scenario: &Scenario, node: u32) -> (Self, Instant) {
        let stream = |purpose| Stream::new(scenario.seed, u64::from(node), purpose);
        let share = |all: u64| {
            let (nodes, node) = (u64::from(scenario.nodes), u64::from(node));
            all / nodes + u64::from(node < all % nodes)
        };
        let rate = 1.0 + scenario.drift * (2.0 * stream(Purpose::Drift).unit() - 1.0);
        let begun = match scenario.phase {
            Phase::LockStep => Instant::ORIGIN,
            Phase::Spread => Instant::ORIGIN + part(scenario.interval, stream(Purpose::Phase).unit()),
        };
        let mut sender = Self {
            begun,
            period: part(scenario.interval, rate),
            index: 0,
            life: 0,
            seq: 0,
            sent: 0,
            budget: share(scenario.heartbeats),
            life_ends: 0,
            ends: share(scenario.crashes),
            next: Act::Begin,
            jitter: stream(Purpose::Jitter),
            twice: stream(Purpose::Twice),
            crash: stream(Purpose::Crash),
            pause: stream(Purpose::Pause),
            pause_at: begun,
            pause_until: begun,
        };
        sender.plan_pause(scenario);
        (sender, begun)
    }

    /// Does what is next, at `now`, and says what that was and when to come again.
    pub(crate) fn act(&mut self, scenario: &Scenario, now: Instant) -> (Act, Option<Instant>) {
        let act = self.next;
        let again = match act {
            Act::Begin => {
                self.begin(now);
                self.next = self.beat(scenario);
                Some(self.next_send(scenario))
            }
            Act::Beat { again: _ } => {
                self.seq += 1;
                self.sent += 1;
                Some(self.after_beat(scenario, now))
            }
            Act::Crash | Act::Leave if self.sent < self.budget => {
                self.next = Act::Begin;
                Some(now + scenario.downtime())
            }
            Act::Crash | Act::Leave | Act::Stop => None,
        };
        (act, again)
    }

    /// When the heartbeat with this number of the present life was due to be sent, on a schedule
    /// that no pause has touched.
    pub(crate) fn due(&self, seq: u64) -> Instant {
        self.begun + self.period * (seq - 1)
    }

    fn begin(&mut self, now: Instant) {
        (self.begun, self.index, self.seq) = (now, 0, 0);
        self.life += 1;
        self.life_ends = self.plan_end();
    }

    /// After how many heartbeats this life ends. The budget is cut into as many equal pieces as
    /// lives end; each ends at a random place in its piece, and what remains is one more life.
    fn plan_end(&mut self) -> u64 {
        let done = u64::from(self.life - 1);
        if done >= self.ends {
            return self.budget;
        }
        let place = (done as f64 + self.crash.unit()) * self.budget as f64 / self.ends as f64;
        // Everybody still to die needs one heartbeat at least.
        (place as u64).clamp(self.sent + 1, self.budget - (self.ends - done - 1))
    }

    fn after_beat(&mut self, scenario: &Scenario, now: Instant) -> Instant {
        if self.sent < self.life_ends {
            self.next = self.beat(scenario);
            return self.next_send(scenario).max(now);
        }
        if u64::from(self.life - 1) >= self.ends {
            self.next = Act::Stop;
            return now;
        }
        self.next = if self.crash.chance(scenario.goodbyes) { Act::Leave } else { Act::Crash };
        let then = self.next_send(scenario).max(now);
        now + part(then.since(now), self.crash.unit())
    }

    fn beat(&mut self, scenario: &Scenario) -> Act {
        Act::Beat { again: scenario.twice > 0.0 && self.twice.chance(scenario.twice) }
    }

    /// When the next heartbeat leaves; moves on in the schedule.
    fn next_send(&mut self, scenario: &Scenario) -> Instant {
        let mut at = self.begun + self.period * self.index;
        self.index += 1;
        if scenario.jitter > 0.0 {
            at = at + part(self.period, scenario.jitter * self.jitter.unit());
        }
        if scenario.pauses.is_some() {
            at = self.pausing(scenario, at);
        }
        at
    }

    /// Holds a heartbeat back until the end of the pause that it falls into.
    fn pausing(&mut self, scenario: &Scenario, mut at: Instant) -> Instant {
        while at >= self.pause_at {
            if at < self.pause_until {
                at = self.pause_until;
                let passed = at.since(self.begun).nanos() / self.period.nanos();
                self.index = self.index.max(passed + 1);
            }
            self.plan_pause(scenario);
        }
        at
    }

    fn plan_pause(&mut self, scenario: &Scenario) {
        let Some(pauses) = scenario.pauses else { return };
        self.pause_at = self.pause_until + part(pauses.every, self.pause.exponential());
        self.pause_until = self.pause_at + part(pauses.length, self.pause.exponential());
    }
}

/// So many times this span.
fn part(span: Span, times: f64) -> Span {
    Span::from_nanos((span.nanos() as f64 * times) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Pauses;

    fn acts(scenario: &Scenario) -> Vec<(Instant, Act)> {
        let (mut sender, mut now) = Sender::new(scenario, 0);
        let mut acts = Vec::new();
        loop {
            let (act, next) = sender.act(scenario, now);
            acts.push((now, act));
            match next {
                Some(next) => now = next,
                None => return acts,
            }
        }
    }

    fn beats(acts: &[(Instant, Act)]) -> Vec<Instant> {
        acts.iter().filter(|(_, act)| matches!(act, Act::Beat { .. })).map(|(at, _)| *at).collect()
    }

    #[test]
    fn a_plain_sender_keeps_its_interval_and_stops_after_its_last_heartbeat() {
        let acts = acts(&Scenario { heartbeats: 5, phase: Phase::LockStep, ..Scenario::default() });
        let secs = |secs| Instant::ORIGIN + Span::from_secs(secs);
        assert_eq!(beats(&acts), [0, 1, 2, 3, 4].map(secs));
        assert_eq!(acts.last(), Some(&(secs(4), Act::Stop)));
    }

    #[test]
    fn every_life_is_ended_and_every_heartbeat_sent_however_tight_the_plan() {
        for (heartbeats, crashes) in [(1, 0), (1, 1), (7, 7), (7, 3), (1_000, 20), (1_000, 999)] {
            for seed in 0..20 {
                let acts = acts(&Scenario { heartbeats, crashes, seed, ..Scenario::default() });
                let crashed = acts.iter().filter(|(_, act)| *act == Act::Crash).count();
                assert_eq!((beats(&acts).len() as u64, crashed as u64), (heartbeats, crashes), "seed {seed}");
                assert!(acts.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            }
        }
    }

    #[test]
    fn jitter_delays_a_heartbeat_and_never_moves_the_schedule() {
        let scenario = Scenario { jitter: 0.3, heartbeats: 10_000, phase: Phase::LockStep, ..Scenario::default() };
        for (index, at) in beats(&acts(&scenario)).into_iter().enumerate() {
            let due = Instant::ORIGIN + Span::from_secs(index as u64);
            assert!(at >= due && at.since(due) < Span::from_millis(300), "{at:?}");
        }
    }

    #[test]
    fn a_pause_swallows_what_was_due_and_one_heartbeat_comes_at_its_end() {
        let pauses = Some(Pauses { every: Span::from_secs(100), length: Span::from_secs(10) });
        let scenario = Scenario { pauses, heartbeats: 20_000, phase: Phase::LockStep, ..Scenario::default() };
        let beats = beats(&acts(&scenario));
        let gaps: Vec<f64> = beats.windows(2).map(|pair| pair[1].since(pair[0]).secs_f64()).collect();
        assert!(gaps.iter().all(|gap| *gap > 0.0));
        // Every pause that a heartbeat falls into makes one gap longer than an interval.
        let share = gaps.iter().filter(|gap| **gap > 1.000_001).map(|gap| gap - 1.0).sum::<f64>()
            / beats.last().expect("beats").since(beats[0]).secs_f64();
        assert!((0.07..0.11).contains(&share), "a tenth of the time less what is short: {share}");
    }

    #[test]
    fn a_clock_that_is_wrong_is_wrong_all_the_time() {
        let scenario = Scenario { drift: 0.1, heartbeats: 100, ..Scenario::default() };
        let beats = beats(&acts(&scenario));
        let gap = beats[1].since(beats[0]);
        assert!(gap != Span::from_secs(1) && gap >= Span::from_millis(900) && gap <= Span::from_millis(1_100));
        assert!(beats.windows(2).all(|pair| pair[1].since(pair[0]) == gap));
    }
}
