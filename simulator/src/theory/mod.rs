//! A million nodes at one heartbeat a second, one in a hundred lost: a timeout of three heartbeats
//! accuses a healthy node every second, one of eight every 320 years.
//!
//! The closed forms that say so, free of any simulation: Chen, Toueg and Aguilera, "On the Quality
//! of Service of Failure Detectors", IEEE Transactions on Computers 51(5), May 2002 (the printing
//! of January has errors). `validate` holds the simulator against them, and `advise` takes its
//! first bracket from them. All times are in seconds. Losses in NFD-S are independent, which no
//! real network promises: where they come in bursts, [`LossLaw::Gilbert`] says how far that is
//! off, and a real trace says more.

mod configure;
mod delay;
mod fixed;
mod integral;
mod nfd_s;

pub use configure::{Choice, Known, Requirement, Unachievable};
pub use delay::DelayLaw;
pub use fixed::{FixedTimeout, LossLaw};
pub use nfd_s::NfdS;

/// Mistakes per day over a fleet of `nodes`, each of which is mistaken once per `recurrence` seconds.
pub fn false_failures_per_day(nodes: u64, recurrence: f64) -> f64 {
    nodes as f64 * DAY / recurrence
}

/// Seconds per day.
pub const DAY: f64 = 86_400.0;
