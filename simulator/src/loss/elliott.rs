//! Gilbert's chain where the bad state lets some through and the good one loses some (Elliott 1963).
//!
//! ```text
//!   good (loses `good`) ──────► bad (loses `bad`)       p is what is lost over all: the share of
//!                       ◄──────                         bad times is (p - good) / (bad - good)
//!                      1 / burst
//! ```
//! A burst is a visit to the bad state, not a run of losses: at bad=0.8 a visit of 5 heartbeats loses 4.

use core::fmt;

use crate::random::Stream;
use crate::spec::{Parts, SpecError};

/// A chain of a good and a bad state, both of which lose some (E. O. Elliott, Bell System Technical Journal 42, 1963).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GilbertElliott {
    p: f64,
    burst: f64,
    bad: f64,
    good: f64,
}

impl GilbertElliott {
    /// Loses the share `p` over all, `bad` of it during visits of `burst` heartbeats to the bad state, `good` between.
    ///
    /// # Errors
    /// The value that can't be, and its range.
    pub fn new(p: f64, burst: f64, bad: f64, good: f64) -> Result<Self, SpecError> {
        let out =
            |key, value: f64, range: String| Err(SpecError(format!("gilbert: {key} {value} is out of range; {range}")));
        if !(0.0..=1.0).contains(&bad) {
            return out("bad", bad, "between 0 and 1".into());
        }
        if !(0.0..bad).contains(&good) {
            return out("good", good, format!("between 0 and below bad, which is {bad}"));
        }
        if !(good..bad).contains(&p) {
            return out("p", p, format!("what is lost over all is between good, {good}, and below bad, {bad}"));
        }
        let model = Self { p, burst, bad, good };
        let share = model.bad_share();
        let least = f64::max(1.0, share / (1.0 - share));
        if !(burst.is_finite() && burst >= least) {
            return out("burst", burst, format!("at least {least} heartbeats where a share of {share} of them is bad"));
        }
        Ok(model)
    }

    pub(super) fn read(list: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("gilbert", list, "gilbert:p=0.05,burst=5,bad=0.8,good=0.001")?;
        let (p, burst) = (parts.number("p", 0.0, 1.0)?, parts.number("burst", 1.0, 1e9)?);
        let (bad, good) = (parts.number_or("bad", 1.0, 0.0, 1.0)?, parts.number_or("good", 0.0, 0.0, 1.0)?);
        parts.done(())?;
        Self::new(p, burst, bad, good)
    }

    /// The share that is lost in the long run.
    pub const fn share(&self) -> f64 {
        self.p
    }

    /// The same chain, looked at once in `ratio` heartbeats.
    pub(super) fn stretched(&self, ratio: f64) -> Self {
        Self { burst: super::burst_at(self.bad_share(), self.burst, ratio), ..*self }
    }

    /// The share of heartbeats that are sent in the bad state.
    pub fn bad_share(&self) -> f64 {
        (self.p - self.good) / (self.bad - self.good)
    }

    /// Whether a path that nothing is known of is in the bad state.
    pub(super) fn begin(&self, stream: &mut Stream) -> bool {
        stream.chance(self.bad_share())
    }

    /// Whether the next one is lost.
    pub(super) fn loses(&self, bad: &mut bool, stream: &mut Stream) -> bool {
        let lost = stream.chance(if *bad { self.bad } else { self.good });
        let share = self.bad_share();
        let change = if *bad { 1.0 / self.burst } else { share / (self.burst * (1.0 - share)) };
        *bad ^= stream.chance(change);
        lost
    }
}

/// As it is read.
impl fmt::Display for GilbertElliott {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p, burst, bad, good } = self;
        write!(f, "gilbert:p={p},burst={burst},bad={bad},good={good}")
    }
}
