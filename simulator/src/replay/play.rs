//! One series through the product's own monitor: what it believed, and how long a crash would have
//! gone unseen.
//!
//! ```text
//!   arrival a        deadline d      arrival b
//!      *────────────────────│┈┈┈┈┈┈┈┈┈┈┈┈*──
//!      └ crash here: d - a   └ suspect until b: a mistake
//! ```
//! The sender of a trace didn't crash, so each suspicion that a heartbeat of the same life refutes is
//! a mistake. The detection time is that of crashes which did not happen: one at every instant of
//! the series, after which nothing more would have arrived; it lasts until the deadline in force,
//! and no time at all where the node is suspect already. The time between two lives is left out of
//! both: nobody knows when the first of them ended.

use systole_core::config::Config;
use systole_core::{Instant, Liveness, Span};

use crate::judge::{Arrival, Verdict};
use crate::product::Product;
use crate::trace::Series;

/// A series, ready to be played to any number of detectors.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    /// What the trace calls it.
    pub(crate) name: String,
    /// What its sender declares.
    pub(crate) interval: Span,
    /// How many heartbeats were sent.
    pub(crate) beats: u64,
    /// How many of them never arrived.
    pub(crate) lost: u64,
    /// Everything that arrived, in order.
    pub(crate) arrivals: Vec<Arrival>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Played {
    /// From the first arrival to the last, without the time between two lives.
    pub(crate) up: Span,
    /// Changes to suspect.
    pub(crate) suspicions: u64,
    /// Time not believed to be alive.
    pub(crate) suspected: Span,
    /// The suspicions that were wrong.
    pub(crate) mistakes: u64,
    /// How long those lasted.
    pub(crate) mistaken: Span,
    /// The mistakes that went on until the node was failed.
    pub(crate) false_failures: u64,
    /// From each arrival to the next, what a crash would have meant.
    pub(crate) crashes: Vec<Stretch>,
}

/// A stretch of time without an arrival, in which the node could have crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// How long a crash at its beginning would have gone unseen; one that is later by t, that much less.
    pub(crate) wait: Span,
    /// How long it is.
    pub(crate) length: Span,
}

impl Tape {
    /// Everything that happened in this series; its sender declares this interval.
    pub(crate) fn new(series: &Series, interval: Span) -> Self {
        let heard = series.arrivals().into_iter();
        // When it was sent is of no use to the product.
        let arrivals = heard.map(|h| Arrival { at: h.at, node: 0, life: h.life, seq: h.seq, due: Some(h.at) });
        Self {
            name: series.name.clone(),
            interval,
            beats: series.beats.len() as u64,
            lost: series.losses().filter(|lost| *lost).count() as u64,
            arrivals: arrivals.collect(),
        }
    }

    /// From the first arrival to the last.
    pub(crate) fn span(&self) -> Span {
        let ends = self.arrivals.first().zip(self.arrivals.last());
        ends.map_or(Span::ZERO, |(first, last)| last.at.since(first.at))
    }

    /// From the first arrival to the last, without the time between two lives.
    pub(crate) fn up(&self) -> Span {
        let mut life = 0;
        let mut up = Span::ZERO;
        for pair in self.arrivals.windows(2) {
            life = pair[0].life.max(life);
            if pair[1].life <= life {
                up = up + pair[1].at.since(pair[0].at);
            }
        }
        up
    }

    /// Plays it to a monitor that is configured like this.
    pub(crate) fn play(&self, config: Config) -> Played {
        let mut product = Product::of_one(config, self.interval);
        let mut tally = Tally::default();
        let mut verdicts = Vec::new();
        for arrival in &self.arrivals {
            while let Some(tick) = product.next().filter(|tick| tick.instant() < arrival.at) {
                product.turn(tick.instant(), &[], true, &[], &mut verdicts);
                verdicts.drain(..).for_each(|verdict| tally.verdict(&verdict));
            }
            tally.passes(arrival, product.deadline(0).map(|tick| tick.instant()));
            product.turn(arrival.at, core::slice::from_ref(arrival), true, &[], &mut verdicts);
            verdicts.drain(..).for_each(|verdict| tally.verdict(&verdict));
            tally.life = tally.life.max(arrival.life);
        }
        tally.finish()
    }
}

/// The figures so far.
#[derive(Debug, Default)]
struct Tally {
    played: Played,
    /// When something arrived last.
    last: Option<Instant>,
    /// The life that was heard last.
    life: u32,
    /// The life that is being heard; another one if the node was away.
    hearing: u32,
    /// Since when the node is suspect, and whether it is failed by now.
    silent: Option<(Instant, bool)>,
}

impl Tally {
    /// Time passes until this arrival.
    fn passes(&mut self, arrival: &Arrival, deadline: Option<Instant>) {
        self.hearing = self.life.max(arrival.life);
        if let Some((last, deadline)) = self.last.zip(deadline)
            && self.hearing == self.life
        {
            let length = arrival.at.since(last);
            self.played.up = self.played.up + length;
            self.played.crashes.push(Stretch { wait: deadline.since(last), length });
        }
        self.last = Some(arrival.at);
    }

    fn verdict(&mut self, verdict: &Verdict) {
        match verdict.to {
            Liveness::Suspect => {
                self.played.suspicions += 1;
                self.silent = Some((verdict.at, false));
            }
            Liveness::Failed => self.silent = self.silent.map(|(since, _)| (since, true)),
            Liveness::Alive => self.heard_again(verdict.at),
            Liveness::Unseen | Liveness::Left => {}
        }
    }

    fn heard_again(&mut self, at: Instant) {
        let Some((since, failed)) = self.silent.take() else { return };
        let lasted = at.since(since);
        self.played.suspected = self.played.suspected + lasted;
        if self.hearing == self.life {
            self.played.mistakes += 1;
            self.played.mistaken = self.played.mistaken + lasted;
            self.played.false_failures += u64::from(failed);
        }
    }

    fn finish(mut self) -> Played {
        if let Some(last) = self.last {
            // What arrived last may have been overtaken and refute nothing.
            self.heard_again(last);
        }
        self.played
    }
}

impl Played {
    /// Takes in what came of another series.
    pub(crate) fn add(&mut self, other: &Self) {
        self.up = self.up + other.up;
        self.suspicions += other.suspicions;
        self.suspected = self.suspected + other.suspected;
        self.mistakes += other.mistakes;
        self.mistaken = self.mistaken + other.mistaken;
        self.false_failures += other.false_failures;
        self.crashes.extend_from_slice(&other.crashes);
    }

    /// The share of the time in which the node was not mistaken for a silent one.
    pub(crate) fn query_accuracy(&self) -> Option<f64> {
        let up = self.up.secs_f64();
        (up > 0.0).then(|| 1.0 - self.mistaken.secs_f64() / up)
    }

    /// The mean detection time in seconds, of a crash at a random instant; nothing if there was no time.
    pub(crate) fn detection_mean(&self) -> Option<f64> {
        let (area, length) = self
            .crashes
            .iter()
            .fold((0.0, 0.0), |(area, length), stretch| (area + stretch.area(), length + stretch.length.secs_f64()));
        (length > 0.0).then(|| area / length)
    }

    /// The longest detection time: of a crash right after the most unfortunate arrival.
    pub(crate) fn detection_max(&self) -> Option<Span> {
        self.crashes.iter().filter(|stretch| !stretch.length.is_zero()).map(|stretch| stretch.wait).max()
    }

    /// The detection time that a share of all crashes stays within.
    pub(crate) fn detection_quantile(&self, share: f64) -> Option<Span> {
        let mut above = self.detection_max()?.nanos();
        let all = total(self.crashes.iter().map(|stretch| stretch.length));
        let longer = |than: u64| total(self.crashes.iter().map(|stretch| stretch.longer(Span::from_nanos(than))));
        // Half a nanosecond: what the product of two floats is off by must not move it.
        let most = (1.0 - share) * all + 0.5;
        let mut below = 0;
        while below < above {
            let middle = below + (above - below) / 2;
            if longer(middle) <= most {
                above = middle;
            } else {
                below = middle + 1;
            }
        }
        Some(Span::from_nanos(above))
    }
}

impl Stretch {
    /// The detection time over all instants of the stretch, in seconds squared.
    fn area(self) -> f64 {
        let (wait, length) = (self.wait.secs_f64(), self.length.secs_f64());
        if wait >= length { length * (wait - 0.5 * length) } else { 0.5 * wait * wait }
    }

    /// For how much of it the detection time is longer than this.
    fn longer(self, than: Span) -> Span {
        (self.wait - than).min(self.length)
    }
}

/// In nanoseconds, summed before they are rounded.
fn total(spans: impl Iterator<Item = Span>) -> f64 {
    spans.map(|span| u128::from(span.nanos())).sum::<u128>() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Beat, Heard};
    use proptest::prelude::*;
    use systole_core::config::{Plan, Settings};
    use systole_core::{Tick, Wait};

    const ETA: Span = Span::from_millis(100);

    fn config(detector: &str) -> Config {
        let detector = detector.parse().expect("a detector");
        let settings = Settings { detector, interval: Some(ETA), confirm: Wait::Intervals(3.0), ..Settings::default() };
        Config::new(Plan { default: settings, ..Plan::default() }).expect("nothing is wrong with it")
    }

    /// Arrivals in microseconds, each of a life and with a number.
    fn tape(heard: &[(u64, u32, u64)]) -> Tape {
        let arrivals = heard.iter().map(|(micros, life, seq)| {
            let at = Instant::from_nanos(micros * 1_000);
            Arrival { at, node: 0, life: *life, seq: *seq, due: Some(at) }
        });
        Tape { name: "t".into(), interval: ETA, beats: 0, lost: 0, arrivals: arrivals.collect() }
    }

    fn millis(millis: u64) -> Span {
        Span::from_millis(millis)
    }

    #[test]
    fn a_silence_beyond_the_deadline_is_a_mistake_until_the_next_heartbeat() {
        // The deadline of the second is 350.5 ms, rounded up to 351.
        let played =
            tape(&[(0, 1, 1), (100_500, 1, 2), (401_000, 1, 5), (500_000, 1, 6)]).play(config("fixed:timeout=250ms"));
        assert_eq!((played.suspicions, played.mistakes, played.false_failures), (1, 1, 0));
        assert_eq!((played.suspected, played.mistaken), (millis(50), millis(50)));
        assert_eq!(played.up, millis(500));
    }

    #[test]
    fn a_silence_beyond_the_confirm_time_is_a_false_failure() {
        let played = tape(&[(0, 1, 1), (551_000, 1, 6), (1_000_000, 1, 9)]).play(config("fixed:timeout=250ms"));
        assert_eq!((played.suspicions, played.false_failures), (2, 1));
        assert_eq!(played.suspected, millis(301 + 199));
    }

    #[test]
    fn the_silence_before_a_restart_is_no_mistake_and_no_time_to_crash() {
        let played = tape(&[(0, 1, 1), (100_000, 1, 2), (9_000_000, 2, 1), (9_100_000, 2, 2)])
            .play(config("fixed:timeout=250ms"));
        assert_eq!((played.suspicions, played.mistakes, played.false_failures), (1, 0, 0));
        assert_eq!((played.suspected, played.mistaken), (millis(9_000 - 350), Span::ZERO));
        assert_eq!(played.up, millis(200));
    }

    #[test]
    fn a_straggler_from_a_life_before_is_no_second_restart() {
        let tape = tape(&[(0, 1, 1), (100_000, 2, 1), (150_000, 1, 2), (200_000, 2, 2)]);
        assert_eq!(tape.up(), millis(100));
        assert_eq!(tape.play(config("fixed:timeout=250ms")).up, millis(100));
    }

    #[test]
    fn what_was_overtaken_ends_no_suspicion() {
        let played = tape(&[(0, 1, 1), (100_000, 1, 3), (400_000, 1, 2)]).play(config("fixed:timeout=250ms"));
        assert_eq!((played.suspicions, played.suspected), (1, millis(50)));
    }

    #[test]
    fn the_detection_time_is_that_of_crashes_at_every_instant() {
        // A timeout of 250 ms after each of ten heartbeats 100 ms apart: between 150 and 250 ms.
        let heard: Vec<(u64, u32, u64)> = (0..10).map(|seq| (seq * 100_000, 1, seq)).collect();
        let played = tape(&heard).play(config("fixed:timeout=250ms"));
        assert!((played.detection_mean().expect("time") - 0.2).abs() < 1e-9, "{:?}", played.detection_mean());
        assert_eq!(played.detection_max(), Some(millis(250)));
        assert_eq!(played.detection_quantile(0.9), Some(millis(240)));
        assert_eq!(Played::default().detection_quantile(0.9), None);
    }

    #[test]
    fn a_crash_of_who_is_suspect_already_takes_no_time_to_be_found() {
        let played = tape(&[(0, 1, 1), (1_000_000, 1, 2)]).play(config("fixed:timeout=250ms"));
        assert!((played.detection_mean().expect("time") - 0.25 * 0.25 / 2.0).abs() < 1e-12);
        assert_eq!(played.detection_quantile(0.75), Some(Span::ZERO));
        assert_eq!(played.detection_quantile(0.8), Some(millis(50)));
    }

    /// What a fixed timeout does, from the gaps between arrivals that are newer than all before.
    fn by_gaps(tape: &Tape, timeout: Span) -> (u64, Span) {
        let (mut suspicions, mut suspected) = (0, Span::ZERO);
        let mut newest: Option<&Arrival> = None;
        let mut gap = |from: &Arrival, until: Instant| {
            let deadline: Tick = (from.at + timeout).tick_up();
            if deadline.instant() < until {
                suspicions += 1;
                suspected = suspected + until.since(deadline.instant());
            }
        };
        for arrival in &tape.arrivals {
            if newest.is_some_and(|newest| (arrival.life, arrival.seq) <= (newest.life, newest.seq)) {
                continue;
            }
            if let Some(newest) = newest {
                gap(newest, arrival.at);
            }
            newest = Some(arrival);
        }
        if let (Some(newest), Some(last)) = (newest, tape.arrivals.last()) {
            gap(newest, last.at);
        }
        (suspicions, suspected)
    }

    /// Heartbeats that are lost, delayed beyond their successors, repeated, and restarted.
    fn series() -> impl Strategy<Value = Series> {
        let beat = (0u64..400_000, 0u32..100, 0u64..1_000_000_000);
        proptest::collection::vec(beat, 2..200).prop_map(|each| {
            let (mut at, mut life, mut seq) = (Instant::ORIGIN, 1, 0);
            let (mut beats, mut repeats) = (Vec::new(), Vec::new());
            for (micros, chance, delay) in each {
                at = at + Span::from_nanos(micros * 1_000 + delay % 1_000);
                seq += 1;
                if chance < 3 {
                    (life, seq) = (life + 1, 0);
                }
                let delay = Span::from_nanos(if chance > 80 { delay } else { delay / 100 });
                let arrival = (chance % 7 != 0).then(|| at + delay);
                beats.push(Beat { life, seq, sent: Some(at), arrival });
                if let Some(first) = arrival.filter(|_| chance % 5 == 0) {
                    repeats.push(Heard { at: first + delay, life, seq });
                }
            }
            Series { name: "random".into(), beats, repeats }
        })
    }

    proptest! {
        /// Deadlines are rounded up to the millisecond; at the same instant what arrives comes first.
        #[test]
        fn a_fixed_timeout_does_what_the_gaps_between_arrivals_say(series in series(), timeout in 101_000u64..500_000) {
            let tape = Tape::new(&series, ETA);
            let timeout = Span::from_nanos(timeout * 1_000);
            let nanos = format!("fixed:timeout={}ns", timeout.nanos());
            let played = tape.play(config(&nanos));
            prop_assert_eq!((played.suspicions, played.suspected), by_gaps(&tape, timeout));
            prop_assert!(played.mistakes <= played.suspicions && played.mistaken <= played.suspected);
            prop_assert!(played.false_failures <= played.mistakes && played.up == tape.up());
        }

        /// The exact figures against crashes at ten thousand evenly spread instants.
        #[test]
        fn the_mean_and_the_quantiles_are_those_of_many_crashes(series in series()) {
            let played = Tape::new(&series, ETA).play(config("chen"));
            let up = played.up.nanos();
            prop_assume!(up > 0);
            let mut stretches = played.crashes.iter();
            let mut stretch = *stretches.next().expect("there was time");
            let (mut begins, mut found) = (0, Vec::new());
            for crash in 0..10_000 {
                let at = (u128::from(up) * (2 * crash + 1) / 20_000) as u64;
                while at >= begins + stretch.length.nanos() {
                    begins += stretch.length.nanos();
                    stretch = *stretches.next().expect("the stretches are as long as the time");
                }
                found.push(stretch.wait.nanos().saturating_sub(at - begins));
            }
            let mean = found.iter().map(|nanos| *nanos as f64 / 1e9).sum::<f64>() / 10_000.0;
            let exact = played.detection_mean().expect("there was time");
            let step = up as f64 / 1e9 / 10_000.0;
            // Between two of the instants the detection time falls with the time, or jumps at an arrival.
            let jumps = played.crashes.len() as f64 * played.detection_max().expect("there was time").secs_f64() / 10_000.0;
            prop_assert!((mean - exact).abs() <= step + jumps, "{} {}", mean, exact);
            found.sort_unstable();
            let longer = |than: Span| found.iter().filter(|nanos| **nanos > than.nanos()).count() as f64 / 10_000.0;
            let p90 = played.detection_quantile(0.9).expect("there was time");
            let slack = (played.crashes.len() + 1) as f64 / 10_000.0;
            prop_assert!((longer(p90) - 0.1).abs() <= slack || p90.is_zero(), "{} {}", p90, longer(p90));
        }
    }
}
