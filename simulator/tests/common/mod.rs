//! Watches a run and keeps everything.

#![allow(dead_code, reason = "each test binary uses its part")]

use systole_core::Instant;
use systole_sim::caution::Noted;
use systole_sim::run::{Outcome, run_watched};
use systole_sim::scenario::Scenario;
use systole_sim::truth::Fact;
use systole_sim::{Verdict, Watch};

/// All facts and verdicts, in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Log {
    /// When what happened to whom.
    pub(crate) facts: Vec<(Instant, u32, Fact)>,
    /// What was believed.
    pub(crate) verdicts: Vec<Verdict>,
    /// What was told beside.
    pub(crate) notes: Vec<Noted>,
    /// When the monitor began anew and believed nothing any more.
    pub(crate) forgotten: Vec<Instant>,
}

impl Watch for Log {
    fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        self.facts.push((at, node, fact));
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.verdicts.push(*verdict);
    }

    fn note(&mut self, note: &Noted) {
        self.notes.push(note.clone());
    }

    fn forgotten(&mut self, at: Instant) {
        self.forgotten.push(at);
    }
}

/// Runs a scenario to its end.
pub(crate) fn watched(scenario: &Scenario) -> (Outcome, Log) {
    let mut log = Log::default();
    let outcome = run_watched(scenario, |_| true, &mut log);
    (outcome, log)
}
