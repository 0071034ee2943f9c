//! What a fixed timeout promises where the delay is constant: then only runs of lost heartbeats
//! make mistakes, and how often a run is long enough is a matter of counting.
//!
//! ```text
//!   arrivals   *     x     x     x     *          timeout in [k, k + 1) intervals: k lost in a
//!              |<--- timeout -->|######|          row are enough (here 2), more make it longer
//!                               suspected
//! ```
//!
//! Bursts are Gilbert's (Bell System Technical Journal 39, 1960): a two-state chain, one step a
//! heartbeat, that loses all in the bad state and none in the good one.

use libm::pow;

use crate::loss::Loss;

/// How losses follow one another, from one heartbeat of a node to its next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossLaw {
    /// Each by itself.
    Independent {
        /// The share that is lost.
        loss: f64,
    },
    /// In runs of geometrically distributed length.
    Gilbert {
        /// The share that is lost in the long run.
        loss: f64,
        /// Mean length of a run of lost heartbeats: at least 1, and at least loss/(1 - loss).
        burst: f64,
    },
}

impl LossLaw {
    /// The law that a simulated network follows, if it is one of these.
    pub fn of(loss: &Loss) -> Option<Self> {
        match *loss {
            Loss::None => Some(Self::Independent { loss: 0.0 }),
            Loss::Independent(loss) => Some(Self::Independent { loss }),
            Loss::Gilbert { p, burst } => Some(Self::Gilbert { loss: p, burst }),
            Loss::GilbertElliott(_)
            | Loss::Fading(_)
            | Loss::Fritchman(_)
            | Loss::Periodic(_)
            | Loss::Trace(_)
            | Loss::Sum(_) => None,
        }
    }

    /// The share that is lost in the long run.
    pub fn loss(&self) -> f64 {
        match *self {
            Self::Independent { loss } | Self::Gilbert { loss, .. } => loss,
        }
    }

    /// The probability that a heartbeat gets through and at least the next `run` are lost; read
    /// backwards, also that exactly the last `run` were lost.
    pub fn through_then_lost(&self, run: u32) -> f64 {
        match *self {
            Self::Independent { loss } => (1.0 - loss) * pow(loss, f64::from(run)),
            Self::Gilbert { loss, .. } if run == 0 => 1.0 - loss,
            Self::Gilbert { loss, burst } => loss / burst * pow(1.0 - 1.0 / burst, f64::from(run - 1)),
        }
    }

    /// How many more are lost, in the mean, once `run` in a row have been.
    fn lost_after(&self, run: u32) -> f64 {
        match *self {
            Self::Gilbert { burst, .. } if run > 0 => burst - 1.0,
            Self::Independent { loss } | Self::Gilbert { loss, .. } => loss / (1.0 - loss),
        }
    }
}

/// A fixed timeout under constant delay. All times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedTimeout {
    interval: f64,
    timeout: f64,
    loss: LossLaw,
}

impl FixedTimeout {
    /// A heartbeat every `interval`; suspected `timeout` after the last arrival. A heartbeat that
    /// arrives at that very instant is in time.
    ///
    /// # Panics
    /// On times that aren't above zero, a loss outside 0 to 1, a burst no chain can have.
    pub fn new(interval: f64, timeout: f64, loss: LossLaw) -> Self {
        assert!(interval > 0.0 && interval.is_finite(), "an interval is above zero, not {interval} s");
        assert!(timeout > 0.0 && timeout.is_finite(), "a timeout is above zero, not {timeout} s");
        let share = loss.loss();
        assert!((0.0..1.0).contains(&share), "a loss is a share from 0 to below 1, not {share}");
        if let LossLaw::Gilbert { burst, .. } = loss {
            assert!(burst >= f64::max(1.0, share / (1.0 - share)), "no chain loses {share} in bursts of {burst}");
        }
        Self { interval, timeout, loss }
    }

    /// k: so many lost in a row make a mistake. A timeout of whole intervals counts as such in
    /// spite of a rounded division.
    pub fn fatal_run(&self) -> u32 {
        whole_intervals(self.timeout, self.interval)
    }

    /// E(T_MR): independent, interval/((1 - p) p^k); Gilbert, interval/(p b (1 - b)^(k - 1)) with
    /// b = 1/burst. Infinite where none can happen.
    pub fn mistake_recurrence(&self) -> f64 {
        self.interval / self.loss.through_then_lost(self.fatal_run())
    }

    /// E(T_M): what the timeout leaves of (k + 1) intervals, and an interval for each further loss.
    /// `None` where no mistake can happen.
    pub fn mistake_duration(&self) -> Option<f64> {
        let run = self.fatal_run();
        let rest = (f64::from(run) + 1.0) * self.interval - self.timeout;
        (self.loss.through_then_lost(run) > 0.0).then(|| rest + self.interval * self.loss.lost_after(run))
    }

    /// P_A = 1 - E(T_M)/E(T_MR): the share of its time that a live node is trusted.
    pub fn query_accuracy(&self) -> f64 {
        1.0 - self.mistake_duration().unwrap_or(0.0) / self.mistake_recurrence()
    }

    /// T_D is at most this, when heartbeats travel for `delay`.
    pub fn detection_bound(&self, delay: f64) -> f64 {
        self.timeout + delay
    }

    /// E(T_D) of a crash that comes at any instant of the interval alike, when heartbeats travel
    /// for `delay`. Zero counts where the node was already suspected, never to be trusted again.
    pub fn detection_mean(&self, delay: f64) -> f64 {
        let bound = self.detection_bound(delay);
        let last = whole_intervals(bound, self.interval);
        // The newest heartbeat to get through has n lost ones after it: it is n to n + 1 intervals old.
        let young = (0..last).map(|n| self.loss.through_then_lost(n) * (bound - (f64::from(n) + 0.5) * self.interval));
        let rest = bound - f64::from(last) * self.interval;
        young.sum::<f64>() + self.loss.through_then_lost(last) * rest * rest / (2.0 * self.interval)
    }
}

fn whole_intervals(time: f64, interval: f64) -> u32 {
    (time / interval + ROUNDING).floor() as u32
}

/// A time so little short of a whole number of intervals is one.
const ROUNDING: f64 = 1e-9;
