//! Who judges: the product's monitor, or Chen's NFD-S to hold the simulator against theory.
//!
//! Both take what arrived within one millisecond, in order and with exact instants, and say what
//! they now believe. Neither sees anything but arrivals and the time.

use systole_core::{Instant, Liveness, Span, Tick, Trouble};

use crate::caution::{Caution, Noted};
use crate::fate::Blame;
use crate::nfd_s::NfdS;
use crate::product::Product;
use crate::scenario::{DetectorChoice, Scenario};
use crate::slice::Slice;

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
    /// If the node is suspected or failed, though it was up: what that was due to. The judge
    /// doesn't know; the world does.
    pub blame: Option<Blame>,
    /// How much later it was reached than by the settings alone, because something was held against it.
    pub withheld: Span,
}

/// One of the two.
#[derive(Debug)]
pub(crate) enum Judge {
    Product(Box<Product>),
    NfdS(NfdS),
}

impl Judge {
    pub(crate) fn new(scenario: &Scenario, slice: &Slice) -> Self {
        let product = || Self::Product(Box::new(Product::new(scenario, slice)));
        match scenario.groups.first().map(|group| group.detector) {
            Some(DetectorChoice::NfdS { .. }) => Self::NfdS(NfdS::new(scenario, slice)),
            Some(DetectorChoice::Core(_)) | None => product(),
        }
    }

    /// The tick in which there is something to do though nothing arrives.
    pub(crate) fn next(&self) -> Option<Tick> {
        match self {
            Self::Product(product) => product.next(),
            Self::NfdS(nfd_s) => nfd_s.next(),
        }
    }

    /// Takes in what arrived in this tick, sorted, then does what is due at its end, unless more
    /// waits to be read. Before it judges it is told of its own `troubles`; there are none unless it is drained.
    pub(crate) fn turn(
        &mut self,
        tick: Tick,
        arrivals: &[Arrival],
        drained: bool,
        troubles: &[(Instant, Trouble)],
        verdicts: &mut Vec<Verdict>,
    ) {
        match self {
            Self::Product(product) => product.turn(tick.instant(), arrivals, drained, troubles, verdicts),
            Self::NfdS(nfd_s) => nfd_s.turn(tick.instant(), arrivals, verdicts),
        }
    }

    /// What it told since the last call, beside verdicts.
    pub(crate) fn notes(&mut self) -> impl Iterator<Item = Noted> {
        match self {
            Self::Product(product) => Some(product.notes()),
            Self::NfdS(_) => None,
        }
        .into_iter()
        .flatten()
    }

    /// What its gates did.
    pub(crate) fn caution(&self) -> Caution {
        match self {
            Self::Product(product) => product.caution(),
            Self::NfdS(_) => Caution::default(),
        }
    }

    /// Begins anew at the end of this tick, with what was believed before or without.
    pub(crate) fn restart(&mut self, tick: Tick, snapshot: bool) {
        match self {
            Self::Product(product) => product.restart(tick.instant(), snapshot),
            Self::NfdS(_) => unreachable!("nfd-s has no troubles: the scenario was checked"),
        }
    }

    /// How many heartbeats were believed.
    pub(crate) fn believed(&self) -> u64 {
        match self {
            Self::Product(product) => product.believed(),
            Self::NfdS(nfd_s) => nfd_s.believed(),
        }
    }

    /// How many bytes this takes as a datagram, without headers of the network.
    pub(crate) fn size(&mut self, sent: &Arrival) -> usize {
        match self {
            Self::Product(product) => product.size(sent),
            Self::NfdS(_) => systole_core::wire::HEADER,
        }
    }
}
