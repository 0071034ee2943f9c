//! Until when is silence normal? One question, six ways to answer it.
//!
//! ```text
//!  last arrival A                                   deadline
//!       |<------------------ patience ----------------->|
//!  -----*-------------- silence is normal --------------|--- silence is news --->
//! ```
//!
//! Between two arrivals everything that a detector has learned stands still. So even a level that
//! rises with the silence, such as phi, crosses its threshold at an instant that is known at the
//! arrival: every detector comes down to a patience, and nobody has to look at a clock meanwhile.
//! A detector sees arrivals of one node and never the time. It doesn't know what is believed of
//! the node, and it can't tell a lost heartbeat from a dead sender: nobody can, they can only wait.

mod bertier;
mod chen;
mod fixed;
mod missed;
mod phi;
mod schedule;
mod spec;
mod two_window;

use core::fmt;

use crate::Span;

pub use bertier::Bertier;
pub use chen::Chen;
pub use fixed::Fixed;
pub use missed::Missed;
pub use phi::{Phi, Tail};
pub use spec::SpecError;
pub use two_window::TwoWindow;

/// What a detector remembers of one node: 12 bytes within the node's cache line.
///
/// Milliseconds, and squares of them; which is which is the detector's business. A memory is only
/// of use to the detector that wrote it: where a group changes its detector, start afresh.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory([f32; 3]);

const _: () = assert!(size_of::<Memory>() == 12, "the node's cache line has twelve bytes for this");

/// One heartbeat as a detector sees it: how it relates to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// From the arrival before to this one; zero if the arrival went back.
    pub elapsed: Span,
    /// By how much the sequence number grew; 1 where nothing was lost.
    pub gap: u64,
    /// The heartbeat interval in force for the node.
    pub interval: Span,
}

/// A detector with its settings, shared by all nodes of a group.
///
/// Out of the box they agree on a quiet path and differ when a sender once stops for a hundred
/// intervals. In intervals after the last heartbeat:
///
/// | | quiet | after the stop | ever |
/// |---|---|---|---|
/// | `fixed` | 3.25 | 3.25 | 3.25 |
/// | `missed` | 3.25 | 3.25 | 3.25 |
/// | `chen` | 3.25 | 3.25 | 4.38 |
/// | `two-window` | 3.25 | 3.25 | 4.38 |
/// | `phi` | 3.28 | 3.71 | 9.61 |
/// | `bertier` | 3.25 | 4.75 | 10.00 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Detector {
    /// A fixed time after the last heartbeat.
    Fixed(Fixed),
    /// So many intervals, and a margin, after the last heartbeat.
    Missed(Missed),
    /// A margin after the next heartbeat is expected.
    Chen(Chen),
    /// A margin after the later of two expectations: a slow one and a quick one.
    TwoWindow(TwoWindow),
    /// When silence has become as improbable as the threshold says.
    Phi(Phi),
    /// A margin after the next heartbeat is expected, as wide as the sender is unpunctual.
    Bertier(Bertier),
}

impl Detector {
    /// The memory at the first heartbeat of an incarnation.
    pub fn start(&self, interval: Span) -> Memory {
        match self {
            Self::Fixed(_) | Self::Missed(_) | Self::Chen(_) | Self::TwoWindow(_) | Self::Bertier(_) => {
                Memory::default()
            }
            Self::Phi(phi) => phi.start(interval),
        }
    }

    /// Learns from a heartbeat that is newer than the one before.
    pub fn heartbeat(&self, memory: &mut Memory, beat: Beat) {
        match self {
            Self::Fixed(_) | Self::Missed(_) => {}
            Self::Chen(chen) => chen.heartbeat(memory, beat),
            Self::TwoWindow(two_window) => two_window.heartbeat(memory, beat),
            Self::Phi(phi) => phi.heartbeat(memory, beat),
            Self::Bertier(bertier) => bertier.heartbeat(memory, beat),
        }
    }

    /// How long after the last arrival silence is normal.
    pub fn patience(&self, memory: &Memory, interval: Span) -> Span {
        match self {
            Self::Fixed(fixed) => fixed.patience(interval),
            Self::Missed(missed) => missed.patience(interval),
            Self::Chen(chen) => chen.patience(memory, interval),
            Self::TwoWindow(two_window) => two_window.patience(memory, interval),
            Self::Phi(phi) => phi.patience(memory, interval),
            Self::Bertier(bertier) => bertier.patience(memory, interval),
        }
    }

    /// The longest patience there can be, whatever the node did; `None` for a detector without
    /// such a bound, which none of the present ones is.
    pub fn bound(&self, interval: Span) -> Option<Span> {
        Some(match self {
            Self::Fixed(fixed) => fixed.patience(interval),
            Self::Missed(missed) => missed.patience(interval),
            Self::Chen(chen) => chen.bound(interval),
            Self::TwoWindow(two_window) => two_window.bound(interval),
            Self::Phi(phi) => phi.bound(interval),
            Self::Bertier(bertier) => bertier.bound(interval),
        })
    }

    /// What settings, events and metrics call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => fixed::NAME,
            Self::Missed(_) => missed::NAME,
            Self::Chen(_) => chen::NAME,
            Self::TwoWindow(_) => two_window::NAME,
            Self::Phi(_) => phi::NAME,
            Self::Bertier(_) => bertier::NAME,
        }
    }
}

/// Chen's detector: three lost heartbeats in a row, and a quarter of an interval for jitter.
impl Default for Detector {
    fn default() -> Self {
        Self::Chen(Chen::default())
    }
}

/// Why a detector can't have such a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingError {
    /// A number that is too small, too large, or none.
    Range {
        /// Whose setting it is.
        detector: &'static str,
        /// Which one.
        setting: &'static str,
        /// The number.
        value: f32,
        /// The smallest that is allowed.
        least: f32,
        /// The largest that is allowed.
        most: f32,
    },
    /// A wait of no length where that would mean to suspect every node at all times.
    Zero {
        /// Whose setting it is.
        detector: &'static str,
        /// Which one.
        setting: &'static str,
    },
    /// A lower limit above its upper limit.
    Crossed {
        /// Whose settings they are.
        detector: &'static str,
        /// The lower limit.
        least: &'static str,
        /// The upper limit.
        most: &'static str,
    },
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { detector, setting, value, least, most } => {
                write!(f, "{detector}: {setting} {value} is out of range; between {least} and {most}")
            }
            Self::Zero { detector, setting } => {
                write!(f, "{detector}: {setting} of no length would suspect every node at once; make it longer")
            }
            Self::Crossed { detector, least, most } => {
                write!(f, "{detector}: {least} is above {most}; lower the one or raise the other")
            }
        }
    }
}

impl core::error::Error for SettingError {}

/// `value`, if it is a number from `least` to `most`.
fn within(
    detector: &'static str,
    setting: &'static str,
    value: f32,
    least: f32,
    most: f32,
) -> Result<f32, SettingError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(SettingError::Range { detector, setting, value, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA: Span = Span::from_secs(1);

    fn beat(elapsed: Span) -> Beat {
        Beat { elapsed, gap: 1, interval: ETA }
    }

    #[test]
    fn the_table_in_the_documentation_of_detector_is_true() {
        for (text, quiet, after, ever) in [
            ("fixed", 3.25, 3.25, 3.25),
            ("missed", 3.25, 3.25, 3.25),
            ("chen", 3.25, 3.25, 4.38),
            ("two-window", 3.25, 3.25, 4.38),
            ("phi", 3.28, 3.71, 9.61),
            ("bertier", 3.25, 4.75, 10.00),
        ] {
            let detector: Detector = text.parse().expect(text);
            let mut memory = detector.start(ETA);
            for _ in 0..1_000 {
                detector.heartbeat(&mut memory, beat(ETA));
            }
            let quiet_now = detector.patience(&memory, ETA);
            detector.heartbeat(&mut memory, beat(ETA * 100));
            let mut after_now = detector.patience(&memory, ETA);
            for _ in 0..1_000 {
                detector.heartbeat(&mut memory, beat(ETA));
                after_now = after_now.max(detector.patience(&memory, ETA));
            }
            let bound = detector.bound(ETA).expect("all of them have one");
            for (span, shown) in [(quiet_now, quiet), (after_now, after), (bound, ever)] {
                assert!((span.secs_f64() - shown).abs() <= 0.005_001, "{text}: {span}, the table says {shown}");
            }
        }
    }

    #[test]
    fn the_default_waits_three_lost_heartbeats_and_a_quarter() {
        let detector = Detector::default();
        assert_eq!(detector.name(), "chen");
        assert_eq!(detector.patience(&detector.start(ETA), ETA), Span::from_millis(3_250));
    }

    #[test]
    fn no_number_is_in_no_range() {
        assert!(within("phi", "threshold", f32::NAN, 0.1, 30.0).is_err());
        assert!(within("phi", "threshold", f32::INFINITY, 0.1, 30.0).is_err());
        assert_eq!(within("phi", "threshold", 30.0, 0.1, 30.0), Ok(30.0));
    }
}
