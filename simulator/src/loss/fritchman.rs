//! Losses of several kinds: 47 single ones, four runs of four, and the one of 26 in which somebody
//! moved the antenna (B. D. Fritchman, IEEE Transactions on Information Theory 13, 1967).
//!
//! ```text
//!          ┌──► singles ──┐        one good state, a bad one for each kind of run; after
//!   good ──┼──► fours   ──┼──► good    a run at least one arrives. Lengths are geometric
//!          └──► outages ──┘        about the mean of their kind; a mean of 1 is always 1.
//! ```

use core::fmt;

use crate::random::Stream;
use crate::spec::{Parts, SpecError, number};

/// One good state and several bad ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Fritchman {
    p: f64,
    runs: Vec<Runs>,
    /// With which probability a run begins where none is.
    begins: f64,
}

/// A kind of runs of losses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Runs {
    /// How frequent they are, beside the others.
    pub weight: f64,
    /// How many are lost in one, on average; at least 1.
    pub length: f64,
}

/// The state of one node's path: which kind of run it is in.
#[derive(Clone, Debug)]
pub(super) struct Run {
    stream: Stream,
    kind: Option<u32>,
}

impl Fritchman {
    /// Loses the share `p`, in runs of these kinds.
    ///
    /// # Errors
    /// The value that can't be, and its range.
    pub fn new(p: f64, runs: Vec<Runs>) -> Result<Self, SpecError> {
        if !(0.0..1.0).contains(&p) {
            return Err(SpecError(format!("fritchman: p {p} is out of range; between 0 and below 1")));
        }
        if runs.is_empty() {
            return Err(SpecError(format!("fritchman: there are no runs; write {USAGE}")));
        }
        for Runs { weight, length } in &runs {
            if !(*weight > 0.0 && weight.is_finite()) {
                return Err(SpecError(format!("fritchman: weight {weight} is out of range; above 0")));
            }
            if !(1.0..=LENGTH).contains(length) {
                let range = format!("between 1 and {LENGTH} heartbeats");
                return Err(SpecError(format!("fritchman: length {length} is out of range; {range}")));
            }
        }
        let mean = mean(&runs);
        let begins = p / (mean * (1.0 - p));
        if begins > 1.0 {
            let most = mean / (1.0 + mean);
            let range = format!("at most {most} in runs of {mean} on average, since one arrives after each");
            return Err(SpecError(format!("fritchman: p {p} is out of range; {range}")));
        }
        Ok(Self { p, runs, begins })
    }

    pub(super) fn read(list: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("fritchman", list, USAGE)?;
        let (p, runs) = (parts.number("p", 0.0, 1.0)?, parts.text("runs")?);
        parts.done(())?;
        let run = |text: &str| {
            let form = || SpecError(format!("fritchman: {text:?} is not of the form weight x length; write {USAGE}"));
            let (weight, length) = text.split_once('x').ok_or_else(form)?;
            let weight = number("fritchman", "weight", weight.trim(), 0.0, 1e12)?;
            Ok(Runs { weight, length: number("fritchman", "length", length.trim(), 1.0, LENGTH)? })
        };
        Self::new(p, runs.split('|').map(run).collect::<Result<_, SpecError>>()?)
    }

    /// The share that is lost in the long run.
    pub const fn share(&self) -> f64 {
        self.p
    }

    /// The same runs, looked at once in `ratio` heartbeats: each kind keeps its share of what is lost. Kinds that a
    /// share so large has no room for between arrivals stay as they are.
    pub(super) fn stretched(&self, ratio: f64) -> Self {
        let each = |kind: &Runs| {
            let stays = 1.0 - 1.0 / kind.length;
            let length = 1.0 / (1.0 - libm::pow(stays, ratio));
            Runs { weight: kind.weight * kind.length / length, length }
        };
        Self::new(self.p, self.runs.iter().map(each).collect()).unwrap_or_else(|_| self.clone())
    }

    /// The kinds of runs.
    pub fn runs(&self) -> &[Runs] {
        &self.runs
    }

    /// Picks a kind by its weight.
    fn pick(&self, weight: impl Fn(&Runs) -> f64, stream: &mut Stream) -> u32 {
        let mut left = stream.unit() * self.runs.iter().map(&weight).sum::<f64>();
        let last = self.runs.len() - 1;
        let found = self.runs[..last].iter().position(|kind| {
            left -= weight(kind);
            left < 0.0
        });
        found.unwrap_or(last) as u32
    }
}

impl Run {
    pub(super) fn new(model: &Fritchman, mut stream: Stream) -> Self {
        // Long runs are met more frequently than they begin.
        let lost = stream.chance(model.p);
        let kind = lost.then(|| model.pick(|kind| kind.weight * kind.length, &mut stream));
        Self { stream, kind }
    }

    /// Whether the next one is lost: in which kind of run it is, if in any.
    pub(super) const fn bad(&self) -> bool {
        self.kind.is_some()
    }

    pub(super) fn reseed(&mut self, stream: Stream) {
        self.stream = stream;
    }

    pub(super) fn loses(&mut self, model: &Fritchman) -> bool {
        let lost = self.kind.is_some();
        match self.kind {
            None if self.stream.chance(model.begins) => {
                self.kind = Some(model.pick(|kind| kind.weight, &mut self.stream));
            }
            Some(kind) if self.stream.chance(1.0 / model.runs[kind as usize].length) => self.kind = None,
            None | Some(_) => {}
        }
        lost
    }
}

fn mean(runs: &[Runs]) -> f64 {
    let weights: f64 = runs.iter().map(|kind| kind.weight).sum();
    runs.iter().map(|kind| kind.weight * kind.length).sum::<f64>() / weights
}

/// As it is read.
impl fmt::Display for Fritchman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fritchman:p={},runs=", self.p)?;
        for (n, Runs { weight, length }) in self.runs.iter().enumerate() {
            write!(f, "{}{weight}x{length}", if n > 0 { "|" } else { "" })?;
        }
        Ok(())
    }
}

const LENGTH: f64 = 1e9;
const USAGE: &str = "fritchman:p=0.0062,runs=47x1|2x3.5|1x26";
