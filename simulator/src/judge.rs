//! Who judges: the product's monitor, or Chen's NFD-S to hold the simulator against theory.
//!
//! Both take what arrived within one millisecond, in order and with exact instants, and say what
//! they now believe. Neither sees anything but arrivals and the time.

use systole_core::{Instant, Liveness, Tick};

use crate::nfd_s::NfdS;
use crate::product::Product;
use crate::scenario::{DetectorChoice, Scenario};

/// One datagram that came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival {
    /// When.
    pub(crate) at: Instant,
    /// Who sent it, by number.
    pub(crate) node: u32,
    /// In which life.
    pub(crate) life: u32,
    /// The how-manieth message of that life; the first is 1.
    pub(crate) seq: u64,
    /// For a heartbeat when it was due to be sent; nothing for a goodbye.
    pub(crate) due: Option<Instant>,
}

/// One change of belief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// When it was reached: the arrival's instant for what a heartbeat changed.
    pub at: Instant,
    /// The number of the node.
    pub node: u32,
    /// What was believed before.
    pub from: Liveness,
    /// What is believed now.
    pub to: Liveness,
}

/// One of the two.
#[derive(Debug)]
pub(crate) enum Judge {
    Product(Box<Product>),
    NfdS(NfdS),
}

impl Judge {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        match scenario.detector {
            DetectorChoice::Core(_) => Self::Product(Box::new(Product::new(scenario))),
            DetectorChoice::NfdS { delta } => Self::NfdS(NfdS::new(scenario, delta)),
        }
    }

    /// The tick in which there is something to do though nothing arrives.
    pub(crate) fn next(&self) -> Option<Tick> {
        match self {
            Self::Product(product) => product.next(),
            Self::NfdS(nfd_s) => nfd_s.next(),
        }
    }

    /// Takes in what arrived in this tick, sorted, then does what is due at its end.
    pub(crate) fn turn(&mut self, tick: Tick, arrivals: &[Arrival], verdicts: &mut Vec<Verdict>) {
        match self {
            Self::Product(product) => product.turn(tick.instant(), arrivals, verdicts),
            Self::NfdS(nfd_s) => nfd_s.turn(tick.instant(), arrivals, verdicts),
        }
    }

    /// How many heartbeats were believed.
    pub(crate) fn believed(&self) -> u64 {
        match self {
            Self::Product(product) => product.believed(),
            Self::NfdS(nfd_s) => nfd_s.believed(),
        }
    }
}
