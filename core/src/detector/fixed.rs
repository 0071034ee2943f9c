//! The plainest detector: the same time after every heartbeat.
//!
//! It learns nothing and so can learn nothing wrong. Its detection time is the shortest that can
//! be promised for a given timeout, and every cleverer detector has to be held against it. What
//! it can't do: forgive a late heartbeat without forgiving a dead node as long.

use super::SettingError;
use crate::{Span, Wait};

pub(super) const NAME: &str = "fixed";

/// Suspects `timeout` after the last heartbeat. Out of the box 3.25 intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fixed {
    pub(super) timeout: Wait,
}

impl Fixed {
    /// Waits this long.
    ///
    /// # Errors
    /// A timeout of no length.
    pub fn new(timeout: Wait) -> Result<Self, SettingError> {
        if timeout.of(Span::MAX).is_zero() {
            return Err(SettingError::Zero { detector: NAME, setting: "timeout" });
        }
        Ok(Self { timeout })
    }

    pub(super) fn patience(self, interval: Span) -> Span {
        self.timeout.of(interval)
    }
}

impl Default for Fixed {
    fn default() -> Self {
        Self { timeout: Wait::Intervals(3.25) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_time_or_follows_the_interval() {
        let eta = Span::from_millis(400);
        let fixed = Fixed::new(Wait::Span(Span::from_millis(1_500))).expect("a timeout");
        assert_eq!(fixed.patience(eta), Span::from_millis(1_500));
        let fixed = Fixed::new(Wait::Intervals(3.0)).expect("a timeout");
        assert_eq!(fixed.patience(eta), Span::from_millis(1_200));
    }

    #[test]
    fn no_timeout_is_refused() {
        assert!(Fixed::new(Wait::Span(Span::ZERO)).is_err());
        assert!(Fixed::new(Wait::Intervals(0.0)).is_err());
    }
}
