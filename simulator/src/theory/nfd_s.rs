//! What NFD-S, Chen's detector for synchronised clocks, promises.
//!
//! ```text
//!   m_i sent at i·interval                tau_i = i·interval + delta
//!        |<------------- delta ------------->|
//!   -----*-----------*-----------*-----------|-----------|------>
//!       m_i        m_i+1       m_i+2       tau_i      tau_i+1
//!                                            | trusts here if any of m_i, m_i+1, ... has arrived
//! ```
//!
//! Section 3 of the paper, with its letters k, p_j, q_0, u and p_s. Losses and delays are
//! independent from one heartbeat to the next.

use super::{DelayLaw, integral::integral};

/// NFD-S with its settings, on a network. All times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NfdS {
    interval: f64,
    delta: f64,
    loss: f64,
    delay: DelayLaw,
}

impl NfdS {
    /// A heartbeat every `interval`, each awaited until `delta` after it was sent; a share `loss`
    /// of them never arrives, the others after a delay of that law.
    ///
    /// # Panics
    /// On an interval that isn't above zero, a negative delta, a loss outside 0 to 1.
    pub fn new(interval: f64, delta: f64, loss: f64, delay: DelayLaw) -> Self {
        assert!(interval > 0.0 && interval.is_finite(), "an interval is above zero, not {interval} s");
        assert!(delta >= 0.0 && delta.is_finite(), "a freshness point follows its heartbeat, not by {delta} s");
        assert!((0.0..=1.0).contains(&loss), "a loss is a share between 0 and 1, not {loss}");
        Self { interval, delta, loss, delay }
    }

    /// T_D is at most delta + interval, whatever the network does.
    pub fn detection_bound(&self) -> f64 {
        self.delta + self.interval
    }

    /// E(T_MR) = interval/p_s, seconds from one mistake to the next; infinite where
    /// none can happen.
    pub fn mistake_recurrence(&self) -> f64 {
        self.interval / self.starts_at_freshness_point()
    }

    /// E(T_M), seconds that a mistake lasts; `None` where none can happen.
    pub fn mistake_duration(&self) -> Option<f64> {
        let starts = self.starts_at_freshness_point();
        (starts > 0.0).then(|| self.suspected_per_interval() / starts)
    }

    /// P_A, the probability that a live node is trusted at a random instant (section 2:
    /// 1 - E(T_M)/E(T_MR)).
    pub fn query_accuracy(&self) -> f64 {
        1.0 - self.suspected_per_interval() / self.interval
    }

    /// u(x): the probability that a live node is suspected `x` after a freshness point,
    /// `0 <= x < interval`. Falls with x.
    pub fn suspected(&self, x: f64) -> f64 {
        (0..=self.last_in_time()).map(|j| self.missing(j, x)).product()
    }

    /// p_s = q_0 u(0): a mistake starts at a given freshness point, if m_i-1 came in time for the
    /// one before and neither it nor any later is fresh.
    fn starts_at_freshness_point(&self) -> f64 {
        let came = (1.0 - self.loss) * self.delay.before(self.delta + self.interval);
        came * self.suspected(0.0)
    }

    /// p_j(x): m_i+j hasn't arrived by tau_i + x.
    fn missing(&self, j: u32, x: f64) -> f64 {
        self.loss + (1.0 - self.loss) * self.delay.beyond(self.delta + x - f64::from(j) * self.interval)
    }

    /// k: the last heartbeat to be sent before the next freshness point. One too
    /// many, by a rounded division, changes nothing: what isn't sent yet is missing for certain.
    fn last_in_time(&self) -> u32 {
        (self.delta / self.interval).ceil() as u32
    }

    /// The integral of u over one interval, in pieces at whose ends alone some p_j can bend.
    fn suspected_per_interval(&self) -> f64 {
        let mut ends = vec![0.0, self.interval];
        for knot in self.delay.knots() {
            let crossings = (0..=self.last_in_time()).map(|j| knot + f64::from(j) * self.interval - self.delta);
            ends.extend(crossings.filter(|x| (0.0..self.interval).contains(x)));
        }
        integral(&|x| self.suspected(x), &mut ends)
    }
}
