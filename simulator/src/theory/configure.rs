//! Which interval and which margin meet a requirement: Chen's configurator, sections 4, 5 and 6.
//!
//! The longest interval that meets it is the cheapest, so that is what is looked for. The mean
//! time between mistakes isn't monotone in the interval: whenever one heartbeat fewer fits into
//! the detection time it falls, and in between it may rise again. But it is
//! `interval / (something that never falls)`, which bounds it on any range of intervals from the
//! two ends alone. So ranges are halved, the upper half first, and thrown away only where the
//! bound proves that nothing in them will do: what is found is the longest, not a local one.

use core::fmt;

use libm::sqrt;

use super::DelayLaw;

/// What is asked for. All times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requirement {
    /// T_D is to be at most this; for [`Known::Unsynchronised`], at most this and E(D).
    pub detection: f64,
    /// E(T_MR) is to be at least this.
    pub recurrence: f64,
    /// E(T_M) is to be at most this.
    pub duration: f64,
    /// Heartbeats may come no faster. In theory nearly every requirement can be met, by heartbeats
    /// without number.
    pub interval_min: f64,
}

/// What is known of the network. Losses are independent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known {
    /// Synchronised clocks, and the whole law of the delay (section 4).
    Law {
        /// Share of the heartbeats that never arrive.
        loss: f64,
        /// How long the others travel.
        delay: DelayLaw,
    },
    /// Synchronised clocks, and two moments of the delay, whatever its law (section 5).
    Moments {
        /// Share of the heartbeats that never arrive.
        loss: f64,
        /// E(D), seconds.
        mean: f64,
        /// V(D), seconds squared.
        variance: f64,
    },
    /// Clocks that run alike but show different times, as NFD-E has them (section 6): only how
    /// much the delay varies can be known, and counts.
    Unsynchronised {
        /// Share of the heartbeats that never arrive.
        loss: f64,
        /// V(D), seconds squared.
        variance: f64,
    },
}

/// Settings that meet a requirement. In seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// From one heartbeat to the next.
    pub interval: f64,
    /// Chen's delta: how long after it was sent a heartbeat is awaited. For
    /// [`Known::Unsynchronised`] his alpha: how long after it was expected.
    pub margin: f64,
}

impl Requirement {
    /// The longest interval that meets the requirement, with its margin.
    ///
    /// # Errors
    /// Which demand can't be met, and what could be.
    ///
    /// # Panics
    /// On demands that aren't above zero, on a loss outside 0 to below 1, and on moments that are
    /// negative or infinite (a tail that heavy promises nothing).
    pub fn configure(&self, known: &Known) -> Result<Choice, Unachievable> {
        for asked in [self.detection, self.recurrence, self.duration, self.interval_min] {
            assert!(asked > 0.0 && asked.is_finite(), "a demand is a time above zero, not {asked} s");
        }
        known.assert_possible();
        let arrives = known.arrives(self.detection);
        if arrives <= 0.0 || known.window(self.detection) < self.interval_min {
            return Err(Unachievable::Detection {
                asked: self.detection,
                least: known.detection_least(self.interval_min),
            });
        }
        if arrives * self.duration < self.interval_min {
            return Err(Unachievable::Duration { asked: self.duration, least: self.interval_min / arrives });
        }
        self.longest_interval(known, FINE).ok_or_else(|| self.nearest(known))
    }

    /// No interval above this one can meet the requirement: beyond it, mistakes last too long, or
    /// not one heartbeat fits into the detection time (step 1 of the configurator).
    pub fn interval_max(&self, known: &Known) -> f64 {
        (known.arrives(self.detection) * self.duration).min(known.window(self.detection))
    }

    fn longest_interval(&self, known: &Known, grain: f64) -> Option<Choice> {
        let interval_max = self.interval_max(known);
        if interval_max < self.interval_min {
            return None;
        }
        let search = Search { known, detection: self.detection, recurrence: self.recurrence, grain };
        let interval = search.longest(self.interval_min, interval_max)?;
        Some(Choice { interval, margin: self.detection - interval })
    }

    /// What to ask for instead, one demand at a time, to three digits.
    fn nearest(&self, known: &Known) -> Unachievable {
        let meets = |with: Self| with.longest_interval(known, COARSE).is_some();
        // The shortest interval alone meets this much; a longer one may do better.
        let sure = known.recurrence(self.detection, self.interval_min).min(self.recurrence);
        let most = boundary(sure, self.recurrence, |recurrence| meets(Self { recurrence, ..*self }));
        let ample = (0..DOUBLINGS).map(|n| self.detection * libm::pow(2.0, f64::from(n)));
        let ample = ample.into_iter().find(|&detection| meets(Self { detection, ..*self }));
        let detection = ample.map(|ample| boundary(ample, self.detection, |d| meets(Self { detection: d, ..*self })));
        Unachievable::Recurrence { asked: self.recurrence, most, detection, interval_min: self.interval_min }
    }
}

impl Known {
    /// Chen's f: E(T_MR) is at least this, in seconds, if heartbeats come every `interval` and the
    /// margin is what that leaves of the detection time. Exact where the law is known.
    pub fn recurrence(&self, detection: f64, interval: f64) -> f64 {
        interval / self.suspected(detection, interval, 0.0)
    }

    fn assert_possible(&self) {
        let (loss, moments) = match *self {
            Self::Law { loss, .. } => (loss, [0.0; 2]),
            Self::Moments { loss, mean, variance } => (loss, [mean, variance]),
            Self::Unsynchronised { loss, variance } => (loss, [0.0, variance]),
        };
        assert!((0.0..1.0).contains(&loss), "a loss is a share from 0 to below 1, not {loss}");
        let possible = moments.iter().all(|moment| *moment >= 0.0 && moment.is_finite());
        assert!(possible, "mean and variance of a delay are finite and not negative, not {moments:?}");
    }

    /// How much of the detection time is left once the delay that is certain has been taken off.
    fn window(&self, detection: f64) -> f64 {
        match *self {
            Self::Law { .. } | Self::Unsynchronised { .. } => detection,
            Self::Moments { mean, .. } => detection - mean,
        }
    }

    /// A heartbeat arrives within the detection time: exactly (q_0'), or at least with this
    /// probability (gamma').
    fn arrives(&self, detection: f64) -> f64 {
        match *self {
            Self::Law { loss, delay } => (1.0 - loss) * delay.before(detection),
            Self::Moments { .. } | Self::Unsynchronised { .. } => 1.0 - self.missing(self.window(detection)),
        }
    }

    /// A heartbeat hasn't arrived by `x` after it was sent, or after its delay's mean: exactly, or
    /// by the one-sided inequality of Chebyshev at most with this probability.
    fn missing(&self, x: f64) -> f64 {
        match *self {
            Self::Law { loss, delay } => loss + (1.0 - loss) * delay.beyond(x),
            Self::Moments { .. } | Self::Unsynchronised { .. } if x <= 0.0 => 1.0,
            Self::Moments { loss, variance, .. } | Self::Unsynchronised { loss, variance } => {
                (variance + loss * x * x) / (variance + x * x)
            }
        }
    }

    /// The probability that a mistake starts at a given freshness point, or a bound on it: never
    /// falls as the interval grows. Where it is at most `enough`, all that is said is that much.
    fn suspected(&self, detection: f64, interval: f64, enough: f64) -> f64 {
        let mut product = match *self {
            Self::Law { .. } => self.arrives(detection),
            Self::Moments { .. } | Self::Unsynchronised { .. } => 1.0,
        };
        let window = self.window(detection);
        // Heartbeats that are due after the window are missing for certain, so one too many by a
        // rounded division changes nothing.
        let last = (window / interval).ceil() as u64;
        for j in 1..last {
            product *= self.missing(window - j as f64 * interval);
            if product <= enough {
                break;
            }
        }
        product
    }

    fn detection_least(&self, interval_min: f64) -> f64 {
        match *self {
            Self::Law { delay, .. } => interval_min.max(delay.least()),
            Self::Moments { mean, .. } => mean + interval_min,
            Self::Unsynchronised { .. } => interval_min,
        }
    }
}

/// The search for the longest interval.
struct Search<'a> {
    known: &'a Known,
    detection: f64,
    recurrence: f64,
    /// Ranges shorter than this share of themselves aren't halved any more.
    grain: f64,
}

impl Search<'_> {
    fn longest(&self, from: f64, to: f64) -> Option<f64> {
        if self.meets(to, to) {
            return Some(to);
        }
        // Everything in the range recurs within to/suspected(from).
        if !self.meets(to, from) {
            return None;
        }
        if to - from <= self.grain * to {
            return self.meets(from, from).then_some(from);
        }
        let middle = 0.5 * (from + to);
        self.longest(middle, to).or_else(|| self.longest(from, middle))
    }

    /// Is `interval / suspected(at)` long enough?
    fn meets(&self, interval: f64, at: f64) -> bool {
        let allowed = interval / self.recurrence;
        self.known.suspected(self.detection, at, allowed) <= allowed
    }
}

/// The last value that holds on the way from one that does towards one that doesn't, to three digits.
fn boundary(mut holds: f64, mut fails: f64, test: impl Fn(f64) -> bool) -> f64 {
    while (holds / fails - 1.0).abs() > 1e-3 {
        let middle = sqrt(holds * fails);
        if test(middle) { holds = middle } else { fails = middle }
    }
    holds
}

/// Why no settings meet a requirement, and the nearest that could be asked for. In seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unachievable {
    /// No heartbeat arrives so soon, or not even one is sent.
    Detection {
        /// The detection time that was asked for.
        asked: f64,
        /// It has to be above this.
        least: f64,
    },
    /// A mistake lasts until the next heartbeat gets through, and they can't come fast enough.
    Duration {
        /// The duration that was asked for.
        asked: f64,
        /// The shortest mean duration that can be promised with that detection time.
        least: f64,
    },
    /// Too few heartbeats fit into the detection time.
    Recurrence {
        /// The time between mistakes that was asked for.
        asked: f64,
        /// The longest that can be had with that detection time.
        most: f64,
        /// The shortest detection time with which it could be had, if any.
        detection: Option<f64>,
        /// Heartbeats may come no faster.
        interval_min: f64,
    },
}

impl fmt::Display for Unachievable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Detection { asked, least } => {
                write!(f, "no heartbeat can be counted on within {asked} s; allow more than {least:.4} s for detection")
            }
            Self::Duration { asked, least } => {
                write!(f, "mistakes can't be kept as short as {asked} s; the nearest is {least:.4} s")
            }
            Self::Recurrence { asked, most, detection, interval_min } => {
                write!(f, "one mistake in {asked} s is too few at one heartbeat in {interval_min} s; the nearest is ")?;
                write!(f, "one in {most:.4} s")?;
                match detection {
                    Some(detection) => write!(f, ", or a detection time of {detection:.4} s"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl core::error::Error for Unachievable {}

/// The interval is found to this share of itself.
const FINE: f64 = 1e-12;

/// And to this where only three digits of something else are wanted.
const COARSE: f64 = 1e-6;

/// How far beyond the detection time that was asked for a better one is looked for: a thousandfold.
const DOUBLINGS: u32 = 11;
