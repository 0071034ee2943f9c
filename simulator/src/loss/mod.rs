//! Which heartbeats are lost: none, each on its own, in bursts, by the clock, or as it really was.
//!
//! ```text
//!              p / (burst (1 - p))
//!   good ─────────────────────────► bad        good: arrives, bad: is lost
//!        ◄─────────────────────────            1 % lost in bursts of 5 is 1 burst in 500
//!                 1 / burst
//! ```
//! Chains take a step with every datagram of a node, so a burst is counted in heartbeats and not in
//! seconds, and begin in their stationary state. Gilbert's is drawn above; what it forgets too fast
//! is in [`fading`](Fading) and [`fritchman`](Fritchman), what goes by the clock in
//! [`periodic`](Periodic). Several models at once are a sum: lost if any of them loses.

mod elliott;
mod fading;
mod fritchman;
mod periodic;

use core::fmt;
use core::str::FromStr;

use systole_core::{Instant, Span};

use crate::random::Stream;
use crate::recorded::{Place, Recorded};
use crate::spec::{Parts, SpecError, number};

pub use elliott::GilbertElliott;
pub use fading::Fading;
pub use fritchman::{Fritchman, Runs};
pub use periodic::{OutagePhase, Periodic};

use fading::Faded;
use fritchman::Run;

/// A model of loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    None,
    /// Each datagram is lost with this probability, 0 to 1, whatever happened to the others.
    Independent(f64),
    /// Losses come in bursts: a chain of a good and a bad state.
    Gilbert {
        /// The share that is lost in the long run; 0 to below 1.
        p: f64,
        /// How many are lost in a row, on average; at least 1, and at least `p / (1 - p)`.
        burst: f64,
    },
    /// Such a chain whose bad state lets some through and whose good state loses some.
    GilbertElliott(GilbertElliott),
    /// The probability itself moves slowly.
    Fading(Fading),
    /// Bursts of several kinds.
    Fritchman(Fritchman),
    /// More is lost at certain times.
    Periodic(Periodic),
    /// What was lost in a trace is lost.
    Trace(Recorded),
    /// Lost if any of these loses; two at least.
    Sum(Vec<Self>),
}

/// The losses on one node's path. 24 bytes, and for the rarer models a box.
#[derive(Clone, Debug)]
pub struct Lossy(State);

#[derive(Clone, Debug)]
enum State {
    /// Of the models that remember no more than whether they are in a bad state.
    Plain {
        stream: Stream,
        bad: bool,
    },
    Boxed(Box<Memory>),
}

#[derive(Clone, Debug)]
enum Memory {
    Fading(Faded),
    Fritchman(Run),
    Periodic { stream: Stream, phase: Span },
    Trace(Place),
    Sum(Vec<Lossy>),
}

const _: () = assert!(size_of::<Lossy>() == 24);

impl Lossy {
    /// A path on which nothing was sent yet, and on which something will be every `interval`.
    pub fn new(model: &Loss, mut stream: Stream, interval: Span) -> Self {
        let boxed = |memory| Self(State::Boxed(Box::new(memory)));
        let bad = match model {
            Loss::None | Loss::Independent(_) => false,
            Loss::Gilbert { p, burst: _ } => stream.chance(*p),
            Loss::GilbertElliott(model) => model.begin(&mut stream),
            Loss::Periodic(model) if model.shared().is_some() => false,
            Loss::Periodic(model) => {
                let phase = model.phase(&mut stream);
                return boxed(Memory::Periodic { stream, phase });
            }
            Loss::Fading(model) => return boxed(Memory::Fading(Faded::new(model, stream))),
            Loss::Fritchman(model) => return boxed(Memory::Fritchman(Run::new(model, stream))),
            Loss::Trace(trace) => return boxed(Memory::Trace(trace.start(&mut stream, interval))),
            Loss::Sum(models) => {
                let paths = models.iter().map(|model| Self::new(model, stream.split(), interval)).collect();
                return boxed(Memory::Sum(paths));
            }
        };
        Self(State::Plain { stream, bad })
    }

    /// The same state of the path, with another future. What goes by a trace has none.
    pub(crate) fn reseed(&mut self, mut stream: Stream) {
        match &mut self.0 {
            State::Plain { stream: own, .. } => *own = stream,
            State::Boxed(memory) => match &mut **memory {
                Memory::Fading(faded) => faded.reseed(stream),
                Memory::Fritchman(run) => run.reseed(stream),
                Memory::Periodic { stream: own, .. } => *own = stream,
                Memory::Trace(_) => {}
                Memory::Sum(paths) => paths.iter_mut().for_each(|path| path.reseed(stream.split())),
            },
        }
    }

    /// Whether the path is in the bad state of a chain, for the models that are one.
    pub fn bad(&self) -> bool {
        match &self.0 {
            State::Plain { bad, .. } => *bad,
            State::Boxed(memory) => match &**memory {
                Memory::Fritchman(run) => run.bad(),
                Memory::Sum(paths) => paths.iter().any(Self::bad),
                Memory::Fading(_) | Memory::Periodic { .. } | Memory::Trace(_) => false,
            },
        }
    }

    /// Whether the next datagram, sent at `now`, is lost.
    ///
    /// # Panics
    /// If the path was made for another model.
    pub fn loses(&mut self, model: &Loss, now: Instant) -> bool {
        match &mut self.0 {
            State::Plain { stream, bad } => match model {
                Loss::None => false,
                Loss::Independent(p) => stream.chance(*p),
                Loss::Gilbert { p, burst } => {
                    let lost = *bad;
                    let change = if lost { 1.0 / burst } else { p / (burst * (1.0 - p)) };
                    *bad ^= stream.chance(change);
                    lost
                }
                Loss::GilbertElliott(model) => model.loses(bad, stream),
                Loss::Periodic(model) => {
                    let phase = model.shared().expect("a random phase is in a box");
                    stream.chance(model.probability(phase, now))
                }
                Loss::Fading(_) | Loss::Fritchman(_) | Loss::Trace(_) | Loss::Sum(_) => panic!("{OTHER_MODEL}"),
            },
            State::Boxed(memory) => memory.loses(model, now),
        }
    }
}

impl Memory {
    fn loses(&mut self, model: &Loss, now: Instant) -> bool {
        match (self, model) {
            (Self::Fading(faded), Loss::Fading(model)) => faded.loses(model),
            (Self::Fritchman(run), Loss::Fritchman(model)) => run.loses(model),
            (Self::Periodic { stream, phase }, Loss::Periodic(model)) => stream.chance(model.probability(*phase, now)),
            (Self::Trace(place), Loss::Trace(trace)) => trace.next(place, now).lost,
            // All of them, so that each goes on whatever the others do.
            (Self::Sum(paths), Loss::Sum(models)) => {
                paths.iter_mut().zip(models).fold(false, |lost, (path, model)| path.loses(model, now) | lost)
            }
            (Self::Fading(_) | Self::Fritchman(_) | Self::Periodic { .. } | Self::Trace(_) | Self::Sum(_), _) => {
                panic!("{OTHER_MODEL}")
            }
        }
    }
}

/// The mean visit to the bad state, in which the share `bad` of all steps is, of a chain that is looked at once in `ratio`
/// steps: its two states forget each other by the factor 1 - 1/(burst (1 - bad)) a step.
fn burst_at(bad: f64, burst: f64, ratio: f64) -> f64 {
    let keeps = 1.0 - 1.0 / (burst * (1.0 - bad));
    // A chain without memory, or one that alternates, has nothing to stretch.
    if keeps <= 0.0 {
        return burst;
    }
    1.0 / ((1.0 - bad) * (1.0 - libm::pow(keeps, ratio)))
}

const OTHER_MODEL: &str = "a path keeps the model that it was made for";

impl Loss {
    /// The share that is lost in the long run; of a sum, if its parts know nothing of each other.
    pub fn share(&self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Independent(p) | Self::Gilbert { p, burst: _ } => *p,
            Self::GilbertElliott(model) => model.share(),
            Self::Fading(model) => model.share(),
            Self::Fritchman(model) => model.share(),
            Self::Periodic(model) => model.share(),
            Self::Trace(trace) => trace.share_lost(),
            Self::Sum(models) => 1.0 - models.iter().map(|model| 1.0 - model.share()).product::<f64>(),
        }
    }

    /// The same losses where heartbeats come at `ratio` times the interval for which it was made: a burst takes
    /// as many seconds as before. What is told by the clock already is so at every interval.
    #[must_use]
    pub fn stretched(&self, ratio: f64) -> Self {
        match self {
            Self::Gilbert { p, burst } => Self::Gilbert { p: *p, burst: burst_at(*p, *burst, ratio) },
            Self::GilbertElliott(model) => Self::GilbertElliott(model.stretched(ratio)),
            Self::Fading(model) => Self::Fading(model.stretched(ratio)),
            Self::Fritchman(model) => Self::Fritchman(model.stretched(ratio)),
            Self::Sum(models) => Self::Sum(models.iter().map(|model| model.stretched(ratio)).collect()),
            Self::None | Self::Independent(_) | Self::Periodic(_) | Self::Trace(_) => self.clone(),
        }
    }

    /// The same, saying by what a trace is used for heartbeats of this interval.
    #[must_use]
    pub fn at_interval(&self, interval: Span) -> Self {
        match self {
            Self::Trace(trace) => Self::Trace(trace.at_interval(interval)),
            Self::Sum(models) => Self::Sum(models.iter().map(|model| model.at_interval(interval)).collect()),
            Self::None
            | Self::Independent(_)
            | Self::Gilbert { .. }
            | Self::GilbertElliott(_)
            | Self::Fading(_)
            | Self::Fritchman(_)
            | Self::Periodic(_) => self.clone(),
        }
    }

    /// Whether its parameters are possible.
    ///
    /// # Errors
    /// The value and its range.
    pub fn check(&self) -> Result<(), SpecError> {
        let out =
            |what: &str, value: f64, range: &str| Err(SpecError(format!("{what} {value} is out of range; {range}")));
        match *self {
            Self::None => Ok(()),
            Self::Independent(p) if (0.0..=1.0).contains(&p) => Ok(()),
            Self::Independent(p) => out("loss", p, "between 0 and 1"),
            Self::Gilbert { p, burst: _ } if !(0.0..1.0).contains(&p) => out("gilbert: p", p, "between 0 and below 1"),
            Self::Gilbert { p, burst } if burst.is_finite() && burst >= 1.0 && burst >= p / (1.0 - p) => Ok(()),
            Self::Gilbert { p, burst } => {
                let least = f64::max(1.0, p / (1.0 - p));
                out("gilbert: burst", burst, &format!("at least {least} heartbeats where a share of {p} is lost"))
            }
            // None of these can be made with parameters that aren't possible.
            Self::GilbertElliott(_) | Self::Fading(_) | Self::Fritchman(_) | Self::Periodic(_) | Self::Trace(_) => {
                Ok(())
            }
            Self::Sum(ref models) => models.iter().try_for_each(Self::check),
        }
    }
}

/// The models, by what they begin with.
const NAMES: [&str; 5] = ["gilbert", "fading", "fritchman", "periodic", "trace"];
/// A LoRaWAN link that loses 32 %. Its published figures are the share, 68 runs of six or more, and 28 of them in a
/// Gilbert model fitted to it; so the correlation of one loss with the next is 0.13.
pub const LORAWAN: &str = "fading:p=0.32,sigma=0.95,memory=50";
const USAGE: &str = "none, a probability such as 0.01, gilbert:p=0.01,burst=5[,bad=0.8,good=0.001], \
    fading:p=0.32,sigma=1,memory=50, fritchman:p=0.0062,runs=47x1|2x3.5|1x26, \
    periodic:every=15s,length=1s,loss=0.05,else=0.001, trace:FILE, or a sum of them: 0.001+periodic:...";

impl FromStr for Loss {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let parts = terms(text);
        if parts.len() > 1 {
            return parts.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self::Sum);
        }
        match text.split_once(':') {
            Some(("gilbert", list)) if list.contains("bad=") || list.contains("good=") => {
                GilbertElliott::read(list).map(Self::GilbertElliott)
            }
            Some(("gilbert", list)) => {
                let mut parts = Parts::read("gilbert", list, "gilbert:p=0.01,burst=5")?;
                let (p, burst) = (parts.number("p", 0.0, 1.0)?, parts.number("burst", 1.0, 1e9)?);
                let gilbert = parts.done(Self::Gilbert { p, burst })?;
                gilbert.check().map(|()| gilbert)
            }
            Some(("fading", list)) => Fading::read(list).map(Self::Fading),
            Some(("fritchman", list)) => Fritchman::read(list).map(Self::Fritchman),
            Some(("periodic", list)) => Periodic::read(list).map(Self::Periodic),
            Some(("trace", file)) => Recorded::read(file).map(Self::Trace),
            Some((name, _)) => Err(SpecError(format!("unknown loss model {name:?}; write {USAGE}"))),
            None if text == "none" => Ok(Self::None),
            None if text.parse::<f64>().is_ok() => number("loss", "probability", text, 0.0, 1.0).map(Self::Independent),
            None => Err(SpecError(format!("loss {text:?} is not a model of loss; write {USAGE}"))),
        }
    }
}

/// A sum's terms. A plus is one where a model or a number follows; a file's name may have others.
fn terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices('+') {
        let next = &text[at + 1..];
        let next = &next[..next.find('+').unwrap_or(next.len())];
        let model = next.split_once(':').is_some_and(|(name, _)| NAMES.contains(&name.trim()));
        // Not that of 1e+5.
        let digits = text[from..at].strip_suffix(['e', 'E']).unwrap_or_default();
        let exponent = digits.ends_with(|c: char| c.is_ascii_digit()) && next.starts_with(|c: char| c.is_ascii_digit());
        if (model || next.trim().parse::<f64>().is_ok()) && !exponent {
            terms.push(text[from..at].trim());
            from = at + 1;
        }
    }
    terms.push(text[from..].trim());
    terms
}

/// As it is read.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Independent(p) => write!(f, "{p}"),
            Self::Gilbert { p, burst } => write!(f, "gilbert:p={p},burst={burst}"),
            Self::GilbertElliott(model) => model.fmt(f),
            Self::Fading(model) => model.fmt(f),
            Self::Fritchman(model) => model.fmt(f),
            Self::Periodic(model) => model.fmt(f),
            Self::Trace(trace) => trace.fmt(f),
            Self::Sum(models) => {
                for (n, model) in models.iter().enumerate() {
                    write!(f, "{}{model}", if n > 0 { "+" } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Actor, Purpose};

    const N: usize = 1_000_000;
    const SECOND: Span = Span::from_secs(1);

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn losses(model: Loss) -> Vec<bool> {
        let mut path = Lossy::new(&model, Stream::new(7, Actor::node(0, 0), Purpose::Loss), SECOND);
        (0..N as u64).map(|beat| path.loses(&model, Instant::ORIGIN + SECOND * beat)).collect()
    }

    fn read(text: &str) -> Loss {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The lengths of all runs of losses.
    fn runs(losses: &[bool]) -> Vec<usize> {
        losses.split(|lost| !lost).map(<[bool]>::len).filter(|length| *length > 0).collect()
    }

    fn correlation(losses: &[bool], lag: usize) -> f64 {
        let p = share(losses);
        let both = losses.iter().zip(&losses[lag..]).filter(|(one, other)| **one && **other).count();
        (both as f64 / (losses.len() - lag) as f64 - p * p) / (p * (1.0 - p))
    }

    fn share(losses: &[bool]) -> f64 {
        losses.iter().filter(|lost| **lost).count() as f64 / losses.len() as f64
    }

    #[test]
    fn independent_losses_come_at_their_rate_and_do_not_attract_each_other() {
        for p in [0.01, 0.1, 0.5] {
            let losses = losses(Loss::Independent(p));
            let four_sigma = 4.0 * libm::sqrt(p * (1.0 - p) / N as f64);
            assert!((share(&losses) - p).abs() < four_sigma, "{p}: {}", share(&losses));
            let pairs = losses.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64 / N as f64;
            assert!((pairs - p * p).abs() < 5.0 * libm::sqrt(p * p * 3.0 / N as f64), "{p}: {pairs}");
        }
        assert_eq!((share(&losses(Loss::None)), share(&losses(Loss::Independent(1.0)))), (0.0, 1.0));
    }

    #[test]
    fn gilbert_loses_its_share_in_bursts_of_its_length() {
        for (p, burst) in [(0.01, 5.0), (0.1, 1.5), (0.3, 20.0)] {
            let losses = losses(Loss::Gilbert { p, burst });
            let lost = losses.iter().filter(|lost| **lost).count() as f64;
            let bursts = losses.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
            // A geometric length scatters by sqrt(burst (burst - 1)).
            let error = 4.0 * libm::sqrt(burst * (burst - 1.0) / bursts);
            assert!((lost / bursts - burst).abs() < error, "{burst}: {}", lost / bursts);
            let error = 4.0 * libm::sqrt(p * 2.0 * burst / N as f64);
            assert!((share(&losses) - p).abs() < error, "{p}: {}", share(&losses));
        }
    }

    #[test]
    fn every_model_loses_the_share_that_it_says() {
        for text in [
            "gilbert:p=0.05,burst=5,bad=0.8,good=0.001",
            "fading:p=0.32,sigma=1.5,memory=20",
            "fading:p=0.01,sigma=3,memory=5,repeat=0.3",
            "fritchman:p=0.0062,runs=47x1|2x3.5|1x26",
            "fritchman:p=0.4,runs=1x1|1x4",
            "periodic:every=15s,length=1s,loss=0.05,else=0.001",
            "0.01+gilbert:p=0.05,burst=3",
        ] {
            let model = read(text);
            let (seen, said) = (share(&losses(model.clone())), model.share());
            // Losses that attract each other tell less than as many that don't: the longest memory here counts for 40.
            let error = 4.0 * libm::sqrt(said * (1.0 - said) * 40.0 / N as f64);
            assert!((seen - said).abs() < error, "{text}: {seen}, not {said}");
        }
    }

    #[test]
    fn elliotts_chain_with_all_and_nothing_is_gilberts() {
        let (gilbert, elliott) = ("gilbert:p=0.1,burst=4", "gilbert:p=0.1,burst=4,bad=1,good=0");
        let mean = |text| {
            let runs = runs(&losses(read(text)));
            runs.iter().sum::<usize>() as f64 / runs.len() as f64
        };
        assert!((mean(gilbert) - 4.0).abs() < 0.1 && (mean(elliott) - 4.0).abs() < 0.1);
    }

    #[test]
    fn fading_without_spread_is_gilberts_chain() {
        // With repeat r and a share p a run goes on with r + (1 - r) p.
        let losses = losses(read("fading:p=0.32,sigma=0,memory=50,repeat=0.13"));
        let runs = runs(&losses);
        let mean = losses.iter().filter(|lost| **lost).count() as f64 / runs.len() as f64;
        assert!((mean - 1.0 / (0.87 * 0.68)).abs() < 0.02, "{mean}");
        assert!((correlation(&losses, 1) - 0.13).abs() < 0.005 && correlation(&losses, 10).abs() < 0.005);
    }

    #[test]
    fn fading_remembers_for_as_long_as_it_says() {
        let losses = losses(read("fading:p=0.32,sigma=1.5,memory=50"));
        let near = correlation(&losses, 1);
        // The correlation of the probabilities falls a little faster than that of their logits.
        let (after, forgotten) = (correlation(&losses, 50) / near, correlation(&losses, 500) / near);
        assert!((0.25..0.45).contains(&after) && forgotten.abs() < 0.1, "{near} {after} {forgotten}");
    }

    /// A LoRaWAN link: 32 % of some 13,000 heartbeats lost, in 68 runs of six or more, where a fitted Gilbert
    /// model has 28 and independence 9.5.
    #[test]
    fn fading_has_the_long_runs_of_a_real_radio_link_and_gilbert_does_not() {
        let long = |text: &str| {
            let model = read(text);
            let mut counts: Vec<usize> = (0..200)
                .map(|seed| {
                    let mut path = Lossy::new(&model, Stream::new(seed, Actor::node(0, 0), Purpose::Loss), SECOND);
                    let losses: Vec<bool> = (0..13_007).map(|_| path.loses(&model, Instant::ORIGIN)).collect();
                    runs(&losses).into_iter().filter(|length| *length >= 6).count()
                })
                .collect();
            counts.sort_unstable();
            (counts[10], counts[100], counts[189])
        };
        let (low, median, high) = long(LORAWAN);
        assert!(low <= 68 && 68 <= high && (50..=78).contains(&median), "{low} {median} {high}");
        let (_, median, high) = long("gilbert:p=0.32,burst=1.69");
        assert!(high < 68 && (23..=33).contains(&median), "{median} {high}");
        let (_, median, high) = long("0.32");
        assert!(high < 28 && (8..=11).contains(&median), "{median} {high}");
    }

    #[test]
    fn bursts_of_several_kinds_have_the_runs_of_each() {
        let losses = losses(read("fritchman:p=0.02,runs=47x1|1x26"));
        let runs = runs(&losses);
        let (single, long) =
            (runs.iter().filter(|run| **run == 1).count(), runs.iter().filter(|run| **run > 10).count());
        let all = runs.len() as f64;
        // One in 48 is of the long kind, and one in 26 of those is single all the same.
        let expected = (47.0 + 1.0 / 26.0) / 48.0;
        assert!((single as f64 / all - expected).abs() < 4.0 * libm::sqrt(expected * (1.0 - expected) / all));
        let expected = libm::pow(25.0 / 26.0, 10.0) / 48.0;
        assert!((long as f64 / all - expected).abs() < 4.0 * libm::sqrt(expected / all));
    }

    /// What each of 200 nodes loses in 2,000 heartbeats, sorted.
    fn shares(text: &str, interval: Span, jitter: f64) -> Vec<f64> {
        let model = read(text);
        let mut shares: Vec<f64> = (0..200)
            .map(|node| {
                let mut path = Lossy::new(&model, Stream::new(7, Actor::node(0, node), Purpose::Loss), interval);
                let mut place = Stream::new(7, Actor::node(0, node), Purpose::Jitter);
                let mut nanos = |share: f64| Span::from_nanos((share * interval.nanos() as f64 * place.unit()) as u64);
                let phase = nanos(1.0);
                let lost = (0..2_000)
                    .filter(|beat| path.loses(&model, Instant::ORIGIN + phase + interval * *beat + nanos(jitter)));
                lost.count() as f64 / 2_000.0
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        shares
    }

    #[test]
    fn an_interval_that_divides_the_period_of_outages_aliases_with_it_and_jitter_heals_that() {
        const SATELLITE: &str = "periodic:every=15s,length=1s,loss=0.05,else=0.001";
        let share = read(SATELLITE).share();
        // The same outage hits one node in 15 with every heartbeat, or one in 5 with every third; and the others never.
        for (interval, hit, every) in [(15, 1.0 / 15.0, 1.0), (5, 0.2, 1.0 / 3.0)] {
            let nodes = shares(SATELLITE, Span::from_secs(interval), 0.0);
            let (unlucky, worst) = (nodes.iter().filter(|lost| **lost > 2.5 * share).count(), nodes[199]);
            let expected = 200.0 * hit;
            assert!((unlucky as f64 - expected).abs() < 4.0 * libm::sqrt(expected), "every {interval} s: {unlucky}");
            assert!((worst - (0.001 + 0.049 * every)).abs() < 0.02, "every {interval} s: {worst}");
            assert!(nodes[100] < 0.5 * share, "every {interval} s: {}", nodes[100]);
            // Spread over the interval all nodes lose alike: chance has 0.0015, 4.5 of which are more than 200 will see.
            let nodes = shares(SATELLITE, Span::from_secs(interval), 1.0);
            assert!(nodes[199] < share + 0.0065 && (nodes[100] - share).abs() < 0.001, "{interval}: {nodes:?}");
        }
        // And 7 s doesn't divide 15 s.
        assert!(shares(SATELLITE, Span::from_secs(7), 0.0)[199] < share + 0.0065);
    }

    #[test]
    fn a_fixed_phase_is_shared_and_a_random_one_is_each_nodes_own() {
        let instants = |text: &str| {
            let model = read(text);
            let first = |node| {
                let mut path = Lossy::new(&model, Stream::new(7, Actor::node(0, node), Purpose::Loss), SECOND);
                (0..150).find(|tenth| path.loses(&model, Instant::ORIGIN + Span::from_millis(100) * *tenth))
            };
            (0..20).map(first).collect::<Vec<_>>()
        };
        assert_eq!(instants("periodic:every=15s,length=1s,loss=1,phase=3s"), [Some(30); 20]);
        let mut random = instants("periodic:every=15s,length=1s,loss=1,phase=random");
        random.dedup();
        assert!(random.len() > 10, "{random:?}");
    }

    #[test]
    fn a_sum_loses_what_any_of_its_parts_loses() {
        let sum = read("periodic:every=10s,length=1s,loss=1+0.01");
        let lost = losses(sum.clone());
        assert!(lost.iter().step_by(10).all(|lost| *lost));
        assert!((share(&lost) - sum.share()).abs() < 0.001 && (sum.share() - 0.109).abs() < 1e-9);
    }

    #[test]
    fn a_clone_of_a_path_has_the_same_future() {
        for text in
            ["0.3", "fading:p=0.3,sigma=1,memory=9", "fritchman:p=0.3,runs=1x1|1x9", "0.1+gilbert:p=0.2,burst=3"]
        {
            let model = read(text);
            let mut path = Lossy::new(&model, Stream::new(7, Actor::node(0, 0), Purpose::Loss), SECOND);
            for _ in 0..100 {
                path.loses(&model, Instant::ORIGIN);
            }
            let mut other = path.clone();
            assert!((0..1_000).all(|_| path.loses(&model, Instant::ORIGIN) == other.loses(&model, Instant::ORIGIN)));
        }
    }

    #[test]
    fn a_model_stretched_to_two_steps_loses_as_every_second_heartbeat_of_it() {
        let texts = [
            "gilbert:p=0.2,burst=4",
            "gilbert:p=0.2,burst=6,bad=0.8,good=0.02",
            "fritchman:p=0.1,runs=5x6|1x30",
            "fading:p=0.2,sigma=2,memory=20",
        ];
        for text in texts {
            let model: Loss = text.parse().expect(text);
            let pairs = |losses: &[bool]| {
                losses.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64 / losses.len() as f64
            };
            let second: Vec<bool> = losses(model.clone()).into_iter().step_by(2).collect();
            let stretched = losses(model.stretched(2.0));
            let (one, other) = (pairs(&second), pairs(&stretched));
            assert!((share(&second) / share(&stretched) - 1.0).abs() < 0.05, "{text}");
            assert!((one / other - 1.0).abs() < 0.08, "{text}: {one} {other}");
            assert!((model.stretched(1.0).share() - model.share()).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn a_model_reads_back_as_it_was_written() {
        for text in [
            "none",
            "0.01",
            "0",
            "1",
            "gilbert:p=0.01,burst=5",
            "gilbert:p=0.05,burst=5,bad=0.8,good=0.001",
            "fading:p=0.32,sigma=1,memory=50",
            "fading:p=0.32,sigma=1,memory=50,repeat=0.1",
            "fritchman:p=0.0062,runs=47x1|2x3.5|1x26",
            "periodic:every=15s,length=1s,loss=0.05,else=0.001",
            "periodic:every=15s,length=1s,loss=0.05,else=0,phase=3s",
            "periodic:every=15s,length=1s,loss=0.05,else=0,phase=random",
            "0.001+periodic:every=15s,length=1s,loss=0.05,else=0+gilbert:p=0.01,burst=5",
        ] {
            assert_eq!(text.parse::<Loss>().map(|loss| loss.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_range() {
        for (text, said) in [
            ("1.2", "loss: probability 1.2 is out of range; between 0 and 1"),
            ("-0.1", "loss: probability -0.1 is out of range; between 0 and 1"),
            ("NaN", "loss: probability NaN is out of range; between 0 and 1"),
            ("gilbert:p=0.01", "gilbert: burst is missing; write gilbert:p=0.01,burst=5"),
            ("gilbert:p=2,burst=5", "gilbert: p 2 is out of range; between 0 and 1"),
            (
                "gilbert:p=0.9,burst=2",
                "gilbert: burst 2 is out of range; at least 9.000000000000002 heartbeats where a share of 0.9 is lost",
            ),
            ("gilbert:p=0.01,burst=5,x=1", "gilbert: unknown setting \"x\"; write gilbert:p=0.01,burst=5"),
            (
                "gilbert:p=0.01,burst=5,bad=0.5,good=0.6",
                "gilbert: good 0.6 is out of range; between 0 and below bad, which is 0.5",
            ),
            (
                "gilbert:p=0.6,burst=5,bad=0.5",
                "gilbert: p 0.6 is out of range; what is lost over all is between good, 0, and below bad, 0.5",
            ),
            ("fading:p=0.3,sigma=9,memory=5", "fading: sigma 9 is out of range; between 0 and 8"),
            ("fading:p=0.3,sigma=1", "fading: memory is missing; write fading:p=0.32,sigma=1,memory=50"),
            (
                "fritchman:p=0.6,runs=1x1",
                "fritchman: p 0.6 is out of range; at most 0.5 in runs of 1 on average, since one arrives after each",
            ),
            ("fritchman:p=0.1,runs=1x0.5", "fritchman: length 0.5 is out of range; between 1 and 1000000000"),
            (
                "fritchman:p=0.1,runs=47",
                "fritchman: \"47\" is not of the form weight x length; write fritchman:p=0.0062,runs=47x1|2x3.5|1x26",
            ),
            (
                "periodic:every=1s,length=15s,loss=0.05",
                "periodic: length 15s is out of range; at most every, which is 1s",
            ),
            ("0.001+gilbert:p=2,burst=5", "gilbert: p 2 is out of range; between 0 and 1"),
            ("0.001+1.5", "loss: probability 1.5 is out of range; between 0 and 1"),
        ] {
            assert_eq!(text.parse::<Loss>().map_err(|error| error.to_string()), Err(said.to_string()));
        }
        for text in ["much", "", "+0.1", "much:p=1"] {
            let said = text.parse::<Loss>().expect_err(text).to_string();
            assert!(said.contains("; write none, a probability such as 0.01, gilbert:p=0.01,burst=5"), "{said}");
        }
    }
}
