//! One false failure a week among a million nodes is one in 18,000 years of one node: nobody waits
//! for that, but it can be built up, silence by silence.
//!
//! ```text
//!   silence  0 ──────► level 3 ─────► level 2 ─────► level 1 ─────► failed
//!             1 in 90 s      1 in 70        1 in 66        1 in 81
//!                 ╰─ 90 heard   ╰─ copies of those that got there, each with another future
//! ```
//! Multilevel splitting with fixed effort (Villén-Altamirano 1991; Garvels 2000; L'Ecuyer, Demers
//! and Tuffin, ACM TOMACS 17(2), 2007): how often silence lasts to a first level, times the shares of
//! those that come from each level to the next. The product of such shares is unbiased, whatever the
//! levels. They lie whole intervals before the end, so that a heartbeat more is missed at each; a pilot
//! run with a seed of its own joins those that are easily passed and says how many trials each needs.
//!
//! The error comes from independent replicates, never from counting trials, which share ancestors.
//! What no state that was visited can lead to (an outage rarer than the whole effort) isn't seen.

mod path;
mod splitting;

use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use systole_core::detector::Detector;
use systole_core::{Span, Wait};

use crate::estimate;
use crate::latency::Delay;
use crate::loss::Loss;
use splitting::{Plan, Replicate};

/// What happens to a node that is up, and should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// It is suspected: Chen's mistake.
    Suspicion,
    /// It is failed.
    Failure,
}

/// How often does it happen, with these settings, on this network?
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// From one heartbeat to the next. Whole milliseconds.
    pub interval: Span,
    /// Each heartbeat leaves up to this share of an interval late. 0 to 1.
    pub jitter: f64,
    /// What is lost.
    pub loss: Loss,
    /// How long the others take.
    pub delay: Delay,
    /// Decides until when silence is normal.
    pub detector: Detector,
    /// How long a suspect may stay silent before it is failed.
    pub confirm: Wait,
    /// What is asked about.
    pub event: Event,
}

/// How much work an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// Independent repetitions, from whose scatter the error comes; at least 4.
    pub replicates: u32,
    /// So many trials of each replicate should pass each level.
    pub passing: u32,
    /// Trials, or heartbeats before the first level, that one level of one replicate may cost.
    pub trials_max: u64,
}

/// How often it happens, and how sure that is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rarity {
    /// Events per second of one node that is up.
    pub rate_per_s: f64,
    /// The lower end of the 95 % interval.
    pub ci_low: f64,
    /// The upper end. Where no replicate got to the end: three times what one that just missed it
    /// would have said.
    pub ci_high: f64,
    /// The standard error over the rate; nothing where no replicate got to the end.
    pub relative_error: Option<f64>,
    /// What keeps the interval from being trusted, if anything does.
    pub doubt: Option<Doubt>,
    /// The levels that a silence passed: the last is the event.
    pub levels: Vec<Level>,
    /// What each replicate says, per second.
    pub replicates: Vec<f64>,
    /// Heartbeats that were sent in all of it.
    pub heartbeats: u64,
}

/// How one level was passed, over all replicates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// So many intervals before the event.
    pub intervals_before: u64,
    /// Trials; for the first level, heartbeats.
    pub trials: u64,
    /// Those that passed.
    pub passed: u64,
}

/// Why an interval can't be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Nothing got to the end.
    #[error("no trial got to the end: only the upper end of the interval means anything")]
    Unseen,
    /// Some replicates got to the end, too many didn't.
    #[error("{0} replicates didn't get to the end")]
    Extinct(u32),
    /// One replicate says most of what there is to say.
    #[error("one replicate makes up {:.0} % of the sum", 100.0 * .0)]
    Skewed(f64),
    /// The replicates scatter too widely.
    #[error("the standard error is {:.0} % of the rate", 100.0 * .0)]
    Wide(f64),
}

impl Effort {
    /// A second or so for most questions: 5 to 10 % off.
    pub const USUAL: Self = Self { replicates: 32, passing: 200, trials_max: 400_000 };
    /// The order of magnitude.
    pub const QUICK: Self = Self { replicates: 8, passing: 50, trials_max: 100_000 };

    /// So many times the work within each replicate.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self {
            passing: self.passing.saturating_mul(factor),
            trials_max: self.trials_max.saturating_mul(u64::from(factor)),
            ..self
        }
    }
}

/// Estimates how often it happens. The same for equal seeds, on any number of threads.
///
/// `progress` is told how much of the work is done, from 0 to 1, by any thread.
///
/// # Panics
/// On an interval of no length and on fewer than 4 replicates.
pub fn estimate(question: &Question, effort: Effort, seed: u64, progress: &(dyn Fn(f64) + Sync)) -> Rarity {
    assert!(!question.interval.is_zero(), "an interval has a length");
    assert!(effort.replicates >= 4, "fewer than 4 replicates say nothing about an error");
    let plan = Plan::pilot(question, effort, seed);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(effort.replicates as usize);
    let done = AtomicU32::new(0);
    let next = AtomicU32::new(0);
    let of = effort.replicates;
    // Each replicate has streams of its own, so it doesn't matter who runs it, nor when.
    let run = || {
        let mut mine = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= of {
                return mine;
            }
            mine.push((number, plan.replicate(question, seed, number)));
            progress(f64::from(done.fetch_add(1, Ordering::Relaxed) + 1) / f64::from(of));
        }
    };
    let mut replicates: Vec<(u32, Replicate)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mine = run();
        let theirs = workers.into_iter().flat_map(|worker| worker.join().expect("a replicate doesn't panic"));
        mine.into_iter().chain(theirs).collect()
    });
    replicates.sort_unstable_by_key(|(number, _)| *number);
    let replicates: Vec<Replicate> = replicates.into_iter().map(|(_, replicate)| replicate).collect();
    sum_up(question, &plan, &replicates)
}

fn sum_up(question: &Question, plan: &Plan, replicates: &[Replicate]) -> Rarity {
    let seconds = question.interval.secs_f64();
    let levels: Vec<Level> = (plan.levels().iter().enumerate())
        .map(|(place, level)| Level {
            intervals_before: level.before,
            trials: replicates
                .iter()
                .map(|replicate| replicate.passed.get(place).map_or(0, |share| share.trials))
                .sum(),
            passed: replicates
                .iter()
                .map(|replicate| replicate.passed.get(place).map_or(0, |share| share.passed))
                .sum(),
        })
        .collect();
    let rates: Vec<f64> = replicates.iter().map(|replicate| replicate.per_heartbeat() / seconds).collect();
    let n = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / n;
    let heartbeats = replicates.iter().map(|replicate| replicate.heartbeats).sum();
    let rarity = |ci_low, ci_high, relative_error, doubt| Rarity {
        rate_per_s: mean,
        ci_low,
        ci_high,
        relative_error,
        doubt,
        levels: levels.clone(),
        replicates: rates.clone(),
        heartbeats,
    };
    if mean <= 0.0 {
        return rarity(0.0, highest(&levels) / seconds, None, Some(Doubt::Unseen));
    }
    let squares: f64 = rates.iter().map(|rate| (rate - mean) * (rate - mean)).sum();
    let relative = libm::sqrt(squares / (n - 1.0) / n) / mean;
    // A rate is known to a factor rather than to a difference: the interval is symmetric in its
    // logarithm (delta method), so it is positive and reaches further up than down.
    let factor = libm::exp(estimate::student(n - 1.0) * relative);
    let extinct = rates.iter().filter(|rate| **rate == 0.0).count() as u32;
    let largest = rates.iter().copied().fold(0.0, f64::max) / (mean * n);
    let doubt = if f64::from(extinct) > 0.25 * n {
        Some(Doubt::Extinct(extinct))
    } else if largest > f64::max(SKEWED, 3.0 / n) {
        Some(Doubt::Skewed(largest))
    } else if relative > WIDE {
        Some(Doubt::Wide(relative))
    } else {
        None
    };
    rarity(mean / factor, mean * factor, Some(relative), doubt)
}

/// At most so often per heartbeat, if nothing was seen: had the level that nobody passed been passed
/// 3.7 times (Poisson, 97.5 %), and all that follow for certain.
fn highest(levels: &[Level]) -> f64 {
    let mut highest = 1.0;
    for level in levels {
        if level.passed == 0 {
            return highest * 3.7 / (level.trials.max(1) as f64);
        }
        highest *= level.passed as f64 / level.trials as f64;
    }
    highest
}

/// One of many replicates shouldn't make up more of the sum.
const SKEWED: f64 = 0.25;
/// A standard error above this share of the rate says that its own error isn't known either.
const WIDE: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;
    use crate::scenario::{DetectorChoice, Group, Scenario};
    use crate::theory::{FixedTimeout, LossLaw};

    fn question(detector: &str, confirm: &str, loss: &str, delay: &str) -> Question {
        Question {
            interval: Span::from_secs(100),
            jitter: 0.0,
            loss: loss.parse().expect("a loss"),
            delay: delay.parse().expect("a delay"),
            detector: detector.parse().expect("a detector"),
            confirm: confirm.parse().expect("a wait"),
            event: Event::Failure,
        }
    }

    fn quickly(question: &Question, seed: u64) -> Rarity {
        estimate(question, Effort { replicates: 24, passing: 100, trials_max: 60_000 }, seed, &|_| {})
    }

    /// In standard errors; those of the logarithm, as the interval has them.
    fn z(rarity: &Rarity, truth: f64) -> f64 {
        libm::log(rarity.rate_per_s / truth) / rarity.relative_error.expect("an error")
    }

    #[test]
    fn a_fixed_timeout_is_as_rarely_wrong_as_its_closed_form_says_down_to_one_in_ten_to_the_fifteen() {
        let cases = [
            ("0.1", 350.0, 100.0),
            ("0.01", 350.0, 100.0),
            ("0.01", 350.0, 400.0),
            ("0.3", 550.0, 1_800.0),
            ("gilbert:p=0.05,burst=4", 350.0, 1_000.0),
            ("gilbert:p=0.01,burst=1.5", 250.0, 800.0),
            ("gilbert:p=0.01,burst=1.5", 350.0, 2_500.0),
            ("gilbert:p=0.02,burst=20", 2_050.0, 30_000.0),
        ];
        let mut rarest = f64::INFINITY;
        for (seed, (loss, timeout, confirm)) in (1..).zip(cases) {
            let question = question(&format!("fixed:timeout={timeout}s"), &format!("{confirm}s"), loss, "const:20ms");
            let theory =
                FixedTimeout::new(100.0, timeout + confirm, LossLaw::of(&question.loss).expect("a closed form"));
            let truth = 1.0 / theory.mistake_recurrence();
            rarest = rarest.min(truth * 100.0);
            let found = quickly(&question, seed);
            let z = z(&found, truth);
            assert!(
                z.abs() < 4.0 && found.doubt.is_none(),
                "{loss}, {timeout} s, seed {seed}: {truth:e}, z {z}, {found:?}"
            );
        }
        assert!(rarest < 1e-14, "{rarest:e}");
    }

    #[test]
    fn intervals_hold_the_truth_nineteen_times_in_twenty() {
        for (loss, levels) in [("0.05", 6), ("gilbert:p=0.05,burst=1.5", 10)] {
            let (timeout, confirm) = (250.0, f64::from(levels) * 100.0 - 200.0);
            let question = question(&format!("fixed:timeout={timeout}s"), &format!("{confirm}s"), loss, "const:20ms");
            let theory =
                FixedTimeout::new(100.0, timeout + confirm, LossLaw::of(&question.loss).expect("a closed form"));
            let truth = 1.0 / theory.mistake_recurrence();
            let effort = Effort { replicates: 16, passing: 50, trials_max: 10_000 };
            let runs = 200;
            let found: Vec<Rarity> = (0..runs).map(|seed| estimate(&question, effort, seed, &|_| {})).collect();
            let held = found.iter().filter(|found| (found.ci_low..found.ci_high).contains(&truth)).count();
            let mean = found.iter().map(|found| found.rate_per_s).sum::<f64>() / found.len() as f64;
            assert!((mean / truth - 1.0).abs() < 0.06, "{loss}: unbiased means {truth:e}, not {mean:e}");
            // 190 are expected, and 3 is a standard deviation.
            assert!((178..=200).contains(&held), "{loss}: {held} of {runs}");
        }
    }

    #[test]
    fn where_counting_still_reaches_the_whole_path_of_bytes_counts_as_many() {
        let cases = [
            ("fixed:timeout=1.5s", "4s", "gilbert:p=0.05,burst=1.5", "exp:200ms", 0.0, Event::Failure),
            ("chen:margin=1.1s", "5s", "gilbert:p=0.05,burst=1.5", "exp:300ms", 0.0, Event::Failure),
            ("chen:margin=1.25s", "1.7s", "0.05", "exp:200ms", 0.3, Event::Failure),
            ("chen:margin=5s", "1s", "gilbert:p=0.02,burst=1.5", "exp:400ms", 0.0, Event::Suspicion),
        ];
        for (seed, (detector, confirm, loss, delay, jitter, event)) in (11..).zip(cases) {
            let question =
                Question { interval: Span::from_secs(1), jitter, event, ..question(detector, confirm, loss, delay) };
            let found = quickly(&question, seed);
            let group = Group {
                nodes: 100,
                jitter,
                loss: question.loss.clone(),
                delay: question.delay.clone(),
                detector: DetectorChoice::Core(question.detector),
                confirm: question.confirm,
                heartbeats: 3_000_000,
                ..Group::default()
            };
            let counted = run(&Scenario::from(group).with_seed(seed), |_| {});
            let (count, estimate) = match event {
                Event::Suspicion => (counted.qos.mistakes, counted.qos.mistake_rate_per_s),
                Event::Failure => {
                    (counted.qos.false_failures, counted.qos.false_failures_per_node_year.times(1.0 / 31_557_600.0))
                }
            };
            let rate = estimate.value.expect("a rate");
            assert!(count >= 30 && (1e-6..1e-3).contains(&rate), "{detector}: {count} in {rate:e}");
            // Rare events come on their own, so counting is off by the root of the count at least.
            let counting =
                estimate.standard_error.map_or(0.0, |error| error / rate).max(1.0 / libm::sqrt(count as f64));
            let splitting = found.relative_error.expect("an error");
            let z = libm::log(found.rate_per_s / rate) / libm::sqrt(counting * counting + splitting * splitting);
            assert!(
                z.abs() < 4.0,
                "{detector}, {delay}, seed {seed}: counted {rate:e}, split {:e}, z {z}",
                found.rate_per_s
            );
        }
    }

    #[test]
    fn the_same_seed_is_the_same_answer_and_another_one_is_not() {
        let question = question("chen:margin=250s", "300s", "gilbert:p=0.05,burst=2", "exp:30s");
        let effort = Effort { replicates: 9, passing: 20, trials_max: 10_000 };
        let once = estimate(&question, effort, 7, &|_| {});
        assert_eq!(once, estimate(&question, effort, 7, &|_| {}));
        assert!(once.rate_per_s != estimate(&question, effort, 8, &|_| {}).rate_per_s);
    }

    #[test]
    fn what_never_happened_is_bounded_and_not_promised() {
        let found = quickly(&question("chen", "3x", "none", "const:20ms"), 1);
        assert_eq!((found.rate_per_s, found.ci_low, found.doubt), (0.0, 0.0, Some(Doubt::Unseen)));
        assert!(found.ci_high > 0.0 && found.ci_high < 1e-5, "{:e}", found.ci_high);
    }

    #[test]
    fn one_lucky_replicate_is_not_trusted() {
        // A burst lasts a thousand heartbeats and is seldom met: few replicates see one.
        let question = question("fixed:timeout=250s", "300s", "gilbert:p=0.001,burst=1000", "const:20ms");
        let found = estimate(&question, Effort { replicates: 8, passing: 20, trials_max: 200_000 }, 3, &|_| {});
        assert!(found.doubt.is_some(), "{found:?}");
    }
}
