//! The levels of one question, and one replicate's way through them.
//!
//! ```text
//!   level      before the end     a trial begins at a copy of a state that got to the level above
//!   3          3 intervals        and ends with the next heartbeat believed, or at its own level
//!   2          2 intervals
//!   0          the event
//! ```
//! States are taken in turn from a random one on, so that each is copied as often as the others, in
//! the mean exactly, and on no path more than once oftener.

use systole_core::{Instant, Span};

use super::path::{Came, Path};
use super::{Effort, Question};
use crate::random::{Actor, Purpose, Stream};

/// The levels, and how many trials each of them gets.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    levels: Vec<PlannedLevel>,
}

/// One level.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedLevel {
    /// So many intervals before the event.
    pub(super) before: u64,
    /// Trials to pass it; for the first, heartbeats.
    trials: u64,
}

/// What came out of one replicate.
#[derive(Clone, Debug)]
pub(super) struct Replicate {
    /// For each level that was tried.
    pub(super) passed: Vec<Share>,
    levels: usize,
    pub(super) heartbeats: u64,
}

/// Out of so many so many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) trials: u64,
    pub(super) passed: u64,
}

impl Replicate {
    /// Events per heartbeat.
    pub(super) fn per_heartbeat(&self) -> f64 {
        if self.passed.len() < self.levels {
            return 0.0;
        }
        self.passed.iter().map(|share| share.passed as f64 / share.trials as f64).product()
    }
}

impl Plan {
    /// Goes all the way once, in steps of one interval, and learns how hard each is.
    pub(super) fn pilot(question: &Question, effort: Effort, seed: u64) -> Self {
        let wanted = u64::from(effort.passing);
        let mut walk = Walk::new(question, seed, PILOT);
        let first = walk.deepest(first_level(question), effort.trials_max, wanted);
        let mut shares = vec![(first, walk.first(first, effort.trials_max, wanted))];
        for before in (0..first).rev() {
            if walk.states.is_empty() {
                break;
            }
            shares.push((before, walk.next(before, effort.trials_max, wanted)));
        }
        let mut levels = Vec::new();
        let mut joined = 1.0;
        for (place, &(before, share)) in shares.iter().enumerate() {
            // Nobody passed: as if one had.
            joined *= share.passed.max(1) as f64 / share.trials as f64;
            let next = shares.get(place + 1).map(|(_, share)| share.passed as f64 / share.trials as f64);
            if before > 0 && place > 0 && next.is_some_and(|next| joined * next >= JOIN) {
                continue;
            }
            let trials = ((wanted as f64 / joined) as u64).clamp(wanted, effort.trials_max);
            levels.push(PlannedLevel { before, trials });
            joined = 1.0;
        }
        // What the pilot didn't get to see.
        let seen = shares.last().map_or(0, |(before, _)| *before);
        levels.extend((0..seen).rev().map(|before| PlannedLevel { before, trials: wanted * UNSEEN }));
        Self { levels }
    }

    pub(super) fn levels(&self) -> &[PlannedLevel] {
        &self.levels
    }

    /// Goes through all levels with the streams of this replicate.
    pub(super) fn replicate(&self, question: &Question, seed: u64, number: u32) -> Replicate {
        let mut walk = Walk::new(question, seed, number);
        let mut passed = Vec::new();
        for (place, level) in self.levels.iter().enumerate() {
            let all = u64::MAX;
            let share = if place == 0 {
                walk.first(level.before, level.trials, all)
            } else {
                walk.next(level.before, level.trials, all)
            };
            passed.push(share);
            if share.passed == 0 {
                break;
            }
        }
        Replicate { passed, levels: self.levels.len(), heartbeats: walk.heartbeats }
    }
}

/// The level from which on a silence is unusual: one heartbeat missed, if so many fit in.
fn first_level(question: &Question) -> u64 {
    let Question { interval, detector, confirm, .. } = question;
    let quiet = detector.patience(&detector.start(*interval), *interval);
    let silence = match question.event {
        super::Event::Suspicion => quiet,
        super::Event::Failure => quiet + confirm.of(*interval),
    };
    (silence.nanos() / interval.nanos()).saturating_sub(1)
}

/// One replicate under way: the states that got to the level so far.
struct Walk<'a> {
    question: &'a Question,
    number: u32,
    seed: u64,
    states: Vec<Path>,
    /// States of levels left behind, whose memory is used again.
    spare: Vec<Path>,
    choices: Stream,
    heartbeats: u64,
}

impl<'a> Walk<'a> {
    fn new(question: &'a Question, seed: u64, number: u32) -> Self {
        let choices = Stream::new(seed, Actor::node(0, number), Purpose::Split);
        Self { question, number, seed, states: Vec::new(), spare: Vec::new(), choices, heartbeats: 0 }
    }

    /// The last level that `enough` silences of one life get to, `least` or later. Counting is the better way as far
    /// as it goes: it meets the ways to a long silence as frequently as they are, where splitting
    /// only follows those that its few first states are on.
    fn deepest(&self, least: u64, heartbeats: u64, enough: u64) -> u64 {
        let question = self.question;
        let mut path = Path::new(question, self.seed, self.number);
        let until = Instant::ORIGIN + question.interval * (SETTLED + heartbeats);
        let mut reached = vec![0; least as usize + 1];
        let mut before = least;
        loop {
            let level = level(&path, question, before);
            if path.advance(question, level.min(until)) == Came::Heartbeat {
                before = least;
                continue;
            }
            if level > until {
                break;
            }
            reached[before as usize] += 1;
            if before > 0 {
                before -= 1;
            } else if path.advance(question, until) == Came::Silence {
                break;
            } else {
                before = least;
            }
        }
        (0..least).find(|before| reached[*before as usize] >= enough).unwrap_or(least)
    }

    /// One life of so many heartbeats, once it has settled: how many silences got to the level. Ends
    /// early when `enough` have.
    fn first(&mut self, before: u64, heartbeats: u64, enough: u64) -> Share {
        let question = self.question;
        let mut path = Path::new(question, self.seed, self.number);
        let from = Instant::ORIGIN + question.interval * SETTLED;
        let mut passed = 0;
        let mut until = from + question.interval * heartbeats;
        loop {
            let level = level(&path, question, before);
            if path.advance(question, level.min(until)) == Came::Heartbeat {
                continue;
            }
            if level > until {
                break;
            }
            if level > from {
                passed += 1;
                self.states.push(path.clone());
                if passed >= enough {
                    until = level;
                    break;
                }
            }
            if path.advance(question, until) == Came::Silence {
                break;
            }
        }
        let lived = until.since(from).nanos() / question.interval.nanos();
        self.heartbeats += lived + SETTLED;
        Share { trials: lived.max(1), passed }
    }

    /// So many trials from the states so far to the level. Ends early when `enough` have passed.
    fn next(&mut self, before: u64, trials: u64, enough: u64) -> Share {
        let question = self.question;
        let parents = core::mem::take(&mut self.states);
        let offset = self.choices.bits() % parents.len() as u64;
        let mut spare = core::mem::take(&mut self.spare);
        let mut path = spare.pop().unwrap_or_else(|| parents[0].clone());
        let (mut passed, mut tried) = (0, 0);
        while tried < trials && passed < enough {
            path.clone_from(&parents[((offset + tried) % parents.len() as u64) as usize]);
            path.reseed(self.choices.bits());
            tried += 1;
            let sent = path.sent();
            let came = path.advance(question, level(&path, question, before));
            self.heartbeats += path.sent() - sent;
            if came == Came::Silence {
                passed += 1;
                let room = spare.pop().unwrap_or_else(|| path.clone());
                self.states.push(core::mem::replace(&mut path, room));
            }
        }
        spare.push(path);
        spare.extend(parents);
        self.spare = spare;
        Share { trials: tried, passed }
    }
}

/// The instant at which this silence gets to the level; at once if its patience is that short.
fn level(path: &Path, question: &Question, before: u64) -> Instant {
    let ahead: Span = question.interval * before;
    (path.ends(question.event) - ahead).max(path.arrival())
}

/// The replicate that plans the others.
const PILOT: u32 = u32::MAX;

/// Levels are joined as long as this share gets through both.
const JOIN: f64 = 0.1;

/// Heartbeats until a detector has learned what it can: the slowest averages over 2,047.
const SETTLED: u64 = 4_096;

/// Trials per one that should pass, at levels of which the pilot saw nothing.
const UNSEEN: u64 = 10;
