//! How much work one call may do before it hands back.
//!
//! Every 262 seconds a wheel reaches a boundary at which everything beyond it has to be filed
//! anew, though nothing expires: at a million nodes tens of milliseconds if done in one go. So
//! the work is counted in units of a few dozen nanoseconds, and the caller says how many.

/// Units of work that may still be done: an entry looked at, a block filed, a node handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(usize);

impl Budget {
    /// As much work as there is.
    pub const UNLIMITED: Self = Self(usize::MAX);

    /// At most `units` of work.
    pub const fn new(units: usize) -> Self {
        Self(units)
    }

    /// Units that are left.
    pub const fn left(self) -> usize {
        self.0
    }

    /// Takes one unit; false, and nothing taken, if none was left.
    pub(super) const fn take(&mut self) -> bool {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}
