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
//! nothing of the network or of what is believed of it, and nothing after the [`END`].

use core::ops::Range;

use systole_core::{Instant, Span};

use crate::random::{Actor, Purpose, Stream};
use crate::scenario::{Group, Phase};

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
    /// Has sent all that the run asks of it, or would go on beyond [`END`]. Nobody looks at it any more.
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
    /// When this life ends whatever it has sent: an incident, or its lifetime is over.
    dies: Instant,
    /// Which life it is in; the first is 1.
    pub(crate) life: u32,
    next: Act,
    /// Heartbeats to send in all lives.
    budget: u64,
    /// Lives that end by the plan, in a crash or a goodbye, and those that have.
    ends: u64,
    ended: u64,
    /// How long it will be down when `dies` has come, and whether it says goodbye then.
    down: Span,
    leaves: bool,
    jitter: Stream,
    twice: Stream,
    crash: Stream,
    lifetimes: Stream,
    pause: Stream,
    pause_at: Instant,
    pause_until: Instant,
    /// From when until when the last heartbeat that a pause held up was.
    held: Range<Instant>,
    actor: Actor,
}

const _: () = assert!(core::mem::offset_of!(Sender, budget) <= 64, "a plain heartbeat needs one cache line");

/// Two hundred years: nobody acts from then on. A run takes half of that at most, on average; lives and outages
/// with heavy tails may take any multiple of it, and the nanoseconds of an instant end after 584 years.
const END: Instant = Instant::from_nanos(200 * 365 * 86_400 * 1_000_000_000);

/// Far beyond the end of any run.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Sender {
    /// The node of `group` that is `actor`, and when it begins.
    pub(crate) fn new(group: &Group, seed: u64, actor: Actor) -> (Self, Instant) {
        let stream = |purpose| Stream::new(seed, actor, purpose);
        let share = |all: u64| {
            let (nodes, node) = (u64::from(group.nodes), u64::from(actor.node));
            all / nodes + u64::from(node < all % nodes)
        };
        let rate = 1.0 + group.drift * (2.0 * stream(Purpose::Drift).unit() - 1.0);
        let begun = match group.phase {
            Phase::LockStep => Instant::ORIGIN,
            Phase::Spread => Instant::ORIGIN + part(group.interval, stream(Purpose::Phase).unit()),
        };
        let mut sender = Self {
            begun,
            period: part(group.interval, rate),
            index: 0,
            life: 0,
            seq: 0,
            sent: 0,
            budget: share(group.heartbeats),
            life_ends: 0,
            ends: share(group.crashes),
            ended: 0,
            dies: NEVER,
            down: Span::ZERO,
            leaves: false,
            next: Act::Begin,
            jitter: stream(Purpose::Jitter),
            twice: stream(Purpose::Twice),
            crash: stream(Purpose::Crash),
            lifetimes: stream(Purpose::Lifetime),
            pause: stream(Purpose::Pause),
            pause_at: begun,
            pause_until: begun,
            held: begun..begun,
            actor,
        };
        sender.plan_pause(group);
        (sender, begun)
    }

    /// Does what is next, at `now`, and says what that was and when to come again.
    pub(crate) fn act(&mut self, group: &Group, seed: u64, now: Instant) -> (Act, Option<Instant>) {
        let act = self.next;
        let again = match act {
            Act::Begin => {
                self.begin(group, seed, now);
                Some(self.plan_next(group, now))
            }
            Act::Beat { again: _ } => {
                self.seq += 1;
                self.sent += 1;
                Some(self.after_beat(group, now))
            }
            Act::Crash | Act::Leave if self.sent < self.budget => {
                self.next = Act::Begin;
                let down = if now >= self.dies { self.down } else { group.downtime() };
                // Who would come back only after the end stays down.
                Some(now + down).filter(|back| *back < END)
            }
            Act::Crash | Act::Leave | Act::Stop => None,
        };
        let again = again.map(|again| if again < END { again } else { self.stop(now) });
        (act, again)
    }

    /// When the heartbeat with this number of the present life was due to be sent, on a schedule
    /// that no pause has touched.
    pub(crate) fn due(&self, seq: u64) -> Instant {
        self.begun + self.period * (seq - 1)
    }

    /// Whether it is pausing at `now`: a heartbeat that was due is held back.
    pub(crate) fn pauses(&self, now: Instant) -> bool {
        self.held.contains(&now)
    }

    fn begin(&mut self, group: &Group, seed: u64, now: Instant) {
        (self.begun, self.index, self.seq) = (now, 0, 0);
        self.life += 1;
        self.life_ends = self.plan_end();
        self.plan_death(group, seed, now);
    }

    /// After how many heartbeats this life ends. The budget is cut into as many equal pieces as
    /// lives end; each ends at a random place in its piece, and what remains is one more life.
    fn plan_end(&mut self) -> u64 {
        if self.ended >= self.ends {
            return self.budget;
        }
        let place = (self.ended as f64 + self.crash.unit()) * self.budget as f64 / self.ends as f64;
        // Everybody still to die needs one heartbeat at least.
        (place as u64).clamp(self.sent + 1, self.budget - (self.ends - self.ended - 1))
    }

    /// When this life ends by the clock: with the next incident that hits the node, or when its
    /// lifetime is over. Who is hit is drawn anew for each life from the same stream, so that it
    /// doesn't depend on what the node did meanwhile.
    fn plan_death(&mut self, group: &Group, seed: u64, now: Instant) {
        (self.dies, self.leaves) = (NEVER, false);
        if let Some(lifetime) = group.lifetime {
            self.dies = now + lifetime.draw(&mut self.lifetimes);
            self.down = group.outage.map_or_else(|| group.downtime(), |outage| outage.draw(&mut self.lifetimes));
        }
        if group.incidents.is_empty() {
            return;
        }
        let mut hit = Stream::new(seed, self.actor, Purpose::Incident);
        for incident in &group.incidents {
            let at = Instant::ORIGIN + incident.at;
            if hit.chance(incident.share) && at > now && at < self.dies {
                (self.dies, self.leaves) = (at, incident.goodbye);
                self.down = incident.down.unwrap_or_else(|| group.downtime());
            }
        }
    }

    fn after_beat(&mut self, group: &Group, now: Instant) -> Instant {
        if self.sent < self.life_ends {
            return self.plan_next(group, now);
        }
        if self.ended >= self.ends {
            return self.stop(now);
        }
        self.ended += 1;
        self.next = if self.crash.chance(group.goodbyes) { Act::Leave } else { Act::Crash };
        let then = self.next_send(group).max(now);
        now + part(then.since(now), self.crash.unit())
    }

    /// Nothing more, from `now` on.
    fn stop(&mut self, now: Instant) -> Instant {
        self.next = Act::Stop;
        now
    }

    /// The next heartbeat, or the incident that comes before it.
    fn plan_next(&mut self, group: &Group, now: Instant) -> Instant {
        self.next = self.beat(group);
        let at = self.next_send(group).max(now);
        if at < self.dies {
            return at;
        }
        self.next = if self.leaves { Act::Leave } else { Act::Crash };
        self.dies.max(now)
    }

    fn beat(&mut self, group: &Group) -> Act {
        Act::Beat { again: group.twice > 0.0 && self.twice.chance(group.twice) }
    }

    /// When the next heartbeat leaves; moves on in the schedule.
    fn next_send(&mut self, group: &Group) -> Instant {
        let mut at = self.begun + self.period * self.index;
        self.index += 1;
        if group.jitter > 0.0 {
            at = at + part(self.period, group.jitter * self.jitter.unit());
        }
        if group.pauses.is_some() {
            at = self.pausing(group, at);
        }
        at
    }

    /// Holds a heartbeat back until the end of the pause that it falls into.
    fn pausing(&mut self, group: &Group, mut at: Instant) -> Instant {
        while at >= self.pause_at {
            if at < self.pause_until {
                self.held = at..self.pause_until;
                at = self.pause_until;
                let passed = at.since(self.begun).nanos() / self.period.nanos();
                self.index = self.index.max(passed + 1);
            }
            self.plan_pause(group);
        }
        at
    }

    fn plan_pause(&mut self, group: &Group) {
        let Some(pauses) = group.pauses else { return };
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

    fn acts(group: &Group) -> Vec<(Instant, Act)> {
        acts_of(group, 7)
    }

    fn acts_of(group: &Group, seed: u64) -> Vec<(Instant, Act)> {
        let (mut sender, mut now) = Sender::new(group, seed, Actor::node(0, 0));
        let mut acts = Vec::new();
        loop {
            let (act, next) = sender.act(group, seed, now);
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
        let acts = acts(&Group { heartbeats: 5, phase: Phase::LockStep, ..Group::default() });
        let secs = |secs| Instant::ORIGIN + Span::from_secs(secs);
        assert_eq!(beats(&acts), [0, 1, 2, 3, 4].map(secs));
        assert_eq!(acts.last(), Some(&(secs(4), Act::Stop)));
    }

    #[test]
    fn every_life_is_ended_and_every_heartbeat_sent_however_tight_the_plan() {
        for (heartbeats, crashes) in [(1, 0), (1, 1), (7, 7), (7, 3), (1_000, 20), (1_000, 999)] {
            for seed in 0..20 {
                let acts = acts_of(&Group { heartbeats, crashes, ..Group::default() }, seed);
                let crashed = acts.iter().filter(|(_, act)| *act == Act::Crash).count();
                assert_eq!((beats(&acts).len() as u64, crashed as u64), (heartbeats, crashes), "seed {seed}");
                assert!(acts.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            }
        }
    }

    #[test]
    fn jitter_delays_a_heartbeat_and_never_moves_the_schedule() {
        let group = Group { jitter: 0.3, heartbeats: 10_000, phase: Phase::LockStep, ..Group::default() };
        for (index, at) in beats(&acts(&group)).into_iter().enumerate() {
            let due = Instant::ORIGIN + Span::from_secs(index as u64);
            assert!(at >= due && at.since(due) < Span::from_millis(300), "{at:?}");
        }
    }

    #[test]
    fn a_pause_swallows_what_was_due_and_one_heartbeat_comes_at_its_end() {
        let pauses = Some(Pauses { every: Span::from_secs(100), length: Span::from_secs(10) });
        let group = Group { pauses, heartbeats: 20_000, phase: Phase::LockStep, ..Group::default() };
        let beats = beats(&acts(&group));
        let gaps: Vec<f64> = beats.windows(2).map(|pair| pair[1].since(pair[0]).secs_f64()).collect();
        assert!(gaps.iter().all(|gap| *gap > 0.0));
        // Every pause that a heartbeat falls into makes one gap longer than an interval.
        let share = gaps.iter().filter(|gap| **gap > 1.000_001).map(|gap| gap - 1.0).sum::<f64>()
            / beats.last().expect("beats").since(beats[0]).secs_f64();
        assert!((0.07..0.11).contains(&share), "a tenth of the time less what is short: {share}");
    }

    #[test]
    fn an_incident_ends_a_life_at_its_instant_and_not_again_after_it() {
        let incidents = vec!["1@10s,down=5s".parse().expect("an incident"), "0@20s".parse().expect("an incident")];
        let group = Group { incidents, heartbeats: 30, phase: Phase::LockStep, ..Group::default() };
        let acts = acts(&group);
        let crashes: Vec<Instant> = acts.iter().filter(|(_, act)| *act == Act::Crash).map(|(at, _)| *at).collect();
        let secs = |secs| Instant::ORIGIN + Span::from_secs(secs);
        assert_eq!(crashes, [secs(10)]);
        // Those due at 0 s to 9 s, then those from 15 s on.
        assert_eq!(beats(&acts), (0..10).chain(15..35).map(secs).collect::<Vec<Instant>>());
    }

    #[test]
    fn those_that_an_incident_sends_away_say_goodbye_and_come_back_as_ever() {
        let incidents = vec!["1@10s,down=5s,goodbye=yes".parse().expect("an incident")];
        let group = Group { incidents, heartbeats: 30, phase: Phase::LockStep, ..Group::default() };
        let acts = acts(&group);
        let secs = |secs| Instant::ORIGIN + Span::from_secs(secs);
        let left = acts.iter().find(|(_, act)| *act == Act::Leave).map(|(at, _)| *at);
        assert_eq!((left, acts.iter().any(|(_, act)| *act == Act::Crash)), (Some(secs(10)), false));
        assert_eq!(beats(&acts), (0..10).chain(15..35).map(secs).collect::<Vec<Instant>>());
    }

    #[test]
    fn lives_last_and_outages_take_what_their_laws_say() {
        let [lifetime, outage] = ["weibull:mean=100s,shape=0.45", "exp:50s"].map(|law| law.parse().ok());
        let group = Group { lifetime, outage, heartbeats: 200_000, ..Group::default() };
        let acts = acts(&group);
        let crashes = acts.iter().filter(|(_, act)| *act == Act::Crash).count() as f64;
        // A life that ends before its first interval is over still sends a heartbeat when it begins.
        let lives = beats(&acts).len() as f64 / crashes;
        assert!((90.0..112.0).contains(&lives), "{lives}");
        let span = acts.last().expect("it stops").0.since(acts[0].0).secs_f64();
        let down = (span - crashes * 100.0) / crashes;
        assert!((40.0..60.0).contains(&down), "{down}");
    }

    #[test]
    fn whoever_would_outlive_time_stops_and_who_would_come_back_after_it_stays_down() {
        // A third of the outages take a hundred years; a heartbeat every week.
        let week = Span::from_secs(7 * 86_400);
        let [lifetime, outage] = ["exp:365d", "lognormal:median=365d,sigma=10"].map(|law| law.parse().ok());
        for lifetime in [lifetime, None] {
            let group = Group { interval: week, lifetime, outage, heartbeats: 100_000, ..Group::default() };
            for seed in 0..50 {
                let (mut sender, mut now) = Sender::new(&group, seed, Actor::node(0, 0));
                let mut acts = 0;
                let last = loop {
                    assert!(now < END && acts < 25_000, "act {acts} at {now:?}, seed {seed}");
                    acts += 1;
                    match sender.act(&group, seed, now) {
                        (_, Some(next)) => now = next,
                        (last, None) => break last,
                    }
                };
                assert!(matches!(last, Act::Stop | Act::Crash), "{last:?}, seed {seed}");
                assert!(lifetime.is_some() || last == Act::Stop);
            }
        }
    }

    #[test]
    fn a_clock_that_is_wrong_is_wrong_all_the_time() {
        let group = Group { drift: 0.1, heartbeats: 100, ..Group::default() };
        let beats = beats(&acts(&group));
        let gap = beats[1].since(beats[0]);
        assert!(gap != Span::from_secs(1) && gap >= Span::from_millis(900) && gap <= Span::from_millis(1_100));
        assert!(beats.windows(2).all(|pair| pair[1].since(pair[0]) == gap));
    }
}
