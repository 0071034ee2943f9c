//! Watches a run and keeps everything.

use systole_core::Instant;
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
}

impl Watch for Log {
    fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        self.facts.push((at, node, fact));
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.verdicts.push(*verdict);
    }
}

/// Runs a scenario to its end.
pub(crate) fn watched(scenario: &Scenario) -> (Outcome, Log) {
    let mut log = Log::default();
    let outcome = run_watched(scenario, |_| true, &mut log);
    (outcome, log)
}
